//! `custos attest`: sign and log a statement about an artifact.

use custos_core::json;
use custos_core::limits::Limits;
use custos_core::predicate;
use custos_core::statement::{Statement, Subject};
use custos_trust::signer::Signer;
use serde_json::{Value, json};

use crate::args::AttestArgs;
use crate::artifacts;
use crate::context::Context;
use crate::exit::Exit;
use crate::files::{read_bytes, shown, write_atomic};
use crate::oci::Image;
use crate::recording::{self, Recording};
use crate::term::Role;
use crate::{Failure, Outcome};

/// Largest predicate file, in bytes.
const MAX_PREDICATE: u64 = 96 << 20;

/// Runs the command.
pub fn run(args: &AttestArgs, context: &Context) -> Outcome {
    let settings = context.settings()?;
    let signer = recording::key_signer(&args.key, &settings, context)?;
    let kind = artifacts::predicate_type(&args.predicate_type)?;
    let file = context.resolve(&args.predicate);
    let bytes = read_bytes(&file, MAX_PREDICATE)?;
    let unsound = |why: String| {
        Failure::usage("E0104", "the predicate does not have the shape of its type")
            .at(shown(&file))
            .because(why)
            .help(format!("docs/predicates describes `{kind}`"))
    };
    let value: Value =
        json::from_slice(&bytes, &Limits::STATEMENT).map_err(|e| unsound(e.to_string()))?;
    let image = Image::find(&args.artifact, &settings, context)?;
    let artifact = match &image {
        Some(image) => image.artifact(),
        None => artifacts::find(&args.artifact, context)?,
    };
    let name = args.name.clone().unwrap_or_else(|| artifact.name.clone());
    let subject = Subject::new(name, artifact.digest.clone());
    let statement =
        Statement::new(vec![subject], kind, &value).map_err(|e| unsound(e.to_string()))?;
    predicate::validate(&statement).map_err(|error| unsound(error.to_string()))?;
    let recording = recording(signer, image.is_some(), context)?;
    let recorded = recording.one(statement)?;
    if let Some(bundle) = &args.bundle {
        let file = context.resolve(bundle);
        write_atomic(&file, &recorded.bytes)?;
        recording.note_file(&recorded, &file)?;
    }
    let attached = match &image {
        Some(image) => Some(image.attach(&recorded, kind, context)?),
        None => None,
    };
    let human = format!(
        "attested {}  {kind}\nbundle   {}\nsigner   {}  {}\n",
        context.term.paint(Role::Strong, &artifact.name),
        context
            .term
            .paint(Role::Literal, &recorded.digest.to_string()),
        recording.signer_name(),
        recorded.place(),
    );
    context.term.result(
        &human,
        &json!({
            "schema": "custos.attest/1",
            "artifact": artifact.name,
            "digest": artifact.digest,
            "predicateType": kind,
            "bundle": recorded.digest,
            "keyId": recording.key_id(),
            "logIndex": recorded.index,
            "status": recorded.status(),
            "logBy": recorded.log_by,
            "attached": attached,
        }),
    )?;
    Ok(Exit::Yes)
}

// What is attached to an image is completed by nobody.
fn recording(
    signer: Box<dyn Signer>,
    to_image: bool,
    context: &Context,
) -> Result<Recording<'_>, Failure> {
    if to_image {
        Recording::at_once(signer, context)
    } else {
        Recording::open(signer, context)
    }
}
