//! Dependencies and secrets.

mod advisories;
pub mod lists;
mod secrets;
