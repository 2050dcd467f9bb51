//! Dependencies and secrets.

mod secrets;
