//! Following a trust root from the command line: being ahead of it, damage, interruption, votes.

use crate::key_life::{run, team};
use crate::sandbox::Sandbox;

const LONG_AGO: &str = "2020-01-01T00:00:00Z";

fn propose(sandbox: &Sandbox, home: &str, key: &str) -> String {
    let words = ["--home", home, "keys", "revoke", key, "--since", LONG_AGO];
    let said = sandbox
        .json(&[&words[..], &["--reason", "stolen"]].concat())
        .ok()
        .json();
    said["proposal"].as_str().unwrap().to_owned()
}

fn agree(sandbox: &Sandbox, home: &str, what: &str) {
    for key in ["a", "b"] {
        let key = format!("home/keys/{key}.key");
        run(
            sandbox,
            &format!("--home {home} keys approve {what} --key {key}"),
        );
    }
}

fn revoked(sandbox: &Sandbox, home: &str) -> usize {
    let list = sandbox.read(&format!("{home}/trust/revocations.json"));
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    list["revoked"].as_array().unwrap().len()
}

#[test]
fn a_home_that_is_ahead_of_its_root_forgets_nothing() {
    let sandbox = team();
    run(&sandbox, "keys generate second --no-password");
    run(&sandbox, "keys generate third --no-password");
    // Each of two homes agrees to something, before any of it is published.
    let first = propose(&sandbox, "home", "trainer");
    agree(&sandbox, "home", &first);
    run(&sandbox, "trust publish repo --key online");
    agree(&sandbox, "home", "repo/staged/targets.json");
    run(&sandbox, "trust publish repo --key online");
    run(&sandbox, "trust update");
    let second = propose(&sandbox, "home", "second");
    agree(&sandbox, "home", &second);
    sandbox.line("trust update").ok().says("nothing");
    assert_eq!(revoked(&sandbox, "home"), 2);
    run(
        &sandbox,
        "--home member trust add-root repo/root.json --from repo",
    );
    let other = propose(&sandbox, "member", "home/keys/third.pub");
    agree(&sandbox, "member", &other);
    assert_eq!(revoked(&sandbox, "member"), 1);
    let update = || sandbox.line("--home member trust update");
    update().ok().says("revocations.json");
    assert_eq!(revoked(&sandbox, "member"), 2);
    update().ok().says("nothing");
    run(&sandbox, "trust publish repo --key online");
    agree(&sandbox, "home", "repo/staged/targets.json");
    run(&sandbox, "trust publish repo --key online");
    update().ok().says("revocations.json");
    assert_eq!(revoked(&sandbox, "member"), 3);
    run(&sandbox, "--home member trust status");
}

#[test]
fn what_was_seen_last_is_damaged_and_the_way_out_has_a_name() {
    let sandbox = team();
    sandbox.write("home/trust/metadata/timestamp.json", "{");
    sandbox
        .line("trust update")
        .failed(3, "E0822")
        .says("--reset");
    sandbox.line("trust status").failed(3, "E0822");
    run(&sandbox, "trust update --reset");
    run(&sandbox, "trust update");
    // What is delivered cannot be told from damaged targets, so nothing is taken for not revoked.
    sandbox.model("m");
    run(&sandbox, "sign m --key trainer");
    run(&sandbox, "verify m");
    sandbox.write("home/trust/metadata/targets.json", "{");
    sandbox.line("verify m").failed(3, "E0822");
    run(&sandbox, "trust update");
    run(&sandbox, "verify m");
    sandbox.write("home/trust/metadata/root.json", "{");
    sandbox
        .line("trust update")
        .failed(3, "E0822")
        .says("add-root");
    run(&sandbox, "trust add-root repo/root.json --from repo");
    run(&sandbox, "trust update");
}

#[test]
fn an_interrupted_update_is_no_attack() {
    let sandbox = team();
    let second = propose(&sandbox, "home", "trainer");
    agree(&sandbox, "home", &second);
    run(&sandbox, "trust publish repo --key online");
    agree(&sandbox, "home", "repo/staged/targets.json");
    run(&sandbox, "trust publish repo --key online");
    let snapshot = std::fs::read_dir(sandbox.path("repo")).unwrap();
    let newest = snapshot
        .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
        .filter(|name| name.ends_with(".snapshot.json"))
        .max()
        .unwrap();
    let path = sandbox.path(&format!("repo/{newest}"));
    let bytes = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    sandbox.line("trust update").failed(3, "E0822");
    run(&sandbox, "trust status");
    sandbox.line("doctor").says("keys");
    std::fs::write(&path, bytes).unwrap();
    run(&sandbox, "trust update");
}

#[test]
fn who_holds_a_key_and_its_successor_has_one_vote() {
    let sandbox = team();
    sandbox.write(
        "policy/gate.rego",
        "package custos.gate\n\ndefault allow := false\n",
    );
    // The first key agrees; then, as the others want, another takes over from it.
    let said = sandbox
        .json(&["keys", "approve", "policy", "--key", "a"])
        .ok()
        .json();
    let digest = said["digest"].as_str().unwrap().to_owned();
    let rotation = sandbox
        .json(&["keys", "rotate", "a", "--no-password"])
        .ok()
        .json();
    let rotation = rotation["proposal"].as_str().unwrap().to_owned();
    for key in ["b", "c"] {
        run(&sandbox, &format!("keys approve {rotation} --key {key}"));
    }
    sandbox
        .line("keys approve policy --key a-2")
        .failed(2, "E0803");
    sandbox.write(
        "approval.json",
        r#"{"answer":"approved","kind":"policy","proposal":"policy","at":"2026-11-23T12:00:00Z"}"#,
    );
    let words = ["attest", &digest, "--type", "approval", "--predicate"];
    sandbox
        .run(&[&words[..], &["approval.json", "--key", "a-2"]].concat())
        .ok();
    let again = sandbox
        .json(&["keys", "approve", "policy", "--key", "a"])
        .ok()
        .json();
    assert_eq!(again["approvedBy"].as_array().unwrap().len(), 1, "{again}");
    assert_eq!(again["applied"], false);
    assert!(!sandbox.path("home/trust/policies.json").exists());
    run(&sandbox, "keys approve policy --key b");
    assert!(sandbox.path("home/trust/policies.json").exists());
}

#[test]
fn proposals_of_the_same_day_do_not_shut_each_other_out() {
    let sandbox = team();
    run(&sandbox, "keys generate second --no-password");
    // Both were made before either was agreed to.
    let one = propose(&sandbox, "home", "trainer");
    let two = propose(&sandbox, "home", "second");
    agree(&sandbox, "home", &one);
    agree(&sandbox, "home", &two);
    assert_eq!(revoked(&sandbox, "home"), 2);
    // Agreed to once more, it says nothing new.
    run(&sandbox, &format!("keys approve {one} --key c"));
    assert_eq!(revoked(&sandbox, "home"), 2);
}

#[test]
fn doctor_says_how_old_a_followed_root_is_and_when_it_ends() {
    let sandbox = team();
    let trust = |home: &str| {
        let said = sandbox.json(&["--home", home, "doctor"]).json();
        let checks = said["checks"].as_array().unwrap().clone();
        let found = checks.into_iter().find(|one| one["name"] == "trust");
        found.unwrap()
    };
    let found = trust("home");
    assert_eq!(found["state"], "ok", "{found}");
    assert!(found["detail"].as_str().unwrap().contains("updated today"));
    run(
        &sandbox,
        "--home member trust add-root repo/root.json --from repo",
    );
    let found = trust("member");
    assert_eq!(found["state"], "warn", "{found}");
    assert!(found["detail"].as_str().unwrap().contains("never updated"));
    // What is delivered next counts for ten days only.
    sandbox.write("more.json", "{}");
    let publish = "trust publish repo --key online --expires-days 10 --target more.json";
    run(&sandbox, publish);
    agree(&sandbox, "home", "repo/staged/targets.json");
    run(&sandbox, publish);
    run(&sandbox, "trust update");
    let found = trust("home");
    assert_eq!(found["state"], "warn", "{found}");
    assert!(
        found["detail"]
            .as_str()
            .unwrap()
            .contains("left of targets")
    );
}
