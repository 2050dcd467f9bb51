//! What a configuration asks a loader to find, import, decode, read or fetch.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::GeneralPurpose;
use base64::engine::{DecodePaddingMode, GeneralPurposeConfig};
use custos_core::finding::{Confidence, Finding, Location, Severity};

use super::names::{self, Standing};
use super::{Home, marshal};
use crate::rules::{self, Rule};
use crate::text::document::{Node, Value, push_key};
use crate::work::Look;

/// Longest text that is shown.
const SHOWN: usize = 300;
/// Longest texts are looked at for what people do not see.
const INSPECTED: usize = 8;

/// As Python decodes: what is no letter of it is left out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Returns true if a tree names classes and their values.
pub(super) fn is_model(root: &Node) -> bool {
    let mut todo = vec![root];
    while let Some(node) = todo.pop() {
        if node.get("class_name").is_some() && node.get("config").is_some() {
            return true;
        }
        todo.extend(node.items());
        todo.extend(node.entries().iter().map(|(_, node)| node));
    }
    false
}

/// A look at a configuration.
pub(super) struct Walk<'l, 'i, 'w, 's> {
    pub(super) look: &'l mut Look<'i, 'w, 's>,
    at: &'l Location,
    home: Home,
    // The part that is looked at.
    pointer: String,
    // Classes and functions of others that were told of.
    told: BTreeSet<String>,
}

impl<'l, 'i, 'w, 's> Walk<'l, 'i, 'w, 's> {
    pub(super) fn new(look: &'l mut Look<'i, 'w, 's>, at: &'l Location, home: Home) -> Self {
        Self {
            look,
            at,
            home,
            pointer: String::new(),
            told: BTreeSet::new(),
        }
    }

    /// Looks at all of a tree.
    pub(super) fn model(&mut self, root: &Node) {
        let mut todo = vec![(root, String::new())];
        while let Some((node, pointer)) = todo.pop() {
            self.pointer.clone_from(&pointer);
            // A key that is there twice has two values, and readers differ.
            for class in node.all("class_name").filter_map(Node::text) {
                self.object(class, node, root);
            }
            self.compiled(node);
            for (key, inner) in node.entries() {
                self.leaf(inner);
                if !inner.entries().is_empty() || !inner.items().is_empty() {
                    let mut pointer = pointer.clone();
                    push_key(&mut pointer, key);
                    todo.push((inner, pointer));
                }
            }
            for (index, inner) in node.items().iter().enumerate() {
                self.leaf(inner);
                if !inner.entries().is_empty() || !inner.items().is_empty() {
                    todo.push((inner, format!("{pointer}/{index}")));
                }
            }
        }
    }

    fn leaf(&mut self, value: &Node) {
        if let Some(text) = value.text().filter(|text| text.len() >= INSPECTED) {
            let at = self.place();
            crate::text::inspect(self.look, &at, text);
        }
    }

    fn object(&mut self, class: &str, object: &Node, root: &Node) {
        let empty = Node {
            place: object.place,
            value: Value::Null,
        };
        let config = object.get("config").unwrap_or(&empty);
        let text = |key: &str| object.get(key).and_then(Node::text);
        let module = text("module");
        let registered = text("registered_name");
        match class {
            "__lambda__" => self.lambda(code_of(config)),
            "function" => {
                let named = config.text().or(registered).unwrap_or_default();
                // Version 2 registers each of its functions as `function`.
                let registered = registered.filter(|name| *name != "function");
                self.named((module, named), registered, root);
            }
            "__typespec__" => {
                let name = text("spec_name").unwrap_or_default();
                if !module.is_some_and(|module| module.starts_with("tensorflow.")) {
                    self.named((module, name), registered, root);
                }
            }
            _ => self.named((module, class), registered, root),
        }
        let last = class.rsplit(['>', '.']).next().unwrap_or(class);
        if last == "Lambda" {
            self.lambda_layer(config, root);
        }
        if matches!(last, "TFOpLambda" | "ClassMethod" | "TensorFlowOpLayer") {
            self.operator_layer(config);
        }
        if last == "TorchModuleWrapper" {
            self.torch(config);
        }
        if let Some(path) = config.get("vocabulary").and_then(Node::text) {
            self.vocabulary(class, path);
        }
    }

    // Code in a configuration.
    pub(super) fn lambda(&mut self, code: Option<&str>) {
        let mut finding = self.finding(
            &rules::graphs::KERAS_LAMBDA,
            "a Lambda layer carries compiled Python code, which loading makes a function of".into(),
        );
        finding.cves.push("CVE-2024-3660".to_owned());
        if self.home == Home::Hdf5 {
            finding.cves.push("CVE-2025-9905".to_owned());
        }
        // What is not base64 is taken for the code itself.
        let function = code.and_then(|code| {
            let read = decode(code).and_then(|bytes| marshal::read(&bytes));
            read.or_else(|| marshal::read(&latin(code)))
        });
        if let Some(function) = function {
            let uses = function.names.iter().chain(&function.texts);
            let danger: Vec<&str> = uses
                .map(String::as_str)
                .filter(|name| names::is_code_danger(name))
                .collect();
            if !danger.is_empty() {
                finding.severity = Severity::Critical;
                finding.message = format!(
                    "a Lambda layer carries compiled Python code that uses {}",
                    list(&danger)
                );
            }
            let names: Vec<&str> = function.names.iter().map(String::as_str).collect();
            let texts: Vec<String> = function
                .texts
                .iter()
                .map(|text| format!("{text:?}"))
                .collect();
            let shown = format!("names: {}; texts: {}", names.join(", "), texts.join(", "));
            finding.evidence = Some(shorten(&shown));
        } else if let Some(code) = code {
            finding.evidence = Some(shorten(code));
        }
        self.look.work.find(finding);
    }

    /// A class or a function that the loader finds by name.
    pub(super) fn named(
        &mut self,
        (module, name): (Option<&str>, &str),
        registered: Option<&str>,
        root: &Node,
    ) {
        // Names of old configurations may hold the module.
        let (module, name) = match (module, name.rsplit_once('.')) {
            (None, Some((module, name))) => (module, name),
            (module, _) => (module.unwrap_or_default(), name),
        };
        let full = if module.is_empty() {
            name.to_owned()
        } else {
            format!("{module}.{name}")
        };
        if module.is_empty() || matches!(module, "builtins" | "__main__") {
            match names::standing(
                if module.is_empty() {
                    "__main__"
                } else {
                    module
                },
                name,
            ) {
                Standing::Danger(does, _) if !module.is_empty() => self.danger(&full, does),
                _ if names::is_gadget(name) => self.gadget(&full, name, root),
                _ => self.custom(registered.unwrap_or(name)),
            }
            return;
        }
        match names::standing(module, name) {
            Standing::Ordinary => {}
            Standing::Gadget => self.gadget(&full, name, root),
            Standing::Inner => {
                let message = format!("it names `{full}`, which is no part of a model");
                let mut finding = self.finding(&rules::graphs::KERAS_GADGET, message);
                finding.severity = Severity::Medium;
                finding.confidence = Confidence::Medium;
                self.look.work.find(finding);
            }
            Standing::Danger(does, _) => self.danger(&full, does),
            Standing::Standard => {
                let message = format!(
                    "it names `{full}` of Python's standard library, which loaders before 3.9 import"
                );
                let mut finding = self.finding(&rules::graphs::KERAS_MODULE, message);
                finding.severity = Severity::High;
                finding.cves.push("CVE-2025-1550".to_owned());
                finding.evidence = Some(shorten(&full));
                self.look.work.find(finding);
            }
            Standing::Custom => {
                let message = format!("it names `{full}`, which loaders before 3.9 import");
                let mut finding = self.finding(&rules::graphs::KERAS_MODULE, message);
                finding.confidence = Confidence::Medium;
                finding.evidence = Some(shorten(&full));
                self.look.work.find(finding);
            }
        }
    }

    pub(super) fn danger(&mut self, full: &str, does: &str) {
        let message =
            format!("it names `{full}`, which {does}: loaders before 3.9 import and call it");
        let mut finding = self.finding(&rules::graphs::KERAS_MODULE, message);
        finding.severity = Severity::Critical;
        finding.cves.push("CVE-2025-1550".to_owned());
        finding.evidence = Some(shorten(full));
        self.look.work.find(finding);
    }

    pub(super) fn gadget(&mut self, full: &str, name: &str, root: &Node) {
        if name.ends_with("enable_unsafe_deserialization") {
            let message =
                format!("it calls `{full}`, which allows code in what is loaded after it");
            let mut finding = self.finding(&rules::graphs::KERAS_UNSAFE, message);
            finding.cves.push("CVE-2025-9906".to_owned());
            self.look.work.find(finding);
            return;
        }
        let message = format!("it calls `{full}`, which reads, writes, fetches or loads");
        let mut finding = self.finding(&rules::graphs::KERAS_GADGET, message);
        if name.ends_with("get_file") {
            finding.severity = Severity::Critical;
            finding.cves.push("CVE-2025-8747".to_owned());
            let mut arguments = Vec::new();
            for key in ["origin", "fname", "cache_dir", "cache_subdir"] {
                if let Some(value) = find(root, key).and_then(Node::text) {
                    arguments.push(format!("{key}={value:?}"));
                }
            }
            let unpacks = ["extract", "untar"]
                .into_iter()
                .any(|key| find(root, key).is_some_and(Node::is_true));
            if unpacks {
                arguments.push("extract=True".to_owned());
                finding.cves.push("CVE-2025-12060".to_owned());
            }
            finding.evidence = Some(shorten(&format!("get_file({})", arguments.join(", "))));
        }
        self.look.work.find(finding);
    }

    // A class that only whoever made the model has: loading it asks for that program.
    pub(super) fn custom(&mut self, name: &str) {
        const TOLD: usize = 100;
        let own = match name.split_once('>') {
            Some((package, _)) => matches!(
                package,
                "keras" | "Keras" | "builtins" | "keras_hub" | "keras_cv" | "keras_nlp"
            ),
            None => name.is_empty() || name.starts_with("__") || names::is_own(name),
        };
        if own || self.told.len() >= TOLD || !self.told.insert(name.to_owned()) {
            return;
        }
        let message = format!("loading it needs the class or function `{}`", shorten(name));
        let finding = self.finding(&rules::graphs::KERAS_CUSTOM, message);
        self.look.work.find(finding);
    }

    // A layer around a module of PyTorch, which is a pickle.
    fn torch(&mut self, config: &Node) {
        let message = "a layer wraps a PyTorch module, which is a pickle in base64".to_owned();
        let mut finding = self.finding(&rules::graphs::KERAS_TORCH, message);
        finding.cves.push("CVE-2025-49655".to_owned());
        self.look.work.find(finding);
        let module = config.get("module");
        let code = module.and_then(|module| {
            module
                .text()
                .or_else(|| module.get("config")?.get("value")?.text())
        });
        let Some(bytes) = code.and_then(decode) else {
            self.look
                .gap("the module of PyTorch in a layer is not read");
            return;
        };
        let name = format!("{}/module", self.pointer.trim_start_matches('/'));
        // The outcome of a limit is noted where it fired.
        let _ = self.look.member(&name, &bytes);
    }

    // A list of words that is a file somewhere.
    fn vocabulary(&mut self, class: &str, path: &str) {
        let leads_out =
            crate::archive::zip::leads_out(path) || path.contains("://") || path.starts_with('~');
        let message = format!("`{class}` reads its vocabulary from the file `{path}`");
        let mut finding = self.finding(&rules::graphs::KERAS_VOCABULARY, message);
        if leads_out {
            finding.cves.push("CVE-2025-12058".to_owned());
        } else {
            finding.severity = Severity::Low;
        }
        finding.evidence = Some(shorten(path));
        self.look.work.find(finding);
    }

    pub(super) fn finding(&self, rule: &'static Rule, message: String) -> Finding {
        rule.finding(self.place(), message)
    }

    fn place(&self) -> Location {
        let outer = self.at.pointer.as_deref().unwrap_or_default();
        Location {
            pointer: Some(format!("{outer}{}", self.pointer)),
            ..self.at.clone()
        }
    }
}

// The code of a function: in one of the forms that versions wrote.
fn code_of(config: &Node) -> Option<&str> {
    if let Some(code) = config.get("code") {
        return code
            .text()
            .or_else(|| code.get("config")?.get("value")?.text());
    }
    let value = config.get("value").unwrap_or(config);
    value.text().or_else(|| value.items().first()?.text())
}

// What a key has anywhere in a tree.
fn find<'j>(root: &'j Node, wanted: &str) -> Option<&'j Node> {
    let mut todo = vec![root];
    while let Some(node) = todo.pop() {
        if let Some(found) = node.get(wanted) {
            return Some(found);
        }
        todo.extend(node.items());
        todo.extend(node.entries().iter().map(|(_, node)| node));
    }
    None
}

fn decode(code: &str) -> Option<Vec<u8>> {
    let letters: Vec<u8> = code
        .bytes()
        .filter(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
        .collect();
    BASE64.decode(letters).ok()
}

fn latin(code: &str) -> Vec<u8> {
    code.chars()
        .filter_map(|one| u8::try_from(u32::from(one)).ok())
        .collect()
}

fn list(names: &[&str]) -> String {
    let quoted: Vec<String> = names
        .iter()
        .take(8)
        .map(|name| format!("`{name}`"))
        .collect();
    quoted.join(", ")
}

pub(super) fn shorten(text: &str) -> String {
    if text.chars().count() <= SHOWN {
        return text.to_owned();
    }
    let kept: String = text.chars().take(SHOWN).collect();
    format!("{kept}…")
}
