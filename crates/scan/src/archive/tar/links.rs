//! Links and devices of a tar archive, judged by all of its names together: in the root of a system
//! absolute links are what one expects, and among weights they are not.

use std::collections::BTreeMap;

use crate::archive::zip::{leads_out, link_leads_out};
use crate::rules::{self, Rule};
use crate::work::Look;

/// Most links that are remembered.
const MAX_LINKS: usize = 100_000;
/// Most of them that are told one by one.
const TOLD: usize = 20;
/// Folders that the root of a system has.
const SYSTEM: [&str; 12] = [
    "bin", "boot", "dev", "etc", "home", "lib", "opt", "proc", "root", "sbin", "usr", "var",
];

/// What a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Device,
    Hard,
    Plain,
    Symbolic,
}

/// The links of an archive.
#[derive(Default)]
pub(super) struct Links {
    // By name: where it leads, and where its header is.
    symbolic: BTreeMap<String, (String, u64)>,
    odd: Vec<Odd>,
    left_out: bool,
    // Bits: which folders of a system there are.
    system: u16,
}

struct Odd {
    at: u64,
    message: String,
    rule: &'static Rule,
    // Nothing unusual in the root of a system.
    usual: bool,
}

impl Links {
    /// Adds a member: its name, and where it leads if it is a link.
    pub(super) fn add(&mut self, kind: Kind, (name, to): (&str, &str), at: u64) {
        let name = name.trim_start_matches("./").trim_end_matches('/');
        let first = name.split('/').next().unwrap_or_default();
        if let Some(place) = SYSTEM.iter().position(|folder| *folder == first) {
            self.system |= u32::try_from(place).map_or(0, |place| 1 << place);
        }
        self.through(name, at);
        let (what, out) = match kind {
            Kind::Plain => return,
            Kind::Device => ("a device or pipe", false),
            Kind::Hard => ("a hard link", leads_out(to.trim_start_matches("./"))),
            Kind::Symbolic => ("a symbolic link", link_leads_out(name, to)),
        };
        if kind == Kind::Symbolic {
            if self.symbolic.len() < MAX_LINKS {
                self.symbolic.insert(name.to_owned(), (to.to_owned(), at));
            } else {
                self.left_out = true;
            }
        }
        if !out && kind != Kind::Device {
            return;
        }
        let message = if kind == Kind::Device {
            format!("`{name}` is {what}")
        } else {
            format!("`{name}` is {what} to `{to}`, which is outside of the archive")
        };
        let rule = if kind == Kind::Device {
            &rules::archive::ARCHIVE_LINK
        } else {
            &rules::archive::ARCHIVE_PATH
        };
        let usual = kind == Kind::Device || kind == Kind::Symbolic && to.starts_with('/');
        self.push(Odd {
            at,
            message,
            rule,
            usual,
        });
    }

    // A member that is written through a link of the same archive.
    fn through(&mut self, name: &str, at: u64) {
        if self.symbolic.is_empty() {
            return;
        }
        let folders = name.match_indices('/').map(|(end, _)| name.get(..end));
        let link = folders
            .flatten()
            .find_map(|folder| self.symbolic.get_key_value(folder));
        if let Some((link, (to, _))) = link
            && link_leads_out(link, to)
        {
            let message = format!("`{name}` is written through the link `{link}` to `{to}`");
            self.push(Odd {
                at,
                message,
                rule: &rules::archive::ARCHIVE_PATH,
                usual: false,
            });
        }
    }

    fn push(&mut self, odd: Odd) {
        if self.odd.len() < MAX_LINKS {
            self.odd.push(odd);
        } else {
            self.left_out = true;
        }
    }

    /// Tells what is odd about them.
    pub(super) fn judge(self, look: &mut Look<'_, '_, '_>) {
        let is_system = self.system.count_ones() >= 3;
        let odd = self.odd.iter().filter(|odd| !(odd.usual && is_system));
        let mut count = 0_usize;
        for odd in odd {
            count = count.saturating_add(1);
            if count <= TOLD {
                look.see(odd.rule, odd.at, odd.message.clone());
            }
        }
        if count > TOLD {
            let more = count.saturating_sub(TOLD);
            let message = format!("{more} more links or devices are like these");
            look.see(&rules::archive::ARCHIVE_LINK, None, message);
        }
        if self.left_out {
            look.gap("it has more links than are compared");
        }
    }
}
