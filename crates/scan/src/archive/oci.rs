//! Images: the documents of an OCI layout (image-spec 1.1) and of `docker save`.
//!
//! Layers are blobs beside the documents, and looked at like any file: what is read here is which
//! layers lie elsewhere, and whether a blob is what its name says.

use std::ops::Range;

use custos_core::digest::{Algorithm, Digest};
use custos_core::finding::Location;
use serde_json::Value;

use crate::neighbours::Neighbour;
use crate::route::Head;
use crate::rules;
use crate::source::{Part, ReadAt as _, each, read_all};
use crate::text;
use crate::work::{Input, Look, Work};

/// Largest document; registries take 4 MiB.
const MAX_DOCUMENT: u64 = 4 << 20;

/// Returns true if it is one of the documents.
pub(crate) fn recognises(head: &Head, input: &Input<'_>) -> bool {
    let begins = head.bytes().trim_ascii_start();
    (begins.starts_with(b"{") || begins.starts_with(b"["))
        && WORDS.iter().any(|word| contains(head.bytes(), word))
        && document(input).is_some()
}

// One of these is near the beginning of each document.
const WORDS: [&[u8]; 6] = [
    b"\"schemaVersion\"",
    b"\"mediaType\"",
    b"\"imageLayoutVersion\"",
    b"\"Layers\"",
    b"\"rootfs\"",
    b"\"architecture\"",
];

fn contains(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|window| window == word)
}

// The document, if it has the members of one.
fn document(input: &Input<'_>) -> Option<Value> {
    if input.bytes.len() > MAX_DOCUMENT {
        return None;
    }
    let value: Value = serde_json::from_slice(&read_all(input.bytes).ok()?).ok()?;
    let has =
        |value: &Value, name: &str, kind: fn(&Value) -> bool| value.get(name).is_some_and(kind);
    let fits = match &value {
        Value::Array(images) => images.iter().any(|image| {
            has(image, "Layers", Value::is_array) && has(image, "Config", Value::is_string)
        }),
        value => {
            let manifest =
                has(value, "layers", Value::is_array) || has(value, "manifests", Value::is_array);
            has(value, "imageLayoutVersion", Value::is_string)
                || manifest
                    && value
                        .get("schemaVersion")
                        .is_some_and(|version| *version == 2)
                || value
                    .pointer("/rootfs/diff_ids")
                    .is_some_and(Value::is_array)
        }
    };
    fits.then_some(value)
}

/// Looks at a document.
pub(crate) fn examine(look: &mut Look<'_, '_, '_>) {
    let Some(document) = document(look.input) else {
        return;
    };
    look.covered.parsed(0..look.input.bytes.len());
    for list in ["layers", "manifests"] {
        let descriptors = document.get(list).and_then(Value::as_array);
        for descriptor in descriptors.into_iter().flatten() {
            layer(look, list, descriptor);
        }
    }
    let mut texts = Vec::new();
    strings(&document, &mut texts, 0);
    let here = look.here();
    for text in texts {
        text::inspect(look, &here, text);
    }
}

// A blob that is named, and may lie elsewhere.
fn layer(look: &mut Look<'_, '_, '_>, list: &str, descriptor: &Value) {
    let field = |name: &str| {
        descriptor
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let (kind, digest) = (field("mediaType"), field("digest"));
    let urls = descriptor.get("urls").and_then(Value::as_array);
    let url = urls.into_iter().flatten().find_map(Value::as_str);
    let is_foreign = kind.contains(".nondistributable.") || kind.contains(".foreign.");
    if is_foreign || url.is_some() {
        let from = url.map_or_else(String::new, |url| format!(" from `{url}`"));
        let message = format!("the layer {digest} is fetched{from} when the image is used");
        look.broken(&rules::archive::OCI_FOREIGN, None, message);
        return;
    }
    // In a folder, blobs lie beside their manifest.
    let hex = digest.strip_prefix("sha256:").unwrap_or_default();
    let in_layout = named_digest(&look.input.path).is_some() && is_hex(hex);
    if list == "layers" && in_layout && look.work.neighbour(hex) == Some(Neighbour::Missing) {
        look.gap(format!("the layer {digest} is not there"));
    }
}

fn strings<'v>(value: &'v Value, into: &mut Vec<&'v str>, depth: u32) {
    const MAX_DEPTH: u32 = 64;
    match value {
        Value::String(text) => into.push(text),
        Value::Array(values) if depth < MAX_DEPTH => {
            for value in values {
                strings(value, into, depth.saturating_add(1));
            }
        }
        Value::Object(members) if depth < MAX_DEPTH => {
            for value in members.values() {
                strings(value, into, depth.saturating_add(1));
            }
        }
        _ => {}
    }
}

// The digest that the name of a blob is, in a layout.
fn named_digest(path: &str) -> Option<&str> {
    let (folder, hex) = path.rsplit_once('/')?;
    let folder = folder.strip_suffix("blobs/sha256")?;
    let whole = folder.is_empty() || folder.ends_with(['/', '!']);
    (whole && is_hex(hex)).then_some(hex)
}

fn is_hex(text: &str) -> bool {
    let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.len() == 64 && text.bytes().all(digit)
}

/// Compares a member of an archive with its name, if that is a digest.
pub(crate) fn check_name(look: &mut Look<'_, '_, '_>, name: &str, range: Range<u64>) {
    if named_digest(name.trim_start_matches("./")).is_none() {
        return;
    }
    let part = Part::new(look.input.bytes, range);
    let mut hasher = Algorithm::Sha256.hasher();
    let read = each(&part, 0..part.len(), |_, bytes| {
        hasher.update(bytes);
        true
    });
    if read.is_ok() {
        let path = format!("{}!{name}", look.input.path);
        compare(look.work, &path, name, &hasher.finish());
    }
}

/// Compares the digest of something with its name, if that is one.
pub(crate) fn compare(work: &mut Work<'_>, path: &str, name: &str, digest: &Digest) {
    let Some(said) = named_digest(name.trim_start_matches("./")) else {
        return;
    };
    if digest.to_string() != format!("sha256:{said}") {
        let message = format!("it is called {said}, and its digest is {digest}");
        let location = Location {
            path: path.to_owned(),
            ..Location::default()
        };
        work.see(&rules::archive::OCI_DIGEST, location, message);
    }
}
