//! The client.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use rustls::crypto::CryptoProvider;
use ureq::AsSendBody;
use ureq::http::{HeaderName, HeaderValue, Uri};
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};

use crate::error::{NetError, Refusal, shown};
use crate::guard::Guard;
use crate::message::{Head, Incoming, Method, Request, Response};
use crate::settings::{Identity, MAX_HEAD, Redirects, Settings};
use crate::url::Url;

/// Most redirects that are followed.
const MAX_REDIRECTS: usize = 5;
/// Headers that carry secrets whoever set them; they stay behind at a redirect to another server.
const ALWAYS_SECRET: [&str; 3] = ["authorization", "cookie", "proxy-authorization"];

/// Makes HTTP calls within the limits of its [`Settings`]. Connections are kept and used again.
#[derive(Clone)]
pub struct Client {
    agent: ureq::Agent,
    guard: Guard,
    redirects: Redirects,
    total_time: Duration,
    max_answer: u64,
}

impl Client {
    /// Returns a client.
    pub fn new(settings: Settings) -> Result<Self, NetError> {
        let mut guard = settings.guard;
        let mut config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_response_header_size(MAX_HEAD)
            .timeout_resolve(Some(settings.connect_time))
            .timeout_connect(Some(settings.connect_time))
            .timeout_global(Some(settings.total_time))
            .user_agent(settings.user_agent)
            // What is not asked for is not decompressed either: no bombs.
            .accept_encoding("identity")
            .proxy(None)
            .tls_config(tls_config(
                &settings.roots.load(),
                settings.identity.as_ref(),
            )?);
        if let Some(proxy) = settings.proxy {
            guard = guard.naming_origin(proxy.origin);
            config = config.proxy(Some(proxy.inner));
        }
        let resolver = GuardedResolver {
            guard: guard.clone(),
            inner: DefaultResolver::default(),
        };
        Ok(Self {
            agent: ureq::Agent::with_parts(config.build(), DefaultConnector::new(), resolver),
            guard,
            redirects: settings.redirects,
            total_time: settings.total_time,
            max_answer: settings.max_answer,
        })
    }

    /// Sends a request and reads the whole answer, of whatever status.
    pub fn send(&self, request: &Request) -> Result<Response, NetError> {
        self.open(request)?.read_all()
    }

    /// Sends a request and returns once the head of the answer is there.
    pub fn open(&self, request: &Request) -> Result<Incoming, NetError> {
        let start = now();
        let mut url = request.url.clone();
        for hop in 0..=MAX_REDIRECTS {
            // The first call uses the time that the agent was set up with.
            let left = (hop > 0).then(|| self.total_time.saturating_sub(start.elapsed()));
            let answer = self.call(request, &url, left)?;
            let status = answer.head.status;
            if !matches!(status, 301 | 302 | 303 | 307 | 308) {
                return self.limited(request.method, answer);
            }
            url = self.next(request.method, &answer)?;
        }
        Err(NetError::Redirected {
            from: request.url.clone(),
            to: Some(url),
            why: Refusal::TooManyRedirects,
        })
    }

    fn limited(&self, method: Method, answer: Incoming) -> Result<Incoming, NetError> {
        // The answer to HEAD tells a length without a body.
        if method == Method::Head {
            return Ok(answer);
        }
        // A length that is told is checked before a byte is read.
        let told = answer
            .header("content-length")
            .and_then(|length| length.parse::<u64>().ok());
        if told.is_some_and(|length| length > self.max_answer) {
            return Err(NetError::TooLarge {
                url: answer.head.url,
                limit: self.max_answer,
            });
        }
        Ok(answer)
    }

    // Where a redirect leads, if it may be followed.
    fn next(&self, method: Method, answer: &Incoming) -> Result<Url, NetError> {
        let from = &answer.head.url;
        let to = answer
            .header("location")
            .and_then(|location| from.join(location).ok());
        let why = match &to {
            Some(_) if !method.is_safe() => Refusal::Unsafe,
            Some(to) if to.origin() == from.origin() && self.redirects != Redirects::Never => {
                return Ok(to.clone());
            }
            Some(to) if self.redirects == Redirects::AnyServer => {
                match self.guard.check_origin(to.origin()) {
                    Ok(()) => return Ok(to.clone()),
                    Err(why) => why,
                }
            }
            _ => Refusal::OtherServer,
        };
        Err(NetError::Redirected {
            from: from.clone(),
            to,
            why,
        })
    }

    fn call(
        &self,
        request: &Request,
        url: &Url,
        time: Option<Duration>,
    ) -> Result<Incoming, NetError> {
        self.guard
            .check_origin(url.origin())
            .map_err(|why| NetError::Refused {
                url: url.clone(),
                why,
            })?;
        let answer = match &request.body {
            Some(body) => self.run(wire(request, url, body.as_slice())?, time),
            None => self.run(wire(request, url, ())?, time),
        }
        .map_err(|error| NetError::from_ureq(url, error))?;
        let (parts, body) = answer.into_parts();
        let headers = parts.headers.iter().map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.as_str().to_owned(), value)
        });
        Ok(Incoming {
            head: Head {
                url: url.clone(),
                status: parts.status.as_u16(),
                headers: headers.collect(),
            },
            reader: body.into_reader(),
            limit: self.max_answer,
            left: self.max_answer,
        })
    }

    fn run<B: AsSendBody>(
        &self,
        wire: ureq::http::Request<B>,
        time: Option<Duration>,
    ) -> Result<ureq::http::Response<ureq::Body>, ureq::Error> {
        let Some(time) = time else {
            return self.agent.run(wire);
        };
        let wire = self
            .agent
            .configure_request(wire)
            .timeout_global(Some(time.max(Duration::from_millis(1))))
            .build();
        self.agent.run(wire)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("guard", &self.guard)
            .field("redirects", &self.redirects)
            .finish_non_exhaustive()
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "measures the time left for a call, which no test decides by"
)]
fn now() -> Instant {
    Instant::now()
}

fn wire<B>(request: &Request, url: &Url, body: B) -> Result<ureq::http::Request<B>, NetError> {
    let mut wire = ureq::http::Request::new(body);
    *wire.method_mut() = match request.method {
        Method::Delete => ureq::http::Method::DELETE,
        Method::Get => ureq::http::Method::GET,
        Method::Head => ureq::http::Method::HEAD,
        Method::Patch => ureq::http::Method::PATCH,
        Method::Post => ureq::http::Method::POST,
        Method::Put => ureq::http::Method::PUT,
    };
    *wire.uri_mut() = url.uri().clone();
    let same = url.origin() == request.url.origin();
    let plain = request.headers.iter().map(|(name, value)| {
        let secret = ALWAYS_SECRET
            .iter()
            .any(|known| name.eq_ignore_ascii_case(known));
        (name, value.as_str(), secret)
    });
    let secret = request
        .secrets
        .iter()
        .map(|(name, value)| (name, value.expose(), true));
    for (name, value, secret) in plain.chain(secret) {
        if secret && !same {
            continue;
        }
        let fault = || NetError::RequestHeader { name: name.clone() };
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| fault())?;
        let mut value = HeaderValue::from_str(value).map_err(|_| fault())?;
        value.set_sensitive(secret);
        wire.headers_mut().append(key, value);
    }
    Ok(wire)
}

fn tls_config(
    roots: &[rustls_pki_types::CertificateDer<'static>],
    identity: Option<&Identity>,
) -> Result<TlsConfig, NetError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let roots: Vec<_> = roots
        .iter()
        .map(|root| Certificate::from_der(root).to_owned())
        .collect();
    let mut config = TlsConfig::builder()
        .root_certs(RootCerts::Specific(Arc::new(roots)))
        .unversioned_rustls_crypto_provider(Arc::clone(&provider));
    if let Some(identity) = identity {
        check_identity(&provider, identity)?;
        config = config.client_cert(Some(client_cert(identity)?));
    }
    Ok(config.build())
}

// The HTTP library would panic at the first connection.
fn check_identity(provider: &Arc<CryptoProvider>, identity: &Identity) -> Result<(), NetError> {
    ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .and_then(|builder| {
            builder
                .with_root_certificates(rustls::RootCertStore::empty())
                .with_client_auth_cert(identity.chain().to_vec(), identity.key().clone_key())
        })
        .map(|_| ())
        .map_err(|error| NetError::Settings {
            what: "the client certificate with its key",
            message: shown(&error.to_string()),
        })
}

fn client_cert(identity: &Identity) -> Result<ClientCert, NetError> {
    let chain: Vec<_> = identity
        .chain()
        .iter()
        .map(|certificate| Certificate::from_der(certificate).to_owned())
        .collect();
    let key = PrivateKey::from_pem(identity.key_pem()).map_err(|_| NetError::Settings {
        what: "the client key",
        message: "it is not a private key in PEM".to_owned(),
    })?;
    Ok(ClientCert::new_with_certs(&chain, key))
}

/// Looks names up, and lets through only what the guard allows. A name with even one forbidden
/// address is refused: mixing them is how the check is raced.
struct GuardedResolver {
    guard: Guard,
    inner: DefaultResolver,
}

impl Resolver for GuardedResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &ureq::config::Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let url: Url = uri
            .to_string()
            .parse()
            .map_err(|_| ureq::Error::BadUri("not an http URL".to_owned()))?;
        let found = self.inner.resolve(uri, config, timeout)?;
        for address in &found {
            self.guard
                .check_address(url.origin(), address.ip())
                .map_err(|why| ureq::Error::Other(Box::new(why)))?;
        }
        Ok(found)
    }
}

impl fmt::Debug for GuardedResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardedResolver").finish_non_exhaustive()
    }
}
