//! Why a bucket did not help, as data.

use custos_net::NetError;
use custos_trust::signers::{ServiceError, SurroundingsError};

/// Why objects were not listed or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ObjectError {
    /// The account could not be had.
    #[error("{0}")]
    Account(#[from] ServiceError),
    /// The answer is not what is documented; nothing of it is used.
    #[error("the service answers in a way that cannot be used: {what}")]
    Answer {
        /// What is wrong.
        what: &'static str,
    },
    /// The object is not the one of the list any more, or is gone.
    #[error("{key} was changed or removed since it was listed")]
    Changed {
        /// Its key.
        key: String,
    },
    /// The call failed.
    #[error("{0}")]
    Net(#[from] NetError),
    /// Not a place in a bucket.
    #[error("`{text}` is no place of the form s3://bucket/prefix or az://container/prefix")]
    NotAPlace {
        /// What was written.
        text: String,
    },
    /// The service answered and says no.
    #[error("{what} is refused (status {status}{})", if .code.is_empty() { String::new() } else { format!(", {code}") })]
    Refused {
        /// What was wanted.
        what: String,
        /// The HTTP status.
        status: u16,
        /// The code that the service gives.
        code: String,
    },
    /// Variables or files that the service needs.
    #[error("{0}")]
    Surroundings(#[from] SurroundingsError),
    /// More objects than are listed.
    #[error("there are more than {limit} objects below the prefix")]
    TooMany {
        /// The limit.
        limit: usize,
    },
}
