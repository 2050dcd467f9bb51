//! The vendored data, built into the library.

use std::path::Path;

use crate::error::StepError;
use crate::files;

mod table {
    include!(concat!(env!("OUT_DIR"), "/raw_files.rs"));
}

/// How much raw data was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RawData {
    /// Number of files.
    pub files: usize,
    /// Their length together.
    pub bytes: usize,
}

/// Writes the raw data into `folder` as they lie in the repository under `data/`.
///
/// ```
/// let folder = tempfile::tempdir()?;
/// let written = custos_multimodal::write_raw_data(folder.path())?;
/// assert!(written.files > 1_000 && folder.path().join("SHA256SUMS").exists());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write_raw_data(folder: &Path) -> Result<RawData, StepError> {
    for (name, bytes) in table::FILES {
        files::write(&folder.join(name), bytes)?;
    }
    let bytes = table::FILES.iter().map(|(_, bytes)| bytes.len()).sum();
    Ok(RawData {
        files: table::FILES.len(),
        bytes,
    })
}
