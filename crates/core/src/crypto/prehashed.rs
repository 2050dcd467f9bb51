//! Signatures over a message of which only the digest is at hand, as in a log of digests.

use aws_lc_rs::digest as lc_digest;
use aws_lc_rs::signature::UnparsedPublicKey;
use ed25519_dalek::{Signature, SigningKey, VerifyingKey};
use sha2::digest::consts::U64;
use sha2::digest::{Digest as Hasher, FixedOutput, HashMarker, Output, OutputSizeUser, Update};

use super::{Inner, KeyPair, PublicKey, RsaPair, Scheme, SignatureError};
use crate::digest::{Algorithm, Digest};
use crate::entry::entry_algorithm;

impl PublicKey {
    /// Verifies `signature` over the message with this digest, which is of the hash that the
    /// scheme has in a log entry ([`entry_algorithm`]). ECDSA signatures are DER
    /// `Ecdsa-Sig-Value`. Pure Ed25519 never signs a digest.
    pub fn verify_digest(
        &self,
        scheme: Scheme,
        digest: &Digest,
        signature: &[u8],
    ) -> Result<(), SignatureError> {
        if scheme.key_kind() != self.kind() {
            return Err(SignatureError::SchemeDoesNotFitKey);
        }
        match scheme {
            Scheme::Ed25519 => Err(SignatureError::MessageNeeded),
            Scheme::Ed25519ph => self.verify_prehashed(Given::new(digest)?, signature),
            _ => UnparsedPublicKey::new(super::algorithm(scheme), self.raw())
                .verify_digest(&import(scheme, digest)?, signature)
                .map_err(|_| SignatureError::Invalid),
        }
    }

    /// Verifies an Ed25519ph signature over what `hasher` took in.
    pub(super) fn verify_prehashed<D>(
        &self,
        hasher: D,
        signature: &[u8],
    ) -> Result<(), SignatureError>
    where
        D: Hasher<OutputSize = U64>,
    {
        let bytes = self
            .ed25519_bytes()
            .ok_or(SignatureError::SchemeDoesNotFitKey)?;
        let key = VerifyingKey::from_bytes(&bytes).map_err(|_| SignatureError::Invalid)?;
        let signature = Signature::from_slice(signature).map_err(|_| SignatureError::Invalid)?;
        // Strict: no small-order points, so that one signature fits one message and one key.
        key.verify_prehashed_strict(hasher, None, &signature)
            .map_err(|_| SignatureError::Invalid)
    }
}

impl KeyPair {
    /// Signs the message with this digest, which is of the hash that the scheme has in a log entry
    /// ([`entry_algorithm`]). ECDSA signatures come as DER `Ecdsa-Sig-Value`.
    pub fn sign_digest(&self, scheme: Scheme, digest: &Digest) -> Result<Vec<u8>, SignatureError> {
        if scheme.key_kind() != self.public.kind() {
            return Err(SignatureError::SchemeDoesNotFitKey);
        }
        match (&self.inner, scheme) {
            (_, Scheme::Ed25519) => Err(SignatureError::MessageNeeded),
            (Inner::Ed25519(pair), _) => SigningKey::from_bytes(&*super::ed25519_seed(pair)?)
                .sign_prehashed(Given::new(digest)?, None)
                .map(|signature| signature.to_bytes().to_vec())
                .map_err(|_| SignatureError::SigningFailed),
            (Inner::Ecdsa(pair), _) => pair
                .sign_digest(&import(scheme, digest)?)
                .map(|signature| signature.as_ref().to_vec())
                .map_err(|_| SignatureError::SigningFailed),
            (Inner::Rsa(pair), _) => sign_rsa_digest(pair, scheme, &import(scheme, digest)?),
        }
    }
}

fn sign_rsa_digest(
    pair: &RsaPair,
    scheme: Scheme,
    digest: &lc_digest::Digest,
) -> Result<Vec<u8>, SignatureError> {
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign_digest(super::rsa_encoding(scheme), digest, &mut signature)
        .map_err(|_| SignatureError::SigningFailed)?;
    Ok(signature)
}

fn import(scheme: Scheme, digest: &Digest) -> Result<lc_digest::Digest, SignatureError> {
    if digest.algorithm() != entry_algorithm(scheme) {
        return Err(SignatureError::SchemeDoesNotFitKey);
    }
    let hash = match digest.algorithm() {
        Algorithm::Sha384 => &lc_digest::SHA384,
        Algorithm::Sha512 => &lc_digest::SHA512,
        _ => &lc_digest::SHA256,
    };
    lc_digest::Digest::import_less_safe(digest.as_bytes(), hash)
        .map_err(|_| SignatureError::SchemeDoesNotFitKey)
}

/// A digest that is known already, in the place of a hasher.
struct Given([u8; 64]);

impl Given {
    fn new(digest: &Digest) -> Result<Self, SignatureError> {
        if digest.algorithm() != Algorithm::Sha512 {
            return Err(SignatureError::SchemeDoesNotFitKey);
        }
        digest
            .as_bytes()
            .try_into()
            .map(Self)
            .map_err(|_| SignatureError::SchemeDoesNotFitKey)
    }
}

impl Default for Given {
    fn default() -> Self {
        Self([0; 64])
    }
}

impl Update for Given {
    fn update(&mut self, _: &[u8]) {}
}

impl OutputSizeUser for Given {
    type OutputSize = U64;
}

impl FixedOutput for Given {
    fn finalize_into(self, out: &mut Output<Self>) {
        out.copy_from_slice(&self.0);
    }
}

impl HashMarker for Given {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_stands_for_its_message() {
        for scheme in Scheme::ALL {
            let pair = super::super::tests::pair(scheme.key_kind());
            let key = pair.public_key();
            let digest = entry_algorithm(scheme).digest(b"message");
            if scheme == Scheme::Ed25519 {
                assert_eq!(
                    pair.sign_digest(scheme, &digest),
                    Err(SignatureError::MessageNeeded)
                );
                assert_eq!(
                    key.verify_digest(scheme, &digest, b""),
                    Err(SignatureError::MessageNeeded)
                );
                continue;
            }
            let signature = pair.sign_digest(scheme, &digest).unwrap();
            key.verify(scheme, b"message", &signature).unwrap();
            let signature = pair.sign(scheme, b"message").unwrap();
            key.verify_digest(scheme, &digest, &signature).unwrap();
            let other = entry_algorithm(scheme).digest(b"messagf");
            assert_eq!(
                key.verify_digest(scheme, &other, &signature),
                Err(SignatureError::Invalid),
                "{scheme:?}"
            );
            // The same bytes under another hash are another digest.
            let hash = Algorithm::Blake3.digest(b"message");
            assert_eq!(
                key.verify_digest(scheme, &hash, &signature),
                Err(SignatureError::SchemeDoesNotFitKey)
            );
        }
    }
}
