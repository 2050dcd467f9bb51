//! Runs `test_` rules, as `opa test` does.
//!
//! A rule whose name begins with `test_` is a test, in whatever file it stands; `todo_test_` is
//! listed as skipped. It passes if it is exactly true. Each test runs by itself, without input
//! (tests bring theirs by `with input as`), under the same guard as a decision.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use custos_core::clock::Timestamp;
use serde::Serialize;

use crate::error::{EvalError, Position};
use crate::evaluation::{self, Evaluation};
use crate::limits::MAX_REASONS;
use crate::set::PolicySet;
use crate::starter;

/// How to run tests.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TestOptions {
    /// What `time.now_ns()` says.
    pub now: Timestamp,
    /// How long each test may take.
    pub deadline: Duration,
    /// Only tests whose path contains this text.
    pub filter: Option<String>,
    /// Also find out which lines of the policies the tests reach.
    pub coverage: bool,
}

impl TestOptions {
    /// Returns options for all tests, without coverage.
    pub const fn at(now: Timestamp) -> Self {
        Self {
            now,
            deadline: Duration::from_secs(10),
            filter: None,
            coverage: false,
        }
    }
}

/// What the tests said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct TestReport {
    /// One for each test, by path.
    pub results: Vec<TestResult>,
    /// Lines that the tests reached, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coverage: Option<Vec<Coverage>>,
}

impl TestReport {
    /// Returns true if there was a test, and each one passed or is marked as to be done.
    pub fn passed(&self) -> bool {
        let any = self
            .results
            .iter()
            .any(|result| result.outcome == Outcome::Passed);
        any && self
            .results
            .iter()
            .all(|r| matches!(r.outcome, Outcome::Passed | Outcome::Skipped))
    }
}

/// One test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct TestResult {
    /// Its path, such as `data.custos.gate_test.test_allows`.
    pub path: String,
    /// The file that it stands in.
    pub file: String,
    /// Its line.
    pub line: u32,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// What it printed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub prints: Vec<String>,
}

/// What came of a test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "outcome")]
#[allow(clippy::exhaustive_enums, reason = "reports must handle all four")]
pub enum Outcome {
    /// It had no value because the engine failed.
    Error {
        /// Why.
        message: String,
    },
    /// It is not true: its value, `undefined` if it has none.
    Failed {
        /// The value.
        value: String,
    },
    /// It is true.
    Passed,
    /// It is marked as to be done.
    Skipped,
}

/// Which lines of one policy file the tests reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Coverage {
    /// The file.
    pub file: String,
    /// Lines that were reached.
    pub covered: BTreeSet<u32>,
    /// Lines that could be reached and were not.
    pub not_covered: BTreeSet<u32>,
}

/// Runs the tests of a set.
pub fn test(set: &PolicySet, options: &TestOptions) -> TestReport {
    let mut results = Vec::new();
    let mut lines: BTreeMap<String, (BTreeSet<u32>, BTreeSet<u32>)> = BTreeMap::new();
    for (path, rule) in &set.rules {
        let name = path.last().map_or("", String::as_str);
        let (run, todo) = (name.starts_with("test_"), name.starts_with("todo_test_"));
        let path = path.join(".");
        let wanted = options
            .filter
            .as_ref()
            .is_none_or(|filter| path.contains(filter));
        if !(run || todo) || !rule.arities.is_empty() || !wanted {
            continue;
        }
        let Position { line, .. } = rule.position;
        let (outcome, ran) = if todo {
            (Outcome::Skipped, Ran::default())
        } else {
            match run_one(set, &path, options) {
                Ok(ran) => (ran.outcome(), ran),
                Err(error) => (
                    Outcome::Error {
                        message: error.to_string(),
                    },
                    Ran::default(),
                ),
            }
        };
        for (file, covered, missed) in ran.lines {
            let entry = lines.entry(file).or_default();
            entry.0.extend(covered);
            entry.1.extend(missed);
        }
        let file = rule.file.clone();
        results.push(TestResult {
            path,
            file,
            line,
            outcome,
            prints: ran.prints,
        });
    }
    TestReport {
        results,
        coverage: options.coverage.then(|| coverage(lines)),
    }
}

#[derive(Default)]
struct Ran {
    value: Option<regorus::Value>,
    prints: Vec<String>,
    lines: Vec<(String, BTreeSet<u32>, BTreeSet<u32>)>,
}

impl Ran {
    fn outcome(&self) -> Outcome {
        match &self.value {
            Some(regorus::Value::Bool(true)) => Outcome::Passed,
            Some(regorus::Value::Undefined) | None => Outcome::Failed {
                value: "undefined".to_owned(),
            },
            Some(other) => Outcome::Failed {
                value: other.to_string().chars().take(200).collect(),
            },
        }
    }
}

fn run_one(set: &PolicySet, path: &str, options: &TestOptions) -> Result<Ran, EvalError> {
    let evaluation = Evaluation::at(options.now).within(options.deadline);
    let mut engine = evaluation::session(set, &evaluation)?;
    let (path, with_coverage) = (path.to_owned(), options.coverage);
    evaluation::guarded(options.deadline, move || {
        // Undefined, as under `opa test`: a test that forgets its input must not pass by chance.
        engine.set_input(regorus::Value::Undefined);
        engine.set_enable_coverage(with_coverage);
        let value = engine
            .eval_rule(path)
            .map_err(|error| evaluation::failed(&error))?;
        evaluation::sized(&value)?;
        let mut prints = engine.take_prints().unwrap_or_default();
        prints.truncate(MAX_REASONS);
        let mut lines = Vec::new();
        if with_coverage {
            let report = engine
                .get_coverage_report()
                .map_err(|e| evaluation::failed(&e))?;
            lines = report
                .files
                .into_iter()
                .map(|f| (f.path, f.covered, f.not_covered))
                .collect();
        }
        Ok(Ran {
            value: Some(value),
            prints,
            lines,
        })
    })
}

fn coverage(lines: BTreeMap<String, (BTreeSet<u32>, BTreeSet<u32>)>) -> Vec<Coverage> {
    let library = starter::library();
    lines
        .into_iter()
        .filter(|(file, _)| !file.ends_with("_test.rego"))
        .filter(|(file, _)| !library.iter().any(|own| own.path == *file))
        .map(|(file, (covered, missed))| {
            let not_covered = missed.difference(&covered).copied().collect();
            Coverage {
                file,
                covered,
                not_covered,
            }
        })
        .collect()
}
