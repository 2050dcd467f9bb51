//! The digest cache.
