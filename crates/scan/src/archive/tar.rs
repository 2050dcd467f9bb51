//! Tar archives (POSIX.1-2017 pax, ustar, GNU), read where they lie: members are parts of the file.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::archive::zip::leads_out;
use crate::route::Head;
use crate::rules;
use crate::source::{Cursor, Part, read_full};
use crate::work::{Input, Limited, Look};

const BLOCK: u64 = 512;
/// Largest extended header.
const MAX_EXTENDED: u64 = 1 << 20;

/// Returns true if a header with its magic, or with its checksum, stands at the beginning.
pub(crate) fn recognises(head: &Head, _: &Input<'_>) -> bool {
    let magic = head.bytes().get(257..262) == Some(b"ustar");
    let header = head.bytes().get(..512);
    magic || header.is_some_and(|header| header.first() != Some(&0) && has_sum(header))
}

/// Looks at an archive and its members.
pub(crate) fn examine(look: &mut Look<'_, '_, '_>) {
    let mut archive = Archive {
        look,
        extended: BTreeMap::new(),
        long_name: None,
        long_link: None,
    };
    // The outcome of a limit is noted where it fired.
    let _ = archive.members();
}

struct Archive<'l, 'i, 'w, 's> {
    look: &'l mut Look<'i, 'w, 's>,
    // What extended headers say about the next member.
    extended: BTreeMap<String, String>,
    long_name: Option<String>,
    long_link: Option<String>,
}

struct Header {
    name: String,
    size: u64,
    kind: u8,
    link: String,
}

impl Archive<'_, '_, '_, '_> {
    fn members(&mut self) -> Result<(), Limited> {
        let size = self.look.input.bytes.len();
        let mut at = 0;
        while at < size {
            let mut block = [0; 512];
            let count = read_full(self.look.input.bytes, at, &mut block).unwrap_or(0);
            if count < block.len() {
                self.broken(at, "it ends inside of a header");
                return Ok(());
            }
            if block.iter().all(|byte| *byte == 0) {
                return self.end(at);
            }
            if !has_sum(&block) {
                self.broken(at, "a header has a wrong checksum");
                return Ok(());
            }
            let Some(header) = Header::read(&block) else {
                self.broken(at, "a header has a size that is no number");
                return Ok(());
            };
            let start = at.saturating_add(BLOCK);
            let next = self.entry(header, start)?;
            self.look.covered.parsed(at..next.min(size));
            if next > size.saturating_add(BLOCK) {
                self.broken(at, "a member ends behind the end of the archive");
                return Ok(());
            }
            at = next;
        }
        Ok(())
    }

    // Returns where the next header is.
    fn entry(&mut self, mut header: Header, start: u64) -> Result<u64, Limited> {
        self.look.work.tick(&self.look.input.path)?;
        let mut range = start..start.saturating_add(header.size);
        match header.kind {
            b'x' | b'g' => self.read_extended(&range),
            b'L' => self.long_name = self.text(&range),
            b'K' => self.long_link = self.text(&range),
            kind => {
                if let Some(name) = self.long_name.take() {
                    header.name = name;
                }
                if let Some(link) = self.long_link.take() {
                    header.link = link;
                }
                let extended = std::mem::take(&mut self.extended);
                if let Some(name) = extended.get("path") {
                    header.name.clone_from(name);
                }
                if let Some(link) = extended.get("linkpath") {
                    header.link.clone_from(link);
                }
                if let Some(size) = extended.get("size").and_then(|size| size.parse().ok()) {
                    range.end = start.saturating_add(size);
                }
                self.names(&header, start);
                match kind {
                    b'0' | 0 | b'7' => {
                        let part = Part::new(self.look.input.bytes, range.clone());
                        self.look.member(&header.name, &part)?;
                    }
                    b'S' => {
                        let message = format!("the sparse member `{}` is not read", header.name);
                        self.look.gap(message);
                    }
                    // Links and folders have no bytes.
                    _ => {}
                }
            }
        }
        let len = range.end.saturating_sub(start);
        let padded = len.div_ceil(BLOCK).saturating_mul(BLOCK);
        Ok(start.saturating_add(padded))
    }

    fn names(&mut self, header: &Header, start: u64) {
        let name = &header.name;
        if leads_out(name) {
            let message = format!("`{name}` leads out of the folder that it is unpacked into");
            self.look.see(&rules::archive::ARCHIVE_PATH, start, message);
        }
        let what = match header.kind {
            b'1' => "a hard link",
            b'2' => "a symbolic link",
            b'3' | b'4' | b'6' => "a device or pipe",
            _ => return,
        };
        let to = &header.link;
        let message = if to.is_empty() {
            format!("`{name}` is {what}")
        } else {
            format!("`{name}` is {what} to `{to}`")
        };
        let rule = if leads_out(to) {
            &rules::archive::ARCHIVE_PATH
        } else {
            &rules::archive::ARCHIVE_LINK
        };
        self.look.see(rule, start, message);
    }

    // Blocks of zeros end it; what follows them, some programs read.
    fn end(&mut self, at: u64) -> Result<(), Limited> {
        let size = self.look.input.bytes.len();
        let mut buffer = vec![0; 64 << 10];
        let mut rest = at;
        while rest < size {
            let count = read_full(self.look.input.bytes, rest, &mut buffer).unwrap_or(0);
            let read = buffer.get(..count).unwrap_or_default();
            if let Some(found) = read.iter().position(|byte| *byte != 0) {
                let found = rest.saturating_add(u64::try_from(found).unwrap_or(u64::MAX));
                self.look.covered.parsed(at..found);
                let message = format!("{} bytes follow its end", size.saturating_sub(found));
                self.look
                    .see(&rules::archive::PACKED_TRAILING, found, message);
                let part = Part::new(self.look.input.bytes, found..size);
                self.look.member("trailing", &part)?;
                self.look.covered.parsed(found..size);
                return Ok(());
            }
            if count == 0 {
                break;
            }
            rest = rest.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        }
        self.look.covered.parsed(at..size);
        Ok(())
    }

    fn broken(&mut self, at: u64, why: &str) {
        self.look.broken(&rules::archive::TAR_BROKEN, at, why);
    }

    fn bytes(&self, range: &Range<u64>) -> Option<Vec<u8>> {
        let len = range.end.saturating_sub(range.start);
        let len = usize::try_from(len.min(MAX_EXTENDED)).ok()?;
        Cursor::at(self.look.input.bytes, range.start)
            .take(len)
            .ok()
    }

    fn text(&self, range: &Range<u64>) -> Option<String> {
        self.bytes(range).map(|bytes| text(&bytes))
    }

    // Records of `LENGTH KEY=VALUE\n`.
    fn read_extended(&mut self, range: &Range<u64>) {
        let bytes = self.bytes(range).unwrap_or_default();
        let mut rest = bytes.as_slice();
        while let Some(space) = rest.iter().position(|byte| *byte == b' ') {
            let digits = rest
                .get(..space)
                .and_then(|digits| std::str::from_utf8(digits).ok());
            let Some(len) = digits.and_then(|digits| digits.parse::<usize>().ok()) else {
                return;
            };
            let Some((record, next)) = rest.split_at_checked(len) else {
                return;
            };
            let record = record.get(space.saturating_add(1)..).unwrap_or_default();
            let record = String::from_utf8_lossy(record.strip_suffix(b"\n").unwrap_or(record));
            if let Some((key, value)) = record.split_once('=') {
                self.extended.insert(key.to_owned(), value.to_owned());
            }
            rest = next;
        }
    }
}

impl Header {
    fn read(block: &[u8; 512]) -> Option<Self> {
        let field = |range: Range<usize>| block.get(range).unwrap_or_default();
        let mut name = text(field(0..100));
        let prefix = text(field(345..500));
        if field(257..262) == b"ustar" && field(262..264) != b" \0" && !prefix.is_empty() {
            name = format!("{prefix}/{name}");
        }
        Some(Self {
            name,
            size: number(field(124..136))?,
            kind: *block.get(156)?,
            link: text(field(157..257)),
        })
    }
}

fn text(bytes: &[u8]) -> String {
    let end = bytes
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}

// Octal digits, or a number of base 256 behind a set bit.
fn number(field: &[u8]) -> Option<u64> {
    if let [first @ 0x80..=0xff, rest @ ..] = field {
        let first = u64::from(first & 0x7f);
        return rest.iter().try_fold(first, |number, byte| {
            number.checked_mul(256)?.checked_add(u64::from(*byte))
        });
    }
    let digits = text(field);
    let digits = digits.trim_matches([' ', '\0']);
    if digits.is_empty() {
        return Some(0);
    }
    u64::from_str_radix(digits, 8).ok()
}

// The sum of all bytes, those of the sum itself as spaces; old programs add signed bytes.
fn has_sum(header: &[u8]) -> bool {
    let Some(said) = header.get(148..156).and_then(number) else {
        return false;
    };
    let bytes = header.iter().enumerate().map(|(at, byte)| match at {
        148..156 => b' ',
        _ => *byte,
    });
    let unsigned: u64 = bytes.clone().map(u64::from).sum();
    let signed: i64 = bytes.map(|byte| i64::from(byte.cast_signed())).sum();
    said == unsigned || i64::try_from(said) == Ok(signed)
}
