//! `NeMo`: a tar archive with a configuration and a checkpoint.
//!
//! NVIDIA/NeMo, `core/connectors/save_restore_connector.py`: `model_config.yaml`,
//! `model_weights.ckpt`, and what the configuration refers to. The members are looked at by the parser
//! of tar archives; here it is what the archive does to the one that unpacks it.

use crate::archive::zip::leads_out;
use crate::route::Head;
use crate::rules;
use crate::source::{ReadAt, read_full};
use crate::work::{Input, Look};

const BLOCK: u64 = 512;
/// Most members that are listed.
const MAX_MEMBERS: usize = 10_000;

struct Member {
    name: String,
    link: String,
    at: u64,
}

/// Returns true if it is a tar archive with the configuration of a model.
pub(crate) fn recognises(head: &Head, input: &Input<'_>) -> bool {
    let is_tar = head.bytes().get(257..262) == Some(b"ustar");
    is_tar
        && members(input.bytes)
            .iter()
            .any(|member| member.is("model_config.yaml"))
}

/// Looks at names and links.
pub(crate) fn examine(look: &mut Look<'_, '_, '_>) {
    for member in members(look.input.bytes) {
        let (name, link) = (&member.name, &member.link);
        let out = if leads_out(name) {
            Some(format!("the member `{name}` leads out of the archive"))
        } else if leads_out(link) {
            Some(format!("the member `{name}` is a link to `{link}`"))
        } else {
            None
        };
        if let Some(message) = out {
            let mut finding = rules::classic::NEMO_PATH.finding(look.here(), message);
            finding.location.offset = Some(member.at);
            finding.cves = vec!["CVE-2025-23250".to_owned(), "CVE-2025-23360".to_owned()];
            look.work.find(finding);
        }
        if member.is("model_weights.ckpt") {
            let message = format!("`{name}` is restored by unpickling");
            let mut finding = rules::classic::NEMO_CHECKPOINT.finding(look.here(), message);
            finding.location.offset = Some(member.at);
            finding.cves = ["CVE-2025-23249", "CVE-2025-33253", "CVE-2026-24157"]
                .map(str::to_owned)
                .to_vec();
            look.work.find(finding);
        }
    }
}

impl Member {
    fn is(&self, name: &str) -> bool {
        self.name.rsplit('/').next() == Some(name)
    }
}

// Headers as the oldest programs read them; longer names are none of NeMo.
fn members(bytes: &dyn ReadAt) -> Vec<Member> {
    let mut members = Vec::new();
    let mut at = 0_u64;
    while members.len() < MAX_MEMBERS {
        let mut block = [0; 512];
        let count = read_full(bytes, at, &mut block).unwrap_or(0);
        if count < block.len() || block.iter().all(|byte| *byte == 0) {
            break;
        }
        let text = |range: std::ops::Range<usize>| {
            let field = block.get(range).unwrap_or_default();
            let end = field.iter().position(|byte| *byte == 0);
            let field = field.get(..end.unwrap_or(field.len())).unwrap_or_default();
            String::from_utf8_lossy(field).into_owned()
        };
        let digits = text(124..136);
        let Ok(size) = u64::from_str_radix(digits.trim_matches([' ', '\0']), 8) else {
            break;
        };
        members.push(Member {
            name: text(0..100),
            link: text(157..257),
            at,
        });
        let padded = size.div_ceil(BLOCK).saturating_mul(BLOCK);
        at = at.saturating_add(BLOCK).saturating_add(padded);
    }
    members
}
