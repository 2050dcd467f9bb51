//! What came of a scan.

use custos_core::digest::Digest;
use custos_core::finding::{Finding, Severity};
use serde::{Deserialize, Serialize};

/// What is known about a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(clippy::exhaustive_enums, reason = "four answers")]
pub enum State {
    /// All of it was understood, and nothing was found at or above the level that counts.
    Clean,
    /// Something was found.
    Findings,
    /// Part of it was not looked at, or not understood; nothing was found in the rest.
    Incomplete,
    /// It could not be read.
    Error,
}

/// A part that was not looked at, or not understood.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(clippy::exhaustive_structs, reason = "written out")]
pub struct Gap {
    /// The file, and with `!` what lies in it.
    pub path: String,
    /// Why.
    pub reason: String,
}

/// What of a file was understood, in bytes. Together they are its size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(clippy::exhaustive_structs, reason = "written out")]
pub struct Coverage {
    /// Parsed.
    pub parsed: u64,
    /// Values without meaning of their own, such as tensors, whose bounds were checked.
    pub opaque: u64,
    /// Neither.
    pub unknown: u64,
}

/// A format that was recognised.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(clippy::exhaustive_structs, reason = "written out")]
pub struct Recognised {
    /// The file, and with `!` what lies in it.
    pub path: String,
    /// Name of the format.
    pub format: String,
}

/// What came of one file, members included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(clippy::exhaustive_structs, reason = "written out")]
pub struct FileReport {
    /// Its name, as it was given.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// SHA-256 of the bytes that were looked at; absent if the file changed meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// What it is, and what lies in it.
    pub formats: Vec<Recognised>,
    /// What of it was understood.
    pub coverage: Coverage,
    /// What was not.
    pub gaps: Vec<Gap>,
    /// What was found, the worst first.
    pub findings: Vec<Finding>,
    /// Why it could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl FileReport {
    /// Returns the worst of what was found.
    pub fn worst(&self) -> Option<Severity> {
        self.findings.iter().map(|finding| finding.severity).max()
    }

    /// Returns the answer for this file, with findings counting from `level` on.
    pub fn state(&self, level: Severity) -> State {
        if self.error.is_some() {
            State::Error
        } else if self.worst().is_some_and(|worst| worst >= level) {
            State::Findings
        } else if !self.gaps.is_empty() || self.digest.is_none() {
            State::Incomplete
        } else {
            State::Clean
        }
    }
}
