//! JSON files: configurations, tokenizers, indexes, notebooks, and datasets of a document a line.

use custos_core::finding::Location;

use crate::route::{Format, Head};
use crate::rules;
use crate::work::{Input, Look};

use super::document::{Builder, Document, Fed};
use super::json::{Fault, Reader, Token};
use super::{config, inspect, notebook, plain};

/// Shortest text that can hide anything.
const INSPECTED: usize = 16;

pub(super) const FORMAT: Format = Format {
    name: "json",
    extensions: &["json", "ipynb", "jsonl", "ndjson", "geojson", "webmanifest"],
    recognises,
    examine,
};

// One object or list that follows the grammar as far as the beginning goes, and nothing behind it
// but others on lines of their own.
fn recognises(head: &Head, _: &Input<'_>) -> bool {
    let start = head.bytes().iter().find(|byte| !byte.is_ascii_whitespace());
    let marked = head.starts_with(b"\xef\xbb\xbf");
    if !(matches!(start, Some(b'{' | b'[')) || marked) || !plain::is_text(head) {
        return false;
    }
    let bytes = head.bytes().to_vec();
    let mut reader = Reader::new(&bytes);
    let mut tokens = 0_u32;
    loop {
        match reader.next() {
            Ok(Some(_)) => tokens = tokens.saturating_add(1),
            Ok(None) => {
                let alone = next_line(&mut reader) || matches!(reader.again(), Ok(false));
                return tokens > 1 && alone;
            }
            // The beginning ends before the document does.
            Err(Fault::End(_)) => return tokens > 1,
            Err(Fault::Deep(_)) => return true,
            Err(_) => {
                let left = u64::try_from(bytes.len())
                    .unwrap_or(0)
                    .saturating_sub(reader.position());
                // A word that is cut off by the end of what was read is no error.
                return tokens > 1 && left == 0;
            }
        }
    }
}

fn examine(look: &mut Look<'_, '_, '_>) {
    let input = look.input;
    let mut reader = Reader::new(input.bytes);
    let mut pass = Pass::new();
    let fault = loop {
        match pass.token(look, &mut reader) {
            Ok(true) => {}
            Ok(false) if next_line(&mut reader) => pass.lines = true,
            Ok(false) => break None,
            Err(fault) => break Some(fault),
        }
        if pass.tokens.is_multiple_of(4_096) && look.work.tick(&input.path).is_err() {
            return;
        }
    };
    let end = reader.position();
    let trailing = match (&fault, reader.again()) {
        (None, Ok(false)) => None,
        (None, _) => Some("something follows the document".to_owned()),
        (Some(fault), _) => Some(fault.to_string()),
    };
    match trailing {
        None => look.covered.parsed(0..input.bytes.len()),
        Some(why) => {
            look.covered.parsed(0..end);
            look.see(
                &rules::text::CONFIG_BROKEN,
                end,
                format!("it is no JSON: {why}"),
            );
            // What cannot be read as values is looked at as text.
            plain::examine(look);
            if matches!(fault, Some(Fault::Deep(_) | Fault::Long(_))) {
                look.gap(why);
            }
        }
    }
    if pass.full && !pass.lines {
        look.gap("it has more values than are kept; rules about keys saw the first of them");
    }
    // A row of a dataset configures nothing.
    if !pass.lines
        && let Some(document) = pass.builder.finish_early()
    {
        judge(look, &document);
    }
}

// Goes on if another object or list begins on a line below.
fn next_line(reader: &mut Reader<'_>) -> bool {
    let line = reader.line();
    matches!(reader.skip_space(), Ok(Some(b'{' | b'[')))
        && reader.line() > line
        && matches!(reader.again(), Ok(true))
}

/// Looks at what a document says, whatever it was written in.
fn judge(look: &mut Look<'_, '_, '_>, document: &Document) {
    if notebook::is_one(document) {
        notebook::examine(look, document);
    }
    config::judge(look, document);
}

struct Pass {
    builder: Builder,
    // Whether each open bracket is that of a list.
    lists: Vec<bool>,
    tokens: u64,
    full: bool,
    // Several documents, each on lines of its own.
    lines: bool,
}

impl Pass {
    const fn new() -> Self {
        Self {
            builder: Builder::new(),
            lists: Vec::new(),
            tokens: 0,
            full: false,
            lines: false,
        }
    }

    fn token(
        &mut self,
        look: &mut Look<'_, '_, '_>,
        reader: &mut Reader<'_>,
    ) -> Result<bool, Fault> {
        let Some((token, place)) = reader.next()? else {
            return Ok(false);
        };
        self.tokens = self.tokens.saturating_add(1);
        let mut kept = true;
        match token {
            Token::ArrayStart => self.lists.push(true),
            Token::ObjectStart => self.lists.push(false),
            Token::ArrayEnd | Token::ObjectEnd => {
                self.lists.pop();
            }
            // Lists of numbers are what no rule asks for.
            Token::Number(_) => kept = self.lists.last() != Some(&true),
            Token::Text(text) | Token::Key(text) if text.len() >= INSPECTED => {
                let location = Location {
                    offset: Some(place.offset),
                    line: Some(place.line),
                    ..look.here()
                };
                inspect(look, &location, text);
            }
            _ => {}
        }
        if kept && !self.full && !self.lines {
            self.full = self.builder.feed(token, place) == Fed::Full;
        }
        Ok(true)
    }
}
