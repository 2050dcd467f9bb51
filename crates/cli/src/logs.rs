//! The home's own log: made by the first command that records something, with a key of its own.

use std::path::Path;
use std::sync::Arc;

use custos_core::crypto::{KeyKind, KeyPair, Pem};
use custos_log::checkpoint::{SignedCheckpoint, VerifiedCheckpoint};
use custos_log::disk::{DiskError, OsDisk};
use custos_log::engine::{Log, LogOptions};
use custos_log::note::{KeyPairSigner, VerifierKey};
use custos_log::reader::LogReader;
use custos_log::recorder::RecordError;
use custos_server::trusted_root::is_host_name;
use custos_trust::keys as key_files;

use crate::context::Context;
use crate::exit::Exit;
use crate::files::{publish_new, read_text, shown, write_atomic};
use crate::home::Home;
use crate::keys;
use crate::report::Failure;
use crate::services::serving::Serving;

/// Opens the home's log for writing, and makes it first if there is none.
pub fn open_or_create(context: &Context) -> Result<Log, Failure> {
    open(context, LogOptions::batch())
}

/// Opens the home's log for a server, which holds it for as long as it lives.
pub fn open_for_life(context: &Context) -> Result<Log, Failure> {
    open(context, LogOptions::life())
}

/// Refuses a host that the home's log cannot have for its name, because it is none or because the
/// log has another. Makes nothing.
pub fn check_name(home: &Home, host: Option<&str>) -> Result<(), Failure> {
    if let Some(host) = host.filter(|host| !is_host_name(host)) {
        return Err(
            Failure::usage("E0002", format!("`{host}` is not a host name"))
                .because("clients of Sigstore take a log's name for the host of its URL")
                .help("lower-case letters, digits, `-` and dots, without port and path"),
        );
    }
    load_key(home)?;
    if !home.log_vkey().is_file() {
        return Ok(());
    }
    let key = verifier_key(home)?;
    match host {
        Some(host) if key.name() != host => {
            Err(Failure::usage("E0814", "the log has another name already")
                .at(shown(&home.log_vkey()))
                .because(format!("it is `{}`", key.name()))
                .help("a log never changes its name: leave out --host, or use a new home"))
        }
        _ => Ok(()),
    }
}

/// Gives the home's log its key and name, if it has none; a log that has another name keeps it,
/// and that is an error.
pub fn name(context: &Context, host: Option<&str>) -> Result<(), Failure> {
    let home = context.home()?;
    check_name(&home, host)?;
    let pair = match load_key(&home)? {
        Some(pair) => pair,
        None => create_key(&home, context)?,
    };
    signer_named(&home, pair, host)?;
    // Somebody else may have named it meanwhile.
    check_name(&home, host)
}

fn open(context: &Context, mut options: LogOptions) -> Result<Log, Failure> {
    let home = context.home()?;
    home.create()?;
    let pair = match load_key(&home)? {
        Some(pair) => pair,
        None => create_key(&home, context)?,
    };
    let signer = signer(&home, pair)?;
    if let Some(known) = last_seen(&home)? {
        options = options.with_known(known);
    }
    Log::open_or_create(disk(&home), Box::new(signer), options).map_err(|e| failure(&e, &home))
}

/// Makes a new write-ahead log for the home's log, which has lost it. `known` is the newest
/// checkpoint that somebody holds; without one, the last that was seen here.
pub fn rebuild(home: &Home, known: Option<&Path>, accept_loss: bool) -> Result<Log, Failure> {
    let Some(pair) = load_key(home)? else {
        return Err(no_log(home));
    };
    let known = match known {
        Some(path) => Some(checkpoint_file(path, home)?),
        None => last_seen(home)?,
    };
    let mut options = LogOptions::batch();
    match known {
        Some(known) => options = options.with_known(known),
        None if accept_loss => {}
        None => {
            return Err(Failure::usage(
                "E0405",
                "no checkpoint says how far the log had come",
            )
            .because(
                "entries that were acknowledged after the published checkpoint may be gone, and \
                 whoever holds a newer one would see a fork",
            )
            .help("give the newest checkpoint that anybody holds with `--checkpoint FILE`")
            .help("or say with `--accept-loss` that there is none"));
        }
    }
    Log::rebuild(disk(home), Box::new(signer(home, pair)?), options).map_err(|error| match error {
        RecordError::AlreadyThere => Failure::usage(
            "E0405",
            "the log has its write-ahead log: nothing to rebuild",
        )
        .at(home.log().display().to_string())
        .help("`custos log fsck` checks it"),
        error => failure(&error, home),
    })
}

/// Opens the home's log for reading.
pub fn reader(context: &Context) -> Result<(LogReader, VerifiedCheckpoint), Failure> {
    let home = context.home()?;
    let reader = LogReader::new(disk(&home), verifier_key(&home)?);
    let checkpoint = reader.latest().map_err(|error| failure(&error, &home))?;
    if let Some(known) = last_seen(&home)? {
        reader
            .extends(&known, &checkpoint)
            .map_err(|error| failure(&error, &home))?;
    }
    Ok((reader, checkpoint))
}

/// Returns the log's verifier key, as others put it into their settings.
pub fn verifier_key(home: &Home) -> Result<VerifierKey, Failure> {
    let path = home.log_vkey();
    if !path.is_file() {
        return Err(no_log(home));
    }
    let text = read_text(&path, 4096)?;
    text.trim()
        .parse()
        .map_err(|error: custos_log::note::VerifierKeyError| {
            Failure::usage("E0132", "the log's key is not accepted")
                .at(path.display().to_string())
                .because(error.to_string())
        })
}

/// Returns the disk of the home's log.
pub fn disk(home: &Home) -> Arc<OsDisk> {
    Arc::new(OsDisk::new(home.log()))
}

/// Remembers the newest checkpoint, so that an older copy of the log is noticed.
pub fn remember(context: &Context, checkpoint: &str) {
    // A convenience: the log itself refuses to go back behind its own checkpoint.
    if let Ok(home) = context.home() {
        let _ = write_atomic(&home.trust().join("log.checkpoint"), checkpoint.as_bytes());
    }
}

fn last_seen(home: &Home) -> Result<Option<VerifiedCheckpoint>, Failure> {
    let path = home.trust().join("log.checkpoint");
    if path.is_file() {
        checkpoint_file(&path, home).map(Some)
    } else {
        Ok(None)
    }
}

fn checkpoint_file(path: &Path, home: &Home) -> Result<VerifiedCheckpoint, Failure> {
    let text = read_text(path, 64 << 10)?;
    let key = verifier_key(home)?;
    SignedCheckpoint::open(text.as_bytes(), &[key]).map_err(|error| {
        Failure::new(
            "E0403",
            Exit::Alarm,
            "the checkpoint that was seen last is not the log's own",
        )
        .at(path.display().to_string())
        .because(error.to_string())
    })
}

fn load_key(home: &Home) -> Result<Option<KeyPair>, Failure> {
    let path = home.log_key();
    if !path.is_file() {
        return Ok(None);
    }
    let loaded = key_files::load_private(&path, &key_files::NoPassword);
    loaded
        .map(|key| Some(key.pair))
        .map_err(|error| keys::failure(&error))
}

// Two processes may come here at once: one of them makes the key, both use it.
fn create_key(home: &Home, context: &Context) -> Result<KeyPair, Failure> {
    let pair = KeyPair::generate(KeyKind::Ed25519)
        .map_err(|error| Failure::undecided("E0702", error.to_string()))?;
    let der = pair
        .to_pkcs8_der()
        .map_err(|error| Failure::undecided("E0702", error.to_string()))?;
    let text = zeroize::Zeroizing::new(Pem::new("PRIVATE KEY", der.to_vec()).to_text());
    let path = home.log_key();
    if publish_new(&path, text.as_bytes(), 0o600)? {
        context
            .term
            .note(&format!("made a new log in {}", home.log().display()));
    }
    load_key(home)?.ok_or_else(|| Failure::internal("the log's key is gone after it was written"))
}

fn signer(home: &Home, pair: KeyPair) -> Result<KeyPairSigner, Failure> {
    signer_named(home, pair, None)
}

fn signer_named(home: &Home, pair: KeyPair, host: Option<&str>) -> Result<KeyPairSigner, Failure> {
    let internal = |error: &dyn std::error::Error| Failure::internal(&error.to_string());
    if !home.log_vkey().is_file() {
        // A bare host name: Sigstore's clients take the origin of a log from the host of its URL.
        let own = || format!("{}.custos.local", pair.public_key().id().short());
        let origin = host.map_or_else(own, str::to_owned);
        let key = VerifierKey::new(&origin, pair.public_key().clone()).map_err(|e| internal(&e))?;
        publish_new(&home.log_vkey(), format!("{key}\n").as_bytes(), 0o644)?;
    }
    KeyPairSigner::new(verifier_key(home)?.name(), pair).map_err(|e| internal(&e))
}

fn no_log(home: &Home) -> Failure {
    Failure::undecided("E0402", "there is no log here yet")
        .at(home.log().display().to_string())
        .help("the first `custos sign`, `custos run` or `custos attest` makes it")
}

/// Returns a log error as people see it.
pub fn failure(error: &RecordError, home: &Home) -> Failure {
    let place = home.log().display().to_string();
    let at = |failure: Failure, path: &str| {
        failure
            .at(Path::new(&place).join(path).display().to_string())
            .because(error.to_string())
    };
    match error {
        RecordError::NoLog => no_log(home),
        RecordError::Busy { .. } => {
            let failure = Failure::undecided("E0401", "the log is in use by another process")
                .at(place)
                .because(error.to_string());
            match Serving::find(home) {
                Ok(Some(serving)) => failure.help(format!(
                    "`custos serve` at {} holds it for as long as it runs",
                    serving.url
                )),
                _ => failure.help("run the command again when the other one has finished"),
            }
        }
        RecordError::DiskFull { path } => at(
            Failure::undecided("E0005", "the disk is full")
                .help("nothing that was acknowledged is lost; free some space and run it again"),
            path,
        ),
        RecordError::Disk(DiskError { path, .. })
        | RecordError::MustEnd { path }
        | RecordError::Missing { path } => at(
            Failure::undecided("E0402", "the log cannot be read or written")
                .help("`custos doctor` checks the home"),
            path,
        ),
        RecordError::Integrity(_) => Failure::new(
            "E0403",
            Exit::Alarm,
            "the log contradicts its signed checkpoint",
        )
        .at(place)
        .because(error.to_string())
        .help("stop writing to it, keep a copy, and compare with checkpoints that others hold"),
        RecordError::NoSuchEntry { .. } => {
            Failure::usage("E0404", "there is no such entry in the log")
                .because(error.to_string())
                .help("`custos log checkpoint` prints the size; indexes start at 0")
        }
        other => Failure::undecided("E0402", "the log did not take it")
            .at(place)
            .because(other.to_string()),
    }
}
