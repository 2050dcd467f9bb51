//! Models and settings in XML: `OpenVINO`'s graphs, PMML, and any other document, of which only what it
//! would fetch or blow up to is told.

pub(super) mod openvino;
pub(super) mod pmml;

use crate::route::{Format, Head};
use crate::rules::Rule;
use crate::wire::xml::{self, Element, Visitor};
use crate::work::Look;

pub(super) const FORMAT: Format = Format {
    name: "xml",
    extensions: &["xml", "xsd", "xsl", "plist"],
    recognises: |head, _| is_document(head) && !root_of(head).is_some_and(is_of_others),
    examine: |look| examine(look, &mut Any(None)),
};

/// Looks at a document; the outcome of a limit is noted where it fired.
fn examine(look: &mut Look<'_, '_, '_>, visitor: &mut dyn Visitor) {
    let _ = xml::walk(look, visitor);
}

/// A document whose first element comes behind the beginning that was looked at.
struct Any(Option<Box<dyn Visitor>>);

impl Visitor for Any {
    // A text that begins like a document may well be a text.
    fn broken(&self) -> Option<&'static Rule> {
        self.0.as_ref().and_then(|inner| inner.broken())
    }

    fn start(&mut self, look: &mut Look<'_, '_, '_>, element: &Element<'_>) {
        if element.names.len() == 1 && self.0.is_none() {
            self.0 = match element.name() {
                "PMML" => Some(Box::new(pmml::Pmml::default())),
                "net" => Some(Box::new(openvino::Net::default())),
                _ => None,
            };
        }
        if let Some(inner) = &mut self.0 {
            inner.start(look, element);
        }
    }

    fn text(&mut self, look: &mut Look<'_, '_, '_>, element: &Element<'_>, text: &str) {
        if let Some(inner) = &mut self.0 {
            inner.text(look, element, text);
        }
    }

    fn end(&mut self, look: &mut Look<'_, '_, '_>, element: &Element<'_>) {
        if let Some(inner) = &mut self.0 {
            inner.end(look, element);
        }
    }
}

// Documents that other parsers know better.
fn is_of_others(root: &str) -> bool {
    matches!(
        root.to_ascii_lowercase().as_str(),
        "svg" | "html" | "pmml" | "net"
    )
}

// A beginning that no other text has.
fn is_document(head: &Head) -> bool {
    if !head.may_be_markup() {
        return false;
    }
    let text = text_of(head);
    let text = text.trim_start();
    ["<?xml", "<!DOCTYPE", "<!ENTITY", "<!--"]
        .iter()
        .any(|mark| text.starts_with(mark))
        && !text.to_ascii_lowercase().starts_with("<!doctype html")
}

/// Returns the beginning as text.
pub(super) fn text_of(head: &Head) -> String {
    match head.bytes() {
        [0xff, 0xfe, rest @ ..] => wide(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => wide(rest, u16::from_be_bytes),
        [b'<', 0, ..] => wide(head.bytes(), u16::from_le_bytes),
        [0, b'<', ..] => wide(head.bytes(), u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8_lossy(rest).into_owned(),
        bytes => String::from_utf8_lossy(bytes).into_owned(),
    }
}

fn wide(bytes: &[u8], order: fn([u8; 2]) -> u16) -> String {
    let units = bytes
        .chunks_exact(2)
        .filter_map(|pair| Some(order(pair.try_into().ok()?)));
    char::decode_utf16(units)
        .map(|one| one.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}

/// Returns true if the first element has one of these names, without a prefix.
pub(super) fn has_root(head: &Head, name: &str) -> bool {
    matches!(
        head.bytes(),
        [
            b'<' | b' ' | b'\t' | b'\r' | b'\n' | 0xef | 0xff | 0xfe | 0,
            ..
        ]
    ) && root_of(head).is_some_and(|root| root == name)
}

// The name of the first element, if it is in the beginning.
fn root_of(head: &Head) -> Option<&'static str> {
    let text = text_of(head);
    let mut rest = text.as_str();
    loop {
        rest = rest.trim_start().strip_prefix('<')?;
        let end = if rest.starts_with("!--") {
            "-->"
        } else if rest.starts_with('?') {
            "?>"
        } else if rest.starts_with("!DOCTYPE") {
            // Declarations may hold anything: the name is the first word.
            let word = rest.split_whitespace().nth(1)?;
            return known(word.trim_end_matches(['>', '[']));
        } else {
            let end = rest.find(|one: char| one.is_whitespace() || matches!(one, '>' | '/'))?;
            let name = rest.get(..end)?;
            return known(name.rsplit(':').next().unwrap_or(name));
        };
        rest = rest.split_once(end)?.1;
    }
}

fn known(name: &str) -> Option<&'static str> {
    ["PMML", "net", "svg", "html"]
        .into_iter()
        .find(|known| known.eq_ignore_ascii_case(name))
}
