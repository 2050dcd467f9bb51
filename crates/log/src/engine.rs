//! [`Log`]: the engine. Group commit over a write-ahead log; tiles and checkpoint follow it.
//!
//! Calls of several threads are gathered: whoever comes first commits for all that wait. A commit
//! appends one record (entries and signed checkpoint) to a preallocated segment, syncs it once,
//! writes tiles and bundles without a sync, replaces the published checkpoint, and only then
//! answers. In a server the next commit writes its record while the files of this one are written.
//! How that survives a crash is argued in `docs/concepts/log.md`; [`crate::wal`] and the
//! recovery are the other half.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use custos_core::limits::MAX_ENTRY_BYTES;
use custos_core::merkle::{self, Hash};

use crate::checkpoint::VerifiedCheckpoint;
use crate::disk::Disk;
use crate::note::{NoteSigner, VerifierKey};
use crate::publish::Publisher;
use crate::reader::{Head, LogReader, TileFiles};
use crate::recorder::{MAX_LEAVES, RecordError, Recorded, Recorder};
use crate::tile;
use crate::writer::{Committed, Writer};

/// Bytes that may wait for a commit; who brings more waits until there is room.
const QUEUE_BYTES: usize = 64 << 20;
/// Bytes that one commit takes from the queue; a single larger call is taken whole.
const COMMIT_BYTES: usize = 8 << 20;
/// Smallest segment: a few of the largest entries fit.
const MIN_SEGMENT_BYTES: usize = 512 << 10;

/// How long the lock on the log is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LockMode {
    /// For one commit at a time, so that several processes can take turns: the command line.
    Batch,
    /// From opening to the end: a server.
    Life,
}

/// How a log is opened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LogOptions {
    /// How long the lock is held.
    pub lock: LockMode,
    /// How long to wait for the lock.
    pub lock_wait_ms: u64,
    /// Size of each of the two segments of the write-ahead log.
    pub segment_bytes: usize,
    /// Whether a leaf that the log has already is answered with its old index.
    pub dedup: bool,
    /// A checkpoint of this log that was seen earlier: a log that does not extend it is refused.
    pub known: Option<Box<VerifiedCheckpoint>>,
    // Whether files are synced by a thread of their own when a segment is full.
    pub(crate) background_flush: bool,
}

impl LogOptions {
    /// Returns the options of the command line: small segments, the lock held for a commit.
    pub const fn batch() -> Self {
        Self {
            lock: LockMode::Batch,
            lock_wait_ms: 10_000,
            segment_bytes: 4 << 20,
            dedup: true,
            known: None,
            background_flush: false,
        }
    }

    /// Returns the options of a server: large segments, the lock held for life.
    pub fn life() -> Self {
        Self {
            lock: LockMode::Life,
            segment_bytes: 64 << 20,
            background_flush: true,
            ..Self::batch()
        }
    }

    /// Returns them with other segments, at least 512 KiB, in whole blocks.
    pub fn with_segment_bytes(self, bytes: usize) -> Self {
        let bytes = bytes.clamp(MIN_SEGMENT_BYTES, crate::recover::MAX_SEGMENT_BYTES);
        Self {
            segment_bytes: bytes / crate::wal::BLOCK * crate::wal::BLOCK,
            ..self
        }
    }

    /// Returns them with or without the index of leaves.
    pub fn with_dedup(self, dedup: bool) -> Self {
        Self { dedup, ..self }
    }

    /// Returns them with another bound on the wait for the lock.
    pub fn with_lock_wait_ms(self, lock_wait_ms: u64) -> Self {
        Self {
            lock_wait_ms,
            ..self
        }
    }

    /// Returns them with a checkpoint that the log must extend.
    pub fn with_known(self, known: VerifiedCheckpoint) -> Self {
        Self {
            known: Some(Box::new(known)),
            ..self
        }
    }
}

/// A log that this process appends to. Clones share it.
///
/// ```
/// use std::sync::Arc;
/// use custos_core::crypto::{KeyKind, KeyPair};
/// use custos_log::{Log, LogOptions, Recorder, disk::sim::SimDisk, note::KeyPairSigner};
///
/// let pair = KeyPair::generate(KeyKind::Ed25519).unwrap();
/// let signer = Box::new(KeyPairSigner::new("example.com/log", pair).unwrap());
/// let log = Log::create(Arc::new(SimDisk::new(1)), signer, LogOptions::batch()).unwrap();
/// let recorded = log.record(&[b"first".to_vec(), b"second".to_vec()]).unwrap();
/// assert_eq!(recorded[1].index, 1);
/// assert_eq!(log.record(&[b"first".to_vec()]).unwrap()[0].index, 0);
/// ```
#[derive(Clone)]
pub struct Log {
    shared: Arc<Shared>,
}

struct Shared {
    queue: Mutex<Queue>,
    // Signalled when the queue shrinks, when a commit is done, and when its leader is.
    changed: Condvar,
    // The first half of a commit; taken before the turn of `publisher`, the second half.
    writer: Mutex<Writer>,
    publisher: Arc<Publisher>,
    files: Arc<TileFiles>,
    key: VerifierKey,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Arc<Ticket>>,
    bytes: usize,
    leading: bool,
}

/// One call that waits for its commit.
pub(crate) struct Ticket {
    pub(crate) entries: Vec<u8>,
    pub(crate) hashes: Vec<Hash>,
    outcome: Mutex<Option<Result<Appended, RecordError>>>,
}

/// Where leaves stand, and a checkpoint that covers them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Appended {
    /// Position of each leaf, in the sequence of the call.
    pub indexes: Vec<u64>,
    /// The head of the log that covers them.
    pub head: Arc<Head>,
}

impl Appended {
    pub(crate) const fn new(indexes: Vec<u64>, head: Arc<Head>) -> Self {
        Self { indexes, head }
    }
}

impl Log {
    /// Makes an empty log, whose origin is the name of the signer's key.
    pub fn create(
        disk: Arc<dyn Disk>,
        signer: Box<dyn NoteSigner>,
        options: LogOptions,
    ) -> Result<Self, RecordError> {
        let files = Arc::new(TileFiles::new(disk));
        Writer::create(Arc::clone(&files), signer, options).map(|writer| Self::over(files, writer))
    }

    /// Opens a log: replays its write-ahead log, repairs its files, refuses what contradicts a
    /// signed checkpoint.
    pub fn open(
        disk: Arc<dyn Disk>,
        signer: Box<dyn NoteSigner>,
        options: LogOptions,
    ) -> Result<Self, RecordError> {
        let files = Arc::new(TileFiles::new(disk));
        Writer::open(Arc::clone(&files), signer, options).map(|writer| Self::over(files, writer))
    }

    /// Opens a log, or makes it if there is none.
    pub fn open_or_create(
        disk: Arc<dyn Disk>,
        signer: Box<dyn NoteSigner>,
        options: LogOptions,
    ) -> Result<Self, RecordError> {
        let files = Arc::new(TileFiles::new(disk));
        Writer::open_or_create(Arc::clone(&files), signer, options)
            .map(|writer| Self::over(files, writer))
    }

    /// Makes a new write-ahead log for a log that has lost it, over its published checkpoint, after
    /// a full check of entries and tiles.
    ///
    /// For somebody who knows what happened. The published checkpoint is written without a sync:
    /// after a power cut, entries may have been acknowledged that it does not cover, and going on
    /// without them is a fork for everybody who holds a newer checkpoint. Give the newest one that
    /// is known as [`LogOptions::known`]. Fails if there is a write-ahead log.
    pub fn rebuild(
        disk: Arc<dyn Disk>,
        signer: Box<dyn NoteSigner>,
        options: LogOptions,
    ) -> Result<Self, RecordError> {
        let files = Arc::new(TileFiles::new(disk));
        Writer::rebuild(Arc::clone(&files), signer, options).map(|writer| Self::over(files, writer))
    }

    fn over(files: Arc<TileFiles>, writer: Writer) -> Self {
        let key = writer.key().clone();
        let shared = Shared {
            queue: Mutex::default(),
            changed: Condvar::new(),
            publisher: Arc::clone(writer.publisher()),
            writer: Mutex::new(writer),
            files,
            key,
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Returns the newest published head that this process knows.
    pub fn head(&self) -> Result<Arc<Head>, RecordError> {
        let writer = self.shared.writer.lock().map_err(|_| RecordError::died())?;
        // The writer's head is published once all publications so far are done.
        drop(self.shared.publisher.turn()?);
        writer.head()
    }

    /// Returns a reader of this log.
    pub fn reader(&self) -> LogReader {
        LogReader::over(Arc::clone(&self.shared.files), self.shared.key.clone())
    }

    /// Appends leaves without making proofs; else as [`Recorder::record`].
    pub fn append(&self, leaves: &[Vec<u8>]) -> Result<Appended, RecordError> {
        let ticket = Arc::new(Ticket::new(leaves)?);
        let mut queue = self.queue();
        while queue.bytes > 0 && queue.bytes + ticket.entries.len() > QUEUE_BYTES {
            queue = self.wait(queue);
        }
        queue.bytes += ticket.entries.len();
        queue.waiting.push_back(Arc::clone(&ticket));
        loop {
            if let Some(outcome) = ticket.take() {
                return outcome;
            }
            if queue.leading {
                queue = self.wait(queue);
                continue;
            }
            queue.leading = true;
            let tickets = queue.take();
            drop(queue);
            // The others wake up even if the commit panics.
            let mut leader = Leader {
                shared: &self.shared,
                tickets,
                leads: true,
            };
            leader.commit();
            drop(leader);
            queue = self.queue();
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.shared
            .queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, queue: MutexGuard<'a, Queue>) -> MutexGuard<'a, Queue> {
        self.shared
            .changed
            .wait(queue)
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Log({})", self.shared.key)
    }
}

impl Recorder for Log {
    fn record(&self, leaves: &[Vec<u8>]) -> Result<Vec<Recorded>, RecordError> {
        if leaves.is_empty() {
            return Ok(Vec::new());
        }
        let Appended { indexes, head } = self.append(leaves)?;
        let id = *self.shared.key.full_id();
        indexes
            .into_iter()
            .map(|index| self.shared.files.prove(index, &head, id))
            .collect()
    }

    fn log_key(&self) -> &VerifierKey {
        &self.shared.key
    }
}

impl Queue {
    // Takes what one commit can carry, and at least one call.
    fn take(&mut self) -> Vec<Arc<Ticket>> {
        let (mut tickets, mut bytes) = (Vec::new(), 0_usize);
        while let Some(next) = self.waiting.front() {
            if !tickets.is_empty() && bytes + next.entries.len() > COMMIT_BYTES {
                break;
            }
            bytes += next.entries.len();
            tickets.extend(self.waiting.pop_front());
        }
        self.bytes = self.bytes.saturating_sub(bytes);
        tickets
    }
}

impl Ticket {
    fn new(leaves: &[Vec<u8>]) -> Result<Self, RecordError> {
        if leaves.len() > MAX_LEAVES {
            return Err(RecordError::TooManyLeaves {
                found: leaves.len(),
            });
        }
        if let Some((position, leaf)) = leaves
            .iter()
            .enumerate()
            .find(|(_, leaf)| leaf.len() > MAX_ENTRY_BYTES)
        {
            return Err(RecordError::LeafTooLarge {
                position,
                found: leaf.len(),
            });
        }
        let mut entries = Vec::with_capacity(leaves.iter().map(|leaf| leaf.len() + 2).sum());
        let mut hashes = Vec::with_capacity(leaves.len());
        for leaf in leaves {
            tile::encode_entry(leaf, &mut entries)?;
            hashes.push(merkle::leaf_hash(leaf));
        }
        Ok(Self {
            entries,
            hashes,
            outcome: Mutex::new(None),
        })
    }

    fn take(&self) -> Option<Result<Appended, RecordError>> {
        self.outcome
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    fn settle(&self, outcome: Result<Appended, RecordError>) {
        let mut place = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        place.get_or_insert(outcome);
    }
}

struct Leader<'a> {
    shared: &'a Shared,
    tickets: Vec<Arc<Ticket>>,
    // Until another thread may take the next commit.
    leads: bool,
}

impl Leader<'_> {
    fn commit(&mut self) {
        // Those who wait for room in the queue need not wait for the disk.
        self.shared.changed.notify_all();
        match self.carry_out() {
            Ok(answers) => {
                for (ticket, answer) in self.tickets.iter().zip(answers) {
                    ticket.settle(Ok(answer));
                }
            }
            Err(error) => {
                for ticket in &self.tickets {
                    ticket.settle(Err(error.clone()));
                }
            }
        }
    }

    fn carry_out(&mut self) -> Result<Vec<Appended>, RecordError> {
        let shared = self.shared;
        let mut writer = shared.writer.lock().map_err(|_| RecordError::died())?;
        let Committed {
            answers,
            publication,
        } = writer.commit(&self.tickets)?;
        // Taken before the writer is free, so that commits are published in their sequence.
        let mut turn = shared.publisher.turn()?;
        let mut writer = Some(writer);
        if writer.as_ref().is_some_and(|writer| writer.overlaps()) {
            writer = None;
            self.hand_over();
        }
        let outcome = match publication {
            Some(publication) => shared.publisher.publish(&mut turn, publication),
            // What was found in the log already may have been in a commit that failed since.
            None => turn.check(),
        };
        if let Some(mut writer) = writer {
            writer.release();
        }
        outcome.map(|()| answers)
    }

    // Lets the next commit begin.
    fn hand_over(&mut self) {
        if !std::mem::take(&mut self.leads) {
            return;
        }
        let mut queue = self
            .shared
            .queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        queue.leading = false;
        drop(queue);
        self.shared.changed.notify_all();
    }
}

impl Drop for Leader<'_> {
    fn drop(&mut self) {
        for ticket in &self.tickets {
            // Only a panic leaves one unanswered; what was written then is unknown. An answer
            // that its caller has taken already is not looked at again.
            ticket.settle(Err(RecordError::died()));
        }
        self.hand_over();
        // Those whose commit was led by another thread.
        self.shared.changed.notify_all();
    }
}
