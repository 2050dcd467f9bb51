//! Findings: what a scanner or detector saw, in the form that statements, policies and reports use.
//!
//! A finding claims nothing about trust. It names a rule whose identifier never changes, says
//! where and what was seen, and how sure whoever looked is.

use serde::{Deserialize, Serialize};

/// How bad it is if the finding is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(
    clippy::exhaustive_enums,
    reason = "an order that policies compare with"
)]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Unusual, and harmless by itself.
    Low,
    /// Could hurt in some surroundings.
    Medium,
    /// Hurts whoever loads it in the usual way.
    High,
    /// Made to hurt, as far as can be told.
    Critical,
}

impl Severity {
    /// All of them, the mildest first.
    pub const ALL: [Self; 5] = [
        Self::Info,
        Self::Low,
        Self::Medium,
        Self::High,
        Self::Critical,
    ];

    /// Returns the name, as in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// Returns the severity of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }
}

/// How sure whoever looked is that what was seen is what the rule means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(
    clippy::exhaustive_enums,
    reason = "an order that policies compare with"
)]
pub enum Confidence {
    /// A hint.
    Low,
    /// Likely.
    Medium,
    /// As good as certain.
    High,
}

/// Where something was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(clippy::exhaustive_structs, reason = "written out by every scanner")]
pub struct Location {
    /// The file, and with `!` what lies in it: `model.zip!archive/data.pkl`.
    pub path: String,
    /// First byte, counted in the innermost of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// Line, from 1, in a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// Place in a structured document: a JSON pointer (RFC 6901), or a name of the format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
}

/// What was seen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(clippy::exhaustive_structs, reason = "written out by every scanner")]
pub struct Finding {
    /// Identifier of the rule, such as `pickle/dangerous-call`. It never changes its meaning.
    pub rule: String,
    /// How bad.
    pub severity: Severity,
    /// How sure.
    pub confidence: Confidence,
    /// What was seen, in a sentence that names it.
    pub message: String,
    /// Where.
    pub location: Location,
    /// The thing itself, shortened: a reconstructed call, a name, a number. It comes from whoever
    /// made the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
    /// Published weaknesses that it is an instance of, such as `CVE-2024-3660`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cves: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn severities_have_an_order_and_names() {
        for pair in Severity::ALL.windows(2) {
            assert!(pair[0] < pair[1]);
        }
        for one in Severity::ALL {
            assert_eq!(Severity::from_name(one.name()), Some(one));
            assert_eq!(serde_json::to_value(one).unwrap(), one.name());
        }
        assert_eq!(Severity::from_name("fatal"), None);
    }
}
