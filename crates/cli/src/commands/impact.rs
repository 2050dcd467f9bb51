//! `custos keys impact`: everything that rests on the signatures of a key.
//!
//! What the key signed is taken from the log itself, so that a signature which this home never
//! made is told too; from there on the search goes down the lineage. Nothing is left out in
//! silence: what could not be read is named, and the answer is then no complete one (exit 3).

mod deployments;
mod signed;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use custos_core::digest::{Digest, DigestSet};
use custos_core::identity::ExpectedSigner;
use custos_evidence::parts::Parts;
use custos_evidence::{Store, StoreError, TrustContext};
use custos_log::checkpoint::VerifiedCheckpoint;
use custos_log::recorder::RecordError;
use custos_trust::TrustRoot;
use custos_trust::revocation::{Revocations, Who};
use custos_trust::verify::{LogRequirement, SignedTime, VerifyError};
use serde_json::{Value, json};

use crate::args::{ImpactArgs, Since};
use crate::context::Context;
use crate::exit::Exit;
use crate::judging::time_of_bundle;
use crate::key_life;
use crate::term::{Role, count, visible};
use crate::trusting::Trusting;
use crate::{Failure, Outcome, logs, stores};
use deployments::Deployments;

/// Most artifacts that one answer follows.
const MAX_ARTIFACTS: usize = 1_000_000;
/// Most lines of a kind that people are shown; JSON has all.
const SHOWN: usize = 40;

/// Runs the command.
pub fn run(args: &ImpactArgs, context: &Context) -> Outcome {
    let who = key_life::who(&args.who, context)?;
    let settings = context.settings()?;
    let trusting = Trusting::from_settings(&settings, context)?;
    let store = stores::readable(context)?;
    let (log, checkpoint) = logs::reader(context)?;
    stores::catch_up(&store, &log, &checkpoint, context)?;
    let first = first_index(args, &who, &checkpoint, context)?;
    let mut search = Search {
        who: &who,
        // Whether it was the key that signed is asked here, not whether that still counts.
        root: trusting.root.clone().without_revocations(),
        trusting: &trusting,
        store: &store,
        checkpoint: &checkpoint,
        context,
        statements: Vec::new(),
        artifacts: BTreeMap::new(),
        deployments: Deployments::default(),
        lists: signed::lists(&args.list, context)?,
        queue: VecDeque::new(),
        seen: BTreeSet::new(),
        missing: Vec::new(),
    };
    search.signed_in_log(&log, first)?;
    search.signed_elsewhere()?;
    search.descend()?;
    search.deployments = Deployments::read(&mut search)?;
    search.report(first)
}

fn first_index(
    args: &ImpactArgs,
    who: &Who,
    checkpoint: &VerifiedCheckpoint,
    context: &Context,
) -> Result<u64, Failure> {
    match args.since {
        Some(Since::Index(index)) => Ok(index),
        Some(Since::Time(time)) => {
            let found = key_life::boundary(who, time, None, context)?;
            let first = found.boundary.logs.get(checkpoint.origin());
            Ok(first.copied().unwrap_or(0))
        }
        None => {
            let list = key_life::load(&context.home()?)?;
            let revoked = list.iter().flat_map(Revocations::revoked);
            let of = revoked.filter(|one| one.who == *who);
            // Of several revocations the earliest counts; without an index, everything.
            let first = of.map(|one| one.boundary.logs.get(checkpoint.origin()).copied());
            Ok(first.map(|index| index.unwrap_or(0)).min().unwrap_or(0))
        }
    }
}

struct Search<'a> {
    who: &'a Who,
    root: TrustRoot,
    trusting: &'a Trusting,
    store: &'a Store,
    checkpoint: &'a VerifiedCheckpoint,
    context: &'a Context,
    statements: Vec<Statement>,
    artifacts: BTreeMap<String, Affected>,
    deployments: Deployments,
    // Lists of batches that somebody brought along.
    lists: BTreeMap<Digest, Vec<u8>>,
    queue: VecDeque<String>,
    seen: BTreeSet<Digest>,
    missing: Vec<String>,
}

// What the key signed.
struct Statement {
    index: Option<u64>,
    bundle: Digest,
    kind: String,
    subjects: Vec<String>,
}

struct Affected {
    name: String,
    digest: DigestSet,
    how: How,
    verified: bool,
}

enum How {
    Signed {
        index: Option<u64>,
    },
    Made {
        step: String,
        from: String,
        index: Option<u64>,
    },
}

impl Search<'_> {
    // Follows what was made of what.
    fn descend(&mut self) -> Result<(), Failure> {
        while let Some(at) = self.queue.pop_front() {
            let Some(artifact) = self.artifacts.get(&at) else {
                continue;
            };
            let (digest, name) = (artifact.digest.clone(), artifact.name.clone());
            for hit in self.hits(self.store.using(&digest), &name)? {
                self.made(&hit, &at)?;
            }
        }
        Ok(())
    }

    fn hits(
        &mut self,
        hits: Result<Vec<custos_evidence::store::Hit>, StoreError>,
        name: &str,
    ) -> Result<Vec<custos_evidence::store::Hit>, Failure> {
        match hits {
            Err(StoreError::TooMany { limit }) => {
                self.missing
                    .push(format!("`{name}` has more than {limit} statements"));
                Ok(Vec::new())
            }
            hits => hits.map_err(|error| stores::failure(&error)),
        }
    }

    fn made(&mut self, hit: &custos_evidence::store::Hit, from: &str) -> Result<(), Failure> {
        // One step may have read several affected things; its products are affected once.
        if !self.seen.insert(hit.bundle_digest) {
            return Ok(());
        }
        let Some((bytes, parts)) = self.read(&hit.bundle_digest)? else {
            return Ok(());
        };
        let Some(step) = &parts.step else {
            return Ok(());
        };
        let verified = self
            .check((&bytes, &parts), &self.trusting.signers, true)
            .is_ok();
        for subject in &parts.subjects {
            let how = How::Made {
                step: step.name.clone(),
                from: from.to_owned(),
                index: hit.log_index,
            };
            self.add(&subject.name, &subject.digest, (how, verified));
        }
        Ok(())
    }

    fn add(&mut self, name: &str, digest: &DigestSet, (how, verified): (How, bool)) -> String {
        let key = key_of(digest);
        if let Some(known) = self.artifacts.get_mut(&key) {
            known.verified |= verified;
            return key;
        }
        if self.artifacts.len() >= MAX_ARTIFACTS {
            let text = format!("more than {MAX_ARTIFACTS} artifacts are affected");
            if !self.missing.contains(&text) {
                self.missing.push(text);
            }
            return key;
        }
        let affected = Affected {
            name: name.to_owned(),
            digest: digest.clone(),
            how,
            verified,
        };
        self.artifacts.insert(key.clone(), affected);
        self.queue.push_back(key.clone());
        key
    }

    fn read(&mut self, digest: &Digest) -> Result<Option<(Vec<u8>, Parts)>, Failure> {
        let bytes = match self.store.bundle(digest) {
            Ok(bytes) => bytes,
            Err(error) if error.is_of_one_bundle() => {
                self.missing
                    .push(format!("the statement {digest} cannot be read: {error}"));
                return Ok(None);
            }
            Err(error) => return Err(stores::failure(&error)),
        };
        match Parts::read(&bytes) {
            Ok(parts) => Ok(Some((bytes, parts))),
            Err(error) => {
                self.missing
                    .push(format!("the statement {digest} cannot be read: {error}"));
                Ok(None)
            }
        }
    }

    // Where a bundle stands in the home's log, if it is by one of these.
    fn check(
        &self,
        (bytes, parts): (&[u8], &Parts),
        signers: &[ExpectedSigner],
        logged: bool,
    ) -> Result<Option<u64>, VerifyError> {
        let trust = TrustContext {
            trust_root: &self.root,
            signers,
            log: if logged {
                LogRequirement::Required
            } else {
                LogRequirement::AbsenceAllowed
            },
            origin: self.checkpoint.origin(),
            log_size: self.checkpoint.size(),
            now: self.context.now(),
        };
        time_of_bundle(bytes, parts, &trust).map(|(index, _): (_, SignedTime)| index)
    }

    fn log_failure(&self, error: &RecordError) -> Failure {
        match self.context.home() {
            Ok(home) => logs::failure(error, &home),
            Err(failure) => failure,
        }
    }

    fn report(&self, first: u64) -> Outcome {
        let term = &self.context.term;
        let number = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        let mut text = format!(
            "{} signed {} from #{first} on: {} affected, {} at work\n",
            term.paint(Role::Strong, &visible(&self.who.to_string())),
            count(number(self.statements.len()), "statement"),
            count(number(self.artifacts.len()), "artifact"),
            count(number(self.deployments.running().count()), "deployment"),
        );
        for one in self.deployments.running().take(SHOWN) {
            let name = self.artifacts.get(&one.artifact).map_or("", |a| &a.name);
            text.push_str(&format!(
                "{} {}  {}  runs {}\n",
                term.paint(Role::Bad, "RUNS"),
                visible(&one.said.environment),
                visible(&one.said.workload),
                visible(name),
            ));
        }
        for artifact in self.artifacts.values().take(SHOWN) {
            text.push_str(&format!("     {}\n", visible(&self.line(artifact))));
        }
        if self.artifacts.len() > SHOWN {
            let more = self.artifacts.len().saturating_sub(SHOWN);
            text.push_str(&format!("     and {more} more; --format json has all\n"));
        }
        for missing in &self.missing {
            term.warn(&visible(missing));
        }
        term.result(&text, &self.to_json(first))?;
        Ok(if self.missing.is_empty() {
            Exit::Yes
        } else {
            Exit::Undecided
        })
    }

    fn line(&self, artifact: &Affected) -> String {
        let digest = key_of(&artifact.digest)
            .chars()
            .take(19)
            .collect::<String>();
        let unproven = if artifact.verified { "" } else { ", unproven" };
        let place = |index: &Option<u64>| {
            index.map_or_else(|| "not logged".to_owned(), |index| format!("log #{index}"))
        };
        let why = match &artifact.how {
            How::Signed { index } => format!("signed, {}", place(index)),
            How::Made { step, from, index } => {
                let from = self.artifacts.get(from).map_or("", |from| &from.name);
                format!("made by `{step}` from {from}, {}", place(index))
            }
        };
        format!("{}  {digest}  {why}{unproven}", artifact.name)
    }

    fn to_json(&self, first: u64) -> Value {
        let artifact = |one: &Affected| match &one.how {
            How::Signed { index } => json!({
                "name": one.name, "digest": one.digest, "how": "signed", "logIndex": index,
                "verified": one.verified,
            }),
            How::Made { step, from, index } => json!({
                "name": one.name, "digest": one.digest, "how": "descendant", "step": step,
                "from": self.artifacts.get(from).map(|from| &from.digest), "logIndex": index,
                "verified": one.verified,
            }),
        };
        let deployment = |one: &deployments::Deployed| {
            json!({
                "environment": one.said.environment, "workload": one.said.workload,
                "state": one.said.state, "at": one.said.at, "revision": one.said.revision,
                "artifact": self.artifacts.get(&one.artifact).map(|a| &a.digest),
                "logIndex": one.index, "verified": one.verified,
            })
        };
        let statement = |one: &Statement| {
            json!({
                "logIndex": one.index, "bundle": one.bundle, "predicateType": one.kind,
                "subjects": one.subjects,
            })
        };
        json!({
            "schema": "custos.keys.impact/1",
            "who": self.who.to_string(),
            "origin": self.checkpoint.origin(),
            "firstIndex": first,
            "statements": self.statements.iter().map(statement).collect::<Vec<_>>(),
            "artifacts": self.artifacts.values().map(artifact).collect::<Vec<_>>(),
            "deployments": self.deployments.iter().map(deployment).collect::<Vec<_>>(),
            "complete": self.missing.is_empty(),
            "missing": self.missing,
        })
    }
}

// The digest that stands for an artifact: SHA-256 if there is one.
fn key_of(digest: &DigestSet) -> String {
    let pairs: Vec<_> = digest.iter().collect();
    let chosen = pairs
        .iter()
        .find(|(name, _)| *name == "sha256")
        .or(pairs.first());
    chosen.map_or_else(String::new, |(name, hex)| format!("{name}:{hex}"))
}
