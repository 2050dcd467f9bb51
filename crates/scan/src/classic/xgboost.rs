//! XGBoost: models as JSON, as UBJSON, and as the memory of old releases.
//!
//! dmlc/xgboost, `doc/tutorials/saving_model.rst`. A model is an object with `learner` and `version`;
//! each tree is a set of lists, one element a node, which have to be of the same length: loaders
//! take an index of one for all others.

mod old;
mod ubjson;

use custos_core::finding::Location;

use crate::route::Head;
use crate::rules;
use crate::source::{Cursor, CursorError};
use crate::text::{self, json};
use crate::work::{Input, Look};

use ubjson::{Event, Fault, Walk};

/// Most values of one model.
const MAX_VALUES: u64 = 500_000_000;
/// Longest text that is looked at.
const MAX_TEXT: u64 = 16 << 20;
/// Lists of a tree that have one element for each node.
const LISTS: [&str; 6] = [
    "left_children",
    "right_children",
    "parents",
    "split_indices",
    "split_conditions",
    "default_left",
];

/// Returns true if it is an object that begins with one of a model's keys, and has another.
pub(crate) fn is_json(head: &Head, _: &Input<'_>) -> bool {
    let start = head.bytes().trim_ascii_start();
    let Some(rest) = start.strip_prefix(b"{") else {
        return false;
    };
    let rest = rest.trim_ascii_start();
    let has = |key: &[u8]| rest.windows(key.len()).any(|part| part == key);
    (rest.starts_with(b"\"learner\"") || rest.starts_with(b"\"version\""))
        && has(b"\"learner\"")
        && (has(b"\"gradient_booster\"")
            || has(b"\"learner_model_param\"")
            || has(b"\"attributes\""))
}

/// Returns true if it is such an object in UBJSON.
pub(crate) fn is_ubjson(head: &Head, _: &Input<'_>) -> bool {
    let ([b'{', b'L', 0, 0, 0, 0, 0, 0, 0, _, rest @ ..]
    | [b'{', b'l', 0, 0, 0, _, rest @ ..]
    | [b'{', b'I', 0, _, rest @ ..]
    | [b'{', b'i' | b'U', _, rest @ ..]) = head.bytes()
    else {
        return false;
    };
    [&b"learner"[..], b"version", b"Config"]
        .iter()
        .any(|key| rest.starts_with(key))
}

/// Returns true if it is the memory of an old release: a mark, or the names of its parts where they
/// are.
pub(crate) fn is_old(head: &Head, _: &Input<'_>) -> bool {
    const PARAMETERS: usize = 136;
    let bytes = head.bytes();
    let bytes = bytes.strip_prefix(b"binf").unwrap_or(bytes);
    let Some((len, rest)) = bytes
        .get(PARAMETERS..)
        .and_then(|rest| rest.split_first_chunk())
    else {
        return false;
    };
    let name = usize::try_from(u64::from_le_bytes(*len))
        .ok()
        .filter(|len| (4..64).contains(len))
        .and_then(|len| rest.get(..len));
    name.is_some_and(|name| {
        ["reg:", "binary:", "multi:", "rank:", "count:", "survival:"]
            .iter()
            .any(|kind| name.starts_with(kind.as_bytes()))
    })
}

/// Reads the memory of an old release.
pub(crate) fn examine_old(look: &mut Look<'_, '_, '_>) {
    let size = look.input.bytes.len();
    match old::read(look) {
        Ok(end) => {
            look.covered.parsed(0..end);
            // A limit is noted where it fired.
            let _ = look.trailing(end..size);
        }
        Err(old::Stop::Cursor(CursorError::Io(error))) => {
            look.gap(format!("it cannot be read: {error}"));
        }
        Err(old::Stop::Cursor(CursorError::End { at })) => {
            let message = "the memory of an old release ends in the middle";
            look.broken(&rules::classic::XGBOOST_BROKEN, at, message);
        }
        Err(old::Stop::Unknown(at, what)) => {
            look.broken(&rules::classic::XGBOOST_BROKEN, at, what);
        }
        Err(old::Stop::Told) => {}
    }
}

// One tree: the lists that were counted so far, and the depth that they lie at.
#[derive(Default)]
struct Tree {
    depth: usize,
    lists: Vec<(&'static str, u64)>,
}

// What lies where: the open objects, and which list of a tree is counted.
#[derive(Default)]
struct Trees {
    open: Vec<Tree>,
    // The list whose elements come, and at which depth.
    list: Option<(&'static str, usize, u64)>,
    told: u64,
}

impl Trees {
    fn key(&mut self, key: &str, depth: usize) {
        self.list = LISTS
            .into_iter()
            .find(|name| *name == key)
            .map(|name| (name, depth, 0));
    }

    fn counted(&mut self, name: &'static str, depth: usize, count: u64) {
        if self.open.last().is_none_or(|tree| tree.depth != depth) {
            self.open.push(Tree {
                depth,
                lists: Vec::new(),
            });
        }
        if let Some(tree) = self.open.last_mut() {
            tree.lists.push((name, count));
        }
    }

    // An object of this depth ends.
    fn close(&mut self, depth: usize, at: u64, look: &mut Look<'_, '_, '_>) {
        let Some(tree) = self.open.pop_if(|tree| tree.depth >= depth) else {
            return;
        };
        let Some((first, count)) = tree.lists.first().copied() else {
            return;
        };
        let other = tree.lists.iter().find(|(_, other)| *other != count);
        if let Some((name, other)) = other {
            self.told = self.told.saturating_add(1);
            if self.told <= 10 {
                let message =
                    format!("a tree has {count} nodes by `{first}`, and {other} by `{name}`");
                look.see(&rules::classic::XGBOOST_TREE, at, message);
            }
        }
    }
}

/// Looks at a model in JSON, token by token.
pub(crate) fn examine_json(look: &mut Look<'_, '_, '_>) {
    let mut reader = json::Reader::new(look.input.bytes);
    let mut trees = Trees::default();
    let (mut depth, mut count) = (0_usize, 0_u64);
    let outcome = loop {
        count = count.saturating_add(1);
        if count.is_multiple_of(1 << 14) && look.work.tick(&look.input.path).is_err() {
            return;
        }
        let (token, place) = match reader.next() {
            Ok(Some(next)) => next,
            Ok(None) => break Ok(()),
            Err(fault) => break Err(fault),
        };
        let at = place.offset;
        match token {
            json::Token::Key(key) => trees.key(key, depth),
            json::Token::ObjectStart | json::Token::ArrayStart => {
                depth = depth.saturating_add(1);
            }
            json::Token::ArrayEnd => {
                depth = depth.saturating_sub(1);
                if let Some((name, of, count)) = trees.list.take_if(|(_, of, _)| *of == depth) {
                    trees.counted(name, of, count);
                }
            }
            json::Token::ObjectEnd => {
                trees.close(depth, at, look);
                depth = depth.saturating_sub(1);
            }
            json::Token::Text(text) => inspect(look, at, text),
            json::Token::Number(_) | json::Token::Bool(_) | json::Token::Null => {
                let inside = depth.saturating_sub(1);
                if let Some((_, _, count)) = trees.list.as_mut().filter(|(_, of, _)| *of == inside)
                {
                    *count = count.saturating_add(1);
                }
            }
        }
    };
    let at = reader.position();
    look.covered.parsed(0..at);
    match outcome {
        Ok(()) => {
            let size = look.input.bytes.len();
            let blank = Cursor::at(look.input.bytes, at)
                .peek(4096)
                .trim_ascii()
                .is_empty();
            if blank && size.saturating_sub(at) <= 4096 {
                look.covered.parsed(at..size);
            } else {
                // A limit is noted where it fired.
                let _ = look.trailing(at..size);
            }
        }
        Err(fault) => look.broken(&rules::classic::XGBOOST_BROKEN, at, fault.to_string()),
    }
}

fn inspect(look: &mut Look<'_, '_, '_>, at: u64, text: &str) {
    // Parameters are numbers written as texts.
    if text.len() < 8 {
        return;
    }
    let place = Location {
        offset: Some(at),
        ..look.here()
    };
    text::inspect(look, &place, text);
}

/// Looks at a model in UBJSON.
pub(crate) fn examine_ubjson(look: &mut Look<'_, '_, '_>) {
    let mut walk = Walk::new(look.input.bytes);
    let mut trees = Trees::default();
    let mut keys: Vec<std::collections::BTreeSet<String>> = Vec::new();
    let mut count = 0_u64;
    loop {
        count = count.saturating_add(1);
        if count > MAX_VALUES {
            let path = look.input.path.clone();
            look.work.limit(&path, "values");
            return;
        }
        if count.is_multiple_of(1 << 14) && look.work.tick(&look.input.path).is_err() {
            return;
        }
        let at = walk.position();
        let event = match walk.next() {
            Ok(event) => event,
            Err(fault) => {
                look.covered.parsed(0..at);
                broken(look, at, fault);
                return;
            }
        };
        let depth = walk.depth();
        match event {
            Event::End => break,
            Event::Key(key) => {
                trees.key(&key, depth);
                keys.resize_with(depth, std::collections::BTreeSet::new);
                let fresh = keys.last_mut().is_none_or(|keys| keys.insert(key.clone()));
                if !fresh {
                    let message = format!("the key `{key}` is there twice");
                    look.see(&rules::classic::XGBOOST_BROKEN, at, message);
                }
            }
            Event::Numbers(count, range) => {
                if let Some((name, of, _)) = trees.list.take_if(|(_, of, _)| *of == depth) {
                    trees.counted(name, of, count);
                }
                look.covered.parsed(at..range.start);
                look.covered.opaque(range);
                continue;
            }
            Event::Object => keys.truncate(depth.saturating_sub(1)),
            Event::Close => {
                trees.close(depth.saturating_add(1), at, look);
            }
            Event::Text(range) => text_of(look, at, &range),
            Event::Array(_) | Event::Plain => {}
        }
        look.covered.parsed(at..walk.position());
    }
    let rest = walk.position()..look.input.bytes.len();
    // A limit is noted where it fired.
    let _ = look.trailing(rest);
}

fn text_of(look: &mut Look<'_, '_, '_>, at: u64, range: &std::ops::Range<u64>) {
    let len = range.end.saturating_sub(range.start).min(MAX_TEXT);
    let bytes = Cursor::at(look.input.bytes, range.start)
        .take(usize::try_from(len).unwrap_or(0))
        .unwrap_or_default();
    inspect(look, at, &String::from_utf8_lossy(&bytes));
}

fn broken(look: &mut Look<'_, '_, '_>, at: u64, fault: Fault) {
    let message = match fault {
        Fault::Cursor(CursorError::Io(error)) => {
            look.gap(format!("it cannot be read: {error}"));
            return;
        }
        Fault::Cursor(CursorError::End { .. }) => "the bytes end before a value does",
        Fault::Type => "a value has a type or length that there is not",
        Fault::Depth => "it is nested deeper than is followed",
    };
    look.broken(&rules::classic::XGBOOST_BROKEN, at, message);
}
