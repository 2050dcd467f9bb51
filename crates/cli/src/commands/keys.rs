//! `custos keys`: generate, list, show.

use std::path::{Path, PathBuf};

use custos_core::crypto::{KeyPair, PublicKey};
use custos_trust::keys::{self as files, PasswordFile, PasswordSource as _};
use custos_trust::signers::reference::{KeyReference, SecretName};
use serde_json::{Value, json};

use crate::args::{KeysArgs, KeysCommand, KeysGenerateArgs};
use crate::context::Context;
use crate::exit::Exit;
use crate::files::shown;
use crate::keys::{self, PRIVATE, PUBLIC};
use crate::settings::Settings;
use crate::term::Role;
use crate::{Failure, Outcome};

/// Runs the command.
pub fn run(args: &KeysArgs, context: &Context) -> Outcome {
    match &args.command {
        KeysCommand::Generate(args) => generate(args, context),
        KeysCommand::List => list(context),
        KeysCommand::Public { key } => public(key, context),
        KeysCommand::Revoke(args) => super::revoke::revoke(args, context),
        KeysCommand::Rotate(args) => super::revoke::rotate(args, context),
        KeysCommand::Impact(args) => super::impact::run(args, context),
        KeysCommand::Approve(args) => super::approve::run(args, context),
    }
}

fn generate(args: &KeysGenerateArgs, context: &Context) -> Outcome {
    if let Some(named) = &args.name {
        match keys::references::parse(named)? {
            KeyReference::File(_) => {}
            KeyReference::Kubernetes(secret) => return generate_secret(&secret, args, context),
            elsewhere => return Err(made_there(&elsewhere)),
        }
    }
    let (private, public, pair) = make(args, context)?;
    let id = pair.public_key().id();
    let mut human = format!(
        "private key  {}\npublic key   {}\nkey id       {}  ({})\n",
        context.term.paint(Role::Literal, &shown(&private)),
        context.term.paint(Role::Literal, &shown(&public)),
        id,
        args.kind,
    );
    human.push_str(&expectation(&public, context));
    if args.password.no_password {
        context
            .term
            .warn("the private key is not encrypted; only its file mode (0600) protects it");
    }
    context.term.result(
        &human,
        &json!({
            "schema": "custos.keys.generate/1",
            "private": shown(&private), "public": shown(&public), "keyId": id, "kind": args.kind.name(),
        }),
    )?;
    Ok(Exit::Yes)
}

fn made_there(elsewhere: &KeyReference) -> Failure {
    Failure::usage("E0002", "a key in a token or key service is made there")
        .at(elsewhere.to_string())
        .help("make it with the tool of the token or service, then name it with --key")
}

// The Secret holds its own password, as cosign's do.
fn generate_secret(secret: &SecretName, args: &KeysGenerateArgs, context: &Context) -> Outcome {
    if args.password.password_file.is_some() || args.password.no_password {
        return Err(
            Failure::usage("E0002", "a key in a Secret has a password of its own")
                .at(secret.to_string())
                .help("leave --password-file and --no-password out"),
        );
    }
    let pair = KeyPair::generate(args.kind)
        .map_err(|error| Failure::undecided("E0702", error.to_string()))?;
    keys::references::create_secret(secret, &pair)?;
    let id = pair.public_key().id();
    let human = format!(
        "private key  {}\nkey id       {id}  ({})\n\n`custos keys public {secret}` prints the public key\n",
        context.term.paint(Role::Literal, &secret.to_string()),
        args.kind,
    );
    context.term.result(
        &human,
        &json!({
            "schema": "custos.keys.generate/1",
            "private": secret.to_string(), "public": Value::Null, "keyId": id, "kind": args.kind.name(),
        }),
    )?;
    Ok(Exit::Yes)
}

/// Makes a key pair in files that must not exist yet.
pub(super) fn make(
    args: &KeysGenerateArgs,
    context: &Context,
) -> Result<(PathBuf, PathBuf, KeyPair), Failure> {
    let (private, public) = paths(args, context)?;
    for path in [&private, &public] {
        if path.exists() {
            return Err(Failure::usage(
                "E0008",
                "the key exists, and Custos does not overwrite it",
            )
            .at(shown(path))
            .help("name another key, or move this one away first"));
        }
    }
    let pair = KeyPair::generate(args.kind)
        .map_err(|error| Failure::undecided("E0702", error.to_string()))?;
    let written = match (&args.password.password_file, args.password.no_password) {
        (_, true) => files::write_plain(&private, &pair),
        (Some(file), false) => PasswordFile::new(context.resolve(file))
            .password(&private)
            .and_then(|password| files::write_encrypted(&private, &pair, &password)),
        (None, false) => {
            let password = keys::new_password(&private)?;
            files::write_encrypted(&private, &pair, &password)
        }
    };
    written
        .and_then(|()| files::write_public(&public, pair.public_key()))
        .map_err(|error| keys::failure(&error))?;
    Ok((private, public, pair))
}

// What makes verifications expect this key, ready to be pasted.
fn expectation(public: &Path, context: &Context) -> String {
    let name = public.file_stem().unwrap_or_default().to_string_lossy();
    let file = Settings::file_for(context);
    // Paths in the settings start at the folder of the settings. Strings of JSON are also TOML's.
    let base = file.parent().unwrap_or(context.cwd());
    let key = Value::String(shown(public.strip_prefix(base).unwrap_or(public)));
    format!(
        "\nto expect it, add to {}:\n  [[signer]]\n  name = {}\n  key = {key}\n",
        shown(file.strip_prefix(context.cwd()).unwrap_or(&file)),
        Value::String(name.into_owned()),
    )
}

fn paths(args: &KeysGenerateArgs, context: &Context) -> Result<(PathBuf, PathBuf), Failure> {
    let with = |base: &Path, ending: &str| {
        let mut text = base.as_os_str().to_owned();
        text.push(".");
        text.push(ending);
        PathBuf::from(text)
    };
    if let Some(prefix) = &args.output_prefix {
        let prefix = context.resolve(prefix);
        return Ok((with(&prefix, PRIVATE), with(&prefix, PUBLIC)));
    }
    let name = args.name.as_deref().unwrap_or_default();
    if !keys::is_name(name) || name == "log" {
        return Err(Failure::usage("E0002", format!("`{name}` cannot be a key's name"))
            .because("a name has letters, digits, `-` and `_`, at most 64; `log` is the log's own key")
            .help("--output-prefix writes key files anywhere"));
    }
    let home = context.home()?;
    home.create()?;
    let base = home.keys().join(name);
    Ok((with(&base, PRIVATE), with(&base, PUBLIC)))
}

fn list(context: &Context) -> Outcome {
    let dir = context.home()?.keys();
    let mut human = String::new();
    let mut rows = Vec::new();
    let mut names: Vec<PathBuf> = match std::fs::read_dir(&dir) {
        Ok(entries) => entries
            .filter_map(Result::ok)
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|ending| ending == PUBLIC))
            .collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(Failure::io(shown(&dir), &error)),
    };
    names.sort();
    for path in names {
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let key = match files::load_public(&path) {
            Ok(key) => key,
            // One broken file hides no other key.
            Err(error) => {
                context.term.warn(&error.to_string());
                continue;
            }
        };
        let private = path.with_extension(PRIVATE);
        let private = if private.is_file() {
            "private key here"
        } else {
            "public key only"
        };
        human.push_str(&format!(
            "{name:<16} {:<8} {}  {private}\n",
            key.kind().name(),
            context.term.paint(Role::Literal, &key.id().to_string()),
        ));
        rows.push(json!({
            "name": name, "kind": key.kind().name(), "keyId": key.id(), "public": shown(&path),
            "private": path.with_extension(PRIVATE).is_file(),
        }));
    }
    if rows.is_empty() {
        human = format!("no keys in {}\n", dir.display());
        context.term.note("`custos keys generate NAME` makes one");
    }
    context.term.result(
        &human,
        &json!({ "schema": "custos.keys.list/1", "keys": rows }),
    )?;
    Ok(Exit::Yes)
}

fn public(named: &str, context: &Context) -> Outcome {
    let key = match keys::references::parse(named)? {
        KeyReference::File(_) => public_of_file(named, context)?,
        reference => keys::references::public(&reference)?,
    };
    let pem = key.to_pem();
    context.term.result(&pem, &json!({
        "schema": "custos.keys.public/1", "keyId": key.id(), "kind": key.kind().name(), "pem": pem,
    }))?;
    Ok(Exit::Yes)
}

// A name leads to its public file; a file may be either half.
fn public_of_file(named: &str, context: &Context) -> Result<PublicKey, Failure> {
    let path = keys::find(named, PUBLIC, context)?;
    if let Ok(key) = files::load_public(&path) {
        return Ok(key);
    }
    let args = crate::args::KeyArgs {
        key: Some(named.to_owned()),
        password_file: None,
        keyless: crate::args::KeylessArgs::default(),
    };
    let signer = keys::signer(&args, &Settings::default(), context)?;
    Ok(signer.public_key().clone())
}
