//! Bad files must be found and real ones must not be.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context as _, Result, bail, ensure};

use super::{Desk, Looked, ORDINARY, Run};
use crate::samples::{self, Listed};
use crate::say;
use crate::tally::Suite;

/// Runs the part of the suite.
pub(super) fn run(desk: &Desk<'_>, run: &Run<'_>, suite: &mut Suite) {
    with(desk, suite, "scan-corpus", bad);
    with(desk, suite, "real-files", real);
    if run.full {
        with(desk, suite, "real-files-large", real);
    }
}

type Part = fn(&Desk<'_>, &str, &Listed, &mut Suite) -> Result<()>;

fn with(desk: &Desk<'_>, suite: &mut Suite, name: &str, part: Part) {
    match samples::listed(desk.place, name) {
        Ok(listed) => {
            if let Err(error) = part(desk, name, &listed, suite) {
                suite.fail(name, &format!("{error:#}"));
            }
        }
        Err(error) => suite.skip(&format!("peer:{name}"), &format!("{error:#}")),
    }
}

// What another scanner's package ships as bad is found, or its miss is argued.
fn bad(desk: &Desk<'_>, _: &str, listed: &Listed, suite: &mut Suite) -> Result<()> {
    let missed = Expected::read(desk, "scan-missed")?;
    let scanned = desk.scan(&listed.folder)?;
    judge(listed, &scanned.files()?, suite, |path, file| {
        match (file.state, missed.has(path)) {
            ("findings", argued) => {
                missed.better(path, argued);
                Ok(())
            }
            (_, true) => Ok(()),
            (state, false) => bail!("it is not found but {state}: {}", file.why),
        }
    });
    missed.all_in(&names(listed), suite);
    Ok(())
}

// Nobody is told that a real file is bad, and what is not understood becomes less.
fn real(desk: &Desk<'_>, name: &str, listed: &Listed, suite: &mut Suite) -> Result<()> {
    let incomplete = Expected::read(desk, "real-incomplete")?;
    let scanned = desk.scan(&listed.folder)?;
    judge(listed, &scanned.files()?, suite, |path, file| {
        match (file.state, incomplete.has(path)) {
            ("clean", known) => {
                incomplete.better(path, known);
                Ok(())
            }
            ("incomplete", true) => Ok(()),
            (state, _) => bail!("it is {state}: {}", file.why),
        }
    });
    // Large tables in JSON take more, as they are held as a tree.
    if name == "real-files" {
        suite.check(&format!("{name}: memory"), || scanned.within(ORDINARY));
    }
    say::line(&format!(
        "      {name}: {} files, {} MiB of memory, {:.1} s of processor time",
        listed.files.len(),
        scanned.done.usage.maxrss >> 20,
        (scanned.done.usage.utime + scanned.done.usage.stime).as_secs_f64()
    ));
    Ok(())
}

// Each listed file has one answer, and nothing else has any.
fn judge(
    listed: &Listed,
    files: &[Looked<'_>],
    suite: &mut Suite,
    rule: impl Fn(&str, &Looked<'_>) -> Result<()>,
) {
    let names = names(listed);
    for name in &names {
        suite.check(name, || {
            let mut looked = files.iter().filter(|file| file.path.ends_with(name));
            let file = looked.next().context("it is not in the report")?;
            ensure!(looked.next().is_none(), "it is in the report twice");
            rule(name, file)
        });
    }
    suite.check("each file once", || {
        ensure!(
            files.len() == names.len(),
            "{} files in the report, {} in the list",
            files.len(),
            names.len()
        );
        Ok(())
    });
}

fn names(listed: &Listed) -> BTreeSet<String> {
    let paths = listed.files.iter();
    let below = paths.filter_map(|path| path.strip_prefix(&listed.folder).ok());
    below.map(|path| path.display().to_string()).collect()
}

/// Files that are no better yet: `PACKAGE/PATH WHY` in each line of a list.
pub(super) struct Expected {
    name: &'static str,
    paths: BTreeSet<String>,
}

impl Expected {
    pub(super) fn read(desk: &Desk<'_>, name: &'static str) -> Result<Self> {
        let path = desk.place.peer_file(&format!("{name}.txt"));
        let lines = fs::read_to_string(path).with_context(|| format!("cannot read {name}.txt"))?;
        let lines = lines.lines().filter(|line| !line.starts_with('#'));
        let mut paths = BTreeSet::new();
        for line in lines {
            let (path, why) = line.split_once(' ').unwrap_or((line, ""));
            ensure!(!why.trim().is_empty(), "{name}.txt: {path} has no reason");
            ensure!(paths.insert(path.to_owned()), "{name}.txt: {path} twice");
        }
        Ok(Self { name, paths })
    }

    pub(super) fn has(&self, path: &str) -> bool {
        self.paths.contains(path)
    }

    // Whoever makes it better takes the line out; that it still stands there hurts nobody.
    pub(super) fn better(&self, path: &str, known: bool) {
        if known {
            say::line(&format!(
                "      {}.txt: no longer true of {path}",
                self.name
            ));
        }
    }

    // A line about nothing hides nothing, and misleads.
    pub(super) fn all_in(&self, names: &BTreeSet<String>, suite: &mut Suite) {
        for path in self.paths.difference(names) {
            suite.fail(
                path,
                &format!("{}.txt names it, and no list does", self.name),
            );
        }
    }
}
