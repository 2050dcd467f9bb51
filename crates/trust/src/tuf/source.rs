//! Where metadata comes from: a server, or a folder that somebody carried here.

use std::io::Read as _;
use std::path::PathBuf;
use std::time::Duration;

use custos_net::{Class, Client, Guard, NetError, Request, Settings, Url};

/// Longest time that one file may take, however slowly its bytes come.
pub const MAX_TIME: Duration = Duration::from_mins(1);

/// A repository to read from.
pub trait Source {
    /// Returns a file by its path below the repository, of at most `limit` bytes; `None` if there
    /// is no such file.
    fn fetch(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, SourceError>;
}

/// A repository behind HTTPS.
#[derive(Clone)]
pub struct HttpSource {
    client: Client,
    base: Url,
}

impl HttpSource {
    /// Returns the repository at `base`, which the caller's own configuration named.
    pub fn new(base: &Url) -> Result<Self, SourceError> {
        let settings = Settings::new(Guard::public().naming(base));
        Self::with_settings(base, settings)
    }

    /// Returns it with other settings, such as roots and a proxy; the whole time for one file
    /// stays at most [`MAX_TIME`].
    pub fn with_settings(base: &Url, settings: Settings) -> Result<Self, SourceError> {
        let total = settings.total_time.min(MAX_TIME);
        let connect = settings.connect_time;
        let settings = settings
            .with_times(connect, total)
            .with_max_answer(super::MAX_TARGET);
        let client = Client::new(settings).map_err(|error| SourceError::of_net(&error))?;
        let text = base.path().trim_end_matches('/');
        let base = base
            .with_path(&format!("{text}/"))
            .map_err(|error| SourceError {
                place: base.to_string(),
                message: error.to_string(),
                is_undecided: false,
            })?;
        Ok(Self { client, base })
    }
}

impl Source for HttpSource {
    fn fetch(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, SourceError> {
        let url = self.base.join(path).map_err(|error| SourceError {
            place: self.base.to_string(),
            message: error.to_string(),
            is_undecided: false,
        })?;
        let failed = |error: NetError| SourceError::of_net(&error);
        let mut answer = self.client.open(&Request::get(url)).map_err(failed)?;
        // Object stores say 403 for what is not there.
        if matches!(answer.status(), 403 | 404) {
            return Ok(None);
        }
        if answer.status() != 200 {
            let error = answer.read_all().and_then(|a| a.success().map(drop));
            return Err(match error {
                Err(error) => failed(error),
                Ok(()) => SourceError {
                    place: self.base.to_string(),
                    message: "an answer that is not 200".to_owned(),
                    is_undecided: true,
                },
            });
        }
        let mut bytes = Vec::new();
        let mut chunk = vec![0_u8; 16 * 1024];
        loop {
            let read = answer.read_some(&mut chunk).map_err(failed)?;
            let Some(part) = chunk.get(..read).filter(|part| !part.is_empty()) else {
                return Ok(Some(bytes));
            };
            bytes.extend_from_slice(part);
            if over(&bytes, limit) {
                // One byte too many says enough; the caller says which file and which limit.
                return Ok(Some(bytes));
            }
        }
    }
}

impl std::fmt::Debug for HttpSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HttpSource({})", self.base)
    }
}

/// A repository in a folder.
#[derive(Debug, Clone)]
pub struct FolderSource {
    dir: PathBuf,
}

impl FolderSource {
    /// Returns the repository in `dir`.
    pub const fn new(dir: PathBuf) -> Self {
        Self { dir }
    }
}

impl Source for FolderSource {
    fn fetch(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, SourceError> {
        let file = self.dir.join(path);
        let failed = |error: &std::io::Error| SourceError {
            place: file.display().to_string(),
            message: error.to_string(),
            is_undecided: true,
        };
        let opened = match std::fs::File::open(&file) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && self.dir.is_dir() => {
                return Ok(None);
            }
            opened => opened.map_err(|error| failed(&error))?,
        };
        let mut bytes = Vec::new();
        opened
            .take(limit.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(|error| failed(&error))?;
        Ok(Some(bytes))
    }
}

pub(super) fn over(bytes: &[u8], limit: u64) -> bool {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX) > limit
}

/// Why a file could not be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
#[non_exhaustive]
pub struct SourceError {
    /// Which server or file.
    pub place: String,
    /// What happened.
    pub message: String,
    /// True if nothing was learned, and trying later may help.
    pub is_undecided: bool,
}

impl SourceError {
    /// Returns an error of a place.
    pub fn new(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            message: message.into(),
            is_undecided: true,
        }
    }

    fn of_net(error: &NetError) -> Self {
        Self {
            place: "the repository".to_owned(),
            message: error.to_string(),
            is_undecided: error.class() == Class::Undecided,
        }
    }
}
