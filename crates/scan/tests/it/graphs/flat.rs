//! Writes `FlatBuffers`: each table behind its vtable, and what it points at behind it.

/// A value of a field.
pub enum Value {
    U8(u8),
    U32(u32),
    U64(u64),
    Text(String),
    Bytes(Vec<u8>),
    Words(Vec<u32>),
    Table(Vec<(u16, Value)>),
    Tables(Vec<Value>),
}

/// Returns a buffer with a mark and a root table.
pub fn buffer(mark: [u8; 4], root: Vec<(u16, Value)>) -> Vec<u8> {
    let mut bytes = vec![0; 4];
    bytes.extend(mark);
    let at = table(&mut bytes, root);
    patch(&mut bytes, 0, at);
    bytes
}

/// Points the first field of each table of the only vector at places one after another.
pub fn point_at(bytes: &mut [u8], first: usize) {
    let word = |bytes: &[u8], at: usize| {
        u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
    };
    let root = word(bytes, 0);
    let vector = root + 4 + word(bytes, root + 4);
    for number in 0..word(bytes, vector) {
        let place = vector + 4 + 4 * number;
        let field = place + word(bytes, place) + 4;
        patch(bytes, field, first + 4 * number);
    }
}

fn patch(bytes: &mut [u8], place: usize, to: usize) {
    let distance = u32::try_from(to - place).unwrap();
    bytes[place..place + 4].copy_from_slice(&distance.to_le_bytes());
}

fn align(bytes: &mut Vec<u8>, to: usize) {
    while !bytes.len().is_multiple_of(to) {
        bytes.push(0);
    }
}

fn table(bytes: &mut Vec<u8>, fields: Vec<(u16, Value)>) -> usize {
    align(bytes, 8);
    let slots = fields.iter().map(|(slot, _)| slot + 1).max().unwrap_or(0);
    let vtable = bytes.len();
    bytes.resize(vtable + 4 + 2 * usize::from(slots), 0);
    align(bytes, 8);
    let at = bytes.len();
    bytes.extend(i32::try_from(at - vtable).unwrap().to_le_bytes());
    let mut later = Vec::new();
    for (slot, value) in fields {
        let inline = match &value {
            Value::U8(number) => vec![*number],
            Value::U32(number) => number.to_le_bytes().to_vec(),
            Value::U64(number) => number.to_le_bytes().to_vec(),
            _ => vec![0; 4],
        };
        align(bytes, inline.len());
        let place = bytes.len();
        bytes.extend(inline);
        let entry = vtable + 4 + 2 * usize::from(slot);
        let offset = u16::try_from(place - at).unwrap();
        bytes[entry..entry + 2].copy_from_slice(&offset.to_le_bytes());
        later.push((place, value));
    }
    let len = u16::try_from(bytes.len() - at).unwrap();
    let vtable_len = 4 + 2 * slots;
    bytes[vtable..vtable + 2].copy_from_slice(&vtable_len.to_le_bytes());
    bytes[vtable + 2..vtable + 4].copy_from_slice(&len.to_le_bytes());
    for (place, value) in later {
        refer(bytes, place, value);
    }
    at
}

fn refer(bytes: &mut Vec<u8>, place: usize, value: Value) {
    let at = match value {
        Value::U8(_) | Value::U32(_) | Value::U64(_) => return,
        Value::Text(text) => {
            let at = vector(bytes, text.len(), text.as_bytes());
            bytes.push(0);
            at
        }
        Value::Bytes(value) => vector(bytes, value.len(), &value),
        Value::Words(words) => {
            let flat: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            vector(bytes, words.len(), &flat)
        }
        Value::Table(fields) => table(bytes, fields),
        Value::Tables(tables) => {
            let at = vector(bytes, tables.len(), &vec![0; 4 * tables.len()]);
            for (number, one) in tables.into_iter().enumerate() {
                refer(bytes, at + 4 + 4 * number, one);
            }
            at
        }
    };
    patch(bytes, place, at);
}

fn vector(bytes: &mut Vec<u8>, len: usize, elements: &[u8]) -> usize {
    align(bytes, 4);
    let at = bytes.len();
    bytes.extend(u32::try_from(len).unwrap().to_le_bytes());
    bytes.extend(elements);
    at
}
