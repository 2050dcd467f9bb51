//! Manifests and indexes ([OCI image](https://github.com/opencontainers/image-spec) 1.1, and
//! Docker's image manifest version 2).
//!
//! A document that can be read both as an image and as an index is refused (CVE-2021-41190): one
//! reader would check one of them, and another would run the other.

use std::collections::BTreeMap;

use custos_core::digest::{Algorithm, Digest};
use custos_core::json::{self, JsonError};
use custos_core::limits::Limits;
use serde::{Deserialize, Serialize};

/// Largest manifest or index, in bytes: what the distribution specification asks for.
pub(crate) const MAX_MANIFEST: usize = 4 << 20;
/// Longest media type (RFC 6838 section 4.2), in bytes.
const MAX_MEDIA_TYPE: usize = 255;

/// Media type of an OCI image manifest.
pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Media type of an OCI image index.
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Media type of a configuration that says nothing.
pub(crate) const EMPTY_CONFIG: &str = "application/vnd.oci.empty.v1+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// What is accepted as an answer to a request for a manifest.
pub(crate) const ACCEPT: &str = "application/vnd.oci.image.manifest.v1+json, \
    application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, \
    application/vnd.docker.distribution.manifest.list.v2+json";

/// Names and values that somebody attached; nobody vouches for them.
pub type Annotations = BTreeMap<String, String>;

/// A thing by its type, digest and size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Descriptor {
    /// Media type.
    pub media_type: String,
    /// Digest of its bytes.
    pub digest: Digest,
    /// Number of its bytes.
    pub size: u64,
    /// What kind of artifact a manifest is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Annotations>,
    /// The platform that an image of an index is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
}

impl Descriptor {
    /// Returns a descriptor of `bytes`.
    pub fn of(media_type: &str, bytes: &[u8]) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest: Algorithm::Sha256.digest(bytes),
            size: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            artifact_type: None,
            annotations: None,
            platform: None,
        }
    }

    /// Returns an annotation.
    pub fn annotation(&self, name: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(name).map(String::as_str)
    }
}

/// What an image runs on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Platform {
    /// Operating system.
    pub os: String,
    /// Architecture.
    pub architecture: String,
    /// Variant of the architecture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

/// An image manifest or an index, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Manifest {
    /// One image, model or other artifact.
    Image {
        /// What kind of artifact it is: its own word, or the type of its configuration.
        artifact_type: String,
        /// The configuration.
        config: Box<Descriptor>,
        /// The layers.
        layers: Vec<Descriptor>,
        /// What it refers to.
        subject: Option<Descriptor>,
        /// Annotations.
        annotations: Annotations,
    },
    /// Several, as for several platforms.
    Index {
        /// Its members.
        manifests: Vec<Descriptor>,
        /// What it refers to.
        subject: Option<Descriptor>,
        /// Annotations.
        annotations: Annotations,
    },
}

impl Manifest {
    /// Returns what it refers to.
    pub const fn subject(&self) -> Option<&Descriptor> {
        match self {
            Self::Image { subject, .. } | Self::Index { subject, .. } => subject.as_ref(),
        }
    }

    /// Returns its annotations.
    pub const fn annotations(&self) -> &Annotations {
        match self {
            Self::Image { annotations, .. } | Self::Index { annotations, .. } => annotations,
        }
    }

    /// Returns an error unless this is the media type of a manifest or index.
    pub(crate) fn check_type(content_type: &str) -> Result<(), ManifestError> {
        told(content_type).map(drop)
    }

    /// Parses `bytes` that came as `content_type`; the document's own word must agree. Returns the
    /// media type as well.
    pub fn parse(bytes: &[u8], content_type: &str) -> Result<(String, Self), ManifestError> {
        let limits = Limits::SMALL.with_max_bytes(MAX_MANIFEST);
        let wire: Wire = json::from_slice(bytes, &limits).map_err(ManifestError::Json)?;
        let (told, kind) = told(content_type)?;
        match &wire.media_type {
            Some(own) if *own != told => {
                return Err(ManifestError::MediaTypes {
                    told,
                    own: shown(own),
                });
            }
            None if told == DOCKER_MANIFEST || told == DOCKER_LIST => {
                return Err(ManifestError::MediaType {
                    found: String::new(),
                });
            }
            _ => {}
        }
        let manifest = wire.into_manifest(kind)?;
        Ok((told, manifest))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Image,
    Index,
}

impl Kind {
    fn of(media_type: &str) -> Option<Self> {
        match media_type {
            OCI_MANIFEST | DOCKER_MANIFEST => Some(Self::Image),
            OCI_INDEX | DOCKER_LIST => Some(Self::Index),
            _ => None,
        }
    }
}

// What is in the way of being read in two ways is a member here, whatever it holds.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    schema_version: u64,
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    #[serde(default)]
    manifests: Members,
    subject: Option<Descriptor>,
    annotations: Option<Annotations>,
    fs_layers: Option<serde::de::IgnoredAny>,
    history: Option<serde::de::IgnoredAny>,
}

// The members of an index. Registries that are written in Go say `null` for a list of nothing.
#[derive(Default)]
enum Members {
    #[default]
    Absent,
    Null,
    List(Vec<Descriptor>),
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let found = Option::deserialize(deserializer)?;
        Ok(found.map_or(Self::Null, Self::List))
    }
}

impl Wire {
    fn into_manifest(self, kind: Kind) -> Result<Manifest, ManifestError> {
        if self.schema_version != 2 {
            return Err(ManifestError::SchemaVersion {
                found: self.schema_version,
            });
        }
        let image = self.config.is_some() || self.layers.is_some();
        let first = self.fs_layers.is_some() || self.history.is_some();
        let index = matches!(self.manifests, Members::List(_));
        if first || (image && index) {
            return Err(ManifestError::TwoKinds);
        }
        let annotations = self.annotations.unwrap_or_default();
        match (kind, self.config, self.layers, self.manifests) {
            (Kind::Image, Some(config), Some(layers), Members::Absent | Members::Null) => {
                let own = self.artifact_type.filter(|kind| !kind.is_empty());
                Ok(Manifest::Image {
                    artifact_type: own.unwrap_or_else(|| config.media_type.clone()),
                    config: Box::new(config),
                    layers,
                    subject: self.subject,
                    annotations,
                })
            }
            (Kind::Index, None, None, Members::Null) => Ok(Manifest::Index {
                manifests: Vec::new(),
                subject: self.subject,
                annotations,
            }),
            (Kind::Index, None, None, Members::List(manifests)) => Ok(Manifest::Index {
                manifests,
                subject: self.subject,
                annotations,
            }),
            _ => Err(ManifestError::OtherKind),
        }
    }
}

// The media type without its parameters.
fn told(content_type: &str) -> Result<(String, Kind), ManifestError> {
    let told = content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    match Kind::of(&told) {
        Some(kind) => Ok((told, kind)),
        None => Err(ManifestError::MediaType {
            found: shown(&told),
        }),
    }
}

fn shown(text: &str) -> String {
    text.chars().take(MAX_MEDIA_TYPE).collect()
}

/// A manifest as it came: whoever names it by digest means these very bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fetched {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Type, digest and size of the bytes.
    pub descriptor: Descriptor,
    /// What they say.
    pub manifest: Manifest,
}

/// Why a document is not a manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// Not JSON, or beyond a limit.
    #[error("{0}")]
    Json(JsonError),
    /// Not the media type of a manifest, or none.
    #[error("its media type `{found}` is not of a manifest")]
    MediaType {
        /// The media type found.
        found: String,
    },
    /// The registry and the document differ about what it is.
    #[error("the registry says it is `{told}`, it says itself that it is `{own}`")]
    MediaTypes {
        /// The word of the registry.
        told: String,
        /// The word of the document.
        own: String,
    },
    /// Not of the kind that its media type, or its descriptor, says.
    #[error("it does not hold what its media type says")]
    OtherKind,
    /// Not version 2.
    #[error("its schema version is {found}, not 2")]
    SchemaVersion {
        /// The version found.
        found: u64,
    },
    /// Both an image and an index.
    #[error("it can be read as an image and as an index")]
    TwoKinds,
}

pub(crate) fn fuzz_manifest(data: &[u8]) {
    for kind in [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST] {
        if let Ok((told, manifest)) = Manifest::parse(data, kind) {
            assert_eq!(told, kind);
            let index = matches!(manifest, Manifest::Index { .. });
            assert_eq!(index, Kind::of(kind) == Some(Kind::Index));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn descriptor() -> Value {
        json!({"mediaType": "x/y", "digest": format!("sha256:{}", "0".repeat(64)), "size": 3})
    }

    fn parse(value: &Value, kind: &str) -> Result<Manifest, ManifestError> {
        Manifest::parse(value.to_string().as_bytes(), kind).map(|(_, manifest)| manifest)
    }

    fn image() -> Value {
        json!({"schemaVersion": 2, "config": descriptor(), "layers": [descriptor()]})
    }

    fn index() -> Value {
        json!({"schemaVersion": 2, "manifests": [descriptor()]})
    }

    fn with(mut value: Value, name: &str, member: Value) -> Value {
        value[name] = member;
        value
    }

    #[test]
    fn images_and_indexes() {
        let found = parse(&image(), OCI_MANIFEST).unwrap();
        let Manifest::Image { artifact_type, .. } = &found else {
            panic!("{found:?}");
        };
        assert_eq!(artifact_type, "x/y");
        let docker = with(image(), "mediaType", json!(DOCKER_MANIFEST));
        assert!(
            parse(
                &docker,
                "application/vnd.docker.distribution.manifest.v2+json; charset=utf-8"
            )
            .is_ok()
        );
        let typed = with(image(), "artifactType", json!("application/x"));
        let Manifest::Image { artifact_type, .. } = parse(&typed, OCI_MANIFEST).unwrap() else {
            panic!();
        };
        assert_eq!(artifact_type, "application/x");
        assert!(matches!(
            parse(&index(), OCI_INDEX),
            Ok(Manifest::Index { .. })
        ));
        for nothing in [json!([]), Value::Null] {
            let Ok(Manifest::Index { manifests, .. }) =
                parse(&with(index(), "manifests", nothing), OCI_INDEX)
            else {
                panic!();
            };
            assert_eq!(manifests, []);
        }
    }

    #[test]
    fn nothing_can_be_read_in_two_ways() {
        for (document, kind) in [
            (with(image(), "manifests", json!([])), OCI_MANIFEST),
            (with(index(), "layers", json!([])), OCI_INDEX),
            (with(index(), "config", descriptor()), OCI_INDEX),
            (with(image(), "fsLayers", json!([])), OCI_MANIFEST),
            (with(index(), "history", json!([])), OCI_INDEX),
        ] {
            assert_eq!(
                parse(&document, kind),
                Err(ManifestError::TwoKinds),
                "{document}"
            );
        }
        assert_eq!(parse(&image(), OCI_INDEX), Err(ManifestError::OtherKind));
        assert_eq!(parse(&index(), OCI_MANIFEST), Err(ManifestError::OtherKind));
        for (own, told) in [(OCI_INDEX, OCI_MANIFEST), ("text/html", OCI_MANIFEST)] {
            let document = with(image(), "mediaType", json!(own));
            let found = parse(&document, told);
            assert!(
                matches!(found, Err(ManifestError::MediaTypes { .. })),
                "{found:?}"
            );
        }
        // One of two equal names would be read by one parser, the other by another.
        let twice = br#"{"schemaVersion":2,"manifests":[],"manifests":[]}"#;
        assert!(Manifest::parse(twice, OCI_INDEX).is_err());
    }

    #[test]
    fn what_is_no_manifest() {
        for (document, kind) in [
            (image(), "text/html"),
            (image(), "application/json"),
            (image(), ""),
            (image(), DOCKER_MANIFEST),
            (index(), DOCKER_LIST),
            (with(image(), "schemaVersion", json!(1)), OCI_MANIFEST),
            (with(image(), "layers", json!({})), OCI_MANIFEST),
            (with(image(), "config", Value::Null), OCI_MANIFEST),
            (json!({"schemaVersion": 2}), OCI_INDEX),
            (json!([]), OCI_INDEX),
        ] {
            assert!(parse(&document, kind).is_err(), "{document} {kind}");
        }
        for bad in ["md5:00", "sha256:00", "../../x"] {
            let mut entry = descriptor();
            entry["digest"] = json!(bad);
            assert!(parse(&with(index(), "manifests", json!([entry])), OCI_INDEX).is_err());
        }
        let mut entry = descriptor();
        entry["size"] = json!(-1);
        assert!(parse(&with(index(), "manifests", json!([entry])), OCI_INDEX).is_err());
        let large = vec![b' '; MAX_MANIFEST + 1];
        assert!(matches!(
            Manifest::parse(&large, OCI_INDEX),
            Err(ManifestError::Json(JsonError::TooLarge { .. }))
        ));
    }

    proptest! {
        #[test]
        fn never_panics(at in 0..200_usize, byte in any::<u8>()) {
            for document in [image(), index()] {
                let mut bytes = document.to_string().into_bytes();
                let at = at % bytes.len();
                bytes[at] = byte;
                fuzz_manifest(&bytes);
            }
        }
    }
}
