//! Lists of dependencies in YAML: conda's environments and lock files, pnpm's.

use saphyr_parser::{Event, Parser, StrInput};
use serde_json::{Map, Value};

use super::{judge, plain, unread};
use crate::rules;
use crate::supply::dependency::{Dependency, Ecosystem, Manifest, Origin, Purpose, origin};
use crate::supply::requirement;
use crate::work::Look;

/// Largest list.
const MOST: u64 = 8 << 20;
/// Most values, and deepest nesting.
const MAX_VALUES: usize = 1_000_000;
const MAX_DEPTH: usize = 24;

fn read(look: &mut Look<'_, '_, '_>, what: &str) -> Option<Value> {
    let text = plain(look, MOST)?;
    let value = parse(&text);
    if value.is_none() {
        unread(look, what);
    }
    value
}

// The first document, as JSON in which every scalar is a text. An alias stands for nothing, so that
// it cannot multiply; a key twice keeps its last value, as the usual loaders do.
fn parse(text: &str) -> Option<Value> {
    let mut reader = Reader {
        parser: Parser::new_from_str(text),
        left: MAX_VALUES,
    };
    let mut next = reader.next()?;
    while matches!(next, Event::StreamStart | Event::DocumentStart(_)) {
        next = reader.next()?;
    }
    reader.value(next, 0)
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    left: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Option<Event<'a>> {
        self.left = self.left.checked_sub(1)?;
        let (event, _) = self.parser.next_event()?.ok()?;
        Some(event)
    }

    fn value(&mut self, event: Event<'a>, depth: usize) -> Option<Value> {
        if depth > MAX_DEPTH {
            return None;
        }
        let deeper = depth.saturating_add(1);
        match event {
            Event::Scalar(text, ..) => Some(Value::String(text.into_owned())),
            Event::Alias(_) => Some(Value::Null),
            Event::SequenceStart(..) => {
                let mut list = Vec::new();
                loop {
                    match self.next()? {
                        Event::SequenceEnd => return Some(Value::Array(list)),
                        event => list.push(self.value(event, deeper)?),
                    }
                }
            }
            Event::MappingStart(..) => {
                let mut map = Map::new();
                loop {
                    let key = match self.next()? {
                        Event::MappingEnd => return Some(Value::Object(map)),
                        event => self.value(event, deeper)?,
                    };
                    let event = self.next()?;
                    let value = self.value(event, deeper)?;
                    map.insert(key.as_str().unwrap_or_default().to_owned(), value);
                }
            }
            _ => None,
        }
    }
}

pub(super) fn environment(look: &mut Look<'_, '_, '_>) {
    let Some(document) = read(look, "an environment of conda") else {
        return;
    };
    let mut manifest = Manifest::new(Purpose::Wishes);
    // mlflow's `python_env.yaml` lists packages of Python where conda's lists its own.
    let is_conda = document.get("build_dependencies").is_none();
    for one in listed(&document) {
        match one {
            Value::String(text) if is_conda => manifest.dependencies.extend(conda(text)),
            Value::String(text) => python(text, &mut manifest),
            _ => {
                let pip = one.get("pip").and_then(Value::as_array);
                for text in pip.into_iter().flatten().filter_map(Value::as_str) {
                    python(text, &mut manifest);
                }
            }
        }
    }
    for text in shell_strings(&document) {
        let mut place = look.here();
        place.pointer = Some("/dependencies".to_owned());
        let message = "a requirement holds a command of a shell";
        let mut finding = rules::supply::SHELL.finding(place, message);
        finding.evidence = Some(text.chars().take(200).collect());
        look.work.find(finding);
    }
    judge(look, &manifest);
}

fn listed(document: &Value) -> impl Iterator<Item = &Value> {
    let lists = ["dependencies", "build_dependencies"];
    let lists = lists
        .into_iter()
        .filter_map(|key| document.get(key)?.as_array());
    lists.flatten()
}

// Requirements that tools have handed to a shell.
fn shell_strings(document: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for one in listed(document) {
        let nested = one.get("pip").and_then(Value::as_array);
        for text in nested
            .into_iter()
            .flatten()
            .chain([one])
            .filter_map(Value::as_str)
        {
            let signs = ["$(", "`", "&&", "||", " | "];
            let ends = text.contains(';') && requirement::line(text).is_none();
            if ends || signs.iter().any(|sign| text.contains(sign)) {
                found.push(text.to_owned());
            }
        }
    }
    found
}

fn python(text: &str, into: &mut Manifest) {
    use requirement::Line;
    let index = |url, extra| crate::supply::dependency::Index {
        url,
        extra,
        line: None,
    };
    match requirement::line(text) {
        Some(Line::Requirement(one)) => into.dependencies.push(one),
        Some(Line::Index(url)) => into.indexes.push(index(url, false)),
        Some(Line::ExtraIndex(url)) => into.indexes.push(index(url, true)),
        _ => {}
    }
}

// `channel::name=1.0=build`, `name >=1`.
fn conda(text: &str) -> Option<Dependency> {
    let spec = text.rsplit_once("::").map_or(text, |(_, spec)| spec).trim();
    let end = spec
        .find(['=', '<', '>', '!', '~', ' ', '['])
        .unwrap_or(spec.len());
    let (name, rest) = spec.split_at_checked(end)?;
    if name.is_empty() {
        return None;
    }
    let mut one = Dependency::new(Ecosystem::Conda, name);
    one.bounded = !rest.is_empty();
    let exact = rest
        .trim_start_matches('=')
        .split('=')
        .next()
        .unwrap_or_default();
    if rest.starts_with('=') && !exact.contains(['*', ',', '<', '>']) {
        one.version = Some(exact.to_owned());
    }
    Some(one)
}

pub(super) fn conda_lock(look: &mut Look<'_, '_, '_>) {
    let Some(document) = read(look, "a lock file of conda") else {
        return;
    };
    let mut manifest = Manifest::new(Purpose::Lock);
    let packages = document.get("package").and_then(Value::as_array);
    for package in packages.into_iter().flatten() {
        let field = |key| package.get(key).and_then(Value::as_str).unwrap_or_default();
        let ecosystem = match field("manager") {
            "pip" => Ecosystem::PyPi,
            _ => Ecosystem::Conda,
        };
        let place = match field("url") {
            "" => Origin::Unsaid,
            url if url.starts_with("git+") => origin(url),
            url => Origin::Index(url.to_owned()),
        };
        let mut one = Dependency::new(ecosystem, field("name"))
            .at(field("version"))
            .from(place);
        one.hashed = package.get("hash").is_some();
        manifest.dependencies.push(one);
    }
    judge(look, &manifest);
}

pub(super) fn pnpm(look: &mut Look<'_, '_, '_>) {
    let Some(document) = read(look, "a lock file of pnpm") else {
        return;
    };
    let mut manifest = Manifest::new(Purpose::Lock);
    let packages = document.get("packages").and_then(Value::as_object);
    for (key, package) in packages.into_iter().flatten() {
        let key = key.trim_start_matches('/');
        // Peers follow in brackets, or behind an underscore in older ones.
        let key = key.split('(').next().unwrap_or(key);
        let resolution = package.get("resolution");
        let tarball = resolution
            .and_then(|one| one.get("tarball"))
            .and_then(Value::as_str);
        if let Some((name, version)) = key.rsplit_once('@').filter(|(name, _)| !name.is_empty()) {
            let place = tarball.map_or(Origin::Unsaid, |url| Origin::Index(url.to_owned()));
            let version = version.split('_').next().unwrap_or(version);
            let mut one = Dependency::new(Ecosystem::Npm, name)
                .at(version)
                .from(place);
            one.hashed = resolution.and_then(|one| one.get("integrity")).is_some();
            manifest.dependencies.push(one);
        }
    }
    judge(look, &manifest);
}
