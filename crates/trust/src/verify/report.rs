//! The list of checks behind a verdict, for people and for machines.

use serde::Serialize;

/// A check that verification makes. The order is the order of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum CheckName {
    /// The bytes are a bundle or an envelope.
    Format,
    /// The certificate chain leads to a trusted authority.
    Certificate,
    /// A certificate transparency log promised the certificate to the public.
    Sct,
    /// When it was signed.
    Time,
    /// A trusted log holds the entry.
    Log,
    /// The log's entry is of exactly this signature and signer.
    LogBinding,
    /// The signature is over exactly this payload.
    Signature,
    /// The payload is an in-toto statement.
    Statement,
    /// The statement is of the kind asked for.
    Predicate,
    /// The statement is about this artifact.
    Subject,
    /// The signer is one of those expected.
    Signer,
}

impl CheckName {
    /// Returns a phrase for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Format => "bundle format",
            Self::Certificate => "certificate chain",
            Self::Sct => "certificate logged",
            Self::Time => "trusted time",
            Self::Log => "log inclusion",
            Self::LogBinding => "log entry is of this",
            Self::Signature => "signature",
            Self::Statement => "in-toto statement",
            Self::Predicate => "predicate type",
            Self::Subject => "about this artifact",
            Self::Signer => "signer is expected",
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
    /// The place in the bundle's JSON that a failed check is about, if there is one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub at: String,
    /// What to do about a failed check.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub help: &'static str,
}

impl Check {
    fn new(name: CheckName, state: CheckState, detail: impl Into<String>) -> Self {
        Self {
            name,
            state,
            detail: detail.into(),
            at: String::new(),
            help: "",
        }
    }
}

/// Collects checks as they are made.
#[derive(Debug, Default)]
pub struct Checks(Vec<Check>);

impl Checks {
    pub(crate) fn ok(&mut self, name: CheckName, detail: impl Into<String>) {
        self.0.push(Check::new(name, CheckState::Ok, detail));
    }

    pub(crate) fn not_claimed(&mut self, name: CheckName, detail: impl Into<String>) {
        self.0
            .push(Check::new(name, CheckState::NotClaimed, detail));
    }

    /// Notes that a check is one of this candidate's, whether or not it will be reached.
    pub(crate) fn applies(&mut self, name: CheckName) {
        self.0.push(Check::new(name, CheckState::NotReached, ""));
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
            at: error.path(),
            help: error.help(),
            ..Check::new(name, CheckState::Failed, error.to_string())
        });
    }

    // Every check that every verification makes is in the list, reached or not.
    pub(crate) fn finish(mut self, is_statement: bool) -> Vec<Check> {
        let always: &[CheckName] = if is_statement {
            &[
                CheckName::Format,
                CheckName::Time,
                CheckName::Log,
                CheckName::Signature,
                CheckName::Statement,
                CheckName::Predicate,
                CheckName::Subject,
                CheckName::Signer,
            ]
        } else {
            &[
                CheckName::Format,
                CheckName::Time,
                CheckName::Log,
                CheckName::Signature,
                CheckName::Subject,
                CheckName::Signer,
            ]
        };
        for name in always {
            self.applies(*name);
        }
        // One line a check: what came of it, before that it applies.
        self.0
            .sort_by_key(|check| (check.name, check.state == CheckState::NotReached));
        self.0.dedup_by_key(|check| check.name);
        self.0
    }
}
