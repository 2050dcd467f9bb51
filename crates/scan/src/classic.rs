//! Trees, classic models, and packages of models.

mod catboost;
mod joblib;
mod lightgbm;
mod mar;
mod nemo;
mod r;
mod skops;
mod xgboost;

use crate::route::Format;

/// The lists that a verdict depends on.
pub(crate) static DATA: &[&str] = &[r::LIST, skops::LIST];

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
];
