//! Why a registry did not help, as data.

use custos_core::digest::Digest;
use custos_net::{Class, NetError, Refusal};

use super::credentials::CredentialError;
use super::manifest::ManifestError;

/// Why something was not found, fetched or attached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OciError {
    /// Credentials could not be had.
    #[error("{0}")]
    Credentials(CredentialError),
    /// The registry, or its token service, does not let us do this.
    #[error("{registry} does not allow {what} (status {status}{})", if *.asked { "" } else { ", no credentials were found" })]
    Denied {
        /// The registry.
        registry: String,
        /// What was wanted.
        what: String,
        /// The HTTP status.
        status: u16,
        /// Whether credentials were shown.
        asked: bool,
    },
    /// What came is not what was asked for.
    #[error("asked for {expected}, and the registry sent {found}")]
    Digest {
        /// The digest asked for.
        expected: Digest,
        /// The digest of what came.
        found: Digest,
    },
    /// The registry answered 401 in a way that says not how to go on.
    #[error("{registry} asks for credentials in a form that is not understood: {why}")]
    Challenge {
        /// The registry.
        registry: String,
        /// What is wrong.
        why: &'static str,
    },
    /// Somebody else writes the same tag at the same time, again and again.
    #[error("the list `{tag}` does not keep what is added to it")]
    FallbackLost {
        /// The tag of the list.
        tag: String,
    },
    /// Not a manifest.
    #[error("{what} is not accepted: {fault}")]
    Manifest {
        /// Of what.
        what: String,
        /// What is wrong.
        fault: ManifestError,
    },
    /// The call failed.
    #[error("{0}")]
    Net(NetError),
    /// It is not there.
    #[error("there is no {what} in {repository}")]
    NotFound {
        /// What was wanted.
        what: String,
        /// Where.
        repository: String,
    },
    /// A 404 that does not look as if it came from a registry.
    #[error(
        "{what}: the answer is 404, but not in the form in which registries say that there is none"
    )]
    NotFoundUnclear {
        /// What was wanted.
        what: String,
    },
    /// Pages of a list that lead elsewhere, in circles, or on and on.
    #[error("the list of referrers cannot be read to its end: {why}")]
    Pages {
        /// What is wrong.
        why: &'static str,
    },
    /// Not as long as the descriptor says.
    #[error("{digest} should have {expected} bytes, and has {found}")]
    Size {
        /// Of what.
        digest: Digest,
        /// The size that was promised.
        expected: u64,
        /// The size that was found; for more than the promise, the promise and one.
        found: u64,
    },
    /// The token service answered with something that is no token.
    #[error("the token service of {registry} answers with something that is no token")]
    Token {
        /// The registry.
        registry: String,
    },
    /// More than is read.
    #[error("{what}: more than {limit} are not read")]
    TooMany {
        /// What.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// A blob larger than is read.
    #[error("{digest} has {found} bytes, the limit is {limit}")]
    TooLarge {
        /// Of what.
        digest: Digest,
        /// Its size.
        found: u64,
        /// The limit.
        limit: u64,
    },
    /// The tag of signatures would be longer than a tag may be.
    #[error("a signature of {digest} has no tag: it would be too long")]
    TagTooLong {
        /// What would be signed.
        digest: Digest,
    },
    /// The registry wants an upload sent to somebody else.
    #[error("the registry wants an upload sent to another server")]
    UploadElsewhere,
}

impl OciError {
    /// Returns what the error means to somebody who wanted to know something.
    pub const fn class(&self) -> Class {
        match self {
            Self::Net(error) => error.class(),
            Self::Credentials(_) => Class::NotSent,
            Self::Denied { .. } | Self::NotFound { .. } => Class::Rejected,
            Self::FallbackLost { .. } => Class::Undecided,
            _ => Class::Untrusted,
        }
    }

    /// Returns true if the connection was not allowed by our own guard, which settings can change.
    pub const fn is_guarded(&self) -> bool {
        matches!(
            self,
            Self::Net(
                NetError::Refused { .. }
                    | NetError::Redirected {
                        why: Refusal::Zone(_) | Refusal::PlainHttp,
                        ..
                    }
            )
        )
    }
}

impl From<NetError> for OciError {
    fn from(error: NetError) -> Self {
        Self::Net(error)
    }
}
