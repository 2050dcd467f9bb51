//! Gets issuers' documents over HTTP.
//!
//! Only from the servers that the settings name, whatever a document or a redirect says: a
//! discovery that can be led elsewhere makes this machine ask its own network, or believe somebody
//! else's keys (GHSA-f5mr-q85p-6hh6).

use std::time::Duration;

use custos_net::{Client, Guard, NetError, Origin, Redirects, Request, Settings, Url};

use super::issuer::{Fetch, FetchError, Fetched, Issuer, KeysFrom};

const CONNECT_TIME: Duration = Duration::from_secs(5);
// A request to the server may take 20 s; the client is to get an answer still.
const TOTAL_TIME: Duration = Duration::from_secs(8);
// The largest document is smaller; who asks says how much smaller.
const MAX_ANSWER: u64 = 1 << 20;

/// Gets documents from the servers of a few issuers, and from nowhere else. Redirects are not
/// followed.
#[derive(Debug, Clone)]
pub struct NetFetch {
    client: Client,
    named: Vec<Origin>,
}

impl NetFetch {
    /// Returns what gets the documents of `issuers`.
    pub fn new(issuers: &[Issuer]) -> Result<Self, NetError> {
        Self::with(issuers, |settings| settings)
    }

    /// Returns it with other settings of its client, such as roots or a proxy. Where it may go is
    /// decided by the issuers alone.
    pub fn with(
        issuers: &[Issuer],
        adjust: impl FnOnce(Settings) -> Settings,
    ) -> Result<Self, NetError> {
        let mut guard = Guard::public();
        let mut named = Vec::new();
        for text in issuers.iter().flat_map(places) {
            let url: Url = text.parse().map_err(NetError::Url)?;
            guard = guard.naming(&url);
            named.push(url.origin().clone());
        }
        let settings = Settings::new(guard.clone()).with_times(CONNECT_TIME, TOTAL_TIME);
        let mut settings = adjust(settings);
        settings.guard = guard;
        settings.redirects = Redirects::Never;
        settings.max_answer = MAX_ANSWER;
        Ok(Self {
            client: Client::new(settings)?,
            named,
        })
    }
}

// Where an issuer's documents may lie.
fn places(issuer: &Issuer) -> Vec<String> {
    let own = match &issuer.keys {
        KeysFrom::Discovery => vec![issuer.url.clone()],
        KeysFrom::Url(url) => vec![url.clone()],
        KeysFrom::Static(_) => return Vec::new(),
    };
    let hosts = issuer
        .key_hosts
        .iter()
        .map(|host| format!("https://{host}"));
    own.into_iter().chain(hosts).collect()
}

impl Fetch for NetFetch {
    fn get(&self, url: &str, limit: usize) -> Result<Fetched, FetchError> {
        let url: Url = url
            .parse()
            .map_err(|_| FetchError::new("a document's address is not a URL"))?;
        if !self.named.contains(url.origin()) {
            return Err(FetchError::new(format!(
                "{} is none of the servers in the settings",
                url.origin()
            )));
        }
        let failed = |error: NetError| FetchError::new(error.to_string());
        let answer = self.client.send(&Request::get(url)).map_err(failed)?;
        let answer = answer.success().map_err(failed)?;
        if answer.body().len() > limit {
            return Err(FetchError::new(format!(
                "{} answers with more than {limit} bytes",
                answer.url()
            )));
        }
        Ok(Fetched::Body(answer.body().to_vec()))
    }
}

#[cfg(test)]
mod tests;
