//! The predicate's JSON: read leniently, written strictly, both without a tree of values.

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU64;

use serde::de::{self, DeserializeSeed, Deserializer, SeqAccess, Visitor};
use serde::ser::SerializeSeq as _;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::digest::{Algorithm, Digest};
use crate::json::{self, JsonError, Strict};
use crate::statement::{Statement, Subject};

use super::error::shortened;
use super::path::{self, MAX_IGNORE_PATHS};
use super::{
    Form, LEGACY_PREDICATE_TYPE, LISTING_DIGEST, Manifest, ManifestBuilder, Method, OmsError,
    PREDICATE_TYPE, Serialization, SignedManifest, legacy,
};

impl Manifest {
    /// Returns the statement about a model of this name, resources in code point order (sections
    /// 6.4 to 6.6). The subject carries [`Manifest::digest_set`], whose `sha256` is the root.
    pub fn to_statement(&self, name: &str) -> Result<Statement, OmsError> {
        if name.is_empty() {
            return Err(OmsError::SubjectWithoutName { index: 0 });
        }
        let subject = Subject::new(name, self.digest_set());
        let predicate = PredicateOut {
            serialization: SerializationOut::new(&self.serialization),
            resources: ResourcesOut(self),
        };
        Statement::new(vec![subject], PREDICATE_TYPE, &predicate).map_err(OmsError::Statement)
    }
}

impl SignedManifest {
    /// Reads the statement about a model, in the v1.0 or the legacy form, and recomputes the
    /// digests of its subject over the listed resources (section 8.3; the specification leaves
    /// the recomputation open, but other statements name the model by this digest).
    pub fn from_statement(statement: &Statement) -> Result<Self, OmsError> {
        match statement.predicate_type() {
            PREDICATE_TYPE => read(statement),
            LEGACY_PREDICATE_TYPE => legacy::read(statement),
            other => Err(OmsError::PredicateType {
                found: shortened(other),
            }),
        }
    }
}

fn read(statement: &Statement) -> Result<SignedManifest, OmsError> {
    let [subject] = statement.subject() else {
        return Err(OmsError::SubjectCount {
            found: statement.subject().len(),
        });
    };
    let name = subject.name.clone().filter(|name| !name.is_empty());
    let name = name.ok_or(OmsError::SubjectWithoutName { index: 0 })?;
    let signed = subject
        .digest
        .get(Algorithm::Sha256)
        .ok_or(OmsError::SubjectWithoutDigest { index: 0 })?;
    let manifest = read_predicate(statement.predicate_json())?;
    let listed = manifest.root_digest();
    if signed != listed {
        return Err(OmsError::RootMismatch { signed, listed });
    }
    check_names(subject, &manifest)?;
    Ok(SignedManifest {
        name,
        manifest,
        form: Form::V1,
    })
}

// The digests that bind names: where the subject has one of them, it must be that of the listing.
fn check_names(subject: &Subject, manifest: &Manifest) -> Result<(), OmsError> {
    if let Some(signed) = subject.digest.get_raw(LISTING_DIGEST) {
        let listed = manifest.listing_digest().to_hex();
        if signed != listed {
            let signed = shortened(signed);
            return Err(OmsError::ListingDigestMismatch { signed, listed });
        }
    }
    if let (Some(signed), Some(listed)) = (subject.digest.get_raw("dirHash"), manifest.dir_hash()) {
        let listed = listed.to_hex();
        if signed != listed {
            let signed = shortened(signed);
            return Err(OmsError::DirHashMismatch { signed, listed });
        }
    }
    Ok(())
}

fn read_predicate(text: &str) -> Result<Manifest, OmsError> {
    let wire: PredicateIn<'_> = json::from_str(text).map_err(shape)?;
    let mut builder = ManifestBuilder::listed(wire.serialization.checked()?);
    let mut fault = None;
    let seed = ResourcesIn {
        builder: &mut builder,
        fault: &mut fault,
    };
    let mut resources = serde_json::Deserializer::from_str(wire.resources.get());
    let outcome = seed.deserialize(Strict(&mut resources));
    match (fault, outcome) {
        (Some(fault), _) => Err(fault),
        (None, Err(error)) => Err(shape(error)),
        (None, Ok(())) => builder.finish(),
    }
}

#[allow(clippy::needless_pass_by_value, reason = "it is given to map_err")]
fn shape(error: serde_json::Error) -> OmsError {
    let message = error.to_string();
    OmsError::Predicate(JsonError::Malformed {
        message,
        line: 0,
        column: 0,
    })
}

// The schemas of the predicate and of `serialization` forbid unknown members.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PredicateIn<'a> {
    serialization: SerializationIn,
    #[serde(borrow)]
    resources: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SerializationIn {
    method: String,
    hash_type: String,
    // `null` is not a number: present means present.
    #[serde(default, deserialize_with = "present")]
    shard_size: Option<serde_json::Number>,
    allow_symlinks: bool,
    #[serde(default, deserialize_with = "present_paths")]
    ignore_paths: Option<Vec<String>>,
}

fn present<'de, D: Deserializer<'de>>(json: D) -> Result<Option<serde_json::Number>, D::Error> {
    serde_json::Number::deserialize(json).map(Some)
}

fn present_paths<'de, D: Deserializer<'de>>(json: D) -> Result<Option<Vec<String>>, D::Error> {
    Vec::deserialize(json).map(Some)
}

impl SerializationIn {
    fn checked(self) -> Result<Serialization, OmsError> {
        let size = self.shard_size.as_ref().map(shard_size).transpose()?;
        let method = match (self.method.as_str(), size) {
            ("files", None) => Method::Files,
            ("files", Some(_)) => return Err(OmsError::ShardSizeForbidden),
            ("shards", Some(size)) => Method::Shards { size },
            ("shards", None) => return Err(OmsError::ShardSizeMissing),
            (other, _) => {
                return Err(OmsError::UnknownMethod {
                    found: shortened(other),
                });
            }
        };
        let unknown = || OmsError::UnknownHash {
            found: shortened(&self.hash_type),
        };
        let hash = self.hash_type.parse().map_err(|_| unknown())?;
        let entries = self.ignore_paths.as_deref().unwrap_or_default();
        if entries.len() > MAX_IGNORE_PATHS {
            return Err(OmsError::TooManyIgnorePaths);
        }
        for entry in entries {
            // Wildcards are not refused: they are characters of an exact path here, and older
            // signers record whatever path they were given.
            path::check(entry).map_err(|fault| OmsError::IgnorePath {
                entry: shortened(entry),
                fault,
            })?;
        }
        let form = Serialization::new(method, hash)?.with_symlinks(self.allow_symlinks);
        Ok(Serialization {
            ignore_paths: self.ignore_paths,
            ..form
        })
    }
}

// Protobuf's JSON form of a struct has only doubles, so `300.0` is read as 300.
fn shard_size(number: &serde_json::Number) -> Result<NonZeroU64, OmsError> {
    /// Above 2^53 a double no longer tells neighbours apart.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let invalid = || OmsError::ShardSizeInvalid {
        found: shortened(&number.to_string()),
    };
    let integral = || {
        let value = number
            .as_f64()
            .filter(|v| (1.0..=EXACT).contains(v) && v.fract() == 0.0)?;
        format!("{value:.0}").parse().ok()
    };
    number
        .as_u64()
        .or_else(integral)
        .and_then(NonZeroU64::new)
        .ok_or_else(invalid)
}

struct ResourcesIn<'a> {
    builder: &'a mut ManifestBuilder,
    // Kept beside serde's error, which can only carry text.
    fault: &'a mut Option<OmsError>,
}

// Unknown members of a resource are ignored (section 5.2.1).
#[derive(Deserialize)]
struct ResourceIn<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    algorithm: Cow<'a, str>,
    #[serde(borrow)]
    digest: Cow<'a, str>,
}

impl<'de> DeserializeSeed<'de> for ResourcesIn<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for ResourcesIn<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of resources")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while let Some(item) = items.next_element::<ResourceIn<'de>>()? {
            if let Err(fault) = push(self.builder, &item) {
                *self.fault = Some(fault);
                return Err(de::Error::custom("refused"));
            }
        }
        Ok(())
    }
}

fn push(builder: &mut ManifestBuilder, item: &ResourceIn<'_>) -> Result<(), OmsError> {
    let form = &builder.serialization;
    let (hash, method) = (form.hash, form.method);
    // Older clients write `sha256-sharded-<size>` under shards.
    let matches = match item.algorithm.strip_prefix(hash.name()) {
        Some("") => true,
        Some(rest) => match method {
            Method::Shards { size } => rest.strip_prefix("-sharded-") == Some(&size.to_string()),
            Method::Files => false,
        },
        None => false,
    };
    if !matches {
        let (name, found) = (shortened(&item.name), shortened(&item.algorithm));
        return Err(OmsError::OtherAlgorithm {
            name,
            expected: hash,
            found,
        });
    }
    let digest = Digest::from_hex(hash, &item.digest).map_err(|fault| OmsError::Digest {
        name: shortened(&item.name),
        fault,
    })?;
    builder.push_name(&item.name, &digest)
}

#[derive(Serialize)]
struct PredicateOut<'a> {
    serialization: SerializationOut<'a>,
    resources: ResourcesOut<'a>,
}

#[derive(Serialize)]
struct SerializationOut<'a> {
    method: &'static str,
    hash_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    shard_size: Option<NonZeroU64>,
    allow_symlinks: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    ignore_paths: Option<&'a [String]>,
}

impl<'a> SerializationOut<'a> {
    fn new(form: &'a Serialization) -> Self {
        let shard_size = match form.method {
            Method::Files => None,
            Method::Shards { size } => Some(size),
        };
        Self {
            method: form.method.name(),
            hash_type: form.hash.name(),
            shard_size,
            allow_symlinks: form.allow_symlinks,
            ignore_paths: form.ignore_paths(),
        }
    }
}

struct ResourcesOut<'a>(&'a Manifest);

#[derive(Serialize)]
struct ResourceOut<'a> {
    name: &'a str,
    algorithm: &'static str,
    digest: &'a str,
}

impl Serialize for ResourcesOut<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let columns = &self.0.columns;
        let algorithm = self.0.serialization.hash.name();
        let mut list = serializer.serialize_seq(Some(columns.ends.len()))?;
        let mut hex = vec![0; columns.width.saturating_mul(2)];
        for index in self.0.code_point_order() {
            let Some((name, digest)) = columns.at(index) else {
                continue;
            };
            hex::encode_to_slice(digest, &mut hex).map_err(serde::ser::Error::custom)?;
            let digest = std::str::from_utf8(&hex).map_err(serde::ser::Error::custom)?;
            list.serialize_element(&ResourceOut {
                name,
                algorithm,
                digest,
            })?;
        }
        list.end()
    }
}
