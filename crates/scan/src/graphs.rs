//! Computation graphs and the formats of frameworks that hold them.

mod cntk;
mod coreml;
mod executorch;
mod feast;
mod fragments;
mod hdf5;
pub(crate) mod keras;
mod lists;
mod markup;
mod mediapipe;
mod mxnet;
mod onnx;
mod ort;
mod paddle;
mod rknn;
mod tensorflow;
mod tensorrt;
mod tfjs;
mod tflite;
pub(crate) mod values;

use crate::route::Format;

/// Kinds of messages, as lists.
#[cfg(test)]
pub(crate) static SCHEMAS: &[&str] = &[
    cntk::SCHEMA,
    coreml::SCHEMA,
    feast::SCHEMA,
    mediapipe::SCHEMA,
    onnx::SCHEMA,
    paddle::SCHEMA,
    tensorflow::SCHEMA,
];

/// Kinds of tables, as lists.
#[cfg(test)]
pub(crate) static TABLES: &[&str] = &[executorch::SCHEMA, ort::SCHEMA, tflite::SCHEMA];

/// The lists that a verdict depends on.
pub(crate) static DATA: &[&str] = &[
    lists::LIST,
    cntk::SCHEMA,
    coreml::SCHEMA,
    executorch::SCHEMA,
    feast::SCHEMA,
    mediapipe::SCHEMA,
    onnx::SCHEMA,
    ort::SCHEMA,
    paddle::SCHEMA,
    tensorflow::SCHEMA,
    tflite::SCHEMA,
    keras::DATA,
];

pub(crate) static FORMATS: &[Format] = &[
    Format {
        name: "onnx",
        extensions: &["onnx"],
        recognises: onnx::recognises,
        examine: onnx::examine,
    },
    Format {
        name: "onnx-tensor",
        extensions: &["pb"],
        recognises: onnx::is_tensor,
        examine: onnx::tensor_file,
    },
    Format {
        name: "ort",
        extensions: &["ort"],
        recognises: ort::recognises,
        examine: ort::examine,
    },
    Format {
        name: "tflite",
        extensions: &["tflite"],
        recognises: tflite::recognises,
        examine: tflite::examine,
    },
    Format {
        name: "tensorflow-saved-model",
        extensions: &["pb"],
        recognises: tensorflow::is_saved_model,
        examine: tensorflow::saved_model,
    },
    Format {
        name: "tensorflow-graph",
        extensions: &["pb"],
        recognises: tensorflow::is_graph,
        examine: tensorflow::graph_def,
    },
    Format {
        name: "tensorflow-meta-graph",
        extensions: &["meta", "pb"],
        recognises: tensorflow::is_meta_graph,
        examine: tensorflow::meta_graph,
    },
    Format {
        name: "tensorflow-fingerprint",
        extensions: &["pb"],
        recognises: tensorflow::is_fingerprint,
        examine: tensorflow::fingerprint,
    },
    Format {
        name: "keras-metadata",
        extensions: &["pb"],
        recognises: tensorflow::metadata::recognises,
        examine: tensorflow::metadata::examine,
    },
    Format {
        name: "tensorflow-text",
        extensions: &["pbtxt"],
        recognises: tensorflow::written::recognises,
        examine: tensorflow::written::examine,
    },
    Format {
        name: "tensorflow-checkpoint",
        extensions: &["index"],
        recognises: tensorflow::checkpoint::is_index,
        examine: tensorflow::checkpoint::index,
    },
    Format {
        name: "tensorflow-variables",
        extensions: &[],
        recognises: tensorflow::checkpoint::is_data,
        examine: tensorflow::checkpoint::data,
    },
    Format {
        name: "coreml",
        extensions: &["mlmodel"],
        recognises: coreml::recognises,
        examine: coreml::examine,
    },
    Format {
        name: "coreml-weights",
        extensions: &[],
        recognises: coreml::are_weights,
        examine: coreml::weights,
    },
    Format {
        name: "paddle",
        extensions: &["pdmodel"],
        recognises: paddle::recognises,
        examine: paddle::examine,
    },
    Format {
        name: "paddle-json",
        extensions: &[],
        recognises: paddle::is_json,
        examine: paddle::json,
    },
    Format {
        name: "paddle-parameters",
        extensions: &["pdiparams"],
        recognises: paddle::parameters::recognises,
        examine: paddle::parameters::examine,
    },
    Format {
        name: "feast-registry",
        extensions: &["db"],
        recognises: feast::recognises,
        examine: feast::examine,
    },
    Format {
        name: "executorch",
        extensions: &["pte"],
        recognises: executorch::is_program,
        examine: executorch::program,
    },
    Format {
        name: "executorch-data",
        extensions: &["ptd"],
        recognises: executorch::is_data,
        examine: executorch::data,
    },
    Format {
        name: "tensorrt",
        extensions: &["engine", "plan", "trt"],
        recognises: tensorrt::recognises,
        examine: tensorrt::examine,
    },
    Format {
        name: "mxnet-symbol",
        extensions: &[],
        recognises: mxnet::is_graph,
        examine: mxnet::graph,
    },
    Format {
        name: "mxnet-params",
        extensions: &["params"],
        recognises: mxnet::is_params,
        examine: mxnet::params,
    },
    Format {
        name: "cntk",
        extensions: &["cntk"],
        recognises: cntk::recognises,
        examine: cntk::examine,
    },
    Format {
        name: "cntk-1",
        extensions: &["cntk"],
        recognises: cntk::is_first,
        examine: cntk::first,
    },
    Format {
        name: "rknn",
        extensions: &["rknn"],
        recognises: rknn::recognises,
        examine: rknn::examine,
    },
    hdf5::FORMAT,
    keras::ARCHIVE,
    keras::CONFIG,
    tfjs::FORMAT,
    mediapipe::FORMAT,
    fragments::FORMAT,
    markup::FORMAT,
    markup::openvino::FORMAT,
    markup::pmml::FORMAT,
];
