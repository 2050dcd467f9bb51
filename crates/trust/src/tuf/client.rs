//! The client's workflow (specification, section 5): root by root, then timestamp, snapshot,
//! targets, and the files asked for.

use custos_core::clock::Timestamp;

use super::error::TufError;
use super::metadata::Role;
use super::source::{Source, over};
use super::store::{Store, limit_of};
use super::trusted::Trusted;
use super::{MAX_ROOTS, MAX_TARGET};

/// What an update brought.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Updated {
    /// What is believed now.
    pub trusted: Trusted,
    /// How many new roots there were.
    pub new_roots: u64,
    /// Files that were fetched because they are new or changed.
    pub changed: Vec<String>,
}

/// Brings a store up to date from a source, and fetches those of the `wanted` files that the
/// metadata names.
///
/// What was verified is kept step by step, so that whoever is interrupted, or led astray at a
/// later step, never falls behind what was seen. `admit` looks at each new file before it takes
/// the place of the old one.
pub fn update(
    store: &Store,
    source: &dyn Source,
    wanted: &Wanted<'_>,
) -> Result<Updated, TufError> {
    let mut trusted = store.load_root()?.ok_or_else(|| TufError::NotThere {
        path: Role::Root.file(),
    })?;
    let job = Job {
        store,
        source,
        now: wanted.now,
    };
    if !wanted.anew {
        job.recall(&mut trusted)?;
    }
    let new_roots = job.roots(&mut trusted)?;
    job.timestamp(&mut trusted)?;
    job.snapshot(&mut trusted)?;
    job.targets(&mut trusted)?;
    let mut changed = Vec::new();
    for name in wanted.names {
        if job.deliver(&trusted, name, wanted.admit)? {
            changed.push((*name).to_owned());
        }
    }
    Ok(Updated {
        trusted,
        new_roots,
        changed,
    })
}

/// Looks at a file by its name and bytes, and says what is to lie there from now on, or why it must
/// not take the place of the old one.
pub type Admit<'a> = dyn Fn(&str, &[u8]) -> Result<Admitted, TufError> + 'a;

/// What becomes of a file that was delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "what can become of a file")]
pub enum Admitted {
    /// It takes the place of the old one.
    Taken,
    /// The old one stays: it says all that the new one says.
    Kept,
    /// This takes the place of the old one: what both say together.
    Joined(Vec<u8>),
}

/// What an update is to bring, and by which time it judges.
#[allow(clippy::exhaustive_structs, reason = "an argument list with names")]
pub struct Wanted<'a> {
    /// Names of files.
    pub names: &'a [&'a str],
    /// Looks at a new file before it is put in place.
    pub admit: &'a Admit<'a>,
    /// The time of the update.
    pub now: Timestamp,
    /// Begin anew below the root: what was seen last is no bound for what comes. Only for a store
    /// in which that is damaged, as it lets older metadata in that has not expired.
    pub anew: bool,
}

struct Job<'a> {
    store: &'a Store,
    source: &'a dyn Source,
    now: Timestamp,
}

impl Job<'_> {
    fn roots(&self, trusted: &mut Trusted) -> Result<u64, TufError> {
        let mut new = 0_u64;
        loop {
            let next = trusted.root().head.version.saturating_add(1);
            let path = Role::Root.versioned_file(next);
            let Some(bytes) = self.fetch(&path, limit_of(Role::Root))? else {
                break;
            };
            if new >= MAX_ROOTS {
                return Err(TufError::TooManyRoots);
            }
            let bounded = trusted.timestamp().is_some() || trusted.snapshot().is_some();
            trusted.update_root(&bytes)?;
            self.store.write(Role::Root, &bytes)?;
            if bounded {
                self.forget_what_nobody_vouches_for(trusted)?;
            }
            new = new.saturating_add(1);
        }
        trusted.check_root(self.now)?;
        Ok(new)
    }

    // What was seen last bounds what comes. Without it a rollback would pass, so a file that cannot
    // be read back is an error, and not taken for one that was never there.
    fn recall(&self, trusted: &mut Trusted) -> Result<(), TufError> {
        for role in [Role::Timestamp, Role::Snapshot] {
            if let Some(bytes) = self.store.read(role)? {
                recall_one(trusted, role, &bytes)
                    .map_err(|error| self.store.damaged(role, error))?;
            }
        }
        Ok(())
    }

    // A new root that takes the online keys away ends a fast-forward by whoever stole them: what
    // they signed sets no bounds any more (specification, section 5.3.11).
    fn forget_what_nobody_vouches_for(&self, trusted: &mut Trusted) -> Result<(), TufError> {
        let mut vouched = true;
        for role in [Role::Timestamp, Role::Snapshot] {
            if let Some(bytes) = self.store.read(role)? {
                vouched &= recall_one(trusted, role, &bytes).is_ok();
            }
        }
        if !vouched {
            trusted.forget();
            self.store.remove(Role::Timestamp)?;
            self.store.remove(Role::Snapshot)?;
        }
        Ok(())
    }

    fn timestamp(&self, trusted: &mut Trusted) -> Result<(), TufError> {
        let path = Role::Timestamp.file();
        let bytes = self.required(&path, limit_of(Role::Timestamp))?;
        if trusted.update_timestamp(&bytes, self.now)? {
            self.store.write(Role::Timestamp, &bytes)?;
        }
        Ok(())
    }

    // A file that need not be fetched again; one that is damaged is.
    fn usable(&self, role: Role) -> Result<Option<Vec<u8>>, TufError> {
        match self.store.read(role) {
            Err(TufError::Damaged { .. }) => Ok(None),
            read => read,
        }
    }

    fn snapshot(&self, trusted: &mut Trusted) -> Result<(), TufError> {
        let pin = trusted.snapshot_pin()?.clone();
        if let Some(bytes) = self.usable(Role::Snapshot)?
            && trusted.clone().update_snapshot(&bytes, self.now).is_ok()
        {
            return trusted.update_snapshot(&bytes, self.now);
        }
        let limit = limit_of(Role::Snapshot).min(pin.length.unwrap_or(u64::MAX));
        let path = name(trusted, Role::Snapshot, pin.version);
        let bytes = self.required(&path, limit)?;
        trusted.update_snapshot(&bytes, self.now)?;
        self.store.write(Role::Snapshot, &bytes)
    }

    fn targets(&self, trusted: &mut Trusted) -> Result<(), TufError> {
        let pin = trusted.targets_pin()?.clone();
        if let Some(bytes) = self.usable(Role::Targets)?
            && trusted.clone().update_targets(&bytes, self.now).is_ok()
        {
            return trusted.update_targets(&bytes, self.now);
        }
        let limit = limit_of(Role::Targets).min(pin.length.unwrap_or(u64::MAX));
        let path = name(trusted, Role::Targets, pin.version);
        let bytes = self.required(&path, limit)?;
        trusted.update_targets(&bytes, self.now)?;
        self.store.write(Role::Targets, &bytes)
    }

    // Returns true if the file is new or changed.
    fn deliver(&self, trusted: &Trusted, name: &str, admit: &Admit<'_>) -> Result<bool, TufError> {
        let Some(targets) = trusted.targets() else {
            return Ok(false);
        };
        if let Some(role) = targets.delegated(name) {
            return Err(TufError::Delegated {
                name: name.to_owned(),
                role: super::trusted::shown(role),
            });
        }
        if !targets.targets.contains_key(name) || self.store.target(trusted, name)?.is_some() {
            return Ok(false);
        }
        let bytes = self.target(trusted, name)?;
        let bytes = match admit(name, &bytes)? {
            Admitted::Taken => bytes,
            Admitted::Kept => return Ok(false),
            Admitted::Joined(both) => both,
        };
        self.store.write_target(name, &bytes)?;
        Ok(true)
    }

    fn target(&self, trusted: &Trusted, name: &str) -> Result<Vec<u8>, TufError> {
        let target = trusted.target(name)?;
        let path = match target.digest() {
            Some(digest) if trusted.root().consistent_snapshot => {
                format!("targets/{}.{name}", digest.to_hex())
            }
            _ => format!("targets/{name}"),
        };
        if target.length > MAX_TARGET {
            let limit = MAX_TARGET;
            return Err(TufError::TooLarge { path, limit });
        }
        let bytes = self.required(&path, target.length)?;
        trusted.check_target(name, &bytes)?;
        Ok(bytes)
    }

    fn required(&self, path: &str, limit: u64) -> Result<Vec<u8>, TufError> {
        self.fetch(path, limit)?.ok_or_else(|| TufError::NotThere {
            path: path.to_owned(),
        })
    }

    fn fetch(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, TufError> {
        let found = self.source.fetch(path, limit).map_err(TufError::Source)?;
        match found {
            Some(bytes) if over(&bytes, limit) => Err(TufError::TooLarge {
                path: path.to_owned(),
                limit,
            }),
            found => Ok(found),
        }
    }
}

fn recall_one(trusted: &mut Trusted, role: Role, bytes: &[u8]) -> Result<(), TufError> {
    match role {
        Role::Timestamp => trusted.recall_timestamp(bytes),
        _ => trusted.recall_snapshot(bytes),
    }
}

fn name(trusted: &Trusted, role: Role, version: u64) -> String {
    if trusted.root().consistent_snapshot {
        role.versioned_file(version)
    } else {
        role.file()
    }
}
