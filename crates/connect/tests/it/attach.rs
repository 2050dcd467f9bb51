//! Attaching, with and without a referrers API.

use custos_connect::oci::{Annotations, Attachment, BUNDLE_TYPE, Descriptor, Listing, OciError};
use serde_json::json;

use crate::registry::{INDEX, MANIFEST, Manners, Registry};
use crate::server::Answer;

fn attachment<'a>(subject: &'a Descriptor, bytes: &'a [u8]) -> Attachment<'a> {
    Attachment {
        subject,
        artifact_type: BUNDLE_TYPE,
        bytes,
        annotations: Annotations::from([("a".to_owned(), "b".to_owned())]),
    }
}

fn listed(registry: &Registry, subject: &Descriptor) -> Vec<Descriptor> {
    match registry.open().referrers(&subject.digest) {
        Listing::Known(list) => list,
        Listing::Unknown(error) => panic!("{error}"),
    }
}

fn fallback_tag(subject: &Descriptor) -> String {
    subject.digest.to_string().replace(':', "-")
}

#[test]
fn with_the_api_the_registry_keeps_the_list() {
    let registry = Registry::start(Manners {
        api: Some(2),
        ..Manners::default()
    });
    let image = registry.image(b"x");
    assert_eq!(listed(&registry, &image), []);
    let mut expected = Vec::new();
    for bytes in [b"1", b"2", b"3", b"4", b"5"] {
        let done = registry.open().attach(&attachment(&image, bytes)).unwrap();
        assert_eq!(done.fallback_tag, None);
        expected.push(done.manifest.digest);
    }
    let found = listed(&registry, &image);
    let mut digests: Vec<_> = found.iter().map(|one| one.digest).collect();
    digests.sort_unstable();
    expected.sort_unstable();
    // Five in pages of two.
    assert_eq!(digests, expected);
    assert_eq!(found[0].artifact_type.as_deref(), Some(BUNDLE_TYPE));
    assert_eq!(found[0].annotation("a"), Some("b"));
    assert!(registry.manifest_at(&fallback_tag(&image)).is_none());
}

#[test]
fn without_it_the_list_is_kept_under_a_tag() {
    let registry = Registry::start(Manners::default());
    let image = registry.image(b"x");
    assert_eq!(listed(&registry, &image), []);
    let first = registry.open().attach(&attachment(&image, b"1")).unwrap();
    assert_eq!(
        first.fallback_tag.as_deref(),
        Some(fallback_tag(&image).as_str())
    );
    // What somebody else wrote into the list stays.
    let tag = fallback_tag(&image);
    let mut list = registry.manifest_at(&tag).unwrap();
    list["annotations"] = json!({"kept": "yes"});
    registry.put(Some(&tag), INDEX, &list);
    registry.open().attach(&attachment(&image, b"2")).unwrap();
    // The same thing again is not listed twice.
    registry.open().attach(&attachment(&image, b"2")).unwrap();
    assert_eq!(listed(&registry, &image).len(), 2);
    let list = registry.manifest_at(&tag).unwrap();
    assert_eq!(list["annotations"]["kept"], "yes");
    let manifest = registry
        .manifest_at(&first.manifest.digest.to_string())
        .unwrap();
    assert_eq!(manifest["subject"]["digest"], image.digest.to_string());
    assert_eq!(
        manifest["config"]["mediaType"],
        "application/vnd.oci.empty.v1+json"
    );
    assert_eq!(manifest["layers"].as_array().unwrap().len(), 1);
}

#[test]
fn nobody_elses_entry_is_lost_in_a_race() {
    for etags in [false, true] {
        let registry = Registry::start(Manners {
            etags,
            races: 2,
            ..Manners::default()
        });
        let image = registry.image(b"x");
        let done = registry.open().attach(&attachment(&image, b"1")).unwrap();
        let list = listed(&registry, &image);
        assert!(list.iter().any(|one| one.digest == done.manifest.digest));
        // That of the other writer, who was last in the second race.
        assert_eq!(list.len(), 2);
    }
    let registry = Registry::start(Manners {
        races: 100,
        ..Manners::default()
    });
    let image = registry.image(b"x");
    let error = registry
        .open()
        .attach(&attachment(&image, b"1"))
        .unwrap_err();
    assert!(matches!(error, OciError::FallbackLost { .. }), "{error}");
}

#[test]
fn a_list_that_is_not_understood_is_not_written_over() {
    let registry = Registry::start(Manners::default());
    let image = registry.image(b"x");
    let tag = fallback_tag(&image);
    let manifest = registry.manifest_at("v1").unwrap();
    registry.put(Some(&tag), MANIFEST, &manifest);
    let error = registry
        .open()
        .attach(&attachment(&image, b"1"))
        .unwrap_err();
    assert!(matches!(error, OciError::Pages { .. }), "{error}");
    assert_eq!(registry.manifest_at(&tag).unwrap(), manifest);
}

#[test]
fn uploads_stay_with_the_registry() {
    for location in [
        "http://127.0.0.1:1/upload",
        "https://elsewhere.example/x",
        "//x/y",
        "",
    ] {
        let registry = Registry::start_with(Manners::default(), move |seen| {
            (seen.method == "POST").then(|| Answer::new(202, "").with("location", location))
        });
        let image = registry.image(b"x");
        let error = registry
            .open()
            .attach(&attachment(&image, b"1"))
            .unwrap_err();
        let elsewhere = matches!(error, OciError::UploadElsewhere);
        assert!(elsewhere || location.is_empty(), "{location}: {error}");
    }
}

#[test]
fn blobs_that_lie_elsewhere_are_uploaded_again() {
    let registry = Registry::start_with(Manners::default(), |seen| {
        (seen.method == "HEAD")
            .then(|| Answer::new(307, "").with("location", "https://store.example/blob"))
    });
    let image = registry.image(b"x");
    registry.open().attach(&attachment(&image, b"1")).unwrap();
    assert_eq!(listed(&registry, &image).len(), 1);
}
