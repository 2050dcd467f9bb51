//! GGML, GGMF and GGJT: what llama.cpp read before GGUF.
//!
//! ggml-org/llama.cpp up to August 2023, `llama.cpp`: a mark, a version (not in the first of them),
//! seven numbers, the vocabulary (with a score each from GGMF on), and tensors, each behind its
//! dimensions, type and name, from GGJT on aligned to 32 bytes. Other programs used the mark for
//! layouts of their own: what does not fit is told as a gap, not as a fault.

use crate::route::Head;
use crate::rules;
use crate::source::{Cursor, CursorError};
use crate::tensors::gguf::types::Type;
use crate::work::{Input, Look};

/// Longest word, and longest name of a tensor.
const MAX_TEXT: u32 = 64 << 10;
/// Most words.
const MAX_WORDS: u32 = 4 << 20;

/// Returns true if it begins with one of the marks, and small numbers follow.
pub(crate) fn recognises(head: &Head, _: &Input<'_>) -> bool {
    Kind::of(head.bytes()).is_some()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    // No version, no scores.
    Plain,
    // Scores.
    Scored,
    // Scores, and tensors are aligned.
    Aligned,
    // Adapters (LoRA), which were never other than small.
    Adapter,
}

impl Kind {
    fn of(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [b'l', b'm', b'g', b'g', ..] => Some(Self::Plain),
            [b'f', b'm', b'g', b'g', 1..=9, 0, 0, 0, ..] => Some(Self::Scored),
            [b't', b'j', b'g', b'g', 1..=9, 0, 0, 0, ..] => Some(Self::Aligned),
            [b'a', b'l', b'g', b'g', 1..=9, 0, 0, 0, ..] => Some(Self::Adapter),
            _ => None,
        }
    }
}

/// Looks at the header, the vocabulary and the tensors.
pub(crate) fn examine(look: &mut Look<'_, '_, '_>) {
    let mut cursor = look.input.cursor();
    let Some(kind) = Kind::of(cursor.peek(8)) else {
        return;
    };
    let message = "it is a model in a format from before GGUF";
    look.see(&rules::tensors::GGML_OLD, 0, message);
    match read(look, &mut cursor, kind) {
        Ok(Ok(())) => {}
        Ok(Err(why)) => look.gap(format!("at {}: {why}", cursor.position())),
        Err(error) => {
            let at = cursor.position();
            look.covered.parsed(0..at);
            look.broken(&rules::tensors::GGML_BROKEN, at, error.to_string());
        }
    }
}

// The inner fault is one of a layout that is not known.
fn read(
    look: &mut Look<'_, '_, '_>,
    cursor: &mut Cursor<'_>,
    kind: Kind,
) -> Result<Result<(), &'static str>, CursorError> {
    cursor.skip(if kind == Kind::Plain { 4 } else { 8 })?;
    if kind == Kind::Adapter {
        // Rank and scale.
        cursor.skip(8)?;
    } else {
        let words = cursor.u32()?;
        cursor.skip(24)?;
        if words > MAX_WORDS {
            return Ok(Err("its vocabulary is larger than any"));
        }
        for _ in 0..words {
            let len = cursor.u32()?;
            if len > MAX_TEXT {
                return Ok(Err("a word is longer than any"));
            }
            cursor.skip(len.into())?;
            if kind != Kind::Plain {
                cursor.skip(4)?;
            }
        }
    }
    look.covered.parsed(0..cursor.position());
    while cursor.left() > 0 {
        if look.work.tick(&look.input.path).is_err() {
            return Ok(Ok(()));
        }
        if let Err(why) = tensor(look, cursor, kind)? {
            return Ok(Err(why));
        }
    }
    Ok(Ok(()))
}

fn tensor(
    look: &mut Look<'_, '_, '_>,
    cursor: &mut Cursor<'_>,
    kind: Kind,
) -> Result<Result<(), &'static str>, CursorError> {
    let start = cursor.position();
    let (count, len, number) = (cursor.u32()?, cursor.u32()?, cursor.u32()?);
    if count > 4 || len > MAX_TEXT {
        return Ok(Err("what stands here is no tensor"));
    }
    let mut dimensions = Vec::new();
    for _ in 0..count {
        dimensions.push(u64::from(cursor.u32()?));
    }
    let name = cursor.take(usize::try_from(len).unwrap_or(0))?;
    let Some(bytes) = Type::of(number).and_then(|kind| kind.bytes(&dimensions).ok()) else {
        let name = String::from_utf8_lossy(&name).into_owned();
        let message = format!("the type {number} or the dimensions {dimensions:?} of `{name}`");
        let message = format!("{message} are not possible");
        look.see(&rules::tensors::GGML_BROKEN, start, message);
        return Ok(Err("a tensor has no size"));
    };
    let mut data = cursor.position();
    if matches!(kind, Kind::Aligned | Kind::Adapter) {
        data = data.checked_next_multiple_of(32).unwrap_or(u64::MAX);
    }
    look.covered.parsed(start..data.min(look.input.bytes.len()));
    cursor.skip(data.saturating_sub(cursor.position()))?;
    cursor.skip(bytes)?;
    look.covered.opaque(data..cursor.position());
    Ok(Ok(()))
}
