//! Store and forward: what was signed while a log or a timestamp authority was away.
//!
//! A signature that cannot be completed now is kept whole, durable and by itself in
//! `spool/pending/`, if `[signing] pending_hours` of the settings allows that, and `custos log
//! flush` completes it later: timestamps first, then the logs of the signing configuration, then
//! the home's own. Each is one file, written under another name first, so that a crash leaves all
//! of it or nothing; what a service gave is written there before the next one is asked, and the
//! file is removed only when the home's log has acknowledged it and the store has it. Logging a
//! leaf twice is harmless: a log answers with its old index, or holds the same entry again.
//!
//! Until then it is *pending*: no fact, and no proof of anything but the signature and the
//! timestamps that it has. Policies see it as such.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use custos_core::bundle::Bundle;
use custos_core::clock::Timestamp;
use custos_core::digest::{Algorithm, Digest};
use custos_core::dsse::Base64;
use custos_core::json;
use custos_core::limits::Limits;
use custos_trust::keyless::{Description, Progress};
use custos_trust::seal::Part;
use serde::{Deserialize, Serialize};

use crate::files::{read_bytes, shown, write_atomic};
use crate::home::Home;
use crate::report::Failure;

mod flush;

pub use flush::{Flush, drafts, flush};

const SCHEMA: &str = "custos.spool/1";
/// Largest file of the spool: a bundle in base64.
const MAX_FILE: u64 = 200 << 20;
const LIMITS: Limits = Limits::BUNDLE.with_max_bytes(200 << 20);
/// Most statements that wait at a time; beyond it nothing more is signed for later.
pub const MAX_PENDING: usize = 10_000;
const ENDING: &str = "json";
const HOUR: i64 = 3_600_000_000;
/// How long another command is waited for, and how often it is looked whether it is done.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(10);

/// A statement that is signed and not logged yet.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Pending {
    schema: String,
    // The bundle as it was signed, with neither timestamps nor log entries.
    bundle: Base64,
    // What logs are to take.
    leaf: Base64,
    /// When it was signed, by the clock of this machine.
    pub signed_at: Timestamp,
    /// By when it has to be logged.
    pub log_by: Timestamp,
    // Services that are to stamp and log it, besides the home's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    services: Option<Description>,
    #[serde(default)]
    progress: Progress,
    // Files that hold the bundle, and get the complete one.
    #[serde(default)]
    files: Vec<Held>,
}

/// A file, and the digest of the bundle that was written to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Held {
    path: PathBuf,
    digest: Digest,
}

/// By when something is to be logged.
#[derive(Debug, Clone, Copy)]
pub struct Term {
    /// Now.
    pub from: Timestamp,
    /// How long it may take.
    pub hours: u32,
}

impl Pending {
    /// Returns a signature that has to be logged within some hours.
    pub fn new(part: &Part, services: Option<&Description>, term: Term) -> Result<Self, Failure> {
        let hours = HOUR.saturating_mul(i64::from(term.hours));
        Ok(Self {
            schema: SCHEMA.to_owned(),
            bundle: Base64(bytes_of(&part.bundle)?),
            leaf: Base64(part.leaf.clone()),
            signed_at: term.from,
            log_by: term.from.plus_micros(hours),
            services: services.cloned(),
            progress: part.progress.clone(),
            files: Vec::new(),
        })
    }

    /// Returns the bundle as it is now: with the timestamps that it has, and no log entry.
    pub fn current(&self) -> Result<Vec<u8>, Failure> {
        if self.progress.stamps.is_empty() {
            return Ok(self.bundle.0.clone());
        }
        bytes_of(&self.progress.stamped(&self.parsed()?))
    }

    /// Returns the digest of the leaf, by which the spool knows it.
    pub fn leaf(&self) -> Digest {
        Algorithm::Sha256.digest(self.leaf.as_slice())
    }

    fn parsed(&self) -> Result<Bundle, Failure> {
        Bundle::parse(self.bundle.as_slice()).map_err(|error| {
            Failure::undecided("E0408", "a statement that waits for the log cannot be read")
                .because(error.to_string())
        })
    }

    fn save(&self, home: &Home) -> Result<(), Failure> {
        let bytes = json::to_vec(self).map_err(|e| Failure::internal(&e.to_string()))?;
        write_atomic(&place(home, &self.leaf()), &bytes)
    }
}

/// The right to put something into the spool, and to say which files hold it. As long as somebody
/// has it, nothing new is taken out.
#[derive(Debug)]
pub struct Filling {
    home: Home,
    // Where nobody locks, files that were not noted yet might miss their log entry: a nuisance,
    // and no reason to lose a signature.
    _lock: Option<File>,
}

impl Filling {
    /// Begins.
    pub fn begin(home: &Home) -> Result<Self, Failure> {
        let dir = folder(home);
        std::fs::create_dir_all(&dir).map_err(|error| Failure::io(shown(&dir), &error))?;
        Ok(Self {
            home: home.clone(),
            _lock: lock(home, "filling.lock").ok(),
        })
    }

    /// Keeps a signature, and returns it as it waits; when this returns, no crash takes it away.
    /// One that waits already goes on waiting: signing again makes no promise longer.
    pub fn keep(&self, pending: Pending) -> Result<Pending, Failure> {
        let path = place(&self.home, &pending.leaf());
        if path.exists() {
            return read(&path);
        }
        if files(&self.home)?.len() >= MAX_PENDING {
            return Err(
                Failure::undecided("E0408", "too many statements wait for the log")
                    .at(shown(&folder(&self.home)))
                    .because(format!("the limit is {MAX_PENDING}"))
                    .help("`custos log flush` logs them"),
            );
        }
        pending.save(&self.home)?;
        Ok(pending)
    }

    /// Notes that a file holds what waits, so that it gets the log entry later.
    pub fn note_file(&self, leaf: &Digest, held: (&Path, Digest)) -> Result<(), Failure> {
        let mut pending = read(&place(&self.home, leaf))?;
        let (path, digest) = (held.0.to_owned(), held.1);
        pending.files.retain(|known| known.path != path);
        pending.files.push(Held { path, digest });
        pending.save(&self.home)
    }
}

/// Returns what waits, the oldest first.
pub fn list(home: &Home) -> Result<Vec<Pending>, Failure> {
    let mut all = Vec::new();
    for path in files(home)? {
        match read(&path) {
            Ok(one) => all.push(one),
            // Somebody else has logged it meanwhile.
            Err(_) if !path.exists() => {}
            Err(failure) => return Err(failure),
        }
    }
    all.sort_by_key(|one| (one.signed_at, one.leaf()));
    Ok(all)
}

fn read(path: &Path) -> Result<Pending, Failure> {
    let bytes = read_bytes(path, MAX_FILE)?;
    let damaged = |why: String| {
        Failure::undecided("E0408", "a statement that waits for the log cannot be read")
            .at(shown(path))
            .because(why)
    };
    let one: Pending =
        json::from_slice(&bytes, &LIMITS).map_err(|error| damaged(error.to_string()))?;
    if one.schema != SCHEMA {
        return Err(damaged(format!("it is not of the schema `{SCHEMA}`")));
    }
    Ok(one)
}

fn bytes_of(bundle: &Bundle) -> Result<Vec<u8>, Failure> {
    bundle
        .to_bytes()
        .map_err(|error| Failure::internal(&error.to_string()))
}

// The lock is the system's, and ends with the process. Its file stays, beside what waits.
fn lock(home: &Home, name: &str) -> Result<File, Failure> {
    let path = home.spool().join(name);
    let io = |error: &std::io::Error| Failure::io(shown(&path), error);
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true);
    let file = options.open(&path).map_err(|error| io(&error))?;
    let mut left = PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if left.is_zero() => {
                return Err(Failure::undecided(
                    "E0408",
                    "another command is at work on what waits for the log",
                )
                .at(shown(&path))
                .help("run the command again when the other one has finished"));
            }
            Err(TryLockError::WouldBlock) => {
                std::thread::sleep(PAUSE);
                left = left.saturating_sub(PAUSE);
            }
            Err(TryLockError::Error(error)) => return Err(io(&error)),
        }
    }
}

fn files(home: &Home) -> Result<Vec<PathBuf>, Failure> {
    let dir = folder(home);
    let entries = match std::fs::read_dir(&dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|error| Failure::io(shown(&dir), &error))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry
            .map_err(|error| Failure::io(shown(&dir), &error))?
            .path();
        let hidden = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if !hidden && path.extension().is_some_and(|ending| ending == ENDING) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn place(home: &Home, leaf: &Digest) -> PathBuf {
    folder(home).join(format!("{}.{ENDING}", leaf.to_hex()))
}

fn folder(home: &Home) -> PathBuf {
    home.spool().join("pending")
}
