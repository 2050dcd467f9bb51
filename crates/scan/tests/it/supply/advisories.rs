//! Known vulnerabilities: databases made here, in the schema of OSV.

use std::io::Write as _;

use custos_core::finding::Severity;
use custos_scan::{Advisories, AdvisoryError, Knowledge};
use serde_json::{Value, json};

use super::lists::{found, look};
use crate::archive::{Member, archive};

fn advisory(id: &str, package: (&str, &str), affected: &Value) -> Value {
    let mut one = json!({"package": {"ecosystem": package.0, "name": package.1}});
    for (key, value) in affected.as_object().unwrap() {
        one[key] = value.clone();
    }
    json!({
        "schema_version": "1.7.0",
        "id": id,
        "modified": "2026-10-01T00:00:00Z",
        "summary": "Something bad",
        "affected": [one],
    })
}

fn range(kind: &str, events: &Value) -> Value {
    json!({"ranges": [{"type": kind, "events": events}]})
}

fn knowledge(documents: &[Value]) -> Knowledge {
    let mut builder = Advisories::builder();
    for document in documents {
        builder.add(document.to_string().as_bytes()).unwrap();
    }
    let mut knowledge = Knowledge::default();
    knowledge.advisories = Some(builder.finish());
    knowledge
}

fn affected(knowledge: &Knowledge, name: &str, text: &str) -> Vec<(String, Severity)> {
    let report = look(name, text, Some(knowledge));
    let rules = ["supply/known-vulnerability", "supply/malicious-package"];
    let all = found(&report);
    let mine = all.iter().filter(|one| rules.contains(&one.0));
    mine.map(|one| (one.0.to_owned(), one.1)).collect()
}

#[test]
fn ranges_of_python_follow_pep_440() {
    let events = json!([{"introduced": "0"}, {"fixed": "1.10.0"}, {"introduced": "2.0rc1"}, {"last_affected": "2.1"}]);
    let known = knowledge(&[advisory(
        "PYSEC-1",
        ("PyPI", "Some.Name"),
        &range("ECOSYSTEM", &events),
    )]);
    let is_affected = |version: &str| {
        let text = format!("some_name=={version}\n");
        !affected(&known, "requirements.txt", &text).is_empty()
    };
    for version in [
        "0.1",
        "1.9.9",
        "1.10.0rc1",
        "2.0rc1",
        "2.0",
        "2.1.0",
        "2.1+cu118",
    ] {
        assert!(is_affected(version), "{version}");
    }
    for version in ["1.10.0", "1.10", "2.0b1", "2.1.post1", "2.2", "1!0.1"] {
        assert!(!is_affected(version), "{version}");
    }
    let report = look("requirements.txt", "some-name==1.2\n", Some(&known));
    let finding = report
        .findings
        .iter()
        .find(|one| one.rule == "supply/known-vulnerability")
        .unwrap();
    let evidence =
        "pkg:pypi/some-name@1.2 (PYSEC-1; fixed in 1.10.0; database of 2026-10-01T00:00:00Z)";
    assert_eq!(finding.evidence.as_deref(), Some(evidence));
}

#[test]
fn ranges_of_npm_rust_and_go_follow_semver() {
    let events = json!([{"introduced": "1.0.0"}, {"fixed": "1.2.3"}]);
    let known = knowledge(&[
        advisory("GHSA-1", ("npm", "left"), &range("SEMVER", &events)),
        advisory(
            "RUSTSEC-1",
            ("crates.io", "right"),
            &range("SEMVER", &events),
        ),
        advisory("GO-1", ("Go", "example.org/up"), &range("SEMVER", &events)),
        advisory("X-1", ("Packagist", "down"), &range("ECOSYSTEM", &events)),
    ]);
    for (version, hit) in [
        ("1.2.3-rc.1", true),
        ("1.2.2", true),
        ("1.2.3", false),
        ("0.9.0", false),
    ] {
        let npm =
            json!({"lockfileVersion": 3, "packages": {"node_modules/left": {"version": version}}});
        assert_eq!(
            !affected(&known, "x", &npm.to_string()).is_empty(),
            hit,
            "{version}"
        );
        let cargo = format!(
            "version = 4\n\n[[package]]\nname = \"right\"\nversion = \"{version}\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\n"
        );
        assert_eq!(
            !affected(&known, "Cargo.lock", &cargo).is_empty(),
            hit,
            "{version}"
        );
        let go = format!("example.org/up v{version} h1:abc=\n");
        assert_eq!(
            !affected(&known, "go.sum", &go).is_empty(),
            hit,
            "{version}"
        );
    }
    assert_eq!(known.snapshot().unwrap().advisories, 3);
}

#[test]
fn listed_versions_count_and_withdrawn_advisories_do_not() {
    let mut withdrawn = advisory("A-2", ("PyPI", "b"), &json!({"versions": ["1.0"]}));
    withdrawn["withdrawn"] = json!("2026-09-01T00:00:00Z");
    let listed = advisory(
        "A-1",
        ("PyPI", "a"),
        &json!({"versions": ["1.0", "1.5"], "ranges": [{"type": "GIT", "events": [{"introduced": "0"}]}]}),
    );
    let known = knowledge(&[listed, withdrawn]);
    assert_eq!(affected(&known, "requirements.txt", "a==1.0.0\n").len(), 1);
    assert_eq!(affected(&known, "requirements.txt", "a==1.2\n"), []);
    assert_eq!(affected(&known, "requirements.txt", "b==1.0\n"), []);
}

#[test]
fn one_weakness_under_several_names_is_told_once_with_its_cve() {
    let events = json!([{"introduced": "0"}, {"fixed": "2"}]);
    let mut first = advisory("GHSA-1", ("PyPI", "a"), &range("ECOSYSTEM", &events));
    first["aliases"] = json!(["CVE-2026-1", "PYSEC-1"]);
    first["database_specific"] = json!({"severity": "HIGH"});
    let mut second = advisory("PYSEC-1", ("PyPI", "a"), &range("ECOSYSTEM", &events));
    second["aliases"] = json!(["CVE-2026-1"]);
    second["severity"] =
        json!([{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}]);
    let known = knowledge(&[first, second]);
    let report = look("requirements.txt", "a==1\n", Some(&known));
    let hits: Vec<_> = report
        .findings
        .iter()
        .filter(|one| one.rule == "supply/known-vulnerability")
        .collect();
    assert_eq!(hits.len(), 1);
    assert_eq!(hits[0].severity, Severity::Critical);
    assert_eq!(hits[0].cves, ["CVE-2026-1"]);
    assert!(
        hits[0].message.contains("GHSA-1, PYSEC-1"),
        "{}",
        hits[0].message
    );
}

#[test]
fn malicious_packages_are_found_without_a_version_too() {
    let events = json!([{"introduced": "0"}]);
    let known = knowledge(&[advisory(
        "MAL-2026-1",
        ("PyPI", "evil"),
        &range("ECOSYSTEM", &events),
    )]);
    let expected = [("supply/malicious-package".to_owned(), Severity::Critical)];
    assert_eq!(affected(&known, "requirements.txt", "evil>=1\n"), expected);
    assert_eq!(
        affected(&known, "requirements.txt", "evil==3.1\n"),
        expected
    );
    let metadata = "Metadata-Version: 2.1\nName: x\nRequires-Dist: evil; extra == 'a'\n";
    assert_eq!(affected(&known, "METADATA", metadata), expected);
}

#[test]
fn yanked_versions_are_found() {
    let mut known = Knowledge::default();
    known.yanked.insert("pkg:pypi/a@1.0".to_owned());
    let report = look("requirements.txt", "A==1.0\nb==1.0\n", Some(&known));
    assert_eq!(found(&report)[0], ("supply/yanked", Severity::Medium));
}

#[test]
fn an_archive_is_the_same_database_as_its_documents() {
    let events = json!([{"introduced": "0"}]);
    let documents: Vec<Value> = (0..200)
        .map(|number| {
            advisory(
                &format!("A-{number}"),
                ("PyPI", &format!("p{number}")),
                &range("ECOSYSTEM", &events),
            )
        })
        .collect();
    let one_by_one = knowledge(&documents);
    let members: Vec<Member> = documents
        .iter()
        .map(|document| {
            Member::new(
                &format!("{}.json", document["id"].as_str().unwrap()),
                document.to_string().as_bytes(),
            )
        })
        .collect();
    let zip = archive(&members);
    let mut builder = Advisories::builder();
    builder.add_zip(&zip).unwrap();
    let advisories = builder.finish();
    assert_eq!(Some(advisories.snapshot()), one_by_one.snapshot());
    assert_eq!(advisories.snapshot().newest, "2026-10-01T00:00:00Z");
    for cut in [0, 10, zip.len() / 2, zip.len() - 1] {
        let mut builder = Advisories::builder();
        assert!(builder.add_zip(&zip[..cut].to_vec()).is_err(), "{cut}");
    }
}

#[test]
fn a_document_that_is_none_is_counted() {
    let mut builder = Advisories::builder();
    let error = builder.add(b"{\"summary\": 1}").unwrap_err();
    assert!(matches!(error, AdvisoryError::Document(_)));
    let snapshot = builder.finish().snapshot().clone();
    assert_eq!((snapshot.unreadable, snapshot.advisories), (1, 0));
}

#[test]
fn the_order_of_documents_is_none_of_a_report() {
    let events = range("ECOSYSTEM", &json!([{"introduced": "0"}]));
    let mut documents = ["PYSEC-3", "PYSEC-1", "PYSEC-2"]
        .map(|id| advisory(id, ("PyPI", "acme"), &events))
        .to_vec();
    let messages = |documents: &[Value]| -> Vec<String> {
        let report = look(
            "requirements.txt",
            "acme==1.0\n",
            Some(&knowledge(documents)),
        );
        let findings = report.findings.into_iter();
        findings.map(|one| one.message).collect()
    };
    let one = messages(&documents);
    assert!(one[0].contains("PYSEC-1"), "{one:?}");
    documents.reverse();
    assert_eq!(messages(&documents), one);
}

#[test]
fn a_document_that_cannot_be_unpacked_is_an_error() {
    let document = advisory("PYSEC-1", ("PyPI", "acme"), &range("ECOSYSTEM", &json!([])));
    let text = document.to_string().repeat(40);
    let mut packer = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    packer.write_all(text.as_bytes()).unwrap();
    let mut member = Member::new("PYSEC-1.json", &packer.finish().unwrap());
    member.method = 8;
    let mut zip = archive(&[member]);
    let mut builder = Advisories::builder();
    // What is in it is no document, and is counted.
    builder.add_zip(&zip).unwrap();
    assert_eq!(builder.finish().snapshot().unreadable, 1);
    zip[42..60].fill(0xff);
    let error = Advisories::builder().add_zip(&zip).unwrap_err();
    assert!(matches!(error, AdvisoryError::Zip(_)), "{error}");
}
