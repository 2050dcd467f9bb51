//! The same against a real API server.
//!
//! `KUBEBUILDER_ASSETS` names a folder with `kube-apiserver`; `etcd` lies there too or is on the
//! path (Debian: package `etcd-server`). Without them the test says so and does nothing.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use aws_lc_rs::encoding::AsDer;
use custos_core::crypto::{KeyKind, KeyPair, Pem};
use serde_json::json;

use super::*;

/// A program that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[allow(
    clippy::disallowed_methods,
    clippy::explicit_write,
    reason = "finds the programs, or says loudly that they are not there"
)]
fn programs() -> Option<(PathBuf, PathBuf)> {
    let folder = std::env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from);
    let server = folder.as_ref().map(|folder| folder.join("kube-apiserver"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let etcd = folder
        .into_iter()
        .chain(std::env::split_paths(&path))
        .map(|folder| folder.join("etcd"))
        .find(|path| path.is_file());
    let found = server.filter(|path| path.is_file()).zip(etcd);
    if found.is_none() {
        let skip = "SKIP kube-apiserver: KUBEBUILDER_ASSETS names no folder with kube-apiserver, \
                    or there is no etcd; Secrets were compared with a stand-in only";
        writeln!(std::io::stderr(), "{skip}").unwrap();
    }
    found
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

fn start(program: &Path, folder: &Path, arguments: &[String]) -> Running {
    let log = fs::File::create(
        folder
            .join(program.file_name().unwrap())
            .with_extension("log"),
    );
    let child = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log.unwrap())
        .spawn()
        .unwrap();
    Running(child)
}

fn etcd(program: &Path, folder: &Path, port: u16) -> Running {
    let url = format!("http://127.0.0.1:{port}");
    let peer = format!("http://127.0.0.1:{}", free_port());
    start(
        program,
        folder,
        &[
            format!("--data-dir={}", folder.join("etcd-data").display()),
            format!("--listen-client-urls={url}"),
            format!("--advertise-client-urls={url}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster=default={peer}"),
            "--unsafe-no-fsync".to_owned(),
        ],
    )
}

fn api_server(
    program: &Path,
    folder: &Path,
    [etcd, port]: [u16; 2],
    authority: &Authority,
) -> Running {
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (chain, key) = authority.leaf("127.0.0.1");
    let accounts = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
    let der = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&accounts).unwrap();
    let accounts = Pem::new("PRIVATE KEY", der.as_ref().to_vec()).to_text();
    let accounts = write("accounts.key", &accounts);
    let tokens = "t0ken,admin,1,system:masters\nweak,guest,2\n";
    start(
        program,
        folder,
        &[
            format!("--etcd-servers=http://127.0.0.1:{etcd}"),
            format!("--secure-port={port}"),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--tls-cert-file={}", write("server.pem", &chain)),
            format!("--tls-private-key-file={}", write("server.key", &key)),
            format!(
                "--client-ca-file={}",
                write("clients.pem", &authority.0.pem())
            ),
            format!("--cert-dir={}", folder.display()),
            format!("--token-auth-file={}", write("tokens.csv", tokens)),
            "--authorization-mode=RBAC".to_owned(),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            format!("--service-account-key-file={accounts}"),
            format!("--service-account-signing-key-file={accounts}"),
            "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
            "--disable-admission-plugins=ServiceAccount".to_owned(),
        ],
    )
}

/// A kubeconfig for one token.
fn settings(port: u16, authority: &Authority, token: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "here",
        "clusters": [{"name": "c", "cluster": {
            "server": format!("https://127.0.0.1:{port}"),
            "certificate-authority-data": STANDARD.encode(authority.0.pem()),
        }}],
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        "users": [{"name": "u", "user": {"token": token}}],
    })
}

/// Creates a key once the server is there and has made the namespace.
fn create_when_ready(cluster: &Kubernetes, name: &SecretName, pair: &KeyPair) {
    let mut outcome = cluster.create(name, pair);
    for _ in 0..240 {
        match &outcome {
            Err(KubernetesError::Service(_)) => {}
            _ => break,
        }
        std::thread::sleep(Duration::from_millis(500));
        outcome = cluster.create(name, pair);
    }
    assert_eq!(outcome, Ok(()));
}

#[test]
fn secrets_of_a_real_api_server() {
    let Some((server, etcd_program)) = programs() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let ports = [free_port(), free_port()];
    let _etcd = etcd(&etcd_program, folder.path(), ports[0]);
    let _server = api_server(&server, folder.path(), ports, &authority);
    let cluster = |token: &str| find(&settings(ports[1], &authority, token)).unwrap();
    let admin = cluster("t0ken");
    let key = name("default/cosign-key");
    let pair = KeyPair::generate(KeyKind::P256).unwrap();
    create_when_ready(&admin, &key, &pair);
    let signer = admin.signer(&key).unwrap();
    assert_eq!(signer.public_key(), pair.public_key());
    assert_eq!(&admin.public_key(&key).unwrap(), pair.public_key());
    let exists = KubernetesError::Exists {
        secret: key.clone(),
    };
    assert_eq!(admin.create(&key, &pair), Err(exists));
    for (cluster, secret, standing) in [
        (&admin, "default/none", Standing::NotFound),
        (&cluster("weak"), "default/cosign-key", Standing::Denied),
        (&cluster("wrong"), "default/cosign-key", Standing::Denied),
    ] {
        let Err(KubernetesError::Service(error)) = cluster.signer(&name(secret)) else {
            panic!("{secret}")
        };
        assert_eq!(error.standing(), Some(standing), "{error}");
    }
    let config = settings(ports[1], &authority, "t0ken").to_string();
    fs::write(folder.path().join("kubeconfig"), config).unwrap();
    with_cosign(&admin, &pair, folder.path());
}

/// cosign reads our Secret and signs with it, and we read and sign with one of cosign's.
#[allow(
    clippy::disallowed_methods,
    clippy::explicit_write,
    reason = "finds the peer, or says loudly that it is not there"
)]
fn with_cosign(cluster: &Kubernetes, pair: &KeyPair, folder: &Path) {
    let Some(program) = std::env::var_os("CUSTOS_PEER_COSIGN") else {
        let skip = "SKIP cosign: CUSTOS_PEER_COSIGN is not set; cosign did not see our Secrets";
        writeln!(std::io::stderr(), "{skip}").unwrap();
        return;
    };
    let cosign = |arguments: &[&str]| {
        let output = Command::new(Path::new(&program).join("cosign"))
            .args(arguments)
            .current_dir(folder)
            .env("KUBECONFIG", folder.join("kubeconfig"))
            .env("HOME", folder)
            .env("COSIGN_PASSWORD", "pa55word")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {complaint}");
        String::from_utf8(output.stdout).unwrap()
    };
    let public = cosign(&["public-key", "--key", "k8s://default/cosign-key"]);
    assert_eq!(&PublicKey::from_pem(&public).unwrap(), pair.public_key());
    fs::write(folder.join("blob"), b"message").unwrap();
    cosign(&[
        "sign-blob",
        "--key=k8s://default/cosign-key",
        "--use-signing-config=false",
        "--tlog-upload=false",
        "--bundle=blob.bundle",
        "--yes",
        "blob",
    ]);
    let bundle = fs::read(folder.join("blob.bundle")).unwrap();
    let bundle: Value = serde_json::from_slice(&bundle).unwrap();
    let signature = bundle["messageSignature"]["signature"].as_str().unwrap();
    let signature = STANDARD.decode(signature).unwrap();
    let scheme = pair.public_key().kind().statement_scheme();
    pair.public_key()
        .verify(scheme, b"message", &signature)
        .unwrap();
    // cosign asks for the version, and gives up on that of a server built without one.
    let version = cluster.call("its version", "/version", None).unwrap();
    let version: Value = serde_json::from_slice(version.body()).unwrap();
    if version["gitVersion"].as_str().unwrap().contains('$') {
        let skip = "SKIP cosign: this kube-apiserver was built without a version; cosign makes no \
                    Secret there";
        writeln!(std::io::stderr(), "{skip}").unwrap();
        return;
    }
    cosign(&["generate-key-pair", "k8s://default/theirs"]);
    let theirs = name("default/theirs");
    let signer = cluster.signer(&theirs).unwrap();
    let signature = signer.sign(b"message").unwrap();
    let public = cluster.public_key(&theirs).unwrap();
    public
        .verify(signer.scheme(), b"message", &signature)
        .unwrap();
}
