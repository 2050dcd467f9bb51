//! The `custos` binary as a user calls it: found or built once, in a home of its own.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::place::{self, Place, Scratch};
use crate::process::{self, Finished};
use crate::say;

/// No single call in the suites takes longer.
const LIMIT: Duration = Duration::from_mins(5);

/// What the exit status of `custos` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// 0: done, or the check passed.
    Yes,
    /// 1: the check ran and the answer is no.
    No,
    /// 2: wrong use.
    Usage,
    /// 3: it could not be decided.
    Undecided,
    /// 4: proven tampering, a fork or a revoked key.
    Alarm,
}

/// Builds `custos` and the examples of all crates with the features of the whole workspace, so
/// that no dependency is compiled a second time with others.
pub fn build(place: &Place) -> Result<()> {
    if place::given_binary().is_some() {
        return Ok(());
    }
    say::line("building custos and the examples ...");
    let status = Command::new("cargo")
        .args([
            "build",
            "--release",
            "--quiet",
            "--workspace",
            "--bins",
            "--examples",
        ])
        .current_dir(&place.root)
        .status()
        .context("cannot start cargo")?;
    if status.success() {
        Ok(())
    } else {
        bail!("the workspace does not build")
    }
}

/// A `custos` with a home.
#[derive(Debug)]
pub struct Custos {
    binary: PathBuf,
    home: PathBuf,
    /// Working folder, empty of any `custos.toml`.
    work: PathBuf,
    /// Variables of every command.
    env: Vec<(&'static str, OsString)>,
}

impl Custos {
    /// Takes the built binary and a fresh home in `scratch`.
    pub fn new(place: &Place, scratch: &Scratch) -> Result<Self> {
        let binary = place::given_binary().unwrap_or_else(|| place.built("custos"));
        if !binary.is_file() {
            bail!("{} is not there: build it first", binary.display());
        }
        let (home, work) = (scratch.join("home"), scratch.join("work"));
        fs::create_dir_all(&work)?;
        // A home that is there, as after `custos init`: without one nothing is cached.
        fs::create_dir_all(&home)?;
        Ok(Self {
            binary,
            home,
            work,
            env: Vec::new(),
        })
    }

    /// With a variable in the environment of every command.
    pub fn with_env(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.env.push((name, value.into()));
        self
    }

    /// A command that is not yet started.
    pub fn command<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .args(words)
            .current_dir(&self.work)
            .env("CUSTOS_HOME", &self.home)
            .env("CUSTOS_NO_PROGRESS", "1")
            .env("NO_COLOR", "1")
            .envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs `custos` and answers with what it said.
    pub fn run<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Result<Finished> {
        process::run(&mut self.command(words), LIMIT)
    }

    /// Runs `custos`, which must succeed.
    pub fn ok<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Result<Finished> {
        self.run(words)?.success().context("custos")
    }

    /// Runs `custos`, which must answer `expected`. A panic or a death by signal is an error
    /// whatever is expected.
    pub fn answers<S: AsRef<OsStr>>(
        &self,
        expected: &[Answer],
        words: impl IntoIterator<Item = S>,
    ) -> Result<Finished> {
        let done = self.run(words)?;
        let answer = answer(&done)?;
        if expected.contains(&answer) {
            return Ok(done);
        }
        bail!(
            "custos answered {answer:?}, expected {expected:?}: {}",
            done.words()
        )
    }
}

/// Returns what `done` said, if it answered `expected` with `part` in its words.
pub fn told(done: Finished, expected: Answer, part: &str) -> Result<Finished> {
    let answer = answer(&done)?;
    if answer == expected && done.words().contains(part) {
        return Ok(done);
    }
    bail!(
        "custos answered {answer:?}, expected {expected:?} with `{part}`: {}",
        done.words()
    )
}

/// Reads the exit status of a finished `custos`.
pub fn answer(done: &Finished) -> Result<Answer> {
    if done.stderr.contains("panicked at") {
        bail!("custos panicked: {}", done.words());
    }
    Ok(match done.code() {
        Some(0) => Answer::Yes,
        Some(1) => Answer::No,
        Some(2) => Answer::Usage,
        Some(3) => Answer::Undecided,
        Some(4) => Answer::Alarm,
        _ => bail!("custos ended in a way it never should: {}", done.words()),
    })
}
