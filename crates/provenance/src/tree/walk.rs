//! The walk: all cores read folders and ask for the stamps of what lies in them.

use std::ffi::{CStr, CString};
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use custos_core::oms::{Exclusions, TreePath};
use rustix::fs::{Dir, FileType};
use rustix::io::Errno;

use super::root::{Opened, Root, Stamp, stat_in};
use super::{File, Links, NameFault, Options, Target, TreeError};

/// Names of one folder that one thread takes at a time: a folder with very many files is shared.
const BATCH: usize = 1024;

/// Most threads: more do not help the kernel's directory cache.
const MAX_THREADS: usize = 32;

/// Most faults that are kept; the rest adds nothing.
const MAX_FAULTS: usize = 1000;

#[derive(Default)]
pub(super) struct Walked {
    pub(super) files: Vec<File>,
    pub(super) faults: Vec<TreeError>,
    pub(super) outside: Vec<String>,
    // What is to be done next.
    jobs: Vec<Job>,
}

/// Walks everything beneath the root folder.
pub(super) fn walk(
    root: &Root,
    options: &Options,
    exclusions: &Exclusions,
) -> Result<Walked, TreeError> {
    let follow = options.links != Links::Reject;
    let canonical = if follow {
        Some(
            root.canonical()
                .map_err(|errno| TreeError::from_errno("", errno))?,
        )
    } else {
        None
    };
    let walk = Walk {
        root,
        options,
        exclusions,
        canonical,
        queue: Queue::default(),
    };
    let top = Place {
        listed: String::new(),
        target: None,
        depth: 0,
        above: None,
    };
    walk.queue.push(vec![Job::Folder(top)]);
    let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let threads = options
        .threads
        .map_or(cores, NonZeroUsize::get)
        .clamp(1, MAX_THREADS);
    let parts: Vec<Result<Walked, TreeError>> = thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(|| walk.work())).collect();
        let mut parts = vec![walk.work()];
        // A panic in a thread is ours to pass on, not to hide.
        parts.extend(others.into_iter().map(|thread| {
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        }));
        parts
    });
    let mut all = Walked::default();
    for part in parts {
        let part = part?;
        all.files.extend(part.files);
        all.faults.extend(part.faults);
        all.outside.extend(part.outside);
    }
    Ok(all)
}

struct Walk<'a> {
    root: &'a Root,
    options: &'a Options,
    exclusions: &'a Exclusions,
    // The root's own path, where links are followed.
    canonical: Option<PathBuf>,
    queue: Queue,
}

enum Job {
    Folder(Place),
    Names(Arc<Folder>, Vec<(CString, FileType)>),
}

/// Where a folder stands in the listing, and where it really is.
struct Place {
    listed: String,
    target: Option<Target>,
    depth: usize,
    above: Option<Arc<Ancestor>>,
}

/// The folders above one, by identity: where links are followed, a circle shows here.
struct Ancestor {
    identity: (u64, u64),
    above: Option<Arc<Self>>,
}

struct Folder {
    fd: OwnedFd,
    place: Place,
}

impl Walk<'_> {
    fn work(&self) -> Result<Walked, TreeError> {
        let _guard = StopOnPanic(&self.queue);
        let mut found = Walked::default();
        while let Some(job) = self.queue.take() {
            let before = found.files.len();
            let folders = usize::from(matches!(job, Job::Folder(_)));
            let outcome = match job {
                Job::Folder(place) => self.folder(place, &mut found),
                Job::Names(folder, names) => names
                    .iter()
                    .try_for_each(|(name, kind)| self.name(&folder, name, *kind, &mut found)),
            };
            let done = (found.files.len() - before, folders);
            let (files, folders) = self.queue.done(&mut found.jobs, done);
            let limit = self.options.max_files;
            let outcome = match outcome {
                Ok(()) if files > limit => Err(TreeError::TooManyFiles { limit }),
                // Two links in each of sixty folders lead to 2^60 places, none with a file.
                Ok(()) if folders > limit => Err(TreeError::TooManyFolders { limit }),
                outcome => outcome,
            };
            outcome.inspect_err(|_| self.queue.stop())?;
        }
        Ok(found)
    }

    fn folder(&self, mut place: Place, found: &mut Walked) -> Result<(), TreeError> {
        if place.depth > self.options.max_depth {
            let limit = self.options.max_depth;
            return Err(TreeError::TooDeep {
                path: place.listed,
                limit,
            });
        }
        let fail = |place: &Place, errno| TreeError::from_errno(&place.listed, errno);
        let fd = match &place.target {
            None => self.root.open_folder(&place.listed),
            Some(Target::Beneath(path)) => self.root.open_folder(path),
            Some(Target::Outside(path)) => Root::open_folder_outside(path),
        }
        .map_err(|errno| fail(&place, errno))?;
        if self.canonical.is_some() {
            let stat = rustix::fs::fstat(&fd).map_err(|errno| fail(&place, errno))?;
            let stamp = Stamp::new(&stat);
            let identity = (stamp.device, stamp.inode);
            if contains(place.above.as_ref(), identity) {
                found.fault(TreeError::LinkCycle { path: place.listed });
                return Ok(());
            }
            place.above = Some(Arc::new(Ancestor {
                identity,
                above: place.above.take(),
            }));
        }
        let names = read_names(&fd).map_err(|errno| fail(&place, errno))?;
        let folder = Arc::new(Folder { fd, place });
        let mut names = names.into_iter();
        let own: Vec<_> = names.by_ref().take(BATCH).collect();
        loop {
            let batch: Vec<_> = names.by_ref().take(BATCH).collect();
            if batch.is_empty() {
                break;
            }
            found.jobs.push(Job::Names(Arc::clone(&folder), batch));
        }
        // What others can take goes out before this thread sits down to its own share.
        self.queue.push(std::mem::take(&mut found.jobs));
        own.iter()
            .try_for_each(|(name, kind)| self.name(&folder, name, *kind, found))
    }

    #[allow(
        clippy::too_many_arguments,
        reason = "the walk, and what it fills, are not parameters"
    )]
    fn name(
        &self,
        folder: &Folder,
        name: &CStr,
        kind: FileType,
        found: &mut Walked,
    ) -> Result<(), TreeError> {
        let listed = match listed(&folder.place.listed, name) {
            Ok(listed) => listed,
            Err(fault) => {
                found.fault(fault);
                return Ok(());
            }
        };
        if self.exclusions.lists(&listed) {
            return Ok(());
        }
        // The type that the folder gives saves a call for each folder in it.
        let stamp = match kind {
            FileType::Directory => None,
            _ => Some(
                stat_in(&folder.fd, name).map_err(|errno| TreeError::from_errno(&listed, errno))?,
            ),
        };
        let target = folder.place.target.as_ref().map(|target| target.join(name));
        match (stamp.map_or(FileType::Directory, |stamp| stamp.kind), stamp) {
            (FileType::Directory, _) => {
                let (depth, above) = (folder.place.depth + 1, folder.place.above.clone());
                found.jobs.push(Job::Folder(Place {
                    listed,
                    target,
                    depth,
                    above,
                }));
            }
            (FileType::RegularFile, Some(stamp)) => {
                let target = target.map(Box::new);
                found.files.push(File {
                    path: listed.into(),
                    stamp,
                    target,
                });
            }
            (FileType::Symlink, _) => self.link(folder, listed, found)?,
            _ => found.fault(TreeError::Special { path: listed }),
        }
        Ok(())
    }

    fn link(&self, folder: &Folder, listed: String, found: &mut Walked) -> Result<(), TreeError> {
        let (target, opened) = match self.follow(folder, &listed) {
            Ok(followed) => followed,
            Err(
                fault @ (TreeError::Link { .. }
                | TreeError::LinkCycle { .. }
                | TreeError::LinkDangling { .. }
                | TreeError::LinkOutside { .. }),
            ) => {
                found.fault(fault);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        if matches!(target, Target::Outside(_)) {
            found.outside.push(listed.clone());
        }
        let stamp = opened
            .stamp()
            .map_err(|errno| TreeError::from_errno(&listed, errno))?;
        match stamp.kind {
            FileType::RegularFile => {
                let target = Some(Box::new(target));
                found.files.push(File {
                    path: listed.into(),
                    stamp,
                    target,
                });
            }
            FileType::Directory => {
                let target = Some(target);
                let (depth, above) = (folder.place.depth + 1, folder.place.above.clone());
                found.jobs.push(Job::Folder(Place {
                    listed,
                    target,
                    depth,
                    above,
                }));
            }
            _ => found.fault(TreeError::Special { path: listed }),
        }
        Ok(())
    }

    // Opens what a link leads to: the resolved path, and again through no link. If something is
    // swapped in between, the opening fails or stays beneath the root.
    fn follow(&self, folder: &Folder, listed: &str) -> Result<(Target, Opened), TreeError> {
        let path = listed.to_owned();
        let Some(canonical) = &self.canonical else {
            return Err(TreeError::Link { path });
        };
        let name = listed.rsplit('/').next().unwrap_or_default();
        let link = match folder.place.target.as_ref() {
            Some(Target::Outside(above)) => above.join(name),
            Some(Target::Beneath(above)) => canonical.join(above).join(name),
            None => canonical.join(listed),
        };
        let real = match Root::resolve(&link) {
            Ok(real) => real,
            Err(Errno::NOENT | Errno::NOTDIR) => return Err(TreeError::LinkDangling { path }),
            Err(Errno::LOOP) => return Err(TreeError::LinkCycle { path }),
            Err(errno) => return Err(TreeError::from_errno(listed, errno)),
        };
        let (target, opened) = match (beneath(canonical, &real), self.options.links) {
            (Some(path), _) => {
                let opened = self.root.open(if path.is_empty() { "." } else { &path });
                (Target::Beneath(path), opened)
            }
            (None, Links::FollowOutside) => {
                let opened = Root::open_outside(&real);
                (Target::Outside(real), opened)
            }
            (None, _) => return Err(TreeError::LinkOutside { path, target: real }),
        };
        let opened = opened.map_err(|errno| TreeError::from_errno(listed, errno))?;
        Ok((target, opened))
    }
}

impl Target {
    fn join(&self, name: &CStr) -> Self {
        // The listed name was checked to be UTF-8.
        let name = name.to_str().unwrap_or_default();
        match self {
            Self::Beneath(path) if path.is_empty() => Self::Beneath(name.to_owned()),
            Self::Beneath(path) => Self::Beneath(format!("{path}/{name}")),
            Self::Outside(path) => Self::Outside(path.join(name)),
        }
    }
}

fn contains(mut above: Option<&Arc<Ancestor>>, identity: (u64, u64)) -> bool {
    while let Some(ancestor) = above {
        if ancestor.identity == identity {
            return true;
        }
        above = ancestor.above.as_ref();
    }
    false
}

fn beneath(canonical: &Path, real: &Path) -> Option<String> {
    real.strip_prefix(canonical)
        .ok()?
        .to_str()
        .map(str::to_owned)
}

impl Walked {
    fn fault(&mut self, fault: TreeError) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(fault);
        }
    }
}

fn listed(folder: &str, name: &CStr) -> Result<String, TreeError> {
    let join = |name: &str| {
        if folder.is_empty() {
            name.to_owned()
        } else {
            format!("{folder}/{name}")
        }
    };
    let Ok(text) = name.to_str() else {
        let path = join(&name.to_string_lossy());
        return Err(TreeError::Name {
            path,
            fault: NameFault::NotUtf8,
        });
    };
    let path = join(text);
    match TreePath::check(&path) {
        Ok(()) => Ok(path),
        Err(fault) => Err(TreeError::Name {
            path,
            fault: NameFault::Path(fault),
        }),
    }
}

fn read_names(fd: &OwnedFd) -> Result<Vec<(CString, FileType)>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(fd)? {
        let entry = entry?;
        if entry.file_name() != c"." && entry.file_name() != c".." {
            names.push((entry.file_name().to_owned(), entry.file_type()));
        }
    }
    Ok(names)
}

/// Jobs for all threads; it is over when nothing is left and nobody is busy.
#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    // Last in, first out: keeps the number of open folders low.
    jobs: Vec<Job>,
    busy: usize,
    files: usize,
    folders: usize,
    stopped: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, jobs: Vec<Job>) {
        if jobs.is_empty() {
            return;
        }
        self.lock().jobs.extend(jobs);
        self.changed.notify_all();
    }

    fn take(&self) -> Option<Job> {
        let mut state = self.lock();
        loop {
            if state.stopped {
                return None;
            }
            if let Some(job) = state.jobs.pop() {
                state.busy += 1;
                return Some(job);
            }
            if state.busy == 0 {
                return None;
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Returns the numbers of files and folders so far.
    fn done(&self, jobs: &mut Vec<Job>, (files, folders): (usize, usize)) -> (usize, usize) {
        let mut state = self.lock();
        state.jobs.append(jobs);
        state.busy -= 1;
        state.files += files;
        state.folders += folders;
        let done = (state.files, state.folders);
        drop(state);
        self.changed.notify_all();
        done
    }

    fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_all();
    }
}

/// A panicking thread would leave the others waiting for it.
struct StopOnPanic<'a>(&'a Queue);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.stop();
        }
    }
}
