//! Files that hold tensors: headers that have to be right, and values that are bounded by them.

pub(crate) mod safetensors;
pub(crate) mod torch;

use crate::route::Format;

/// The lists that a verdict depends on.
pub(crate) static DATA: &[&str] = &[];

pub(crate) static FORMATS: &[Format] = &[Format {
    name: "safetensors",
    extensions: &["safetensors"],
    recognises: safetensors::recognises,
    examine: safetensors::examine,
}];
