//! Who signed an entry of a log, as far as its leaf tells: the leaf alone, without the bundle.
//!
//! Nothing is verified: the log shows that somebody handed this in, and a certificate may have
//! been made by anybody. Whoever follows a log for signatures in their own name, or asks what a
//! stolen key signed, must not overlook one; so what cannot be read is told and not passed over.

use custos_core::crypto::PublicKey;
use custos_core::dsse::Base64;
use custos_core::entry::{HashedRekord, Verifier};
use custos_core::identity::ExpectedSigner;
use custos_core::json;
use custos_core::limits::Limits;
use custos_trust::revocation::Who;
use custos_trust::verify::Certificate;
use serde::Deserialize;

/// Largest leaf, in bytes: the tile format allows no larger one.
const LIMITS: Limits = Limits::SMALL.with_max_bytes(65_535);
/// Most signatures of one entry.
const MAX_SIGNATURES: usize = 64;

/// Somebody who signed an entry.
#[derive(Debug, Clone)]
pub enum LogSigner {
    /// The holder of a key; nothing if it is of a kind that nobody here has.
    Key(Option<PublicKey>),
    /// The subject of a certificate.
    Certificate(Box<Named>),
}

/// A certificate, and whom it names.
#[derive(Debug, Clone)]
pub struct Named {
    /// The certificate.
    pub certificate: Certificate,
    /// Its identities.
    pub names: Vec<String>,
    /// The OIDC issuer of a Sigstore certificate.
    pub oidc_issuer: Option<String>,
}

impl Named {
    /// Returns who says that it is the subject: the OIDC issuer, else the authority by its name.
    pub fn issuer(&self) -> String {
        let oidc = self.oidc_issuer.clone();
        oidc.unwrap_or_else(|| self.certificate.issuer())
    }
}

/// Everybody who signed an entry.
#[derive(Debug, Default)]
pub struct LogSigners {
    /// Those who can be told. One who cannot does not hide them.
    pub known: Vec<LogSigner>,
    /// True if there may be more.
    pub unread: bool,
}

impl LogSigners {
    /// Returns who signed this leaf, as far as it can be told.
    pub fn of_leaf(leaf: &[u8]) -> Self {
        let verifiers = match HashedRekord::parse(leaf) {
            Ok(entry) => Some(vec![Some(entry.verifier)]),
            Err(_) => verifiers_of_dsse(leaf),
        };
        let mut signers = Self::default();
        // An entry that says of nobody that they signed was not read either.
        for verifier in verifiers.unwrap_or_else(|| vec![None]) {
            match verifier.as_ref().and_then(LogSigner::of) {
                Some(signer) => signers.known.push(signer),
                None => signers.unread = true,
            }
        }
        signers
    }
}

impl LogSigner {
    /// Returns who a verifier is; nothing if that cannot be told.
    pub fn of(verifier: &Verifier) -> Option<Self> {
        match verifier {
            Verifier::PublicKey(der) => Some(Self::Key(PublicKey::from_spki_der(der).ok())),
            Verifier::Certificate(der) => {
                let certificate = Certificate::parse(der).ok()?;
                let names = certificate.identities().ok()?;
                let oidc_issuer = certificate.oidc_issuer().ok()?;
                Some(Self::Certificate(Box::new(Named {
                    certificate,
                    names,
                    oidc_issuer,
                })))
            }
        }
    }

    /// Returns the key, bare or in the certificate.
    pub fn key(&self) -> Option<&PublicKey> {
        match self {
            Self::Key(key) => key.as_ref(),
            Self::Certificate(named) => named.certificate.key(),
        }
    }

    /// Returns this very signer as one to be expected, to verify what they signed; nothing of a
    /// key of an unknown kind or a certificate that names nobody.
    pub fn expected(&self) -> Option<ExpectedSigner> {
        match self {
            Self::Key(key) => Some(ExpectedSigner::key("signer", key.clone()?)),
            Self::Certificate(named) => {
                let name = named.names.first()?;
                let issuer = named.oidc_issuer.clone();
                Some(ExpectedSigner::certificate("signer", name, issuer))
            }
        }
    }

    /// Returns true if it is the one that somebody asks about.
    pub fn is(&self, who: &Who) -> bool {
        match (who, self) {
            (Who::Key(id), signer) => signer.key().is_some_and(|key| key.id() == *id),
            (Who::Identity { identity, issuer }, Self::Certificate(named)) => {
                named.names.contains(identity)
                    && issuer
                        .as_ref()
                        .is_none_or(|issuer| *issuer == named.issuer())
            }
            _ => false,
        }
    }
}

// The other kind of entry of Rekor v2, for logs elsewhere: `dsse` 0.0.2 (sigstore/rekor-tiles,
// `dsse.proto`), of which only the signers are of interest here.
fn verifiers_of_dsse(leaf: &[u8]) -> Option<Vec<Option<Verifier>>> {
    let wire: Wire = json::from_slice(leaf, &LIMITS).ok()?;
    let signatures = wire.spec.entry.signatures;
    if wire.kind != "dsse" || signatures.is_empty() || signatures.len() > MAX_SIGNATURES {
        return None;
    }
    let verifier = |one: WireSignature| match (one.verifier.public_key, one.verifier.certificate) {
        (Some(key), None) => Some(Verifier::PublicKey(key.raw_bytes.0)),
        (None, Some(certificate)) => Some(Verifier::Certificate(certificate.raw_bytes.0)),
        _ => None,
    };
    Some(signatures.into_iter().map(verifier).collect())
}

#[derive(Deserialize)]
struct Wire {
    kind: String,
    spec: Spec,
}

#[derive(Deserialize)]
struct Spec {
    #[serde(rename = "dsseV002")]
    entry: Entry,
}

#[derive(Deserialize)]
struct Entry {
    signatures: Vec<WireSignature>,
}

#[derive(Deserialize)]
struct WireSignature {
    verifier: WireVerifier,
}

#[derive(Deserialize)]
struct WireVerifier {
    #[serde(rename = "publicKey")]
    public_key: Option<RawBytes>,
    #[serde(rename = "x509Certificate")]
    certificate: Option<RawBytes>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawBytes {
    raw_bytes: Base64,
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use custos_core::crypto::{KeyKind, KeyPair};
    use serde_json::{Value, json};

    use super::*;

    // What somebody signed for conda, logged in Rekor v2 of Sigstore's staging instance.
    fn keyless_leaf() -> Vec<u8> {
        let bundle =
            include_str!("../../../testdata/sigstore/conda-attestation-rekor2.sigstore.json");
        let bundle: Value = serde_json::from_str(bundle).unwrap();
        let body = &bundle["verificationMaterial"]["tlogEntries"][0]["canonicalizedBody"];
        STANDARD.decode(body.as_str().unwrap()).unwrap()
    }

    fn identity(identity: &str, issuer: Option<&str>) -> Who {
        Who::Identity {
            identity: identity.to_owned(),
            issuer: issuer.map(str::to_owned),
        }
    }

    #[test]
    fn a_certificate_is_its_identity_of_its_issuer_and_its_key() {
        let LogSigners {
            known: signers,
            unread,
        } = LogSigners::of_leaf(&keyless_leaf());
        assert!(!unread);
        let [LogSigner::Certificate(named)] = signers.as_slice() else {
            panic!("{signers:?}");
        };
        let (name, github) = ("jku@goto.fi", "https://github.com/login/oauth");
        assert_eq!(named.names, [name]);
        assert_eq!(named.issuer(), github);
        let signer = &signers[0];
        assert!(signer.is(&identity(name, None)));
        assert!(signer.is(&identity(name, Some(github))));
        assert!(!signer.is(&identity(name, Some("https://accounts.google.com"))));
        assert!(!signer.is(&identity("goto.fi", None)));
        assert!(signer.is(&Who::Key(signer.key().unwrap().id())));
    }

    #[test]
    fn the_other_kind_of_entry_names_each_of_its_signers() {
        let key = KeyPair::generate(KeyKind::P256).unwrap();
        let key = key.public_key();
        let leaf: Value = serde_json::from_slice(&keyless_leaf()).unwrap();
        let verifier = &leaf["spec"]["hashedRekordV002"]["signature"]["verifier"];
        let raw = STANDARD.encode(key.as_spki_der());
        let dsse = |kind: &str, second: Value| {
            let signatures = json!([
                { "content": "AA==", "verifier": verifier },
                { "content": "AA==", "verifier": second },
            ]);
            let spec = json!({ "dsseV002": { "payloadHash": {}, "signatures": signatures } });
            let leaf = json!({ "apiVersion": "0.0.2", "kind": kind, "spec": spec });
            LogSigners::of_leaf(&serde_json::to_vec(&leaf).unwrap())
        };
        let bare = json!({ "publicKey": { "rawBytes": raw }, "keyDetails": "x" });
        let both = dsse("dsse", bare.clone());
        assert!(matches!(both.known[0], LogSigner::Certificate(_)));
        assert!(both.known[1].is(&Who::Key(key.id())) && !both.unread);
        // What cannot be read is no empty answer, and hides nobody beside it.
        let broken = json!({ "x509Certificate": { "rawBytes": raw } });
        for second in [json!({ "keyDetails": "x" }), broken] {
            let part = dsse("dsse", second);
            assert!(matches!(part.known.as_slice(), [LogSigner::Certificate(_)]));
            assert!(part.unread);
        }
        for none in [dsse("intoto", bare), LogSigners::of_leaf(b"leaf")] {
            assert!(none.known.is_empty() && none.unread);
        }
    }
}
