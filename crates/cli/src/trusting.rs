//! Whom and what an invocation trusts: from the command line, else from the settings, plus the
//! home's own log. Nothing of it has a default that trusts anybody.

use std::path::Path;

use custos_core::identity::ExpectedSigner;
use custos_log::note::VerifierKey;
use custos_trust::TrustRoot;
use custos_trust::root::TrustRootError;
use custos_trust::verify::{LogRequirement, TimestampFault, VerifyError};

use crate::args::ExpectArgs;
use crate::context::Context;
use crate::exit::Exit;
use crate::files::{read_bytes, read_text, shown};
use crate::keys;
use crate::report::Failure;
use crate::settings::Settings;

/// Largest file with trust material, in bytes.
const MAX_TRUST_FILE: u64 = 8 << 20;

/// Whom to expect, and which logs and authorities to trust.
#[derive(Debug, Clone)]
pub struct Trusting {
    /// Who may have signed; never empty.
    pub signers: Vec<ExpectedSigner>,
    /// Logs and authorities.
    pub root: TrustRoot,
    /// Whether a log has to hold the signature.
    pub unlogged_allowed: bool,
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
            signers.push(ExpectedSigner::key(
                named.as_str(),
                keys::public(named, context)?,
            ));
        }
        if let Some(identity) = &args.certificate_identity {
            let issuer = args.certificate_oidc_issuer.clone();
            signers.push(ExpectedSigner::certificate(
                identity.as_str(),
                identity,
                issuer,
            ));
        }
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
            unlogged_allowed: args.allow_unlogged,
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
            unlogged_allowed: false,
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
        if self.unlogged_allowed {
            LogRequirement::AbsenceAllowed
        } else {
            LogRequirement::Required
        }
    }

    fn checked(self) -> Result<Self, Failure> {
        if self.signers.is_empty() {
            return Err(Failure::usage("E0110", "nobody is expected to have signed")
                .because("there is no way to accept any signer")
                .help("list [[signer]] in custos.toml, as `custos keys generate` prints it")
                .help("`custos verify` takes --key and --certificate-identity as well"));
        }
        Ok(self)
    }
}

// What the settings name, and the log of the home.
fn base(settings: &Settings, context: &Context) -> Result<TrustRoot, Failure> {
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
            failure.help("`--allow-unlogged` accepts a signature that is in no log")
        }
        VerifyError::LogNotTrusted { .. } => failure
            .help("`custos log key` prints it on the log's machine; pass --log-key or add [[log]]"),
        VerifyError::SignerNotExpected { .. } => {
            failure.help("pass --key PUB, or add a [[signer]] to custos.toml")
        }
        _ => failure,
    }
}
