//! Policies from the command line.

use crate::sandbox::Sandbox;

#[test]
fn the_starter_policy_passes_its_own_tests_and_checks() {
    let sandbox = Sandbox::new();
    let said = sandbox.json(&["policy", "test", "starter"]).ok().json();
    assert!(said["passed"].as_u64().unwrap() >= 10, "{said}");
    assert_eq!(said["failed"], 0);
    sandbox.run(&["policy", "check", "starter"]).ok();
}

#[test]
fn a_failing_test_is_a_no() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "p/a_test.rego",
        "package a\nimport rego.v1\ntest_wrong if { 1 == 2 }\ntest_right if { 1 == 1 }\n",
    );
    sandbox
        .run(&["policy", "test", "p"])
        .failed(1, "E0504")
        .says("test_wrong");
}

#[test]
fn what_fails_open_is_found_at_load() {
    for (rule, named) in [
        (
            "allow if not blocked(input.user)\nblocked(u) if u == \"x\"",
            "not",
        ),
        (
            "deny contains \"x\" if { r := http.send({\"method\": \"get\", \"url\": \"http://x\"}); r.status_code != 200 }",
            "http.send",
        ),
        (
            "deny contains \"x\" if no_such_function(1)",
            "no_such_function",
        ),
        ("deny contains \"x\" if {", ""),
    ] {
        let sandbox = Sandbox::new();
        sandbox.write(
            "p/a.rego",
            format!("package custos.gate\nimport rego.v1\n{rule}\n"),
        );
        sandbox
            .run(&["policy", "check", "p"])
            .failed(1, "E0501")
            .says(named);
    }
}

#[test]
fn eval_answers_a_query() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "p/a.rego",
        "package a\nimport rego.v1\ndouble := input.n * 2\n",
    );
    sandbox.write("in.json", r#"{"n": 21}"#);
    let said = sandbox
        .json(&[
            "policy",
            "eval",
            "p",
            "--query",
            "data.a.double",
            "--input",
            "in.json",
        ])
        .ok()
        .json();
    assert_eq!(said["result"], 42);
    sandbox
        .run(&["policy", "eval", "missing", "--query", "data.a.double"])
        .failed(2, "E0003");
    // The older syntax works as well.
    sandbox.write(
        "v0/a.rego",
        "package a\ndeny[msg] { input.n > 3; msg := \"too large\" }\n",
    );
    let said = sandbox
        .json(&[
            "policy",
            "eval",
            "v0",
            "--query",
            "data.a.deny",
            "--input",
            "in.json",
        ])
        .ok()
        .json();
    assert_eq!(said["result"][0], "too large");
}
