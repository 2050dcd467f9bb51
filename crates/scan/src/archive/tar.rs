//! Tar archives (POSIX.1-2017 pax, ustar, GNU), read where they lie: members are parts of the file.

mod links;

use std::collections::BTreeMap;
use std::ops::Range;

use crate::archive::oci;
use crate::archive::zip::leads_out;
use crate::graphs::values;
use crate::media::shards::Shard;
use crate::route::Head;
use crate::rules;
use crate::source::{Cursor, Part, find_other, read_full};
use crate::tensors::torch;
use crate::work::{Input, Limited, Look};

use links::{Kind, Links};

const BLOCK: u64 = 512;
/// Largest extended header.
const MAX_EXTENDED: u64 = 1 << 20;
/// How many blocks behind a broken header are searched for the next one.
const SEARCHED: u64 = 1 << 17;
/// Most further headers of one sparse member.
const MAX_SPARSE: u32 = 1 << 12;

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
        always: BTreeMap::new(),
        extended: BTreeMap::new(),
        long_name: None,
        long_link: None,
        links: Links::default(),
        shard: Shard::default(),
    };
    // The outcome of a limit is noted where it fired.
    let _ = archive.graphs().and_then(|()| archive.members());
    let links = std::mem::take(&mut archive.links);
    let shard = std::mem::take(&mut archive.shard);
    links.judge(look);
    shard.finish(look);
    torch::tarred(look);
}

struct Archive<'l, 'i, 'w, 's> {
    look: &'l mut Look<'i, 'w, 's>,
    // What extended headers say about all members, and about the next one.
    always: BTreeMap<String, String>,
    extended: BTreeMap<String, String>,
    long_name: Option<String>,
    long_link: Option<String>,
    links: Links,
    shard: Shard,
}

struct Header {
    name: String,
    size: u64,
    kind: u8,
    link: String,
    // Old GNU sparse members: another header follows this one.
    goes_on: bool,
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
                return self.look.trailing(at..size);
            }
            if block.iter().all(|byte| *byte == 0) {
                return self.end(at);
            }
            let header = has_sum(&block).then(|| Header::read(&block)).flatten();
            let Some(header) = header else {
                self.broken(
                    at,
                    "a header has a wrong checksum, or a size that is no number",
                );
                match self.next_header(at) {
                    Some(next) => {
                        at = next;
                        continue;
                    }
                    None => return self.look.trailing(at..size),
                }
            };
            let start = at.saturating_add(BLOCK);
            self.look.covered.parsed(at..start);
            at = self.entry(header, start)?;
        }
        self.broken(size, "it has no end, and may have been cut");
        Ok(())
    }

    // Graphs say what their values are in other members, which may come before them.
    fn graphs(&mut self) -> Result<(), Limited> {
        let (mut at, mut long) = (0, None);
        let mut block = [0; 512];
        while read_full(self.look.input.bytes, at, &mut block).is_ok_and(|count| count == 512) {
            self.look.work.tick(&self.look.input.path)?;
            let header = has_sum(&block).then(|| Header::read(&block)).flatten();
            let Some(header) = header else { break };
            let start = at.saturating_add(BLOCK);
            let range = start..start.saturating_add(header.size);
            match header.kind {
                b'L' => long = self.text(&range),
                b'x' => long = self.read_extended(&range).remove("path"),
                b'1'..=b'6' => {
                    at = start;
                    continue;
                }
                _ => {
                    let name = long.take().unwrap_or(header.name);
                    if values::may_be_graph(&name) {
                        let path = format!("{}!{name}", self.look.input.path);
                        let part = Part::new(self.look.input.bytes, range.clone());
                        values::read(self.look.work, &path, &part);
                    }
                }
            }
            at = padded(&range);
        }
        Ok(())
    }

    // Some programs go on at the next header that is one.
    fn next_header(&mut self, broken: u64) -> Option<u64> {
        let mut block = [0; 512];
        (1..SEARCHED)
            .map(|number| broken.saturating_add(number.saturating_mul(BLOCK)))
            .take_while(|at| *at < self.look.input.bytes.len())
            .find(|at| {
                let count = read_full(self.look.input.bytes, *at, &mut block).unwrap_or(0);
                count == block.len() && block.first() != Some(&0) && has_sum(&block)
            })
    }

    // Returns where the next header is.
    fn entry(&mut self, mut header: Header, start: u64) -> Result<u64, Limited> {
        self.look.work.tick(&self.look.input.path)?;
        let mut range = start..start.saturating_add(header.size);
        match header.kind {
            b'x' => self.extended = self.read_extended(&range),
            b'g' => {
                let fresh = self.read_extended(&range);
                self.always.extend(fresh);
            }
            b'L' => self.long_name = self.text(&range),
            b'K' => self.long_link = self.text(&range),
            _ => {
                let sparse = self.complete(&mut header, &mut range);
                self.name(&header, start);
                return self.content(&header, range, sparse);
            }
        }
        self.look.covered.parsed(range.clone());
        let end = padded(&range);
        self.look.trailing(range.end..end)?;
        Ok(end)
    }

    // What came before about this member: names, its size. Returns true if it is sparse.
    fn complete(&mut self, header: &mut Header, range: &mut Range<u64>) -> bool {
        if let Some(name) = self.long_name.take() {
            header.name = name;
        }
        if let Some(link) = self.long_link.take() {
            header.link = link;
        }
        let mut extended = self.always.clone();
        extended.append(&mut self.extended);
        if let Some(name) = extended.get("path") {
            header.name.clone_from(name);
        }
        if let Some(name) = extended.get("GNU.sparse.name") {
            header.name.clone_from(name);
        }
        if let Some(link) = extended.get("linkpath") {
            header.link.clone_from(link);
        }
        if let Some(size) = extended.get("size").and_then(|size| size.parse().ok()) {
            range.end = range.start.saturating_add(size);
        }
        header.kind == b'S' || extended.keys().any(|key| key.starts_with("GNU.sparse."))
    }

    // Looks at the bytes of a member, and returns where the next header is.
    fn content(
        &mut self,
        header: &Header,
        mut range: Range<u64>,
        sparse: bool,
    ) -> Result<u64, Limited> {
        match header.kind {
            // Links, devices, folders and pipes have no bytes, whatever their size says.
            b'1'..=b'6' if !range.is_empty() => {
                let mut block = [0; 512];
                let count = read_full(self.look.input.bytes, range.start, &mut block).unwrap_or(0);
                let goes_on = count == block.len()
                    && (has_sum(&block) || block.iter().all(|byte| *byte == 0));
                let message = format!("`{}` has a size, and nothing that has one", header.name);
                self.look
                    .see(&rules::archive::TAR_BROKEN, range.start, message);
                if goes_on {
                    return Ok(range.start);
                }
            }
            b'1'..=b'6' => return Ok(range.start),
            b'M' => {
                let message = format!("`{}` begins in another volume", header.name);
                self.look.gap(message);
            }
            b'S' if header.goes_on => range = self.sparse_headers(range),
            _ => {}
        }
        if sparse {
            let message = format!(
                "`{}` is sparse, and looked at without its holes",
                header.name
            );
            self.look.gap(message);
        }
        if range.end > self.look.input.bytes.len() {
            self.broken(range.start, "a member ends behind the end of the archive");
        }
        self.look.part(&header.name, range.clone())?;
        oci::check_name(self.look, &header.name, range.clone());
        self.shard.add(self.look, &header.name, range.clone());
        let end = padded(&range);
        if end > range.end {
            self.look.trailing(range.end..end)?;
        }
        Ok(end)
    }

    fn sparse_headers(&mut self, range: Range<u64>) -> Range<u64> {
        let mut start = range.start;
        for _ in 0..MAX_SPARSE {
            let mut block = [0; 512];
            let _ = read_full(self.look.input.bytes, start, &mut block);
            self.look.covered.parsed(start..start.saturating_add(BLOCK));
            start = start.saturating_add(BLOCK);
            if block.get(504) != Some(&1) {
                break;
            }
        }
        let moved = start.saturating_sub(range.start);
        start..range.end.saturating_add(moved)
    }

    fn name(&mut self, header: &Header, start: u64) {
        let name = &header.name;
        if leads_out(name) {
            let message = format!("`{name}` leads out of the folder that it is unpacked into");
            self.look.see(&rules::archive::ARCHIVE_PATH, start, message);
        }
        let kind = match header.kind {
            b'1' => Kind::Hard,
            b'2' => Kind::Symbolic,
            b'3' | b'4' | b'6' => Kind::Device,
            _ => Kind::Plain,
        };
        self.links.add(kind, (name, &header.link), start);
    }

    // Blocks of zeros end it; what follows them, some programs read.
    fn end(&mut self, at: u64) -> Result<(), Limited> {
        let size = self.look.input.bytes.len();
        let rest = find_other(self.look.input.bytes, at..size, 0).unwrap_or(size);
        self.look.covered.parsed(at..rest);
        self.look
            .trailing_by(&rules::archive::PACKED_TRAILING, rest..size)
    }

    fn broken(&mut self, at: u64, why: &str) {
        self.look.broken(&rules::archive::TAR_BROKEN, at, why);
    }

    fn bytes(&mut self, range: &Range<u64>) -> Option<Vec<u8>> {
        let len = range.end.saturating_sub(range.start);
        if len > MAX_EXTENDED {
            self.look
                .gap("an extended header is larger than one that is read");
        }
        let len = usize::try_from(len.min(MAX_EXTENDED)).ok()?;
        Cursor::at(self.look.input.bytes, range.start)
            .take(len)
            .ok()
    }

    fn text(&mut self, range: &Range<u64>) -> Option<String> {
        self.bytes(range).map(|bytes| text(&bytes))
    }

    // Records of `LENGTH KEY=VALUE\n`.
    fn read_extended(&mut self, range: &Range<u64>) -> BTreeMap<String, String> {
        let mut records = BTreeMap::new();
        let bytes = self.bytes(range).unwrap_or_default();
        let mut rest = bytes.as_slice();
        while let Some(space) = rest.iter().position(|byte| *byte == b' ') {
            let digits = rest
                .get(..space)
                .and_then(|digits| std::str::from_utf8(digits).ok());
            let Some(len) = digits.and_then(|digits| digits.parse::<usize>().ok()) else {
                break;
            };
            let Some((record, next)) = rest.split_at_checked(len) else {
                break;
            };
            let record = record.get(space.saturating_add(1)..).unwrap_or_default();
            let record = String::from_utf8_lossy(record.strip_suffix(b"\n").unwrap_or(record));
            if let Some((key, value)) = record.split_once('=') {
                records.insert(key.to_owned(), value.to_owned());
            }
            rest = next;
        }
        records
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
            goes_on: block.get(482) == Some(&1),
        })
    }
}

// Where the bytes of a member end with their padding.
fn padded(range: &Range<u64>) -> u64 {
    let len = range.end.saturating_sub(range.start);
    let padded = len.div_ceil(BLOCK).saturating_mul(BLOCK);
    range.start.saturating_add(padded)
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
    let (before, after) = (header.get(..148), header.get(156..));
    let parts = [before, after].map(Option::unwrap_or_default);
    let sum = |part: &[u8]| {
        let add = |sum: u64, byte: &u8| sum.wrapping_add(u64::from(*byte));
        part.iter().fold(0, add)
    };
    let high = |part: &&[u8]| part.iter().filter(|byte| !byte.is_ascii()).count();
    let unsigned = parts
        .map(sum)
        .iter()
        .fold(256_u64, |all, one| all.saturating_add(*one));
    let high = parts.iter().map(high).fold(0, usize::saturating_add);
    // Each byte above 127 is less by 256.
    let less = u64::try_from(high).unwrap_or(u64::MAX).saturating_mul(256);
    said == unsigned || said.checked_add(less) == Some(unsigned)
}
