//! What a template gives names to, and what its expressions come to.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use custos_core::finding::Severity;

use crate::rules::{self, Rule};
use crate::text::code::{self, Argument, Dialect, Expr, Id, Lexer, Node, Parser, Value};

use super::split::{Part, Parts};

/// More repetitions, or more characters, than any prompt has.
pub(super) const MAX_COUNT: i64 = 20_000_000;
/// How often macros are read for what they are called with.
const MAX_ROUNDS: u32 = 3;
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

/// What macros are called with, by macro and by place or name of the argument.
pub(super) type Calls = BTreeMap<(String, String), Value>;

/// Reads a template tag by tag.
pub(super) struct Reader<'s> {
    source: &'s str,
    pub(super) names: HashMap<String, Value>,
    // Every `{% set name %}` and macro that is open, and the text in it so far.
    pub(super) captured: Vec<(String, String)>,
    // How many conditions are around.
    pub(super) branches: u32,
    /// What macros are called with, by macro and by place or name of the argument.
    pub(super) calls: Calls,
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
    /// Reads a whole template. Macros stand before their calls, which say what their arguments are;
    /// so they are read again.
    pub(super) fn whole(source: &'s str) -> Self {
        let mut calls = Calls::new();
        for _ in 0..MAX_ROUNDS {
            let mut reader = Self::new(source);
            reader.calls.clone_from(&calls);
            reader.read();
            if reader.calls == calls || reader.room == 0 || !source.contains("macro") {
                return reader;
            }
            calls = reader.calls;
        }
        let mut reader = Self::new(source);
        reader.calls = calls;
        reader.read();
        reader
    }

    fn new(source: &'s str) -> Self {
        Self {
            source,
            names: HashMap::new(),
            captured: Vec::new(),
            branches: 0,
            calls: Calls::new(),
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
                    if let Some((_, captured)) = self.captured.last_mut() {
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
            word: "",
        };
        let mut heading = Heading::default();
        if block {
            heading = self.heading(&mut parser, line);
            parser.loose(&[]);
        } else if !parser.is_done() {
            heading.shown = Some(parser.expressions());
            if !parser.is_done() {
                self.fault(line);
                parser.loose(&[]);
            }
        }
        if parser.faults > 0 {
            self.fault(line);
        }
        let tag = Tag {
            word: heading.word,
            ..tag
        };
        let values = self.values(&parser.nodes, &tag);
        self.bind(&heading, (&parser.nodes, &values));
        self.looped(heading.word, (&parser.nodes, &values), &tag);
    }

    // What a statement gives names to.
    fn heading<'t>(&mut self, parser: &mut Parser<'t>, line: u32) -> Heading<'t> {
        let word = parser.name().unwrap_or_default();
        if !STATEMENTS.contains(&word) {
            self.fault(line);
        }
        let mut heading = Heading {
            word,
            ..Heading::default()
        };
        match word {
            "set" => {
                let target = parser.expressions();
                let value = parser.eat("=").then(|| parser.expressions());
                heading.pairs.push((target, value));
            }
            "with" => {
                while !parser.is_done() {
                    let target = parser.expression();
                    let value = parser.eat("=").then(|| parser.expression());
                    heading.pairs.push((target, value));
                    if !parser.eat(",") {
                        break;
                    }
                }
            }
            "for" => {
                while !parser.is_done() && !parser.eat_word("in") {
                    match parser.name() {
                        Some(name) => heading.names.push(name),
                        None => parser.bump(),
                    }
                }
                heading.shown = Some(parser.expression());
            }
            "call" if parser.eat("(") => {
                while !parser.is_done() && !parser.eat(")") {
                    match parser.name() {
                        Some(name) => heading.names.push(name),
                        None => parser.bump(),
                    }
                }
            }
            _ => {}
        }
        heading
    }

    pub(super) fn keep(&mut self, name: String, value: Value) {
        if self.names.len() < MAX_NAMES {
            let value = self.spend(value);
            self.names.insert(name, value);
        } else {
            self.room = 0;
        }
    }

    // Returns the value as long as there is room for it. What is full stays full, so that nothing
    // more is copied.
    pub(super) fn spend(&mut self, value: Value) -> Value {
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
            self.called_with(node, (nodes, &values), tag);
            values.push(value);
        }
        values
    }
}

/// A tag.
pub(super) struct Tag<'s> {
    pub(super) shown: &'s str,
    pub(super) line: u32,
    /// The statement, if it is one.
    pub(super) word: &'s str,
}

/// What a statement gives names to.
#[derive(Default)]
pub(super) struct Heading<'s> {
    pub(super) word: &'s str,
    /// Targets and values of `set` and `with`; no value: the text up to the end.
    pub(super) pairs: Vec<(Id, Option<Id>)>,
    /// Variables of a loop, or of a block that a macro calls.
    pub(super) names: Vec<&'s str>,
    /// What is written out, or looped over.
    pub(super) shown: Option<Id>,
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
