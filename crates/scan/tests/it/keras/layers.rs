//! Layers that are a function, names that a model is compiled with, and configurations that no
//! structure leads to.

use custos_core::finding::Severity;
use custos_scan::{Options, State, scan};

use super::{
    Hdf5, attribute, clean, dense, found, model_archive, model_file, reference, rules, sequential,
    var_type,
};
use crate::pickle::look;

const HOMES: [fn(&str) -> Vec<u8>; 3] =
    [model_archive, model_file, |text| text.as_bytes().to_vec()];

/// A model of a layer as version 2 writes it.
fn old(layer: &str) -> String {
    format!(
        r#"{{"class_name": "Sequential", "config": {{"name": "s", "layers": [{{"class_name":
        "InputLayer", "config": {{"name": "i"}}}}, {layer}]}}}}"#
    )
}

fn lambda(config: &str) -> String {
    old(&format!(
        r#"{{"class_name": "Lambda", "config": {{"name": "l"{config}}}}}"#
    ))
}

#[test]
fn lambda_layers_name_functions_of_keras_or_are_told() {
    for bad in [
        // The text of a program, with and without its kind.
        r#", "function": "lambda x: eval('1 + 1')""#,
        r#", "function": "lambda x: x + 1", "function_type": "function""#,
        // None at all.
        "",
        r#", "function": null"#,
    ] {
        for home in HOMES {
            found(&home(&lambda(bad)), "keras/lambda", Severity::High, &[]);
        }
    }
    // Those of other programs, which whoever loads the model brings along.
    for theirs in [
        r#", "function": "mine", "function_type": "function", "module": "__main__""#,
        r#", "function": "mine", "function_type": "function", "module": "my.layers""#,
        r#", "function": {"class_name": "function", "module": "my.layers", "config": "mine",
           "registered_name": "mine"}"#,
    ] {
        for home in HOMES {
            let bytes = home(&lambda(theirs));
            let report = found(&bytes, "keras/lambda", Severity::Medium, &[]);
            assert_eq!(report.state(Severity::High), State::Clean, "{report:#?}");
        }
    }
    // One of Python itself is imported by name.
    let other = r#", "function": "quote", "function_type": "function", "module": "shlex""#;
    for home in HOMES {
        found(
            &home(&lambda(other)),
            "keras/module",
            Severity::High,
            &["CVE-2025-1550"],
        );
    }
    for good in [
        r#", "function": "relu", "function_type": "function", "module": "keras.activations""#,
        r#", "function": "softmax", "function_type": "function""#,
        r#", "function": "l2_normalize", "function_type": "function",
           "module": "tensorflow.python.ops.nn_impl""#,
        r#", "function": {"class_name": "function", "module": "keras.activations", "config": "relu",
           "registered_name": null}"#,
        r#", "function": {"class_name": "function", "module": "builtins", "config": "relu",
           "registered_name": "function"}"#,
    ] {
        for home in HOMES {
            assert_eq!(
                rules(&clean(&home(&lambda(good)))),
                [] as [&str; 0],
                "{good}"
            );
        }
    }
    let harm = r#", "function": "system", "function_type": "function", "module": "os""#;
    found(
        lambda(harm).as_bytes(),
        "keras/module",
        Severity::Critical,
        &["CVE-2025-1550"],
    );
}

#[test]
fn layers_of_tensorflow_call_what_computes() {
    let layer = |function: &str| {
        old(&format!(
            r#"{{"class_name": "TFOpLambda", "config": {{"name": "t", "function": "{function}"}}}}"#
        ))
    };
    for (function, rule, severity) in [
        ("io.read_file", "tensorflow/operator", Severity::High),
        (
            "raw_ops.WriteFile",
            "tensorflow/operator",
            Severity::Critical,
        ),
        ("load_op_library", "tensorflow/operator", Severity::High),
        ("numpy_function", "tensorflow/operator", Severity::High),
        ("keras.utils.get_file", "keras/gadget", Severity::Critical),
    ] {
        found(layer(function).as_bytes(), rule, severity, &[]);
    }
    for function in [
        "math.multiply",
        "nn.relu",
        "strings.join",
        "__operators__.add",
    ] {
        assert_eq!(rules(&clean(layer(function).as_bytes())), [] as [&str; 0]);
    }
}

// Neither version of Keras loads any of them: what they name is not in the file.
#[test]
fn classes_and_functions_of_others_are_told_and_are_no_alarm() {
    let layer = old(r#"{"class_name": "TheirLayer", "config": {"name": "t"}}"#);
    let compiled = |loss: &str, metrics: &str| {
        format!(
            r#"{{"loss": {loss}, "metrics": {metrics}, "optimizer_config": {{"class_name": "Adam",
            "config": {{"name": "adam"}}}}}}"#
        )
    };
    let theirs = r#"[{"class_name": "TheirMetric", "config": {"name": "t"}}]"#;
    for bad in [
        layer,
        compiled("\"their_loss\"", "null"),
        compiled("{\"out\": \"their_loss\"}", "null"),
        compiled("\"mse\"", theirs),
        compiled("\"mse\"", "[\"their_metric\"]"),
    ] {
        assert_eq!(
            rules(&clean(bad.as_bytes())),
            ["keras/custom-object"],
            "{bad}"
        );
    }
    for good in [
        compiled("\"mse\"", "[\"accuracy\", \"AUC\"]"),
        compiled("[\"categorical_crossentropy\"]", "{\"out\": [\"mae\"]}"),
        compiled("{\"class_name\": \"Huber\", \"config\": {}}", "null"),
    ] {
        assert_eq!(rules(&clean(good.as_bytes())), [] as [&str; 0], "{good}");
    }
    // A module is imported where the loader does so.
    let module = r#"{"module": "os", "class_name": "function", "config": "system",
        "registered_name": "system"}"#;
    found(
        compiled(module, "null").as_bytes(),
        "keras/module",
        Severity::Critical,
        &["CVE-2025-1550"],
    );
}

#[test]
fn configurations_in_broken_files_are_judged() {
    let bad = lambda(r#", "function": ["4wEAAAA=", null, null], "function_type": "lambda""#);
    let good = dense("\"relu\"");
    // Its first character eight bytes in is the beginning of a safetensors file as well.
    for before in (1..80).chain([1_015, 1_024, 5_110, 70_000, 300_001]) {
        let file = |config: &str| {
            let mut file = b"\x89HDF\r\n\x1a\n".to_vec();
            file.resize(8 + before, 0);
            file.extend(config.as_bytes());
            file
        };
        let report = look(&file(&bad));
        assert_eq!(rules(&report), ["keras/lambda"], "{before}: {report:#?}");
        assert_eq!(report.state(Severity::High), State::Findings);
        // A file that cannot be followed is not clean, whatever it holds.
        let report = look(&file(&good));
        assert_eq!(report.state(Severity::High), State::Incomplete, "{before}");
        assert_eq!(rules(&report), [] as [&str; 0], "{before}");
    }
    // The file is cut behind its configuration, or the configuration is cut.
    let whole = model_file(&bad);
    let at = whole.windows(6).position(|seen| seen == b"Lambda").unwrap();
    for end in [at + 40, at + 90, whole.len() - 1] {
        let mut cut = whole[..end].to_vec();
        // Its superblock is no longer one.
        cut[8] = 9;
        let report = look(&cut);
        assert!(
            rules(&report).contains(&"keras/lambda"),
            "{end}: {report:#?}"
        );
        assert!(!report.gaps.is_empty());
    }
}

#[test]
fn configurations_without_a_format_are_judged_by_the_name_that_they_have() {
    let bad = sequential(r#"{"class_name": "Lambda", "config": {"name": "l"}}"#);
    let decoy = dense("\"relu\"");
    let state = |name: &str, config: &str| {
        let bytes = format!("header{decoy}junk\u{1}{config}").into_bytes();
        let report = scan(name, &bytes, &Options::default());
        (report.state(Severity::High), report.findings.len())
    };
    for name in ["m/keras_metadata.pb", "m.pb", "m.h5", "m.keras"] {
        assert_eq!(state(name, &bad).0, State::Findings, "{name}");
        assert_eq!(state(name, &decoy).0, State::Incomplete, "{name}");
    }
}

// Many that nest or never end are no work without end.
#[test]
fn what_looks_like_configurations_ends() {
    for piece in [
        "{\"class_name\": ",
        "\"class_name\"",
        "{\"a\":{\"class_name\":1}}",
        "{\"class_name\": \"Dense\", \"config\": {\"layers\": [",
    ] {
        let mut file = b"\x89HDF\r\n\x1a\n\0\0\0\0\0\0\0\0".to_vec();
        while file.len() < 1 << 20 {
            file.extend(piece.as_bytes());
        }
        let report = look(&file);
        assert_ne!(report.state(Severity::High), State::Clean, "{piece}");
    }
}

// What a structure leads to is judged once.
#[test]
fn configurations_are_judged_once() {
    let bad = lambda("");
    let mut file = Hdf5::default();
    let values = file.collection(&[bad.as_bytes()]);
    let config = attribute(
        "model_config",
        &var_type(true),
        &reference(bad.len(), values, 1),
    );
    let mut file = file.finish(&[config]);
    // More than the file says that it has.
    file.truncate(file.len() - 1);
    let report = look(&file);
    let lambdas = rules(&report)
        .iter()
        .filter(|rule| **rule == "keras/lambda")
        .count();
    assert_eq!(lambdas, 1, "{report:#?}");
}
