//! What can go wrong in a step.

use std::io;
use std::path::PathBuf;

use safetensors::SafeTensorError;

use crate::image::ImageError;

/// Why a step, or loading a model, failed. Nothing is repaired or skipped silently.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StepError {
    /// No step has this name.
    #[error("there is no step {name:?}")]
    UnknownStep {
        /// The name asked for.
        name: String,
    },
    /// The step takes another number of input folders.
    #[error("step {step} takes {expected} input folder(s), not {found}")]
    WrongInputs {
        /// The step.
        step: &'static str,
        /// How many it takes.
        expected: usize,
        /// How many were given.
        found: usize,
    },
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file is longer than is read.
    #[error("{}: longer than the {limit} bytes allowed", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit in bytes.
        limit: u64,
    },
    /// A file is not the JSON that is expected.
    #[error("{}, record {line}: not the JSON expected: {source}", path.display())]
    NotJson {
        /// The file.
        path: PathBuf,
        /// Number of the record in a JSONL file, 1 in a JSON file.
        line: usize,
        /// What the parser says.
        source: serde_json::Error,
    },
    /// A line of a text file is not what is expected.
    #[error("{}, line {line}: {expected}", path.display())]
    BadLine {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is expected there.
        expected: &'static str,
    },
    /// A file is not the one whose digest was recorded (in `SHA256SUMS` or `records.jsonl`).
    #[error("{file}: sha256 is {found}, recorded is {expected}")]
    DigestChanged {
        /// The file.
        file: String,
        /// The recorded digest.
        expected: String,
        /// The digest of the file found.
        found: String,
    },
    /// The list of digests names a file that is not there.
    #[error("{file}: named in SHA256SUMS but missing")]
    FileMissing {
        /// The file.
        file: String,
    },
    /// A file lies in the raw folder that the list of digests does not name.
    #[error("{file}: not named in SHA256SUMS")]
    FileUnlisted {
        /// The file.
        file: String,
    },
    /// The picture of a record cannot be used.
    #[error("record {record}: {source}")]
    Image {
        /// Identifier of the record.
        record: String,
        /// What is wrong with it.
        source: ImageError,
    },
    /// A safetensors file is damaged.
    #[error("{}: not a whole safetensors file: {source}", path.display())]
    Tensors {
        /// The file.
        path: PathBuf,
        /// What the parser says.
        source: SafeTensorError,
    },
    /// A tensor is missing, or has another type, shape or content than expected.
    #[error("{}: tensor {tensor}: expected {expected}", path.display())]
    BadTensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// What is expected.
        expected: String,
    },
    /// The data do not hold together: counts, classes or parts.
    #[error("{what}: expected {expected}, found {found}")]
    Inconsistent {
        /// What was counted or compared.
        what: &'static str,
        /// The value expected.
        expected: String,
        /// The value found.
        found: String,
    },
}
