//! The client of registries, against a registry in memory that behaves well, badly, or not at all.

mod access;
mod attach;
mod hostile;
mod registry;
mod server;
mod verify;
