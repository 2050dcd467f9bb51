//! Where things lie: the repository, the build folder, the cache, scratch folders. The only
//! module that reads the environment and the clock.
#![expect(
    clippy::disallowed_methods,
    reason = "the sanctioned reader of environment and clock"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// The folders that xtask works with.
#[derive(Debug, Clone)]
pub struct Place {
    /// The repository.
    pub root: PathBuf,
    /// What Cargo builds into.
    pub target: PathBuf,
    /// Peers and test inputs, kept between runs, outside the tree.
    pub cache: PathBuf,
}

impl Place {
    /// Finds the folders from the environment that Cargo gives to `cargo xtask`.
    pub fn find() -> Result<Self> {
        let manifest = std::env::var_os("CARGO_MANIFEST_DIR")
            .context("start this as `cargo xtask`: CARGO_MANIFEST_DIR is not set")?;
        let root = PathBuf::from(manifest)
            .parent()
            .context("xtask does not lie in a workspace")?
            .to_path_buf();
        let target = match std::env::var_os("CARGO_TARGET_DIR") {
            Some(dir) if !dir.is_empty() => root.join(dir),
            _ => root.join("target"),
        };
        Ok(Self {
            root,
            target,
            cache: cache_dir()?,
        })
    }

    /// A file of the release profile: `custos`, `examples/NAME`.
    pub fn built(&self, name: &str) -> PathBuf {
        self.target.join("release").join(name)
    }

    /// A script or requirements file of the peers.
    pub fn peer_file(&self, name: &str) -> PathBuf {
        self.root.join("xtask/peers").join(name)
    }
}

fn cache_dir() -> Result<PathBuf> {
    for (name, below) in [
        ("CUSTOS_TEST_CACHE", ""),
        ("XDG_CACHE_HOME", "custos"),
        ("HOME", ".cache/custos"),
    ] {
        if let Some(value) = std::env::var_os(name).filter(|value| !value.is_empty()) {
            let dir = PathBuf::from(value).join(below);
            if dir.is_absolute() {
                return Ok(dir);
            }
            bail!("{name} must be an absolute path");
        }
    }
    bail!("none of CUSTOS_TEST_CACHE, XDG_CACHE_HOME and HOME is set")
}

/// True when a continuous-integration system says so: then fewer skips are allowed.
pub fn in_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false")
}

/// A binary given by the caller instead of the built one.
pub fn given_binary() -> Option<PathBuf> {
    std::env::var_os("CUSTOS_BIN")
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

/// `kube-apiserver` in the folder that `KUBEBUILDER_ASSETS` names, and etcd there or on the path.
pub fn kubernetes() -> Option<(PathBuf, PathBuf)> {
    let folder = PathBuf::from(std::env::var_os("KUBEBUILDER_ASSETS")?);
    let server = Some(folder.join("kube-apiserver")).filter(|path| path.is_file())?;
    let beside = Some(folder.join("etcd")).filter(|path| path.is_file());
    Some((server, beside.or_else(|| on_path("etcd"))?))
}

/// The first file of this name on `PATH`.
pub fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
}

/// A started stopwatch.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Time since the start.
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// A folder that is removed at the end.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes an empty folder in the system's folder for temporary files. It is never below the
    /// repository, where `custos` would find settings of the project on its way up.
    pub fn new(name: &str) -> Result<Self> {
        Self::below(&std::env::temp_dir(), name)
    }

    /// Makes an empty folder below `parent`.
    pub fn below(parent: &Path, name: &str) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = parent.join(format!(
            "custos-xtask-{}-{number}-{name}",
            std::process::id()
        ));
        fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        Ok(Self(dir))
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A path in the folder.
    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A path in the folder, as a word of a command line.
    pub fn file(&self, name: &str) -> String {
        self.join(name).to_string_lossy().into_owned()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is left to the system's cleaning of temporary files.
        let _ = fs::remove_dir_all(&self.0);
    }
}
