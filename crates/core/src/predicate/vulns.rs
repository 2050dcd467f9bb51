//! in-toto vulnerabilities v0.2: what a scanner found.
//!
//! Spec: in-toto/attestation, `spec/predicates/vulns_02.md`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Predicate;
use super::check::{Check, Fault, Problem};
use crate::clock::Timestamp;

/// A vulnerability report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Vulnerabilities {
    /// The scanner and what it found.
    pub scanner: Scanner,
    /// When it ran.
    pub metadata: ScanMetadata,
}

/// The scanner and what it found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Scanner {
    /// Where the scanner comes from.
    pub uri: String,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Its database.
    pub db: Database,
    /// What it found; empty if nothing.
    pub result: Vec<Vulnerability>,
}

/// A vulnerability database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Database {
    /// Where it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// When it was last updated.
    pub last_update: Timestamp,
}

/// One vulnerability.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Vulnerability {
    /// Identifier, such as `CVE-2017-5645`.
    pub id: String,
    /// Severity by one or more methods.
    pub severity: Vec<Severity>,
    /// Whatever the scanner adds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub annotations: Vec<Map<String, Value>>,
}

/// Severity by one method.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Severity {
    /// The method, such as `nvd` or `cvss_score`.
    pub method: String,
    /// The score, a text.
    pub score: String,
}

/// When a scan ran.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScanMetadata {
    /// Start.
    pub scan_started_on: Timestamp,
    /// End.
    pub scan_finished_on: Timestamp,
}

impl Predicate for Vulnerabilities {
    const TYPE: &'static str = "https://in-toto.io/attestation/vulns/v0.2";

    fn faults(&self) -> Vec<Fault> {
        let mut check = Check::new();
        check.text("scanner.uri", &self.scanner.uri);
        for (index, found) in self.scanner.result.iter().enumerate() {
            check.text(format!("scanner.result[{index}].id"), &found.id);
            let path = format!("scanner.result[{index}].severity");
            check.fail_if(found.severity.is_empty(), path, Problem::Empty);
        }
        let ScanMetadata {
            scan_started_on,
            scan_finished_on,
        } = self.metadata;
        let reversed = scan_finished_on < scan_started_on;
        check.fail_if(reversed, "metadata.scanFinishedOn", Problem::Reversed);
        check.done()
    }
}

#[cfg(test)]
impl Vulnerabilities {
    pub(crate) fn example() -> Self {
        Self {
            scanner: Scanner {
                uri: "pkg:github/aquasecurity/trivy".into(),
                version: Some("0.19.2".into()),
                db: Database {
                    uri: Some("pkg:github/aquasecurity/trivy-db".into()),
                    version: Some("v1".into()),
                    last_update: Timestamp::from_seconds(1),
                },
                result: vec![Vulnerability {
                    id: "CVE-2017-5645".into(),
                    severity: vec![Severity {
                        method: "nvd".into(),
                        score: "medium".into(),
                    }],
                    annotations: vec![Map::from_iter([("package".into(), Value::from("log4j"))])],
                }],
            },
            metadata: ScanMetadata {
                scan_started_on: Timestamp::from_seconds(2),
                scan_finished_on: Timestamp::from_seconds(3),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_example_of_the_specification() {
        let text = br#"{"scanner":{"uri":"pkg:github/aquasecurity/trivy@244fd47e07d1004f0aed9",
            "version":"0.19.2","db":{"uri":"pkg:github/aquasecurity/trivy-db/commit/4c76bb",
            "version":"v1-2021080612","lastUpdate":"2021-08-06T17:45:50.52Z"},
            "result":[{"id":"CVE-123","severity":[{"method":"nvd","score":"medium"},
            {"method":"cvss_score","score":"5.2"}]}]},
            "metadata":{"scanStartedOn":"2021-08-06T17:45:50.52Z",
            "scanFinishedOn":"2021-08-06T17:50:50.52Z"}}"#;
        let report: Vulnerabilities = super::super::parse(text).unwrap();
        assert_eq!(report.scanner.result[0].severity[1].score, "5.2");
        let text = String::from_utf8_lossy(text).replace("17:50:50", "17:40:50");
        assert!(super::super::parse::<Vulnerabilities>(text.as_bytes()).is_err());
    }
}
