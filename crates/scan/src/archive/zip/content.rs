//! What members of a zip archive hold.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::archive::packed::Packing;
use crate::report::Coverage;
use crate::rules;
use crate::source::{Part, ReadAt, read_all};
use crate::sums::Expected;
use crate::unpack;
use crate::work::Limited;

use super::directory::Central;
use super::{Archive, Member, link_leads_out};

const ENCRYPTED: u16 = 1 | 1 << 6;
const PATCHED: u16 = 1 << 5;
const MASKED: u16 = 1 << 13;

/// Longest target of a link.
const MAX_TARGET: u64 = 4 << 10;

impl Member {
    fn flags(&self) -> u16 {
        let listed = self.central.as_ref().map_or(0, |central| central.flags);
        listed | self.local.flags
    }

    /// Returns true if flags say that it cannot be read as it is.
    pub(super) fn is_flagged(&self) -> bool {
        self.flags() & (ENCRYPTED | PATCHED | MASKED) != 0
    }

    fn unpacked(&self) -> Option<u64> {
        let listed = self.central.as_ref().map(|central| central.unpacked);
        listed.or(self.local.unpacked)
    }

    // The checksum is unknown if it follows the bytes and the directory does not repeat it.
    fn checksum(&self) -> Option<u32> {
        match &self.central {
            Some(central) => Some(central.checksum),
            None => (!self.local.has_descriptor()).then_some(self.local.checksum),
        }
    }

    // Both headers' word on how it is packed.
    fn methods(&self) -> BTreeSet<u16> {
        let listed = self.central.as_ref().map(|central| central.method);
        listed.into_iter().chain([self.local.method]).collect()
    }
}

// How far a member was read.
#[derive(Default)]
struct Seen {
    // It is something.
    readable: bool,
    // Where its bytes really end.
    end: Option<u64>,
}

impl Seen {
    const fn of(coverage: Coverage) -> Self {
        Self {
            readable: coverage.unknown == 0 || coverage.parsed > 0,
            end: None,
        }
    }
}

impl Archive<'_, '_, '_, '_> {
    /// Looks at the bytes of a member. Returns where they end if that was not known before.
    pub(super) fn contents(
        &mut self,
        member: &Member,
        range: Range<u64>,
        sized: bool,
    ) -> Result<Option<u64>, Limited> {
        if member.local.is_folder() && range.is_empty() {
            return Ok(None);
        }
        let is_link = member.central.as_ref().is_some_and(Central::is_link);
        if is_link && self.link(member, range.clone()) {
            return Ok(None);
        }
        let mut seen = Seen::default();
        // What a flag says about encryption is no reason not to look: loaders mind it less.
        for method in member.methods() {
            let one = match method {
                0 => self.stored(member, range.clone())?,
                _ => self.packed(member, method, (range.clone(), sized))?,
            };
            seen.readable |= one.readable;
            seen.end = seen.end.or(one.end);
        }
        self.other_size(member, &range)?;
        self.flags(member, seen.readable);
        Ok(seen.end.filter(|_| !sized))
    }

    fn stored(&mut self, member: &Member, range: Range<u64>) -> Result<Seen, Limited> {
        let part = Part::new(self.look.input.bytes, range.clone());
        let name = member.name();
        let is_storage = match &mut self.torch {
            Some(torch) => torch.storage(self.look, name, part.len()),
            None => false,
        };
        let seen = if is_storage {
            self.look.work.opaque_member(self.look.input, name, &part)?;
            self.look.covered.opaque(range);
            Seen {
                readable: true,
                end: None,
            }
        } else {
            Seen::of(self.look.part(name, range)?)
        };
        if seen.readable || !member.is_flagged() {
            self.check_sum(member, &part);
        }
        Ok(seen)
    }

    fn packed(
        &mut self,
        member: &Member,
        method: u16,
        (range, sized): (Range<u64>, bool),
    ) -> Result<Seen, Limited> {
        let name = member.name();
        let path = format!("{}!{name}", self.path);
        let part = Part::new(self.look.input.bytes, range.clone());
        let size = member.unpacked().filter(|_| member.flags() & 1 << 1 == 0);
        let Some(packing) = Packing::of_zip(method, size) else {
            let reason = format!("it is packed by method {method}, which is not read");
            self.look.work.gap(&path, reason);
            self.look.covered.told(range);
            return Ok(Seen::default());
        };
        let open = |packed| packing.open(packed);
        let outcome = unpack::unpack(&path, &part, open, self.look.work)?;
        let end = range.start.saturating_add(outcome.read).min(range.end);
        if let Some(why) = outcome.broken {
            let message = format!("`{name}` cannot be unpacked to its end: {why}");
            self.look.work.gap(&path, message.clone());
            self.look.covered.told(range);
            if member.is_flagged() {
                return Ok(Seen::default());
            }
            let at = Some(member.local.start);
            self.look.see(&rules::archive::ZIP_BROKEN, at, message);
            self.look.member(name, &outcome.bytes)?;
            return Ok(Seen::default());
        }
        let coverage = self.unpacked(name, &outcome.bytes, range.start..end)?;
        if sized && end < range.end {
            self.stray(end..range.end)?;
        }
        self.size(member, outcome.bytes.len());
        self.check_sum(member, &outcome.bytes);
        Ok(Seen {
            end: Some(end),
            ..Seen::of(coverage)
        })
    }

    fn unpacked(
        &mut self,
        name: &str,
        bytes: &dyn ReadAt,
        range: Range<u64>,
    ) -> Result<Coverage, Limited> {
        // Loaders of torch archives take packed storages as well.
        let is_storage = match &mut self.torch {
            Some(torch) => torch.storage(self.look, name, bytes.len()),
            None => false,
        };
        if !is_storage {
            return self.look.unpacked(name, bytes, range);
        }
        self.look.work.opaque_member(self.look.input, name, bytes)?;
        self.look.covered.opaque(range);
        Ok(Coverage {
            opaque: bytes.len(),
            ..Coverage::default()
        })
    }

    // A local header may give stored bytes another size than the directory does.
    fn other_size(&mut self, member: &Member, range: &Range<u64>) -> Result<(), Limited> {
        let local = &member.local;
        let Some(packed) = local.packed.filter(|_| member.central.is_some()) else {
            return Ok(());
        };
        let end = local.data.saturating_add(packed);
        if end != range.end && local.method == 0 {
            self.look.part(&local.name, local.data..end)?;
        }
        Ok(())
    }

    fn size(&mut self, member: &Member, size: u64) {
        // Thirty-two bits are all that there are without zip64.
        let said = member.unpacked();
        if let Some(said) = said.filter(|said| *said != size && *said != size & 0xffff_ffff) {
            let message = format!(
                "`{}` unpacks to {size} bytes, and its header says {said}",
                member.name()
            );
            let at = Some(member.local.start);
            self.look
                .see(&rules::archive::ZIP_HEADERS_DIFFER, at, message);
        }
    }

    fn check_sum(&mut self, member: &Member, bytes: &dyn ReadAt) {
        if let Some(wheel) = &mut self.wheel {
            wheel.member(member.name(), bytes);
        }
        // What is cut off has another checksum, and was told.
        let cut = member.unpacked().is_some_and(|size| bytes.len() < size);
        if let Some(sum) = member.checksum().filter(|_| !cut) {
            let expected = Expected {
                sum,
                path: self.path.clone(),
                name: member.name().to_owned(),
                offset: member.local.start,
            };
            self.look.work.check_sum(bytes, expected);
        }
    }

    fn flags(&mut self, member: &Member, readable: bool) {
        if !member.is_flagged() {
            return;
        }
        let (name, flags) = (member.name(), member.flags());
        let at = Some(member.local.start);
        if readable {
            let message = format!(
                "`{name}` says that it is encrypted or a patch (flags {flags:#06x}), and is not"
            );
            self.look.see(&rules::archive::ZIP_FLAGS, at, message);
        } else {
            let message = format!("`{name}` is encrypted or a patch, and was not read");
            self.look
                .broken(&rules::archive::ARCHIVE_ENCRYPTED, at, message);
        }
    }

    // Returns true if all that the member holds is where the link leads.
    fn link(&mut self, member: &Member, range: Range<u64>) -> bool {
        let name = member.name();
        let at = Some(member.local.start);
        let part = Part::new(self.look.input.bytes, range.clone());
        let target = (part.len() <= MAX_TARGET && member.local.method == 0)
            .then(|| read_all(&part).ok())
            .flatten()
            .and_then(|target| String::from_utf8(target).ok())
            .filter(|target| !target.contains(char::is_control));
        let Some(target) = target else {
            let message = format!("`{name}` is a symbolic link");
            self.look.see(&rules::archive::ARCHIVE_LINK, at, message);
            return false;
        };
        let rule = if link_leads_out(name, &target) {
            &rules::archive::ARCHIVE_PATH
        } else {
            &rules::archive::ARCHIVE_LINK
        };
        let message = format!("`{name}` is a symbolic link to `{target}`");
        self.look.see(rule, at, message);
        self.look.covered.parsed(range);
        self.check_sum(member, &part);
        true
    }
}
