//! `custos serve`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

/// `custos serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Address to listen at; port 0 takes a free one [default: that of the URL, if it is this
    /// machine's, else 127.0.0.1:8475].
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
    /// Speak TLS with the certificate that `custos trust init` made.
    #[arg(long, conflicts_with_all = ["tls_cert", "tls_key"])]
    pub tls: bool,
    /// Speak TLS with this certificate: PEM, leaf first.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Its private key, PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Speak plain HTTP at an address that others reach: something in front of it speaks TLS.
    #[arg(long, conflicts_with_all = ["tls", "tls_cert"])]
    pub behind_proxy: bool,
    /// Tokens for /add and /metrics: one a line, each of at least 22 characters.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Ask for such a token also where clients of Sigstore log their signatures.
    #[arg(long)]
    pub require_token: bool,
}

pub(super) const SERVE_EXAMPLES: &str = "Examples:
  custos serve                                         for this machine, at 127.0.0.1:8475
  custos serve --listen 0.0.0.0:8475 --tls             for others, TLS by the home's own root
  custos serve --tls-cert cert.pem --tls-key key.pem   by a certificate of another authority
  custos serve --token-file tokens                     /add and /metrics for who has a token
  curl http://127.0.0.1:8475/healthz                   is it well
  cosign sign-blob --signing-config .custos/trust/signing_config.json \\
    --trusted-root .custos/trust/trusted_root.json --identity-token TOKEN-FILE \\
    --bundle model.bin.sigstore.json model.bin";
