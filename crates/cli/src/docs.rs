//! The reference pages say what the code does: each is compared with it.

use std::fmt::Write as _;

use custos_core::clock::Timestamp;
use custos_core::limits::{self, Limits};
use custos_core::lineage::LineageLimits;
use custos_log::engine::LogOptions;
use custos_policy::{Evaluation, PolicyLimits};

use crate::codes::TABLE;
use crate::settings::Settings;

const GROUPS: [(&str, &str); 11] = [
    ("E00", "Usage, files, settings"),
    ("E01", "Verification"),
    ("E02", "Files and trees"),
    ("E03", "Steps and layouts"),
    ("E04", "The log"),
    ("E05", "Policy and gate"),
    ("E06", "The store"),
    ("E07", "Keys"),
    ("E08", "Trust roots and revocation"),
    ("E09", "Registries"),
    ("E10", "Scans"),
];

#[test]
fn the_page_of_errors_is_the_table() {
    let page = include_str!("../../../docs/reference/errors.md");
    let mut expected = String::new();
    for (prefix, title) in GROUPS {
        write!(expected, "\n## {title}\n\n").unwrap();
        for entry in TABLE.iter().filter(|one| one.code.starts_with(prefix)) {
            let (code, title) = (entry.code, entry.title);
            let (meaning, remedy) = (entry.meaning, entry.remedy);
            writeln!(expected, "**{code}** {title}. {meaning} *{remedy}*\n").unwrap();
        }
    }
    let start = page.find("\n## ").unwrap();
    let found: Vec<&str> = page[start..].lines().filter(|l| !l.is_empty()).collect();
    let expected: Vec<&str> = expected.lines().filter(|l| !l.is_empty()).collect();
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.len(), expected.len());
}

#[test]
fn the_page_of_keys_names_every_variable() {
    let page = include_str!("../../../docs/reference/keys.md");
    for name in custos_trust::signers::VARIABLES {
        assert!(page.contains(&format!("`{name}`")), "{name}");
    }
}

#[test]
fn the_page_of_limits_has_the_numbers_of_the_formats() {
    let document = |limits: Limits| {
        let (bytes, values) = (limits.max_bytes >> 20, thousands(limits.max_values));
        format!("{bytes} MiB, {} levels, {values} values", limits.max_depth)
    };
    let bytes = |limit: usize| format!("{} bytes", thousands(limit));
    let proof = custos_core::merkle::MAX_PROOF_LEN;
    let key = custos_trust::keys::MAX_KEY_FILE >> 10;
    let candidates = custos_trust::verify::MAX_CANDIDATES;
    expect_limits(&[
        ("a bundle", document(Limits::BUNDLE)),
        ("a statement, a policy's input", document(Limits::STATEMENT)),
        ("a Sigstore trusted root", document(Limits::SMALL)),
        (
            "signatures in a bare envelope",
            thousands(limits::MAX_SIGNATURES),
        ),
        (
            "certificates in a chain",
            thousands(limits::MAX_CERTIFICATES),
        ),
        (
            "log entries in a bundle",
            thousands(limits::MAX_LOG_ENTRIES),
        ),
        ("hashes in an inclusion proof", thousands(proof)),
        ("a log entry", bytes(limits::MAX_ENTRY_BYTES)),
        ("a path inside a tree", bytes(limits::MAX_PATH_BYTES)),
        (
            "resources in a manifest",
            thousands(custos_core::oms::MAX_RESOURCES),
        ),
        (
            "candidate signatures in one verification",
            thousands(candidates),
        ),
        ("a key file", format!("{key} KiB")),
    ]);
}

#[test]
fn the_page_of_limits_has_the_numbers_of_the_work() {
    let policy = PolicyLimits::default();
    let lineage = LineageLimits::default();
    let (nodes, steps) = (thousands(lineage.max_nodes), lineage.max_depth);
    let (file, total) = (policy.max_file_bytes >> 10, policy.max_total_bytes >> 20);
    let (files, rules) = (policy.max_files, thousands(policy.max_rules));
    let wait = LogOptions::batch().lock_wait_ms / 1000;
    let deadline = Evaluation::at(Timestamp::from_micros(0)).deadline.as_secs();
    expect_limits(&[
        (
            "leaves in one recording",
            thousands(custos_log::recorder::MAX_LEAVES),
        ),
        ("a lineage", format!("{nodes} nodes, {steps} steps deep")),
        (
            "a policy",
            format!("{files} files, {file} KiB each, {total} MiB together, {rules} rules"),
        ),
        (
            "a scan of one file, unless `custos scan` is told otherwise",
            scan_limits(),
        ),
        ("waiting for the log's lock", format!("{wait} s")),
        ("a policy evaluation", format!("{deadline} s")),
    ]);
}

fn scan_limits() -> String {
    let scan = custos_scan::Limits::default();
    let wide = |number: u64| thousands(usize::try_from(number).unwrap());
    format!(
        "{} levels, {} members, {} GiB unpacked, {} to 1",
        scan.max_depth,
        wide(scan.max_members),
        scan.max_unpacked >> 30,
        wide(scan.max_ratio)
    )
}

fn expect_limits(rows: &[(&str, String)]) {
    let page = include_str!("../../../docs/reference/limits.md");
    for (what, limit) in rows {
        let row = format!("| {what} | {limit} |");
        assert!(page.contains(&row), "docs/reference/limits.md lacks: {row}");
    }
}

#[test]
fn the_example_of_the_settings_is_read() {
    let page = include_str!("../../../docs/reference/settings.md");
    let example = page.split("```toml\n").nth(1).unwrap();
    let example = example.split("```").next().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let pair = custos_core::crypto::KeyPair::generate(custos_core::crypto::KeyKind::P256).unwrap();
    std::fs::create_dir(dir.path().join("keys")).unwrap();
    let key = dir.path().join("keys/trainer.pub");
    std::fs::write(key, pair.public_key().to_pem()).unwrap();
    let log = custos_log::note::VerifierKey::new("x.custos.local", pair.public_key().clone());
    // The page shows the form of a log's key, not a real one.
    let placeholder = example
        .lines()
        .find(|line| line.contains(".custos.local+"))
        .unwrap();
    let text = example.replace(placeholder, &format!("key = \"{}\"", log.unwrap()));
    let file = dir.path().join("custos.toml");
    std::fs::write(&file, text).unwrap();
    let settings = Settings::read(&file).unwrap();
    // Every key of the settings is in the example, so none is at its default.
    assert_eq!(settings.signers.len(), 4);
    assert_eq!(settings.logs.len(), 1);
    assert_eq!(settings.authorities.len(), 1);
    assert!(settings.sigstore_root.is_some());
    assert_eq!(settings.signing_key.as_deref(), Some("trainer"));
    assert_eq!(settings.pending_hours, Some(24));
    assert!(settings.layout.is_some() && !settings.layout_signers.is_empty());
    assert!(settings.gate_policy.is_some() && settings.require_policy.is_some());
    assert!(settings.signing_config.is_some());
    let hosts = settings
        .registries
        .iter()
        .map(crate::oci::RegistryEntry::parsed_host);
    assert_eq!(
        hosts.collect::<Vec<_>>(),
        [Some("registry.corp:5000".to_owned())]
    );
    let issuers = settings
        .issuers
        .iter()
        .map(|issuer| issuer.resolve(dir.path()));
    assert_eq!(issuers.flatten().count(), 3);
}

fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
