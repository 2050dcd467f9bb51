//! What was scanned, as a signed and logged statement.
//!
//! Subjects are the digests that the scan itself computed: nothing is read again. A folder is a
//! subject of its own if all of its files were read and none is a link, so that a policy finds what
//! is said of the folder.

use std::path::Path;

use custos_core::clock::Timestamp;
use custos_core::digest::{Algorithm, DigestSet};
use custos_core::oms::{Exclusions, ManifestBuilder, Method, Serialization};
use custos_core::predicate::scan as said;
use custos_core::predicate::vulns::{self, Vulnerabilities, Vulnerability};
use custos_core::predicate::{self, Predicate};
use custos_core::statement::{Statement, Subject};
use custos_scan::State;
use custos_scan::document::{Answer, FileResult, Listed, Report};
use custos_scan::sarif::Run;
use custos_scan::standing::Standing;

use super::inputs::Input;
use crate::artifacts;
use crate::context::Context;
use crate::files::write_atomic;
use crate::recording::{Recorded, Recording};
use crate::report::Failure;
use crate::term::Role;

/// Most files that are subjects one by one; the folder stands for more.
const MAX_SUBJECTS: usize = 10_000;
/// Most findings, and most gaps, of one file that are written out.
const MAX_PER_FILE: usize = 1000;
/// Who Custos says it is in a vulnerability report.
const SCANNER: &str = "urn:custos:scanner:cli:v1";
/// Rules about packages that an advisory names.
const KNOWN_BAD: [&str; 2] = ["supply/known-vulnerability", "supply/malicious-package"];
/// The signature of a folder, which is no part of it.
const SIGNATURE: &str = "model.sig";

/// What a statement is made of.
pub struct Scanned<'a> {
    /// What was named.
    pub inputs: &'a [Input<'a>],
    /// What came of it.
    pub report: &'a Report,
    /// When.
    pub run: &'a Run,
}

/// Signs and logs the statement.
pub fn record(
    scanned: &Scanned<'_>,
    recording: &Recording<'_>,
    (bundle, context): (Option<&Path>, &Context),
) -> Result<Recorded, Failure> {
    let subjects = scanned.subjects(context);
    if subjects.is_empty() {
        return Err(Failure::undecided("E1008", "the scan cannot be stated")
            .because("nothing was read as a whole, so there is no digest to speak of"));
    }
    let mut statements = Vec::new();
    if let Some(known) = scanned.vulnerabilities() {
        statements.push(statement(subjects.clone(), &known)?);
    }
    statements.push(statement(subjects, &scanned.predicate())?);
    let recorded = recording.many(&statements)?.pop();
    let recorded = recorded.ok_or_else(|| Failure::internal("a statement was lost on the way"))?;
    if let Some(file) = bundle {
        let file = context.resolve(file);
        write_atomic(&file, &recorded.bytes)?;
        recording.note_file(&recorded, &file)?;
    }
    Ok(recorded)
}

fn statement<P: Predicate>(subjects: Vec<Subject>, said: &P) -> Result<Statement, Failure> {
    predicate::write(subjects, said).map_err(|error| {
        Failure::undecided("E1008", "the scan cannot be stated").because(error.to_string())
    })
}

/// Returns what is said of the statement.
pub fn line(recorded: &Recorded, context: &Context) -> String {
    let digest = context
        .term
        .paint(Role::Literal, &recorded.digest.to_string());
    format!("statement {digest}  {}\n", recorded.place())
}

impl Scanned<'_> {
    // Each input with the files that came of it.
    fn parts(&self) -> impl Iterator<Item = (&Input<'_>, &[FileResult])> {
        let mut rest = self.report.files.as_slice();
        self.inputs.iter().map(move |input| {
            let count = input.source().items().len().min(rest.len());
            let (own, others) = rest.split_at(count);
            rest = others;
            (input, own)
        })
    }

    fn subjects(&self, context: &Context) -> Vec<Subject> {
        let mut subjects = Vec::new();
        let many = self.report.files.len() > MAX_SUBJECTS;
        for (input, files) in self.parts() {
            let folder = folder(input, files, context);
            // The folder stands for its files where there are too many of them.
            if folder.is_none() || !many {
                let named = files.iter().enumerate().filter_map(|(at, file)| {
                    Some(Subject::new(name(input, at, file), file.digest?))
                });
                subjects.extend(named);
            }
            subjects.extend(folder);
        }
        subjects
    }

    // The same for readers of in-toto's own type, where a database was given.
    fn vulnerabilities(&self) -> Option<Vulnerabilities> {
        let osv = self.report.settings.osv.as_ref()?;
        let files = self.report.files.iter();
        let result = files
            .flat_map(|file| &file.findings)
            .filter(|one| KNOWN_BAD.contains(&one.finding.rule.as_str()))
            .map(vulnerability);
        Some(Vulnerabilities {
            scanner: vulns::Scanner {
                uri: SCANNER.to_owned(),
                version: Some(self.report.engine.version.clone()),
                db: vulns::Database {
                    uri: None,
                    version: Some(osv.digest.to_string()),
                    last_update: osv.newest.parse().unwrap_or(Timestamp::from_seconds(0)),
                },
                result: result.collect(),
            },
            metadata: vulns::ScanMetadata {
                scan_started_on: self.run.started,
                scan_finished_on: self.run.finished,
            },
        })
    }

    fn predicate(&self) -> said::Scan {
        let report = self.report;
        let sum = &report.summary;
        let mut states = std::collections::BTreeMap::new();
        for (state, number) in [
            (said::State::Clean, sum.clean),
            (said::State::Findings, sum.findings),
            (said::State::Incomplete, sum.incomplete),
            (said::State::Error, sum.errors),
        ] {
            if number > 0 {
                states.insert(state, number);
            }
        }
        let files = self.parts().flat_map(|(input, files)| {
            let files = files.iter().enumerate();
            files.map(move |(at, result)| file(name(input, at, result), result))
        });
        let until = report.settings.osv.as_ref().map(|osv| osv.newest.clone());
        said::Scan {
            scanner: said::Scanner {
                name: report.engine.name.clone(),
                version: report.engine.version.clone(),
                rules: DigestSet::from(report.engine.rules),
            },
            settings: said::Settings {
                fail_on: report.settings.fail_on,
                strict: report.settings.strict,
                baseline: report.settings.baseline.map(DigestSet::from),
                vulnerabilities_until: until,
            },
            summary: said::Summary {
                answer: match sum.answer {
                    Answer::Pass => said::Answer::Pass,
                    Answer::Fail => said::Answer::Fail,
                    Answer::Undecided => said::Answer::Undecided,
                },
                states,
                findings: sum.new.clone(),
                suppressed: sum.suppressed,
                known: sum.known,
                coverage: coverage(&sum.coverage),
            },
            files: files.collect(),
            metadata: said::ScanMetadata {
                started_on: self.run.started,
                finished_on: self.run.finished,
            },
        }
    }
}

// An advisory stands in brackets behind the package: `pkg:pypi/x@1 (GHSA-...; ...)`.
fn vulnerability(one: &Listed) -> Vulnerability {
    let finding = &one.finding;
    let evidence = finding.evidence.as_deref().unwrap_or_default();
    let (package, rest) = evidence.split_once(" (").unwrap_or((evidence, ""));
    let advisory = rest.split([';', ')']).next().unwrap_or_default();
    let id = finding.cves.first().map_or(advisory, String::as_str);
    let id = if id.is_empty() {
        finding.rule.as_str()
    } else {
        id
    };
    let note = |name: &str, value: &str| (name.to_owned(), value.into());
    let notes = [
        note("package", package),
        note("advisory", advisory),
        note("place", &finding.location.path),
    ];
    Vulnerability {
        id: id.to_owned(),
        severity: vec![vulns::Severity {
            method: "custos".to_owned(),
            score: finding.severity.name().to_owned(),
        }],
        annotations: vec![notes.into_iter().collect()],
    }
}

// Names in statements are relative: where a model lay when it was scanned is nobody's business.
fn name(input: &Input<'_>, at: usize, file: &FileResult) -> String {
    match input {
        Input::Tree { tree, .. } => tree
            .below(at)
            .map_or_else(|| file.path.clone(), str::to_owned),
        Input::Bucket(bucket) => bucket
            .below(at)
            .map_or_else(|| file.path.clone(), str::to_owned),
        _ => file.path.clone(),
    }
}

// The folder as an artifact, by the digests that the scan computed.
fn folder(input: &Input<'_>, files: &[FileResult], context: &Context) -> Option<Subject> {
    let called = match input {
        Input::Tree { named, tree } if !tree.is_single() && tree.is_whole() => {
            artifacts::name_of(&context.resolve(Path::new(named)))
        }
        Input::Bucket(bucket) => bucket.folder()?.to_owned(),
        _ => return None,
    };
    let exclusions = Exclusions::standard();
    let serialization = Serialization::new(Method::Files, Algorithm::Sha256).ok()?;
    let mut manifest = ManifestBuilder::new(serialization);
    for (at, file) in files.iter().enumerate() {
        let path = match input {
            Input::Tree { tree, .. } => tree.below(at)?,
            Input::Bucket(bucket) => bucket.below(at)?,
            _ => return None,
        };
        if path == SIGNATURE || exclusions.covers(path) {
            continue;
        }
        manifest.push_file(path, &file.digest?).ok()?;
    }
    let digest = manifest.finish().ok()?.digest_set();
    Some(Subject::new(called, digest))
}

fn coverage(found: &custos_scan::Coverage) -> said::Coverage {
    said::Coverage {
        parsed: found.parsed,
        opaque: found.opaque,
        unknown: found.unknown,
    }
}

fn file(name: String, file: &FileResult) -> said::ScannedFile {
    let own = file.formats.iter().filter(|one| one.path == file.path);
    let gaps = file
        .gaps
        .iter()
        .map(|gap| match gap.path.strip_prefix(&file.path) {
            None | Some("") => gap.reason.clone(),
            Some(inner) => format!("{}: {}", inner.trim_start_matches('!'), gap.reason),
        });
    let findings = file.findings.iter().take(MAX_PER_FILE);
    said::ScannedFile {
        digest: file.digest.map(DigestSet::from).unwrap_or_default(),
        size: file.size,
        state: match file.state {
            State::Clean => said::State::Clean,
            State::Findings => said::State::Findings,
            State::Incomplete => said::State::Incomplete,
            State::Error => said::State::Error,
        },
        formats: own.map(|one| one.format.clone()).collect(),
        coverage: coverage(&file.coverage),
        gaps: gaps.chain(file.error.clone()).take(MAX_PER_FILE).collect(),
        findings: findings
            .map(|one| finding((&file.path, &name), one))
            .collect(),
        name,
    }
}

fn finding((path, name): (&str, &str), one: &Listed) -> said::ScanFinding {
    let mut finding = one.finding.clone();
    if let Some(inner) = finding.location.path.strip_prefix(path) {
        finding.location.path = format!("{name}{inner}");
    }
    let used = one.suppressed_by.as_ref();
    said::ScanFinding {
        finding,
        fingerprint: one.fingerprint.clone(),
        standing: match one.standing {
            Standing::New => said::Standing::New,
            Standing::Known => said::Standing::Known,
            Standing::Suppressed => said::Standing::Suppressed,
        },
        owner: used.map(|used| used.owner.clone()),
        reason: used.map(|used| used.reason.clone()),
        expires: used.map(|used| used.expires),
    }
}
