//! Archives and packed streams: what lies in them is looked at like any other file.

pub(crate) mod packed;
pub(crate) mod tar;
pub(crate) mod zip;

use crate::route::Format;

/// The lists that a verdict depends on.
pub(crate) static DATA: &[&str] = &[];

pub(crate) static FORMATS: &[Format] = &[
    Format {
        name: "zip",
        extensions: &["zip", "npz", "keras", "mar", "whl"],
        recognises: zip::recognises,
        examine: zip::examine,
    },
    Format {
        name: "tar",
        extensions: &["tar", "nemo"],
        recognises: tar::recognises,
        examine: tar::examine,
    },
    Format {
        name: "gzip",
        extensions: &["gz", "tgz"],
        recognises: packed::is_gzip,
        examine: packed::gzip,
    },
    Format {
        name: "zlib",
        extensions: &["zlib", "z"],
        recognises: packed::is_zlib,
        examine: packed::zlib,
    },
];
