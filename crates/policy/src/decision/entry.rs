//! Which rules decide, and what their values mean.

use std::collections::BTreeSet;

use serde_json::Value;

use super::reason::Reason;
use crate::error::EvalError;
use crate::lint::{Path, Place, RuleEntry};
use crate::set::PolicySet;

/// The rules that decide one query.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) rules: Vec<EntryRule>,
    /// What is wrong with them whatever the input.
    pub(super) faults: Vec<Reason>,
}

#[derive(Debug, Clone)]
pub(super) struct EntryRule {
    pub(super) path: String,
    meaning: Meaning,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    /// True lets it pass.
    Allow,
    /// Each element is a denial.
    Deny,
    /// Each element is a warning.
    Warn,
}

impl Meaning {
    fn of(name: &str) -> Option<Self> {
        let is = |word: &str| {
            name == word || name.strip_prefix(word).is_some_and(|r| r.starts_with('_'))
        };
        if name == "allow" {
            Some(Self::Allow)
        } else if is("deny") || is("violation") {
            Some(Self::Deny)
        } else if is("warn") {
            Some(Self::Warn)
        } else {
            None
        }
    }
}

impl Entry {
    /// Finds the rules behind `query`, a package or a single rule.
    pub(super) fn find(set: &PolicySet, query: &str) -> Result<Self, Reason> {
        let path = parse(query).ok_or_else(|| {
            Reason::fault(query, "query-not-accepted", "not a path like data.a.b")
        })?;
        let decides = |rule: &RuleEntry| rule.arities.is_empty() && rule.place == Place::Policies;
        let is_rule = set.rules.get(&path).is_some_and(decides);
        let mut found = BTreeSet::new();
        if is_rule {
            found.insert(path.clone());
        } else {
            let below = path.len().saturating_add(1);
            // `deny.images` is a part of `deny`, which must not go unasked.
            let named = set.rules.iter().filter(|(name, rule)| {
                rule.package <= path.len() && name.starts_with(&path) && decides(rule)
            });
            found.extend(named.filter_map(|(name, _)| Some(name.get(..below)?.to_vec())));
        }
        let rules: Vec<EntryRule> = found
            .iter()
            .filter_map(|path| {
                let meaning = Meaning::of(path.last()?)?;
                let path = path.join(".");
                Some(EntryRule { path, meaning })
            })
            .collect();
        let has = |meaning| rules.iter().any(|rule: &EntryRule| rule.meaning == meaning);
        if !has(Meaning::Allow) && !has(Meaning::Deny) {
            let message = "no rule named deny, violation or allow decides here";
            return Err(Reason::fault(query, "policy-without-rules", message));
        }
        let mut faults = Vec::new();
        // Our own contract wants both: the denials give reasons, and `allow` must say yes.
        let ours = path.get(1).is_some_and(|part| part == "custos") && !is_rule;
        if ours && !(has(Meaning::Allow) && has(Meaning::Deny)) {
            let message = "a package below data.custos needs both deny and allow";
            faults.push(Reason::fault(query, "policy-incomplete", message));
        }
        let deciding = rules.iter().filter(|rule| rule.meaning != Meaning::Warn);
        if !deciding
            .into_iter()
            .any(|rule| set.graph.reaches_input(&parts(&rule.path)))
        {
            let message = "the rules that decide never look at the input";
            faults.push(Reason::fault(query, "policy-vacuous", message));
        }
        Ok(Self { rules, faults })
    }
}

/// A rule with its value; `None` is undefined.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) rule: EntryRule,
    pub(super) value: Result<Option<Value>, EvalError>,
}

/// What an answer means.
#[derive(Debug)]
pub(super) enum Read {
    Denials(Vec<Reason>),
    Fault(Reason),
    Nothing,
    Refusal(Reason),
    Warnings(Vec<Reason>),
}

impl Answer {
    pub(super) fn read(self) -> Read {
        let rule = self.rule.path.as_str();
        let value = match self.value {
            Ok(value) => value,
            Err(error) => return Read::Fault(Reason::fault(rule, error.code(), error.to_string())),
        };
        match (self.rule.meaning, value) {
            (Meaning::Allow, Some(Value::Bool(true))) | (Meaning::Warn, None) => Read::Nothing,
            (Meaning::Allow, Some(Value::Bool(false))) => {
                Read::Refusal(Reason::fault(rule, "allow-false", "allow is false"))
            }
            (Meaning::Allow, None) => {
                Read::Refusal(Reason::fault(rule, "allow-undefined", "allow is undefined"))
            }
            (Meaning::Deny, Some(Value::Array(items))) => Read::Denials(reasons(rule, items)),
            (Meaning::Warn, Some(Value::Array(items))) => Read::Warnings(reasons(rule, items)),
            (Meaning::Deny, Some(Value::Bool(true))) => {
                Read::Denials(vec![Reason::fault(rule, "deny", "deny is true")])
            }
            (_, None) => Read::Fault(Reason::fault(rule, "answer-undefined", "it is undefined")),
            (_, Some(other)) => {
                let kind = match other {
                    Value::Array(_) => "a set or array",
                    Value::Bool(_) => "a boolean",
                    Value::Null => "null",
                    Value::Number(_) => "a number",
                    Value::Object(_) => "an object",
                    Value::String(_) => "a text",
                };
                let message = format!("it is {kind}, which does not decide");
                Read::Fault(Reason::fault(rule, "answer-malformed", message))
            }
        }
    }
}

fn reasons(rule: &str, items: Vec<Value>) -> Vec<Reason> {
    items
        .into_iter()
        .map(|item| Reason::read(rule, item))
        .collect()
}

fn parts(path: &str) -> Path {
    path.split('.').map(str::to_owned).collect()
}

fn parse(query: &str) -> Option<Path> {
    let word = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    let mut path = parts(query);
    if path.first().is_some_and(|part| part != "data") {
        path.insert(0, "data".to_owned());
    }
    (query.len() < 1_024 && path.len() > 1 && path.iter().all(|part| word(part))).then_some(path)
}
