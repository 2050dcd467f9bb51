//! What a contributor runs: every test with its peers (`cargo xtask test`), the peers themselves
//! (`cargo xtask peers`), and the speed tables (`cargo xtask bench`).
//!
//! It depends on no room of the workspace: it calls the built `custos` binary and the peers as a
//! user would, so that it stays quick to build and cannot agree with Custos by sharing its code.

mod bench;
mod cargo_tests;
mod custos;
mod lab;
mod peers;
mod place;
mod process;
mod samples;
mod say;
mod servers;
mod suites;
mod tally;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::place::Place;

const HELP: &str = "\
Usage:
  cargo xtask test [--full] [--only NAME]...   all tests; `--only` takes suite names
  cargo xtask test --list                      the suites
  cargo xtask peers list                       the peers, and which are installed
  cargo xtask peers install NAME...|--all      installs peers into the cache folder
  cargo xtask bench [NAME]... [--write] [--runs N]
                                               the speed table; `--write` puts it into
                                               docs/performance.md
  cargo xtask bench --list                     the benches

Environment:
  CARGO_TARGET_DIR    where Cargo builds
  CUSTOS_TEST_CACHE   where peers and test inputs are kept (else $XDG_CACHE_HOME/custos)
  CUSTOS_BIN          a `custos` binary to test instead of building one";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&words) {
        Ok(code) => code,
        Err(error) => {
            say::problem(&format!("error: {error:#}"));
            ExitCode::from(2)
        }
    }
}

fn dispatch(words: &[String]) -> Result<ExitCode> {
    let mut words = words.iter().map(String::as_str);
    let place = Place::find()?;
    match words.next() {
        Some("test") => suites::main(&place, &suites::Choice::parse(words)?),
        Some("peers") => peers::main(&place, &words.collect::<Vec<_>>()),
        Some("bench") => bench::main(&place, &bench::Choice::parse(words)?),
        None | Some("help" | "-h" | "--help") => {
            say::line(HELP);
            Ok(ExitCode::SUCCESS)
        }
        Some(other) => bail!("no command `{other}`; see `cargo xtask help`"),
    }
}
