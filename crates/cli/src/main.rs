//! The `custos` binary: verifiable chain of custody for AI.
//!
//! This crate composes the rooms. It owns everything that only a program may do: reading the
//! command line, the clock and the environment, and printing.
#![allow(
    clippy::format_push_string, // text for people, a few lines a run
    clippy::format_collect      // same
)]

mod approved;
mod args;
mod artifacts;
mod cli;
mod codes;
mod commands;
mod context;
#[cfg(test)]
mod docs;
mod exit;
mod files;
mod home;
mod judging;
mod key_life;
mod keys;
mod layouts;
mod log_signers;
mod logs;
mod oci;
mod policies;
mod progress;
mod recording;
mod report;
mod running;
mod services;
mod settings;
mod spool;
mod stores;
mod system;
mod term;
mod trusting;
mod web_log;

use std::process::ExitCode;

use crate::context::Context;
use crate::exit::Exit;
use crate::report::Failure;
use crate::term::Term;

fn main() -> ExitCode {
    let (term, outcome) = match cli::parse() {
        Ok(cli) => {
            let global = &cli.global;
            let term = Term::new(global.format, global.color, global.quiet);
            let outcome = Context::new(global, term.clone())
                .and_then(|context| commands::run(cli.command, &context));
            (term, outcome)
        }
        Err(cli::Unparsed { term, outcome }) => (term, outcome),
    };
    outcome
        .unwrap_or_else(|failure| {
            term.failure(&failure);
            failure.exit()
        })
        .into()
}

/// The result of a command: how the process ends, or why it failed.
type Outcome = Result<Exit, Failure>;
