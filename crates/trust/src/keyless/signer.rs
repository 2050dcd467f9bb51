//! Signers that use services: keyless, and a key whose signatures are stamped and logged.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use custos_core::crypto::{KeyKind, KeyPair, PublicKey, Scheme};
use custos_core::digest::Digest;

use super::services::{KeylessError, Services};
use super::token::IdentityToken;
use super::trusted::Vouched;
use crate::signer::{KeySigner, SignError, Signer};

/// Gives an ID token when one is needed.
pub trait TokenSource: Send + Sync {
    /// Returns a token. It may ask a person, or a service.
    fn token(&self) -> Result<IdentityToken, KeylessError>;
}

/// Signs in the name of whom a token names, with a key of its own that nobody keeps.
///
/// The certificate is got with the first signature, not before: work that takes longer than a
/// certificate lives does not outlive it.
pub struct KeylessSigner {
    key: KeySigner,
    services: Arc<Services>,
    source: Box<dyn TokenSource>,
    enrolled: OnceLock<Enrolled>,
    enrolling: Mutex<()>,
}

struct Enrolled {
    chain: Vec<Vec<u8>>,
    vouched: Vouched,
}

impl KeylessSigner {
    /// Returns a signer with a new key.
    pub fn new(
        services: Arc<Services>,
        source: Box<dyn TokenSource>,
    ) -> Result<Self, KeylessError> {
        let pair = KeyPair::generate(KeyKind::P256)
            .map_err(|error| KeylessError::Key(error.to_string()))?;
        Ok(Self {
            key: KeySigner::new(pair),
            services,
            source,
            enrolled: OnceLock::new(),
            enrolling: Mutex::new(()),
        })
    }

    /// Gets the certificate, unless there is one.
    pub fn enroll(&self) -> Result<&Vouched, KeylessError> {
        let guard = self.enrolling.lock();
        let _one_at_a_time = guard.unwrap_or_else(PoisonError::into_inner);
        if let Some(enrolled) = self.enrolled.get() {
            let at = enrolled.vouched.ends;
            if at <= self.services.now() {
                return Err(KeylessError::Ended { at });
            }
            return Ok(&enrolled.vouched);
        }
        let token = self.source.token()?;
        let (leaf, vouched) = self.services.certificate(&token, self.key.pair())?;
        let enrolled = self.enrolled.get_or_init(|| Enrolled {
            chain: vec![leaf],
            vouched,
        });
        Ok(&enrolled.vouched)
    }

    /// Returns whom the certificate names, once there is one.
    pub fn identity(&self) -> Option<&Vouched> {
        self.enrolled.get().map(|enrolled| &enrolled.vouched)
    }

    fn enrolled(&self) -> Result<(), SignError> {
        self.enroll().map(drop).map_err(SignError::from)
    }
}

impl Signer for KeylessSigner {
    fn public_key(&self) -> &PublicKey {
        self.key.public_key()
    }

    fn scheme(&self) -> Scheme {
        self.key.scheme()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        self.enrolled()?;
        self.key.sign(message)
    }

    fn sign_digest(&self, digest: &Digest) -> Result<Vec<u8>, SignError> {
        self.enrolled()?;
        self.key.sign_digest(digest)
    }

    fn certificate_chain(&self) -> Option<&[Vec<u8>]> {
        self.enrolled
            .get()
            .map(|enrolled| enrolled.chain.as_slice())
    }

    fn is_keyless(&self) -> bool {
        true
    }

    fn identity(&self) -> Option<String> {
        self.identity().map(|vouched| vouched.identity.clone())
    }

    fn services(&self) -> Option<&Services> {
        Some(&self.services)
    }
}

impl fmt::Debug for KeylessSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeylessSigner({:?})", self.identity())
    }
}

/// Signs with a key of one's own; services add when and where.
pub struct Countersigner {
    inner: Box<dyn Signer>,
    services: Arc<Services>,
}

impl Countersigner {
    /// Returns a signer whose signatures `services` stamp and log.
    pub fn new(inner: Box<dyn Signer>, services: Arc<Services>) -> Self {
        Self { inner, services }
    }
}

impl Signer for Countersigner {
    fn public_key(&self) -> &PublicKey {
        self.inner.public_key()
    }

    fn scheme(&self) -> Scheme {
        self.inner.scheme()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        self.inner.sign(message)
    }

    fn sign_digest(&self, digest: &Digest) -> Result<Vec<u8>, SignError> {
        self.inner.sign_digest(digest)
    }

    fn certificate_chain(&self) -> Option<&[Vec<u8>]> {
        self.inner.certificate_chain()
    }

    fn is_keyless(&self) -> bool {
        self.inner.is_keyless()
    }

    fn identity(&self) -> Option<String> {
        self.inner.identity()
    }

    fn services(&self) -> Option<&Services> {
        Some(&self.services)
    }
}

impl fmt::Debug for Countersigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Countersigner({:?})", self.inner.public_key())
    }
}

impl From<KeylessError> for SignError {
    fn from(error: KeylessError) -> Self {
        Self::Keyless(Box::new(error))
    }
}
