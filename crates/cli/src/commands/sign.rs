//! `custos sign`: a folder after OpenSSF Model Signing v1.0, a file itself, as cosign's `sign-blob`
//! does.

use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use custos_core::crypto::KeyKind;
use custos_core::digest::{Algorithm, DigestSet};
use custos_core::oms::TreePath;
use custos_provenance::hash::{self, HashOptions, Hashed};
use custos_provenance::tree::{Links, Options};
use custos_trust::signer::Signer;
use serde_json::json;

use crate::args::{HashArg, SignArgs};
use crate::artifacts::{self, signature_path};
use crate::context::Context;
use crate::exit::Exit;
use crate::files::{shown, write_atomic};
use crate::progress::Bar;
use crate::recording::{self, Recorded, Recording};
use crate::system::Stopwatch;
use crate::term::{Role, count};
use crate::{Failure, Outcome};

/// Runs the command.
pub fn run(args: &SignArgs, context: &Context) -> Outcome {
    if let Some(reference) = crate::oci::named(&args.artifact, context)? {
        return crate::oci::sign(&reference, args, context);
    }
    let clock = Stopwatch::start();
    let settings = context.settings()?;
    let signer = recording::signer(
        &args.key,
        &recording::Certificates {
            leaf: args.certificate.as_deref(),
            chain: args.certificate_chain.as_deref(),
        },
        &settings,
        context,
    )?;
    let path = artifacts::local_path(&args.artifact, context)?;
    let file = args
        .bundle
        .as_ref()
        .map_or_else(|| signature_path(&path), |b| context.resolve(b));
    if !args.oms && path.is_file() {
        refuse_oms_options(args)?;
        let recording = recording(args, signer, context)?;
        if let Some(dir) = &args.batch {
            return super::batch::sign(args, (&path, dir), &recording, context);
        }
        return sign_file(&path, &file, &recording, context);
    }
    if args.batch.is_some() {
        return Err(
            Failure::usage("E0002", "--batch takes a file with a list of digests")
                .at(shown(&path))
                .help("`sha256sum FILE... > LIST` writes one"),
        );
    }
    let hashed = hash(args, context, &path, &file)?;
    let statement = hashed
        .manifest
        .to_statement(&artifacts::name_of(&path))
        .map_err(|error| {
            Failure::no("E0201", "the artifact cannot be signed").because(error.to_string())
        })?;
    let recording = recording(args, signer, context)?;
    let recorded = recording.one(statement)?;
    write_atomic(&file, &recorded.bytes)?;
    recording.note_file(&recorded, &file)?;
    if recording.kind() == KeyKind::Ed25519 {
        let text = "OpenSSF Model Signing v1.0 knows ECDSA keys only: other clients may not verify this signature";
        context.term.warn(text);
    }
    let done = Done {
        path: &path,
        file: &file,
        hashed: &hashed,
        recorded: &recorded,
    };
    done.report(context, &recording, clock)
}

fn recording<'a>(
    args: &SignArgs,
    signer: Box<dyn Signer>,
    context: &'a Context,
) -> Result<Recording<'a>, Failure> {
    if args.no_log {
        Ok(Recording::unlogged(signer, context))
    } else if args.batch.is_some() {
        // Each proof holds the log entry.
        Recording::at_once(signer, context)
    } else {
        Recording::open(signer, context)
    }
}

// What is said about the list of files has no place in a signature over one file's bytes.
fn refuse_oms_options(args: &SignArgs) -> Result<(), Failure> {
    let given = [
        ("--hash", args.hash != HashArg::Sha256),
        ("--shard-size", args.shard_size.is_some()),
        ("--ignore-paths", !args.ignore_paths.is_empty()),
        ("--allow-symlinks", args.allow_symlinks),
    ];
    match given.iter().find(|(_, given)| *given) {
        None => Ok(()),
        Some((option, _)) => Err(Failure::usage(
            "E0002",
            format!("{option} goes with a list of files"),
        )
        .because("a single file is signed itself, by the hash of the key's scheme")
        .help("add --oms to sign a list with this one file (OpenSSF Model Signing)")),
    }
}

fn sign_file(path: &Path, file: &Path, recording: &Recording<'_>, context: &Context) -> Outcome {
    let clock = Stopwatch::start();
    let digest = artifacts::file_digest(path, recording.algorithm(), context)?;
    let recorded = recording.message(&digest)?;
    write_atomic(file, &recorded.bytes)?;
    recording.note_file(&recorded, file)?;
    let bytes = path.metadata().map(|metadata| metadata.len());
    let human = format!(
        "signed   {} ({})\ndigest   {}\nbundle   {}\n{}",
        context.term.paint(Role::Strong, &artifacts::name_of(path)),
        bytes
            .as_ref()
            .map_or_else(|_| "file".to_owned(), |bytes| count(*bytes, "byte")),
        context.term.paint(Role::Literal, &digest.to_string()),
        context.term.paint(Role::Literal, &shown(file)),
        signed_by(recording, &recorded, context),
    );
    context.term.result(
        &human,
        &json!({
            "schema": "custos.sign/1",
            "artifact": shown(path),
            "digest": DigestSet::from(digest),
            "bundle": shown(file),
            "keyId": recording.key_id(),
            "logIndex": recorded.index,
            "status": recorded.status(),
            "logBy": recorded.log_by,
            "entryUrl": entry_url(recording, &recorded),
            "bytes": bytes.ok(),
            "seconds": clock.seconds(),
        }),
    )?;
    Ok(Exit::Yes)
}

fn signed_by(recording: &Recording<'_>, recorded: &Recorded, context: &Context) -> String {
    let signer = recording.signer_name();
    let Some(index) = recorded.index else {
        return format!("signer   {signer}  {}\n", recorded.place());
    };
    let shows = context
        .term
        .paint(Role::Literal, &format!("custos log get {index}"));
    let url = entry_url(recording, recorded).unwrap_or_default();
    format!("signer   {signer}  log #{index}\nentry    {url}  ({shows})\n")
}

// Where the log is read, and the entry's index in it.
fn entry_url(recording: &Recording<'_>, recorded: &Recorded) -> Option<String> {
    let index = recorded.index?;
    Some(format!("{}#{index}", recording.log_url()?))
}

struct Done<'a> {
    path: &'a Path,
    file: &'a Path,
    hashed: &'a Hashed,
    recorded: &'a Recorded,
}

impl Done<'_> {
    fn report(&self, context: &Context, recording: &Recording<'_>, clock: Stopwatch) -> Outcome {
        let Done {
            path,
            file,
            hashed,
            recorded,
        } = self;
        let root = hashed.manifest.root_digest();
        let human = format!(
            "signed   {} ({}, {})\ndigest   {}\nbundle   {}\n{}",
            context.term.paint(Role::Strong, &artifacts::name_of(path)),
            count(hashed.files, "file"),
            count(hashed.bytes, "byte"),
            context.term.paint(Role::Literal, &root.to_string()),
            context.term.paint(Role::Literal, &shown(file)),
            signed_by(recording, recorded, context),
        );
        for link in &hashed.outside {
            context
                .term
                .warn(&format!("`{link}` leads out of the folder"));
        }
        context.term.result(
            &human,
            &json!({
                "schema": "custos.sign/1",
                "artifact": shown(path),
                "digest": hashed.digest,
                "bundle": shown(file),
                "keyId": recording.key_id(),
                "logIndex": recorded.index,
            "status": recorded.status(),
            "logBy": recorded.log_by,
                "entryUrl": entry_url(recording, recorded),
                "files": hashed.files,
                "filesRead": hashed.files.saturating_sub(hashed.from_cache),
                "bytes": hashed.bytes,
                "seconds": clock.seconds(),
            }),
        )?;
        Ok(Exit::Yes)
    }
}

fn hash(
    args: &SignArgs,
    context: &Context,
    path: &Path,
    file: &PathBuf,
) -> Result<Hashed, Failure> {
    let mut tree = Options::default().leaving_out(file);
    tree = artifacts::left_out(tree, path, context);
    if args.allow_symlinks {
        tree = tree.with_links(Links::Follow);
    }
    for ignored in &args.ignore_paths {
        let path = TreePath::new(ignored.trim_end_matches('/')).map_err(|error| {
            Failure::usage("E0002", format!("`{ignored}` cannot be left out"))
                .because(error.to_string())
                .help("name an exact path inside the folder; there are no patterns")
        })?;
        tree.exclusions.add(&path).map_err(|error| {
            Failure::usage("E0002", format!("`{ignored}` cannot be left out"))
                .because(error.to_string())
        })?;
    }
    let cache = artifacts::cache(context, args.no_cache);
    let mut options = HashOptions::default()
        .with_tree(tree)
        .with_algorithm(match args.hash {
            HashArg::Sha256 => Algorithm::Sha256,
            HashArg::Blake2b => Algorithm::Blake2b,
            HashArg::Blake3 => Algorithm::Blake3,
        });
    if let Some(size) = args.shard_size {
        let size = NonZeroU64::new(size)
            .ok_or_else(|| Failure::usage("E0002", "a shard has at least one byte"))?;
        options = options.with_shards(size);
    }
    options.cache = cache.as_ref();
    let bar = Bar::bytes(&context.term, "hashing");
    hash::manifest(path, &options, &bar).map_err(|error| artifacts::failure(&error))
}
