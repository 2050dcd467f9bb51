//! Completing what waits: what services lack first, without holding the home's log meanwhile, then
//! the home's log and store.

use custos_core::bundle::Bundle;
use custos_core::digest::{Algorithm, Digest};
use custos_evidence::Store;
use custos_evidence::store::{Entry, Staged};
use custos_log::recorder::{Recorded, Recorder as _};
use custos_trust::keyless::{Description, Fresh, Services};

use super::{Pending, bytes_of, folder, list, lock, place};
use crate::context::Context;
use crate::exit::Exit;
use crate::files::{read_bytes, shown, write_atomic};
use crate::home::Home;
use crate::report::Failure;
use crate::services::home_log::HomeLog;
use crate::services::keyless;
use crate::{logs, stores};

/// Largest bundle that is looked at again, in bytes.
const MAX_BUNDLE: u64 = 200 << 20;

/// What became of that which waited.
#[derive(Debug, Default)]
pub struct Flush {
    /// Complete now.
    pub flushed: Vec<Flushed>,
    /// Waiting still.
    pub waiting: Vec<Waiting>,
}

/// A statement that was logged late.
#[derive(Debug)]
pub struct Flushed {
    /// Its place in the log.
    pub index: u64,
    /// The bundle with its log entry.
    pub digest: Digest,
    /// True if that was later than promised.
    pub late: bool,
}

/// A statement that could not be completed this time either.
#[derive(Debug)]
pub struct Waiting {
    /// What waits.
    pub pending: Pending,
    /// True if it should have been logged by now.
    pub overdue: bool,
    /// Why it waits.
    pub why: Failure,
}

/// Completes what waits, one by one: whatever happens, each is either still here or logged and
/// stored. With `others`, the services are described there, and no longer where it was said when
/// it was signed.
pub fn flush(others: Option<&Description>, context: &Context) -> Result<Flush, Failure> {
    let home = context.home()?;
    if !folder(&home).is_dir() {
        return Ok(Flush::default());
    }
    let _alone = lock(&home, "flushing.lock")?;
    // Which files hold what waits has been noted, once nobody is filling.
    let waiting = {
        let _quiet = lock(&home, "filling.lock")?;
        sweep(&home);
        list(&home)?
    };
    let mut flushing = Flushing {
        context,
        home,
        others,
        known: Vec::new(),
        flush: Flush::default(),
    };
    let complete = flushing.ask_services(waiting);
    if !complete.is_empty() {
        flushing.log(complete)?;
    }
    Ok(flushing.flush)
}

// What a crash left half written, under names that nobody reads.
fn sweep(home: &Home) {
    for entry in std::fs::read_dir(folder(home))
        .into_iter()
        .flatten()
        .flatten()
    {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with('.') && name.ends_with(".tmp") {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

struct Flushing<'a> {
    context: &'a Context,
    home: Home,
    others: Option<&'a Description>,
    // Services by where they are described, and why they cannot be asked now.
    known: Vec<(Description, Result<Services, Failure>)>,
    flush: Flush,
}

impl Flushing<'_> {
    fn ask_services(&mut self, waiting: Vec<Pending>) -> Vec<Pending> {
        let mut complete = Vec::new();
        for mut one in waiting {
            match self.serve(&mut one) {
                Ok(()) => complete.push(one),
                Err(why) => self.wait(one, why),
            }
        }
        complete
    }

    fn wait(&mut self, pending: Pending, why: Failure) {
        let overdue = self.context.now() > pending.log_by;
        self.flush.waiting.push(Waiting {
            pending,
            overdue,
            why,
        });
    }

    // What services gave is kept before anything else is done, also if one of them is away.
    fn serve(&mut self, pending: &mut Pending) -> Result<(), Failure> {
        let Some(described) = &pending.services else {
            return Ok(());
        };
        let at = self.find(&self.others.unwrap_or(described).clone());
        let (_, found) = self
            .known
            .get_mut(at)
            .ok_or_else(|| Failure::internal("services without a place"))?;
        let services = match found {
            Ok(services) => services,
            Err(why) => return Err(why.clone()),
        };
        let bundle = pending.parsed()?;
        let leaf = pending.leaf.as_slice().to_vec();
        let fresh = Fresh::of(&bundle, &leaf)
            .ok_or_else(|| Failure::internal("a bundle without a signature"))?
            .late();
        let before = pending.progress.clone();
        let outcome = services.complete(&fresh, &mut pending.progress);
        if pending.progress != before {
            pending.save(&self.home)?;
        }
        match outcome {
            Ok(None) => Ok(()),
            // Who is away is not asked again for each of the others.
            Ok(Some(away)) => {
                let why = keyless::failure(&away);
                *found = Err(why.clone());
                Err(why)
            }
            Err(error) => {
                let file = shown(&place(&self.home, &pending.leaf()));
                Err(keyless::failure(&error).help(format!(
                    "if that stays so, sign again, and give this one up by removing {file}"
                )))
            }
        }
    }

    fn find(&mut self, described: &Description) -> usize {
        let found = self.known.iter().position(|(known, _)| known == described);
        found.unwrap_or_else(|| {
            let services = keyless::services(described, self.context).map_err(|failure| {
                failure.help(
                    "`custos log flush` takes --signing-config and --trusted-root if these files \
                     are elsewhere now",
                )
            });
            self.known.push((described.clone(), services));
            self.known.len().saturating_sub(1)
        })
    }

    fn log(&mut self, complete: Vec<Pending>) -> Result<(), Failure> {
        let opened = HomeLog::open(self.context)
            .and_then(|log| stores::writable(self.context).map(|store| (log, store)));
        let (log, store) = match opened {
            Ok(opened) => opened,
            Err(failure) => return self.wait_all(complete, failure),
        };
        let staged = store.staged().map_err(|error| stores::failure(&error))?;
        let mut complete = complete.into_iter();
        while let Some(one) = complete.next() {
            let leaf = one.leaf.as_slice().to_vec();
            let answers = match log.record(std::slice::from_ref(&leaf)) {
                Ok(answers) => answers,
                Err(error) => {
                    let failure = logs::failure(&error, &self.home);
                    self.wait(one, failure.clone());
                    return self.wait_all(complete, failure);
                }
            };
            let answer = answers.into_iter().next();
            let recorded = answer.ok_or_else(|| Failure::internal("the log gave no answer"))?;
            match self.store(&one, &recorded, (&store, &staged)) {
                Ok(flushed) => self.flush.flushed.push(flushed),
                Err(failure) if failure.exit() == Exit::Alarm => return Err(failure),
                Err(failure) => self.wait(one, failure),
            }
        }
        log.remember(self.context);
        Ok(())
    }

    // An alarm is about the log, and about nothing that waits.
    fn wait_all(
        &mut self,
        these: impl IntoIterator<Item = Pending>,
        failure: Failure,
    ) -> Result<(), Failure> {
        if failure.exit() == Exit::Alarm {
            return Err(failure);
        }
        for one in these {
            self.wait(one, failure.clone());
        }
        Ok(())
    }

    fn store(
        &self,
        one: &Pending,
        recorded: &Recorded,
        (store, staged): (&Store, &[Staged]),
    ) -> Result<Flushed, Failure> {
        let bundle = one.progress.stamped(&one.parsed()?);
        let bytes = bytes_of(&with_entry(bundle, recorded, one.leaf.as_slice()))?;
        // A draft of the same leaf, if a command had come that far.
        let leaf = one.leaf();
        let draft = staged.iter().find(|draft| draft.leaf_digest == leaf);
        let entry = Entry {
            bundle: bytes.clone(),
            staged: draft.cloned(),
        };
        let committed = store.commit(vec![entry], self.context.now());
        committed.map_err(|error| stores::failure(&error))?;
        let written = match one.progress.published(&one.parsed()?) {
            Some(outward) => bytes_of(&outward)?,
            None => bytes.clone(),
        };
        for held in &one.files {
            replace(held, &written)?;
        }
        let path = place(&self.home, &leaf);
        std::fs::remove_file(&path).map_err(|error| Failure::io(shown(&path), &error))?;
        Ok(Flushed {
            index: recorded.index,
            digest: Algorithm::Sha256.digest(&bytes),
            late: self.context.now() > one.log_by,
        })
    }
}

fn with_entry(mut bundle: Bundle, recorded: &Recorded, leaf: &[u8]) -> Bundle {
    let material = std::mem::take(&mut bundle.verification_material);
    bundle.verification_material = material.with_entry(recorded.to_entry(leaf));
    bundle
}

// A file that somebody changed or took away meanwhile is theirs.
fn replace(held: &super::Held, new: &[u8]) -> Result<(), Failure> {
    match read_bytes(&held.path, MAX_BUNDLE) {
        Ok(found) if Algorithm::Sha256.digest(&found) == held.digest => {
            write_atomic(&held.path, new)
        }
        _ => Ok(()),
    }
}

/// Logs and finishes drafts: what commands had signed that were interrupted, or whose log died,
/// before anything was acknowledged. Returns how many there were.
pub fn drafts(context: &Context) -> Result<usize, Failure> {
    let home = context.home()?;
    let store = stores::writable(context)?;
    let failed = |error| stores::failure(&error);
    // Those of a command that is at work are its own.
    let _alone = store.alone(store.patience()).map_err(failed)?;
    let drafts = store.staged().map_err(failed)?;
    if drafts.is_empty() {
        return Ok(0);
    }
    let log = HomeLog::open(context)?;
    let leaves: Vec<Vec<u8>> = drafts.iter().map(|draft| draft.leaf.clone()).collect();
    let answers = log
        .record(&leaves)
        .map_err(|error| logs::failure(&error, &home))?;
    let count = drafts.len();
    let mut entries = Vec::with_capacity(count);
    for (draft, recorded) in drafts.into_iter().zip(answers) {
        let bytes = store.bundle(&draft.bundle_digest).map_err(failed)?;
        let bundle = Bundle::parse(&bytes).map_err(|e| Failure::internal(&e.to_string()))?;
        entries.push(Entry {
            bundle: bytes_of(&with_entry(bundle, &recorded, &draft.leaf))?,
            staged: Some(draft),
        });
    }
    store.commit(entries, context.now()).map_err(failed)?;
    log.remember(context);
    Ok(count)
}
