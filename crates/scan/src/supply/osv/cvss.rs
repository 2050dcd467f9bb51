//! How bad a vulnerability is, by its vector of metrics.
//!
//! [CVSS 3.1, 7.1](https://www.first.org/cvss/v3-1/specification-document): the base score. Vectors of
//! version 4, whose scores come from a table of expert judgements, are read as the nearest ones of
//! version 3, which is good enough for four levels.

use custos_core::finding::Severity;

/// Returns the level of a vector of version 3 or 4.
pub(super) fn severity(vector: &str) -> Option<Severity> {
    let metrics = Metrics::read(vector)?;
    let score = metrics.score()?;
    Some(match score {
        score if score >= 9.0 => Severity::Critical,
        score if score >= 7.0 => Severity::High,
        score if score >= 4.0 => Severity::Medium,
        score if score > 0.0 => Severity::Low,
        _ => Severity::Info,
    })
}

struct Metrics<'a> {
    parts: Vec<(&'a str, &'a str)>,
    fourth: bool,
}

impl<'a> Metrics<'a> {
    fn read(vector: &'a str) -> Option<Self> {
        let (version, rest) = vector.split_once('/')?;
        let fourth = version == "CVSS:4.0";
        if !fourth && !version.starts_with("CVSS:3.") {
            return None;
        }
        Some(Self {
            parts: rest
                .split('/')
                .filter_map(|part| part.split_once(':'))
                .collect(),
            fourth,
        })
    }

    fn of(&self, name: &str) -> Option<&'a str> {
        let found = self.parts.iter().find(|(key, _)| *key == name)?;
        Some(found.1)
    }

    // What leaves the component: a changed scope, or metrics of other systems.
    fn changes_scope(&self) -> bool {
        if self.fourth {
            return ["SC", "SI", "SA"]
                .iter()
                .any(|name| matches!(self.of(name), Some("H" | "L")));
        }
        self.of("S") == Some("C")
    }

    fn impact(&self) -> Option<f64> {
        let names = if self.fourth {
            ["VC", "VI", "VA"]
        } else {
            ["C", "I", "A"]
        };
        let mut left = 1.0;
        for name in names {
            left *= match self.of(name)? {
                "H" => 1.0 - 0.56,
                "L" => 1.0 - 0.22,
                "N" => 1.0,
                _ => return None,
            };
        }
        Some(1.0 - left)
    }

    fn score(&self) -> Option<f64> {
        let changed = self.changes_scope();
        let base = self.impact()?;
        let impact = if changed {
            7.52 * (base - 0.029) - 3.25 * (base - 0.02).powi(15)
        } else {
            6.42 * base
        };
        if impact <= 0.0 {
            return Some(0.0);
        }
        let sum = impact + self.exploitability(changed)?;
        let score = if changed { 1.08 * sum } else { sum };
        Some((score.min(10.0) * 10.0).ceil() / 10.0)
    }

    fn exploitability(&self, changed: bool) -> Option<f64> {
        let vector = match self.of("AV")? {
            "N" => 0.85,
            "A" => 0.62,
            "L" => 0.55,
            "P" => 0.2,
            _ => return None,
        };
        let hard = self.of("AC")? == "H" || self.of("AT") == Some("P");
        let complexity = if hard { 0.44 } else { 0.77 };
        let privileges = match (self.of("PR")?, changed) {
            ("N", _) => 0.85,
            ("L", true) => 0.68,
            ("L", false) => 0.62,
            ("H", true) => 0.5,
            ("H", false) => 0.27,
            _ => return None,
        };
        let interaction = if self.of("UI")? == "N" { 0.85 } else { 0.62 };
        Some(8.22 * vector * complexity * privileges * interaction)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(vector: &str) -> f64 {
        Metrics::read(vector).unwrap().score().unwrap()
    }

    #[test]
    fn scores_are_those_of_the_calculator() {
        let cases = [
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 9.8),
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H", 10.0),
            ("CVSS:3.0/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N", 6.1),
            ("CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 7.8),
            ("CVSS:3.1/AV:N/AC:H/PR:N/UI:N/S:U/C:L/I:N/A:N", 3.7),
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N", 0.0),
        ];
        for (vector, expected) in cases {
            assert!((score(vector) - expected).abs() < 0.05, "{vector}");
        }
        let fourth = "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N";
        assert_eq!(severity(fourth), Some(Severity::Critical));
        for none in ["", "AV:N/AC:L", "CVSS:2.0/AV:N", "CVSS:3.1/AV:N"] {
            assert_eq!(severity(none), None);
        }
    }
}
