//! Zip archives whose headers lie, and their honest twins.

mod blosc;
pub mod packed;
mod programs;
mod shards;
pub mod tar;

use custos_core::finding::Severity;
use custos_scan::{FileReport, State};
use proptest::prelude::*;

use crate::pickle::{Assembler, look};

/// A member, with everything that its headers say.
#[derive(Clone)]
pub struct Member {
    pub name: String,
    pub local_name: String,
    pub bytes: Vec<u8>,
    pub checksum: u32,
    pub flags: u16,
    pub local_flags: u16,
    pub method: u16,
    pub listed: bool,
    pub attributes: u32,
}

impl Member {
    pub fn new(name: &str, bytes: &[u8]) -> Self {
        Self {
            name: name.to_owned(),
            local_name: name.to_owned(),
            bytes: bytes.to_vec(),
            checksum: crc32fast::hash(bytes),
            flags: 0,
            local_flags: 0,
            method: 0,
            listed: true,
            attributes: 0,
        }
    }
}

fn header(member: &Member, local: bool) -> Vec<u8> {
    let (flags, name) = if local {
        (member.local_flags, &member.local_name)
    } else {
        (member.flags, &member.name)
    };
    let size = u32::try_from(member.bytes.len()).unwrap();
    let mut out = Vec::new();
    out.extend(20_u16.to_le_bytes());
    out.extend(flags.to_le_bytes());
    out.extend(member.method.to_le_bytes());
    out.extend([0; 4]);
    out.extend(member.checksum.to_le_bytes());
    out.extend(size.to_le_bytes());
    out.extend(size.to_le_bytes());
    out.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
    out.extend(0_u16.to_le_bytes());
    out
}

/// Writes an archive as its members say, and nothing else.
pub fn archive(members: &[Member]) -> Vec<u8> {
    let (mut out, mut directory, mut count) = (Vec::new(), Vec::new(), 0_u16);
    for member in members {
        let offset = u32::try_from(out.len()).unwrap();
        out.extend(b"PK\x03\x04");
        out.extend(header(member, true));
        out.extend(member.local_name.as_bytes());
        out.extend(&member.bytes);
        if !member.listed {
            continue;
        }
        count += 1;
        directory.extend(b"PK\x01\x02");
        directory.extend((3_u16 << 8 | 0x14).to_le_bytes());
        directory.extend(header(member, false));
        directory.extend([0; 6]);
        directory.extend(member.attributes.to_le_bytes());
        directory.extend(offset.to_le_bytes());
        directory.extend(member.name.as_bytes());
    }
    let start = u32::try_from(out.len()).unwrap();
    let size = u32::try_from(directory.len()).unwrap();
    out.extend(directory);
    out.extend(b"PK\x05\x06");
    out.extend([0; 4]);
    out.extend(count.to_le_bytes());
    out.extend(count.to_le_bytes());
    out.extend(size.to_le_bytes());
    out.extend(start.to_le_bytes());
    out.extend([0; 2]);
    out
}

fn payload() -> Vec<u8> {
    Assembler::protocol(4).call("posix", "system", "id").stop()
}

pub fn harmless() -> Vec<u8> {
    Assembler::protocol(4)
        .raw(b"}")
        .text("a")
        .raw(b"K\x01s")
        .stop()
}

fn rules(report: &FileReport) -> Vec<&str> {
    report
        .findings
        .iter()
        .map(|finding| finding.rule.as_str())
        .collect()
}

#[test]
fn an_ordinary_archive_is_clean() {
    let report = look(&archive(&[
        Member::new("a/", b""),
        Member::new("a/x.pkl", &harmless()),
        Member::new("a/y", &harmless()),
    ]));
    assert_eq!(report.state(Severity::Info), State::Clean, "{report:#?}");
    assert_eq!(report.coverage.unknown, 0);
    assert!(
        report
            .formats
            .iter()
            .any(|one| one.path == "x!a/y" && one.format == "pickle")
    );
}

#[test]
#[allow(
    clippy::too_many_lines,
    clippy::type_complexity,
    reason = "a table of cases"
)]
fn what_hides_a_member_from_scanners_does_not_hide_it_here() {
    let twin = |change: &dyn Fn(&mut Member)| {
        let lie = |bytes: &[u8]| {
            let mut member = Member::new("m/data.pkl", bytes);
            change(&mut member);
            look(&archive(&[Member::new("m/first.pkl", &harmless()), member]))
        };
        (lie(&payload()), lie(&harmless()))
    };
    let cases: [(&str, &dyn Fn(&mut Member), Option<&str>); 9] = [
        (
            "CVE-2025-1889: an extension that no scanner opens",
            &|m| {
                m.name = "m/config.p".into();
                m.local_name.clone_from(&m.name);
            },
            None,
        ),
        (
            "CVE-2025-10155: a pickle that is called like something else",
            &|m| {
                m.name = "m/notes.txt".into();
                m.local_name.clone_from(&m.name);
            },
            None,
        ),
        (
            "CVE-2025-1944: two names",
            &|m| m.name = "m/other.pkl".into(),
            Some("zip/names-differ"),
        ),
        (
            "CVE-2025-1945: the flag of encryption",
            &|m| m.flags = 1,
            Some("zip/flags"),
        ),
        (
            "CVE-2025-1945: the flag of a patch",
            &|m| m.local_flags = 0x20,
            Some("zip/flags"),
        ),
        (
            "CVE-2025-1945: the flag of strong encryption",
            &|m| m.flags = 0x40,
            Some("zip/flags"),
        ),
        (
            "CVE-2025-10156: a wrong checksum",
            &|m| m.checksum ^= 1,
            Some("zip/checksum"),
        ),
        (
            "not in the directory",
            &|m| m.listed = false,
            Some("zip/hidden-member"),
        ),
        (
            "out of the folder",
            &|m| {
                m.name = "../../x.pkl".into();
                m.local_name.clone_from(&m.name);
            },
            Some("archive/path"),
        ),
    ];
    for (how, change, rule) in cases {
        let (bad, good) = twin(change);
        assert!(
            rules(&bad).contains(&"pickle/dangerous-call"),
            "{how}: {bad:#?}"
        );
        assert_eq!(bad.worst(), Some(Severity::Critical), "{how}");
        assert!(
            !rules(&good).contains(&"pickle/dangerous-call"),
            "{how}: {good:#?}"
        );
        match rule {
            Some(rule) => {
                assert!(rules(&bad).contains(&rule), "{how}: {bad:#?}");
                assert!(rules(&good).contains(&rule), "{how}: {good:#?}");
            }
            None => assert_eq!(
                good.state(Severity::Medium),
                State::Clean,
                "{how}: {good:#?}"
            ),
        }
    }
}

#[test]
fn archives_are_found_behind_and_before_other_bytes() {
    let inner = archive(&[Member::new("m/data.pkl", &payload())]);
    let behind = [b"#!/bin/sh\nexit 0\n".to_vec(), inner.clone()].concat();
    assert!(rules(&look(&behind)).contains(&"pickle/dangerous-call"));
    let nested = archive(&[Member::new("inner.zip", &inner)]);
    let report = look(&nested);
    let call = report
        .findings
        .iter()
        .find(|finding| finding.rule == "pickle/dangerous-call");
    assert_eq!(call.unwrap().location.path, "x!inner.zip!m/data.pkl");
    let mut twice = inner.clone();
    twice.truncate(inner.len() - 30);
    let report = look(&twice);
    assert!(
        rules(&report).contains(&"pickle/dangerous-call"),
        "{report:#?}"
    );
    assert!(rules(&report).contains(&"zip/broken"), "{report:#?}");
}

#[test]
fn links_duplicates_and_overlaps_are_told() {
    for (target, rule, state) in [
        ("/etc/passwd", "archive/path", State::Findings),
        ("../../x", "archive/path", State::Findings),
        ("../x", "archive/link", State::Clean),
        ("x", "archive/link", State::Clean),
    ] {
        let mut link = Member::new("m/link", target.as_bytes());
        link.attributes = 0xa1ff << 16;
        let report = look(&archive(&[link]));
        assert_eq!(rules(&report), [rule], "{report:#?}");
        assert_eq!(report.state(Severity::High), state, "{report:#?}");
    }
    // A loader that takes no notice of links finds a pickle there.
    let mut link = Member::new("m/link", &payload());
    link.attributes = 0xa1ff << 16;
    let report = look(&archive(&[link]));
    assert!(rules(&report).contains(&"pickle/dangerous-call"));
    let report = look(&archive(&[
        Member::new("m/x.pkl", &harmless()),
        Member::new("m/x.pkl", &payload()),
    ]));
    assert!(
        rules(&report).contains(&"zip/duplicate-name"),
        "{report:#?}"
    );
    assert!(
        rules(&report).contains(&"pickle/dangerous-call"),
        "{report:#?}"
    );
}

#[test]
fn what_real_writers_add_is_understood() {
    let inner = harmless();
    let plain = archive(&[Member::new("m/data.pkl", &inner)]);
    // Something before, with offsets that do not know of it, and with a comment behind.
    let behind_script = [b"#!/bin/sh\nexit 0\n".to_vec(), plain.clone()].concat();
    let report = look(&behind_script);
    assert_eq!(report.coverage.unknown, 0, "{report:#?}");
    assert_eq!(report.state(Severity::High), State::Clean, "{report:#?}");
    let mut commented = plain.clone();
    let at = commented.len() - 2;
    commented[at] = 5;
    commented.extend(b"hello");
    // Sizes that follow the bytes, with a mark and without, of four bytes and of eight.
    let mut cases = vec![commented, wide(&plain)];
    for (mark, is_wide) in [(true, false), (false, false), (true, true), (false, true)] {
        cases.push(described("m/data.pkl", &inner, (mark, is_wide)));
    }
    for (number, case) in cases.iter().enumerate() {
        let report = look(case);
        assert_eq!(report.coverage.unknown, 0, "{number}: {report:#?}");
        assert_eq!(
            report.state(Severity::Info),
            State::Clean,
            "{number}: {report:#?}"
        );
    }
}

#[test]
fn an_empty_member_that_is_packed_shares_no_bytes() {
    // Writers of Java pack even folders: two bytes, of which nothing comes.
    let mut member = Member::new("a/", &deflated(b""));
    assert_eq!(member.bytes.len(), 2);
    (member.method, member.checksum) = (8, 0);
    (member.flags, member.local_flags) = (8, 8);
    let mut file = archive(&[member, Member::new("m/data.pkl", &harmless())]);
    file[14..26].fill(0);
    let descriptor = [b"PK\x07\x08".as_slice(), &[0; 4], &[2, 0, 0, 0], &[0; 4]].concat();
    insert(&mut file, 34, &descriptor);
    // The directory: no unpacked bytes, and the second member lies further behind.
    let first = file
        .windows(4)
        .position(|four| four == b"PK\x01\x02")
        .unwrap();
    file[first + 24..first + 28].fill(0);
    let second = first + 46 + 2;
    file[second + 42] += 16;
    let report = look(&file);
    assert_eq!(report.state(Severity::Info), State::Clean, "{report:#?}");
    assert_eq!(report.coverage.unknown, 0);
}

// A member whose local header knows no sizes.
fn described(name: &str, bytes: &[u8], (mark, is_wide): (bool, bool)) -> Vec<u8> {
    let mut member = Member::new(name, bytes);
    member.flags = 8;
    member.local_flags = 8;
    let mut out = archive(&[member.clone()]);
    // Checksum and sizes of the local header are zero.
    out[14..26].fill(0);
    let mut after = Vec::new();
    if mark {
        after.extend(b"PK\x07\x08");
    }
    after.extend(member.checksum.to_le_bytes());
    let size = bytes.len() as u64;
    for _ in 0..2 {
        if is_wide {
            after.extend(size.to_le_bytes());
        } else {
            after.extend(u32::try_from(size).unwrap().to_le_bytes());
        }
    }
    insert(&mut out, 30 + name.len() + bytes.len(), &after);
    out
}

// Puts bytes before the directory, whose place the end record names.
fn insert(archive: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    let start = archive.len() - 6;
    let said = u32::from_le_bytes(archive[start..start + 4].try_into().unwrap());
    let moved = said + u32::try_from(bytes.len()).unwrap();
    archive[start..start + 4].copy_from_slice(&moved.to_le_bytes());
    archive.splice(at..at, bytes.iter().copied());
}

// The same archive with a zip64 end record.
fn wide(plain: &[u8]) -> Vec<u8> {
    let end = plain.len() - 22;
    let (before, record) = plain.split_at(end);
    let number = |at: usize| u64::from(u32::from_le_bytes(record[at..at + 4].try_into().unwrap()));
    let mut out = before.to_vec();
    out.extend(b"PK\x06\x06");
    out.extend(44_u64.to_le_bytes());
    out.extend([45, 0, 45, 0]);
    out.extend([0; 8]);
    out.extend(1_u64.to_le_bytes());
    out.extend(1_u64.to_le_bytes());
    out.extend(number(12).to_le_bytes());
    out.extend(number(16).to_le_bytes());
    out.extend(b"PK\x06\x07");
    out.extend([0; 4]);
    out.extend((end as u64).to_le_bytes());
    out.extend(1_u32.to_le_bytes());
    out.extend(b"PK\x05\x06");
    out.extend([0; 4]);
    out.extend([0xff; 12]);
    out.extend([0; 2]);
    out
}

#[test]
fn bytes_that_belong_to_nothing_are_looked_at() {
    let name = "m/data.pkl";
    let plain = archive(&[Member::new(name, &harmless())]);
    let at = 30 + name.len() + harmless().len();
    for (stray, state) in [(payload(), State::Findings), (harmless(), State::Clean)] {
        let mut between = plain.clone();
        insert(&mut between, at, &stray);
        let behind = [plain.clone(), stray.clone()].concat();
        for file in [between, behind] {
            let report = look(&file);
            assert!(rules(&report).contains(&"zip/stray-bytes"), "{report:#?}");
            assert_eq!(report.state(Severity::High), state, "{report:#?}");
        }
    }
    let mut padded = plain.clone();
    insert(&mut padded, at, &[0; 50]);
    assert_eq!(look(&padded).state(Severity::Info), State::Clean);
    // What is nothing known is a gap, and not a clean file.
    let report = look(&[plain, b"\xee\xfe\xef\xfb".repeat(9)].concat());
    assert_eq!(
        report.state(Severity::High),
        State::Incomplete,
        "{report:#?}"
    );
}

#[test]
fn a_second_directory_does_not_hide_members() {
    let honest = archive(&[Member::new("m/data.pkl", &harmless())]);
    for (bytes, state) in [(payload(), State::Findings), (harmless(), State::Findings)] {
        // Programs that trust the offset of the end record find the first directory, and those that
        // count backwards from it the second.
        let first = archive(&[Member::new("m/data.pkl", &bytes)]);
        let mut file = first[..first.len() - 22].to_vec();
        let second = Member::new("m/data.pkl", &harmless());
        let shown = archive(&[second]);
        file.extend(&shown[..shown.len() - 22]);
        let mut end = first[first.len() - 22..].to_vec();
        let size = u32::from_le_bytes(end[12..16].try_into().unwrap());
        assert_eq!(size, 46 + 10);
        end[10] = 1;
        file.extend(end);
        let report = look(&file);
        assert!(
            rules(&report).contains(&"zip/two-directories"),
            "{report:#?}"
        );
        assert_eq!(report.state(Severity::High), state);
        let is_bad = bytes == payload();
        assert_eq!(rules(&report).contains(&"pickle/dangerous-call"), is_bad);
        // An end record in the comment of another.
        let mut outer = first.clone();
        let at = outer.len() - 2;
        outer[at..].copy_from_slice(&u16::try_from(honest.len()).unwrap().to_le_bytes());
        outer.extend(&honest);
        let report = look(&outer);
        assert!(
            rules(&report).contains(&"zip/two-directories"),
            "{report:#?}"
        );
        assert_eq!(
            rules(&report).contains(&"pickle/dangerous-call"),
            is_bad,
            "{report:#?}"
        );
    }
}

#[test]
fn overlaps_and_archives_of_themselves_end() {
    // Fifield's bomb in its simplest form: all members are one stream of bytes.
    let kernel = deflated(&vec![0; 20 << 20]);
    let mut one = Member::new("0", &kernel);
    one.method = 8;
    let plain = archive(&[one]);
    let directory = u32::from_le_bytes(plain[plain.len() - 6..plain.len() - 2].try_into().unwrap());
    let (body, rest) = plain.split_at(directory as usize);
    let entry = &rest[..rest.len() - 22];
    let mut bomb = body.to_vec();
    for number in 0..2_000_u32 {
        let mut entry = entry.to_vec();
        *entry.last_mut().unwrap() = u8::try_from(number % 200).unwrap() + 32;
        bomb.extend(entry);
    }
    let mut end = plain[plain.len() - 22..].to_vec();
    end[12..16].copy_from_slice(&(u32::try_from(entry.len()).unwrap() * 2_000).to_le_bytes());
    bomb.extend(end);
    let report = look(&bomb);
    assert!(
        rules(&report).contains(&"zip/overlap"),
        "{:?}",
        rules(&report)
    );
    assert!(rules(&report).contains(&"scan/limit"));
    assert_ne!(report.state(Severity::Critical), State::Clean);
    // Of members that are the same bytes, a few are looked at, by name; read in other ways, more.
    let plain = archive(&[Member::new("0", &harmless())]);
    let directory = u32::from_le_bytes(plain[plain.len() - 6..plain.len() - 2].try_into().unwrap());
    let (body, rest) = plain.split_at(directory as usize);
    let entry = &rest[..rest.len() - 22];
    let members = |entries: &[(u16, usize)]| {
        let mut file = body.to_vec();
        for (method, count) in entries {
            let mut entry = entry.to_vec();
            entry[10..12].copy_from_slice(&method.to_le_bytes());
            file.extend(entry.repeat(*count));
        }
        let count: usize = entries.iter().map(|(_, count)| count).sum();
        let mut end = plain[plain.len() - 22..].to_vec();
        for at in [8, 10] {
            end[at..at + 2].copy_from_slice(&u16::try_from(count).unwrap().to_le_bytes());
        }
        end[12..16].copy_from_slice(&u32::try_from(entry.len() * count).unwrap().to_le_bytes());
        file.extend(end);
        look(&file)
    };
    let same = |report: &FileReport| {
        let mut gaps = report.gaps.iter();
        gaps.any(|gap| gap.reason.contains("are the same bytes"))
    };
    assert!(same(&members(&[(0, 17)])));
    assert!(!same(&members(&[(0, 16), (8, 1)])));
    // Nested deeper than is looked at.
    let mut nested = harmless();
    for _ in 0..12 {
        nested = archive(&[Member::new("a.zip", &nested)]);
    }
    let report = look(&nested);
    assert!(rules(&report).contains(&"scan/limit"), "{report:#?}");
    assert_eq!(report.state(Severity::High), State::Incomplete);
}

pub fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut encoder =
        flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut encoder, bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn sizes_and_encryption_that_are_not_so() {
    // Deflated, and the headers say less than there is.
    for (bytes, bad) in [(payload(), true), (harmless(), false)] {
        let mut member = Member::new("m/data.pkl", &deflated(&bytes));
        member.method = 8;
        member.checksum = crc32fast::hash(&bytes);
        let report = look(&archive(&[member]));
        assert_eq!(rules(&report).contains(&"pickle/dangerous-call"), bad);
        let differs = deflated(&bytes).len() != bytes.len();
        assert_eq!(
            rules(&report).contains(&"zip/headers-differ"),
            differs,
            "{report:#?}"
        );
    }
    // Really encrypted: not clean, and not a lie either.
    let mut member = Member::new(
        "m/data.pkl",
        b"\xf1\x22\x8e\x10\x9c\xd5\x77\x01\x55\xaa\xfe\xbb\xe9",
    );
    member.flags = 1;
    member.local_flags = 1;
    let report = look(&archive(&[member]));
    assert_eq!(rules(&report), ["archive/encrypted"], "{report:#?}");
    assert_eq!(report.state(Severity::High), State::Incomplete);
}

#[test]
fn checksums_of_large_files_are_compared_in_the_one_pass() {
    let filler = Member::new("m/zeros.pkl", &harmless());
    let mut large = harmless();
    // Many streams in a row are one member of more than what is held in memory.
    while large.len() < 2 << 20 {
        large.extend(harmless());
    }
    for wrong in [0, 1] {
        let mut member = Member::new("m/large.pkl", &large);
        member.checksum ^= wrong;
        let report = look(&archive(&[
            filler.clone(),
            member,
            filler_named("m/last.pkl"),
        ]));
        let expected: &[&str] = if wrong == 0 { &[] } else { &["zip/checksum"] };
        assert_eq!(rules(&report), expected, "{report:#?}");
        assert_eq!(report.coverage.unknown, 0);
    }
}

fn filler_named(name: &str) -> Member {
    Member::new(name, &harmless())
}

proptest! {
    #[test]
    fn wrapping_lowers_nothing(ways in proptest::collection::vec(0..8_usize, 1..5)) {
        let mut file = payload();
        for way in ways {
            file = wrap(way, &file);
        }
        let report = look(&file);
        prop_assert_eq!(report.worst(), Some(Severity::Critical), "{:#?}", report);
    }
}

fn wrap(way: usize, file: &[u8]) -> Vec<u8> {
    match way {
        0 => archive(&[Member::new("a", file)]),
        1 => {
            let mut member = Member::new("b", &deflated(file));
            member.method = 8;
            archive(&[member])
        }
        2 => tar::archive(&[("c", file)]),
        3 => packed::gzip(file),
        4 => packed::bzip2(file),
        5 => packed::zstd(file),
        6 => packed::lz4(file),
        _ => packed::zlib(file),
    }
}

/// Valid files of the formats of this group, for the tests that damage them.
pub fn samples() -> Vec<(&'static str, Vec<u8>)> {
    let zip = archive(&[
        Member::new("m/", b""),
        Member::new("m/data.pkl", &harmless()),
    ]);
    let mut samples = vec![
        ("zip", described("m/data.pkl", &harmless(), (true, false))),
        ("zip", wide(&zip)),
        ("zip", zip),
    ];
    samples.extend(packed::samples());
    samples.push(("blosc", blosc::sample()));
    samples.extend(tar::samples());
    samples.extend(programs::samples());
    samples
}

#[test]
fn samples_are_clean() {
    for (name, bytes) in samples() {
        let report = look(&bytes);
        assert!(
            report.formats.iter().any(|one| one.format == name),
            "{name}: {report:#?}"
        );
        assert_eq!(
            report.state(Severity::High),
            State::Clean,
            "{name}: {report:#?}"
        );
        assert_eq!(report.coverage.unknown, 0, "{name}: {report:#?}");
    }
}

proptest! {
    #[test]
    fn damaged_files_are_accounted_for(
        which in 0..1_000_usize,
        changes in proptest::collection::vec((0..100_000_usize, any::<u8>()), 1..6),
        cut in proptest::option::of(0..100_000_usize),
    ) {
        let samples = samples();
        let (name, mut bytes) = samples[which % samples.len()].clone();
        for (at, value) in changes {
            let at = at % bytes.len();
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut % bytes.len());
        }
        // It panics if a byte is counted twice, or if what was not understood is called clean.
        custos_scan::fuzz::format(name, &bytes);
    }
}

#[test]
fn a_packed_storage_of_a_torch_archive_is_one() {
    // `{"w": storage}` as `torch.save` writes it, and the archive packed once more by other tools.
    let pickle = Assembler::protocol(2)
        .raw(b"}X\x01\0\0\0w(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0")
        .raw(b"0X\x03\0\0\0cpuK\x02tQs")
        .stop();
    let storage = [1, 2, 3, 4, 5, 6, 7, 250];
    let mut member = Member::new("m/data/0", &deflated(&storage));
    member.method = 8;
    member.checksum = crc32fast::hash(&storage);
    for stored in [Member::new("m/data/0", &storage), member] {
        let report = look(&archive(&[Member::new("m/data.pkl", &pickle), stored]));
        let rules = rules(&report);
        let fine = rules.iter().all(|rule| *rule == "zip/headers-differ");
        assert!(fine, "{report:#?}");
        assert_eq!(report.coverage.unknown, 0, "{report:#?}");
        assert!(report.coverage.opaque > 0);
    }
}
