//! Following a log: outage, tampering and unexpected use are three different alarms.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::sandbox::{Said, Sandbox};
use crate::serve::{Serving, with_root};

fn attest(sandbox: &Sandbox, file: &str) {
    sandbox.write("p.json", r#"{"a":1}"#);
    sandbox.write(file, file);
    sandbox
        .run(&[
            "attest",
            file,
            "--type",
            "https://example.com/p",
            "--predicate",
            "p.json",
            "--key",
            "k",
        ])
        .ok();
}

// The first line is the event; an alarm's document stands behind it.
fn event(said: &Said) -> Value {
    let line = said.stdout.lines().next().unwrap_or_default();
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {}", said.stdout))
}

/// Serves the files of a folder, as any web server would.
fn serve(dir: PathBuf) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/log", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
                head.push(byte[0]);
            }
            let head = String::from_utf8_lossy(&head);
            let path = head.split(' ').nth(1).unwrap_or_default();
            let path = path.trim_start_matches("/log/").to_owned();
            let (status, body) = match std::fs::read(dir.join(path)) {
                Ok(body) => ("200 OK", body),
                Err(_) => ("404 Not Found", Vec::new()),
            };
            let head = format!(
                "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(head.as_bytes());
            let _ = stream.write_all(&body);
        }
    });
    url
}

#[test]
fn what_we_recorded_is_expected_and_looked_at_once() {
    let sandbox = Sandbox::with_keys(&["k"]);
    attest(&sandbox, "a");
    attest(&sandbox, "b");
    let said = sandbox.json(&["log", "watch", "--once"]).ok();
    let first = event(&said);
    assert_eq!(
        (&first["event"], &first["lookedAt"]),
        (&"fine".into(), &2.into())
    );
    attest(&sandbox, "c");
    let second = event(&sandbox.json(&["log", "watch", "--once"]).ok());
    assert_eq!(
        (&second["lookedAt"], &second["size"]),
        (&1.into(), &3.into())
    );
    let again = event(
        &sandbox
            .json(&["log", "watch", "--once", "--since", "0"])
            .ok(),
    );
    assert_eq!(again["lookedAt"], 3);
}

#[test]
fn a_signature_that_we_never_recorded_is_unexpected_use() {
    let sandbox = Sandbox::with_keys(&["k", "other"]);
    attest(&sandbox, "a");
    // Somebody with the key: the log has the entry, and this store has no statement of it.
    for file in ["custos.db", "custos.db-wal", "custos.db-shm"] {
        let _ = std::fs::remove_file(sandbox.path(&format!("home/{file}")));
    }
    attest(&sandbox, "b");
    let said = sandbox.json(&["log", "watch", "--once"]);
    assert_eq!(said.status, 4);
    let found = event(&said);
    assert_eq!(found["event"], "unexpected-use");
    assert_eq!(found["code"], "E0406");
    assert_eq!(found["entries"].as_array().unwrap().len(), 1);
    assert_eq!(found["entries"][0]["index"], 0);
    sandbox
        .run(&["log", "watch", "--once", "--since", "0"])
        .failed(4, "E0406")
        .says("UNEXPECTED USE")
        .says("keys revoke");
    // It is not about a key that nobody watches for.
    sandbox
        .run(&["log", "watch", "--once", "--since", "0", "--key", "other"])
        .ok();
}

#[test]
fn a_log_that_contradicts_itself_is_tampering() {
    let sandbox = Sandbox::with_keys(&["k"]);
    attest(&sandbox, "a");
    let checkpoint = std::fs::read(sandbox.path("home/log/checkpoint")).unwrap();
    attest(&sandbox, "b");
    sandbox.run(&["log", "watch", "--once"]).ok();
    // Rolled back to the checkpoint of an hour ago.
    let newest = std::fs::read(sandbox.path("home/log/checkpoint")).unwrap();
    sandbox.write("home/log/checkpoint", checkpoint);
    let said = sandbox.json(&["log", "watch", "--once"]);
    assert_eq!(said.status, 4);
    assert_eq!(event(&said)["event"], "tampering");
    assert_eq!(event(&said)["code"], "E0403");
    sandbox.write("home/log/checkpoint", newest);
    sandbox.run(&["log", "watch", "--once"]).ok();
}

#[test]
fn a_log_behind_http_is_followed_and_an_outage_is_no_alarm() {
    let sandbox = Sandbox::with_keys(&["k"]);
    attest(&sandbox, "a");
    attest(&sandbox, "b");
    let key = sandbox.run(&["log", "key"]).ok().stdout;
    let url = serve(sandbox.path("home/log"));
    let watch = |url: &str| {
        sandbox.json(&[
            "log",
            "watch",
            "--once",
            "--url",
            url,
            "--log-key",
            key.trim(),
        ])
    };
    let first = watch(&url);
    assert_eq!(first.status, 0, "{}", first.stderr);
    assert_eq!(event(&first)["size"], 2);
    // Nobody listens there.
    let gone = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let said = watch(&format!("http://{gone}/log"));
    assert_eq!(said.status, 3, "{}", said.stderr);
    assert_eq!(event(&said)["event"], "outage");
    assert_eq!(event(&said)["code"], "E0407");
    // A file is missing: not complete, and no proof of anything.
    let checkpoint = std::fs::read(sandbox.path("home/log/checkpoint")).unwrap();
    std::fs::remove_file(sandbox.path("home/log/checkpoint")).unwrap();
    assert_eq!(watch(&url).status, 3);
    sandbox.write("home/log/checkpoint", &checkpoint);
    // Another log's key, so that nothing it signed counts.
    let stranger = Sandbox::with_keys(&["k"]);
    attest(&stranger, "a");
    let strange = stranger.run(&["log", "key"]).ok().stdout;
    let said = sandbox.json(&[
        "log",
        "watch",
        "--once",
        "--url",
        &url,
        "--log-key",
        strange.trim(),
    ]);
    assert_eq!(said.status, 4, "{}", said.stderr);
    assert_eq!(event(&said)["event"], "tampering");
    assert_eq!(watch(&url).status, 0);
}

/// The leaf of a bundle's log entry.
fn leaf_of(bundle: &[u8]) -> Value {
    let bundle: Value = serde_json::from_slice(bundle).unwrap();
    let body = &bundle["verificationMaterial"]["tlogEntries"][0]["canonicalizedBody"];
    serde_json::from_slice(&STANDARD.decode(body.as_str().unwrap()).unwrap()).unwrap()
}

/// Hands the signature of a leaf to a log, as Sigstore's clients do.
fn enter(url: &str, leaf: &Value) {
    let entry = &leaf["spec"]["hashedRekordV002"];
    let request = json!({
        "hashedRekordRequestV002": {
            "digest": entry["data"]["digest"],
            "signature": entry["signature"],
        }
    });
    let body = request.to_string();
    let host = url.strip_prefix("http://").unwrap().trim_end_matches('/');
    let mut stream = TcpStream::connect(host).unwrap();
    let head = format!(
        "POST /api/v2/log/entries HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 20"), "{answer}");
}

#[test]
fn a_certificate_in_our_name_is_unexpected_use_by_pattern_too() {
    let sandbox = with_root();
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/sigstore/");
    let read = |name: &str| std::fs::read(format!("{data}{name}")).unwrap();
    let settings = "[[signer]]\nname = \"ci\"\n\
                    identity_regexp = '[a-z]+@goto\\.fi'\n\
                    issuer = 'https://github.com/login/oauth'\n";
    let leaf = leaf_of(&read("conda-attestation-rekor2.sigstore.json"));
    sandbox.write("custos.toml", settings);
    let key = sandbox.run(&["log", "key"]).ok().stdout;
    let serving = Serving::start(&sandbox);
    let url = serving.url.clone();
    let watch = |more: &[&str]| {
        let far = [
            "log",
            "watch",
            "--once",
            "--url",
            &url,
            "--log-key",
            key.trim(),
        ];
        sandbox.json(&[&far[..], more].concat())
    };
    let fine = event(&watch(&[]).ok());
    assert_eq!((&fine["event"], &fine["exit"]), (&"fine".into(), &0.into()));
    enter(&url, &leaf);
    let said = watch(&[]);
    assert_eq!(said.status, 4, "{}", said.stderr);
    let found = event(&said);
    assert_eq!(
        (&found["event"], &found["code"], &found["exit"]),
        (&"unexpected-use".into(), &"E0406".into(), &4.into())
    );
    let entry = &found["entries"][0];
    let (name, issuer) = ("jku@goto.fi", "https://github.com/login/oauth");
    assert_eq!(entry["signer"], name);
    assert_eq!(
        (&entry["index"], &entry["issuer"]),
        (&1.into(), &issuer.into())
    );
    // Nothing here vouches for certificates of Sigstore; with its trusted root it is another thing.
    assert_eq!(entry["verifiable"], false);
    sandbox.write("staging.json", read("staging.json"));
    let trusting = format!("{settings}[trust]\nsigstore_root = \"staging.json\"\n");
    sandbox.write("custos.toml", trusting);
    // The alarm was told once; whoever asks again is told again.
    watch(&[]).ok();
    let again = ["--since", "0"];
    assert_eq!(event(&watch(&again))["entries"][0]["verifiable"], true);
    let by_name = |flag: &str, name: &str| watch(&["--since", "0", flag, name]).status;
    assert_eq!(by_name("--certificate-identity", name), 4);
    assert_eq!(by_name("--certificate-identity", "goto.fi"), 0);
    let pattern = "--certificate-identity-regexp";
    assert_eq!(by_name(pattern, ".+@goto.fi"), 4);
    assert_eq!(by_name(pattern, ".+@goto.org"), 0);
    assert_eq!(by_name(pattern, ".*"), 2);
    // The server is gone: an outage, which proves nothing. Its log was exchanged: tampering.
    assert_eq!(serving.terminate(), Some(0));
    let gone = watch(&again);
    assert_eq!((gone.status, &event(&gone)["code"]), (3, &"E0407".into()));
    std::fs::remove_dir_all(sandbox.path("home/log")).unwrap();
    std::fs::create_dir(sandbox.path("home/log")).unwrap();
    std::fs::remove_file(sandbox.path("home/trust/log.checkpoint")).unwrap();
    sandbox
        .run(&["keys", "generate", "k", "--no-password"])
        .ok();
    sandbox.write("x", "x");
    sandbox.run(&["sign", "x", "--key", "k"]).ok();
    let said = sandbox.json(&["log", "watch", "--once"]);
    assert_eq!((said.status, &event(&said)["code"]), (4, &"E0403".into()));
}

#[test]
fn what_this_home_handed_to_a_log_elsewhere_is_expected_there() {
    let far = with_root();
    let log_key = far.run(&["log", "key"]).ok().stdout;
    let serving = Serving::start(&far);
    let home = Sandbox::with_keys(&["k"]);
    let sign = |sandbox: &Sandbox, file: &str| {
        sandbox.write(file, file);
        sandbox
            .run(&["sign", file, "--key", "home/keys/k.key"])
            .ok();
        leaf_of(sandbox.read(&format!("{file}.sigstore.json")).as_bytes())
    };
    let watch = || {
        let far = ["--url", &serving.url, "--log-key", log_key.trim()];
        home.json(&[&["log", "watch", "--once"][..], &far[..]].concat())
    };
    enter(&serving.url, &sign(&home, "ours"));
    let first = event(&watch().ok());
    assert_eq!((&first["lookedAt"], &first["size"]), (&2.into(), &2.into()));
    // A thief has the key, and a home of their own.
    let thief = Sandbox::new();
    let stolen = home.read("home/keys/k.key");
    thief.write("home/keys/k.key", stolen);
    enter(&serving.url, &sign(&thief, "theirs"));
    let said = watch();
    assert_eq!(said.status, 4, "{}", said.stderr);
    assert_eq!(event(&said)["entries"].as_array().unwrap().len(), 1);
    assert_eq!(event(&said)["entries"][0]["index"], 2);
}
