//! Entries in Rekor, and a whole log behind HTTP as a [`Recorder`].
//!
//! Spec: sigstore/rekor-tiles, `rekor_service.proto` and `CLIENTS.md` for version 2;
//! sigstore/rekor, `openapi.yaml` for version 1.

use std::collections::BTreeMap;
use std::thread;

use custos_core::bundle::{InclusionProof, KindVersion, TransparencyLogEntry};
use custos_core::crypto::Pem;
use custos_core::dsse::Base64;
use custos_core::entry::{HashedRekord, Verifier};
use custos_core::json;
use custos_core::limits::Limits;
use custos_core::merkle::MAX_PROOF_LEN;
use custos_log::note::VerifierKey;
use custos_log::proof::TlogProof;
use custos_log::recorder::{RecordError, Recorded, Recorder};
use custos_net::{Client, Request, Response, Secret, Url};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::services::{Failed, Fresh, KeylessError, Service, below};

const LIMITS: Limits = Limits::SMALL;
/// Requests at once.
const PARALLEL: usize = 8;

/// A log that a server holds, such as `custos serve`.
#[derive(Debug, Clone)]
pub struct LogServer {
    client: Client,
    url: Url,
    token: Option<Secret>,
    key: VerifierKey,
}

impl LogServer {
    /// Returns where the log is served.
    pub const fn url(&self) -> &Url {
        &self.url
    }

    /// Returns the log with this key behind `url`; `token` opens it, if it needs one.
    pub const fn new(client: Client, url: Url, token: Option<Secret>, key: VerifierKey) -> Self {
        Self {
            client,
            url,
            token,
            key,
        }
    }

    fn one(&self, leaf: &[u8]) -> Result<Recorded, RecordError> {
        let entry =
            create(&self.client, &self.url, self.token.as_ref(), leaf).map_err(|error| {
                let server = self.url.origin().to_string();
                let message = error.to_string();
                match error {
                    KeylessError::Unreachable { .. } => RecordError::Away { server, message },
                    _ => RecordError::Remote { server, message },
                }
            })?;
        let proof = proof(&entry).ok_or_else(|| RecordError::Remote {
            server: self.url.origin().to_string(),
            message: "the answer is an entry without a proof".to_owned(),
        })?;
        Recorded::verify(leaf, &proof, &self.key)
    }
}

impl Recorder for LogServer {
    fn record(&self, leaves: &[Vec<u8>]) -> Result<Vec<Recorded>, RecordError> {
        let mut recorded = Vec::with_capacity(leaves.len());
        for some in leaves.chunks(PARALLEL) {
            if let [one] = some {
                recorded.push(self.one(one)?);
                continue;
            }
            let answers: Vec<_> = thread::scope(|scope| {
                let calls: Vec<_> = some
                    .iter()
                    .map(|leaf| scope.spawn(|| self.one(leaf)))
                    .collect();
                calls
                    .into_iter()
                    .map(thread::ScopedJoinHandle::join)
                    .collect()
            });
            for answer in answers {
                let died = |_| RecordError::Remote {
                    server: self.url.origin().to_string(),
                    message: "a call ended in the middle".to_owned(),
                };
                recorded.push(answer.map_err(died)??);
            }
        }
        Ok(recorded)
    }

    fn log_key(&self) -> &VerifierKey {
        &self.key
    }
}

/// Creates an entry (version 2) and returns it: it is about this leaf, and its proof is not believed
/// yet.
pub(super) fn create(
    client: &Client,
    base: &Url,
    token: Option<&Secret>,
    leaf: &[u8],
) -> Result<TransparencyLogEntry, KeylessError> {
    let service = Service::Log;
    let entry = HashedRekord::parse(leaf).map_err(|_| KeylessError::Malformed {
        service,
        what: "a leaf that is no hashedrekord",
    })?;
    let (certificate, key) = match entry.verifier {
        Verifier::Certificate(der) => (Some(raw(der)), None),
        Verifier::PublicKey(der) => (None, Some(raw(der))),
    };
    let request = CreateEntry {
        entry: Entry {
            digest: Base64(entry.digest.as_bytes().to_vec()),
            signature: EntrySignature {
                content: Base64(entry.signature),
                verifier: EntryVerifier {
                    certificate,
                    key,
                    key_details: entry.key_details,
                },
            },
        },
    };
    let broken = |what| KeylessError::Malformed { service, what };
    let body = json::to_vec(&request).map_err(|_| broken("a request that cannot be written"))?;
    let url = below(base, "/api/v2/log/entries")?;
    let mut request = Request::post(url, "application/json", body);
    if let Some(token) = token {
        request = request.with_bearer(token);
    }
    let answer = client
        .send(&request)
        .and_then(Response::success)
        .map_err(|error| KeylessError::from(Failed { service, error }))?;
    let entry: TransparencyLogEntry = json::from_slice(answer.body(), &LIMITS)
        .map_err(|_| broken("an answer that is no log entry"))?;
    if entry.canonicalized_body.as_slice() != leaf {
        return Err(KeylessError::Untrusted {
            service,
            why: super::trusted::Distrust::OtherLeaf,
        });
    }
    Ok(entry)
}

fn proof(entry: &TransparencyLogEntry) -> Option<TlogProof> {
    let proof = entry.inclusion_proof.as_ref()?;
    if proof.hashes.len() > MAX_PROOF_LEN {
        return None;
    }
    let hashes: Option<Vec<[u8; 32]>> = proof
        .hashes
        .iter()
        .map(|hash| hash.as_slice().try_into().ok())
        .collect();
    let checkpoint = proof.checkpoint.as_ref()?.envelope.as_str();
    Some(TlogProof::new(
        entry.log_index.to_u64()?,
        hashes?,
        checkpoint,
    ))
}

fn raw(der: Vec<u8>) -> RawBytes {
    RawBytes {
        raw_bytes: Base64(der),
    }
}

#[derive(Serialize)]
struct CreateEntry {
    #[serde(rename = "hashedRekordRequestV002")]
    entry: Entry,
}

#[derive(Serialize)]
struct Entry {
    digest: Base64,
    signature: EntrySignature,
}

#[derive(Serialize)]
struct EntrySignature {
    content: Base64,
    verifier: EntryVerifier,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EntryVerifier {
    #[serde(rename = "x509Certificate", skip_serializing_if = "Option::is_none")]
    certificate: Option<RawBytes>,
    #[serde(rename = "publicKey", skip_serializing_if = "Option::is_none")]
    key: Option<RawBytes>,
    key_details: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RawBytes {
    raw_bytes: Base64,
}

/// Creates an entry (version 1): `dsse` for an envelope, else `hashedrekord`; neither its promise nor
/// its proof is believed yet.
///
/// Version 1 does not take an entry twice: it names the one that it has, which is got then.
pub(super) fn create_v1(
    client: &Client,
    base: &Url,
    fresh: &Fresh<'_>,
) -> Result<TransparencyLogEntry, KeylessError> {
    let service = Service::Log;
    let broken = |what| KeylessError::Malformed { service, what };
    let failed = |error| KeylessError::from(Failed { service, error });
    let proposed = proposed_v1(fresh).ok_or_else(|| broken("a request that cannot be written"))?;
    let url = below(base, ENTRIES_V1)?;
    let request = Request::post(url, "application/json", proposed.to_string())
        .with_header("accept", "application/json");
    let mut answer = client.send(&request).map_err(failed)?;
    if answer.status() == CONFLICT
        && let Some(name) = answer.header("location").and_then(entry_name)
    {
        let url = below(base, &format!("{ENTRIES_V1}/{name}"))?;
        let request = Request::get(url).with_header("accept", "application/json");
        answer = client.send(&request).map_err(failed)?;
    }
    let answer = answer.success().map_err(failed)?;
    entry_v1(answer.body()).ok_or_else(|| broken("an answer that is no log entry"))
}

const ENTRIES_V1: &str = "/api/v1/log/entries";
const CONFLICT: u16 = 409;

// Only the name counts: the entry is got from the log that was asked.
fn entry_name(location: &str) -> Option<&str> {
    let name = location.rsplit('/').next()?;
    let is_hex = name.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_hex && (1..=80).contains(&name.len())).then_some(name)
}

fn proposed_v1(fresh: &Fresh<'_>) -> Option<Value> {
    let entry = HashedRekord::parse(fresh.leaf).ok()?;
    let pem = match entry.verifier {
        Verifier::Certificate(der) => Pem::new("CERTIFICATE", der).to_text(),
        Verifier::PublicKey(der) => Pem::new("PUBLIC KEY", der).to_text(),
    };
    let pem = serde_json::to_value(Base64(pem.into_bytes())).ok()?;
    let Some(envelope) = fresh.envelope else {
        return Some(json!({
            "apiVersion": "0.0.1",
            "kind": "hashedrekord",
            "spec": {
                "data": { "hash": {
                    "algorithm": entry.digest.algorithm().to_string(),
                    "value": hex::encode(entry.digest.as_bytes()),
                } },
                "signature": {
                    "content": Base64(entry.signature),
                    "publicKey": { "content": pem },
                },
            },
        }));
    };
    let envelope = String::from_utf8(json::to_vec(envelope).ok()?).ok()?;
    Some(json!({
        "apiVersion": "0.0.1",
        "kind": "dsse",
        "spec": { "proposedContent": { "envelope": envelope, "verifiers": [pem] } },
    }))
}

fn entry_v1(body: &[u8]) -> Option<TransparencyLogEntry> {
    let answer: BTreeMap<String, EntryV1> = json::from_slice(body, &LIMITS).ok()?;
    let mut entries = answer.into_values();
    let (Some(entry), None) = (entries.next(), entries.next()) else {
        return None;
    };
    let kind: KindOfV1 = json::from_slice(entry.body.as_slice(), &LIMITS).ok()?;
    let verification = entry.verification;
    let proof = verification.proof;
    if proof.hashes.len() > MAX_PROOF_LEN {
        return None;
    }
    let hash = |text: &String| -> Option<[u8; 32]> { hex::decode(text).ok()?.try_into().ok() };
    let hashes: Option<Vec<[u8; 32]>> = proof.hashes.iter().map(hash).collect();
    let root = hash(&proof.root_hash)?;
    let inclusion = InclusionProof::new(proof.log_index, proof.tree_size, root, &hashes?)
        .with_checkpoint(proof.checkpoint);
    let key_id = hex::decode(entry.log_id).ok()?;
    let kind = KindVersion::new(kind.kind, kind.api_version);
    let made = TransparencyLogEntry::new(key_id, kind, entry.body.0, inclusion);
    Some(made.promised(
        entry.log_index,
        entry.integrated_time,
        verification.signed_entry_timestamp.0,
    ))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EntryV1 {
    body: Base64,
    integrated_time: u64,
    #[serde(rename = "logID")]
    log_id: String,
    log_index: u64,
    verification: VerificationV1,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct VerificationV1 {
    signed_entry_timestamp: Base64,
    #[serde(rename = "inclusionProof")]
    proof: ProofV1,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProofV1 {
    checkpoint: String,
    hashes: Vec<String>,
    log_index: u64,
    root_hash: String,
    tree_size: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KindOfV1 {
    kind: String,
    api_version: String,
}
