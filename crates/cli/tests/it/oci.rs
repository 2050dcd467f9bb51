//! References to registries on the command line, without a registry: what is one, what is not, and
//! what is said where nobody answers. `cargo xtask test --only oci` has a registry.

use std::net::TcpListener;

use crate::sandbox::Sandbox;

fn hex() -> String {
    "a".repeat(64)
}

/// A host on this machine where nobody listens.
fn closed() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("127.0.0.1:{}", listener.local_addr().unwrap().port())
}

#[test]
fn references_that_are_none() {
    let sandbox = Sandbox::with_keys(&["k"]);
    for text in [
        "oci://",
        "oci://r.example/UPPER",
        "oci://r.example/a@sha256:00",
        "oci://user:pw@r.example/a",
        "oci://r.example/../a",
    ] {
        for command in ["sign", "verify"] {
            let words = [command, text, "--key", "k"];
            sandbox.run(&words).failed(2, "E0901");
        }
    }
    // A tag may stand for anything, and nobody is asked here what it stands for.
    sandbox
        .run(&["trace", "oci://r.example/a:v1"])
        .failed(2, "E0901");
}

#[test]
fn options_of_files_do_not_go_with_images() {
    let sandbox = Sandbox::with_keys(&["k"]);
    let image = format!("oci://r.invalid/a@sha256:{}", hex());
    for option in [
        &["--hash", "blake3"][..],
        &["--shard-size", "5"],
        &["--ignore-paths", "x"],
        &["--allow-symlinks"],
    ] {
        let words = [&["sign", image.as_str(), "--key", "k"], option].concat();
        sandbox.run(&words).failed(2, "E0002");
    }
    sandbox
        .run(&["verify", &image, "--ignore-unsigned-files"])
        .failed(2, "E0002");
    sandbox
        .run(&["verify", &image, "--offline"])
        .failed(2, "E0002");
}

#[test]
fn nobody_who_answers_is_no_answer() {
    let sandbox = Sandbox::with_keys(&["k"]);
    let image = format!("{}/a@sha256:{}", closed(), hex());
    // Without `oci://` as well: it names its host and a digest, and there is no such file.
    for name in [format!("oci://{image}"), image] {
        sandbox.run(&["verify", &name]).failed(3, "E0902");
        sandbox
            .run(&["sign", &name, "--key", "k"])
            .failed(3, "E0902");
    }
    let log = sandbox.run(&["log", "checkpoint"]);
    assert_ne!(log.status, 0, "something was logged: {}", log.stdout);
}

#[test]
fn nobody_expected_is_asked_for_first() {
    let sandbox = Sandbox::new();
    let image = format!("oci://{}/a@sha256:{}", closed(), hex());
    sandbox.run(&["verify", &image]).failed(2, "E0110");
}

#[test]
fn a_relative_path_is_not_a_host() {
    let sandbox = Sandbox::with_keys(&["k"]);
    for name in [
        format!("models/net@sha256:{}", hex()),
        format!("./r.example/net@sha256:{}", hex()),
        "r.example/net:v1".to_owned(),
    ] {
        sandbox.run(&["verify", &name]).failed(2, "E0003");
    }
}

#[test]
fn settings_of_registries_are_checked() {
    let sandbox = Sandbox::with_keys(&["k"]);
    let settings = sandbox.read("custos.toml");
    let image = format!("oci://r.invalid/a@sha256:{}", hex());
    for entry in [
        "host = \"https://r.invalid\"",
        "host = \"r.invalid\"\nalso = [\"auth\"]",
        "host = \"r.invalid\"\ninsecure = true",
        "plain_http = true",
    ] {
        sandbox.write(
            "custos.toml",
            format!("{settings}\n[[registry]]\n{entry}\n"),
        );
        sandbox.run(&["verify", &image]).failed(2, "E0011");
    }
}
