//! `custos completions`: a completion script for a shell.

use crate::args::{self, CompletionsArgs};
use crate::context::Context;
use crate::exit::Exit;
use crate::{Failure, Outcome};

/// Runs the command.
pub fn run(args: &CompletionsArgs, context: &Context) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut args::command(), "custos", &mut script);
    let script = String::from_utf8(script)
        .map_err(|_| Failure::internal("a completion script is not UTF-8"))?;
    context.term.result(
        &script,
        &serde_json::json!({
            "schema": "custos.completions/1", "shell": args.shell.to_string(), "script": script,
        }),
    )?;
    Ok(Exit::Yes)
}
