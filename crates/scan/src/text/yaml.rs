//! YAML, event by event, into the same documents as JSON.
//!
//! YAML 1.2, 3.2 and 6.8. Aliases are counted and never followed into a collection, so that a few
//! lines cannot become millions of values; a scalar that an alias stands for is put in its place.
//! Tags that make a loader build objects of Python are findings of their own.

use std::collections::HashMap;

use custos_core::finding::{Location, Severity};
use saphyr_parser::{Event, Parser, ScalarStyle, Tag};

use crate::route::{Format, Head};
use crate::rules::{self, Rule};
use crate::work::{Input, Look};

use super::document::{Builder, Document, Fed};
use super::json::{MAX_DEPTH, Place, Token};
use super::{config, plain, shortened};

/// Largest text that is read.
const MAX_SIZE: usize = 16 << 20;
/// More values than aliases may stand for.
const MAX_EXPANDED: u64 = 1_000_000;
/// Longest scalar that an alias stands for.
const MAX_ALIASED: usize = 4 << 10;

pub(super) const FORMAT: Format = Format {
    name: "yaml",
    extensions: &["yaml", "yml"],
    recognises,
    examine,
};

/// A configuration in front of a text, as model cards have it.
pub(super) const CARD: Format = Format {
    name: "model card",
    extensions: &["md", "markdown"],
    recognises: recognises_card,
    examine: examine_card,
};

/// Something that a parser of YAML reports besides values.
pub(super) struct Sight {
    rule: &'static Rule,
    severity: Severity,
    place: Place,
    message: String,
    evidence: String,
}

/// Reads all documents of a text. The flag says that it was read to its end.
pub(super) fn parse(text: &str) -> (Vec<Document>, Vec<Sight>, Result<(), String>) {
    let mut reader = Reader::default();
    let mut parser = Parser::new_from_str(text);
    let end = loop {
        match parser.next_event() {
            None | Some(Ok((Event::StreamEnd, _))) => break Ok(()),
            Some(Err(error)) => break Err(error.to_string()),
            Some(Ok((event, span))) => {
                let place = Place {
                    offset: u64::try_from(span.start.index()).unwrap_or(u64::MAX),
                    line: u32::try_from(span.start.line()).unwrap_or(u32::MAX),
                };
                if let Err(why) = reader.event(event, place) {
                    break Err(why.to_owned());
                }
            }
        }
    };
    reader.end_document();
    (reader.documents, reader.sights, end)
}

/// Tells what was seen besides values.
pub(super) fn tell(look: &mut Look<'_, '_, '_>, sights: Vec<Sight>) {
    for sight in sights {
        let location = Location {
            line: Some(sight.place.line),
            ..look.here()
        };
        let mut finding = sight.rule.finding(location, sight.message);
        finding.severity = sight.severity;
        finding.evidence = Some(shortened(&sight.evidence)).filter(|text| !text.is_empty());
        look.work.find(finding);
    }
}

fn recognises(head: &Head, input: &Input<'_>) -> bool {
    if !plain::is_text(head) {
        return false;
    }
    let text = String::from_utf8_lossy(head.bytes());
    matches!(input.extension().as_str(), "yaml" | "yml") || looks_like(&text)
}

// Two keys at least, and no line at the left that is none of YAML.
fn looks_like(text: &str) -> bool {
    let whole = text.rsplit_once('\n').map_or(text, |(whole, _)| whole);
    let mut keys = 0_u32;
    for line in whole.lines() {
        if line.is_empty() || line.starts_with([' ', '#', '\t', '%']) || line.starts_with("---") {
            continue;
        }
        let item = line.starts_with("- ") || line == "-";
        let key = line.split_once(':').is_some_and(|(key, rest)| {
            let plain = |c: char| c.is_alphanumeric() || "_-./\"'".contains(c);
            !key.is_empty() && key.chars().all(plain) && (rest.is_empty() || rest.starts_with(' '))
        });
        if !item && !key && !matches!(line, "..." | "}" | "]") {
            return false;
        }
        keys = keys.saturating_add(key.into());
    }
    keys >= 2
}

fn examine(look: &mut Look<'_, '_, '_>) {
    let Some(text) = plain::whole(look, MAX_SIZE) else {
        return plain::examine(look);
    };
    let (documents, sights, end) = parse(&text);
    tell(look, sights);
    for document in &documents {
        config::judge(look, document);
    }
    if let Err(why) = end {
        // Not all that looks like YAML is; as text, all of it is looked at.
        let message = format!("it is no YAML: {}", shortened(&why));
        look.see(&rules::text::CONFIG_BROKEN, None, message);
    }
    plain::examine(look);
}

fn recognises_card(head: &Head, _: &Input<'_>) -> bool {
    if !head.starts_with(b"---\n") {
        return false;
    }
    let text = String::from_utf8_lossy(head.bytes());
    !looks_like(&text) && plain::is_text(head)
}

fn examine_card(look: &mut Look<'_, '_, '_>) {
    if let Some(text) = plain::whole(look, MAX_SIZE)
        && let Some((front, _)) = text.get(4..).and_then(|text| text.split_once("\n---"))
    {
        let (documents, sights, _) = parse(front);
        tell(look, sights);
        for document in &documents {
            config::judge(look, document);
        }
    }
    plain::examine(look);
}

#[derive(Default)]
struct Reader {
    documents: Vec<Document>,
    sights: Vec<Sight>,
    builder: Option<Builder>,
    // Whether each open collection is a mapping whose next scalar is a key.
    open: Vec<Option<bool>>,
    // How many values each open collection stands for, and under which anchor.
    weights: Vec<(usize, u64)>,
    anchors: HashMap<usize, Anchored>,
    expanded: u64,
}

struct Anchored {
    weight: u64,
    scalar: Option<String>,
}

impl Reader {
    fn event(&mut self, event: Event<'_>, place: Place) -> Result<(), &'static str> {
        match event {
            Event::DocumentStart(_) => {
                self.end_document();
                self.builder = Some(Builder::new());
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.tag(tag.as_deref(), &text, place);
                if anchor != 0 {
                    let scalar = Some(text.to_string()).filter(|text| text.len() <= MAX_ALIASED);
                    self.anchors.insert(anchor, Anchored { weight: 1, scalar });
                }
                self.scalar(&text, style == ScalarStyle::Plain, place)
            }
            Event::SequenceStart(anchor, tag) => {
                self.tag(tag.as_deref(), "", place);
                self.begin(Token::ArrayStart, anchor, place)
            }
            Event::MappingStart(anchor, tag) => {
                self.tag(tag.as_deref(), "", place);
                self.begin(Token::ObjectStart, anchor, place)
            }
            Event::SequenceEnd => self.finish(Token::ArrayEnd, place),
            Event::MappingEnd => self.finish(Token::ObjectEnd, place),
            Event::Alias(anchor) => self.alias(anchor, place),
            _ => Ok(()),
        }
    }

    fn end_document(&mut self) {
        if let Some(document) = self.builder.take().and_then(Builder::finish_early) {
            self.documents.push(document);
        }
        self.open.clear();
        self.weights.clear();
    }

    fn feed(&mut self, token: Token<'_>, place: Place) -> Result<(), &'static str> {
        match self
            .builder
            .as_mut()
            .map(|builder| builder.feed(token, place))
        {
            Some(Fed::Full) => Err("it has more values than are kept"),
            _ => Ok(()),
        }
    }

    // What comes next in a mapping is a key, and then a value.
    fn turn(&mut self) -> bool {
        match self.open.last_mut() {
            Some(Some(key)) => {
                let was = *key;
                *key = !was;
                was
            }
            _ => false,
        }
    }

    fn scalar(&mut self, text: &str, plain: bool, place: Place) -> Result<(), &'static str> {
        self.weigh(1);
        if self.turn() {
            return self.feed(Token::Key(text), place);
        }
        let number = plain && text.parse::<f64>().is_ok();
        let token = match text {
            "" | "~" | "null" | "Null" | "NULL" if plain => Token::Null,
            "true" | "True" | "TRUE" if plain => Token::Bool(true),
            "false" | "False" | "FALSE" if plain => Token::Bool(false),
            text if number => Token::Number(text),
            text => Token::Text(text),
        };
        self.feed(token, place)
    }

    fn begin(&mut self, token: Token<'_>, anchor: usize, place: Place) -> Result<(), &'static str> {
        if self.open.len() >= MAX_DEPTH {
            return Err("it is nested deeper than is followed");
        }
        if self.turn() {
            // A collection is the key: its own place in the document is a list of both.
            self.feed(Token::Key("?"), place)?;
            self.open.pop();
            self.open.push(Some(false));
        }
        self.open
            .push((token == Token::ObjectStart).then_some(true));
        self.weights.push((anchor, 1));
        self.feed(token, place)
    }

    fn finish(&mut self, token: Token<'_>, place: Place) -> Result<(), &'static str> {
        self.open.pop();
        if let Some((anchor, weight)) = self.weights.pop() {
            if anchor != 0 {
                let anchored = Anchored {
                    weight,
                    scalar: None,
                };
                self.anchors.insert(anchor, anchored);
            }
            self.weigh(weight);
        }
        self.feed(token, place)
    }

    fn alias(&mut self, anchor: usize, place: Place) -> Result<(), &'static str> {
        let (weight, scalar) = match self.anchors.get(&anchor) {
            Some(anchored) => (anchored.weight, anchored.scalar.clone()),
            None => (1, None),
        };
        let before = self.expanded;
        self.expanded = self.expanded.saturating_add(weight);
        if self.expanded > MAX_EXPANDED && before <= MAX_EXPANDED {
            self.sights.push(Sight {
                rule: &rules::text::YAML_BOMB,
                severity: rules::text::YAML_BOMB.severity,
                place,
                message: format!("aliases stand for more than {MAX_EXPANDED} values"),
                evidence: String::new(),
            });
        }
        if let Some(scalar) = scalar {
            return self.scalar(&scalar, true, place);
        }
        self.weigh(weight);
        if self.turn() {
            return self.feed(Token::Key("*"), place);
        }
        self.feed(Token::Null, place)
    }

    fn weigh(&mut self, weight: u64) {
        if let Some((_, sum)) = self.weights.last_mut() {
            *sum = sum.saturating_add(weight);
        }
    }

    fn tag(&mut self, tag: Option<&Tag>, text: &str, place: Place) {
        let Some(tag) = tag else { return };
        let whole = format!("{}{}", tag.handle, tag.suffix);
        let Some((_, kind)) = whole.split_once("python/") else {
            return;
        };
        let (kind, name) = kind.split_once(':').unwrap_or((kind, text));
        // Values that Python has and YAML has not: nothing is called for them.
        if !(kind.starts_with("object") || matches!(kind, "name" | "module")) {
            return;
        }
        let (module, last) = name.rsplit_once('.').unwrap_or((name, ""));
        let denied = super::danger(module, last).or_else(|| super::danger(name, ""));
        let severity = match (kind, denied) {
            ("name" | "module", None) => Severity::Medium,
            (_, None) => Severity::High,
            (_, Some(_)) => Severity::Critical,
        };
        let does = denied.map_or(String::new(), |does| format!(", which {does}"));
        self.sights.push(Sight {
            rule: &rules::text::YAML_PYTHON,
            severity,
            place,
            message: format!("a tag makes the loader take `{}`{does}", shortened(name)),
            evidence: format!("!!python/{kind}:{name}"),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_those_of_json() {
        let (documents, sights, end) =
            parse("a: [1, x]\nb: &n {c: true}\nd: *n\ne: &s word\nf: *s\n---\n- ~\n");
        assert!(end.is_ok() && sights.is_empty());
        let root = &documents[0].root;
        assert_eq!(root.get("a").unwrap().items()[1].text(), Some("x"));
        assert!(root.get("b").unwrap().get("c").unwrap().is_true());
        assert_eq!(root.get("f").unwrap().text(), Some("word"));
        assert_eq!(root.get("f").unwrap().place.line, 5);
        assert_eq!(documents.len(), 2);
    }

    #[test]
    fn aliases_and_tags_are_counted_and_told() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..9 {
            let below = format!("*a{}", level - 1);
            let items = vec![below; 10].join(", ");
            bomb = format!("{bomb}a{level}: &a{level} [{items}]\n");
        }
        let (_, sights, _) = parse(&bomb);
        assert_eq!(sights[0].rule.id, "yaml/alias-bomb");
        for (text, severity) in [
            (
                "x: !!python/object/apply:os.system [id]",
                Some(Severity::Critical),
            ),
            ("x: !!python/object/new:my.Thing {}", Some(Severity::High)),
            ("x: !!python/name:my.f ''", Some(Severity::Medium)),
            ("x: !!python/module:os", Some(Severity::Critical)),
            (
                "x: !<tag:yaml.org,2002:python/object/apply:subprocess.Popen> [id]",
                Some(Severity::Critical),
            ),
            (
                "%TAG !p! tag:yaml.org,2002:python/\n---\nx: !p!object/apply:os.system [id]",
                Some(Severity::Critical),
            ),
            ("x: !!python/tuple [1, 2]", None),
            ("x: !!str 1", None),
            ("x: 'a !!python/object/apply:os.system tag'", None),
        ] {
            let (_, sights, end) = parse(text);
            assert!(end.is_ok(), "{text}");
            assert_eq!(
                sights.first().map(|sight| sight.severity),
                severity,
                "{text}"
            );
        }
    }

    #[test]
    fn what_looks_like_it() {
        for text in [
            "a: 1\nb:\n  - c\n",
            "# x\nname: x\ndependencies:\n- a\n- b\n",
        ] {
            assert!(looks_like(text), "{text}");
        }
        for text in [
            "Note: this is\nno configuration at all\n",
            "a: 1\n",
            "import os\nx: int = 1\n",
            "{\"a\": 1}\n",
        ] {
            assert!(!looks_like(text), "{text}");
        }
    }
}
