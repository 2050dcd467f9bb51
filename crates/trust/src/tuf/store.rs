//! What is kept of a trust root between updates: metadata under fixed names in one folder, and
//! beside it the files that it delivers. No name from outside ever becomes a path.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use super::error::TufError;
use super::metadata::{Role, Signed, Targets};
use super::trusted::Trusted;
use super::{MAX_ROOT, MAX_SNAPSHOT, MAX_TARGETS, MAX_TIMESTAMP, is_target_name};

/// The metadata of one trust root, in a folder.
#[derive(Debug, Clone)]
pub struct Store {
    dir: PathBuf,
}

impl Store {
    /// Returns the store in `dir`, which need not be there yet. What the root delivers lies in
    /// the folder above.
    pub const fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Returns the folder of the metadata.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Begins with a root.
    pub fn begin(&self, trusted: &Trusted) -> Result<(), TufError> {
        fs::create_dir_all(&self.dir).map_err(|error| storage(&self.dir, &error))?;
        self.write(Role::Root, trusted.root_bytes())
    }

    /// Returns the root that is believed, verified; `None` if there is none.
    pub fn load_root(&self) -> Result<Option<Trusted>, TufError> {
        self.read(Role::Root)?
            .map(|bytes| Trusted::from_root(&bytes))
            .transpose()
            .map_err(|error| self.damaged(Role::Root, error))
    }

    /// Returns everything that is believed, verified but for its age; `None` if there is no root.
    ///
    /// An update that was interrupted leaves older files beside newer ones, and what keys signed
    /// that a new root took away; this is no damage, and the latter is not believed.
    pub fn load(&self) -> Result<Option<Trusted>, TufError> {
        let Some(mut trusted) = self.load_root()? else {
            return Ok(None);
        };
        for role in [Role::Timestamp, Role::Snapshot, Role::Targets] {
            let Some(bytes) = self.read(role)? else {
                continue;
            };
            let recalled = match role {
                Role::Timestamp => trusted.recall_timestamp(&bytes),
                Role::Snapshot => trusted.recall_snapshot(&bytes),
                _ => trusted.recall_targets(&bytes),
            };
            match recalled {
                Ok(()) | Err(TufError::Threshold { .. }) => {}
                Err(error) => return Err(self.damaged(role, error)),
            }
        }
        Ok(Some(trusted))
    }

    /// Returns true if the metadata here names a file. Nothing is verified: this only tells that
    /// something that should be here was taken away. Metadata that cannot be read, or that was
    /// taken away itself, is an error: it could name the file.
    pub fn names_target(&self, name: &str) -> Result<bool, TufError> {
        match self.read(Role::Targets)? {
            Some(bytes) => Signed::<Targets>::parse(&bytes)
                .map(|targets| targets.content().targets.contains_key(name))
                .map_err(|error| self.damaged(Role::Targets, error)),
            // An update writes the snapshot first, and what the targets name last.
            None if self.read(Role::Snapshot)?.is_none() => Ok(false),
            None => Err(TufError::NotThere {
                path: self.dir.join(Role::Targets.file()).display().to_string(),
            }),
        }
    }

    /// Returns a delivered file, if it is here and is what is signed.
    pub fn target(&self, trusted: &Trusted, name: &str) -> Result<Option<Vec<u8>>, TufError> {
        let limit = trusted.target(name)?.length;
        let bytes = match read(&self.target_path(name)?, limit) {
            // Longer than what is signed now: an older version of it.
            Err(TufError::TooLarge { .. }) => None,
            read => read?,
        };
        Ok(bytes.filter(|bytes| trusted.check_target(name, bytes).is_ok()))
    }

    pub(super) fn write_target(&self, name: &str, bytes: &[u8]) -> Result<(), TufError> {
        write(&self.target_path(name)?, bytes)
    }

    fn target_path(&self, name: &str) -> Result<PathBuf, TufError> {
        if !is_target_name(name) {
            let name = name.chars().filter(|c| !c.is_control()).take(80).collect();
            return Err(TufError::Name { name });
        }
        Ok(self.dir.parent().unwrap_or(&self.dir).join(name))
    }

    pub(super) fn read(&self, role: Role) -> Result<Option<Vec<u8>>, TufError> {
        read(&self.dir.join(role.file()), limit_of(role)).map_err(|error| self.damaged(role, error))
    }

    pub(super) fn remove(&self, role: Role) -> Result<(), TufError> {
        let path = self.dir.join(role.file());
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(storage(&path, &error))
            }
            _ => Ok(()),
        }
    }

    // Of a file here; one that a source offers is judged by what is wrong with it.
    pub(super) fn damaged(&self, role: Role, error: TufError) -> TufError {
        if matches!(error, TufError::Storage { .. }) {
            return error;
        }
        TufError::Damaged {
            path: self.dir.join(role.file()).display().to_string(),
            error: Box::new(error),
        }
    }

    pub(super) fn write(&self, role: Role, bytes: &[u8]) -> Result<(), TufError> {
        write(&self.dir.join(role.file()), bytes)
    }
}

pub(super) const fn limit_of(role: Role) -> u64 {
    match role {
        Role::Root => MAX_ROOT,
        Role::Timestamp => MAX_TIMESTAMP,
        Role::Snapshot => MAX_SNAPSHOT,
        Role::Targets => MAX_TARGETS,
    }
}

/// Reads a file of at most `limit` bytes; `None` if it is not there.
pub(super) fn read(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, TufError> {
    let file = match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(|error| storage(path, &error))?,
    };
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| storage(path, &error))?;
    if super::source::over(&bytes, limit) {
        let path = path.display().to_string();
        return Err(TufError::TooLarge { path, limit });
    }
    Ok(Some(bytes))
}

/// Writes a file durably and all at once.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), TufError> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = dir.join(format!(".{name}.{}.tmp", std::process::id()));
    let outcome = (|| {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_data()?;
        fs::rename(&temporary, path)?;
        File::open(dir)?.sync_all()
    })();
    if outcome.is_err() {
        // Best effort: what is left behind is a hidden file that nothing reads.
        let _ = fs::remove_file(&temporary);
    }
    outcome.map_err(|error| storage(path, &error))
}

pub(super) fn storage(path: &Path, error: &std::io::Error) -> TufError {
    TufError::Storage {
        path: path.display().to_string(),
        kind: error.kind(),
        message: error.to_string(),
    }
}
