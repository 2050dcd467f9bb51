//! Checksums of pieces of a file, compared while the file is hashed: bytes of many GiB that no
//! parser has to see are read once.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// What the checksum of some bytes ought to be, and what to say if it is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Expected {
    /// CRC-32.
    pub(crate) sum: u32,
    /// The archive.
    pub(crate) path: Arc<str>,
    /// The member.
    pub(crate) name: String,
    /// Where in the archive its header is.
    pub(crate) offset: u64,
}

/// Pieces that wait for the pass over the file.
#[derive(Default)]
pub(crate) struct Sums {
    // By depth: archives in archives share bytes, and members of one archive do not.
    layers: BTreeMap<u32, BTreeMap<u64, Piece>>,
    at: u64,
    wrong: Vec<Expected>,
}

struct Piece {
    end: u64,
    hasher: crc32fast::Hasher,
    expected: Expected,
}

impl Sums {
    /// Adds a piece. One that shares bytes with another of the same depth is left out: that they
    /// do is worse, and told by the parser.
    pub(crate) fn add(&mut self, depth: u32, range: Range<u64>, expected: Expected) {
        let layer = self.layers.entry(depth).or_default();
        let before = layer.range(..range.end).next_back();
        if range.is_empty() || before.is_some_and(|(_, piece)| piece.end > range.start) {
            return;
        }
        let piece = Piece {
            end: range.end,
            hasher: crc32fast::Hasher::new(),
            expected,
        };
        layer.insert(range.start, piece);
    }

    /// Takes the next bytes of the file.
    pub(crate) fn update(&mut self, read: &[u8]) {
        let start = self.at;
        let end = start.saturating_add(u64::try_from(read.len()).unwrap_or(u64::MAX));
        self.at = end;
        let place = |at: u64| usize::try_from(at.saturating_sub(start)).unwrap_or(usize::MAX);
        for layer in self.layers.values_mut() {
            while let Some(mut first) = layer.first_entry().filter(|first| *first.key() < end) {
                let from = place(*first.key());
                let piece = first.get_mut();
                let to = place(piece.end.min(end));
                piece.hasher.update(read.get(from..to).unwrap_or_default());
                if piece.end > end {
                    break;
                }
                let piece = first.remove();
                if piece.hasher.finalize() != piece.expected.sum {
                    self.wrong.push(piece.expected);
                }
            }
        }
    }

    /// Returns the pieces that were read and have another checksum.
    pub(crate) fn wrong(&self) -> &[Expected] {
        &self.wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_summed_whatever_the_steps_are() {
        let bytes: Vec<u8> = (0..=250).cycle().take(10_000).collect();
        for step in [1, 7, 4_096, 10_000] {
            let mut sums = Sums::default();
            let mut add = |depth, range: Range<usize>, off| {
                let expected = Expected {
                    sum: crc32fast::hash(&bytes[range.clone()]) ^ off,
                    path: "x".into(),
                    name: format!("{depth}-{}", range.start),
                    offset: 0,
                };
                sums.add(depth, range.start as u64..range.end as u64, expected);
            };
            add(0, 0..5_000, 0);
            add(0, 5_000..5_001, 1);
            add(0, 9_000..10_000, 0);
            add(1, 10..4_990, 1);
            // It shares bytes with one that is there.
            add(0, 4_000..6_000, 1);
            for read in bytes.chunks(step) {
                sums.update(read);
            }
            let mut names: Vec<_> = sums.wrong().iter().map(|one| one.name.as_str()).collect();
            names.sort_unstable();
            assert_eq!(names, ["0-5000", "1-10"], "{step}");
        }
    }
}
