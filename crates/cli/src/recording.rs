//! Statements become evidence: signed, stored, logged, indexed, in this order.

use std::path::Path;

use custos_core::bundle::Bundle;
use custos_core::clock::Timestamp;
use custos_core::crypto::{KeyId, KeyKind};
use custos_core::digest::{Algorithm, Digest};
use custos_core::entry::entry_algorithm;
use custos_core::statement::Statement;
use custos_evidence::Store;
use custos_evidence::record::{self, KeepError, Kept};
use custos_trust::seal::{self, SealError, Signed};
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
use crate::spool::{self, Pending};
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

/// Writes bundles into a folder, as `PREFIX.KIND.sigstore.json` each.
pub fn write_bundles(
    dir: &Path,
    prefix: &str,
    bundles: &[(&str, &Recorded)],
) -> Result<(), Failure> {
    std::fs::create_dir_all(dir).map_err(|error| Failure::io(shown(dir), &error))?;
    for (kind, one) in bundles {
        let file = dir.join(format!("{prefix}.{kind}.sigstore.json"));
        write_atomic(&file, &one.bytes)?;
    }
    Ok(())
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
    /// By when it is logged, if the log did not take it now.
    pub log_by: Option<Timestamp>,
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

fn lost() -> Failure {
    Failure::internal("a statement was lost on the way")
}

/// Where statements go: nowhere but to the caller, or into the home's log and store.
pub struct Recording<'a> {
    context: &'a Context,
    signer: Box<dyn Signer>,
    kept: Option<(HomeLog, Store)>,
    // Hours within which a signature is logged that the log does not take now.
    pending: Option<u32>,
}

impl<'a> Recording<'a> {
    /// Signs without a log.
    pub fn unlogged(signer: Box<dyn Signer>, context: &'a Context) -> Self {
        Self {
            context,
            signer,
            kept: None,
            pending: None,
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
    /// If the log is away, and the settings allow that, what is signed waits to be logged. A log
    /// that contradicts itself is no outage: nothing is signed then.
    pub fn open(signer: Box<dyn Signer>, context: &'a Context) -> Result<Self, Failure> {
        let pending = context.settings()?.pending_hours;
        let kept = match (HomeLog::open(context), pending) {
            (Err(failure), Some(_)) if failure.exit() == Exit::Undecided => {
                let why = failure.what();
                context
                    .term
                    .warn(&format!("what is signed waits to be logged: {why}"));
                None
            }
            (log, _) => {
                let log = log?;
                let store = stores::writable(context)?;
                stores::finish(&store, &log.reader(), context);
                Some((log, store))
            }
        };
        Ok(Self {
            context,
            signer,
            kept,
            pending,
        })
    }

    // Signs now, and keeps what the log is to take.
    fn spool(&self, signed: &Signed, hours: u32) -> Result<Vec<Recorded>, Failure> {
        let home = self.context.home()?;
        let now = self.context.now();
        let mut recorded = Vec::new();
        for (bundle, leaf) in signed.unlogged().iter().zip(signed.leaves()) {
            let one = Recorded::unlogged(bundle)?;
            let pending = Pending::new(one.bytes.clone(), leaf.clone(), (now, hours));
            pending.keep(&home)?;
            recorded.push(Recorded {
                log_by: Some(pending.log_by),
                ..one
            });
        }
        Ok(recorded)
    }

    /// Notes that a file holds a bundle that waits, so that it gets the log entry later.
    pub fn note_file(&self, recorded: &Recorded, file: &Path) -> Result<(), Failure> {
        if recorded.log_by.is_none() {
            return Ok(());
        }
        spool::note_file(&self.context.home()?, &recorded.digest, file)
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
        let signer = self.signer.as_ref();
        if let (None, Some(hours)) = (&self.kept, self.pending) {
            let batch = Signed::new(statements, signer)
                .map_err(|error| self.failure(&KeepError::Seal(error)))?;
            return self.spool(&batch, hours);
        }
        let Some((log, store)) = &self.kept else {
            let bundles = seal::sign_statements(statements, signer, None)
                .map_err(|error| self.failure(&KeepError::Seal(error)))?;
            return bundles.iter().map(Recorded::unlogged).collect();
        };
        let recording = record::Recording {
            store,
            signer,
            log,
            now: self.context.now(),
        };
        let kept = recording
            .record(statements)
            .map_err(|error| self.failure(&error))?;
        Ok(self.acknowledge(log, kept))
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
        let signer = self.signer.as_ref();
        if let (None, Some(hours)) = (&self.kept, self.pending) {
            let message = Signed::message(digest, signer)
                .map_err(|error| self.failure(&KeepError::Seal(error)))?;
            return self.spool(&message, hours)?.pop().ok_or_else(lost);
        }
        let Some((log, store)) = &self.kept else {
            let bundle = Signed::message(digest, signer)
                .map_err(|error| self.failure(&KeepError::Seal(error)))?
                .unlogged();
            return bundle
                .first()
                .map_or_else(|| Err(lost()), Recorded::unlogged);
        };
        let recording = record::Recording {
            store,
            signer,
            log,
            now: self.context.now(),
        };
        let kept = recording
            .record_message(digest)
            .map_err(|error| self.failure(&error))?;
        self.acknowledge(log, kept).pop().ok_or_else(lost)
    }

    fn acknowledge(&self, log: &HomeLog, kept: Vec<Kept>) -> Vec<Recorded> {
        log.remember(self.context);
        kept.into_iter()
            .map(|kept| Recorded {
                bytes: kept.outward.unwrap_or(kept.bundle),
                digest: kept.digest,
                index: Some(kept.log_index),
                log_by: None,
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
