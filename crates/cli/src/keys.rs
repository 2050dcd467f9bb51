//! Keys as people name them: a name in the home's keys folder, a file, or a reference to a key that
//! is no file ([`references`]).

pub mod references;

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use custos_core::crypto::PublicKey;
use custos_trust::keys::{self, KeyFileError, LoadedKey, Password, PasswordFile, PasswordSource};
use custos_trust::signer::{KeySigner, Signer};
use custos_trust::signers::reference::KeyReference;

use crate::args::KeyArgs;
use crate::context::Context;
use crate::files::shown;
use crate::report::Failure;
use crate::settings::Settings;

/// Ending of private key files.
pub const PRIVATE: &str = "key";
/// Ending of public key files.
pub const PUBLIC: &str = "pub";

/// Opens the key that signs: `--key`, else the settings' `[signing] key`.
pub fn signer(
    args: &KeyArgs,
    settings: &Settings,
    context: &Context,
) -> Result<Box<dyn Signer>, Failure> {
    let named = named(args, settings)?;
    match signing_reference(args, settings)? {
        KeyReference::File(_) => {
            let loaded = load(named, args, context)?;
            Ok(Box::new(KeySigner::new(loaded.pair)))
        }
        reference => references::signer(&reference, args, context),
    }
}

/// Returns where the key that signs lies.
pub fn signing_reference(args: &KeyArgs, settings: &Settings) -> Result<KeyReference, Failure> {
    let reference = references::parse(named(args, settings)?)?;
    if args.key.is_some() {
        Ok(reference)
    } else {
        references::from_settings(reference, settings)
    }
}

fn named<'a>(args: &'a KeyArgs, settings: &'a Settings) -> Result<&'a str, Failure> {
    args.key
        .as_deref()
        .or(settings.signing_key.as_deref())
        .ok_or_else(|| {
            Failure::usage("E0705", "no key was named to sign with")
                .help("pass --key NAME, or set `[signing] key` in custos.toml")
                .help("`custos keys generate NAME` makes one")
        })
}

fn load(named: &str, args: &KeyArgs, context: &Context) -> Result<LoadedKey, Failure> {
    let path = find(named, PRIVATE, context)?;
    let source: Box<dyn PasswordSource> = match &args.password_file {
        Some(file) => Box::new(PasswordFile::new(context.resolve(file))),
        None => Box::new(Prompt),
    };
    let loaded = keys::load_private(&path, source.as_ref()).map_err(|error| failure(&error))?;
    if let Some(mode) = loaded.exposed {
        context.term.warn(&format!(
            "{} can be read by others (mode {mode:o}); `chmod 600` it",
            path.display()
        ));
    }
    Ok(loaded)
}

/// Returns a public key: of a file, of a name in the home's keys folder, or of a reference, whose
/// service is asked.
pub fn public(named: &str, context: &Context) -> Result<PublicKey, Failure> {
    match references::parse(named)? {
        KeyReference::File(_) => public_file(named, context),
        reference => references::public(&reference),
    }
}

fn public_file(named: &str, context: &Context) -> Result<PublicKey, Failure> {
    let path = find(named, PUBLIC, context)?;
    keys::load_public(&path).map_err(|error| {
        let private = keys::load_private(&path, &custos_trust::keys::NoPassword).is_ok();
        let failure = failure(&error);
        if private {
            failure.help("this is a private key; `custos keys public KEY` prints its public key")
        } else {
            failure
        }
    })
}

/// Returns the file of a key. A bare name is always a key of the home: a file that somebody put
/// into the working folder must not stand in for it.
pub fn find(named: &str, ending: &str, context: &Context) -> Result<PathBuf, Failure> {
    let file = context.resolve(Path::new(named));
    if is_name(named) {
        let key = context.home()?.keys().join(format!("{named}.{ending}"));
        if key.is_file() {
            return Ok(key);
        }
        let mut failure = Failure::usage("E0701", format!("there is no key `{named}`"))
            .at(shown(&key))
            .help("`custos keys list` shows the keys of this home")
            .help(format!("`custos keys generate {named}` makes one"));
        if file.is_file() {
            failure = failure.help(format!("`./{named}` is the file here of that name"));
        }
        return Err(failure);
    }
    match file.symlink_metadata() {
        Ok(_) => Ok(file),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(Failure::usage("E0701", "there is no such key file")
                .at(shown(&file))
                .help(
                    "a key of this home is named without an ending; `custos keys list` shows them",
                ))
        }
        Err(error) => Err(Failure::io(shown(&file), &error)),
    }
}

/// Returns true if `named` may be a key's name; anything else is a path.
pub fn is_name(named: &str) -> bool {
    !named.is_empty()
        && named.len() <= 64
        && named
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

/// Asks for a new password twice.
pub fn new_password(path: &Path) -> Result<Password, Failure> {
    let first = ask(&format!("Password for {}: ", path.display()))?;
    let second = ask("The same again: ")?;
    if first != second {
        return Err(Failure::usage("E0703", "the two passwords differ"));
    }
    if first.is_empty() {
        return Err(Failure::usage("E0703", "the password is empty")
            .help("pass --no-password to write the key unencrypted"));
    }
    Ok(first)
}

/// Asks for the password of a key that is there.
pub fn ask_password(path: &Path) -> Result<Password, Failure> {
    Prompt.password(path).map_err(|error| failure(&error))
}

/// Returns a key file error as people see it.
pub fn failure(error: &KeyFileError) -> Failure {
    match error {
        KeyFileError::WrongPassword { path } => {
            Failure::no("E0703", "the key file does not open with this password").at(shown(path))
        }
        KeyFileError::PasswordNeeded { path } => {
            Failure::usage("E0704", "the key is encrypted, and there is nobody to ask")
                .at(shown(path))
                .help("pass --password-file FILE")
        }
        KeyFileError::Io {
            path,
            kind,
            message,
            ..
        } => Failure::io(shown(path), &std::io::Error::new(*kind, message.clone())),
        KeyFileError::Exists { path } => Failure::usage(
            "E0008",
            "the key file exists, and Custos does not overwrite it",
        )
        .at(shown(path)),
        other => Failure::usage("E0702", "the key is not accepted").because(other.to_string()),
    }
}

// Asks on the terminal; without one there is no password.
struct Prompt;

impl PasswordSource for Prompt {
    fn password(&self, path: &Path) -> Result<Password, KeyFileError> {
        if !std::io::stdin().is_terminal() {
            return Err(KeyFileError::PasswordNeeded {
                path: path.to_owned(),
            });
        }
        rpassword::prompt_password(format!("Password of {}: ", path.display()))
            .map(|text| Password::new(text.into_bytes()))
            .map_err(|_| KeyFileError::PasswordNeeded {
                path: path.to_owned(),
            })
    }
}

fn ask(prompt: &str) -> Result<Password, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(
            Failure::usage("E0704", "there is no terminal to ask for a password on")
                .help("pass --password-file FILE, or --no-password to write the key unencrypted"),
        );
    }
    rpassword::prompt_password(prompt)
        .map(|text| Password::new(text.into_bytes()))
        .map_err(|error| Failure::io("terminal", &error))
}
