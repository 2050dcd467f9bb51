//! Who signed, and who is expected to have signed.
//!
//! An [`Identity`] is what verification found. An [`ExpectedSigner`] is what a person wrote into
//! settings or onto a command line. There is no expected signer that stands for anybody: a pattern
//! that fits whatever one holds against it is refused.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

use crate::crypto::{KeyId, PublicKey};

/// Longest pattern, in bytes.
pub const MAX_PATTERN: usize = 1024;
/// Largest compiled pattern, in bytes.
const MAX_COMPILED: usize = 1 << 20;

/// Who signed, as established by verification.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
#[non_exhaustive]
pub enum Identity {
    /// The holder of a key.
    Key {
        /// The key's identity.
        id: KeyId,
    },
    /// The subject of a certificate.
    Certificate {
        /// Subject alternative name, or the common name where there is none.
        subject: String,
        /// OIDC issuer of a Fulcio certificate, or the distinguished name of the private CA.
        issuer: String,
        /// The certificate's key.
        key: KeyId,
    },
}

impl Identity {
    /// Returns the key that made the signature.
    pub const fn key(&self) -> &KeyId {
        match self {
            Self::Key { id } => id,
            Self::Certificate { key, .. } => key,
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key { id } => write!(f, "key:{}", id.short()),
            Self::Certificate { subject, .. } => f.write_str(subject),
        }
    }
}

/// A signer that somebody named beforehand.
///
/// It has no default and no form that matches everybody: whoever verifies has to say whom they
/// expect.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ExpectedSigner {
    /// The holder of exactly this key.
    Key {
        /// A name for people, such as `trainer`.
        name: String,
        /// The key.
        key: PublicKey,
    },
    /// The subject of a certificate that chains to a trusted root.
    Certificate {
        /// A name for people.
        name: String,
        /// The subject: SAN, or common name where the certificate has no SAN.
        identity: Expected,
        /// The OIDC issuer; required for Fulcio certificates, absent for a private CA, which
        /// its trusted root names.
        issuer: Option<Expected>,
    },
}

impl ExpectedSigner {
    /// Expects the holder of `key`.
    pub fn key(name: impl Into<String>, key: PublicKey) -> Self {
        Self::Key {
            name: name.into(),
            key,
        }
    }

    /// Expects the subject of a certificate, to the letter.
    pub fn certificate(
        name: impl Into<String>,
        identity: impl Into<String>,
        issuer: Option<String>,
    ) -> Self {
        Self::matching(
            name,
            Expected::Exactly(identity.into()),
            issuer.map(Expected::Exactly),
        )
    }

    /// Expects the subject of a certificate, each part to the letter or by a pattern.
    ///
    /// ```
    /// use custos_core::identity::{Expected, ExpectedSigner, Pattern};
    /// let release = Pattern::new("https://github.com/acme/[a-z-]+/release.yml@refs/tags/v.+")?;
    /// let issuer = "https://token.actions.githubusercontent.com".to_owned();
    /// ExpectedSigner::matching(
    ///     "release",
    ///     Expected::Matching(release),
    ///     Some(Expected::Exactly(issuer)),
    /// );
    /// # Ok::<(), custos_core::identity::PatternError>(())
    /// ```
    pub fn matching(name: impl Into<String>, identity: Expected, issuer: Option<Expected>) -> Self {
        Self::Certificate {
            name: name.into(),
            identity,
            issuer,
        }
    }

    /// Returns the name for people.
    pub fn name(&self) -> &str {
        match self {
            Self::Key { name, .. } | Self::Certificate { name, .. } => name,
        }
    }
}

impl fmt::Display for ExpectedSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key { name, key } => write!(f, "{name} (key:{})", key.id().short()),
            Self::Certificate { name, identity, .. } => write!(f, "{name} ({identity})"),
        }
    }
}

/// What a text of a certificate is expected to be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(clippy::exhaustive_enums, reason = "a text is given or described")]
pub enum Expected {
    /// This text and no other.
    Exactly(String),
    /// A text that this pattern describes as a whole.
    Matching(Pattern),
}

impl Expected {
    /// Returns true if `found` is as expected. An empty text never is: it names nobody.
    pub fn accepts(&self, found: &str) -> bool {
        !found.is_empty()
            && match self {
                Self::Exactly(text) => text == found,
                Self::Matching(pattern) => pattern.regex.is_match(found),
            }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(text) => f.write_str(text),
            Self::Matching(pattern) => write!(f, "/{}/", pattern.source),
        }
    }
}

/// A regular expression (the syntax of RE2: linear time, no look-around, no back-references) that
/// has to describe the whole of a text, not a part of it.
#[derive(Clone)]
pub struct Pattern {
    source: String,
    regex: Regex,
}

impl Pattern {
    /// Compiles a pattern of at most [`MAX_PATTERN`] bytes.
    ///
    /// One that is empty or fits whatever one holds against it, such as `.*`, is an error: it
    /// would expect anybody.
    pub fn new(source: &str) -> Result<Self, PatternError> {
        if source.is_empty() {
            return Err(PatternError::Empty);
        }
        if source.len() > MAX_PATTERN {
            return Err(PatternError::TooLong {
                found: source.len(),
            });
        }
        // Alone first: `a)|(?:b` must not get out of the group below.
        compile(source)?;
        let regex = compile(&format!(r"\A(?:{source})\z"))?;
        if STRANGERS.iter().all(|stranger| regex.is_match(stranger)) {
            return Err(PatternError::Anybody);
        }
        Ok(Self {
            source: source.to_owned(),
            regex,
        })
    }

    /// Returns the pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.source
    }
}

/// Texts that no person and no service is called, of the shapes that identities and issuers have.
/// Who accepts them all accepts everybody.
const STRANGERS: [&str; 4] = [
    "0000000000000000000000000000",
    "qqqqqqqqqqqqqqqqqqqqqqqq@qqqqqqqqqqqqqqq.invalid",
    "https://qqqqqqqqqqqqqqqqqqqqqqqq.invalid/qqqq/qqqq/qqqq.qqq@qqqq/qqqq",
    "urn:QQQQ:~!$&'()*+,;=%00[]",
];

fn compile(pattern: &str) -> Result<Regex, PatternError> {
    RegexBuilder::new(pattern)
        .size_limit(MAX_COMPILED)
        .dfa_size_limit(MAX_COMPILED)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => PatternError::TooComplex,
            _ => PatternError::Syntax,
        })
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.source)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Pattern {}

impl PartialOrd for Pattern {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Pattern {
    fn cmp(&self, other: &Self) -> Ordering {
        self.source.cmp(&other.source)
    }
}

impl Hash for Pattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.source.hash(state);
    }
}

/// Why a text is not a pattern for identities.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatternError {
    /// It fits everything.
    #[error("the pattern fits everybody, and so names nobody")]
    Anybody,
    /// It is empty.
    #[error("the pattern is empty")]
    Empty,
    /// Not a regular expression of this kind.
    #[error("not a regular expression (look-around and back-references are not supported)")]
    Syntax,
    /// It needs more than 1 MiB when compiled.
    #[error("the pattern is too complex")]
    TooComplex,
    /// More than [`MAX_PATTERN`] bytes.
    #[error("the pattern has {found} bytes, the limit is {MAX_PATTERN}")]
    TooLong {
        /// Bytes found.
        found: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_describes_the_whole_text() {
        let expected = Expected::Matching(Pattern::new("https://github.com/acme/.+").unwrap());
        assert!(expected.accepts("https://github.com/acme/train.yml"));
        for foreign in [
            "https://evil.example/https://github.com/acme/train.yml",
            "https://github.com/acme/",
            "https://github.com/acme/a\nhttps://evil.example",
            "x",
            "",
        ] {
            assert!(!expected.accepts(foreign), "{foreign:?}");
        }
        // Alternatives are all of them anchored, not just the outer ones.
        let either = Expected::Matching(Pattern::new("ann@a.org|bob@b.org").unwrap());
        assert!(either.accepts("ann@a.org") && either.accepts("bob@b.org"));
        assert!(!either.accepts("xbob@b.org") && !either.accepts("ann@a.orgx"));
        // Lines do not help to slip past an anchor.
        let lines = Expected::Matching(Pattern::new("(?m)^ann@a.org$").unwrap());
        assert!(!lines.accepts("ann@a.org\nmallory@m.org"));
    }

    #[test]
    fn a_pattern_for_everybody_is_refused() {
        for anybody in [
            ".*",
            ".+",
            "^.*$",
            "(?s).*",
            "(?s:.)+",
            "[^\\n]*",
            "\\S+",
            ".*.*",
            "(.*)|x",
            ".{3,}",
            "[\\s\\S]*",
            ".*?",
            "(?i).+",
            "^.+",
        ] {
            assert_eq!(
                Pattern::new(anybody),
                Err(PatternError::Anybody),
                "{anybody}"
            );
        }
        assert_eq!(Pattern::new(""), Err(PatternError::Empty));
    }

    #[test]
    fn what_is_no_bounded_pattern_is_refused() {
        for broken in ["(", "a)|(?:b", "[", "(?=a)b", r"(a)\1", "(?x)a #"] {
            assert_eq!(Pattern::new(broken), Err(PatternError::Syntax), "{broken}");
        }
        assert_eq!(
            Pattern::new("(?:a{100}){1000}"),
            Err(PatternError::TooComplex)
        );
        assert_eq!(
            Pattern::new(&"a".repeat(MAX_PATTERN + 1)),
            Err(PatternError::TooLong {
                found: MAX_PATTERN + 1
            })
        );
    }

    #[test]
    fn an_empty_name_is_nobody() {
        assert!(!Expected::Exactly(String::new()).accepts(""));
        assert!(!Expected::Matching(Pattern::new("a*").unwrap()).accepts(""));
    }

    #[test]
    fn text_and_pattern_of_the_same_letters_differ() {
        let text = ExpectedSigner::certificate("a", "x", None);
        let pattern = Expected::Matching(Pattern::new("x").unwrap());
        let pattern = ExpectedSigner::matching("a", pattern, None);
        assert_ne!(text, pattern);
        assert_ne!(format!("{text:?}"), format!("{pattern:?}"));
    }
}
