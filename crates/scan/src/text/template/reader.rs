//! What a template gives names to, and what its expressions come to.

use std::collections::{BTreeSet, HashMap};

use custos_core::finding::Severity;

use crate::rules::{self, Rule};
use crate::text::code::{self, Argument, Dialect, Expr, Id, Lexer, Node, Parser, Value};

use super::split::{Part, Parts};

/// More repetitions, or more characters, than any prompt has.
pub(super) const MAX_COUNT: i64 = 20_000_000;
/// Most variables that are kept.
const MAX_NAMES: usize = 10_000;
/// Most bytes of values that are worked out, of all expressions together: a short template may name
/// a long text as often as it likes.
const MAX_WORKED_OUT: usize = 64 << 20;

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

/// What was seen in a template.
pub(super) struct Sight {
    pub(super) rule: &'static Rule,
    pub(super) severity: Severity,
    pub(super) message: String,
    pub(super) evidence: String,
    pub(super) line: u32,
}

/// Reads a template tag by tag.
pub(super) struct Reader<'s> {
    source: &'s str,
    pub(super) names: HashMap<String, Value>,
    // A `{% set name %}` that is open, and the text in it so far.
    captured: Option<(String, String)>,
    pub(super) sights: Vec<Sight>,
    pub(super) told: BTreeSet<(&'static str, String)>,
    pub(super) inner: u32,
    faults: u32,
    first_fault: u32,
    // How often the innermost loop runs at most, as far as that is written down, loop by loop.
    loops: Vec<i64>,
    /// Bytes of values that may still be worked out.
    pub(super) room: usize,
}

impl<'s> Reader<'s> {
    /// Returns a reader of a whole template.
    pub(super) fn new(source: &'s str) -> Self {
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

    /// Reads to the end.
    pub(super) fn read(&mut self) {
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

    /// Returns what was seen, with what only the whole tells.
    pub(super) fn finish(mut self) -> Vec<Sight> {
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
}

/// A tag.
pub(super) struct Tag<'s> {
    pub(super) shown: &'s str,
    pub(super) line: u32,
}

fn is_name(nodes: &[Node<'_>], id: Id, name: &str) -> bool {
    matches!(nodes.get(id).map(|node| &node.expr), Some(Expr::Name(found)) if *found == name)
}

/// Returns how often `range` counts.
pub(super) fn turns(arguments: &[Argument<'_>], values: &[Value]) -> i64 {
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
