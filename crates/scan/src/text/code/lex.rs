//! Words, numbers, strings and signs.

use super::Dialect;

/// A token and where it begins.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Token<'s> {
    pub(crate) kind: Kind<'s>,
    pub(crate) offset: usize,
    pub(crate) line: u32,
}

/// What a token is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind<'s> {
    Bytes(Vec<u8>),
    /// A formatted string, as it is written between its quotes, and where that begins.
    Format(&'s str, usize),
    Name(&'s str),
    Number(i64),
    Sign(&'s str),
    /// A string; the flag says that a character is written by its name.
    Text(String, bool),
    /// A number that is not whole, or a character that means nothing.
    Other,
}

/// Reads one logical line after another: up to an end of line outside of brackets.
pub(crate) struct Lexer<'s> {
    source: &'s str,
    at: usize,
    line: u32,
    dialect: Dialect,
}

/// A logical line.
#[derive(Debug)]
pub(crate) struct Logical<'s> {
    /// How far it is indented, with tabs up to the next multiple of eight.
    pub(crate) indent: usize,
    pub(crate) tokens: Vec<Token<'s>>,
}

const SIGNS: [&str; 24] = [
    "**=", "//=", ">>=", "<<=", "...", "!=", "==", "<=", ">=", ":=", "->", "+=", "-=", "*=", "/=",
    "%=", "&=", "|=", "^=", "@=", "**", "//", "<<", ">>",
];

impl<'s> Lexer<'s> {
    /// Returns a reader of a whole text.
    pub(crate) const fn new(source: &'s str, dialect: Dialect) -> Self {
        Self {
            source,
            at: 0,
            line: 1,
            dialect,
        }
    }

    /// Returns a reader of a part of a text that begins at a byte and a line of it.
    pub(crate) const fn part(source: &'s str, at: (usize, u32), dialect: Dialect) -> Self {
        Self {
            source,
            at: at.0,
            line: at.1,
            dialect,
        }
    }

    /// Returns the next logical line that is not empty.
    pub(crate) fn logical(&mut self) -> Option<Logical<'s>> {
        loop {
            let indent = self.indent();
            let tokens = self.tokens();
            if !tokens.is_empty() {
                return Some(Logical { indent, tokens });
            }
            if self.rest().is_empty() {
                return None;
            }
        }
    }

    /// Returns all tokens up to the end of the logical line.
    pub(crate) fn tokens(&mut self) -> Vec<Token<'s>> {
        let mut tokens = Vec::new();
        let mut depth = 0_usize;
        while let Some(c) = self.peek() {
            match c {
                '\n' if depth == 0 && self.dialect == Dialect::Python => {
                    self.skip(1);
                    break;
                }
                '\n' => self.skip(1),
                '\\' if self.rest().starts_with("\\\n") => self.skip(2),
                '\\' if self.rest().starts_with("\\\r\n") => self.skip(3),
                '#' if self.dialect == Dialect::Python => {
                    let end = self.rest().find('\n').unwrap_or(self.rest().len());
                    self.skip(end);
                }
                c if c.is_whitespace() || c == '\u{feff}' => self.skip(c.len_utf8()),
                _ => {
                    let token = self.token(c);
                    match token.kind {
                        Kind::Sign("(" | "[" | "{") => depth = depth.saturating_add(1),
                        Kind::Sign(")" | "]" | "}") => depth = depth.saturating_sub(1),
                        _ => {}
                    }
                    tokens.push(token);
                }
            }
        }
        tokens
    }

    fn indent(&mut self) -> usize {
        let mut indent = 0_usize;
        while let Some(c @ (' ' | '\t' | '\u{c}' | '\u{feff}')) = self.peek() {
            indent = match c {
                ' ' => indent.saturating_add(1),
                '\t' => (indent | 7).saturating_add(1),
                '\u{c}' => 0,
                _ => indent,
            };
            self.skip(c.len_utf8());
        }
        indent
    }

    fn rest(&self) -> &'s str {
        self.source.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn skip(&mut self, count: usize) {
        let passed = self.rest().get(..count).unwrap_or(self.rest());
        let lines = passed.bytes().filter(|byte| *byte == b'\n').count();
        self.line = self
            .line
            .saturating_add(u32::try_from(lines).unwrap_or(u32::MAX));
        self.at = self.at.saturating_add(passed.len().max(1));
    }

    fn token(&mut self, c: char) -> Token<'s> {
        let (offset, line) = (self.at, self.line);
        let kind = if c == '"' || c == '\'' {
            self.string("")
        } else if c.is_ascii_digit() {
            self.number()
        } else if c.is_alphanumeric() || c == '_' {
            self.name()
        } else {
            self.sign(c)
        };
        Token { kind, offset, line }
    }

    fn name(&mut self) -> Kind<'s> {
        let rest = self.rest();
        let end = rest
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
        let name = rest.get(..end).unwrap_or_default();
        self.skip(end);
        let quoted = matches!(self.peek(), Some('"' | '\''));
        let prefix = name.len() <= 2 && name.bytes().all(|b| b"rRbBuUfFtT".contains(&b));
        if quoted && prefix && self.dialect == Dialect::Python {
            return self.string(name);
        }
        Kind::Name(name)
    }

    fn number(&mut self) -> Kind<'s> {
        let rest = self.rest();
        let mut before = ' ';
        let end = rest
            .find(|c: char| {
                let exponent = matches!(before, 'e' | 'E') && (c == '+' || c == '-');
                let inside = c.is_ascii_alphanumeric() || c == '_' || c == '.' || exponent;
                before = c;
                !inside
            })
            .unwrap_or(rest.len());
        let mut word = rest.get(..end).unwrap_or_default();
        // A sign behind a hexadecimal number that ends in `e` is none of its own.
        if word.starts_with("0x") || word.starts_with("0X") {
            word = word.split(['+', '-']).next().unwrap_or_default();
        }
        self.skip(word.len());
        let plain = word.replace('_', "").to_ascii_lowercase();
        let parsed = match plain.get(..2) {
            Some("0x") => i64::from_str_radix(plain.get(2..).unwrap_or_default(), 16),
            Some("0o") => i64::from_str_radix(plain.get(2..).unwrap_or_default(), 8),
            Some("0b") => i64::from_str_radix(plain.get(2..).unwrap_or_default(), 2),
            _ => plain.parse(),
        };
        parsed.map_or(Kind::Other, Kind::Number)
    }

    fn sign(&mut self, c: char) -> Kind<'s> {
        let rest = self.rest();
        let jinja = self.dialect == Dialect::Jinja;
        let long = SIGNS.iter().find(|sign| {
            // In a template, `|` and `~` never are parts of longer signs.
            rest.starts_with(**sign) && !(jinja && sign.starts_with('|'))
        });
        let len = long.map_or(c.len_utf8(), |sign| sign.len());
        let sign = rest.get(..len).unwrap_or_default();
        self.skip(len);
        if c.is_ascii() {
            Kind::Sign(sign)
        } else {
            Kind::Other
        }
    }

    fn string(&mut self, prefix: &str) -> Kind<'s> {
        let has = |letter: char| prefix.chars().any(|c| c.eq_ignore_ascii_case(&letter));
        let (raw, bytes, format) = (has('r'), has('b'), has('f') || has('t'));
        let quote = self.rest().get(..1).unwrap_or("'");
        let python = self.dialect == Dialect::Python;
        let triple = python && self.rest().starts_with(&quote.repeat(3));
        let width = if triple { 3 } else { 1 };
        self.skip(width);
        let start = self.at;
        let end = self.string_end(quote, triple);
        let body = self.source.get(start..end).unwrap_or_default();
        self.skip(body.len());
        if !body.is_empty() && self.at == end || body.is_empty() {
            self.at = end;
        }
        // An end of line ends a string that was never closed.
        if self.rest().starts_with(quote) {
            self.skip(width);
        }
        if format {
            return Kind::Format(body, start);
        }
        let (text, named) = if raw {
            (body.to_owned(), false)
        } else {
            unescape(body, bytes)
        };
        if bytes {
            let low = |c: char| u8::try_from(u32::from(c)).unwrap_or(b'?');
            return Kind::Bytes(text.chars().map(low).collect());
        }
        Kind::Text(text, named)
    }

    fn string_end(&self, quote: &str, triple: bool) -> usize {
        let rest = self.rest().as_bytes();
        let mark = quote.as_bytes().first().copied().unwrap_or(b'\'');
        let mut at = 0_usize;
        while let Some(byte) = rest.get(at) {
            let three = rest.get(at..at.saturating_add(3)) == Some(&[mark; 3]);
            match *byte {
                b'\\' => at = at.saturating_add(1),
                b'\n' if !triple && self.dialect == Dialect::Python => break,
                byte if byte == mark && (!triple || three) => break,
                _ => {}
            }
            at = at.saturating_add(1);
        }
        self.at.saturating_add(at.min(rest.len()))
    }
}

// What escapes mean, and whether one names its character.
fn unescape(body: &str, bytes: bool) -> (String, bool) {
    if !body.contains('\\') {
        return (body.to_owned(), false);
    }
    let mut out = String::with_capacity(body.len());
    let mut named = false;
    let mut rest = body;
    while let Some(at) = rest.find('\\') {
        out.push_str(rest.get(..at).unwrap_or_default());
        rest = rest.get(at.saturating_add(1)..).unwrap_or_default();
        let Some(c) = rest.chars().next() else { break };
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
        let digits = match c {
            'x' => 2,
            'u' if !bytes => 4,
            'U' if !bytes => 8,
            _ => 0,
        };
        let code = rest.get(..digits).filter(|_| digits > 0);
        let code = code.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        if let Some(code) = code {
            rest = rest.get(digits..).unwrap_or_default();
            out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            continue;
        }
        match c {
            'n' => out.push('\n'),
            't' => out.push('\t'),
            'r' => out.push('\r'),
            'a' => out.push('\u{7}'),
            'b' => out.push('\u{8}'),
            'f' => out.push('\u{c}'),
            'v' => out.push('\u{b}'),
            '\n' => {}
            '\\' | '\'' | '"' => out.push(c),
            '0'..='7' => {
                let (octal, more) = octal(c, rest);
                out.push(octal);
                rest = rest.get(more..).unwrap_or_default();
            }
            'N' if !bytes && rest.starts_with('{') => {
                let end = rest.find('}').unwrap_or(rest.len());
                out.push(by_name(rest.get(1..end).unwrap_or_default()));
                rest = rest.get(end.saturating_add(1)..).unwrap_or_default();
                named = true;
            }
            c => {
                out.push('\\');
                out.push(c);
            }
        }
    }
    out.push_str(rest);
    (out, named)
}

// The character of up to three digits, and how many of them follow the first.
fn octal(first: char, rest: &str) -> (char, usize) {
    let digits = rest.bytes().take(2);
    let more = digits.take_while(|b| (b'0'..=b'7').contains(b)).count();
    let digits = format!("{first}{}", rest.get(..more).unwrap_or_default());
    let code = u32::from_str_radix(&digits, 8).ok();
    let c = code.and_then(char::from_u32);
    (c.unwrap_or(char::REPLACEMENT_CHARACTER), more)
}

// The characters that names are made of; any other is as good as none.
fn by_name(name: &str) -> char {
    const DIGITS: [&str; 10] = [
        "ZERO", "ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX", "SEVEN", "EIGHT", "NINE",
    ];
    let name = name.to_ascii_uppercase();
    let letter = |prefix: &str| name.strip_prefix(prefix).filter(|rest| rest.len() == 1);
    if let Some(small) = letter("LATIN SMALL LETTER ") {
        return small.to_ascii_lowercase().chars().next().unwrap_or('_');
    }
    if let Some(capital) = letter("LATIN CAPITAL LETTER ") {
        return capital.chars().next().unwrap_or('_');
    }
    let digit = name.strip_prefix("DIGIT ");
    let digit = digit.and_then(|word| DIGITS.iter().position(|one| *one == word));
    match name.as_str() {
        "LOW LINE" | "SPACING UNDERSCORE" => '_',
        "FULL STOP" | "PERIOD" => '.',
        _ => digit
            .and_then(|digit| u32::try_from(digit).ok())
            .and_then(|digit| char::from_digit(digit, 10))
            .unwrap_or(char::REPLACEMENT_CHARACTER),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(source: &str, dialect: Dialect) -> Vec<Kind<'_>> {
        let tokens = Lexer::new(source, dialect).tokens();
        tokens.into_iter().map(|token| token.kind).collect()
    }

    #[test]
    fn strings_mean_what_python_takes_them_for() {
        let text = |text: &str| Kind::Text(text.to_owned(), false);
        for (source, kind) in [
            (r"'\x5f\137\u005f'", text("___")),
            (r"r'\x5f'", text(r"\x5f")),
            (
                r#""""a"b
c""""#,
                text("a\"b\nc"),
            ),
            (r"'\N{LOW LINE}'", Kind::Text("_".into(), true)),
            (r"b'\xff\x00'", Kind::Bytes(vec![255, 0])),
            ("'a\\\nb'", text("ab")),
            ("''", text("")),
        ] {
            assert_eq!(kinds(source, Dialect::Python), [kind], "{source}");
        }
        assert_eq!(kinds("f'{x}'", Dialect::Python), [Kind::Format("{x}", 2)]);
        assert_eq!(
            kinds("0x10 1_0 1.5 1e-3", Dialect::Python),
            [Kind::Number(16), Kind::Number(10), Kind::Other, Kind::Other]
        );
    }

    #[test]
    fn logical_lines_end_outside_of_brackets() {
        let mut lexer = Lexer::new(
            "a = (1,\n 2)\n\n  b # c\n\td\\\n+e\n'open\nf",
            Dialect::Python,
        );
        let mut lines = Vec::new();
        while let Some(line) = lexer.logical() {
            let first = &line.tokens[0];
            lines.push((line.indent, line.tokens.len(), first.line));
        }
        assert_eq!(
            lines,
            [(0, 7, 1), (2, 1, 4), (8, 3, 5), (0, 1, 7), (0, 1, 8)]
        );
    }
}
