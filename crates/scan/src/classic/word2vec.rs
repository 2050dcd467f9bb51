//! Vectors of words as word2vec writes them: a line with how many there are of how many numbers,
//! and for each a word, a space, and the numbers.
//!
//! <https://code.google.com/archive/p/word2vec>, `word2vec.c`; gensim, `KeyedVectors` with
//! `binary=True`. Loaders take memory for what the first line says before they read any of it.

use crate::route::Head;
use crate::rules;
use crate::source::{Cursor, CursorError};
use crate::work::{Input, Look};

use super::words::Words;

/// Longest first line.
const MAX_LINE: usize = 32;
/// Longest word.
const MAX_WORD: usize = 4 << 10;
/// Most numbers of a vector.
const MAX_DIM: u64 = 1 << 20;
/// So many words are read to tell what it is.
const TRIED: u64 = 4;

/// Returns true if words with numbers behind them follow the first line, and it is no text.
pub(super) fn recognises(head: &Head, input: &Input<'_>) -> bool {
    if !head.bytes().first().is_some_and(u8::is_ascii_digit)
        || !head.bytes().iter().any(|byte| *byte < 9)
    {
        return false;
    }
    let mut cursor = input.cursor();
    let Ok(Some((count, dim))) = sizes(&mut cursor) else {
        return false;
    };
    let tried = (0..count.min(TRIED)).try_for_each(|_| {
        let word = word(&mut cursor)?;
        let is_word = word.is_some_and(|word| !word.is_empty() && word.iter().all(|b| *b > b' '));
        cursor.skip(dim.saturating_mul(4))?;
        is_word.then_some(()).ok_or(CursorError::End { at: 0 })
    });
    tried.is_ok() && count > 0
}

fn sizes(cursor: &mut Cursor<'_>) -> Result<Option<(u64, u64)>, CursorError> {
    let Some(line) = cursor.line(MAX_LINE)? else {
        return Ok(None);
    };
    let line = String::from_utf8_lossy(&line);
    let mut words = line.split(' ');
    let (count, dim, more) = (words.next(), words.next(), words.next());
    let number = |word: Option<&str>| word?.trim_end().parse::<u64>().ok();
    let sizes = number(count).zip(number(dim));
    Ok(sizes.filter(|(_, dim)| more.is_none() && (1..=MAX_DIM).contains(dim)))
}

// A word up to its space; some writers end the numbers before it with a line.
fn word(cursor: &mut Cursor<'_>) -> Result<Option<Vec<u8>>, CursorError> {
    let mut word = Vec::new();
    loop {
        match cursor.u8()? {
            b' ' => return Ok(Some(word)),
            b'\n' if word.is_empty() => {}
            byte if word.len() < MAX_WORD => word.push(byte),
            _ => return Ok(None),
        }
    }
}

/// Looks at all words, and at the bounds of their numbers.
pub(super) fn examine(look: &mut Look<'_, '_, '_>) {
    let mut cursor = look.input.cursor();
    let Ok(Some((count, dim))) = sizes(&mut cursor) else {
        return look.broken(
            &rules::classic::EMBEDDINGS_BROKEN,
            0,
            "the first line is none",
        );
    };
    look.covered.parsed(0..cursor.position());
    let mut words = Words::default();
    for number in 0..count {
        if number.is_multiple_of(4096) && look.work.tick(&look.input.path).is_err() {
            return;
        }
        let at = cursor.position();
        let read = word(&mut cursor).and_then(|word| {
            cursor.skip(dim.saturating_mul(4))?;
            Ok(word)
        });
        let (Ok(Some(word)), end) = (read, cursor.position()) else {
            words.look_at(look);
            let message =
                format!("the first line says {count} words, and word {number} is not there");
            return look.broken(&rules::classic::EMBEDDINGS_BROKEN, at, message);
        };
        words.add(look, at, &word);
        // One range for all: there may be millions.
        look.covered.opaque(at..end);
    }
    words.look_at(look);
    let mut end = cursor.position();
    if cursor.peek(1) == b"\n" {
        look.covered.parsed(end..end.saturating_add(1));
        end = end.saturating_add(1);
    }
    // A limit is noted where it fired.
    let _ = look.trailing(end..look.input.bytes.len());
}
