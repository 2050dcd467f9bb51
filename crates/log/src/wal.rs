//! Records of the write-ahead log: one batch of entries with the signed checkpoint over it.
//!
//! A record is found again after a crash only if every byte of it is there: its checksum covers
//! the header, the checkpoint and the leaf hash of every entry. It names its sequence number, the
//! tree before it and the checksum of the record before it, so that remains of older records, torn
//! records and records of another log are recognised for what they are. The layout is in
//! `docs/concepts/log.md`. Nothing here opens a file.

use custos_core::crypto::sha256;
use custos_core::merkle::{self, Hash};

use crate::tile;

/// Records begin at multiples of this, so that no later write touches the block of an earlier one.
pub const BLOCK: usize = 4_096;
/// Bytes of a record before its checkpoint.
pub const HEADER_BYTES: usize = 176;
const MAGIC: &[u8; 8] = b"custosW1";
// What the checksum covers of the header; the checksum follows.
const COVERED: usize = 144;

/// The fields of a record's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Header {
    /// One more than in the record before.
    pub sequence: u64,
    /// Bytes of header, checkpoint and entries.
    pub record_bytes: u64,
    /// Index of the first entry: the size of the tree before.
    pub first: u64,
    /// Number of entries.
    pub count: u32,
    /// Bytes of the checkpoint.
    pub checkpoint_bytes: u32,
    /// Every file of the tree of this size was durable when the record was written.
    pub flushed: u64,
    /// Root of the tree before.
    pub previous_root: Hash,
    /// SHA-256 of the log's origin.
    pub log_id: Hash,
    /// Checksum of the record before; zero in the first one.
    pub previous_checksum: Hash,
    /// Checksum of this record.
    pub checksum: Hash,
}

impl Header {
    fn encode_covered(&self) -> [u8; COVERED] {
        let parts: [&[u8]; 10] = [
            MAGIC,
            &self.sequence.to_be_bytes(),
            &self.record_bytes.to_be_bytes(),
            &self.first.to_be_bytes(),
            &self.count.to_be_bytes(),
            &self.checkpoint_bytes.to_be_bytes(),
            &self.flushed.to_be_bytes(),
            &self.previous_root,
            &self.log_id,
            &self.previous_checksum,
        ];
        let mut out = [0; COVERED];
        let mut at = out.iter_mut();
        for byte in parts.into_iter().flatten() {
            if let Some(place) = at.next() {
                *place = *byte;
            }
        }
        out
    }

    /// Parses the header at the start of `bytes`, without a look at the checksum.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes.strip_prefix(MAGIC.as_slice())?;
        let header = Self {
            sequence: u64::from_be_bytes(take(&mut rest)?),
            record_bytes: u64::from_be_bytes(take(&mut rest)?),
            first: u64::from_be_bytes(take(&mut rest)?),
            count: u32::from_be_bytes(take(&mut rest)?),
            checkpoint_bytes: u32::from_be_bytes(take(&mut rest)?),
            flushed: u64::from_be_bytes(take(&mut rest)?),
            previous_root: take(&mut rest)?,
            log_id: take(&mut rest)?,
            previous_checksum: take(&mut rest)?,
            checksum: take(&mut rest)?,
        };
        Some(header)
    }

    /// Fills in lengths, count and checksum for a record of this checkpoint and of entries that
    /// take `entry_bytes` in bundle form, and returns the bytes in front of the entries.
    pub fn seal(
        &mut self,
        checkpoint: &str,
        entry_bytes: usize,
        hashes: &[Hash],
    ) -> Option<Vec<u8>> {
        let front = HEADER_BYTES.checked_add(checkpoint.len())?;
        self.record_bytes = u64::try_from(front.checked_add(entry_bytes)?).ok()?;
        self.count = u32::try_from(hashes.len()).ok()?;
        self.checkpoint_bytes = u32::try_from(checkpoint.len()).ok()?;
        let covered = self.encode_covered();
        self.checksum = checksum(&covered, checkpoint.as_bytes(), hashes);
        let mut out = Vec::with_capacity(front);
        out.extend_from_slice(&covered);
        out.extend_from_slice(&self.checksum);
        out.extend_from_slice(checkpoint.as_bytes());
        Some(out)
    }

    /// Returns the bytes that the record takes in a segment: whole blocks.
    pub fn padded_bytes(&self) -> usize {
        usize::try_from(self.record_bytes)
            .ok()
            .and_then(|len| len.checked_next_multiple_of(BLOCK))
            .unwrap_or(usize::MAX)
    }

    /// Returns the zeros behind the entries.
    pub fn padding(&self) -> &'static [u8] {
        const ZEROS: &[u8] = &[0; BLOCK];
        let len = usize::try_from(self.record_bytes).unwrap_or(0);
        let padding = self.padded_bytes().saturating_sub(len);
        ZEROS.get(..padding).unwrap_or_default()
    }

    /// Returns the size of the tree after the record.
    pub fn size_after(&self) -> u64 {
        self.first.saturating_add(u64::from(self.count))
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*head)
}

/// A whole record whose checksum holds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// The header.
    pub header: Header,
    /// The signed checkpoint over the tree after the record.
    pub checkpoint: String,
    /// The entries in bundle form.
    pub entries: Vec<u8>,
    /// The leaf hash of each entry.
    pub hashes: Vec<Hash>,
}

impl Record {
    /// Parses the record at the start of `bytes`; `None` if it is not whole.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let header = Header::parse(bytes)?;
        // No writer gets that far, and others could not follow.
        i64::try_from(header.sequence).ok()?;
        let body = bytes.get(HEADER_BYTES..usize::try_from(header.record_bytes).ok()?)?;
        let (checkpoint, entries) =
            body.split_at_checked(usize::try_from(header.checkpoint_bytes).ok()?)?;
        let count = usize::try_from(header.count).ok()?;
        let split = tile::decode_entries(entries, count).ok()?;
        let hashes: Vec<Hash> = split.into_iter().map(merkle::leaf_hash).collect();
        if hashes.len() != count
            || checksum(&header.encode_covered(), checkpoint, &hashes) != header.checksum
        {
            return None;
        }
        let checkpoint = std::str::from_utf8(checkpoint).ok()?.to_owned();
        Some(Self {
            header,
            checkpoint,
            entries: entries.to_vec(),
            hashes,
        })
    }

    /// Fills in lengths, count and checksum, and returns the bytes, padded to whole blocks.
    pub fn encode(&mut self) -> Option<Vec<u8>> {
        let front = self
            .header
            .seal(&self.checkpoint, self.entries.len(), &self.hashes)?;
        Some([&front, &*self.entries, self.header.padding()].concat())
    }
}

// The leaf hashes stand for the entries: they are needed anyway, and cost nothing more.
fn checksum(covered: &[u8], checkpoint: &[u8], hashes: &[Hash]) -> Hash {
    sha256(&[covered, checkpoint, hashes.as_flattened()].concat())
}

/// The records of one segment, from its start as far as each follows the one before.
pub fn scan(segment: &[u8], log_id: &Hash) -> Vec<Record> {
    let mut records: Vec<Record> = Vec::new();
    let mut rest = segment;
    while let Some(record) = Record::parse(rest) {
        let follows = record.header.log_id == *log_id
            && records
                .last()
                .is_none_or(|before| follows(&before.header, &record.header));
        if !follows {
            break;
        }
        rest = rest.get(record.header.padded_bytes()..).unwrap_or_default();
        records.push(record);
    }
    records
}

/// Returns true if `next` was written right after `before`.
pub fn follows(before: &Header, next: &Header) -> bool {
    before.sequence.checked_add(1) == Some(next.sequence)
        && before.size_after() == next.first
        && before.checksum == next.previous_checksum
}

/// Looks at every block of a segment for a whole record of this log beyond tree size `size`.
///
/// Such a record was written after everything before it had been synced. If what is before it is
/// not whole, the disk lost acknowledged data, and that is no torn tail.
pub fn later_records<'a>(
    segment: &'a [u8],
    log_id: &'a Hash,
    size: u64,
) -> impl Iterator<Item = (usize, Record)> + 'a {
    segment
        .chunks(BLOCK)
        .enumerate()
        .filter_map(move |(n, block)| {
            let header = Header::parse(block)?;
            if header.log_id != *log_id || header.size_after() <= size {
                return None;
            }
            let offset = n.checked_mul(BLOCK)?;
            Some((offset, Record::parse(segment.get(offset..)?)?))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(sequence: u64, first: u64, entries: &[Vec<u8>], before: Option<&Record>) -> Record {
        let mut bytes = Vec::new();
        for entry in entries {
            tile::encode_entry(entry, &mut bytes).unwrap();
        }
        let header = Header {
            sequence,
            record_bytes: 0,
            first,
            count: 0,
            checkpoint_bytes: 0,
            flushed: 0,
            previous_root: [1; 32],
            log_id: [2; 32],
            previous_checksum: before.map_or([0; 32], |before| before.header.checksum),
            checksum: [0; 32],
        };
        let hashes = entries
            .iter()
            .map(|entry| merkle::leaf_hash(entry))
            .collect();
        Record {
            header,
            checkpoint: "checkpoint".to_owned(),
            entries: bytes,
            hashes,
        }
    }

    fn two() -> (Vec<u8>, Record, Record) {
        let mut a = record(7, 10, &[vec![1; 5_000], vec![2]], None);
        let mut segment = a.encode().unwrap();
        let mut b = record(8, 12, &[vec![3]], Some(&a));
        segment.extend(b.encode().unwrap());
        (segment, a, b)
    }

    #[test]
    fn a_chain_ends_where_a_record_does_not_follow() {
        let (mut segment, a, b) = two();
        assert_eq!(segment.len(), 3 * BLOCK);
        assert_eq!(scan(&segment, &[2; 32]), [a.clone(), b.clone()]);
        assert_eq!(scan(&segment, &[3; 32]), []);
        // A record of the same sequence that grew on another one does not follow.
        let mut other = record(7, 10, &[vec![9; 5_000], vec![2]], None);
        let mut forked = other.encode().unwrap();
        forked.extend_from_slice(&segment[2 * BLOCK..]);
        assert_eq!(scan(&forked, &[2; 32]), [other]);
        // Damage in the first is seen by looking for the second.
        segment[200] ^= 1;
        assert_eq!(scan(&segment, &[2; 32]), []);
        let found: Vec<_> = later_records(&segment, &[2; 32], 12).collect();
        assert_eq!(found, [(2 * BLOCK, b)]);
        assert_eq!(later_records(&segment, &[2; 32], 13).count(), 0);
    }

    proptest! {
        #[test]
        fn any_flipped_bit_ends_the_record(at in 0_usize..5_200, bit in 0_u8..8) {
            let (segment, a, _) = two();
            let len = usize::try_from(a.header.record_bytes).unwrap();
            let mut bytes = segment[..len].to_vec();
            bytes[at % len] ^= 1 << bit;
            prop_assert_eq!(Record::parse(&bytes), None);
        }

        #[test]
        fn torn_records_are_none(cut in 0_usize..5_200) {
            let (segment, a, _) = two();
            let len = usize::try_from(a.header.record_bytes).unwrap();
            prop_assert_eq!(Record::parse(&segment[..cut % len]), None);
        }

        #[test]
        fn no_bytes_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..400), magic: bool) {
            if magic && bytes.len() > 8 {
                bytes[..8].copy_from_slice(MAGIC);
            }
            scan(&bytes, &[2; 32]);
        }
    }
}
