//! The certificate authority: an offline root, an issuing authority below it that signs leaf
//! certificates of ten minutes, a timestamp certificate, and the key of a certificate log whose
//! promises (SCTs) are embedded.
//!
//! Certificates follow RFC 5280 and the profile of Fulcio
//! (<https://github.com/sigstore/fulcio/blob/main/docs/certificate-specification.md>), so that
//! Sigstore's verifiers accept them. Everything is decided by the identity that
//! [`crate::oidc`] proved; a request brings nothing but its public key.
//!
//! What it is not: a web PKI authority. It answers no revocation protocol, because its leaf
//! certificates end before a revocation could be noticed.

mod build;
mod extensions;
mod files;
mod sct;

use std::fmt;
use std::path::{Path, PathBuf};

use custos_core::clock::Timestamp;
use custos_core::crypto::{KeyError, KeyKind, KeyPair, Pem, PemError, PublicKey};
use custos_trust::keys::{KeyFileError, PasswordSource};
use custos_trust::signer::{KeySigner, SignError, Signer};
use x509_cert::Certificate;
use zeroize::Zeroizing;

use crate::oidc::Identity;
use crate::timestamp::TimestampAuthority;

pub use build::CertificateError;
pub(crate) use build::{
    is_valid_at as certificate_is_valid_at, parse as parse_certificate, random_serial,
    signature_algorithm,
};
pub use sct::sct_message;

/// Life of a leaf certificate, in seconds.
pub const LEAF_SECONDS: i64 = 600;

const DAY: i64 = 86_400;

/// How private keys lie in their files.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub enum Protection<'a> {
    /// Encrypted with a password, in cosign's form.
    Password(&'a [u8]),
    /// As they are, with mode 0600: whoever can read the file has the key.
    Plain,
}

impl fmt::Debug for Protection<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Password(_) => "Password",
            Self::Plain => "Plain",
        })
    }
}

/// What a new authority is to be.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Params<'a> {
    /// Organisation named in the certificates, 1 to 64 characters.
    pub organization: &'a str,
    /// From when on the certificates are valid.
    pub now: Timestamp,
    /// Life of the root, in days.
    pub root_days: u16,
    /// Life of the issuing and of the timestamp certificate, in days.
    pub issuing_days: u16,
    /// How the offline root's key is kept.
    pub root_protection: Protection<'a>,
    /// How the keys are kept that a server needs.
    pub online_protection: Protection<'a>,
}

impl<'a> Params<'a> {
    /// Returns parameters with ten years of life, and with keys that `root` and `online` protect.
    pub const fn new(
        organization: &'a str,
        now: Timestamp,
        root: Protection<'a>,
        online: Protection<'a>,
    ) -> Self {
        Self {
            organization,
            now,
            root_days: 3_650,
            issuing_days: 3_650,
            root_protection: root,
            online_protection: online,
        }
    }

    /// Returns them with another life of the certificates below the root.
    pub const fn with_issuing_days(self, issuing_days: u16) -> Self {
        Self {
            issuing_days,
            ..self
        }
    }
}

/// Of what a TLS server's certificate is to speak.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct ServerParams<'a> {
    /// Organisation named in the certificate, 1 to 64 characters.
    pub organization: &'a str,
    /// Host names and addresses that clients call the server by; at least one.
    pub names: &'a [String],
    /// From when on it is valid.
    pub now: Timestamp,
    /// Its life, in days.
    pub days: u16,
}

impl<'a> ServerParams<'a> {
    /// Returns parameters of a certificate that is valid for a year.
    pub const fn new(organization: &'a str, names: &'a [String], now: Timestamp) -> Self {
        Self {
            organization,
            names,
            now,
            days: 365,
        }
    }

    /// Checks what a caller may have wrong, before anything is made: the organisation, and that
    /// each name is a host name or an address.
    pub fn check(&self) -> Result<(), AuthorityError> {
        if !build::is_name(self.organization) {
            return Err(AuthorityError::Organization);
        }
        match self.names.iter().find(|name| !build::is_server_name(name)) {
            Some(name) => Err(AuthorityError::ServerName { name: name.clone() }),
            None => Ok(()),
        }
    }
}

/// An authority with the keys that a server needs; the root's key is not among them.
///
/// ```
/// use custos_core::clock::Timestamp;
/// use custos_server::authority::{Authority, Params, Protection};
/// use custos_trust::keys::NoPassword;
///
/// let dir = tempfile::tempdir().unwrap();
/// let dir = dir.path().join("authority");
/// let now = Timestamp::from_seconds(1_790_000_000);
/// let params = Params::new("Example", now, Protection::Plain, Protection::Plain);
/// let made = Authority::init(&dir, &params).unwrap();
/// let opened = Authority::open(&dir, &NoPassword).unwrap();
/// assert_eq!(made.root_der(), opened.root_der());
/// ```
pub struct Authority {
    root: Vec<u8>,
    issuing: Member,
    timestamp: TimestampAuthority,
    log: Box<dyn Signer>,
}

/// A certificate below the root, with its key.
pub(crate) struct Member {
    pub(crate) der: Vec<u8>,
    pub(crate) certificate: Certificate,
    pub(crate) signer: Box<dyn Signer>,
}

impl Member {
    pub(crate) fn is_valid_at(&self, now: Timestamp) -> bool {
        build::is_valid_at(&self.certificate, now)
    }
}

/// A leaf certificate and its chain.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Issued {
    /// The leaf, in DER.
    pub leaf: Vec<u8>,
    /// Issuing authority and root, in DER.
    pub chain: Vec<Vec<u8>>,
}

impl Issued {
    /// Returns leaf and chain in PEM, leaf first.
    pub fn to_pem(&self) -> Vec<String> {
        std::iter::once(&self.leaf)
            .chain(&self.chain)
            .map(|der| certificate_pem(der))
            .collect()
    }
}

impl Authority {
    /// Makes an authority in `dir`, which must not be there yet (or be empty): all of it or, on
    /// an error, nothing.
    pub fn init(dir: &Path, params: &Params<'_>) -> Result<Self, AuthorityError> {
        let made = Made::new(params)?;
        files::write(dir, params, &made)?;
        Self::from_parts(made.parts())
    }

    /// Makes new issuing, timestamp and certificate log keys below a root that is there, in a new
    /// folder. The old ones count as long as the trusted root names them.
    ///
    /// The root's key is not written, and the life of the root in `params` is not used.
    pub fn renew(dir: &Path, params: &Params<'_>, root: &Root) -> Result<Self, AuthorityError> {
        let made = Made::below(params, root)?;
        files::write(dir, params, &made)?;
        Self::from_parts(made.parts())
    }

    /// Opens an authority; `passwords` is asked for encrypted keys. The root's key is not read.
    pub fn open(dir: &Path, passwords: &dyn PasswordSource) -> Result<Self, AuthorityError> {
        Self::from_parts(files::read(dir, passwords)?)
    }

    /// Puts an authority together, for instance with keys in a hardware token, and checks that
    /// certificates and keys belong together.
    pub fn from_parts(parts: Parts) -> Result<Self, AuthorityError> {
        let root = build::parse(&parts.root)?;
        build::check_signed_by(&root, &root)?;
        let member = |der: Vec<u8>, signer: Box<dyn Signer>, role: Role| {
            let certificate = build::parse(&der)?;
            build::check_signed_by(&certificate, &root)?;
            if build::public_key(&certificate)? != *signer.public_key() {
                return Err(AuthorityError::KeyMismatch { role });
            }
            build::signature_algorithm(signer.scheme())
                .ok_or(AuthorityError::UnsupportedKey { role })?;
            Ok(Member {
                der,
                certificate,
                signer,
            })
        };
        let (issuing, timestamp) = (
            member(parts.issuing, parts.issuing_key, Role::Issuing)?,
            member(parts.timestamp, parts.timestamp_key, Role::Timestamp)?,
        );
        if sct::algorithm(parts.log_key.scheme()).is_none() {
            return Err(AuthorityError::UnsupportedKey {
                role: Role::CertificateLog,
            });
        }
        Ok(Self {
            timestamp: TimestampAuthority::new(timestamp, parts.root.clone())?,
            root: parts.root,
            issuing,
            log: parts.log_key,
        })
    }

    /// Issues the certificate of `identity` for `key`, valid from `now` for ten minutes.
    ///
    /// Whoever calls has checked the identity and the possession of the key.
    pub fn issue(
        &self,
        identity: &Identity,
        key: &PublicKey,
        now: Timestamp,
    ) -> Result<Issued, AuthorityError> {
        if !self.issuing.is_valid_at(now) {
            return Err(AuthorityError::Expired {
                role: Role::Issuing,
            });
        }
        let leaf = build::leaf(&self.issuing, identity, key, now)?;
        let sct = sct::promise(self.log.as_ref(), &leaf.tbs()?, &self.issuing, now)?;
        let leaf = leaf.with_extension(sct::extension(&sct)?).sign()?;
        Ok(Issued {
            leaf,
            chain: vec![self.issuing.der.clone(), self.root.clone()],
        })
    }

    /// Returns the timestamp authority below the same root.
    pub const fn timestamp_authority(&self) -> &TimestampAuthority {
        &self.timestamp
    }

    /// Returns the root certificate in DER.
    pub fn root_der(&self) -> &[u8] {
        &self.root
    }

    /// Returns the issuing certificate in DER.
    pub fn issuing_der(&self) -> &[u8] {
        &self.issuing.der
    }

    /// Returns the timestamp certificate in DER.
    pub fn timestamp_der(&self) -> &[u8] {
        self.timestamp.certificate_der()
    }

    /// Returns the key of the certificate log.
    pub fn log_key(&self) -> &PublicKey {
        self.log.public_key()
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authority({:?})", self.issuing.signer.public_key())
    }
}

/// Certificates and keys of an authority.
#[non_exhaustive]
pub struct Parts {
    /// The self-signed root certificate, in DER.
    pub root: Vec<u8>,
    /// The issuing certificate, in DER.
    pub issuing: Vec<u8>,
    /// Its key: ECDSA, or an Ed25519 signer of the pure scheme.
    pub issuing_key: Box<dyn Signer>,
    /// The timestamp certificate, in DER.
    pub timestamp: Vec<u8>,
    /// Its key: ECDSA.
    pub timestamp_key: Box<dyn Signer>,
    /// The key of the certificate log: P-256.
    pub log_key: Box<dyn Signer>,
}

impl Parts {
    /// Returns the parts of an authority from its certificates in DER and their keys.
    pub fn new(
        root: Vec<u8>,
        issuing: (Vec<u8>, Box<dyn Signer>),
        timestamp: (Vec<u8>, Box<dyn Signer>),
        log_key: Box<dyn Signer>,
    ) -> Self {
        Self {
            root,
            issuing: issuing.0,
            issuing_key: issuing.1,
            timestamp: timestamp.0,
            timestamp_key: timestamp.1,
            log_key,
        }
    }
}

/// A root with its key, to make authorities below it.
pub struct Root {
    der: Vec<u8>,
    certificate: Certificate,
    signer: Box<dyn Signer>,
}

impl Root {
    /// Returns the root of a certificate in DER and its key, which may lie in a hardware token.
    pub fn new(der: Vec<u8>, signer: Box<dyn Signer>) -> Result<Self, AuthorityError> {
        let certificate = build::parse(&der)?;
        build::check_signed_by(&certificate, &certificate)?;
        if build::public_key(&certificate)? != *signer.public_key() {
            return Err(AuthorityError::KeyMismatch { role: Role::Root });
        }
        Ok(Self {
            der,
            certificate,
            signer,
        })
    }

    /// Opens the root of an authority's folder, or of wherever `root.pem` and `root.key` lie.
    pub fn open(dir: &Path, passwords: &dyn PasswordSource) -> Result<Self, AuthorityError> {
        files::read_root(dir, passwords)
    }

    /// Returns what signs with the root's key.
    pub fn signer(&self) -> &dyn Signer {
        self.signer.as_ref()
    }

    /// Makes a new key and its certificate for a TLS server, in one PEM text: the certificate,
    /// then the key, which is as secret as any.
    pub fn server_pem(
        &self,
        params: &ServerParams<'_>,
    ) -> Result<Zeroizing<String>, AuthorityError> {
        params.check()?;
        if !build::is_valid_at(&self.certificate, params.now) {
            return Err(AuthorityError::Expired { role: Role::Root });
        }
        let pair = generate()?;
        let parent = (&self.certificate, self.signer.as_ref());
        let der = build::server(params, parent, pair.public_key())?;
        let key = pair.to_pkcs8_der().map_err(AuthorityError::Key)?;
        let key = Zeroizing::new(Pem::new("PRIVATE KEY", key.to_vec()).to_text());
        Ok(Zeroizing::new(
            [certificate_pem(&der).as_str(), key.as_str()].concat(),
        ))
    }
}

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Root({:?})", self.signer.public_key())
    }
}

// A new authority, with the root's key if that is new as well.
struct Made {
    root: Vec<u8>,
    root_key: Option<KeyPair>,
    issuing: Vec<u8>,
    issuing_key: KeyPair,
    timestamp: Vec<u8>,
    timestamp_key: KeyPair,
    log_key: KeyPair,
}

impl Made {
    fn new(params: &Params<'_>) -> Result<Self, AuthorityError> {
        check_organization(params)?;
        let root_key = generate()?;
        // The same key twice: one signs here, the other is written.
        let der = root_key.to_pkcs8_der().map_err(AuthorityError::Key)?;
        let signer = KeySigner::new(KeyPair::from_pkcs8_der(&der).map_err(AuthorityError::Key)?);
        let root = Root::new(build::root(params, &signer)?, Box::new(signer))?;
        Ok(Self {
            root_key: Some(root_key),
            ..Self::below(params, &root)?
        })
    }

    fn below(params: &Params<'_>, root: &Root) -> Result<Self, AuthorityError> {
        check_organization(params)?;
        if !build::is_valid_at(&root.certificate, params.now) {
            return Err(AuthorityError::Expired { role: Role::Root });
        }
        let (issuing_key, timestamp_key, log_key) = (generate()?, generate()?, generate()?);
        let below = |key: &KeyPair, role| {
            let parent = (&root.certificate, root.signer.as_ref());
            build::below(params, parent, key.public_key(), role)
        };
        Ok(Self {
            root: root.der.clone(),
            root_key: None,
            issuing: below(&issuing_key, Role::Issuing)?,
            issuing_key,
            timestamp: below(&timestamp_key, Role::Timestamp)?,
            timestamp_key,
            log_key,
        })
    }

    fn parts(self) -> Parts {
        let signer = |pair| -> Box<dyn Signer> { Box::new(KeySigner::new(pair)) };
        Parts::new(
            self.root,
            (self.issuing, signer(self.issuing_key)),
            (self.timestamp, signer(self.timestamp_key)),
            signer(self.log_key),
        )
    }
}

fn generate() -> Result<KeyPair, AuthorityError> {
    KeyPair::generate(KeyKind::P256).map_err(AuthorityError::Key)
}

fn check_organization(params: &Params<'_>) -> Result<(), AuthorityError> {
    if build::is_name(params.organization) {
        Ok(())
    } else {
        Err(AuthorityError::Organization)
    }
}

/// Which part of an authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Role {
    /// The offline root.
    Root,
    /// The issuing authority.
    Issuing,
    /// The timestamp authority.
    Timestamp,
    /// The certificate log.
    CertificateLog,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Root => "root",
            Self::Issuing => "issuing authority",
            Self::Timestamp => "timestamp authority",
            Self::CertificateLog => "certificate log",
        })
    }
}

/// Why an authority was not made or opened, or did not issue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorityError {
    /// There is something at that place.
    #[error("{} is there already and not empty", path.display())]
    AlreadyThere {
        /// The folder.
        path: PathBuf,
    },
    /// A certificate is broken, or could not be built.
    #[error("{0}")]
    Certificate(CertificateError),
    /// The certificate is not valid at this time.
    #[error("the certificate of the {role} is not valid now")]
    Expired {
        /// Whose.
        role: Role,
    },
    /// The system refused.
    #[error("cannot {action} {}: {message}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the system says.
        message: String,
    },
    /// A key could not be made.
    #[error("{0}")]
    Key(KeyError),
    /// A key file.
    #[error("{0}")]
    KeyFile(KeyFileError),
    /// A certificate and a key do not belong together.
    #[error("the key of the {role} is not that of its certificate")]
    KeyMismatch {
        /// Whose.
        role: Role,
    },
    /// The name of the organisation.
    #[error("an organisation has 1 to 64 characters, none of them a control character")]
    Organization,
    /// Not a certificate in PEM.
    #[error("{}: {source}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: PemError,
    },
    /// Neither a host name nor an address.
    #[error("`{name}` is neither a host name nor an IP address")]
    ServerName {
        /// The name.
        name: String,
    },
    /// The key did not sign.
    #[error("{0}")]
    Sign(SignError),
    /// The kind of key cannot do this.
    #[error("the {role} cannot use this kind of key; P-256 always works")]
    UnsupportedKey {
        /// Whose.
        role: Role,
    },
}

impl From<CertificateError> for AuthorityError {
    fn from(error: CertificateError) -> Self {
        Self::Certificate(error)
    }
}

/// Returns a certificate in PEM.
pub fn certificate_pem(der: &[u8]) -> String {
    Pem::new("CERTIFICATE", der.to_vec()).to_text()
}

#[cfg(test)]
pub(crate) mod tests;
