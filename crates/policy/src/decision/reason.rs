//! Reasons, read from what a policy's rules contain.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::limits::MAX_TEXT_CHARS;

/// Why a decision came out as it did.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Reason {
    /// The rule that said so, such as `data.custos.gate.deny`.
    pub rule: String,
    /// A stable code, such as `chain-broken`.
    pub code: String,
    /// The reason in words.
    pub message: String,
    /// The statements and artifacts that it rests on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<EvidenceRef>,
    /// What else the rule gave.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub details: Map<String, Value>,
}

/// What a reason rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct EvidenceRef {
    /// Index in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_index: Option<u64>,
    /// Digest of a statement or an artifact.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Name of a step, a file or an artifact.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Reason {
    /// Returns a reason that lies not in the input but in policy or engine.
    pub(super) fn fault(rule: &str, code: &str, message: impl Into<String>) -> Self {
        Self {
            rule: rule.to_owned(),
            code: code.to_owned(),
            message: cut(&message.into()),
            evidence: Vec::new(),
            details: Map::new(),
        }
    }

    /// Reads one element of a set of denials or warnings. Every element is a reason, also one
    /// of an unexpected shape: an element that is ignored would be a denial that is ignored.
    pub(super) fn read(rule: &str, element: Value) -> Self {
        let name = rule.rsplit('.').next().unwrap_or(rule);
        match element {
            Value::String(text) => Self::fault(rule, name, text),
            Value::Object(mut members) => {
                let code = take_text(&mut members, "code").unwrap_or_else(|| name.to_owned());
                let message = take_text(&mut members, "msg")
                    .or_else(|| take_text(&mut members, "message"))
                    .unwrap_or_else(|| code.clone());
                let evidence = match members.remove("evidence") {
                    Some(Value::Array(items)) => items.iter().map(EvidenceRef::read).collect(),
                    Some(Value::Null) | None => Vec::new(),
                    Some(other) => vec![EvidenceRef::read(&other)],
                };
                let reason = Self::fault(rule, &cut(&code), message);
                Self {
                    evidence,
                    details: members,
                    ..reason
                }
            }
            other => Self::fault(rule, name, other.to_string()),
        }
    }
}

impl EvidenceRef {
    fn read(value: &Value) -> Self {
        let text = |key: &str| value.get(key).and_then(digest_text);
        match value {
            Value::Number(index) => Self {
                log_index: index.as_u64(),
                digest: None,
                name: None,
            },
            Value::String(text) if text.contains(':') => Self {
                log_index: None,
                digest: Some(cut(text)),
                name: None,
            },
            Value::String(text) => Self {
                log_index: None,
                digest: None,
                name: Some(cut(text)),
            },
            _ => Self {
                log_index: value.get("logIndex").and_then(Value::as_u64),
                digest: text("digest"),
                name: text("name"),
            },
        }
    }
}

// A digest set is shown by the digest that Custos computes itself.
fn digest_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(cut(text)),
        Value::Object(set) => {
            let sha256 = set.get("sha256").and_then(Value::as_str);
            let first = || {
                set.iter()
                    .next()
                    .and_then(|(name, hex)| Some(format!("{name}:{}", hex.as_str()?)))
            };
            sha256
                .map(|hex| format!("sha256:{hex}"))
                .or_else(first)
                .map(|text| cut(&text))
        }
        _ => None,
    }
}

fn take_text(members: &mut Map<String, Value>, key: &str) -> Option<String> {
    match members.remove(key)? {
        Value::String(text) if text.is_empty() => None,
        Value::String(text) => Some(text),
        Value::Null => None,
        other => Some(other.to_string()),
    }
}

fn cut(text: &str) -> String {
    text.chars().take(MAX_TEXT_CHARS).collect()
}

/// Brings reasons into an order that is the same for the same facts: by code, then as the log
/// tells what happened, then by words. The engine's own order follows digests.
pub(super) fn sort(reasons: &mut [Reason]) {
    reasons.sort_by_cached_key(|reason| {
        let logged = reason.evidence.iter().filter_map(|one| one.log_index).min();
        let logged = (logged.is_none(), logged);
        (reason.code.clone(), logged, reason.message.clone())
    });
}

/// Keeps the first `limit` reasons and says how many more there are.
pub(super) fn bounded(mut reasons: Vec<Reason>, limit: usize) -> Vec<Reason> {
    let more = reasons.len().saturating_sub(limit);
    if let (Some(last), true) = (reasons.last().cloned(), more > 0) {
        reasons.truncate(limit);
        reasons.push(Reason::fault(
            &last.rule,
            "more-reasons",
            format!("{more} more"),
        ));
    }
    reasons
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn order_follows_code_log_and_words_and_not_digests() {
        let read = |code: &str, log: Option<u64>, msg: &str, digest: &str| {
            let evidence = json!([{ "digest": digest, "logIndex": log, "name": msg }]);
            Reason::read(
                "data.a.warn",
                json!({ "code": code, "msg": msg, "evidence": evidence }),
            )
        };
        let told = |digests: [&str; 4]| {
            let mut reasons = vec![
                read("isolation-none", Some(10), "ten", digests[0]),
                read("isolation-none", Some(9), "nine", digests[1]),
                read("isolation-none", None, "never", digests[2]),
                read("a-first", Some(99), "first", digests[3]),
            ];
            sort(&mut reasons);
            reasons.into_iter().map(|r| r.message).collect::<Vec<_>>()
        };
        assert_eq!(
            told(["sha256:aa", "sha256:bb", "sha256:cc", "sha256:dd"]),
            ["first", "nine", "ten", "never"]
        );
    }

    #[test]
    fn every_shape_is_a_reason() {
        let read = |value| Reason::read("data.a.deny", value);
        assert_eq!(read(json!("no")).message, "no");
        assert_eq!(read(json!("no")).code, "deny");
        assert_eq!(read(json!(null)).message, "null");
        assert_eq!(read(json!({})).message, "deny");
        assert_eq!(read(json!({"code": "c", "msg": ""})).message, "c");
        assert_eq!(read(json!({"message": "m", "code": 7})).code, "7");
    }

    #[test]
    fn evidence_and_details_are_kept() {
        let reason = Reason::read(
            "data.a.deny",
            json!({"code": "c", "msg": "m", "step": "train",
                   "evidence": [{"logIndex": 7, "digest": {"sha256": "ab"}}, 9, "sha256:cd", "f"]}),
        );
        assert_eq!(reason.details.get("step"), Some(&json!("train")));
        assert_eq!(
            serde_json::to_value(&reason.evidence).unwrap(),
            json!([{"logIndex": 7, "digest": "sha256:ab"}, {"logIndex": 9}, {"digest": "sha256:cd"}, {"name": "f"}])
        );
    }

    #[test]
    fn the_list_is_bounded() {
        let reasons = vec![Reason::fault("r", "c", "m"); 5];
        let kept = bounded(reasons.clone(), 3);
        assert_eq!((kept.len(), kept[3].message.as_str()), (4, "2 more"));
        assert_eq!(bounded(reasons, 5).len(), 5);
    }
}
