//! The predicate types that Custos knows by name, for `--type NAME` and for the documentation.

use super::Predicate;
use super::approval::Approval;
use super::batch::Batch;
use super::cyclonedx::CycloneDx;
use super::dataset::Dataset;
use super::decision::Decision;
use super::deployment::Deployment;
use super::evaluation::Evaluation;
use super::evaluation_plan::EvaluationPlan;
use super::link::Link;
use super::provenance::Provenance;
use super::resource_usage::ResourceUsage;
use super::scai::AttributeReport;
use super::scan::Scan;
use super::test_result::TestResult;
use super::vsa::VerificationSummary;
use super::vulns::Vulnerabilities;

/// A predicate type with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownType {
    /// Name.
    pub name: &'static str,
    /// Other names, such as those of `cosign --type`.
    pub aliases: &'static [&'static str],
    /// The type URI.
    pub uri: &'static str,
    /// Who defined it.
    pub origin: Origin,
    /// Page in `docs/predicates/` that gives its fields; none where Custos only passes it on.
    pub page: Option<&'static str>,
}

/// Who defined a predicate type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// cosign, outside of the in-toto register.
    Cosign,
    /// Custos.
    Custos,
    /// in-toto, SLSA, OpenSSF, SPDX, `CycloneDX`, `OpenVEX`.
    Vetted,
}

/// Returns all types known by name.
pub const fn known() -> &'static [KnownType] {
    KNOWN
}

/// Returns the type URI for a name, an alias, or a URI, which is used as it is given.
///
/// ```
/// use custos_core::predicate::resolve;
/// assert_eq!(resolve("dataset"), Some("urn:custos:attestation:dataset:v1"));
/// // cosign's trap: without a number it is the old format.
/// assert_eq!(resolve("slsaprovenance"), Some("https://slsa.dev/provenance/v0.2"));
/// assert_eq!(resolve("https://example.com/p"), Some("https://example.com/p"));
/// assert_eq!(resolve("datset"), None);
/// ```
pub fn resolve(text: &str) -> Option<&str> {
    let named = KNOWN
        .iter()
        .find(|kind| kind.name == text || kind.aliases.contains(&text));
    match named {
        Some(kind) => Some(kind.uri),
        None => is_uri(text).then_some(text),
    }
}

// RFC 3986 section 3.1: a scheme, a colon, and something behind it without white space.
fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else {
        return false;
    };
    let mut letters = scheme.bytes();
    letters
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic())
        && letters.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
        && !rest.is_empty()
        && !rest.contains(|c: char| c.is_whitespace() || c.is_control())
}

const fn own(name: &'static str, uri: &'static str, page: &'static str) -> KnownType {
    KnownType {
        name,
        aliases: &[],
        uri,
        origin: Origin::Custos,
        page: Some(page),
    }
}

const fn vetted(name: &'static str, uri: &'static str, page: &'static str) -> KnownType {
    KnownType {
        name,
        aliases: &[],
        uri,
        origin: Origin::Vetted,
        page: Some(page),
    }
}

const fn passed_on(name: &'static str, uri: &'static str, origin: Origin) -> KnownType {
    KnownType {
        name,
        aliases: &[],
        uri,
        origin,
        page: None,
    }
}

const KNOWN: &[KnownType] = &[
    own("approval", Approval::TYPE, "approval.md"),
    own("batch", Batch::TYPE, "batch.md"),
    own("dataset", Dataset::TYPE, "dataset.md"),
    own("decision", Decision::TYPE, "decision.md"),
    own("deployment", Deployment::TYPE, "deployment.md"),
    own("evaluation", Evaluation::TYPE, "evaluation.md"),
    own(
        "evaluation-plan",
        EvaluationPlan::TYPE,
        "evaluation-plan.md",
    ),
    own("resource-usage", ResourceUsage::TYPE, "resource-usage.md"),
    own("scan", Scan::TYPE, "scan.md"),
    vetted("cyclonedx", CycloneDx::TYPE, "cyclonedx.md"),
    vetted("link-v0.3", Link::TYPE, "link.md"),
    vetted(
        "model-signature",
        "https://model_signing/signature/v1.0",
        "model-signature.md",
    ),
    vetted("scai", AttributeReport::TYPE, "scai.md"),
    KnownType {
        aliases: &["provenance"],
        ..vetted("slsaprovenance1", Provenance::TYPE, "slsa-provenance.md")
    },
    vetted("test-result", TestResult::TYPE, "test-result.md"),
    KnownType {
        aliases: &["verification-summary"],
        ..vetted("vsa", VerificationSummary::TYPE, "verification-summary.md")
    },
    vetted("vulns", Vulnerabilities::TYPE, "vulns.md"),
    // The rest of cosign's names, so that its command lines keep their meaning.
    passed_on(
        "custom",
        "https://cosign.sigstore.dev/attestation/v1",
        Origin::Cosign,
    ),
    passed_on("link", "https://in-toto.io/Link/v1", Origin::Vetted),
    passed_on("openvex", "https://openvex.dev/ns", Origin::Vetted),
    KnownType {
        aliases: &["slsaprovenance02"],
        ..passed_on(
            "slsaprovenance",
            "https://slsa.dev/provenance/v0.2",
            Origin::Vetted,
        )
    },
    KnownType {
        aliases: &["spdxjson"],
        ..passed_on("spdx", "https://spdx.dev/Document", Origin::Vetted)
    },
    passed_on(
        "vuln",
        "https://cosign.sigstore.dev/attestation/vuln/v1",
        Origin::Cosign,
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_and_uris_are_unambiguous() {
        let names: Vec<&str> = KNOWN
            .iter()
            .flat_map(|kind| kind.aliases.iter().copied().chain([kind.name]))
            .collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
        let uris: BTreeSet<&str> = KNOWN.iter().map(|kind| kind.uri).collect();
        assert_eq!(uris.len(), KNOWN.len());
    }

    #[test]
    fn names_of_cosign_keep_their_meaning() {
        for (name, uri) in [
            ("slsaprovenance", "https://slsa.dev/provenance/v0.2"),
            ("slsaprovenance02", "https://slsa.dev/provenance/v0.2"),
            ("slsaprovenance1", "https://slsa.dev/provenance/v1"),
            ("link", "https://in-toto.io/Link/v1"),
            ("spdx", "https://spdx.dev/Document"),
            ("spdxjson", "https://spdx.dev/Document"),
            ("cyclonedx", "https://cyclonedx.org/bom"),
            ("vuln", "https://cosign.sigstore.dev/attestation/vuln/v1"),
            ("openvex", "https://openvex.dev/ns"),
            ("custom", "https://cosign.sigstore.dev/attestation/v1"),
        ] {
            assert_eq!(resolve(name), Some(uri), "{name}");
        }
    }

    #[test]
    fn what_is_neither_name_nor_uri_is_nothing() {
        for bad in [
            "",
            "unknown",
            ":",
            "a:",
            "1a:b",
            "a b:c",
            "https://x y",
            "a:b\n",
        ] {
            assert_eq!(resolve(bad), None, "{bad:?}");
        }
    }
}
