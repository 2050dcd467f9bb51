//! XML of any size from anybody, tag by tag (XML 1.0, fifth edition).
//!
//! No entity is ever put in: what a document declares is measured and told, never fetched and never
//! expanded. A tag or a text has a bound, and so has nesting; the document has none. Encodings are
//! those that parsers have to know (UTF-8, UTF-16) and ISO 8859-1 for everything else that has the
//! letters of ASCII.

mod declarations;
mod decoded;

use std::cell::Cell;
use std::rc::Rc;

use custos_core::finding::Location;
use quick_xml::escape::{resolve_predefined_entity, unescape};
use quick_xml::events::{BytesStart, Event};

use crate::rules::{self, Rule};
use crate::work::{Limited, Look};

use decoded::Decoded;

/// Deepest nesting.
const MAX_DEPTH: usize = 500;
/// Longest text or tag.
const MAX_EVENT: usize = 16 << 20;
/// Most bytes of the names of open elements.
const MAX_NAMES: usize = 1 << 20;

/// A place in a document.
#[derive(Debug)]
pub(crate) struct Element<'e> {
    /// Names of the open elements without their prefixes, this one last.
    pub(crate) names: &'e [String],
    /// Attributes of this one, with their prefixes.
    pub(crate) attributes: &'e [(String, String)],
    /// Byte, if bytes can be counted in this encoding.
    pub(crate) at: Option<u64>,
}

impl Element<'_> {
    /// Returns the name without its prefix.
    pub(crate) fn name(&self) -> &str {
        self.names.last().map_or("", String::as_str)
    }

    /// Returns the name of the element that it is in.
    pub(crate) fn parent(&self) -> &str {
        let index = self.names.len().checked_sub(2);
        let name = index.and_then(|index| self.names.get(index));
        name.map_or("", String::as_str)
    }

    /// Returns an attribute by its name.
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Returns a place for findings.
    pub(crate) fn place(&self, look: &Look<'_, '_, '_>) -> Location {
        Location {
            offset: self.at,
            pointer: Some(format!("/{}", self.names.join("/"))),
            ..look.here()
        }
    }
}

/// Looks at the elements of a document.
pub(crate) trait Visitor {
    /// Returns the rule for a document that is broken, if that is one.
    fn broken(&self) -> Option<&'static Rule>;

    /// Looks at the beginning of an element.
    fn start(&mut self, look: &mut Look<'_, '_, '_>, element: &Element<'_>);

    /// Looks at text in an element.
    fn text(&mut self, look: &mut Look<'_, '_, '_>, element: &Element<'_>, text: &str) {
        let _ = (look, element, text);
    }

    /// Looks at the end of an element.
    fn end(&mut self, look: &mut Look<'_, '_, '_>, element: &Element<'_>) {
        let _ = (look, element);
    }
}

/// Walks a document from its beginning to its end.
pub(crate) fn walk(look: &mut Look<'_, '_, '_>, visitor: &mut dyn Visitor) -> Result<(), Limited> {
    let read = Rc::new(Cell::new(0));
    let decoded = Decoded::new(look.input.bytes, (MAX_EVENT, Rc::clone(&read)));
    let counts = decoded.counts();
    let mut reader = quick_xml::Reader::from_reader(decoded);
    let config = reader.config_mut();
    config.check_end_names = false;
    config.allow_unmatched_ends = true;
    config.allow_dangling_amp = true;
    let mut walk = Walk {
        names: Vec::new(),
        bytes: 0,
        text: String::new(),
        at: None,
        sizes: declarations::Sizes::default(),
    };
    let mut buffer = Vec::new();
    let mut events = 0_u32;
    loop {
        buffer.clear();
        read.set(0);
        walk.at = counts.then(|| reader.buffer_position());
        events = events.wrapping_add(1);
        if events.is_multiple_of(1024) {
            look.work.tick(&look.input.path)?;
        }
        let event = match reader.read_event_into(&mut buffer) {
            Ok(Event::Eof) => {
                look.covered.parsed(0..look.input.bytes.len());
                return Ok(());
            }
            Ok(event) => event,
            Err(error) => {
                walk.stop(look, visitor, &error.to_string());
                return Ok(());
            }
        };
        if let Err(why) = walk.event(look, visitor, event) {
            walk.stop(look, visitor, why);
            return Ok(());
        }
    }
}

struct Walk {
    names: Vec<String>,
    // Bytes of all names.
    bytes: usize,
    text: String,
    at: Option<u64>,
    // What the entities make that the document declares.
    sizes: declarations::Sizes,
}

impl Walk {
    fn stop(&self, look: &mut Look<'_, '_, '_>, visitor: &dyn Visitor, why: &str) {
        let message = format!("the document breaks off: {why}");
        if let Some(rule) = visitor.broken() {
            look.broken(rule, self.at, message);
        }
    }

    fn event(
        &mut self,
        look: &mut Look<'_, '_, '_>,
        visitor: &mut dyn Visitor,
        event: Event<'_>,
    ) -> Result<(), &'static str> {
        match event {
            Event::Start(tag) => {
                self.said(look, visitor);
                self.open(look, visitor, &tag)
            }
            Event::Empty(tag) => {
                self.said(look, visitor);
                self.open(look, visitor, &tag)?;
                self.close(look, visitor);
                Ok(())
            }
            Event::End(_) => {
                self.said(look, visitor);
                self.close(look, visitor);
                Ok(())
            }
            Event::Text(text) => self.add(&text),
            Event::CData(text) => self.add(&text),
            Event::GeneralRef(reference) => {
                if let Ok(Some(one)) = reference.resolve_char_ref() {
                    self.text.push(one);
                } else if let Some(text) = resolve_predefined_entity(&reference) {
                    self.text.push_str(text);
                } else {
                    self.sizes.count(look, self.at, &reference);
                }
                Ok(())
            }
            Event::DocType(text) => {
                self.sizes = declarations::examine(look, self.at, &text);
                Ok(())
            }
            Event::PI(instruction) => {
                self.instruction(look, instruction.target(), instruction.content());
                Ok(())
            }
            Event::Comment(_) | Event::Decl(_) | Event::Eof => Ok(()),
        }
    }

    fn open(
        &mut self,
        look: &mut Look<'_, '_, '_>,
        visitor: &mut dyn Visitor,
        tag: &BytesStart<'_>,
    ) -> Result<(), &'static str> {
        let name = tag.local_name();
        let name = AsRef::<str>::as_ref(&name).to_owned();
        self.bytes = self.bytes.saturating_add(name.len());
        if self.names.len() >= MAX_DEPTH || self.bytes > MAX_NAMES {
            return Err("elements are nested too deeply");
        }
        self.names.push(name);
        let attributes: Vec<(String, String)> = tag
            .attributes()
            .with_checks(false)
            .filter_map(Result::ok)
            .map(|attribute| {
                self.sizes.count_all(look, self.at, &attribute.value);
                let value = unescape(&attribute.value);
                let value = value.map_or_else(|_| attribute.value.to_string(), Into::into);
                (AsRef::<str>::as_ref(&attribute.key).to_owned(), value)
            })
            .collect();
        let element = Element {
            names: &self.names,
            attributes: &attributes,
            at: self.at,
        };
        if element.name() == "include" && tag.name().as_ref().contains(':') {
            included(look, &element);
        }
        visitor.start(look, &element);
        Ok(())
    }

    fn close(&mut self, look: &mut Look<'_, '_, '_>, visitor: &mut dyn Visitor) {
        visitor.end(look, &self.element());
        if let Some(name) = self.names.pop() {
            self.bytes = self.bytes.saturating_sub(name.len());
        }
    }

    fn add(&mut self, text: &str) -> Result<(), &'static str> {
        self.text.push_str(text);
        if self.text.len() > MAX_EVENT {
            return Err("a text is longer than what is read");
        }
        Ok(())
    }

    // Hands over the text so far.
    fn said(&mut self, look: &mut Look<'_, '_, '_>, visitor: &mut dyn Visitor) {
        let text = std::mem::take(&mut self.text);
        if !text.trim().is_empty() {
            visitor.text(look, &self.element(), &text);
        }
    }

    fn element(&self) -> Element<'_> {
        Element {
            names: &self.names,
            attributes: &[],
            at: self.at,
        }
    }

    fn instruction(&self, look: &mut Look<'_, '_, '_>, target: &str, content: &str) {
        if target != "xml-stylesheet" || !content.contains("://") {
            return;
        }
        let message = "a style sheet from elsewhere says how the document is shown";
        let place = Location {
            offset: self.at,
            ..look.here()
        };
        let mut finding = rules::graphs::XML_INCLUDE.finding(place, message);
        finding.severity = custos_core::finding::Severity::Low;
        finding.evidence = Some(content.chars().take(200).collect());
        look.work.find(finding);
    }
}

// XInclude: another document, or any file as text.
fn included(look: &mut Look<'_, '_, '_>, element: &Element<'_>) {
    let Some(href) = element.attribute("href") else {
        return;
    };
    let message = format!(
        "the document takes in `{}`",
        href.chars().take(200).collect::<String>()
    );
    let mut finding = rules::graphs::XML_INCLUDE.finding(element.place(look), message);
    if href.contains("://") || crate::archive::zip::leads_out(href) {
        finding.severity = custos_core::finding::Severity::High;
    }
    look.work.find(finding);
}
