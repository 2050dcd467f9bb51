//! `custos evidence`: the store beside the log. Checks it, finishes what a crash interrupted, and
//! rebuilds the index.

use custos_core::digest::Digest;
use custos_core::limits::Limits;
use custos_evidence::StoreError;
use custos_evidence::parts::Parts;
use custos_evidence::recover::{self, Place, RecoverError, Report};
use custos_evidence::store::Staged;
use serde_json::{Value, json};

use crate::args::{EvidenceArgs, EvidenceCommand};
use crate::context::Context;
use crate::exit::Exit;
use crate::files::{read_bytes, shown};
use crate::term::{Role, count, visible};
use crate::{Failure, Outcome, logs, stores};

/// Most single things of a kind that are named for people; JSON names all.
const NAMED: usize = 10;

/// Runs the command.
pub fn run(args: &EvidenceArgs, context: &Context) -> Outcome {
    match &args.command {
        EvidenceCommand::Check | EvidenceCommand::Reindex { dry_run: true, .. } => check(context),
        EvidenceCommand::Reindex { forget_drafts, .. } => reindex(*forget_drafts, context),
        EvidenceCommand::Add { bundles } => add(bundles, context),
    }
}

fn check(context: &Context) -> Outcome {
    let store = stores::readable(context)?;
    let (log, _) = logs::reader(context)?;
    let report = recover::check(&store, &log, &stores::matters(context))
        .map_err(|error| failure(&error, context))?;
    show("custos.evidence.check/1", &report, &[], context)
}

fn reindex(forget: bool, context: &Context) -> Outcome {
    // A store and a log that are not there are not made here.
    drop(stores::readable(context)?);
    logs::reader(context)?;
    let store = stores::writable(context)?;
    let failed = |error: RecoverError| failure(&error, context);
    let alone = store.alone(store.patience());
    let alone = alone.map_err(|error| failed(error.into()))?;
    // Opened when nobody else writes: it takes in what a crash left in its write-ahead log.
    let log = logs::open_or_create(context)?;
    let place = Place {
        store: &store,
        log: &log,
        now: context.now(),
    };
    let forgotten = if forget {
        recover::forget_drafts(&alone, &place).map_err(failed)?
    } else {
        Vec::new()
    };
    let report = recover::reindex(&alone, &place, &stores::matters(context)).map_err(failed)?;
    show("custos.evidence.reindex/1", &report, &forgotten, context)
}

fn add(files: &[std::path::PathBuf], context: &Context) -> Outcome {
    let mut bundles = Vec::with_capacity(files.len());
    let mut rows = Vec::with_capacity(files.len());
    let limit = u64::try_from(Limits::BUNDLE.max_bytes).unwrap_or(u64::MAX);
    for file in files {
        let path = context.resolve(file);
        let bytes = read_bytes(&path, limit)?;
        let parts = Parts::read(&bytes).map_err(|error| {
            Failure::usage("E0101", "the file is no bundle around a statement")
                .at(shown(&path))
                .because(error.to_string())
        })?;
        rows.push((shown(&path), parts));
        bundles.push(bytes.into());
    }
    let store = stores::writable(context)?;
    let added = store.commit(bundles, context.now());
    added.map_err(|error| stores::failure(&error))?;
    let mut text = String::new();
    for (path, parts) in &rows {
        let place = match &parts.log {
            Some((origin, index)) => format!("says it is entry #{index} of {origin}"),
            None => "in no log".to_owned(),
        };
        let line = format!("{path}  {}  {place}", parts.bundle_digest.short());
        text.push_str(&format!("added {}\n", visible(&line)));
    }
    text.push_str("what is added counts for nothing until it is verified, each time anew\n");
    let rows = rows.iter().map(|(path, parts)| {
        json!({
            "path": path,
            "bundleDigest": parts.bundle_digest,
            "predicateType": parts.predicate_type,
            "logOrigin": parts.log.as_ref().map(|(origin, _)| origin),
            "logIndex": parts.log.as_ref().map(|(_, index)| index),
        })
    });
    context.term.result(
        &text,
        &json!({ "schema": "custos.evidence.add/1", "added": rows.collect::<Vec<_>>() }),
    )?;
    Ok(Exit::Yes)
}

fn show(schema: &str, report: &Report, forgotten: &[Staged], context: &Context) -> Outcome {
    context.term.result(
        &text(report, forgotten, context),
        &value(schema, report, forgotten),
    )?;
    Ok(if report.is_alarm() {
        Exit::Alarm
    } else if report.is_whole() {
        Exit::Yes
    } else {
        Exit::No
    })
}

fn value(schema: &str, report: &Report, forgotten: &[Staged]) -> Value {
    let draft =
        |draft: &Staged| json!({ "leaf": draft.leaf_digest, "bundle": draft.bundle_digest });
    let damaged = report
        .damaged
        .iter()
        .map(|(digest, error)| json!({ "bundle": digest, "reason": error.to_string() }));
    let misplaced = report
        .misplaced
        .iter()
        .map(|(digest, index)| json!({ "bundle": digest, "logIndex": index }));
    let waiting = report.waiting.iter().map(|(index, staged)| {
        json!({ "logIndex": index, "leaf": staged.leaf_digest, "bundle": staged.bundle_digest })
    });
    json!({
        "schema": schema,
        "ok": report.is_whole(),
        "log": { "origin": report.origin, "size": report.size },
        "statements": report.bundles,
        "finished": report.finished,
        "forgotten": forgotten.iter().map(draft).collect::<Vec<_>>(),
        "waiting": waiting.collect::<Vec<_>>(),
        "unlogged": report.unlogged.iter().map(draft).collect::<Vec<_>>(),
        "missing": report.missing,
        "missingCount": report.missing_count,
        "othersCount": report.others,
        "misread": report.misread,
        "unindexed": report.unindexed,
        "damaged": damaged.collect::<Vec<_>>(),
        "misplaced": misplaced.collect::<Vec<_>>(),
    })
}

fn text(report: &Report, forgotten: &[Staged], context: &Context) -> String {
    let mut lines = Lines {
        context,
        text: String::new(),
    };
    let holds = number(report.bundles, "statement");
    let logged = report.size;
    let origin = visible(&report.origin);
    lines.text = format!("{holds} in the store, {logged} log entries in {origin}\n");
    if !report.finished.is_empty() {
        let what = number(report.finished.len(), "interrupted statement");
        lines.row(OK, &format!("finished {what}"), None);
    }
    if !forgotten.is_empty() {
        let what = number(forgotten.len(), "draft");
        lines.row(OK, &format!("forgot {what}"), None);
    }
    if report.is_whole() {
        let what = match report.others {
            0 => "every log entry has its statement, sound and indexed",
            _ => "every log entry by expected signers has its statement, sound and indexed",
        };
        lines.row(OK, what, None);
    }
    if report.others > 0 {
        let others = report.others;
        let what = format!("{others} more by nobody who is expected, or without a signature");
        lines.row(OK, &what, None);
    }
    lines.faults(report);
    if !report.unlogged.is_empty() {
        let what = number(report.unlogged.len(), "draft");
        let what = format!("{what} of interrupted commands that said nothing of success");
        let mend = "custos evidence reindex --forget-drafts";
        lines.row(WARN, &what, Some(mend));
    }
    lines.text
}

// How a row begins: the words of `custos doctor`, and the plain answer to what was asked.
type Word = (Role, &'static str);
const OK: Word = (Role::Good, "ok  ");
const NO: Word = (Role::Bad, "NO  ");
const WARN: Word = (Role::Warn, "warn");
const FAIL: Word = (Role::Bad, "FAIL");

struct Lines<'a> {
    context: &'a Context,
    text: String,
}

impl Lines<'_> {
    fn faults(&mut self, report: &Report) {
        if report.missing_count > 0 {
            let named = list(report.missing.iter().map(|index| format!("#{index}")));
            let (lost, size) = (report.missing_count, report.size);
            let what = format!("{lost} of {size} log entries have no statement here: {named}");
            let mend = "custos evidence add FILE, or restore the home from a backup";
            self.row(NO, &what, Some(mend));
        }
        if !report.waiting.is_empty() {
            let named = list(report.waiting.iter().map(|(index, _)| format!("#{index}")));
            let what = format!("logged, and interrupted before they were indexed: {named}");
            self.row(NO, &what, Some("custos evidence reindex"));
        }
        if !report.unindexed.is_empty() {
            let named = list(report.unindexed.iter().map(Digest::short));
            let what = number(report.unindexed.len(), "statement");
            let what = format!("{what} not in the index, or not as signed: {named}");
            self.row(NO, &what, Some("custos evidence reindex"));
        }
        if !report.misread.is_empty() {
            let named = list(report.misread.iter().map(|index| format!("#{index}")));
            let what = format!("the index says something else about log entries: {named}");
            self.row(NO, &what, Some("custos evidence reindex"));
        }
        if !report.damaged.is_empty() {
            let each = report.damaged.iter();
            let each = each.map(|(digest, error)| format!("{}: {error}", digest.short()));
            let what = number(report.damaged.len(), "statement");
            let mend = "keep a copy of the home, and restore it from a backup";
            self.row(FAIL, &format!("{what} damaged"), Some(mend));
            self.each(each);
        }
        if !report.misplaced.is_empty() {
            let each = report.misplaced.iter();
            let each = each.map(|(digest, index)| format!("{} claims #{index}", digest.short()));
            let what = number(report.misplaced.len(), "statement");
            let what = format!("{what} with a log entry that is another's, or not there");
            let mend = "they prove nothing; find out who put them there";
            self.row(FAIL, &what, Some(mend));
            self.each(each);
        }
    }

    fn each(&mut self, items: impl ExactSizeIterator<Item = String>) {
        let more = items.len().saturating_sub(NAMED);
        for item in items.take(NAMED) {
            self.text.push_str(&format!("     {}\n", visible(&item)));
        }
        if more > 0 {
            self.text.push_str(&format!("     and {more} more\n"));
        }
    }

    fn row(&mut self, (role, word): Word, what: &str, mend: Option<&str>) {
        let term = &self.context.term;
        let word = term.paint(role, word);
        self.text.push_str(&format!("{word} {}\n", visible(what)));
        if let Some(mend) = mend {
            let mend = term.paint(Role::Literal, mend);
            self.text.push_str(&format!("     {mend}\n"));
        }
    }
}

fn number(number: usize, noun: &str) -> String {
    count(u64::try_from(number).unwrap_or(u64::MAX), noun)
}

fn list(mut items: impl Iterator<Item = String>) -> String {
    let mut named: Vec<String> = items.by_ref().take(NAMED).collect();
    if items.next().is_some() {
        named.push("…".to_owned());
    }
    named.join(", ")
}

fn failure(error: &RecoverError, context: &Context) -> Failure {
    match (error, context.home()) {
        (RecoverError::Log(error), Ok(home)) => logs::failure(error, &home),
        (RecoverError::Store(StoreError::Busy { path }), _) => {
            Failure::undecided("E0601", "another command is writing")
                .at(shown(path))
                .help("run it again when that has finished")
        }
        (RecoverError::Store(error), _) => stores::failure(error),
        (error, _) => Failure::undecided("E0602", "a draft in the store is no bundle")
            .because(error.to_string()),
    }
}
