//! Random policies and inputs: no panic, no hang, and never a yes without reason.

use custos_policy::{GATE_PACKAGE, fuzz, starter};
use proptest::prelude::*;
use serde_json::{Value, json};

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|n| json!(n)),
        "[a-z:0-9]{0,8}".prop_map(Value::from),
        Just(json!("known")),
        Just(json!("custos.facts/1")),
    ];
    let key = prop_oneof![
        Just("custos".to_owned()),
        Just("lineage".to_owned()),
        Just("state".to_owned()),
        Just("value".to_owned()),
        Just("steps".to_owned()),
        Just("signer".to_owned()),
        Just("request".to_owned()),
        Just("verification".to_owned()),
        Just("artifactSignature".to_owned()),
        "[a-z]{1,6}",
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(key.clone(), inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Pieces of policies, put together at random: near enough to Rego to get far into the engine.
#[allow(clippy::too_many_lines, reason = "a list of words")]
fn policy_text() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "package t",
        "import rego.v1",
        "import data.t as u",
        "default ",
        "allow",
        "deny",
        "f(x)",
        "f(",
        ")",
        " if ",
        " { ",
        " } ",
        "contains ",
        "not ",
        "every ",
        "some ",
        "in ",
        "x",
        "y",
        "_",
        "input",
        ".a",
        "[x]",
        "[_]",
        " := ",
        " = ",
        " == ",
        " != ",
        " > ",
        " + ",
        " - ",
        "1",
        "\"s\"",
        "`r`",
        "{",
        "}",
        "[",
        "]",
        ", ",
        ": ",
        "; ",
        "\n",
        "\n",
        "\n",
        "|",
        "&",
        "else ",
        "with input as 1",
        "null",
        "true",
        "count(",
        "sprintf(\"%v\", [",
        "walk(",
        "data.t",
        "#c\n",
        "-1",
        "1e9",
        "as ",
        "set()",
        "\"",
        "strings.count(",
        "numbers.range(1, ",
    ]);
    prop::collection::vec(word, 0..60).prop_map(|words| format!("package t\n{}", words.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_inputs_are_decided(value in json_value()) {
        let input = json!({"custos": value, "request": value, "verification": value});
        fuzz::fuzz_input(input.to_string().as_bytes());
        fuzz::fuzz_input(value.to_string().as_bytes());
    }

    #[test]
    fn random_policies_are_read(text in policy_text()) {
        fuzz::fuzz_policy(text.as_bytes());
    }

    #[test]
    fn random_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        fuzz::fuzz_policy(&bytes);
        fuzz::fuzz_input(&bytes);
    }

    #[test]
    fn damaged_policies_are_read(at in any::<prop::sample::Index>(), cut in 1..200_usize, file in 0..4_usize) {
        let mut bytes = starter::FILES[file].text.as_bytes().to_vec();
        let start = at.index(bytes.len());
        let end = (start + cut).min(bytes.len());
        bytes.drain(start..end);
        fuzz::fuzz_policy(&bytes);
    }
}

#[test]
fn the_good_input_of_the_starter_tests_is_let_through() {
    // Else the tests above could pass by denying everything.
    let set = custos_policy::PolicySet::load(
        starter::policies(),
        &custos_policy::PolicyLimits::default(),
    )
    .unwrap();
    for (test, package) in [
        ("data.custos.gate_test.good", GATE_PACKAGE),
        ("data.custos.require_test.good", starter::REQUIRE_PACKAGE),
    ] {
        let good = custos_policy::eval(&set, test, &json!({}), &crate::evaluation()).unwrap();
        let good = &good["result"][0]["expressions"][0]["value"];
        let decision = custos_policy::decide(&set, good, &crate::evaluation().asking(package));
        assert_eq!(
            decision.verdict,
            custos_policy::Verdict::Allow,
            "{decision:?}"
        );
    }
}
