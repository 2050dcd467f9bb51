//! Files that hold tensors: headers that lie, and their honest twins.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "samples are small"
)]

pub mod arrays;
pub mod gguf;
pub mod others;
pub mod safetensors;
pub mod tarred;

use custos_core::finding::Severity;
use custos_scan::{FileReport, State};

use crate::pickle::look;

/// Valid and harmless files of each format.
pub fn samples() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("safetensors", safetensors::sample()),
        (
            "tensor index",
            br#"{"metadata": {}, "weight_map": {"a": "model-00001-of-00001.safetensors"}}"#
                .to_vec(),
        ),
        ("GGUF", gguf::Gguf::sample().bytes()),
        (
            "GGUF",
            gguf::Gguf {
                big: true,
                ..gguf::Gguf::sample()
            }
            .bytes(),
        ),
        ("GGML", others::ggml()),
        ("NumPy", arrays::npy("'<f8'", "(2, 3)", &[0; 48])),
        ("MessagePack", arrays::flax()),
        (
            "Orbax",
            others::orbax("orbax.checkpoint.handlers.StandardCheckpointHandler"),
        ),
        ("Zarr", others::zarr("vlen-utf8")),
        ("Torch", others::torch_lua(false)),
        ("llamafile", others::llamafile()),
    ]
}

pub fn rules(report: &FileReport) -> Vec<&str> {
    report
        .findings
        .iter()
        .map(|finding| finding.rule.as_str())
        .collect()
}

/// A file that is clean from high on, and of which all is understood.
pub fn quiet(bytes: &[u8]) -> FileReport {
    let report = look(bytes);
    assert_eq!(report.state(Severity::High), State::Clean, "{report:#?}");
    assert_eq!(report.coverage.unknown, 0, "{report:#?}");
    report
}

/// A file of which a rule tells, at this severity at least.
pub fn told(bytes: &[u8], rule: &str, severity: Severity) -> FileReport {
    let report = look(bytes);
    let worst = report
        .findings
        .iter()
        .filter(|finding| finding.rule == rule)
        .map(|finding| finding.severity)
        .max();
    assert!(worst >= Some(severity), "{rule}: {report:#?}");
    report
}

pub fn cves<'r>(report: &'r FileReport, rule: &str) -> Vec<&'r str> {
    let findings = report.findings.iter().filter(|one| one.rule == rule);
    findings
        .flat_map(|one| &one.cves)
        .map(String::as_str)
        .collect()
}

#[test]
fn samples_are_clean_and_recognised() {
    for (format, bytes) in samples() {
        let report = quiet(&bytes);
        assert!(
            report.formats.iter().any(|one| one.format == format),
            "{format}: {report:#?}"
        );
    }
}

#[test]
fn what_is_cut_is_never_clean() {
    for (format, bytes) in samples() {
        for end in (1..bytes.len()).step_by(7) {
            let report = look(&bytes[..end]);
            // A beginning may be something else.
            let other = !report.formats.iter().any(|one| one.format == format);
            assert!(
                other || report.state(Severity::Medium) != State::Clean,
                "{format} at {end}: {report:#?}"
            );
        }
    }
}
