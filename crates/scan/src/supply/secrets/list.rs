//! The list of secrets, read once.

use std::ops::Range;
use std::sync::{LazyLock, OnceLock};

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use custos_core::digest::Algorithm;
use custos_core::finding::Severity;
use regex_automata::meta::Regex;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input};
use serde::Deserialize;

use super::checks::{self, Check};
use crate::rules::{self, Rule};

/// The list.
pub(super) static LIST: LazyLock<List> = LazyLock::new(|| List::read(super::DATA));

/// What is looked for.
pub(super) struct List {
    /// The words, of all kinds and of assignments.
    pub(super) words: Option<AhoCorasick>,
    /// Salt of fingerprints: another list, another fingerprint.
    pub(super) salt: Vec<u8>,
    /// Passwords that stand in examples.
    pub(super) passwords: Vec<String>,
    /// Hosts that stand in examples.
    pub(super) hosts: Vec<String>,
    kinds: Vec<Kind>,
    // The kind of each word; none for those of assignments.
    owners: Vec<Option<usize>>,
    placeholders: Option<AhoCorasick>,
}

/// A kind of secret.
pub(super) struct Kind {
    pub(super) name: String,
    pub(super) rule: &'static Rule,
    pub(super) severity: Severity,
    pub(super) entropy: f64,
    pub(super) back: usize,
    /// Whether it begins where no word goes on.
    pub(super) bounded: bool,
    pub(super) check: Option<Check>,
    pattern: String,
    compiled: OnceLock<Option<Regex>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    secret: Vec<Entry>,
    assignment: Words,
    placeholders: Placeholders,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    rule: String,
    words: Vec<String>,
    pattern: String,
    #[serde(default)]
    back: usize,
    #[serde(default)]
    entropy: f64,
    check: Option<String>,
    severity: Option<Severity>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Words {
    words: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Placeholders {
    words: Vec<String>,
    passwords: Vec<String>,
    hosts: Vec<String>,
}

impl List {
    // The list is part of the program; tests read it strictly.
    fn read(text: &str) -> Self {
        let file = toml::from_str(text).unwrap_or(File {
            secret: Vec::new(),
            assignment: Words { words: Vec::new() },
            placeholders: Placeholders {
                words: Vec::new(),
                passwords: Vec::new(),
                hosts: Vec::new(),
            },
        });
        let (mut words, mut owners, mut kinds) = (Vec::new(), Vec::new(), Vec::new());
        for entry in file.secret {
            owners.extend(entry.words.iter().map(|_| Some(kinds.len())));
            words.extend(entry.words.iter().cloned());
            kinds.push(Kind::new(entry));
        }
        owners.extend(file.assignment.words.iter().map(|_| None));
        words.extend(file.assignment.words);
        let salt = Algorithm::Sha256.digest(text.as_bytes()).to_hex();
        Self {
            words: automaton(&words),
            salt: salt.into_bytes(),
            passwords: file.placeholders.passwords,
            hosts: file.placeholders.hosts,
            kinds,
            owners,
            placeholders: automaton(&file.placeholders.words),
        }
    }

    /// Returns the kind that a word announces; none if it is the name of a value.
    pub(super) fn kind_of(&self, word: usize) -> Option<&Kind> {
        let kind = (*self.owners.get(word)?)?;
        self.kinds.get(kind)
    }

    /// Returns true if it is what stands in examples.
    pub(super) fn is_placeholder(&self, value: &[u8]) -> bool {
        let words = self.placeholders.as_ref();
        words.is_some_and(|words| words.is_match(value))
    }
}

// Few enough words for an automaton, which tests see to.
fn automaton(words: &[String]) -> Option<AhoCorasick> {
    AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .match_kind(MatchKind::Standard)
        .kind(Some(AhoCorasickKind::DFA))
        .build(words)
        .ok()
}

impl Kind {
    fn new(entry: Entry) -> Self {
        let rule = match entry.rule.as_str() {
            "cloud" => &rules::supply::SECRET_CLOUD,
            "private-key" => &rules::supply::SECRET_PRIVATE_KEY,
            "password" => &rules::supply::SECRET_PASSWORD,
            "jwt" => &rules::supply::SECRET_WEB_TOKEN,
            _ => &rules::supply::SECRET_SERVICE,
        };
        let first = entry.words.iter().all(|word| {
            let first = word.bytes().next();
            first.is_some_and(|byte| byte.is_ascii_alphanumeric())
        });
        Self {
            severity: entry.severity.unwrap_or(rule.severity),
            rule,
            entropy: entry.entropy,
            back: entry.back,
            bounded: first,
            check: entry.check.as_deref().and_then(checks::find),
            name: entry.name,
            pattern: entry.pattern,
            compiled: OnceLock::new(),
        }
    }

    // Compiled when its word is first seen: most never are.
    fn regex(&self) -> Option<&Regex> {
        let regex = self.compiled.get_or_init(|| {
            Regex::builder()
                .syntax(syntax::Config::new().unicode(false).utf8(false))
                .configure(Regex::config().utf8_empty(false))
                .build(&self.pattern)
                .ok()
        });
        regex.as_ref()
    }

    /// Returns where the secret is, if the pattern begins exactly where the range does.
    pub(super) fn at(&self, text: &[u8], range: Range<usize>) -> Option<Range<usize>> {
        let regex = self.regex()?;
        let input = Input::new(text).range(range).anchored(Anchored::Yes);
        let mut captures = regex.create_captures();
        regex.search_captures(&input, &mut captures);
        captures.get_group(1).map(|span| span.range())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sound() {
        let file: File = toml::from_str(super::super::DATA).unwrap();
        for entry in file.secret {
            let (name, rule) = (entry.name.clone(), entry.rule.clone());
            let check = entry.check.clone();
            let kind = Kind::new(entry);
            assert!(kind.regex().is_some(), "{name}: {}", kind.pattern);
            assert_eq!(check.is_some(), kind.check.is_some(), "{name}");
            assert!(
                ["service", "cloud", "private-key", "password", "jwt"].contains(&rule.as_str()),
                "{name}"
            );
        }
        assert!(LIST.words.is_some());
        assert!(LIST.is_placeholder(b"AKIAIOSFODNN7EXAMPLE"));
    }
}
