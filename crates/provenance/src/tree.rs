//! Walking a folder or a single file.
