//! Puts every file of `data/` into the library, so that the demo needs no source tree.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

fn main() -> io::Result<()> {
    // Cargo runs this in the package's folder. Neither this program nor what it writes may name
    // that folder: checkouts that share a target folder share both.
    let data = Path::new("data");
    let mut files = Vec::new();
    collect(data, &mut files)?;
    files.sort();
    let mut table = String::from("pub(super) static FILES: &[(&str, &[u8])] = &[\n");
    for file in &files {
        let name = utf8(file.strip_prefix(data).map_err(io::Error::other)?)?;
        let file = format!("/{}", utf8(file)?);
        writeln!(
            table,
            "    ({name:?}, include_bytes!(concat!(env!(\"CARGO_MANIFEST_DIR\"), {file:?}))),"
        )
        .map_err(io::Error::other)?;
    }
    table.push_str("];\n");
    fs::write(out_folder()?.join("raw_files.rs"), table)?;
    // A directive for cargo, not output for a person.
    io::Write::write_all(&mut io::stdout(), b"cargo::rerun-if-changed=data\n")
}

#[expect(
    clippy::disallowed_methods,
    reason = "cargo tells a build script its folder only so"
)]
fn out_folder() -> io::Result<PathBuf> {
    std::env::var_os("OUT_DIR")
        .map(PathBuf::from)
        .ok_or_else(|| io::Error::other("no OUT_DIR"))
}

fn utf8(path: &Path) -> io::Result<&str> {
    path.to_str()
        .ok_or_else(|| io::Error::other("the path is not UTF-8"))
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}
