//! The peers: other people's programs that Custos must agree with, installed into the cache
//! folder at pinned versions.
//!
//! One folder a peer. Its name carries the digest of its pins, so a changed pin is a new folder.
//! A folder counts once its stamp is there: the stamp is written last, under a lock, so neither
//! two runs at once nor a run that was killed leave half a peer behind. How each kind of peer is
//! installed says [`recipe`].

mod recipe;

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use recipe::Recipe;
use sha2::{Digest as _, Sha256};

use crate::place::{Place, Stopwatch};
use crate::say;

/// Time that installing heavy peers may take in one run of the tests; what is not reached is a
/// loud skip.
const HEAVY_BUDGET: Duration = Duration::from_mins(35);

/// A peer.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is good for.
    purpose: &'static str,
    /// How it is had.
    recipe: Recipe,
}

/// All peers.
pub const PEERS: [Peer; 23] = [
    Peer {
        name: "model-signing",
        purpose: "reference client of OpenSSF Model Signing",
        recipe: Recipe::Venv {
            probe: "import model_signing, OpenSSL, blake3",
        },
    },
    Peer {
        name: "sigstore",
        purpose: "reference client of Sigstore bundles",
        recipe: Recipe::Venv {
            probe: "import sigstore.verify",
        },
    },
    Peer {
        name: "in-toto",
        purpose: "in-toto statements, predicates and DSSE",
        recipe: Recipe::Venv {
            probe: "import in_toto, in_toto_attestation.v1.statement, securesystemslib.dsse",
        },
    },
    Peer {
        name: "cosign-key",
        purpose: "scrypt and NaCl secretbox, which cosign's key files are made of",
        recipe: Recipe::Venv {
            probe: "import cryptography, nacl.secret",
        },
    },
    Peer {
        name: "opa",
        purpose: "Open Policy Agent as a library, the oracle for Rego",
        recipe: Recipe::Unpacked {
            probe: "import opa_bindings",
        },
    },
    Peer {
        name: "moto",
        purpose: "a stand-in for the key service and buckets of AWS",
        recipe: Recipe::Venv {
            probe: "import moto.server",
        },
    },
    Peer {
        name: "picklescan",
        purpose: "a scanner of pickles",
        recipe: Recipe::Venv {
            probe: "import picklescan.scanner",
        },
    },
    Peer {
        name: "modelscan",
        purpose: "a scanner of models",
        recipe: Recipe::Venv {
            probe: "import modelscan.modelscan",
        },
    },
    Peer {
        name: "fickling",
        purpose: "a scanner that takes pickles apart",
        recipe: Recipe::Venv {
            probe: "import fickling.loader",
        },
    },
    Peer {
        name: "modelaudit",
        purpose: "a scanner of models of many formats",
        recipe: Recipe::Venv {
            probe: "import modelaudit.core",
        },
    },
    Peer {
        name: "hayward",
        purpose: "a scanner of models that judges calls by their arguments",
        recipe: Recipe::Venv {
            probe: "import hayward",
        },
    },
    Peer {
        name: "hayward-tests",
        purpose: "the same with what its tests need",
        recipe: Recipe::Venv {
            probe: "import hayward, numpy, pytest",
        },
    },
    Peer {
        name: "scan-reports",
        purpose: "JSON Schema, and CycloneDX with its schema",
        recipe: Recipe::Venv {
            probe: "import jsonschema, cyclonedx.validation.json, cyclonedx.model.bom",
        },
    },
    Peer {
        name: "sarif",
        purpose: "Microsoft's validator of SARIF, with the schema and the rules of code hosts",
        recipe: Recipe::Npm {
            needs: "node_modules/@microsoft/sarif-multitool-linux/Sarif.Multitool",
        },
    },
    Peer {
        name: "softhsm",
        purpose: "a PKCS#11 token in software, and a spy that notes what it is asked",
        recipe: Recipe::Debian {
            packages: &[
                "softhsm2",
                "softhsm2-common",
                "libsofthsm2",
                "opensc-pkcs11",
            ],
            needs: &["usr/bin/softhsm2-util", "usr/lib/softhsm/libsofthsm2.so"],
        },
    },
    Peer {
        name: "registry",
        purpose: "a container registry",
        recipe: Recipe::Debian {
            packages: &["docker-registry"],
            needs: &["usr/bin/docker-registry"],
        },
    },
    Peer {
        name: "referrers",
        purpose: "a container registry with the referrers API, which Debian's has not",
        recipe: Recipe::GoSource {
            program: "referrers",
        },
    },
    Peer {
        name: "azurite",
        purpose: "a stand-in for Azure Blob Storage",
        recipe: Recipe::Npm {
            needs: "node_modules/azurite/dist/src/blob/main.js",
        },
    },
    Peer {
        name: "sigstore-js",
        purpose: "the verifier of npm",
        recipe: Recipe::Npm {
            needs: "node_modules/@sigstore/verify/package.json",
        },
    },
    Peer {
        name: "cosign",
        purpose: "the client that people have",
        recipe: Recipe::Go {
            package: "github.com/sigstore/cosign/v3/cmd/cosign",
            version: "v3.1.2",
        },
    },
    Peer {
        name: "fulcio",
        purpose: "Sigstore's certificate authority",
        recipe: Recipe::Go {
            package: "github.com/sigstore/fulcio",
            version: "v1.8.8",
        },
    },
    Peer {
        name: "rekor-tiles",
        purpose: "Sigstore's transparency log, version 2",
        recipe: Recipe::Go {
            package: "github.com/sigstore/rekor-tiles/v2/cmd/rekor-server/posix",
            version: "v2.3.0",
        },
    },
    Peer {
        name: "timestamp-server",
        purpose: "Sigstore's timestamp authority",
        recipe: Recipe::Go {
            package: "github.com/sigstore/timestamp-authority/v2/cmd/timestamp-server",
            version: "v2.1.3",
        },
    },
];

/// A peer that is installed.
#[derive(Debug, Clone)]
pub struct Installed {
    folder: PathBuf,
    recipe: Recipe,
}

impl Installed {
    /// The folder that it lies in; programs built by Go lie right there, under their name or the
    /// last part of their import path.
    pub fn folder(&self) -> PathBuf {
        self.recipe.below(&self.folder)
    }

    /// Its Python, isolated from the caller's Python settings.
    pub fn python(&self) -> Command {
        self.recipe.python(&self.folder)
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
                say::line(&format!("{:<17} {state:<14} {}", peer.name, peer.purpose));
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
            .or_insert_with(|| {
                self.install_within_budget(place)
                    .map_err(|error| format!("{error:#}"))
            })
            .clone()
            .map_err(|reason| anyhow!("{reason}; try `cargo xtask peers install {}`", self.name))
    }

    /// The folder of this peer at its present pins.
    fn folder(self, place: &Place) -> Result<PathBuf> {
        let mut hash = Sha256::new();
        hash.update(self.recipe.pins(self.name, place)?);
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
        if !stamp(&folder).is_file() {
            if folder.exists() {
                fs::remove_dir_all(&folder).context("cannot remove half an installation")?;
            }
            say::line(&format!("installing peer {} ...", self.name));
            fs::create_dir_all(&folder)?;
            self.recipe.install(self.name, place, &folder)?;
            self.recipe
                .probe(&folder)
                .context("the peer was installed but does not start")?;
            fs::write(stamp(&folder), "")?;
        }
        Ok(Installed {
            folder,
            recipe: self.recipe,
        })
    }

    // Heavy peers share one budget of time a run.
    fn install_within_budget(self, place: &Place) -> Result<Installed> {
        static SPENT: Mutex<Duration> = Mutex::new(Duration::ZERO);
        if !self.recipe.is_heavy() || self.is_ready(place)? {
            return self.install(place);
        }
        let mut spent = SPENT
            .lock()
            .map_err(|_| anyhow!("the budget is poisoned"))?;
        if *spent > HEAVY_BUDGET {
            bail!("not installed, and this run has spent its time for installing");
        }
        let clock = Stopwatch::start();
        let done = self.install(place);
        *spent += clock.elapsed();
        done
    }
}

fn stamp(folder: &Path) -> PathBuf {
    folder.join("installed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pin_has_a_digest() {
        for peer in PEERS.iter().filter(|peer| peer.recipe.is_python()) {
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
