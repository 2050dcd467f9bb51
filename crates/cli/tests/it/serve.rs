//! A trust root and a server of one's own.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};

use crate::sandbox::Sandbox;

/// A server that ends with this value.
pub struct Serving {
    child: Child,
    pub url: String,
}

impl Serving {
    pub fn start(sandbox: &Sandbox) -> Self {
        let mut command = sandbox.command(&["serve", "--listen", "127.0.0.1:0"]);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut first = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut first)
            .unwrap();
        let url = first.trim().strip_prefix("serving  ").unwrap().to_owned();
        Self { child, url }
    }

    pub fn terminate(mut self) -> Option<i32> {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status().unwrap();
        assert!(sent.success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn with_root() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox
        .run(&[
            "trust",
            "init",
            "--no-password",
            "--host",
            "log.example.com",
        ])
        .ok();
    sandbox
}

#[test]
fn a_trust_root_is_made_once_and_kept_private() {
    let sandbox = Sandbox::new();
    sandbox.run(&["trust", "show"]).failed(3, "E0810");
    sandbox.run(&["serve"]).failed(3, "E0810");
    sandbox
        .run(&["trust", "init", "--no-password", "--host", "https://x/"])
        .failed(2, "E0002");
    sandbox
        .run(&["trust", "init", "--no-password", "--url", "nowhere"])
        .failed(2, "E0002");
    sandbox.write("password", "correct horse\n");
    let password = sandbox.path("password");
    let words = [
        "trust",
        "init",
        "--host",
        "log.example.com",
        "--password-file",
    ];
    let mut words: Vec<&str> = words.to_vec();
    words.push(password.to_str().unwrap());
    sandbox.run(&words).ok().says("log entry       #0");
    let root = sandbox.read("home/trust/trusted_root.json");
    assert!(root.contains("https://log.example.com"));
    sandbox.run(&words).failed(2, "E0811");
    assert_eq!(sandbox.read("home/trust/trusted_root.json"), root);
    for key in ["root", "issuing", "timestamp", "ct"] {
        let path = sandbox.path(&format!("home/trust/keys/{key}.key"));
        let mode = std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{key}");
    }
    assert!(
        sandbox
            .read("home/trust/keys/root.key")
            .contains("ENCRYPTED")
    );
    sandbox.run(&["trust", "show"]).ok().says("log.example.com");
    // The root is asked for its password again.
    sandbox
        .run(&["trust", "tls", "--name", "a.example"])
        .failed(2, "E0704");
}

#[test]
fn a_log_keeps_its_name() {
    let sandbox = Sandbox::with_keys(&["k"]);
    sandbox.model("m");
    sandbox.run(&["sign", "m", "--key", "k"]).ok();
    sandbox
        .run(&[
            "trust",
            "init",
            "--no-password",
            "--host",
            "log.example.com",
        ])
        .failed(2, "E0814");
    sandbox
        .run(&["trust", "init", "--no-password"])
        .ok()
        .says("#1");
    sandbox.run(&["verify", "m", "--key", "k"]).ok();
}

#[test]
fn commands_record_through_a_running_server_and_by_themselves_after_it() {
    let sandbox = with_root();
    sandbox
        .run(&["keys", "generate", "k", "--no-password"])
        .ok();
    sandbox.model("m");
    let serving = Serving::start(&sandbox);
    let mode = std::fs::metadata(sandbox.path("home/serve.json"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    sandbox
        .run(&["sign", "m", "--key", "k"])
        .ok()
        .says("log #1");
    sandbox.run(&["verify", "m", "--key", "k"]).ok();
    sandbox.run(&["log", "fsck"]).ok();
    let (url, code) = (serving.url.clone(), serving.terminate());
    assert_eq!(code, Some(0));
    assert!(url.starts_with("http://127.0.0.1:"));
    assert!(!sandbox.path("home/serve.json").exists());
    sandbox.write("other", "weights");
    sandbox
        .run(&["sign", "other", "--key", "k"])
        .ok()
        .says("log #2");
}

#[test]
fn a_killed_server_stops_nobody() {
    let sandbox = with_root();
    sandbox
        .run(&["keys", "generate", "k", "--no-password"])
        .ok();
    drop(Serving::start(&sandbox));
    assert!(sandbox.path("home/serve.json").exists());
    sandbox.model("m");
    sandbox
        .run(&["sign", "m", "--key", "k"])
        .ok()
        .says("log #1");
    let again = Serving::start(&sandbox);
    assert_eq!(again.terminate(), Some(0));
}

#[test]
fn plain_http_for_others_has_to_be_asked_for() {
    let sandbox = with_root();
    sandbox
        .run(&["serve", "--listen", "0.0.0.0:0"])
        .failed(2, "E0730");
    sandbox.write("tokens", "short\n");
    let tokens = sandbox.path("tokens");
    sandbox
        .run(&["serve", "--token-file", tokens.to_str().unwrap()])
        .failed(2, "E0732");
}

#[test]
fn keyless_signing_says_what_lacks() {
    let sandbox = Sandbox::new();
    sandbox.model("m");
    sandbox.write("token", "not a token");
    let token = sandbox.path("token");
    let words = ["sign", "m", "--identity-token", token.to_str().unwrap()];
    sandbox.run(&words).failed(2, "E0724");
    let sandbox = with_root();
    sandbox.model("m");
    sandbox.run(&words).failed(1, "E0721");
    sandbox
        .run(&["sign", "m", "--identity-token", "/nonexistent/token"])
        .failed(2, "E0003");
    sandbox
        .run(&["sign", "m", "--oidc", "ci", "--key", "k"])
        .failed(2, "E0002");
}
