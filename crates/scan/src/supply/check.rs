//! What is wrong with a list of dependencies.

use std::collections::BTreeSet;

use custos_core::finding::{Confidence, Finding, Location, Severity};

use super::dependency::{Dependency, Ecosystem, Index, Manifest, Origin, Purpose, host};
use super::names::{self, Likeness};
use super::osv::Hit;
use super::{Knowledge, yanked};
use crate::rules;
use crate::rules::Rule;
use crate::work::Look;

/// Most names that one message lists.
const LISTED: usize = 8;
/// Most likenesses that are told of one list.
const MOST: usize = 200;

/// Judges a list that lies at a place.
pub(super) fn run(look: &mut Look<'_, '_, '_>, at: &Location, manifest: &Manifest) {
    let knowledge = look.work.knowledge();
    let mut check = Check {
        look,
        at,
        manifest,
        told: 0,
    };
    check.indexes();
    let internal = knowledge.map(Internal::new);
    for dependency in &manifest.dependencies {
        check.name(dependency);
        check.origin(dependency);
        if let Some(internal) = &internal {
            check.internal(dependency, internal);
        }
        if let Some(knowledge) = knowledge {
            check.known(dependency, knowledge);
        }
    }
    if manifest.purpose == Purpose::Wishes {
        check.bounds();
    }
}

struct Internal(BTreeSet<String>);

impl Internal {
    fn new(knowledge: &Knowledge) -> Self {
        let names = knowledge.internal_names.iter();
        // One spelling for all: a list of names does not say whose they are.
        Self(names.map(|name| Ecosystem::PyPi.normal(name)).collect())
    }

    fn has(&self, name: &str) -> bool {
        self.0.contains(&Ecosystem::PyPi.normal(name))
    }
}

struct Check<'l, 'i, 'w, 's, 'm> {
    look: &'l mut Look<'i, 'w, 's>,
    at: &'m Location,
    manifest: &'m Manifest,
    told: usize,
}

impl Check<'_, '_, '_, '_, '_> {
    fn find(&mut self, line: Option<u32>, finding: impl FnOnce(Location) -> Finding) {
        let mut place = self.at.clone();
        if place.line.is_none() && place.pointer.is_none() {
            place.line = line;
        }
        self.look.work.find(finding(place));
    }

    fn see(&mut self, rule: &'static Rule, line: Option<u32>, message: String) {
        self.find(line, |place| rule.finding(place, message));
    }

    fn indexes(&mut self) {
        let manifest = self.manifest;
        for Index { url, extra, line } in &manifest.indexes {
            if is_insecure(url) {
                let message = format!(
                    "packages come from `{url}`, whose answers anybody on the way can change"
                );
                self.see(&rules::supply::INSECURE_INDEX, *line, message);
            }
            if *extra {
                let message = format!(
                    "`{url}` is asked beside the usual index: whichever offers the higher version wins"
                );
                let mild = is_public(url) || KNOWN_HOSTS.contains(&host(url));
                self.find(*line, |place| {
                    let mut finding = rules::supply::EXTRA_INDEX.finding(place, message);
                    if mild {
                        finding.severity = Severity::Info;
                    }
                    finding
                });
            }
        }
    }

    fn name(&mut self, dependency: &Dependency) {
        let name = &dependency.name;
        let foreign = !name.is_ascii() && dependency.ecosystem == Ecosystem::PyPi;
        let Some(alike) = names::alike(dependency.ecosystem, name) else {
            if foreign {
                let message = format!("`{name}` has letters that no name of a package has");
                self.see(&rules::supply::FOREIGN_NAME, dependency.line, message);
            }
            return;
        };
        if self.told >= MOST {
            return;
        }
        self.told = self.told.saturating_add(1);
        let meant = alike.name;
        let (severity, how) = match alike.how {
            Likeness::Glyphs if foreign => (Severity::High, "letters that only look like its own"),
            Likeness::Glyphs => (Severity::Medium, "signs that look like its own"),
            Likeness::Separators => (Severity::Low, "the same letters, separated otherwise"),
            Likeness::Letter => (Severity::Medium, "one letter of difference"),
            Likeness::Word => (Severity::Low, "one word more, which says nothing"),
        };
        let message = format!("`{name}` is easily taken for `{meant}`: {how}");
        self.find(dependency.line, |place| {
            let mut finding = rules::supply::TYPOSQUAT.finding(place, message);
            finding.severity = severity;
            finding.confidence = Confidence::Medium;
            finding
        });
    }

    fn origin(&mut self, dependency: &Dependency) {
        let title = match dependency.name.as_str() {
            "" => "a dependency".to_owned(),
            _ => format!("`{}`", dependency.title()),
        };
        let line = dependency.line;
        match &dependency.origin {
            Origin::Url(url) | Origin::Repository { url, .. } if is_insecure(url) => {
                let message =
                    format!("{title} comes from `{url}`, which anybody on the way can change");
                self.see(&rules::supply::INSECURE_INDEX, line, message);
            }
            Origin::Url(url) if !dependency.hashed && !is_public(url) => {
                let message =
                    format!("{title} is whatever `{url}` answers: no hash says what it has to be");
                self.see(&rules::supply::DIRECT, line, message);
            }
            Origin::Repository { url, exact: false } => {
                let message =
                    format!("{title} is whatever `{url}` holds on that day: no commit is named");
                self.see(&rules::supply::DIRECT, line, message);
            }
            _ => {}
        }
    }

    fn internal(&mut self, dependency: &Dependency, internal: &Internal) {
        if !internal.has(&dependency.name) {
            return;
        }
        let name = &dependency.name;
        let (why, sure) = match &dependency.origin {
            Origin::Index(url) | Origin::Url(url) if is_public(url) => (
                format!("it is taken from the public index `{}`", host(url)),
                true,
            ),
            Origin::Unsaid => match self.public_index() {
                Some(why) => why,
                None => return,
            },
            _ => return,
        };
        let message = format!("`{name}` is an internal name, and {why}");
        let severity = if self.manifest.purpose == Purpose::Metadata {
            Severity::Medium
        } else {
            Severity::High
        };
        self.find(dependency.line, |place| {
            let mut finding = rules::supply::CONFUSION.finding(place, message);
            finding.severity = severity;
            if !sure {
                finding.confidence = Confidence::Medium;
            }
            finding
        });
    }

    // Returns why a name without an origin may come from a public index, and whether the file says so.
    fn public_index(&self) -> Option<(String, bool)> {
        let manifest = self.manifest;
        if manifest.no_index {
            return None;
        }
        let named = manifest.indexes.iter().find(|index| is_public(&index.url));
        if let Some(index) = named {
            return Some((format!("`{}` may answer for it", index.url), true));
        }
        let has_main = manifest.indexes.iter().any(|index| !index.extra);
        if let (false, Some(extra)) = (has_main, manifest.indexes.first()) {
            let why = format!("the public index is asked beside `{}`", extra.url);
            return Some((why, true));
        }
        (!has_main).then(|| {
            (
                "no index is named: the usual one is public".to_owned(),
                false,
            )
        })
    }

    fn known(&mut self, dependency: &Dependency, knowledge: &Knowledge) {
        if yanked(knowledge, dependency) {
            let message = format!("`{}` was withdrawn by its makers", dependency.title());
            self.see(&rules::supply::YANKED, dependency.line, message);
        }
        let Some(advisories) = &knowledge.advisories else {
            return;
        };
        for hit in advisories.about(dependency) {
            self.hit(dependency, &hit, &advisories.snapshot().newest);
        }
    }

    fn hit(&mut self, dependency: &Dependency, hit: &Hit<'_>, day: &str) {
        let title = dependency.title();
        let id = hit.ids.join(", ");
        let summary = match hit.summary {
            "" => String::new(),
            text => format!(": {text}"),
        };
        let fixed = match &hit.fixed {
            Some(fixed) => format!("fixed in {fixed}"),
            None => "no fixed version is known".to_owned(),
        };
        let named = hit.ids.iter().chain(&hit.aliases);
        let cves: BTreeSet<String> = named
            .filter(|name| name.starts_with("CVE-"))
            .map(|name| (*name).to_owned())
            .collect();
        let (rule, severity, message) = if hit.malware {
            let message = format!("`{title}` is a malicious package, by {id}{summary}");
            (&rules::supply::MALICIOUS, Severity::Critical, message)
        } else {
            let message = format!("`{title}` has a known vulnerability, {id}{summary}; {fixed}");
            (&rules::supply::VULNERABLE, hit.severity, message)
        };
        let evidence = format!("{} ({id}; {fixed}; database of {day})", dependency.purl());
        self.find(dependency.line, |place| {
            let mut finding = rule.finding(place, message);
            finding.severity = severity;
            finding.evidence = Some(evidence);
            finding.cves = cves.into_iter().collect();
            finding
        });
    }

    // Each once for the whole list: most lists have dozens of them.
    fn bounds(&mut self) {
        let listed = |dependency: &&Dependency| {
            dependency.origin == Origin::Unsaid && dependency.ecosystem == Ecosystem::PyPi
        };
        let all: Vec<&Dependency> = self.manifest.dependencies.iter().filter(listed).collect();
        let pick = |wanted: fn(&Dependency) -> bool| -> Vec<&str> {
            let picked = all.iter().filter(|one| wanted(one));
            picked.map(|one| one.name.as_str()).collect()
        };
        let free = pick(|one| !one.bounded);
        let loose = pick(|one| one.bounded && one.version.is_none());
        let unhashed = pick(|one| one.version.is_some() && !one.hashed);
        if !free.is_empty() {
            let message = format!("any version of {} may be installed", list(&free));
            self.see(&rules::supply::UNBOUNDED, None, message);
        }
        if !loose.is_empty() {
            let message = format!("more than one version of {} may be installed", list(&loose));
            self.see(&rules::supply::UNPINNED, None, message);
        }
        if !unhashed.is_empty() {
            let message = format!(
                "no hash says what the files of {} have to be",
                list(&unhashed)
            );
            self.see(&rules::supply::UNHASHED, None, message);
        }
    }
}

fn list(names: &[&str]) -> String {
    let shown: Vec<String> = names
        .iter()
        .take(LISTED)
        .map(|name| format!("`{name}`"))
        .collect();
    let shown = shown.join(", ");
    match names.len().saturating_sub(LISTED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Indexes beside the usual one that make no one wonder.
const KNOWN_HOSTS: [&str; 5] = [
    "download.pytorch.org",
    "pypi.nvidia.com",
    "pypi.ngc.nvidia.com",
    "storage.googleapis.com",
    "wheels.vllm.ai",
];

const PUBLIC_HOSTS: [&str; 12] = [
    "pypi.org",
    "pypi.python.org",
    "test.pypi.org",
    "files.pythonhosted.org",
    "registry.npmjs.org",
    "registry.yarnpkg.com",
    "crates.io",
    "index.crates.io",
    "static.crates.io",
    "proxy.golang.org",
    "conda.anaconda.org",
    "repo.anaconda.com",
];

fn is_public(url: &str) -> bool {
    let named = url == "pypi" || url.contains("github.com/rust-lang/crates.io-index");
    named || PUBLIC_HOSTS.contains(&host(url))
}

fn is_insecure(url: &str) -> bool {
    let plain = [
        "http://",
        "git+http://",
        "git://",
        "git+git://",
        "ftp://",
        "svn+http://",
        "hg+http://",
    ];
    let local = matches!(host(url), "localhost" | "127.0.0.1" | "[");
    plain.iter().any(|scheme| url.starts_with(scheme)) && !local
}
