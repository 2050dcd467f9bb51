//! The one JSON parser and the one canonical form (RFC 8259, RFC 8785).
//!
//! Two parsers that read the same bytes differently are an attack: one sees the first of two
//! equal keys, the other the last. So everything that Custos reads passes [`check`], which
//! rejects duplicate keys, excess size, depth and number of values, and trailing bytes, before
//! any typed parse. The check keeps only the keys of the objects that are open. The typed parse
//! takes a struct from an object alone, never from an array of its members.

#[cfg(test)]
pub(crate) mod positional;
mod strict;

use std::collections::HashSet;
use std::fmt;

use serde::de::{
    self, Deserialize, DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess,
};
use serde::{Serialize, de::Visitor};

pub(crate) use strict::Strict;

use crate::limits::Limits;
use crate::text;

/// Parses `bytes` strictly into `T`.
///
/// ```
/// use custos_core::{json, limits::Limits};
/// let value: serde_json::Value = json::from_slice(b"{\"a\":1}", &Limits::SMALL).unwrap();
/// assert_eq!(value["a"], 1);
/// assert!(json::from_slice::<serde_json::Value>(b"{\"a\":1,\"a\":2}", &Limits::SMALL).is_err());
/// ```
pub fn from_slice<T: DeserializeOwned>(bytes: &[u8], limits: &Limits) -> Result<T, JsonError> {
    check(bytes, limits)?;
    parse(serde_json::Deserializer::from_slice(bytes))
        .map_err(|error| JsonError::from_serde(&error))
}

// Parses what stands inside of a document that passed the check.
pub(crate) fn from_str<'de, T: Deserialize<'de>>(text: &'de str) -> serde_json::Result<T> {
    parse(serde_json::Deserializer::from_str(text))
}

fn parse<'de, T, R>(mut deserializer: serde_json::Deserializer<R>) -> serde_json::Result<T>
where
    T: Deserialize<'de>,
    R: serde_json::de::Read<'de>,
{
    let value = T::deserialize(Strict(&mut deserializer))?;
    deserializer.end()?;
    Ok(value)
}

/// Checks that `bytes` are one JSON document within `limits` and without duplicate keys.
pub fn check(bytes: &[u8], limits: &Limits) -> Result<(), JsonError> {
    if bytes.len() > limits.max_bytes {
        return Err(JsonError::TooLarge {
            limit: limits.max_bytes,
            found: bytes.len(),
        });
    }
    let mut state = State {
        limits: *limits,
        values: 0,
        fault: None,
    };
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    // Our own depth limit is below serde_json's 128, which stays on as a second fence.
    let outcome = Node {
        state: &mut state,
        depth: 0,
    }
    .deserialize(&mut deserializer)
    .and_then(|()| deserializer.end());
    match (state.fault, outcome) {
        (Some(fault), _) => Err(fault),
        (None, Err(error)) => Err(JsonError::from_serde(&error)),
        (None, Ok(())) => Ok(()),
    }
}

/// Writes `value` in the canonical form of RFC 8785 (JCS).
pub fn to_canonical<T: Serialize>(value: &T) -> Result<Vec<u8>, JsonError> {
    serde_json_canonicalizer::to_vec(value).map_err(|error| JsonError::from_serde(&error))
}

/// Writes `value` compactly, in field order.
pub fn to_vec<T: Serialize>(value: &T) -> Result<Vec<u8>, JsonError> {
    serde_json::to_vec(value).map_err(|error| JsonError::from_serde(&error))
}

/// Writes `value` with indentation and a final newline, for files that people read.
pub fn to_pretty<T: Serialize>(value: &T) -> Result<Vec<u8>, JsonError> {
    let text =
        serde_json::to_string_pretty(value).map_err(|error| JsonError::from_serde(&error))?;
    let mut bytes = text::escaped(&text).into_bytes();
    bytes.push(b'\n');
    Ok(bytes)
}

/// Why bytes were not accepted as JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JsonError {
    /// An object has two members of one name.
    #[error("the key `{key}` stands twice in one object")]
    DuplicateKey {
        /// The key, shortened to 64 characters.
        key: String,
    },
    /// Not JSON, or JSON of another shape than expected.
    #[error("{message} (line {line}, column {column})")]
    Malformed {
        /// What the parser says.
        message: String,
        /// Line, from 1; 0 if unknown.
        line: usize,
        /// Column, from 1; 0 if unknown.
        column: usize,
    },
    /// More nesting than the limit.
    #[error("nested deeper than {limit} levels")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// More bytes than the limit.
    #[error("{found} bytes, the limit is {limit}")]
    TooLarge {
        /// The limit.
        limit: usize,
        /// Bytes found.
        found: usize,
    },
    /// More values than the limit.
    #[error("more than {limit} values")]
    TooManyValues {
        /// The limit.
        limit: usize,
    },
}

impl JsonError {
    fn from_serde(error: &serde_json::Error) -> Self {
        let mut message = error.to_string();
        // serde_json appends the position that we carry in fields.
        if let Some(at) = message.rfind(" at line ") {
            message.truncate(at);
        }
        Self::Malformed {
            message,
            line: error.line(),
            column: error.column(),
        }
    }
}

struct State {
    limits: Limits,
    values: usize,
    // Kept beside serde's error, which can only carry text.
    fault: Option<JsonError>,
}

struct Node<'a> {
    state: &'a mut State,
    depth: usize,
}

impl Node<'_> {
    fn fail<E: de::Error>(&mut self, fault: JsonError) -> E {
        let error = E::custom(&fault);
        self.state.fault.get_or_insert(fault);
        error
    }

    fn enter<E: de::Error>(&mut self) -> Result<usize, E> {
        let depth = self.depth.saturating_add(1);
        if depth > self.state.limits.max_depth {
            let limit = self.state.limits.max_depth;
            return Err(self.fail(JsonError::TooDeep { limit }));
        }
        Ok(depth)
    }

    fn count<E: de::Error>(&mut self) -> Result<(), E> {
        self.state.values = self.state.values.saturating_add(1);
        if self.state.values > self.state.limits.max_values {
            let limit = self.state.limits.max_values;
            return Err(self.fail(JsonError::TooManyValues { limit }));
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(mut self, deserializer: D) -> Result<(), D::Error> {
        self.count()?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        let depth = self.enter()?;
        while items
            .next_element_seed(Node {
                state: self.state,
                depth,
            })?
            .is_some()
        {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<(), A::Error> {
        let depth = self.enter()?;
        let mut seen = HashSet::new();
        while let Some(key) = members.next_key::<String>()? {
            if seen.contains(&key) {
                let key = key.chars().take(64).collect();
                return Err(self.fail(JsonError::DuplicateKey { key }));
            }
            seen.insert(key);
            members.next_value_seed(Node {
                state: self.state,
                depth,
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits {
            max_bytes: 64,
            max_depth: 3,
            max_values: 8,
        }
    }

    #[test]
    fn duplicate_keys_are_rejected_at_any_depth() {
        let error = check(br#"{"a":[{"b":1,"b":2}]}"#, &limits()).unwrap_err();
        assert_eq!(error, JsonError::DuplicateKey { key: "b".into() });
        // The escape spells the same key.
        let error = check(br#"{"a":1,"\u0061":2}"#, &limits()).unwrap_err();
        assert_eq!(error, JsonError::DuplicateKey { key: "a".into() });
        // Equal keys of different objects are fine.
        check(br#"[{"b":1},{"b":2}]"#, &limits()).unwrap();
    }

    #[test]
    fn limits_name_themselves() {
        assert_eq!(
            check(b"[[[[1]]]]", &limits()),
            Err(JsonError::TooDeep { limit: 3 })
        );
        assert_eq!(
            check(b"[1,2,3,4,5,6,7,8]", &limits()),
            Err(JsonError::TooManyValues { limit: 8 })
        );
        assert_eq!(
            check(&[b' '; 65], &limits()),
            Err(JsonError::TooLarge {
                limit: 64,
                found: 65
            })
        );
    }

    #[test]
    fn trailing_bytes_and_truncation_are_malformed() {
        for bad in [&b"1 2"[..], b"{\"a\":", b"", b"{\"a\":1}}", b"nul", b"\xff"] {
            assert!(
                matches!(check(bad, &limits()), Err(JsonError::Malformed { .. })),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn canonical_form_sorts_keys_by_utf16() {
        let value: serde_json::Value = from_slice(
            "{\"\u{e9}\":1,\"b\":2.50,\"a\":\"\\u000a\"}".as_bytes(),
            &limits(),
        )
        .unwrap();
        assert_eq!(
            to_canonical(&value).unwrap(),
            "{\"a\":\"\\n\",\"b\":2.5,\"\u{e9}\":1}".as_bytes()
        );
    }
}
