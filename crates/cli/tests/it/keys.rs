//! Keys: generate, list, show, protect.

use crate::sandbox::Sandbox;

#[test]
fn every_kind_signs_and_verifies() {
    for kind in ["p256", "p384", "p521", "ed25519"] {
        let sandbox = Sandbox::new();
        sandbox
            .run(&["keys", "generate", "k", "--kind", kind, "--no-password"])
            .ok()
            .says(kind);
        sandbox.model("m");
        sandbox.run(&["sign", "m", "--key", "k"]).ok();
        sandbox
            .run(&["verify", "m", "--key", "k"])
            .ok()
            .says("PASS");
        sandbox.run(&["keys", "list"]).ok().says(kind);
        sandbox
            .run(&["keys", "public", "k"])
            .ok()
            .says("BEGIN PUBLIC KEY");
    }
    Sandbox::new()
        .run(&["keys", "generate", "k", "--kind", "rsa"])
        .says("p256, p384, p521, ed25519");
}

#[test]
fn keys_are_never_overwritten_and_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let sandbox = Sandbox::new();
    sandbox
        .run(&["keys", "generate", "k", "--no-password"])
        .ok();
    let before = sandbox.read("home/keys/k.key");
    sandbox
        .run(&["keys", "generate", "k", "--no-password"])
        .failed(2, "E0008");
    assert_eq!(sandbox.read("home/keys/k.key"), before);
    let mode = std::fs::metadata(sandbox.path("home/keys/k.key"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    sandbox
        .run(&["keys", "generate", "log", "--no-password"])
        .failed(2, "E0002");
    sandbox
        .run(&["keys", "generate", "../k", "--no-password"])
        .failed(2, "E0002");
}

#[test]
fn an_encrypted_key_needs_its_password() {
    let sandbox = Sandbox::new();
    sandbox.write("right", "correct horse\n");
    sandbox.write("wrong", "battery staple\n");
    sandbox
        .run(&["keys", "generate", "k", "--password-file", "right"])
        .ok();
    assert!(
        sandbox
            .read("home/keys/k.key")
            .contains("ENCRYPTED SIGSTORE PRIVATE KEY")
    );
    sandbox.model("m");
    sandbox
        .run(&["sign", "m", "--key", "k", "--password-file", "wrong"])
        .failed(1, "E0703");
    sandbox
        .run(&["sign", "m", "--key", "k"])
        .failed(2, "E0704")
        .says("--password-file");
    sandbox
        .run(&["sign", "m", "--key", "k", "--password-file", "right"])
        .ok();
    sandbox.run(&["verify", "m", "--key", "k"]).ok();
    // Without a terminal and without a choice nothing is written.
    sandbox
        .run(&["keys", "generate", "other"])
        .failed(2, "E0704");
    assert!(!sandbox.path("home/keys/other.key").exists());
}

#[test]
fn a_private_key_is_not_taken_for_a_public_one() {
    let sandbox = Sandbox::new();
    sandbox
        .run(&[
            "keys",
            "generate",
            "--output-prefix",
            "pair",
            "--no-password",
        ])
        .ok();
    sandbox.model("m");
    sandbox.run(&["sign", "m", "--key", "pair.key"]).ok();
    sandbox
        .run(&["verify", "m", "--key", "pair.key"])
        .failed(2, "E0702")
        .says("keys public");
    sandbox.run(&["verify", "m", "--key", "pair.pub"]).ok();
}

#[test]
fn keys_of_tokens_and_services_are_made_there() {
    let sandbox = Sandbox::new();
    for key in [
        "pkcs11:token=t;object=k",
        "awskms:///alias/k",
        "hashivault://k",
    ] {
        sandbox
            .run(&["keys", "generate", key, "--no-password"])
            .failed(2, "E0002")
            .says("is made there");
    }
}
