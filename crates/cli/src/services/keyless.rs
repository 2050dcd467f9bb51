//! Signing with services: the home's own, or those that a signing configuration names.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use custos_net::Roots;
use custos_trust::keyless::config::SigningConfig;
use custos_trust::keyless::login::{Ask, CLIENT_ID, Login};
use custos_trust::keyless::token::{AUDIENCE, IdentityToken};
use custos_trust::keyless::trusted::TrustedServices;
use custos_trust::keyless::{
    Countersigner, Description, KeylessError, KeylessSigner, Service, Services, TokenSource,
    ambient,
};
use custos_trust::signer::Signer;

use super::TrustPlace;
use crate::args::{KeyArgs, KeylessArgs, OidcArg};
use crate::context::Context;
use crate::files::{read_bytes, shown};
use crate::report::Failure;
use crate::settings::Settings;
use crate::system::surroundings;
use crate::term::Term;

/// Largest file that is read here, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// Returns the signer of a token, if the command line asks for one.
pub fn signer(
    args: &KeyArgs,
    settings: &Settings,
    context: &Context,
) -> Result<Option<Box<dyn Signer>>, Failure> {
    let keyless = &args.keyless;
    if keyless.identity_token.is_none() && keyless.oidc.is_none() {
        return Ok(None);
    }
    let found = find(keyless, settings, context)?;
    let found = found.ok_or_else(|| {
        Failure::usage("E0724", "nothing says which services sign")
            .help("pass --signing-config FILE and --trusted-root FILE")
            .help("or make services of your own: `custos trust init`, then `custos serve`")
    })?;
    let services = Arc::new(services(&found, context)?);
    let source: Box<dyn TokenSource> = match (&keyless.identity_token, keyless.oidc) {
        (Some(file), _) => Box::new(FileToken::new(context.resolve(file), context)?),
        (None, flow) => Box::new(Asked {
            flow: flow.unwrap_or(OidcArg::Ci),
            services: Arc::clone(&services),
        }),
    };
    let signer = KeylessSigner::new(services, source).map_err(|error| failure(&error))?;
    Ok(Some(Box::new(signer)))
}

/// Returns `key` with services that stamp and log what it signs, if the command line or the
/// settings name some. The home's own stamp nothing that a key signs, and its log is written
/// anyway.
pub fn countersigned(
    key: Box<dyn Signer>,
    args: &KeyArgs,
    settings: &Settings,
    context: &Context,
) -> Result<Box<dyn Signer>, Failure> {
    if args.keyless.signing_config.is_none() && settings.signing_config.is_none() {
        return Ok(key);
    }
    match find(&args.keyless, settings, context)? {
        None => Ok(key),
        Some(found) => {
            let services = Arc::new(services(&found, context)?);
            Ok(Box::new(Countersigner::new(key, services)))
        }
    }
}

// Configuration and trusted root, which belong together.
fn find(
    args: &KeylessArgs,
    settings: &Settings,
    context: &Context,
) -> Result<Option<Description>, Failure> {
    let named = args
        .signing_config
        .as_ref()
        .map(|file| context.resolve(file));
    let named = named.or_else(|| settings.signing_config.clone());
    let root = args.trusted_root.as_ref().map(|file| context.resolve(file));
    let home = context.home().ok().map(|home| TrustPlace::of(&home));
    let (signing_config, root) = match (named, home) {
        (Some(config), _) => (config, root.or_else(|| settings.sigstore_root.clone())),
        (None, Some(home)) if home.trusted_root().is_file() => (
            home.signing_config(),
            root.or_else(|| Some(home.trusted_root())),
        ),
        _ => return Ok(None),
    };
    let Some(trusted_root) = root else {
        return Err(Failure::usage(
            "E0724",
            "nothing says whether these services are to be believed",
        )
        .at(shown(&signing_config))
        .help("pass --trusted-root FILE, or set `[trust] sigstore_root`"));
    };
    Ok(Some(Description {
        signing_config,
        trusted_root,
    }))
}

/// Returns the services that two files describe.
pub fn services(described: &Description, context: &Context) -> Result<Services, Failure> {
    let (config, root) = (&described.signing_config, &described.trusted_root);
    let parsed = SigningConfig::parse(&read_bytes(config, MAX_FILE)?);
    let parsed = parsed.map_err(|error| {
        Failure::usage("E0724", "the signing configuration is not accepted")
            .at(shown(config))
            .because(error.to_string())
    })?;
    let trusted = TrustedServices::parse(&read_bytes(root, MAX_FILE)?);
    let trusted = trusted.map_err(|error| {
        Failure::usage("E0132", "what should be trusted is not accepted")
            .at(shown(root))
            .because(error.to_string())
    })?;
    let roots = tls_roots(context)?;
    let services = Services::new(parsed, trusted, roots, &surroundings());
    let services = services.map_err(|error| failure(&error).at(shown(config)))?;
    Ok(services.described(described.clone()))
}

/// Returns the authorities of servers' certificates: the system's, and the home's own root.
pub fn tls_roots(context: &Context) -> Result<Roots, Failure> {
    let Ok(home) = context.home() else {
        return Ok(Roots::System);
    };
    let own = TrustPlace::of(&home).authority().join("root.pem");
    if !own.is_file() {
        return Ok(Roots::System);
    }
    let pem = read_bytes(&own, MAX_FILE)?;
    Roots::system_and_pem(&pem).map_err(|error| {
        Failure::usage("E0132", "what should be trusted is not accepted")
            .at(shown(&own))
            .because(error.to_string())
    })
}

/// The token of a file, read again when it is needed: some platforms put a new one there.
struct FileToken(PathBuf);

impl FileToken {
    // Before work is done that would be lost.
    fn new(file: PathBuf, context: &Context) -> Result<Self, Failure> {
        read_bytes(&file, MAX_FILE)?;
        let refused = |error: &KeylessError| failure(error).at(shown(&file));
        let token = ambient::read(&file).map_err(|error| refused(&error))?;
        token
            .check(AUDIENCE, context.now())
            .map_err(|error| refused(&KeylessError::Token(error)))?;
        Ok(Self(file))
    }
}

impl TokenSource for FileToken {
    fn token(&self) -> Result<IdentityToken, KeylessError> {
        ambient::read(&self.0)
    }
}

/// The token of the surroundings, or of who logs in.
struct Asked {
    flow: OidcArg,
    services: Arc<Services>,
}

impl TokenSource for Asked {
    fn token(&self) -> Result<IdentityToken, KeylessError> {
        let surroundings = surroundings();
        if self.flow == OidcArg::Ci {
            let token = ambient::token(&surroundings)?;
            return token.ok_or_else(|| KeylessError::NoToken {
                why: "nothing here gives ID tokens: no CI job that Custos knows, no cloud"
                    .to_owned(),
            });
        }
        let issuer = self.services.issuer()?;
        let login = Login {
            issuer: &issuer,
            client_id: CLIENT_ID,
            show: &|ask| Term::ask(&words(ask)),
            pause: &|time: Duration| std::thread::sleep(time),
        };
        match self.flow {
            OidcArg::Browser => login.by_browser(&surroundings),
            _ => login.by_device(&surroundings),
        }
    }
}

fn words(ask: &Ask) -> String {
    match ask {
        Ask::Open { url } => format!("open this address in your browser:\n{url}"),
        Ask::Type { url, code } => {
            format!(
                "open this address in any browser:\n{url}\nand see that it shows the code {code}"
            )
        }
        _ => String::new(),
    }
}

/// Returns an error of services as people see it.
pub fn failure(error: &KeylessError) -> Failure {
    let why = error.to_string();
    match error {
        KeylessError::NoToken { .. } => {
            Failure::usage("E0720", "there is no identity token").because(why)
        }
        KeylessError::Token(_) => {
            Failure::no("E0721", "the identity token is not accepted").because(why)
        }
        KeylessError::Refused { service, .. } if *service == Service::Authority => Failure::no(
            "E0721",
            "the certificate authority refuses the identity token",
        )
        .because(why),
        KeylessError::Login { .. } | KeylessError::Ended { .. } => {
            Failure::no("E0721", "there is no identity to sign for").because(why)
        }
        KeylessError::Unreachable { service, .. } => {
            Failure::undecided("E0722", format!("the {service} did not answer"))
                .because(why)
                .help("try again; `custos serve` starts the home's own services")
        }
        KeylessError::Refused { service, .. } => {
            Failure::no("E0723", format!("the {service} does not do it")).because(why)
        }
        KeylessError::Config(_) | KeylessError::NotAUrl { .. } | KeylessError::Settings(_) => {
            Failure::usage("E0724", "the signing configuration is not accepted").because(why)
        }
        _ => Failure::no("E0723", "a signing service's answer is not accepted")
            .because(why)
            .help("signing configuration and trusted root have to belong together"),
    }
}
