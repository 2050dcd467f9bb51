//! safetensors: a JSON header, and tensors one after another.
//!
//! Format: huggingface/safetensors, README. Eight bytes give the length of the header (N), N bytes
//! hold an object of tensors (`dtype`, `shape`, `data_offsets` from the end of the header) and the
//! texts of `__metadata__`. Tensors cover what follows without holes; the reference refuses headers
//! above 100 MB, duplicate names, holes, overlaps, and bytes behind the last tensor. What a strict
//! loader refuses, a careless one reads: each of these is a finding, and not only an error.

mod header;

use custos_core::finding::Location;

use crate::archive::zip::leads_out;
use crate::route::Head;
use crate::rules::{self, Rule};
use crate::source::Part;
use crate::text;
use crate::work::{Input, Look};

use header::{Header, Tensor, Unfit, Unreadable};

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
    for tensor in &header.tensors {
        let [from, to] = tensor.place;
        let place = |offset: u64| data.saturating_add(offset).min(size);
        look.covered.opaque(place(from)..place(to));
    }
}

// Reads the header, and returns where the data begins.
fn header(look: &mut Look<'_, '_, '_>) -> Option<(Header, u64)> {
    let size = look.input.bytes.len();
    let len = look.input.cursor().u64().ok()?;
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
    let part = Part::new(look.input.bytes, 8..data);
    match Header::read(&part) {
        Ok(header) => {
            look.covered.parsed(0..data);
            Some((header, data))
        }
        Err(Unreadable::Large(what)) => {
            let path = look.input.path.clone();
            look.work.limit(&path, what);
            None
        }
        Err(Unreadable::Json(fault)) => {
            let message = format!("the header is not accepted: {fault}");
            look.broken(&rules::tensors::SAFETENSORS_BROKEN, 8, message);
            None
        }
        Err(Unreadable::Shape(at, what)) => {
            let at = at.saturating_add(8);
            let message = format!("the header is not accepted: {what}");
            look.broken(&rules::tensors::SAFETENSORS_BROKEN, at, message);
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
            pointer: Some(format!("/{}", pointer(name))),
            ..Location::default()
        };
        self.look.work.see(rule, location, message);
    }

    fn metadata(&mut self, header: &Header) {
        for (at, name) in header.oddities.iter().take(TOLD) {
            let at = at.saturating_add(8);
            self.look
                .see(&rules::tensors::SAFETENSORS_BROKEN, at, name.clone());
        }
        for (name, text) in &header.metadata {
            let place = Location {
                pointer: Some(format!("/__metadata__/{}", pointer(name))),
                ..self.look.here()
            };
            if name.contains("chat_template") {
                text::template::examine(self.look, &place, text);
            }
            text::inspect(self.look, &place, text);
            if text.len() > MAX_METADATA {
                let message = format!("the metadata `{name}` has {} bytes", text.len());
                let rule = &rules::tensors::SAFETENSORS_METADATA;
                self.see_tensor(rule, "__metadata__", message);
            }
        }
    }

    // Returns true if tensors cover the data, each byte once.
    fn check(&mut self, header: &Header, size: u64) -> bool {
        let mut sound = true;
        let mut told = 0_usize;
        self.names(header);
        for tensor in &header.tensors {
            let [from, to] = tensor.place;
            let name = &tensor.name;
            let held = to.saturating_sub(from);
            let fault = match &tensor.bytes {
                _ if from > to || to > size => Some(format!(
                    "`{name}` lies at {from}..{to}, outside of the {size} bytes of data"
                )),
                Err(Unfit::Type(kind)) => Some(format!("`{name}` has the unknown type `{kind}`")),
                Ok(needed) if *needed == held => None,
                _ => Some(format!(
                    "`{name}` has {held} bytes, which its shape and type do not"
                )),
            };
            if let Some(message) = fault {
                sound = false;
                told = told.saturating_add(1);
                if told <= TOLD {
                    self.see_tensor(&rules::tensors::SAFETENSORS_TENSOR, name, message);
                }
            }
        }
        self.layout(header, size) && sound
    }

    // Names become names of files, keys of programs, and lines of a terminal.
    fn names(&mut self, header: &Header) {
        let odd = header
            .tensors
            .iter()
            .map(|tensor| &tensor.name)
            .filter(|name| leads_out(name) || name.chars().any(char::is_control));
        for name in odd.take(TOLD) {
            let message = format!("a tensor is called {name:?}");
            self.see_tensor(&rules::tensors::SAFETENSORS_NAME, name, message);
        }
    }

    // Each byte of the data belongs to one tensor.
    fn layout(&mut self, header: &Header, size: u64) -> bool {
        let mut ranges: Vec<&Tensor> = header.tensors.iter().collect();
        ranges.sort_unstable_by_key(|tensor| tensor.place);
        let (mut at, mut sound) = (0, true);
        let mut told = 0_usize;
        for tensor in ranges {
            let ([from, to], name) = (tensor.place, &tensor.name);
            if from != at {
                sound = false;
                told = told.saturating_add(1);
            }
            if from != at && told <= TOLD {
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
            let end = self.look.input.bytes.len();
            // A limit is noted where it fired.
            let _ = self
                .look
                .trailing_by(&rules::tensors::SAFETENSORS_LAYOUT, from..end);
        }
        sound
    }
}

// A name as a part of a JSON pointer (RFC 6901).
fn pointer(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}
