//! Whom and what an invocation trusts: from the command line, else from the settings, plus the
//! home's own log. Nothing of it has a default that trusts anybody.

use std::path::Path;

use custos_core::identity::{Expected, ExpectedSigner, Pattern};
use custos_log::note::VerifierKey;
use custos_trust::TrustRoot;
use custos_trust::revocation::KeyFault;
use custos_trust::root::TrustRootError;
use custos_trust::verify::{LogRequirement, TimestampFault, VerifyError};

use crate::args::ExpectArgs;
use crate::context::Context;
use crate::exit::Exit;
use crate::files::{read_bytes, read_text, shown};
use crate::key_life;
use crate::keys;
use crate::report::Failure;
use crate::services::TrustPlace;
use crate::settings::Settings;

/// Name of the authorities among what a trust root delivers.
const TRUSTED_ROOT: &str = "trusted_root.json";
/// Largest file with trust material, in bytes.
const MAX_TRUST_FILE: u64 = 8 << 20;

/// Whom to expect, and which logs and authorities to trust.
#[derive(Debug, Clone)]
pub struct Trusting {
    /// Who may have signed; never empty.
    pub signers: Vec<ExpectedSigner>,
    /// Logs and authorities.
    pub root: TrustRoot,
    /// What has to vouch for the signature besides the signer.
    pub vouched: Vouched,
}

/// What has to vouch for a signature besides its signer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vouched {
    /// A log.
    Log,
    /// A log, or a timestamp authority.
    LogOrTimestamp,
    /// Nobody.
    Nobody,
}

impl Trusting {
    /// Returns what the command line says, filled up from the settings.
    pub fn from_args(
        args: &ExpectArgs,
        settings: &Settings,
        context: &Context,
    ) -> Result<Self, Failure> {
        let mut signers = Vec::new();
        for named in &args.key {
            if args.offline && named.contains("://") {
                return Err(
                    Failure::usage("E0002", "--offline, and the key is in a service")
                        .at(named)
                        .help("`custos keys public KEY` prints it; save that and pass the file"),
                );
            }
            signers.push(ExpectedSigner::key(
                named.as_str(),
                keys::public(named, context)?,
            ));
        }
        signers.extend(certified(args)?);
        if signers.is_empty() {
            signers.clone_from(&settings.signers);
        }
        let mut root = base(settings, context)?;
        if let Some(file) = &args.certificate_chain {
            root = with_authorities(root, &context.resolve(file))?;
        }
        if let Some(file) = &args.trusted_root {
            root = with_sigstore(root, &context.resolve(file))?;
        }
        for key in &args.log_key {
            root = with_log(root, key, context)?;
        }
        Self {
            signers,
            root,
            vouched: match (args.allow_unlogged, args.allow_timestamp_only) {
                (true, _) => Vouched::Nobody,
                (false, true) => Vouched::LogOrTimestamp,
                (false, false) => Vouched::Log,
            },
        }
        .checked()
    }

    /// Returns what the settings say; a log is required.
    pub fn from_settings(settings: &Settings, context: &Context) -> Result<Self, Failure> {
        let signers = settings.signers.clone();
        let root = base(settings, context)?;
        Self {
            signers,
            root,
            vouched: Vouched::Log,
        }
        .checked()
    }

    /// Returns the same trust with other expected signers, as for the layout's owners.
    pub fn with_signers(&self, signers: Vec<ExpectedSigner>) -> Result<Self, Failure> {
        Self {
            signers,
            ..self.clone()
        }
        .checked()
    }

    /// Returns what is required of the log.
    pub const fn log(&self) -> LogRequirement<'static> {
        match self.vouched {
            Vouched::Log => LogRequirement::Required,
            Vouched::LogOrTimestamp => LogRequirement::OrTimestamp,
            Vouched::Nobody => LogRequirement::AbsenceAllowed,
        }
    }

    /// Returns the trust of the settings with these expected signers.
    pub fn for_signers(
        signers: Vec<ExpectedSigner>,
        settings: &Settings,
        context: &Context,
    ) -> Result<Self, Failure> {
        Self {
            signers,
            root: base(settings, context)?,
            vouched: Vouched::Log,
        }
        .checked()
    }

    fn checked(mut self) -> Result<Self, Failure> {
        if let Some(list) = self.root.revocations() {
            // Whoever expects a key expects the one that took over from it.
            self.signers = list.expand(&self.signers);
        }
        if self.signers.is_empty() {
            return Err(Failure::usage("E0110", "nobody is expected to have signed")
                .because("there is no way to accept any signer")
                .help("list [[signer]] in custos.toml, as `custos keys generate` prints it")
                .help("`custos verify` takes --key and --certificate-identity as well"));
        }
        Ok(self)
    }
}

// The subject of a certificate that the command line names.
fn certified(args: &ExpectArgs) -> Result<Option<ExpectedSigner>, Failure> {
    let subject = expected(
        args.certificate_identity.as_deref(),
        args.certificate_identity_regexp.as_deref(),
        "--certificate-identity",
    )?;
    let issuer = expected(
        args.certificate_oidc_issuer.as_deref(),
        args.certificate_oidc_issuer_regexp.as_deref(),
        "--certificate-oidc-issuer",
    )?;
    Ok(subject
        .map(|subject| ExpectedSigner::matching(subject.to_string(), subject.clone(), issuer)))
}

fn expected(
    exact: Option<&str>,
    pattern: Option<&str>,
    flag: &str,
) -> Result<Option<Expected>, Failure> {
    match (exact, pattern) {
        (Some(""), _) => Err(Failure::usage("E0110", format!("{flag} is empty"))
            .because("an empty name is nobody's")),
        (Some(exact), _) => Ok(Some(Expected::Exactly(exact.to_owned()))),
        (None, Some(pattern)) => Pattern::new(pattern)
            .map(|pattern| Some(Expected::Matching(pattern)))
            .map_err(|error| {
                Failure::usage("E0110", format!("{flag}-regexp is not accepted"))
                    .at(pattern)
                    .because(error.to_string())
                    .help("a pattern describes the whole name and not everybody's: `.+@acme.org`")
            }),
        (None, None) => Ok(None),
    }
}

/// Returns the logs and authorities that the settings name, and the log of the home.
pub fn base(settings: &Settings, context: &Context) -> Result<TrustRoot, Failure> {
    let mut root = TrustRoot::trusting_nothing();
    for key in &settings.logs {
        root = root
            .with_log_key(&key.to_string())
            .map_err(|error| failure(&error))?;
    }
    for file in &settings.authorities {
        root = with_authorities(root, file)?;
    }
    if let Some(file) = &settings.sigstore_root {
        root = with_sigstore(root, file)?;
    }
    if let Ok(home) = context.home() {
        let own = home.log_vkey();
        if own.is_file() {
            let key = read_text(&own, 4096)?;
            root = root
                .with_log_key(key.trim())
                .map_err(|e| failure(&e).at(shown(&own)))?;
        }
        if let Some(list) = key_life::load(&home)? {
            root = root.with_revocations(list);
        }
        // The authorities that a followed trust root delivers, or that were made here as the log
        // was; settings that name others win.
        let file = home.trust().join(TRUSTED_ROOT);
        let made_here = TrustPlace::of(&home).authority().join("root.pem");
        if settings.sigstore_root.is_none()
            && file.is_file()
            && (made_here.is_file() || key_life::is_delivered(&home, TRUSTED_ROOT)?)
        {
            root = with_sigstore(root, &file)?;
        }
    }
    Ok(root)
}

fn with_authorities(root: TrustRoot, file: &Path) -> Result<TrustRoot, Failure> {
    let pem = read_text(file, MAX_TRUST_FILE)?;
    root.with_authorities(&pem)
        .map_err(|error| failure(&error).at(shown(file)))
}

fn with_sigstore(root: TrustRoot, file: &Path) -> Result<TrustRoot, Failure> {
    let json = read_bytes(file, MAX_TRUST_FILE)?;
    root.with_sigstore(&json)
        .map_err(|error| failure(&error).at(shown(file)))
}

// What reads as a key is that key, whatever lies in the working folder under that name.
fn with_log(root: TrustRoot, named: &str, context: &Context) -> Result<TrustRoot, Failure> {
    let file = context.resolve(Path::new(named));
    let is_key = named.parse::<VerifierKey>().is_ok();
    let text = if !is_key && file.is_file() {
        read_text(&file, 4096)?
    } else {
        named.to_owned()
    };
    root.with_log_key(text.trim()).map_err(|error| {
        failure(&error)
            .at(named)
            .help("`custos log key` prints the key of a log in the right form")
    })
}

fn failure(error: &TrustRootError) -> Failure {
    Failure::usage("E0132", "what should be trusted is not accepted").because(error.to_string())
}

/// Returns a verification error as people see it, with its code, place and advice.
pub fn verify_failure(error: &VerifyError, bundle: &str) -> Failure {
    let exit = match error {
        VerifyError::NoExpectedSigner | VerifyError::ArtifactUnnamed => Exit::Usage,
        VerifyError::Timestamp {
            fault: TimestampFault::NoAuthority,
            ..
        } => Exit::Undecided,
        VerifyError::KeyRevoked {
            fault: KeyFault::Revoked { .. },
        } => Exit::Alarm,
        _ => Exit::No,
    };
    let path = error.path();
    let place = if path.is_empty() {
        bundle.to_owned()
    } else {
        format!("{bundle}: {path}")
    };
    let title = crate::codes::find(error.code()).map_or("not accepted", |entry| entry.title);
    let failure = Failure::new(error.code(), exit, title)
        .at(place)
        .because(error.to_string())
        .help(error.help());
    match error {
        VerifyError::LogEntryMissing { .. } => {
            failure.help("`--allow-unlogged` accepts a signature that is in no log, `--allow-timestamp-only` one with a trusted timestamp")
        }
        VerifyError::LogNotTrusted { .. } => failure
            .help("`custos log key` prints it on the log's machine; pass --log-key or add [[log]]"),
        VerifyError::SignerNotExpected { .. } => {
            failure.help("pass --key PUB, or add a [[signer]] to custos.toml")
        }
        _ => failure,
    }
}
