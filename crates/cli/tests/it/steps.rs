//! Steps, lineage and the gate.

use crate::sandbox::{Said, Sandbox};

fn project() -> Sandbox {
    let sandbox = Sandbox::with_keys(&["k"]);
    sandbox.write("raw.csv", "b,2\na,1\n");
    sandbox
}

fn sort(sandbox: &Sandbox) -> Said {
    sandbox.json(&[
        "run",
        "--name",
        "sort",
        "--input",
        "raw=raw.csv",
        "--product",
        "sorted=sorted.csv",
        "--key",
        "k",
        "--",
        "sh",
        "-c",
        "sort raw.csv > sorted.csv",
    ])
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
    let mut command = sandbox.command(&[
        "run",
        "--name",
        "sort",
        "--input",
        "raw=raw.csv",
        "--product",
        "sorted=sorted.csv",
        "--key",
        "k",
        "--bundles",
        "out",
        "--",
        "sh",
        "-c",
        "sort raw.csv > sorted.csv",
    ]);
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
        .run(&[
            "run",
            "--name",
            "s",
            "--input",
            "raw.csv",
            "--product",
            "out",
            "--key",
            "k",
            "--",
            "sh",
            "-c",
            "echo x > out; exit 7",
        ])
        .failed(1, "E0302")
        .says("7");
    sandbox
        .run(&[
            "run",
            "--name",
            "s",
            "--input",
            "raw.csv",
            "--product",
            "missing",
            "--key",
            "k",
            "--",
            "true",
        ])
        .failed(1, "E0304")
        .says("missing");
    sandbox
        .run(&[
            "run",
            "--name",
            "s",
            "--input",
            "raw.csv",
            "--product",
            "out2",
            "--key",
            "k",
            "--",
            "sh",
            "-c",
            "echo x > out2; echo c >> raw.csv",
        ])
        .failed(1, "E0303")
        .says("raw.csv");
    sandbox
        .run(&[
            "run",
            "--name",
            "s",
            "--input",
            "nowhere",
            "--product",
            "out3",
            "--key",
            "k",
            "--",
            "true",
        ])
        .failed(2, "E0305");
    sandbox
        .run(&[
            "run",
            "--name",
            "s",
            "--product",
            "out4",
            "--key",
            "k",
            "--",
            "no-such-program",
        ])
        .failed(2, "E0305");
    assert_eq!(sandbox.log_size(), 0);
}

#[test]
fn a_product_beside_what_was_declared_is_an_error() {
    let sandbox = project();
    sandbox
        .run(&[
            "run",
            "--name",
            "s",
            "--input",
            "raw.csv",
            "--product",
            "out",
            "--key",
            "k",
            "--",
            "sh",
            "-c",
            "echo x > out; echo y > undeclared",
        ])
        .failed(1, "E0304")
        .says("undeclared");
    assert_eq!(sandbox.log_size(), 0);
}

#[test]
fn require_stops_a_step_whose_input_is_not_proven() {
    let sandbox = project();
    sandbox.write("dataset.json", DATASET);
    sandbox
        .run(&[
            "attest",
            "raw.csv",
            "--type",
            "dataset",
            "--predicate",
            "dataset.json",
            "--key",
            "k",
        ])
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
fn attest_checks_the_shape_of_known_types() {
    let sandbox = project();
    sandbox.write("bad.json", r#"{"name":""}"#);
    sandbox
        .run(&[
            "attest",
            "raw.csv",
            "--type",
            "dataset",
            "--predicate",
            "bad.json",
            "--key",
            "k",
        ])
        .failed(2, "E0104");
    sandbox.write("twice.json", r#"{"a":1,"a":2}"#);
    sandbox
        .run(&[
            "attest",
            "raw.csv",
            "--type",
            "https://example.com/x",
            "--predicate",
            "twice.json",
            "--key",
            "k",
        ])
        .failed(2, "E0104")
        .says("twice");
    sandbox
        .run(&[
            "attest",
            "raw.csv",
            "--type",
            "no-such-type",
            "--predicate",
            "bad.json",
            "--key",
            "k",
        ])
        .failed(2, "E0002");
    assert_eq!(sandbox.log_size(), 0);
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
