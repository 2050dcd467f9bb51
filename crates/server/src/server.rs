//! [`Server`]: the services behind one address.
//!
//! HTTP/1.1, plain on this machine alone or with TLS. Connections, requests, headers, bodies and
//! times are bounded. A stop lets requests at work end, and what the log took in is written.
//!
//! ```
//! use std::sync::Arc;
//! use custos_core::clock::{FixedClock, Timestamp};
//! use custos_server::{Config, Server};
//!
//! let clock = Arc::new(FixedClock::new(Timestamp::from_seconds(1_790_000_000)));
//! let running = Server::start(Config::new(clock)).unwrap();
//! assert!(running.address().ip().is_loopback());
//! running.stop().unwrap();
//! ```

mod access;
mod listen;
mod patience;
mod tls;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use custos_core::clock::Clock;
use custos_log::Log;
use custos_log::disk::Disk;
use tokio::net::TcpListener;
use tokio::runtime;
use tokio::sync::{Semaphore, watch};

use crate::authority::Authority;
use crate::http::{LogService, Services, max_entries_answer, router};
use crate::metrics::Metrics;
use crate::oidc::{Fetch, FetchError, Fetched, Issuer, SettingError, TokenVerifier};
use crate::sequencer::{Failed, Sequencer};

pub use access::{AccessTokens, AccessTokensError};
pub use tls::{TlsError, TlsFiles};

/// Who may write to the log by the route of Rekor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Submission {
    /// Whoever brings a signature that verifies; Sigstore's clients know no other way.
    #[default]
    Open,
    /// Whoever has a bearer token as well.
    WithToken,
}

/// Bounds of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tuning {
    /// Most connections; further ones wait to be accepted.
    pub connections: u32,
    /// Most requests at work; further ones are answered with 503.
    pub requests: u32,
    /// Longest time for the headers of a request, and for the TLS handshake.
    pub header_time: Duration,
    /// Longest time for a whole request.
    pub request_time: Duration,
    /// Longest time for which a client may take nothing of an answer.
    pub write_time: Duration,
    /// Most requests for certificates at work, each of which may wait for an issuer.
    pub certificates: u16,
    /// Bytes of log entries that may be in memory, read and not yet taken by clients.
    pub entry_bytes: u32,
    /// Longest time that a stop waits for requests at work.
    pub stop_time: Duration,
    /// Threads that serve requests.
    pub threads: u16,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            connections: 4_096,
            requests: 2_048,
            header_time: Duration::from_secs(10),
            // Sigstore's clients wait 20 to 30 seconds for the log.
            request_time: Duration::from_secs(20),
            write_time: Duration::from_secs(20),
            certificates: 16,
            entry_bytes: 256 << 20,
            stop_time: Duration::from_secs(25),
            threads: 2,
        }
    }
}

/// What a server serves, and where.
#[non_exhaustive]
pub struct Config {
    /// Address to listen at; port 0 takes a free one.
    pub address: SocketAddr,
    /// Certificate and key; without them the server speaks plain HTTP.
    pub tls: Option<TlsFiles>,
    /// Whether plain HTTP is allowed at an address that others reach, for instance behind a
    /// proxy that ends TLS.
    pub plain_beyond_loopback: bool,
    /// Whether plain HTTP is served at a free port of this machine as well, for programs beside
    /// the server, which need no names and certificates to find it.
    pub beside: bool,
    /// Tokens for the routes that are not public; without any, nobody gets in there.
    pub access: AccessTokens,
    /// Who may write to the log by the route of Rekor.
    pub submission: Submission,
    /// Certificates and timestamps, if they are to be served.
    pub authority: Option<Arc<Authority>>,
    /// Issuers whose tokens get certificates.
    pub issuers: Vec<Issuer>,
    /// Gets the issuers' documents.
    pub fetch: Arc<dyn Fetch>,
    /// The log and its files, if it is to be served.
    pub log: Option<(Log, Arc<dyn Disk>)>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Bounds.
    pub tuning: Tuning,
}

impl Config {
    /// Returns the configuration of a server without services, on a free port of this machine.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            tls: None,
            plain_beyond_loopback: false,
            beside: false,
            access: AccessTokens::default(),
            submission: Submission::default(),
            authority: None,
            issuers: Vec::new(),
            fetch: Arc::new(NoFetch),
            log: None,
            clock,
            tuning: Tuning::default(),
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Config({}, {} issuers)",
            self.address,
            self.issuers.len()
        )
    }
}

// Knows no network: only issuers with a given key set work.
struct NoFetch;

impl Fetch for NoFetch {
    fn get(&self, _: &str, _: usize) -> Result<Fetched, FetchError> {
        Err(FetchError::new("this server fetches nothing"))
    }
}

/// Starts servers.
#[derive(Debug)]
#[non_exhaustive]
pub struct Server;

impl Server {
    /// Starts a server on threads of its own and returns when it listens.
    pub fn start(config: Config) -> Result<Running, ServerError> {
        if config.tls.is_none()
            && !config.address.ip().is_loopback()
            && !config.plain_beyond_loopback
        {
            return Err(ServerError::PlainBeyondLoopback {
                address: config.address,
            });
        }
        let acceptor = config.tls.as_ref().map(TlsFiles::acceptor).transpose()?;
        let (address, tuning) = (config.address, config.tuning);
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(usize::from(tuning.threads.max(1)))
            .max_blocking_threads(64)
            .thread_name("custos-http")
            .enable_all()
            .build()
            .map_err(|error| ServerError::Start(error.to_string()))?;
        let bind = |address| runtime.block_on(bind(address));
        let (listener, address) = bind(address)?;
        let mut entrances = vec![listen::Entrance { listener, acceptor }];
        let mut beside = None;
        if config.beside {
            let (listener, address) = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
            beside = Some(address);
            let acceptor = None;
            // First, so that a flood from outside does not shut out this machine.
            entrances.insert(0, listen::Entrance { listener, acceptor });
        }
        let (services, writers) = services(config)?;
        let failed = services
            .log
            .as_ref()
            .map(|log| Arc::clone(log.sequencer.failed()));
        let (stop, stopped) = watch::channel(false);
        let door = listen::Door {
            entrances,
            app: router(Arc::new(services)),
            tuning,
            stopped,
        };
        let watched = failed.clone();
        let run = move || {
            runtime.block_on(door.serve(watched));
            // Ends what is left of requests, and with them the last senders of the log's queues.
            runtime.shutdown_timeout(Duration::from_secs(5));
            for writer in writers {
                let _ = writer.join();
            }
        };
        let thread = thread::Builder::new()
            .name("custos-server".to_owned())
            .spawn(run)
            .map_err(|error| ServerError::Start(error.to_string()))?;
        Ok(Running {
            address,
            beside,
            stop: Stopper(Arc::new(stop)),
            thread: Some(thread),
            failed,
        })
    }
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), ServerError> {
    let failed = |error: std::io::Error| ServerError::Bind {
        address,
        message: error.to_string(),
    };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

fn services(config: Config) -> Result<(Services, Vec<JoinHandle<()>>), ServerError> {
    let verifier =
        TokenVerifier::new(config.issuers, &config.fetch).map_err(ServerError::Setting)?;
    let (log, writers) = match config.log {
        None => (None, Vec::new()),
        Some((log, disk)) => {
            let (sequencer, writers) =
                Sequencer::start(log).map_err(|error| ServerError::Start(error.to_string()))?;
            (Some(LogService { sequencer, disk }), writers)
        }
    };
    let places = |count| {
        let count = usize::try_from(count).unwrap_or(1_024);
        Semaphore::new(count.clamp(1, Semaphore::MAX_PERMITS))
    };
    let tuning = config.tuning;
    // An answer of the largest size fits at least.
    let entry_bytes = tuning.entry_bytes.max(max_entries_answer());
    let services = Services {
        authority: config.authority,
        verifier,
        log,
        access: config.access,
        submission: config.submission,
        clock: config.clock,
        metrics: Metrics::default(),
        tuning,
        at_work: places(tuning.requests),
        issuing: Arc::new(places(tuning.certificates.into())),
        entry_bytes: Arc::new(places(entry_bytes)),
    };
    Ok((services, writers))
}

/// A server at work; it stops when this is dropped.
pub struct Running {
    address: SocketAddr,
    beside: Option<SocketAddr>,
    stop: Stopper,
    thread: Option<JoinHandle<()>>,
    failed: Option<Arc<Failed>>,
}

/// Stops a server from another thread, for instance on a signal.
#[derive(Debug, Clone)]
pub struct Stopper(Arc<watch::Sender<bool>>);

impl Stopper {
    /// Tells the server to stop, and returns at once.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Running {
    /// Returns the address that the server listens at.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the address for programs on this machine, if there is one of its own.
    pub const fn address_beside(&self) -> Option<SocketAddr> {
        self.beside
    }

    /// Returns what stops the server from another thread.
    pub fn stopper(&self) -> Stopper {
        self.stop.clone()
    }

    /// Waits until the server was stopped by its [`Stopper`], or stopped itself because its log
    /// failed: then the process must end.
    pub fn wait(mut self) -> Result<(), ServerError> {
        self.join()
    }

    /// Stops the server: requests at work end, what the log took in is written.
    pub fn stop(mut self) -> Result<(), ServerError> {
        self.stop.stop();
        self.join()
    }

    fn join(&mut self) -> Result<(), ServerError> {
        let Some(thread) = self.thread.take() else {
            return Ok(());
        };
        let ended = thread.join();
        if self.failed.as_ref().is_some_and(|failed| failed.is_set()) {
            return Err(ServerError::LogFailed);
        }
        ended.map_err(|_| ServerError::Start("the server's thread died".to_owned()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.stop();
        let _ = self.join();
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Running({})", self.address)
    }
}

/// Why a server did not start or did not go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The address cannot be had.
    #[error("cannot listen at {address}: {message}")]
    Bind {
        /// Which address.
        address: SocketAddr,
        /// What the system says.
        message: String,
    },
    /// The log cannot be written any more; the process must end and look again.
    #[error("the log failed; this process must end, then check and open the log again")]
    LogFailed,
    /// Others could read along.
    #[error("{address} is reached by others: TLS files are needed, or leave for plain HTTP")]
    PlainBeyondLoopback {
        /// Which address.
        address: SocketAddr,
    },
    /// An issuer of the settings.
    #[error("{0}")]
    Setting(SettingError),
    /// The system refused threads or sockets.
    #[error("the server did not start: {0}")]
    Start(String),
    /// The TLS files.
    #[error("{0}")]
    Tls(TlsError),
}

impl From<TlsError> for ServerError {
    fn from(error: TlsError) -> Self {
        Self::Tls(error)
    }
}

#[cfg(test)]
mod tests;
