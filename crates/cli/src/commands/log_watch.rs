//! `custos log watch`: follows a log, and tells three alarms apart.
//!
//! - *outage*: the log did not answer, or not completely. Nothing is proven (exit 3, E0407).
//! - *tampering*: what it serves contradicts what it signed: a fork, a rollback, a changed entry
//!   (exit 4, E0403).
//! - *unexpected use*: a signature by a key or identity of ours stands in the log, and this home
//!   never recorded it (exit 4, E0406).
//!
//! Each look begins at the checkpoint that was seen last and proves that the log only grew since.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use custos_core::digest::Algorithm;
use custos_core::identity::{Expected, ExpectedSigner};
use custos_log::checkpoint::{SignedCheckpoint, VerifiedCheckpoint};
use custos_log::note::VerifierKey;
use custos_log::reader::LogReader;
use custos_log::recorder::RecordError;
use custos_net::{Client, Guard, Roots, Settings as NetSettings, Url};
use custos_trust::revocation::Who;
use serde_json::{Value, json};

use crate::args::LogWatchArgs;
use crate::commands::impact::signer_of;
use crate::context::Context;
use crate::exit::Exit;
use crate::files::{read_bytes, read_text, shown, write_atomic};
use crate::keys::PUBLIC;
use crate::stores::DATABASE;
use crate::term::{Format, Role, Term, visible};
use crate::web_log::WebDisk;
use crate::{Failure, Outcome, logs, stores};

/// Most signers that are watched for.
const MAX_WATCHED: usize = 1_000;
/// Most entries that one look goes through.
const MAX_ENTRIES: u64 = 10_000_000;

/// Runs the command.
pub fn run(args: &LogWatchArgs, context: &Context) -> Outcome {
    let watch = Watch::new(args, context)?;
    let mut since = args.since;
    loop {
        let seen = watch.look(since);
        watch.tell(&seen)?;
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
    ours: Vec<Who>,
}

// What one look found.
enum Seen {
    Fine {
        size: u64,
        looked_at: u64,
    },
    Unexpected {
        size: u64,
        entries: Vec<(u64, String)>,
    },
    Tampering(String),
    Outage(String),
}

impl Seen {
    const fn name(&self) -> &'static str {
        match self {
            Self::Fine { .. } => "fine",
            Self::Unexpected { .. } => "unexpected-use",
            Self::Tampering(_) => "tampering",
            Self::Outage(_) => "outage",
        }
    }

    const fn exit(&self) -> Exit {
        match self {
            Self::Fine { .. } => Exit::Yes,
            Self::Unexpected { .. } | Self::Tampering(_) => Exit::Alarm,
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
            Self::Fine { size, looked_at } => json!({ "size": size, "lookedAt": looked_at }),
            Self::Unexpected { size, entries } => json!({
                "code": "E0406",
                "size": size,
                "entries": entries.iter()
                    .map(|(index, who)| json!({ "index": index, "signer": who }))
                    .collect::<Vec<_>>(),
            }),
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
            Self::Fine { .. } => Ok(Exit::Yes),
            Self::Unexpected { entries, .. } => {
                let mut failed =
                    failure("E0406", "our key signed something that we did not record");
                for (index, who) in entries.iter().take(20) {
                    failed = failed.because(format!("log entry #{index} is by {who}"));
                }
                Err(failed
                    .help("if nobody of you signed it: `custos keys revoke KEY --since TIME --reason TEXT`")
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
        let ours = ours(args, context)?;
        if ours.is_empty() {
            return Err(Failure::usage("E0002", "nobody is watched for")
                .because("the home has no keys, and the settings name no signer")
                .help("pass --key or --certificate-identity"));
        }
        Ok(Self {
            context,
            reader,
            key,
            place,
            ours,
        })
    }

    fn look(&self, since: Option<u64>) -> Seen {
        match self.try_look(since) {
            Ok(seen) => seen,
            Err(Trouble::Log(RecordError::Integrity(fault))) => Seen::Tampering(fault.to_string()),
            Err(Trouble::Log(error)) => Seen::Outage(error.to_string()),
            Err(Trouble::Here(failure)) => Seen::Outage(failure.what().to_owned()),
        }
    }

    fn try_look(&self, since: Option<u64>) -> Result<Seen, Trouble> {
        let checkpoint = self.reader.latest()?;
        let known = self.known()?;
        if let Some(known) = &known {
            self.reader.extends(known, &checkpoint)?;
        }
        let size = checkpoint.size();
        let from = since.unwrap_or_else(|| known.map_or(0, |known| known.size()));
        let end = size.min(from.saturating_add(MAX_ENTRIES));
        let mut found: Vec<(u64, String, String)> = Vec::new();
        self.reader.for_each(
            from..end,
            &checkpoint,
            |index, leaf| -> Result<(), RecordError> {
                let by = self.ours.iter().find(|who| signer_of(leaf, who).is_some());
                if let Some(who) = by {
                    let digest = Algorithm::Sha256.digest(leaf).to_string();
                    found.push((index, who.to_string(), digest));
                }
                Ok(())
            },
        )?;
        let entries = self.unexpected(found, checkpoint.origin(), from)?;
        self.remember(&checkpoint)?;
        Ok(if entries.is_empty() {
            Seen::Fine {
                size,
                looked_at: end.saturating_sub(from),
            }
        } else {
            Seen::Unexpected { size, entries }
        })
    }

    // A statement of ours lies in the store, or is on its way there: drafts are asked first, as
    // a command that finishes meanwhile moves its statement from there to the index.
    fn unexpected(
        &self,
        found: Vec<(u64, String, String)>,
        origin: &str,
        from: u64,
    ) -> Result<Vec<(u64, String)>, Trouble> {
        if found.is_empty() {
            return Ok(Vec::new());
        }
        let home = self.context.home()?;
        if !home.root().join(DATABASE).exists() {
            return Ok(found.into_iter().map(|(n, who, _)| (n, who)).collect());
        }
        let failed = |error| Trouble::Here(stores::failure(&error));
        let store = stores::readable(self.context)?;
        let drafts = store.staged().map_err(failed)?;
        let drafts: BTreeSet<String> = drafts
            .into_iter()
            .map(|draft| draft.leaf_digest.to_string())
            .collect();
        let places = store.places(origin, from).map_err(failed)?;
        let places: BTreeSet<u64> = places.into_iter().map(|(index, _)| index).collect();
        Ok(found
            .into_iter()
            .filter(|(index, _, leaf)| !places.contains(index) && !drafts.contains(leaf))
            .map(|(index, who, _)| (index, who))
            .collect())
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
            Seen::Fine { size, looked_at } => {
                format!("{now}  fine: {size} entries, {looked_at} looked at  {place}\n")
            }
            Seen::Unexpected { entries, .. } => entries
                .iter()
                .map(|(index, who)| {
                    let alarm = self.context.term.paint(Role::Bad, "UNEXPECTED USE");
                    format!("{now}  {alarm}: #{index} by {}  {place}\n", visible(who))
                })
                .collect(),
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

// Whose signatures are ours: those named, else every key of the home and every signer of the
// settings that is a key or one exact identity.
fn ours(args: &LogWatchArgs, context: &Context) -> Result<Vec<Who>, Failure> {
    let mut ours = Vec::new();
    for named in &args.key {
        ours.push(Who::Key(crate::key_life::key_id(named, context)?));
    }
    for identity in &args.certificate_identity {
        ours.push(Who::Identity {
            identity: identity.clone(),
            issuer: None,
        });
    }
    if ours.is_empty() {
        for signer in &context.settings()?.signers {
            match signer {
                ExpectedSigner::Key { key, .. } => ours.push(Who::Key(key.id())),
                ExpectedSigner::Certificate {
                    identity: Expected::Exactly(identity),
                    ..
                } => ours.push(Who::Identity {
                    identity: identity.clone(),
                    issuer: None,
                }),
                _ => {}
            }
        }
        ours.extend(home_keys(context)?);
    }
    ours.sort();
    ours.dedup();
    if ours.len() > MAX_WATCHED {
        return Err(Failure::usage("E0002", "too many signers to watch for")
            .because(format!("at most {MAX_WATCHED}")));
    }
    Ok(ours)
}

fn home_keys(context: &Context) -> Result<Vec<Who>, Failure> {
    let Ok(entries) = std::fs::read_dir(context.home()?.keys()) else {
        return Ok(Vec::new());
    };
    let files = entries.filter_map(Result::ok).map(|entry| entry.path());
    let public = files.filter(|path| path.extension().is_some_and(|ending| ending == PUBLIC));
    Ok(public
        .filter_map(|path| custos_trust::keys::load_public(&path).ok())
        .map(|key| Who::Key(key.id()))
        .collect())
}
