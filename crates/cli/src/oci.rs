//! Images and models in container registries, for `sign`, `attest` and `verify`.
//!
//! What is signed and verified is always a digest. A tag is looked up once, and what it stands for
//! is shown: whoever may write to the repository decides what it stands for tomorrow.

mod access;
mod attach;
mod find;
mod older;
mod verify;

use std::io::ErrorKind;
use std::path::Path;

use custos_connect::oci::{
    Fetched, MODELPACK, Manifest, ManifestError, OciError, Reference, Repository,
};
use custos_core::digest::DigestSet;
use custos_core::json;
use custos_core::limits::Limits;
use custos_net::Class;
use serde_json::Value;

use crate::artifacts::Artifact;
use crate::context::Context;
use crate::exit::Exit;
use crate::report::Failure;
use crate::settings::Settings;
use crate::term::{Role, count, visible};

pub use access::RegistryEntry;
pub use attach::sign;
pub use verify::run as verify;

/// Largest configuration of a model that is looked into for its name, in bytes.
const MAX_CONFIG: u64 = 1 << 20;
/// Most file names of a model that are shown.
const SHOWN_FILES: usize = 5;

/// Returns the reference that `text` is, or `None` where it is something else. Behind `oci://`
/// stands nothing else. Without it, only what names its registry and a digest is a reference, and
/// only where no file has that name.
pub fn named(text: &str, context: &Context) -> Result<Option<Reference>, Failure> {
    if !text.starts_with("oci://") {
        let path = context.resolve(Path::new(text));
        let nothing_there = path.symlink_metadata().is_err_and(|error| {
            matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
        });
        if !(nothing_there && Reference::is_explicit(text)) {
            return Ok(None);
        }
    }
    text.parse().map(Some).map_err(|error| {
        Failure::usage("E0901", "this names nothing in a registry")
            .at(text)
            .because(format!("{error}"))
            .help("write oci://HOST/NAME@sha256:DIGEST, or oci://HOST/NAME:TAG")
    })
}

/// Returns the artifact that `text` names by digest in a registry, without asking the registry.
pub fn by_digest(text: &str, context: &Context) -> Result<Option<Artifact>, Failure> {
    let Some(reference) = named(text, context)? else {
        return Ok(None);
    };
    let digest = reference.digest().ok_or_else(|| {
        Failure::usage("E0901", "a tag may stand for anything")
            .at(text)
            .help("name the digest: oci://HOST/NAME@sha256:DIGEST")
    })?;
    Ok(Some(Artifact {
        name: reference.name(),
        digest: DigestSet::from(*digest),
        path: None,
    }))
}

/// Something in a registry, fetched and checked.
#[derive(Debug)]
pub struct Image {
    repository: Repository,
    fetched: Fetched,
}

impl Image {
    /// Returns what `text` names in a registry; `None` if it is something else.
    pub fn find(
        text: &str,
        settings: &Settings,
        context: &Context,
    ) -> Result<Option<Self>, Failure> {
        match named(text, context)? {
            Some(reference) => Self::fetch(&reference, settings, context).map(Some),
            None => Ok(None),
        }
    }

    /// Fetches what `reference` names. What a tag stands for is said.
    pub fn fetch(
        reference: &Reference,
        settings: &Settings,
        context: &Context,
    ) -> Result<Self, Failure> {
        let repository = access::open(reference, settings, context)?;
        let fetched = repository
            .resolve()
            .map_err(|error| failure(&error, reference))?;
        let image = Self {
            repository,
            fetched,
        };
        if reference.digest().is_none() {
            context.term.warn(&format!(
                "the tag of {reference} stands for {} now; name the digest to mean just that",
                image.fetched.descriptor.digest
            ));
        }
        Ok(image)
    }

    /// Returns it as an artifact.
    pub fn artifact(&self) -> Artifact {
        Artifact {
            name: self.name(),
            digest: DigestSet::from(self.fetched.descriptor.digest),
            path: None,
        }
    }

    /// Returns registry and repository.
    fn name(&self) -> String {
        self.repository.reference().name()
    }

    /// Returns the repository, and what it gave.
    pub fn into_parts(self) -> (Repository, Fetched) {
        (self.repository, self.fetched)
    }

    /// Returns the reference by digest.
    pub fn reference(&self) -> Reference {
        let digest = self.fetched.descriptor.digest;
        self.repository.reference().at(digest)
    }

    /// Returns a line that says what it is, as it says itself.
    fn describe(&self, context: &Context) -> String {
        let said = match &self.fetched.manifest {
            Manifest::Index { manifests, .. } => {
                let platforms: Vec<String> = manifests
                    .iter()
                    .filter_map(|one| one.platform.as_ref().map(ToString::to_string))
                    .collect();
                let number = u64::try_from(manifests.len()).unwrap_or(u64::MAX);
                format!(
                    "index    {} {}",
                    count(number, "manifest"),
                    platforms.join(" ")
                )
            }
            Manifest::Image {
                artifact_type,
                layers,
                ..
            } if artifact_type == MODELPACK => {
                let files: Vec<&str> = layers
                    .iter()
                    .filter_map(|layer| layer.annotation("org.cncf.model.filepath"))
                    .take(SHOWN_FILES)
                    .collect();
                let number = u64::try_from(layers.len()).unwrap_or(u64::MAX);
                let name = self.model_name().unwrap_or_else(|| "no name".to_owned());
                let layers = count(number, "layer");
                format!("model    {name} ({layers}: {})", files.join(", "))
            }
            Manifest::Image { artifact_type, .. } => format!("kind     {artifact_type}"),
            _ => return String::new(),
        };
        context
            .term
            .paint(Role::Faint, visible(said.trim_end()).as_str())
            + "\n"
    }

    // The name in the model's configuration; nobody vouches for it but who signed the manifest.
    fn model_name(&self) -> Option<String> {
        let Manifest::Image { config, .. } = &self.fetched.manifest else {
            return None;
        };
        if config.size > MAX_CONFIG {
            return None;
        }
        let bytes = self.repository.blob(config).ok()?;
        let config: Value = json::from_slice(&bytes, &Limits::SMALL).ok()?;
        let name = config.get("descriptor")?.get("name")?.as_str()?;
        Some(name.chars().take(100).collect())
    }
}

/// Returns an error of a registry as people see it.
fn failure(error: &OciError, reference: &Reference) -> Failure {
    let (code, exit, what) = match error {
        OciError::NotFound { .. } => ("E0905", Exit::Usage, "the registry has no such thing"),
        OciError::Denied { .. } => ("E0903", Exit::Undecided, "the registry does not allow it"),
        OciError::Credentials(_) => (
            "E0910",
            Exit::Undecided,
            "credentials for the registry could not be had",
        ),
        OciError::FallbackLost { .. } => (
            "E0908",
            Exit::Undecided,
            "the registry's list of signatures does not keep this one",
        ),
        OciError::Digest { .. }
        | OciError::Size { .. }
        | OciError::Manifest {
            fault: ManifestError::TwoKinds,
            ..
        } => ("E0904", Exit::No, "the registry sent something else"),
        _ => (
            "E0902",
            Exit::Undecided,
            "the registry gave no usable answer",
        ),
    };
    let failure = Failure::new(code, exit, what)
        .at(reference.to_string())
        .because(error.to_string());
    let host = reference.registry();
    if error.is_guarded() {
        return failure.help(format!(
            "if that is where {host} should send us, list it as `also` of its [[registry]] in custos.toml"
        ));
    }
    match error {
        OciError::Credentials(_) => failure.help(format!(
            "mend what is named here, or log in anew: `docker login {host}` or `podman login {host}`"
        )),
        OciError::Denied { asked: false, .. } => failure.help(format!(
            "`docker login {host}` or `podman login {host}` leaves credentials where Custos finds them"
        )),
        _ if error.class() == Class::Undecided => failure.help("try again later"),
        _ => failure,
    }
}
