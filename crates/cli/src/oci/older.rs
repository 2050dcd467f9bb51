//! Signing in the older form of cosign as well, for verifiers that know no other.

use custos_connect::oci::SimpleSigning;
use custos_core::digest::{Algorithm, Digest};
use custos_core::entry::entry_algorithm;
use custos_trust::signer::Signer;

use super::{Image, failure};
use crate::recording::Recording;
use crate::report::Failure;

/// Fails unless verifiers of the older form can verify what `signer` signs: they take SHA-256 for
/// granted, and know no log but Rekor v1.
pub fn check(signer: &dyn Signer) -> Result<(), Failure> {
    let why = if signer.is_keyless() {
        "without a key it would need an entry in a log that is no longer written"
    } else if entry_algorithm(signer.scheme()) != Algorithm::Sha256 {
        "verifiers of the older form take SHA-256 for granted, and this key signs with another hash"
    } else {
        return Ok(());
    };
    Err(
        Failure::usage("E0002", "--signature-tag is not for this key")
            .because(why)
            .help("sign with a P-256 or RSA key, or leave --signature-tag out"),
    )
}

/// Signs, and returns the tag that the signature lies under. It is logged as any other.
pub fn sign(image: &Image, digest: Digest, recording: &Recording<'_>) -> Result<String, Failure> {
    let payload = SimpleSigning::payload(&image.name(), &digest);
    let recorded = recording.message(&Algorithm::Sha256.digest(&payload))?;
    image
        .repository
        .sign_older(&digest, &payload, &recorded.bytes)
        .map_err(|error| failure(&error, &image.repository.reference().at(digest)))
}
