//! What a registry asks for when it answers 401: the header `WWW-Authenticate`
//! (RFC 9110 section 11.6.1, RFC 6750 section 3).

/// Longest header that is read, in bytes.
const MAX_HEADER: usize = 8 * 1024;
/// Most challenges in one header.
const MAX_CHALLENGES: usize = 8;
/// Most parameters of one challenge.
const MAX_PARAMETERS: usize = 32;

/// One way to say who one is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Challenge {
    /// In lower case.
    scheme: String,
    /// Names in lower case.
    parameters: Vec<(String, String)>,
}

impl Challenge {
    /// Returns true for this scheme, in lower case.
    pub(crate) fn is(&self, scheme: &str) -> bool {
        self.scheme == scheme
    }

    /// Returns a parameter.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        let (_, value) = self.parameters.iter().find(|(found, _)| found == name)?;
        Some(value)
    }
}

/// Reads all challenges of one header; `None` if it breaks the grammar or a limit.
pub(crate) fn parse(header: &str) -> Option<Vec<Challenge>> {
    if header.len() > MAX_HEADER {
        return None;
    }
    let mut rest = header;
    let mut found: Vec<Challenge> = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return Some(found);
        }
        let (word, behind) = token(rest)?;
        let after = behind.trim_start_matches([' ', '\t']);
        let full = found.len() >= MAX_CHALLENGES;
        rest = match (after.strip_prefix('='), found.last_mut()) {
            (Some(value), Some(current)) => parameter(current, word, value)?,
            _ if full => return None,
            _ => {
                found.push(Challenge {
                    scheme: word.to_ascii_lowercase(),
                    parameters: Vec::new(),
                });
                token68(after).unwrap_or(behind)
            }
        };
        if !(rest.is_empty() || rest.starts_with([' ', '\t', ','])) {
            return None;
        }
    }
}

// Reads the value of a parameter, and returns what follows it.
fn parameter<'a>(challenge: &mut Challenge, name: &str, value: &'a str) -> Option<&'a str> {
    let (value, behind) = value_of(value.trim_start_matches([' ', '\t']))?;
    let name = name.to_ascii_lowercase();
    // Two values of one name: whoever checks one and uses the other is fooled.
    if challenge.parameters.len() >= MAX_PARAMETERS || challenge.parameter(&name).is_some() {
        return None;
    }
    challenge.parameters.push((name, value));
    Some(behind)
}

const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

fn token(text: &str) -> Option<(&str, &str)> {
    let end = text
        .bytes()
        .position(|byte| !is_token(byte))
        .unwrap_or(text.len());
    text.split_at_checked(end)
        .filter(|(word, _)| !word.is_empty())
}

// `Negotiate dG9rZW4=`: passed over, up to the comma behind it or the end.
fn token68(text: &str) -> Option<&str> {
    let is_68 = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/".contains(&b);
    let end = text.bytes().position(|b| !is_68(b)).unwrap_or(text.len());
    let behind = text.get(end..)?.trim_start_matches('=');
    let there = end > 0 && (behind.is_empty() || behind.trim_start().starts_with(','));
    there.then_some(behind)
}

fn value_of(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (word, behind) = token(text)?;
        return Some((word.to_owned(), behind));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, quoted.get(at.saturating_add(1)..)?)),
            '\\' => value.push(chars.next()?.1),
            c if c.is_control() && c != '\t' => return None,
            c => value.push(c),
        }
    }
    None
}

pub(crate) fn fuzz_challenge(data: &[u8]) {
    let _ = parse(&String::from_utf8_lossy(data));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(header: &str) -> Option<String> {
        let one = |challenge: Challenge| {
            let parameters: Vec<String> = challenge
                .parameters
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            format!("{}({})", challenge.scheme, parameters.join(";"))
        };
        let list = parse(header)?;
        Some(list.into_iter().map(one).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn what_registries_send() {
        for (header, expected) in [
            (
                r#"Bearer realm="https://auth.example/token",service="r.example",scope="repository:a/b:pull,push""#,
                "bearer(realm=https://auth.example/token;service=r.example;scope=repository:a/b:pull,push)",
            ),
            (
                r#"Basic realm="Registry Realm""#,
                "basic(realm=Registry Realm)",
            ),
            (
                r#"bearer REALM = "x" , service=y"#,
                "bearer(realm=x;service=y)",
            ),
            (
                r#"Basic realm="a", Bearer realm="b",service="c""#,
                "basic(realm=a) bearer(realm=b;service=c)",
            ),
            ("Basic", "basic()"),
            ("Basic, Digest", "basic() digest()"),
            (
                "Negotiate dG9r+/Zw==, Basic realm=x",
                "negotiate() basic(realm=x)",
            ),
            (r#"Bearer realm="a\"b\\c""#, r#"bearer(realm=a"b\c)"#),
            ("", ""),
        ] {
            assert_eq!(shown(header).as_deref(), Some(expected), "{header}");
        }
    }

    #[test]
    fn what_is_no_challenge() {
        for header in [
            r#"Bearer realm="open"#,
            r#"Bearer realm="a"b"#,
            r#"Bearer realm="a",realm="b""#,
            r#"Bearer realm="a",Realm="b""#,
            "=x",
            "Bearer \u{1}",
            "Bearer realm=\"a\u{1}\"",
            &format!("Bearer realm=\"{}\"", "a".repeat(9000)),
            &"Basic, ".repeat(9),
        ] {
            assert_eq!(parse(header), None, "{header}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC{0,200}") {
            fuzz_challenge(text.as_bytes());
        }

        #[test]
        fn quoted_values_survive(value in "[ -~]{0,40}") {
            let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
            let list = parse(&format!("Bearer realm=\"{quoted}\", service=x")).unwrap();
            prop_assert_eq!(list[0].parameter("realm"), Some(value.as_str()));
            prop_assert_eq!(list[0].parameter("service"), Some("x"));
        }
    }
}
