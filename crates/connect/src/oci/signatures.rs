//! What is attached to an image and may be a signature of it, in all the places where cosign has
//! put signatures. Nothing here is believed: candidates are for `custos_trust::verify`.

use custos_core::digest::Digest;

use super::client::{MAX_BLOB, Repository};
use super::error::OciError;
use super::legacy::{self, ENVELOPE, LegacyFault, SIMPLE_SIGNING};
use super::manifest::{Annotations, Descriptor, EMPTY_CONFIG, Manifest};
use super::referrers::Listing;

/// Most candidates of one image: each costs two calls.
pub(super) const MAX_CANDIDATES: usize = 256;
/// Most bytes of all candidates of one image together.
const MAX_TOTAL: u64 = 2 * MAX_BLOB;
/// What the types of Sigstore bundles begin with.
const BUNDLE_PREFIX: &str = "application/vnd.dev.sigstore.bundle";
/// Annotation that says what kind of statement a bundle holds.
const PREDICATE_TYPE: &str = "dev.sigstore.bundle.predicateType";

/// Where candidates are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// Bundles that refer to the image: cosign 3, GitHub, Custos.
    Referrers,
    /// The tag `sha256-HEX.sig`: signatures of cosign before version 3.
    SignatureTag,
    /// The tag `sha256-HEX.att`: statements of cosign before version 3.
    AttestationTag,
}

impl Place {
    /// All places, in the order in which they are worth a look.
    pub const ALL: [Self; 3] = [Self::Referrers, Self::SignatureTag, Self::AttestationTag];

    /// Returns a name for messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Referrers => "referrers",
            Self::SignatureTag => "the tag of signatures (.sig)",
            Self::AttestationTag => "the tag of attestations (.att)",
        }
    }
}

/// Something that may be a signature.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Candidate {
    /// Where it lies, for messages: a digest, or a tag and a position.
    pub name: String,
    /// What it is, or why it is nothing.
    pub content: Result<Signature, CandidateFault>,
}

impl Candidate {
    /// Returns a candidate that was found elsewhere, as in a file.
    pub fn new(name: impl Into<String>, signature: Signature) -> Self {
        Self {
            name: name.into(),
            content: Ok(signature),
        }
    }
}

/// What a candidate is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Signature {
    /// A bundle with a statement, or a bundle made of cosign's older form of one.
    Bundle(Vec<u8>),
    /// A bare envelope with a statement.
    Envelope(Vec<u8>),
    /// Cosign's older form of a signature: a bundle over the bytes of a payload.
    SimpleSigning {
        /// The bundle, made of the annotations.
        bundle: Vec<u8>,
        /// What was signed.
        payload: Vec<u8>,
    },
}

/// Why something that is listed as a signature is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CandidateFault {
    /// An annotation is missing, or not in its form.
    #[error("the annotation {0} is missing or not in its form")]
    Annotation(&'static str),
    /// The envelope is not JSON.
    #[error("the envelope is not in its form")]
    Envelope,
    /// It could not be fetched. What could not be fetched may have been a good signature.
    #[error("{0}")]
    Fetch(Box<OciError>),
    /// It refers to something else.
    #[error("it refers to {found}")]
    Foreign {
        /// What it refers to.
        found: String,
    },
    /// Not one layer with a bundle.
    #[error("it does not hold exactly one bundle")]
    Layers,
}

fn fetch(error: OciError) -> CandidateFault {
    CandidateFault::Fetch(Box::new(error))
}

impl From<LegacyFault> for CandidateFault {
    fn from(fault: LegacyFault) -> Self {
        match fault {
            LegacyFault::Annotation(name) => Self::Annotation(name),
            LegacyFault::Envelope => Self::Envelope,
        }
    }
}

impl Repository {
    /// Returns the candidates for `image`, which the caller has fetched, in one place. If a
    /// predicate type is asked for, bundles that say they hold another one are left out; what they
    /// say can only keep a signature from being found.
    pub fn signatures(
        &self,
        image: &Digest,
        place: Place,
        predicate_type: Option<&str>,
    ) -> Listing<Candidate> {
        let found = match place {
            Place::Referrers => self.bundles(image, predicate_type),
            Place::SignatureTag => self.tagged_layers(image, "sig", SIMPLE_SIGNING),
            Place::AttestationTag => self.tagged_layers(image, "att", ENVELOPE),
        };
        match found {
            Ok(list) => Listing::Known(list),
            Err(error) => Listing::Unknown(Box::new(error)),
        }
    }

    fn bundles(&self, image: &Digest, asked: Option<&str>) -> Result<Vec<Candidate>, OciError> {
        let listed = match self.referrers(image) {
            Listing::Known(listed) => listed,
            Listing::Unknown(error) => return Err(*error),
        };
        let wanted: Vec<&Descriptor> = listed
            .iter()
            .filter(|one| may_be_bundle(one))
            .filter(|one| said_to_be(one.annotation(PREDICATE_TYPE), asked))
            .collect();
        check_count(wanted.len())?;
        let mut search = Search {
            image,
            asked,
            budget: Budget::new(),
        };
        let mut found = Vec::new();
        for one in wanted {
            let content = match self.bundle(one, &mut search) {
                Ok(None) => continue,
                Ok(Some(bytes)) => Ok(Signature::Bundle(bytes)),
                Err(fault) => Err(fault),
            };
            found.push(Candidate {
                name: one.digest.to_string(),
                content,
            });
        }
        Ok(found)
    }

    // The bundle of one referrer; `None` if it is something else.
    fn bundle(
        &self,
        listed: &Descriptor,
        search: &mut Search<'_>,
    ) -> Result<Option<Vec<u8>>, CandidateFault> {
        let fetched = self.manifest(&listed.digest).map_err(fetch)?;
        let Manifest::Image {
            artifact_type,
            layers,
            subject,
            annotations,
            ..
        } = &fetched.manifest
        else {
            return Ok(None);
        };
        let said = annotations.get(PREDICATE_TYPE).map(String::as_str);
        if !artifact_type.starts_with(BUNDLE_PREFIX) || !said_to_be(said, search.asked) {
            return Ok(None);
        }
        // The list is kept by whoever may write there; the manifest says itself what it is about.
        match subject {
            Some(subject) if subject.digest == *search.image => {}
            other => {
                let found = other.as_ref().map(|subject| subject.digest.to_string());
                return Err(CandidateFault::Foreign {
                    found: found.unwrap_or_else(|| "nothing".to_owned()),
                });
            }
        }
        match layers.as_slice() {
            [layer] if layer.media_type.starts_with(BUNDLE_PREFIX) => {
                search.budget.take(layer.size).map_err(fetch)?;
                let bytes = self.blob(layer).map_err(fetch)?;
                Ok(Some(bytes))
            }
            _ => Err(CandidateFault::Layers),
        }
    }

    // The layers of one type below a tag of cosign.
    fn tagged_layers(
        &self,
        image: &Digest,
        ending: &str,
        media_type: &str,
    ) -> Result<Vec<Candidate>, OciError> {
        // Longer than a tag may be: cosign writes no such signatures.
        let Some(tag) = older_tag(image, ending) else {
            return Ok(Vec::new());
        };
        let fetched = match self.tagged(&tag) {
            Ok(fetched) => fetched,
            Err(OciError::NotFound { .. }) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let Manifest::Image { layers, .. } = &fetched.manifest else {
            return Err(OciError::Pages {
                why: "the tag of signatures stands for an index",
            });
        };
        let wanted: Vec<(usize, &Descriptor)> = layers
            .iter()
            .enumerate()
            .filter(|(_, layer)| layer.media_type == media_type)
            .collect();
        check_count(wanted.len())?;
        let mut budget = Budget::new();
        Ok(wanted
            .into_iter()
            .map(|(position, layer)| Candidate {
                name: format!("{tag}: layers[{position}]"),
                content: self.layer(layer, &mut budget),
            })
            .collect())
    }

    fn layer(&self, layer: &Descriptor, budget: &mut Budget) -> Result<Signature, CandidateFault> {
        budget.take(layer.size).map_err(fetch)?;
        let bytes = self.blob(layer).map_err(fetch)?;
        let none = Annotations::new();
        let annotations = layer.annotations.as_ref().unwrap_or(&none);
        if layer.media_type == SIMPLE_SIGNING {
            let bundle = legacy::signature_bundle(annotations)?;
            return Ok(Signature::SimpleSigning {
                bundle,
                payload: bytes,
            });
        }
        Ok(match legacy::attestation_bundle(&bytes, annotations)? {
            Some(bundle) => Signature::Bundle(bundle),
            None => Signature::Envelope(bytes),
        })
    }

    /// Returns the annotations of a bundle's manifest, as cosign writes them.
    pub fn bundle_annotations(predicate_type: &str, created: &str) -> Annotations {
        [
            ("dev.sigstore.bundle.content", "dsse-envelope"),
            (PREDICATE_TYPE, predicate_type),
            ("org.opencontainers.image.created", created),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
    }
}

/// Returns the tag under which cosign before version 3 keeps what belongs to an image; `None` if it
/// would be longer than a tag may be.
pub(super) fn older_tag(image: &Digest, ending: &str) -> Option<String> {
    let tag = format!("{}-{}.{ending}", image.algorithm(), image.to_hex());
    super::reference::is_tag(&tag).then_some(tag)
}

// A list under the fallback tag is kept by clients, and that of cosign 3.0 repeats the type of the
// configuration, which says nothing; what it is then, the manifest says.
fn may_be_bundle(listed: &Descriptor) -> bool {
    let kind = listed.artifact_type.as_deref();
    kind.is_none_or(|kind| kind.starts_with(BUNDLE_PREFIX) || kind == EMPTY_CONFIG)
}

fn said_to_be(said: Option<&str>, asked: Option<&str>) -> bool {
    match (said, asked) {
        (Some(said), Some(asked)) => said == asked,
        _ => true,
    }
}

fn check_count(found: usize) -> Result<(), OciError> {
    if found > MAX_CANDIDATES {
        return Err(OciError::TooMany {
            what: "signatures",
            limit: MAX_CANDIDATES,
        });
    }
    Ok(())
}

// What bundles are looked for.
struct Search<'a> {
    image: &'a Digest,
    asked: Option<&'a str>,
    budget: Budget,
}

// What is left to be fetched.
struct Budget(u64);

impl Budget {
    const fn new() -> Self {
        Self(MAX_TOTAL)
    }

    fn take(&mut self, size: u64) -> Result<(), OciError> {
        let limit = usize::try_from(MAX_TOTAL).unwrap_or(usize::MAX);
        self.0 = self.0.checked_sub(size).ok_or(OciError::TooMany {
            what: "bytes of signatures",
            limit,
        })?;
        Ok(())
    }
}
