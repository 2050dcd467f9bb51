//! The header of a safetensors file, token by token: it may have 100 MB, and is not held as a whole.

use crate::source::ReadAt;
use crate::text::json::{Fault, Reader, Token};

/// Most tensors.
const MAX_TENSORS: usize = 1 << 20;
/// Most bytes of names and metadata together.
const MAX_HELD: usize = 64 << 20;
/// Most dimensions that are multiplied.
const MAX_DIMENSIONS: usize = 1 << 10;

/// What a header says.
#[derive(Debug, Default)]
pub(super) struct Header {
    /// Tensors, in its order.
    pub(super) tensors: Vec<Tensor>,
    /// Names and texts of the metadata.
    pub(super) metadata: Vec<(String, String)>,
    /// What loaders do not agree on, and where.
    pub(super) oddities: Vec<(u64, String)>,
    held: usize,
}

/// A tensor.
#[derive(Debug)]
pub(super) struct Tensor {
    /// Its name.
    pub(super) name: String,
    /// Where it begins and ends in the data.
    pub(super) place: [u64; 2],
    /// How many bytes its shape and type make.
    pub(super) bytes: Result<u64, Unfit>,
}

/// Why a shape and a type make no number of bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// The type is unknown.
    Type(String),
    /// The number is too large, or not one of whole bytes.
    TooLarge,
}

/// Why there is no header.
#[derive(Debug)]
pub(super) enum Unreadable {
    /// It is no JSON.
    Json(Fault),
    /// It is not what the format asks for.
    Shape(u64, &'static str),
    /// A limit of ours.
    Large(&'static str),
}

impl From<Fault> for Unreadable {
    fn from(fault: Fault) -> Self {
        Self::Json(fault)
    }
}

impl Header {
    /// Reads a header.
    pub(super) fn read(bytes: &dyn ReadAt) -> Result<Self, Unreadable> {
        let mut reader = Reader::new(bytes);
        let mut header = Self::default();
        begin(&mut reader, "it is no object")?;
        let mut metadata = false;
        while let Some(name) = header.key(&mut reader)? {
            let at = reader.position();
            if name != "__metadata__" {
                header.tensor(&mut reader, name)?;
                continue;
            }
            if std::mem::replace(&mut metadata, true) {
                header.odd(at, "`__metadata__` is there twice".to_owned());
            }
            header.notes(&mut reader)?;
        }
        if reader.again()? {
            let at = reader.position();
            return Err(Unreadable::Shape(at, "something follows the object"));
        }
        header.repeated();
        Ok(header)
    }

    fn odd(&mut self, at: u64, what: String) {
        // More of the same say nothing more.
        if self.oddities.len() < 100 {
            self.oddities.push((at, what));
        }
    }

    fn hold(&mut self, text: &str) -> Result<String, Unreadable> {
        self.held = self.held.saturating_add(text.len());
        if self.held > MAX_HELD {
            return Err(Unreadable::Large("bytes of names and metadata"));
        }
        Ok(text.to_owned())
    }

    // The next key, or `None` at the end of the object.
    fn key(&mut self, reader: &mut Reader<'_>) -> Result<Option<String>, Unreadable> {
        match reader.next()? {
            Some((Token::Key(key), _)) => self.hold(key).map(Some),
            _ => Ok(None),
        }
    }

    fn notes(&mut self, reader: &mut Reader<'_>) -> Result<(), Unreadable> {
        begin(reader, "the metadata is no object")?;
        while let Some(name) = self.key(reader)? {
            if self.metadata.len() >= MAX_TENSORS {
                return Err(Unreadable::Large("metadata"));
            }
            match reader.next()? {
                Some((Token::Text(text), _)) => {
                    let text = self.hold(text)?;
                    self.metadata.push((name, text));
                }
                Some((token, place)) => {
                    let opens = matches!(token, Token::ObjectStart | Token::ArrayStart);
                    self.odd(place.offset, format!("the metadata `{name}` is no text"));
                    if opens {
                        skip(reader, 1)?;
                    }
                }
                None => {}
            }
        }
        Ok(())
    }

    fn tensor(&mut self, reader: &mut Reader<'_>, name: String) -> Result<(), Unreadable> {
        if self.tensors.len() >= MAX_TENSORS {
            return Err(Unreadable::Large("tensors"));
        }
        begin(reader, "a tensor is no object")?;
        let at = reader.position();
        let (mut kind, mut shape, mut place) = (None, None, None);
        while let Some(field) = self.key(reader)? {
            self.held = self.held.saturating_sub(field.len());
            let twice = match field.as_str() {
                "dtype" => kind.replace(text(reader)?).is_some(),
                "shape" => shape.replace(numbers(reader)?).is_some(),
                "data_offsets" => place.replace(numbers(reader)?).is_some(),
                _ => {
                    let what = format!("`{name}` has the field `{field}`, which no tensor has");
                    self.odd(reader.position(), what);
                    skip(reader, 0)?;
                    false
                }
            };
            if twice {
                self.odd(reader.position(), format!("`{name}` has `{field}` twice"));
            }
        }
        let (Some(kind), Some(shape), Some(place)) = (kind, shape, place) else {
            return Err(Unreadable::Shape(at, "a tensor lacks a field"));
        };
        let Ok(place) = place.try_into() else {
            return Err(Unreadable::Shape(at, "a place is not two numbers"));
        };
        self.tensors.push(Tensor {
            name,
            place,
            bytes: bytes(kind, &shape),
        });
        Ok(())
    }

    // Names that are there twice.
    fn repeated(&mut self) {
        let mut names: Vec<&str> = self.tensors.iter().map(|one| one.name.as_str()).collect();
        names.extend(self.metadata.iter().map(|(name, _)| name.as_str()));
        let split = self.tensors.len();
        let (tensors, metadata) = names.split_at_mut(split);
        let mut twice = Vec::new();
        for names in [tensors, metadata] {
            names.sort_unstable();
            for pair in names.windows(2) {
                if let [first, second] = pair
                    && first == second
                    && twice.len() < 10
                {
                    twice.push(format!("the key `{first}` is there twice"));
                }
            }
        }
        for what in twice {
            self.odd(0, what);
        }
    }
}

fn begin(reader: &mut Reader<'_>, otherwise: &'static str) -> Result<(), Unreadable> {
    match reader.next()? {
        Some((Token::ObjectStart, _)) => Ok(()),
        _ => Err(Unreadable::Shape(reader.position(), otherwise)),
    }
}

// Leaves out a value, or the rest of what is `open` deep.
fn skip(reader: &mut Reader<'_>, open: u32) -> Result<(), Unreadable> {
    let mut open = open;
    loop {
        match reader.next()? {
            Some((Token::ObjectStart | Token::ArrayStart, _)) => open = open.saturating_add(1),
            Some((Token::ObjectEnd | Token::ArrayEnd, _)) => open = open.saturating_sub(1),
            None => return Ok(()),
            _ => {}
        }
        if open == 0 {
            return Ok(());
        }
    }
}

fn text(reader: &mut Reader<'_>) -> Result<String, Unreadable> {
    match reader.next()? {
        // The longest name of a type is far shorter.
        Some((Token::Text(text), _)) => Ok(text.chars().take(32).collect()),
        _ => Err(Unreadable::Shape(reader.position(), "a type is no text")),
    }
}

fn numbers(reader: &mut Reader<'_>) -> Result<Vec<u64>, Unreadable> {
    let mut numbers = Vec::new();
    if !matches!(reader.next()?, Some((Token::ArrayStart, _))) {
        let at = reader.position();
        return Err(Unreadable::Shape(at, "a shape or place is no list"));
    }
    loop {
        let number = match reader.next()? {
            Some((Token::ArrayEnd, _)) => return Ok(numbers),
            Some((Token::Number(number), _)) => number.parse().ok(),
            _ => None,
        };
        let Some(number) = number.filter(|_| numbers.len() < MAX_DIMENSIONS) else {
            let at = reader.position();
            return Err(Unreadable::Shape(at, "a shape or place is not of numbers"));
        };
        numbers.push(number);
    }
}

// How many bytes a type and a shape make.
fn bytes(kind: String, shape: &[u64]) -> Result<u64, Unfit> {
    let bits = match kind.as_str() {
        "F4" => 4,
        "F6_E2M3" | "F6_E3M2" => 6,
        "BOOL" | "U8" | "I8" | "F8_E4M3" | "F8_E5M2" | "F8_E8M0" | "F8_E4M3FNUZ"
        | "F8_E5M2FNUZ" => 8,
        "U16" | "I16" | "F16" | "BF16" => 16,
        "U32" | "I32" | "F32" => 32,
        "U64" | "I64" | "F64" | "C64" => 64,
        "C128" => 128,
        _ => return Err(Unfit::Type(kind)),
    };
    let elements = shape
        .iter()
        .try_fold(1_u64, |product, dimension| product.checked_mul(*dimension));
    let bits = elements.and_then(|elements| elements.checked_mul(bits));
    let bits = bits.filter(|bits| bits.is_multiple_of(8));
    bits.map(|bits| bits / 8).ok_or(Unfit::TooLarge)
}
