use super::*;
use proptest::prelude::*;

fn parse(text: &str) -> Result<KeyReference, ReferenceError> {
    text.parse()
}

#[test]
fn every_form_is_read_and_written_again() {
    for text in [
        "cosign.key",
        "/etc/keys/a b.pem",
        "dir/with://slashes",
        "C:\\keys\\a.pem",
        "k8s://sigstore-system/cosign-key",
        "pkcs11:token=my%20token;object=key%3B1;slot-id=3;id=%00%FF?module-path=%2Flib%2Fa.so",
        "awskms:///alias/release",
        "awskms:///1234abcd-12ab-34cd-56ef-1234567890ab",
        "awskms:///mrk-1234abcd12ab34cd56ef1234567890ab",
        "awskms://localhost:4566/alias/a/b",
        "awskms:///arn:aws:kms:us-west-2:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
        "awskms://kms.example/arn:aws-cn:kms:cn-north-1:111122223333:alias/a",
        "gcpkms://projects/p/locations/global/keyRings/r/cryptoKeys/k",
        "gcpkms://projects/example.com:p/locations/europe-west1/keyRings/r/cryptoKeys/k/versions/7",
        "azurekms://acme.vault.azure.net/signing",
        "azurekms://acme/signing/0123456789abcdef0123456789abcdef",
        "hashivault://my-key.v1",
    ] {
        let reference = parse(text).unwrap();
        assert_eq!(parse(&reference.to_string()).unwrap(), reference, "{text}");
        if !matches!(reference, KeyReference::Pkcs11(_)) {
            assert_eq!(reference.to_string(), text);
        }
        assert_eq!(
            reference.as_file().is_some(),
            matches!(reference, KeyReference::File(_))
        );
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    for text in [
        "k8s://namespace",
        "k8s://a/b/c",
        "k8s://A/b",
        "k8s://a/../b",
        "k8s:///b",
        "k8s://a/b?x",
        "awskms://alias/a",
        "awskms:///alias/",
        "awskms:///arn:aws:s3:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
        "awskms:///arn:aws:kms:us-east-1:1:key/1234abcd-12ab-34cd-56ef-1234567890ab",
        "awskms:///arn:aws:kms:evil.example/:111122223333:alias/a",
        "awskms:///1234abcd",
        "awskms://user@host/alias/a",
        "awskms://host:0/alias/a",
        "gcpkms://projects/p/locations/l/keyRings/r",
        "gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/k/versions/0",
        "gcpkms://projects/../locations/l/keyRings/r/cryptoKeys/k?x/versions/1",
        "azurekms://vault",
        "azurekms://vault/key/version/more",
        "azurekms://vault:443/key",
        "hashivault://a/b",
        "hashivault://",
        "hashivault://../sys",
    ] {
        assert!(
            matches!(parse(text), Err(ReferenceError::Malformed { .. })),
            "{text}: {:?}",
            parse(text)
        );
    }
}

#[test]
fn keys_from_the_environment_are_refused_by_name() {
    assert_eq!(
        parse("env://COSIGN_PRIVATE_KEY"),
        Err(ReferenceError::EnvironmentRefused)
    );
    for scheme in ["gitlab", "github"] {
        assert_eq!(
            parse(&format!("{scheme}://acme/app")),
            Err(ReferenceError::GitHostRefused {
                scheme: scheme.to_owned()
            })
        );
    }
    assert!(matches!(
        parse("https://example.org/key"),
        Err(ReferenceError::UnknownScheme { .. })
    ));
    assert_eq!(parse(""), Err(ReferenceError::Length { found: 0 }));
    assert!(matches!(parse("a\0b"), Err(ReferenceError::Length { .. })));
}

#[test]
fn parts_of_references() {
    let KeyReference::AwsKms(key) =
        parse("awskms:///arn:aws:kms:eu-central-1:111122223333:alias/a").unwrap()
    else {
        panic!()
    };
    assert_eq!((key.endpoint(), key.region()), (None, Some("eu-central-1")));
    let KeyReference::Pkcs11(uri) = parse(
        "pkcs11:token=T;object=O;type=private;id=%01%fe?module-name=m&pin-source=file:/run/pin",
    )
    .unwrap() else {
        panic!()
    };
    assert_eq!(uri.id, Some(vec![1, 0xfe]));
    assert_eq!(uri.class.as_deref(), Some("private"));
    assert_eq!(uri.pin_source, Some("/run/pin".into()));
}

#[test]
fn a_pin_is_never_shown() {
    let reference = parse("pkcs11:object=a?pin-value=87654321").unwrap();
    let shown = format!("{reference} {reference:?}");
    assert!(!shown.contains("8765"), "{shown}");
    let KeyReference::Pkcs11(uri) = reference else {
        panic!()
    };
    assert_eq!(uri.pin.unwrap().expose(), "87654321");
}

#[test]
fn pkcs11_is_read_strictly() {
    for (rest, error) in [
        ("token=a", Pkcs11Error::NoObject),
        (
            "object=a;object=b",
            Pkcs11Error::Twice {
                name: "object".to_owned(),
            },
        ),
        (
            "object=a;colour=red",
            Pkcs11Error::Unknown {
                name: "colour".to_owned(),
            },
        ),
        (
            "object=%G0",
            Pkcs11Error::Value {
                name: "object".to_owned(),
            },
        ),
        (
            "object=%F",
            Pkcs11Error::Value {
                name: "object".to_owned(),
            },
        ),
        (
            "object=%FF",
            Pkcs11Error::Value {
                name: "object".to_owned(),
            },
        ),
        (
            "object=a;type=key",
            Pkcs11Error::Value {
                name: "type".to_owned(),
            },
        ),
        (
            "object=a;slot-id=-1",
            Pkcs11Error::Value {
                name: "slot-id".to_owned(),
            },
        ),
        (
            "object=a?pin-source=%7Ccat%20pin",
            Pkcs11Error::Value {
                name: "pin-source".to_owned(),
            },
        ),
        ("object=a?pin-value=1&pin-source=b", Pkcs11Error::TwoPins),
    ] {
        assert_eq!(
            parse(&format!("pkcs11:{rest}")),
            Err(ReferenceError::Pkcs11(error)),
            "{rest}"
        );
    }
}

proptest! {
    #[test]
    fn no_text_panics_and_what_is_written_is_read(
        scheme in prop::sample::select(vec![
            "", "awskms://", "azurekms://", "gcpkms://", "hashivault://", "k8s://", "pkcs11:",
        ]),
        rest in "[a-zA-Z0-9:/;?=&%._ -]{0,60}|\\PC{0,30}",
    ) {
        if let Ok(reference) = parse(&format!("{scheme}{rest}")) {
            let written = reference.to_string();
            let without_pin = !rest.contains("pin-value");
            prop_assert_eq!(parse(&written).is_ok_and(|again| again == reference), without_pin);
        }
    }

    #[test]
    fn pkcs11_attributes_survive(
        token in prop::option::of("\\PC{0,12}"),
        object in "\\PC{0,12}",
        id in prop::option::of(prop::collection::vec(any::<u8>(), 0..12)),
        slot_id: Option<u64>,
        module in prop::option::of("[a-z/ ;&%]{1,12}"),
    ) {
        let uri = Pkcs11Uri {
            token,
            object: Some(object),
            id,
            slot_id,
            module_path: module.map(Into::into),
            ..Pkcs11Uri::default()
        };
        let reference = KeyReference::Pkcs11(Box::new(uri));
        prop_assert_eq!(parse(&reference.to_string()), Ok(reference));
    }

    #[test]
    fn names_stay_inside_of_the_path_that_they_are_put_into(rest in "[a-z0-9:/?#&%._@\\\\-]{1,40}") {
        for scheme in ["hashivault://", "k8s://", "azurekms://", "gcpkms://"] {
            let Ok(reference) = parse(&format!("{scheme}{rest}")) else { continue };
            let written = reference.to_string();
            let path = written.strip_prefix(scheme).unwrap();
            let escapes = path.split('/').any(|part| part.is_empty() || part == "..");
            prop_assert!(!escapes && !path.contains(['?', '#', '%', '@', '\\']));
        }
    }
}
