//! Credential plugins: a command that prints credentials
//! ([client.authentication.k8s.io](https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins)).
//!
//! The command comes from the user's own kubeconfig and runs with the user's environment, as it
//! does under `kubectl`; what it complains about, the user sees. It cannot ask anything: its input
//! is empty.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use custos_core::json;
use custos_core::limits::Limits;
use custos_net::Secret;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::super::remote::secret;

/// Time that a plugin may take; some open a browser window.
const TIME: Duration = Duration::from_mins(1);
/// Most bytes that it may print.
const MAX_OUTPUT: u64 = 1 << 20;

/// The plugin as the kubeconfig names it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Exec {
    api_version: String,
    command: String,
    args: Option<Vec<String>>,
    env: Option<Vec<Variable>>,
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

/// Runs a plugin.
pub(super) fn run(plugin: &Exec, folder: &Path) -> Result<Found, ExecError> {
    let known = ["v1", "v1beta1"].map(|version| format!("client.authentication.k8s.io/{version}"));
    if !known.contains(&plugin.api_version) {
        return Err(ExecError::ApiVersion {
            found: plugin.api_version.chars().take(100).collect(),
        });
    }
    let info = serde_json::json!({
        "apiVersion": plugin.api_version,
        "kind": "ExecCredential",
        "spec": {"interactive": false},
    });
    let mut command = Command::new(program(&plugin.command, folder));
    command
        .args(plugin.args.iter().flatten())
        .env("KUBERNETES_EXEC_INFO", info.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit());
    for variable in plugin.env.iter().flatten() {
        command.env(&variable.name, variable.value.expose());
    }
    let fault = |what| ExecError::Failed {
        command: plugin.command.clone(),
        what,
    };
    let mut child = command.spawn().map_err(|error| ExecError::Start {
        command: plugin.command.clone(),
        message: error.to_string(),
    })?;
    let output = read(&mut child).ok_or_else(|| fault("it took too long or printed too much"))?;
    let answer: ExecCredential = json::from_slice(&output, &Limits::SMALL)
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
    if status.token.is_none() && identity.is_none() {
        return Err(fault("it gave no credentials"));
    }
    Ok(Found {
        token: status.token,
        identity,
    })
}

// A bare name is searched for; a path with a slash starts at the folder of the kubeconfig.
fn program(command: &str, folder: &Path) -> PathBuf {
    if command.contains('/') || command.contains(std::path::MAIN_SEPARATOR) {
        folder.join(command)
    } else {
        PathBuf::from(command)
    }
}

// What the child prints, if it ends well in time.
fn read(child: &mut Child) -> Option<Zeroizing<Vec<u8>>> {
    let (sender, receiver) = mpsc::channel();
    let stdout = child.stdout.take()?;
    std::thread::spawn(move || {
        let mut output = Zeroizing::new(Vec::new());
        let outcome = stdout
            .take(MAX_OUTPUT.saturating_add(1))
            .read_to_end(&mut output);
        let fits = u64::try_from(output.len()).is_ok_and(|length| length <= MAX_OUTPUT);
        // Nobody listens any more if the time is up.
        let _ = sender.send(outcome.ok().filter(|_| fits).map(|_| output));
    });
    let output = receiver.recv_timeout(TIME).ok().flatten();
    if output.is_none() {
        let _ = child.kill();
    }
    let status = child.wait().ok()?;
    output.filter(|_| status.success())
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
    /// It did not start.
    #[error("the credential plugin `{command}` does not start: {message}")]
    Start {
        /// The command.
        command: String,
        /// What the system says.
        message: String,
    },
}
