//! `custos run`: run a step, and record what went in and what came out.

use std::path::Path;

use custos_core::oms::{Difference, DifferenceKind, compare};
use custos_policy::Verdict;
use custos_provenance::hash::HashOptions;
use custos_provenance::measure::Machine;
use custos_provenance::run::{
    Declared, Environment, Input, Interrupt, Keep, Output, Prepared, RunError, Runner, Step,
    StepOutcome,
};
use custos_trust::signers::reference::KeyReference;
use serde_json::{Value, json};

use crate::args::RunArgs;
use crate::artifacts;
use crate::context::Context;
use crate::exit::Exit;
use crate::files::shown;
use crate::judging::{self, Judged, Judging};
use crate::keys;
use crate::policies::Policy;
use crate::progress::Bar;
use crate::recording::{self, Recorded, Recording};
use crate::running::Running;
use crate::settings::Settings;
use crate::system::{Stopwatch, environment};
use crate::term::Role;
use crate::{Failure, Outcome};

/// Runs the command.
pub fn run(args: &RunArgs, context: &Context) -> Outcome {
    let clock = Stopwatch::start();
    let settings = context.settings()?;
    // Before anything runs: a step whose statement could not be signed would be lost work.
    let signer = recording::key_signer(&args.key, &settings, context)?;
    let key = keys::signing_reference(&args.key, &settings)?;
    let step = declare(args, &key, context)?;
    let mut running = Running::begin(&context.home()?)?;
    let cache = artifacts::cache(context, false);
    let mut hashing = HashOptions::default();
    hashing.cache = cache.as_ref();
    if let Ok(home) = context.home() {
        hashing.tree = hashing.tree.leaving_out(home.root());
    }
    let bar = Bar::bytes(&context.term, "hashing");
    let runner = Runner {
        hashing,
        progress: &bar,
        clock: context.clock(),
        machine: Machine::below("/"),
        version: env!("CARGO_PKG_VERSION"),
    };
    let prepared = runner.prepare(step).map_err(|error| failure(&error))?;
    let required = match &args.require {
        Some(named) => {
            let policy = required_policy(named, &settings, context)?;
            Some(require(&policy, &prepared, &settings, context)?)
        }
        None => None,
    };
    Recording::check(context)?;
    running.declares(prepared.products())?;
    let interrupt = Interrupt::on_signals().map_err(|error| Failure::io("signals", &error))?;
    // Where nobody can tell what others declared, nothing is excused.
    let others = || running.beside().unwrap_or_default();
    let outcome = prepared
        .execute(&interrupt)
        .and_then(|executed| executed.beside(&others).finish())
        .map_err(|error| failure(&error))?;
    let statements = outcome
        .statements()
        .map_err(|error| Failure::internal(&error.to_string()))?;
    let recording = Recording::open(signer, context)?;
    let recorded = recording.many(&statements)?;
    if let (Some(dir), [provenance, usage]) = (&args.bundles, recorded.as_slice()) {
        let bundles = [("provenance", provenance), ("resource-usage", usage)];
        recording.write_bundles((&context.resolve(dir), &args.name), &bundles)?;
    }
    report(
        args,
        context,
        &Done {
            outcome,
            recorded,
            required,
            seconds: clock.seconds(),
        },
    )
}

fn declare(args: &RunArgs, key: &KeyReference, context: &Context) -> Result<Step, Failure> {
    let mut step = Step::new(args.name.as_str(), context.cwd(), args.command.clone());
    step.inputs = args
        .inputs
        .iter()
        .map(|text| declared(text))
        .collect::<Result<_, _>>()?;
    step.products = args
        .products
        .iter()
        .map(|text| declared(text))
        .collect::<Result<_, _>>()?;
    // With the credentials of the key's service the step could sign for itself.
    let credentials = key.credentials();
    let seen = environment()
        .into_iter()
        .filter(|(name, _)| !credentials.iter().any(|hidden| name == hidden));
    step.environment = Environment::from_caller(seen, &Keep::All);
    // The home is ours: its log and store change while steps of others run.
    if let Ok(home) = context.home() {
        step.scratch.push(home.root().to_owned());
    }
    step.output = Output::Stderr;
    Ok(step)
}

// NAME=PATH, or a path whose last part is the name. A path with `=` in it is written with a name.
fn declared(text: &str) -> Result<Declared, Failure> {
    let (name, path) = match text.split_once('=') {
        Some((name, path)) => (name.to_owned(), path),
        None => (artifacts::name_of(Path::new(text)), text),
    };
    if name.is_empty() || path.is_empty() {
        return Err(
            Failure::usage("E0002", format!("`{text}` declares nothing"))
                .help("write PATH or NAME=PATH"),
        );
    }
    Ok(Declared::new(name, path))
}

fn required_policy(named: &str, settings: &Settings, context: &Context) -> Result<Policy, Failure> {
    if !named.is_empty() {
        return Policy::load(named, context);
    }
    let path = settings.require_policy.as_ref().ok_or_else(|| {
        Failure::usage("E0002", "no policy was named for --require").help(
            "pass --require DIR or --require starter, or set `[policy] require` in custos.toml",
        )
    })?;
    Policy::set(path, settings, context)
}

// Each input has to be allowed; the first that is not stops the step, and all are reported.
fn require(
    policy: &Policy,
    prepared: &Prepared<'_>,
    settings: &Settings,
    context: &Context,
) -> Result<Value, Failure> {
    let judging = Judging::open(settings, context)?;
    let mut denied: Option<Failure> = None;
    let mut checked = Vec::new();
    for input in prepared.inputs() {
        let artifact = judging::named(&input.name, input.artifact.digest.clone());
        let judged = judging.input(policy, &artifact)?;
        checked.push(json!({ "name": input.name, "verdict": judged.decision.verdict }));
        if judged.decision.verdict == Verdict::Allow {
            continue;
        }
        let mut failure = add_reasons(denied, &input.name, &judged);
        if let Some(files) = changed_files(&judging, input)? {
            failure = failure.because(files);
        }
        denied = Some(failure);
    }
    match denied {
        Some(failure) => {
            Err(failure
                .help("the command was not started; `custos trace INPUT` shows what is known"))
        }
        None => {
            Ok(json!({ "policy": policy.name, "policyDigest": policy.digest(), "inputs": checked }))
        }
    }
}

fn add_reasons(failure: Option<Failure>, name: &str, judged: &Judged) -> Failure {
    let undecided = judged.decision.verdict == Verdict::Undecided;
    let mut failure = failure.unwrap_or_else(|| {
        let what = format!("input `{name}` is not proven");
        if undecided {
            Failure::undecided("E0301", what)
        } else {
            Failure::no("E0301", what)
        }
    });
    for reason in &judged.decision.reasons {
        failure = failure.because(format!("{name}: {}", reason.message));
    }
    failure
}

/// Most files that a refusal names.
const MAX_NAMED: usize = 5;

// Which files of a folder are not those of the one that was recorded under its name. It is told
// where that one was hashed with this home's digest cache.
fn changed_files(judging: &Judging<'_>, input: &Input) -> Result<Option<String>, Failure> {
    let cache = artifacts::cache(judging.context(), false);
    let (Some(cache), Some(now)) = (cache, &input.artifact.manifest) else {
        return Ok(None);
    };
    let recorded = judging.recorded_as(&input.name)?;
    let known = recorded
        .iter()
        .find_map(|artifact| cache.files_of(&artifact.digest));
    let Some(Ok(found)) = known.map(|was| compare(&was, now, MAX_NAMED)) else {
        return Ok(None);
    };
    if found.is_empty() {
        return Ok(None);
    }
    let mut files: Vec<String> = found.list.iter().map(difference).collect();
    if found.total > files.len() {
        files.push(format!("and {} more", found.total - files.len()));
    }
    let name = &input.name;
    Ok(Some(format!(
        "{name}: not the `{name}` that was recorded: {}",
        files.join(", ")
    )))
}

fn difference(one: &Difference) -> String {
    let what = match one.kind {
        DifferenceKind::Missing => "removed",
        DifferenceKind::Unlisted => "added",
        _ => "changed",
    };
    format!("`{}` {what}", one.path)
}

struct Done {
    outcome: StepOutcome,
    recorded: Vec<Recorded>,
    required: Option<Value>,
    seconds: f64,
}

fn report(args: &RunArgs, context: &Context, done: &Done) -> Outcome {
    let term = &context.term;
    let usage = &done.outcome.resource_usage;
    let cpu = usage
        .cpu_user_micros
        .value
        .unwrap_or_default()
        .saturating_add(usage.cpu_system_micros.value.unwrap_or_default());
    let mut human = format!(
        "step     {}  {:.1} s\n",
        term.paint(Role::Strong, &args.name),
        done.seconds
    );
    for subject in &done.outcome.subjects {
        let digest = subject.digest.get(custos_core::digest::Algorithm::Sha256);
        human.push_str(&format!(
            "product  {}  {}\n",
            subject.name.as_deref().unwrap_or_default(),
            term.paint(
                Role::Literal,
                &digest.map(|d| d.short()).unwrap_or_default()
            ),
        ));
    }
    let peak = usage.peak_memory_bytes.value.unwrap_or_default();
    human.push_str(&format!(
        "used     {}.{:03} s of CPU, {} MiB at most\n",
        cpu / 1_000_000,
        cpu / 1000 % 1000,
        peak / (1 << 20),
    ));
    let index = |at: usize| done.recorded.get(at).and_then(|one| one.index);
    for (kind, at) in [("provenance", 0), ("resource-usage", 1)] {
        human.push_str(&format!(
            "signed   {kind}  log #{}\n",
            index(at).unwrap_or_default()
        ));
    }
    let entry = |at: usize| {
        done.recorded
            .get(at)
            .map(|one| json!({ "logIndex": one.index, "bundle": one.digest }))
    };
    term.result(
        &human,
        &json!({
            "schema": "custos.run/1",
            "step": args.name,
            "products": done.outcome.subjects,
            "provenance": entry(0),
            "resourceUsage": entry(1),
            "required": done.required,
            "usage": done.outcome.resource_usage,
            "seconds": done.seconds,
        }),
    )?;
    Ok(Exit::Yes)
}

fn failure(error: &RunError) -> Failure {
    let why = error.to_string();
    match error {
        RunError::CommandFailed { .. } => {
            Failure::no("E0302", "the command failed, so nothing was signed").because(why)
        }
        RunError::TimedOut { .. } => Failure::no("E0302", "the command took too long").because(why),
        RunError::Interrupted { .. } => Failure::new(
            "E0302",
            Exit::Interrupted,
            "interrupted, so nothing was signed",
        )
        .because(why),
        RunError::InputChanged { path, .. } => Failure::no(
            "E0303",
            "an input changed during the step, so nothing was signed",
        )
        .at(shown(path))
        .because(why)
        .help("make the step copy what it changes, and declare the copy as a product"),
        RunError::ProductMissing { path, .. } => Failure::no(
            "E0304",
            "a declared product was not made, so nothing was signed",
        )
        .at(shown(path))
        .because(why),
        RunError::ProductOutside { .. } | RunError::UndeclaredWrites { .. } => Failure::no(
            "E0304",
            "the step wrote beside what it declared, so nothing was signed",
        )
        .because(why)
        .help("declare every output with --product"),
        RunError::ProductUnreadable { source, .. } | RunError::InputUnreadable { source, .. } => {
            artifacts::failure(source).because(why)
        }
        RunError::InputMissing { path, .. } => {
            Failure::usage("E0305", "an input does not exist, so nothing was started")
                .at(shown(path))
                .because(why)
        }
        RunError::Declaration(_) | RunError::Material(_) | RunError::NotStarted(_) => {
            Failure::usage("E0305", "the step cannot start").because(why)
        }
        _ => Failure::undecided("E0305", "the step has no outcome, so nothing was signed")
            .because(why),
    }
}
