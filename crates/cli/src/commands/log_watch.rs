//! `custos log watch`: follows a log, and tells three alarms apart.
//!
//! - *outage*: the log did not answer, or not completely. Nothing is proven (exit 3, E0407).
//! - *tampering*: what it serves contradicts what it signed: a fork, a rollback, a changed entry
//!   (exit 4, E0403).
//! - *unexpected use*: a signature by a key or identity of ours stands in the log, and this home
//!   never recorded it (exit 4, E0406).
//!
//! Each look begins at the checkpoint that was seen last and proves that the log only grew since.
//! It is remembered once the look was told, so that no alarm is lost with an interrupted one.

mod ours;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use custos_core::digest::{Algorithm, Digest};
use custos_evidence::Store;
use custos_evidence::parts::Parts;
use custos_log::checkpoint::{SignedCheckpoint, VerifiedCheckpoint};
use custos_log::note::VerifierKey;
use custos_log::reader::LogReader;
use custos_log::recorder::RecordError;
use custos_net::{Client, Guard, Roots, Settings as NetSettings, Url};
use serde_json::{Value, json};

use crate::args::LogWatchArgs;
use crate::context::Context;
use crate::exit::Exit;
use crate::files::{read_bytes, read_text, shown, write_atomic};
use crate::log_signers::LogSigners;
use crate::spool::{self, Pending};
use crate::stores::DATABASE;
use crate::term::{Format, Role, Term, visible};
use crate::web_log::WebDisk;
use crate::{Failure, Outcome, logs, stores};
use ours::{Match, Ours};

/// How many entries are looked at before the store is asked about them.
const AT_A_TIME: u64 = 100_000;
/// Most entries that one alarm names; the others are counted.
const MAX_TOLD: usize = 10_000;

/// Runs the command.
pub fn run(args: &LogWatchArgs, context: &Context) -> Outcome {
    let watch = Watch::new(args, context)?;
    let mut since = args.since;
    loop {
        let (mut seen, at) = match watch.look(since) {
            Ok((seen, at)) => (seen, Some(at)),
            Err(trouble) => (Seen::of(trouble), None),
        };
        watch.tell(&seen)?;
        if let Some(at) = at
            && let Err(failure) = watch.remember(&at)
        {
            // An alarm stays the answer; it is told again next time.
            let outage = Seen::Outage(super::doctor::told(&failure));
            watch.tell(&outage)?;
            if matches!(seen, Seen::Fine { .. }) {
                seen = outage;
            }
        }
        if args.once {
            return seen.into_outcome(&watch.place);
        }
        since = None;
        std::thread::sleep(Duration::from_secs(args.interval));
    }
}

struct Watch<'a> {
    context: &'a Context,
    reader: LogReader,
    key: VerifierKey,
    place: String,
    ours: Ours,
}

// What one look found.
enum Seen {
    Fine(Looked),
    Unexpected(Looked),
    Tampering(String),
    Outage(String),
}

// How far a look came, and what it met.
#[derive(Default)]
struct Looked {
    size: u64,
    entries: u64,
    // Entries whose signer cannot be told: of a kind that is no signature, or of an unknown one.
    unread: u64,
    unexpected: Vec<(u64, Match)>,
    // More of them than are named.
    more: u64,
}

impl Seen {
    fn of(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Log(RecordError::Integrity(fault)) => Self::Tampering(fault.to_string()),
            Trouble::Log(error) => Self::Outage(error.to_string()),
            Trouble::Here(failure) => Self::Outage(super::doctor::told(&failure)),
        }
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::Fine(_) => "fine",
            Self::Unexpected(_) => "unexpected-use",
            Self::Tampering(_) => "tampering",
            Self::Outage(_) => "outage",
        }
    }

    const fn exit(&self) -> Exit {
        match self {
            Self::Fine(_) => Exit::Yes,
            Self::Unexpected(_) | Self::Tampering(_) => Exit::Alarm,
            Self::Outage(_) => Exit::Undecided,
        }
    }

    fn to_json(&self, place: &str, now: custos_core::clock::Timestamp) -> Value {
        let mut line = json!({
            "schema": "custos.log.watch/1",
            "event": self.name(),
            "exit": self.exit().code(),
            "log": place,
            "at": now,
        });
        let more = match self {
            Self::Fine(looked) => looked.to_json(),
            Self::Unexpected(looked) => {
                let mut all = looked.to_json();
                if let Value::Object(all) = &mut all {
                    all.insert("code".to_owned(), json!("E0406"));
                    all.insert("entries".to_owned(), looked.alarms());
                    all.insert("more".to_owned(), json!(looked.more));
                }
                all
            }
            Self::Tampering(why) => json!({ "code": "E0403", "why": why }),
            Self::Outage(why) => json!({ "code": "E0407", "why": why }),
        };
        if let (Value::Object(line), Value::Object(more)) = (&mut line, more) {
            line.extend(more);
        }
        line
    }

    fn into_outcome(self, place: &str) -> Outcome {
        let exit = self.exit();
        let failure = |code, what: &str| Failure::new(code, exit, what).at(visible(place));
        match self {
            Self::Fine(_) => Ok(Exit::Yes),
            Self::Unexpected(looked) => {
                let mut failed = failure(
                    "E0406",
                    "a key or identity of ours signed something that we did not record",
                );
                for (index, found) in looked.unexpected.iter().take(20) {
                    failed = failed.because(format!("log entry #{index} is by {}", found.told()));
                }
                Err(failed
                    .help("if nobody of you signed it: `custos keys revoke KEY --since TIME --reason TEXT`")
                    .help("a certificate's subject is revoked with `--certificate-identity SUBJECT` in place of KEY")
                    .help("a statement of another machine is put here with `custos evidence add FILE`"))
            }
            Self::Tampering(why) => Err(failure("E0403", "the log contradicts what it signed")
                .because(why)
                .help(
                    "keep a copy of what it serves, and compare with checkpoints that others hold",
                )),
            Self::Outage(why) => Err(failure("E0407", "the log was not followed to its end")
                .because(why)
                .help("nothing is proven by this; look again later")),
        }
    }
}

impl<'a> Watch<'a> {
    fn new(args: &LogWatchArgs, context: &'a Context) -> Result<Self, Failure> {
        let (reader, key, place) = if let (Some(url), Some(key)) = (&args.url, &args.log_key) {
            far(url, key, args, context)?
        } else {
            let home = context.home()?;
            let key = logs::verifier_key(&home)?;
            let reader = LogReader::new(logs::disk(&home), key.clone());
            (reader, key, shown(&home.log()))
        };
        let ours = Ours::of(args, context)?;
        Ok(Self {
            context,
            reader,
            key,
            place,
            ours,
        })
    }

    fn look(&self, since: Option<u64>) -> Result<(Seen, VerifiedCheckpoint), Trouble> {
        let checkpoint = self.reader.latest()?;
        let known = self.known()?;
        if let Some(known) = &known {
            self.reader.extends(known, &checkpoint)?;
        }
        let size = checkpoint.size();
        let from = since.unwrap_or_else(|| known.map_or(0, |known| known.size()));
        let mut looked = Looked {
            size,
            entries: size.saturating_sub(from),
            ..Looked::default()
        };
        let mut at = from;
        while at < size {
            let end = size.min(at.saturating_add(AT_A_TIME));
            self.look_at(at..end, &checkpoint, &mut looked)?;
            at = end;
        }
        let seen = if looked.unexpected.is_empty() {
            Seen::Fine(looked)
        } else {
            Seen::Unexpected(looked)
        };
        Ok((seen, checkpoint))
    }

    fn look_at(
        &self,
        part: Range<u64>,
        checkpoint: &VerifiedCheckpoint,
        looked: &mut Looked,
    ) -> Result<(), Trouble> {
        let mut found: Vec<Hit> = Vec::new();
        self.reader.for_each(
            part.clone(),
            checkpoint,
            |index, leaf| -> Result<(), RecordError> {
                let signers = LogSigners::of_leaf(leaf);
                if let Some(who) = self.ours.find(&signers.known) {
                    let leaf = Algorithm::Sha256.digest(leaf);
                    found.push(Hit { index, leaf, who });
                } else if signers.unread {
                    looked.unread = looked.unread.saturating_add(1);
                }
                Ok(())
            },
        )?;
        for hit in self.unexpected(found, checkpoint.origin(), part)? {
            if looked.unexpected.len() < MAX_TOLD {
                looked.unexpected.push((hit.index, hit.who));
            } else {
                looked.more = looked.more.saturating_add(1);
            }
        }
        Ok(())
    }

    // A statement of ours lies in the store, or is on its way there: drafts are asked first, as
    // a command that finishes meanwhile moves its statement from there to the index.
    fn unexpected(
        &self,
        mut found: Vec<Hit>,
        origin: &str,
        part: Range<u64>,
    ) -> Result<Vec<Hit>, Trouble> {
        let home = self.context.home()?;
        if found.is_empty() || !home.root().join(DATABASE).exists() {
            return Ok(found);
        }
        let failed = |error| Trouble::Here(stores::failure(&error));
        let store = stores::readable(self.context)?;
        let drafts = store.staged().map_err(failed)?;
        let drafts: BTreeSet<Digest> = drafts.into_iter().map(|d| d.leaf_digest).collect();
        found.retain(|hit| !drafts.contains(&hit.leaf));
        // What waits for one log may be in another one already.
        let waiting: BTreeSet<Digest> = spool::list(&home)?.iter().map(Pending::leaf).collect();
        found.retain(|hit| !waiting.contains(&hit.leaf));
        let recorded = recorded_in(&store, origin, part)?;
        found.retain(|hit| !recorded(hit.index, &hit.leaf));
        if found.is_empty() || logs::verifier_key(&home).is_ok_and(|own| own == self.key) {
            return Ok(found);
        }
        let own = self.recorded_at_home(&found, &store)?;
        found.retain(|hit| !own.contains(&hit.leaf));
        Ok(found)
    }

    // What this home hands to a log elsewhere stands in its own log too, as the very same leaf.
    fn recorded_at_home(&self, found: &[Hit], store: &Store) -> Result<BTreeSet<Digest>, Trouble> {
        if !self.context.home()?.log_vkey().is_file() {
            return Ok(BTreeSet::new());
        }
        let wanted: BTreeSet<Digest> = found.iter().map(|hit| hit.leaf).collect();
        let (reader, checkpoint) = logs::reader(self.context)?;
        let mut own = BTreeSet::new();
        let mut at = 0;
        while at < checkpoint.size() {
            let part = at..checkpoint.size().min(at.saturating_add(AT_A_TIME));
            at = part.end;
            let mut here: Vec<(u64, Digest)> = Vec::new();
            reader.for_each(part.clone(), &checkpoint, |index, leaf| {
                let digest = Algorithm::Sha256.digest(leaf);
                if wanted.contains(&digest) {
                    here.push((index, digest));
                }
                Ok::<(), RecordError>(())
            })?;
            if here.is_empty() {
                continue;
            }
            let recorded = recorded_in(store, checkpoint.origin(), part)?;
            let here = here.into_iter();
            own.extend(
                here.filter(|(n, leaf)| recorded(*n, leaf))
                    .map(|(_, leaf)| leaf),
            );
        }
        Ok(own)
    }

    fn memory(&self) -> Result<PathBuf, Failure> {
        let name = Algorithm::Sha256.digest(self.key.to_string().as_bytes());
        let home = self.context.home()?;
        Ok(home
            .trust()
            .join("watch")
            .join(format!("{}.checkpoint", name.to_hex())))
    }

    fn known(&self) -> Result<Option<VerifiedCheckpoint>, Trouble> {
        let path = self.memory()?;
        if !path.is_file() {
            return Ok(None);
        }
        let bytes = read_bytes(&path, 64 << 10)?;
        let keys = std::slice::from_ref(&self.key);
        let known = SignedCheckpoint::open(&bytes, keys).map_err(|error| {
            Failure::undecided("E0407", "the checkpoint that was seen last is damaged")
                .at(shown(&path))
                .because(error.to_string())
                .because("compare with a checkpoint that others hold; without the file, watching begins anew")
        })?;
        Ok(Some(known))
    }

    fn remember(&self, checkpoint: &VerifiedCheckpoint) -> Result<(), Failure> {
        let path = self.memory()?;
        let dir = path.parent().unwrap_or(&path);
        std::fs::create_dir_all(dir).map_err(|error| Failure::io(shown(dir), &error))?;
        write_atomic(&path, checkpoint.text().as_bytes())
    }

    fn tell(&self, seen: &Seen) -> Result<(), Failure> {
        let now = self.context.now();
        if self.context.term.format() == Format::Json {
            return Term::line(&seen.to_json(&self.place, now));
        }
        let place = visible(&self.place);
        let text = match seen {
            Seen::Fine(looked) => format!(
                "{now}  fine: {} entries, {} looked at{}  {place}\n",
                looked.size,
                looked.entries,
                match looked.unread {
                    0 => String::new(),
                    n => format!(", {n} of them by nobody who can be told"),
                },
            ),
            Seen::Unexpected(looked) => {
                let alarm = self.context.term.paint(Role::Bad, "UNEXPECTED USE");
                let mut lines = String::new();
                for (index, found) in &looked.unexpected {
                    let by = visible(&found.told());
                    lines.push_str(&format!("{now}  {alarm}: #{index} by {by}  {place}\n"));
                }
                if looked.more > 0 {
                    lines.push_str(&format!(
                        "{now}  {alarm}: and {} more  {place}\n",
                        looked.more
                    ));
                }
                lines
            }
            Seen::Tampering(why) => {
                let alarm = self.context.term.paint(Role::Bad, "TAMPERING");
                format!("{now}  {alarm}: {}  {place}\n", visible(why))
            }
            Seen::Outage(why) => {
                let alarm = self.context.term.paint(Role::Warn, "outage");
                format!("{now}  {alarm}: {}  {place}\n", visible(why))
            }
        };
        self.context.term.say(&text)
    }
}

// Tells whether the store has the statement of an entry: one that says where it stands proves
// nothing, since anybody can say so; it has to be what the leaf commits to.
fn recorded_in<'a>(
    store: &'a Store,
    origin: &str,
    part: Range<u64>,
) -> Result<impl Fn(u64, &Digest) -> bool + 'a, Trouble> {
    let places = store.places(origin, part);
    let places = places.map_err(|error| Trouble::Here(stores::failure(&error)))?;
    let mut claims: BTreeMap<u64, Vec<Digest>> = BTreeMap::new();
    for (index, bundle) in places {
        claims.entry(index).or_default().push(bundle);
    }
    let leaf_of = |bundle: &Digest| {
        let bytes = store.bundle(bundle).ok()?;
        Parts::read(&bytes).ok()?.leaf_digest
    };
    Ok(move |index: u64, leaf: &Digest| {
        let mut claims = claims.get(&index).into_iter().flatten();
        claims.any(|bundle| leaf_of(bundle) == Some(*leaf))
    })
}

// An entry by one of us.
struct Hit {
    index: u64,
    leaf: Digest,
    who: Match,
}

impl Looked {
    fn to_json(&self) -> Value {
        json!({ "size": self.size, "lookedAt": self.entries, "unread": self.unread })
    }

    fn alarms(&self) -> Value {
        let entry = |(index, found): &(u64, Match)| match &found.issuer {
            None => json!({ "index": index, "signer": found.signer }),
            Some(issuer) => json!({
                "index": index, "signer": found.signer, "issuer": issuer,
                "verifiable": found.verifiable,
            }),
        };
        self.unexpected.iter().map(entry).collect()
    }
}

enum Trouble {
    Log(RecordError),
    Here(Failure),
}

impl From<RecordError> for Trouble {
    fn from(error: RecordError) -> Self {
        Self::Log(error)
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Here(failure)
    }
}

fn far(
    url: &str,
    key: &str,
    args: &LogWatchArgs,
    context: &Context,
) -> Result<(LogReader, VerifierKey, String), Failure> {
    let wrong = |what: &str, why: String| Failure::usage("E0002", what).at(url).because(why);
    let base: Url = url
        .parse()
        .map_err(|error: custos_net::UrlError| wrong("this is no URL", error.to_string()))?;
    let mut settings = NetSettings::new(Guard::public().naming(&base));
    if let Some(file) = &args.tls_roots {
        let pem = read_bytes(&context.resolve(file), 1 << 20)?;
        let roots = Roots::system_and_pem(&pem)
            .map_err(|error| wrong("the roots are not accepted", error.to_string()))?;
        settings = settings.with_roots(roots);
    }
    // A bundle of 256 entries of the largest size, and one byte that tells more.
    settings = settings.with_max_answer(17 << 20);
    let client = Client::new(settings)
        .map_err(|error| wrong("this log cannot be reached", error.to_string()))?;
    let disk = WebDisk::new(client, &base)
        .ok_or_else(|| wrong("this is no prefix of a log", String::new()))?;
    let file = context.resolve(std::path::Path::new(key));
    let text = if key.parse::<VerifierKey>().is_err() && file.is_file() {
        read_text(&file, 4096)?
    } else {
        key.to_owned()
    };
    let parsed = text
        .trim()
        .parse::<VerifierKey>()
        .map_err(|error| wrong("the log's key is not accepted", error.to_string()).at(key))?;
    Ok((
        LogReader::new(Arc::new(disk), parsed.clone()),
        parsed,
        url.to_owned(),
    ))
}
