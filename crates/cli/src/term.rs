//! The one module that prints: results to standard output, everything else to standard error.

use std::io::{IsTerminal, Write as _};
use std::os::fd::AsFd;

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
    /// SARIF 2.1.0, where it applies.
    Sarif,
    /// CycloneDX 1.6, where it applies.
    Cyclonedx,
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
    // Where there is a terminal: nobody wants a file to be folded.
    width_out: Option<usize>,
    width_err: Option<usize>,
}

impl Term {
    /// Returns the terminal for these global options.
    pub fn new(format: Format, color: Color, quiet: bool) -> Self {
        let wanted = |is_terminal: bool| match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                let forced = variable(env::CLICOLOR_FORCE).is_some_and(|value| value != "0");
                forced || (is_terminal && variable(env::NO_COLOR).is_none() && !is_dumb())
            }
        };
        Self {
            format,
            quiet,
            color_out: wanted(std::io::stdout().is_terminal()),
            color_err: wanted(std::io::stderr().is_terminal()),
            width_out: width(&std::io::stdout()),
            width_err: width(&std::io::stderr()),
        }
    }

    /// Returns the format asked for.
    pub const fn format(&self) -> Format {
        self.format
    }

    /// Returns true if remarks are not wanted: what is fine needs no word.
    pub const fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Returns true if nobody wants progress: `--quiet`, CI, no terminal or a dumb one.
    pub fn hides_progress(&self) -> bool {
        self.quiet
            || variable(env::NO_PROGRESS).is_some()
            || variable(env::CI).is_some()
            || is_dumb()
            || !std::io::stderr().is_terminal()
    }

    /// Folds text for standard output, if that is a terminal; what follows the first line is
    /// indented by `indent`.
    pub fn fold(&self, text: &str, indent: usize) -> String {
        fold(text, self.width_out, indent)
    }

    /// Returns `text` in the colour of `role`, for standard output.
    pub fn paint(&self, role: Role, text: &str) -> String {
        paint(self.color_out, role, text)
    }

    /// Writes a result: `human` as it is, or `value` as JSON.
    pub fn result<T: Serialize>(&self, human: &str, value: &T) -> Result<(), Failure> {
        match self.format {
            Format::Human | Format::Dot => write_out(human),
            Format::Json | Format::Sarif | Format::Cyclonedx => Self::document(value),
        }
    }

    /// Writes a result as JSON, in whatever format.
    pub fn document<T: Serialize>(value: &T) -> Result<(), Failure> {
        let bytes = custos_core::json::to_pretty(value)
            .map_err(|error| Failure::internal(&error.to_string()))?;
        write_out(&String::from_utf8_lossy(&bytes))
    }

    /// Writes one line of JSON, for what goes on and on; each line stands for itself.
    pub fn line<T: Serialize>(value: &T) -> Result<(), Failure> {
        let mut bytes = custos_core::json::to_vec(value)
            .map_err(|error| Failure::internal(&error.to_string()))?;
        bytes.push(b'\n');
        write_out(&String::from_utf8_lossy(&bytes))
    }

    /// Writes text for people as the work goes on; nothing in the JSON format.
    pub fn say(&self, text: &str) -> Result<(), Failure> {
        match self.format {
            Format::Human | Format::Dot => write_out(text),
            Format::Json | Format::Sarif | Format::Cyclonedx => Ok(()),
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

    /// Asks a person to do something, on standard error, even if remarks are not wanted.
    pub fn ask(text: &str) {
        write_err(&format!("{text}\n"));
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
        write_err(&failure.render(self.width_err, &|role, text| {
            paint(self.color_err, role, text)
        }));
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
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // `custos ... | head` is not an error; and what the command found out stays what it is, so
        // that a pipe that closes early never turns a no into a yes.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(|error| Failure::io("standard output", &error)),
    }
}

fn write_err(text: &str) {
    // Nobody is left to tell if standard error is gone.
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

fn is_dumb() -> bool {
    variable(env::TERM).is_some_and(|value| value == "dumb")
}

// The narrowest terminal that text is folded for, and the widest line that is easy to read.
const NARROWEST: usize = 30;
const WIDEST: usize = 100;

fn width(stream: &(impl IsTerminal + AsFd)) -> Option<usize> {
    if !stream.is_terminal() {
        return None;
    }
    let said = variable(env::COLUMNS).and_then(|value| value.to_str()?.parse().ok());
    let columns = said.or_else(|| {
        let size = rustix::termios::tcgetwinsize(stream).ok()?;
        (size.ws_col > 0).then(|| usize::from(size.ws_col))
    })?;
    Some(columns.clamp(NARROWEST, WIDEST))
}

/// Folds each line of `text` between words, so that it fits `width`; what follows the first is
/// indented by `indent`. A word that is longer than a line stays whole, as it may be there to be
/// copied.
pub fn fold(text: &str, width: Option<usize>, indent: usize) -> String {
    let Some(width) = width else {
        return text.to_owned();
    };
    let lines: Vec<String> = text.split('\n').map(|l| line(l, width, indent)).collect();
    lines.join("\n")
}

fn line(text: &str, width: usize, indent: usize) -> String {
    let mut folded = String::new();
    let mut column = 0_usize;
    // The blanks in front of a line are a part of its first word.
    let start = text.len() - text.trim_start_matches(' ').len();
    let words = text.get(start..).unwrap_or_default().split(' ');
    for (at, word) in words.enumerate() {
        let long = word.chars().count();
        if at == 0 {
            folded.push_str(text.get(..start).unwrap_or_default());
            column = start;
        } else if !word.is_empty() && column.saturating_add(1 + long) > width {
            folded.truncate(folded.trim_end_matches(' ').len());
            folded.push('\n');
            folded.push_str(&" ".repeat(indent));
            column = indent;
        } else {
            folded.push(' ');
            column = column.saturating_add(1);
        }
        folded.push_str(word);
        column = column.saturating_add(long);
    }
    folded
}

/// Makes text from outside safe to show, so that a file name cannot repaint the screen.
pub fn visible(text: &str) -> String {
    custos_core::text::visible(text)
}

/// Returns a number with its noun: `1 file`, `2 files`.
pub fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_between_words_only() {
        assert_eq!(fold("one two  three", None, 2), "one two  three");
        assert_eq!(fold("  one two three", Some(9), 4), "  one two\n    three");
        assert_eq!(fold("a\nb c", Some(3), 1), "a\nb c");
        let long = "sha256:".to_owned() + &"0".repeat(64);
        assert_eq!(
            fold(&format!("is {long} now"), Some(40), 1),
            format!("is\n {long}\n now")
        );
        for width in 30..100 {
            for line in fold("some words ".repeat(30).trim_end(), Some(width), 3).lines() {
                assert!(line.chars().count() <= width, "{width}: {line}");
                assert_eq!(line.trim_end(), line);
            }
        }
    }

    #[test]
    fn counts_in_words() {
        assert_eq!(count(1, "file"), "1 file");
        assert_eq!(count(0, "file"), "0 files");
    }
}
