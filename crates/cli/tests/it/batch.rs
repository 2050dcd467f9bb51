//! Many artifacts under one signature.

use custos_core::digest::Algorithm;
use serde_json::Value;

use crate::sandbox::Sandbox;

type Change = fn(&mut Value, &Value);

fn hex(bytes: &[u8]) -> String {
    let digest = Algorithm::Sha256.digest(bytes).to_string();
    digest.trim_start_matches("sha256:").to_owned()
}

/// Three files and the list of them, signed.
fn signed() -> (Sandbox, [String; 3]) {
    let sandbox = Sandbox::with_keys(&["k", "other"]);
    let digests = ["a", "b", "c"].map(|name| {
        sandbox.write(&format!("{name}.bin"), format!("weights {name}"));
        hex(format!("weights {name}").as_bytes())
    });
    let [a, b, c] = &digests;
    let list = format!("{a}  a.bin\nsha256:{b}  b.bin\n{c}  dir/c.bin\n");
    sandbox.write("list.txt", list);
    sandbox
        .run(&["sign", "list.txt", "--batch", "proofs", "--key", "k"])
        .ok()
        .says("3 artifacts");
    (sandbox, digests)
}

#[test]
fn each_artifact_verifies_alone() {
    let (sandbox, digests) = signed();
    for (at, (name, digest)) in ["a", "b", "c"].iter().zip(&digests).enumerate() {
        let proof = format!("proofs/{digest}.json");
        let (file, bare) = (format!("{name}.bin"), format!("sha256:{digest}"));
        for artifact in [&file, &bare] {
            let said = sandbox.json(&["verify", artifact, "--bundle", &proof]).ok();
            let json = said.json();
            assert_eq!(json["signer"]["name"], "k");
            assert_eq!(json["batch"]["index"], at);
            assert_eq!(json["batch"]["size"], 3);
        }
    }
    // The list itself is the subject of a statement like any other, in the log and in the store.
    let list = ["verify", "list.txt", "--type", "batch"];
    sandbox.run(&list).ok().says("PASS");
    assert_eq!(sandbox.log_size(), 1, "one signature");
    sandbox.run(&["evidence", "check"]).ok();
}

#[test]
fn a_proof_holds_for_its_own_artifact_and_signer_alone() {
    let (sandbox, [a, b, _]) = signed();
    let proof = format!("proofs/{a}.json");
    let verify = |artifact: &str, more: &[&str]| {
        let words = ["verify", artifact, "--bundle", &proof];
        sandbox.run(&[&words[..], more].concat())
    };
    verify("b.bin", &[]).failed(1, "E0106");
    verify("a.bin", &["--key", "other"]).failed(1, "E0108");
    sandbox.write("a.bin", "weights A");
    verify("a.bin", &[]).failed(1, "E0106");
    // A folder never stands in for a file.
    sandbox.model("m");
    verify("m", &[]).failed(1, "E0106");
    sandbox.write("a.bin", "weights a");
    verify("a.bin", &[]).ok();

    let original: Value = serde_json::from_str(&sandbox.read(&proof)).unwrap();
    let theirs: Value = serde_json::from_str(&sandbox.read(&format!("proofs/{b}.json"))).unwrap();
    let changes: [(&str, Change); 7] = [
        ("E0106", |proof, _| proof["proof"]["index"] = 1.into()),
        ("E0106", |proof, theirs| {
            proof["proof"] = theirs["proof"].clone()
        }),
        ("E0106", |proof, _| {
            let line = proof["line"].as_str().unwrap().replace("a.bin", "z.bin");
            proof["line"] = line.into();
        }),
        ("E0106", |proof, _| {
            proof["proof"]["hashes"].as_array_mut().unwrap().pop();
        }),
        ("E0106", |proof, _| proof["line"] = "nothing".into()),
        ("E0101", |proof, _| proof["more"] = true.into()),
        ("E0109", |proof, _| {
            let signature = &mut proof["bundle"]["dsseEnvelope"]["signatures"][0]["sig"];
            *signature = "MEUCIQ==".into();
        }),
    ];
    for (code, change) in changes {
        let mut spoiled = original.clone();
        change(&mut spoiled, &theirs);
        sandbox.write(&proof, spoiled.to_string());
        verify("a.bin", &[]).failed(1, code);
    }
}

#[test]
fn a_proof_of_another_statement_proves_nothing() {
    let (sandbox, [a, ..]) = signed();
    sandbox.run(&["sign", "a.bin", "--key", "k", "--oms"]).ok();
    let proof = format!("proofs/{a}.json");
    let mut changed: Value = serde_json::from_str(&sandbox.read(&proof)).unwrap();
    changed["bundle"] = serde_json::from_str(&sandbox.read("a.bin.sigstore.json")).unwrap();
    sandbox.write(&proof, changed.to_string());
    sandbox
        .run(&["verify", "a.bin", "--bundle", &proof])
        .failed(1, "E0105");
}

#[test]
fn lists_are_read_strictly_and_folders_are_left_alone() {
    let sandbox = Sandbox::with_keys(&["k"]);
    let digest = hex(b"1");
    let sign = |list: &str| {
        sandbox.write("list", list);
        sandbox.run(&["sign", "list", "--batch", "proofs", "--key", "k"])
    };
    for (list, why) in [
        (String::new(), "empty"),
        (format!("{digest}  a\n\n"), "list:2"),
        (
            format!("{digest}  a\n{digest}  b\n"),
            "line 1 names the same",
        ),
        (format!("{digest} a\n"), "list:1"),
        ("a.bin\n".to_owned(), "list:1"),
    ] {
        sign(&list).failed(2, "E0002").says(why);
    }
    assert_eq!(sandbox.log_size(), 0, "nothing was signed");
    sandbox.write("proofs/mine", "kept");
    sign(&format!("{digest}  a\n")).failed(2, "E0008");
    assert_eq!(sandbox.read("proofs/mine"), "kept");
    sandbox.model("m");
    sandbox
        .run(&["sign", "m", "--batch", "new", "--key", "k"])
        .failed(2, "E0002");
}

#[test]
fn ten_thousand_artifacts_have_a_proof_each() {
    let sandbox = Sandbox::with_keys(&["k"]);
    let line = |n: u32| format!("{}  artifact-{n}\n", hex(&n.to_be_bytes()));
    let list: String = (0..10_000).map(line).collect();
    sandbox.write("list.txt", list);
    let said = sandbox.json(&["sign", "list.txt", "--batch", "proofs", "--key", "k"]);
    assert_eq!(said.ok().json()["count"], 10_000);
    assert_eq!(
        std::fs::read_dir(sandbox.path("proofs")).unwrap().count(),
        10_000
    );
    for n in [0_u32, 1, 8_191, 8_192, 9_998, 9_999] {
        let digest = hex(&n.to_be_bytes());
        let proof = format!("proofs/{digest}.json");
        let artifact = format!("sha256:{digest}");
        sandbox
            .run(&["verify", &artifact, "--bundle", &proof])
            .ok()
            .says(&format!("artifact-{n}"))
            .says(&format!("line {} of 10000", n + 1));
    }
}
