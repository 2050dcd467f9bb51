//! What values are: datatypes (specification IV.A.2.d) and dataspaces (IV.A.2.b).

use super::file::{Fields, Stop, broken, to_u64, to_usize, width_of};

/// Deepest nesting of types in types.
const MAX_DEPTH: u32 = 24;

/// A datatype, as far as it says where further bytes lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Datatype {
    /// Bytes of a value.
    pub(super) size: u64,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// Several values of one type.
    Array(Box<Datatype>),
    /// Values without a meaning of their own.
    Bytes,
    /// Members at their offsets.
    Compound(Vec<(u64, Datatype)>),
    /// Numbers and the like.
    Plain,
    /// A part of a dataset, which is kept with values of their own length.
    Region,
    /// Text of fixed length.
    Text,
    /// Text of its own length.
    VarText,
    /// Values as many as there are.
    Var(Box<Datatype>),
}

impl Datatype {
    /// A letter of a text.
    pub(super) const TEXT: Self = Self {
        size: 1,
        kind: Kind::Text,
    };

    /// Reads a type.
    pub(super) fn read(fields: &mut Fields<'_>, depth: u32) -> Result<Self, Stop> {
        if depth > MAX_DEPTH {
            return Err(Stop::Unread("types are nested too deeply".to_owned()));
        }
        let first = fields.u8()?;
        let (version, class) = (first >> 4, first & 0xf);
        let bits = fields.number(3)?;
        let size = u64::from(fields.u32()?);
        let inner = depth.saturating_add(1);
        let kind = match class {
            0 | 4 => {
                fields.skip(4)?;
                if size == 1 { Kind::Bytes } else { Kind::Plain }
            }
            1 => {
                fields.skip(12)?;
                Kind::Plain
            }
            2 => {
                fields.skip(2)?;
                Kind::Plain
            }
            3 => Kind::Text,
            5 => {
                fields.skip(to_usize(bits & 0xff))?;
                Kind::Bytes
            }
            6 => {
                let widths = (version, width_of(size));
                Kind::Compound(members(fields, widths, bits & 0xffff, inner)?)
            }
            7 if bits & 0xf == 1 => Kind::Region,
            7 => Kind::Plain,
            8 => enumeration(fields, (version, bits & 0xffff), inner)?,
            9 => {
                let base = Self::read(fields, inner)?;
                if bits & 0xf == 1 {
                    Kind::VarText
                } else {
                    Kind::Var(Box::new(base))
                }
            }
            10 => array(fields, version, inner)?,
            // Complex numbers: a type for both parts.
            11 => {
                Self::read(fields, inner)?;
                Kind::Plain
            }
            other => return broken(format!("there is no type of class {other}")),
        };
        Ok(Self { size, kind })
    }

    /// Returns true if values of it refer to further bytes.
    pub(super) fn refers(&self) -> bool {
        match &self.kind {
            Kind::Array(base) => base.refers(),
            Kind::Compound(members) => members.iter().any(|(_, member)| member.refers()),
            Kind::Region | Kind::VarText | Kind::Var(_) => true,
            Kind::Bytes | Kind::Plain | Kind::Text => false,
        }
    }

    /// Returns true if values of it may be a file of some kind.
    pub(super) const fn is_bytes(&self) -> bool {
        matches!(self.kind, Kind::Bytes | Kind::Text)
    }
}

// Names and their values.
fn enumeration(
    fields: &mut Fields<'_>,
    (version, count): (u8, u64),
    depth: u32,
) -> Result<Kind, Stop> {
    let base = Datatype::read(fields, depth)?;
    for _ in 0..count {
        fields.text(if version < 3 { 8 } else { 1 })?;
    }
    fields.skip(to_usize(base.size.saturating_mul(count)))?;
    Ok(Kind::Plain)
}

fn array(fields: &mut Fields<'_>, version: u8, depth: u32) -> Result<Kind, Stop> {
    let rank = usize::from(fields.u8()?);
    let (reserved, words) = if version < 3 { (3, 2) } else { (0, 1) };
    fields.skip(reserved)?;
    fields.skip(rank.saturating_mul(words).saturating_mul(4))?;
    Ok(Kind::Array(Box::new(Datatype::read(fields, depth)?)))
}

fn members(
    fields: &mut Fields<'_>,
    (version, width): (u8, usize),
    count: u64,
    depth: u32,
) -> Result<Vec<(u64, Datatype)>, Stop> {
    let mut members = Vec::new();
    for _ in 0..count {
        fields.text(if version < 3 { 8 } else { 1 })?;
        // From version 3 on an offset takes as few bytes as the size of the whole does.
        let offset = fields.number(if version < 3 { 4 } else { width })?;
        if version == 1 {
            fields.skip(28)?;
        }
        members.push((offset, Datatype::read(fields, depth)?));
    }
    Ok(members)
}

/// Reads a dataspace, and returns its dimensions; `None` if it holds no value at all.
pub(super) fn dataspace(fields: &mut Fields<'_>) -> Result<Option<Vec<u64>>, Stop> {
    let version = fields.u8()?;
    let rank = usize::from(fields.u8()?);
    let _flags = fields.u8()?;
    let kind = match version {
        1 => {
            fields.skip(5)?;
            1
        }
        2 => fields.u8()?,
        other => return broken(format!("there is no dataspace of version {other}")),
    };
    if kind == 2 {
        return Ok(None);
    }
    let mut dimensions = Vec::with_capacity(rank);
    for _ in 0..rank {
        dimensions.push(fields.length()?);
    }
    Ok(Some(dimensions))
}

/// Returns how many values dimensions make.
pub(super) fn elements(dimensions: &[u64]) -> Result<u64, Stop> {
    let product = dimensions
        .iter()
        .try_fold(1_u64, |product, dimension| product.checked_mul(*dimension));
    product.ok_or_else(|| {
        Stop::Broken("the dimensions of a dataset are more than 64 bits hold".to_owned())
    })
}

/// Returns how many bytes so many values take.
pub(super) fn size_of(elements: u64, one: u64) -> Result<u64, Stop> {
    match elements.checked_mul(one) {
        Some(size) => Ok(size),
        None => broken("the size of a dataset is more than 64 bits hold"),
    }
}

/// Returns the offsets of values in `len` bytes.
pub(super) fn steps(len: usize, one: u64) -> impl Iterator<Item = usize> {
    let one = to_usize(one).max(1);
    let count = to_u64(len).checked_div(to_u64(one)).unwrap_or(0);
    (0..to_usize(count)).map(move |index| index.saturating_mul(one))
}
