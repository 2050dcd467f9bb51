//! A registry in memory, which can be told to behave in other ways than it should.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use custos_connect::oci::{Access, Credentials, Descriptor, Reference, Repository};
use custos_core::digest::{Algorithm, Digest};
use serde_json::{Value, json};

use crate::server::{Answer, Seen, Server};

pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// How it behaves.
#[derive(Clone, Default)]
pub struct Manners {
    /// Has the referrers API, with this many entries a page.
    pub api: Option<usize>,
    /// Honours `If-Match`.
    pub etags: bool,
    /// The first so many lists that are written are overwritten by somebody else right away.
    pub races: usize,
    /// The value of `Authorization` that it wants, and its challenge.
    pub wants: Option<(String, String)>,
}

#[derive(Default)]
pub struct Stored {
    manifests: BTreeMap<String, (String, Vec<u8>)>,
    blobs: BTreeMap<String, Vec<u8>>,
    races: usize,
}

pub struct Registry {
    pub server: Server,
    pub stored: Arc<Mutex<Stored>>,
}

impl Registry {
    pub fn start(manners: Manners) -> Self {
        Self::start_with(manners, |_| None)
    }

    pub fn start_with<F>(manners: Manners, instead: F) -> Self
    where
        F: Fn(&Seen) -> Option<Answer> + Send + Sync + 'static,
    {
        let stored = Arc::new(Mutex::new(Stored {
            races: manners.races,
            ..Stored::default()
        }));
        let shared = Arc::clone(&stored);
        let server = Server::start(move |seen, _| {
            if let Some(answer) = instead(seen) {
                return answer;
            }
            if let Some((value, challenge)) = &manners.wants
                && seen.header("authorization") != Some(value)
            {
                return Answer::error(401, "UNAUTHORIZED").with("www-authenticate", challenge);
            }
            shared.lock().unwrap().answer(seen, &manners)
        });
        Self { server, stored }
    }

    pub fn reference(&self, ending: &str) -> Reference {
        let text = format!("127.0.0.1:{}/org/model{ending}", self.server.port());
        text.parse().unwrap()
    }

    pub fn open(&self) -> Repository {
        self.open_as(Access::new(Credentials::none()).naming())
    }

    pub fn open_as(&self, access: Access) -> Repository {
        Repository::open(&self.reference(""), access).unwrap()
    }

    pub fn put(&self, name: Option<&str>, kind: &str, document: &Value) -> Descriptor {
        let bytes = document.to_string().into_bytes();
        let descriptor = Descriptor::of(kind, &bytes);
        let mut stored = self.stored.lock().unwrap();
        let entry = (kind.to_owned(), bytes);
        stored
            .manifests
            .insert(descriptor.digest.to_string(), entry.clone());
        if let Some(name) = name {
            stored.manifests.insert(name.to_owned(), entry);
        }
        descriptor
    }

    pub fn blob(&self, kind: &str, bytes: &[u8]) -> Descriptor {
        let descriptor = Descriptor::of(kind, bytes);
        let mut stored = self.stored.lock().unwrap();
        stored
            .blobs
            .insert(descriptor.digest.to_string(), bytes.to_vec());
        descriptor
    }

    /// An image of one layer.
    pub fn image(&self, layer: &[u8]) -> Descriptor {
        let config = self.blob("application/vnd.oci.empty.v1+json", b"{}");
        let layer = self.blob("application/octet-stream", layer);
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config,
            "layers": [layer]});
        self.put(Some("v1"), MANIFEST, &manifest)
    }

    /// Writes over a blob under its old name.
    pub fn swap_blob(&self, digest: &Digest, bytes: &[u8]) {
        let mut stored = self.stored.lock().unwrap();
        stored.blobs.insert(digest.to_string(), bytes.to_vec());
    }

    pub fn manifest_at(&self, name: &str) -> Option<Value> {
        let stored = self.stored.lock().unwrap();
        let (_, bytes) = stored.manifests.get(name)?;
        Some(serde_json::from_slice(bytes).unwrap())
    }
}

impl Stored {
    fn answer(&mut self, seen: &Seen, manners: &Manners) -> Answer {
        let Some(below) = seen.path().strip_prefix("/v2/org/model/") else {
            return match seen.path() {
                "/v2/" => Answer::new(200, "{}"),
                _ => Answer::error(404, "NAME_UNKNOWN"),
            };
        };
        let (kind, name) = below.split_once('/').unwrap();
        match (seen.method.as_str(), kind) {
            ("GET" | "HEAD", "manifests") => match self.manifests.get(name) {
                Some((kind, bytes)) => {
                    let digest = Algorithm::Sha256.digest(bytes).to_string();
                    Answer::new(200, bytes.clone())
                        .with("content-type", kind)
                        .with("docker-content-digest", &digest)
                        .with("etag", format!("\"{digest}\""))
                }
                None => Answer::error(404, "MANIFEST_UNKNOWN"),
            },
            ("GET" | "HEAD", "blobs") => match self.blobs.get(name) {
                Some(bytes) => Answer::new(200, bytes.clone()),
                None => Answer::error(404, "BLOB_UNKNOWN"),
            },
            ("GET", "referrers") if manners.api.is_some() => self.referrers(seen, name, manners),
            ("POST", "blobs") => {
                Answer::new(202, "").with("location", format!("{}x?state=1", seen.path()))
            }
            ("PUT", "blobs") => {
                let digest = seen.query("digest").unwrap();
                assert_eq!(Algorithm::Sha256.digest(&seen.body).to_string(), digest);
                assert_eq!(seen.query("state").as_deref(), Some("1"));
                self.blobs.insert(digest, seen.body.clone());
                Answer::new(201, "")
            }
            ("PUT", "manifests") => self.put(seen, name, manners),
            // As a registry that has never heard of it.
            _ => Answer::new(404, "404 page not found\n").with("content-type", "text/plain"),
        }
    }

    fn put(&mut self, seen: &Seen, name: &str, manners: &Manners) -> Answer {
        let document: Value = serde_json::from_slice(&seen.body).unwrap();
        let kind = seen.header("content-type").unwrap().to_owned();
        if let (true, Some(wanted)) = (manners.etags, seen.header("if-match")) {
            let now = self
                .manifests
                .get(name)
                .map(|(_, bytes)| format!("\"{}\"", Algorithm::Sha256.digest(bytes)));
            if now.as_deref() != Some(wanted) {
                return Answer::error(412, "PRECONDITION");
            }
        }
        let digest = Algorithm::Sha256.digest(&seen.body).to_string();
        let entry = (kind, seen.body.clone());
        self.manifests.insert(digest, entry.clone());
        self.manifests.insert(name.to_owned(), entry);
        if name.starts_with("sha256-") && self.races > 0 {
            self.races -= 1;
            let other = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [{
                "mediaType": MANIFEST, "size": 2,
                "digest": Algorithm::Sha256.digest(&[u8::try_from(self.races).unwrap()]),
            }]});
            let bytes = other.to_string().into_bytes();
            self.manifests
                .insert(name.to_owned(), (INDEX.to_owned(), bytes));
        }
        let answer = Answer::new(201, "");
        match document["subject"]["digest"].as_str() {
            Some(subject) if manners.api.is_some() => answer.with("oci-subject", subject),
            _ => answer,
        }
    }

    fn referrers(&self, seen: &Seen, subject: &str, manners: &Manners) -> Answer {
        let all: Vec<Value> = self
            .manifests
            .iter()
            .filter(|(name, _)| name.starts_with("sha256:"))
            .filter_map(|(name, (kind, bytes))| {
                let document: Value = serde_json::from_slice(bytes).ok()?;
                (document["subject"]["digest"] == subject).then(|| {
                    json!({"mediaType": kind, "digest": name, "size": bytes.len(),
                        "artifactType": document["artifactType"],
                        "annotations": document["annotations"]})
                })
            })
            .collect();
        let size = manners.api.unwrap();
        let at: usize = seen.query("at").map_or(0, |at| at.parse().unwrap());
        let page: Vec<&Value> = all.iter().skip(at).take(size).collect();
        let body = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": page});
        let answer = Answer::new(200, body.to_string()).with("content-type", INDEX);
        if at + size < all.len() {
            let link = format!("<{}?at={}>; rel=\"next\"", seen.path(), at + size);
            return answer.with("link", link);
        }
        answer
    }
}
