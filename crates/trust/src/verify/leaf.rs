//! Who may stand behind an entry of a log whose bundle is not at hand.
//!
//! The leaf of an entry says whose signature it records, and nothing of what was signed. Whoever
//! shares a log with others meets entries without a bundle. Most are none of their business; but
//! one by an expected signer could be about anything.

use custos_core::entry::Verifier;
use custos_core::identity::ExpectedSigner;

use super::{Certificate, certified, chain};
use crate::root::{Anchor, Issuer, TrustRoot};

/// Returns false only if no bundle with this entry can verify under this trust root with these
/// expected signers, whenever it is judged.
///
/// A key has to be an expected one. A certificate has to name an expected signer, and, where a
/// Sigstore instance is to vouch for it, its signature has to be by an authority of that instance.
/// Of a private authority the bundle may bring the certificates between, so nothing is said
/// against its leaf.
pub fn may_be_expected(
    verifier: &Verifier,
    trust_root: &TrustRoot,
    signers: &[ExpectedSigner],
) -> bool {
    let der = match verifier {
        Verifier::PublicKey(der) => {
            return signers.iter().any(|signer| match signer {
                ExpectedSigner::Key { key, .. } => key.as_spki_der() == der,
                _ => false,
            });
        }
        Verifier::Certificate(der) => der,
    };
    let Ok(leaf) = Certificate::parse(der) else {
        return false;
    };
    let by_private_authority =
        || !trust_root.anchors().is_empty() && certified::names_a_subject(&leaf, signers);
    let Some(sigstore) = trust_root.sigstore() else {
        return by_private_authority();
    };
    match leaf.oidc_issuer() {
        Ok(Some(issuer)) => {
            let anchors: Vec<&Anchor> = sigstore.issuers().iter().map(Issuer::anchor).collect();
            certified::names_an_identity(&leaf, &issuer, signers)
                && chain::is_issued_by_one(&leaf, &anchors)
        }
        Ok(None) => by_private_authority(),
        Err(_) => false,
    }
}
