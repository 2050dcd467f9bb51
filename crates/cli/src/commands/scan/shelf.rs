//! Room for what is unpacked: files without a name, which end with the process, and a bound for all
//! of them together.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use custos_scan::source::ReadAt;
use custos_scan::{Place, Shelf};

use crate::context::Context;
use crate::system;

/// How many bytes are copied at a time.
const CHUNK: usize = 256 << 10;

/// A folder that lends room.
#[derive(Debug)]
pub struct Disk {
    folder: PathBuf,
    most: u64,
    used: Arc<AtomicU64>,
    next: AtomicU64,
}

impl Disk {
    /// Lends room in the home if there is one, else where temporary files go.
    pub fn new(most: u64, context: &Context) -> Self {
        let home = context.home().ok().map(|home| home.cache());
        Self {
            folder: home
                .filter(|folder| folder.is_dir())
                .unwrap_or_else(system::temporary),
            most,
            used: Arc::default(),
            next: AtomicU64::new(0),
        }
    }

    /// Keeps everything that `from` gives.
    pub fn keep(&self, from: &mut dyn Read) -> io::Result<Unnamed> {
        let mut place = self.empty()?;
        let mut buffer = vec![0; CHUNK];
        loop {
            match from.read(&mut buffer) {
                Ok(0) => return Ok(place),
                Ok(count) => place.append(buffer.get(..count).unwrap_or_default())?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Returns an empty place.
    pub fn empty(&self) -> io::Result<Unnamed> {
        Ok(Unnamed {
            file: self.unnamed()?,
            len: 0,
            most: self.most,
            used: Arc::clone(&self.used),
        })
    }

    // A file that nobody else can open, and that is gone with its descriptor.
    fn unnamed(&self) -> io::Result<File> {
        let flags = rustix::fs::OFlags::TMPFILE.bits();
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(0o600);
        let unnamed = i32::try_from(flags)
            .map_err(io::Error::other)
            .and_then(|flags| options.clone().custom_flags(flags).open(&self.folder));
        unnamed.or_else(|_| {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let name = format!(".custos-scan-{}-{number}", std::process::id());
            let path = self.folder.join(name);
            let file = options.create_new(true).open(&path)?;
            std::fs::remove_file(&path)?;
            Ok(file)
        })
    }
}

impl Shelf for Disk {
    fn place(&self) -> io::Result<Box<dyn Place>> {
        Ok(Box::new(self.empty()?))
    }
}

/// A file without a name.
#[derive(Debug)]
pub struct Unnamed {
    file: File,
    len: u64,
    most: u64,
    // Of all places of the shelf.
    used: Arc<AtomicU64>,
}

impl Place for Unnamed {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let more = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let used = self.used.fetch_add(more, Ordering::Relaxed);
        self.len = self.len.saturating_add(more);
        if used.saturating_add(more) > self.most {
            return Err(io::Error::other(
                "there is no more room for unpacked bytes (--max-disk)",
            ));
        }
        self.file.write_all(bytes)
    }
}

impl ReadAt for Unnamed {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }
}

impl Drop for Unnamed {
    fn drop(&mut self) {
        self.used.fetch_sub(self.len, Ordering::Relaxed);
    }
}
