//! Attaching something to a manifest: a manifest of its own that names it as its subject
//! ([pushing manifests with subject](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pushing-manifests-with-subject)).
//!
//! A registry with the referrers API says that it took the subject (`OCI-Subject`). For any other
//! one the list under the fallback tag is kept here: read, extended, written only if nobody else
//! wrote in between where the registry supports that, and read again to see that it holds.

use custos_core::json;
use custos_core::limits::Limits;
use custos_net::{Method, NetError, Request, Response, percent_encode};
use serde_json::{Value, json};

use super::client::{Repository, Scope};
use super::error::OciError;
use super::manifest::{
    Annotations, Descriptor, EMPTY_CONFIG, MAX_MANIFEST, OCI_INDEX, OCI_MANIFEST,
};
use super::referrers::{Fallback, MAX_REFERRERS, fallback_tag};

/// How often a list is written again that somebody else wrote at the same time.
const TRIES: usize = 5;

/// What is attached.
#[derive(Debug, Clone)]
#[allow(clippy::exhaustive_structs, reason = "an argument list with names")]
pub struct Attachment<'a> {
    /// What it is attached to.
    pub subject: &'a Descriptor,
    /// Its type; also that of its one layer.
    pub artifact_type: &'a str,
    /// The layer.
    pub bytes: &'a [u8],
    /// Annotations of its manifest.
    pub annotations: Annotations,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attached {
    /// Its manifest.
    pub manifest: Descriptor,
    /// The fallback tag under which it is listed, if the registry keeps no list itself.
    pub fallback_tag: Option<String>,
}

/// Gets what lies under a tag, and returns what should; `None` if nothing is missing.
type Writer<'a> = dyn Fn(Option<&Response>) -> Result<Option<Wanted>, OciError> + 'a;

/// What should lie under a tag.
pub(super) struct Wanted {
    pub(super) media_type: String,
    pub(super) document: String,
}

impl Repository {
    /// Attaches something.
    pub fn attach(&self, attachment: &Attachment<'_>) -> Result<Attached, OciError> {
        let config = Descriptor::of(EMPTY_CONFIG, b"{}");
        let layer = Descriptor::of(attachment.artifact_type, attachment.bytes);
        self.upload(&config, b"{}")?;
        self.upload(&layer, attachment.bytes)?;
        let subject = Descriptor {
            annotations: None,
            platform: None,
            artifact_type: None,
            ..attachment.subject.clone()
        };
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": attachment.artifact_type,
            "config": config,
            "layers": [layer],
            "subject": subject,
            "annotations": attachment.annotations,
        })
        .to_string();
        let descriptor = Descriptor::of(OCI_MANIFEST, manifest.as_bytes());
        let url = self.url(&format!("manifests/{}", descriptor.digest))?;
        let request = Request::new(Method::Put, url)
            .with_header("content-type", OCI_MANIFEST)
            .with_body(manifest);
        let answer = self.call(&request, Scope::Push)?.success()?;
        let taken = answer
            .header("oci-subject")
            .is_some_and(|digest| digest == subject.digest.to_string());
        let listed = Descriptor {
            artifact_type: Some(attachment.artifact_type.to_owned()),
            annotations: Some(attachment.annotations.clone()),
            ..descriptor.clone()
        };
        let fallback_tag = if taken {
            None
        } else {
            Some(self.list(&subject, &listed)?)
        };
        Ok(Attached {
            manifest: descriptor,
            fallback_tag,
        })
    }

    // Uploads a blob in one piece, unless it is there.
    pub(super) fn upload(&self, descriptor: &Descriptor, bytes: &[u8]) -> Result<(), OciError> {
        let url = self.url(&format!("blobs/{}", descriptor.digest))?;
        match self.call(&Request::new(Method::Head, url), Scope::Push) {
            Ok(answer) if answer.status() == 200 => return Ok(()),
            // Where it lies elsewhere, nobody is asked whether it does: it is uploaded again.
            Ok(_) | Err(OciError::Net(NetError::Redirected { .. })) => {}
            Err(error) => return Err(error),
        }
        let url = self.url("blobs/uploads/")?;
        let begin = Request::new(Method::Post, url.clone()).with_body(Vec::new());
        let session = self.call(&begin, Scope::Push)?.success()?;
        let place = session
            .header("location")
            .and_then(|location| session.url().join(location).ok())
            .ok_or(OciError::UploadElsewhere)?;
        // The bytes are no secret, the credentials are: both stay with this registry.
        if place.origin() != url.origin() {
            return Err(OciError::UploadElsewhere);
        }
        let digest = percent_encode(&descriptor.digest.to_string());
        let query = match place.query() {
            Some(query) => format!("{}?{query}&digest={digest}", place.path()),
            None => format!("{}?digest={digest}", place.path()),
        };
        let place = place
            .with_path(&query)
            .map_err(|error| OciError::Net(NetError::Url(error)))?;
        let put = Request::new(Method::Put, place)
            .with_header("content-type", "application/octet-stream")
            .with_body(bytes);
        self.call(&put, Scope::Push)?.success()?;
        Ok(())
    }

    // Adds an entry to the list under the fallback tag, and returns the tag.
    fn list(&self, subject: &Descriptor, entry: &Descriptor) -> Result<String, OciError> {
        let tag = fallback_tag(&subject.digest);
        self.rewrite(&tag, &|found| {
            let found = found.map(Fallback::read).transpose()?;
            let is_entry = |listed: &Descriptor| listed.digest == entry.digest;
            if let Some(found) = &found
                && found.manifests.iter().any(is_entry)
            {
                return Ok(None);
            }
            Ok(Some(Wanted {
                media_type: OCI_INDEX.to_owned(),
                document: extended(found.as_ref(), entry)?,
            }))
        })?;
        Ok(tag)
    }

    /// Writes what lies under a tag until nothing is missing there.
    pub(super) fn rewrite(&self, tag: &str, wanted: &Writer<'_>) -> Result<(), OciError> {
        for _ in 0..TRIES {
            let found = self.under_tag(tag)?;
            let Some(Wanted {
                media_type,
                document,
            }) = wanted(found.as_ref())?
            else {
                return Ok(());
            };
            let url = self.url(&format!("manifests/{tag}"))?;
            let mut request = Request::new(Method::Put, url)
                .with_header("content-type", &media_type)
                .with_body(document);
            if let Some(etag) = found.as_ref().and_then(|found| found.header("etag")) {
                request = request.with_header("if-match", etag);
            }
            let answer = self.call(&request, Scope::Push)?;
            // 412: somebody else was faster. The next round starts with what they wrote.
            if answer.status() != 412 {
                accepted(answer)?;
            }
        }
        if wanted(self.under_tag(tag)?.as_ref())?.is_none() {
            return Ok(());
        }
        Err(OciError::FallbackLost {
            tag: tag.to_owned(),
        })
    }
}

fn accepted(answer: Response) -> Result<(), OciError> {
    answer.success()?;
    Ok(())
}

// What others wrote stays as they wrote it.
fn extended(found: Option<&Fallback>, entry: &Descriptor) -> Result<String, OciError> {
    let Some(found) = found else {
        return Ok(json!({
            "schemaVersion": 2,
            "mediaType": OCI_INDEX,
            "manifests": [entry],
        })
        .to_string());
    };
    if found.manifests.len() >= MAX_REFERRERS {
        return Err(OciError::TooMany {
            what: "referrers",
            limit: MAX_REFERRERS,
        });
    }
    let fault = |error| OciError::Manifest {
        what: "the list of referrers".to_owned(),
        fault: super::ManifestError::Json(error),
    };
    let limits = Limits::SMALL.with_max_bytes(MAX_MANIFEST);
    let mut document: Value = json::from_slice(&found.bytes, &limits).map_err(fault)?;
    if let Some(manifests) = document.get_mut("manifests").and_then(Value::as_array_mut) {
        manifests.push(json!(entry));
    }
    Ok(document.to_string())
}
