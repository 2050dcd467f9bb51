//! safetensors: bombs, overlaps, names, and what hides behind the last tensor.

use custos_core::finding::Severity;

use super::{quiet, rules, told};
use crate::pickle::{Assembler, look};

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
    for (first, second) in [("[0,2]", "[1,3]"), ("[0,2]", "[3,5]"), ("[1,3]", "[3,5]")] {
        told(&two(first, second), "safetensors/layout", Severity::Medium);
    }
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
    for name in ["../../x", "/etc/passwd", r"a\u001b[2Jb"] {
        let header = format!(r#"{{"{name}":{{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}}}"#);
        told(&file(&header, &[0]), "safetensors/name", Severity::Medium);
    }
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
