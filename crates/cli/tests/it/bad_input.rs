//! Hostile and broken input: a precise error, the right status, nothing lost, no panic.

use crate::sandbox::{Sandbox, finish};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

fn signed() -> Sandbox {
    let sandbox = Sandbox::with_keys(&["k"]);
    sandbox.model("m");
    sandbox.run(&["sign", "m", "--key", "k"]).ok();
    sandbox
}

#[test]
fn broken_bundles() {
    let sandbox = signed();
    let good = sandbox.read("m/model.sig");
    let deep = format!("{}1{}", "[".repeat(500), "]".repeat(500));
    let twice = good.replacen("{\"mediaType\"", "{\"mediaType\":\"x\",\"mediaType\"", 1);
    let cases: [(&str, String); 7] = [
        ("empty", String::new()),
        ("truncated", good[..good.len() / 2].to_owned()),
        ("deep", deep),
        ("duplicate key", twice),
        ("not json", "-----BEGIN".to_owned()),
        ("wrong shape", "[]".to_owned()),
        ("unknown field", good.replacen('{', "{\"surprise\":1,", 1)),
    ];
    for (name, text) in cases {
        sandbox.write("m/model.sig", &text);
        let said = sandbox.run(&["verify", "m"]);
        assert_eq!(said.status, 1, "{name}: {}", said.stderr);
        assert!(
            said.stderr.contains("error[E0101]"),
            "{name}: {}",
            said.stderr
        );
    }
    sandbox.write("m/model.sig", &good);
    sandbox.run(&["verify", "m"]).ok();
}

#[test]
fn a_wrong_payload_type_is_rejected() {
    let sandbox = signed();
    let text = sandbox
        .read("m/model.sig")
        .replace("application/vnd.in-toto+json", "text/plain");
    sandbox.write("m/model.sig", text);
    assert_eq!(sandbox.run(&["verify", "m"]).status, 1);
}

#[test]
fn a_bare_key_is_no_certificate() {
    let sandbox = signed();
    let mut bundle: serde_json::Value = serde_json::from_str(&sandbox.read("m/model.sig")).unwrap();
    let pem = sandbox.read("home/keys/k.pub");
    let der: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let material = bundle["verificationMaterial"].as_object_mut().unwrap();
    material.remove("publicKey");
    material.insert("certificate".into(), serde_json::json!({ "rawBytes": der }));
    sandbox.write("m/model.sig", bundle.to_string());
    let said = sandbox.run(&["verify", "m"]);
    assert_eq!(said.status, 1, "{}", said.stderr);
}

#[test]
fn a_link_out_of_the_tree_is_not_followed() {
    let sandbox = Sandbox::with_keys(&["k"]);
    sandbox.model("m");
    sandbox.write("secret", "outside");
    std::os::unix::fs::symlink("../secret", sandbox.path("m/link")).unwrap();
    sandbox
        .run(&["sign", "m", "--key", "k"])
        .failed(1, "E0201")
        .says("link");
    sandbox
        .run(&["sign", "m", "--key", "k", "--allow-symlinks"])
        .failed(1, "E0201")
        .says("link");
    assert!(!sandbox.path("m/model.sig").exists());
    assert_eq!(sandbox.log_size(), 0);
}

#[test]
fn an_empty_model_and_strange_files_are_errors() {
    let sandbox = Sandbox::with_keys(&["k"]);
    std::fs::create_dir(sandbox.path("empty")).unwrap();
    sandbox
        .run(&["sign", "empty", "--key", "k"])
        .failed(1, "E0201");
    sandbox.model("m");
    let status = Command::new("mkfifo")
        .arg(sandbox.path("m/pipe"))
        .status()
        .unwrap();
    assert!(status.success());
    sandbox
        .run(&["sign", "m", "--key", "k"])
        .failed(1, "E0201")
        .says("pipe");
}

#[test]
fn settings_and_keys_have_limits() {
    let sandbox = Sandbox::new();
    sandbox.model("m");
    sandbox.write("custos.toml", "x".repeat(2 << 20));
    sandbox.run(&["verify", "m"]).failed(2, "E0006");
    sandbox.write("custos.toml", "[signing]\nkee = 1\n");
    sandbox
        .run(&["verify", "m"])
        .failed(2, "E0011")
        .says("custos.toml:2");
    sandbox.write("custos.toml", "");
    sandbox.write("big.pub", "x".repeat(2 << 20));
    sandbox
        .run(&["verify", "m", "--key", "big.pub"])
        .failed(2, "E0702");
}

#[test]
fn a_read_only_store_loses_nothing() {
    if rootless() {
        let sandbox = signed();
        let home = sandbox.path("home");
        let size = sandbox.log_size();
        set_mode(&home, 0o500);
        sandbox.write("n/a", "x");
        let said = sandbox.run(&["sign", "n", "--key", "k"]);
        set_mode(&home, 0o700);
        assert_eq!(said.status, 3, "{}", said.stderr);
        assert_eq!(sandbox.log_size(), size);
        return;
    }
    // The administrator's writes are only stopped by the mount itself.
    let sandbox = signed();
    let size = sandbox.log_size();
    sandbox.write("n/a", "x");
    let said = in_mounts(
        &sandbox,
        "mount --bind home home && mount -o remount,bind,ro home",
        &["sign", "n", "--key", "k"],
    );
    assert_eq!(said.status, 3, "{}", said.stderr);
    assert!(!sandbox.path("n/model.sig").exists());
    let said = in_mounts(
        &sandbox,
        "mount --bind home home && mount -o remount,bind,ro home",
        &["verify", "m"],
    );
    assert_eq!(said.status, 0, "reading still works: {}", said.stderr);
    assert_eq!(sandbox.log_size(), size);
    sandbox.run(&["sign", "n", "--key", "k"]).ok();
    sandbox.run(&["log", "fsck"]).ok();
}

#[test]
fn a_full_disk_loses_nothing() {
    if rootless() {
        // Mounting a small disk takes privileges; the log's simulated disk covers the engine.
        return;
    }
    let sandbox = signed();
    // A log of its own on a disk of 1 MiB, with the keys beside it.
    let script = "mkdir -p small && mount -t tmpfs -o size=1m none small && mkdir small/keys \
                  && cp home/keys/k.* small/keys/ && head -c 900k /dev/zero > small/filler";
    let said = in_mounts(
        &sandbox,
        script,
        &[
            "--home",
            "small",
            "sign",
            "m",
            "--key",
            "k",
            "--bundle",
            "other.sig",
        ],
    );
    assert_eq!(said.status, 3, "{}{}", said.stdout, said.stderr);
    assert!(said.stderr.contains("error[E0005]"), "{}", said.stderr);
    assert!(!sandbox.path("other.sig").exists());
    sandbox.run(&["verify", "m"]).ok();
}

fn rootless() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    String::from_utf8_lossy(&id.stdout).trim() != "0"
}

fn set_mode(path: &std::path::Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

// Runs the binary in mounts of its own, which end with it.
fn in_mounts(sandbox: &Sandbox, script: &str, args: &[&str]) -> crate::sandbox::Said {
    let mut command = Command::new("unshare");
    command
        .args([
            "--mount",
            "sh",
            "-c",
            &format!("{script} && exec \"$0\" \"$@\""),
        ])
        .arg(env!("CARGO_BIN_EXE_custos"))
        .args(args)
        .current_dir(sandbox.root())
        .env("CUSTOS_HOME", sandbox.path("home"));
    finish(command)
}
