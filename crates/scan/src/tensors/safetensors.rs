//! safetensors: a JSON header, and tensors one after another.
//!
//! Format: huggingface/safetensors, README. Eight bytes give the length of the header (N), N bytes
//! hold an object of tensors (`dtype`, `shape`, `data_offsets` from the end of the header) and the
//! texts of `__metadata__`. Tensors cover what follows without holes; the reference refuses headers
//! above 100 MB, duplicate names, holes, overlaps, and bytes behind the last tensor. What a strict
//! loader refuses, a careless one reads: each of these is a finding, and not only an error.

mod header;

use custos_core::finding::{Location, Severity};

use crate::route::{self, Head};
use crate::rules::{self, Rule};
use crate::source::{Part, ReadAt};
use crate::text::json::{Fault, Reader};
use crate::work::{Input, Look};

use super::{names, notes};

use header::{Header, Tensor, Unfit, Unreadable};

const NAME: &str = "safetensors";
/// Largest header that the reference reads.
const MAX_HEADER: u64 = 100_000_000;
/// Longest value of the metadata that is ordinary.
const MAX_METADATA: usize = 1 << 20;
/// Most faults of one kind that are told one by one.
const TOLD: usize = 10;

/// Returns true if a length and an object follow each other, or if the name says so of what nobody
/// else knows: a loader that goes by the name takes the first bytes for a length.
pub(crate) fn recognises(head: &Head, input: &Input<'_>) -> bool {
    has_header(head)
        || input.extension() == NAME
            && head.bytes().len() >= 8
            && !route::is_known_otherwise(NAME, head, input)
}

fn has_header(head: &Head) -> bool {
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
    // Of what is not called so, the first bytes may be anything.
    let named = look.input.extension() == NAME;
    if data > size && (len <= MAX_HEADER || !named) {
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
        Err(Unreadable::Json(_) | Unreadable::Shape(..)) if is_deep(&part) => {
            let message = "brackets of the header are nested hundreds of times";
            look.broken(&rules::tensors::SAFETENSORS_DEPTH, 8, message);
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

// True if brackets are nested deeper than is followed, whatever else is wrong.
fn is_deep(bytes: &dyn ReadAt) -> bool {
    let mut reader = Reader::new(bytes);
    loop {
        match reader.next() {
            Ok(Some(_)) => {}
            Ok(None) => return false,
            Err(fault) => return matches!(fault, Fault::Deep(_)),
        }
    }
}

struct Tensors<'l, 'i, 'w, 's> {
    look: &'l mut Look<'i, 'w, 's>,
}

impl Tensors<'_, '_, '_, '_> {
    fn see_tensor(&mut self, rule: &'static Rule, name: &str, message: String) {
        self.see_as(rule, rule.severity, (name, message));
    }

    fn see_as(&mut self, rule: &'static Rule, severity: Severity, (name, message): (&str, String)) {
        let location = Location {
            path: self.look.input.path.clone(),
            pointer: Some(format!("/{}", pointer(name))),
            ..Location::default()
        };
        let mut finding = rule.finding(location, message);
        finding.severity = severity;
        self.look.work.find(finding);
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
            notes::key(self.look, &place, name);
            notes::inspect(self.look, &place, (name, text));
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

    fn names(&mut self, header: &Header) {
        let odd = header
            .tensors
            .iter()
            .filter_map(|tensor| Some((&tensor.name, names::fault(&tensor.name)?)));
        for (name, (severity, does)) in odd.take(TOLD) {
            let message = format!("a tensor is called {name:?}, which {does}");
            let rule = &rules::tensors::SAFETENSORS_NAME;
            self.see_as(rule, severity, (name, message));
        }
    }

    // Each byte of the data belongs to one tensor.
    fn layout(&mut self, header: &Header, size: u64) -> bool {
        let mut ranges: Vec<&Tensor> = header.tensors.iter().collect();
        ranges.sort_unstable_by_key(|tensor| tensor.place);
        let (mut at, mut sound) = (0, true);
        let mut told = 0_usize;
        let mut before = None;
        for tensor in ranges {
            let ([from, to], name) = (tensor.place, &tensor.name);
            if from != at {
                sound = false;
                told = told.saturating_add(1);
            }
            if from != at && told <= TOLD {
                // Tied weights may be written once, under two names; parts of two are never one.
                let tied = before == Some(tensor.place) || from == to;
                let (severity, message) = match from.checked_sub(at) {
                    Some(hole) => (
                        Severity::Medium,
                        format!("{hole} bytes before `{name}` belong to no tensor"),
                    ),
                    None if tied => (
                        Severity::Medium,
                        format!("`{name}` lies where another tensor does"),
                    ),
                    None => (
                        Severity::High,
                        format!("`{name}` shares bytes with another tensor"),
                    ),
                };
                let rule = &rules::tensors::SAFETENSORS_LAYOUT;
                self.see_as(rule, severity, (name, message));
            }
            before = Some(tensor.place);
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
