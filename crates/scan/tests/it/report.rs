//! The report as its page describes it: real output against `scan-report.schema.json`. The checker
//! knows the few keywords that the schema uses, and fails on any other.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;

use custos_core::clock::Timestamp;
use custos_core::digest::{Algorithm, Digest};
use custos_core::finding::Severity;
use custos_scan::document::{FileResult, Report, Settings};
use custos_scan::sources::{Held, Many, Note, Source, Stop, scan_all};
use custos_scan::standing::{Baseline, Suppressions};
use custos_scan::{Limits, NoShelf, Snapshot};
use serde_json::Value;

const BAD: &[u8] = b"cos\nsystem\n(S'id'\ntR.";

fn scanned(files: &[(&str, &[u8])]) -> Vec<FileResult> {
    let files = files
        .iter()
        .map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec()));
    let held = Held::new(files);
    let stops = || -> Stop<'_> { Box::new(|| false) };
    let many = Many {
        jobs: NonZeroUsize::new(3),
        limits: Limits::default(),
        shelf: &NoShelf,
        knowledge: None,
        stops: &stops,
        passed: &|_| {},
    };
    let sources: [&dyn Source; 1] = [&held];
    scan_all(&sources, &many)
        .into_iter()
        .map(FileResult::from)
        .collect()
}

// Every optional member is in one of these.
fn reports() -> Vec<Report> {
    let digest = |bytes: &[u8]| Algorithm::Sha256.digest(bytes);
    let settings = |baseline: Option<Digest>| Settings {
        fail_on: Severity::High,
        strict: true,
        osv: Some(Snapshot {
            digest: digest(b"all"),
            newest: "2026-11-01T00:00:00Z".into(),
            advisories: 3,
            unreadable: 1,
        }),
        internal_names: Some(2),
        baseline,
    };
    let mut files = scanned(&[
        ("bad.pkl", BAD),
        ("odd", b"\xc1\x03\x81\x02\x00\x93"),
        ("e", b""),
    ]);
    let entry = |rule: &str| {
        format!(
            "[[suppress]]\nsha256 = \"{}\"\nrule = \"{rule}\"\nowner = \"a\"\nreason = \"b\"\n\
             expires = 2099-01-01\n",
            digest(BAD).to_hex()
        )
    };
    let text = entry("pickle/dangerous-call") + &entry("no/rule");
    let uses = Suppressions::parse(&text)
        .unwrap()
        .apply(&mut files, Timestamp::from_seconds(1));
    let note = Note {
        path: "pipe".into(),
        reason: "not opened".into(),
    };
    let mut first = Report::new(settings(None), files, vec![note]);
    first.suppressions = uses;
    let before = serde_json::to_vec(&first).unwrap();
    let mut files = scanned(&[("moved.pkl", BAD)]);
    Baseline::parse(&before).unwrap().apply(&mut files);
    files[0].error = Some("gone".into());
    files[0].etag = Some("\"0123\"".into());
    let second = Report::new(settings(Some(digest(&before))), files, Vec::new());
    vec![first, second]
}

#[test]
fn the_report_is_as_its_schema_says() {
    let text = include_str!("../../../../docs/reference/scan-report.schema.json");
    let schema: Value = serde_json::from_str(text).unwrap();
    let mut checker = Checker {
        root: &schema,
        faults: Vec::new(),
        seen: BTreeSet::default(),
    };
    for report in reports() {
        checker.check(&schema, &serde_json::to_value(&report).unwrap(), "");
    }
    assert_eq!(checker.faults, Vec::<String>::new());
    let mut described = BTreeSet::default();
    checker.described(&schema, "", &mut described);
    // What only some findings have.
    let rare = ["/line", "/pointer", "/cves", "/cves[]"];
    let missing: Vec<_> = described
        .difference(&checker.seen)
        .filter(|path| !rare.iter().any(|end| path.ends_with(end)))
        .collect();
    assert_eq!(missing, Vec::<&String>::new(), "not in any report");
    for (pointer, bad) in [
        ("/schema", Value::from("custos.scan/2")),
        ("/files/0/state", Value::from("fine")),
        ("/summary/files", Value::from(-1)),
        ("/extra", Value::from(1)),
    ] {
        let mut report = serde_json::to_value(&reports()[0]).unwrap();
        match report.pointer_mut(pointer) {
            Some(place) => *place = bad,
            None => report[pointer.trim_start_matches('/')] = bad,
        }
        checker.faults.clear();
        checker.check(&schema, &report, "");
        assert!(!checker.faults.is_empty(), "{pointer} is accepted");
    }
}

struct Checker<'a> {
    root: &'a Value,
    faults: Vec<String>,
    seen: BTreeSet<String>,
}

impl<'a> Checker<'a> {
    fn follow(&self, schema: &'a Value) -> &'a Value {
        match schema.get("$ref").and_then(Value::as_str) {
            Some(target) => self.root.pointer(&target[1..]).unwrap(),
            None => schema,
        }
    }

    fn check(&mut self, schema: &'a Value, value: &Value, path: &str) {
        let schema = self.follow(schema);
        self.seen.insert(path.to_owned());
        for (keyword, rule) in schema.as_object().unwrap() {
            let holds = match keyword.as_str() {
                "$schema" | "$id" | "$defs" | "title" | "description" => true,
                "type" => match rule.as_str().unwrap() {
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    "string" => value.is_string(),
                    "boolean" => value.is_boolean(),
                    "integer" => value.is_u64() || value.is_i64(),
                    other => panic!("unknown type {other}"),
                },
                "enum" => rule.as_array().unwrap().contains(value),
                "const" => rule == value,
                "minimum" => value.as_f64().is_none_or(|v| v >= rule.as_f64().unwrap()),
                "minLength" => value
                    .as_str()
                    .is_none_or(|v| v.len() as u64 >= rule.as_u64().unwrap()),
                "required" => rule
                    .as_array()
                    .unwrap()
                    .iter()
                    .all(|key| value.get(key.as_str().unwrap()).is_some()),
                "items" => {
                    for item in value.as_array().unwrap() {
                        self.check(rule, item, &format!("{path}[]"));
                    }
                    true
                }
                "properties" => {
                    for (key, item) in value.as_object().unwrap() {
                        match rule.get(key) {
                            Some(inner) => self.check(inner, item, &format!("{path}/{key}")),
                            None => self.faults.push(format!("{path}/{key} is not described")),
                        }
                    }
                    true
                }
                "additionalProperties" => {
                    for (key, item) in value.as_object().unwrap() {
                        self.check(rule, item, &format!("{path}/{key}"));
                    }
                    true
                }
                other => panic!("the checker does not know `{other}`"),
            };
            if !holds {
                self.faults
                    .push(format!("{path}: {keyword} {rule} rejects {value}"));
            }
        }
    }

    fn described(&self, schema: &'a Value, path: &str, into: &mut BTreeSet<String>) {
        let schema = self.follow(schema);
        for (key, inner) in schema
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            let path = format!("{path}/{key}");
            into.insert(path.clone());
            self.described(inner, &path, into);
        }
        if let Some(items) = schema.get("items") {
            self.described(items, &format!("{path}[]"), into);
        }
    }
}
