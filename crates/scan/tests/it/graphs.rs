//! Computation graphs: what they reach for beyond their tensors, and the harmless twin of each.

pub mod build;
mod flat;
mod fragments;
mod mediapipe;
mod tfjs;
mod values;

use custos_core::finding::Severity;
use custos_scan::{FileReport, Neighbour, Neighbours, Options, State, scan};

use build::{Message, message};
use flat::{Value, buffer};

fn look(bytes: &[u8]) -> FileReport {
    scan("x", &bytes.to_vec(), &Options::default())
}

fn rules(report: &FileReport) -> Vec<&str> {
    report
        .findings
        .iter()
        .map(|one| one.rule.as_str())
        .collect()
}

#[track_caller]
fn clean(how: &str, bytes: &[u8]) {
    let report = look(bytes);
    assert_eq!(
        report.state(Severity::Medium),
        State::Clean,
        "{how}: {report:#?}"
    );
    assert_eq!(report.coverage.unknown, 0, "{how}");
}

#[track_caller]
fn found(how: &str, bytes: &[u8], rule: &str, severity: Severity) -> FileReport {
    let report = look(bytes);
    let finding = report.findings.iter().find(|one| one.rule == rule);
    assert_eq!(
        finding.map(|one| one.severity),
        Some(severity),
        "{how}: {report:#?}"
    );
    report
}

/// Files beside the scanned one, by name.
struct Beside(&'static [(&'static str, Neighbour)]);

impl Neighbours for Beside {
    fn find(&self, name: &str) -> Neighbour {
        let found = self.0.iter().find(|(one, _)| *one == name);
        found.map_or(Neighbour::Missing, |(_, found)| *found)
    }
}

fn beside(path: &str, bytes: &[u8], files: &'static [(&'static str, Neighbour)]) -> FileReport {
    let options = Options {
        neighbours: Some(&Beside(files)),
        ..Options::default()
    };
    scan(path, &bytes.to_vec(), &options)
}

/// Valid files of each format.
pub fn samples() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("onnx", onnx(&[node("Relu", "")], &[tensor(24)])),
        ("onnx-tensor", tensor(24).done()),
        ("mediapipe", mediapipe::graph("FaceDetection")),
        ("tensorflow-js", tfjs::model("w.bin", "Relu").into_bytes()),
        ("ort", ort("")),
        ("tflite", tflite("TFLite_Detection_PostProcess", 16)),
        (
            "tensorflow-saved-model",
            saved_model(&graph(&[op("a", "Assert")])),
        ),
        ("tensorflow-graph", graph(&[op("a", "Relu")]).done()),
        (
            "tensorflow-meta-graph",
            meta_graph(&graph(&[op("a", "Relu")])).done(),
        ),
        ("tensorflow-fingerprint", fingerprint()),
        ("keras-metadata", keras_metadata("Dense")),
        (
            "tensorflow-text",
            b"node {\n  name: \"a\"\n  op: \"Relu\"\n}\n".to_vec(),
        ),
        ("tensorflow-checkpoint", checkpoint(0, 16)),
        ("coreml", coreml(message())),
        ("coreml-weights", coreml_weights()),
        ("paddle", paddle("relu")),
        ("paddle-json", paddle_json("1.relu")),
        ("paddle-parameters", paddle_parameters(4)),
        ("feast-registry", feast(b"")),
        ("executorch", executorch("aten::add")),
        ("mxnet-symbol", mxnet("Convolution", "c1")),
        ("mxnet-params", mxnet_params(6)),
        ("cntk", cntk("uid")),
    ]
}

#[test]
fn valid_files_of_each_format_are_understood_to_the_last_byte() {
    for (format, bytes) in samples() {
        let report = look(&bytes);
        let formats: Vec<&str> = report
            .formats
            .iter()
            .map(|one| one.format.as_str())
            .collect();
        assert!(formats.contains(&format), "{format}: {formats:?}");
        clean(format, &bytes);
        for end in 1..bytes.len() {
            let cut = &bytes[..end];
            let report = look(cut);
            let formats = report.formats.iter().map(|one| one.format.as_str());
            let is_same = formats.into_iter().any(|one| one == format);
            assert!(
                !is_same || is_whole(format, cut) || report.state(Severity::Info) != State::Clean,
                "{format}, cut at {end}: {report:#?}"
            );
        }
    }
}

// A message that is cut between two fields is a message again.
fn is_whole(format: &str, bytes: &[u8]) -> bool {
    let wire = [
        "onnx",
        "tensorflow-graph",
        "tensorflow-saved-model",
        "tensorflow-meta-graph",
        "keras-metadata",
        "coreml",
        "paddle",
        "feast-registry",
        "cntk",
        "tensorflow-fingerprint",
    ];
    // Lines of a text are whole as well.
    format == "tensorflow-text" || wire.contains(&format) && build::is_message(bytes)
}

// ONNX.

pub fn node(operator: &str, domain: &str) -> Message {
    let node = message()
        .text(1, "x")
        .text(2, "y")
        .text(3, "n")
        .text(4, operator);
    if domain.is_empty() {
        node
    } else {
        node.text(7, domain)
    }
}

fn tensor(bytes: usize) -> Message {
    let dims = message().number(1, 2).number(1, 3).number(2, 1);
    dims.text(8, "W").bytes(9, &vec![1; bytes])
}

pub fn external(pairs: &[(&str, &str)]) -> Message {
    let mut tensor = message()
        .number(1, 2)
        .number(1, 3)
        .number(2, 1)
        .text(8, "W");
    for (key, value) in pairs {
        tensor = tensor.message(13, &message().text(1, key).text(2, value));
    }
    tensor.number(14, 1)
}

fn onnx_graph(nodes: &[Message], tensors: &[Message]) -> Message {
    let mut graph = message();
    for node in nodes {
        graph = graph.message(1, node);
    }
    graph = graph.text(2, "g");
    for tensor in tensors {
        graph = graph.message(5, tensor);
    }
    graph
}

fn onnx_head() -> Message {
    let entry = message()
        .text(1, "author")
        .text(2, "somebody who wrote this");
    message()
        .number(1, 8)
        .text(2, "maker")
        .message(8, &message().text(1, "").number(2, 17))
        .message(14, &entry)
}

pub fn onnx(nodes: &[Message], tensors: &[Message]) -> Vec<u8> {
    onnx_head().message(7, &onnx_graph(nodes, tensors)).done()
}

#[test]
fn onnx_weights_lie_beside_the_model() {
    let traversal = ["CVE-2022-25882", "CVE-2024-27318", "CVE-2025-51480"];
    let cases = [
        ("../../etc/passwd", Severity::High),
        ("a/../../w", Severity::High),
        ("/etc/passwd", Severity::High),
        ("C:\\w", Severity::High),
        ("..\\w", Severity::High),
        ("a/../w", Severity::Medium),
    ];
    for (location, severity) in cases {
        let file = onnx(&[node("Relu", "")], &[external(&[("location", location)])]);
        let report = found(location, &file, "onnx/external-path", severity);
        assert_eq!(report.findings[0].cves, traversal, "{location}");
    }
    let file = |pairs: &[(&str, &str)]| onnx(&[node("Relu", "")], &[external(pairs)]);
    let good = file(&[("location", "sub/w.bin"), ("offset", "8"), ("length", "24")]);
    clean("below the folder", &good);
    let report = beside("m.onnx", &good, &[("sub/w.bin", Neighbour::File(32))]);
    assert_eq!(report.state(Severity::Low), State::Clean, "{report:#?}");
    let report = beside("m.onnx", &good, &[("sub/w.bin", Neighbour::Link)]);
    assert_eq!(report.findings[0].cves, ["CVE-2026-34447"]);
    assert_eq!(report.worst(), Some(Severity::High));
    let report = beside("m.onnx", &good, &[("sub/w.bin", Neighbour::File(31))]);
    assert_eq!(rules(&report), ["onnx/external-data"]);
    let report = beside("m.onnx", &good, &[]);
    assert_eq!(report.worst(), Some(Severity::Low));
    let overflow = [
        ("location", "w"),
        ("offset", "18446744073709551615"),
        ("length", "24"),
    ];
    found(
        "overflow",
        &file(&overflow),
        "onnx/external-data",
        Severity::Medium,
    );
    let twice = [("location", "w"), ("location", "../w")];
    found("twice", &file(&twice), "onnx/external-path", Severity::High);
}

#[test]
fn onnx_tensors_are_as_large_as_they_say() {
    let file = |tensor| onnx(&[node("Relu", "")], &[tensor]);
    clean("fits", &file(tensor(24)));
    found(
        "short",
        &file(tensor(20)),
        "onnx/tensor-size",
        Severity::High,
    );
    found(
        "long",
        &file(tensor(28)),
        "onnx/tensor-size",
        Severity::High,
    );
    let huge = message()
        .number(1, 1 << 40)
        .number(1, 1 << 40)
        .number(2, 1)
        .bytes(9, &[0; 8]);
    found("overflow", &file(huge), "onnx/tensor-size", Severity::High);
    let negative = message().number(1, u64::MAX).number(2, 1).bytes(9, &[0; 8]);
    found(
        "negative",
        &file(negative),
        "onnx/tensor-size",
        Severity::High,
    );
}

#[test]
fn onnx_operators_are_found_wherever_they_lie() {
    let python =
        node("PyOp", "com.microsoft").message(5, &message().text(1, "module").bytes(4, b"evil"));
    let inner = onnx_graph(std::slice::from_ref(&python), &[]);
    let branch = node("If", "").message(5, &message().text(1, "then_branch").message(6, &inner));
    let branches = node("If", "").message(5, &message().text(1, "all").message(11, &inner));
    let function = message().text(1, "F").text(10, "mine").message(7, &python);
    let cases = [
        ("in the graph", onnx(std::slice::from_ref(&python), &[])),
        ("in a branch", onnx(&[branch], &[])),
        ("in one of many branches", onnx(&[branches], &[])),
        (
            "in a function",
            onnx_head()
                .message(7, &onnx_graph(&[node("F", "mine")], &[]))
                .message(25, &function)
                .done(),
        ),
    ];
    for (how, file) in &cases {
        let report = found(how, file, "onnx/python-operator", Severity::High);
        assert_eq!(
            report.findings[0].evidence.as_deref(),
            Some("PyOp(module=\"evil\")")
        );
        assert!(!rules(&report).contains(&"onnx/custom-operator"), "{how}");
    }
    let custom = onnx(&[node("Run", "my.ops")], &[]);
    found("custom", &custom, "onnx/custom-operator", Severity::Medium);
    let local = message()
        .text(1, "Run")
        .text(10, "my.ops")
        .message(7, &node("Relu", ""));
    let local = onnx_head()
        .message(7, &onnx_graph(&[node("Run", "my.ops")], &[]))
        .message(25, &local);
    clean("a function of the model", &local.done());
    clean(
        "of the runtime",
        &onnx(&[node("Gelu", "com.microsoft")], &[]),
    );
}

#[test]
fn what_no_format_knows_is_not_clean() {
    let file = onnx_head()
        .message(7, &onnx_graph(&[node("Relu", "")], &[]))
        .bytes(77, b"something that nobody reads")
        .done();
    let report = found("a field", &file, "graph/unknown-field", Severity::Low);
    assert_eq!(report.state(Severity::Medium), State::Incomplete);
    // Behind fields that nobody knows, it is still a model.
    let mut hidden = message();
    for number in 900..1000 {
        hidden = hidden.number(number, 1);
    }
    let mut bytes = hidden.done();
    bytes.extend(onnx(&[node("PyOp", "")], &[]));
    assert_ne!(look(&bytes).state(Severity::High), State::Clean);
    // Nested deeper than is followed.
    let mut deep = onnx_graph(&[node("Relu", "")], &[]);
    for _ in 0..120 {
        let attribute = message().text(1, "g").message(6, &deep);
        deep = onnx_graph(&[node("If", "").message(5, &attribute)], &[]);
    }
    let report = look(&onnx_head().message(7, &deep).done());
    assert_eq!(report.state(Severity::High), State::Incomplete);
}

// ONNX Runtime.

fn ort(domain: &str) -> Vec<u8> {
    let node = Value::Table(vec![
        (0, Value::Text("n".into())),
        (2, Value::Text(domain.into())),
        (5, Value::Text("Relu".into())),
    ]);
    let graph = Value::Table(vec![(2, Value::Tables(vec![node]))]);
    let model = Value::Table(vec![(0, Value::U64(8)), (7, graph)]);
    buffer(*b"ORTM", vec![(0, Value::Text("6".into())), (1, model)])
}

#[test]
fn custom_operators_of_onnx_runtime() {
    clean("plain", &ort("ai.onnx.ml"));
    found(
        "custom",
        &ort("my.ops"),
        "onnx/custom-operator",
        Severity::Medium,
    );
}

// TensorFlow.

pub fn op(name: &str, operator: &str) -> Message {
    message().text(1, name).text(2, operator)
}

pub fn constant(name: &str, text: &str) -> Message {
    let tensor = message()
        .number(1, 7)
        .message(2, &message())
        .bytes(8, text.as_bytes());
    let value = message().message(8, &tensor);
    op(name, "Const").message(5, &message().text(1, "value").message(2, &value))
}

pub fn graph(nodes: &[Message]) -> Message {
    let graph = nodes
        .iter()
        .fold(message(), |graph, node| graph.message(1, node));
    graph.message(4, &message().number(1, 1882))
}

pub fn function(nodes: &[Message]) -> Message {
    let signature = message().text(1, "__inference_f_1");
    let function = message().message(1, &signature);
    nodes
        .iter()
        .fold(function, |function, node| function.message(3, node))
}

fn meta_graph(graph: &Message) -> Message {
    let info = message().text(4, "serve").text(5, "2.21.0");
    message().message(1, &info).message(2, graph)
}

pub fn saved_model(graph: &Message) -> Vec<u8> {
    message().number(1, 1).message(2, &meta_graph(graph)).done()
}

fn fingerprint() -> Vec<u8> {
    let mut file = message();
    for number in 1..=5 {
        file = file.number(number, 0x1234_5678_9abc_0000 + u64::from(number));
    }
    file.message(6, &message().number(1, 2)).done()
}

#[test]
fn tensorflow_operators_are_found_in_graphs_and_functions() {
    let cases = [
        ("ReadFile", Severity::High),
        ("WriteFile", Severity::Critical),
        ("PyFunc", Severity::High),
        ("EagerPyFunc", Severity::High),
        ("PyFuncStateless", Severity::High),
        ("MatchingFiles", Severity::High),
        ("ImmutableConst", Severity::High),
        ("DatasetFromGraph", Severity::High),
        ("RpcCall", Severity::High),
        ("LoadLibrary", Severity::Critical),
        ("ShellExecute", Severity::Critical),
        ("TFRecordDataset", Severity::Medium),
    ];
    for (operator, severity) in cases {
        let nodes = [
            constant("c", "/etc/passwd"),
            op("i", "Identity").text(3, "c"),
            op("n", operator).text(3, "i:output:0"),
        ];
        let library = message().message(1, &function(&nodes));
        let plain = graph(&[op("a", "NoOp")]).message(2, &library);
        for (how, file) in [
            ("saved model", saved_model(&graph(&nodes))),
            ("graph", graph(&nodes).done()),
            ("meta graph", meta_graph(&graph(&nodes)).done()),
            ("function", saved_model(&plain)),
        ] {
            let report = found(how, &file, "tensorflow/operator", severity);
            let evidence = format!("{operator}(\"/etc/passwd\")");
            assert_eq!(
                report.findings[0].evidence.as_deref(),
                Some(evidence.as_str()),
                "{how}"
            );
        }
    }
    for operator in [
        "Assert",
        "DecodeRaw",
        "StatefulPartitionedCall",
        "RestoreV2",
        "SaveV2",
    ] {
        let nodes = [constant("c", "model"), op("n", operator).text(3, "c")];
        clean(operator, &saved_model(&graph(&nodes)));
    }
}

#[test]
fn tensorflow_paths_stay_in_the_folder() {
    for (path, bad) in [
        ("../../home/x", true),
        ("/etc/x", true),
        ("variables/x", false),
    ] {
        for operator in ["RestoreV2", "SaveV2", "MergeV2Checkpoints"] {
            let nodes = [constant("c", path), op("n", operator).text(3, "c")];
            let file = saved_model(&graph(&nodes));
            if bad {
                found(path, &file, "tensorflow/path", Severity::High);
            } else {
                clean(path, &file);
            }
        }
        let asset = message().message(1, &message().text(1, "t")).text(2, path);
        let meta = meta_graph(&graph(&[op("a", "NoOp")])).message(6, &asset);
        let file = message().number(1, 1).message(2, &meta).done();
        if bad {
            found(path, &file, "tensorflow/path", Severity::High);
        } else {
            clean(path, &file);
        }
    }
}

pub fn keras_metadata(class: &str) -> Vec<u8> {
    let json = format!(
        r#"{{"name": "l", "class_name": "{class}", "config": {{"name": "l", "function":
        {{"class_name": "__tuple__", "items": ["4wEAAAAAAAAAAAAAAAIAAAADAAAAQwAAAA==", null]}}}}}}"#
    );
    let json = if class == "Lambda" {
        json
    } else {
        r#"{"name": "d", "class_name": "Dense", "config": {"name": "d", "units": 4}}"#.to_owned()
    };
    let node = message()
        .number(2, 1)
        .text(3, "root.layer-0")
        .text(4, "_tf_keras_layer")
        .text(5, &json)
        .message(6, &message().number(1, 2));
    message().message(1, &node).done()
}

#[test]
fn keras_layers_of_a_saved_model_carry_no_code() {
    clean("a layer", &keras_metadata("Dense"));
    let report = look(&keras_metadata("Lambda"));
    assert!(report.worst() >= Some(Severity::High), "{report:#?}");
    assert!(rules(&report).contains(&"keras/lambda"), "{report:#?}");
}

#[test]
fn graphs_as_text_name_their_operators() {
    let text = |operator| format!("node {{\n  name: \"a\"\n  op : '{operator}'\n}}\n");
    found(
        "bad",
        text("WriteFile").as_bytes(),
        "tensorflow/operator",
        Severity::Critical,
    );
    clean("good", text("Assert").as_bytes());
}

// A block of a table: entries, one place where keys begin, and what follows each block.
fn block(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (key, value) in entries {
        block.push(0);
        block.push(u8::try_from(key.len()).unwrap());
        block.push(u8::try_from(value.len()).unwrap());
        block.extend(key.as_bytes());
        block.extend(value);
    }
    block.extend([0, 0, 0, 0, 1, 0, 0, 0]);
    block
}

fn checkpoint(offset: u64, size: u64) -> Vec<u8> {
    let header = message()
        .number(1, 1)
        .message(3, &message().number(1, 1))
        .done();
    let entry = message()
        .number(1, 1)
        .message(2, &message())
        .number(4, offset)
        .number(5, size);
    let data = block(&[("", header), ("w", entry.done())]);
    let mut file = data.clone();
    file.extend([0; 5]);
    let mut handles = Vec::new();
    let place = |file: &Vec<u8>, block: &Vec<u8>| {
        [
            build::varint(file.len() as u64),
            build::varint(block.len() as u64),
        ]
        .concat()
    };
    let meta = block(&[]);
    handles.extend(place(&file, &meta));
    file.extend(&meta);
    file.extend([0; 5]);
    let index = block(&[("x", place(&Vec::new(), &data))]);
    handles.extend(place(&file, &index));
    file.extend(&index);
    file.extend([0; 5]);
    handles.resize(40, 0);
    file.extend(handles);
    file.extend(0xdb47_7524_8b80_fb57_u64.to_le_bytes());
    file
}

#[test]
fn checkpoints_say_where_values_are() {
    let files = &[("m.data-00000-of-00001", Neighbour::File(16))];
    let good = beside("m.index", &checkpoint(0, 16), files);
    assert_eq!(good.state(Severity::Info), State::Clean, "{good:#?}");
    let bad = beside("m.index", &checkpoint(8, 16), files);
    assert_eq!(rules(&bad), ["tensorflow/checkpoint"]);
    let bad = beside("m.index", &checkpoint(u64::MAX, 16), files);
    assert_eq!(rules(&bad), ["tensorflow/checkpoint"]);
}

// TensorFlow Lite.

fn tflite(operator: &str, bytes: usize) -> Vec<u8> {
    tflite_of(operator, bytes, (&[2, 2], 1))
}

// A model with a tensor of these dimensions in a buffer; the first buffer has no values.
fn tflite_of(operator: &str, bytes: usize, values: (&[u32], u32)) -> Vec<u8> {
    let numbers = [vec![0], vec![], vec![], vec![]];
    tflite_with(operator, (bytes, values), numbers)
}

// One whose graph and operator have inputs and outputs of these numbers.
pub fn tflite_with(
    operator: &str,
    (bytes, (shape, held)): (usize, (&[u32], u32)),
    numbers: [Vec<u32>; 4],
) -> Vec<u8> {
    let [inputs, outputs, takes, gives] = numbers.map(Value::Words);
    let code = Value::Table(vec![
        (0, Value::U8(32)),
        (1, Value::Text(operator.into())),
        (3, Value::U32(32)),
    ]);
    let tensor = Value::Table(vec![
        (0, Value::Words(shape.to_vec())),
        (2, Value::U32(held)),
        (3, Value::Text("t".into())),
    ]);
    let node = Value::Table(vec![
        (0, Value::U32(0)),
        (1, takes),
        (2, gives),
        (5, Value::Bytes(vec![1, 2, 3])),
    ]);
    let graph = Value::Table(vec![
        (0, Value::Tables(vec![tensor])),
        (1, inputs),
        (2, outputs),
        (3, Value::Tables(vec![node])),
    ]);
    let buffers = vec![
        Value::Table(vec![]),
        Value::Table(vec![(0, Value::Bytes(vec![1; bytes]))]),
    ];
    buffer(
        *b"TFL3",
        vec![
            (0, Value::U32(3)),
            (1, Value::Tables(vec![code])),
            (2, Value::Tables(vec![graph])),
            (3, Value::Text("a model".into())),
            (4, Value::Tables(buffers)),
        ],
    )
}

#[test]
fn operators_and_sizes_of_tensorflow_lite() {
    let known = "TFLite_Detection_PostProcess";
    clean("known", &tflite(known, 16));
    clean("of TensorFlow", &tflite("FlexStringSplit", 16));
    found(
        "own",
        &tflite("RunIt", 16),
        "tflite/custom-operator",
        Severity::Medium,
    );
    found(
        "flex",
        &tflite("FlexWriteFile", 16),
        "tensorflow/operator",
        Severity::Critical,
    );
    found(
        "flex",
        &tflite("FlexPyFunc", 16),
        "tensorflow/operator",
        Severity::High,
    );
    found(
        "short",
        &tflite(known, 12),
        "tflite/tensor-size",
        Severity::High,
    );
    // Distances and lengths that lead out are told.
    let good = tflite(known, 16);
    let mut broken = 0;
    for at in 8..good.len() {
        let mut bad = good.clone();
        bad[at] = 0xff;
        broken += usize::from(rules(&look(&bad)).contains(&"tflite/broken"));
    }
    assert!(broken > 30, "{broken}");
    // Texts that lie over each other, each as long as the file, are not looked at one by one.
    let mut over = flat::buffer(
        *b"TFL3",
        vec![(
            6,
            Value::Tables(
                (0..20_000)
                    .map(|_| Value::Table(vec![(0, Value::U32(0))]))
                    .collect(),
            ),
        )],
    );
    let first = over.len().div_ceil(4) * 4;
    over.resize(first, 0);
    over.extend([0, 0, 8, 0].repeat(200_000));
    flat::point_at(&mut over, first);
    let report = look(&over);
    assert_eq!(report.state(Severity::High), State::Incomplete);
    let behind = [good, b"what nothing points at".to_vec()].concat();
    assert_eq!(look(&behind).state(Severity::High), State::Incomplete);
}

#[test]
fn cve_2020_15211_tensors_of_tensorflow_lite_are_there() {
    const NONE: u32 = u32::MAX;
    let file = |numbers| tflite_with("TFLite_Detection_PostProcess", (16, (&[2, 2], 1)), numbers);
    for bad in [1, 0x8000_0000, u32::MAX - 1] {
        for place in 0..4 {
            let mut numbers = [vec![0], vec![0], vec![0], vec![0]];
            numbers[place].push(bad);
            found(
                "number",
                &file(numbers),
                "tflite/tensor-index",
                Severity::High,
            );
        }
    }
    let bytes = file([vec![0], vec![0], vec![0], vec![NONE]]);
    let report = found("none", &bytes, "tflite/tensor-index", Severity::Medium);
    assert_eq!(report.findings[0].cves, ["CVE-2020-15211"]);
    // Operators may do without an input.
    clean(
        "left out",
        &file([vec![0], vec![0], vec![0, NONE], vec![0]]),
    );
}

// Values that are computed have no bytes in the file; runtimes count them in 32 bits.
#[test]
fn dimensions_of_tensorflow_lite_are_a_number_that_runtimes_can_count() {
    for (shape, bad) in [
        (&[0x1_0000, 0x1_0000][..], true),
        (&[0x7fff_ffff, 3], true),
        (&[0x8000, 0xffff], false),
        (&[1, u32::MAX, 3], false),
    ] {
        let file = tflite_of("TFLite_Detection_PostProcess", 16, (shape, 0));
        if bad {
            found("wraps", &file, "tflite/tensor-size", Severity::High);
        } else {
            clean("computed", &file);
        }
    }
}

// Core ML.

fn coreml(kind: Message) -> Vec<u8> {
    let feature = message().text(1, "x").message(3, &message());
    let description = message().message(1, &feature).message(10, &feature);
    let kind = if kind.is_empty() {
        message().message(900, &message())
    } else {
        kind
    };
    let mut file = message().number(1, 5).message(2, &description).done();
    file.extend(kind.done());
    file
}

fn coreml_weights() -> Vec<u8> {
    let mut file = [1_u32.to_le_bytes(), 2_u32.to_le_bytes()].concat();
    file.resize(64, 0);
    file.extend(0xdead_beef_u32.to_le_bytes());
    file.extend(2_u32.to_le_bytes());
    file.extend(5_u64.to_le_bytes());
    file.extend(128_u64.to_le_bytes());
    file.resize(128, 0);
    file.extend([9; 5]);
    file
}

#[test]
fn core_ml_names_classes_and_files() {
    clean("plain", &coreml(message()));
    let custom = message().message(555, &message().text(10, "Mine").text(40, "a model of mine"));
    found(
        "model",
        &coreml(custom),
        "coreml/custom-code",
        Severity::Medium,
    );
    let layer = message()
        .text(1, "l")
        .message(500, &message().text(10, "Mine"));
    let layers = message().message(500, &message().message(1, &layer));
    found(
        "layer",
        &coreml(layers),
        "coreml/custom-code",
        Severity::Medium,
    );
    let linked = |name: &str| {
        let file = message().message(1, &message().text(1, name));
        coreml(message().message(556, &message().message(1, &file)))
    };
    found(
        "out",
        &linked("../../x.mlmodelc"),
        "coreml/path",
        Severity::High,
    );
    found(
        "beside",
        &linked("x.mlmodelc"),
        "coreml/path",
        Severity::Info,
    );
    clean("weights", &coreml_weights());
    let mut cut = coreml_weights();
    cut[87] = 0xff;
    assert_ne!(look(&cut).state(Severity::High), State::Clean);
}

// PaddlePaddle.

pub fn paddle(operator: &str) -> Vec<u8> {
    let attribute = message()
        .text(1, "file_path")
        .number(2, 2)
        .text(5, "/tmp/x");
    let op = message()
        .message(1, &message().text(1, "X").text(2, "x"))
        .text(3, operator)
        .message(4, &attribute);
    let variable = message().text(1, "x").message(2, &message().number(1, 7));
    let block = message()
        .number(1, 0)
        .number(2, u64::MAX)
        .message(3, &variable)
        .message(4, &op);
    message()
        .message(1, &block)
        .message(4, &message().number(1, 0))
        .done()
}

fn paddle_json(operator: &str) -> Vec<u8> {
    let op = format!(r##"{{"#": "{operator}", "A": []}}"##);
    format!(
        r##"{{"base_code": {{"magic": "pir", "trainable": false, "version": 2}},
        "program": {{"regions": [{{"#": "region_0", "blocks": [{{"ops": [{op}]}}]}}]}}}}"##
    )
    .into_bytes()
}

fn paddle_parameters(values: usize) -> Vec<u8> {
    let description = message().number(1, 5).number(2, 2).number(2, 2).done();
    let mut file = vec![0; 16];
    file.extend(u32::try_from(description.len()).unwrap().to_le_bytes());
    file.extend(description);
    file.extend(vec![0x3f; values * 4]);
    file
}

#[test]
fn paddle_operators_reach_no_further_than_tensors() {
    for (operator, severity) in [
        ("py_func", Severity::High),
        ("save_combine", Severity::High),
        ("load", Severity::Medium),
        ("listen_and_serv", Severity::High),
    ] {
        let report = found(operator, &paddle(operator), "paddle/operator", severity);
        let evidence = report.findings[0].evidence.as_deref().unwrap();
        assert!(evidence.contains("file_path=\"/tmp/x\""), "{evidence}");
        let json = paddle_json(&format!("1.{operator}"));
        found(operator, &json, "paddle/operator", severity);
    }
    clean("plain", &paddle("conv2d"));
    found(
        "short",
        &paddle_parameters(3),
        "paddle/broken",
        Severity::Medium,
    );
}

// Feast.

fn feast(body: &[u8]) -> Vec<u8> {
    let entity = message()
        .text(1, "driver_id")
        .number(2, 4)
        .text(4, "driver_id");
    let mut function = message().text(1, "f");
    if !body.is_empty() {
        function = function.bytes(2, body);
    }
    let view = message().text(1, "view").text(2, "project").message(
        10,
        &message().message(1, &function.text(3, "def f(x): return x")),
    );
    message()
        .message(1, &message().message(1, &entity))
        .text(3, "1")
        .text(4, "0000")
        .message(5, &message().number(1, 1_700_000_000))
        .message(8, &message().message(1, &view))
        .done()
}

#[test]
fn functions_of_a_feast_registry_are_pickles() {
    clean("no function", &feast(b""));
    let harmless = b"\x80\x04]\x94K\x01a.";
    let report = found(
        "harmless",
        &feast(harmless),
        "feast/function",
        Severity::Medium,
    );
    assert_eq!(report.worst(), Some(Severity::Medium), "{report:#?}");
    let report = look(&feast(b"cposix\nsystem\n(S'id'\ntR."));
    assert!(
        rules(&report).contains(&"pickle/dangerous-call"),
        "{report:#?}"
    );
    assert_eq!(report.worst(), Some(Severity::Critical));
}

// ExecuTorch.

fn executorch(operator: &str) -> Vec<u8> {
    let op = Value::Table(vec![
        (0, Value::Text(operator.into())),
        (1, Value::Text("out".into())),
    ]);
    let call = Value::Table(vec![(0, Value::U32(0)), (1, Value::Words(vec![0]))]);
    let instruction = Value::Table(vec![(0, Value::U8(1)), (1, call)]);
    let chain = Value::Table(vec![(2, Value::Tables(vec![instruction]))]);
    let number = Value::Table(vec![
        (0, Value::U8(2)),
        (1, Value::Table(vec![(0, Value::U64(1))])),
    ]);
    let plan = Value::Table(vec![
        (0, Value::Text("forward".into())),
        (2, Value::Tables(vec![number])),
        (5, Value::Tables(vec![chain])),
        (6, Value::Tables(vec![op])),
    ]);
    buffer(
        *b"ET12",
        vec![(0, Value::U32(0)), (1, Value::Tables(vec![plan]))],
    )
}

#[test]
fn operators_of_executorch_are_of_the_runtime() {
    clean("plain", &executorch("quantized_decomposed::add"));
    found(
        "own",
        &executorch("mine::run"),
        "executorch/custom-operator",
        Severity::Medium,
    );
}

// TensorRT, MXNet, CNTK, RKNN.

#[test]
fn engines_are_opaque_and_carry_nothing_for_the_host() {
    let engine = |machine: u8| {
        let mut engine = b"ptrt".to_vec();
        engine.resize(300_000, 0xaa);
        engine.extend(b"\x7fELF\x02\x01\x01");
        engine.resize(300_018, 0);
        engine.extend([machine, 0]);
        engine.resize(301_000, 1);
        engine
    };
    let gpu = look(&engine(190));
    assert_eq!(
        (rules(&gpu).len(), gpu.state(Severity::High)),
        (0, State::Incomplete)
    );
    found(
        "x86-64",
        &engine(62),
        "tensorrt/embedded-library",
        Severity::High,
    );
    found(
        "AArch64",
        &engine(183),
        "tensorrt/embedded-library",
        Severity::High,
    );
    let mut windows = b"ptrt".to_vec();
    windows.extend(b"MZ");
    windows.resize(4 + 0x3c, 0);
    windows.extend([0x80, 0]);
    windows.resize(4 + 0x80, 0);
    windows.extend(b"PE\0\0");
    found(
        "Windows",
        &windows,
        "tensorrt/embedded-library",
        Severity::High,
    );
}

pub fn mxnet(operator: &str, name: &str) -> Vec<u8> {
    format!(
        r#"{{"nodes": [{{"op": "null", "name": "data", "inputs": []}},
        {{"op": "{operator}", "name": "{name}", "attrs": {{"op_type": "mine"}}, "inputs": [[0, 0, 0]]}}],
        "arg_nodes": [0], "heads": [[1, 0, 0]]}}"#
    )
    .into_bytes()
}

fn mxnet_params(values: usize) -> Vec<u8> {
    let mut file = Vec::new();
    for number in [0x112_u64, 0, 1] {
        file.extend(number.to_le_bytes());
    }
    for number in [0xf993_fac9_u32, 0, 2] {
        file.extend(number.to_le_bytes());
    }
    for number in [2_u64, 3] {
        file.extend(number.to_le_bytes());
    }
    for number in [1_u32, 0, 0] {
        file.extend(number.to_le_bytes());
    }
    file.extend(vec![0x3f; values * 4]);
    file.extend(1_u64.to_le_bytes());
    file.extend(5_u64.to_le_bytes());
    file.extend(b"arg:w");
    file
}

#[test]
fn cve_2022_24294_names_of_mxnet_are_short() {
    clean("plain", &mxnet("Convolution", "conv0"));
    let long = "a".repeat(5_000);
    for file in [mxnet(&long, "x"), mxnet("Convolution", &long)] {
        let report = found("long", &file, "mxnet/operator-name", Severity::High);
        assert_eq!(report.findings[0].cves, ["CVE-2022-24294"]);
    }
    found(
        "own",
        &mxnet("Custom", "x"),
        "mxnet/custom-operator",
        Severity::Medium,
    );
    clean("arrays", &mxnet_params(6));
    found("short", &mxnet_params(2), "mxnet/broken", Severity::Medium);
}

fn cntk(key: &str) -> Vec<u8> {
    let text = |text: &str| message().number(1, 1).number(2, 6).text(8, text);
    let entry = |key: &str, value: &Message| message().text(1, key).message(2, value);
    let function = message()
        .number(1, 1)
        .message(2, &entry(key, &text("os")))
        .message(2, &entry("class", &text("system")))
        .message(2, &entry("deserialize_method", &text("deserialize")));
    let function = message().number(1, 1).number(2, 10).message(12, &function);
    message()
        .number(1, 1)
        .message(2, &entry("type", &text("CompositeFunction")))
        .message(2, &entry("root", &text("Plus1")))
        .message(2, &entry("f", &function))
        .done()
}

#[test]
fn functions_of_cntk_are_not_imported() {
    clean("plain", &cntk("uid"));
    found(
        "module",
        &cntk("module"),
        "cntk/user-function",
        Severity::High,
    );
    let first = look(b"B\0C\0N\0\0\0B\0V\0e\0r\0");
    assert_eq!(first.state(Severity::High), State::Incomplete);
}

#[test]
fn models_for_rockchip_are_recognised_and_not_called_clean() {
    let mut file = b"RKNN\0\0\0\0".to_vec();
    file.extend(1_u64.to_le_bytes());
    file.extend(40_u64.to_le_bytes());
    file.resize(64, 1);
    let report = look(&file);
    assert_eq!(
        (rules(&report).len(), report.state(Severity::High)),
        (0, State::Incomplete)
    );
    assert_eq!(report.formats[0].format, "rknn");
    found("cut", &file[..30], "rknn/broken", Severity::Medium);
}

/// A model whose weights lie in a file of this name.
pub fn onnx_beside(location: &str) -> Vec<u8> {
    onnx(&[node("Relu", "")], &[external(&[("location", location)])])
}

/// A saved model with these operators, in its graph or in a function of it.
pub fn tensorflow(operator: &str, text: &str, in_function: bool) -> Vec<u8> {
    let nodes = [constant("c", text), op("n", operator).text(3, "c")];
    if !in_function {
        return saved_model(&graph(&nodes));
    }
    let library = message().message(1, &function(&nodes));
    saved_model(&graph(&[op("a", "NoOp")]).message(2, &library))
}
