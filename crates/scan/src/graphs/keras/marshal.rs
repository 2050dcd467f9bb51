//! Compiled functions of Python, as `marshal` writes them: the names that they use and their
//! constants, for people to see what a function would do. It is never run.
//!
//! The layout of a code object changed with Python's versions (2.7; 3.0 to 3.7; 3.8 to 3.10; 3.11
//! and later): each is tried, and the one that reads to the end is taken.

/// Deepest nesting of objects.
const MAX_DEPTH: u32 = 40;
/// Most names and constants that are kept.
const MAX_KEPT: usize = 200;
/// Most objects that are read.
const MAX_OBJECTS: u32 = 100_000;

/// What a compiled function uses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Function {
    /// Names of globals and attributes.
    pub(super) names: Vec<String>,
    /// Texts among its constants.
    pub(super) texts: Vec<String>,
}

/// Reads a function; `None` if it is none, or of a version that nobody knows.
pub(super) fn read(bytes: &[u8]) -> Option<Function> {
    const LAYOUTS: [Layout; 4] = [
        Layout {
            numbers: 5,
            newest: true,
        },
        Layout {
            numbers: 6,
            newest: false,
        },
        Layout {
            numbers: 5,
            newest: false,
        },
        Layout {
            numbers: 4,
            newest: false,
        },
    ];
    LAYOUTS.iter().find_map(|layout| {
        let mut reader = Reader {
            rest: bytes,
            layout,
            left: MAX_OBJECTS,
            function: Function::default(),
            met: Vec::new(),
            interned: Vec::new(),
        };
        reader.object(0, Use::Other)?;
        (reader.rest.is_empty() && !bytes.is_empty()).then_some(reader.function)
    })
}

struct Layout {
    // Numbers before the code.
    numbers: usize,
    // One list of local names and their kinds, a qualified name, and a table of exceptions.
    newest: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    Constants,
    Names,
    Other,
}

struct Reader<'b> {
    rest: &'b [u8],
    layout: &'b Layout,
    left: u32,
    function: Function,
    // Texts that may be meant again: any, and those of Python 2.
    met: Vec<Option<String>>,
    interned: Vec<Option<String>>,
}

impl Reader<'_> {
    fn take(&mut self, count: usize) -> Option<&[u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn count(&mut self) -> Option<usize> {
        let four: [u8; 4] = self.take(4)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(four)).ok()
    }

    fn object(&mut self, depth: u32, used: Use) -> Option<u8> {
        self.left = self.left.checked_sub(1)?;
        if depth > MAX_DEPTH {
            return None;
        }
        let inner = depth.saturating_add(1);
        // The highest bit says that the object may be meant again.
        let first = self.byte()?;
        let kind = first & 0x7f;
        let again = (first & 0x80 != 0).then(|| {
            self.met.push(None);
            self.met.len().saturating_sub(1)
        });
        match kind {
            b's' | b't' | b'u' | b'a' | b'A' => {
                let count = self.count()?;
                let text = self.text(count, used, again)?;
                if kind == b't' {
                    self.interned.push(Some(text));
                }
            }
            b'z' | b'Z' => {
                let count = usize::from(self.byte()?);
                self.text(count, used, again)?;
            }
            b'r' | b'R' => {
                let index = self.count()?;
                let newer = kind == b'r';
                let list = if newer { &self.met } else { &self.interned };
                if let Some(text) = list.get(index)?.clone() {
                    self.keep(text, used);
                }
            }
            b')' => {
                let count = usize::from(self.byte()?);
                self.objects(count, inner, used)?;
            }
            b'(' | b'[' | b'<' | b'>' => {
                let count = self.count()?;
                self.objects(count, inner, used)?;
            }
            b'{' => while self.object(inner, used)? != b'0' {},
            b':' => self.objects(3, inner, used)?,
            b'c' => self.code(inner)?,
            other => self.number(other)?,
        }
        Some(kind)
    }

    fn objects(&mut self, count: usize, depth: u32, used: Use) -> Option<()> {
        for _ in 0..count {
            self.object(depth, used)?;
        }
        Some(())
    }

    // What has a value of fixed length, or none.
    fn number(&mut self, kind: u8) -> Option<()> {
        let count = match kind {
            b'0' | b'N' | b'F' | b'T' | b'S' | b'.' => 0,
            b'i' => 4,
            b'I' | b'g' => 8,
            b'y' => 16,
            b'f' => usize::from(self.byte()?),
            b'x' => {
                let count = usize::from(self.byte()?);
                self.take(count)?;
                usize::from(self.byte()?)
            }
            b'l' => {
                let four: [u8; 4] = self.take(4)?.try_into().ok()?;
                let digits = i32::from_le_bytes(four).unsigned_abs();
                usize::try_from(digits).ok()?.checked_mul(2)?
            }
            _ => return None,
        };
        self.take(count).map(|_| ())
    }

    fn code(&mut self, depth: u32) -> Option<()> {
        self.take(self.layout.numbers.checked_mul(4)?)?;
        self.object(depth, Use::Other)?;
        self.object(depth, Use::Constants)?;
        self.object(depth, Use::Names)?;
        // Names of locals, and from where they come; the file and the name of the function.
        for _ in 0..5 {
            self.object(depth, Use::Other)?;
        }
        self.take(4)?;
        for _ in 0..if self.layout.newest { 2 } else { 1_u8 } {
            self.object(depth, Use::Other)?;
        }
        Some(())
    }

    fn text(&mut self, count: usize, used: Use, again: Option<usize>) -> Option<String> {
        let text = String::from_utf8_lossy(self.take(count)?).into_owned();
        if let Some(place) = again.and_then(|index| self.met.get_mut(index)) {
            *place = Some(text.clone());
        }
        self.keep(text.clone(), used);
        Some(text)
    }

    fn keep(&mut self, text: String, used: Use) {
        let list = match used {
            Use::Constants => &mut self.function.texts,
            Use::Names => &mut self.function.names,
            Use::Other => return,
        };
        if list.len() < MAX_KEPT && !list.contains(&text) {
            list.push(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_makes_it_run_away() {
        assert_eq!(read(b""), None);
        assert_eq!(read(&[b')'; 1000]), None);
        assert_eq!(read(&vec![0x7b; 1 << 16]), None);
        assert_eq!(read(b"\xe3\x00\x00"), None);
        let deep = [b"(\x01\x00\x00\x00".repeat(100), b"N".to_vec()].concat();
        assert_eq!(read(&deep), None);
        let wide = [b"(\xff\xff\xff\x7f".to_vec(), b"N".repeat(1000)].concat();
        assert_eq!(read(&wide), None);
    }
}
