//! Certificates of a Sigstore authority: whom they name, which log promised them to the public,
//! and when the trusted root lets their authority speak.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use custos_core::clock::Timestamp;
use custos_core::crypto::{KeyKind, KeyPair, Pem, Scheme, sha256};
use custos_core::identity::{ExpectedSigner, Identity};
use custos_core::statement::Statement;
use custos_trust::signer::{CertificateSigner, Signer as _};
use custos_trust::verify::{
    CertificateFault, Check, CheckName, CheckState, LogRequirement, PromiseFault, Verified,
    VerifyError,
};
use custos_trust::{TrustRoot, seal};
use rcgen::{
    CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, OtherNameValue, SanType,
    SerialNumber,
};
use serde_json::{Value, json};
use x509_cert::der::{Decode as _, Encode as _};

use crate::instance::{Instance, THEN, tlv};
use crate::support::{Authority, Leaf, ca, leaf_params, pair, statement};
use crate::vouched::Court;

const EMAIL: &str = "a@example.com";
const ISSUER: &str = "https://accounts.example.com";
const FULCIO: [u64; 6] = [1, 3, 6, 1, 4, 1];
const CT_HOST: &str = "ct.example.com/2026";

/// A log of certificates.
struct CtLog {
    pair: KeyPair,
    scheme: Scheme,
    algorithm: [u8; 2],
}

impl CtLog {
    fn new(kind: KeyKind) -> Self {
        let (scheme, hash, signature) = match kind {
            KeyKind::P256 => (Scheme::EcdsaP256, 4, 3),
            KeyKind::P384 => (Scheme::EcdsaP384, 5, 3),
            KeyKind::Rsa(size) => (Scheme::RsaPkcs1Sha256(size), 4, 1),
            other => panic!("{other}"),
        };
        Self {
            pair: KeyPair::generate(kind).unwrap(),
            scheme,
            algorithm: [hash, signature],
        }
    }

    fn entry(&self) -> Value {
        json!({
            "baseUrl": format!("https://{CT_HOST}/"),
            "hashAlgorithm": "SHA2_256",
            "publicKey": {
                "rawBytes": STANDARD.encode(self.pair.public_key().as_spki_der()),
                "validFor": { "start": Timestamp::from_seconds(THEN - 5_000).to_string() },
            },
            "logId": { "keyId": STANDARD.encode(self.pair.public_key().id().as_bytes()) },
        })
    }

    /// The promise for a certificate of the authority with this key, by RFC 6962 section 3.2.
    fn promise(&self, issuer_spki: &[u8], part: &[u8], extensions: &[u8]) -> Vec<u8> {
        let millis = (u64::try_from(THEN).unwrap() * 1000).to_be_bytes();
        let extensions = vector(extensions);
        let length = u32::try_from(part.len()).unwrap().to_be_bytes();
        let message = [
            &[0, 0][..],
            &millis,
            &[0, 1],
            &sha256(issuer_spki),
            &length[1..],
            part,
            &extensions,
        ]
        .concat();
        let signature = vector(&self.pair.sign(self.scheme, &message).unwrap());
        let id = *self.pair.public_key().id().as_bytes();
        [
            &[0][..],
            &id,
            &millis,
            &extensions,
            &self.algorithm,
            &signature,
        ]
        .concat()
    }
}

// A TLS vector with two bytes of length.
fn vector(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
    [&length, bytes].concat()
}

fn list(promises: &[Vec<u8>]) -> Vec<u8> {
    let promises: Vec<Vec<u8>> = promises.iter().map(|promise| vector(promise)).collect();
    vector(&promises.concat())
}

fn extension(arc: &[u64], content: Vec<u8>) -> CustomExtension {
    let oid = [&FULCIO[..], arc].concat();
    CustomExtension::from_oid_content(&oid, content)
}

/// An instance with an authority that issues certificates for minutes.
struct World {
    instance: Instance,
    authority: Authority,
    ct: CtLog,
}

impl World {
    fn new() -> Self {
        Self {
            instance: Instance::new(),
            authority: Authority::new(),
            ct: CtLog::new(KeyKind::P256),
        }
    }

    fn root(&self, ct_logs: &[&CtLog]) -> TrustRoot {
        self.root_with(ct_logs, |_| {})
    }

    fn root_with(&self, ct_logs: &[&CtLog], change: impl FnOnce(&mut Value)) -> TrustRoot {
        let certificate = |pem: &str| {
            let pem = Pem::parse(pem).unwrap();
            json!({ "rawBytes": STANDARD.encode(pem.bytes()) })
        };
        self.instance.root_with(|root| {
            root["certificateAuthorities"] = json!([{
                "certChain": { "certificates": [
                    certificate(&self.authority.intermediate_pem),
                    certificate(&self.authority.root_pem),
                ]},
                "validFor": { "start": Timestamp::from_seconds(THEN - 5_000).to_string() },
            }]);
            root["ctlogs"] = ct_logs.iter().map(|log| log.entry()).collect();
            change(root);
        })
    }

    fn params() -> CertificateParams {
        Self::params_of(Leaf::email(KeyKind::P256, EMAIL))
    }

    fn params_of(leaf: Leaf) -> CertificateParams {
        let mut params = leaf_params(&Leaf {
            valid: (THEN - 60, THEN + 60),
            ..leaf
        });
        params.serial_number = Some(SerialNumber::from(vec![7; 20]));
        let issuer = tlv(0x0c, &[ISSUER.as_bytes()]);
        params
            .custom_extensions
            .push(extension(&[57264, 1, 8], issuer));
        params
    }

    /// A leaf with the list of promises that `promises` makes of its signed part.
    fn issue(
        &self,
        mut params: CertificateParams,
        promises: impl FnOnce(&[u8], &[u8]) -> Option<Vec<u8>>,
    ) -> CertificateSigner {
        let (pair, key) = pair(KeyKind::P256);
        let issuer = &self.authority.intermediate;
        let leaf = params.signed_by(&key, issuer).unwrap();
        let leaf = x509_cert::Certificate::from_der(leaf.der()).unwrap();
        let part = leaf.tbs_certificate.to_der().unwrap();
        let above = Pem::parse(&self.authority.intermediate_pem).unwrap();
        let above = x509_cert::Certificate::from_der(above.bytes()).unwrap();
        let spki = above.tbs_certificate.subject_public_key_info;
        if let Some(list) = promises(&spki.to_der().unwrap(), &part) {
            let content = tlv(4, &[&list]);
            let promises = extension(&[11129, 2, 4, 2], content);
            params.custom_extensions.push(promises);
        }
        let pem = params.signed_by(&key, issuer).unwrap().pem();
        CertificateSigner::new(pair, &pem).unwrap()
    }

    fn promised_by(&self, logs: &[&CtLog]) -> CertificateSigner {
        self.issue(Self::params(), |spki, part| {
            let promises: Vec<_> = logs
                .iter()
                .map(|log| log.promise(spki, part, &[]))
                .collect();
            Some(list(&promises))
        })
    }

    fn unpromised(&self, params: CertificateParams) -> CertificateSigner {
        self.issue(params, |_, _| None)
    }

    fn judge(
        &self,
        by: &CertificateSigner,
        root: &TrustRoot,
    ) -> Result<Verified<Statement>, VerifyError> {
        self.judge_at(by, root, Some(THEN))
    }

    fn judge_at(
        &self,
        by: &CertificateSigner,
        root: &TrustRoot,
        stamped: Option<i64>,
    ) -> Result<Verified<Statement>, VerifyError> {
        let mut bundle = seal::sign_statement(&statement(b"weights"), by, None).unwrap();
        if let Some(seconds) = stamped {
            bundle = self.instance.stamped(bundle, seconds);
        }
        let court = Court {
            root,
            signers: &ann(EMAIL),
            log: LogRequirement::AbsenceAllowed,
        };
        court.of_statement(&bundle)
    }
}

fn ann(identity: &str) -> [ExpectedSigner; 1] {
    let issuer = Some(ISSUER.to_owned());
    [ExpectedSigner::certificate("ann", identity, issuer)]
}

fn check(verified: &Verified<Statement>, name: CheckName) -> &Check {
    let mut checks = verified.checks().iter();
    checks.find(|check| check.name == name).unwrap()
}

fn fault(outcome: Result<Verified<Statement>, VerifyError>) -> CertificateFault {
    match outcome {
        Err(VerifyError::Certificate { position: 0, fault }) => fault,
        other => panic!("{other:?}"),
    }
}

fn promise_fault(outcome: Result<Verified<Statement>, VerifyError>) -> PromiseFault {
    match outcome {
        Err(VerifyError::CertificatePromise { fault }) => fault,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_certificate_that_a_log_promised_to_the_public() {
    let world = World::new();
    let rsa = KeyKind::Rsa(custos_core::crypto::RsaSize::Bits2048);
    for kind in [KeyKind::P256, KeyKind::P384, rsa] {
        let log = CtLog::new(kind);
        let by = world.promised_by(&[&log]);
        let verified = world.judge(&by, &world.root(&[&log])).unwrap();
        assert_eq!(
            verified.signer(),
            &Identity::Certificate {
                subject: EMAIL.to_owned(),
                issuer: ISSUER.to_owned(),
                key: by.public_key().id(),
            }
        );
        let promise = check(&verified, CheckName::Sct);
        assert_eq!(promise.state, CheckState::Ok);
        assert_eq!(promise.detail, CT_HOST);
        let certificate = check(&verified, CheckName::Certificate);
        assert_eq!(
            certificate.detail,
            "issued by CN=Test Intermediate, judged when it was signed"
        );
        // Another log in the list, which nobody here knows, takes nothing away.
        let by = world.promised_by(&[&world.ct, &log]);
        world.judge(&by, &world.root(&[&log])).unwrap();
    }
}

#[test]
fn a_promise_is_needed_where_the_instance_has_logs_for_it() {
    let world = World::new();
    let by = world.unpromised(World::params());
    let verified = world.judge(&by, &world.root(&[])).unwrap();
    let promise = check(&verified, CheckName::Sct);
    assert_eq!(promise.state, CheckState::NotClaimed);
    let outcome = world.judge(&by, &world.root(&[&world.ct]));
    assert_eq!(promise_fault(outcome), PromiseFault::Missing);
    // Also where the only log has a key that nobody here can read.
    let unreadable = world.root_with(&[&world.ct], |root| {
        root["ctlogs"][0]["publicKey"]["rawBytes"] = "AAAA".into();
    });
    let outcome = world.judge(&by, &unreadable);
    assert_eq!(promise_fault(outcome), PromiseFault::Missing);
    let by = world.promised_by(&[&world.ct]);
    let outcome = world.judge(&by, &unreadable);
    assert_eq!(promise_fault(outcome), PromiseFault::UnknownLog);
    world.judge(&by, &world.root(&[])).unwrap();
}

// A list of promises of what the key of the issuer and the signed part are.
type Lists<'a> = &'a dyn Fn(&[u8], &[u8]) -> Vec<u8>;

#[test]
fn promises_that_do_not_hold() {
    let world = World::new();
    let root = world.root(&[&world.ct]);
    let judged = |promises: Lists<'_>| {
        let by = world.issue(World::params(), |spki, part| Some(promises(spki, part)));
        world.judge(&by, &root)
    };
    let promise = |spki: &[u8], part: &[u8]| world.ct.promise(spki, part, &[]);
    let log = CT_HOST.to_owned();
    let broken = PromiseFault::Signature { log: log.clone() };
    // Extensions are signed as well.
    judged(&|spki, part| list(&[world.ct.promise(spki, part, b"leaf index")])).unwrap();
    // Over the certificate of another authority, over another certificate.
    let other = judged(&|_, part| list(&[promise(b"another key", part)]));
    assert_eq!(promise_fault(other), broken);
    let other = judged(&|spki, _| list(&[promise(spki, b"another part")]));
    assert_eq!(promise_fault(other), broken);
    // One that holds does not outweigh one that does not.
    let other = judged(&|spki, part| list(&[promise(spki, part), promise(spki, b"x")]));
    assert_eq!(promise_fault(other), broken);
    // Named as made by an algorithm that goes with another key.
    let algorithm_at = 1 + 32 + 8 + 2;
    for (at, value) in [(algorithm_at, 5), (algorithm_at + 1, 1)] {
        let outcome = judged(&|spki, part| {
            let mut promise = promise(spki, part);
            promise[at] = value;
            list(&[promise])
        });
        assert_eq!(promise_fault(outcome), broken);
    }
    let stranger = CtLog::new(KeyKind::P256);
    let outcome = judged(&|spki, part| list(&[stranger.promise(spki, part, &[])]));
    assert_eq!(promise_fault(outcome), PromiseFault::UnknownLog);

    let by = world.promised_by(&[&world.ct]);
    for (end, good) in [(THEN - 1, false), (THEN, true)] {
        let root = world.root_with(&[&world.ct], |root| {
            let end = Timestamp::from_seconds(end).to_string();
            root["ctlogs"][0]["publicKey"]["validFor"]["end"] = end.into();
        });
        let outcome = world.judge(&by, &root);
        if good {
            outcome.unwrap();
        } else {
            let fault = PromiseFault::NotTrustedThen { log: log.clone() };
            assert_eq!(promise_fault(outcome), fault);
        }
    }
}

type Change<'a> = &'a dyn Fn(Vec<u8>) -> Vec<u8>;

#[test]
fn a_list_of_promises_is_read_to_the_letter() {
    let world = World::new();
    let root = world.root(&[&world.ct]);
    let judged = |promises: Change<'_>| {
        let by = world.issue(World::params(), |spki, part| {
            Some(promises(world.ct.promise(spki, part, &[])))
        });
        world.judge(&by, &root)
    };
    for count in [1, 8] {
        judged(&|promise| list(&vec![promise; count])).unwrap();
    }
    let malformed: [Change<'_>; 9] = [
        &|promise| list(&vec![promise; 9]),
        &|_| list(&[]),
        &|_| Vec::new(),
        &|promise| [list(&[promise]), vec![0]].concat(),
        &|promise| list(&[[promise, vec![0]].concat()]),
        &|promise| list(&[promise[..promise.len() - 1].to_vec()]),
        &|mut promise| {
            promise[0] = 1;
            list(&[promise])
        },
        // A version of its own, and something behind the signature.
        &|mut promise| {
            promise[0] = 1;
            list(&[[promise, vec![0]].concat()])
        },
        // A promise that is said to be longer than the list.
        &|promise| vector(&[&[0xff, 0xff][..], &promise].concat()),
    ];
    for (at, change) in malformed.into_iter().enumerate() {
        let outcome = judged(change);
        assert_eq!(promise_fault(outcome), PromiseFault::Malformed, "{at}");
    }
}

#[test]
fn the_one_subject_of_a_certificate_and_its_issuer() {
    let world = World::new();
    let root = world.root(&[]);
    let named = |sans: Vec<SanType>| {
        let leaf = Leaf {
            sans,
            ..Leaf::email(KeyKind::P256, EMAIL)
        };
        world.unpromised(World::params_of(leaf))
    };
    let email = |text: &str| SanType::Rfc822Name(text.try_into().unwrap());
    let other = |last: u64| {
        let oid = [&FULCIO[..], &[57264, 1, last]].concat();
        SanType::OtherName((oid, OtherNameValue::Utf8String(EMAIL.to_owned())))
    };
    let uri = |text: &str| SanType::URI(text.try_into().unwrap());
    for san in [email(EMAIL), other(7), uri(EMAIL)] {
        let verified = world.judge(&named(vec![san.clone()]), &root);
        assert_eq!(verified.unwrap().signer_name(), "ann", "{san:?}");
    }
    for (sans, found) in [
        (vec![email(EMAIL), email("b@example.com")], 2),
        (vec![email(EMAIL), other(7)], 2),
        (vec![other(9)], 0),
        (vec![SanType::IpAddress([127, 0, 0, 1].into())], 0),
    ] {
        let outcome = world.judge(&named(sans), &root);
        assert_eq!(fault(outcome), CertificateFault::SubjectCount { found });
    }
    // A common name is not a subject that Sigstore's authorities vouch for beside another name.
    let outcome = world.judge(&named(vec![email("b@example.com")]), &root);
    let Err(VerifyError::SignerNotExpected { expected, found }) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(found, format!("b@example.com (issuer {ISSUER})"));
    assert_eq!(expected, [ann(EMAIL)[0].to_string()]);
}

#[test]
fn an_issuer_in_either_form_or_in_both_alike() {
    let world = World::new();
    let root = world.root(&[]);
    let der = |text: &str| extension(&[57264, 1, 8], tlv(0x0c, &[text.as_bytes()]));
    let bare = |text: &str| extension(&[57264, 1, 1], text.as_bytes().to_vec());
    let judged = |extensions: Vec<CustomExtension>| {
        let mut params = World::params();
        params.custom_extensions = extensions;
        world.judge(&world.unpromised(params), &root)
    };
    for good in [
        vec![der(ISSUER)],
        vec![bare(ISSUER)],
        vec![bare(ISSUER), der(ISSUER)],
    ] {
        judged(good).unwrap();
    }
    for two in [
        vec![bare(ISSUER), der("https://other.example.com")],
        vec![bare("https://other.example.com"), der(ISSUER)],
        vec![der(ISSUER), der(ISSUER)],
        vec![extension(&[57264, 1, 8], ISSUER.as_bytes().to_vec())],
        vec![extension(&[57264, 1, 1], vec![0xff])],
    ] {
        assert_eq!(fault(judged(two)), CertificateFault::Malformed);
    }
    let other = judged(vec![der("https://other.example.com")]);
    assert!(matches!(other, Err(VerifyError::SignerNotExpected { .. })));
    // Without any issuer it is a private authority's, and nobody expects one of those.
    let none = judged(Vec::new());
    let Err(VerifyError::SignerNotExpected { found, .. }) = none else {
        panic!("{none:?}")
    };
    assert_eq!(
        found,
        format!("{EMAIL} (certificate by CN=Test Intermediate)")
    );
}

#[test]
fn a_certificate_of_minutes_is_judged_by_trusted_times_only() {
    let world = World::new();
    let root = world.root(&[]);
    let by = world.unpromised(World::params());
    let judged = |seconds| world.judge_at(&by, &root, seconds);
    assert_eq!(judged(None).unwrap_err(), VerifyError::TimeMissing);
    for seconds in [THEN - 60, THEN + 60] {
        judged(Some(seconds)).unwrap();
    }
    for seconds in [THEN - 61, THEN + 61] {
        let outcome = judged(Some(seconds));
        let Err(VerifyError::CertificateValidity { subject, now, .. }) = outcome else {
            panic!("{outcome:?}")
        };
        assert_eq!(subject, EMAIL);
        assert_eq!(now, Timestamp::from_seconds(seconds));
    }
}

#[test]
fn an_authority_speaks_for_its_time_in_the_trusted_root() {
    let world = World::new();
    let by = world.unpromised(World::params());
    let at = Timestamp::from_seconds(THEN);
    for (end, good) in [(THEN - 1, false), (THEN, true)] {
        let root = world.root_with(&[], |root| {
            let end = Timestamp::from_seconds(end).to_string();
            root["certificateAuthorities"][0]["validFor"]["end"] = end.into();
        });
        let outcome = world.judge(&by, &root);
        if good {
            outcome.unwrap();
        } else {
            let ended = CertificateFault::NoValidAnchor { now: at };
            assert_eq!(fault(outcome), ended);
        }
    }
    // None at all, and another one.
    let none = world.root_with(&[], |root| root["certificateAuthorities"] = json!([]));
    assert_eq!(fault(world.judge(&by, &none)), CertificateFault::NoAnchor);
    let other = World::new();
    let outcome = world.judge(
        &by,
        &world.root_with(&[], |root| {
            let pem = Pem::parse(&other.authority.root_pem).unwrap();
            let chain = json!([{ "rawBytes": STANDARD.encode(pem.bytes()) }]);
            root["certificateAuthorities"][0]["certChain"]["certificates"] = chain;
        }),
    );
    assert_eq!(fault(outcome), CertificateFault::UnknownIssuer);
}

#[test]
fn a_certificate_that_is_not_for_signing() {
    let world = World::new();
    let root = world.root(&[]);
    let used = |leaf: Leaf| world.judge(&world.unpromised(World::params_of(leaf)), &root);
    let email = || Leaf::email(KeyKind::P256, EMAIL);
    let faults = [
        used(Leaf {
            purposes: vec![ExtendedKeyUsagePurpose::ServerAuth],
            ..email()
        }),
        used(Leaf {
            purposes: Vec::new(),
            ..email()
        }),
        used(Leaf {
            usages: vec![rcgen::KeyUsagePurpose::KeyEncipherment],
            ..email()
        }),
    ];
    for outcome in faults {
        assert_eq!(fault(outcome), CertificateFault::Usage);
    }
}

#[test]
fn a_private_certificate_beside_an_instance_vouches_for_no_identity() {
    let world = World::new();
    let authority = Authority::new();
    let root = world
        .root(&[])
        .with_authorities(&authority.root_pem)
        .unwrap();
    assert!(root.trusts_sigstore());
    let leaf = Leaf {
        valid: (THEN - 60, THEN + 60),
        ..Leaf::email(KeyKind::P256, EMAIL)
    };
    let outcome = world.judge(&authority.signer(&leaf), &root);
    let Err(VerifyError::SignerNotExpected { found, .. }) = outcome else {
        panic!("{outcome:?}")
    };
    assert!(found.starts_with(EMAIL), "{found}");
}

#[test]
fn what_stands_between_comes_with_the_trusted_root_and_not_with_the_bundle() {
    let world = World::new();
    let above = rcgen::KeyPair::generate().unwrap();
    let mut params = ca("Link");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
    let link = params.signed_by(&above, &world.authority.root).unwrap();
    let (pair, key) = pair(KeyKind::P256);
    let issuer = rcgen::Issuer::new(params, above);
    let leaf = World::params().signed_by(&key, &issuer).unwrap();
    let chain = format!("{}{}", leaf.pem(), link.pem());
    let by = CertificateSigner::new(pair, &chain).unwrap();
    let top = Pem::parse(&world.authority.root_pem).unwrap();
    let judged = |chain: &[&[u8]]| {
        let chain = chain
            .iter()
            .map(|der| json!({ "rawBytes": STANDARD.encode(der) }));
        let chain: Value = chain.collect();
        let root = world.root_with(&[], |root| {
            root["certificateAuthorities"][0]["certChain"]["certificates"] = chain;
        });
        world.judge(&by, &root)
    };
    judged(&[link.der(), top.bytes()]).unwrap();
    let outcome = judged(&[top.bytes()]);
    assert_eq!(fault(outcome), CertificateFault::UnknownIssuer);
}
