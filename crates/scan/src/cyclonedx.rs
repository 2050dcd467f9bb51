//! A report as a bill of materials in `CycloneDX` 1.6, with what was found and what people found
//! out about it (VEX) (<https://cyclonedx.org/docs/1.6/json/>).
//!
//! Models are components of type `machine-learning-model`, anything else is a file. A finding is a
//! vulnerability of the file: under its CVE if it has one, else under its rule.

use custos_core::clock::Timestamp;
use custos_core::digest::Algorithm;
use serde_json::{Value, json};

use crate::document::{FileResult, Listed, Report};
use crate::rules;
use crate::standing::Standing;
use crate::{classic, graphs, pickle, tensors};

/// Returns the report as a bill of materials.
pub fn write(report: &Report, now: Timestamp) -> Value {
    let components: Vec<Value> = report.files.iter().enumerate().map(component).collect();
    let vulnerabilities: Vec<Value> = report
        .files
        .iter()
        .enumerate()
        .flat_map(|(at, file)| file.findings.iter().map(move |one| (at, one)))
        .flat_map(|(at, one)| ids(one).into_iter().map(move |id| (at, one, id)))
        .enumerate()
        .map(|(number, (at, one, id))| vulnerability(number, at, (one, &id)))
        .collect();
    json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": serial_number(report),
        "version": 1,
        "metadata": {
            "timestamp": now.to_string(),
            "lifecycles": [{ "phase": "post-build" }],
            "tools": { "components": [{
                "type": "application",
                "name": report.engine.name,
                "version": report.engine.version,
                "properties": [property("custos:ruleSet", &report.engine.rules.to_string())],
            }]},
            "properties": [property("custos:answer", &name(&report.summary.answer))],
        },
        "components": components,
        "vulnerabilities": vulnerabilities,
    })
}

fn property(name: &str, value: &str) -> Value {
    json!({ "name": name, "value": value })
}

fn name(value: &impl serde::Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

fn component((at, file): (usize, &FileResult)) -> Value {
    let own = file.formats.iter().filter(|one| one.path == file.path);
    let formats: Vec<&str> = own.map(|one| one.format.as_str()).collect();
    let mut properties = vec![
        property("custos:state", &name(&file.state)),
        property("custos:size", &file.size.to_string()),
        property("custos:bytesParsed", &file.coverage.parsed.to_string()),
        property("custos:bytesOpaque", &file.coverage.opaque.to_string()),
        property("custos:bytesUnknown", &file.coverage.unknown.to_string()),
    ];
    properties.extend(
        formats
            .iter()
            .map(|format| property("custos:format", format)),
    );
    let hashes: Vec<Value> = file
        .digest
        .iter()
        .map(|digest| json!({ "alg": "SHA-256", "content": digest.to_hex() }))
        .collect();
    let kind = if formats.iter().any(|format| is_model(format)) {
        "machine-learning-model"
    } else {
        "file"
    };
    json!({
        "type": kind,
        "bom-ref": reference(at),
        "name": file.path,
        "hashes": hashes,
        "properties": properties,
    })
}

fn is_model(format: &str) -> bool {
    let groups = [
        pickle::FORMATS,
        tensors::FORMATS,
        graphs::FORMATS,
        classic::FORMATS,
    ];
    groups.into_iter().flatten().any(|one| one.name == format)
}

fn reference(at: usize) -> String {
    format!("file-{at}")
}

fn ids(one: &Listed) -> Vec<String> {
    if one.finding.cves.is_empty() {
        vec![one.finding.rule.clone()]
    } else {
        one.finding.cves.clone()
    }
}

fn vulnerability(number: usize, at: usize, (one, id): (&Listed, &str)) -> Value {
    let finding = &one.finding;
    let rule = rules::find(&finding.rule);
    let mut properties = vec![
        property("custos:rule", &finding.rule),
        property("custos:confidence", &name(&finding.confidence)),
        property("custos:fingerprint", &one.fingerprint),
        property("custos:place", &finding.location.path),
    ];
    if let Some(offset) = finding.location.offset {
        properties.push(property("custos:offset", &offset.to_string()));
    }
    if let Some(evidence) = &finding.evidence {
        properties.push(property("custos:evidence", evidence));
    }
    json!({
        "bom-ref": format!("finding-{number}"),
        "id": id,
        "source": { "name": if id == finding.rule { "Custos" } else { "CVE" } },
        "ratings": [{
            "source": { "name": "Custos" },
            "severity": finding.severity,
            "method": "other",
        }],
        "cwes": rule.map(|rule| rule.cwe).unwrap_or_default(),
        "description": rule.map_or(finding.rule.as_str(), |rule| rule.title),
        "detail": finding.message,
        "recommendation": rule.map_or("", |rule| rule.advice),
        "analysis": analysis(one),
        "affects": [{ "ref": reference(at) }],
        "properties": properties,
    })
}

fn analysis(one: &Listed) -> Value {
    match (&one.suppressed_by, one.standing) {
        (Some(used), _) => json!({
            "state": used.analysis,
            "detail": format!("{} ({}, until {})", used.reason, used.owner, used.expires),
        }),
        (None, Standing::Known) => json!({
            "state": "in_triage",
            "detail": "it stands in the report that was given as baseline",
        }),
        (None, _) => json!({ "state": "in_triage" }),
    }
}

// The same content gives the same number: a UUID of version 8 (RFC 9562).
fn serial_number(report: &Report) -> String {
    let mut hasher = Algorithm::Sha256.hasher();
    hasher.update(report.engine.rules.as_bytes());
    for file in &report.files {
        hasher.update(file.path.as_bytes());
        hasher.update(&[0]);
        if let Some(digest) = file.digest {
            hasher.update(digest.as_bytes());
        }
    }
    let hex = hasher.finish().to_hex();
    let part = |range: std::ops::Range<usize>| hex.get(range).unwrap_or_default();
    format!(
        "urn:uuid:{}-{}-8{}-a{}-{}",
        part(0..8),
        part(8..12),
        part(13..16),
        part(17..20),
        part(20..32)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Settings;
    use crate::{Options, scan};
    use custos_core::finding::Severity;

    #[test]
    fn models_are_components_and_findings_their_vulnerabilities() {
        let bad = b"cos\nsystem\n(S'id'\ntR.".to_vec();
        let file = FileResult::from(scan("m.pkl", &bad, &Options::default()));
        let settings = Settings {
            fail_on: Severity::High,
            strict: false,
            osv: None,
            internal_names: None,
            baseline: None,
        };
        let report = Report::new(settings, vec![file], Vec::new());
        let bom = write(&report, Timestamp::from_seconds(5));
        assert_eq!(bom["specVersion"], "1.6");
        assert_eq!(bom["components"][0]["type"], "machine-learning-model");
        let found = &bom["vulnerabilities"][0];
        assert_eq!(found["id"], "pickle/dangerous-call");
        assert_eq!(found["analysis"]["state"], "in_triage");
        assert_eq!(found["affects"][0]["ref"], bom["components"][0]["bom-ref"]);
        let serial = bom["serialNumber"].as_str().unwrap();
        assert_eq!(serial.len(), "urn:uuid:".len() + 36);
        assert_eq!(
            serial,
            write(&report, Timestamp::from_seconds(9))["serialNumber"]
        );
    }
}
