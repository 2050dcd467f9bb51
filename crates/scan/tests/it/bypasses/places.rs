//! Where a pickle lies, and what its archive says about it.

#![allow(clippy::too_many_lines, reason = "lists of cases")]

use custos_core::finding::Severity;
use custos_scan::Neighbour;

use super::pickles::{four, harmless, payload};
use super::{Case, case};
use crate::archive::{Member, archive, packed, tar};
use crate::classic::packages;
use crate::graphs;
use crate::pickle::Assembler;
use crate::tensors::{arrays, others, safetensors};

const CALL: &str = "pickle/dangerous-call";

// Of protocol 0, which has no mark.
const BAD_TEXT: &[u8] = b"cos\nsystem\n(S'id'\ntR.";
const GOOD_TEXT: &[u8] = b"(dp0\nS'a'\np1\nI1\ns.";

pub fn cases() -> Vec<Case> {
    [routes(), headers(), traversal(), torch(), others()]
        .into_iter()
        .flatten()
        .collect()
}

fn both(make: impl Fn(&[u8]) -> Vec<u8>) -> [Vec<u8>; 2] {
    [make(&payload()), make(&harmless())]
}

fn routes() -> Vec<Case> {
    let id = "wrong-routing";
    let text = || [BAD_TEXT.to_vec(), GOOD_TEXT.to_vec()];
    let inside = |name: &str| both(|bytes| archive(&[Member::new(name, bytes)]));
    let model = |bytes: &[u8]| {
        archive(&[
            Member::new("m/data.pkl", bytes),
            Member::new("m/version", b"3\n"),
        ])
    };
    vec![
        case("CVE-2025-10155", "protocol 0 called .bin", CALL, text()).named("pytorch_model.bin"),
        case("CVE-2025-10155", "protocol 0 called .txt", CALL, text()).named("notes.txt"),
        case(
            "CVE-2025-10155",
            "a pickle called like a graph",
            CALL,
            both(<[u8]>::to_vec),
        )
        .named("model.onnx"),
        case(
            "CVE-2025-1889",
            "an extension that nobody opens",
            CALL,
            inside("m/config.p"),
        ),
        case("CVE-2025-1889", "no extension", CALL, inside("m/weights")),
        case(
            id,
            "a member called like a text",
            CALL,
            inside("m/README.md"),
        ),
        case(id, "torch in 7z", CALL, both(|bytes| seven("m.pt", bytes))).named("m.7z"),
        case(
            id,
            "a few bytes that are called like weights",
            CALL,
            [b"cos\nabort\n(tR.".to_vec(), b"I1\n.".to_vec()],
        )
        .named("pytorch_model-00001-of-00002.bin"),
        case(
            id,
            "an archive in an archive in a stream",
            CALL,
            both(|bytes| packed::gzip(&tar::archive(&[("a.zip", &model(bytes))]))),
        )
        .named("data.csv"),
        case(
            "polyglots",
            "an archive behind a script",
            CALL,
            both(|bytes| [b"#!/bin/sh\nexit 0\n".to_vec(), model(bytes)].concat()),
        ),
        case(
            "polyglots",
            "an archive behind a pickle",
            CALL,
            both(|bytes| [harmless(), model(bytes)].concat()),
        ),
        case(
            "polyglots",
            "a pickle behind the tensors",
            CALL,
            both(|bytes| [safetensors::sample(), bytes.to_vec()].concat()),
        )
        .named("m.safetensors"),
        case(
            "polyglots",
            "HDF5 behind a block of the user",
            CALL,
            both(|bytes| {
                let mut out = bytes.to_vec();
                out.resize(512, 0);
                out.extend(crate::keras::samples()[0].1.clone());
                out
            }),
        )
        .unreadable(),
    ]
}

fn headers() -> Vec<Case> {
    let lied = |change: fn(&mut Member)| {
        both(|bytes| {
            let mut member = Member::new("m/data.pkl", bytes);
            change(&mut member);
            archive(&[Member::new("m/first.pkl", &harmless()), member])
        })
    };
    vec![
        case("CVE-2025-1944", "two names", CALL, {
            let [bad, _] = lied(|m| m.name = "m/other.pkl".into());
            let [_, good] = lied(|_| {});
            [bad, good]
        }),
        case(
            "CVE-2025-1945",
            "encrypted, says the directory",
            CALL,
            lied(|m| m.flags = 1),
        ),
        case(
            "CVE-2025-1945",
            "a patch, says the member",
            CALL,
            lied(|m| m.local_flags = 0x20),
        ),
        case(
            "CVE-2025-1945",
            "strong encryption, says the directory",
            CALL,
            lied(|m| m.flags = 0x40),
        ),
        case(
            "CVE-2025-10156",
            "a wrong checksum",
            CALL,
            lied(|m| m.checksum ^= 1),
        ),
        case(
            "parse-divergence",
            "a member that no directory lists",
            CALL,
            lied(|m| m.listed = false),
        ),
        case(
            "parse-divergence",
            "a member that is there twice",
            CALL,
            both(|bytes| {
                archive(&[
                    Member::new("m/x.pkl", &harmless()),
                    Member::new("m/x.pkl", bytes),
                ])
            }),
        ),
    ]
}

/// An archive of 7z with one member that is stored: start header, content, and a header with one
/// folder of the method that copies.
fn seven(name: &str, bytes: &[u8]) -> Vec<u8> {
    // Numbers below 2^28 take four bytes: three bits say so.
    let number = |number: usize| {
        let low = u32::try_from(number).unwrap().to_le_bytes();
        [0xe0, low[0], low[1], low[2]]
    };
    let mut header = vec![1, 4, 6, 0, 1, 9];
    header.extend(number(bytes.len()));
    header.extend([0, 7, 11, 1, 0, 1, 1, 0, 12]);
    header.extend(number(bytes.len()));
    header.extend([10, 1]);
    header.extend(crc32fast::hash(bytes).to_le_bytes());
    // One stream in the folder.
    header.extend([0, 8, 0, 0, 5, 1, 17]);
    let wide: Vec<u8> = name
        .encode_utf16()
        .chain([0])
        .flat_map(u16::to_le_bytes)
        .collect();
    header.extend(number(wide.len() + 1));
    header.push(0);
    header.extend(wide);
    header.extend([0, 0]);
    let mut start = Vec::new();
    start.extend((bytes.len() as u64).to_le_bytes());
    start.extend((header.len() as u64).to_le_bytes());
    start.extend(crc32fast::hash(&header).to_le_bytes());
    let mut out = b"7z\xbc\xaf\x27\x1c\x00\x04".to_vec();
    out.extend(crc32fast::hash(&start).to_le_bytes());
    out.extend(start);
    out.extend(bytes);
    out.extend(header);
    out
}

fn traversal() -> Vec<Case> {
    let id = "path-traversal";
    let zip = |name: &str| archive(&[Member::new(name, &harmless())]);
    let tar = |name: &str| tar::archive(&[(name, &harmless())]);
    let path = "archive/path";
    let mut cases = vec![
        case(id, "zip", path, [zip("../../x.pkl"), zip("a/x.pkl")]),
        case(
            id,
            "zip, with a drive",
            path,
            [zip("C:\\x.pkl"), zip("c/x.pkl")],
        ),
        case(id, "tar", path, [tar("../x.pkl"), tar("a/x.pkl")]),
        case(
            id,
            "tar in gzip",
            path,
            [
                packed::gzip(&tar("/etc/cron.d/x")),
                packed::gzip(&tar("etc/x")),
            ],
        ),
        case(
            id,
            "7z",
            path,
            [seven("../x.pkl", &harmless()), seven("x.pkl", &harmless())],
        ),
        case(
            "CVE-2023-48299",
            "a handler elsewhere",
            "mar/path",
            [
                packages::mar("../../handler.py", "handler.py"),
                packages::mar("handler.py", "handler.py"),
            ],
        ),
        case(
            "CVE-2025-23250",
            "a member that leads out",
            "nemo/path",
            [
                packages::nemo(&[("../../x", None)]),
                packages::nemo(&[("x", None)]),
            ],
        ),
        case(
            "CVE-2025-23360",
            "a link that leads out",
            "nemo/path",
            [
                packages::nemo(&[("vocab", Some("/etc/passwd"))]),
                packages::nemo(&[("vocab", Some("x"))]),
            ],
        ),
    ];
    for id in ["CVE-2025-23249", "CVE-2025-33253", "CVE-2026-24157"] {
        let files = [
            packages::nemo(&[]),
            packages::mar("handler.py", "handler.py"),
        ];
        let pickled = case(
            id,
            "a checkpoint that is a pickle",
            "nemo/checkpoint",
            files,
        );
        cases.push(pickled.at(Severity::Info));
    }
    cases
}

// The layout before archives: five streams, and the storages behind them.
fn legacy(magic: Assembler, count: u64) -> Vec<u8> {
    let tensor = Assembler::protocol(2)
        .raw(b"}X\x01\0\0\0w")
        .global("torch._utils", "_rebuild_tensor_v2")
        .raw(b"((X\x07\0\0\0storage")
        .global("torch", "FloatStorage")
        .raw(b"X\x01\0\0\x000X\x03\0\0\0cpuK\x02NtQK\0K\x02\x85K\x01\x85\x89")
        .global("collections", "OrderedDict")
        .raw(b")RtRs")
        .stop();
    let mut out = [
        magic.stop(),
        b"\x80\x02M\xe9\x03.".to_vec(),
        b"\x80\x02}X\x0d\0\0\0little_endian\x88s.".to_vec(),
        tensor,
        b"\x80\x02]X\x01\0\0\x000a.".to_vec(),
    ]
    .concat();
    out.extend(count.to_le_bytes());
    out.extend([0; 8]);
    out
}

fn torch() -> Vec<Case> {
    let number = || Assembler::protocol(2).raw(b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19");
    let computed = Assembler::protocol(2)
        .global("builtins", "eval")
        .raw(b"X\x16\0\0\x000x1950a86a20f9469cfc6c\x85R");
    let plain = || others::torch("0", 2, four());
    let items = four()
        .stack_global("torch._utils", "_rebuild_tensor_v2")
        .text("k")
        .raw(b"K\x01s0");
    let call = four().call("posix", "system", "id").raw(b"0");
    let good = || others::model(&plain(), 8);
    vec![
        case(
            "parse-divergence",
            "a magic number that is computed",
            CALL,
            [legacy(computed, 2), legacy(number(), 2)],
        ),
        case(
            "CVE-2025-32434",
            "a call, whatever the option of the loader",
            CALL,
            [others::model(&others::torch("0", 2, call), 8), good()],
        ),
        case(
            "CVE-2026-24747",
            "a storage of another size",
            "torch/storage-size",
            [others::model(&plain(), 4), good()],
        ),
        case(
            "CVE-2026-24747",
            "a storage of another size, in the old layout",
            "torch/storage-size",
            [legacy(number(), 1), legacy(number(), 2)],
        ),
        case(
            "CVE-2026-24747",
            "items of what is no dictionary",
            "pickle/state-on-global",
            [others::model(&others::torch("0", 2, items), 8), good()],
        ),
    ]
}

fn others() -> Vec<Case> {
    let array = |bytes: &[u8]| arrays::npy("'|O'", "(1,)", bytes);
    let old = |bytes: &[u8]| {
        let size = format!("{:#x}", bytes.len());
        [
            b"ZF".to_vec(),
            format!("{size:<19}").into_bytes(),
            packed::zlib(bytes),
        ]
        .concat()
    };
    let schema = archive(&[Member::new(
        "schema.json",
        &packages::schema("builtins", "dict"),
    )]);
    let location = |location: &str| graphs::onnx_beside(location);
    let numbers = || arrays::npy("'<f8'", "(2, 3)", &[0; 48]);
    vec![
        case(
            "CVE-2019-6446",
            "an array of objects",
            "npy/object",
            [array(&payload()), numbers()],
        )
        .at(Severity::Low),
        case(
            "CVE-2019-6446",
            "objects in a field",
            "npy/object",
            [
                arrays::npy("[('a', '<i4'), ('b', '|O')]", "(1,)", &harmless()),
                numbers(),
            ],
        )
        .at(Severity::Low),
        case("CVE-2020-13092", "joblib, packed", CALL, both(packed::zlib)).named("m.joblib"),
        case("CVE-2024-34997", "joblib of old", CALL, both(old)).named("m.joblib"),
        case(
            "CVE-2025-54886",
            "a pickle called like a model of skops",
            "skops/fallback",
            [payload(), schema],
        )
        .at(Severity::Medium)
        .named("m.skops"),
        case(
            "CVE-2022-25882",
            "above the folder",
            "onnx/external-path",
            [location("../../x"), location("x")],
        ),
        case(
            "CVE-2024-27318",
            "above the folder, by a detour",
            "onnx/external-path",
            [location("a/../../x"), location("a/x")],
        ),
        case(
            "CVE-2025-51480",
            "a place that saving overwrites",
            "onnx/external-path",
            [location("/etc/passwd"), location("etc/passwd")],
        ),
        case(
            "CVE-2020-15211",
            "an output that is left out",
            "tflite/tensor-index",
            [[vec![0], vec![u32::MAX]], [vec![0, u32::MAX], vec![0]]].map(|[inputs, outputs]| {
                let numbers = [vec![0], vec![0], inputs, outputs];
                let sizes = (16, (&[2, 2][..], 1));
                graphs::tflite_with("TFLite_Detection_PostProcess", sizes, numbers)
            }),
        )
        .at(Severity::Medium),
        case(
            "CVE-2026-34445",
            "a key that becomes an attribute",
            "onnx/external-key",
            ["__class__", "checksum"].map(|key| {
                let pairs = [("location", "w"), (key, "x")];
                graphs::onnx(&[graphs::node("Relu", "")], &[graphs::external(&pairs)])
            }),
        ),
        case(
            "CVE-2026-34447",
            "a link",
            "onnx/external-path",
            [location("x"), location("x")],
        )
        .beside([Neighbour::Link, Neighbour::File(1 << 20)]),
    ]
}
