//! Dependencies and secrets.

mod advisories;
mod lists;
mod secrets;

pub use lists::samples;
