//! PDF (ISO 32000-2): what acts when the document is opened, and what is attached to it.
//!
//! Objects are read one after another, with those in packed streams; pages are not drawn. What is
//! encrypted is a gap.

use std::io::Read as _;

use custos_core::finding::Severity;

use super::parts;
use crate::route::Head;
use crate::rules;
use crate::source::{Cursor, Part, read_all, read_full};
use crate::text;
use crate::unpack;
use crate::work::{Input, Look};

/// How much is searched for the next mark at a time.
const STEP: usize = 64 << 10;
/// Largest dictionary before a stream.
const MAX_DICTIONARY: u64 = 4 << 10;
/// Largest unpacked stream of objects.
const MAX_OBJECTS: u64 = 16 << 20;

/// Returns true for the mark, which may stand behind a little of something else.
pub(super) fn recognises(head: &Head, _: &Input<'_>) -> bool {
    let start = head.bytes().get(..1024).unwrap_or(head.bytes());
    memchr::memchr_iter(b'%', start).any(|at| {
        start
            .get(at..)
            .is_some_and(|rest| rest.starts_with(b"%PDF-"))
    })
}

/// Looks at all objects.
pub(super) fn examine(look: &mut Look<'_, '_, '_>) {
    let size = look.input.bytes.len();
    let mut seen = Seen::default();
    let mut at = 0;
    while at < size {
        if look.work.tick(&look.input.path).is_err() {
            return;
        }
        let Some(stream) = find(look, at..size, b"stream") else {
            plain(look, &mut seen, at..size);
            break;
        };
        let after = stream.saturating_add(6);
        let before = at;
        plain(look, &mut seen, at..after);
        let ended =
            stream >= 3 && Cursor::at(look.input.bytes, stream.saturating_sub(3)).peek(3) == b"end";
        at = after;
        if ended {
            continue;
        }
        let Some(end) = find(look, after..size, b"endstream") else {
            parts::broken(look, stream, "a stream has no end");
            break;
        };
        packed(look, &mut seen, (before, stream, end));
        at = end;
    }
    seen.tell(look);
    match last_end(look) {
        Some(end) => parts::tail(look, end),
        None => parts::broken(look, size, "it has no end"),
    }
}

#[derive(Default)]
#[allow(clippy::struct_excessive_bools, reason = "names that were met or not")]
struct Seen {
    script: bool,
    launch: bool,
    opens: bool,
    attached: bool,
    encrypted: bool,
    unread: u64,
}

impl Seen {
    fn names(&mut self, text: &[u8]) {
        for name in names(text) {
            match name.as_slice() {
                b"JavaScript" | b"JS" => self.script = true,
                b"Launch" | b"ImportData" | b"SubmitForm" | b"GoToE" | b"RichMedia" => {
                    self.launch = true;
                }
                b"OpenAction" | b"AA" => self.opens = true,
                b"EmbeddedFile" | b"EmbeddedFiles" => self.attached = true,
                b"Encrypt" => self.encrypted = true,
                _ => {}
            }
        }
    }

    fn tell(&self, look: &mut Look<'_, '_, '_>) {
        let what = match (self.script, self.launch) {
            (true, true) => "a script and an action that reaches out of the document",
            (true, false) => "a script",
            (false, true) => "an action that reaches out of the document",
            (false, false) => "",
        };
        if !what.is_empty() {
            let when = if self.opens {
                ", which may run when it is opened"
            } else {
                ""
            };
            let message = format!("the document holds {what}{when}");
            look.see(&rules::media::MEDIA_SCRIPT, 0, message);
        }
        if self.attached {
            let message = "files are attached to the document";
            let mut finding = rules::media::MEDIA_SCRIPT.finding(look.here(), message);
            finding.severity = Severity::Low;
            look.work.find(finding);
        }
        if self.encrypted {
            look.gap("the document is encrypted");
        }
        if self.unread > 0 {
            let message = format!("{} streams of objects cannot be unpacked", self.unread);
            look.gap(message);
        }
    }
}

// Names of objects: `/Name`, with `#4a` for a character.
fn names(text: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    text.split(|byte| *byte == b'/').skip(1).map(|rest| {
        let mut name = Vec::new();
        let mut bytes = rest.iter().copied();
        while let Some(byte) = bytes.next() {
            match byte {
                b'#' => {
                    let mut digit = || bytes.next().and_then(|b| char::from(b).to_digit(16));
                    if let (Some(high), Some(low)) = (digit(), digit()) {
                        let code = high.saturating_mul(16).saturating_add(low);
                        name.push(u8::try_from(code).unwrap_or(b'?'));
                    }
                }
                b if b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.') => name.push(b),
                _ => break,
            }
            if name.len() > 64 {
                break;
            }
        }
        name
    })
}

fn plain(look: &mut Look<'_, '_, '_>, seen: &mut Seen, range: std::ops::Range<u64>) {
    let mut at = range.start;
    while at < range.end {
        let left = usize::try_from(range.end.saturating_sub(at)).unwrap_or(usize::MAX);
        let mut buffer = vec![0; STEP.min(left)];
        let count = read_full(look.input.bytes, at, &mut buffer).unwrap_or(0);
        let bytes = buffer.get(..count).unwrap_or_default();
        if bytes.is_empty() {
            return;
        }
        seen.names(bytes);
        // Nothing of interest is as short as a mark.
        if bytes.len() < 16 {
            break;
        }
        let text = String::from_utf8_lossy(bytes);
        let place = custos_core::finding::Location {
            offset: Some(at),
            ..look.here()
        };
        text::inspect(look, &place, &text);
        // A name may go on in the next piece.
        let step = bytes.len();
        let step = if step == STEP {
            step.saturating_sub(80)
        } else {
            step
        };
        at = at.saturating_add(u64::try_from(step).unwrap_or(1));
    }
    look.covered.parsed(range);
}

// A stream, from its mark to that of its end.
fn packed(look: &mut Look<'_, '_, '_>, seen: &mut Seen, (before, mark, end): (u64, u64, u64)) {
    let from = mark.saturating_sub(MAX_DICTIONARY).max(before);
    let len = usize::try_from(mark.saturating_sub(from)).unwrap_or(0);
    let mut before = vec![0; len];
    let read = read_full(look.input.bytes, from, &mut before).unwrap_or(0);
    before.truncate(read);
    let object = before
        .windows(4)
        .rposition(|four| four == b" obj")
        .unwrap_or(0);
    let dictionary: Vec<Vec<u8>> = names(before.get(object..).unwrap_or_default()).collect();
    let has = |name: &[u8]| dictionary.iter().any(|one| one == name);
    let mut start = mark.saturating_add(6);
    let mut cursor = Cursor::at(look.input.bytes, start);
    match *cursor.peek(2) {
        [b'\r', b'\n'] => start = start.saturating_add(2),
        [b'\n' | b'\r', _] => start = start.saturating_add(1),
        _ => {}
    }
    let part = Part::new(look.input.bytes, start..end);
    let attached = has(b"EmbeddedFile");
    let objects = has(b"ObjStm") || has(b"XRef") || has(b"JavaScript") || has(b"JS");
    if attached || objects {
        if !has(b"FlateDecode") || has(b"Crypt") {
            if has(b"Filter") && objects {
                seen.unread = seen.unread.saturating_add(1);
            } else if attached && !has(b"Filter") {
                let _ = look.member("attached", &part);
            }
        } else {
            unpacked(look, seen, (&part, attached));
        }
    }
    parts::values(look, mark..end);
}

fn unpacked(look: &mut Look<'_, '_, '_>, seen: &mut Seen, (part, attached): (&Part<'_>, bool)) {
    let unpacker = |packed| Ok(flate2::read::ZlibDecoder::new(packed).take(MAX_OBJECTS));
    let path = look.input.path.clone();
    let Ok(outcome) = unpack::unpack(&path, part, unpacker, look.work) else {
        return;
    };
    if outcome.broken.is_some() && !seen.encrypted {
        seen.unread = seen.unread.saturating_add(1);
    }
    if attached {
        let _ = look.member("attached", &outcome.bytes);
    } else if let Ok(bytes) = read_all(&outcome.bytes) {
        seen.names(&bytes);
    }
}

// Returns where a mark stands next.
fn find(look: &Look<'_, '_, '_>, range: std::ops::Range<u64>, mark: &[u8]) -> Option<u64> {
    // Marks are near as a rule: the first piece is small.
    let mut buffer = vec![0; 512];
    let mut at = range.start;
    loop {
        let count = read_full(look.input.bytes, at, &mut buffer).unwrap_or(0);
        let read = buffer.get(..count).unwrap_or_default();
        let found = read.windows(mark.len()).position(|window| window == mark);
        if let Some(found) = found {
            return Some(at.saturating_add(u64::try_from(found).ok()?));
        }
        if count < buffer.len() {
            return None;
        }
        let step = count.saturating_sub(mark.len());
        at = at.saturating_add(u64::try_from(step).ok()?);
        buffer.resize(STEP.min(buffer.len().saturating_mul(4)), 0);
    }
}

// Where the last end of file is marked, its line included.
fn last_end(look: &Look<'_, '_, '_>) -> Option<u64> {
    let size = look.input.bytes.len();
    let mut end = None;
    let mut at = 0;
    while let Some(mark) = find(look, at..size, b"%%EOF") {
        at = mark.saturating_add(5);
        end = Some(at);
    }
    let mut cursor = Cursor::at(look.input.bytes, end?);
    let rest = cursor.peek(64).to_vec();
    let blank = rest.iter().take_while(|byte| byte.is_ascii_whitespace());
    Some(end?.saturating_add(u64::try_from(blank.count()).ok()?))
}
