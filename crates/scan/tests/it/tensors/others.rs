//! GGML, Torch for Lua, Orbax, llamafile, and what PyTorch's safe loader let pass.

use custos_core::finding::Severity;

use super::{quiet, rules, told};
use crate::archive::{Member, archive};
use crate::pickle::{Assembler, look};

pub fn ggml() -> Vec<u8> {
    let mut out = b"tjgg".to_vec();
    // The version, then words and six more numbers.
    for number in [3_u32, 1, 8, 1, 1, 1, 1, 0] {
        out.extend(number.to_le_bytes());
    }
    out.extend(2_u32.to_le_bytes());
    out.extend(b"ab");
    out.extend(1_f32.to_le_bytes());
    for number in [1_u32, 4, 0, 8] {
        out.extend(number.to_le_bytes());
    }
    out.extend(b"norm");
    out.resize(out.len().next_multiple_of(32), 0);
    out.extend([0; 32]);
    out
}

#[test]
fn models_from_before_gguf() {
    quiet(&ggml());
    let mut large = ggml();
    let place = large.len() - 32 - 32;
    let at = large.windows(4).rposition(|four| four == b"norm").unwrap();
    assert!(at > place - 64);
    large[at - 4..at].copy_from_slice(&u32::MAX.to_le_bytes());
    told(&large, "ggml/broken", Severity::High);
    let mut kind = ggml();
    kind[at - 8..at - 4].copy_from_slice(&77_u32.to_le_bytes());
    told(&kind, "ggml/broken", Severity::High);
}

/// A table with a number and a tensor, and a function if it is asked for.
pub fn torch_lua(function: bool) -> Vec<u8> {
    let mut out = Vec::new();
    let int = |out: &mut Vec<u8>, number: u32| out.extend(number.to_le_bytes());
    let long = |out: &mut Vec<u8>, number: u64| out.extend(number.to_le_bytes());
    let text = |out: &mut Vec<u8>, text: &str| {
        out.extend((text.len() as u32).to_le_bytes());
        out.extend(text.as_bytes());
    };
    for number in [3, 1, 2 + u32::from(function)] {
        int(&mut out, number);
    }
    int(&mut out, 2);
    text(&mut out, "epoch");
    int(&mut out, 1);
    out.extend(3_f64.to_le_bytes());
    int(&mut out, 2);
    text(&mut out, "weight");
    for number in [4, 2] {
        int(&mut out, number);
    }
    text(&mut out, "V 1");
    text(&mut out, "torch.FloatTensor");
    int(&mut out, 1);
    for number in [4, 1, 1] {
        long(&mut out, number);
    }
    for number in [4, 3] {
        int(&mut out, number);
    }
    text(&mut out, "V 1");
    text(&mut out, "torch.FloatStorage");
    long(&mut out, 4);
    out.extend([0; 16]);
    if function {
        int(&mut out, 2);
        text(&mut out, "run");
        for number in [8, 4, 6] {
            int(&mut out, number);
        }
        out.extend(b"\x1bLJ\x02\x00\x00");
        int(&mut out, 0);
    }
    out
}

#[test]
fn functions_in_torch_files() {
    quiet(&torch_lua(false));
    let report = told(&torch_lua(true), "torch-lua/function", Severity::High);
    assert_eq!(report.coverage.unknown, 0, "{report:#?}");
    let lines = b"4\n1\n3\nV 1\n17\ntorch.FloatTensor\n1\n2\n1\n1\n4\n2\n3\nV 1\n18\ntorch.FloatStorage\n2\n0.5 1\n";
    quiet(lines);
}

pub fn orbax(handler: &str) -> Vec<u8> {
    format!(
        r#"{{"item_handlers": {{"default": "{handler}"}}, "custom_metadata": {{"note": "a.b"}}}}"#
    )
    .into_bytes()
}

#[test]
fn handlers_of_checkpoints() {
    quiet(&orbax(
        "orbax.checkpoint.handlers.StandardCheckpointHandler",
    ));
    told(&orbax("os.system"), "orbax/handler", Severity::High);
    let unknown = told(
        &orbax("mine.handlers.Mine"),
        "orbax/handler",
        Severity::Medium,
    );
    assert_eq!(unknown.worst(), Some(Severity::Medium));
    let store = look(b"\x0c\xdb\x3a\x2a\x00\x00\x00\x00\x00\x00\x00\x00");
    assert!(!store.gaps.is_empty());
}

pub fn llamafile() -> Vec<u8> {
    let model = super::gguf::Gguf::sample().bytes();
    let mut out = b"MZqFpD='\n".to_vec();
    out.resize(4096, 0x90);
    let zip = archive(&[
        Member::new("model.gguf", &model),
        Member::new(".args", b"-m\nmodel.gguf\n"),
    ]);
    out.extend(zip);
    out
}

#[test]
fn a_program_with_a_model() {
    let report = told(&llamafile(), "llamafile/program", Severity::Medium);
    assert_eq!(report.worst(), Some(Severity::Medium), "{report:#?}");
    assert!(
        report
            .formats
            .iter()
            .any(|one| one.path == "x!model.gguf" && one.format == "GGUF")
    );
    let mut model = super::gguf::Gguf::sample();
    model.tensors[0].dimensions = vec![1 << 62];
    let bad = [
        b"MZqFpD='\n".to_vec(),
        archive(&[Member::new("model.gguf", &model.bytes())]),
    ];
    told(&bad.concat(), "gguf/overflow", Severity::High);
}

// A state dictionary with one tensor: its key, elements of its storage, and size.
pub fn torch(key: &str, elements: u8, middle: Assembler) -> Vec<u8> {
    middle
        .raw(b"}")
        .text("w")
        .stack_global("torch._utils", "_rebuild_tensor_v2")
        .raw(b"((")
        .text("storage")
        .stack_global("torch", "FloatStorage")
        .text(key)
        .text("cpu")
        .raw(&[b'K', elements, b't', b'Q'])
        .raw(&[b'K', 0, b'K', 2, 0x85, b'K', 1, 0x85, 0x89])
        .stack_global("collections", "OrderedDict")
        .raw(b")RtRs")
        .stop()
}

pub fn model(pickle: &[u8], storage: usize) -> Vec<u8> {
    archive(&[
        Member::new("m/data.pkl", pickle),
        Member::new("m/data/0", &vec![0; storage]),
        Member::new("m/version", b"3\n"),
    ])
}

#[test]
fn what_the_safe_loader_of_pytorch_let_pass() {
    let plain = || Assembler::protocol(4);
    let good = torch("0", 2, plain());
    assert_eq!(rules(&quiet(&model(&good, 8))), [""; 0]);
    // CVE-2026-24747: a storage of another size than the model says, and items put into something
    // that is no dictionary.
    told(&model(&good, 4), "torch/storage-size", Severity::High);
    told(
        &model(&torch("0", 200, plain()), 8),
        "torch/storage-size",
        Severity::High,
    );
    let items = plain()
        .stack_global("torch._utils", "_rebuild_tensor_v2")
        .text("k")
        .raw(b"K\x01s0");
    let report = look(&model(&torch("0", 2, items), 8));
    assert!(report.worst() >= Some(Severity::High), "{report:#?}");
    // CVE-2025-32434: the option of the loader is no reason not to look.
    let call = plain().call("posix", "system", "id").raw(b"0");
    let report = look(&model(&torch("0", 2, call), 8));
    assert_eq!(report.worst(), Some(Severity::Critical));
}

#[test]
fn tensors_that_reach_beyond_their_storage() {
    let over = |offset: u8, sizes: [u8; 2], strides: [u8; 2]| {
        let [rows, columns] = sizes;
        let [down, right] = strides;
        let pickle = Assembler::protocol(4)
            .raw(b"}")
            .text("w")
            .stack_global("torch._utils", "_rebuild_tensor_v2")
            .raw(b"((")
            .text("storage")
            .stack_global("torch", "FloatStorage")
            .text("0")
            .text("cpu")
            .raw(b"K\x06tQ")
            .raw(&[b'K', offset])
            .raw(&[b'K', rows, b'K', columns, 0x86])
            .raw(&[b'K', down, b'K', right, 0x86, 0x89])
            .stack_global("collections", "OrderedDict")
            .raw(b")RtRs")
            .stop();
        model(&pickle, 24)
    };
    for (offset, sizes, strides) in [
        (0, [2, 3], [3, 1]),
        (0, [3, 2], [1, 3]),
        // One row for all, the last element, and none.
        (0, [200, 6], [0, 1]),
        (5, [1, 1], [9, 9]),
        (9, [0, 3], [3, 1]),
    ] {
        assert_eq!(rules(&quiet(&over(offset, sizes, strides))), [""; 0]);
    }
    for (offset, sizes, strides) in [
        (1, [2, 3], [3, 1]),
        (0, [2, 3], [4, 1]),
        (6, [1, 1], [1, 1]),
        (0, [255, 255], [255, 255]),
    ] {
        let bytes = over(offset, sizes, strides);
        told(&bytes, "torch/view", Severity::High);
    }
}

pub fn zarr(filter: &str) -> Vec<u8> {
    format!(
        r#"{{"chunks":[4],"compressor":{{"id":"blosc","cname":"lz4"}},"dtype":"|O","filters":[{{"id":"{filter}"}}],"shape":[4],"zarr_format":2}}"#
    )
    .into_bytes()
}

#[test]
fn arrays_of_zarr_that_are_unpickled() {
    assert_eq!(rules(&quiet(&zarr("vlen-utf8"))), [""; 0]);
    told(&zarr("pickle"), "zarr/pickle", Severity::Medium);
    let inner = String::from_utf8(zarr("pickle")).unwrap();
    let consolidated =
        format!(r#"{{"metadata":{{"a/.zarray":{inner}}},"zarr_consolidated_format":1}}"#);
    told(consolidated.as_bytes(), "zarr/pickle", Severity::Medium);
    let third =
        r#"{"zarr_format":3,"node_type":"array","codecs":[{"name":"bytes"},{"name":"zstd"}]}"#;
    assert_eq!(rules(&quiet(third.as_bytes())), [""; 0]);
    let third = third.replace("zstd", "numcodecs.pickle");
    told(third.as_bytes(), "zarr/pickle", Severity::Medium);
    // What a user notes is no filter.
    let noted = r#"{"zarr_format":2,"attributes":{"id":"pickle","food":{"name":"pickle"}}}"#;
    assert_eq!(rules(&quiet(noted.as_bytes())), [""; 0]);
}

#[test]
fn addresses_of_chunks_are_templates() {
    let with = |template: &str, address: &str| {
        format!(
            r#"{{"version":1,"templates":{{"u":"{template}"}},"refs":{{".zgroup":"{{\"zarr_format\":2}}","x/0":["{address}",0,100]}}}}"#
        )
    };
    let plain = with("example/data-{{i}}.nc", "{{u}}");
    assert_eq!(rules(&quiet(plain.as_bytes())), [""; 0]);
    let escape = "{{ cycler.__init__.__globals__.os.popen('id').read() }}";
    for text in [with(escape, "{{u}}"), with("x", escape)] {
        told(text.as_bytes(), "template/inner-attribute", Severity::High);
    }
}
