//! `custos.toml`: who is expected to sign, which logs and authorities are trusted, where the
//! pipeline layout and the policies lie.
//!
//! The nearest `custos.toml` upward is read, then `config.toml` of the home; a project's file
//! wins. Unknown keys are errors, as a misspelt `signer` must not silently trust nobody or
//! anybody.

use std::path::{Path, PathBuf};

use custos_core::crypto::PublicKey;
use custos_core::identity::{Expected, ExpectedSigner, Pattern};
use custos_log::note::VerifierKey;
use serde::Deserialize;

use crate::context::Context;
use crate::files::{read_text, shown};
use crate::home::Home;
use crate::keys::is_name;
use crate::keys::references::is_reference;
use crate::oci::RegistryEntry;
use crate::report::Failure;
use crate::services::issuers::IssuerEntry;

/// Name of a project's settings.
pub const PROJECT_FILE: &str = "custos.toml";
/// Name of the settings in a home.
pub const HOME_FILE: &str = "config.toml";
/// Largest settings file, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// Settings, resolved: every path is absolute, every key is parsed.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Where they were read from, for messages.
    pub file: Option<PathBuf>,
    /// Expected signers, in the order of the file.
    pub signers: Vec<ExpectedSigner>,
    /// Trusted log keys besides the home's own log.
    pub logs: Vec<VerifierKey>,
    /// PEM files of private certificate authorities.
    pub authorities: Vec<PathBuf>,
    /// A Sigstore `trusted_root.json`.
    pub sigstore_root: Option<PathBuf>,
    /// The key that signs when `--key` is not given.
    pub signing_key: Option<String>,
    /// Within how many hours a signature is logged if the log does not take it now; nothing is
    /// signed then without it.
    pub pending_hours: Option<u32>,
    /// The pipeline layout.
    pub layout: Option<PathBuf>,
    /// Names of the signers who may sign the layout.
    pub layout_signers: Vec<String>,
    /// The folder of the gate's policy.
    pub gate_policy: Option<PathBuf>,
    /// The folder of the policy that `run --require` uses by default.
    pub require_policy: Option<PathBuf>,
    /// How registries are reached.
    pub registries: Vec<RegistryEntry>,
    /// Whose ID tokens `custos serve` gives certificates for.
    pub issuers: Vec<IssuerEntry>,
    /// A Sigstore signing configuration.
    pub signing_config: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    signer: Vec<SignerEntry>,
    #[serde(default)]
    log: Vec<LogEntry>,
    #[serde(default)]
    trust: TrustEntry,
    #[serde(default)]
    signing: SigningEntry,
    pipeline: Option<PipelineEntry>,
    #[serde(default)]
    policy: PolicyEntry,
    #[serde(default)]
    registry: Vec<RegistryEntry>,
    #[serde(default)]
    issuer: Vec<IssuerEntry>,
    #[serde(default)]
    sigstore: SigstoreEntry,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SignerEntry {
    name: String,
    key: Option<PathBuf>,
    identity: Option<String>,
    identity_regexp: Option<String>,
    issuer: Option<String>,
    issuer_regexp: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LogEntry {
    key: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TrustEntry {
    #[serde(default)]
    authorities: Vec<PathBuf>,
    sigstore_root: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct SigningEntry {
    key: Option<String>,
    pending_hours: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PipelineEntry {
    layout: PathBuf,
    signers: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyEntry {
    gate: Option<PathBuf>,
    require: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct SigstoreEntry {
    signing_config: Option<PathBuf>,
}

impl Settings {
    /// Reads the settings that apply in `cwd`.
    pub fn find(cwd: &Path, home: Option<&Home>) -> Result<Self, Failure> {
        match place(cwd, home) {
            Some(file) => Self::read(&file),
            None => Ok(Self::default()),
        }
    }

    /// Returns the file that applies in the working folder, or the one that a project would have.
    pub fn file_for(context: &Context) -> PathBuf {
        place(context.cwd(), context.home().ok().as_ref())
            .unwrap_or_else(|| context.resolve(Path::new(PROJECT_FILE)))
    }

    /// Reads one settings file; paths in it are relative to its folder.
    pub fn read(file: &Path) -> Result<Self, Failure> {
        let text = read_text(file, MAX_BYTES)?;
        Self::parse(&text, file)
    }

    fn parse(text: &str, file: &Path) -> Result<Self, Failure> {
        let parsed: File = toml::from_str(text).map_err(|error| {
            Failure::usage("E0011", "the settings are not accepted")
                .at(place_of(file, text, &error))
                .because(error.message())
                .help("every key is listed in docs/reference/settings.md")
        })?;
        let base = file.parent().unwrap_or(Path::new("."));
        let signers = parsed
            .signer
            .into_iter()
            .map(|entry| entry.resolve(base, file))
            .collect::<Result<Vec<_>, _>>()?;
        reject_duplicates(&signers, file)?;
        let logs = parsed
            .log
            .iter()
            .map(|entry| {
                entry.key.parse().map_err(|error| {
                    Failure::usage("E0011", "a trusted log key is not accepted")
                        .at(shown(file))
                        .because(format!("{error}"))
                        .help("`custos log key` prints the key of a log in the form that goes here")
                })
            })
            .collect::<Result<Vec<VerifierKey>, Failure>>()?;
        let (layout, layout_signers) = match parsed.pipeline {
            Some(entry) => (Some(base.join(entry.layout)), entry.signers),
            None => (None, Vec::new()),
        };
        let settings = Self {
            file: Some(file.to_owned()),
            signers,
            logs,
            authorities: parsed
                .trust
                .authorities
                .iter()
                .map(|path| base.join(path))
                .collect(),
            sigstore_root: parsed.trust.sigstore_root.map(|path| base.join(path)),
            signing_key: parsed.signing.key.map(|key| {
                if is_name(&key) || is_reference(&key) {
                    key
                } else {
                    shown(&base.join(key))
                }
            }),
            pending_hours: parsed.signing.pending_hours,
            layout,
            layout_signers,
            gate_policy: parsed.policy.gate.map(|path| base.join(path)),
            require_policy: parsed.policy.require.map(|path| base.join(path)),
            registries: parsed.registry,
            issuers: parsed.issuer,
            signing_config: parsed.sigstore.signing_config.map(|path| base.join(path)),
        };
        settings.check_layout_signers(file)?;
        Ok(settings)
    }

    /// Returns the expected signer of this name.
    pub fn signer(&self, name: &str) -> Option<&ExpectedSigner> {
        self.signers.iter().find(|signer| signer.name() == name)
    }

    fn check_layout_signers(&self, file: &Path) -> Result<(), Failure> {
        if self.layout.is_some() && self.layout_signers.is_empty() {
            return Err(
                Failure::usage("E0011", "nobody may sign the pipeline layout")
                    .at(format!("{}: [pipeline] signers", file.display()))
                    .help("name at least one [[signer]] there"),
            );
        }
        match self
            .layout_signers
            .iter()
            .find(|name| self.signer(name).is_none())
        {
            Some(name) => Err(
                Failure::usage("E0011", format!("no signer is called `{name}`"))
                    .at(format!("{}: [pipeline] signers", file.display()))
                    .help("add a [[signer]] of that name"),
            ),
            None => Ok(()),
        }
    }
}

// Whatever is there by that name is taken, also if it cannot be read: settings that are passed
// over would change who is trusted.
fn place(cwd: &Path, home: Option<&Home>) -> Option<PathBuf> {
    let there = |file: &PathBuf| file.symlink_metadata().is_ok();
    cwd.ancestors()
        .map(|dir| dir.join(PROJECT_FILE))
        .find(there)
        .or_else(|| home.map(|home| home.root().join(HOME_FILE)).filter(there))
}

impl SignerEntry {
    fn resolve(self, base: &Path, file: &Path) -> Result<ExpectedSigner, Failure> {
        let wrong = |why: &str| {
            Failure::usage("E0011", format!("signer `{}` is not accepted", self.name))
                .at(shown(file))
                .because(why)
                .help("a signer has either `key = \"FILE.pub\"`, or `identity` or `identity_regexp` (with `issuer` or `issuer_regexp` for keyless)")
        };
        if self.name.is_empty() {
            return Err(wrong("its name is empty"));
        }
        let identity = expected(self.identity.as_deref(), self.identity_regexp.as_deref())
            .map_err(|why| wrong(&format!("its identity: {why}")))?;
        let issuer = expected(self.issuer.as_deref(), self.issuer_regexp.as_deref())
            .map_err(|why| wrong(&format!("its issuer: {why}")))?;
        match (&self.key, identity) {
            (Some(_), None) if issuer.is_some() => Err(wrong("`issuer` goes with `identity`")),
            (Some(path), None) if path.to_str().is_some_and(is_reference) => Err(wrong(
                "a key service is asked only where the command line names it; \
                 `custos keys public` prints its public key for a file",
            )),
            (Some(path), None) => {
                let path = base.join(path);
                let text = read_text(&path, 64 << 10).map_err(|failure| {
                    failure.help(format!(
                        "{} names it for signer `{}`",
                        shown(file),
                        self.name
                    ))
                })?;
                let key = PublicKey::from_pem(&text)
                    .map_err(|error| wrong(&error.to_string()).at(shown(&path)))?;
                Ok(ExpectedSigner::key(self.name, key))
            }
            (None, Some(identity)) => Ok(ExpectedSigner::matching(&self.name, identity, issuer)),
            (Some(_), Some(_)) => Err(wrong("it has both a key and an identity")),
            (None, None) => Err(wrong("it has neither a key nor an identity")),
        }
    }
}

// A name to the letter, or a pattern for it.
fn expected(exact: Option<&str>, pattern: Option<&str>) -> Result<Option<Expected>, String> {
    match (exact, pattern) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err("it is given both exactly and by a pattern".to_owned()),
        (Some(""), None) => Err("it is empty".to_owned()),
        (Some(exact), None) => Ok(Some(Expected::Exactly(exact.to_owned()))),
        (None, Some(pattern)) => Pattern::new(pattern)
            .map(|pattern| Some(Expected::Matching(pattern)))
            .map_err(|error| error.to_string()),
    }
}

fn reject_duplicates(signers: &[ExpectedSigner], file: &Path) -> Result<(), Failure> {
    let mut seen = std::collections::HashSet::new();
    match signers.iter().find(|signer| !seen.insert(signer.name())) {
        Some(signer) => Err(Failure::usage(
            "E0011",
            format!("two signers are called `{}`", signer.name()),
        )
        .at(shown(file))),
        None => Ok(()),
    }
}

fn place_of(file: &Path, text: &str, error: &toml::de::Error) -> String {
    match error.span().and_then(|span| text.get(..span.start)) {
        Some(before) => {
            let line = before.matches('\n').count().saturating_add(1);
            format!("{}:{line}", file.display())
        }
        None => shown(file),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use custos_core::crypto::{KeyKind, KeyPair};

    fn parse(text: &str) -> Result<Settings, Failure> {
        Settings::parse(text, Path::new("/nowhere/custos.toml"))
    }

    #[test]
    fn unknown_keys_are_errors_with_their_line() {
        let failure = parse("[signing]\nkey = \"a\"\nkeey = \"b\"\n").unwrap_err();
        assert_eq!(failure.code(), "E0011");
        assert!(
            failure
                .render(None, &|_, t| t.to_owned())
                .contains("custos.toml:3")
        );
    }

    #[test]
    fn a_signer_is_a_key_or_an_identity() {
        let both = "[[signer]]\nname = \"a\"\nkey = \"k\"\nidentity = \"i\"\n";
        assert_eq!(parse(both).unwrap_err().code(), "E0011");
        assert_eq!(
            parse("[[signer]]\nname = \"a\"\n").unwrap_err().code(),
            "E0011"
        );
        let twice = "[[signer]]\nname = \"a\"\nidentity = \"i\"\n".repeat(2);
        assert!(parse(&twice).unwrap_err().what().contains("two signers"));
    }

    #[test]
    fn an_identity_may_be_a_pattern_that_does_not_fit_everybody() {
        let signer = |lines: &str| parse(&format!("[[signer]]\nname = \"a\"\n{lines}\n"));
        let settings = signer(
            "identity_regexp = 'https://github.com/acme/.+@refs/tags/v.+'\n\
             issuer = 'https://token.actions.githubusercontent.com'",
        )
        .unwrap();
        assert!(
            settings
                .signer("a")
                .unwrap()
                .to_string()
                .contains("/https://github.com/acme/")
        );
        for wrong in [
            "identity_regexp = '.*'",
            "identity_regexp = ''",
            "identity_regexp = '('",
            "identity = ''",
            "identity = 'a'\nidentity_regexp = 'a'",
            "identity = 'a'\nissuer_regexp = '.+'",
            "issuer_regexp = 'https://a.org'",
        ] {
            assert_eq!(signer(wrong).unwrap_err().code(), "E0011", "{wrong}");
        }
    }

    #[test]
    fn keys_are_read_relative_to_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let pair = KeyPair::generate(KeyKind::P256).unwrap();
        std::fs::write(dir.path().join("a.pub"), pair.public_key().to_pem()).unwrap();
        let file = dir.path().join(PROJECT_FILE);
        std::fs::write(
            &file,
            "[[signer]]\nname = \"a\"\nkey = \"a.pub\"\n\
            [pipeline]\nlayout = \"p.toml\"\nsigners = [\"a\"]\n",
        )
        .unwrap();
        let settings = Settings::read(&file).unwrap();
        assert_eq!(settings.signer("a").unwrap().name(), "a");
        assert_eq!(settings.layout, Some(dir.path().join("p.toml")));
    }

    #[test]
    fn layout_signers_must_exist() {
        let text = "[pipeline]\nlayout = \"p.toml\"\nsigners = [\"ghost\"]\n";
        assert!(parse(text).unwrap_err().what().contains("ghost"));
        let text = "[pipeline]\nlayout = \"p.toml\"\nsigners = []\n";
        assert!(parse(text).unwrap_err().what().contains("nobody"));
    }
}
