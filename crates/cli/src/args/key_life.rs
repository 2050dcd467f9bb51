//! `custos keys revoke`, `rotate`, `impact` and `approve`.

use std::path::PathBuf;

use clap::Args;
use custos_core::clock::Timestamp;

use super::{KeyArgs, NewPasswordArgs};

/// Whose signatures.
#[derive(Debug, Clone, Args)]
pub struct WhoArgs {
    /// A name in the home's keys folder, a public key file, or a key id.
    #[arg(required_unless_present = "certificate_identity")]
    pub key: Option<String>,
    /// The exact subject of certificates, instead of a key.
    #[arg(long, value_name = "SUBJECT", conflicts_with = "key")]
    pub certificate_identity: Option<String>,
    /// Only certificates of this exact issuer.
    #[arg(long, value_name = "URL", requires = "certificate_identity")]
    pub certificate_oidc_issuer: Option<String>,
}

/// `custos keys revoke`.
#[derive(Debug, Args)]
pub struct RevokeArgs {
    /// Whose signatures no longer count.
    #[command(flatten)]
    pub who: WhoArgs,
    /// From when on, such as 2026-11-20T14:02:00Z.
    #[arg(long, value_name = "TIME")]
    pub since: Timestamp,
    /// First index of the home's log that may be bad [default: found from what was stored when].
    #[arg(long, value_name = "INDEX")]
    pub since_index: Option<u64>,
    /// Why, for people.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
}

/// `custos keys rotate`.
#[derive(Debug, Args)]
pub struct RotateArgs {
    /// The key that ends: a name in the home's keys folder, a public key file, or a key id.
    pub old: String,
    /// The key that takes over; made if the home has none of that name
    /// [default: OLD with a number behind it].
    #[arg(long, value_name = "NAME")]
    pub new: Option<String>,
    /// First index of the home's log that the new key signs [default: the next].
    #[arg(long, value_name = "INDEX")]
    pub at_index: Option<u64>,
    /// How a new private key is protected.
    #[command(flatten)]
    pub password: NewPasswordArgs,
}

/// `custos keys impact`.
#[derive(Debug, Args)]
pub struct ImpactArgs {
    /// Whose signatures.
    #[command(flatten)]
    pub who: WhoArgs,
    /// From which time or which index of the home's log on [default: since its revocation, else
    /// all].
    #[arg(long, value_name = "TIME|INDEX")]
    pub since: Option<Since>,
    /// The list of a batch that was signed elsewhere: its artifacts are named there alone. May be
    /// repeated.
    #[arg(long, value_name = "FILE")]
    pub list: Vec<PathBuf>,
}

/// A time, or an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// A time.
    Time(Timestamp),
    /// An index.
    Index(u64),
}

impl std::str::FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(index) = text.parse() {
            return Ok(Self::Index(index));
        }
        text.parse()
            .map(Self::Time)
            .map_err(|error: custos_core::clock::TimestampError| {
                format!("{error}, an index like 1042")
            })
    }
}

/// `custos keys approve`.
#[derive(Debug, Args)]
pub struct ApproveArgs {
    /// The proposed file (revocations, a staged root.json or targets.json), or a policy's folder.
    pub proposal: PathBuf,
    /// Say no instead of yes.
    #[arg(long)]
    pub reject: bool,
    /// Why, for people.
    #[arg(long, value_name = "TEXT")]
    pub comment: Option<String>,
    /// Which key; one of the root role's.
    #[command(flatten)]
    pub key: KeyArgs,
}
