//! Packed streams, 7z, and archives that are not read.

use std::io::Write as _;

use custos_core::finding::Severity;
use custos_scan::{Options, State, scan};

use super::{Member, archive, harmless, payload, rules};
use crate::pickle::look;

macro_rules! file {
    ($name:literal) => {
        include_bytes!(concat!("../../../../../testdata/scan/archive/", $name)).to_vec()
    };
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

pub fn lz4(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

// An archive of 7z with one member, which is a frame of LZ4.
fn seven_of_lz4(bytes: &[u8]) -> Vec<u8> {
    let packed = lz4(bytes);
    // Numbers of two bytes: one bit says so.
    let number = |number: usize| {
        let [high, low] = u16::try_from(number).unwrap().to_be_bytes();
        [0x80 | high, low]
    };
    let mut header = vec![1, 4, 6, 0, 1, 9];
    header.extend(number(packed.len()));
    header.extend([0, 7, 11, 1, 0, 1, 4, 4, 0xf7, 0x11, 4, 12]);
    header.extend(number(bytes.len()));
    header.extend([10, 1]);
    header.extend(crc32fast::hash(bytes).to_le_bytes());
    header.extend([0, 8, 0, 0, 5, 1, 17, 13, 0]);
    header.extend(b"a\0.\0p\0k\0l\0\0\0");
    header.extend([0, 0]);
    let mut start = Vec::new();
    start.extend((packed.len() as u64).to_le_bytes());
    start.extend((header.len() as u64).to_le_bytes());
    start.extend(crc32fast::hash(&header).to_le_bytes());
    let mut out = b"7z\xbc\xaf\x27\x1c\x00\x04".to_vec();
    out.extend(crc32fast::hash(&start).to_le_bytes());
    [out, start, packed, header].concat()
}

#[test]
fn frames_in_7z_that_are_damaged() {
    let mut bytes = seven_of_lz4(&harmless());
    // A byte of the content.
    bytes[32 + 12] ^= 1;
    let report = look(&bytes);
    assert_eq!(report.state(Severity::High), State::Incomplete);
    assert!(rules(&report).contains(&"sevenz/broken"), "{report:#?}");
}

type Pack = fn(&[u8]) -> Vec<u8>;

// Those of which several in a row are one file.
const JOINED: [(&str, Pack); 4] = [
    ("gzip", gzip),
    ("bzip2", bzip2),
    ("zstd", zstd),
    ("lz4", lz4),
];

pub fn samples() -> Vec<(&'static str, Vec<u8>)> {
    let mut samples: Vec<_> = JOINED
        .iter()
        .map(|(name, pack)| (*name, pack(&harmless())))
        .collect();
    samples.extend([
        ("zlib", zlib(&harmless())),
        ("xz", file!("harmless.pkl.xz")),
        ("lzma", file!("harmless.pkl.lzma")),
        ("7z", file!("harmless.7z")),
        ("7z", file!("harmless-zstd.7z")),
        ("7z", seven_of_lz4(&harmless())),
        ("zip", file!("harmless-lzma.zip")),
    ]);
    samples
}

#[test]
fn what_is_packed_is_looked_at() {
    for bad in [
        gzip(&payload()),
        zlib(&payload()),
        bzip2(&payload()),
        zstd(&payload()),
        lz4(&payload()),
        file!("payload.pkl.xz"),
        file!("payload.pkl.lzma"),
        file!("payload.7z"),
        file!("payload-zstd.7z"),
        seven_of_lz4(&payload()),
        file!("payload-lzma.zip"),
    ] {
        let report = look(&bad);
        assert!(
            rules(&report).contains(&"pickle/dangerous-call"),
            "{report:#?}"
        );
        assert_eq!(report.coverage.unknown, 0, "{report:#?}");
    }
}

#[test]
fn streams_in_a_row_are_one_content() {
    for (name, pack) in JOINED {
        for (content, bad) in [(payload(), true), (harmless(), false)] {
            let (first, second) = content.split_at(content.len() / 2);
            let report = look(&[pack(first), pack(second)].concat());
            assert_eq!(
                rules(&report).contains(&"pickle/dangerous-call"),
                bad,
                "{name}: {report:#?}"
            );
            assert_eq!(report.coverage.unknown, 0, "{name}: {report:#?}");
        }
    }
    let two = [file!("harmless.pkl.xz"), file!("payload.pkl.xz")].concat();
    assert!(rules(&look(&two)).contains(&"pickle/dangerous-call"));
}

#[test]
fn what_follows_or_is_skipped_is_looked_at() {
    let skipped = |content: &[u8]| {
        let mut frame = 0x184d_2a53_u32.to_le_bytes().to_vec();
        frame.extend(u32::try_from(content.len()).unwrap().to_le_bytes());
        frame.extend(content);
        frame
    };
    for (content, bad) in [(payload(), true), (harmless(), false)] {
        let mut files: Vec<_> = JOINED
            .iter()
            .map(|(_, pack)| [pack(&harmless()), content.clone()].concat())
            .collect();
        files.push([zlib(&harmless()), content.clone()].concat());
        files.push([file!("harmless.pkl.xz"), content.clone()].concat());
        files.push([file!("harmless.7z"), content.clone()].concat());
        for pack in [zstd as Pack, lz4] {
            files.push([skipped(&content), pack(&harmless())].concat());
            files.push([pack(&harmless()), skipped(&content)].concat());
        }
        for (number, file) in files.iter().enumerate() {
            let report = look(file);
            assert_eq!(
                rules(&report).contains(&"pickle/dangerous-call"),
                bad,
                "{number}: {report:#?}"
            );
            assert!(
                rules(&report)
                    .iter()
                    .any(|rule| rule.ends_with("/trailing")),
                "{number}: {report:#?}"
            );
            assert_eq!(report.coverage.unknown, 0, "{number}: {report:#?}");
        }
    }
}

#[test]
fn what_breaks_off_is_not_clean_and_what_came_before_counts() {
    let long = [payload(), payload().repeat(400), vec![7; 50_000]].concat();
    for (name, pack) in JOINED {
        let mut file = pack(&long);
        file.truncate(file.len() - 5);
        let report = look(&file);
        assert!(
            rules(&report).contains(&"packed/broken"),
            "{name}: {report:#?}"
        );
        let mut file = pack(&harmless());
        file.truncate(file.len() - 1);
        let state = look(&file).state(Severity::High);
        assert_eq!(state, State::Incomplete, "{name}");
    }
}

#[test]
fn bombs_and_greedy_headers_are_stopped() {
    // Zeros a thousand times and again.
    let report = look(&gzip(&gzip(&vec![0; 200 << 20])));
    assert_eq!(
        report.state(Severity::High),
        State::Incomplete,
        "{report:#?}"
    );
    // Each layer within its ratio, and all of them together not.
    let report = look(&gzip(&gzip(&vec![0; 70 << 20])));
    assert_eq!(
        report.state(Severity::High),
        State::Incomplete,
        "{report:#?}"
    );
    let fine = [harmless(), vec![0; 1 << 19]].concat();
    let report = look(&bzip2(&fine));
    assert!(!rules(&report).contains(&"scan/limit"), "{report:#?}");
    // To begin a stream takes long, however little it holds; what came before counts.
    let empty = bzip2(b"");
    let report = look(&[bzip2(&payload()), empty.repeat(5_000)].concat());
    let rules = rules(&report);
    assert!(rules.contains(&"scan/limit"), "{report:#?}");
    assert!(rules.contains(&"pickle/dangerous-call"), "{report:#?}");
    let report = look(&[bzip2(&harmless()), empty.repeat(4_000)].concat());
    assert_eq!(report.state(Severity::Low), State::Clean, "{report:#?}");
    // A dictionary of nearly four GiB.
    let mut huge = file!("harmless.pkl.lzma");
    huge[1..5].copy_from_slice(&0x8000_0000_u32.to_le_bytes());
    assert_eq!(look(&huge).state(Severity::High), State::Incomplete);
}

#[test]
fn what_is_encrypted_or_not_read_is_not_clean() {
    let report = look(&file!("encrypted.7z"));
    assert_eq!(rules(&report), ["archive/encrypted"], "{report:#?}");
    assert_eq!(report.state(Severity::High), State::Incomplete);
    for archive in [
        b"Rar!\x1a\x07\x01\0rest".as_slice(),
        b"Rar!\x1a\x07\0rest",
        b"MSCF\0\0\0\0rest",
        b"!<arch>\nrest",
    ] {
        let report = look(archive);
        assert_eq!(rules(&report), ["archive/unread"], "{report:#?}");
        assert_eq!(report.state(Severity::High), State::Incomplete);
    }
}

#[test]
fn parts_of_an_archive_are_told_and_the_first_is_looked_at() {
    let whole = gzip(&[payload(), (0..=255).collect()].concat());
    let (first, second) = whole.split_at(whole.len() - 9);
    let named = |name: &str, bytes: &[u8]| scan(name, &bytes.to_vec(), &Options::default());
    for (name, part) in [
        ("x.gz.part00", first),
        ("x.gz.001", first),
        ("x.gz.aa", first),
    ] {
        let report = named(name, part);
        assert_eq!(report.worst(), Some(Severity::Critical), "{report:#?}");
        assert!(!report.gaps.is_empty(), "{report:#?}");
    }
    for (name, part) in [
        ("x.gz.part01", second),
        ("x.zip.002", second),
        ("x.z01", second),
    ] {
        let report = named(name, part);
        assert_eq!(
            report.state(Severity::High),
            State::Incomplete,
            "{report:#?}"
        );
        assert!(rules(&report).contains(&"archive/part"), "{report:#?}");
    }
    let spanned = [
        b"PK\x07\x08".as_slice(),
        &archive(&[Member::new("a.pkl", &harmless())]),
    ]
    .concat();
    let report = named("x", &spanned);
    assert!(rules(&report).contains(&"archive/part"), "{report:#?}");
    // The whole is none, whatever it is called.
    let harmless = gzip(b"a text, and no more than that");
    for name in ["x.gz", "x.gz.sig", "libx.so.12", "x"] {
        let report = named(name, &harmless);
        assert_eq!(report.state(Severity::High), State::Clean, "{report:#?}");
    }
}
