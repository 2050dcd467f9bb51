//! `custos scan` as a user calls it: its reports for those who read them, bad and real files that
//! packages ship, and files that want to hurt the scanner.
//!
//! What is expected of the files stands beside their lists: `xtask/peers/scan-missed.txt` names the
//! bad ones that are not found, `xtask/peers/real-incomplete.txt` the real ones that are not
//! understood as a whole. A file that is no better and has no line fails; a line that is no longer
//! true is told.

mod files;
mod hostile;
mod recorded;
mod reports;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::{Run, text};
use crate::custos::{self, Answer, Custos};
use crate::place::{Place, Scratch};
use crate::process::Finished;
use crate::tally::Suite;

/// Most memory that a scan of ordinary files may take, and one of hostile files.
const ORDINARY: u64 = 64 << 20;
const HOSTILE: u64 = 512 << 20;

/// Runs the suite.
pub fn run(run: &Run<'_>, suite: &mut Suite) -> Result<()> {
    let scratch = Scratch::new("scan")?;
    let desk = Desk {
        place: run.place,
        custos: Custos::new(run.place, &scratch)?,
        scratch,
    };
    reports::run(&desk, run, suite)?;
    files::run(&desk, run, suite);
    recorded::run(&desk, run, suite)?;
    hostile::run(&desk, run, suite)
}

struct Desk<'a> {
    place: &'a Place,
    custos: Custos,
    scratch: Scratch,
}

/// One run of `custos scan`.
struct Scanned {
    done: Finished,
    answer: Answer,
    report: Value,
}

impl Desk<'_> {
    /// Scans `path`, and reads the report.
    fn scan(&self, path: &Path) -> Result<Scanned> {
        let report = self.scratch.join("report.json");
        let done = self
            .custos
            .run(["scan", text(path), "--json", text(&report)])?;
        let answer = custos::answer(&done)?;
        ensure!(
            matches!(answer, Answer::Yes | Answer::No | Answer::Undecided),
            "custos answered {answer:?}: {}",
            done.words()
        );
        let written = fs::read(&report).context("there is no report")?;
        fs::remove_file(&report)?;
        Ok(Scanned {
            done,
            answer,
            report: serde_json::from_slice(&written).context("the report is not JSON")?,
        })
    }

    /// An empty folder.
    fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.scratch.join(name);
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }
}

impl Scanned {
    /// Path and state of each file, with what was found at or above `high` and what is missing.
    fn files(&self) -> Result<Vec<Looked<'_>>> {
        let files = self.report.get("files").and_then(Value::as_array);
        files
            .context("the report has no files")?
            .iter()
            .map(Looked::read)
            .collect()
    }

    /// Fails where more memory was taken than allowed.
    fn within(&self, most: u64) -> Result<()> {
        let peak = self.done.usage.maxrss;
        if peak > most {
            bail!("{} MiB of memory, of {} allowed", peak >> 20, most >> 20);
        }
        Ok(())
    }
}

/// One file of a report.
struct Looked<'a> {
    path: &'a str,
    state: &'a str,
    why: String,
}

impl<'a> Looked<'a> {
    fn read(file: &'a Value) -> Result<Self> {
        let word = |name: &str| file.get(name).and_then(Value::as_str);
        let list = |name: &str| {
            file.get(name)
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
        };
        let serious = |one: &&Value| {
            let severity = one.get("severity").and_then(Value::as_str);
            matches!(severity, Some("high" | "critical"))
        };
        let found = list("findings").filter(serious);
        let reasons = found
            .map(|one| (one, "message"))
            .chain(list("gaps").map(|one| (one, "reason")));
        let reasons: Vec<&str> = reasons
            .filter_map(|(one, name)| one.get(name)?.as_str())
            .collect();
        Ok(Self {
            path: word("path").context("a file without a path")?,
            state: word("state").context("a file without a state")?,
            why: reasons.join("; "),
        })
    }
}
