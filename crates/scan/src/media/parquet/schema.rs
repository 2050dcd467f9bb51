//! The columns of a Parquet file: leaves of a tree that is written from its root down.

use crate::rules;
use crate::text::unicode;
use crate::wire::thrift::Struct;
use crate::work::Look;

/// Most columns that are told apart.
const MAX_LEAVES: usize = 1 << 20;

/// A column, and how deep its values are nested.
#[derive(Debug, Clone, Default)]
pub(super) struct Leaf {
    /// Its name, with those above it.
    pub(super) name: String,
    /// How many of those above it, and itself, may be absent or repeated.
    pub(super) definition: u32,
    /// How many of them are repeated.
    pub(super) repetition: u32,
    /// Bytes of each value, if all have as many.
    pub(super) width: usize,
}

/// Returns the columns in their order.
pub(super) fn leaves(look: &mut Look<'_, '_, '_>, file: &Struct<'_>) -> Vec<Leaf> {
    let mut leaves = Vec::new();
    // Those above the next element: how many children they lack, and what they add.
    let mut above: Vec<(u64, Leaf)> = Vec::new();
    for (index, element) in file.structs(2).enumerate() {
        while above.last().is_some_and(|(left, _)| *left == 0) {
            above.pop();
        }
        let mut leaf = match above.last_mut() {
            Some((left, leaf)) => {
                *left = left.saturating_sub(1);
                leaf.clone()
            }
            None => Leaf::default(),
        };
        let name = element.text(4).unwrap_or_default();
        if index > 0 {
            let here = look.here();
            unicode::inspect_name(look, &here, &name);
            if !leaf.name.is_empty() {
                leaf.name.push('.');
            }
            leaf.name.push_str(&name);
            let optional = element.int(3);
            leaf.definition = leaf
                .definition
                .saturating_add(u32::from(optional != Some(0)));
            leaf.repetition = leaf
                .repetition
                .saturating_add(u32::from(optional == Some(2)));
        }
        match element.place(5) {
            Some(children) if children > 0 && above.len() < 64 => above.push((children, leaf)),
            _ => {
                let width = element
                    .place(2)
                    .and_then(|width| usize::try_from(width).ok());
                leaf.width = width.unwrap_or(0);
                leaves.push(leaf);
            }
        }
        if leaves.len() > MAX_LEAVES {
            look.see(
                &rules::media::DATA_BROKEN,
                None,
                format!("it has more than {MAX_LEAVES} columns"),
            );
            break;
        }
    }
    leaves
}
