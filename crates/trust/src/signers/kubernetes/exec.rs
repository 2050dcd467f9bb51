//! Credential plugins: a command that prints credentials
//! ([client.authentication.k8s.io](https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins)).
//!
//! The command comes from the user's own kubeconfig and runs with the user's environment, as it
//! does under `kubectl`; what it complains about, the user sees. It cannot ask anything: its input
//! is empty.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use custos_core::json;
use custos_core::limits::Limits;
use custos_net::Secret;
use serde::Deserialize;
use serde_json::Value;
use zeroize::Zeroizing;

use super::super::helper::{Patience, finish};
use super::super::remote::secret;

/// How long a plugin may take, as some open a browser window, and how much it may print.
const PATIENCE: Patience = Patience {
    time: Duration::from_mins(1),
    bytes: 1 << 20,
};

/// The plugin as the kubeconfig names it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Exec {
    api_version: String,
    command: String,
    args: Option<Vec<String>>,
    env: Option<Vec<Variable>>,
    install_hint: Option<String>,
    interactive_mode: Option<String>,
    #[serde(default)]
    provide_cluster_info: bool,
}

#[derive(Deserialize)]
struct Variable {
    name: String,
    #[serde(deserialize_with = "secret")]
    value: Secret,
}

/// A chain of certificates and its key, both in PEM.
pub(super) type Pair = (Zeroizing<Vec<u8>>, Zeroizing<Vec<u8>>);

/// What a plugin gave.
pub(super) struct Found {
    pub(super) token: Option<Secret>,
    pub(super) identity: Option<Pair>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExecCredential {
    api_version: String,
    kind: String,
    status: Option<Status>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    #[serde(default, deserialize_with = "optional")]
    token: Option<Secret>,
    client_certificate_data: Option<String>,
    #[serde(default, deserialize_with = "optional")]
    client_key_data: Option<Secret>,
}

fn optional<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    secret(deserializer).map(Some)
}

/// Runs a plugin of a kubeconfig in `folder`; `cluster` is what is said about the cluster to a
/// plugin that asks for it.
pub(super) fn run(plugin: &Exec, folder: &Path, cluster: &Value) -> Result<Found, ExecError> {
    let known = ["v1", "v1beta1"].map(|version| format!("client.authentication.k8s.io/{version}"));
    if !known.contains(&plugin.api_version) {
        return Err(ExecError::ApiVersion {
            found: plugin.api_version.chars().take(100).collect(),
        });
    }
    if plugin.interactive_mode.as_deref() == Some("Always") {
        return Err(ExecError::Interactive {
            command: plugin.command.clone(),
        });
    }
    let fault = |what| ExecError::Failed {
        command: plugin.command.clone(),
        what,
    };
    let child = plugin
        .command(folder, cluster)
        .spawn()
        .map_err(|error| ExecError::Start {
            command: plugin.command.clone(),
            message: error.to_string(),
            hint: plugin.hint(),
        })?;
    let done =
        finish(child, PATIENCE).ok_or_else(|| fault("it took too long or printed too much"))?;
    if !done.status.success() {
        return Err(fault("it ended with an error"));
    }
    let answer: ExecCredential = json::from_slice(&done.output, &Limits::SMALL)
        .map_err(|_| fault("what it printed is not an ExecCredential"))?;
    if answer.api_version != plugin.api_version || answer.kind != "ExecCredential" {
        return Err(fault("it answered in another version than it was asked in"));
    }
    let status = answer
        .status
        .ok_or_else(|| fault("it gave no credentials"))?;
    let identity = status
        .client_certificate_data
        .zip(status.client_key_data)
        .map(|(chain, key)| {
            let key = Zeroizing::new(key.expose().as_bytes().to_vec());
            (Zeroizing::new(chain.into_bytes()), key)
        });
    let token = status.token.filter(|token| !token.expose().is_empty());
    if token.is_none() && identity.is_none() {
        return Err(fault("it gave no credentials"));
    }
    Ok(Found { token, identity })
}

impl Exec {
    fn command(&self, folder: &Path, cluster: &Value) -> Command {
        let mut info = serde_json::json!({
            "apiVersion": self.api_version,
            "kind": "ExecCredential",
            "spec": {"interactive": false},
        });
        if self.provide_cluster_info
            && let Some(spec) = info.get_mut("spec").and_then(Value::as_object_mut)
        {
            spec.insert("cluster".to_owned(), cluster.clone());
        }
        let mut command = Command::new(program(&self.command, folder));
        command
            .args(self.args.iter().flatten())
            .env("KUBERNETES_EXEC_INFO", info.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit());
        for variable in self.env.iter().flatten() {
            command.env(&variable.name, variable.value.expose());
        }
        command
    }

    // Where the plugin is had from, says the kubeconfig.
    fn hint(&self) -> String {
        let hint = self.install_hint.as_deref().unwrap_or_default();
        let one_line = |c: char| if c.is_control() { ' ' } else { c };
        hint.trim().chars().map(one_line).take(300).collect()
    }
}

// A bare name is searched for; a path with a slash starts at the folder of the kubeconfig.
fn program(command: &str, folder: &Path) -> PathBuf {
    if command.contains('/') || command.contains(std::path::MAIN_SEPARATOR) {
        folder.join(command)
    } else {
        PathBuf::from(command)
    }
}

/// Why a credential plugin gave nothing. What it printed is not repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExecError {
    /// An interface that is not known.
    #[error("a credential plugin with the interface `{found}` is not supported")]
    ApiVersion {
        /// The version found.
        found: String,
    },
    /// It failed.
    #[error("the credential plugin `{command}` failed: {what}")]
    Failed {
        /// The command.
        command: String,
        /// How.
        what: &'static str,
    },
    /// It must be able to ask something.
    #[error(
        "the credential plugin `{command}` wants a terminal (`interactiveMode: Always`), which it does not get here; use a context with a token or a certificate"
    )]
    Interactive {
        /// The command.
        command: String,
    },
    /// It did not start.
    #[error("the credential plugin `{command}` does not start: {message}{}{hint}", if hint.is_empty() { "" } else { "; " })]
    Start {
        /// The command.
        command: String,
        /// What the system says.
        message: String,
        /// How to install it, as the kubeconfig says; may be empty.
        hint: String,
    },
}
