//! safetensors: bombs, overlaps, names, and what hides behind the last tensor.

use custos_core::finding::Severity;

use custos_scan::{FileReport, Options, State, scan};

use super::{quiet, rules, told};
use crate::pickle::{Assembler, look};

fn named(name: &str, bytes: &[u8]) -> FileReport {
    scan(name, &bytes.to_vec(), &Options::default())
}

pub fn file(header: &str, data: &[u8]) -> Vec<u8> {
    let mut out = (header.len() as u64).to_le_bytes().to_vec();
    out.extend(header.as_bytes());
    out.extend(data);
    out
}

pub fn sample() -> Vec<u8> {
    let header = r#"{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"b":{"dtype":"F4","shape":[3,2],"data_offsets":[24,27]},"c":{"dtype":"I8","shape":[0],"data_offsets":[27,27]}} "#;
    file(header, &[0; 27])
}

fn one(kind: &str, shape: &str, offsets: &str, data: usize) -> Vec<u8> {
    let header =
        format!(r#"{{"a":{{"dtype":"{kind}","shape":{shape},"data_offsets":{offsets}}}}}"#);
    file(&header, &vec![0; data])
}

#[test]
fn sizes_and_places_that_do_not_fit() {
    quiet(&sample());
    for (kind, shape, bytes) in [
        ("F8_E4M3", "[4]", 4),
        ("F6_E2M3", "[4]", 3),
        ("C64", "[2]", 16),
        ("BOOL", "[]", 1),
        ("BF16", "[0,5]", 0),
    ] {
        quiet(&one(kind, shape, &format!("[0,{bytes}]"), bytes));
    }
    for (kind, shape, offsets, data) in [
        ("F32", "[2]", "[0,4]", 4),
        ("F32", "[1]", "[0,400]", 4),
        ("F32", "[1]", "[4,0]", 4),
        ("F32", "[4294967296,4294967296]", "[0,4]", 4),
        ("F4", "[3]", "[0,2]", 2),
        ("F33", "[1]", "[0,4]", 4),
    ] {
        let bytes = one(kind, shape, offsets, data);
        told(&bytes, "safetensors/tensor", Severity::High);
    }
}

#[test]
fn headers_that_are_too_long_or_said_twice() {
    // A length that is there, and larger than any loader takes: nothing of it is read.
    let mut bomb = 200_000_000_u64.to_le_bytes().to_vec();
    bomb.extend(b"{\"a\":");
    bomb.resize(200_000_100, b' ');
    let report = told(&bomb, "safetensors/header-size", Severity::High);
    assert!(!report.gaps.is_empty());
    let longer = file("{}", b"")[..9].to_vec();
    assert!(!look(&longer).gaps.is_empty());
    let tensor = r#"{"dtype":"U8","shape":[1],"data_offsets":[0,1]}"#;
    let twice = file(&format!(r#"{{"a":{tensor},"a":{tensor}}}"#), &[0]);
    told(&twice, "safetensors/broken", Severity::Medium);
}

#[test]
fn holes_overlaps_and_what_follows() {
    let two = |first: &str, second: &str| {
        let header = format!(
            r#"{{"a":{{"dtype":"U8","shape":[2],"data_offsets":{first}}},"b":{{"dtype":"U8","shape":[2],"data_offsets":{second}}}}}"#
        );
        file(&header, &[0; 5])
    };
    for (first, second) in [("[0,2]", "[3,5]"), ("[1,3]", "[3,5]")] {
        told(&two(first, second), "safetensors/layout", Severity::Medium);
    }
    told(&two("[0,2]", "[1,3]"), "safetensors/layout", Severity::High);
    // Weights that are written once, under two names.
    let tied = two("[0,2]", "[0,2]");
    let report = told(&tied, "safetensors/layout", Severity::Medium);
    assert_eq!(report.worst(), Some(Severity::Medium), "{report:#?}");
    let payload = Assembler::protocol(4).call("posix", "system", "id").stop();
    let hidden = [sample(), payload].concat();
    let report = told(&hidden, "safetensors/layout", Severity::Medium);
    assert!(
        rules(&report).contains(&"pickle/dangerous-call"),
        "{report:#?}"
    );
}

#[test]
fn names_that_reach_out() {
    let called = |name: &str| {
        let header = format!(r#"{{"{name}":{{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}}}"#);
        file(&header, &[0])
    };
    for name in [
        "../../x",
        "a/../../x",
        r"..\\x",
        r"C:\\x",
        "/etc/passwd",
        r"w\u0000../x",
        r"w\r\nx",
        r"a\u001b[2Jb",
    ] {
        told(&called(name), "safetensors/name", Severity::High);
    }
    for name in ["blocks.0/kernel:0", "onnx::MatMul_1", "w:0", "a..b"] {
        assert!(quiet(&called(name)).findings.is_empty(), "{name}");
    }
    // As tensors of ONNX are called.
    quiet(&called("/layers.0/MatMul_output_0"));
    for name in [
        "../other/model.safetensors",
        "/x",
        "https://h.example/x",
        "a/../../b",
    ] {
        let index = format!(r#"{{"metadata": {{}}, "weight_map": {{"a": "{name}"}}}}"#);
        told(index.as_bytes(), "safetensors/index", Severity::High);
    }
}

#[test]
fn headers_that_only_the_name_announces() {
    let name = "model.safetensors";
    // Larger than any loader takes, in a file that has nothing of it.
    let mut greedy = 100_000_001_u64.to_le_bytes().to_vec();
    greedy.extend([0; 8]);
    let deep = file(&"[".repeat(100_000), b"");
    for (bytes, rule) in [
        (greedy, "safetensors/header-size"),
        (deep, "safetensors/depth"),
    ] {
        let report = named(name, &bytes);
        assert_eq!(report.worst(), Some(Severity::High), "{report:#?}");
        assert!(rules(&report).contains(&rule), "{report:#?}");
        // Without the name it is only unknown.
        assert_eq!(look(&bytes).state(Severity::High), State::Incomplete);
    }
    // A download that was cut, and a header that is none: loaders refuse them, and so does nobody
    // else call them clean.
    for bytes in [
        file("{not json", b""),
        file("{}", b"")[..9].to_vec(),
        [16_u64.to_le_bytes(), [0; 8], [0; 8]].concat(),
    ] {
        let report = named(name, &bytes);
        assert_eq!(report.state(Severity::High), State::Incomplete);
        assert!(
            rules(&report).contains(&"safetensors/broken"),
            "{report:#?}"
        );
    }
    // Ten levels are no bomb.
    let header = format!("{}{}", "[".repeat(10), "]".repeat(10));
    let report = named(name, &file(&header, b""));
    assert_eq!(report.worst(), Some(Severity::Medium), "{report:#?}");
    let report = named(name, &sample());
    assert_eq!(report.state(Severity::Low), State::Clean, "{report:#?}");
}

#[test]
fn metadata_that_is_a_program() {
    let noted = |key: &str, text: &str| {
        let text = text.replace('\n', "\\n").replace('"', "\\\"");
        file(&format!(r#"{{"__metadata__":{{"{key}":"{text}"}}}}"#), b"")
    };
    for text in [
        "import os; os.system('id')",
        "__import__('os').system('id')",
        "import subprocess\nsubprocess.run(['sh', '-c', 'id'])",
    ] {
        let bytes = noted("info", text);
        told(&bytes, "metadata/program", Severity::Medium);
        told(&bytes, "python/runs-command", Severity::High);
    }
    for text in [
        "A usage example:\nimport torch\ntorch.load(path)\nThen train it.",
        "Call os.system('id') at your own risk.",
        "importance sampling; eval(accuracy) = 0.9",
        "{\"ss_tag\": \"import os\"}",
    ] {
        assert!(quiet(&noted("info", text)).findings.is_empty(), "{text}");
    }
    for key in ["__import__", "__proto__", "__reduce__"] {
        told(&noted(key, "x"), "metadata/inner-key", Severity::Medium);
    }
    assert!(quiet(&noted("format", "pt")).findings.is_empty());
}
