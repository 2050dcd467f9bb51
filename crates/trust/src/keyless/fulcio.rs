//! Certificates from Fulcio, version 2 of its interface.
//!
//! Spec: sigstore/fulcio, `fulcio.proto`. Possession of the key is shown by a certificate signing
//! request (RFC 2986), of which nothing but the key counts.

use custos_core::crypto::{KeyPair, Pem, Scheme};
use custos_core::dsse::Base64;
use custos_core::json;
use custos_core::limits::{Limits, MAX_CERTIFICATES};
use custos_net::{Client, Request, Url};
use serde::{Deserialize, Serialize};
use x509_cert::der::asn1::{BitString, ObjectIdentifier};
use x509_cert::der::{Decode as _, Encode as _};
use x509_cert::name::RdnSequence;
use x509_cert::request::{CertReq, CertReqInfo, Version};
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use zeroize::Zeroizing;

use super::services::{Failed, KeylessError, Service};
use super::token::IdentityToken;

const ECDSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");

/// Gets the certificate of `token`'s identity for `pair`: the leaf, in DER, not believed yet.
pub(super) fn certificate(
    client: &Client,
    base: &Url,
    token: &IdentityToken,
    pair: &KeyPair,
) -> Result<Vec<u8>, KeylessError> {
    let service = Service::Authority;
    let broken = |what: &'static str| KeylessError::Malformed { service, what };
    let csr = signing_request(pair).ok_or_else(|| broken("a request that cannot be written"))?;
    let wire = WireRequest {
        credentials: Credentials {
            token: token.secret().expose(),
        },
        csr: Base64(csr.into_bytes()),
    };
    let body = json::to_vec(&wire).map_err(|_| broken("a request that cannot be written"))?;
    // The token is in it.
    let body = Zeroizing::new(body);
    let url = super::services::below(base, "/api/v2/signingCert")?;
    let request = Request::post(url, "application/json", body.to_vec());
    let answer = client
        .send(&request)
        .and_then(custos_net::Response::success)
        .map_err(|error| Failed { service, error }.hiding(token.secret()))?;
    leaf(answer.body()).ok_or_else(|| broken("an answer without a certificate"))
}

fn signing_request(pair: &KeyPair) -> Option<String> {
    let spki = pair.public_key().as_spki_der();
    let info = CertReqInfo {
        version: Version::V1,
        subject: RdnSequence::default(),
        public_key: SubjectPublicKeyInfoOwned::from_der(spki).ok()?,
        attributes: x509_cert::attr::Attributes::default(),
    };
    let signature = pair.sign(Scheme::EcdsaP256, &info.to_der().ok()?).ok()?;
    let request = CertReq {
        info,
        algorithm: AlgorithmIdentifierOwned {
            oid: ECDSA_SHA256,
            parameters: None,
        },
        signature: BitString::from_bytes(&signature).ok()?,
    };
    let der = request.to_der().ok()?;
    Some(Pem::new("CERTIFICATE REQUEST", der).to_text())
}

// The promise must be in the certificate: a bundle has no place for another.
fn leaf(body: &[u8]) -> Option<Vec<u8>> {
    let answer: WireAnswer = json::from_slice(body, &Limits::SMALL).ok()?;
    let chain = answer.embedded?.chain.certificates;
    if chain.len() > MAX_CERTIFICATES {
        return None;
    }
    let pem = Pem::parse(chain.first()?).ok()?;
    (pem.label() == "CERTIFICATE").then(|| pem.bytes().to_vec())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WireRequest<'a> {
    credentials: Credentials<'a>,
    #[serde(rename = "certificateSigningRequest")]
    csr: Base64,
}

#[derive(Serialize)]
struct Credentials<'a> {
    #[serde(rename = "oidcIdentityToken")]
    token: &'a str,
}

#[derive(Deserialize)]
struct WireAnswer {
    #[serde(rename = "signedCertificateEmbeddedSct", default)]
    embedded: Option<Holder>,
}

#[derive(Deserialize)]
struct Holder {
    chain: Chain,
}

#[derive(Deserialize)]
struct Chain {
    certificates: Vec<String>,
}

/// Reads an answer that anybody may have written.
#[doc(hidden)]
pub fn fuzz_answer(data: &[u8]) {
    let _ = leaf(data);
}

#[cfg(test)]
mod tests {
    use super::*;
    use custos_core::crypto::KeyKind;

    #[test]
    fn the_request_shows_possession() {
        let pair = KeyPair::generate(KeyKind::P256).unwrap();
        let text = signing_request(&pair).unwrap();
        let der = Pem::parse(&text).unwrap();
        let request = CertReq::from_der(der.bytes()).unwrap();
        let info = request.info.to_der().unwrap();
        let signature = request.signature.raw_bytes();
        let key = pair.public_key();
        assert_eq!(key.verify(Scheme::EcdsaP256, &info, signature), Ok(()));
    }

    #[test]
    fn a_detached_promise_or_no_certificate_is_no_answer() {
        let pem = Pem::new("CERTIFICATE", vec![1]).to_text();
        let with = |name: &str, pem: &str| {
            serde_json::json!({ name: {"chain": {"certificates": [pem]}} }).to_string()
        };
        let good = with("signedCertificateEmbeddedSct", &pem);
        assert_eq!(leaf(good.as_bytes()), Some(vec![1]));
        let key = pem.replace("CERTIFICATE", "PUBLIC KEY");
        for bad in [
            with("signedCertificateDetachedSct", &pem),
            with("signedCertificateEmbeddedSct", &key),
            r#"{"signedCertificateEmbeddedSct":{"chain":{"certificates":[]}}}"#.to_owned(),
            "{}".to_owned(),
        ] {
            assert_eq!(leaf(bad.as_bytes()), None, "{bad}");
        }
    }
}
