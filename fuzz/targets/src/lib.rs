//! The list of what is fuzzed: one plain function over bytes for each parser that reads what
//! strangers write.
//!
//! The targets under `fuzz/fuzz_targets` call these functions with inputs that libFuzzer makes up,
//! on the nightly toolchain. The test in this crate calls them on the stable one, with the corpus,
//! with the test vectors of the repository, and with mutations of both; so every change runs them.
//! A function panics if it finds a fault: an input that crashes a parser, or a value that does not
//! survive being written and read again.

mod core;

use custos_connect::fuzz as connect;
use custos_log::fuzz as log;
use custos_policy::fuzz as policy;
use custos_provenance::{cache, layout};
use custos_scan::fuzz as scan;
use custos_server::fuzz as server;
use custos_trust::fuzz as trust;
use custos_trust::keyless::fuzz as keyless;
use custos_trust::signers::fuzz as signers;

/// What is fuzzed under one name.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Target {
    /// Name of the target, and of its folder in `fuzz/corpus`.
    pub name: &'static str,
    /// The function; it panics if it finds a fault.
    pub run: fn(&[u8]),
    /// Ends of the names of files in `testdata` and `docs` that are inputs as well.
    pub seeds: &'static [&'static str],
    /// Mutations of each seed in the test: fewer where one run is slow.
    pub mutations: usize,
}

const fn target(name: &'static str, run: fn(&[u8]), seeds: &'static [&'static str]) -> Target {
    Target {
        name,
        run,
        seeds,
        mutations: 1000,
    }
}

/// All targets.
pub const TARGETS: &[Target] = &[
    target("json", core::json, &[".json"]),
    target("statement", core::statement, &["statement.json"]),
    target("predicate", core::predicate, &["statement.json"]),
    target("oms", custos_core::oms::fuzz_oms, &["statement.json"]),
    target("envelope", core::envelope, &[]),
    target("bundle", core::bundle, &[".sigstore.json"]),
    target("entry", core::entry, &[]),
    target("facts", core::facts, &[]),
    target("text", core::text, &[]),
    target("pem", core::pem, &[".pub", ".pem", ".key"]),
    target("note", log::fuzz_note, &[]),
    target("checkpoint", log::fuzz_checkpoint, &[]),
    target("verifier-key", log::fuzz_verifier_key, &[]),
    target("tile-path", log::fuzz_tile_path, &[]),
    target("entry-bundle", log::fuzz_entry_bundle, &[]),
    target("tlog-proof", log::fuzz_tlog_proof, &[]),
    target("verify", trust::bundle, &[".sigstore.json"]),
    target("revocations", trust::revocations, &[]),
    target("voucher", trust::voucher, &[]),
    Target {
        mutations: 200,
        ..target("tuf-metadata", trust::tuf_metadata, &["root.json"])
    },
    target("certificate", trust::certificate, &[]),
    target("encrypted-key", trust::encrypted_key, &[".key"]),
    target("digest-cache", cache::fuzz_cache, &[]),
    target("digest-list", cache::fuzz_list, &[]),
    target("layout", layout::fuzz_layout, &[".toml"]),
    target(
        "index",
        custos_evidence::fuzz::fuzz_parts,
        &[".sigstore.json"],
    ),
    target("key-reference", signers::fuzz_reference, &[]),
    target("kubeconfig", signers::fuzz_kubeconfig, &[]),
    target("oci-reference", connect::oci_reference, &[]),
    target("oci-manifest", connect::oci_manifest, &[]),
    target("oci-challenge", connect::oci_challenge, &[]),
    target("docker-config", connect::docker_config, &[]),
    target("simple-signing", connect::simple_signing, &[]),
    target("log-request", server::log_request, &[]),
    target(
        "certificate-request",
        server::certificate_request,
        &[".pub", ".pem"],
    ),
    target("timestamp-request", server::timestamp_request, &[]),
    target("issued-certificate", server::certificate, &[]),
    target("id-token", server::token, &[]),
    target("login-token", keyless::fuzz_token, &[]),
    target("certificate-answer", keyless::fuzz_certificate_answer, &[]),
    target("key-set", server::key_set, &[]),
    target(
        "signing-config",
        server::trusted_root,
        &["public-good.json"],
    ),
    Target {
        mutations: 40,
        ..target("trust-root", trust::trust_root, &["public-good.json"])
    },
    Target {
        mutations: 20,
        ..target("policy", policy::fuzz_policy, &[".rego"])
    },
    Target {
        mutations: 40,
        ..target("policy-input", policy::fuzz_input, &[])
    },
    scanned("scan-archive", |data| scan::group("zip", data)),
    scanned("scan-pickle", |data| scan::group("pickle", data)),
    scanned("scan-tensors", |data| scan::group("safetensors", data)),
    scanned("scan-graphs", |data| scan::group("onnx", data)),
    scanned("scan-classic", |data| scan::group("R", data)),
    scanned("scan-media", |data| scan::group("png", data)),
    scanned("scan-supply", |data| scan::group("pip requirements", data)),
    scanned("scan-executable", |data| scan::group("elf", data)),
    scanned("scan-text", |data| scan::group("json", data)),
    scanned("scan-hub", |data| scan::group("git-lfs-pointer", data)),
    target("scan-known", scan::known, &[]),
    target("scan-secrets", secrets, &[]),
    target("scan-command", command, &[]),
];

// All parsers of the group that a format is in; nearly each format has a seed, so a few mutations of
// each are many.
const fn scanned(name: &'static str, run: fn(&[u8])) -> Target {
    Target {
        mutations: 200,
        ..target(name, run, &[])
    }
}

fn secrets(data: &[u8]) {
    let _ = scan::secrets(&String::from_utf8_lossy(data));
}

fn command(data: &[u8]) {
    let _ = scan::command(&String::from_utf8_lossy(data));
}

/// Runs the target of this name.
///
/// # Panics
///
/// Panics if there is no such target, or if it finds a fault.
pub fn run(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    assert!(target.is_some(), "no fuzz target `{name}`");
    if let Some(target) = target {
        (target.run)(data);
    }
}

#[cfg(test)]
mod tests;
