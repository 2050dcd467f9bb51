//! What the rules say of themselves.

use custos_scan::rules::{self, Rule};
use serde_json::{Value, json};

use crate::context::Context;
use crate::exit::Exit;
use crate::term::Role;
use crate::{Failure, Outcome};

/// Lists the rules.
pub fn list(context: &Context) -> Outcome {
    let term = &context.term;
    let text: String = rules::all()
        .map(|rule| {
            let severity = rule.severity.name();
            let line = format!("{:<30} {severity:<8} {}\n", rule.id, rule.title);
            // Coloured when it is folded: colours take no room.
            let painted = term.paint(Role::Literal, rule.id);
            term.fold(&line, 40).replacen(rule.id, &painted, 1)
        })
        .collect();
    let rules: Vec<Value> = rules::all().map(document).collect();
    let value = json!({
        "schema": "custos.scan-rules/1",
        "digest": rules::digest(),
        "rules": rules,
    });
    term.result(&text, &value)?;
    Ok(Exit::Yes)
}

/// Explains a rule.
pub fn explain(id: &str, context: &Context) -> Outcome {
    let rule = rules::find(id).ok_or_else(|| {
        let failure = Failure::usage("E1005", format!("there is no rule `{id}`"));
        let near = rules::all().map(|rule| rule.id).filter(|known| {
            let (_, name) = known.split_once('/').unwrap_or_default();
            id.contains(name) || known.contains(id)
        });
        near.take(5)
            .fold(failure, |failure, near| {
                failure.help(format!("there is `{near}`"))
            })
            .help("`custos scan --list-rules` lists them")
    })?;
    let term = &context.term;
    let tags: Vec<String> = rule
        .cwe
        .iter()
        .map(|number| format!("CWE-{number}"))
        .chain(rule.tags.iter().map(|tag| (*tag).to_owned()))
        .collect();
    // Folded behind blanks in place of its label, whatever colour that takes.
    let advice = term.fold(&format!("            {}", rule.advice), 0);
    let text = format!(
        "{}: {}\n\n{}\n\n{} {}\n{} {}\n",
        term.paint(Role::Strong, rule.id),
        rule.title,
        term.fold(rule.what, 0),
        term.paint(Role::Literal, "what to do:"),
        advice.trim_start(),
        term.paint(Role::Literal, "severity:"),
        rule.severity.name(),
    );
    let text = match tags.as_slice() {
        [] => text,
        tags => format!(
            "{text}{} {}\n",
            term.paint(Role::Literal, "see also:"),
            tags.join(", ")
        ),
    };
    let mut value = document(rule);
    if let Some(fields) = value.as_object_mut() {
        fields.insert("schema".to_owned(), json!("custos.scan-rule/1"));
    }
    term.result(&text, &value)?;
    Ok(Exit::Yes)
}

fn document(rule: &Rule) -> Value {
    json!({
        "id": rule.id,
        "severity": rule.severity,
        "title": rule.title,
        "what": rule.what,
        "advice": rule.advice,
        "cwe": rule.cwe,
        "tags": rule.tags,
    })
}
