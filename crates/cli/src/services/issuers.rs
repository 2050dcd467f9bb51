//! `[[issuer]]` of the settings: whose ID tokens get certificates from `custos serve`.

use std::path::{Path, PathBuf};

use custos_server::oidc::{IdentityKind, Issuer, KeysFrom};
use serde::Deserialize;

use crate::files::read_bytes;
use crate::report::Failure;

/// Largest key set that is given as a file, in bytes.
const MAX_KEYS: u64 = 1 << 20;

/// An issuer as it stands in the settings.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerEntry {
    url: String,
    #[serde(rename = "type")]
    kind: Kind,
    #[serde(alias = "client_id")]
    audience: Option<String>,
    domain: Option<String>,
    server: Option<String>,
    #[serde(default)]
    allow_unverified: bool,
    keys_url: Option<String>,
    keys_file: Option<PathBuf>,
    #[serde(default)]
    key_hosts: Vec<String>,
}

// The names that Fulcio's configuration uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Email,
    GithubWorkflow,
    GitlabPipeline,
    Kubernetes,
    Spiffe,
    Uri,
    Username,
}

impl IssuerEntry {
    /// Returns the issuer; paths start at `base`.
    pub fn resolve(&self, base: &Path) -> Result<Issuer, Failure> {
        let kind = self.kind()?;
        let keys = match (&self.keys_url, &self.keys_file) {
            (None, None) => KeysFrom::Discovery,
            (Some(url), None) => KeysFrom::Url(url.clone()),
            (None, Some(file)) => KeysFrom::Static(read_bytes(&base.join(file), MAX_KEYS)?),
            (Some(_), Some(_)) => return Err(self.wrong("it has both `keys_url` and `keys_file`")),
        };
        let mut issuer = Issuer::new(self.url.as_str(), kind)
            .with_keys(keys)
            .with_key_hosts(self.key_hosts.clone());
        if let Some(audience) = &self.audience {
            issuer = issuer.with_audience(audience.as_str());
        }
        Ok(issuer)
    }

    fn kind(&self) -> Result<IdentityKind, Failure> {
        let domain = || {
            let missing = || self.wrong("this type needs `domain`");
            self.domain.clone().ok_or_else(missing)
        };
        let server = |default: &str| self.server.clone().unwrap_or_else(|| default.to_owned());
        let takes_domain = matches!(self.kind, Kind::Spiffe | Kind::Uri | Kind::Username);
        let takes_server = matches!(self.kind, Kind::GithubWorkflow | Kind::GitlabPipeline);
        if self.domain.is_some() && !takes_domain {
            return Err(self.wrong("`domain` goes with the types uri, username and spiffe"));
        }
        if self.server.is_some() && !takes_server {
            return Err(self.wrong("`server` goes with github-workflow and gitlab-pipeline"));
        }
        if self.allow_unverified && self.kind != Kind::Email {
            return Err(self.wrong("`allow_unverified` goes with the type email"));
        }
        Ok(match self.kind {
            Kind::Email => IdentityKind::Email {
                allow_unverified: self.allow_unverified,
            },
            Kind::GithubWorkflow => IdentityKind::Github {
                url: server("https://github.com"),
            },
            Kind::GitlabPipeline => IdentityKind::Gitlab {
                url: server("https://gitlab.com"),
            },
            Kind::Kubernetes => IdentityKind::Kubernetes,
            Kind::Spiffe => IdentityKind::Spiffe {
                trust_domain: domain()?,
            },
            Kind::Uri => IdentityKind::Uri { domain: domain()? },
            Kind::Username => IdentityKind::UserName { domain: domain()? },
        })
    }

    fn wrong(&self, why: &str) -> Failure {
        Failure::usage("E0011", format!("issuer `{}` is not accepted", self.url)).because(why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(text: &str) -> Result<Issuer, Failure> {
        let entry: IssuerEntry = toml::from_str(text).unwrap();
        entry.resolve(Path::new("/nowhere"))
    }

    #[test]
    fn each_type_takes_what_it_needs_and_nothing_else() {
        let url = "url = \"https://i.example\"\n";
        let people = resolve(&format!("{url}type = \"email\"\nclient_id = \"me\"\n")).unwrap();
        assert_eq!(people.audience, "me");
        assert_eq!(
            people.kind,
            IdentityKind::Email {
                allow_unverified: false
            }
        );
        let github = resolve(&format!("{url}type = \"github-workflow\"\n")).unwrap();
        assert_eq!(github.audience, "sigstore");
        assert_eq!(
            github.kind,
            IdentityKind::Github {
                url: "https://github.com".to_owned()
            }
        );
        for bad in [
            "type = \"uri\"\n",
            "type = \"email\"\ndomain = \"x\"\n",
            "type = \"kubernetes\"\nserver = \"https://x\"\n",
            "type = \"kubernetes\"\nallow_unverified = true\n",
            "type = \"email\"\nkeys_url = \"https://x/k\"\nkeys_file = \"k\"\n",
        ] {
            let failure = resolve(&format!("{url}{bad}")).unwrap_err();
            assert_eq!(failure.code(), "E0011", "{bad}");
        }
        assert!(toml::from_str::<IssuerEntry>(&format!("{url}type = \"any\"\n")).is_err());
    }
}
