//! Scripts: a first line names what runs the rest.

use custos_core::finding::Location;

use crate::route::Head;
use crate::source::{Cursor, each};
use crate::text;
use crate::work::{Input, Look};

/// Longest script that is looked at as a text.
const MAX_TEXT: u64 = 1 << 20;
/// Longest first line.
const MAX_LINE: usize = 256;

/// Returns true if the first line names a program. Python is looked at as what it is.
pub(super) fn recognises(head: &Head, _: &Input<'_>) -> bool {
    interpreter(head.bytes()).is_some_and(|name| !name.starts_with("python"))
}

// The name of the program that runs it, without its folder.
fn interpreter(head: &[u8]) -> Option<String> {
    let rest = head.strip_prefix(b"#!")?;
    let line = rest.split(|byte| *byte == b'\n').next()?;
    let line = std::str::from_utf8(line.get(..line.len().min(MAX_LINE))?).ok()?;
    let mut words = line.split_whitespace();
    let program = words.next().filter(|program| program.starts_with('/'))?;
    let name = program.rsplit('/').next().unwrap_or_default();
    if name != "env" {
        return Some(name.to_owned());
    }
    let option = |word: &&str| word.starts_with('-') || word.contains('=');
    words.find(|word| !option(word)).map(str::to_owned)
}

/// Looks at the text, and at what follows it.
pub(super) fn examine(look: &mut Look<'_, '_, '_>) {
    let head = look.input.cursor().peek(MAX_LINE).to_vec();
    let name = interpreter(&head).unwrap_or_default();
    super::found(look, &format!("a script that `{name}` runs"), false);
    let size = look.input.bytes.len();
    let end = text_end(look);
    look.covered.parsed(0..end);
    if end <= MAX_TEXT {
        let len = usize::try_from(end).unwrap_or(usize::MAX);
        if let Ok(bytes) = Cursor::at(look.input.bytes, 0).take(len) {
            let here: Location = look.here();
            text::inspect(look, &here, &String::from_utf8_lossy(&bytes));
        }
    }
    // The outcome of a limit is noted where it fired.
    let _ = look.trailing(end..size);
}

// Where the last line ends before the first byte that no text has: archives that unpack themselves
// have theirs behind the script.
fn text_end(look: &Look<'_, '_, '_>) -> u64 {
    let size = look.input.bytes.len();
    let (mut line, mut stop) = (0, None);
    let read = each(look.input.bytes, 0..size, |at, bytes| {
        let odd = |byte: &u8| matches!(byte, 0..=8 | 0x0e..=0x1a | 0x1c..=0x1f | 0x7f);
        let odd = bytes.iter().position(odd);
        let text = bytes.get(..odd.unwrap_or(bytes.len())).unwrap_or_default();
        let last = text.iter().rposition(|byte| *byte == b'\n');
        if let Some(last) = last.and_then(|last| u64::try_from(last).ok()) {
            line = at.saturating_add(last).saturating_add(1);
        }
        stop = odd;
        odd.is_none()
    });
    match (read, stop) {
        (Ok(()), None) => size,
        _ => line,
    }
}
