//! Zip archives, as loaders read them: without minding checksums, flags, or what a second header
//! says about the same member.
//!
//! A member has two headers: the local one before its bytes, and one in the directory at the end.
//! Loaders differ in which they believe, so both are read, members that only one of them knows are
//! looked at too, and each difference is a finding. (APPNOTE.TXT 6.3.10, sections 4.3 and 4.4.)

mod directory;

use std::collections::{BTreeMap, BTreeSet};

use crate::route::Head;
use crate::rules;
use crate::source::{Part, ReadAt, read_full};
use crate::tensors::torch::Torch;
use crate::unpack;
use crate::work::{Input, Limited, Look};

use directory::{Central, Local};

/// Largest gap between members that is searched for more of them.
const SEARCHED: u64 = 256 << 20;

/// Returns true if it begins with a member, or ends with a directory.
pub(crate) fn recognises(head: &Head, input: &Input<'_>) -> bool {
    head.starts_with(b"PK\x03\x04")
        || head.starts_with(b"PK\x05\x06")
        || head.starts_with(b"PK\x07\x08PK\x03\x04")
        || directory::end(input.bytes).is_some()
}

/// Returns true if it ends with a directory that can be read.
pub(crate) fn has_directory(input: &Input<'_>) -> bool {
    directory::end(input.bytes).is_some_and(|end| {
        let (entries, whole) = directory::entries(input.bytes, &end);
        whole && !entries.is_empty()
    })
}

/// A member, by what its headers say.
struct Member {
    central: Option<Central>,
    local: Option<Local>,
}

/// Looks at an archive and its members.
pub(crate) fn examine(look: &mut Look<'_, '_, '_>) {
    let mut archive = Archive {
        look,
        taken: BTreeMap::new(),
        torch: None,
    };
    // The outcome of a limit is noted where it fired.
    let _ = archive.members();
}

struct Archive<'l, 'i, 'w, 's> {
    look: &'l mut Look<'i, 'w, 's>,
    // Bytes that belong to a member: where they begin, where they end, and whose they are.
    taken: BTreeMap<u64, (u64, String)>,
    torch: Option<Torch>,
}

impl Archive<'_, '_, '_, '_> {
    fn members(&mut self) -> Result<(), Limited> {
        let bytes = self.look.input.bytes;
        let (mut members, prefix) = self.directory();
        let names: Vec<&str> = members
            .iter()
            .map(|central| central.name.as_str())
            .collect();
        self.torch = Torch::of(&names);
        // Pickles first: what they say about the other members of a torch archive is checked then.
        members.sort_by_key(|central| (!Torch::is_pickle(&central.name), central.offset));
        let mut names = BTreeSet::new();
        for central in members {
            self.look.work.tick(&self.look.input.path)?;
            if !names.insert(central.name.clone()) {
                let message = format!("two members are called `{}`", central.name);
                self.look
                    .see(&rules::archive::ZIP_DUPLICATE, central.offset, message);
            }
            let local = Local::read(bytes, central.offset.saturating_add(prefix));
            let member = Member {
                central: Some(central),
                local,
            };
            self.member(&member)?;
        }
        if let Some(torch) = self.torch.take() {
            torch.finish(self.look);
        }
        self.hidden()
    }

    // What the directory says, and how many bytes stand before the archive.
    fn directory(&mut self) -> (Vec<Central>, u64) {
        let bytes = self.look.input.bytes;
        let Some(end) = directory::end(bytes) else {
            self.look.broken(
                &rules::archive::ZIP_BROKEN,
                None,
                "there is no directory at the end",
            );
            return (Vec::new(), 0);
        };
        self.look.covered.parsed(end.range.clone());
        self.look.covered.parsed(end.directory.clone());
        let (entries, whole) = directory::entries(bytes, &end);
        if !whole {
            self.look.broken(
                &rules::archive::ZIP_BROKEN,
                None,
                "the directory breaks off",
            );
        }
        (entries, end.prefix)
    }

    // Members that the directory does not name, between those that it does.
    fn hidden(&mut self) -> Result<(), Limited> {
        for (start, end) in self.gaps() {
            let mut at = start;
            while let Some(found) = find_local(self.look.input.bytes, at, end) {
                let Some(local) = Local::read(self.look.input.bytes, found) else {
                    at = found.saturating_add(4);
                    continue;
                };
                let message = format!(
                    "`{}` lies in the archive, and its directory says nothing of it",
                    local.name
                );
                self.look
                    .see(&rules::archive::ZIP_HIDDEN, Some(found), message);
                at = local
                    .data
                    .saturating_add(local.packed.unwrap_or(0))
                    .max(found.saturating_add(30));
                let member = Member {
                    central: None,
                    local: Some(local),
                };
                self.member(&member)?;
            }
        }
        Ok(())
    }

    fn gaps(&self) -> Vec<(u64, u64)> {
        let mut gaps = Vec::new();
        let mut at = 0;
        for (start, (end, _)) in &self.taken {
            if *start > at {
                gaps.push((at, *start));
            }
            at = at.max(*end);
        }
        let size = self.look.input.bytes.len();
        if size > at {
            gaps.push((at, size.min(at.saturating_add(SEARCHED))));
        }
        gaps
    }

    fn member(&mut self, member: &Member) -> Result<(), Limited> {
        let Some(local) = &member.local else {
            if let Some(central) = &member.central {
                let message = format!(
                    "`{}` is in the directory, and not in the archive",
                    central.name
                );
                self.look.see(
                    &rules::archive::ZIP_BROKEN,
                    Some(central.offset),
                    message.clone(),
                );
                self.look.gap(message);
            }
            return Ok(());
        };
        self.compare(member, local);
        let name = member
            .central
            .as_ref()
            .map_or(&local.name, |central| &central.name);
        self.name(name, member, local);
        let packed = match (&member.central, local.packed) {
            (Some(central), _) => central.packed,
            (None, Some(packed)) => packed,
            (None, None) => self.look.input.bytes.len().saturating_sub(local.data),
        };
        let end = local.data.saturating_add(packed);
        self.look.covered.parsed(local.start..local.data);
        if end > self.look.input.bytes.len() {
            let message = format!("`{name}` ends behind the end of the archive");
            self.look.see(
                &rules::archive::ZIP_BROKEN,
                Some(local.start),
                message.clone(),
            );
            self.look.gap(message);
        }
        self.overlap(local.start, end, name);
        if local.is_folder() && packed == 0 {
            return Ok(());
        }
        self.content(member, local, (name, local.data..end))
    }

    fn content(
        &mut self,
        member: &Member,
        local: &Local,
        (name, range): (&str, std::ops::Range<u64>),
    ) -> Result<(), Limited> {
        let part = Part::new(self.look.input.bytes, range.clone());
        let path = format!("{}!{name}", self.look.input.path);
        // What a flag says about encryption is no reason not to look: loaders mind it less.
        let method = member
            .central
            .as_ref()
            .map_or(local.method, |central| central.method);
        let methods: BTreeSet<u16> = [method, local.method].into_iter().collect();
        for method in methods {
            match method {
                0 => {
                    let is_storage = match &mut self.torch {
                        Some(torch) => torch.storage(self.look, name, part.len()),
                        None => false,
                    };
                    if is_storage {
                        self.look.work.opaque_member(self.look.input, name, &part)?;
                        self.look.covered.opaque(range.clone());
                    } else {
                        self.look.member(name, &part)?;
                        self.look.covered.parsed(range.clone());
                    }
                }
                8 => {
                    let open = |packed| Ok(flate2::read::DeflateDecoder::new(packed));
                    let outcome = unpack::unpack(&path, &part, open, self.look.work)?;
                    if let Some(why) = outcome.broken {
                        let message = format!("`{name}` cannot be unpacked to its end: {why}");
                        self.look.see(
                            &rules::archive::ZIP_BROKEN,
                            Some(local.start),
                            message.clone(),
                        );
                        self.look.work.gap(&path, message);
                    }
                    self.look.member(name, &outcome.bytes)?;
                    self.look.covered.parsed(range.clone());
                    self.check_sum(member, local, (name, &outcome.bytes));
                }
                other => self.look.work.gap(
                    &path,
                    format!("it is packed by method {other}, which is not read"),
                ),
            }
        }
        if method == 0 && part.len() <= 16 << 20 {
            self.check_sum(member, local, (name, &part));
        }
        Ok(())
    }

    fn check_sum(&mut self, member: &Member, local: &Local, (name, bytes): (&str, &dyn ReadAt)) {
        let expected = member
            .central
            .as_ref()
            .map_or(local.checksum, |central| central.checksum);
        let mut hasher = crc32fast::Hasher::new();
        let mut buffer = vec![0; 64 << 10];
        let mut at = 0;
        while let Ok(count @ 1..) = read_full(bytes, at, &mut buffer) {
            hasher.update(buffer.get(..count).unwrap_or_default());
            at = at.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        }
        if hasher.finalize() != expected {
            let message = format!("the checksum of `{name}` is not that of its bytes");
            self.look
                .see(&rules::archive::ZIP_CHECKSUM, Some(local.start), message);
        }
    }

    // What the two headers say about the same member.
    fn compare(&mut self, member: &Member, local: &Local) {
        const ENCRYPTED: u16 = 1 | 1 << 6;
        const PATCHED: u16 = 1 << 5;
        const MASKED: u16 = 1 << 13;
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
        if central.method != local.method || !same_size {
            let message = format!(
                "two headers of `{}` disagree about its size or how it is packed",
                central.name
            );
            self.look
                .see(&rules::archive::ZIP_HEADERS_DIFFER, at, message);
        }
        let flags = central.flags | local.flags;
        if flags & (ENCRYPTED | PATCHED | MASKED) != 0 {
            let message = format!(
                "`{}` says that it is encrypted or a patch (flags {flags:#06x})",
                central.name
            );
            self.look.see(&rules::archive::ZIP_FLAGS, at, message);
        }
    }

    fn name(&mut self, name: &str, member: &Member, local: &Local) {
        let at = Some(local.start);
        for name in BTreeSet::from([name, local.name.as_str()]) {
            if leads_out(name) {
                let message = format!("`{name}` leads out of the folder that it is unpacked into");
                self.look.see(&rules::archive::ARCHIVE_PATH, at, message);
            }
        }
        if member.central.as_ref().is_some_and(Central::is_link) {
            let message = format!("`{name}` is a symbolic link");
            self.look.see(&rules::archive::ARCHIVE_LINK, at, message);
        }
    }

    fn overlap(&mut self, start: u64, end: u64, name: &str) {
        let before = self.taken.range(..end).next_back();
        if let Some((_, (other_end, other))) = before
            && *other_end > start
        {
            let message = format!("`{name}` and `{other}` share bytes");
            self.look
                .see(&rules::archive::ZIP_OVERLAP, Some(start), message);
        }
        let (held, _) = self.taken.entry(start).or_insert((end, name.to_owned()));
        *held = (*held).max(end);
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

fn find_local(bytes: &dyn ReadAt, from: u64, end: u64) -> Option<u64> {
    let mut buffer = vec![0; 64 << 10];
    let mut at = from;
    while at < end {
        let count = read_full(bytes, at, &mut buffer).ok()?;
        let read = buffer.get(..count)?;
        if let Some(found) = read.windows(4).position(|four| four == b"PK\x03\x04") {
            let found = at.checked_add(u64::try_from(found).ok()?)?;
            return (found < end).then_some(found);
        }
        if count < 4 {
            return None;
        }
        at = at.saturating_add(u64::try_from(count.saturating_sub(3)).ok()?);
    }
    None
}
