//! Bytes of a document as UTF-8, whatever they are.

use std::cell::Cell;
use std::io::{self, BufRead, Read};
use std::rc::Rc;

use crate::source::{ReadAt, read_full};

/// How many bytes are decoded at a time.
const STEP: usize = 32 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Latin,
    Utf8,
    WideBig,
    WideLittle,
}

/// A document as a stream of UTF-8.
pub(super) struct Decoded<'a> {
    from: &'a dyn ReadAt,
    at: u64,
    encoding: Encoding,
    window: Vec<u8>,
    next: usize,
    // Half of a character of UTF-16.
    half: Option<u16>,
    most: usize,
    read: Rc<Cell<usize>>,
}

impl<'a> Decoded<'a> {
    /// Returns a document, of which at most so many bytes are given until the count is set back.
    pub(super) fn new(from: &'a dyn ReadAt, (most, read): (usize, Rc<Cell<usize>>)) -> Self {
        let mut head = [0; 256];
        let count = read_full(from, 0, &mut head).unwrap_or(0);
        let head = head.get(..count).unwrap_or_default();
        let (encoding, at) = match head {
            [0xff, 0xfe, ..] => (Encoding::WideLittle, 2),
            [0xfe, 0xff, ..] => (Encoding::WideBig, 2),
            [b'<', 0, ..] => (Encoding::WideLittle, 0),
            [0, b'<', ..] => (Encoding::WideBig, 0),
            [0xef, 0xbb, 0xbf, ..] => (Encoding::Utf8, 3),
            _ if is_utf8(head) => (Encoding::Utf8, 0),
            _ => (Encoding::Latin, 0),
        };
        Self {
            from,
            at,
            encoding,
            window: Vec::new(),
            next: 0,
            half: None,
            most,
            read,
        }
    }

    /// Returns true if its bytes are those of the document, counted from the beginning.
    pub(super) fn counts(&self) -> bool {
        self.encoding == Encoding::Utf8 && self.at == 0
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut bytes = vec![0; STEP];
        let count = read_full(self.from, self.at, &mut bytes)?;
        bytes.truncate(count);
        let is_end = count < STEP;
        self.next = 0;
        self.window.clear();
        let used = match self.encoding {
            Encoding::Utf8 => self.utf8(bytes, is_end),
            Encoding::Latin => {
                let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
                self.window = text.into_bytes();
                count
            }
            Encoding::WideBig => self.wide(&bytes, u16::from_be_bytes),
            Encoding::WideLittle => self.wide(&bytes, u16::from_le_bytes),
        };
        self.at = self
            .at
            .saturating_add(u64::try_from(used).unwrap_or(u64::MAX));
        Ok(())
    }

    // A character may go on in the next piece; what is none at all is replaced.
    fn utf8(&mut self, bytes: Vec<u8>, is_end: bool) -> usize {
        let (valid, broken) = match std::str::from_utf8(&bytes) {
            Ok(_) => (bytes.len(), false),
            Err(error) => (error.valid_up_to(), is_end || error.error_len().is_some()),
        };
        if !broken {
            self.window = bytes;
            self.window.truncate(valid);
            return valid;
        }
        // Bytes that are no UTF-8 are taken one by one from here on.
        self.encoding = Encoding::Latin;
        let head = bytes.get(..valid).unwrap_or_default();
        let rest = bytes.get(valid..).unwrap_or_default();
        self.window = head.to_vec();
        let rest: String = rest.iter().map(|byte| char::from(*byte)).collect();
        self.window.extend_from_slice(rest.as_bytes());
        bytes.len()
    }

    fn wide(&mut self, bytes: &[u8], order: fn([u8; 2]) -> u16) -> usize {
        let mut text = String::new();
        for pair in bytes.chunks_exact(2) {
            let Ok(pair) = <[u8; 2]>::try_from(pair) else {
                continue;
            };
            let unit = order(pair);
            if let Some(high) = self.half.take()
                && let Some(Ok(one)) = char::decode_utf16([high, unit]).next()
            {
                text.push(one);
            } else if (0xd800..0xdc00).contains(&unit) {
                self.half = Some(unit);
            } else {
                text.push(char::from_u32(u32::from(unit)).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
        }
        self.window = text.into_bytes();
        bytes.len()
    }
}

fn is_utf8(head: &[u8]) -> bool {
    match std::str::from_utf8(head) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    }
}

impl Read for Decoded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut from = self.fill_buf()?;
        let count = from.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Decoded<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.read.get() > self.most {
            return Err(io::Error::other(
                "a tag or a text is longer than what is read",
            ));
        }
        while self.next >= self.window.len() && self.at < self.from.len() {
            self.fill()?;
        }
        Ok(self.window.get(self.next..).unwrap_or_default())
    }

    fn consume(&mut self, count: usize) {
        self.next = self.next.saturating_add(count);
        self.read.set(self.read.get().saturating_add(count));
    }
}
