//! Credentials for registries, where `docker login` and `podman login` leave them: a configuration
//! file, or a helper that it names.
//!
//! A helper (`docker-credential-NAME`, [protocol](https://github.com/docker/docker-credential-helpers))
//! is the user's own program and runs with the user's environment. What it prints is never shown:
//! it may be a secret. Nothing is looked up before a registry asks.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use custos_core::json;
use custos_core::limits::Limits;
use custos_net::Secret;
use custos_trust::signers::helper::{Patience, finish};
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use super::reference::{Reference, Registry};

/// Largest configuration file, in bytes.
const MAX_FILE: u64 = 1 << 20;
/// How long a helper may take, and how much it may print.
const PATIENCE: Patience = Patience {
    time: Duration::from_secs(30),
    bytes: 1 << 20,
};
/// Name under which Docker keeps what belongs to Docker Hub.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";
/// User name by which a helper says that its secret is an identity token.
const TOKEN_USER: &str = "<token>";

/// What is shown to a registry or its token service.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Credential {
    /// A user and a password.
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: Secret,
    },
    /// A token that the token service changes for another one (OAuth 2 refresh token).
    IdentityToken(Secret),
    /// A token for the registry itself.
    RegistryToken(Secret),
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Basic { .. } => "Basic",
            Self::IdentityToken(_) => "IdentityToken",
            Self::RegistryToken(_) => "RegistryToken",
        })
    }
}

/// Where credentials are looked for.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    files: Vec<Place>,
    path: Option<OsString>,
}

#[derive(Debug, Clone)]
struct Place {
    file: PathBuf,
    // A file that somebody named has to be there.
    named: bool,
}

impl Credentials {
    /// Returns credentials that are never found.
    pub fn none() -> Self {
        Self::default()
    }

    /// Looks in this file alone; its helpers are searched for in `path`, a list as in `PATH`.
    pub fn file(file: impl Into<PathBuf>, path: Option<OsString>) -> Self {
        let place = Place {
            file: file.into(),
            named: true,
        };
        Self {
            files: vec![place],
            path,
        }
    }

    /// Looks where Docker and Podman do: in the file of `REGISTRY_AUTH_FILE` alone, else in that of
    /// `DOCKER_CONFIG` alone, else in those of the user. `var` looks a variable up.
    pub fn from_vars(var: &dyn Fn(&str) -> Option<OsString>) -> Self {
        let var = |name: &str| var(name).filter(|value| !value.is_empty());
        let path = var("PATH");
        if let Some(file) = var("REGISTRY_AUTH_FILE") {
            return Self::file(file, path);
        }
        let at = |name: &str, below: &str| Some(PathBuf::from(var(name)?).join(below));
        let files = match at("DOCKER_CONFIG", "config.json") {
            Some(file) => vec![file],
            None => [
                at("HOME", ".docker/config.json"),
                at("XDG_RUNTIME_DIR", "containers/auth.json"),
                at("XDG_CONFIG_HOME", "containers/auth.json")
                    .or_else(|| at("HOME", ".config/containers/auth.json")),
            ]
            .into_iter()
            .flatten()
            .collect(),
        };
        let place = |file| Place { file, named: false };
        Self {
            files: files.into_iter().map(place).collect(),
            path,
        }
    }

    /// Returns what there is for the registry and repository of `reference`, from the first file
    /// that has something.
    pub fn find(&self, reference: &Reference) -> Result<Option<Credential>, CredentialError> {
        for place in &self.files {
            let Some(config) = read(place)? else {
                continue;
            };
            if let Some(found) = self.in_config(&config, reference)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn in_config(
        &self,
        config: &Config,
        reference: &Reference,
    ) -> Result<Option<Credential>, CredentialError> {
        let registry = reference.registry();
        let helpers = config.cred_helpers.iter();
        let helper = best(helpers, reference).or(config.creds_store.as_ref());
        if let Some(helper) = helper.filter(|helper| !helper.is_empty())
            && let Some(found) = self.ask(helper, registry)?
        {
            return Ok(Some(found));
        }
        match best(config.auths.iter(), reference) {
            Some(entry) => entry.credential(registry),
            None => Ok(None),
        }
    }

    fn ask(
        &self,
        helper: &str,
        registry: &Registry,
    ) -> Result<Option<Credential>, CredentialError> {
        let fault = |what| CredentialError::Helper {
            helper: helper.chars().take(80).collect(),
            what,
        };
        let word = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        // It becomes part of a program's name: a slash would name any program there is.
        if helper.len() > 64 || !helper.bytes().all(word) {
            return Err(fault("that is no name of a helper"));
        }
        let program = self
            .program(helper)
            .ok_or_else(|| fault("there is no such program"))?;
        let server = if registry.is_docker_hub() {
            DOCKER_HUB_KEY.to_owned()
        } else {
            registry.to_string()
        };
        let mut child = Command::new(program)
            .arg("get")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|_| fault("it does not start"))?;
        if let Some(mut stdin) = child.stdin.take() {
            // A helper that does not read answers without knowing for whom; then it fails itself.
            let _ = stdin.write_all(server.as_bytes());
        }
        let answer =
            finish(child, PATIENCE).ok_or_else(|| fault("it took too long or printed too much"))?;
        if !answer.status.success() {
            // The one failure that the protocol knows by its words.
            let words = String::from_utf8_lossy(&answer.output);
            return if words.trim().starts_with("credentials not found") {
                Ok(None)
            } else {
                Err(fault("it failed"))
            };
        }
        let found: HelperAnswer = json::from_slice(&answer.output, &Limits::SMALL)
            .map_err(|_| fault("what it printed is not understood"))?;
        Ok(found.credential())
    }

    fn program(&self, helper: &str) -> Option<PathBuf> {
        let name = format!("docker-credential-{helper}");
        std::env::split_paths(self.path.as_ref()?)
            .filter(|folder| folder.is_absolute())
            .map(|folder| folder.join(&name))
            .find(|file| file.is_file())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    #[serde(default)]
    auths: Map<Entry>,
    #[serde(default)]
    cred_helpers: Map<String>,
    creds_store: Option<String>,
}

type Map<T> = std::collections::BTreeMap<String, T>;

#[derive(Deserialize, Default)]
struct Entry {
    #[serde(default, deserialize_with = "secret")]
    auth: Option<Secret>,
    username: Option<String>,
    #[serde(default, deserialize_with = "secret")]
    password: Option<Secret>,
    #[serde(default, deserialize_with = "secret")]
    identitytoken: Option<Secret>,
    #[serde(default, deserialize_with = "secret")]
    registrytoken: Option<Secret>,
}

impl Entry {
    fn credential(&self, registry: &Registry) -> Result<Option<Credential>, CredentialError> {
        let fault = || CredentialError::Entry {
            registry: registry.to_string(),
        };
        if let Some(token) = &self.registrytoken {
            return Ok(Some(Credential::RegistryToken(token.clone())));
        }
        if let Some(token) = &self.identitytoken {
            return Ok(Some(Credential::IdentityToken(token.clone())));
        }
        if let Some(auth) = &self.auth {
            let bytes = STANDARD.decode(auth.expose().trim()).map_err(|_| fault())?;
            let text = Zeroizing::new(String::from_utf8(bytes).map_err(|_| fault())?);
            let (user, password) = text.split_once(':').ok_or_else(fault)?;
            return Ok(Some(Credential::Basic {
                user: user.to_owned(),
                password: Secret::new(password.trim_end_matches('\0')),
            }));
        }
        Ok(self
            .username
            .clone()
            .zip(self.password.clone())
            .map(|(user, password)| Credential::Basic { user, password }))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HelperAnswer {
    username: String,
    #[serde(deserialize_with = "secret")]
    secret: Option<Secret>,
}

impl HelperAnswer {
    fn credential(self) -> Option<Credential> {
        let secret = self.secret?;
        Some(match self.username.as_str() {
            TOKEN_USER => Credential::IdentityToken(secret),
            _ => Credential::Basic {
                user: self.username,
                password: secret,
            },
        })
    }
}

// An empty secret is none.
fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.filter(|text| !text.is_empty()).map(Secret::from))
}

// The entry whose name says most about the repository, as in Podman: `host/org/name`, then
// `host/org`, then `host`; Docker writes `https://host/v1/` for the host.
fn best<'a, T: 'a>(
    entries: impl Iterator<Item = (&'a String, &'a T)>,
    reference: &Reference,
) -> Option<&'a T> {
    let hub = reference.registry().is_docker_hub();
    let name = if hub {
        format!("docker.io/{}", reference.repository())
    } else {
        reference.name()
    };
    entries
        .filter_map(|(key, value)| {
            let key = normal(key, hub);
            let fits = name == key
                || name
                    .strip_prefix(&key)
                    .is_some_and(|rest| rest.starts_with('/'));
            fits.then_some((key.len(), value))
        })
        .max_by_key(|(length, _)| *length)
        .map(|(_, value)| value)
}

fn normal(key: &str, hub: bool) -> String {
    let (key, url) = match key
        .strip_prefix("https://")
        .or_else(|| key.strip_prefix("http://"))
    {
        Some(rest) => (rest, true),
        None => (key, false),
    };
    let host = key.split('/').next().unwrap_or_default();
    let key = if url { host } else { key.trim_end_matches('/') };
    // Older entries have the version of the API behind the host.
    let key = key
        .strip_suffix("/v1")
        .or_else(|| key.strip_suffix("/v2"))
        .unwrap_or(key);
    match (hub, key) {
        (true, "index.docker.io" | "registry-1.docker.io") => "docker.io".to_owned(),
        _ => key.to_owned(),
    }
}

fn read(place: &Place) -> Result<Option<Config>, CredentialError> {
    let file = &place.file;
    let fault = |message: String| CredentialError::File {
        file: file.clone(),
        message,
    };
    let mut bytes = Zeroizing::new(Vec::new());
    match File::open(file) {
        Ok(open) => open
            .take(MAX_FILE.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(|error| fault(error.to_string()))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound && !place.named => return Ok(None),
        Err(error) => return Err(fault(error.to_string())),
    };
    parse(&bytes).map(Some).ok_or_else(|| {
        // What a parser says might repeat parts of a secret.
        fault("it is not a configuration of Docker or Podman".to_owned())
    })
}

fn parse(bytes: &[u8]) -> Option<Config> {
    json::from_slice(bytes, &Limits::SMALL).ok()
}

/// Why credentials could not be had. No secret is part of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialError {
    /// What a file holds for the registry is not understood.
    #[error("the credentials for {registry} in the configuration file are not understood")]
    Entry {
        /// The registry.
        registry: String,
    },
    /// A file cannot be read.
    #[error("{}: {message}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// A helper gave nothing.
    #[error("the credential helper `{helper}` was asked: {what}")]
    Helper {
        /// Its name, without `docker-credential-` in front.
        helper: String,
        /// What went wrong.
        what: &'static str,
    },
}

impl CredentialError {
    /// Returns the configuration file that cannot be read.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::File { file, .. } => Some(file),
            _ => None,
        }
    }
}

pub(crate) fn fuzz_config(data: &[u8]) {
    let Ok(reference) = "r.example/org/net".parse::<Reference>() else {
        return;
    };
    if let Some(config) = parse(data)
        && let Some(entry) = best(config.auths.iter(), &reference)
    {
        let _ = entry.credential(reference.registry());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn reference(text: &str) -> Reference {
        text.parse().unwrap()
    }

    fn basic(user: &str, password: &str) -> Credential {
        Credential::Basic {
            user: user.to_owned(),
            password: Secret::new(password),
        }
    }

    struct Desk {
        dir: tempfile::TempDir,
    }

    impl Desk {
        fn new(config: &str) -> Self {
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(dir.path().join("config.json"), config).unwrap();
            Self { dir }
        }

        fn helper(self, name: &str, script: &str) -> Self {
            let file = self.dir.path().join(format!("docker-credential-{name}"));
            std::fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
            self
        }

        fn find(&self, text: &str) -> Result<Option<Credential>, CredentialError> {
            let path = Some(self.dir.path().as_os_str().to_owned());
            Credentials::file(self.dir.path().join("config.json"), path).find(&reference(text))
        }
    }

    #[test]
    fn entries_of_docker_and_podman() {
        let auth = |text: &str| STANDARD.encode(text);
        let config = format!(
            r#"{{"auths": {{
                "https://index.docker.io/v1/": {{"auth": "{}"}},
                "https://old.example/v1/": {{"auth": "{}"}},
                "r.example": {{"auth": "{}"}},
                "r.example/org": {{"auth": "{}"}},
                "r.example:5000": {{"username": "u", "password": "p"}},
                "id.example": {{"auth": "{}", "identitytoken": "refresh"}},
                "reg.example": {{"registrytoken": "token"}},
                "empty.example": {{}}
            }}, "HttpHeaders": {{"x": "y"}}}}"#,
            auth("hub:a:b"),
            auth("old:o"),
            auth("wide:w\0"),
            auth("narrow:n"),
            auth("00000000-0000-0000-0000-000000000000:"),
        );
        let desk = Desk::new(&config);
        for (text, expected) in [
            ("alpine", Some(basic("hub", "a:b"))),
            ("index.docker.io/library/alpine", Some(basic("hub", "a:b"))),
            ("old.example/x", Some(basic("old", "o"))),
            ("r.example/x", Some(basic("wide", "w"))),
            ("r.example/org/x", Some(basic("narrow", "n"))),
            ("r.example/organ/x", Some(basic("wide", "w"))),
            ("r.example:5000/x", Some(basic("u", "p"))),
            ("r.example:5001/x", None),
            ("xr.example/x", None),
            (
                "id.example/x",
                Some(Credential::IdentityToken("refresh".into())),
            ),
            (
                "reg.example/x",
                Some(Credential::RegistryToken("token".into())),
            ),
            ("empty.example/x", None),
        ] {
            assert_eq!(desk.find(text).unwrap(), expected, "{text}");
        }
        assert_eq!(format!("{:?}", basic("u", "geheim")), "Basic");
    }

    #[test]
    fn helpers_are_asked_for_the_server() {
        let config = r#"{"auths": {"gone.example": {"username": "u", "password": "p"}},
            "credsStore": "all", "credHelpers": {"one.example": "one", "bad.example": "../bad",
            "loud.example": "loud", "dead.example": "dead", "lost.example": "lost"}}"#;
        let desk = Desk::new(config)
            .helper("one", r#"test "$1" = get && read s; echo "{\"ServerURL\":\"x\",\"Username\":\"one\",\"Secret\":\"$s\"}""#)
            .helper("all", r#"read s; case "$s" in https://index.docker.io/v1/) echo '{"Username":"<token>","Secret":"t"}';; *) echo 'credentials not found in native keychain'; exit 1;; esac"#)
            .helper("loud", "echo geheim")
            .helper("dead", "echo geheim; exit 3");
        assert_eq!(
            desk.find("one.example/x").unwrap(),
            Some(basic("one", "one.example"))
        );
        let hub = desk.find("alpine").unwrap();
        assert_eq!(hub, Some(Credential::IdentityToken("t".into())));
        assert_eq!(desk.find("other.example/x").unwrap(), None);
        // A store that has nothing does not hide what stands in the file.
        assert_eq!(desk.find("gone.example/x").unwrap(), Some(basic("u", "p")));
        for (text, what) in [
            ("bad.example/x", "that is no name of a helper"),
            ("loud.example/x", "what it printed is not understood"),
            ("dead.example/x", "it failed"),
            ("lost.example/x", "there is no such program"),
        ] {
            let error = desk.find(text).unwrap_err();
            let text = error.to_string();
            assert!(
                matches!(&error, CredentialError::Helper { what: w, .. } if *w == what),
                "{text}"
            );
            assert!(!text.contains("geheim"));
        }
    }

    #[test]
    fn files_that_are_not_there_or_not_readable() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().as_os_str().to_owned();
        let vars = |name: &str| (name == "HOME").then(|| home.clone());
        let found = Credentials::from_vars(&vars).find(&reference("r.example/x"));
        assert_eq!(found.unwrap(), None);
        let named = |name: &str| (name == "REGISTRY_AUTH_FILE").then(|| home.clone());
        assert!(
            Credentials::from_vars(&named)
                .find(&reference("r.example/x"))
                .is_err()
        );
        for text in [
            "",
            "[]",
            "{\"auths\":[]}",
            "{\"auths\":{},\"auths\":{}}",
            "geheim",
        ] {
            let error = Desk::new(text).find("r.example/x").unwrap_err();
            assert!(!error.to_string().contains("geheim"));
        }
        for auth in ["***", "bm9jb2xvbg=="] {
            let config = format!(r#"{{"auths": {{"r.example": {{"auth": "{auth}"}}}}}}"#);
            let error = Desk::new(&config).find("r.example/x").unwrap_err();
            let registry = "r.example".to_owned();
            assert_eq!(error, CredentialError::Entry { registry });
        }
    }

    #[test]
    fn the_users_files_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let write = |below: &str, user: &str| {
            let file = dir.path().join(below);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            let config = format!(
                r#"{{"auths": {{"r.example": {{"username": "{user}", "password": "p"}}}}}}"#
            );
            std::fs::write(file, config).unwrap();
        };
        let find = |more: &[&str]| {
            let vars = |name: &str| {
                let below = match name {
                    "HOME" => "",
                    "DOCKER_CONFIG" if more.contains(&name) => "docker",
                    "REGISTRY_AUTH_FILE" if more.contains(&name) => "auth.json",
                    _ => return None,
                };
                Some(dir.path().join(below).into_os_string())
            };
            Credentials::from_vars(&vars)
                .find(&reference("r.example/x"))
                .unwrap()
        };
        write(".config/containers/auth.json", "podman");
        assert_eq!(find(&[]), Some(basic("podman", "p")));
        write(".docker/config.json", "home");
        assert_eq!(find(&[]), Some(basic("home", "p")));
        write("docker/config.json", "docker");
        assert_eq!(find(&["DOCKER_CONFIG"]), Some(basic("docker", "p")));
        write("auth.json", "named");
        assert_eq!(
            find(&["DOCKER_CONFIG", "REGISTRY_AUTH_FILE"]),
            Some(basic("named", "p"))
        );
    }
}
