//! AWS Signature Version 4
//! ([specification](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html)).
//!
//! S3 has a dialect of its own: it encodes paths once instead of twice, and wants the digest of the
//! body in a header. What it is not: the forms that sign a URL or chunks.

use std::fmt::Write as _;

use aws_lc_rs::digest::{self, SHA256};
use aws_lc_rs::hmac;
use custos_core::clock::Timestamp;
use custos_net::{Url, percent_encode};
use zeroize::Zeroizing;

use super::credentials::Credentials;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// A request before it is signed. Names of headers are in lower case.
pub(super) struct Unsigned<'a> {
    pub(super) method: &'static str,
    pub(super) url: &'a Url,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: &'a [u8],
    /// Whether it is for S3.
    pub(super) s3: bool,
}

/// Where and when a signature counts.
pub(super) struct Scope<'a> {
    pub(super) region: &'a str,
    pub(super) service: &'a str,
    pub(super) now: Timestamp,
}

impl Scope<'_> {
    // `20150830T123600Z`; the date is its first eight characters.
    fn time(&self) -> String {
        let seconds = Timestamp::from_seconds(self.now.as_seconds()).to_string();
        seconds.replace(['-', ':'], "")
    }

    fn path(&self) -> String {
        let time = self.time();
        let date = time.get(..8).unwrap_or_default();
        format!("{date}/{}/{}/aws4_request", self.region, self.service)
    }
}

impl Unsigned<'_> {
    /// Returns all headers of the signed request, sorted by name.
    pub(super) fn sign(
        &self,
        credentials: &Credentials,
        scope: &Scope<'_>,
    ) -> Vec<(&'static str, String)> {
        let mut headers = self.headers.clone();
        headers.push(("host", host(self.url)));
        if self.s3 {
            headers.push(("x-amz-content-sha256", sha256_hex(self.body)));
        }
        headers.push(("x-amz-date", scope.time()));
        if let Some(token) = credentials.session_token() {
            headers.push(("x-amz-security-token", token.expose().to_owned()));
        }
        headers.sort_unstable();
        // It repeats the session token.
        let canonical = Zeroizing::new(self.canonical(&headers));
        let to_sign = format!(
            "{ALGORITHM}\n{}\n{}\n{}",
            scope.time(),
            scope.path(),
            sha256_hex(canonical.as_bytes())
        );
        let signature = hmac(signing_key(credentials, scope).as_ref(), to_sign.as_bytes());
        let authorization = format!(
            "{ALGORITHM} Credential={}/{}, SignedHeaders={}, Signature={}",
            credentials.key_id(),
            scope.path(),
            names(&headers),
            hex::encode(signature)
        );
        headers.push(("authorization", authorization));
        headers
    }

    fn canonical(&self, headers: &[(&'static str, String)]) -> String {
        let encoded = |part: &str| {
            if self.s3 {
                part.to_owned()
            } else {
                percent_encode(part)
            }
        };
        let path: Vec<String> = self.url.path().split('/').map(encoded).collect();
        let mut out = format!(
            "{}\n{}\n{}\n",
            self.method,
            path.join("/"),
            canonical_query(self.url.query().unwrap_or_default())
        );
        for (name, value) in headers {
            let value: Vec<&str> = value.split_whitespace().collect();
            // Writing to a string does not fail.
            let _ = writeln!(out, "{name}:{}", value.join(" "));
        }
        let _ = write!(out, "\n{}\n{}", names(headers), sha256_hex(self.body));
        out
    }
}

fn host(url: &Url) -> String {
    let origin = url.origin().to_string();
    origin
        .split_once("://")
        .map(|(_, host)| host.to_owned())
        .unwrap_or_default()
}

fn names(headers: &[(&'static str, String)]) -> String {
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    names.join(";")
}

// What is on the wire is encoded already; it only has to be sorted.
fn canonical_query(query: &str) -> String {
    let mut pairs: Vec<(&str, &str)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .collect();
    pairs.sort_unstable();
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.join("&")
}

fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(digest::digest(&SHA256, bytes))
}

fn hmac(key: &[u8], message: &[u8]) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message)
}

fn signing_key(credentials: &Credentials, scope: &Scope<'_>) -> hmac::Tag {
    let secret = Zeroizing::new(format!("AWS4{}", credentials.secret().expose()));
    let path = scope.path();
    let mut parts = path.split('/');
    let mut key = hmac(
        secret.as_bytes(),
        parts.next().unwrap_or_default().as_bytes(),
    );
    for part in parts {
        key = hmac(key.as_ref(), part.as_bytes());
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

    fn signature(unsigned: &Unsigned<'_>, service: &str) -> String {
        let credentials = Credentials::new("AKIDEXAMPLE", SECRET, None);
        let scope = Scope {
            region: "us-east-1",
            service,
            now: "2015-08-30T12:36:00.999Z".parse().unwrap(),
        };
        let headers = unsigned.sign(&credentials, &scope);
        let (name, value) = headers.last().unwrap();
        assert_eq!(*name, "authorization");
        value.clone()
    }

    type Case = (
        &'static str,
        &'static str,
        &'static [(&'static str, &'static str)],
        &'static str,
        &'static str,
    );

    // AWS' Signature Version 4 Test Suite: get-vanilla, post-vanilla,
    // get-vanilla-query-order-key-case, post-x-www-form-urlencoded, get-header-value-trim.
    const SUITE: [Case; 5] = [
        (
            "GET",
            "/",
            &[],
            "",
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        ),
        (
            "POST",
            "/",
            &[],
            "",
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
        ),
        (
            "GET",
            "/?Param2=value2&Param1=value1",
            &[],
            "",
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        ),
        (
            "POST",
            "/",
            &[("content-type", "application/x-www-form-urlencoded")],
            "Param1=value1",
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        ),
        (
            "GET",
            "/",
            &[("my-header1", " value1"), ("my-header2", " \"a   b   c\"")],
            "",
            "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
        ),
    ];

    #[test]
    fn the_test_suite_of_aws() {
        for (method, path, headers, body, expected) in SUITE {
            let url: Url = format!("https://example.amazonaws.com{path}")
                .parse()
                .unwrap();
            let mut names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
            names.extend(["host", "x-amz-date"]);
            names.sort_unstable();
            let unsigned = Unsigned {
                method,
                url: &url,
                headers: headers
                    .iter()
                    .map(|(name, value)| (*name, (*value).to_owned()))
                    .collect(),
                body: body.as_bytes(),
                s3: false,
            };
            assert_eq!(
                signature(&unsigned, "service"),
                format!(
                    "AWS4-HMAC-SHA256 \
                     Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
                     SignedHeaders={}, Signature={expected}",
                    names.join(";")
                ),
                "{method} {path}"
            );
        }
    }

    // "Derive a signing key" and the example request of IAM in AWS' documentation.
    #[test]
    fn the_documented_key_and_request() {
        let credentials = Credentials::new("AKIDEXAMPLE", SECRET, None);
        let scope = Scope {
            region: "us-east-1",
            service: "iam",
            now: "2015-08-30T12:36:00Z".parse().unwrap(),
        };
        assert_eq!(
            hex::encode(signing_key(&credentials, &scope)),
            "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"
        );
        let url: Url = "https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08"
            .parse()
            .unwrap();
        let unsigned = Unsigned {
            method: "GET",
            url: &url,
            headers: vec![(
                "content-type",
                "application/x-www-form-urlencoded; charset=utf-8".to_owned(),
            )],
            body: b"",
            s3: false,
        };
        assert!(signature(&unsigned, "iam").ends_with(
            "SignedHeaders=content-type;host;x-amz-date, \
             Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
        ));
    }

    #[test]
    fn a_session_token_is_signed_with() {
        let credentials = Credentials::new("AKIDEXAMPLE", SECRET, Some("token"));
        let url: Url = "http://127.0.0.1:5000/".parse().unwrap();
        let unsigned = Unsigned {
            method: "POST",
            url: &url,
            headers: vec![("x-amz-target", "T".to_owned())],
            body: b"{}",
            s3: false,
        };
        let scope = Scope {
            region: "us-east-1",
            service: "kms",
            now: Timestamp::from_seconds(0),
        };
        let headers = unsigned.sign(&credentials, &scope);
        let (_, authorization) = headers.last().unwrap();
        assert!(
            authorization
                .contains("SignedHeaders=host;x-amz-date;x-amz-security-token;x-amz-target,")
        );
        assert!(headers.contains(&("host", "127.0.0.1:5000".to_owned())));
        assert!(headers.contains(&("x-amz-date", "19700101T000000Z".to_owned())));
    }
}
