//! Zip archives whose headers lie, and their honest twins.

use custos_core::finding::Severity;
use custos_scan::{FileReport, State};

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
        directory.extend((3_u16 << 8 | 20).to_le_bytes());
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

fn harmless() -> Vec<u8> {
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
