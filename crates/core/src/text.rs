//! Text from strangers, made safe to show.
//!
//! A name in a statement can hold what moves a terminal's cursor, reverses the direction of
//! reading, or is not there to the eye. Whatever is shown to a person passes [`visible`]; JSON
//! keeps such characters as they are, in a form that no terminal acts on: [`escaped`].
//!
//! What it is not: a judgement of letters that look alike.

use std::fmt::Write as _;

/// Returns true for what changes other text, or is not there to the eye: control characters, marks
/// of direction, joiners and fillers.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}'
            | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// Returns `text` with a sign in place of each hidden character; line ends stay.
///
/// ```
/// assert_eq!(custos_core::text::visible("a\u{1b}[2J\u{202e}b\n"), "a\u{fffd}[2J\u{fffd}b\n");
/// ```
pub fn visible(text: &str) -> String {
    text.chars()
        .map(|c| if c == '\n' { c } else { shown(c) })
        .collect()
}

/// Returns the sign for a hidden character, and any other as it is.
pub fn shown(c: char) -> char {
    if is_hidden(c) { '\u{fffd}' } else { c }
}

/// Returns a JSON text of the same meaning without hidden characters, line ends between its parts
/// left out.
///
/// ```
/// let text = custos_core::text::escaped("{\n\"a\": \"\u{202e}\u{e0001}\"}");
/// assert_eq!(text, "{\n\"a\": \"\\u202e\\udb40\\udc01\"}");
/// ```
pub fn escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        // Outside of strings JSON has no other hidden characters than line ends and tabs.
        if matches!(c, '\n' | '\r' | '\t') || !is_hidden(c) {
            out.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            // Writing to a string does not fail.
            let _ = write!(out, "\\u{unit:04x}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn escaping_keeps_the_meaning_and_hides_nothing(
            text in prop::collection::vec(any::<char>(), 0..40),
            more in "[\u{80}-\u{9f}\u{200b}-\u{206f}\u{e0000}-\u{e0fff}\\n\"\\\\]{0,8}",
        ) {
            let value = serde_json::json!({ "k": text.iter().collect::<String>() + &more });
            let json = escaped(&serde_json::to_string_pretty(&value).unwrap());
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap(), value);
            prop_assert!(!json.chars().any(|c| c != '\n' && is_hidden(c)));
        }
    }
}
