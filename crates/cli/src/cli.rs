//! From the words of the command line to a command, or to an error in the form of all the others.

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{FromArgMatches as _, ValueEnum};

use crate::Outcome;
use crate::args::{self, Cli};
use crate::exit::Exit;
use crate::report::Failure;
use crate::system::arguments;
use crate::term::{Color, Format, Term};

/// What there is when no command came out: help, the version, or an error.
pub struct Unparsed {
    /// Where output goes, as far as the words say.
    pub term: Term,
    /// How the process ends.
    pub outcome: Outcome,
}

/// Reads the command line. clap would print and end the process by itself; there is one way out.
pub fn parse() -> Result<Cli, Unparsed> {
    let words: Vec<OsString> = arguments();
    let parsed = args::command()
        .try_get_matches_from(&words)
        .and_then(|matches| Cli::from_arg_matches(&matches));
    parsed.map_err(|error| Unparsed {
        term: term(&words),
        outcome: outcome(&error, &words),
    })
}

fn outcome(error: &clap::Error, words: &[OsString]) -> Outcome {
    let asked = matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    );
    // Whoever types no command at all gets the help; a program gets an error.
    let lost = error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
        && option(words, "--format").is_none();
    if !(asked || lost) {
        return Err(usage(error, words));
    }
    match error.print() {
        // Help that goes nowhere is a yes only where the reader had enough.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::io("standard output", &error))
        }
        _ if asked => Ok(Exit::Yes),
        _ => Ok(Exit::Usage),
    }
}

// clap writes what is wrong, then tips, the usage, and where there is more, with empty lines between.
fn usage(error: &clap::Error, words: &[OsString]) -> Failure {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return Failure::usage("E0002", "a command is needed").help("`custos --help` lists them");
    }
    let text = error.render().to_string();
    let mut paragraphs = text.trim_end().split("\n\n");
    let first = paragraphs.next().unwrap_or_default();
    let mut lines = first.strip_prefix("error: ").unwrap_or(first).lines();
    let what = lines.next().unwrap_or_default().trim_end_matches(':');
    let mut failure = Failure::usage("E0002", what);
    for line in lines {
        failure = failure.because(line.trim());
    }
    for line in paragraphs.flat_map(str::lines).map(str::trim) {
        let line = line.strip_prefix("tip: ").unwrap_or(line);
        if !line.is_empty() && !line.starts_with("For more information") {
            failure = failure.help(line);
        }
    }
    let word = |wanted: &str| words.iter().any(|word| word == wanted);
    if word("run") && !word("--") && !word("help") {
        failure = failure.help("the command of a step stands behind `--`: custos run ... -- CMD");
    }
    let command = words.iter().skip(1).find_map(|word| {
        let word = word.to_str()?;
        args::command()
            .find_subcommand(word)
            .map(|_| word.to_owned())
    });
    failure.help(match command {
        Some(name) => format!("`custos {name} --help` has examples"),
        None => "`custos --help` lists the commands".to_owned(),
    })
}

// Words that do not parse still say how the answer is wanted.
fn term(words: &[OsString]) -> Term {
    let format = option(words, "--format").and_then(|value| Format::from_str(&value, false).ok());
    let color = option(words, "--color").and_then(|value| Color::from_str(&value, false).ok());
    let quiet = before_command(words).any(|word| word == "--quiet" || word == "-q");
    Term::new(format.unwrap_or_default(), color.unwrap_or_default(), quiet)
}

fn option(words: &[OsString], name: &str) -> Option<String> {
    let mut words = before_command(words);
    while let Some(word) = words.next() {
        let word = word.to_string_lossy();
        if word == name {
            return words
                .next()
                .map(|value| value.to_string_lossy().into_owned());
        }
        if let Some(value) = word
            .strip_prefix(name)
            .and_then(|rest| rest.strip_prefix('='))
        {
            return Some(value.to_owned());
        }
    }
    None
}

// What stands behind `--` belongs to the command of a step.
fn before_command(words: &[OsString]) -> impl Iterator<Item = &OsString> {
    words.iter().skip(1).take_while(|word| *word != "--")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(words: &[&str]) -> serde_json::Value {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        let error = args::command().try_get_matches_from(&words).unwrap_err();
        usage(&error, &words).to_json()
    }

    #[test]
    fn a_usage_error_has_the_parts_of_any_other() {
        let typo = failure(&["custos", "verfy", "x"]);
        assert_eq!(typo["code"], "E0002");
        assert_eq!(typo["what"], "unrecognized subcommand 'verfy'");
        assert!(typo["help"][0].as_str().unwrap().contains("'verify'"));
        let missing = failure(&["custos", "verify"]);
        assert_eq!(missing["why"][0], "<ARTIFACT>");
        assert!(missing["help"].to_string().contains("custos verify --help"));
        let run = failure(&["custos", "run", "--name", "x", "--product", "y", "true"]);
        assert!(run["help"].to_string().contains("behind `--`"));
    }

    #[test]
    fn the_format_is_found_in_front_of_the_steps_command_only() {
        let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        assert_eq!(
            option(&words("custos --format json x"), "--format").unwrap(),
            "json"
        );
        assert_eq!(
            option(&words("custos x --format=json"), "--format").unwrap(),
            "json"
        );
        assert_eq!(
            option(&words("custos run -- x --format json"), "--format"),
            None
        );
    }
}
