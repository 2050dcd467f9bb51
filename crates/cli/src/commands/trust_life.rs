//! `custos trust add-root`, `update`, `status`, `publish`: how trust arrives and changes (TUF).

use std::collections::BTreeMap;
use std::path::Path;

use custos_core::clock::Timestamp;
use custos_core::digest::Algorithm;
use custos_core::json;
use custos_core::limits::Limits;
use custos_net::{Guard, Settings as NetSettings, Url};
use custos_trust::TrustRoot;
use custos_trust::revocation::Revocations;
use custos_trust::tuf::repository::{Lifetimes, NewRoot, Published, Repository, RepositoryError};
use custos_trust::tuf::{
    self, Admitted, FolderSource, HttpSource, Role, Source, Trusted, TufError, Wanted,
    is_target_name,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::args::{TrustAddRootArgs, TrustPublishArgs, TrustUpdateArgs};
use crate::context::Context;
use crate::exit::Exit;
use crate::files::{read_bytes, shown, write_atomic};
use crate::home::Home;
use crate::key_life::{self, POLICIES, REVOCATIONS};
use crate::term::{Role as Paint, visible};
use crate::{Failure, Outcome, approved, keys, recording};

/// What a trust root delivers to a home, in the order in which it is put in place.
pub const DELIVERED: [&str; 4] = [
    REVOCATIONS,
    POLICIES,
    "trusted_root.json",
    "signing_config.json",
];
const SOURCE: &str = "source.json";
const DAY: i64 = 86_400_000_000;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct From {
    schema: String,
    from: String,
}

/// Runs `custos trust add-root`.
pub fn add_root(args: &TrustAddRootArgs, context: &Context) -> Outcome {
    let home = context.home()?;
    home.create()?;
    let file = context.resolve(&args.root);
    let bytes = read_bytes(&file, tuf::MAX_ROOT)?;
    let trusted = match &args.sha256 {
        Some(pin) => Trusted::from_pinned(&bytes, pin),
        None => Trusted::from_root(&bytes),
    }
    .map_err(|error| failure(&error).at(shown(&file)))?;
    let store = key_life::metadata(&home);
    let known = match store.load_root() {
        // What cannot be read is trusted by nobody; this is how it is mended.
        Err(TufError::Damaged { path, .. }) => {
            let text = format!("{path} is damaged, and this root takes its place");
            context.term.warn(&visible(&text));
            None
        }
        known => known.map_err(|error| failure(&error))?,
    };
    if known.is_some_and(|known| known.root_bytes() != bytes) {
        return Err(
            Failure::usage("E0824", "this home trusts another root already")
                .at(shown(store.dir()))
                .because("a root is followed, not replaced: each is signed by the one before")
                .help("`custos trust update` follows it; for another root use another home"),
        );
    }
    let from = absolute(&args.from, context);
    source(&from)?;
    store.begin(&trusted).map_err(|error| failure(&error))?;
    let record = From {
        schema: "custos.trust.source/1".to_owned(),
        from: from.clone(),
    };
    let text = json::to_pretty(&record).map_err(|e| Failure::internal(&e.to_string()))?;
    write_atomic(&store.dir().join(SOURCE), &text)?;
    let digest = Algorithm::Sha256.digest(&bytes).to_hex();
    let root = trusted.root();
    let (keys, threshold) = role_of(&trusted)?;
    let human = format!(
        "trusted  root version {}, {threshold} of {keys} keys, until {}\nsha256   {digest}\nfrom     {}\n\ncompare the digest with what the owners of the root tell; then `custos trust update`\n",
        root.head.version,
        root.head.expires,
        visible(&from),
    );
    context.term.result(
        &human,
        &json!({
            "schema": "custos.trust.add-root/1",
            "version": root.head.version, "expires": root.head.expires, "sha256": digest,
            "keys": keys, "threshold": threshold, "from": from,
        }),
    )?;
    Ok(Exit::Yes)
}

/// Runs `custos trust update`.
pub fn update(args: &TrustUpdateArgs, context: &Context) -> Outcome {
    let home = context.home()?;
    let store = key_life::metadata(&home);
    let from = match &args.from {
        Some(from) => absolute(from, context),
        None => recorded(&home)?,
    };
    let source = source(&from)?;
    let _alone = key_life::alone(&home)?;
    // A home with an authority of its own is where these two come from.
    let own = home.trust().join("keys").is_dir();
    let names: Vec<&str> = DELIVERED
        .into_iter()
        .filter(|name| !own || matches!(*name, REVOCATIONS | POLICIES))
        .collect();
    let admit = |name: &str, bytes: &[u8]| admit(&home, name, bytes);
    let wanted = Wanted {
        names: &names,
        admit: &admit,
        now: context.now(),
        anew: args.reset,
    };
    let updated = tuf::update(&store, source.as_ref(), &wanted)
        .map_err(|error| failure(&error).at(visible(&from)))?;
    let root = updated.trusted.root();
    let human = format!(
        "up to date  root version {}{}\nchanged     {}\nfresh until {}\n",
        root.head.version,
        match updated.new_roots {
            0 => String::new(),
            n => format!(" ({n} new)"),
        },
        if updated.changed.is_empty() {
            "nothing".to_owned()
        } else {
            updated.changed.join(", ")
        },
        updated
            .trusted
            .timestamp()
            .map_or_else(String::new, |t| t.head.expires.to_string()),
    );
    context.term.result(
        &human,
        &json!({
            "schema": "custos.trust.update/1",
            "from": from,
            "rootVersion": root.head.version,
            "newRoots": updated.new_roots,
            "changed": updated.changed,
            "expires": updated.trusted.timestamp().map(|t| t.head.expires),
        }),
    )?;
    Ok(Exit::Yes)
}

// What does not parse never takes the place of what is there, and a revocation that this home knows
// of stays whatever is delivered: keys here may have agreed to it before it was published.
fn admit(home: &Home, name: &str, bytes: &[u8]) -> Result<Admitted, TufError> {
    let refused = |message: String| TufError::Storage {
        path: name.to_owned(),
        kind: std::io::ErrorKind::InvalidData,
        message,
    };
    match name {
        REVOCATIONS => {
            let new = Revocations::parse(bytes).map_err(|error| refused(error.to_string()))?;
            // A list that is damaged says nothing; this is how it is mended.
            let path = key_life::path(home);
            let old = read_bytes(&path, tuf::MAX_TARGET).ok();
            let Some(old) = old.and_then(|bytes| Revocations::parse(&bytes).ok()) else {
                return Ok(Admitted::Taken);
            };
            let both = old
                .joined(&new)
                .map_err(|error| refused(error.to_string()))?;
            if both == new {
                Ok(Admitted::Taken)
            } else if both == old {
                Ok(Admitted::Kept)
            } else {
                let bytes = both
                    .to_bytes()
                    .map_err(|error| refused(error.to_string()))?;
                Ok(Admitted::Joined(bytes))
            }
        }
        "trusted_root.json" => TrustRoot::trusting_nothing()
            .with_sigstore(bytes)
            .map(|_| Admitted::Taken)
            .map_err(|error| refused(error.to_string())),
        POLICIES => approved::parse(bytes)
            .map(|()| Admitted::Taken)
            .map_err(refused),
        _ => json::check(bytes, &Limits::SMALL)
            .map(|()| Admitted::Taken)
            .map_err(|error| refused(error.to_string())),
    }
}

/// What is known about the home's trust root.
pub struct Status {
    /// Each role that is here: name, version, expiry.
    pub roles: Vec<(Role, u64, Timestamp)>,
    /// Keys of the root role: number and threshold.
    pub keys: (usize, usize),
}

/// Returns what is known about the home's trust root; nothing if it has none.
pub fn status_of(home: &Home) -> Result<Option<Status>, Failure> {
    let loaded = key_life::metadata(home)
        .load()
        .map_err(|error| failure(&error))?;
    let Some(trusted) = loaded else {
        return Ok(None);
    };
    let mut roles = vec![(Role::Root, &trusted.root().head)];
    roles.extend(trusted.timestamp().map(|one| (Role::Timestamp, &one.head)));
    roles.extend(trusted.snapshot().map(|one| (Role::Snapshot, &one.head)));
    roles.extend(trusted.targets().map(|one| (Role::Targets, &one.head)));
    Ok(Some(Status {
        keys: role_of(&trusted)?,
        roles: roles
            .into_iter()
            .map(|(role, head)| (role, head.version, head.expires))
            .collect(),
    }))
}

/// Runs `custos trust status`.
pub fn status(context: &Context) -> Outcome {
    let home = context.home()?;
    let Some(status) = status_of(&home)? else {
        return Err(none());
    };
    let now = context.now();
    let (keys, threshold) = status.keys;
    let mut human = format!("{threshold} of {keys} keys of the root role agree to a change:\n");
    let mut ids = Vec::new();
    if let Some(role) = key_life::root_role(&home)? {
        for key in &role.keys {
            human.push_str(&format!("  {}\n", key.id()));
            ids.push(key.id());
        }
    }
    let mut ended = false;
    let mut rows = Vec::new();
    for (role, version, expires) in &status.roles {
        let over = *expires <= now;
        ended |= over;
        let left = expires.micros_since(now).div_euclid(DAY);
        let told = if over {
            context.term.paint(Paint::Bad, "EXPIRED")
        } else {
            format!("{left} days left")
        };
        human.push_str(&format!(
            "{:<10} version {version:<6} until {expires}  {told}\n",
            role.name(),
        ));
        rows.push(json!({
            "role": role.name(), "version": version, "expires": expires, "expired": over,
        }));
    }
    context.term.result(
        &human,
        &json!({
            "schema": "custos.trust.status/1",
            "keys": ids, "threshold": threshold, "roles": rows, "expired": ended,
            "from": recorded(&home).ok(),
        }),
    )?;
    Ok(if ended { Exit::No } else { Exit::Yes })
}

/// Runs `custos trust publish`.
pub fn publish(args: &TrustPublishArgs, context: &Context) -> Outcome {
    let home = context.home()?;
    let settings = context.settings()?;
    let online = recording::key_signer(&args.key, &settings, context)?;
    let repository = Repository::at(context.resolve(&args.dir));
    let lifetimes = Lifetimes {
        offline: args.expires_days,
        online: args.timestamp_days,
    };
    let now = context.now();
    let tuf = |error: TufError| failure(&error);
    if let Some(threshold) = args.threshold {
        let keys = args.root_keys.iter();
        let keys = keys.map(|named| keys::public(named, context));
        let new = NewRoot {
            keys: keys.collect::<Result<_, _>>()?,
            threshold,
            online: online.public_key().clone(),
            expires: lifetimes.offline_end(now),
        };
        repository.stage_root(&new).map_err(tuf)?;
    }
    let mut done = publish_now(&repository, online.as_ref(), (lifetimes, now))?;
    if done.root.is_some() {
        let mut all = repository.delivered().map_err(tuf)?;
        all.extend(files(args, &home, context)?);
        let end = lifetimes.offline_end(now);
        // Only once there is a root is it known who has to sign.
        if repository.stage_targets(&all, end).map_err(tuf)?.is_some() {
            done = publish_now(&repository, online.as_ref(), (lifetimes, now))?;
        }
    }
    report(&repository, &done, context)
}

fn publish_now(
    repository: &Repository,
    online: &dyn custos_trust::signer::Signer,
    (lifetimes, now): (Lifetimes, Timestamp),
) -> Result<Published, Failure> {
    repository
        .publish(online, lifetimes, now)
        .map_err(|error| match error {
            RepositoryError::Tuf(error) => failure(&error),
            error => unsigned(&error),
        })
}

fn files(
    args: &TrustPublishArgs,
    home: &Home,
    context: &Context,
) -> Result<BTreeMap<String, Vec<u8>>, Failure> {
    let mut files = BTreeMap::new();
    for name in DELIVERED {
        let path = home.trust().join(name);
        if path.is_file() {
            files.insert(name.to_owned(), read_bytes(&path, tuf::MAX_TARGET)?);
        }
    }
    for named in &args.targets {
        let path = context.resolve(named);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if !is_target_name(&name) {
            return Err(Failure::usage("E0002", "such a file cannot be delivered")
                .at(shown(&path))
                .because("a name has letters, digits, `-`, `_` and dots, and begins with no dot"));
        }
        files.insert(name.into_owned(), read_bytes(&path, tuf::MAX_TARGET)?);
    }
    Ok(files)
}

fn report(repository: &Repository, done: &Published, context: &Context) -> Outcome {
    let number = |version: Option<u64>| version.map_or("none".to_owned(), |v| v.to_string());
    let mut human = format!(
        "repository {}\nroot {}  targets {}  snapshot {}  timestamp {}\n",
        visible(&shown(repository.dir())),
        number(done.root),
        number(done.targets),
        number(done.snapshot),
        number(done.timestamp),
    );
    for (path, found, needed) in &done.waiting {
        human.push_str(&format!(
            "waiting    {found} of {needed} signatures:\n           {}\n",
            context.term.paint(
                Paint::Literal,
                &format!("custos keys approve {} --key NAME", shown(path))
            ),
        ));
    }
    let waiting: Vec<_> = done
        .waiting
        .iter()
        .map(|(path, found, needed)| json!({ "file": shown(path), "signatures": found, "threshold": needed }))
        .collect();
    context.term.result(
        &human,
        &json!({
            "schema": "custos.trust.publish/1",
            "repository": shown(repository.dir()),
            "root": done.root, "targets": done.targets, "snapshot": done.snapshot,
            "timestamp": done.timestamp, "waiting": waiting,
        }),
    )?;
    Ok(Exit::Yes)
}

fn role_of(trusted: &Trusted) -> Result<(usize, usize), Failure> {
    let root = trusted.root();
    let tuf = |error: TufError| failure(&error);
    let keys = root.keys_of(Role::Root).map_err(tuf)?.len();
    Ok((keys, root.role(Role::Root).map_err(tuf)?.threshold))
}

// A folder is remembered as it is seen from here.
fn absolute(from: &str, context: &Context) -> String {
    if from.contains("://") {
        from.to_owned()
    } else {
        shown(&context.resolve(Path::new(from)))
    }
}

fn source(from: &str) -> Result<Box<dyn Source>, Failure> {
    if !from.contains("://") {
        return Ok(Box::new(FolderSource::new(from.into())));
    }
    let wrong = |why: String| {
        Failure::usage("E0002", "this is no place that a trust root comes from")
            .at(visible(from))
            .because(why)
            .help("name an https URL, or a folder")
    };
    let url: Url = from
        .parse()
        .map_err(|error: custos_net::UrlError| wrong(error.to_string()))?;
    let settings = NetSettings::new(Guard::public().naming(&url));
    let source = HttpSource::with_settings(&url, settings).map_err(|e| wrong(e.to_string()))?;
    Ok(Box::new(source))
}

fn recorded(home: &Home) -> Result<String, Failure> {
    let path = key_life::metadata(home).dir().join(SOURCE);
    if !path.is_file() {
        return Err(none());
    }
    let bytes = read_bytes(&path, 64 << 10)?;
    let record: From = json::from_slice(&bytes, &Limits::SMALL).map_err(|error| {
        Failure::usage("E0824", "the trust root's source is not accepted")
            .at(shown(&path))
            .because(error.to_string())
    })?;
    Ok(record.from)
}

fn none() -> Failure {
    Failure::undecided("E0824", "this home follows no trust root")
        .help("`custos trust add-root ROOT.json --from URL` begins, with a root that you got from its owners")
}

fn unsigned(error: &RepositoryError) -> Failure {
    Failure::usage("E0803", "this key does not sign that").because(error.to_string())
}

/// Returns an error of the framework as people see it.
pub fn failure(error: &TufError) -> Failure {
    let why = error.to_string();
    if error.is_attack() {
        return Failure::new(
            "E0821",
            Exit::Alarm,
            "what was offered as trust root is not the team's",
        )
        .because(why)
        .help("nothing was changed; try another place, and ask the owners of the root");
    }
    let failed = || {
        Failure::undecided("E0822", "the trust root could not be brought up to date").because(&why)
    };
    match error {
        TufError::Damaged { path, .. } if path.ends_with("root.json") => failed()
            .help("`custos trust add-root` begins again, with a root that you got from its owners"),
        TufError::Damaged { .. } => failed()
            .help("`custos trust update --reset` begins anew; then older metadata is taken too, as long as it has not expired"),
        TufError::Delegated { .. } => {
            failed().help("its owners name the file in the targets.json of the top level")
        }
        error if error.is_undecided() => {
            failed().help("what is here goes on counting; `custos trust status` says until when it is vouched for")
        }
        TufError::Expired { .. } => Failure::undecided("E0823", "the trust root has expired")
            .because(&why)
            .help("nobody vouches for it since; somebody may be keeping newer ones from you")
            .help("its owners run `custos trust publish`"),
        TufError::KeyKind { .. } => {
            Failure::usage("E0824", "a trust root is not written with such a key")
                .because(why)
                .help("`custos keys generate NAME` makes one that is")
        }
        _ => Failure::usage("E0824", "this is no trust root").because(why),
    }
}

/// Returns an error of signing as people see it.
pub fn signing_failure(error: &RepositoryError) -> Failure {
    match error {
        RepositoryError::Tuf(error) => failure(error),
        error => unsigned(error),
    }
}
