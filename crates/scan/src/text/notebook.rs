//! Jupyter notebooks: cells that run, and outputs that a viewer shows.
//!
//! Format: nbformat 4. A cell of code is Python with lines of its own: `!` runs a command and `%`
//! asks something of the notebook. An output of HTML or JavaScript runs in the browser of whoever
//! opens the notebook and trusts it.

use custos_core::finding::{Location, Severity};

use crate::rules;
use crate::supply::requirement_line;
use crate::work::Look;

use super::document::{Document, Node};
use super::{python, shell, shortened};

/// Returns true if a document is a notebook.
pub(super) fn is_one(document: &Document) -> bool {
    let root = &document.root;
    root.get("nbformat").is_some()
        && (root.get("cells").is_some() || root.get("worksheets").is_some())
}

/// Looks at the cells of a notebook.
pub(super) fn examine(look: &mut Look<'_, '_, '_>, document: &Document) {
    let cells = document
        .root
        .get("cells")
        .map(Node::items)
        .unwrap_or_default();
    let older = document
        .root
        .get("worksheets")
        .map(Node::items)
        .unwrap_or_default();
    let older = older
        .iter()
        .flat_map(|sheet| sheet.get("cells").map(Node::items).unwrap_or_default());
    for (number, cell) in cells.iter().chain(older).enumerate() {
        let pointer = format!("/cells/{number}");
        let at = Location {
            pointer: Some(pointer.clone()),
            line: None,
            ..look.here()
        };
        let source = cell
            .get("source")
            .or(cell.get("input"))
            .map(text)
            .unwrap_or_default();
        if cell.get("cell_type").and_then(Node::text) == Some("code") {
            code(look, &at, &source);
        } else if has_script(&source) {
            active(look, &at, "a cell of text");
        }
        for output in cell.get("outputs").map(Node::items).unwrap_or_default() {
            self::output(look, &at, output);
        }
    }
}

// A text, or a list of its lines.
fn text(node: &Node) -> String {
    match node.text() {
        Some(text) => text.to_owned(),
        None => node.items().iter().filter_map(Node::text).collect(),
    }
}

fn code(look: &mut Look<'_, '_, '_>, at: &Location, source: &str) {
    let first = source.lines().next().unwrap_or_default().trim();
    if matches!(first, "%%bash" | "%%sh" | "%%script bash" | "%%system") {
        return shell::examine(look, at, source);
    }
    if first.starts_with("%%html") || first.starts_with("%%javascript") || first.starts_with("%%js")
    {
        return active(look, at, "a cell");
    }
    let mut program = String::with_capacity(source.len());
    for (number, line) in source.lines().enumerate() {
        let trimmed = line.trim_start();
        let command = trimmed
            .strip_prefix('!')
            .or_else(|| trimmed.strip_prefix("%sx "))
            .or_else(|| trimmed.strip_prefix("%system "));
        let location = Location {
            line: u32::try_from(number.saturating_add(1)).ok(),
            ..at.clone()
        };
        if let Some(command) = command {
            shell::examine(look, &location, command.trim_start_matches('!'));
        } else if trimmed.starts_with(['%', 'p', 'u']) {
            // `%pip`, and without the sign as the notebook allows it.
            requirement_line(look, &location, trimmed);
        }
        // Lines of the notebook are no Python; their places stay, so that lines are counted right.
        if !trimmed.starts_with(['!', '%', '?']) {
            program.push_str(line);
        }
        program.push('\n');
    }
    python::examine(look, at, &program);
}

fn output(look: &mut Look<'_, '_, '_>, at: &Location, output: &Node) {
    let data = output.get("data").map(Node::entries).unwrap_or_default();
    for (kind, value) in data {
        match kind.as_str() {
            "application/javascript" if !is_known(&text(value)) => {
                active(look, at, "an output of JavaScript");
            }
            "text/html" | "image/svg+xml" | "text/markdown" => {
                let source = text(value);
                if has_script(&source) && !is_known(&source) {
                    active(look, at, &format!("an output of `{kind}`"));
                }
            }
            _ => {}
        }
    }
}

// Scripts, and what runs as one.
fn has_script(source: &str) -> bool {
    let lower = source.to_ascii_lowercase();
    [
        "<script",
        "javascript:",
        "onerror=",
        "onload=",
        "<iframe",
        "<object",
        "<embed",
    ]
    .iter()
    .any(|mark| lower.contains(mark))
}

// What plotting libraries and Colab put into every notebook.
fn is_known(source: &str) -> bool {
    const MARKS: [&str; 14] = [
        "plotly",
        "Plotly",
        "bokeh",
        "Bokeh",
        "vega",
        "colab",
        "google.colab",
        "mpl.figure",
        "requirejs",
        "MathJax",
        "jupyter-widgets",
        "ipywidgets",
        "DataTable",
        "_repr_html_",
    ];
    MARKS.iter().any(|mark| source.contains(mark))
}

fn active(look: &mut Look<'_, '_, '_>, at: &Location, what: &str) {
    let message = format!("{what} runs in the browser of whoever trusts the notebook");
    let mut finding = rules::text::NOTEBOOK_ACTIVE.finding(at.clone(), message);
    finding.severity = Severity::Medium;
    finding.evidence = at.pointer.as_deref().map(shortened);
    look.work.find(finding);
}
