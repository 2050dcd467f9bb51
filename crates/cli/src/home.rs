//! Where state lies: `--home`, else `CUSTOS_HOME`, else the nearest `.custos/` upward, else the
//! user's data folder (XDG Base Directory Specification).

use std::path::{Path, PathBuf};

use crate::files::shown;
use crate::report::Failure;
use crate::system::{env, variable};

/// Name of a project's home.
pub const PROJECT_HOME: &str = ".custos";

/// The folder that holds keys, trust, log and store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    root: PathBuf,
    origin: Origin,
}

/// What decided on the home.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// `--home`.
    Flag,
    /// `CUSTOS_HOME`.
    Environment,
    /// A `.custos/` at or above the working folder.
    Project,
    /// The user's data folder.
    User,
}

impl Origin {
    /// Returns it in words, for `doctor`.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Flag => "from --home",
            Self::Environment => "from CUSTOS_HOME",
            Self::Project => "the project's .custos folder",
            Self::User => "the user's data folder",
        }
    }
}

impl Home {
    /// Finds the home; it need not exist yet.
    pub fn find(flag: Option<&Path>, cwd: &Path) -> Result<Self, Failure> {
        if let Some(root) = flag {
            return Ok(Self {
                root: cwd.join(root),
                origin: Origin::Flag,
            });
        }
        if let Some(root) = variable(env::HOME) {
            return Ok(Self {
                root: cwd.join(root),
                origin: Origin::Environment,
            });
        }
        let project = cwd
            .ancestors()
            .map(|dir| dir.join(PROJECT_HOME))
            .find(|dir| dir.is_dir());
        if let Some(root) = project {
            return Ok(Self {
                root,
                origin: Origin::Project,
            });
        }
        let data = variable(env::XDG_DATA_HOME)
            .map(PathBuf::from)
            // The specification says that a relative path is to be ignored.
            .filter(|path| path.is_absolute())
            .or_else(|| {
                let home = PathBuf::from(variable(env::USER_HOME)?);
                home.is_absolute().then(|| home.join(".local/share"))
            });
        match data {
            Some(data) => Ok(Self { root: data.join("custos"), origin: Origin::User }),
            None => Err(Failure::usage("E0010", "there is no place for keys, log and store")
                .because("none of --home, CUSTOS_HOME, a .custos folder, XDG_DATA_HOME, HOME is there")
                .help("run `custos init` in your project, or pass --home DIR")),
        }
    }

    /// Returns the home at `root`.
    pub fn at(root: PathBuf, origin: Origin) -> Self {
        Self { root, origin }
    }

    /// Returns the folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns what decided on it.
    pub const fn origin(&self) -> Origin {
        self.origin
    }

    /// Returns the folder of private and public keys.
    pub fn keys(&self) -> PathBuf {
        self.root.join("keys")
    }

    /// Returns the folder of what is trusted: log keys, certificate authorities.
    pub fn trust(&self) -> PathBuf {
        self.root.join("trust")
    }

    /// Returns the folder of the log.
    pub fn log(&self) -> PathBuf {
        self.root.join("log")
    }

    /// Returns the file of the log's signing key.
    pub fn log_key(&self) -> PathBuf {
        self.keys().join("log.key")
    }

    /// Returns the file that names the log's verifier key.
    pub fn log_vkey(&self) -> PathBuf {
        self.trust().join("log.vkey")
    }

    /// Returns the folder of the digest cache.
    pub fn cache(&self) -> PathBuf {
        self.root.join("cache")
    }

    /// Returns the folder of what is under way.
    pub fn spool(&self) -> PathBuf {
        self.root.join("spool")
    }

    /// Creates the home and its folders, private to the user, and keeps it out of Git.
    pub fn create(&self) -> Result<(), Failure> {
        use std::os::unix::fs::DirBuilderExt as _;
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        if self.root.exists() && !self.root.is_dir() {
            return Err(Failure::usage("E0010", "the home is not a folder")
                .at(shown(&self.root))
                .because(format!("it comes {}", self.origin.describe()))
                .help("pass --home DIR, or set CUSTOS_HOME to a folder"));
        }
        for dir in [self.root.clone(), self.keys(), self.trust(), self.cache()] {
            builder
                .create(&dir)
                .map_err(|error| Failure::io(shown(&dir), &error))?;
        }
        let ignore = self.root.join(".gitignore");
        if !ignore.exists() {
            std::fs::write(&ignore, "*\n").map_err(|error| Failure::io(shown(&ignore), &error))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_project_home_wins() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a/b");
        std::fs::create_dir_all(&deep).unwrap();
        std::fs::create_dir_all(dir.path().join("a/.custos")).unwrap();
        std::fs::create_dir_all(dir.path().join(".custos")).unwrap();
        if variable(env::HOME).is_none() {
            let home = Home::find(None, &deep).unwrap();
            assert_eq!(home.root(), dir.path().join("a/.custos"));
            assert_eq!(home.origin(), Origin::Project);
        }
        let home = Home::find(Some(Path::new("x")), &deep).unwrap();
        assert_eq!(home.root(), deep.join("x"));
    }

    #[test]
    fn creation_is_private_and_ignored_by_git() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path().join("h"), Origin::Flag);
        home.create().unwrap();
        home.create().unwrap();
        let mode = std::fs::metadata(home.keys()).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0);
        assert_eq!(
            std::fs::read_to_string(home.root().join(".gitignore")).unwrap(),
            "*\n"
        );
    }
}
