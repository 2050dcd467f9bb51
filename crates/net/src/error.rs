//! Why a call has no answer, as data.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use crate::guard::Zone;
use crate::url::{Url, UrlError};

/// Most bytes of an error answer that an error repeats.
const MAX_SHOWN: usize = 300;

/// Why a call has no good answer. URLs are shown without their query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NetError {
    /// The answer breaks HTTP.
    #[error("{url}: not an HTTP answer: {message}")]
    Malformed {
        /// Who answered.
        url: Url,
        /// What is wrong.
        message: String,
    },
    /// The server sends the client elsewhere, and it does not go.
    #[error("{from} redirects to {}: not followed, {why}", to.as_ref().map_or_else(
        || "an address that is none".to_owned(), ToString::to_string))]
    Redirected {
        /// Who redirects.
        from: Url,
        /// Where to, if that is a URL.
        to: Option<Url>,
        /// Why it is not followed.
        why: Refusal,
    },
    /// The guard does not let us go there.
    #[error("{url} is not called: {why}")]
    Refused {
        /// The destination.
        url: Url,
        /// Why.
        why: Refusal,
    },
    /// The request has a header that HTTP cannot carry.
    #[error("the header `{name}` of the request cannot be sent")]
    RequestHeader {
        /// Its name.
        name: String,
    },
    /// Certificates or keys given in the settings cannot be used.
    #[error("{what} cannot be used: {message}")]
    Settings {
        /// What of the settings.
        what: &'static str,
        /// What is wrong.
        message: String,
    },
    /// The server answered with a status that is not success.
    #[error("{url} answers {code}{}{body}", if body.is_empty() { "" } else { ": " })]
    Status {
        /// Who answered.
        url: Url,
        /// The HTTP status.
        code: u16,
        /// The start of the body, made printable.
        body: String,
        /// The wait that the server asks for (`Retry-After` in seconds).
        retry_after: Option<Duration>,
    },
    /// The time is up.
    #[error("{url} did not answer in time ({phase})")]
    TimedOut {
        /// Who should have answered.
        url: Url,
        /// What was waited for.
        phase: &'static str,
    },
    /// There is no secure connection, for instance as the certificate is not for this host.
    #[error("{url}: no secure connection: {message}")]
    Tls {
        /// Who answered.
        url: Url,
        /// What is wrong.
        message: String,
    },
    /// The answer, or its headers, exceed the limit.
    #[error("{url} answers with more than {limit} bytes")]
    TooLarge {
        /// Who answered.
        url: Url,
        /// The limit.
        limit: u64,
    },
    /// The answer ended before it was complete.
    #[error("{url}: the answer ends in the middle")]
    Truncated {
        /// Who answered.
        url: Url,
    },
    /// No connection: no such host, nobody listens, or the connection broke.
    #[error("cannot reach {url}: {message}")]
    Unreachable {
        /// Who was called.
        url: Url,
        /// What the system says.
        message: String,
        /// Kind of error.
        kind: io::ErrorKind,
    },
    /// A URL that is none.
    #[error("{0}")]
    Url(UrlError),
}

/// Why the client does not go somewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// A redirect to another scheme, host or port.
    #[error("it is another server")]
    OtherServer,
    /// `http` without TLS, to a server that the configuration did not name.
    #[error("it is plain http, and the configuration does not name this server")]
    PlainHttp,
    /// More redirects than the limit.
    #[error("these are too many redirects")]
    TooManyRedirects,
    /// The request changes something, and so goes only where it was sent.
    #[error("a request that is not GET or HEAD is not sent on")]
    Unsafe,
    /// An address in a network that this client keeps away from.
    #[error("the address is {}, and the configuration does not name this server", match .0 {
        Zone::Metadata => "a metadata service",
        Zone::LinkLocal => "link-local",
        Zone::Loopback => "this machine",
        Zone::Private => "in a private network",
        Zone::Public => "public",
        Zone::Special => "reserved",
    })]
    Zone(Zone),
}

/// What an error means to somebody who wanted to know something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Class {
    /// Nothing was learned: unreachable, too late, overloaded. Trying later may help.
    Undecided,
    /// Somebody answered, but not the right one, or not in the right form. Trying again does not
    /// help.
    Untrusted,
    /// The server understood and says no.
    Rejected,
    /// The call was never made: settings, request or guard.
    NotSent,
}

impl NetError {
    /// Returns what the error means.
    pub const fn class(&self) -> Class {
        match self {
            Self::TimedOut { .. } | Self::Unreachable { .. } | Self::Truncated { .. } => {
                Class::Undecided
            }
            Self::Status { code, .. } => match *code {
                408 | 425 | 429 | 500..=599 => Class::Undecided,
                _ => Class::Rejected,
            },
            Self::Malformed { .. }
            | Self::Redirected { .. }
            | Self::Tls { .. }
            | Self::TooLarge { .. } => Class::Untrusted,
            Self::Refused { .. }
            | Self::RequestHeader { .. }
            | Self::Settings { .. }
            | Self::Url(_) => Class::NotSent,
        }
    }

    pub(crate) fn from_io(url: &Url, error: io::Error) -> Self {
        Self::from_ureq(url, ureq::Error::from(error))
    }

    pub(crate) fn from_ureq(url: &Url, error: ureq::Error) -> Self {
        let url = url.clone();
        match error {
            ureq::Error::Io(error) => Self::of_system(url, &error),
            ureq::Error::Timeout(phase) => Self::TimedOut {
                url,
                phase: phase_name(phase),
            },
            ureq::Error::HostNotFound => Self::Unreachable {
                url,
                message: "there is no such host".to_owned(),
                kind: io::ErrorKind::NotFound,
            },
            ureq::Error::ConnectionFailed | ureq::Error::ConnectProxyFailed(_) => {
                Self::Unreachable {
                    url,
                    message: shown(&error.to_string()),
                    kind: io::ErrorKind::ConnectionRefused,
                }
            }
            ureq::Error::LargeResponseHeader(_, limit) => Self::TooLarge {
                url,
                limit: u64::try_from(limit).unwrap_or(u64::MAX),
            },
            ureq::Error::Tls(message) => Self::Tls {
                url,
                message: message.to_owned(),
            },
            ureq::Error::Rustls(error) => Self::Tls {
                url,
                message: shown(&error.to_string()),
            },
            ureq::Error::Other(error) => match error.downcast::<Refusal>() {
                Ok(why) => Self::Refused { url, why: *why },
                Err(error) => Self::Malformed {
                    url,
                    message: shown(&error.to_string()),
                },
            },
            error => Self::Malformed {
                url,
                message: shown(&error.to_string()),
            },
        }
    }

    fn of_system(url: Url, error: &io::Error) -> Self {
        if let Some(fault) = tls_fault(error) {
            return Self::Tls {
                url,
                message: shown(&fault.to_string()),
            };
        }
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Truncated { url },
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Self::TimedOut {
                url,
                phase: "waiting for the network",
            },
            kind => Self::Unreachable {
                url,
                message: error.to_string(),
                kind,
            },
        }
    }
}

fn tls_fault(error: &io::Error) -> Option<&rustls::Error> {
    let mut source: Option<&(dyn StdError + 'static)> = error.get_ref().map(|inner| {
        let inner: &(dyn StdError + 'static) = inner;
        inner
    });
    // Two levels are seen; the bound only keeps this from being a loop.
    for _ in 0..4 {
        let inner = source?;
        if let Some(fault) = inner.downcast_ref::<rustls::Error>() {
            return Some(fault);
        }
        source = inner.source();
    }
    None
}

const fn phase_name(phase: ureq::Timeout) -> &'static str {
    match phase {
        ureq::Timeout::Resolve => "looking up its name",
        ureq::Timeout::Connect => "connecting",
        ureq::Timeout::SendRequest | ureq::Timeout::SendBody => "sending the request",
        ureq::Timeout::RecvResponse => "waiting for the answer",
        ureq::Timeout::RecvBody => "reading the answer",
        _ => "the whole call",
    }
}

/// The start of a text from outside, without control characters, which a terminal might obey.
pub(crate) fn shown(text: &str) -> String {
    let mut out: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MAX_SHOWN)
        .collect();
    out.truncate(out.trim_end().len());
    out
}
