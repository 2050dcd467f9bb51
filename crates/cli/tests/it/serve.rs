//! A trust root and a server of one's own.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use custos_core::clock::Timestamp;
use custos_core::crypto::{KeyKind, KeyPair, Scheme};
use custos_net::{Client, Guard, NetError, Request, Response, Roots, Settings, Url};
use custos_server::Authority;
use custos_server::authority::{Params, Protection, Root, ServerParams};
use custos_trust::keys::NoPassword;
use serde_json::json;

use crate::sandbox::Sandbox;

/// A server that ends with this value.
pub struct Serving {
    child: Child,
    pub url: String,
}

impl Serving {
    pub fn start(sandbox: &Sandbox) -> Self {
        Self::start_with(sandbox, &["--listen", "127.0.0.1:0"])
    }

    // What it says on the way is in `serve.log`.
    fn start_with(sandbox: &Sandbox, options: &[&str]) -> Self {
        let mut command = sandbox.command(&[&["serve"], options].concat());
        let log = File::create(sandbox.path("serve.log")).unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut first = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut first)
            .unwrap();
        let url = first.trim().strip_prefix("serving  ").unwrap().to_owned();
        Self { child, url }
    }

    // The same server, called by another name of this machine.
    fn called(&self, host: &str) -> String {
        let (_, port) = self.url.rsplit_once(':').unwrap();
        format!("https://{host}:{port}")
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
fn what_is_refused_leaves_nothing_behind() {
    let sandbox = Sandbox::new();
    sandbox.write("empty", "\n");
    let long = "x".repeat(65);
    for (options, status, code) in [
        // Nobody is there to ask for a password.
        (&[][..], 2, "E0704"),
        (&["--host", "log.example.com"], 2, "E0704"),
        (&["--password-file", "empty"], 2, "E0703"),
        (&["--password-file", "none"], 2, "E0003"),
        (&["--no-password", "--host", "https://x/"], 2, "E0002"),
        (&["--no-password", "--url", "nowhere"], 2, "E0002"),
        (&["--no-password", "--url", "https://a_b"], 2, "E0812"),
        (&["--no-password", "--oidc-issuer", "x"], 2, "E0002"),
        (&["--no-password", "--organization", ""], 2, "E0812"),
        (&["--no-password", "--organization", &long], 2, "E0812"),
    ] {
        let words = [&["trust", "init"], options].concat();
        sandbox.run(&words).failed(status, code);
        let left = std::fs::read_dir(sandbox.path("home")).unwrap().count();
        assert_eq!(left, 0, "{options:?}");
    }
    sandbox.write("custos.toml", "[[nothing]]\n");
    sandbox.line("trust init --no-password").failed(2, "E0011");
    let left = std::fs::read_dir(sandbox.path("home")).unwrap().count();
    assert_eq!(left, 0);
    sandbox.write("custos.toml", "");
    sandbox.line("trust init --no-password").ok();
}

#[test]
fn an_interrupted_init_goes_on_with_the_same_root() {
    let sandbox = Sandbox::new();
    sandbox.write("password", "correct horse\n");
    sandbox.write("other", "wrong\n");
    sandbox.line("trust init --password-file password").ok();
    let root = sandbox.read("home/trust/keys/root.pem");
    for made in ["trusted_root.json", "keys/tls.pem"] {
        std::fs::remove_file(sandbox.path(&format!("home/trust/{made}"))).unwrap();
    }
    sandbox.line("trust init").failed(2, "E0704");
    sandbox
        .line("trust init --password-file other")
        .failed(1, "E0703");
    sandbox.line("trust init --password-file password").ok();
    assert_eq!(sandbox.read("home/trust/keys/root.pem"), root);
    assert!(sandbox.path("home/trust/keys/tls.pem").exists());
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

fn health(url: &str, root: Option<&str>) -> Result<(), NetError> {
    let url: Url = url.parse().unwrap();
    let roots = root.map_or(Roots::System, |root| {
        Roots::only_pem(root.as_bytes()).unwrap()
    });
    let settings = Settings::new(Guard::public().naming(&url)).with_roots(roots);
    let request = Request::get(url.with_path("/healthz").unwrap());
    let answer = Client::new(settings).unwrap().send(&request);
    answer.and_then(Response::success).map(drop)
}

#[track_caller]
fn no_secure_connection(answer: &Result<(), NetError>) {
    assert!(matches!(answer, Err(NetError::Tls { .. })), "{answer:?}");
}

#[test]
fn tls_is_believed_with_the_homes_root_and_for_the_names_of_the_certificate() {
    let sandbox = Sandbox::new();
    sandbox
        .line("trust init --no-password --url https://localhost:8475")
        .ok();
    let root = sandbox.read("home/trust/keys/root.pem");
    let stranger = with_root().read("home/trust/keys/root.pem");
    let serving = Serving::start_with(&sandbox, &["--tls", "--listen", "0.0.0.0:0"]);
    for host in ["127.0.0.1", "localhost"] {
        let url = serving.called(host);
        health(&url, Some(&root)).unwrap();
        no_secure_connection(&health(&url, None));
        no_secure_connection(&health(&url, Some(&stranger)));
    }
    // The same server, but the certificate does not name it so.
    no_secure_connection(&health(&serving.called("127.0.0.2"), Some(&root)));
    let plain = serving.called("127.0.0.1").replace("https", "http");
    assert!(health(&plain, None).is_err());
    assert_eq!(serving.terminate(), Some(0));

    sandbox.line("trust tls --name 127.0.0.2").ok();
    sandbox
        .line("trust tls --name a_b")
        .failed(2, "E0812")
        .says("a_b");
    let serving = Serving::start_with(&sandbox, &["--tls", "--listen", "0.0.0.0:0"]);
    health(&serving.called("127.0.0.2"), Some(&root)).unwrap();
    no_secure_connection(&health(&serving.called("127.0.0.1"), Some(&root)));
    // Commands of this home need no name that the certificate has.
    sandbox
        .run(&["keys", "generate", "k", "--no-password"])
        .ok();
    sandbox.model("m");
    sandbox
        .run(&["sign", "m", "--key", "k"])
        .ok()
        .says("log #1");
}

#[test]
fn a_certificate_that_has_ended_is_told_and_not_believed() {
    let sandbox = with_root();
    let long_ago = Timestamp::from_seconds(1_577_836_800);
    let dir = sandbox.path("authority");
    let mut params = Params::new("Example", long_ago, Protection::Plain, Protection::Plain);
    params.root_days = 36_500;
    Authority::init(&dir, &params).unwrap();
    let names = ["127.0.0.1".to_owned()];
    let root = Root::open(&dir, &NoPassword).unwrap();
    let pem = root.server_pem(&ServerParams::new("Example", &names, long_ago));
    let file = sandbox.write("server.pem", pem.unwrap().as_bytes());
    let file = file.to_str().unwrap();
    let listen = ["--listen", "127.0.0.1:0"];
    let options = [&listen[..], &["--tls-cert", file, "--tls-key", file]].concat();
    let serving = Serving::start_with(&sandbox, &options);
    let root = sandbox.read("authority/root.pem");
    no_secure_connection(&health(&serving.url, Some(&root)));
    let said = sandbox.read("serve.log");
    assert!(
        said.contains("server.pem ended at 2020-12-31T00:00:00Z"),
        "{said}"
    );
    // It was written with the mode of any file.
    assert!(said.contains("server.pem can be read by others"), "{said}");
    // Clients are told of plain HTTP.
    let told = "signing_config.json sends clients to http://127.0.0.1:8475";
    assert!(said.contains(told), "{said}");
}

#[test]
fn the_entry_url_leads_to_where_the_log_is_read() {
    let sandbox = with_root();
    sandbox
        .run(&["keys", "generate", "k", "--no-password"])
        .ok();
    sandbox.write("f", "weights");
    let sign = ["sign", "f", "--key", "k"];
    let serving = Serving::start(&sandbox);
    let said = sandbox.json(&sign).ok().json();
    let url = said["entryUrl"].as_str().unwrap();
    assert_eq!(url, format!("{}/#1", serving.url));
    let (base, index) = url.split_once('#').unwrap();
    let base: Url = base.parse().unwrap();
    let settings = Settings::new(Guard::public().naming(&base));
    let request = Request::get(base.with_path("/checkpoint").unwrap());
    let answer = Client::new(settings).unwrap().send(&request).unwrap();
    let checkpoint = String::from_utf8(answer.body().to_vec()).unwrap();
    let mut lines = checkpoint.lines();
    assert_eq!(lines.next(), Some("log.example.com"));
    let size: u64 = lines.next().unwrap().parse().unwrap();
    assert!(size > index.parse().unwrap());
    sandbox
        .run(&sign)
        .ok()
        .says(&format!("entry    {}/#2  (custos log get 2)", serving.url));
    serving.terminate();
    // Without the server, the folder.
    let said = sandbox.json(&sign).ok().json();
    let log = sandbox.path("home/log");
    assert_eq!(
        said["entryUrl"].as_str().unwrap(),
        format!("file://{}#3", log.display())
    );
}

#[test]
fn the_entry_url_of_a_server_for_others_is_the_one_they_are_told() {
    let sandbox = Sandbox::new();
    let url = "https://log.example.com:8475";
    sandbox
        .line(&format!("trust init --no-password --url {url}"))
        .ok();
    sandbox
        .run(&["keys", "generate", "k", "--no-password"])
        .ok();
    sandbox.write("f", "weights");
    for options in [
        &["--tls", "--listen", "0.0.0.0:0"][..],
        &["--tls", "--listen", "127.0.0.1:0"],
        &["--behind-proxy", "--listen", "0.0.0.0:0"],
    ] {
        let serving = Serving::start_with(&sandbox, options);
        let said = sandbox.json(&["sign", "f", "--key", "k"]).ok().json();
        let entry = format!("{url}/#{}", said["logIndex"]);
        assert_eq!(said["entryUrl"].as_str().unwrap(), entry, "{options:?}");
        let said = sandbox.read("serve.log");
        assert!(!said.contains("sends clients"), "{said}");
        assert_eq!(serving.terminate(), Some(0));
    }
}

#[test]
fn a_file_of_tokens_that_others_can_read_is_told() {
    let sandbox = with_root();
    let tokens = sandbox.write("tokens", "0123456789abcdef0123456789abcdef\n");
    let file = tokens.to_str().unwrap();
    let options = ["--listen", "127.0.0.1:0", "--token-file", file];
    for (mode, told) in [(0o644, true), (0o600, false)] {
        std::fs::set_permissions(&tokens, std::fs::Permissions::from_mode(mode)).unwrap();
        drop(Serving::start_with(&sandbox, &options));
        let said = sandbox.read("serve.log");
        assert_eq!(said.contains("tokens can be read by others"), told);
    }
}

// An issuer whose keys lie in a file, and a token of it.
fn with_issuer(sandbox: &Sandbox, address: &str) {
    let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let issuer = "https://accounts.example.com";
    let pair = KeyPair::generate(KeyKind::Ed25519).unwrap();
    let x = b64(&pair.public_key().ed25519_bytes().unwrap());
    let key = json!({"kty": "OKP", "crv": "Ed25519", "kid": "1", "x": x});
    sandbox.write("keys.json", json!({ "keys": [key] }).to_string());
    sandbox.write(
        "custos.toml",
        format!("[[issuer]]\nurl = \"{issuer}\"\ntype = \"email\"\nkeys_file = \"keys.json\"\n"),
    );
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let header = json!({"alg": "EdDSA", "kid": "1", "typ": "JWT"}).to_string();
    let claims = json!({
        "iss": issuer, "sub": "1", "aud": "sigstore", "email": address, "email_verified": true,
        "iat": now, "exp": now + 3_600,
    });
    let signed = format!(
        "{}.{}",
        b64(header.as_bytes()),
        b64(claims.to_string().as_bytes())
    );
    let signature = pair.sign(Scheme::Ed25519, signed.as_bytes()).unwrap();
    sandbox.write("token", format!("{signed}.{}", b64(&signature)));
}

#[test]
fn what_the_home_signs_keyless_the_home_verifies() {
    let sandbox = Sandbox::new();
    with_issuer(&sandbox, "jane@example.com");
    // Clients are told a port of this machine: a free one, as another may be taken.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    sandbox
        .line(&format!(
            "trust init --no-password --url https://localhost:{}",
            address.port()
        ))
        .ok();
    let serving = Serving::start_with(&sandbox, &["--tls"]);
    sandbox.write("f", "weights");
    let said = sandbox
        .json(&["sign", "f", "--identity-token", "token"])
        .ok()
        .json();
    let url = format!("https://localhost:{}/#1", address.port());
    assert_eq!(said["entryUrl"].as_str().unwrap(), url);
    assert_eq!(serving.terminate(), Some(0));
    let verify = |identity: &str| {
        let issuer = "--certificate-oidc-issuer https://accounts.example.com";
        sandbox.line(&format!(
            "verify f --certificate-identity {identity} {issuer}"
        ))
    };
    verify("jane@example.com").ok().says("jane@example.com");
    verify("eve@example.com").failed(1, "E0108");
    // Elsewhere nobody trusts this home's authority without saying so.
    let other = Sandbox::new();
    for file in ["f", "f.sigstore.json"] {
        std::fs::copy(sandbox.path(file), other.path(file)).unwrap();
    }
    other
        .line("verify f --certificate-identity jane@example.com --certificate-oidc-issuer https://accounts.example.com")
        .failed(1, "E0112");
}
