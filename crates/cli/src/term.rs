//! The one module that prints: results to standard output, everything else to standard error.

use std::io::{IsTerminal as _, Write as _};

use serde::Serialize;

use crate::report::Failure;
use crate::system::{env, variable};

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// Text for people.
    #[default]
    Human,
    /// One JSON document with a `schema` field.
    Json,
    /// Graphviz, where it applies.
    Dot,
}

/// When colours are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// A role that a piece of text plays; colour only repeats what the words say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Success, and commands to type.
    Good,
    /// Failure.
    Bad,
    /// Something to look at.
    Warn,
    /// Paths, digests, literals.
    Literal,
    /// Headings.
    Strong,
    /// Side remarks.
    Faint,
}

/// The terminal as this invocation sees it.
#[derive(Debug, Clone)]
pub struct Term {
    format: Format,
    quiet: bool,
    color_out: bool,
    color_err: bool,
}

impl Term {
    /// Returns the terminal for these global options.
    pub fn new(format: Format, color: Color, quiet: bool) -> Self {
        let wanted = |is_terminal: bool| match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                let forced = variable(env::CLICOLOR_FORCE).is_some_and(|value| value != "0");
                let dumb = variable(env::TERM).is_some_and(|value| value == "dumb");
                forced || (is_terminal && variable(env::NO_COLOR).is_none() && !dumb)
            }
        };
        Self {
            format,
            quiet,
            color_out: wanted(std::io::stdout().is_terminal()),
            color_err: wanted(std::io::stderr().is_terminal()),
        }
    }

    /// Returns the format asked for.
    pub const fn format(&self) -> Format {
        self.format
    }

    /// Returns true if nobody wants progress: `--quiet`, CI, no terminal.
    pub fn hides_progress(&self) -> bool {
        self.quiet
            || variable(env::NO_PROGRESS).is_some()
            || variable(env::CI).is_some()
            || !std::io::stderr().is_terminal()
    }

    /// Returns `text` in the colour of `role`, for standard output.
    pub fn paint(&self, role: Role, text: &str) -> String {
        paint(self.color_out, role, text)
    }

    /// Writes a result: `human` as it is, or `value` as JSON.
    pub fn result<T: Serialize>(&self, human: &str, value: &T) -> Result<(), Failure> {
        match self.format {
            Format::Human | Format::Dot => write_out(human),
            Format::Json => {
                let bytes = custos_core::json::to_pretty(value)
                    .map_err(|error| Failure::internal(&error.to_string()))?;
                write_out(&String::from_utf8_lossy(&bytes))
            }
        }
    }

    /// Writes text for people as the work goes on; nothing in the JSON format.
    pub fn say(&self, text: &str) -> Result<(), Failure> {
        match self.format {
            Format::Human | Format::Dot => write_out(text),
            Format::Json => Ok(()),
        }
    }

    /// Writes a remark to standard error, unless `--quiet`.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            write_err(&format!(
                "{}: {text}\n",
                paint(self.color_err, Role::Literal, "note")
            ));
        }
    }

    /// Writes a warning to standard error.
    pub fn warn(&self, text: &str) {
        write_err(&format!(
            "{}: {text}\n",
            paint(self.color_err, Role::Warn, "warning")
        ));
    }

    /// Writes a failure: as text to standard error, in the JSON format as a document to
    /// standard output, so that whoever parses it finds the reason where the result would be.
    pub fn failure(&self, failure: &Failure) {
        if self.format == Format::Json
            && let Ok(bytes) = custos_core::json::to_pretty(&failure.to_json())
        {
            // The process ends with the failure's status in any case.
            let _ = write_out(&String::from_utf8_lossy(&bytes));
        }
        write_err(&failure.render(&|role, text| paint(self.color_err, role, text)));
    }
}

fn paint(on: bool, role: Role, text: &str) -> String {
    if !on {
        return text.to_owned();
    }
    let code = match role {
        Role::Good => "32",
        Role::Bad => "1;31",
        Role::Warn => "33",
        Role::Literal => "36",
        Role::Strong => "1",
        Role::Faint => "2",
    };
    format!("\u{1b}[{code}m{text}\u{1b}[0m")
}

fn write_out(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| {
            if error.kind() == std::io::ErrorKind::BrokenPipe {
                // `custos ... | head` is not an error.
                Failure::broken_pipe()
            } else {
                Failure::io("standard output", &error)
            }
        })
}

fn write_err(text: &str) {
    // Nobody is left to tell if standard error is gone.
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Makes text from outside safe to show: control characters (terminal escapes among them) become
/// visible, so that a file name cannot repaint the screen.
pub fn visible(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() && c != '\n' {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}
