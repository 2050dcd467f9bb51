//! The store beside the log: crashes between the two, tampering, loss, and what `custos evidence`
//! and the others say about it.

use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;

use serde_json::Value;

use crate::sandbox::{Said, Sandbox};

fn project(files: usize) -> Sandbox {
    let sandbox = Sandbox::with_keys(&["k"]);
    sandbox.write("p.json", r#"{"a":1}"#);
    for n in 0..files {
        attest(&sandbox, &format!("f{n}")).ok();
    }
    sandbox
}

fn attest(sandbox: &Sandbox, name: &str) -> Said {
    sandbox.write(name, format!("content of {name}"));
    sandbox.run(&attesting(name))
}

fn attesting(name: &str) -> Vec<&str> {
    let kind = "https://example.com/p";
    let predicate = ["--predicate", "p.json", "--key", "k"];
    [&["attest", name, "--type", kind], predicate.as_slice()].concat()
}

fn database(sandbox: &Sandbox) -> Vec<u8> {
    std::fs::read(sandbox.path("home/custos.db")).unwrap()
}

#[test]
fn a_sound_store_is_said_to_be() {
    let sandbox = project(3);
    sandbox
        .run(&["evidence", "check"])
        .ok()
        .says("every log entry has its statement");
    let said = sandbox.json(&["evidence", "check"]).ok().json();
    assert_eq!(said["schema"], "custos.evidence.check/1");
    assert_eq!(
        (&said["ok"], &said["statements"]),
        (&Value::Bool(true), &Value::from(3))
    );
    assert_eq!(said["log"]["size"], 3);
    let said = sandbox.json(&["evidence", "reindex"]).ok().json();
    assert_eq!(said["schema"], "custos.evidence.reindex/1");
    assert_eq!(said["finished"], Value::Array(Vec::new()));
    sandbox.run(&["evidence", "reindex", "--dry-run"]).ok();
    let doctor = sandbox.json(&["doctor"]).json();
    assert_eq!(finding(&doctor, "evidence")["state"], "ok");
}

#[test]
fn nothing_to_look_at_is_an_error_and_makes_nothing() {
    let sandbox = Sandbox::new();
    for command in ["check", "reindex"] {
        sandbox.run(&["evidence", command]).failed(3, "E0601");
    }
    assert!(!sandbox.path("home/custos.db").exists());
    assert_eq!(sandbox.run(&["evidence"]).status, 2);
}

fn finding(doctor: &Value, name: &str) -> Value {
    let checks = doctor["checks"].as_array().unwrap();
    checks
        .iter()
        .find(|check| check["name"] == name)
        .unwrap()
        .clone()
}

// An older database beside a newer log, as after a restore from a backup.
#[test]
fn statements_that_are_lost_make_facts_incomplete_until_they_are_put_back() {
    let sandbox = project(2);
    let older = database(&sandbox);
    sandbox.write("f2", "content of f2");
    let bundle = ["--bundle", "f2.sigstore.json"];
    let args = [attesting("f2").as_slice(), bundle.as_slice()].concat();
    sandbox.run(&args).ok();
    sandbox.write("home/custos.db", older);

    let said = sandbox.json(&["evidence", "check"]);
    assert_eq!(said.status, 1, "{}", said.stderr);
    assert_eq!(said.json()["missing"], serde_json::json!([2]));
    sandbox
        .run(&["evidence", "check"])
        .says("#2")
        .says("custos evidence add");
    let doctor = sandbox.json(&["doctor"]);
    assert_eq!(doctor.status, 1);
    let found = finding(&doctor.json(), "evidence");
    assert_eq!(
        (&found["state"], &found["mend"]),
        (&"fail".into(), &"custos evidence check".into())
    );
    // It might have been about anything: no decision without it.
    let gate = sandbox.json(&["gate", "f0", "--policy", "starter", "--key", "k"]);
    assert_eq!(gate.status, 1);
    assert!(
        gate.stdout.contains(
            "statements of 1 of 3 log entries by expected signers are not in the store: #2"
        )
    );
    sandbox
        .run(&["trace", "f0"])
        .ok()
        .says("are not in the store");

    sandbox
        .run(&["evidence", "add", "p.json"])
        .failed(2, "E0101");
    sandbox
        .run(&["evidence", "add", "f2.sigstore.json"])
        .ok()
        .says("entry #2");
    sandbox.run(&["evidence", "check"]).ok();
    sandbox.run(&["trace", "f2"]).ok();
}

#[test]
fn changed_bytes_of_a_statement_are_an_alarm() {
    let sandbox = project(2);
    // Wherever the bundle of the first statement lies, in pages that are free again too.
    let mut bytes = database(&sandbox);
    let leaf = sandbox.json(&["log", "get", "0"]).ok().json();
    let signature = &leaf["entry"]["spec"]["hashedRekordV002"]["signature"]["content"];
    let needle = signature.as_str().unwrap().as_bytes();
    let mut changed = 0;
    for at in 0..bytes.len() - needle.len() {
        if bytes[at..].starts_with(needle) {
            bytes[at] ^= 1;
            changed += 1;
        }
    }
    assert!(changed > 0);
    sandbox.write("home/custos.db", bytes);
    let said = sandbox.json(&["evidence", "check"]);
    assert_eq!(said.status, 4, "{}{}", said.stdout, said.stderr);
    let report = said.json();
    assert_eq!(report["damaged"].as_array().unwrap().len(), 1);
    assert_eq!(report["missingCount"], 1);
    assert_eq!(
        sandbox.run(&["evidence", "reindex"]).status,
        4,
        "it cannot be mended"
    );
}

#[test]
fn commands_at_once_and_a_reindex_lose_nothing() {
    let sandbox = project(1);
    let children: Vec<_> = (0..6)
        .map(|n| {
            let name = format!("c{n}");
            sandbox.write(&name, format!("concurrent {n}"));
            let mut command = sandbox.command(&attesting(&name));
            command.stdout(std::process::Stdio::null());
            command
                .stderr(std::process::Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    for _ in 0..3 {
        let said = sandbox.run(&["evidence", "reindex"]);
        assert_eq!(said.status, 0, "{}{}", said.stdout, said.stderr);
    }
    for child in children {
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{text}");
    }
    let said = sandbox.json(&["evidence", "check"]).ok().json();
    assert_eq!(
        (&said["statements"], &said["log"]["size"]),
        (&7.into(), &7.into())
    );
}

// Kills `custos attest` as a thread of it enters its Nth such call; false if none came so far.
fn killed(sandbox: &Sandbox, call: &str, nth: usize, name: &str) -> bool {
    let mut command = Command::new("strace");
    let inject = format!("inject={call}:signal=KILL:when={nth}");
    command
        .args([
            "-f",
            "-qq",
            "-o",
            "/dev/null",
            "-e",
            &format!("trace={call}"),
            "-e",
            &inject,
        ])
        .arg(env!("CARGO_BIN_EXE_custos"))
        .args(attesting(name))
        .current_dir(sandbox.root())
        .env("CUSTOS_HOME", sandbox.path("home"));
    let output = command.output().unwrap();
    output.status.signal() == Some(9) || output.status.code() == Some(137)
}

fn strace_works() -> bool {
    let mut command = Command::new("strace");
    let done = command.args(["-qq", "-o", "/dev/null", "true"]).output();
    done.is_ok_and(|output| output.status.success())
}

#[test]
fn a_file_system_without_locks_is_named() {
    if !strace_works() {
        return;
    }
    let sandbox = project(1);
    for (call, first, args) in [
        ("fcntl", "3+", ["trace", "f0"]),
        ("flock", "1+", ["evidence", "reindex"]),
    ] {
        let mut command = Command::new("strace");
        let inject = format!("inject={call}:error=ENOLCK:when={first}");
        let trace = format!("trace={call}");
        command
            .args(["-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject])
            .arg(env!("CARGO_BIN_EXE_custos"))
            .args(args)
            .current_dir(sandbox.root())
            .env("CUSTOS_HOME", sandbox.path("home"));
        let said = crate::sandbox::finish(command).failed(3, "E0601");
        assert!(
            said.stderr.to_lowercase().contains("no locks"),
            "{}",
            said.stderr
        );
    }
    sandbox.run(&["evidence", "check"]).ok();
}

#[test]
fn names_in_statements_do_nothing_to_a_terminal_or_a_drawing() {
    let sandbox = project(0);
    let name = "m\u{1b}[2J\u{9b}1m\u{202e}txt.\"];evil [label=\"&#8238;\\N";
    attest(&sandbox, name).ok();
    let human = sandbox.run(&["trace", name]).ok().stdout;
    let json = sandbox.json(&["trace", name]).ok();
    let dot = sandbox.run(&["--format", "dot", "trace", name]).ok();
    let dot = dot.stdout;
    for text in [&human, &json.stdout, &dot] {
        let hidden = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
        assert!(!text.contains(hidden), "{text:?}");
    }
    let names = json.json()["trace"]["artifacts"][0]["names"].clone();
    assert_eq!(names[0], name, "JSON says what was signed");
    assert!(
        dot.contains("\\\"];evil [label=\\\"&amp;#8238;\\\\N"),
        "{dot}"
    );
    assert!(human.contains("];evil"), "{human}");
}

/// Kills a command at writes and syncs of log and database: before the log, with the entry in the
/// write-ahead log only, between log and index, behind both. Whatever the log has then is found
/// again, by the command or by the next one.
#[test]
fn what_a_kill_left_between_log_and_index_is_found_again() {
    if !strace_works() {
        // The log's own sweep says so aloud, and the crate's tests cut the same places in-process.
        return;
    }
    let sandbox = project(1);
    let (mut waiting, mut unlogged, mut hidden) = (0, 0, 0);
    let points = [
        ("pwritev", 1),
        ("fdatasync", 1),
        ("rename", 1),
        ("fsync", 2),
        ("fsync", 3),
    ];
    let writes = (10..60).step_by(5).map(|nth| ("pwrite64", nth));
    for (call, nth) in points.into_iter().chain(writes) {
        let name = format!("{call}{nth}");
        sandbox.write(&name, format!("content of {name}"));
        let before = sandbox.log_size();
        if !killed(&sandbox, call, nth, &name) {
            continue;
        }
        let published = sandbox.log_size();
        let report = sandbox.json(&["evidence", "check"]).json();
        assert_eq!(report["missingCount"], 0, "{call} {nth}: {report}");
        let left = |key: &str| report[key].as_array().unwrap().len();
        waiting += left("waiting");
        unlogged += left("unlogged");
        if left("waiting") > 0 && waiting % 2 == 0 {
            // The next command that asks for facts finishes it by itself.
            sandbox
                .run(&["trace", "f0"])
                .ok()
                .says("finished 1 statement");
        } else {
            sandbox
                .run(&["evidence", "reindex", "--forget-drafts"])
                .ok();
        }
        let size = sandbox.log_size();
        hidden += size - published;
        let report = sandbox.json(&["evidence", "check"]).ok().json();
        assert_eq!(report["statements"], size, "{call} {nth}: {report}");
        assert_eq!(report["unlogged"], Value::Array(Vec::new()));
        if size > before {
            sandbox.run(&["trace", &name]).ok().says("example.com/p");
        }
    }
    assert!(waiting >= 2, "no kill met the place between log and index");
    assert!(unlogged >= 1, "no kill met the place before the log");
    assert!(
        hidden >= 1,
        "no kill met an entry in the write-ahead log only"
    );
}
