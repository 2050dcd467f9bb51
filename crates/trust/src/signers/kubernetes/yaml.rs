//! YAML, as far as a kubeconfig needs it, into the same values as JSON.
//!
//! Depth and number of values are bounded. Aliases, tags, several documents and a key twice are
//! errors: a kubeconfig has none of them, and each has been a way to make two readers differ.

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value};

/// Deepest nesting; a kubeconfig has five levels.
const MAX_DEPTH: usize = 16;
/// Most values; a kubeconfig of a hundred clusters has about 3,000.
const MAX_VALUES: usize = 50_000;

/// Parses one document; `None` if it is not accepted.
pub(super) fn parse(text: &str) -> Option<Value> {
    let mut reader = Reader {
        parser: Parser::new_from_str(text),
        left: MAX_VALUES,
    };
    let mut next = reader.next()?;
    while matches!(next, Event::StreamStart | Event::DocumentStart(_)) {
        next = reader.next()?;
    }
    // An empty file has no document.
    if matches!(next, Event::StreamEnd) {
        return Some(Value::Null);
    }
    let value = reader.value(next, 0)?;
    matches!(reader.next()?, Event::DocumentEnd).then_some(())?;
    matches!(reader.next()?, Event::StreamEnd).then_some(value)
}

struct Reader<'a> {
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
    left: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Option<Event<'a>> {
        self.left = self.left.checked_sub(1)?;
        let (event, _) = self.parser.next_event()?.ok()?;
        Some(event)
    }

    fn value(&mut self, event: Event<'a>, depth: usize) -> Option<Value> {
        if depth > MAX_DEPTH {
            return None;
        }
        let deeper = depth.saturating_add(1);
        match event {
            Event::Scalar(text, style, 0, None) => Some(scalar(&text, style)),
            Event::SequenceStart(0, None) => {
                let mut list = Vec::new();
                loop {
                    match self.next()? {
                        Event::SequenceEnd => return Some(Value::Array(list)),
                        event => list.push(self.value(event, deeper)?),
                    }
                }
            }
            Event::MappingStart(0, None) => {
                let mut map = Map::new();
                loop {
                    let key = match self.next()? {
                        Event::MappingEnd => return Some(Value::Object(map)),
                        Event::Scalar(key, _, 0, None) => key.into_owned(),
                        _ => return None,
                    };
                    let event = self.next()?;
                    let value = self.value(event, deeper)?;
                    if map.insert(key, value).is_some() {
                        return None;
                    }
                }
            }
            _ => None,
        }
    }
}

// The core schema of YAML 1.2, without numbers: no setting that is read is one.
fn scalar(text: &str, style: ScalarStyle) -> Value {
    if style != ScalarStyle::Plain {
        return Value::String(text.to_owned());
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        text => Value::String(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn a_document() {
        let text = "# a\napiVersion: v1\nlist:\n- name: 'a: b'\n  on: true\n- ~\nempty: {}\n\
                    folded: >-\n  one\n  two\n\"quoted\": \"true\"\n";
        assert_eq!(
            parse(text),
            Some(json!({
                "apiVersion": "v1",
                "list": [{"name": "a: b", "on": true}, null],
                "empty": {},
                "folded": "one two",
                "quoted": "true",
            }))
        );
        assert_eq!(parse("{\"a\": [\"b\"]}"), Some(json!({"a": ["b"]})));
        assert_eq!(parse(""), Some(Value::Null));
    }

    #[test]
    fn what_is_not_accepted() {
        for text in [
            "a: &x 1\nb: *x\n",
            "a: !!binary aGk=\n",
            "a: 1\na: 2\n",
            "a: 1\n---\nb: 2\n",
            "a: [1",
            "? [a]\n: b\n",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(parse(&"[".repeat(100)), None);
        let deep = format!("{}{}", "[".repeat(40), "]".repeat(40));
        assert_eq!(parse(&deep), None);
        let many = format!("[{}]", "a,".repeat(60_000));
        assert_eq!(parse(&many), None);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[-a-z:\\[\\]{},&*!|>'\"?#%@ \\n\\t~0-9]{0,80}|\\PC{0,80}") {
            let _ = parse(&text);
        }

        #[test]
        fn json_is_yaml(texts in prop::collection::vec("[a-zA-Z0-9 :#'&*-]{0,12}", 0..6)) {
            let value = json!({"list": texts, "map": {"inner": texts}});
            prop_assert_eq!(parse(&value.to_string()), Some(value));
        }
    }
}
