//! What follows a durable record: its tiles and bundles, then the checkpoint over them.
//!
//! Nothing here is synced; recovery derives all of it from the write-ahead log. It is the second
//! half of a commit, with a lock of its own, so that the next commit can write its record
//! meanwhile. Publications happen in the sequence of their records: whoever has written a record
//! takes the [`Turn`] before the writer goes to the next one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};

use crate::disk::Disk;
use crate::reader::Head;
use crate::recorder::RecordError;
use crate::recover;
use crate::tile::TilePath;
use crate::tree::{self, TreeFile};

/// Writes the files of a log.
#[derive(Debug)]
pub(crate) struct Publisher {
    turn: Mutex<Turn>,
    // Size of the tree whose files and checkpoint are all in place.
    published: AtomicU64,
}

/// The right to publish.
#[derive(Debug)]
pub(crate) struct Turn {
    disk: Arc<dyn Disk>,
    // Full tiles whose partial versions can go after the next checkpoint.
    replaced: Vec<TilePath>,
    // Why the last publication failed: the files are behind until the log was recovered.
    failed: Option<RecordError>,
}

/// What a commit leaves to be published.
#[derive(Debug)]
pub(crate) struct Publication {
    pub(crate) files: Vec<TreeFile>,
    pub(crate) head: Arc<Head>,
    /// Sizes of the trees that recovery may start from: their partial tiles stay.
    pub(crate) bases: [Option<u64>; 2],
    /// Such sizes that are needed no more.
    pub(crate) retired: Vec<u64>,
}

impl Publisher {
    pub(crate) fn new(disk: Arc<dyn Disk>) -> Self {
        let turn = Turn {
            disk,
            replaced: Vec::new(),
            failed: None,
        };
        Self {
            turn: Mutex::new(turn),
            published: AtomicU64::new(0),
        }
    }

    /// Waits until all publications so far are done.
    pub(crate) fn turn(&self) -> Result<MutexGuard<'_, Turn>, RecordError> {
        // A thread died while it wrote files, so its callers were told to end the process.
        self.turn.lock().map_err(|_| RecordError::died())
    }

    /// Returns true if a publication failed since the last recovery; does not wait for one that is
    /// at work.
    pub(crate) fn has_failed(&self) -> Result<bool, RecordError> {
        match self.turn.try_lock() {
            Ok(turn) => Ok(turn.failed.is_some()),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Poisoned(_)) => Err(RecordError::died()),
        }
    }

    /// Returns the size of the tree whose files and checkpoint are all in place.
    pub(crate) fn published(&self) -> u64 {
        self.published.load(Ordering::Acquire)
    }

    /// Publishes a commit; a failure stays until [`Publisher::recovered`].
    pub(crate) fn publish(
        &self,
        turn: &mut Turn,
        publication: Publication,
    ) -> Result<(), RecordError> {
        turn.check()?;
        let size = publication.head.size;
        let outcome = turn.publish(publication);
        match &outcome {
            Ok(()) => self.published.store(size, Ordering::Release),
            Err(error) => turn.failed = Some(error.clone()),
        }
        outcome
    }

    /// Notes that recovery has put all files of the tree of `size` entries in place.
    pub(crate) fn recovered(&self, turn: &mut Turn, size: u64) {
        turn.failed = None;
        turn.replaced.clear();
        self.published.store(size, Ordering::Release);
    }
}

impl Turn {
    /// Returns the error of a publication that failed.
    pub(crate) fn check(&self) -> Result<(), RecordError> {
        self.failed.clone().map_or(Ok(()), Err)
    }

    /// Writes files ahead of their checkpoint.
    pub(crate) fn write(&mut self, files: Vec<TreeFile>) -> Result<(), RecordError> {
        for file in files {
            self.disk.write(&file.path.to_string(), &file.bytes)?;
            if file.replaces_partials {
                self.replaced.push(file.path);
            }
        }
        Ok(())
    }

    fn publish(&mut self, publication: Publication) -> Result<(), RecordError> {
        let Publication {
            files,
            head,
            bases,
            retired,
        } = publication;
        self.write(files)?;
        recover::publish(&self.disk, &head.checkpoint)?;
        for full in self.replaced.drain(..) {
            recover::drop_partials(&self.disk, &full, &bases);
        }
        for retired in retired {
            self.retire(retired, &head, &bases);
        }
        Ok(())
    }

    // Drops the partial tiles that only the tree of `retired` entries needed.
    fn retire(&self, retired: u64, head: &Head, bases: &[Option<u64>]) {
        for path in tree::partials(retired) {
            let full = path.to_full();
            // As long as the full tile is not there, the partial ones are all there is.
            if full.end().is_some_and(|end| end <= head.size) {
                recover::drop_partials(&self.disk, &full, bases);
            }
        }
    }
}
