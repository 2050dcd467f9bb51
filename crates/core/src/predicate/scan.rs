//! `urn:custos:attestation:scan:v1`: what a scanner saw in files, and how much of them it saw.
//!
//! Subjects are the files that were looked at, by the digests of the very pass that looked, and the
//! folder that they make up. Fields: `docs/predicates/scan.md`. It claims nothing about files that
//! are not listed, and nothing beyond the rule set that it names.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Predicate;
use super::check::{Check, Fault, Problem};
use crate::clock::Timestamp;
use crate::digest::DigestSet;
use crate::finding::{Finding, Severity};

/// What came of a scan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Scan {
    /// What scanned.
    pub scanner: Scanner,
    /// What the answer was asked to depend on.
    pub settings: Settings,
    /// The answer, and the numbers behind it.
    pub summary: Summary,
    /// Each file.
    pub files: Vec<ScannedFile>,
    /// When it ran.
    pub metadata: ScanMetadata,
}

/// What scanned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Scanner {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The digest of its rules and lists.
    pub rules: DigestSet,
}

/// What the answer was asked to depend on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Settings {
    /// From which severity on a finding counts.
    pub fail_on: Severity,
    /// Whether what is incomplete or unknown is a no.
    pub strict: bool,
    /// The report of before, whose findings do not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<DigestSet>,
    /// The latest change of the database of known vulnerabilities, if one was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vulnerabilities_until: Option<String>,
}

/// The answer to a whole scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// Everything was looked at, and nothing that counts was found.
    Pass,
    /// Something that counts was found.
    Fail,
    /// Something was not looked at, and nothing that counts was found in the rest.
    Undecided,
}

/// The answer for one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// All of it was understood, and nothing that counts was found.
    Clean,
    /// Something that counts was found.
    Findings,
    /// Part of it was not looked at, or not understood.
    Incomplete,
    /// It could not be read.
    Error,
}

/// The answer, and the numbers behind it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// The answer.
    pub answer: Answer,
    /// Files of each state.
    pub states: BTreeMap<State, u64>,
    /// Findings of each severity that nobody has dealt with.
    pub findings: BTreeMap<Severity, u64>,
    /// Findings that somebody answers for.
    pub suppressed: u64,
    /// Findings that the baseline has.
    pub known: u64,
    /// What of all bytes was understood.
    pub coverage: Coverage,
}

/// What was understood, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Coverage {
    /// Parsed.
    pub parsed: u64,
    /// Values without meaning of their own, whose bounds were checked.
    pub opaque: u64,
    /// Neither.
    pub unknown: u64,
}

/// What came of one file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScannedFile {
    /// Its name below what was scanned.
    pub name: String,
    /// The digest of the bytes that were looked at; empty if it could not be read as a whole.
    #[serde(default, skip_serializing_if = "DigestSet::is_empty")]
    pub digest: DigestSet,
    /// Its size in bytes.
    pub size: u64,
    /// The answer.
    pub state: State,
    /// What it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub formats: Vec<String>,
    /// What of it was understood.
    pub coverage: Coverage,
    /// Why something was not, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<String>,
    /// What was found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<ScanFinding>,
}

/// Whether a finding counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// The report of before has it.
    Known,
    /// Nobody has dealt with it.
    New,
    /// Somebody answers for it.
    Suppressed,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScanFinding {
    /// The finding itself.
    #[serde(flatten)]
    pub finding: Finding,
    /// The same for the same thing in another place.
    pub fingerprint: String,
    /// Whether it counts.
    pub standing: Standing,
    /// Who answers for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Why that one thinks so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
}

/// When a scan ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScanMetadata {
    /// Start.
    pub started_on: Timestamp,
    /// End.
    pub finished_on: Timestamp,
}

impl Predicate for Scan {
    const TYPE: &'static str = own_type!("scan:v1");

    fn faults(&self) -> Vec<Fault> {
        let mut check = Check::new();
        check.text("scanner.name", &self.scanner.name);
        check.text("scanner.version", &self.scanner.version);
        check.digests("scanner.rules", &self.scanner.rules);
        if let Some(baseline) = &self.settings.baseline {
            check.digests("settings.baseline", baseline);
        }
        let mut states: BTreeMap<State, u64> = BTreeMap::new();
        for (index, file) in self.files.iter().enumerate() {
            let path = format!("files[{index}]");
            check.text(format!("{path}.name"), &file.name);
            let count = states.entry(file.state).or_default();
            *count = count.saturating_add(1);
            if !file.digest.is_empty() {
                check.digests(format!("{path}.digest"), &file.digest);
            }
            // Nobody can say that something is clean without saying what.
            let nothing = file.state == State::Clean && file.digest.is_empty();
            check.fail_if(nothing, format!("{path}.digest"), Problem::Empty);
        }
        let told = self
            .summary
            .states
            .iter()
            .filter(|(_, number)| **number > 0);
        let differs = !told.eq(states.iter());
        check.fail_if(differs, "summary.states", Problem::Contradiction);
        let all_clean = states.keys().all(|state| *state == State::Clean) && !states.is_empty();
        let passes = self.summary.answer == Answer::Pass;
        check.fail_if(
            passes && !all_clean,
            "summary.answer",
            Problem::Contradiction,
        );
        let reversed = self.metadata.finished_on < self.metadata.started_on;
        check.fail_if(reversed, "metadata.finishedOn", Problem::Reversed);
        check.done()
    }
}

#[cfg(test)]
impl Scan {
    pub(crate) fn example() -> Self {
        use crate::digest::Algorithm;

        let digest = |text: &[u8]| DigestSet::from(Algorithm::Sha256.digest(text));
        let coverage = Coverage {
            parsed: 40,
            opaque: 1,
            unknown: 1,
        };
        Self {
            scanner: Scanner {
                name: "custos".into(),
                version: "0.1.0".into(),
                rules: digest(b"rules"),
            },
            settings: Settings {
                fail_on: Severity::High,
                strict: false,
                baseline: Some(digest(b"before")),
                vulnerabilities_until: Some("2026-11-01T00:00:00Z".into()),
            },
            summary: Summary {
                answer: Answer::Undecided,
                states: BTreeMap::from([(State::Incomplete, 1)]),
                findings: BTreeMap::from([(Severity::Low, 1)]),
                suppressed: 1,
                known: 2,
                coverage,
            },
            files: vec![ScannedFile {
                name: "a/model.pkl".into(),
                digest: digest(b"model"),
                size: 42,
                state: State::Incomplete,
                formats: vec!["pickle".into()],
                coverage,
                gaps: vec!["1 of 42 bytes was not understood".into()],
                findings: vec![ScanFinding::example()],
            }],
            metadata: ScanMetadata {
                started_on: Timestamp::from_seconds(1),
                finished_on: Timestamp::from_seconds(2),
            },
        }
    }
}

#[cfg(test)]
impl ScanFinding {
    fn example() -> Self {
        use crate::finding::{Confidence, Location};

        Self {
            finding: Finding {
                rule: "pickle/dangerous-call".into(),
                severity: Severity::Critical,
                confidence: Confidence::High,
                message: "`os.system` is called".into(),
                location: Location {
                    path: "a/model.pkl".into(),
                    offset: Some(12),
                    line: Some(1),
                    pointer: Some("/x".into()),
                },
                evidence: Some("os.system(\"id\")".into()),
                cves: vec!["CVE-2019-6446".into()],
            },
            fingerprint: "00ff".into(),
            standing: Standing::Suppressed,
            owner: Some("alice".into()),
            reason: Some("a test file".into()),
            expires: Some(Timestamp::from_seconds(9)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_needs_files_all_of_which_are_clean() {
        let fault = |path: &str, problem| vec![Fault::new(path, problem)];
        let mut scan = Scan::example();
        assert_eq!(scan.faults(), []);
        scan.summary.answer = Answer::Pass;
        assert_eq!(
            scan.faults(),
            fault("summary.answer", Problem::Contradiction)
        );
        scan.files[0].state = State::Clean;
        assert_eq!(
            scan.faults(),
            fault("summary.states", Problem::Contradiction)
        );
        scan.summary.states = BTreeMap::from([(State::Clean, 1), (State::Error, 0)]);
        assert_eq!(scan.faults(), []);
        scan.files[0].digest = DigestSet::default();
        assert_eq!(scan.faults(), fault("files[0].digest", Problem::Empty));
        scan.files.clear();
        scan.summary.states.clear();
        assert_eq!(
            scan.faults(),
            fault("summary.answer", Problem::Contradiction)
        );
    }
}
