//! Zip archives, as loaders read them: without minding checksums, flags, or what a second header
//! says about the same member.
//!
//! A member has two headers: the local one before its bytes, and one in the directory at the end.
//! Loaders differ in which they believe, so both are read, members that only one of them knows are
//! looked at too, and each difference is a finding. (APPNOTE.TXT 6.3.10, sections 4.3 and 4.4.)

mod content;
mod directory;
mod wheel;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use crate::graphs::values;
use crate::route::Head;
use crate::rules;
use crate::source::{self, Cursor, ReadAt};
use crate::tensors::torch::Torch;
use crate::text;
use crate::work::{Input, Limited, Look};

use directory::{Central, End, Local};
use wheel::Wheel;

/// Largest gap between members that is searched for more of them.
const SEARCHED: u64 = 256 << 20;
/// Most overlaps that are told one by one.
const TOLD: usize = 10;
/// Most members with the same bytes that are looked at, each by its own name.
const MAX_SHARED: u32 = 16;

/// Returns true if it begins with a member, or ends with a directory.
pub(crate) fn recognises(head: &Head, input: &Input<'_>) -> bool {
    head.starts_with(b"PK\x03\x04")
        || head.starts_with(b"PK\x05\x06")
        || head.starts_with(b"PK\x07\x08PK\x03\x04")
        || directory::ends(input.bytes)
            .iter()
            .any(|end| end.begins_well(input.bytes))
}

/// Returns true if it ends with a directory that can be read.
pub(crate) fn has_directory(input: &Input<'_>) -> bool {
    directory::is_near_end(input.bytes) && archive_at_end(input).is_some()
}

/// Returns the names of the members, as the directory gives them.
pub(crate) fn names(input: &Input<'_>) -> Vec<String> {
    let ends = directory::ends(input.bytes);
    let entries = ends
        .first()
        .map(|end| directory::entries(input.bytes, end).0);
    let entries = entries.unwrap_or_default().into_iter();
    entries.map(|central| central.name).collect()
}

/// Returns where the archive begins that the input ends with.
pub(crate) fn archive_at_end(input: &Input<'_>) -> Option<u64> {
    let ends = directory::ends(input.bytes);
    let end = ends.first().filter(|end| end.begins_well(input.bytes))?;
    let (entries, _) = directory::entries(input.bytes, end);
    let starts = entries
        .iter()
        .map(|entry| entry.offset.saturating_add(end.prefix));
    starts.min()
}

/// Where a member lies, as the directory has it.
pub(crate) struct Place {
    /// Its name.
    pub(crate) name: String,
    /// How it is packed.
    pub(crate) method: u16,
    /// Its bytes, packed or not.
    pub(crate) range: Range<u64>,
}

/// Returns where the members lie.
pub(crate) fn places(input: &Input<'_>) -> Vec<Place> {
    let ends = directory::ends(input.bytes);
    let Some(end) = ends.first() else {
        return Vec::new();
    };
    let (entries, _) = directory::entries(input.bytes, end);
    let place = |entry: Central| {
        let start = entry.offset.saturating_add(end.prefix);
        let local = Local::read(input.bytes, start)?;
        let range = local.data..local.data.saturating_add(entry.packed);
        Some(Place {
            name: entry.name,
            method: entry.method,
            range,
        })
    };
    entries.into_iter().filter_map(place).collect()
}

/// A member, by what its headers say.
struct Member {
    central: Option<Central>,
    local: Local,
    // Where the bytes of another member begin, behind those of this one.
    bound: u64,
}

impl Member {
    fn name(&self) -> &str {
        self.central
            .as_ref()
            .map_or(&self.local.name, |central| &central.name)
    }
}

/// Looks at an archive and its members.
pub(crate) fn examine(look: &mut Look<'_, '_, '_>) {
    let mut archive = Archive {
        path: look.input.path.as_str().into(),
        look,
        taken: Vec::new(),
        torch: None,
        wheel: None,
        listed: false,
    };
    // The outcome of a limit is noted where it fired.
    let _ = archive.members();
    archive.overlaps();
}

struct Archive<'l, 'i, 'w, 's> {
    look: &'l mut Look<'i, 'w, 's>,
    path: Arc<str>,
    // Bytes that belong to something: a member, a directory.
    taken: Vec<(Range<u64>, String)>,
    torch: Option<Torch>,
    wheel: Option<Wheel>,
    // It has a directory.
    listed: bool,
}

impl Archive<'_, '_, '_, '_> {
    fn members(&mut self) -> Result<(), Limited> {
        let mut members = self.directories();
        let names: Vec<&str> = members
            .iter()
            .map(|(entry, _)| entry.name.as_str())
            .collect();
        self.torch = Torch::of(&names);
        self.wheel = Wheel::of(&names);
        // Pickles first: what they say about the other members of a torch archive is checked then. So
        // are graphs, which say what their values are in other members.
        members.sort_by_key(|(entry, start)| {
            let says = Torch::is_pickle(&entry.name) || values::may_be_graph(&entry.name);
            (!says, *start)
        });
        let mut names = BTreeSet::new();
        let mut same = BTreeMap::new();
        let mut whole = true;
        for (entry, start) in members {
            self.look.work.tick(&self.path)?;
            let times = same
                .entry((start, entry.method, entry.packed))
                .or_insert(0_u32);
            *times = times.saturating_add(1);
            if *times > MAX_SHARED {
                whole = false;
                continue;
            }
            if !names.insert(entry.name.clone()) {
                let message = format!("two members are called `{}`", entry.name);
                self.look
                    .see(&rules::archive::ZIP_DUPLICATE, start, message);
            }
            let Some(local) = Local::read(self.look.input.bytes, start) else {
                let message = format!(
                    "`{}` is in the directory, and not in the archive",
                    entry.name
                );
                self.look
                    .broken(&rules::archive::ZIP_BROKEN, Some(start), message);
                continue;
            };
            let member = Member {
                bound: self.look.input.bytes.len(),
                central: Some(entry),
                local,
            };
            self.member(&member)?;
        }
        if !whole {
            self.look
                .gap("many members are the same bytes, and not all of them are looked at");
        }
        if let Some(torch) = self.torch.take() {
            torch.finish(self.look);
        }
        self.hidden()?;
        if let Some(wheel) = self.wheel.take() {
            wheel.finish(self.look);
        }
        self.strays()
    }

    // What directories say, and where the header of each member is.
    fn directories(&mut self) -> Vec<(Central, u64)> {
        let bytes = self.look.input.bytes;
        let ends = directory::ends(bytes);
        if ends.is_empty() {
            let message = "there is no directory at the end";
            self.look.broken(&rules::archive::ZIP_BROKEN, None, message);
        }
        if let [first, second, ..] = ends.as_slice() {
            let message = format!(
                "one directory is at {}, and programs that read the headers another way find one at {}",
                first.directory.start, second.directory.start
            );
            let at = Some(second.directory.start);
            self.look.see(&rules::archive::ZIP_DIRECTORIES, at, message);
        }
        self.listed = !ends.is_empty();
        let mut members = Vec::new();
        let mut known = BTreeSet::new();
        for end in ends {
            self.take(&end.range, "the end record");
            self.comment(&end);
            self.take(&end.directory, "the directory");
            let (entries, whole) = directory::entries(bytes, &end);
            if !whole {
                let message = "the directory breaks off";
                self.look.broken(&rules::archive::ZIP_BROKEN, None, message);
            }
            self.count(&entries, &end);
            let fresh: Vec<_> = entries
                .into_iter()
                .map(|entry| (entry.offset.saturating_add(end.prefix), entry))
                .filter(|(start, entry)| !known.contains(&(*start, entry.name.clone())))
                .collect();
            // A second directory may repeat what the first says.
            known.extend(
                fresh
                    .iter()
                    .map(|(start, entry)| (*start, entry.name.clone())),
            );
            members.extend(fresh.into_iter().map(|(start, entry)| (entry, start)));
        }
        members
    }

    fn count(&mut self, entries: &[Central], end: &End) {
        let found = u64::try_from(entries.len()).unwrap_or(u64::MAX);
        // Sixteen bits are all that there are, and old programs let them run over.
        if found & 0xffff != end.count & 0xffff {
            let message = format!(
                "the directory has {found} members, and the end record says {}",
                end.count
            );
            let at = Some(end.range.start);
            self.look.see(&rules::archive::ZIP_BROKEN, at, message);
        }
    }

    // A comment is for people, and what hides in it is looked for.
    fn comment(&mut self, end: &End) {
        let len = end.range.end.saturating_sub(end.comment);
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let bytes = Cursor::at(self.look.input.bytes, end.comment).take(len);
        if let Some(bytes) = bytes.ok().filter(|bytes| !bytes.is_empty()) {
            let here = self.look.here();
            text::inspect(self.look, &here, &String::from_utf8_lossy(&bytes));
        }
    }

    fn take(&mut self, range: &Range<u64>, what: &str) {
        self.look.covered.parsed(range.clone());
        self.taken.push((range.clone(), what.to_owned()));
    }

    // Members that the directory does not name, between those that it does.
    fn hidden(&mut self) -> Result<(), Limited> {
        for gap in self.gaps() {
            let mut at = gap.start;
            if gap.end.saturating_sub(gap.start) > SEARCHED {
                self.look
                    .gap("more bytes belong to no member than are searched for more of them");
            }
            let end = gap.end.min(gap.start.saturating_add(SEARCHED));
            while let Some(found) = find_local(self.look.input.bytes, at..end) {
                at = found.saturating_add(4);
                let Some(local) = Local::read(self.look.input.bytes, found) else {
                    continue;
                };
                // Without a directory, it is the directory that lacks.
                if self.listed {
                    let message = format!(
                        "`{}` lies in the archive, and its directory says nothing of it",
                        local.name
                    );
                    self.look
                        .see(&rules::archive::ZIP_HIDDEN, Some(found), message);
                }
                let member = Member {
                    central: None,
                    bound: gap.end,
                    local,
                };
                at = self.member(&member)?.max(at);
            }
        }
        Ok(())
    }

    // Bytes that belong to nothing: padding, or something that is looked at.
    fn strays(&mut self) -> Result<(), Limited> {
        let size = self.look.input.bytes.len();
        let rule = &rules::archive::ZIP_STRAY;
        for gap in self.gaps() {
            if gap.end == size {
                self.look.trailing_by(rule, gap)?;
            } else if gap.start > 0 {
                self.stray(gap)?;
            } else if source::find_other(self.look.input.bytes, gap.clone(), 0).is_none() {
                self.look.covered.parsed(gap);
            }
            // What stands before an archive, the parser for what that is looks at.
        }
        Ok(())
    }

    fn stray(&mut self, range: Range<u64>) -> Result<(), Limited> {
        if source::find_other(self.look.input.bytes, range.clone(), 0).is_none() {
            self.look.covered.parsed(range);
            return Ok(());
        }
        let count = range.end.saturating_sub(range.start);
        let message = format!("{count} bytes between members belong to none");
        self.look
            .see(&rules::archive::ZIP_STRAY, Some(range.start), message);
        self.look
            .part(&format!("bytes at {}", range.start), range)?;
        Ok(())
    }

    fn gaps(&mut self) -> Vec<Range<u64>> {
        self.taken.sort_by_key(|(range, _)| range.start);
        let mut gaps = Vec::new();
        let mut at = 0;
        for (range, _) in &self.taken {
            if range.start > at {
                gaps.push(at..range.start);
            }
            at = at.max(range.end);
        }
        let size = self.look.input.bytes.len();
        if size > at {
            gaps.push(at..size);
        }
        gaps
    }

    // Looks at a member, and returns where it ends.
    fn member(&mut self, member: &Member) -> Result<u64, Limited> {
        let local = &member.local;
        let size = self.look.input.bytes.len();
        self.compare(member);
        self.names(member);
        self.look.covered.parsed(local.start..local.data);
        let said = match (&member.central, local.packed) {
            (Some(central), _) => Some(central.packed),
            (None, packed) => packed,
        };
        // Without a size before the bytes, they go on to what comes next, or to their own end.
        let mut end = said.map_or(member.bound, |packed| local.data.saturating_add(packed));
        if end > size {
            let name = member.name();
            let message = format!("`{name}` ends behind the end of the archive");
            self.look
                .broken(&rules::archive::ZIP_BROKEN, Some(local.start), message);
            end = size;
        }
        let listed = member.central.as_ref();
        let after = listed.map_or(end, |central| {
            local.descriptor_end(self.look.input.bytes, end, central)
        });
        self.look.covered.parsed(end..after);
        let read = self.contents(member, local.data..end, said.is_some());
        let after = read.ok().flatten().unwrap_or(after);
        self.taken
            .push((local.start..after, member.name().to_owned()));
        read?;
        Ok(after)
    }

    // What the two headers say about the same member.
    fn compare(&mut self, member: &Member) {
        let local = &member.local;
        let Some(central) = &member.central else {
            return;
        };
        let at = Some(local.start);
        if central.name != local.name {
            let message = format!(
                "one header calls it `{}`, the other `{}`",
                central.name, local.name
            );
            self.look
                .see(&rules::archive::ZIP_NAMES_DIFFER, at, message);
        }
        let same_size = local.has_descriptor()
            || (local.packed == Some(central.packed) && local.unpacked == Some(central.unpacked));
        let plain =
            central.method != 0 || member.is_flagged() || central.packed == central.unpacked;
        if central.method != local.method || !same_size || !plain {
            let message = format!(
                "headers of `{}` disagree about its size or how it is packed",
                central.name
            );
            self.look
                .see(&rules::archive::ZIP_HEADERS_DIFFER, at, message);
        }
    }

    fn names(&mut self, member: &Member) {
        let local = &member.local;
        let at = Some(local.start);
        for name in BTreeSet::from([member.name(), local.name.as_str()]) {
            if !name.is_ascii() {
                let here = self.look.here();
                text::inspect(self.look, &here, name);
            }
            if leads_out(name) {
                let message = format!("`{name}` leads out of the folder that it is unpacked into");
                self.look.see(&rules::archive::ARCHIVE_PATH, at, message);
            }
        }
    }

    // Members that share bytes with others.
    fn overlaps(&mut self) {
        self.taken.sort_by_key(|(range, _)| range.start);
        let mut last: Option<&(Range<u64>, String)> = None;
        let mut told = 0_usize;
        for one in &self.taken {
            if one.0.is_empty() {
                continue;
            }
            if let Some((before, name)) = last
                && before.end > one.0.start
            {
                told = told.saturating_add(1);
                if told <= TOLD {
                    let message = format!("`{}` and `{name}` share bytes", one.1);
                    self.look
                        .see(&rules::archive::ZIP_OVERLAP, Some(one.0.start), message);
                }
            }
            if last.is_none_or(|(before, _)| one.0.end > before.end) {
                last = Some(one);
            }
        }
    }
}

/// Returns true if a name in an archive leads to somewhere else than below the folder that it is
/// unpacked into: on Linux, macOS or Windows.
pub(crate) fn leads_out(name: &str) -> bool {
    let drive = matches!(name.as_bytes(), [letter, b':', ..] if letter.is_ascii_alphabetic());
    drive
        || name.starts_with(['/', '\\'])
        || name.split(['/', '\\']).any(|part| part == "..")
        || name.contains('\0')
}

/// Returns true if a link that is called `name` leads to somewhere else than below the folder that
/// the archive is unpacked into.
pub(crate) fn link_leads_out(name: &str, target: &str) -> bool {
    if !target.split(['/', '\\']).any(|part| part == "..") {
        return leads_out(target);
    }
    let absolute = target.starts_with(['/', '\\']) || target.contains([':', '\0']);
    let plain = |part: &&str| !part.is_empty() && *part != ".";
    let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut depth = 0_u64;
    for part in folder
        .split('/')
        .chain(target.split(['/', '\\']))
        .filter(plain)
    {
        if part != ".." {
            depth = depth.saturating_add(1);
        } else if let Some(above) = depth.checked_sub(1) {
            depth = above;
        } else {
            return true;
        }
    }
    absolute
}

fn find_local(bytes: &dyn ReadAt, range: Range<u64>) -> Option<u64> {
    let mut found = None;
    let mut at = range.start;
    // Pieces share three bytes, so that a mark across an edge is seen.
    while found.is_none() && at < range.end {
        let mut next = range.end;
        source::each(bytes, at..range.end, |start, read| {
            let mark = read.windows(4).position(|four| four == b"PK\x03\x04");
            found = mark.and_then(|mark| start.checked_add(u64::try_from(mark).ok()?));
            let len = u64::try_from(read.len()).unwrap_or(u64::MAX);
            let end = start.saturating_add(len);
            let split = read.iter().rev().take(3).any(|byte| *byte == b'P');
            if found.is_none() && split && end < range.end && len > 3 {
                next = end.saturating_sub(3);
                return false;
            }
            found.is_none()
        })
        .ok()?;
        at = next;
    }
    found
}
