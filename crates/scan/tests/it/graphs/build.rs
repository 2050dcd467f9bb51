//! Writes messages of Protocol Buffers.

/// A message that is being written.
#[derive(Default, Clone)]
pub struct Message(Vec<u8>);

/// Returns an empty message.
pub fn message() -> Message {
    Message::default()
}

/// Returns a number of variable length.
pub fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    bytes.push(number.to_le_bytes()[0]);
    bytes
}

impl Message {
    pub fn number(mut self, field: u32, number: u64) -> Self {
        self.0.extend(varint(u64::from(field) << 3));
        self.0.extend(varint(number));
        self
    }

    pub fn bytes(mut self, field: u32, bytes: &[u8]) -> Self {
        self.0.extend(varint(u64::from(field) << 3 | 2));
        self.0.extend(varint(bytes.len() as u64));
        self.0.extend(bytes);
        self
    }

    pub fn text(self, field: u32, text: &str) -> Self {
        self.bytes(field, text.as_bytes())
    }

    pub fn message(self, field: u32, message: &Self) -> Self {
        self.bytes(field, &message.0)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn done(self) -> Vec<u8> {
        self.0
    }
}

/// Returns true if bytes are whole fields.
pub fn is_message(bytes: &[u8]) -> bool {
    let mut at = 0;
    let read = |at: &mut usize| -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = *bytes.get(*at)?;
            *at += 1;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    };
    while at < bytes.len() {
        let Some(tag) = read(&mut at) else {
            return false;
        };
        match tag & 7 {
            0 => {
                if read(&mut at).is_none() {
                    return false;
                }
            }
            2 => {
                let end = read(&mut at).and_then(|len| at.checked_add(usize::try_from(len).ok()?));
                match end {
                    Some(end) if end <= bytes.len() => at = end,
                    _ => return false,
                }
            }
            _ => return false,
        }
    }
    true
}
