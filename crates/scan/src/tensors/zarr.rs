//! What is noted about Zarr arrays, and about arrays that lie in other files.
//!
//! zarr-specs v2 (`.zarray`, `.zmetadata`) and v3 (`zarr.json`): filters and packers by their names in
//! numcodecs, where `pickle` unpickles each chunk that is read. References of kerchunk (fsspec,
//! `implementations/reference.py`) say where chunks lie; their addresses are templates of Jinja,
//! which are filled in without a sandbox.

use custos_core::finding::Location;

use crate::route::Head;
use crate::rules;
use crate::source::read_all;
use crate::text::document::{Document, Node};
use crate::text::{json, template};
use crate::work::{Input, Look};

/// Largest metadata that is read.
const MAX_SIZE: u64 = 64 << 20;
/// Most templates that are looked at.
const MAX_TEMPLATES: usize = 1_000;

/// Returns true if it is metadata of arrays, or if it says where they lie.
pub(crate) fn recognises(head: &Head, _: &Input<'_>) -> bool {
    const KEYS: [&[u8]; 3] = [
        b"\"zarr_format\"",
        b"\"refs\"",
        b"\"zarr_consolidated_format\"",
    ];
    let start = head.bytes().trim_ascii_start();
    start.first() == Some(&b'{')
        && KEYS
            .iter()
            .any(|key| start.windows(key.len()).any(|part| part == *key))
}

/// Looks at filters and templates.
pub(crate) fn examine(look: &mut Look<'_, '_, '_>) {
    let size = look.input.bytes.len();
    if size > MAX_SIZE {
        look.gap(format!("metadata of {size} bytes is not read"));
        return;
    }
    let parsed = read_all(look.input.bytes)
        .map_err(json::Fault::from)
        .and_then(|bytes| json::parse(&bytes));
    match parsed {
        Ok(document) => {
            filters(look, &document);
            references(look, &document.root);
            look.covered.parsed(0..size);
        }
        Err(fault) => look.gap(fault.to_string()),
    }
}

fn filters(look: &mut Look<'_, '_, '_>, document: &Document) {
    let mut found = Vec::new();
    document.root.walk(&mut |trail, node| {
        let pointer = trail.pointer();
        let codes = ["filters", "compressor", "codecs"]
            .iter()
            .any(|key| pointer.split('/').any(|part| part == *key));
        let named = |key: &str| node.get(key).and_then(Node::text);
        let unpickles = |name: &str| matches!(name, "pickle" | "numcodecs.pickle");
        if codes && (named("id").is_some_and(unpickles) || named("name").is_some_and(unpickles)) {
            found.push((pointer, node.place.offset));
        }
    });
    for (pointer, offset) in found {
        let place = Location {
            offset: Some(offset),
            pointer: Some(pointer),
            ..look.here()
        };
        let message = "chunks of the array are unpickled when they are read".to_owned();
        look.work.see(&rules::tensors::ZARR_PICKLE, place, message);
    }
}

// `{"version": 1, "templates": {...}, "gen": [...], "refs": {key: text or [address, ...]}}`
fn references(look: &mut Look<'_, '_, '_>, root: &Node) {
    if root.get("refs").is_none() {
        return;
    }
    let mut sources = Vec::new();
    for part in ["templates", "gen", "refs"] {
        for whole in root.all(part) {
            whole.walk(&mut |trail, node| {
                let text = node
                    .text()
                    .filter(|text| text.contains("{{") || text.contains("{%"));
                if let Some(text) = text {
                    let pointer = format!("/{part}{}", trail.pointer());
                    sources.push((pointer, node.place.offset, text.to_owned()));
                }
            });
        }
    }
    if sources.len() > MAX_TEMPLATES {
        look.gap("it has more templates than are looked at");
    }
    for (pointer, offset, source) in sources.into_iter().take(MAX_TEMPLATES) {
        let place = Location {
            offset: Some(offset),
            pointer: Some(pointer),
            ..look.here()
        };
        template::examine(look, &place, &source);
    }
}
