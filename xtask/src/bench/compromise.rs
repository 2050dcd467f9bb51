//! A stolen key: how long it takes to know everything that rests on 10,000 signatures of it.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Result, bail, ensure};
use serde_json::Value;

use super::Bench;
use super::measure::{Side, in_turns, program};
use super::table::{Table, memory, time};
use crate::custos::Custos;
use crate::place::Scratch;

const ARTIFACTS: usize = 10_000;
/// Steps in a row below the first artifact; what the last one made is at work.
const STEPS: usize = 20;
const KEYS: [&str; 3] = ["thief", "batch", "team"];

/// `custos keys impact` of a revoked key with 10,000 statements of its own, and of one with a
/// batch of 10,000 artifacts under one signature.
pub fn run(bench: &Bench<'_>) -> Result<Table> {
    let scratch = Scratch::new("compromise")?;
    let custos = Custos::new(bench.place, &scratch)?;
    let work = scratch.join("work");
    let mut settings = String::new();
    for key in KEYS {
        custos.ok(["keys", "generate", key, "--no-password"])?;
        let home = scratch.join("home");
        writeln!(
            settings,
            "[[signer]]\nname = \"{key}\"\nkey = \"{}/keys/{key}.pub\"\n",
            home.display()
        )?;
    }
    fs::write(work.join("custos.toml"), settings)?;
    let mut list = String::new();
    for n in 0..ARTIFACTS {
        fs::write(work.join("artifact"), n.to_string())?;
        let said = custos.ok(["--format", "json", "sign", "artifact", "--key", "thief"])?;
        let said: Value = serde_json::from_str(&said.stdout)?;
        let Some(hex) = said["digest"]["sha256"].as_str() else {
            bail!("no digest in {said}");
        };
        writeln!(list, "{hex}  artifact-{n}")?;
        if n == 0 {
            fs::copy(work.join("artifact"), work.join("made-0"))?;
        }
    }
    fs::write(work.join("list.txt"), list)?;
    custos.ok(["sign", "list.txt", "--batch", "proofs", "--key", "batch"])?;
    for n in 0..STEPS {
        let (from, to) = (format!("made-{n}"), format!("made-{}", n + 1));
        let script = format!("cat {from} {from} > {to}");
        let head = ["run", "--name", "make", "--input", &from, "--product", &to];
        let tail = ["--key", "team", "--", "sh", "-c", &script];
        custos.ok(head.into_iter().chain(tail))?;
    }
    fs::write(
        work.join("deployment.json"),
        r#"{"state":"running","environment":"production","workload":"a/b","at":"2026-01-01T00:00:00Z"}"#,
    )?;
    let last = format!("made-{STEPS}");
    let head = ["attest", &last, "--type", "deployment", "--key", "team"];
    custos.ok(head.into_iter().chain(["--predicate", "deployment.json"]))?;
    let since = ["--since", "2020-01-01T00:00:00Z", "--reason", "stolen"];
    let mut sides: Vec<Side<'_>> = Vec::new();
    for key in ["thief", "batch"] {
        custos.ok(["keys", "revoke", key].into_iter().chain(since))?;
        let said = custos.ok(["--format", "json", "keys", "impact", key])?;
        let said: Value = serde_json::from_str(&said.stdout)?;
        let count = |field: &str| said[field].as_array().map_or(0, Vec::len);
        // The list itself is an artifact of the batch.
        let more = STEPS + usize::from(key == "batch");
        ensure!(
            (count("artifacts"), count("deployments")) == (ARTIFACTS + more, 1),
            "{key}: {} artifacts, {} deployments",
            count("artifacts"),
            count("deployments"),
        );
        let custos = &custos;
        sides.push(program(move || {
            Ok(custos.command(["--format", "json", "keys", "impact", key]))
        }));
    }
    let samples = in_turns(bench.runs, &sides)?;
    let mut table = Table::new(
        &format!(
            "`custos keys impact KEY` of a revoked key: {ARTIFACTS} artifacts that it signed, \
             {STEPS} steps in a row below one of them, and a deployment of what came out. All are \
             listed, each statement is verified; median of {} runs in turns.",
            bench.runs
        ),
        &["what", "wall", "CPU", "peak memory"],
    );
    let what = [
        "a statement each, each in the log",
        "one batch under one signature",
    ];
    for (what, sample) in what.into_iter().zip(samples) {
        table.row([
            what.to_owned(),
            time(sample.wall),
            time(sample.cpu),
            memory(sample.peak),
        ]);
    }
    Ok(table)
}
