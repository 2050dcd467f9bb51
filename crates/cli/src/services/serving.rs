//! What a running `custos serve` leaves in the home, so that other commands there find it.
//!
//! The server holds the log for as long as it lives; who wants to record meanwhile asks the server.
//! A file that a killed server left behind is noticed by the lock: it is free.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::files::{read_bytes, shown, write_new};
use crate::home::Home;
use crate::report::Failure;

const SCHEMA: &str = "custos.serving/2";
const MAX_FILE: u64 = 16 << 10;

/// Where the home's server is, and what opens it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Serving {
    schema: String,
    /// Where clients are told to go.
    pub url: String,
    /// Where it answers programs on this machine: plain HTTP on the loopback interface.
    pub local: String,
    /// A token of this run of the server.
    #[serde(with = "secret")]
    pub token: Zeroizing<String>,
}

mod secret {
    use serde::{Deserialize as _, Deserializer, Serializer};
    use zeroize::Zeroizing;

    pub fn serialize<S: Serializer>(token: &str, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(token)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Zeroizing<String>, D::Error> {
        String::deserialize(from).map(Zeroizing::new)
    }
}

impl Serving {
    /// Returns what a server at `url`, and on this machine at `local`, leaves.
    pub fn new(url: String, local: String, token: Zeroizing<String>) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            url,
            local,
            token,
        }
    }

    /// Writes it into the home, readable by its owner alone, and takes it away when the returned
    /// value is dropped. For whoever holds the log.
    pub fn announce(&self, home: &Home) -> Result<Announced, Failure> {
        let path = path(home);
        // Left by a server that was killed: the log is ours, so there is no other.
        if let Err(error) = std::fs::remove_file(&path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(Failure::io(shown(&path), &error));
        }
        let text = serde_json::to_vec(self).map_err(|e| Failure::internal(&e.to_string()))?;
        write_new(&path, &Zeroizing::new(text), 0o600)?;
        Ok(Announced(path))
    }

    /// Reads what a server left, if there is anything.
    pub fn find(home: &Home) -> Result<Option<Self>, Failure> {
        let path = path(home);
        if !path.is_file() {
            return Ok(None);
        }
        let bytes = match read_bytes(&path, MAX_FILE) {
            Ok(bytes) => Zeroizing::new(bytes),
            // It has stopped meanwhile.
            Err(_) if !path.exists() => return Ok(None),
            Err(failure) => return Err(failure),
        };
        // Half-written or of another version: as good as none, for the lock tells the truth.
        let found: Option<Self> = serde_json::from_slice(&bytes).ok();
        Ok(found.filter(|found| found.schema == SCHEMA))
    }
}

impl std::fmt::Debug for Serving {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Serving({})", self.url)
    }
}

fn path(home: &Home) -> PathBuf {
    home.root().join("serve.json")
}

/// An announcement that ends with this value.
#[derive(Debug)]
pub struct Announced(PathBuf);

impl Drop for Announced {
    fn drop(&mut self) {
        // Best effort: what is left behind is noticed by the lock.
        let _ = std::fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::home::Origin;

    #[test]
    fn it_is_private_found_and_taken_away() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path().to_owned(), Origin::Flag);
        assert!(Serving::find(&home).unwrap().is_none());
        let token = Zeroizing::new("t".repeat(30));
        let [url, local] = ["https://log.example", "http://127.0.0.1:1"].map(str::to_owned);
        let serving = Serving::new(url, local, token);
        assert!(!format!("{serving:?}").contains("ttt"));
        let first = serving.announce(&home).unwrap();
        std::mem::forget(first);
        let second = serving.announce(&home).unwrap();
        let mode = std::fs::metadata(path(&home)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let found = Serving::find(&home).unwrap().unwrap();
        assert_eq!(
            (found.url, found.token),
            (serving.url.clone(), serving.token.clone())
        );
        drop(second);
        assert!(Serving::find(&home).unwrap().is_none());
        std::fs::write(path(&home), "{}").unwrap();
        assert!(Serving::find(&home).unwrap().is_none());
    }
}
