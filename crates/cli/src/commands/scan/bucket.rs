//! What lies in a bucket: S3 and what speaks its language, and Azure Blob Storage.
//!
//! `s3://bucket/models/bert` is the object of that name or what lies below it, as a path would be;
//! only where there is neither, it is whatever begins so. An object is read under the tag that the
//! list gave it: one that is replaced meanwhile is an error, and never a mixture of two.

use std::io;

use custos_connect::object::{self, Object, ObjectError, ObjectReader, Prefix, Store};
use custos_net::{Class, NetError};
use custos_scan::source::ReadAt;
use custos_scan::sources::{Item, Note, Source};
use custos_scan::{Graphs, Neighbour, Neighbours, Place as _};
use custos_trust::signers::ServiceError;

use super::shelf::Disk;
use crate::exit::Exit;
use crate::report::Failure;
use crate::system;

/// Up to so many bytes, an object is read at once, into memory.
const SMALL: u64 = 8 << 20;
/// Up to so many, it comes onto the shelf as a whole, so that each of its bytes is fetched once. A
/// larger one is read in ranges: its values once, and once more what its parsers ask for.
const MIDDLE: u64 = 256 << 20;

/// Objects below a prefix.
pub struct Bucket<'a> {
    store: Box<dyn Store>,
    shelf: &'a Disk,
    // As it was named; what names of objects are relative to.
    prefix: Prefix,
    base: String,
    items: Vec<Item>,
    // In the order of their keys, as the items are.
    objects: Vec<Object>,
    graphs: Graphs,
    notes: Vec<Note>,
}

/// Returns true if `text` names a place in a bucket.
pub fn is_one(text: &str) -> bool {
    text.starts_with("s3://") || text.starts_with("az://")
}

impl<'a> Bucket<'a> {
    /// Lists what `text` names.
    pub fn open(text: &str, shelf: &'a Disk) -> Result<Self, Failure> {
        let failed = |error: &ObjectError| failure(error, text);
        let prefix: Prefix = text.parse().map_err(|error| failed(&error))?;
        let store =
            object::open(&prefix, &system::surroundings()).map_err(|error| failed(&error))?;
        let found = object::list(store.as_ref()).map_err(|error| failed(&error))?;
        let (base, mut objects) = chosen(prefix.path(), found);
        objects.sort_by(|a, b| a.key.cmp(&b.key));
        objects.dedup_by(|a, b| a.key == b.key);
        let root = text.strip_suffix(prefix.path()).unwrap_or(text);
        let root = root.trim_end_matches('/');
        let item = |object: &Object| Item {
            path: format!("{root}/{}", object.key),
            size: object.size,
            closed: None,
        };
        let items: Vec<Item> = objects.iter().map(item).collect();
        let nothing = objects.is_empty().then(|| Note {
            path: prefix.to_string(),
            reason: "the name of no object begins so".to_owned(),
        });
        Ok(Self {
            graphs: Graphs::of(&items),
            items,
            notes: nothing.into_iter().collect(),
            store,
            shelf,
            prefix,
            base,
            objects,
        })
    }

    /// Returns the name of an object below what was named.
    pub fn below(&self, index: usize) -> Option<&str> {
        let key = &self.objects.get(index)?.key;
        key.strip_prefix(self.base.as_str())
            .filter(|below| !below.is_empty())
    }

    /// Returns what it is called if it is a folder, and not a single object or a part of one.
    pub fn folder(&self) -> Option<&str> {
        let path = self.prefix.path().trim_end_matches('/');
        let is_folder = self.base.trim_end_matches('/') == path && !self.is_single();
        let name = path.rsplit('/').next().filter(|name| !name.is_empty());
        is_folder.then(|| name.unwrap_or(self.prefix.bucket()))
    }

    fn is_single(&self) -> bool {
        matches!(self.objects.as_slice(), [one] if one.key == self.prefix.path())
    }

    fn on_shelf(&self, object: &Object) -> io::Result<Box<dyn ReadAt + '_>> {
        let mut place = self.shelf.empty()?;
        let mut at = 0;
        while at < object.size {
            let end = at.saturating_add(SMALL).min(object.size);
            let bytes = self.store.read(object, at..end).map_err(io::Error::other)?;
            if place.append(&bytes).is_err() {
                // There is no room for it; it is read in place.
                return Ok(self.in_place(object));
            }
            at = end;
        }
        Ok(Box::new(place))
    }

    fn in_place(&self, object: &Object) -> Box<dyn ReadAt + '_> {
        let store = self.store.as_ref();
        Box::new(Ranges(ObjectReader::new(store, object.clone())))
    }
}

// What is meant of what begins so, and what names are relative to.
fn chosen(path: &str, found: Vec<Object>) -> (String, Vec<Object>) {
    let folder = if path.is_empty() || path.ends_with('/') {
        path.to_owned()
    } else {
        format!("{path}/")
    };
    let above = |path: &str| {
        let end = path.rfind('/').map_or(0, |at| at.saturating_add(1));
        path.get(..end).unwrap_or_default().to_owned()
    };
    let is = |object: &Object| object.key == path;
    let is_below = |object: &Object| object.key.starts_with(&folder);
    if found.iter().any(is_below) {
        let meant = found.into_iter().filter(|one| is_below(one) || is(one));
        let meant = meant.collect();
        return (folder, meant);
    }
    let exact = found.iter().any(is);
    let meant = found.into_iter().filter(|one| !exact || is(one));
    (above(path), meant.collect())
}

impl Source for Bucket<'_> {
    fn items(&self) -> &[Item] {
        &self.items
    }

    fn notes(&self) -> &[Note] {
        &self.notes
    }

    fn open(&self, index: usize) -> io::Result<Box<dyn ReadAt + '_>> {
        let object = self.objects.get(index);
        let object = object.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        match object.size {
            0 => Ok(Box::new(Vec::new())),
            1..=SMALL => {
                let bytes = self.store.read(object, 0..object.size);
                Ok(Box::new(bytes.map_err(io::Error::other)?))
            }
            size if size <= MIDDLE => self.on_shelf(object),
            _ => Ok(self.in_place(object)),
        }
    }

    fn neighbours(&self, index: usize) -> Option<Box<dyn Neighbours + '_>> {
        // Of what lies beside a single object nothing was listed.
        if self.is_single() {
            return None;
        }
        let below = self.below(index)?;
        let end = below.rfind('/').unwrap_or(0);
        let folder = below.get(..end)?;
        Some(Box::new(Beside {
            bucket: self,
            index,
            folder,
        }))
    }

    fn etag(&self, index: usize) -> Option<&str> {
        self.objects.get(index).map(|object| object.etag.as_str())
    }
}

struct Ranges<'a>(ObjectReader<'a>);

impl ReadAt for Ranges<'_> {
    fn len(&self) -> u64 {
        self.0.len()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(offset, buffer)
    }
}

/// What lies in the folder of one object.
struct Beside<'a> {
    bucket: &'a Bucket<'a>,
    index: usize,
    folder: &'a str,
}

impl Beside<'_> {
    fn path(&self) -> &str {
        let item = self.bucket.items.get(self.index);
        item.map_or("", |item| item.path.as_str())
    }
}

impl Neighbours for Beside<'_> {
    fn graphs(&self) -> Vec<String> {
        self.bucket.graphs.around(self.path())
    }

    fn open(&self, name: &str) -> Option<Box<dyn ReadAt + '_>> {
        let index = self.bucket.graphs.find(self.path(), name)?;
        self.bucket.open(index).ok()
    }

    fn find(&self, name: &str) -> Neighbour {
        if name.starts_with('/') || name.contains('\0') {
            return Neighbour::Outside;
        }
        let mut parts: Vec<&str> = self.folder.split('/').collect();
        parts.retain(|part| !part.is_empty());
        for part in name.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    if parts.pop().is_none() {
                        return Neighbour::Outside;
                    }
                }
                part => parts.push(part),
            }
        }
        let key = format!("{}{}", self.bucket.base, parts.join("/"));
        let objects = &self.bucket.objects;
        if let Ok(at) = objects.binary_search_by(|one| one.key.cmp(&key)) {
            return objects
                .get(at)
                .map_or(Neighbour::Missing, |one| Neighbour::File(one.size));
        }
        let below = format!("{}/", key.trim_end_matches('/'));
        let next = objects.partition_point(|one| one.key < below);
        match objects.get(next) {
            Some(one) if parts.is_empty() || one.key.starts_with(&below) => Neighbour::Folder,
            _ => Neighbour::Missing,
        }
    }
}

fn failure(error: &ObjectError, place: &str) -> Failure {
    let (code, exit, what) = match error {
        ObjectError::NotAPlace { .. } => ("E1009", Exit::Usage, "this names no place in a bucket"),
        ObjectError::Refused { status: 404, .. } => {
            ("E1009", Exit::Usage, "there is no such bucket")
        }
        ObjectError::Surroundings(_) | ObjectError::Account(ServiceError::Surroundings(_)) => (
            "E1010",
            Exit::Usage,
            "access to the bucket is not set up here",
        ),
        ObjectError::Refused {
            status: 401 | 403, ..
        }
        | ObjectError::Account(ServiceError::Refused { .. }) => {
            ("E1011", Exit::Undecided, "the bucket does not allow it")
        }
        _ => ("E1012", Exit::Undecided, "the bucket gave no usable answer"),
    };
    let failure = Failure::new(code, exit, what)
        .at(place)
        .because(error.to_string());
    match error {
        ObjectError::NotAPlace { .. } => failure.help(
            "write s3://BUCKET/PREFIX or az://CONTAINER/PREFIX; names of buckets have 3 to 63 small \
             letters, digits, dots and hyphens",
        ),
        ObjectError::Refused { status: 404, .. } => {
            failure.help("check its name, and which account and endpoint are asked")
        }
        _ if code == "E1010" => {
            failure.help("docs/reference/keys.md lists the variables and files that are read")
        }
        _ if code == "E1011" => failure.help(
            "it takes the right to list the bucket and to read its objects; check whose credentials \
             are found here",
        ),
        ObjectError::Refused {
            status: 301 | 307 | 400,
            ..
        }
        | ObjectError::Net(NetError::Redirected { .. }) => failure.help("the bucket may be in another region: set AWS_REGION to its own"),
        ObjectError::Net(error) if error.class() == Class::Undecided => {
            failure.help("try again later, and check the endpoint that is asked")
        }
        _ => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects(keys: &[&str]) -> Vec<Object> {
        let object = |key: &&str| Object {
            key: (*key).to_owned(),
            size: 1,
            etag: String::new(),
        };
        keys.iter().map(object).collect()
    }

    #[test]
    fn a_name_is_an_object_a_folder_or_a_beginning() {
        let all = ["m/bert", "m/bert-large/a", "m/bert/a", "m/bert/b/c"];
        let meant = |path: &str, found: &[&str]| {
            let (base, objects) = chosen(path, objects(found));
            let keys: Vec<String> = objects.into_iter().map(|one| one.key).collect();
            (base, keys.join(" "))
        };
        let expected = (
            "m/bert/".to_owned(),
            "m/bert m/bert/a m/bert/b/c".to_owned(),
        );
        assert_eq!(meant("m/bert", &all), expected);
        assert_eq!(meant("m/bert/", &all[2..]).1, "m/bert/a m/bert/b/c");
        assert_eq!(meant("", &all).1, all.join(" "));
        assert_eq!(meant("m/bert", &all[..2]).1, "m/bert");
        let begins = ("m/".to_owned(), "m/bert-large/a".to_owned());
        assert_eq!(meant("m/be", &all[1..2]), begins);
        assert_eq!(meant("m/none", &[]).1, "");
    }
}
