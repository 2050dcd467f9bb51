//! JSON of any size from anybody, token by token, and as a bounded document.
//!
//! RFC 8259, and what Python's module adds: `NaN`, `Infinity`, and a mark at the beginning. The
//! reader keeps a stack of open brackets and one string, however long the text is. Keys that occur
//! twice are kept and told: readers differ in which they take.

use std::io;

use crate::source::{Cursor, CursorError, ReadAt};

use super::document::{Builder, Document, Fed};

/// Deepest nesting.
pub(super) const MAX_DEPTH: usize = 256;
/// Longest string.
const MAX_TEXT: usize = 16 << 20;
/// Longest number.
const MAX_NUMBER: usize = 1 << 10;

/// What comes next in a document.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Token<'t> {
    /// `[`
    ArrayStart,
    /// `]`
    ArrayEnd,
    /// `true` or `false`
    Bool(bool),
    /// A key of an object.
    Key(&'t str),
    /// `null`
    Null,
    /// A number, as it is written.
    Number(&'t str),
    /// `{`
    ObjectStart,
    /// `}`
    ObjectEnd,
    /// A string.
    Text(&'t str),
}

/// Why a document ends before its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// Brackets are nested deeper than is followed.
    #[error("it is nested deeper than {MAX_DEPTH} at byte {0}")]
    Deep(u64),
    /// The bytes end first.
    #[error("it ends in the middle, at byte {0}")]
    End(u64),
    /// Reading failed.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    /// A string or number is longer than is kept.
    #[error("what begins at byte {0} is longer than is read")]
    Long(u64),
    /// This is no JSON.
    #[error("it is no JSON at byte {0}")]
    Syntax(u64),
}

/// Reads a document that is held in memory; what is more than a document holds is a fault.
pub(crate) fn parse(bytes: &[u8]) -> Result<Document, Fault> {
    let held = Held(bytes);
    let mut reader = Reader::new(&held);
    let mut builder = Builder::new();
    while let Some((token, place)) = reader.next()? {
        if builder.feed(token, place) == Fed::Full {
            return Err(Fault::Long(place.offset));
        }
    }
    if reader.skip_space()?.is_some() {
        return Err(Fault::Syntax(reader.position()));
    }
    builder.finish().ok_or(Fault::End(reader.position()))
}

/// Where a token begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// Byte.
    pub(crate) offset: u64,
    /// Line, from 1.
    pub(crate) line: u32,
}

/// Reads tokens of one document after another.
pub(crate) struct Reader<'a> {
    cursor: Cursor<'a>,
    open: Vec<Open>,
    expected: Expected,
    text: String,
    line: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    Array,
    Object,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Expected {
    // A value, at the beginning or behind a colon or comma.
    Value,
    // A value or the end of an array that is empty so far.
    FirstItem,
    // A key or the end of an object that is empty so far.
    FirstKey,
    Key,
    // A comma, or the end of what is open.
    More,
    // Nothing: the document is over.
    End,
}

impl<'a> Reader<'a> {
    /// Returns a reader at the beginning.
    pub(crate) fn new(bytes: &'a dyn ReadAt) -> Self {
        let mut cursor = Cursor::at(bytes, 0);
        if cursor.peek(3) == b"\xef\xbb\xbf" {
            cursor.seek(3);
        }
        Self {
            cursor,
            open: Vec::new(),
            expected: Expected::Value,
            text: String::new(),
            line: 1,
        }
    }

    /// Returns the place of the next byte.
    pub(crate) fn position(&self) -> u64 {
        self.cursor.position()
    }

    /// Returns the line of the next byte, from 1.
    pub(super) const fn line(&self) -> u32 {
        self.line
    }

    /// Goes on behind the end of a document, if another one follows.
    pub(crate) fn again(&mut self) -> Result<bool, Fault> {
        let more = self.skip_space()?.is_some();
        if more && self.expected == Expected::End {
            self.expected = Expected::Value;
        }
        Ok(more)
    }

    /// Returns the next token and where it begins; `None` behind the last one of a document.
    pub(crate) fn next(&mut self) -> Result<Option<(Token<'_>, Place)>, Fault> {
        if self.expected == Expected::End {
            return Ok(None);
        }
        let mut byte = self.must()?;
        if self.expected == Expected::More && byte == b',' {
            self.cursor.skip(1).map_err(fault)?;
            self.expected = match self.open.last() {
                Some(Open::Object) => Expected::Key,
                _ => Expected::Value,
            };
            byte = self.must()?;
        }
        let place = Place {
            offset: self.position(),
            line: self.line,
        };
        let token = match (self.expected, byte) {
            (Expected::Key | Expected::FirstKey, b'"') => return self.key(place).map(Some),
            (Expected::FirstKey | Expected::More, b'}') => self.close(Open::Object)?,
            (Expected::FirstItem | Expected::More, b']') => self.close(Open::Array)?,
            (Expected::Value | Expected::FirstItem, _) => return self.value(byte, place).map(Some),
            _ => return Err(Fault::Syntax(place.offset)),
        };
        Ok(Some((token, place)))
    }

    /// Leaves out white space, and returns the byte behind it.
    pub(super) fn skip_space(&mut self) -> Result<Option<u8>, Fault> {
        loop {
            match self.cursor.u8() {
                Ok(b'\n') => self.line = self.line.saturating_add(1),
                Ok(b' ' | b'\t' | b'\r') => {}
                Ok(byte) => {
                    self.cursor.seek(self.cursor.position().saturating_sub(1));
                    return Ok(Some(byte));
                }
                Err(CursorError::End { .. }) => return Ok(None),
                Err(error) => return Err(fault(error)),
            }
        }
    }

    fn must(&mut self) -> Result<u8, Fault> {
        let byte = self.skip_space()?;
        byte.ok_or(Fault::End(self.position()))
    }

    fn key(&mut self, place: Place) -> Result<(Token<'_>, Place), Fault> {
        self.string()?;
        if self.must()? != b':' {
            return Err(Fault::Syntax(self.position()));
        }
        self.cursor.skip(1).map_err(fault)?;
        self.expected = Expected::Value;
        Ok((Token::Key(&self.text), place))
    }

    fn value(&mut self, byte: u8, place: Place) -> Result<(Token<'_>, Place), Fault> {
        let token = match byte {
            b'{' => self.begin(Open::Object)?,
            b'[' => self.begin(Open::Array)?,
            b'"' => {
                self.string()?;
                self.after_value();
                Token::Text(&self.text)
            }
            _ => {
                self.word()?;
                self.after_value();
                match self.text.as_str() {
                    "true" => Token::Bool(true),
                    "false" => Token::Bool(false),
                    "null" => Token::Null,
                    word if is_number(word) => Token::Number(word),
                    _ => return Err(Fault::Syntax(place.offset)),
                }
            }
        };
        Ok((token, place))
    }

    fn begin(&mut self, what: Open) -> Result<Token<'static>, Fault> {
        if self.open.len() >= MAX_DEPTH {
            return Err(Fault::Deep(self.position()));
        }
        self.cursor.skip(1).map_err(fault)?;
        self.open.push(what);
        let (expected, token) = match what {
            Open::Array => (Expected::FirstItem, Token::ArrayStart),
            Open::Object => (Expected::FirstKey, Token::ObjectStart),
        };
        self.expected = expected;
        Ok(token)
    }

    fn close(&mut self, what: Open) -> Result<Token<'static>, Fault> {
        if self.open.pop() != Some(what) {
            return Err(Fault::Syntax(self.position()));
        }
        self.cursor.skip(1).map_err(fault)?;
        self.after_value();
        Ok(match what {
            Open::Array => Token::ArrayEnd,
            Open::Object => Token::ObjectEnd,
        })
    }

    fn after_value(&mut self) {
        self.expected = if self.open.is_empty() {
            Expected::End
        } else {
            Expected::More
        };
    }

    // Letters, digits and signs up to what ends them.
    fn word(&mut self) -> Result<(), Fault> {
        let start = self.position();
        self.text.clear();
        loop {
            match self.cursor.u8() {
                Ok(byte) if byte.is_ascii_alphanumeric() || b"+-.".contains(&byte) => {
                    if self.text.len() >= MAX_NUMBER {
                        return Err(Fault::Long(start));
                    }
                    self.text.push(char::from(byte));
                }
                Ok(_) => {
                    self.cursor.seek(self.position().saturating_sub(1));
                    return Ok(());
                }
                Err(CursorError::End { .. }) => return Ok(()),
                Err(error) => return Err(fault(error)),
            }
        }
    }

    fn string(&mut self) -> Result<(), Fault> {
        let start = self.position();
        self.cursor.skip(1).map_err(fault)?;
        let mut bytes = std::mem::take(&mut self.text).into_bytes();
        bytes.clear();
        loop {
            match self.cursor.u8().map_err(fault)? {
                b'"' => break,
                b'\\' => self.escape(&mut bytes)?,
                // Python and others refuse a line that ends in a string; some readers do not.
                b'\n' => {
                    self.line = self.line.saturating_add(1);
                    bytes.push(b'\n');
                }
                byte => bytes.push(byte),
            }
            if bytes.len() > MAX_TEXT {
                return Err(Fault::Long(start));
            }
        }
        self.text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        };
        Ok(())
    }

    fn escape(&mut self, bytes: &mut Vec<u8>) -> Result<(), Fault> {
        let c = match self.cursor.u8().map_err(fault)? {
            b'n' => '\n',
            b't' => '\t',
            b'r' => '\r',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'u' => self.unicode()?,
            byte @ (b'"' | b'\\' | b'/') => char::from(byte),
            _ => return Err(Fault::Syntax(self.position().saturating_sub(1))),
        };
        bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(())
    }

    fn unicode(&mut self) -> Result<char, Fault> {
        let first = self.four()?;
        if !(0xd800..0xdc00).contains(&first) || self.cursor.peek(2) != b"\\u" {
            return Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        let before = self.position();
        self.cursor.skip(2).map_err(fault)?;
        let second = self.four()?;
        if !(0xdc00..0xe000).contains(&second) {
            self.cursor.seek(before);
            return Ok(char::REPLACEMENT_CHARACTER);
        }
        let high = (first & 0x3ff) << 10;
        let both = 0x1_0000_u32.saturating_add(high | (second & 0x3ff));
        Ok(char::from_u32(both).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn four(&mut self) -> Result<u32, Fault> {
        let at = self.position();
        let digits: [u8; 4] = self.cursor.array().map_err(fault)?;
        let hex = digits.iter().all(u8::is_ascii_hexdigit);
        let text = std::str::from_utf8(&digits).ok().filter(|_| hex);
        text.and_then(|text| u32::from_str_radix(text, 16).ok())
            .ok_or(Fault::Syntax(at))
    }
}

fn fault(error: CursorError) -> Fault {
    match error {
        CursorError::End { at } => Fault::End(at),
        CursorError::Io(error) => Fault::Io(error),
    }
}

fn is_number(word: &str) -> bool {
    let plain = word.strip_prefix('-').unwrap_or(word);
    matches!(plain, "NaN" | "Infinity")
        || plain.starts_with(|c: char| c.is_ascii_digit()) && word.parse::<f64>().is_ok()
}

struct Held<'a>(&'a [u8]);

impl ReadAt for Held<'_> {
    fn len(&self) -> u64 {
        ReadAt::len(self.0)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(offset, buffer)
    }

    fn held(&self) -> Option<&[u8]> {
        Some(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::document::Value;
    use proptest::prelude::*;

    fn same(bytes: &[u8]) -> bool {
        parse(bytes).is_ok() == serde_json::from_slice::<serde_json::Value>(bytes).is_ok()
    }

    #[test]
    fn documents_are_read_as_others_read_them() {
        for text in [
            r#"{"a": [1, -2.5e3, true, false, null, "x\n\u00e9\ud83d\ude00"], "b": {}}"#,
            "[]",
            " {\n}\n",
            "\"x\"",
            "1",
            "[1,]",
            "{\"a\"}",
            "{\"a\":1,}",
            "[1 2]",
            "{\"a\":1]",
            "",
            "[",
            "{\"a\":",
            "nul",
            "\"\\x\"",
            "[1]x",
            "{,}",
            "[,1]",
            "01x",
        ] {
            assert!(same(text.as_bytes()), "{text}");
        }
        let parsed = parse(br#"{"a": [1, "x\n\u00e9\ud83d\ude00"]}"#).unwrap();
        let list = parsed.root.get("a").unwrap();
        assert!(matches!(list.items()[0].value, Value::Number(number) if number > 0.5));
        assert_eq!(list.items()[1].text(), Some("x\n\u{e9}\u{1f600}"));
        assert_eq!(list.items()[1].place.offset, 10);
    }

    #[test]
    fn what_is_too_deep_or_twice_is_told() {
        let deep = "[".repeat(MAX_DEPTH + 1);
        assert!(matches!(parse(deep.as_bytes()), Err(Fault::Deep(256))));
        let twice = parse(br#"{"x": {"a/b": 1, "c": 2, "a/b": 3}}"#).unwrap();
        assert_eq!(twice.repeated[0].pointer, "/x/a~1b");
        assert_eq!(twice.root.get("x").unwrap().all("a/b").count(), 2);
        assert!(parse(b"[NaN, -Infinity, Infinity]").is_ok());
    }

    #[test]
    fn lines_are_counted_and_documents_follow_each_other() {
        let bytes = b"{\"a\":\n 1}\n{\"b\": 2}".to_vec();
        let mut reader = Reader::new(&bytes);
        let mut keys = Vec::new();
        loop {
            while let Some((token, place)) = reader.next().unwrap() {
                if let Token::Key(key) = token {
                    keys.push((key.to_owned(), place.line));
                }
            }
            if !reader.again().unwrap() {
                break;
            }
        }
        assert_eq!(keys, [("a".to_owned(), 1), ("b".to_owned(), 3)]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn what_others_write_is_read(text in "[a-z\\\\\"\u{0}-\u{ff}]{0,20}", number in any::<i64>()) {
            let value = serde_json::json!({"k": [text.clone(), number], text.clone(): null});
            let parsed = parse(value.to_string().as_bytes()).unwrap();
            let first = parsed.root.all("k").find(|node| !node.items().is_empty());
            prop_assert!(text == "k" || first.unwrap().items()[0].text() == Some(&text));
        }
    }
}
