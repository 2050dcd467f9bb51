//! The home's list of revoked and replaced keys, and who may change it.

mod boundary;

use std::fs::File;
use std::path::PathBuf;

use custos_core::crypto::{KeyId, PublicKey};
use custos_trust::revocation::{Revocations, RevocationsError, Who};
use custos_trust::tuf::{self, Role, TufError};

use crate::args::WhoArgs;
use crate::context::Context;
use crate::files::{read_bytes, shown, write_atomic};
use crate::home::Home;
use crate::keys;
use crate::report::Failure;

pub use boundary::{Found, Sure, boundary};

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

/// Returns true if the home follows a trust root, and that delivers a file of this name.
pub fn is_delivered(home: &Home, name: &str) -> Result<bool, Failure> {
    metadata(home).names_target(name).map_err(|error| {
        Failure::undecided("E0822", "what the trust root delivers cannot be read")
            .because(error.to_string())
            .help("`custos trust update` fetches it again")
    })
}

/// Reads the list; nothing if there never was one.
pub fn load(home: &Home) -> Result<Option<Revocations>, Failure> {
    let path = path(home);
    if !path.exists() {
        // A list that somebody took away must not mean that no key was revoked.
        if is_delivered(home, REVOCATIONS)? {
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

/// Puts a new list in place, joined with the one that is there: what was said stays said, also by
/// a command that ran meanwhile or a proposal that was agreed to in between.
pub fn save(home: &Home, list: &Revocations) -> Result<(), Failure> {
    let _alone = alone(home)?;
    let list = match load(home)? {
        Some(old) => old.joined(list).map_err(|error| failure(&error))?,
        None => list.clone(),
    };
    let bytes = list.to_bytes().map_err(|error| failure(&error))?;
    write_atomic(&path(home), &bytes)
}

/// Waits until no other command changes the lists in the home's trust folder, and keeps others
/// from it as long as the value lives.
pub fn alone(home: &Home) -> Result<File, Failure> {
    let path = home.trust().join("lists.lock");
    let failed = |error: std::io::Error| Failure::io(shown(&path), &error);
    std::fs::create_dir_all(home.trust()).map_err(failed)?;
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(failed)?;
    file.lock().map_err(failed)?;
    Ok(file)
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
