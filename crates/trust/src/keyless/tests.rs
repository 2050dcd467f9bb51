//! Tests of the client with services on this machine.
