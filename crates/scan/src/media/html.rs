//! HTML (WHATWG, HTML Living Standard): pages, such as reports and model cards.
//!
//! Tags are read one after another, without a tree. A page that is opened runs its scripts: that is
//! what pages do, and worth knowing. What runs where nobody looks for it (a handler of an image that
//! cannot be loaded, an address that is a script, text that is decoded and run) is told apart.

use custos_core::finding::{Location, Severity};

use super::svg::{attributes, tag};
use crate::route::Head;
use crate::rules;
use crate::source::read_all;
use crate::text;
use crate::work::{Input, Look};

/// Largest page that is read.
const MAX: u64 = 32 << 20;
/// What fragments of pages begin with.
const FRAGMENTS: [&str; 16] = [
    "html", "head", "body", "div", "p", "script", "style", "table", "section", "h1", "h2", "meta",
    "link", "title", "span", "main",
];
/// Handlers that run without anybody doing anything.
const BY_ITSELF: [&str; 6] = [
    "onerror",
    "onload",
    "onanimationstart",
    "ontoggle",
    "onfocus",
    "onpageshow",
];

/// Returns true for a page; a fragment needs the name of one as well.
pub(super) fn recognises(head: &Head, input: &Input<'_>) -> bool {
    if head.bytes().contains(&0) {
        return false;
    }
    let text = String::from_utf8_lossy(head.bytes()).to_ascii_lowercase();
    let mut rest = text.trim_start_matches('\u{feff}').trim_start();
    while let Some(comment) = rest.strip_prefix("<!--") {
        rest = comment
            .split_once("-->")
            .map_or("", |(_, rest)| rest)
            .trim_start();
    }
    if rest.starts_with("<!doctype html") {
        return true;
    }
    if let Some(declared) = rest.strip_prefix("<?xml") {
        let (_, after) = declared.split_once("?>").unwrap_or_default();
        rest = after.trim_start();
        if rest.starts_with("<!doctype html") {
            return true;
        }
    }
    let name = name_of(rest);
    let named = matches!(input.extension().as_str(), "html" | "htm" | "xhtml");
    name == "html" || named && FRAGMENTS.contains(&name.as_str())
}

fn name_of(tag: &str) -> String {
    let name = tag.strip_prefix('<').unwrap_or_default();
    let name = name.chars().take_while(char::is_ascii_alphanumeric);
    name.map(|c| c.to_ascii_lowercase()).collect()
}

/// Looks at all tags.
pub(super) fn examine(look: &mut Look<'_, '_, '_>) {
    let size = look.input.bytes.len();
    if size > MAX {
        return look.gap(format!("a page of {size} bytes; at most {MAX} are read"));
    }
    let Ok(bytes) = read_all(look.input.bytes) else {
        return look.gap("it cannot be read");
    };
    let text = String::from_utf8_lossy(&bytes);
    let mut page = Page {
        look,
        told: Vec::new(),
    };
    let mut at = 0;
    while let Some(rest) = text.get(at..)
        && let Some(open) = rest.find('<')
    {
        let start = at.saturating_add(open);
        let from = text.get(start..).unwrap_or_default();
        let end = if from.starts_with("<!--") {
            from.find("-->")
                .map_or(from.len(), |end| end.saturating_add(3))
        } else if from.starts_with("</") || from.starts_with("<!") {
            from.find('>')
                .map_or(from.len(), |end| end.saturating_add(1))
        } else if from
            .get(1..)
            .is_some_and(|c| c.starts_with(|c: char| c.is_ascii_alphabetic()))
        {
            let end = tag(from);
            let (tag, after) = from.split_at_checked(end).unwrap_or((from, ""));
            page.tag(start, tag);
            end.saturating_add(page.content(start, &name_of(tag), after))
        } else {
            1
        };
        at = start.saturating_add(end.max(1));
    }
    let place = Location {
        line: Some(1),
        ..look.here()
    };
    text::inspect(look, &place, &text);
    look.covered.parsed(0..size);
}

struct Page<'l, 'i, 'w, 's> {
    look: &'l mut Look<'i, 'w, 's>,
    // Each kind is told once.
    told: Vec<&'static str>,
}

impl Page<'_, '_, '_, '_> {
    fn tell(&mut self, (what, severity): (&'static str, Severity), (at, shown): (usize, &str)) {
        if self.told.contains(&what) {
            return;
        }
        self.told.push(what);
        let place = Location {
            offset: u64::try_from(at).ok(),
            ..self.look.here()
        };
        let mut finding = rules::media::MEDIA_SCRIPT.finding(place, what);
        finding.severity = severity;
        finding.evidence = Some(text::unicode::show(shown));
        self.look.work.find(finding);
    }

    fn tag(&mut self, at: usize, tag: &str) {
        for (key, value) in attributes(tag) {
            let key = key.to_ascii_lowercase();
            let compact: String = value
                .chars()
                .filter(|c| !c.is_whitespace() && !c.is_control())
                .take(40)
                .flat_map(char::to_lowercase)
                .collect();
            if BY_ITSELF.contains(&key.as_str()) && !compact.is_empty() && !is_usual(&key, tag) {
                let what = (
                    "a tag of the page runs a script by itself",
                    Severity::Medium,
                );
                self.tell(what, (at, tag));
            }
            // Nothing happens by `javascript:` or `javascript:void(0)`.
            let script = compact.strip_prefix("javascript:");
            let acts = script.is_some_and(|script| {
                !script.is_empty() && !script.starts_with("void") && !script.starts_with(';')
            });
            let leads = matches!(
                key.as_str(),
                "href" | "src" | "action" | "formaction" | "data"
            );
            if leads && (acts || compact.starts_with("data:text/html")) {
                let what = ("an address of the page is a script", Severity::Medium);
                self.tell(what, (at, tag));
            }
        }
    }

    // Looks at a script, and returns how long what stands in the tag is: it has no tags.
    fn content(&mut self, at: usize, name: &str, after: &str) -> usize {
        if !matches!(name, "script" | "style" | "textarea") {
            return 0;
        }
        let close = format!("</{name}");
        let end = after
            .match_indices("</")
            .map(|(at, _)| at)
            .find(|at| {
                let here = after.get(*at..at.saturating_add(close.len()));
                here.is_some_and(|here| here.eq_ignore_ascii_case(&close))
            })
            .unwrap_or(after.len());
        let script = after.get(..end).unwrap_or(after);
        if name == "script" {
            self.tell(("the page runs scripts", Severity::Low), (at, "<script>"));
            let compact: String = script.chars().filter(|c| !c.is_whitespace()).collect();
            let decoded = [
                "eval(atob(",
                "eval(unescape(",
                "Function(atob(",
                "document.write(atob(",
                "document.write(unescape(",
                "eval(decodeURIComponent(",
                "eval(String.fromCharCode(",
            ];
            if decoded.iter().any(|sign| compact.contains(sign)) {
                let what = (
                    "a script of the page runs text that is decoded first",
                    Severity::Medium,
                );
                self.tell(what, (at, script));
            }
        }
        end
    }
}

// What style sheets and the body of a page do when they are there.
fn is_usual(key: &str, tag: &str) -> bool {
    key == "onload" && matches!(name_of(tag).as_str(), "body" | "link" | "script" | "iframe")
        || key == "onerror" && matches!(name_of(tag).as_str(), "script" | "link")
}
