//! Configurations, templates, programs, notebooks.
