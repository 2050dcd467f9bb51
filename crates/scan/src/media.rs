//! Datasets, images and sound.

mod arrow;
mod avro;
mod cells;
mod codecs;
mod gif;
mod html;
mod jpeg;
mod parquet;
mod parts;
mod pdf;
mod png;
pub(crate) mod prompts;
mod raster;
mod riff;
mod sampled;
pub(crate) mod shards;
mod sound;
mod sqlite;
mod svg;
mod table;
mod tfrecord;
mod tiff;
mod video;

use crate::route::Format;

/// The lists that a verdict depends on.
pub(crate) static DATA: &[&str] = &[];

macro_rules! formats {
    ($($name:literal, $extensions:expr, $recognises:path, $examine:path;)*) => {
        pub(crate) static FORMATS: &[Format] = &[$(Format {
            name: $name,
            extensions: &$extensions,
            recognises: $recognises,
            examine: $examine,
        }),*];
    };
}

formats! {
    "png", ["png", "apng"], png::recognises, png::examine;
    "jpeg", ["jpg", "jpeg"], jpeg::recognises, jpeg::examine;
    "gif", ["gif"], gif::recognises, gif::examine;
    "webp", ["webp"], riff::is_webp, riff::examine;
    "bmp", ["bmp"], raster::is_bmp, raster::bmp;
    "ico", ["ico", "cur"], raster::is_ico, raster::ico;
    "tiff", ["tif", "tiff"], tiff::recognises, tiff::examine;
    "svg", ["svg"], svg::recognises, svg::examine;
    "html", ["html", "htm", "xhtml"], html::recognises, html::examine;
    "wav", ["wav"], riff::is_wav, riff::examine;
    "aiff", ["aif", "aiff"], riff::is_aiff, riff::examine;
    "au", ["au", "snd"], sampled::is_au, sampled::au;
    "caf", ["caf"], sampled::is_caf, sampled::caf;
    "w64", ["w64"], sampled::is_w64, sampled::w64;
    "avi", ["avi"], riff::is_avi, riff::examine;
    "flac", ["flac"], sound::is_flac, sound::flac;
    "mp3", ["mp3"], sound::is_mp3, sound::mp3;
    "ogg", ["ogg", "oga", "opus"], sound::is_ogg, sound::ogg;
    "mp4", ["mp4", "m4a", "m4v", "mov", "heic", "avif"], video::is_mp4, video::mp4;
    "matroska", ["mkv", "webm", "mka"], video::is_matroska, video::matroska;
    "parquet", ["parquet"], parquet::recognises, parquet::examine;
    "arrow-file", ["arrow", "feather"], arrow::is_file, arrow::file;
    "arrow-stream", ["arrows"], arrow::is_stream, arrow::stream;
    "csv", ["csv", "tsv"], table::recognises, table::examine;
    "tfrecord", ["tfrecord", "tfrecords"], tfrecord::recognises, tfrecord::examine;
    "avro", ["avro"], avro::recognises, avro::examine;
    "sqlite", ["sqlite", "sqlite3", "db"], sqlite::recognises, sqlite::examine;
    "lmdb", ["mdb"], sqlite::is_lmdb, sqlite::lmdb;
    "feather-v1", ["feather"], arrow::is_feather, arrow::feather;
    "pdf", ["pdf"], pdf::recognises, pdf::examine;
}
