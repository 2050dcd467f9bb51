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
    (
        "every_body_undef",
        "OPA wants declared variables used; undefined either way",
    ),
    (
        "format_bool",
        "OPA passes booleans to Go as text; the text is for people",
    ),
    (
        "json_patch_missing",
        "undefined where OPA is strict, and as in OPA where it is not",
    ),
    (
        "neg_idx",
        "OPA's type checker sees an index that never exists; undefined either way",
    ),
    ("rounding", "OPA 1.20 rounds -0.1 down to -0"),
    (
        "str_key_arr",
        "OPA's type checker sees an index that never exists; undefined either way",
    ),
    (
        "sum_floats",
        "0.1 + 0.2 in binary floating point; OPA rounds for showing",
    ),
    (
        "units_bad",
        "undefined where OPA is strict, and as in OPA where it is not",
    ),
    ("upper_sharp_s", "Unicode upper case of a sharp s"),
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
    assert!(cases.len() > 300);
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
