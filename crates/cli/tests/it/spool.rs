//! Store and forward: signed while the log is away, logged later, nothing lost.

use std::fs::File;
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::sandbox::{Sandbox, finish};

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::with_keys(&["k", "release"]);
    let settings = sandbox.read("custos.toml");
    sandbox.write(
        "custos.toml",
        format!("[signing]\npending_hours = 24\n\n{settings}"),
    );
    sandbox.write("p.json", r#"{"a":1}"#);
    sandbox.write("first", "first");
    sandbox.line("sign first --key k").ok();
    sandbox
}

/// Runs commands at once while somebody else holds the log for as long as they wait.
fn while_the_log_is_away(sandbox: &Sandbox, lines: &[String]) -> Vec<Value> {
    let held = File::open(sandbox.path("home/log")).unwrap();
    held.lock().unwrap();
    let children: Vec<Child> = lines
        .iter()
        .map(|line| {
            let mut words = vec!["--format", "json"];
            words.extend(line.split(' '));
            let mut command = sandbox.command(&words);
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().unwrap()
        })
        .collect();
    children
        .into_iter()
        .map(|child| {
            let output = child.wait_with_output().unwrap();
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{stderr}");
            serde_json::from_slice(&output.stdout).unwrap()
        })
        .collect()
}

fn waiting(sandbox: &Sandbox) -> usize {
    std::fs::read_dir(sandbox.path("home/spool/pending")).map_or(0, Iterator::count)
}

#[test]
fn what_was_signed_while_the_log_was_away_is_pending_and_then_logged() {
    let sandbox = sandbox();
    sandbox.write("m", "model");
    sandbox.model("tree");
    let said = while_the_log_is_away(
        &sandbox,
        &[
            "sign m --key k".to_owned(),
            "sign tree --key k".to_owned(),
            "attest m --type https://example.com/p --predicate p.json --key k".to_owned(),
        ],
    );
    for one in &said {
        assert_eq!(one["status"], "pending", "{one}");
        assert_eq!(one["logIndex"], Value::Null);
        assert!(one["logBy"].is_string());
    }
    assert_eq!(waiting(&sandbox), 3);
    assert_eq!(sandbox.log_size(), 1);
    // It is no proof yet, and no fact; the gate says what is missing.
    sandbox.line("verify m").failed(1, "E0114");
    let gate = sandbox.json(&["gate", "m", "--policy", "starter", "--key", "release"]);
    assert_eq!(gate.status, 1, "{}", gate.stderr);
    assert!(gate.stdout.contains("statement-pending"), "{}", gate.stdout);
    sandbox.line("doctor").says("3 statements to be logged");
    // The log is back.
    let before = sandbox.log_size();
    let flushed = sandbox.json(&["log", "flush"]).ok().json();
    assert_eq!(flushed["flushed"].as_array().unwrap().len(), 3);
    assert_eq!(waiting(&sandbox), 0);
    assert_eq!(sandbox.log_size(), before + 3);
    // The files beside the artifacts have their log entry now.
    sandbox.line("verify m").ok();
    sandbox.line("verify tree").ok();
    sandbox.line("log fsck").ok();
    sandbox.line("evidence check").ok();
    sandbox.line("log watch --once").ok();
    sandbox.line("log flush").ok().says("nothing waits");
}

#[test]
fn without_the_setting_nothing_is_signed_while_the_log_is_away() {
    let sandbox = Sandbox::with_keys(&["k"]);
    sandbox.write("first", "first");
    sandbox.line("sign first --key k").ok();
    sandbox.write("m", "model");
    let held = File::open(sandbox.path("home/log")).unwrap();
    held.lock().unwrap();
    sandbox.line("sign m --key k").failed(3, "E0401");
    assert!(!sandbox.path("m.sigstore.json").exists());
    assert_eq!(waiting(&sandbox), 0);
}

#[test]
fn a_log_that_contradicts_itself_is_no_outage() {
    let sandbox = sandbox();
    let path = sandbox.path("home/log/checkpoint");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replacen("\n1\n", "\n2\n", 1)).unwrap();
    sandbox.write("m", "model");
    sandbox.line("sign m --key k").failed(4, "E0403");
    assert_eq!(waiting(&sandbox), 0);
}

#[test]
fn a_flush_that_is_killed_loses_nothing_and_logs_nothing_twice() {
    let sandbox = sandbox();
    let files: Vec<String> = (0..6).map(|n| format!("f{n}")).collect();
    for file in &files {
        sandbox.write(file, file);
    }
    let lines: Vec<String> = files
        .iter()
        .map(|file| format!("sign {file} --key k"))
        .collect();
    while_the_log_is_away(&sandbox, &lines);
    assert_eq!(waiting(&sandbox), 6);
    // Killed again and again, each time a little later.
    for step in 0..60_u64 {
        let mut command = sandbox.command(&["log", "flush"]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        std::thread::sleep(Duration::from_micros(500 * step));
        let _ = child.kill();
        child.wait().unwrap();
    }
    let done = finish(sandbox.command(&["log", "flush"]));
    assert_eq!(done.status, 0, "{}", done.stderr);
    assert_eq!(waiting(&sandbox), 0);
    assert_eq!(sandbox.log_size(), 7);
    for file in &files {
        sandbox.line(&format!("verify {file}")).ok();
    }
    sandbox.line("log fsck").ok();
    sandbox.line("evidence check").ok();
}
