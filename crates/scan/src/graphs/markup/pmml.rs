//! PMML (Data Mining Group, 4.4): models of statistics in XML.
//!
//! What it can do is what its elements say. What it should not do comes in by the side: entities
//! (told by the reader of XML), tables elsewhere, functions that an engine looks up as a class of
//! Java, and extensions, which may hold anything.

use custos_core::finding::Severity;

use super::{examine, has_root};
use crate::route::Format;
use crate::rules::{self, Rule};
use crate::text;
use crate::wire::xml::{Element, Visitor};
use crate::work::Look;

pub(in crate::graphs) const FORMAT: Format = Format {
    name: "pmml",
    extensions: &["pmml"],
    recognises: |head, _| has_root(head, "PMML"),
    examine: |look| examine(look, &mut Pmml::default()),
};

/// Words that programs begin with, and models have no use for.
const CODE: [&str; 20] = [
    "__import__",
    "<script",
    "activexobject",
    "base64 -d",
    "cmd.exe",
    "cmd /c",
    "curl http",
    "eval(",
    "exec(",
    "getruntime",
    "java.lang.runtime",
    "javascript:",
    "os.system",
    "/bin/bash",
    "/bin/sh",
    "powershell",
    "processbuilder",
    "scriptengine",
    "subprocess",
    "wget http",
];
/// Most instances of one kind that are told.
const TOLD: usize = 10;

/// A model at work.
#[derive(Default)]
pub(super) struct Pmml {
    functions: Vec<String>,
    extensions: usize,
    tables: usize,
}

impl Visitor for Pmml {
    fn broken(&self) -> Option<&'static Rule> {
        Some(&rules::graphs::PMML_BROKEN)
    }

    fn start(&mut self, look: &mut Look<'_, '_, '_>, element: &Element<'_>) {
        match element.name() {
            "Apply" => self.function(look, element),
            "TableLocator" => {
                self.tables = self.tables.saturating_add(1);
                if self.tables <= TOLD {
                    let message = "a table of the model is somewhere else".to_owned();
                    let place = element.place(look);
                    look.work.see(&rules::graphs::PMML_EXTERNAL, place, message);
                }
            }
            _ => {}
        }
        if is_extension(element) {
            for (_, value) in element.attributes {
                self.extension(look, element, value);
            }
            if element.name().eq_ignore_ascii_case("script") {
                let message = "an extension of the model holds a script".to_owned();
                self.tell(look, element, (message, Severity::Medium));
            }
        }
    }

    fn text(&mut self, look: &mut Look<'_, '_, '_>, element: &Element<'_>, said: &str) {
        if is_extension(element) {
            self.extension(look, element, said);
        }
        if matches!(
            element.names.get(1).map(String::as_str),
            Some("Header" | "Extension")
        ) {
            let place = element.place(look);
            text::inspect(look, &place, said);
        }
    }
}

impl Pmml {
    // A function that is no word is the name of a class.
    fn function(&mut self, look: &mut Look<'_, '_, '_>, element: &Element<'_>) {
        let Some(name) = element.attribute("function") else {
            return;
        };
        let is_class = name.contains('.') && !name.contains(' ');
        if !is_class || self.functions.len() >= TOLD || self.functions.iter().any(|one| one == name)
        {
            return;
        }
        self.functions.push(name.to_owned());
        let shown: String = name.chars().take(200).collect();
        let message = format!("the model applies `{shown}`, which engines load as a class");
        let place = element.place(look);
        let mut finding = rules::graphs::PMML_FUNCTION.finding(place, message);
        let lower = name.to_ascii_lowercase();
        let known = ["java.", "javax.", "sun.", "jdk.", "groovy.", "javassist."];
        if known.iter().any(|prefix| lower.starts_with(prefix)) {
            finding.severity = Severity::High;
        }
        look.work.find(finding);
    }

    fn extension(&mut self, look: &mut Look<'_, '_, '_>, element: &Element<'_>, said: &str) {
        let lower = said.to_ascii_lowercase();
        let signs: Vec<&str> = CODE
            .into_iter()
            .filter(|word| lower.contains(word))
            .collect();
        let in_script = element
            .names
            .iter()
            .any(|name| name.eq_ignore_ascii_case("script"));
        if signs.is_empty() {
            return;
        }
        let severity = if signs.len() > 1 || in_script {
            Severity::High
        } else {
            Severity::Medium
        };
        let message = format!(
            "an extension of the model holds what looks like a program: {}",
            signs.join(", ")
        );
        self.tell(look, element, (message, severity));
    }

    fn tell(
        &mut self,
        look: &mut Look<'_, '_, '_>,
        element: &Element<'_>,
        (message, severity): (String, Severity),
    ) {
        self.extensions = self.extensions.saturating_add(1);
        if self.extensions > TOLD {
            return;
        }
        let mut finding = rules::graphs::PMML_EXTENSION.finding(element.place(look), message);
        finding.severity = severity;
        look.work.find(finding);
    }
}

fn is_extension(element: &Element<'_>) -> bool {
    element.names.iter().any(|name| name == "Extension")
}
