//! For tests: every way to write a document with one struct as an array of its members.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Asserts that `parse` accepts `text`, and none of the documents in which one object has become
/// the array of its members.
pub(crate) fn assert_objects_only(text: &str, accepts: impl Fn(&str) -> bool) {
    assert!(accepts(text), "the original is not accepted: {text}");
    let all = positional(text);
    assert!(!all.is_empty(), "no object in {text}");
    for changed in all {
        assert!(!accepts(&changed), "accepted: {changed}");
    }
}

fn positional(text: &str) -> Vec<String> {
    match text.trim_start().as_bytes().first() {
        Some(b'{') => {
            let Members(members) = serde_json::from_str(text).unwrap();
            let values: Vec<&str> = members.iter().map(|(_, value)| value.as_str()).collect();
            let mut all = vec![format!("[{}]", values.join(","))];
            all.extend(inside(&values, |parts| {
                let members = members.iter().zip(parts);
                let list: Vec<String> = members.map(|((key, _), v)| format!("{key}:{v}")).collect();
                format!("{{{}}}", list.join(","))
            }));
            all
        }
        Some(b'[') => {
            let items: Vec<Box<RawValue>> = serde_json::from_str(text).unwrap();
            let items: Vec<&str> = items.iter().map(|item| item.get()).collect();
            inside(&items, |parts| format!("[{}]", parts.join(",")))
        }
        _ => Vec::new(),
    }
}

// Each variant of each part, among the other parts as they are.
fn inside(parts: &[&str], whole: impl Fn(&[&str]) -> String) -> Vec<String> {
    let mut all = Vec::new();
    for (at, part) in parts.iter().enumerate() {
        for variant in positional(part) {
            let mut parts = parts.to_vec();
            parts[at] = &variant;
            all.push(whole(&parts));
        }
    }
    all
}

// The members of an object in the order written, each key as JSON text.
struct Members(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_map(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut members = Vec::new();
        while let Some((key, value)) = map.next_entry::<String, Box<RawValue>>()? {
            let key = serde_json::Value::from(key).to_string();
            members.push((key, value.get().to_owned()));
        }
        Ok(Members(members))
    }
}
