//! The folder of an authority: `root.pem`, `issuing.pem`, `timestamp.pem`, `ct.pub`, and a `.key`
//! for each. `root.key` belongs on another machine or a medium in a drawer.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use custos_core::crypto::{KeyError, KeyPair, Pem};
use custos_trust::keys::{self, PasswordSource};
use custos_trust::signer::{KeySigner, Signer};

use super::{
    AuthorityError, Made, Params, Parts, Protection, Root, certificate_pem, random_serial,
};

const MAX_PEM: u64 = 64 * 1024;
const ROOT: &str = "root";
const ISSUING: &str = "issuing";
const TIMESTAMP: &str = "timestamp";
const LOG: &str = "ct";

/// Writes a new authority: into a folder beside `dir` first, which then takes its place.
pub(super) fn write(dir: &Path, params: &Params<'_>, made: &Made) -> Result<(), AuthorityError> {
    let io_error = |action| move |error: io::Error| failed(dir, action, &error);
    match fs::read_dir(dir).map(|mut entries| entries.next().is_none()) {
        Ok(true) => {}
        Ok(false) => {
            return Err(AuthorityError::AlreadyThere {
                path: dir.to_owned(),
            });
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(dir, "read", &error)),
    }
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(io_error("create"))?;
    let staging = staging(dir)?;
    fs::create_dir(&staging).map_err(|error| failed(&staging, "create", &error))?;
    let written = write_all(&staging, params, made).and_then(|()| {
        sync_dir(&staging)?;
        fs::rename(&staging, dir).map_err(io_error("create"))?;
        sync_dir(parent)
    });
    if written.is_err() {
        // Ours, as it did not exist before.
        let _ = fs::remove_dir_all(&staging);
    }
    written
}

/// Reads the root's certificate and key.
pub(super) fn read_root(
    dir: &Path,
    passwords: &dyn PasswordSource,
) -> Result<Root, AuthorityError> {
    let path = dir.join(format!("{ROOT}.key"));
    let loaded = keys::load_private(&path, passwords).map_err(AuthorityError::KeyFile)?;
    Root::new(
        certificate(dir, ROOT)?,
        Box::new(KeySigner::new(loaded.pair)),
    )
}

/// Reads certificates and keys, but not the root's key.
pub(super) fn read(dir: &Path, passwords: &dyn PasswordSource) -> Result<Parts, AuthorityError> {
    let key = |name: &str| -> Result<Box<dyn Signer>, AuthorityError> {
        let path = dir.join(format!("{name}.key"));
        let loaded = keys::load_private(&path, passwords).map_err(AuthorityError::KeyFile)?;
        Ok(Box::new(KeySigner::new(loaded.pair)))
    };
    Ok(Parts::new(
        certificate(dir, ROOT)?,
        (certificate(dir, ISSUING)?, key(ISSUING)?),
        (certificate(dir, TIMESTAMP)?, key(TIMESTAMP)?),
        key(LOG)?,
    ))
}

fn write_all(dir: &Path, params: &Params<'_>, made: &Made) -> Result<(), AuthorityError> {
    restrict(dir)?;
    let members = [
        (ROOT, Some(&made.root), made.root_key.as_ref()),
        (ISSUING, Some(&made.issuing), Some(&made.issuing_key)),
        (TIMESTAMP, Some(&made.timestamp), Some(&made.timestamp_key)),
        (LOG, None, Some(&made.log_key)),
    ];
    for (name, certificate, pair) in members {
        let protection = if name == ROOT {
            params.root_protection
        } else {
            params.online_protection
        };
        if let Some(pair) = pair {
            write_key(&dir.join(format!("{name}.key")), pair, protection)?;
        }
        if let Some(der) = certificate {
            write_text(&dir.join(format!("{name}.pem")), &certificate_pem(der))?;
        }
    }
    let log = made.log_key.public_key();
    keys::write_public(&dir.join(format!("{LOG}.pub")), log).map_err(AuthorityError::KeyFile)
}

fn write_key(
    path: &Path,
    pair: &KeyPair,
    protection: Protection<'_>,
) -> Result<(), AuthorityError> {
    match protection {
        Protection::Password(password) => keys::write_encrypted(path, pair, password),
        Protection::Plain => keys::write_plain(path, pair),
    }
    .map_err(AuthorityError::KeyFile)
}

fn write_text(path: &Path, text: &str) -> Result<(), AuthorityError> {
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|error| failed(path, "write", &error))
}

fn certificate(dir: &Path, name: &str) -> Result<Vec<u8>, AuthorityError> {
    let path = dir.join(format!("{name}.pem"));
    let mut text = String::new();
    File::open(&path)
        .and_then(|file| file.take(MAX_PEM).read_to_string(&mut text))
        .map_err(|error| failed(&path, "read", &error))?;
    let pem_error = |source| AuthorityError::Pem {
        path: path.clone(),
        source,
    };
    let pem = Pem::parse(&text).map_err(pem_error)?;
    if pem.label() == "CERTIFICATE" {
        Ok(pem.bytes().to_vec())
    } else {
        Err(AuthorityError::Key(KeyError::WrongPemLabel {
            expected: "CERTIFICATE",
            found: pem.label().to_owned(),
        }))
    }
}

// A name of its own each time: what an interrupted process left behind is in nobody's way.
fn staging(dir: &Path) -> Result<PathBuf, AuthorityError> {
    let mut name = dir.file_name().unwrap_or_default().to_owned();
    name.push(format!(
        ".{:032x}.new",
        u128::from_be_bytes(random_serial()?)
    ));
    Ok(dir.with_file_name(name))
}

fn sync_dir(dir: &Path) -> Result<(), AuthorityError> {
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(|error| failed(dir, "sync", &error))
}

#[cfg(unix)]
fn restrict(dir: &Path) -> Result<(), AuthorityError> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700))
        .map_err(|error| failed(dir, "protect", &error))
}

#[cfg(not(unix))]
fn restrict(_: &Path) -> Result<(), AuthorityError> {
    Ok(())
}

fn failed(path: &Path, action: &'static str, error: &io::Error) -> AuthorityError {
    AuthorityError::Io {
        path: path.to_owned(),
        action,
        message: error.to_string(),
    }
}
