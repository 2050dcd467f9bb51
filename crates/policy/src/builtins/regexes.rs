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

pub(super) fn is_valid(args: &[Value]) -> Result<Value, &'static str> {
    let valid = string(args, 0).is_ok_and(|text| compile(text).is_ok());
    Ok(Value::from(valid))
}

pub(super) fn replace(args: &[Value]) -> Result<Value, &'static str> {
    let (text, with) = (string(args, 0)?, string(args, 2)?);
    let replaced = pattern(args, 1)?.replace_all(text, with);
    Ok(Value::from(replaced.as_ref()))
}

pub(super) fn split(args: &[Value]) -> Result<Value, &'static str> {
    let text = string(args, 1)?;
    let found = pattern(args, 0)?;
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
    if end != text.len() || parts.is_empty() {
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

struct Translation<'a> {
    rest: Peekable<Chars<'a>>,
    out: String,
}

impl<'a> Translation<'a> {
    fn of(text: &'a str) -> Result<String, &'static str> {
        let mut translation = Self {
            rest: text.chars().peekable(),
            out: String::new(),
        };
        while let Some(next) = translation.rest.next() {
            match next {
                '\\' => translation.escape()?,
                '[' => translation.class()?,
                '(' => translation.group()?,
                // `x{,3}` is a text in RE2 and a repetition here.
                '{' if translation.rest.peek() == Some(&',') => return Err(NOT_IN_RE2),
                other => translation.out.push(other),
            }
        }
        Ok(translation.out)
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

    // `[:alpha:]`, ASCII in both.
    fn named_class(&mut self) -> Result<(), &'static str> {
        self.out.push('[');
        for next in self.rest.by_ref() {
            self.out.push(next);
            if next == ']' {
                return Ok(());
            }
        }
        Err(NOT_A_PATTERN)
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
            "a{100000}",
        ] {
            assert!(is_match(pattern, "a").is_err(), "{pattern}");
        }
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
