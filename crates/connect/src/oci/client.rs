//! One repository of one registry over HTTP
//! ([OCI distribution](https://github.com/opencontainers/distribution-spec/blob/main/spec.md)).
//!
//! Who is asked, and who sees what:
//! - the registry, over TLS; plain HTTP only on this machine, or where the settings say so;
//! - its token service, if it names one, under the guard;
//! - where it sends us for what is named by digest, under the guard and without credentials.
//!
//! Whatever is not named by a digest comes from the registry itself or not at all.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use custos_core::digest::{Algorithm, Digest};
use custos_net::{
    Client, Guard, Incoming, NetError, Proxy, Redirects, Request, Response, Roots, Secret,
    Settings, Url,
};

use super::challenge::{self, Challenge};
use super::credentials::{Credential, Credentials};
use super::error::OciError;
use super::manifest::{ACCEPT, Descriptor, Fetched, MAX_MANIFEST, Manifest};
use super::reference::{Reference, Registry};
use super::token::{self, Wanted};

/// Largest blob that is fetched, in bytes: a bundle within `custos_core::limits::Limits::BUNDLE`.
pub const MAX_BLOB: u64 = 136 << 20;
/// Time to connect, and for a whole call.
const TIMES: (Duration, Duration) = (Duration::from_secs(10), Duration::from_mins(2));
/// Time for a blob that is passed on as it comes: 1 TiB at 50 MB/s.
const LONG: Duration = Duration::from_hours(6);

/// How a registry is reached.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Access {
    /// The user named the registry, so it may be in a private network or on this machine. A
    /// reference out of somebody's document names nothing.
    pub named: bool,
    /// The settings say that this registry speaks plain HTTP.
    pub plain_http: bool,
    /// Other servers that this registry may send us to, wherever they are.
    pub also: Vec<Url>,
    /// Who is believed to be who it says.
    pub roots: Roots,
    /// The way out of this network.
    pub proxy: Option<Proxy>,
    /// Where credentials are looked for.
    pub credentials: Credentials,
}

impl Access {
    /// Returns access to public registries, with these credentials.
    pub const fn new(credentials: Credentials) -> Self {
        Self {
            named: false,
            plain_http: false,
            also: Vec::new(),
            roots: Roots::System,
            proxy: None,
            credentials,
        }
    }

    /// Returns access to a registry that the user named.
    #[must_use]
    pub fn naming(self) -> Self {
        Self {
            named: true,
            ..self
        }
    }
}

/// What a token is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    Pull,
    Push,
}

/// A repository of a registry. Nothing is asked before it is needed, credentials least of all.
pub struct Repository {
    reference: Reference,
    base: Url,
    // For what the registry itself says: no redirects.
    api: Client,
    // For what is named by its digest: whoever brings it.
    content: Client,
    // The same for what is as large as it likes.
    large: Settings,
    credentials: Credentials,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    pull: Option<Secret>,
    push: Option<Secret>,
}

impl Repository {
    /// Returns the repository of `reference`. A registry on this machine is asked whether it
    /// speaks plain HTTP; no other one is asked anything.
    pub fn open(reference: &Reference, access: Access) -> Result<Self, OciError> {
        let registry = reference.registry();
        let url = |scheme: &str| -> Result<Url, NetError> {
            let text = format!("{scheme}://{}/v2/", registry.authority());
            text.parse().map_err(NetError::Url)
        };
        let (secure, plain) = (url("https")?, url("http")?);
        let mut guard = Guard::public();
        if access.named || access.plain_http {
            guard = guard.naming(&secure);
        }
        let may_be_plain = access.plain_http || (access.named && registry.is_loopback());
        if may_be_plain {
            guard = guard.naming(&plain);
        }
        for url in &access.also {
            guard = guard.naming(url);
        }
        // A proxy is for what is far away.
        let proxy = access.proxy.filter(|_| !registry.is_loopback());
        let settings = Settings::new(guard)
            .with_roots(access.roots)
            .with_proxy(proxy)
            .with_times(TIMES.0, TIMES.1);
        let max = u64::try_from(MAX_MANIFEST).unwrap_or(u64::MAX);
        let api = Client::new(
            settings
                .clone()
                .with_redirects(Redirects::Never)
                .with_max_answer(max),
        )?;
        let content = settings
            .with_redirects(Redirects::AnyServer)
            .with_max_answer(MAX_BLOB);
        let large = content
            .clone()
            .with_times(TIMES.0, LONG)
            .with_max_answer(u64::MAX);
        let base = match (access.plain_http, may_be_plain) {
            (true, _) => plain,
            (false, true) if speaks_plain(&api, &plain)? => plain,
            _ => secure,
        };
        Ok(Self {
            reference: reference.clone(),
            base,
            api,
            content: Client::new(content)?,
            large,
            credentials: access.credentials,
            held: Mutex::new(Held::default()),
        })
    }

    /// Returns the reference that it was opened with.
    pub const fn reference(&self) -> &Reference {
        &self.reference
    }

    /// Fetches what the reference names: by its digest if it has one, else by its tag, else by the
    /// tag `latest`.
    pub fn resolve(&self) -> Result<Fetched, OciError> {
        match self.reference.digest() {
            Some(digest) => self.manifest(digest),
            None => self.tagged(self.reference.tag().unwrap_or("latest")),
        }
    }

    /// Fetches a manifest by its digest.
    pub fn manifest(&self, digest: &Digest) -> Result<Fetched, OciError> {
        let url = self.url(&format!("manifests/{digest}"))?;
        let request = Request::get(url).with_header("accept", ACCEPT);
        let what = || format!("manifest {digest}");
        let incoming = self.send(&self.content, &request, Scope::Pull)?;
        let answer = self.found(limited(incoming, MAX_MANIFEST)?, &what)?;
        fetched(&answer, Some(digest), &what())
    }

    /// Fetches the manifest that a tag stands for now.
    pub fn tagged(&self, tag: &str) -> Result<Fetched, OciError> {
        let answer = self.get_tagged(tag)?;
        fetched(&answer, None, &format!("tag {tag}"))
    }

    pub(super) fn get_tagged(&self, tag: &str) -> Result<Response, OciError> {
        let url = self.url(&format!("manifests/{tag}"))?;
        let request = Request::get(url).with_header("accept", ACCEPT);
        let answer = self.call(&request, Scope::Pull)?;
        self.found(answer, &|| format!("tag {tag}"))
    }

    /// Returns what lies under a tag; `None` if the registry says that nothing does.
    pub(super) fn under_tag(&self, tag: &str) -> Result<Option<Response>, OciError> {
        match self.get_tagged(tag) {
            Ok(answer) => Ok(Some(answer)),
            Err(OciError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Fetches a blob, and checks its size and digest.
    pub fn blob(&self, descriptor: &Descriptor) -> Result<Vec<u8>, OciError> {
        let digest = descriptor.digest;
        if descriptor.size > MAX_BLOB {
            return Err(OciError::TooLarge {
                digest,
                found: descriptor.size,
                limit: MAX_BLOB,
            });
        }
        let url = self.url(&format!("blobs/{digest}"))?;
        let incoming = self.send(&self.content, &Request::get(url), Scope::Pull)?;
        if incoming.status() != 200 {
            let small = limited(incoming, MAX_MANIFEST)?;
            let small = self.found(small, &|| format!("blob {digest}"))?;
            return Err(unexpected(&small));
        }
        let bytes = read_at_most(incoming, descriptor.size)?;
        let found = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if found != descriptor.size {
            return Err(OciError::Size {
                digest,
                expected: descriptor.size,
                found,
            });
        }
        check_digest(&digest, &bytes)?;
        Ok(bytes)
    }

    /// Fetches a blob of any size piece by piece, and checks size and digest: what `each` was given
    /// is the blob only if this returns without an error. `each` may end it.
    pub fn blob_in_pieces(
        &self,
        descriptor: &Descriptor,
        each: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), OciError> {
        let digest = descriptor.digest;
        let client = Client::new(self.large.clone())?;
        let url = self.url(&format!("blobs/{digest}"))?;
        let mut incoming = self.send(&client, &Request::get(url), Scope::Pull)?;
        if incoming.status() != 200 {
            let small = limited(incoming, MAX_MANIFEST)?;
            let small = self.found(small, &|| format!("blob {digest}"))?;
            return Err(unexpected(&small));
        }
        let mut hasher = digest.algorithm().hasher();
        let mut chunk = vec![0; 256 * 1024];
        let mut found = 0_u64;
        loop {
            let read = incoming.read_some(&mut chunk)?;
            let piece = chunk.get(..read).unwrap_or_default();
            found = found.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
            if piece.is_empty() || found > descriptor.size {
                break;
            }
            hasher.update(piece);
            if each(piece).is_break() {
                return Ok(());
            }
        }
        if found != descriptor.size {
            return Err(OciError::Size {
                digest,
                expected: descriptor.size,
                found,
            });
        }
        let found = hasher.finish();
        if found == digest {
            return Ok(());
        }
        Err(OciError::Digest {
            expected: digest,
            found,
        })
    }

    /// Returns a URL below `/v2/REPOSITORY/`.
    pub(super) fn url(&self, below: &str) -> Result<Url, OciError> {
        let path = format!("/v2/{}/{below}", self.reference.repository());
        Ok(self.base.with_path(&path).map_err(NetError::Url)?)
    }

    /// Asks the registry itself, and reads the whole answer.
    pub(super) fn call(&self, request: &Request, scope: Scope) -> Result<Response, OciError> {
        Ok(self.send(&self.api, request, scope)?.read_all()?)
    }

    /// Returns an answer of success; 404 is an error that says whether the registry said so.
    pub(super) fn found(
        &self,
        answer: Response,
        what: &dyn Fn() -> String,
    ) -> Result<Response, OciError> {
        if answer.status() != 404 {
            return Ok(answer.success()?);
        }
        if !says_not_found(&answer) {
            return Err(OciError::NotFoundUnclear { what: what() });
        }
        Err(OciError::NotFound {
            what: what(),
            repository: self.reference.name(),
        })
    }

    fn send(&self, client: &Client, request: &Request, scope: Scope) -> Result<Incoming, OciError> {
        let held = self.held(scope);
        let shown = held.is_some();
        let answer = client.open(&with(request, held))?;
        if answer.status() != 401 {
            return self.allowed(answer, scope, shown);
        }
        // Only the registry itself is told who we are.
        if answer.url().origin() != self.base.origin() {
            return Err(self.denied(401, scope, false));
        }
        let challenges = answer
            .headers("www-authenticate")
            .map(challenge::parse)
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| self.challenge("the header WWW-Authenticate breaks its grammar"))?
            .concat();
        let (authorization, shown) = self.authorize(&challenges, scope)?;
        self.hold(scope, authorization.clone());
        let answer = client.open(&with(request, Some(authorization)))?;
        self.allowed(answer, scope, shown)
    }

    fn allowed(&self, answer: Incoming, scope: Scope, shown: bool) -> Result<Incoming, OciError> {
        match answer.status() {
            status @ (401 | 403) => Err(self.denied(status, scope, shown)),
            _ => Ok(answer),
        }
    }

    // What is put into `Authorization`, and whether credentials are behind it.
    fn authorize(
        &self,
        challenges: &[Challenge],
        scope: Scope,
    ) -> Result<(Secret, bool), OciError> {
        let credential = self
            .credentials
            .find(&self.reference)
            .map_err(OciError::Credentials)?;
        let shown = credential.is_some();
        if let Some(Credential::RegistryToken(token)) = &credential {
            return Ok((bearer(token), true));
        }
        let registry = self.registry().to_string();
        let scope_text = format!(
            "repository:{}:{}",
            self.reference.repository(),
            scope.actions()
        );
        if let Some(challenge) = challenges.iter().find(|one| one.is("bearer")) {
            let wanted = Wanted {
                registry: &registry,
                scope: &scope_text,
                credential: credential.as_ref(),
            };
            return Ok((bearer(&token::get(&self.api, challenge, &wanted)?), shown));
        }
        if !challenges.iter().any(|one| one.is("basic")) {
            return Err(self.challenge("it knows neither Bearer nor Basic"));
        }
        match &credential {
            Some(Credential::Basic { user, password }) => Ok((token::basic(user, password), true)),
            _ => Err(self.denied(401, scope, false)),
        }
    }

    fn registry(&self) -> &Registry {
        self.reference.registry()
    }

    fn denied(&self, status: u16, scope: Scope, asked: bool) -> OciError {
        let verb = match scope {
            Scope::Pull => "reading",
            Scope::Push => "writing to",
        };
        OciError::Denied {
            registry: self.registry().to_string(),
            what: format!("{verb} {}", self.reference.repository()),
            status,
            asked,
        }
    }

    fn challenge(&self, why: &'static str) -> OciError {
        OciError::Challenge {
            registry: self.registry().to_string(),
            why,
        }
    }

    // A token for writing reads as well.
    fn held(&self, scope: Scope) -> Option<Secret> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        match scope {
            Scope::Pull => held.push.clone().or_else(|| held.pull.clone()),
            Scope::Push => held.push.clone(),
        }
    }

    fn hold(&self, scope: Scope, authorization: Secret) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        match scope {
            Scope::Pull => held.pull = Some(authorization),
            Scope::Push => held.push = Some(authorization),
        }
    }
}

impl fmt::Debug for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Repository")
            .field("reference", &self.reference.to_string())
            .field("base", &self.base)
            .finish_non_exhaustive()
    }
}

impl Scope {
    const fn actions(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "pull,push",
        }
    }
}

fn bearer(token: &Secret) -> Secret {
    Secret::from(format!("Bearer {}", token.expose()))
}

fn with(request: &Request, authorization: Option<Secret>) -> Request {
    match authorization {
        Some(value) => request.clone().with_secret_header("authorization", value),
        None => request.clone(),
    }
}

// A registry with TLS answers plain HTTP with 400, or not in HTTP at all.
fn speaks_plain(client: &Client, url: &Url) -> Result<bool, OciError> {
    match client.send(&Request::get(url.clone())) {
        Ok(answer) => Ok(answer.status() != 400),
        Err(error @ (NetError::Unreachable { .. } | NetError::TimedOut { .. })) => {
            Err(OciError::Net(error))
        }
        Err(_) => Ok(false),
    }
}

/// Returns the manifest in an answer, checked against `expected`.
pub(super) fn fetched(
    answer: &Response,
    expected: Option<&Digest>,
    what: &str,
) -> Result<Fetched, OciError> {
    let bytes = answer.body();
    let fault = |fault| OciError::Manifest {
        what: what.to_owned(),
        fault,
    };
    let content_type = answer.header("content-type").unwrap_or_default();
    // A page for people is a failure, not a lie about a digest.
    Manifest::check_type(content_type).map_err(fault)?;
    let digest = match expected {
        Some(digest) => {
            check_digest(digest, bytes)?;
            *digest
        }
        None => Algorithm::Sha256.digest(bytes),
    };
    // The registry's own word is not needed, but where it is given it must be true.
    let told = answer.header("docker-content-digest");
    if let Some(told) = told.and_then(|told| told.parse::<Digest>().ok()) {
        check_digest(&told, bytes)?;
    }
    let (media_type, manifest) = Manifest::parse(bytes, content_type).map_err(fault)?;
    Ok(Fetched {
        descriptor: Descriptor {
            digest,
            ..Descriptor::of(&media_type, bytes)
        },
        bytes: bytes.to_vec(),
        manifest,
    })
}

fn check_digest(expected: &Digest, bytes: &[u8]) -> Result<(), OciError> {
    let found = expected.algorithm().digest(bytes);
    if found == *expected {
        return Ok(());
    }
    Err(OciError::Digest {
        expected: *expected,
        found,
    })
}

// `{"errors": [{"code": "..."}]}`: anybody between us and the registry may answer 404.
fn says_not_found(answer: &Response) -> bool {
    let Ok(document) = custos_core::json::from_slice::<serde_json::Value>(
        answer.body(),
        &custos_core::limits::Limits::SMALL,
    ) else {
        return false;
    };
    let codes = document.get("errors").and_then(serde_json::Value::as_array);
    codes.is_some_and(|errors| {
        let code = |error: &serde_json::Value| {
            let code = error.get("code").and_then(serde_json::Value::as_str);
            matches!(
                code,
                Some("MANIFEST_UNKNOWN" | "NAME_UNKNOWN" | "BLOB_UNKNOWN" | "NOT_FOUND")
            )
        };
        !errors.is_empty() && errors.iter().all(code)
    })
}

/// Returns the error for an answer of success that is not the one of the specification.
pub(super) fn unexpected(answer: &Response) -> OciError {
    OciError::Net(NetError::Status {
        url: answer.url().clone(),
        code: answer.status(),
        body: String::new(),
        retry_after: None,
    })
}

// The client for content takes large answers; what is small by its nature is kept small.
fn limited(incoming: Incoming, max: usize) -> Result<Response, OciError> {
    let max = u64::try_from(max).unwrap_or(u64::MAX);
    Ok(incoming.at_most(max).read_all()?)
}

// One byte more than promised tells a body that is too long.
fn read_at_most(mut incoming: Incoming, size: u64) -> Result<Vec<u8>, OciError> {
    let mut bytes = Vec::new();
    let mut chunk = vec![0; 64 * 1024];
    let limit = size.saturating_add(1);
    loop {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let left = usize::try_from(limit.saturating_sub(length)).unwrap_or(usize::MAX);
        let room = left.min(chunk.len());
        let Some(part) = chunk.get_mut(..room).filter(|part| !part.is_empty()) else {
            return Ok(bytes);
        };
        let read = incoming.read_some(part)?;
        match chunk.get(..read) {
            None | Some([]) => return Ok(bytes),
            Some(part) => bytes.extend_from_slice(part),
        }
    }
}
