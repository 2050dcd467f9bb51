//! Key references: where a key lies, as one text.
//!
//! | form | key |
//! |---|---|
//! | a path | key file |
//! | `k8s://NAMESPACE/SECRET` | Kubernetes Secret in cosign's layout |
//! | `pkcs11:...` | hardware token, [RFC 7512](https://www.rfc-editor.org/rfc/rfc7512) |
//! | `awskms://[ENDPOINT]/ID`, `/alias/NAME`, `/ARN` | AWS KMS |
//! | `gcpkms://projects/P/locations/L/keyRings/R/cryptoKeys/K[/versions/V]` | Google Cloud KMS |
//! | `azurekms://VAULT/KEY[/VERSION]` | Azure Key Vault |
//! | `hashivault://KEY` | transit engine of `HashiCorp` Vault or `OpenBao` |
//!
//! The forms are cosign's. `env://`, `gitlab://` and `github://`, which cosign has too, are errors
//! of their own: Custos takes no private key from the environment.
//!
//! What it is not: it looks nothing up, and a reference that parses may name nothing.

mod pkcs11;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

pub use pkcs11::{Pkcs11Error, Pkcs11Uri};

/// Longest reference, in bytes.
const MAX_REFERENCE: usize = 4 * 1024;

/// Where a key lies.
///
/// ```
/// use custos_trust::signers::reference::KeyReference;
/// let key: KeyReference = "k8s://sigstore-system/cosign-key".parse().unwrap();
/// assert!(matches!(key, KeyReference::Kubernetes(_)));
/// assert!("env://COSIGN_KEY".parse::<KeyReference>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyReference {
    /// AWS KMS.
    AwsKms(AwsKey),
    /// Azure Key Vault.
    AzureKms(AzureKey),
    /// A key file.
    File(PathBuf),
    /// Google Cloud KMS.
    GcpKms(GcpKey),
    /// Transit engine of `HashiCorp` Vault.
    HashiVault(VaultKey),
    /// Kubernetes Secret.
    Kubernetes(SecretName),
    /// PKCS#11 token.
    Pkcs11(Box<Pkcs11Uri>),
}

impl FromStr for KeyReference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if text.is_empty() || text.len() > MAX_REFERENCE || text.contains('\0') {
            return Err(ReferenceError::Length { found: text.len() });
        }
        if let Some(rest) = text.strip_prefix("pkcs11:") {
            return Pkcs11Uri::parse(rest)
                .map(|uri| Self::Pkcs11(Box::new(uri)))
                .map_err(ReferenceError::Pkcs11);
        }
        let Some((scheme, rest)) = split_scheme(text) else {
            return Ok(Self::File(PathBuf::from(text)));
        };
        let malformed = |expected| ReferenceError::Malformed { expected };
        match scheme {
            "awskms" => AwsKey::parse(rest)
                .map(Self::AwsKms)
                .ok_or(malformed(AwsKey::FORM)),
            "azurekms" => AzureKey::parse(rest)
                .map(Self::AzureKms)
                .ok_or(malformed(AzureKey::FORM)),
            "gcpkms" => GcpKey::parse(rest)
                .map(Self::GcpKms)
                .ok_or(malformed(GcpKey::FORM)),
            "hashivault" => VaultKey::parse(rest)
                .map(Self::HashiVault)
                .ok_or(malformed(VaultKey::FORM)),
            "k8s" => SecretName::parse(rest)
                .map(Self::Kubernetes)
                .ok_or(malformed(SecretName::FORM)),
            "env" => Err(ReferenceError::EnvironmentRefused),
            "github" | "gitlab" => Err(ReferenceError::GitHostRefused {
                scheme: scheme.to_owned(),
            }),
            _ => Err(ReferenceError::UnknownScheme {
                scheme: scheme.chars().take(32).collect(),
            }),
        }
    }
}

impl fmt::Display for KeyReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AwsKms(key) => key.fmt(f),
            Self::AzureKms(key) => key.fmt(f),
            Self::File(path) => path.display().fmt(f),
            Self::GcpKms(key) => key.fmt(f),
            Self::HashiVault(key) => key.fmt(f),
            Self::Kubernetes(name) => name.fmt(f),
            Self::Pkcs11(uri) => uri.fmt(f),
        }
    }
}

impl KeyReference {
    /// Returns the path, if the key lies in a file.
    pub fn as_file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            _ => None,
        }
    }

    /// Returns the environment variables that let whoever has them sign with this key. A step that
    /// is run must not see them: it could sign its own statement.
    pub const fn credentials(&self) -> &'static [&'static str] {
        match self {
            Self::AwsKms(_) => &[
                "AWS_ACCESS_KEY_ID",
                "AWS_CONTAINER_AUTHORIZATION_TOKEN",
                "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
                "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
                "AWS_SECRET_ACCESS_KEY",
                "AWS_SESSION_TOKEN",
                "AWS_WEB_IDENTITY_TOKEN_FILE",
            ],
            Self::AzureKms(_) => &["AZURE_CLIENT_SECRET", "AZURE_FEDERATED_TOKEN_FILE"],
            Self::GcpKms(_) => &["GOOGLE_APPLICATION_CREDENTIALS"],
            Self::HashiVault(_) => &["VAULT_TOKEN"],
            Self::Kubernetes(_) => &["KUBECONFIG"],
            Self::File(_) | Self::Pkcs11(_) => &[],
        }
    }
}

// `scheme://rest`; a path may contain `://` behind something that is no scheme.
fn split_scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    let is_scheme =
        scheme.starts_with(|first: char| first.is_ascii_alphabetic()) && all_of(scheme, b"+-.");
    is_scheme.then_some((scheme, rest))
}

/// True if `text` is of ASCII letters, digits and the bytes of `more`.
fn all_of(text: &str, more: &[u8]) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
}

fn is_name(text: &str, more: &[u8], longest: usize) -> bool {
    (1..=longest).contains(&text.len()) && all_of(text, more)
}

fn is_host(text: &str) -> bool {
    is_name(text, b"-.", 253) && !text.starts_with(['-', '.']) && !text.contains("..")
}

fn is_host_and_port(text: &str) -> bool {
    match text.rsplit_once(':') {
        None => is_host(text),
        Some((host, port)) => is_host(host) && port.parse::<u16>().is_ok_and(|port| port > 0),
    }
}

/// A key of AWS KMS.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AwsKey {
    endpoint: Option<String>,
    id: String,
}

impl AwsKey {
    const FORM: &'static str = "awskms://[ENDPOINT]/ID, /alias/NAME or /ARN";

    fn parse(rest: &str) -> Option<Self> {
        let (endpoint, id) = rest.split_once('/')?;
        let endpoint_fits = endpoint.is_empty() || is_host_and_port(endpoint);
        (endpoint_fits && Self::is_key_id(id)).then(|| Self {
            endpoint: (!endpoint.is_empty()).then(|| endpoint.to_owned()),
            id: id.to_owned(),
        })
    }

    fn is_key_id(id: &str) -> bool {
        let Some(arn) = id.strip_prefix("arn:") else {
            return Self::is_local_id(id, "");
        };
        let parts: Vec<&str> = arn.splitn(5, ':').collect();
        let [partition, "kms", region, account, resource] = parts.as_slice() else {
            return false;
        };
        is_name(partition, b"-", 32)
            && is_name(region, b"-", 32)
            && account.len() == 12
            && account.bytes().all(|byte| byte.is_ascii_digit())
            && Self::is_local_id(resource, "key/")
    }

    fn is_local_id(id: &str, prefix: &str) -> bool {
        if let Some(alias) = id.strip_prefix("alias/") {
            return is_name(alias, b"/_-", 250);
        }
        let Some(id) = id.strip_prefix(prefix) else {
            return false;
        };
        let is_hex = |text: &str| text.bytes().all(|b| b.is_ascii_hexdigit());
        if let Some(hex) = id.strip_prefix("mrk-") {
            return hex.len() == 32 && is_hex(hex);
        }
        let lengths: Vec<usize> = id.split('-').map(str::len).collect();
        lengths == [8, 4, 4, 4, 12] && id.split('-').all(is_hex)
    }

    /// Returns host and perhaps port of a service other than AWS' own.
    pub fn endpoint(&self) -> Option<&str> {
        self.endpoint.as_deref()
    }

    /// Returns what AWS calls `KeyId`: an id, `alias/NAME` or an ARN.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the region that an ARN names.
    pub fn region(&self) -> Option<&str> {
        self.id.strip_prefix("arn:")?.split(':').nth(2)
    }
}

impl fmt::Display for AwsKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let endpoint = self.endpoint.as_deref().unwrap_or_default();
        write!(f, "awskms://{endpoint}/{}", self.id)
    }
}

/// A key of Google Cloud KMS.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GcpKey {
    key: String,
    version: Option<u32>,
}

impl GcpKey {
    const FORM: &'static str =
        "gcpkms://projects/P/locations/L/keyRings/R/cryptoKeys/K[/versions/V]";

    fn parse(rest: &str) -> Option<Self> {
        let parts: Vec<&str> = rest.split('/').collect();
        let (key, version) = match parts.as_slice() {
            [key @ .., "versions" | "cryptoKeyVersions", version] => (
                key,
                Some(version.parse().ok().filter(|version| *version > 0)?),
            ),
            key => (key, None),
        };
        let [
            "projects",
            project,
            "locations",
            location,
            "keyRings",
            ring,
            "cryptoKeys",
            name,
        ] = key
        else {
            return None;
        };
        let fits = is_name(project, b".:_-", 128)
            && [location, ring, name]
                .iter()
                .all(|part| is_name(part, b"_-", 63));
        fits.then(|| Self {
            key: key.join("/"),
            version,
        })
    }

    /// Returns the resource name up to the key, `projects/.../cryptoKeys/K`.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Returns the version, if the reference names one.
    pub const fn version(&self) -> Option<u32> {
        self.version
    }
}

impl fmt::Display for GcpKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gcpkms://{}", self.key)?;
        match self.version {
            Some(version) => write!(f, "/versions/{version}"),
            None => Ok(()),
        }
    }
}

/// A key of Azure Key Vault.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AzureKey {
    vault: String,
    name: String,
    version: Option<String>,
}

impl AzureKey {
    const FORM: &'static str = "azurekms://VAULT.vault.azure.net/KEY[/VERSION]";

    fn parse(rest: &str) -> Option<Self> {
        let mut parts = rest.split('/');
        let (vault, name, version) = (parts.next()?, parts.next()?, parts.next());
        let fits = parts.next().is_none()
            && is_host(vault)
            && is_name(name, b"-", 127)
            && version.is_none_or(|version| is_name(version, b"", 64));
        fits.then(|| Self {
            vault: vault.to_ascii_lowercase(),
            name: name.to_owned(),
            version: version.map(str::to_owned),
        })
    }

    /// Returns the vault: a host name, or a bare name in the public cloud.
    pub fn vault(&self) -> &str {
        &self.vault
    }

    /// Returns the name of the key.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the version, if the reference names one.
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }
}

impl fmt::Display for AzureKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "azurekms://{}/{}", self.vault, self.name)?;
        match &self.version {
            Some(version) => write!(f, "/{version}"),
            None => Ok(()),
        }
    }
}

/// A key of the transit engine of `HashiCorp` Vault or `OpenBao`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct VaultKey(String);

impl VaultKey {
    const FORM: &'static str = "hashivault://KEY";

    fn parse(rest: &str) -> Option<Self> {
        let fits = is_name(rest, b"_-.", 128) && !rest.starts_with(['-', '.']);
        fits.then(|| Self(rest.to_owned()))
    }

    /// Returns the name of the key.
    pub fn name(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for VaultKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hashivault://{}", self.0)
    }
}

/// A Secret of Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SecretName {
    namespace: String,
    name: String,
}

impl SecretName {
    const FORM: &'static str = "k8s://NAMESPACE/SECRET";

    fn parse(rest: &str) -> Option<Self> {
        let (namespace, name) = rest.split_once('/')?;
        let lower = |text: &str| !text.bytes().any(|byte| byte.is_ascii_uppercase());
        let edges = |text: &str| !text.starts_with(['-', '.']) && !text.ends_with(['-', '.']);
        let fits = is_name(namespace, b"-", 63)
            && is_name(name, b"-.", 253)
            && [namespace, name]
                .iter()
                .all(|text| lower(text) && edges(text))
            && !name.contains("..");
        fits.then(|| Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        })
    }

    /// Returns the namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "k8s://{}/{}", self.namespace, self.name)
    }
}

/// Panics if what is written is not read as the same key.
#[doc(hidden)]
pub fn fuzz_reference(data: &[u8]) {
    let Some(reference) = std::str::from_utf8(data)
        .ok()
        .and_then(|text| text.parse::<KeyReference>().ok())
    else {
        return;
    };
    // A PIN is not written.
    let hides = matches!(&reference, KeyReference::Pkcs11(uri) if uri.pin.is_some());
    let again: Result<KeyReference, _> = reference.to_string().parse();
    assert!(
        hides || again == Ok(reference),
        "a reference does not survive"
    );
}

/// Why a text is not a key reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReferenceError {
    /// `env://`: a key in the environment is there for every program that is started.
    #[error(
        "Custos takes no private key from the environment; put it into a file or a key service"
    )]
    EnvironmentRefused,
    /// `gitlab://` and `github://`: these only put a key into the environment of a job.
    #[error(
        "`{scheme}://` only stores a key for the environment of a job; Custos takes none from there"
    )]
    GitHostRefused {
        /// `gitlab` or `github`.
        scheme: String,
    },
    /// Empty, or longer than 4 KiB, or with a NUL.
    #[error("a key reference has between 1 and {MAX_REFERENCE} bytes and no NUL, this one {found}")]
    Length {
        /// Bytes found.
        found: usize,
    },
    /// The scheme is known, the rest does not fit.
    #[error("the form is {expected}")]
    Malformed {
        /// The form.
        expected: &'static str,
    },
    /// Not a PKCS#11 URI.
    #[error("not a PKCS#11 URI: {0}")]
    Pkcs11(Pkcs11Error),
    /// Nobody knows this scheme.
    #[error(
        "`{scheme}://` is not a kind of key; there are files, k8s://, pkcs11:, awskms://, gcpkms://, azurekms:// and hashivault://"
    )]
    UnknownScheme {
        /// The scheme, shortened to 32 characters.
        scheme: String,
    },
}

#[cfg(test)]
mod tests;
