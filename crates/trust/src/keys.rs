//! Private and public keys in files.
//!
//! A private key is written once, with mode 0600, and never over an existing file. It lies in
//! cosign's encrypted form (see [`encrypted`]) or, if somebody insists, in plain PKCS#8 (RFC 5958).
//! Passwords are asked for only when a file turns out to be encrypted.
//!
//! What it is not: it does not decide where keys live, and it reads no environment.

pub mod encrypted;

use std::fs::{File, FileType, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use custos_core::crypto::{KeyError, KeyPair, Pem, PublicKey};
use zeroize::Zeroizing;

pub use encrypted::EncryptionError;

/// Largest key file that is read, in bytes. An encrypted P-521 key has under 1,000.
pub const MAX_KEY_FILE: u64 = 16 * 1024;

/// Longest password, in bytes.
pub const MAX_PASSWORD: usize = 1024;

/// A password; erased when dropped.
pub type Password = Zeroizing<Vec<u8>>;

/// Where a password comes from, asked only for a file that is encrypted.
pub trait PasswordSource {
    /// Returns the password of the key file at `path`.
    fn password(&self, path: &Path) -> Result<Password, KeyFileError>;
}

/// Has no password: an encrypted file is an error.
#[derive(Debug, Clone, Copy)]
#[allow(clippy::exhaustive_structs, reason = "it carries nothing")]
pub struct NoPassword;

impl PasswordSource for NoPassword {
    fn password(&self, path: &Path) -> Result<Password, KeyFileError> {
        Err(KeyFileError::PasswordNeeded {
            path: path.to_owned(),
        })
    }
}

/// Always has the same password.
#[derive(Clone)]
pub struct FixedPassword(Password);

impl FixedPassword {
    /// Returns a source of this password.
    pub fn new(password: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(password.into()))
    }
}

impl std::fmt::Debug for FixedPassword {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FixedPassword")
    }
}

impl PasswordSource for FixedPassword {
    fn password(&self, _: &Path) -> Result<Password, KeyFileError> {
        Ok(self.0.clone())
    }
}

/// Reads the password from a file or a pipe; one final line break does not belong to it.
#[derive(Debug, Clone)]
pub struct PasswordFile(PathBuf);

impl PasswordFile {
    /// Returns a source that reads `path` when asked.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }
}

impl PasswordSource for PasswordFile {
    fn password(&self, _: &Path) -> Result<Password, KeyFileError> {
        let (mut bytes, _) = read_limited(&self.0, is_pipe)?;
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
            if bytes.last() == Some(&b'\r') {
                bytes.pop();
            }
        }
        if bytes.len() > MAX_PASSWORD {
            return Err(KeyFileError::PasswordTooLong { found: bytes.len() });
        }
        Ok(bytes)
    }
}

/// How a private key lies in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Protection {
    /// Anybody who can read the file has the key.
    Plain,
    /// Encrypted with a password.
    Password,
}

/// A private key as it was found.
#[derive(Debug)]
#[non_exhaustive]
pub struct LoadedKey {
    /// The key.
    pub pair: KeyPair,
    /// How its file protects it.
    pub protection: Protection,
    /// The file's permission bits, if others than its owner can read it: a reason for a warning.
    pub exposed: Option<u32>,
}

/// Loads a private key: cosign's encrypted PEM, or PEM of types `PRIVATE KEY` and
/// `EC PRIVATE KEY`.
pub fn load_private(path: &Path, password: &dyn PasswordSource) -> Result<LoadedKey, KeyFileError> {
    let (bytes, exposed) = read_limited(path, |_| false)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| KeyFileError::NotText {
        path: path.to_owned(),
    })?;
    let key_error = |source| KeyFileError::Key {
        path: path.to_owned(),
        source,
    };
    let pem = Pem::parse(text).map_err(|error| key_error(KeyError::Pem(error)))?;
    if !encrypted::is_encrypted(&pem) {
        let pair = KeyPair::from_pem(text).map_err(key_error)?;
        return Ok(LoadedKey {
            pair,
            protection: Protection::Plain,
            exposed,
        });
    }
    let password = password.password(path)?;
    let pair = encrypted::decrypt(&pem, &password).map_err(|source| match source {
        EncryptionError::WrongPassword => KeyFileError::WrongPassword {
            path: path.to_owned(),
        },
        source => KeyFileError::Encryption {
            path: path.to_owned(),
            source,
        },
    })?;
    Ok(LoadedKey {
        pair,
        protection: Protection::Password,
        exposed,
    })
}

/// Writes a private key, encrypted with `password`, to a new file with mode 0600.
pub fn write_encrypted(path: &Path, pair: &KeyPair, password: &[u8]) -> Result<(), KeyFileError> {
    let pem = encrypted::encrypt(pair, password).map_err(|source| KeyFileError::Encryption {
        path: path.to_owned(),
        source,
    })?;
    write_new(path, pem.to_text().as_bytes(), 0o600)
}

/// Writes a private key as plain PKCS#8 to a new file with mode 0600.
pub fn write_plain(path: &Path, pair: &KeyPair) -> Result<(), KeyFileError> {
    let der = pair.to_pkcs8_der().map_err(|source| KeyFileError::Key {
        path: path.to_owned(),
        source,
    })?;
    let text = Zeroizing::new(Pem::new("PRIVATE KEY", der.to_vec()).to_text());
    write_new(path, text.as_bytes(), 0o600)
}

/// Loads a public key in PEM.
pub fn load_public(path: &Path) -> Result<PublicKey, KeyFileError> {
    let (bytes, _) = read_limited(path, |_| false)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| KeyFileError::NotText {
        path: path.to_owned(),
    })?;
    PublicKey::from_pem(text).map_err(|source| KeyFileError::Key {
        path: path.to_owned(),
        source,
    })
}

/// Writes a public key in PEM to a new file.
pub fn write_public(path: &Path, key: &PublicKey) -> Result<(), KeyFileError> {
    write_new(path, key.to_pem().as_bytes(), 0o644)
}

// The bytes, and the permission bits if group or others may read. `also` are kinds of files other
// than regular ones that are read.
fn read_limited(
    path: &Path,
    also: fn(FileType) -> bool,
) -> Result<(Password, Option<u32>), KeyFileError> {
    let io_error = |error: io::Error| KeyFileError::io(path, "read", &error);
    let file = File::open(path).map_err(io_error)?;
    let metadata = file.metadata().map_err(io_error)?;
    if !metadata.is_file() && !also(metadata.file_type()) {
        return Err(KeyFileError::NotAFile {
            path: path.to_owned(),
        });
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(4096));
    file.take(MAX_KEY_FILE.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(io_error)?;
    if u64::try_from(bytes.len()).is_ok_and(|len| len > MAX_KEY_FILE) {
        return Err(KeyFileError::TooLarge {
            path: path.to_owned(),
        });
    }
    Ok((bytes, exposed_mode(&metadata)))
}

// What a shell makes of `<(command)`.
#[cfg(unix)]
fn is_pipe(kind: FileType) -> bool {
    use std::os::unix::fs::FileTypeExt as _;
    kind.is_fifo()
}

#[cfg(not(unix))]
fn is_pipe(_: FileType) -> bool {
    false
}

#[cfg(unix)]
fn exposed_mode(metadata: &std::fs::Metadata) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = metadata.permissions().mode() & 0o7777;
    (mode & 0o077 != 0).then_some(mode)
}

#[cfg(not(unix))]
fn exposed_mode(_: &std::fs::Metadata) -> Option<u32> {
    None
}

// `create_new` is O_EXCL: an existing key, or a symlink laid out by somebody else, is an error.
fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), KeyFileError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    set_mode(&mut options, mode);
    let mut file = options.open(path).map_err(|error| {
        if error.kind() == io::ErrorKind::AlreadyExists {
            KeyFileError::Exists {
                path: path.to_owned(),
            }
        } else {
            KeyFileError::io(path, "create", &error)
        }
    })?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    written.map_err(|error| {
        // Half a key helps nobody; the file is ours, as it did not exist before.
        let _ = std::fs::remove_file(path);
        KeyFileError::io(path, "write", &error)
    })
}

#[cfg(unix)]
fn set_mode(options: &mut OpenOptions, mode: u32) {
    use std::os::unix::fs::OpenOptionsExt as _;
    options.mode(mode);
}

#[cfg(not(unix))]
fn set_mode(_: &mut OpenOptions, _: u32) {}

/// Why a key file was not read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// The encrypted form is broken or not accepted.
    #[error("{}: {source}", path.display())]
    Encryption {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: EncryptionError,
    },
    /// A file is there already; keys are never overwritten.
    #[error("{} exists already; a key is never overwritten", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot {action} {}: {message}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// `read`, `create` or `write`.
        action: &'static str,
        /// Kind of error.
        kind: io::ErrorKind,
        /// What the system says.
        message: String,
    },
    /// Not a key, or a kind that is not supported.
    #[error("{}: {source}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: KeyError,
    },
    /// A folder, pipe or device.
    #[error("{} is not a regular file", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// Not UTF-8.
    #[error("{} is not a PEM text", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
    },
    /// The file is encrypted and nobody gave a password.
    #[error("{} is encrypted and needs a password", path.display())]
    PasswordNeeded {
        /// The file.
        path: PathBuf,
    },
    /// More than [`MAX_PASSWORD`] bytes.
    #[error("the password has {found} bytes, the limit is {MAX_PASSWORD}")]
    PasswordTooLong {
        /// Bytes found.
        found: usize,
    },
    /// The person did not give a password.
    #[error("no password was given")]
    PasswordRefused,
    /// More than [`MAX_KEY_FILE`] bytes.
    #[error("{} is larger than {MAX_KEY_FILE} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The password does not open this file (or the file was changed).
    #[error("the password does not open {}", path.display())]
    WrongPassword {
        /// The file.
        path: PathBuf,
    },
}

impl KeyFileError {
    fn io(path: &Path, action: &'static str, error: &io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            action,
            kind: error.kind(),
            message: error.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use custos_core::crypto::KeyKind;

    #[test]
    fn a_key_is_private_and_never_overwritten() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("k.key");
        let pair = KeyPair::generate(KeyKind::P256).unwrap();
        write_plain(&path, &pair).unwrap();
        let loaded = load_private(&path, &NoPassword).unwrap();
        assert_eq!(loaded.pair.public_key(), pair.public_key());
        assert_eq!(
            (loaded.protection, loaded.exposed),
            (Protection::Plain, None)
        );
        let before = std::fs::read(&path).unwrap();
        let other = KeyPair::generate(KeyKind::P256).unwrap();
        let exists = KeyFileError::Exists { path: path.clone() };
        assert_eq!(write_plain(&path, &other), Err(exists.clone()));
        assert_eq!(write_encrypted(&path, &other, b"pw"), Err(exists));
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }

    #[cfg(unix)]
    #[test]
    fn modes_are_set_and_reported_and_links_are_not_followed_on_write() {
        use std::os::unix::fs::PermissionsExt as _;
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("k.key");
        let pair = KeyPair::generate(KeyKind::Ed25519).unwrap();
        write_plain(&path, &pair).unwrap();
        let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(), 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(
            load_private(&path, &NoPassword).unwrap().exposed,
            Some(0o640)
        );
        let link = home.path().join("link");
        std::os::unix::fs::symlink(home.path().join("elsewhere"), &link).unwrap();
        assert_eq!(
            write_plain(&link, &pair),
            Err(KeyFileError::Exists { path: link })
        );
        assert!(!home.path().join("elsewhere").exists());
    }

    #[test]
    fn the_password_is_asked_for_only_when_needed_and_a_wrong_one_is_its_own_error() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("k.key");
        let pair = KeyPair::generate(KeyKind::P384).unwrap();
        write_encrypted(&path, &pair, b"pw").unwrap();
        assert_eq!(
            load_private(&path, &NoPassword).unwrap_err(),
            KeyFileError::PasswordNeeded { path: path.clone() }
        );
        assert_eq!(
            load_private(&path, &FixedPassword::new("pw ")).unwrap_err(),
            KeyFileError::WrongPassword { path: path.clone() }
        );
        let file = home.path().join("pw");
        std::fs::write(&file, "pw\r\n").unwrap();
        let loaded = load_private(&path, &PasswordFile::new(&file)).unwrap();
        assert_eq!(loaded.pair.public_key(), pair.public_key());
        assert_eq!(loaded.protection, Protection::Password);
    }

    #[cfg(unix)]
    #[test]
    fn a_password_may_come_through_a_pipe_and_a_key_not() {
        let home = tempfile::tempdir().unwrap();
        let (key, pipe) = (home.path().join("k.key"), home.path().join("pipe"));
        let pair = KeyPair::generate(KeyKind::P256).unwrap();
        write_encrypted(&key, &pair, b"pw").unwrap();
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        let write = |text: &'static str| {
            let pipe = pipe.clone();
            std::thread::spawn(move || std::fs::write(pipe, text))
        };
        let writer = write("pw\n");
        load_private(&key, &PasswordFile::new(&pipe)).unwrap();
        writer.join().unwrap().unwrap();
        let writer = write("x");
        assert_eq!(
            load_private(&pipe, &NoPassword).unwrap_err(),
            KeyFileError::NotAFile { path: pipe.clone() }
        );
        // Nobody read it, which may or may not be an error to who wrote.
        let _ = writer.join().unwrap();
    }

    #[test]
    fn oversized_and_odd_files_are_refused() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("big");
        std::fs::write(&path, vec![b'-'; 20_000]).unwrap();
        assert_eq!(
            load_private(&path, &NoPassword).unwrap_err(),
            KeyFileError::TooLarge { path: path.clone() }
        );
        std::fs::write(&path, [0xff, 0xfe]).unwrap();
        assert_eq!(
            load_private(&path, &NoPassword).unwrap_err(),
            KeyFileError::NotText { path: path.clone() }
        );
        assert_eq!(
            load_private(home.path(), &NoPassword).unwrap_err(),
            KeyFileError::NotAFile {
                path: home.path().to_owned()
            }
        );
        let gone = home.path().join("gone");
        assert!(matches!(
            load_public(&gone),
            Err(KeyFileError::Io {
                kind: io::ErrorKind::NotFound,
                ..
            })
        ));
    }
}
