//! A corpus of tricky policies, with what OPA 1.20.2 answers and what Custos answers.
//!
//! Each case has a policy, an input, and the two answers to `data.t.r`. `opa` is checked against
//! the real OPA by the peer test; `custos` is checked here. The law that ties them together is
//! checked here too: Custos gives OPA's answer, or none.

use std::collections::BTreeMap;

use custos_policy::{PolicyFile, PolicyLimits, PolicySet, Severity, eval};
use serde::Deserialize;
use serde_json::Value;

use crate::evaluation;

#[derive(Debug, Deserialize)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) policy: String,
    pub(crate) input: Value,
    pub(crate) custos: Answer,
    pub(crate) opa: Answer,
}

/// `"undefined"`, `"error"`, or an object that says which value, error or rejection.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Answer {
    Value(Value),
    Rejected(String),
    #[serde(untagged)]
    Failed {
        error: String,
    },
    #[serde(untagged)]
    Word(String),
}

// Cases in which both have an answer, or one is undefined, and they differ. Each is argued.
const KNOWN_DIFFERENCES: &[(&str, &str)] = &[
    // OPA rejects, by its type checker or as a matter of style, what has one meaning only.
    (
        "every_body_undef",
        "declared variables must be used; undefined either way",
    ),
    ("every_emptyobj", "declared variables must be used"),
    ("every_key_shadow", "declared variables must be used"),
    ("with_every", "declared variables must be used"),
    (
        "expr [1,2][-1]",
        "an index that never exists; undefined either way",
    ),
    ("expr {100: 1}[1e2]", "two writings of one number"),
    ("expr print(\"x\")", "`print` has no value"),
    (
        "fn_local_called",
        "a variable that is called; the function is meant",
    ),
    (
        "fn_pattern_arr_no",
        "a pattern that never matches; undefined either way",
    ),
    (
        "import_as_builtin",
        "an import that is called; the built-in is meant",
    ),
    ("late_binding_in", "a variable above its declaration"),
    (
        "neg_idx",
        "an index that never exists; undefined either way",
    ),
    ("not_userfn_field", "a member that never exists"),
    ("glob_empty_delim", "an empty delimiter delimits nothing"),
    ("expr regex.is_valid(1)", "a number is no pattern"),
    ("o9", "an element that never exists; undefined either way"),
    ("reorder_some", "a variable above its declaration"),
    (
        "str_key_arr",
        "an index that never exists; undefined either way",
    ),
    // Undefined where OPA is strict, and as in OPA where it is not.
    (
        "expr array.slice([1,2,3], 1.5, 2)",
        "undefined where OPA is strict",
    ),
    (
        "expr json.patch({\"a\":1}, [{\"op\":\"test\",\"path\":\"/a\",\"value\":2}])",
        "undefined where OPA is strict",
    ),
    ("json_patch_missing", "undefined where OPA is strict"),
    ("units_bad", "undefined where OPA is strict"),
    // Numbers: integers of 64 bits are exact, everything else is binary floating point.
    (
        "expr 0.1 + 0.2",
        "OPA calculates in 64 bits and shows fewer digits",
    ),
    ("expr 0.1+0.2 == 0.3", "OPA compares what it shows"),
    ("expr 1e-400 == 0", "smaller than any number of 64 bits"),
    (
        "expr 1e2",
        "the same number, written with or without a point",
    ),
    ("expr ceil(-0.5)", "OPA 1.20 rounds it up to 1"),
    (
        "expr json.is_valid(\"1e400\")",
        "larger than any number of 64 bits",
    ),
    (
        "expr json.marshal({\"b\":1,\"a\":[1.0]})",
        "the same number",
    ),
    ("expr to_number(\"1e5\")", "the same number"),
    ("rounding", "OPA 1.20 rounds -0.1 down to -0"),
    ("sum_floats", "0.1 + 0.2"),
    // Texts for people.
    ("expr sprintf(\"%.2s\", [\"abc\"])", "precision of a text"),
    ("expr sprintf(\"%e\", [1.5])", "form of the exponent"),
    ("expr sprintf(\"%o\", [8])", "prefix of an octal number"),
    ("expr sprintf(\"%s\", [1])", "a number as a text"),
    (
        "expr sprintf(\"%t\", [true])",
        "OPA passes booleans to Go as text",
    ),
    ("expr sprintf(\"%v\", [1e21])", "exponent or digits"),
    ("expr trace(\"x\")", "what is traced, not true"),
    ("format_bool", "OPA passes booleans to Go as text"),
    // Corners of built-in functions.
    (
        "expr indexof(\"abc\", \"\")",
        "an empty text is found at the beginning",
    ),
    (
        "expr json.marshal(\"<\")",
        "OPA escapes what HTML could trip over",
    ),
    ("expr lower(\"İ\")", "Unicode lower case in full"),
    (
        "expr semver.is_valid(\"v1.0.0\")",
        "a prefix that the standard does not have",
    ),
    ("expr to_number(\" 1\")", "white space before a number"),
    ("expr upper(\"ß\")", "Unicode upper case in full"),
    ("expr {} < set()", "order of an object and a set"),
    (
        "obj_literal_dup_dyn",
        "one key twice in an object: the last one counts",
    ),
    ("upper_sharp_s", "Unicode upper case in full"),
];

pub(crate) fn cases() -> Vec<Case> {
    serde_json::from_str(include_str!("../corpus.json")).unwrap()
}

fn ask(case: &Case) -> Answer {
    let files = vec![PolicyFile::new("p.rego", case.policy.as_str())];
    let set = match PolicySet::load(files, &PolicyLimits::default()) {
        Ok(set) => set,
        Err(findings) => {
            let error = findings
                .iter()
                .find(|f| f.severity() == Severity::Error)
                .unwrap();
            return Answer::Rejected(error.code().to_owned());
        }
    };
    match eval(&set, "data.t.r", &case.input, &evaluation()) {
        Ok(answer) => match answer.get("result") {
            Some(result) => Answer::Value(result[0]["expressions"][0]["value"].clone()),
            None => Answer::Word("undefined".to_owned()),
        },
        Err(error) => Answer::Failed {
            error: error.code().to_owned(),
        },
    }
}

#[test]
fn every_case_answers_as_recorded() {
    let cases = cases();
    assert!(cases.len() > 1_300);
    let wrong: Vec<String> = cases
        .iter()
        .map(|case| (case, ask(case)))
        .filter(|(case, answer)| *answer != case.custos)
        .map(|(case, answer)| format!("{}: {answer:?}, not {:?}", case.name, case.custos))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn where_custos_answers_it_answers_like_opa() {
    let known: BTreeMap<_, _> = KNOWN_DIFFERENCES.iter().copied().collect();
    for case in cases() {
        let silent = matches!(case.custos, Answer::Rejected(_) | Answer::Failed { .. });
        let differs = !silent && case.custos != case.opa;
        let name = case.name.as_str();
        assert_eq!(differs, known.contains_key(name), "{case:?}");
    }
}
