//! What a signer needs from the process that it runs in, handed over by the command line.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use custos_core::clock::Clock;
use custos_net::{Client, Guard, NetError, Proxy, Roots, Settings, Url};
use zeroize::Zeroizing;

/// Largest settings or credentials file, in bytes.
pub(super) const MAX_FILE: u64 = 1 << 20;

/// Every environment variable that signers look up, in order; `HTTPS_PROXY`, `ALL_PROXY` and
/// `NO_PROXY` also in lower case. Those that hold a secret hold a credential for a service
/// ([`super::reference::KeyReference::credentials`]), never a key or its password.
pub const VARIABLES: [&str; 51] = [
    "ALL_PROXY",
    "AWS_ACCESS_KEY_ID",
    "AWS_CONFIG_FILE",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_DEFAULT_PROFILE",
    "AWS_DEFAULT_REGION",
    "AWS_EC2_METADATA_DISABLED",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_KMS",
    "AWS_ENDPOINT_URL_S3",
    "AWS_ENDPOINT_URL_STS",
    "AWS_PROFILE",
    "AWS_REGION",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_USE_FIPS_ENDPOINT",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AZURE_AUTHORITY_HOST",
    "AZURE_CLIENT_ID",
    "AZURE_CLIENT_SECRET",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_STORAGE_ACCOUNT",
    "AZURE_STORAGE_CONNECTION_STRING",
    "AZURE_STORAGE_KEY",
    "AZURE_STORAGE_SAS_TOKEN",
    "AZURE_STORAGE_SERVICE_ENDPOINT",
    "AZURE_TENANT_ID",
    "CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS",
    "COSIGN_PKCS11_MODULE_PATH",
    "GCE_METADATA_HOST",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "HOME",
    "HTTPS_PROXY",
    "KUBECONFIG",
    "KUBERNETES_SERVICE_HOST",
    "KUBERNETES_SERVICE_PORT",
    "NO_PROXY",
    "PKCS11_MODULE_PATH",
    "TRANSIT_SECRET_ENGINE_PATH",
    "USERPROFILE",
    "VAULT_ADDR",
    "VAULT_CACERT",
    "VAULT_NAMESPACE",
    "VAULT_TOKEN",
];

type Vars = dyn Fn(&str) -> Option<String> + Send + Sync;

/// Environment variables, the clock, and how hard a service is asked.
#[derive(Clone)]
pub struct Surroundings {
    vars: Arc<Vars>,
    clock: Arc<dyn Clock>,
    pause: Duration,
}

impl Surroundings {
    /// Returns surroundings with these variables and this clock. A service that is busy is asked
    /// three times, with a pause of 200 ms and then 800 ms, or what it asks for up to 5 s.
    pub fn new(
        vars: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            vars: Arc::new(vars),
            clock,
            pause: Duration::from_millis(200),
        }
    }

    /// Returns the surroundings with another first pause before a service is asked again.
    #[must_use]
    pub fn with_pause(self, pause: Duration) -> Self {
        Self { pause, ..self }
    }

    pub(super) const fn pause(&self) -> Duration {
        self.pause
    }

    /// Returns the clock.
    pub fn clock(&self) -> &dyn Clock {
        self.clock.as_ref()
    }

    pub(crate) fn shared_clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    /// Looks a variable up; an empty one is none.
    pub fn var(&self, name: &str) -> Option<String> {
        (self.vars)(name).filter(|value| !value.is_empty())
    }

    pub(super) fn path_var(&self, name: &str) -> Option<PathBuf> {
        self.var(name).map(PathBuf::from)
    }

    /// Returns a path below the home of the user.
    pub(super) fn at_home(&self, below: &str) -> Option<PathBuf> {
        self.path_var("HOME")
            .or_else(|| self.path_var("USERPROFILE"))
            .map(|home| home.join(below))
    }

    /// Returns a client that calls the service at `server`, and no other that is not public.
    pub(crate) fn client(&self, server: &Url, roots: Roots) -> Result<Client, NetError> {
        Client::new(self.settings(server, roots)?)
    }

    /// Returns settings for calls of the service at `server`, and of no other that is not public.
    pub fn settings(&self, server: &Url, roots: Roots) -> Result<Settings, NetError> {
        // `HTTPS_PROXY` is for https alone: a metadata service would hand its token to the proxy.
        let proxy = if server.origin().is_tls() && !is_nearby(server) {
            Proxy::from_vars(&|name| self.var(name))?
        } else {
            None
        };
        Ok(Settings::new(Guard::public().naming(server))
            .with_roots(roots)
            .with_proxy(proxy)
            .with_max_answer(MAX_FILE.saturating_mul(2)))
    }

    /// Parses a URL that a variable holds, of a service that is shown a token or password as it
    /// is: over TLS, or on this machine.
    pub(super) fn private_url_var(
        &self,
        name: &'static str,
    ) -> Result<Option<Url>, SurroundingsError> {
        match self.url_var(name)? {
            Some(url) if !url.origin().is_tls() && !is_nearby(&url) => {
                Err(SurroundingsError::Clear {
                    name: name.to_owned(),
                })
            }
            url => Ok(url),
        }
    }

    /// Parses a URL that a variable holds.
    pub fn url_var(&self, name: &'static str) -> Result<Option<Url>, SurroundingsError> {
        let Some(text) = self.var(name) else {
            return Ok(None);
        };
        let url = text.parse().map_err(|_| SurroundingsError::NotAUrl {
            name: name.to_owned(),
        })?;
        Ok(Some(url))
    }
}

fn is_nearby(server: &Url) -> bool {
    let origin = server.origin();
    origin.host() == "localhost" || origin.address().is_some_and(|ip| ip.is_loopback())
}

impl fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surroundings").finish_non_exhaustive()
    }
}

/// Reads a small file; its bytes are erased when dropped.
pub(super) fn read_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, SurroundingsError> {
    let io = |error: std::io::Error| SurroundingsError::Io {
        path: path.to_owned(),
        kind: error.kind(),
        message: error.to_string(),
    };
    let file = File::open(path).map_err(io)?;
    let length = file.metadata().map_err(io)?.len();
    let capacity = usize::try_from(length.min(MAX_FILE)).unwrap_or_default();
    // One byte more than the file has, so that reading to its end never moves the bytes.
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity.saturating_add(1)));
    file.take(MAX_FILE.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(io)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_FILE) {
        return Err(SurroundingsError::TooLarge {
            path: path.to_owned(),
        });
    }
    Ok(bytes)
}

/// Reads a small text, without the white space around it.
pub(crate) fn read_text(path: &Path) -> Result<Zeroizing<String>, SurroundingsError> {
    let bytes = read_file(path)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| SurroundingsError::NotText {
        path: path.to_owned(),
    })?;
    Ok(Zeroizing::new(text.trim().to_owned()))
}

/// What is wrong with the settings of the process.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SurroundingsError {
    /// A secret would travel in the clear.
    #[error("the variable {name} holds an http URL: a secret would travel in the clear; use https")]
    Clear {
        /// The variable.
        name: String,
    },
    /// The system refused to read a file.
    #[error("cannot read {}: {message}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Kind of error.
        kind: std::io::ErrorKind,
        /// What the system says.
        message: String,
    },
    /// A setting is missing.
    #[error("{what} is not set: {help}")]
    Missing {
        /// What is missing.
        what: &'static str,
        /// Where it can be set.
        help: &'static str,
    },
    /// A profile of AWS that nobody has written.
    #[error(
        "there is no AWS profile `{profile}`: neither ~/.aws/credentials nor ~/.aws/config has it; check AWS_PROFILE"
    )]
    NoProfile {
        /// The profile.
        profile: String,
    },
    /// A file is not of the expected form; it may hold secrets, so nothing of it is repeated.
    #[error("{} is not {expected}", path.display())]
    NotAFileOf {
        /// The file.
        path: PathBuf,
        /// What it should be.
        expected: &'static str,
    },
    /// A variable holds no URL.
    #[error("the variable {name} holds no http or https URL")]
    NotAUrl {
        /// The variable.
        name: String,
    },
    /// Not UTF-8.
    #[error("{} is not a text", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
    },
    /// More than 1 MiB.
    #[error("{} is larger than {MAX_FILE} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// Something that this version does not do.
    #[error("{what} is not supported: {help}")]
    Unsupported {
        /// What.
        what: String,
        /// What to do instead.
        help: &'static str,
    },
}

#[cfg(test)]
mod tests {
    use super::super::replay::around;
    use super::*;

    #[test]
    fn the_proxy_is_for_https_far_away() {
        let surroundings = around(&[("HTTPS_PROXY", "http://proxy.example:3128")]);
        for (server, through) in [
            ("https://kms.eu-west-1.amazonaws.com/", true),
            ("http://169.254.169.254/", false),
            ("http://vault.example:8200", false),
            ("https://localhost:8200", false),
            ("https://127.0.0.1:6443", false),
            ("https://[::1]:6443", false),
        ] {
            let settings = surroundings.settings(&server.parse().unwrap(), Roots::System);
            assert_eq!(settings.unwrap().proxy.is_some(), through, "{server}");
        }
    }

    #[test]
    fn secrets_travel_over_tls_or_stay_here() {
        let read = |url| around(&[("VAULT_ADDR", url)]).private_url_var("VAULT_ADDR");
        for url in [
            "https://login.example",
            "http://127.0.0.1:8080",
            "http://localhost",
        ] {
            assert!(read(url).unwrap().is_some(), "{url}");
        }
        for url in [
            "http://login.example",
            "http://10.0.0.1",
            "http://localhost.example",
        ] {
            assert!(
                matches!(read(url), Err(SurroundingsError::Clear { .. })),
                "{url}"
            );
        }
    }

    #[test]
    fn files_have_a_limit() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let limit = usize::try_from(MAX_FILE).unwrap();
        std::fs::write(file.path(), vec![b'a'; limit]).unwrap();
        assert_eq!(read_file(file.path()).unwrap().len(), limit);
        std::fs::write(file.path(), vec![b'a'; limit + 1]).unwrap();
        assert!(matches!(
            read_file(file.path()),
            Err(SurroundingsError::TooLarge { .. })
        ));
        std::fs::write(file.path(), [0xff]).unwrap();
        assert!(matches!(
            read_text(file.path()),
            Err(SurroundingsError::NotText { .. })
        ));
    }
}
