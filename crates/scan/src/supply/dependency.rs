//! Dependencies, in whatever file they are listed.

/// Where names and versions have their meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Ecosystem {
    Conda,
    Crates,
    Go,
    Npm,
    PyPi,
}

impl Ecosystem {
    /// Returns its name, as package URLs have it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Conda => "conda",
            Self::Crates => "cargo",
            Self::Go => "golang",
            Self::Npm => "npm",
            Self::PyPi => "pypi",
        }
    }

    /// Returns the one of this name in the schema of OSV.
    pub(super) fn of_osv(name: &str) -> Option<Self> {
        Some(match name.split(':').next()? {
            "PyPI" => Self::PyPi,
            "npm" => Self::Npm,
            "crates.io" => Self::Crates,
            "Go" => Self::Go,
            _ => return None,
        })
    }

    /// Returns a name in its one spelling: PEP 503 for `PyPI`.
    pub(super) fn normal(self, name: &str) -> String {
        match self {
            Self::PyPi => {
                let lower = name.trim().to_lowercase();
                let parts = lower.split(['-', '_', '.']).filter(|part| !part.is_empty());
                parts.collect::<Vec<_>>().join("-")
            }
            Self::Crates => name.trim().to_lowercase().replace('_', "-"),
            Self::Conda | Self::Npm | Self::Go => name.trim().to_lowercase(),
        }
    }
}

/// Where a dependency comes from, as far as the file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// Wherever the installing program looks.
    Unsaid,
    /// An index.
    Index(String),
    /// A file behind a URL.
    Url(String),
    /// A repository, and whether exactly one commit of it.
    Repository { url: String, exact: bool },
    /// A place on the machine.
    Local,
}

/// One dependency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Dependency {
    pub(super) ecosystem: Ecosystem,
    pub(super) name: String,
    /// The one version that is meant, if it is one.
    pub(super) version: Option<String>,
    /// Whether any bound on the version is said.
    pub(super) bounded: bool,
    pub(super) hashed: bool,
    pub(super) origin: Origin,
    pub(super) line: Option<u32>,
}

impl Dependency {
    pub(super) fn new(ecosystem: Ecosystem, name: &str) -> Self {
        Self {
            ecosystem,
            name: name.to_owned(),
            version: None,
            bounded: false,
            hashed: false,
            origin: Origin::Unsaid,
            line: None,
        }
    }

    /// Returns it at exactly this version.
    pub(super) fn at(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self.bounded = true;
        self
    }

    /// Returns it from there.
    pub(super) fn from(mut self, origin: Origin) -> Self {
        self.origin = origin;
        self
    }

    /// Returns its name and version, as people write them.
    pub(super) fn title(&self) -> String {
        match &self.version {
            Some(version) => format!("{} {version}", self.name),
            None => self.name.clone(),
        }
    }

    /// Returns its package URL.
    pub(super) fn purl(&self) -> String {
        let name = self.ecosystem.normal(&self.name);
        let version = self.version.as_deref().unwrap_or_default();
        format!("pkg:{}/{name}@{version}", self.ecosystem.name())
    }
}

/// Where else a file says to look for packages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Index {
    pub(super) url: String,
    /// In addition to others, with equal right.
    pub(super) extra: bool,
    pub(super) line: Option<u32>,
}

/// What a file lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) purpose: Purpose,
    pub(super) dependencies: Vec<Dependency>,
    pub(super) indexes: Vec<Index>,
    /// Whether indexes are not to be asked.
    pub(super) no_index: bool,
}

/// What a list is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Somebody wrote what is to be installed.
    Wishes,
    /// A program wrote what it resolved.
    Lock,
    /// A package says what it needs.
    Metadata,
}

impl Manifest {
    pub(super) const fn new(purpose: Purpose) -> Self {
        Self {
            purpose,
            dependencies: Vec::new(),
            indexes: Vec::new(),
            no_index: false,
        }
    }
}

/// Returns the origin that a URL is, with the prefix of a version control system or without.
pub(super) fn origin(url: &str) -> Origin {
    let url = url.trim();
    let prefixes = ["git+", "hg+", "svn+", "bzr+", "git://", "git@", "ssh://"];
    let is_repository = prefixes.iter().any(|prefix| url.starts_with(prefix));
    if is_repository || url.strip_suffix(".git").is_some() {
        let (before, fragment) = url.split_once('#').unwrap_or((url, ""));
        let revision = before
            .rsplit_once('/')
            .and_then(|(_, last)| last.split_once('@'))
            .map_or("", |(_, revision)| revision);
        let query = before
            .split_once("rev=")
            .map_or("", |(_, revision)| revision);
        let exact = [revision, fragment, query].into_iter().any(is_commit);
        return Origin::Repository {
            url: url.to_owned(),
            exact,
        };
    }
    if url.starts_with("file:") || !url.contains("://") {
        return Origin::Local;
    }
    Origin::Url(url.to_owned())
}

/// Returns true if it names one commit: SHA-1 or SHA-256, in full.
pub(super) fn is_commit(revision: &str) -> bool {
    matches!(revision.len(), 40 | 64) && revision.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Returns the host of a URL.
pub(super) fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    host.split(':').next().unwrap_or_default()
}
