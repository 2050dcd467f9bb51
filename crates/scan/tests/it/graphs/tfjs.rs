//! Models of TensorFlow.js.

use custos_core::finding::Severity;
use custos_scan::Neighbour;

use super::{beside, clean, found, rules};

/// A manifest of one group: 24 bytes of weights in this file.
pub fn manifest(path: &str) -> String {
    format!(
        r#"[{{"weights": [{{"name": "a", "shape": [2, 2], "dtype": "float32"}}, {{"name": "b",
        "shape": [4], "dtype": "float32", "quantization": {{"dtype": "uint16", "scale": 0.1, "min": 0}}}}],
        "paths": ["{path}"]}}]"#
    )
}

/// A model with a node of this operator.
pub fn model(path: &str, operator: &str) -> String {
    format!(
        r#"{{"format": "graph-model", "modelTopology": {{"node": [{{"name": "n", "op": "Placeholder"}},
        {{"name": "r", "op": "{operator}", "input": ["n"]}}], "versions": {{}}}},
        "weightsManifest": {}}}"#,
        manifest(path)
    )
}

#[test]
fn weights_of_tensorflow_js_are_in_its_folder() {
    for path in ["w.bin", "group1-shard1of2.bin", "below/w"] {
        clean(path, model(path, "Relu").as_bytes());
        clean(path, manifest(path).as_bytes());
    }
    for (path, severity) in [
        ("/etc/passwd", Severity::High),
        ("../../w.bin", Severity::High),
        ("a/../../w.bin", Severity::High),
        ("a/../w.bin", Severity::Medium),
        ("https://host.example/w.bin", Severity::Medium),
        ("", Severity::Medium),
    ] {
        found(
            path,
            model(path, "Relu").as_bytes(),
            "tfjs/weights-path",
            severity,
        );
        found(
            path,
            manifest(path).as_bytes(),
            "tfjs/weights-path",
            severity,
        );
    }
}

#[test]
fn weights_of_tensorflow_js_are_as_many_as_it_says() {
    let with = |files| {
        let report = beside("model.json", model("w.bin", "Relu").as_bytes(), files);
        rules(&report).contains(&"tfjs/weights-size")
    };
    assert!(with(&[("w.bin", Neighbour::File(23))]));
    assert!(!with(&[("w.bin", Neighbour::File(24))]));
    assert!(!with(&[("w.bin", Neighbour::Missing)]));
}

// The runtime itself has no such operators, and refuses the model.
#[test]
fn operators_of_tensorflow_js_are_told() {
    let bad = model("w.bin", "WriteFile");
    found(
        "an operator",
        bad.as_bytes(),
        "tensorflow/operator",
        Severity::Medium,
    );
    let function = r#"{"modelTopology": {"node": [], "library": {"function": [{"signature": {"name": "f"},
        "nodeDef": [{"name": "n", "op": "PyFunc"}]}]}}, "weightsManifest": []}"#;
    found(
        "a function",
        function.as_bytes(),
        "tensorflow/operator",
        Severity::Medium,
    );
}

// A model of layers is one of Keras, which the converter loads as such.
#[test]
fn layers_of_tensorflow_js_carry_no_code() {
    let file = |layer: &str| {
        format!(
            r#"{{"format": "layers-model", "modelTopology": {{"keras_version": "2.15.0", "model_config":
            {{"class_name": "Sequential", "config": {{"name": "s", "layers": [{layer}]}}}}}},
            "weightsManifest": []}}"#
        )
    };
    let dense = r#"{"class_name": "Dense", "config": {"name": "d", "units": 2}}"#;
    clean("a layer", file(dense).as_bytes());
    let lambda = r#"{"class_name": "Lambda", "config": {"name": "l", "function": ["4wEAAAA=", null, null],
        "function_type": "lambda"}}"#;
    found(
        "a lambda",
        file(lambda).as_bytes(),
        "keras/lambda",
        Severity::High,
    );
}
