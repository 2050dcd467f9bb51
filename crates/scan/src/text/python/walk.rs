//! A walk over the statements of a program, line by line.
//!
//! Lines are put into scopes by how far they are indented; a scope knows what names stand for. A
//! line that is no Python is passed over as far as needed, and the walk goes on.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use custos_core::finding::{Confidence, Severity};

use crate::rules::{self, Rule};
use crate::text::code::{
    self, Argument, Dialect, Expr, Id, Kind as Token, Lexer, Node, Parser, Value,
};

use super::judge::{self, Called, Verdict};
use super::sinks::{self, Kind};
use super::values::{Signs, Val, known_call};

/// Most names of all scopes, and most calls between functions, that are kept.
const MAX_KEPT: usize = 200_000;
/// Deepest nesting of programs in texts that programs run.
const MAX_NESTED: u32 = 3;
/// Most bytes of programs in texts that programs run, all together.
const MAX_RUN: usize = 4 << 20;
/// Most bytes of constants that are worked out, beside a multiple of the program: a short one may
/// name a long text as often as it likes.
const MAX_WORKED_OUT: usize = 32 << 20;
/// Most bytes of constants that have names.
const MAX_NAMED: usize = 64 << 20;
/// Most steps of expressions that are worked out for each item of a constant.
const MAX_STEPS: u32 = 4_000_000;
/// Deepest indentation: Python itself takes a hundred levels.
const MAX_SCOPES: usize = 101;
/// Most modules all of whose names are imported, that matter.
const MAX_STARS: usize = 32;

/// Functions that need no import, as far as they matter.
const BUILTINS: [&str; 27] = [
    "exec",
    "eval",
    "execfile",
    "compile",
    "open",
    "getattr",
    "__import__",
    "globals",
    "locals",
    "vars",
    "chr",
    "bytes",
    "bytearray",
    "str",
    "map",
    "list",
    "tuple",
    "reversed",
    "True",
    "False",
    "filter",
    "input",
    "breakpoint",
    "setattr",
    "ord",
    "int",
    "print",
];

/// What was seen in a program.
#[derive(Debug)]
pub(super) struct Sight {
    pub(super) rule: &'static Rule,
    pub(super) severity: Severity,
    pub(super) confidence: Confidence,
    pub(super) message: String,
    pub(super) line: u32,
}

/// Looks at a program; `installs` says that it is run to install a package. Returns what was seen,
/// and whether all of it was followed.
pub(super) fn walk(source: &str, installs: bool) -> (Vec<Sight>, bool) {
    let mut walker = Walker::new(0, installs);
    walker.left.room.set(room(source));
    walker.program(source);
    let whole = !walker.left.full.get();
    (walker.finish(installs), whole)
}

fn room(source: &str) -> usize {
    MAX_WORKED_OUT.saturating_add(source.len().saturating_mul(64))
}

// How much may still be done.
#[derive(Clone)]
struct Left {
    room: Cell<usize>,
    named: Cell<usize>,
    run: Cell<usize>,
    steps: Cell<u32>,
    full: Cell<bool>,
}

impl Left {
    // Takes so much of one of them. What is full stays full, so that nothing more is copied.
    fn take(&self, of: &Cell<usize>, size: usize) -> bool {
        if let Some(left) = of.get().checked_sub(size) {
            of.set(left);
        } else {
            of.set(0);
            self.full.set(true);
        }
        size == 0 || of.get() > 0
    }

    // The value, if there is room for it.
    fn value(&self, of: &Cell<usize>, val: &Val) -> Val {
        if self.take(of, code::size(&val.value)) {
            return val.clone();
        }
        Val {
            value: Value::Unknown,
            path: val.path.clone(),
            signs: val.signs,
        }
    }
}

// The line of a call, and whether it only runs when something else is called.
type Site = (u32, bool);

struct Walker {
    scopes: Vec<Scope>,
    functions: Vec<Function>,
    // Who calls whom, by name; nobody is the module itself.
    calls: BTreeSet<(Option<usize>, String)>,
    stars: Vec<String>,
    seen: Vec<(Option<usize>, bool, u32, Verdict)>,
    kept: usize,
    nested: u32,
    builds: bool,
    left: Left,
}

struct Scope {
    indent: usize,
    kind: Kinds,
    names: HashMap<String, Val>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kinds {
    // A block that runs where it stands.
    Block,
    // The name of the class, and whether a command that installs is above it.
    Class(String, bool),
    Function(usize),
    // What only runs as a script, or never.
    Main,
    Module,
}

struct Function {
    name: String,
    class: Option<String>,
    installs: bool,
}

impl Walker {
    fn new(nested: u32, builds: bool) -> Self {
        let module = Scope {
            indent: 0,
            kind: Kinds::Module,
            names: HashMap::new(),
        };
        Self {
            scopes: vec![module],
            functions: Vec::new(),
            calls: BTreeSet::new(),
            stars: Vec::new(),
            seen: Vec::new(),
            kept: 0,
            nested,
            builds,
            left: Left {
                room: Cell::new(MAX_WORKED_OUT),
                named: Cell::new(MAX_NAMED),
                run: Cell::new(MAX_RUN),
                steps: Cell::new(MAX_STEPS),
                full: Cell::new(false),
            },
        }
    }

    fn program(&mut self, source: &str) {
        let mut lexer = Lexer::new(source, Dialect::Python);
        while let Some(line) = lexer.logical() {
            while self.scopes.len() > 1
                && self
                    .scopes
                    .last()
                    .is_some_and(|scope| scope.indent >= line.indent)
            {
                self.scopes.pop();
            }
            let parameters = parameters(&line.tokens);
            let mut run = Line {
                parser: Parser::new(source, line.tokens, Dialect::Python),
                vals: Vec::new(),
                indent: line.indent,
                parameters,
            };
            while !run.parser.is_done() {
                if !run.parser.eat(";") {
                    self.statement(&mut run);
                }
                // Whatever does not belong to a statement is looked at all the same.
                if let Some(Token::Sign(sign)) = run.parser.peek()
                    && *sign != ";"
                {
                    run.parser.bump();
                }
            }
            self.evaluate(&mut run);
        }
    }

    // Who would have to be called for this to run; and whether it only runs as a script.
    fn context(&self) -> (Option<usize>, bool) {
        let function = self.scopes.iter().rev().find_map(|scope| match scope.kind {
            Kinds::Function(id) => Some(id),
            _ => None,
        });
        let main = self.scopes.iter().any(|scope| scope.kind == Kinds::Main);
        (function, main)
    }

    fn statement(&mut self, run: &mut Line<'_>) {
        let word = match run.parser.peek() {
            Some(Token::Name(word)) => *word,
            Some(Token::Sign("@")) => {
                run.parser.bump();
                let id = run.parser.expressions();
                self.evaluate(run);
                self.edge(run, id);
                return;
            }
            _ => "",
        };
        match word {
            "import" => self.import(run),
            "from" => self.import_from(run),
            "def" => self.function(run),
            "class" => self.class(run),
            "if" | "elif" | "while" => self.condition(run),
            "else" | "try" | "finally" => {
                run.parser.bump();
                self.block(run, Kinds::Block);
            }
            "for" | "except" | "with" => self.binds(run),
            "return" | "raise" | "assert" | "del" | "yield" => {
                run.parser.bump();
                if !run.parser.is_done() {
                    run.parser.expressions();
                    self.evaluate(run);
                }
            }
            "global" | "nonlocal" => run.parser.loose(&[";"]),
            "async" | "pass" | "break" | "continue" => run.parser.bump(),
            "exec" | "print" => self.python_2(run, word),
            _ => self.assignment(run),
        }
    }

    fn block(&mut self, run: &mut Line<'_>, kind: Kinds) {
        run.parser.eat(":");
        self.push(run.indent, kind);
    }

    fn push(&mut self, indent: usize, kind: Kinds) {
        if self.scopes.len() > MAX_SCOPES {
            self.left.full.set(true);
            return;
        }
        self.scopes.push(Scope {
            indent,
            kind,
            names: HashMap::new(),
        });
    }

    fn import(&mut self, run: &mut Line<'_>) {
        run.parser.bump();
        while let Some(module) = run.parser.dotted() {
            if run.parser.eat_word("as") {
                let alias = run.parser.name().unwrap_or_default();
                self.set(alias, Val::thing(module));
            } else {
                let top = module.split('.').next().unwrap_or_default().to_owned();
                self.set(&top, Val::thing(top.clone()));
            }
            if !run.parser.eat(",") {
                return;
            }
        }
    }

    fn import_from(&mut self, run: &mut Line<'_>) {
        run.parser.bump();
        let module = run.parser.dotted().unwrap_or_default();
        run.parser.eat_word("import");
        run.parser.eat("(");
        if run.parser.eat("*") {
            let known = self.stars.contains(&module);
            if !known && self.stars.len() < MAX_STARS && sinks::has_module(&module) {
                self.stars.push(module);
            }
            return;
        }
        while let Some(name) = run.parser.name() {
            let alias = if run.parser.eat_word("as") {
                run.parser.name()
            } else {
                None
            };
            let thing = Val::thing(super::values::plain(&format!("{module}.{name}")));
            self.set(alias.unwrap_or(name), thing);
            if !run.parser.eat(",") {
                break;
            }
        }
        run.parser.eat(")");
    }

    fn function(&mut self, run: &mut Line<'_>) {
        run.parser.bump();
        let name = run.parser.name().unwrap_or_default().to_owned();
        // Types of generic functions.
        if matches!(run.parser.peek(), Some(Token::Sign("["))) {
            run.parser.expression();
        }
        if matches!(run.parser.peek(), Some(Token::Sign("("))) {
            run.parser.expression();
        }
        run.parser.loose(&[":"]);
        // Defaults are worked out where the function is made.
        self.evaluate(run);
        let class = self
            .scopes
            .iter()
            .rev()
            .find(|scope| scope.kind != Kinds::Block);
        let (class, installs) = match class.map(|scope| &scope.kind) {
            Some(Kinds::Class(class, installs)) => (Some(class.clone()), *installs),
            _ => (None, false),
        };
        let id = self.functions.len();
        let in_class = class.is_some();
        if !in_class {
            self.set(&name, Val::thing(format!("def:{name}")));
        }
        self.functions.push(Function {
            name,
            class,
            installs,
        });
        self.block(run, Kinds::Function(id));
        let parameters = std::mem::take(&mut run.parameters);
        for (number, (parameter, has_default)) in parameters.into_iter().enumerate() {
            // A default stands in the program, and so does what an object holds.
            let is_object = number == 0 && in_class;
            let given = if has_default || is_object {
                Signs::default()
            } else {
                Signs::GIVEN
            };
            self.set(&parameter, Val::default().with(given));
        }
    }

    fn class(&mut self, run: &mut Line<'_>) {
        run.parser.bump();
        let name = run.parser.name().unwrap_or_default().to_owned();
        let mut installs = false;
        if matches!(run.parser.peek(), Some(Token::Sign("("))) {
            let bases = run.parser.expression();
            self.evaluate(run);
            let listed = run.vals.iter().take(bases.saturating_add(1));
            installs = listed.filter_map(|val| val.path.as_deref()).any(|path| {
                path.starts_with("setuptools.command") || path.starts_with("distutils.command")
            });
        }
        self.set(&name, Val::thing(format!("def:{name}")));
        run.parser.loose(&[":"]);
        self.block(run, Kinds::Class(name, installs));
    }

    fn condition(&mut self, run: &mut Line<'_>) {
        run.parser.bump();
        let id = run.parser.expressions();
        self.evaluate(run);
        let guard = run
            .parser
            .nodes
            .iter()
            .take(id.saturating_add(1))
            .any(|node| {
                matches!(
                    node.expr,
                    Expr::Name("__name__" | "TYPE_CHECKING") | Expr::Attribute(_, "TYPE_CHECKING")
                )
            });
        self.block(run, if guard { Kinds::Main } else { Kinds::Block });
    }

    // `for a in b:`, `with a as b:`, `except A as b:`
    fn binds(&mut self, run: &mut Line<'_>) {
        run.parser.bump();
        while !run.parser.is_done() && !matches!(run.parser.peek(), Some(Token::Sign(":"))) {
            if run.parser.eat(",") || run.parser.eat("*") {
                continue;
            }
            let value = run.parser.expression();
            self.evaluate(run);
            if run.parser.eat_word("as") {
                let target = run.parser.expression();
                self.evaluate(run);
                self.bind(run, target, value);
            }
            if !matches!(run.parser.peek(), Some(Token::Sign(":" | "," | "*"))) {
                break;
            }
        }
        self.block(run, Kinds::Block);
    }

    // Statements of old that are functions now.
    fn python_2(&mut self, run: &mut Line<'_>, word: &str) {
        let place = run.parser.place();
        let id = run.parser.expression();
        if matches!(run.parser.peek(), None | Some(Token::Sign(_))) {
            return self.assignment_from(run, id);
        }
        let value = run.parser.expressions();
        if word == "exec" {
            let callee = run.parser.push(Expr::Name("exec"), place);
            let argument = Argument { name: None, value };
            run.parser.push(Expr::Call(callee, vec![argument]), place);
        }
        self.evaluate(run);
    }

    fn assignment(&mut self, run: &mut Line<'_>) {
        let first = run.parser.expressions();
        self.assignment_from(run, first);
    }

    fn assignment_from(&mut self, run: &mut Line<'_>, first: Id) {
        if matches!(run.parser.peek(), Some(Token::Sign(":"))) {
            run.parser.bump();
            run.parser.expressions();
        }
        let mut targets = vec![first];
        while let Some(Token::Sign(sign)) = run.parser.peek() {
            let sign = *sign;
            if sign == "+=" {
                let place = run.parser.place();
                run.parser.bump();
                let more = run.parser.expressions();
                targets.push(run.parser.push(Expr::Binary("+", first, more), place));
            } else if sign == "="
                || sign.ends_with('=')
                    && sign.len() > 1
                    && !matches!(sign, "==" | "<=" | ">=" | "!=")
            {
                run.parser.bump();
                targets.push(run.parser.expressions());
            } else {
                break;
            }
        }
        self.evaluate(run);
        if let Some(value) = targets.pop() {
            for target in targets {
                self.bind(run, target, value);
            }
        }
    }

    fn bind(&mut self, run: &Line<'_>, target: Id, value: Id) {
        let nodes = &run.parser.nodes;
        let val = run.vals.get(value);
        let val = val.map(|val| self.left.value(&self.left.named, val));
        let val = val.unwrap_or_default();
        match nodes.get(target).map(|node| &node.expr) {
            Some(Expr::Name(name)) => self.set(name, val),
            Some(Expr::Attribute(of, name)) => {
                if let Some(Expr::Name(of)) = nodes.get(*of).map(|node| &node.expr) {
                    // Whatever object that is, its attribute is that from here on.
                    let name = format!("{of}.{name}");
                    if let Some(module) = self.scopes.first_mut() {
                        module.names.insert(name, val);
                    }
                }
            }
            Some(Expr::List(targets)) => {
                if let Some(Expr::List(values)) = nodes.get(value).map(|node| &node.expr) {
                    let pairs: Vec<(Id, Id)> = targets
                        .iter()
                        .copied()
                        .zip(values.iter().copied())
                        .collect();
                    for (target, value) in pairs {
                        self.bind(run, target, value);
                    }
                }
            }
            _ => {}
        }
    }

    fn set(&mut self, name: &str, val: Val) {
        if self.kept >= MAX_KEPT {
            return;
        }
        let in_block = matches!(
            self.scopes.last().map(|scope| &scope.kind),
            Some(Kinds::Block | Kinds::Main)
        );
        let scope = self
            .scopes
            .iter_mut()
            .rev()
            .find(|scope| !matches!(scope.kind, Kinds::Block | Kinds::Main));
        let Some(scope) = scope else { return };
        // In a branch, what is known stays known: the branch may not be taken.
        let known = scope.names.get(name).is_some_and(|old| old.path.is_some());
        if in_block && known && val == Val::default() {
            return;
        }
        self.kept = self.kept.saturating_add(1);
        scope.names.insert(name.to_owned(), val);
    }

    fn get(&self, name: &str) -> Option<&Val> {
        let mut scopes = self.scopes.iter().rev();
        scopes.find_map(|scope| scope.names.get(name))
    }

    fn name(&self, name: &str) -> Val {
        if let Some(val) = self.get(name) {
            return self.left.value(&self.left.room, val);
        }
        if matches!(name, "__builtins__" | "__builtin__" | "builtins") {
            return Val::thing("builtins");
        }
        for module in &self.stars {
            let path = format!("{module}.{name}");
            if sinks::kind(&path).is_some() {
                return Val::thing(path);
            }
        }
        if BUILTINS.contains(&name) {
            return Val::thing(format!("builtins.{name}"));
        }
        Val::default()
    }

    // Works out what has been read since the last time, and looks at it.
    fn evaluate(&mut self, run: &mut Line<'_>) {
        let from = run.vals.len();
        let mut deferred = HashSet::new();
        for node in run.parser.nodes.iter().skip(from) {
            if let Expr::Lambda(start, body) = node.expr {
                deferred.extend(start..=body);
            }
        }
        for id in from..run.parser.nodes.len() {
            let Some(node) = run.parser.nodes.get(id) else {
                break;
            };
            let val = self.val(node, run);
            let val = self.left.value(&self.left.room, &val);
            if let Expr::Call(callee, arguments) = &node.expr {
                let site = (node.line, deferred.contains(&id));
                self.call(site, (*callee, arguments), run);
            }
            run.vals.push(val);
        }
    }

    fn val(&self, node: &Node<'_>, run: &Line<'_>) -> Val {
        let nodes = &run.parser.nodes;
        let known = |id: &Id| run.vals.get(*id).cloned().unwrap_or_default();
        let signs = |ids: &[Id]| {
            ids.iter()
                .fold(Signs::default(), |all, id| all.and(known(id).signs))
        };
        match &node.expr {
            Expr::Text(text, named) => {
                let val = Val::constant(Value::Text(text.clone()));
                if *named {
                    val.with(Signs::COMPUTED)
                } else {
                    val
                }
            }
            Expr::Bytes(bytes) => Val::constant(Value::Bytes(bytes.clone())),
            Expr::Number(number) => Val::constant(Value::Number(*number)),
            Expr::Name(name) => self.name(name),
            Expr::Attribute(of, name) => {
                let attribute = match nodes.get(*of).map(|node| &node.expr) {
                    Some(Expr::Name(of)) => self
                        .get(&format!("{of}.{name}"))
                        .map(|val| self.left.value(&self.left.room, val)),
                    _ => None,
                };
                attribute.unwrap_or_else(|| known(of).attribute(name))
            }
            Expr::Item(of, index) => match nodes.get(*index).map(|node| &node.expr) {
                Some(Expr::Slice(parts)) => {
                    let parts = parts.map(|part| part.map(|id| known(&id).value));
                    let [start, end, every] = &parts;
                    let of = known(of);
                    let value =
                        code::slice(&of.value, [start.as_ref(), end.as_ref(), every.as_ref()]);
                    Val::constant(value).with(of.signs.and(Signs::COMPUTED))
                }
                _ => known(of).item(&known(index)),
            },
            Expr::List(items) => {
                let values = items.iter().map(|id| known(id).value).collect();
                Val::constant(code::list(values)).with(signs(items))
            }
            Expr::Dict(pairs) => {
                let values: Vec<Id> = pairs.iter().map(|(_, value)| *value).collect();
                Val::default().with(signs(&values))
            }
            Expr::Each(element, name, over) => {
                each((*element, name), &known(over), (run, &self.left.steps))
            }
            Expr::Lambda(_, body) => Val::default().with(known(body).signs),
            Expr::Call(callee, arguments) => called(*callee, arguments, run),
            _ => composed(node, run),
        }
    }

    fn call(&mut self, site: Site, (callee, arguments): (Id, &[Argument<'_>]), run: &Line<'_>) {
        let known = |id: Id| run.vals.get(id).cloned().unwrap_or_default();
        let function = known(callee);
        let positional: Vec<Val> = arguments
            .iter()
            .filter(|argument| argument.name.is_none_or(|name| name.starts_with('*')))
            .map(|argument| known(argument.value))
            .collect();
        let named: Vec<(&str, Val)> = arguments
            .iter()
            .filter_map(|argument| {
                Some((
                    argument.name.filter(|name| !name.starts_with('*'))?,
                    known(argument.value),
                ))
            })
            .collect();
        self.edge(run, callee);
        let Some(path) = function.path.as_deref() else {
            return;
        };
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
            self.note(site, verdict);
            if kind == Kind::RunsText {
                self.nested(site, positional.first());
            }
        }
        if matches!(path, "builtins.open" | "io.open" | "codecs.open")
            && let (Some(name), Some(mode)) = (positional.first(), positional.get(1))
            && let (Some(name), Some(mode)) = (name.value.text(), mode.value.text())
        {
            self.note(site, judge::opened(name, mode));
        }
        self.computed_attribute(site, path, &positional);
        self.handed(site, path, (&positional, &named));
    }

    // A function that is handed to another one is called by it.
    fn handed(&mut self, site: Site, path: &str, (positional, named): (&[Val], &[(&str, Val)])) {
        let hands_on = matches!(
            path,
            "threading.Thread"
                | "threading.Timer"
                | "multiprocessing.Process"
                | "atexit.register"
                | "builtins.map"
                | "builtins.filter"
                | "functools.partial"
                | "signal.signal"
                | "sys.settrace"
                | "builtins.list"
        );
        if !hands_on {
            return;
        }
        let handed = positional.iter().chain(named.iter().map(|(_, val)| val));
        let rest: Vec<Val> = positional.iter().skip(1).cloned().collect();
        for val in handed.clone() {
            let Some(path) = val.path.as_deref() else {
                continue;
            };
            if let Some(local) = path.strip_prefix("def:") {
                self.keep_call(local.to_owned());
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
                self.note(site, verdict);
            }
        }
    }

    // `getattr(os, name)` with a name that nobody knows.
    fn computed_attribute(&mut self, site: Site, path: &str, arguments: &[Val]) {
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
            self.note(site, Some(verdict));
        }
    }

    // A text that is run is a program, too.
    fn nested(&mut self, site: Site, first: Option<&Val>) {
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
        self.left = inner.left;
        for (function, main, _, mut verdict) in std::mem::take(&mut inner.seen) {
            if function.is_none() && !main {
                verdict.message = format!("in a text that is run, {}", verdict.message);
                self.note(site, Some(verdict));
            }
        }
    }

    fn note(&mut self, (line, deferred): Site, verdict: Option<Verdict>) {
        if let Some(verdict) = verdict {
            let (function, main) = self.context();
            self.seen.push((function, main || deferred, line, verdict));
        }
    }

    // Remembers that a function of this program is called.
    fn edge(&mut self, run: &Line<'_>, callee: Id) {
        let nodes = &run.parser.nodes;
        let local = match run.vals.get(callee).and_then(|val| val.path.as_deref()) {
            Some(path) => path
                .strip_prefix("def:")
                .map(|name| name.trim_end_matches("()").to_owned()),
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

    fn keep_call(&mut self, name: String) {
        let (function, main) = self.context();
        if !main && self.calls.len() < MAX_KEPT {
            self.calls.insert((function, name));
        }
    }

    // Which functions importing runs.
    fn reached(&self, installs: bool) -> BTreeSet<usize> {
        let mut by_name: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (id, function) in self.functions.iter().enumerate() {
            let class = function.class.as_deref();
            let made = matches!(
                function.name.as_str(),
                "__init__" | "__new__" | "__post_init__"
            );
            // To call a class is to call what makes its objects.
            let name = class.filter(|_| made).unwrap_or(&function.name);
            by_name.entry(name).or_default().push(id);
            if class.is_some() {
                // `Class.method()`
                by_name.entry(&function.name).or_default().push(id);
            }
        }
        let mut by_caller: BTreeMap<Option<usize>, Vec<&str>> = BTreeMap::new();
        for (caller, name) in &self.calls {
            by_caller.entry(*caller).or_default().push(name);
        }
        let mut run: BTreeSet<usize> = BTreeSet::new();
        let commands = self.functions.iter().enumerate();
        let mut next: Vec<Option<usize>> = commands
            .filter(|(_, function)| installs && function.installs && function.name != "__init__")
            .map(|(id, _)| Some(id))
            .collect();
        run.extend(next.iter().flatten());
        next.push(None);
        // Functions of one name are reached together, and once.
        let mut reached = BTreeSet::new();
        while let Some(caller) = next.pop() {
            let names = by_caller
                .get(&caller)
                .map(Vec::as_slice)
                .unwrap_or_default();
            let names = names.iter().filter(|name| reached.insert(**name));
            for id in names.filter_map(|name| by_name.get(name)).flatten() {
                if run.insert(*id) {
                    next.push(Some(*id));
                }
            }
        }
        run
    }

    // How bad each sight is where it stands.
    fn finish(self, installs: bool) -> Vec<Sight> {
        let run = self.reached(installs);
        let called: BTreeSet<&str> = self.calls.iter().map(|(_, name)| name.as_str()).collect();
        let is_called = |id: usize| {
            let function = self.functions.get(id);
            function.is_some_and(|function| called.contains(function.name.as_str()))
        };
        let mut told = BTreeSet::new();
        let mut sights = Vec::new();
        for (function, main, line, verdict) in self.seen {
            let runs = !main && function.is_none_or(|id| run.contains(&id));
            let severity = if runs {
                verdict.on_import
            } else if verdict.given && !function.is_some_and(is_called) {
                // Nothing here calls it: what it runs is in the program that does.
                verdict.in_function.min(Some(Severity::Medium))
            } else {
                verdict.in_function
            };
            let Some(severity) = severity else { continue };
            // What only a caller runs, and is usual in programs, is no news.
            if severity == Severity::Info
                || !told.insert((line, verdict.rule.id, verdict.message.clone()))
            {
                continue;
            }
            let when = if runs {
                "when the program is imported"
            } else {
                "when it is called"
            };
            sights.push(Sight {
                rule: verdict.rule,
                severity,
                confidence: verdict.confidence,
                message: format!("{}, {when}", verdict.message),
                line,
            });
        }
        sights
    }
}

struct Line<'s> {
    parser: Parser<'s>,
    vals: Vec<Val>,
    indent: usize,
    // Their names, and whether they have defaults.
    parameters: Vec<(String, bool)>,
}

// What operators make of what stands beside them.
fn composed(node: &Node<'_>, run: &Line<'_>) -> Val {
    let known = |id: &Id| run.vals.get(*id).cloned().unwrap_or_default();
    let signs = |ids: &[Id]| {
        ids.iter()
            .fold(Signs::default(), |all, id| all.and(known(id).signs))
    };
    match &node.expr {
        Expr::Binary(sign, left, right) => {
            let value = code::binary(sign, &known(left).value, &known(right).value);
            let mut signs = signs(&[*left, *right]);
            if known(left).value.is_known() || known(right).value.is_known() {
                signs = signs.without(Signs::GIVEN);
            }
            if matches!(value, Value::Text(_) | Value::Bytes(_)) && *sign != "and" && *sign != "or"
            {
                signs = signs.and(Signs::COMPUTED);
            }
            // `a or b` is one of them.
            let path = if matches!(*sign, "or" | "and") {
                known(right).path
            } else {
                None
            };
            Val { value, path, signs }
        }
        Expr::Unary(sign, operand) => {
            let operand = known(operand);
            let value = code::unary(sign, &operand.value);
            Val::constant(value).with(operand.signs)
        }
        Expr::Choice(_, value, other) => {
            let value = known(value);
            if value.path.is_some() || value.value.is_known() {
                value
            } else {
                other.map(|other| known(&other)).unwrap_or_default()
            }
        }
        Expr::Format(parts) => {
            let texts: Vec<Value> = parts.iter().map(|id| known(id).value).collect();
            let mut signs = signs(parts);
            if texts.iter().any(Value::is_known) {
                signs = signs.without(Signs::GIVEN);
            }
            Val::constant(code::joined(&Value::List(texts), "")).with(signs)
        }
        _ => Val::default(),
    }
}

// `chr(c) for c in [..]`, and the same with a little arithmetic around `c`.
fn each((element, name): (Id, &str), over: &Val, (run, steps): (&Line<'_>, &Cell<u32>)) -> Val {
    if steps.get() == 0 {
        return Val::default().with(over.signs);
    }
    let items: Vec<Value> = match &over.value {
        Value::List(items) => items.clone(),
        Value::Bytes(bytes) => bytes
            .iter()
            .map(|byte| Value::Number((*byte).into()))
            .collect(),
        Value::Text(text) => text.chars().map(|c| Value::Text(c.to_string())).collect(),
        _ => return Val::default().with(over.signs),
    };
    let made: Option<Vec<Value>> = items
        .iter()
        .take(10_000)
        .map(|item| computed(element, (name, item), &run.parser.nodes, (steps, 16)))
        .collect();
    let signs = over.signs.and(Signs::COMPUTED);
    match made {
        Some(made) => Val::constant(code::list(made)).with(signs),
        None => Val::default().with(over.signs),
    }
}

// What a call makes.
fn called(callee: Id, arguments: &[Argument<'_>], run: &Line<'_>) -> Val {
    let known = |id: Id| run.vals.get(id).cloned().unwrap_or_default();
    let given: Vec<Val> = arguments
        .iter()
        .map(|argument| known(argument.value))
        .collect();
    let function = known(callee);
    let mut signs = given
        .iter()
        .fold(function.signs, |all, one| all.and(one.signs));
    if let Some(path) = function.path.as_deref() {
        if let Some(val) = known_call(path, &given) {
            return val.with(function.signs);
        }
        if sinks::kind(path) == Some(Kind::Speaks) {
            signs = signs.and(Signs::FETCHED);
        }
        let path = Some(format!("{path}()")).filter(|path| path.len() < 200);
        return Val {
            value: Value::Unknown,
            path,
            signs,
        };
    }
    // A method of a constant.
    if let Some(Expr::Attribute(of, name)) = run.parser.nodes.get(callee).map(|node| &node.expr) {
        let of = known(*of);
        let values: Vec<Value> = given.iter().map(|val| val.value.clone()).collect();
        let value = code::method(&of.value, name, &values);
        let made = !matches!(value, Value::Unknown)
            && !matches!(*name, "decode" | "encode" | "strip" | "lower" | "upper");
        let codec = given
            .first()
            .and_then(|codec| codec.value.text())
            .unwrap_or("utf-8");
        let plain = ["utf", "ascii", "latin", "iso"]
            .iter()
            .any(|one| codec.to_ascii_lowercase().starts_with(one));
        let unreadable = matches!(*name, "decode" | "encode") && !plain;
        let more = if unreadable {
            Signs::DECODED
        } else if made {
            Signs::COMPUTED
        } else {
            Signs::default()
        };
        return Val::constant(value).with(signs.and(of.signs).and(more));
    }
    Val::default().with(signs)
}

// An expression for one value of the name in it.
fn computed(
    id: Id,
    bound: (&str, &Value),
    nodes: &[Node<'_>],
    (steps, depth): (&Cell<u32>, u32),
) -> Option<Value> {
    let below = depth.checked_sub(1)?;
    steps.set(steps.get().checked_sub(1)?);
    let inner = |id: Id| computed(id, bound, nodes, (steps, below));
    match &nodes.get(id)?.expr {
        Expr::Name(name) if *name == bound.0 => Some(bound.1.clone()),
        Expr::Number(number) => Some(Value::Number(*number)),
        Expr::Text(text, _) => Some(Value::Text(text.clone())),
        Expr::Binary(sign, left, right) => {
            Some(code::binary(sign, &inner(*left)?, &inner(*right)?)).filter(Value::is_known)
        }
        Expr::Call(callee, arguments) => {
            let argument = inner(arguments.first()?.value)?;
            match (&nodes.get(*callee)?.expr, argument) {
                (Expr::Name("chr"), argument) => {
                    known_call("builtins.chr", &[Val::constant(argument)]).map(|val| val.value)
                }
                (Expr::Name("int"), Value::Text(text)) => {
                    text.trim().parse().ok().map(Value::Number)
                }
                (Expr::Name("ord"), Value::Text(text)) => text
                    .chars()
                    .next()
                    .map(|c| Value::Number(u32::from(c).into())),
                (Expr::Name("str" | "int"), argument) => Some(argument),
                _ => None,
            }
        }
        _ => None,
    }
}

// The names of the parameters of a definition, and whether they have defaults.
fn parameters(tokens: &[code::Token<'_>]) -> Vec<(String, bool)> {
    let is = |at: usize, word: &str| matches!(tokens.get(at).map(|token| &token.kind), Some(Token::Name(name)) if *name == word);
    let defines = is(0, "def") || is(0, "async") && is(1, "def");
    if !defines {
        return Vec::new();
    }
    let (mut depth, mut before) = (0_u32, "");
    let mut names: Vec<(String, bool)> = Vec::new();
    for token in tokens {
        match &token.kind {
            Token::Sign(sign @ ("(" | "[" | "{")) => {
                depth = depth.saturating_add(1);
                before = sign;
            }
            Token::Sign(")" | "]" | "}") => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    break;
                }
                before = ")";
            }
            Token::Sign(sign) => {
                if *sign == "="
                    && depth == 1
                    && let Some((_, has_default)) = names.last_mut()
                {
                    *has_default = true;
                }
                before = sign;
            }
            Token::Name(name) if depth == 1 && matches!(before, "(" | "," | "*" | "**") => {
                names.push(((*name).to_owned(), false));
                before = "";
            }
            _ => before = "",
        }
    }
    names
}
