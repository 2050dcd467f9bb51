//! `custos scan`: what comes out, with which status, and what becomes of it.

use std::io::{BufRead as _, Write as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::Stdio;

use custos_core::digest::Algorithm;
use serde_json::Value;

use crate::sandbox::{Said, Sandbox, finish, words};

const BAD: &[u8] = b"cos\nsystem\n(S'id'\ntR.";
const UNKNOWN: &[u8] = b"cacme.things\nthing\n(S'x'\ntR.";
const FINE: &[u8] = b"\x80\x04}\x94.";
// Of no format that anybody knows.
const ODD: &[u8] = b"\xc1\x03\x81\x02\x00\x93\x00\xf1";

fn files() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("m/bad.pkl", BAD);
    sandbox.write("m/sub/fine.pkl", FINE);
    sandbox.write("fine/a.pkl", FINE);
    sandbox.write("odd/x", ODD);
    sandbox.write("unknown/x.pkl", UNKNOWN);
    sandbox
}

fn fed(sandbox: &Sandbox, line: &str, input: &[u8]) -> Said {
    let mut command = sandbox.command(&words(line));
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    Said {
        status: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn statuses_say_yes_no_and_do_not_know() {
    let sandbox = files();
    for (line, status) in [
        ("scan fine", 0),
        ("scan fine --strict", 0),
        ("scan m", 1),
        ("scan m odd", 1),
        ("scan odd", 3),
        ("scan odd --strict", 1),
        ("scan unknown", 0),
        ("scan unknown --strict", 1),
        ("scan unknown --fail-on medium", 1),
        ("scan m --fail-on critical", 1),
        ("scan fine/a.pkl m/sub/fine.pkl", 0),
        ("scan m --exclude bad*", 0),
        ("scan nothing-here", 2),
        ("scan", 2),
        ("scan m --fail-on fatal", 2),
        ("scan - -", 2),
        ("scan fine --format dot", 2),
        ("verify fine --format sarif", 2),
    ] {
        assert_eq!(sandbox.line(line).status, status, "{line}");
    }
    std::fs::create_dir(sandbox.path("empty")).unwrap();
    assert_eq!(sandbox.line("scan empty").status, 3);
    sandbox.line("scan m").failed(1, "E1001").says("os.system");
    sandbox
        .line("scan odd")
        .failed(3, "E1006")
        .says("incomplete");
}

#[test]
fn likely_mistakes_are_told_with_what_was_meant() {
    let sandbox = files();
    symlink("nowhere", sandbox.path("dangling")).unwrap();
    sandbox.write("empty.json", b"");
    std::fs::create_dir(sandbox.path("nothing")).unwrap();
    for (line, status, says) in [
        ("scan nope.pkl", 2, "there is no such file"),
        ("scan fine nope.pkl", 2, "nope.pkl"),
        ("scan dangling", 2, "leads nowhere"),
        ("scan fine --fail-on hihg", 2, "critical"),
        ("scan m --fail-on HIGH", 1, "E1001"),
        (
            "scan --explain pickle/dangerus-call",
            2,
            "`pickle/dangerous-call`",
        ),
        ("scan --explain nothing", 2, "--list-rules"),
        ("scan --explain Pickle/Dangerous-Call", 0, ""),
        ("scan nothing", 3, "nothing to look at"),
        ("scan fine --exclude *", 3, "nothing to look at"),
        ("scan fine --json -", 2, "--format"),
        ("scan fine --json none/x.json", 2, "no such folder"),
        ("scan fine --sarif m", 2, "this is a folder"),
        ("scan fine --key scanner", 2, "--attest"),
        ("scan fine --osv m", 2, "OSV"),
        ("scan fine --baseline empty.json", 2, "--write-baseline"),
        ("scan fine --max-time 0", 2, "--max-time"),
        ("scan fine --format dot", 2, "custos trace"),
    ] {
        let said = sandbox.line(line);
        assert_eq!(said.status, status, "{line}: {}", said.stderr);
        assert!(said.stderr.contains(says), "{line}: {}", said.stderr);
    }
    let none = fed(&sandbox, "scan -", b"");
    assert_eq!(none.status, 3, "{}", none.stdout);
    assert!(none.stdout.contains("nothing came"), "{}", none.stdout);
}

#[test]
fn the_report_is_json_on_request_and_the_failure_is_not_a_second_document() {
    let sandbox = files();
    let said = sandbox.json(&["scan", "m"]);
    assert_eq!(said.status, 1);
    let report = said.json();
    assert_eq!(report["schema"], "custos.scan/1");
    assert_eq!(report["summary"]["answer"], "fail");
    assert_eq!(report["files"][0]["path"], "m/bad.pkl");
    assert_eq!(report["files"][0]["state"], "findings");
    assert_eq!(report["files"][1]["state"], "clean");
    let finding = &report["files"][0]["findings"][0];
    assert_eq!(finding["rule"], "pickle/dangerous-call");
    assert_eq!(finding["standing"], "new");
    assert!(finding["evidence"].as_str().unwrap().contains("os.system"));
    let again = sandbox.json(&["scan", "m", "--jobs", "1"]);
    assert_eq!(
        again.stdout,
        sandbox.json(&["scan", "m", "--jobs", "7"]).stdout
    );
    assert_eq!(again.stdout, said.stdout);
}

#[test]
fn standard_input_is_a_file_like_any_other() {
    let sandbox = files();
    assert_eq!(fed(&sandbox, "scan -", FINE).status, 0);
    let said = fed(&sandbox, "--format json scan - fine", BAD);
    assert_eq!(said.status, 1);
    let report: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(report["files"][0]["path"], "stdin");
    assert_eq!(report["files"][0]["size"], BAD.len());
    assert_eq!(report["summary"]["files"], 2);
    assert_eq!(fed(&sandbox, "scan - --max-disk 0", BAD).status, 3);
    // Nothing stays behind.
    let left = std::fs::read_dir(sandbox.root()).unwrap().flatten();
    let left = left.filter(|one| one.file_name().to_string_lossy().contains("custos-scan"));
    assert_eq!(left.count(), 0);
}

#[test]
fn what_lies_in_a_folder_leads_nobody_out_of_it() {
    let sandbox = files();
    symlink("../m/bad.pkl", sandbox.path("fine/out")).unwrap();
    sandbox
        .line("scan fine")
        .failed(3, "E1006")
        .says("leads out");
    std::fs::remove_file(sandbox.path("fine/out")).unwrap();
    symlink(".", sandbox.path("fine/loop")).unwrap();
    symlink("nowhere", sandbox.path("fine/dangling")).unwrap();
    let pipe = std::process::Command::new("mkfifo")
        .arg(sandbox.path("fine/pipe"))
        .status();
    assert!(pipe.unwrap().success());
    sandbox
        .line("scan fine")
        .ok()
        .says("a pipe, a socket or a device");
    sandbox
        .line("scan fine/pipe")
        .failed(2, "E1002")
        .says("custos scan -");
    sandbox.line("scan /dev/zero").failed(2, "E1002");
    // A link that somebody names is followed.
    symlink("m", sandbox.path("link")).unwrap();
    assert_eq!(sandbox.line("scan link").status, 1);
}

#[test]
fn an_unreadable_file_is_no_yes() {
    let sandbox = files();
    let file = sandbox.path("fine/locked");
    std::fs::write(&file, FINE).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o000)).unwrap();
    if std::fs::File::open(&file).is_ok() {
        return; // Root reads everything.
    }
    sandbox
        .line("scan fine")
        .failed(3, "E1006")
        .says("not read");
}

#[test]
fn a_hostile_name_or_argument_does_not_paint_the_screen() {
    let sandbox = Sandbox::new();
    let mut bad = b"cos\nsystem\n(V".to_vec();
    bad.extend_from_slice("\\u001b[2J\\u202eevil".as_bytes());
    bad.extend_from_slice(b"\ntR.");
    sandbox.write("m/a\u{1b}[31m\u{202e}.pkl", bad);
    let said = sandbox.line("scan m");
    assert_eq!(said.status, 1);
    for text in [&said.stdout, &said.stderr] {
        assert!(
            !text.contains('\u{1b}') && !text.contains('\u{202e}'),
            "{text:?}"
        );
    }
}

#[test]
fn suppressions_have_an_owner_and_an_end() {
    let sandbox = files();
    let report = sandbox.json(&["scan", "m"]).json();
    let digest = report["files"][0]["digest"].as_str().unwrap().to_owned();
    let entry = |expires: &str| {
        format!(
            "[[suppress]]\nsha256 = \"{digest}\"\nrule = \"pickle/dangerous-call\"\n\
             owner = \"alice\"\nreason = \"a test\"\nexpires = {expires}\n"
        )
    };
    sandbox.write("s.toml", entry("2099-01-01"));
    let line = "scan m --suppressions s.toml";
    sandbox.line(line).ok().says("1 finding suppressed");
    let said = sandbox.json(&words(line)).ok().json();
    let finding = &said["files"][0]["findings"][0];
    assert_eq!(finding["standing"], "suppressed");
    assert_eq!(finding["suppressedBy"]["owner"], "alice");
    sandbox.write("s.toml", entry("2001-01-01"));
    sandbox.line(line).failed(1, "E1001").says("has expired");
    sandbox.write("s.toml", entry("\"never\""));
    sandbox.line(line).failed(1, "E1001").says("not in order");
    let unused = entry("2099-01-01").replace(&digest, &"0".repeat(64));
    sandbox.write("s.toml", unused);
    sandbox.line(line).failed(1, "E1001").says("about nothing");
    sandbox.write("s.toml", "[[suppress]\n");
    sandbox.line(line).failed(2, "E1003");
    sandbox
        .line("scan m --suppressions none.toml")
        .failed(2, "E0003");
}

#[test]
fn a_baseline_leaves_what_is_new() {
    let sandbox = files();
    sandbox.line("scan m --write-baseline before.json").ok();
    sandbox
        .line("scan m --baseline before.json")
        .ok()
        .says("1 known before");
    std::fs::rename(sandbox.path("m/bad.pkl"), sandbox.path("m/moved.bin")).unwrap();
    sandbox.line("scan m --baseline before.json").ok();
    sandbox.write("m/copy.pkl", BAD);
    sandbox
        .line("scan m --baseline before.json")
        .failed(1, "E1001");
    sandbox.write("broken.json", "{}");
    sandbox
        .line("scan m --baseline broken.json")
        .failed(2, "E1004");
}

#[test]
fn several_reports_come_of_one_run() {
    let sandbox = files();
    let line = "scan . --json r.json --sarif r.sarif --cyclonedx bom.json";
    assert_eq!(sandbox.line(line).status, 1);
    // What the run writes is no part of what it looks at.
    assert_eq!(sandbox.line(line).status, 1);
    let read = |name: &str| serde_json::from_str::<Value>(&sandbox.read(name)).unwrap();
    let report = read("r.json");
    let paths = report["files"].as_array().unwrap().iter();
    let paths: Vec<&str> = paths.map(|file| file["path"].as_str().unwrap()).collect();
    assert_eq!(
        paths,
        [
            "fine/a.pkl",
            "m/bad.pkl",
            "m/sub/fine.pkl",
            "odd/x",
            "unknown/x.pkl"
        ]
    );
    let sarif = read("r.sarif");
    assert_eq!(sarif["version"], "2.1.0");
    let run = &sarif["runs"][0];
    assert_eq!(run["invocations"][0]["exitCode"], 1);
    assert_eq!(run["results"][0]["ruleId"], "pickle/dangerous-call");
    assert_eq!(run["artifacts"].as_array().unwrap().len(), 5);
    let bom = read("bom.json");
    assert_eq!(bom["components"].as_array().unwrap().len(), 5);
    for (format, key) in [("sarif", "runs"), ("cyclonedx", "components")] {
        let said = sandbox.line(&format!("--format {format} scan m"));
        assert_eq!(said.status, 1);
        assert!(said.json()[key].is_array());
    }
}

#[test]
fn rules_explain_themselves() {
    let sandbox = Sandbox::new();
    sandbox
        .line("scan --list-rules")
        .ok()
        .says("pickle/dangerous-call");
    sandbox
        .line("scan --explain pickle/dangerous-call")
        .ok()
        .says("what to do:");
    let rules = sandbox.json(&["scan", "--list-rules"]).ok().json();
    assert_eq!(rules["schema"], "custos.scan-rules/1");
    sandbox
        .line("scan --explain dangerous-call")
        .failed(2, "E1005")
        .says("pickle/dangerous-call");
}

// A registry that has what it is given, by path.
fn registry(files: Vec<(String, &'static str, Vec<u8>)>) -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = String::new();
            let mut lines = std::io::BufReader::new(stream.try_clone().unwrap());
            while !head.ends_with("\r\n\r\n") {
                if lines.read_line(&mut head).unwrap_or(0) == 0 {
                    break;
                }
            }
            let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
            let found = files.iter().find(|(name, ..)| *name == path);
            let (status, kind, body): (_, _, &[u8]) = match found {
                Some((_, kind, body)) => ("200 OK", *kind, body),
                None if path == "/v2/" => ("200 OK", "application/json", b"{}"),
                None => ("404 Not Found", "text/plain", b"nothing"),
            };
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\
                 Connection: close\r\n\r\n"
            );
            let _ = stream
                .write_all(answer.as_bytes())
                .and_then(|()| stream.write_all(body));
        }
    });
    port
}

#[test]
fn the_layers_of_an_image_are_looked_into() {
    const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    let sandbox = Sandbox::new();
    let digest = |bytes: &[u8]| Algorithm::Sha256.digest(bytes).to_string();
    let descriptor = |bytes: &[u8], title: &str| {
        serde_json::json!({
            "mediaType": "application/octet-stream",
            "digest": digest(bytes),
            "size": bytes.len(),
            "annotations": { "org.opencontainers.image.title": title },
        })
    };
    let config = b"{}";
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(config, "config"),
        "layers": [descriptor(BAD, "model.pkl"), descriptor(FINE, "fine.pkl"), descriptor(ODD, "gone")],
    });
    let manifest = serde_json::to_vec(&manifest).unwrap();
    let name = |kind: &str, bytes: &[u8]| format!("/v2/m/{kind}/{}", digest(bytes));
    let blob = "application/octet-stream";
    let port = registry(vec![
        (name("manifests", &manifest), MANIFEST, manifest.clone()),
        (name("blobs", config), blob, config.to_vec()),
        (name("blobs", BAD), blob, BAD.to_vec()),
        // Not what the manifest names.
        (name("blobs", FINE), blob, b"\x80\x04N.".to_vec()),
    ]);
    let image = format!("oci://127.0.0.1:{port}/m@{}", digest(&manifest));
    let said = sandbox.json(&["scan", &image]);
    assert_eq!(said.status, 1, "{}", said.stderr);
    let report = said.json();
    let states: Vec<(String, &str)> = report["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| {
            let path = file["path"].as_str().unwrap();
            (
                path.rsplit('!').next().unwrap().to_owned(),
                file["state"].as_str().unwrap(),
            )
        })
        .collect();
    let states: Vec<(&str, &str)> = states
        .iter()
        .map(|(name, state)| (name.as_str(), *state))
        .collect();
    assert_eq!(
        states,
        [
            ("manifest.json", "clean"),
            ("config.json", "clean"),
            ("model.pkl", "findings"),
            ("fine.pkl", "error"),
            ("gone", "error"),
        ]
    );
}

#[test]
fn known_vulnerabilities_come_from_a_folder_and_go_into_a_statement() {
    let sandbox = Sandbox::with_keys(&["scanner"]);
    sandbox.write("m/requirements.txt", "leaky==1.0 --hash=sha256:00\n");
    let record = serde_json::json!({
        "schema_version": "1.6.0",
        "id": "GHSA-aaaa-bbbb-cccc",
        "aliases": ["CVE-2099-0001"],
        "modified": "2026-10-01T00:00:00Z",
        "summary": "leaks",
        "affected": [{
            "package": { "ecosystem": "PyPI", "name": "leaky" },
            "ranges": [{
                "type": "ECOSYSTEM",
                "events": [{ "introduced": "0" }, { "fixed": "2.0" }],
            }],
        }],
    });
    sandbox.write("osv/GHSA-aaaa-bbbb-cccc.json", record.to_string());
    let said = sandbox.json(&["scan", "m", "--osv", "osv"]).json();
    assert_eq!(said["settings"]["osv"]["advisories"], 1);
    let found = said["files"][0]["findings"].as_array().unwrap();
    let found = found
        .iter()
        .find(|one| one["rule"] == "supply/known-vulnerability");
    assert_eq!(found.unwrap()["cves"][0], "CVE-2099-0001");
    let line = "scan m --osv osv --attest --key scanner";
    assert_ne!(sandbox.line(line).status, 2);
    assert_eq!(sandbox.log_size(), 2);
    sandbox.write("none/readme.txt", "x");
    sandbox.line("scan m --osv none").failed(2, "E1007");
    sandbox.line("scan m --osv missing").failed(2, "E0003");
    sandbox.write("names.txt", "# ours\nleaky\n");
    let said = sandbox.json(&["scan", "m", "--internal-names", "names.txt"]);
    assert_eq!(said.json()["settings"]["internalNames"], 1);
}

const POLICY: &str = r#"package custos.gate
import rego.v1
import data.custos.lib.facts
default allow := false
allow if {
	some scan in facts.value("scan").scans
	scan.signer.name == "scanner"
	scan.answer == "pass"
}
deny contains {"code": "scan-missing", "msg": "not scanned clean"} if not allow
"#;

#[test]
fn a_statement_is_signed_verified_and_seen_by_policy() {
    let sandbox = Sandbox::with_keys(&["scanner", "other"]);
    sandbox.write("m/a.pkl", FINE);
    sandbox.write("m/sub/b.pkl", FINE);
    sandbox.write("policy/gate.rego", POLICY);
    let gate = "gate m --policy policy --key other";
    // Nothing is stored yet, and nothing is a yes.
    assert_ne!(sandbox.line(gate).status, 0);
    sandbox
        .line("scan m --attest --key scanner --bundle scan.json")
        .ok()
        .says("log #");
    sandbox
        .line("verify m --type scan --bundle scan.json --key scanner")
        .ok();
    sandbox
        .line("verify m/a.pkl --type scan --bundle scan.json --key scanner")
        .ok();
    sandbox.line(gate).ok();
    sandbox.write("m/a.pkl", b"\x80\x04N.");
    assert_eq!(sandbox.line(gate).status, 1);
    let said = sandbox.line("verify m --type scan --bundle scan.json --key scanner");
    assert_eq!(said.status, 1);
    // A bad one is stated as well; the policy says what follows.
    sandbox.write("m/a.pkl", BAD);
    assert_eq!(sandbox.line("scan m --attest --key scanner").status, 1);
    assert_eq!(sandbox.line(gate).status, 1);
    sandbox
        .line("scan m --attest --key nobody")
        .failed(2, "E0701");
    sandbox.line("scan m --bundle x.json").failed(2, "E0002");
}

#[test]
fn a_long_output_fits_a_terminal_and_help_has_examples() {
    let sandbox = files();
    let mut command = sandbox.command(&words("scan --help"));
    command.env("COLUMNS", "80");
    let help = finish(command).ok().stdout;
    assert!(help.matches("\n  custos ").count() >= 4);
    for line in help.lines().filter(|line| !line.starts_with("Usage:")) {
        assert!(line.chars().count() <= 80, "{line}");
    }
    assert!(!sandbox.line("scan m").stdout.contains('\u{1b}'));
}
