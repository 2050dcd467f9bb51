//! One file a command.

mod approve;
mod attest;
mod batch;
mod completions;
mod demo;
mod demo_step;
mod doctor;
mod evidence;
mod explain;
mod gate;
mod impact;
mod init;
mod keys;
mod log;
mod log_watch;
mod man;
mod policy;
mod revoke;
mod run;
mod scan;
mod serve;
mod sign;
mod trace;
mod trust;
mod trust_life;
pub mod verify;

use crate::args::Command;
use crate::context::Context;
use crate::term::Format;
use crate::{Failure, Outcome};

/// Runs a command.
pub fn run(command: Command, context: &Context) -> Outcome {
    if context.term.format() == Format::Dot && !matches!(command, Command::Trace(_)) {
        return Err(Failure::usage("E0002", "this command has no drawing")
            .help("`--format dot` is for `custos trace`"));
    }
    if matches!(context.term.format(), Format::Sarif | Format::Cyclonedx)
        && !matches!(command, Command::Scan(_))
    {
        return Err(Failure::usage("E0002", "this command has no such format")
            .help("`--format sarif` and `--format cyclonedx` are for `custos scan`"));
    }
    match command {
        Command::Attest(args) => attest::run(&args, context),
        Command::Completions(args) => completions::run(&args, context),
        Command::Demo(args) => demo::run(&args, context),
        Command::DemoStep(args) => demo_step::run(&args, context),
        Command::Doctor => doctor::run(context),
        Command::Evidence(args) => evidence::run(&args, context),
        Command::Explain(args) => explain::run(&args, context),
        Command::Gate(args) => gate::run(&args, context),
        Command::Init(args) => init::run(&args, context),
        Command::Keys(args) => keys::run(&args, context),
        Command::Log(args) => log::run(&args, context),
        Command::Man(args) => man::run(&args, context),
        Command::Policy(args) => policy::run(&args, context),
        Command::Run(args) => run::run(&args, context),
        Command::Scan(args) => scan::run(&args, context),
        Command::Serve(args) => serve::run(&args, context),
        Command::Sign(args) => sign::run(&args, context),
        Command::Trace(args) => trace::run(&args, context),
        Command::Trust(args) => trust::run(&args, context),
        Command::Verify(args) => verify::run(&args, context),
    }
}
