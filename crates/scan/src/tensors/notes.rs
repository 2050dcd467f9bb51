//! What files of tensors say about themselves: texts that no loader runs, but for templates.
//!
//! Some programs have evaluated the metadata of models all the same (Ultralytics did with that of
//! exported ones). A description that quotes a few lines of code is no program: every line has to be.

use custos_core::finding::Location;

use crate::rules;
use crate::text;
use crate::work::Look;

/// Longest text that is looked at as a program.
const MAX_PROGRAM: usize = 64 << 10;

/// Looks at the text of a name.
pub(super) fn inspect(look: &mut Look<'_, '_, '_>, place: &Location, (name, text): (&str, &str)) {
    if name.contains("chat_template") && name != "tokenizer.chat_templates" {
        text::template::examine(look, place, text);
    }
    text::inspect(look, place, text);
    if text.len() <= MAX_PROGRAM && is_program(text) {
        let message = format!("the metadata `{name}` is a program in Python");
        look.work
            .see(&rules::tensors::METADATA_PROGRAM, place.clone(), message);
        text::python::examine(look, place, text);
    }
}

/// Looks at the name of a text.
pub(super) fn key(look: &mut Look<'_, '_, '_>, place: &Location, name: &str) {
    let inner = name
        .strip_prefix("__")
        .and_then(|name| name.strip_suffix("__"))
        .is_some_and(|name| !name.is_empty());
    if inner {
        let message = format!("a key of the metadata is `{name}`");
        look.work
            .see(&rules::tensors::METADATA_KEY, place.clone(), message);
    }
}

// True if it begins as a program does, and no line of it is prose.
fn is_program(text: &str) -> bool {
    const WORDS: [&str; 12] = [
        "import", "from", "pass", "return", "break", "continue", "else:", "try:", "finally:",
        "del", "raise", "@",
    ];
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let code = |line: &str| {
        line.starts_with('#')
            || WORDS.iter().any(|word| line.starts_with(word))
            || line.contains(['(', '=', ')', ']', '}'])
            || line.ends_with([':', ','])
    };
    text::python::is_program(text) && lines.all(code)
}

#[cfg(test)]
mod tests {
    use super::is_program;

    #[test]
    fn prose_and_data_are_no_programs() {
        for text in [
            "",
            "import of goods",
            "Trained with LoRA. See https://example.com/import",
            "from the makers of something",
            "A usage example:\nimport torch\nmodel = torch.load(path)\nThen train it.",
            "{\"import\": [\"os\"]}",
            "pt",
        ] {
            assert!(!is_program(text), "{text}");
        }
        for text in [
            "import os; os.system('id')",
            "import os\n\nos.system('id')\n",
            "__import__('os').system('id')",
            "def f():\n    return 1\nf()",
        ] {
            assert!(is_program(text), "{text}");
        }
    }
}
