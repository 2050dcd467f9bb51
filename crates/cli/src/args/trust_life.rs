//! `custos trust add-root`, `update`, `status` and `publish`.

use std::path::PathBuf;

use clap::Args;

use super::KeyArgs;

/// `custos trust add-root`.
#[derive(Debug, Args)]
pub struct TrustAddRootArgs {
    /// The root metadata, such as root.json of a repository, got from somebody you trust.
    pub root: PathBuf,
    /// Where updates come from: an https URL, or a folder.
    #[arg(long, value_name = "URL|DIR")]
    pub from: String,
    /// SHA-256 that the file must have, as its owners tell it.
    #[arg(long, value_name = "HEX")]
    pub sha256: Option<String>,
}

/// `custos trust update`.
#[derive(Debug, Args)]
pub struct TrustUpdateArgs {
    /// Take it from another place this once: an https URL, or a folder that was carried here.
    #[arg(long, value_name = "URL|DIR")]
    pub from: Option<String>,
    /// Forget how new the metadata was that this home has seen. Only where that is damaged: older
    /// metadata is then taken too, as long as it has not expired.
    #[arg(long)]
    pub reset: bool,
}

/// `custos trust publish`.
#[derive(Debug, Args)]
pub struct TrustPublishArgs {
    /// Folder of the repository; any web server can serve it.
    pub dir: PathBuf,
    /// A public key of the root role. Repeated, all of them; only to make or change the root.
    #[arg(long = "root-key", value_name = "KEY", requires = "threshold")]
    pub root_keys: Vec<String>,
    /// How many of them must agree to each change.
    #[arg(long, value_name = "N", requires = "root_keys")]
    pub threshold: Option<usize>,
    /// Also deliver this file; may be repeated [default: what lies in the home's trust folder].
    #[arg(long = "target", value_name = "FILE")]
    pub targets: Vec<PathBuf>,
    /// For how many days root and targets count.
    #[arg(long, value_name = "DAYS", default_value_t = 365)]
    pub expires_days: u32,
    /// For how many days snapshot and timestamp count: publish again before that.
    #[arg(long, value_name = "DAYS", default_value_t = 7)]
    pub timestamp_days: u32,
    /// The online key, which signs snapshot and timestamp.
    #[command(flatten)]
    pub key: KeyArgs,
}
