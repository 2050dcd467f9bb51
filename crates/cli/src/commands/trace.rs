//! `custos trace`: where an artifact comes from, or what came of it.

use std::path::PathBuf;

use custos_core::lineage::{Direction, Mark, Tree, TreeOptions};
use serde_json::json;

use crate::args::TraceArgs;
use crate::artifacts;
use crate::context::Context;
use crate::exit::Exit;
use crate::judging::{Judging, named};
use crate::term::{Format, Role};
use crate::{Failure, Outcome};

/// Runs the command.
pub fn run(args: &TraceArgs, context: &Context) -> Outcome {
    let settings = context.settings()?;
    let artifact = artifacts::find(&args.artifact, context)?;
    let judging = Judging::open(&settings, context)?;
    let direction = if args.down {
        Direction::Downstream
    } else {
        Direction::Upstream
    };
    let gathered = judging.trace(named(&artifact.name, artifact.digest.clone()), direction)?;
    let trace = &gathered.trace;
    if trace.steps.is_empty() && gathered.verified.is_empty() && gathered.rejected.is_empty() {
        return Err(unknown(&args.artifact, &artifact, context));
    }
    if context.term.format() == Format::Dot {
        context.term.result(&trace.to_dot(), &())?;
        return Ok(Exit::Yes);
    }
    let tree = Tree::of(trace, TreeOptions::default());
    let mut text = String::new();
    for row in &tree.rows {
        let line = row.to_string();
        let role = match row.mark {
            Mark::Bad => Some(Role::Bad),
            _ => None,
        };
        text.push_str(&role.map_or_else(|| line.clone(), |role| context.term.paint(role, &line)));
        text.push('\n');
    }
    for rejected in &gathered.rejected {
        text.push_str(&format!(
            "{} a statement does not count: {}\n",
            context.term.paint(Role::Bad, "NO"),
            crate::term::visible(&rejected.message),
        ));
    }
    for missing in &gathered.missing {
        context.term.warn(missing);
    }
    context.term.result(
        &text,
        &json!({
            "schema": "custos.trace/1",
            "artifact": artifact.name,
            "digest": artifact.digest,
            "direction": if args.down { "down" } else { "up" },
            "complete": trace.complete(),
            "trace": trace,
            "rejected": gathered.rejected,
            "missing": gathered.missing,
            "text": tree.to_string(),
        }),
    )?;
    Ok(Exit::Yes)
}

fn unknown(named: &str, artifact: &artifacts::Artifact, context: &Context) -> Failure {
    let failure = Failure::no("E0603", "nothing is known about this artifact")
        .at(named)
        .because(format!(
            "no statement in the store is about {}",
            digest_of(artifact)
        ))
        .help("`custos run` and `custos attest` record statements");
    let signature = |path: &PathBuf| artifacts::signature(path, None, context).ok().flatten();
    match artifact.path.as_ref().and_then(signature) {
        // OpenSSF Model Signing signs a list of files, also for a single one.
        Some(_) => {
            failure.help("its signature is about a list of files; `custos verify` checks it")
        }
        None => failure,
    }
}

fn digest_of(artifact: &artifacts::Artifact) -> String {
    artifact
        .digest
        .get(custos_core::digest::Algorithm::Sha256)
        .map_or_else(|| artifact.name.clone(), |digest| digest.short())
}
