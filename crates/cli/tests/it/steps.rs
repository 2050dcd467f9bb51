//! Steps, lineage and the gate.

use crate::sandbox::{Said, Sandbox, words};

fn project() -> Sandbox {
    let sandbox = Sandbox::with_keys(&["k"]);
    sandbox.write("raw.csv", "b,2\na,1\n");
    sandbox
}

fn sort(sandbox: &Sandbox) -> Said {
    sandbox.json(&words("run --name sort --input raw=raw.csv --product sorted=sorted.csv --key k -- sh -c 'sort raw.csv > sorted.csv'"))
}

#[test]
fn a_step_is_recorded_with_inputs_products_and_resources() {
    let sandbox = project();
    let said = sort(&sandbox).ok().json();
    assert_eq!(said["schema"], "custos.run/1");
    assert_eq!(sandbox.log_size(), 2, "provenance and resource usage");
    let trace = sandbox.run(&["trace", "sorted.csv"]).ok();
    trace.says("sort").says("raw");
    sandbox
        .run(&["trace", "raw.csv", "--down"])
        .ok()
        .says("sort");
    sandbox
        .run(&["--format", "dot", "trace", "sorted.csv"])
        .ok()
        .says("digraph");
    assert_eq!(
        sandbox.json(&["trace", "sorted.csv"]).ok().json()["schema"],
        "custos.trace/1"
    );
    sandbox.write("unknown", "x");
    sandbox.run(&["trace", "unknown"]).failed(1, "E0603");
}

#[test]
fn no_secret_of_the_environment_is_recorded() {
    let sandbox = project();
    let mut command = sandbox.command(&words("run --name sort --input raw=raw.csv --product sorted=sorted.csv --key k --bundles out -- sh -c 'sort raw.csv > sorted.csv'"));
    command.env("API_TOKEN", "hunter2-secret");
    crate::sandbox::finish(command).ok();
    let mut text = String::new();
    for entry in std::fs::read_dir(sandbox.path("out")).unwrap() {
        let bundle = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let bundle: serde_json::Value = serde_json::from_str(&bundle).unwrap();
        let payload = bundle["dsseEnvelope"]["payload"].as_str().unwrap();
        text.push_str(&decode(payload));
    }
    assert!(text.contains("API_TOKEN"), "the name is recorded");
    assert!(!text.contains("hunter2"), "the value is not");
}

#[test]
fn a_failed_step_signs_nothing() {
    let sandbox = project();
    sandbox
        .line("run --name s --input raw.csv --product out --key k -- sh -c 'echo x > out; exit 7'")
        .failed(1, "E0302")
        .says("7");
    sandbox
        .line("run --name s --input raw.csv --product missing --key k -- true")
        .failed(1, "E0304")
        .says("missing");
    sandbox
        .line("run --name s --input raw.csv --product out2 --key k -- sh -c 'echo x > out2; echo c >> raw.csv'")
        .failed(1, "E0303")
        .says("raw.csv");
    sandbox
        .line("run --name s --input nowhere --product out3 --key k -- true")
        .failed(2, "E0305");
    sandbox
        .line("run --name s --product out4 --key k -- no-such-program")
        .failed(2, "E0305");
    assert_eq!(sandbox.log_size(), 0);
}

#[test]
fn a_product_beside_what_was_declared_is_an_error() {
    let sandbox = project();
    sandbox
        .line("run --name s --input raw.csv --product out --key k -- sh -c 'echo x > out; echo y > undeclared'")
        .failed(1, "E0304")
        .says("undeclared");
    assert_eq!(sandbox.log_size(), 0);
}

#[test]
fn require_stops_a_step_whose_input_is_not_proven() {
    let sandbox = project();
    sandbox.write("dataset.json", DATASET);
    sandbox
        .line("attest raw.csv --type dataset --predicate dataset.json --key k")
        .ok();
    sort(&sandbox).ok();
    let next = |product: &str| {
        sandbox.run(&[
            "run",
            "--name",
            "count",
            "--input",
            "sorted=sorted.csv",
            "--product",
            &format!("count={product}"),
            "--require",
            "starter",
            "--key",
            "k",
            "--",
            "sh",
            "-c",
            &format!("wc -l < sorted.csv > {product}"),
        ])
    };
    next("count.txt").ok();
    sandbox.write("sorted.csv", "a,1\nb,3\n");
    next("again.txt").failed(1, "E0301").says("sorted");
    assert!(!sandbox.path("again.txt").exists(), "nothing ran");
}

#[test]
fn gate_denies_what_is_not_proven_and_logs_the_decision() {
    let sandbox = project();
    sort(&sandbox).ok();
    let before = sandbox.log_size();
    let said = sandbox.json(&["gate", "sorted.csv", "--policy", "starter", "--key", "k"]);
    assert_eq!(said.status, 1, "{}", said.stderr);
    let json = said.json();
    assert_eq!(json["schema"], "custos.gate/1");
    assert_eq!(json["verdict"], "deny");
    assert!(!json["reasons"].as_array().unwrap().is_empty());
    assert_eq!(sandbox.log_size(), before + 2, "VSA and decision");
}

#[test]
fn gate_follows_a_policy_of_ones_own() {
    let sandbox = project();
    sort(&sandbox).ok();
    sandbox.write(
        "mine/gate.rego",
        r#"package custos.gate
import rego.v1

default allow := false

allow if count(deny) == 0

deny contains {"code": "no-statement", "msg": "nobody says where it comes from"} if {
    count(input.custos.statements.value) == 0
}
"#,
    );
    let said = sandbox
        .json(&["gate", "sorted.csv", "--policy", "mine", "--key", "k"])
        .ok();
    assert_eq!(said.json()["verdict"], "allow");
    sandbox.write("unknown.csv", "x");
    let said = sandbox.json(&["gate", "unknown.csv", "--policy", "mine", "--key", "k"]);
    assert_ne!(said.status, 0, "{}", said.stdout);
}

#[test]
fn gate_sees_a_file_that_was_signed_itself() {
    let sandbox = project();
    sort(&sandbox).ok();
    sandbox.write(
        "mine/gate.rego",
        r#"package custos.gate
import rego.v1

default allow := false

allow if count(deny) == 0

deny contains {"code": "not-signed", "msg": "its own signature does not hold"} if {
    not input.verification.artifactSignature.valid
}
"#,
    );
    let gate = ["gate", "sorted.csv", "--policy", "mine", "--key", "k"];
    sandbox.run(&gate).says("not-signed");
    for kind in ["k", "p384"] {
        if kind == "p384" {
            let make = ["keys", "generate", kind, "--kind", kind, "--no-password"];
            sandbox.run(&make).ok();
            let settings = sandbox.read("custos.toml");
            let signer = "[[signer]]\nname = \"p384\"\nkey = \"home/keys/p384.pub\"\n";
            sandbox.write("custos.toml", format!("{signer}{settings}"));
        }
        sandbox.run(&["sign", "sorted.csv", "--key", kind]).ok();
        let said = sandbox.json(&gate).ok();
        assert_eq!(said.json()["verdict"], "allow");
    }
    let content = sandbox.read("sorted.csv");
    sandbox.write("sorted.csv", format!("{content}more"));
    assert_ne!(sandbox.run(&gate).status, 0);
}

#[test]
fn attest_checks_the_shape_of_known_types() {
    let sandbox = project();
    sandbox.write("bad.json", r#"{"name":""}"#);
    sandbox
        .line("attest raw.csv --type dataset --predicate bad.json --key k")
        .failed(2, "E0104");
    sandbox.write("twice.json", r#"{"a":1,"a":2}"#);
    sandbox
        .line("attest raw.csv --type https://example.com/x --predicate twice.json --key k")
        .failed(2, "E0104")
        .says("twice");
    sandbox
        .line("attest raw.csv --type no-such-type --predicate bad.json --key k")
        .failed(2, "E0002");
    assert_eq!(sandbox.log_size(), 0);
}

#[test]
fn steps_at_the_same_time_do_not_accuse_each_other() {
    let sandbox = project();
    // Each waits until all have begun, so that they surely overlap.
    let script = "mkdir out$0 && until [ $(ls -d out* | wc -l) = 4 ]; do sleep 0.02; done; \
                  echo $0 > out$0/x";
    let children: Vec<_> = (0..4)
        .map(|n| {
            let line = format!("run --name s{n} --input raw.csv --product out{n} --key k -- sh -c");
            let mut args = words(&line);
            args.extend([script.to_owned(), n.to_string()]);
            let mut command = sandbox.command(&args);
            command.stderr(std::process::Stdio::piped());
            command.stdout(std::process::Stdio::null()).spawn().unwrap()
        })
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{stderr}");
    }
    assert_eq!(sandbox.log_size(), 8);
    sandbox.line("log fsck").ok();
    // What no other step declared is still found, and nothing of those that ended counts.
    sandbox
        .line("run --name t --product new --key k -- sh -c 'echo > new; echo > out0/x'")
        .failed(1, "E0304")
        .says("out0/x");
}

#[test]
fn a_step_whose_statement_could_not_be_kept_does_not_start() {
    let sandbox = project();
    sort(&sandbox).ok();
    std::fs::remove_file(sandbox.path("home/custos.db")).unwrap();
    std::fs::create_dir(sandbox.path("home/custos.db")).unwrap();
    let said = sandbox.line("run --name s --input raw.csv --product out --key k -- touch out");
    assert_eq!(said.status, 3, "{}", said.stderr);
    assert!(!sandbox.path("out").exists(), "nothing ran");
}

#[test]
fn a_step_sees_no_secret_of_signing() {
    let sandbox = project();
    let args = words("run --name s --product seen --bundles out --key k -- sh -c 'env > seen'");
    let mut command = sandbox.command(&args);
    for name in ["COSIGN_PASSWORD", "CUSTOS_PASSWORD", "SIGSTORE_ID_TOKEN"] {
        command.env(name, "hunter2-secret");
    }
    let said = crate::sandbox::finish(command).ok();
    let seen = sandbox.read("seen");
    assert!(!seen.contains("hunter2"), "{seen}");
    assert!(!seen.contains("CUSTOS_HOME"), "{seen}");
    assert!(!said.stdout.contains("hunter2") && !said.stderr.contains("hunter2"));
    for entry in std::fs::read_dir(sandbox.path("out")).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let bundle: serde_json::Value = serde_json::from_str(&text).unwrap();
        let payload = decode(bundle["dsseEnvelope"]["payload"].as_str().unwrap());
        for name in ["COSIGN_", "CUSTOS_", "SIGSTORE_", "hunter2"] {
            assert!(!payload.contains(name), "{name}: {payload}");
        }
    }
}

#[test]
fn gate_hands_its_statements_on() {
    let sandbox = project();
    sort(&sandbox).ok();
    let line = "gate sorted.csv --policy starter --key k --bundles out";
    assert_eq!(
        sandbox.line(line).status,
        1,
        "a denial is handed on as well"
    );
    for (kind, named) in [("vsa", "verification-summary"), ("decision", "decision")] {
        let bundle = format!("out/sorted.csv.{named}.sigstore.json");
        sandbox
            .line(&format!(
                "verify sorted.csv --type {kind} --bundle {bundle} --key k"
            ))
            .ok()
            .says("PASS");
    }
}

#[test]
fn reasons_and_warnings_come_in_the_order_of_the_log() {
    let sandbox = project();
    for (from, to) in [("raw.csv", "a"), ("a", "b"), ("b", "c"), ("c", "d")] {
        let script = format!("sh -c 'cat {from} > {to}; echo >> {to}'");
        let line =
            format!("run --name make-{to} --input {from} --product {to} --key k -- {script}");
        sandbox.line(&line).ok();
    }
    let said = sandbox.json(&words("gate d --policy starter --key k"));
    let warnings = said.json()["warnings"].as_array().unwrap().clone();
    let steps: Vec<&str> = warnings
        .iter()
        .map(|warning| warning["evidence"][0]["name"].as_str().unwrap())
        .collect();
    assert_eq!(steps, ["make-a", "make-b", "make-c", "make-d"]);
}

const DATASET: &str = r#"{
    "name": "letters", "version": "1", "licence": "CC0-1.0", "records": 2,
    "sources": [{ "name": "typed by hand", "uri": "https://example.com/letters" }],
    "modalities": ["text"]
}"#;

// Standard base64, for looking into payloads without another dependency.
fn decode(text: &str) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bits, mut count, mut bytes) = (0_u32, 0, Vec::new());
    for byte in text.bytes().filter(|byte| *byte != b'=') {
        let value = ALPHABET.iter().position(|c| *c == byte).unwrap();
        bits = bits << 6 | u32::try_from(value).unwrap();
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 0xff) as u8);
        }
    }
    String::from_utf8(bytes).unwrap()
}
