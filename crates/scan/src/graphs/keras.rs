//! Keras: a model is a tree of configurations, each of which names a class or a function that the
//! loader finds or imports, and hands its values to.
//!
//! The same tree lies in `config.json` of a `.keras` archive (version 3), in the attribute
//! `model_config` of an HDF5 file (version 2), in `keras_metadata.pb` of a saved model, and in texts
//! of their own (`model.to_json`). What a loader does with a name follows
//! `keras/src/saving/serialization_lib.py` and what it did in earlier versions: some of them import
//! whatever is named, and HDF5 is loaded without the safe mode that the archive has.

mod config;
mod embedded;
mod encoding;
mod layers;
mod marshal;
mod names;

use custos_core::finding::Location;

use crate::archive::zip;
use crate::route::{Format, Head};
use crate::rules;
use crate::source::read_all;
use crate::text::json;
use crate::work::{Input, Look};

pub(crate) use embedded::{embedded, holds_class};

use config::Walk;

/// Largest configuration that is read.
const MAX_BYTES: usize = 16 << 20;

/// The lists that a verdict depends on.
pub(super) static DATA: &str = names::FILE;

pub(super) const ARCHIVE: Format = Format {
    name: "keras",
    extensions: &["keras"],
    recognises: is_archive,
    examine: examine_archive,
};

pub(super) const CONFIG: Format = Format {
    name: "keras-config",
    extensions: &[],
    recognises: |head, input| text_of(head, input).is_some_and(|bytes| is_config(&bytes)),
    examine: examine_config,
};

/// Where a configuration lies: loaders treat it differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Home {
    /// A text of its own, or in an archive.
    Text,
    /// An attribute of an HDF5 file: there is no safe mode.
    Hdf5,
}

/// Returns true if a text is a configuration, or breaks off in what may be one.
pub(crate) fn is_config(bytes: &[u8]) -> bool {
    let begins = bytes
        .iter()
        .find(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0));
    if !matches!(begins, Some(b'{' | b'[' | 0xef | 0xff | 0xfe)) {
        return false;
    }
    let names = contains(bytes, b"class_name");
    if !names && !contains(bytes, b"\\u00") && !contains(bytes, b"c\0l\0a\0s\0s\0_\0") {
        return false;
    }
    match json::parse(encoding::decode(bytes).as_bytes()) {
        Ok(document) => config::is_model(&document.root),
        Err(_) => names && (contains(bytes, b"registered_name") || contains(bytes, b"keras")),
    }
}

/// Looks at a configuration that lies at a place.
pub(crate) fn config(look: &mut Look<'_, '_, '_>, at: &Location, bytes: &[u8], home: Home) {
    match json::parse(encoding::decode(bytes).as_bytes()) {
        Ok(document) => Walk::new(look, at, home).model(&document.root),
        Err(why) => {
            let message = format!("the configuration of a Keras model is not read: {why}");
            look.gap(message.clone());
            look.work
                .see(&rules::graphs::KERAS_BROKEN, at.clone(), message);
        }
    }
}

// A text that may be JSON, if it is not too long.
fn text_of(head: &Head, input: &Input<'_>) -> Option<Vec<u8>> {
    let first = head
        .bytes()
        .iter()
        .find(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0));
    let begins = matches!(first, Some(b'{' | b'[' | 0xef | 0xff | 0xfe));
    let fits = usize::try_from(input.bytes.len()).is_ok_and(|len| len <= MAX_BYTES);
    if !begins || !fits {
        return None;
    }
    read_all(input.bytes).ok()
}

fn examine_config(look: &mut Look<'_, '_, '_>) {
    let size = look.input.bytes.len();
    match read_all(look.input.bytes) {
        Ok(bytes) if bytes.len() <= MAX_BYTES => {
            let at = look.here();
            config(look, &at, &bytes, Home::Text);
            look.covered.parsed(0..size);
        }
        _ => look.gap("the configuration is larger than what is read"),
    }
}

// An archive whose members are those that `model.save` writes.
fn is_archive(head: &Head, input: &Input<'_>) -> bool {
    if !head.starts_with(b"PK") {
        return false;
    }
    let names = zip::names(input);
    let has = |name: &str| names.iter().any(|one| one == name);
    has("config.json") && (has("metadata.json") || has("model.weights.h5"))
}

// The zip parser looks at the members; what is more is that none of them is a surprise.
fn examine_archive(look: &mut Look<'_, '_, '_>) {
    for name in zip::names(look.input) {
        let known = matches!(name.as_str(), "config.json" | "metadata.json")
            || name.starts_with("assets/")
            || name.starts_with("model.weights") && !name.contains('/');
        if !known {
            let message = format!("`{name}` is no part of a Keras archive");
            look.see(&rules::graphs::KERAS_STRAY, None, message);
        }
    }
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}
