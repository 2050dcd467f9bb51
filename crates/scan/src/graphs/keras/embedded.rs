//! Configurations in bytes that are followed by no structure: a file of HDF5 that is broken, or
//! something that only has the name of a model.
//!
//! Where the name of a class begins as JSON writes it, the object around it is read as far as it
//! goes, and judged as any configuration. The search is a single pass over the bytes, and what is
//! read of objects has a bound.

use std::ops::Range;

use super::Home;
use super::config::{Walk, is_model};
use crate::source::{Part, ReadAt, each, read_full};
use crate::text::document::{Builder, Document, Fed};
use crate::text::json::Reader;
use crate::work::Look;

/// What every object of a model has.
const ANCHOR: &[u8] = b"\"class_name\"";
/// How far before its class an object may begin.
const BEFORE: u64 = 16 << 10;
/// Longest object that is read.
const MAX_OBJECT: u64 = 16 << 20;
/// Most places where an object may begin that are tried for one class.
const TRIED: usize = 8;
/// Most bytes that are read of objects altogether.
const MAX_READ: u64 = 64 << 20;

/// Returns where the next class is named in a range.
fn find(bytes: &dyn ReadAt, range: Range<u64>) -> Option<u64> {
    let (mut found, mut kept) = (None, Vec::new());
    let mut from = range.start;
    let outcome = each(bytes, range, |at, read| {
        // The end of the last piece is looked at again, for what goes over it.
        if kept.is_empty() {
            from = at;
        }
        kept.extend_from_slice(read);
        let place = kept.windows(ANCHOR.len()).position(|seen| seen == ANCHOR);
        if let Some(place) = place {
            found = u64::try_from(place)
                .ok()
                .map(|place| from.saturating_add(place));
            return false;
        }
        let done = kept.len().saturating_sub(ANCHOR.len().saturating_sub(1));
        kept.drain(..done);
        from = from.saturating_add(u64::try_from(done).unwrap_or(0));
        true
    });
    outcome.ok().and(found)
}

/// Returns true if a class is named somewhere.
pub(crate) fn holds_class(bytes: &dyn ReadAt) -> bool {
    find(bytes, 0..bytes.len()).is_some()
}

/// Looks at configurations that lie somewhere in ranges of the input. Returns how many there were.
pub(crate) fn embedded(look: &mut Look<'_, '_, '_>, ranges: &[Range<u64>], home: Home) -> usize {
    let (mut count, mut read) = (0_usize, 0_u64);
    for range in ranges {
        let mut at = range.start;
        while let Some(anchor) = find(look.input.bytes, at..range.end) {
            if look.work.tick(&look.input.path).is_err() {
                return count;
            }
            let most = MAX_READ.saturating_sub(read);
            if most == 0 {
                look.gap("more configurations lie in it than are read");
                return count;
            }
            let found = object(look, (at.max(range.start), anchor, range.end), most);
            read = read.saturating_add(found.read);
            at = anchor.saturating_add(1);
            if let Some((document, place)) = found.document {
                count = count.saturating_add(1);
                let mut here = look.here();
                here.offset = Some(place);
                Walk::new(look, &here, home).model(&document.root);
                at = found.end.max(at);
            }
        }
    }
    count
}

#[derive(Default)]
struct Found {
    // What was read, and where its first byte is.
    document: Option<(Document, u64)>,
    // Where it ends.
    end: u64,
    // How many bytes were read.
    read: u64,
}

// The outermost object around a class, or the part of it that can be read.
fn object(look: &Look<'_, '_, '_>, (from, anchor, end): (u64, u64, u64), most: u64) -> Found {
    let start = anchor.saturating_sub(BEFORE).max(from);
    let len = usize::try_from(anchor.saturating_sub(start)).unwrap_or(0);
    let mut before = vec![0; len];
    let count = read_full(look.input.bytes, start, &mut before).unwrap_or(0);
    before.truncate(count);
    let places = before.iter().enumerate().rev();
    let places = places.filter(|(_, byte)| **byte == b'{').take(TRIED);
    let mut best = Found {
        read: u64::try_from(count).unwrap_or(0),
        ..Found::default()
    };
    for (place, _) in places {
        let place = start.saturating_add(u64::try_from(place).unwrap_or(0));
        let to = end.min(place.saturating_add(MAX_OBJECT));
        let left = most.saturating_sub(best.read);
        let to = to.min(place.saturating_add(left));
        let (document, whole) = read(&Part::new(look.input.bytes, place..to));
        best.read = best.read.saturating_add(whole);
        let behind = place.saturating_add(whole);
        // An object that ends before the class is not around it.
        if behind > anchor
            && let Some(document) = document.filter(|document| is_model(&document.root))
        {
            best.end = behind;
            best.document = Some((document, place));
            break;
        }
    }
    best
}

// Reads an object, or what there is of it, and returns how far that goes.
fn read(bytes: &dyn ReadAt) -> (Option<Document>, u64) {
    let mut reader = Reader::new(bytes);
    let mut builder = Builder::new();
    while let Ok(Some((token, place))) = reader.next() {
        if builder.feed(token, place) == Fed::Full {
            break;
        }
    }
    (builder.finish_early(), reader.position())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_found_wherever_it_lies() {
        for before in [0, 1, 1000, 1023, 1024, 5110, 5119, 300_000] {
            let mut bytes = vec![b'x'; before];
            bytes.extend_from_slice(ANCHOR);
            bytes.extend_from_slice(b"yy");
            let place = u64::try_from(before).unwrap();
            assert_eq!(find(&bytes, 0..bytes.len() as u64), Some(place), "{before}");
            assert_eq!(find(&bytes, 0..bytes.len() as u64 - 3), None, "{before}");
            assert_eq!(find(&bytes, place + 1..bytes.len() as u64), None);
        }
    }

    #[test]
    fn what_is_cut_is_read_as_far_as_it_goes() {
        let whole = br#"{"a": [{"class_name": "L", "config": {}}]} and more"#.to_vec();
        let (document, end) = read(&whole);
        assert!(is_model(&document.unwrap().root));
        assert_eq!(end, 42);
        let (document, _) = read(&whole[..39].to_vec());
        assert!(is_model(&document.unwrap().root));
    }
}
