//! Which API server, and who we are to it
//! ([kubeconfig](https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/)).

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use custos_net::{Identity, NetError, Roots, Secret, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use zeroize::Zeroizing;

use super::super::remote::secret;
use super::super::surroundings::{Surroundings, SurroundingsError, read_file, read_text};
use super::exec::{self, Exec, ExecError, Pair};
use super::yaml;

/// Most files that `KUBECONFIG` may list.
const MAX_FILES: usize = 32;
/// Extension of a cluster that holds settings for its credential plugin.
const PLUGIN_CONFIG: &str = "client.authentication.k8s.io/exec";
/// Where a pod finds its service account.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// An API server with credentials.
#[derive(Debug)]
pub struct Cluster {
    server: Url,
    roots: Roots,
    credentials: Credentials,
}

/// Who we are to the API server.
#[derive(Clone, Default)]
pub(super) struct Credentials {
    token: Option<Secret>,
    /// Read anew for each call: the kubelet and others renew it.
    token_file: Option<PathBuf>,
    basic: Option<Secret>,
    identity: Option<Pair>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

impl Credentials {
    pub(super) fn identity(&self) -> Result<Option<Identity>, NetError> {
        let pair = self.identity.as_ref();
        pair.map(|(chain, key)| Identity::from_pem(chain, key))
            .transpose()
    }

    /// Returns the value of the header `Authorization`.
    pub(super) fn authorization(&self) -> Result<Option<Secret>, ConfigError> {
        let bearer = |token: &str| Secret::from(format!("Bearer {token}"));
        // The file first, as in `kubectl`: a token beside it is only what it held once.
        if let Some(file) = &self.token_file {
            return Ok(Some(bearer(&read_text(file)?)));
        }
        if let Some(token) = &self.token {
            return Ok(Some(bearer(token.expose())));
        }
        Ok(self.basic.clone())
    }
}

impl Cluster {
    /// Finds the cluster: the current context of `KUBECONFIG` or `~/.kube/config`, else the
    /// service account of the pod.
    pub fn find(surroundings: &Surroundings) -> Result<Self, ConfigError> {
        let (paths, named) = paths(surroundings);
        let mut merged = Merged::default();
        for path in paths.iter().take(MAX_FILES) {
            match read_text(path) {
                Ok(text) => merged.add(path, &text)?,
                // As `kubectl` does: of a list, files may be missing.
                Err(SurroundingsError::Io {
                    kind: io::ErrorKind::NotFound,
                    ..
                }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if let Some(context) = merged.current.clone().filter(|name| !name.is_empty()) {
            return merged.cluster(&context);
        }
        // Somebody has configured a cluster: a pod's own is another one.
        if named || !merged.is_empty() {
            return Err(ConfigError::NoContext);
        }
        Self::of_pod(surroundings, Path::new(SERVICE_ACCOUNT))
    }

    // https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/
    pub(super) fn of_pod(surroundings: &Surroundings, folder: &Path) -> Result<Self, ConfigError> {
        let host = surroundings.var("KUBERNETES_SERVICE_HOST");
        let port = surroundings.var("KUBERNETES_SERVICE_PORT");
        let (Some(host), Some(port)) = (host, port) else {
            return Err(ConfigError::NoCluster);
        };
        let host = if host.contains(':') {
            format!("[{host}]")
        } else {
            host
        };
        Ok(Self {
            server: url(&format!("https://{host}:{port}"))?,
            roots: Roots::only_pem(&read_file(&folder.join("ca.crt"))?)
                .map_err(ConfigError::Certificates)?,
            credentials: Credentials {
                token_file: Some(folder.join("token")),
                ..Credentials::default()
            },
        })
    }

    pub(super) fn into_parts(self) -> (Url, Roots, Credentials) {
        (self.server, self.roots, self.credentials)
    }

    /// Returns the URL of the API server.
    pub const fn server(&self) -> &Url {
        &self.server
    }
}

fn url(text: &str) -> Result<Url, ConfigError> {
    let url: Url = text.parse().map_err(|_| ConfigError::Server)?;
    // Tokens and keys would travel in the clear.
    if url.origin().is_tls() && url.query().is_none() {
        Ok(url)
    } else {
        Err(ConfigError::Server)
    }
}

// The files to read, and whether a variable names them.
fn paths(surroundings: &Surroundings) -> (Vec<PathBuf>, bool) {
    if let Some(list) = surroundings.var("KUBECONFIG") {
        let paths = std::env::split_paths(&list).filter(|path| !path.as_os_str().is_empty());
        return (paths.collect(), true);
    }
    let own = surroundings.at_home(".kube/config");
    (own.into_iter().collect(), false)
}

/// All files together: of each name, the first counts.
#[derive(Default)]
struct Merged {
    current: Option<String>,
    clusters: Vec<Entry>,
    contexts: Vec<Entry>,
    users: Vec<Entry>,
}

/// A named part, and the folder that relative paths in it start from.
struct Entry {
    name: String,
    value: Value,
    folder: PathBuf,
}

impl Merged {
    fn is_empty(&self) -> bool {
        self.clusters.is_empty() && self.contexts.is_empty()
    }

    fn add(&mut self, path: &Path, text: &str) -> Result<(), ConfigError> {
        let malformed = || ConfigError::Malformed {
            path: path.to_owned(),
        };
        let value = yaml::parse(text).ok_or_else(malformed)?;
        if value.is_null() {
            return Ok(());
        }
        let file: File = serde_json::from_value(value).map_err(|_| malformed())?;
        let folder = path.parent().unwrap_or(Path::new(""));
        if self.current.is_none() {
            self.current = file.current_context;
        }
        for (found, list) in [
            (file.clusters, &mut self.clusters),
            (file.contexts, &mut self.contexts),
            (file.users, &mut self.users),
        ] {
            for Named { name, mut rest } in found.unwrap_or_default() {
                if list.iter().any(|known| known.name == name) {
                    continue;
                }
                let value = ["cluster", "context", "user"]
                    .iter()
                    .find_map(|kind| rest.remove(*kind));
                list.push(Entry {
                    name,
                    value: value.unwrap_or(Value::Null),
                    folder: folder.to_owned(),
                });
            }
        }
        Ok(())
    }

    fn cluster(&self, context: &str) -> Result<Cluster, ConfigError> {
        let (context, _): (Context, _) = part(&self.contexts, "context", context)?;
        let (cluster, folder): (ClusterPart, _) =
            part(&self.clusters, "cluster", &context.cluster)?;
        cluster.check()?;
        let roots = match cluster.authority(folder)? {
            Some(pem) => Roots::only_pem(&pem).map_err(ConfigError::Certificates)?,
            None => Roots::System,
        };
        let server = url(&cluster.server)?;
        let info = cluster.info(folder)?;
        let credentials = match context.user.as_deref().filter(|name| !name.is_empty()) {
            Some(name) => {
                let (user, folder): (User, _) = part(&self.users, "user", name)?;
                user.credentials(folder, &info)?
            }
            None => Credentials::default(),
        };
        Ok(Cluster {
            server,
            roots,
            credentials,
        })
    }
}

fn part<'a, T: DeserializeOwned>(
    list: &'a [Entry],
    kind: &'static str,
    name: &str,
) -> Result<(T, &'a Path), ConfigError> {
    let fault = || ConfigError::Part {
        kind,
        name: name.chars().take(100).collect(),
    };
    let entry = list
        .iter()
        .find(|entry| entry.name == name)
        .ok_or_else(fault)?;
    let value = serde_json::from_value(entry.value.clone()).map_err(|_| fault())?;
    Ok((value, &entry.folder))
}

#[derive(Deserialize)]
struct File {
    #[serde(rename = "current-context")]
    current_context: Option<String>,
    clusters: Option<Vec<Named>>,
    contexts: Option<Vec<Named>>,
    users: Option<Vec<Named>>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
    #[serde(flatten)]
    rest: serde_json::Map<String, Value>,
}

#[derive(Deserialize)]
struct Context {
    cluster: String,
    user: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct ClusterPart {
    server: String,
    certificate_authority: Option<PathBuf>,
    certificate_authority_data: Option<String>,
    #[serde(default)]
    insecure_skip_tls_verify: bool,
    tls_server_name: Option<String>,
    proxy_url: Option<String>,
    #[serde(default)]
    extensions: Vec<Extension>,
}

#[derive(Deserialize)]
struct Extension {
    name: String,
    extension: Value,
}

impl ClusterPart {
    // What a plugin is told that asks for it (`spec.cluster` of an ExecCredential).
    fn info(&self, folder: &Path) -> Result<Value, ConfigError> {
        let mut info = serde_json::json!({"server": self.server});
        let config = self.extensions.iter().find(|one| one.name == PLUGIN_CONFIG);
        if let Some(members) = info.as_object_mut() {
            if let Some(pem) = self.authority(folder)? {
                let data = STANDARD.encode(pem.as_slice());
                members.insert("certificate-authority-data".to_owned(), data.into());
            }
            if let Some(config) = config {
                members.insert("config".to_owned(), config.extension.clone());
            }
        }
        Ok(info)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let is_set = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
        let refused = [
            (self.insecure_skip_tls_verify, "insecure-skip-tls-verify"),
            (is_set(&self.tls_server_name), "tls-server-name"),
            (is_set(&self.proxy_url), "proxy-url"),
        ];
        match refused.into_iter().find(|(set, _)| *set) {
            Some((_, setting)) => Err(ConfigError::Unsupported { setting }),
            None => Ok(()),
        }
    }

    fn authority(&self, folder: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, ConfigError> {
        inline_or_file(
            "certificate-authority-data",
            self.certificate_authority_data.as_deref(),
            self.certificate_authority
                .as_deref()
                .map(|path| folder.join(path)),
        )
    }
}

// Inline data wins, as in `kubectl`.
fn inline_or_file(
    setting: &'static str,
    data: Option<&str>,
    path: Option<PathBuf>,
) -> Result<Option<Zeroizing<Vec<u8>>>, ConfigError> {
    match (data.filter(|data| !data.is_empty()), path) {
        (Some(data), _) => STANDARD
            .decode(data)
            .map(|bytes| Some(Zeroizing::new(bytes)))
            .map_err(|_| ConfigError::NotBase64 { setting }),
        (None, Some(path)) => Ok(Some(read_file(&path)?)),
        (None, None) => Ok(None),
    }
}

fn optional<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    secret(deserializer).map(Some)
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct User {
    client_certificate: Option<PathBuf>,
    client_certificate_data: Option<String>,
    client_key: Option<PathBuf>,
    #[serde(default, deserialize_with = "optional")]
    client_key_data: Option<Secret>,
    #[serde(default, deserialize_with = "optional")]
    token: Option<Secret>,
    #[serde(rename = "tokenFile")]
    token_file: Option<PathBuf>,
    username: Option<String>,
    #[serde(default, deserialize_with = "optional")]
    password: Option<Secret>,
    exec: Option<Exec>,
    auth_provider: Option<Value>,
}

impl User {
    fn credentials(&self, folder: &Path, cluster: &Value) -> Result<Credentials, ConfigError> {
        if self.auth_provider.is_some() {
            return Err(ConfigError::Unsupported {
                setting: "auth-provider",
            });
        }
        let chain = inline_or_file(
            "client-certificate-data",
            self.client_certificate_data.as_deref(),
            self.client_certificate
                .as_ref()
                .map(|path| folder.join(path)),
        )?;
        let key = inline_or_file(
            "client-key-data",
            self.client_key_data.as_ref().map(Secret::expose),
            self.client_key.as_ref().map(|path| folder.join(path)),
        )?;
        let mut credentials = Credentials {
            token: self
                .token
                .clone()
                .filter(|token| !token.expose().is_empty()),
            token_file: self.token_file.as_ref().map(|path| folder.join(path)),
            basic: self.basic(),
            identity: chain.zip(key),
        };
        let nothing = credentials.token.is_none() && credentials.token_file.is_none();
        if let Some(plugin) = self.exec.as_ref().filter(|_| nothing) {
            let found = exec::run(plugin, folder, cluster).map_err(ConfigError::Exec)?;
            credentials.token = found.token;
            if let Some(pair) = found.identity {
                credentials.identity = Some(pair);
            }
        }
        Ok(credentials)
    }

    fn basic(&self) -> Option<Secret> {
        let (user, password) = (self.username.as_ref()?, self.password.as_ref()?);
        let pair = Zeroizing::new(format!("{user}:{}", password.expose()));
        Some(Secret::from(format!(
            "Basic {}",
            STANDARD.encode(pair.as_bytes())
        )))
    }
}

/// Reads a kubeconfig for nothing but its faults.
pub(super) fn read_only(text: &str) {
    let mut merged = Merged::default();
    if merged.add(Path::new("config"), text).is_ok()
        && let Some(context) = merged.current.as_deref()
    {
        let _: Result<(Context, _), _> = part(&merged.contexts, "context", context);
    }
}

/// Why there is no cluster to talk to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Certificates that cannot be used.
    #[error("kubeconfig: {0}")]
    Certificates(NetError),
    /// The credential plugin failed.
    #[error("kubeconfig: {0}")]
    Exec(ExecError),
    /// Not a kubeconfig; it holds secrets, so nothing of it is repeated.
    #[error("{} is not a kubeconfig", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// No kubeconfig, and not in a pod.
    #[error(
        "no Kubernetes cluster is configured: there is neither KUBECONFIG nor ~/.kube/config, and this is not a pod"
    )]
    NoCluster,
    /// There is a kubeconfig, and it has no current context.
    #[error(
        "the kubeconfig (KUBECONFIG or ~/.kube/config) names no current context; set one with `kubectl config use-context`"
    )]
    NoContext,
    /// Not base64.
    #[error("kubeconfig: `{setting}` is not base64")]
    NotBase64 {
        /// The setting.
        setting: &'static str,
    },
    /// A context, cluster or user is missing, or not of the documented form.
    #[error("kubeconfig: there is no usable {kind} `{name}`")]
    Part {
        /// `context`, `cluster` or `user`.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// The server is no `https` URL.
    #[error("kubeconfig: the server must be an https URL")]
    Server,
    /// A file or variable.
    #[error("{0}")]
    Surroundings(#[from] SurroundingsError),
    /// A setting that is not supported, or not safe.
    #[error("kubeconfig: `{setting}` is not supported; use a context without it")]
    Unsupported {
        /// The setting.
        setting: &'static str,
    },
}
