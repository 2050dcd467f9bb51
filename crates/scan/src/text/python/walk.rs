//! A walk over the statements of a program, line by line.
//!
//! Lines are put into scopes by how far they are indented; a scope knows what names stand for. A
//! line that is no Python is passed over as far as needed, and the walk goes on.

mod calls;
mod expressions;
mod objects;
mod statements;

use std::cell::Cell;
use std::collections::{BTreeSet, HashMap, HashSet};

use custos_core::finding::{Confidence, Severity};

use crate::rules::Rule;
use crate::text::code::{self, Dialect, Kind as Token, Lexer, Parser, Value};

use super::judge::Verdict;
use super::sinks;
use super::values::Val;
use statements::parameters;

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
/// Most constants that are looked at by themselves, and most bytes of them.
const MAX_PAYLOADS: usize = 64;
const MAX_PAYLOAD_BYTES: usize = 16 << 20;

/// Functions that need no import, as far as they matter.
const BUILTINS: [&str; 37] = [
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
    "iter",
    "next",
    "sorted",
    "min",
    "max",
    "property",
    "object",
    "dir",
    "type",
    // Of notebooks.
    "get_ipython",
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

/// Bytes that a program holds and loads objects from.
#[derive(Debug)]
pub(super) struct Payload {
    pub(super) line: u32,
    pub(super) bytes: Vec<u8>,
}

/// What a program does, as far as it could be followed.
#[derive(Debug)]
pub(super) struct Walk {
    pub(super) sights: Vec<Sight>,
    pub(super) payloads: Vec<Payload>,
    /// All of it was followed.
    pub(super) whole: bool,
}

/// Looks at a program; `installs` says that it is run to install a package.
pub(super) fn walk(source: &str, installs: bool) -> Walk {
    let mut walker = Walker::new(0, installs);
    let room = MAX_WORKED_OUT.saturating_add(source.len().saturating_mul(64));
    walker.left.room.set(room);
    walker.program(source);
    Walk {
        payloads: std::mem::take(&mut walker.payloads),
        whole: !walker.left.full.get(),
        sights: walker.finish(installs),
    }
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
            held: val.held.clone(),
            signs: val.signs,
        }
    }
}

struct Walker {
    scopes: Vec<Scope>,
    functions: Vec<Function>,
    // Who calls whom, by name; nobody is the module itself.
    calls: BTreeSet<(Option<usize>, String)>,
    stars: Vec<String>,
    seen: Vec<(Option<usize>, bool, u32, Verdict)>,
    // The function without a name that is being read.
    inside: Option<usize>,
    // Classes, with those of the program that they are made from.
    classes: HashMap<String, Vec<String>>,
    // Methods that run when they are looked at, and whether the next one is such.
    properties: HashSet<String>,
    property: bool,
    // What functions give back.
    gives: HashMap<String, Val>,
    // Functions that call what they are given.
    applies: HashSet<String>,
    payloads: Vec<Payload>,
    // Classes of which objects are written as pickles.
    pickled: BTreeSet<String>,
    kept: usize,
    nested: u32,
    builds: bool,
    left: Left,
}

struct Scope {
    indent: usize,
    kind: Kinds,
    names: HashMap<String, Val>,
    // Names that are those of the module.
    globals: HashSet<String>,
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
    // Runs without being called by name: to install, or when a name is looked up in the module.
    hook: bool,
}

impl Function {
    // Its name, with that of its class.
    fn full(&self) -> String {
        match &self.class {
            Some(class) => format!("{class}.{}", self.name),
            None => self.name.clone(),
        }
    }
}

struct Line<'s> {
    parser: Parser<'s>,
    vals: Vec<Val>,
    indent: usize,
    // Their names, and whether they have defaults.
    parameters: Vec<(String, bool)>,
}

impl Walker {
    fn new(nested: u32, builds: bool) -> Self {
        let module = Scope {
            indent: 0,
            kind: Kinds::Module,
            names: HashMap::new(),
            globals: HashSet::new(),
        };
        Self {
            scopes: vec![module],
            functions: Vec::new(),
            calls: BTreeSet::new(),
            stars: Vec::new(),
            seen: Vec::new(),
            inside: None,
            classes: HashMap::new(),
            properties: HashSet::new(),
            property: false,
            gives: HashMap::new(),
            applies: HashSet::new(),
            payloads: Vec::new(),
            pickled: BTreeSet::new(),
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
        let function = self.inside.or(function);
        let main = self.scopes.iter().any(|scope| scope.kind == Kinds::Main);
        (function, main)
    }

    fn set(&mut self, name: &str, val: Val) {
        if self.kept >= MAX_KEPT {
            return;
        }
        let in_block = matches!(
            self.scopes.last().map(|scope| &scope.kind),
            Some(Kinds::Block | Kinds::Main)
        );
        let at = self
            .scopes
            .iter()
            .rposition(|scope| !matches!(scope.kind, Kinds::Block | Kinds::Main));
        let at = at.unwrap_or(0);
        let of_module = |scope: &Scope| scope.globals.contains(name);
        let at = if self.scopes.get(at).is_some_and(of_module) {
            0
        } else {
            at
        };
        let Some(scope) = self.scopes.get_mut(at) else {
            return;
        };
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
            if sinks::kind(&path).is_some() || sinks::has_module(&path) {
                return Val::thing(path);
            }
        }
        if BUILTINS.contains(&name) {
            return Val::thing(format!("builtins.{name}"));
        }
        Val::default()
    }

    // How bad each sight is where it stands.
    fn finish(self, installs: bool) -> Vec<Sight> {
        let run = self.reached(installs);
        let called: HashSet<&str> = self.calls.iter().map(|(_, name)| name.as_str()).collect();
        let is_called = |id: usize| {
            let function = self.functions.get(id);
            function.is_some_and(|function| {
                called.contains(function.name.as_str()) || called.contains(function.full().as_str())
            })
        };
        let mut told = BTreeSet::new();
        let mut sights = Vec::new();
        for (function, main, line, verdict) in &self.seen {
            let runs = !*main && function.is_none_or(|id| run.contains(&id));
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
                || !told.insert((*line, verdict.rule.id, verdict.message.clone()))
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
                line: *line,
            });
        }
        sights
    }
}
