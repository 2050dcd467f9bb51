//! Objects in buckets: S3 and what speaks its language (`s3://bucket/prefix`), and Azure Blob Storage
//! (`az://container/prefix`).
//!
//! Objects are listed page by page and read in ranges. A range is asked for under the tag that the
//! list gave the object (`If-Match`), so that an object that is replaced meanwhile is an error, never
//! a mixture of two. Credentials come from the places where the clouds' own tools look.
//!
//! What it is not: it writes nothing, and it does not go where an answer sends it.

mod azure;
mod error;
mod read;
mod s3;
mod xml;

use std::fmt;
use std::ops::Range;
use std::str::FromStr;
use std::time::Duration;

use custos_trust::signers::Surroundings;

pub use error::ObjectError;
pub use read::ObjectReader;

/// A place in a bucket, and all below it.
///
/// ```
/// use custos_connect::object::Prefix;
///
/// let prefix: Prefix = "s3://models/bert/".parse().unwrap();
/// assert_eq!((prefix.bucket(), prefix.path()), ("models", "bert/"));
/// assert!("s3://Not_A_Bucket/x".parse::<Prefix>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix {
    kind: Kind,
    bucket: String,
    path: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Azure,
    S3,
}

impl Prefix {
    /// Returns the bucket, or container.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// Returns what keys begin with.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl FromStr for Prefix {
    type Err = ObjectError;

    fn from_str(text: &str) -> Result<Self, ObjectError> {
        let not_one = || ObjectError::NotAPlace {
            text: text.to_owned(),
        };
        let (scheme, rest) = text.split_once("://").ok_or_else(not_one)?;
        let kind = match scheme {
            "az" => Kind::Azure,
            "s3" => Kind::S3,
            _ => return Err(not_one()),
        };
        let (bucket, path) = rest.split_once('/').unwrap_or((rest, ""));
        // It becomes part of a host name or path.
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let within = |byte: u8| plain(byte) || byte == b'-' || byte == b'.';
        let sound = (3..=63).contains(&bucket.len())
            && bucket.bytes().all(within)
            && bucket.bytes().next().is_some_and(plain)
            && bucket.bytes().next_back().is_some_and(plain)
            && !bucket.contains("..");
        if !sound || path.len() > MAX_KEY || path.chars().any(char::is_control) {
            return Err(not_one());
        }
        Ok(Self {
            kind,
            bucket: bucket.to_owned(),
            path: path.to_owned(),
        })
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.kind {
            Kind::Azure => "az",
            Kind::S3 => "s3",
        };
        write!(f, "{scheme}://{}/{}", self.bucket, self.path)
    }
}

/// An object, as a list describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "what a list says")]
pub struct Object {
    /// Its key in the bucket.
    pub key: String,
    /// Its size in bytes.
    pub size: u64,
    /// The tag of its content, as the service wrote it.
    pub etag: String,
}

/// A part of a list, and where it goes on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "a list and its end")]
pub struct Page {
    /// Objects, in the order of their keys.
    pub objects: Vec<Object>,
    /// What to ask for the next page with.
    pub next: Option<String>,
}

/// A bucket that can be listed and read.
pub trait Store: Send + Sync {
    /// Returns a page of the objects below the prefix: the first one, or the one that `after` says.
    fn page(&self, after: Option<&str>) -> Result<Page, ObjectError>;

    /// Returns the bytes of a range, which lies in the object, if it is still the one of the list.
    fn read(&self, object: &Object, range: Range<u64>) -> Result<Vec<u8>, ObjectError>;
}

/// Opens a prefix with the credentials that the surroundings give access to.
pub fn open(prefix: &Prefix, surroundings: &Surroundings) -> Result<Box<dyn Store>, ObjectError> {
    Ok(match prefix.kind {
        Kind::Azure => Box::new(azure::Container::open(prefix, surroundings)?),
        Kind::S3 => Box::new(s3::Bucket::open(prefix, surroundings)?),
    })
}

/// Returns all objects below the prefix, at most a million. Names of folders are left out.
pub fn list(store: &dyn Store) -> Result<Vec<Object>, ObjectError> {
    let mut objects = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = store.page(after.as_deref())?;
        let wanted = page.objects.into_iter();
        objects.extend(wanted.filter(|object| object.size > 0 || !object.key.ends_with('/')));
        if objects.len() > MAX_OBJECTS {
            return Err(ObjectError::TooMany { limit: MAX_OBJECTS });
        }
        match page.next {
            None => return Ok(objects),
            // A service that does not go on would be asked for ever.
            next if next == after => {
                return Err(ObjectError::Answer {
                    what: "a list whose next page is the same one",
                });
            }
            next => after = next,
        }
    }
}

/// Longest key (S3's limit).
const MAX_KEY: usize = 1024;
/// Most objects of one prefix.
const MAX_OBJECTS: usize = 1_000_000;
/// Largest page of a list, in bytes: a thousand keys, or five thousand of Azure's.
const MAX_PAGE: u64 = 32 << 20;
/// Largest range that is read at once.
pub const MAX_RANGE: u64 = 16 << 20;
/// Time to connect, and time for one answer: eight MiB over a slow line.
const TIMES: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(90));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_strictly() {
        for good in ["s3://abc", "s3://a-b.c/", "az://models/x/y z"] {
            let prefix: Prefix = good.parse().unwrap();
            assert!(prefix.to_string().starts_with(good));
        }
        for bad in [
            "s3:/abc",
            "gs://abc",
            "s3://ab",
            "s3://a..b",
            "s3://A-b",
            "s3://-ab",
            "s3://a@b.c",
            "s3://abc/\n",
        ] {
            assert!(bad.parse::<Prefix>().is_err(), "{bad}");
        }
    }
}
