//! Entry points for fuzzing: each takes arbitrary bytes and must not panic.

/// Reads a bundle for the index.
pub fn fuzz_parts(data: &[u8]) {
    let _ = crate::parts::Parts::read(data);
}
