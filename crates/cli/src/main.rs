//! The `custos` binary: verifiable chain of custody for AI.
//!
//! This crate composes the rooms. It owns everything that only a program may do: reading the
//! command line, the clock and the environment, and printing.
#![allow(
    clippy::format_push_string, // text for people, a few lines a run
    clippy::format_collect      // same
)]

mod args;
mod artifacts;
mod codes;
mod commands;
mod context;
mod exit;
mod files;
mod home;
mod judging;
mod keys;
mod layouts;
mod logs;
mod policies;
mod progress;
mod recording;
mod report;
mod settings;
mod stores;
mod system;
mod term;
mod trusting;

use std::process::ExitCode;

use clap::FromArgMatches as _;
use clap::error::ErrorKind;

use crate::args::Cli;
use crate::context::Context;
use crate::exit::Exit;
use crate::report::Failure;
use crate::term::Term;

fn main() -> ExitCode {
    let cli = match parse() {
        Ok(cli) => cli,
        Err(exit) => return exit.into(),
    };
    let term = Term::new(cli.global.format, cli.global.color, cli.global.quiet);
    let outcome = Context::new(&cli.global, term.clone())
        .and_then(|context| commands::run(cli.command, &context));
    match outcome {
        Ok(exit) => exit.into(),
        Err(failure) if failure.is_silent() => Exit::Yes.into(),
        Err(failure) => {
            term.failure(&failure);
            failure.exit().into()
        }
    }
}

// clap would end the process by itself; we keep the one way out.
fn parse() -> Result<Cli, Exit> {
    let parsed = args::command()
        .try_get_matches()
        .and_then(|matches| Cli::from_arg_matches(&matches));
    parsed.map_err(|error| {
        // Writing help or an error is the last thing we do; if that fails, nobody reads it.
        let _ = error.print();
        match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Yes,
            _ => Exit::Usage,
        }
    })
}

/// The result of a command: how the process ends, or why it failed.
type Outcome = Result<Exit, Failure>;
