//! What a client is told once: limits, trust, destinations.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use crate::error::{NetError, shown};
use crate::guard::Guard;
use crate::url::{Origin, Url};

/// Most certificates in a file of roots; a distribution has about 150.
const MAX_ROOTS: usize = 1_000;

/// Everything a client is told once.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Settings {
    /// Where connections may go.
    pub guard: Guard,
    /// Who is believed to be who it says.
    pub roots: Roots,
    /// What the client shows when a server asks who it is.
    pub identity: Option<Identity>,
    /// The proxy that connections go through.
    pub proxy: Option<Proxy>,
    /// Redirects that are followed.
    pub redirects: Redirects,
    /// Time for name look-up, connection and TLS.
    pub connect_time: Duration,
    /// Time for the whole call with its redirects, to the last byte of the answer.
    pub total_time: Duration,
    /// Largest answer, in bytes.
    pub max_answer: u64,
    /// What the client calls itself.
    pub user_agent: String,
}

/// Largest head of an answer (status and headers), in bytes.
pub(crate) const MAX_HEAD: usize = 64 * 1024;

impl Settings {
    /// Returns settings for calls of small size to services nearby: 5 s to connect, 30 s in all,
    /// 4 MiB, no redirects to other servers, the roots of the system.
    pub fn new(guard: Guard) -> Self {
        Self {
            guard,
            roots: Roots::System,
            identity: None,
            proxy: None,
            redirects: Redirects::SameServer,
            connect_time: Duration::from_secs(5),
            total_time: Duration::from_secs(30),
            max_answer: 4 << 20,
            user_agent: concat!("custos/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }

    /// Returns the settings with these roots.
    pub fn with_roots(self, roots: Roots) -> Self {
        Self { roots, ..self }
    }

    /// Returns the settings with this identity of the client.
    pub fn with_identity(self, identity: Identity) -> Self {
        Self {
            identity: Some(identity),
            ..self
        }
    }

    /// Returns the settings with a proxy, if there is one.
    pub fn with_proxy(self, proxy: Option<Proxy>) -> Self {
        Self { proxy, ..self }
    }

    /// Returns the settings with these redirects.
    pub fn with_redirects(self, redirects: Redirects) -> Self {
        Self { redirects, ..self }
    }

    /// Returns the settings with these times, to connect and in all.
    pub fn with_times(self, connect_time: Duration, total_time: Duration) -> Self {
        Self {
            connect_time,
            total_time,
            ..self
        }
    }

    /// Returns the settings with this largest answer, in bytes.
    pub fn with_max_answer(self, max_answer: u64) -> Self {
        Self { max_answer, ..self }
    }
}

/// Redirects that are followed, for GET and HEAD; all other requests are never sent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Redirects {
    /// To any server that the guard allows; secrets stay behind.
    AnyServer,
    /// None.
    Never,
    /// On the same scheme, host and port.
    SameServer,
}

/// Certificates of authorities.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Roots {
    /// Those of the system and these.
    SystemAnd(Vec<CertificateDer<'static>>),
    /// Those of the system.
    System,
    /// These alone.
    Only(Vec<CertificateDer<'static>>),
}

impl Roots {
    /// Returns the certificates of a PEM text as the only roots; at least one, at most 1,000.
    pub fn only_pem(pem: &[u8]) -> Result<Self, NetError> {
        Ok(Self::Only(certificates("root certificates", pem)?))
    }

    /// Returns the certificates of a PEM text in addition to the system's.
    pub fn system_and_pem(pem: &[u8]) -> Result<Self, NetError> {
        Ok(Self::SystemAnd(certificates("root certificates", pem)?))
    }

    pub(crate) fn load(&self) -> Vec<CertificateDer<'static>> {
        match self {
            Self::Only(roots) => roots.clone(),
            Self::System => system().to_vec(),
            Self::SystemAnd(more) => system().iter().chain(more).cloned().collect(),
        }
    }
}

// Some of the system's files may be unreadable; what is left decides, and nothing at all means
// that no server is believed.
fn system() -> &'static [CertificateDer<'static>] {
    static SYSTEM: OnceLock<Vec<CertificateDer<'static>>> = OnceLock::new();
    SYSTEM.get_or_init(|| rustls_native_certs::load_native_certs().certs)
}

fn certificates(what: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, NetError> {
    let fault = |message: String| NetError::Settings { what, message };
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .take(MAX_ROOTS)
        .collect::<Result<_, _>>()
        .map_err(|error| fault(shown(&error.to_string())))?;
    if found.is_empty() {
        return Err(fault("there is no certificate in it".to_owned()));
    }
    Ok(found)
}

/// The certificate and key that the client shows (mutual TLS).
#[derive(Clone)]
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: Arc<PrivateKeyDer<'static>>,
    // The HTTP library takes PEM.
    key_pem: Arc<Zeroizing<Vec<u8>>>,
}

impl Identity {
    /// Reads a chain, leaf first, and its private key (PKCS#8, PKCS#1 or SEC 1), both in PEM.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, NetError> {
        let chain = certificates("the client certificate", chain)?;
        let key_pem = Arc::new(Zeroizing::new(key.to_vec()));
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| NetError::Settings {
            what: "the client key",
            // What the parser says might repeat parts of the key.
            message: "it is not a private key in PEM".to_owned(),
        })?;
        Ok(Self {
            chain,
            key: Arc::new(key),
            key_pem,
        })
    }

    pub(crate) fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    pub(crate) fn key(&self) -> &PrivateKeyDer<'static> {
        &self.key
    }

    pub(crate) fn key_pem(&self) -> &[u8] {
        &self.key_pem
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Identity({} certificates)", self.chain.len())
    }
}

/// An HTTP proxy, reached with CONNECT, so that it does not see inside of TLS.
///
/// It looks up the names of servers itself: behind a proxy the guard sees addresses only where a
/// URL is written with one.
#[derive(Clone)]
pub struct Proxy {
    pub(crate) inner: ureq::Proxy,
    pub(crate) origin: Origin,
}

impl Proxy {
    /// Reads a proxy as in `HTTPS_PROXY` (`http://[user:password@]host:port`), and the hosts that
    /// are reached without it as in `NO_PROXY`.
    pub fn parse(proxy: &str, no_proxy: &str) -> Result<Self, NetError> {
        let fault = |message: &str| NetError::Settings {
            what: "the proxy",
            message: message.to_owned(),
        };
        let parsed = ureq::Proxy::new(proxy).map_err(|_| fault("it is not a URL"))?;
        if parsed.protocol() != ureq::ProxyProtocol::Http {
            return Err(fault("only http:// proxies are supported"));
        }
        let mut builder = ureq::Proxy::builder(parsed.protocol())
            .host(parsed.host())
            .port(parsed.port());
        if let Some(user) = parsed.username() {
            builder = builder.username(user);
        }
        if let Some(password) = parsed.password() {
            builder = builder.password(password);
        }
        for host in no_proxy.split(',').map(str::trim).filter(|h| !h.is_empty()) {
            builder = builder.no_proxy(host);
        }
        let inner = builder.build().map_err(|_| fault("it is not a URL"))?;
        let url: Url = format!("http://{}:{}", parsed.host(), parsed.port())
            .parse()
            .map_err(NetError::Url)?;
        Ok(Self {
            inner,
            origin: url.origin().clone(),
        })
    }

    /// Returns the proxy that the usual variables name, `HTTPS_PROXY` before `ALL_PROXY`, both
    /// also in lower case; `var` looks one up.
    pub fn from_vars(var: &dyn Fn(&str) -> Option<String>) -> Result<Option<Self>, NetError> {
        let either = |name: &str| {
            var(name)
                .or_else(|| var(&name.to_ascii_lowercase()))
                .filter(|value| !value.is_empty())
        };
        let Some(proxy) = either("HTTPS_PROXY").or_else(|| either("ALL_PROXY")) else {
            return Ok(None);
        };
        let no_proxy = either("NO_PROXY").unwrap_or_default();
        Self::parse(&proxy, &no_proxy).map(Some)
    }
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Proxy({})", self.origin)
    }
}
