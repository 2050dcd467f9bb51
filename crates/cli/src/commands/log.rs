//! `custos log`: look into the transparency log and check it.

use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use custos_log::disk::Disk;
use custos_log::fsck;
use serde_json::{Value, json};

use crate::args::{LogArgs, LogCommand};
use crate::context::Context;
use crate::exit::Exit;
use crate::logs;
use crate::spool;
use crate::{Failure, Outcome};

/// Runs the command.
pub fn run(args: &LogArgs, context: &Context) -> Outcome {
    match &args.command {
        LogCommand::Checkpoint => checkpoint(context),
        LogCommand::Key => key(context),
        LogCommand::Proof { index } => proof(*index, context),
        LogCommand::Get { index } => get(*index, context),
        LogCommand::Flush => flush(context),
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

fn flush(context: &Context) -> Outcome {
    let flushed = spool::flush(context)?;
    let mut human = String::new();
    for one in &flushed {
        let late = if one.late {
            "  later than promised"
        } else {
            ""
        };
        human.push_str(&format!("logged   #{}  {}{late}\n", one.index, one.digest));
    }
    if flushed.is_empty() {
        human.push_str("nothing waits to be logged\n");
    }
    let rows: Vec<Value> = flushed
        .iter()
        .map(|one| json!({ "logIndex": one.index, "bundle": one.digest, "late": one.late }))
        .collect();
    context.term.result(
        &human,
        &json!({ "schema": "custos.log.flush/1", "flushed": rows }),
    )?;
    Ok(Exit::Yes)
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
