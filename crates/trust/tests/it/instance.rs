//! A Sigstore instance of one's own, in memory: a log of the first kind (Rekor v1), one of the
//! second (tiles), and a timestamp authority, with the trusted root that names them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use custos_core::bundle::{
    Bundle, InclusionPromise, InclusionProof, Int64, KindVersion, MessageSignature,
    SignedTimestamp, TransparencyLogEntry, VerificationMaterial,
};
use custos_core::clock::Timestamp;
use custos_core::crypto::{KeyKind, KeyPair, Pem, Scheme};
use custos_core::digest::{Algorithm, Digest, DigestSet};
use custos_core::dsse::Base64;
use custos_core::entry::{HashedRekord, Verifier, entry_algorithm};
use custos_core::merkle;
use custos_log::checkpoint::Checkpoint;
use custos_log::note::{KeyPairSigner, NoteSigner as _};
use custos_trust::TrustRoot;
use custos_trust::signer::Signer;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyUsagePurpose};
use serde_json::{Value, json};
use x509_cert::der::{Decode as _, Encode as _};

use crate::support::{Authority, Leaf, MemoryLog, NOW, leaf_params, pair};

pub const V1_HOST: &str = "rekor.example.com";
pub const V2_HOST: &str = "log2026.example.com";
pub const FILE: &[u8] = b"the bytes of a model";

/// When everything of the instance happens, unless said otherwise: a day before the judgement.
pub const THEN: i64 = NOW.as_seconds() - 86_400;

pub struct Clock {
    pub pair: KeyPair,
    pub der: Vec<u8>,
    pub root: Vec<u8>,
}

impl Clock {
    pub fn new(purpose: ExtendedKeyUsagePurpose) -> Self {
        Self::with(&Authority::new(), KeyKind::P256, purpose, |_| {})
    }

    /// One whose certificate that authority's root issued, changed in some way.
    pub fn with(
        authority: &Authority,
        kind: KeyKind,
        purpose: ExtendedKeyUsagePurpose,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Self {
        let (pair, key) = pair(kind);
        let mut params = leaf_params(&Leaf {
            kind,
            sans: Vec::new(),
            common_name: "tsa",
            usages: vec![KeyUsagePurpose::DigitalSignature],
            purposes: vec![purpose],
            is_ca: false,
            valid: (THEN - 1000, THEN + 1000),
        });
        change(&mut params);
        let leaf = params.signed_by(&key, &authority.root).unwrap();
        Self {
            pair,
            der: leaf.der().to_vec(),
            root: Pem::parse(&authority.root_pem).unwrap().bytes().to_vec(),
        }
    }

    /// A response over `signature`, by this authority.
    pub fn stamp(&self, signature: &[u8], seconds: i64) -> SignedTimestamp {
        self.stamp_as(&self.der, signature, seconds)
    }

    /// A response that names `certificate` as its signer's.
    pub fn stamp_as(&self, certificate: &[u8], signature: &[u8], seconds: i64) -> SignedTimestamp {
        let token = Token::over(signature, seconds);
        timestamp(&token.signed_by(self, certificate))
    }
}

pub fn timestamp(response: &[u8]) -> SignedTimestamp {
    serde_json::from_value(json!({ "signedTimestamp": STANDARD.encode(response) })).unwrap()
}

/// A token of a timestamp authority, part by part, before it is signed.
pub struct Token {
    /// Of the token: what kind of signed data, and what is in it.
    pub kinds: (&'static str, &'static str),
    pub version: u8,
    pub time: String,
    pub imprint: (&'static str, Vec<u8>),
    /// The hash that the authority signs with.
    pub hash: Algorithm,
    /// Further signed attributes, and what is left out of the two that must be there.
    pub more: Vec<Vec<u8>>,
    pub without: Option<&'static str>,
    /// Elements before and behind the infos of the signers.
    pub before: Vec<Vec<u8>>,
    pub behind: Vec<Vec<u8>>,
    /// The signer by its key identifier, instead of by issuer and serial number.
    pub key_id: Option<Vec<u8>>,
}

pub const SHA256_OID: &str = "2.16.840.1.101.3.4.2.1";
pub const SHA384_OID: &str = "2.16.840.1.101.3.4.2.2";
pub const SHA512_OID: &str = "2.16.840.1.101.3.4.2.3";
pub const CONTENT_TYPE: &str = "1.2.840.113549.1.9.3";
pub const MESSAGE_DIGEST: &str = "1.2.840.113549.1.9.4";
pub const TST_INFO: &str = "1.2.840.113549.1.9.16.1.4";

/// A signed attribute.
pub fn attribute(name: &str, value: &[u8]) -> Vec<u8> {
    tlv(0x30, &[&oid(name), &tlv(0x31, &[value])])
}

fn algorithm(hash: Algorithm) -> Vec<u8> {
    let name = match hash {
        Algorithm::Sha384 => SHA384_OID,
        Algorithm::Sha512 => SHA512_OID,
        _ => SHA256_OID,
    };
    tlv(0x30, &[&oid(name)])
}

impl Token {
    pub fn over(signature: &[u8], seconds: i64) -> Self {
        let time = Timestamp::from_seconds(seconds).to_string();
        let digits: String = time.chars().filter(char::is_ascii_digit).collect();
        let imprint = Algorithm::Sha256.digest(signature).as_bytes().to_vec();
        Self {
            kinds: ("1.2.840.113549.1.7.2", TST_INFO),
            version: 1,
            time: format!("{digits}Z"),
            imprint: (SHA256_OID, imprint),
            hash: Algorithm::Sha256,
            more: Vec::new(),
            without: None,
            before: Vec::new(),
            behind: Vec::new(),
            key_id: None,
        }
    }

    pub fn info(&self) -> Vec<u8> {
        let (hash, imprint) = (
            tlv(0x30, &[&oid(self.imprint.0)]),
            tlv(4, &[&self.imprint.1]),
        );
        tlv(
            0x30,
            &[
                &[2, 1, self.version],
                &oid("1.3.6.1.4.1.57264.2"),
                &tlv(0x30, &[&hash, &imprint]),
                &[2, 1, 7],
                &tlv(0x18, &[self.time.as_bytes()]),
            ],
        )
    }

    fn attributes(&self) -> Vec<u8> {
        let digest = tlv(4, &[self.hash.digest(&self.info()).as_bytes()]);
        let needed = [
            (CONTENT_TYPE, attribute(CONTENT_TYPE, &oid(TST_INFO))),
            (MESSAGE_DIGEST, attribute(MESSAGE_DIGEST, &digest)),
        ];
        let needed = needed
            .into_iter()
            .filter(|(name, _)| Some(*name) != self.without)
            .map(|(_, attribute)| attribute);
        needed.chain(self.more.iter().cloned()).flatten().collect()
    }

    fn identifier(&self, certificate: &[u8]) -> Vec<u8> {
        if let Some(id) = &self.key_id {
            return tlv(0x80, &[id]);
        }
        let certificate = x509_cert::Certificate::from_der(certificate).unwrap();
        let part = &certificate.tbs_certificate;
        let issuer = part.issuer.to_der().unwrap();
        tlv(0x30, &[&issuer, &part.serial_number.to_der().unwrap()])
    }

    /// The token alone, as older clients put it into bundles.
    pub fn bare(&self, clock: &Clock, certificate: &[u8]) -> Vec<u8> {
        let attributes = self.attributes();
        let message = tlv(0x31, &[&attributes]);
        let signature = sign_with(&clock.pair, self.hash, &message);
        let info = tlv(
            0x30,
            &[
                &[2, 1, 1],
                &self.identifier(certificate),
                &algorithm(self.hash),
                &tlv(0xa0, &[&attributes]),
                &tlv(0x30, &[&oid("1.2.840.10045.4.3.2")]),
                &tlv(4, &[&signature]),
            ],
        );
        let content = tlv(0xa0, &[&tlv(4, &[&self.info()])]);
        let data = tlv(
            0x30,
            &[
                &[2, 1, 3],
                &tlv(0x31, &[&algorithm(self.hash)]),
                &tlv(0x30, &[&oid(self.kinds.1), &content]),
                &self.before.concat(),
                &tlv(0x31, &[&info]),
                &self.behind.concat(),
            ],
        );
        tlv(0x30, &[&oid(self.kinds.0), &tlv(0xa0, &[&data])])
    }

    /// A response that grants the token.
    pub fn signed_by(&self, clock: &Clock, certificate: &[u8]) -> Vec<u8> {
        response(&[0], Some(&self.bare(clock, certificate)))
    }
}

/// A response with this status, and a token or none.
pub fn response(status: &[u8], token: Option<&[u8]>) -> Vec<u8> {
    let status = tlv(0x30, &[&tlv(2, &[status])]);
    tlv(0x30, &[&status, token.unwrap_or_default()])
}

/// Signs with any hash and any kind of key. ECDSA takes as many leading bits of a digest as its
/// curve has, so that a digest can pass for one of the length that goes with the curve.
pub fn sign_with(pair: &KeyPair, hash: Algorithm, message: &[u8]) -> Vec<u8> {
    let digest = hash.digest(message);
    let (scheme, usual) = match pair.public_key().kind() {
        KeyKind::P256 => (Scheme::EcdsaP256, Algorithm::Sha256),
        KeyKind::P384 => (Scheme::EcdsaP384, Algorithm::Sha384),
        KeyKind::P521 => (Scheme::EcdsaP521, Algorithm::Sha512),
        KeyKind::Ed25519 => return pair.sign(Scheme::Ed25519, message).unwrap(),
        _ => return sign_rsa(pair, hash, message),
    };
    let length = usual.digest(b"").as_bytes().len();
    let bytes = digest.as_bytes();
    let fitted = match length.checked_sub(bytes.len()) {
        Some(zeros) => [&vec![0; zeros][..], bytes].concat(),
        None => bytes[..length].to_vec(),
    };
    let digest = Digest::new(usual, &fitted).unwrap();
    pair.sign_digest(scheme, &digest).unwrap()
}

fn sign_rsa(pair: &KeyPair, hash: Algorithm, message: &[u8]) -> Vec<u8> {
    use aws_lc_rs::signature as lc;
    let encoding: &dyn lc::RsaEncoding = match hash {
        Algorithm::Sha384 => &lc::RSA_PKCS1_SHA384,
        Algorithm::Sha512 => &lc::RSA_PKCS1_SHA512,
        _ => &lc::RSA_PKCS1_SHA256,
    };
    let pair = lc::RsaKeyPair::from_pkcs8(&pair.to_pkcs8_der().unwrap()).unwrap();
    let mut signature = vec![0; pair.public_modulus_len()];
    let random = aws_lc_rs::rand::SystemRandom::new();
    pair.sign(encoding, &random, message, &mut signature)
        .unwrap();
    signature
}

/// A log of the first kind: it promises, and its tree has an origin with a number.
pub struct RekorV1 {
    pub key: KeyPairSigner,
    pub pair: KeyPair,
}

impl RekorV1 {
    pub fn new() -> Self {
        let pair = KeyPair::generate(KeyKind::P256).unwrap();
        let again = KeyPair::from_pkcs8_der(&pair.to_pkcs8_der().unwrap()).unwrap();
        Self {
            key: KeyPairSigner::new(V1_HOST, again).unwrap(),
            pair,
        }
    }

    pub fn id(&self) -> Vec<u8> {
        self.pair.public_key().id().as_bytes().to_vec()
    }

    pub fn enter(&self, kind: (&str, &str), body: &Value) -> TransparencyLogEntry {
        self.enter_bytes(kind, serde_json::to_vec(body).unwrap())
    }

    pub fn enter_bytes(&self, kind: (&str, &str), body: Vec<u8>) -> TransparencyLogEntry {
        let leaf = merkle::leaf_hash(&body);
        let leaves = [merkle::leaf_hash(b"a"), leaf, merkle::leaf_hash(b"b")];
        let hashes = merkle::inclusion_proof(&leaves, 1).unwrap();
        let root = merkle::root(&leaves);
        let text = format!("{V1_HOST} - 42\n3\n{}\n", STANDARD.encode(root));
        assert!(Checkpoint::parse(&text).is_ok());
        let signature = self.key.sign(text.as_bytes()).unwrap();
        let line = [&self.id()[..4], &signature].concat();
        let note = format!("{text}\n\u{2014} {V1_HOST} {}\n", STANDARD.encode(line));
        let proof = InclusionProof::new(1, 3, root, &hashes).with_checkpoint(note);
        let mut entry =
            TransparencyLogEntry::new(self.id(), KindVersion::new(kind.0, kind.1), body, proof);
        entry.log_index = Int64(9_000_001);
        entry.integrated_time = Int64(THEN);
        self.promise(&mut entry);
        entry
    }

    /// Signs the entry's body, time and number.
    pub fn promise(&self, entry: &mut TransparencyLogEntry) {
        let payload = json!({
            "body": STANDARD.encode(&entry.canonicalized_body.0),
            "integratedTime": entry.integrated_time.0,
            "logID": hex::encode(&entry.log_id.key_id.0),
            "logIndex": entry.log_index.0,
        });
        let payload = custos_core::json::to_canonical(&payload).unwrap();
        let signature = self.pair.sign(Scheme::EcdsaP256, &payload).unwrap();
        let promise: InclusionPromise =
            serde_json::from_value(json!({ "signedEntryTimestamp": STANDARD.encode(signature) }))
                .unwrap();
        entry.inclusion_promise = Some(promise);
    }
}

pub struct Instance {
    pub v1: RekorV1,
    pub v2: MemoryLog,
    v2_key: (Vec<u8>, Vec<u8>),
    pub clock: Clock,
}

impl Instance {
    pub fn new() -> Self {
        let v2 = MemoryLog::new(V2_HOST, KeyKind::Ed25519, 5);
        let vkey: custos_log::note::VerifierKey = v2.vkey().parse().unwrap();
        Self {
            v1: RekorV1::new(),
            v2_key: (
                vkey.full_id().to_vec(),
                vkey.public_key().as_spki_der().to_vec(),
            ),
            v2,
            clock: Clock::new(ExtendedKeyUsagePurpose::TimeStamping),
        }
    }

    pub fn root(&self) -> TrustRoot {
        self.root_with(|_| {})
    }

    pub fn root_with(&self, change: impl FnOnce(&mut Value)) -> TrustRoot {
        let mut root = self.trusted_root();
        change(&mut root);
        TrustRoot::trusting_nothing()
            .with_sigstore(&serde_json::to_vec(&root).unwrap())
            .unwrap()
    }

    pub fn trusted_root(&self) -> Value {
        let start = json!({ "start": Timestamp::from_seconds(THEN - 5_000).to_string() });
        let log = |url: &str, id: &[u8], key: &[u8]| {
            json!({
                "baseUrl": url,
                "hashAlgorithm": "SHA2_256",
                "publicKey": { "rawBytes": STANDARD.encode(key), "validFor": start.clone() },
                "logId": { "keyId": STANDARD.encode(id) },
            })
        };
        json!({
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [
                log(
                    &format!("https://{V1_HOST}"),
                    &self.v1.id(),
                    self.v1.pair.public_key().as_spki_der(),
                ),
                log(&format!("https://{V2_HOST}/"), &self.v2_key.0, &self.v2_key.1),
            ],
            "timestampAuthorities": [{
                "uri": "https://tsa.example.com",
                "certChain": { "certificates": [
                    { "rawBytes": STANDARD.encode(&self.clock.der) },
                    { "rawBytes": STANDARD.encode(&self.clock.root) },
                ]},
                "validFor": start,
            }],
        })
    }

    /// Puts a timestamp over the bundle's signature into it.
    pub fn stamped(&self, mut bundle: Bundle, seconds: i64) -> Bundle {
        let stamp = self.clock.stamp(&signature(&bundle), seconds);
        push_stamp(&mut bundle, stamp);
        bundle
    }

    /// Logs a bundle in the log of the second kind.
    pub fn in_v2(&self, mut bundle: Bundle, signer: &dyn Signer) -> Bundle {
        let leaf = HashedRekord::new(
            digest(&bundle, signer.scheme()),
            signature(&bundle),
            verifier(signer),
            signer.scheme().key_details(),
        );
        let entry = self.v2.enter(leaf.to_leaf().unwrap());
        bundle.verification_material.tlog_entries.push(entry);
        bundle
    }

    /// Logs a bundle in the log of the first kind, as clients do: `hashedrekord` for a file,
    /// `dsse` or `intoto` for a statement.
    pub fn in_v1(&self, mut bundle: Bundle, signer: &dyn Signer, kind: (&str, &str)) -> Bundle {
        let body = body_v1(&bundle, signer, kind);
        let entry = self.v1.enter(kind, &body);
        bundle.verification_material.tlog_entries.push(entry);
        bundle
    }
}

pub fn body_v1(bundle: &Bundle, signer: &dyn Signer, kind: (&str, &str)) -> Value {
    let pem = match signer.certificate_chain() {
        Some(chain) => Pem::new("CERTIFICATE", chain[0].clone()).to_text(),
        None => signer.public_key().to_pem(),
    };
    let (pem, sig) = (STANDARD.encode(pem), STANDARD.encode(signature(bundle)));
    let payload = bundle
        .dsse_envelope
        .as_ref()
        .map(|envelope| hex::encode(Algorithm::Sha256.digest(&envelope.payload.0).as_bytes()));
    let spec = match kind.0 {
        "hashedrekord" => {
            let digest = digest(bundle, signer.scheme());
            let value = hex::encode(digest.as_bytes());
            json!({
                "data": { "hash": { "algorithm": digest.algorithm().name(), "value": value } },
                "signature": { "content": sig, "publicKey": { "content": pem } },
            })
        }
        "dsse" => json!({
            "envelopeHash": { "algorithm": "sha256", "value": "00" },
            "payloadHash": { "algorithm": "sha256", "value": payload },
            "signatures": [{ "signature": sig, "verifier": pem }],
        }),
        _ => json!({ "content": {
            "envelope": {
                "payloadType": "application/vnd.in-toto+json",
                "signatures": [{ "publicKey": pem, "sig": STANDARD.encode(sig) }],
            },
            "hash": { "algorithm": "sha256", "value": "00" },
            "payloadHash": { "algorithm": "sha256", "value": payload },
        }}),
    };
    json!({ "apiVersion": kind.1, "kind": kind.0, "spec": spec })
}

fn digest(bundle: &Bundle, scheme: Scheme) -> Digest {
    match &bundle.dsse_envelope {
        Some(envelope) => entry_algorithm(scheme).digest(&envelope.pae()),
        None => entry_algorithm(scheme).digest(FILE),
    }
}

pub fn verifier(signer: &dyn Signer) -> Verifier {
    match signer.certificate_chain() {
        Some(chain) => Verifier::Certificate(chain[0].clone()),
        None => Verifier::PublicKey(signer.public_key().as_spki_der().to_vec()),
    }
}

/// A file's signature, as `cosign sign-blob` makes it.
pub fn message(signer: &dyn Signer) -> Bundle {
    let digest = entry_algorithm(signer.scheme()).digest(FILE);
    let material = match signer.certificate_chain() {
        Some(chain) => VerificationMaterial::chain(chain.to_vec()),
        None => VerificationMaterial::key(STANDARD.encode(signer.public_key().id().as_bytes())),
    };
    Bundle::of_message(
        material,
        MessageSignature::new(&digest, signer.sign(FILE).unwrap()),
    )
}

/// The digests of [`FILE`].
pub fn file() -> DigestSet {
    let mut digests = DigestSet::from(Algorithm::Sha256.digest(FILE));
    digests.insert(&Algorithm::Sha384.digest(FILE));
    digests.insert(&Algorithm::Sha512.digest(FILE));
    digests
}

pub fn signature(bundle: &Bundle) -> Vec<u8> {
    match (&bundle.dsse_envelope, &bundle.message_signature) {
        (Some(envelope), _) => envelope.signatures[0].sig.0.clone(),
        (_, Some(message)) => message.signature.0.clone(),
        _ => panic!("a bundle of nothing"),
    }
}

pub fn push_stamp(bundle: &mut Bundle, stamp: SignedTimestamp) {
    let data = &mut bundle.verification_material.timestamp_verification_data;
    data.rfc3161_timestamps.push(stamp);
}

pub fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let len = content.len();
    let head = match len {
        0..=127 => vec![tag, u8::try_from(len).unwrap()],
        128..=255 => vec![tag, 0x81, u8::try_from(len).unwrap()],
        _ => {
            let [high, low] = u16::try_from(len).unwrap().to_be_bytes();
            vec![tag, 0x82, high, low]
        }
    };
    [head, content].concat()
}

pub fn oid(text: &str) -> Vec<u8> {
    x509_cert::der::asn1::ObjectIdentifier::new(text)
        .unwrap()
        .to_der()
        .unwrap()
}

/// Turns base64 inside of a bundle's fields into bytes and back, to change them.
pub fn patched(field: &Base64, change: impl FnOnce(&mut Vec<u8>)) -> Base64 {
    let mut bytes = field.0.clone();
    change(&mut bytes);
    Base64(bytes)
}
