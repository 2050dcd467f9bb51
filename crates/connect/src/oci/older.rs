//! Signing in the older form of cosign: one more layer of the image under the tag `.sig`, for
//! verifiers from before version 3 of cosign.

use custos_core::digest::Digest;
use custos_core::json;
use custos_core::limits::Limits;
use custos_net::Response;
use serde_json::{Value, json};

use super::client::{Repository, fetched};
use super::error::OciError;
use super::legacy::{SIMPLE_SIGNING, signature_annotations};
use super::manifest::{Descriptor, MAX_MANIFEST, Manifest, ManifestError, OCI_MANIFEST};
use super::push::Wanted;
use super::signatures::{MAX_CANDIDATES, older_tag};

const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// The time of a configuration that says none.
const NO_TIME: &str = "0001-01-01T00:00:00Z";

/// What is under the tag now, or should be.
struct Layers {
    media_type: String,
    document: Value,
}

impl Repository {
    /// Adds a signature of `image` in the older form of cosign, and returns the tag that it lies
    /// under: `payload` as [`super::SimpleSigning::payload`] has it, and the bundle of a signature
    /// over it. What others put there stays. Of the bundle the entry in a log is left out, as this
    /// form only knows those of Rekor v1.
    pub fn sign_older(
        &self,
        image: &Digest,
        payload: &[u8],
        bundle: &[u8],
    ) -> Result<String, OciError> {
        let tag = older_tag(image, "sig").ok_or(OciError::TagTooLong { digest: *image })?;
        let annotations = signature_annotations(bundle).ok_or_else(|| malformed("the bundle"))?;
        let mut layer = Descriptor::of(SIMPLE_SIGNING, payload);
        self.upload(&layer, payload)?;
        layer.annotations = Some(annotations);
        self.rewrite(&tag, &|found| {
            let mut layers = match found {
                Some(answer) => Layers::read(answer)?,
                None => Layers::none(),
            };
            if !layers.add(&layer)? {
                return Ok(None);
            }
            let config = layers.config().to_string();
            let descriptor = Descriptor::of(CONFIG, config.as_bytes());
            self.upload(&descriptor, config.as_bytes())?;
            layers.set_config(&descriptor);
            Ok(Some(Wanted {
                media_type: layers.media_type,
                document: layers.document.to_string(),
            }))
        })?;
        Ok(tag)
    }
}

impl Layers {
    fn none() -> Self {
        Self {
            media_type: OCI_MANIFEST.to_owned(),
            document: json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": []}),
        }
    }

    fn read(answer: &Response) -> Result<Self, OciError> {
        let found = fetched(answer, None, "the tag of signatures")?;
        if !matches!(found.manifest, Manifest::Image { .. }) {
            return Err(OciError::Pages {
                why: "the tag of signatures stands for an index",
            });
        }
        let limits = Limits::SMALL.with_max_bytes(MAX_MANIFEST);
        let document =
            json::from_slice(&found.bytes, &limits).map_err(|error| OciError::Manifest {
                what: "the tag of signatures".to_owned(),
                fault: ManifestError::Json(error),
            })?;
        Ok(Self {
            media_type: found.descriptor.media_type,
            document,
        })
    }

    // Adds a layer; false if it is there.
    fn add(&mut self, layer: &Descriptor) -> Result<bool, OciError> {
        let layer = json!(layer);
        let layers = self
            .document
            .get_mut("layers")
            .and_then(Value::as_array_mut);
        let layers = layers.ok_or_else(|| malformed("the tag of signatures"))?;
        if layers.contains(&layer) {
            return Ok(false);
        }
        if layers.len() >= MAX_CANDIDATES {
            return Err(OciError::TooMany {
                what: "signatures",
                limit: MAX_CANDIDATES,
            });
        }
        layers.push(layer);
        Ok(true)
    }

    // The configuration that tools for images expect: a layer of a signature is not compressed.
    fn config(&self) -> Value {
        let layers = self.document.get("layers").and_then(Value::as_array);
        let digests: Vec<&Value> = layers
            .into_iter()
            .flatten()
            .filter_map(|layer| layer.get("digest"))
            .collect();
        let history = vec![json!({"created": NO_TIME}); digests.len()];
        json!({
            "architecture": "",
            "os": "",
            "created": NO_TIME,
            "config": {},
            "history": history,
            "rootfs": {"type": "layers", "diff_ids": digests},
        })
    }

    fn set_config(&mut self, config: &Descriptor) {
        if let Some(document) = self.document.as_object_mut() {
            document.insert("config".to_owned(), json!(config));
        }
    }
}

fn malformed(what: &str) -> OciError {
    OciError::Manifest {
        what: what.to_owned(),
        fault: ManifestError::OtherKind,
    }
}
