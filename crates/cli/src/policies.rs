//! Policies as people name them: a folder, files, or `starter`.

use std::path::{Path, PathBuf};

use custos_core::digest::Digest;
use custos_policy::{PolicyError, PolicyFile, PolicyLimits, PolicySet, Severity, starter};

use crate::context::Context;
use crate::files::{read_bytes, shown};
use crate::report::Failure;
use crate::settings::Settings;

/// What stands for the policies that are built in.
pub const STARTER: &str = "starter";
/// Deepest folder below a policy folder.
const MAX_DEPTH: usize = 8;

/// A policy that was loaded.
#[derive(Debug)]
pub struct Policy {
    /// As it was named.
    pub name: String,
    /// The rules.
    pub set: PolicySet,
}

impl Policy {
    /// Loads a policy for a decision.
    pub fn load(named: &str, context: &Context) -> Result<Self, Failure> {
        let files = files(&[named.to_owned()], context)?;
        let set = PolicySet::load(files, &PolicyLimits::default())
            .map_err(|errors| failure(named, &errors))?;
        Ok(Self {
            name: named.to_owned(),
            set,
        })
    }

    /// Loads the policy that the settings name. It keeps the name that it has there: where a
    /// project lies on a machine is nothing to sign.
    pub fn set(path: &Path, settings: &Settings, context: &Context) -> Result<Self, Failure> {
        let base = settings.file.as_deref().and_then(Path::parent);
        let name = base.and_then(|base| path.strip_prefix(base).ok());
        Ok(Self {
            name: shown(name.unwrap_or(path)),
            ..Self::load(&shown(path), context)?
        })
    }

    /// Returns the digest of all its files.
    pub const fn digest(&self) -> &Digest {
        self.set.digest()
    }
}

/// Reads the files that `named` stand for: `*.rego`, and `data.json`.
pub fn files(named: &[String], context: &Context) -> Result<Vec<PolicyFile>, Failure> {
    let mut found = Vec::new();
    for name in named {
        // A folder called `starter` is written `./starter`.
        if name == STARTER {
            found.extend(starter::policies());
            continue;
        }
        let path = context.resolve(Path::new(name));
        if !path.exists() {
            return Err(Failure::usage("E0003", "there is no such policy")
                .at(shown(&path))
                .help("name a folder with *.rego files, or `starter`"));
        }
        let mut paths = Vec::new();
        collect(&path, 0, &mut paths)?;
        paths.sort();
        let base = if path.is_dir() {
            path.as_path()
        } else {
            path.parent().unwrap_or(&path)
        };
        for file in paths {
            let relative = file
                .strip_prefix(base)
                .unwrap_or(&file)
                .display()
                .to_string();
            found.push(PolicyFile::new(
                relative,
                read_bytes(&file, largest(&file))?,
            ));
        }
    }
    if found.is_empty() {
        return Err(Failure::usage("E0003", "there is no policy in it")
            .at(named.join(" "))
            .help("a policy is a file that ends in .rego"));
    }
    Ok(found)
}

fn largest(file: &Path) -> u64 {
    let limits = PolicyLimits::default();
    let bytes = if file.extension().is_some_and(|ending| ending == "json") {
        limits.data.max_bytes
    } else {
        limits.max_file_bytes
    };
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

fn collect(path: &Path, depth: usize, into: &mut Vec<PathBuf>) -> Result<(), Failure> {
    // A rule that is passed over might be the one that denies.
    let max_files = PolicyLimits::default().max_files;
    if depth > MAX_DEPTH || into.len() > max_files {
        return Err(Failure::usage("E0501", "the policy is too large")
            .at(shown(path))
            .because(format!(
                "at most {max_files} files, {MAX_DEPTH} folders deep"
            )));
    }
    if path.is_file() {
        into.push(path.to_owned());
        return Ok(());
    }
    let io = |error: std::io::Error| Failure::io(shown(path), &error);
    for entry in std::fs::read_dir(path).map_err(io)? {
        let entry = entry.map_err(io)?.path();
        let hidden = entry
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if hidden {
            continue;
        }
        if entry.is_dir() {
            collect(&entry, depth.saturating_add(1), into)?;
        } else if is_policy(&entry) {
            into.push(entry);
        }
    }
    Ok(())
}

fn is_policy(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "rego")
        || path.file_name().is_some_and(|name| name == "data.json")
}

/// Returns what is wrong with a policy, as people see it.
pub fn failure(named: &str, errors: &[PolicyError]) -> Failure {
    let mut failure = Failure::usage("E0501", "the policy is not accepted").at(named);
    for error in errors
        .iter()
        .filter(|error| error.severity() == Severity::Error)
        .take(20)
    {
        failure = failure.because(line(error));
    }
    failure
        .help("`custos policy check` lists every finding; docs/concepts/policy.md shows safe forms")
}

/// Returns a finding in one line: file, place, code, words.
pub fn line(error: &PolicyError) -> String {
    let place = error.position.as_ref().map_or_else(
        || error.file.clone(),
        |at| format!("{}:{}:{}", error.file, at.line, at.column),
    );
    let words = error.to_string();
    // Some findings say where in their words as well.
    let words = words.strip_prefix(&format!("{place}: ")).unwrap_or(&words);
    format!("{place}: {}: {words}", error.code())
}
