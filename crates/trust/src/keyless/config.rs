//! Sigstore's signing configuration: which services there are, and how many of them to use.
//!
//! Spec: sigstore/protobuf-specs, `sigstore_trustroot.proto`, `SigningConfig` 0.2 in proto JSON.
//! Services count while `validFor` lasts, both ends included. Of each operator the service with the
//! highest version that is spoken counts, and among those the newest; `ANY` takes one, `ALL` all,
//! `EXACT` a number of them. With `ANY` and `EXACT` those that are left over stand in for one that
//! is away.

use custos_core::clock::Timestamp;
use custos_core::json::{self, JsonError};
use custos_core::limits::Limits;
use serde::{Deserialize, Serialize};

/// Media type of a signing configuration.
pub const SIGNING_CONFIG: &str = "application/vnd.dev.sigstore.signingconfig.v0.2+json";

/// Most services of one kind.
const MAX_SERVICES: usize = 64;

/// When something counts; both ends belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Validity {
    /// From when on.
    pub start: Timestamp,
    /// Until when, if it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<Timestamp>,
}

impl Validity {
    /// Returns a validity without end.
    pub const fn from(start: Timestamp) -> Self {
        Self { start, end: None }
    }

    /// Returns it with an end.
    pub const fn until(self, end: Timestamp) -> Self {
        Self {
            end: Some(end),
            ..self
        }
    }

    /// Returns true if `now` lies in it.
    pub fn contains(&self, now: Timestamp) -> bool {
        self.start <= now && self.end.is_none_or(|end| now <= end)
    }
}

/// Where clients sign. Fields that a newer version of the format adds are passed over: they say
/// nothing about trust.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct SigningConfig {
    /// Always [`SIGNING_CONFIG`].
    pub media_type: String,
    /// Certificate authorities.
    #[serde(default)]
    pub ca_urls: Vec<Endpoint>,
    /// Issuers of tokens for people.
    #[serde(default)]
    pub oidc_urls: Vec<Endpoint>,
    /// Logs.
    #[serde(default)]
    pub rekor_tlog_urls: Vec<Endpoint>,
    /// Timestamp authorities; the URL is the full address.
    #[serde(default)]
    pub tsa_urls: Vec<Endpoint>,
    /// How many logs to use.
    #[serde(default)]
    pub rekor_tlog_config: Selection,
    /// How many timestamp authorities to use.
    #[serde(default)]
    pub tsa_config: Selection,
}

/// A service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Endpoint {
    /// Where it is.
    pub url: String,
    /// Version of its interface.
    #[serde(default)]
    pub major_api_version: u32,
    /// When it counts.
    #[serde(default)]
    pub valid_for: Option<Validity>,
    /// Who runs it.
    #[serde(default)]
    pub operator: String,
}

impl Endpoint {
    /// Returns a service of `operator`.
    pub fn new(url: impl Into<String>, major_api_version: u32, validity: Validity) -> Self {
        Self {
            url: url.into(),
            major_api_version,
            valid_for: Some(validity),
            operator: String::new(),
        }
    }

    /// Returns it with who runs it.
    pub fn of(self, operator: impl Into<String>) -> Self {
        Self {
            operator: operator.into(),
            ..self
        }
    }
}

/// Which of several services to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Selection {
    /// The rule.
    #[serde(default)]
    pub selector: Selector,
    /// How many, with `EXACT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
}

impl Selection {
    /// Returns a selection by this rule; `count` goes with [`Selector::Exact`].
    pub const fn new(selector: Selector, count: Option<u32>) -> Self {
        Self { selector, count }
    }
}

/// A rule of selection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[non_exhaustive]
pub enum Selector {
    /// Every one.
    All,
    /// One.
    #[default]
    Any,
    /// As many as the count says.
    Exact,
}

impl SigningConfig {
    /// Returns a configuration that names no service.
    pub fn naming_nothing() -> Self {
        Self {
            media_type: SIGNING_CONFIG.to_owned(),
            ca_urls: Vec::new(),
            oidc_urls: Vec::new(),
            rekor_tlog_urls: Vec::new(),
            tsa_urls: Vec::new(),
            rekor_tlog_config: Selection::default(),
            tsa_config: Selection::default(),
        }
    }

    /// Parses a configuration of at most 1 MiB.
    pub fn parse(bytes: &[u8]) -> Result<Self, ConfigError> {
        let config: Self = json::from_slice(bytes, &Limits::SMALL).map_err(ConfigError::Json)?;
        if config.media_type != SIGNING_CONFIG {
            return Err(ConfigError::MediaType);
        }
        let kinds = [
            &config.ca_urls,
            &config.oidc_urls,
            &config.rekor_tlog_urls,
            &config.tsa_urls,
        ];
        if kinds.iter().any(|services| services.len() > MAX_SERVICES) {
            return Err(ConfigError::TooMany);
        }
        Ok(config)
    }

    /// Writes it for a file.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ConfigError> {
        json::to_pretty(self).map_err(ConfigError::Json)
    }

    /// Returns the certificate authority to ask at `now`.
    pub fn authority(&self, now: Timestamp) -> Result<&Endpoint, ConfigError> {
        one("certificate authority", &self.ca_urls, now)
    }

    /// Returns the issuer that people get tokens from at `now`.
    pub fn issuer(&self, now: Timestamp) -> Result<&Endpoint, ConfigError> {
        one("token issuer", &self.oidc_urls, now)
    }

    /// Returns the timestamp authorities to ask at `now`; none, if none is named at all.
    pub fn timestamps(&self, now: Timestamp) -> Result<Choice<'_>, ConfigError> {
        let rule = Rule {
            kind: "timestamp authority",
            selection: self.tsa_config,
            versions: &[1],
        };
        rule.select(&self.tsa_urls, now)
    }

    /// Returns the logs to write to at `now`; none, if none is named at all.
    pub fn logs(&self, now: Timestamp) -> Result<Choice<'_>, ConfigError> {
        let rule = Rule {
            kind: "log",
            selection: self.rekor_tlog_config,
            versions: &[2, 1],
        };
        rule.select(&self.rekor_tlog_urls, now)
    }
}

/// Services of one kind that count, of which some are to be used.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Choice<'a> {
    /// Those that count, one of each operator, in the order in which they are asked.
    pub candidates: Vec<&'a Endpoint>,
    /// How many of them are to be used.
    pub wanted: usize,
}

impl<'a> Choice<'a> {
    /// Returns those that are used if all of them answer.
    pub fn preferred(&self) -> &[&'a Endpoint] {
        self.candidates
            .get(..self.wanted)
            .unwrap_or(&self.candidates)
    }

    /// Returns how many more are to be used when `done` were, and whom to ask for that: none of
    /// those again.
    pub(super) fn left(&self, done: &[&str]) -> (usize, Vec<&'a Endpoint>) {
        let open = self.candidates.iter().copied();
        let open: Vec<&Endpoint> = open
            .filter(|service| !done.contains(&service.url.as_str()))
            .collect();
        // One that is named no longer has been used nevertheless.
        let lacks = self.wanted.saturating_sub(done.len()).min(open.len());
        (lacks, open)
    }
}

fn one<'a>(
    kind: &'static str,
    services: &'a [Endpoint],
    now: Timestamp,
) -> Result<&'a Endpoint, ConfigError> {
    let rule = Rule {
        kind,
        selection: Selection::default(),
        versions: &[1],
    };
    let found = rule.select(services, now)?;
    found
        .candidates
        .first()
        .copied()
        .ok_or(ConfigError::NoService { kind })
}

// What to take of services of one kind.
struct Rule {
    kind: &'static str,
    selection: Selection,
    // The highest first.
    versions: &'static [u32],
}

impl Rule {
    fn select<'a>(
        &self,
        services: &'a [Endpoint],
        now: Timestamp,
    ) -> Result<Choice<'a>, ConfigError> {
        let kind = self.kind;
        let candidates = self.newest(services, now);
        if candidates.is_empty() && !services.is_empty() {
            return Err(ConfigError::NoService { kind });
        }
        let count = self.selection.count;
        let exact = count.and_then(|count| usize::try_from(count).ok());
        let wanted = match (self.selection.selector, exact) {
            _ if services.is_empty() => 0,
            (Selector::All, _) => candidates.len(),
            (Selector::Any, _) => 1,
            (Selector::Exact, Some(count)) if (1..=candidates.len()).contains(&count) => count,
            (Selector::Exact, _) => {
                return Err(ConfigError::Count {
                    kind,
                    found: candidates.len(),
                    wanted: count.unwrap_or(0),
                });
            }
        };
        Ok(Choice { candidates, wanted })
    }

    // Of each operator the one that counts.
    fn newest<'a>(&self, services: &'a [Endpoint], now: Timestamp) -> Vec<&'a Endpoint> {
        let valid = |service: &&Endpoint| service.valid_for.is_none_or(|valid| valid.contains(now));
        let mut usable: Vec<&Endpoint> = services.iter().filter(valid).collect();
        // Services of one age stay in the order of the document.
        usable.sort_by_key(|service| std::cmp::Reverse(service.valid_for.map(|valid| valid.start)));
        let mut selected: Vec<&Endpoint> = Vec::new();
        for version in self.versions {
            for service in &usable {
                let operator = &service.operator;
                let taken = selected.iter().any(|other| other.operator == *operator);
                if service.major_api_version == *version && !taken {
                    selected.push(service);
                }
            }
        }
        selected
    }
}

/// Why a signing configuration is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Fewer services than are to be used, or no number.
    #[error("{wanted} services of kind `{kind}` are to be used, and {found} count now")]
    Count {
        /// Which kind.
        kind: &'static str,
        /// Those that count now.
        found: usize,
        /// Those wanted.
        wanted: u32,
    },
    /// Not JSON of this shape, or beyond a limit.
    #[error("{0}")]
    Json(JsonError),
    /// Another version, or something else.
    #[error("the media type is not `{SIGNING_CONFIG}`")]
    MediaType,
    /// None that counts now, in a version that is spoken.
    #[error("no {kind} counts now, in a version that Custos speaks")]
    NoService {
        /// Which kind.
        kind: &'static str,
    },
    /// More than 64 of a kind.
    #[error("more than {MAX_SERVICES} services of a kind")]
    TooMany,
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);

    fn log(url: &str, version: u32, start: i64, operator: &str) -> Endpoint {
        let start = NOW.plus_micros(start * 1_000_000);
        Endpoint::new(url, version, Validity::from(start)).of(operator)
    }

    fn logs(services: &[Endpoint], selection: Selection) -> Result<Vec<String>, ConfigError> {
        let mut config = SigningConfig::naming_nothing();
        config.rekor_tlog_urls = services.to_vec();
        config.rekor_tlog_config = selection;
        let found = config.logs(NOW)?;
        Ok(found
            .preferred()
            .iter()
            .map(|service| service.url.clone())
            .collect())
    }

    #[test]
    fn the_newest_of_the_highest_version_of_each_operator_counts() {
        let services = [
            log("old", 2, -20, "a"),
            log("new", 2, -10, "a"),
            log("future", 2, 10, "a"),
            log("v1", 1, -5, "a"),
            log("v3", 3, -5, "a"),
            log("other-v1", 1, -5, "b"),
        ];
        let all = logs(&services, Selection::new(Selector::All, None)).unwrap();
        assert_eq!(all, ["new", "other-v1"]);
        let any = logs(&services, Selection::default()).unwrap();
        assert_eq!(any, ["new"]);
        let exact = |count| logs(&services, Selection::new(Selector::Exact, count));
        assert_eq!(exact(Some(2)).unwrap(), ["new", "other-v1"]);
        for count in [None, Some(0), Some(3)] {
            assert!(matches!(exact(count), Err(ConfigError::Count { .. })));
        }
    }

    #[test]
    fn who_is_left_over_stands_in_and_nobody_is_asked_twice() {
        let services = ["a", "b", "c"].map(|name| log(name, 2, -5, name));
        let mut config = SigningConfig::naming_nothing();
        config.rekor_tlog_urls = services.to_vec();
        let left = |selection, done: &[&str]| {
            let mut config = config.clone();
            config.rekor_tlog_config = selection;
            let choice = config.logs(NOW).unwrap();
            let (lacks, open) = choice.left(done);
            let open: Vec<String> = open.iter().map(|service| service.url.clone()).collect();
            (lacks, open.concat())
        };
        let (any, all) = (Selection::default(), Selection::new(Selector::All, None));
        let two = Selection::new(Selector::Exact, Some(2));
        assert_eq!(left(any, &[]), (1, "abc".to_owned()));
        assert_eq!(left(any, &["b"]), (0, "ac".to_owned()));
        assert_eq!(left(two, &["c"]), (1, "ab".to_owned()));
        assert_eq!(left(all, &["a"]), (2, "bc".to_owned()));
        assert_eq!(left(all, &["a", "b", "c"]), (0, String::new()));
        assert_eq!(left(two, &["gone"]), (1, "abc".to_owned()));
    }

    #[test]
    fn both_ends_of_a_validity_count_and_none_at_all_is_no_error() {
        let mut service = log("a", 2, 0, "a");
        service.valid_for = Some(Validity::from(NOW).until(NOW));
        assert_eq!(
            logs(&[service.clone()], Selection::default()).unwrap(),
            ["a"]
        );
        let ended = Validity::from(NOW.plus_micros(-2)).until(NOW.plus_micros(-1));
        service.valid_for = Some(ended);
        let none = ConfigError::NoService { kind: "log" };
        assert_eq!(logs(&[service], Selection::default()), Err(none));
        assert_eq!(logs(&[], Selection::default()), Ok(Vec::new()));
        let nothing = SigningConfig::naming_nothing();
        assert!(matches!(
            nothing.authority(NOW),
            Err(ConfigError::NoService { .. })
        ));
    }

    #[test]
    fn the_public_configuration_is_read_and_others_are_not() {
        let text = br#"{"mediaType":"application/vnd.dev.sigstore.signingconfig.v0.2+json",
            "caUrls":[{"url":"https://fulcio.sigstore.dev","majorApiVersion":1,
                "validFor":{"start":"2022-04-13T20:06:15.000Z"},"operator":"sigstore.dev"}],
            "oidcUrls":[],"tsaUrls":[{"url":"https://timestamp.sigstore.dev/api/v1/timestamp",
                "majorApiVersion":1,"validFor":{"start":"2025-07-04T00:00:00Z"},"operator":"s"}],
            "rekorTlogUrls":[{"url":"https://rekor.sigstore.dev","majorApiVersion":1,
                "validFor":{"start":"2021-01-12T11:53:27.000Z"},"operator":"sigstore.dev"}],
            "rekorTlogConfig":{"selector":"ANY"},"tsaConfig":{"selector":"ANY"},"newField":1}"#;
        let config = SigningConfig::parse(text).unwrap();
        assert_eq!(
            config.authority(NOW).unwrap().url,
            "https://fulcio.sigstore.dev"
        );
        assert_eq!(
            config.logs(NOW).unwrap().preferred()[0].major_api_version,
            1
        );
        let again = SigningConfig::parse(&config.to_bytes().unwrap()).unwrap();
        assert_eq!(again, config);
        assert_eq!(
            SigningConfig::parse(br#"{"mediaType":"x"}"#),
            Err(ConfigError::MediaType)
        );
        for bad in [
            &br#"{"mediaType":"x","mediaType":"x"}"#[..],
            br#"{"mediaType":"x","tsaConfig":{"selector":"MOST"}}"#,
        ] {
            assert!(matches!(
                SigningConfig::parse(bad),
                Err(ConfigError::Json(_))
            ));
        }
    }
}
