//! `custos scan s3://...` and `az://...`: a stand-in that serves lists and ranges, and what checks
//! signatures where there is one: moto (`CUSTOS_PEER_MOTO`) and Azurite (`CUSTOS_PEER_AZURITE`), which
//! `cargo xtask test` starts.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::sandbox::{Said, Sandbox, finish};

const BAD: &[u8] = b"cos\nsystem\n(S'id'\ntR.";
const FINE: &[u8] = b"\x80\x04}\x94.";

type Objects = Vec<(&'static str, Vec<u8>)>;

/// What was asked: path with query, and range.
type Asked = Arc<Mutex<Vec<(String, String)>>>;

// A tensor of a mebibyte of zeros, `count` times.
fn safetensors(count: usize) -> Vec<u8> {
    let size = count << 20;
    let header =
        format!("{{\"w\":{{\"dtype\":\"U8\",\"shape\":[{size}],\"data_offsets\":[0,{size}]}}}}");
    let mut file = u64::try_from(header.len()).unwrap().to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.resize(file.len() + size, 0);
    file
}

// Serves a bucket called `models`; what begins with `denied` is listed and not given, and what begins
// with `swapped` is another one by the time it is read.
fn bucket(objects: Objects) -> (u16, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked: Asked = Arc::default();
    let (objects, seen) = (Arc::new(objects), Arc::clone(&asked));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (objects, seen) = (Arc::clone(&objects), Arc::clone(&seen));
            std::thread::spawn(move || serve(stream.unwrap(), &objects, &seen));
        }
    });
    (port, asked)
}

fn serve(mut stream: TcpStream, objects: &Objects, seen: &Asked) {
    let mut head = String::new();
    let mut lines = BufReader::new(stream.try_clone().unwrap());
    while !head.ends_with("\r\n\r\n") {
        if lines.read_line(&mut head).unwrap_or(0) == 0 {
            return;
        }
    }
    let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let header = |name: &str| {
        let line = head
            .lines()
            .find(|line| line.to_lowercase().starts_with(name));
        line.map(|line| line[name.len()..].trim().to_owned())
            .unwrap_or_default()
    };
    let range = header("range:");
    seen.lock().unwrap().push((target.clone(), range.clone()));
    let (status, more, body) = answer(&target, &range, objects);
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\n{more}Connection: close\r\n\r\n",
        body.len()
    );
    let _ = stream
        .write_all(head.as_bytes())
        .and_then(|()| stream.write_all(&body));
}

fn answer(target: &str, range: &str, objects: &Objects) -> (&'static str, String, Vec<u8>) {
    let refused = |status, code: &str| {
        (
            status,
            String::new(),
            format!("<Error><Code>{code}</Code></Error>").into_bytes(),
        )
    };
    if target.starts_with("/other") {
        return refused("404 Not Found", "NoSuchBucket");
    }
    if target.starts_with("/secret") {
        return refused("403 Forbidden", "AccessDenied");
    }
    if target.starts_with("/far") {
        return refused("301 Moved Permanently", "PermanentRedirect");
    }
    if let Some((_, query)) = target.split_once('?') {
        let prefix = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("prefix="));
        let prefix = prefix.unwrap_or_default().replace("%2F", "/");
        let mut list = "<ListBucketResult>".to_owned();
        for (key, bytes) in objects.iter().filter(|(key, _)| key.starts_with(&prefix)) {
            write!(
                list,
                "<Contents><Key>{key}</Key><ETag>&quot;e1&quot;</ETag><Size>{}</Size></Contents>",
                bytes.len()
            )
            .unwrap();
        }
        list.push_str("</ListBucketResult>");
        return ("200 OK", String::new(), list.into_bytes());
    }
    let key = target.strip_prefix("/models/").unwrap_or_default();
    let Some((_, bytes)) = objects.iter().find(|(known, _)| *known == key) else {
        return refused("404 Not Found", "NoSuchKey");
    };
    if key.starts_with("denied") {
        return refused("403 Forbidden", "AccessDenied");
    }
    if key.starts_with("swapped") {
        return refused("412 Precondition Failed", "PreconditionFailed");
    }
    let (start, end) = range
        .strip_prefix("bytes=")
        .unwrap()
        .split_once('-')
        .unwrap();
    let (start, end): (usize, usize) = (start.parse().unwrap(), end.parse().unwrap());
    let more = format!(
        "ETag: \"e1\"\r\nContent-Range: bytes {start}-{end}/{}\r\n",
        bytes.len()
    );
    ("206 Partial Content", more, bytes[start..=end].to_vec())
}

fn scan(sandbox: &Sandbox, args: &[&str], vars: &[(&str, &str)]) -> Said {
    let mut command = sandbox.command(&[&["--format", "json", "scan"], args].concat());
    // Nothing of the machine that the test runs on.
    for name in [
        "AWS_PROFILE",
        "AWS_REGION",
        "AWS_ENDPOINT_URL",
        "AWS_SESSION_TOKEN",
    ] {
        command.env_remove(name);
    }
    command
        .env("HOME", sandbox.root())
        .env("AWS_EC2_METADATA_DISABLED", "true");
    command.envs(vars.iter().copied());
    finish(command)
}

fn s3(url: &str) -> Vec<(&'static str, &str)> {
    vec![
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI"),
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ENDPOINT_URL_S3", url),
    ]
}

fn states(report: &Value) -> Vec<(&str, &str)> {
    let files = report["files"].as_array().unwrap().iter();
    files
        .map(|file| {
            (
                file["path"].as_str().unwrap(),
                file["state"].as_str().unwrap(),
            )
        })
        .collect()
}

#[test]
fn objects_below_a_prefix_are_looked_into() {
    let (port, _) = bucket(vec![
        ("m/bert-large/x.pkl", BAD.to_vec()),
        ("m/bert/", Vec::new()),
        ("m/bert/a.pkl", BAD.to_vec()),
        ("m/bert/sub/w.safetensors", safetensors(1)),
        ("m/zero", Vec::new()),
    ]);
    let sandbox = Sandbox::new();
    let url = format!("http://127.0.0.1:{port}");
    let said = scan(&sandbox, &["s3://models/m/bert"], &s3(&url));
    assert_eq!(said.status, 1, "{}", said.stderr);
    let report = said.json();
    assert_eq!(
        states(&report),
        [
            ("s3://models/m/bert/a.pkl", "findings"),
            ("s3://models/m/bert/sub/w.safetensors", "clean")
        ]
    );
    assert_eq!(report["files"][0]["etag"], "\"e1\"");
    let all = scan(&sandbox, &["s3://models"], &s3(&url)).json();
    assert_eq!(states(&all).len(), 4);
    let one = scan(&sandbox, &["s3://models/m/bert/a.pkl"], &s3(&url)).json();
    assert_eq!(states(&one), [("s3://models/m/bert/a.pkl", "findings")]);
    let begins = scan(&sandbox, &["s3://models/m/bert-"], &s3(&url)).json();
    assert_eq!(
        states(&begins),
        [("s3://models/m/bert-large/x.pkl", "findings")]
    );
    let none = scan(&sandbox, &["s3://models/none/"], &s3(&url));
    assert_eq!(none.status, 3);
    assert_eq!(none.json()["notes"][0]["path"], "s3://models/none/");
}

#[test]
fn each_byte_of_an_object_is_fetched_once() {
    let size = safetensors(40).len();
    let (port, asked) = bucket(vec![("w.safetensors", safetensors(40))]);
    let sandbox = Sandbox::new();
    let url = format!("http://127.0.0.1:{port}");
    let said = scan(&sandbox, &["s3://models/w.safetensors"], &s3(&url));
    assert_eq!(said.status, 0, "{}", said.stderr);
    // Where there is no room, it is read in place: little more than once.
    let most = |ranges: &[(String, String)]| {
        let read = ranges
            .iter()
            .filter_map(|(_, range)| range.strip_prefix("bytes=")?.split_once('-'));
        let lens = read.map(|(start, end)| {
            end.parse::<usize>().unwrap() + 1 - start.parse::<usize>().unwrap()
        });
        lens.sum::<usize>()
    };
    let ranges = std::mem::take(&mut *asked.lock().unwrap());
    assert_eq!(most(&ranges), size);
    assert!(ranges.len() < 10, "{}", ranges.len());
    let said = scan(
        &sandbox,
        &["s3://models/w.safetensors", "--max-disk", "0"],
        &s3(&url),
    );
    assert_eq!(said.status, 0, "{}", said.stderr);
    let ranges = asked.lock().unwrap().clone();
    assert!(most(&ranges) < size + (10 << 20), "{ranges:?}");
    assert!(ranges.len() < 20, "{}", ranges.len());
}

// A field of a protocol buffer: a number, or text and messages up to 127 bytes.
fn number(field: u8, value: u8) -> Vec<u8> {
    vec![field << 3, value]
}

fn bytes(field: u8, value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![field << 3 | 2, u8::try_from(value.len()).unwrap()];
    bytes.extend(value);
    bytes
}

// A graph of ONNX whose values, of 128 bytes, lie in a file beside it.
fn graph(file: &[u8]) -> Vec<u8> {
    let entry = |key: &[u8], value: &[u8]| bytes(13, &[bytes(1, key), bytes(2, value)].concat());
    let tensor = [
        number(1, 32),
        number(2, 1),
        bytes(8, b"W"),
        entry(b"location", file),
        entry(b"length", b"128"),
        number(14, 1),
    ];
    let node = [bytes(1, b"X"), bytes(2, b"Y"), bytes(4, b"Relu")].concat();
    let graph = [bytes(1, &node), bytes(2, b"g"), bytes(5, &tensor.concat())];
    let opset = [bytes(1, b""), number(2, 17)].concat();
    [number(1, 8), bytes(8, &opset), bytes(7, &graph.concat())].concat()
}

#[test]
fn values_beside_a_graph_are_known_in_a_bucket_as_in_a_folder() {
    let (port, _) = bucket(vec![
        ("m/sub/w.data", 1.5_f32.to_le_bytes().repeat(32)),
        ("m/sub/x.onnx", graph(b"w.data")),
        ("n/w.data", 1.5_f32.to_le_bytes().repeat(32)),
        ("n/x.onnx", graph(b"../w.data")),
    ]);
    let sandbox = Sandbox::new();
    let url = format!("http://127.0.0.1:{port}");
    let good = scan(&sandbox, &["s3://models/m"], &s3(&url));
    assert_eq!(good.status, 0, "{}", good.stderr);
    assert_eq!(good.json()["files"][0]["coverage"]["opaque"], 128);
    let out = scan(&sandbox, &["s3://models/n"], &s3(&url));
    assert_eq!(out.status, 1, "{}", out.stderr);
    let found = &out.json()["files"][1]["findings"][0];
    assert_eq!(found["rule"], "onnx/external-path");
}

#[test]
fn what_cannot_be_read_is_told_for_each_object() {
    let (port, _) = bucket(vec![
        ("denied.pkl", FINE.to_vec()),
        ("fine.pkl", FINE.to_vec()),
        ("swapped.pkl", FINE.to_vec()),
    ]);
    let sandbox = Sandbox::new();
    let url = format!("http://127.0.0.1:{port}");
    let said = scan(&sandbox, &["s3://models/"], &s3(&url));
    assert_eq!(said.status, 3, "{}", said.stderr);
    let report = said.json();
    let states: Vec<&str> = states(&report)
        .into_iter()
        .map(|(_, state)| state)
        .collect();
    assert_eq!(states, ["error", "clean", "error"]);
    let error = |at: usize| report["files"][at]["error"].as_str().unwrap();
    assert!(error(0).contains("AccessDenied"), "{}", error(0));
    assert!(error(2).contains("changed or removed"), "{}", error(2));
}

#[test]
fn a_bucket_that_does_not_answer_says_what_to_do() {
    let (port, _) = bucket(Vec::new());
    let sandbox = Sandbox::new();
    let url = format!("http://127.0.0.1:{port}");
    let gone = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let gone = format!("http://127.0.0.1:{gone}");
    let key = "c2VjcmV0";
    let azure = [
        ("AZURE_STORAGE_ACCOUNT", "acct"),
        ("AZURE_STORAGE_KEY", key),
    ];
    for (place, vars, status, code, says) in [
        ("s3://Models/x", s3(&url), 2, "E1009", "s3://BUCKET/PREFIX"),
        ("s3://", s3(&url), 2, "E1009", "s3://BUCKET/PREFIX"),
        ("s3://other/x", s3(&url), 2, "E1009", "NoSuchBucket"),
        ("s3://models/x", Vec::new(), 2, "E1010", "AWS_"),
        ("az://models/x", Vec::new(), 2, "E1010", "AZURE_STORAGE_"),
        (
            "az://models/x",
            azure[..1].to_vec(),
            2,
            "E1010",
            "AZURE_STORAGE_",
        ),
        ("s3://secret/x", s3(&url), 3, "E1011", "AccessDenied"),
        ("s3://far/x", s3(&url), 3, "E1012", "AWS_REGION"),
        ("s3://models/x", s3(&gone), 3, "E1012", "try again later"),
        (
            "gs://models/x",
            Vec::new(),
            2,
            "E1002",
            "storage.googleapis.com",
        ),
        (
            "https://example.com/x",
            Vec::new(),
            2,
            "E1002",
            "custos scan -",
        ),
        ("hf://org/name", Vec::new(), 2, "E1002", "download"),
    ] {
        let said = scan(&sandbox, &[place], &vars);
        assert_eq!(said.status, status, "{place}: {}", said.stderr);
        assert!(
            said.stderr.contains(code) && said.stderr.contains(says),
            "{place}: {}",
            said.stderr
        );
        assert!(!said.stderr.contains("wJalrXUtnFEMI"), "a secret is shown");
    }
}

#[test]
fn a_statement_over_a_bucket_is_about_the_folder_that_is_fetched_from_it() {
    let (port, _) = bucket(vec![
        ("m/bert/a.pkl", FINE.to_vec()),
        ("m/bert/sub/b.pkl", FINE.to_vec()),
    ]);
    let sandbox = Sandbox::with_keys(&["scanner"]);
    let url = format!("http://127.0.0.1:{port}");
    let args = [
        "s3://models/m/bert",
        "--attest",
        "--key",
        "scanner",
        "--bundle",
        "scan.json",
    ];
    let said = scan(&sandbox, &args, &s3(&url));
    assert_eq!(said.status, 0, "{}", said.stderr);
    sandbox.write("bert/a.pkl", FINE);
    sandbox.write("bert/sub/b.pkl", FINE);
    sandbox
        .line("verify bert --type scan --bundle scan.json --key scanner")
        .ok();
    sandbox
        .line("verify bert/a.pkl --type scan --bundle scan.json --key scanner")
        .ok();
}

fn peer(name: &str) -> Option<Value> {
    let described = std::env::var(name).ok();
    if described.is_none() {
        let skip = format!("SKIP {name} is not set, nothing was compared\n");
        std::io::stdout().write_all(skip.as_bytes()).unwrap();
    }
    described.map(|described| serde_json::from_str(&described).unwrap())
}

// What both peers were given.
fn expect_peers_objects(sandbox: &Sandbox, scheme: &str, vars: &[(&str, &str)]) {
    let said = scan(sandbox, &[&format!("{scheme}://models/cli")], vars);
    assert_eq!(said.status, 1, "{}", said.stderr);
    let report = said.json();
    let place = |name: &str| format!("{scheme}://models/cli/{name}");
    assert_eq!(
        states(&report),
        [
            (place("a b+\u{e9}.pkl").as_str(), "findings"),
            (place("sub/large.safetensors").as_str(), "clean"),
            (place("sub/none").as_str(), "clean"),
        ]
    );
    assert_eq!(report["files"][1]["coverage"]["unknown"], 0);
    assert!(!report["files"][1]["etag"].as_str().unwrap().is_empty());
    let missing = scan(sandbox, &[&format!("{scheme}://no-such-bucket/x")], vars);
    assert_eq!(missing.status, 2, "{}", missing.stderr);
    assert!(missing.stderr.contains("E1009"), "{}", missing.stderr);
}

#[test]
fn moto_lists_and_serves_what_is_scanned() {
    let Some(moto) = peer("CUSTOS_PEER_MOTO") else {
        return;
    };
    let sandbox = Sandbox::new();
    let field = |name: &str| moto[name].as_str().unwrap();
    let mut vars = s3(field("url"));
    vars[0].1 = field("key");
    vars[1].1 = field("secret");
    vars[2].1 = "us-east-1";
    expect_peers_objects(&sandbox, "s3", &vars);
    vars[1].1 = "wrong";
    let denied = scan(&sandbox, &["s3://models/cli"], &vars);
    assert_eq!(denied.status, 3, "{}", denied.stderr);
    assert!(denied.stderr.contains("E1011"), "{}", denied.stderr);
}

#[test]
fn azurite_lists_and_serves_what_is_scanned() {
    let Some(azurite) = peer("CUSTOS_PEER_AZURITE") else {
        return;
    };
    let sandbox = Sandbox::new();
    let field = |name: &str| azurite[name].as_str().unwrap();
    let string = |key: &str| {
        format!(
            "DefaultEndpointsProtocol=http;AccountName={};AccountKey={key};BlobEndpoint={}",
            field("account"),
            field("url")
        )
    };
    let good = string(field("key"));
    expect_peers_objects(
        &sandbox,
        "az",
        &[("AZURE_STORAGE_CONNECTION_STRING", &good)],
    );
    let bad = string("d3Jvbmc=");
    let denied = scan(
        &sandbox,
        &["az://models/cli"],
        &[("AZURE_STORAGE_CONNECTION_STRING", &bad)],
    );
    assert_eq!(denied.status, 3, "{}", denied.stderr);
    assert!(denied.stderr.contains("E1011"), "{}", denied.stderr);
}
