//! The index of a model in several files: which file holds which tensor.
//!
//! `model.safetensors.index.json` and `pytorch_model.bin.index.json`: an object with `weight_map`,
//! from names of tensors to names of files beside it. A name that leads out makes a loader read
//! another file of the machine.

use std::collections::BTreeSet;

use custos_core::finding::Location;
use custos_core::json;
use custos_core::limits::Limits;
use serde::Deserialize;

use crate::archive::zip::leads_out;
use crate::neighbours::Neighbour;
use crate::route::Head;
use crate::rules;
use crate::source::read_all;
use crate::work::{Input, Look};

/// Largest index that is read.
const MAX_SIZE: u64 = 64 << 20;

#[derive(Deserialize)]
struct Index {
    weight_map: std::collections::BTreeMap<String, String>,
}

/// Returns true if it is an object that begins with the map, or names it soon.
pub(crate) fn recognises(head: &Head, _: &Input<'_>) -> bool {
    let start = head.bytes().trim_ascii_start();
    start.first() == Some(&b'{') && start.windows(12).any(|part| part == b"\"weight_map\"")
}

/// Looks at the names of files.
pub(crate) fn examine(look: &mut Look<'_, '_, '_>) {
    let size = look.input.bytes.len();
    if size > MAX_SIZE {
        look.gap(format!("an index of {size} bytes is not read"));
        return;
    }
    let bytes = match read_all(look.input.bytes) {
        Ok(bytes) => bytes,
        Err(error) => {
            look.gap(format!("it cannot be read: {error}"));
            return;
        }
    };
    let index: Index = match json::from_slice(&bytes, &Limits::STATEMENT) {
        Ok(index) => index,
        Err(error) => {
            let message = format!("the index cannot be read: {error}");
            look.broken(&rules::tensors::SAFETENSORS_BROKEN, None, message);
            return;
        }
    };
    look.covered.parsed(0..size);
    let files: BTreeSet<&String> = index.weight_map.values().collect();
    for file in files {
        let outside = leads_out(file)
            || file.contains("://")
            || matches!(look.work.neighbour(file), Some(Neighbour::Outside));
        if outside {
            let location = Location {
                pointer: Some("/weight_map".to_owned()),
                ..look.here()
            };
            let message = format!("tensors are said to lie in `{file}`");
            look.work
                .see(&rules::tensors::SAFETENSORS_INDEX, location, message);
        }
    }
}
