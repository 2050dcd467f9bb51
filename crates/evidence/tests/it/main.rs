//! The store and the facts as their users see them, with real keys and a real log.

mod crash;
mod facts;
mod places;
mod revoked;
mod store;
mod world;
