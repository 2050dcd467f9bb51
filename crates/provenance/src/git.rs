//! The state of the Git repository around a folder: revision, branch, remote, dirtiness.
//!
//! It asks the `git` binary, so that every repository format works. A repository is input from a
//! stranger: its configuration can name programs (file-system monitors, filters, hooks, pagers)
//! that `git` would run. All of them are switched off here, system and user configuration are not
//! read, and no lock is taken. What cannot be told without running them is unknown.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::time::Duration;

use crate::process::{Answer, Question, ask, find_program};

/// Something known, or the reason why not.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "there is no third case")]
pub enum Known<T> {
    /// Known.
    Known(T),
    /// Not known, and why.
    Unknown(String),
}

impl<T> Known<T> {
    /// Returns the value, if it is known.
    pub const fn value(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Unknown(_) => None,
        }
    }

    fn unknown(reason: impl Into<String>) -> Self {
        Self::Unknown(reason.into())
    }
}

/// The state of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GitState {
    /// Object id of the current commit, hex.
    pub revision: Known<String>,
    /// Name of the current branch.
    pub branch: Known<String>,
    /// URL of the remote `origin`, without user, password, query and fragment.
    pub remote: Known<String>,
    /// True if a tracked file differs from the revision.
    pub dirty: Known<bool>,
    /// True if there are files that Git neither tracks nor ignores.
    pub untracked: Known<bool>,
}

impl GitState {
    fn all_unknown(reason: &str) -> Self {
        Self {
            revision: Known::unknown(reason),
            branch: Known::unknown(reason),
            remote: Known::unknown(reason),
            dirty: Known::unknown(reason),
            untracked: Known::unknown(reason),
        }
    }
}

/// Returns the state of the repository around `directory`, with `git` from `search_path`.
pub fn inspect(directory: &Path, search_path: Option<&OsStr>) -> GitState {
    let Some(program) = find_program(OsStr::new("git"), search_path) else {
        return GitState::all_unknown("git is not installed");
    };
    let git = Git {
        program: &program,
        directory,
        search_path,
    };
    match git.line(&["rev-parse", "--is-inside-work-tree"]) {
        Ok(text) if text == "true" => {}
        Ok(_) => return GitState::all_unknown("not inside a Git work tree"),
        Err(reason) => return GitState::all_unknown(&reason),
    }
    let (dirty, untracked) = git.dirtiness();
    GitState {
        revision: git.revision(),
        branch: git.branch(),
        remote: git.remote(),
        dirty,
        untracked,
    }
}

struct Git<'a> {
    program: &'a Path,
    directory: &'a Path,
    search_path: Option<&'a OsStr>,
}

const TIME_LIMIT: Duration = Duration::from_secs(20);
const OUTPUT_LIMIT: usize = 256 << 10;

// Settings of the repository that would make git run a program, or look outside of it.
const SAFE_SETTINGS: [&str; 9] = [
    "core.fsmonitor=false",
    "core.hooksPath=/dev/null",
    "core.attributesFile=/dev/null",
    "core.excludesFile=/dev/null",
    "core.pager=cat",
    "submodule.recurse=false",
    "safe.bareRepository=explicit",
    "protocol.allow=never",
    "status.showUntrackedFiles=normal",
];

impl Git<'_> {
    fn ask(&self, overrides: &[OsString], arguments: &[&str]) -> Result<Answer, String> {
        let mut all: Vec<&OsStr> =
            vec![OsStr::new("--no-pager"), OsStr::new("--literal-pathspecs")];
        for setting in SAFE_SETTINGS
            .iter()
            .map(OsStr::new)
            .chain(overrides.iter().map(|o| &**o))
        {
            all.extend([OsStr::new("-c"), setting]);
        }
        all.extend(arguments.iter().map(OsStr::new));
        let null = || OsString::from("/dev/null");
        let environment = [
            ("PATH", self.search_path.unwrap_or_default().to_owned()),
            ("HOME", null()),
            ("LC_ALL", "C".into()),
            ("GIT_CONFIG_NOSYSTEM", "1".into()),
            ("GIT_CONFIG_SYSTEM", null()),
            ("GIT_CONFIG_GLOBAL", null()),
            ("GIT_ATTR_NOSYSTEM", "1".into()),
            ("GIT_OPTIONAL_LOCKS", "0".into()),
            ("GIT_TERMINAL_PROMPT", "0".into()),
            ("GIT_NO_LAZY_FETCH", "1".into()),
            ("GIT_NO_REPLACE_OBJECTS", "1".into()),
        ];
        ask(&Question {
            program: self.program,
            arguments: &all,
            environment: &environment,
            directory: self.directory,
            time_limit: TIME_LIMIT,
            output_limit: OUTPUT_LIMIT,
        })
        .map_err(|error| format!("git: {error}"))
    }

    fn line(&self, arguments: &[&str]) -> Result<String, String> {
        let answer = self.ask(&[], arguments)?;
        if answer.status != Some(0) {
            let status = answer
                .status
                .map_or_else(|| "a signal".to_owned(), |s| s.to_string());
            return Err(format!("git {} ended with {status}", arguments.join(" ")));
        }
        String::from_utf8(answer.output)
            .map(|text| text.trim_end_matches('\n').to_owned())
            .map_err(|_| "git answered in another encoding than UTF-8".to_owned())
    }

    fn revision(&self) -> Known<String> {
        match self.line(&["rev-parse", "--verify", "--end-of-options", "HEAD^{commit}"]) {
            Ok(id) if matches!(id.len(), 40 | 64) && id.bytes().all(is_lower_hex) => {
                Known::Known(id)
            }
            Ok(_) => Known::unknown("git did not answer with an object id"),
            Err(_) => Known::unknown("there is no commit yet"),
        }
    }

    fn branch(&self) -> Known<String> {
        match self.line(&["symbolic-ref", "--short", "--quiet", "HEAD"]) {
            Ok(name) if !name.is_empty() => Known::Known(name),
            _ => Known::unknown("no branch is checked out"),
        }
    }

    fn remote(&self) -> Known<String> {
        match self.line(&["config", "--local", "--get", "remote.origin.url"]) {
            Ok(url) => match without_credentials(&url) {
                Some(url) => Known::Known(url),
                None => Known::unknown("the remote `origin` is not a network address"),
            },
            Err(_) => Known::unknown("there is no remote `origin`"),
        }
    }

    fn dirtiness(&self) -> (Known<bool>, Known<bool>) {
        let filters = match self.filters() {
            Ok(filters) => filters,
            Err(reason) => return (Known::unknown(&reason), Known::unknown(&reason)),
        };
        let answer = self.ask(
            &filters,
            &[
                "status",
                "--porcelain=v2",
                "-z",
                "--ignore-submodules=dirty",
                "--no-renames",
            ],
        );
        let answer = match answer {
            Ok(answer) if answer.status == Some(0) || answer.cut => answer,
            Ok(_) => return both("git status failed"),
            Err(reason) => return both(&reason),
        };
        let mut tracked = false;
        let mut untracked = false;
        for entry in answer
            .output
            .split(|byte| *byte == 0)
            .filter(|entry| !entry.is_empty())
        {
            match entry.first() {
                Some(b'?') => untracked = true,
                Some(b'1' | b'2' | b'u') => tracked = true,
                _ => {}
            }
        }
        // Changes come before untracked files: in a cut answer an absent kind may still follow.
        let told = |seen: bool| {
            if seen || !answer.cut {
                Known::Known(seen)
            } else {
                Known::unknown("there are too many changes to look at")
            }
        };
        if tracked && !filters.is_empty() {
            let reason = "the repository names filter programs, which are not run here";
            return (Known::unknown(reason), told(untracked));
        }
        (told(tracked), told(untracked))
    }

    // `git status` runs the clean filters that the repository's own configuration names; they are
    // replaced by nothing, one by one, as there is no switch for all.
    fn filters(&self) -> Result<Vec<OsString>, String> {
        let answer = self.ask(
            &[],
            &["config", "--list", "--includes", "--name-only", "-z"],
        )?;
        if answer.cut || answer.status != Some(0) {
            return Err("the repository's configuration could not be listed".to_owned());
        }
        let mut overrides = Vec::new();
        for name in answer.output.split(|byte| *byte == 0) {
            let lower = name.to_ascii_lowercase();
            if !lower.starts_with(b"filter.") {
                continue;
            }
            let name =
                std::str::from_utf8(name).map_err(|_| "a filter's name is not UTF-8".to_owned())?;
            // A name with `=` cannot be overridden on the command line.
            if name.contains('=') {
                return Err("a filter's name has a `=`".to_owned());
            }
            let Some((driver, _)) = name.rsplit_once('.') else {
                continue;
            };
            overrides.push(format!("{driver}.clean=").into());
            overrides.push(format!("{driver}.process=").into());
            overrides.push(format!("{driver}.required=false").into());
        }
        Ok(overrides)
    }
}

/// Removes user, password, query and fragment from a remote URL; `None` if it is a path.
///
/// A token is often the user name, so that goes as well.
pub fn without_credentials(url: &str) -> Option<String> {
    if url.len() > 4096 || url.chars().any(char::is_control) {
        return None;
    }
    let (scheme, rest) = match url.split_once("://") {
        Some(("file", _)) => return None,
        Some((scheme, rest)) => (Some(scheme), rest),
        None => (None, url),
    };
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    if let Some(scheme) = scheme {
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let host = authority.rsplit('@').next().unwrap_or_default();
        return (!host.is_empty()).then(|| format!("{scheme}://{host}/{path}"));
    }
    // The short form of ssh: `user@host:path`, where a slash before the colon makes it a path.
    let (host, path) = rest.split_once(':')?;
    let host = host.rsplit('@').next().unwrap_or_default();
    (!host.is_empty() && !host.contains('/')).then(|| format!("ssh://{host}/{path}"))
}

fn both(reason: &str) -> (Known<bool>, Known<bool>) {
    (Known::unknown(reason), Known::unknown(reason))
}

const fn is_lower_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

    struct Repository(tempfile::TempDir);

    impl Repository {
        fn new() -> Self {
            let repository = Self(tempfile::tempdir().unwrap());
            repository.git(&["init", "--quiet", "--initial-branch=trunk"]);
            repository
        }

        fn git(&self, arguments: &[&str]) {
            let status = Command::new("git")
                .args(["-c", "user.name=t", "-c", "user.email=t@example.com"])
                .args(["-c", "commit.gpgsign=false"])
                .args(arguments)
                .current_dir(self.0.path())
                .env_clear()
                .env("PATH", PATH)
                .env("GIT_CONFIG_NOSYSTEM", "1")
                .env("GIT_CONFIG_GLOBAL", "/dev/null")
                .output()
                .unwrap()
                .status;
            assert!(status.success(), "{arguments:?}");
        }

        fn write(&self, name: &str, text: &str) {
            std::fs::write(self.0.path().join(name), text).unwrap();
        }

        fn inspect(&self) -> GitState {
            inspect(self.0.path(), Some(OsStr::new(PATH)))
        }
    }

    #[test]
    fn tells_a_clean_tree_from_changes_and_new_files() {
        let repository = Repository::new();
        assert!(matches!(repository.inspect().revision, Known::Unknown(_)));
        repository.write("a", "1");
        repository.git(&["add", "a"]);
        repository.git(&["commit", "--quiet", "-m", "first"]);
        repository.git(&[
            "remote",
            "add",
            "origin",
            "https://token:x@example.com/a/b.git?k=1",
        ]);
        let state = repository.inspect();
        assert_eq!(state.revision.value().unwrap().len(), 40);
        assert_eq!(state.branch, Known::Known("trunk".into()));
        assert_eq!(
            state.remote,
            Known::Known("https://example.com/a/b.git".into())
        );
        assert_eq!(
            (state.dirty, state.untracked),
            (Known::Known(false), Known::Known(false))
        );

        repository.write("b", "new");
        let state = repository.inspect();
        assert_eq!(
            (state.dirty, state.untracked),
            (Known::Known(false), Known::Known(true))
        );
        repository.write("a", "22");
        let state = repository.inspect();
        assert_eq!(
            (state.dirty, state.untracked),
            (Known::Known(true), Known::Known(true))
        );
        repository.git(&["checkout", "--quiet", "--detach"]);
        assert!(matches!(repository.inspect().branch, Known::Unknown(_)));
    }

    #[test]
    fn runs_no_program_that_the_repository_names() {
        let repository = Repository::new();
        repository.write("a", "1");
        repository.write(".gitattributes", "* filter=evil\n");
        repository.git(&["add", "."]);
        repository.git(&["commit", "--quiet", "-m", "first"]);
        let touch = |name: &str| format!("touch {}/{name}; cat", repository.0.path().display());
        repository.git(&["config", "core.fsmonitor", &touch("fsmonitor-ran")]);
        repository.git(&["config", "filter.evil.clean", &touch("filter-ran")]);
        repository.git(&["config", "filter.evil.required", "true"]);
        let hook = repository.0.path().join(".git/hooks/post-index-change");
        std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
        std::fs::write(&hook, format!("#!/bin/sh\n{}\n", touch("hook-ran"))).unwrap();
        std::fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .unwrap();
        repository.write("a", "2");

        let state = repository.inspect();
        assert!(
            matches!(state.dirty, Known::Unknown(_)),
            "{:?}",
            state.dirty
        );
        for trace in ["fsmonitor-ran", "filter-ran", "hook-ran"] {
            assert!(!repository.0.path().join(trace).exists(), "{trace}");
        }
        // The trap is a real one: git itself steps into it.
        repository.git(&["-c", "core.fsmonitor=false", "status", "--short"]);
        assert!(repository.0.path().join("filter-ran").exists());
    }

    #[test]
    fn without_git_or_repository_everything_is_unknown_and_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let reason = |state: GitState| match state.revision {
            Known::Unknown(reason) => reason,
            Known::Known(id) => panic!("{id}"),
        };
        let none = inspect(folder.path(), Some(OsStr::new("/nowhere")));
        assert_eq!(reason(none), "git is not installed");
        let outside = inspect(folder.path(), Some(OsStr::new(PATH)));
        assert_eq!(
            reason(outside),
            "git rev-parse --is-inside-work-tree ended with 128"
        );
    }

    #[test]
    fn credentials_are_cut_off() {
        for (url, clean) in [
            ("https://user:pw@host/p", Some("https://host/p")),
            (
                "https://ghp_token@host/p?x=secret#y",
                Some("https://host/p"),
            ),
            ("https://a@b@host/p", Some("https://host/p")),
            ("ssh://git@host:22/p", Some("ssh://host:22/p")),
            ("git@host:org/p.git", Some("ssh://host/org/p.git")),
            ("/home/me/repo", None),
            ("../repo", None),
            ("./a:b", None),
            ("file:///home/me/repo", None),
            ("https://", None),
        ] {
            assert_eq!(without_credentials(url).as_deref(), clean, "{url}");
        }
    }
}
