//! `custos log`: look into the transparency log and check it.

use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use custos_log::disk::Disk;
use custos_log::fsck;
use custos_trust::keyless::Description;
use serde_json::{Value, json};

use crate::args::{LogArgs, LogCommand, LogFlushArgs};
use crate::context::Context;
use crate::exit::Exit;
use crate::logs;
use crate::spool::{self, Flush};
use crate::term::count;
use crate::{Failure, Outcome};

/// Runs the command.
pub fn run(args: &LogArgs, context: &Context) -> Outcome {
    match &args.command {
        LogCommand::Checkpoint => checkpoint(context),
        LogCommand::Key => key(context),
        LogCommand::Proof { index } => proof(*index, context),
        LogCommand::Get { index } => get(*index, context),
        LogCommand::Flush(args) => flush(args, context),
        LogCommand::Fsck => fsck(context),
        LogCommand::Watch(args) => super::log_watch::run(args, context),
        LogCommand::Rebuild {
            checkpoint,
            accept_loss,
        } => rebuild(checkpoint.as_deref(), *accept_loss, context),
    }
}

fn checkpoint(context: &Context) -> Outcome {
    let (_, checkpoint) = logs::reader(context)?;
    context.term.result(
        checkpoint.text(),
        &json!({
            "schema": "custos.log.checkpoint/1",
            "origin": checkpoint.origin(),
            "size": checkpoint.size(),
            "root": base64::engine::general_purpose::STANDARD.encode(checkpoint.root()),
            "checkpoint": checkpoint.text(),
        }),
    )?;
    Ok(Exit::Yes)
}

fn key(context: &Context) -> Outcome {
    let key = logs::verifier_key(&context.home()?)?;
    context.term.result(
        &format!("{key}\n"),
        &json!({
            "schema": "custos.log.key/1", "origin": key.name(), "key": key.to_string(),
        }),
    )?;
    Ok(Exit::Yes)
}

fn proof(index: u64, context: &Context) -> Outcome {
    let (reader, checkpoint) = logs::reader(context)?;
    let recorded = reader
        .prove(index, &checkpoint)
        .map_err(|error| failure(&error, context))?;
    let text = recorded.to_tlog_proof().to_string();
    context.term.result(
        &text,
        &json!({
            "schema": "custos.log.proof/1",
            "index": recorded.index,
            "treeSize": recorded.tree_size,
            "hashes": recorded.hashes.iter()
                .map(|hash| base64::engine::general_purpose::STANDARD.encode(hash))
                .collect::<Vec<_>>(),
            "checkpoint": recorded.checkpoint,
        }),
    )?;
    Ok(Exit::Yes)
}

fn get(index: u64, context: &Context) -> Outcome {
    let (reader, checkpoint) = logs::reader(context)?;
    let (leaf, _) = reader
        .get(index, &checkpoint)
        .map_err(|error| failure(&error, context))?;
    // Custos logs JSON; whatever else a leaf may be is shown in base64.
    let entry = serde_json::from_slice::<Value>(&leaf)
        .unwrap_or_else(|_| Value::String(base64::engine::general_purpose::STANDARD.encode(&leaf)));
    let text = format!("{}\n", String::from_utf8_lossy(&leaf));
    context.term.result(
        &crate::term::visible(&text),
        &json!({
            "schema": "custos.log.get/1", "index": index, "entry": entry,
        }),
    )?;
    Ok(Exit::Yes)
}

fn fsck(context: &Context) -> Outcome {
    let home = context.home()?;
    let key = logs::verifier_key(&home)?;
    let disk: Arc<dyn Disk> = logs::disk(&home);
    let report = fsck::check(&disk, &key).map_err(|error| logs::failure(&error, &home))?;
    let faults: Vec<String> = report.faults.iter().map(ToString::to_string).collect();
    if !faults.is_empty() {
        let (exit, what) = if report.is_alarm() {
            (Exit::Alarm, "the log contradicts itself")
        } else {
            (Exit::Undecided, "the log is not complete")
        };
        let code = if report.is_alarm() { "E0403" } else { "E0402" };
        let mut failure = Failure::new(code, exit, what).at(home.log().display().to_string());
        for fault in faults.into_iter().take(20) {
            failure = failure.because(fault);
        }
        return Err(failure.help("keep a copy, and compare with checkpoints that others hold"));
    }
    let human = format!(
        "{} entries and {} records of the write-ahead log lead to the signed checkpoint\n",
        report.entries, report.records,
    );
    context.term.result(
        &human,
        &json!({
            "schema": "custos.log.fsck/1",
            "size": report.size,
            "entries": report.entries,
            "walRecords": report.records,
            "faults": [],
        }),
    )?;
    Ok(Exit::Yes)
}

fn flush(args: &LogFlushArgs, context: &Context) -> Outcome {
    let others = match (&args.signing_config, &args.trusted_root) {
        (Some(config), Some(root)) => Some(Description {
            signing_config: context.resolve(config),
            trusted_root: context.resolve(root),
        }),
        _ => None,
    };
    let done = spool::flush(others.as_ref(), context)?;
    let finished = if args.drafts {
        spool::drafts(context)?
    } else {
        0
    };
    context
        .term
        .result(&flushed(&done, finished), &flushed_json(&done, finished))?;
    // No is an answer; whoever gave none may do so later.
    let refused = done.waiting.iter().any(|one| one.why.exit() == Exit::No);
    Ok(if refused {
        Exit::No
    } else if done.waiting.is_empty() {
        Exit::Yes
    } else {
        Exit::Undecided
    })
}

fn flushed(done: &Flush, finished: usize) -> String {
    let mut human = String::new();
    for one in &done.flushed {
        let late = if one.late {
            "  later than promised"
        } else {
            ""
        };
        human.push_str(&format!("logged   #{}  {}{late}\n", one.index, one.digest));
    }
    for one in &done.waiting {
        let (leaf, by) = (one.pending.leaf(), one.pending.log_by);
        let overdue = if one.overdue { "  OVERDUE" } else { "" };
        let why = one.why.render(None, &|_, text| text.to_owned());
        let why = why.trim_end().replace('\n', "\n         ");
        human.push_str(&format!(
            "waits    {leaf}  by {by}{overdue}\n         {why}\n"
        ));
    }
    if finished > 0 {
        let drafts = count(u64::try_from(finished).unwrap_or(u64::MAX), "draft");
        human.push_str(&format!("finished {drafts}\n"));
    }
    if human.is_empty() {
        human.push_str("nothing waits to be logged\n");
    }
    human
}

fn flushed_json(done: &Flush, finished: usize) -> Value {
    let flushed = done.flushed.iter();
    let flushed: Vec<Value> = flushed
        .map(|one| json!({ "logIndex": one.index, "bundle": one.digest, "late": one.late }))
        .collect();
    let waiting = done.waiting.iter();
    let waiting: Vec<Value> = waiting
        .map(|one| {
            json!({
                "leaf": one.pending.leaf(),
                "signedAt": one.pending.signed_at,
                "logBy": one.pending.log_by,
                "overdue": one.overdue,
                "error": one.why.to_json(),
            })
        })
        .collect();
    json!({
        "schema": "custos.log.flush/1",
        "flushed": flushed,
        "waiting": waiting,
        "drafts": finished,
    })
}

fn rebuild(known: Option<&Path>, accept_loss: bool, context: &Context) -> Outcome {
    let home = context.home()?;
    let log = logs::rebuild(&home, known, accept_loss)?;
    let head = log.head().map_err(|error| logs::failure(&error, &home))?;
    let size = head.size;
    context.term.result(
        &format!("the log goes on after its {size} entries\n"),
        &json!({ "schema": "custos.log.rebuild/1", "size": size }),
    )?;
    Ok(Exit::Yes)
}

fn failure(error: &custos_log::recorder::RecordError, context: &Context) -> Failure {
    match context.home() {
        Ok(home) => logs::failure(error, &home),
        Err(failure) => failure,
    }
}
