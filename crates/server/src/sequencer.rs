//! Feeds the log in batches: requests queue up while the log writes, and the next write takes
//! all of them (group commit).
//!
//! Two lanes, because one answers with a proof and the other with an index alone. Each queue has
//! a cap; who finds it full is told to come back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use custos_log::{Log, RecordError, Recorded, Recorder as _};
use tokio::sync::{Notify, oneshot};

/// Most leaves that one write takes.
const BATCH_LEAVES: usize = 4_096;
/// Most bytes that one write takes, but for the last leaf.
const BATCH_BYTES: usize = 4 << 20;
/// Leaves that may wait in a lane: 256 MiB at most, should the disk not keep up.
const QUEUE: usize = 4_096;

type Answer<T> = Result<T, AppendError>;

/// Why a leaf was not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AppendError {
    /// The queue is full, or the server stops.
    #[error("the log is busy; try again")]
    Busy,
    /// The log refused.
    #[error("{0}")]
    Log(RecordError),
}

struct Job<T> {
    leaf: Vec<u8>,
    answer: oneshot::Sender<Answer<T>>,
}

/// A queue with the threads that empty it.
struct Lane<T> {
    sender: SyncSender<Job<T>>,
}

/// The log behind its two lanes.
pub(crate) struct Sequencer {
    // As of the last write; asking the log itself would wait for a write at work.
    size: Arc<AtomicU64>,
    proofs: Lane<Recorded>,
    indexes: Lane<u64>,
    failed: Arc<Failed>,
}

/// Set when the log must not be used any more by this process.
#[derive(Default)]
pub(crate) struct Failed {
    flag: AtomicBool,
    pub(crate) noticed: Notify,
}

impl Failed {
    pub(crate) fn is_set(&self) -> bool {
        self.flag.load(Ordering::SeqCst)
    }

    fn set(&self) {
        self.flag.store(true, Ordering::SeqCst);
        self.noticed.notify_one();
    }
}

impl Sequencer {
    /// Starts the threads. They end when the sequencer is dropped and the queues are empty.
    pub(crate) fn start(log: Log) -> std::io::Result<(Self, Vec<JoinHandle<()>>)> {
        let failed = Arc::new(Failed::default());
        let size = Arc::new(AtomicU64::new(log.head().map_or(0, |head| head.size)));
        let record = {
            let (log, size) = (log.clone(), Arc::clone(&size));
            move |leaves: &[Vec<u8>]| {
                let recorded = log.record(leaves)?;
                let newest = recorded.iter().map(|one| one.tree_size).max();
                size.fetch_max(newest.unwrap_or(0), Ordering::Relaxed);
                Ok(recorded)
            }
        };
        let append = {
            let size = Arc::clone(&size);
            move |leaves: &[Vec<u8>]| {
                let appended = log.append(leaves)?;
                size.fetch_max(appended.head.size, Ordering::Relaxed);
                Ok(appended.indexes)
            }
        };
        // One makes proofs while the other waits for the disk.
        let (proofs, mut threads) = Lane::start("log-proofs", 2, &failed, record)?;
        let (indexes, more) = Lane::start("log-indexes", 1, &failed, append)?;
        threads.extend(more);
        let sequencer = Self {
            size,
            proofs,
            indexes,
            failed,
        };
        Ok((sequencer, threads))
    }

    /// Appends a leaf and returns where it stands, with its proof.
    pub(crate) async fn record(&self, leaf: Vec<u8>) -> Answer<Recorded> {
        self.proofs.submit(leaf).await
    }

    /// Appends a leaf and returns its index.
    pub(crate) async fn append(&self, leaf: Vec<u8>) -> Answer<u64> {
        self.indexes.submit(leaf).await
    }

    /// Returns the number of entries.
    pub(crate) fn size(&self) -> u64 {
        self.size.load(Ordering::Relaxed)
    }

    pub(crate) const fn failed(&self) -> &Arc<Failed> {
        &self.failed
    }
}

impl<T: Send + 'static> Lane<T> {
    fn start<F>(
        name: &str,
        count: usize,
        failed: &Arc<Failed>,
        write: F,
    ) -> std::io::Result<(Self, Vec<JoinHandle<()>>)>
    where
        F: Fn(&[Vec<u8>]) -> Result<Vec<T>, RecordError> + Send + Sync + 'static,
    {
        let (sender, receiver) = mpsc::sync_channel(QUEUE);
        let receiver = Arc::new(Mutex::new(receiver));
        let write = Arc::new(write);
        let mut threads = Vec::with_capacity(count);
        for _ in 0..count {
            let receiver = Arc::clone(&receiver);
            let (write, failed) = (Arc::clone(&write), Arc::clone(failed));
            let run = move || {
                while let Some(batch) = gather(&receiver) {
                    settle(batch, write.as_ref(), &failed);
                }
            };
            threads.push(thread::Builder::new().name(name.to_owned()).spawn(run)?);
        }
        Ok((Self { sender }, threads))
    }

    async fn submit(&self, leaf: Vec<u8>) -> Answer<T> {
        let (answer, outcome) = oneshot::channel();
        match self.sender.try_send(Job { leaf, answer }) {
            Ok(()) => outcome.await.unwrap_or(Err(AppendError::Busy)),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => Err(AppendError::Busy),
        }
    }
}

// Waits for one job and takes what else is there; `None` when nobody can submit any more.
fn gather<T>(receiver: &Mutex<Receiver<Job<T>>>) -> Option<Vec<Job<T>>> {
    let receiver = receiver.lock().unwrap_or_else(PoisonError::into_inner);
    let first = receiver.recv().ok()?;
    let mut bytes = first.leaf.len();
    let mut batch = vec![first];
    while batch.len() < BATCH_LEAVES && bytes < BATCH_BYTES {
        let Ok(next) = receiver.try_recv() else {
            break;
        };
        bytes = bytes.saturating_add(next.leaf.len());
        batch.push(next);
    }
    Some(batch)
}

fn settle<T>(
    batch: Vec<Job<T>>,
    write: &impl Fn(&[Vec<u8>]) -> Result<Vec<T>, RecordError>,
    failed: &Failed,
) {
    let (leaves, answers): (Vec<_>, Vec<_>) =
        batch.into_iter().map(|job| (job.leaf, job.answer)).unzip();
    match write(&leaves) {
        Ok(outcomes) => {
            for (answer, outcome) in answers.into_iter().zip(outcomes) {
                // Whoever has gone away meanwhile gets no answer; the leaf is logged.
                let _ = answer.send(Ok(outcome));
            }
        }
        Err(error) => {
            if error.must_end() || matches!(error, RecordError::Integrity(_)) {
                failed.set();
            }
            for answer in answers {
                let _ = answer.send(Err(AppendError::Log(error.clone())));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use custos_core::crypto::{KeyKind, KeyPair};
    use custos_log::LogOptions;
    use custos_log::disk::sim::SimDisk;
    use custos_log::note::KeyPairSigner;

    fn log() -> Log {
        let pair = KeyPair::generate(KeyKind::Ed25519).unwrap();
        let signer = Box::new(KeyPairSigner::new("log.example", pair).unwrap());
        Log::create(Arc::new(SimDisk::new(1)), signer, LogOptions::batch()).unwrap()
    }

    #[test]
    fn both_lanes_answer_and_threads_end() {
        let (sequencer, threads) = Sequencer::start(log()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(async {
            assert_eq!(sequencer.append(b"a".to_vec()).await, Ok(0));
            let recorded = sequencer.record(b"b".to_vec()).await.unwrap();
            assert_eq!((recorded.index, recorded.tree_size), (1, 2));
            // A leaf that is there already has its old index and a proof of today.
            let again = sequencer.record(b"a".to_vec()).await.unwrap();
            assert_eq!((again.index, again.tree_size), (0, 2));
        });
        assert_eq!(sequencer.size(), 2);
        drop(sequencer);
        for thread in threads {
            thread.join().unwrap();
        }
    }

    #[test]
    fn a_full_queue_says_busy_and_a_fatal_error_is_noticed() {
        let failed = Arc::new(Failed::default());
        let fatal = |_: &[Vec<u8>]| -> Result<Vec<u64>, RecordError> {
            Err(RecordError::MustEnd {
                path: "wal".to_owned(),
            })
        };
        let (lane, threads) = Lane::start("test", 1, &failed, fatal).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let outcome = runtime.block_on(lane.submit(b"a".to_vec()));
        assert!(matches!(outcome, Err(AppendError::Log(error)) if error.must_end()));
        assert!(failed.is_set());
        drop(lane);
        for thread in threads {
            thread.join().unwrap();
        }

        let (sender, receiver) = mpsc::sync_channel(1);
        let lane: Lane<u64> = Lane { sender };
        let (answer, _wait) = oneshot::channel();
        let leaf = Vec::new();
        lane.sender.try_send(Job { leaf, answer }).unwrap();
        assert_eq!(
            runtime.block_on(lane.submit(b"b".to_vec())),
            Err(AppendError::Busy)
        );
        drop(receiver);
    }
}
