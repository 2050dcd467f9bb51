//! What can be wrong with a predicate's values, as data.

use std::fmt;

use crate::digest::DigestSet;
use crate::statement::ResourceDescriptor;

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Path to the field, such as `metrics[2].value`.
    pub path: String,
    /// What is wrong with it.
    pub problem: Problem,
}

impl Fault {
    /// Returns a fault.
    pub fn new(path: impl Into<String>, problem: Problem) -> Self {
        Self {
            path: path.into(),
            problem,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.path, self.problem)
    }
}

/// What is wrong with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// Two entries have one name.
    #[error("stands twice")]
    Duplicate,
    /// A text, list or digest set without content.
    #[error("is empty")]
    Empty,
    /// Contradicts another field, which the path's page names.
    #[error("contradicts another field")]
    Contradiction,
    /// A value is there that must be absent, or the other way round.
    #[error("must be present exactly if its confidence is not `unknown`")]
    ConfidenceMismatch,
    /// Not a digest of the algorithm that it names.
    #[error("is not a well-formed digest")]
    NotADigest,
    /// NaN or infinite.
    #[error("is not a finite number")]
    NotFinite,
    /// Below zero.
    #[error("is negative")]
    Negative,
    /// Outside of what the field can mean.
    #[error("is out of range")]
    OutOfRange,
    /// An end before its start.
    #[error("lies before its beginning")]
    Reversed,
    /// A count of nothing proves nothing.
    #[error("is zero")]
    Zero,
}

/// Collects faults.
#[derive(Debug, Default)]
pub(super) struct Check(Vec<Fault>);

impl Check {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn fail(&mut self, path: impl Into<String>, problem: Problem) {
        self.0.push(Fault::new(path, problem));
    }

    pub(super) fn fail_if(&mut self, wrong: bool, path: impl Into<String>, problem: Problem) {
        if wrong {
            self.fail(path, problem);
        }
    }

    pub(super) fn text(&mut self, path: impl Into<String>, text: &str) {
        self.fail_if(text.trim().is_empty(), path, Problem::Empty);
    }

    pub(super) fn finite(&mut self, path: impl Into<String>, value: f64) {
        self.fail_if(!value.is_finite(), path, Problem::NotFinite);
    }

    /// A digest set with content, and each digest of a known algorithm well-formed.
    pub(super) fn digests(&mut self, path: impl Into<String>, set: &DigestSet) {
        let path = path.into();
        if set.is_empty() {
            return self.fail(path, Problem::Empty);
        }
        for (name, hex) in set.iter() {
            let malformed = match name.parse() {
                Ok(algorithm) => set.get(algorithm).is_none(),
                Err(_) => hex.is_empty(),
            };
            self.fail_if(malformed, format!("{path}.{name}"), Problem::NotADigest);
        }
    }

    /// A descriptor that names something by digest.
    pub(super) fn descriptor(&mut self, path: &str, descriptor: &ResourceDescriptor) {
        self.digests(format!("{path}.digest"), &descriptor.digest);
    }

    /// A descriptor that names something by any of the three means that in-toto asks for.
    pub(super) fn reference(&mut self, path: &str, descriptor: &ResourceDescriptor) {
        if !descriptor.digest.is_empty() {
            return self.descriptor(path, descriptor);
        }
        let named = descriptor.uri.as_ref().is_some_and(|uri| !uri.is_empty());
        self.fail_if(!named, path, Problem::Empty);
    }

    /// Names that must be there and differ.
    pub(super) fn unique<'a>(
        &mut self,
        list: &str,
        field: &str,
        names: impl IntoIterator<Item = &'a str>,
    ) {
        let mut seen = std::collections::BTreeSet::new();
        for (index, name) in names.into_iter().enumerate() {
            let path = format!("{list}[{index}].{field}");
            self.text(path.as_str(), name);
            self.fail_if(!seen.insert(name), path, Problem::Duplicate);
        }
    }

    pub(super) fn done(self) -> Vec<Fault> {
        self.0
    }
}

/// Writes faults in one line.
pub(super) fn list(faults: &[Fault]) -> String {
    let texts: Vec<String> = faults.iter().take(8).map(ToString::to_string).collect();
    let more = faults.len().saturating_sub(texts.len());
    let rest = if more == 0 {
        String::new()
    } else {
        format!(", and {more} more")
    };
    format!("{}{rest}", texts.join(", "))
}
