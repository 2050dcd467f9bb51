//! Rules about downloads from a hub.

use super::rules;

rules! {
    DIGEST = "hub/digest", High, "A downloaded file is not what was recorded",
        "The download wrote down which digest the file has, and its bytes have another: it was \
         changed or damaged since.",
        "Download the file again, and find out what changed it.",
        [345, 354], ["AML.T0010", "LLM03:2025"];
    POINTER = "hub/lfs-pointer", Info, "A pointer in place of a file",
        "Git LFS left a pointer where the file belongs; the file itself was not fetched, and could \
         not be looked at.",
        "Fetch the file (`git lfs pull`), and scan it.",
        [], [];
}
