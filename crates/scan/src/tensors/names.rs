//! Names of tensors: programs write tensors to files, archives, lists and terminals under them.
//!
//! Accelerate offloads each tensor to a file of its name (`offload_weight`), `numpy.savez` makes it
//! the name of a member, and converters print it. Real names hold dots, slashes, colons, brackets
//! and letters of any language; none leads out of a folder, and none steers a terminal.

use custos_core::finding::Severity;

/// Folders at the root of a system (Filesystem Hierarchy Standard 3.0, 3.2; and other systems').
const ROOTS: [&str; 25] = [
    "Applications",
    "Library",
    "System",
    "Users",
    "Volumes",
    "bin",
    "boot",
    "dev",
    "etc",
    "home",
    "lib",
    "lib64",
    "media",
    "mnt",
    "opt",
    "private",
    "proc",
    "root",
    "run",
    "sbin",
    "srv",
    "sys",
    "tmp",
    "usr",
    "var",
];

/// Returns what is wrong with a name, and how bad that is.
pub(super) fn fault(name: &str) -> Option<(Severity, &'static str)> {
    let (high, low) = (Severity::High, Severity::Low);
    if name.contains('\0') {
        return Some((high, "programs in C take for another one"));
    }
    if name.contains(char::is_control) {
        return Some((high, "steers terminals and breaks lines"));
    }
    if name.split(['/', '\\']).any(|part| part == "..") {
        return Some((high, "leads out of the folder that it is written to"));
    }
    // `w:0` is a name of TensorFlow's.
    let drive =
        matches!(name.as_bytes(), [letter, b':', b'/' | b'\\', ..] if letter.is_ascii_alphabetic());
    if drive || name.starts_with('\\') || name.starts_with("//") {
        return Some((high, "is a place of the whole machine"));
    }
    // Tensors of ONNX are called like `/layers.0/MatMul_output_0`.
    let first = name.strip_prefix('/')?.split('/').next();
    if first.is_some_and(|first| ROOTS.contains(&first)) {
        return Some((high, "is a place of the whole machine"));
    }
    Some((low, "begins at the root of the machine"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_real_models_are_in_order() {
        for name in [
            "model.layers.0.self_attn.q_proj.weight",
            "params/encoder/layer_0/kernel",
            "dense/kernel:0",
            "w:0",
            "onnx::MatMul_1234",
            "lora_unet_down_blocks_0.alpha",
            "model..weight",
            "...",
            "a..b/c",
            "[0].blk-1 (copy)",
            "слой.0",
            "",
        ] {
            assert_eq!(fault(name), None, "{name}");
        }
        assert_eq!(
            fault("/layers.0/MatMul").map(|one| one.0),
            Some(Severity::Low)
        );
    }

    #[test]
    fn names_that_lead_out_or_hide() {
        for name in [
            "../x",
            "a/../../x",
            "..\\x",
            "a/..",
            "/etc/passwd",
            "/tmp",
            "//host/share",
            "\\\\host\\share",
            "C:\\x",
            "c:/x",
            "w\0../x",
            "w\r\nx",
            "\u{1b}[2J",
            "\u{9b}2J",
        ] {
            assert_eq!(
                fault(name).map(|one| one.0),
                Some(Severity::High),
                "{name:?}"
            );
        }
    }
}
