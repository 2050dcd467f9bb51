//! Computation graphs and the formats of frameworks that hold them.

mod hdf5;
pub(crate) mod keras;
mod lists;
mod onnx;
mod ort;
mod tensorflow;
mod tflite;

use crate::route::Format;

/// Kinds of messages, as lists.
#[cfg(test)]
pub(crate) static SCHEMAS: &[&str] = &[onnx::SCHEMA, tensorflow::SCHEMA];

/// Kinds of tables, as lists.
#[cfg(test)]
pub(crate) static TABLES: &[&str] = &[ort::SCHEMA, tflite::SCHEMA];

/// The lists that a verdict depends on.
pub(crate) static DATA: &[&str] = &[
    lists::LIST,
    onnx::SCHEMA,
    ort::SCHEMA,
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
    hdf5::FORMAT,
    keras::ARCHIVE,
    keras::CONFIG,
];
