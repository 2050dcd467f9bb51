//! Whose signatures are ours: the keys and identities that a watch looks for.

use std::collections::BTreeSet;

use custos_core::crypto::{KeyId, PublicKey};
use custos_core::entry::Verifier;
use custos_core::identity::{Expected, ExpectedSigner, Pattern};
use custos_trust::TrustRoot;
use custos_trust::verify::may_be_expected;

use crate::Failure;
use crate::args::LogWatchArgs;
use crate::context::Context;
use crate::key_life;
use crate::keys::PUBLIC;
use crate::log_signers::{LogSigner, Named};
use crate::trusting;

/// Most keys, and most identities, that are watched for.
const MAX_WATCHED: usize = 1_000;

/// Keys and identities of ours.
#[derive(Debug)]
pub struct Ours {
    keys: BTreeSet<KeyId>,
    names: Vec<Expected>,
    // Tells whose certificates verify here; without one, nobody can say.
    root: Option<TrustRoot>,
}

/// A signature in our name, and whose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// The key, or the subject as the certificate has it.
    pub signer: String,
    /// Of a certificate: who says that it is the subject.
    pub issuer: Option<String>,
    /// Of a certificate: whether it could verify under what is trusted here. Anybody can make one
    /// with any name in it, and a log need not ask.
    pub verifiable: Option<bool>,
}

impl Match {
    /// Returns it for people.
    pub fn told(&self) -> String {
        let mut text = self.signer.clone();
        if let Some(issuer) = &self.issuer {
            text.push_str(&format!(" (of {issuer})"));
        }
        if self.verifiable == Some(false) {
            text.push_str(", by a certificate that nobody trusted here issued");
        }
        text
    }
}

impl Ours {
    /// Returns those that the command line names, else every key of the home and every signer of
    /// the settings.
    pub fn of(args: &LogWatchArgs, context: &Context) -> Result<Self, Failure> {
        let settings = context.settings()?;
        let mut ours = Self {
            keys: BTreeSet::new(),
            names: Vec::new(),
            root: trusting::base(&settings, context).ok(),
        };
        for named in &args.key {
            ours.keys.insert(key_life::key_id(named, context)?);
        }
        let exact = args.certificate_identity.iter().cloned();
        ours.names.extend(exact.map(Expected::Exactly));
        for pattern in &args.certificate_identity_regexp {
            let pattern = Pattern::new(pattern).map_err(|error| {
                Failure::usage("E0002", "the pattern for identities is not accepted")
                    .at(pattern)
                    .because(error.to_string())
            })?;
            ours.names.push(Expected::Matching(pattern));
        }
        if ours.is_nobody() {
            for signer in &settings.signers {
                match signer {
                    ExpectedSigner::Key { key, .. } => {
                        ours.keys.insert(key.id());
                    }
                    ExpectedSigner::Certificate { identity, .. } => {
                        ours.names.push(identity.clone());
                    }
                    _ => {}
                }
            }
            ours.keys.extend(home_keys(context)?);
        }
        ours.names.sort();
        ours.names.dedup();
        ours.checked()
    }

    fn is_nobody(&self) -> bool {
        self.keys.is_empty() && self.names.is_empty()
    }

    fn checked(self) -> Result<Self, Failure> {
        if self.is_nobody() {
            return Err(Failure::usage("E0002", "nobody is watched for")
                .because("the home has no keys, and the settings name no signer")
                .help("pass --key, --certificate-identity or --certificate-identity-regexp"));
        }
        if self.keys.len().max(self.names.len()) > MAX_WATCHED {
            return Err(
                Failure::usage("E0002", "too many signers to watch for").because(format!(
                    "at most {MAX_WATCHED} keys and {MAX_WATCHED} identities"
                )),
            );
        }
        Ok(self)
    }

    /// Returns whom of us an entry is by, if it is by one of us.
    ///
    /// Only the subject is compared, not its issuer: our name in a certificate of another issuer
    /// is something that we want to know of even more.
    pub fn find(&self, signers: &[LogSigner]) -> Option<Match> {
        signers.iter().find_map(|signer| self.matching(signer))
    }

    fn matching(&self, signer: &LogSigner) -> Option<Match> {
        let key = signer.key().map(PublicKey::id);
        let key = key.filter(|id| self.keys.contains(id));
        let LogSigner::Certificate(named) = signer else {
            return key.map(|id| Match {
                signer: format!("key:{}", id.short()),
                issuer: None,
                verifiable: None,
            });
        };
        let is_ours = |name: &&String| self.names.iter().any(|ours| ours.accepts(name));
        let name = named.names.iter().find(is_ours).cloned();
        let name = name.or_else(|| key.map(|id| format!("key:{}", id.short())))?;
        Some(Match {
            verifiable: self.root.as_ref().map(|root| is_verifiable(named, root)),
            signer: name,
            issuer: Some(named.issuer()),
        })
    }
}

// Whether some authority of the root could have issued it, whomever it names.
fn is_verifiable(named: &Named, root: &TrustRoot) -> bool {
    let verifier = Verifier::Certificate(named.certificate.as_der().to_vec());
    let with = |issuer: Option<String>| {
        let subjects = named.names.iter();
        subjects.map(move |name| ExpectedSigner::certificate("", name, issuer.clone()))
    };
    let whoever: Vec<_> = with(None).chain(with(named.oidc_issuer.clone())).collect();
    may_be_expected(&verifier, root, &whoever)
}

fn home_keys(context: &Context) -> Result<Vec<KeyId>, Failure> {
    let dir = context.home()?.keys();
    let entries = match std::fs::read_dir(&dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|error| Failure::io(crate::files::shown(&dir), &error))?,
    };
    let files = entries.filter_map(Result::ok).map(|entry| entry.path());
    let public = files.filter(|path| path.extension().is_some_and(|ending| ending == PUBLIC));
    Ok(public
        .filter_map(|path| custos_trust::keys::load_public(&path).ok())
        .map(|key| key.id())
        .collect())
}
