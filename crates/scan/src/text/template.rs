//! Jinja templates, such as those that make a prompt of a chat.
//!
//! A template is a program. Rendered outside of a sandbox, an attribute between double underscores
//! leads from any value to all of Python; inside of one, it can still take all time and memory.
//! What a template says in its texts is no matter here; only its expressions are looked at, with
//! names that are put together of pieces put together. Template Designer Documentation of Jinja 3.

mod split;

use std::collections::{BTreeSet, HashMap};

use custos_core::finding::{Location, Severity};

use crate::route::{Format, Head};
use crate::rules::{self, Rule};
use crate::source::read_full;
use crate::work::{Input, Look};

use super::code::{self, Argument, Dialect, Expr, Id, Lexer, Node, Parser, Value};
use super::{plain, python, shortened};
use split::{Part, Parts};

/// Longest template that is read.
const MAX_TEMPLATE: usize = 4 << 20;
/// More repetitions, or more characters, than any prompt has.
const MAX_COUNT: i64 = 20_000_000;
/// Most variables that are kept.
const MAX_NAMES: usize = 10_000;
/// Most bytes of values that are worked out, of all expressions together: a short template may name
/// a long text as often as it likes.
const MAX_WORKED_OUT: usize = 64 << 20;

/// Attributes that lead out, though they have no double underscores.
const INNER: [&str; 14] = [
    "func_globals",
    "func_code",
    "func_closure",
    "im_func",
    "im_self",
    "im_class",
    "gi_frame",
    "gi_code",
    "cr_frame",
    "cr_code",
    "ag_frame",
    "f_globals",
    "f_builtins",
    "f_back",
];
/// Objects that web frameworks put beside a template.
const FRAMEWORK: [&str; 7] = [
    "request",
    "config",
    "url_for",
    "get_flashed_messages",
    "lipsum",
    "cycler",
    "joiner",
];
/// Filters that take the name of an attribute.
const BY_ATTRIBUTE: [&str; 11] = [
    "attr",
    "map",
    "selectattr",
    "rejectattr",
    "groupby",
    "sort",
    "sum",
    "min",
    "max",
    "unique",
    "items",
];
/// Statements of Jinja, of its extensions, and of those who make chat templates.
const STATEMENTS: [&str; 41] = [
    "for",
    "endfor",
    "if",
    "elif",
    "else",
    "endif",
    "set",
    "endset",
    "macro",
    "endmacro",
    "call",
    "endcall",
    "filter",
    "endfilter",
    "include",
    "import",
    "from",
    "extends",
    "block",
    "endblock",
    "do",
    "with",
    "endwith",
    "autoescape",
    "endautoescape",
    "raw",
    "endraw",
    "break",
    "continue",
    "generation",
    "endgeneration",
    "trans",
    "pluralize",
    "endtrans",
    "debug",
    "cache",
    "endcache",
    "spaceless",
    "endspaceless",
    "",
    "load",
];

/// Files that are templates: by their names, or by statements of the language.
pub(super) const FORMAT: Format = Format {
    name: "jinja template",
    extensions: &["jinja", "jinja2", "j2"],
    recognises,
    examine: examine_file,
};

/// Looks at a template that lies at a place.
pub(crate) fn examine(look: &mut Look<'_, '_, '_>, at: &Location, source: &str) {
    look_at(look, at, source, true);
}

/// Looks at a text that may be a template, or of another language that has the same brackets.
pub(super) fn examine_doubtful(look: &mut Look<'_, '_, '_>, at: &Location, source: &str) {
    look_at(look, at, source, false);
}

fn look_at(look: &mut Look<'_, '_, '_>, at: &Location, source: &str, sure: bool) {
    if !source.contains("{{") && !source.contains("{%") {
        return;
    }
    if source.len() > MAX_TEMPLATE {
        look.gap("a template is longer than is read");
        return;
    }
    let mut reader = Reader::new(source);
    reader.read();
    if reader.room == 0 {
        look.gap("a template makes more of its texts than is followed");
    }
    let in_gguf = is_gguf(look);
    for sight in reader.finish() {
        if !sure && sight.rule.id == rules::text::TEMPLATE_UNPARSABLE.id {
            continue;
        }
        let line = at
            .line
            .unwrap_or(1)
            .saturating_add(sight.line.saturating_sub(1));
        let location = Location {
            line: Some(line),
            ..at.clone()
        };
        let mut finding = sight.rule.finding(location, sight.message);
        finding.severity = sight.severity;
        finding.evidence = Some(shortened(&sight.evidence));
        if in_gguf && sight.rule.id == rules::text::TEMPLATE_INNER.id {
            finding.cves.push("CVE-2024-34359".to_owned());
        }
        look.work.find(finding);
    }
}

// llama-cpp-python rendered what a GGUF file brings without a sandbox.
fn is_gguf(look: &Look<'_, '_, '_>) -> bool {
    let mut magic = [0; 4];
    let count = read_full(look.input.bytes, 0, &mut magic).unwrap_or(0);
    count == 4 && &magic == b"GGUF"
}

fn recognises(head: &Head, input: &Input<'_>) -> bool {
    if !plain::is_text(head) {
        return false;
    }
    let text = String::from_utf8_lossy(head.bytes());
    let statement = text.split("{%").skip(1).any(|tag| {
        let tag = tag.trim_start_matches(['-', '+']).trim_start();
        ["for ", "if ", "set ", "macro "]
            .iter()
            .any(|word| tag.starts_with(word))
            && tag.contains("%}")
    });
    let document =
        text.trim_start().starts_with(['{', '[', '<']) && text.trim_start().get(1..2) != Some("%");
    statement && !python::is_program(&text) && (!document || text.trim_start().starts_with("{{"))
        || matches!(input.extension().as_str(), "jinja" | "jinja2" | "j2")
}

fn examine_file(look: &mut Look<'_, '_, '_>) {
    if let Some(text) = plain::whole(look, MAX_TEMPLATE) {
        let here = look.here();
        examine(look, &here, &text);
    }
    plain::examine(look);
}

struct Sight {
    rule: &'static Rule,
    severity: Severity,
    message: String,
    evidence: String,
    line: u32,
}

struct Reader<'s> {
    source: &'s str,
    names: HashMap<String, Value>,
    // A `{% set name %}` that is open, and the text in it so far.
    captured: Option<(String, String)>,
    sights: Vec<Sight>,
    told: BTreeSet<(&'static str, String)>,
    inner: u32,
    faults: u32,
    first_fault: u32,
    // How often the innermost loop runs at most, as far as that is written down, loop by loop.
    loops: Vec<i64>,
    // Bytes of values that may still be worked out.
    room: usize,
}

impl<'s> Reader<'s> {
    fn new(source: &'s str) -> Self {
        Self {
            source,
            names: HashMap::new(),
            captured: None,
            sights: Vec::new(),
            told: BTreeSet::new(),
            inner: 0,
            faults: 0,
            first_fault: 1,
            loops: Vec::new(),
            room: MAX_WORKED_OUT,
        }
    }

    fn read(&mut self) {
        let mut parts = Parts::new(self.source);
        while let Some(part) = parts.next() {
            match part {
                Part::Text(text) => {
                    if let Some((_, captured)) = &mut self.captured {
                        captured.push_str(text);
                    }
                }
                Part::Tag {
                    block,
                    start,
                    end,
                    line,
                } => self.tag(block, (start, end), line),
                Part::Unclosed { line } => self.fault(line),
            }
        }
    }

    // What was seen, with what only the whole tells.
    fn finish(mut self) -> Vec<Sight> {
        if self.inner > 1 {
            // One step may be a mistake; a chain of them is none.
            for sight in &mut self.sights {
                if sight.rule.id == rules::text::TEMPLATE_INNER.id {
                    sight.severity = Severity::Critical;
                }
            }
        }
        if self.faults > 0 {
            self.sights.push(Sight {
                rule: &rules::text::TEMPLATE_UNPARSABLE,
                severity: rules::text::TEMPLATE_UNPARSABLE.severity,
                message: format!(
                    "{} places of the template do not follow the grammar",
                    self.faults
                ),
                evidence: String::new(),
                line: self.first_fault,
            });
        }
        self.sights
    }

    fn fault(&mut self, line: u32) {
        if self.faults == 0 {
            self.first_fault = line;
        }
        self.faults = self.faults.saturating_add(1);
    }

    fn tag(&mut self, block: bool, (start, end): (usize, usize), line: u32) {
        let part = self.source.get(..end).unwrap_or_default();
        let tokens = Lexer::part(part, (start, line), Dialect::Jinja).tokens();
        let mut parser = Parser::new(part, tokens, Dialect::Jinja);
        let tag = Tag {
            shown: part.get(start..).unwrap_or_default().trim(),
            line,
        };
        let mut set = None;
        let mut word = "";
        if block {
            word = parser.name().unwrap_or_default();
            if !STATEMENTS.contains(&word) {
                self.fault(line);
            }
            if matches!(word, "set" | "with") {
                set = Some((
                    parser.expressions(),
                    parser.eat("=").then(|| parser.expressions()),
                ));
            }
            parser.loose(&[]);
        } else if !parser.is_done() {
            parser.expressions();
            if !parser.is_done() {
                self.fault(line);
                parser.loose(&[]);
            }
        }
        if parser.faults > 0 {
            self.fault(line);
        }
        let values = self.values(&parser.nodes, &tag);
        self.bind(word, set, (&parser.nodes, &values));
        self.looped(word, (&parser.nodes, &values), &tag);
    }

    // Remembers what `set` and `for` give names to.
    fn bind(
        &mut self,
        word: &str,
        set: Option<(Id, Option<Id>)>,
        (nodes, values): (&[Node<'_>], &[Value]),
    ) {
        if word == "endset"
            && let Some((name, text)) = self.captured.take()
        {
            let text = self.spend(Value::Text(text));
            self.keep(name, text);
        }
        let name_of = |id: Id| match &nodes.get(id)?.expr {
            Expr::Name(name) => Some((*name).to_owned()),
            Expr::Attribute(of, name) => match &nodes.get(*of)?.expr {
                Expr::Name(of) => Some(format!("{of}.{name}")),
                _ => None,
            },
            _ => None,
        };
        if let Some((target, value)) = set
            && let Some(name) = name_of(target)
        {
            match value {
                None => self.captured = Some((name, String::new())),
                Some(value) => {
                    for (part, value) in namespace(nodes, values, value) {
                        self.keep(format!("{name}.{part}"), value);
                    }
                    self.keep(name, values.get(value).cloned().unwrap_or_default());
                }
            }
        }
        // `for name in [..]`: any of these.
        if word == "for" {
            for node in nodes {
                if let Expr::Binary("in", target, over) = &node.expr
                    && let (Some(name), Some(value)) = (name_of(*target), values.get(*over))
                {
                    self.keep(name, value.clone());
                }
            }
        }
    }

    fn keep(&mut self, name: String, value: Value) {
        if self.names.len() < MAX_NAMES {
            let value = self.spend(value);
            self.names.insert(name, value);
        } else {
            self.room = 0;
        }
    }

    // Returns the value as long as there is room for it. What is full stays full, so that nothing
    // more is copied.
    fn spend(&mut self, value: Value) -> Value {
        self.room = self.room.saturating_sub(code::size(&value));
        if self.room == 0 {
            return Value::Unknown;
        }
        value
    }

    // Loops in loops whose numbers of turns are written down.
    fn looped(&mut self, word: &str, (nodes, values): (&[Node<'_>], &[Value]), tag: &Tag<'_>) {
        match word {
            "endfor" => {
                self.loops.pop();
            }
            "for" => {
                let turns = nodes.iter().find_map(|node| match &node.expr {
                    Expr::Call(callee, arguments) if is_name(nodes, *callee, "range") => {
                        Some(turns(arguments, values))
                    }
                    _ => None,
                });
                let before = self.loops.last().copied().unwrap_or(1);
                let all = before.saturating_mul(turns.unwrap_or(1).max(1));
                if all > MAX_COUNT && before <= MAX_COUNT {
                    self.see(
                        &rules::text::TEMPLATE_EXHAUSTION,
                        format!("loops run {all} times"),
                        tag,
                    );
                }
                self.loops.push(all);
            }
            _ => {}
        }
    }

    // What each node comes to; and what there is to see in it.
    fn values(&mut self, nodes: &[Node<'_>], tag: &Tag<'_>) -> Vec<Value> {
        let mut values: Vec<Value> = Vec::with_capacity(nodes.len());
        for node in nodes {
            let value = self.value(node, nodes, &values);
            let value = self.spend(value);
            self.judge(node, (nodes, &values), tag);
            values.push(value);
        }
        values
    }

    fn value(&self, node: &Node<'_>, nodes: &[Node<'_>], values: &[Value]) -> Value {
        let known = |id: &Id| values.get(*id).cloned().unwrap_or_default();
        let given = |arguments: &[Argument<'_>]| -> Vec<Value> {
            arguments
                .iter()
                .map(|argument| known(&argument.value))
                .collect()
        };
        match &node.expr {
            _ if self.room == 0 => Value::Unknown,
            Expr::Text(text, _) => Value::Text(text.clone()),
            Expr::Number(number) => Value::Number(*number),
            Expr::Name(name) => self.names.get(*name).cloned().unwrap_or_default(),
            Expr::List(items) => code::list(items.iter().map(known).collect()),
            Expr::Dict(pairs) => code::list(pairs.iter().map(|(key, _)| known(key)).collect()),
            Expr::Binary(sign, left, right) => code::binary(sign, &known(left), &known(right)),
            Expr::Unary(sign, operand) => code::unary(sign, &known(operand)),
            Expr::Item(of, index) => match nodes.get(*index).map(|node| &node.expr) {
                Some(Expr::Slice(parts)) => {
                    let parts = parts.map(|part| part.and_then(|id| values.get(id)));
                    code::slice(&known(of), parts)
                }
                _ => code::item(&known(of), &known(index)),
            },
            Expr::Attribute(of, name) => match nodes.get(*of).map(|node| &node.expr) {
                Some(Expr::Name(of)) => {
                    let found = self.names.get(&format!("{of}.{name}"));
                    found.cloned().unwrap_or_default()
                }
                _ => Value::Unknown,
            },
            Expr::Filter(of, "join", arguments) => {
                let between = given(arguments);
                code::joined(
                    &known(of),
                    between.first().and_then(Value::text).unwrap_or_default(),
                )
            }
            Expr::Filter(of, name, arguments) => code::method(&known(of), name, &given(arguments)),
            Expr::Call(callee, arguments) => match nodes.get(*callee).map(|node| &node.expr) {
                Some(Expr::Attribute(of, name)) => {
                    code::method(&known(of), name, &given(arguments))
                }
                // `dict(a=1, b=2)` is a list of names to whoever joins it.
                Some(Expr::Name("dict")) => {
                    let names = arguments.iter().filter_map(|argument| argument.name);
                    Value::List(names.map(|name| Value::Text(name.to_owned())).collect())
                }
                _ => Value::Unknown,
            },
            _ => Value::Unknown,
        }
    }

    fn judge(&mut self, node: &Node<'_>, (nodes, values): (&[Node<'_>], &[Value]), tag: &Tag<'_>) {
        match &node.expr {
            Expr::Attribute(of, name) => {
                self.attribute(name, tag);
                self.framework(nodes.get(*of), tag);
            }
            Expr::Item(of, index) => {
                if let Some(value) = values.get(*index) {
                    self.by_value(value, tag);
                }
                self.framework(nodes.get(*of), tag);
            }
            Expr::Filter(_, name, arguments) if BY_ATTRIBUTE.contains(name) => {
                self.by_filter((name, arguments), values, tag);
            }
            Expr::Call(callee, arguments) => self.call((*callee, arguments), (nodes, values), tag),
            Expr::Filter(_, name, arguments) => self.sized((name, arguments), values, tag),
            Expr::Text(_, true) => self.see(
                &rules::text::TEMPLATE_NAMED,
                "a text writes a character by its name, which scanners that do not know the name \
                 read over"
                    .to_owned(),
                tag,
            ),
            Expr::Binary(sign @ ("**" | "*"), left, right) => {
                self.grows(sign, (values.get(*left), values.get(*right)), tag);
            }
            _ => {}
        }
    }

    fn attribute(&mut self, name: &str, tag: &Tag<'_>) {
        if is_inner(name) {
            self.inner = self.inner.saturating_add(1);
            let message = format!("the template takes the attribute `{}`", shortened(name));
            self.see(&rules::text::TEMPLATE_INNER, message, tag);
        }
    }

    fn by_value(&mut self, value: &Value, tag: &Tag<'_>) {
        match value {
            Value::Text(name) => self.attribute(name, tag),
            Value::List(items) => {
                for name in items.iter().filter_map(Value::text) {
                    self.attribute(name, tag);
                }
            }
            _ => {}
        }
    }

    fn by_filter(
        &mut self,
        (filter, arguments): (&str, &[Argument<'_>]),
        values: &[Value],
        tag: &Tag<'_>,
    ) {
        for argument in arguments {
            let Some(value) = values.get(argument.value) else {
                continue;
            };
            match value {
                Value::Text(path) => path.split('.').for_each(|name| self.attribute(name, tag)),
                Value::List(_) => self.by_value(value, tag),
                Value::Unknown if filter == "attr" => self.see(
                    &rules::text::TEMPLATE_COMPUTED,
                    "the filter `attr` takes an attribute whose name is computed".to_owned(),
                    tag,
                ),
                _ => {}
            }
        }
    }

    // `self` and the like are harmless when they are called; to look into them is not what a
    // prompt needs.
    fn framework(&mut self, of: Option<&Node<'_>>, tag: &Tag<'_>) {
        if let Some(Expr::Name(name)) = of.map(|node| &node.expr)
            && FRAMEWORK.contains(name)
            && !self.names.contains_key(*name)
        {
            let message =
                format!("the template looks into `{name}`, an object of the framework around it");
            self.see(&rules::text::TEMPLATE_FRAMEWORK, message, tag);
        }
    }

    fn call(
        &mut self,
        (callee, arguments): (Id, &[Argument<'_>]),
        (nodes, values): (&[Node<'_>], &[Value]),
        tag: &Tag<'_>,
    ) {
        const CALLED: [&str; 9] = [
            "__import__",
            "eval",
            "exec",
            "popen",
            "system",
            "getattr",
            "import_module",
            "check_output",
            "compile",
        ];
        let name = match nodes.get(callee).map(|node| &node.expr) {
            Some(Expr::Name(name) | Expr::Attribute(_, name)) => *name,
            Some(Expr::Item(_, index)) => {
                values.get(*index).and_then(Value::text).unwrap_or_default()
            }
            _ => return,
        };
        if CALLED.contains(&name) {
            let message = format!("the template calls `{name}`");
            self.see(&rules::text::TEMPLATE_CALL, message, tag);
        }
        if name == "range" && turns(arguments, values) > MAX_COUNT {
            let message = format!("`range` counts {} times", turns(arguments, values));
            self.see(&rules::text::TEMPLATE_EXHAUSTION, message, tag);
        }
        self.sized((name, arguments), values, tag);
    }

    // What makes a text as long as a number says.
    fn sized(
        &mut self,
        (name, arguments): (&str, &[Argument<'_>]),
        values: &[Value],
        tag: &Tag<'_>,
    ) {
        if !matches!(
            name,
            "center"
                | "ljust"
                | "rjust"
                | "zfill"
                | "indent"
                | "lipsum"
                | "batch"
                | "slice"
                | "wordwrap"
        ) {
            return;
        }
        for argument in arguments {
            if let Some(Value::Number(number)) = values.get(argument.value)
                && *number > MAX_COUNT
            {
                let message = format!("`{name}` makes {number} characters or items");
                self.see(&rules::text::TEMPLATE_EXHAUSTION, message, tag);
            }
        }
    }

    fn grows(&mut self, sign: &str, operands: (Option<&Value>, Option<&Value>), tag: &Tag<'_>) {
        let large = match operands {
            (Some(Value::Number(base)), Some(Value::Number(power))) if sign == "**" => {
                let power = u32::try_from(*power).unwrap_or(u32::MAX);
                base.unsigned_abs() > 1 && base.checked_pow(power).is_none() && power > 4_096
            }
            (Some(Value::Text(_) | Value::List(_)), Some(Value::Number(times)))
            | (Some(Value::Number(times)), Some(Value::Text(_) | Value::List(_))) => {
                *times > MAX_COUNT
            }
            _ => false,
        };
        if large {
            let message = format!("`{sign}` makes a value that takes all memory");
            self.see(&rules::text::TEMPLATE_EXHAUSTION, message, tag);
        }
    }

    fn see(&mut self, rule: &'static Rule, message: String, tag: &Tag<'_>) {
        if self.told.insert((rule.id, message.clone())) {
            self.sights.push(Sight {
                rule,
                severity: rule.severity,
                message,
                evidence: tag.shown.to_owned(),
                line: tag.line,
            });
        }
    }
}

struct Tag<'s> {
    shown: &'s str,
    line: u32,
}

/// Returns true if an attribute of this name leads to the inside of Python.
fn is_inner(name: &str) -> bool {
    let dunder = name.len() > 4 && name.starts_with("__") && name.ends_with("__");
    // `_TemplateReference__context`: what a class keeps to itself.
    let mangled = name.starts_with('_') && name.get(2..).is_some_and(|rest| rest.contains("__"));
    dunder || mangled && !name.contains(' ') || INNER.contains(&name)
}

fn is_name(nodes: &[Node<'_>], id: Id, name: &str) -> bool {
    matches!(nodes.get(id).map(|node| &node.expr), Some(Expr::Name(found)) if *found == name)
}

// How often `range` counts.
fn turns(arguments: &[Argument<'_>], values: &[Value]) -> i64 {
    let numbers: Vec<i64> = arguments
        .iter()
        .map(|argument| match values.get(argument.value) {
            Some(Value::Number(number)) => *number,
            _ => 0,
        })
        .collect();
    match numbers.as_slice() {
        [stop] => *stop,
        [start, stop] => stop.saturating_sub(*start),
        [start, stop, every] => {
            let span = stop.saturating_sub(*start);
            span.checked_div(*every).unwrap_or(0)
        }
        _ => 0,
    }
}

// The named arguments of `namespace(...)` and `dict(...)`.
fn namespace(nodes: &[Node<'_>], values: &[Value], id: Id) -> Vec<(String, Value)> {
    let Some(Expr::Call(_, arguments)) = nodes.get(id).map(|node| &node.expr) else {
        return Vec::new();
    };
    let named = arguments.iter().filter_map(|argument| {
        let value = values.get(argument.value)?.clone();
        Some((argument.name?.to_owned(), value))
    });
    named.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(source: &str) -> Vec<(&'static str, Severity)> {
        let mut reader = Reader::new(source);
        reader.read();
        let sights = reader.finish();
        sights
            .iter()
            .map(|sight| (sight.rule.id, sight.severity))
            .collect()
    }

    #[test]
    fn inner_attributes_however_they_are_spelled() {
        for source in [
            "{{ ''.__class__.__mro__[1].__subclasses__() }}",
            "{{ x['__class__'] }}",
            "{{ x|attr('__class__') }}",
            "{{ x|attr('__cla' ~ 'ss__') }}",
            "{{ x['__cla' + 'ss__'] }}",
            "{{ x['__cla' 'ss__'] }}",
            "{{ x['\\x5f\\x5fclass\\x5f\\x5f'] }}",
            "{{ x['\\u005f_class_\\137'] }}",
            "{{ x['\\N{LOW LINE}_class__'] }}",
            "{{ x[['__cla','ss__']|join] }}",
            "{{ x[''.join(['__cla','ss__'])] }}",
            "{{ x['__ssalc__'[::-1]] }}",
            "{{ x['__ssalc__'|reverse] }}",
            "{{ x['%s%s'|format('__cla','ss__')] }}",
            "{{ x['%c%cclass%c%c' % (95,95,95,95)] }}",
            "{{ x['%c%cclass%c%c'|format(95,95,95,95)] }}",
            "{{ x['{}{}'.format('__cla','ss__')] }}",
            "{{ x['XXclassXX'.replace('X','_')] }}",
            "{{ x['XXclassXX'|replace('X','_')] }}",
            "{{ x['__CLASS__'|lower] }}",
            "{{ x['a__class__'[1:]] }}",
            "{% set a = '__cla' %}{% set b = 'ss__' %}{{ x[a ~ b] }}",
            "{% set a %}__class__{% endset %}{{ x[a] }}",
            "{% set ns = namespace(a='__class__') %}{{ x|attr(ns.a) }}",
            "{% set ns.a = '__class__' %}{{ x|attr(ns.a) }}",
            "{% for a in ['__class__', 'b'] %}{{ x[a] }}{% endfor %}",
            "{{ xs|map(attribute='__class__')|list }}",
            "{{ xs|map('attr', '__class__')|list }}",
            "{{ xs|sort(attribute='a.__class__') }}",
            "{{ x[dict(__cla=a,ss__=b)|join] }}",
            "{{ self._TemplateReference__context }}",
            "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
            "{% if x.__class__ %}{% endif %}",
            "{% macro m(a=x.__class__) %}{% endmacro %}",
            "{{ '}}' ~ x.__class__ }}",
            "{{ f.gi_frame }}",
            "{%- set x = (messages|first).__class__ -%}",
        ] {
            let seen = seen(source);
            let inner = seen
                .iter()
                .find(|(rule, _)| *rule == "template/inner-attribute");
            assert!(
                inner.is_some_and(|(_, severity)| *severity >= Severity::High),
                "{source}: {seen:?}"
            );
        }
    }

    #[test]
    fn what_takes_all_time_or_memory() {
        for source in [
            "{% for i in range(10**9) %}x{% endfor %}",
            "{% for i in range(100000) %}{% for j in range(100000) %}x{% endfor %}{% endfor %}",
            "{{ 'x' * 10**9 }}",
            "{{ 9**9**9 }}",
            "{{ 'x'|center(1000000000) }}",
            "{{ 'x'.ljust(1000000000) }}",
            "{{ [0] * 1000000000 }}",
        ] {
            let found = seen(source);
            assert!(
                found.iter().any(|(rule, _)| *rule == "template/exhaustion"),
                "{source}: {found:?}"
            );
        }
        assert_eq!(
            seen("{% for i in range(1000) %}{% endfor %}{{ 2**10 }}"),
            []
        );
    }

    #[test]
    fn other_signs() {
        for (source, rule) in [
            (
                "{{ x|attr(messages[0].content) }}",
                "template/computed-attribute",
            ),
            ("{{ config.items() }}", "template/framework-object"),
            ("{{ request['x'] }}", "template/framework-object"),
            ("{{ eval('1') }}", "template/dangerous-call"),
            ("{{ os.popen('id') }}", "template/dangerous-call"),
            ("{{ a b }}", "template/unparsable"),
            ("{{ a", "template/unparsable"),
            ("{% frobnicate %}", "template/unparsable"),
            ("{{ '\\N{BULLET}' }}", "template/named-character"),
        ] {
            let found = seen(source);
            assert!(
                found.iter().any(|(found, _)| *found == rule),
                "{source}: {found:?}"
            );
        }
    }

    #[test]
    fn words_are_no_code() {
        for source in [
            "__class__ {# {{ x.__class__ }} #} os.system('rm -rf /')",
            "{% raw %}{{ x.__class__ }}{% endraw %}",
            "{{ 'Never write __class__ or __import__(\"os\").system in an answer.' }}",
            "{{ '__class__' }}",
            "{% generation %}{{ message['content'] | trim }}{% endgeneration %}",
            "{%- for m in messages if m.role == 'user' -%}{{ loop.index0 }}{%- endfor -%}",
            "{{ raise_exception('System role not supported') }}{{ strftime_now('%d %b %Y') }}",
            "{% macro f(a, b=none, *args, **kwargs) %}{{ caller() }}{% endmacro %}{% call f(1) %}{% endcall %}",
            "{{ a if b }}{{ {'a': {'b': 1}} }}{{ a.b['c'][-1:][0].split('</think>')[-1].lstrip('\\n') }}",
            "{% set ns = namespace(found=false, _x=1) %}{% set ns.found = true %}{{ ns.found }}",
            "{{ tool | tojson(indent=4) }}{{ x is not defined and y is mapping or z is string }}",
            "{% set a, b = 1, 2 %}{% do xs.append(1) %}{% if not a %}{% elif b %}{% else %}{% endif %}",
        ] {
            assert_eq!(seen(source), [], "{source}");
        }
    }
}
