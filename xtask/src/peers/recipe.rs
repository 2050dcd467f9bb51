//! How a peer is had: a Python environment, a Go program built from source, packages of Debian or
//! npm unpacked into a folder. Nothing is installed into the system.
//!
//! Python and npm packages are pinned with their digests, Go modules by the checksum database of
//! Go, Debian's packages by the signature of its archive.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use crate::place::{self, Place};
use crate::process::{self, Finished};

/// Time that the installation of one peer may take.
const INSTALL_LIMIT: Duration = Duration::from_mins(10);
/// Likewise where a large program is built from source.
const BUILD_LIMIT: Duration = Duration::from_mins(25);

/// One way to have a peer.
#[derive(Debug, Clone, Copy)]
pub(super) enum Recipe {
    /// A Python environment after `xtask/peers/NAME.txt`.
    Venv {
        /// Python that must run without an error once the peer is there.
        probe: &'static str,
    },
    /// Python packages that run here although they declare another Python: only their files are
    /// laid out.
    Unpacked {
        /// As for `Venv`.
        probe: &'static str,
    },
    /// A program built by Go.
    Go {
        /// Its import path.
        package: &'static str,
        /// The version of its module.
        version: &'static str,
    },
    /// A few lines over somebody's library, built by Go from `xtask/peers/NAME`, where the digests
    /// of all modules stand.
    GoSource {
        /// The program's name.
        program: &'static str,
    },
    /// Packages of Debian, unpacked.
    Debian {
        /// Their names.
        packages: &'static [&'static str],
        /// Files that must be there afterwards.
        needs: &'static [&'static str],
    },
    /// Packages of npm after `xtask/peers/NAME/package-lock.json`.
    Npm {
        /// A file that must be there afterwards.
        needs: &'static str,
    },
}

impl Recipe {
    /// True if installing takes minutes.
    pub(super) const fn is_heavy(self) -> bool {
        matches!(self, Self::Go { .. })
    }

    /// True if its pins stand in a requirements file.
    #[cfg(test)]
    pub(super) const fn is_python(self) -> bool {
        matches!(self, Self::Venv { .. } | Self::Unpacked { .. })
    }

    /// What identifies the installation: a change of it is another one.
    pub(super) fn pins(self, name: &str, place: &Place) -> Result<Vec<u8>> {
        let read = |path: PathBuf| {
            fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        Ok(match self {
            Self::Venv { .. } | Self::Unpacked { .. } => {
                let mut pins = read(requirements(name, place))?;
                // An environment is bound to one interpreter.
                pins.extend(python_version()?.into_bytes());
                pins
            }
            Self::Go { package, version } => format!("{package}@{version}").into_bytes(),
            Self::GoSource { .. } => {
                let files = ["go.mod", "go.sum", "main.go"];
                let texts = files.map(|file| read(place.peer_file(name).join(file)));
                texts.into_iter().collect::<Result<Vec<_>>>()?.concat()
            }
            Self::Debian { packages, .. } => packages.join(" ").into_bytes(),
            Self::Npm { .. } => read(place.peer_file(name).join("package-lock.json"))?,
        })
    }

    /// Installs into the empty `folder`.
    pub(super) fn install(self, name: &str, place: &Place, folder: &Path) -> Result<()> {
        match self {
            Self::Venv { .. } => venv(&requirements(name, place), folder),
            Self::Unpacked { .. } => {
                let mut install = Command::new("python3");
                install
                    .args(["-m", "pip", "install", "--no-deps"])
                    .args(["--ignore-requires-python", "--target"])
                    .arg(folder.join("unpacked"));
                pip(install, &requirements(name, place))
            }
            Self::Go { package, version } => {
                let module = format!("{package}@{version}");
                let mut install = Command::new("go");
                install.args(["install", "-trimpath", &module]);
                go(install, place, folder)
            }
            Self::GoSource { program } => {
                let mut build = Command::new("go");
                build
                    .args(["build", "-trimpath", "-mod=readonly", "-o"])
                    .arg(folder.join("bin").join(program))
                    .current_dir(place.peer_file(name));
                go(build, place, folder)
            }
            Self::Debian { packages, .. } => debian(packages, folder),
            Self::Npm { .. } => npm(&place.peer_file(name), folder),
        }
    }

    /// Fails unless what was installed starts.
    pub(super) fn probe(self, folder: &Path) -> Result<()> {
        match self {
            Self::Venv { probe } | Self::Unpacked { probe } => {
                process::run(
                    self.python(folder).args(["-c", probe]),
                    Duration::from_mins(1),
                )?
                .success()?;
            }
            Self::Go { .. } | Self::GoSource { .. } => {
                let program = self.program(folder);
                ensure!(program.is_file(), "there is no {}", program.display());
            }
            Self::Debian { needs, .. } => {
                for file in needs {
                    ensure!(
                        self.below(folder).join(file).is_file(),
                        "there is no {file}"
                    );
                }
            }
            Self::Npm { needs } => ensure!(folder.join(needs).is_file(), "there is no {needs}"),
        }
        Ok(())
    }

    /// The folder that its files lie in.
    pub(super) fn below(self, folder: &Path) -> PathBuf {
        match self {
            Self::Unpacked { .. } | Self::Debian { .. } => folder.join("unpacked"),
            Self::Go { .. } | Self::GoSource { .. } => folder.join("bin"),
            Self::Venv { .. } | Self::Npm { .. } => folder.to_path_buf(),
        }
    }

    /// The program that Go built.
    pub(super) fn program(self, folder: &Path) -> PathBuf {
        let name = match self {
            Self::Go { package, .. } => package.rsplit('/').next().unwrap_or(package),
            Self::GoSource { program } => program,
            _ => "",
        };
        self.below(folder).join(name)
    }

    /// The Python that sees the packages.
    pub(super) fn python(self, folder: &Path) -> Command {
        let mut command = match self {
            Self::Venv { .. } => Command::new(folder.join("venv/bin/python")),
            _ => Command::new("python3"),
        };
        for name in ["PYTHONHOME", "PYTHONSTARTUP", "PYTHONPATH"] {
            command.env_remove(name);
        }
        command
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PYTHONUTF8", "1");
        if matches!(self, Self::Unpacked { .. }) {
            command.env("PYTHONPATH", self.below(folder));
        }
        command
    }
}

fn requirements(name: &str, place: &Place) -> PathBuf {
    place.peer_file(&format!("{name}.txt"))
}

fn python_version() -> Result<String> {
    if place::on_path("python3").is_none() {
        bail!("python3 is not installed");
    }
    let mut ask = Command::new("python3");
    ask.args(["-c", "import sys; print(sys.version, sys.base_prefix)"]);
    Ok(process::run(&mut ask, Duration::from_secs(30))?
        .success()?
        .stdout)
}

fn venv(requirements: &Path, folder: &Path) -> Result<()> {
    let venv = folder.join("venv");
    let mut make = Command::new("python3");
    process::run(make.args(["-m", "venv"]).arg(&venv), INSTALL_LIMIT)?
        .success()
        .context("`python3 -m venv` does not work here (Debian: package python3-venv)")?;
    let mut install = Command::new(venv.join("bin/python"));
    install.args(["-m", "pip", "install"]);
    pip(install, requirements)
}

fn pip(mut install: Command, requirements: &Path) -> Result<()> {
    install
        .args(["--quiet", "--disable-pip-version-check", "--no-input"])
        .args(["--require-hashes", "--only-binary", ":all:"])
        .args(["--retries", "2", "--timeout", "20", "--requirement"])
        .arg(requirements);
    let done = process::run(&mut install, INSTALL_LIMIT)?;
    if !done.status.success() {
        let last = done
            .stderr
            .lines()
            .rev()
            .find(|line| line.contains("ERROR"));
        bail!(
            "pip could not install it: {}",
            last.unwrap_or(done.stderr.trim())
        );
    }
    Ok(())
}

// Modules and built packages are shared by all peers of this kind: they have most in common.
fn go(mut command: Command, place: &Place, folder: &Path) -> Result<()> {
    if place::on_path("go").is_none() {
        bail!("go is not installed");
    }
    command
        .env("CGO_ENABLED", "0")
        .env("GOFLAGS", "-modcacherw")
        .env("GOPATH", place.cache.join("go"))
        .env("GOCACHE", place.cache.join("gobuild"))
        .env("GOBIN", folder.join("bin"));
    let done = process::run(&mut command, BUILD_LIMIT)?;
    if !done.status.success() {
        bail!("go could not build it: {}", last_lines(&done));
    }
    Ok(())
}

fn debian(packages: &[&str], folder: &Path) -> Result<()> {
    for tool in ["apt-get", "dpkg-deb"] {
        if place::on_path(tool).is_none() {
            bail!("{tool} is not installed: this peer comes from Debian's packages");
        }
    }
    let download = || {
        let mut command = Command::new("apt-get");
        command
            .args(["-q", "download"])
            .args(packages)
            .current_dir(folder);
        process::run(&mut command, INSTALL_LIMIT)
    };
    let mut done = download()?;
    if !done.status.success() {
        // Lists that are missing or old; only root may renew them, and without it this says why.
        let mut update = Command::new("apt-get");
        process::run(update.args(["-q", "update"]), INSTALL_LIMIT)?;
        done = download()?;
    }
    if !done.status.success() {
        bail!("apt-get could not download it: {}", last_lines(&done));
    }
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            let mut unpack = Command::new("dpkg-deb");
            unpack.arg("-x").arg(&path).arg(folder.join("unpacked"));
            process::run(&mut unpack, INSTALL_LIMIT)?.success()?;
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

fn npm(pins: &Path, folder: &Path) -> Result<()> {
    if place::on_path("npm").is_none() {
        bail!("npm is not installed");
    }
    for file in ["package.json", "package-lock.json"] {
        fs::copy(pins.join(file), folder.join(file))?;
    }
    let mut install = Command::new("npm");
    install
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        .current_dir(folder);
    let done = process::run(&mut install, INSTALL_LIMIT)?;
    if !done.status.success() {
        bail!("npm could not install it: {}", last_lines(&done));
    }
    Ok(())
}

fn last_lines(done: &Finished) -> String {
    let lines: Vec<&str> = done.stderr.trim().lines().rev().take(5).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("; ")
}
