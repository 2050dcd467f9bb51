//! An account of AWS, as requests to any of its services need it.

use std::fmt;
use std::sync::Mutex;

use custos_net::{Method, Request, Roots, Url};

use super::super::super::remote::ServiceError;
use super::super::super::surroundings::{Surroundings, SurroundingsError};
use super::credentials::{Credentials, Source};
use super::{address, profile, sigv4, suffix};

const SERVICE: &str = "AWS";

/// An account in one region: credentials from the places where AWS' own tools look, renewed when
/// they end, and signatures with them.
pub struct Account {
    region: String,
    source: Source,
    held: Mutex<Credentials>,
    surroundings: Surroundings,
}

impl Account {
    /// Opens the account that the surroundings give access to.
    pub fn open(surroundings: &Surroundings) -> Result<Self, ServiceError> {
        Self::of(region(None, surroundings)?, surroundings)
    }

    pub(super) fn of(region: String, surroundings: &Surroundings) -> Result<Self, ServiceError> {
        let source = Source::find(surroundings)?;
        let credentials = source.fetch(&region, surroundings)?;
        Ok(Self {
            region,
            source,
            held: Mutex::new(credentials),
            surroundings: surroundings.clone(),
        })
    }

    /// Returns where S3 is: `AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL`, or AWS' own for the region,
    /// with the bucket as part of the host if it is given and fits there.
    pub fn s3(&self, bucket: &str) -> Result<(Url, bool), ServiceError> {
        for name in ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"] {
            if let Some(url) = self.surroundings.url_var(name)? {
                return Ok((url, false));
            }
        }
        let end = suffix(&self.region);
        // A certificate covers one label only.
        if bucket.contains('.') {
            return Ok((
                address("https", &format!("s3.{}", self.region), end)?,
                false,
            ));
        }
        let host = format!("{bucket}.s3.{}", self.region);
        Ok((address("https", &host, end)?, true))
    }

    /// Returns a signed request to S3 without a body.
    pub fn s3_request(
        &self,
        method: Method,
        url: &Url,
        headers: Vec<(&'static str, String)>,
    ) -> Result<Request, ServiceError> {
        let credentials = self.credentials()?;
        let unsigned = sigv4::Unsigned {
            method: method.name(),
            url,
            headers,
            body: b"",
            s3: true,
        };
        let mut request = Request::new(method, url.clone());
        for (name, value) in self.sign(&unsigned, "s3", &credentials) {
            request = request.with_secret_header(name, value.into());
        }
        Ok(request)
    }

    /// Returns settings for calls of a service of the account.
    pub fn settings(&self, server: &Url) -> Result<custos_net::Settings, ServiceError> {
        self.surroundings
            .settings(server, Roots::System)
            .map_err(ServiceError::net(SERVICE, "connecting"))
    }

    pub(super) fn sign(
        &self,
        unsigned: &sigv4::Unsigned<'_>,
        service: &str,
        credentials: &Credentials,
    ) -> Vec<(&'static str, String)> {
        let scope = sigv4::Scope {
            region: &self.region,
            service,
            now: self.surroundings.clock().now(),
        };
        unsigned.sign(credentials, &scope)
    }

    pub(super) fn credentials(&self) -> Result<Credentials, ServiceError> {
        let poisoned = || ServiceError::Answer {
            service: SERVICE,
            operation: "credentials",
            what: "another thread failed while it renewed them",
        };
        let mut held = self.held.lock().map_err(|_| poisoned())?;
        if !held.are_fresh(&self.surroundings) {
            *held = self.source.fetch(&self.region, &self.surroundings)?;
        }
        Ok(held.clone())
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Account({})", self.region)
    }
}

/// Returns the region that is named, or else that of the surroundings.
pub(super) fn region(
    named: Option<&str>,
    surroundings: &Surroundings,
) -> Result<String, ServiceError> {
    let missing = SurroundingsError::Missing {
        what: "the AWS region",
        help: "use the ARN of the key, AWS_REGION, or `region` of the profile",
    };
    let region = match named.map(str::to_owned) {
        Some(region) => Some(region),
        None => surroundings
            .var("AWS_REGION")
            .or_else(|| surroundings.var("AWS_DEFAULT_REGION"))
            .map_or_else(|| profile::region(surroundings), |region| Ok(Some(region)))?,
    };
    // It becomes part of a host name.
    let fits = |region: &String| {
        region.len() <= 32
            && region
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    region
        .filter(fits)
        .ok_or(ServiceError::Surroundings(missing))
}
