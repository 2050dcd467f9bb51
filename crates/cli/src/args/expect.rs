//! Whom a verification expects, and whom it trusts.

use std::path::PathBuf;

use clap::Args;

/// Whom a verification expects.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Expected signer [default: every [[signer]] of the settings]")]
pub struct ExpectArgs {
    /// A public key: a file, a name in the home's keys folder, or a reference such as
    /// k8s://NAMESPACE/SECRET. May be repeated.
    #[arg(long, value_name = "KEY")]
    pub key: Vec<String>,
    /// Exact subject of the signer's certificate.
    #[arg(long, value_name = "SUBJECT", group = "subject")]
    pub certificate_identity: Option<String>,
    /// Subject of the signer's certificate, as a regular expression that describes all of it.
    #[arg(long, value_name = "REGEXP", group = "subject")]
    pub certificate_identity_regexp: Option<String>,
    /// Exact OIDC issuer of a keyless certificate.
    #[arg(long, value_name = "URL", group = "issuer", requires = "subject")]
    pub certificate_oidc_issuer: Option<String>,
    /// OIDC issuer of a keyless certificate, as a regular expression that describes all of it.
    #[arg(long, value_name = "REGEXP", group = "issuer", requires = "subject")]
    pub certificate_oidc_issuer_regexp: Option<String>,
    /// Certificates of the authority to trust, PEM.
    #[arg(long, value_name = "FILE", requires = "subject")]
    pub certificate_chain: Option<PathBuf>,
    /// A Sigstore trusted_root.json to trust.
    #[arg(long, value_name = "FILE")]
    pub trusted_root: Option<PathBuf>,
    /// A log to trust, as `custos log key` prints it; or a file with it. May be repeated.
    #[arg(long, value_name = "VKEY")]
    pub log_key: Vec<String>,
    /// Accept a signature that is in no log, if a timestamp authority of the trusted root saw it:
    /// what private repositories of GitHub have.
    #[arg(long, conflicts_with = "allow_unlogged")]
    pub allow_timestamp_only: bool,
    /// Accept a signature that is in no log and that nobody gave a time.
    #[arg(long)]
    pub allow_unlogged: bool,
    /// Use no network. Verification of local files never does: this refuses what would, a key in
    /// a service or an artifact in a registry.
    #[arg(long)]
    pub offline: bool,
}
