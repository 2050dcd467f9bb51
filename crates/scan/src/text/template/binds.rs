//! What statements of a template give names to.

use crate::text::code::{self, Expr, Id, Node, Value};

use super::reader::{Heading, Reader, Tag};
use super::values::{best, entries, likelier, whole};

/// Most different arguments of macros that are kept.
const MAX_ARGUMENTS: usize = 1_000;

impl Reader<'_> {
    /// Remembers what a statement gives names to.
    pub(super) fn bind(&mut self, heading: &Heading<'_>, (nodes, values): (&[Node<'_>], &[Value])) {
        let known = |id: Id| values.get(id).cloned().unwrap_or_default();
        match heading.word {
            "if" => self.branches = self.branches.saturating_add(1),
            "endif" => self.branches = self.branches.saturating_sub(1),
            "endset" | "endmacro" => self.close(),
            "macro" => self.open_macro((nodes, values)),
            "for" => {
                let over = heading.shown.map(known).unwrap_or_default();
                self.each(&heading.names, &over);
            }
            "call" => {
                for (at, name) in heading.names.iter().enumerate() {
                    let value = self.argument("caller", at, name);
                    self.keep((*name).to_owned(), value);
                }
            }
            // What is written into a text that is kept.
            "" => {
                let written = heading
                    .shown
                    .map(|id| code::joined(&code::list(vec![known(id)]), ""));
                if let (Some((_, captured)), Some(Value::Text(text))) =
                    (self.captured.last_mut(), written)
                {
                    captured.push_str(&text);
                }
            }
            _ => {}
        }
        for (target, value) in &heading.pairs {
            match value {
                None if heading.word == "set" => {
                    if let Some(name) = name_of(nodes, *target) {
                        self.captured.push((name, String::new()));
                    }
                }
                Some(value) => self.assign(*target, *value, (nodes, values)),
                None => {}
            }
        }
        self.appended((nodes, values));
    }

    /// Remembers what a macro is called with.
    pub(super) fn called_with(
        &mut self,
        node: &Node<'_>,
        (nodes, values): (&[Node<'_>], &[Value]),
        tag: &Tag<'_>,
    ) {
        let Expr::Call(callee, arguments) = &node.expr else {
            return;
        };
        let Some(Expr::Name(name)) = nodes.get(*callee).map(|node| &node.expr) else {
            return;
        };
        if tag.word == "macro" {
            return;
        }
        for (at, argument) in arguments.iter().enumerate() {
            let value = values.get(argument.value).cloned().unwrap_or_default();
            if value == Value::Unknown || self.calls.len() >= MAX_ARGUMENTS {
                continue;
            }
            let value = self.spend(value);
            let place = argument.name.map_or_else(|| at.to_string(), str::to_owned);
            let key = ((*name).to_owned(), place);
            let before = self.calls.remove(&key).unwrap_or_default();
            self.calls.insert(key, likelier(before, value));
        }
    }

    // What a macro is called with at a place, or under a name.
    fn argument(&self, called: &str, at: usize, name: &str) -> Value {
        let found = |place: String| {
            let found = self.calls.get(&(called.to_owned(), place));
            found.cloned().unwrap_or_default()
        };
        likelier(found(at.to_string()), found(name.to_owned()))
    }

    fn open_macro(&mut self, (nodes, values): (&[Node<'_>], &[Value])) {
        let Some(Expr::Call(of_macro, parameters)) = nodes.last().map(|node| &node.expr) else {
            return;
        };
        let Some(title) = name_of(nodes, *of_macro) else {
            return;
        };
        for (at, parameter) in parameters.iter().enumerate() {
            let (name, default) = match parameter.name {
                Some(name) => (Some(name.to_owned()), values.get(parameter.value).cloned()),
                None => (name_of(nodes, parameter.value), None),
            };
            if let Some(name) = name {
                let value = self.argument(&title, at, &name);
                self.keep(name, likelier(value, default.unwrap_or_default()));
            }
        }
        self.captured.push((format!("{title}()"), String::new()));
    }

    // The end of a text that is kept. White space around it is what tags take away.
    fn close(&mut self) {
        if let Some((name, text)) = self.captured.pop() {
            let text = self.spend(Value::Text(text.trim().to_owned()));
            self.put(name, text);
        }
    }

    // `for name in [..]`: any of these.
    fn each(&mut self, names: &[&str], over: &Value) {
        let Value::List(items) = over else {
            for name in names {
                self.names.remove(*name);
            }
            return;
        };
        if let [name] = names {
            self.keep((*name).to_owned(), best(items.clone()));
            return;
        }
        for (at, name) in names.iter().enumerate() {
            let nth = items.iter().filter_map(|item| match item {
                Value::List(parts) => parts.get(at).cloned(),
                _ => None,
            });
            let nth = nth.collect();
            self.keep((*name).to_owned(), best(nth));
        }
    }

    fn assign(&mut self, target: Id, value: Id, (nodes, values): (&[Node<'_>], &[Value])) {
        let known = values.get(value).cloned().unwrap_or_default();
        if let Some(Expr::List(targets)) = nodes.get(target).map(|node| &node.expr) {
            if let Value::List(items) = known {
                for (target, item) in targets.iter().zip(items) {
                    if let Some(name) = name_of(nodes, *target) {
                        self.put(name, item);
                    }
                }
            }
            return;
        }
        let Some(name) = name_of(nodes, target) else {
            return;
        };
        let parts = entries(nodes, values, value);
        if !parts.is_empty() {
            for kind in ["values", "items"] {
                self.put(format!("{name}.{kind}()"), whole(kind, parts.clone()));
            }
        }
        for (part, value) in parts {
            self.put(format!("{name}.{part}"), value);
        }
        self.put(name, known);
    }

    // In a condition, what the name stood for before is not forgotten.
    fn put(&mut self, name: String, value: Value) {
        let value = match self.names.get(&name) {
            Some(before) if self.branches > 0 => likelier(value, before.clone()),
            _ => value,
        };
        self.keep(name, value);
    }

    // `list.append(item)`
    fn appended(&mut self, (nodes, values): (&[Node<'_>], &[Value])) {
        for node in nodes {
            if let Expr::Call(callee, arguments) = &node.expr
                && let Some(Expr::Attribute(of, "append" | "insert")) =
                    nodes.get(*callee).map(|node| &node.expr)
                && let Some(Expr::Name(list)) = nodes.get(*of).map(|node| &node.expr)
                && let Some(Value::List(items)) = self.names.get(*list)
                && let Some(item) = arguments.last().and_then(|last| values.get(last.value))
                && *item != Value::Unknown
            {
                let mut items = items.clone();
                items.push(item.clone());
                self.keep((*list).to_owned(), code::list(items));
            }
        }
    }
}

fn name_of(nodes: &[Node<'_>], id: Id) -> Option<String> {
    match &nodes.get(id)?.expr {
        Expr::Name(name) => Some((*name).to_owned()),
        Expr::Attribute(of, name) => match &nodes.get(*of)?.expr {
            Expr::Name(of) => Some(format!("{of}.{name}")),
            _ => None,
        },
        _ => None,
    }
}
