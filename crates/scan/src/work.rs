//! One scan of one file: its members, limits, and what was seen so far.
//!
//! Limits are shared by a file and all that lies in it, so that nesting does not multiply them. A
//! limit that ends a look is a finding and a gap: the file is never clean then.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;

use custos_core::finding::{Finding, Location, Severity};

use crate::Options;
use crate::archive::zip;
use crate::graphs::values::Named;
use crate::neighbours::{Neighbour, Neighbours};
use crate::pickle::Storage;
use crate::report::{Coverage, Gap, Recognised};
use crate::route;
use crate::rules::{self, Rule};
use crate::source::{self, Cursor, Part, ReadAt};
use crate::sums::{Expected, Sums};
use crate::supply::Knowledge;
use crate::unpack::{Place, Shelf};

/// Bounds of a scan of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "bounds that callers set by name")]
pub struct Limits {
    /// Deepest nesting of files in files.
    pub max_depth: u32,
    /// Most members, of all archives together.
    pub max_members: u64,
    /// Most bytes that are unpacked.
    pub max_unpacked: u64,
    /// Most unpacked bytes for one packed byte, after the first MiB.
    pub max_ratio: u64,
    /// Most opcodes of pickles.
    pub max_opcodes: u64,
    /// Most findings.
    pub max_findings: usize,
}

impl Default for Limits {
    /// 8 deep, 100,000 members, 64 GiB unpacked at no more than 1,100 to 1, 2 billion opcodes,
    /// 10,000 findings.
    fn default() -> Self {
        Self {
            max_depth: 8,
            max_members: 100_000,
            max_unpacked: 64 << 30,
            // Zeros are 1,032 to 1 when deflated.
            max_ratio: 1_100,
            max_opcodes: 2_000_000_000,
            max_findings: 10_000,
        }
    }
}

/// Something to look at: a file, or what lies in one.
pub(crate) struct Input<'a> {
    /// Its name, with `!` before what lies in a file.
    pub(crate) path: String,
    /// Its bytes.
    pub(crate) bytes: &'a dyn ReadAt,
}

impl Input<'_> {
    /// Returns the last part of the name.
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit(['/', '!']).next().unwrap_or_default()
    }

    /// Returns what follows the last dot of the name, in lower case.
    pub(crate) fn extension(&self) -> String {
        match self.name().rsplit_once('.') {
            Some((before, extension)) if !before.is_empty() => extension.to_ascii_lowercase(),
            _ => String::new(),
        }
    }

    /// Returns a cursor at the beginning.
    pub(crate) fn cursor(&self) -> Cursor<'_> {
        Cursor::at(self.bytes, 0)
    }
}

/// What of an input was understood.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Covered {
    parsed: Ranges,
    opaque: Ranges,
    // Not understood, as a gap of a member says already.
    told: Ranges,
}

impl Covered {
    /// Notes that a range was parsed.
    pub(crate) fn parsed(&mut self, range: Range<u64>) {
        self.parsed.add(range);
    }

    /// Notes that a range holds values whose bounds were checked.
    pub(crate) fn opaque(&mut self, range: Range<u64>) {
        self.opaque.add(range);
    }

    /// Notes that a range holds, packed or not, what was not understood and has a gap of its own.
    pub(crate) fn told(&mut self, range: Range<u64>) {
        self.told.add(range);
    }

    /// Adds what another parser understood.
    pub(crate) fn join(&mut self, other: &Self) {
        self.parsed.join(&other.parsed, 0, u64::MAX);
        self.opaque.join(&other.opaque, 0, u64::MAX);
        self.told.join(&other.told, 0, u64::MAX);
    }

    // Adds what was understood of a part: of what was not, a gap of the part tells.
    fn join_part(&mut self, part: &Self, range: Range<u64>) {
        self.parsed.join(&part.parsed, range.start, range.end);
        self.opaque.join(&part.opaque, range.start, range.end);
        self.told(range);
    }

    // How many of `size` bytes were not understood, and are not told of elsewhere.
    fn untold(&self, size: u64) -> u64 {
        let mut all = self.told.clone();
        all.join(&self.parsed, 0, u64::MAX);
        all.join(&self.opaque, 0, u64::MAX);
        size.saturating_sub(all.within(size))
    }

    /// Returns how many of `size` bytes were understood; parsed wins over opaque.
    pub(crate) fn of(&self, size: u64) -> Coverage {
        let mut both = self.opaque.clone();
        both.join(&self.parsed, 0, u64::MAX);
        let parsed = self.parsed.within(size);
        let known = both.within(size);
        Coverage {
            parsed,
            opaque: known.saturating_sub(parsed),
            unknown: size.saturating_sub(known),
        }
    }
}

/// A parser at work on an input: what it looks at, and where it puts what it sees.
pub(crate) struct Look<'i, 'w, 's> {
    /// What is looked at.
    pub(crate) input: &'i Input<'i>,
    /// The scan.
    pub(crate) work: &'w mut Work<'s>,
    /// What of the input was understood.
    pub(crate) covered: Covered,
}

impl Look<'_, '_, '_> {
    /// Notes a finding of a rule at its usual severity, at a byte of the input.
    pub(crate) fn see(
        &mut self,
        rule: &'static Rule,
        offset: impl Into<Option<u64>>,
        message: impl Into<String>,
    ) {
        let location = Location {
            offset: offset.into(),
            ..self.here()
        };
        self.work.see(rule, location, message.into());
    }

    /// Returns the place of the input as a whole, to which an offset, a line or a pointer is added.
    pub(crate) fn here(&self) -> Location {
        Location {
            path: self.input.path.clone(),
            ..Location::default()
        }
    }

    /// Notes that part of the input was not looked at, or not understood.
    pub(crate) fn gap(&mut self, reason: impl Into<String>) {
        self.work.gap(&self.input.path, reason);
    }

    /// Notes both: a finding, and that it ended the look.
    pub(crate) fn broken(
        &mut self,
        rule: &'static Rule,
        offset: impl Into<Option<u64>>,
        message: impl Into<String>,
    ) {
        let message = message.into();
        self.gap(message.clone());
        self.see(rule, offset, message);
    }

    /// Looks at something that lies in the input.
    pub(crate) fn member(&mut self, name: &str, bytes: &dyn ReadAt) -> Result<Coverage, Limited> {
        self.work.member(self.input, name, bytes)
    }

    /// Looks at a range of the input as a file of its own. What is understood of it counts for the
    /// input, and what is not is told there.
    pub(crate) fn part(&mut self, name: &str, range: Range<u64>) -> Result<Coverage, Limited> {
        let part = Part::new(self.input.bytes, range.clone());
        let covered = self.work.within(self.input, name, &part)?;
        let end = range.start.saturating_add(part.len());
        self.covered.join_part(&covered, range.start..end);
        Ok(covered.of(part.len()))
    }

    /// Looks at what was unpacked from a range of the input, which is as well understood as that.
    pub(crate) fn unpacked(
        &mut self,
        name: &str,
        bytes: &dyn ReadAt,
        range: Range<u64>,
    ) -> Result<Coverage, Limited> {
        let coverage = self.work.member(self.input, name, bytes)?;
        if coverage.unknown > 0 {
            self.covered.told(range);
        } else if coverage.parsed == 0 && coverage.opaque > 0 {
            self.covered.opaque(range);
        } else {
            self.covered.parsed(range);
        }
        Ok(coverage)
    }

    /// Looks at what follows the end of what was recognised, as at a file of its own. Zeros are
    /// padding; a zip archive at the end is looked at as part of the input anyway.
    pub(crate) fn trailing(&mut self, range: Range<u64>) -> Result<(), Limited> {
        self.trailing_by(&rules::scanning::TRAILING, range)
    }

    /// Does the same under a rule of the format.
    pub(crate) fn trailing_by(
        &mut self,
        rule: &'static Rule,
        range: Range<u64>,
    ) -> Result<(), Limited> {
        let size = self.input.bytes.len();
        let mut end = range.end.min(size);
        if end == size
            && let Some(archive) = zip::archive_at_end(self.input)
            && archive >= range.start
        {
            end = archive;
        }
        let Some(first) = source::find_other(self.input.bytes, range.start..end, 0) else {
            self.covered.parsed(range.start..end);
            return Ok(());
        };
        let message = format!(
            "{} bytes follow the end of the content",
            end.saturating_sub(first)
        );
        self.see(rule, first, message);
        self.covered.parsed(range.start..first);
        self.part("trailing", first..end)?;
        Ok(())
    }
}

/// Ranges in order, none touching another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Ranges(Vec<Range<u64>>);

impl Ranges {
    fn add(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let from = self.0.partition_point(|one| one.end < range.start);
        let to = self.0.partition_point(|one| one.start <= range.end);
        let touched = self.0.get(from..to).unwrap_or_default();
        let start = touched
            .first()
            .map_or(range.start, |one| one.start.min(range.start));
        let end = touched
            .last()
            .map_or(range.end, |one| one.end.max(range.end));
        self.0
            .splice(from..to.max(from), std::iter::once(start..end));
    }

    // Adds others, moved to `start` and cut at `end`.
    fn join(&mut self, others: &Self, start: u64, end: u64) {
        const FEW: usize = 16;
        let shifted = others.0.iter().filter_map(|range| {
            let from = range.start.saturating_add(start);
            let to = range.end.saturating_add(start).min(end);
            (from < to).then_some(from..to)
        });
        if others.0.len() <= FEW {
            return shifted.for_each(|range| self.add(range));
        }
        // Many are merged at once: each by itself would move all that come after it.
        let mut all = std::mem::take(&mut self.0);
        all.extend(shifted);
        all.sort_by_key(|range| range.start);
        for range in all {
            match self.0.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => self.0.push(range),
            }
        }
    }

    fn within(&self, size: u64) -> u64 {
        self.0
            .iter()
            .map(|range| range.end.min(size).saturating_sub(range.start))
            .fold(0, u64::saturating_add)
    }
}

/// A scan at work.
pub(crate) struct Work<'a> {
    shelf: &'a dyn Shelf,
    limits: Limits,
    stop: &'a dyn Fn() -> bool,
    neighbours: Option<&'a dyn Neighbours>,
    knowledge: Option<&'a Knowledge>,
    depth: u32,
    members: u64,
    unpacked: u64,
    looked: u64,
    // Of the file as a whole.
    size: u64,
    opcodes: u64,
    streams: u64,
    findings: Vec<Finding>,
    gaps: BTreeSet<Gap>,
    formats: BTreeSet<Recognised>,
    storages: BTreeMap<String, Vec<Storage>>,
    named: Named,
    sums: Sums,
    told: BTreeMap<String, u32>,
}

/// A limit ended the look at something; it is noted already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limited;

impl<'a> Work<'a> {
    pub(crate) fn new(options: &Options<'a>) -> Self {
        Self {
            shelf: options.shelf,
            limits: options.limits,
            stop: options.stop,
            neighbours: options.neighbours,
            knowledge: options.knowledge,
            depth: 0,
            members: 0,
            unpacked: 0,
            looked: 0,
            size: 0,
            opcodes: 0,
            streams: 0,
            findings: Vec::new(),
            gaps: BTreeSet::new(),
            formats: BTreeSet::new(),
            storages: BTreeMap::new(),
            named: Named::default(),
            sums: Sums::default(),
            told: BTreeMap::new(),
        }
    }

    /// Returns what was seen: formats, gaps and findings, the worst first.
    pub(crate) fn into_parts(mut self) -> (Vec<Recognised>, Vec<Gap>, Vec<Finding>) {
        self.findings.sort_by(|a, b| {
            (b.severity, &a.location, &a.rule).cmp(&(a.severity, &b.location, &b.rule))
        });
        (
            self.formats.into_iter().collect(),
            self.gaps.into_iter().collect(),
            self.findings,
        )
    }

    /// Notes a finding.
    pub(crate) fn find(&mut self, finding: Finding) {
        if self.findings.len() < self.limits.max_findings {
            self.findings.push(finding);
        } else {
            let path = finding.location.path;
            self.gap(&path, "more findings than are kept");
        }
    }

    /// Notes a finding of a rule at its usual severity.
    pub(crate) fn see(&mut self, rule: &'static Rule, location: Location, message: String) {
        self.find(rule.finding(location, message));
    }

    /// Returns true for the first few members of an archive of which the same is to be told: a
    /// hundred say no more than ten.
    pub(crate) fn tells(&mut self, what: &str, path: &str) -> bool {
        const FEW: u32 = 10;
        let Some((archive, _)) = path.rsplit_once('!') else {
            return true;
        };
        let told = self.told.entry(format!("{what} {archive}")).or_default();
        *told = told.saturating_add(1);
        *told <= FEW
    }

    /// Notes that part of something was not looked at.
    pub(crate) fn gap(&mut self, path: &str, reason: impl Into<String>) {
        self.gaps.insert(Gap {
            path: path.to_owned(),
            reason: reason.into(),
        });
    }

    /// Notes that a limit ended the look at something.
    pub(crate) fn limit(&mut self, path: &str, what: &str) -> Limited {
        let message = format!("the limit of {what} ended the look into it");
        let location = Location {
            path: path.to_owned(),
            ..Location::default()
        };
        self.see(&rules::scanning::LIMIT, location, message.clone());
        self.gap(path, message);
        Limited
    }

    /// Notes what something is.
    pub(crate) fn recognise(&mut self, path: &str, format: &str) {
        self.formats.insert(Recognised {
            path: path.to_owned(),
            format: format.to_owned(),
        });
    }

    /// Counts bytes that were unpacked from `packed` bytes of one stream, `total` of it so far.
    pub(crate) fn unpack(
        &mut self,
        path: &str,
        count: u64,
        (total, packed): (u64, u64),
    ) -> Result<(), Limited> {
        const FREE: u64 = 1 << 20;
        self.unpacked = self.unpacked.saturating_add(count);
        if self.unpacked > self.limits.max_unpacked {
            return Err(self.limit(path, "unpacked bytes"));
        }
        // The streams of a file together have no more than each of them, so that what unpacks to
        // itself, or shares bytes with itself, does not go on for long.
        let ratio = self.limits.max_ratio;
        let all = self.size.saturating_mul(ratio).saturating_add(FREE << 6);
        if self.unpacked > all || total > FREE && total > packed.saturating_mul(ratio) {
            return Err(self.limit(path, "unpacked bytes for each packed one"));
        }
        self.tick(path)
    }

    /// Counts a packed stream of several in a row. To begin one takes long beside a short one:
    /// there may be a few thousand, and more in a large file.
    pub(crate) fn count_stream(&mut self, path: &str) -> Result<(), Limited> {
        const FEW: u64 = 4 << 10;
        const SHORT: u64 = 256;
        self.streams = self.streams.saturating_add(1);
        let more = self.size.checked_div(SHORT).unwrap_or(0);
        if self.streams > more.saturating_add(FEW) {
            return Err(self.limit(path, "packed streams in a row"));
        }
        Ok(())
    }

    /// Returns room for more than fits into memory.
    pub(crate) fn place(&self) -> io::Result<Box<dyn Place>> {
        self.shelf.place()
    }

    /// Returns what is beside the scanned file under a name; `None` if that cannot be known, as it
    /// is for what lies in an archive.
    pub(crate) fn neighbour(&self, name: &str) -> Option<Neighbour> {
        let beside = self.neighbours.filter(|_| self.depth == 0)?;
        Some(beside.find(name))
    }

    /// Returns what lies beside the scanned file, as long as it is that which is looked at.
    pub(crate) fn neighbours(&self) -> Option<&'a dyn Neighbours> {
        self.neighbours.filter(|_| self.depth == 0)
    }

    /// Returns what graphs say about values in other files.
    pub(crate) const fn named(&mut self) -> &mut Named {
        &mut self.named
    }

    /// Returns the bounds.
    pub(crate) const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Returns what says whether the look is to end.
    pub(crate) const fn stop(&self) -> &'a dyn Fn() -> bool {
        self.stop
    }

    /// Returns what is known about dependencies.
    pub(crate) const fn knowledge(&self) -> Option<&'a Knowledge> {
        self.knowledge
    }

    /// Returns how many opcodes may still be read.
    pub(crate) const fn opcodes_left(&self) -> u64 {
        self.limits.max_opcodes.saturating_sub(self.opcodes)
    }

    /// Counts opcodes that were read.
    pub(crate) const fn count_opcodes(&mut self, count: u64) {
        self.opcodes = self.opcodes.saturating_add(count);
    }

    /// Fails when whoever asked for the scan wants it to end.
    pub(crate) fn tick(&mut self, path: &str) -> Result<(), Limited> {
        if (self.stop)() {
            return Err(self.limit(path, "time"));
        }
        Ok(())
    }

    /// Looks at something that lies in `parent`.
    pub(crate) fn member(
        &mut self,
        parent: &Input<'_>,
        name: &str,
        bytes: &dyn ReadAt,
    ) -> Result<Coverage, Limited> {
        let covered = self.within(parent, name, bytes)?;
        Ok(covered.of(bytes.len()))
    }

    // Looks at something that lies in `parent`, and returns what was understood of it.
    fn within(
        &mut self,
        parent: &Input<'_>,
        name: &str,
        bytes: &dyn ReadAt,
    ) -> Result<Covered, Limited> {
        let path = format!("{}!{name}", parent.path);
        self.members = self.members.saturating_add(1);
        if self.members > self.limits.max_members {
            return Err(self.limit(&parent.path, "members"));
        }
        if self.depth >= self.limits.max_depth {
            self.limit(&path, "depth");
            return Ok(Covered::default());
        }
        self.tick(&path)?;
        // Members that share their bytes are not looked at without end.
        self.looked = self.looked.saturating_add(bytes.len());
        let there = self.size.saturating_add(self.unpacked);
        if self.looked > there.saturating_add(1 << 20).saturating_mul(16) {
            return Err(self.limit(&path, "bytes that members share"));
        }
        self.depth = self.depth.saturating_add(1);
        let covered = self.examine(&Input { path, bytes });
        self.depth = self.depth.saturating_sub(1);
        Ok(covered)
    }

    /// Looks at something in `parent` whose bytes are values: tensors. It is a finding, and looked at
    /// like any other, if it is something else beyond doubt.
    pub(crate) fn opaque_member(
        &mut self,
        parent: &Input<'_>,
        name: &str,
        bytes: &dyn ReadAt,
    ) -> Result<(), Limited> {
        let input = Input {
            path: format!("{}!{name}", parent.path),
            bytes,
        };
        if route::is_surely_something(&input) {
            self.member(parent, name, bytes)?;
        }
        Ok(())
    }

    /// Does something whose findings are no worse than this.
    pub(crate) fn at_most(&mut self, worst: Severity, with: impl FnOnce(&mut Self)) {
        let before = self.findings.len();
        with(self);
        for finding in self.findings.iter_mut().skip(before) {
            finding.severity = finding.severity.min(worst);
        }
    }

    /// Remembers which storages a pickle refers to.
    pub(crate) fn refer(&mut self, pickle: &str, storages: Vec<Storage>) {
        if !storages.is_empty() {
            self.storages.insert(pickle.to_owned(), storages);
        }
    }

    /// Returns which storages a pickle referred to.
    pub(crate) fn referred(&mut self, pickle: &str) -> Vec<Storage> {
        self.storages.remove(pickle).unwrap_or_default()
    }

    /// Looks at an input by every parser that it may be for, and returns what was understood.
    pub(crate) fn look(&mut self, input: &Input<'_>) -> Coverage {
        self.examine(input).of(input.bytes.len())
    }

    fn examine(&mut self, input: &Input<'_>) -> Covered {
        let size = input.bytes.len();
        if self.depth == 0 {
            self.size = size;
        }
        let covered = route::examine(input, self);
        let unknown = covered.untold(size);
        if unknown > 0 {
            let reason = format!("{unknown} of {size} bytes were not understood");
            self.gap(&input.path, reason);
        }
        covered
    }

    /// Has the checksum (CRC-32) of bytes compared: in the pass that hashes the file, if they are a
    /// piece of it, and now if they were unpacked.
    pub(crate) fn check_sum(&mut self, bytes: &dyn ReadAt, expected: Expected) {
        let Some(start) = bytes.origin() else {
            if source::crc32(bytes).is_ok_and(|sum| sum != expected.sum) {
                self.see_sum(&expected);
            }
            return;
        };
        let end = start.saturating_add(bytes.len());
        if start == end && expected.sum != 0 {
            self.see_sum(&expected);
        }
        self.sums.add(self.depth, start..end, expected);
    }

    /// Takes the checksums that the pass over the file is to compare.
    pub(crate) fn take_sums(&mut self) -> Sums {
        std::mem::take(&mut self.sums)
    }

    /// Notes a checksum that was not that of its bytes.
    pub(crate) fn see_sum(&mut self, expected: &Expected) {
        let location = Location {
            path: expected.path.to_string(),
            offset: Some(expected.offset),
            ..Location::default()
        };
        let message = format!(
            "the checksum of `{}` is not that of its bytes",
            expected.name
        );
        self.see(&rules::archive::ZIP_CHECKSUM, location, message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coverage_counts_each_byte_once() {
        let mut covered = Covered::default();
        covered.parsed(0..10);
        covered.parsed(5..12);
        covered.opaque(10..30);
        covered.opaque(40..45);
        covered.parsed(30..31);
        covered.parsed(7..7);
        assert_eq!(
            covered.of(50),
            Coverage {
                parsed: 13,
                opaque: 23,
                unknown: 14
            }
        );
        assert_eq!(covered.of(11).unknown, 0);
        let mut other = Covered::default();
        other.parsed(31..100);
        covered.join(&other);
        assert_eq!(covered.of(50).unknown, 0);
    }

    #[test]
    fn ranges_join_their_neighbours() {
        let mut ranges = Ranges::default();
        for range in [10..20, 30..40, 0..5, 20..30, 4..9, 50..60] {
            ranges.add(range);
        }
        assert_eq!(ranges.0, [0..9, 10..40, 50..60]);
        let mut many = Ranges::default();
        let mut one_by_one = ranges.clone();
        for start in (1..200).step_by(6) {
            many.add(start..start + 3);
            one_by_one.add(start + 2..(start + 5).min(150));
        }
        let mut joined = ranges.clone();
        joined.join(&many, 2, 150);
        one_by_one.0.retain(|range| !range.is_empty());
        assert_eq!(joined, one_by_one);
        ranges.add(2..100);
        assert_eq!(ranges.0.as_slice(), std::slice::from_ref(&(0..100)));
    }
}
