//! `RECORD`: what a package says of the files that it brings
//! (<https://packaging.python.org/specifications/recording-installed-packages/>).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::hub::Recorded;

/// Returns the folder that the paths of a record are relative to, if this is the name of one.
pub(crate) fn base(name: &str) -> Option<&str> {
    let folder = name.strip_suffix("/RECORD")?.strip_suffix(".dist-info")?;
    let end = folder.rfind('/').map_or(0, |at| at.saturating_add(1));
    (end < folder.len()).then(|| name.get(..end)).flatten()
}

/// Returns path and digest of a line.
pub(super) fn entry(line: &str) -> Option<(&str, &str)> {
    let mut fields = line.trim_end().rsplitn(3, ',');
    let (size, digest, path) = (fields.next()?, fields.next()?, fields.next()?);
    let known = ["sha256=", "sha384=", "sha512="]
        .iter()
        .any(|name| digest.starts_with(name));
    let sound = size.bytes().all(|byte| byte.is_ascii_digit()) && (known || digest.is_empty());
    (sound && !path.is_empty()).then_some((path.trim_matches('"'), digest))
}

/// Returns the files of a record, each with its SHA-256 if that is what stands there.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = (&str, Option<Recorded>)> {
    text.lines().filter_map(entry).map(|(path, digest)| {
        let digest = digest.strip_prefix("sha256=");
        let bytes =
            digest.and_then(|digest| URL_SAFE_NO_PAD.decode(digest.trim_end_matches('=')).ok());
        let recorded = bytes.and_then(|bytes| bytes.try_into().ok());
        (path, recorded.map(Recorded::Sha256))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_lies_in_the_folder_of_its_package() {
        assert_eq!(base("a-1.dist-info/RECORD"), Some(""));
        assert_eq!(base("lib/a-1.dist-info/RECORD"), Some("lib/"));
        for other in [
            "RECORD",
            ".dist-info/RECORD",
            "lib/.dist-info/RECORD",
            "a.dist-info/RECORD.jws",
        ] {
            assert_eq!(base(other), None, "{other}");
        }
    }

    #[test]
    fn lines_have_a_path_and_perhaps_a_digest() {
        let text = "a.py,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0\n\"b,c.py\",sha512=x,1\nRECORD,,\nx\n";
        let found: Vec<_> = lines(text)
            .map(|(path, said)| (path, said.is_some()))
            .collect();
        assert_eq!(
            found,
            [("a.py", true), ("b,c.py", false), ("RECORD", false)]
        );
    }
}
