//! Looking into models: beside plain hashing of the same bytes, and beside other scanners. How fast,
//! what is found of what those scanners' packages ship as bad, and what is held against real files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::Bench;
use super::measure::{Sample, Side, in_turns};
use super::table::{COMPARISON, Table};
use crate::custos::{self, Answer};
use crate::peers::{Installed, Peer};
use crate::place::{self, Place, Scratch};
use crate::suites::text;
use crate::{process, samples};

const LIMIT: Duration = Duration::from_hours(1);
/// MiB of each large file.
const LARGE: u32 = 2048;
/// Small pickles, and those of them that a slow peer is measured on.
const SMALL: u32 = 5000;
const FEW: u32 = 20;
/// Hashes with the library of Custos and does nothing else.
const PLAIN: &str = "plain SHA-256";
/// Other scanners, and the words by which their command line looks into a folder.
const PEERS: [(&str, &[&str]); 5] = [
    ("picklescan", &["-m", "picklescan", "--path"]),
    ("modelscan", &["-m", "modelscan.cli", "--path"]),
    ("fickling", &[]),
    ("modelaudit", &["-m", "modelaudit", "scan"]),
    ("hayward", &["-m", "hayward", "scan"]),
];

/// Large files: at the speed of hashing, on one core and on all.
pub fn large(bench: &Bench<'_>) -> Result<Table> {
    let data = Scratch::below(&bench.place.cache, "scan-large")?;
    let mut table = Table::new(
        &format!(
            "Files of {LARGE} MiB with random values, page cache warm, each byte read, hashed and \
             accounted for; median of {} runs in turns. {PLAIN} is \
             `crates/provenance/examples/hash_bench`: the same hash library over the same files. \
             One core is what `taskset` leaves to both.",
            bench.runs
        ),
        &COMPARISON,
    );
    for kind in ["safetensors", "torch"] {
        let folder = data.join(kind);
        fs::create_dir_all(&folder)?;
        let file = folder.join(format!("model.{kind}"));
        samples::make(bench.place, &[kind, text(&file), &LARGE.to_string()])?;
        rows(
            bench,
            &mut table,
            (&format!("a {kind} file"), &folder),
            true,
        )?;
    }
    rows(bench, &mut table, ("both, all cores", data.path()), false)?;
    Ok(table)
}

// A row that compares `custos scan` with plain hashing.
fn rows(
    bench: &Bench<'_>,
    table: &mut Table,
    (what, folder): (&str, &Path),
    one_core: bool,
) -> Result<()> {
    let hash = bench.place.built("examples/hash_bench");
    ensure!(hash.is_file(), "`examples/hash_bench` was not built");
    let sides: Vec<Side<'_>> = vec![
        Box::new(move || {
            let mut command = pinned(Command::new(&hash), one_core);
            command.arg(folder).args(["--runs", "1"]);
            let done = process::run(&mut command, LIMIT)?.success()?;
            let value: Value = serde_json::from_str(&done.stdout)?;
            let seconds = value.get("plain_sha256_seconds").and_then(Value::as_f64);
            let seconds = seconds.context("hash_bench measured no plain SHA-256")?;
            Ok(Sample {
                wall: Duration::from_secs_f64(seconds),
                ..Sample::default()
            })
        }),
        Box::new(move || {
            let command = bench.custos.command(["scan", text(folder)]);
            answered(pinned(command, one_core), &[0])
        }),
    ];
    let samples = in_turns(bench.runs, &sides)?;
    let [plain, ours] = &samples[..] else {
        bail!("a side was not measured");
    };
    let aim = "wall <= 1.11, memory <= 64 MiB";
    table.beside(
        (&format!("`custos scan`, {what}"), *ours),
        (PLAIN, *plain),
        aim,
    );
    table.timed(&format!("{PLAIN}, {what}"), plain.wall);
    Ok(())
}

/// Small pickles, where starting up and each single file count.
pub fn small(bench: &Bench<'_>) -> Result<Table> {
    let data = Scratch::below(&bench.place.cache, "scan-small")?;
    let (many, few) = (data.join("many"), data.join("few"));
    samples::make(bench.place, &["pickles", text(&many), &SMALL.to_string()])?;
    samples::make(bench.place, &["pickles", text(&few), &FEW.to_string()])?;
    let one = few.join("00000.pkl");
    let mut names = Vec::new();
    let mut sides: Vec<Side<'_>> = vec![
        Box::new(|| answered(bench.custos.command(["scan", text(&one)]), &[0])),
        Box::new(|| {
            let command = bench.custos.command(["scan", text(&many)]);
            answered(pinned(command, true), &[0])
        }),
    ];
    for (name, words) in PEERS.into_iter().filter(|(_, words)| !words.is_empty()) {
        let peer = Peer::named(name)?.ensure(bench.place)?;
        let folder = if name == "modelaudit" { &few } else { &many };
        names.push(name);
        sides.push(Box::new(move || {
            let mut command = quiet(peer.python());
            command.args(words).arg(folder);
            // It answers 2 where it could not tell; the others where they were called wrongly.
            let codes: &[i32] = if name == "modelaudit" {
                &[0, 1, 2]
            } else {
                &[0]
            };
            answered(command, codes)
        }));
    }
    let samples = in_turns(bench.runs, &sides)?;
    let [start, ours, peers @ ..] = &samples[..] else {
        bail!("a side was not measured");
    };
    let mut table = Table::new(
        &format!(
            "{SMALL} pickles of 1.7 KiB (an array, numbers, texts) in one folder, on one core, page \
             cache warm; median of {} runs in turns, whole processes. `modelaudit` gets {FEW} of \
             them, and its times are scaled to {SMALL}.",
            bench.runs
        ),
        &COMPARISON,
    );
    table.alone("`custos scan` of one pickle, aim: wall < 20 ms", *start);
    for (name, sample) in names.into_iter().zip(peers) {
        let (sample, aim) = match name {
            "modelaudit" => (scaled(*sample), "CPU <= 0.001"),
            "picklescan" => (*sample, "CPU <= 0.125"),
            "hayward" => (*sample, "CPU <= 0.05"),
            _ => (*sample, "-"),
        };
        let peer = format!("`{name}`");
        table.beside(("`custos scan`", *ours), (&peer, sample), aim);
        table.alone(&peer, sample);
    }
    let rate = f64::from(SMALL) / ours.cpu.as_secs_f64().max(f64::MIN_POSITIVE);
    table.remark(format!(
        "`custos scan`: {rate:.0} pickles a second of CPU time; the aim is 20,000."
    ));
    Ok(table)
}

fn scaled(sample: Sample) -> Sample {
    let by = SMALL / FEW;
    Sample {
        wall: sample.wall.saturating_mul(by),
        cpu: sample.cpu.saturating_mul(by),
        ..sample
    }
}

/// Bad files that the other scanners' packages ship: who finds them.
pub fn found(bench: &Bench<'_>) -> Result<Table> {
    let files = samples::listed(bench.place, "scan-corpus")?.files;
    let mut table = Table::new(
        &format!(
            "{} files of `xtask/peers/scan-corpus.txt`: what the packages of these scanners ship \
             as bad test data. Each file by itself, each scanner with its own settings and without \
             optional packages. A file is *found* if the scanner fails it, and *undecided* if it says that it cannot tell.",
            files.len()
        ),
        &["scanner", "found", "undecided", "passed"],
    );
    let ours = judged(bench, &files, &mut table)?;
    let missed = named(&files, &ours, |answer| answer != "found");
    table.remark(format!("Not found by Custos: {missed}."));
    Ok(table)
}

/// Real files of packages: who holds something against them.
pub fn real(bench: &Bench<'_>) -> Result<Table> {
    let mut files = samples::listed(bench.place, "real-files")?.files;
    files.extend(samples::listed(bench.place, "real-files-large")?.files);
    let mut table = Table::new(
        &format!(
            "{} files of `xtask/peers/real-files*.txt`, which packages of PyPI and npm ship and people \
             load. Each file by itself, each scanner with its own settings and without optional packages. \
             `fickling` gets what is a pickle or has the name of one. A *false alarm* is a file \
             that the scanner fails.",
            files.len()
        ),
        &["scanner", "false alarms", "undecided", "passed"],
    );
    let ours = judged(bench, &files, &mut table)?;
    let alarms = named(&files, &ours, |answer| answer == "found");
    table.remark(format!("False alarms of Custos: {alarms}."));
    Ok(table)
}

// One row a scanner; answers what Custos says.
fn judged(bench: &Bench<'_>, files: &[PathBuf], table: &mut Table) -> Result<Vec<String>> {
    let mut ours = Vec::new();
    for file in files {
        let done = bench.custos.run(["scan", text(file)])?;
        let word = match custos::answer(&done)? {
            Answer::Yes => "nothing",
            Answer::No => "found",
            Answer::Undecided => "undecided",
            other => bail!("{}: custos answered {other:?}", file.display()),
        };
        ours.push(word.to_owned());
    }
    let list = bench.scratch.join("scan-list.txt");
    let lines: Vec<&str> = files.iter().map(|file| text(file)).collect();
    fs::write(&list, lines.join("\n") + "\n")?;
    counted(table, "`custos`", &ours);
    for (name, _) in PEERS {
        match Peer::named(name)?.ensure(bench.place) {
            Ok(peer) => {
                let answers = theirs(bench.place, &peer, name, &list)?;
                ensure!(answers.len() == files.len(), "{name}: answers are missing");
                counted(table, &format!("`{name}`"), &answers);
            }
            Err(error) => table.remark(format!("`{name}` could not be had: {error:#}.")),
        }
    }
    Ok(ours)
}

fn theirs(place: &Place, peer: &Installed, name: &str, list: &Path) -> Result<Vec<String>> {
    let mut command = quiet(peer.python());
    command
        .arg(place.peer_file("scan_judge.py"))
        .arg(name)
        .arg(list);
    let done = process::run(&mut command, LIMIT)?.success()?;
    serde_json::from_str(&done.stdout).with_context(|| format!("{name}: no answers"))
}

fn counted(table: &mut Table, name: &str, answers: &[String]) {
    let count = |word: &str| answers.iter().filter(|answer| *answer == word).count();
    let cells = ["found", "undecided", "nothing"].map(|word| count(word).to_string());
    table.row([name.to_owned()].into_iter().chain(cells));
}

fn named(files: &[PathBuf], answers: &[String], which: impl Fn(&str) -> bool) -> String {
    let names: Vec<String> = files
        .iter()
        .zip(answers)
        .filter(|(_, answer)| which(answer))
        .filter_map(|(file, answer)| Some(format!("`{}` ({answer})", file.file_name()?.display())))
        .collect();
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

// On the first core alone, if asked.
fn pinned(command: Command, one_core: bool) -> Command {
    if !one_core || place::on_path("taskset").is_none() {
        return command;
    }
    let mut pinned = Command::new("taskset");
    pinned.args(["-c", "0"]).arg(command.get_program());
    pinned.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => pinned.env(name, value),
            None => pinned.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        pinned.current_dir(folder);
    }
    pinned
}

// One of them reports to its makers unless told not to.
fn quiet(mut command: Command) -> Command {
    command
        .env("PROMPTFOO_DISABLE_TELEMETRY", "1")
        .env("NO_ANALYTICS", "1");
    command
}

// One run that must end with one of these.
fn answered(mut command: Command, codes: &[i32]) -> Result<Sample> {
    let done = process::run(&mut command, LIMIT)?;
    if !done.code().is_some_and(|code| codes.contains(&code)) {
        bail!("it failed: {}", done.words());
    }
    Ok(Sample {
        wall: done.wall,
        cpu: done.usage.utime + done.usage.stime,
        peak: done.usage.maxrss,
    })
}
