//! Jupyter notebooks: cells that run, and outputs that a viewer shows.
//!
//! Format: nbformat 3 and 4. A cell of code is Python with lines of its own: `!` runs a command and `%`
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
        // Files within a cell, each by its types.
        let files = cell.get("attachments").map(Node::entries);
        for (_, file) in files.unwrap_or_default() {
            shown(look, &at, file.entries());
        }
    }
    widgets(look, document);
}

// Widgets are made again from what the notebook keeps of them.
fn widgets(look: &mut Look<'_, '_, '_>, document: &Document) {
    let kept = document.root.get("metadata");
    let kept = kept.and_then(|kept| kept.get("widgets"));
    let kept = kept.and_then(|kept| kept.get("application/vnd.jupyter.widget-state+json"));
    let models = kept.and_then(|kept| kept.get("state")).map(Node::entries);
    for (_, model) in models.unwrap_or_default() {
        let state = model.get("state");
        for name in ["value", "description"] {
            let source = state.and_then(|state| state.get(name)).map(text);
            let source = source.unwrap_or_default();
            if has_script(&source) && !is_known(&source) {
                let at = Location {
                    pointer: Some("/metadata/widgets".to_owned()),
                    line: None,
                    ..look.here()
                };
                active(look, &at, "a widget");
            }
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
    let first = source
        .trim_start()
        .lines()
        .next()
        .unwrap_or_default()
        .trim();
    let mut words = first.split_whitespace();
    let (magic, named) = (words.next().unwrap_or_default(), words.last());
    if is_shell(magic, first) {
        // The first line is none of the shell's; its place stays.
        let rest = source.trim_start().split_once('\n');
        let rest = rest.map_or(String::new(), |(_, rest)| format!("\n{rest}"));
        return shell::examine(look, at, &rest);
    }
    if matches!(magic, "%%writefile" | "%%file") && !named.is_some_and(is_python) {
        return;
    }
    if first.starts_with("%%html") || first.starts_with("%%javascript") || first.starts_with("%%js")
    {
        return active(look, at, "a cell");
    }
    let mut program = String::with_capacity(source.len());
    for (number, line) in source.lines().enumerate() {
        let trimmed = line.trim_start();
        let command = command_of(trimmed);
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
        if command.is_none() && !trimmed.starts_with(['!', '%', '?']) {
            program.push_str(line);
        } else if let Some(statement) = timed(trimmed) {
            program.push_str(statement);
        }
        asked(look, &location, trimmed);
        program.push('\n');
    }
    python::examine(look, at, &program);
}

// A cell whose lines are those of a shell.
fn is_shell(magic: &str, first: &str) -> bool {
    let script = magic == "%%script"
        && first
            .split_whitespace()
            .any(|word| matches!(word.rsplit('/').next(), Some("bash" | "sh" | "zsh")));
    script || matches!(magic, "%%bash" | "%%sh" | "%%system" | "%%sx" | "%%!")
}

fn is_python(name: &str) -> bool {
    let end = std::path::Path::new(name).extension();
    end.is_some_and(|end| end.eq_ignore_ascii_case("py"))
}

// The command that a line runs: `!ls`, `%sx ls`, and `files = !ls`.
fn command_of(line: &str) -> Option<&str> {
    let command = |line: &str| {
        let marks = ["!", "%sx ", "%system ", "%%bash ", "%%sh "];
        marks
            .iter()
            .find_map(|mark| line.strip_prefix(mark))
            .map(str::len)
    };
    let (name, value) = line.split_once('=').unwrap_or(("", line));
    let names = |c: char| c.is_alphanumeric() || matches!(c, '_' | ',' | ' ' | '.');
    let value = value.trim_start();
    let len = command(line).or_else(|| {
        let given = !name.is_empty() && name.chars().all(names);
        given.then(|| command(value)).flatten()
    })?;
    line.get(line.len().checked_sub(len)?..)
}

// The statement that is measured: `%time f()`.
fn timed(line: &str) -> Option<&str> {
    ["%timeit ", "%time ", "%prun ", "%memit "]
        .iter()
        .find_map(|magic| line.strip_prefix(magic))
        .map(str::trim_start)
}

// Programs from elsewhere that a line asks for.
fn asked(look: &mut Look<'_, '_, '_>, at: &Location, line: &str) {
    let magics = ["%run ", "%load ", "%loadpy ", "%macro "];
    let Some(rest) = magics.iter().find_map(|magic| line.strip_prefix(magic)) else {
        return;
    };
    let elsewhere = ["http://", "https://", "/tmp/", "/var/tmp/", "/dev/shm/"];
    let from = rest
        .split_whitespace()
        .find(|word| elsewhere.iter().any(|place| word.starts_with(place)));
    let Some(from) = from else { return };
    let runs = line.starts_with("%run") && from.starts_with('/');
    let message = if runs {
        format!(
            "a cell runs the file `{}`, which lies where everybody writes",
            shortened(from)
        )
    } else {
        format!("a cell takes a program from `{}`", shortened(from))
    };
    let mut finding = rules::text::PYTHON_EXEC.finding(at.clone(), message);
    finding.severity = if runs {
        Severity::High
    } else {
        Severity::Medium
    };
    look.work.find(finding);
}

fn output(look: &mut Look<'_, '_, '_>, at: &Location, output: &Node) {
    let data = output.get("data").map(Node::entries).unwrap_or_default();
    shown(look, at, data);
    if data.is_empty() {
        // The kinds of nbformat 3 stand beside the rest.
        shown(look, at, output.entries());
    }
}

// What is shown, by its types.
fn shown(look: &mut Look<'_, '_, '_>, at: &Location, data: &[(String, Node)]) {
    for (kind, value) in data {
        match kind.as_str() {
            "application/javascript" | "text/javascript" | "javascript"
                if !is_known(&text(value)) =>
            {
                active(look, at, "an output of JavaScript");
            }
            "text/html" | "image/svg+xml" | "text/markdown" | "html" | "svg" => {
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
    ["<script", "javascript:", "<iframe", "<object", "<embed"]
        .iter()
        .any(|mark| lower.contains(mark))
        || has_handler(&lower)
}

// `onerror=` and its kin, in a tag.
fn has_handler(lower: &str) -> bool {
    let tags = lower.split('<').skip(1);
    let mut tags = tags.filter(|tag| tag.starts_with(|c: char| c.is_ascii_alphabetic()));
    tags.any(|tag| {
        let tag = tag.split('>').next().unwrap_or_default();
        let mut parts = tag.split([' ', '/', '\t', '\n', '"', '\'']).skip(1);
        parts.any(|part| {
            let name = part.split('=').next().unwrap_or_default();
            name.len() > 4
                && part.len() > name.len()
                && name.starts_with("on")
                && name.bytes().all(|byte| byte.is_ascii_lowercase())
        })
    })
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
