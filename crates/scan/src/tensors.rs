//! Files that hold tensors: headers that have to be right, and values that are bounded by them.

pub(crate) mod ggml;
pub(crate) mod gguf;
pub(crate) mod index;
pub(crate) mod llamafile;
pub(crate) mod lua;
pub(crate) mod msgpack;
mod names;
mod notes;
pub(crate) mod npy;
pub(crate) mod orbax;
pub(crate) mod safetensors;
pub(crate) mod torch;
pub(crate) mod zarr;

use crate::route::Format;

/// The lists that a verdict depends on.
pub(crate) static DATA: &[&str] = &[gguf::types::FILE];

pub(crate) static FORMATS: &[Format] = &[
    Format {
        name: "safetensors",
        extensions: &["safetensors"],
        recognises: safetensors::recognises,
        examine: safetensors::examine,
    },
    Format {
        name: "tensor index",
        extensions: &[],
        recognises: index::recognises,
        examine: index::examine,
    },
    Format {
        name: "GGUF",
        extensions: &["gguf"],
        recognises: gguf::recognises,
        examine: gguf::examine,
    },
    Format {
        name: "GGML",
        extensions: &["ggml"],
        recognises: ggml::recognises,
        examine: ggml::examine,
    },
    Format {
        name: "NumPy",
        extensions: &["npy"],
        recognises: npy::recognises,
        examine: npy::examine,
    },
    Format {
        name: "MessagePack",
        extensions: &["msgpack", "flax"],
        recognises: msgpack::recognises,
        examine: msgpack::examine,
    },
    Format {
        name: "Orbax",
        extensions: &[],
        recognises: orbax::recognises,
        examine: orbax::examine,
    },
    Format {
        name: "Zarr",
        extensions: &[],
        recognises: zarr::recognises,
        examine: zarr::examine,
    },
    Format {
        name: "Torch",
        extensions: &["t7"],
        recognises: lua::recognises,
        examine: lua::examine,
    },
    Format {
        name: "llamafile",
        extensions: &["llamafile"],
        recognises: llamafile::recognises,
        examine: llamafile::examine,
    },
];
