//! The rooms of the workspace and the one direction in which they may depend on each other, read
//! from `cargo metadata`; and what holds for every crate and every dependency.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::Run;
use crate::process;
use crate::tally::Suite;

/// The rooms, from the inside out: each may see those of the earlier rows and nothing else. Rooms
/// of one row do not see each other. Rooms that do not exist yet have their place already.
const ROWS: [&[&str]; 8] = [
    &["core"],
    &["log", "net", "scan", "detect", "finops"],
    &["trust"],
    &["provenance", "evidence", "policy"],
    &["connect"],
    &["cluster"],
    &["server"],
    &["cli"],
];

/// Rooms of pure analysis: of the rooms inside `connect`, they see `core` alone, and are seen by
/// none.
const APART: [&str; 3] = ["scan", "detect", "finops"];

/// Never in the lock file, by whatever way.
const BANNED: [(&str, &str); 5] = [
    (
        "openssl",
        "the one crypto library is aws-lc-rs, the one TLS stack rustls",
    ),
    ("openssl-sys", "likewise"),
    ("native-tls", "likewise"),
    ("async-std", "the one async runtime is tokio"),
    (
        "sigstore",
        "accepts bundles with bad log signatures; use sigstore-verify",
    ),
];

/// Never a dependency of our own.
const BANNED_DIRECT: [(&str, &str); 3] = [
    ("lazy_static", "std has LazyLock"),
    ("chrono", "the one time crate is jiff"),
    ("time", "the one time crate is jiff"),
];

/// Runs the suite.
pub fn run(run: &Run<'_>, suite: &mut Suite) -> Result<()> {
    let root = &run.place.root;
    let mut command = Command::new("cargo");
    command
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .current_dir(root);
    let done = process::run(&mut command, Duration::from_mins(2))?.success()?;
    let metadata: Value = serde_json::from_str(&done.stdout)?;
    let packages = packages(&metadata)?;
    for package in &packages {
        suite.check(
            &format!("{} depends only on what it may", package.name),
            || none(package.forbidden_edges()),
        );
        suite.check(
            &format!("{} has the lints of the workspace", package.name),
            || {
                let manifest = fs::read_to_string(&package.manifest)?;
                ensure!(
                    inherits_lints(&manifest),
                    "no `[lints]` with `workspace = true`"
                );
                Ok(())
            },
        );
    }
    suite.check("no banned dependency", || {
        let lock = fs::read_to_string(root.join("Cargo.lock")).context("Cargo.lock")?;
        none(banned(&lock, &packages))
    });
    suite.check("every dependency says why it is there", || {
        let page = fs::read_to_string(root.join("docs/dependencies.md"))
            .context("docs/dependencies.md")?;
        none(undocumented(&page, &packages))
    });
    suite.check("crates of the core forbid what panics", || {
        none(
            ["core", "net", "policy", "trust", "log", "connect"]
                .iter()
                .filter_map(|room| {
                    let path = root.join("crates").join(room).join("src/lib.rs");
                    let text = fs::read_to_string(path).unwrap_or_default();
                    let denies = [
                        "clippy::unwrap_used",
                        "clippy::panic",
                        "clippy::indexing_slicing",
                    ];
                    let missing: Vec<_> = denies
                        .iter()
                        .filter(|lint| !text.contains(**lint))
                        .collect();
                    (!missing.is_empty())
                        .then(|| format!("crates/{room}/src/lib.rs lacks {missing:?}"))
                }),
        )
    });
    Ok(())
}

/// A crate of the workspace.
#[derive(Debug, Clone)]
struct Package {
    name: String,
    manifest: String,
    dependencies: Vec<String>,
}

/// Reads `cargo metadata`.
fn packages(metadata: &Value) -> Result<Vec<Package>> {
    let list = metadata
        .get("packages")
        .and_then(Value::as_array)
        .context("no packages")?;
    let text = |value: &Value, key: &str| {
        value
            .get(key)
            .and_then(Value::as_str)
            .map(str::to_owned)
            .context("no text")
    };
    list.iter()
        .map(|package| {
            let dependencies = package.get("dependencies").and_then(Value::as_array);
            Ok(Package {
                name: text(package, "name")?,
                manifest: text(package, "manifest_path")?,
                dependencies: dependencies
                    .context("no dependencies")?
                    .iter()
                    .map(|dependency| text(dependency, "name"))
                    .collect::<Result<_>>()?,
            })
        })
        .collect()
}

/// The room of a crate, or `None` for a crate that is not ours.
fn room(name: &str) -> Option<&str> {
    name.strip_prefix("custos-")
}

fn row(room: &str) -> Option<usize> {
    ROWS.iter().position(|row| row.contains(&room))
}

impl Package {
    /// Rooms that this crate sees and must not see: dependencies for tests count as well, for a
    /// test that needs an outer room belongs into that room.
    fn forbidden_edges(&self) -> Vec<String> {
        let ours = self.dependencies.iter().filter_map(|name| room(name));
        ours.filter(|to| !may_see(&self.name, to))
            .map(|to| format!("{} must not depend on custos-{to}", self.name))
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect()
    }
}

/// Whether the crate `from` may depend on the room `to`.
fn may_see(from: &str, to: &str) -> bool {
    let Some(from) = room(from) else {
        // xtask stays outside of all rooms.
        return false;
    };
    match (row(from), row(to)) {
        (Some(low), Some(high)) if APART.contains(&from) => low > high && to == "core",
        (Some(low), Some(high)) => {
            let connect = row("connect").unwrap_or(usize::MAX);
            low > high && (low >= connect || !APART.contains(&to))
        }
        // The pipeline of the demo is part of the binary and sees no room.
        (Some(_), None) => from == "cli" && to == "multimodal",
        // The list of fuzz targets calls the parsers of the libraries.
        (None, Some(_)) => from == "fuzz-targets" && to != "cli",
        (None, None) => false,
    }
}

/// Whether a manifest has the lints of the workspace.
fn inherits_lints(manifest: &str) -> bool {
    let mut in_lints = false;
    manifest.lines().map(str::trim).any(|line| {
        if line.starts_with('[') {
            in_lints = line == "[lints]";
        }
        in_lints && line.replace(' ', "") == "workspace=true"
    })
}

fn external(packages: &[Package]) -> BTreeSet<&str> {
    packages
        .iter()
        .flat_map(|package| &package.dependencies)
        .map(String::as_str)
        .filter(|name| room(name).is_none())
        .collect()
}

fn banned(lock: &str, packages: &[Package]) -> Vec<String> {
    let locked: BTreeSet<&str> = lock
        .lines()
        .filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'))
        .collect();
    let direct = external(packages);
    let in_lock = BANNED.iter().filter(|(name, _)| locked.contains(name));
    let of_ours = BANNED_DIRECT
        .iter()
        .filter(|(name, _)| direct.contains(name));
    in_lock
        .chain(of_ours)
        .map(|(name, why)| format!("{name}: {why}"))
        .collect()
}

/// Dependencies without a line that names them as `` `name` ``.
fn undocumented(page: &str, packages: &[Package]) -> Vec<String> {
    external(packages)
        .into_iter()
        .filter(|name| !page.contains(&format!("`{name}`")))
        .map(|name| format!("{name} has no line in docs/dependencies.md"))
        .collect()
}

fn none(faults: impl IntoIterator<Item = String>) -> Result<()> {
    let faults: Vec<String> = faults.into_iter().collect();
    if faults.is_empty() {
        Ok(())
    } else {
        bail!(faults.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flow_of_the_design() {
        let sees = |from: &str, to: &str| may_see(&format!("custos-{from}"), to);
        for (from, to) in [
            ("log", "core"),
            ("trust", "log"),
            ("trust", "net"),
            ("policy", "trust"),
            ("evidence", "core"),
            ("scan", "core"),
            ("connect", "scan"),
            ("connect", "policy"),
            ("cluster", "connect"),
            ("server", "cluster"),
            ("cli", "server"),
            ("cli", "detect"),
            ("cli", "multimodal"),
            ("fuzz-targets", "log"),
        ] {
            assert!(sees(from, to), "{from} -> {to}");
        }
        for (from, to) in [
            ("core", "log"),
            ("log", "trust"),
            ("log", "net"),
            ("trust", "policy"),
            ("policy", "evidence"),
            ("evidence", "provenance"),
            ("provenance", "policy"),
            ("scan", "log"),
            ("scan", "detect"),
            ("policy", "scan"),
            ("trust", "finops"),
            ("connect", "cluster"),
            ("server", "cli"),
            ("core", "multimodal"),
            ("multimodal", "core"),
            ("policy", "unheard-of"),
            ("unheard-of", "core"),
            ("fuzz-targets", "cli"),
        ] {
            assert!(!sees(from, to), "{from} -> {to}");
        }
        assert!(!may_see("xtask", "core"));
    }

    #[test]
    fn a_wrong_edge_is_named() {
        let package = Package {
            name: "custos-policy".to_owned(),
            manifest: String::new(),
            dependencies: vec![
                "custos-core".into(),
                "custos-evidence".into(),
                "serde".into(),
            ],
        };
        assert_eq!(
            package.forbidden_edges(),
            ["custos-policy must not depend on custos-evidence"]
        );
    }

    #[test]
    fn lints_must_be_inherited() {
        assert!(inherits_lints(
            "[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n"
        ));
        assert!(!inherits_lints("[package]\nedition.workspace = true\n"));
        assert!(!inherits_lints(
            "[lints]\n[dependencies]\nworkspace = true\n"
        ));
    }

    #[test]
    fn banned_and_undocumented_are_found() {
        let packages = [Package {
            name: "custos-core".to_owned(),
            manifest: String::new(),
            dependencies: vec!["chrono".into(), "serde".into()],
        }];
        let lock = "[[package]]\nname = \"openssl\"\n[[package]]\nname = \"time\"\n";
        let found = banned(lock, &packages);
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(undocumented("| `serde` | why |", &packages).len(), 1);
    }
}
