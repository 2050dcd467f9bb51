//! Names of things in a registry: `HOST[:PORT]/REPOSITORY[:TAG][@DIGEST]`.
//!
//! Grammar: `distribution/reference`, with Docker's rules for what is left out: no host means
//! Docker Hub, and there a name of one part lies in `library/`.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use custos_core::digest::{Algorithm, Digest, DigestError};

/// Longest reference, in bytes.
const MAX_LEN: usize = 1024;
/// Longest repository name, in bytes.
const MAX_REPOSITORY: usize = 255;
/// Longest tag, in bytes.
const MAX_TAG: usize = 128;
/// Longest host name, in bytes (RFC 1035 section 2.3.4).
const MAX_HOST: usize = 253;

/// Docker Hub, by the name that people use.
const DOCKER_HUB: &str = "docker.io";

/// A registry by its host and port.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Registry {
    // An IPv6 address stands here without its brackets.
    host: String,
    port: Option<u16>,
}

impl Registry {
    /// Returns the host in lower case, an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the port, if one is named.
    pub const fn port(&self) -> Option<u16> {
        self.port
    }

    /// Returns true if it is on this machine.
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost"
            || self
                .host
                .parse::<IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    }

    /// Returns true for Docker Hub.
    pub fn is_docker_hub(&self) -> bool {
        self.port.is_none() && (self.host == DOCKER_HUB || self.host == "index.docker.io")
    }

    /// Returns host and port as they stand in the URL of the API.
    pub(crate) fn authority(&self) -> String {
        if self.is_docker_hub() {
            "registry-1.docker.io".to_owned()
        } else {
            self.to_string()
        }
    }

    fn parse(text: &str) -> Result<Self, ReferenceError> {
        let fault = || ReferenceError::Host {
            found: text.to_owned(),
        };
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (address, behind) = rest.split_once(']').ok_or_else(fault)?;
                let address: Ipv6Addr = address.parse().map_err(|_| fault())?;
                let port = match behind.strip_prefix(':') {
                    Some(port) => Some(port),
                    None if behind.is_empty() => None,
                    None => return Err(fault()),
                };
                (address.to_string(), port)
            }
            None => match text.split_once(':') {
                Some((host, port)) => (host.to_ascii_lowercase(), Some(port)),
                None => (text.to_ascii_lowercase(), None),
            },
        };
        if !host.contains(':') && !is_domain(&host) {
            return Err(fault());
        }
        let port = match port {
            None => None,
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
                let number: u16 = digits.parse().map_err(|_| fault())?;
                Some(number).filter(|number| *number > 0)
            }
            Some(_) => return Err(fault()),
        };
        if text.ends_with(":0") {
            return Err(fault());
        }
        Ok(Self { host, port })
    }
}

impl fmt::Display for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]", self.host)?;
        } else {
            f.write_str(&self.host)?;
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

fn is_domain(host: &str) -> bool {
    host.len() <= MAX_HOST
        && host.split('.').all(|part| {
            !part.is_empty()
                && !part.starts_with('-')
                && !part.ends_with('-')
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        })
}

/// A name of something in a registry.
///
/// ```
/// use custos_connect::oci::Reference;
/// let image: Reference = "registry.example:5000/team/model:v1".parse().unwrap();
/// assert_eq!(image.registry().to_string(), "registry.example:5000");
/// assert_eq!((image.repository(), image.tag()), ("team/model", Some("v1")));
/// let hub: Reference = "alpine".parse().unwrap();
/// assert_eq!(hub.to_string(), "docker.io/library/alpine");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reference {
    registry: Registry,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// Returns the registry.
    pub const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Returns the repository in the registry.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Returns the tag. Beside a digest it is a remark: the digest names the thing.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// Returns the digest.
    pub const fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Returns registry and repository, without tag and digest.
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// Returns the reference by digest alone.
    #[must_use]
    pub fn at(&self, digest: Digest) -> Self {
        Self {
            tag: None,
            digest: Some(digest),
            ..self.clone()
        }
    }

    /// Returns true if `text` names its registry, so that it reads as a reference and not as a
    /// relative path: its first part has a dot or a port, or is `localhost`, and it has a digest.
    ///
    /// ```
    /// use custos_connect::oci::Reference;
    /// let hex = "a".repeat(64);
    /// assert!(Reference::is_explicit(&format!("ghcr.io/org/model@sha256:{hex}")));
    /// assert!(!Reference::is_explicit(&format!("models/net@sha256:{hex}")));
    /// assert!(!Reference::is_explicit("ghcr.io/org/model:v1"));
    /// ```
    pub fn is_explicit(text: &str) -> bool {
        let host = text.split_once('/').map(|(host, _)| host);
        host.is_some_and(|host| !host.starts_with('.') && names_a_host(host))
            && text
                .parse::<Self>()
                .is_ok_and(|reference| reference.digest.is_some())
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if text.len() > MAX_LEN {
            return Err(ReferenceError::TooLong);
        }
        let text = text.strip_prefix("oci://").unwrap_or(text);
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(parse_digest(digest)?)),
            None => (text, None),
        };
        let (host, path) = match rest.split_once('/') {
            Some((host, path)) if names_a_host(host) => (Some(host), path),
            _ => (None, rest),
        };
        let (path, tag) = match path.rsplit_once(':') {
            Some((path, tag)) => (path, Some(tag)),
            None => (path, None),
        };
        if !is_repository(path) {
            return Err(ReferenceError::Repository {
                found: path.to_owned(),
            });
        }
        if let Some(tag) = tag.filter(|tag| !is_tag(tag)) {
            return Err(ReferenceError::Tag {
                found: tag.to_owned(),
            });
        }
        let registry = Registry::parse(host.unwrap_or(DOCKER_HUB))?;
        let repository = repository(path, host.is_none(), &registry)?;
        Ok(Self {
            registry,
            repository,
            tag: tag.map(str::to_owned),
            digest,
        })
    }
}

fn repository(path: &str, bare: bool, registry: &Registry) -> Result<String, ReferenceError> {
    // Docker takes 64 hexadecimal digits for the identifier of a local image.
    if bare && path.len() == 64 && path.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(ReferenceError::Identifier);
    }
    let full = if registry.is_docker_hub() && !path.contains('/') {
        format!("library/{path}")
    } else {
        path.to_owned()
    };
    if full.len() > MAX_REPOSITORY {
        return Err(ReferenceError::TooLong);
    }
    Ok(full)
}

// Docker's rule: anything else is the first part of a name on Docker Hub. Docker takes `Host/name`
// for a host as well; printed as hosts are, in lower case, that would be another thing.
fn names_a_host(first: &str) -> bool {
    first.eq_ignore_ascii_case("localhost") || first.contains(['.', ':'])
}

// `[a-z0-9]+`, joined by `.`, `_`, `__` or dashes; parts are separated by slashes.
fn is_repository(path: &str) -> bool {
    !path.is_empty() && path.split('/').all(is_component)
}

fn is_component(part: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let mut separators = part.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    part.bytes().next().is_some_and(word)
        && part.bytes().next_back().is_some_and(word)
        && separators.all(|separator| {
            matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|b| b == b'-')
        })
}

/// `[A-Za-z0-9_][A-Za-z0-9_.-]*`, at most 128 bytes.
pub(crate) fn is_tag(tag: &str) -> bool {
    tag.len() <= MAX_TAG
        && tag
            .bytes()
            .next()
            .is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_')
        && tag
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

fn parse_digest(text: &str) -> Result<Digest, ReferenceError> {
    let digest: Digest = text.parse().map_err(ReferenceError::Digest)?;
    match digest.algorithm() {
        Algorithm::Sha256 | Algorithm::Sha512 => Ok(digest),
        found => Err(ReferenceError::Algorithm { found }),
    }
}

/// Why a text is not a reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReferenceError {
    /// A digest that registries do not use.
    #[error("a registry names things by sha256 or sha512, not by {found}")]
    Algorithm {
        /// The algorithm found.
        found: Algorithm,
    },
    /// Not a digest behind the `@`.
    #[error("behind the @ stands no digest: {0}")]
    Digest(DigestError),
    /// Not a host, or not a port behind it.
    #[error("`{found}` is not the host of a registry")]
    Host {
        /// What stands there.
        found: String,
    },
    /// 64 hexadecimal digits alone.
    #[error("64 hexadecimal digits name a local image, not one in a registry")]
    Identifier,
    /// Not a repository.
    #[error(
        "`{found}` is not the name of a repository: lower-case letters, digits and . _ - / between them"
    )]
    Repository {
        /// What stands there.
        found: String,
    },
    /// Not a tag.
    #[error("`{found}` is not a tag: letters, digits and . _ -, at most 128")]
    Tag {
        /// What stands there.
        found: String,
    },
    /// Longer than any registry takes.
    #[error("the reference is too long")]
    TooLong,
}

pub(crate) fn fuzz_reference(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(reference) = text.parse::<Reference>() {
        let again = reference.to_string().parse::<Reference>();
        assert_eq!(again.as_ref(), Ok(&reference));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parts(text: &str) -> (String, String, Option<String>, bool) {
        let r: Reference = text.parse().unwrap();
        let digest = r.digest().is_some();
        (r.registry.to_string(), r.repository, r.tag, digest)
    }

    #[test]
    fn what_docker_understands() {
        let hex = "0".repeat(64);
        let some = |text: &str| Some(text.to_owned());
        for (text, registry, repository, tag, digest) in [
            ("alpine", "docker.io", "library/alpine", None, false),
            ("alpine:3", "docker.io", "library/alpine", some("3"), false),
            ("org/net", "docker.io", "org/net", None, false),
            ("docker.io/net", "docker.io", "library/net", None, false),
            ("localhost/net", "localhost", "net", None, false),
            (
                "localhost:5000/net:v1",
                "localhost:5000",
                "net",
                some("v1"),
                false,
            ),
            // As in Docker: without a slash this is a name and its tag.
            (
                "localhost:5000",
                "docker.io",
                "library/localhost",
                some("5000"),
                false,
            ),
            ("[::1]:5000/a/b", "[::1]:5000", "a/b", None, false),
            ("[2001:DB8::1]/a", "[2001:db8::1]", "a", None, false),
            (
                "10.0.0.1/a__b/c--d.e_f",
                "10.0.0.1",
                "a__b/c--d.e_f",
                None,
                false,
            ),
            ("GHCR.io/a", "ghcr.io", "a", None, false),
            ("LocalHost/a", "localhost", "a", None, false),
            (
                &format!("r.example/a:t@sha256:{hex}"),
                "r.example",
                "a",
                some("t"),
                true,
            ),
            (
                &format!("oci://r.example/a@sha256:{hex}"),
                "r.example",
                "a",
                None,
                true,
            ),
        ] {
            let expected = (registry.to_owned(), repository.to_owned(), tag, digest);
            assert_eq!(parts(text), expected, "{text}");
        }
    }

    #[test]
    fn what_nobody_understands() {
        let long = "a".repeat(256);
        let hex = "0".repeat(64);
        for text in [
            "",
            "/a",
            "a/",
            "r.example//a",
            "r.example/A",
            "Host/a",
            "r.example/a_-b",
            "r.example/a..b",
            "r.example/.a",
            "r.example/a.",
            "r.example/a/../b",
            "r.example/a___b",
            "r.example/a:",
            "r.example/a:.x",
            "r.example/a:x y",
            "r.example:port/a",
            "r.example:99999/a",
            "r.example:0/a",
            "r.example:/a",
            "-r.example/a",
            "r..example/a",
            "[::1/a",
            "[::1]x/a",
            "[1.2.3.4]/a",
            "r.example/a@sha256:00",
            "r.example/a@",
            "r.example/a@x@y",
            "r.example/a b",
            "r.example/\u{e4}",
            "user:pw@r.example/a",
            &format!("r.example/{long}"),
            &format!("r.example/a@md5:{hex}"),
            &format!("r.example/a@blake3:{hex}"),
            &hex,
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text}");
        }
    }

    #[test]
    fn loopback_is_this_machine_only() {
        for (text, is) in [
            ("localhost/a", true),
            ("127.0.0.1:5000/a", true),
            ("127.9.9.9/a", true),
            ("[::1]/a", true),
            ("localhost.example/a", false),
            ("10.0.0.1/a", false),
            ("127.0.0.1.example/a", false),
        ] {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(reference.registry().is_loopback(), is, "{text}");
        }
    }

    #[test]
    fn paths_are_no_references() {
        let hex = "0".repeat(64);
        for text in [
            "./r.example/a",
            "../a.b/c",
            "dir/file",
            "/r.example/a",
            "C/x",
            "r.example/a:t",
        ] {
            assert!(!Reference::is_explicit(text), "{text}");
            let _ = Reference::is_explicit(&format!("{text}@sha256:{hex}"));
        }
        assert!(!Reference::is_explicit(&format!("./r/a@sha256:{hex}")));
        assert!(!Reference::is_explicit(&format!("../a.b/c@sha256:{hex}")));
        assert!(Reference::is_explicit(&format!(
            "localhost:5/a@sha256:{hex}"
        )));
    }

    proptest! {
        #[test]
        fn written_and_read_again(text in "\\PC{0,80}") {
            fuzz_reference(text.as_bytes());
        }

        #[test]
        fn every_name_of_the_grammar_is_read(
            host in "[a-z]([a-z0-9-]{0,10}[a-z0-9])?\\.[a-z]{2,5}(:[1-9][0-9]{0,3})?",
            path in "[a-z0-9]{1,8}((\\.|_|__|-{1,3})[a-z0-9]{1,4}){0,3}(/[a-z0-9]{1,8}){0,3}",
            tag in proptest::option::of("[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"),
            bytes in proptest::option::of(any::<[u8; 32]>()),
        ) {
            let mut text = format!("{host}/{path}");
            if let Some(tag) = &tag {
                text += format!(":{tag}").as_str();
            }
            let digest = bytes.map(Digest::sha256);
            if let Some(digest) = &digest {
                text += format!("@{digest}").as_str();
            }
            let reference: Reference = text.parse().unwrap();
            prop_assert_eq!(reference.to_string(), text);
            prop_assert_eq!(reference.tag().map(str::to_owned), tag);
            prop_assert_eq!(reference.digest().copied(), digest);
        }
    }
}
