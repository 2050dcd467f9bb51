//! The one grammar of every ARTIFACT argument.
//!
//! A text names a local path, a digest, or a place elsewhere by its scheme. Parsing decides only
//! what kind of name it is; reading is the business of the room that knows the place.

use std::fmt;
use std::str::FromStr;

use crate::digest::{Digest, DigestError};

/// Longest reference, in bytes.
const MAX_LEN: usize = 8192;

/// A parsed ARTIFACT argument.
///
/// ```
/// use custos_core::artifact::ArtifactRef;
/// assert_eq!("./model".parse(), Ok(ArtifactRef::Path("./model".into())));
/// assert!(matches!("hf://org/model@main".parse(), Ok(ArtifactRef::Remote { scheme: "hf", .. })));
/// assert!("ftp://host/x".parse::<ArtifactRef>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ArtifactRef {
    /// A digest, `sha256:<hex>`: the artifact itself need not be at hand.
    Digest(Digest),
    /// A local path, plain or as `file://`.
    Path(String),
    /// A place elsewhere.
    Remote {
        /// One of [`REMOTE_SCHEMES`].
        scheme: &'static str,
        /// The whole text.
        uri: String,
    },
}

/// Schemes of places elsewhere: OCI registries, object stores, Git, `MLflow`, Hugging Face.
pub const REMOTE_SCHEMES: [&str; 7] = ["oci", "s3", "az", "gs", "git", "models", "hf"];

impl FromStr for ArtifactRef {
    type Err = ArtifactRefError;

    fn from_str(text: &str) -> Result<Self, ArtifactRefError> {
        if text.is_empty() {
            return Err(ArtifactRefError::Empty);
        }
        if text.len() > MAX_LEN {
            return Err(ArtifactRefError::TooLong);
        }
        if text.contains('\0') {
            return Err(ArtifactRefError::ControlCharacter);
        }
        if let Some(path) = text.strip_prefix("file://") {
            return local(path);
        }
        if text.starts_with("git+") {
            return Ok(Self::Remote {
                scheme: "git",
                uri: text.to_owned(),
            });
        }
        // `MLflow` writes `models:/name/version`, with one slash.
        if text.starts_with("models:/") {
            return Ok(Self::Remote {
                scheme: "models",
                uri: text.to_owned(),
            });
        }
        if let Some((scheme, _)) = text.split_once("://") {
            return REMOTE_SCHEMES
                .into_iter()
                .find(|known| *known == scheme)
                .map(|scheme| Self::Remote {
                    scheme,
                    uri: text.to_owned(),
                })
                .ok_or_else(|| ArtifactRefError::UnknownScheme {
                    scheme: scheme.to_owned(),
                });
        }
        // A path like `sha256:notes` is written `./sha256:notes`.
        if text.starts_with("sha256:") {
            return text
                .parse()
                .map(Self::Digest)
                .map_err(ArtifactRefError::Digest);
        }
        local(text)
    }
}

fn local(path: &str) -> Result<ArtifactRef, ArtifactRefError> {
    if path.is_empty() {
        Err(ArtifactRefError::Empty)
    } else {
        Ok(ArtifactRef::Path(path.into()))
    }
}

impl fmt::Display for ArtifactRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Digest(digest) => digest.fmt(f),
            // A path that reads as something else, such as `sha256:notes`, keeps its scheme.
            Self::Path(path) if path.parse().as_ref() == Ok(self) => f.write_str(path),
            Self::Path(path) => write!(f, "file://{path}"),
            Self::Remote { uri, .. } => f.write_str(uri),
        }
    }
}

/// Why a text names no artifact.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArtifactRefError {
    /// A NUL character.
    #[error("an artifact name holds no NUL character")]
    ControlCharacter,
    /// `sha256:` is there, but no digest behind it.
    #[error("not a digest: {0} (write `./sha256:...` for a file of that name)")]
    Digest(DigestError),
    /// Nothing.
    #[error("an artifact name is a path, a digest or a URI; this one is empty")]
    Empty,
    /// Longer than 8 KiB.
    #[error("an artifact name is at most 8192 bytes long")]
    TooLong,
    /// `x://` with an x that is not known.
    #[error("`{scheme}://` is none of file, oci, s3, az, gs, git+..., models:/, hf")]
    UnknownScheme {
        /// The scheme found.
        scheme: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Algorithm;

    #[test]
    fn every_form() {
        let digest = Algorithm::Sha256.digest(b"");
        assert_eq!(digest.to_string().parse(), Ok(ArtifactRef::Digest(digest)));
        assert_eq!("file:///a/b".parse(), Ok(ArtifactRef::Path("/a/b".into())));
        for (text, scheme) in [
            ("oci://r.example/m:1", "oci"),
            ("s3://b/k", "s3"),
            ("az://c/k", "az"),
            ("gs://b/k", "gs"),
            ("git+https://example.com/r@0123", "git"),
            ("models:/m/3", "models"),
            ("hf://o/m", "hf"),
        ] {
            let expected = ArtifactRef::Remote {
                scheme,
                uri: text.into(),
            };
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_written_reads_as_the_same() {
        let digest = format!("file://sha256:{}", "0".repeat(64));
        for text in [
            digest.as_str(),
            "file://a://b",
            "file://file://x",
            "file://git+x",
            "a/b",
            "./c:d",
        ] {
            let reference: ArtifactRef = text.parse().unwrap();
            assert!(matches!(reference, ArtifactRef::Path(_)), "{text}");
            assert_eq!(reference.to_string().parse(), Ok(reference), "{text}");
        }
    }

    #[test]
    fn a_broken_digest_is_not_silently_a_path() {
        assert!(matches!(
            "sha256:12".parse::<ArtifactRef>(),
            Err(ArtifactRefError::Digest(_))
        ));
        assert_eq!(
            "./sha256:12".parse(),
            Ok(ArtifactRef::Path("./sha256:12".into()))
        );
        assert_eq!("".parse::<ArtifactRef>(), Err(ArtifactRefError::Empty));
        assert_eq!(
            "file://".parse::<ArtifactRef>(),
            Err(ArtifactRefError::Empty)
        );
    }
}
