//! Types of tensors: how many elements are packed into how many bytes.

use std::sync::LazyLock;

use serde::Deserialize;

/// The list.
pub(crate) static FILE: &str = include_str!("../../../data/tensors/ggml-types.toml");

#[derive(Deserialize)]
struct List {
    types: Vec<Type>,
}

/// A type.
#[derive(Debug, Deserialize)]
pub(crate) struct Type(u32, String, u64, u64);

static LIST: LazyLock<Vec<Type>> =
    LazyLock::new(|| toml::from_str::<List>(FILE).map_or_else(|_| Vec::new(), |list| list.types));

/// Why a tensor has no size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// The number is larger than 64 bits.
    Overflow,
    /// Rows are not made of whole blocks.
    Block,
}

impl Type {
    /// Returns the type of a number.
    pub(crate) fn of(number: u32) -> Option<&'static Self> {
        LIST.iter().find(|one| one.0 == number)
    }

    /// Returns its name.
    pub(crate) fn name(&self) -> &str {
        &self.1
    }

    /// Returns how many bytes a tensor of these dimensions has, the first the innermost.
    pub(crate) fn bytes(&self, dimensions: &[u64]) -> Result<u64, Unfit> {
        let elements = dimensions
            .iter()
            .try_fold(1_u64, |product, one| product.checked_mul(*one))
            // What loaders count in is signed.
            .filter(|elements| i64::try_from(*elements).is_ok())
            .ok_or(Unfit::Overflow)?;
        let row = dimensions.first().copied().unwrap_or(1);
        if !row.is_multiple_of(self.2) {
            return Err(Unfit::Block);
        }
        let blocks = elements.checked_div(self.2).ok_or(Unfit::Overflow)?;
        blocks
            .checked_mul(self.3)
            .filter(|bytes| i64::try_from(*bytes).is_ok())
            .ok_or(Unfit::Overflow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_can_be_read_and_sizes_are_checked() {
        let list: List = toml::from_str(FILE).unwrap();
        assert!(list.types.len() > 30);
        let bytes = |number, dimensions: &[u64]| Type::of(number).unwrap().bytes(dimensions);
        assert_eq!(bytes(0, &[3, 5]), Ok(60));
        assert_eq!(bytes(8, &[64, 2]), Ok(136));
        assert_eq!(bytes(8, &[33]), Err(Unfit::Block));
        assert_eq!(bytes(0, &[1 << 32, 1 << 32]), Err(Unfit::Overflow));
        assert_eq!(bytes(0, &[1 << 62]), Err(Unfit::Overflow));
        assert!(Type::of(9999).is_none());
    }
}
