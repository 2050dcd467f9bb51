//! From claims to identities.

use super::*;

#[test]
fn addresses_have_to_be_verified_and_look_like_one() {
    let key = TestKey::p256();
    let strict = static_verifier(&key, email());
    let check = |verifier: &TokenVerifier, claims: Value| {
        verifier.verify(&key.token(&claims), NOW).map(|_| ())
    };
    for flag in [json!(false), json!("false"), json!(1), json!(null)] {
        assert_eq!(
            check(&strict, with("email_verified", flag)),
            Err(TokenError::Claim(ClaimError::EmailNotVerified))
        );
    }
    assert_eq!(
        check(&strict, with("email_verified", json!("true"))),
        Ok(())
    );
    let lenient = static_verifier(
        &key,
        IdentityKind::Email {
            allow_unverified: true,
        },
    );
    assert_eq!(
        check(&lenient, with("email_verified", json!(false))),
        Ok(())
    );
    for bad in [
        "", "jane", "@x", "a@", "a@b@c", "a b@c", "a@b..c", "ä@b.c", "a\n@b.c",
    ] {
        assert!(
            matches!(
                check(&strict, with("email", json!(bad))),
                Err(TokenError::Claim(_))
            ),
            "{bad}"
        );
    }
}

#[test]
#[allow(clippy::too_many_lines, reason = "one list of kinds")]
fn kinds_of_subjects() {
    let key = TestKey::p256();
    let san = |kind: IdentityKind, claims: Value| {
        static_verifier(&key, kind)
            .verify(&key.token(&claims), NOW)
            .map(|identity| identity.san().clone())
            .ok()
    };
    let uri = IdentityKind::Uri {
        domain: "https://example.com".to_owned(),
    };
    let below = "https://example.com/users/1";
    assert_eq!(
        san(uri.clone(), with("sub", json!(below))),
        Some(San::Uri(below.to_owned()))
    );
    for bad in [
        "http://example.com/users/1",
        "https://example.com.evil/1",
        "https://example.com@evil/1",
        "https://example.com/a/../b",
        "jane@example.com",
    ] {
        assert_eq!(san(uri.clone(), with("sub", json!(bad))), None, "{bad}");
    }
    let user = IdentityKind::UserName {
        domain: "example.com".to_owned(),
    };
    assert_eq!(
        san(user.clone(), claims()),
        Some(San::UserName("user-1!example.com".to_owned()))
    );
    for bad in ["a!b", "a@b.c"] {
        assert_eq!(san(user.clone(), with("sub", json!(bad))), None);
    }
    let spiffe = IdentityKind::Spiffe {
        trust_domain: "example.org".to_owned(),
    };
    let id = "spiffe://example.org/ns/a";
    assert_eq!(
        san(spiffe.clone(), with("sub", json!(id))),
        Some(San::Uri(id.to_owned()))
    );
    for bad in [
        "spiffe://example.org.evil/a",
        "spiffe://example.org/a//b",
        "spiffe://example.org/../b",
        "https://example.org/a",
    ] {
        assert_eq!(san(spiffe.clone(), with("sub", json!(bad))), None, "{bad}");
    }
    let account = |namespace: &str| {
        with(
            "kubernetes.io",
            json!({"namespace": namespace, "serviceaccount": {"name": "build"}}),
        )
    };
    assert_eq!(
        san(IdentityKind::Kubernetes, account("ci")),
        Some(San::Uri(
            "https://kubernetes.io/namespaces/ci/serviceaccounts/build".to_owned()
        ))
    );
    for bad in ["", "a/../b", "A", "a b", ".", ".."] {
        assert_eq!(san(IdentityKind::Kubernetes, account(bad)), None);
    }
}

fn github_claims() -> Value {
    let mut claims = with("sub", json!("repo:octo/models:ref:refs/heads/main"));
    for (name, value) in [
        (
            "job_workflow_ref",
            "octo/models/.github/workflows/train.yml@refs/heads/main",
        ),
        ("job_workflow_sha", "aa"),
        ("sha", "bb"),
        ("event_name", "push"),
        ("repository", "octo/models"),
        ("workflow", "Train it"),
        ("ref", "refs/heads/main"),
        ("runner_environment", "github-hosted"),
        ("repository_id", "1"),
        ("repository_owner", "octo"),
        ("repository_owner_id", "2"),
        ("repository_visibility", "private"),
        (
            "workflow_ref",
            "octo/models/.github/workflows/top.yml@refs/heads/main",
        ),
        ("workflow_sha", "cc"),
        ("run_id", "3"),
        ("run_attempt", "4"),
    ] {
        claims[name] = json!(value);
    }
    claims
}

#[test]
fn jobs_of_github_have_all_their_claims() {
    let key = TestKey::p256();
    let verifier = static_verifier(
        &key,
        IdentityKind::Github {
            url: "https://github.com".to_owned(),
        },
    );
    let identity = verifier.verify(&key.token(&github_claims()), NOW).unwrap();
    let workflow =
        "https://github.com/octo/models/.github/workflows/train.yml@refs/heads/main".to_owned();
    assert_eq!(identity.san(), &San::Uri(workflow.clone()));
    assert_eq!(identity.challenge(), "repo:octo/models:ref:refs/heads/main");
    let numbers: Vec<u8> = identity
        .claims()
        .iter()
        .map(|(number, _)| *number)
        .collect();
    assert_eq!(
        numbers,
        [2, 3, 4, 5, 6]
            .into_iter()
            .chain(9..=22)
            .collect::<Vec<_>>()
    );
    let of = |wanted| {
        let claims = identity.claims();
        &claims
            .iter()
            .find(|(number, _)| *number == wanted)
            .unwrap()
            .1
    };
    assert_eq!(of(9), &workflow);
    assert_eq!(
        of(21),
        "https://github.com/octo/models/actions/runs/3/attempts/4"
    );
    for missing in ["sha", "run_attempt", "job_workflow_ref"] {
        let mut claims = github_claims();
        claims.as_object_mut().unwrap().remove(missing);
        assert!(matches!(
            verifier.verify(&key.token(&claims), NOW),
            Err(TokenError::Claim(ClaimError::Missing { claim })) if claim == missing
        ));
    }
    for bad in ["octo/models/../../evil@x", "a b", "a?b", "a#b", "ä"] {
        let mut claims = github_claims();
        claims["job_workflow_ref"] = json!(bad);
        assert!(verifier.verify(&key.token(&claims), NOW).is_err(), "{bad}");
    }
}

#[test]
fn jobs_of_gitlab() {
    let key = TestKey::p256();
    let verifier = static_verifier(
        &key,
        IdentityKind::Gitlab {
            url: "https://gitlab.com".to_owned(),
        },
    );
    let mut claims = with("sub", json!("project_path:a/b:ref_type:branch:ref:main"));
    for (name, value) in [
        ("project_path", "a/b"),
        ("project_id", "1"),
        ("pipeline_source", "push"),
        (
            "ci_config_ref_uri",
            "gitlab.com/a/b//.gitlab-ci.yml@refs/heads/main",
        ),
        ("ci_config_sha", "dd"),
        ("namespace_path", "a"),
        ("namespace_id", "2"),
        ("job_id", "3"),
        ("ref", "main"),
        ("ref_type", "branch"),
        ("sha", "ee"),
        ("runner_environment", "self-hosted"),
        ("project_visibility", "private"),
    ] {
        claims[name] = json!(value);
    }
    let identity = verifier.verify(&key.token(&claims), NOW).unwrap();
    let config = "https://gitlab.com/a/b//.gitlab-ci.yml@refs/heads/main";
    assert_eq!(identity.san().as_str(), config);
    assert!(
        identity
            .claims()
            .contains(&(14, "refs/heads/main".to_owned()))
    );
    assert!(
        identity
            .claims()
            .contains(&(21, "https://gitlab.com/a/b/-/jobs/3".to_owned()))
    );
    claims["ref_type"] = json!("other");
    assert!(verifier.verify(&key.token(&claims), NOW).is_err());
}
