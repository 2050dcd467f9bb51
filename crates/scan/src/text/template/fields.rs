//! Fields of texts that are filled in: `'{0.name:>8}'.format(x)`, `'%8d' % x`.
//!
//! The method `format` of a text takes the attributes that its fields name. Sandboxes watch for it, and
//! did not see it when the method was kept under a name or taken by a filter. A field of either kind is
//! as wide as it says.

use crate::rules;
use crate::text::code::{Argument, Value};

use super::reader::{MAX_COUNT, Reader, Tag};

impl Reader<'_> {
    /// Looks at a text whose method of this name is taken.
    pub(super) fn braces(&mut self, of: Option<&Value>, method: &str, tag: &Tag<'_>) {
        let Some(text) = of.and_then(Value::text) else {
            return;
        };
        if !matches!(method, "format" | "format_map") {
            return;
        }
        // A short template may fill in a long text as often as it likes.
        self.room = self.room.saturating_sub(text.len().saturating_mul(8));
        if self.room == 0 {
            return;
        }
        for field in text.replace("{{", "").split('{').skip(1) {
            let field = field.split('}').next().unwrap_or_default();
            let (path, how) = field.split_once([':', '!']).unwrap_or((field, ""));
            for (at, part) in path.split(['.', '[']).enumerate() {
                // What stands in brackets is a key and no attribute.
                if at > 0 && !part.contains(']') {
                    self.attribute(part, tag);
                }
            }
            self.wide(how.split(|c: char| !c.is_ascii_digit()), tag);
        }
    }

    /// Looks at a text that the sign `%`, or the filter `format`, fills in.
    pub(super) fn percents(&mut self, of: Option<&Value>, given: &[&Value], tag: &Tag<'_>) {
        let Some(text) = of.and_then(Value::text) else {
            return;
        };
        let mut stars = false;
        for field in text.split('%').skip(1) {
            let flags = field.trim_start_matches(['0', '-', '+', ' ', '#']);
            let end = flags.find(|c: char| !c.is_ascii_digit() && c != '.');
            let width = flags.get(..end.unwrap_or(flags.len())).unwrap_or_default();
            stars |= flags.starts_with('*');
            self.wide(width.split('.'), tag);
        }
        let widest = given.iter().any(|given| is_wide(given));
        if stars && widest {
            self.too_wide(tag);
        }
    }

    fn wide<'t>(&mut self, mut numbers: impl Iterator<Item = &'t str>, tag: &Tag<'_>) {
        let over = |number: &str| number.parse().unwrap_or(i64::MAX) > MAX_COUNT;
        if numbers.any(|number| !number.is_empty() && over(number)) {
            self.too_wide(tag);
        }
    }

    fn too_wide(&mut self, tag: &Tag<'_>) {
        let message = format!("a field of a text is wider than {MAX_COUNT} characters");
        self.see(&rules::text::TEMPLATE_EXHAUSTION, message, tag);
    }
}

fn is_wide(value: &Value) -> bool {
    match value {
        Value::Number(number) => *number > MAX_COUNT,
        Value::List(items) => items.iter().any(is_wide),
        _ => false,
    }
}

/// Returns the values of arguments that are known.
pub(super) fn of_arguments<'v>(arguments: &[Argument<'_>], values: &'v [Value]) -> Vec<&'v Value> {
    let known = arguments
        .iter()
        .filter_map(|argument| values.get(argument.value));
    known.collect()
}
