//! Loading: limits, syntax, data documents, and what the checks must not complain about.

use custos_policy::{
    Outcome, PolicyErrorKind, PolicyFile, PolicyLimits, PolicySet, Position, Syntax, TestOptions,
    check, eval, starter, test,
};
use serde_json::json;

use crate::{NOW, codes, evaluation, load, rejected};

fn load_files(files: Vec<PolicyFile>) -> Result<PolicySet, Vec<custos_policy::PolicyError>> {
    PolicySet::load(files, &PolicyLimits::default())
}

#[test]
fn findings_have_a_place() {
    let findings = load("package t\n\nr if {\n\tnot startswith(input.a, \"x\")\n}\n").unwrap_err();
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].file, "test.rego");
    assert_eq!(
        findings[0].position,
        Some(Position {
            line: 4,
            column: 17
        })
    );
    assert_eq!(
        findings[0].kind,
        PolicyErrorKind::NegatedUndefined {
            what: "input.a".into()
        }
    );
}

#[test]
fn both_syntaxes_are_tried_and_both_errors_given() {
    let findings = load("package t\nr := := 1").unwrap_err();
    assert!(matches!(
        &findings[0].kind,
        PolicyErrorKind::Syntax {
            v1: Some(_),
            v0: Some(_)
        }
    ));
    let findings = load("package t\nimport rego.v1\nr { true }").unwrap_err();
    assert!(matches!(
        &findings[0].kind,
        PolicyErrorKind::Syntax {
            v1: Some(_),
            v0: None
        }
    ));
    let old = PolicyFile::new("a.rego", "package t\nr { input.a }");
    assert!(load_files(vec![old.clone()]).is_ok());
    assert!(load_files(vec![old.clone().with_syntax(Syntax::V0)]).is_ok());
    assert!(load_files(vec![old.with_syntax(Syntax::V1)]).is_err());
}

#[test]
fn limits_hold() {
    assert_eq!(codes(&load_files(vec![]).unwrap_err()), ["policy-none"]);
    let data_only = vec![PolicyFile::new("data.json", "{}")];
    assert_eq!(codes(&load_files(data_only).unwrap_err()), ["policy-none"]);
    let large = format!("package t\n{}", "# ...............\n".repeat(20_000));
    assert_eq!(rejected(&large), ["policy-file-too-large"]);
    let many = (0..501)
        .map(|i| PolicyFile::new(format!("{i}.rego"), "package t"))
        .collect();
    assert_eq!(codes(&load_files(many).unwrap_err()), ["policy-too-many"]);
    let rules: Vec<String> = (0..2_001).map(|i| format!("r{i} := 1")).collect();
    assert_eq!(
        rejected(&format!("package t\n{}", rules.join("\n"))),
        ["policy-too-many"]
    );
    let latin = PolicyFile::new("a.rego", &b"package t\nr := \"\xe9\""[..]);
    assert_eq!(
        codes(&load_files(vec![latin]).unwrap_err()),
        ["policy-not-utf8"]
    );
    let twice = vec![
        PolicyFile::new("a.rego", "package a"),
        PolicyFile::new("a.rego", "package b"),
    ];
    assert_eq!(
        codes(&load_files(twice).unwrap_err()),
        ["policy-duplicate-file"]
    );
    let other = vec![
        PolicyFile::new("a.rego", "package a"),
        PolicyFile::new("a.yaml", ""),
    ];
    assert_eq!(
        codes(&load_files(other).unwrap_err()),
        ["policy-not-a-policy"]
    );
}

#[test]
fn lines_as_long_as_an_embedded_certificate_are_fine() {
    let line = |length: usize| format!("package t\nr := \"{}\"", "A".repeat(length));
    assert!(load(&line(10_000)).is_ok());
    assert_eq!(rejected(&line(20_000)), ["policy-syntax"]);
}

#[test]
fn the_library_cannot_be_replaced() {
    let text = "package custos.lib.facts\nimport rego.v1\nknown(_) := true";
    assert_eq!(rejected(text), ["policy-reserved-package"]);
    let rule = "package custos\nimport rego.v1\nlib.facts.known(_) := true";
    assert_eq!(rejected(rule), ["policy-reserved-package"]);
    let rule = "package custos\nimport rego.v1\ndefault lib.facts.known(_) := true";
    assert_eq!(rejected(rule), ["policy-reserved-package"]);
    // A copy of it is taken for what it is.
    let mut files = starter::library();
    files.extend(starter::policies());
    assert!(load_files(files).is_ok());
}

#[test]
fn one_name_is_one_import_in_all_files_of_a_package() {
    let file = |path: &str, text: &str| {
        PolicyFile::new(
            path,
            format!("package {text}").replacen('\n', "\nimport rego.v1\n", 1),
        )
    };
    let other = file("u.rego", "u\nx := 1");
    let first = file("a.rego", "t\nimport data.u as z\na := z.x");
    let second = file("b.rego", "t\nimport input.y as z\nb := z");
    assert!(load_files(vec![other.clone(), first.clone()]).is_ok());
    let findings = load_files(vec![other, first, second]).unwrap_err();
    assert_eq!(codes(&findings), ["policy-import-conflict"]);
}

#[test]
fn patterns_work_as_in_opa_in_every_build() {
    // Without features of its own, the engine's expressions know neither `\\d` nor `(?i)`.
    let set = load("package t\nimport rego.v1\nr := [regex.match(`^\\d+$`, \"12\"), regex.match(`(?i)^ab\\b`, \"AB c\"), regex.match(`^\\w$`, \"\u{e9}\")]")
        .unwrap();
    let answer = eval(&set, "data.t.r", &json!({}), &evaluation()).unwrap();
    assert_eq!(
        answer["result"][0]["expressions"][0]["value"],
        json!([true, true, false])
    );
}

#[test]
fn data_documents_hang_where_their_folder_says() {
    let files = vec![
        PolicyFile::new("a.rego", "package t\nr := [data.top, data.team.limit]"),
        PolicyFile::new("data.json", r#"{"top": 1}"#),
        PolicyFile::new("team/data.json", r#"{"limit": 7}"#),
    ];
    let set = load_files(files).unwrap();
    assert_eq!(codes(set.warnings()), [""; 0]);
    let answer = eval(&set, "data.t.r", &json!({}), &evaluation()).unwrap();
    assert_eq!(
        answer["result"][0]["expressions"][0]["value"],
        json!([1, 7])
    );
}

#[test]
fn data_documents_do_not_clash() {
    let with = |path: &str, json: &str| {
        let files = vec![
            PolicyFile::new("a.rego", "package t.u\nr := 1"),
            PolicyFile::new("data.json", r#"{"x": {"y": 1}}"#),
            PolicyFile::new(path, json),
        ];
        load_files(files)
            .map(|_| ())
            .map_err(|findings| codes(&findings))
    };
    assert_eq!(with("b/data.json", r#"{"y": 1}"#), Ok(()));
    assert_eq!(with("x/data.json", r#"{"z": 1}"#), Ok(()));
    assert_eq!(
        with("x/data.json", r#"{"y": 2}"#),
        Err(vec!["policy-data-conflict"])
    );
    // A document must not stand where a rule stands: it could replace the rule's answer.
    assert_eq!(
        with("t/data.json", r#"{"u": {"r": 2}}"#),
        Err(vec!["policy-data-conflict"])
    );
    assert_eq!(
        with("t/data.json", r#"{"u": 2}"#),
        Err(vec!["policy-data-conflict"])
    );
    assert_eq!(
        with("t/data.json", r#"{"u": {"r": {"deep": 2}}}"#),
        Err(vec!["policy-data-conflict"])
    );
    assert_eq!(
        with("b/data.json", r#"{"y": 1, "y": 2}"#),
        Err(vec!["policy-json"])
    );
    assert_eq!(with("b/data.json", "[1]"), Err(vec!["policy-json"]));
}

#[test]
fn a_reference_to_nothing_is_a_warning() {
    let found = check(
        vec![PolicyFile::new(
            "a.rego",
            "package t\nimport rego.v1\ndeny contains 1 if data.typo.x",
        )],
        &PolicyLimits::default(),
    );
    assert_eq!(
        found[0].kind,
        PolicyErrorKind::NothingDefines {
            path: "data.typo.x".into()
        }
    );
    assert_eq!(codes(&found), ["policy-nothing-defines"]);
}

#[test]
fn good_policies_pass_without_a_word() {
    let policies = [
        "not_is_fine if not input.a.b",
        "eq_is_fine if not input.a.b == 3",
        "local_is_fine if { some x in input.l; not startswith(x, \"a\") }",
        "argument(x) if not startswith(x, \"a\")",
        "default_is_fine if not startswith(object.get(input, \"a\", \"\"), \"x\")",
        "set_is_fine if not count(some_set) > 3\nsome_set contains x if some x in input.l",
        "constant_is_fine if { some x in input.l; not x in names }\nnames := {\"a\", \"b\"}",
        "total_is_fine if not limit > 3\ndefault limit := 2\nlimit := input.limit",
        "comprehension_is_fine if not count([x | some x in input.l; x.y > 3]) == 0",
        "walks contains p if { walk(input, [p, v]); v == 1 }",
        "loops contains i if { input.l[i] > 3 }",
        "some_index contains i if { some i; input.l[i] > 3 }",
        "some_walk contains p if { some p, v; walk(input, [p, v]); v == 1 }",
        "some_unify contains x if { some x; [x, 1] = input.pair }",
        "every_is_fine if every k, v in input.o { k != v }",
        "with_is_fine if { helper(1) with input as {\"n\": 1} }\nhelper(x) if x == input.n",
        "mocked := x if { x := count([1]) with count as fake }\nfake(_) := 5",
        "out contains n if count(input.l, n)",
        "p.q.r := 1\np.q.s := p.q.r",
        "obj[k] := v if some k, v in input.o",
        "chained := split(\"a.b\", \".\")[1]",
        "prints if print(\"x\", input.a)",
        "import data.custos.lib.facts\nlib if facts.known(\"lineage\")",
    ];
    for policy in policies {
        let text = format!("package t\nimport rego.v1\n{policy}");
        match load(&text) {
            Ok(set) => assert_eq!(codes(set.warnings()), [""; 0], "{policy}"),
            Err(findings) => panic!("{policy}\n{findings:?}"),
        }
    }
}

#[test]
fn tests_pass_fail_and_err() {
    let set = load(
        "package t\nimport rego.v1\n\
         test_good if { helper with input as {\"a\": 1} }\n\
         test_bad if { helper with input as {\"a\": 2} }\n\
         test_without_input if helper\n\
         test_error if { startswith(input.a, \"x\") with input as {\"a\": 1} }\n\
         test_value := 3\n\
         todo_test_later if false\n\
         test_prints if { print(\"hello\", 1); true }\n\
         test_time if time.now_ns() == 1795183320000000000\n\
         helper if input.a == 1\n",
    )
    .unwrap();
    let report = test(&set, &TestOptions::at(NOW));
    assert!(!report.passed());
    let outcome = |name: &str| {
        let path = format!("data.t.{name}");
        report
            .results
            .iter()
            .find(|result| result.path == path)
            .unwrap()
            .clone()
    };
    assert_eq!(outcome("test_good").outcome, Outcome::Passed);
    assert_eq!(
        outcome("test_bad").outcome,
        Outcome::Failed {
            value: "undefined".into()
        }
    );
    assert_eq!(
        outcome("test_without_input").outcome,
        Outcome::Failed {
            value: "undefined".into()
        }
    );
    assert!(matches!(
        outcome("test_error").outcome,
        Outcome::Error { .. }
    ));
    assert_eq!(
        outcome("test_value").outcome,
        Outcome::Failed { value: "3".into() }
    );
    assert_eq!(outcome("todo_test_later").outcome, Outcome::Skipped);
    assert_eq!(outcome("test_time").outcome, Outcome::Passed);
    assert!(outcome("test_prints").prints[0].ends_with("hello 1"));
    assert_eq!(
        (
            outcome("test_good").file.as_str(),
            outcome("test_good").line
        ),
        ("test.rego", 3)
    );
    let mut only = TestOptions::at(NOW);
    only.filter = Some("test_good".into());
    assert!(test(&set, &only).passed());
    only.filter = Some("no such".into());
    assert!(!test(&set, &only).passed(), "no test is no success");
}

#[test]
fn coverage_names_lines() {
    let files = vec![
        PolicyFile::new(
            "a.rego",
            "package t\nimport rego.v1\nr := 1 if input.a == 1\nr := 2 if input.a == 2\n",
        ),
        PolicyFile::new(
            "a_test.rego",
            "package t_test\nimport rego.v1\nimport data.t\ntest_r if t.r == 1 with input as {\"a\": 1}\n",
        ),
    ];
    let set = load_files(files).unwrap();
    let mut options = TestOptions::at(NOW);
    options.coverage = true;
    let coverage = test(&set, &options).coverage.unwrap();
    assert_eq!(coverage.len(), 1);
    assert_eq!(coverage[0].file, "a.rego");
    assert!(coverage[0].covered.contains(&3));
}

#[test]
fn the_digest_names_the_policies() {
    let digest = |text: &str| *load(text).unwrap().digest();
    assert_eq!(digest("package a\nr := 1"), digest("package a\nr := 1"));
    assert_ne!(digest("package a\nr := 1"), digest("package a\nr := 2"));
}

#[test]
fn queries_are_bounded_too() {
    let set = load("package t\nr := 1").unwrap();
    let ask = |query: &str| eval(&set, query, &json!({"n": 2}), &evaluation());
    assert_eq!(
        ask("x := input.n + 1").unwrap()["result"][0]["bindings"]["x"],
        3
    );
    for bad in [
        "1".to_owned() + &"+1".repeat(1_000),
        "(".repeat(1_000),
        "x".repeat(10_000),
    ] {
        assert_eq!(ask(&bad).unwrap_err().code(), "query-not-accepted");
    }
    assert_eq!(ask("nosuch(1)").unwrap_err().code(), "engine-error");
    assert_eq!(ask("http.send({})").unwrap_err().code(), "engine-error");
    assert_eq!(ask("data.t.missing").unwrap(), json!({}));
}
