//! What a trusted root of a Sigstore instance may hold, how much of it, and for which times.

use custos_core::clock::Timestamp;
use custos_core::crypto::KeyKind;
use custos_core::limits::MAX_CERTIFICATES;
use custos_trust::TrustRoot;
use custos_trust::root::{MAX_MEMBERS, TrustRootError};
use custos_trust::signer::Signer as _;
use custos_trust::verify::{LogRequirement, MessageSigned, Verified, VerifyError};
use serde_json::{Value, json};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::instance::{Instance, THEN, V1_HOST, V2_HOST, message};
use crate::support::{expect_key, signer};
use crate::vouched::Court;

fn parsed(change: impl FnOnce(&mut Value)) -> Result<TrustRoot, TrustRootError> {
    let mut document = Instance::new().trusted_root();
    change(&mut document);
    TrustRoot::trusting_nothing().with_sigstore(&serde_json::to_vec(&document).unwrap())
}

#[test]
fn members_have_a_largest_number() {
    let logs = |count: usize| {
        parsed(|root| {
            let log = root["tlogs"][0].clone();
            let numbered = |at: usize| {
                let mut log = log.clone();
                let id: Vec<u8> = at.to_be_bytes().into_iter().cycle().take(32).collect();
                log["logId"]["keyId"] = STANDARD.encode(id).into();
                log
            };
            root["tlogs"] = (0..count).map(numbered).collect();
        })
    };
    logs(MAX_MEMBERS).unwrap();
    assert_eq!(logs(MAX_MEMBERS + 1).unwrap_err(), TrustRootError::TooMany);
    let clocks = |count: usize| {
        parsed(|root| {
            let clock = root["timestampAuthorities"][0].clone();
            root["timestampAuthorities"] = vec![clock; count].into();
        })
    };
    clocks(MAX_MEMBERS).unwrap();
    let too_many = clocks(MAX_MEMBERS + 1).unwrap_err();
    assert_eq!(too_many, TrustRootError::TooMany);
}

#[test]
fn the_chain_of_an_authority_has_certificates_and_an_end() {
    for kind in ["timestampAuthorities", "certificateAuthorities"] {
        let chain = |length: usize| {
            parsed(|root| {
                let mut authority = root["timestampAuthorities"][0].clone();
                let certificate = authority["certChain"]["certificates"][0].clone();
                authority["certChain"]["certificates"] = vec![certificate; length].into();
                root[kind] = json!([authority]);
            })
        };
        chain(1).unwrap();
        chain(MAX_CERTIFICATES).unwrap();
        let too_many = chain(MAX_CERTIFICATES + 1).unwrap_err();
        assert_eq!(too_many, TrustRootError::TooMany, "{kind}");
        let none = chain(0).unwrap_err();
        let TrustRootError::Sigstore(why) = none else {
            panic!("{kind}: {none}")
        };
        assert_eq!(why, "one of its authorities has no certificate");
    }
}

#[test]
fn a_log_is_trusted_for_its_time() {
    let instance = Instance::new();
    let by = signer(KeyKind::P256);
    let signers = [expect_key("maker", &by)];
    let judge = |v2: bool, start: i64, end: Option<i64>| -> Result<Verified<MessageSigned>, _> {
        let time = |seconds| Value::from(Timestamp::from_seconds(seconds).to_string());
        let root = instance.root_with(|root| {
            let range = &mut root["tlogs"][usize::from(v2)]["publicKey"]["validFor"];
            *range = json!({ "start": time(start) });
            if let Some(end) = end {
                range["end"] = time(end);
            }
        });
        let court = Court {
            root: &root,
            signers: &signers,
            log: LogRequirement::Required,
        };
        let bundle = if v2 {
            instance.in_v2(message(&by), &by)
        } else {
            instance.in_v1(message(&by), &by, ("hashedrekord", "0.0.1"))
        };
        court.of_file(&bundle)
    };
    let not_trusted = |outcome| matches!(outcome, Err(VerifyError::LogNotTrusted { .. }));
    // The log of the first kind says when; both ends of the range are in it.
    judge(false, THEN, Some(THEN)).unwrap();
    assert!(not_trusted(judge(false, THEN + 1, None)));
    assert!(not_trusted(judge(false, THEN - 9, Some(THEN - 1))));
    // Of the second kind nobody knows; a log that is retired by now may have taken it in before.
    let now = crate::support::NOW.as_seconds();
    judge(true, now, None).unwrap();
    judge(true, THEN - 9, Some(THEN - 1)).unwrap();
    assert!(not_trusted(judge(true, now + 1, None)));
}

#[test]
fn a_log_without_an_address_is_named_by_its_id() {
    let instance = Instance::new();
    let by = signer(KeyKind::P256);
    let signers = [expect_key("maker", &by)];
    let root = instance.root_with(|root| {
        for log in root["tlogs"].as_array_mut().unwrap() {
            log.as_object_mut().unwrap().remove("baseUrl");
        }
    });
    let court = Court {
        root: &root,
        signers: &signers,
        log: LogRequirement::Required,
    };
    let vkey: custos_log::note::VerifierKey = instance.v2.vkey().parse().unwrap();
    let v1 = instance.in_v1(message(&by), &by, ("hashedrekord", "0.0.1"));
    let v2 = instance.in_v2(message(&by), &by);
    for (bundle, id, said) in [
        (v1, instance.v1.id(), format!("{V1_HOST} - 42")),
        (v2, vkey.full_id().to_vec(), V2_HOST.to_owned()),
    ] {
        let verified = court.of_file(&bundle).unwrap();
        let origin = format!("{} - {said}", hex::encode(id));
        assert_eq!(verified.log()[0].origin, origin);
    }
}

#[test]
fn a_log_is_named_by_its_address_without_scheme_and_slash() {
    let instance = Instance::new();
    let by = signer(KeyKind::P256);
    let signers = [expect_key("maker", &by)];
    for url in [
        V2_HOST,
        "https://log2026.example.com",
        "log2026.example.com//",
    ] {
        let root = instance.root_with(|root| root["tlogs"][1]["baseUrl"] = url.into());
        let court = Court {
            root: &root,
            signers: &signers,
            log: LogRequirement::RequiredIn { origin: V2_HOST },
        };
        court.of_file(&instance.in_v2(message(&by), &by)).unwrap();
    }
    assert!(by.certificate_chain().is_none());
}
