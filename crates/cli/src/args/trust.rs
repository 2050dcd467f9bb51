//! `custos trust`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{NewPasswordArgs, TrustAddRootArgs, TrustPublishArgs, TrustUpdateArgs};

/// `custos trust`.
#[derive(Debug, Args)]
pub struct TrustArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: TrustCommand,
}

/// Subcommands of `custos trust`.
#[derive(Debug, Subcommand)]
pub enum TrustCommand {
    /// Make an authority of your own: root, certificates, timestamps, log.
    Init(TrustInitArgs),
    /// Trust a root, and say where its updates come from.
    AddRoot(TrustAddRootArgs),
    /// Follow the trusted root: new keys, revocations, authorities.
    Update(TrustUpdateArgs),
    /// Say how old the followed root is, and who may change it.
    Status,
    /// Publish the home's trust for a team, each change signed by M of N keys.
    Publish(TrustPublishArgs),
    /// Print what the home's trusted root trusts, and until when.
    Show,
    /// Make a new TLS certificate for `custos serve --tls`, below the home's root.
    Tls(TrustTlsArgs),
}

/// `custos trust init`.
#[derive(Debug, Args)]
pub struct TrustInitArgs {
    /// Name of the log, a host name; only if the home has no log yet.
    #[arg(long, value_name = "HOST")]
    pub host: Option<String>,
    /// Where clients reach `custos serve`.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8475")]
    pub url: String,
    /// Name in the certificates.
    #[arg(long, value_name = "NAME", default_value = "Custos")]
    pub organization: String,
    /// Where people get ID tokens from; written into signing_config.json.
    #[arg(long, value_name = "URL")]
    pub oidc_issuer: Option<String>,
    /// How the root's key is protected.
    #[command(flatten)]
    pub password: NewPasswordArgs,
}

/// `custos trust tls`.
#[derive(Debug, Args)]
pub struct TrustTlsArgs {
    /// A host name or address of the server; may be repeated [default: those of the URL].
    #[arg(long = "name", value_name = "HOST")]
    pub names: Vec<String>,
    /// Where root.pem and root.key lie [default: trust/keys of the home].
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Read the password of the root's key from a file [default: ask].
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
}

pub(super) const TRUST_EXAMPLES: &str = "Examples:
  custos trust init                                    for this machine
  custos trust init --host log.example.com --url https://log.example.com:8475
  custos trust show                                    what is trusted, and until when
  custos trust publish repo --key online --root-key a --root-key b --threshold 2
  custos trust add-root root.json --from https://trust.example.com
  custos trust update                                  follow it: keys, revocations
  custos trust status                                  how old it is, and who may change it
  custos trust tls --name log.example.com              a new certificate for `serve --tls`
  cosign verify-blob --trusted-root .custos/trust/trusted_root.json \\
    --certificate-identity jane@example.com --certificate-oidc-issuer https://ISSUER \\
    --bundle model.bin.sigstore.json model.bin";
