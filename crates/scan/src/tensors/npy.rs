//! NumPy arrays in files: a header that is a literal of Python, and the elements.
//!
//! Format: numpy, `numpy/lib/format.py`, versions 1 to 3. An array of objects, or one with objects in
//! a field, is stored as a pickle (CVE-2019-6446): it is looked at like any other. Several arrays
//! may follow each other in one file.

mod kinds;
mod literal;

use custos_core::finding::Severity;

use crate::pickle;
use crate::route::Head;
use crate::rules;
use crate::source::{Cursor, CursorError, Part};
use crate::work::{Input, Look};

use kinds::Element;
use literal::{Literal, NoLiteral};

const MAGIC: &[u8] = b"\x93NUMPY";
/// Largest header that is read; NumPy itself takes 10,000 bytes unless told otherwise.
const MAX_HEADER: u32 = 1 << 20;

/// Returns true if it begins with the mark.
pub(crate) fn recognises(head: &Head, _: &Input<'_>) -> bool {
    head.starts_with(MAGIC)
}

/// Returns true if it begins with the mark and a version that there is: no values do.
pub(crate) fn is_surely(input: &Input<'_>) -> bool {
    let mut cursor = Cursor::at(input.bytes, 0);
    matches!(cursor.peek(8), [mark @ .., 1..=3, _] if mark == MAGIC)
}

/// Looks at all arrays of a file.
pub(crate) fn examine(look: &mut Look<'_, '_, '_>) {
    let size = look.input.bytes.len();
    let mut at = 0;
    while at < size && look.work.tick(&look.input.path).is_ok() {
        let Some(end) = array(look, at) else {
            return;
        };
        at = end;
        if Cursor::at(look.input.bytes, at).peek(MAGIC.len()) != MAGIC {
            break;
        }
    }
    // A limit is noted where it fired.
    let _ = look.trailing_by(&rules::tensors::NPY_SIZE, at..size);
}

// Looks at the array that begins here, and returns where it ends.
fn array(look: &mut Look<'_, '_, '_>, start: u64) -> Option<u64> {
    let (text, data) = match header(look, start) {
        Ok(Some(header)) => header,
        Ok(None) => return None,
        Err(error) => {
            look.broken(&rules::tensors::NPY_HEADER, start, error.to_string());
            return None;
        }
    };
    look.covered.parsed(start..data);
    let literal = match literal::parse(&text) {
        Ok(literal) => literal,
        Err(NoLiteral::Broken) => {
            let message = "the header is no literal of Python";
            look.broken(&rules::tensors::NPY_HEADER, start, message);
            return objects_all_the_same(look, data);
        }
        Err(NoLiteral::Expression) => {
            let mut finding = rules::tensors::NPY_EXPRESSION
                .finding(look.here(), "the header names or computes something");
            finding.location.offset = Some(start);
            finding.evidence = Some(text.chars().take(200).collect());
            look.work.find(finding);
            look.gap("its header cannot be read");
            return objects_all_the_same(look, data);
        }
    };
    let Some(header) = Header::of(&literal) else {
        let message = "the header is not `descr`, `fortran_order` and `shape`";
        look.broken(&rules::tensors::NPY_HEADER, start, message);
        return objects_all_the_same(look, data);
    };
    elements(look, &header, data)
}

// NumPy has more spellings of types than are read here, and some of them are objects.
fn objects_all_the_same(look: &mut Look<'_, '_, '_>, data: u64) -> Option<u64> {
    let size = look.input.bytes.len();
    let part = Part::new(look.input.bytes, data..size);
    let input = Input {
        path: look.input.path.clone(),
        bytes: &part,
    };
    if pickle::is_surely(&input) {
        objects(look, data);
    }
    None
}

fn objects(look: &mut Look<'_, '_, '_>, data: u64) {
    let size = look.input.bytes.len();
    let message = "its elements are Python objects, stored as a pickle";
    let mut finding = rules::tensors::NPY_OBJECT.finding(look.here(), message);
    finding.location.offset = Some(data);
    finding.cves = vec!["CVE-2019-6446".to_owned()];
    look.work.find(finding);
    // A limit is noted where it fired.
    let _ = look.part("objects", data..size);
}

fn header(look: &mut Look<'_, '_, '_>, start: u64) -> Result<Option<(String, u64)>, CursorError> {
    let mut cursor = Cursor::at(look.input.bytes, start);
    cursor.skip(6)?;
    let [major, minor] = cursor.array()?;
    let len = match major {
        1 => u32::from(cursor.u16()?),
        2 | 3 => cursor.u32()?,
        _ => {
            look.gap(format!("its version {major}.{minor} is not one of 1 to 3"));
            return Ok(None);
        }
    };
    if len > MAX_HEADER || u64::from(len) > cursor.left() {
        let message = format!("the header has {len} bytes, more than there are or are read");
        look.broken(&rules::tensors::NPY_HEADER, start, message);
        return Ok(None);
    }
    let bytes = cursor.take(usize::try_from(len).unwrap_or(0))?;
    // Version 1 and 2 are Latin-1, which differs in names of fields alone.
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok(Some((text, cursor.position())))
}

fn elements(look: &mut Look<'_, '_, '_>, header: &Header, data: u64) -> Option<u64> {
    let size = look.input.bytes.len();
    let left = size.saturating_sub(data);
    if header.element.objects {
        objects(look, data);
        return Some(size);
    }
    let count = header
        .shape
        .iter()
        .try_fold(1_u64, |product, one| product.checked_mul(*one));
    let bytes = count.and_then(|count| count.checked_mul(header.element.size));
    let Some(bytes) = bytes.filter(|bytes| i64::try_from(*bytes).is_ok()) else {
        let message = format!("the shape {:?} exceeds 64 bits", header.shape);
        look.broken(&rules::tensors::NPY_OVERFLOW, data, message);
        return None;
    };
    if bytes > left {
        let message = format!("its shape and type make {bytes} bytes, and {left} are left");
        let mut finding = rules::tensors::NPY_SIZE.finding(look.here(), message.clone());
        finding.location.offset = Some(data);
        finding.severity = Severity::Medium;
        look.work.find(finding);
        look.gap(message);
        look.covered.opaque(data..size);
        return None;
    }
    let end = data.saturating_add(bytes);
    look.covered.opaque(data..end);
    // A limit is noted where it fired.
    let part = Part::new(look.input.bytes, data..end);
    let _ = look.work.opaque_member(look.input, "elements", &part);
    Some(end)
}

struct Header {
    element: Element,
    shape: Vec<u64>,
}

impl Header {
    fn of(literal: &Literal) -> Option<Self> {
        let Literal::Dict(entries) = literal else {
            return None;
        };
        let mut found: [Option<&Literal>; 3] = [None; 3];
        for (key, value) in entries {
            let Literal::Text(key) = key else {
                return None;
            };
            let place = ["descr", "fortran_order", "shape"]
                .iter()
                .position(|name| name == key)?;
            let slot = found.get_mut(place)?;
            if slot.replace(value).is_some() {
                return None;
            }
        }
        let [
            Some(descr),
            Some(Literal::Bool(_)),
            Some(Literal::Tuple(shape)),
        ] = found
        else {
            return None;
        };
        Some(Self {
            element: kinds::element(descr)?,
            shape: kinds::dimensions(shape)?,
        })
    }
}
