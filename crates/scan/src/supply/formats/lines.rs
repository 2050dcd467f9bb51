//! Lists of dependencies that are plain lines: yarn, Go, and conda's explicit lists.

use super::{judge, text};
use crate::route::Head;
use crate::supply::dependency::{Dependency, Ecosystem, Manifest, Origin, Purpose};
use crate::work::{Input, Look};

/// Largest list.
const MOST: u64 = 32 << 20;

// Entries of `name@range, name@range:` with indented fields; both generations of yarn write these.
pub(super) fn yarn(look: &mut Look<'_, '_, '_>) {
    let Some(text) = text(look, MOST) else {
        return;
    };
    let mut manifest = Manifest::new(Purpose::Lock);
    let mut current: Option<Dependency> = None;
    for (number, line) in (1_u32..).zip(text.lines()) {
        if line.starts_with('#') || line.trim().is_empty() {
            continue;
        }
        let quoted = |text: &str| text.trim_matches(['"', ' ', ',', ':']).to_owned();
        if !line.starts_with(' ') {
            manifest.dependencies.extend(current.take());
            let first = quoted(line.split(", ").next().unwrap_or(line));
            let at = first
                .char_indices()
                .skip(1)
                .find(|(_, letter)| *letter == '@');
            let name = at.and_then(|(at, _)| first.get(..at));
            current = name.filter(|name| *name != "__metadata").map(|name| {
                let mut one = Dependency::new(Ecosystem::Npm, name);
                one.line = Some(number);
                one
            });
            continue;
        }
        let Some(one) = current.as_mut().filter(|_| !line.starts_with("   ")) else {
            continue;
        };
        let (key, value) = line.trim().split_once([' ', ':']).unwrap_or_default();
        match key {
            "version" => one.version = Some(quoted(value)),
            "resolved" => one.origin = Origin::Index(quoted(value)),
            "integrity" | "checksum" => one.hashed = true,
            _ => {}
        }
    }
    manifest.dependencies.extend(current);
    manifest.dependencies.retain(|one| {
        let version = one.version.as_deref().unwrap_or_default();
        !version.ends_with("-use.local")
    });
    judge(look, &manifest);
}

pub(super) fn go_mod(look: &mut Look<'_, '_, '_>) {
    let Some(text) = text(look, MOST) else {
        return;
    };
    let mut manifest = Manifest::new(Purpose::Lock);
    let mut in_require = false;
    for (number, line) in (1_u32..).zip(text.lines()) {
        let line = line.split("//").next().unwrap_or(line).trim();
        match line {
            "require (" => in_require = true,
            ")" => in_require = false,
            _ => {
                let single = line.strip_prefix("require ");
                if in_require || single.is_some() {
                    manifest
                        .dependencies
                        .extend(module(single.unwrap_or(line), number));
                }
            }
        }
    }
    judge(look, &manifest);
}

fn module(line: &str, number: u32) -> Option<Dependency> {
    let mut words = line.split_whitespace();
    let (name, version) = (words.next()?, words.next()?);
    let version = version.strip_prefix('v')?.trim_end_matches("/go.mod");
    let mut one = Dependency::new(Ecosystem::Go, name).at(version);
    one.line = Some(number);
    one.hashed = true;
    Some(one)
}

/// Returns true if the first line is a module, a version and a hash.
pub(super) fn is_go_sum(head: &Head, _: &Input<'_>) -> bool {
    let line = head
        .bytes()
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    matches!(words.as_slice(), [_, version, hash] if version.starts_with(b"v") && hash.starts_with(b"h1:"))
}

pub(super) fn go_sum(look: &mut Look<'_, '_, '_>) {
    let Some(text) = text(look, MOST) else {
        return;
    };
    let mut manifest = Manifest::new(Purpose::Lock);
    for (number, line) in (1_u32..).zip(text.lines()) {
        // A line that ends with `/go.mod` is about a module that need not be built.
        if !line.contains("/go.mod ") {
            manifest.dependencies.extend(module(line, number));
        }
    }
    judge(look, &manifest);
}

// URLs of packages, `.../name-1.0-build.conda#md5`.
pub(super) fn explicit(look: &mut Look<'_, '_, '_>) {
    let Some(text) = text(look, MOST) else {
        return;
    };
    let mut manifest = Manifest::new(Purpose::Lock);
    for (number, line) in (1_u32..).zip(text.lines()) {
        let line = line.trim();
        if !line.contains("://") || line.starts_with('#') {
            continue;
        }
        let (url, hash) = line.split_once('#').unwrap_or((line, ""));
        let file = url.rsplit('/').next().unwrap_or_default();
        let file = file.trim_end_matches(".tar.bz2").trim_end_matches(".conda");
        let mut parts = file.rsplitn(3, '-');
        let (_, version, name) = (parts.next(), parts.next(), parts.next());
        let (Some(version), Some(name)) = (version, name) else {
            continue;
        };
        let place = Origin::Url(url.to_owned());
        let mut one = Dependency::new(Ecosystem::Conda, name)
            .at(version)
            .from(place);
        one.line = Some(number);
        one.hashed = !hash.is_empty();
        manifest.dependencies.push(one);
    }
    judge(look, &manifest);
}
