//! Graphs that no reader takes as they stand, and files of parts of graphs.

use custos_core::finding::Severity;
use custos_scan::{FileReport, Options, State, scan};

use super::build::{Message, message};
use super::{
    beside, clean, constant, external, found, graph, look, node, onnx, op, rules, saved_model,
    tensor,
};
use custos_scan::Neighbour;

fn named(name: &str, bytes: &[u8]) -> FileReport {
    scan(name, &bytes.to_vec(), &Options::default())
}

#[test]
fn cve_2026_34445_external_data_sets_no_attributes() {
    let file = |key| {
        let pairs = [("location", "w.bin"), ("offset", "0"), (key, "x")];
        onnx(&[node("Relu", "")], &[external(&pairs)])
    };
    for key in ["__class__", "__dict__", "_name"] {
        let report = found(key, &file(key), "onnx/external-key", Severity::High);
        assert_eq!(report.findings[0].cves, ["CVE-2026-34445"], "{key}");
    }
    let report = look(&file("more"));
    assert!(rules(&report).contains(&"onnx/external-key"), "{report:#?}");
    assert_eq!(report.state(Severity::High), State::Clean, "{report:#?}");
    for key in ["checksum", "basepath", "prepacked_0"] {
        assert!(
            !rules(&look(&file(key))).contains(&"onnx/external-key"),
            "{key}"
        );
    }
}

#[test]
fn external_data_lies_at_no_address() {
    for location in [
        "http://169.254.169.254/latest/meta-data/",
        "https://host.example/w.bin",
        "file:///etc/passwd",
        "file:w.bin",
        "//host.example/share/w.bin",
        "\\\\host.example\\share\\w.bin",
    ] {
        let whole = onnx(&[node("Relu", "")], &[external(&[("location", location)])]);
        found(location, &whole, "onnx/external-path", Severity::High);
        // What comes behind a fault is not read, and what came before it is judged all the same.
        let mut broken = whole.clone();
        broken.extend([0x3a, 0x7f, 1]);
        // Fields of no model around the same entry.
        let entry = message().text(1, "location").text(2, location);
        let other = message().message(1, &message().message(12, &message().message(8, &entry)));
        for bytes in [
            &whole[..whole.len() - 3],
            &broken,
            &other.number(1, 7).done(),
        ] {
            let report = named("m.onnx", bytes);
            assert_eq!(
                report.state(Severity::High),
                State::Findings,
                "{location}: {report:#?}"
            );
            assert!(!report.gaps.is_empty(), "{location}");
        }
    }
    let good = onnx(
        &[node("Relu", "")],
        &[external(&[("location", "m.weights")])],
    );
    let report = named("m.onnx", &good[..good.len() - 3]);
    assert_eq!(
        report.state(Severity::High),
        State::Incomplete,
        "{report:#?}"
    );
    assert!(
        !rules(&report).contains(&"onnx/external-path"),
        "{report:#?}"
    );
}

#[test]
fn a_model_without_a_version_is_one_by_its_name() {
    let file = |operator| message().message(7, &message().message(1, &message().text(4, operator)));
    let report = named("m.onnx", &file("PyOp").done());
    assert_eq!(report.state(Severity::High), State::Findings, "{report:#?}");
    assert!(rules(&report).contains(&"onnx/python-operator"));
    let report = named("m.onnx", &file("Conv").done());
    assert_eq!(report.state(Severity::High), State::Clean, "{report:#?}");
    assert_eq!(report.coverage.unknown, 0);
    assert_eq!(rules(&report), ["onnx/broken"]);
}

#[test]
fn tensors_by_themselves_are_looked_at_as_those_of_models() {
    clean("a tensor", &tensor(24).done());
    found(
        "short",
        &tensor(20).done(),
        "onnx/tensor-size",
        Severity::High,
    );
    let elsewhere = external(&[("location", "/etc/passwd")]);
    found(
        "elsewhere",
        &elsewhere.done(),
        "onnx/external-path",
        Severity::High,
    );
    let bare = [("location", "w"), ("offset", "0"), ("__class__", "x")]
        .iter()
        .fold(message(), |tensor, (key, value)| {
            tensor.message(13, &message().text(1, key).text(2, value))
        });
    found("bare", &bare.done(), "onnx/external-key", Severity::High);
    let below = external(&[("location", "w"), ("length", "24")]);
    let report = beside("input_0.pb", &below.done(), &[("w", Neighbour::File(24))]);
    assert_eq!(report.state(Severity::Low), State::Clean, "{report:#?}");
}

#[test]
fn operators_of_broken_graphs_of_tensorflow_are_told() {
    for (operator, state) in [
        ("ReadFile", State::Findings),
        ("WriteFile", State::Findings),
        ("PyFunc", State::Findings),
        ("Assert", State::Incomplete),
    ] {
        let nodes = [constant("c", "/etc/passwd"), op("n", operator).text(3, "c")];
        let whole = saved_model(&graph(&nodes));
        // Cut; or a node where a library of functions is asked for.
        let other = |field| {
            let node = message().text(2, operator);
            let graph: Message = message().bytes(field, &node.clone().done());
            message().message(2, &message().message(2, &graph)).done()
        };
        for bytes in [
            &whole[..whole.len() - 2],
            &message().text(2, operator).done(),
            &other(2),
        ] {
            let report = named("saved_model.pb", bytes);
            assert_eq!(
                report.state(Severity::High),
                state,
                "{operator}: {report:#?}"
            );
            assert!(!report.gaps.is_empty(), "{operator}");
        }
    }
}

#[test]
fn layers_in_old_saved_models_carry_no_code() {
    let file = |layer: &str| {
        let user = message().text(1, "_tf_keras_layer").text(3, layer);
        let objects = message().message(1, &message().message(4, &user));
        let meta = super::meta_graph(&graph(&[op("a", "NoOp")])).message(7, &objects);
        message().number(1, 1).message(2, &meta).done()
    };
    let bad = r#"{"class_name": "Lambda", "name": "l", "config": {"name": "l", "function":
        {"class_name": "__tuple__", "items": ["4wEAAAA=", null, null]}, "function_type": "lambda"}}"#;
    found("a lambda", &file(bad), "keras/lambda", Severity::High);
    clean(
        "a layer",
        &file(r#"{"class_name": "Dense", "name": "d", "config": {"name": "d"}}"#),
    );
}
