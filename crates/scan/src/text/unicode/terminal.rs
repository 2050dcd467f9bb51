//! Escape sequences of terminals (ECMA-48, xterm).
//!
//! Colours and movements of the cursor are in the outputs of every notebook. What is told reaches
//! out of the screen: the clipboard, the title, the keyboard.

use super::{Sign, show};
use crate::rules;

/// Returns the first sequence that does more than colour and move.
pub(super) fn escapes(text: &str) -> Option<Sign> {
    for (at, c) in text.char_indices() {
        if !matches!(c, '\u{1b}' | '\u{9b}' | '\u{9d}') {
            continue;
        }
        let rest = following(text, at.saturating_add(c.len_utf8()));
        let what = match c {
            '\u{1b}' => match rest.chars().next() {
                Some('[') => control(rest.get(1..).unwrap_or_default()),
                Some(']') => command(rest.get(1..).unwrap_or_default()),
                Some('P') => string(rest).then_some("sends the terminal a program string"),
                _ => None,
            },
            // The one-character forms, which broken encodings produce as well.
            '\u{9b}' => control(rest),
            '\u{9d}' => string(rest).then(|| command(rest)).flatten(),
            _ => None,
        };
        if let Some(what) = what {
            let mut sign = Sign::new(
                &rules::media::TERMINAL,
                at,
                format!("an escape sequence {what}"),
            );
            let shown: String = text
                .get(at..)
                .unwrap_or_default()
                .chars()
                .take(60)
                .collect();
            sign.evidence = Some(show(&shown));
            return Some(sign);
        }
    }
    None
}

// What follows a place, as far as a sequence goes.
fn following(text: &str, at: usize) -> &str {
    const MOST: usize = 512;
    let rest = text.get(at..).unwrap_or_default();
    let mut end = rest.len().min(MOST);
    while !rest.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    rest.get(..end).unwrap_or_default()
}

// CSI: parameters, and a letter.
fn control(rest: &str) -> Option<&'static str> {
    let end = rest.find(|c: char| !matches!(c, '0'..='?' | ' '..='/'))?;
    let parameters = rest.get(..end)?;
    match rest.get(end..)?.chars().next()? {
        'm' if parameters.split(';').any(|one| one == "8") => Some("hides the text after it"),
        't' if matches!(parameters, "20" | "21") => Some("has the terminal type its title"),
        'n' if matches!(parameters, "5" | "6") => Some("has the terminal type where its cursor is"),
        'c' => Some("has the terminal type what it is"),
        'i' => Some("controls a printer"),
        _ => None,
    }
}

// OSC: a number, and a text.
fn command(rest: &str) -> Option<&'static str> {
    let number = rest.split(';').next().unwrap_or_default();
    match number {
        "52" => Some("reaches for the clipboard"),
        "0" | "1" | "2" => Some("changes the title of the terminal"),
        "4" | "10" | "11" | "12" if rest.contains(";?") => {
            Some("has the terminal type one of its settings")
        }
        "50" | "1337" | "777" | "9" => Some("commands the terminal program"),
        _ => None,
    }
}

// Returns true if a string of the terminal ends as one does.
fn string(rest: &str) -> bool {
    rest.contains("\u{1b}\\") || rest.contains('\u{7}') || rest.contains('\u{9c}')
}
