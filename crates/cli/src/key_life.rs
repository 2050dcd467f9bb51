//! The home's list of revoked and replaced keys, and who may change it.

use std::path::PathBuf;

use custos_core::clock::Timestamp;
use custos_core::crypto::{KeyId, PublicKey};
use custos_trust::revocation::{Boundary, Revocations, RevocationsError, Who};
use custos_trust::tuf::{self, Role, TufError};

use crate::args::WhoArgs;
use crate::context::Context;
use crate::exit::Exit;
use crate::files::{read_bytes, shown, write_atomic};
use crate::home::Home;
use crate::report::Failure;
use crate::{keys, logs, stores};

/// Name of the list, in the home's trust folder and among what a trust root delivers.
pub const REVOCATIONS: &str = "revocations.json";
/// Name of the list of approved policies, likewise.
pub const POLICIES: &str = "policies.json";
/// Largest such file, in bytes.
const MAX_FILE: u64 = 8 << 20;

/// Returns where the list lies.
pub fn path(home: &Home) -> PathBuf {
    home.trust().join(REVOCATIONS)
}

/// Returns where proposals wait for approval.
pub fn proposals(home: &Home) -> PathBuf {
    home.trust().join("proposals")
}

/// Returns where the metadata of the trust root lies.
pub fn metadata(home: &Home) -> tuf::Store {
    tuf::Store::new(home.trust().join("metadata"))
}

/// Reads the list; nothing if there never was one.
pub fn load(home: &Home) -> Result<Option<Revocations>, Failure> {
    let path = path(home);
    if !path.exists() {
        // A list that somebody took away must not mean that no key was revoked.
        if metadata(home).names_target(REVOCATIONS) {
            return Err(
                Failure::undecided("E0802", "the list of revoked keys is missing")
                    .at(shown(&path))
                    .because("the trust root delivers one")
                    .help("`custos trust update` fetches it again"),
            );
        }
        return Ok(None);
    }
    let bytes = read_bytes(&path, MAX_FILE)?;
    let list = Revocations::parse(&bytes).map_err(|e| failure(&e).at(shown(&path)))?;
    Ok(Some(list))
}

/// Puts a new list in place. What the old one says must stand in it too.
pub fn save(home: &Home, list: &Revocations) -> Result<(), Failure> {
    let path = path(home);
    if let Some(old) = load(home)?
        && !old.is_kept_by(list)
    {
        return Err(
            Failure::new("E0802", Exit::Alarm, "the new list takes back a revocation")
                .at(shown(&path))
                .because(format!(
                    "version {} says less than version {}, which is here",
                    list.version(),
                    old.version()
                ))
                .help("nothing was changed; a key that was revoked never comes back"),
        );
    }
    let bytes = list.to_bytes().map_err(|error| failure(&error))?;
    write_atomic(&path, &bytes)
}

/// Whose signatures change trust, and how many of them it takes.
#[derive(Debug, Clone)]
pub struct RootRole {
    /// The keys.
    pub keys: Vec<PublicKey>,
    /// How many different ones.
    pub threshold: usize,
}

/// Returns the root role of the home's trust root; nothing if it has none.
pub fn root_role(home: &Home) -> Result<Option<RootRole>, Failure> {
    let at = |error: TufError| {
        Failure::undecided("E0822", "the trust root's metadata cannot be read")
            .because(error.to_string())
    };
    let Some(trusted) = metadata(home).load_root().map_err(at)? else {
        return Ok(None);
    };
    let root = trusted.root();
    Ok(Some(RootRole {
        keys: root.keys_of(Role::Root).map_err(at)?,
        threshold: root.role(Role::Root).map_err(at)?.threshold,
    }))
}

/// Returns whom the command line means.
pub fn who(args: &WhoArgs, context: &Context) -> Result<Who, Failure> {
    if let Some(identity) = &args.certificate_identity {
        return Ok(Who::Identity {
            identity: identity.clone(),
            issuer: args.certificate_oidc_issuer.clone(),
        });
    }
    let named = args.key.as_deref().unwrap_or_default();
    key_id(named, context).map(Who::Key)
}

/// Returns the id of a key: of a name, of a file, of an expected signer, or as it is.
pub fn key_id(named: &str, context: &Context) -> Result<KeyId, Failure> {
    if let Ok(id) = named.parse::<KeyId>() {
        return Ok(id);
    }
    keys::public(named, context).map(|key| key.id())
}

/// A boundary, and what it rests on.
#[derive(Debug, Clone)]
pub struct Found {
    /// The boundary.
    pub boundary: Boundary,
    /// What the index rests on.
    pub sure: Sure,
    /// The home's log and its size, if there is one.
    pub log: Option<(String, u64)>,
}

/// What an index rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sure {
    /// The times at which this home stored the statements, by the clock of this machine.
    Clock,
    /// Somebody gave it.
    Given,
    /// Nothing: there is no log here, or nothing of it was stored before.
    Nothing,
}

impl Sure {
    /// Returns its name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Clock => "clock",
            Self::Given => "given",
            Self::Nothing => "nothing",
        }
    }

    /// Returns it in words.
    pub const fn told(self) -> &'static str {
        match self {
            Self::Clock => "as this machine's clock had it when the statements were stored",
            Self::Given => "as given",
            Self::Nothing => "nothing is known to be older",
        }
    }
}

/// Finds where in the home's log a time lies: behind the last entry that was stored before it. An
/// entry that nobody is known to have stored before that time counts as later.
pub fn boundary(since: Timestamp, index: Option<u64>, context: &Context) -> Result<Found, Failure> {
    let home = context.home()?;
    let boundary = Boundary::new(since);
    if !home.log_vkey().is_file() {
        return Ok(Found {
            boundary,
            sure: Sure::Nothing,
            log: None,
        });
    }
    let (_, checkpoint) = logs::reader(context)?;
    let origin = checkpoint.origin().to_owned();
    let log = Some((origin.clone(), checkpoint.size()));
    if let Some(first) = index {
        return Ok(Found {
            boundary: boundary.with_log(origin, first),
            sure: Sure::Given,
            log,
        });
    }
    let store = stores::readable(context)?;
    let last = store
        .last_before(&origin, since)
        .map_err(|error| stores::failure(&error))?;
    let first = last.map_or(0, |last| last.saturating_add(1));
    Ok(Found {
        boundary: boundary.with_log(origin, first),
        sure: if last.is_some() {
            Sure::Clock
        } else {
            Sure::Nothing
        },
        log,
    })
}

/// Puts a changed list in place, or proposes it where a root role has to agree. Returns the
/// proposal, if it is one.
pub fn apply_or_propose(
    list: &Revocations,
    context: &Context,
) -> Result<Option<(PathBuf, RootRole)>, Failure> {
    let home = context.home()?;
    home.create()?;
    let Some(role) = root_role(&home)? else {
        save(&home, list)?;
        return Ok(None);
    };
    let dir = proposals(&home);
    std::fs::create_dir_all(&dir).map_err(|error| Failure::io(shown(&dir), &error))?;
    let short = list.digest().to_hex().chars().take(8).collect::<String>();
    let path = dir.join(format!("revocations-{}-{short}.json", list.version()));
    let bytes = list.to_bytes().map_err(|error| failure(&error))?;
    write_atomic(&path, &bytes)?;
    Ok(Some((path, role)))
}

/// Returns an error of such a list as people see it.
pub fn failure(error: &RevocationsError) -> Failure {
    Failure::usage("E0802", "the list of revoked keys is not accepted").because(error.to_string())
}
