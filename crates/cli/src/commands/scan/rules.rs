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
    let lower = id.trim().to_ascii_lowercase();
    let rule = rules::find(&lower).ok_or_else(|| {
        let failure = Failure::usage("E1005", format!("there is no rule `{id}`"));
        near(&lower)
            .into_iter()
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

// The rules that may have been meant: with the same name, or with almost the same letters.
fn near(id: &str) -> Vec<&'static str> {
    const MOST: usize = 5;
    const SHORTEST: usize = 4;
    let typing = id.len().div_ceil(6).clamp(1, 4);
    let mut near: Vec<(usize, &str)> = rules::all()
        .filter_map(|rule| {
            let (_, name) = rule.id.split_once('/')?;
            let has =
                id.len() >= SHORTEST && rule.id.contains(id) || id.ends_with(&format!("/{name}"));
            let steps = steps(id, rule.id).min(steps(id, name));
            (has || steps <= typing).then_some((steps, rule.id))
        })
        .collect();
    near.sort_unstable();
    near.into_iter().take(MOST).map(|(_, id)| id).collect()
}

// How many letters have to be put in, taken out or changed.
fn steps(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (at, letter) in (1..).zip(from.bytes()) {
        let mut next: Vec<usize> = vec![at];
        for ((other, above), pair) in to.bytes().zip(row.iter().skip(1)).zip(&row) {
            let changed = pair.saturating_add(usize::from(letter != other));
            let left = next.last().copied().unwrap_or(0);
            next.push(
                changed
                    .min(left.saturating_add(1))
                    .min(above.saturating_add(1)),
            );
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_rule_is_found() {
        for (typed, meant) in [
            ("pickle/dangerus-call", "pickle/dangerous-call"),
            ("pickle/dangerous_call", "pickle/dangerous-call"),
            ("dangerous-cal", "pickle/dangerous-call"),
            ("hub/digests", "hub/digest"),
        ] {
            assert_eq!(near(typed).first(), Some(&meant), "{typed}");
        }
        assert!(near("something else").is_empty());
        assert!(near("x").is_empty());
        assert_eq!((steps("", "abc"), steps("kitten", "sitting")), (3, 3));
    }
}
