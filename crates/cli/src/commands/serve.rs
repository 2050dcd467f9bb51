//! `custos serve`: certificates, timestamps and the log over HTTP.

use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use custos_core::crypto::Pem;
use custos_log::engine::Log;
use custos_log::recorder::Recorder as _;
use custos_net::Url;
use custos_server::oidc::{Fetch, FetchError, Fetched, Issuer, NetFetch};
use custos_server::server::{AccessTokens, Stopper, Submission, TlsFiles};
use custos_server::{Authority, Config, Running, Server, ServerError};
use custos_trust::keys::NoPassword;
use custos_trust::verify::Certificate;
use serde_json::json;
use signal_hook::consts::{SIGINT, SIGTERM};
use zeroize::Zeroizing;

use crate::args::ServeArgs;
use crate::context::Context;
use crate::exit::Exit;
use crate::files::{read_text, shown};
use crate::logs;
use crate::services::serving::Serving;
use crate::services::{TrustPlace, authority_failure, is_local};
use crate::settings::Settings;
use crate::system::SystemClock;
use crate::term::{Role, Term, count};
use crate::{Failure, Outcome};

/// Where the server listens if nothing says otherwise.
const PORT: u16 = 8475;
/// Largest file with a certificate, in bytes.
const MAX_PEM: u64 = 256 << 10;

/// Runs the command: until a signal ends it.
pub fn run(args: &ServeArgs, context: &Context) -> Outcome {
    let home = context.home()?;
    let place = TrustPlace::of(&home);
    place.read_root()?;
    let mut config = Config::new(Arc::new(SystemClock));
    config.address = args.listen.map_or_else(|| address(&place), Ok)?;
    config.tls = tls(args, &place, context)?;
    config.plain_beyond_loopback = args.behind_proxy;
    // Commands of this home need neither the names nor the authority of its certificate.
    config.beside = config.tls.is_some() || !config.address.ip().is_loopback();
    if args.require_token {
        config.submission = Submission::WithToken;
    }
    let (access, token) = access(args, context)?;
    config.access = access;
    let authority = Authority::open(&place.authority(), &NoPassword);
    config.authority = Some(Arc::new(authority.map_err(|e| authority_failure(&e))?));
    config.issuers = issuers(&context.settings()?)?;
    let inner = NetFetch::new(&config.issuers).map_err(|e| unusable(&e.to_string()))?;
    let term = context.term.clone();
    config.fetch = Arc::new(ReportedFetch { inner, term });
    let issuers = u64::try_from(config.issuers.len()).unwrap_or(u64::MAX);
    // The lock on the log says that there is no other server in this home.
    let log = logs::open_for_life(context)?;
    config.log = Some((log.clone(), logs::disk(&home)));
    let scheme = if config.tls.is_some() {
        "https"
    } else {
        "http"
    };
    let running = Server::start(config).map_err(|error| failure(&error))?;
    stop_on_signals(running.stopper())?;
    let addresses = Addresses::of(&running, scheme, &place)?;
    addresses.warn(context);
    let (clients, beside) = (addresses.clients(), addresses.beside());
    let announced = Serving::new(clients, beside, token).announce(&home)?;
    report(&addresses, issuers, &log, context)?;
    let ended = wait(running);
    drop(announced);
    if let Ok(head) = log.head() {
        logs::remember(context, &head.checkpoint);
    }
    ended
}

/// Tells whoever runs the server why an issuer's documents were not had; who asks for a
/// certificate learns only that. A failure is not tried again for half a minute.
struct ReportedFetch {
    inner: NetFetch,
    term: Term,
}

impl Fetch for ReportedFetch {
    fn get(&self, url: &str, limit: usize) -> Result<Fetched, FetchError> {
        self.inner.get(url, limit).inspect_err(|error| {
            self.term.warn(&format!("keys of an issuer: {error}"));
        })
    }
}

/// Where the server is, as seen from outside, from this machine, and by clients.
struct Addresses {
    listening: String,
    // With a loopback address in place of all of them.
    here: String,
    beside: Option<SocketAddr>,
    told: Option<Url>,
}

impl Addresses {
    fn of(running: &Running, scheme: &str, place: &TrustPlace) -> Result<Self, Failure> {
        let bound = running.address();
        let mut here = bound;
        match here.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => here.set_ip(Ipv4Addr::LOCALHOST.into()),
            IpAddr::V6(ip) if ip.is_unspecified() => here.set_ip(Ipv6Addr::LOCALHOST.into()),
            _ => {}
        }
        Ok(Self {
            listening: format!("{scheme}://{bound}"),
            here: format!("{scheme}://{here}"),
            beside: running.address_beside(),
            told: told(place)?,
        })
    }

    // An address of this machine that clients are told may be that of another run.
    fn clients(&self) -> String {
        match &self.told {
            Some(told) if !self.is_elsewhere(told) => {
                told.as_text().trim_end_matches('/').to_owned()
            }
            _ => self.here.clone(),
        }
    }

    // Clients are told of this machine, but not of this server.
    fn is_elsewhere(&self, told: &Url) -> bool {
        let here = self.here.parse::<Url>();
        let (told_at, here) = (told.origin(), here.as_ref().map(Url::origin));
        is_local(told)
            && here.is_ok_and(|here| {
                (told_at.is_tls(), told_at.port()) != (here.is_tls(), here.port())
            })
    }

    fn beside(&self) -> String {
        self.beside
            .map_or_else(|| self.here.clone(), |address| format!("http://{address}"))
    }

    // The signing configuration sends clients to where nobody answers in this way.
    fn warn(&self, context: &Context) {
        let Some(told) = &self.told else {
            return;
        };
        let plain_told = self.here.starts_with("https:") && !told.origin().is_tls();
        if plain_told || self.is_elsewhere(told) {
            let (told, here) = (told.origin(), &self.here);
            context.term.warn(&format!(
                "signing_config.json sends clients to {told}, and this server is {here}"
            ));
        }
    }
}

fn report(
    addresses: &Addresses,
    issuers: u64,
    log: &Log,
    context: &Context,
) -> Result<(), Failure> {
    let (url, clients) = (addresses.listening.as_str(), addresses.clients());
    if issuers == 0 {
        let text = "no [[issuer]] in the settings: nobody gets a certificate here";
        context.term.warn(text);
    }
    let size = log.head().map_or(0, |head| head.size);
    let origin = log.log_key().name();
    let human = format!(
        "serving  {}\nclients  {}\nlog      {origin} ({})\nissuers  {issuers}\n\
         stop     Ctrl-C, or SIGTERM\n",
        context.term.paint(Role::Literal, url),
        context.term.paint(Role::Literal, &clients),
        count(size, "entry"),
    );
    context.term.result(
        &human,
        &json!({
            "schema": "custos.serve/1",
            "url": url, "clientUrl": clients, "origin": origin, "entries": size, "issuers": issuers,
        }),
    )
}

fn wait(running: Running) -> Outcome {
    running.wait().map_err(|error| failure(&error))?;
    Ok(Exit::Yes)
}

fn issuers(settings: &Settings) -> Result<Vec<Issuer>, Failure> {
    let base = settings.file.as_deref().and_then(std::path::Path::parent);
    let base = base.unwrap_or_else(|| std::path::Path::new("."));
    let resolved = settings.issuers.iter().map(|issuer| {
        issuer
            .resolve(base)
            .map_err(|failure| match &settings.file {
                Some(file) if failure.place().is_none() => failure.at(shown(file)),
                _ => failure,
            })
    });
    resolved.collect()
}

// Tokens of the file, and one for the commands of this home.
fn access(
    args: &ServeArgs,
    context: &Context,
) -> Result<(AccessTokens, Zeroizing<String>), Failure> {
    let unusable = |error: custos_server::server::AccessTokensError| {
        Failure::usage("E0732", "the file of tokens is not accepted").because(error.to_string())
    };
    let tokens = match &args.token_file {
        None => AccessTokens::default(),
        Some(file) => {
            let file = context.resolve(file);
            warn_if_exposed(&file, context);
            AccessTokens::from_file(&file).map_err(|error| unusable(error).at(shown(&file)))?
        }
    };
    tokens.with_random().map_err(unusable)
}

fn tls(
    args: &ServeArgs,
    place: &TrustPlace,
    context: &Context,
) -> Result<Option<TlsFiles>, Failure> {
    if let (Some(certificate), Some(key)) = (&args.tls_cert, &args.tls_key) {
        let (certificate, key) = (context.resolve(certificate), context.resolve(key));
        warn_if_exposed(&key, context);
        warn_if_ended(&certificate, context);
        return Ok(Some(TlsFiles::new(certificate, key)));
    }
    if !args.tls {
        return Ok(None);
    }
    let file = place.tls();
    if !file.is_file() {
        return Err(
            Failure::usage("E0732", "there is no certificate for TLS here")
                .at(shown(&file))
                .help("`custos trust tls` makes one; --tls-cert and --tls-key take others"),
        );
    }
    warn_if_exposed(&file, context);
    warn_if_ended(&file, context);
    Ok(Some(TlsFiles::new(&file, &file)))
}

fn warn_if_exposed(file: &Path, context: &Context) {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = file.metadata().map_or(0, |file| file.permissions().mode());
    if mode & 0o077 != 0 {
        let (file, mode) = (shown(file), mode & 0o777);
        context.term.warn(&format!(
            "{file} can be read by others (mode {mode:o}); `chmod 600` it"
        ));
    }
}

// The server would work, and no client would believe it.
fn warn_if_ended(file: &Path, context: &Context) {
    let leaf = read_text(file, MAX_PEM).ok().and_then(|text| {
        let pems = Pem::parse_many(&text).ok()?;
        let leaf = pems.iter().find(|pem| pem.label() == "CERTIFICATE")?;
        Certificate::parse(leaf.bytes()).ok()
    });
    let Some((from, until)) = leaf.map(|leaf| leaf.validity()) else {
        return;
    };
    let (file, now) = (shown(file), context.now());
    if now > until {
        context.term.warn(&format!(
            "{file} ended at {until}, so clients refuse it; `custos trust tls` makes a new one"
        ));
    } else if now < from {
        context.term.warn(&format!(
            "{file} counts only from {from}, so clients refuse it until then"
        ));
    }
}

// The one that clients are told, where it is on this machine.
fn address(place: &TrustPlace) -> Result<SocketAddr, Failure> {
    let told = told(place)?.filter(is_local);
    let port = told.map_or(PORT, |told| told.origin().port());
    Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
}

// Where the signing configuration sends clients.
fn told(place: &TrustPlace) -> Result<Option<Url>, Failure> {
    let config = place.read_config()?;
    let first = config.ca_urls.first();
    Ok(first.and_then(|service| service.url.parse().ok()))
}

// A signal only writes a byte; a thread reads it and tells the server.
fn stop_on_signals(stopper: Stopper) -> Result<(), Failure> {
    let io = |error: std::io::Error| Failure::io("signals", &error);
    let (mut reader, writer) = UnixStream::pair().map_err(io)?;
    for signal in [SIGINT, SIGTERM] {
        let writer = writer.try_clone().map_err(io)?;
        signal_hook::low_level::pipe::register(signal, writer).map_err(io)?;
    }
    let watch = move || {
        let mut byte = [0_u8; 1];
        if reader.read_exact(&mut byte).is_ok() {
            stopper.stop();
        }
    };
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(watch)
        .map(drop)
        .map_err(io)
}

fn unusable(why: &str) -> Failure {
    Failure::usage("E0732", "the settings of the server are not accepted").because(why)
}

fn failure(error: &ServerError) -> Failure {
    match error {
        ServerError::LogFailed => {
            Failure::undecided("E0731", "the server stopped, as its log cannot be written")
                .because(error.to_string())
                .help("`custos log fsck` checks the log; nothing that was acknowledged is lost")
        }
        ServerError::Bind { .. } => Failure::undecided("E0730", "the server cannot listen there")
            .because(error.to_string())
            .help("--listen takes another address"),
        ServerError::PlainBeyondLoopback { .. } => {
            Failure::usage("E0730", "the server would speak without TLS to others")
                .because(error.to_string())
                .help("add --tls, or --tls-cert and --tls-key")
                .help("or --behind-proxy, if something in front of it speaks TLS")
        }
        ServerError::Setting(_) | ServerError::Tls(_) => unusable(&error.to_string()),
        other => {
            Failure::undecided("E0730", "the server does not start").because(other.to_string())
        }
    }
}
