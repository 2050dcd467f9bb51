//! MXNet: a graph in JSON (`-symbol.json`) and arrays (`.params`).
//!
//! Formats: `nnvm` saves `nodes`, `arg_nodes` and `heads`; `NDArray::Save` of
//! <https://github.com/apache/mxnet/blob/master/src/ndarray/ndarray.cc> writes arrays. A name of an
//! operator that is made for it keeps a regular expression of the loader busy: CVE-2022-24294.

use custos_core::finding::{Location, Severity};
use serde_json::{Map, Value};

use crate::route::Head;
use crate::rules;
use crate::source::{Cursor, CursorError, read_all};
use crate::work::{Input, Look};

/// Largest graph that is read.
const MAX_GRAPH: u64 = 8 << 20;
/// Longest name of an operator that is ordinary.
const MAX_NAME: usize = 200;
/// Most findings of one kind.
const TOLD: u32 = 10;
/// What a list of arrays begins with.
const LIST: u64 = 0x112;
/// What an array begins with: the first, the second and the third version.
const FIRST: u32 = 0xf993_fac8;
const SECOND: u32 = 0xf993_fac9;
const THIRD: u32 = 0xf993_faca;
/// Most dimensions.
const MAX_DIMS: u32 = 64;
/// Longest name of an array.
const MAX_ARRAY_NAME: u64 = 64 << 10;

/// Returns true if it is JSON that begins with nodes, or has them and what else a graph has.
pub(crate) fn is_graph(head: &Head, _: &Input<'_>) -> bool {
    let first = head.bytes().trim_ascii_start();
    let has = |word: &[u8]| first.windows(word.len()).any(|window| window == word);
    first.first() == Some(&b'{')
        && has(b"\"nodes\"")
        && has(b"\"op\"")
        && (has(b"\"inputs\"") || has(b"\"arg_nodes\""))
}

/// Looks at a graph.
pub(crate) fn graph(look: &mut Look<'_, '_, '_>) {
    let size = look.input.bytes.len();
    if size > MAX_GRAPH {
        look.gap("the graph is larger than is read");
        return;
    }
    let read = read_all(look.input.bytes).ok();
    let graph = read.and_then(|bytes| serde_json::from_slice::<Map<String, Value>>(&bytes).ok());
    let Some(graph) = graph else {
        look.broken(&rules::graphs::MXNET_BROKEN, 0, "the graph is no JSON");
        return;
    };
    look.covered.parsed(0..size);
    let nodes = graph.get("nodes").and_then(Value::as_array);
    let mut told = 0;
    for (number, node) in nodes.into_iter().flatten().enumerate() {
        let pointer = format!("/nodes/{number}");
        nested(look, node, &pointer, &mut told);
    }
}

// Graphs may lie in nodes, as those of loops do.
fn nested(look: &mut Look<'_, '_, '_>, node: &Value, pointer: &str, told: &mut u32) {
    const MAX_GRAPHS: usize = 100_000;
    let mut rest = vec![node];
    let mut seen = 0_usize;
    while let Some(node) = rest.pop() {
        seen = seen.saturating_add(1);
        if seen > MAX_GRAPHS {
            look.gap("a node has more graphs than are looked at");
            return;
        }
        operator(look, node, pointer, told);
        let graphs = node.get("subgraphs").and_then(Value::as_array);
        for graph in graphs.into_iter().flatten() {
            rest.extend(
                graph
                    .get("nodes")
                    .and_then(Value::as_array)
                    .into_iter()
                    .flatten(),
            );
        }
    }
}

fn operator(look: &mut Look<'_, '_, '_>, node: &Value, pointer: &str, told: &mut u32) {
    let text = |key: &str| node.get(key).and_then(Value::as_str).unwrap_or_default();
    let (operator, name) = (text("op"), text("name"));
    let at = Location {
        pointer: Some(pointer.to_owned()),
        ..look.here()
    };
    let odd = [("operator", operator), ("node", name)]
        .into_iter()
        .find(|(_, text)| text.len() > MAX_NAME || text.contains(char::is_control));
    if let Some((what, text)) = odd {
        *told = told.saturating_add(1);
        if *told <= TOLD {
            let message = format!("the name of a {what} has {} bytes", text.len());
            let mut finding = rules::graphs::MXNET_NAME.finding(at.clone(), message);
            finding.evidence = Some(text.chars().take(80).collect());
            finding.cves = vec!["CVE-2022-24294".to_owned()];
            if text.len() <= MAX_NAME.saturating_mul(4) {
                finding.severity = Severity::Medium;
            }
            look.work.find(finding);
        }
    }
    if operator == "Custom" || operator == "_Native" || operator == "_NDArray" {
        let kind = ["attrs", "attr", "param"]
            .iter()
            .find_map(|key| node.get(key)?.get("op_type")?.as_str())
            .unwrap_or_default();
        let message = format!("the node `{name}` is the operator `{kind}` of a Python program");
        look.work.see(&rules::graphs::MXNET_CUSTOM, at, message);
    }
}

/// Returns true if it begins as a list of arrays does.
pub(crate) fn is_params(head: &Head, _: &Input<'_>) -> bool {
    let word = |at: usize| {
        let bytes = head.bytes().get(at..)?.first_chunk()?;
        Some(u64::from_le_bytes(*bytes))
    };
    word(0) == Some(LIST) && word(8) == Some(0)
}

/// Looks at arrays and their names.
pub(crate) fn params(look: &mut Look<'_, '_, '_>) {
    let read = arrays(look);
    let why = match read {
        Ok(None) => return,
        Ok(Some(why)) => why.to_owned(),
        Err(error) => error.to_string(),
    };
    look.broken(&rules::graphs::MXNET_BROKEN, None, why);
}

fn arrays(look: &mut Look<'_, '_, '_>) -> Result<Option<&'static str>, CursorError> {
    let input = look.input;
    let mut cursor = Cursor::at(input.bytes, 16);
    let count = cursor.u64()?;
    look.covered.parsed(0..24);
    for _ in 0..count {
        if let Some(why) = array(look, &mut cursor)? {
            return Ok(Some(why));
        }
        if look.work.tick(&input.path).is_err() {
            return Ok(None);
        }
    }
    let start = cursor.position();
    let names = cursor.u64()?;
    for _ in 0..names {
        let len = cursor.u64()?;
        if len > MAX_ARRAY_NAME {
            return Ok(Some("the name of an array is too long"));
        }
        cursor.skip(len)?;
    }
    look.covered.parsed(start..cursor.position());
    if names != 0 && names != count {
        return Ok(Some("there are more or fewer names than arrays"));
    }
    Ok(None)
}

// Returns what is wrong, if something is.
fn array(
    look: &mut Look<'_, '_, '_>,
    cursor: &mut Cursor<'_>,
) -> Result<Option<&'static str>, CursorError> {
    let start = cursor.position();
    let mark = cursor.u32()?;
    let is_marked = matches!(mark, FIRST | SECOND | THIRD);
    if is_marked && mark != FIRST {
        match cursor.u32()? {
            // Dense, in two ways to say so.
            0 | u32::MAX => {}
            _ => return Ok(Some("sparse arrays were not looked at")),
        }
    }
    let ndim = if is_marked { cursor.u32()? } else { mark };
    if ndim > MAX_DIMS && ndim != u32::MAX {
        return Ok(Some("an array has too many dimensions"));
    }
    let mut count = Some(1_u64);
    for _ in 0..(if ndim == u32::MAX { 0 } else { ndim }) {
        let dim = if is_marked {
            cursor.u64()?
        } else {
            u64::from(cursor.u32()?)
        };
        count = count.and_then(|count| count.checked_mul(dim));
    }
    // An array without a shape has nothing behind it; a scalar of the third version has.
    let is_none = if mark == THIRD {
        ndim == u32::MAX
    } else {
        ndim == 0
    };
    if is_none {
        look.covered.parsed(start..cursor.position());
        return Ok(None);
    }
    cursor.skip(8)?;
    let Some(size) = size(cursor.u32()?) else {
        return Ok(Some("an array has a type that is not known"));
    };
    let Some(bytes) = count.and_then(|count| count.checked_mul(size)) else {
        return Ok(Some("the dimensions of an array are no size that can be"));
    };
    let values = cursor.position();
    cursor.skip(bytes)?;
    look.covered.parsed(start..values);
    look.covered.opaque(values..cursor.position());
    Ok(None)
}

// Bytes of each value of a type.
const fn size(kind: u32) -> Option<u64> {
    Some(match kind {
        3 | 5 | 7 => 1,
        2 | 8 | 9 | 12 => 2,
        0 | 4 | 10 => 4,
        1 | 6 | 11 => 8,
        _ => return None,
    })
}
