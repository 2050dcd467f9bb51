//! Requests and answers.

use std::fmt;
use std::io::{self, Read};
use std::time::Duration;

use zeroize::Zeroizing;

use crate::error::{NetError, shown};
use crate::secret::Secret;
use crate::url::Url;

/// What a request wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Method {
    /// Remove it.
    Delete,
    /// Have it.
    Get,
    /// Have its headers.
    Head,
    /// Change parts of it.
    Patch,
    /// Do something.
    Post,
    /// Put it there.
    Put,
}

impl Method {
    /// Returns the name in HTTP.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Delete => "DELETE",
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Patch => "PATCH",
            Self::Post => "POST",
            Self::Put => "PUT",
        }
    }

    pub(crate) const fn is_safe(self) -> bool {
        matches!(self, Self::Get | Self::Head)
    }
}

/// A request.
#[derive(Clone)]
pub struct Request {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) secrets: Vec<(String, Secret)>,
    pub(crate) body: Option<Zeroizing<Vec<u8>>>,
}

impl Request {
    /// Returns a request without a body.
    pub const fn new(method: Method, url: Url) -> Self {
        Self {
            method,
            url,
            headers: Vec::new(),
            secrets: Vec::new(),
            body: None,
        }
    }

    /// Returns a GET.
    pub const fn get(url: Url) -> Self {
        Self::new(Method::Get, url)
    }

    /// Returns a POST of `body`.
    pub fn post(url: Url, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::new(Method::Post, url)
            .with_header("content-type", content_type)
            .with_body(body)
    }

    /// Returns the request with this body; it is erased when dropped.
    pub fn with_body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(Zeroizing::new(body.into()));
        self
    }

    /// Returns the request with one more header.
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Returns the request with a header whose value is a secret: it is not shown, and does not
    /// follow a redirect to another server.
    pub fn with_secret_header(mut self, name: &str, value: Secret) -> Self {
        self.secrets.push((name.to_owned(), value));
        self
    }

    /// Returns the request with `Authorization: Bearer TOKEN`.
    pub fn with_bearer(self, token: &Secret) -> Self {
        let value = Secret::from(format!("Bearer {}", token.expose()));
        self.with_secret_header("authorization", value)
    }

    /// Returns where the request goes.
    pub const fn url(&self) -> &Url {
        &self.url
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.headers.iter().map(|(name, _)| name);
        let secret = self.secrets.iter().map(|(name, _)| name);
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("url", &self.url)
            .field("headers", &names.chain(secret).collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// The head of an answer.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub(crate) url: Url,
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
}

impl Head {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers
            .iter()
            .filter(move |(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

/// A whole answer of any status.
#[derive(Clone)]
pub struct Response {
    head: Head,
    body: Zeroizing<Vec<u8>>,
}

impl Response {
    /// Returns who answered in the end.
    pub const fn url(&self) -> &Url {
        &self.head.url
    }

    /// Returns the status.
    pub const fn status(&self) -> u16 {
        self.head.status
    }

    /// Returns the first header of that name, in any case of letters.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    /// Returns every header of that name, in any case of letters.
    pub fn headers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.head.all(name)
    }

    /// Returns the body.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Returns the body, erased when dropped.
    pub fn into_body(self) -> Zeroizing<Vec<u8>> {
        self.body
    }

    /// Returns the wait that the server asks for; only `Retry-After` in seconds is understood.
    pub fn retry_after(&self) -> Option<Duration> {
        let seconds: u32 = self.header("retry-after")?.trim().parse().ok()?;
        Some(Duration::from_secs(seconds.into()))
    }

    /// Returns the answer if its status is of success (2xx).
    pub fn success(self) -> Result<Self, NetError> {
        if (200..300).contains(&self.status()) {
            return Ok(self);
        }
        let retry_after = self.retry_after();
        Err(NetError::Status {
            body: shown(&String::from_utf8_lossy(&self.body)),
            code: self.head.status,
            retry_after,
            url: self.head.url,
        })
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("url", &self.head.url)
            .field("status", &self.head.status)
            .field("body_len", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// An answer whose body is still to be read; reading it is limited in size and time.
pub struct Incoming {
    pub(crate) head: Head,
    pub(crate) reader: ureq::BodyReader<'static>,
    pub(crate) limit: u64,
    pub(crate) left: u64,
}

impl Incoming {
    /// Returns who answered in the end.
    pub const fn url(&self) -> &Url {
        &self.head.url
    }

    /// Returns the status.
    pub const fn status(&self) -> u16 {
        self.head.status
    }

    /// Returns the first header of that name, in any case of letters.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    /// Returns every header of that name, in any case of letters.
    pub fn headers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.head.all(name)
    }

    /// Returns the answer with a lower limit for its body, in bytes.
    #[must_use]
    pub fn at_most(self, limit: u64) -> Self {
        Self {
            limit: self.limit.min(limit),
            left: self.left.min(limit),
            ..self
        }
    }

    /// Reads the whole body.
    pub fn read_all(mut self) -> Result<Response, NetError> {
        let mut body = Zeroizing::new(Vec::new());
        let mut chunk = Zeroizing::new([0_u8; 8 * 1024]);
        loop {
            let read = self.read_some(chunk.as_mut_slice())?;
            match chunk.get(..read) {
                None | Some([]) => break,
                Some(bytes) => grow(&mut body, bytes),
            }
        }
        Ok(Response {
            head: self.head,
            body,
        })
    }

    /// Reads some bytes, with an error that says what happened; 0 at the end.
    pub fn read_some(&mut self, buffer: &mut [u8]) -> Result<usize, NetError> {
        let read = self
            .reader
            .read(buffer)
            .map_err(|error| NetError::from_io(&self.head.url, error))?;
        let bytes = u64::try_from(read).unwrap_or(u64::MAX);
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                Ok(read)
            }
            None => Err(NetError::TooLarge {
                url: self.head.url.clone(),
                limit: self.limit,
            }),
        }
    }
}

// A vector that grows leaves its old bytes behind in memory; this one erases them.
fn grow(body: &mut Zeroizing<Vec<u8>>, bytes: &[u8]) {
    let needed = body.len().saturating_add(bytes.len());
    if needed > body.capacity() {
        let mut larger = Vec::with_capacity(needed.max(body.capacity().saturating_mul(2)));
        larger.extend_from_slice(body);
        *body = Zeroizing::new(larger);
    }
    body.extend_from_slice(bytes);
}

impl Read for Incoming {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_some(buffer).map_err(io::Error::other)
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming")
            .field("url", &self.head.url)
            .field("status", &self.head.status)
            .finish_non_exhaustive()
    }
}
