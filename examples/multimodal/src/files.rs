//! Reading and writing files, with limits and with the path in every error.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::error::StepError;

/// No file of the pipeline is longer.
pub(crate) const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;
/// No JSONL file or list has more lines.
pub(crate) const MAX_LINES: usize = 100_000;

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, StepError> {
    let io = |source| StepError::Io {
        path: path.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(io)?;
    file.take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(io)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_FILE_BYTES {
        return Err(StepError::TooLarge {
            path: path.to_owned(),
            limit: MAX_FILE_BYTES,
        });
    }
    Ok(bytes)
}

pub(crate) fn read_text(path: &Path) -> Result<String, StepError> {
    String::from_utf8(read(path)?).map_err(|_| StepError::BadLine {
        path: path.to_owned(),
        line: 1,
        expected: "the file must be UTF-8",
    })
}

pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), StepError> {
    let io = |source| StepError::Io {
        path: path.to_owned(),
        source,
    };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(io)?;
    }
    fs::write(path, bytes).map_err(io)
}

pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, StepError> {
    serde_json::from_slice(&read(path)?).map_err(|source| not_json(path, 1, source))
}

pub(crate) fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), StepError> {
    let json = serde_json::to_string_pretty(value).map_err(|source| not_json(path, 1, source))?;
    write(path, (json + "\n").as_bytes())
}

pub(crate) fn read_jsonl<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, StepError> {
    let text = read_text(path)?;
    let mut values = Vec::new();
    for (at, line) in text.lines().enumerate() {
        if at >= MAX_LINES {
            let expected = "no more than 100,000 lines";
            return Err(StepError::BadLine {
                path: path.to_owned(),
                line: at + 1,
                expected,
            });
        }
        let value = serde_json::from_str(line).map_err(|e| not_json(path, at + 1, e))?;
        values.push(value);
    }
    Ok(values)
}

/// Returns one compact JSON line for each value, without line ends.
pub(crate) fn json_lines<T: Serialize>(path: &Path, all: &[T]) -> Result<Vec<String>, StepError> {
    let line = |(at, value)| serde_json::to_string(value).map_err(|e| not_json(path, at + 1, e));
    all.iter().enumerate().map(line).collect()
}

pub(crate) fn write_jsonl<T: Serialize>(path: &Path, values: &[T]) -> Result<(), StepError> {
    let mut text = json_lines(path, values)?.join("\n");
    text.push('\n');
    write(path, text.as_bytes())
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn not_json(path: &Path, line: usize, source: serde_json::Error) -> StepError {
    StepError::NotJson {
        path: path.to_owned(),
        line,
        source,
    }
}
