//! Lists of dependencies in TOML: projects, and lock files of Python and Rust.
//!
//! [pyproject.toml](https://packaging.python.org/en/latest/specifications/pyproject-toml/),
//! [pylock.toml](https://packaging.python.org/en/latest/specifications/pylock-toml/), Poetry, uv, Cargo.

use toml::{Table, Value};

use super::{judge, text, unread};
use crate::supply::dependency::{
    Dependency, Ecosystem, Index, Manifest, Origin, Purpose, is_commit, origin,
};
use crate::supply::requirement;
use crate::work::Look;

/// Largest list: a table takes many times as much memory as its text.
const MOST: u64 = 4 << 20;

fn table(look: &mut Look<'_, '_, '_>, what: &str) -> Option<Table> {
    let text = text(look, MOST)?;
    let table = toml::from_str(&text).ok();
    if table.is_none() {
        unread(look, what);
    }
    table
}

fn at<'v>(table: &'v Table, path: &[&str]) -> Option<&'v Value> {
    let (first, rest) = path.split_first()?;
    rest.iter()
        .try_fold(table.get(*first)?, |value, key| value.get(key))
}

fn tables(value: Option<&Value>) -> impl Iterator<Item = &Table> {
    let list = value.and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_table)
}

fn string<'v>(table: &'v Table, key: &str) -> Option<&'v str> {
    table.get(key).and_then(Value::as_str)
}

pub(super) fn project(look: &mut Look<'_, '_, '_>) {
    if let Some(table) = table(look, "a Python project") {
        judge(look, &read_project(&table));
    }
}

fn read_project(table: &Table) -> Manifest {
    let mut manifest = Manifest::new(Purpose::Wishes);
    let lists = [
        at(table, &["project", "dependencies"]),
        at(table, &["build-system", "requires"]),
        at(table, &["tool", "uv", "dev-dependencies"]),
    ];
    let groups = [
        at(table, &["project", "optional-dependencies"]),
        at(table, &["dependency-groups"]),
    ];
    let groups = groups.into_iter().flatten().filter_map(Value::as_table);
    let grouped = groups.flat_map(|group| group.values());
    for list in lists.into_iter().flatten().chain(grouped) {
        let texts = list
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str);
        manifest
            .dependencies
            .extend(texts.filter_map(requirement::parse));
    }
    poetry(table, &mut manifest);
    uv(table, &mut manifest);
    manifest
}

fn poetry(table: &Table, manifest: &mut Manifest) {
    let Some(poetry) = at(table, &["tool", "poetry"]).and_then(Value::as_table) else {
        return;
    };
    let mut lists: Vec<&Value> = Vec::new();
    lists.extend(poetry.get("dependencies"));
    lists.extend(poetry.get("dev-dependencies"));
    let groups = poetry.get("group").and_then(Value::as_table);
    lists.extend(
        groups
            .into_iter()
            .flat_map(Table::values)
            .filter_map(|group| group.get("dependencies")),
    );
    for (name, wish) in lists.into_iter().filter_map(Value::as_table).flatten() {
        if name != "python" {
            manifest.dependencies.push(wished(name, wish));
        }
    }
    for source in tables(poetry.get("source")) {
        let priority = string(source, "priority").unwrap_or_default();
        push_index(
            manifest,
            string(source, "url"),
            priority == "supplemental" || priority == "secondary",
        );
    }
}

fn uv(table: &Table, manifest: &mut Manifest) {
    let Some(uv) = at(table, &["tool", "uv"]).and_then(Value::as_table) else {
        return;
    };
    for index in tables(uv.get("index")) {
        // uv takes a package from the first index that has it; `explicit` ones are for named packages.
        let explicit = index.get("explicit").and_then(Value::as_bool) == Some(true);
        if !explicit {
            push_index(manifest, string(index, "url"), false);
        }
    }
    push_index(manifest, string(uv, "index-url"), false);
    let extra = uv.get("extra-index-url").and_then(Value::as_array);
    for url in extra.into_iter().flatten() {
        push_index(manifest, url.as_str(), true);
    }
    let sources = uv.get("sources").and_then(Value::as_table);
    for (name, source) in sources.into_iter().flatten() {
        let normal = Ecosystem::PyPi.normal(name);
        let Some(source) = source.as_table() else {
            continue;
        };
        for one in &mut manifest.dependencies {
            if Ecosystem::PyPi.normal(&one.name) == normal {
                one.origin = placed(source);
            }
        }
    }
}

fn push_index(manifest: &mut Manifest, url: Option<&str>, extra: bool) {
    manifest.indexes.extend(url.map(|url| Index {
        url: url.to_owned(),
        extra,
        line: None,
    }));
}

// A wish of Poetry or Pipenv: `"^1.2"`, `"*"`, or a table.
fn wished(name: &str, wish: &Value) -> Dependency {
    let mut one = Dependency::new(Ecosystem::PyPi, name);
    let version = wish
        .as_str()
        .or_else(|| wish.get("version").and_then(Value::as_str));
    if let Some(version) = version.filter(|version| *version != "*") {
        one.bounded = true;
        let exact = version.strip_prefix("==").map(str::trim);
        one.version = exact
            .filter(|version| !version.contains(['*', ',']))
            .map(str::to_owned);
    }
    if let Some(table) = wish.as_table() {
        one.origin = placed(table);
        one.hashed = table.contains_key("hashes");
    }
    one
}

// Where a table of Poetry, Pipenv or uv says that a package is.
fn placed(table: &Table) -> Origin {
    if let Some(url) = string(table, "git") {
        let revision = string(table, "rev").or_else(|| string(table, "ref"));
        return Origin::Repository {
            url: url.to_owned(),
            exact: revision.is_some_and(is_commit),
        };
    }
    if let Some(url) = string(table, "url") {
        return origin(url);
    }
    let local = ["path", "workspace", "file"];
    if local.iter().any(|key| table.contains_key(*key)) {
        return Origin::Local;
    }
    // A named source or index: not the usual one.
    let source = string(table, "source").or_else(|| string(table, "index"));
    source.map_or(Origin::Unsaid, |name| Origin::Index(name.to_owned()))
}

pub(super) fn pipfile(look: &mut Look<'_, '_, '_>) {
    let Some(table) = table(look, "a Pipfile") else {
        return;
    };
    let mut manifest = Manifest::new(Purpose::Wishes);
    for (number, source) in tables(table.get("source")).enumerate() {
        push_index(&mut manifest, string(source, "url"), number > 0);
    }
    for key in ["packages", "dev-packages"] {
        let list = table.get(key).and_then(Value::as_table);
        let wishes = list.into_iter().flatten();
        let wishes = wishes.map(|(name, wish)| wished(name, wish));
        manifest.dependencies.extend(wishes);
    }
    judge(look, &manifest);
}

pub(super) fn lock(look: &mut Look<'_, '_, '_>) {
    const WHAT: &str = "a lock file";
    let Some(table) = table(look, WHAT) else {
        return;
    };
    match read_lock(&table) {
        Some(manifest) => judge(look, &manifest),
        None => unread(look, WHAT),
    }
}

fn read_lock(table: &Table) -> Option<Manifest> {
    let mut manifest = Manifest::new(Purpose::Lock);
    let is_pylock = table.contains_key("packages") && table.contains_key("lock-version");
    let list = table.get(if is_pylock { "packages" } else { "package" });
    // A project without dependencies has none.
    if list.is_none() && !table.contains_key("version") && !table.contains_key("metadata") {
        return None;
    }
    for package in tables(list) {
        let name = string(package, "name")?;
        let version = string(package, "version");
        let (ecosystem, origin) = if is_pylock {
            (Ecosystem::PyPi, of_pylock(package))
        } else {
            of_lock(table, package)
        };
        let mut one = Dependency::new(ecosystem, name).from(origin);
        one.hashed = true;
        one.bounded = true;
        one.version = version.map(str::to_owned);
        manifest.dependencies.push(one);
    }
    Some(manifest)
}

fn of_pylock(package: &Table) -> Origin {
    if let Some(vcs) = package.get("vcs").and_then(Value::as_table) {
        return Origin::Repository {
            url: string(vcs, "url").unwrap_or_default().to_owned(),
            exact: string(vcs, "commit-id").is_some_and(is_commit),
        };
    }
    if package.contains_key("directory") {
        return Origin::Local;
    }
    if let Some(archive) = package.get("archive").and_then(Value::as_table) {
        return string(archive, "url").map_or(Origin::Local, origin);
    }
    let index = string(package, "index").map(str::to_owned);
    let file = || tables(package.get("wheels")).find_map(|wheel| string(wheel, "url"));
    index
        .or_else(|| file().map(str::to_owned))
        .map_or(Origin::Unsaid, Origin::Index)
}

// Cargo writes its source as a text, uv and Poetry as a table.
fn of_lock(table: &Table, package: &Table) -> (Ecosystem, Origin) {
    let cargo = |source: &str| match source.split_once('+') {
        Some(("registry" | "sparse", url)) => Origin::Index(url.to_owned()),
        Some(("git", url)) => origin(&format!("git+{url}")),
        _ => Origin::Local,
    };
    match package.get("source") {
        Some(Value::String(source)) => (Ecosystem::Crates, cargo(source)),
        Some(Value::Table(source)) => (Ecosystem::PyPi, of_table(source)),
        _ => {
            let is_python = table.contains_key("metadata") || package.contains_key("files");
            if is_python {
                // Poetry leaves out the usual index, which is public.
                (Ecosystem::PyPi, Origin::Index("pypi".to_owned()))
            } else {
                (Ecosystem::Crates, Origin::Local)
            }
        }
    }
}

fn of_table(source: &Table) -> Origin {
    if let Some(url) = string(source, "registry") {
        return Origin::Index(url.to_owned());
    }
    if let Some(url) = string(source, "git") {
        return origin(&format!("git+{url}"));
    }
    let url = string(source, "url").unwrap_or_default();
    match string(source, "type") {
        Some("git") => Origin::Repository {
            url: url.to_owned(),
            exact: string(source, "resolved_reference").is_some_and(is_commit),
        },
        Some("legacy") => Origin::Index(url.to_owned()),
        Some("url") => origin(url),
        None if !url.is_empty() => origin(url),
        _ => Origin::Local,
    }
}
