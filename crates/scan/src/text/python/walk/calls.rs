//! Calls: what is called with what, and which functions of the program that reaches.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use custos_core::finding::{Confidence, Severity};

use crate::rules;
use crate::text::code::{Argument, Expr, Id, Value};
use crate::text::python::judge::{self, Called, Verdict};
use crate::text::python::sinks::{self, Kind};
use crate::text::python::values::{Signs, Val};

use super::expressions::is_path;
use super::objects::picked;
use super::{
    Function, Line, MAX_KEPT, MAX_NESTED, MAX_PAYLOAD_BYTES, MAX_PAYLOADS, Payload, Walker,
};

impl Walker {
    /// Looks at a call.
    pub(super) fn call(
        &mut self,
        line: u32,
        (callee, arguments): (Id, &[Argument<'_>]),
        run: &Line<'_>,
    ) {
        let known = |id: Id| run.vals.get(id).cloned().unwrap_or_default();
        let (positional, named) = given(arguments, run);
        self.edge(run, callee);
        let mut function = known(callee);
        let mut of = None;
        if let Some(Expr::Attribute(object, name)) = run.parser.nodes.get(callee).map(|n| &n.expr) {
            self.lists_classes(line, (*object, name), run);
            of = Some(known(*object));
        }
        if let Some(name) = function.path.as_deref().and_then(method_caller)
            && let Some(first) = positional.first()
        {
            function = first.attribute(name).with(Signs::COMPUTED);
        }
        if let Some(of) = of.as_ref().filter(|of| is_path(of)) {
            self.path_written(line, (of, run, callee), &positional);
        }
        if of.is_none() && function.signs.any(Signs::LISTED) {
            self.note(line, Some(picked()));
        }
        let Some(path) = function.path.as_deref() else {
            return;
        };
        let receiver = of.filter(|of| {
            positional.is_empty() && path.ends_with("Unpickler().load") && of.value.is_known()
        });
        let positional = receiver.map_or(positional, |of| vec![of]);
        if let Some(kind) = sinks::kind(path) {
            let use_of = Called {
                path,
                kind,
                signs: function.signs,
                builds: self.builds,
                arguments: &positional,
                named: &named,
            };
            let verdict = judge::call(&use_of);
            self.note(line, verdict);
            match kind {
                Kind::RunsText => {
                    self.nested(line, positional.first());
                    if path.starts_with("timeit.") {
                        self.nested(line, positional.get(1));
                        for (_, text) in &named {
                            self.nested(line, Some(text));
                        }
                    }
                }
                Kind::Unpickles => {
                    self.unpickled();
                    self.held(line, positional.first());
                }
                _ => {}
            }
        }
        self.writes(line, path, (&positional, &named));
        self.pickles(path, &positional);
        self.made(path, &positional);
        self.computed_attribute(line, path, &positional);
        self.handed(line, path, (&positional, &named));
    }

    /// Looks at what a function is handed to by standing below it.
    pub(super) fn decorated(&mut self, line: u32, id: Id, run: &Line<'_>) {
        self.edge(run, id);
        let Some(path) = run.vals.get(id).and_then(|val| val.path.as_deref()) else {
            return;
        };
        self.property = path == "builtins.property" || path == "functools.cached_property";
        if matches!(sinks::kind(path), Some(Kind::RunsText | Kind::RunsCommand)) {
            let verdict = Verdict {
                rule: &rules::text::PYTHON_HIDDEN,
                on_import: Some(Severity::High),
                in_function: Some(Severity::Medium),
                given: false,
                confidence: Confidence::High,
                message: format!("`{path}` is called by standing above a definition"),
            };
            self.note(line, Some(verdict));
        }
    }

    // Bytes that objects are loaded from are looked at by themselves.
    fn held(&mut self, line: u32, first: Option<&Val>) {
        let Some(Value::Bytes(bytes)) = first.map(|first| &first.value) else {
            return;
        };
        self.keep_payload(line, bytes.clone());
    }

    fn keep_payload(&mut self, line: u32, bytes: Vec<u8>) {
        let all = self.payloads.iter().map(|one| one.bytes.len());
        let all = all.fold(bytes.len(), usize::saturating_add);
        if self.payloads.iter().any(|one| one.bytes == bytes) {
            return;
        }
        if all <= MAX_PAYLOAD_BYTES && self.payloads.len() < MAX_PAYLOADS {
            self.payloads.push(Payload { line, bytes });
        } else {
            self.left.full.set(true);
        }
    }

    // `().__class__.__base__.__subclasses__()`
    fn lists_classes(&mut self, line: u32, (of, name): (Id, &str), run: &Line<'_>) {
        let expr = |id: Id| run.parser.nodes.get(id).map(|node| &node.expr);
        let object = match expr(of) {
            Some(Expr::Item(of, _)) => expr(*of),
            other => other,
        };
        let inner = matches!(
            object,
            Some(Expr::Attribute(_, "__base__" | "__bases__" | "__mro__"))
        );
        if name == "__subclasses__" && inner {
            let verdict = Verdict {
                rule: &rules::text::PYTHON_HIDDEN,
                on_import: Some(Severity::High),
                in_function: Some(Severity::Medium),
                given: false,
                confidence: Confidence::High,
                message: "the program takes its functions out of the list of all classes"
                    .to_owned(),
            };
            self.note(line, Some(verdict));
        }
    }

    // A function that is handed to another one is called by it.
    fn handed(&mut self, line: u32, path: &str, (positional, named): (&[Val], &[(&str, Val)])) {
        let applies = self
            .local(path)
            .is_some_and(|local| self.applies.contains(&local));
        if path.starts_with("sys.meta_path.") {
            for finder in positional.iter().filter_map(|val| val.path.as_deref()) {
                if let Some(class) = finder.strip_prefix("def:") {
                    let class = class.trim_end_matches("()");
                    self.keep_call(format!("{class}.find_spec"));
                    self.keep_call(format!("{class}.find_module"));
                }
            }
        }
        if !applies && !HANDS_ON.contains(&path) {
            return;
        }
        let rest: Vec<Val> = positional.iter().skip(1).cloned().collect();
        for val in positional.iter().chain(named.iter().map(|(_, val)| val)) {
            let Some(path) = val.path.as_deref() else {
                continue;
            };
            if let Some(local) = self.local(path) {
                self.keep_call(local);
            }
            if let Some(kind @ (Kind::RunsText | Kind::RunsCommand)) = sinks::kind(path) {
                let use_of = Called {
                    path,
                    kind,
                    signs: val.signs,
                    builds: self.builds,
                    arguments: &rest,
                    named: &[],
                };
                let verdict = judge::call(&use_of);
                self.note(line, verdict);
            }
        }
    }

    // `getattr(os, name)` with a name that nobody knows.
    fn computed_attribute(&mut self, line: u32, path: &str, arguments: &[Val]) {
        const MODULES: [&str; 6] = ["os", "subprocess", "builtins", "posix", "pty", "importlib"];
        let [of, name, ..] = arguments else { return };
        let module = of.path.as_deref().filter(|module| MODULES.contains(module));
        if path != "builtins.getattr" || name.value.is_known() {
            return;
        }
        if let Some(module) = module {
            let verdict = Verdict {
                rule: &rules::text::PYTHON_HIDDEN,
                on_import: Some(Severity::Medium),
                in_function: Some(Severity::Low),
                given: false,
                confidence: Confidence::Medium,
                message: format!(
                    "`getattr` takes an attribute of `{module}` by a name that is worked out"
                ),
            };
            self.note(line, Some(verdict));
        }
    }

    // A text that is run is a program, too.
    fn nested(&mut self, line: u32, first: Option<&Val>) {
        let text = match first.map(|first| &first.value) {
            Some(Value::Text(text)) => text.clone(),
            Some(Value::Bytes(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
            _ => return,
        };
        if self.nested >= MAX_NESTED {
            return;
        }
        // The names of the program around it are copied for it.
        let names = self.scopes.iter().map(|scope| scope.names.len());
        let names = names.fold(0_usize, usize::saturating_add);
        let cost = text.len().saturating_add(names.saturating_mul(16));
        if !self.left.take(&self.left.run, cost.saturating_add(64)) {
            return;
        }
        let mut inner = Walker::new(self.nested.saturating_add(1), self.builds);
        inner.left = self.left.clone();
        if let Some(module) = inner.scopes.first_mut() {
            // It sees what the program around it has imported.
            for scope in &self.scopes {
                let things = scope.names.iter().filter(|(_, val)| val.path.is_some());
                module
                    .names
                    .extend(things.map(|(name, val)| (name.clone(), val.clone())));
            }
        }
        inner.program(&text);
        self.left = inner.left.clone();
        for payload in std::mem::take(&mut inner.payloads) {
            self.keep_payload(line, payload.bytes);
        }
        let run = inner.reached(false);
        for (function, main, _, mut verdict) in std::mem::take(&mut inner.seen) {
            if !main && function.is_none_or(|id| run.contains(&id)) {
                verdict.message = format!("in a text that is run, {}", verdict.message);
                self.note(line, Some(verdict));
            }
        }
    }

    /// Notes what a call means.
    pub(super) fn note(&mut self, line: u32, verdict: Option<Verdict>) {
        if let Some(verdict) = verdict {
            let (function, main) = self.context();
            self.seen.push((function, main, line, verdict));
        }
    }

    /// Returns which function of the program a full name is for.
    pub(super) fn local(&self, path: &str) -> Option<String> {
        let local = path.strip_prefix("def:")?;
        let object = local.strip_suffix("()");
        if let Some(class) = object.filter(|class| self.classes.contains_key(*class)) {
            return Some(format!("{class}.__call__"));
        }
        Some(local.replace("()", ""))
    }

    /// Remembers what a function gives back.
    pub(super) fn give(&mut self, path: Option<&str>, val: Val) {
        let tells = val
            .path
            .as_deref()
            .is_some_and(|path| !path.starts_with("arg:"))
            || val.path.is_none() && val != Val::default();
        let local = path.and_then(|path| path.strip_prefix("def:"));
        if let Some(local) = local.filter(|_| tells && self.gives.len() < MAX_KEPT) {
            let before = self.gives.remove(local).unwrap_or_default();
            self.gives.insert(local.to_owned(), before.or(val));
        }
    }

    /// Calls methods of an object of the program, as statements do.
    pub(super) fn implied(&mut self, object: Option<&str>, methods: &[&str]) {
        let class = object.and_then(|path| path.strip_prefix("def:"));
        let class = class.and_then(|local| local.strip_suffix("()"));
        let Some(class) = class.filter(|class| self.classes.contains_key(*class)) else {
            return;
        };
        for method in methods {
            self.keep_call(format!("{class}.{method}"));
        }
    }

    /// Calls a method that runs when it is looked at.
    pub(super) fn looked_at(&mut self, val: &Val) {
        if let Some(local) = val
            .path
            .as_deref()
            .and_then(|path| path.strip_prefix("def:"))
        {
            let method = local.replace("()", "");
            if self.properties.contains(&method) {
                self.keep_call(method);
            }
        }
    }

    /// Remembers that a function of this program is called.
    pub(super) fn edge(&mut self, run: &Line<'_>, callee: Id) {
        let nodes = &run.parser.nodes;
        let path = run.vals.get(callee).and_then(|val| val.path.as_deref());
        if let Some(function) = path.and_then(|path| path.strip_prefix("arg:")) {
            let function = function
                .parse()
                .ok()
                .and_then(|id: usize| self.functions.get(id));
            let full = function.map(Function::full);
            self.applies.extend(full);
        }
        let local = match path.filter(|path| !path.starts_with("arg:")) {
            Some(path) => self.local(path),
            None => match nodes.get(callee).map(|node| &node.expr) {
                Some(Expr::Attribute(of, name)) => match nodes.get(*of).map(|node| &node.expr) {
                    Some(Expr::Name("self" | "cls")) => Some((*name).to_owned()),
                    _ => None,
                },
                // Defined further down.
                Some(Expr::Name(name)) => Some((*name).to_owned()),
                _ => None,
            },
        };
        if let Some(local) = local {
            self.keep_call(local);
        }
    }

    /// Remembers that a function of this name is called.
    pub(super) fn keep_call(&mut self, name: String) {
        let (function, main) = self.context();
        if !main && self.calls.len() < MAX_KEPT {
            self.calls.insert((function, name));
        }
    }

    /// Returns which functions importing runs.
    pub(super) fn reached(&self, installs: bool) -> BTreeSet<usize> {
        let mut by_name: HashMap<String, Vec<usize>> = HashMap::new();
        for (id, function) in self.functions.iter().enumerate() {
            by_name.entry(function.full()).or_default().push(id);
            if function.class.is_some() {
                // `self.method()`
                by_name.entry(function.name.clone()).or_default().push(id);
            }
        }
        let mut by_caller: BTreeMap<Option<usize>, Vec<&str>> = BTreeMap::new();
        for (caller, name) in &self.calls {
            by_caller.entry(*caller).or_default().push(name);
        }
        let hooks = self.functions.iter().enumerate();
        let mut next: Vec<Option<usize>> = hooks
            .filter(|(_, function)| {
                function.hook
                    && (installs || function.class.is_none())
                    && function.name != "__init__"
            })
            .map(|(id, _)| Some(id))
            .collect();
        let mut run: BTreeSet<usize> = next.iter().copied().flatten().collect();
        next.push(None);
        let mut reached = BTreeSet::new();
        while let Some(caller) = next.pop() {
            let names = by_caller
                .get(&caller)
                .map(Vec::as_slice)
                .unwrap_or_default();
            // Functions of one name are reached together, and once.
            let names = names.iter().filter(|name| reached.insert(**name));
            for id in names.flat_map(|name| self.meant(name, &by_name)) {
                if run.insert(id) {
                    next.push(Some(id));
                }
            }
        }
        run
    }

    // The functions that a call by this name runs.
    fn meant(&self, name: &str, by_name: &HashMap<String, Vec<usize>>) -> Vec<usize> {
        // To call a class is to call what makes its objects, and what runs when they come and go.
        const MAKES: [&str; 5] = [
            "__init__",
            "__new__",
            "__post_init__",
            "__set_name__",
            "__del__",
        ];
        let method = |class: &str, method: &str| {
            let (mut class, mut bases) = (class, 0_u32);
            loop {
                if let Some(found) = by_name.get(&format!("{class}.{method}")) {
                    return found.clone();
                }
                bases = bases.saturating_add(1);
                match self.classes.get(class).and_then(|bases| bases.first()) {
                    Some(base) if bases < MAX_BASES => class = base,
                    _ => return Vec::new(),
                }
            }
        };
        if self.classes.contains_key(name) {
            return MAKES.iter().flat_map(|make| method(name, make)).collect();
        }
        match name.rsplit_once('.') {
            Some((class, name)) => method(class, name),
            None => by_name.get(name).cloned().unwrap_or_default(),
        }
    }
}

/// Functions that call what they are handed.
const HANDS_ON: [&str; 31] = [
    "asyncio.to_thread",
    "atexit.register",
    "builtins.filter",
    "builtins.list",
    "builtins.map",
    "builtins.max",
    "builtins.min",
    "builtins.sorted",
    "concurrent.futures.ProcessPoolExecutor().map",
    "concurrent.futures.ProcessPoolExecutor().submit",
    "concurrent.futures.ThreadPoolExecutor().map",
    "concurrent.futures.ThreadPoolExecutor().submit",
    "contextlib.ExitStack().callback",
    "functools.partial",
    "functools.reduce",
    "itertools.starmap",
    "multiprocessing.Pool().apply",
    "multiprocessing.Pool().apply_async",
    "multiprocessing.Pool().map",
    "multiprocessing.Process",
    "operator.call",
    "os.register_at_fork",
    "sched.scheduler().enter",
    "signal.signal",
    "sys.addaudithook",
    "sys.setprofile",
    "sys.settrace",
    "threading.Thread",
    "threading.Timer",
    "threading.settrace",
    "weakref.finalize",
];
/// Longest line of classes that are made from each other.
const MAX_BASES: u32 = 20;

// The arguments of a call: those without names, and those with.
fn given<'s>(arguments: &[Argument<'s>], run: &Line<'_>) -> (Vec<Val>, Vec<(&'s str, Val)>) {
    let (mut positional, mut named) = (Vec::new(), Vec::new());
    for argument in arguments {
        let val = run.vals.get(argument.value).cloned().unwrap_or_default();
        match argument.name.filter(|name| !name.starts_with('*')) {
            Some(name) => named.push((name, val)),
            None => positional.push(val),
        }
    }
    (positional, named)
}

// The method that `operator.methodcaller` calls.
fn method_caller(path: &str) -> Option<&str> {
    path.strip_prefix("operator.methodcaller(")?
        .strip_suffix(')')
}
