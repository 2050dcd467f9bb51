//! Strings beside each other, and formatted ones.

use crate::text::code::lex::{Kind, Lexer};
use crate::text::code::{Dialect, Expr, Id};

use super::{MAX_DEPTH, Parser};

impl<'s> Parser<'s> {
    /// Reads strings that follow each other, which are one.
    pub(super) fn strings(&mut self, first: Kind<'s>, place: (usize, u32)) -> Id {
        let mut parts = vec![first];
        while matches!(
            self.peek(),
            Some(Kind::Text(..) | Kind::Bytes(_) | Kind::Format(..))
        ) {
            if let Some(token) = self.tokens.get_mut(self.at) {
                parts.push(std::mem::replace(&mut token.kind, Kind::Other));
            }
            self.bump();
        }
        if parts.iter().all(|part| matches!(part, Kind::Bytes(_))) {
            let all = parts.into_iter().flat_map(|part| match part {
                Kind::Bytes(bytes) => bytes,
                _ => Vec::new(),
            });
            let all = all.collect();
            return self.push(Expr::Bytes(all), place);
        }
        let mut ids = Vec::new();
        let (mut text, mut named) = (String::new(), false);
        let mut formatted = false;
        for part in parts {
            match part {
                Kind::Text(more, by_name) => {
                    text.push_str(&more);
                    named |= by_name;
                }
                Kind::Format(body, start) => {
                    formatted = true;
                    let before = std::mem::take(&mut text);
                    ids.push(self.push(Expr::Text(before, named), place));
                    self.formatted(body, (start, place.1), &mut ids);
                }
                _ => {}
            }
        }
        if !formatted {
            return self.push(Expr::Text(text, named), place);
        }
        ids.push(self.push(Expr::Text(text, named), place));
        self.push(Expr::Format(ids), place)
    }

    // The texts and expressions of a formatted string.
    fn formatted(&mut self, body: &'s str, (start, line): (usize, u32), ids: &mut Vec<Id>) {
        let mut rest = body;
        let mut at = start;
        while let Some(open) = rest.find(['{', '}']) {
            let (text, behind) = rest.split_at_checked(open).unwrap_or((rest, ""));
            ids.push(self.push(Expr::Text(text.to_owned(), false), (at, line)));
            at = at.saturating_add(open);
            if behind.starts_with("{{") || behind.starts_with("}}") || behind.starts_with('}') {
                let brace = behind.get(..1).unwrap_or_default().to_owned();
                let width = if behind.starts_with("{{") || behind.starts_with("}}") {
                    2
                } else {
                    1
                };
                ids.push(self.push(Expr::Text(brace, false), (at, line)));
                rest = behind.get(width..).unwrap_or_default();
                at = at.saturating_add(width);
                continue;
            }
            let inner = behind.get(1..).unwrap_or_default();
            let end = closing(inner);
            let from = at.saturating_add(1);
            ids.push(self.inner(from, from.saturating_add(end), line));
            let passed = end.saturating_add(2).min(behind.len());
            rest = behind.get(passed..).unwrap_or_default();
            at = at.saturating_add(passed);
        }
        ids.push(self.push(Expr::Text(rest.to_owned(), false), (at, line)));
    }

    // An expression between braces, read as a text of its own.
    fn inner(&mut self, from: usize, to: usize, line: u32) -> Id {
        let place = (from, line);
        let part = self.source.get(..to).unwrap_or_default();
        if self.depth >= MAX_DEPTH || from > to {
            return self.push(Expr::Other, place);
        }
        let tokens = Lexer::part(part, place, Dialect::Jinja).tokens();
        let outer = (std::mem::replace(&mut self.tokens, tokens), self.at);
        self.at = 0;
        self.depth = self.depth.saturating_add(8);
        let id = self.expressions();
        self.depth = self.depth.saturating_sub(8);
        (self.tokens, self.at) = outer;
        id
    }
}

// Where the expression of a replacement field ends: at its brace, conversion or format.
fn closing(inner: &str) -> usize {
    let (mut depth, mut quote) = (0_usize, None);
    let bytes = inner.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        match (*byte, quote) {
            (byte, Some(open)) if byte == open => quote = None,
            _ if quote.is_some() => {}
            (b'"' | b'\'', _) => quote = Some(*byte),
            (b'(' | b'[' | b'{', _) => depth = depth.saturating_add(1),
            (b'}', _) if depth == 0 => return at,
            (b')' | b']' | b'}', _) => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    inner.len()
}
