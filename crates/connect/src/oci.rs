//! Container registries: images, models, and the signatures attached to them.
//!
//! Specs: [OCI distribution](https://github.com/opencontainers/distribution-spec) 1.1,
//! [OCI image](https://github.com/opencontainers/image-spec) 1.1, and the token service of
//! [Docker's registry](https://distribution.github.io/distribution/spec/auth/token/).
//!
//! - A [`Reference`] names something in a registry, as `docker pull` understands it.
//! - A [`Repository`] is a connection to one repository of one registry. What is fetched by digest
//!   is checked against that digest, what is fetched by descriptor against its size and type too.
//! - [`Repository::referrers`] lists what refers to a manifest: by the referrers API, or by the
//!   fallback tag where a registry has none. It answers with what is [`Listing::Known`], or that
//!   it is [`Listing::Unknown`]: a registry that fails has not said that there is nothing.
//! - [`Repository::attach`] adds a referrer.
//! - [`Repository::sign_older`] adds a signature in cosign's older form.
//! - [`Repository::signatures`] brings the bundles and older signatures of cosign as [`Candidate`]s
//!   for `custos_trust::verify`.
//!
//! What it is not: it pulls no images, it retries nothing, and it keeps nothing on disk.

mod challenge;
mod client;
mod credentials;
mod error;
mod legacy;
mod manifest;
mod older;
mod push;
mod reference;
mod referrers;
mod signatures;
mod token;

pub use client::{Access, MAX_BLOB, Repository};
pub use credentials::{Credential, CredentialError, Credentials};
pub use error::OciError;
pub use legacy::{SimpleSigning, SimpleSigningError};
pub use manifest::{Annotations, Descriptor, Fetched, Manifest, ManifestError, Platform};
pub use push::{Attached, Attachment};
pub use reference::{Reference, ReferenceError, Registry};
pub use referrers::Listing;
pub use signatures::{Candidate, CandidateFault, Place, Signature};

pub(crate) use challenge::fuzz_challenge;
pub(crate) use credentials::fuzz_config;
pub(crate) use legacy::fuzz_simple_signing;
pub(crate) use manifest::fuzz_manifest;
pub(crate) use reference::fuzz_reference;

/// Media type and artifact type of a Sigstore bundle v0.3.
pub const BUNDLE_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// Predicate type of the statement that cosign signs an image with.
pub const COSIGN_SIGN: &str = "https://sigstore.dev/cosign/sign/v1";
/// Artifact type of a model packed after the CNCF's `ModelPack` specification.
pub const MODELPACK: &str = "application/vnd.cncf.model.manifest.v1+json";
