//! Signatures outside of the life of their key do not count, in whatever form they come.

use super::{Proven, Terms, VerifyError};

/// Takes out the signers whose key was revoked or replaced when they signed; somebody must be left.
pub(super) fn check(mut proven: Proven, terms: &Terms<'_>) -> Result<Proven, VerifyError> {
    let Some(list) = terms.trust_root.revocations() else {
        return Ok(proven);
    };
    let mut fault = None;
    let mut within = Vec::new();
    let signatories = std::iter::once(proven.first.clone()).chain(proven.others);
    for signatory in signatories {
        match list.check(&signatory.identity, &proven.log, proven.time) {
            Ok(()) => within.push(signatory),
            Err(error) => fault = Some(error),
        }
    }
    let mut within = within.into_iter();
    match (within.next(), fault) {
        (Some(first), _) => {
            proven.first = first;
            proven.others = within.collect();
            Ok(proven)
        }
        (None, Some(fault)) => Err(VerifyError::KeyRevoked { fault }),
        (None, None) => Err(VerifyError::NoExpectedSigner),
    }
}
