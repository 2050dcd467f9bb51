//! One requirement of Python, and the options of pip beside it.
//!
//! [PEP 508](https://peps.python.org/pep-0508/), and the format of requirement files as pip's
//! documentation has it. Names are read more widely than allowed, since names with letters of other
//! scripts are what is looked for.

use super::dependency::{Dependency, Ecosystem, Origin, origin};

/// A line of a requirement file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line {
    /// Nothing but space or a comment.
    Empty,
    Requirement(Dependency),
    /// `--index-url`.
    Index(String),
    /// `--extra-index-url`, `--find-links`.
    ExtraIndex(String),
    TrustedHost(String),
    NoIndex,
    /// `-r`, `-c`.
    Include(String),
    /// An option that changes nothing here.
    Other,
}

/// Reads a line whose continuations are joined.
pub(super) fn line(text: &str) -> Option<Line> {
    let text = uncomment(text).trim();
    if text.is_empty() {
        return Some(Line::Empty);
    }
    if text.starts_with('-') {
        return option(text);
    }
    let (requirement, options) = match text.find(" --") {
        Some(at) => text.split_at_checked(at)?,
        None => (text, ""),
    };
    let mut dependency = parse(requirement)?;
    dependency.hashed |= options.contains("--hash");
    Some(Line::Requirement(dependency))
}

// A comment begins a line, or follows a space.
fn uncomment(text: &str) -> &str {
    if text.trim_start().starts_with('#') {
        return "";
    }
    let ends = [" #", "\t#"].iter().filter_map(|mark| text.find(mark));
    ends.min().and_then(|end| text.get(..end)).unwrap_or(text)
}

fn option(text: &str) -> Option<Line> {
    let at = text.find(['=', ' ', '\t']).unwrap_or(text.len());
    let (name, rest) = text.split_at_checked(at)?;
    let value = rest.trim_start_matches(['=', ' ', '\t']).trim();
    let value = value.trim_matches(['"', '\'']).to_owned();
    Some(match name {
        "-i" | "--index-url" | "--pypi-url" => Line::Index(value),
        "--extra-index-url" => Line::ExtraIndex(value),
        "-f" | "--find-links" if value.contains("://") => Line::ExtraIndex(value),
        "--trusted-host" => Line::TrustedHost(value),
        "--no-index" => Line::NoIndex,
        "-r" | "--requirement" | "-c" | "--constraint" => Line::Include(value),
        "-e" | "--editable" => {
            let from = origin(&value);
            Line::Requirement(Dependency::new(Ecosystem::PyPi, egg(&value)).from(from))
        }
        "-f"
        | "--find-links"
        | "--pre"
        | "--no-binary"
        | "--only-binary"
        | "--require-hashes"
        | "--prefer-binary"
        | "--use-feature"
        | "--use-pep517"
        | "--no-deps"
        | "--no-use-wheel"
        | "--always-unzip"
        | "--process-dependency-links"
        | "--hash"
        | "--config-settings"
        | "--global-option"
        | "--install-option"
        | "--no-build-isolation"
        | "-U"
        | "--upgrade"
        | "--allow-external"
        | "--allow-unverified"
        | "--allow-all-external" => Line::Other,
        _ => return None,
    })
}

// The name that a URL says its package has.
fn egg(url: &str) -> &str {
    let egg = url.split_once("egg=").map_or("", |(_, egg)| egg);
    egg.split(['&', '[', '-']).next().unwrap_or_default()
}

/// Reads a requirement of PEP 508, a URL, or a path.
pub(super) fn parse(text: &str) -> Option<Dependency> {
    let text = text.trim();
    if is_place(text) {
        let place = text.split(" ;").next().unwrap_or(text);
        let mut dependency = Dependency::new(Ecosystem::PyPi, egg(place)).from(origin(place));
        dependency.hashed = has_hash(place);
        return Some(dependency);
    }
    let name_end = text
        .find(|letter: char| !(letter.is_alphanumeric() || matches!(letter, '.' | '-' | '_')))
        .unwrap_or(text.len());
    let (name, rest) = text.split_at_checked(name_end)?;
    let edge = |letter: Option<char>| letter.is_some_and(char::is_alphanumeric);
    if !edge(name.chars().next()) || !edge(name.chars().next_back()) {
        return None;
    }
    let rest = extras(rest.trim_start())?.trim_start();
    let mut dependency = Dependency::new(Ecosystem::PyPi, name);
    if let Some(url) = rest.strip_prefix('@') {
        let url = url.trim_start();
        let end = url.find([' ', '\t']).unwrap_or(url.len());
        let (url, after) = url.split_at_checked(end)?;
        marker(after.trim_start())?;
        dependency.hashed = has_hash(url);
        dependency.origin = match origin(url) {
            Origin::Local if url.is_empty() => return None,
            origin => origin,
        };
        return Some(dependency);
    }
    let at = rest.find(';').unwrap_or(rest.len());
    let (specifiers, after) = rest.split_at_checked(at)?;
    marker(after)?;
    let Exact(version) = exact(specifiers)?;
    dependency.version = version;
    dependency.bounded = !specifiers.trim().is_empty();
    Some(dependency)
}

fn is_place(text: &str) -> bool {
    let first = text.split([' ', ';']).next().unwrap_or_default();
    let named =
        text.contains('@') && !text.starts_with("git@") && text.find('@') < text.find("://");
    (first.contains("://") && !named)
        || first.starts_with(['.', '/'])
        || [".whl", ".tar.gz", ".zip"]
            .iter()
            .any(|end| first.ends_with(end))
}

fn has_hash(url: &str) -> bool {
    let fragment = url.split_once('#').map_or("", |(_, fragment)| fragment);
    ["sha256=", "sha384=", "sha512="]
        .iter()
        .any(|name| fragment.contains(name))
}

// Returns what follows `[a,b]`.
fn extras(text: &str) -> Option<&str> {
    let Some(inside) = text.strip_prefix('[') else {
        return Some(text);
    };
    let (names, rest) = inside.split_once(']')?;
    let plain = |letter: char| letter.is_ascii_alphanumeric() || " ,.-_".contains(letter);
    names.chars().all(plain).then_some(rest)
}

// What follows `;` begins like a marker.
fn marker(text: &str) -> Option<()> {
    const BEGIN: [&str; 10] = [
        "python_",
        "sys_platform",
        "sys.platform",
        "platform",
        "os_name",
        "os.name",
        "implementation",
        "extra",
        "'",
        "\"",
    ];
    let text = text.trim();
    if text.is_empty() {
        return Some(());
    }
    let text = text.strip_prefix(';')?.trim_start();
    let text = text.trim_start_matches(['(', ' ']);
    let text = text.strip_prefix("not ").unwrap_or(text);
    let plain =
        |letter: char| letter.is_ascii_alphanumeric() || " ._-'\"<>=!~(),*+".contains(letter);
    let begins = BEGIN.iter().any(|begin| text.starts_with(begin));
    (text.is_empty() || (begins && text.chars().all(plain))).then_some(())
}

struct Exact(Option<String>);

// Returns the one version that is allowed, if it is one; nothing if these are no bounds.
fn exact(specifiers: &str) -> Option<Exact> {
    let text = specifiers.trim();
    let text = text
        .strip_prefix('(')
        .and_then(|text| text.strip_suffix(')'))
        .unwrap_or(text);
    let mut exact = None;
    for part in text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        let ops = ["===", "==", "~=", "!=", "<=", ">=", "<", ">"];
        let (op, version) = ops
            .iter()
            .find_map(|op| Some((*op, part.strip_prefix(op)?.trim())))?;
        let plain = |letter: char| letter.is_ascii_alphanumeric() || ".*+!-_".contains(letter);
        if version.is_empty() || !version.chars().all(plain) {
            return None;
        }
        if op.starts_with("==") && !version.contains('*') {
            exact = Some(version.to_owned());
        }
    }
    Some(Exact(exact))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Dependency {
        parse(text).unwrap_or_else(|| panic!("{text}"))
    }

    #[test]
    fn requirements_are_read_as_pep_508_has_them() {
        assert_eq!(read("requests").version, None);
        assert!(!read("requests[a, b] ; python_version < '3.8'").bounded);
        assert_eq!(
            read("A.B-c == 1.0.post1 ").version.as_deref(),
            Some("1.0.post1")
        );
        assert_eq!(read("x (>=1,<2); extra == 'y'").version, None);
        assert!(read("x~=1.4").bounded);
        assert_eq!(read("x==1.*").version, None);
        let direct = read("x @ https://a.b/x.whl#sha256=00 ; os_name == 'nt'");
        assert!(direct.hashed);
        assert!(matches!(direct.origin, Origin::Url(_)));
        for bad in [
            "x y",
            "x==",
            "-x",
            "x; rm -rf /",
            "x=1",
            "x $(id)",
            "x[",
            "x==1 && id",
            "",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_repository_is_exact_by_its_commit() {
        let commit = "9fceb02d0ae598e95dc970b74767f19372d61af8";
        let exact = |text: &str| match read(text).origin {
            Origin::Repository { exact, .. } => Some(exact),
            _ => None,
        };
        assert_eq!(
            exact(&format!("x @ git+https://g.h/a/b@{commit}")),
            Some(true)
        );
        assert_eq!(exact("x @ git+https://g.h/a/b@main"), Some(false));
        assert_eq!(exact("git+ssh://git@g.h/a/b.git#egg=b"), Some(false));
        assert_eq!(read("git+https://g.h/a/b.git#egg=b").name, "b");
        assert_eq!(exact("x @ https://g.h/b.zip"), None);
    }

    #[test]
    fn lines_are_options_comments_or_requirements() {
        assert_eq!(line("  # text"), Some(Line::Empty));
        assert_eq!(
            line("-r base.txt # x"),
            Some(Line::Include("base.txt".to_owned()))
        );
        let index = Some(Line::ExtraIndex("http://a/b".to_owned()));
        assert_eq!(line("--extra-index-url=http://a/b"), index);
        assert_eq!(line("--extra-index-url http://a/b"), index);
        assert_eq!(line("--run-this"), None);
        let Some(Line::Requirement(hashed)) = line("x==1 --hash=sha256:00") else {
            panic!();
        };
        assert!(hashed.hashed);
    }
}
