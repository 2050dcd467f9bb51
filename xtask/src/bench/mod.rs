//! The speed tables: Custos and its peer, in the same run, on the same data, as ratios. Timing
//! never decides a test; a table says what was measured, how, and what was aimed for.

mod compromise;
mod keyless;
mod log;
mod measure;
mod model;
mod scan;
mod services;
mod startup;
mod table;

use std::fs;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

use crate::custos::{self, Custos};
use crate::peers::{Installed, Peer};
use crate::place::{Place, Scratch};
use crate::{process, say};
use table::Table;

/// What a bench gets.
pub struct Bench<'a> {
    place: &'a Place,
    custos: Custos,
    peer: Result<Installed, String>,
    /// Keys, bundles and small models.
    scratch: Scratch,
    runs: usize,
}

struct Entry {
    name: &'static str,
    title: &'static str,
    run: fn(&Bench<'_>) -> Result<Table>,
}

impl Entry {
    /// True if `word` names it, or the group that its name begins with: `scan` is all of `scan-*`.
    fn is_meant(&self, word: &str) -> bool {
        let rest = self.name.strip_prefix(word);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    }
}

const BENCHES: [Entry; 15] = [
    Entry {
        name: "mixed",
        title: "4 GiB of mixed files",
        run: model::mixed,
    },
    Entry {
        name: "one-file",
        title: "One file of 4 GiB",
        run: model::one_file,
    },
    Entry {
        name: "small",
        title: "A model of 10 MiB",
        run: model::small,
    },
    Entry {
        name: "re-sign",
        title: "Signing again after a small change",
        run: model::re_sign,
    },
    Entry {
        name: "many-files",
        title: "100,000 files of 4 KiB",
        run: model::many_files,
    },
    Entry {
        name: "log",
        title: "Durable appends to the log",
        run: log::append,
    },
    Entry {
        name: "keyless",
        title: "A keyless bundle, offline",
        run: keyless::run,
    },
    Entry {
        name: "verify",
        title: "Verification beside its floor",
        run: services::verify,
    },
    Entry {
        name: "http",
        title: "The log over HTTP",
        run: services::http,
    },
    Entry {
        name: "compromise",
        title: "What rests on a stolen key",
        run: compromise::run,
    },
    Entry {
        name: "scan-large",
        title: "Looking into large models",
        run: scan::large,
    },
    Entry {
        name: "scan-small",
        title: "Looking into small pickles",
        run: scan::small,
    },
    Entry {
        name: "scan-found",
        title: "Bad files that are found",
        run: scan::found,
    },
    Entry {
        name: "scan-real",
        title: "False alarms on real files",
        run: scan::real,
    },
    Entry {
        name: "start-up",
        title: "Start-up",
        run: startup::run,
    },
];

const PAGE: &str = "docs/performance.md";

/// The command line of `cargo xtask bench`.
#[derive(Debug, PartialEq, Eq)]
pub struct Choice {
    names: Vec<String>,
    write: bool,
    list: bool,
    runs: usize,
}

impl Choice {
    /// Reads the words after `bench`.
    pub fn parse<'a>(mut words: impl Iterator<Item = &'a str>) -> Result<Self> {
        let mut choice = Self {
            names: Vec::new(),
            write: false,
            list: false,
            runs: 5,
        };
        while let Some(word) = words.next() {
            match word {
                "--write" => choice.write = true,
                "--list" => choice.list = true,
                "--runs" => {
                    let count = words.next().context("--runs needs a number")?;
                    choice.runs = count.parse().context("--runs needs a number")?;
                    if choice.runs == 0 {
                        bail!("--runs must be at least 1");
                    }
                }
                name if BENCHES.iter().any(|bench| bench.is_meant(name)) => {
                    choice.names.push(name.to_owned());
                }
                other => bail!("no bench `{other}`; see `cargo xtask bench --list`"),
            }
        }
        Ok(choice)
    }
}

/// Runs `cargo xtask bench`.
pub fn main(place: &Place, choice: &Choice) -> Result<ExitCode> {
    if choice.list {
        for bench in &BENCHES {
            say::line(&format!("{:<12} {}", bench.name, bench.title));
        }
        return Ok(ExitCode::SUCCESS);
    }
    custos::build(place)?;
    let bench = Bench::new(place, choice.runs)?;
    let mut code = ExitCode::SUCCESS;
    for entry in &BENCHES {
        if !choice.names.is_empty() && !choice.names.iter().any(|name| entry.is_meant(name)) {
            continue;
        }
        say::problem(&format!("measuring {} ...", entry.name));
        match (entry.run)(&bench) {
            Ok(table) => {
                let text = table.render(entry.title);
                say::line(&text);
                if choice.write {
                    write(place, entry.name, &text)?;
                }
            }
            Err(error) => {
                say::problem(&format!("error: bench {}: {error:#}", entry.name));
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}

impl<'a> Bench<'a> {
    fn new(place: &'a Place, runs: usize) -> Result<Self> {
        let scratch = Scratch::new("bench")?;
        let custos = Custos::new(place, &scratch)?;
        let peer = Peer::named("model-signing")?
            .ensure(place)
            .map_err(|error| format!("model_signing: {error:#}"));
        if let Ok(peer) = &peer {
            let mut keys = peer.python();
            keys.arg(place.peer_file("oms_keys.py"))
                .arg(scratch.join("keys"));
            process::run(&mut keys, std::time::Duration::from_mins(1))?.success()?;
        }
        Ok(Self {
            place,
            custos,
            peer,
            scratch,
            runs,
        })
    }
}

/// Puts a table between its markers in the page.
fn write(place: &Place, name: &str, text: &str) -> Result<()> {
    let path = place.root.join(PAGE);
    let page = fs::read_to_string(&path).with_context(|| format!("cannot read {PAGE}"))?;
    fs::write(&path, replaced(&page, name, text)?).with_context(|| format!("cannot write {PAGE}"))
}

fn replaced(page: &str, name: &str, text: &str) -> Result<String> {
    let (begin, end) = (
        format!("<!-- bench:{name} -->\n"),
        format!("<!-- /bench:{name} -->"),
    );
    let (before, rest) = page
        .split_once(&begin)
        .with_context(|| format!("{PAGE} has no line {}", begin.trim_end()))?;
    let (_, after) = rest
        .split_once(&end)
        .with_context(|| format!("{PAGE} has no line {end}"))?;
    Ok(format!("{before}{begin}{}\n{end}{after}", text.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_replaces_the_one_of_its_name() {
        let page = "a\n<!-- bench:x -->\nold\n<!-- /bench:x -->\nb\n";
        let new = replaced(page, "x", "new\n").unwrap();
        assert_eq!(new, "a\n<!-- bench:x -->\nnew\n<!-- /bench:x -->\nb\n");
        assert!(replaced(page, "y", "new").is_err());
    }

    #[test]
    fn the_page_has_a_place_for_every_bench() {
        let page = fs::read_to_string("../docs/performance.md").unwrap();
        for bench in &BENCHES {
            replaced(&page, bench.name, "text").unwrap();
        }
    }

    #[test]
    fn only_known_benches() {
        let parse = |words: &[&str]| Choice::parse(words.iter().copied());
        assert_eq!(parse(&["small", "--runs", "3"]).unwrap().runs, 3);
        assert!(parse(&["smal"]).is_err());
        let meant = BENCHES.iter().filter(|bench| bench.is_meant("scan"));
        assert_eq!(meant.count(), 4);
        assert!(parse(&["--runs", "0"]).is_err());
    }
}
