//! dlib: a shape predictor, which is an initial shape, trees, and where they look.
//!
//! davisking/dlib, `dlib/serialize.h`, `dlib/image_processing/shape_predictor.h`. A number is a byte
//! with its sign and how many bytes follow; a broken number is two of them. The loader takes memory
//! for the length of each list before it reads the list. (Networks of dlib have no marks: what they
//! hold only the program knows that was made for them.)

use crate::route::Head;
use crate::rules;
use crate::source::{Cursor, CursorError};
use crate::work::{Input, Limited, Look};

/// Exponents of infinities and of what is no number.
const SPECIAL: std::ops::RangeInclusive<i64> = 32_000..=32_002;

/// Returns true if a version, a shape of one column, and numbers of such a shape follow each other.
pub(super) fn recognises(head: &Head, input: &Input<'_>) -> bool {
    const TRIED: u64 = 8;
    if !head.starts_with(&[1, 1]) {
        return false;
    }
    let mut reader = Reader {
        cursor: input.cursor(),
    };
    let mut first = || {
        let version = reader.number()?;
        let rows = reader.shape()?;
        (0..rows.min(TRIED)).try_for_each(|_| reader.broken_number())?;
        Ok::<_, Stop>(version == 1 && rows > 2)
    };
    first().unwrap_or(false)
}

/// Looks at all lists.
pub(super) fn examine(look: &mut Look<'_, '_, '_>) {
    let mut reader = Reader {
        cursor: look.input.cursor(),
    };
    let outcome = reader.predictor(look);
    let end = reader.cursor.position();
    match outcome {
        Ok(()) => {
            look.covered.opaque(0..end);
            // A limit is noted where it fired.
            let _ = look.trailing(end..look.input.bytes.len());
        }
        Err(Stop::Limited) => {}
        Err(Stop::Broken(why)) => look.broken(&rules::classic::DLIB_BROKEN, end, why),
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

struct Reader<'a> {
    cursor: Cursor<'a>,
}

impl Reader<'_> {
    fn predictor(&mut self, look: &mut Look<'_, '_, '_>) -> Result<(), Stop> {
        self.number()?;
        let rows = self.shape()?;
        self.broken_numbers(rows)?;
        // Cascades of trees, each with its splits and a shape for each leaf.
        for _ in 0..self.count()? {
            for _ in 0..self.count()? {
                look.work.tick(&look.input.path)?;
                for _ in 0..self.count()? {
                    self.number()?;
                    self.number()?;
                    self.broken_number()?;
                }
                for _ in 0..self.count()? {
                    let rows = self.shape()?;
                    self.broken_numbers(rows)?;
                }
            }
        }
        // Which points the trees look at, and how far beside them.
        for width in [1, 4] {
            for _ in 0..self.count()? {
                look.work.tick(&look.input.path)?;
                for _ in 0..self.count()? {
                    (0..width).try_for_each(|_| self.number().map(drop))?;
                }
            }
        }
        Ok(())
    }

    fn number(&mut self) -> Result<i64, Stop> {
        let first = self.cursor.u8()?;
        let len = first & 0x0f;
        if first & 0x70 != 0 || !(1..=8).contains(&len) {
            return Err(Stop::Broken(
                "a number has no length that there is".to_owned(),
            ));
        }
        let mut value = 0_u64;
        for place in 0..u32::from(len) {
            let byte = u64::from(self.cursor.u8()?);
            value |= byte.checked_shl(place.saturating_mul(8)).unwrap_or(0);
        }
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        Ok(if first & 0x80 == 0 {
            value
        } else {
            value.saturating_neg()
        })
    }

    // How many follow, each of which has two bytes at least.
    fn count(&mut self) -> Result<u64, Stop> {
        let count = self.number()?;
        let left = self.cursor.left();
        match u64::try_from(count) {
            Ok(count) if count <= left => Ok(count),
            _ => Err(Stop::Broken(format!(
                "a list of {count} does not fit into the file"
            ))),
        }
    }

    // The rows of a matrix of one column. Since 2010 both are written below zero.
    fn shape(&mut self) -> Result<u64, Stop> {
        let (rows, columns) = (self.number()?.unsigned_abs(), self.number()?.unsigned_abs());
        if columns == 1 && rows <= self.cursor.left() {
            return Ok(rows);
        }
        Err(Stop::Broken(format!(
            "a shape of {rows} times {columns} does not fit into the file"
        )))
    }

    fn broken_numbers(&mut self, count: u64) -> Result<(), Stop> {
        (0..count).try_for_each(|_| self.broken_number())
    }

    // What is before the exponent, and the exponent.
    fn broken_number(&mut self) -> Result<(), Stop> {
        let (_, exponent) = (self.number()?, self.number()?);
        if (-2_000..=2_000).contains(&exponent) || SPECIAL.contains(&exponent) {
            return Ok(());
        }
        Err(Stop::Broken(
            "a number has an impossible exponent".to_owned(),
        ))
    }
}
