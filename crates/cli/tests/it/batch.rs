//! Many artifacts under one signature.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use custos_core::crypto::{KeyKind, KeyPair};
use custos_core::digest::{Algorithm, Digest};
use serde_json::{Value, json};

use crate::sandbox::{Sandbox, finish};

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

/// A key service in the form of Vault's transit engine, which notes what it is asked.
struct Vault {
    url: String,
    pair: Arc<KeyPair>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Vault {
    fn start() -> Self {
        let pair = Arc::new(KeyPair::generate(KeyKind::P256).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (key, list) = (Arc::clone(&pair), Arc::clone(&asked));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                answer(&stream, &key, &list);
            }
        });
        Self { url, pair, asked }
    }
}

fn answer(mut stream: &TcpStream, pair: &KeyPair, asked: &Mutex<Vec<String>>) {
    let mut input = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    while input.read_line(&mut head).unwrap() > 2 {
        let line = head.lines().last().unwrap().to_ascii_lowercase();
        if let Some(found) = line.strip_prefix("content-length: ") {
            length = found.parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    input.read_exact(&mut body).unwrap();
    let line = head.split(" HTTP/").next().unwrap().to_owned();
    let data = match line.as_str() {
        "GET /v1/transit/keys/k" => {
            let public = pair.public_key().to_pem();
            json!({"type": "ecdsa-p256", "latest_version": 1, "keys": {"1": {"public_key": public}}})
        }
        "POST /v1/transit/sign/k" => {
            let asked: Value = serde_json::from_slice(&body).unwrap();
            let digest = STANDARD.decode(asked["input"].as_str().unwrap()).unwrap();
            let digest = Digest::new(Algorithm::Sha256, &digest).unwrap();
            let scheme = pair.public_key().kind().statement_scheme();
            let signature = pair.sign_digest(scheme, &digest).unwrap();
            json!({"signature": format!("vault:v1:{}", STANDARD.encode(signature))})
        }
        other => panic!("{other}"),
    };
    asked.lock().unwrap().push(line);
    let body = json!({"data": data}).to_string();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
}

#[test]
fn a_key_service_signs_once_for_a_whole_batch() {
    let sandbox = Sandbox::new();
    let vault = Vault::start();
    sandbox.write("k.pub", vault.pair.public_key().to_pem());
    let line = |n: u32| format!("{}  artifact-{n}\n", hex(&n.to_be_bytes()));
    sandbox.write("list.txt", (0..500).map(line).collect::<String>());
    let words = [
        "sign",
        "list.txt",
        "--batch",
        "proofs",
        "--key",
        "hashivault://k",
    ];
    let mut command = sandbox.command(&words);
    command
        .env("VAULT_ADDR", &vault.url)
        .env("VAULT_TOKEN", "t0ken");
    finish(command).ok().says("500 artifacts");
    let asked = vault.asked.lock().unwrap().clone();
    let signed = asked.iter().filter(|line| line.starts_with("POST"));
    assert_eq!(signed.count(), 1, "{asked:?}");
    for n in 0..500 {
        let digest = hex(&u32::to_be_bytes(n));
        let (artifact, proof) = (format!("sha256:{digest}"), format!("proofs/{digest}.json"));
        // Each alone: without the list, and without the other proofs.
        if n % 100 == 99 {
            sandbox
                .run(&["verify", &artifact, "--bundle", &proof, "--key", "./k.pub"])
                .ok();
        } else {
            assert!(sandbox.path(&proof).is_file(), "{proof}");
        }
    }
    // A verifier asks nobody.
    assert_eq!(vault.asked.lock().unwrap().len(), asked.len());
}
