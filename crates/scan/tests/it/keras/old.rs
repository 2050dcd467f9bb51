//! Structures of HDF5 as older libraries wrote them.

use custos_core::finding::Severity;

use super::{Hdf5, NONE, attribute, byte_type, clean, found, hard, message, space, text_type};
use crate::pickle::Assembler;

/// A dataset of bytes in one chunk, with the layout of version 1 or 2.
fn chunked(version: u8, bytes: &[u8]) -> Vec<u8> {
    let mut file = Hdf5::default();
    let size = bytes.len() as u32;
    let chunk = file.put(bytes);
    let mut tree = b"TREE\x01\0\x01\0".to_vec();
    for number in [
        NONE,
        NONE,
        u64::from(size),
        0,
        0,
        chunk,
        0,
        u64::from(size),
        0,
    ] {
        tree.extend(number.to_le_bytes());
    }
    // The node has room for 64 chunks.
    tree.resize(24 + 65 * 24 + 64 * 8, 0);
    let tree = file.put(&tree);
    let mut layout = vec![version, 2, 2, 0, 0, 0, 0, 0];
    layout.extend(tree.to_le_bytes());
    layout.extend(size.to_le_bytes());
    layout.extend(1_u32.to_le_bytes());
    let one = file.object(&[
        space(&[u64::from(size)]),
        message(0x03, &byte_type()),
        message(0x08, &layout),
    ]);
    file.finish(&[hard("d", one)])
}

#[test]
fn chunks_of_old_files_are_followed() {
    let payload = Assembler::protocol(2).call("os", "system", "id").stop();
    for version in [1, 2] {
        let bad = chunked(version, &payload);
        found(&bad, "pickle/dangerous-call", Severity::Critical, &[]);
        clean(&chunked(version, &vec![3; payload.len()]));
    }
}

// Texts of a fixed length end in zeros.
#[test]
fn what_a_text_holds_ends_before_its_type_does() {
    let file = |module: &str, name: &str| {
        let mut pickle = Assembler::protocol(2).call(module, name, "a").stop();
        pickle.extend([0; 3]);
        Hdf5::default().finish(&[attribute("a", &text_type(pickle.len()), &pickle)])
    };
    clean(&file("collections", "OrderedDict"));
    found(
        &file("os", "system"),
        "pickle/dangerous-call",
        Severity::Critical,
        &[],
    );
}
