//! Paths of private authorities: what every certificate on the way must say, for signers and for
//! leaves that call themselves authorities, as the OMS reference client makes them.

use custos_core::clock::Timestamp;
use custos_core::crypto::KeyKind;
use custos_core::dsse::Base64;
use custos_core::identity::ExpectedSigner;
use custos_core::limits::MAX_CERTIFICATES;
use custos_trust::TrustRoot;
use custos_trust::signer::CertificateSigner;
use custos_trust::verify::{Certificate, CertificateFault, VerifyError};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, DnValue, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyUsagePurpose, NameConstraints, SanType,
};

use crate::support::{Authority, Case, Leaf, NOW, by_certificate, ca, leaf_params, pair, signer};

const EMAIL: &str = "a@example.com";

type Change<'a> = &'a dyn Fn(&mut CertificateParams);

/// A root, a certificate below it, and a signer's below that.
struct Chain {
    root: Issuer<'static, rcgen::KeyPair>,
    root_pem: String,
    link: Issuer<'static, rcgen::KeyPair>,
    link_pem: String,
}

impl Chain {
    fn new(root: Change<'_>, link: Change<'_>) -> Self {
        let (mut params, key) = (ca("Root"), rcgen::KeyPair::generate().unwrap());
        root(&mut params);
        let root_pem = params.self_signed(&key).unwrap().pem();
        let above = Issuer::new(params, key);
        let (mut params, key) = (ca("Link"), rcgen::KeyPair::generate().unwrap());
        link(&mut params);
        let link_pem = params.signed_by(&key, &above).unwrap().pem();
        Self {
            root: above,
            root_pem,
            link: Issuer::new(params, key),
            link_pem,
        }
    }

    fn plain() -> Self {
        Self::new(&|_| {}, &|_| {})
    }

    fn signer(&self, is_ca: bool) -> CertificateSigner {
        let leaf = Leaf {
            is_ca,
            ..Leaf::email(KeyKind::P256, EMAIL)
        };
        let (pair, key) = pair(KeyKind::P256);
        let leaf = leaf_params(&leaf).signed_by(&key, &self.link).unwrap();
        let chain = format!("{}{}", leaf.pem(), self.link_pem);
        CertificateSigner::new(pair, &chain).unwrap()
    }

    fn judge(&self, is_ca: bool) -> Result<(), CertificateFault> {
        judged(&case(&self.signer(is_ca), &self.root_pem))
    }
}

fn ann() -> ExpectedSigner {
    ExpectedSigner::certificate("ann", EMAIL, None)
}

fn case(signer: &CertificateSigner, authorities: &str) -> Case {
    Case::unlogged(signer, authorities, ann())
}

fn judged(case: &Case) -> Result<(), CertificateFault> {
    match case.verify() {
        Ok(_) => Ok(()),
        Err(VerifyError::Certificate { position: 0, fault }) => Err(fault),
        Err(other) => panic!("{other:?}"),
    }
}

fn constrained(most: u8) -> impl Fn(&mut CertificateParams) {
    move |params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(most))
}

fn valid(from: i64, to: i64) -> impl Fn(&mut CertificateParams) {
    move |params| {
        let leaf = leaf_params(&Leaf {
            valid: (from, to),
            ..Leaf::email(KeyKind::P256, EMAIL)
        });
        params.not_before = leaf.not_before;
        params.not_after = leaf.not_after;
    }
}

fn rule(fault: Result<(), CertificateFault>) -> String {
    match fault {
        Err(CertificateFault::Rule(rule)) => rule,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_authority_has_to_say_that_it_is_one_and_for_how_many_below() {
    for is_ca in [false, true] {
        Chain::plain().judge(is_ca).unwrap();
        Chain::new(&constrained(1), &constrained(0))
            .judge(is_ca)
            .unwrap();
        Chain::new(&constrained(2), &constrained(1))
            .judge(is_ca)
            .unwrap();
        let short = Chain::new(&constrained(0), &|_| {});
        assert_eq!(rule(short.judge(true)), "PathLenConstraintViolated");
        let plain = Chain::new(&|_| {}, &|params| params.is_ca = IsCa::NoCa);
        assert_eq!(rule(plain.judge(is_ca)), "EndEntityUsedAsCa");
    }
}

#[test]
fn an_authority_may_be_for_something_else() {
    let used = |purposes: &[ExtendedKeyUsagePurpose], is_ca: bool| {
        let change = |params: &mut CertificateParams| {
            params.extended_key_usages = purposes.to_vec();
        };
        Chain::new(&|_| {}, &change).judge(is_ca)
    };
    let (code, other) = (
        ExtendedKeyUsagePurpose::CodeSigning,
        ExtendedKeyUsagePurpose::ServerAuth,
    );
    for is_ca in [false, true] {
        used(&[], is_ca).unwrap();
        used(std::slice::from_ref(&code), is_ca).unwrap();
        used(&[other.clone(), code.clone()], is_ca).unwrap();
        assert_eq!(
            used(std::slice::from_ref(&other), is_ca),
            Err(CertificateFault::Usage)
        );
    }
    // Any purpose is the one asked for as well.
    used(&[ExtendedKeyUsagePurpose::Any], true).unwrap();
    // A key that may sign messages, and no certificates.
    let mute = Chain::new(&|_| {}, &|params| {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    });
    assert_eq!(rule(mute.judge(true)), "keyCertSign");
    let silent = Chain::new(&|_| {}, &|params| params.key_usages.clear());
    silent.judge(true).unwrap();
}

#[test]
fn every_certificate_on_the_way_is_valid_when_it_is_judged() {
    let now = NOW.as_seconds();
    for is_ca in [false, true] {
        for (from, to, expected) in [
            (now, now, Ok(())),
            (now - 9, now - 1, Err(CertificateFault::Expired)),
            (now + 1, now + 9, Err(CertificateFault::NotYetValid)),
        ] {
            let chain = Chain::new(&|_| {}, &valid(from, to));
            assert_eq!(chain.judge(is_ca), expected, "{from} {to}");
        }
        // An expired root beside a valid one that has nothing to do with the signer.
        let old = Chain::new(&valid(now - 9, now - 1), &|_| {});
        let both = format!("{}{}", old.root_pem, Authority::new().root_pem);
        let outcome = judged(&case(&old.signer(is_ca), &both));
        assert!(matches!(
            outcome,
            Err(CertificateFault::UnknownIssuer | CertificateFault::Signature)
        ));
    }
}

#[test]
fn extensions_that_nobody_here_judges_are_no_reason_to_pass() {
    let names = |params: &mut CertificateParams| {
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::Rfc822Name("example.com".into())],
            excluded_subtrees: Vec::new(),
        });
    };
    let points = |critical: bool| {
        move |params: &mut CertificateParams| {
            // A distribution point without anything in it.
            let content = vec![0x30, 2, 0x30, 0];
            let mut points = CustomExtension::from_oid_content(&[2, 5, 29, 31], content);
            points.set_criticality(critical);
            params.custom_extensions.push(points);
        }
    };
    let refused = |root: Change<'_>, link: Change<'_>| rule(Chain::new(root, link).judge(true));
    assert_eq!(refused(&|_| {}, &names), "extension 2.5.29.30");
    assert_eq!(refused(&names, &|_| {}), "extension 2.5.29.30");
    assert_eq!(refused(&|_| {}, &points(true)), "extension 2.5.29.31");
    Chain::new(&|_| {}, &points(false)).judge(true).unwrap();
    // Of addresses webpki judges none: a constraint of them is one that does not hold.
    let plain = Chain::new(&|_| {}, &names).judge(false);
    assert_eq!(rule(plain), "NameConstraintViolation");
}

#[test]
fn an_issuer_is_who_signed_and_not_who_has_its_name() {
    for is_ca in [false, true] {
        // Everything has the right names, and another key.
        let (ours, theirs) = (Chain::plain(), Chain::plain());
        let leaf = theirs.signer(is_ca);
        let refused = |authorities: &str, links: &[&str]| {
            let links: Vec<Vec<u8>> = links.iter().map(|pem| der(pem)).collect();
            let case = case(&leaf, authorities).edit(|bundle| {
                let chain = &mut bundle.verification_material.x509_certificate_chain;
                let chain = &mut chain.as_mut().unwrap().certificates;
                let first = chain[0].clone();
                chain.truncate(1);
                chain.extend(links.iter().map(|link| {
                    let mut certificate = first.clone();
                    certificate.raw_bytes = Base64(link.clone());
                    certificate
                }));
            });
            let outcome = judged(&case);
            assert!(
                matches!(
                    outcome,
                    Err(CertificateFault::UnknownIssuer | CertificateFault::Signature)
                ),
                "{outcome:?}"
            );
        };
        refused(&ours.root_pem, &[&theirs.link_pem]);
        // Our own link beside their leaf: it leads to the root, and the leaf not to it.
        refused(&ours.root_pem, &[&ours.link_pem]);
        refused(&ours.root_pem, &[&ours.link_pem, &theirs.link_pem]);
        refused(&ours.root_pem, &[&theirs.link_pem, &theirs.root_pem]);
        refused(&ours.root_pem, &[&theirs.root_pem, &ours.link_pem]);
        refused(&theirs.root_pem, &[]);
        refused(&theirs.root_pem, &[&ours.link_pem, &ours.root_pem]);
        // A link that issued itself, over and over.
        let looped = vec![theirs.root_pem.as_str(); MAX_CERTIFICATES - 1];
        refused(&ours.root_pem, &looped);
    }
}

#[test]
fn the_order_of_links_does_not_matter_and_their_number_has_an_end() {
    // A leaf below as many authorities as a bundle has room for.
    for is_ca in [false, true] {
        let plain = Chain::plain();
        let mut links = vec![plain.link_pem.clone()];
        let mut above = plain.link;
        for depth in 0..MAX_CERTIFICATES - 2 {
            let (params, key) = (ca(&format!("Link {depth}")), rcgen::KeyPair::generate());
            let key = key.unwrap();
            links.push(params.signed_by(&key, &above).unwrap().pem());
            above = Issuer::new(params, key);
        }
        let chain = Chain {
            link: above,
            link_pem: links.concat(),
            ..Chain {
                root: plain.root,
                root_pem: plain.root_pem,
                link: Issuer::new(ca("unused"), rcgen::KeyPair::generate().unwrap()),
                link_pem: String::new(),
            }
        };
        let outcome = chain.judge(is_ca);
        // webpki goes up six authorities, and the way around it as far as a bundle can.
        assert_eq!(outcome.is_ok(), is_ca, "{outcome:?}");
    }
}

#[test]
fn a_leaf_that_may_be_trusted_itself_is_judged_like_any_other() {
    let now = NOW.as_seconds();
    let trusted_itself = |is_ca: bool, change: Change<'_>| {
        let leaf = Leaf {
            is_ca,
            ..Leaf::email(KeyKind::P256, EMAIL)
        };
        let (pair, key) = pair(KeyKind::P256);
        let mut params = leaf_params(&leaf);
        change(&mut params);
        let pem = params.self_signed(&key).unwrap().pem();
        let signer = CertificateSigner::new(pair, &pem).unwrap();
        (judged(&case(&signer, &pem)), pem, signer)
    };
    trusted_itself(true, &|_| {}).0.unwrap();
    let (outcome, pem, _) = trusted_itself(true, &|params| {
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::Rfc822Name("example.com".into())],
            excluded_subtrees: Vec::new(),
        });
    });
    assert_eq!(rule(outcome), "extension 2.5.29.30");
    // Another self-signed certificate of the same name is not the trusted one.
    let (_, _, other) = trusted_itself(true, &|_| {});
    assert!(matches!(
        judged(&case(&other, &pem)),
        Err(CertificateFault::UnknownIssuer)
    ));
    // Its validity is that of every leaf.
    let (_, pem, signer) = trusted_itself(true, &valid(now, now));
    let mut case = case(&signer, &pem);
    case.verify().unwrap();
    case.now = Timestamp::from_seconds(now + 1);
    assert!(matches!(
        case.verify(),
        Err(VerifyError::CertificateValidity { .. })
    ));
}

#[test]
fn whom_a_private_certificate_names() {
    let named = |sans: Vec<SanType>, identity: &str| {
        let leaf = Leaf {
            sans,
            ..Leaf::email(KeyKind::P256, EMAIL)
        };
        by_certificate(&leaf, identity).0.verify()
    };
    let uri = || SanType::URI("https://ci.example.com/job".try_into().unwrap());
    let host = || SanType::DnsName("ci.example.com".try_into().unwrap());
    let email = || SanType::Rfc822Name(EMAIL.try_into().unwrap());
    // Any one of several names, each in full.
    for identity in [EMAIL, "ci.example.com", "https://ci.example.com/job"] {
        let verified = named(vec![uri(), host(), email()], identity).unwrap();
        assert_eq!(verified.signer_name(), "alice");
        assert!(verified.signer().to_string().contains(identity));
    }
    // The common name counts only where there are no others, and only if there is one.
    named(Vec::new(), "A Signer").unwrap();
    let error = named(vec![email()], "A Signer").unwrap_err();
    let VerifyError::SignerNotExpected { found, .. } = error else {
        panic!("{error}")
    };
    let issuer = "CN=Test Intermediate";
    assert_eq!(found, format!("{EMAIL} (certificate by {issuer})"));
    let address = SanType::IpAddress([127, 0, 0, 1].into());
    let error = named(vec![address], "A Signer").unwrap_err();
    let VerifyError::SignerNotExpected { found, .. } = error else {
        panic!("{error}")
    };
    let nobody = "a certificate that names nobody (CN=A Signer)";
    assert_eq!(found, nobody);
}

#[test]
fn common_names_in_every_form_of_text_and_two_of_them() {
    let authority = Authority::new();
    let named = |change: Change<'_>| {
        let (pair, key) = pair(KeyKind::P256);
        let leaf = Leaf {
            sans: Vec::new(),
            ..Leaf::email(KeyKind::P256, EMAIL)
        };
        let mut params = leaf_params(&leaf);
        change(&mut params);
        let pem = params.signed_by(&key, &authority.root).unwrap().pem();
        let signer = CertificateSigner::new(pair, &pem).unwrap();
        let expected = ExpectedSigner::certificate("ann", "ann", None);
        Case::unlogged(&signer, &authority.root_pem, expected).verify()
    };
    for value in [
        DnValue::Utf8String("ann".to_owned()),
        DnValue::PrintableString("ann".try_into().unwrap()),
        DnValue::Ia5String("ann".try_into().unwrap()),
    ] {
        named(&|params| {
            params
                .distinguished_name
                .push(DnType::CommonName, value.clone());
        })
        .unwrap();
    }
    // The last one wins in rcgen, so that the second comes as another attribute's value.
    let error = named(&|params| {
        params.distinguished_name.push(DnType::CommonName, "ann");
        params
            .distinguished_name
            .push(DnType::CustomDnType(vec![2, 5, 4, 3]), "bob");
    })
    .unwrap_err();
    assert!(matches!(error, VerifyError::SignerNotExpected { .. }));
    let error = named(&|params| {
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::OrganizationName, "ann");
    })
    .unwrap_err();
    assert!(matches!(error, VerifyError::SignerNotExpected { .. }));
}

#[test]
fn a_signature_that_does_not_hold_names_whose_it_should_be() {
    let by = Authority::new().signer(&Leaf::email(KeyKind::P256, EMAIL));
    let (sans, nameless) = (
        vec![SanType::IpAddress([127, 0, 0, 1].into())],
        "CN=A Signer",
    );
    let unnamed = Authority::new().signer(&Leaf {
        sans,
        ..Leaf::email(KeyKind::P256, EMAIL)
    });
    for (by, name) in [(&by, EMAIL), (&unnamed, nameless)] {
        let case = case(by, "").edit(|bundle| {
            let envelope = bundle.dsse_envelope.as_mut().unwrap();
            envelope.signatures[0].sig = signed_by_another();
        });
        let request = case.request(
            &[crate::support::PREDICATE],
            custos_trust::verify::Material::Bundle(&case.bytes),
        );
        let outcome = custos_trust::verify::verify_all(&[("it", request)]).unwrap();
        let checks = &outcome.reports[0].checks;
        let failed = checks
            .iter()
            .find(|check| check.name == custos_trust::verify::CheckName::Signature)
            .unwrap();
        let expected = format!("the signature does not verify with the key of {name}");
        assert!(failed.detail.starts_with(&expected), "{}", failed.detail);
    }
}

fn signed_by_another() -> Base64 {
    use custos_trust::signer::Signer as _;
    Base64(signer(KeyKind::P256).sign(b"another").unwrap())
}

#[test]
fn a_certificate_has_a_largest_size() {
    let sized = |padding: usize| {
        let mut params = ca("Large");
        let content = crate::instance::tlv(4, &[&vec![0; padding]]);
        let extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 57264, 9], content);
        params.custom_extensions.push(extension);
        // Signatures of this kind have one length.
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        params.serial_number = Some(vec![7; 8].into());
        params.self_signed(&key).unwrap().der().to_vec()
    };
    let padding = 60_000;
    let padding = padding + 64 * 1024 - sized(padding).len();
    assert_eq!(sized(padding).len(), 64 * 1024);
    Certificate::parse(&sized(padding)).unwrap();
    assert_eq!(
        Certificate::parse(&sized(padding + 1)).unwrap_err(),
        CertificateFault::TooLarge {
            found: 64 * 1024 + 1
        }
    );
}

fn der(pem: &str) -> Vec<u8> {
    custos_core::crypto::Pem::parse(pem)
        .unwrap()
        .bytes()
        .to_vec()
}

#[test]
fn an_authority_twice_is_one() {
    let pem = Authority::new().root_pem;
    let root = TrustRoot::trusting_nothing()
        .with_authorities(&format!("{pem}{pem}"))
        .unwrap();
    assert_eq!(root.anchors().len(), 1);
    let text = format!("{root:?}");
    assert_eq!(
        text,
        "TrustRoot(0 log keys, 1 authorities, sigstore: false)"
    );
    let [anchor] = root.anchors() else { panic!() };
    assert_eq!(format!("{anchor:?}"), "Anchor(CN=Test Root)");
    let text = format!("{:?}", anchor.certificate());
    assert_eq!(text, "Certificate(CN=Test Root)");
    let other = root.with_authorities(&Authority::new().root_pem).unwrap();
    assert_eq!(other.anchors().len(), 2);
}
