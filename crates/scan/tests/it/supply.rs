//! Dependencies and secrets.
