//! Code that comes with a model, or from another repository, when a loader is told to trust it.
//!
//! `transformers` takes classes from what `auto_map` names if the caller passes
//! `trust_remote_code=True`: from a file beside the configuration, which is looked at like any file,
//! or from another repository (`owner/name--module.Class`), which is not here. The caller's word
//! decides, and not that of the configuration; where a loader takes the configuration's, that is a
//! finding of its own.

use custos_core::finding::Severity;

use super::super::document::{Node, Trail, Value};
use super::super::{shell, shortened};
use super::Judge;
use crate::archive::zip;
use crate::neighbours::Neighbour;
use crate::rules;

/// Returns true if a program may run what stands under this key.
pub(super) fn is_command(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    matches!(key.as_str(), "command" | "cmd" | "entrypoint")
        || key.ends_with("_command")
        || key.ends_with("_cmd")
}

/// Where `auto_map` takes a class from.
struct Source<'n> {
    /// `owner/name`, if it is another repository.
    repository: Option<&'n str>,
    /// The file, without its extension.
    module: &'n str,
}

impl<'n> Source<'n> {
    fn of(name: &'n str) -> Self {
        let (repository, class) = match name.rsplit_once("--") {
            Some((repository, class)) => (Some(repository), class),
            None => (None, name),
        };
        let module = class.rsplit_once('.').map_or(class, |(module, _)| module);
        Self { repository, module }
    }

    fn leads_out(&self) -> bool {
        zip::leads_out(self.module) || self.module.contains(['/', '\\', ':'])
    }
}

// Names of classes, one by one or as a slow and a fast one.
fn classes(map: &Node) -> impl Iterator<Item = &str> {
    let values = map.entries().iter().map(|(_, value)| value);
    values.flat_map(|value| {
        let single = std::slice::from_ref(value);
        let items = if value.items().is_empty() {
            single
        } else {
            value.items()
        };
        items.iter().filter_map(Node::text)
    })
}

impl Judge<'_, '_, '_, '_> {
    pub(super) fn auto_map(&mut self, at: (&Trail<'_>, &Node)) {
        let rule = &rules::text::CONFIG_REMOTE_CODE;
        let mut told = Vec::new();
        for name in classes(at.1) {
            let source = Source::of(name);
            if source.leads_out() {
                let message = format!("`auto_map` leads out of the model: `{}`", shortened(name));
                self.see(rule, at, (message, Severity::High));
                continue;
            }
            let from = source.repository.unwrap_or(source.module);
            if told.contains(&from) {
                continue;
            }
            told.push(from);
            let shown = shortened(from);
            if source.repository.is_some() {
                let message = format!("`auto_map` takes code from another repository, `{shown}`");
                self.see(rule, at, (message, Severity::Medium));
                // What runs is not part of what was looked at.
                self.look.gap(format!(
                    "the code of `{shown}` is not here, and was not looked at"
                ));
                continue;
            }
            let message = format!(
                "`auto_map` takes classes from `{shown}.py`, which runs if remote code is trusted"
            );
            self.see(rule, at, (message, Severity::Medium));
            let file = format!("{}.py", source.module.replace('.', "/"));
            if self.look.work.neighbour(&file) == Some(Neighbour::Missing) {
                self.look.gap(format!(
                    "the code `{shown}.py` is not here, and was not looked at"
                ));
            }
        }
    }

    // Code from elsewhere, and the word of the configuration that it may run: whoever takes that word
    // runs what the owner of the other repository has put there by then.
    pub(super) fn trusted_map(&mut self, trail: &Trail<'_>, node: &Node) {
        let elsewhere = node
            .all("auto_map")
            .flat_map(classes)
            .find_map(|name| Source::of(name).repository);
        if let Some(repository) = elsewhere {
            let message = format!(
                "the configuration asks for code of another repository, `{}`, to be trusted",
                shortened(repository)
            );
            let rule = &rules::text::CONFIG_REMOTE_CODE;
            self.see(rule, (trail, node), (message, Severity::High));
        }
    }

    // NeMo hands the whole of `hf_data_cfg` to `datasets.load_dataset`.
    pub(super) fn trust(&mut self, (trail, node): (&Trail<'_>, &Node)) {
        let pointer = trail.pointer();
        if pointer.split('/').any(|key| key == "hf_data_cfg") {
            let message = "the configuration of a dataset trusts remote code by itself".to_owned();
            let rule = &rules::text::CONFIG_TRUST_HONOURED;
            return self.see(rule, (trail, node), (message, Severity::High));
        }
        let message = "the configuration asks for code of the repository to be trusted".to_owned();
        let rule = &rules::text::CONFIG_REMOTE_CODE;
        self.see(rule, (trail, node), (message, Severity::Medium));
    }

    pub(super) fn light_glue(&mut self, trail: &Trail<'_>, node: &Node) {
        let lightglue = |key: &str| {
            let value = node.get(key).and_then(Node::text);
            value.is_some_and(|text| text.to_ascii_lowercase().contains("lightglue"))
        };
        if (lightglue("model_type") || node.get("keypoint_detector_config").is_some())
            && trusts(node)
        {
            let message = "a configuration of LightGlue trusts remote code by itself".to_owned();
            self.see_cve(
                &rules::text::CONFIG_TRUST_HONOURED,
                (trail, node),
                (message, Severity::High, Some("CVE-2026-5241")),
            );
        }
    }

    // A line for a shell, or the words of one.
    pub(super) fn command(&mut self, (trail, node): (&Trail<'_>, &Node)) {
        let words: Vec<&str> = node.items().iter().filter_map(Node::text).collect();
        let line = node.text().map_or_else(|| words.join(" "), str::to_owned);
        if !line.is_empty() {
            let at = self.at(trail, node);
            shell::examine(self.look, &at, &line);
        }
    }

    pub(super) fn custom(&mut self, key: &str, (trail, node): (&Trail<'_>, &Node)) {
        if matches!(node.value, Value::Null | Value::Bool(false)) {
            return;
        }
        let message = format!("`{key}` names code that is loaded with the model");
        self.see(
            &rules::text::CONFIG_REMOTE_CODE,
            (trail, node),
            (message, Severity::Medium),
        );
    }

    // The name of a repository here made transformers fetch and run a kernel.
    pub(super) fn attention(&mut self, key: &str, trail: &Trail<'_>, node: &Node) {
        let single = [node];
        let nested: Vec<&Node> = node.entries().iter().map(|(_, node)| node).collect();
        let values = if nested.is_empty() {
            &single[..]
        } else {
            &nested
        };
        for value in values {
            let Some(name) = value.text() else { continue };
            if !name.contains(['/', ':', '\\']) {
                continue;
            }
            let internal = key == "_attn_implementation_internal";
            let message = format!(
                "`{key}` makes the loader fetch and run the kernel `{}`",
                shortened(name)
            );
            let how = if internal {
                (Severity::Critical, Some("CVE-2026-4372"))
            } else {
                (Severity::Medium, None)
            };
            self.see_cve(
                &rules::text::CONFIG_KERNEL,
                (trail, value),
                (message, how.0, how.1),
            );
        }
    }

    pub(super) fn class_name(&mut self, trail: &Trail<'_>, node: &Node) {
        if let [module, _, ..] = node.items()
            && let Some(module) = module.text()
        {
            let message = format!(
                "the pipeline is the class of a file of the model, `{}`",
                shortened(module)
            );
            self.see(
                &rules::text::CONFIG_REMOTE_CODE,
                (trail, node),
                (message, Severity::Medium),
            );
        }
    }
}

// Whether it, or what is directly in it, trusts remote code.
fn trusts(node: &Node) -> bool {
    let here = |node: &Node| node.get("trust_remote_code").is_some_and(Node::is_true);
    here(node) || node.entries().iter().any(|(_, inner)| here(inner))
}
