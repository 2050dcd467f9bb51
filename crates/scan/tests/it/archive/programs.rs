//! Programs among data, with something behind them or not.

use custos_core::finding::Severity;
use custos_scan::State;

use super::{Member, archive, harmless, payload, rules};
use crate::pickle::{Assembler, look};

// A header with one segment that is the whole file.
fn elf() -> Vec<u8> {
    let mut out = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    out.extend(2_u16.to_le_bytes());
    out.extend(62_u16.to_le_bytes());
    out.extend(1_u32.to_le_bytes());
    out.extend([0_u64, 64, 0].map(u64::to_le_bytes).concat());
    out.extend([0; 4]);
    out.extend([64_u16, 56, 1, 0, 0, 0].map(u16::to_le_bytes).concat());
    out.extend(1_u32.to_le_bytes());
    out.extend(5_u32.to_le_bytes());
    out.extend([0_u64, 0, 0, 140, 140, 4096].map(u64::to_le_bytes).concat());
    out.resize(140, 0xcc);
    out
}

fn pe() -> Vec<u8> {
    let mut out = vec![0; 64];
    out[..2].copy_from_slice(b"MZ");
    out[60] = 64;
    out.extend(b"PE\0\0\x64\x86\x01\0");
    out.extend([0; 12]);
    out.extend([0xf0, 0, 0x22, 0]);
    let mut optional = vec![0; 0xf0];
    optional[..2].copy_from_slice(&[0x0b, 0x02]);
    out.extend(optional);
    let mut section = vec![0; 40];
    section[16..20].copy_from_slice(&100_u32.to_le_bytes());
    section[20..24].copy_from_slice(&512_u32.to_le_bytes());
    out.extend(section);
    out.resize(612, 0xcc);
    out
}

fn mach_o() -> Vec<u8> {
    let mut out = b"\xcf\xfa\xed\xfe\x07\0\0\x01\x03\0\0\0\x02\0\0\0".to_vec();
    out.extend([1_u32, 72, 0, 0].map(u32::to_le_bytes).concat());
    out.extend([0x19_u32, 72].map(u32::to_le_bytes).concat());
    out.extend([0; 16]);
    out.extend([0_u64, 4096, 0, 150].map(u64::to_le_bytes).concat());
    out.resize(150, 0xcc);
    out
}

fn class() -> Vec<u8> {
    let mut out =
        b"\xca\xfe\xba\xbe\0\0\0\x34\0\x05\x01\0\x01A\x07\0\x01\x01\0\x01B\x07\0\x03".to_vec();
    out.extend(b"\0\x21\0\x02\0\x04\0\0\0\0\0\0\0\0");
    out
}

fn shortcut(arguments: &str) -> Vec<u8> {
    let mut out = b"\x4c\0\0\0\x01\x14\x02\0\0\0\0\0\xc0\0\0\0\0\0\0\x46".to_vec();
    let flags: u32 = if arguments.is_empty() { 0x08 } else { 0x28 };
    out.extend(flags.to_le_bytes());
    out.resize(76, 0);
    for text in ["cmd.exe", arguments]
        .iter()
        .filter(|text| !text.is_empty())
    {
        out.extend(u16::try_from(text.len()).unwrap().to_le_bytes());
        out.extend(text.as_bytes());
    }
    out.extend([0; 4]);
    out
}

/// How the versions of Python lay out a function: so many numbers, and objects behind its line.
const LAYOUTS: [(usize, usize); 4] = [(5, 2), (6, 1), (5, 1), (4, 1)];

fn short(text: &str) -> Vec<u8> {
    [&[b'z', u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
}

fn bytes(data: &[u8]) -> Vec<u8> {
    [
        b"s",
        u32::try_from(data.len()).unwrap().to_le_bytes().as_slice(),
        data,
    ]
    .concat()
}

fn tuple(of: &[Vec<u8>]) -> Vec<u8> {
    [vec![b')', u8::try_from(of.len()).unwrap()], of.concat()].concat()
}

fn function((numbers, after): (usize, usize), constant: &[u8], names: &[&str]) -> Vec<u8> {
    let names: Vec<Vec<u8>> = names.iter().map(|name| short(name)).collect();
    let mut out = vec![0xe3];
    out.extend(vec![0; numbers * 4]);
    // Its code, constants, names, three lists or kinds of variables, its file and its name.
    let parts = [
        bytes(&[0x97; 100]),
        tuple(&[
            b"N".to_vec(),
            bytes(constant),
            b"g\0\0\0\0\0\0\xe0\x3f".to_vec(),
        ]),
        tuple(&names),
        tuple(&[]),
        tuple(&[]),
        bytes(b""),
        short("x.py"),
        short("f"),
    ];
    out.extend(parts.concat());
    out.extend(1_u32.to_le_bytes());
    out.extend(bytes(b"\x01\x02").repeat(after));
    out
}

fn pyc(function: &[u8]) -> Vec<u8> {
    [b"\xa7\x0d\r\n".as_slice(), &[0; 12], function].concat()
}

// Words and how often they were seen, as segmenters of texts keep them.
fn counts(last: &[u8]) -> Vec<u8> {
    let mut out = b"{".to_vec();
    for (word, count) in [("one", 1_u32), ("two", 2), ("three", 3)] {
        out.extend([short(word), b"i".to_vec(), count.to_le_bytes().to_vec()].concat());
    }
    out.extend([&short("last"), last, b"0"].concat());
    out
}

pub fn samples() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("elf", elf()),
        ("pe", pe()),
        ("mach-o", mach_o()),
        ("script", b"#!/bin/sh\necho hello\n".to_vec()),
        ("wasm", b"\0asm\x01\0\0\0\x00\x02\x01n\x01\x01\0".to_vec()),
        ("java-class", class()),
        (
            "python-bytecode",
            pyc(&function(LAYOUTS[0], b"text", &["print"])),
        ),
        ("python-marshal", counts(b"l\x02\0\0\0\x01\0\x02\0")),
        ("windows-shortcut", shortcut("")),
        (
            "git-lfs-pointer",
            format!(
                "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 7\n",
                "0a".repeat(32)
            )
            .into_bytes(),
        ),
    ]
}

#[test]
fn programs_are_told_and_what_follows_them_is_looked_at() {
    for (name, program) in samples() {
        if name == "git-lfs-pointer" || name.starts_with("python-") {
            continue;
        }
        let report = look(&program);
        assert_eq!(
            report.worst(),
            Some(Severity::Medium),
            "{name}: {report:#?}"
        );
        let inside = archive(&[Member::new("lib/program", &program)]);
        assert_eq!(look(&inside).worst(), Some(Severity::Medium), "{name}");
        for (content, bad) in [(payload(), true), (harmless(), false)] {
            let zip = archive(&[Member::new("m/data.pkl", &content)]);
            for tail in [content, zip] {
                let report = look(&[program.clone(), tail].concat());
                assert_eq!(
                    rules(&report).contains(&"pickle/dangerous-call"),
                    bad,
                    "{name}: {report:#?}"
                );
                assert_eq!(report.coverage.unknown, 0, "{name}: {report:#?}");
            }
        }
    }
}

#[test]
fn compiled_functions_show_what_they_use() {
    let long = Assembler::protocol(4)
        .call("os", "system", &"id;".repeat(40))
        .stop();
    for layout in LAYOUTS {
        let names = ["os", "system"];
        for (whole, start) in [
            (pyc(&function(layout, b"text", &names)), 16),
            (
                tuple(&[function(layout, b"text", &names), b"N".to_vec()]),
                0,
            ),
        ] {
            let report = look(&whole);
            assert_eq!(report.worst(), Some(Severity::Medium), "{report:#?}");
            assert_eq!(report.coverage.unknown, 0, "{report:#?}");
            let told = report
                .findings
                .iter()
                .find(|one| one.rule == "executable/compiled");
            let told = told.unwrap();
            assert!(told.message.ends_with("os, system"), "{told:?}");
            assert_eq!(told.location.offset, Some(start));
        }
        // What a function holds may be more than its code.
        let report = look(&pyc(&function(layout, &long, &names)));
        assert!(
            rules(&report).contains(&"pickle/dangerous-call"),
            "{report:#?}"
        );
    }
}

#[test]
fn values_of_marshal_are_data() {
    let good = counts(b"T");
    let report = look(&good);
    assert_eq!(report.state(Severity::Info), State::Clean, "{report:#?}");
    assert_eq!(report.coverage.unknown, 0);
    for bad in [
        // A list that is longer than the file, an object of no kind, and no end.
        counts(b"[\xff\xff\xff\x7f"),
        counts(b"?"),
        good[..good.len() - 1].to_vec(),
        counts(&b"\xa9\x01".repeat(20_000)),
    ] {
        let state = look(&bad).state(Severity::High);
        assert_eq!(state, State::Incomplete, "{bad:?}");
    }
    let deep = [b"(\x01\0\0\0".repeat(1_000), b"N".to_vec()].concat();
    assert_eq!(look(&deep).state(Severity::Info), State::Clean);
}

#[test]
fn a_shortcut_shows_what_it_starts() {
    let report = look(&shortcut("/c calc"));
    assert_eq!(report.state(Severity::High), State::Findings);
    assert_eq!(
        report.findings[0].evidence.as_deref(),
        Some("cmd.exe /c calc")
    );
}

#[test]
fn in_a_wheel_a_library_is_expected() {
    let mut library = elf();
    library[16] = 3;
    let wheel = archive(&[Member::new("pkg/_c.so", &library)]);
    let outer = archive(&[Member::new("pkg-1-py3-none-any.whl", &wheel)]);
    assert_eq!(look(&outer).worst(), Some(Severity::Low));
}
