//! 7z archives (7zFormat.txt of the LZMA SDK): a header at the end, and members in packed blocks.

mod frames;

use std::io::{self, Read, Seek, SeekFrom};

use sevenz_rust2::{Archive, ArchiveEntry, ArchiveReader, Error, Password};

use crate::archive::zip::{leads_out, link_leads_out};
use crate::route::Head;
use crate::rules;
use crate::source::{Cursor, CursorError, ReadAt, read_full};
use crate::unpack::Outcome;
use crate::work::{Input, Limited, Look};

const MARK: &[u8] = b"7z\xbc\xaf\x27\x1c";
/// Most memory for the dictionary of a block.
const MEMORY_KIB: usize = 160 << 10;
/// Largest header, unpacked: each of its bytes may stand for a member, which takes more than a
/// hundred in memory.
const MAX_HEADER: u64 = 2 << 20;
/// Longest target of a link.
const MAX_TARGET: u64 = 4 << 10;

/// Returns true if it begins as 7z does.
pub(crate) fn recognises(head: &Head, _: &Input<'_>) -> bool {
    head.starts_with(MARK)
}

/// Looks at the members.
pub(crate) fn examine(look: &mut Look<'_, '_, '_>) {
    // The outcome of a limit is noted where it fired.
    let _ = archive(look);
}

fn archive(look: &mut Look<'_, '_, '_>) -> Result<(), Limited> {
    let size = look.input.bytes.len();
    let (header, end) = match header(look) {
        Ok(header) => header,
        Err(error) => {
            broken(look, &format!("its header cannot be read: {error}"));
            return Ok(());
        }
    };
    if header > MAX_HEADER {
        look.covered.told(0..size);
        look.gap("its header is larger than one that is read");
        return Ok(());
    }
    let mut source = Stream {
        from: look.input.bytes,
        at: 0,
    };
    let password = Password::empty();
    let archive = Archive::read_with_memory_limit(&mut source, &password, MEMORY_KIB);
    let archive = match archive {
        Ok(archive) => archive,
        Err(error) => {
            look.covered.told(0..size);
            failed(look, &error);
            return Ok(());
        }
    };
    let encrypted = (0..archive.files.len()).any(|file| archive.is_file_encrypted(file));
    let whole = if encrypted {
        let message = "its members are encrypted, and were not read";
        look.broken(&rules::archive::ARCHIVE_ENCRYPTED, None, message);
        for entry in &archive.files {
            name(look, entry);
        }
        false
    } else if let Some(packings) = frames::packings(&archive) {
        frames::members(look, &archive, &packings)?
    } else {
        members(look, source)?
    };
    if whole {
        look.covered.parsed(0..end);
    } else {
        look.covered.told(0..end);
    }
    look.trailing(end.min(size)..size)
}

// Returns true if all members were read and understood.
fn members(look: &mut Look<'_, '_, '_>, source: Stream<'_>) -> Result<bool, Limited> {
    let opened = ArchiveReader::new_with_memory_limit(source, Password::empty(), MEMORY_KIB);
    let mut reader = match opened {
        Ok(reader) => reader,
        Err(error) => {
            failed(look, &error);
            return Ok(false);
        }
    };
    let mut limited = false;
    let mut whole = true;
    let read = reader.for_each_entries(|entry, reader| {
        match member(look, entry, reader) {
            Ok(understood) => whole &= understood,
            Err(Limited) => limited = true,
        }
        if limited {
            return Err(Error::Other("a limit ended the look".into()));
        }
        Ok(true)
    });
    if limited {
        return Err(Limited);
    }
    if let Err(error) = read {
        failed(look, &error);
        whole = false;
    }
    Ok(whole)
}

fn member(
    look: &mut Look<'_, '_, '_>,
    entry: &ArchiveEntry,
    reader: &mut dyn Read,
) -> Result<bool, Limited> {
    name(look, entry);
    if entry.is_directory || !entry.has_stream {
        return Ok(true);
    }
    let path = format!("{}!{}", look.input.path, entry.name);
    let packed = look.input.bytes.len();
    let outcome = Outcome::take(&path, reader, packed, look.work)?;
    if let Some(why) = &outcome.broken {
        let message = format!("`{}` cannot be unpacked to its end: {why}", entry.name);
        broken(look, &message);
    }
    let understood = content(look, entry, &outcome.bytes)?;
    Ok(understood && outcome.broken.is_none())
}

// Looks at what a member holds, and returns true if all of it was understood.
fn content(
    look: &mut Look<'_, '_, '_>,
    entry: &ArchiveEntry,
    bytes: &dyn ReadAt,
) -> Result<bool, Limited> {
    if link(look, entry, bytes) {
        return Ok(true);
    }
    Ok(look.member(&entry.name, bytes)?.unknown == 0)
}

fn name(look: &mut Look<'_, '_, '_>, entry: &ArchiveEntry) {
    let name = &entry.name;
    if leads_out(name) {
        let message = format!("`{name}` leads out of the folder that it is unpacked into");
        look.see(&rules::archive::ARCHIVE_PATH, None, message);
    }
}

// Programs for Unix keep the mode of a file in the upper half of its attributes. Returns true if all
// that the member holds is where it leads.
fn link(look: &mut Look<'_, '_, '_>, entry: &ArchiveEntry, bytes: &dyn ReadAt) -> bool {
    if entry.windows_attributes >> 28 != 0xa || entry.windows_attributes & 0x8000 == 0 {
        return false;
    }
    let len = bytes.len();
    let target = (len <= MAX_TARGET)
        .then(|| crate::source::read_all(bytes).ok())
        .flatten()
        .and_then(|target| String::from_utf8(target).ok())
        .filter(|target| !target.contains(char::is_control));
    let Some(target) = target else {
        return false;
    };
    let rule = if link_leads_out(&entry.name, &target) {
        &rules::archive::ARCHIVE_PATH
    } else {
        &rules::archive::ARCHIVE_LINK
    };
    let message = format!("`{}` is a symbolic link to `{target}`", entry.name);
    look.see(rule, None, message);
    true
}

fn failed(look: &mut Look<'_, '_, '_>, error: &Error) {
    let encrypted = match error {
        Error::PasswordRequired | Error::MaybeBadPassword(_) => true,
        Error::UnsupportedCompressionMethod(method) => method.contains("AES"),
        _ => false,
    };
    if encrypted {
        let message = "it is encrypted, and was not read";
        look.broken(&rules::archive::ARCHIVE_ENCRYPTED, None, message);
        return;
    }
    match error {
        Error::UnsupportedCompressionMethod(method) => {
            look.gap(format!(
                "it is packed by a method that is not read: {method}"
            ));
        }
        Error::MaxMemLimited { .. } => look.gap("it asks for more memory than a look may take"),
        Error::Other(why) => broken(look, why),
        other => broken(look, &other.to_string()),
    }
}

fn broken(look: &mut Look<'_, '_, '_>, why: &str) {
    look.broken(&rules::archive::SEVENZ_BROKEN, None, why);
}

// How large the header is when unpacked, and where the archive ends.
fn header(look: &Look<'_, '_, '_>) -> Result<(u64, u64), CursorError> {
    let mut cursor = look.input.cursor();
    cursor.seek(12);
    let (offset, size) = (cursor.u64()?, cursor.u64()?);
    let start = offset.saturating_add(32);
    let end = start.saturating_add(size);
    cursor.seek(start);
    if size == 0 || cursor.u8()? != 0x17 {
        return Ok((size, end));
    }
    Ok((packed_header(&mut cursor)?.max(size), end))
}

// The largest size among those of the blocks that hold the packed header.
fn packed_header(cursor: &mut Cursor<'_>) -> Result<u64, CursorError> {
    const MOST: u64 = 64;
    let mut largest = 0;
    // Packed streams: where they are, how many, their sizes and checksums.
    if cursor.u8()? == 6 {
        number(cursor)?;
        let count = number(cursor)?.min(MOST);
        loop {
            match cursor.u8()? {
                0 => break,
                9 => {
                    for _ in 0..count {
                        number(cursor)?;
                    }
                }
                // Checksums of streams: all of them, as a rule.
                _ => cursor.skip(count.saturating_mul(4).saturating_add(1))?,
            }
        }
        cursor.u8()?;
    }
    // Blocks: how many, and here or elsewhere.
    cursor.u8()?;
    let blocks = number(cursor)?.min(MOST);
    cursor.u8()?;
    let mut streams = 0_u64;
    for _ in 0..blocks {
        streams = streams.saturating_add(block(cursor)?);
    }
    if cursor.u8()? == 0x0c {
        for _ in 0..streams.min(MOST) {
            largest = largest.max(number(cursor)?);
        }
    } else {
        largest = u64::MAX;
    }
    Ok(largest)
}

// Skips the coders of a block, and returns how many streams come out of them.
fn block(cursor: &mut Cursor<'_>) -> Result<u64, CursorError> {
    let (mut inputs, mut outputs) = (0_u64, 0_u64);
    for _ in 0..number(cursor)?.min(32) {
        let flags = cursor.u8()?;
        cursor.skip(u64::from(flags & 0xf))?;
        let (mut more, mut out) = (1, 1);
        if flags & 0x10 != 0 {
            (more, out) = (number(cursor)?, number(cursor)?);
        }
        if flags & 0x20 != 0 {
            let len = number(cursor)?;
            cursor.skip(len)?;
        }
        inputs = inputs.saturating_add(more);
        outputs = outputs.saturating_add(out);
    }
    let pairs = outputs.saturating_sub(1).min(32);
    for _ in 0..pairs.saturating_mul(2) {
        number(cursor)?;
    }
    let packed = inputs.saturating_sub(pairs);
    if packed > 1 {
        for _ in 0..packed.min(32) {
            number(cursor)?;
        }
    }
    Ok(outputs)
}

// A number of one to nine bytes: set bits at the front of the first say how many follow.
fn number(cursor: &mut Cursor<'_>) -> Result<u64, CursorError> {
    let first = cursor.u8()?;
    let more = first.leading_ones();
    let mut number = 0_u64;
    for place in 0..more {
        number |= u64::from(cursor.u8()?) << place.saturating_mul(8);
    }
    let kept = 0x7f_u8.checked_shr(more).unwrap_or(0);
    let high = u64::from(first & kept);
    Ok(number | high.checked_shl(more.saturating_mul(8)).unwrap_or(0))
}

struct Stream<'a> {
    from: &'a dyn ReadAt,
    at: u64,
}

impl Read for Stream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = read_full(self.from, self.at, buffer)?;
        let read = u64::try_from(count).unwrap_or(u64::MAX);
        self.at = self.at.saturating_add(read);
        Ok(count)
    }
}

impl Seek for Stream<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let place = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.from.len().checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = place.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}
