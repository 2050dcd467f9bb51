//! A program as Python's own reader takes it: ends of lines, compatible letters, and encodings.
//!
//! Python ends a line at a carriage return, too, and takes letters of a name for the plain ones that
//! they are compatible with (NFKC; The Python Language Reference, 2.1.2 and 2.3). Encodings: PEP 263.

use std::borrow::Cow;

/// Returns a text with every end of line as one line feed.
pub(super) fn lines(source: &str) -> Cow<'_, str> {
    if source.contains('\r') {
        Cow::Owned(source.replace("\r\n", "\n").replace('\r', "\n"))
    } else {
        Cow::Borrowed(source)
    }
}

/// Returns a text with plain letters in the place of those that are compatible with them.
pub(super) fn letters(source: &str) -> Cow<'_, str> {
    if !source.chars().any(|c| compatible(c).is_some()) {
        return Cow::Borrowed(source);
    }
    let mut out = String::with_capacity(source.len());
    for c in source.chars() {
        match compatible(c) {
            Some(plain) => out.push(plain),
            None => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// Returns the encoding that a program names, if that is one that hides what the program does from
/// whoever reads its bytes.
pub(super) fn hiding(source: &str) -> Option<&str> {
    const HIDING: [&str; 10] = [
        "utf-7",
        "utf7",
        "u7",
        "unicode-1-1-utf-7",
        "unicode-escape",
        "raw-unicode-escape",
        "punycode",
        "cp037",
        "cp500",
        "cp1140",
    ];
    let named = source.lines().take(2).find_map(|line| {
        let comment = line.trim_start_matches([' ', '\t', '\u{c}', '\u{feff}']);
        let (_, rest) = comment.strip_prefix('#')?.split_once("coding")?;
        let rest = rest.strip_prefix([':', '='])?.trim_start();
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && !"-_.".contains(c));
        rest.get(..end.unwrap_or(rest.len()))
    })?;
    let plain = named.to_ascii_lowercase().replace('_', "-");
    HIDING.contains(&plain.as_str()).then_some(named)
}

// The plain letter, digit or sign of a name that one is compatible with.
fn compatible(c: char) -> Option<char> {
    const OTHERS: [(&str, &str); 3] = [
        (
            "ªºſℂℊℋℌℍℎℐℑℒℕℙℚℛℜℝℤℨℬℭℯℰℱℳℴℹⅆⅇⅈⅉⅅ",
            "aosCgHHHhIILNPQRRRZZBCeEFMoideijD",
        ),
        (
            "ʰʲʳʷʸˡˢˣᴬᴮᴰᴱᴳᴴᴵᴶᴷᴸᴹᴺᴼᴾᴿᵀᵁᵂᵃᵇᵈᵉᵍᵏᵐᵒᵖᵗᵘᵛᵢᵣᵤᵥᶜᶠᶻⁱⁿₐₑₒₓₕₖₗₘₙₚₛₜⱼⱽ",
            "hjrwylsxABDEGHIJKLMNOPRTUWabdegkmoptuviruvcfzinaeoxhklmnpstjV",
        ),
        ("ⅠⅤⅩⅬⅭⅮⅯⅰⅴⅹⅼⅽⅾⅿ︳︴﹍﹎﹏", "IVXLCDMivxlcdm_____"),
    ];
    let code = u32::from(c);
    let nth = |first: u8, at: u32| Some(char::from(first.checked_add(u8::try_from(at).ok()?)?));
    match code {
        0..=0xa9 => None,
        // Signs of that width are none of Python's.
        0xff10..=0xff19 | 0xff21..=0xff3a | 0xff3f | 0xff41..=0xff5a => {
            nth(b'!', code.saturating_sub(0xff01))
        }
        // Alphabets for mathematics: capitals, then small letters, over and over.
        0x1_d400..=0x1_d6a3 => match code.saturating_sub(0x1_d400).checked_rem(52)? {
            at @ 0..26 => nth(b'A', at),
            at => nth(b'a', at.saturating_sub(26)),
        },
        0x1_d7ce..=0x1_d7ff => nth(b'0', code.saturating_sub(0x1_d7ce).checked_rem(10)?),
        _ => OTHERS.iter().find_map(|(from, to)| {
            let at = from.chars().position(|other| other == c)?;
            to.chars().nth(at)
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_python_takes_them_for() {
        assert_eq!(letters("os.ｓｙｓｔｅｍ"), "os.system");
        assert_eq!(letters("𝓮𝔁𝓮𝓬(𝟙)"), "exec(1)");
        assert_eq!(letters("ᵉᵛªℓ"), "evaℓ");
        assert_eq!(letters("é 名前"), "é 名前");
        assert_eq!(lines("a\rb\r\nc"), "a\nb\nc");
    }

    #[test]
    fn encodings_that_hide() {
        assert_eq!(hiding("#!x\n# -*- coding: UTF_7 -*-\n"), Some("UTF_7"));
        assert_eq!(
            hiding("# vim: fileencoding=raw_unicode_escape\n"),
            Some("raw_unicode_escape")
        );
        for text in [
            "# coding: utf-8\n",
            "# coding=latin-1\n",
            "\n\n# coding: utf7\n",
            "x = 1\n",
        ] {
            assert_eq!(hiding(text), None, "{text}");
        }
    }
}
