//! Nets of Caffe: weights as a message, and layers in words.

use custos_core::finding::Severity;
use custos_scan::State;

use crate::pickle::look;
use crate::tensors::{quiet, rules, told};

fn varint(mut number: usize) -> Vec<u8> {
    let mut out = Vec::new();
    while number > 127 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
    out
}

fn field(number: usize, data: &[u8]) -> Vec<u8> {
    [varint(number << 3 | 2), varint(data.len()), data.to_vec()].concat()
}

fn layer(kind: &str, settings: &[u8]) -> Vec<u8> {
    let values = [0.5_f32, -1.0].map(f32::to_le_bytes).concat();
    let shape = [varint(1 << 3), varint(2)].concat();
    let blob = [field(7, &field(1, &varint(2))), field(5, &values)].concat();
    // A shape as one number, and as packed ones.
    let other = [field(7, &shape), field(5, &values)].concat();
    let parts = [
        field(1, b"fc1"),
        field(2, kind.as_bytes()),
        field(3, b"data"),
        field(4, b"fc1"),
        field(7, &blob),
        field(7, &other),
        settings.to_vec(),
    ];
    field(100, &parts.concat())
}

fn file(layers: &[Vec<u8>]) -> Vec<u8> {
    [field(1, b"LeNet"), layers.concat()].concat()
}

fn of_python(module: &str, class: &str) -> Vec<u8> {
    let named = [
        field(1, module.as_bytes()),
        field(2, class.as_bytes()),
        field(3, b"{'k': 1}"),
    ];
    file(&[layer("Python", &field(130, &named.concat()))])
}

pub fn weights() -> Vec<u8> {
    // Settings of a product: how many go out, and what it begins with.
    let filler = field(3, &field(1, b"xavier"));
    let settings = [varint(1 << 3), varint(500), filler].concat();
    file(&[layer("InnerProduct", &field(117, &settings))])
}

// Before 2014, layers had a number as their type.
fn weights_of_old() -> Vec<u8> {
    let layer = [
        field(2, b"data"),
        field(3, b"fc1"),
        field(4, b"fc1"),
        [varint(5 << 3), varint(14)].concat(),
    ];
    [field(1, b"LeNet"), field(2, &layer.concat())].concat()
}

pub fn net(layers: &str) -> Vec<u8> {
    format!(
        "name: \"LeNet\"  # a net\ninput: 'data'\ninput_dim: 1\n\
         layer {{\n  name: \"fc1\"\n  type: \"InnerProduct\"\n  bottom: \"data\"\n  top: \"fc1\"\n  \
         param {{ lr_mult: 1.0e-3 }}\n  inner_product_param: < num_output: 10; weight_filler {{ type: \"xavier\" }} >\n}}\n{layers}"
    )
    .into_bytes()
}

fn python_net(module: &str) -> Vec<u8> {
    net(&format!(
        "layer {{ name: \"l\" type: \"Python\"\n python_param {{ module: \"{module}\"\n layer: 'system' \
         param_str: \"i\" \"d\" }} }}\n"
    ))
}

#[test]
fn layers_of_python_are_told() {
    for good in [weights(), weights_of_old(), net("")] {
        let report = quiet(&good);
        assert_eq!(rules(&report), [""; 0], "{report:#?}");
    }
    let own = look(&of_python("my_layers", "Loss"));
    assert_eq!(own.state(Severity::High), State::Clean, "{own:#?}");
    assert_eq!(own.coverage.unknown, 0);
    told(
        &of_python("my_layers", "Loss"),
        "caffe/python-layer",
        Severity::Medium,
    );
    told(
        &of_python("os", "system"),
        "caffe/python-layer",
        Severity::High,
    );
    let own = look(&python_net("my_layers"));
    assert_eq!(own.state(Severity::High), State::Clean, "{own:#?}");
    told(
        &python_net("my_layers"),
        "caffe/python-layer",
        Severity::Medium,
    );
    let bad = told(&python_net("os"), "caffe/python-layer", Severity::High);
    let evidence = bad
        .findings
        .iter()
        .filter_map(|one| one.evidence.as_deref());
    assert!(
        evidence
            .into_iter()
            .any(|shown| shown == "os.system(\"id\")"),
        "{bad:#?}"
    );
}

#[test]
fn nets_end_where_they_say() {
    told(
        &net("layer { type: \"x\""),
        "caffe/broken",
        Severity::Medium,
    );
    told(
        &net(&"a {".repeat(100_000)),
        "caffe/broken",
        Severity::Medium,
    );
    // The values of a layer are longer than the file.
    let good = weights();
    let cut = look(&good[..good.len() - 20]);
    assert_ne!(cut.state(Severity::Medium), State::Clean, "{cut:#?}");
    // Programs in C have braces as well.
    let other =
        look(b"struct layer {\n  int type;\n};\nlayer { type x };\nint main() { return 0; }\n");
    assert!(other.formats.iter().all(|one| one.format != "Caffe net"));
}
