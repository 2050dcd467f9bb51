//! Materials besides the declared inputs: what else shaped a step, as far as it can be seen from
//! outside without running anything.
//!
//! The program that the command names, scripts among its arguments, interpreters of first lines,
//! lock files, installed packages, the operating system, kernel, container and accelerator
//! driver. Each becomes a resolved dependency with a role and a status (see
//! [`custos_core::predicate::step`]); what cannot be seen is there and says `unknown`. It is not
//! a trace: a file that the step opens by itself is not found here.

mod packages;
mod platform;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use custos_core::digest::{Algorithm, Digest};
use custos_core::predicate::step::{REASON, ROLE, Role, STATUS, Status};
use custos_core::statement::ResourceDescriptor;

use crate::git::{GitState, Known};
use crate::process::{find_program, is_executable};

pub use platform::platform;

/// Most scripts that are looked at.
const MAX_SCRIPTS: usize = 64;
/// Most lock files that are looked at.
const MAX_LOCK_FILES: usize = 64;
/// Largest program, script or lock file, in bytes.
const MAX_FILE: u64 = 8 << 30;
/// Interpreters of interpreters that are followed.
const MAX_INTERPRETERS: usize = 4;

/// A command and its surroundings.
#[derive(Debug, Clone, Copy)]
#[allow(clippy::exhaustive_structs, reason = "an argument list with names")]
pub struct Surroundings<'a> {
    /// The command and its arguments.
    pub command: &'a [OsString],
    /// Where it runs.
    pub directory: &'a Path,
    /// Where programs are looked for.
    pub search_path: Option<&'a OsStr>,
    /// Declared inputs and products, absolute: files in them are no scripts.
    pub declared: &'a [PathBuf],
}

/// Why the program of a command cannot be named.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MaterialError {
    /// There is no command.
    #[error("there is no command to run")]
    NoCommand,
    /// No executable file of this name.
    #[error("`{program}` is not an executable file and not a program on the search path")]
    ProgramNotFound {
        /// The first word of the command.
        program: String,
    },
    /// The program cannot be read, so that its digest is not known.
    #[error("the program {} cannot be read: {kind}", path.display())]
    ProgramUnreadable {
        /// Its path.
        path: PathBuf,
        /// What the system says.
        kind: std::io::ErrorKind,
    },
}

/// The program of a command, resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Program {
    /// Where it was found; symbolic links are kept, as programs look at their own name.
    pub path: PathBuf,
    /// The file behind all links.
    pub file: PathBuf,
}

/// Finds the program that a command names, as `execvp` does.
pub fn resolve_program(surroundings: &Surroundings<'_>) -> Result<Program, MaterialError> {
    let name = surroundings
        .command
        .first()
        .ok_or(MaterialError::NoCommand)?;
    let path = if name.as_bytes().contains(&b'/') {
        Some(surroundings.directory.join(name)).filter(|path| is_executable(path))
    } else {
        find_program(name, surroundings.search_path)
    };
    let path = path.ok_or_else(|| MaterialError::ProgramNotFound {
        program: name.to_string_lossy().into_owned(),
    })?;
    match path.canonicalize() {
        Ok(file) => Ok(Program { path, file }),
        Err(error) => Err(MaterialError::ProgramUnreadable {
            path,
            kind: error.kind(),
        }),
    }
}

/// Collects the materials of a command: program, interpreters, scripts, lock files, packages.
pub fn of_command(
    surroundings: &Surroundings<'_>,
    program: &Program,
) -> Result<Vec<ResourceDescriptor>, MaterialError> {
    let digest = hash_file(&program.file).map_err(|error| MaterialError::ProgramUnreadable {
        path: program.file.clone(),
        kind: error.kind(),
    })?;
    let mut materials = vec![file_material(Role::Program, &program.path, Some(digest))];
    let mut interpreters = Vec::new();
    follow_interpreters(surroundings, &program.file, &mut interpreters);
    for script in scripts(surroundings) {
        follow_interpreters(surroundings, &script, &mut interpreters);
        materials.push(file_material(
            Role::Script,
            &script,
            hash_file(&script).ok(),
        ));
    }
    for path in &interpreters {
        materials.push(file_material(Role::Interpreter, path, hash_file(path).ok()));
    }
    for path in lock_files(surroundings.directory) {
        materials.push(file_material(Role::LockFile, &path, hash_file(&path).ok()));
    }
    materials.push(packages::of_program(program, &interpreters));
    Ok(materials)
}

/// Returns the repository's state as a material.
pub fn source(state: &GitState) -> ResourceDescriptor {
    let told = |known: &Known<bool>| match known {
        Known::Known(true) => "yes",
        Known::Known(false) => "no",
        Known::Unknown(_) => "unknown",
    };
    let branch = state.branch.value().map_or("unknown", String::as_str);
    let mut material = match &state.revision {
        Known::Known(revision) => {
            let mut material = observed(Role::Source, "git");
            material.digest.insert_raw("gitCommit", revision.as_str());
            material
        }
        Known::Unknown(reason) => unknown(Role::Source, "git", reason),
    };
    if let Some(remote) = state.remote.value() {
        let at = state
            .revision
            .value()
            .map(|id| format!("@{id}"))
            .unwrap_or_default();
        material = material.with_uri(format!("git+{remote}{at}"));
    }
    if let Known::Unknown(reason) = &state.dirty {
        material = material.with_annotation("dirtyReason", reason.as_str());
    }
    material
        .with_annotation("branch", branch)
        .with_annotation("dirty", told(&state.dirty))
        .with_annotation("untracked", told(&state.untracked))
}

/// Returns the SHA-256 digest of a file of at most 8 GiB.
pub(crate) fn hash_file(path: &Path) -> std::io::Result<Digest> {
    let file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(std::io::ErrorKind::InvalidInput.into());
    }
    let mut hasher = Algorithm::Sha256.hasher();
    let mut buffer = vec![0_u8; 128 << 10];
    let mut source = file.take(MAX_FILE + 1);
    let mut total = 0_u64;
    loop {
        let count = match source.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hasher.update(buffer.get(..count).unwrap_or_default());
        total = total.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
    }
    if total > MAX_FILE {
        return Err(std::io::ErrorKind::FileTooLarge.into());
    }
    Ok(hasher.finish())
}

fn with_role(role: Role, name: impl Into<String>, status: Status) -> ResourceDescriptor {
    let mut material = ResourceDescriptor::default();
    material.name = Some(name.into());
    material
        .with_annotation(ROLE, role.name())
        .with_annotation(STATUS, status.name())
}

pub(crate) fn observed(role: Role, name: impl Into<String>) -> ResourceDescriptor {
    with_role(role, name, Status::Observed)
}

pub(crate) fn claimed(role: Role, name: impl Into<String>, by: &str) -> ResourceDescriptor {
    with_role(role, name, Status::Claimed).with_annotation(REASON, by)
}

pub(crate) fn unknown(role: Role, name: impl Into<String>, reason: &str) -> ResourceDescriptor {
    with_role(role, name, Status::Unknown).with_annotation(REASON, reason)
}

fn file_material(role: Role, path: &Path, digest: Option<Digest>) -> ResourceDescriptor {
    let name = path
        .file_name()
        .unwrap_or(path.as_os_str())
        .to_string_lossy();
    let material = match digest {
        Some(digest) => {
            let mut material = observed(role, name);
            material.digest.insert(&digest);
            material
        }
        None => unknown(role, name, "the file cannot be read"),
    };
    material.with_uri(file_uri(path))
}

// RFC 8089: everything but unreserved characters and slashes is escaped.
pub(crate) fn file_uri(path: &Path) -> String {
    let mut uri = String::from("file://");
    for byte in path.as_os_str().as_bytes() {
        let plain = byte.is_ascii_alphanumeric() || b"/-._~".contains(byte);
        if plain {
            uri.push(char::from(*byte));
        } else {
            uri.push('%');
            uri.push_str(&hex::encode_upper([*byte]));
        }
    }
    uri
}

// Files that the arguments name, plainly or behind a `=`, and that nobody declared.
fn scripts(surroundings: &Surroundings<'_>) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    for argument in surroundings.command.iter().skip(1) {
        let bytes = argument.as_bytes();
        let behind = bytes
            .iter()
            .position(|byte| *byte == b'=')
            .and_then(|at| bytes.get(at + 1..));
        for name in [Some(bytes), behind].into_iter().flatten() {
            if name.is_empty() || name.len() > 4096 {
                continue;
            }
            let path = surroundings.directory.join(OsStr::from_bytes(name));
            let declared = || {
                surroundings
                    .declared
                    .iter()
                    .any(|part| path.starts_with(part))
            };
            if path.is_file() && !declared() && !found.contains(&path) {
                found.push(path);
            }
        }
        if found.len() >= MAX_SCRIPTS {
            break;
        }
    }
    found
}

fn follow_interpreters(surroundings: &Surroundings<'_>, file: &Path, found: &mut Vec<PathBuf>) {
    let mut file = file.to_owned();
    for _ in 0..MAX_INTERPRETERS {
        let Some(next) = interpreter(surroundings, &file) else {
            return;
        };
        if found.contains(&next) {
            return;
        }
        found.push(next.clone());
        file = next;
    }
}

// execve(2): `#!path [argument]`, at most 255 bytes. `env` looks its argument up.
fn interpreter(surroundings: &Surroundings<'_>, file: &Path) -> Option<PathBuf> {
    let mut head = Vec::new();
    File::open(file)
        .ok()?
        .take(255)
        .read_to_end(&mut head)
        .ok()?;
    let line = head
        .strip_prefix(b"#!")?
        .split(|byte| *byte == b'\n')
        .next()?;
    let mut words = line
        .split(|byte| matches!(byte, b' ' | b'\t' | b'\r'))
        .filter(|word| !word.is_empty())
        .map(OsStr::from_bytes);
    let path = Path::new(words.next()?);
    if path.file_name() == Some(OsStr::new("env")) {
        let name = words
            .find(|word| !word.as_bytes().starts_with(b"-") && !word.as_bytes().contains(&b'='))?;
        return find_program(name, surroundings.search_path);
    }
    Some(surroundings.directory.join(path)).filter(|path| path.is_file())
}

fn lock_files(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return Vec::new();
    };
    let mut found: Vec<PathBuf> = entries
        .take(100_000)
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.file_name()
                .and_then(OsStr::to_str)
                .is_some_and(is_lock_file)
        })
        .filter(|path| path.is_file())
        .collect();
    found.sort();
    found.truncate(MAX_LOCK_FILES);
    found
}

fn is_lock_file(name: &str) -> bool {
    const EXACT: [&str; 22] = [
        "Cargo.lock",
        "Gemfile.lock",
        "Manifest.toml",
        "Pipfile.lock",
        "bun.lock",
        "conda-lock.yml",
        "conda-lock.yaml",
        "constraints.txt",
        "environment.yaml",
        "environment.yml",
        "flake.lock",
        "go.sum",
        "npm-shrinkwrap.json",
        "package-lock.json",
        "pdm.lock",
        "pixi.lock",
        "pnpm-lock.yaml",
        "poetry.lock",
        "pylock.toml",
        "renv.lock",
        "uv.lock",
        "yarn.lock",
    ];
    let requirements = name
        .strip_prefix("requirements")
        .and_then(|rest| rest.strip_suffix(".txt"));
    EXACT.contains(&name) || requirements.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

    struct Place {
        folder: tempfile::TempDir,
        declared: Vec<PathBuf>,
    }

    impl Place {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            Self {
                folder,
                declared: Vec::new(),
            }
        }

        fn write(&self, name: &str, text: &str) -> PathBuf {
            let path = self.folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
            path
        }

        fn script(&self, name: &str, text: &str) -> PathBuf {
            let path = self.write(name, text);
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
            path
        }

        fn materials(&self, command: &[&str]) -> Result<Vec<ResourceDescriptor>, MaterialError> {
            let command: Vec<OsString> = command.iter().map(OsString::from).collect();
            let surroundings = Surroundings {
                command: &command,
                directory: self.folder.path(),
                search_path: Some(OsStr::new(PATH)),
                declared: &self.declared,
            };
            of_command(&surroundings, &resolve_program(&surroundings)?)
        }
    }

    fn names(materials: &[ResourceDescriptor], role: Role) -> Vec<&str> {
        materials
            .iter()
            .filter(|material| Role::of(material) == Some(role))
            .filter_map(|material| material.name.as_deref())
            .collect()
    }

    #[test]
    fn finds_program_script_config_and_lock_files() {
        let mut place = Place::new();
        place.write("train.py", "import torch\n");
        place.write("conf/a.yml", "x: 1\n");
        place.write("data/rows.csv", "1\n");
        place.write("uv.lock", "");
        place.write("requirements-dev.txt", "");
        place.write("notes.txt", "");
        place.declared.push(place.folder.path().join("data"));
        let command = [
            "cat",
            "train.py",
            "--config=conf/a.yml",
            "data/rows.csv",
            "absent",
            "-x=",
        ];
        let materials = place.materials(&command).unwrap();
        assert_eq!(names(&materials, Role::Program), ["cat"]);
        assert_eq!(names(&materials, Role::Script), ["train.py", "a.yml"]);
        assert_eq!(
            names(&materials, Role::LockFile),
            ["requirements-dev.txt", "uv.lock"]
        );
        assert_eq!(names(&materials, Role::Packages).len(), 1);
        let script = materials
            .iter()
            .find(|m| m.name.as_deref() == Some("train.py"))
            .unwrap();
        assert!(
            script
                .digest
                .contains(&Algorithm::Sha256.digest(b"import torch\n"))
        );
        assert!(script.uri.as_ref().unwrap().starts_with("file:///"));
        assert_eq!(Status::of(script), Some(Status::Observed));
    }

    #[test]
    fn follows_first_lines_to_the_interpreter() {
        let place = Place::new();
        place.script("direct", "#!/bin/sh -e\nexit 0\n");
        place.script("looked-up", "#!/usr/bin/env -S A=1 cat\n");
        place.script("own", "#! ./direct\n");
        for (program, expected) in [
            ("./direct", vec!["sh"]),
            ("./looked-up", vec!["cat"]),
            ("./own", vec!["direct", "sh"]),
        ] {
            let materials = place.materials(&[program]).unwrap();
            assert_eq!(names(&materials, Role::Interpreter), expected, "{program}");
        }
        // A loop ends.
        place.script("loop", "#! ./loop\n");
        assert_eq!(
            names(&place.materials(&["./loop"]).unwrap(), Role::Interpreter),
            ["loop"]
        );
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error() {
        let place = Place::new();
        place.write("plain", "not executable");
        for program in ["no-such-program", "./plain", "./absent", "/"] {
            assert_eq!(
                place.materials(&[program]),
                Err(MaterialError::ProgramNotFound {
                    program: program.into()
                })
            );
        }
        assert_eq!(place.materials(&[]), Err(MaterialError::NoCommand));
    }

    #[test]
    fn a_state_that_is_not_known_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let material = source(&crate::git::inspect(folder.path(), None));
        assert_eq!(Status::of(&material), Some(Status::Unknown));
        assert_eq!(material.annotations[REASON], "git is not installed");
        assert_eq!(material.annotations["dirty"], "unknown");
    }

    #[test]
    fn paths_are_escaped_in_uris() {
        assert_eq!(
            file_uri(Path::new("/a b/ü%.py")),
            "file:///a%20b/%C3%BC%25.py"
        );
    }

    #[test]
    fn only_regular_files_are_hashed() {
        assert!(hash_file(Path::new("/dev/zero")).is_err());
        assert!(hash_file(Path::new("/")).is_err());
    }
}
