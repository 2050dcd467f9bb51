//! Files that ask for more than there is: memory has its bounds, none is clean, and none ends the
//! scanner. Time is told and decides nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::{Desk, HOSTILE, Run};
use crate::custos::Answer;
use crate::samples;
use crate::suites::text;
use crate::tally::Suite;
use crate::{place, process, say};

const LIMIT: Duration = Duration::from_mins(5);
/// Largest real file whose sizes are made large: it is written once for each of them.
const SEED: u64 = 128 << 10;

/// Runs the part of the suite.
pub(super) fn run(desk: &Desk<'_>, run: &Run<'_>, suite: &mut Suite) -> Result<()> {
    if place::on_path("python3").is_none() {
        suite.skip("python3", "the hostile files are made by a Python script");
        return Ok(());
    }
    bombs(desk, suite)?;
    suite.check("claims of size", || claims(desk, run));
    Ok(())
}

fn made(desk: &Desk<'_>, words: &[&str]) -> Result<String> {
    let mut command = Command::new("python3");
    command
        .arg(desk.place.peer_file("scan_hostile.py"))
        .args(words);
    Ok(process::run(&mut command, LIMIT)?.success()?.stdout)
}

fn bombs(desk: &Desk<'_>, suite: &mut Suite) -> Result<()> {
    let folder = desk.folder("bombs")?;
    let list = made(desk, &["bombs", text(&folder)])?;
    let list: Vec<(String, bool)> = serde_json::from_str(&list)?;
    let (mut peak, mut slowest) = ((0, String::new()), (0.0, String::new()));
    for (name, refused) in list {
        suite.check(&format!("bomb: {name}"), || {
            let file = folder.join(&name);
            let size = fs::metadata(&file)?.len();
            let scanned = desk.scan(&file)?;
            let used = &scanned.done.usage;
            peak = peak.clone().max((used.maxrss >> 20, name.clone()));
            let seconds = (used.utime + used.stime).as_secs_f64();
            let seconds = seconds / mebibytes(size).max(1.0);
            if seconds > slowest.0 {
                slowest = (seconds, name.clone());
            }
            scanned.within(HOSTILE)?;
            ensure!(
                !refused || scanned.answer != Answer::Yes,
                "it is clean, and cannot be"
            );
            Ok(())
        });
    }
    say::line(&format!(
        "      bombs: at most {} MiB of memory ({}), {:.2} s of processor time a MiB ({})",
        peak.0, peak.1, slowest.0, slowest.1
    ));
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a figure that is only told")]
fn mebibytes(size: u64) -> f64 {
    size as f64 / f64::from(1 << 20)
}

// One scan of all of them, so that one peak says it for each.
fn claims(desk: &Desk<'_>, run: &Run<'_>) -> Result<()> {
    let folder = desk.folder("claims")?;
    let seeds = seeds(run)?;
    let mut words = vec!["claims", text(&folder)];
    words.extend(seeds.iter().map(|seed| text(seed)));
    made(desk, &words)?;
    let scanned = desk.scan(&folder)?;
    scanned.within(HOSTILE)?;
    let files = scanned.files()?;
    ensure!(files.len() > 1000, "{} files are few", files.len());
    let errors: Vec<&str> = files
        .iter()
        .filter(|file| file.state == "error")
        .map(|file| file.path)
        .collect();
    ensure!(errors.is_empty(), "not read: {}", errors.join(", "));
    say::line(&format!(
        "      claims of size: {} files of {} formats, {} MiB of memory",
        files.len(),
        seeds.len(),
        scanned.done.usage.maxrss >> 20
    ));
    Ok(())
}

// The smallest file of each kind that there is.
fn seeds(run: &Run<'_>) -> Result<Vec<PathBuf>> {
    let mut files = below(&run.place.root.join("testdata/scan"))?;
    if let Ok(listed) = samples::listed(run.place, "real-files") {
        files.extend(listed.files);
    }
    let mut smallest: BTreeMap<String, (u64, PathBuf)> = BTreeMap::new();
    for path in files {
        let size = fs::metadata(&path)?.len();
        let kind = path.extension().context("a file without an extension")?;
        let entry = smallest.entry(kind.to_string_lossy().into_owned());
        let entry = entry.or_insert_with(|| (size, path.clone()));
        if size < entry.0 {
            *entry = (size, path);
        }
    }
    let seeds = smallest.into_values().filter(|(size, _)| *size <= SEED);
    Ok(seeds.map(|(_, path)| path).collect())
}

fn below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(below(&path)?);
        } else {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
