//! A key is stolen: what rests on it, all of that, and nothing else.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::SystemTime;

use custos_core::clock::Timestamp;
use custos_core::digest::Algorithm;
use serde_json::{Value, json};

use crate::key_life::{attest, deploy, run};
use crate::sandbox::Sandbox;
use crate::serve::{Serving, with_root};

fn now() -> String {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let micros = i64::try_from(since.unwrap().as_micros()).unwrap();
    Timestamp::from_micros(micros).to_string()
}

/// A list of so many artifacts that exist nowhere, and of these files.
fn list(name: &str, count: usize, files: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for n in 0..count {
        let digest = Algorithm::Sha256.digest(format!("{name} {n}").as_bytes());
        writeln!(text, "{}  {name}-{n}", digest.to_hex()).unwrap();
    }
    for (file, content) in files {
        let digest = Algorithm::Sha256.digest(content.as_bytes());
        writeln!(text, "{}  {file}", digest.to_hex()).unwrap();
    }
    text
}

fn names(impact: &Value) -> BTreeSet<String> {
    let artifacts = impact["artifacts"].as_array().unwrap().iter();
    artifacts
        .map(|one| one["name"].as_str().unwrap().to_owned())
        .collect()
}

fn workloads(impact: &Value) -> Vec<(String, String)> {
    let all = impact["deployments"].as_array().unwrap().iter();
    let text = |one: &Value, field: &str| one[field].as_str().unwrap().to_owned();
    all.map(|one| (text(one, "workload"), text(one, "state")))
        .collect()
}

#[test]
fn ten_thousand_artifacts_under_a_stolen_key() {
    let sandbox = Sandbox::with_keys(&["trainer", "other", "ops"]);
    let old = [("old.bin", "old")];
    let new = [("base.bin", "base"), ("side.bin", "side")];
    let fine = [("fine.bin", "fine")];
    for (file, content) in old.iter().chain(&new).chain(&fine) {
        sandbox.write(file, content);
    }
    sandbox.write("old.txt", list("old", 100, &old));
    sandbox.write("new.txt", list("new", 9_998, &new));
    sandbox.write("fine.txt", list("fine", 100, &fine));
    run(&sandbox, "sign old.txt --batch old-proofs --key trainer");
    let since = now();
    run(&sandbox, "sign fine.txt --batch fine-proofs --key other");
    run(&sandbox, "sign new.txt --batch new-proofs --key trainer");
    let step = |name: &str, from: &str, to: &str| {
        run(
            &sandbox,
            &format!(
                "run --name {name} --input {from} --product {to} --key other -- sh -c 'cat {from} {from} > {to}'"
            ),
        );
    };
    step("train", "base.bin", "model.bin");
    step("quantise", "model.bin", "small.bin");
    step("train", "fine.bin", "fine-model.bin");
    step("train", "old.bin", "old-model.bin");
    deploy(&sandbox, "small.bin", "a/ranker", "running");
    deploy(&sandbox, "side.bin", "b/ranker", "running");
    deploy(&sandbox, "fine-model.bin", "c/ranker", "running");
    // It ran there, and something else runs there now.
    deploy(&sandbox, "model.bin", "d/ranker", "running");
    deploy(&sandbox, "fine-model.bin", "d/ranker", "running");
    run(
        &sandbox,
        &format!("keys revoke trainer --since {since} --reason stolen"),
    );
    let impact = sandbox.json(&["keys", "impact", "trainer"]).ok().json();
    assert_eq!(impact["complete"], true, "{}", impact["missing"]);
    let mut expected: BTreeSet<String> = (0..9_998).map(|n| format!("new-{n}")).collect();
    for name in ["base.bin", "side.bin", "new.txt", "model.bin", "small.bin"] {
        expected.insert(name.to_owned());
    }
    assert_eq!(names(&impact), expected);
    let running = [("a/ranker", "running"), ("b/ranker", "running")];
    let running = running.map(|(one, state)| (one.to_owned(), state.to_owned()));
    assert_eq!(workloads(&impact), running);
    // From the beginning, what came before as well.
    let all = sandbox
        .json(&["keys", "impact", "trainer", "--since", "0"])
        .ok()
        .json();
    assert_eq!(names(&all).len(), expected.len() + 103);
    assert!(names(&all).contains("old-model.bin"));
    // A home that has the statement and not the list says what it cannot name.
    std::fs::remove_dir_all(sandbox.path("home/documents")).unwrap();
    let said = sandbox.json(&["keys", "impact", "trainer"]);
    assert_eq!(said.status, 3);
    let missing = said.json()["missing"].to_string();
    assert!(missing.contains("10000 artifacts") && missing.contains("--list"));
    let with = ["keys", "impact", "trainer", "--list", "new.txt"];
    assert_eq!(names(&sandbox.json(&with).ok().json()), expected);
}

#[test]
fn nobody_hides_a_workload_by_saying_that_it_has_stopped() {
    let sandbox = Sandbox::with_keys(&["trainer", "ops"]);
    sandbox.write("m", "m");
    run(&sandbox, "sign m --key trainer");
    deploy(&sandbox, "m", "a/ranker", "running");
    run(&sandbox, "keys generate stranger --no-password");
    sandbox.write(
        "stopped.json",
        r#"{"state":"stopped","environment":"production","workload":"a/ranker","at":"2026-11-23T12:00:00Z"}"#,
    );
    attest(&sandbox, "m", ("deployment", "stopped.json"), "stranger");
    let impact = sandbox.json(&["keys", "impact", "trainer"]).ok().json();
    assert_eq!(
        workloads(&impact),
        [("a/ranker".to_owned(), "running".to_owned())]
    );
    deploy(&sandbox, "m", "a/ranker", "stopped");
    let impact = sandbox.json(&["keys", "impact", "trainer"]).ok().json();
    assert_eq!(
        workloads(&impact),
        [("a/ranker".to_owned(), "stopped".to_owned())]
    );
}

#[test]
fn what_nobody_logged_is_found_too() {
    let sandbox = Sandbox::with_keys(&["trainer", "other"]);
    for (file, key) in [("a", "trainer"), ("b", "trainer"), ("c", "other")] {
        sandbox.write(file, file);
        let unlogged = if file == "a" { "" } else { "--no-log" };
        run(&sandbox, &format!("sign {file} --key {key} {unlogged}"));
    }
    run(&sandbox, "evidence add b.sigstore.json c.sigstore.json");
    let impact = sandbox.json(&["keys", "impact", "trainer"]).ok().json();
    assert_eq!(
        impact["statements"].as_array().unwrap().len(),
        2,
        "{impact}"
    );
    let digests = impact["artifacts"].to_string();
    assert!(digests.contains(&Algorithm::Sha256.digest(b"b").to_hex()));
    assert!(!digests.contains(&Algorithm::Sha256.digest(b"c").to_hex()));
}

#[test]
fn trusted_timestamps_make_the_index_sure() {
    let far = with_root();
    let serving = Serving::start(&far);
    let home = Sandbox::with_keys(&["trainer"]);
    let config = json!({
        "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
        "caUrls": [], "oidcUrls": [], "rekorTlogUrls": [],
        "tsaUrls": [{
            "url": format!("{}/api/v1/timestamp", serving.url.trim_end_matches('/')),
            "majorApiVersion": 1,
            "validFor": { "start": "2020-01-01T00:00:00Z" },
            "operator": "test",
        }],
        "rekorTlogConfig": { "selector": "ANY" },
        "tsaConfig": { "selector": "ANY" },
    });
    home.write("signing.json", config.to_string());
    home.write("root.json", far.read("home/trust/trusted_root.json"));
    let settings = home.read("custos.toml");
    home.write(
        "custos.toml",
        format!("{settings}[trust]\nsigstore_root = \"root.json\"\n"),
    );
    home.write("stamped", "stamped");
    run(
        &home,
        "sign stamped --key trainer --signing-config signing.json",
    );
    let revoke = |since: &str| {
        let words = [
            "keys", "revoke", "trainer", "--reason", "r", "--since", since,
        ];
        home.json(&words).ok().json()
    };
    // Whole seconds are what a timestamp tells.
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    let since = now();
    let said = revoke(&since);
    assert_eq!(said["sure"], "timestamps", "{said}");
    assert_eq!(said["kept"], json!({ "signatures": 1, "timestamped": 1 }));
    run(&home, "verify stamped");
    // One that only this machine's clock vouches for, and the whole is no better than that.
    let home_two = home;
    home_two.write("plain", "plain");
    run(&home_two, "sign plain --key trainer");
    let words = ["keys", "revoke", "trainer", "--reason", "r", "--since"];
    let later = now();
    let said = home_two.json(&[&words[..], &[&later]].concat()).ok().json();
    assert_eq!(said["sure"], "clock");
    assert_eq!(said["kept"], json!({ "signatures": 2, "timestamped": 1 }));
}

#[test]
fn an_index_that_is_not_there_yet_is_refused() {
    let sandbox = Sandbox::with_keys(&["trainer"]);
    sandbox.write("m", "m");
    run(&sandbox, "sign m --key trainer");
    let revoke = |index: &str| {
        let words = [
            "keys",
            "revoke",
            "trainer",
            "--since",
            "2020-01-01T00:00:00Z",
        ];
        sandbox.run(&[&words[..], &["--reason", "r", "--since-index", index]].concat())
    };
    revoke("2").failed(2, "E0404");
    revoke("1").ok();
    run(&sandbox, "verify m");
}

#[test]
fn where_a_bundle_says_that_it_stands_moves_nothing() {
    let sandbox = Sandbox::with_keys(&["trainer"]);
    let sign = |file: &str| {
        sandbox.write(file, file);
        run(&sandbox, &format!("sign {file} --key trainer"));
    };
    sign("old");
    // Somebody hands in a bundle that says that it stands further on, and as another entry.
    for (index, name) in [
        ("0", "zero.json"),
        ("1", "one.json"),
        ("2", "two.json"),
        ("900", "far.json"),
    ] {
        let mut bundle: Value = serde_json::from_str(&sandbox.read("old.sigstore.json")).unwrap();
        bundle["messageSignature"]["messageDigest"]["digest"] = "AAAA".into();
        let entry = &mut bundle["verificationMaterial"]["tlogEntries"][0];
        entry["logIndex"] = index.into();
        entry["inclusionProof"]["logIndex"] = index.into();
        sandbox.write(name, bundle.to_string());
    }
    run(
        &sandbox,
        "evidence add zero.json one.json two.json far.json",
    );
    let since = now();
    sign("late");
    sign("later");
    let words = ["keys", "revoke", "trainer", "--reason", "r", "--since"];
    let said = sandbox.json(&[&words[..], &[&since]].concat()).ok().json();
    let logs = said["logs"].as_object().unwrap();
    assert_eq!(logs.values().collect::<Vec<_>>(), [1]);
    run(&sandbox, "verify old");
    for file in ["late", "later"] {
        sandbox.run(&["verify", file]).failed(4, "E0801");
    }
    let impact = sandbox.json(&["keys", "impact", "trainer"]).ok().json();
    assert_eq!(
        impact["statements"].as_array().unwrap().len(),
        2,
        "{impact}"
    );
    // Nor does it hide a signature from whoever follows the log.
    let watch = ["log", "watch", "--once", "--since", "0"];
    sandbox.run(&watch).ok();
    let home = sandbox.path("home");
    for file in ["custos.db", "custos.db-wal", "custos.db-shm"] {
        let _ = std::fs::remove_file(home.join(file));
    }
    run(
        &sandbox,
        "evidence add one.json two.json old.sigstore.json late.sigstore.json",
    );
    let said = sandbox.json(&watch);
    assert_eq!(said.status, 4);
    let line: Value = serde_json::from_str(said.stdout.lines().next().unwrap()).unwrap();
    assert_eq!(line["entries"].as_array().unwrap().len(), 1, "{line}");
    assert_eq!(line["entries"][0]["index"], 2);
}
