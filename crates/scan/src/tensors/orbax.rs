//! Orbax checkpoints: folders of metadata in JSON, and arrays in Zarr, alone or in OCDBT stores.
//!
//! google/orbax, `orbax.checkpoint`: `_CHECKPOINT_METADATA` names the handler of each item,
//! `_METADATA` the tree of arrays. Handlers are registered by their names; one from elsewhere is
//! code that somebody else has to bring. An OCDBT store (google/tensorstore,
//! `kvstore/ocdbt/format`) packs many small values into few files, checked by CRC-32C; it is told,
//! and its values are not followed.

use custos_core::finding::{Location, Severity};

use crate::route::Head;
use crate::rules;
use crate::source::read_all;
use crate::text::json;
use crate::work::{Input, Look};

/// Largest metadata that is read.
const MAX_SIZE: u64 = 32 << 20;
/// Marks of an OCDBT manifest, of a node of its tree, and of a node of versions.
const OCDBT: [[u8; 4]; 3] = [
    [0x0c, 0xdb, 0x3a, 0x2a],
    [0x0c, 0xdb, 0x20, 0xde],
    [0x0c, 0xdb, 0x1a, 0x2e],
];

/// Returns true if it is metadata of a checkpoint, or a part of a store.
pub(crate) fn recognises(head: &Head, _: &Input<'_>) -> bool {
    const KEYS: [&[u8]; 3] = [
        b"\"item_handlers\"",
        b"\"tree_metadata\"",
        b"\"array_metadatas\"",
    ];
    let bytes = head.bytes();
    let start = bytes.trim_ascii_start();
    is_store(bytes)
        || start.first() == Some(&b'{')
            && KEYS
                .iter()
                .any(|key| start.windows(key.len()).any(|part| part == *key))
}

fn is_store(bytes: &[u8]) -> bool {
    OCDBT.iter().any(|mark| bytes.starts_with(mark))
}

/// Looks at what the metadata names.
pub(crate) fn examine(look: &mut Look<'_, '_, '_>) {
    if is_store(look.input.cursor().peek(4)) {
        look.covered.told(0..look.input.bytes.len());
        look.gap("the values of an OCDBT store are not followed");
        return;
    }
    let size = look.input.bytes.len();
    if size > MAX_SIZE {
        look.gap(format!("metadata of {size} bytes is not read"));
        return;
    }
    let parsed = read_all(look.input.bytes)
        .map_err(json::Fault::from)
        .and_then(|bytes| json::parse(&bytes));
    let document = match parsed {
        Ok(document) => document,
        Err(fault) => {
            look.gap(fault.to_string());
            return;
        }
    };
    let mut named = Vec::new();
    document.root.walk(&mut |trail, node| {
        let key = trail.nearest_key().unwrap_or_default();
        let pointer = trail.pointer();
        let runs = key.contains("restore_f") || key.contains("handler") || key.contains("callable");
        // What a user keeps beside the model is theirs.
        let own = pointer.starts_with("/custom_metadata");
        let handles = pointer.starts_with("/item_handlers") || runs && !own;
        if let Some(name) = node.text().filter(|name| handles && is_dotted(name)) {
            named.push((pointer, node.place.offset, name.to_owned()));
        }
    });
    look.covered.parsed(0..size);
    for (pointer, offset, name) in named {
        if name.starts_with("orbax.") {
            continue;
        }
        let place = Location {
            offset: Some(offset),
            pointer: Some(pointer),
            ..look.here()
        };
        let message = format!("the checkpoint is restored by `{name}`");
        let mut finding = rules::tensors::ORBAX_HANDLER.finding(place, message);
        // A handler that some other library registers is found by its name and not imported.
        if !is_sure_danger(&name) {
            finding.severity = Severity::Medium;
        }
        look.work.find(finding);
    }
}

fn is_dotted(name: &str) -> bool {
    let plain =
        |part: &str| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || c == '_');
    name.contains(['.', ':']) && name.split(['.', ':']).all(plain)
}

fn is_sure_danger(name: &str) -> bool {
    name.split_once(['.', ':'])
        .map(|_| name.rsplit_once(['.', ':']).unwrap_or_default())
        .is_some_and(|(module, name)| crate::pickle::is_denied(module, name))
}
