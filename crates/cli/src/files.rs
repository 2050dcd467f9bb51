//! Bounded reads and careful writes of the files that people name.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::Path;

use crate::report::Failure;

/// Returns a path as people and JSON see it: with a sign in place of what is not UTF-8.
pub fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Reads a file of at most `max` bytes.
pub fn read_bytes(path: &Path, max: u64) -> Result<Vec<u8>, Failure> {
    let place = || shown(path);
    let file = File::open(path).map_err(|error| Failure::io(place(), &error))?;
    let metadata = file
        .metadata()
        .map_err(|error| Failure::io(place(), &error))?;
    if metadata.is_dir() {
        return Err(Failure::usage("E0003", "a file is needed here, this is a folder").at(place()));
    }
    let mut bytes = Vec::new();
    // One byte more than allowed tells a file that is too large from one that just fits, also
    // where the size is unknown beforehand, as for a pipe.
    file.take(max.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::io(place(), &error))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > max {
        return Err(
            Failure::usage("E0006", "the file is too large for what it is used as")
                .at(place())
                .because(format!("the limit is {max} bytes")),
        );
    }
    Ok(bytes)
}

/// Reads a UTF-8 file of at most `max` bytes.
pub fn read_text(path: &Path, max: u64) -> Result<String, Failure> {
    String::from_utf8(read_bytes(path, max)?)
        .map_err(|_| Failure::usage("E0007", "the file is not UTF-8 text").at(shown(path)))
}

/// Writes a file durably and all at once: readers see the old content or the new one. A pipe or a
/// device, such as `/dev/stdout`, is written to, and stays.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let place = || shown(path);
    let io = |error: std::io::Error| Failure::io(place(), &error);
    if path
        .metadata()
        .is_ok_and(|found| !found.is_file() && !found.is_dir())
    {
        let stream = OpenOptions::new().write(true).open(path);
        return stream
            .and_then(|mut stream| stream.write_all(bytes))
            .map_err(io);
    }
    let dir = path
        .parent()
        .filter(|dir| !dir.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = dir.join(format!(".{name}.{}.tmp", std::process::id()));
    let outcome = (|| {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_data()?;
        std::fs::rename(&temporary, path)?;
        File::open(dir)?.sync_all()
    })();
    if outcome.is_err() {
        // Best effort: what is left behind is a hidden file that nothing reads.
        let _ = std::fs::remove_file(&temporary);
    }
    outcome.map_err(io)
}

/// Creates a file that must not exist yet.
pub fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Failure> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let place = || shown(path);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => {
                Failure::usage("E0008", "the file exists, and Custos does not overwrite it")
                    .at(place())
                    .help("name another file, or move this one away first")
            }
            _ => Failure::io(place(), &error),
        })?;
    file.write_all(bytes)
        .and_then(|()| file.sync_data())
        .map_err(|error| Failure::io(place(), &error))
}

/// Publishes a file whole under a name that must be free; returns false if somebody else was first.
pub fn publish_new(path: &Path, bytes: &[u8], mode: u32) -> Result<bool, Failure> {
    if path.exists() {
        return Ok(false);
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = std::path::PathBuf::from(name);
    write_new(&temporary, bytes, mode)?;
    // A link fails if the name is taken, where a rename would replace what is there.
    let linked = std::fs::hard_link(&temporary, path);
    // Best effort: what is left behind is a second name of the same file.
    let _ = std::fs::remove_file(&temporary);
    match linked {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(Failure::io(shown(path), &error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_are_bounded_and_writes_whole() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f");
        write_new(&file, b"12345", 0o600).unwrap();
        assert_eq!(write_new(&file, b"x", 0o600).unwrap_err().code(), "E0008");
        assert_eq!(read_bytes(&file, 5).unwrap(), b"12345");
        assert_eq!(read_bytes(&file, 4).unwrap_err().code(), "E0006");
        assert_eq!(read_bytes(dir.path(), 4).unwrap_err().code(), "E0003");
        write_atomic(&file, b"\xff").unwrap();
        assert_eq!(read_text(&file, 5).unwrap_err().code(), "E0007");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
