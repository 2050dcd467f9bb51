//! Signing and verifying models: what passes, and what must not.

use crate::sandbox::Sandbox;
use serde_json::Value;

fn signed() -> Sandbox {
    let sandbox = Sandbox::with_keys(&["k", "other"]);
    sandbox.model("m");
    sandbox.run(&["sign", "m", "--key", "k"]).ok();
    sandbox
}

#[test]
fn a_signed_model_verifies_and_says_by_whom() {
    let sandbox = signed();
    let said = sandbox
        .run(&["verify", "m"])
        .ok()
        .says("PASS")
        .says("signed by k");
    assert!(said.stdout.contains("log inclusion"), "{}", said.stdout);
    let json = sandbox.json(&["verify", "m"]).ok().json();
    assert_eq!(json["schema"], "custos.verify/1");
    assert_eq!(json["verdict"], "pass");
    assert_eq!(json["signer"]["name"], "k");
    assert_eq!(json["time"]["kind"], "untrusted");
}

#[test]
fn verify_opens_no_store() {
    let sandbox = signed();
    std::fs::rename(sandbox.path("home/custos.db"), sandbox.path("db")).unwrap();
    sandbox.run(&["verify", "m"]).ok();
    assert!(!sandbox.path("home/custos.db").exists());
}

#[test]
fn any_change_is_named() {
    let change: [(&str, fn(&Sandbox)); 4] = [
        ("weights.bin", |s| {
            drop(s.write("m/weights.bin", vec![8_u8; 300_000]))
        }),
        ("extra", |s| drop(s.write("m/extra", "new"))),
        ("config.json", |s| {
            std::fs::remove_file(s.path("m/config.json")).unwrap()
        }),
        ("sub/y", |s| {
            std::fs::rename(s.path("m/sub/x"), s.path("m/sub/y")).unwrap()
        }),
    ];
    for (named, apply) in change {
        let sandbox = signed();
        apply(&sandbox);
        sandbox.run(&["verify", "m"]).failed(1, "E0130").says(named);
    }
}

#[test]
fn the_same_size_and_time_do_not_hide_a_change() {
    let sandbox = signed();
    sandbox.run(&["verify", "m"]).ok();
    let file = sandbox.path("m/weights.bin");
    let before = std::fs::metadata(&file).unwrap().modified().unwrap();
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[1000] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    std::fs::File::options()
        .write(true)
        .open(&file)
        .unwrap()
        .set_modified(before)
        .unwrap();
    sandbox
        .run(&["verify", "m"])
        .failed(1, "E0130")
        .says("weights.bin");
}

#[test]
fn extra_files_can_be_allowed_by_name_of_the_option_only() {
    let sandbox = signed();
    sandbox.write("m/extra", "new");
    sandbox.run(&["verify", "m"]).failed(1, "E0130");
    sandbox
        .run(&["verify", "m", "--ignore-unsigned-files"])
        .ok();
}

#[test]
fn another_signer_is_not_expected() {
    let sandbox = signed();
    sandbox
        .run(&["verify", "m", "--key", "other"])
        .failed(1, "E0108");
}

#[test]
fn the_log_is_required_unless_its_absence_is_allowed() {
    let sandbox = Sandbox::with_keys(&["k"]);
    sandbox.model("m");
    sandbox.run(&["sign", "m", "--key", "k", "--no-log"]).ok();
    sandbox
        .run(&["verify", "m"])
        .failed(1, "E0114")
        .says("--allow-unlogged");
    sandbox.run(&["verify", "m", "--allow-unlogged"]).ok();
    // A log that is not trusted here counts for nothing.
    let sandbox = signed();
    std::fs::remove_file(sandbox.path("home/trust/log.vkey")).unwrap();
    sandbox
        .run(&["verify", "m"])
        .failed(1, "E0115")
        .says("log key");
}

#[test]
fn a_bundle_of_another_artifact_proves_nothing() {
    let sandbox = signed();
    sandbox.model("n");
    sandbox.write("n/weights.bin", "other weights");
    std::fs::copy(sandbox.path("m/model.sig"), sandbox.path("n/model.sig")).unwrap();
    sandbox.run(&["verify", "n"]).failed(1, "E0130");
}

#[test]
fn a_log_entry_of_another_envelope_proves_nothing() {
    let sandbox = signed();
    sandbox.model("n");
    sandbox.write("n/weights.bin", "other weights");
    sandbox.run(&["sign", "n", "--key", "k"]).ok();
    let mut one: Value = serde_json::from_str(&sandbox.read("m/model.sig")).unwrap();
    let other: Value = serde_json::from_str(&sandbox.read("n/model.sig")).unwrap();
    one["verificationMaterial"]["tlogEntries"] =
        other["verificationMaterial"]["tlogEntries"].clone();
    sandbox.write("m/model.sig", one.to_string());
    sandbox.run(&["verify", "m"]).failed(1, "E0107");
}

#[test]
fn files_hashes_and_shards() {
    let sandbox = Sandbox::with_keys(&["k"]);
    sandbox.write("model.gguf", vec![3_u8; 5000]);
    sandbox
        .run(&["sign", "model.gguf", "--key", "k", "--oms"])
        .ok();
    assert!(sandbox.path("model.gguf.sigstore.json").is_file());
    sandbox
        .run(&["verify", "model.gguf"])
        .ok()
        .says("1 file is as signed");
    for options in [
        &["--hash", "blake3"][..],
        &["--hash", "blake2b"],
        &["--shard-size", "1000"],
    ] {
        sandbox.model("m");
        let mut args = vec!["sign", "m", "--key", "k"];
        args.extend(options);
        sandbox.run(&args).ok();
        sandbox.run(&["verify", "m"]).ok();
        sandbox.write("m/weights.bin", vec![9_u8; 300_000]);
        sandbox
            .run(&["verify", "m"])
            .failed(1, "E0130")
            .says("weights.bin");
        std::fs::remove_dir_all(sandbox.path("m")).unwrap();
    }
}

#[test]
fn ignored_paths_are_recorded_and_shown() {
    let sandbox = Sandbox::with_keys(&["k"]);
    sandbox.model("m");
    sandbox.write("m/notes.txt", "v1");
    sandbox
        .run(&["sign", "m", "--key", "k", "--ignore-paths", "notes.txt"])
        .ok();
    sandbox.write("m/notes.txt", "v2");
    sandbox.run(&["verify", "m"]).ok().says("notes.txt");
}

#[test]
fn signing_again_reads_only_what_changed() {
    let sandbox = Sandbox::with_keys(&["k"]);
    for n in 0..50 {
        sandbox.write(&format!("m/{n}"), format!("file {n}"));
    }
    // A file that is as young as the hash is never remembered, so let them age.
    let old = std::time::SystemTime::now() - std::time::Duration::from_hours(1);
    for n in 0..50 {
        let file = std::fs::File::options()
            .write(true)
            .open(sandbox.path(&format!("m/{n}")));
        file.unwrap().set_modified(old).unwrap();
    }
    std::thread::sleep(std::time::Duration::from_millis(2500));
    sandbox.run(&["sign", "m", "--key", "k"]).ok();
    sandbox.write("m/7", "changed");
    let json = sandbox.json(&["sign", "m", "--key", "k"]).ok().json();
    assert_eq!(json["files"], 50);
    assert_eq!(json["filesRead"], 1, "{json}");
    let json = sandbox
        .json(&["sign", "m", "--key", "k", "--no-cache"])
        .ok()
        .json();
    assert_eq!(json["filesRead"], 50);
}

#[test]
fn a_single_file_is_signed_itself_with_keys_of_every_kind() {
    let sandbox = Sandbox::with_keys(&["k"]);
    let file = sandbox.write("model.tar.gz", vec![3_u8; 3_000_000]);
    for kind in ["p256", "p384", "p521", "ed25519", "rsa2048"] {
        let make = ["keys", "generate", kind, "--kind", kind, "--no-password"];
        sandbox.run(&make).ok();
        let json = sandbox.json(&["sign", "model.tar.gz", "--key", kind]).ok();
        let json = json.json();
        let index = json["logIndex"].as_u64().unwrap();
        let url = json["entryUrl"].as_str().unwrap();
        assert!(
            url.starts_with("file:///") && url.ends_with(&format!("#{index}")),
            "{url}"
        );
        let bundle: Value =
            serde_json::from_str(&sandbox.read("model.tar.gz.sigstore.json")).unwrap();
        assert!(
            bundle["messageSignature"]["signature"].is_string(),
            "{bundle}"
        );
        let verify = ["verify", "model.tar.gz", "--key", kind];
        sandbox.run(&verify).ok().says("PASS").says(kind);
        let mut bytes = vec![3_u8; 3_000_000];
        bytes[2_999_999] ^= 1;
        std::fs::write(&file, &bytes).unwrap();
        sandbox.run(&verify).failed(1, "E0106");
        std::fs::write(&file, vec![3_u8; 3_000_000]).unwrap();
    }
    // Every entry of the log has its bundle.
    sandbox.run(&["evidence", "check"]).ok();
    sandbox.run(&["evidence", "reindex"]).ok();
}

#[test]
fn a_single_file_takes_its_signers_from_the_settings_or_names_nobody() {
    let sandbox = Sandbox::with_keys(&["k", "other"]);
    sandbox.write("model.tar.gz", "weights");
    sandbox.run(&["sign", "model.tar.gz", "--key", "k"]).ok();
    sandbox
        .run(&["verify", "model.tar.gz"])
        .ok()
        .says("signed by k");
    sandbox
        .run(&["verify", "model.tar.gz", "--key", "other"])
        .failed(1, "E0108");
    std::fs::remove_file(sandbox.path("custos.toml")).unwrap();
    sandbox.run(&["verify", "model.tar.gz"]).failed(2, "E0110");
}

#[test]
fn what_is_about_lists_of_files_is_not_for_one_file() {
    let sandbox = Sandbox::with_keys(&["k"]);
    sandbox.write("model.tar.gz", "weights");
    let sign = |more: &[&str]| {
        let mut args = vec!["sign", "model.tar.gz", "--key", "k"];
        args.extend(more);
        sandbox.run(&args)
    };
    for more in [
        &["--hash", "blake3"][..],
        &["--shard-size", "10"],
        &["--allow-symlinks"],
    ] {
        sign(more).failed(2, "E0002").says("--oms");
        sign(&[more, &["--oms"]].concat()).ok();
    }
}
