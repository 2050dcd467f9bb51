//! The result of verification, which nothing else can make.

use std::collections::BTreeSet;

use custos_core::clock::Timestamp;
use custos_core::crypto::KeyId;
use custos_core::digest::{Digest, DigestSet};
use custos_core::identity::Identity;
use custos_core::statement::Statement;
use serde::Serialize;

use super::report::Check;

/// A value that verification vouches for, with everything it is known by.
///
/// Only [`super::verify`] makes one. It has no public constructor:
///
/// ```compile_fail,E0451
/// use custos_trust::Verified;
/// fn forge(parts: custos_trust::verify::Proof) -> Verified<u32> {
///     Verified { content: 1, proof: parts }
/// }
/// ```
///
/// its parts can be looked at, not made:
///
/// ```compile_fail,E0451
/// fn forge(checks: Vec<custos_trust::verify::Check>) -> custos_trust::verify::Proof {
///     custos_trust::verify::Proof { checks, ..todo!() }
/// }
/// ```
///
/// no default:
///
/// ```compile_fail,E0277
/// fn needs<T: Default>() {}
/// needs::<custos_trust::Verified<u32>>();
/// ```
///
/// and it comes out of no database row, as it cannot be deserialised:
///
/// ```compile_fail,E0277
/// fn needs<T: serde::de::DeserializeOwned>() {}
/// needs::<custos_trust::Verified<u32>>();
/// ```
///
/// The same calls compile for a type that is what they ask for, so it is the missing constructor
/// and the missing traits that fail above:
///
/// ```
/// fn needs<T: serde::de::DeserializeOwned + Default>() {}
/// needs::<String>();
/// fn look(verified: &custos_trust::Verified<u32>) -> (&u32, &custos_trust::verify::Proof) {
///     (verified.content(), verified.proof())
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Verified<T> {
    content: T,
    proof: Proof,
}

impl<T> Verified<T> {
    pub(in crate::verify) const fn new(content: T, proof: Proof) -> Self {
        Self { content, proof }
    }

    /// Returns what was signed.
    pub const fn content(&self) -> &T {
        &self.content
    }

    /// Returns what it is known by.
    pub const fn proof(&self) -> &Proof {
        &self.proof
    }

    /// Gives up the guarantee and returns what was signed.
    pub fn into_content(self) -> T {
        self.content
    }

    /// Returns who signed, as found; of a bare envelope, the first of the expected ones.
    pub const fn signer(&self) -> &Identity {
        &self.proof.first.identity
    }

    /// Returns the name under which that signer was expected.
    pub fn signer_name(&self) -> &str {
        &self.proof.first.name
    }

    /// Returns every expected signer who signed; more than one only for a bare envelope.
    pub fn signers(&self) -> impl Iterator<Item = &Signatory> {
        std::iter::once(&self.proof.first).chain(&self.proof.others)
    }

    /// Returns the proofs of inclusion; empty if there are none and that was allowed.
    pub fn log(&self) -> &[LogProof] {
        &self.proof.log
    }

    /// Returns the position in the log with this origin.
    pub fn index_in(&self, origin: &str) -> Option<u64> {
        self.proof
            .log
            .iter()
            .find(|proof| proof.origin == origin)
            .map(|proof| proof.index)
    }

    /// Returns what is known about the time of signing.
    pub const fn time(&self) -> SignedTime {
        self.proof.time
    }

    /// Returns true if the bundle is of an old, broken form that is only read.
    pub const fn is_legacy(&self) -> bool {
        self.proof.legacy
    }

    /// Returns the SHA-256 of the bundle's bytes.
    pub const fn bundle_digest(&self) -> Digest {
        self.proof.bundle_digest
    }

    /// Returns the SHA-256 of the signed payload; of a message, its digest.
    pub const fn payload_digest(&self) -> Digest {
        self.proof.payload_digest
    }

    /// Returns the digests of the artifact that it was verified for.
    pub const fn artifact(&self) -> &DigestSet {
        &self.proof.artifact
    }

    /// Returns the digest of the trust root.
    pub const fn trust_root(&self) -> Digest {
        self.proof.trust_root
    }

    /// Returns the checks that were made.
    pub fn checks(&self) -> &[Check] {
        &self.proof.checks
    }
}

impl Verified<Statement> {
    /// Returns the statement.
    pub const fn statement(&self) -> &Statement {
        &self.content
    }
}

/// What a [`Verified`] value is known by. Serialised for people to read; never read back.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Proof {
    // A signer at least is part of the type, not a promise about a list.
    #[serde(rename = "signer")]
    pub(in crate::verify) first: Signatory,
    #[serde(rename = "otherSigners", skip_serializing_if = "Vec::is_empty")]
    pub(in crate::verify) others: Vec<Signatory>,
    pub(in crate::verify) log: Vec<LogProof>,
    pub(in crate::verify) time: SignedTime,
    pub(in crate::verify) legacy: bool,
    pub(in crate::verify) bundle_digest: Digest,
    pub(in crate::verify) payload_digest: Digest,
    pub(in crate::verify) artifact: DigestSet,
    pub(in crate::verify) trust_root: Digest,
    pub(in crate::verify) checks: Vec<Check>,
}

/// An expected signer who signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Signatory {
    /// Who it is, as found.
    pub identity: Identity,
    /// The name under which they were expected.
    pub name: String,
}

/// Where a signature stands in a log, proven.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct LogProof {
    /// The log.
    pub origin: String,
    /// Position in the log.
    pub index: u64,
    /// Size of the tree of the checkpoint.
    pub tree_size: u64,
    /// The checkpoint's signed text: origin, size, root. Its signature lines, of which some may
    /// be by anybody, stay in the bundle.
    pub checkpoint: String,
    /// Names of the trusted witnesses that cosigned the checkpoint.
    pub witnesses: Vec<String>,
    /// The log promised to include the entry, and no proof shows that it did: then there is no
    /// tree, and the index counts over all trees of the log. Bundles v0.1 may be like that.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub promise_only: bool,
}

/// What is known about the time of signing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
#[non_exhaustive]
pub enum SignedTime {
    /// A timestamp authority or a log of the trust root vouches for it.
    Trusted {
        /// The earliest trusted time.
        at: Timestamp,
    },
    /// Nobody vouches for a time: certificates were judged at the time of verification.
    Untrusted,
}

/// Counts the different keys that signed: one key under two names, or signing twice, is one.
///
/// Thresholds are about distinct keys (the class of `duplicate-sig-keys` in TUF).
pub fn distinct_keys<'a, T: 'a>(verified: impl IntoIterator<Item = &'a Verified<T>>) -> usize {
    let keys: BTreeSet<KeyId> = verified
        .into_iter()
        .flat_map(Verified::signers)
        .map(|signatory| *signatory.identity.key())
        .collect();
    keys.len()
}
