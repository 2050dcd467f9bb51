//! Regular expressions as OPA reads them.
//!
//! OPA's engine (RE2) and this one share most of their syntax, but `\w`, `\d`, `\s` and `\b` mean
//! ASCII there and all of Unicode here, and `[a&&b]` is a set of three characters there and an
//! intersection here. A pattern that matches more than its writer meant opens gates, so patterns
//! are put into RE2's terms first; what has no meaning there is an error.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::Chars;

use regex::{Regex, RegexBuilder};
use regorus::Value;

use super::{integer, string};

/// Largest compiled pattern, in bytes: bounds the time to compile it and to match.
const MAX_COMPILED: usize = 1 << 20;
/// Compiled patterns that an evaluation keeps.
const MAX_KEPT: usize = 256;

const NOT_A_PATTERN: &str = "not a regular expression";
const NOT_IN_RE2: &str = "the pattern means something else in OPA, or nothing";

pub(super) fn matches(args: &[Value]) -> Result<Value, &'static str> {
    let text = string(args, 1)?;
    Ok(Value::from(pattern(args, 0)?.is_match(text)))
}

pub(super) fn is_valid(args: &[Value]) -> Value {
    let valid = string(args, 0).is_ok_and(|text| compile(text).is_ok());
    Value::from(valid)
}

pub(super) fn replace(args: &[Value]) -> Result<Value, &'static str> {
    let (text, with) = (string(args, 0)?, string(args, 2)?);
    if names_beyond_ascii(with) {
        return Err(NOT_IN_RE2);
    }
    let replaced = pattern(args, 1)?.replace_all(text, with);
    Ok(Value::from(replaced.as_ref()))
}

// `$1é` is a name of two letters in RE2, and group 1 with a letter behind it here.
fn names_beyond_ascii(template: &str) -> bool {
    template.split('$').skip(1).any(|behind| {
        let is_word = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
        let name = behind.chars().take_while(is_word).count();
        let next = behind.chars().nth(name);
        name > 0 && next.is_some_and(|next| !next.is_ascii() && next.is_alphanumeric())
    })
}

pub(super) fn split(args: &[Value]) -> Result<Value, &'static str> {
    let text = string(args, 1)?;
    let found = pattern(args, 0)?;
    if text.is_empty() && !string(args, 0)?.is_empty() {
        return Ok(Value::from(vec![Value::from("")]));
    }
    let mut parts = Vec::new();
    let (mut start, mut end) = (0, 0);
    for one in found.find_iter(text) {
        end = one.start();
        // A match of nothing at the beginning splits nothing off.
        if one.end() != 0 {
            parts.extend(text.get(start..end).map(Value::from));
        }
        start = one.end();
    }
    if end != text.len() {
        parts.extend(text.get(start..).map(Value::from));
    }
    Ok(Value::from(parts))
}

pub(super) fn find(args: &[Value]) -> Result<Value, &'static str> {
    let text = string(args, 1)?;
    let found = pattern(args, 0)?;
    let found = found.find_iter(text).take(most(args)?);
    Ok(found
        .map(|one| Value::from(one.as_str()))
        .collect::<Vec<_>>()
        .into())
}

pub(super) fn find_groups(args: &[Value]) -> Result<Value, &'static str> {
    let text = string(args, 1)?;
    let found = pattern(args, 0)?;
    let found = found.captures_iter(text).take(most(args)?);
    let groups = |one: regex::Captures<'_>| {
        let groups = one.iter();
        let texts = groups.map(|group| Value::from(group.map_or("", |group| group.as_str())));
        Value::from(texts.collect::<Vec<_>>())
    };
    Ok(found.map(groups).collect::<Vec<_>>().into())
}

// A negative number is no limit.
fn most(args: &[Value]) -> Result<usize, &'static str> {
    Ok(usize::try_from(integer(args, 2)?).unwrap_or(usize::MAX))
}

fn pattern(args: &[Value], at: usize) -> Result<Regex, &'static str> {
    thread_local! {
        // An evaluation has a thread of its own; a rule may match in a loop.
        static KEPT: RefCell<BTreeMap<String, Regex>> = const { RefCell::new(BTreeMap::new()) };
    }
    let text = string(args, at)?;
    KEPT.with_borrow_mut(|kept| {
        if let Some(found) = kept.get(text) {
            return Ok(found.clone());
        }
        let compiled = compile(text)?;
        if kept.len() >= MAX_KEPT {
            kept.clear();
        }
        kept.insert(text.to_owned(), compiled.clone());
        Ok(compiled)
    })
}

fn compile(text: &str) -> Result<Regex, &'static str> {
    let translated = Translation::of(text)?;
    RegexBuilder::new(&translated)
        .size_limit(MAX_COMPILED)
        .build()
        .map_err(|_| NOT_A_PATTERN)
}

/// Most repetitions that RE2 takes.
const MAX_REPEAT: u32 = 1_000;
/// The classes that RE2 knows by a name in colons.
const NAMED: &[&str] = &[
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
    "space", "upper", "word", "xdigit",
];

struct Translation<'a> {
    rest: Peekable<Chars<'a>>,
    out: String,
    last: Last,
}

/// What stands before the next character.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    /// `*`, `+`, `?` or `{n}`, which only `?` may follow.
    Repeat,
    /// A repetition with its `?`.
    LazyRepeat,
    Other,
}

impl<'a> Translation<'a> {
    fn of(text: &'a str) -> Result<String, &'static str> {
        let mut translation = Self {
            rest: text.chars().peekable(),
            out: String::new(),
            last: Last::Other,
        };
        while let Some(next) = translation.rest.next() {
            let last = std::mem::replace(&mut translation.last, Last::Other);
            match next {
                '\\' => translation.escape()?,
                '[' => translation.class()?,
                '(' => translation.group()?,
                '*' | '+' | '?' => translation.repeat(next, last)?,
                '{' => translation.count(last)?,
                other => translation.out.push(other),
            }
        }
        Ok(translation.out)
    }

    // RE2 repeats no repetition: `a*+` is an error there.
    fn repeat(&mut self, sign: char, last: Last) -> Result<(), &'static str> {
        self.last = match last {
            Last::Other => Last::Repeat,
            Last::Repeat if sign == '?' => Last::LazyRepeat,
            _ => return Err(NOT_IN_RE2),
        };
        self.out.push(sign);
        Ok(())
    }

    // `{2}`, `{2,}` or `{2,3}`. Anything else is a text in RE2 and an error or a repetition here.
    fn count(&mut self, last: Last) -> Result<(), &'static str> {
        let mut inner = String::new();
        loop {
            match self.rest.next() {
                Some('}') => break,
                Some(next) if next.is_ascii_digit() || next == ',' => inner.push(next),
                _ => return Err(NOT_IN_RE2),
            }
        }
        let (from, to) = inner.split_once(',').unwrap_or((&inner, ""));
        let fits = |text: &str| text.parse().is_ok_and(|count: u32| count <= MAX_REPEAT);
        if last != Last::Other || !fits(from) || !(to.is_empty() || fits(to)) {
            return Err(NOT_IN_RE2);
        }
        self.out.push('{');
        self.out.push_str(&inner);
        self.out.push('}');
        self.last = Last::Repeat;
        Ok(())
    }

    fn escape(&mut self) -> Result<(), &'static str> {
        let Some(next) = self.rest.next() else {
            return Err(NOT_A_PATTERN);
        };
        match next {
            // `\b{start}` is a boundary of its own kind here.
            'b' if self.rest.peek() == Some(&'{') => return Err(NOT_IN_RE2),
            'b' => self.out.push_str(r"(?-u:\b)"),
            'B' => self.out.push_str(r"(?-u:\B)"),
            'u' | 'U' => return Err(NOT_IN_RE2),
            // `\p{Greek}`, `\x{3b1}`
            'p' | 'P' | 'x' => {
                self.out.extend(['\\', next]);
                if self.rest.peek() == Some(&'{') {
                    for inner in self.rest.by_ref() {
                        self.out.push(inner);
                        if inner == '}' {
                            break;
                        }
                    }
                }
            }
            // Boundaries here, themselves in RE2.
            '<' | '>' => self.out.push(next),
            _ => match ascii_class(next) {
                Some(class) => {
                    self.out.push('[');
                    self.out.push_str(class);
                    self.out.push(']');
                }
                None => self.out.extend(['\\', next]),
            },
        }
        Ok(())
    }

    fn class(&mut self) -> Result<(), &'static str> {
        self.out.push('[');
        if let Some(not) = self.rest.next_if_eq(&'^') {
            self.out.push(not);
        }
        if self.rest.next_if_eq(&']').is_some() {
            self.out.push_str(r"\]");
        }
        while let Some(next) = self.rest.next() {
            match next {
                ']' => {
                    self.out.push(']');
                    return Ok(());
                }
                '\\' => {
                    let Some(escaped) = self.rest.next() else {
                        return Err(NOT_A_PATTERN);
                    };
                    match ascii_class(escaped) {
                        // A class inside a class is fine here.
                        Some(class) => {
                            self.out.push('[');
                            self.out.push_str(class);
                            self.out.push(']');
                        }
                        None if matches!(escaped, 'b' | 'B' | 'u' | 'U') => {
                            return Err(NOT_IN_RE2);
                        }
                        None => self.out.extend(['\\', escaped]),
                    }
                }
                '[' if self.rest.peek() == Some(&':') => self.named_class()?,
                // Plain characters in RE2, operators on sets here.
                '[' | '&' | '~' => self.out.extend(['\\', next]),
                '-' if self.rest.peek() == Some(&'-') => return Err(NOT_IN_RE2),
                other => self.out.push(other),
            }
        }
        Err(NOT_A_PATTERN)
    }

    // `[:alpha:]` or `[:^alpha:]`, ASCII in both.
    fn named_class(&mut self) -> Result<(), &'static str> {
        let mut name = String::new();
        for next in self.rest.by_ref() {
            if next == ']' {
                break;
            }
            name.push(next);
        }
        let plain = name
            .strip_prefix(':')
            .and_then(|name| name.strip_suffix(':'))
            .ok_or(NOT_IN_RE2)?;
        if !NAMED.contains(&plain.strip_prefix('^').unwrap_or(plain)) {
            return Err(NOT_IN_RE2);
        }
        self.out.push('[');
        self.out.push_str(&name);
        self.out.push(']');
        Ok(())
    }

    // Flags that RE2 does not have: `x`, `R`, and `u`.
    fn group(&mut self) -> Result<(), &'static str> {
        self.out.push('(');
        let Some(mark) = self.rest.next_if_eq(&'?') else {
            return Ok(());
        };
        self.out.push(mark);
        while let Some(flag) = self.rest.next_if(|c| c.is_ascii_alphabetic() || *c == '-') {
            if matches!(flag, 'x' | 'R' | 'u') {
                return Err(NOT_IN_RE2);
            }
            self.out.push(flag);
            // `(?P<name>...)`
            if flag == 'P' {
                break;
            }
        }
        Ok(())
    }
}

// What stands between the brackets of an ASCII class.
const fn ascii_class(name: char) -> Option<&'static str> {
    Some(match name {
        'd' => "0-9",
        'D' => "^0-9",
        's' => r"\t\n\f\r ",
        'S' => r"^\t\n\f\r ",
        'w' => "0-9A-Za-z_",
        'W' => "^0-9A-Za-z_",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_match(pattern: &str, text: &str) -> Result<bool, &'static str> {
        compile(pattern).map(|found| found.is_match(text))
    }

    #[test]
    fn classes_are_ascii() {
        for (pattern, yes, no) in [
            (r"^\w+$", "a_1", "é"),
            (r"^\d$", "3", "\u{663}"),
            (r"^\s$", "\t", "\u{a0}"),
            (r"^\S$", "\u{a0}", " "),
            (r"^[\w.]+$", "a.b", "é.b"),
            (r"^[^\d]$", "\u{663}", "3"),
            (r"^[\D]$", "\u{663}", "3"),
            (r"x\b", "x\u{e9}", "xy"),
            (r"(?i)^abc$", "ABC", "abd"),
            (r"^\p{Greek}$", "\u{3b1}", "a"),
            (r"^[]a]$", "]", "b"),
            (r"^[a&&b]$", "&", "c"),
            (r"^[a[]$", "[", "]"),
            (r"^[[:alpha:]]$", "a", "1"),
            (r"^\<$", "<", "a"),
            (r"^(?P<n>a)$", "a", "b"),
            (r"^(?s:.)$", "\n", "ab"),
        ] {
            assert_eq!(is_match(pattern, yes), Ok(true), "{pattern} {yes}");
            assert_eq!(is_match(pattern, no), Ok(false), "{pattern} {no}");
        }
    }

    #[test]
    fn what_re2_does_not_have_is_an_error() {
        for pattern in [
            "(?x)a b",
            "(?-u:a)",
            r"\b{start}a",
            "a{,3}",
            "[a--b]",
            r"\u0041",
            "[",
            "(",
            r"\",
            "(?=a)",
            "a{1001}",
            "a**",
            "a*+",
            "a*??",
            "a*{2}",
            "a{x}",
            "[[:nope:]]",
        ] {
            assert!(is_match(pattern, "a").is_err(), "{pattern}");
        }
    }

    #[test]
    fn templates_name_groups_in_ascii() {
        assert!(names_beyond_ascii("$1\u{e9}"));
        assert!(!names_beyond_ascii("${1}\u{e9}$ \u{e9}$1"));
    }

    #[test]
    fn any_text_is_translated_or_refused() {
        let pieces = [
            "\\", "[", "]", "^", "(", "?", "{", ",", "w", "b", "&", "-", ":", "é",
        ];
        for a in pieces {
            for b in pieces {
                for c in pieces {
                    let _ = compile(&format!("{a}{b}{c}"));
                    let _ = compile(&format!("[{a}{b}{c}]"));
                }
            }
        }
    }
}
