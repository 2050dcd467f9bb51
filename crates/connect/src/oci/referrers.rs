//! What refers to a manifest
//! ([listing referrers](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-referrers)).
//!
//! A registry answers by its referrers API, in pages; or it has none, and whoever attaches
//! something keeps a list under the fallback tag `sha256-HEX`. That there is nothing is only
//! known when a registry says so in the form of the specification. Everything else is unknown:
//! a verifier that took a failing registry for an empty one would find nothing against anything.
//! So a registry may say in many ways that it has no API, and then it is asked for the tag; about
//! the tag it has to say in the one way that it is not there.

use custos_core::digest::Digest;
use custos_net::{NetError, Request, Response, Url};

use super::client::{Repository, Scope, fetched};
use super::error::OciError;
use super::manifest::{Descriptor, Manifest, OCI_INDEX};

/// Most pages of one list.
const MAX_PAGES: usize = 64;
/// Most entries of one list.
pub(super) const MAX_REFERRERS: usize = 1024;

/// What is known about a list.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "there is no third state")]
pub enum Listing<T> {
    /// The whole list; if it is empty, there is nothing.
    Known(Vec<T>),
    /// Nothing follows from this.
    Unknown(Box<OciError>),
}

impl Repository {
    /// Lists what refers to `subject`, which the caller has fetched: of a manifest that is not
    /// there nothing is known.
    pub fn referrers(&self, subject: &Digest) -> Listing<Descriptor> {
        match self.pages(subject) {
            Ok(Some(list)) => Listing::Known(list),
            Ok(None) => self.fallback_listing(subject),
            Err(error) => Listing::Unknown(Box::new(error)),
        }
    }

    fn fallback_listing(&self, subject: &Digest) -> Listing<Descriptor> {
        match self.fallback(subject) {
            Ok(Some(list)) => Listing::Known(list.manifests),
            Ok(None) => Listing::Known(Vec::new()),
            Err(error) => Listing::Unknown(Box::new(error)),
        }
    }

    // The list by the API; `None` if the registry has no such API.
    fn pages(&self, subject: &Digest) -> Result<Option<Vec<Descriptor>>, OciError> {
        let first = self.url(&format!("referrers/{subject}"))?;
        let mut seen: Vec<String> = Vec::new();
        let mut list = Vec::new();
        let mut next = Some(first.clone());
        while let Some(url) = next {
            if seen.len() >= MAX_PAGES {
                return Err(OciError::TooMany {
                    what: "pages of referrers",
                    limit: MAX_PAGES,
                });
            }
            if seen.contains(&url.as_text()) {
                return Err(OciError::Pages {
                    why: "a page leads back to an earlier one",
                });
            }
            seen.push(url.as_text());
            let request = Request::get(url.clone()).with_header("accept", OCI_INDEX);
            let answer = match self.call(&request, Scope::Pull) {
                // GitHub's registry sends us to a page for people.
                Err(OciError::Net(NetError::Redirected { .. })) if seen.len() == 1 => {
                    return Ok(None);
                }
                answer => answer?,
            };
            if has_no_api(answer.status()) && seen.len() == 1 {
                return Ok(None);
            }
            if answer.status() != 200 {
                return Err(failed(answer));
            }
            add(&mut list, page(&answer)?)?;
            next = following(&answer, &first)?;
        }
        Ok(Some(list))
    }

    // The list under the fallback tag; `None` if the registry says that there is none.
    pub(super) fn fallback(&self, subject: &Digest) -> Result<Option<Fallback>, OciError> {
        let answer = self.under_tag(&fallback_tag(subject))?;
        answer.as_ref().map(Fallback::read).transpose()
    }
}

// The specification asks for 404; older registries take the path for something else, and say so.
const fn has_no_api(status: u16) -> bool {
    matches!(status, 400 | 404 | 405 | 406 | 501)
}

/// The list under a fallback tag.
pub(super) struct Fallback {
    pub(super) manifests: Vec<Descriptor>,
    pub(super) bytes: Vec<u8>,
}

impl Fallback {
    pub(super) fn read(answer: &Response) -> Result<Self, OciError> {
        let mut manifests = Vec::new();
        add(&mut manifests, page(answer)?)?;
        Ok(Self {
            manifests,
            bytes: answer.body().to_vec(),
        })
    }
}

/// Returns the tag under which a registry without the API keeps the list for `subject`.
pub(super) fn fallback_tag(subject: &Digest) -> String {
    let hex = subject.to_hex();
    // A tag has at most 128 characters; the specification cuts at 64.
    format!("{}-{}", subject.algorithm(), hex.get(..64).unwrap_or(&hex))
}

fn add(list: &mut Vec<Descriptor>, more: Vec<Descriptor>) -> Result<(), OciError> {
    if list.len().saturating_add(more.len()) > MAX_REFERRERS {
        return Err(OciError::TooMany {
            what: "referrers",
            limit: MAX_REFERRERS,
        });
    }
    list.extend(more);
    Ok(())
}

fn page(answer: &Response) -> Result<Vec<Descriptor>, OciError> {
    match fetched(answer, None, "the list of referrers")?.manifest {
        Manifest::Index { manifests, .. } => Ok(manifests),
        Manifest::Image { .. } => Err(OciError::Pages {
            why: "it is an image",
        }),
    }
}

fn failed(answer: Response) -> OciError {
    match answer.success() {
        Err(error) => OciError::Net(error),
        Ok(answer) => super::client::unexpected(&answer),
    }
}

// Where the next page is: of the same server, below the same path.
fn following(answer: &Response, first: &Url) -> Result<Option<Url>, OciError> {
    let fault = |why| OciError::Pages { why };
    let mut next = None;
    for header in answer.headers("link") {
        for target in links(header).ok_or_else(|| fault("the header Link breaks its grammar"))? {
            let url = answer
                .url()
                .join(target)
                .map_err(|error| OciError::Net(NetError::Url(error)))?;
            if url.origin() != first.origin() || url.path() != first.path() {
                return Err(fault("its next page is another thing"));
            }
            if next.replace(url).is_some() {
                return Err(fault("it has two next pages"));
            }
        }
    }
    Ok(next)
}

// The targets with `rel="next"` of a header `Link` (RFC 8288 section 3).
fn links(header: &str) -> Option<Vec<&str>> {
    let mut found = Vec::new();
    let mut rest = header.trim();
    while !rest.is_empty() {
        let (target, behind) = rest.strip_prefix('<')?.split_once('>')?;
        let (parameters, behind) = until(behind, b',');
        let mut rest_of = parameters;
        let mut next = false;
        while !rest_of.is_empty() {
            let (parameter, more) = until(rest_of, b';');
            next |= parameter.split_once('=').is_some_and(|(name, value)| {
                name.trim().eq_ignore_ascii_case("rel") && is_next(value)
            });
            rest_of = more.get(1..).unwrap_or_default();
        }
        if next {
            found.push(target);
        }
        rest = behind.trim_start_matches([',', ' ', '\t']);
    }
    Some(found)
}

fn is_next(value: &str) -> bool {
    value
        .trim()
        .trim_matches('"')
        .split(' ')
        .any(|relation| relation.eq_ignore_ascii_case("next"))
}

// Splits before the first `end` that stands outside of quotes.
fn until(text: &str, end: u8) -> (&str, &str) {
    let mut quoted = false;
    for (at, byte) in text.bytes().enumerate() {
        if byte == b'"' {
            quoted = !quoted;
        } else if byte == end && !quoted {
            return text.split_at_checked(at).unwrap_or((text, ""));
        }
    }
    (text, "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use custos_core::digest::Algorithm;

    #[test]
    fn next_pages() {
        for (header, expected) in [
            (
                "</v2/a/referrers/x?n=2>; rel=\"next\"",
                Some(vec!["/v2/a/referrers/x?n=2"]),
            ),
            ("<b>;rel=next", Some(vec!["b"])),
            ("<b>; REL=\"prev next\"; title=\"a, b\"", Some(vec!["b"])),
            ("<a>; rel=prev, <b>; rel=next", Some(vec!["b"])),
            ("<a>; title=\"x, <y>; rel=next\"", Some(vec![])),
            ("<a>", Some(vec![])),
            ("", Some(vec![])),
            ("a; rel=next", None),
            ("<a; rel=next", None),
        ] {
            assert_eq!(links(header), expected, "{header}");
        }
    }

    #[test]
    fn the_fallback_tag_is_a_tag() {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let digest = algorithm.digest(b"x");
            let tag = fallback_tag(&digest);
            assert!(super::super::reference::is_tag(&tag));
            assert_eq!(tag.len(), 7 + 64);
        }
    }
}
