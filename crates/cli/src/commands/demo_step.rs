//! `custos demo-step`: one step of the demo's pipeline, as a process of its own.

use custos_multimodal::{StepIo, run_step};
use serde_json::json;

use crate::args::DemoStepArgs;
use crate::context::Context;
use crate::exit::Exit;
use crate::{Failure, Outcome};

/// Runs the command.
pub fn run(args: &DemoStepArgs, context: &Context) -> Outcome {
    let io = StepIo {
        inputs: args
            .inputs
            .iter()
            .map(|path| context.resolve(path))
            .collect(),
        output: context.resolve(&args.output),
        seed: args.seed,
    };
    let report = run_step(&args.name, &io).map_err(|error| {
        Failure::no("E0302", format!("step `{}` of the demo failed", args.name))
            .because(error.to_string())
    })?;
    let text: String = report
        .lines
        .iter()
        .map(|line| format!("{line}\n"))
        .collect();
    context.term.result(
        &text,
        &json!({
            "schema": "custos.demo-step/1", "step": args.name, "lines": report.lines,
        }),
    )?;
    Ok(Exit::Yes)
}
