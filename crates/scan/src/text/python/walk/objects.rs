//! Files that calls write, and objects that are written as pickles and loaded again.

use custos_core::finding::{Confidence, Severity};

use crate::rules;
use crate::text::code::{Expr, Id, Value};
use crate::text::python::judge::{self, Called, Verdict};
use crate::text::python::places;
use crate::text::python::sinks::{self, Kind};
use crate::text::python::values::Val;

use super::{Line, Walker};

impl Walker {
    /// Looks at `open(name, mode)`.
    pub(super) fn writes(
        &mut self,
        line: u32,
        path: &str,
        (positional, named): (&[Val], &[(&str, Val)]),
    ) {
        if !matches!(path, "builtins.open" | "io.open" | "codecs.open") {
            return;
        }
        let mode = named.iter().find(|(name, _)| *name == "mode");
        let mode = mode.map(|(_, mode)| mode).or(positional.get(1));
        let mode = mode.and_then(|mode| mode.value.text());
        if let (Some(name), Some(mode)) = (positional.first(), mode) {
            self.note(line, places::opened(name, mode));
        }
    }

    /// Looks at what a path is asked to write.
    pub(super) fn path_written(
        &mut self,
        line: u32,
        (of, run, callee): (&Val, &Line<'_>, Id),
        positional: &[Val],
    ) {
        let Some(Expr::Attribute(_, name)) = run.parser.nodes.get(callee).map(|node| &node.expr)
        else {
            return;
        };
        let first = positional.first().and_then(|first| first.value.text());
        let mode = match *name {
            "write_text" | "write_bytes" => "w",
            "open" => first.unwrap_or("r"),
            _ => return,
        };
        self.note(line, places::opened(of, mode));
    }

    /// Remembers of which classes objects are written; a copy is written and loaded at once.
    pub(super) fn pickles(&mut self, path: &str, positional: &[Val]) {
        const COPIES: [&str; 2] = ["copy.copy", "copy.deepcopy"];
        const WRITES: [&str; 10] = [
            "pickle.dump",
            "pickle.dumps",
            "_pickle.dump",
            "_pickle.dumps",
            "cloudpickle.dump",
            "cloudpickle.dumps",
            "dill.dump",
            "dill.dumps",
            "joblib.dump",
            "torch.save",
        ];
        let object = positional.first().and_then(|first| first.path.as_deref());
        let class = object.and_then(|path| path.strip_prefix("def:"));
        let Some(class) = class.and_then(|local| local.strip_suffix("()")) else {
            return;
        };
        if COPIES.contains(&path) {
            self.keep_call(format!("{class}.__reduce__"));
            self.keep_call(format!("{class}.__reduce_ex__"));
        } else if WRITES.contains(&path) && self.classes.contains_key(class) {
            self.pickled.insert(class.to_owned());
        }
    }

    /// Calls what makes objects of a class that is made by a call.
    pub(super) fn made(&mut self, path: &str, positional: &[Val]) {
        const MAKES: [&str; 4] = ["__init__", "__new__", "__del__", "__init_subclass__"];
        let [_, _, members] = positional else { return };
        if path != "builtins.type" {
            return;
        }
        for (name, member) in members.held.as_deref().unwrap_or_default() {
            let makes = name.text().is_some_and(|name| MAKES.contains(&name));
            let local = member.path.as_deref().and_then(|path| self.local(path));
            if let Some(local) = local.filter(|_| makes) {
                self.keep_call(local);
            }
        }
    }

    /// Calls what objects that were written are made again by.
    pub(super) fn unpickled(&mut self) {
        for class in self.pickled.clone() {
            self.keep_call(format!("{class}.__reduce__"));
            self.keep_call(format!("{class}.__reduce_ex__"));
        }
    }

    /// Looks at what `__reduce__` gives back: whatever loads the object calls it.
    pub(super) fn reduced(&mut self, line: u32, val: &Val) {
        let (function, _) = self.context();
        let function = function.and_then(|id| self.functions.get(id));
        let reduces = function.is_some_and(|function| {
            function.class.is_some()
                && matches!(function.name.as_str(), "__reduce__" | "__reduce_ex__")
        });
        let held = val.held.as_deref().unwrap_or_default();
        let called = held.iter().find(|(key, _)| *key == Value::Number(0));
        let path = called.and_then(|(_, item)| item.path.clone());
        let Some((path, kind)) = path.and_then(|path| sinks::kind(&path).map(|kind| (path, kind)))
        else {
            return;
        };
        if !reduces || !matches!(kind, Kind::RunsText | Kind::RunsCommand | Kind::Removes) {
            return;
        }
        let arguments: Vec<Val> = match &val.value {
            Value::List(items) => match items.get(1) {
                Some(Value::List(arguments)) => {
                    arguments.iter().cloned().map(Val::constant).collect()
                }
                _ => Vec::new(),
            },
            _ => Vec::new(),
        };
        let verdict = judge::call(&Called {
            path: &path,
            kind,
            signs: val.signs,
            arguments: &arguments,
            builds: false,
            named: &[],
        });
        let verdict = verdict.map(|verdict| Verdict {
            message: format!("an object is made again by a call: {}", verdict.message),
            on_import: verdict.on_import.max(Some(Severity::High)),
            in_function: verdict.in_function.max(Some(Severity::Medium)),
            ..verdict
        });
        self.note(line, verdict);
    }
}

/// Returns what it means to call what was picked out of the list of a module's functions.
pub(super) fn picked() -> Verdict {
    Verdict {
        rule: &rules::text::PYTHON_HIDDEN,
        on_import: Some(Severity::High),
        in_function: Some(Severity::Medium),
        given: false,
        confidence: Confidence::Medium,
        message: "the program calls a function that it picks out of the list of all of a module \
                  that runs commands or code"
            .to_owned(),
    }
}
