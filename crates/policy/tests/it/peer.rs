//! The same questions to real OPA (1.20.2, as a Python package).
//!
//! `CUSTOS_PEER_OPA` names the folder that the package `opa-golib-python-bindings` 0.4.4 was
//! unpacked into (`cargo xtask test` installs it). Without it these tests say so and do nothing.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

use custos_policy::{GATE_PACKAGE, PolicyLimits, PolicySet, TestOptions, eval, starter, test};
use serde::Serialize;
use serde_json::{Value, json};

use crate::corpus::{Answer, cases};
use crate::{NOW, evaluation};

#[derive(Serialize)]
struct Job {
    policies: BTreeMap<String, String>,
    query: String,
    inputs: Vec<Value>,
}

#[allow(
    clippy::disallowed_methods,
    clippy::explicit_write,
    reason = "finds the peer, or says loudly that it is not there"
)]
fn opa(jobs: &[Job]) -> Option<Vec<Vec<Answer>>> {
    let Some(folder) = std::env::var_os("CUSTOS_PEER_OPA") else {
        // Not by `eprintln`, which the test harness swallows.
        let skip = "SKIP opa: CUSTOS_PEER_OPA is not set, nothing was compared";
        writeln!(std::io::stderr(), "{skip}").unwrap();
        return None;
    };
    let driver = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/opa_driver.py");
    let mut child = Command::new("python3")
        .arg(driver)
        .env("PYTHONPATH", folder)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&serde_json::to_vec(jobs).unwrap()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

fn starter_texts() -> BTreeMap<String, String> {
    let mut files = starter::library();
    files.extend(starter::policies());
    files
        .into_iter()
        .map(|f| (f.path, String::from_utf8(f.bytes).unwrap()))
        .collect()
}

#[test]
fn opa_answers_the_corpus_as_recorded() {
    let cases = cases();
    let jobs: Vec<Job> = cases
        .iter()
        .map(|case| Job {
            policies: BTreeMap::from([("p.rego".to_owned(), case.policy.clone())]),
            query: "t.r".to_owned(),
            inputs: vec![case.input.clone()],
        })
        .collect();
    let Some(answers) = opa(&jobs) else { return };
    let wrong: Vec<String> = cases
        .iter()
        .zip(&answers)
        .filter(|(case, answers)| answers[0] != case.opa)
        .map(|(case, answers)| format!("{}: {:?}, not {:?}", case.name, answers[0], case.opa))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn opa_passes_the_tests_of_the_starter_policies() {
    let set = PolicySet::load(starter::policies(), &PolicyLimits::default()).unwrap();
    let report = test(&set, &TestOptions::at(NOW));
    let job = |path: &str| Job {
        policies: starter_texts(),
        query: path.trim_start_matches("data.").to_owned(),
        inputs: vec![json!({})],
    };
    let jobs: Vec<Job> = report
        .results
        .iter()
        .map(|result| job(&result.path))
        .collect();
    let Some(answers) = opa(&jobs) else { return };
    for (result, answer) in report.results.iter().zip(answers) {
        assert_eq!(answer, [Answer::Value(json!(true))], "{}", result.path);
    }
}

/// Takes each part out of the good input, and puts each of some odd values in its place.
fn mutants(good: &Value) -> Vec<Value> {
    let mut pointers = Vec::new();
    let mut open = vec![(String::new(), good)];
    while let Some((pointer, value)) = open.pop() {
        match value {
            Value::Object(members) => {
                open.extend(
                    members
                        .iter()
                        .map(|(key, inner)| (format!("{pointer}/{key}"), inner)),
                );
            }
            Value::Array(items) => {
                open.extend(
                    items
                        .iter()
                        .enumerate()
                        .map(|(i, inner)| (format!("{pointer}/{i}"), inner)),
                );
            }
            _ => {}
        }
        pointers.push(pointer);
    }
    let odd = [
        json!(null),
        json!(false),
        json!(true),
        json!(-1),
        json!(99),
        json!("x"),
        json!([]),
        json!({}),
        json!([1]),
    ];
    let mut mutants = Vec::new();
    for pointer in pointers.iter().filter(|pointer| !pointer.is_empty()) {
        for value in &odd {
            let mut mutant = good.clone();
            *mutant.pointer_mut(pointer).unwrap() = value.clone();
            mutants.push(mutant);
        }
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let mut mutant = good.clone();
        match mutant.pointer_mut(parent).unwrap() {
            Value::Object(members) => drop(members.remove(key)),
            Value::Array(items) => drop(items.remove(key.parse().unwrap())),
            _ => unreachable!(),
        }
        mutants.push(mutant);
    }
    mutants
}

#[test]
fn opa_decides_over_mutants_of_the_facts_as_custos_does() {
    let set = PolicySet::load(starter::policies(), &PolicyLimits::default()).unwrap();
    let ask = |query: &str, input: &Value| match eval(&set, query, input, &evaluation()) {
        Ok(answer) => match answer.get("result") {
            Some(result) => Answer::Value(result[0]["expressions"][0]["value"].clone()),
            None => Answer::Word("undefined".to_owned()),
        },
        Err(_) => Answer::Word("error".to_owned()),
    };
    let packages = [
        ("data.custos.gate_test.good", GATE_PACKAGE),
        ("data.custos.require_test.good", starter::REQUIRE_PACKAGE),
    ];
    let mut jobs = Vec::new();
    for (good, package) in packages {
        let Answer::Value(good) = ask(good, &json!({})) else {
            panic!("no good input")
        };
        for rule in ["deny", "allow"] {
            let query = format!("{}.{rule}", package.trim_start_matches("data."));
            jobs.push(Job {
                policies: starter_texts(),
                query,
                inputs: mutants(&good),
            });
        }
    }
    let Some(answers) = opa(&jobs) else { return };
    let (mut compared, mut silent) = (0, 0);
    for (job, answers) in jobs.iter().zip(&answers) {
        for (input, theirs) in job.inputs.iter().zip(answers) {
            let ours = ask(&format!("data.{}", job.query), input);
            // An error of ours is an undecided verdict, whatever OPA makes of the input.
            if ours == Answer::Word("error".to_owned()) {
                silent += 1;
            } else {
                assert!(
                    same(&ours, theirs),
                    "{}\n{ours:?}\n{theirs:?}\n{input}",
                    job.query
                );
                compared += 1;
            }
        }
    }
    assert!(
        compared > 2_000 && silent * 4 < compared,
        "{compared} compared, {silent} in error"
    );
}

// The same value; sets come as arrays, whose order the engines agree on for
// values of one type only.
fn same(ours: &Answer, theirs: &Answer) -> bool {
    let sorted = |answer: &Answer| match answer {
        Answer::Value(Value::Array(items)) => {
            let mut texts: Vec<String> = items.iter().map(ToString::to_string).collect();
            texts.sort();
            Answer::Value(json!(texts))
        }
        other => other.clone(),
    };
    sorted(ours) == sorted(theirs)
}
