//! Statements: what they give names to, and which blocks they open.

use std::collections::{HashMap, HashSet};

use crate::text::code::{self, Argument, Expr, Id, Kind as Token};

use super::{Function, Kinds, Line, MAX_SCOPES, MAX_STARS, Scope, Walker};
use crate::text::python::sinks;
use crate::text::python::values::{self, Signs, Val};

impl Walker {
    /// Reads a statement.
    pub(super) fn statement(&mut self, run: &mut Line<'_>) {
        let word = match run.parser.peek() {
            Some(Token::Name(word)) => *word,
            Some(Token::Sign("@")) => {
                let (_, line) = run.parser.place();
                run.parser.bump();
                let id = run.parser.expressions();
                self.evaluate(run);
                self.decorated(line, id, run);
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
                    let id = run.parser.expressions();
                    self.evaluate(run);
                    if word == "return" {
                        let line = run.parser.nodes.get(id).map_or(1, |node| node.line);
                        let val = run.vals.get(id).cloned().unwrap_or_default();
                        self.reduced(line, &val);
                        self.returned(run, id);
                    }
                }
            }
            "global" => self.global(run),
            "nonlocal" => run.parser.loose(&[";"]),
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
            globals: HashSet::new(),
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
            let thing = Val::thing(values::plain(&format!("{module}.{name}")));
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
        let around = self
            .scopes
            .iter()
            .rev()
            .find(|scope| scope.kind != Kinds::Block);
        let (class, hook) = match around.map(|scope| &scope.kind) {
            Some(Kinds::Class(class, installs)) => (Some(class.clone()), *installs),
            // Asked for every name that the module does not have, and the import system asks for some.
            Some(Kinds::Module) => (None, name == "__getattr__"),
            _ => (None, false),
        };
        let id = self.functions.len();
        let in_class = class.is_some();
        if !in_class {
            self.set(&name, Val::thing(format!("def:{name}")));
        }
        let function = Function { name, class, hook };
        if std::mem::take(&mut self.property) {
            self.properties.insert(function.full());
        }
        self.functions.push(function);
        self.block(run, Kinds::Function(id));
        let parameters = std::mem::take(&mut run.parameters);
        for (number, (parameter, has_default)) in parameters.into_iter().enumerate() {
            // A default stands in the program, and so does what an object holds.
            let val = match (number == 0 && in_class, has_default) {
                (true, _) => Val::default(),
                (_, true) => Val::thing(format!("arg:{id}")),
                _ => Val::thing(format!("arg:{id}")).with(Signs::GIVEN),
            };
            self.set(&parameter, val);
        }
    }

    // What a function gives back to whoever calls it.
    fn returned(&mut self, run: &Line<'_>, id: Id) {
        let (function, _) = self.context();
        let full = function
            .and_then(|id| self.functions.get(id))
            .map(Function::full);
        if let (Some(full), Some(val)) = (full, run.vals.get(id)) {
            let val = self.left.value(&self.left.named, val);
            self.give(Some(&format!("def:{full}")), val);
        }
    }

    fn global(&mut self, run: &mut Line<'_>) {
        run.parser.bump();
        while let Some(name) = run.parser.name() {
            let scope = self
                .scopes
                .iter_mut()
                .rev()
                .find(|scope| !matches!(scope.kind, Kinds::Block | Kinds::Main));
            if let Some(scope) = scope {
                scope.globals.insert(name.to_owned());
            }
            if !run.parser.eat(",") {
                break;
            }
        }
        run.parser.loose(&[";"]);
    }

    fn class(&mut self, run: &mut Line<'_>) {
        run.parser.bump();
        let name = run.parser.name().unwrap_or_default().to_owned();
        self.property = false;
        let mut installs = false;
        let mut bases = Vec::new();
        if matches!(run.parser.peek(), Some(Token::Sign("["))) {
            run.parser.expression();
        }
        if matches!(run.parser.peek(), Some(Token::Sign("("))) {
            run.parser.bump();
            bases = self.bases(run);
            installs = bases.iter().any(|path| {
                path.starts_with("setuptools.command") || path.starts_with("distutils.command")
            });
        }
        let locals = bases.iter().filter_map(|path| path.strip_prefix("def:"));
        let locals: Vec<String> = locals.map(str::to_owned).collect();
        for base in &locals {
            // What is made from it tells it so.
            self.keep_call(format!("{base}.__init_subclass__"));
        }
        self.classes.insert(name.clone(), locals);
        self.set(&name, Val::thing(format!("def:{name}")));
        run.parser.loose(&[":"]);
        self.block(run, Kinds::Class(name, installs));
    }

    // What a class is made from. What makes the class runs at once.
    fn bases(&mut self, run: &mut Line<'_>) -> Vec<String> {
        let mut bases = Vec::new();
        while !run.parser.is_done() && !run.parser.eat(")") {
            if run.parser.eat(",") || run.parser.eat("*") || run.parser.eat("**") {
                continue;
            }
            let id = run.parser.expression();
            let named = run.parser.eat("=");
            let id = if named { run.parser.expression() } else { id };
            self.evaluate(run);
            let path = run.vals.get(id).and_then(|val| val.path.clone());
            if let Some(path) = path.filter(|path| path.len() < 200) {
                if named {
                    let class = path.strip_prefix("def:").unwrap_or_default();
                    for method in ["__prepare__", "__new__", "__init__"] {
                        self.keep_call(format!("{class}.{method}"));
                    }
                } else {
                    bases.push(path);
                }
            }
            if !matches!(run.parser.peek(), Some(Token::Sign("," | ")" | "*" | "**"))) {
                break;
            }
        }
        bases
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
            self.entered(run, value);
            if !matches!(run.parser.peek(), Some(Token::Sign(":" | "," | "*"))) {
                break;
            }
        }
        self.block(run, Kinds::Block);
    }

    // What `for` and `with` call of what they are given; and what `for` gives a name to.
    fn entered(&mut self, run: &Line<'_>, id: Id) {
        const ENTERS: [&str; 4] = ["__enter__", "__exit__", "__aenter__", "__aexit__"];
        const TURNS: [&str; 4] = ["__iter__", "__next__", "__aiter__", "__getitem__"];
        let val = |id: Id| run.vals.get(id);
        let Some(Expr::Binary("in", target, over)) = run.parser.nodes.get(id).map(|n| &n.expr)
        else {
            let object = val(id).and_then(|val| val.path.as_deref());
            return self.implied(object, &ENTERS);
        };
        let over = val(*over);
        self.implied(over.and_then(|over| over.path.as_deref()), &TURNS);
        if let Some(Expr::Name(name)) = run.parser.nodes.get(*target).map(|node| &node.expr) {
            let one = over.map(Val::one).unwrap_or_default();
            let one = self.left.value(&self.left.named, &one);
            self.set(name, one);
        }
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

    /// Gives what a value is to what stands left of it.
    pub(super) fn bind(&mut self, run: &Line<'_>, target: Id, value: Id) {
        let nodes = &run.parser.nodes;
        let val = run.vals.get(value);
        let val = val.map(|val| self.left.value(&self.left.named, val));
        let val = val.unwrap_or_default();
        match nodes.get(target).map(|node| &node.expr) {
            Some(Expr::Name(name)) => self.set(name, val),
            Some(Expr::Attribute(of, name)) => {
                self.hooked(run, target, &val);
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

    // Functions that Python calls by itself from now on.
    fn hooked(&mut self, run: &Line<'_>, target: Id, val: &Val) {
        const HOOKS: [&str; 5] = [
            "sys.excepthook",
            "sys.unraisablehook",
            "sys.displayhook",
            "threading.excepthook",
            "builtins.__import__",
        ];
        let place = run.vals.get(target).and_then(|place| place.path.as_deref());
        if place.is_some_and(|place| HOOKS.contains(&place))
            && let Some(local) = val.path.as_deref().and_then(|path| self.local(path))
        {
            self.keep_call(local);
        }
    }
}

/// Returns the names of the parameters of a definition, and whether they have defaults.
pub(super) fn parameters(tokens: &[code::Token<'_>]) -> Vec<(String, bool)> {
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
