//! What makes signatures: a key in memory, alone or with its certificate.
//!
//! [`Signer`] is the one door for every kind of key: files, hardware tokens, key services (see
//! [`crate::signers`]). It signs a message as given; what the message is, [`crate::seal`] decides.

use std::fmt;

use custos_core::crypto::{KeyPair, Pem, PemError, PublicKey, Scheme, SignatureError};
use custos_core::digest::Digest;
use custos_core::limits::MAX_CERTIFICATES;

use crate::keyless::{KeylessError, Services};
use crate::signers::ServiceError;
use crate::signers::pkcs11::TokenError;
use crate::verify::{Certificate, CertificateFault};

/// Makes signatures with one key.
pub trait Signer: Send + Sync {
    /// Returns the public key.
    fn public_key(&self) -> &PublicKey;

    /// Returns the scheme that [`Signer::sign`] uses.
    fn scheme(&self) -> Scheme;

    /// Signs `message`. ECDSA signatures come as DER.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError>;

    /// Signs the message with this digest, made with the hash that the scheme has in a log entry
    /// ([`custos_core::entry::entry_algorithm`]). ECDSA signatures come as DER.
    fn sign_digest(&self, digest: &Digest) -> Result<Vec<u8>, SignError> {
        let _ = digest;
        Err(SignError::Signature(SignatureError::MessageNeeded))
    }

    /// Returns the certificates in DER, leaf first, without a root; `None` for a bare key.
    fn certificate_chain(&self) -> Option<&[Vec<u8>]> {
        None
    }

    /// Returns true if the certificate is one of Sigstore's, which stands alone in a bundle.
    fn is_keyless(&self) -> bool {
        false
    }

    /// Returns whom the certificate names, where that is known only once something was signed.
    fn identity(&self) -> Option<String> {
        None
    }

    /// Returns the services that stamp and log what this signer signs; none, unless it uses some.
    fn services(&self) -> Option<&Services> {
        None
    }
}

/// Signs with a key held in memory.
#[derive(Debug)]
pub struct KeySigner {
    pair: KeyPair,
    scheme: Scheme,
}

impl KeySigner {
    /// Returns a signer with the scheme that statements use for this kind of key.
    pub fn new(pair: KeyPair) -> Self {
        let scheme = pair.public_key().kind().statement_scheme();
        Self { pair, scheme }
    }

    pub(crate) const fn pair(&self) -> &KeyPair {
        &self.pair
    }
}

impl Signer for KeySigner {
    fn public_key(&self) -> &PublicKey {
        self.pair.public_key()
    }

    fn scheme(&self) -> Scheme {
        self.scheme
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        self.pair
            .sign(self.scheme, message)
            .map_err(SignError::Signature)
    }

    fn sign_digest(&self, digest: &Digest) -> Result<Vec<u8>, SignError> {
        self.pair
            .sign_digest(self.scheme, digest)
            .map_err(SignError::Signature)
    }
}

/// Signs with a key, and shows its certificate.
pub struct CertificateSigner {
    key: Box<dyn Signer>,
    chain: Vec<Vec<u8>>,
}

impl CertificateSigner {
    /// Returns a signer for a key in memory and its certificates in PEM, leaf first.
    pub fn new(pair: KeyPair, chain_pem: &str) -> Result<Self, SignError> {
        Self::over(Box::new(KeySigner::new(pair)), chain_pem)
    }

    /// Returns a signer for a key, wherever it is, and its certificates in PEM, leaf first.
    ///
    /// Roots are left out of what is shown: a verifier has its own, or must not believe ours.
    pub fn over(key: Box<dyn Signer>, chain_pem: &str) -> Result<Self, SignError> {
        let blocks = Pem::parse_many(chain_pem).map_err(SignError::Pem)?;
        if blocks.is_empty() || blocks.len() > MAX_CERTIFICATES {
            return Err(SignError::CertificateCount {
                found: blocks.len(),
            });
        }
        let mut chain = Vec::with_capacity(blocks.len());
        for (position, block) in blocks.iter().enumerate() {
            if block.label() != "CERTIFICATE" {
                return Err(SignError::NotACertificate {
                    label: block.label().to_owned(),
                });
            }
            let certificate = Certificate::parse(block.bytes())
                .map_err(|fault| SignError::Certificate { position, fault })?;
            if position == 0 && certificate.key() != Some(key.public_key()) {
                return Err(SignError::LeafKeyMismatch);
            }
            if position == 0 || !certificate.is_self_issued() {
                chain.push(block.bytes().to_vec());
            }
        }
        Ok(Self { key, chain })
    }
}

impl Signer for CertificateSigner {
    fn public_key(&self) -> &PublicKey {
        self.key.public_key()
    }

    fn scheme(&self) -> Scheme {
        self.key.scheme()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        self.key.sign(message)
    }

    fn sign_digest(&self, digest: &Digest) -> Result<Vec<u8>, SignError> {
        self.key.sign_digest(digest)
    }

    fn services(&self) -> Option<&Services> {
        self.key.services()
    }

    fn certificate_chain(&self) -> Option<&[Vec<u8>]> {
        Some(&self.chain)
    }
}

impl fmt::Debug for CertificateSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CertificateSigner({:?})", self.key.public_key())
    }
}

/// Why a signature was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// A certificate of the chain does not parse.
    #[error("certificate {position} of the chain: {fault}")]
    Certificate {
        /// Position in the chain, from 0.
        position: usize,
        /// What is wrong.
        fault: CertificateFault,
    },
    /// No certificate, or more than [`MAX_CERTIFICATES`].
    #[error("{found} certificates, between 1 and {MAX_CERTIFICATES} are needed")]
    CertificateCount {
        /// Certificates found.
        found: usize,
    },
    /// Signing with services: no token, a service that fails, an answer that is not believed.
    #[error("{0}")]
    Keyless(Box<KeylessError>),
    /// The first certificate is about another key.
    #[error("the first certificate is not for this private key; the leaf comes first")]
    LeafKeyMismatch,
    /// A PEM block of another type.
    #[error("a PEM block `CERTIFICATE` is needed, this one is `{label}`")]
    NotACertificate {
        /// The type found.
        label: String,
    },
    /// Not PEM.
    #[error("not PEM: {0}")]
    Pem(PemError),
    /// The service that holds the key did not sign.
    #[error("{0}")]
    Service(Box<ServiceError>),
    /// The key did not sign.
    #[error("{0}")]
    Signature(SignatureError),
    /// The token that holds the key did not sign.
    #[error("{0}")]
    Token(Box<TokenError>),
}
