//! NumPy arrays and `MessagePack`.

use custos_core::finding::Severity;
use proptest::prelude::*;

use super::{cves, quiet, rules, told};
use crate::pickle::{Assembler, look};

pub fn npy(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    raw_npy(
        &format!("{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n"),
        data,
    )
}

fn raw_npy(header: &str, data: &[u8]) -> Vec<u8> {
    let mut out = b"\x93NUMPY\x01\x00".to_vec();
    out.extend((header.len() as u16).to_le_bytes());
    out.extend(header.as_bytes());
    out.extend(data);
    out
}

#[test]
fn arrays_of_values_are_covered() {
    for (descr, shape, bytes) in [
        ("'<f8'", "(2, 3)", 48),
        ("'|b1'", "(5,)", 5),
        ("'<U3'", "(2,)", 24),
        ("'<M8[ns]'", "()", 8),
        ("'<f8'", "(0, 3)", 0),
        (
            "[('a', '<f8'), ('b', '<i4', (2, 2)), ('n', [('x', '|u1')])]",
            "(2,)",
            50,
        ),
        ("[(('title', 'a'), '<f4')]", "(1,)", 4),
        ("('<f4', (2,))", "(3L,)", 24),
        ("'float64'", "(2,)", 16),
        ("'<f8,i4'", "(2,)", 24),
        ("'(2,3)f4, <2U3'", "(1,)", 48),
        ("'datetime64[ns]'", "(1,)", 8),
    ] {
        let report = quiet(&npy(descr, shape, &vec![0; bytes]));
        assert_eq!(rules(&report), [""; 0], "{descr}");
    }
    let two = [npy("'<f8'", "(1,)", &[0; 8]), npy("'<f4'", "(1,)", &[0; 4])].concat();
    assert_eq!(rules(&quiet(&two)), [""; 0]);
}

#[test]
fn arrays_of_objects_are_pickles() {
    // CVE-2019-6446: objects anywhere in the type.
    let payload = Assembler::protocol(4).call("posix", "system", "id").stop();
    let harmless = Assembler::protocol(4).raw(b"]").stop();
    for descr in [
        "'|O'",
        "'O'",
        "'|O8'",
        "'object'",
        "'object_'",
        "[('a', '<f8'), ('b', [('c', '|O')])]",
        "('|O', (2,))",
        "'object'",
        "'object_'",
        "'<f8,object'",
        "'(2,)O'",
        "'3O'",
        "'U3, O'",
        "'T'",
    ] {
        let bad = told(&npy(descr, "(1,)", &payload), "npy/object", Severity::Low);
        assert_eq!(cves(&bad, "npy/object"), ["CVE-2019-6446"]);
        assert_eq!(bad.worst(), Some(Severity::Critical), "{descr}");
        quiet(&npy(descr, "(1,)", &harmless));
    }
    // Spellings that are not read here: a stream is one all the same.
    for descr in ["'unheard'", "'<f8,unheard'", "'(2,)unheard'"] {
        let bad = told(&npy(descr, "(1,)", &payload), "npy/object", Severity::Low);
        assert_eq!(bad.worst(), Some(Severity::Critical), "{descr}");
        let twin = look(&npy(descr, "(1,)", &[0x3f; 16]));
        assert!(twin.worst() < Some(Severity::High), "{twin:#?}");
        assert!(!twin.gaps.is_empty(), "{descr}");
    }
    // What the values are, they may not be a stream all the same.
    let values = npy(&format!("'|V{}'", payload.len()), "(1,)", &payload);
    assert!(rules(&look(&values)).contains(&"pickle/dangerous-call"));
}

#[test]
fn headers_and_sizes_that_lie() {
    told(&npy("'<f8'", "(3,)", &[0; 8]), "npy/size", Severity::Medium);
    told(
        &npy("'<f8'", "(1,)", &[1; 24]),
        "npy/size",
        Severity::Medium,
    );
    for shape in ["(4294967296, 4294967296)", "(9223372036854775807,)"] {
        told(
            &npy("'<f8'", shape, &[0; 8]),
            "npy/overflow",
            Severity::High,
        );
    }
    let code = raw_npy("{'descr': __import__('os').system('id'), 'shape': ()}", &[]);
    told(&code, "npy/expression", Severity::High);
    for header in [
        "",
        "{}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (-1,)}",
        "{'descr': '<q8', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '<f8', 'descr': '|O', 'fortran_order': False, 'shape': (1,)}",
    ] {
        let report = told(&raw_npy(header, &[0; 8]), "npy/header", Severity::Medium);
        assert!(!report.gaps.is_empty());
    }
}

fn text(text: &str) -> Vec<u8> {
    let mut out = vec![0xa0 | text.len() as u8];
    out.extend(text.as_bytes());
    out
}

fn map(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut out = vec![0x80 | entries.len() as u8];
    for (key, value) in entries {
        out.extend(text(key));
        out.extend(value);
    }
    out
}

fn array(shape: &[u8], kind: &str, data: &[u8]) -> Vec<u8> {
    let mut inner = vec![0x93, 0x90 | shape.len() as u8];
    inner.extend(shape);
    inner.extend(text(kind));
    inner.extend([0xc4, data.len() as u8]);
    inner.extend(data);
    let mut out = vec![0xc7, inner.len() as u8, 1];
    out.extend(inner);
    out
}

pub fn flax() -> Vec<u8> {
    map(&[
        ("kernel", array(&[2, 3], "float32", &[0; 24])),
        ("bias", array(&[3], "bfloat16", &[0; 6])),
        (
            "inner",
            map(&[("step", vec![0xd2, 0, 0, 0, 1]), ("n", vec![0xc0])]),
        ),
        ("empty", array(&[0], "int8", &[])),
    ])
}

#[test]
fn message_pack_of_flax() {
    assert_eq!(rules(&quiet(&flax())), [""; 0]);
    let lies = map(&[("kernel", array(&[2, 3], "float32", &[0; 20]))]);
    told(&lies, "msgpack/array", Severity::Medium);
    let objects = map(&[("kernel", array(&[1], "object", &[0; 8]))]);
    told(&objects, "msgpack/array", Severity::Medium);
    let twice = map(&[("a", vec![1]), ("a", vec![2])]);
    told(&twice, "msgpack/duplicate", Severity::Medium);
    // Equal keys of different maps are none.
    let apart = map(&[("a", map(&[("x", vec![1])])), ("b", map(&[("x", vec![1])]))]);
    assert_eq!(rules(&quiet(&apart)), [""; 0]);
    let foreign = map(&[("a", vec![0xd4, 42, 0])]);
    told(&foreign, "msgpack/extension", Severity::Medium);
    let payload = Assembler::protocol(4).call("posix", "system", "id").stop();
    let kind = [vec![0xc4, payload.len() as u8], payload.clone()].concat();
    let hidden = map(&[("a", kind), ("b", array(&[1], "int8", &[0]))]);
    assert!(rules(&look(&hidden)).contains(&"pickle/dangerous-call"));
    let behind = [flax(), payload].concat();
    assert!(rules(&look(&behind)).contains(&"pickle/dangerous-call"));
    // Deeper than loaders follow.
    let deep = [map(&[("kernel", array(&[1], "int8", &[0]))]), vec![]].concat();
    let mut nested = vec![0x82];
    nested.extend(&deep[1..]);
    nested.extend(text("deep"));
    nested.extend([0x91; 1000]);
    nested.push(1);
    told(&nested, "msgpack/broken", Severity::Medium);
}

proptest! {
    #[test]
    fn headers_of_any_letters_are_told_or_read(header in "[ -~]{0,80}") {
        let report = look(&raw_npy(&header, &[0; 16]));
        prop_assert!(report.coverage.parsed > 0);
    }
}
