//! Texts and tags of a template.

/// A part of a template.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part<'s> {
    /// What stands between brackets: statements (`{% %}`) or an expression (`{{ }}`).
    Tag {
        block: bool,
        start: usize,
        end: usize,
        line: u32,
    },
    /// What is written as it is.
    Text(&'s str),
    /// A bracket that is never closed.
    Unclosed { line: u32 },
}

/// Reads part after part.
pub(super) struct Parts<'s> {
    source: &'s str,
    at: usize,
    line: u32,
    // Raw text ends somewhere further on.
    ends_raw: bool,
}

impl<'s> Parts<'s> {
    pub(super) const fn new(source: &'s str) -> Self {
        Self {
            source,
            at: 0,
            line: 1,
            ends_raw: true,
        }
    }

    /// Returns the next part.
    pub(super) fn next(&mut self) -> Option<Part<'s>> {
        loop {
            let rest = self.source.get(self.at..).filter(|rest| !rest.is_empty())?;
            let open = rest.match_indices('{').find(|(at, _)| {
                let next = rest.as_bytes().get(at.saturating_add(1));
                matches!(next, Some(b'{' | b'%' | b'#'))
            });
            let Some((open, _)) = open else {
                return Some(Part::Text(self.pass(rest.len())));
            };
            if open > 0 {
                return Some(Part::Text(self.pass(open)));
            }
            match rest.as_bytes().get(1) {
                Some(b'#') => {
                    let Some(end) = rest.find("#}") else {
                        return Some(self.unclosed(rest.len()));
                    };
                    self.pass(end.saturating_add(2));
                }
                kind => return Some(self.tag(rest, kind == Some(&b'%'))),
            }
        }
    }

    fn tag(&mut self, rest: &'s str, block: bool) -> Part<'s> {
        let line = self.line;
        let Some(end) = closing(rest, if block { b'%' } else { b'}' }) else {
            return self.unclosed(rest.len());
        };
        let inside = rest.get(2..end).unwrap_or_default();
        // A sign that says what becomes of white space around.
        let before = inside
            .len()
            .saturating_sub(inside.trim_start_matches(['-', '+']).len())
            .min(1);
        let after = inside
            .len()
            .saturating_sub(inside.trim_end_matches(['-', '+']).len())
            .min(1);
        let start = self.at.saturating_add(2).saturating_add(before);
        let stop = self.at.saturating_add(end).saturating_sub(after).max(start);
        let word = inside.trim_matches(['-', '+']).trim();
        let close = if block && word == "raw" && self.ends_raw {
            let close = raw_end(rest, end);
            self.ends_raw = close.is_some();
            close
        } else {
            None
        };
        self.pass(close.unwrap_or(end).saturating_add(2));
        Part::Tag {
            block,
            start,
            end: stop,
            line,
        }
    }

    fn unclosed(&mut self, len: usize) -> Part<'s> {
        let line = self.line;
        self.pass(len);
        Part::Unclosed { line }
    }

    fn pass(&mut self, count: usize) -> &'s str {
        let rest = self.source.get(self.at..).unwrap_or_default();
        let passed = rest.get(..count).unwrap_or(rest);
        let lines = passed.bytes().filter(|byte| *byte == b'\n').count();
        self.line = self
            .line
            .saturating_add(u32::try_from(lines).unwrap_or(u32::MAX));
        self.at = self.at.saturating_add(passed.len());
        passed
    }
}

// Where the bracket closes, outside of strings and of brackets within.
fn closing(rest: &str, kind: u8) -> Option<usize> {
    let bytes = rest.as_bytes();
    let (mut at, mut depth, mut quote) = (2_usize, 0_usize, None);
    while let Some(byte) = bytes.get(at) {
        let next = bytes.get(at.saturating_add(1));
        match (*byte, quote) {
            (b'\\', Some(_)) => at = at.saturating_add(1),
            (byte, Some(open)) if byte == open => quote = None,
            _ if quote.is_some() => {}
            (byte, None) if byte == kind && next == Some(&b'}') && (kind == b'%' || depth == 0) => {
                return Some(at);
            }
            (b'"' | b'\'', _) => quote = Some(*byte),
            (b'(' | b'[' | b'{', _) => depth = depth.saturating_add(1),
            (b')' | b']' | b'}', _) => depth = depth.saturating_sub(1),
            _ => {}
        }
        at = at.saturating_add(1);
    }
    None
}

// Where the tag that ends raw text closes.
fn raw_end(rest: &str, from: usize) -> Option<usize> {
    const WORD: &str = "endraw";
    let rest_from = rest.get(from..)?;
    rest_from.match_indices(WORD).find_map(|(at, _)| {
        let before = rest_from.get(..at)?.trim_end();
        let before = before.strip_suffix(['-', '+']).unwrap_or(before);
        let behind = at.saturating_add(WORD.len());
        let after = rest_from.get(behind..)?.trim_start();
        let after = after.strip_prefix(['-', '+']).unwrap_or(after);
        let close = rest_from.len().saturating_sub(after.len());
        (before.ends_with("{%") && after.starts_with("%}")).then(|| from.saturating_add(close))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_close_outside_of_strings() {
        let source =
            "a{{- '}}' ~ {'a':{}} -}}b\n{#c#}{%if x%}{% raw %}{{ y }}{%- endraw -%}d{{ open";
        let mut parts = Parts::new(source);
        let mut shown = Vec::new();
        while let Some(part) = parts.next() {
            shown.push(match part {
                Part::Text(text) => text.to_owned(),
                Part::Tag {
                    start, end, line, ..
                } => format!("{line}:{}", &source[start..end]),
                Part::Unclosed { line } => format!("unclosed {line}"),
            });
        }
        assert_eq!(
            shown,
            [
                "a",
                "1: '}}' ~ {'a':{}} ",
                "b\n",
                "2:if x",
                "2: raw ",
                "d",
                "unclosed 2"
            ]
        );
    }

    #[test]
    fn raw_text_that_nobody_ends_is_searched_once() {
        for many in [
            "{% raw %}".repeat(100_000),
            format!("{{% raw %}}{}%}}", "{%".repeat(300_000)),
            format!("{{% raw %}}{}", "{% endraw".repeat(100_000)),
        ] {
            let mut parts = Parts::new(&many);
            while parts.next().is_some() {}
        }
        let tags = "{% raw %}{% endraw x %}{{ a }}{%+ endraw +%}{{ b }}";
        let mut parts = Parts::new(tags);
        assert!(matches!(parts.next(), Some(Part::Tag { .. })));
        let rest = parts.source.get(parts.at..);
        assert_eq!(rest, Some("{{ b }}"));
    }
}
