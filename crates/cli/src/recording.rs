//! Statements become evidence: signed, stored, logged, indexed, in this order.

use std::cell::OnceCell;
use std::path::Path;

use custos_core::bundle::Bundle;
use custos_core::clock::Timestamp;
use custos_core::crypto::{KeyId, KeyKind};
use custos_core::digest::{Algorithm, Digest};
use custos_core::entry::entry_algorithm;
use custos_core::statement::Statement;
use custos_evidence::Store;
use custos_evidence::record::{self, KeepError, Kept};
use custos_trust::keyless::{KeylessError, Services};
use custos_trust::seal::{SealError, Signed};
use custos_trust::signer::{CertificateSigner, SignError, Signer};

use crate::args::KeyArgs;
use crate::context::Context;
use crate::exit::Exit;
use crate::files::{read_text, shown, write_atomic};
use crate::keys;
use crate::logs;
use crate::report::Failure;
use crate::services::home_log::HomeLog;
use crate::services::keyless;
use crate::settings::Settings;
use crate::spool::{self, Filling, Pending};
use crate::stores;

/// Certificates beside a key.
#[derive(Debug, Clone, Copy)]
pub struct Certificates<'a> {
    /// The key's own certificate.
    pub leaf: Option<&'a Path>,
    /// Its issuers, in order.
    pub chain: Option<&'a Path>,
}

/// Returns the signer that the command line and the settings name.
pub fn signer(
    args: &KeyArgs,
    certificates: &Certificates<'_>,
    settings: &Settings,
    context: &Context,
) -> Result<Box<dyn Signer>, Failure> {
    if let Some(signer) = keyless::signer(args, settings, context)? {
        return match certificates.leaf {
            None => Ok(signer),
            Some(_) => Err(Failure::usage("E0002", "a certificate goes with a key")
                .because("keyless signing gets a certificate of its own")),
        };
    }
    let key = keys::signer(args, settings, context)?;
    let key = keyless::countersigned(key, args, settings, context)?;
    let Some(leaf) = certificates.leaf else {
        return Ok(key);
    };
    let leaf = context.resolve(leaf);
    let mut pem = read_text(&leaf, 1 << 20)?;
    if let Some(chain) = certificates.chain {
        pem.push('\n');
        pem.push_str(&read_text(&context.resolve(chain), 1 << 20)?);
    }
    let signer = CertificateSigner::over(key, &pem).map_err(|error| {
        let code = if matches!(error, SignError::LeafKeyMismatch) {
            "E0706"
        } else {
            "E0112"
        };
        Failure::usage(code, "the certificate cannot sign with this key")
            .at(shown(&leaf))
            .because(error.to_string())
    })?;
    Ok(Box::new(signer))
}

/// Returns the signer of a bare key.
pub fn key_signer(
    args: &KeyArgs,
    settings: &Settings,
    context: &Context,
) -> Result<Box<dyn Signer>, Failure> {
    signer(
        args,
        &Certificates {
            leaf: None,
            chain: None,
        },
        settings,
        context,
    )
}

/// A statement that is evidence now.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// The bundle's bytes.
    pub bytes: Vec<u8>,
    /// SHA-256 of the bundle's bytes.
    pub digest: Digest,
    /// Position in the log.
    pub index: Option<u64>,
    /// By when it is logged, if it waits for that.
    pub log_by: Option<Timestamp>,
    // What the spool knows it by, if it waits.
    leaf: Option<Digest>,
}

impl Recorded {
    fn unlogged(bundle: &Bundle) -> Result<Self, Failure> {
        let bytes = bundle
            .to_bytes()
            .map_err(|error| Failure::internal(&error.to_string()))?;
        Ok(Self {
            digest: Algorithm::Sha256.digest(&bytes),
            bytes,
            index: None,
            log_by: None,
            leaf: None,
        })
    }

    fn waiting(pending: &Pending) -> Result<Self, Failure> {
        let bytes = pending.current()?;
        Ok(Self {
            digest: Algorithm::Sha256.digest(&bytes),
            bytes,
            index: None,
            log_by: Some(pending.log_by),
            leaf: Some(pending.leaf()),
        })
    }

    /// Returns how it stands with the log: `logged`, `pending` or `unlogged`.
    pub const fn status(&self) -> &'static str {
        match (self.index, self.log_by) {
            (Some(_), _) => "logged",
            (None, Some(_)) => "pending",
            (None, None) => "unlogged",
        }
    }

    /// Returns its place in the log in words.
    pub fn place(&self) -> String {
        match (self.index, self.log_by) {
            (Some(index), _) => format!("log #{index}"),
            (None, Some(by)) => format!("PENDING: `custos log flush` by {by}"),
            (None, None) => "in no log".to_owned(),
        }
    }
}

// What is signed and may be in the log is not thrown away, and not left unmentioned either.
fn unfinished(recording: &record::Recording<'_>, signed: &Signed, failure: Failure) -> Failure {
    if !recording.has_drafts(signed) {
        return failure;
    }
    failure
        .help("`[signing] pending_hours` in the settings lets signatures wait for a service")
        .help(
            "what was signed is kept as a draft: `custos log flush --drafts` logs it, `custos \
             evidence reindex --forget-drafts` drops it",
        )
}

// What one service refuses does not wait because another one is away.
fn is_outage(error: &KeepError, signed: &Signed) -> bool {
    match error {
        KeepError::Seal(SealError::Record(error)) => error.is_outage(),
        KeepError::Seal(SealError::Sign(SignError::Keyless(error))) => {
            signed.away().is_some() && matches!(**error, KeylessError::Unreachable { .. })
        }
        _ => false,
    }
}

fn waits(why: &str, context: &Context) {
    let text = format!("what is signed waits to be completed: {why}");
    context.term.warn(&text);
}

fn lost() -> Failure {
    Failure::internal("a statement was lost on the way")
}

/// Where statements go: nowhere but to the caller, or into the home's log and store.
pub struct Recording<'a> {
    context: &'a Context,
    signer: Box<dyn Signer>,
    kept: Option<(HomeLog, Store)>,
    // Hours within which a signature is completed that cannot be completed now.
    pending: Option<u32>,
    // Once something waits, until it is noted which files hold it.
    filling: OnceCell<Filling>,
}

impl<'a> Recording<'a> {
    /// Signs without a log.
    pub fn unlogged(signer: Box<dyn Signer>, context: &'a Context) -> Self {
        Self {
            context,
            signer,
            kept: None,
            pending: None,
            filling: OnceCell::new(),
        }
    }

    /// Finds out whether the home's log and store take statements, before work is done that would
    /// be lost if they did not.
    pub fn check(context: &Context) -> Result<(), Failure> {
        match HomeLog::open(context) {
            Err(failure) if failure.exit() != Exit::Undecided => return Err(failure),
            Err(failure) if context.settings()?.pending_hours.is_none() => return Err(failure),
            _ => {}
        }
        stores::writable(context).map(drop)
    }

    /// Signs, stores and logs in the home.
    ///
    /// If a log or a timestamp authority is away, and the settings allow that, what is signed
    /// waits to be completed. A log that contradicts itself is no outage: nothing is signed then.
    pub fn open(signer: Box<dyn Signer>, context: &'a Context) -> Result<Self, Failure> {
        let pending = context.settings()?.pending_hours;
        let kept = match (Self::keep(context), pending) {
            (Err(failure), Some(_)) if failure.exit() == Exit::Undecided => {
                waits(failure.what(), context);
                None
            }
            (kept, _) => Some(kept?),
        };
        Ok(Self {
            context,
            signer,
            kept,
            pending,
            filling: OnceCell::new(),
        })
    }

    /// The same for what has to be complete at once, as it goes where nobody completes it later.
    pub fn at_once(signer: Box<dyn Signer>, context: &'a Context) -> Result<Self, Failure> {
        let explained = |failure: Failure| failure.help("what goes there cannot wait to be logged");
        Ok(Self {
            kept: Some(Self::keep(context).map_err(explained)?),
            ..Self::unlogged(signer, context)
        })
    }

    fn keep(context: &Context) -> Result<(HomeLog, Store), Failure> {
        let log = HomeLog::open(context)?;
        let store = stores::writable(context)?;
        stores::finish(&store, &log.reader(), context);
        Ok((log, store))
    }

    // Keeps what was signed, for whoever completes it.
    fn spool(&self, signed: &Signed, hours: u32) -> Result<Vec<Recorded>, Failure> {
        let filling = if let Some(filling) = self.filling.get() {
            filling
        } else {
            let begun = Filling::begin(&self.context.home()?)?;
            self.filling.get_or_init(|| begun)
        };
        let services = self.signer.services().and_then(Services::description);
        let from = self.context.now();
        let mut recorded = Vec::new();
        for part in signed.parts() {
            let pending = Pending::new(part, services, spool::Term { from, hours })?;
            recorded.push(Recorded::waiting(&filling.keep(pending)?)?);
        }
        Ok(recorded)
    }

    /// Notes that a file holds a bundle that waits, so that it gets the complete one later.
    pub fn note_file(&self, recorded: &Recorded, file: &Path) -> Result<(), Failure> {
        match (&recorded.leaf, self.filling.get()) {
            (Some(leaf), Some(filling)) => filling.note_file(leaf, (file, recorded.digest)),
            _ => Ok(()),
        }
    }

    /// Writes bundles into a folder, as `PREFIX.KIND.sigstore.json` each.
    pub fn write_bundles(
        &self,
        (dir, prefix): (&Path, &str),
        bundles: &[(&str, &Recorded)],
    ) -> Result<(), Failure> {
        std::fs::create_dir_all(dir).map_err(|error| Failure::io(shown(dir), &error))?;
        for (kind, one) in bundles {
            let file = dir.join(format!("{prefix}.{kind}.sigstore.json"));
            write_atomic(&file, &one.bytes)?;
            self.note_file(one, &file)?;
        }
        Ok(())
    }

    /// Returns the key that signs.
    pub fn key_id(&self) -> KeyId {
        self.signer.public_key().id()
    }

    /// Returns who signs, in words: whom a certificate names, once something was signed, else the
    /// key.
    pub fn signer_name(&self) -> String {
        self.signer
            .identity()
            .unwrap_or_else(|| format!("key:{}", self.key_id().short()))
    }

    /// Returns the kind of the key that signs.
    pub fn kind(&self) -> KeyKind {
        self.signer.public_key().kind()
    }

    /// Returns the store that statements go into.
    pub fn store(&self) -> Option<&Store> {
        self.kept.as_ref().map(|(_, store)| store)
    }

    /// Records one statement.
    pub fn one(&self, statement: Statement) -> Result<Recorded, Failure> {
        let mut recorded = self.many(&[statement])?;
        recorded.pop().ok_or_else(lost)
    }

    /// Records statements in one batch of the log: all of them or none.
    pub fn many(&self, statements: &[Statement]) -> Result<Vec<Recorded>, Failure> {
        self.record(Signed::new(statements, self.signer.as_ref()))
    }

    fn record(&self, signed: Result<Signed, SealError>) -> Result<Vec<Recorded>, Failure> {
        let failed = |error| self.failure(&KeepError::Seal(error));
        let mut signed = signed.map_err(failed)?;
        let Some((log, store)) = &self.kept else {
            if let Some(hours) = self.pending {
                return self.spool(&signed, hours);
            }
            let bundles = signed.complete().map_err(failed)?.unlogged();
            return bundles.iter().map(Recorded::unlogged).collect();
        };
        let recording = record::Recording {
            store,
            signer: self.signer.as_ref(),
            log,
            now: self.context.now(),
        };
        let error = match recording.keep(&mut signed) {
            Ok(kept) => return Ok(self.acknowledge(log, kept)),
            Err(error) => error,
        };
        let Some(hours) = self.pending.filter(|_| is_outage(&error, &signed)) else {
            return Err(unfinished(&recording, &signed, self.failure(&error)));
        };
        waits(self.failure(&error).what(), self.context);
        let recorded = self.spool(&signed, hours)?;
        // Where that fails, the spool's next reader finishes the draft.
        let _ = recording.forget(&signed);
        Ok(recorded)
    }

    /// Returns where the log is read that takes the statements, if one does.
    pub fn log_url(&self) -> Option<String> {
        let (log, _) = self.kept.as_ref()?;
        Some(log.url(&self.context.home().ok()?))
    }

    /// Returns the hash that a file has to be given by, to be signed itself.
    pub fn algorithm(&self) -> Algorithm {
        entry_algorithm(self.signer.scheme())
    }

    /// Signs a file itself, without a statement about it.
    pub fn message(&self, digest: &Digest) -> Result<Recorded, Failure> {
        let signed = Signed::message(digest, self.signer.as_ref());
        self.record(signed)?.pop().ok_or_else(lost)
    }

    fn acknowledge(&self, log: &HomeLog, kept: Vec<Kept>) -> Vec<Recorded> {
        log.remember(self.context);
        kept.into_iter()
            .map(|kept| Recorded {
                bytes: kept.outward.unwrap_or(kept.bundle),
                digest: kept.digest,
                index: Some(kept.log_index),
                log_by: None,
                leaf: None,
            })
            .collect()
    }

    fn failure(&self, error: &KeepError) -> Failure {
        match (error, self.context.home()) {
            (KeepError::Seal(SealError::Record(error)), Ok(home)) => {
                // The log's own word: what it could not make durable must not be tried again.
                logs::failure(error, &home)
            }
            (KeepError::Store(error), _) => stores::failure(error),
            (KeepError::Seal(SealError::Sign(SignError::Keyless(error))), _) => {
                keyless::failure(error)
            }
            (KeepError::Seal(SealError::Sign(error)), _)
                if let Some(failure) = keys::references::sign_failure(error) =>
            {
                failure
            }
            _ => Failure::undecided("E0702", "the statement could not be signed")
                .because(error.to_string()),
        }
    }
}
