//! Names that look like others (Unicode TR 39).

use super::{Kind, Sign, show};
use crate::rules;

/// Letters that look like Latin ones in most fonts, and those: a part of the confusables of
/// TR 39, without what is common in formulas (`α`, `μ`, `Δ`).
const ALIKE: [(char, char); 58] = [
    ('а', 'a'),
    ('е', 'e'),
    ('о', 'o'),
    ('р', 'p'),
    ('с', 'c'),
    ('у', 'y'),
    ('х', 'x'),
    ('ѕ', 's'),
    ('і', 'i'),
    ('ј', 'j'),
    ('һ', 'h'),
    ('ԁ', 'd'),
    ('ԛ', 'q'),
    ('ԝ', 'w'),
    ('ӏ', 'l'),
    ('ѵ', 'v'),
    ('ь', 'b'),
    ('г', 'r'),
    ('п', 'n'),
    ('А', 'A'),
    ('В', 'B'),
    ('С', 'C'),
    ('Е', 'E'),
    ('Н', 'H'),
    ('І', 'I'),
    ('Ј', 'J'),
    ('К', 'K'),
    ('М', 'M'),
    ('О', 'O'),
    ('Р', 'P'),
    ('Ѕ', 'S'),
    ('Т', 'T'),
    ('Х', 'X'),
    ('У', 'Y'),
    ('Ζ', 'Z'),
    ('Α', 'A'),
    ('Β', 'B'),
    ('Ε', 'E'),
    ('Η', 'H'),
    ('Ι', 'I'),
    ('Κ', 'K'),
    ('Μ', 'M'),
    ('Ν', 'N'),
    ('Ο', 'O'),
    ('Ρ', 'P'),
    ('Τ', 'T'),
    ('Υ', 'Y'),
    ('Χ', 'X'),
    ('ο', 'o'),
    ('ν', 'v'),
    ('ι', 'i'),
    ('ϳ', 'j'),
    ('օ', 'o'),
    ('ս', 'u'),
    ('ո', 'n'),
    ('հ', 'h'),
    ('ց', 'g'),
    ('յ', 'j'),
];

/// Returns what of a name looks like something else.
pub(super) fn confusable(name: &str) -> Option<Sign> {
    if let Some((at, c)) = name.char_indices().find(|(_, c)| is_hidden(*c))
        && name.chars().all(|c| c.is_ascii() || is_hidden(c))
    {
        let message = format!(
            "the name `{}` holds the invisible character U+{:04X}",
            show(name),
            u32::from(c)
        );
        return Some(Sign::new(&rules::media::CONFUSABLE, at, message));
    }
    for (at, word) in words(name) {
        if !word.chars().any(|c| c.is_ascii_alphabetic()) {
            continue;
        }
        let foreign = || {
            word.char_indices()
                .filter(|(_, c)| c.is_alphabetic() && !is_latin(*c))
        };
        let Some((within, c)) = foreign().next() else {
            continue;
        };
        let alike = |c: char| {
            ALIKE
                .iter()
                .find(|(one, _)| *one == c)
                .map(|(_, latin)| *latin)
        };
        if foreign().all(|(_, c)| alike(c).is_some()) {
            let plain: String = word.chars().map(|c| alike(c).unwrap_or(c)).collect();
            let message = format!(
                "the name `{}` looks like `{plain}`, and holds the letter U+{:04X}",
                show(word),
                u32::from(c)
            );
            let at = at.saturating_add(within);
            return Some(Sign::new(&rules::media::CONFUSABLE, at, message));
        }
    }
    None
}

fn words(name: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0_usize;
    name.split(|c: char| !c.is_alphanumeric()).map(move |word| {
        let start = at;
        // What splits words is one character, of one byte or more.
        at = at.saturating_add(word.len());
        at = at.saturating_add(
            name.get(at..)
                .and_then(|rest| rest.chars().next())
                .map_or(0, char::len_utf8),
        );
        (start, word)
    })
}

const fn is_latin(c: char) -> bool {
    c.is_ascii() || matches!(c, '\u{aa}'..='\u{24f}' | '\u{1e00}'..='\u{1eff}')
}

// Letters and spaces that nobody sees.
fn is_hidden(c: char) -> bool {
    matches!(Kind::of(c), Kind::Invisible | Kind::Direction | Kind::Tag)
        || matches!(
            c,
            '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' | '\u{2800}'
        )
}
