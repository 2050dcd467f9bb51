//! Signing in a registry: the statement that cosign 3 signs an image with, logged, and attached
//! where verifiers look for it.

use custos_connect::oci::{
    Attached, Attachment, BUNDLE_TYPE, COSIGN_SIGN, Descriptor, Fetched, Manifest, Reference,
    Repository,
};
use custos_core::crypto::KeyId;
use custos_core::statement::{Statement, Subject};
use serde_json::{Value, json};

use super::{Image, failure, older};
use crate::args::{HashArg, SignArgs};
use crate::context::Context;
use crate::exit::Exit;
use crate::files::write_atomic;
use crate::recording::{self, Recorded, Recording};
use crate::system::Stopwatch;
use crate::term::{Role, visible};
use crate::{Failure, Outcome};

/// Most manifests that are signed together.
const MAX_TARGETS: usize = 256;

/// Signs an image, a model or an index; with `--recursive` every manifest of an index as well.
pub fn sign(reference: &Reference, args: &SignArgs, context: &Context) -> Outcome {
    let clock = Stopwatch::start();
    refuse_options(args)?;
    let settings = context.settings()?;
    let certificates = recording::Certificates {
        leaf: args.certificate.as_deref(),
        chain: args.certificate_chain.as_deref(),
    };
    let signer = recording::signer(&args.key, &certificates, &settings, context)?;
    if args.image.signature_tag {
        older::check(signer.as_ref())?;
    }
    let image = Image::fetch(reference, &settings, context)?;
    let targets = targets(&image, args.image.recursive)?;
    if args.bundle.is_some() && targets.len() > 1 {
        return Err(Failure::usage("E0002", "--bundle holds one signature")
            .because("with --recursive there are several"));
    }
    let statements = targets
        .iter()
        .map(|target| statement(&image, target))
        .collect::<Result<Vec<_>, _>>()?;
    let recording = if args.no_log {
        Recording::unlogged(signer, context)
    } else {
        Recording::at_once(signer, context)?
    };
    let recorded = recording.many(&statements)?;
    if let (Some(file), [one]) = (&args.bundle, recorded.as_slice()) {
        write_atomic(&context.resolve(file), &one.bytes)?;
    }
    let mut done = Vec::new();
    for (target, recorded) in targets.iter().zip(recorded) {
        let attached = attach(
            &image,
            &target.descriptor,
            (&recorded, COSIGN_SIGN),
            context,
        )?;
        let older = args
            .image
            .signature_tag
            .then(|| older::sign(&image, target.descriptor.digest, &recording))
            .transpose()?;
        done.push(Signed {
            target,
            recorded,
            attached,
            older,
        });
    }
    let key = recording.key_id();
    let answer = answer(&image, &done, key, clock);
    context
        .term
        .result(&text(&image, &done, key, context), &answer)?;
    Ok(Exit::Yes)
}

impl Image {
    /// Attaches the bundle of a statement of this type.
    pub fn attach(
        &self,
        recorded: &Recorded,
        kind: &str,
        context: &Context,
    ) -> Result<Value, Failure> {
        let attached = attach(self, &self.fetched.descriptor, (recorded, kind), context)?;
        Ok(json!({
            "image": self.reference().to_string(),
            "referrer": attached.manifest.digest,
            "fallbackTag": attached.fallback_tag,
        }))
    }
}

fn attach(
    image: &Image,
    subject: &Descriptor,
    (recorded, kind): (&Recorded, &str),
    context: &Context,
) -> Result<Attached, Failure> {
    let created = context.now().to_string();
    let attachment = Attachment {
        subject,
        artifact_type: BUNDLE_TYPE,
        bytes: &recorded.bytes,
        annotations: Repository::bundle_annotations(kind, &created),
    };
    image.repository.attach(&attachment).map_err(|error| {
        let failure = failure(&error, &image.repository.reference().at(subject.digest));
        match recorded.index {
            Some(_) => failure
                .because("the statement is signed and logged; it is only not attached")
                .help("run it again when the registry takes it, or pass --bundle FILE to keep it"),
            None => failure,
        }
    })
}

struct Signed<'a> {
    target: &'a Fetched,
    recorded: Recorded,
    attached: Attached,
    /// The tag of the signature in the older form.
    older: Option<String>,
}

// What says something about files has no place here.
fn refuse_options(args: &SignArgs) -> Result<(), Failure> {
    let given = [
        ("--hash", args.hash != HashArg::Sha256),
        ("--shard-size", args.shard_size.is_some()),
        ("--ignore-paths", !args.ignore_paths.is_empty()),
        ("--allow-symlinks", args.allow_symlinks),
    ];
    match given.into_iter().find(|(_, given)| *given) {
        None => Ok(()),
        Some((option, _)) => Err(Failure::usage("E0002", format!("{option} goes with files"))
            .because("in a registry the digest of the manifest is signed")),
    }
}

// The image, and what it holds if all of it is wanted.
fn targets(image: &Image, recursive: bool) -> Result<Vec<Fetched>, Failure> {
    let reference = image.repository.reference();
    let mut targets = vec![image.fetched.clone()];
    let mut next = 0;
    while recursive && next < targets.len() {
        let members = match targets.get(next).map(|target| &target.manifest) {
            Some(Manifest::Index { manifests, .. }) => manifests.clone(),
            _ => Vec::new(),
        };
        for member in members {
            let known = |target: &Fetched| target.descriptor.digest == member.digest;
            if targets.iter().any(known) {
                continue;
            }
            if targets.len() >= MAX_TARGETS {
                return Err(Failure::no("E0904", "the index holds too many manifests")
                    .at(reference.to_string())
                    .because(format!("the limit is {MAX_TARGETS}")));
            }
            let fetched = image
                .repository
                .manifest(&member.digest)
                .map_err(|error| failure(&error, &reference.at(member.digest)))?;
            targets.push(fetched);
        }
        next += 1;
    }
    Ok(targets)
}

fn statement(image: &Image, target: &Fetched) -> Result<Statement, Failure> {
    let subject = Subject::new(image.name(), target.descriptor.digest);
    Statement::new(vec![subject], COSIGN_SIGN, &json!({}))
        .map_err(|error| Failure::internal(&error.to_string()))
}

fn text(image: &Image, done: &[Signed<'_>], key: KeyId, context: &Context) -> String {
    let term = &context.term;
    let mut text = format!(
        "signed   {}\n{}",
        term.paint(Role::Strong, &visible(&image.reference().to_string())),
        image.describe(context)
    );
    for one in done {
        let place = match &one.attached.fallback_tag {
            Some(tag) => format!("listed under the tag {tag}"),
            None => "listed by the registry".to_owned(),
        };
        let log = one
            .recorded
            .index
            .map_or_else(|| "in no log".to_owned(), |index| format!("log #{index}"));
        text.push_str(&format!(
            "bundle   {}  {log}\n         of {}, {place}\n",
            term.paint(Role::Literal, &one.attached.manifest.digest.to_string()),
            one.target.descriptor.digest.short(),
        ));
        if let Some(tag) = &one.older {
            text.push_str(&format!(
                "         and in the older form under the tag {tag}\n"
            ));
        }
    }
    text + &format!("signer   key:{}\n", key.short())
}

fn answer(image: &Image, done: &[Signed<'_>], key: KeyId, clock: Stopwatch) -> Value {
    let list: Vec<Value> = done
        .iter()
        .map(|one| {
            json!({
                "digest": one.target.descriptor.digest,
                "mediaType": one.target.descriptor.media_type,
                "bundle": one.recorded.digest,
                "referrer": one.attached.manifest.digest,
                "fallbackTag": one.attached.fallback_tag,
                "signatureTag": one.older,
                "logIndex": one.recorded.index,
            })
        })
        .collect();
    let first = done.first();
    json!({
        "schema": "custos.sign/1",
        "artifact": image.reference().to_string(),
        "digest": image.artifact().digest,
        "bundle": first.map(|one| one.recorded.digest),
        "keyId": key,
        "logIndex": first.and_then(|one| one.recorded.index),
        "signed": list,
        "seconds": clock.seconds(),
    })
}
