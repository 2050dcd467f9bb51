//! The report of a whole scan: `custos.scan/1`.
//!
//! It holds nothing of the clock and of the machine: the same bytes under the same rules give the
//! same report. `docs/reference/scan-report.schema.json` describes it.

use std::collections::BTreeMap;

use custos_core::digest::Digest;
use custos_core::finding::{Finding, Severity};
use serde::{Deserialize, Serialize};

use crate::report::{Coverage, FileReport, Gap, Recognised, State};
use crate::rules;
use crate::sources::Note;
use crate::standing::{Standing, SuppressionUse, Used};
use crate::supply::Snapshot;

/// The `schema` of a report.
pub const SCHEMA: &str = "custos.scan/1";

/// What came of a scan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(
    clippy::exhaustive_structs,
    reason = "plain data of a versioned schema"
)]
pub struct Report {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// What scanned.
    pub engine: Engine,
    /// What the answer was asked to depend on.
    pub settings: Settings,
    /// The answer, and the numbers behind it.
    pub summary: Summary,
    /// Each file.
    pub files: Vec<FileResult>,
    /// What was left out.
    pub notes: Vec<Note>,
    /// What became of each suppression.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suppressions: Vec<SuppressionUse>,
}

/// What scanned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(
    clippy::exhaustive_structs,
    reason = "plain data of a versioned schema"
)]
pub struct Engine {
    /// Always `custos`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The digest of the rules and lists.
    pub rules: Digest,
}

impl Engine {
    /// Returns this program.
    pub fn this() -> Self {
        Self {
            name: "custos".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            rules: rules::digest(),
        }
    }
}

/// What the answer was asked to depend on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(
    clippy::exhaustive_structs,
    reason = "plain data of a versioned schema"
)]
pub struct Settings {
    /// From which severity on a finding counts.
    pub fail_on: Severity,
    /// Whether what is incomplete or unknown is a no.
    pub strict: bool,
    /// The database of known vulnerabilities, if one was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub osv: Option<Snapshot>,
    /// How many internal package names were given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub internal_names: Option<u64>,
    /// The report of before, if one was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Digest>,
}

/// The answer to a whole scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(clippy::exhaustive_enums, reason = "three answers")]
pub enum Answer {
    /// Everything was looked at, and nothing that counts was found.
    Pass,
    /// Something that counts was found.
    Fail,
    /// Nothing that counts was found in what was looked at; something was not looked at.
    Undecided,
}

/// The answer, and the numbers behind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(
    clippy::exhaustive_structs,
    reason = "plain data of a versioned schema"
)]
pub struct Summary {
    /// The answer.
    pub answer: Answer,
    /// Files.
    pub files: u64,
    /// Files with nothing that counts, all of which was understood.
    pub clean: u64,
    /// Files with something that counts.
    pub findings: u64,
    /// Files of which something was not understood.
    pub incomplete: u64,
    /// Files that could not be read.
    pub errors: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// What of them was understood.
    pub coverage: Coverage,
    /// New findings of each severity.
    pub new: BTreeMap<Severity, u64>,
    /// Findings that a suppression took out.
    pub suppressed: u64,
    /// Findings that the baseline knows.
    pub known: u64,
}

/// What came of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(
    clippy::exhaustive_structs,
    reason = "plain data of a versioned schema"
)]
pub struct FileResult {
    /// Its name.
    pub path: String,
    /// The answer for it.
    pub state: State,
    /// Its size in bytes.
    pub size: u64,
    /// SHA-256 of the bytes that were looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// The tag that a bucket gave these bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// What it is, and what lies in it.
    pub formats: Vec<Recognised>,
    /// What of it was understood.
    pub coverage: Coverage,
    /// What was not.
    pub gaps: Vec<Gap>,
    /// What was found.
    pub findings: Vec<Listed>,
    /// Why it could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl FileResult {
    /// Returns the worst finding that is new.
    pub fn worst(&self) -> Option<Severity> {
        let new = self.findings.iter().filter(|one| one.is_new());
        new.map(|one| one.finding.severity).max()
    }
}

/// A finding, and whether it counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(
    clippy::exhaustive_structs,
    reason = "plain data of a versioned schema"
)]
pub struct Listed {
    /// What was found.
    #[serde(flatten)]
    pub finding: Finding,
    /// The same for the same thing, wherever its file lies and wherever it stands in it.
    pub fingerprint: String,
    /// Whether it counts.
    pub standing: Standing,
    /// What took it out, if anything did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suppressed_by: Option<Used>,
}

impl Listed {
    /// Returns true if nobody has dealt with it yet.
    pub fn is_new(&self) -> bool {
        self.standing == Standing::New
    }
}

impl Report {
    /// Returns the report over these files, whose standing is already known.
    pub fn new(settings: Settings, files: Vec<FileResult>, notes: Vec<Note>) -> Self {
        let mut report = Self {
            schema: SCHEMA.to_owned(),
            engine: Engine::this(),
            summary: Summary::empty(),
            settings,
            files,
            notes,
            suppressions: Vec::new(),
        };
        for file in &mut report.files {
            file.state = state(file, &report.settings);
        }
        report.summary = Summary::of(&report.files, &report.settings);
        report
    }
}

impl From<FileReport> for FileResult {
    /// Takes the findings as new ones.
    fn from(report: FileReport) -> Self {
        let state = report.state(Severity::Info);
        let findings = crate::standing::listed(&report.path, report.findings);
        Self {
            path: report.path,
            state,
            size: report.size,
            digest: report.digest,
            etag: None,
            formats: report.formats,
            coverage: report.coverage,
            gaps: report.gaps,
            findings,
            error: report.error,
        }
    }
}

// Calls of what is on no list are a matter of taste: the strict mode does not take them.
fn is_unknown_call(finding: &Finding) -> bool {
    let name = finding.rule.split_once('/').map_or("", |(_, name)| name);
    name.starts_with("unknown-") && finding.severity >= Severity::Medium
}

fn state(file: &FileResult, settings: &Settings) -> State {
    let counts = |one: &Listed| {
        one.is_new()
            && (one.finding.severity >= settings.fail_on
                || settings.strict && is_unknown_call(&one.finding))
    };
    if file.findings.iter().any(counts) {
        State::Findings
    } else if file.error.is_some() {
        State::Error
    } else if !file.gaps.is_empty() || file.digest.is_none() {
        State::Incomplete
    } else {
        State::Clean
    }
}

impl Summary {
    const fn empty() -> Self {
        Self {
            answer: Answer::Undecided,
            files: 0,
            clean: 0,
            findings: 0,
            incomplete: 0,
            errors: 0,
            bytes: 0,
            coverage: Coverage {
                parsed: 0,
                opaque: 0,
                unknown: 0,
            },
            new: BTreeMap::new(),
            suppressed: 0,
            known: 0,
        }
    }

    fn of(files: &[FileResult], settings: &Settings) -> Self {
        let mut sum = Self::empty();
        let add = |to: &mut u64, more: u64| *to = to.saturating_add(more);
        for file in files {
            add(&mut sum.files, 1);
            let state = match file.state {
                State::Clean => &mut sum.clean,
                State::Findings => &mut sum.findings,
                State::Incomplete => &mut sum.incomplete,
                State::Error => &mut sum.errors,
            };
            add(state, 1);
            add(&mut sum.bytes, file.size);
            add(&mut sum.coverage.parsed, file.coverage.parsed);
            add(&mut sum.coverage.opaque, file.coverage.opaque);
            add(&mut sum.coverage.unknown, file.coverage.unknown);
            for one in &file.findings {
                add(
                    match one.standing {
                        Standing::New => sum.new.entry(one.finding.severity).or_default(),
                        Standing::Suppressed => &mut sum.suppressed,
                        Standing::Known => &mut sum.known,
                    },
                    1,
                );
            }
        }
        let open = sum.files == 0 || sum.incomplete > 0 || sum.errors > 0;
        sum.answer = match (sum.findings > 0, open, settings.strict) {
            (true, ..) | (false, true, true) => Answer::Fail,
            (false, true, false) => Answer::Undecided,
            (false, false, _) => Answer::Pass,
        };
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Options, scan};

    fn settings(fail_on: Severity, strict: bool) -> Settings {
        Settings {
            fail_on,
            strict,
            osv: None,
            internal_names: None,
            baseline: None,
        }
    }

    fn report(bytes: &[u8], settings: Settings) -> Report {
        let file = scan("f", &bytes.to_vec(), &Options::default());
        Report::new(settings, vec![file.into()], Vec::new())
    }

    #[test]
    fn an_answer_is_yes_only_if_all_was_looked_at() {
        let bad = b"cos\nsystem\n(S'id'\ntR.";
        let odd = b"cacme\nthing\n(S'id'\ntR.";
        let fine = b"N.";
        let high = Severity::High;
        let answer = |bytes: &[u8], strict| report(bytes, settings(high, strict)).summary.answer;
        assert_eq!(answer(bad, false), Answer::Fail);
        assert_eq!(answer(odd, false), Answer::Pass);
        assert_eq!(answer(odd, true), Answer::Fail);
        assert_eq!(answer(fine, true), Answer::Pass);
        assert_eq!(
            answer(b"\xc1\x03\x81\x02\x00\x93", false),
            Answer::Undecided
        );
        assert_eq!(answer(b"\xc1\x03\x81\x02\x00\x93", true), Answer::Fail);
        for (strict, expected) in [(false, Answer::Undecided), (true, Answer::Fail)] {
            let nothing = Report::new(settings(high, strict), Vec::new(), Vec::new());
            assert_eq!(nothing.summary.answer, expected);
        }
        let all = report(odd, settings(Severity::Medium, false));
        assert_eq!(all.summary.answer, Answer::Fail);
        assert_eq!(all.files[0].state, State::Findings);
    }

    #[test]
    fn a_report_reads_back() {
        let report = report(b"cos\nsystem\n(S'id'\ntR.", settings(Severity::High, false));
        let json = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
    }
}
