//! Graphs of `MediaPipe`.

use custos_core::finding::Severity;
use custos_scan::State;

use super::build::{Message, message};
use super::{clean, found, look, rules};

fn node(calculator: &str) -> Message {
    // Options are an extension of their message.
    let options = message().message(164_933_298, &message().number(5, 0));
    message()
        .text(2, calculator)
        .text(3, "VIDEO:input_frames")
        .text(4, "VIDEO:image")
        .message(7, &options)
}

pub fn graph(calculator: &str) -> Vec<u8> {
    message()
        .text(10, "input_frames")
        .number(11, 100)
        .message(14, &message().text(2, "ApplicationThreadExecutor"))
        .message(1, &node(calculator))
        .done()
}

#[test]
fn calculators_of_mediapipe_that_use_files_are_told() {
    clean("a graph", &graph("FaceDetectionShortRangeGpu"));
    let bad = graph("LocalFileContentsCalculator");
    found("files", &bad, "mediapipe/files", Severity::Medium);
}

#[test]
fn graphs_of_mediapipe_are_followed_to_their_end() {
    let good = graph("FaceDetectionShortRangeGpu");
    for end in 1..good.len() {
        let report = look(&good[..end]);
        // The first names alone are a text.
        if report.formats.iter().any(|one| one.format == "mediapipe") {
            assert_ne!(report.state(Severity::Medium), State::Clean, "{end}");
        }
    }
    // A pickle in the options of a calculator.
    let payload = crate::pickle::Assembler::protocol(2)
        .call("os", "system", &"id ".repeat(60))
        .stop();
    let bad = message()
        .message(1, &node("A").bytes(7, &payload))
        .text(10, "in")
        .text(15, "out");
    let report = look(&bad.done());
    assert!(
        rules(&report).contains(&"pickle/dangerous-call"),
        "{report:#?}"
    );
}

// What is a text there is a message in nodes of TensorFlow.
#[test]
fn graphs_of_mediapipe_are_none_of_tensorflow() {
    let with = |node: Message| message().message(1, &node).text(10, "in").done();
    let packet = |calculator| {
        node(calculator)
            .text(5, "NUM_FACES:faces")
            .text(6, "PACKET:faces")
    };
    clean("packets", &with(packet("FaceLandmarkFrontGpu")));
    // As long as nothing is broken, it may be both.
    let both = look(&with(
        message().text(1, "n").text(2, "WriteFile").text(3, "c"),
    ));
    assert!(rules(&both).contains(&"tensorflow/operator"), "{both:#?}");
}

// Nodes of TensorFlow have fields of the same kinds.
#[test]
fn graphs_of_tensorflow_are_none_of_mediapipe() {
    for bytes in [
        super::graph(&[super::op("a", "Relu")]).done(),
        super::saved_model(&super::graph(&[super::op("a", "Relu")])),
    ] {
        let formats = look(&bytes).formats;
        assert!(
            formats.iter().all(|one| one.format != "mediapipe"),
            "{formats:?}"
        );
    }
}
