//! Layers that are a function, and names that a model is compiled with.
//!
//! What loaders do with them was tried with Keras 2 and 3. A Lambda layer whose function is an object
//! of code is run by both. One whose function is a name is looked up: version 2 does so among what
//! the named module has, version 3 among what is registered. One whose function is the text of a
//! program, or is missing, is refused by both; yet no model has such a layer for a purpose of its own,
//! and what is made of the text by other readers, nobody knows.

use custos_core::finding::{Confidence, Severity};

use super::config::{Walk, shorten};
use super::names::{self, Standing};
use crate::graphs::lists;
use crate::rules;
use crate::text::document::{Node, Value};

/// What a training configuration names losses and metrics under.
const COMPILED: [&str; 3] = ["loss", "metrics", "weighted_metrics"];
/// Most names of one key that are looked at.
const MAX_NAMES: usize = 1_000;

impl Walk<'_, '_, '_, '_> {
    /// The layer of version 2: its functions are lists of code, or names.
    pub(super) fn lambda_layer(&mut self, config: &Node, root: &Node) {
        for key in ["function", "output_shape", "mask"] {
            let kind = config.get(&format!("{key}_type")).and_then(Node::text);
            // Saved models of TensorFlow write a tuple as an object with items.
            let value = config.get(key);
            let value = value.map(|value| value.get("items").unwrap_or(value));
            match value.map(|node| &node.value) {
                Some(Value::Array(items)) if key == "function" || kind == Some("lambda") => {
                    self.lambda(items.first().and_then(Node::text));
                }
                Some(Value::Text(text)) if kind == Some("lambda") => self.lambda(Some(text)),
                Some(Value::Text(name)) if key == "function" || kind == Some("function") => {
                    let module = if key == "function" {
                        "module"
                    } else {
                        &format!("{key}_module")
                    };
                    let module = config.get(module).and_then(Node::text);
                    self.lambda_of((module, name), root);
                }
                // An object names a function, or holds code: it is walked as any other is.
                Some(Value::Object(_)) => {
                    let text = |key: &str| value.and_then(|value| value.get(key)?.text());
                    // What is registered, the program that loads the model has brought along.
                    let registered = text("registered_name").is_some_and(|name| name.contains('>'));
                    if text("class_name") == Some("function") && !registered {
                        self.foreign(text("module"), text("config").unwrap_or_default());
                    }
                }
                _ if key == "function" => {
                    let message = "a Lambda layer does not say which function it is";
                    self.doubtful(message.to_owned(), None);
                }
                _ => {}
            }
        }
    }

    // A function by its name, or by the text of its program.
    fn lambda_of(&mut self, (module, name): (Option<&str>, &str), root: &Node) {
        if name.contains([' ', '(', ':', '=', '\n']) {
            let words = name.split(|one: char| !one.is_alphanumeric() && one != '_');
            let danger = words.into_iter().find(|word| names::is_code_danger(word));
            let message = match danger {
                Some(word) => {
                    format!("a Lambda layer carries the text of a program that uses `{word}`")
                }
                None => "a Lambda layer carries the text of a program".to_owned(),
            };
            self.doubtful(message, Some(name));
            return;
        }
        if module.is_none_or(str::is_empty) && names::is_own(name) {
            return;
        }
        if module.is_some_and(names::is_computing) && !names::is_code_danger(name) {
            return;
        }
        self.named((module, name), None, root);
        self.foreign(module, name);
    }

    // A function that is not of Keras: what it does is not in the file.
    fn foreign(&mut self, module: Option<&str>, name: &str) {
        let module = module.filter(|module| !module.is_empty());
        if module.is_some_and(names::is_computing) || module.is_none() && names::is_own(name) {
            return;
        }
        let standing = names::standing(module.unwrap_or("__main__"), name);
        if standing == Standing::Custom && !(module == Some("builtins") && names::is_own(name)) {
            let of = match module {
                Some(module) => format!("`{name}` of `{module}`"),
                None => format!("`{name}`"),
            };
            let message = format!("a Lambda layer calls {of}, which is not in the model");
            let mut finding = self.finding(&rules::graphs::KERAS_LAMBDA, message);
            finding.severity = Severity::Medium;
            finding.confidence = Confidence::Medium;
            finding.evidence = Some(shorten(name));
            self.look.work.find(finding);
        }
    }

    fn doubtful(&mut self, message: String, evidence: Option<&str>) {
        let mut finding = self.finding(&rules::graphs::KERAS_LAMBDA, message);
        finding.confidence = Confidence::Medium;
        finding.evidence = evidence.map(shorten);
        self.look.work.find(finding);
    }

    /// A layer that calls a function which TensorFlow exports, by its name there: such names are
    /// those of functions that fetch and write as well.
    pub(super) fn operator_layer(&mut self, config: &Node) {
        let symbol = ["function", "symbol", "class_symbol", "cls_symbol"]
            .into_iter()
            .find_map(|key| config.get(key).and_then(Node::text));
        let Some(symbol) = symbol else { return };
        let last = symbol.rsplit('.').next().unwrap_or(symbol);
        if names::is_gadget(last) {
            self.gadget(symbol, last, config);
        } else if let Some(effect) = lists::tensorflow(last) {
            let message = format!(
                "a layer calls `{symbol}` of TensorFlow, which {}",
                effect.why
            );
            let mut finding = self.finding(&rules::graphs::TENSORFLOW_OPERATOR, message);
            finding.severity = effect.severity;
            self.look.work.find(finding);
        } else if names::is_code_danger(last) {
            let message = format!(
                "a layer calls `{symbol}` of TensorFlow, which reads, writes or runs what is outside \
                 of the model"
            );
            let mut finding = self.finding(&rules::graphs::TENSORFLOW_OPERATOR, message);
            finding.evidence = Some(shorten(symbol));
            self.look.work.find(finding);
        }
    }

    /// Losses and metrics that are named: loaders know their own, and ask for all others.
    pub(super) fn compiled(&mut self, node: &Node) {
        if node.get("optimizer_config").is_none() && node.get("optimizer").is_none() {
            return;
        }
        for key in COMPILED {
            let mut todo: Vec<&Node> = node.get(key).into_iter().collect();
            let mut seen = 0_usize;
            while let Some(value) = todo.pop() {
                seen = seen.saturating_add(1);
                if seen > MAX_NAMES {
                    break;
                }
                if let Some(name) = value.text() {
                    self.custom(name);
                } else if value.get("class_name").is_none() {
                    todo.extend(value.items());
                    todo.extend(value.entries().iter().map(|(_, inner)| inner));
                }
            }
        }
    }
}
