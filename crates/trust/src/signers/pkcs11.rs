//! Keys in PKCS#11 tokens: hardware security modules, smart cards, their stand-ins in software.
//!
//! Spec: OASIS PKCS #11 2.40 and 3.x; the key is named by a URI after
//! [RFC 7512](https://www.rfc-editor.org/rfc/rfc7512). The private key never leaves the token:
//! digests go in, signatures come out, and each is verified before anybody sees it.
//!
//! A module is a program that runs inside this one. It is loaded from an absolute path alone,
//! which the URI or the machine names, initialised once in a process, and never unloaded.
//!
//! The PIN is tried once: a token counts, and locks itself. Ed25519 keys sign whole messages, as
//! few tokens know the prehashed form.

mod find;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::object::ObjectHandle;
use cryptoki::session::{Session, UserType};
use cryptoki::slot::{Slot, TokenInfo};
use cryptoki::types::AuthPin;
use custos_core::crypto::{KeyId, KeyKind, PublicKey, Scheme, SignatureError};
use custos_core::digest::Digest;
use custos_core::entry::entry_algorithm;

use super::reference::Pkcs11Uri;
use super::remote::ecdsa_der;
use super::surroundings::Surroundings;
use crate::keys::{KeyFileError, Password, PasswordFile, PasswordSource as _};
use crate::signer::{SignError, Signer};

/// Variables that name the module where the URI does not; the second is cosign's.
const MODULE_VARIABLES: [&str; 2] = ["PKCS11_MODULE_PATH", "COSIGN_PKCS11_MODULE_PATH"];

/// DER of a `DigestInfo` of SHA-256 up to the digest (RFC 8017 section 9.2).
const SHA256_INFO: &[u8] =
    b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20";

/// Asks for the PIN of the token with this label; `None` if there is nobody to ask.
pub type AskPin<'a> = &'a dyn Fn(&str) -> Option<Password>;

/// Signs with a key that stays in its token.
pub struct TokenSigner {
    key: PublicKey,
    scheme: Scheme,
    name: String,
    session: Mutex<Session>,
    private: ObjectHandle,
}

impl TokenSigner {
    /// Opens the key: finds its token and itself, logs in if the token wants that, and reads the
    /// public key. `pin` is asked only where the URI names no `pin-source`.
    pub fn open(
        uri: &Pkcs11Uri,
        surroundings: &Surroundings,
        pin: AskPin<'_>,
    ) -> Result<Self, TokenError> {
        let token = Token::find(uri, surroundings)?;
        let session = token.session()?;
        token.log_in(&session, uri, pin)?;
        let private = find::private_key(&session, uri)?;
        let key = find::public_half(&session, &private)?;
        let scheme = match key.kind() {
            KeyKind::Ed25519 => Scheme::Ed25519,
            kind => kind.statement_scheme(),
        };
        Ok(Self {
            key,
            scheme,
            name: uri.to_string(),
            session: Mutex::new(session),
            private: private.handle,
        })
    }

    fn signed(&self, mechanism: &Mechanism<'_>, data: &[u8]) -> Result<Vec<u8>, TokenError> {
        // A thread that died while it signed left no half of a signature in the token: each call
        // begins a new one.
        let session: MutexGuard<'_, Session> = match self.session.lock() {
            Ok(session) => session,
            Err(poisoned) => poisoned.into_inner(),
        };
        session
            .sign(mechanism, self.private, data)
            .map_err(TokenError::device("signing"))
    }

    fn sign_hashed(&self, digest: &Digest) -> Result<Vec<u8>, TokenError> {
        let invalid = || TokenError::SignatureInvalid { key: self.key.id() };
        let signature = if self.key.kind().is_rsa() {
            let info = [SHA256_INFO, digest.as_bytes()].concat();
            self.signed(&Mechanism::RsaPkcs, &info)?
        } else {
            let raw = self.signed(&Mechanism::Ecdsa, digest.as_bytes())?;
            ecdsa_der(&raw).ok_or_else(invalid)?
        };
        self.key
            .verify_digest(self.scheme, digest, &signature)
            .map_err(|_| invalid())?;
        Ok(signature)
    }

    fn sign_whole(&self, message: &[u8]) -> Result<Vec<u8>, TokenError> {
        let pure = EddsaParams::new(EddsaSignatureScheme::Ed25519);
        let signature = self.signed(&Mechanism::Eddsa(pure), message)?;
        self.key
            .verify(self.scheme, message, &signature)
            .map_err(|_| TokenError::SignatureInvalid { key: self.key.id() })?;
        Ok(signature)
    }
}

impl Signer for TokenSigner {
    fn public_key(&self) -> &PublicKey {
        &self.key
    }

    fn scheme(&self) -> Scheme {
        self.scheme
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        if self.scheme == Scheme::Ed25519 {
            self.sign_whole(message)
        } else {
            self.sign_hashed(&entry_algorithm(self.scheme).digest(message))
        }
        .map_err(|error| SignError::Token(Box::new(error)))
    }

    fn sign_digest(&self, digest: &Digest) -> Result<Vec<u8>, SignError> {
        if self.scheme == Scheme::Ed25519 {
            return Err(SignError::Signature(SignatureError::MessageNeeded));
        }
        if digest.algorithm() != entry_algorithm(self.scheme) {
            return Err(SignError::Signature(SignatureError::SchemeDoesNotFitKey));
        }
        self.sign_hashed(digest)
            .map_err(|error| SignError::Token(Box::new(error)))
    }
}

impl fmt::Debug for TokenSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenSigner({} {:?})", self.name, self.key)
    }
}

/// Reads a public key from a token, without logging in: public keys and certificates are open to
/// everybody there.
pub fn public_key(uri: &Pkcs11Uri, surroundings: &Surroundings) -> Result<PublicKey, TokenError> {
    let token = Token::find(uri, surroundings)?;
    find::public_key(&token.session()?, uri)
}

/// One token in its slot.
struct Token {
    module: Pkcs11,
    slot: Slot,
    info: TokenInfo,
}

impl Token {
    fn find(uri: &Pkcs11Uri, surroundings: &Surroundings) -> Result<Self, TokenError> {
        if uri.pin.is_some() {
            return Err(TokenError::PinInUri);
        }
        let module = load(&module_path(uri, surroundings)?)?;
        let slots = module
            .get_slots_with_token()
            .map_err(TokenError::device("listing tokens"))?;
        let mut fitting = Vec::new();
        let mut labels = Vec::new();
        for slot in slots {
            let info = module
                .get_token_info(slot)
                .map_err(TokenError::device("looking at a token"))?;
            if !info.token_initialized() {
                continue;
            }
            labels.push(info.label().to_owned());
            if fits(uri, slot, &info) {
                fitting.push((slot, info));
            }
        }
        match (fitting.pop(), fitting.len()) {
            (Some((slot, info)), 0) => Ok(Self { module, slot, info }),
            (None, _) => Err(TokenError::NoToken { found: labels }),
            (Some(_), others) => Err(TokenError::SeveralTokens {
                found: others.saturating_add(1),
            }),
        }
    }

    fn session(&self) -> Result<Session, TokenError> {
        self.module
            .open_ro_session(self.slot)
            .map_err(TokenError::device("opening a session"))
    }

    fn log_in(
        &self,
        session: &Session,
        uri: &Pkcs11Uri,
        ask: AskPin<'_>,
    ) -> Result<(), TokenError> {
        let token = self.info.label().to_owned();
        if !self.info.login_required() {
            return Ok(());
        }
        if self.info.user_pin_locked() {
            return Err(TokenError::PinLocked { token });
        }
        if self.info.user_pin_final_try() {
            return Err(TokenError::PinFinalTry { token });
        }
        let pin = if let Some(file) = &uri.pin_source {
            let read = PasswordFile::new(file).password(file);
            Some(read.map_err(TokenError::PinFile)?)
        } else if self.info.protected_authentication_path() {
            // The PIN is typed at the reader.
            None
        } else {
            let asked = ask(&token);
            Some(asked.ok_or_else(|| TokenError::PinNeeded {
                token: token.clone(),
            })?)
        };
        let pin =
            match pin {
                None => None,
                Some(bytes) => Some(std::str::from_utf8(&bytes).map(AuthPin::from).map_err(
                    |_| TokenError::PinWrong {
                        token: token.clone(),
                    },
                )?),
            };
        match session.login(UserType::User, pin.as_ref()) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
            Err(Error::Pkcs11(
                RvError::PinIncorrect
                | RvError::PinInvalid
                | RvError::PinLenRange
                | RvError::ArgumentsBad,
                _,
            )) => Err(TokenError::PinWrong { token }),
            Err(Error::Pkcs11(RvError::PinLocked, _)) => Err(TokenError::PinLocked { token }),
            Err(error) => Err(TokenError::device("logging in")(error)),
        }
    }
}

fn fits(uri: &Pkcs11Uri, slot: Slot, info: &TokenInfo) -> bool {
    let is = |wanted: &Option<String>, found: &str| {
        wanted
            .as_deref()
            .is_none_or(|wanted| wanted == found.trim_end())
    };
    is(&uri.token, info.label())
        && is(&uri.serial, info.serial_number())
        && is(&uri.manufacturer, info.manufacturer_id())
        && is(&uri.model, info.model())
        && uri.slot_id.is_none_or(|wanted| wanted == slot.id())
}

fn module_path(uri: &Pkcs11Uri, surroundings: &Surroundings) -> Result<PathBuf, TokenError> {
    if uri.module_name.is_some() {
        return Err(TokenError::ModuleName);
    }
    let path = uri.module_path.clone().or_else(|| {
        MODULE_VARIABLES
            .iter()
            .find_map(|name| surroundings.path_var(name))
    });
    let path = path.ok_or(TokenError::ModuleUnnamed)?;
    if path.is_absolute() {
        Ok(path)
    } else {
        Err(TokenError::ModuleNotAbsolute { path })
    }
}

// C_Initialize is once for a process and a module.
fn load(path: &Path) -> Result<Pkcs11, TokenError> {
    static LOADED: OnceLock<Mutex<BTreeMap<PathBuf, Pkcs11>>> = OnceLock::new();
    let fault = |error: Error| TokenError::Module {
        path: path.to_owned(),
        reason: error.to_string(),
    };
    let mut loaded = match LOADED.get_or_init(Mutex::default).lock() {
        Ok(loaded) => loaded,
        Err(poisoned) => poisoned.into_inner(),
    };
    if let Some(module) = loaded.get(path) {
        return Ok(module.clone());
    }
    let module = Pkcs11::new(path).map_err(fault)?;
    match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        // Under another path it is the same library.
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
        Err(error) => return Err(fault(error)),
    }
    loaded.insert(path.to_owned(), module.clone());
    Ok(module)
}

/// Why a key in a token was not found or did not sign.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The URI is about something else than a key.
    #[error("the URI names an object of type `{class}`, which does not sign")]
    Class {
        /// Its `type`.
        class: String,
    },
    /// The token or its module refused.
    #[error("the token failed while {operation}: {reason}")]
    Device {
        /// What it was asked for.
        operation: &'static str,
        /// What the module says.
        reason: String,
    },
    /// The module could not be loaded.
    #[error("the PKCS#11 module {} cannot be used: {reason}", path.display())]
    Module {
        /// Its path.
        path: PathBuf,
        /// What the system or the module says.
        reason: String,
    },
    /// A module by a name, which only the configuration of another program explains.
    #[error("`module-name` is not looked up; name the module's file with `module-path`")]
    ModuleName,
    /// A relative path, which would depend on the working folder.
    #[error("the path of a PKCS#11 module is absolute, `{}` is not", path.display())]
    ModuleNotAbsolute {
        /// The path.
        path: PathBuf,
    },
    /// Nothing names the module.
    #[error("nothing names the PKCS#11 module: neither `module-path` nor PKCS11_MODULE_PATH")]
    ModuleUnnamed,
    /// The token has no such key.
    #[error("the token holds no such {class}")]
    NoKey {
        /// `private key` or `public key`.
        class: &'static str,
    },
    /// The private key has no public key or certificate beside it.
    #[error("the token holds no public key and no certificate for this private key")]
    NoPublicKey,
    /// No token fits the URI.
    #[error("no token fits the URI; there are: {}", found.join(", "))]
    NoToken {
        /// Labels of the tokens that are there.
        found: Vec<String>,
    },
    /// The file with the PIN could not be read.
    #[error("{0}")]
    PinFile(KeyFileError),
    /// One more wrong PIN would lock the token.
    #[error("the token `{token}` has one try left for its PIN, which is not risked here")]
    PinFinalTry {
        /// Label of the token.
        token: String,
    },
    /// `pin-value`: everybody on the machine can read a command line.
    #[error("a PIN in the URI can be read by everybody on the machine; use `pin-source`")]
    PinInUri,
    /// The token has locked itself.
    #[error("the PIN of the token `{token}` is locked")]
    PinLocked {
        /// Label of the token.
        token: String,
    },
    /// Nobody gave the PIN.
    #[error("the token `{token}` asks for a PIN")]
    PinNeeded {
        /// Label of the token.
        token: String,
    },
    /// The PIN is not the token's.
    #[error("the PIN is not that of the token `{token}`")]
    PinWrong {
        /// Label of the token.
        token: String,
    },
    /// More than one key fits; one of them would be chosen by chance.
    #[error("{found} objects of the token fit the URI; add `id`")]
    SeveralKeys {
        /// How many.
        found: usize,
    },
    /// More than one token fits.
    #[error("{found} tokens fit the URI; add `token` or `serial`")]
    SeveralTokens {
        /// How many.
        found: usize,
    },
    /// The signature that came back is not one by the key.
    #[error("the signature that the token returned does not verify with the key {key}")]
    SignatureInvalid {
        /// The key.
        key: KeyId,
    },
    /// A kind of key that Custos does not sign with.
    #[error("the token holds a key of another kind than Custos signs with: {found}")]
    UnsupportedKey {
        /// What it is.
        found: String,
    },
}

impl TokenError {
    // What a module says is data of others, but it has seen the PIN once at most and repeats none.
    fn device(operation: &'static str) -> impl Fn(Error) -> Self {
        move |error| {
            let reason = match &error {
                Error::Pkcs11(value, function) => format!("{function} answers {value:?}"),
                other => other.to_string(),
            };
            Self::Device { operation, reason }
        }
    }
}

#[cfg(test)]
mod tests;
