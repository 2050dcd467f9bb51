//! Keys that are no files: in Kubernetes Secrets, in tokens, in key services.
//!
//! What they need of the environment comes through [`crate::system::surroundings`]. Errors repeat
//! no secret; which of them mean that nobody could tell (exit 3) is decided here.

use std::io::IsTerminal as _;
use std::path::Path;

use custos_core::crypto::{KeyPair, PublicKey};
use custos_trust::keys::{Password, PasswordFile, PasswordSource as _};
use custos_trust::signer::{SignError, Signer};
use custos_trust::signers::kubernetes::{Kubernetes, KubernetesError};
use custos_trust::signers::pkcs11::{self, TokenError, TokenSigner};
use custos_trust::signers::reference::{KeyReference, SecretName};
use custos_trust::signers::{ServiceError, Standing, kms};

use crate::args::KeyArgs;
use crate::context::Context;
use crate::report::Failure;
use crate::settings::{PROJECT_FILE, Settings};
use crate::system::surroundings;

/// Reads what names a key. Names in the home's keys folder and paths come back as files.
pub fn parse(named: &str) -> Result<KeyReference, Failure> {
    named.parse::<KeyReference>().map_err(|error| {
        Failure::usage("E0707", "this key reference is not accepted")
            .at(hidden(named))
            .because(error.to_string())
            .help("docs/reference/keys.md lists the kinds of keys and how each is named")
    })
}

/// Returns true if `named` is the reference of a key that is no file, or tries to be one.
pub fn is_reference(named: &str) -> bool {
    !matches!(named.parse(), Ok(KeyReference::File(_)))
}

/// Makes what the settings say about a key independent of the working folder, and refuses what a
/// project must not decide: which program is loaded to reach a token.
pub fn from_settings(
    reference: KeyReference,
    settings: &Settings,
) -> Result<KeyReference, Failure> {
    let KeyReference::Pkcs11(mut uri) = reference else {
        return Ok(reference);
    };
    let file = settings.file.as_deref().unwrap_or(Path::new(PROJECT_FILE));
    if uri.module_path.is_some() && file.file_name().is_some_and(|name| name == PROJECT_FILE) {
        return Err(
            Failure::usage("E0707", "a project must not name a PKCS#11 module")
                .at(format!("{}: [signing] key", file.display()))
                .because("the module is a program that would run here, with the PIN in its hands")
                .help("set PKCS11_MODULE_PATH on the machine, and leave `module-path` out"),
        );
    }
    if let Some(pin) = &uri.pin_source {
        uri.pin_source = Some(file.parent().unwrap_or(Path::new(".")).join(pin));
    }
    Ok(KeyReference::Pkcs11(uri))
}

/// Opens a key that is no file, for signing.
pub fn signer(
    reference: &KeyReference,
    args: &KeyArgs,
    context: &Context,
) -> Result<Box<dyn Signer>, Failure> {
    let place = reference.to_string();
    if let KeyReference::Pkcs11(uri) = reference {
        let mut uri = uri.clone();
        uri.pin_source = uri.pin_source.map(|file| context.resolve(&file));
        let given = match &args.password_file {
            Some(file) => {
                let file = context.resolve(file);
                let read = PasswordFile::new(&file).password(&file);
                Some(read.map_err(|error| super::failure(&error))?)
            }
            None => None,
        };
        let ask = |token: &str| given.clone().or_else(|| ask_pin(token));
        let signer = TokenSigner::open(&uri, &surroundings(), &ask);
        return signer
            .map(|signer| Box::new(signer) as Box<dyn Signer>)
            .map_err(|error| token_failure(&error, &place));
    }
    if args.password_file.is_some() {
        return Err(
            Failure::usage("E0002", "--password-file is not for this key")
                .at(place)
                .because("a key service knows who asks, and a Secret holds its own password"),
        );
    }
    match reference {
        KeyReference::Kubernetes(name) => Kubernetes::find(&surroundings())
            .and_then(|cluster| cluster.signer(name))
            .map(|signer| Box::new(signer) as Box<dyn Signer>)
            .map_err(|error| kubernetes_failure(&error, &place)),
        other => kms_signer(other).map(|signer| Box::new(signer) as Box<dyn Signer>),
    }
}

/// Fetches the public key of a key that is no file.
pub fn public(reference: &KeyReference) -> Result<PublicKey, Failure> {
    let place = reference.to_string();
    match reference {
        KeyReference::Kubernetes(name) => Kubernetes::find(&surroundings())
            .and_then(|cluster| cluster.public_key(name))
            .map_err(|error| kubernetes_failure(&error, &place)),
        KeyReference::Pkcs11(uri) => {
            pkcs11::public_key(uri, &surroundings()).map_err(|error| token_failure(&error, &place))
        }
        other => kms_signer(other).map(|signer| signer.public_key().clone()),
    }
}

/// Stores a key in a new Secret.
pub fn create_secret(name: &SecretName, pair: &KeyPair) -> Result<(), Failure> {
    Kubernetes::find(&surroundings())
        .and_then(|cluster| cluster.create(name, pair))
        .map_err(|error| kubernetes_failure(&error, &name.to_string()))
}

/// Returns why a key did not sign, as people see it; `None` for what is no matter of its service.
pub fn sign_failure(error: &SignError) -> Option<Failure> {
    match error {
        SignError::Service(error) => Some(service_failure(error, None)),
        SignError::Token(error) => Some(token_failure(error, "the token")),
        SignError::Signature(custos_core::crypto::SignatureError::MessageNeeded) => Some(
            Failure::usage("E0702", "this key signs no files by their digest")
                .because(error.to_string())
                .help("--oms signs a list of files, with this file in it"),
        ),
        _ => None,
    }
}

fn kms_signer(reference: &KeyReference) -> Result<custos_trust::signers::RemoteSigner, Failure> {
    kms::open(reference, &surroundings())
        .ok_or_else(|| Failure::internal("a kind of key that nobody opens"))?
        .map_err(|error| service_failure(&error, Some(&reference.to_string())))
}

fn ask_pin(token: &str) -> Option<Password> {
    if !std::io::stdin().is_terminal() {
        return None;
    }
    rpassword::prompt_password(format!(
        "PIN of the token {}: ",
        crate::term::visible(token)
    ))
    .ok()
    .map(|text| Password::new(text.into_bytes()))
}

// A reference that is not accepted may hold a PIN.
fn hidden(named: &str) -> String {
    let query = named.find("pin-value").and_then(|at| named.get(..at));
    query.map_or_else(|| named.to_owned(), |start| format!("{start}..."))
}

fn service_failure(error: &ServiceError, place: Option<&str>) -> Failure {
    let failure = match error {
        ServiceError::Surroundings(_) => {
            Failure::usage("E0710", "a key service is not set up here")
                .help("docs/reference/keys.md lists what each service needs")
        }
        ServiceError::UnsupportedKey { .. } => Failure::usage("E0702", "the key is not accepted"),
        ServiceError::Refused { standing, .. } => match standing {
            Standing::NotFound => Failure::usage("E0701", "the key service has no such key"),
            Standing::Throttled | Standing::Unavailable => unreachable_service(),
            _ => Failure::undecided("E0708", "the key service refuses")
                .help("check who you are to the service, and what you may do with the key there"),
        },
        ServiceError::Net { .. } => unreachable_service(),
        _ => Failure::undecided("E0711", "what the key service answered is not used")
            .help("try again; if it lasts, somebody between here and the service changes answers"),
    };
    let failure = failure.because(error.to_string());
    match place {
        Some(place) => failure.at(place),
        None => failure,
    }
}

fn unreachable_service() -> Failure {
    Failure::undecided("E0709", "the key service does not answer")
        .help("nothing was signed; try again later, or sign with another key")
}

fn kubernetes_failure(error: &KubernetesError, place: &str) -> Failure {
    match error {
        KubernetesError::Service(error) => return service_failure(error, Some(place)),
        KubernetesError::Config(_) => Failure::usage("E0710", "the cluster is not set up here")
            .help("custos takes KUBECONFIG, ~/.kube/config or the pod's service account, as kubectl does"),
        KubernetesError::Exists { .. } => Failure::usage(
            "E0008",
            "the Secret exists, and Custos does not overwrite it",
        ),
        KubernetesError::NoRandomness | KubernetesError::Json(_) => {
            Failure::undecided("E0711", "the Secret could not be made")
        }
        _ => Failure::usage("E0702", "the key in the Secret is not accepted"),
    }
    .at(place)
    .because(error.to_string())
}

fn token_failure(error: &TokenError, place: &str) -> Failure {
    let failure = match error {
        TokenError::Class { .. }
        | TokenError::ModuleName
        | TokenError::ModuleNotAbsolute { .. }
        | TokenError::SeveralKeys { .. }
        | TokenError::SeveralTokens { .. } => {
            Failure::usage("E0707", "this key reference is not accepted")
        }
        TokenError::PinInUri => Failure::usage("E0707", "this key reference is not accepted")
            .help("--password-file FILE and `pin-source=file:FILE` read the PIN from a file"),
        TokenError::Module { .. } | TokenError::ModuleUnnamed => {
            Failure::usage("E0710", "the token's module cannot be used")
                .help("set PKCS11_MODULE_PATH, or add `?module-path=/path/of/the/module.so`")
        }
        TokenError::NoKey { .. } | TokenError::NoPublicKey | TokenError::NoToken { .. } => {
            Failure::usage("E0701", "there is no such key")
        }
        TokenError::PinFile(error) => return super::failure(error),
        TokenError::PinNeeded { .. } => Failure::usage(
            "E0704",
            "the token wants its PIN, and there is nobody to ask",
        )
        .help("pass --password-file FILE, or `pin-source=file:FILE` in the URI"),
        TokenError::PinWrong { .. } => Failure::no("E0703", "the PIN is wrong")
            .help("a token locks itself after a few wrong PINs"),
        TokenError::PinLocked { .. } | TokenError::PinFinalTry { .. } => {
            Failure::undecided("E0712", "the token takes no PIN")
                .help("unlock it with its own tool, or log in there once")
        }
        TokenError::SignatureInvalid { .. } => {
            Failure::undecided("E0711", "what the token answered is not used")
        }
        TokenError::UnsupportedKey { .. } => Failure::usage("E0702", "the key is not accepted"),
        _ => Failure::undecided("E0709", "the token does not answer"),
    };
    failure.at(place).because(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_in_a_reference_is_not_repeated() {
        let failure = parse("pkcs11:object=k;x=1?pin-value=8765").unwrap_err();
        let text = failure.to_json().to_string();
        assert!(!text.contains("8765"), "{text}");
        assert_eq!(failure.code(), "E0707");
    }

    #[test]
    fn a_project_names_no_module() {
        let settings = |file: &str| Settings {
            file: Some(file.into()),
            ..Settings::default()
        };
        let with = |text: &str, file: &str| from_settings(parse(text).unwrap(), &settings(file));
        let module = "pkcs11:object=k?module-path=/evil.so";
        assert!(with(module, "/p/custos.toml").is_err());
        assert!(with(module, "/home/config.toml").is_ok());
        let KeyReference::Pkcs11(uri) =
            with("pkcs11:object=k?pin-source=file:pin", "/p/custos.toml").unwrap()
        else {
            panic!("another kind")
        };
        assert_eq!(uri.pin_source, Some("/p/pin".into()));
    }
}
