//! Rules about datasets, images and sound, and about characters that people do not see.

use super::rules;

rules! {
    BIDI = "text/bidi-control", Medium, "Text is shown in another order than it is read in",
        "Controls of the writing direction turn the text around on the screen, so that people see \
         something else than programs and models read. In source code that hides what it does \
         (Trojan Source).",
        "Look at the text with a viewer that shows these controls, and remove them.",
        [1007, 451], ["AML.T0051", "LLM01:2025", "LLM03:2025"];
    TAGS = "text/hidden-tags", High, "Text is hidden in invisible tag characters",
        "Unicode tag characters are invisible, and language models read them as letters. Outside of \
         flags of regions nobody needs them: somebody hid a text.",
        "Read the hidden text in the evidence, and do not use the file if you did not expect it.",
        [451, 1427], ["AML.T0051.001", "LLM01:2025"];
    ZERO_WIDTH = "text/zero-width", Low, "Text holds invisible characters where none belong",
        "Characters without width split words for filters and tokenizers, and long runs of them can \
         carry a hidden message.",
        "Find out where the text comes from; remove the characters.",
        [451, 1427], ["AML.T0051.001", "LLM01:2025"];
    SELECTORS = "text/variation-selectors", Medium, "Bytes are hidden in variation selectors",
        "One variation selector follows a character that it changes. A row of them changes nothing, \
         is invisible, and can carry any bytes.",
        "Read the hidden bytes in the evidence, and do not use the file if you did not expect them.",
        [451, 1427], ["AML.T0051.001", "LLM01:2025"];
    PRIVATE = "text/private-use", Low, "Text holds long runs of characters without a meaning",
        "Private characters of the supplementary planes have no meaning but what two programs agree \
         on; long runs of them can carry hidden data.",
        "Find out what wrote the text.",
        [451], ["AML.T0051.001"];
    TERMINAL = "text/terminal-escape", Medium, "Text commands the terminal that shows it",
        "An escape sequence reaches the clipboard, asks the terminal to answer as if somebody typed, \
         or hides text. Logging or printing the text runs it.",
        "Do not print the text; remove the sequence.",
        [150], ["LLM05:2025"];
    CONFUSABLE = "text/confusable-name", Medium, "A name mixes letters that look alike",
        "A name in Latin letters holds letters of another script that look the same, or invisible \
         ones. Two names that look equal are not.",
        "Compare the name with the one that you expect, letter by letter.",
        [1007], ["LLM03:2025"];
}
