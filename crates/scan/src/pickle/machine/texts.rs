//! Texts and numbers of a stream, as a loader reads them, and what texts look like.

use super::{LOOKED_AT, Machine, Step, Stop};
use crate::pickle::signs::Signs;
use crate::pickle::value::{Coding, Node, Span, Value};
use crate::source::Cursor;

/// What may be looked at in the values of a stream: this much for each of its bytes, and this much
/// in all. A byte of a text counts one, and each value [`VALUE`]. Values of ordinary streams are
/// looked at once or twice; those that a memo hands out could be each time, and all in them.
const LOOKS: u64 = 16;
const LOOKS_IN_ALL: u64 = 8 << 20;
const VALUE: u64 = 8;

impl Machine<'_> {
    /// Returns a text, at most its first 4 KiB, as a loader would read it. `None` if it is none.
    pub(in crate::pickle) fn text(&self, value: Value) -> Option<String> {
        let Value::Text(span) = value else {
            return None;
        };
        Some(decode(&self.bytes_of(span)?, span.coding))
    }

    /// Returns the whole text if it is at most `most` bytes long.
    pub(in crate::pickle) fn short_text(&self, value: Value, most: u32) -> Option<String> {
        match value {
            Value::Text(span) if span.len <= most => self.text(value),
            _ => None,
        }
    }

    /// Returns the first bytes of a value of bytes.
    pub(in crate::pickle) fn head(&self, span: Span) -> Vec<u8> {
        self.bytes_of(span).unwrap_or_default()
    }

    fn bytes_of(&self, span: Span) -> Option<Vec<u8>> {
        let mut reader = Cursor::at(self.cursor.source(), span.offset);
        let len = usize::try_from(span.len.min(LOOKED_AT)).ok()?;
        reader.take(len).ok()
    }

    /// Returns what the texts in a value look like.
    pub(in crate::pickle) fn signs(&self, value: Value) -> Signs {
        let mut signs = Signs::NONE;
        let mut left = 512_u32;
        let mut waiting = vec![value];
        while let Some(value) = waiting.pop() {
            let Some(less) = left.checked_sub(1).filter(|_| !self.is_tired()) else {
                return signs.and(Signs::UNSEEN);
            };
            left = less;
            signs = signs.and(self.own_signs(value, &mut waiting));
        }
        signs
    }

    /// Returns true if more was looked at in values than is useful: what comes is not.
    pub(in crate::pickle) fn is_tired(&self) -> bool {
        let most = self.cursor.position().saturating_mul(LOOKS);
        self.looked.get() > most.saturating_add(LOOKS_IN_ALL)
    }

    fn own_signs(&self, value: Value, waiting: &mut Vec<Value>) -> Signs {
        let mut cost = VALUE;
        let signs = match value {
            Value::Text(span) => {
                cost = cost.saturating_add(span.len.min(LOOKED_AT).into());
                Signs::of_text(&self.text(value).unwrap_or_default())
            }
            Value::Bytes(span) => {
                cost = cost.saturating_add(span.len.min(LOOKED_AT).into());
                Signs::of_bytes(&self.head(span))
            }
            Value::Faded(_, faded) => faded,
            Value::Node(place) => match self.node(place) {
                Some(Node::Container { items, signs, .. }) => {
                    waiting.extend(items.iter().copied());
                    signs.and(self.host(items))
                }
                Some(Node::Call { callee, arguments }) => {
                    waiting.extend([*callee, *arguments]);
                    Signs::NONE
                }
                Some(Node::Persistent(id)) => {
                    waiting.push(*id);
                    Signs::NONE
                }
                Some(Node::Extension(_)) | None => Signs::NONE,
            },
            _ => Signs::NONE,
        };
        self.looked.set(self.looked.get().saturating_add(cost));
        signs
    }

    // The arguments of a socket.
    fn host(&self, items: &[Value]) -> Signs {
        match items {
            [text @ Value::Text(_), Value::Int(port)] => {
                let text = self.short_text(*text, 255).unwrap_or_default();
                if Signs::is_host(&text, *port) {
                    Signs::HOST
                } else {
                    Signs::NONE
                }
            }
            _ => Signs::NONE,
        }
    }
}

pub(super) fn number(digits: &[u8]) -> Option<Value> {
    let text = std::str::from_utf8(digits).ok()?.trim();
    let bare = text.strip_prefix(['-', '+']).unwrap_or(text);
    if bare.is_empty() || !bare.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().map_or(Value::Number, Value::Int))
}

// A little-endian number in two's complement.
pub(super) fn little(bytes: &[u8]) -> Value {
    if bytes.len() > 8 {
        return Value::Number;
    }
    let negative = bytes.last().is_some_and(|last| last & 0x80 != 0);
    let mut all = if negative { [0xff; 8] } else { [0; 8] };
    for (to, from) in all.iter_mut().zip(bytes) {
        *to = *from;
    }
    Value::Int(i64::from_le_bytes(all))
}

pub(super) fn memo_index(line: &[u8]) -> Step<u32> {
    match number(line) {
        Some(Value::Int(index)) => {
            u32::try_from(index).map_err(|_| Stop::Malformed("a memo index out of range"))
        }
        _ => Err(Stop::Malformed("a memo index is no number")),
    }
}

fn decode(bytes: &[u8], coding: Coding) -> String {
    match coding {
        Coding::Utf8 | Coding::Bytes => String::from_utf8_lossy(bytes).into_owned(),
        Coding::RawEscape => unescape(bytes, false),
        Coding::Quoted => unescape(bytes, true),
    }
}

// `raw-unicode-escape` knows `\uXXXX` and `\UXXXXXXXX`; a quoted literal knows those of a Python 2
// byte string as well.
fn unescape(bytes: &[u8], quoted: bool) -> String {
    let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        let after = rest.clone().next();
        let digits = match after {
            Some('u') if !quoted => 4,
            Some('U') if !quoted => 8,
            Some('x') if quoted => 2,
            _ => 0,
        };
        let coded: String = rest.clone().skip(1).take(digits).collect();
        let decoded = u32::from_str_radix(&coded, 16)
            .ok()
            .filter(|_| digits > 0 && coded.len() == digits)
            .and_then(char::from_u32);
        if let Some(decoded) = decoded {
            out.push(decoded);
            rest.by_ref().nth(digits);
            continue;
        }
        match after.filter(|_| quoted) {
            Some(octal @ '0'..='7') => {
                let digits: String = rest
                    .clone()
                    .take(3)
                    .take_while(|c| matches!(c, '0'..='7'))
                    .collect();
                let value = u32::from_str_radix(&digits, 8).unwrap_or(u32::from(octal));
                out.push(char::from_u32(value & 0xff).unwrap_or('\u{fffd}'));
                for _ in digits.chars() {
                    rest.next();
                }
            }
            Some(plain) => {
                rest.next();
                out.push(match plain {
                    'n' => '\n',
                    't' => '\t',
                    'r' => '\r',
                    'a' => '\u{7}',
                    'b' => '\u{8}',
                    'f' => '\u{c}',
                    'v' => '\u{b}',
                    other => other,
                });
            }
            None => out.push('\\'),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pickle::Watch;

    #[test]
    fn no_more_is_looked_at_than_the_stream_is_long() {
        let list = [b"\x80\x04]\x94".to_vec(), b"h\0a".repeat(300_000)].concat();
        let texts = [
            b"\x80\x04]\x94X\0\x10\0\0".to_vec(),
            b"a".repeat(4 << 10),
            b"\x940".to_vec(),
            b"h\x01a".repeat(300_000),
        ];
        for stream in [list, texts.concat()] {
            let mut machine = Machine::at(&stream, 0, u64::MAX);
            machine.run(&mut Watch::default(), &mut |_, _| false);
            let len = u64::try_from(stream.len()).unwrap_or(u64::MAX);
            assert!(machine.is_tired());
            assert!(machine.looked.get() < LOOKS_IN_ALL + len * LOOKS + VALUE + 4_096);
        }
    }
}
