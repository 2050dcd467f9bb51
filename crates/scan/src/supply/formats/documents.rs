//! Lists of dependencies in JSON: npm's, and Pipenv's lock file.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;

use super::{judge, plain, unread};
use crate::supply::dependency::{
    Dependency, Ecosystem, Index, Manifest, Origin, Purpose, is_commit, origin,
};
use crate::work::Look;

/// Largest list.
const MOST: u64 = 16 << 20;
/// Deepest nesting of dependencies in dependencies.
const DEEPEST: u32 = 32;

fn read<T: DeserializeOwned>(look: &mut Look<'_, '_, '_>, what: &str) -> Option<T> {
    let text = plain(look, MOST)?;
    let value = serde_json::from_str(&text).ok();
    if value.is_none() {
        unread(look, what);
    }
    value
}

#[derive(Deserialize)]
struct PackageLock {
    #[serde(default)]
    packages: BTreeMap<String, Package>,
    #[serde(default)]
    dependencies: BTreeMap<String, Package>,
}

#[derive(Deserialize)]
struct Package {
    name: Option<String>,
    version: Option<String>,
    resolved: Option<Value>,
    integrity: Option<String>,
    #[serde(default)]
    link: bool,
    #[serde(default)]
    dependencies: BTreeMap<String, Nested>,
}

// Version 1 nests packages here, later ones list wishes as texts.
#[derive(Deserialize)]
#[serde(untagged)]
enum Nested {
    Package(Box<Package>),
    Wish(#[allow(dead_code, reason = "told apart from a package")] IgnoredAny),
}

pub(super) fn package_lock(look: &mut Look<'_, '_, '_>) {
    let Some(list) = read::<PackageLock>(look, "a lock file of npm") else {
        return;
    };
    let mut manifest = Manifest::new(Purpose::Lock);
    // Versions 2 and 3; in version 2 the other list says the same for older programs.
    for (path, package) in &list.packages {
        if let Some((_, name)) = path.rsplit_once("node_modules/") {
            let name = package.name.as_deref().unwrap_or(name);
            manifest.dependencies.extend(package.dependency(name));
        }
    }
    if list.packages.is_empty() {
        for (name, package) in &list.dependencies {
            package.nested(name, &mut manifest, 0);
        }
    }
    judge(look, &manifest);
}

impl Package {
    fn dependency(&self, name: &str) -> Option<Dependency> {
        let version = self.version.as_deref()?;
        let resolved = self.resolved.as_ref().and_then(Value::as_str);
        let place = match resolved.unwrap_or(version) {
            _ if self.link => Origin::Local,
            url if url.starts_with("http") && url.contains("/-/") => Origin::Index(url.to_owned()),
            url if url.contains("://") || url.starts_with("git") => origin(url),
            url if url.starts_with("file:") => Origin::Local,
            _ => Origin::Unsaid,
        };
        let mut one = Dependency::new(Ecosystem::Npm, name)
            .at(version)
            .from(place);
        one.hashed = self.integrity.is_some();
        Some(one)
    }

    fn nested(&self, name: &str, into: &mut Manifest, depth: u32) {
        into.dependencies.extend(self.dependency(name));
        if depth >= DEEPEST {
            return;
        }
        for (name, nested) in &self.dependencies {
            if let Nested::Package(package) = nested {
                package.nested(name, into, depth.saturating_add(1));
            }
        }
    }
}

#[derive(Deserialize)]
struct Project {
    #[serde(default)]
    dependencies: BTreeMap<String, Value>,
    #[serde(default, rename = "devDependencies")]
    dev: BTreeMap<String, Value>,
    #[serde(default, rename = "optionalDependencies")]
    optional: BTreeMap<String, Value>,
    #[serde(default, rename = "peerDependencies")]
    peer: BTreeMap<String, Value>,
}

pub(super) fn package(look: &mut Look<'_, '_, '_>) {
    let Some(project) = read::<Project>(look, "a package of npm") else {
        return;
    };
    let lists = [
        &project.dependencies,
        &project.dev,
        &project.optional,
        &project.peer,
    ];
    let mut manifest = Manifest::new(Purpose::Metadata);
    for (name, wish) in lists.into_iter().flatten() {
        let wish = wish.as_str().unwrap_or_default();
        manifest.dependencies.push(wished(name, wish));
    }
    judge(look, &manifest);
}

fn wished(name: &str, wish: &str) -> Dependency {
    // `npm:other@1` takes another package under this name.
    if let Some((other, version)) = wish
        .strip_prefix("npm:")
        .and_then(|wish| wish.rsplit_once('@'))
    {
        return wished(other, version);
    }
    let one = Dependency::new(Ecosystem::Npm, name);
    let hosts = ["github:", "gitlab:", "bitbucket:", "gist:"];
    let exact = wish
        .rsplit_once('#')
        .is_some_and(|(_, revision)| is_commit(revision));
    if hosts.iter().any(|host| wish.starts_with(host)) {
        let url = wish.to_owned();
        return one.from(Origin::Repository { url, exact });
    }
    if wish.contains("://") || wish.starts_with("git@") {
        return one.from(origin(wish));
    }
    if ["file:", "link:", "workspace:", "portal:"]
        .iter()
        .any(|begin| wish.starts_with(begin))
    {
        return one.from(Origin::Local);
    }
    if wish
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_digit())
        && !wish.contains([' ', 'x', '*'])
    {
        return one.at(wish);
    }
    one
}

#[derive(Deserialize)]
struct PipfileLock {
    #[serde(rename = "_meta")]
    meta: Meta,
    #[serde(default, rename = "default")]
    main: BTreeMap<String, Locked>,
    #[serde(default)]
    develop: BTreeMap<String, Locked>,
}

#[derive(Deserialize)]
struct Meta {
    #[serde(default)]
    sources: Vec<Source>,
}

#[derive(Deserialize)]
struct Source {
    name: Option<String>,
    url: String,
}

#[derive(Deserialize)]
struct Locked {
    version: Option<String>,
    #[serde(default)]
    hashes: Vec<String>,
    index: Option<String>,
    git: Option<String>,
    #[serde(rename = "ref")]
    revision: Option<String>,
    file: Option<String>,
    path: Option<String>,
}

pub(super) fn pipfile_lock(look: &mut Look<'_, '_, '_>) {
    let Some(list) = read::<PipfileLock>(look, "a lock file of Pipenv") else {
        return;
    };
    let mut manifest = Manifest::new(Purpose::Lock);
    for (number, source) in list.meta.sources.iter().enumerate() {
        manifest.indexes.push(Index {
            url: source.url.clone(),
            extra: number > 0,
            line: None,
        });
    }
    for (name, locked) in list.main.iter().chain(&list.develop) {
        manifest
            .dependencies
            .push(locked.dependency(name, &list.meta.sources));
    }
    judge(look, &manifest);
}

impl Locked {
    fn dependency(&self, name: &str, sources: &[Source]) -> Dependency {
        let mut one = Dependency::new(Ecosystem::PyPi, name);
        one.bounded = true;
        one.hashed = !self.hashes.is_empty();
        one.version = self
            .version
            .as_ref()
            .map(|version| version.trim_start_matches('=').to_owned());
        let source = sources.iter().find(|source| source.name == self.index);
        one.origin = match (&self.git, &self.file, &self.path, source) {
            (Some(url), ..) => Origin::Repository {
                url: url.clone(),
                exact: self.revision.as_deref().is_some_and(is_commit),
            },
            (_, Some(file), ..) => origin(file),
            (_, _, Some(_), _) => Origin::Local,
            (.., Some(source)) => Origin::Index(source.url.clone()),
            _ => Origin::Unsaid,
        };
        one
    }
}
