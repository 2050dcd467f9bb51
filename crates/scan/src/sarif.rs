//! A report as SARIF 2.1.0, for code hosts and editors
//! (<https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html>).
//!
//! Findings in files that are not text have a byte offset and stand on line 1, as some readers ask
//! for a line. The fingerprint is `custosFinding/v1`, see [`crate::standing`].

use std::collections::BTreeSet;

use custos_core::clock::Timestamp;
use custos_core::finding::{Confidence, Finding, Severity};
use serde_json::{Map, Value, json};

use crate::document::{Answer, FileResult, Listed, Report};
use crate::report::State;
use crate::rules::{self, Rule};
use crate::standing::Standing;

/// When a scan ran, and how it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "an argument list with names")]
pub struct Run {
    /// Start.
    pub started: Timestamp,
    /// End.
    pub finished: Timestamp,
    /// Exit status of the process.
    pub exit: u8,
}

/// Returns the report as a SARIF log.
pub fn write(report: &Report, run: &Run) -> Value {
    let used: BTreeSet<&str> = report
        .files
        .iter()
        .flat_map(|file| &file.findings)
        .map(|one| one.finding.rule.as_str())
        .collect();
    let rules: Vec<&Rule> = rules::all().filter(|rule| used.contains(rule.id)).collect();
    let index = |id: &str| rules.iter().position(|rule| rule.id == id);
    let results: Vec<Value> = report
        .files
        .iter()
        .enumerate()
        .flat_map(|(at, file)| file.findings.iter().map(move |one| (at, file, one)))
        .map(|(at, file, one)| result(report, (at, file), (one, index(&one.finding.rule))))
        .collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "Custos",
                "semanticVersion": report.engine.version,
                "rules": rules.iter().map(|rule| descriptor(rule)).collect::<Vec<_>>(),
                "notifications": [
                    notification(
                        ("scan/incomplete", "Part of a file was not understood"),
                        "What lies there was not looked at, so that nothing is known about it.",
                        "Read the reason, and keep the file from those who load it until it is clear.",
                    ),
                    notification(
                        ("scan/error", "A file could not be read"),
                        "Nothing is known about the file.",
                        "Read the reason, and scan it again.",
                    ),
                ],
            }},
            "automationDetails": { "id": "custos/scan/" },
            "invocations": [invocation(report, run)],
            "artifacts": report.files.iter().map(artifact).collect::<Vec<_>>(),
            "results": results,
            "properties": {
                "ruleSet": report.engine.rules,
                "answer": report.summary.answer,
                "failOn": report.settings.fail_on,
                "coverage": report.summary.coverage,
            },
        }],
    })
}

// Code hosts ask of these what they ask of rules.
fn notification((id, title): (&str, &str), what: &str, advice: &str) -> Value {
    json!({
        "id": id,
        "name": name(id),
        "shortDescription": { "text": title },
        "fullDescription": { "text": what },
        "help": { "text": format!("{what} {advice}") },
    })
}

fn descriptor(rule: &Rule) -> Value {
    let mut tags: Vec<String> = vec!["security".to_owned()];
    tags.extend(
        rule.cwe
            .iter()
            .map(|number| format!("external/cwe/cwe-{number:03}")),
    );
    tags.extend(rule.tags.iter().map(|tag| (*tag).to_owned()));
    json!({
        "id": rule.id,
        "name": name(rule.id),
        "shortDescription": { "text": rule.title },
        "fullDescription": { "text": rule.what },
        "help": {
            "text": format!("{}\n\n{}", rule.what, rule.advice),
            "markdown": format!("{}\n\n**What to do:** {}", rule.what, rule.advice),
        },
        "defaultConfiguration": { "level": level(rule.severity) },
        "properties": {
            "tags": tags,
            "precision": "high",
            "problem.severity": level(rule.severity),
            "security-severity": score(rule.severity),
        },
    })
}

// `pickle/dangerous-call` is `PickleDangerousCall`.
fn name(id: &str) -> String {
    id.split(['/', '-'])
        .map(|word| {
            let mut letters = word.chars();
            let first = letters.next().map(|c| c.to_ascii_uppercase());
            first.into_iter().chain(letters).collect::<String>()
        })
        .collect()
}

const fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical | Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low | Severity::Info => "note",
    }
}

// Code hosts sort by this number: above 9 is critical, above 7 high, above 4 medium.
const fn score(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "9.5",
        Severity::High => "8.0",
        Severity::Medium => "5.5",
        Severity::Low => "2.5",
        Severity::Info => "0.5",
    }
}

fn result(
    report: &Report,
    (at, file): (usize, &FileResult),
    (one, rule): (&Listed, Option<usize>),
) -> Value {
    let finding = &one.finding;
    let message = match &finding.evidence {
        Some(evidence) => format!("{}: {evidence}", finding.message),
        None => finding.message.clone(),
    };
    let mut result = json!({
        "ruleId": finding.rule,
        "level": level(finding.severity),
        "kind": "fail",
        "message": { "text": message },
        "locations": [location(at, file, finding)],
        "partialFingerprints": { "custosFinding/v1": one.fingerprint },
        "properties": properties(file, finding),
    });
    let fields = result.as_object_mut();
    let Some(fields) = fields else { return result };
    if let Some(rule) = rule {
        fields.insert("ruleIndex".to_owned(), json!(rule));
    }
    if report.settings.baseline.is_some() {
        let state = if one.standing == Standing::Known {
            "unchanged"
        } else {
            "new"
        };
        fields.insert("baselineState".to_owned(), json!(state));
    }
    // An empty list says that somebody looked, and that there is none.
    let suppressions: Vec<Value> = one
        .suppressed_by
        .iter()
        .map(|used| {
            json!({
                "kind": "external",
                "status": "accepted",
                "justification": format!("{} ({}, until {})", used.reason, used.owner, used.expires),
            })
        })
        .collect();
    fields.insert("suppressions".to_owned(), json!(suppressions));
    result
}

fn location(at: usize, file: &FileResult, finding: &Finding) -> Value {
    let place = &finding.location;
    let inner = place.path.strip_prefix(&file.path).unwrap_or(&place.path);
    let mut region = Map::new();
    region.insert(
        "startLine".to_owned(),
        json!(place.line.unwrap_or(1).max(1)),
    );
    // Offsets in what lies in a file are none in the file.
    if let (Some(offset), true) = (place.offset, inner.is_empty()) {
        region.insert("byteOffset".to_owned(), json!(offset));
    }
    let mut location = json!({
        "physicalLocation": {
            "artifactLocation": { "uri": uri(&file.path), "index": at },
            "region": region,
        },
    });
    if let (Some(fields), false) = (location.as_object_mut(), inner.is_empty()) {
        let name = json!([{ "fullyQualifiedName": place.path, "kind": "member" }]);
        fields.insert("logicalLocations".to_owned(), name);
    }
    location
}

fn properties(file: &FileResult, finding: &Finding) -> Value {
    let rule = rules::find(&finding.rule);
    let precision = match finding.confidence {
        Confidence::High => "high",
        Confidence::Medium => "medium",
        Confidence::Low => "low",
    };
    json!({
        "severity": finding.severity,
        "security-severity": score(finding.severity),
        "precision": precision,
        "cves": finding.cves,
        "tags": rule.map(|rule| rule.tags).unwrap_or_default(),
        "evidence": finding.evidence,
        "offset": finding.location.offset,
        "pointer": finding.location.pointer,
        "sha256": file.digest.map(|digest| digest.to_hex()),
        "advice": rule.map(|rule| rule.advice),
    })
}

fn artifact(file: &FileResult) -> Value {
    let mut hashes = Map::new();
    if let Some(digest) = file.digest {
        hashes.insert("sha-256".to_owned(), json!(digest.to_hex()));
    }
    let formats: BTreeSet<&str> = file.formats.iter().map(|one| one.format.as_str()).collect();
    json!({
        "location": { "uri": uri(&file.path) },
        "length": file.size,
        "roles": ["analysisTarget"],
        "hashes": hashes,
        "properties": { "state": file.state, "coverage": file.coverage, "formats": formats },
    })
}

fn invocation(report: &Report, run: &Run) -> Value {
    let gaps = report.files.iter().enumerate().flat_map(|(at, file)| {
        let gaps = file
            .gaps
            .iter()
            .map(|gap| (gap.path.as_str(), gap.reason.as_str(), false));
        let error = file
            .error
            .iter()
            .map(|why| (file.path.as_str(), why.as_str(), true));
        gaps.chain(error).map(move |(path, why, failed)| {
            json!({
                "level": if failed { "error" } else { "warning" },
                "descriptor": { "id": if failed { "scan/error" } else { "scan/incomplete" } },
                "message": { "text": format!("{path}: {why}") },
                "locations": [{ "physicalLocation": {
                    "artifactLocation": { "uri": uri(&file.path), "index": at },
                }}],
            })
        })
    });
    let told: Vec<Value> = gaps.collect();
    json!({
        "executionSuccessful": report.summary.answer != Answer::Undecided
            && !report.files.iter().any(|file| file.state == State::Error),
        "exitCode": run.exit,
        "startTimeUtc": run.started.to_string(),
        "endTimeUtc": run.finished.to_string(),
        "toolExecutionNotifications": told,
    })
}

/// Returns a path as a URI reference (RFC 3986): what is no letter of URIs is escaped.
pub(crate) fn uri(path: &str) -> String {
    use std::fmt::Write as _;
    let scheme = path.split_once("://").is_some_and(|(scheme, _)| {
        !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric())
    });
    let mut uri = if path.starts_with('/') {
        "file://".to_owned()
    } else {
        String::new()
    };
    for byte in path.strip_prefix("./").unwrap_or(path).bytes() {
        let plain = byte.is_ascii_alphanumeric()
            || b"/-._~!$&'()*+,;=@".contains(&byte)
            // A colon in the first part of a relative path would be a scheme.
            || byte == b':' && scheme;
        if plain {
            uri.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Settings;
    use crate::{Options, scan};

    fn report() -> Report {
        let files = [
            ("dir/a b.pkl", b"cos\nsystem\n(S'id'\ntR.".as_slice()),
            ("odd", b"\xc1\x03\x81\x02\x00\x93"),
        ];
        let files = files.map(|(path, bytes)| {
            FileResult::from(scan(path, &bytes.to_vec(), &Options::default()))
        });
        let settings = Settings {
            fail_on: Severity::High,
            strict: false,
            osv: None,
            internal_names: None,
            baseline: None,
        };
        Report::new(settings, files.to_vec(), Vec::new())
    }

    #[test]
    fn a_log_has_rules_results_artifacts_and_gaps() {
        let run = Run {
            started: Timestamp::from_seconds(1),
            finished: Timestamp::from_seconds(2),
            exit: 1,
        };
        let log = write(&report(), &run);
        let run = &log["runs"][0];
        let result = &run["results"][0];
        assert_eq!(result["ruleId"], "pickle/dangerous-call");
        assert_eq!(result["level"], "error");
        let rule = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        let rule = &run["tool"]["driver"]["rules"][rule];
        assert_eq!(rule["id"], "pickle/dangerous-call");
        assert_eq!(rule["name"], "PickleDangerousCall");
        assert_eq!(rule["properties"]["security-severity"], "9.5");
        let physical = &result["locations"][0]["physicalLocation"];
        assert_eq!(physical["artifactLocation"]["uri"], "dir/a%20b.pkl");
        assert_eq!(physical["region"]["startLine"], 1);
        assert_eq!(result["suppressions"], json!([]));
        assert_eq!(
            run["artifacts"][0]["hashes"]["sha-256"]
                .as_str()
                .unwrap()
                .len(),
            64
        );
        assert_eq!(run["invocations"][0]["exitCode"], 1);
        let told = &run["invocations"][0]["toolExecutionNotifications"][0];
        assert_eq!(told["descriptor"]["id"], "scan/incomplete");
    }

    #[test]
    fn paths_become_uris() {
        for (path, expected) in [
            ("a/b.pkl", "a/b.pkl"),
            ("./a", "a"),
            ("/a b", "file:///a%20b"),
            ("c:d", "c%3Ad"),
            ("ü?#", "%C3%BC%3F%23"),
            ("oci://h/n@sha256:1", "oci://h/n@sha256:1"),
        ] {
            assert_eq!(uri(path), expected);
        }
    }
}
