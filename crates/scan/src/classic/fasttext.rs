//! fastText: arguments, a dictionary, and two matrices, which may be quantized.
//!
//! facebookresearch/fastText, `src/fasttext.cc`, `dictionary.cc`, `densematrix.cc`, `quantmatrix.cc`.
//! Models from before 2017 have no mark; gensim reads them still. The loader takes memory for what
//! the file says before it reads any of it.

use crate::route::Head;
use crate::rules;
use crate::source::{Cursor, CursorError};
use crate::work::{Input, Limited, Look};

use super::words::Words;

/// What a model begins with since 2017.
const MARK: u32 = 793_712_314;
/// Longest word; fastText itself keeps at most 1,024 bytes.
const MAX_WORD: usize = 64 << 10;
/// Size of the arguments.
const ARGUMENTS: u64 = 56;
/// Centroids of a quantizer.
const CENTROIDS: u64 = 256;

/// Returns true for the mark, and for arguments that a model of old may have.
pub(super) fn recognises(head: &Head, input: &Input<'_>) -> bool {
    if head.starts_with(&MARK.to_le_bytes()) {
        return true;
    }
    is_old(&mut input.cursor()).unwrap_or(false)
}

// Without a mark, all arguments and the sizes of the dictionary have to be what they may be.
fn is_old(cursor: &mut Cursor<'_>) -> Result<bool, CursorError> {
    let [dim, window, epochs, least, negative, words] = numbers(cursor)?;
    let [loss, model, bucket, shortest, longest, rate] = numbers(cursor)?;
    let threshold = f64::from_bits(cursor.u64()?);
    let [size, first, labels] = numbers(cursor)?;
    let tokens = signed(cursor)?;
    let usual = (1..=100_000).contains(&dim)
        && (1..=1_000).contains(&window)
        && (0..=1_000_000).contains(&epochs)
        && least >= 0
        && (0..=100_000).contains(&negative)
        && (1..=100).contains(&words)
        && (1..=4).contains(&loss)
        && (1..=3).contains(&model)
        && bucket >= 0
        && (0..=1_000).contains(&shortest)
        && (0..=1_000).contains(&longest)
        && rate >= 0;
    let left = cursor.left();
    Ok(usual
        && (0.0..1.0).contains(&threshold)
        && size > 0
        && first >= 0
        && labels >= 0
        && first.checked_add(labels) == Some(size)
        && tokens >= 0
        && u64::try_from(size).is_ok_and(|size| size.saturating_mul(10) <= left))
}

/// Looks at the dictionary, and at the bounds of the matrices.
pub(super) fn examine(look: &mut Look<'_, '_, '_>) {
    let mut model = Model {
        cursor: look.input.cursor(),
        look,
        words: Words::default(),
    };
    let outcome = model.read();
    model.words.look_at(model.look);
    let end = model.cursor.position();
    match outcome {
        Ok(()) => {
            // A limit is noted where it fired.
            let _ = look.trailing(end..look.input.bytes.len());
        }
        Err(Stop::Limited) => {}
        Err(Stop::Broken(why)) => look.broken(&rules::classic::EMBEDDINGS_BROKEN, end, why),
    }
}

enum Stop {
    Limited,
    Broken(String),
}

impl From<CursorError> for Stop {
    fn from(error: CursorError) -> Self {
        Self::Broken(error.to_string())
    }
}

impl From<Limited> for Stop {
    fn from(_: Limited) -> Self {
        Self::Limited
    }
}

fn broken<T>(why: &str) -> Result<T, Stop> {
    Err(Stop::Broken(why.to_owned()))
}

struct Model<'l, 'i, 'w, 's> {
    look: &'l mut Look<'i, 'w, 's>,
    cursor: Cursor<'i>,
    words: Words,
}

impl Model<'_, '_, '_, '_> {
    fn read(&mut self) -> Result<(), Stop> {
        let has_mark = self.cursor.u32()? == MARK;
        self.cursor.seek(if has_mark { 8 } else { 0 });
        self.cursor.skip(ARGUMENTS)?;
        let [size, words, labels] = numbers(&mut self.cursor)?;
        if size < 0 || words.checked_add(labels) != Some(size) {
            return broken("the dictionary has another size than its words and labels");
        }
        self.cursor.skip(8)?;
        let pruned = if has_mark {
            signed(&mut self.cursor)?
        } else {
            -1
        };
        self.look.covered.parsed(0..self.cursor.position());
        self.dictionary(u64::try_from(size).unwrap_or(0))?;
        self.values(u64::try_from(pruned).unwrap_or(0), 8)?;
        for _ in 0..2 {
            let at = self.cursor.position();
            if has_mark && self.cursor.u8()? != 0 {
                self.look.covered.parsed(at..self.cursor.position());
                self.quantized()?;
            } else {
                self.look.covered.parsed(at..self.cursor.position());
                let (rows, columns) = self.sizes()?;
                self.values(rows.saturating_mul(columns), 4)?;
            }
        }
        Ok(())
    }

    // Words, each with a zero, how often it was seen, and whether it is a label.
    fn dictionary(&mut self, size: u64) -> Result<(), Stop> {
        for number in 0..size {
            if number.is_multiple_of(4096) {
                self.look.work.tick(&self.look.input.path)?;
            }
            let at = self.cursor.position();
            let mut word = Vec::new();
            loop {
                match self.cursor.u8()? {
                    0 => break,
                    byte if word.len() < MAX_WORD => word.push(byte),
                    _ => return broken("a word of the dictionary is longer than any"),
                }
            }
            self.cursor.skip(8)?;
            if self.cursor.u8()? > 1 {
                return broken("an entry of the dictionary is neither a word nor a label");
            }
            self.words.add(self.look, at, &word);
            self.look.covered.parsed(at..self.cursor.position());
        }
        Ok(())
    }

    fn sizes(&mut self) -> Result<(u64, u64), Stop> {
        let at = self.cursor.position();
        let [rows, columns] = [signed(&mut self.cursor)?, signed(&mut self.cursor)?];
        self.look.covered.parsed(at..self.cursor.position());
        match (u64::try_from(rows), u64::try_from(columns)) {
            (Ok(rows), Ok(columns)) => Ok((rows, columns)),
            _ => broken("a matrix has fewer than no values"),
        }
    }

    fn quantized(&mut self) -> Result<(), Stop> {
        let at = self.cursor.position();
        let has_norms = self.cursor.u8()? != 0;
        self.look.covered.parsed(at..self.cursor.position());
        let (rows, _) = self.sizes()?;
        let at = self.cursor.position();
        let [codes] = numbers(&mut self.cursor)?;
        self.look.covered.parsed(at..self.cursor.position());
        self.values(u64::try_from(codes).unwrap_or(u64::MAX), 1)?;
        self.quantizer()?;
        if has_norms {
            self.values(rows, 1)?;
            self.quantizer()?;
        }
        Ok(())
    }

    fn quantizer(&mut self) -> Result<(), Stop> {
        let at = self.cursor.position();
        let [dim, _, _, _] = numbers(&mut self.cursor)?;
        self.look.covered.parsed(at..self.cursor.position());
        let dim = u64::try_from(dim).unwrap_or(u64::MAX);
        self.values(dim.saturating_mul(CENTROIDS), 4)
    }

    fn values(&mut self, count: u64, size: u64) -> Result<(), Stop> {
        let at = self.cursor.position();
        let len = count.saturating_mul(size);
        if self.cursor.skip(len).is_err() {
            let why = format!("{count} values of {size} bytes do not fit into the file");
            return Err(Stop::Broken(why));
        }
        self.look.covered.opaque(at..self.cursor.position());
        Ok(())
    }
}

fn numbers<const N: usize>(cursor: &mut Cursor<'_>) -> Result<[i32; N], CursorError> {
    let mut numbers = [0; N];
    for number in &mut numbers {
        *number = i32::from_le_bytes(cursor.array()?);
    }
    Ok(numbers)
}

fn signed(cursor: &mut Cursor<'_>) -> Result<i64, CursorError> {
    cursor.array().map(i64::from_le_bytes)
}
