//! The one who writes: makes batches durable, switches segments, recovers when it has to.

use std::ops::Range;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use custos_core::crypto::sha256;
use custos_core::merkle::{self, Hash};

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::disk::{Disk, DiskError, DiskFile, LockGuard};
use crate::engine::{Appended, LockMode, LogOptions, Ticket};
use crate::index::Index;
use crate::note::{MAX_NOTE_BYTES, NoteSigner, VerifierKey};
use crate::proof::{self, HashReader as _};
use crate::publish::{Publication, Publisher};
use crate::reader::{CHECKPOINT, Head, Nodes, TileFiles};
use crate::recorder::{IntegrityFault, RecordError};
use crate::recover::{self, Recovered, Repair, WalPosition, segment_path, split_entries};
use crate::tree::{Tree, TreeFile};
use crate::wal::{BLOCK, HEADER_BYTES, Header, Record};

// Room for the checkpoint in a record: origin, size, root and the longest signature fit twice.
const CHECKPOINT_ROOM: usize = 2_048;
// Zeros are written in pieces of this size.
const ZEROS: usize = 1 << 20;

pub(crate) struct Writer {
    files: Arc<TileFiles>,
    publisher: Arc<Publisher>,
    signer: Box<dyn NoteSigner>,
    options: LogOptions,
    state: State,
    // Held for life, or for the commit at work.
    lock: Option<LockGuard>,
}

enum State {
    Live(Box<Live>),
    // Something failed in between, or nothing was read yet: the files are asked again.
    Stale,
    // A sync failed.
    Broken { path: String },
}

// The log in memory, as of the last record.
struct Live {
    tree: Tree,
    wal: WalPosition,
    head: Arc<Head>,
    index: Option<Index>,
    segment: Box<dyn DiskFile>,
    // Files of the tree that are to be written.
    files: Vec<TreeFile>,
    // Starts of older segments that are needed no more.
    retired: Vec<u64>,
    // Files since the last flush may have been written by another process, perhaps in vain.
    foreign: bool,
    flush: Option<Flush>,
    // What the last durable record says was flushed.
    said: u64,
}

struct Flush {
    size: u64,
    thread: JoinHandle<Result<(), DiskError>>,
}

/// A commit that is durable and not yet published.
pub(crate) struct Committed {
    /// The answer to each ticket, valid once the commit and all before it are published.
    pub(crate) answers: Vec<Appended>,
    /// What is to be published; nothing if all leaves were in the log already.
    pub(crate) publication: Option<Publication>,
}

// Entries for one record. They stay where their callers put them.
#[derive(Default)]
struct Batch<'a> {
    pieces: Vec<Piece<'a>>,
    bytes: usize,
    hashes: Vec<Hash>,
}

// Entries in bundle form that lie side by side.
struct Piece<'a> {
    buffer: &'a [u8],
    range: Range<usize>,
}

impl Writer {
    pub(crate) fn create(
        files: Arc<TileFiles>,
        signer: Box<dyn NoteSigner>,
        options: LogOptions,
    ) -> Result<Self, RecordError> {
        let mut writer = Self::new(files, signer, options);
        writer.acquire()?;
        match recover::recover(&writer.files, writer.key(), Repair::Compare) {
            Err(RecordError::NoLog) => {}
            Err(error) => return Err(error),
            Ok(_) => return Err(RecordError::AlreadyThere),
        }
        writer.start_empty()?;
        writer.refresh_and_release()
    }

    pub(crate) fn rebuild(
        files: Arc<TileFiles>,
        signer: Box<dyn NoteSigner>,
        options: LogOptions,
    ) -> Result<Self, RecordError> {
        let mut writer = Self::new(files, signer, options);
        if !writer.has_checkpoint() {
            return Err(RecordError::NoLog);
        }
        writer.acquire()?;
        match recover::recover(&writer.files, writer.key(), Repair::Compare) {
            Err(RecordError::Integrity(IntegrityFault::WalMissing)) => {}
            Err(error) => return Err(error),
            Ok(_) => return Err(RecordError::AlreadyThere),
        }
        let head = recover::published_tree(&writer.files, writer.key())?;
        writer.check_known(head.size)?;
        // The new write-ahead log begins where all files are durable, as any segment does.
        writer.disk().sync_all()?;
        writer.start(head)?;
        writer.refresh_and_release()
    }

    pub(crate) fn open(
        files: Arc<TileFiles>,
        signer: Box<dyn NoteSigner>,
        options: LogOptions,
    ) -> Result<Self, RecordError> {
        let mut writer = Self::new(files, signer, options);
        // A mistyped folder is not to be made for its lock.
        if writer.disk().list("wal")?.is_empty() && !writer.has_checkpoint() {
            return Err(RecordError::NoLog);
        }
        writer.acquire()?;
        writer.refresh_and_release()
    }

    pub(crate) fn open_or_create(
        files: Arc<TileFiles>,
        signer: Box<dyn NoteSigner>,
        options: LogOptions,
    ) -> Result<Self, RecordError> {
        let mut writer = Self::new(files, signer, options);
        writer.acquire()?;
        match recover::recover(&writer.files, writer.key(), Repair::Compare) {
            Err(RecordError::NoLog) => writer.start_empty()?,
            Err(error) => return Err(error),
            Ok(_) => {}
        }
        writer.refresh_and_release()
    }

    fn new(files: Arc<TileFiles>, signer: Box<dyn NoteSigner>, options: LogOptions) -> Self {
        Self {
            publisher: Arc::new(Publisher::new(Arc::clone(&files.disk))),
            files,
            signer,
            options,
            state: State::Stale,
            lock: None,
        }
    }

    fn has_checkpoint(&self) -> bool {
        let read = self.disk().read(CHECKPOINT, MAX_NOTE_BYTES);
        !read.is_err_and(|error| error.is_not_found())
    }

    fn refresh_and_release(mut self) -> Result<Self, RecordError> {
        self.refresh()?;
        self.release();
        Ok(self)
    }

    pub(crate) fn key(&self) -> &VerifierKey {
        self.signer.verifier_key()
    }

    pub(crate) const fn publisher(&self) -> &Arc<Publisher> {
        &self.publisher
    }

    /// Returns true if the next commit may begin while this one is being published: nobody else
    /// can write to the log between the two.
    pub(crate) fn overlaps(&self) -> bool {
        self.options.lock == LockMode::Life
    }

    pub(crate) fn head(&self) -> Result<Arc<Head>, RecordError> {
        match &self.state {
            State::Live(live) if !self.publisher.has_failed()? => Ok(Arc::clone(&live.head)),
            State::Broken { path } => Err(RecordError::MustEnd { path: path.clone() }),
            State::Live(_) | State::Stale => {
                let latest =
                    crate::LogReader::over(Arc::clone(&self.files), self.key().clone()).latest()?;
                Ok(Arc::new(Head {
                    size: latest.size(),
                    root: *latest.root(),
                    checkpoint: latest.text().to_owned(),
                }))
            }
        }
    }

    /// Makes what the tickets hold durable. The lock on the log stays until
    /// [`Writer::release`], unless this fails.
    pub(crate) fn commit(&mut self, tickets: &[Arc<Ticket>]) -> Result<Committed, RecordError> {
        if let State::Broken { path } = &self.state {
            return Err(RecordError::MustEnd { path: path.clone() });
        }
        self.acquire()?;
        let outcome = self.refresh().and_then(|()| self.commit_locked(tickets));
        match &outcome {
            Err(RecordError::MustEnd { path }) => {
                self.state = State::Broken { path: path.clone() };
            }
            Err(_) => self.make_stale(),
            Ok(_) => return outcome,
        }
        self.release();
        outcome
    }

    fn commit_locked(&mut self, tickets: &[Arc<Ticket>]) -> Result<Committed, RecordError> {
        let (room, files) = (self.record_room(), Arc::clone(&self.files));
        let published = self.publisher.published();
        let live = self.live()?;
        if let Some(index) = &mut live.index {
            index.settle(published)?;
        }
        let before = live.head.size;
        let mut batch = Batch::default();
        let mut positions = Vec::with_capacity(tickets.len());
        for ticket in tickets {
            let mut indexes = Vec::with_capacity(ticket.hashes.len());
            for (range, leaf) in entry_ranges(&ticket.entries).zip(&ticket.hashes) {
                if batch.bytes + range.len() > room {
                    self.append_record(&std::mem::take(&mut batch))?;
                }
                let live = self.live()?;
                if let Some(old) = live.find(leaf, &files)? {
                    indexes.push(old);
                    continue;
                }
                let position = live.tree.size() + batch.len();
                if let Some(index) = &mut live.index {
                    index.insert(*leaf, position);
                }
                batch.push(&ticket.entries, range, *leaf);
                indexes.push(position);
            }
            positions.push(indexes);
        }
        if !batch.hashes.is_empty() {
            self.append_record(&batch)?;
        }
        let live = self.live()?;
        let publication = (live.head.size != before).then(|| live.take_publication());
        let head = Arc::clone(&live.head);
        let answers = positions
            .into_iter()
            .map(|indexes| Appended::new(indexes, Arc::clone(&head)))
            .collect();
        Ok(Committed {
            answers,
            publication,
        })
    }

    // Bytes of entries that one record may hold, so that a segment takes several.
    fn record_room(&self) -> usize {
        let quarter = self.options.segment_bytes / 4;
        quarter
            .saturating_sub(HEADER_BYTES + CHECKPOINT_ROOM)
            .max(MAX_ROOM_FLOOR)
    }

    /// Makes one record durable: from here on its entries are in the log.
    fn append_record(&mut self, batch: &Batch<'_>) -> Result<(), RecordError> {
        self.poll_flush()?;
        let need = HEADER_BYTES + CHECKPOINT_ROOM + batch.bytes;
        let live = self.live()?;
        // A block stays free for the record that `switch_segment` may need to write.
        if live.wal.offset + need.next_multiple_of(BLOCK) + BLOCK > live.wal.capacity {
            self.switch_segment(need)?;
        }
        let origin = self.key().name().to_owned();
        let live = self.live()?;
        let header = live.next_header(&origin);
        let entries = batch.slices().flat_map(split_entries);
        for (entry, leaf) in entries.zip(&batch.hashes) {
            live.tree.push(entry, *leaf, &mut live.files);
        }
        let (size, root) = (live.tree.size(), live.tree.root());
        let checkpoint = Checkpoint::new(&origin, size, root)
            .and_then(|body| body.sign(self.signer.as_ref()))
            .map_err(RecordError::Checkpoint)?;
        let live = self.live()?;
        live.write(header, &checkpoint, batch)?;
        live.head = Arc::new(Head {
            size,
            root,
            checkpoint,
        });
        Ok(())
    }

    // Goes on in the other segment. Its records are needed no more once all files of the tree at
    // its end are durable; this one's once all files of the tree as it is now are.
    fn switch_segment(&mut self, need: usize) -> Result<(), RecordError> {
        let (disk, files) = (Arc::clone(self.disk()), Arc::clone(&self.files));
        let wanted = need.next_multiple_of(BLOCK) + BLOCK;
        let wanted = wanted.max(self.options.segment_bytes);
        let background = self.options.background_flush;
        let (key, publisher) = (self.key().clone(), Arc::clone(&self.publisher));
        let live = self.live()?;
        // All files of the tree so far are to be in the flush, so those of the commits before have
        // to be written, and none may have failed.
        let mut turn = publisher.turn()?;
        turn.check()?;
        turn.write(live.take_files())?;
        if live.foreign {
            recover::recover(&files, &key, Repair::Rewrite)?;
            live.foreign = false;
        }
        drop(turn);
        live.join_flush()?;
        if !background || live.wal.flushed < live.wal.base {
            disk.sync_all()?;
            live.wal.flushed = live.tree.size();
        }
        // The first record over there may be torn, with what it says. So one on this side has to
        // say before that the other segment is not needed.
        if live.said < live.wal.base {
            let checkpoint = live.head.checkpoint.clone();
            let header = live.next_header(key.name());
            live.write(header, &checkpoint, &Batch::default())?;
        }
        let other = 1 - live.wal.segment;
        let (segment, capacity) = prepare_segment(&disk, other, wanted)?;
        if background {
            let disk = Arc::clone(&disk);
            let thread = thread::spawn(move || disk.sync_all());
            live.flush = Some(Flush {
                size: live.tree.size(),
                thread,
            });
        }
        live.segment = segment;
        live.wal.older_base = Some(live.wal.base);
        live.wal.base = live.tree.size();
        live.wal.segment = other;
        live.wal.offset = 0;
        live.wal.capacity = capacity;
        Ok(())
    }

    fn poll_flush(&mut self) -> Result<(), RecordError> {
        let live = self.live()?;
        if live
            .flush
            .as_ref()
            .is_some_and(|flush| flush.thread.is_finished())
        {
            live.join_flush()?;
        }
        Ok(())
    }

    fn start_empty(&mut self) -> Result<(), RecordError> {
        let root = merkle::empty_root();
        let checkpoint = Checkpoint::new(self.key().name(), 0, root)
            .and_then(|body| body.sign(self.signer.as_ref()))
            .map_err(RecordError::Checkpoint)?;
        self.start(Head {
            size: 0,
            root,
            checkpoint,
        })
    }

    // Writes the first record: the checkpoint of a tree whose files are all durable.
    fn start(&mut self, head: Head) -> Result<(), RecordError> {
        let disk = Arc::clone(self.disk());
        let (segment, _) = prepare_segment(&disk, 0, self.options.segment_bytes)?;
        disk.sync_dir("")?;
        let header = Header {
            sequence: 1,
            record_bytes: 0,
            first: head.size,
            count: 0,
            checkpoint_bytes: 0,
            flushed: head.size,
            previous_root: head.root,
            log_id: sha256(self.key().name().as_bytes()),
            previous_checksum: [0; 32],
            checksum: [0; 32],
        };
        let mut record = Record {
            header,
            checkpoint: head.checkpoint,
            entries: Vec::new(),
            hashes: Vec::new(),
        };
        let bytes = record.encode().ok_or(RecordError::NoLog)?;
        segment.write_at(0, &[&bytes])?;
        segment.sync_data()?;
        Ok(())
    }

    // Makes sure that memory holds what the files say.
    fn refresh(&mut self) -> Result<(), RecordError> {
        if !self.publisher.has_failed()?
            && let State::Live(live) = &self.state
            && (self.options.lock == LockMode::Life || live.is_current(self.disk())?)
        {
            return Ok(());
        }
        self.make_stale();
        if let State::Broken { path } = &self.state {
            return Err(RecordError::MustEnd { path: path.clone() });
        }
        // Nobody else may write files meanwhile.
        let publisher = Arc::clone(&self.publisher);
        let mut turn = publisher.turn()?;
        let recovered = recover::recover(&self.files, self.key(), Repair::Compare)?;
        self.check_known(recovered.head.size)?;
        publisher.recovered(&mut turn, recovered.head.size);
        drop(turn);
        let index = if self.options.dedup {
            Some(self.load_index(&recovered)?)
        } else {
            None
        };
        let Recovered { tree, head, wal } = recovered;
        let segment = self.disk().open(segment_path(wal.segment), false)?;
        self.state = State::Live(Box::new(Live {
            // What was flushed is durable, whoever wrote it.
            foreign: head.size > wal.flushed,
            said: wal.flushed,
            tree,
            wal,
            head: Arc::new(head),
            index,
            segment,
            files: Vec::new(),
            retired: Vec::new(),
            flush: None,
        }));
        Ok(())
    }

    fn load_index(&self, recovered: &Recovered) -> Result<Index, RecordError> {
        let size = recovered.head.size;
        let nodes = Nodes {
            files: &self.files,
            size,
        };
        let tail: Result<Vec<Hash>, _> = (size / 256 * 256..size)
            .map(|leaf| nodes.node(0, leaf))
            .collect();
        Index::load(Arc::clone(self.disk()), size, &tail?, self.files.as_ref())
    }

    // A tree of `size` entries, whose files are in place, must extend the checkpoint seen earlier.
    fn check_known(&self, size: u64) -> Result<(), RecordError> {
        let Some(known) = &self.options.known else {
            return Ok(());
        };
        if known.origin() != self.key().name() {
            let error = CheckpointError::NotSignedByLog;
            return Err(IntegrityFault::CheckpointInvalid(error).into());
        }
        if known.size() > size {
            return Err(IntegrityFault::Rollback {
                signed: known.size(),
                found: size,
            }
            .into());
        }
        let nodes = Nodes {
            files: &self.files,
            size,
        };
        if proof::root(&nodes, known.size())? == *known.root() {
            Ok(())
        } else {
            Err(IntegrityFault::Fork { size: known.size() }.into())
        }
    }

    fn make_stale(&mut self) {
        if let State::Live(live) = &mut self.state
            && let Err(RecordError::MustEnd { path }) = live.join_flush()
        {
            self.state = State::Broken { path };
            return;
        }
        self.state = State::Stale;
    }

    fn acquire(&mut self) -> Result<(), RecordError> {
        if self.lock.is_none() {
            let waited_ms = self.options.lock_wait_ms;
            let guard = self.disk().lock(waited_ms)?;
            self.lock = Some(guard.ok_or(RecordError::Busy { waited_ms })?);
        }
        Ok(())
    }

    /// Lets others write to the log, unless the lock is held for life.
    pub(crate) fn release(&mut self) {
        if self.options.lock == LockMode::Batch {
            self.lock = None;
        }
    }

    fn disk(&self) -> &Arc<dyn Disk> {
        &self.files.disk
    }

    fn live(&mut self) -> Result<&mut Live, RecordError> {
        match &mut self.state {
            State::Live(live) => Ok(live),
            State::Broken { path } => Err(RecordError::MustEnd { path: path.clone() }),
            State::Stale => Err(RecordError::NoLog),
        }
    }
}

// A record takes at least one entry of the largest size.
const MAX_ROOM_FLOOR: usize = custos_core::limits::MAX_ENTRY_BYTES + 2;

impl<'a> Batch<'a> {
    fn len(&self) -> u64 {
        u64::try_from(self.hashes.len()).unwrap_or(u64::MAX)
    }

    fn push(&mut self, buffer: &'a [u8], range: Range<usize>, leaf: Hash) {
        self.bytes += range.len();
        self.hashes.push(leaf);
        match self.pieces.last_mut() {
            Some(last) if std::ptr::eq(last.buffer, buffer) && last.range.end == range.start => {
                last.range.end = range.end;
            }
            _ => self.pieces.push(Piece { buffer, range }),
        }
    }

    fn slices(&self) -> impl Iterator<Item = &'a [u8]> {
        self.pieces
            .iter()
            .map(|piece| piece.buffer.get(piece.range.clone()).unwrap_or_default())
    }
}

// Where the entries lie in `bytes`, each with its length in front.
fn entry_ranges(bytes: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    split_entries(bytes).map(move |entry| {
        let start = at;
        at += entry.len();
        start..at
    })
}

impl Live {
    fn next_header(&self, origin: &str) -> Header {
        Header {
            sequence: self.wal.next_sequence,
            record_bytes: 0,
            first: self.tree.size(),
            count: 0,
            checkpoint_bytes: 0,
            flushed: self.wal.flushed,
            previous_root: self.tree.root(),
            log_id: sha256(origin.as_bytes()),
            previous_checksum: self.wal.last_checksum,
            checksum: [0; 32],
        }
    }

    fn write(
        &mut self,
        mut header: Header,
        checkpoint: &str,
        batch: &Batch<'_>,
    ) -> Result<(), RecordError> {
        let front = header.seal(checkpoint, batch.bytes, &batch.hashes).ok_or(
            RecordError::TooManyLeaves {
                found: batch.hashes.len(),
            },
        )?;
        let parts: Vec<&[u8]> = std::iter::once(front.as_slice())
            .chain(batch.slices())
            .chain([header.padding()])
            .collect();
        let offset = u64::try_from(self.wal.offset).unwrap_or(u64::MAX);
        self.segment.write_at(offset, &parts)?;
        self.segment.sync_data()?;
        self.wal.offset += header.padded_bytes();
        self.wal.next_sequence += 1;
        self.wal.last_checksum = header.checksum;
        self.said = header.flushed;
        // If a durable record says that the tree at the start of this segment was flushed, recovery
        // will not start from the older one again.
        if self.said >= self.wal.base {
            self.retired.extend(self.wal.older_base.take());
        }
        Ok(())
    }

    fn find(&mut self, leaf: &Hash, files: &TileFiles) -> Result<Option<u64>, RecordError> {
        let Some(index) = &mut self.index else {
            return Ok(None);
        };
        if let Some(position) = index.recent(leaf) {
            return Ok(Some(position));
        }
        let nodes = Nodes {
            files,
            size: self.head.size,
        };
        for position in index.older(leaf, files)? {
            if nodes.node(0, position)? == *leaf {
                return Ok(Some(position));
            }
        }
        Ok(None)
    }

    // The files of all records so far, with the partial tiles that their checkpoint needs.
    fn take_files(&mut self) -> Vec<TreeFile> {
        self.tree.mark_boundary();
        self.tree.take_partials(&mut self.files);
        std::mem::take(&mut self.files)
    }

    fn take_publication(&mut self) -> Publication {
        Publication {
            files: self.take_files(),
            head: Arc::clone(&self.head),
            bases: [Some(self.wal.base), self.wal.older_base],
            retired: std::mem::take(&mut self.retired),
        }
    }

    fn join_flush(&mut self) -> Result<(), RecordError> {
        let Some(flush) = self.flush.take() else {
            return Ok(());
        };
        match flush.thread.join() {
            Ok(outcome) => outcome?,
            Err(_) => {
                return Err(RecordError::died());
            }
        }
        self.wal.flushed = flush.size;
        Ok(())
    }

    // Whether no other process has written since: neither a checkpoint nor a record.
    fn is_current(&self, disk: &Arc<dyn Disk>) -> Result<bool, RecordError> {
        let published = match disk.read(CHECKPOINT, MAX_NOTE_BYTES) {
            Err(error) if error.is_not_found() => return Ok(false),
            outcome => outcome?,
        };
        if published != self.head.checkpoint.as_bytes() {
            return Ok(false);
        }
        let newer = |bytes: &[u8]| {
            Header::parse(bytes).is_some_and(|header| header.sequence >= self.wal.next_sequence)
        };
        let at = u64::try_from(self.wal.offset).unwrap_or(u64::MAX);
        if newer(&self.segment.read_at(at, HEADER_BYTES)?) {
            return Ok(false);
        }
        match disk.open(segment_path(1 - self.wal.segment), false) {
            Err(error) if error.is_not_found() => Ok(true),
            outcome => Ok(!newer(&outcome?.read_at(0, HEADER_BYTES)?)),
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // The log must not be free for others before: a flush that fails loses what they write
        // meanwhile. Whoever comes next trusts no file that was not said to be flushed.
        let _ = self.join_flush();
    }
}

// Opens a segment with at least `wanted` bytes, all of them written and durable, so that a sync
// of a record has no metadata to write.
fn prepare_segment(
    disk: &Arc<dyn Disk>,
    segment: usize,
    wanted: usize,
) -> Result<(Box<dyn DiskFile>, usize), RecordError> {
    let file = disk.open(segment_path(segment), true)?;
    let mut at = usize::try_from(file.size()?).unwrap_or(usize::MAX);
    let capacity = at.max(wanted) / BLOCK * BLOCK;
    while at < wanted {
        let piece = ZEROS.min(wanted - at);
        file.write_at(u64::try_from(at).unwrap_or(u64::MAX), &[&vec![0; piece]])?;
        at += piece;
    }
    // Even if it was there: whoever made it may have been killed before it was durable.
    file.sync_data()?;
    disk.sync_dir("wal")?;
    Ok((file, capacity))
}
