//! The ways in which the engine differs from OPA and which could open a gate, one by one. In each
//! Custos rejects the policy when it is loaded, or denies.

use std::fmt::Write;
use std::time::Duration;

use custos_policy::{EvalError, Evaluation, PolicyLimits, Verdict, decide, eval};
use serde_json::json;

use crate::{NOW, codes, evaluation, load, rejected};

fn gate(body: &str) -> String {
    format!("package custos.gate\nimport rego.v1\n{body}\n")
}

#[test]
fn row_1_not_over_an_undefined_argument_is_rejected() {
    let policies = [
        // The textbook case: without `input.user`, this engine says `allow`.
        "blocked(user) if user == \"mallory\"\nallow if not blocked(input.user)",
        "allow if not startswith(input.missing, \"a\")",
        "allow if not lower(input.missing) == \"a\"",
        "allow if not input.missing > 3",
        "allow if not input.missing in {1}",
        "allow if not input.a[input.missing]",
        "allow if { some step in input.steps; not startswith(step.name, \"a\") }",
        "name := input.name\nallow if not startswith(name, \"a\")",
        "import input.name\nallow if not startswith(name, \"a\")",
        // Also where it hides: in comprehensions, `every`, else and function bodies.
        "allow if count([1 | not startswith(input.missing, \"a\")]) == 1",
        "allow if { every x in [1] { x == 1; not startswith(input.missing, \"a\") } }",
        "allow if { false } else := true if { not startswith(input.missing, \"a\") }",
        "f(x) if { x; not startswith(input.missing, \"a\") }\nallow if f(true)",
    ];
    for policy in policies {
        let text = format!("package t\n{}", policy.replace("package t", ""));
        assert!(
            rejected(&text).contains(&"policy-negated-undefined"),
            "{policy}"
        );
    }
}

#[test]
fn row_1_a_variable_of_another_scope_does_not_hide_what_is_undefined() {
    // In each, `user` or `x` outside is not the one inside.
    for policy in [
        "user := input.user\nallow if { not blocked(user); x := [1 | user := 1]; count(x) == 1 }",
        "user := input.user\nallow if { not blocked(user); every user in [1] { user == 1 } }",
        "user := input.user\nallow if { not blocked(user) } else := false if { user := 1; user == 1 }",
        "user := input.user\nallow if not blocked(user)\nallow if { user := 1; user == 2 }",
    ] {
        let text = format!("package t\nblocked(user) if user == 1\n{policy}");
        assert!(
            rejected(&text).contains(&"policy-negated-undefined"),
            "{policy}"
        );
    }
    for policy in [
        "allow if { not blocked(x); y := [x | x = input.l[_]]; count(y) == 3 }",
        "allow if { not blocked(x); every x in [1] { x == 1 } }",
        "allow if { not blocked(x); input.s } else := true if { x := 1; x == 1 }",
    ] {
        let text = format!("package t\nblocked(user) if user == 1\n{policy}");
        assert!(
            rejected(&text).contains(&"policy-unbound-variable"),
            "{policy}"
        );
    }
}

#[test]
fn row_1_the_advised_form_is_accepted_and_denies() {
    let set = load(&gate(
        "blocked(user) if user == \"mallory\"\n\
         deny contains \"no\" if blocked(input.user)\n\
         default allow := false\n\
         allow if { user := input.user; not blocked(user) }",
    ))
    .unwrap();
    let verdict = |input| decide(&set, &input, &evaluation()).verdict;
    assert_eq!(verdict(json!({})), Verdict::Deny);
    assert_eq!(verdict(json!({"user": "mallory"})), Verdict::Deny);
    assert_eq!(verdict(json!({"user": "alice"})), Verdict::Allow);
}

#[test]
fn row_2_functions_that_do_input_and_output_are_rejected() {
    let policy = "package t\ndeny contains \"x\" if { r := http.send({\"url\": \"http://a\"}); r.status_code != 200 }";
    assert!(rejected(policy).contains(&"policy-forbidden-function"));
    // Also where nothing ever gets to it, and where it is only passed on.
    assert!(
        rejected("package t\nr if { false; http.send({}) }").contains(&"policy-forbidden-function")
    );
    for call in [
        "opa.runtime()",
        "rand.intn(\"a\", 3)",
        "uuid.rfc4122(\"a\")",
        "net.lookup_ip_addr(\"a\")",
    ] {
        let text = format!("package t\nr := {call}");
        assert_eq!(rejected(&text), ["policy-forbidden-function"], "{call}");
    }
}

#[test]
fn row_3_the_built_in_that_panicked_answers_like_opa() {
    let set = load("package t\nr := strings.count(input.a, input.b)").unwrap();
    let answer = eval(
        &set,
        "data.t.r",
        &json!({"a": "abc", "b": ""}),
        &evaluation(),
    )
    .unwrap();
    assert_eq!(answer["result"][0]["expressions"][0]["value"], 4);
}

#[test]
fn row_4_what_runs_too_long_is_undecided() {
    // A loop, which the engine's timer stops, and one long built-in, which it does not.
    for slow in [
        "count([1 | some a in numbers.range(1, 5000); some b in numbers.range(1, 5000); a == b]) > input.n",
        "count(sort([y | some x in numbers.range(1, 900000); y := x * x])) > input.n",
    ] {
        let set = load(&gate(&format!(
            "deny contains \"x\" if {slow}\ndefault allow := false\nallow if count(deny) == 0"
        )))
        .unwrap();
        let short = Evaluation::at(NOW).within(Duration::from_millis(30));
        let decision = decide(&set, &json!({"n": 9_000_000}), &short);
        assert_eq!(decision.verdict, Verdict::Undecided, "{slow}");
        assert_eq!(decision.reasons[0].code, "engine-timeout", "{decision:?}");
    }
}

#[test]
fn row_4_a_range_cannot_take_all_memory() {
    let set = load("package t\nr := count(numbers.range(1, input.n))").unwrap();
    let error = eval(&set, "data.t.r", &json!({"n": 20_000_000}), &evaluation()).unwrap_err();
    assert!(matches!(error, EvalError::Failed { message } if message.contains("1,000,000")));
}

#[test]
fn row_5_an_error_in_a_built_in_denies_and_is_not_undefined() {
    for body in [
        "deny contains \"x\" if startswith(input.name, \"a\")",
        "deny contains \"x\" if { n := input.name; not startswith(n, \"a\") }",
        "deny contains \"x\" if input.name + 1 > 3",
    ] {
        let text = gate(&format!(
            "{body}\ndefault allow := false\nallow if count(deny) == 0"
        ));
        let set = load(&text).unwrap();
        let decision = decide(&set, &json!({"name": [1]}), &evaluation());
        assert_eq!(decision.verdict, Verdict::Undecided, "{body}");
        assert_eq!(decision.reasons[0].code, "engine-error", "{body}");
    }
}

#[test]
fn row_6_unknown_functions_are_rejected_also_where_nothing_gets_to_them() {
    for policy in [
        "package t\nr if { false; nosuch(1) }",
        "package t\nr := 1 if data.lib.nosuch(input.x)",
        "package t\nr := {x | some x in input.l; io.jwt.decode(x)}",
        "package t\nr := 1 if crypto.sha256(\"a\") == \"b\"",
        "package t\nr := 1\ntest_r if { nosuch(1) with input as {} }",
    ] {
        assert!(
            rejected(policy).contains(&"policy-unknown-function"),
            "{policy}"
        );
    }
    // So are wrong numbers of arguments.
    for policy in [
        "package t\nr if { false; count(1, 2, 3) }",
        "package t\nf(x) := x\nr if { false; f(1, 2, 3) }",
        "package t\nr if { false; count() }",
    ] {
        assert!(rejected(policy).contains(&"policy-wrong-arity"), "{policy}");
    }
}

#[test]
fn row_7_differences_in_syntax_are_errors_and_not_surprises() {
    // Too few arguments of sprintf: an error, and so no decision.
    let set = load(&gate(
        "deny contains sprintf(\"%s %s\", [input.a]) if input.a\n\
         default allow := false\nallow if count(deny) == 0",
    ))
    .unwrap();
    assert_eq!(
        decide(&set, &json!({"a": "x"}), &evaluation()).verdict,
        Verdict::Undecided
    );
    assert_eq!(
        rejected("package t\nimport rego.v1\ns contains 1 if { false } else := 2 if { true }"),
        ["policy-syntax"]
    );
    assert_eq!(
        rejected("package t\nr := $\"a {input.b}\""),
        ["policy-syntax"]
    );
    assert_eq!(
        rejected("package t\nr := array.flatten([[1]])"),
        ["policy-unknown-function"]
    );
    // A reference that goes on in the next line is read as something else, and says so.
    assert!(load("package t\nr := data.t.x\n[0]\nx := [1]").is_err());
}

#[test]
fn row_8_an_inequality_on_what_may_be_missing_is_a_warning() {
    let missing =
        "package t\nimport rego.v1\ndeny contains \"x\" if input.annotations[\"k\"] != \"true\"";
    let set = load(missing).unwrap();
    assert_eq!(codes(set.warnings()), ["policy-compare-undefined"]);
    for good in [
        "deny contains \"x\" if not input.annotations[\"k\"] == \"true\"",
        "deny contains \"x\" if object.get(input, [\"annotations\", \"k\"], \"\") != \"true\"",
    ] {
        let set = load(&format!("package t\nimport rego.v1\n{good}")).unwrap();
        assert_eq!(codes(set.warnings()), [""; 0], "{good}");
        let answer = eval(
            &set,
            "data.t.deny",
            &json!({"annotations": {}}),
            &evaluation(),
        )
        .unwrap();
        assert_eq!(
            answer["result"][0]["expressions"][0]["value"],
            json!(["x"]),
            "{good}"
        );
    }
}

#[test]
fn recursion_that_ends_the_process_is_rejected() {
    for policy in [
        "package t\nf(x) := f(x + 1)\nr := f(1)",
        "package t\nf(x) := g(x)\ng(x) := f(x)\nr := 1",
        "package t\nr if not r",
        "package t\na if b\nb if a",
        "package t\na := 1\nr contains k if { some k; data.t[k] }",
        "package t\nf(x) := [y | y := data.t.f(x)]\nr := 1",
    ] {
        assert!(rejected(policy).contains(&"policy-recursion"), "{policy}");
    }
}

#[test]
fn variables_without_a_value_are_rejected() {
    for policy in [
        "package t\ndeny contains \"x\" if { some x; x == 1 }",
        "package t\ndeny contains \"x\" if { not input.l[i] == 5 }",
        "package t\ndeny contains \"x\" if { not input.l[_] == 5 }",
    ] {
        assert!(
            rejected(policy).contains(&"policy-unbound-variable"),
            "{policy}"
        );
    }
}

#[test]
fn functions_that_are_not_called_and_second_defaults_are_rejected() {
    assert!(rejected("package t\nf(x) := x\nr := f").contains(&"policy-function-as-value"));
    let twice = "package t\ndefault r := true\ndefault r := false";
    assert!(rejected(twice).contains(&"policy-duplicate-default"));
    assert!(rejected("package t\ninput = {\"a\": 1} { true }").contains(&"policy-shadowed-root"));
    assert_eq!(
        rejected("package t\nr if not x := 1"),
        ["policy-negated-assignment"]
    );
}

#[test]
fn deep_policies_do_not_end_the_process() {
    let chain = |link: &str| format!("package t\nr := 1{}", link.repeat(100_000 / link.len()));
    for text in [
        chain("+1"),
        chain("\n+\n1"),
        chain(" in x"),
        format!("package t\nr := a{}", ".b".repeat(50_000)),
    ] {
        let findings = load(&text).unwrap_err();
        assert_eq!(codes(&findings), ["policy-nested-too-deep"]);
    }
    for bracket in ["(", "[", "{", "f("] {
        let findings = load(&format!("package t\nr := {}", bracket.repeat(50_000))).unwrap_err();
        assert_eq!(codes(&findings), ["policy-nested-too-deep"], "{bracket}");
    }
}

#[test]
fn long_chains_of_functions_fit_the_stack() {
    let rules = PolicyLimits::default().max_rules - 100;
    let mut text = "package t\nf0(x) := x\n".to_owned();
    for i in 1..rules {
        writeln!(text, "f{i}(x) := y if {{ y := f{}(x) }}", i - 1).unwrap();
    }
    writeln!(text, "r := f{}(input.n)", rules - 1).unwrap();
    let set = load(&text).unwrap();
    let answer = eval(&set, "data.t.r", &json!({"n": 7}), &evaluation()).unwrap();
    assert_eq!(answer["result"][0]["expressions"][0]["value"], 7);
}

#[test]
fn a_head_that_is_undefined_once_does_not_take_the_other_denials_with_it() {
    // Without the check each of these is empty for steps of which the last has no name.
    for policy in [
        "deny contains step.name if { some step in input.steps; step.bad }",
        "deny contains {\"msg\": step.name} if { some step in input.steps; step.bad }",
        "deny contains sprintf(\"%v\", [step.name]) if { some step in input.steps; step.bad }",
        "deny contains f(step) if { some step in input.steps }\nf(step) := step.name",
        "deny contains input.steps[_].name",
        "deny contains input.steps[i].name if input.steps[i].bad",
        "deny contains name if { name := \"a\" } \ndeny contains p if walk(input, [p, v])\ndeny contains input.x if walk(input, [_, 1])",
        "found[step.name] := 1 if { some step in input.steps }",
        "found[i] := step.name if { some i, step in input.steps }",
        "found[step.name] contains 1 if { some step in input.steps }",
        "name := step.name if { some step in input.steps }",
        "name := 1 if { false } else := step.name if { some step in input.steps }",
    ] {
        let text = format!("package t\n{policy}");
        assert_eq!(rejected(&text), ["policy-head-undefined"], "{policy}");
    }
    // One result at most, or a value in any case.
    for policy in [
        "deny contains input.name if input.bad",
        "deny contains input.name",
        "deny contains {\"msg\": input.steps[0].name} if input.steps[1]",
        "deny contains input.names[key] if { key := input.key }",
        "deny contains object.get(step, \"name\", \"?\") if { some step in input.steps }",
        "deny contains text(step) if { some step in input.steps }\ntext(step) := sprintf(\"%v\", [inner(step)])\ndefault inner(_) := 3\ninner(x) := x.y",
        "deny contains name if { some step in input.steps; name := step.name }",
        "deny contains limit if { some step in input.steps; step.bad }\nlimit := object.get(input, \"a\", base)\nbase := 3",
        "name := input.a if input.b",
        "f(steps) := step.name if { some step in steps }",
    ] {
        if let Err(findings) = load(&format!("package t\n{policy}")) {
            panic!("{policy}\n{findings:?}");
        }
    }
}

#[test]
fn an_object_in_a_pattern_is_rejected() {
    for policy in [
        "allow if { {\"role\": x} = input.user; x == 1 }",
        "allow if { {\"role\": x} := input.user; x == 1 }",
        "allow if { [{\"role\": x}] = input.users; x == 1 }",
        "allow if { some {\"role\": \"admin\"} in input.users }",
        "allow if { walk(input, [_, {\"role\": x}]); x == 1 }",
        "f({\"role\": \"admin\"}) := true\nallow if f(input.user)",
        "f(x) := x\nallow if f(input.user, {\"role\": \"admin\"})",
        "users contains input.user\nallow if users[{\"role\": x}] == 1",
    ] {
        let text = format!("package t\n{policy}");
        assert!(
            rejected(&text).contains(&"policy-object-pattern"),
            "{policy}"
        );
    }
    for policy in [
        "allow if { {\"role\": \"admin\"} = input.user }",
        "allow if { {\"role\": input.role} == input.user }",
        "allow if { f({\"role\": input.role}) }\nf(x) if x.role",
    ] {
        assert!(load(&format!("package t\n{policy}")).is_ok(), "{policy}");
    }
}

#[test]
fn texts_that_mean_something_else_in_opa_are_rejected() {
    for call in [
        "json.remove(input, [\"metadata/a~1b\"])",
        "json.filter(input, {\"a~0b\"})",
        "glob.match(\"[^a]*\", [], input.x)",
        "sprintf(input.format, [1])",
    ] {
        let text = format!("package t\nr := {call}");
        assert_eq!(rejected(&text), ["policy-forbidden-function"], "{call}");
    }
    let set = load("package t\nr := json.remove(input, [[\"a/b\"]])").unwrap();
    let answer = eval(&set, "data.t.r", &json!({"a/b": 1, "c": 2}), &evaluation()).unwrap();
    assert_eq!(
        answer["result"][0]["expressions"][0]["value"],
        json!({"c": 2})
    );
}

#[test]
fn walk_as_a_value_is_rejected() {
    for policy in [
        "deny contains x if { [_, x] := walk(input) }",
        "deny contains x if { some x in walk(input) }",
    ] {
        let text = format!("package t\n{policy}");
        assert!(rejected(&text).contains(&"policy-wrong-arity"), "{policy}");
    }
}

#[test]
fn imports_that_would_be_read_otherwise_are_rejected() {
    for (policy, code) in [
        (
            "import data.t as me\nq := 1\nr := me.q",
            "policy-import-of-own-package",
        ),
        ("import data.u.q\nq := 1\nr := q", "policy-import-conflict"),
        (
            "import data.u.x as input\nr := input.y",
            "policy-shadowed-root",
        ),
        (
            "import input.x as data\nr := data.y",
            "policy-shadowed-root",
        ),
    ] {
        let text = format!("package t\nimport rego.v1\n{policy}");
        assert!(rejected(&text).contains(&code), "{policy}");
    }
    for policy in ["import input\nr := input.x", "import input.x as y\nr := y"] {
        assert!(load(&format!("package t\nimport rego.v1\n{policy}")).is_ok());
    }
}

#[test]
fn a_default_that_would_be_ignored_is_rejected() {
    for policy in [
        "default deny := {\"no\"}\ndeny contains x if some x in input.l",
        "default found := {\"a\": 1}\nfound[k] := 1 if some k in input.l",
    ] {
        let text = format!("package t\nimport rego.v1\n{policy}");
        assert_eq!(rejected(&text), ["policy-default-of-partial"], "{policy}");
    }
}

#[test]
fn values_that_no_memory_holds_are_undecided() {
    let mut text = "package k\na0 := [1, 2, 3, 4, 5, 6, 7, 8]\n".to_owned();
    for i in 1..45 {
        writeln!(text, "a{i} := [a{0}, a{0}]", i - 1).unwrap();
    }
    text.push_str("deny contains a44 if input.n");
    let set = load(&text).unwrap();
    let decision = decide(&set, &json!({"n": 1}), &evaluation().asking("data.k"));
    assert_eq!(decision.verdict, Verdict::Undecided);
    assert_eq!(decision.reasons[0].code, "answer-too-large");

    let mut text = "package t\na0 := input\n".to_owned();
    for i in 1..200 {
        writeln!(text, "a{i} := [[[[[[[[[[a{}]]]]]]]]]]", i - 1).unwrap();
    }
    let deep = load(&text).unwrap();
    let error = eval(&deep, "data.t.a199", &json!({}), &evaluation()).unwrap_err();
    assert_eq!(error, EvalError::AnswerTooLarge);
}
