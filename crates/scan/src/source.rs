//! Bytes to look at: anything that can be read at any place, and a cursor over it.
//!
//! A file may be larger than memory, and lie to whoever reads it twice. [`Watched`] reads blocks,
//! remembers a digest of each that a parser saw, and the one pass that hashes the whole file
//! compares: what was looked at is what was hashed, or the scan says that the file changed.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use custos_core::digest::{Algorithm, Digest};

/// Bytes that can be read at any place.
pub trait ReadAt {
    /// Returns how many bytes there are.
    fn len(&self) -> u64;

    /// Reads at `offset` until `buffer` is full or the bytes end, and returns how many there were.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// Returns where in the scanned file these bytes begin, if they are a piece of it.
    fn origin(&self) -> Option<u64> {
        None
    }

    /// Returns all of the bytes if they are in memory anyway, so that nobody has to copy them.
    fn held(&self) -> Option<&[u8]> {
        None
    }

    /// Returns true if there are no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl ReadAt for [u8] {
    fn len(&self) -> u64 {
        u64::try_from(<[u8]>::len(self)).unwrap_or(u64::MAX)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = usize::try_from(offset)
            .ok()
            .and_then(|offset| self.get(offset..))
            .unwrap_or_default();
        let count = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        Ok(count)
    }

    fn held(&self) -> Option<&[u8]> {
        Some(self)
    }
}

impl ReadAt for Vec<u8> {
    fn len(&self) -> u64 {
        self.as_slice().len().try_into().unwrap_or(u64::MAX)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.as_slice().read_at(offset, buffer)
    }

    fn held(&self) -> Option<&[u8]> {
        Some(self)
    }
}

/// A part of something, as if it were all.
#[derive(Clone, Copy)]
pub struct Part<'a> {
    whole: &'a dyn ReadAt,
    start: u64,
    len: u64,
}

impl<'a> Part<'a> {
    /// Returns the bytes of `range`, as far as they are there.
    pub fn new(whole: &'a dyn ReadAt, range: Range<u64>) -> Self {
        let end = range.end.min(whole.len());
        let start = range.start.min(end);
        Self {
            whole,
            start,
            len: end.saturating_sub(start),
        }
    }
}

impl ReadAt for Part<'_> {
    fn len(&self) -> u64 {
        self.len
    }

    fn origin(&self) -> Option<u64> {
        self.whole.origin()?.checked_add(self.start)
    }

    fn held(&self) -> Option<&[u8]> {
        let start = usize::try_from(self.start).ok()?;
        let end = start.checked_add(usize::try_from(self.len).ok()?)?;
        self.whole.held()?.get(start..end)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.len.saturating_sub(offset);
        let most = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let Some(buffer) = buffer.get_mut(..most) else {
            return Ok(0);
        };
        self.whole
            .read_at(self.start.saturating_add(offset), buffer)
    }
}

/// Size of the blocks that are read and remembered: small, as each that a parser sees is hashed
/// once more, and a look at the ends of a thousand tensors shall not be one at the whole file.
pub const BLOCK: usize = 16 << 10;
/// Most blocks that are kept in memory.
const KEPT: usize = 256;

/// A file of which parsers read blocks, and which is hashed in one pass.
pub struct Watched<'a> {
    file: &'a dyn ReadAt,
    len: u64,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    kept: BTreeMap<u64, Kept>,
    clock: u64,
    seen: BTreeMap<u64, Digest>,
    changed: bool,
}

struct Kept {
    bytes: Arc<[u8]>,
    used: u64,
}

impl<'a> Watched<'a> {
    /// Watches a file; its length is what it is now.
    pub fn new(file: &'a dyn ReadAt) -> Self {
        Self {
            len: file.len(),
            file,
            state: RefCell::default(),
        }
    }

    /// Hashes the whole file, block by block, handing each to `each` as well. Returns the digest,
    /// or `None` if the file is not what parsers saw.
    pub fn digest(&self, mut each: impl FnMut(&[u8])) -> io::Result<Option<Digest>> {
        // Few enough to stay in the processor's cache from being read to being summed.
        const BLOCKS: usize = 64;
        let mut hasher = Algorithm::Sha256.hasher();
        let mut buffer = vec![0; BLOCK.saturating_mul(BLOCKS)];
        let mut at = 0_u64;
        let state = self.state.borrow();
        let mut same = !state.changed;
        loop {
            let count = read_full(self.file, at, &mut buffer)?;
            let read = buffer.get(..count).unwrap_or_default();
            hasher.update(read);
            each(read);
            for block in read.chunks(BLOCK) {
                if let Some(seen) = state.seen.get(&at) {
                    same &= *seen == Algorithm::Sha256.digest(block);
                }
                at = at.saturating_add(u64::try_from(block.len()).unwrap_or(u64::MAX));
            }
            if count < buffer.len() {
                break;
            }
        }
        same &= at == self.len && self.file.len() == self.len;
        Ok(same.then(|| hasher.finish()))
    }

    fn block(&self, start: u64) -> io::Result<Arc<[u8]>> {
        let mut state = self.state.borrow_mut();
        state.clock = state.clock.saturating_add(1);
        let now = state.clock;
        if let Some(kept) = state.kept.get_mut(&start) {
            kept.used = now;
            return Ok(Arc::clone(&kept.bytes));
        }
        let mut buffer = vec![0; BLOCK];
        let count = read_full(self.file, start, &mut buffer)?;
        buffer.truncate(count);
        let digest = Algorithm::Sha256.digest(&buffer);
        match state.seen.get(&start) {
            Some(seen) if *seen != digest => state.changed = true,
            Some(_) => {}
            None => {
                state.seen.insert(start, digest);
            }
        }
        if state.kept.len() >= KEPT {
            let oldest = state.kept.iter().min_by_key(|(_, kept)| kept.used);
            if let Some(oldest) = oldest.map(|(start, _)| *start) {
                state.kept.remove(&oldest);
            }
        }
        let bytes: Arc<[u8]> = buffer.into();
        let kept = Kept {
            bytes: Arc::clone(&bytes),
            used: now,
        };
        state.kept.insert(start, kept);
        Ok(bytes)
    }
}

impl ReadAt for Watched<'_> {
    fn len(&self) -> u64 {
        self.len
    }

    fn origin(&self) -> Option<u64> {
        Some(0)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let block = u64::try_from(BLOCK).unwrap_or(u64::MAX);
        let mut done = 0;
        while done < buffer.len() {
            let at = offset.saturating_add(u64::try_from(done).unwrap_or(u64::MAX));
            if at >= self.len {
                break;
            }
            let within = at.checked_rem(block).unwrap_or(0);
            let bytes = self.block(at.saturating_sub(within))?;
            let rest = usize::try_from(within)
                .ok()
                .and_then(|within| bytes.get(within..))
                .unwrap_or_default();
            let Some(target) = buffer.get_mut(done..) else {
                break;
            };
            let count = rest.len().min(target.len());
            if count == 0 {
                break;
            }
            for (to, from) in target.iter_mut().zip(rest) {
                *to = *from;
            }
            done = done.saturating_add(count);
        }
        Ok(done)
    }
}

/// Reads all of it; whoever calls has looked at how much that is.
pub(crate) fn read_all(from: &dyn ReadAt) -> io::Result<Vec<u8>> {
    if let Some(held) = from.held() {
        return Ok(held.to_vec());
    }
    let size = usize::try_from(from.len()).map_err(io::Error::other)?;
    let mut bytes = vec![0; size];
    if read_full(from, 0, &mut bytes)? < size {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "it became shorter while it was read",
        ));
    }
    Ok(bytes)
}

/// Reads all of what was `len` bytes long a moment ago: in one go, if it still is.
pub(crate) fn read_len(from: &dyn ReadAt, len: u64) -> io::Result<Vec<u8>> {
    let size = usize::try_from(len).map_err(io::Error::other)?;
    // One more byte would be there if it had grown.
    let mut bytes = vec![0; size.saturating_add(1)];
    match from.read_at(0, &mut bytes) {
        Ok(count) if count == size => {
            bytes.truncate(count);
            Ok(bytes)
        }
        _ => read_all(from),
    }
}

/// Reads until the buffer is full or the bytes end.
pub(crate) fn read_full(from: &dyn ReadAt, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
        let at = offset.saturating_add(u64::try_from(done).unwrap_or(u64::MAX));
        match from.read_at(at, rest) {
            Ok(0) => break,
            Ok(count) => done = done.saturating_add(count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// Returns where in `range` the first byte is that is not `filler`.
pub(crate) fn find_other(from: &dyn ReadAt, range: Range<u64>, filler: u8) -> Option<u64> {
    let mut found = None;
    each(from, range, |at, read| {
        let other = read.iter().position(|byte| *byte != filler);
        found = other.and_then(|other| at.checked_add(u64::try_from(other).ok()?));
        found.is_none()
    })
    .ok()?;
    found
}

/// Returns the CRC-32 of all of it.
pub(crate) fn crc32(from: &dyn ReadAt) -> io::Result<u32> {
    let mut hasher = crc32fast::Hasher::new();
    each(from, 0..from.len(), |_, read| {
        hasher.update(read);
        true
    })?;
    Ok(hasher.finalize())
}

/// Hands out a range piece by piece, each with its place, as long as `with` wants more.
pub(crate) fn each(
    from: &dyn ReadAt,
    range: Range<u64>,
    mut with: impl FnMut(u64, &[u8]) -> bool,
) -> io::Result<()> {
    if let Some(held) = from.held() {
        let bound = |at| usize::try_from(at).unwrap_or(usize::MAX).min(held.len());
        let read = held
            .get(bound(range.start)..bound(range.end))
            .unwrap_or_default();
        if !read.is_empty() {
            with(range.start, read);
        }
        return Ok(());
    }
    // Most looks end soon.
    let mut size = 1 << 10;
    let mut buffer = Vec::new();
    let mut at = range.start;
    while at < range.end {
        let left = usize::try_from(range.end.saturating_sub(at)).unwrap_or(usize::MAX);
        buffer.resize(left.min(size), 0);
        let count = read_full(from, at, &mut buffer)?;
        let read = buffer.get(..count).unwrap_or_default();
        if count == 0 || !with(at, read) {
            break;
        }
        at = at.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        size = size.saturating_mul(4).min(256 << 10);
    }
    Ok(())
}

/// Reads forward from a place, a window at a time.
pub struct Cursor<'a> {
    from: &'a dyn ReadAt,
    // Where the window begins, and what it holds: all there is, if that is in memory.
    start: u64,
    window: Cow<'a, [u8]>,
    // The next byte in the window.
    next: usize,
    end: u64,
    // How much is read next: more and more as long as it goes forward.
    ahead: usize,
}

/// Why a cursor gives nothing more.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CursorError {
    /// The bytes end before what was asked for.
    #[error("the bytes end at {at}")]
    End {
        /// Where they end.
        at: u64,
    },
    /// Reading failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl<'a> Cursor<'a> {
    const WINDOW: usize = 32 << 10;
    const FIRST: usize = 512;

    /// Returns a cursor at `start`.
    pub fn at(from: &'a dyn ReadAt, start: u64) -> Self {
        let mut cursor = Self {
            from,
            start,
            window: Cow::Borrowed(&[]),
            next: 0,
            end: from.len(),
            ahead: Self::FIRST,
        };
        cursor.go(start);
        cursor
    }

    // Leaves the window.
    fn go(&mut self, to: u64) {
        let held = self.from.held().unwrap_or_default();
        match usize::try_from(to) {
            Ok(next) if next < held.len() => {
                self.start = 0;
                self.next = next;
                self.window = Cow::Borrowed(held);
            }
            _ => {
                self.start = to;
                self.next = 0;
                self.empty();
                self.ahead = Self::FIRST;
            }
        }
    }

    // Keeps the room of the window, if it is its own.
    fn empty(&mut self) {
        match &mut self.window {
            Cow::Owned(own) => own.clear(),
            Cow::Borrowed(_) => self.window = Cow::Borrowed(&[]),
        }
    }

    /// Returns what it reads.
    pub fn source(&self) -> &'a dyn ReadAt {
        self.from
    }

    /// Returns the place of the next byte.
    #[inline]
    pub fn position(&self) -> u64 {
        self.start
            .saturating_add(u64::try_from(self.next).unwrap_or(u64::MAX))
    }

    /// Returns how many bytes are left.
    pub fn left(&self) -> u64 {
        self.end.saturating_sub(self.position())
    }

    /// Goes to another place.
    pub fn seek(&mut self, to: u64) {
        let within = to
            .checked_sub(self.start)
            .and_then(|within| usize::try_from(within).ok())
            .filter(|within| *within <= self.window.len());
        if let Some(within) = within {
            self.next = within;
        } else {
            self.go(to);
        }
    }

    /// Leaves out `count` bytes, all of which have to be there.
    #[inline]
    pub fn skip(&mut self, count: u64) -> Result<(), CursorError> {
        if count > self.left() {
            return Err(CursorError::End { at: self.end });
        }
        self.seek(self.position().saturating_add(count));
        Ok(())
    }

    /// Returns the next byte.
    #[inline]
    pub fn u8(&mut self) -> Result<u8, CursorError> {
        if let Some(byte) = self.window.get(self.next) {
            self.next = self.next.saturating_add(1);
            return Ok(*byte);
        }
        let [byte] = self.array()?;
        Ok(byte)
    }

    /// Returns the next bytes.
    #[inline]
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], CursorError> {
        let mut array = [0; N];
        let bytes = self.ahead(N)?;
        for (to, from) in array.iter_mut().zip(bytes) {
            *to = *from;
        }
        self.next = self.next.saturating_add(N);
        Ok(array)
    }

    /// Returns the next bytes as a number, the least first.
    #[inline]
    pub fn u16(&mut self) -> Result<u16, CursorError> {
        self.array().map(u16::from_le_bytes)
    }

    /// Returns the next bytes as a number, the least first.
    #[inline]
    pub fn u32(&mut self) -> Result<u32, CursorError> {
        self.array().map(u32::from_le_bytes)
    }

    /// Returns the next bytes as a number, the least first.
    #[inline]
    pub fn u64(&mut self) -> Result<u64, CursorError> {
        self.array().map(u64::from_le_bytes)
    }

    /// Returns the next bytes, which stay ahead; fewer at the end.
    pub fn peek(&mut self, count: usize) -> &[u8] {
        let left = usize::try_from(self.left()).unwrap_or(usize::MAX);
        self.ahead(count.min(left)).unwrap_or_default()
    }

    /// Returns the next `count` bytes; `count` is the caller's limit, not the file's word.
    pub fn take(&mut self, count: usize) -> Result<Vec<u8>, CursorError> {
        if u64::try_from(count).unwrap_or(u64::MAX) > self.left() {
            return Err(CursorError::End { at: self.end });
        }
        if count <= Self::WINDOW {
            let bytes = self.ahead(count)?.to_vec();
            self.next = self.next.saturating_add(count);
            return Ok(bytes);
        }
        let mut bytes = vec![0; count];
        let read = read_full(self.from, self.position(), &mut bytes)?;
        if read < count {
            return Err(CursorError::End { at: self.end });
        }
        self.skip(u64::try_from(count).unwrap_or(u64::MAX))?;
        Ok(bytes)
    }

    /// Returns a line of at most `most` bytes without its end, or `None` if it is longer.
    pub fn line(&mut self, most: usize) -> Result<Option<Vec<u8>>, CursorError> {
        let mut line = Vec::new();
        // Most lines lie in the window.
        let ahead = self.window.get(self.next..).unwrap_or_default();
        if let Some(end) = ahead.iter().take(most).position(|byte| *byte == b'\n') {
            line.extend_from_slice(ahead.get(..end).unwrap_or_default());
            self.next = self.next.saturating_add(end).saturating_add(1);
            return Ok(Some(line));
        }
        loop {
            match self.u8()? {
                b'\n' => return Ok(Some(line)),
                byte if line.len() < most => line.push(byte),
                _ => return Ok(None),
            }
        }
    }

    // The next `count` bytes, which stay ahead.
    #[inline]
    fn ahead(&mut self, count: usize) -> Result<&[u8], CursorError> {
        let end = self.next.saturating_add(count);
        if end > self.window.len() {
            let all = matches!(&self.window, Cow::Borrowed(held) if !held.is_empty());
            if all {
                return Err(CursorError::End { at: self.end });
            }
            self.start = self.position();
            self.next = 0;
            let mut own = std::mem::take(&mut self.window).into_owned();
            own.resize(self.ahead.max(count), 0);
            self.ahead = self.ahead.saturating_mul(4).min(Self::WINDOW);
            let read = read_full(self.from, self.start, &mut own);
            own.truncate(*read.as_ref().unwrap_or(&0));
            self.window = Cow::Owned(own);
            read?;
        }
        self.window
            .get(self.next..self.next.saturating_add(count))
            .ok_or(CursorError::End { at: self.end })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_across_windows_and_stops_at_the_end() {
        let bytes: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
        let mut cursor = Cursor::at(&bytes, 0);
        for number in 0..200_000 {
            assert_eq!(cursor.u32().unwrap(), number);
        }
        assert!(matches!(cursor.u8(), Err(CursorError::End { at: 800_000 })));
        cursor.seek(4);
        assert_eq!(cursor.u16().unwrap(), 1);
        cursor.skip(2).unwrap();
        assert_eq!(cursor.take(100_000).unwrap(), bytes[8..100_008]);
        assert_eq!(cursor.position(), 100_008);
        assert!(cursor.skip(u64::MAX).is_err());
        assert!(cursor.take(usize::MAX).is_err());
        assert_eq!(cursor.u32().unwrap(), 25_002);
    }

    #[test]
    fn lines_have_a_limit() {
        let bytes = b"one\ntwo three\nrest".to_vec();
        let mut cursor = Cursor::at(&bytes, 0);
        assert_eq!(cursor.line(3).unwrap().unwrap(), b"one");
        assert_eq!(cursor.line(3).unwrap(), None);
        cursor.seek(14);
        assert!(cursor.line(9).is_err());
    }

    #[test]
    fn parts_end_where_they_say() {
        let bytes = b"0123456789".to_vec();
        let part = Part::new(&bytes, 2..5);
        let mut buffer = [0; 8];
        assert_eq!(part.read_at(1, &mut buffer).unwrap(), 2);
        assert_eq!(&buffer[..2], b"34");
        assert_eq!(part.read_at(9, &mut buffer).unwrap(), 0);
        assert_eq!(Part::new(&bytes, 8..99).len(), 2);
        assert_eq!(Part::new(&bytes, 99..100).len(), 0);
    }

    // A file that changes when it is told to.
    struct Changing(RefCell<Vec<u8>>);

    impl ReadAt for Changing {
        fn len(&self) -> u64 {
            self.0.borrow().len().try_into().unwrap()
        }

        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.borrow().read_at(offset, buffer)
        }
    }

    #[test]
    fn what_was_looked_at_is_what_is_hashed() {
        let content: Vec<u8> = (0..=250).cycle().take(3 * BLOCK + 7).collect();
        let file = Changing(RefCell::new(content.clone()));
        let watched = Watched::new(&file);
        let mut buffer = vec![0; BLOCK];
        assert_eq!(
            watched.read_at(BLOCK as u64 - 3, &mut buffer).unwrap(),
            BLOCK
        );
        assert_eq!(buffer, content[BLOCK - 3..2 * BLOCK - 3]);
        let mut passed = 0;
        let digest = watched.digest(|block| passed += block.len()).unwrap();
        assert_eq!(digest, Some(Algorithm::Sha256.digest(&content)));
        assert_eq!(passed, content.len());
        // Where nobody looked, a change is part of what is hashed; where somebody did, it is not.
        file.0.borrow_mut()[3 * BLOCK] ^= 1;
        assert!(watched.digest(|_| {}).unwrap().is_some());
        file.0.borrow_mut()[5] ^= 1;
        assert_eq!(watched.digest(|_| {}).unwrap(), None);
        file.0.borrow_mut()[5] ^= 1;
        file.0.borrow_mut().push(0);
        assert_eq!(watched.digest(|_| {}).unwrap(), None);
    }
}
