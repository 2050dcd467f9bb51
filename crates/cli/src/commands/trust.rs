//! `custos trust`: an authority of one's own, and what the home trusts.

use std::path::Path;

use custos_core::clock::Timestamp;
use custos_core::digest::Algorithm;
use custos_core::oms::{ManifestBuilder, Method, Serialization};
use custos_net::Url;
use custos_server::Authority;
use custos_server::authority::{Params, Protection, Root, ServerParams};
use custos_server::trusted_root::{AuthorityInstance, LogInstance, Place, TrustedRoot, Validity};
use custos_trust::keys::{
    self as files, FixedPassword, Password, PasswordFile, PasswordSource as _,
};
use custos_trust::signer::KeySigner;
use custos_trust::verify::Certificate;
use serde_json::{Value, json};

use crate::args::{TrustArgs, TrustCommand, TrustInitArgs, TrustTlsArgs};
use crate::context::Context;
use crate::exit::Exit;
use crate::files::{publish_new, shown, write_new};
use crate::keys;
use crate::logs;
use crate::recording::Recording;
use crate::services::home_log::HomeLog;
use crate::services::{TrustPlace, authority_failure, is_local};
use crate::term::Role;
use crate::{Failure, Outcome};

const ROOT_NAME: &str = "trusted_root.json";

/// Runs the command.
pub fn run(args: &TrustArgs, context: &Context) -> Outcome {
    match &args.command {
        TrustCommand::Init(args) => init(args, context),
        TrustCommand::AddRoot(args) => super::trust_life::add_root(args, context),
        TrustCommand::Update(args) => super::trust_life::update(args, context),
        TrustCommand::Status => super::trust_life::status(context),
        TrustCommand::Publish(args) => super::trust_life::publish(args, context),
        TrustCommand::Show => show(context),
        TrustCommand::Tls(args) => tls(args, context),
    }
}

fn init(args: &TrustInitArgs, context: &Context) -> Outcome {
    let home = context.home()?;
    let place = TrustPlace::of(&home);
    if place.trusted_root().exists() {
        return Err(
            Failure::usage("E0811", "there is a trust root here already")
                .at(shown(&place.trusted_root()))
                .help("`custos trust show` prints it; nothing was changed"),
        );
    }
    let url = server_url(&args.url)?;
    if let Some(issuer) = &args.oidc_issuer {
        server_url(issuer)?;
    }
    let new = NewRoot {
        args,
        url: &url,
        // Whole seconds, as certificates and timestamps have them.
        now: Timestamp::from_seconds(context.now().as_seconds()),
        context,
        place: &place,
    };
    new.check()?;
    // Asked for last of all, and before anything is written.
    let password = new.password()?;
    home.create()?;
    logs::name(context, args.host.as_deref())?;
    let index = new.make(&password)?;
    report_new(&place, index, args, context)
}

struct NewRoot<'a> {
    args: &'a TrustInitArgs,
    url: &'a Url,
    now: Timestamp,
    context: &'a Context,
    place: &'a TrustPlace,
}

impl NewRoot<'_> {
    // What can be refused is refused before anything is written: a log once made keeps its name.
    fn check(&self) -> Result<(), Failure> {
        let home = self.context.home()?;
        self.context.settings()?;
        let names = [self.url.origin().host().to_owned()];
        ServerParams::new(&self.args.organization, &names, self.now)
            .check()
            .map_err(|error| authority_failure(&error))?;
        logs::check_name(&home, self.args.host.as_deref())?;
        if home.log_vkey().is_file() {
            HomeLog::open(self.context)?;
        }
        Ok(())
    }

    // An authority is there, but not the trusted root: the command was interrupted.
    fn is_resumed(&self) -> bool {
        self.place.authority().join("root.pem").is_file()
    }

    // The trusted root itself is written last: until it is there, the same command goes on where
    // it was interrupted.
    fn make(&self, password: &Password) -> Result<u64, Failure> {
        let dir = self.place.authority();
        let passwords = FixedPassword::new(password.to_vec());
        let authority = if self.is_resumed() {
            Authority::open(&dir, &passwords)
        } else {
            self.authority(&dir, password)
        };
        let authority = authority.map_err(|error| authority_failure(&error))?;
        let root = Root::open(&dir, &passwords).map_err(|error| authority_failure(&error))?;
        if !self.place.tls().exists() {
            let names = server_names(self.url, &logs::verifier_key(&self.context.home()?)?);
            let params = ServerParams::new(&self.args.organization, &names, self.now);
            let pem = root
                .server_pem(&params)
                .map_err(|e| authority_failure(&e))?;
            publish_new(&self.place.tls(), pem.as_bytes(), 0o600)?;
        }
        let url = self.args.url.trim_end_matches('/');
        let at = Place::new(&self.args.organization, url, Validity::from(self.now));
        let config = at.signing_config(self.args.oidc_issuer.as_deref());
        let config = config
            .to_bytes()
            .map_err(|e| Failure::internal(&e.to_string()))?;
        publish_new(&self.place.signing_config(), &config, 0o644)?;
        let log = logs::verifier_key(&self.context.home()?)?;
        let trusted = TrustedRoot::trusting_nothing()
            .with_authority(&authority, &at)
            .with_log(&log, Validity::from(self.now));
        let trusted = trusted
            .to_bytes()
            .map_err(|e| Failure::internal(&e.to_string()))?;
        let index = self.record(&trusted, &passwords)?;
        publish_new(&self.place.trusted_root(), &trusted, 0o644)?;
        Ok(index)
    }

    fn authority(
        &self,
        dir: &Path,
        password: &Password,
    ) -> Result<Authority, custos_server::authority::AuthorityError> {
        let root = if self.args.password.no_password {
            Protection::Plain
        } else {
            Protection::Password(password)
        };
        let params = Params::new(&self.args.organization, self.now, root, Protection::Plain);
        Authority::init(dir, &params)
    }

    fn password(&self) -> Result<Password, Failure> {
        let args = &self.args.password;
        let key = self.place.authority().join("root.key");
        match &args.password_file {
            Some(file) => PasswordFile::new(self.context.resolve(file))
                .password(&key)
                .map_err(|error| keys::failure(&error)),
            None if args.no_password => return Ok(Password::default()),
            None if self.is_resumed() => keys::ask_password(&key),
            None => keys::new_password(&key),
        }
        .and_then(|password| {
            if password.is_empty() {
                return Err(Failure::usage("E0703", "the password is empty")
                    .help("pass --no-password to write the root's key unencrypted"));
            }
            Ok(password)
        })
    }

    // The root's first signature is over what it is to be trusted for. It is also the log's first
    // entry, which no other must be: the Python client reads no entry 0.
    fn record(&self, trusted: &[u8], passwords: &FixedPassword) -> Result<u64, Failure> {
        let key = self.place.authority().join("root.key");
        let pair = files::load_private(&key, passwords).map_err(|error| keys::failure(&error))?;
        let internal = |error: &dyn std::fmt::Display| Failure::internal(&error.to_string());
        let serialization =
            Serialization::new(Method::Files, Algorithm::Sha256).map_err(|e| internal(&e))?;
        let mut manifest = ManifestBuilder::new(serialization);
        manifest
            .push_file(ROOT_NAME, &Algorithm::Sha256.digest(trusted))
            .map_err(|e| internal(&e))?;
        let statement = manifest
            .finish()
            .and_then(|manifest| manifest.to_statement(ROOT_NAME))
            .map_err(|e| internal(&e))?;
        let recording = Recording::open(Box::new(KeySigner::new(pair.pair)), self.context)?;
        let recorded = recording.one(statement)?;
        let bundle = crate::artifacts::signature_path(&self.place.trusted_root());
        crate::files::write_atomic(&bundle, &recorded.bytes)?;
        recorded
            .index
            .ok_or_else(|| Failure::internal("the log gave no index"))
    }
}

fn report_new(place: &TrustPlace, index: u64, args: &TrustInitArgs, context: &Context) -> Outcome {
    let root_key = place.authority().join("root.key");
    let (trusted, config) = (shown(&place.trusted_root()), shown(&place.signing_config()));
    let literal = |text: &str| context.term.paint(Role::Literal, text);
    let told = server_url(&args.url)?;
    let human = format!(
        "trust root      {}\nsigning config  {}\nroot key        {}\nlog entry       #{index}\n\n\
         give {ROOT_NAME} to whoever verifies, signing_config.json to whoever signs;\n\
         keep the root key off line: move it away, only `custos trust tls` needs it.\n\n{}",
        literal(&trusted),
        literal(&config),
        literal(&shown(&root_key)),
        next_steps(place, &told, args, context)?,
    );
    if !told.origin().is_tls() && !is_local(&told) {
        let text = "ID tokens go to that address without TLS, readable on the way";
        context.term.warn(text);
    }
    if args.password.no_password {
        let text = "the root's key is not encrypted; only its file mode (0600) protects it";
        context.term.warn(text);
    }
    context.term.result(
        &human,
        &json!({
            "schema": "custos.trust.init/1",
            "trustedRoot": trusted,
            "signingConfig": config,
            "rootKey": shown(&root_key),
            "logIndex": index,
        }),
    )?;
    Ok(Exit::Yes)
}

fn next_steps(
    place: &TrustPlace,
    told: &Url,
    args: &TrustInitArgs,
    context: &Context,
) -> Result<String, Failure> {
    let literal = |text: &str| context.term.paint(Role::Literal, text);
    let mut text = String::new();
    if context.settings()?.issuers.is_empty() {
        let issuer = args.oidc_issuer.as_deref();
        let url = issuer.unwrap_or("https://accounts.example.com");
        let entry = format!("[[issuer]]\n        url = \"{url}\"\n        type = \"email\"");
        text.push_str(&format!(
            "next: say in custos.toml whose ID tokens get certificates, for instance\n        {}\n",
            literal(&entry)
        ));
    }
    let mut serve = "custos serve".to_owned();
    if !is_local(told) {
        serve.push_str(&format!(" --listen 0.0.0.0:{}", told.origin().port()));
    }
    serve.push_str(match (told.origin().is_tls(), is_local(told)) {
        (true, _) => " --tls",
        (false, true) => "",
        (false, false) => " --behind-proxy",
    });
    let (serve, at) = (literal(&serve), told.origin());
    text.push_str(&format!("then: {serve}   clients are told {at}\n"));
    if told.origin().is_tls() {
        let root = literal(&shown(&place.authority().join("root.pem")));
        text.push_str(&format!(
            "      clients elsewhere believe its certificate with SSL_CERT_FILE={root}\n"
        ));
    }
    Ok(text)
}

fn server_url(text: &str) -> Result<Url, Failure> {
    text.parse::<Url>().map_err(|error| {
        Failure::usage("E0002", "a server's address is not a URL")
            .at(text)
            .because(error.to_string())
    })
}

// The names that a server at `url` is called by, on this machine as well.
fn server_names(url: &Url, log: &custos_log::note::VerifierKey) -> Vec<String> {
    let mut names = vec![url.origin().host().to_owned(), log.name().to_owned()];
    names.extend([
        "localhost".to_owned(),
        "127.0.0.1".to_owned(),
        "::1".to_owned(),
    ]);
    let mut seen = std::collections::HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

fn tls(args: &TrustTlsArgs, context: &Context) -> Outcome {
    let home = context.home()?;
    let place = TrustPlace::of(&home);
    let trusted = place.read_root()?;
    let organization = trusted
        .certificate_authorities
        .first()
        .map_or("Custos", |authority| {
            authority.subject.organization.as_str()
        });
    let dir = args
        .root
        .as_ref()
        .map_or_else(|| place.authority(), |dir| context.resolve(dir));
    let key = dir.join("root.key");
    let password = match &args.password_file {
        Some(file) => PasswordFile::new(context.resolve(file))
            .password(&key)
            .map_err(|error| keys::failure(&error))?,
        // A key without a password asks for none.
        None if files::load_private(&key, &files::NoPassword).is_ok() => Password::default(),
        None => keys::ask_password(&key)?,
    };
    let root = Root::open(&dir, &FixedPassword::new(password.to_vec()))
        .map_err(|error| authority_failure(&error))?;
    let names = if args.names.is_empty() {
        let config = place.read_config()?;
        let url = config.ca_urls.first().map_or("", |service| &service.url);
        server_names(&server_url(url)?, &logs::verifier_key(&home)?)
    } else {
        args.names.clone()
    };
    let params = ServerParams::new(organization, &names, context.now());
    let pem = root
        .server_pem(&params)
        .map_err(|e| authority_failure(&e))?;
    let file = place.tls();
    replace_private(&file, pem.as_bytes())?;
    context.term.result(
        &format!(
            "certificate  {}\nfor          {}\n",
            shown(&file),
            names.join(", ")
        ),
        &json!({ "schema": "custos.trust.tls/1", "file": shown(&file), "names": names }),
    )?;
    Ok(Exit::Yes)
}

// Readers see the old file or the new one, and nobody else sees either.
fn replace_private(file: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let mut name = file.as_os_str().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let new = std::path::PathBuf::from(name);
    write_new(&new, bytes, 0o600)?;
    std::fs::rename(&new, file).map_err(|error| {
        let _ = std::fs::remove_file(&new);
        Failure::io(shown(file), &error)
    })
}

fn show(context: &Context) -> Outcome {
    let home = context.home()?;
    let place = TrustPlace::of(&home);
    let root = place.read_root()?;
    let config = place.read_config()?;
    let mut rows: Vec<(&str, Value)> = Vec::new();
    let authorities = [
        ("certificates", &root.certificate_authorities),
        ("timestamps", &root.timestamp_authorities),
    ];
    for (what, authorities) in authorities {
        for authority in authorities {
            rows.push((what, authority_row(authority)));
        }
    }
    for (what, logs) in [("certificate log", &root.ctlogs), ("log", &root.tlogs)] {
        rows.extend(logs.iter().map(|log| (what, log_row(log))));
    }
    let mut human = format!("{}\n", shown(&place.trusted_root()));
    for (what, row) in &rows {
        let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
        human.push_str(&format!("{what:<16} {}\n", text("name")));
        human.push_str(&format!("{:<16} key {}\n", "", text("key")));
        if row["until"].is_string() {
            human.push_str(&format!("{:<16} until {}\n", "", text("until")));
        }
    }
    let signs_at = config.ca_urls.first().map_or("", |service| &service.url);
    human.push_str(&format!("signing at       {signs_at}\n"));
    let rows: Vec<Value> = rows
        .into_iter()
        .map(|(what, mut row)| {
            row["kind"] = what.into();
            row
        })
        .collect();
    context.term.result(
        &human,
        &json!({ "schema": "custos.trust.show/1", "trusted": rows, "signingAt": signs_at }),
    )?;
    Ok(Exit::Yes)
}

fn authority_row(authority: &AuthorityInstance) -> Value {
    let leaf = authority.cert_chain.certificates.first();
    let certificate = leaf.and_then(|leaf| Certificate::parse(leaf.raw_bytes.as_slice()).ok());
    let key = certificate.as_ref().and_then(Certificate::key);
    json!({
        "name": authority.subject.common_name,
        "key": key.map(|key| key.id().to_string()),
        "until": certificate.as_ref().map(|certificate| certificate.validity().1),
    })
}

fn log_row(log: &LogInstance) -> Value {
    let key = custos_core::crypto::PublicKey::from_spki_der(log.public_key.raw_bytes.as_slice());
    json!({
        "name": log.base_url,
        "key": key.ok().map(|key| key.id().to_string()),
        "until": log.public_key.valid_for.and_then(|validity| validity.end),
    })
}
