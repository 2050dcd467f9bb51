//! Addresses of HTTP services (RFC 3986, as far as HTTP needs it).

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ureq::http::Uri;

/// Longest URL, in bytes.
const MAX_URL: usize = 8 * 1024;

/// Where a server is: scheme, host in lower case, port.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    tls: bool,
    host: String,
    port: u16,
}

impl Origin {
    /// Returns true for `https`.
    pub const fn is_tls(&self) -> bool {
        self.tls
    }

    /// Returns the host in lower case, an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Returns the host as an address, if it is written as one.
    pub fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    fn of(uri: &Uri) -> Result<Self, UrlError> {
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            Some(_) => return Err(UrlError::Scheme),
            None => return Err(UrlError::Malformed),
        };
        let authority = uri.authority().ok_or(UrlError::Malformed)?;
        if authority.as_str().contains('@') {
            return Err(UrlError::UserInfo);
        }
        let host = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']')
            .trim_end_matches('.')
            .to_ascii_lowercase();
        // A port that is not a number would silently be the default one.
        let has_port = authority.as_str().len() > authority.host().len();
        if host.is_empty() || (has_port && authority.port_u16().is_none()) {
            return Err(UrlError::Malformed);
        }
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        Ok(Self { tls, host, port })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]", self.host)?;
        } else {
            write!(f, "{scheme}://{}", self.host)?;
        }
        match (self.tls, self.port) {
            (true, 443) | (false, 80) => Ok(()),
            (_, port) => write!(f, ":{port}"),
        }
    }
}

/// An absolute `http` or `https` URL without user name and fragment.
///
/// ```
/// use custos_net::Url;
/// let url: Url = "https://kms.example:8443/v1/keys?x=1".parse().unwrap();
/// assert_eq!(url.origin().to_string(), "https://kms.example:8443");
/// assert!("https://user:pw@kms.example/".parse::<Url>().is_err());
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Url {
    uri: Uri,
    origin: Origin,
}

impl Url {
    /// Returns where the server is.
    pub const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Returns the path, at least `/`.
    pub fn path(&self) -> &str {
        self.uri.path()
    }

    /// Returns the query without its `?`.
    pub fn query(&self) -> Option<&str> {
        self.uri.query()
    }

    /// Returns the whole URL. It may carry secrets in its query; [`fmt::Display`] leaves the query
    /// out.
    pub fn as_text(&self) -> String {
        self.uri.to_string()
    }

    /// Returns the URL with `path` (which brings its `/`, and perhaps a query) in place of path
    /// and query.
    pub fn with_path(&self, path: &str) -> Result<Self, UrlError> {
        if !path.starts_with('/') {
            return Err(UrlError::Malformed);
        }
        let authority = self.uri.authority().ok_or(UrlError::Malformed)?;
        let scheme = self.uri.scheme_str().ok_or(UrlError::Malformed)?;
        format!("{scheme}://{authority}{path}").parse()
    }

    /// Returns the URL that `reference`, for instance a `Location`, means from here
    /// (RFC 3986 section 5.2, with the server left to remove dot segments).
    pub fn join(&self, reference: &str) -> Result<Self, UrlError> {
        let reference = reference.split('#').next().unwrap_or_default();
        let scheme = self.uri.scheme_str().ok_or(UrlError::Malformed)?;
        if has_scheme(reference) {
            return reference.parse();
        }
        if reference.starts_with("//") {
            return format!("{scheme}:{reference}").parse();
        }
        if reference.starts_with('/') {
            return self.with_path(reference);
        }
        if reference.starts_with('?') || reference.is_empty() {
            return self.with_path(&format!("{}{reference}", self.path()));
        }
        let folder = self
            .path()
            .rsplit_once('/')
            .map_or("", |(folder, _)| folder);
        self.with_path(&format!("{folder}/{reference}"))
    }

    pub(crate) const fn uri(&self) -> &Uri {
        &self.uri
    }
}

fn has_scheme(reference: &str) -> bool {
    reference.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    })
}

impl FromStr for Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        if text.len() > MAX_URL {
            return Err(UrlError::TooLong { found: text.len() });
        }
        let uri: Uri = text.parse().map_err(|_| UrlError::Malformed)?;
        let origin = Origin::of(&uri)?;
        Ok(Self { uri, origin })
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin, self.path())
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Writes `text` as one segment of a path or one value of a query: everything but letters, digits
/// and `-._~` is escaped (RFC 3986 section 2.3).
pub fn percent_encode(text: &str) -> String {
    use fmt::Write as _;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// Why a text is not a URL that Custos calls.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// Not a URL, not absolute, or without host.
    #[error("not an absolute URL")]
    Malformed,
    /// Neither `http` nor `https`.
    #[error("only http and https URLs are called")]
    Scheme,
    /// Longer than 8 KiB.
    #[error("a URL of {found} bytes, the limit is {MAX_URL}")]
    TooLong {
        /// Bytes found.
        found: usize,
    },
    /// A user name or password before the host.
    #[error("a URL must not carry a user name or password")]
    UserInfo,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn origins() {
        for (text, origin) in [
            ("https://A.Example", "https://a.example"),
            ("https://a.example:443/x", "https://a.example"),
            ("http://a.example.:8080?x", "http://a.example:8080"),
            ("https://[::1]:9", "https://[::1]:9"),
        ] {
            assert_eq!(url(text).origin().to_string(), origin);
        }
        for (text, error) in [
            ("ftp://a/", UrlError::Scheme),
            ("file:///etc/passwd", UrlError::Malformed),
            ("https://u:p@a/", UrlError::UserInfo),
            ("https://u@a/", UrlError::UserInfo),
            ("/only/a/path", UrlError::Malformed),
            ("a.example", UrlError::Malformed),
            ("https://", UrlError::Malformed),
            ("https://a:99999/", UrlError::Malformed),
            ("https://a b/", UrlError::Malformed),
            ("", UrlError::Malformed),
        ] {
            assert_eq!(text.parse::<Url>(), Err(error), "{text}");
        }
        assert_eq!(
            format!("https://a/{}", "x".repeat(MAX_URL)).parse::<Url>(),
            Err(UrlError::TooLong {
                found: MAX_URL + 10
            })
        );
    }

    #[test]
    fn the_query_is_not_shown() {
        let url = url("https://a/b?sig=s3cret");
        assert_eq!(format!("{url} {url:?}"), "https://a/b https://a/b");
        assert_eq!(url.as_text(), "https://a/b?sig=s3cret");
    }

    #[test]
    fn references_are_joined() {
        let base = url("https://a.example:8443/v1/keys/one?x=1");
        for (reference, whole) in [
            ("http://b/c", "http://b/c"),
            ("//b/c", "https://b/c"),
            ("/c?d", "https://a.example:8443/c?d"),
            ("two", "https://a.example:8443/v1/keys/two"),
            ("?y=2", "https://a.example:8443/v1/keys/one?y=2"),
            ("/c#fragment", "https://a.example:8443/c"),
        ] {
            assert_eq!(base.join(reference).unwrap().as_text(), whole);
        }
        assert_eq!(base.join("javascript:alert(1)"), Err(UrlError::Malformed));
        assert_eq!(base.join("ftp://a/"), Err(UrlError::Scheme));
    }

    proptest! {
        #[test]
        fn no_text_panics_and_what_parses_is_stable(text in "\\PC{0,60}") {
            let texts = [text.clone(), format!("https://{text}"), format!("http://a/{text}")];
            for text in texts {
                if let Ok(url) = text.parse::<Url>() {
                    prop_assert_eq!(url.as_text().parse::<Url>().unwrap(), url);
                }
            }
        }

        #[test]
        fn an_encoded_segment_stays_one_segment(text in "\\PC{0,40}") {
            let encoded = percent_encode(&text);
            let url: Url = format!("https://a/x/{encoded}/y?q={encoded}").parse().unwrap();
            prop_assert_eq!(url.path().matches('/').count(), 3);
            prop_assert_eq!(url.query().unwrap(), format!("q={encoded}"));
        }
    }
}
