//! Numbers and texts of R's three codings: XDR (most byte first), native, and lines of text.

use crate::source::{Cursor, CursorError};

/// Longest word of the coding in lines.
const MAX_WORD: usize = 4 << 10;

/// How numbers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    /// `X`: the most byte first.
    Xdr,
    /// `B`: the least byte first, on all machines that still run R.
    Native,
    /// `A`: words.
    Ascii,
}

/// Why there is nothing more.
#[derive(Debug)]
pub(super) enum Fault {
    /// The bytes end, or cannot be read.
    Cursor(CursorError),
    /// A number is none.
    Number,
}

impl From<CursorError> for Fault {
    fn from(error: CursorError) -> Self {
        Self::Cursor(error)
    }
}

/// Reads numbers and texts.
pub(super) struct Reader<'a> {
    /// Where.
    pub(super) cursor: Cursor<'a>,
    /// How.
    pub(super) coding: Coding,
}

impl Reader<'_> {
    pub(super) fn int(&mut self) -> Result<i32, Fault> {
        match self.coding {
            Coding::Xdr => Ok(i32::from_be_bytes(self.cursor.array()?)),
            Coding::Native => Ok(i32::from_le_bytes(self.cursor.array()?)),
            Coding::Ascii => match self.word()?.as_slice() {
                b"NA" => Ok(i32::MIN),
                word => std::str::from_utf8(word)
                    .ok()
                    .and_then(|word| word.parse().ok())
                    .ok_or(Fault::Number),
            },
        }
    }

    /// Leaves out `count` values of `size` bytes.
    pub(super) fn values(&mut self, count: u64, size: u64) -> Result<(), Fault> {
        let bytes = count.saturating_mul(size);
        match self.coding {
            Coding::Xdr | Coding::Native => self.cursor.skip(bytes)?,
            Coding::Ascii => {
                // A complex number is two words.
                let words = if size == 16 {
                    count.saturating_mul(2)
                } else {
                    count
                };
                if words > self.cursor.left() {
                    return Err(self.end());
                }
                for _ in 0..words {
                    self.word()?;
                }
            }
        }
        Ok(())
    }

    /// Returns the first bytes of a text of `len`, at most `most` of them.
    pub(super) fn text(&mut self, len: u64, most: usize) -> Result<String, Fault> {
        if len > self.cursor.left() {
            return Err(self.end());
        }
        let kept = usize::try_from(len).unwrap_or(usize::MAX).min(most);
        let rest = len.saturating_sub(u64::try_from(kept).unwrap_or(len));
        if self.coding == Coding::Ascii {
            return self.escaped(len, kept);
        }
        let bytes = self.cursor.take(kept)?;
        self.cursor.skip(rest)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    // Characters with the escapes of C; white space before them is none of them.
    fn escaped(&mut self, len: u64, kept: usize) -> Result<String, Fault> {
        let mut bytes = Vec::new();
        if len > 0 {
            self.space()?;
        }
        for _ in 0..len {
            let mut byte = self.cursor.u8()?;
            if byte == b'\\' {
                byte = match self.cursor.u8()? {
                    b'n' => b'\n',
                    b't' => b'\t',
                    b'v' => 0x0b,
                    b'b' => 0x08,
                    b'r' => b'\r',
                    b'f' => 0x0c,
                    b'a' => 0x07,
                    first @ b'0'..=b'7' => self.octal(first),
                    other => other,
                };
            }
            if bytes.len() < kept {
                bytes.push(byte);
            }
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    // Up to three digits; what is larger than a byte wraps, as it does in R.
    fn octal(&mut self, first: u8) -> u8 {
        let mut value = first.wrapping_sub(b'0');
        for _ in 0..2 {
            let Some(digit @ b'0'..=b'7') = self.cursor.peek(1).first().copied() else {
                break;
            };
            value = value.wrapping_mul(8).wrapping_add(digit.wrapping_sub(b'0'));
            // It was just seen.
            let _ = self.cursor.skip(1);
        }
        value
    }

    fn space(&mut self) -> Result<(), Fault> {
        while matches!(self.cursor.peek(1), [b' ' | b'\n' | b'\r' | b'\t']) {
            self.cursor.skip(1)?;
        }
        Ok(())
    }

    fn word(&mut self) -> Result<Vec<u8>, Fault> {
        self.space()?;
        let mut word = Vec::new();
        while let Some(byte) = self.cursor.peek(1).first().copied() {
            if byte.is_ascii_whitespace() {
                break;
            }
            if word.len() >= MAX_WORD {
                return Err(Fault::Number);
            }
            word.push(byte);
            self.cursor.skip(1)?;
        }
        if word.is_empty() {
            return Err(self.end());
        }
        Ok(word)
    }

    fn end(&self) -> Fault {
        let at = self.cursor.position().saturating_add(self.cursor.left());
        Fault::Cursor(CursorError::End { at })
    }
}
