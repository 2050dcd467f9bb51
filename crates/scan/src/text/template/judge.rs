//! What there is to see in an expression of a template.

use crate::rules::{self, Rule};
use crate::text::code::{Argument, Expr, Id, Node, Value};
use crate::text::shortened;

use super::fields::of_arguments;
use super::reader::{MAX_COUNT, Reader, Sight, Tag, turns};

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

impl Reader<'_> {
    pub(super) fn judge(
        &mut self,
        node: &Node<'_>,
        (nodes, values): (&[Node<'_>], &[Value]),
        tag: &Tag<'_>,
    ) {
        match &node.expr {
            Expr::Attribute(of, name) => {
                self.attribute(name, tag);
                self.braces(values.get(*of), name, tag);
                self.framework(nodes.get(*of), tag);
            }
            Expr::Item(of, index) => {
                if let Some(value) = values.get(*index) {
                    self.by_value(value, tag);
                    self.braces(values.get(*of), value.text().unwrap_or_default(), tag);
                }
                self.between((nodes, values), *index, tag);
                self.framework(nodes.get(*of), tag);
            }
            Expr::Filter(of, name, arguments) if BY_ATTRIBUTE.contains(name) => {
                self.by_filter((name, arguments), values, tag);
                if let Some(first) = arguments.first() {
                    let method = values.get(first.value).and_then(Value::text);
                    self.braces(values.get(*of), method.unwrap_or_default(), tag);
                    if *name == "attr" {
                        self.between((nodes, values), first.value, tag);
                    }
                }
            }
            Expr::Call(callee, arguments) => {
                self.call((*callee, arguments), (nodes, values), tag);
                // `{% filter attr('x') %}`
                if let Some(Expr::Name(name)) = nodes.get(*callee).map(|node| &node.expr)
                    && tag.word == "filter"
                    && BY_ATTRIBUTE.contains(name)
                {
                    self.by_filter((name, arguments), values, tag);
                }
            }
            Expr::Filter(of, "format", arguments) => {
                self.percents(values.get(*of), &of_arguments(arguments, values), tag);
            }
            Expr::Filter(_, name, arguments) => self.sized((name, arguments), values, tag),
            Expr::Text(_, true) => self.see(
                &rules::text::TEMPLATE_NAMED,
                "a text writes a character by its name, which scanners that do not know the name \
                 read over"
                    .to_owned(),
                tag,
            ),
            Expr::Binary("%", left, right) => {
                let given: Vec<_> = values.get(*right).into_iter().collect();
                self.percents(values.get(*left), &given, tag);
            }
            Expr::Binary(sign @ ("**" | "*"), left, right) => {
                self.grows(sign, (values.get(*left), values.get(*right)), tag);
            }
            _ => {}
        }
    }

    pub(super) fn attribute(&mut self, name: &str, tag: &Tag<'_>) {
        if is_inner(name) {
            self.inner = self.inner.saturating_add(1);
            let message = format!("the template takes the attribute `{}`", shortened(name));
            self.see(&rules::text::TEMPLATE_INNER, message, tag);
        }
    }

    // `x['__' ~ anything ~ '__']`: whatever it is, it is one of these.
    fn between(&mut self, (nodes, values): (&[Node<'_>], &[Value]), key: Id, tag: &Tag<'_>) {
        let outermost = |side: fn(Id, Id) -> Id| {
            let mut id = key;
            while let Some(Expr::Binary("~" | "+", left, right)) =
                nodes.get(id).map(|node| &node.expr)
            {
                id = side(*left, *right);
            }
            values.get(id).and_then(Value::text).unwrap_or_default()
        };
        let whole = values.get(key).is_some_and(Value::is_known);
        let first = outermost(|left, _| left);
        let last = outermost(|_, right| right);
        if !whole && first.starts_with("__") && last.ends_with("__") {
            self.attribute(&format!("{first}...{last}"), tag);
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
                | "tojson"
                | "round"
                | "expandtabs"
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

    pub(super) fn see(&mut self, rule: &'static Rule, message: String, tag: &Tag<'_>) {
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

/// Returns true if an attribute of this name leads to the inside of Python.
pub(super) fn is_inner(name: &str) -> bool {
    let dunder = name.len() > 4 && name.starts_with("__") && name.ends_with("__");
    // `_TemplateReference__context`: what a class keeps to itself.
    let mangled = name.starts_with('_') && name.get(2..).is_some_and(|rest| rest.contains("__"));
    dunder || mangled && !name.contains(' ') || INNER.contains(&name)
}
