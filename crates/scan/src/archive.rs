//! Archives and packed streams: what lies in them is looked at like any other file.

pub(crate) mod blosc;
pub(crate) mod oci;
pub(crate) mod packed;
pub(crate) mod sevenz;
pub(crate) mod split;
pub(crate) mod tar;
pub(crate) mod unread;
pub(crate) mod zip;

use crate::route::{Format, Head};
use crate::work::{Input, Look};

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
        name: "7z",
        extensions: &["7z"],
        recognises: sevenz::recognises,
        examine: sevenz::examine,
    },
    Format {
        name: "oci-image",
        extensions: &[],
        recognises: oci::recognises,
        examine: oci::examine,
    },
    Format {
        name: "unread-archive",
        extensions: &[
            "rar", "cab", "cpio", "rpm", "deb", "ar", "a", "xar", "squashfs", "iso",
        ],
        recognises: unread::recognises,
        examine: unread::examine,
    },
    Format {
        name: "part-of-archive",
        extensions: &[],
        recognises: split::recognises,
        examine: split::examine,
    },
    packed(
        "gzip",
        &["gz", "tgz", "rds", "rda", "rdata"],
        packed::is_gzip,
        packed::gzip,
    ),
    packed("zlib", &["zlib", "z"], packed::is_zlib, packed::zlib),
    packed(
        "bzip2",
        &["bz2", "tbz2", "rds", "rda", "rdata"],
        packed::is_bzip2,
        packed::bzip2,
    ),
    packed(
        "xz",
        &["xz", "txz", "rds", "rda", "rdata"],
        packed::is_xz,
        packed::xz,
    ),
    packed("lzma", &["lzma"], packed::is_lzma, packed::lzma),
    packed("zstd", &["zst", "zstd"], packed::is_zstd, packed::zstd),
    packed("lz4", &["lz4"], packed::is_lz4, packed::lz4),
    packed("blosc", &["blosc"], blosc::recognises, blosc::examine),
];

const fn packed(
    name: &'static str,
    extensions: &'static [&'static str],
    recognises: fn(&Head, &Input<'_>) -> bool,
    examine: fn(&mut Look<'_, '_, '_>),
) -> Format {
    Format {
        name,
        extensions,
        recognises,
        examine,
    }
}
