//! The life of keys from the command line: revoke, rotate, impact, thresholds.

use serde_json::Value;

use crate::sandbox::Sandbox;

const LONG_AGO: &str = "2020-01-01T00:00:00Z";
const FAR: &str = "2999-01-01T00:00:00Z";

pub fn attest(
    sandbox: &Sandbox,
    artifact: &str,
    (kind, predicate): (&str, &str),
    key: &str,
) -> Value {
    let said = sandbox.json(&[
        "attest",
        artifact,
        "--type",
        kind,
        "--predicate",
        predicate,
        "--key",
        key,
    ]);
    said.ok().json()
}

pub fn deploy(sandbox: &Sandbox, artifact: &str, workload: &str, state: &str) {
    let text = format!(
        r#"{{"state":"{state}","environment":"production","workload":"{workload}","at":"2026-11-23T12:00:00Z"}}"#
    );
    sandbox.write("deployment.json", text);
    attest(sandbox, artifact, ("deployment", "deployment.json"), "ops");
}

pub fn run(sandbox: &Sandbox, line: &str) {
    sandbox.line(line).ok();
}

#[test]
fn what_was_logged_before_stays_and_what_came_later_is_out() {
    let sandbox = Sandbox::with_keys(&["trainer", "other"]);
    sandbox.model("old");
    sandbox.model("new");
    sandbox.write("new/more", "later");
    run(&sandbox, "sign old --key trainer");
    run(&sandbox, "sign new --key trainer");
    run(&sandbox, "verify old");
    run(&sandbox, "verify new");
    let said = sandbox
        .json(&[
            "keys",
            "revoke",
            "trainer",
            "--since",
            FAR,
            "--since-index",
            "1",
            "--reason",
            "stolen",
        ])
        .ok()
        .json();
    assert_eq!(said["applied"], true);
    assert_eq!(said["sure"], "given");
    run(&sandbox, "verify old");
    sandbox
        .run(&["verify", "new"])
        .failed(4, "E0801")
        .says("stolen");
    // Without the log nothing proves that a signature is old.
    sandbox.model("bare");
    run(&sandbox, "sign bare --key trainer --no-log");
    sandbox
        .run(&["verify", "bare", "--allow-unlogged"])
        .failed(4, "E0801");
    // Nobody else is concerned.
    sandbox.model("fine");
    run(&sandbox, "sign fine --key other");
    run(&sandbox, "verify fine");
}

#[test]
fn a_time_is_found_in_the_log_and_how_sure_that_is_is_said() {
    let sandbox = Sandbox::with_keys(&["trainer"]);
    sandbox.model("m");
    run(&sandbox, "sign m --key trainer");
    let revoke = |since: &str| {
        let said = sandbox.json(&[
            "keys", "revoke", "trainer", "--since", since, "--reason", "r",
        ]);
        said.ok().json()
    };
    let said = revoke(FAR);
    assert_eq!(said["sure"], "clock");
    assert_eq!(
        said["kept"],
        serde_json::json!({ "signatures": 1, "timestamped": 0 })
    );
    assert_eq!(
        said["logs"].as_object().unwrap().values().next().unwrap(),
        1
    );
    run(&sandbox, "verify m");
    let said = revoke(LONG_AGO);
    assert_eq!(said["sure"], "nothing");
    assert_eq!(
        said["logs"].as_object().unwrap().values().next().unwrap(),
        0
    );
    assert_eq!(said["version"], 2);
    sandbox.run(&["verify", "m"]).failed(4, "E0801");
    // The list cannot be taken back by writing a shorter one.
    sandbox.write("home/trust/revocations.json", "{}");
    sandbox.run(&["verify", "m"]).failed(2, "E0802");
}

#[test]
fn the_gate_and_the_facts_know_a_revoked_key() {
    let sandbox = Sandbox::with_keys(&["data", "trainer", "release"]);
    sandbox.write("raw/a.csv", "1,2\n");
    sandbox.write(
        "dataset.json",
        r#"{"name":"raw","version":"1","licence":"CC0-1.0","records":1,
            "sources":[{"name":"typed","uri":"https://example.com"}],"modalities":["text"]}"#,
    );
    attest(&sandbox, "raw", ("dataset", "dataset.json"), "data");
    run(
        &sandbox,
        "run --name train --input raw --product model --key trainer -- sh -c 'mkdir -p model; tr 0-9 a-j < raw/a.csv > model/b.csv'",
    );
    let before = sandbox.json(&["trace", "model"]).ok().json();
    assert_eq!(before["complete"], true, "{before}");
    run(
        &sandbox,
        &format!("keys revoke trainer --since {LONG_AGO} --reason stolen"),
    );
    let after = sandbox.json(&["trace", "model"]).ok().json();
    assert_eq!(after["complete"], false);
    assert_eq!(after["rejected"][0]["code"], "E0801");
    let gate = sandbox.json(&["gate", "model", "--policy", "starter", "--key", "release"]);
    assert_eq!(gate.status, 1, "{}", gate.stderr);
}

#[test]
fn a_rotation_needs_no_change_of_the_settings() {
    let sandbox = Sandbox::with_keys(&["trainer"]);
    sandbox.model("old");
    run(&sandbox, "sign old --key trainer");
    let said = sandbox
        .json(&["keys", "rotate", "trainer", "--no-password"])
        .ok()
        .json();
    assert_eq!(said["applied"], true);
    sandbox.model("new");
    sandbox.write("new/more", "new");
    run(&sandbox, "sign new --key trainer-2");
    run(&sandbox, "verify old");
    run(&sandbox, "verify new");
    sandbox.model("late");
    sandbox.write("late/more", "late");
    run(&sandbox, "sign late --key trainer");
    sandbox
        .run(&["verify", "late"])
        .failed(1, "E0801")
        .says("replaced");
}

#[test]
fn impact_lists_artifacts_deployments_and_descendants() {
    let sandbox = Sandbox::with_keys(&["data", "trainer", "ops"]);
    sandbox.write("clean.csv", "clean");
    sandbox.write("bad.csv", "bad");
    let about = |file: &str, key: &str| {
        sandbox.write("p.json", r#"{"a":1}"#);
        attest(&sandbox, file, ("https://example.com/p", "p.json"), key)
    };
    about("clean.csv", "data");
    let bad = about("bad.csv", "trainer");
    run(
        &sandbox,
        "run --name train --input bad.csv --product m1 --key data -- sh -c 'tr a-z A-Z < bad.csv > m1'",
    );
    run(
        &sandbox,
        "run --name pack --input m1 --product m2 --key data -- sh -c 'cat m1 m1 > m2'",
    );
    run(
        &sandbox,
        "run --name train --input clean.csv --product good --key data -- sh -c 'tr a-z A-Z < clean.csv > good'",
    );
    deploy(&sandbox, "m2", "a/ranker", "running");
    deploy(&sandbox, "m2", "b/ranker", "running");
    deploy(&sandbox, "m2", "b/ranker", "stopped");
    deploy(&sandbox, "good", "c/ranker", "running");
    let impact = sandbox.json(&["keys", "impact", "trainer"]).ok().json();
    let names: Vec<&str> = impact["artifacts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    let mut sorted = names.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, ["bad.csv", "m1", "m2"], "{impact}");
    assert_eq!(impact["complete"], true);
    assert_eq!(impact["statements"][0]["logIndex"], bad["logIndex"]);
    let running: Vec<(&str, &str)> = impact["deployments"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            (
                one["workload"].as_str().unwrap(),
                one["state"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(running, [("a/ranker", "running"), ("b/ranker", "stopped")]);
    // From an index behind its only signature on, nothing is affected.
    let after = bad["logIndex"].as_u64().unwrap() + 1;
    let none = sandbox
        .json(&["keys", "impact", "trainer", "--since", &after.to_string()])
        .ok()
        .json();
    assert_eq!(none["artifacts"].as_array().unwrap().len(), 0);
    // It does not matter whether the key was revoked meanwhile.
    run(
        &sandbox,
        &format!("keys revoke trainer --since {LONG_AGO} --reason stolen"),
    );
    let again = sandbox.json(&["keys", "impact", "trainer"]).ok().json();
    assert_eq!(again["artifacts"], impact["artifacts"]);
    sandbox
        .run(&["keys", "impact", "trainer"])
        .ok()
        .says("a/ranker");
}

#[test]
fn a_file_that_was_signed_itself_is_affected_too() {
    let sandbox = Sandbox::with_keys(&["trainer", "data"]);
    sandbox.write("model.bin", "weights");
    run(&sandbox, "sign model.bin --key trainer");
    run(
        &sandbox,
        "run --name pack --input model.bin --product m2 --key data -- sh -c 'cat model.bin model.bin > m2'",
    );
    let impact = sandbox.json(&["keys", "impact", "trainer"]).ok().json();
    let artifacts = impact["artifacts"].as_array().unwrap();
    let mut names: Vec<&str> = artifacts
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["a signed file", "m2"], "{impact}");
    assert_eq!(impact["complete"], true, "{impact}");
}

#[test]
fn impact_says_what_it_cannot_know() {
    let sandbox = Sandbox::with_keys(&["trainer"]);
    sandbox.write("p.json", r#"{"a":1}"#);
    sandbox.write("x", "x");
    attest(
        &sandbox,
        "x",
        ("https://example.com/p", "p.json"),
        "trainer",
    );
    // The log has an entry by the key whose statement this home does not have.
    for file in ["home/custos.db", "home/custos.db-wal", "home/custos.db-shm"] {
        let _ = std::fs::remove_file(sandbox.path(file));
    }
    sandbox.write("y", "y");
    attest(
        &sandbox,
        "y",
        ("https://example.com/p", "p.json"),
        "trainer",
    );
    let said = sandbox.json(&["keys", "impact", "trainer"]);
    assert_eq!(said.status, 3);
    let impact = said.json();
    assert_eq!(impact["complete"], false);
    assert!(impact["missing"].to_string().contains("#0"), "{impact}");
    assert_eq!(impact["artifacts"].as_array().unwrap().len(), 1);
}

/// A team of three, two of whom must agree, whose root the home follows.
pub fn team() -> Sandbox {
    let sandbox = Sandbox::with_keys(&["a", "b", "c", "online", "trainer"]);
    let publish = "trust publish repo --key online";
    run(
        &sandbox,
        &format!("{publish} --root-key a --root-key b --root-key c --threshold 2"),
    );
    assert!(!sandbox.path("repo/1.root.json").exists());
    run(&sandbox, "keys approve repo/staged/root.json --key a");
    run(&sandbox, "keys approve repo/staged/root.json --key a");
    run(&sandbox, publish);
    assert!(!sandbox.path("repo/1.root.json").exists());
    run(&sandbox, "keys approve repo/staged/root.json --key b");
    run(&sandbox, publish);
    assert!(sandbox.path("repo/1.root.json").exists());
    for key in ["a", "c"] {
        run(
            &sandbox,
            &format!("keys approve repo/staged/targets.json --key {key}"),
        );
    }
    run(&sandbox, publish);
    run(&sandbox, "trust add-root repo/root.json --from repo");
    run(&sandbox, "trust update");
    sandbox
}

#[test]
fn a_revocation_takes_two_different_keys_of_three() {
    let sandbox = team();
    sandbox.model("m");
    run(&sandbox, "sign m --key trainer");
    let said = sandbox
        .json(&[
            "keys", "revoke", "trainer", "--since", LONG_AGO, "--reason", "stolen",
        ])
        .ok()
        .json();
    assert_eq!(said["applied"], false);
    assert_eq!(said["threshold"], 2);
    let proposal = said["proposal"].as_str().unwrap().to_owned();
    run(&sandbox, "verify m");
    let approve = |key: &str| {
        let said = sandbox.json(&["keys", "approve", &proposal, "--key", key]);
        said.ok().json()
    };
    // A key that is not of the root role has no say.
    sandbox
        .run(&["keys", "approve", &proposal, "--key", "trainer"])
        .failed(2, "E0803");
    assert_eq!(approve("a")["applied"], false);
    // The same key once more counts once.
    assert_eq!(approve("a")["approvedBy"].as_array().unwrap().len(), 1);
    run(&sandbox, "verify m");
    // A word that is taken back no longer counts.
    run(
        &sandbox,
        &format!("keys approve {proposal} --key a --reject --comment wait"),
    );
    assert_eq!(approve("b")["applied"], false);
    let last = approve("c");
    assert_eq!(last["applied"], true);
    assert_eq!(last["approvedBy"].as_array().unwrap().len(), 2);
    sandbox.run(&["verify", "m"]).failed(4, "E0801");
}

#[test]
fn a_team_gets_revocations_through_its_trust_root() {
    let sandbox = team();
    sandbox.model("m");
    run(&sandbox, "sign m --key trainer");
    run(&sandbox, "verify m");
    let said = sandbox
        .json(&[
            "keys", "revoke", "trainer", "--since", LONG_AGO, "--reason", "stolen",
        ])
        .ok()
        .json();
    let proposal = said["proposal"].as_str().unwrap().to_owned();
    // Another machine of the team, which only follows the root.
    let log_key = sandbox.run(&["log", "key"]).ok().stdout;
    let member = |args: &[&str]| {
        let mut all = vec!["--home", "member"];
        all.extend(args);
        sandbox.run(&all)
    };
    member(&["trust", "add-root", "repo/root.json", "--from", "repo"]).ok();
    member(&["trust", "update"]).ok().says("nothing");
    let verify = [
        "verify",
        "m",
        "--key",
        "home/keys/trainer.pub",
        "--log-key",
        log_key.trim(),
    ];
    member(&verify).ok();
    for key in ["a", "b"] {
        run(&sandbox, &format!("keys approve {proposal} --key {key}"));
    }
    run(&sandbox, "trust publish repo --key online");
    for key in ["b", "c"] {
        run(
            &sandbox,
            &format!("keys approve repo/staged/targets.json --key {key}"),
        );
    }
    run(&sandbox, "trust publish repo --key online");
    member(&verify).ok();
    member(&["trust", "update"]).ok().says("revocations.json");
    member(&verify).failed(4, "E0801").says("stolen");
    // Taken away, it is missed.
    std::fs::remove_file(sandbox.path("member/trust/revocations.json")).unwrap();
    member(&verify).failed(3, "E0802");
    member(&["trust", "update"]).ok().says("revocations.json");
    member(&verify).failed(4, "E0801");
    let status = sandbox
        .json(&["--home", "member", "trust", "status"])
        .ok()
        .json();
    assert_eq!(status["threshold"], 2);
    assert_eq!(status["roles"].as_array().unwrap().len(), 4);
}

#[test]
fn a_changed_repository_is_an_alarm_and_changes_nothing() {
    let sandbox = team();
    let path = sandbox.path("repo/timestamp.json");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("\"version\": 1", "\"version\": 9")).unwrap();
    sandbox.run(&["trust", "update"]).failed(4, "E0821");
    std::fs::remove_file(&path).unwrap();
    sandbox.run(&["trust", "update"]).failed(3, "E0822");
    std::fs::write(&path, text).unwrap();
    run(&sandbox, "trust update");
    sandbox.write("other.json", "{}");
    sandbox
        .run(&["trust", "add-root", "other.json", "--from", "repo"])
        .failed(2, "E0824");
    let pinned = [
        "trust",
        "add-root",
        "repo/root.json",
        "--from",
        "repo",
        "--sha256",
        "00",
    ];
    sandbox.run(&pinned).failed(4, "E0821");
}

#[test]
fn where_policies_are_approved_the_gate_takes_no_other() {
    let sandbox = team();
    sandbox.write(
        "policy/gate.rego",
        "package custos.gate\n\ndefault allow := false\n\nallow if input.custos.artifact.name == \"m\"\n",
    );
    sandbox.write("m", "model");
    let gate = ["gate", "m", "--policy", "policy", "--key", "a"];
    let first = sandbox.run(&gate);
    assert_ne!(first.status, 2, "{}", first.stderr);
    run(&sandbox, "keys approve policy --key a");
    assert!(!sandbox.path("home/trust/policies.json").exists());
    run(&sandbox, "keys approve policy --key b");
    assert_eq!(sandbox.run(&gate).status, first.status);
    let path = sandbox.path("policy/gate.rego");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("\"m\"", "\"n\"")).unwrap();
    sandbox.run(&gate).failed(1, "E0804");
    // One who takes their word back leaves too few; then no policy decides here.
    std::fs::write(&path, text).unwrap();
    assert_eq!(sandbox.run(&gate).status, first.status);
    sandbox
        .line("keys approve policy --key b --reject")
        .ok()
        .says("withdrawn");
    sandbox.run(&gate).failed(1, "E0804");
    run(&sandbox, "keys approve policy --key c");
    assert_eq!(sandbox.run(&gate).status, first.status);
}

#[test]
fn a_followed_root_delivers_whom_to_believe() {
    let sandbox = team();
    let data = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/sigstore");
    for (from, to) in [
        ("public-good.json", "trusted_root.json"),
        ("managed-key.txt", "file"),
        ("managed-key.pub", "key.pub"),
        ("managed-key.sigstore.json", "file.sigstore.json"),
    ] {
        sandbox.write(to, std::fs::read(data.join(from)).unwrap());
    }
    let verify = ["--home", "member", "verify", "file", "--key", "key.pub"];
    sandbox.run(&verify).failed(1, "E0115");
    let publish = "trust publish repo --key online --target trusted_root.json";
    run(&sandbox, publish);
    for key in ["a", "b"] {
        run(
            &sandbox,
            &format!("keys approve repo/staged/targets.json --key {key}"),
        );
        // What waits for its second signature keeps the first.
        run(&sandbox, "trust publish repo --key online");
    }
    run(
        &sandbox,
        "--home member trust add-root repo/root.json --from repo",
    );
    sandbox.run(&verify).failed(1, "E0115");
    // Publishing again, as somebody does every week, takes nothing away.
    run(&sandbox, "trust publish repo --key online");
    sandbox
        .line("--home member trust update")
        .ok()
        .says("trusted_root.json");
    sandbox.run(&verify).ok();
}
