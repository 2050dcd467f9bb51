//! Changes to a bundle that may leave its result as it is.

/// Paths without positions, what may happen to them, and why that is right. An allowance that no
/// mutant uses fails the test too.
pub type Neutral = (&'static str, &'static [Kind], &'static str);

/// What happens to a place in a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Delete,
    Duplicate,
    Flip,
    Key,
    Swap,
    Truncate,
    Type,
}

/// Those of bundles by keys and by certificates of a private authority.
pub const NEUTRAL: &[Neutral] = &[
    (
        "dsseEnvelope.signatures[].keyid",
        &[
            Kind::Delete,
            Kind::Duplicate,
            Kind::Flip,
            Kind::Swap,
            Kind::Truncate,
            Kind::Type,
        ],
        "an unauthenticated hint (DSSE): it selects nothing here",
    ),
    (
        "verificationMaterial.publicKey",
        &[Kind::Type],
        "an empty identifier has no hint: see below",
    ),
    (
        "verificationMaterial.publicKey.hint",
        &[
            Kind::Delete,
            Kind::Duplicate,
            Kind::Flip,
            Kind::Truncate,
            Kind::Type,
        ],
        "a hint can only narrow the expected keys: absent or no fingerprint, all of them are tried; \
         another fingerprint is rejected, and so is free text in an OMS bundle",
    ),
    (
        "verificationMaterial.tlogEntries",
        &[Kind::Delete, Kind::Type],
        "an unlogged bundle where that is allowed: absent, null and empty mean the same",
    ),
    (
        "verificationMaterial.x509CertificateChain.certificates",
        &[Kind::Duplicate],
        "certificates behind the leaf are hints for path building: anchors come from the trust \
         root, names and key from the leaf alone",
    ),
    (
        "verificationMaterial.x509CertificateChain.certificates[]",
        &[Kind::Duplicate],
        "the same certificate twice adds no path",
    ),
];

/// Those of real bundles of the public instance.
pub const NEUTRAL_SIGSTORE: &[Neutral] = &[
    (
        "verificationMaterial.timestampVerificationData",
        &[Kind::Delete, Kind::Type],
        "empty in this bundle: absent, null and empty mean the same",
    ),
    (
        "verificationMaterial.tlogEntries[].inclusionProof.checkpoint.envelope",
        &[Kind::Flip],
        "below the signed text, names and lines that belong to no trusted key are ignored (C2SP \
         signed-note); the result carries the signed text only",
    ),
];

/// Those of bundles that an instance of Sigstore vouches for, by a log and by a timestamp that say
/// the same time: each can go where the other stays.
pub const NEUTRAL_VOUCHED: &[Neutral] = &[
    (
        "messageSignature.messageDigest",
        &[Kind::Delete, Kind::Type],
        "a hint: the artifact is hashed, with SHA-256 for want of a name",
    ),
    (
        "verificationMaterial.publicKey",
        &[Kind::Type],
        "an empty identifier has no hint: see below",
    ),
    (
        "verificationMaterial.publicKey.hint",
        &[
            Kind::Delete,
            Kind::Duplicate,
            Kind::Flip,
            Kind::Truncate,
            Kind::Type,
        ],
        "a hint can only narrow the expected keys",
    ),
    (
        "verificationMaterial.timestampVerificationData",
        &[Kind::Delete, Kind::Type],
        "the log vouches for the same time",
    ),
    (
        "verificationMaterial.timestampVerificationData.rfc3161Timestamps",
        &[Kind::Delete, Kind::Duplicate, Kind::Truncate, Kind::Type],
        "the log vouches for the same time; twice the same says no more than once",
    ),
    (
        "verificationMaterial.timestampVerificationData.rfc3161Timestamps[]",
        &[Kind::Delete, Kind::Duplicate],
        "as above",
    ),
    (
        "verificationMaterial.timestampVerificationData.rfc3161Timestamps[].signedTimestamp",
        &[Kind::Flip],
        "around what the authority signed there is a wrapper (versions, a list of hashes, the name \
         of the signature's algorithm, the status: granted, or granted with modifications)",
    ),
    (
        "verificationMaterial.tlogEntries",
        &[Kind::Delete, Kind::Type],
        "no entry where a timestamp is enough: absent, null and empty mean the same",
    ),
    (
        "verificationMaterial.tlogEntries[].inclusionPromise",
        &[Kind::Delete, Kind::Type],
        "there is a proof, and a timestamp of the same time",
    ),
    (
        "verificationMaterial.tlogEntries[].inclusionProof.checkpoint.envelope",
        &[Kind::Flip],
        "Rekor v1 signs under any name: what counts is the key id and the signature",
    ),
    (
        "verificationMaterial.x509CertificateChain.certificates",
        &[Kind::Duplicate],
        "certificates behind the leaf are hints for path building",
    ),
    (
        "verificationMaterial.x509CertificateChain.certificates[]",
        &[Kind::Duplicate],
        "the same certificate twice adds no path",
    ),
    (
        "dsseEnvelope.signatures[].keyid",
        &[Kind::Delete, Kind::Type],
        "an unauthenticated hint (DSSE)",
    ),
];

const WRAPPER: Neutral = (
    "verificationMaterial.timestampVerificationData.rfc3161Timestamps[].signedTimestamp",
    &[Kind::Flip],
    "around what the authority signed there is a wrapper, with certificates that nobody looks at",
);
const SAME_STAMP: Neutral = (
    "verificationMaterial.timestampVerificationData.rfc3161Timestamps",
    &[Kind::Duplicate],
    "twice the same says no more than once",
);
const STAMP_TWICE: Neutral = (
    "verificationMaterial.timestampVerificationData.rfc3161Timestamps[]",
    &[Kind::Duplicate],
    "as above",
);

/// Those of a real attestation in Rekor v2.
pub const NEUTRAL_TILES: &[Neutral] = &[
    WRAPPER,
    SAME_STAMP,
    STAMP_TWICE,
    (
        "verificationMaterial.tlogEntries[].inclusionProof.checkpoint.envelope",
        &[Kind::Flip],
        "below the signed text, lines of witnesses that nobody trusts are ignored",
    ),
];

/// Those of a real file signature in Rekor v1.
pub const NEUTRAL_BLOB: &[Neutral] = &[
    WRAPPER,
    (
        "messageSignature.messageDigest",
        &[Kind::Delete, Kind::Type],
        "a hint: the artifact is hashed, with SHA-256 for want of a name",
    ),
    (
        "verificationMaterial.timestampVerificationData",
        &[Kind::Delete, Kind::Type],
        "the log vouches for a time as well",
    ),
    (
        "verificationMaterial.timestampVerificationData.rfc3161Timestamps",
        &[Kind::Delete, Kind::Duplicate, Kind::Truncate, Kind::Type],
        "as above",
    ),
    (
        "verificationMaterial.timestampVerificationData.rfc3161Timestamps[]",
        &[Kind::Delete, Kind::Duplicate],
        "as above",
    ),
    (
        "verificationMaterial.tlogEntries[].inclusionPromise",
        &[Kind::Delete, Kind::Type],
        "there is a proof, and a timestamp",
    ),
    (
        "verificationMaterial.tlogEntries[].inclusionProof.checkpoint.envelope",
        &[Kind::Flip],
        "Rekor v1 signs under any name: what counts is the key id and the signature",
    ),
];
