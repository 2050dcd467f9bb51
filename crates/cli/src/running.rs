//! Steps that run at the same time in one home. Each would see the products of the others appear
//! beside what it declared itself, and be refused; so each says here what it is going to write.
//!
//! An entry is a file that is locked as long as its step runs. It stays until no step runs any
//! more, because a step that runs longer still has to know what the ended one wrote.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::files::shown;
use crate::home::Home;
use crate::report::Failure;

/// Name of the file that is locked while entries are looked at.
const LOCK: &str = "lock";
/// Largest entry, in bytes.
const MAX_ENTRY: u64 = 1 << 20;
/// How often the lock is tried, and how long to wait in between: ten seconds in all.
const TRIES: (u32, Duration) = (200, Duration::from_millis(50));

/// This step, among those that run.
#[derive(Debug)]
pub struct Running {
    dir: PathBuf,
    entry: PathBuf,
    // Locked until this is dropped, also by the end of the process.
    file: File,
    // Entries of steps that had ended before this one began.
    ended: BTreeSet<PathBuf>,
}

impl Running {
    /// Begins a step. Comes before the look at what lies around it.
    pub fn begin(home: &Home) -> Result<Self, Failure> {
        home.create()?;
        let dir = home.spool().join("steps");
        let io = |error: &std::io::Error| Failure::io(shown(&dir), error);
        std::fs::create_dir_all(&dir).map_err(|error| io(&error))?;
        let _guard = guard(&dir)?;
        let (running, mut ended) = entries(&dir).map_err(|error| io(&error))?;
        if running.is_empty() {
            remove(&ended);
            ended.clear();
        }
        // One more name than there are entries: one of them is free.
        let taken = |path: &PathBuf| running.contains(path) || ended.contains(path);
        let entry = (0..=running.len().saturating_add(ended.len()))
            .map(|n| dir.join(format!("{n}.step")))
            .find(|path| !taken(path))
            .unwrap_or_else(|| dir.join("last.step"));
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&entry)
            .map_err(|error| io(&error))?;
        file.try_lock()
            .map_err(|error| io(&std::io::Error::other(error)))?;
        Ok(Self {
            dir,
            entry,
            file,
            ended,
        })
    }

    /// Says what the step is going to write.
    pub fn declares(&mut self, products: &[PathBuf]) -> Result<(), Failure> {
        let mut text = Vec::new();
        for product in products {
            text.extend_from_slice(product.as_os_str().as_bytes());
            text.push(0);
        }
        self.file
            .write_all(&text)
            .map_err(|error| Failure::io(shown(&self.entry), &error))
    }

    /// Returns what steps declared that ran at some time while this one did.
    pub fn beside(&self) -> Result<Vec<PathBuf>, Failure> {
        let io = |error: std::io::Error| Failure::io(shown(&self.dir), &error);
        let _guard = guard(&self.dir)?;
        let (running, ended) = entries(&self.dir).map_err(io)?;
        let mut paths = Vec::new();
        for entry in running.iter().chain(ended.difference(&self.ended)) {
            if *entry != self.entry {
                paths.extend(products(entry).map_err(io)?);
            }
        }
        Ok(paths)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Best effort: what stays is removed when the next step begins.
        let Ok(_guard) = guard(&self.dir) else {
            return;
        };
        let _ = self.file.unlock();
        if let Ok((running, ended)) = entries(&self.dir)
            && running.is_empty()
        {
            remove(&ended);
        }
    }
}

// One step at a time looks at the entries.
fn guard(dir: &Path) -> Result<File, Failure> {
    let path = dir.join(LOCK);
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(|error| Failure::io(shown(&path), &error))?;
    let (tries, pause) = TRIES;
    for _ in 0..tries {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => std::thread::sleep(pause),
            Err(TryLockError::Error(error)) => return Err(Failure::io(shown(&path), &error)),
        }
    }
    Err(Failure::undecided("E0401", "another step holds the home's lock").at(shown(&path)))
}

// Those of steps that run, and those of steps that ended.
fn entries(dir: &Path) -> std::io::Result<(BTreeSet<PathBuf>, BTreeSet<PathBuf>)> {
    let (mut running, mut ended) = (BTreeSet::new(), BTreeSet::new());
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_none_or(|ending| ending != "step") {
            continue;
        }
        match File::open(&path)?.try_lock_shared() {
            Ok(()) => ended.insert(path),
            Err(TryLockError::WouldBlock) => running.insert(path),
            Err(TryLockError::Error(error)) => return Err(error),
        };
    }
    Ok((running, ended))
}

fn products(entry: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut bytes = Vec::new();
    File::open(entry)?.take(MAX_ENTRY).read_to_end(&mut bytes)?;
    let paths = bytes.split(|byte| *byte == 0);
    Ok(paths
        .filter(|path| !path.is_empty())
        .map(|path| PathBuf::from(std::ffi::OsString::from_vec(path.to_vec())))
        .collect())
}

fn remove(entries: &BTreeSet<PathBuf>) {
    for entry in entries {
        // One that stays only makes a later step more lenient towards its products.
        let _ = std::fs::remove_file(entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::home::Origin;

    fn begin(home: &Home, product: &str) -> Running {
        let mut step = Running::begin(home).unwrap();
        step.declares(&[PathBuf::from(product)]).unwrap();
        step
    }

    #[test]
    fn a_step_knows_those_that_ran_beside_it_and_no_others() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path().join("home"), Origin::Flag);
        drop(begin(&home, "/earlier"));
        let long = begin(&home, "/long");
        assert!(long.beside().unwrap().is_empty());
        drop(begin(&home, "/short"));
        let late = begin(&home, "/late");
        assert_eq!(
            long.beside().unwrap(),
            [PathBuf::from("/late"), PathBuf::from("/short")]
        );
        // `short` had ended before `late` began.
        assert_eq!(late.beside().unwrap(), [PathBuf::from("/long")]);
        drop((long, late));
        let left = std::fs::read_dir(home.spool().join("steps")).unwrap();
        assert_eq!(left.count(), 1, "only the lock");
    }
}
