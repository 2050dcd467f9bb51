//! The client of registries, against a registry in memory that behaves well, badly, or not at all.

mod access;
mod attach;
mod hostile;
mod object;
mod registry;
mod server;
mod verify;
