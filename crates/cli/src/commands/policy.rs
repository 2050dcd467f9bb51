//! `custos policy`: evaluate, test and check policies.

use std::path::Path;

use custos_core::json;
use custos_core::limits::Limits;
use custos_policy::{
    Evaluation, Outcome as TestOutcome, PolicyLimits, PolicySet, Severity, TestOptions, TestResult,
    check, eval, test,
};
use serde_json::{Value, json};

use crate::args::{PolicyArgs, PolicyCommand};
use crate::context::Context;
use crate::exit::Exit;
use crate::files::read_bytes;
use crate::policies;
use crate::term::Role;
use crate::{Failure, Outcome};

/// Largest policy input, in bytes.
const MAX_INPUT: u64 = 64 << 20;

/// Runs the command.
pub fn run(args: &PolicyArgs, context: &Context) -> Outcome {
    match &args.command {
        PolicyCommand::Eval {
            policy,
            query,
            input,
            moment,
        } => {
            let set = load(&policy.named, context)?;
            let evaluation = Evaluation::at(moment.now.unwrap_or_else(|| context.now()));
            evaluate(&set, query, input.as_deref(), (&evaluation, context))
        }
        PolicyCommand::Test { policy, moment } => {
            let options = TestOptions::at(moment.now.unwrap_or_else(|| context.now()));
            run_tests(&policy.named, &options, context)
        }
        PolicyCommand::Check { policy } => run_checks(&policy.named, context),
    }
}

fn load(policy: &[String], context: &Context) -> Result<PolicySet, Failure> {
    let files = policies::files(policy, context)?;
    PolicySet::load(files, &PolicyLimits::default())
        .map_err(|errors| policies::failure(&policy.join(" "), &errors))
}

fn evaluate(
    set: &PolicySet,
    query: &str,
    input: Option<&Path>,
    (evaluation, context): (&Evaluation, &Context),
) -> Outcome {
    let input: Value = match input {
        None => json!({}),
        Some(file) => {
            let file = context.resolve(file);
            let bytes = read_bytes(&file, MAX_INPUT)?;
            json::from_slice(&bytes, &Limits::STATEMENT).map_err(|error| {
                Failure::usage("E0002", "the input is not accepted")
                    .at(file.display().to_string())
                    .because(error.to_string())
            })?
        }
    };
    let answer = eval(set, query, &input, evaluation).map_err(|error| {
        Failure::undecided("E0503", "the query has no answer")
            .at(query)
            .because(error.to_string())
    })?;
    let value = answer.pointer("/result/0/expressions/0/value");
    let text = match value {
        Some(value) => format!("{value:#}\n"),
        None => "undefined\n".to_owned(),
    };
    context.term.result(
        &text,
        &json!({
            "schema": "custos.policy.eval/1", "query": query, "result": value, "answer": answer,
        }),
    )?;
    Ok(Exit::Yes)
}

fn run_tests(policy: &[String], options: &TestOptions, context: &Context) -> Outcome {
    let set = load(policy, context)?;
    let report = test(&set, options);
    let (mut text, mut failed) = (String::new(), Vec::new());
    for result in &report.results {
        let (role, word) = match why_failed(result) {
            Some(why) => {
                failed.push(why);
                (Role::Bad, "FAIL")
            }
            None if result.outcome == TestOutcome::Skipped => (Role::Warn, "skip"),
            None => (Role::Good, "ok  "),
        };
        let word = context.term.paint(role, word);
        text.push_str(&format!("{word} {}\n", result.path));
        for line in &result.prints {
            text.push_str(&format!("     {line}\n"));
        }
    }
    let is = |outcome| {
        let results = report.results.iter();
        results.filter(|one| one.outcome == outcome).count()
    };
    let (passed, skipped) = (is(TestOutcome::Passed), is(TestOutcome::Skipped));
    let failures = failed.len();
    text.push_str(&format!(
        "{passed} passed, {failures} failed, {skipped} skipped\n"
    ));
    if !failed.is_empty() {
        context.term.say(&text)?;
        let failure = Failure::no("E0504", "tests of the policy failed");
        return Err(failed.into_iter().fold(failure, Failure::because));
    }
    if !report.passed() {
        return Err(Failure::no("E0504", "no test of it has run")
            .at(policy.join(" "))
            .help("a test is a rule whose name begins with test_"));
    }
    context.term.result(
        &text,
        &json!({
            "schema": "custos.policy.test/1",
            "passed": passed, "failed": 0, "skipped": skipped,
            "results": report.results,
        }),
    )?;
    Ok(Exit::Yes)
}

fn why_failed(result: &TestResult) -> Option<String> {
    let why = match &result.outcome {
        TestOutcome::Passed | TestOutcome::Skipped => return None,
        TestOutcome::Failed { value } => format!("it is {value}, not true"),
        TestOutcome::Error { message } => message.clone(),
    };
    let (path, file, line) = (&result.path, &result.file, result.line);
    Some(format!("{path} ({file}:{line}): {why}"))
}

fn run_checks(policy: &[String], context: &Context) -> Outcome {
    let files = policies::files(policy, context)?;
    let findings = check(files, &PolicyLimits::default());
    let mut text = String::new();
    // Errors are told by the failure below.
    for finding in findings
        .iter()
        .filter(|one| one.severity() == Severity::Warning)
    {
        let word = context.term.paint(Role::Warn, "warning");
        text.push_str(&format!("{word}: {}\n", policies::line(finding)));
    }
    let errors = findings
        .iter()
        .filter(|one| one.severity() == Severity::Error)
        .count();
    let warnings = findings.len().saturating_sub(errors);
    text.push_str(&format!("{errors} errors, {warnings} warnings\n"));
    if errors > 0 {
        context.term.say(&text)?;
        let mut failure = Failure::no("E0501", "the policy has errors").at(policy.join(" "));
        for finding in findings
            .iter()
            .filter(|one| one.severity() == Severity::Error)
        {
            failure = failure.because(policies::line(finding));
        }
        return Err(failure);
    }
    context.term.result(
        &text,
        &json!({
            "schema": "custos.policy.check/1",
            "errors": errors,
            "warnings": findings.iter().map(policies::line).collect::<Vec<_>>(),
        }),
    )?;
    Ok(Exit::Yes)
}
