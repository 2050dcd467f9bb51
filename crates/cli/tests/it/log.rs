//! The log from the command line: proofs, concurrency, tampering.

use crate::sandbox::Sandbox;

fn logged(entries: usize) -> Sandbox {
    let sandbox = Sandbox::with_keys(&["k"]);
    sandbox.write("p.json", r#"{"a":1}"#);
    for n in 0..entries {
        sandbox.write(&format!("f{n}"), format!("file {n}"));
        sandbox
            .run(&[
                "attest",
                &format!("f{n}"),
                "--type",
                "https://example.com/p",
                "--predicate",
                "p.json",
                "--key",
                "k",
            ])
            .ok();
    }
    sandbox
}

#[test]
fn checkpoint_key_proof_and_entry() {
    let sandbox = logged(3);
    assert_eq!(sandbox.log_size(), 3);
    let checkpoint = sandbox.run(&["log", "checkpoint"]).ok().stdout;
    let key = sandbox.run(&["log", "key"]).ok().stdout;
    let origin = key.split('+').next().unwrap();
    assert!(
        checkpoint.starts_with(&format!("{origin}\n3\n")),
        "{checkpoint}"
    );
    let proof = sandbox.run(&["log", "proof", "1"]).ok().stdout;
    assert!(
        proof.starts_with("c2sp.org/tlog-proof@v1\nindex 1\n"),
        "{proof}"
    );
    assert!(proof.ends_with(&checkpoint), "{proof}");
    sandbox
        .run(&["log", "get", "2"])
        .ok()
        .says("hashedRekordV002");
    sandbox.run(&["log", "get", "3"]).failed(2, "E0404");
    sandbox.run(&["log", "proof", "3"]).failed(2, "E0404");
    sandbox.run(&["log", "fsck"]).ok();
}

#[test]
fn a_lost_write_ahead_log_is_rebuilt_only_up_to_what_was_seen() {
    let sandbox = logged(2);
    sandbox.run(&["log", "rebuild"]).failed(2, "E0405");
    let published = sandbox.run(&["log", "checkpoint"]).ok().stdout;
    let log = sandbox.path("home").join("log");
    std::fs::remove_dir_all(log.join("wal")).unwrap();
    let sign = ["sign", "f0", "--key", "k"];
    sandbox.run(&sign).failed(4, "E0403").says("wal");
    // Without anything that says how far it had come, somebody has to take the blame.
    let seen = sandbox.path("home").join("trust/log.checkpoint");
    let kept = std::fs::read(&seen).unwrap();
    std::fs::remove_file(&seen).unwrap();
    sandbox
        .run(&["log", "rebuild"])
        .failed(2, "E0405")
        .says("--accept-loss");
    std::fs::write(&seen, kept).unwrap();
    // The published checkpoint of an older day: what came after it is missing.
    let older = logged(1);
    let strange = older.run(&["log", "checkpoint"]).ok().stdout;
    sandbox.write("strange", strange);
    sandbox
        .run(&["log", "rebuild", "--checkpoint", "strange"])
        .failed(4, "E0403");
    sandbox
        .run(&["log", "rebuild"])
        .ok()
        .says("goes on after its 2 entries");
    sandbox.run(&sign).ok();
    assert_eq!(sandbox.log_size(), 3);
    sandbox.write("published", published);
    sandbox.run(&["log", "fsck"]).ok();
}

#[test]
fn a_home_without_a_log_says_so() {
    let sandbox = Sandbox::new();
    sandbox
        .run(&["log", "checkpoint"])
        .failed(3, "E0402")
        .says("custos sign");
}

#[test]
fn two_processes_at_once_lose_nothing() {
    let sandbox = logged(1);
    let children: Vec<_> = (0..8)
        .map(|n| {
            sandbox.write(&format!("c{n}"), format!("concurrent {n}"));
            let mut command = sandbox.command(&[
                "attest",
                &format!("c{n}"),
                "--type",
                "https://example.com/p",
                "--predicate",
                "p.json",
                "--key",
                "k",
            ]);
            command
                .stderr(std::process::Stdio::piped())
                .stdout(std::process::Stdio::null());
            command.spawn().unwrap()
        })
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    assert_eq!(sandbox.log_size(), 9);
    sandbox.run(&["log", "fsck"]).ok();
    for n in 0..8 {
        sandbox.run(&["trace", &format!("c{n}")]).ok();
    }
}

#[test]
fn a_changed_tile_is_an_integrity_alarm() {
    let sandbox = logged(3);
    let mut changed = 0;
    for file in files(&sandbox.path("home/log")) {
        let name = file.to_string_lossy().into_owned();
        if name.contains("/entries/") {
            let mut bytes = std::fs::read(&file).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            std::fs::write(&file, bytes).unwrap();
            changed += 1;
        }
    }
    assert!(changed > 0);
    sandbox.run(&["log", "fsck"]).failed(4, "E0403");
}

#[test]
fn a_forged_checkpoint_is_an_integrity_alarm() {
    let sandbox = logged(2);
    let path = sandbox.path("home/log/checkpoint");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replacen("\n2\n", "\n1\n", 1)).unwrap();
    assert_eq!(sandbox.run(&["log", "fsck"]).status, 4);
}

fn files(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path))
        } else {
            found.push(path)
        }
    }
    found
}
