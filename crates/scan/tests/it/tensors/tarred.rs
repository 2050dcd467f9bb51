//! The archives that the first versions of PyTorch wrote.

use custos_core::finding::Severity;

use super::{quiet, rules, told};
use crate::archive::tar;
use crate::pickle::{Assembler, look};

fn two() -> Assembler {
    Assembler::protocol(2)
}

fn number(number: u8) -> Vec<u8> {
    two().raw(&[b'K', number]).stop()
}

// A storage of floats, with the number of elements that it says.
fn storage(says: i64, elements: usize) -> Vec<u8> {
    let described = two()
        .raw(b"\x8a\x06\x10\x20\x30\x40\x50\x00X\x03\x00\x00\x00cpu")
        .global("torch", "FloatStorage")
        .raw(b"\x87q\x00")
        .stop();
    [
        described,
        says.to_le_bytes().to_vec(),
        vec![0; elements * 4],
    ]
    .concat()
}

// A tensor with these sizes and strides, at an offset.
fn tensor(offset: i64, sizes: &[i64], strides: &[i64], of: &[u8]) -> Vec<u8> {
    let mut out = two()
        .raw(b"K\x07\x8a\x06")
        .raw(of)
        .global("torch", "FloatTensor")
        .raw(b"\x87q\x00")
        .stop();
    out.extend((sizes.len() as i64).to_le_bytes());
    for number in sizes.iter().chain(strides).chain([&offset]) {
        out.extend(number.to_le_bytes());
    }
    out
}

const KEY: &[u8] = b"\x10\x20\x30\x40\x50\x00";

// A window of so many elements on the storage.
fn windows(offset: u8, size: u8) -> Vec<u8> {
    two()
        .raw(b"](K\x09\x8a\x06")
        .raw(KEY)
        .raw(&[b'K', offset, b'K', size])
        .raw(b"ta")
        .stop()
}

fn model(storages: &[u8], tensors: &[u8], object: &[u8]) -> Vec<u8> {
    let system = two()
        .raw(b"}(X\x10\x00\x00\x00protocol_versionM\xe8\x03X\x0d\x00\x00\x00little_endian\x88u")
        .stop();
    tar::archive(&[
        ("sys_info", &system),
        ("pickle", object),
        ("tensors", tensors),
        ("storages", storages),
    ])
}

fn object() -> Vec<u8> {
    two().raw(b"}X\x01\x00\x00\x00wU\x017Qs").stop()
}

fn good() -> (Vec<u8>, Vec<u8>) {
    let storages = [number(1), storage(6, 6), windows(2, 4)].concat();
    let tensors = [number(1), tensor(0, &[2, 3], &[3, 1], KEY)].concat();
    (storages, tensors)
}

/// A whole model.
pub fn sample() -> Vec<u8> {
    let (storages, tensors) = good();
    model(&storages, &tensors, &object())
}

#[test]
fn a_model_is_understood_as_a_whole() {
    let report = quiet(&sample());
    assert_eq!(rules(&report), ["pickle/persistent-object"], "{report:#?}");
    assert!(report.gaps.is_empty(), "{report:#?}");
}

#[test]
fn storages_that_end_first() {
    let (_, tensors) = good();
    for says in [7, 1 << 40, i64::MAX, -1] {
        let storages = [number(1), storage(says, 6)].concat();
        let model = model(&storages, &tensors, &object());
        told(&model, "torch/storage-size", Severity::High);
    }
}

#[test]
fn tensors_and_windows_that_reach_beyond_their_storage() {
    let (storages, tensors) = good();
    for (offset, sizes, strides) in [
        (1, [2, 3], [3, 1]),
        (-1, [2, 3], [3, 1]),
        (0, [2, 3], [-3, 1]),
        (0, [i64::MAX, 3], [i64::MAX, 1]),
    ] {
        let tensors = [number(1), tensor(offset, &sizes, &strides, KEY)].concat();
        let model = model(&storages, &tensors, &object());
        told(&model, "torch/view", Severity::High);
    }
    for (offset, size) in [(3, 4), (9, 1)] {
        let storages = [number(1), storage(6, 6), windows(offset, size)].concat();
        let model = model(&storages, &tensors, &object());
        told(&model, "torch/view", Severity::High);
    }
    let stranger = tensor(0, &[2, 3], &[3, 1], b"\x11\x20\x30\x40\x50\x00");
    let tensors = [number(1), stranger].concat();
    let report = look(&model(&storages, &tensors, &object()));
    assert!(
        rules(&report).contains(&"torch/storage-missing"),
        "{report:#?}"
    );
}

#[test]
fn streams_between_raw_bytes_are_judged() {
    let (storages, tensors) = good();
    let bad = two()
        .global("posix", "system")
        .raw(b"X\x02\x00\x00\x00id\x85R")
        .stop();
    let places = [
        model(&storages, &tensors, &bad),
        model(&[&storages[..], &bad].concat(), &tensors, &object()),
        model(
            &[number(1), storage(6, 6), bad.clone()].concat(),
            &tensors,
            &object(),
        ),
        model(
            &[number(2), storage(6, 6), bad.clone()].concat(),
            &tensors,
            &object(),
        ),
        model(&storages, &[&tensors[..], &bad].concat(), &object()),
    ];
    for place in places {
        told(&place, "pickle/dangerous-call", Severity::Critical);
    }
}
