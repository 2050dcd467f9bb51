//! Trees, classic models and packages of models, each with its harmless twin.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "samples are small"
)]

mod caffe;
mod matlab;
mod models;
mod old_trees;
pub mod packages;
pub mod r;
mod trees;

use custos_core::finding::Severity;
use custos_scan::State;

use crate::pickle::look;
use crate::tensors::quiet;

/// Valid and harmless files of each format.
pub fn samples() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("R", r::data_frame(r::Coding::Xdr)),
        ("R", r::data_frame(r::Coding::Native)),
        ("R", r::data_frame(r::Coding::Ascii)),
        (
            "skops schema",
            packages::schema("sklearn.linear_model._logistic", "LogisticRegression"),
        ),
        ("XGBoost JSON", trees::xgboost_json(3)),
        ("XGBoost UBJSON", trees::xgboost_ubjson(3)),
        ("XGBoost binary", old_trees::sample()),
        ("LightGBM", trees::lightgbm("0.1 0.2 0.3")),
        ("CatBoost", trees::catboost()),
        ("MAR", packages::mar("handler.py:handle", "handler.py")),
        ("NeMo", packages::nemo(&[])),
        ("CRFsuite", models::crfsuite()),
        ("dlib shape predictor", models::dlib()),
        ("fastText", models::fasttext(false, false)),
        ("fastText", models::fasttext(true, true)),
        ("word2vec", models::word2vec()),
        (
            "Fortran records",
            models::fortran(&[&[7; 40], &[9; 80]], false),
        ),
        ("MATLAB", matlab::sample(false)),
        ("MATLAB", matlab::sample(true)),
        ("MATLAB variable", matlab::variable()),
        ("MATLAB 4", matlab::old()),
        ("Caffe", caffe::weights()),
        ("Caffe net", caffe::net("")),
    ]
}

#[test]
fn samples_are_clean_and_recognised() {
    for (format, bytes) in samples() {
        let report = quiet(&bytes);
        assert!(
            report.formats.iter().any(|one| one.format == format),
            "{format}: {report:#?}"
        );
    }
}

#[test]
fn what_is_cut_is_never_clean() {
    for (format, bytes) in samples() {
        // A text has no end of its own.
        if format == "LightGBM" {
            continue;
        }
        let rest = bytes
            .iter()
            .rposition(|byte| *byte != 0 && *byte != b'\n')
            .unwrap();
        for end in (1..rest).step_by(5) {
            let report = look(&bytes[..end]);
            // A beginning may be something else.
            let other = !report.formats.iter().any(|one| one.format == format);
            // What follows the end of a tar archive may lack.
            let tar = report.formats.iter().any(|one| one.format == "tar");
            assert!(
                other || tar || report.state(Severity::Medium) != State::Clean,
                "{format} at {end}: {report:#?}"
            );
        }
    }
}
