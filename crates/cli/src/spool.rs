//! Store and forward: what was signed while the log was away.
//!
//! A statement that the log does not take now is kept whole, durable and by itself in `spool/pending/`,
//! if `[signing] pending_hours` of the settings allows that, and `custos log flush` logs it later. Each
//! is one file, written under another name first, so that a crash leaves all of it or nothing; it
//! is removed only when the log has acknowledged it and the store has it. Logging a leaf twice is
//! harmless: the log answers with its old index.
//!
//! Until then it is *pending*: no fact, and no proof of anything but the signature. Policies see
//! it as such.

use std::path::{Path, PathBuf};

use custos_core::bundle::Bundle;
use custos_core::clock::Timestamp;
use custos_core::digest::{Algorithm, Digest};
use custos_core::dsse::Base64;
use custos_core::json;
use custos_core::limits::Limits;
use custos_evidence::store::Entry;
use custos_log::recorder::Recorder as _;
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::files::{read_bytes, shown, write_atomic};
use crate::home::Home;
use crate::report::Failure;
use crate::services::home_log::HomeLog;
use crate::{logs, stores};

const SCHEMA: &str = "custos.spool/1";
/// Largest file of the spool: a bundle in base64.
const MAX_FILE: u64 = 200 << 20;
const LIMITS: Limits = Limits::BUNDLE.with_max_bytes(200 << 20);
/// Most statements that wait at a time; beyond it nothing more is signed for later.
pub const MAX_PENDING: usize = 10_000;
const ENDING: &str = "json";
const HOUR: i64 = 3_600_000_000;

/// A statement that is signed and not logged yet.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Pending {
    schema: String,
    /// The bundle without a log entry.
    pub bundle: Base64,
    /// What the log is to take.
    pub leaf: Base64,
    /// When it was signed, by the clock of this machine.
    pub signed_at: Timestamp,
    /// By when it has to be logged.
    pub log_by: Timestamp,
    /// Files that hold the bundle, and get the one with the log entry.
    #[serde(default)]
    pub files: Vec<PathBuf>,
}

impl Pending {
    /// Returns a statement that has to be logged within some hours.
    pub fn new(bundle: Vec<u8>, leaf: Vec<u8>, (now, hours): (Timestamp, u32)) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            bundle: Base64(bundle),
            leaf: Base64(leaf),
            signed_at: now,
            log_by: now.plus_micros(HOUR.saturating_mul(i64::from(hours))),
            files: Vec::new(),
        }
    }

    /// Returns the digest of the bundle as it is now.
    pub fn digest(&self) -> Digest {
        Algorithm::Sha256.digest(self.bundle.as_slice())
    }

    fn path(&self, home: &Home) -> PathBuf {
        let name = Algorithm::Sha256.digest(self.leaf.as_slice()).to_hex();
        folder(home).join(format!("{name}.{ENDING}"))
    }

    /// Keeps it; when this returns, no crash takes it away.
    pub fn keep(&self, home: &Home) -> Result<(), Failure> {
        let dir = folder(home);
        std::fs::create_dir_all(&dir).map_err(|error| Failure::io(shown(&dir), &error))?;
        if files(home)?.len() >= MAX_PENDING {
            return Err(
                Failure::undecided("E0408", "too many statements wait for the log")
                    .at(shown(&dir))
                    .because(format!("the limit is {MAX_PENDING}"))
                    .help("`custos log flush` logs them"),
            );
        }
        let bytes = json::to_vec(self).map_err(|e| Failure::internal(&e.to_string()))?;
        write_atomic(&self.path(home), &bytes)
    }
}

/// Notes that a file holds a pending bundle, so that it gets the log entry later.
pub fn note_file(home: &Home, bundle: &Digest, file: &Path) -> Result<(), Failure> {
    for mut pending in list(home)? {
        if pending.digest() == *bundle && !pending.files.iter().any(|known| known == file) {
            pending.files.push(file.to_owned());
            pending.keep(home)?;
        }
    }
    Ok(())
}

/// Returns what waits, the oldest first.
pub fn list(home: &Home) -> Result<Vec<Pending>, Failure> {
    let mut all = Vec::new();
    for path in files(home)? {
        let bytes = read_bytes(&path, MAX_FILE)?;
        let damaged = |why: String| {
            Failure::undecided("E0408", "a statement that waits for the log cannot be read")
                .at(shown(&path))
                .because(why)
        };
        let one: Pending =
            json::from_slice(&bytes, &LIMITS).map_err(|error| damaged(error.to_string()))?;
        if one.schema != SCHEMA {
            return Err(damaged(format!("it is not of the schema `{SCHEMA}`")));
        }
        all.push(one);
    }
    all.sort_by_key(|one| (one.signed_at, one.digest()));
    Ok(all)
}

/// A statement that was logged late.
#[derive(Debug, Clone)]
pub struct Flushed {
    /// Its place in the log.
    pub index: u64,
    /// The bundle with its log entry.
    pub digest: Digest,
    /// True if that was later than promised.
    pub late: bool,
}

/// Logs what waits, one by one: whatever happens, each is either still here or logged and stored.
pub fn flush(context: &Context) -> Result<Vec<Flushed>, Failure> {
    let home = context.home()?;
    let waiting = list(&home)?;
    if waiting.is_empty() {
        return Ok(Vec::new());
    }
    let log = HomeLog::open(context)?;
    let store = stores::writable(context)?;
    let failed = |error| stores::failure(&error);
    let mut flushed = Vec::new();
    for one in waiting {
        let leaf = one.leaf.as_slice().to_vec();
        let answers = log
            .record(std::slice::from_ref(&leaf))
            .map_err(|error| logs::failure(&error, &home))?;
        let Some(recorded) = answers.first() else {
            return Err(Failure::internal("the log gave no answer"));
        };
        let internal = |error: &dyn std::error::Error| Failure::internal(&error.to_string());
        let mut bundle = Bundle::parse(one.bundle.as_slice()).map_err(|e| internal(&e))?;
        let material = std::mem::take(&mut bundle.verification_material);
        bundle.verification_material = material.with_entry(recorded.to_entry(&leaf));
        let bytes = bundle.to_bytes().map_err(|e| internal(&e))?;
        // A draft of the same leaf, if a command had come that far.
        let digest = Algorithm::Sha256.digest(&leaf);
        let drafts = store.staged().map_err(failed)?;
        let staged = drafts.into_iter().find(|draft| draft.leaf_digest == digest);
        let entry = Entry {
            bundle: bytes.clone(),
            staged,
        };
        store.commit(vec![entry], context.now()).map_err(failed)?;
        for file in &one.files {
            replace(file, one.bundle.as_slice(), &bytes)?;
        }
        let path = one.path(&home);
        std::fs::remove_file(&path).map_err(|error| Failure::io(shown(&path), &error))?;
        flushed.push(Flushed {
            index: recorded.index,
            digest: Algorithm::Sha256.digest(&bytes),
            late: context.now() > one.log_by,
        });
    }
    log.remember(context);
    Ok(flushed)
}

// A file that somebody changed or took away meanwhile is theirs.
fn replace(file: &Path, old: &[u8], new: &[u8]) -> Result<(), Failure> {
    match std::fs::read(file) {
        Ok(found) if found == old => write_atomic(file, new),
        _ => Ok(()),
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

fn folder(home: &Home) -> PathBuf {
    home.spool().join("pending")
}
