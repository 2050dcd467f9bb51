//! Failures as people see them: a stable code, what, where, why, and what to do next.

use serde_json::{Value, json};

use crate::exit::Exit;
use crate::term::{Role, fold, visible};

/// Why a command did not end with yes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    code: &'static str,
    exit: Exit,
    what: String,
    place: Option<String>,
    why: Vec<String>,
    help: Vec<String>,
    checks: Value,
}

impl Failure {
    /// Returns a failure with a code of `codes::TABLE`.
    pub fn new(code: &'static str, exit: Exit, what: impl Into<String>) -> Self {
        Self {
            code,
            exit,
            what: what.into(),
            place: None,
            why: Vec::new(),
            help: Vec::new(),
            checks: Value::Null,
        }
    }

    /// The command line or the settings are wrong.
    pub fn usage(code: &'static str, what: impl Into<String>) -> Self {
        Self::new(code, Exit::Usage, what)
    }

    /// The answer is no.
    pub fn no(code: &'static str, what: impl Into<String>) -> Self {
        Self::new(code, Exit::No, what)
    }

    /// The question could not be decided.
    pub fn undecided(code: &'static str, what: impl Into<String>) -> Self {
        Self::new(code, Exit::Undecided, what)
    }

    /// A file or stream could not be read or written.
    pub fn io(place: impl Into<String>, error: &std::io::Error) -> Self {
        use std::io::ErrorKind;
        let place = place.into();
        let failure = match error.kind() {
            ErrorKind::NotFound => {
                return Self::usage("E0003", "there is no such file or folder").at(place);
            }
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                Self::undecided("E0005", "the disk is full")
                    .help("nothing that was acknowledged is lost; free some space and run it again")
            }
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                Self::undecided("E0004", "the file or folder cannot be accessed")
            }
            _ => Self::undecided("E0004", "reading or writing failed"),
        };
        failure.at(place).because(error.to_string())
    }

    /// Something that should never happen did.
    pub fn internal(detail: &str) -> Self {
        Self::undecided("E0001", "an internal rule of Custos was broken").because(detail)
    }

    /// Adds where: a file, and perhaps a place in it.
    pub fn at(self, place: impl Into<String>) -> Self {
        Self {
            place: Some(place.into()),
            ..self
        }
    }

    /// Adds a reason.
    pub fn because(mut self, why: impl Into<String>) -> Self {
        self.why.push(why.into());
        self
    }

    /// Adds advice.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    /// Adds the list of checks that the answer rests on; shown in JSON, where nothing else is.
    pub fn with_checks(self, checks: Value) -> Self {
        Self { checks, ..self }
    }

    /// Returns the stable code.
    #[cfg(test)]
    pub const fn code(&self) -> &'static str {
        self.code
    }

    /// Returns how the process ends.
    pub const fn exit(&self) -> Exit {
        self.exit
    }

    /// Returns what went wrong, in one line.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// Returns the reasons.
    pub fn reasons(&self) -> &[String] {
        &self.why
    }

    /// Returns where it went wrong, if that is a place.
    pub fn place(&self) -> Option<&str> {
        self.place.as_deref()
    }

    /// Returns the four-part text, folded to `width`; `paint` colours a piece for its role.
    pub fn render(&self, width: Option<usize>, paint: &dyn Fn(Role, &str) -> String) -> String {
        let mut text = format!(
            "{}: {}\n",
            paint(Role::Bad, &format!("error[{}]", self.code)),
            paint(Role::Strong, &visible(&self.what))
        );
        if let Some(place) = &self.place {
            text.push_str(&format!(
                "   {} {}\n",
                paint(Role::Literal, "-->"),
                visible(place)
            ));
        }
        for line in self.why.iter().flat_map(|why| why.lines()) {
            text.push_str(&fold(&format!("   {}\n", visible(line)), width, 5));
        }
        let mut label = "help: ";
        for line in self.help.iter().flat_map(|help| help.lines()) {
            let head = if label.trim().is_empty() {
                label.to_owned()
            } else {
                format!("{} ", paint(Role::Literal, "help:"))
            };
            // Folded behind a head of the same width, whatever its colour takes.
            let folded = fold(&format!("      {}\n", visible(line)), width, 6);
            text.push_str(&head);
            text.push_str(folded.get(6..).unwrap_or_default());
            label = "      ";
        }
        text
    }

    /// Returns the JSON form, schema `custos.error/1`.
    pub fn to_json(&self) -> Value {
        let mut document = json!({
            "schema": "custos.error/1",
            "code": self.code,
            "exit": self.exit.code(),
            "what": self.what,
            "where": self.place,
            "why": self.why,
            "help": self.help,
        });
        if let (Some(document), false) = (document.as_object_mut(), self.checks.is_null()) {
            document.insert("checks".to_owned(), self.checks.clone());
        }
        document
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_four_parts_and_no_escapes_from_outside() {
        let failure = Failure::no("E0107", "the entry is not bound")
            .at("bundle.json: tlogEntries[0]")
            .because("it commits to \u{1b}[2Jsha256:77")
            .help("run this")
            .help("or that");
        assert_eq!(
            failure.render(None, &|_, text| text.to_owned()),
            "error[E0107]: the entry is not bound\n   --> bundle.json: tlogEntries[0]\n   \
             it commits to \u{fffd}[2Jsha256:77\nhelp: run this\n      or that\n"
        );
        assert_eq!(failure.to_json()["exit"], 1);
    }
}
