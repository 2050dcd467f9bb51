//! The writing side: a team's own repository in a folder, which any web server can serve.
//!
//! What the root and targets keys have to sign is *staged*: written down unsigned under `staged/`,
//! where each holder of a key adds a signature to the file ([`Staged::sign`]). [`Repository::publish`]
//! takes over what has enough of them, and then makes snapshot and timestamp with the online key.
//! Nothing that is not complete is ever seen by a client: the timestamp is written last, each file
//! whole and durable, and names carry versions and digests.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use custos_core::clock::Timestamp;
use custos_core::crypto::{KeyId, PublicKey};

use super::error::TufError;
use super::metadata::{
    Head, Key, MetaFile, Metadata, Role, RoleKeys, Root, Signature, Signed, Snapshot, TargetFile,
    Targets, TimestampRole,
};
use super::store::{limit_of, read, storage, write};
use super::trusted::Trusted;
use super::{MAX_KEYS, MAX_ROOTS, MAX_TARGET, is_target_name};
use crate::signer::{SignError, Signer};

const STAGED: &str = "staged";
const TARGETS: &str = "targets";
const DAY: i64 = 86_400_000_000;

/// A repository in a folder.
#[derive(Debug, Clone)]
pub struct Repository {
    dir: PathBuf,
}

/// Whose keys a root names, and for how long it counts.
#[derive(Debug, Clone)]
#[allow(clippy::exhaustive_structs, reason = "an argument list with names")]
pub struct NewRoot {
    /// Keys of the roles root and targets.
    pub keys: Vec<PublicKey>,
    /// How many of them must sign.
    pub threshold: usize,
    /// The key that signs snapshot and timestamp.
    pub online: PublicKey,
    /// When the root expires.
    pub expires: Timestamp,
}

/// For how long metadata counts, in days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "an argument list with names")]
pub struct Lifetimes {
    /// Root and targets.
    pub offline: u32,
    /// Snapshot and timestamp: as long as a client may be kept from news.
    pub online: u32,
}

impl Default for Lifetimes {
    /// A year, and a week.
    fn default() -> Self {
        Self {
            offline: 365,
            online: 7,
        }
    }
}

impl Lifetimes {
    /// Returns when root and targets made now expire.
    pub fn offline_end(self, now: Timestamp) -> Timestamp {
        now.plus_micros(DAY.saturating_mul(i64::from(self.offline)))
    }

    fn online_end(self, now: Timestamp) -> Timestamp {
        now.plus_micros(DAY.saturating_mul(i64::from(self.online)))
    }
}

/// What [`Repository::publish`] did.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Published {
    /// Version of the root.
    pub root: Option<u64>,
    /// Version of the targets metadata.
    pub targets: Option<u64>,
    /// Version of the snapshot.
    pub snapshot: Option<u64>,
    /// Version of the timestamp.
    pub timestamp: Option<u64>,
    /// Staged files that have too few signatures: path, signatures, threshold.
    pub waiting: Vec<(PathBuf, usize, usize)>,
}

impl Repository {
    /// Returns the repository in `dir`, which need not be there yet.
    pub const fn at(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Returns the folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Follows the roots from the first one; `None` if there is none.
    pub fn root(&self) -> Result<Option<Trusted>, TufError> {
        let file = |version| self.dir.join(Role::Root.versioned_file(version));
        let Some(first) = read(&file(1), limit_of(Role::Root))? else {
            return Ok(None);
        };
        let mut trusted = Trusted::from_root(&first)?;
        for _ in 0..MAX_ROOTS {
            let next = trusted.root().head.version.saturating_add(1);
            match read(&file(next), limit_of(Role::Root))? {
                Some(bytes) => trusted.update_root(&bytes)?,
                None => return Ok(Some(trusted)),
            }
        }
        Err(TufError::TooManyRoots)
    }

    /// Stages a root, if it says something else than the one that is there.
    pub fn stage_root(&self, new: &NewRoot) -> Result<Option<PathBuf>, TufError> {
        let current = self.root()?;
        let version = current.as_ref().map_or(0, |root| root.root().head.version);
        let mut keys = BTreeMap::new();
        let mut ids = Vec::new();
        for key in &new.keys {
            ids.push(enter(&mut keys, key)?);
        }
        let online = enter(&mut keys, &new.online)?;
        ids.dedup();
        let offline = RoleKeys::new(ids, new.threshold);
        let online = RoleKeys::new(vec![online], 1);
        let roles = BTreeMap::from([
            (Role::Root.name().to_owned(), offline.clone()),
            (Role::Targets.name().to_owned(), offline),
            (Role::Snapshot.name().to_owned(), online.clone()),
            (Role::Timestamp.name().to_owned(), online),
        ]);
        let root = Root {
            head: Head::new(Role::Root, version.saturating_add(1), new.expires),
            consistent_snapshot: true,
            keys,
            roles,
        };
        for role in Role::ALL {
            root.role(role)?;
        }
        let same = current.is_some_and(|old| {
            let old = old.root();
            old.keys == root.keys
                && old.roles == root.roles
                && old.head.expires >= root.head.expires
        });
        if same {
            return Ok(None);
        }
        // What waits for the same change keeps its signatures.
        let staged = self.staged::<Root>()?;
        let waits = staged.is_some_and(|old| {
            let old = old.content();
            old.head.version == root.head.version
                && old.keys == root.keys
                && old.roles == root.roles
        });
        if waits {
            return Ok(Some(self.staged_path(Role::Root)));
        }
        self.stage(&root).map(Some)
    }

    /// Stages targets metadata for these files, if it says something else than what is there. The
    /// files themselves are put in place: without signed metadata nobody asks for them.
    pub fn stage_targets(
        &self,
        files: &BTreeMap<String, Vec<u8>>,
        expires: Timestamp,
    ) -> Result<Option<PathBuf>, TufError> {
        let dir = self.dir.join(TARGETS);
        fs::create_dir_all(&dir).map_err(|error| storage(&dir, &error))?;
        let mut targets = BTreeMap::new();
        for (name, bytes) in files {
            if !is_target_name(name) {
                let name = name.chars().take(80).collect();
                return Err(TufError::Name { name });
            }
            let target = TargetFile::of(bytes);
            if target.length > MAX_TARGET {
                let (path, limit) = (name.clone(), MAX_TARGET);
                return Err(TufError::TooLarge { path, limit });
            }
            let digest = target.digest().map(|digest| digest.to_hex());
            let path = dir.join(format!("{}.{name}", digest.unwrap_or_default()));
            if !path.exists() {
                write(&path, bytes)?;
            }
            targets.insert(name.clone(), target);
        }
        let current = self.latest::<Targets>()?;
        let version = current.as_ref().map_or(0, |old| old.content().head.version);
        if current.is_some_and(|old| old.content().targets == targets) {
            return Ok(None);
        }
        let version = version.saturating_add(1);
        let staged = self.staged::<Targets>()?;
        let waits = staged.is_some_and(|old| {
            let old = old.content();
            old.head.version == version && old.targets == targets
        });
        if waits {
            return Ok(Some(self.staged_path(Role::Targets)));
        }
        let head = Head::new(Role::Targets, version, expires);
        self.stage(&Targets {
            head,
            targets,
            delegations: None,
        })
        .map(Some)
    }

    /// Returns what is delivered, or will be once what is staged has its signatures.
    pub fn delivered(&self) -> Result<BTreeMap<String, Vec<u8>>, TufError> {
        let newest = match self.staged::<Targets>()? {
            Some(staged) => Some(staged),
            None => self.latest::<Targets>()?,
        };
        let mut files = BTreeMap::new();
        for (name, target) in newest.iter().flat_map(|one| &one.content().targets) {
            if !is_target_name(name) {
                let name = name.chars().take(80).collect();
                return Err(TufError::Name { name });
            }
            let digest = target.digest().map(|digest| digest.to_hex());
            let path = self
                .dir
                .join(TARGETS)
                .join(format!("{}.{name}", digest.unwrap_or_default()));
            let bytes = read(&path, MAX_TARGET)?.ok_or_else(|| TufError::NotThere {
                path: path.display().to_string(),
            })?;
            target.check(name, &bytes)?;
            files.insert(name.clone(), bytes);
        }
        Ok(files)
    }

    /// Takes over what is staged and signed by enough keys, and makes snapshot and timestamp anew.
    pub fn publish(
        &self,
        online: &dyn Signer,
        lifetimes: Lifetimes,
        now: Timestamp,
    ) -> Result<Published, RepositoryError> {
        let mut done = Published::default();
        self.take_root(&mut done)?;
        let Some(trusted) = self.root()? else {
            return Ok(done);
        };
        let root = trusted.root();
        done.root = Some(root.head.version);
        self.take_targets(root, &mut done)?;
        let Some(targets) = self.latest::<Targets>()? else {
            return Ok(done);
        };
        done.targets = Some(targets.content().head.version);
        let end = lifetimes.online_end(now);
        let snapshot = self.snapshot(root, &targets, (online, now, end))?;
        let version = snapshot.content().head.version;
        done.snapshot = Some(version);
        let pin = MetaFile::of(version, snapshot.bytes());
        let path = self.dir.join(Role::Timestamp.file());
        let old = read(&path, limit_of(Role::Timestamp))?;
        let old = old.and_then(|bytes| Signed::<TimestampRole>::parse(&bytes).ok());
        let version = old.map_or(0, |old| old.content().head.version);
        let timestamp = TimestampRole {
            head: Head::new(Role::Timestamp, version.saturating_add(1), end),
            meta: BTreeMap::from([(Role::Snapshot.file(), pin)]),
        };
        let timestamp = sign_new(&timestamp, root, online)?;
        // From here on clients see all of it.
        write(&path, timestamp.bytes())?;
        done.timestamp = Some(timestamp.content().head.version);
        Ok(done)
    }

    fn take_root(&self, done: &mut Published) -> Result<(), TufError> {
        let Some(staged) = self.staged::<Root>()? else {
            return Ok(());
        };
        let next = match self.root()? {
            None => Trusted::from_root(staged.bytes()),
            Some(mut trusted) => trusted.update_root(staged.bytes()).map(|()| trusted),
        };
        match next {
            Ok(next) => {
                let version = next.root().head.version;
                let path = self.dir.join(Role::Root.versioned_file(version));
                write(&path, staged.bytes())?;
                // For people who hand it on; clients follow the numbered ones.
                write(&self.dir.join(Role::Root.file()), staged.bytes())?;
                self.unstage(Role::Root)
            }
            Err(TufError::Threshold { found, needed, .. }) => {
                let path = self.staged_path(Role::Root);
                done.waiting.push((path, found, needed));
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn take_targets(&self, root: &Root, done: &mut Published) -> Result<(), TufError> {
        let Some(staged) = self.staged::<Targets>()? else {
            return Ok(());
        };
        match staged.verify(root, Role::Targets) {
            Ok(()) => {
                let version = staged.content().head.version;
                let known = self.latest::<Targets>()?;
                let known = known.map_or(0, |known| known.content().head.version);
                // Two proposals may have been staged from one version; a number is used once.
                if known.checked_add(1) != Some(version) {
                    return Err(TufError::Rollback {
                        name: Role::Targets.file(),
                        trusted: known,
                        found: version,
                    });
                }
                let path = self.dir.join(Role::Targets.versioned_file(version));
                write(&path, staged.bytes())?;
                self.unstage(Role::Targets)
            }
            Err(TufError::Threshold { found, needed, .. }) => {
                let path = self.staged_path(Role::Targets);
                done.waiting.push((path, found, needed));
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    // The snapshot that is there, if it says the same and will count for as long as it can.
    fn snapshot(
        &self,
        root: &Root,
        targets: &Signed<Targets>,
        (online, now, end): (&dyn Signer, Timestamp, Timestamp),
    ) -> Result<Signed<Snapshot>, RepositoryError> {
        let pin = MetaFile::of(targets.content().head.version, targets.bytes());
        let meta = BTreeMap::from([(Role::Targets.file(), pin)]);
        let old = self.latest::<Snapshot>()?;
        let version = old.as_ref().map_or(0, |old| old.content().head.version);
        if let Some(old) = old {
            let left = old.content().head.expires.micros_since(now);
            let lasts = left.saturating_mul(2) > end.micros_since(now);
            let good = old.verify(root, Role::Snapshot).is_ok();
            if good && lasts && old.content().meta == meta {
                return Ok(old);
            }
        }
        let snapshot = Snapshot {
            head: Head::new(Role::Snapshot, version.saturating_add(1), end),
            meta,
        };
        let signed = sign_new(&snapshot, root, online)?;
        let path = Role::Snapshot.versioned_file(signed.content().head.version);
        write(&self.dir.join(path), signed.bytes())?;
        Ok(signed)
    }

    // The metadata of the highest version; the root's chain is followed elsewhere.
    fn latest<T: Metadata>(&self) -> Result<Option<Signed<T>>, TufError> {
        let role = T::ROLE;
        let mut found = None;
        for version in 1_u64.. {
            let path = self.dir.join(role.versioned_file(version));
            match read(&path, limit_of(role))? {
                Some(bytes) => found = Some(bytes),
                None => break,
            }
        }
        found.map(|bytes| Signed::parse(&bytes)).transpose()
    }

    fn stage<T: Metadata>(&self, content: &T) -> Result<PathBuf, TufError> {
        let signed = Signed::write(content, Vec::new())?;
        let path = self.staged_path(T::ROLE);
        let dir = self.dir.join(STAGED);
        fs::create_dir_all(&dir).map_err(|error| storage(&dir, &error))?;
        // What is staged already, with the same content, keeps its signatures.
        if let Some(old) = self.staged::<T>()?
            && old.canonical() == signed.canonical()
        {
            return Ok(path);
        }
        write(&path, signed.bytes())?;
        Ok(path)
    }

    fn staged<T: Metadata>(&self) -> Result<Option<Signed<T>>, TufError> {
        read(&self.staged_path(T::ROLE), limit_of(T::ROLE))?
            .map(|bytes| Signed::parse(&bytes))
            .transpose()
    }

    fn staged_path(&self, role: Role) -> PathBuf {
        self.dir.join(STAGED).join(role.file())
    }

    fn unstage(&self, role: Role) -> Result<(), TufError> {
        let path = self.staged_path(role);
        fs::remove_file(&path).map_err(|error| storage(&path, &error))
    }
}

fn enter(keys: &mut BTreeMap<String, Key>, key: &PublicKey) -> Result<String, TufError> {
    let kind = key.kind();
    let key = Key::of(key).ok_or(TufError::KeyKind { kind })?;
    if keys.len() >= MAX_KEYS {
        return Err(TufError::RoleUnsound { role: Role::Root });
    }
    let id = key.id();
    keys.insert(id.clone(), key);
    Ok(id)
}

fn sign_new<T: Metadata>(
    content: &T,
    root: &Root,
    signer: &dyn Signer,
) -> Result<Signed<T>, RepositoryError> {
    let bare = Signed::write(content, Vec::new())?;
    let whole = bare.with_signature(signature(&bare, root, (signer, T::ROLE))?)?;
    whole.verify(root, T::ROLE)?;
    Ok(whole)
}

fn signature<T: Metadata>(
    metadata: &Signed<T>,
    root: &Root,
    (signer, role): (&dyn Signer, Role),
) -> Result<Signature, RepositoryError> {
    let id = root
        .id_of(signer.public_key(), role)
        .ok_or_else(|| RepositoryError::NotOfRole {
            key: signer.public_key().id(),
            role,
        })?;
    let bytes = signer
        .sign(metadata.canonical())
        .map_err(RepositoryError::Sign)?;
    Ok(Signature::new(id, &bytes))
}

/// A staged root or targets metadata, to which keys add their signatures.
#[derive(Debug, Clone)]
pub struct Staged {
    path: PathBuf,
    repository: PathBuf,
    // The root that is in force, if there is one.
    current: Option<Root>,
    content: StagedContent,
}

#[derive(Debug, Clone)]
enum StagedContent {
    Root(Signed<Root>),
    Targets(Signed<Targets>),
}

impl Staged {
    /// Reads a file `staged/root.json` or `staged/targets.json` of a repository.
    pub fn read(path: &Path) -> Result<Self, TufError> {
        let not_there = || TufError::NotThere {
            path: path.display().to_string(),
        };
        let folder = path.parent().filter(|dir| dir.ends_with(STAGED));
        let repository = folder.and_then(Path::parent).ok_or_else(not_there)?;
        let bytes = read(path, limit_of(Role::Targets))?.ok_or_else(not_there)?;
        let content = match Signed::<Root>::parse(&bytes) {
            Ok(root) => StagedContent::Root(root),
            Err(TufError::WrongType { .. }) => StagedContent::Targets(Signed::parse(&bytes)?),
            Err(error) => return Err(error),
        };
        let current = Repository::at(repository.to_owned()).root()?;
        Ok(Self {
            path: path.to_owned(),
            repository: repository.to_owned(),
            current: current.map(|trusted| trusted.root().clone()),
            content,
        })
    }

    /// Returns the folder of the repository.
    pub fn repository(&self) -> &Path {
        &self.repository
    }

    /// Returns true if it is a root.
    pub const fn is_root(&self) -> bool {
        matches!(self.content, StagedContent::Root(_))
    }

    /// Returns the bytes that signatures cover.
    pub fn canonical(&self) -> &[u8] {
        match &self.content {
            StagedContent::Root(signed) => signed.canonical(),
            StagedContent::Targets(signed) => signed.canonical(),
        }
    }

    /// Returns whose signatures it needs, and how many. A root that follows another needs enough
    /// of both; the larger number is told.
    pub fn signers(&self) -> Result<(Vec<PublicKey>, usize), TufError> {
        let mut keys: Vec<PublicKey> = Vec::new();
        let mut threshold = 0;
        for (root, role) in self.roles()? {
            threshold = threshold.max(root.role(role)?.threshold);
            for key in root.keys_of(role)? {
                if !keys.contains(&key) {
                    keys.push(key);
                }
            }
        }
        Ok((keys, threshold))
    }

    fn roles(&self) -> Result<Vec<(&Root, Role)>, TufError> {
        let current = self.current.as_ref();
        match &self.content {
            StagedContent::Root(next) => Ok(current
                .into_iter()
                .chain([next.content()])
                .map(|root| (root, Role::Root))
                .collect()),
            StagedContent::Targets(_) => {
                let root = current.ok_or_else(|| TufError::NotThere {
                    path: Role::Root.versioned_file(1),
                })?;
                Ok(vec![(root, Role::Targets)])
            }
        }
    }

    /// Adds a signature to the file.
    pub fn sign(&self, signer: &dyn Signer) -> Result<(), RepositoryError> {
        let roles = self.roles()?;
        let holds =
            |(root, role): &&(&Root, Role)| root.id_of(signer.public_key(), *role).is_some();
        let (root, role) = *roles
            .iter()
            .find(holds)
            .ok_or_else(|| RepositoryError::NotOfRole {
                key: signer.public_key().id(),
                role: if self.is_root() {
                    Role::Root
                } else {
                    Role::Targets
                },
            })?;
        let bytes = match &self.content {
            StagedContent::Root(metadata) => {
                let made = signature(metadata, root, (signer, role))?;
                metadata.with_signature(made)?.bytes().to_vec()
            }
            StagedContent::Targets(metadata) => {
                let made = signature(metadata, root, (signer, role))?;
                metadata.with_signature(made)?.bytes().to_vec()
            }
        };
        write(&self.path, &bytes)?;
        Ok(())
    }

    /// Takes a key's signature out of the file again.
    pub fn withdraw(&self, key: &PublicKey) -> Result<(), TufError> {
        let roles = self.roles()?;
        let ids: Vec<String> = roles
            .iter()
            .filter_map(|(root, role)| root.id_of(key, *role).map(str::to_owned))
            .collect();
        let bytes = match &self.content {
            StagedContent::Root(signed) => signed.without_signatures(&ids)?.bytes().to_vec(),
            StagedContent::Targets(signed) => signed.without_signatures(&ids)?.bytes().to_vec(),
        };
        write(&self.path, &bytes)
    }
}

/// Why a repository was not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RepositoryError {
    /// The key has no part in the role.
    #[error("key:{} is not a key of the role {role}", key.short())]
    NotOfRole {
        /// The key.
        key: KeyId,
        /// The role.
        role: Role,
    },
    /// The key did not sign.
    #[error("{0}")]
    Sign(SignError),
    /// The metadata is not accepted, or could not be read or written.
    #[error(transparent)]
    Tuf(#[from] TufError),
}
