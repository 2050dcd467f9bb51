//! MAR: model archives of `TorchServe`, zip files with a manifest that names the code to run.
//!
//! pytorch/serve, `model-archiver`: `MAR-INF/MANIFEST.json` names the handler (a Python file, or one
//! that is built in), the model, the class file and the requirements. The members themselves are
//! looked at by the parser of zip archives; here it is whether the manifest keeps to them.

use std::collections::BTreeSet;
use std::io::Read;

use custos_core::finding::Location;

use crate::archive::zip::{self, Place, leads_out};
use crate::route::Head;
use crate::rules::{self, Rule};
use crate::source::{Part, read_all};
use crate::text::document::Node;
use crate::text::{json, python};
use crate::work::{Input, Look};

const MANIFEST: &str = "MAR-INF/MANIFEST.json";
/// Largest member that is read here.
const MAX_SIZE: u64 = 4 << 20;

/// Returns true if it is a zip archive with such a manifest.
pub(crate) fn recognises(head: &Head, input: &Input<'_>) -> bool {
    head.starts_with(b"PK")
        && zip::places(input)
            .iter()
            .any(|place| place.name == MANIFEST)
}

/// Compares the manifest with the members.
pub(crate) fn examine(look: &mut Look<'_, '_, '_>) {
    let places = zip::places(look.input);
    for place in places.iter().filter(|place| leads_out(&place.name)) {
        let message = format!("the member `{}` leads out of the archive", place.name);
        see(look, &rules::classic::MAR_PATH, None, message);
    }
    let Some(manifest) = places.iter().find(|place| place.name == MANIFEST) else {
        return;
    };
    let document = bytes(look, manifest).and_then(|bytes| json::parse(&bytes).ok());
    let Some(document) = document else {
        let message = "the manifest cannot be read".to_owned();
        see(look, &rules::classic::MAR_MANIFEST, None, message);
        return;
    };
    for repeated in &document.repeated {
        let message = format!("`{}` is there twice", repeated.pointer);
        let pointer = Some(repeated.pointer.clone());
        see(look, &rules::classic::MAR_MANIFEST, pointer, message);
    }
    let parts = ["model", "workflow"];
    for part in parts.iter().filter_map(|key| document.root.get(key)) {
        named(look, &places, part);
    }
}

// Files that the manifest names.
fn named(look: &mut Look<'_, '_, '_>, places: &[Place], part: &Node) {
    let members: BTreeSet<&str> = places.iter().map(|place| place.name.as_str()).collect();
    let keys = [
        "handler",
        "serializedFile",
        "modelFile",
        "requirementsFile",
        "specFile",
    ];
    for key in keys {
        let Some(name) = part.get(key).and_then(Node::text) else {
            continue;
        };
        // A handler may be followed by the function in it.
        let file = if key == "handler" {
            name.split(':').next().unwrap_or(name)
        } else {
            name
        };
        let pointer = Some(format!("/model/{key}"));
        if leads_out(file) || name.contains("://") {
            let message = format!("the manifest names `{name}` as `{key}`");
            see(look, &rules::classic::MAR_PATH, pointer, message);
            continue;
        }
        // Handlers without an extension are those that the server brings.
        let built_in = key == "handler" && !file.contains('.');
        if !members.contains(file) && !built_in {
            let message = format!("`{name}`, which is `{key}` by the manifest, is not there");
            see(look, &rules::classic::MAR_MISSING, pointer, message);
        }
        let is_program = key == "handler" && !file.to_ascii_lowercase().ends_with(".py");
        if let Some(place) = places.iter().find(|place| is_program && place.name == file)
            && let Some(bytes) = bytes(look, place)
        {
            // Whatever it is called: the server runs it.
            let mut at = look.here();
            at.path = format!("{}!{file}", look.input.path);
            python::examine(look, &at, &String::from_utf8_lossy(&bytes));
        }
    }
}

fn see(look: &mut Look<'_, '_, '_>, rule: &'static Rule, pointer: Option<String>, message: String) {
    let place = Location {
        path: format!("{}!{MANIFEST}", look.input.path),
        pointer,
        ..Location::default()
    };
    let mut finding = rule.finding(place, message);
    if rule.id == rules::classic::MAR_PATH.id {
        finding.cves = vec!["CVE-2023-48299".to_owned()];
    }
    look.work.find(finding);
}

fn bytes(look: &mut Look<'_, '_, '_>, place: &Place) -> Option<Vec<u8>> {
    let part = Part::new(look.input.bytes, place.range.clone());
    if place.range.end.saturating_sub(place.range.start) > MAX_SIZE {
        look.gap(format!("`{}` is larger than is read", place.name));
        return None;
    }
    let Ok(packed) = read_all(&part) else {
        look.gap(format!("`{}` cannot be read", place.name));
        return None;
    };
    if place.method == 0 {
        return Some(packed);
    }
    let mut unpacked = Vec::new();
    let most = MAX_SIZE.saturating_add(1);
    let reader = flate2::read::DeflateDecoder::new(packed.as_slice());
    // What breaks is told by the reader of the archive.
    reader.take(most).read_to_end(&mut unpacked).ok()?;
    if u64::try_from(unpacked.len()).is_ok_and(|size| size > MAX_SIZE) {
        look.gap(format!("`{}` is larger than is read", place.name));
        return None;
    }
    Some(unpacked)
}
