//! Kills the log at its system calls and looks whether it kept its word.
//!
//! `crates/log/examples/log_writer DIR BATCHES` appends batches and prints a line of JSON for each
//! that the log acknowledged; `log_check DIR ACKS` opens the log again and fails unless every
//! acknowledged entry is there and every checkpoint that was given out is consistent with the
//! log. A point of the sweep is one system call of the writer: `strace` kills the process as
//! it enters the call. Then the writer starts again on what is left, appends more, and all
//! acknowledgements of both lives are checked.
//!
//! What a kill does not show is power loss, for the page cache survives it: that is what the
//! simulated disk in the tests of `custos-log` is for.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use serde_json::{Value, json};

use super::Run;
use crate::place::{self, Place, Scratch, Stopwatch};
use crate::process;
use crate::tally::Suite;

/// System calls that change what is on the disk, or say that they did.
const CALLS: &str = "write,writev,pwrite64,pwritev,pwritev2,fdatasync,fsync,rename,renameat,\
                     renameat2,ftruncate,fallocate,unlink,unlinkat,mkdir,mkdirat,link,linkat,\
                     flock,openat";
/// Those that a full or failing disk refuses.
const REFUSED: [&str; 6] = [
    "pwrite64",
    "pwritev",
    "write",
    "fdatasync",
    "fsync",
    "ftruncate",
];
const POINTS: usize = 200;
const POINTS_FULL: usize = 1000;
/// Batches of one life of the writer: enough to fill tiles and to begin a second segment.
const BATCHES: &str = "40";
const LIMIT: Duration = Duration::from_mins(1);

/// Runs the suite.
pub fn run(run: &Run<'_>, suite: &mut Suite) -> Result<()> {
    let sweep = Sweep::new(run.place)?;
    let wanted = if run.full { POINTS_FULL } else { POINTS };
    suite.check("a life without a kill", || sweep.undisturbed());
    suite.check("the check finds a lost entry", || sweep.check_can_fail());
    if place::on_path("strace").is_none() {
        suite.skip(
            "strace",
            "strace is not installed (Debian: `apt-get install strace`): the log is killed after \
             acknowledgements instead of at system calls",
        );
        for number in 0..wanted / 4 {
            suite.check(&format!("killed after acknowledgement {number}"), || {
                sweep.killed_after(number)
            });
        }
        return Ok(());
    }
    if let Err(error) = strace_works() {
        suite.skip("strace", &format!("strace does not work here: {error:#}"));
        return Ok(());
    }
    let used = sweep.used(BATCHES, &sweep.scratch.join("dirty"))?;
    // Half of the points on an empty folder, half on one that a killed writer left.
    let fresh = points(&sweep.calls(None)?, wanted.div_ceil(2), &Fault::Kill);
    let used = points(&sweep.calls(Some(&used))?, wanted / 2, &Fault::Kill);
    sweep.points(suite, &fresh, false);
    sweep.points(suite, &used, true);
    for (name, error) in [("disk full", "ENOSPC"), ("failing disk", "EIO")] {
        let mut calls = sweep.calls(None)?;
        calls.retain(|call, _| REFUSED.contains(&call.as_str()));
        let faults = points(&calls, wanted / 8, &Fault::Error(error));
        suite.check(&format!("{name}: there are points"), || {
            ensure!(!faults.is_empty(), "the writer wrote nothing");
            Ok(())
        });
        sweep.points(suite, &faults, false);
    }
    Ok(())
}

/// What happens at a point.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fault {
    Kill,
    Error(&'static str),
}

/// One place in the life of the writer.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Point {
    call: String,
    number: usize,
    fault: Fault,
}

impl Point {
    fn name(&self) -> String {
        match self.fault {
            Fault::Kill => format!("killed at {} {}", self.call, self.number),
            Fault::Error(error) => format!("{error} from {} {}", self.call, self.number),
        }
    }

    fn inject(&self) -> String {
        let Self {
            call,
            number,
            fault,
        } = self;
        match fault {
            Fault::Kill => format!("inject={call}:signal=KILL:when={number}"),
            // A full disk stays full, a failing disk keeps failing.
            Fault::Error(error) => format!("inject={call}:error={error}:when={number}+"),
        }
    }
}

/// Spreads `wanted` points over the calls that were seen: each kind gets its share, at least one,
/// and within a kind the points are evenly spread. All calls, if there are no more than wanted.
fn points(calls: &BTreeMap<String, usize>, wanted: usize, fault: &Fault) -> Vec<Point> {
    let total: usize = calls.values().sum();
    let mut points = Vec::new();
    for (call, count) in calls {
        let share = if total <= wanted {
            *count
        } else {
            (count * wanted).div_ceil(total)
        };
        points.extend((0..share).map(|index| Point {
            call: call.clone(),
            number: 1 + index * count / share,
            fault: fault.clone(),
        }));
    }
    points
}

/// The programs and a folder for many short-lived logs.
struct Sweep {
    scratch: Scratch,
    writer: PathBuf,
    checker: PathBuf,
}

impl Sweep {
    fn new(place: &Place) -> Result<Self> {
        let (writer, checker) = (
            place.built("examples/log_writer"),
            place.built("examples/log_check"),
        );
        ensure!(
            writer.is_file() && checker.is_file(),
            "the examples of crates/log are not built"
        );
        Ok(Self {
            scratch: Scratch::new("crash")?,
            writer,
            checker,
        })
    }

    /// Appends `count` entries, and adds the acknowledgements to the file beside the log.
    fn write(&self, log: &Path, count: &str) -> Command {
        let mut command = Command::new(&self.writer);
        command.arg(log).arg(count);
        command
    }

    /// Runs a writer with its acknowledgements going straight to a file, so that what was said is
    /// kept when the process dies.
    fn live(mut command: Command, log: &Path) -> Result<ExitStatus> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(acks(log))?;
        let mut child = command
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(File::create(log.with_extension("err"))?)
            .spawn()?;
        let clock = Stopwatch::start();
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            if clock.elapsed() > LIMIT {
                child.kill()?;
                child.wait()?;
                bail!("the writer hangs");
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn check(&self, log: &Path) -> Result<()> {
        let mut command = Command::new(&self.checker);
        process::run(command.arg(log).arg(acks(log)), LIMIT)?.success()?;
        Ok(())
    }

    /// A second life on what the first left, and the check of both.
    fn survive(&self, log: &Path) -> Result<()> {
        self.check(log).context("after the kill")?;
        let before = acknowledged(log)?;
        let status = Self::live(self.write(log, "3"), log)?;
        let words = fs::read_to_string(log.with_extension("err")).unwrap_or_default();
        ensure!(
            status.success(),
            "the writer does not start again: {status} {words}"
        );
        ensure!(
            acknowledged(log)? == before + 3,
            "the second life acknowledged too little"
        );
        self.check(log).context("after the second life")
    }

    fn undisturbed(&self) -> Result<()> {
        let log = self.scratch.join("undisturbed");
        let status = Self::live(self.write(&log, BATCHES), &log)?;
        ensure!(status.success(), "the writer failed: {status}");
        ensure!(
            acknowledged(&log)?.to_string() == BATCHES,
            "not all were acknowledged"
        );
        self.survive(&log)
    }

    /// An acknowledgement of what is not in the log must be noticed.
    fn check_can_fail(&self) -> Result<()> {
        let log = self.scratch.join("lost");
        Self::live(self.write(&log, "5"), &log)?;
        let text = fs::read_to_string(acks(&log))?;
        let last: Value = serde_json::from_str(text.lines().last().context("no line")?)?;
        let end = last
            .get("last")
            .and_then(Value::as_u64)
            .context("no `last`")?;
        for (field, value) in [("index", 0), ("index", 1 << 20), ("last", end + 50)] {
            let mut lie = last.clone();
            ensure!(
                lie.get(field).is_some_and(|old| *old != value),
                "no `{field}` to lie about"
            );
            lie[field] = json!(value);
            fs::write(acks(&log), format!("{text}{lie}\n"))?;
            ensure!(self.check(&log).is_err(), "a lie was not noticed: {lie}");
        }
        fs::write(acks(&log), text)?;
        self.check(&log)
    }

    /// The log of a writer that was killed in the middle.
    fn used(&self, entries: &str, log: &Path) -> Result<PathBuf> {
        let count = self.calls(None)?.get("fdatasync").copied().unwrap_or(2);
        let number = (count / 2).max(1);
        let point = Point {
            call: "fdatasync".to_owned(),
            number,
            fault: Fault::Kill,
        };
        Self::live(self.under_strace(&point, log, entries), log)?;
        Ok(log.to_path_buf())
    }

    fn under_strace(&self, point: &Point, log: &Path, entries: &str) -> Command {
        let mut command = Command::new("strace");
        command
            .args(["-f", "-qq", "-o", "/dev/null", "-e"])
            .arg(format!("trace={}", point.call))
            .args(["-e", &point.inject()])
            .arg(&self.writer)
            .arg(log)
            .arg(entries);
        command
    }

    /// How often an undisturbed writer makes each call, in its busiest thread, for that is how
    /// strace counts.
    fn calls(&self, used: Option<&Path>) -> Result<BTreeMap<String, usize>> {
        let scratch = Scratch::below(self.scratch.path(), "count")?;
        let (log, trace) = (scratch.join("log"), scratch.join("trace"));
        if let Some(used) = used {
            copy(used, &log)?;
        }
        let mut command = Command::new("strace");
        command
            .args(["-f", "-qq", "-e", "signal=none", "-e"])
            .arg(format!("trace={CALLS}"));
        command
            .arg("-o")
            .arg(&trace)
            .arg(&self.writer)
            .arg(&log)
            .arg(BATCHES);
        let status = Self::live(command, &log)?;
        ensure!(
            status.success(),
            "the writer does not run under strace: {status}"
        );
        let mut threads: BTreeMap<(String, String), usize> = BTreeMap::new();
        for line in fs::read_to_string(&trace)?.lines() {
            let mut words = line.splitn(2, char::is_whitespace);
            let (Some(thread), Some(rest)) = (words.next(), words.next()) else {
                continue;
            };
            let Some((call, _)) = rest.trim_start().split_once('(') else {
                continue;
            };
            if call.chars().all(|letter| letter.is_ascii_alphanumeric()) {
                *threads
                    .entry((call.to_owned(), thread.to_owned()))
                    .or_default() += 1;
            }
        }
        let mut calls = BTreeMap::new();
        for ((call, _), count) in threads {
            let most = calls.entry(call).or_insert(0);
            *most = count.max(*most);
        }
        ensure!(
            calls.contains_key("fdatasync"),
            "the writer makes nothing durable: {calls:?}"
        );
        Ok(calls)
    }

    /// Runs points on all cores.
    fn points(&self, suite: &mut Suite, points: &[Point], on_used: bool) {
        let next = AtomicUsize::new(0);
        let results: Mutex<Vec<(String, Result<bool>)>> = Mutex::new(Vec::new());
        let cores = thread::available_parallelism().map_or(1, usize::from);
        thread::scope(|scope| {
            for _ in 0..cores {
                scope.spawn(|| {
                    while let Some(point) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let result = self.point(point, on_used);
                        if let Ok(mut results) = results.lock() {
                            results.push((point.name(), result));
                        }
                    }
                });
            }
        });
        let results = results.into_inner().unwrap_or_default();
        let place = if on_used { "a killed log" } else { "a new log" };
        let mut fired = 0_usize;
        for (name, result) in results {
            match result {
                Ok(hit) => fired += usize::from(hit),
                Err(error) => suite.fail(&format!("{name} on {place}"), &format!("{error:#}")),
            }
        }
        suite.pass(u64::try_from(fired).unwrap_or(u64::MAX));
        // A point that did not come to pass shows nothing, and counts as nothing.
        let kind = points
            .first()
            .map_or_else(String::new, |point| format!("{:?}", point.fault));
        if fired * 10 < points.len() * 9 {
            let why = format!("only {fired} of {} points came to pass", points.len());
            suite.fail(&format!("{kind} on {place}"), &why);
        }
    }

    /// One point; answers whether it came to pass.
    fn point(&self, point: &Point, on_used: bool) -> Result<bool> {
        let scratch = Scratch::below(self.scratch.path(), "point")?;
        let log = scratch.join("log");
        if on_used {
            copy(&self.scratch.join("dirty"), &log)?;
        }
        let status = Self::live(self.under_strace(point, &log, BATCHES), &log)?;
        self.survive(&log)?;
        Ok(match point.fault {
            Fault::Kill => status.signal() == Some(9) || status.code() == Some(137),
            Fault::Error(_) => !status.success(),
        })
    }

    /// Without strace: kills the writer once it has acknowledged so many entries.
    fn killed_after(&self, number: usize) -> Result<()> {
        let scratch = Scratch::below(self.scratch.path(), "point")?;
        let log = scratch.join("log");
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(acks(&log))?;
        let mut child = self
            .write(&log, "100000")
            .stdin(Stdio::null())
            .stdout(file)
            .spawn()?;
        let clock = Stopwatch::start();
        while acknowledged(&log)? < number && clock.elapsed() < LIMIT {
            thread::sleep(Duration::from_micros(50));
        }
        child.kill()?;
        let status = child.wait()?;
        ensure!(
            status.signal() == Some(9),
            "the writer was not running any more: {status}"
        );
        self.survive(&log)
    }
}

/// The file with the acknowledgements of a log.
fn acks(log: &Path) -> PathBuf {
    log.with_extension("acks")
}

/// Whole lines only: the last one may have been cut by the kill.
fn acknowledged(log: &Path) -> Result<usize> {
    let text = fs::read_to_string(acks(log))?;
    Ok(text.matches('\n').count())
}

fn strace_works() -> Result<()> {
    let mut command = Command::new("strace");
    command.args([
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "inject=write:signal=KILL:when=1",
        "echo",
    ]);
    let done = process::run(&mut command, LIMIT)?;
    if done.status.signal() == Some(9) || done.code() == Some(137) {
        Ok(())
    } else {
        Err(anyhow!("{}", done.words()))
    }
}

/// Copies a log and its acknowledgements.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(acks(from), acks(to))?;
    let mut open = vec![(from.to_path_buf(), to.to_path_buf())];
    while let Some((from, to)) = open.pop() {
        fs::create_dir_all(&to)?;
        for entry in fs::read_dir(&from)? {
            let entry = entry?;
            let target = to.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                open.push((entry.path(), target));
            } else {
                fs::copy(entry.path(), target)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(list: &[(&str, usize)]) -> BTreeMap<String, usize> {
        list.iter()
            .map(|(call, count)| ((*call).to_owned(), *count))
            .collect()
    }

    #[test]
    fn all_calls_when_they_are_few() {
        let points = points(&calls(&[("rename", 2), ("write", 3)]), 10, &Fault::Kill);
        let numbers: Vec<usize> = points.iter().map(|point| point.number).collect();
        assert_eq!(numbers, [1, 2, 1, 2, 3]);
    }

    #[test]
    fn points_are_spread_and_none_twice() {
        let points = points(&calls(&[("rename", 1), ("write", 1000)]), 100, &Fault::Kill);
        assert!(points.len() >= 100);
        assert_eq!(
            points.iter().filter(|point| point.call == "rename").count(),
            1
        );
        let mut numbers: Vec<usize> = points
            .iter()
            .filter(|point| point.call == "write")
            .map(|p| p.number)
            .collect();
        assert!(numbers.iter().all(|number| (1..=1000).contains(number)));
        assert!(numbers.last() > Some(&950));
        let before = numbers.len();
        numbers.dedup();
        assert_eq!(numbers.len(), before);
    }
}
