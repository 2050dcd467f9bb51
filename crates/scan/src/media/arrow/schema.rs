//! Schemas of Arrow: columns, their types, and how many buffers each has.

use custos_core::finding::Location;

use super::pickled;
use crate::text::{self, unicode};
use crate::wire::flat::{Broken, Buffer, Table};
use crate::work::Look;

/// Deepest nesting of columns.
const MAX_DEPTH: u32 = 64;
/// Longest name or value that is looked at.
const MAX_TEXT: usize = 16 << 20;

/// The columns.
#[derive(Default)]
pub(super) struct Schema {
    columns: Vec<Column>,
}

struct Column {
    name: String,
    kind: u8,
    dense: bool,
    dictionary: Option<u64>,
    children: Vec<Self>,
}

/// What a buffer is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role<'s> {
    /// Values, or which of them there are.
    Values,
    /// Places in the next buffer: as wide as this, of the column of this name.
    Places(u64, &'s str),
    /// Texts or bytes, at the places that the buffer before gives.
    Texts,
    /// Short texts themselves, and places in as many other buffers as the batch says.
    Views(&'s str),
}

impl Schema {
    /// Reads a schema, and looks at what it says about its types.
    pub(super) fn read(
        look: &mut Look<'_, '_, '_>,
        buffer: &Buffer<'_>,
        table: &Table,
    ) -> Result<Self, Broken> {
        pairs(look, buffer, (table, 2))?;
        let columns = columns(look, buffer, (table, 1, 0))?;
        Ok(Self { columns })
    }

    /// Returns what the buffers of a batch are for, in their order.
    pub(super) fn roles(&self) -> Vec<Role<'_>> {
        let mut roles = Vec::new();
        for column in &self.columns {
            column.roles(column.dictionary.is_some(), &mut roles);
        }
        roles
    }

    /// Returns what the buffers of a dictionary are for.
    pub(super) fn dictionary(&self, id: u64) -> Vec<Role<'_>> {
        let mut roles = Vec::new();
        let mut open: Vec<&Column> = self.columns.iter().collect();
        while let Some(column) = open.pop() {
            if column.dictionary == Some(id) {
                column.roles(false, &mut roles);
                break;
            }
            open.extend(&column.children);
        }
        roles
    }
}

impl Column {
    fn roles<'s>(&'s self, indices: bool, roles: &mut Vec<Role<'s>>) {
        use Role::{Places, Texts, Values, Views};
        if indices {
            roles.extend([Values, Values]);
            return;
        }
        match self.kind {
            // Nothing, and runs, have no buffers of their own.
            1 | 22 => {}
            4 | 5 => roles.extend([Values, Places(4, &self.name), Texts]),
            19 | 20 => roles.extend([Values, Places(8, &self.name), Texts]),
            23 | 24 => roles.extend([Values, Views(&self.name)]),
            14 if self.dense => roles.extend([Values, Values]),
            13 | 14 | 16 => roles.push(Values),
            25 | 26 => roles.extend([Values, Values, Values]),
            _ => roles.extend([Values, Values]),
        }
        for child in &self.children {
            child.roles(child.dictionary.is_some(), roles);
        }
    }
}

fn columns(
    look: &mut Look<'_, '_, '_>,
    buffer: &Buffer<'_>,
    (table, slot, depth): (&Table, u16, u32),
) -> Result<Vec<Column>, Broken> {
    let mut columns = Vec::new();
    let Some(fields) = buffer.vector_of(table, slot, 4)? else {
        return Ok(columns);
    };
    if depth > MAX_DEPTH {
        look.gap("its columns are nested deeper than is looked at");
        return Ok(columns);
    }
    for place in fields.places() {
        let field = buffer.table(place)?;
        let name = buffer.text_of(&field, 0, MAX_TEXT)?.unwrap_or_default();
        let here = look.here();
        unicode::inspect_name(look, &here, &name);
        extension(look, buffer, (&field, &name))?;
        let kind = buffer.field(&field, 2, 1)?.and_then(|at| buffer.u8(at));
        let kind = kind.unwrap_or(0);
        let mut dense = false;
        if kind == 14
            && let Some(union) = buffer.table_of(&field, 3)?
        {
            let mode = buffer.field(&union, 0, 2)?.and_then(|at| buffer.u16(at));
            dense = mode == Some(1);
        }
        let dictionary = match buffer.table_of(&field, 4)? {
            Some(encoding) => {
                let id = buffer.field(&encoding, 0, 8)?.and_then(|at| buffer.u64(at));
                Some(id.unwrap_or(0))
            }
            None => None,
        };
        let deeper = depth.saturating_add(1);
        let children = columns_below(look, buffer, (&field, deeper))?;
        columns.push(Column {
            name,
            kind,
            dense,
            dictionary,
            children,
        });
    }
    Ok(columns)
}

fn columns_below(
    look: &mut Look<'_, '_, '_>,
    buffer: &Buffer<'_>,
    (field, depth): (&Table, u32),
) -> Result<Vec<Column>, Broken> {
    columns(look, buffer, (field, 5, depth))
}

// A type that the column says it has beyond its own.
fn extension(
    look: &mut Look<'_, '_, '_>,
    buffer: &Buffer<'_>,
    (field, column): (&Table, &str),
) -> Result<(), Broken> {
    let mut name = None;
    let mut metadata = Vec::new();
    for (key, value) in pairs(look, buffer, (field, 6))? {
        match key.as_str() {
            "ARROW:extension:name" => name = Some(String::from_utf8_lossy(&value).into_owned()),
            "ARROW:extension:metadata" => metadata = value,
            _ => {}
        }
    }
    if let Some(name) = name {
        pickled(look, (column, &name), &metadata);
    }
    Ok(())
}

/// Reads keys and values, and looks at them.
pub(super) fn pairs(
    look: &mut Look<'_, '_, '_>,
    buffer: &Buffer<'_>,
    (table, slot): (&Table, u16),
) -> Result<Vec<(String, Vec<u8>)>, Broken> {
    let mut pairs = Vec::new();
    let Some(vector) = buffer.vector_of(table, slot, 4)? else {
        return Ok(pairs);
    };
    for place in vector.places() {
        let pair = buffer.table(place)?;
        let key = buffer.text_of(&pair, 0, MAX_TEXT)?.unwrap_or_default();
        let Some(value) = buffer.vector_of(&pair, 1, 1)? else {
            continue;
        };
        let Some(bytes) = buffer.bytes(&value.range(), MAX_TEXT) else {
            look.gap(format!("the metadata `{key}` is longer than is read"));
            continue;
        };
        let at = Location {
            pointer: Some(key.clone()),
            ..look.here()
        };
        let text = String::from_utf8_lossy(&bytes);
        text::inspect(look, &at, &text);
        pairs.push((key, bytes));
    }
    Ok(pairs)
}
