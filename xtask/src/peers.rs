//! The peers: other people's programs that Custos must agree with, installed into the cache
//! folder at pinned versions with pinned digests.
//!
//! One Python environment a peer. Its folder carries the digest of its requirements, so a changed
//! pin is a new folder. A folder counts once its stamp is there: the stamp is written last, under
//! a lock, so neither two runs at once nor a run that was killed leave half a peer behind.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use sha2::{Digest as _, Sha256};

use crate::place::{self, Place};
use crate::{process, say};

/// Time that the installation of one peer may take.
const INSTALL_LIMIT: Duration = Duration::from_mins(10);

/// A peer.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is good for.
    purpose: &'static str,
    /// Packages that run here although they declare another Python: only their files are laid
    /// out. Everything else is installed.
    unpacked: bool,
    /// Python that must run without an error once the peer is there.
    probe: &'static str,
}

/// All peers of tier 1: light, and installed whenever the tests run.
pub const PEERS: [Peer; 5] = [
    Peer {
        name: "model-signing",
        purpose: "reference client of OpenSSF Model Signing",
        unpacked: false,
        probe: "import model_signing, OpenSSL, blake3",
    },
    Peer {
        name: "sigstore",
        purpose: "reference client of Sigstore bundles",
        unpacked: false,
        probe: "import sigstore.verify",
    },
    Peer {
        name: "in-toto",
        purpose: "in-toto statements, predicates and DSSE",
        unpacked: false,
        probe: "import in_toto, in_toto_attestation.v1.statement, securesystemslib.dsse",
    },
    Peer {
        name: "cosign-key",
        purpose: "scrypt and NaCl secretbox, which cosign's key files are made of",
        unpacked: false,
        probe: "import cryptography, nacl.secret",
    },
    Peer {
        name: "opa",
        purpose: "Open Policy Agent as a library, the oracle for Rego",
        unpacked: true,
        probe: "import opa_bindings",
    },
];

/// A peer that is installed.
#[derive(Debug, Clone)]
pub struct Installed {
    python: PathBuf,
    path: Option<PathBuf>,
}

impl Installed {
    /// The folder that its packages were unpacked into, if it is of that kind.
    pub fn folder(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Its Python, isolated from the caller's Python settings.
    pub fn python(&self) -> Command {
        let mut command = Command::new(&self.python);
        for name in ["PYTHONHOME", "PYTHONSTARTUP", "PYTHONPATH"] {
            command.env_remove(name);
        }
        command
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PYTHONUTF8", "1");
        if let Some(path) = &self.path {
            command.env("PYTHONPATH", path);
        }
        command
    }
}

/// Runs `cargo xtask peers ...`.
pub fn main(place: &Place, words: &[&str]) -> Result<ExitCode> {
    match words {
        ["list"] => {
            for peer in PEERS {
                let state = if peer.is_ready(place)? {
                    "installed"
                } else {
                    "not installed"
                };
                say::line(&format!("{:<14} {state:<14} {}", peer.name, peer.purpose));
            }
            say::line(&format!("in {}", place.cache.join("peers").display()));
            Ok(ExitCode::SUCCESS)
        }
        ["install", "--all"] => install_all(place, &PEERS.map(|peer| peer.name)),
        ["install", names @ ..] if !names.is_empty() => install_all(place, names),
        _ => bail!("expected `peers list` or `peers install NAME...|--all`"),
    }
}

fn install_all(place: &Place, names: &[&str]) -> Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    for name in names {
        match Peer::named(name)?.install(place) {
            Ok(_) => say::line(&format!("{name}: installed")),
            Err(error) => {
                say::problem(&format!("{name}: {error:#}"));
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}

impl Peer {
    /// Finds a peer by its name.
    pub fn named(name: &str) -> Result<Self> {
        PEERS
            .into_iter()
            .find(|peer| peer.name == name)
            .with_context(|| {
                let names = PEERS.map(|peer| peer.name).join(", ");
                format!("no peer `{name}`; there are {names}")
            })
    }

    /// The peer, installed now if it was not; the answer is remembered for this run, so that a
    /// registry that cannot be reached is asked once.
    pub fn ensure(self, place: &Place) -> Result<Installed> {
        static SEEN: Mutex<Option<HashMap<&'static str, Result<Installed, String>>>> =
            Mutex::new(None);
        let mut seen = SEEN
            .lock()
            .map_err(|_| anyhow!("the list of peers is poisoned"))?;
        seen.get_or_insert_default()
            .entry(self.name)
            .or_insert_with(|| self.install(place).map_err(|error| format!("{error:#}")))
            .clone()
            .map_err(|reason| anyhow!("{reason}; try `cargo xtask peers install {}`", self.name))
    }

    fn requirements(self, place: &Place) -> PathBuf {
        place.peer_file(&format!("{}.txt", self.name))
    }

    /// The folder of this peer at its present pins, on the Python that is there.
    fn folder(self, place: &Place) -> Result<PathBuf> {
        let path = self.requirements(place);
        let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut hash = Sha256::new();
        hash.update(&text);
        hash.update(python_version()?);
        let digest: String = hex::encode(hash.finalize()).chars().take(16).collect();
        Ok(place
            .cache
            .join("peers")
            .join(format!("{}-{digest}", self.name)))
    }

    fn is_ready(self, place: &Place) -> Result<bool> {
        Ok(stamp(&self.folder(place)?).is_file())
    }

    fn install(self, place: &Place) -> Result<Installed> {
        let folder = self.folder(place)?;
        let parent = place.cache.join("peers");
        fs::create_dir_all(&parent).with_context(|| format!("cannot make {}", parent.display()))?;
        let lock = File::create(parent.join(format!("{}.lock", self.name)))?;
        lock.lock().context("cannot lock the folder of the peers")?;
        let installed = self.installed(&folder);
        if !stamp(&folder).is_file() {
            if folder.exists() {
                fs::remove_dir_all(&folder).context("cannot remove half an installation")?;
            }
            say::line(&format!("installing peer {} ...", self.name));
            self.build(place, &folder)?;
            process::run(
                installed.python().args(["-c", self.probe]),
                Duration::from_mins(1),
            )?
            .success()
            .context("the peer was installed but does not start")?;
            fs::write(stamp(&folder), "")?;
        }
        Ok(installed)
    }

    fn installed(self, folder: &Path) -> Installed {
        if self.unpacked {
            Installed {
                python: PathBuf::from("python3"),
                path: Some(folder.join("unpacked")),
            }
        } else {
            Installed {
                python: folder.join("venv/bin/python"),
                path: None,
            }
        }
    }

    fn build(self, place: &Place, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder)?;
        let requirements = self.requirements(place);
        let mut install = if self.unpacked {
            let mut pip = Command::new("python3");
            pip.args([
                "-m",
                "pip",
                "install",
                "--no-deps",
                "--ignore-requires-python",
                "--target",
            ])
            .arg(folder.join("unpacked"));
            pip
        } else {
            let venv = folder.join("venv");
            let mut make = Command::new("python3");
            process::run(make.args(["-m", "venv"]).arg(&venv), INSTALL_LIMIT)?
                .success()
                .context("`python3 -m venv` does not work here (Debian: package python3-venv)")?;
            let mut pip = Command::new(venv.join("bin/python"));
            pip.args(["-m", "pip", "install"]);
            pip
        };
        install
            .args([
                "--quiet",
                "--disable-pip-version-check",
                "--no-input",
                "--require-hashes",
            ])
            .args([
                "--only-binary",
                ":all:",
                "--retries",
                "2",
                "--timeout",
                "20",
            ])
            .arg("--requirement")
            .arg(requirements);
        let done = process::run(&mut install, INSTALL_LIMIT)?;
        if !done.status.success() {
            let last = done
                .stderr
                .lines()
                .rev()
                .find(|line| line.contains("ERROR"));
            bail!(
                "pip could not install it: {}",
                last.unwrap_or(done.stderr.trim())
            );
        }
        Ok(())
    }
}

fn stamp(folder: &Path) -> PathBuf {
    folder.join("installed")
}

/// What `python3` is: an environment is bound to one interpreter.
fn python_version() -> Result<String> {
    if place::on_path("python3").is_none() {
        bail!("python3 is not installed");
    }
    let mut ask = Command::new("python3");
    ask.args(["-c", "import sys; print(sys.version, sys.base_prefix)"]);
    Ok(process::run(&mut ask, Duration::from_secs(30))?
        .success()?
        .stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pin_has_a_digest() {
        for peer in PEERS {
            let path = Path::new("peers").join(format!("{}.txt", peer.name));
            let text = fs::read_to_string(&path).unwrap();
            let pins = text.lines().filter(|line| line.contains("=="));
            assert!(pins.clone().count() > 0, "{}", path.display());
            for pin in pins {
                assert!(
                    pin.ends_with('\\'),
                    "{}: no digest after {pin}",
                    path.display()
                );
            }
        }
    }

    #[test]
    fn an_unknown_peer_is_an_error_that_names_the_known() {
        let error = Peer::named("sigstor").unwrap_err().to_string();
        assert!(error.contains("model-signing, sigstore"), "{error}");
    }
}
