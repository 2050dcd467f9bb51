//! From the registry to a verdict: bundles and cosign's older forms, each with a tampered twin.

use aws_lc_rs::signature::{ECDSA_P521_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use custos_connect::oci::{
    Attachment, BUNDLE_TYPE, COSIGN_SIGN, Candidate, CandidateFault, Descriptor, Listing, OciError,
    Place, Repository, Signature, SimpleSigning, SimpleSigningError,
};
use custos_core::clock::Timestamp;
use custos_core::crypto::{KeyKind, KeyPair};
use custos_core::digest::{Algorithm, DigestSet};
use custos_core::identity::ExpectedSigner;
use custos_core::statement::{Statement, Subject};
use custos_trust::signer::{KeySigner, Signer as _};
use custos_trust::verify::{
    LogRequirement, Material, Message, MessageSigned, PredicateTypes, VerifyError, VerifyRequest,
};
use custos_trust::{TrustRoot, Verified, seal, verify};
use serde_json::json;

use crate::registry::{INDEX, MANIFEST, Manners, Registry};

struct Desk {
    registry: Registry,
    image: Descriptor,
    signer: KeySigner,
}

impl Desk {
    fn new(kind: KeyKind) -> Self {
        let registry = Registry::start(Manners::default());
        let image = registry.image(b"weights");
        Self {
            registry,
            image,
            signer: KeySigner::new(KeyPair::generate(kind).unwrap()),
        }
    }

    fn bundle(&self, predicate_type: &str) -> Vec<u8> {
        let subject = Subject::new("r.example/org/model", self.image.digest);
        let statement = Statement::new(vec![subject], predicate_type, &json!({})).unwrap();
        let bundle = seal::sign_statement(&statement, &self.signer, None).unwrap();
        bundle.to_bytes().unwrap()
    }

    fn attach(&self, predicate_type: &str) {
        let bytes = self.bundle(predicate_type);
        let attachment = Attachment {
            subject: &self.image,
            artifact_type: BUNDLE_TYPE,
            bytes: &bytes,
            annotations: Repository::bundle_annotations(predicate_type, "2026-11-20T14:02:00Z"),
        };
        self.registry.open().attach(&attachment).unwrap();
    }

    fn found(&self, place: Place, asked: Option<&str>) -> Vec<Candidate> {
        match self
            .registry
            .open()
            .signatures(&self.image.digest, place, asked)
        {
            Listing::Known(list) => list,
            Listing::Unknown(error) => panic!("{error}"),
        }
    }

    fn signers(&self) -> [ExpectedSigner; 1] {
        [ExpectedSigner::key("me", self.signer.public_key().clone())]
    }

    fn statement(
        &self,
        material: Material<'_>,
        kind: &str,
    ) -> Result<Verified<Statement>, VerifyError> {
        verify(&VerifyRequest {
            artifact: &DigestSet::from(self.image.digest),
            material,
            trust_root: &TrustRoot::trusting_nothing(),
            signers: &self.signers(),
            log: LogRequirement::AbsenceAllowed,
            expect: PredicateTypes::new(&[kind]),
            now: Timestamp::from_seconds(1_800_000_000),
        })
    }

    fn message(
        &self,
        bundle: &[u8],
        payload: &[u8],
    ) -> Result<Verified<MessageSigned>, VerifyError> {
        verify(&VerifyRequest {
            artifact: &SimpleSigning::digests(payload),
            material: Material::Bundle(bundle),
            trust_root: &TrustRoot::trusting_nothing(),
            signers: &self.signers(),
            log: LogRequirement::AbsenceAllowed,
            expect: Message,
            now: Timestamp::from_seconds(1_800_000_000),
        })
    }

    /// Puts layers under a tag of the older cosign.
    fn put_layers(&self, ending: &str, layers: &[Descriptor]) {
        let config = self
            .registry
            .blob("application/vnd.oci.image.config.v1+json", b"{}");
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config,
            "layers": layers});
        let tag = format!(
            "{}.{ending}",
            self.image.digest.to_string().replace(':', "-")
        );
        self.registry.put(Some(&tag), MANIFEST, &manifest);
    }

    fn payload(&self, kind: &str) -> Vec<u8> {
        json!({"critical": {"identity": {"docker-reference": "r.example/org/model"},
            "image": {"docker-manifest-digest": self.image.digest.to_string()}, "type": kind},
            "optional": null})
        .to_string()
        .into_bytes()
    }

    fn simple(&self, payload: &[u8], signature: &str) -> Descriptor {
        let kind = "application/vnd.dev.cosign.simplesigning.v1+json";
        let mut layer = self.registry.blob(kind, payload);
        let name = "dev.cosignproject.cosign/signature".to_owned();
        layer.annotations = Some([(name, signature.to_owned())].into());
        layer
    }

    /// Puts signatures of `payload` under the tag of the older cosign, and returns which hold.
    fn verdicts(&self, payload: &[u8], signatures: &[String]) -> Vec<bool> {
        let layers: Vec<Descriptor> = signatures
            .iter()
            .map(|signature| self.simple(payload, signature))
            .collect();
        self.put_layers("sig", &layers);
        let holds = |candidate: Candidate| {
            let Ok(Signature::SimpleSigning { bundle, payload }) = &candidate.content else {
                panic!("{candidate:?}");
            };
            self.message(bundle, payload).is_ok_and(|verified| {
                SimpleSigning::bind(&verified, payload, &self.image.digest).is_ok()
            })
        };
        let found = self.found(Place::SignatureTag, None);
        found.into_iter().map(holds).collect()
    }

    fn sign(&self, payload: &[u8]) -> String {
        STANDARD.encode(self.signer.sign(payload).unwrap())
    }
}

const COSIGN: &str = "cosign container image signature";

#[test]
fn bundles_that_refer_to_the_image() {
    let desk = Desk::new(KeyKind::P256);
    desk.attach(COSIGN_SIGN);
    desk.attach("https://slsa.dev/provenance/v1");
    assert_eq!(desk.found(Place::Referrers, None).len(), 2);
    let found = desk.found(Place::Referrers, Some(COSIGN_SIGN));
    let [
        Candidate {
            content: Ok(Signature::Bundle(bytes)),
            ..
        },
    ] = found.as_slice()
    else {
        panic!("{found:?}");
    };
    let verified = desk
        .statement(Material::Bundle(bytes), COSIGN_SIGN)
        .unwrap();
    assert_eq!(verified.signer_name(), "me");
    // The twin: the same bundle asked about another image, and another statement.
    let other = Desk {
        image: desk.registry.image(b"other"),
        ..Desk::new(KeyKind::P256)
    };
    let other = Desk {
        signer: desk.signer,
        ..other
    };
    let error = other
        .statement(Material::Bundle(bytes), COSIGN_SIGN)
        .unwrap_err();
    assert!(
        matches!(error, VerifyError::SubjectMismatch { .. }),
        "{error}"
    );
}

// cosign 3.0 lists its bundles under the fallback tag by the type of their configuration, and
// without their annotations.
#[test]
fn a_list_that_does_not_say_what_a_bundle_is() {
    let desk = Desk::new(KeyKind::P256);
    desk.attach(COSIGN_SIGN);
    let tag = desk.image.digest.to_string().replace(':', "-");
    let mut list = desk.registry.manifest_at(&tag).unwrap();
    let entry = list["manifests"][0].as_object_mut().unwrap();
    entry.remove("annotations");
    entry.insert(
        "artifactType".to_owned(),
        json!("application/vnd.oci.empty.v1+json"),
    );
    desk.registry.put(Some(&tag), INDEX, &list);
    let found = desk.found(Place::Referrers, Some(COSIGN_SIGN));
    let Ok(Signature::Bundle(bytes)) = &found[0].content else {
        panic!("{found:?}")
    };
    desk.statement(Material::Bundle(bytes), COSIGN_SIGN)
        .unwrap();
    let other = desk.found(Place::Referrers, Some("https://example.com/other"));
    assert_eq!(other, []);
}

#[test]
fn an_annotation_that_lies_proves_nothing() {
    let desk = Desk::new(KeyKind::P256);
    let bytes = desk.bundle("https://example.com/other");
    let attachment = Attachment {
        subject: &desk.image,
        artifact_type: BUNDLE_TYPE,
        bytes: &bytes,
        annotations: Repository::bundle_annotations(COSIGN_SIGN, "2026-11-20T14:02:00Z"),
    };
    desk.registry.open().attach(&attachment).unwrap();
    let found = desk.found(Place::Referrers, Some(COSIGN_SIGN));
    let Ok(Signature::Bundle(bytes)) = &found[0].content else {
        panic!("{found:?}")
    };
    let error = desk
        .statement(Material::Bundle(bytes), COSIGN_SIGN)
        .unwrap_err();
    assert!(
        matches!(error, VerifyError::PredicateType { .. }),
        "{error}"
    );
}

#[test]
fn the_older_signature_of_cosign() {
    for kind in [KeyKind::P256, KeyKind::Ed25519] {
        let desk = Desk::new(kind);
        let payload = desk.payload(COSIGN);
        let good = desk.sign(&payload);
        let other = desk.sign(b"another payload");
        desk.put_layers(
            "sig",
            &[desk.simple(&payload, &good), desk.simple(&payload, &other)],
        );
        let found = desk.found(Place::SignatureTag, None);
        let [first, second] = found.as_slice() else {
            panic!("{found:?}")
        };
        assert!(first.name.ends_with(".sig: layers[0]"), "{}", first.name);
        let Ok(Signature::SimpleSigning { bundle, payload }) = &first.content else {
            panic!("{first:?}");
        };
        let verified = desk.message(bundle, payload).unwrap();
        let said = SimpleSigning::bind(&verified, payload, &desk.image.digest).unwrap();
        assert_eq!(said.docker_reference, "r.example/org/model");
        let Ok(Signature::SimpleSigning {
            bundle,
            payload: same,
        }) = &second.content
        else {
            panic!("{second:?}");
        };
        assert!(desk.message(bundle, same).is_err());
        // A good signature, asked about another image, or with another payload.
        let other = desk.registry.image(b"other");
        assert!(matches!(
            SimpleSigning::bind(&verified, payload, &other.digest),
            Err(SimpleSigningError::OtherImage { .. })
        ));
        assert_eq!(
            SimpleSigning::bind(&verified, b"{}", &desk.image.digest),
            Err(SimpleSigningError::OtherPayload)
        );
    }
}

// cosign 3 signs with the hash of the curve, cosign 1 and 2 with SHA-256; the layer says neither.
#[test]
fn an_older_signature_does_not_say_its_hash_and_is_verified_with_either() {
    for kind in [KeyKind::P384, KeyKind::P521] {
        let desk = Desk::new(kind);
        let payload = desk.payload(COSIGN);
        let (good, other) = (desk.sign(&payload), desk.sign(b"another payload"));
        assert_eq!(desk.verdicts(&payload, &[good, other]), [true, false]);
    }
    let desk = Desk::new(KeyKind::P521);
    let payload = desk.payload(COSIGN);
    let rng = aws_lc_rs::rand::SystemRandom::new();
    let older = EcdsaKeyPair::generate(&ECDSA_P521_SHA256_ASN1_SIGNING).unwrap();
    let by_sha256 = |bytes: &[u8]| STANDARD.encode(older.sign(&rng, bytes).unwrap());
    let (good, other) = (by_sha256(&payload), by_sha256(b"another payload"));
    let der = older.to_pkcs8v1().unwrap();
    let desk = Desk {
        signer: KeySigner::new(KeyPair::from_pkcs8_der(der.as_ref()).unwrap()),
        ..desk
    };
    assert_eq!(desk.verdicts(&payload, &[good, other]), [true, false]);
}

#[test]
fn what_is_signed_in_the_older_form_is_found_there() {
    let desk = Desk::new(KeyKind::P256);
    let sign = |payload: &[u8]| {
        let digest = Algorithm::Sha256.digest(payload);
        let signed = seal::Signed::message(&digest, &desk.signer).unwrap();
        let bundle = signed.unlogged().remove(0).to_bytes().unwrap();
        desk.registry
            .open()
            .sign_older(&desk.image.digest, payload, &bundle)
    };
    // Somebody else's signature stays.
    let theirs = desk.payload(COSIGN);
    desk.put_layers("sig", &[desk.simple(&theirs, &desk.sign(b"other"))]);
    let payload = SimpleSigning::payload("r.example/org/model", &desk.image.digest);
    let tag = sign(&payload).unwrap();
    sign(&SimpleSigning::payload(
        "r.example/org/copy",
        &desk.image.digest,
    ))
    .unwrap();
    let found = desk.found(Place::SignatureTag, None);
    let said: Vec<Option<String>> = found
        .iter()
        .map(|candidate| {
            let Ok(Signature::SimpleSigning { bundle, payload }) = &candidate.content else {
                panic!("{candidate:?}");
            };
            let verified = desk.message(bundle, payload).ok()?;
            let bound = SimpleSigning::bind(&verified, payload, &desk.image.digest).unwrap();
            Some(bound.docker_reference)
        })
        .collect();
    let named = |name: &str| Some(format!("r.example/org/{name}"));
    assert_eq!(said, [None, named("model"), named("copy")]);
    // As images have it: the configuration names the layers.
    let manifest = desk.registry.manifest_at(&tag).unwrap();
    let config: Descriptor = serde_json::from_value(manifest["config"].clone()).unwrap();
    let config = desk.registry.open().blob(&config).unwrap();
    let digests: Vec<&serde_json::Value> = manifest["layers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|layer| &layer["digest"])
        .collect();
    let config: serde_json::Value = serde_json::from_slice(&config).unwrap();
    assert_eq!(config["rootfs"]["diff_ids"], json!(digests));
    // A tag that stands for something else is left alone.
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": []});
    desk.registry.put(Some(&tag), INDEX, &index);
    let error = sign(&payload).unwrap_err();
    assert!(matches!(error, OciError::Pages { .. }), "{error}");
    assert_eq!(desk.registry.manifest_at(&tag).unwrap(), index);
}

#[test]
fn payloads_that_are_no_signature_of_an_image() {
    let desk = Desk::new(KeyKind::P256);
    let digest = desk.image.digest.to_string();
    for (payload, expected) in [
        (desk.payload("atomic container signature"), None),
        (br#"{"critical": {}}"#.to_vec(), Some(SimpleSigningError::Malformed)),
        (b"weights".to_vec(), Some(SimpleSigningError::Malformed)),
        (
            json!({"critical": {"identity": {"docker-reference": ""}, "image":
                {"docker-manifest-digest": digest, "docker-manifest-digest-2": "x"}, "type": COSIGN}})
            .to_string()
            .into_bytes(),
            Some(SimpleSigningError::Malformed),
        ),
        (
            format!(r#"{{"critical": {{"identity": {{"docker-reference": ""}}, "image":
                {{"docker-manifest-digest": "x", "docker-manifest-digest": "{digest}"}},
                "type": "{COSIGN}"}}}}"#)
            .into_bytes(),
            Some(SimpleSigningError::Malformed),
        ),
    ] {
        desk.put_layers("sig", &[desk.simple(&payload, &desk.sign(&payload))]);
        let found = desk.found(Place::SignatureTag, None);
        let Ok(Signature::SimpleSigning { bundle, payload }) = &found[0].content else {
            panic!("{found:?}");
        };
        let verified = desk.message(bundle, payload).unwrap();
        let error = SimpleSigning::bind(&verified, payload, &desk.image.digest).unwrap_err();
        match expected {
            Some(expected) => assert_eq!(error, expected),
            None => assert!(matches!(error, SimpleSigningError::Kind { .. }), "{error}"),
        }
    }
    let layer = desk.simple(b"{}", "***");
    desk.put_layers("sig", &[layer]);
    let found = desk.found(Place::SignatureTag, None);
    assert!(
        matches!(found[0].content, Err(CandidateFault::Annotation(_))),
        "{found:?}"
    );
}

#[test]
fn the_older_statement_of_cosign() {
    let desk = Desk::new(KeyKind::P256);
    let kind = "https://slsa.dev/provenance/v0.2";
    let subject = Subject::new("r.example/org/model", desk.image.digest);
    let statement = Statement::new(vec![subject], kind, &json!({})).unwrap();
    let envelope = seal::sign_envelope(&statement, &[&desk.signer]).unwrap();
    let bytes = serde_json::to_vec(&envelope).unwrap();
    let mut layer = desk
        .registry
        .blob("application/vnd.dsse.envelope.v1+json", &bytes);
    layer.annotations = Some(
        [(
            "dev.cosignproject.cosign/signature".to_owned(),
            String::new(),
        )]
        .into(),
    );
    desk.put_layers("att", &[layer]);
    let found = desk.found(Place::AttestationTag, Some(kind));
    let Ok(Signature::Envelope(bytes)) = &found[0].content else {
        panic!("{found:?}")
    };
    desk.statement(Material::Envelope(bytes), kind).unwrap();
    let twin = String::from_utf8(bytes.clone())
        .unwrap()
        .replacen("\"sig\":\"M", "\"sig\":\"N", 1);
    assert!(
        desk.statement(Material::Envelope(twin.as_bytes()), kind)
            .is_err()
    );
}

#[test]
fn annotations_of_rekor_and_timestamps_become_parts_of_the_bundle() {
    let desk = Desk::new(KeyKind::P256);
    let payload = desk.payload(COSIGN);
    let mut layer = desk.simple(&payload, &desk.sign(&payload));
    let body = STANDARD.encode(r#"{"kind":"hashedrekord","apiVersion":"0.0.1","spec":{}}"#);
    let rekor = json!({"SignedEntryTimestamp": "AAAA", "Payload": {"body": body,
        "integratedTime": 1_700_000_000, "logIndex": 7, "logID": "c0ffee"}});
    let stamp = json!({"SignedRFC3161Timestamp": "BBBB"});
    let annotations = layer.annotations.as_mut().unwrap();
    annotations.insert("dev.sigstore.cosign/bundle".to_owned(), rekor.to_string());
    annotations.insert(
        "dev.sigstore.cosign/rfc3161timestamp".to_owned(),
        stamp.to_string(),
    );
    desk.put_layers("sig", &[layer]);
    let found = desk.found(Place::SignatureTag, None);
    let Ok(Signature::SimpleSigning { bundle, .. }) = &found[0].content else {
        panic!("{found:?}");
    };
    let bundle = custos_core::bundle::Bundle::parse(bundle).unwrap();
    let material = &bundle.verification_material;
    let entry = &material.tlog_entries[0];
    assert_eq!(
        (entry.log_index.0, entry.integrated_time.0),
        (7, 1_700_000_000)
    );
    assert_eq!(entry.kind_version.kind, "hashedrekord");
    assert_eq!(entry.log_id.key_id.as_slice(), [0xc0, 0xff, 0xee]);
    assert!(entry.inclusion_promise.is_some());
    assert_eq!(
        material
            .timestamp_verification_data
            .rfc3161_timestamps
            .len(),
        1
    );
}
