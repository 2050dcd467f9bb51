//! Targets of `custos-core`: whatever is read must be written and read again as the same value.

use custos_core::amount::{Amount, Currency};
use custos_core::artifact::ArtifactRef;
use custos_core::bundle::Bundle;
use custos_core::crypto::{KeyId, Pem, PublicKey};
use custos_core::digest::Digest;
use custos_core::dsse::Envelope;
use custos_core::entry::HashedRekord;
use custos_core::facts::Facts;
use custos_core::limits::Limits;
use custos_core::predicate::{self, Predicate, known, provenance, resolve};
use custos_core::statement::Statement;

/// Any JSON that passes has one canonical form, and that form passes.
pub fn json(data: &[u8]) {
    let limits = Limits::SMALL.with_max_bytes(1 << 16);
    if let Ok(value) = custos_core::json::from_slice::<serde_json::Value>(data, &limits) {
        // Numbers that JSON can write and a double cannot hold have no canonical form.
        let Ok(canonical) = custos_core::json::to_canonical(&value) else {
            return;
        };
        let limits = Limits::SMALL;
        let again = custos_core::json::from_slice::<serde_json::Value>(&canonical, &limits);
        assert!(again.is_ok(), "the canonical form does not pass: {again:?}");
        let twice = again.and_then(|value| custos_core::json::to_canonical(&value));
        assert_eq!(
            twice.ok(),
            Some(canonical),
            "the canonical form is not stable"
        );
    }
}

/// A statement.
pub fn statement(data: &[u8]) {
    let Ok(statement) = Statement::parse(data) else {
        return;
    };
    let written = statement.to_bytes();
    let again = written.ok().and_then(|bytes| Statement::parse(&bytes).ok());
    assert!(again.as_ref().is_some_and(|again| {
        again.subject() == statement.subject()
            && again.predicate_type() == statement.predicate_type()
            && again.predicate_json() == statement.predicate_json()
    }));
}

/// The predicate of a statement, under every type that Custos knows.
pub fn predicate(data: &[u8]) {
    let Ok(statement) = Statement::parse(data) else {
        return;
    };
    let _ = predicate::digest_of_statement(&statement);
    for kind in known() {
        assert_eq!(resolve(kind.uri), Some(kind.uri));
    }
    let json = statement.predicate_json().as_bytes();
    predicate::fuzz_predicates(json);
    // The type is checked before the shape.
    let read = predicate::read::<provenance::Provenance>(&statement);
    assert!(read.is_err() || statement.predicate_type() == provenance::Provenance::TYPE);
}

/// A bare envelope.
pub fn envelope(data: &[u8]) {
    let Ok(envelope) = Envelope::parse(data) else {
        return;
    };
    assert!(envelope.pae().starts_with(b"DSSEv1 "));
    let again = custos_core::json::to_vec(&envelope).ok();
    let again = again.and_then(|bytes| Envelope::parse(&bytes).ok());
    assert_eq!(again, Some(envelope));
}

/// A bundle.
pub fn bundle(data: &[u8]) {
    let Ok(bundle) = Bundle::parse(data) else {
        return;
    };
    let again = bundle
        .to_bytes()
        .ok()
        .and_then(|bytes| Bundle::parse(&bytes).ok());
    assert_eq!(again, Some(bundle));
}

/// A log leaf, which has one form only.
pub fn entry(data: &[u8]) {
    if let Ok(entry) = HashedRekord::parse(data) {
        assert_eq!(entry.to_leaf().as_deref(), Ok(data));
    }
}

/// Facts.
pub fn facts(data: &[u8]) {
    let Ok(facts) = Facts::parse(data) else {
        return;
    };
    let Ok(written) = facts.to_canonical() else {
        return;
    };
    let again = Facts::parse(&written).and_then(|again| again.to_canonical());
    assert_eq!(again.ok(), Some(written));
}

/// Short texts: digests, key ids, amounts, references.
pub fn text(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(digest) = text.parse::<Digest>() {
        assert_eq!(digest.to_string(), text);
    }
    if let Ok(key) = text.parse::<KeyId>() {
        assert_eq!(key.to_string(), text);
    }
    if let Ok(amount) = text.parse::<Amount>() {
        assert_eq!(amount.to_string().parse(), Ok(amount));
    }
    if let Ok(currency) = text.parse::<Currency>() {
        assert_eq!(currency.code(), text);
    }
    if let Ok(reference) = text.parse::<ArtifactRef>() {
        assert_eq!(reference.to_string().parse(), Ok(reference));
    }
}

/// PEM, and a public key in it.
pub fn pem(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let _ = Pem::parse_many(text);
    if let Ok(pem) = Pem::parse(text) {
        let again = Pem::parse(&pem.to_text());
        assert!(
            again.is_ok_and(|again| {
                again.label() == pem.label() && again.bytes() == pem.bytes()
            })
        );
    }
    if let Ok(key) = PublicKey::from_pem(text) {
        let again = PublicKey::from_pem(&key.to_pem());
        assert!(again.is_ok_and(|again| again.id() == key.id()));
    }
}
