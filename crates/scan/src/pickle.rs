//! Pickles: streams of opcodes that tell a loader what to import, call and set.
//!
//! A file may hold one stream or many, with raw bytes between them. [`machine`] follows each
//! stream; [`judge`] says what its calls mean, by [`lists`] and by what arguments look like
//! ([`signs`]). What was seen before a stream breaks counts, and the look goes on behind the break.

mod hidden;
mod judge;
mod layout;
mod lists;
mod machine;
mod show;
mod signs;
mod storage;
mod tarred;
mod value;
mod views;

use custos_core::finding::{Finding, Location, Severity};

use crate::executable;
use crate::route::{self, Format, Head};
use crate::rules;
use crate::source::{Part, find_other, read_all, read_full};
use crate::tensors::npy;
use crate::work::{Input, Look, Work};

use judge::Judge;
use machine::{End, Machine};
pub(crate) use storage::Storage;

/// Most times that the look goes on behind a break.
const MAX_BREAKS: u32 = 16;
/// Largest input that is searched for further streams behind a break, a step at a time.
const SEARCHED: u64 = 64 << 20;

/// Longest names by which a stream is found.
const LONGEST_NAMES: usize = 128;

/// The lists that a verdict depends on.
pub(crate) static DATA: &[&str] = &lists::FILES;

pub(crate) static FORMATS: &[Format] = &[Format {
    name: "pickle",
    extensions: &["pkl", "pickle", "dill", "p"],
    recognises,
    examine,
}];

/// Returns what a global of Python is known to do that hurts, and how bad a call is.
pub(crate) fn danger(module: &str, name: &str) -> Option<(&'static str, Severity)> {
    match lists::standing(module, name) {
        lists::Standing::Denied(danger) => Some((danger.does, danger.severity)),
        _ => None,
    }
}

/// Returns true if a stream may begin here: by its first opcode, and by following it a little.
pub(crate) fn recognises(head: &Head, input: &Input<'_>) -> bool {
    match head.bytes() {
        [0x80, 0..=5, ..] => true,
        // Protocols 0 and 1 have no mark. A text, or a number, is no stream; what ends or calls
        // after the first opcodes is.
        [
            b'('
            | b']'
            | b'}'
            | b'c'
            | b'S'
            | b'V'
            | b'X'
            | b'U'
            | b'T'
            | b'N'
            | b'I'
            | b'F'
            | b'L'
            | b'K'
            | b'M'
            | b'J'
            | b'G'
            | b')'
            | 0x8c
            | 0x8d
            | b'C'
            | b'B'
            | 0x95
            | 0x88
            | 0x89
            | 0x8f
            | 0x82..=0x84,
            ..,
        ] => is_stream(input),
        _ => false,
    }
}

/// Returns true if it is a stream beyond doubt: it begins with its mark and reaches an end, or calls
/// something.
pub(crate) fn is_surely(input: &Input<'_>) -> bool {
    let mut first = [0; 2];
    let count = read_full(input.bytes, 0, &mut first).unwrap_or(0);
    matches!((count, first), (2, [0x80, 0..=5] | [b'c', _])) && is_stream(input)
}

// A stream that reaches its end, or calls something on the way. To name something is not enough:
// each list of words whose first begins with `c` does (`certifi`, `numpy`). Only where the bytes end
// before the stream does, a name that is known tells it from a text.
fn is_stream(input: &Input<'_>) -> bool {
    const TRIED: u64 = 10_000;
    let mut watch = Watch::default();
    let mut machine = Machine::at(input.bytes, 0, TRIED);
    match machine.run(&mut watch, &mut |_, _| false) {
        // One value of one opcode is what many short texts look like.
        End::Stop(at) => watch.named || machine.opcodes() > 2 || at == input.bytes.len(),
        // No module has so long a name: where a stream begins with one, loading ends there.
        End::Limit(_, "name") if machine.opcodes() <= 1 => false,
        End::Limit(..) => true,
        End::Cut(_) => watch.called || watch.known,
        _ => watch.called,
    }
}

/// Returns true if it is a stream of protocol 0 or later that calls something with a name.
fn is_stream_that_calls(input: &Input<'_>) -> bool {
    const TRIED: u64 = 10_000;
    let mut watch = Watch::default();
    Machine::at(input.bytes, 0, TRIED).run(&mut watch, &mut |_, _| false);
    watch.called
}

// What tells a stream from a text.
#[derive(Default)]
struct Watch {
    // A global whose names are some.
    named: bool,
    // One that is on a list.
    known: bool,
    // Such a global was there when something was called or given its state.
    called: bool,
}

impl machine::Observer for Watch {
    fn global(&mut self, _: u64, global: &machine::Global) {
        let plain = |text: &str| {
            // A name may end in a space, to look like another one; with one inside, it is a line
            // of a text.
            let named = text.trim_end();
            !named.is_empty()
                && named
                    .chars()
                    .all(|c| c.is_alphanumeric() || "._".contains(c))
        };
        let (module, name) = (global.module.trim_end(), global.name.trim_end());
        let listed = |module: &str, name: &str| {
            !matches!(lists::standing(module, name), lists::Standing::Unknown)
        };
        self.named |= plain(module) && plain(name);
        self.known |= listed(module, name)
            || lists::mapped(module, name).is_some_and(|(module, name)| listed(module, &name));
    }
    fn call(&mut self, _: machine::Here<'_, '_>, _: &machine::Call) -> machine::Outcome {
        self.called |= self.named;
        machine::Outcome::Kept
    }
    fn build(&mut self, _: machine::Here<'_, '_>, _: value::Value, _: value::Value) {
        self.called |= self.named;
    }
    fn fill(&mut self, _: machine::Here<'_, '_>, _: value::Value, _: machine::Filling) {}
    fn persistent(&mut self, _: machine::Here<'_, '_>, _: value::Value) {}
    fn extension(&mut self, _: u64, _: u32) {}
    fn payload(&mut self, _: value::Span) {}
    fn oddity(&mut self, _: u64, _: machine::Oddity) {}
}

/// Looks at all streams of an input.
pub(crate) fn examine(look: &mut Look<'_, '_, '_>) {
    let input = look.input;
    let size = input.bytes.len();
    let raw = layout::old_torch(look).or_else(|| tarred::follow(look));
    let mut at = raw.unwrap_or(0);
    let mut breaks = 0_u32;
    while at < size && look.work.tick(&input.path).is_ok() {
        let start = at;
        let broken = match stream(look, start) {
            End::Stop(after) => {
                at = after;
                None
            }
            End::Limit(place, what) => {
                if what == "name" {
                    // `path.os.path.os...` reaches a function by as many steps as one likes.
                    let message = "a name to be imported is longer than any function has";
                    look.see(&rules::pickle::PICKLE_UNRESOLVABLE, place, message);
                }
                look.work.limit(&input.path, what);
                return;
            }
            End::Io(error) => {
                look.gap(format!("it cannot be read: {error}"));
                return;
            }
            End::Cut(place) => Some((place, "the bytes end before the stream does")),
            End::Malformed(place, why) => Some((place, why)),
            End::Paused(place, _) => Some((place, "raw bytes that cannot be followed")),
        };
        if let Some((place, why)) = broken {
            let message = format!("the stream that begins at {start} breaks: {why}");
            look.broken(&rules::pickle::PICKLE_MALFORMED, place, message);
            at = place.saturating_add(1);
        }
        // What follows a stream may be another one, or something else that a parser of its own
        // looks at.
        if at < size && (broken.is_some() || !begins_stream(input, at)) {
            breaks = breaks.saturating_add(1);
            match next_stream(input, at) {
                Some(next) if breaks <= MAX_BREAKS => at = next,
                _ => return program_behind(look, at),
            }
        }
    }
}

// No loader of pickles reads what follows the last stream: a program that lies there was hidden.
fn program_behind(look: &mut Look<'_, '_, '_>, from: u64) {
    let size = look.input.bytes.len();
    let Some(first) = find_other(look.input.bytes, from..size, 0) else {
        return;
    };
    let part = Part::new(look.input.bytes, first..size);
    let input = Input {
        path: look.input.path.clone(),
        bytes: &part,
    };
    if executable::is_surely(&input) {
        // A limit is noted where it fired.
        let _ = look.trailing_by(&rules::pickle::PICKLE_PROGRAM_BEHIND, from..size);
    }
}

/// Follows one stream, and raw arrays inside of it, and says what was seen.
fn stream(look: &mut Look<'_, '_, '_>, start: u64) -> End {
    let machine = Machine::at(look.input.bytes, start, look.work.opcodes_left());
    follow(look, machine, start).1
}

fn follow<'i>(
    look: &mut Look<'i, '_, '_>,
    mut machine: Machine<'i>,
    start: u64,
) -> (Machine<'i>, End) {
    let mut judge = Judge::default();
    let mut from = start;
    let mut array = None;
    let end = loop {
        let end = machine.run(&mut judge, &mut layout::announces_array);
        let End::Paused(at, state) = end else {
            break end;
        };
        look.covered.parsed(from..at);
        array = array.or(Some(at));
        let Some(after) = layout::array(look, &machine, state, at) else {
            break end;
        };
        machine.resume_at(after);
        from = after;
    };
    look.work.count_opcodes(machine.opcodes());
    if let End::Stop(to) | End::Cut(to) | End::Malformed(to, _) | End::Limit(to, _) = end {
        look.covered.parsed(from..to);
    }
    tell(judge, look.input, look.work);
    if let Some(array) = array {
        plainly(look, start, array);
    }
    (machine, end)
}

// Whoever knows nothing of joblib reads its arrays as opcodes. Values are none for long; only what
// is known to hurt counts.
fn plainly(look: &mut Look<'_, '_, '_>, start: u64, array: u64) {
    let mut judge = Judge::default();
    let mut machine = Machine::at(look.input.bytes, start, look.work.opcodes_left());
    machine.run(&mut judge, &mut |_, _| false);
    look.work.count_opcodes(machine.opcodes());
    judge.only_dangers_from(array);
    tell(judge, look.input, look.work);
}

fn tell(mut judge: Judge, input: &Input<'_>, work: &mut Work<'_>) {
    if judge.overflown {
        work.gap(&input.path, "more was seen in a pickle than is kept");
    }
    work.refer(&input.path, std::mem::take(&mut judge.storages));
    for span in std::mem::take(&mut judge.payloads) {
        nested(span, input, work);
    }
    for seen in judge.into_seen() {
        let mut message = seen.message;
        if seen.count > 1 {
            message = format!("{message} ({} times)", seen.count);
        }
        work.find(Finding {
            rule: seen.rule.id.to_owned(),
            severity: seen.severity,
            confidence: seen.confidence,
            message,
            location: Location {
                path: input.path.clone(),
                offset: Some(seen.at),
                ..Location::default()
            },
            evidence: Some(seen.evidence).filter(|text| !text.is_empty()),
            cves: Vec::new(),
        });
    }
}

// Bytes or a text inside of a stream that are a file beyond doubt, or decode to one.
fn nested(span: value::Span, input: &Input<'_>, work: &mut Work<'_>) {
    let end = span.offset.saturating_add(span.len.into());
    let part = Part::new(input.bytes, span.offset..end);
    let name = format!("bytes@{}", span.offset);
    let inner = Input {
        path: format!("{}!{name}", input.path),
        bytes: &part,
    };
    let location = Location {
        path: input.path.clone(),
        offset: Some(span.offset),
        ..Location::default()
    };
    if route::is_surely_something(&inner) || npy::is_surely(&inner) {
        let message = format!("{} bytes are a file of their own", span.len);
        work.see(&rules::pickle::PICKLE_NESTED, location, message);
        // A limit is noted where it fired.
        let _ = work.member(input, &name, &part);
        return;
    }
    if span.len > hidden::LONGEST {
        return;
    }
    let Ok(text) = read_all(&part) else {
        return work.gap(&input.path, "a text in it cannot be read");
    };
    match hidden::find(text, &inner.path, work) {
        Some(hidden::Found::File(coding, bytes)) => {
            let message = format!("a text of {} bytes is a file in {coding}", span.len);
            work.see(&rules::pickle::PICKLE_ENCODED, location, message);
            let name = format!("{coding}@{}", span.offset);
            // Nobody loads it unless some code decodes it, but nobody hides such a file in vain.
            work.at_most(Severity::High, |work| {
                // A limit is noted where it fired.
                let _ = work.member(input, &name, &bytes);
            });
        }
        Some(hidden::Found::Program(coding, what)) => {
            let message = format!("a text is a program in {coding}: {what}");
            work.see(&rules::pickle::PICKLE_ENCODED_PROGRAM, location, message);
        }
        None => {}
    }
}

fn begins_stream(input: &Input<'_>, at: u64) -> bool {
    let mut head = [0; 2];
    let count = read_full(input.bytes, at, &mut head).unwrap_or(0);
    matches!((count, head), (2, [0x80, 0..=5]))
}

// Finds a place where a stream begins: a first opcode of protocol 2 or later and a frame or a common
// opcode behind it, or a name that is known to hurt, which is all that tells protocol 0.
fn next_stream(input: &Input<'_>, from: u64) -> Option<u64> {
    let end = input.bytes.len().min(from.saturating_add(SEARCHED));
    let mut buffer = vec![0; 64 << 10];
    let mut at = from;
    while at < end {
        let count = read_full(input.bytes, at, &mut buffer).ok()?;
        let read = buffer.get(..count)?;
        let found = (0..count).find(|at| {
            let here = read.get(*at..).unwrap_or_default();
            match here {
                [
                    0x80,
                    2..=5,
                    0x95 | b'}' | b']' | b'c' | b'(' | b'X' | 0x8c | b'K' | b')',
                    ..,
                ] => true,
                [b'c', rest @ ..] => names_danger(rest),
                _ => false,
            }
        });
        if let Some(found) = found {
            return at.checked_add(u64::try_from(found).ok()?);
        }
        if count < buffer.len() {
            return None;
        }
        at = at.saturating_add(u64::try_from(count.saturating_sub(LONGEST_NAMES)).ok()?);
    }
    None
}

fn names_danger(bytes: &[u8]) -> bool {
    let bytes = bytes.get(..LONGEST_NAMES).unwrap_or(bytes);
    let mut lines = bytes.splitn(3, |byte| *byte == b'\n');
    let mut name = || {
        let line = lines.next().filter(|line| !line.is_empty())?;
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
        line.iter().all(plain).then_some(line)
    };
    let (Some(module), Some(name)) = (name(), name()) else {
        return false;
    };
    // Without a third part, the second line does not end here.
    let (Ok(module), Ok(name), Some(_)) = (
        std::str::from_utf8(module),
        std::str::from_utf8(name),
        lines.next(),
    ) else {
        return false;
    };
    is_denied(module, name)
        || lists::mapped(module, name).is_some_and(|(module, name)| is_denied(module, &name))
}

/// Returns true if something of this name runs, loads, reads, writes or sends, as is known.
pub(crate) fn is_denied(module: &str, name: &str) -> bool {
    matches!(lists::standing(module, name), lists::Standing::Denied(_))
}
