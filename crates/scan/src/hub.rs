//! What a download from the Hugging Face Hub recorded about its files, so that they can be checked
//! without network.
//!
//! The Hub knows a file by the SHA-256 of its bytes if it is kept in Git LFS, and by the digest of
//! a Git blob (SHA-1 of `blob SIZE\0` and the bytes) if it is small. Both are in the names of a
//! cache (`models--ORG--NAME/blobs/DIGEST`, to which `snapshots/COMMIT/NAME` links), in the
//! `.metadata` beside a download into a folder (`.cache/huggingface/download/NAME.metadata`), in the
//! names of LFS objects of a clone (`.git/lfs/objects`), and in pointer files of Git LFS.
//!
//! ```
//! use custos_scan::hub::{Entry, Recorded, records};
//!
//! let blob = "models--o--m/blobs/e69de29bb2d1d6434b8b29ae775ad8c2e48c5391";
//! let records = records(&[Entry::file(blob)], |_| None);
//! let recorded = records.get(blob).unwrap();
//! assert!(matches!(recorded, Recorded::GitBlob(_)));
//! assert!(recorded.fits(&Vec::new()).unwrap());
//! assert!(!recorded.fits(&b"something else".to_vec()).unwrap());
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::io;

use aws_lc_rs::digest as sha;
use custos_core::finding::{Finding, Location};

use crate::route::{Format, Head};
use crate::rules;
use crate::source::{self, ReadAt};
use crate::work::{Input, Look};

/// Largest pointer file (git-lfs, docs/spec.md).
const MAX_POINTER: u64 = 1024;
const VERSION: &str = "version https://git-lfs.github.com/spec/v1";
pub(crate) const DOWNLOADS: &str = ".cache/huggingface/download/";

/// The lists that a verdict depends on.
pub(crate) static DATA: &[&str] = &[];

pub(crate) static FORMATS: &[Format] = &[Format {
    name: "git-lfs-pointer",
    extensions: &[],
    recognises,
    examine,
}];

/// What a file is by its bytes, as it was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "the Hub has these two")]
pub enum Recorded {
    /// SHA-256 of the bytes.
    Sha256([u8; 32]),
    /// SHA-1 of a Git blob of the bytes.
    GitBlob([u8; 20]),
}

impl Recorded {
    /// Reads the digest of an entity tag or of a file's name: 64 or 40 digits, perhaps in quotes.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let digits = text.strip_prefix("W/").unwrap_or(text).trim_matches('"');
        match digits.len() {
            64 => hex(digits).map(Self::Sha256),
            40 => hex(digits).map(Self::GitBlob),
            _ => None,
        }
    }

    /// Returns true if these are the bytes.
    pub fn fits(&self, bytes: &dyn ReadAt) -> io::Result<bool> {
        let (algorithm, said) = match self {
            Self::Sha256(said) => (&sha::SHA256, said.as_slice()),
            Self::GitBlob(said) => (&sha::SHA1_FOR_LEGACY_USE_ONLY, said.as_slice()),
        };
        let mut context = sha::Context::new(algorithm);
        if matches!(self, Self::GitBlob(_)) {
            context.update(format!("blob {}\0", bytes.len()).as_bytes());
        }
        source::each(bytes, 0..bytes.len(), |_, read| {
            context.update(read);
            true
        })?;
        Ok(context.finish().as_ref() == said)
    }

    /// Returns the finding that a file has other bytes than were recorded.
    pub fn mismatch(&self, path: &str) -> Finding {
        let location = Location {
            path: path.to_owned(),
            ..Location::default()
        };
        let message = format!("it was downloaded as {self}, and its bytes are others");
        rules::hub::DIGEST.finding(location, message)
    }
}

impl fmt::Display for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, bytes) = match self {
            Self::Sha256(bytes) => ("sha256", bytes.as_slice()),
            Self::GitBlob(bytes) => ("git blob sha1", bytes.as_slice()),
        };
        write!(f, "{name}:")?;
        bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A file or a link below the folder that is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "an argument with names")]
pub struct Entry<'p> {
    /// Its path from that folder, with `/`.
    pub path: &'p str,
    /// Where it leads, if it is a symbolic link.
    pub link: Option<&'p str>,
}

impl<'p> Entry<'p> {
    /// Returns a file that is no link.
    pub const fn file(path: &'p str) -> Self {
        Self { path, link: None }
    }
}

/// Returns what was recorded about files, by their paths. `read` gives the bytes of a small file;
/// it is asked for records only.
pub fn records<'p>(
    entries: &[Entry<'p>],
    read: impl Fn(&'p str) -> Option<Vec<u8>>,
) -> BTreeMap<String, Recorded> {
    let mut records = BTreeMap::new();
    for entry in entries {
        if let Some((folder, name)) = metadata_of(entry.path) {
            let recorded = read(entry.path).and_then(|bytes| metadata(&bytes));
            if let Some(recorded) = recorded {
                records.insert(format!("{folder}{name}"), recorded);
            }
            continue;
        }
        // A link of a snapshot has its record in what it leads to.
        let place = match entry.link {
            Some(link) if is_in_snapshot(entry.path) => link.trim_start_matches("../"),
            Some(_) => continue,
            None => entry.path,
        };
        let recorded = match entry.link {
            Some(_) => place.strip_prefix("blobs/").and_then(Recorded::parse),
            None => by_name(place),
        };
        if let Some(recorded) = recorded {
            records.insert(entry.path.to_owned(), recorded);
        }
    }
    records
}

// The folder and the name of the file that a record of a download is about.
fn metadata_of(path: &str) -> Option<(&str, &str)> {
    let at = path.find(DOWNLOADS)?;
    let (folder, rest) = path.split_at_checked(at)?;
    let name = rest.strip_prefix(DOWNLOADS)?.strip_suffix(".metadata")?;
    let whole = folder.is_empty() || folder.ends_with('/');
    whole.then_some((folder, name))
}

// Three lines: commit, entity tag, time.
fn metadata(bytes: &[u8]) -> Option<Recorded> {
    let text = std::str::from_utf8(bytes).ok()?;
    Recorded::parse(text.lines().nth(1)?)
}

/// Returns true if a repository in a cache has such a name.
pub(crate) fn is_repository(part: &str) -> bool {
    ["models--", "datasets--", "spaces--", "kernels--"]
        .iter()
        .any(|kind| part.starts_with(kind))
}

fn is_in_snapshot(path: &str) -> bool {
    let mut parts = path.split('/').skip_while(|part| !is_repository(part));
    parts.next().is_some() && parts.next() == Some("snapshots")
}

// The digest that a file's name is, where names are digests.
fn by_name(path: &str) -> Option<Recorded> {
    let parts: Vec<&str> = path.split('/').collect();
    match parts.as_slice() {
        [.., repository, "blobs", name] if is_repository(repository) => Recorded::parse(name),
        [.., ".git", "lfs", "objects", first, second, name]
            if name.starts_with(first) && name.get(first.len()..)?.starts_with(second) =>
        {
            Recorded::parse(name).filter(|recorded| matches!(recorded, Recorded::Sha256(_)))
        }
        _ => None,
    }
}

/// A pointer of Git LFS: what stands in a clone in place of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pointer {
    /// What the file is.
    pub recorded: Recorded,
    /// How many bytes it has.
    pub size: u64,
}

impl Pointer {
    /// Reads a pointer: lines of a key and a value, the version first (git-lfs, docs/spec.md).
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let mut lines = text.lines();
        if lines.next()? != VERSION {
            return None;
        }
        let value = |key| {
            text.lines().find_map(|line| {
                let (found, value) = line.split_once(' ')?;
                (found == key).then_some(value)
            })
        };
        let digest = value("oid")?.strip_prefix("sha256:")?;
        Some(Self {
            recorded: Recorded::parse(digest)?,
            size: value("size")?.parse().ok()?,
        })
    }
}

fn pointer(input: &Input<'_>) -> Option<Pointer> {
    if input.bytes.len() > MAX_POINTER {
        return None;
    }
    Pointer::parse(&source::read_all(input.bytes).ok()?)
}

fn recognises(head: &Head, input: &Input<'_>) -> bool {
    head.starts_with(VERSION.as_bytes()) && pointer(input).is_some()
}

fn examine(look: &mut Look<'_, '_, '_>) {
    if let Some(pointer) = pointer(look.input) {
        look.covered.parsed(0..look.input.bytes.len());
        let message = format!(
            "it is only a pointer of Git LFS to a file of {} bytes, {}",
            pointer.size, pointer.recorded
        );
        look.see(&rules::hub::POINTER, None, message);
    }
}

fn hex<const N: usize>(digits: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let (pairs, []) = digits.as_bytes().as_chunks::<2>() else {
        return None;
    };
    if pairs.len() != N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(pairs) {
        let lower = pair
            .iter()
            .all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
        let pair = std::str::from_utf8(pair).ok().filter(|_| lower)?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    // `printf 'hello\n' | git hash-object --stdin`
    const HELLO: &str = "ce013625030ba8dba906f756967f9e9ca394464a";

    fn recorded(entries: &[Entry<'_>], text: &str) -> BTreeMap<String, Recorded> {
        records(entries, |_| Some(text.as_bytes().to_vec()))
    }

    #[test]
    fn names_of_a_cache_are_digests() {
        let blob = format!("hub/models--o--m/blobs/{EMPTY}");
        let small = format!("models--o--m/blobs/{HELLO}");
        let target = format!("../../blobs/{EMPTY}");
        let deep = format!("../../../blobs/{HELLO}");
        let entries = [
            Entry::file(&blob),
            Entry::file(&small),
            Entry {
                path: "hub/models--o--m/snapshots/c0/model.safetensors",
                link: Some(&target),
            },
            Entry {
                path: "models--o--m/snapshots/c0/sub/config.json",
                link: Some(&deep),
            },
            Entry::file("models--o--m/refs/main"),
            Entry::file("models--o--m/blobs/x.incomplete"),
            Entry {
                path: "elsewhere/file",
                link: Some(&target),
            },
        ];
        let records = recorded(&entries, "");
        assert_eq!(records.len(), 4, "{records:?}");
        assert!(records[&blob].fits(&Vec::new()).unwrap());
        assert!(records[&small].fits(&b"hello\n".to_vec()).unwrap());
        assert!(!records[&small].fits(&b"hello".to_vec()).unwrap());
        let linked = records["hub/models--o--m/snapshots/c0/model.safetensors"];
        assert_eq!(linked, records[&blob]);
        assert_eq!(
            records["models--o--m/snapshots/c0/sub/config.json"],
            records[&small]
        );
        assert_eq!(records[&blob].to_string(), format!("sha256:{EMPTY}"));
        let finding = records[&blob].mismatch(&blob);
        assert_eq!(finding.rule, "hub/digest");
    }

    #[test]
    fn downloads_into_a_folder_have_records() {
        let path = "m/.cache/huggingface/download/sub/config.json.metadata";
        let text = format!("0123456789012345678901234567890123456789\n\"{HELLO}\"\n1700000000.5\n");
        let records = recorded(&[Entry::file(path)], &text);
        assert!(
            records["m/sub/config.json"]
                .fits(&b"hello\n".to_vec())
                .unwrap()
        );
        // What says nothing is no record.
        for text in ["", "one\n", "one\nnot a digest\n"] {
            assert!(recorded(&[Entry::file(path)], text).is_empty());
        }
    }

    #[test]
    fn objects_and_pointers_of_lfs() {
        let (first, second) = (&EMPTY[..2], &EMPTY[2..4]);
        let object = format!("repo/.git/lfs/objects/{first}/{second}/{EMPTY}");
        assert_eq!(recorded(&[Entry::file(&object)], "").len(), 1);
        let wrong = format!("repo/.git/lfs/objects/00/{second}/{EMPTY}");
        assert!(recorded(&[Entry::file(&wrong)], "").is_empty());
        let text = format!("{VERSION}\noid sha256:{EMPTY}\nsize 12345\n");
        let pointer = Pointer::parse(text.as_bytes()).unwrap();
        assert_eq!(
            (pointer.size, pointer.recorded.to_string()),
            (12_345, format!("sha256:{EMPTY}"))
        );
        assert_eq!(Pointer::parse(&text.as_bytes()[1..]), None);
        assert_eq!(
            Pointer::parse(text.replace("size", "sise").as_bytes()),
            None
        );
        assert_eq!(Recorded::parse(&EMPTY.to_uppercase()), None);
    }
}
