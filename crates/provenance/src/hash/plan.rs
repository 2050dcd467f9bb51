//! What is to be hashed: pieces, one for each resource of the manifest, and the units of work
//! that they are cut into.

use std::ops::Range;

use custos_core::digest::Algorithm;
use custos_core::oms::{MAX_RESOURCES, Method, OmsError};

use crate::tree::FileList;

use super::blake::SUBTREE;

/// A part of a file with a digest of its own.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    /// Index of the file in the list.
    pub(super) file: usize,
    pub(super) range: Range<u64>,
}

/// A part of a piece that one thread hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unit {
    pub(super) piece: usize,
    /// From the start of the piece.
    pub(super) offset: u64,
    pub(super) len: u64,
    /// Where its chaining value goes, if the piece has several units.
    pub(super) value: Option<usize>,
}

/// Returns the pieces of all files in order of path and offset.
pub(super) fn pieces(list: &FileList, method: Method) -> Result<Vec<Piece>, OmsError> {
    let mut pieces = Vec::with_capacity(list.files().len());
    for (file, entry) in list.files().iter().enumerate() {
        let size = entry.stamp().size;
        let step = match method {
            Method::Shards { size: step } => step.get(),
            _ if size == 0 => {
                pieces.push(Piece { file, range: 0..0 });
                continue;
            }
            _ => size,
        };
        let mut start = 0;
        while start < size {
            if pieces.len() >= MAX_RESOURCES {
                return Err(OmsError::TooManyResources);
            }
            let end = size.min(start.saturating_add(step));
            pieces.push(Piece {
                file,
                range: start..end,
            });
            start = end;
        }
    }
    Ok(pieces)
}

/// Units of work, and the number of chaining values that they leave behind.
#[derive(Debug, Default)]
pub(super) struct Units {
    pub(super) list: Vec<Unit>,
    pub(super) values: usize,
}

impl Units {
    /// Adds the units of a piece of `len` bytes.
    pub(super) fn add(&mut self, piece: usize, len: u64, algorithm: Algorithm) {
        if algorithm != Algorithm::Blake3 || len <= SUBTREE {
            self.list.push(Unit {
                piece,
                offset: 0,
                len,
                value: None,
            });
            return;
        }
        let mut offset = 0;
        while offset < len {
            let part = SUBTREE.min(len - offset);
            self.list.push(Unit {
                piece,
                offset,
                len: part,
                value: Some(self.values),
            });
            self.values += 1;
            offset += part;
        }
    }

    /// Puts the largest first, so that none is left to one thread at the end; equal ones stay in
    /// order, which is that of the disk as a rule.
    pub(super) fn sort(&mut self) {
        self.list.sort_by_key(|unit| std::cmp::Reverse(unit.len));
    }
}
