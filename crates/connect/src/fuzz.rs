//! Entry points for fuzzing: each takes bytes, and panics if it finds a fault.

use crate::oci;

/// A reference survives being written and read again.
pub fn oci_reference(data: &[u8]) {
    oci::fuzz_reference(data);
}

/// A manifest or index.
pub fn oci_manifest(data: &[u8]) {
    oci::fuzz_manifest(data);
}

/// The header by which a registry asks who it is.
pub fn oci_challenge(data: &[u8]) {
    oci::fuzz_challenge(data);
}

/// The configuration file of Docker and Podman.
pub fn docker_config(data: &[u8]) {
    oci::fuzz_config(data);
}

/// The payload and annotations of cosign's older signatures.
pub fn simple_signing(data: &[u8]) {
    oci::fuzz_simple_signing(data);
}
