//! safetensors: a JSON header, and tensors one after another.
//!
//! Format: huggingface/safetensors, README. Eight bytes give the length of the header (N), N bytes
//! hold an object of tensors (`dtype`, `shape`, `data_offsets` from the end of the header) and the
//! texts of `__metadata__`. Tensors cover what follows without holes; the reference refuses headers
//! above 100 MB, duplicate names, holes, overlaps, and bytes behind the last tensor. What a strict
//! loader refuses, a careless one reads: each of these is a finding, and not only an error.

use std::collections::BTreeMap;

use custos_core::finding::Location;
use custos_core::json;
use custos_core::limits::Limits;
use serde::Deserialize;
use serde::de::{MapAccess, Visitor};

use crate::route::Head;
use crate::rules::{self, Rule};
use crate::work::{Input, Look};

/// Largest header that the reference reads.
const MAX_HEADER: u64 = 100_000_000;
/// Longest value of the metadata that is ordinary.
const MAX_METADATA: usize = 1 << 20;
/// Most faults of one kind that are told one by one.
const TOLD: usize = 10;

/// Returns true if a length and an object follow each other.
pub(crate) fn recognises(head: &Head, _: &Input<'_>) -> bool {
    let Some((len, rest)) = head.bytes().split_first_chunk() else {
        return false;
    };
    // Eight letters are no length, and begin a text that goes on with a brace.
    let text = len
        .iter()
        .all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace());
    let len = u64::from_le_bytes(*len);
    !text
        && len >= 2
        && rest.first() == Some(&b'{')
        && matches!(rest.get(1), Some(b'"' | b'}' | b' ' | b'\n'))
}

/// Looks at the header, and at how tensors cover what follows.
pub(crate) fn examine(look: &mut Look<'_, '_, '_>) {
    let Some((header, data)) = header(look) else {
        return;
    };
    let size = look.input.bytes.len();
    let mut tensors = Tensors { look };
    tensors.metadata(&header);
    if tensors.check(&header, size.saturating_sub(data)) {
        look.covered.opaque(data..size);
        return;
    }
    for tensor in header.tensors.values() {
        let [from, to] = tensor.data_offsets;
        let place = |offset: u64| data.saturating_add(offset).min(size);
        look.covered.opaque(place(from)..place(to));
    }
}

// Reads the header, and returns where the data begins.
fn header(look: &mut Look<'_, '_, '_>) -> Option<(Header, u64)> {
    let size = look.input.bytes.len();
    let mut cursor = look.input.cursor();
    let len = cursor.u64().ok()?;
    let data = 8_u64.saturating_add(len);
    if data > size {
        let message = format!("the header of {len} bytes is longer than the file");
        look.broken(&rules::tensors::SAFETENSORS_BROKEN, 0, message);
        return None;
    }
    if len > MAX_HEADER {
        let message = format!("the header has {len} bytes; loaders take at most {MAX_HEADER}");
        look.broken(&rules::tensors::SAFETENSORS_HEADER, 0, message);
        return None;
    }
    let bytes = usize::try_from(len)
        .ok()
        .and_then(|len| cursor.take(len).ok());
    let Some(bytes) = bytes else {
        look.gap("its header cannot be read");
        return None;
    };
    look.covered.parsed(0..data);
    // The strict parser sees what loaders do not agree on, such as a key that is there twice.
    let limits = Limits::STATEMENT.with_max_bytes(bytes.len());
    if let Err(error) = json::check(&bytes, &limits) {
        let message = format!("loaders differ about the header: {error}");
        look.see(&rules::tensors::SAFETENSORS_BROKEN, 8, message);
    }
    match serde_json::from_slice(&bytes) {
        Ok(header) => Some((header, data)),
        Err(error) => {
            let message = format!("the header is not accepted: {error}");
            look.broken(&rules::tensors::SAFETENSORS_BROKEN, 8, message);
            None
        }
    }
}

struct Tensors<'l, 'i, 'w, 's> {
    look: &'l mut Look<'i, 'w, 's>,
}

impl Tensors<'_, '_, '_, '_> {
    fn see_tensor(&mut self, rule: &'static Rule, name: &str, message: String) {
        let location = Location {
            path: self.look.input.path.clone(),
            pointer: Some(format!("/{}", name.replace('~', "~0").replace('/', "~1"))),
            ..Location::default()
        };
        self.look.work.see(rule, location, message);
    }

    fn metadata(&mut self, header: &Header) {
        for (name, value) in &header.metadata {
            let Some(text) = value.as_str() else {
                let message = format!("the metadata `{name}` is no text");
                self.see_tensor(&rules::tensors::SAFETENSORS_BROKEN, "__metadata__", message);
                continue;
            };
            if text.len() > MAX_METADATA {
                let message = format!("the metadata `{name}` has {} bytes", text.len());
                self.see_tensor(
                    &rules::tensors::SAFETENSORS_METADATA,
                    "__metadata__",
                    message,
                );
            }
        }
    }

    // Returns true if tensors cover the data, each byte once.
    fn check(&mut self, header: &Header, size: u64) -> bool {
        let mut ranges = Vec::with_capacity(header.tensors.len());
        let mut sound = true;
        let mut told = 0_usize;
        for (name, tensor) in &header.tensors {
            let [from, to] = tensor.data_offsets;
            ranges.push((from, to, name));
            let needed = tensor.bytes();
            let fault = if from > to || to > size {
                Some(format!(
                    "`{name}` lies at {from}..{to}, outside of the {size} bytes of data"
                ))
            } else if needed == Err(Unfit::Type) {
                Some(format!("`{name}` has the unknown type `{}`", tensor.dtype))
            } else if needed != Ok(to.saturating_sub(from)) {
                let held = to.saturating_sub(from);
                Some(format!(
                    "`{name}` has {held} bytes, which its shape and type do not"
                ))
            } else {
                None
            };
            if let Some(message) = fault {
                sound = false;
                told = told.saturating_add(1);
                if told <= TOLD {
                    self.see_tensor(&rules::tensors::SAFETENSORS_TENSOR, name, message);
                }
            }
        }
        self.layout(ranges, size) && sound
    }

    // Each byte of the data belongs to one tensor.
    fn layout(&mut self, mut ranges: Vec<(u64, u64, &String)>, size: u64) -> bool {
        ranges.sort_unstable();
        let (mut at, mut sound) = (0, true);
        for (from, to, name) in ranges {
            if from != at {
                sound = false;
                let message = match from.checked_sub(at) {
                    Some(hole) => format!("{hole} bytes before `{name}` belong to no tensor"),
                    None => format!("`{name}` shares bytes with another tensor"),
                };
                self.see_tensor(&rules::tensors::SAFETENSORS_LAYOUT, name, message);
            }
            at = at.max(to);
        }
        let rest = size.saturating_sub(at);
        if rest > 0 {
            sound = false;
            let from = self.look.input.bytes.len().saturating_sub(rest);
            let message = format!("{rest} bytes follow the last tensor");
            self.look
                .see(&rules::tensors::SAFETENSORS_LAYOUT, from, message);
        }
        sound
    }
}

struct Header {
    tensors: BTreeMap<String, Tensor>,
    metadata: serde_json::Map<String, serde_json::Value>,
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Header;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let mut header = Header {
                    tensors: BTreeMap::new(),
                    metadata: serde_json::Map::new(),
                };
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        header.metadata = map.next_value()?;
                    } else {
                        header.tensors.insert(name, map.next_value()?);
                    }
                }
                Ok(header)
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

#[derive(Deserialize)]
struct Tensor {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: [u64; 2],
}

#[derive(Debug, PartialEq, Eq)]
enum Unfit {
    Type,
    TooLarge,
}

impl Tensor {
    // How many bytes the shape and the type make.
    fn bytes(&self) -> Result<u64, Unfit> {
        let bits = match self.dtype.as_str() {
            "F4" => 4,
            "F6_E2M3" | "F6_E3M2" => 6,
            "BOOL" | "U8" | "I8" | "F8_E4M3" | "F8_E5M2" | "F8_E8M0" | "F8_E4M3FNUZ"
            | "F8_E5M2FNUZ" => 8,
            "U16" | "I16" | "F16" | "BF16" => 16,
            "U32" | "I32" | "F32" => 32,
            "U64" | "I64" | "F64" | "C64" => 64,
            "C128" => 128,
            _ => return Err(Unfit::Type),
        };
        let elements = self
            .shape
            .iter()
            .try_fold(1_u64, |product, dimension| product.checked_mul(*dimension));
        let bits = elements.and_then(|elements| elements.checked_mul(bits));
        let bits = bits.filter(|bits| bits.is_multiple_of(8));
        bits.map(|bits| bits / 8).ok_or(Unfit::TooLarge)
    }
}
