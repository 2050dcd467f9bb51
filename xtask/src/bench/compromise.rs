//! A stolen key: how long it takes to know everything that rests on 10,000 signatures of it.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::Bench;
use super::measure::{Side, in_turns, program};
use super::table::{Table, memory, time};
use crate::custos::Custos;
use crate::place::Scratch;

const ARTIFACTS: usize = 10_000;
/// Steps in a row below the first artifact; what the last one made is at work.
const STEPS: usize = 20;
/// The keys that are stolen, and how their table rows are called.
const STOLEN: [(&str, &str); 2] = [
    ("thief", "a statement each, each in the log"),
    ("batch", "one batch under one signature"),
];
const DEPLOYMENT: &str = r#"{"state":"running","environment":"production","workload":"a/b","at":"2026-01-01T00:00:00Z"}"#;

/// `custos keys impact` of a revoked key with 10,000 statements of its own, and of one with a
/// batch of 10,000 artifacts under one signature.
pub fn run(bench: &Bench<'_>) -> Result<Table> {
    let scratch = Scratch::new("compromise")?;
    let desk = Desk {
        custos: Custos::new(bench.place, &scratch)?,
        work: scratch.join("work"),
    };
    desk.expect_keys(&scratch.join("home"))?;
    desk.sign()?;
    desk.descend()?;
    let mut sides: Vec<Side<'_>> = Vec::new();
    for (key, _) in STOLEN {
        desk.revoke(key)?;
        let custos = &desk.custos;
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
    for ((_, what), sample) in STOLEN.into_iter().zip(samples) {
        table.row([
            what.to_owned(),
            time(sample.wall),
            time(sample.cpu),
            memory(sample.peak),
        ]);
    }
    Ok(table)
}

struct Desk {
    custos: Custos,
    work: PathBuf,
}

impl Desk {
    fn expect_keys(&self, home: &Path) -> Result<()> {
        let mut settings = String::new();
        for key in ["thief", "batch", "team"] {
            self.custos.ok(["keys", "generate", key, "--no-password"])?;
            let file = home.join(format!("keys/{key}.pub"));
            writeln!(
                settings,
                "[[signer]]\nname = \"{key}\"\nkey = \"{}\"\n",
                file.display()
            )?;
        }
        Ok(fs::write(self.work.join("custos.toml"), settings)?)
    }

    // Each artifact by itself, and the list of all of them.
    fn sign(&self) -> Result<()> {
        let mut list = String::new();
        let file = self.work.join("artifact");
        for n in 0..ARTIFACTS {
            fs::write(&file, n.to_string())?;
            let words = ["--format", "json", "sign", "artifact", "--key", "thief"];
            let said: Value = serde_json::from_str(&self.custos.ok(words)?.stdout)?;
            let hex = said["digest"]["sha256"].as_str().context("no digest")?;
            writeln!(list, "{hex}  artifact-{n}")?;
        }
        fs::write(self.work.join("list.txt"), list)?;
        let words = ["sign", "list.txt", "--batch", "proofs", "--key", "batch"];
        self.custos.ok(words).map(drop)
    }

    fn descend(&self) -> Result<()> {
        fs::write(self.work.join("made-0"), "0")?;
        for n in 0..STEPS {
            let (from, to) = (format!("made-{n}"), format!("made-{}", n + 1));
            let script = format!("cat {from} {from} > {to}");
            let head = ["run", "--name", "make", "--input", &from, "--product", &to];
            let tail = ["--key", "team", "--", "sh", "-c", &script];
            self.custos.ok(head.into_iter().chain(tail))?;
        }
        fs::write(self.work.join("deployment.json"), DEPLOYMENT)?;
        let product = format!("made-{STEPS}");
        let head = ["attest", &product, "--type", "deployment", "--key", "team"];
        let tail = ["--predicate", "deployment.json"];
        self.custos.ok(head.into_iter().chain(tail)).map(drop)
    }

    // Revokes a key, and sees to it that exactly what rests on it is listed.
    fn revoke(&self, key: &str) -> Result<()> {
        let since = ["--since", "2020-01-01T00:00:00Z", "--reason", "stolen"];
        self.custos
            .ok(["keys", "revoke", key].into_iter().chain(since))?;
        let words = ["--format", "json", "keys", "impact", key];
        let said: Value = serde_json::from_str(&self.custos.ok(words)?.stdout)?;
        let count = |field: &str| said[field].as_array().map_or(0, Vec::len);
        // The list itself is an artifact of the batch.
        let expected = ARTIFACTS + STEPS + usize::from(key == "batch");
        ensure!(
            (count("artifacts"), count("deployments")) == (expected, 1),
            "{key}: {} artifacts, {} deployments",
            count("artifacts"),
            count("deployments"),
        );
        Ok(())
    }
}
