//! The answers of lists, as far as they are needed: elements that hold texts.
//!
//! Not a reader of XML: names and texts are looked for between exactly the tags that the services
//! write. What does not fit is nothing, and never something else: a text holds no tag.

/// Returns what stands in each element of this name, in order. Elements of one name do not nest.
pub(super) fn elements<'x>(xml: &'x str, name: &str) -> Vec<&'x str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let mut found = Vec::new();
    let mut rest = xml;
    while let Some((_, after)) = rest.split_once(open.as_str()) {
        let Some((inside, next)) = after.split_once(close.as_str()) else {
            return found;
        };
        found.push(inside);
        rest = next;
    }
    found
}

/// Returns the text of the first element of this name, unescaped; nothing if it is empty.
pub(super) fn text(xml: &str, name: &str) -> Option<String> {
    let raw = elements(xml, name).into_iter().next()?;
    unescape(raw).filter(|text| !text.is_empty())
}

fn unescape(raw: &str) -> Option<String> {
    if raw.contains('<') {
        return None;
    }
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let (name, next) = after.split_once(';')?;
        out.push(match name {
            "amp" => '&',
            "apos" => '\'',
            "gt" => '>',
            "lt" => '<',
            "quot" => '"',
            _ => number(name)?,
        });
        rest = next;
    }
    out.push_str(rest);
    Some(out)
}

fn number(name: &str) -> Option<char> {
    let digits = name.strip_prefix('#')?;
    let code = match digits.strip_prefix(['x', 'X']) {
        Some(hex) => u32::from_str_radix(hex, 16).ok()?,
        None => digits.parse().ok()?,
    };
    char::from_u32(code)
}

/// Undoes the escapes of a URL; nothing if they are none, or no text comes of it.
pub(super) fn decode_percent(text: &str, plus_is_space: bool) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let high = char::from(bytes.next()?).to_digit(16)?;
                let low = char::from(bytes.next()?).to_digit(16)?;
                u8::try_from(high.checked_mul(16)?.checked_add(low)?).ok()?
            }
            b'+' if plus_is_space => b' ',
            byte => byte,
        });
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_and_their_texts() {
        let xml = "<A><K>a&amp;b&#x41;</K></A><A><K/><K>c</K></A><A>";
        let found: Vec<_> = elements(xml, "A")
            .iter()
            .map(|one| text(one, "K"))
            .collect();
        assert_eq!(found, [Some("a&bA".to_owned()), Some("c".to_owned())]);
        for bad in ["<K><B></K>", "<K>&x;</K>", "<K>&amp</K>", "<K>", "<K></K>"] {
            assert_eq!(text(bad, "K"), None, "{bad}");
        }
        assert_eq!(decode_percent("a%2Fb+c", true).as_deref(), Some("a/b c"));
        assert_eq!(decode_percent("a+b", false).as_deref(), Some("a+b"));
        assert_eq!(decode_percent("%f", true), None);
        assert_eq!(decode_percent("%ff", true), None);
    }
}
