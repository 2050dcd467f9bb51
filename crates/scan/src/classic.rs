//! Trees, classic models, and packages of models.

mod caffe;
mod catboost;
mod crfsuite;
mod dlib;
mod fasttext;
mod fortran;
mod joblib;
mod lightgbm;
mod mar;
mod matlab;
mod nemo;
mod r;
mod skops;
mod word2vec;
mod words;
mod xgboost;

use crate::route::Format;

/// The lists that a verdict depends on.
pub(crate) static DATA: &[&str] = &[r::LIST, skops::LIST, caffe::SCHEMA];

pub(crate) static FORMATS: &[Format] = &[
    Format {
        name: "R",
        extensions: &["rds", "rda", "rdata"],
        recognises: r::recognises,
        examine: r::examine,
    },
    Format {
        name: "joblib ZF",
        extensions: &["joblib"],
        recognises: joblib::recognises,
        examine: joblib::examine,
    },
    Format {
        name: "skops schema",
        extensions: &[],
        recognises: skops::recognises,
        examine: skops::examine,
    },
    Format {
        name: "skops fallback",
        extensions: &[],
        recognises: skops::is_fallback,
        examine: skops::fallback,
    },
    Format {
        name: "XGBoost JSON",
        extensions: &[],
        recognises: xgboost::is_json,
        examine: xgboost::examine_json,
    },
    Format {
        name: "XGBoost UBJSON",
        extensions: &["ubj"],
        recognises: xgboost::is_ubjson,
        examine: xgboost::examine_ubjson,
    },
    Format {
        name: "XGBoost binary",
        extensions: &["bst"],
        recognises: xgboost::is_old,
        examine: xgboost::examine_old,
    },
    Format {
        name: "LightGBM",
        extensions: &["lgb", "txt"],
        recognises: lightgbm::recognises,
        examine: lightgbm::examine,
    },
    Format {
        name: "CatBoost",
        extensions: &["cbm"],
        recognises: catboost::recognises,
        examine: catboost::examine,
    },
    Format {
        name: "MAR",
        extensions: &["war"],
        recognises: mar::recognises,
        examine: mar::examine,
    },
    Format {
        name: "NeMo",
        extensions: &[],
        recognises: nemo::recognises,
        examine: nemo::examine,
    },
    Format {
        name: "CRFsuite",
        extensions: &["crfsuite"],
        recognises: crfsuite::recognises,
        examine: crfsuite::examine,
    },
    Format {
        name: "fastText",
        extensions: &["ftz"],
        recognises: fasttext::recognises,
        examine: fasttext::examine,
    },
    Format {
        name: "word2vec",
        extensions: &[],
        recognises: word2vec::recognises,
        examine: word2vec::examine,
    },
    Format {
        name: "MATLAB",
        extensions: &["mat"],
        recognises: matlab::recognises,
        examine: matlab::examine,
    },
    Format {
        name: "MATLAB 4",
        extensions: &["mat"],
        recognises: matlab::is_old,
        examine: matlab::examine_old,
    },
    Format {
        name: "MATLAB variable",
        extensions: &[],
        recognises: matlab::is_variable,
        examine: matlab::examine_variable,
    },
    Format {
        name: "Caffe",
        extensions: &["caffemodel"],
        recognises: caffe::recognises,
        examine: caffe::examine,
    },
    Format {
        name: "Caffe net",
        extensions: &["prototxt"],
        recognises: caffe::is_net,
        examine: caffe::examine_net,
    },
    Format {
        name: "dlib shape predictor",
        extensions: &[],
        recognises: dlib::recognises,
        examine: dlib::examine,
    },
    Format {
        name: "Fortran records",
        extensions: &[],
        recognises: fortran::recognises,
        examine: fortran::examine,
    },
];
