//! What is left of a graph that no reader takes: it is cut, or of a form that nobody knows.
//!
//! Readers refuse such a file, so that it hurts nobody as it stands; but what it was made for can be
//! told, and the next reader may be more lenient. Three things have a form of their own wherever they
//! lie: the configuration of a Keras layer, the operator of a node, and the place of values in
//! another file. The search is one pass over the bytes.

use std::ops::Range;

use custos_core::finding::{Confidence, Finding, Location, Severity};

use super::{keras, lists, onnx};
use crate::route::{Format, Head};
use crate::rules;
use crate::source::{ReadAt, each, read_full};
use crate::work::{Input, Look};

pub(super) const FORMAT: Format = Format {
    name: "graph-fragments",
    extensions: &[],
    recognises,
    examine,
};

/// Longest fragment of a message that is told.
const MAX_FRAGMENT: usize = 512;
/// Most that are told.
const TOLD: usize = 20;
/// The key of the place of values, as a message has it, and the tag of its value.
const LOCATION: &[u8] = b"\x0a\x08location\x12";
/// The tag of a node's operator, in graphs of TensorFlow and of ONNX.
const TENSORFLOW: u8 = 0x12;
const ONNX: u8 = 0x22;

/// Which fragments a file may have, by what its name says that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Keras,
    Onnx,
    TensorFlow,
}

fn kinds(input: &Input<'_>) -> &'static [Kind] {
    match input.extension().as_str() {
        "h5" | "hdf5" | "keras" => &[Kind::Keras],
        "onnx" => &[Kind::Onnx],
        // A saved model, or what Keras writes beside it.
        "pb" | "meta" => &[Kind::TensorFlow, Kind::Keras],
        _ => &[],
    }
}

// Only what its own parsers do not take.
fn recognises(head: &Head, input: &Input<'_>) -> bool {
    let kinds = kinds(input);
    let known = || {
        head.starts_with(b"PK")
            || super::FORMATS
                .iter()
                .any(|format| format.name != FORMAT.name && (format.recognises)(head, input))
    };
    !kinds.is_empty() && !known() && kinds.iter().any(|kind| is_there(input, *kind))
}

fn is_there(input: &Input<'_>, kind: Kind) -> bool {
    match kind {
        Kind::Keras => keras::holds_class(input.bytes),
        kind => !fragments(input.bytes, kind).is_empty(),
    }
}

fn examine(look: &mut Look<'_, '_, '_>) {
    let size = look.input.bytes.len();
    for kind in kinds(look.input) {
        if *kind == Kind::Keras {
            let whole = 0..size;
            keras::embedded(look, std::slice::from_ref(&whole), keras::Home::Text);
        } else {
            for fragment in fragments(look.input.bytes, *kind) {
                tell(look, &fragment);
            }
        }
    }
    look.gap("no reader takes it for a model; what of one could be told was judged");
}

/// Looks at ranges of a graph of TensorFlow that could not be followed.
pub(super) fn unfollowed(look: &mut Look<'_, '_, '_>, range: &Range<u64>) {
    for fragment in within(look.input.bytes, range.clone(), Kind::TensorFlow) {
        tell(look, &fragment);
    }
}

struct Fragment {
    at: u64,
    what: What,
}

enum What {
    TensorFlow(String, lists::Effect),
    Python(String),
    Place(String),
}

fn fragments(bytes: &dyn ReadAt, kind: Kind) -> Vec<Fragment> {
    within(bytes, 0..bytes.len(), kind)
}

fn within(bytes: &dyn ReadAt, range: Range<u64>, kind: Kind) -> Vec<Fragment> {
    let tags: &[u8] = match kind {
        Kind::TensorFlow => &[TENSORFLOW],
        Kind::Onnx => &[ONNX, 0x0a],
        Kind::Keras => &[],
    };
    let (start, end) = (range.start, range.end);
    let mut places = Vec::new();
    let mut found = Vec::new();
    // Places are gathered piece by piece, and what is there is read behind each piece.
    let outcome = each(bytes, start..end, |at, read| {
        places.clear();
        let tagged = read.iter().enumerate();
        let tagged = tagged.filter(|(_, byte)| tags.contains(byte));
        // What may follow a tag is known: most bytes that look like one are none.
        places.extend(tagged.filter_map(|(place, _)| {
            let next = read.get(place.checked_add(1)?).copied();
            let likely = next.is_none_or(|len| (2..64).contains(&len));
            likely.then(|| at.saturating_add(u64::try_from(place).unwrap_or(u64::MAX)))
        }));
        for place in &places {
            found.extend(fragment(bytes, *place, end));
        }
        found.len() < TOLD
    });
    found.truncate(TOLD);
    outcome.map_or_else(|_| Vec::new(), |()| found)
}

fn fragment(bytes: &dyn ReadAt, at: u64, end: u64) -> Option<Fragment> {
    let mut buffer = [0; MAX_FRAGMENT];
    let most = usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX);
    // A name is short, and a place is read when its key is there.
    let short = buffer.get_mut(..most.min(66))?;
    let count = read_full(bytes, at, short).ok()?;
    let (tag, rest) = short.get(..count)?.split_first()?;
    if *tag == TENSORFLOW || *tag == ONNX {
        let (len, rest) = rest.split_first()?;
        let name = std::str::from_utf8(rest.get(..usize::from(*len))?).ok()?;
        let what = if *tag == TENSORFLOW {
            let effect = lists::tensorflow(name)?;
            (effect.severity >= Severity::High)
                .then(|| What::TensorFlow(name.to_owned(), effect))?
        } else {
            let python = lists::operators().onnx.is_python(name);
            python.then(|| What::Python(name.to_owned()))?
        };
        return Some(Fragment { at, what });
    }
    if !short.starts_with(LOCATION) {
        return None;
    }
    let whole = buffer.get_mut(..most.min(MAX_FRAGMENT))?;
    let count = read_full(bytes, at, whole).ok()?;
    let rest = whole.get(LOCATION.len()..count)?;
    let (len, rest) = match rest {
        [len, rest @ ..] if *len < 0x80 => (usize::from(*len), rest),
        [low, high, rest @ ..] if *high < 0x80 => {
            let len = usize::from(*high).checked_shl(7)? | usize::from(*low & 0x7f);
            (len, rest)
        }
        _ => return None,
    };
    let place = rest.get(..len.min(rest.len()))?;
    let what = What::Place(String::from_utf8_lossy(place).into_owned());
    Some(Fragment { at, what })
}

fn tell(look: &mut Look<'_, '_, '_>, fragment: &Fragment) {
    let at = Location {
        offset: Some(fragment.at),
        ..look.here()
    };
    let mut finding: Finding = match &fragment.what {
        What::TensorFlow(name, effect) => {
            let message = format!("a node ({name}) that no graph leads to {}", effect.why);
            let mut finding = rules::graphs::TENSORFLOW_OPERATOR.finding(at, message);
            finding.severity = effect.severity;
            finding.evidence = Some(name.clone());
            finding
        }
        What::Python(name) => {
            let message =
                format!("the operator `{name}`, to which no graph leads, runs a Python program");
            rules::graphs::ONNX_PYTHON_OPERATOR.finding(at, message)
        }
        What::Place(place) => {
            let Some(finding) = onnx::place(place, at) else {
                return;
            };
            finding
        }
    };
    finding.confidence = Confidence::Medium;
    look.work.find(finding);
}
