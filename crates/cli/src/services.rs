//! The team's own signing services: what `custos trust init` makes in the home, and `custos serve`
//! serves.

pub mod home_log;
pub mod issuers;
pub mod keyless;
pub mod serving;

use std::net::IpAddr;
use std::path::PathBuf;

use custos_net::Url;
use custos_server::authority::AuthorityError;
use custos_server::trusted_root::{SigningConfig, TrustedRoot};

use crate::files::{read_bytes, shown};
use crate::home::Home;
use crate::keys;
use crate::report::Failure;

/// Largest file that describes trust, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// Where the files of the home's own authority lie.
#[derive(Debug, Clone)]
pub struct TrustPlace {
    dir: PathBuf,
}

impl TrustPlace {
    /// Returns the place in a home.
    pub fn of(home: &Home) -> Self {
        Self { dir: home.trust() }
    }

    /// Returns the file that tells others whom to trust.
    pub fn trusted_root(&self) -> PathBuf {
        self.dir.join("trusted_root.json")
    }

    /// Returns the file that tells clients where to sign.
    pub fn signing_config(&self) -> PathBuf {
        self.dir.join("signing_config.json")
    }

    /// Returns the folder of certificates and keys.
    pub fn authority(&self) -> PathBuf {
        self.dir.join("keys")
    }

    /// Returns the file with certificate and key of the server.
    pub fn tls(&self) -> PathBuf {
        self.authority().join("tls.pem")
    }

    /// Reads the trusted root.
    pub fn read_root(&self) -> Result<TrustedRoot, Failure> {
        let file = self.trusted_root();
        if !file.exists() {
            return Err(
                Failure::undecided("E0810", "there is no trust root here yet")
                    .at(shown(&file))
                    .help("`custos trust init` makes one"),
            );
        }
        let parsed = TrustedRoot::parse(&read_bytes(&file, MAX_FILE)?);
        parsed.map_err(|error| unreadable(&file, &error))
    }

    /// Reads the signing configuration.
    pub fn read_config(&self) -> Result<SigningConfig, Failure> {
        let file = self.signing_config();
        let parsed = SigningConfig::parse(&read_bytes(&file, MAX_FILE)?);
        parsed.map_err(|error| unreadable(&file, &error))
    }
}

fn unreadable(file: &std::path::Path, error: &dyn std::error::Error) -> Failure {
    Failure::usage("E0132", "what should be trusted is not accepted")
        .at(shown(file))
        .because(error.to_string())
}

/// Returns true if `url` leads to this machine, whichever that is.
pub fn is_local(url: &Url) -> bool {
    let origin = url.origin();
    let loopback = |address: IpAddr| address.is_loopback();
    origin.host() == "localhost" || origin.address().is_some_and(loopback)
}

/// Returns an error of the authority as people see it.
pub fn authority_failure(error: &AuthorityError) -> Failure {
    match error {
        AuthorityError::KeyFile(error) => keys::failure(error),
        AuthorityError::AlreadyThere { path } => {
            Failure::usage("E0811", "there is a trust root here already").at(shown(path))
        }
        AuthorityError::Io { path, message, .. } => {
            Failure::io(shown(path), &std::io::Error::other(message.clone()))
        }
        AuthorityError::Organization
        | AuthorityError::ServerName { .. }
        | AuthorityError::Certificate(_) => {
            Failure::usage("E0812", "such a certificate cannot be made").because(error.to_string())
        }
        AuthorityError::Expired { .. } => {
            Failure::usage("E0813", "a certificate of the home's authority has ended")
                .because(error.to_string())
        }
        other => {
            Failure::undecided("E0812", "the authority cannot be used").because(other.to_string())
        }
    }
}
