//! The packages installed for a Python interpreter, read from their metadata files.
//!
//! Nothing is run: the interpreter's own answer would be code of the very environment in
//! question. So only what stands in the site-packages folders beside the interpreter is seen; a
//! `PYTHONPATH` or a package that extends the path by itself is not.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use custos_core::digest::Algorithm;
use custos_core::predicate::step::Role;
use custos_core::statement::ResourceDescriptor;
use serde_json::Value;

use super::{Program, observed, unknown};
use crate::measure::read_bounded;

/// Most packages that are listed.
const MAX_PACKAGES: usize = 20_000;
/// Largest metadata file, in bytes; some carry a whole read-me.
const MAX_METADATA: usize = 4 << 20;
/// Longest name or version that is taken over.
const MAX_TEXT: usize = 200;

/// Returns the packages of the Python interpreter that a command runs, as one material.
pub(super) fn of_program(program: &Program, interpreters: &[PathBuf]) -> ResourceDescriptor {
    let candidates = std::iter::once(&program.path).chain(interpreters);
    let Some(python) = candidates.into_iter().find(|path| is_python(path)) else {
        let reason = "the program is not a Python interpreter: its packages cannot be listed";
        return unknown(Role::Packages, "packages", reason);
    };
    if is_script(python) {
        let reason = "the interpreter is itself a script, so that its packages are not known";
        return unknown(Role::Packages, "packages", reason);
    }
    let folders = site_packages(python);
    if folders.is_empty() {
        let reason = "no site-packages folder was found beside the interpreter";
        return unknown(Role::Packages, "packages", reason);
    }
    match list(&folders) {
        Some(lines) => material(&lines),
        None => unknown(
            Role::Packages,
            "packages",
            "the installed packages cannot be listed",
        ),
    }
}

fn material(lines: &BTreeSet<String>) -> ResourceDescriptor {
    let mut text = String::new();
    for line in lines {
        text.push_str(line);
        text.push('\n');
    }
    let mut material = observed(Role::Packages, "packages");
    material
        .digest
        .insert(&Algorithm::Sha256.digest(text.as_bytes()));
    let listed: Vec<Value> = lines
        .iter()
        .map(|line| Value::from(line.as_str()))
        .collect();
    material
        .with_annotation("count", lines.len())
        .with_annotation("packages", listed)
}

fn is_python(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(OsStr::to_str) else {
        return false;
    };
    ["python", "pypy"].iter().any(|stem| {
        name.strip_prefix(stem)
            .is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit() || b == b'.'))
    })
}

fn is_script(path: &Path) -> bool {
    use std::io::Read as _;
    let mut head = [0_u8; 2];
    std::fs::File::open(path)
        .and_then(|mut file| file.read_exact(&mut head))
        .is_ok()
        && head == *b"#!"
}

// sys.path as the `site` module makes it, without running it: the environment that the link lies
// in if it has a `pyvenv.cfg`, and the installation that the file behind it lies in.
fn site_packages(python: &Path) -> Vec<PathBuf> {
    let Some(prefix) = python.parent().and_then(Path::parent) else {
        return Vec::new();
    };
    let resolved = python.canonicalize().ok();
    let version = resolved.as_deref().and_then(version_of);
    if let Some(settings) = read_bounded(&prefix.join("pyvenv.cfg"), 1 << 16) {
        let mut folders = below(prefix, version.as_deref());
        if takes_system_packages(&settings) {
            folders.extend(installation(resolved.as_deref(), version.as_deref()));
        }
        return folders;
    }
    installation(resolved.as_deref(), version.as_deref())
}

fn installation(python: Option<&Path>, version: Option<&str>) -> Vec<PathBuf> {
    let Some(prefix) = python.and_then(Path::parent).and_then(Path::parent) else {
        return Vec::new();
    };
    let mut folders = below(prefix, version);
    // Debian's own places.
    folders.extend(below(&prefix.join("local"), version));
    folders.push(prefix.join("lib/python3/dist-packages"));
    folders.retain(|folder| folder.is_dir());
    folders
}

fn below(prefix: &Path, version: Option<&str>) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for lib in ["lib", "lib64"] {
        let Ok(entries) = std::fs::read_dir(prefix.join(lib)) else {
            continue;
        };
        for path in entries
            .take(10_000)
            .filter_map(|entry| Some(entry.ok()?.path()))
        {
            let Some(name) = path.file_name().and_then(OsStr::to_str) else {
                continue;
            };
            let fits = match version {
                Some(version) => name.ends_with(version) && is_python(&path),
                None => is_python(&path) && name.contains('.'),
            };
            if fits {
                folders.extend(["site-packages", "dist-packages"].map(|leaf| path.join(leaf)));
            }
        }
    }
    folders.retain(|folder| folder.is_dir());
    folders.sort();
    folders
}

// `python3.11` tells the version; `python3` does not.
fn version_of(python: &Path) -> Option<String> {
    let name = python.file_name()?.to_str()?;
    let version = name.trim_start_matches(|c: char| c.is_ascii_alphabetic());
    version.contains('.').then(|| version.to_owned())
}

fn takes_system_packages(settings: &[u8]) -> bool {
    String::from_utf8_lossy(settings).lines().any(|line| {
        line.split_once('=').is_some_and(|(key, value)| {
            key.trim() == "include-system-site-packages"
                && value.trim().eq_ignore_ascii_case("true")
        })
    })
}

fn list(folders: &[PathBuf]) -> Option<BTreeSet<String>> {
    let mut lines = BTreeSet::new();
    for folder in folders {
        for entry in std::fs::read_dir(folder)
            .ok()?
            .take(MAX_PACKAGES.saturating_mul(4))
        {
            let path = entry.ok()?.path();
            let Some(name) = path.file_name().and_then(OsStr::to_str) else {
                continue;
            };
            let metadata = if name.ends_with(".dist-info") {
                path.join("METADATA")
            } else if name.ends_with(".egg-info") && path.is_dir() {
                path.join("PKG-INFO")
            } else if name.ends_with(".egg-info") {
                path.clone()
            } else {
                continue;
            };
            lines.insert(identity(&metadata).unwrap_or_else(|| format!("{name}==unknown")));
            if lines.len() > MAX_PACKAGES {
                return None;
            }
        }
    }
    Some(lines)
}

// Core metadata: headers up to the first empty line.
fn identity(metadata: &Path) -> Option<String> {
    let bytes = read_bounded(metadata, MAX_METADATA)?;
    let text = String::from_utf8_lossy(&bytes);
    let header = |name: &str| {
        text.lines()
            .take_while(|line| !line.is_empty())
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(str::trim)
            .filter(|value| !value.is_empty() && value.len() <= MAX_TEXT)
            .filter(|value| !value.chars().any(char::is_control))
    };
    Some(format!(
        "{}=={}",
        normalised(header("Name")?),
        header("Version")?
    ))
}

// PEP 503: runs of `-`, `_` and `.` are one `-`, in lower case.
fn normalised(name: &str) -> String {
    let mut result = String::with_capacity(name.len());
    for c in name.chars() {
        if !matches!(c, '-' | '_' | '.') {
            result.push(c.to_ascii_lowercase());
        } else if !result.ends_with('-') {
            result.push('-');
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use custos_core::predicate::step::{REASON, Status};

    fn write(root: &Path, name: &str, text: &str) -> PathBuf {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    fn of(path: &Path) -> ResourceDescriptor {
        let file = path.canonicalize().unwrap();
        of_program(
            &Program {
                path: path.to_owned(),
                file,
            },
            &[],
        )
    }

    fn environment(system: bool) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let base = write(root, "base/bin/python3.11", "\x7fELF");
        let site = "lib/python3.11/site-packages";
        write(
            root,
            &format!("base/{site}/pip-24.0.dist-info/METADATA"),
            "Name: pip\nVersion: 24.0\n",
        );
        write(
            root,
            "base/lib/python3.9/site-packages/old-1.dist-info/METADATA",
            "Name: old\nVersion: 1\n",
        );
        write(
            root,
            &format!("venv/{site}/x.dist-info/METADATA"),
            "Metadata-Version: 2.1\nName: Ruamel.Yaml__x\nVersion: 0.18\n\nName: decoy\n",
        );
        write(
            root,
            &format!("venv/{site}/broken.dist-info/METADATA"),
            "no headers",
        );
        write(
            root,
            &format!("venv/{site}/torch/__init__.py"),
            "raise SystemExit\n",
        );
        write(
            root,
            "venv/pyvenv.cfg",
            &format!("home = /x\ninclude-system-site-packages = {system}\n"),
        );
        std::fs::create_dir_all(root.join("venv/bin")).unwrap();
        let python = root.join("venv/bin/python");
        std::os::unix::fs::symlink(base, &python).unwrap();
        (folder, python)
    }

    #[test]
    fn lists_the_packages_of_a_virtual_environment_and_only_those() {
        let (_folder, python) = environment(false);
        let material = of(&python);
        assert_eq!(
            material.annotations["packages"],
            serde_json::json!(["broken.dist-info==unknown", "ruamel-yaml-x==0.18"])
        );
        assert_eq!(material.annotations["count"], 2);
        let text = b"broken.dist-info==unknown\nruamel-yaml-x==0.18\n";
        assert!(material.digest.contains(&Algorithm::Sha256.digest(text)));
    }

    #[test]
    fn an_open_environment_sees_the_installation_of_its_own_version() {
        let (_folder, python) = environment(true);
        let packages = of(&python).annotations["packages"].to_string();
        assert!(packages.contains("pip==24.0"));
        assert!(!packages.contains("old==1"));
    }

    #[test]
    fn what_cannot_be_listed_is_unknown() {
        let (folder, python) = environment(false);
        let shim = write(folder.path(), "shims/python3", "#!/bin/sh\n");
        let bare = write(folder.path(), "bare/bin/python3", "\x7fELF");
        let other = write(folder.path(), "bin/cat", "\x7fELF");
        for path in [shim, bare, other] {
            let material = of(&path);
            assert_eq!(
                Status::of(&material),
                Some(Status::Unknown),
                "{}",
                path.display()
            );
            assert!(material.annotations.contains_key(REASON));
            assert!(material.digest.is_empty());
        }
        assert!(is_python(&python));
        assert!(!is_python(Path::new("/usr/bin/python3-config")));
    }
}
