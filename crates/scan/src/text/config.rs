//! Configurations: what their keys make a program load, call or fetch.
//!
//! A key counts wherever it stands: loaders merge files, read nested sections, and look under names
//! of their own. What a value says in words is no matter here.

mod code;
mod targets;

use custos_core::finding::{Location, Severity};

use crate::archive::zip;
use crate::rules::{self, Rule};
use crate::work::Look;

use super::document::{Document, Node, Trail, Value};
use super::{shortened, template};

pub(super) use targets::DATA;
use targets::Standing;

/// Most findings of one document.
const MAX_TOLD: usize = 200;
/// Deepest value below a target whose texts are looked at as its arguments.
const MAX_ARGUMENTS: usize = 1_000;

/// Looks at the keys of a document.
pub(super) fn judge(look: &mut Look<'_, '_, '_>, document: &Document) {
    let mut judge = Judge {
        look,
        told: 0,
        addresses: Vec::new(),
        address_count: 0,
    };
    for repeated in &document.repeated {
        let location = Location {
            offset: Some(repeated.place.offset),
            line: Some(repeated.place.line),
            pointer: Some(repeated.pointer.clone()),
            ..judge.look.here()
        };
        let finding = rules::text::CONFIG_REPEATED.finding(
            location,
            format!("the key `{}` is there twice", shortened(&repeated.pointer)),
        );
        judge.find(finding);
    }
    document
        .root
        .walk(&mut |trail, node| judge.node(trail, node));
    judge.root(&document.root);
    judge.tell_addresses();
}

struct Judge<'l, 'i, 'w, 's> {
    look: &'l mut Look<'i, 'w, 's>,
    told: usize,
    addresses: Vec<String>,
    address_count: usize,
}

impl Judge<'_, '_, '_, '_> {
    fn find(&mut self, finding: custos_core::finding::Finding) {
        self.told = self.told.saturating_add(1);
        if self.told <= MAX_TOLD {
            self.look.work.find(finding);
        } else {
            self.look
                .gap("more was seen in a configuration than is kept");
        }
    }

    fn at(&self, trail: &Trail<'_>, node: &Node) -> Location {
        Location {
            offset: Some(node.place.offset),
            line: Some(node.place.line),
            pointer: Some(trail.pointer()),
            ..self.look.here()
        }
    }

    fn see(
        &mut self,
        rule: &'static Rule,
        at: (&Trail<'_>, &Node),
        (message, severity): (String, Severity),
    ) {
        self.see_cve(rule, at, (message, severity, None));
    }

    fn see_cve(
        &mut self,
        rule: &'static Rule,
        (trail, node): (&Trail<'_>, &Node),
        (message, severity, cve): (String, Severity, Option<&str>),
    ) {
        let mut finding = rule.finding(self.at(trail, node), message);
        finding.severity = severity;
        finding.evidence = Some(shown(node));
        finding.cves.extend(cve.map(str::to_owned));
        self.find(finding);
    }

    fn node(&mut self, trail: &Trail<'_>, node: &Node) {
        if let Some(text) = node.text() {
            self.address(text);
        }
        if let Value::Object(entries) = &node.value {
            self.object(trail, node, entries);
        }
        let Some(key) = trail.key() else { return };
        match key {
            "auto_map" => self.auto_map((trail, node)),
            "trust_remote_code" if node.is_true() => self.trust((trail, node)),
            "custom_pipeline" | "custom_pipelines" | "custom_generate" | "custom_code" => {
                self.custom(key, (trail, node));
            }
            "_attn_implementation_internal" | "_attn_implementation" | "attn_implementation" => {
                self.attention(key, trail, node);
            }
            "chat_template" | "chat_templates" | "tokenizer.chat_template" => {
                self.templates(trail, node);
            }
            "dependencies" | "build_dependencies" | "pip" | "pip_requirements" => {
                self.dependencies(trail, node);
            }
            "_class_name" => self.class_name(trail, node),
            key if code::is_command(key) => self.command((trail, node)),
            "loader_module" => self.named((trail, node), "the loader module"),
            "class_path" | "()" | "registry_store_type" => self.target(trail, node),
            "py/reduce" | "py/repr" | "py/object" | "py/type" | "py/function" => {
                self.json_pickle(key, (trail, node));
            }
            key if key.ends_with("_template") || key.ends_with("prompt") => {
                self.templates(trail, node);
            }
            _ => {}
        }
    }

    // What more than one key says.
    fn object(&mut self, trail: &Trail<'_>, node: &Node, entries: &[(String, Node)]) {
        for (key, value) in entries {
            let targets = key == "_target_" || key == "target" && node.get("params").is_some();
            if targets {
                self.target_of((trail, value), node);
            }
        }
        if node.get("peft_type").is_some() {
            self.adapter(trail, node);
        }
        let parts = (node.get("idx"), node.get("path"), node.get("type"));
        if let (Some(_), Some(path), Some(kind)) = parts {
            self.module(trail, path, kind);
        }
        self.light_glue(trail, node);
        if node.get("auto_map").is_some()
            && node.get("trust_remote_code").is_some_and(Node::is_true)
        {
            self.trusted_map(trail, node);
        }
    }

    // A text, or texts by name, or a list of names and texts.
    fn templates(&mut self, trail: &Trail<'_>, node: &Node) {
        let at = self.at(trail, node);
        let sure = trail.key().is_some_and(|key| key.contains("chat_template"));
        let mut examine = |source: &str| {
            if sure {
                template::examine(self.look, &at, source);
            } else {
                template::examine_doubtful(self.look, &at, source);
            }
        };
        if let Some(source) = node.text() {
            examine(source);
        }
        for (_, value) in node.entries() {
            value.text().into_iter().for_each(&mut examine);
        }
        for item in node.items() {
            let inner = item.get("template").or(Some(item));
            inner
                .and_then(Node::text)
                .into_iter()
                .for_each(&mut examine);
        }
    }

    fn adapter(&mut self, trail: &Trail<'_>, node: &Node) {
        if let Some(base) = node.get("base_model_name_or_path")
            && let Some(name) = base.text()
        {
            let lower = name.to_ascii_lowercase();
            let remote = lower.contains("://") || name.starts_with("\\\\");
            let severity = if remote {
                Severity::Medium
            } else {
                Severity::Low
            };
            if remote || zip::leads_out(name) {
                let message = format!(
                    "the adapter takes its base model from `{}`",
                    shortened(name)
                );
                self.see(
                    &rules::text::CONFIG_BASE_MODEL,
                    (trail, base),
                    (message, severity),
                );
            }
        }
        let library = node
            .get("auto_mapping")
            .and_then(|mapping| mapping.get("parent_library"));
        if let Some(library) = library {
            self.named((trail, library), "the library that the adapter imports");
        }
    }

    // A module that is imported by its name.
    fn named(&mut self, (trail, node): (&Trail<'_>, &Node), what: &str) {
        const KNOWN: [&str; 9] = [
            "mlflow",
            "transformers",
            "diffusers",
            "peft",
            "sentence_transformers",
            "torch.nn",
            "timm",
            "torchvision",
            "open_clip",
        ];
        let Some(name) = node.text() else { return };
        if let Some(does) = super::danger(name, "") {
            let message = format!("{what} is `{}`, which {does}", shortened(name));
            return self.see(
                &rules::text::CONFIG_TARGET,
                (trail, node),
                (message, Severity::Critical),
            );
        }
        let package = |known: &str| {
            let below = name.strip_prefix(known);
            below.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        if !KNOWN.iter().any(|known| package(known)) {
            let message = format!("{what} is `{}`, which is on no list", shortened(name));
            self.see(
                &rules::text::CONFIG_UNKNOWN_TARGET,
                (trail, node),
                (message, Severity::Medium),
            );
        }
    }

    // A module of sentence-transformers.
    fn module(&mut self, trail: &Trail<'_>, path: &Node, kind: &Node) {
        if let Some(name) = path.text()
            && zip::leads_out(name)
        {
            let message = format!("a module lies outside of the model: `{}`", shortened(name));
            self.see(
                &rules::text::CONFIG_CODE_PATH,
                (trail, path),
                (message, Severity::High),
            );
        }
        if kind.text().is_some_and(|name| name.contains('.')) {
            self.named((trail, kind), "the class of a module");
        }
    }

    fn target(&mut self, trail: &Trail<'_>, node: &Node) {
        if node.text().is_some_and(|name| name.contains('.')) {
            self.target_of((trail, node), node);
        }
    }

    // Something that is called by its name, with what stands beside it.
    fn target_of(&mut self, (trail, node): (&Trail<'_>, &Node), arguments: &Node) {
        let Some(name) = node.text() else {
            let message = "what is instantiated is no name".to_owned();
            return self.see(
                &rules::text::CONFIG_UNKNOWN_TARGET,
                (trail, node),
                (message, Severity::Medium),
            );
        };
        let nemo = self.look.input.path.to_ascii_lowercase().contains(".nemo");
        let cve = nemo.then_some("CVE-2025-23304");
        match targets::standing(name) {
            Standing::Allowed => {}
            Standing::Denied(does) => {
                let message = format!(
                    "the configuration calls `{}`, which {does}",
                    shortened(name)
                );
                let how = (Severity::Critical, cve);
                self.tell_target(
                    &rules::text::CONFIG_TARGET,
                    (trail, node),
                    (message, how.0, how.1, arguments),
                );
            }
            Standing::Unknown => {
                let sign = strange_argument(arguments, name);
                let severity = match (&sign, trail.key()) {
                    (Some(_), _) => Severity::High,
                    (None, _) if node.text() == arguments.get("target").and_then(Node::text) => {
                        Severity::Low
                    }
                    (None, _) => Severity::Medium,
                };
                let with = sign.map_or(String::new(), |sign| format!(", with {sign}"));
                let message = format!(
                    "the configuration calls `{}`, which is on no list{with}",
                    shortened(name)
                );
                let how = (severity, cve);
                self.tell_target(
                    &rules::text::CONFIG_UNKNOWN_TARGET,
                    (trail, node),
                    (message, how.0, how.1, arguments),
                );
            }
        }
    }

    fn tell_target(
        &mut self,
        rule: &'static Rule,
        (trail, node): (&Trail<'_>, &Node),
        (message, severity, cve, arguments): (String, Severity, Option<&str>, &Node),
    ) {
        let mut finding = rule.finding(self.at(trail, node), message);
        finding.severity = severity;
        finding.evidence = Some(shown(arguments));
        finding.cves.extend(cve.map(str::to_owned));
        self.find(finding);
    }

    // What jsonpickle calls and sets when it decodes.
    fn json_pickle(&mut self, key: &str, (trail, node): (&Trail<'_>, &Node)) {
        let first = node.items().first();
        let function = first.and_then(|node| node.get("py/function").or(node.get("py/type")));
        let name = node
            .text()
            .or_else(|| function.and_then(Node::text))
            .unwrap_or_default();
        let (module, last) = name.rsplit_once('.').unwrap_or((name, ""));
        let denied = super::danger(module, last);
        let severity = match (key, denied) {
            (_, Some(_)) => Severity::Critical,
            ("py/reduce" | "py/repr", None) => Severity::High,
            _ => Severity::Medium,
        };
        let does = denied.map_or(String::new(), |does| format!(", which {does}"));
        let message = format!("`{key}` makes jsonpickle take `{}`{does}", shortened(name));
        self.see(
            &rules::text::CONFIG_TARGET,
            (trail, node),
            (message, severity),
        );
    }

    // Requirements that reach a shell on their way to an installer.
    fn dependencies(&mut self, trail: &Trail<'_>, node: &Node) {
        for item in node.items() {
            let Some(text) = item.text() else { continue };
            if has_shell_marks(text) {
                let message = format!(
                    "a requirement holds a command for a shell: `{}`",
                    shortened(text)
                );
                self.see(
                    &rules::text::CONFIG_SHELL,
                    (trail, item),
                    (message, Severity::High),
                );
            }
        }
    }

    // What a whole document of a known kind says.
    fn root(&mut self, root: &Node) {
        let trail = Trail::default();
        let entries = root.entries();
        let pipeline = entries.iter().any(|(key, value)| {
            let class = value.text().unwrap_or_default();
            key == "_class_name" && (class.ends_with("Pipeline") || !value.items().is_empty())
        });
        if pipeline {
            for (part, value) in entries {
                if let [library, class] = value.items()
                    && let (Some(library_name), Some(class)) = (library.text(), class.text())
                    && part != "_class_name"
                    && !targets::is_library(library_name)
                {
                    let message = format!(
                        "the part `{}` of the pipeline is `{}` of `{}`, a library on no list",
                        shortened(part),
                        shortened(class),
                        shortened(library_name)
                    );
                    let denied = super::danger(library_name, class).is_some();
                    let severity = if denied {
                        Severity::Critical
                    } else {
                        Severity::Medium
                    };
                    self.see(
                        &rules::text::CONFIG_REMOTE_CODE,
                        (&trail, value),
                        (message, severity),
                    );
                }
            }
        }
        self.mlflow(&trail, root);
        self.feast(&trail, root);
    }

    fn mlflow(&mut self, trail: &Trail<'_>, root: &Node) {
        let flavors = root.get("flavors").map(Node::entries).unwrap_or_default();
        for (_, flavor) in flavors {
            for key in [
                "code",
                "data",
                "model_path",
                "pickled_model",
                "python_model",
            ] {
                if let Some(node) = flavor.get(key)
                    && let Some(path) = node.text()
                    && zip::leads_out(path)
                {
                    let message =
                        format!("`{key}` lies outside of the model: `{}`", shortened(path));
                    self.see(
                        &rules::text::CONFIG_CODE_PATH,
                        (trail, node),
                        (message, Severity::High),
                    );
                }
            }
        }
    }

    // A feature store names classes of its own by their dotted names.
    fn feast(&mut self, trail: &Trail<'_>, root: &Node) {
        if root.get("project").is_none()
            || root.get("registry").is_none()
            || root.get("provider").is_none()
        {
            return;
        }
        let kind_of = |key: &str| root.get(key).and_then(|node| node.get("type"));
        let named = [
            "offline_store",
            "online_store",
            "batch_engine",
            "registry",
            "auth",
        ];
        let types = named.iter().filter_map(|key| kind_of(key));
        for node in types.chain(root.get("provider")) {
            let dotted = node
                .text()
                .is_some_and(|name| name.contains('.') && !name.starts_with("feast."));
            if dotted {
                self.target_of((trail, node), node);
            }
        }
    }

    fn address(&mut self, text: &str) {
        const SCHEMES: [&str; 9] = [
            "http://", "https://", "s3://", "gs://", "az://", "abfss://", "ftp://", "hdfs://",
            "dbfs:/",
        ];
        if SCHEMES.iter().any(|scheme| text.starts_with(scheme)) {
            self.address_count = self.address_count.saturating_add(1);
            if self.addresses.len() < 3 {
                self.addresses.push(shortened(text));
            }
        }
    }

    fn tell_addresses(&mut self) {
        if self.address_count == 0 {
            return;
        }
        let message = format!("{} values are addresses", self.address_count);
        let mut finding = rules::text::CONFIG_ADDRESS.finding(self.look.here(), message);
        finding.evidence = Some(self.addresses.join(", "));
        self.find(finding);
    }
}

// What stands beside a name that is called, and is no ordinary value; or the name itself.
fn strange_argument(node: &Node, name: &str) -> Option<&'static str> {
    let inner = |part: &str| part.starts_with('_');
    if name.split('.').any(inner) {
        return Some("the name of something inner");
    }
    let mut found = None;
    let mut left = MAX_ARGUMENTS;
    node.walk(&mut |trail, value| {
        left = left.saturating_sub(1);
        let own = matches!(trail.key(), Some("_target_" | "target"));
        if found.is_none() && left > 0 && !own {
            found = value.text().and_then(strange);
        }
    });
    found
}

fn strange(text: &str) -> Option<&'static str> {
    const COMMANDS: [&str; 12] = [
        "curl ",
        "wget ",
        "bash -",
        "sh -c",
        "/bin/sh",
        "/bin/bash",
        "powershell",
        "nc -",
        "rm -rf",
        "chmod ",
        "/dev/tcp",
        "| sh",
    ];
    const CODE: [&str; 7] = [
        "__import__",
        "os.system",
        "subprocess.",
        "eval(",
        "exec(",
        "import os",
        "getattr(",
    ];
    if CODE.iter().any(|code| text.contains(code)) {
        return Some("program text beside it");
    }
    if COMMANDS.iter().any(|command| text.contains(command)) {
        return Some("a shell command beside it");
    }
    text.starts_with("/etc/")
        .then_some("a path of the system beside it")
}

// What a shell reads and a requirement has no use for. Markers begin behind a semicolon.
fn has_shell_marks(text: &str) -> bool {
    const MARKERS: [&str; 12] = [
        "python_version",
        "python_full_version",
        "sys_platform",
        "platform_",
        "os_name",
        "extra",
        "implementation_",
        "(",
        "'",
        "\"",
        "sys.platform",
        "os.name",
    ];
    if ["$(", "`", "&&", "||", "\n", "${IFS}"]
        .iter()
        .any(|mark| text.contains(mark))
    {
        return true;
    }
    let marker = |rest: &str| {
        MARKERS
            .iter()
            .any(|marker| rest.trim_start().starts_with(marker))
    };
    let commands = text
        .split(';')
        .skip(1)
        .any(|rest| !rest.trim().is_empty() && !marker(rest));
    commands || text.contains('|') && !text.contains("||") && !text.contains("://")
}

// A value as evidence shows it.
fn shown(node: &Node) -> String {
    let mut parts = Vec::new();
    node.walk(&mut |trail, value| {
        let text = match &value.value {
            Value::Text(text) => format!("{:?}", shortened(text)),
            Value::Number(number) => number.to_string(),
            Value::Bool(value) => value.to_string(),
            _ => return,
        };
        if parts.len() < 12 {
            let key = trail
                .nearest_key()
                .map_or(String::new(), |key| format!("{}: ", shortened(key)));
            parts.push(key + &text);
        }
    });
    shortened(&parts.join(", "))
}
