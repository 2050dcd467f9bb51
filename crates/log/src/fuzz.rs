//! Entry points for fuzzing: each takes any bytes and must not panic.

use crate::checkpoint::SignedCheckpoint;
use crate::note::{Note, VerifierKey};
use crate::proof::TlogProof;
use crate::tile::{self, TilePath};

/// Parses a note; what parses must print the same.
pub fn fuzz_note(data: &[u8]) {
    if let Ok(note) = Note::parse(data) {
        assert_eq!(note.to_string().as_bytes(), data);
        let _ = note.verify(&[]);
    }
}

/// Parses a signed checkpoint.
pub fn fuzz_checkpoint(data: &[u8]) {
    let _ = SignedCheckpoint::open(data, &[]);
}

/// Parses a verifier key; what parses must print the same.
pub fn fuzz_verifier_key(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(key) = text.parse::<VerifierKey>()
    {
        assert_eq!(key.to_string(), text);
    }
}

/// Parses a tile path; what parses must print the same.
pub fn fuzz_tile_path(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(path) = text.parse::<TilePath>()
    {
        assert_eq!(path.to_string(), text);
    }
}

/// Splits an entry bundle; what splits must join to the same bytes.
pub fn fuzz_entry_bundle(data: &[u8]) {
    if let Ok(entries) = tile::decode_entries(data, 256) {
        let mut out = Vec::new();
        for entry in entries {
            let _ = tile::encode_entry(entry, &mut out);
        }
        assert_eq!(out, data);
    }
}

/// Parses a tlog-proof; what parses must print the same.
pub fn fuzz_tlog_proof(data: &[u8]) {
    if let Ok(proof) = TlogProof::parse(data) {
        assert_eq!(proof.to_string().as_bytes(), data);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_input_panics(data in prop::collection::vec(any::<u8>(), 0..300)) {
            super::fuzz_note(&data);
            super::fuzz_checkpoint(&data);
            super::fuzz_verifier_key(&data);
            super::fuzz_tile_path(&data);
            super::fuzz_entry_bundle(&data);
            super::fuzz_tlog_proof(&data);
        }
    }
}
