//! Each weakness with a number and each way around a scanner that is known: one file that uses it,
//! and its harmless twin.
//!
//! The lists are `bypasses/cves.txt` and `bypasses/classes.txt`. An entry without a case fails here,
//! as does a case without an entry, and a number that the scanner gives without a case for it.

mod models;
mod pickles;
mod places;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use custos_core::finding::Severity;
use custos_scan::{FileReport, Neighbour, Neighbours, Options, State, scan};

const CVES: &str = include_str!("bypasses/cves.txt");
const CLASSES: &str = include_str!("bypasses/classes.txt");

/// A file that hurts, and one that does not though it looks the same.
pub struct Case {
    id: &'static str,
    how: String,
    rule: &'static str,
    least: Severity,
    name: &'static str,
    files: [Vec<u8>; 2],
    beside: [Neighbour; 2],
    twin: State,
}

/// A case of which a rule tells at High or worse.
pub fn case(
    id: &'static str,
    how: impl Into<String>,
    rule: &'static str,
    files: [Vec<u8>; 2],
) -> Case {
    Case {
        id,
        how: how.into(),
        rule,
        least: Severity::High,
        name: "x",
        files,
        beside: [Neighbour::File(1 << 20); 2],
        twin: State::Clean,
    }
}

impl Case {
    /// Under this name.
    pub fn named(self, name: &'static str) -> Self {
        Self { name, ..self }
    }

    /// Told at this severity.
    pub fn at(self, least: Severity) -> Self {
        Self { least, ..self }
    }

    /// The twin hurts nobody, and cannot be read to its end.
    pub fn unreadable(self) -> Self {
        Self {
            twin: State::Incomplete,
            ..self
        }
    }

    /// What lies beside the files under any name.
    pub fn beside(self, beside: [Neighbour; 2]) -> Self {
        Self { beside, ..self }
    }

    fn look(&self, which: usize) -> FileReport {
        struct Beside(Neighbour);
        impl Neighbours for Beside {
            fn find(&self, _: &str) -> Neighbour {
                self.0
            }
        }
        let beside = Beside(self.beside[which]);
        let options = Options {
            neighbours: Some(&beside),
            ..Options::default()
        };
        scan(self.name, &self.files[which], &options)
    }
}

fn cases() -> Vec<Case> {
    [pickles::cases(), places::cases(), models::cases()]
        .into_iter()
        .flatten()
        .collect()
}

// First word of each line; of numbers, the second says whether the scanner gives it.
fn listed(list: &'static str) -> BTreeMap<&'static str, &'static str> {
    let lines = list.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.split_once(' '))
        .map(|(id, rest)| (id, rest.trim_start().split(' ').next().unwrap()))
        .collect()
}

#[test]
fn the_bad_are_told_and_their_twins_are_not() {
    let numbers = listed(CVES);
    let mut wrong = Vec::new();
    for case in cases() {
        let bad = case.look(0);
        let told = bad
            .findings
            .iter()
            .find(|one| one.rule == case.rule && one.severity >= case.least);
        let Some(told) = told else {
            wrong.push(format!("{}, {}: missed: {bad:#?}", case.id, case.how));
            continue;
        };
        if numbers.get(case.id) == Some(&"given") && !told.cves.iter().any(|cve| cve == case.id) {
            wrong.push(format!("{}, {}: without its number", case.id, case.how));
        }
        let good = case.look(1);
        if good.state(case.least) != case.twin {
            wrong.push(format!("{}, {}: twin: {good:#?}", case.id, case.how));
        }
        if good
            .findings
            .iter()
            .flat_map(|one| &one.cves)
            .any(|cve| cve == case.id)
        {
            wrong.push(format!("{}, {}: twin has the number", case.id, case.how));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn every_entry_has_a_case_and_every_case_an_entry() {
    let entries: BTreeSet<&str> = listed(CVES)
        .into_keys()
        .chain(listed(CLASSES).into_keys())
        .collect();
    let shown: BTreeSet<&str> = cases().iter().map(|case| case.id).collect();
    let lacking: Vec<_> = entries.difference(&shown).collect();
    let unlisted: Vec<_> = shown.difference(&entries).collect();
    assert!(lacking.is_empty(), "without a case: {lacking:?}");
    assert!(unlisted.is_empty(), "without an entry: {unlisted:?}");
}

#[test]
fn every_number_that_is_given_has_a_case() {
    let mut given = BTreeSet::new();
    numbers_in(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut given,
    );
    let listed = listed(CVES);
    let expected: BTreeSet<String> = listed
        .iter()
        .filter(|(_, how)| **how == "given")
        .map(|(id, _)| (*id).to_owned())
        .collect();
    assert_eq!(given, expected);
}

// Numbers between quotation marks, and so not in texts.
fn numbers_in(folder: &Path, numbers: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            numbers_in(&path, numbers);
        } else if !path.ends_with("tests.rs") {
            let source = std::fs::read_to_string(&path).unwrap();
            let quoted = source.split('"').filter(|part| {
                let number = part.strip_prefix("CVE-").unwrap_or_default();
                !number.is_empty()
                    && number
                        .bytes()
                        .all(|byte| byte == b'-' || byte.is_ascii_digit())
            });
            numbers.extend(quoted.map(str::to_owned));
        }
    }
}
