//! A bounded tree of values, whatever notation it was written in, and where each stands.

use std::collections::HashSet;
use std::fmt::Write as _;

use super::json::{Place, Token};

/// Most values of one document.
const MAX_VALUES: usize = 3_000_000;
/// Most bytes of all strings and keys of one document.
const MAX_BYTES: usize = 64 << 20;
/// Most keys that are told to be there twice.
const MAX_REPEATED: usize = 100;

/// A document.
#[derive(Debug)]
pub(crate) struct Document {
    /// Its value.
    pub(crate) root: Node,
    /// Keys that an object has twice, as far as they are told.
    pub(crate) repeated: Vec<Repeated>,
}

/// A key that an object has twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Repeated {
    /// Which: a JSON pointer.
    pub(crate) pointer: String,
    /// Where it is for the last time.
    pub(crate) place: Place,
}

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// Where it begins.
    pub(crate) place: Place,
    /// What it is.
    pub(crate) value: Value,
}

/// A value.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    /// A list.
    Array(Vec<Node>),
    /// `true` or `false`
    Bool(bool),
    /// Nothing.
    Null,
    /// A number, as near as a float can be.
    Number(f64),
    /// Keys and values in their order; a key may be there twice.
    Object(Vec<(String, Node)>),
    /// A text.
    Text(String),
}

impl Node {
    /// Returns the value of a key; the last one wins, as it does in most readers.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        let mut entries = self.entries().iter().rev();
        entries.find(|(name, _)| name == key).map(|(_, node)| node)
    }

    /// Returns all values of a key.
    pub(crate) fn all<'n>(&'n self, key: &'n str) -> impl Iterator<Item = &'n Self> {
        let entries = self.entries().iter();
        entries
            .filter(move |(name, _)| name == key)
            .map(|(_, node)| node)
    }

    /// Returns keys and values of an object; of anything else, none.
    pub(crate) fn entries(&self) -> &[(String, Self)] {
        match &self.value {
            Value::Object(entries) => entries,
            _ => &[],
        }
    }

    /// Returns the items of a list; of anything else, none.
    pub(crate) fn items(&self) -> &[Self] {
        match &self.value {
            Value::Array(items) => items,
            _ => &[],
        }
    }

    /// Returns the text, if it is one.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Returns true if it is the value `true`, or a text or number that programs take for it.
    pub(crate) fn is_true(&self) -> bool {
        match &self.value {
            Value::Bool(value) => *value,
            Value::Text(text) => matches!(
                text.to_ascii_lowercase().as_str(),
                "true" | "yes" | "on" | "1"
            ),
            Value::Number(number) => *number != 0.0,
            _ => false,
        }
    }

    /// Calls `each` for this value and all below it, with the JSON pointer of each.
    pub(crate) fn walk<'n>(&'n self, each: &mut dyn FnMut(&Trail<'n>, &'n Self)) {
        self.walk_below(&mut Trail::default(), each);
    }

    // Documents are no deeper than their builder lets them be.
    fn walk_below<'n>(&'n self, trail: &mut Trail<'n>, each: &mut dyn FnMut(&Trail<'n>, &'n Self)) {
        each(trail, self);
        for (key, node) in self.entries() {
            trail.0.push(Step::Key(key));
            node.walk_below(trail, each);
            trail.0.pop();
        }
        for (index, node) in self.items().iter().enumerate() {
            trail.0.push(Step::Item(index));
            node.walk_below(trail, each);
            trail.0.pop();
        }
    }
}

/// The way from the root of a document to a value.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trail<'n>(Vec<Step<'n>>);

#[derive(Debug, Clone, Copy)]
enum Step<'n> {
    Item(usize),
    Key(&'n str),
}

impl<'n> Trail<'n> {
    /// Returns the way as a JSON pointer (RFC 6901).
    pub(crate) fn pointer(&self) -> String {
        let mut pointer = String::new();
        for step in &self.0 {
            match step {
                Step::Item(index) => {
                    let _ = write!(pointer, "/{index}");
                }
                Step::Key(key) => push_key(&mut pointer, key),
            }
        }
        pointer
    }

    /// Returns the last key on the way, if that is what the last step is by.
    pub(crate) fn key(&self) -> Option<&'n str> {
        match self.0.last()? {
            Step::Key(key) => Some(key),
            Step::Item(_) => None,
        }
    }

    /// Returns the last key on the way, whatever comes behind it.
    pub(crate) fn nearest_key(&self) -> Option<&'n str> {
        self.0.iter().rev().find_map(|step| match step {
            Step::Key(key) => Some(*key),
            Step::Item(_) => None,
        })
    }
}

/// Adds a key to a JSON pointer.
pub(crate) fn push_key(pointer: &mut String, key: &str) {
    pointer.push('/');
    for c in key.chars().take(200) {
        match c {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            c => pointer.push(c),
        }
    }
}

/// Makes a document of tokens.
pub(crate) struct Builder {
    open: Vec<Opened>,
    root: Option<Node>,
    repeated: Vec<Repeated>,
    values: usize,
    bytes: usize,
}

struct Opened {
    node: Node,
    // The key of the value to come, and where it stands.
    key: Option<(String, Place)>,
    seen: HashSet<String>,
}

/// What came of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fed {
    /// It is in the document.
    Taken,
    /// The document is full.
    Full,
}

impl Builder {
    /// Returns one that has nothing yet.
    pub(crate) const fn new() -> Self {
        Self {
            open: Vec::new(),
            root: None,
            repeated: Vec::new(),
            values: 0,
            bytes: 0,
        }
    }

    /// Takes the next token.
    pub(crate) fn feed(&mut self, token: Token<'_>, place: Place) -> Fed {
        if let Token::Text(text) | Token::Key(text) = token {
            self.bytes = self.bytes.saturating_add(text.len());
        }
        self.values = self.values.saturating_add(1);
        if self.values > MAX_VALUES || self.bytes > MAX_BYTES {
            return Fed::Full;
        }
        let value = match token {
            Token::ArrayStart => return self.begin(Value::Array(Vec::new()), place),
            Token::ObjectStart => return self.begin(Value::Object(Vec::new()), place),
            Token::ArrayEnd | Token::ObjectEnd => {
                if let Some(opened) = self.open.pop() {
                    self.put(opened.node);
                }
                return Fed::Taken;
            }
            Token::Key(key) => {
                self.key(key, place);
                return Fed::Taken;
            }
            Token::Bool(value) => Value::Bool(value),
            Token::Null => Value::Null,
            Token::Number(number) => Value::Number(number.parse().unwrap_or(f64::NAN)),
            Token::Text(text) => Value::Text(text.to_owned()),
        };
        self.put(Node { place, value });
        Fed::Taken
    }

    /// Returns the document, if it is whole.
    pub(crate) fn finish(self) -> Option<Document> {
        let repeated = self.repeated;
        self.root.map(|root| Document { root, repeated })
    }

    /// Returns what there is, closing what is open.
    pub(crate) fn finish_early(mut self) -> Option<Document> {
        while let Some(opened) = self.open.pop() {
            self.put(opened.node);
        }
        self.finish()
    }

    fn begin(&mut self, value: Value, place: Place) -> Fed {
        self.open.push(Opened {
            node: Node { place, value },
            key: None,
            seen: HashSet::new(),
        });
        Fed::Taken
    }

    fn key(&mut self, key: &str, place: Place) {
        let Some(opened) = self.open.last_mut() else {
            return;
        };
        opened.key = Some((key.to_owned(), place));
        if !opened.seen.insert(key.to_owned()) && self.repeated.len() < MAX_REPEATED {
            let pointer = self.pointer();
            self.repeated.push(Repeated { pointer, place });
        }
    }

    fn pointer(&self) -> String {
        let mut pointer = String::new();
        for opened in &self.open {
            match (&opened.node.value, &opened.key) {
                (Value::Array(items), _) => {
                    let _ = write!(pointer, "/{}", items.len());
                }
                (_, Some((key, _))) => push_key(&mut pointer, key),
                _ => {}
            }
        }
        pointer
    }

    fn put(&mut self, node: Node) {
        let Some(opened) = self.open.last_mut() else {
            self.root.get_or_insert(node);
            return;
        };
        match &mut opened.node.value {
            Value::Array(items) => items.push(node),
            Value::Object(entries) => {
                if let Some((key, _)) = opened.key.take() {
                    entries.push((key, node));
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::text::json;

    #[test]
    fn every_value_has_its_pointer() {
        let document = json::parse(br#"{"a": [{"b~/": 1}, true], "c": null}"#).unwrap();
        let mut pointers = Vec::new();
        document
            .root
            .walk(&mut |trail, _| pointers.push(trail.pointer()));
        assert_eq!(pointers, ["", "/a", "/a/0", "/a/0/b~0~1", "/a/1", "/c"]);
    }
}
