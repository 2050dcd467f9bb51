//! Following a log: outage, tampering and unexpected use are three different alarms.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;

use serde_json::Value;

use crate::sandbox::{Said, Sandbox};

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
