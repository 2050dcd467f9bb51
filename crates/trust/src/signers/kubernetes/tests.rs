//! Against a TLS stand-in of the Secrets routes, and against a real API server where
//! `KUBEBUILDER_ASSETS` names a folder with `kube-apiserver` (see [`real`]).

mod real;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use custos_core::crypto::KeyKind;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use serde_json::{Value, json};

use super::super::reference::KeyReference;
use super::super::remote::Standing;
use super::super::replay::{Replay, Seen, around};
use super::*;
use crate::signer::Signer as _;

fn name(text: &str) -> SecretName {
    match format!("k8s://{text}").parse().unwrap() {
        KeyReference::Kubernetes(name) => name,
        other => panic!("{other}"),
    }
}

/// A certificate authority of a test.
struct Authority(CertifiedIssuer<'static, rcgen::KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    fn leaf(&self, name: &str) -> (String, String) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let key = rcgen::KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, &self.0).unwrap();
        (leaf.pem(), key.serialize_pem())
    }

    fn server(&self) -> Arc<ServerConfig> {
        let (chain, key) = self.leaf("127.0.0.1");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut clients = rustls::RootCertStore::empty();
        clients.add(self.0.der().clone()).unwrap();
        let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
            Arc::new(clients),
            Arc::clone(&provider),
        );
        let builder = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.allow_unauthenticated().build().unwrap());
        let chain = vec![CertificateDer::from_pem_slice(chain.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        Arc::new(builder.with_single_cert(chain, key).unwrap())
    }
}

const PATH: &str = "/api/v1/namespaces/";

type Stored = Arc<Mutex<BTreeMap<String, Value>>>;

/// An API server with Secrets, for the token `t0ken`.
fn api_server(authority: &Authority) -> (Replay, Stored) {
    let stored = Stored::default();
    let secrets = Arc::clone(&stored);
    let server = Replay::start_tls(authority.server(), move |seen: &Seen| {
        let status = |code: u16, reason: &str| {
            let body = json!({
                "kind": "Status", "apiVersion": "v1", "status": "Failure",
                "reason": reason, "message": format!("{reason} for t0ken"), "code": code,
            });
            (code, body.to_string())
        };
        if seen.header("authorization") != Some("Bearer t0ken") {
            return status(401, "Unauthorized");
        }
        let (method, path) = seen.line().split_once(' ').unwrap();
        let path = path.strip_prefix(PATH).unwrap();
        let mut secrets = secrets.lock().unwrap();
        if method == "GET" {
            return match secrets.get(path) {
                Some(secret) => (200, secret.to_string()),
                None => status(404, "NotFound"),
            };
        }
        let mut secret = seen.json();
        secret["metadata"]["resourceVersion"] = "7".into();
        let key = format!("{path}/{}", secret["metadata"]["name"].as_str().unwrap());
        if secrets.contains_key(&key) {
            return status(409, "AlreadyExists");
        }
        let answer = secret.to_string();
        secrets.insert(key, secret);
        (201, answer)
    });
    (server, stored)
}

fn kubeconfig(server: &Replay, authority: &Authority, user: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "here",
        "clusters": [{"name": "c", "cluster": {
            "server": format!("https://127.0.0.1:{}", server.port()),
            "certificate-authority-data": STANDARD.encode(authority.0.pem()),
        }}],
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u", "namespace": "x"}}],
        "users": [{"name": "u", "user": user}],
    })
}

fn find(config: &Value) -> Result<Kubernetes, KubernetesError> {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("config");
    std::fs::write(&path, config.to_string()).unwrap();
    Kubernetes::find(&around(&[("KUBECONFIG", path.to_str().unwrap())]))
}

fn with_token() -> (Kubernetes, Stored, Replay) {
    let authority = Authority::new();
    let (server, stored) = api_server(&authority);
    let config = kubeconfig(&server, &authority, &json!({"token": "t0ken"}));
    (find(&config).unwrap(), stored, server)
}

#[test]
fn a_key_is_created_once_and_signs() {
    let (cluster, stored, _server) = with_token();
    let name = name("sigstore-system/cosign-key");
    let pair = KeyPair::generate(KeyKind::P256).unwrap();
    cluster.create(&name, &pair).unwrap();
    let secret = stored.lock().unwrap()["sigstore-system/secrets/cosign-key"].clone();
    assert_eq!(secret["immutable"], true);
    assert_eq!(secret["type"], "Opaque");
    let fields: Vec<&String> = secret["data"].as_object().unwrap().keys().collect();
    assert_eq!(fields, [KEY, PASSWORD, PUBLIC]);
    let pem = STANDARD
        .decode(secret["data"][KEY].as_str().unwrap())
        .unwrap();
    assert!(pem.starts_with(b"-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----"));
    let signer = cluster.signer(&name).unwrap();
    assert_eq!(signer.public_key(), pair.public_key());
    assert_eq!(&cluster.public_key(&name).unwrap(), pair.public_key());
    let signature = signer.sign(b"message").unwrap();
    pair.public_key()
        .verify(signer.scheme(), b"message", &signature)
        .unwrap();
    let other = KeyPair::generate(KeyKind::P256).unwrap();
    assert_eq!(
        cluster.create(&name, &other),
        Err(KubernetesError::Exists { secret: name })
    );
}

#[test]
fn secrets_that_are_not_in_cosigns_layout_are_refused() {
    type Expected = Box<dyn Fn(&KubernetesError) -> bool>;
    let (cluster, stored, _server) = with_token();
    let good = name("ns/good");
    let pair = KeyPair::generate(KeyKind::P256).unwrap();
    cluster.create(&good, &pair).unwrap();
    let secret = stored.lock().unwrap()["ns/secrets/good"].clone();
    let other = KeyPair::generate(KeyKind::P256).unwrap();
    let encoded = |text: &str| Value::from(STANDARD.encode(text));
    let field = |field| move |error: &KubernetesError| matches!(error, KubernetesError::Field { field: found, .. } if *found == field);
    let cases: Vec<(&str, Value, Expected)> = vec![
        (KEY, Value::Null, Box::new(field(KEY))),
        (PASSWORD, Value::Null, Box::new(field(PASSWORD))),
        (KEY, "not base64".into(), Box::new(field(KEY))),
        (
            PASSWORD,
            encoded("wrong"),
            Box::new(|error| {
                matches!(
                    error,
                    KubernetesError::Key {
                        source: EncryptionError::WrongPassword,
                        ..
                    }
                )
            }),
        ),
        (
            KEY,
            encoded("no PEM"),
            Box::new(|error| matches!(error, KubernetesError::Key { .. })),
        ),
        (
            PUBLIC,
            encoded(&other.public_key().to_pem()),
            Box::new(|error| matches!(error, KubernetesError::KeysDiffer { .. })),
        ),
    ];
    for (changed, value, expected) in cases {
        let mut spoiled = secret.clone();
        if value.is_null() {
            spoiled["data"].as_object_mut().unwrap().remove(changed);
        } else {
            spoiled["data"][changed] = value;
        }
        stored
            .lock()
            .unwrap()
            .insert("ns/secrets/good".to_owned(), spoiled);
        let error = cluster.signer(&good).unwrap_err();
        assert!(expected(&error), "{changed}: {error:?}");
    }
}

#[test]
fn the_secret_of_somebody_else_is_refused() {
    let (cluster, stored, _server) = with_token();
    let pair = KeyPair::generate(KeyKind::P256).unwrap();
    cluster.create(&name("ns/good"), &pair).unwrap();
    let secret = stored.lock().unwrap()["ns/secrets/good"].clone();
    stored
        .lock()
        .unwrap()
        .insert("ns/secrets/other".to_owned(), secret);
    assert!(matches!(
        cluster.signer(&name("ns/other")),
        Err(KubernetesError::Service(ServiceError::WrongKey { .. }))
    ));
}

#[test]
fn errors_by_their_class_without_the_token() {
    let (cluster, _, server) = with_token();
    let missing = cluster.signer(&name("ns/none")).unwrap_err();
    let KubernetesError::Service(error) = &missing else {
        panic!("{missing:?}")
    };
    assert_eq!(error.standing(), Some(Standing::NotFound));
    let shown = format!(
        "{missing} {missing:?} {cluster:?} {:?}",
        server.seen().len()
    );
    assert!(!shown.contains("t0ken"), "{shown}");
    let authority = Authority::new();
    let (server, _) = api_server(&authority);
    let denied = find(&kubeconfig(&server, &authority, &json!({"token": "wrong"}))).unwrap();
    let Err(KubernetesError::Service(error)) = denied.signer(&name("ns/a")) else {
        panic!()
    };
    assert_eq!(error.standing(), Some(Standing::Denied));
    // An authority that the kubeconfig does not name.
    let stranger = Authority::new();
    let config = kubeconfig(&server, &stranger, &json!({"token": "t0ken"}));
    let error = find(&config).unwrap().signer(&name("ns/a")).unwrap_err();
    assert!(
        matches!(
            &error,
            KubernetesError::Service(ServiceError::Net { source, .. })
                if matches!(**source, NetError::Tls { .. })
        ),
        "{error:?}"
    );
}

/// Stores a key as `user`; the second who is let in finds it there.
fn create_as(server: &Replay, authority: &Authority, user: &Value) -> Result<(), KubernetesError> {
    let cluster = find(&kubeconfig(server, authority, user))?;
    cluster.create(&name("ns/a"), &KeyPair::generate(KeyKind::P256).unwrap())
}

fn exists() -> Result<(), KubernetesError> {
    Err(KubernetesError::Exists {
        secret: name("ns/a"),
    })
}

#[test]
fn tokens_certificates_and_passwords_say_who_we_are() {
    let authority = Authority::new();
    let (server, _) = api_server(&authority);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "t0ken\n").unwrap();
    let (chain, key) = authority.leaf("me");
    let create = |user: Value| create_as(&server, &authority, &user);
    assert_eq!(create(json!({"tokenFile": file.path()})), Ok(()));
    let with_certificate = json!({
        "token": "t0ken",
        "client-certificate-data": STANDARD.encode(chain),
        "client-key-data": STANDARD.encode(key),
    });
    assert_eq!(create(with_certificate), exists());
    let Err(KubernetesError::Service(error)) = create(json!({"username": "a", "password": "b"}))
    else {
        panic!()
    };
    assert_eq!(error.standing(), Some(Standing::Denied));
    let seen = server.seen();
    assert!(
        seen.iter()
            .any(|seen| seen.header("authorization") == Some("Basic YTpi"))
    );
    assert_eq!(
        create(json!({"auth-provider": {"name": "gcp"}})),
        Err(KubernetesError::Config(ConfigError::Unsupported {
            setting: "auth-provider"
        }))
    );
}

#[test]
fn a_plugin_says_who_we_are() {
    let authority = Authority::new();
    let (server, _) = api_server(&authority);
    let credential = json!({
        "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
        "status": {"token": "t0ken"},
    });
    let plugin = tempfile::NamedTempFile::new().unwrap();
    let script = format!(
        "test \"$WHO\" = me && test \"$1\" = arg && \
         case \"$KUBERNETES_EXEC_INFO\" in *ExecCredential*) echo '{credential}';; esac\n"
    );
    std::fs::write(plugin.path(), script).unwrap();
    let create = |api: &str, command: &str, variable: &str| {
        let user = json!({"exec": {
            "apiVersion": format!("client.authentication.k8s.io/{api}"),
            "command": command, "args": [plugin.path(), "arg"],
            "env": [{"name": "WHO", "value": variable}], "interactiveMode": "Never",
        }});
        create_as(&server, &authority, &user)
    };
    let exec = |outcome| match outcome {
        Err(KubernetesError::Config(ConfigError::Exec(error))) => error,
        other => panic!("{other:?}"),
    };
    assert_eq!(create("v1", "sh", "me"), Ok(()));
    let failed = exec(create("v1", "sh", "you"));
    assert!(matches!(failed, ExecError::Failed { .. }), "{failed:?}");
    let old = exec(create("v1alpha1", "sh", "me"));
    assert!(matches!(old, ExecError::ApiVersion { .. }), "{old:?}");
    let missing = exec(create("v1", "./does-not-exist", "me"));
    assert!(matches!(missing, ExecError::Start { .. }), "{missing:?}");
}

#[test]
fn a_plugin_is_told_about_the_cluster_and_gets_no_terminal() {
    let authority = Authority::new();
    let (server, _) = api_server(&authority);
    let seen = tempfile::NamedTempFile::new().unwrap();
    let script = format!(
        "printf %s \"$KUBERNETES_EXEC_INFO\" > {}; exit 1",
        seen.path().display()
    );
    let run = |members: Value| {
        let mut exec = json!({
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": "sh", "args": ["-c", script],
        });
        exec.as_object_mut()
            .unwrap()
            .extend(members.as_object().unwrap().clone());
        let mut config = kubeconfig(&server, &authority, &json!({"exec": exec}));
        config["clusters"][0]["cluster"]["extensions"] = json!([
            {"name": "client.authentication.k8s.io/exec", "extension": {"audience": "a"}},
        ]);
        match find(&config) {
            Err(KubernetesError::Config(ConfigError::Exec(error))) => error,
            other => panic!("{other:?}"),
        }
    };
    let info =
        || -> Value { serde_json::from_slice(&std::fs::read(seen.path()).unwrap()).unwrap() };
    run(json!({"interactiveMode": "IfAvailable", "provideClusterInfo": true}));
    let told = &info()["spec"]["cluster"];
    let url = format!("https://127.0.0.1:{}", server.port());
    assert_eq!(told["server"], url);
    assert_eq!(told["config"]["audience"], "a");
    let pem = STANDARD.encode(authority.0.pem());
    assert_eq!(told["certificate-authority-data"], pem);
    run(json!({}));
    assert_eq!(info()["spec"], json!({"interactive": false}));
    std::fs::write(seen.path(), "").unwrap();
    let error = run(json!({"interactiveMode": "Always"}));
    assert!(matches!(error, ExecError::Interactive { .. }), "{error}");
    assert!(std::fs::read(seen.path()).unwrap().is_empty(), "it ran");
    let error = run(json!({"command": "./none", "installHint": "get it\nfrom us"}));
    assert!(error.to_string().ends_with("; get it from us"), "{error}");
}

#[test]
fn empty_settings_are_none_and_a_token_file_is_newer_than_a_token() {
    let authority = Authority::new();
    let (server, _) = api_server(&authority);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "t0ken\n").unwrap();
    let mut config = kubeconfig(
        &server,
        &authority,
        &json!({"token": "old", "tokenFile": file.path()}),
    );
    config["clusters"][0]["cluster"]["tls-server-name"] = "".into();
    config["clusters"][0]["cluster"]["proxy-url"] = "".into();
    let create = |config: &Value| {
        find(config)?.create(&name("ns/a"), &KeyPair::generate(KeyKind::P256).unwrap())
    };
    assert_eq!(create(&config), Ok(()));
    let credential = json!({
        "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
        "status": {"token": "t0ken"},
    });
    let exec = json!({"apiVersion": "client.authentication.k8s.io/v1", "command": "echo",
        "args": [credential.to_string()]});
    config["users"][0]["user"] = json!({"token": "", "exec": exec});
    assert_eq!(create(&config), exists());
    // An empty token is no credential.
    let exec = json!({"apiVersion": "client.authentication.k8s.io/v1", "command": "echo",
        "args": [credential.to_string().replace("t0ken", "")]});
    config["users"][0]["user"] = json!({"exec": exec});
    assert!(matches!(
        create(&config),
        Err(KubernetesError::Config(ConfigError::Exec(
            ExecError::Failed { .. }
        )))
    ));
}

#[test]
fn a_kubeconfig_without_a_context_is_not_the_pods_cluster() {
    let authority = Authority::new();
    let (server, _) = api_server(&authority);
    let mut config = kubeconfig(&server, &authority, &json!({"token": "t0ken"}));
    config["current-context"] = "".into();
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join(".kube/config");
    std::fs::create_dir(home.path().join(".kube")).unwrap();
    std::fs::write(&path, config.to_string()).unwrap();
    let here = home.path().to_str().unwrap();
    for (variable, value) in [
        ("KUBECONFIG", path.to_str().unwrap()),
        ("KUBECONFIG", "/nowhere"),
        ("HOME", here),
    ] {
        let surroundings = around(&[
            (variable, value),
            ("KUBERNETES_SERVICE_HOST", "127.0.0.1"),
            ("KUBERNETES_SERVICE_PORT", "1"),
        ]);
        assert_eq!(
            Kubernetes::find(&surroundings).unwrap_err(),
            KubernetesError::Config(ConfigError::NoContext),
            "{variable}={value}"
        );
    }
}

#[test]
fn settings_that_weaken_tls_are_refused() {
    let authority = Authority::new();
    let (server, _) = api_server(&authority);
    let config = kubeconfig(&server, &authority, &json!({"token": "t0ken"}));
    for (setting, value, error) in [
        (
            "insecure-skip-tls-verify",
            json!(true),
            ConfigError::Unsupported {
                setting: "insecure-skip-tls-verify",
            },
        ),
        ("server", json!("http://127.0.0.1:1"), ConfigError::Server),
        (
            "server",
            json!("https://u:p@127.0.0.1"),
            ConfigError::Server,
        ),
        (
            "certificate-authority-data",
            json!("?"),
            ConfigError::NotBase64 {
                setting: "certificate-authority-data",
            },
        ),
    ] {
        let mut weak = config.clone();
        weak["clusters"][0]["cluster"][setting] = value;
        assert_eq!(
            find(&weak).unwrap_err(),
            KubernetesError::Config(error),
            "{setting}"
        );
    }
    let mut nobody = config;
    nobody["current-context"] = "there".into();
    assert!(matches!(
        find(&nobody),
        Err(KubernetesError::Config(ConfigError::Part {
            kind: "context",
            ..
        }))
    ));
}

#[test]
fn several_files_are_one_and_the_first_of_a_name_counts() {
    let authority = Authority::new();
    let (server, _) = api_server(&authority);
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("ca.pem"), authority.0.pem()).unwrap();
    let first = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: here\nclusters:\n- name: c\n  cluster:\n    \
         server: https://127.0.0.1:{}\n    certificate-authority: ca.pem\n",
        server.port()
    );
    let second = "apiVersion: v1\nkind: Config\ncurrent-context: elsewhere\nclusters:\n- name: c\n  \
                  cluster:\n    server: https://127.0.0.1:1\ncontexts:\n- name: here\n  context:\n    \
                  cluster: c\n    user: u\nusers:\n- name: u\n  user:\n    token: t0ken\n";
    let paths = [
        home.path().join("a"),
        home.path().join("none"),
        home.path().join("b"),
    ];
    std::fs::write(&paths[0], first).unwrap();
    std::fs::write(&paths[2], second).unwrap();
    let list = std::env::join_paths(&paths).unwrap();
    let surroundings = around(&[("KUBECONFIG", list.to_str().unwrap())]);
    let cluster = Kubernetes::find(&surroundings).unwrap();
    let error = cluster.signer(&name("ns/none")).unwrap_err();
    let KubernetesError::Service(error) = error else {
        panic!("{error:?}")
    };
    assert_eq!(error.standing(), Some(Standing::NotFound));
}

#[test]
fn without_a_kubeconfig_the_pod_counts() {
    assert_eq!(
        Kubernetes::find(&around(&[])).unwrap_err(),
        KubernetesError::Config(ConfigError::NoCluster)
    );
    let authority = Authority::new();
    let (server, _) = api_server(&authority);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ca.crt"), authority.0.pem()).unwrap();
    std::fs::write(folder.path().join("token"), "t0ken").unwrap();
    let port = server.port().to_string();
    let surroundings = around(&[
        ("KUBERNETES_SERVICE_HOST", "127.0.0.1"),
        ("KUBERNETES_SERVICE_PORT", &port),
    ]);
    let cluster = Cluster::of_pod(&surroundings, folder.path()).unwrap();
    let cluster = Kubernetes::connect(cluster, &surroundings).unwrap();
    let pair = KeyPair::generate(KeyKind::P256).unwrap();
    cluster.create(&name("ns/a"), &pair).unwrap();
    assert_eq!(
        &cluster.public_key(&name("ns/a")).unwrap(),
        pair.public_key()
    );
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "users: [\n").unwrap();
    let broken = around(&[("KUBECONFIG", file.path().to_str().unwrap())]);
    assert!(matches!(
        Kubernetes::find(&broken),
        Err(KubernetesError::Config(ConfigError::Malformed { .. }))
    ));
}
