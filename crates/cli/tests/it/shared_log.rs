//! A served log that others write as well: what of theirs lacks here, and what is none of our
//! business.

use crate::sandbox::{Said, Sandbox};
use crate::serve::{Serving, with_root};

/// Signs a file of another home and logs it in the server's log.
fn sign_elsewhere(other: &Sandbox, server: &Sandbox, key: &str) {
    let trust = |name: &str| server.path(&format!("home/trust/{name}"));
    other
        .command(&["sign", "f", "--key", key])
        .arg("--signing-config")
        .arg(trust("signing_config.json"))
        .arg("--trusted-root")
        .arg(trust("trusted_root.json"))
        .output()
        .map(|output| assert!(output.status.success(), "{output:?}"))
        .unwrap();
}

fn statements(gate: &Said) -> String {
    gate.json()["facts"]["statements"]["state"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn entries_of_others_do_not_make_facts_incomplete_and_ours_do() {
    let (server, other) = (with_root(), Sandbox::new());
    for (sandbox, key) in [(&server, "k"), (&other, "stranger")] {
        sandbox
            .run(&["keys", "generate", key, "--no-password"])
            .ok();
    }
    server.write(
        "custos.toml",
        "[[signer]]\nname = \"k\"\nkey = \"home/keys/k.pub\"\n",
    );
    server.write("w.bin", "weights");
    other.write("f", "something else");
    let serving = Serving::start(&server);
    let config = server.path("home/trust/signing_config.json");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(
        &config,
        text.replace("http://127.0.0.1:8475", serving.url.trim_end_matches('/')),
    )
    .unwrap();
    server.run(&["sign", "w.bin", "--key", "k"]).ok();
    let gate = || {
        let words = ["gate", "w.bin", "--key", "k", "--policy", "starter"];
        server.json(&words)
    };
    assert_eq!(statements(&gate()), "known");

    sign_elsewhere(&other, &server, "stranger");
    let after = gate();
    assert_eq!(statements(&after), "known", "{}", after.stdout);
    let check = server.json(&["evidence", "check"]).ok().json();
    assert_eq!(check["othersCount"], 1);
    assert_eq!(check["missingCount"], 0);
    server.run(&["doctor"]).says("1 more by others");

    // The same key, used elsewhere: what it signed could be about anything.
    for name in ["k.key", "k.pub"] {
        other.write(
            &format!("home/keys/{name}"),
            server.read(&format!("home/keys/{name}")),
        );
    }
    sign_elsewhere(&other, &server, "k");
    let after = gate();
    assert_eq!(statements(&after), "incomplete");
    assert!(
        after.stdout.contains("by expected signers"),
        "{}",
        after.stdout
    );
    assert_eq!(server.run(&["evidence", "check"]).status, 1);
    let bundle = other.path("f.sigstore.json");
    server
        .run(&["evidence", "add", bundle.to_str().unwrap()])
        .ok();
    assert_eq!(statements(&gate()), "known");
    server.run(&["evidence", "check"]).ok();
    assert_eq!(serving.terminate(), Some(0));
    server.run(&["evidence", "reindex"]).ok();
    assert_eq!(statements(&gate()), "known");
}
