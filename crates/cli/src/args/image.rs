//! Arguments for what lies in a registry.

use clap::Args;

/// How an image is signed.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Images")]
pub struct ImageArgs {
    /// Sign every manifest of an index as well, for verifiers that ask about one platform.
    #[arg(long)]
    pub recursive: bool,

    /// Sign in the older form as well, for cosign before version 3 and what is built on it: under
    /// the tag `sha256-HEX.sig`, with a P-256 or RSA key.
    #[arg(long)]
    pub signature_tag: bool,
}
