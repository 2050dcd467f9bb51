//! Texts: configurations, templates, programs, notebooks, each with its harmless twin.

use custos_core::finding::Severity;
use custos_scan::{FileReport, Options, State, scan};

/// Valid and harmless files of each format.
pub fn samples() -> Vec<(&'static str, Vec<u8>)> {
    vec![("text", b"Once upon a time\nthere was a model.\n".to_vec())]
}

fn named(name: &str, bytes: &[u8]) -> FileReport {
    scan(name, &bytes.to_vec(), &Options::default())
}

fn clean(name: &str, bytes: &[u8]) -> FileReport {
    let report = named(name, bytes);
    assert_eq!(
        report.state(Severity::Medium),
        State::Clean,
        "{name}: {report:#?}"
    );
    report
}

#[test]
fn samples_are_clean() {
    for (format, bytes) in samples() {
        let report = clean("x", &bytes);
        assert!(
            report.formats.iter().any(|one| one.format == format),
            "{report:#?}"
        );
    }
}

#[test]
fn texts_are_covered_and_noise_is_not_one() {
    let wide: Vec<u8> = "\u{feff}Grüße\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    clean("x.txt", &wide);
    clean("x", "Grüße\n".repeat(100_000).as_bytes());
    clean("x", b"caf\xe9 au lait, sans sucre, merci\n");
    let late = [b"words and words\n".repeat(40_000), vec![0; 100]].concat();
    assert_eq!(
        named("x.txt", &late).state(Severity::High),
        State::Incomplete
    );
}
