//! Artifacts as people name them: a local path that is hashed here, or a digest.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use custos_core::artifact::ArtifactRef;
use custos_core::bundle::Bundle;
use custos_core::digest::{Algorithm, Digest, DigestSet};
use custos_provenance::cache::Cache;
use custos_provenance::hash::{self, HashError, HashOptions, Progress};
use custos_provenance::tree::TreeError;

use crate::context::Context;
use crate::files::shown;
use crate::progress::Bar;
use crate::report::Failure;

/// Bytes that are read at once.
const CHUNK: usize = 1 << 20;

/// An artifact that was found.
#[derive(Debug)]
pub struct Artifact {
    /// A name for people: the path's last part, or the short digest.
    pub name: String,
    /// Its digests.
    pub digest: DigestSet,
    /// Where it lies, if it does.
    pub path: Option<PathBuf>,
}

impl Artifact {
    /// Returns a name for files about it: the path's last part, or the whole digest.
    pub fn file_stem(&self) -> String {
        let digest = self.digest.get(custos_core::digest::Algorithm::Sha256);
        match (&self.path, digest) {
            (None, Some(digest)) => digest.to_string().replace(':', "-"),
            _ => self.name.clone(),
        }
    }
}

/// Finds what `text` names, and hashes it if it is a path. What belongs to its own signature is
/// left out: `model.sig` in a folder.
pub fn find(text: &str, context: &Context) -> Result<Artifact, Failure> {
    if let Some(artifact) = crate::oci::by_digest(text, context)? {
        return Ok(artifact);
    }
    match parse(text)? {
        ArtifactRef::Digest(digest) => Ok(Artifact {
            name: digest.short(),
            digest: DigestSet::from(digest),
            path: None,
        }),
        ArtifactRef::Path(path) => at(&context.resolve(Path::new(&path)), context),
        other => Err(unsupported(&other, "a local path or a digest (sha256:...)")),
    }
}

/// Returns the local path that `text` names, where there is something.
pub fn local_path(text: &str, context: &Context) -> Result<PathBuf, Failure> {
    match parse(text)? {
        ArtifactRef::Path(path) => {
            let path = context.resolve(Path::new(&path));
            match path.symlink_metadata() {
                Ok(_) => Ok(path),
                Err(error) => Err(Failure::io(shown(&path), &error)),
            }
        }
        other => Err(unsupported(&other, "a local path")),
    }
}

/// Returns the signature of the artifact at `path`: `named`, or the one beside it. `None` if
/// nobody named one and there is none.
pub fn signature(
    path: &Path,
    named: Option<&Path>,
    context: &Context,
) -> Result<Option<PathBuf>, Failure> {
    if let Some(named) = named {
        return Ok(Some(context.resolve(named)));
    }
    let beside = signature_path(path);
    match beside.symlink_metadata() {
        Ok(_) => Ok(Some(beside)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        // One that cannot be seen is not one that is not there.
        Err(error) => Err(Failure::io(shown(&beside), &error)),
    }
}

/// Returns the digests of the file or digest that `text` names, with the one that the signature in
/// `bundle` says it is over: that of a P-384 key is SHA-384.
pub fn find_signed(text: &str, bundle: &[u8], context: &Context) -> Result<Artifact, Failure> {
    let mut artifact = find(text, context)?;
    let claimed = Bundle::parse(bundle).ok();
    let claimed = claimed.and_then(|bundle| bundle.message_signature?.algorithm());
    if let (Some(path), Some(algorithm)) = (&artifact.path, claimed)
        && path.is_file()
        && artifact.digest.get(algorithm).is_none()
    {
        artifact
            .digest
            .insert(&file_digest(path, algorithm, context)?);
    }
    Ok(artifact)
}

/// Returns the digest of a file's bytes, by the hash that a signature scheme needs.
pub fn file_digest(
    path: &Path,
    algorithm: Algorithm,
    context: &Context,
) -> Result<Digest, Failure> {
    let io = |error: std::io::Error| Failure::io(shown(path), &error);
    let mut file = File::open(path).map_err(io)?;
    let before = file.metadata().map_err(io)?;
    let bar = Bar::bytes(&context.term, "hashing");
    bar.total(before.len());
    let mut hasher = algorithm.hasher();
    let mut buffer = vec![0; CHUNK];
    loop {
        let count = match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(io(error)),
        };
        hasher.update(buffer.get(..count).unwrap_or_default());
        bar.add(u64::try_from(count).unwrap_or_default());
    }
    let after = file.metadata().map_err(io)?;
    // Signed is one content that the file once had as a whole, or nothing.
    if (before.len(), before.modified().ok()) != (after.len(), after.modified().ok()) {
        return Err(failure(&HashError::ChangedWhileHashing {
            path: shown(path),
        }));
    }
    Ok(hasher.finish())
}

fn parse(text: &str) -> Result<ArtifactRef, Failure> {
    text.parse::<ArtifactRef>().map_err(|error| {
        Failure::usage("E0002", "this names no artifact")
            .at(text)
            .because(error.to_string())
    })
}

fn unsupported(reference: &ArtifactRef, taken: &str) -> Failure {
    Failure::usage("E0012", "this kind of artifact cannot be read here")
        .at(reference.to_string())
        .because(format!("this command takes {taken}"))
        .help("fetch it first, and name its path")
}

fn at(path: &Path, context: &Context) -> Result<Artifact, Failure> {
    let bar = Bar::bytes(&context.term, "hashing");
    let cache = cache(context, false);
    let mut options = HashOptions::default();
    options.cache = cache.as_ref();
    options.tree = left_out(options.tree, path, context);
    let found = hash::artifact_digest(path, &options, &bar).map_err(|error| failure(&error))?;
    Ok(Artifact {
        name: name_of(path),
        digest: found.digest,
        path: Some(path.to_owned()),
    })
}

/// Returns walk options that leave out what is never part of an artifact: its signature beside
/// its files, and the home.
pub fn left_out(
    options: custos_provenance::tree::Options,
    path: &Path,
    context: &Context,
) -> custos_provenance::tree::Options {
    let options = options.leaving_out(signature_path(path));
    match context.home() {
        Ok(home) => options.leaving_out(home.root()),
        Err(_) => options,
    }
}

/// Returns where the signature of an artifact lies unless somebody says otherwise.
pub fn signature_path(path: &Path) -> PathBuf {
    if path.is_dir() {
        return path.join("model.sig");
    }
    let mut text = path.as_os_str().to_owned();
    text.push(".sigstore.json");
    PathBuf::from(text)
}

/// Returns the last part of a path, for people.
pub fn name_of(path: &Path) -> String {
    let last = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    // `.` and `..` have no last part of their own.
    last.or_else(|| {
        let full = path.canonicalize().ok()?;
        Some(full.file_name()?.to_string_lossy().into_owned())
    })
    .unwrap_or_else(|| path.display().to_string())
}

/// Returns the URI of a predicate type, from its name or itself.
pub fn predicate_type(asked: &str) -> Result<&str, Failure> {
    custos_core::predicate::resolve(asked).ok_or_else(|| {
        let names: Vec<&str> = custos_core::predicate::known()
            .iter()
            .map(|kind| kind.name)
            .collect();
        Failure::usage("E0002", format!("`{asked}` is no predicate type"))
            .help(format!("the names are {}", names.join(", ")))
            .help("any other type is written as its URI")
    })
}

/// Opens the digest cache of the home. A cache that cannot be used only costs time.
pub fn cache(context: &Context, unwanted: bool) -> Option<Cache> {
    if unwanted {
        return None;
    }
    let home = context.home().ok()?;
    home.create().ok()?;
    Some(Cache::new(
        home.cache(),
        std::sync::Arc::new(*context.clock()),
    ))
}

/// Returns a hashing error as people see it.
pub fn failure(error: &HashError) -> Failure {
    match error {
        HashError::ChangedWhileHashing { path } => {
            Failure::undecided("E0202", "a file changed while it was read")
                .at(path.as_str())
                .help("wait until nothing writes there, and run it again")
        }
        HashError::Tree(TreeError::NotFound { path }) => {
            Failure::usage("E0003", "there is no such file or folder").at(path.as_str())
        }
        HashError::Tree(TreeError::Io { path, errno }) => Failure::io(
            path.as_str(),
            &std::io::Error::from_raw_os_error(errno.raw_os_error()),
        ),
        HashError::Tree(TreeError::PermissionDenied { path }) => {
            Failure::undecided("E0004", "the file or folder cannot be accessed")
                .at(path.as_str())
                .because("permission denied")
        }
        HashError::Tree(tree) => Failure::no("E0201", "the folder cannot be signed faithfully")
            .at(tree.path().to_owned())
            .because(tree.to_string())
            .help("remove it; `custos sign` can also leave it out, with --ignore-paths"),
        HashError::Manifest(oms) => {
            Failure::no("E0201", "the artifact has nothing that could be signed")
                .because(oms.to_string())
        }
        HashError::Cancelled => {
            Failure::new("E0001", crate::exit::Exit::Interrupted, "interrupted")
        }
        other => {
            Failure::undecided("E0201", "the artifact cannot be hashed").because(other.to_string())
        }
    }
}

impl Progress for Bar {
    fn begins(&self, bytes: u64, _: u64) {
        self.total(bytes);
    }

    fn advances(&self, bytes: u64, _: u64) {
        self.add(bytes);
    }
}
