//! Holds `docs/predicates/` to the structs: every field of a full example stands on its page and
//! in its schema, the schema names no field that the struct does not have, and the schema accepts
//! the example. The schema checker knows the few keywords that the schemas use and fails on any
//! other, so that no constraint is passed over in silence.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::*;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/predicates")
}

fn page(name: &str) -> String {
    std::fs::read_to_string(folder().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn schema(name: &str) -> Value {
    let path = folder().join("schema").join(format!("{name}.json"));
    let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    json::from_slice(&bytes, &Limits::SMALL).unwrap()
}

fn to_value<T: Serialize>(value: &T) -> Value {
    serde_json::to_value(value).unwrap()
}

// Each type with a page, and an example in which every optional field is there.
fn examples() -> Vec<(&'static str, Value)> {
    vec![
        ("approval", to_value(&approval::Approval::example())),
        ("batch", to_value(&batch::Batch::example())),
        ("dataset", to_value(&dataset::Dataset::example())),
        ("decision", to_value(&decision::Decision::example())),
        ("deployment", to_value(&deployment::Deployment::example())),
        ("evaluation", to_value(&evaluation::Evaluation::example())),
        (
            "evaluation-plan",
            to_value(&evaluation_plan::EvaluationPlan::example()),
        ),
        (
            "resource-usage",
            to_value(&resource_usage::ResourceUsage::example()),
        ),
        ("scan", to_value(&scan::Scan::example())),
        ("cyclonedx", to_value(&cyclonedx::CycloneDx::example())),
        ("link-v0.3", to_value(&link::Link::example())),
        ("scai", to_value(&scai::AttributeReport::example())),
        (
            "slsaprovenance1",
            to_value(&provenance::Provenance::example()),
        ),
        ("test-result", to_value(&test_result::TestResult::example())),
        ("vsa", to_value(&vsa::VerificationSummary::example())),
        ("vulns", to_value(&vulns::Vulnerabilities::example())),
    ]
}

// Maps whose keys are data, and descriptors, whose fields in-toto gives.
fn is_opaque(path: &str, value: &Map<String, Value>) -> bool {
    let last = path.rsplit('.').next().unwrap_or_default();
    let maps = [
        "digest",
        "annotations[]",
        "conditions",
        "byproducts",
        "environment",
        "version",
        "dependencyLevels",
        "externalParameters",
        "internalParameters",
    ];
    let digest_set = value.keys().all(|key| key == "sha256") && !value.is_empty();
    maps.contains(&last)
        || digest_set
        || value.contains_key("digest")
            && value.contains_key("name")
            && value
                .keys()
                .all(|key| ["name", "digest", "uri", "annotations"].contains(&key.as_str()))
            && !matches!(last, "splits[]" | "policy" | "evidence[]")
}

fn field_paths(value: &Value, path: &str, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) if !path.is_empty() && is_opaque(path, map) => {}
        Value::Object(map) => {
            for (key, value) in map {
                let path = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                into.insert(path.clone());
                field_paths(value, &path, into);
            }
        }
        Value::Array(items) => {
            for item in items {
                field_paths(item, &format!("{path}[]"), into);
            }
        }
        _ => {}
    }
}

#[test]
fn every_known_type_with_a_page_has_one_that_names_it() {
    for kind in known() {
        let Some(name) = kind.page else { continue };
        let text = page(name);
        assert!(
            text.contains(&format!("`{}`", kind.uri)),
            "{name} does not name its type URI"
        );
        assert!(
            page("README.md").contains(name),
            "{name} is not in the list of pages"
        );
    }
    let with_example: BTreeSet<&str> = examples().iter().map(|(name, _)| *name).collect();
    for kind in known().iter().filter(|kind| kind.page.is_some()) {
        // The signature predicate of models lives in its own module and is checked there.
        let expected = kind.name != "model-signature";
        assert_eq!(with_example.contains(kind.name), expected, "{}", kind.name);
    }
}

#[test]
fn every_name_stands_in_the_list_of_types() {
    let text = page("README.md");
    for kind in known() {
        for name in kind.aliases.iter().chain([&kind.name, &kind.uri]) {
            assert!(
                text.contains(&format!("`{name}`")),
                "README.md lacks `{name}`"
            );
        }
    }
}

#[test]
fn every_field_stands_on_its_page() {
    for (name, example) in examples() {
        let kind = known().iter().find(|kind| kind.name == name).unwrap();
        let text = page(kind.page.unwrap());
        let mut fields = BTreeSet::new();
        field_paths(&example, "", &mut fields);
        assert!(fields.len() > 3, "{name}: {fields:?}");
        for field in fields {
            assert!(
                text.contains(&format!("`{field}`")),
                "{name}: the page lacks `{field}`"
            );
        }
    }
}

#[test]
fn every_own_type_has_a_schema_that_accepts_its_example() {
    for kind in known().iter().filter(|kind| kind.origin == Origin::Custos) {
        let schema = schema(kind.name);
        assert_eq!(
            schema["$schema"],
            "https://json-schema.org/draft/2020-12/schema"
        );
        assert_eq!(schema["$id"], format!("{}:schema", kind.uri));
        let (_, example) = examples()
            .into_iter()
            .find(|(name, _)| *name == kind.name)
            .unwrap();
        let mut checker = Checker {
            root: &schema,
            faults: Vec::new(),
            used: BTreeSet::new(),
        };
        checker.check(&schema, &example, "");
        assert_eq!(checker.faults, Vec::<String>::new(), "{}", kind.name);
        // The other way round: no property in the schema that the struct does not have.
        let mut described = BTreeSet::new();
        described_paths(&schema, &schema, "", &mut described);
        let missing: Vec<_> = described.difference(&checker.used).collect();
        assert_eq!(
            missing,
            Vec::<&String>::new(),
            "{}: not in the struct",
            kind.name
        );
    }
}

// Every byte of every example, cut and changed: nothing panics, and what is accepted round-trips.
#[test]
fn mutated_examples_never_panic() {
    for (_, example) in examples() {
        let bytes = json::to_vec(&example).unwrap();
        fuzz_predicates(&bytes);
        for at in 0..bytes.len() {
            fuzz_predicates(&bytes[..at]);
            for to in [b'0', b'"', b'}', b'-', b'e', 0xff] {
                let mut changed = bytes.clone();
                changed[at] = to;
                fuzz_predicates(&changed);
            }
        }
    }
}

#[test]
fn schemas_reject_what_the_structs_reject() {
    let plan = to_value(&evaluation_plan::EvaluationPlan::example());
    for (pointer, bad) in [
        ("/metrics", json!([])),
        ("/name", json!("")),
        ("/metrics/0/direction", json!("sideways")),
        ("/metrics/0/threshold", json!("0.8")),
        ("/metrics/0/minN", json!(0)),
        ("/dataset/digest", json!({})),
    ] {
        let mut changed = plan.clone();
        *changed.pointer_mut(pointer).unwrap() = bad;
        let schema = schema("evaluation-plan");
        let mut checker = Checker {
            root: &schema,
            faults: Vec::new(),
            used: BTreeSet::new(),
        };
        checker.check(&schema, &changed, "");
        assert!(!checker.faults.is_empty(), "{pointer} is accepted");
        let bytes = json::to_vec(&changed).unwrap();
        assert!(
            parse::<evaluation_plan::EvaluationPlan>(&bytes).is_err(),
            "{pointer}"
        );
    }
}

#[test]
fn every_field_of_the_step_build_type_stands_on_its_page() {
    let text = page("step-buildtype.md");
    let (external, internal) = step::example();
    for (part, value) in [
        ("externalParameters", to_value(&external)),
        ("internalParameters", to_value(&internal)),
    ] {
        let mut fields = BTreeSet::new();
        field_paths(&value, "", &mut fields);
        for field in fields {
            let path = format!("`{part}.{field}`");
            assert!(text.contains(&path), "the page lacks {path}");
        }
    }
    for name in [
        "accelerator",
        "container",
        "input",
        "interpreter",
        "kernel",
        "lock-file",
        "os",
        "packages",
        "program",
        "script",
        "source",
        "claimed",
        "observed",
        "unknown",
        "none",
        "listing-truncated",
        "processes-ended",
        "product-unchanged",
        step::BUILD_TYPE,
        step::CLI_BUILDER,
    ] {
        assert!(
            text.contains(&format!("`{name}`")),
            "the page lacks `{name}`"
        );
    }
}

fn described_paths(root: &Value, schema: &Value, path: &str, into: &mut BTreeSet<String>) {
    let schema = follow(root, schema);
    for (key, inner) in schema
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        let path = format!("{path}/{key}");
        into.insert(path.clone());
        described_paths(root, inner, &path, into);
    }
    if let Some(items) = schema.get("items") {
        described_paths(root, items, &format!("{path}[]"), into);
    }
}

fn follow<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    match schema.get("$ref").and_then(Value::as_str) {
        Some(target) => root.pointer(target.strip_prefix('#').unwrap()).unwrap(),
        None => schema,
    }
}

struct Checker<'a> {
    root: &'a Value,
    faults: Vec<String>,
    used: BTreeSet<String>,
}

impl Checker<'_> {
    fn check(&mut self, schema: &Value, value: &Value, path: &str) {
        let schema = follow(self.root, schema).clone();
        for (keyword, rule) in schema.as_object().unwrap() {
            if !self.holds((keyword, rule), value, path) {
                self.faults
                    .push(format!("{path}: {keyword} {rule} rejects {value}"));
            }
        }
    }

    fn holds(&mut self, (keyword, rule): (&str, &Value), value: &Value, path: &str) -> bool {
        let length = |value: &Value| match value {
            Value::String(text) => text.chars().count() as u64,
            Value::Array(items) => items.len() as u64,
            Value::Object(map) => map.len() as u64,
            _ => u64::MAX,
        };
        match keyword {
            "$schema" | "$id" | "$defs" | "title" | "description" => true,
            "type" => has_type(rule.as_str().unwrap(), value),
            "enum" => rule.as_array().unwrap().contains(value),
            "const" => rule == value,
            "minLength" | "minItems" | "minProperties" => length(value) >= rule.as_u64().unwrap(),
            "minimum" => value.as_f64().is_none_or(|v| v >= rule.as_f64().unwrap()),
            "exclusiveMinimum" => value.as_f64().is_none_or(|v| v > rule.as_f64().unwrap()),
            "exclusiveMaximum" => value.as_f64().is_none_or(|v| v < rule.as_f64().unwrap()),
            "required" => rule.as_array().unwrap().iter().all(|key| {
                value
                    .as_object()
                    .is_none_or(|map| map.contains_key(key.as_str().unwrap()))
            }),
            "pattern" => matches_pattern(rule.as_str().unwrap(), value.as_str().unwrap()),
            "items" => {
                for item in value.as_array().into_iter().flatten() {
                    self.check(rule, item, &format!("{path}[]"));
                }
                true
            }
            "properties" => {
                for (key, item) in value.as_object().into_iter().flatten() {
                    let path = format!("{path}/{key}");
                    let Some(inner) = rule.get(key) else {
                        self.faults.push(format!("{path} is not in the schema"));
                        continue;
                    };
                    self.used.insert(path.clone());
                    self.check(inner, item, &path);
                }
                true
            }
            "additionalProperties" => {
                for (key, item) in value.as_object().into_iter().flatten() {
                    self.check(rule, item, &format!("{path}/{key}"));
                }
                true
            }
            other => panic!("the checker does not know the keyword `{other}`"),
        }
    }
}

fn has_type(name: &str, value: &Value) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "number" => value.is_number(),
        "integer" => value.is_u64() || value.is_i64(),
        other => panic!("unknown type {other}"),
    }
}

// The patterns in use: a class repeated a number of times, or a decimal.
fn matches_pattern(pattern: &str, text: &str) -> bool {
    match pattern {
        "^[0-9a-f]{64}$" => Digest::from_hex(Algorithm::Sha256, text).is_ok(),
        "^[A-Z]{3}$" => text.len() == 3 && text.bytes().all(|b| b.is_ascii_uppercase()),
        "^-?(0|[1-9][0-9]*)(\\.[0-9]{1,18})?$" => {
            crate::amount::Amount::parse(text, crate::amount::Currency::EUR).is_ok()
        }
        other => panic!("the checker does not know the pattern `{other}`"),
    }
}
