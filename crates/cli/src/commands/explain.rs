//! `custos explain`: what an error code means, and what to do.

use serde_json::json;

use crate::args::ExplainArgs;
use crate::codes::{self, TABLE};
use crate::context::Context;
use crate::exit::Exit;
use crate::term::Role;
use crate::{Failure, Outcome};

/// Runs the command.
pub fn run(args: &ExplainArgs, context: &Context) -> Outcome {
    match &args.code {
        None => list(context),
        Some(code) => explain(code, context),
    }
}

fn list(context: &Context) -> Outcome {
    let text: String = TABLE
        .iter()
        .map(|entry| {
            format!(
                "{}  {}\n",
                context.term.paint(Role::Literal, entry.code),
                entry.title
            )
        })
        .collect();
    let codes: Vec<_> = TABLE
        .iter()
        .map(|entry| json!({ "code": entry.code, "title": entry.title }))
        .collect();
    context.term.result(
        &text,
        &json!({ "schema": "custos.explain/1", "codes": codes }),
    )?;
    Ok(Exit::Yes)
}

fn explain(code: &str, context: &Context) -> Outcome {
    let entry = codes::find(&code.to_ascii_uppercase()).ok_or_else(|| {
        Failure::usage("E0002", format!("there is no code `{code}`"))
            .help("`custos explain` lists all codes")
    })?;
    // Folded behind blanks in place of its label, whatever colour that takes.
    let advice = context
        .term
        .fold(&format!("            {}", entry.remedy), 0);
    let text = format!(
        "{}: {}\n\n{}\n\n{} {}\n",
        context.term.paint(Role::Bad, entry.code),
        context.term.paint(Role::Strong, entry.title),
        context.term.fold(entry.meaning, 0),
        context.term.paint(Role::Literal, "what to do:"),
        advice.trim_start(),
    );
    context.term.result(
        &text,
        &json!({
            "schema": "custos.explain/1",
            "code": entry.code,
            "title": entry.title,
            "meaning": entry.meaning,
            "remedy": entry.remedy,
        }),
    )?;
    Ok(Exit::Yes)
}
