//! Who is asked, and who sees credentials.

use custos_connect::oci::{Access, Credentials, OciError, Repository};
use custos_net::{NetError, Refusal};

use crate::registry::{Manners, Registry};
use crate::server::{Answer, Server};

const USER: &str = "Basic dXNlcjpwYXNz";

fn config(dir: &tempfile::TempDir, registry: &str, entry: &str) -> Credentials {
    let file = dir.path().join("config.json");
    std::fs::write(&file, format!(r#"{{"auths": {{"{registry}": {entry}}}}}"#)).unwrap();
    Credentials::file(file, None)
}

fn with_password(dir: &tempfile::TempDir, registry: &Registry) -> Access {
    let name = registry.reference("").registry().to_string();
    Access::new(config(
        dir,
        &name,
        r#"{"username": "user", "password": "pass"}"#,
    ))
    .naming()
}

#[test]
fn credentials_are_shown_when_they_are_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let wants = Some((USER.to_owned(), "Basic realm=\"r\"".to_owned()));
    let registry = Registry::start(Manners {
        wants,
        ..Manners::default()
    });
    let image = registry.image(b"x");
    let repository = registry.open_as(with_password(&dir, &registry));
    repository.manifest(&image.digest).unwrap();
    repository.tagged("v1").unwrap();
    let asked = registry.server.count("/manifests/");
    assert_eq!(asked, 3, "the second call shows them right away");

    let error = registry.open().manifest(&image.digest).unwrap_err();
    assert!(
        matches!(
            error,
            OciError::Denied {
                status: 401,
                asked: false,
                ..
            }
        ),
        "{error}"
    );
    let other = Access::new(config(
        &dir,
        "other.example",
        r#"{"username": "user", "password": "pass"}"#,
    ));
    let error = registry.open_as(other.naming()).tagged("v1").unwrap_err();
    assert!(
        matches!(error, OciError::Denied { asked: false, .. }),
        "{error}"
    );
    let name = registry.reference("").registry().to_string();
    let wrong = Access::new(config(
        &dir,
        &name,
        r#"{"username": "user", "password": "geheim"}"#,
    ));
    let error = registry.open_as(wrong.naming()).tagged("v1").unwrap_err();
    assert!(
        matches!(error, OciError::Denied { asked: true, .. }),
        "{error}"
    );
    assert!(!format!("{error} {error:?}").contains("geheim"));
}

#[test]
fn an_open_registry_sees_no_credentials() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::start(Manners::default());
    registry.image(b"x");
    registry
        .open_as(with_password(&dir, &registry))
        .tagged("v1")
        .unwrap();
    let seen = registry.server.seen();
    assert!(seen.iter().all(|one| one.header("authorization").is_none()));
}

/// A token service that gives `token` to whoever shows `shown`.
fn token_service(shown: Option<&'static str>, token: &'static str) -> Server {
    Server::start(move |seen, _| {
        if seen.header("authorization") != shown && seen.method == "GET" {
            return Answer::new(401, "no");
        }
        Answer::new(200, token).with("content-type", "application/json")
    })
}

fn bearer_registry(service: &Server) -> Registry {
    let realm = format!("http://127.0.0.1:{}/token?x=1", service.port());
    let challenge = format!(r#"Bearer realm="{realm}",service="reg istry",scope="repository:*:*""#);
    Registry::start(Manners {
        wants: Some(("Bearer good".to_owned(), challenge)),
        ..Manners::default()
    })
}

fn also(access: Access, service: &Server) -> Access {
    let mut access = access;
    access.also = vec![
        format!("http://127.0.0.1:{}/", service.port())
            .parse()
            .unwrap(),
    ];
    access
}

#[test]
fn the_token_service_is_asked_for_what_is_needed_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let service = token_service(Some(USER), r#"{"token":"good"}"#);
    let registry = bearer_registry(&service);
    registry.image(b"x");
    let access = also(with_password(&dir, &registry), &service);
    let repository = registry.open_as(access);
    repository.tagged("v1").unwrap();
    repository.tagged("v1").unwrap();
    let asked = service.seen();
    assert_eq!(asked.len(), 1, "the token is used again");
    assert_eq!(
        asked[0].query("scope").unwrap(),
        "repository:org/model:pull"
    );
    assert_eq!(asked[0].query("service").unwrap(), "reg%20istry");
    assert_eq!(asked[0].query("x").unwrap(), "1");
    // The password goes to the token service, the token to the registry.
    for one in registry.server.seen() {
        assert!(
            one.header("authorization")
                .is_none_or(|shown| shown == "Bearer good")
        );
    }
}

#[test]
fn anybody_gets_a_token_for_what_is_public() {
    let service = token_service(None, r#"{"access_token":"good"}"#);
    let registry = bearer_registry(&service);
    registry.image(b"x");
    let access = also(Access::new(Credentials::none()).naming(), &service);
    registry.open_as(access).tagged("v1").unwrap();
}

#[test]
fn an_identity_token_is_exchanged() {
    let dir = tempfile::tempdir().unwrap();
    let service = token_service(None, r#"{"access_token":"good"}"#);
    let registry = bearer_registry(&service);
    registry.image(b"x");
    let name = registry.reference("").registry().to_string();
    let credentials = config(&dir, &name, r#"{"identitytoken": "a b&c"}"#);
    let access = also(Access::new(credentials).naming(), &service);
    registry.open_as(access).tagged("v1").unwrap();
    let asked = service.seen();
    assert_eq!(asked[0].method, "POST");
    let form = String::from_utf8(asked[0].body.clone()).unwrap();
    assert!(form.contains("refresh_token=a%20b%26c"), "{form}");
    assert!(form.contains("grant_type=refresh_token"), "{form}");
    assert!(!asked[0].target.contains("refresh"));
}

#[test]
fn the_token_service_is_under_the_guard() {
    let dir = tempfile::tempdir().unwrap();
    let service = token_service(None, r#"{"token":"good"}"#);
    let registry = bearer_registry(&service);
    registry.image(b"x");
    let error = registry
        .open_as(with_password(&dir, &registry))
        .tagged("v1")
        .unwrap_err();
    assert!(error.is_guarded(), "{error}");
    assert_eq!(service.seen().len(), 0);
    for realm in [
        "https://169.254.169.254/latest",
        "https://10.0.0.1/token",
        "file:///etc/passwd",
    ] {
        let challenge = format!("Bearer realm=\"{realm}\"");
        let registry = Registry::start(Manners {
            wants: Some(("x".to_owned(), challenge)),
            ..Manners::default()
        });
        let error = registry.open().tagged("v1").unwrap_err();
        assert!(
            error.is_guarded() || matches!(error, OciError::Challenge { .. }),
            "{error}"
        );
    }
}

#[test]
fn answers_that_are_no_tokens() {
    for answer in [
        "",
        "{}",
        "[]",
        r#"{"token":""}"#,
        r#"{"token":"a\r\nx: y"}"#,
        r#"{"token":1}"#,
        "<html>",
    ] {
        let service = token_service(None, answer);
        let registry = bearer_registry(&service);
        let access = also(Access::new(Credentials::none()).naming(), &service);
        let error = registry.open_as(access).tagged("v1").unwrap_err();
        assert!(matches!(error, OciError::Token { .. }), "{answer}: {error}");
    }
    for challenge in [
        "",
        "Bearer",
        "Negotiate",
        "Bearer realm=\"x",
        "Digest realm=\"r\"",
    ] {
        let registry = Registry::start(Manners {
            wants: Some(("x".to_owned(), challenge.to_owned())),
            ..Manners::default()
        });
        let error = registry.open().tagged("v1").unwrap_err();
        assert!(
            matches!(error, OciError::Challenge { .. }),
            "{challenge}: {error}"
        );
    }
}

#[test]
fn blobs_come_from_elsewhere_without_credentials() {
    let dir = tempfile::tempdir().unwrap();
    let store = Server::start(|seen, _| match seen.header("authorization") {
        None => Answer::new(200, "layer"),
        Some(_) => Answer::new(500, "credentials in the wrong place"),
    });
    let target = format!("http://127.0.0.1:{}/blob", store.port());
    let wants = Some((USER.to_owned(), "Basic realm=\"r\"".to_owned()));
    let registry = Registry::start_with(
        Manners {
            wants,
            ..Manners::default()
        },
        move |seen| {
            let authorized = seen.header("authorization") == Some(USER);
            (authorized && seen.path().contains("/blobs/"))
                .then(|| Answer::new(307, "").with("location", &target))
        },
    );
    let layer = registry.blob("x/y", b"layer");
    let access = also(with_password(&dir, &registry), &store);
    assert_eq!(registry.open_as(access).blob(&layer).unwrap(), b"layer");
    assert_eq!(store.seen().len(), 1);
    // The same redirect to a server that nobody named.
    let error = registry
        .open_as(with_password(&dir, &registry))
        .blob(&layer)
        .unwrap_err();
    assert!(error.is_guarded(), "{error}");
}

#[test]
fn a_tag_comes_from_the_registry_itself() {
    let store = Server::start(|_, _| Answer::new(200, "{}"));
    let target = format!("http://127.0.0.1:{}/x", store.port());
    let registry = Registry::start_with(Manners::default(), move |seen| {
        seen.path()
            .contains("/manifests/v1")
            .then(|| Answer::new(307, "").with("location", &target))
    });
    let access = also(Access::new(Credentials::none()).naming(), &store);
    let error = registry.open_as(access).tagged("v1").unwrap_err();
    assert!(
        matches!(error, OciError::Net(NetError::Redirected { .. })),
        "{error}"
    );
    assert_eq!(store.seen().len(), 0);
}

#[test]
fn plain_http_is_for_this_machine_or_by_name() {
    let registry = Registry::start(Manners::default());
    registry.image(b"x");
    // A reference that nobody named does not reach this machine at all.
    let reference = registry.reference(":v1");
    let repository = Repository::open(&reference, Access::new(Credentials::none())).unwrap();
    let error = repository.resolve().unwrap_err();
    assert!(error.is_guarded(), "{error}");
    assert_eq!(registry.server.seen().len(), 0);
    // One that settings name as plain, though not by the user of this moment.
    let mut access = Access::new(Credentials::none());
    access.plain_http = true;
    Repository::open(&reference, access)
        .unwrap()
        .resolve()
        .unwrap();
    // A host elsewhere is never called without TLS.
    let far = "192.0.2.1:5000/a:v1".parse().unwrap();
    let shown = format!(
        "{:?}",
        Repository::open(&far, Access::new(Credentials::none()).naming()).unwrap()
    );
    assert!(shown.contains("https://192.0.2.1:5000"), "{shown}");
    let refused = Repository::open(&far, Access::new(Credentials::none()))
        .unwrap()
        .resolve();
    assert!(matches!(
        refused,
        Err(OciError::Net(NetError::Refused {
            why: Refusal::Zone(_),
            ..
        }))
    ));
}
