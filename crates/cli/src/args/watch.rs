//! `custos log watch`.

use std::path::PathBuf;

use clap::Args;

/// `custos log watch`.
#[derive(Debug, Args)]
pub struct LogWatchArgs {
    /// Follow a log elsewhere: the URL of its tiles [default: the home's own log].
    #[arg(long, value_name = "URL", requires = "log_key")]
    pub url: Option<String>,
    /// The key of that log, as `custos log key` prints it; or a file with it.
    #[arg(long, value_name = "VKEY", requires = "url")]
    pub log_key: Option<String>,
    /// Certificates of authorities to believe the server by, PEM, besides the system's.
    #[arg(long, value_name = "FILE", requires = "url")]
    pub tls_roots: Option<PathBuf>,
    /// A key of ours, as `custos verify --key` takes it. May be repeated [default: the keys of
    /// the home, and keys and identities of every [[signer]]].
    #[arg(long, value_name = "KEY")]
    pub key: Vec<String>,
    /// An identity of ours: the exact subject of certificates. May be repeated.
    #[arg(long, value_name = "SUBJECT")]
    pub certificate_identity: Vec<String>,
    /// Identities of ours: what describes the whole subject of their certificates. May be repeated.
    #[arg(long, value_name = "PATTERN")]
    pub certificate_identity_regexp: Vec<String>,
    /// Look from this index on again [default: behind what was looked at last].
    #[arg(long, value_name = "INDEX")]
    pub since: Option<u64>,
    /// Look once, and end; the exit status says what was found.
    #[arg(long)]
    pub once: bool,
    /// Seconds between two looks.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub interval: u64,
}
