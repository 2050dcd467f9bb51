//! Encodings of JSON that Python guesses. A stricter reader would not see what Keras does.

/// Decodes as `json.loads` does: by the mark at the beginning, or by where zeros are.
pub(super) fn decode(bytes: &[u8]) -> String {
    let wide = |order: fn([u8; 2]) -> u16, skip: usize| {
        let units = bytes.get(skip..).unwrap_or_default().chunks_exact(2);
        let units = units.map(|pair| order([first(pair), second(pair)]));
        char::decode_utf16(units)
            .map(|one| one.unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect()
    };
    let widest = |little: bool| {
        let units = bytes.chunks_exact(4).filter_map(|four| {
            let array: [u8; 4] = four.try_into().ok()?;
            let number = if little {
                u32::from_le_bytes(array)
            } else {
                u32::from_be_bytes(array)
            };
            char::from_u32(number).filter(|one| *one != '\u{feff}')
        });
        units.collect()
    };
    match bytes {
        [0xff, 0xfe, 0, 0, ..] | [1..=255, 0, 0, 0, ..] => widest(true),
        [0, 0, 0xfe, 0xff, ..] | [0, 0, 0, 1..=255, ..] => widest(false),
        [0xff, 0xfe, ..] => wide(u16::from_le_bytes, 2),
        [0xfe, 0xff, ..] => wide(u16::from_be_bytes, 2),
        [1..=255, 0, ..] => wide(u16::from_le_bytes, 0),
        [0, 1..=255, ..] => wide(u16::from_be_bytes, 0),
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8_lossy(rest).into_owned(),
        _ => String::from_utf8_lossy(bytes).into_owned(),
    }
}

fn first(pair: &[u8]) -> u8 {
    pair.first().copied().unwrap_or(0)
}

fn second(pair: &[u8]) -> u8 {
    pair.get(1).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_python_guesses_is_read() {
        let plain = "{\"a\":\"b\"}";
        let marked = format!("\u{feff}{plain}");
        for encoded in [
            plain.as_bytes().to_vec(),
            marked.as_bytes().to_vec(),
            plain.encode_utf16().flat_map(u16::to_le_bytes).collect(),
            plain.encode_utf16().flat_map(u16::to_be_bytes).collect(),
            marked.encode_utf16().flat_map(u16::to_le_bytes).collect(),
            marked.encode_utf16().flat_map(u16::to_be_bytes).collect(),
            plain
                .chars()
                .flat_map(|one| u32::from(one).to_le_bytes())
                .collect(),
            marked
                .chars()
                .flat_map(|one| u32::from(one).to_be_bytes())
                .collect(),
        ] {
            assert_eq!(decode(&encoded), plain);
        }
    }
}
