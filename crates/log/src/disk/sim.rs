//! A disk in memory that loses what was not synced, for tests.
//!
//! It is harsher than any file system that is known to be in use: at a power cut every 512-byte
//! sector of every unsynced write is kept or lost by itself, every unsynced change of a name
//! likewise, and after a failed sync the lost data still read back as if all were well. Everything
//! follows from the seed.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Disk, DiskError, DiskFile, LockGuard, SYNC};

const SECTOR: usize = 512;

/// What goes wrong at a chosen call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// EIO. A failed sync loses the data but keeps showing them.
    Io,
    /// ENOSPC; a write may have written a part.
    Full,
    /// Every call fails from here on: the process is dead or the power is off.
    Stop,
}

/// The simulated disk; clones share one state.
#[derive(Clone)]
pub struct SimDisk {
    world: Arc<Mutex<World>>,
}

struct World {
    // What a running process sees.
    names: BTreeMap<String, usize>,
    files: Vec<File>,
    // What lasts, and the changes of names since.
    durable_names: BTreeMap<String, usize>,
    changes: Vec<Change>,
    calls: u64,
    faults: BTreeMap<u64, Fault>,
    full_from: Option<u64>,
    stopped: bool,
    random: Random,
    locked: bool,
}

#[derive(Default, Clone)]
struct File {
    shown: Vec<u8>,
    durable: Vec<u8>,
    // Writes since the last sync: offset and bytes.
    pending: Vec<(usize, Vec<u8>)>,
    // A sync of the whole disk lost some: the next sync of the file has to say so.
    lost: bool,
}

#[derive(Clone)]
enum Change {
    Link { path: String, file: usize },
    Unlink { path: String },
    Rename { from: String, to: String },
}

impl Change {
    fn folders(&self) -> [&str; 2] {
        match self {
            Self::Link { path, .. } | Self::Unlink { path } => [parent(path); 2],
            Self::Rename { from, to } => [parent(from), parent(to)],
        }
    }

    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Link { path, file } => {
                names.insert(path.clone(), *file);
            }
            Self::Unlink { path } => {
                names.remove(path);
            }
            Self::Rename { from, to } => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
        }
    }
}

impl SimDisk {
    /// Returns an empty disk.
    pub fn new(seed: u64) -> Self {
        Self::from_parts(BTreeMap::new(), Vec::new(), seed)
    }

    fn from_parts(names: BTreeMap<String, usize>, files: Vec<File>, seed: u64) -> Self {
        let world = World {
            durable_names: names.clone(),
            names,
            files,
            changes: Vec::new(),
            calls: 0,
            faults: BTreeMap::new(),
            full_from: None,
            stopped: false,
            random: Random(seed),
            locked: false,
        };
        Self {
            world: Arc::new(Mutex::new(world)),
        }
    }

    /// Lets the `call`-th changing call from now on fail, counted from 0.
    pub fn fail_at(&self, call: u64, fault: Fault) {
        let mut world = self.world();
        let at = world.calls.saturating_add(call);
        world.faults.insert(at, fault);
    }

    /// Lets every write from the `call`-th changing call on fail for lack of room, until
    /// [`SimDisk::make_room`].
    pub fn fill_at(&self, call: u64) {
        let mut world = self.world();
        world.full_from = Some(world.calls.saturating_add(call));
    }

    /// Ends what [`SimDisk::fill_at`] began.
    pub fn make_room(&self) {
        self.world().full_from = None;
    }

    /// Returns the number of changing calls so far.
    pub fn calls(&self) -> u64 {
        self.world().calls
    }

    /// Returns the disk as the next process finds it after this one was killed: nothing is lost.
    pub fn after_kill(&self) -> Self {
        let world = self.world();
        let next = Self::from_parts(world.names.clone(), world.files.clone(), world.random.0);
        let mut state = next.world();
        // The next process may never hear of it.
        state.files.iter_mut().for_each(|file| file.lost = false);
        state.durable_names.clone_from(&world.durable_names);
        state.changes.clone_from(&world.changes);
        drop(state);
        next
    }

    /// Returns the disk as it is found after a power cut, with losses that follow from `seed`.
    pub fn after_power_loss(&self, seed: u64) -> Self {
        let world = self.world();
        let mut random = Random(seed);
        // Some runs lose all, some nothing, most a part.
        let keep_of_8 = random.next() % 9;
        let mut names = world.durable_names.clone();
        for change in &world.changes {
            if random.next() % 8 < keep_of_8 {
                change.apply(&mut names);
            }
        }
        let files = world
            .files
            .iter()
            .map(|file| file.survive(&mut random, keep_of_8))
            .collect();
        Self::from_parts(names, files, random.0)
    }

    /// Overwrites a part of a file behind everybody's back: bit rot, or an attacker.
    pub fn corrupt(&self, path: &str, offset: usize, bytes: &[u8]) {
        let mut world = self.world();
        let Some(file) = world.names.get(path).copied() else {
            return;
        };
        if let Some(file) = world.files.get_mut(file) {
            put(&mut file.shown, offset, bytes);
            put(&mut file.durable, offset, bytes);
        }
    }

    /// Returns all file names.
    pub fn paths(&self) -> Vec<String> {
        self.world().names.keys().cloned().collect()
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimDisk({} calls)", self.calls())
    }
}

impl File {
    fn survive(&self, random: &mut Random, keep_of_8: u64) -> Self {
        let mut durable = self.durable.clone();
        for (offset, bytes) in &self.pending {
            let mut at = *offset;
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                let room = SECTOR.saturating_sub(at % SECTOR).min(rest.len());
                let (part, after) = rest.split_at(room);
                if random.next() % 8 < keep_of_8 {
                    put(&mut durable, at, part);
                }
                at = at.saturating_add(room);
                rest = after;
            }
        }
        Self {
            shown: durable.clone(),
            durable,
            pending: Vec::new(),
            lost: false,
        }
    }

    // Only what was written since the last sync, successful or not, reaches the disk.
    fn sync(&mut self) {
        for (offset, bytes) in std::mem::take(&mut self.pending) {
            put(&mut self.durable, offset, &bytes);
        }
    }
}

impl World {
    // Counts a changing call; the fault that strikes it, if any.
    fn call(&mut self, operation: &'static str, path: &str) -> Result<(), DiskError> {
        let call = self.calls;
        self.calls = call.saturating_add(1);
        if self.stopped {
            return Err(fail(operation, path, 5));
        }
        let grows = matches!(operation, "write" | "open");
        if grows && self.full_from.is_some_and(|from| call >= from) {
            return Err(fail(operation, path, 28));
        }
        match self
            .faults
            .remove(&call)
            .filter(|fault| grows || *fault != Fault::Full)
        {
            // Only what takes room can find none; elsewhere that fault passes.
            None => Ok(()),
            Some(Fault::Io) => Err(fail(operation, path, 5)),
            Some(Fault::Full) => Err(fail(operation, path, 28)),
            Some(Fault::Stop) => {
                self.stopped = true;
                Err(fail(operation, path, 5))
            }
        }
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.names);
        self.changes.push(change);
    }

    fn create(&mut self, path: &str) -> usize {
        let file = self.files.len();
        self.files.push(File::default());
        self.change(Change::Link {
            path: path.to_owned(),
            file,
        });
        file
    }

    fn put(&mut self, file: usize, offset: usize, bytes: &[u8]) {
        if let Some(file) = self.files.get_mut(file) {
            put(&mut file.shown, offset, bytes);
            file.pending.push((offset, bytes.to_vec()));
        }
    }

    // A write that fails may have been done in part.
    fn put_part(&mut self, file: usize, offset: usize, bytes: &[u8]) {
        let limit = u64::try_from(bytes.len()).unwrap_or(0).saturating_add(1);
        let len = usize::try_from(self.random.next() % limit).unwrap_or(0);
        let part = bytes.get(..len).unwrap_or_default().to_vec();
        self.put(file, offset, &part);
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &str, create: bool) -> Result<Box<dyn DiskFile>, DiskError> {
        let mut world = self.world();
        if world.stopped {
            return Err(fail("open", path, 5));
        }
        let file = match world.names.get(path).copied() {
            Some(file) => file,
            None if create => {
                world.call("open", path)?;
                world.create(path)
            }
            None => return Err(fail("open", path, 2)),
        };
        Ok(Box::new(SimFile {
            world: Arc::clone(&self.world),
            file,
            path: path.to_owned(),
        }))
    }

    fn read(&self, path: &str, limit: usize) -> Result<Vec<u8>, DiskError> {
        let world = self.world();
        if world.stopped {
            return Err(fail("read", path, 5));
        }
        let file = world.names.get(path).ok_or_else(|| fail("read", path, 2))?;
        let bytes = world
            .files
            .get(*file)
            .map(|file| file.shown.clone())
            .unwrap_or_default();
        if bytes.len() > limit {
            Err(fail("read", path, 27))
        } else {
            Ok(bytes)
        }
    }

    fn write(&self, path: &str, bytes: &[u8]) -> Result<(), DiskError> {
        let mut world = self.world();
        if world.stopped {
            return Err(fail("write", path, 5));
        }
        let outcome = world.call("write", path);
        // Emptying an old file is modelled as a new file under the old name.
        let file = world.create(path);
        match outcome {
            Ok(()) => world.put(file, 0, bytes),
            Err(_) => world.put_part(file, 0, bytes),
        }
        outcome
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), DiskError> {
        let mut world = self.world();
        world.call("rename", to)?;
        if !world.names.contains_key(from) {
            return Err(fail("rename", from, 2));
        }
        world.change(Change::Rename {
            from: from.to_owned(),
            to: to.to_owned(),
        });
        Ok(())
    }

    fn remove(&self, path: &str) -> Result<(), DiskError> {
        let mut world = self.world();
        world.call("remove", path)?;
        let below = format!("{path}/");
        if world.names.keys().any(|name| name.starts_with(&below)) {
            return Err(fail("remove", path, 39));
        }
        if world.names.contains_key(path) {
            world.change(Change::Unlink {
                path: path.to_owned(),
            });
        }
        Ok(())
    }

    fn list(&self, dir: &str) -> Result<Vec<String>, DiskError> {
        let world = self.world();
        if world.stopped {
            return Err(fail("list", dir, 5));
        }
        let below = format!("{dir}/");
        let names = world
            .names
            .keys()
            .filter_map(|name| name.strip_prefix(&below));
        let mut names: Vec<String> = names
            .map(|name| name.split('/').next().unwrap_or_default().to_owned())
            .collect();
        names.dedup();
        Ok(names)
    }

    fn sync_dir(&self, dir: &str) -> Result<(), DiskError> {
        let mut world = self.world();
        world.call(SYNC, dir)?;
        let changes = std::mem::take(&mut world.changes);
        for change in changes {
            if change.folders().contains(&dir) {
                change.apply(&mut world.durable_names);
            } else {
                world.changes.push(change);
            }
        }
        Ok(())
    }

    fn sync_all(&self) -> Result<(), DiskError> {
        let mut world = self.world();
        let outcome = world.call(SYNC, "");
        if world.stopped {
            // A power cut in a sync leaves the outcome open.
            return outcome;
        }
        if outcome.is_err() {
            // The pages count as clean now although nothing was written.
            for file in &mut world.files {
                file.lost |= !std::mem::take(&mut file.pending).is_empty();
            }
            world.changes.clear();
            return outcome;
        }
        world.files.iter_mut().for_each(File::sync);
        world.changes.clear();
        world.durable_names = world.names.clone();
        Ok(())
    }

    fn lock(&self, _wait_ms: u64) -> Result<Option<LockGuard>, DiskError> {
        let mut world = self.world();
        if world.stopped {
            return Err(fail("lock", "", 5));
        }
        if std::mem::replace(&mut world.locked, true) {
            return Ok(None);
        }
        let held = Held(Arc::clone(&self.world));
        Ok(Some(LockGuard::new(Box::new(held))))
    }
}

struct Held(Arc<Mutex<World>>);

impl Drop for Held {
    fn drop(&mut self) {
        let mut world = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        world.locked = false;
    }
}

struct SimFile {
    world: Arc<Mutex<World>>,
    file: usize,
    path: String,
}

impl SimFile {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DiskFile for SimFile {
    fn size(&self) -> Result<u64, DiskError> {
        let world = self.world();
        let len = world
            .files
            .get(self.file)
            .map_or(0, |file| file.shown.len());
        Ok(u64::try_from(len).unwrap_or(u64::MAX))
    }

    fn read_at(&self, offset: u64, len: usize) -> Result<Vec<u8>, DiskError> {
        let world = self.world();
        if world.stopped {
            return Err(fail("read", &self.path, 5));
        }
        let shown = world.files.get(self.file).map(|file| file.shown.as_slice());
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = shown.unwrap_or_default().get(offset..).unwrap_or_default();
        Ok(rest.get(..len).unwrap_or(rest).to_vec())
    }

    fn write_at(&self, offset: u64, parts: &[&[u8]]) -> Result<(), DiskError> {
        let bytes = &parts.concat();
        let mut world = self.world();
        if world.stopped {
            return Err(fail("write", &self.path, 5));
        }
        let outcome = world.call("write", &self.path);
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        match &outcome {
            Ok(()) => world.put(self.file, offset, bytes),
            // The process that stops in a write may have done a part of it.
            Err(_) => world.put_part(self.file, offset, bytes),
        }
        outcome
    }

    fn sync_data(&self) -> Result<(), DiskError> {
        let mut world = self.world();
        let mut outcome = world.call(SYNC, &self.path);
        let stopped = world.stopped;
        let Some(file) = world.files.get_mut(self.file) else {
            return outcome;
        };
        if std::mem::take(&mut file.lost) && outcome.is_ok() {
            outcome = Err(fail(SYNC, &self.path, 5));
        }
        match &outcome {
            Ok(()) => file.sync(),
            // A power cut in a sync leaves the outcome open; a failed sync forgets.
            Err(_) if stopped => {}
            Err(_) => file.pending.clear(),
        }
        outcome
    }
}

fn put(bytes: &mut Vec<u8>, offset: usize, part: &[u8]) {
    let end = offset.saturating_add(part.len());
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    if let Some(place) = bytes.get_mut(offset..end) {
        place.copy_from_slice(part);
    }
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(dir, _)| dir)
}

fn fail(operation: &'static str, path: &str, code: i32) -> DiskError {
    DiskError::new(operation, path, &io::Error::from_raw_os_error(code))
}

// SplitMix64: small, and good enough to choose what is lost.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn synced_data_last_and_the_rest_may_not() {
        let mut lost = 0;
        for seed in 0..64 {
            let disk = SimDisk::new(seed);
            let file = disk.open("wal", true).unwrap();
            file.write_at(0, &[&[1; 4096]]).unwrap();
            file.sync_data().unwrap();
            disk.sync_dir("").unwrap();
            file.write_at(4096, &[&[2; 1024], &[2; 3072]]).unwrap();
            disk.write("name", b"x").unwrap();
            let after = disk.after_power_loss(seed);
            let bytes = after.read("wal", 1 << 20).unwrap();
            assert_eq!(bytes[..4096], [1; 4096]);
            lost += usize::from(bytes.len() < 8192 || bytes[4096..].contains(&0));
            assert_eq!(disk.after_kill().read("wal", 1 << 20).unwrap().len(), 8192);
        }
        assert!((8..64).contains(&lost), "{lost}");
    }

    #[test]
    fn a_rename_without_a_synced_folder_may_be_forgotten() {
        let mut seen = [0; 2];
        for seed in 0..64 {
            let disk = SimDisk::new(seed);
            disk.write("a", b"old").unwrap();
            disk.sync_all().unwrap();
            disk.write("a.tmp", b"new").unwrap();
            disk.rename("a.tmp", "a").unwrap();
            let after = disk.after_power_loss(seed);
            seen[usize::from(after.read("a", 9).unwrap() == b"old")] += 1;
        }
        assert!(seen.iter().all(|n| *n > 4), "{seen:?}");
    }

    #[test]
    fn a_failed_sync_shows_data_that_are_not_there() {
        let disk = SimDisk::new(1);
        let file = disk.open("wal", true).unwrap();
        disk.sync_dir("").unwrap();
        file.write_at(0, &[b"data"]).unwrap();
        disk.fail_at(0, Fault::Io);
        assert!(file.sync_data().unwrap_err().is_sync());
        file.sync_data().unwrap();
        assert_eq!(disk.read("wal", 9).unwrap(), b"data");
        assert_eq!(disk.after_kill().read("wal", 9).unwrap(), b"data");
        assert_eq!(disk.after_power_loss(8).read("wal", 9).unwrap(), b"");
        file.write_at(0, &[b"data"]).unwrap();
        file.sync_data().unwrap();
        assert_eq!(disk.after_power_loss(8).read("wal", 9).unwrap(), b"data");
    }
}
