//! Values of a graph that lie in a file of their own: external data of ONNX, the weights of `OpenVINO`,
//! the shards of a checkpoint of TensorFlow, the weights of TensorFlow.js.
//!
//! Such a file has no header, and its name says nothing about it: what it is, the graph says that
//! refers to it. A graph is looked at before its values are, in an archive because its members are
//! looked at in that order, and in a folder because the graphs around a file that nobody understands
//! are asked for it. Each range that one of them names has bounds then, and holds values; what none
//! of them names stays unknown.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::Options;
use crate::neighbours::Neighbours;
use crate::route::Head;
use crate::source::{Part, ReadAt, find_other};
use crate::unpack::NoShelf;
use crate::work::{Covered, Input, Limits, Look, Work};

/// Formats that name files of values.
const READERS: [&str; 4] = ["onnx", "openvino", "tensorflow-checkpoint", "tensorflow-js"];
/// Most ranges that are remembered.
const MAX_RANGES: usize = 1_000_000;
/// Most files around one that are asked.
const MAX_ASKED: usize = 32;
/// Largest graph that is asked for no more reason than that it is there.
const MAX_GRAPH: u64 = 256 << 20;
/// Shortest values that may be a file of their own.
const MIN_FILE: u64 = 64;
/// Most ranges that are looked at for one.
const MAX_LOOKED: usize = 10_000;

/// Ranges of files that hold values, as graphs name them.
#[derive(Default)]
pub(crate) struct Named {
    files: BTreeMap<String, Vec<Range<u64>>>,
    count: usize,
}

impl Named {
    /// Notes that the graph at `graph` has values in a range of the file at `place`, which counts
    /// from its own folder.
    pub(crate) fn add(&mut self, graph: &str, place: &str, range: Range<u64>) {
        if range.is_empty() || self.count >= MAX_RANGES {
            return;
        }
        let Some(path) = beside(graph, place) else {
            return;
        };
        let ranges = self.files.entry(path).or_default();
        // Values lie one behind the other as a rule.
        match ranges.last_mut() {
            Some(last) if *last == range => {}
            _ => {
                ranges.push(range);
                self.count = self.count.saturating_add(1);
            }
        }
    }

    fn join(&mut self, other: Self) {
        for (path, ranges) in other.files {
            if self.count.saturating_add(ranges.len()) <= MAX_RANGES {
                self.count = self.count.saturating_add(ranges.len());
                self.files.entry(path).or_default().extend(ranges);
            }
        }
    }
}

/// Returns true if a file of this name may be a graph that names files of values.
pub(crate) fn is_graph(name: &str) -> bool {
    let ends = [".onnx", ".index", ".xml", "model.json", "manifest.json"];
    ends.iter().any(|end| name.ends_with(end))
}

/// Returns true if a file of this name may be a graph where that of its values leads to it.
pub(crate) fn may_be_graph(name: &str) -> bool {
    is_graph(name) || [".json"].iter().any(|end| name.ends_with(end))
}

/// Looks at what a graph names, and at nothing else in it.
pub(crate) fn read(work: &mut Work<'_>, path: &str, bytes: &dyn ReadAt) {
    let Ok(head) = Head::of(bytes) else { return };
    let input = Input {
        path: path.to_owned(),
        bytes,
    };
    let readers = super::FORMATS
        .iter()
        .filter(|format| READERS.contains(&format.name) && (format.recognises)(&head, &input));
    let readers: Vec<_> = readers.collect();
    if readers.is_empty() {
        return;
    }
    let named = {
        let options = Options {
            // What lies in the graph is looked at when it is its turn.
            limits: Limits {
                max_depth: 0,
                ..*work.limits()
            },
            shelf: &NoShelf,
            stop: work.stop(),
            neighbours: None,
            knowledge: None,
        };
        let mut own = Work::new(&options);
        for format in readers {
            let mut look = Look {
                input: &input,
                work: &mut own,
                covered: Covered::default(),
            };
            (format.examine)(&mut look);
        }
        std::mem::take(own.named())
    };
    work.named().join(named);
}

/// Marks what of the input graphs name as values. Returns true if one of them names any of it.
pub(crate) fn cover(look: &mut Look<'_, '_, '_>) -> bool {
    let path = look.input.path.clone();
    if !look.work.named().files.contains_key(&path)
        && let Some(neighbours) = look.work.neighbours()
    {
        ask(look.work, &path, neighbours);
    }
    let Some(mut ranges) = look.work.named().files.get(&path).cloned() else {
        return false;
    };
    let size = look.input.bytes.len();
    ranges.sort_unstable_by_key(|range| (range.start, range.end));
    let mut at = 0;
    for (index, range) in ranges.iter().enumerate() {
        let end = range.end.min(size);
        if range.start >= end {
            continue;
        }
        // Between values is what brings them to a round place.
        if at < range.start && find_other(look.input.bytes, at..range.start, 0).is_none() {
            look.covered.parsed(at..range.start);
        }
        look.covered.opaque(range.start..end);
        at = at.max(end);
        let whole = range.start == 0 && end == size;
        if index < MAX_LOOKED && end.saturating_sub(range.start) >= MIN_FILE && !whole {
            let name = format!("values@{}", range.start);
            let part = Part::new(look.input.bytes, range.start..end);
            let outcome = look.work.opaque_member(look.input, &name, &part);
            if outcome.is_err() {
                break;
            }
        }
    }
    if at < size && find_other(look.input.bytes, at..size, 0).is_none() {
        look.covered.parsed(at..size);
    }
    at > 0
}

// Asks the graphs around a file whether it holds values of theirs.
fn ask(work: &mut Work<'_>, path: &str, neighbours: &dyn Neighbours) {
    let name = path.rsplit('/').next().unwrap_or(path);
    let guessed = derived(name).into_iter().map(|name| (name, u64::MAX));
    let around = neighbours.graphs().into_iter();
    let names = guessed.chain(around.map(|name| (name, MAX_GRAPH)));
    let mut asked = 0;
    for (one, most) in names {
        if asked >= MAX_ASKED || work.named().files.contains_key(path) {
            return;
        }
        let (Some(graph), Some(bytes)) = (beside(path, &one), neighbours.open(&one)) else {
            continue;
        };
        asked = asked.saturating_add(1);
        if bytes.len() <= most {
            read(work, &graph, bytes.as_ref());
        }
    }
}

// Names that the graph of a file of values has as a rule; these are asked first.
fn derived(name: &str) -> Vec<String> {
    let mut names = Vec::new();
    if let Some((prefix, _)) = name.rsplit_once(".data-") {
        names.push(format!("{prefix}.index"));
    }
    if let Some((prefix, _)) = name.rsplit_once("-shard") {
        names.push(format!("{prefix}-weights_manifest.json"));
    }
    for end in [".data", "_data", ".bin", ".weights", ".weight"] {
        if let Some(stem) = name.strip_suffix(end) {
            if is_graph(stem) {
                names.push(stem.to_owned());
            } else {
                names.push(format!("{stem}.onnx"));
            }
            names.push(format!("{stem}.xml"));
            names.push(format!("{stem}.json"));
            names.push(format!("{stem}-weights_manifest.json"));
        }
    }
    names
}

/// Returns the path of what lies under a name beside a file; none if it leads above what is known.
pub(crate) fn beside(path: &str, name: &str) -> Option<String> {
    let folder = path.rfind(['/', '!']).map_or(0, |at| at.saturating_add(1));
    let (mut folder, own) = match path.split_at_checked(folder) {
        Some((folder, _)) => (folder.to_owned(), name),
        None => (String::new(), name),
    };
    for part in own.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                let above = folder.strip_suffix('/')?;
                let end = above.rfind(['/', '!']).map_or(0, |at| at.saturating_add(1));
                let (before, last) = above.split_at_checked(end)?;
                if matches!(last, "" | "." | "..") {
                    return None;
                }
                folder = before.to_owned();
            }
            part => {
                folder.push_str(part);
                folder.push('/');
            }
        }
    }
    folder.strip_suffix('/').map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_followed_from_the_folder_of_the_graph() {
        for (path, name, expected) in [
            ("m.onnx", "w.bin", Some("w.bin")),
            ("a/m.onnx", "./b//w.bin", Some("a/b/w.bin")),
            ("a/b/w.bin", "../m.onnx", Some("a/m.onnx")),
            ("x.zip!a/m.onnx", "w", Some("x.zip!a/w")),
            ("x.zip!m.onnx", "w", Some("x.zip!w")),
            ("x.zip!m.onnx", "../w", None),
            ("m.onnx", "../w", None),
            ("../m.onnx", "../w", None),
            ("m.onnx", "", None),
        ] {
            assert_eq!(beside(path, name).as_deref(), expected, "{path} {name}");
        }
        assert_eq!(
            derived("m.onnx.data"),
            [
                "m.onnx",
                "m.onnx.xml",
                "m.onnx.json",
                "m.onnx-weights_manifest.json"
            ]
        );
        assert_eq!(derived("v.data-00000-of-00001"), ["v.index"]);
    }
}
