//! The home's own log as commands write to it: by themselves, or through `custos serve`, which
//! holds it for as long as it runs.

use std::time::Duration;

use custos_log::engine::Log;
use custos_log::note::VerifierKey;
use custos_log::reader::LogReader;
use custos_log::recorder::{RecordError, Recorded, Recorder};
use custos_net::{Client, Guard, NetError, Request, Response, Secret, Settings, Url};
use custos_trust::keyless::LogServer;

use super::serving::Serving;
use crate::context::Context;
use crate::home::Home;
use crate::logs;
use crate::report::Failure;

/// A server on this machine answers at once, or is none.
const HELLO: Duration = Duration::from_secs(3);
/// A batch under load takes its time.
const CALL: Duration = Duration::from_secs(30);

/// The home's log.
pub enum HomeLog {
    /// Written by this process.
    Here(Log),
    /// Written by the home's server.
    Served {
        /// The log behind its server.
        server: Box<LogServer>,
        /// The same log on the disk.
        reader: LogReader,
        /// Where clients find it.
        url: String,
    },
}

impl HomeLog {
    /// Opens the home's log for recording, and makes it first if there is none. Where the home's
    /// server runs, it records.
    pub fn open(context: &Context) -> Result<Self, Failure> {
        let home = context.home()?;
        if let Some(serving) = Serving::find(&home)?
            && let Some(found) = Self::served(&serving, &home)?
        {
            return Ok(found);
        }
        logs::open_or_create(context).map(Self::Here)
    }

    // `None` if nobody answers there: then the lock on the log tells the truth.
    fn served(serving: &Serving, home: &Home) -> Result<Option<Self>, Failure> {
        let key = logs::verifier_key(home)?;
        let Ok(url) = serving.local.parse::<Url>() else {
            return Ok(None);
        };
        let settings = Settings::new(Guard::public().naming(&url));
        let hello = settings.clone().with_times(HELLO, HELLO);
        let answer = Client::new(hello).and_then(|client| {
            let request = Request::get(url.with_path("/healthz").map_err(NetError::Url)?);
            client.send(&request).and_then(Response::success)
        });
        if answer.is_err() {
            return Ok(None);
        }
        let Ok(client) = Client::new(settings.with_times(HELLO, CALL)) else {
            return Ok(None);
        };
        let token = Secret::new(serving.token.as_str());
        Ok(Some(Self::Served {
            server: Box::new(LogServer::new(client, url, Some(token), key.clone())),
            reader: LogReader::new(logs::disk(home), key),
            url: format!("{}/", serving.url.trim_end_matches('/')),
        }))
    }

    /// Returns where the log is read: its server, or its folder on this disk.
    pub fn url(&self, home: &Home) -> String {
        match self {
            Self::Here(_) => format!("file://{}", home.log().display()),
            Self::Served { url, .. } => url.clone(),
        }
    }

    /// Returns a reader of the log.
    pub fn reader(&self) -> LogReader {
        match self {
            Self::Here(log) => log.reader(),
            Self::Served { reader, .. } => reader.clone(),
        }
    }

    /// Remembers the newest checkpoint, so that an older copy of the log is noticed.
    pub fn remember(&self, context: &Context) {
        match self {
            Self::Here(log) => {
                if let Ok(head) = log.head() {
                    logs::remember(context, &head.checkpoint);
                }
            }
            Self::Served { reader, .. } => {
                if let Ok(checkpoint) = reader.latest() {
                    logs::remember(context, checkpoint.text());
                }
            }
        }
    }
}

impl Recorder for HomeLog {
    fn record(&self, leaves: &[Vec<u8>]) -> Result<Vec<Recorded>, RecordError> {
        match self {
            Self::Here(log) => log.record(leaves),
            Self::Served { server, .. } => server.record(leaves),
        }
    }

    fn log_key(&self) -> &VerifierKey {
        match self {
            Self::Here(log) => log.log_key(),
            Self::Served { server, .. } => server.log_key(),
        }
    }
}
