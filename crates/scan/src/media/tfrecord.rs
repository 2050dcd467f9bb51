//! `TFRecord`: records with masked checksums (CRC-32C), mostly of `tf.train.Example`.

use std::ops::Range;

use super::cells::Cells;
use crate::route::Head;
use crate::rules;
use crate::source::{Cursor, Part};
use crate::text::unicode;
use crate::wire::proto::Wire;
use crate::work::{Input, Limited, Look};

/// Largest record that is read.
const MAX_RECORD: u64 = 64 << 20;
/// Most wrong checksums that are told one by one.
const TOLD: u32 = 5;

/// Returns true if the checksum of the first length is right.
pub(super) fn recognises(head: &Head, _: &Input<'_>) -> bool {
    let len = head.bytes().get(..8);
    let said = head
        .bytes()
        .get(8..12)
        .and_then(|four| four.try_into().ok());
    match (len, said) {
        (Some(len), Some(said)) => masked(len) == u32::from_le_bytes(said),
        _ => false,
    }
}

/// Looks at all records.
pub(super) fn examine(look: &mut Look<'_, '_, '_>) {
    let mut cells = Cells::new("records");
    // A limit is noted where it fired.
    let _ = records(look, &mut cells).and_then(|()| cells.flush(look));
}

fn records(look: &mut Look<'_, '_, '_>, cells: &mut Cells) -> Result<(), Limited> {
    let size = look.input.bytes.len();
    let mut cursor = Cursor::at(look.input.bytes, 0);
    let mut told = 0;
    loop {
        look.work.tick(&look.input.path)?;
        let at = cursor.position();
        if at >= size {
            return Ok(());
        }
        let (Ok(len), Ok(said)) = (cursor.array::<8>(), cursor.u32()) else {
            broken(look, at, "it ends inside of a record");
            return Ok(());
        };
        let start = cursor.position();
        let end = start.saturating_add(u64::from_le_bytes(len));
        if masked(&len) != said || end.saturating_add(4) > size {
            broken(look, at, "a record has a wrong length");
            return Ok(());
        }
        if end.saturating_sub(start) > MAX_RECORD {
            look.gap(format!(
                "a record of {} bytes is not read",
                end.saturating_sub(start)
            ));
            look.covered.parsed(at..start);
            look.covered.parsed(end..end.saturating_add(4));
            cursor.seek(end.saturating_add(4));
            continue;
        }
        let len = usize::try_from(end.saturating_sub(start)).unwrap_or(0);
        let (Ok(record), Ok(said)) = (cursor.take(len), cursor.u32()) else {
            broken(look, at, "it cannot be read");
            return Ok(());
        };
        if masked(&record) != said {
            told = 1_u32.saturating_add(told);
            if told <= TOLD {
                let message = "the checksum of a record is wrong";
                look.see(&rules::media::MEDIA_CHECKSUM, at, message);
            }
        }
        if !example(look, cells, start..end)? {
            cells.add(look, &record)?;
        }
        look.covered.parsed(at..end.saturating_add(4));
    }
}

fn broken(look: &mut Look<'_, '_, '_>, at: u64, why: &str) {
    look.broken(&rules::media::DATA_BROKEN, at, why);
}

// Looks at the features of an example; returns false if it is none.
fn example(
    look: &mut Look<'_, '_, '_>,
    cells: &mut Cells,
    range: Range<u64>,
) -> Result<bool, Limited> {
    let part = Part::new(look.input.bytes, range);
    let wire = Wire::new(&part);
    let whole = wire.whole();
    let mut found = false;
    // Features of an example; of the steps of a sequence, lists of them.
    let sound = wire.fields(whole.clone()).all(|field| {
        field.is_ok_and(|field| matches!(field.number, 1 | 2) && field.bytes().is_some())
    });
    if !sound {
        return Ok(false);
    }
    for top in [1, 2] {
        for features in wire.all(&whole, top).collect::<Vec<_>>() {
            let Some(features) = features.bytes() else {
                continue;
            };
            for entry in wire.all(features, 1).collect::<Vec<_>>() {
                let Some(entry) = entry.bytes() else {
                    continue;
                };
                if let Some(name) = wire.text_of(entry, 1, 4096) {
                    let here = look.here();
                    unicode::inspect_name(look, &here, &name);
                    cells.add(look, name.as_bytes())?;
                }
                let Some(value) = wire.last(entry, 2) else {
                    continue;
                };
                let Some(value) = value.bytes() else {
                    continue;
                };
                found = true;
                let lists: Vec<_> = if top == 1 {
                    vec![value.clone()]
                } else {
                    let steps = wire.all(value, 1);
                    steps.filter_map(|step| step.bytes().cloned()).collect()
                };
                for list in lists {
                    bytes_of(look, cells, (&wire, &list))?;
                }
            }
        }
    }
    Ok(found)
}

// The bytes of a feature, if it has some.
fn bytes_of(
    look: &mut Look<'_, '_, '_>,
    cells: &mut Cells,
    (wire, feature): (&Wire<'_>, &Range<u64>),
) -> Result<(), Limited> {
    for list in wire.all(feature, 1) {
        let Some(list) = list.bytes() else {
            continue;
        };
        for value in wire.all(list, 1) {
            let most = usize::try_from(MAX_RECORD).unwrap_or(usize::MAX);
            if let Some(bytes) = value.bytes().and_then(|range| wire.bytes(range, most)) {
                cells.add(look, &bytes)?;
            }
        }
    }
    Ok(())
}

// CRC-32C, turned and shifted so that checksums of checksums differ.
fn masked(bytes: &[u8]) -> u32 {
    let sum = bytes.iter().fold(u32::MAX, |sum, byte| {
        let [low, ..] = sum.to_le_bytes();
        let entry = TABLE.get(usize::from(low ^ byte)).copied().unwrap_or(0);
        entry ^ (sum >> 8)
    });
    (!sum).rotate_right(15).wrapping_add(0xa282_ead8)
}

static TABLE: std::sync::LazyLock<[u32; 256]> = std::sync::LazyLock::new(|| {
    std::array::from_fn(|index| {
        (0..8).fold(u32::try_from(index).unwrap_or(0), |sum, _| {
            (sum >> 1) ^ (0x82f6_3b78 * (sum & 1))
        })
    })
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_specification() {
        // CRC-32C of "123456789" is e3069283.
        let expected = 0xe306_9283_u32.rotate_right(15).wrapping_add(0xa282_ead8);
        assert_eq!(masked(b"123456789"), expected);
    }
}
