//! One scan of one file: its members, limits, and what was seen so far.
//!
//! Limits are shared by a file and all that lies in it, so that nesting does not multiply them. A
//! limit that ends a look is a finding and a gap: the file is never clean then.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;

use custos_core::finding::{Finding, Location};

use crate::Options;
use crate::neighbours::{Neighbour, Neighbours};
use crate::pickle::Storage;
use crate::report::{Coverage, Gap, Recognised};
use crate::route;
use crate::rules::{self, Rule};
use crate::source::{Cursor, ReadAt};
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
    /// 8 deep, 100,000 members, 64 GiB unpacked at no more than 1,000 to 1, 2 billion opcodes,
    /// 10,000 findings.
    fn default() -> Self {
        Self {
            max_depth: 8,
            max_members: 100_000,
            max_unpacked: 64 << 30,
            max_ratio: 1_000,
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

    /// Adds what another parser understood.
    pub(crate) fn join(&mut self, other: &Self) {
        for range in &other.parsed.0 {
            self.parsed.add(range.clone());
        }
        for range in &other.opaque.0 {
            self.opaque.add(range.clone());
        }
    }

    /// Returns how many of `size` bytes were understood; parsed wins over opaque.
    pub(crate) fn of(&self, size: u64) -> Coverage {
        let mut both = self.opaque.clone();
        for range in &self.parsed.0 {
            both.add(range.clone());
        }
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
    opcodes: u64,
    findings: Vec<Finding>,
    gaps: BTreeSet<Gap>,
    formats: BTreeSet<Recognised>,
    storages: BTreeMap<String, Vec<Storage>>,
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
            opcodes: 0,
            findings: Vec::new(),
            gaps: BTreeSet::new(),
            formats: BTreeSet::new(),
            storages: BTreeMap::new(),
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
        if total > FREE && total > packed.saturating_mul(self.limits.max_ratio) {
            return Err(self.limit(path, "unpacked bytes for each packed one"));
        }
        self.tick(path)
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
        let path = format!("{}!{name}", parent.path);
        self.members = self.members.saturating_add(1);
        if self.members > self.limits.max_members {
            return Err(self.limit(&parent.path, "members"));
        }
        if self.depth >= self.limits.max_depth {
            self.limit(&path, "depth");
            return Ok(Coverage {
                unknown: bytes.len(),
                ..Coverage::default()
            });
        }
        self.tick(&path)?;
        self.depth = self.depth.saturating_add(1);
        let coverage = self.look(&Input { path, bytes });
        self.depth = self.depth.saturating_sub(1);
        Ok(coverage)
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
        let size = input.bytes.len();
        let covered = route::examine(input, self);
        let coverage = covered.of(size);
        if coverage.unknown > 0 {
            let reason = format!("{} of {size} bytes were not understood", coverage.unknown);
            self.gap(&input.path, reason);
        }
        coverage
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
        ranges.add(2..100);
        assert_eq!(ranges.0.as_slice(), std::slice::from_ref(&(0..100)));
    }
}
