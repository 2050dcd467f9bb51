//! Services of a signing configuration that are away: what is signed waits for them, complete or
//! not at all, and what they refuse is refused.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::sandbox::{Sandbox, finish};

/// What becomes of a request.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Served,
    Answered(u16),
    HungUp,
}

const STAMP: &str = "/api/v1/timestamp";
const LOG: &str = "/api/v2/log/entries";

/// A server for which each route can be away.
struct Relay {
    url: String,
    fates: Arc<Mutex<HashMap<String, Fate>>>,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Relay {
    fn before(server: &str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let relay = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            fates: Arc::default(),
            seen: Arc::default(),
        };
        let (fates, seen) = (Arc::clone(&relay.fates), Arc::clone(&relay.seen));
        let server = server.trim_start_matches("http://").to_owned();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (fates, seen) = (Arc::clone(&fates), Arc::clone(&seen));
                let server = server.clone();
                thread::spawn(move || pass(stream.unwrap(), &server, &fates, &seen));
            }
        });
        relay
    }

    fn all(&self, route: &str, fate: Fate) {
        self.fates.lock().unwrap().insert(route.to_owned(), fate);
    }

    /// The routes that were asked since the last time.
    fn seen(&self) -> Vec<String> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}

fn pass(
    mut stream: TcpStream,
    server: &str,
    fates: &Mutex<HashMap<String, Fate>>,
    seen: &Mutex<Vec<String>>,
) -> Option<()> {
    let request = request(&mut stream)?;
    let head = String::from_utf8_lossy(&request).into_owned();
    let path = head.split(' ').nth(1)?.to_owned();
    seen.lock().unwrap().push(path.clone());
    let fate = fates.lock().unwrap().get(&path).copied();
    match fate.unwrap_or(Fate::Served) {
        Fate::Served => {
            let mut behind = TcpStream::connect(server).ok()?;
            behind.write_all(&request).ok()?;
            // The client asks for one thing at a time, and the server is not kept waiting.
            behind
                .set_read_timeout(Some(Duration::from_secs(20)))
                .ok()?;
            let answer = answer(&mut behind)?;
            stream.write_all(&answer).ok()
        }
        Fate::Answered(status) => {
            let text = format!(
                "HTTP/1.1 {status} So\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}"
            );
            stream.write_all(text.as_bytes()).ok()
        }
        Fate::HungUp => None,
    }
}

fn request(stream: &mut TcpStream) -> Option<Vec<u8>> {
    message(stream)
}

fn answer(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let bytes = message(stream)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    // Each connection of the client carries one exchange.
    let at = text.find("\r\n")?;
    let mut changed = bytes.get(..at)?.to_vec();
    changed.extend_from_slice(b"\r\nConnection: close");
    changed.extend_from_slice(bytes.get(at..)?);
    Some(changed)
}

fn message(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut chunk = [0_u8; 8_192];
    loop {
        if let Some(at) = bytes.windows(4).position(|end| end == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..at]).to_ascii_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok())
                .unwrap_or(0_usize);
            if bytes.len() >= at + 4 + length {
                return Some(bytes);
            }
        }
        let read = stream.read(&mut chunk).ok()?;
        if read == 0 {
            return None;
        }
        bytes.extend_from_slice(&chunk[..read]);
    }
}

/// A team's server, and the relay in front of it.
struct Team {
    home: Sandbox,
    server: Child,
    relay: Relay,
}

impl Team {
    fn start() -> Self {
        let home = Sandbox::new();
        home.line("trust init --no-password --host log.example.com")
            .ok();
        let mut server = home
            .command(&["serve", "--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut first = String::new();
        BufReader::new(server.stdout.as_mut().unwrap())
            .read_line(&mut first)
            .unwrap();
        let url = first.trim().strip_prefix("serving  ").unwrap().to_owned();
        Self {
            home,
            server,
            relay: Relay::before(&url),
        }
    }

    /// The signing configuration, with these authorities and this selector for them.
    fn config(&self, authorities: &[&str], selection: &Value) -> Value {
        let mut config: Value =
            serde_json::from_str(&self.home.read("home/trust/signing_config.json")).unwrap();
        let mut service = config["rekorTlogUrls"][0].clone();
        service["url"] = json!(self.relay.url);
        config["caUrls"] = json!([]);
        config["rekorTlogUrls"] = json!([service]);
        service["majorApiVersion"] = json!(1);
        let tsas = authorities.iter().enumerate().map(|(n, path)| {
            service["url"] = json!(format!("{}{path}", self.relay.url));
            service["operator"] = json!(format!("operator {n}"));
            service.clone()
        });
        config["tsaUrls"] = tsas.collect();
        config["tsaConfig"] = selection.clone();
        config
    }

    /// Somebody who signs with the team's services.
    fn member(&self, hours: Option<u32>) -> Sandbox {
        let sandbox = Sandbox::with_keys(&["k", "release"]);
        let settings = sandbox.read("custos.toml");
        let waits = hours.map_or_else(String::new, |hours| format!("pending_hours = {hours}\n"));
        let services = "[sigstore]\nsigning_config = \"services.json\"\n\
                        [trust]\nsigstore_root = \"root.json\"\n";
        sandbox.write(
            "custos.toml",
            format!("[signing]\n{waits}{services}\n{settings}"),
        );
        let config = self.config(&[STAMP], &json!({"selector": "ANY"}));
        sandbox.write("services.json", config.to_string());
        sandbox.write("root.json", self.home.read("home/trust/trusted_root.json"));
        sandbox.write("m", "model");
        sandbox.write("p.json", r#"{"a":1}"#);
        sandbox
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn waiting(sandbox: &Sandbox) -> usize {
    std::fs::read_dir(sandbox.path("home/spool/pending")).map_or(0, Iterator::count)
}

fn signed(sandbox: &Sandbox, line: &str) -> Value {
    let words: Vec<&str> = line.split(' ').collect();
    sandbox.json(&words).ok().json()
}

fn bundle(file: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

fn stamps(bundle: &Value) -> usize {
    let data = &bundle["verificationMaterial"]["timestampVerificationData"];
    data["rfc3161Timestamps"].as_array().map_or(0, Vec::len)
}

fn entries(bundle: &Value) -> usize {
    let entries = &bundle["verificationMaterial"]["tlogEntries"];
    entries.as_array().map_or(0, Vec::len)
}

/// What somebody says who has the team's trusted root and the public key, and nothing else.
fn outside_accepts(member: &Sandbox, file: &str) -> bool {
    let stranger = Sandbox::new();
    for name in [file, &format!("{file}.sigstore.json"), "root.json"] {
        stranger.write(name, std::fs::read(member.path(name)).unwrap());
    }
    stranger.write("k.pub", member.read("home/keys/k.pub"));
    let words = [
        "verify",
        file,
        "--key",
        "k.pub",
        "--trusted-root",
        "root.json",
    ];
    stranger.run(&words).status == 0
}

#[test]
fn a_log_that_is_away_is_waited_for() {
    let team = Team::start();
    let member = team.member(Some(24));
    member.model("tree");
    team.relay.all(LOG, Fate::Answered(503));
    for line in [
        "sign m --key k",
        "sign tree --key k",
        "attest m --type https://example.com/p --predicate p.json --bundle a.json --key k",
    ] {
        let said = signed(&member, line);
        assert_eq!(said["status"], "pending", "{said}");
        assert!(
            said["logBy"].is_string() && said["logIndex"].is_null(),
            "{said}"
        );
    }
    assert_eq!(waiting(&member), 3);
    let file = bundle(&member.path("m.sigstore.json"));
    assert_eq!((stamps(&file), entries(&file)), (1, 0));
    member
        .line("evidence check")
        .ok()
        .says("0 statements in the store");
    assert!(!outside_accepts(&member, "m"));
    member.line("doctor").says("3 statements to be logged");
    let gate = member.json(&["gate", "m", "--policy", "starter", "--key", "release"]);
    assert!(gate.stdout.contains("statement-pending"), "{}", gate.stdout);
    // Still away: nothing is lost, and the exit status says so.
    let still = member.json(&["log", "flush"]);
    assert_eq!(still.status, 3, "{}", still.stderr);
    let still = still.json();
    assert_eq!(still["flushed"], json!([]));
    for one in still["waiting"].as_array().unwrap() {
        assert_eq!(one["error"]["code"], "E0722");
        assert_eq!(one["overdue"], false);
    }
    team.relay.seen();
    member.line("log flush").says("did not answer");
    assert_eq!(team.relay.seen(), [LOG], "nobody is asked again and again");
    // Back again, and with it what the gate decided.
    team.relay.all(LOG, Fate::Served);
    let done = signed(&member, "log flush");
    assert_eq!(done["flushed"].as_array().unwrap().len(), 5);
    assert_eq!(
        team.relay.seen(),
        [LOG; 5],
        "what was stamped is not stamped again"
    );
    assert_eq!(waiting(&member), 0);
    for name in ["m.sigstore.json", "a.json"] {
        let file = bundle(&member.path(name));
        assert_eq!((stamps(&file), entries(&file)), (1, 1), "{name}");
    }
    assert!(outside_accepts(&member, "m"));
    member.line("verify tree").ok();
    member.line("evidence check").ok();
    member.line("log flush").ok().says("nothing waits");
}

#[test]
fn an_authority_that_is_away_is_asked_first_when_it_is_back() {
    let team = Team::start();
    let member = team.member(Some(24));
    team.relay.all(STAMP, Fate::HungUp);
    let said = member.line("sign m --key k").ok();
    said.says("PENDING")
        .says("timestamp authority did not answer");
    let file = bundle(&member.path("m.sigstore.json"));
    assert_eq!((stamps(&file), entries(&file)), (0, 0));
    assert_eq!(team.relay.seen(), [STAMP], "no log before the timestamp");
    // The authority is back, and the log has gone.
    team.relay.all(STAMP, Fate::Served);
    team.relay.all(LOG, Fate::HungUp);
    assert_eq!(member.line("log flush").status, 3);
    assert_eq!(team.relay.seen(), [STAMP, LOG]);
    team.relay.all(LOG, Fate::Served);
    member.line("log flush").ok();
    assert_eq!(team.relay.seen(), [LOG], "the timestamp was kept");
    let file = bundle(&member.path("m.sigstore.json"));
    assert_eq!((stamps(&file), entries(&file)), (1, 1));
    assert!(outside_accepts(&member, "m"));
}

#[test]
fn what_is_refused_does_not_wait_and_leaves_nothing_behind() {
    let team = Team::start();
    let member = team.member(Some(24));
    for (route, status) in [(LOG, 400), (LOG, 403), (STAMP, 404), (STAMP, 401)] {
        team.relay.all(route, Fate::Answered(status));
        member.line("sign m --key k").failed(1, "E0723");
        assert_eq!(waiting(&member), 0, "{route} {status}");
        assert!(!member.path("m.sigstore.json").exists());
        team.relay.all(route, Fate::Served);
    }
    // Something was signed and refused four times, and none of it is left as a draft.
    member.line("sign m --key k").ok();
    let check = signed(&member, "evidence check");
    assert_eq!(check["unlogged"], json!([]), "{check}");
    assert_eq!(check["waiting"], json!([]), "{check}");
    // Refused later: it is said, and how to give it up.
    team.relay.all(LOG, Fate::Answered(503));
    member.write("n", "other");
    signed(&member, "sign n --key k");
    team.relay.all(LOG, Fate::Answered(400));
    let refused = member.line("log flush");
    assert_eq!(refused.status, 1);
    refused.says("E0723").says("by removing");
    assert_eq!(waiting(&member), 1);
}

#[test]
fn without_the_setting_an_outage_fails_and_the_draft_is_not_forgotten() {
    let team = Team::start();
    let member = team.member(None);
    team.relay.all(STAMP, Fate::Answered(500));
    member.line("sign m --key k").failed(3, "E0722");
    team.relay.all(STAMP, Fate::Served);
    team.relay.all(LOG, Fate::HungUp);
    let said = member.line("sign m --key k").failed(3, "E0722");
    said.says("pending_hours").says("custos log flush --drafts");
    assert_eq!(waiting(&member), 0);
    assert!(!member.path("m.sigstore.json").exists());
    member
        .line("log flush")
        .ok()
        .says("nothing waits to be logged");
    member
        .line("log flush --drafts")
        .ok()
        .says("finished 1 draft");
    let check = signed(&member, "evidence check");
    assert_eq!(
        (&check["statements"], &check["unlogged"]),
        (&json!(1), &json!([]))
    );
}

#[test]
fn another_authority_stands_in_and_what_lacks_is_had_later() {
    let team = Team::start();
    let member = team.member(Some(24));
    let slash = "/api/v1/timestamp?second";
    let use_both = |selection: &Value| {
        let config = team.config(&[STAMP, slash], selection);
        member.write("services.json", config.to_string());
    };
    team.relay.all(STAMP, Fate::Answered(503));
    use_both(&json!({"selector": "ANY"}));
    assert_eq!(signed(&member, "sign m --key k")["status"], "logged");
    assert_eq!(team.relay.seen(), [STAMP, slash, LOG]);
    for (name, selection) in [
        ("a", json!({"selector": "ALL"})),
        ("b", json!({"selector": "EXACT", "count": 2})),
    ] {
        use_both(&selection);
        member.write(name, name);
        team.relay.all(STAMP, Fate::Answered(503));
        let said = signed(&member, &format!("sign {name} --key k"));
        assert_eq!(said["status"], "pending");
        assert_eq!(team.relay.seen(), [STAMP, slash]);
        team.relay.all(STAMP, Fate::Served);
        member.line("log flush").ok();
        assert_eq!(team.relay.seen(), [STAMP, LOG], "nobody is asked twice");
        let file = bundle(&member.path(&format!("{name}.sigstore.json")));
        assert_eq!((stamps(&file), entries(&file)), (2, 1));
        assert!(outside_accepts(&member, name));
    }
}

#[test]
fn a_flush_that_is_killed_between_services_loses_nothing() {
    let team = Team::start();
    let member = team.member(Some(24));
    team.relay.all(STAMP, Fate::HungUp);
    let names: Vec<String> = (0..4).map(|n| format!("f{n}")).collect();
    for name in &names {
        member.write(name, name);
        signed(&member, &format!("sign {name} --key k"));
    }
    assert_eq!(waiting(&member), 4);
    team.relay.all(STAMP, Fate::Served);
    let before = team.home.log_size();
    for step in 0..40_u64 {
        let mut command = member.command(&["log", "flush"]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        thread::sleep(Duration::from_millis(2 * step));
        let _ = child.kill();
        child.wait().unwrap();
    }
    let done = finish(member.command(&["log", "flush"]));
    assert_eq!(done.status, 0, "{}", done.stderr);
    assert_eq!(waiting(&member), 0);
    for name in &names {
        let file = bundle(&member.path(&format!("{name}.sigstore.json")));
        assert_eq!((stamps(&file), entries(&file)), (1, 1));
        assert!(outside_accepts(&member, name));
    }
    assert_eq!(team.home.log_size(), before + 4);
    assert_eq!(member.log_size(), 4);
    member.line("log fsck").ok();
    member.line("evidence check").ok();
}

#[test]
fn a_promise_that_was_not_kept_is_said_everywhere() {
    let team = Team::start();
    let member = team.member(Some(0));
    team.relay.all(LOG, Fate::Answered(503));
    signed(&member, "sign m --key k");
    member.line("doctor").says("OVERDUE");
    let still = member.line("log flush");
    assert_eq!(still.status, 3);
    still.says("OVERDUE");
    let gate = member.json(&["gate", "m", "--policy", "starter", "--key", "release"]);
    assert!(gate.stdout.contains("statement-pending"), "{}", gate.stdout);
    team.relay.all(LOG, Fate::Served);
    member.line("log flush").ok().says("later than promised");
}

#[test]
fn signing_again_promises_no_longer_and_every_file_is_completed() {
    let team = Team::start();
    let member = team.member(Some(24));
    member
        .line("keys generate e --kind ed25519 --no-password")
        .ok();
    team.relay.all(LOG, Fate::HungUp);
    let first = signed(&member, "sign m --key e --bundle one.json");
    let second = signed(&member, "sign m --key e --bundle two.json");
    assert_eq!(first["logBy"], second["logBy"]);
    assert_eq!(waiting(&member), 1);
    team.relay.all(LOG, Fate::Served);
    // Two at once are one after the other.
    let both: Vec<Child> = (0..2)
        .map(|_| {
            let mut command = member.command(&["log", "flush"]);
            command.stdout(Stdio::null()).stderr(Stdio::null());
            command.spawn().unwrap()
        })
        .collect();
    for mut child in both {
        assert!(child.wait().unwrap().success());
    }
    for name in ["one.json", "two.json"] {
        assert_eq!(entries(&bundle(&member.path(name))), 1, "{name}");
    }
    assert_eq!(member.log_size(), 1);
}

#[test]
fn what_nobody_completes_later_does_not_wait() {
    let team = Team::start();
    let member = team.member(Some(24));
    team.relay.all(LOG, Fate::Answered(503));
    let digest = "a".repeat(64);
    member.write("list", format!("{digest}  m\n"));
    member
        .line("sign list --batch proofs --key k")
        .failed(3, "E0722");
    assert_eq!(waiting(&member), 0);
}

#[test]
fn services_that_moved_are_named_anew() {
    let team = Team::start();
    let member = team.member(Some(24));
    team.relay.all(LOG, Fate::Answered(503));
    signed(&member, "sign m --key k");
    std::fs::rename(member.path("services.json"), member.path("new.json")).unwrap();
    team.relay.all(LOG, Fate::Served);
    let lost = member.line("log flush");
    assert_eq!(lost.status, 3, "{}", lost.stdout);
    lost.says("--signing-config");
    assert_eq!(waiting(&member), 1);
    member
        .line("log flush --signing-config new.json --trusted-root root.json")
        .ok();
    assert!(outside_accepts(&member, "m"));
}

#[test]
fn what_is_published_and_not_recorded_at_home_yet_is_no_alarm() {
    let team = Team::start();
    let member = team.member(Some(24));
    member.write("first", "first");
    signed(&member, "sign first --key k");
    team.relay.all(LOG, Fate::Answered(503));
    signed(&member, "sign m --key k");
    team.relay.all(LOG, Fate::Served);
    let held = std::fs::File::open(member.path("home/log")).unwrap();
    held.lock().unwrap();
    let still = member.line("log flush");
    assert_eq!(still.status, 3);
    still.says("E0401");
    team.relay.seen();
    let key = team.home.line("log key").ok().stdout;
    let url = &team.relay.url;
    let watch = format!("log watch --once --since 0 --url {url} --log-key {key}");
    member.line(&watch).ok();
    drop(held);
    team.relay.seen();
    member.line("log flush").ok();
    assert!(team.relay.seen().is_empty(), "it was published before");
    member.line(&watch).ok();
    assert!(outside_accepts(&member, "m"));
}

/// A server of the home's log that is well, and loses its tongue when it is to log something.
fn dying(sandbox: &Sandbox) -> Relay {
    let relay = Relay::before("127.0.0.1:1");
    relay.all("/healthz", Fate::Answered(200));
    relay.all(LOG, Fate::HungUp);
    let serving = json!({
        "schema": "custos.serving/2", "url": relay.url, "local": relay.url, "token": "t".repeat(43),
    });
    sandbox.write("home/serve.json", serving.to_string());
    relay
}

#[test]
fn the_homes_own_log_that_dies_in_the_middle_is_waited_for() {
    let sandbox = Sandbox::with_keys(&["k"]);
    let settings = sandbox.read("custos.toml");
    sandbox.write("m", "model");
    sandbox.write("n", "model");
    sandbox.line("sign n --key k").ok();
    let relay = dying(&sandbox);
    let failed = sandbox.line("sign m --key k").failed(3, "E0402");
    failed.says("custos log flush --drafts");
    sandbox.write(
        "custos.toml",
        format!("[signing]\npending_hours = 24\n{settings}"),
    );
    sandbox.write("o", "model");
    assert_eq!(signed(&sandbox, "sign o --key k")["status"], "pending");
    // A log that refuses is not away.
    relay.all(LOG, Fate::Answered(400));
    sandbox.line("sign o --key k").failed(3, "E0402");
    assert_eq!(waiting(&sandbox), 1);
    std::fs::remove_file(sandbox.path("home/serve.json")).unwrap();
    sandbox
        .line("log flush --drafts")
        .ok()
        .says("finished 2 drafts");
    sandbox.line("verify o").ok();
    let check = signed(&sandbox, "evidence check");
    assert_eq!(check["unlogged"], json!([]), "{check}");
    assert_eq!(check["log"]["size"], 4, "{check}");
}
