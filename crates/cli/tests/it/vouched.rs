//! `custos verify` of what current Sigstore clients make: a file that cosign signed keyless, in
//! Rekor v1, with a timestamp.

use crate::sandbox::{Said, Sandbox};
use serde_json::Value;

const IDENTITY: &str = "w.vollprecht@gmail.com";
const ISSUER: &str = "https://github.com/login/oauth";

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    let data = |name: &str| {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/sigstore/");
        std::fs::read(format!("{root}{name}")).unwrap()
    };
    sandbox.write("blob", data("cosign-v3-blob.txt"));
    sandbox.write("blob.sigstore.json", data("cosign-v3-blob.sigstore.json"));
    sandbox.write("root.json", data("public-good.json"));
    sandbox
}

fn verify(sandbox: &Sandbox, expected: &[&str]) -> Said {
    let head = ["verify", "blob", "--trusted-root", "root.json", "--offline"];
    sandbox.run(&[&head[..], expected].concat())
}

#[test]
fn a_keyless_file_offline_to_the_letter_and_by_pattern() {
    let sandbox = sandbox();
    let exact = [
        "--certificate-identity",
        IDENTITY,
        "--certificate-oidc-issuer",
        ISSUER,
    ];
    verify(&sandbox, &exact)
        .ok()
        .says("PASS")
        .says("rekor.sigstore.dev");
    let patterns = [
        "--certificate-identity-regexp",
        "w\\..+@gmail\\.com",
        "--certificate-oidc-issuer-regexp",
        "https://github\\.com/.+",
    ];
    verify(&sandbox, &patterns).ok().says("PASS");
    let mut part = patterns;
    part[1] = "@gmail\\.com";
    verify(&sandbox, &part).failed(1, "E0108");
    let mut other = exact;
    other[3] = "https://accounts.google.com";
    verify(&sandbox, &other).failed(1, "E0108");
}

#[test]
fn who_names_nobody_gets_no_answer() {
    let sandbox = sandbox();
    verify(&sandbox, &[]).failed(2, "E0110");
    for everybody in [".*", ".+", ""] {
        let pattern = ["--certificate-identity-regexp", everybody];
        verify(&sandbox, &pattern).failed(2, "E0110");
        let issuer = [
            "--certificate-identity",
            IDENTITY,
            "--certificate-oidc-issuer-regexp",
            everybody,
        ];
        verify(&sandbox, &issuer).failed(2, "E0110");
    }
    let twice = [
        "--certificate-identity",
        IDENTITY,
        "--certificate-identity-regexp",
        "w.+",
    ];
    verify(&sandbox, &twice).failed(2, "E0002");
    verify(&sandbox, &["--key", "k8s://a/b"]).failed(2, "E0002");
}

#[test]
fn every_check_says_what_came_of_it_and_what_to_do() {
    let sandbox = sandbox();
    let expected = [
        "--certificate-identity",
        IDENTITY,
        "--certificate-oidc-issuer",
        ISSUER,
    ];
    let head = ["verify", "blob", "--trusted-root", "root.json"];
    let states = |document: &Value| -> Vec<(String, String)> {
        let checks = document["checks"].as_array().unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        checks
            .iter()
            .map(|check| (text(&check["name"]), text(&check["state"])))
            .collect()
    };
    let names = [
        "format",
        "certificate",
        "sct",
        "time",
        "log",
        "log-binding",
        "signature",
        "subject",
        "signer",
    ];
    let good = sandbox.json(&[&head[..], &expected].concat()).ok().json();
    let all_ok: Vec<_> = names
        .map(|name| (name.to_owned(), "ok".to_owned()))
        .to_vec();
    assert_eq!(states(&good), all_ok);

    // Another identity: everything else is looked at all the same.
    let mut foreign = expected;
    foreign[1] = "somebody@example.com";
    let said = sandbox
        .json(&[&head[..], &foreign].concat())
        .failed(1, "E0108")
        .json();
    let failed: Vec<_> = states(&said)
        .into_iter()
        .filter(|(_, state)| state != "ok")
        .collect();
    // What rests on all of it together is not said before all of it holds.
    assert!(
        failed.contains(&("signer".to_owned(), "failed".to_owned())),
        "{failed:?}"
    );
    assert!(
        !failed
            .iter()
            .any(|(name, _)| name == "signature" || name == "certificate")
    );
    let checks = said["checks"].as_array().unwrap();
    let signer = checks
        .iter()
        .find(|check| check["name"] == "signer")
        .unwrap();
    assert!(signer["help"].as_str().unwrap().len() > 10);
    assert_eq!(signer["at"], "verificationMaterial");

    // The log's entry is of another signature: said of that check, with its place.
    let bundle = sandbox.read("blob.sigstore.json");
    let mut bundle: Value = serde_json::from_str(&bundle).unwrap();
    let entry = &mut bundle["verificationMaterial"]["tlogEntries"][0];
    entry["kindVersion"]["version"] = "0.0.2".into();
    sandbox.write("blob.sigstore.json", bundle.to_string());
    verify(&sandbox, &expected)
        .failed(1, "E0107")
        .says("verificationMaterial.tlogEntries[0]");
    // A changed file.
    let sandbox = self::sandbox();
    sandbox.write("blob", "another text");
    verify(&sandbox, &expected).failed(1, "E0106");
}
