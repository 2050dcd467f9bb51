//! The starter policies pass their own tests, without warnings, and cover their rules.

use custos_policy::{Outcome, PolicyLimits, PolicySet, TestOptions, starter, test};

use crate::NOW;

fn starter_set() -> PolicySet {
    PolicySet::load(starter::policies(), &PolicyLimits::default()).unwrap_or_else(|findings| {
        let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
        panic!("{}", lines.join("\n"))
    })
}

#[test]
fn starter_policies_load_without_warnings() {
    let warnings: Vec<String> = starter_set()
        .warnings()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(warnings, Vec::<String>::new());
}

#[test]
fn starter_policies_pass_their_tests() {
    let mut options = TestOptions::at(NOW);
    options.coverage = true;
    let report = test(&starter_set(), &options);
    let bad: Vec<_> = report
        .results
        .iter()
        .filter(|r| r.outcome != Outcome::Passed)
        .collect();
    assert!(bad.is_empty(), "{bad:#?}");
    assert!(report.results.len() > 60, "{}", report.results.len());
    assert!(report.passed());
    let missed: Vec<_> = report
        .coverage
        .unwrap()
        .into_iter()
        .filter(|file| !file.not_covered.is_empty())
        .map(|file| (file.file, file.not_covered))
        .collect();
    assert_eq!(missed, vec![]);
}
