//! The contract of a decision: only a clear yes is a yes.

use std::sync::Arc;

use custos_policy::{Decision, Evaluation, PolicyFile, PolicyLimits, PolicySet, Verdict, decide};
use serde_json::{Value, json};

use crate::{evaluation, load};

fn decide_with(text: &str, query: &str, input: &Value) -> Decision {
    let set = load(text).unwrap_or_else(|findings| panic!("{findings:?}\n{text}"));
    decide(&set, input, &evaluation().asking(query))
}

fn verdict_and_code(text: &str, query: &str) -> (Verdict, String) {
    let decision = decide_with(text, query, &json!({"n": 1}));
    let code = decision
        .reasons
        .first()
        .map(|reason| reason.code.clone())
        .unwrap_or_default();
    (decision.verdict, code)
}

#[test]
fn gate_contract() {
    let both = "package custos.gate\nimport rego.v1\n\
                deny contains {\"code\": \"big\", \"msg\": \"too big\", \"evidence\": [{\"logIndex\": 7}], \"limit\": 3} if input.n > 3\n\
                warn contains \"odd\" if input.n % 2 == 1\n\
                default allow := false\nallow if { is_number(input.n); count(deny) == 0 }";
    let allowed = decide_with(both, "data.custos.gate", &json!({"n": 1}));
    assert_eq!(allowed.verdict, Verdict::Allow);
    assert!(allowed.reasons.is_empty());
    assert_eq!(allowed.warnings[0].message, "odd");
    let denied = decide_with(both, "custos.gate", &json!({"n": 4}));
    assert_eq!(denied.verdict, Verdict::Deny);
    assert_eq!(
        denied.reasons.len(),
        1,
        "`allow` being false goes without saying: {denied:?}"
    );
    let reason = &denied.reasons[0];
    assert_eq!(
        (reason.rule.as_str(), reason.code.as_str()),
        ("data.custos.gate.deny", "big")
    );
    assert_eq!(reason.evidence[0].log_index, Some(7));
    assert_eq!(reason.details["limit"], 3);
    let silent = decide_with(both, "data.custos.gate", &json!({}));
    assert_eq!(
        (silent.verdict, silent.reasons[0].code.as_str()),
        (Verdict::Deny, "allow-false")
    );
}

#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn nothing_but_a_clear_yes_passes() {
    let cases = [
        // No rule decides.
        (
            "package custos.gate\nx := input.n",
            "data.custos.gate",
            "policy-without-rules",
        ),
        (
            "package other\ndeny contains 1 if input.n",
            "data.custos.gate",
            "policy-without-rules",
        ),
        ("package t\nallow(x) := x", "data.t", "policy-without-rules"),
        // Our own packages need both.
        (
            "package custos.gate\nallow if input.n",
            "data.custos.gate",
            "policy-incomplete",
        ),
        (
            "package custos.gate\ndeny contains 1 if input.z",
            "data.custos.gate",
            "policy-incomplete",
        ),
        // Nothing depends on the input.
        (
            "package t\ndeny contains 1 if false",
            "data.t",
            "policy-vacuous",
        ),
        ("package t\nallow := true", "data.t", "policy-vacuous"),
        (
            "package t\nallow if helper\nhelper if 1 == 1",
            "data.t",
            "policy-vacuous",
        ),
        // Undefined and malformed answers.
        (
            "package t\ndeny := x if { x := input.zz }",
            "data.t",
            "answer-undefined",
        ),
        (
            "package t\ndefault deny := false\ndeny if input.zz",
            "data.t",
            "answer-malformed",
        ),
        (
            "package t\ndeny := {\"a\": input.n}",
            "data.t",
            "answer-malformed",
        ),
        (
            "package t\ndeny := \"\" if input.n",
            "data.t",
            "answer-malformed",
        ),
        (
            "package t\ndeny := null if input.n",
            "data.t",
            "answer-malformed",
        ),
        (
            "package t\nallow := \"true\" if input.n",
            "data.t",
            "answer-malformed",
        ),
        (
            "package t\nallow := 1 if input.n",
            "data.t",
            "answer-malformed",
        ),
        (
            "package t\nallow := [true] if input.n",
            "data.t",
            "answer-malformed",
        ),
        // Rules that disagree.
        (
            "package t\nallow := true if input.n\nallow := false if input.n",
            "data.t",
            "engine-error",
        ),
        // Queries that are none.
        (
            "package t\nallow if input.n",
            "data.t.allow; true",
            "query-not-accepted",
        ),
        ("package t\nallow if input.n", "", "query-not-accepted"),
        ("package t\nallow if input.n", "data", "query-not-accepted"),
        (
            "package t\nallow if input.n",
            "data.t.missing",
            "policy-without-rules",
        ),
    ];
    for (policy, query, code) in cases {
        let policy = policy.replacen('\n', "\nimport rego.v1\n", 1);
        let found = verdict_and_code(&policy, query);
        assert_eq!(found, (Verdict::Undecided, code.to_owned()), "{policy}");
    }
}

#[test]
fn plain_opa_policies_decide_too() {
    let cases = [
        (
            "package k\ndeny contains \"no\" if input.n == 1",
            "data.k",
            Verdict::Deny,
        ),
        (
            "package k\ndeny contains \"no\" if input.n == 2",
            "data.k",
            Verdict::Allow,
        ),
        (
            "package k\ndeny contains {\"msg\": \"no\"} if input.n == 1",
            "data.k.deny",
            Verdict::Deny,
        ),
        (
            "package k\nviolation contains {\"msg\": \"no\", \"details\": {}} if input.n == 1",
            "data.k",
            Verdict::Deny,
        ),
        (
            "package k\ndeny_large contains 7 if input.n == 1\ndeny contains 1 if input.n == 5",
            "data.k",
            Verdict::Deny,
        ),
        (
            "package k\ndeny := [\"a\" | input.n == 1]",
            "data.k",
            Verdict::Deny,
        ),
        ("package k\ndeny if input.n == 1", "data.k", Verdict::Deny),
        (
            "package k\nwarn contains \"w\" if input.n == 1\ndeny contains 1 if input.n == 5",
            "data.k",
            Verdict::Allow,
        ),
        (
            "package k\ndefault allow := false\nallow if input.n == 1",
            "data.k",
            Verdict::Allow,
        ),
        ("package k\nallow if input.n == 2", "data.k", Verdict::Deny),
        (
            "package k\ndeny contains \"no\" if input.n == 1\nallow if input.n == 1",
            "data.k",
            Verdict::Deny,
        ),
    ];
    for (policy, query, verdict) in cases {
        let policy = policy.replacen('\n', "\nimport rego.v1\n", 1);
        assert_eq!(verdict_and_code(&policy, query).0, verdict, "{policy}");
    }
}

#[test]
fn a_denial_in_another_form_is_not_left_out() {
    // Each says no for n = 1, or says nothing that decides; `allow` alone would say yes.
    for (policy, verdict) in [
        ("deny[\"small\"] { input.n < 3 }", Verdict::Deny),
        ("deny[msg] { input.n < 3; msg := \"small\" }", Verdict::Deny),
        (
            "deny.images contains \"x\" if input.n < 3",
            Verdict::Undecided,
        ),
        ("deny[\"x\"] if input.n < 3", Verdict::Undecided),
        ("deny[x] := 1 if some x in [input.n]", Verdict::Undecided),
    ] {
        let v0 = !policy.contains(" if ");
        let allow = if v0 {
            "allow { input.n }"
        } else {
            "allow if input.n"
        };
        let text = format!("package k\n{policy}\n{allow}");
        assert_eq!(verdict_and_code(&text, "data.k").0, verdict, "{policy}");
    }
}

#[test]
fn rego_v0_and_v1_decide_together() {
    let files = vec![
        PolicyFile::new(
            "old.rego",
            "package old\nbad[msg] { input.n > 3; msg := \"big\" }",
        ),
        PolicyFile::new(
            "new.rego",
            "package new\nimport rego.v1\nimport data.old\ndeny contains msg if some msg in old.bad",
        ),
    ];
    let set = PolicySet::load(files, &PolicyLimits::default()).unwrap();
    let ask = |n| decide(&set, &json!({"n": n}), &evaluation().asking("data.new")).verdict;
    assert_eq!((ask(1), ask(4)), (Verdict::Allow, Verdict::Deny));
    let syntaxes: Vec<_> = set
        .syntaxes()
        .iter()
        .filter(|(file, _)| !file.contains('/'))
        .collect();
    assert_eq!(
        format!("{syntaxes:?}"),
        r#"[("new.rego", V1), ("old.rego", V0)]"#
    );
}

#[test]
fn rules_of_test_files_do_not_decide() {
    let files = vec![
        PolicyFile::new(
            "a.rego",
            "package k\nimport rego.v1\ndeny contains 1 if input.n == 5",
        ),
        PolicyFile::new(
            "a_test.rego",
            "package k_test\nimport rego.v1\nallow if input.n == 1",
        ),
    ];
    let set = PolicySet::load(files, &PolicyLimits::default()).unwrap();
    let decision = decide(&set, &json!({"n": 1}), &evaluation().asking("data.k_test"));
    assert_eq!(decision.reasons[0].code, "policy-without-rules");

    // Nor do they add to rules that do, or take them out of the decision.
    let rule = "package k\nimport rego.v1\ndeny contains 1 if input.n == 1";
    for tests in [rule, "package k\nimport rego.v1\ndefault allow := true"] {
        let policy = format!("{rule}\nallow if input.n");
        let files = vec![
            PolicyFile::new("a_test.rego", tests),
            PolicyFile::new("b.rego", policy),
        ];
        let findings = PolicySet::load(files, &PolicyLimits::default()).unwrap_err();
        assert_eq!(findings[0].code(), "policy-test-adds-to-rule");
    }
}

#[test]
fn time_is_the_injected_one_and_replay_is_exact() {
    let text = "package custos.gate\nimport rego.v1\n\
                deny contains \"late\" if time.now_ns() > time.parse_rfc3339_ns(input.until)\n\
                default allow := false\nallow if { count(deny) == 0; is_string(input.until) }";
    let set = load(text).unwrap();
    let input = json!({"until": "2026-01-01T00:00:00Z"});
    let at = |now: &str| decide(&set, &input, &Evaluation::at(now.parse().unwrap()));
    assert_eq!(at("2025-12-31T23:59:59Z").verdict, Verdict::Allow);
    assert_eq!(at("2026-01-01T00:00:01Z").verdict, Verdict::Deny);
    assert_eq!(at("2026-01-01T00:00:01Z"), at("2026-01-01T00:00:01Z"));
}

#[test]
fn inputs_that_are_no_documents_are_undecided() {
    let text = "package k\nimport rego.v1\ndeny contains 1 if input.n == 5";
    for input in [json!(null), json!([1]), json!("x"), json!(1)] {
        let decision = decide_with(text, "data.k", &input);
        assert_eq!(decision.reasons[0].code, "input-not-an-object");
    }
    let deep = (0..100).fold(json!(1), |inner, _| json!([inner]));
    let decision = decide_with(text, "data.k", &json!({"deep": deep}));
    assert_eq!(decision.reasons[0].code, "input-too-large");
}

#[test]
fn reasons_are_bounded() {
    let text = "package k\nimport rego.v1\n\
                deny contains sprintf(\"%v %s\", [i, long]) if { long := input.long; some i in numbers.range(1, 3000) }";
    let decision = decide_with(text, "data.k", &json!({"long": "x".repeat(10_000)}));
    assert_eq!(decision.reasons.len(), 1_001);
    assert_eq!(decision.reasons[1_000].message, "2000 more");
    assert!(
        decision
            .reasons
            .iter()
            .all(|reason| reason.message.len() <= 4_096)
    );
}

#[test]
fn one_set_serves_many_threads() {
    let text =
        "package k\nimport rego.v1\ndeny contains sprintf(\"%d\", [input.n]) if input.n % 2 == 1";
    let set = Arc::new(load(text).unwrap());
    let threads: Vec<_> = (0..8)
        .map(|thread| {
            let set = Arc::clone(&set);
            std::thread::spawn(move || {
                for i in 0..20 {
                    let n = thread * 100 + i;
                    let decision = decide(&set, &json!({"n": n}), &evaluation().asking("data.k"));
                    let denied = decision.verdict == Verdict::Deny;
                    assert_eq!(denied, n % 2 == 1);
                    assert!(!denied || decision.reasons[0].message == n.to_string());
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}
