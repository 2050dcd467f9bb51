//! OpenSSF Model Signing (OMS) v1.0: the listing of a model's files that is signed.
//!
//! Spec: ossf/model-signing-spec, `spec/v1.0.md`. A [`Manifest`] names every file of a model with
//! its digest; [`Manifest::to_statement`] writes it strictly, [`SignedManifest::from_statement`]
//! reads it as leniently as bundles in the field need: listed order, an integral float as
//! `shard_size`, `sha256-sharded-N` as algorithm, and the form of `model_signing` 0.2.0.
//!
//! What it is not: it reads no file, and it does not say who signed.

mod builder;
mod columns;
mod compare;
mod error;
mod legacy;
mod manifest;
mod path;
mod serialization;
mod wire;

pub use builder::ManifestBuilder;
pub use columns::MAX_RESOURCES;
pub use compare::{Difference, DifferenceKind, Differences, compare};
pub use error::OmsError;
pub use legacy::{LEGACY_PREDICATE_TYPE, legacy_pae};
pub use manifest::{LISTING_DIGEST, Manifest, Order, Resource};
pub use path::{
    BARE_FILE, Exclusions, GIT_PATHS, HOME_NAME, MAX_IGNORE_PATHS, PathFault, SIGNATURE_NAME,
    TreePath,
};
pub use serialization::{DEFAULT_SHARD_SIZE, Method, Serialization};

/// The predicate type of OMS v1.0.
pub const PREDICATE_TYPE: &str = "https://model_signing/signature/v1.0";

/// What a statement says about a model.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SignedManifest {
    /// The model's name: information, never a base for a decision.
    pub name: String,
    /// Its files.
    pub manifest: Manifest,
    /// The form in which it was signed.
    pub form: Form,
}

/// The form of a signed manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Form {
    /// [`PREDICATE_TYPE`].
    V1,
    /// [`LEGACY_PREDICATE_TYPE`].
    Legacy,
}

/// Entry for fuzzing: any bytes as a statement; what is read must survive a round trip.
#[doc(hidden)]
pub fn fuzz_oms(data: &[u8]) {
    let Ok(statement) = crate::statement::Statement::parse(data) else {
        return;
    };
    let Ok(signed) = SignedManifest::from_statement(&statement) else {
        return;
    };
    let Ok(again) = signed.manifest.to_statement("model") else {
        return;
    };
    let roots = |m: &Manifest| (m.root_digest_in(Order::CodePoint), m.listing_digest());
    let read = SignedManifest::from_statement(&again).map(|signed| signed.manifest);
    assert!(
        read.as_ref()
            .is_ok_and(|read| roots(read) == roots(&signed.manifest)
                && compare(&signed.manifest, read, 1).is_ok_and(|found| found.is_empty())),
        "what was read is not what was written: {read:?}"
    );
}

#[cfg(test)]
mod tests;
