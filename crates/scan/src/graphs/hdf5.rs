//! HDF5: a file system in a file, of groups, datasets and attributes. Weights of Keras, netCDF-4 and
//! the newer files of MATLAB are HDF5.
//!
//! Format: HDF5 File Format Specification, version 3.0 (The HDF Group). The reader here follows
//! every structure that can be reached from the root, with its own bounds, since a file may say
//! anything: addresses in circles, structures in each other, sizes of 64 bits. Each byte belongs to
//! a structure, to values with bounds that were checked, or to nothing; what belongs to nothing is
//! told. What is not followed is a gap.

mod chunks;
mod data;
mod file;
mod group;
mod heap;
mod object;
mod types;
mod value;

use std::ops::Range;

use custos_core::finding::Severity;

use file::{File, Nodes, Stop, Widths, broken, to_u64};

use crate::graphs::keras::{self, Home};
use crate::route::{Format, Head};
use crate::rules;
use crate::source::{Part, ReadAt, find_other, read_full};
use crate::work::{Input, Limited, Look};

pub(super) const FORMAT: Format = Format {
    name: "hdf5",
    extensions: &["h5", "hdf5", "hdf", "he5", "h5ad", "nwb", "keras"],
    recognises,
    examine,
};

const MAGIC: &[u8; 8] = b"\x89HDF\r\n\x1a\n";

/// Returns true if a superblock is at the beginning, or at 512 bytes or a power of two above.
pub(super) fn recognises(head: &Head, input: &Input<'_>) -> bool {
    head.starts_with(MAGIC) || superblock(input.bytes).is_some()
}

// Where the superblock is: loaders look at these places, the lowest first.
fn superblock(bytes: &dyn ReadAt) -> Option<u64> {
    let mut place = 0_u64;
    while place.saturating_add(8) <= bytes.len() {
        let mut magic = [0; 8];
        if read_full(bytes, place, &mut magic).ok()? == 8 && magic == *MAGIC {
            return Some(place);
        }
        place = place.saturating_mul(2).max(512);
    }
    None
}

fn examine(look: &mut Look<'_, '_, '_>) {
    let Some(place) = superblock(look.input.bytes) else {
        return;
    };
    let mut file = File::new(look, place);
    // The outcome of a limit is noted where it fired.
    let outcome = file.whole_file(place);
    let _ = file.note(outcome, 0, "");
    file.unfollowed();
    file.finish();
}

/// What a superblock says.
struct Superblock {
    root: Option<u64>,
    extension: Option<u64>,
    end: Option<u64>,
    free: Option<u64>,
    driver: Option<u64>,
}

impl File<'_, '_, '_, '_> {
    fn whole_file(&mut self, place: u64) -> Result<(), Stop> {
        if place > 0 {
            self.user_block(place)?;
        }
        let superblock = self.superblock()?;
        if superblock.driver.is_some() {
            return Err(Stop::Unread("its parts are several files".to_owned()));
        }
        if let Some(extension) = superblock.extension {
            self.extension(extension)?;
        }
        if let Some(free) = superblock.free {
            let outcome = self.free_space(free);
            self.note(outcome, free, "")?;
        }
        match superblock.root {
            Some(root) => self.objects(root)?,
            None => return broken("the file has no root"),
        }
        let size = self.look.input.bytes.len();
        let end = superblock.end.unwrap_or(size);
        if end > size {
            return broken(format!(
                "the file has {size} bytes, and says that it has {end}"
            ));
        }
        if end < size {
            self.tail(end)?;
        }
        if self.whole {
            self.unused(end)?;
        }
        Ok(())
    }

    fn superblock(&mut self) -> Result<Superblock, Stop> {
        let head = self.peek(0, 16)?;
        let version = head.get(8).copied().unwrap_or(0);
        let at = if version < 2 { 13 } else { 9 };
        let width = |index: usize| head.get(index).copied().map_or(0, usize::from);
        let widths = Widths {
            address: width(at),
            length: width(at.saturating_add(1)),
        };
        let fits = |width: usize| matches!(width, 2 | 4 | 8);
        if !fits(widths.address) || !fits(widths.length) {
            return Err(Stop::Unread(format!(
                "addresses of {} and lengths of {} bytes are not read",
                widths.address, widths.length
            )));
        }
        self.widths = widths;
        match version {
            0 | 1 => self.old_superblock(version),
            2 | 3 => self.new_superblock(),
            other => broken(format!("there is no superblock of version {other}")),
        }
    }

    fn old_superblock(&mut self, version: u8) -> Result<Superblock, Stop> {
        let start = if version == 0 { 24_usize } else { 28 };
        let size = self.widths.address.saturating_mul(6).saturating_add(24);
        let bytes = self.structure(0, to_u64(start.saturating_add(size)))?;
        let mut fields = self.fields(&bytes);
        fields.skip(16)?;
        let (leaf, group) = (u64::from(fields.u16()?), u64::from(fields.u16()?));
        fields.skip(4)?;
        self.nodes = Nodes {
            leaf,
            group,
            chunk: 32,
        };
        if version == 1 {
            self.nodes.chunk = u64::from(fields.u16()?);
            fields.skip(2)?;
        }
        let (base, free) = (fields.address()?, fields.address()?);
        let (end, driver) = (fields.address()?, fields.address()?);
        fields.address()?;
        let root = fields.address()?;
        self.based(base);
        Ok(Superblock {
            root,
            extension: None,
            end,
            free,
            driver,
        })
    }

    fn new_superblock(&mut self) -> Result<Superblock, Stop> {
        let size = self.widths.address.saturating_mul(4).saturating_add(16);
        let bytes = self.structure(0, to_u64(size))?;
        let mut fields = self.fields(&bytes);
        fields.skip(12)?;
        let (base, extension) = (fields.address()?, fields.address()?);
        let (end, root) = (fields.address()?, fields.address()?);
        self.based(base);
        Ok(Superblock {
            root,
            extension,
            end,
            free: None,
            driver: None,
        })
    }

    // Loaders count from where the superblock is, whatever it says; and so does this.
    fn based(&mut self, base: Option<u64>) {
        if base == Some(self.base) {
            return;
        }
        let message = format!(
            "its addresses count from {base:?}, and it begins at {}",
            self.base
        );
        let at = self.at(0, "");
        self.look.work.see(&rules::graphs::HDF5_BROKEN, at, message);
    }

    fn extension(&mut self, address: u64) -> Result<(), Stop> {
        for message in self.messages(address)? {
            match message.kind {
                0x13 => {
                    let mut fields = self.fields(message.bytes());
                    fields.skip(1)?;
                    self.nodes.chunk = u64::from(fields.u16()?);
                    self.nodes.group = u64::from(fields.u16()?);
                    self.nodes.leaf = u64::from(fields.u16()?);
                }
                0x0f => {
                    return Err(Stop::Unread(
                        "messages that objects share are not read".into(),
                    ));
                }
                0x14 => return Err(Stop::Unread("its parts are several files".into())),
                0x17 => {
                    let bytes = message.bytes().to_vec();
                    let outcome = self.file_space(self.fields(&bytes));
                    self.note(outcome, address, "")?;
                }
                _ => {}
            }
        }
        self.met.insert(address);
        Ok(())
    }

    // What stands before the superblock: nothing, the line that MATLAB writes, or another file.
    fn user_block(&mut self, size: u64) -> Result<(), Limited> {
        let mut head = [0; 19];
        let count = read_full(self.look.input.bytes, 0, &mut head).unwrap_or(0);
        let is_matlab = head.get(..count) == Some(b"MATLAB 7.3 MAT-file");
        if is_matlab && size == 512 || self.is_zero(0..size) {
            self.look.covered.parsed(0..size);
            return Ok(());
        }
        let message = format!("{size} bytes stand before the file, which readers of HDF5 skip");
        self.look.see(&rules::graphs::HDF5_USER_BLOCK, 0, message);
        self.look.part("user block", 0..size)?;
        Ok(())
    }

    fn is_zero(&self, range: Range<u64>) -> bool {
        find_other(self.look.input.bytes, range, 0).is_none()
    }

    // What stands behind the end that the superblock names.
    fn tail(&mut self, end: u64) -> Result<(), Limited> {
        let size = self.look.input.bytes.len();
        self.look
            .trailing_by(&rules::graphs::HDF5_UNUSED, end..size)
    }

    // Nothing points to what is left: space of what was deleted, or of what was never used.
    fn unused(&mut self, end: u64) -> Result<(), Limited> {
        let mut known = self.spans.parsed.in_order().to_vec();
        known.extend_from_slice(self.spans.opaque.in_order());
        known.sort_unstable();
        known.push((end, end));
        let (mut at, mut sum, mut first) = (self.base, 0_u64, None);
        for (start, stop) in known {
            if start > at {
                let hole = Part::new(self.look.input.bytes, at..start);
                if self.is_zero(at..start) {
                    self.spans.parsed.add(at, start);
                } else {
                    let name = format!("unused@{at}");
                    self.look
                        .work
                        .opaque_member(self.look.input, &name, &hole)?;
                    self.spans.opaque.add(at, start);
                    sum = sum.saturating_add(hole.len());
                    first = first.or(Some(at));
                }
            }
            at = at.max(stop);
        }
        if sum > 0 {
            let message = format!("{sum} bytes that are not zero belong to nothing in the file");
            self.look.see(&rules::graphs::HDF5_UNUSED, first, message);
        }
        Ok(())
    }

    // What no structure leads to, in a file whose structures cannot all be followed: another reader
    // may, and the configuration of a model is a text that can be told.
    fn unfollowed(&mut self) {
        if self.whole {
            return;
        }
        let size = self.look.input.bytes.len();
        let mut known = self.spans.parsed.in_order().to_vec();
        known.extend_from_slice(self.spans.opaque.in_order());
        known.sort_unstable();
        known.push((size, size));
        let (mut at, mut holes) = (0_u64, Vec::new());
        for (start, stop) in known {
            if start > at {
                holes.push(at..start);
            }
            at = at.max(stop);
        }
        if keras::embedded(self.look, &holes, Home::Hdf5) > 0 {
            self.is_keras = true;
        }
    }

    fn finish(mut self) {
        for (start, end) in self.spans.parsed.in_order() {
            self.look.covered.parsed(*start..*end);
        }
        for (start, end) in self.spans.opaque.in_order() {
            self.look.covered.opaque(*start..*end);
        }
        for mut finding in std::mem::take(&mut self.outside) {
            if self.is_keras {
                finding.severity = finding.severity.max(Severity::High);
                finding.cves.push("CVE-2026-1669".to_owned());
            }
            self.look.work.find(finding);
        }
    }
}
