//! `custos serve`: certificates, timestamps and the log over HTTP.

use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use custos_log::engine::Log;
use custos_log::recorder::Recorder as _;
use custos_net::Url;
use custos_server::oidc::{Issuer, NetFetch};
use custos_server::server::{AccessTokens, Stopper, Submission, TlsFiles};
use custos_server::{Authority, Config, Running, Server, ServerError};
use custos_trust::keys::NoPassword;
use serde_json::json;
use signal_hook::consts::{SIGINT, SIGTERM};
use zeroize::Zeroizing;

use crate::args::ServeArgs;
use crate::context::Context;
use crate::exit::Exit;
use crate::files::shown;
use crate::logs;
use crate::services::serving::Serving;
use crate::services::{TrustPlace, authority_failure};
use crate::settings::Settings;
use crate::system::SystemClock;
use crate::term::{Role, count};
use crate::{Failure, Outcome};

/// Where the server listens if nothing says otherwise.
const PORT: u16 = 8475;

/// Runs the command: until a signal ends it.
pub fn run(args: &ServeArgs, context: &Context) -> Outcome {
    let home = context.home()?;
    let place = TrustPlace::of(&home);
    place.read_root()?;
    let mut config = Config::new(Arc::new(SystemClock));
    config.address = args.listen.map_or_else(|| address(&place), Ok)?;
    config.tls = tls(args, &place, context)?;
    config.plain_beyond_loopback = args.behind_proxy;
    if args.require_token {
        config.submission = Submission::WithToken;
    }
    let (access, token) = access(args, context)?;
    config.access = access;
    let authority = Authority::open(&place.authority(), &NoPassword);
    config.authority = Some(Arc::new(authority.map_err(|e| authority_failure(&e))?));
    config.issuers = issuers(&context.settings()?)?;
    let fetch = NetFetch::new(&config.issuers).map_err(|e| unusable(&e.to_string()))?;
    config.fetch = Arc::new(fetch);
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
    let url = format!("{scheme}://{}", running.address());
    let announced = Serving::new(url.clone(), token).announce(&home)?;
    report(&url, issuers, &log, context)?;
    let ended = wait(running);
    drop(announced);
    if let Ok(head) = log.head() {
        logs::remember(context, &head.checkpoint);
    }
    ended
}

fn report(url: &str, issuers: u64, log: &Log, context: &Context) -> Result<(), Failure> {
    if issuers == 0 {
        let text = "no [[issuer]] in the settings: nobody gets a certificate here";
        context.term.warn(text);
    }
    let size = log.head().map_or(0, |head| head.size);
    let origin = log.log_key().name();
    let human = format!(
        "serving  {}\nlog      {origin} ({})\nissuers  {issuers}\nstop     Ctrl-C, or SIGTERM\n",
        context.term.paint(Role::Literal, url),
        count(size, "entry"),
    );
    context.term.result(
        &human,
        &json!({
            "schema": "custos.serve/1",
            "url": url, "origin": origin, "entries": size, "issuers": issuers,
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
        let files = TlsFiles::new(context.resolve(certificate), context.resolve(key));
        return Ok(Some(files));
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
    Ok(Some(TlsFiles::new(&file, &file)))
}

// The one that clients are told, where it is on this machine.
fn address(place: &TrustPlace) -> Result<SocketAddr, Failure> {
    let config = place.read_config()?;
    let told = config
        .ca_urls
        .first()
        .and_then(|service| service.url.parse::<Url>().ok());
    let local = told.as_ref().map(Url::origin).and_then(|origin| {
        let local = origin.host() == "localhost"
            || origin
                .address()
                .is_some_and(|address| address.is_loopback());
        local.then(|| origin.port())
    });
    Ok(SocketAddr::from((
        Ipv4Addr::LOCALHOST,
        local.unwrap_or(PORT),
    )))
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
