//! Who signs, where it is no key.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Signing with services, in the name of whom an ID token names.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Keyless signing")]
pub struct KeylessArgs {
    /// Sign as whom the ID token in this file names, instead of with a key.
    #[arg(long, value_name = "FILE", conflicts_with = "key")]
    pub identity_token: Option<PathBuf>,
    /// Sign as whom the CI job's ID token names, or as who logs in: with a code in any browser, or
    /// with the browser of this machine.
    #[arg(
        long,
        value_enum,
        value_name = "ci|device|browser",
        hide_possible_values = true,
        conflicts_with_all = ["key", "identity_token"]
    )]
    pub oidc: Option<OidcArg>,
    /// Sigstore signing configuration: which services sign, stamp and log [default: `[sigstore]
    /// signing_config` of the settings, else the home's, for keyless signing].
    #[arg(long, value_name = "FILE")]
    pub signing_config: Option<PathBuf>,
    /// The trusted_root.json that their answers must verify with [default: `[trust] sigstore_root`
    /// of the settings; the home's, with the home's services].
    #[arg(long, value_name = "FILE")]
    pub trusted_root: Option<PathBuf>,
}

/// Where an ID token comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OidcArg {
    /// The surroundings: GitHub Actions, GitLab, Buildkite, Google Cloud.
    Ci,
    /// A person, in a browser anywhere.
    Device,
    /// A person, in the browser of this machine.
    Browser,
}
