//! The suites that `cargo xtask test` runs, in order, and its command line.

mod clients;
mod cosign;
mod crash;
mod docs;
mod hsm;
mod intoto;
mod keyless;
mod kms;
mod kubernetes;
mod oci;
mod oms;
mod rooms;
mod scan;
mod serve;
mod sigstore;
mod tree;
mod tuf;

pub use oms::{key_files, text};

use std::fs;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

use crate::peers::{Installed, Peer};
use crate::place::{self, Place};
use crate::tally::{AllowedSkips, Suite, Tally};
use crate::{cargo_tests, custos, say};

/// What a suite gets.
#[derive(Debug, Clone, Copy)]
pub struct Run<'a> {
    /// The folders.
    pub place: &'a Place,
    /// Deep runs as well.
    pub full: bool,
}

/// The peers of these names; `None`, with a loud skip, if one of them cannot be had.
fn peers<const N: usize>(
    run: &Run<'_>,
    suite: &mut Suite,
    names: [&str; N],
) -> Option<[Installed; N]> {
    let mut found = Vec::new();
    for name in names {
        match Peer::named(name).and_then(|peer| peer.ensure(run.place)) {
            Ok(peer) => found.push(peer),
            Err(error) => {
                suite.skip(&format!("peer:{name}"), &format!("{error:#}"));
                return None;
            }
        }
    }
    <[Installed; N]>::try_from(found).ok()
}

/// One suite: a name for `--only`, what it shows, whether it needs the built binaries.
struct Entry {
    name: &'static str,
    shows: &'static str,
    needs_build: bool,
    run: fn(&Run<'_>, &mut Suite) -> Result<()>,
}

const SUITES: [Entry; 15] = [
    Entry {
        name: "rooms",
        shows: "crates depend on each other in the one allowed direction",
        needs_build: false,
        run: rooms::run,
    },
    Entry {
        name: "oms",
        shows: "model signatures agree with the reference client, both ways",
        needs_build: true,
        run: oms::run,
    },
    Entry {
        name: "in-toto",
        shows: "attestations parse and verify with the in-toto libraries",
        needs_build: true,
        run: intoto::run,
    },
    Entry {
        name: "cosign-key",
        shows: "cosign's encrypted key files are read and written",
        needs_build: true,
        run: cosign::run,
    },
    Entry {
        name: "kubernetes",
        shows: "keys in Secrets sign for cosign, and cosign's keys and signatures are taken",
        needs_build: true,
        run: kubernetes::run,
    },
    Entry {
        name: "kms",
        shows: "keys in a key service sign for others, and its credentials stay out of steps",
        needs_build: true,
        run: kms::run,
    },
    Entry {
        name: "hsm",
        shows: "keys in a PKCS#11 token sign for others, and others' signatures verify",
        needs_build: true,
        run: hsm::run,
    },
    Entry {
        name: "sigstore",
        shows: "bundles of the public Sigstore verify offline, bad ones do not",
        needs_build: true,
        run: sigstore::run,
    },
    Entry {
        name: "keyless",
        shows: "bundles made with real Fulcio, Rekor v2 and timestamps verify, bad ones do not",
        needs_build: true,
        run: keyless::run,
    },
    Entry {
        name: "serve",
        shows: "clients of Sigstore sign with `custos serve`, and what they made holds for all",
        needs_build: true,
        run: serve::run,
    },
    Entry {
        name: "oci",
        shows: "signatures in a registry hold for cosign and Custos, and their twins for neither",
        needs_build: true,
        run: oci::run,
    },
    Entry {
        name: "tuf",
        shows: "trust roots are followed both ways with python-tuf, changed ones by neither",
        needs_build: true,
        run: tuf::run,
    },
    Entry {
        name: "scan",
        shows: "what is bad is found, what is real is not, and hostile files find their limits",
        needs_build: true,
        run: scan::run,
    },
    Entry {
        name: "log-crash",
        shows: "the log keeps what it acknowledged when it is killed at any system call",
        needs_build: true,
        run: crash::run,
    },
    Entry {
        name: "docs",
        shows: "commands and links in the documents exist",
        needs_build: true,
        run: docs::run,
    },
];

/// The command line of `cargo xtask test`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Choice {
    full: bool,
    list: bool,
    only: Vec<String>,
}

impl Choice {
    /// Reads the words after `test`.
    pub fn parse<'a>(mut words: impl Iterator<Item = &'a str>) -> Result<Self> {
        let mut choice = Self::default();
        while let Some(word) = words.next() {
            match word {
                "--full" => choice.full = true,
                "--list" => choice.list = true,
                "--only" => {
                    let name = words.next().context("--only needs the name of a suite")?;
                    let known = name == "cargo" || SUITES.iter().any(|suite| suite.name == name);
                    if !known {
                        bail!("no suite `{name}`; see `cargo xtask test --list`");
                    }
                    choice.only.push(name.to_owned());
                }
                other => bail!("no option `{other}`; see `cargo xtask help`"),
            }
        }
        Ok(choice)
    }

    fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }
}

/// Runs `cargo xtask test`.
pub fn main(place: &Place, choice: &Choice) -> Result<ExitCode> {
    if choice.list {
        say::line("cargo        all unit, property, command-line and documentation tests");
        for suite in &SUITES {
            say::line(&format!("{:<12} {}", suite.name, suite.shows));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let allowed = fs::read_to_string(place.root.join("xtask/allowed-skips.txt"))
        .context("cannot read xtask/allowed-skips.txt")?;
    let allowed = AllowedSkips::parse(&allowed)?;
    let mut tally = Tally::default();
    if choice.wants("cargo") {
        tally.add(cargo_tests::run(place, choice.full)?);
    }
    let chosen: Vec<&Entry> = SUITES
        .iter()
        .filter(|suite| choice.wants(suite.name))
        .collect();
    let built = if chosen.iter().any(|suite| suite.needs_build) {
        custos::build(place)
    } else {
        Ok(())
    };
    let run = Run {
        place,
        full: choice.full,
    };
    for entry in chosen {
        let mut suite = Suite::new(entry.name);
        // An older binary may still lie there: a suite that ran it would show nothing of this tree.
        if entry.needs_build
            && let Err(error) = &built
        {
            suite.fail("build", &format!("{error:#}"));
        } else if let Err(error) = (entry.run)(&run, &mut suite) {
            suite.fail("setup", &format!("{error:#}"));
        }
        tally.add([suite.finish()]);
    }
    let (text, well) = tally.close(&allowed, place::in_ci());
    say::line(&text);
    Ok(if well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Choice> {
        Choice::parse(words.iter().copied())
    }

    #[test]
    fn only_takes_known_suites() {
        assert!(
            parse(&["--only", "oms", "--only", "cargo"])
                .unwrap()
                .wants("oms")
        );
        assert!(!parse(&["--only", "oms"]).unwrap().wants("cargo"));
        assert!(parse(&["--only", "omz"]).is_err());
        assert!(parse(&["--only"]).is_err());
        assert!(parse(&["--fast"]).is_err());
    }
}
