//! The list of checks behind a verdict, for people and for machines.

use serde::Serialize;

/// A check that verification makes. The order is the order of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum CheckName {
    /// The bytes are a bundle or an envelope.
    Format,
    /// The signer is one of those expected.
    Signer,
    /// The certificate chain leads to a trusted authority.
    Certificate,
    /// The signature is over exactly this payload.
    Signature,
    /// A trusted log holds exactly this signature.
    Log,
    /// When it was signed.
    Time,
    /// The payload is an in-toto statement.
    Statement,
    /// The statement is of the kind asked for.
    Predicate,
    /// The statement is about this artifact.
    Subject,
}

impl CheckName {
    /// Returns a phrase for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Format => "bundle format",
            Self::Signer => "signer is expected",
            Self::Certificate => "certificate chain",
            Self::Signature => "envelope signature",
            Self::Log => "log inclusion",
            Self::Time => "trusted time",
            Self::Statement => "in-toto statement",
            Self::Predicate => "predicate type",
            Self::Subject => "about this artifact",
        }
    }
}

impl std::fmt::Display for CheckName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum CheckState {
    /// It holds.
    Ok,
    /// It does not hold.
    Failed,
    /// The bundle claims nothing of the kind, and nothing of the kind was required.
    NotClaimed,
    /// An earlier failure left nothing to check.
    NotReached,
}

/// One line of the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Check {
    /// Which check.
    pub name: CheckName,
    /// How it ended.
    pub state: CheckState,
    /// What was found; for a failed check, why.
    pub detail: String,
}

/// Collects checks as they are made.
#[derive(Debug, Default)]
pub struct Checks(Vec<Check>);

impl Checks {
    pub(crate) fn ok(&mut self, name: CheckName, detail: impl Into<String>) {
        self.0.push(Check {
            name,
            state: CheckState::Ok,
            detail: detail.into(),
        });
    }

    pub(crate) fn not_claimed(&mut self, name: CheckName, detail: impl Into<String>) {
        self.0.push(Check {
            name,
            state: CheckState::NotClaimed,
            detail: detail.into(),
        });
    }

    pub(crate) fn failed(&mut self, error: &super::VerifyError) {
        let name = error.check();
        // The same fault may surface again on the way out.
        if self
            .0
            .iter()
            .any(|check| check.name == name && check.state == CheckState::Failed)
        {
            return;
        }
        // One line a check: what it first let pass does not stand beside why it failed after all.
        self.0.retain(|check| check.name != name);
        self.0.push(Check {
            name,
            state: CheckState::Failed,
            detail: error.to_string(),
        });
    }

    // Every check that every verification makes is in the list, reached or not.
    pub(crate) fn finish(mut self, is_statement: bool) -> Vec<Check> {
        let always: &[CheckName] = if is_statement {
            &[
                CheckName::Format,
                CheckName::Signer,
                CheckName::Signature,
                CheckName::Log,
                CheckName::Time,
                CheckName::Statement,
                CheckName::Predicate,
                CheckName::Subject,
            ]
        } else {
            &[
                CheckName::Format,
                CheckName::Signer,
                CheckName::Signature,
                CheckName::Log,
                CheckName::Time,
                CheckName::Subject,
            ]
        };
        for name in always {
            if !self.0.iter().any(|check| check.name == *name) {
                self.0.push(Check {
                    name: *name,
                    state: CheckState::NotReached,
                    detail: String::new(),
                });
            }
        }
        self.0.sort_by_key(|check| check.name);
        self.0
    }
}
