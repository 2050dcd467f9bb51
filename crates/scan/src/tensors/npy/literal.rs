//! Literals of Python, as headers of NumPy arrays hold them: read, never evaluated.

/// Deepest nesting.
const MAX_DEPTH: u32 = 32;
/// Most values.
const MAX_VALUES: u32 = 100_000;

/// A literal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Literal {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// An integer of up to 128 bits.
    Int(i128),
    /// A text or bytes.
    Text(String),
    /// A tuple.
    Tuple(Vec<Self>),
    /// A list.
    List(Vec<Self>),
    /// A dictionary, in its order.
    Dict(Vec<(Self, Self)>),
}

/// Why a text is no literal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoLiteral {
    /// It is not whole, or too long or deep.
    Broken,
    /// It names or computes something.
    Expression,
}

/// Reads a literal, with nothing but white space around it.
pub(super) fn parse(text: &str) -> Result<Literal, NoLiteral> {
    let mut parser = Parser {
        rest: text,
        values: 0,
    };
    let literal = parser.value(0)?;
    parser.space();
    match parser.rest.chars().next() {
        None => Ok(literal),
        Some('(' | '[' | '.' | '+' | '-' | '*' | '/' | '%') => Err(NoLiteral::Expression),
        Some(c) if c.is_alphabetic() => Err(NoLiteral::Expression),
        Some(_) => Err(NoLiteral::Broken),
    }
}

struct Parser<'a> {
    rest: &'a str,
    values: u32,
}

impl Parser<'_> {
    fn space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn takes(&mut self, what: char) -> bool {
        self.space();
        match self.rest.strip_prefix(what) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn value(&mut self, depth: u32) -> Result<Literal, NoLiteral> {
        self.values = self.values.saturating_add(1);
        if depth > MAX_DEPTH || self.values > MAX_VALUES {
            return Err(NoLiteral::Broken);
        }
        self.space();
        match self.rest.chars().next().ok_or(NoLiteral::Broken)? {
            '(' => {
                self.takes('(');
                self.items(')', depth).map(|(mut items, comma)| {
                    // A single value in brackets is that value.
                    match items.pop() {
                        Some(only) if items.is_empty() && !comma => only,
                        last => {
                            items.extend(last);
                            Literal::Tuple(items)
                        }
                    }
                })
            }
            '[' => {
                self.takes('[');
                self.items(']', depth)
                    .map(|(items, _)| Literal::List(items))
            }
            '{' => self.dict(depth),
            '\'' | '"' => self.text(),
            c if c.is_ascii_digit() || c == '-' => self.number(),
            c if c.is_alphabetic() || c == '_' => self.word(),
            _ => Err(NoLiteral::Broken),
        }
    }

    // Returns the items, and whether a comma follows the last.
    fn items(&mut self, close: char, depth: u32) -> Result<(Vec<Literal>, bool), NoLiteral> {
        let mut items = Vec::new();
        let mut comma = false;
        while !self.takes(close) {
            if !items.is_empty() && !comma {
                return Err(self.unfit());
            }
            items.push(self.value(depth.saturating_add(1))?);
            comma = self.takes(',');
        }
        Ok((items, comma))
    }

    fn dict(&mut self, depth: u32) -> Result<Literal, NoLiteral> {
        self.takes('{');
        let mut entries = Vec::new();
        let mut comma = true;
        while !self.takes('}') {
            if !comma {
                return Err(self.unfit());
            }
            let key = self.value(depth.saturating_add(1))?;
            if !self.takes(':') {
                return Err(self.unfit());
            }
            entries.push((key, self.value(depth.saturating_add(1))?));
            comma = self.takes(',');
        }
        Ok(Literal::Dict(entries))
    }

    // What stands where a comma or the end ought to.
    fn unfit(&self) -> NoLiteral {
        match self.rest.chars().next() {
            Some('(' | '[' | '.' | '+' | '-' | '*' | '/' | '%' | '|') => NoLiteral::Expression,
            Some(c) if c.is_alphabetic() => NoLiteral::Expression,
            _ => NoLiteral::Broken,
        }
    }

    fn text(&mut self) -> Result<Literal, NoLiteral> {
        let mut chars = self.rest.chars();
        let quote = chars.next().ok_or(NoLiteral::Broken)?;
        let mut text = String::new();
        loop {
            match chars.next().ok_or(NoLiteral::Broken)? {
                '\\' => {
                    // Names of fields are shown with few escapes; which one it is does not matter.
                    text.push(chars.next().ok_or(NoLiteral::Broken)?);
                }
                c if c == quote => break,
                c => text.push(c),
            }
        }
        self.rest = chars.as_str();
        Ok(Literal::Text(text))
    }

    fn number(&mut self) -> Result<Literal, NoLiteral> {
        let end = self
            .rest
            .find(|c: char| !c.is_ascii_digit() && c != '-')
            .unwrap_or(self.rest.len());
        let (digits, rest) = self.rest.split_at(end);
        // Python 2 marked its long numbers.
        self.rest = rest.strip_prefix('L').unwrap_or(rest);
        digits
            .parse()
            .map(Literal::Int)
            .map_err(|_| NoLiteral::Broken)
    }

    fn word(&mut self) -> Result<Literal, NoLiteral> {
        let end = self
            .rest
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        if rest.starts_with(['\'', '"']) && matches!(word, "b" | "u" | "r") {
            self.rest = rest;
            return self.text();
        }
        self.rest = rest;
        match word {
            "None" => Ok(Literal::None),
            "True" => Ok(Literal::Bool(true)),
            "False" => Ok(Literal::Bool(false)),
            _ => Err(NoLiteral::Expression),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_read_and_expressions_are_told_apart() {
        let parsed = parse("{'descr': [('a', '<f8', (2,)), ], 'fortran_order': False, 'n': (3L)}");
        let expected = Literal::Dict(vec![
            (
                Literal::Text("descr".into()),
                Literal::List(vec![Literal::Tuple(vec![
                    Literal::Text("a".into()),
                    Literal::Text("<f8".into()),
                    Literal::Tuple(vec![Literal::Int(2)]),
                ])]),
            ),
            (Literal::Text("fortran_order".into()), Literal::Bool(false)),
            (Literal::Text("n".into()), Literal::Int(3)),
        ]);
        assert_eq!(parsed, Ok(expected));
        for text in [
            "",
            "{",
            "{'a'}",
            "(1 2)",
            "'a",
            "99999999999999999999999999999999999999999",
        ] {
            assert_eq!(parse(text), Err(NoLiteral::Broken), "{text}");
        }
        for text in [
            "f(1)",
            "{'a': __import__('os')}",
            "1+1",
            "[1 for x in y]",
            "'a'.b",
        ] {
            assert_eq!(parse(text), Err(NoLiteral::Expression), "{text}");
        }
        assert_eq!(parse(&"(".repeat(1000)), Err(NoLiteral::Broken));
    }
}
