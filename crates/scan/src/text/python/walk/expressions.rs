//! Expressions: what they come to, as far as that is known.

use std::cell::Cell;
use std::collections::HashMap;

use crate::text::code::{self, Argument, Expr, Id, Node, Value};
use crate::text::python::places;
use crate::text::python::sinks::{self, Kind};
use crate::text::python::values::{Signs, Val, key_of, known_call};

use super::{Function, Line, Walker};

impl Walker {
    /// Works out what has been read since the last time, and looks at it.
    pub(super) fn evaluate(&mut self, run: &mut Line<'_>) {
        let from = run.vals.len();
        let to = run.parser.nodes.len();
        if from == to {
            return;
        }
        run.vals.resize(to, Val::default());
        let (lambdas, inside) = self.lambdas(from, run);
        self.repeated(from, run);
        for id in from..to {
            let Some(node) = run.parser.nodes.get(id) else {
                break;
            };
            self.inside = inside.get(&id).copied();
            let val = self.val(node, run);
            let mut val = self.left.value(&self.left.room, &val);
            if let Some(function) = lambdas.get(&id) {
                val.path = Some(format!("def:<lambda {function}>"));
            }
            match &node.expr {
                Expr::Call(callee, arguments) => {
                    self.call(node.line, (*callee, arguments), run);
                }
                Expr::Attribute(..) => self.looked_at(&val),
                Expr::Lambda(_, body) => {
                    let body = run.vals.get(*body).cloned().unwrap_or_default();
                    self.give(val.path.as_deref(), body);
                }
                _ => {}
            }
            let bound = match node.expr {
                Expr::Binary(":=", target, value) => Some((target, value)),
                _ => None,
            };
            if let Some(slot) = run.vals.get_mut(id) {
                *slot = val;
            }
            if let Some((target, value)) = bound {
                self.bind(run, target, value);
            }
        }
        self.inside = None;
    }

    // Makes functions of those without a name; returns which nodes are functions, and which are in
    // one.
    fn lambdas(&mut self, from: Id, run: &Line<'_>) -> (HashMap<Id, usize>, HashMap<Id, usize>) {
        let (mut lambdas, mut inside) = (HashMap::new(), HashMap::new());
        for (id, node) in run.parser.nodes.iter().enumerate().skip(from) {
            let Expr::Lambda(start, body) = node.expr else {
                continue;
            };
            let function = self.functions.len();
            self.functions.push(Function {
                name: format!("<lambda {function}>"),
                class: None,
                hook: false,
            });
            lambdas.insert(id, function);
            for id in start..=body {
                // Those within come first, and keep what is theirs.
                inside.entry(id).or_insert(function);
            }
        }
        (lambdas, inside)
    }

    // What stands behind `in` is worked out before what stands in front of it.
    fn repeated(&mut self, from: Id, run: &mut Line<'_>) {
        for each in from..run.parser.nodes.len() {
            let Some(Expr::Each(element, name, over)) =
                run.parser.nodes.get(each).map(|node| &node.expr)
            else {
                continue;
            };
            let (element, name, over) = (*element, *name, *over);
            for id in element.saturating_add(1)..=over {
                let val = run.parser.nodes.get(id).map(|node| self.val(node, run));
                if let (Some(val), Some(slot)) = (val, run.vals.get_mut(id)) {
                    *slot = val;
                }
            }
            let one = run.vals.get(over).map(Val::one).unwrap_or_default();
            let tells = one.path.is_some() || one.value.is_known() || one.signs.any(Signs::LISTED);
            if !name.is_empty() && tells {
                self.set(name, one);
            }
        }
    }

    fn val(&self, node: &Node<'_>, run: &Line<'_>) -> Val {
        let nodes = &run.parser.nodes;
        let known = |id: &Id| run.vals.get(*id).cloned().unwrap_or_default();
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
            Expr::Item(of, index) => self.item((*of, *index), run),
            Expr::List(_) | Expr::Dict(_) => collected(node, run),
            Expr::Each(element, name, over) => {
                each((*element, name), &known(over), (run, &self.left.steps))
            }
            Expr::Lambda(_, body) => Val::default().with(known(body).signs),
            Expr::Call(callee, arguments) => self.called((*callee, arguments), run),
            _ => composed(node, run),
        }
    }

    fn item(&self, (of, index): (Id, Id), run: &Line<'_>) -> Val {
        let known = |id: Id| run.vals.get(id).cloned().unwrap_or_default();
        let of = known(of);
        if let Some(Expr::Slice(parts)) = run.parser.nodes.get(index).map(|node| &node.expr) {
            let parts = parts.map(|part| part.map(|id| known(id).value));
            let [start, end, every] = &parts;
            let value = code::slice(&of.value, [start.as_ref(), end.as_ref(), every.as_ref()]);
            return Val::constant(value).with(of.signs.and(Signs::COMPUTED));
        }
        let index = known(index);
        // `globals()['f']`
        let own = index
            .value
            .text()
            .filter(|_| of.path.as_deref() == Some("<names>"))
            .and_then(|name| self.get(name));
        match own {
            Some(own) => own.clone().with(of.signs.and(Signs::COMPUTED)),
            None => of.item(&index),
        }
    }

    // What a call makes.
    fn called(&self, (callee, arguments): (Id, &[Argument<'_>]), run: &Line<'_>) -> Val {
        let known = |id: Id| run.vals.get(id).cloned().unwrap_or_default();
        let given: Vec<Val> = arguments
            .iter()
            .map(|argument| known(argument.value))
            .collect();
        let function = known(callee);
        if let Some(Expr::Attribute(of, name)) = run.parser.nodes.get(callee).map(|node| &node.expr)
            && let Some(found) = by_method(&known(*of), name, &given)
        {
            return found;
        }
        let mut signs = given
            .iter()
            .fold(function.signs, |all, one| all.and(one.signs));
        let Some(path) = function
            .path
            .as_deref()
            .filter(|path| !path.starts_with("arg:"))
        else {
            return self::method(callee, (&given, signs), run);
        };
        if let Some(local) = self.local(path)
            && let Some(given) = self.gives.get(&local)
        {
            return given.clone().with(signs);
        }
        if let Some(val) = known_call(path, &given) {
            return val.with(function.signs);
        }
        match sinks::kind(path) {
            Some(Kind::Speaks | Kind::Fetches) => signs = signs.and(Signs::FETCHED),
            Some(Kind::Unpickles) if path.starts_with("marshal.") => {
                signs = signs.and(Signs::DECODED);
            }
            _ => {}
        }
        signs = signs.and(made_of(path, &given));
        if opens(path) && given.first().is_some_and(|name| is_private(&name.value)) {
            signs = signs.and(Signs::SECRET);
        }
        // What reads objects has what it reads.
        let value = match given.into_iter().next() {
            Some(first) if path.ends_with(".Unpickler") => first.value,
            _ => Value::Unknown,
        };
        Val {
            value,
            path: Some(format!("{path}()")).filter(|path| path.len() < 200),
            ..Val::default().with(signs)
        }
    }
}

// What is said of what a function of Python gives back.
fn made_of(path: &str, given: &[Val]) -> Signs {
    const HARMFUL: [&str; 5] = ["os", "subprocess", "builtins", "posix", "pty"];
    let first = given.first();
    match path {
        "site.getsitepackages"
        | "site.getusersitepackages"
        | "sysconfig.get_paths"
        | "sysconfig.get_path"
        | "distutils.sysconfig.get_python_lib" => Signs::SITE,
        "os.getenv" | "os.environ.get" => key_of(first.and_then(|name| name.value.text())),
        "builtins.dir" => {
            let module = first.and_then(|of| of.path.as_deref());
            if module.is_some_and(|module| HARMFUL.contains(&module)) {
                Signs::LISTED
            } else {
                Signs::default()
            }
        }
        _ if opens(path) && first.is_some_and(|name| places::is_outside(&name.value)) => {
            Signs::OUTSIDE
        }
        _ => Signs::default(),
    }
}

// What methods of dictionaries, modules and paths get by a name.
fn by_method(of: &Val, name: &str, given: &[Val]) -> Option<Val> {
    match name {
        "get" if of.path.as_deref() == Some("os.environ") => {
            Some(Val::default().with(key_of(given.first()?.value.text())))
        }
        "get" | "pop" | "setdefault" | "__getitem__" => {
            let found = of.item(given.first()?);
            let path = found.path.as_deref();
            path.is_some_and(|path| !path.ends_with("[]"))
                .then_some(found)
        }
        "__getattribute__" | "__getattr__" => {
            let name = given.first()?;
            let found = of.attribute(name.value.text()?);
            Some(found.with(name.signs.and(Signs::COMPUTED)))
        }
        "expanduser" | "resolve" | "absolute" if is_path(of) => Some(of.clone()),
        "read_text" | "read_bytes" if is_path(of) && places::is_outside(&of.value) => {
            Some(Val::default().with(of.signs.and(Signs::OUTSIDE)))
        }
        "read_text" | "read_bytes" | "open" if is_path(of) && is_private(&of.value) => {
            Some(Val::thing("builtins.open()").with(of.signs.and(Signs::SECRET)))
        }
        _ => None,
    }
}

pub(super) fn is_path(val: &Val) -> bool {
    let path = val.path.as_deref();
    path.is_some_and(|path| path.starts_with("pathlib.") && path.ends_with("()"))
}

fn opens(path: &str) -> bool {
    matches!(
        path,
        "builtins.open" | "io.open" | "codecs.open" | "os.open"
    )
}

// Files that hold keys of a user.
fn is_private(name: &Value) -> bool {
    const PRIVATE: [&str; 16] = [
        "/.ssh/id_",
        "/.ssh/",
        "/.aws/credentials",
        "/.netrc",
        "/.git-credentials",
        "/.kube/config",
        "/.docker/config.json",
        "/.pypirc",
        "/.npmrc",
        "/.gnupg/",
        "/.bash_history",
        "/.huggingface/token",
        "/huggingface/token",
        "/etc/shadow",
        "/Login Data",
        "/wallet.dat",
    ];
    let name = name.text().unwrap_or_default();
    PRIVATE.iter().any(|place| name.contains(place))
}

// A list or dictionary.
fn collected(node: &Node<'_>, run: &Line<'_>) -> Val {
    let known = |id: &Id| run.vals.get(*id).cloned().unwrap_or_default();
    let signs = |ids: &mut dyn Iterator<Item = &Id>| {
        ids.fold(Signs::default(), |all, id| all.and(known(id).signs))
    };
    match &node.expr {
        // `[.. for ..]` is the list that it makes.
        Expr::List(items) => match items.as_slice() {
            [only]
                if matches!(
                    run.parser.nodes.get(*only).map(|node| &node.expr),
                    Some(Expr::Each(..))
                ) =>
            {
                known(only)
            }
            items => {
                let values = items.iter().map(|id| known(id).value).collect();
                let numbered = items.iter().zip(0_i64..);
                let held = numbered.map(|(id, at)| (Value::Number(at), known(id)));
                Val::constant(code::list(values))
                    .with(signs(&mut items.iter()))
                    .holding(held)
            }
        },
        Expr::Dict(pairs) => {
            let held = pairs
                .iter()
                .map(|(key, item)| (known(key).value, known(item)));
            Val::default()
                .with(signs(&mut pairs.iter().map(|(_, item)| item)))
                .holding(held)
        }
        _ => Val::default(),
    }
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
            match *sign {
                // It is one of them.
                "/" if is_path(&known(left)) => {
                    let parts = [known(left), known(right)];
                    known_call("pathlib.Path", &parts).unwrap_or_default()
                }
                "or" | "and" => known(right).or(known(left)).with(signs),
                ":=" => known(right),
                _ => Val::constant(value).with(signs),
            }
        }
        Expr::Unary(sign, operand) => {
            let operand = known(operand);
            let value = code::unary(sign, &operand.value);
            Val::constant(value).with(operand.signs)
        }
        Expr::Choice(_, value, other) => {
            let other = other.map(|other| known(&other)).unwrap_or_default();
            known(value).or(other)
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

// What a method of a constant makes.
fn method(callee: Id, (given, signs): (&[Val], Signs), run: &Line<'_>) -> Val {
    let known = |id: Id| run.vals.get(id).cloned().unwrap_or_default();
    let Some(Expr::Attribute(of, name)) = run.parser.nodes.get(callee).map(|node| &node.expr)
    else {
        return Val::default().with(signs);
    };
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
    // What is written as a number, or in letters for letters, is as unreadable.
    let unreadable = unreadable || matches!(*name, "to_bytes" | "translate");
    let more = if unreadable {
        Signs::DECODED
    } else if made {
        Signs::COMPUTED
    } else {
        Signs::default()
    };
    Val::constant(value).with(signs.and(of.signs).and(more))
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
