//! Safetensors files, written and read without a cast of memory.
//!
//! A header keeps at most one metadata entry: with more, their order would follow a hash table that
//! is seeded anew in each process, and the same training would give other bytes.
//! Format: [safetensors](https://github.com/huggingface/safetensors#format).

use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView, View};

use crate::error::StepError;

/// A tensor to be written.
#[derive(Debug, Clone)]
pub(crate) struct Tensor {
    dtype: Dtype,
    shape: Vec<usize>,
    data: Vec<u8>,
}

impl Tensor {
    pub(crate) fn f32(shape: Vec<usize>, values: &[f32]) -> Self {
        let data = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Self {
            dtype: Dtype::F32,
            shape,
            data,
        }
    }

    pub(crate) fn u32(values: &[u32]) -> Self {
        let data = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Self {
            dtype: Dtype::U32,
            shape: vec![values.len()],
            data,
        }
    }

    pub(crate) fn u8(shape: Vec<usize>, data: Vec<u8>) -> Self {
        Self {
            dtype: Dtype::U8,
            shape,
            data,
        }
    }
}

impl View for Tensor {
    fn dtype(&self) -> Dtype {
        self.dtype
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> std::borrow::Cow<'_, [u8]> {
        self.data.as_slice().into()
    }
    fn data_len(&self) -> usize {
        self.data.len()
    }
}

/// Returns the bytes of a file with these tensors and perhaps one metadata entry.
pub(crate) fn encode(
    path: &Path,
    tensors: Vec<(&str, Tensor)>,
    metadata: Option<(&str, String)>,
) -> Result<Vec<u8>, StepError> {
    let metadata = metadata.map(|(key, value)| [(key.to_owned(), value)].into_iter().collect());
    safetensors::serialize(tensors, metadata).map_err(|source| StepError::Tensors {
        path: path.to_owned(),
        source,
    })
}

/// A safetensors file being read; the path is for errors.
#[derive(Debug)]
pub(crate) struct TensorFile<'a> {
    path: &'a Path,
    tensors: SafeTensors<'a>,
    bytes: &'a [u8],
}

impl<'a> TensorFile<'a> {
    pub(crate) fn parse(path: &'a Path, bytes: &'a [u8]) -> Result<Self, StepError> {
        let tensors = SafeTensors::deserialize(bytes).map_err(|source| StepError::Tensors {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            path,
            tensors,
            bytes,
        })
    }

    pub(crate) fn metadata(&self, key: &str) -> Result<String, StepError> {
        let (_, header) =
            SafeTensors::read_metadata(self.bytes).map_err(|source| StepError::Tensors {
                path: self.path.to_owned(),
                source,
            })?;
        let value = header.metadata().as_ref().and_then(|m| m.get(key).cloned());
        value.ok_or_else(|| self.bad("__metadata__", format!("an entry {key:?}")))
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        self.tensors.names()
    }

    fn view(&self, name: &str, dtype: Dtype) -> Result<TensorView<'a>, StepError> {
        let view = self
            .tensors
            .tensor(name)
            .ok()
            .filter(|v| v.dtype() == dtype);
        view.ok_or_else(|| self.bad(name, format!("a tensor of type {dtype:?}")))
    }

    /// Reads a tensor whose shape must be `shape` and whose numbers must all be finite.
    pub(crate) fn f32(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, StepError> {
        let view = self.view(name, Dtype::F32)?;
        if view.shape() != shape {
            return Err(self.bad(name, format!("shape {shape:?}")));
        }
        let (words, _) = view.data().as_chunks::<4>();
        let values: Vec<f32> = words.iter().map(|w| f32::from_le_bytes(*w)).collect();
        if values.iter().all(|v| v.is_finite()) {
            Ok(values)
        } else {
            Err(self.bad(name, "finite numbers".to_owned()))
        }
    }

    pub(crate) fn u32(&self, name: &str) -> Result<Vec<u32>, StepError> {
        let (words, _) = self.view(name, Dtype::U32)?.data().as_chunks::<4>();
        Ok(words.iter().map(|w| u32::from_le_bytes(*w)).collect())
    }

    /// Reads bytes whose shape after the first dimension must be `inner`.
    pub(crate) fn u8(&self, name: &str, inner: &[usize]) -> Result<&'a [u8], StepError> {
        let view = self.view(name, Dtype::U8)?;
        if view.shape().get(1..) == Some(inner) {
            Ok(view.data())
        } else {
            Err(self.bad(name, format!("shape [n, {inner:?}]")))
        }
    }

    pub(crate) fn bad(&self, tensor: &str, expected: String) -> StepError {
        StepError::BadTensor {
            path: self.path.to_owned(),
            tensor: tensor.to_owned(),
            expected,
        }
    }
}
