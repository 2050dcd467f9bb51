//! What is believed, and the rules by which it changes (specification, sections 5.3 to 5.6).

use custos_core::clock::Timestamp;
use custos_core::crypto::sha256;

use super::error::{Mismatch, TufError};
use super::metadata::{MetaFile, Role, Root, Signed, Snapshot, TargetFile, Targets, TimestampRole};

/// The metadata that is believed. It does no input or output: bytes and time are arguments.
#[derive(Debug, Clone, PartialEq)]
pub struct Trusted {
    root: Signed<Root>,
    timestamp: Option<Signed<TimestampRole>>,
    snapshot: Option<Signed<Snapshot>>,
    targets: Option<Signed<Targets>>,
}

impl Trusted {
    /// Begins with a root that somebody chose to trust. It must carry its own signatures; it may
    /// have expired, since newer ones follow.
    pub fn from_root(bytes: &[u8]) -> Result<Self, TufError> {
        let root = Signed::<Root>::parse(bytes)?;
        check_roles(&root)?;
        root.verify(root.content(), Role::Root)?;
        Ok(Self {
            root,
            timestamp: None,
            snapshot: None,
            targets: None,
        })
    }

    /// Begins with a root that must have this SHA-256, in hex.
    pub fn from_pinned(bytes: &[u8], pin: &str) -> Result<Self, TufError> {
        let found = hex::encode(sha256(bytes));
        if found != pin.to_ascii_lowercase() {
            return Err(TufError::RootNotPinned { found });
        }
        Self::from_root(bytes)
    }

    /// Returns the root.
    pub const fn root(&self) -> &Root {
        self.root.content()
    }

    /// Returns the bytes of the root.
    pub fn root_bytes(&self) -> &[u8] {
        self.root.bytes()
    }

    /// Returns the root with its signatures.
    pub const fn signed_root(&self) -> &Signed<Root> {
        &self.root
    }

    /// Returns the timestamp, once there is one.
    pub fn timestamp(&self) -> Option<&TimestampRole> {
        self.timestamp.as_ref().map(Signed::content)
    }

    /// Returns the snapshot, once there is one.
    pub fn snapshot(&self) -> Option<&Snapshot> {
        self.snapshot.as_ref().map(Signed::content)
    }

    /// Returns the targets metadata, once there is some.
    pub fn targets(&self) -> Option<&Targets> {
        self.targets.as_ref().map(Signed::content)
    }

    /// Takes the next root: one version up, signed by enough keys of the old root and of itself.
    pub fn update_root(&mut self, bytes: &[u8]) -> Result<(), TufError> {
        let next = Signed::<Root>::parse(bytes)?;
        let (trusted, found) = (self.root().head.version, next.content().head.version);
        if trusted.checked_add(1) != Some(found) {
            return Err(TufError::RootVersion { trusted, found });
        }
        check_roles(&next)?;
        next.verify(self.root.content(), Role::Root)?;
        next.verify(next.content(), Role::Root)?;
        self.root = next;
        // Other keys may count now. What the store holds is verified anew before it counts as
        // something that must not be rolled back: that is how a fast-forward by a stolen key is
        // recovered from.
        self.forget();
        Ok(())
    }

    /// Checks that the root has not expired, once no newer one was found.
    pub fn check_root(&self, now: Timestamp) -> Result<(), TufError> {
        self.root.check_fresh(now)
    }

    /// Takes a timestamp from the store: it counts as what was seen before, however old it is.
    pub fn recall_timestamp(&mut self, bytes: &[u8]) -> Result<(), TufError> {
        let timestamp = Signed::<TimestampRole>::parse(bytes)?;
        timestamp.verify(self.root.content(), Role::Timestamp)?;
        self.timestamp = Some(timestamp);
        Ok(())
    }

    /// Takes a snapshot from the store, likewise.
    pub fn recall_snapshot(&mut self, bytes: &[u8]) -> Result<(), TufError> {
        let snapshot = Signed::<Snapshot>::parse(bytes)?;
        snapshot.verify(self.root.content(), Role::Snapshot)?;
        self.snapshot = Some(snapshot);
        Ok(())
    }

    /// Takes targets metadata from the store, likewise.
    pub fn recall_targets(&mut self, bytes: &[u8]) -> Result<(), TufError> {
        let targets = Signed::<Targets>::parse(bytes)?;
        targets.verify(self.root.content(), Role::Targets)?;
        self.targets = Some(targets);
        Ok(())
    }

    /// Gives up everything but the root.
    pub fn forget(&mut self) {
        self.timestamp = None;
        self.snapshot = None;
        self.targets = None;
    }

    /// Takes a new timestamp; returns false if it is the one that is there already.
    pub fn update_timestamp(&mut self, bytes: &[u8], now: Timestamp) -> Result<bool, TufError> {
        let next = Signed::<TimestampRole>::parse(bytes)?;
        next.verify(self.root.content(), Role::Timestamp)?;
        let pin = pin_of(&next.content().meta, Role::Snapshot)?;
        if let Some(known) = &self.timestamp {
            let (trusted, found) = (known.content().head.version, next.content().head.version);
            not_older(Role::Timestamp.name(), trusted, found)?;
            let known_pin = pin_of(&known.content().meta, Role::Snapshot)?;
            not_older(Role::Snapshot.name(), known_pin.version, pin.version)?;
            if trusted == found {
                // The one that was believed first stays; it must still be fresh.
                known.check_fresh(now)?;
                return Ok(false);
            }
        }
        next.check_fresh(now)?;
        self.timestamp = Some(next);
        Ok(true)
    }

    /// Returns what the timestamp says about the snapshot.
    pub fn snapshot_pin(&self) -> Result<&MetaFile, TufError> {
        let meta = self.timestamp().map(|timestamp| &timestamp.meta);
        pin_of(
            meta.ok_or_else(|| missing(Role::Timestamp))?,
            Role::Snapshot,
        )
    }

    /// Takes the snapshot that the timestamp names.
    pub fn update_snapshot(&mut self, bytes: &[u8], now: Timestamp) -> Result<(), TufError> {
        let pin = self.snapshot_pin()?;
        pin.check(&Role::Snapshot.file(), bytes)?;
        let next = Signed::<Snapshot>::parse(bytes)?;
        next.verify(self.root.content(), Role::Snapshot)?;
        same_version(Role::Snapshot, pin.version, next.content().head.version)?;
        if let Some(known) = self.snapshot() {
            for (name, known) in &known.meta {
                let Some(found) = next.content().meta.get(name) else {
                    return Err(TufError::Rollback {
                        name: shown(name),
                        trusted: known.version,
                        found: 0,
                    });
                };
                not_older(&shown(name), known.version, found.version)?;
            }
        }
        next.check_fresh(now)?;
        self.snapshot = Some(next);
        self.targets = None;
        Ok(())
    }

    /// Returns what the snapshot says about the targets metadata.
    pub fn targets_pin(&self) -> Result<&MetaFile, TufError> {
        let meta = self.snapshot().map(|snapshot| &snapshot.meta);
        pin_of(meta.ok_or_else(|| missing(Role::Snapshot))?, Role::Targets)
    }

    /// Takes the targets metadata that the snapshot names.
    pub fn update_targets(&mut self, bytes: &[u8], now: Timestamp) -> Result<(), TufError> {
        let pin = self.targets_pin()?;
        pin.check(&Role::Targets.file(), bytes)?;
        let next = Signed::<Targets>::parse(bytes)?;
        next.verify(self.root.content(), Role::Targets)?;
        same_version(Role::Targets, pin.version, next.content().head.version)?;
        next.check_fresh(now)?;
        self.targets = Some(next);
        Ok(())
    }

    /// Returns what is signed about a file.
    pub fn target(&self, name: &str) -> Result<&TargetFile, TufError> {
        if !super::is_target_name(name) {
            return Err(TufError::Name { name: shown(name) });
        }
        let targets = self.targets().ok_or_else(|| missing(Role::Targets))?;
        targets
            .targets
            .get(name)
            .ok_or_else(|| TufError::NoSuchTarget {
                name: name.to_owned(),
            })
    }

    /// Checks that these bytes are the file of that name.
    pub fn check_target(&self, name: &str, bytes: &[u8]) -> Result<(), TufError> {
        self.target(name)?.check(name, bytes)
    }
}

fn check_roles(root: &Signed<Root>) -> Result<(), TufError> {
    Role::ALL
        .into_iter()
        .try_for_each(|role| root.content().role(role).map(drop))
}

fn pin_of(
    meta: &std::collections::BTreeMap<String, MetaFile>,
    role: Role,
) -> Result<&MetaFile, TufError> {
    meta.get(&role.file()).ok_or_else(|| missing(role))
}

fn missing(role: Role) -> TufError {
    TufError::NotThere { path: role.file() }
}

fn not_older(name: &str, trusted: u64, found: u64) -> Result<(), TufError> {
    if found >= trusted {
        return Ok(());
    }
    Err(TufError::Rollback {
        name: name.to_owned(),
        trusted,
        found,
    })
}

fn same_version(role: Role, named: u64, found: u64) -> Result<(), TufError> {
    if named == found {
        return Ok(());
    }
    Err(TufError::Mismatch {
        name: role.file(),
        what: Mismatch::Version,
    })
}

pub(super) fn shown(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(80).collect()
}
