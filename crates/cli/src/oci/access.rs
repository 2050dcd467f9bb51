//! How registries are reached: what the settings say about them, and where credentials are.

use std::path::PathBuf;

use custos_connect::oci::{Access, Credentials, Reference, Repository};
use custos_net::{Proxy, Roots};
use serde::Deserialize;

use super::failure;
use crate::context::Context;
use crate::files::{read_bytes, shown};
use crate::report::Failure;
use crate::settings::Settings;
use crate::system;

/// Largest file of certificates, in bytes.
const MAX_AUTHORITIES: u64 = 8 << 20;

/// What the settings say about a registry: `[[registry]]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistryEntry {
    /// Host and port, as in references.
    host: String,
    /// It speaks HTTP without TLS.
    #[serde(default)]
    plain_http: bool,
    /// Certificates of authorities to believe besides those of the system, PEM.
    authorities: Option<PathBuf>,
    /// Servers that it may send us to though they are in a private network: its token service,
    /// its store of blobs.
    #[serde(default)]
    also: Vec<String>,
}

impl RegistryEntry {
    /// Returns the host, if it reads as one.
    pub fn parsed_host(&self) -> Option<String> {
        let reference: Reference = format!("{}/x", self.host).parse().ok()?;
        let host = reference.registry().to_string();
        (host == self.host.to_ascii_lowercase()).then_some(host)
    }
}

/// Opens the repository of `reference`, which the user named.
pub fn open(
    reference: &Reference,
    settings: &Settings,
    context: &Context,
) -> Result<Repository, Failure> {
    let credentials = Credentials::from_vars(&system::variable);
    let mut access = Access::new(credentials).naming();
    let proxy = |name: &str| system::variable(name).and_then(|value| value.into_string().ok());
    access.proxy = Proxy::from_vars(&proxy).map_err(|error| wrong(settings, &error.to_string()))?;
    let host = reference.registry().to_string();
    for entry in &settings.registries {
        let named = entry.parsed_host().ok_or_else(|| {
            wrong(
                settings,
                &format!("`{}` is not the host of a registry", entry.host),
            )
        })?;
        if named != host {
            continue;
        }
        access.plain_http |= entry.plain_http;
        if let Some(file) = &entry.authorities {
            let base = settings.file.as_deref().and_then(std::path::Path::parent);
            let file = base.map_or_else(|| context.resolve(file), |base| base.join(file));
            let pem = read_bytes(&file, MAX_AUTHORITIES)?;
            access.roots = Roots::system_and_pem(&pem)
                .map_err(|error| wrong(settings, &error.to_string()).at(shown(&file)))?;
        }
        for url in &entry.also {
            let parsed = url
                .parse()
                .map_err(|error| wrong(settings, &format!("`{url}` in `also`: {error}")))?;
            access.also.push(parsed);
        }
    }
    Repository::open(reference, access).map_err(|error| failure(&error, reference))
}

fn wrong(settings: &Settings, why: &str) -> Failure {
    let failure = Failure::usage("E0011", "the way to the registry is not accepted").because(why);
    match &settings.file {
        Some(file) => failure.at(format!("{}: [[registry]]", file.display())),
        None => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_written_as_in_references() {
        for (host, expected) in [
            ("r.example", Some("r.example")),
            ("R.example:5000", Some("r.example:5000")),
            ("[::1]:5000", Some("[::1]:5000")),
            ("localhost", Some("localhost")),
            ("https://r.example", None),
            ("r.example/org", None),
            ("plain", None),
            ("", None),
        ] {
            let entry: RegistryEntry = toml::from_str(&format!("host = \"{host}\"")).unwrap();
            assert_eq!(entry.parsed_host().as_deref(), expected, "{host}");
        }
        assert!(toml::from_str::<RegistryEntry>("host = \"a\"\ninsecure = true").is_err());
    }
}
