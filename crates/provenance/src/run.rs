//! The step runner: one command with declared inputs and products, turned into SLSA provenance
//! and a record of what it used.
//!
//! Three stages, so that a caller can decide in between: [`Runner::prepare`] digests the inputs
//! and collects the materials; then a gate may look at them; [`Prepared::execute`] runs the
//! command; [`Executed::finish`] digests again and makes the predicates. Whatever goes wrong is an
//! error, and an error leaves nothing that could be signed: a step that failed makes no statement.
//!
//! It signs nothing and hands no key to the command. It does not isolate yet, and says so
//! (`isolation: none`): a command can do whatever its user can, so also read what it did not
//! declare, the user's key files among it. What it writes into its working directory without
//! having declared it is found and refused; what it leaves running is ended.

mod child;
mod declaration;
mod environment;
mod listing;
mod outcome;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

use custos_core::amount::Amount;
use custos_core::clock::{Clock, Timestamp};
use custos_core::digest::{Digest, DigestSet};
use custos_core::oms::Manifest;
use custos_core::predicate::PredicateError;
use custos_core::predicate::step::Note;
use custos_core::statement::{ResourceDescriptor, Subject};

use crate::git;
use crate::hash::{ArtifactDigest, HashError, HashOptions, Progress, artifact_digest};
use crate::material::{self, MaterialError, Program, Surroundings};
use crate::measure::Machine;
use declaration::Places;
use listing::Listing;

pub use child::Interrupt;
pub use declaration::DeclarationFault;
pub use environment::{Environment, Keep};
pub use outcome::StepOutcome;

/// A step, as declared.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Step {
    /// Name.
    pub name: String,
    /// What it reads.
    pub inputs: Vec<Declared>,
    /// What it makes; at least one.
    pub products: Vec<Declared>,
    /// Files and folders that it may write to and that are no products.
    pub scratch: Vec<PathBuf>,
    /// The command and its arguments.
    pub command: Vec<OsString>,
    /// Where it runs; relative paths above are below it.
    pub directory: PathBuf,
    /// The environment that it sees.
    pub environment: Environment,
    /// Where its standard input comes from.
    pub stdin: Stdin,
    /// Where its output goes.
    pub output: Output,
    /// Longest time.
    pub time_limit: Option<Duration>,
    /// What an hour of the machine costs, if somebody said so.
    pub price_per_hour: Option<Amount>,
}

/// A name and the path behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "a pair with names")]
pub struct Declared {
    /// Name, unique among the inputs or among the products.
    pub name: String,
    /// Path of a file or folder.
    pub path: PathBuf,
}

impl Declared {
    /// Returns a name and the path behind it.
    pub fn new(name: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            path: path.into(),
        }
    }
}

/// Where standard input comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Stdin {
    /// From the caller. The command then shares the caller's process group, because a terminal
    /// gives its input to one group only.
    Inherited,
    /// From nowhere.
    #[default]
    Null,
}

/// Where standard output goes; standard error is always the caller's, save for `Null`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Output {
    /// To the caller's standard output.
    Inherited,
    /// To nowhere, both.
    Null,
    /// To the caller's standard error, so that the caller's own output stays clean.
    #[default]
    Stderr,
}

impl Step {
    /// Returns a step that runs `command` in `directory`, with an empty environment.
    pub fn new(
        name: impl Into<String>,
        directory: impl Into<PathBuf>,
        command: Vec<OsString>,
    ) -> Self {
        Self {
            name: name.into(),
            inputs: Vec::new(),
            products: Vec::new(),
            scratch: Vec::new(),
            command,
            directory: directory.into(),
            environment: Environment::empty(),
            stdin: Stdin::default(),
            output: Output::default(),
            time_limit: None,
            price_per_hour: None,
        }
    }
}

/// Runs steps.
#[derive(Clone)]
#[allow(
    clippy::exhaustive_structs,
    reason = "what the runner is given from outside"
)]
pub struct Runner<'a> {
    /// How inputs and products are hashed.
    pub hashing: HashOptions<'a>,
    /// Hears how far the hashing is.
    pub progress: &'a dyn Progress,
    /// Tells the time of start.
    pub clock: &'a dyn Clock,
    /// The machine.
    pub machine: Machine,
    /// Version of Custos, for the provenance.
    pub version: &'a str,
}

impl<'a> Runner<'a> {
    /// Checks the declaration, digests the inputs and collects the materials. Nothing runs yet,
    /// save for questions to `git`.
    pub fn prepare(&self, mut step: Step) -> Result<Prepared<'a>, RunError> {
        // Python would write compiled files beside each module, which nobody declared.
        step.environment = step.environment.or("PYTHONDONTWRITEBYTECODE", "1");
        step.environment = child::mark(step.environment, self.clock.now());
        let places = declaration::check(&step, &self.hashing.tree.leave_out)?;
        // Before anything is digested: whatever changes from now on shows after the run.
        let before = Listing::of(&places);
        let declared = places.all();
        let search_path = step.environment.search_path().map(OsStr::to_owned);
        let surroundings = Surroundings {
            command: &step.command,
            directory: &places.directory,
            search_path: search_path.as_deref(),
            declared: &declared,
        };
        let program = material::resolve_program(&surroundings)?;
        let mut materials = material::of_command(&surroundings, &program)?;
        let git = git::inspect(&places.directory, search_path.as_deref());
        materials.push(material::source(&git));
        materials.extend(material::platform(&self.machine));

        let mut inputs = Vec::new();
        for (input, path) in step.inputs.iter().zip(&places.inputs) {
            let artifact = self.digest(&input.name, path, Side::Input)?;
            inputs.push(Input {
                name: input.name.clone(),
                path: path.clone(),
                artifact,
            });
        }
        let mut earlier = Vec::new();
        for (product, path) in step.products.iter().zip(&places.products) {
            let there = path.symlink_metadata().is_ok();
            // What cannot be digested now may well be after the run.
            let artifact = there
                .then(|| artifact_digest(path, &self.hashing, self.progress).ok())
                .flatten();
            earlier.push((
                product.name.clone(),
                artifact.map(|artifact| artifact.digest),
            ));
        }
        Ok(Prepared {
            runner: self.clone(),
            step,
            places,
            program,
            inputs,
            materials,
            earlier,
            before,
        })
    }

    fn digest(&self, name: &str, path: &Path, side: Side) -> Result<ArtifactDigest, RunError> {
        let name = name.to_owned();
        let path = path.to_owned();
        if path.symlink_metadata().is_err() {
            return Err(match side {
                Side::Input => RunError::InputMissing { name, path },
                Side::Product => RunError::ProductMissing { name, path },
            });
        }
        artifact_digest(&path, &self.hashing, self.progress).map_err(|source| match side {
            Side::Input => RunError::InputUnreadable { name, path, source },
            Side::Product => RunError::ProductUnreadable { name, path, source },
        })
    }
}

#[derive(Clone, Copy)]
enum Side {
    Input,
    Product,
}

/// A declared input with its digests.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Input {
    /// Name, as declared.
    pub name: String,
    /// Absolute path.
    pub path: PathBuf,
    /// Digests before the run.
    pub artifact: ArtifactDigest,
}

/// A step that is ready to run.
#[must_use]
pub struct Prepared<'a> {
    runner: Runner<'a>,
    step: Step,
    places: Places,
    program: Program,
    inputs: Vec<Input>,
    materials: Vec<ResourceDescriptor>,
    // Products that were there before.
    earlier: Vec<(String, Option<DigestSet>)>,
    before: Listing,
}

impl<'a> Prepared<'a> {
    /// Returns the declared inputs with their digests, for a gate to look at.
    pub fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    /// Returns the absolute paths of the declared products.
    pub fn products(&self) -> &[PathBuf] {
        &self.places.products
    }

    /// Returns what else was found to go in.
    pub fn materials(&self) -> &[ResourceDescriptor] {
        &self.materials
    }

    /// Runs the command and waits for it. A failure, an interrupt and the time limit are errors.
    pub fn execute(self, interrupt: &Interrupt) -> Result<Executed<'a>, RunError> {
        let started_on = self.runner.clock.now();
        let finished = child::run(
            &self.step,
            &self.places,
            &self.program,
            &child::Control {
                interrupt,
                machine: &self.runner.machine,
            },
        )?;
        match finished.ending {
            child::Ending::Interrupted { signal } => return Err(RunError::Interrupted { signal }),
            child::Ending::TimedOut { limit } => return Err(RunError::TimedOut { limit }),
            child::Ending::Own => {}
        }
        if !finished.status.success() {
            use std::os::unix::process::ExitStatusExt as _;
            return Err(RunError::CommandFailed {
                code: finished.status.code(),
                signal: finished.status.signal(),
            });
        }
        Ok(Executed {
            prepared: self,
            finished,
            started_on,
            interrupt: interrupt.clone(),
            others: None,
        })
    }
}

/// A step whose command ran and ended well.
#[must_use]
pub struct Executed<'a> {
    prepared: Prepared<'a>,
    finished: child::Finished,
    started_on: Timestamp,
    interrupt: Interrupt,
    // Tells what steps declared as theirs that ran at the same time.
    others: Option<&'a dyn Fn() -> Vec<PathBuf>>,
}

impl<'a> Executed<'a> {
    /// Names somebody who knows which paths other steps, running at the same time, declared as
    /// their products. What changed there is not held against this step, but noted. Asked after
    /// everything was looked at, so that a step that begins meanwhile is known as well.
    pub fn beside(self, others: &'a dyn Fn() -> Vec<PathBuf>) -> Self {
        Self {
            others: Some(others),
            ..self
        }
    }

    /// Digests inputs and products, looks for undeclared writes, and makes the predicates. A
    /// request to stop counts here as well.
    pub fn finish(self) -> Result<StepOutcome, RunError> {
        let outcome = self.outcome();
        match self.interrupt.pending() {
            Some(signal) => Err(RunError::Interrupted { signal }),
            None => outcome,
        }
    }

    fn outcome(&self) -> Result<StepOutcome, RunError> {
        let progress = Watched {
            progress: self.prepared.runner.progress,
            interrupt: &self.interrupt,
        };
        let runner = Runner {
            progress: &progress,
            ..self.prepared.runner.clone()
        };
        self.check_inputs(&runner)?;
        let (subjects, mut notes) = self.products(&runner)?;
        notes.extend(self.check_writes()?);
        if self.finished.processes_ended {
            notes.push(Note::ProcessesEnded);
        }
        outcome::make(self, subjects, notes)
    }

    fn check_inputs(&self, runner: &Runner<'_>) -> Result<(), RunError> {
        for input in &self.prepared.inputs {
            let after = runner.digest(&input.name, &input.path, Side::Input)?;
            if after.digest != input.artifact.digest {
                let mut files = differences(&input.artifact, &after);
                let total = files.len();
                files.truncate(MAX_NAMED);
                return Err(RunError::InputChanged {
                    name: input.name.clone(),
                    path: input.path.clone(),
                    files,
                    total,
                });
            }
        }
        Ok(())
    }

    fn products(&self, runner: &Runner<'_>) -> Result<(Vec<Subject>, Vec<Note>), RunError> {
        let Prepared {
            step,
            places,
            earlier,
            ..
        } = &self.prepared;
        let (mut subjects, mut notes) = (Vec::new(), Vec::new());
        for ((product, path), (_, before)) in
            step.products.iter().zip(&places.products).zip(earlier)
        {
            let after = runner.digest(&product.name, path, Side::Product)?;
            outside(product, path)?;
            if before
                .as_ref()
                .is_some_and(|before| before.agrees_with(&after.digest))
            {
                notes.push(Note::ProductUnchanged {
                    name: product.name.clone(),
                });
            }
            subjects.push(ResourceDescriptor::new(product.name.as_str(), after.digest));
        }
        Ok((subjects, notes))
    }

    fn check_writes(&self) -> Result<Option<Note>, RunError> {
        let after = Listing::of(&self.prepared.places);
        let changed = match self.prepared.before.changes(&after) {
            Ok(changed) => changed,
            Err(limit) => return Ok(Some(Note::ListingTruncated { limit })),
        };
        let declared = match self.others {
            Some(ask) if !changed.is_empty() => ask(),
            _ => Vec::new(),
        };
        let of_others = |path: &PathBuf| declared.iter().any(|other| path.starts_with(other));
        let (others, own): (Vec<_>, Vec<_>) = changed.into_iter().partition(of_others);
        if !own.is_empty() {
            return Err(RunError::UndeclaredWrites {
                total: own.len(),
                paths: own.into_iter().take(MAX_NAMED).collect(),
            });
        }
        let files = u64::try_from(others.len()).unwrap_or(u64::MAX);
        Ok((files > 0).then_some(Note::OthersWrote { files }))
    }
}

/// Ends the hashing when somebody asks the run to stop.
struct Watched<'a> {
    progress: &'a dyn Progress,
    interrupt: &'a Interrupt,
}

impl Progress for Watched<'_> {
    fn begins(&self, bytes: u64, files: u64) {
        self.progress.begins(bytes, files);
    }

    fn advances(&self, bytes: u64, files: u64) {
        self.progress.advances(bytes, files);
    }

    fn is_cancelled(&self) -> bool {
        self.interrupt.pending().is_some() || self.progress.is_cancelled()
    }
}

// The path was resolved before the run. If it leads elsewhere now, the step put a link there, and
// what was digested lies outside of what was declared.
fn outside(product: &Declared, path: &Path) -> Result<(), RunError> {
    match path.canonicalize() {
        Ok(target) if target == path => Ok(()),
        Ok(target) => Err(RunError::ProductOutside {
            name: product.name.clone(),
            target,
        }),
        Err(_) => Err(RunError::ProductMissing {
            name: product.name.clone(),
            path: path.to_owned(),
        }),
    }
}

/// Most files that an error names.
const MAX_NAMED: usize = 20;

fn differences(before: &ArtifactDigest, after: &ArtifactDigest) -> Vec<String> {
    let (before, after) = (files(before), files(after));
    let gone_or_changed = before
        .iter()
        .filter(|(name, digest)| after.get(*name) != Some(*digest))
        .map(|(n, _)| n);
    let new = after.keys().filter(|name| !before.contains_key(*name));
    let mut names: Vec<String> = gone_or_changed
        .chain(new)
        .map(|n| (*n).to_owned())
        .collect();
    names.sort();
    names
}

// The files of a folder with their digests; nothing for a single file, which has a name already.
fn files(artifact: &ArtifactDigest) -> BTreeMap<&str, Digest> {
    let resources = artifact.manifest.iter().flat_map(Manifest::iter);
    resources
        .map(|resource| (resource.path(), *resource.digest()))
        .collect()
}

/// Why a step has no outcome.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The command ended with a failure.
    #[error("the command failed with {}", exit(*code, *signal))]
    CommandFailed {
        /// Its exit status, if it ended by itself.
        code: Option<i32>,
        /// The signal that ended it.
        signal: Option<i32>,
    },
    /// The declaration is not sound.
    #[error(transparent)]
    Declaration(#[from] DeclarationFault),
    /// An input has another digest after the run than before it.
    #[error("the input `{name}` ({}) changed during the run{}", path.display(), named(files, *total))]
    InputChanged {
        /// Name of the input.
        name: String,
        /// Its path.
        path: PathBuf,
        /// In a tree, the files that changed, at most 20.
        files: Vec<String>,
        /// How many there are.
        total: usize,
    },
    /// An input is not there.
    #[error("the input `{name}` is not there: {}", path.display())]
    InputMissing {
        /// Name of the input.
        name: String,
        /// Its path.
        path: PathBuf,
    },
    /// An input has no digest.
    #[error("the input `{name}` cannot be digested: {source}")]
    InputUnreadable {
        /// Name of the input.
        name: String,
        /// Its path.
        path: PathBuf,
        /// Why.
        source: HashError,
    },
    /// The caller was told to stop, and passed that on to the command.
    #[error("interrupted by signal {signal}")]
    Interrupted {
        /// The signal.
        signal: i32,
    },
    /// The program was not found or cannot be read.
    #[error(transparent)]
    Material(#[from] MaterialError),
    /// The system did not start the command.
    #[error("the command could not be started: {0}")]
    NotStarted(std::io::Error),
    /// The predicates are not sound.
    #[error(transparent)]
    Predicate(#[from] PredicateError),
    /// A product was not made.
    #[error("the product `{name}` was not made: {} is not there", path.display())]
    ProductMissing {
        /// Name of the product.
        name: String,
        /// Its path.
        path: PathBuf,
    },
    /// A product is a link that leads out of what was declared.
    #[error("the product `{name}` leads to {}, which was not declared", target.display())]
    ProductOutside {
        /// Name of the product.
        name: String,
        /// Where it leads.
        target: PathBuf,
    },
    /// A product has no digest.
    #[error("the product `{name}` cannot be digested: {source}")]
    ProductUnreadable {
        /// Name of the product.
        name: String,
        /// Its path.
        path: PathBuf,
        /// Why.
        source: HashError,
    },
    /// The command took too long and was ended.
    #[error("the command was ended after {} s", limit.as_secs())]
    TimedOut {
        /// The limit.
        limit: Duration,
    },
    /// Files were written that no product covers.
    #[error("the step wrote outside of its products: {}", paths_of(paths, *total))]
    UndeclaredWrites {
        /// The files, at most 20.
        paths: Vec<PathBuf>,
        /// How many there are.
        total: usize,
    },
    /// Waiting for the command failed.
    #[error("the command could not be waited for: {0}")]
    Wait(std::io::Error),
}

fn exit(code: Option<i32>, signal: Option<i32>) -> String {
    match (code, signal) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "an unknown status".to_owned(),
    }
}

fn named(files: &[String], total: usize) -> String {
    if files.is_empty() {
        String::new()
    } else {
        format!(": {}{}", files.join(", "), rest(files.len(), total))
    }
}

fn rest(shown: usize, total: usize) -> String {
    match total.saturating_sub(shown) {
        0 => String::new(),
        more => format!(", and {more} more"),
    }
}

fn paths_of(paths: &[PathBuf], total: usize) -> String {
    let shown: Vec<String> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    format!("{}{}", shown.join(", "), rest(paths.len(), total))
}
