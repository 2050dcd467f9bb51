//! `custos scan`: what is inside, and could it hurt whoever loads it. Nothing is executed, nothing
//! is loaded, and nothing of the scanning machine is asked.

mod bucket;
mod inputs;
mod known;
mod registry;
mod rules;
mod shelf;
mod show;
mod statement;

use std::path::Path;

use custos_core::json;
use custos_scan::document::{Answer, FileResult, Report, Settings};
use custos_scan::sarif::{self, Run};
use custos_scan::sources::{Many, Stop, scan_all};
use custos_scan::{Limits, cyclonedx};
use serde::Serialize;

use crate::args::{LimitArgs, ScanArgs};
use crate::context::Context;
use crate::exit::Exit;
use crate::files::{shown, write_atomic};
use crate::progress::Bar;
use crate::recording::{self, Recording};
use crate::system::Stopwatch;
use crate::term::{Format, Term};
use crate::{Failure, Outcome};

use inputs::Input;
use known::Known;
use shelf::Disk;
use statement::Scanned;

/// Runs the command.
pub fn run(args: &ScanArgs, context: &Context) -> Outcome {
    if args.list_rules {
        return rules::list(context);
    }
    if let Some(rule) = &args.explain {
        return rules::explain(rule, context);
    }
    let started = context.now();
    // Whatever can be wrong with what is named is told before hours of work.
    signer(args)?;
    places(args, context)?;
    let known = Known::read(&args.known, context)?;
    let recording = recording(args, context)?;
    let shelf = Disk::new(gib(args.limits.max_disk), context);
    let inputs = inputs::find(args, &shelf, context)?;
    let mut files = look(args, (&inputs, &known), &shelf, context);
    let suppressions = known.apply(&mut files, context.now());
    let sources = inputs.iter().map(Input::source);
    let notes = sources.flat_map(|source| source.notes().to_vec()).collect();
    let mut report = Report::new(settings(args, &known), files, notes);
    report.suppressions = suppressions;
    let run = Run {
        started,
        finished: context.now(),
        exit: exit(args, &report).code(),
    };
    write_reports(args, &report, &run, context)?;
    let recorded = recording
        .map(|recording| {
            let scanned = Scanned {
                inputs: &inputs,
                report: &report,
                run: &run,
            };
            statement::record(&scanned, &recording, (args.bundle.as_deref(), context))
        })
        .transpose()?;
    match context.term.format() {
        Format::Sarif => Term::document(&sarif::write(&report, &run))?,
        Format::Cyclonedx => Term::document(&cyclonedx::write(&report, run.finished))?,
        _ => {
            let mut human = show::human(&report, &context.term);
            if let Some(recorded) = &recorded {
                human.push_str(&statement::line(recorded, context));
            }
            if let Some(file) = &args.reports.write_baseline {
                human.push_str(&show::baseline(&report, &shown(file)));
            }
            context.term.result(&human, &report)?;
        }
    }
    conclude(args, &report, context)
}

fn exit(args: &ScanArgs, report: &Report) -> Exit {
    match report.summary.answer {
        _ if args.reports.write_baseline.is_some() => Exit::Yes,
        Answer::Pass => Exit::Yes,
        Answer::Fail => Exit::No,
        Answer::Undecided => Exit::Undecided,
    }
}

// The result is out; people are told once more what the status means, and what they can do.
fn conclude(args: &ScanArgs, report: &Report, context: &Context) -> Outcome {
    let exit = exit(args, report);
    if context.term.format() != Format::Human || exit == Exit::Yes {
        return Ok(exit);
    }
    Err(show::failure(report))
}

fn gib(number: u32) -> u64 {
    u64::from(number).saturating_mul(1 << 30)
}

fn recording<'a>(args: &ScanArgs, context: &'a Context) -> Result<Option<Recording<'a>>, Failure> {
    if !args.attest {
        return Ok(None);
    }
    let settings = context.settings()?;
    let signer = recording::key_signer(&args.key, &settings, context)?;
    Recording::open(signer, context).map(Some)
}

fn limits(args: &LimitArgs) -> Limits {
    Limits {
        max_depth: args.max_depth,
        max_members: args.max_members,
        max_unpacked: gib(args.max_unpacked),
        max_ratio: args.max_ratio,
        ..Limits::default()
    }
}

// Looks into everything; nothing of it is dealt with yet.
fn look(
    args: &ScanArgs,
    (inputs, known): (&[Input<'_>], &Known),
    shelf: &Disk,
    context: &Context,
) -> Vec<FileResult> {
    let sources: Vec<_> = inputs.iter().map(Input::source).collect();
    let bar = Bar::bytes(&context.term, "scanning");
    let items = sources.iter().flat_map(|source| source.items());
    bar.total(items.map(|item| item.size).fold(0, u64::saturating_add));
    let most = args.limits.max_time.map(f64::from);
    let stops = || -> Stop<'_> {
        let watch = Stopwatch::start();
        Box::new(move || most.is_some_and(|most| watch.seconds() > most))
    };
    let many = Many {
        jobs: args.limits.jobs,
        limits: limits(&args.limits),
        shelf,
        knowledge: known.knowledge.as_ref(),
        stops: &stops,
        passed: &|bytes| bar.add(bytes),
    };
    let mut files: Vec<_> = scan_all(&sources, &many)
        .into_iter()
        .map(FileResult::from)
        .collect();
    let tags = sources.iter().flat_map(|source| {
        let items = 0..source.items().len();
        items.map(|index| source.etag(index).map(str::to_owned))
    });
    for (file, etag) in files.iter_mut().zip(tags) {
        file.etag = etag;
    }
    files
}

fn settings(args: &ScanArgs, known: &Known) -> Settings {
    Settings {
        fail_on: args.fail_on,
        strict: args.strict,
        osv: known.snapshot.clone(),
        internal_names: known.internal_names,
        baseline: known.baseline_digest,
    }
}

// Who names a key wants something to be signed.
fn signer(args: &ScanArgs) -> Result<(), Failure> {
    let keyless = &args.key.keyless;
    let named = [
        args.key.key.is_some(),
        keyless.oidc.is_some(),
        keyless.identity_token.is_some(),
    ];
    if named.contains(&true) && !args.attest {
        return Err(
            Failure::usage("E0002", "who signs is named, and nothing is to be signed")
                .help("`--attest` signs a statement about the scan"),
        );
    }
    Ok(())
}

// Reports can be written where they are to go, as far as that can be known before.
fn places(args: &ScanArgs, context: &Context) -> Result<(), Failure> {
    let reports = &args.reports;
    let files = [
        &reports.json,
        &reports.sarif,
        &reports.cyclonedx,
        &reports.write_baseline,
        &args.bundle,
    ];
    for file in files.into_iter().flatten() {
        if file.as_os_str() == "-" {
            return Err(Failure::usage("E0002", "a report is written to a file")
                .because("`-` is none")
                .help("what is printed says --format: human, json, sarif or cyclonedx"));
        }
        let file = context.resolve(file);
        if file.is_dir() {
            return Err(
                Failure::usage("E0003", "a file is needed here, this is a folder").at(shown(&file)),
            );
        }
        let folder = file.parent().unwrap_or(&file);
        if !folder.is_dir() {
            return Err(Failure::usage("E0003", "there is no such folder").at(shown(folder)));
        }
    }
    Ok(())
}

fn write_reports(
    args: &ScanArgs,
    report: &Report,
    run: &Run,
    context: &Context,
) -> Result<(), Failure> {
    let reports = &args.reports;
    for file in [&reports.json, &reports.write_baseline]
        .into_iter()
        .flatten()
    {
        write(file, report, context)?;
    }
    if let Some(file) = &reports.sarif {
        write(file, &sarif::write(report, run), context)?;
    }
    if let Some(file) = &reports.cyclonedx {
        write(file, &cyclonedx::write(report, run.finished), context)?;
    }
    Ok(())
}

fn write<T: Serialize>(file: &Path, value: &T, context: &Context) -> Result<(), Failure> {
    let bytes = json::to_pretty(value).map_err(|error| Failure::internal(&error.to_string()))?;
    write_atomic(&context.resolve(file), &bytes)
}
