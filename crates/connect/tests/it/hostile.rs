//! Registries that lie, fail, or never end.

use custos_connect::oci::{
    Candidate, CandidateFault, Descriptor, Listing, ManifestError, OciError, Place,
};
use custos_core::digest::Algorithm;
use custos_net::{Class, NetError};
use serde_json::{Value, json};

use crate::registry::{INDEX, MANIFEST, Manners, Registry};
use crate::server::Answer;

const API: Manners = Manners {
    api: Some(100),
    etags: false,
    races: 0,
    wants: None,
};

#[test]
fn what_is_not_what_was_asked_for() {
    let registry = Registry::start(Manners::default());
    let image = registry.image(b"x");
    let other = registry.put(
        None,
        MANIFEST,
        &json!({"schemaVersion": 2, "mediaType": MANIFEST,
        "config": image, "layers": []}),
    );
    let repository = registry.open();
    {
        let mut lying = registry.manifest_at(&other.digest.to_string()).unwrap();
        lying["layers"] = json!([image]);
        // Another document under the old digest.
        registry.put(Some(&other.digest.to_string()), MANIFEST, &lying);
    }
    let error = repository.manifest(&other.digest).unwrap_err();
    assert!(matches!(error, OciError::Digest { .. }), "{error}");
    assert_eq!(error.class(), Class::Untrusted);

    let layer = registry.blob("x/y", b"layer");
    assert_eq!(repository.blob(&layer).unwrap(), b"layer");
    for bytes in [b"LAYER".as_slice(), b"laye", b"layers", b""] {
        registry.swap_blob(&layer.digest, bytes);
        let error = repository.blob(&layer).unwrap_err();
        assert!(
            matches!(error, OciError::Digest { .. } | OciError::Size { .. }),
            "{error}"
        );
    }
    let mut huge = layer.clone();
    huge.size = u64::MAX;
    assert!(matches!(
        repository.blob(&huge),
        Err(OciError::TooLarge { .. })
    ));
    // A body that does not end is read as far as the descriptor says.
    let long = Registry::start_with(Manners::default(), |seen| {
        seen.path()
            .contains("/blobs/")
            .then(|| Answer::new(200, vec![0; 1 << 20]))
    });
    let error = long.open().blob(&layer).unwrap_err();
    assert!(
        matches!(
            error,
            OciError::Size {
                expected: 5,
                found: 6,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn manifests_in_disguise() {
    let hex = "0".repeat(64);
    let part = json!({"mediaType": "x/y", "digest": format!("sha256:{hex}"), "size": 1});
    let both = json!({"schemaVersion": 2, "config": part, "layers": [], "manifests": []});
    for (document, kind) in [(&both, MANIFEST), (&both, INDEX)] {
        let registry = Registry::start(Manners::default());
        let found = registry.put(Some("v1"), kind, document);
        for error in [
            registry.open().tagged("v1").unwrap_err(),
            registry.open().manifest(&found.digest).unwrap_err(),
        ] {
            let OciError::Manifest { fault, .. } = &error else {
                panic!("{error}");
            };
            assert_eq!(*fault, ManifestError::TwoKinds);
        }
    }
    let registry = Registry::start_with(Manners::default(), |seen| {
        seen.path().contains("/manifests/").then(|| {
            Answer::new(200, "<html>please log in</html>").with("content-type", "text/html")
        })
    });
    let error = registry.open().tagged("v1").unwrap_err();
    assert!(matches!(error, OciError::Manifest { .. }), "{error}");
    let registry = Registry::start_with(Manners::default(), |seen| {
        seen.path()
            .contains("/manifests/")
            .then(|| Answer::new(200, vec![b' '; (4 << 20) + 1]))
    });
    let digest = Algorithm::Sha256.digest(b"x");
    for error in [
        registry.open().tagged("v1").unwrap_err(),
        registry.open().manifest(&digest).unwrap_err(),
    ] {
        assert!(
            matches!(error, OciError::Net(NetError::TooLarge { .. })),
            "{error}"
        );
    }
}

#[test]
fn the_registrys_own_digest_must_be_true() {
    let registry = Registry::start_with(Manners::default(), |seen| {
        let body = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[]}}"#);
        seen.path().contains("/manifests/").then(|| {
            Answer::new(200, body).with("content-type", INDEX).with(
                "docker-content-digest",
                Algorithm::Sha256.digest(b"other").to_string(),
            )
        })
    });
    let error = registry.open().tagged("v1").unwrap_err();
    assert!(matches!(error, OciError::Digest { .. }), "{error}");
}

fn unknown(registry: &Registry, subject: &Descriptor) -> OciError {
    match registry.open().referrers(&subject.digest) {
        Listing::Unknown(error) => *error,
        Listing::Known(list) => panic!("known: {list:?}"),
    }
}

/// A registry whose answers for lists of referrers are these.
fn answering(api: fn() -> Answer, tag: fn() -> Answer) -> (Registry, Descriptor) {
    let registry = Registry::start_with(Manners::default(), move |seen| {
        if seen.path().contains("/referrers/") {
            Some(api())
        } else if seen.path().contains("/manifests/sha256-") {
            Some(tag())
        } else {
            None
        }
    });
    let image = registry.image(b"x");
    (registry, image)
}

fn none() -> Answer {
    Answer::error(404, "MANIFEST_UNKNOWN")
}

#[test]
fn a_failing_registry_has_not_said_that_there_is_nothing() {
    let empty = || Answer::new(200, "").with("content-type", INDEX);
    let html = || Answer::new(200, "<html>").with("content-type", "text/html");
    let fails: [fn() -> Answer; 8] = [
        || Answer::new(500, ""),
        || Answer::new(503, "").with("retry-after", "1"),
        || Answer::new(429, ""),
        || Answer::new(403, ""),
        || Answer::new(204, ""),
        || Answer::new(200, "{}").with("content-type", "application/json"),
        empty,
        html,
    ];
    for fail in fails {
        let (registry, image) = answering(fail, none);
        unknown(&registry, &image);
        let (registry, image) = answering(|| Answer::new(404, "404 page not found"), fail);
        unknown(&registry, &image);
    }
    // Somebody between us and the registry says 404.
    for fail in [
        || Answer::new(404, "<html>not found</html>"),
        || Answer::new(404, ""),
        || Answer::new(404, r#"{"errors":[]}"#),
        || Answer::error(404, "UNAUTHORIZED"),
    ] as [fn() -> Answer; 4]
    {
        let (registry, image) = answering(none, fail);
        let error = unknown(&registry, &image);
        assert!(matches!(error, OciError::NotFoundUnclear { .. }), "{error}");
    }
    // A registry that does say so, and has no referrers API in one form or another.
    for refuse in [
        || Answer::new(404, "404 page not found"),
        || Answer::error(400, "NAME_INVALID"),
        || Answer::new(405, ""),
        || Answer::new(406, ""),
        || Answer::new(501, ""),
        || Answer::new(303, "").with("location", "https://elsewhere.example/-/packages/x"),
    ] as [fn() -> Answer; 6]
    {
        let (registry, image) = answering(refuse, none);
        let known = registry.open().referrers(&image.digest);
        assert_eq!(known, Listing::Known(Vec::new()));
    }
    // Sent elsewhere for the tag too, as by the login page of a network.
    let elsewhere = || Answer::new(302, "").with("location", "https://login.example/");
    let (registry, image) = answering(elsewhere, elsewhere);
    unknown(&registry, &image);
    // And one that is not there any more.
    let digest = Algorithm::Sha256.digest(b"x");
    let refused = format!("127.0.0.1:1/org/model@{digest}").parse().unwrap();
    let access = custos_connect::oci::Access::new(custos_connect::oci::Credentials::none());
    let gone = custos_connect::oci::Repository::open(&refused, access.naming());
    assert_eq!(gone.unwrap_err().class(), Class::Undecided);
}

fn page(link: Option<String>, entries: usize) -> Answer {
    let list: Vec<Value> = (0..entries)
        .map(|n| {
            json!({"mediaType": MANIFEST, "size": 1,
                "digest": Algorithm::Sha256.digest(n.to_string().as_bytes())})
        })
        .collect();
    let body = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": list});
    let answer = Answer::new(200, body.to_string()).with("content-type", INDEX);
    match link {
        Some(link) => answer.with("link", link),
        None => answer,
    }
}

fn paged(
    link: impl Fn(&crate::server::Seen) -> Option<String> + Send + Sync + 'static,
    entries: usize,
) -> Registry {
    Registry::start_with(Manners::default(), move |seen| {
        seen.path()
            .contains("/referrers/")
            .then(|| page(link(seen), entries))
    })
}

#[test]
fn pages_in_circles_and_without_end() {
    let circle = paged(|seen| Some(format!("<{}>; rel=next", seen.target)), 1);
    let image = circle.image(b"x");
    assert!(matches!(unknown(&circle, &image), OciError::Pages { .. }));
    assert_eq!(circle.server.count("/referrers/"), 1);

    let number = |seen: &crate::server::Seen| {
        seen.query("n")
            .and_then(|n| n.parse::<u32>().ok())
            .unwrap_or(0)
    };
    let endless = paged(
        move |seen| Some(format!("<?n={}>; rel=next", number(seen) + 1)),
        1,
    );
    let image = endless.image(b"x");
    assert!(matches!(
        unknown(&endless, &image),
        OciError::TooMany { .. }
    ));
    assert_eq!(endless.server.count("/referrers/"), 64);

    let many = paged(
        move |seen| Some(format!("<?n={}>; rel=next", number(seen) + 1)),
        500,
    );
    let image = many.image(b"x");
    assert!(matches!(
        unknown(&many, &image),
        OciError::TooMany { limit: 1024, .. }
    ));

    for link in [
        "<https://elsewhere.example/x>; rel=next",
        "</v2/other/referrers/sha256:00>; rel=next",
        "<?a=1>; rel=next, <?a=2>; rel=next",
        "broken",
    ] {
        let registry = paged(move |_| Some(link.to_owned()), 1);
        let image = registry.image(b"x");
        assert!(
            matches!(unknown(&registry, &image), OciError::Pages { .. }),
            "{link}"
        );
    }
    // A page that fails after a good one.
    for fail in [
        || Answer::error(404, "NOT_FOUND"),
        || Answer::new(303, "").with("location", "https://elsewhere.example/"),
    ] as [fn() -> Answer; 2]
    {
        let registry = Registry::start_with(Manners::default(), move |seen| {
            seen.path()
                .contains("/referrers/")
                .then(|| match seen.query("n") {
                    None => page(Some("<?n=1>; rel=next".to_owned()), 1),
                    Some(_) => fail(),
                })
        });
        let image = registry.image(b"x");
        unknown(&registry, &image);
    }
}

fn candidates(registry: &Registry, image: &Descriptor) -> Vec<Candidate> {
    match registry
        .open()
        .signatures(&image.digest, Place::Referrers, None)
    {
        Listing::Known(list) => list,
        Listing::Unknown(error) => panic!("{error}"),
    }
}

#[test]
fn referrers_of_other_things_are_no_signatures() {
    let kind = custos_connect::oci::BUNDLE_TYPE;
    let registry = Registry::start(API);
    let image = registry.image(b"x");
    let other = registry.image(b"y");
    let layer = registry.blob(kind, b"{}");
    let config = registry.blob("application/vnd.oci.empty.v1+json", b"{}");
    let referrer = |subject: &Value, layers: Value| {
        json!({"schemaVersion": 2, "mediaType": MANIFEST, "artifactType": kind,
            "config": config, "layers": layers, "subject": subject})
    };
    registry.put(None, MANIFEST, &referrer(&json!(image), json!([layer])));
    registry.put(
        None,
        MANIFEST,
        &referrer(&json!(image), json!([layer, layer])),
    );
    registry.put(None, MANIFEST, &referrer(&json!(image), json!([config])));
    let sbom = json!({"schemaVersion": 2, "mediaType": MANIFEST, "artifactType": "application/spdx",
        "config": config, "layers": [layer], "subject": image});
    registry.put(None, MANIFEST, &sbom);
    let found = candidates(&registry, &image);
    assert_eq!(found.iter().filter(|one| one.content.is_ok()).count(), 1);
    let layers = found
        .iter()
        .filter(|one| one.content == Err(CandidateFault::Layers));
    assert_eq!(layers.count(), 2);
    assert_eq!(found.len(), 3);

    // A list that names what belongs to something else.
    let foreign = registry.put(None, MANIFEST, &referrer(&json!(other), json!([layer])));
    let bare = registry.put(None, MANIFEST, &referrer(&Value::Null, json!([layer])));
    let lying = Registry::start_with(Manners::default(), move |seen| {
        let list = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [
            with_type(&foreign, kind), with_type(&bare, kind)]});
        seen.path()
            .contains("/referrers/")
            .then(|| Answer::new(200, list.to_string()).with("content-type", INDEX))
    });
    let image = lying.image(b"x");
    lying.put(None, MANIFEST, &referrer(&json!(other), json!([layer])));
    lying.put(None, MANIFEST, &referrer(&Value::Null, json!([layer])));
    let found = candidates(&lying, &image);
    assert_eq!(found.len(), 2);
    for one in found {
        assert!(
            matches!(one.content, Err(CandidateFault::Foreign { .. })),
            "{one:?}"
        );
    }
}

fn with_type(descriptor: &Descriptor, kind: &str) -> Value {
    let mut value = json!(descriptor);
    value["artifactType"] = json!(kind);
    value
}

#[test]
fn what_cannot_be_fetched_is_not_what_is_not_there() {
    let kind = custos_connect::oci::BUNDLE_TYPE;
    let registry = Registry::start_with(API, |seen| {
        seen.path()
            .contains("/blobs/")
            .then(|| Answer::new(500, ""))
    });
    let image = registry.image(b"x");
    let layer = registry.blob(kind, b"{}");
    registry.put(
        None,
        MANIFEST,
        &json!({"schemaVersion": 2, "mediaType": MANIFEST,
        "artifactType": kind, "config": layer, "layers": [layer], "subject": image}),
    );
    let found = candidates(&registry, &image);
    let [one] = found.as_slice() else {
        panic!("{found:?}")
    };
    let Err(CandidateFault::Fetch(error)) = &one.content else {
        panic!("{one:?}")
    };
    assert_eq!(error.class(), Class::Undecided);

    for place in [Place::SignatureTag, Place::AttestationTag] {
        let registry = Registry::start_with(Manners::default(), |seen| {
            seen.path()
                .contains("/manifests/sha256-")
                .then(|| Answer::new(502, "bad gateway"))
        });
        let image = registry.image(b"x");
        let found = registry.open().signatures(&image.digest, place, None);
        assert!(matches!(found, Listing::Unknown(_)), "{found:?}");
        let well = Registry::start(Manners::default());
        let image = well.image(b"x");
        let found = well.open().signatures(&image.digest, place, None);
        assert_eq!(found, Listing::Known(Vec::new()));
    }
}
