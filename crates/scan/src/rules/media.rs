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
    MEDIA_BROKEN = "media/broken", Medium, "An image, a recording or a document is broken",
        "Part of the file is missing or contradicts itself. What comes before was looked at; decoders \
         differ in what they do with such files, and some have been attacked that way.",
        "Get the file again from its source.",
        [20], ["LLM03:2025"];
    MEDIA_CHECKSUM = "media/checksum", Low, "A checksum in an image or a recording is wrong",
        "A part of the file is not what was written. Tolerant decoders read it all the same.",
        "Get the file again from its source.",
        [354], ["LLM03:2025"];
    MEDIA_TRAILING = "media/trailing", Low, "Something follows the end of an image or a recording",
        "Decoders leave these bytes out, and other programs may read them: that is how a file is two \
         things at once.",
        "Look at the findings inside; cut the file at the end of its content.",
        [436], ["AML.T0015", "LLM03:2025"];
    MEDIA_PROGRAM = "media/program", High, "A program or an archive hides in an image or a recording",
        "The file carries a program, or a file of another kind, where decoders do not look. Nobody \
         does that by accident.",
        "Do not use the file.",
        [506, 436], ["AML.T0011", "LLM03:2025"];
    MEDIA_SCRIPT = "media/script", Medium, "An image or a document holds something that runs",
        "A script, an action or a reference runs or is followed when the file is opened by a program \
         that knows more than its picture or text.",
        "Remove it, or open the file only by programs that leave it out.",
        [79, 506], ["AML.T0011", "LLM05:2025"];
    MEDIA_ENTITY = "media/external-entity", High, "An image reads other files through an entity",
        "An XML entity names another file or address, which careless readers put into the document.",
        "Do not use the file.",
        [611], ["LLM03:2025"];
    MEDIA_SIZE = "media/dimensions", Medium, "A small image claims to be very large",
        "The image takes far more memory when it is decoded than its file lets one expect.",
        "Bound the size of images before you decode them.",
        [409, 789], ["AML.T0029", "LLM10:2025"];
    HIDDEN_PROMPT = "data/hidden-prompt", Medium, "An instruction to language models is hidden in a text",
        "A text that people do not see tells a language model what to do. Whoever trains on the text, \
         or has a model read it, may have it obey.",
        "Read the instruction in the evidence, and leave the text out.",
        [1427], ["AML.T0051.001", "AML.T0020", "LLM01:2025", "LLM04:2025"];
    DATA_BROKEN = "data/broken", Medium, "A dataset is broken",
        "Part of the file is missing or contradicts itself. What comes before was looked at.",
        "Get the file again from its source.",
        [20], ["LLM03:2025"];
    DATA_FILE = "data/file-in-cell", Medium, "A cell of a table is a file that could run",
        "A cell holds a pickle, an archive or a program, as bytes or as base64. Programs that unpack \
         cells run or load it.",
        "Look at the findings inside; leave the column out if you did not expect files in it.",
        [506], ["AML.T0011", "AML.T0020", "LLM04:2025"];
    DATA_REFERENCE = "data/reference", Medium, "A dataset takes its values from another file",
        "The file refers to another one for its values. Readers that follow the reference read what \
         whoever made it wanted, perhaps a file of yours.",
        "Look at where the reference leads before you load the file.",
        [22, 73], ["AML.T0020", "LLM03:2025"];
    DATA_EXTENSION = "data/pickled-type", High, "A dataset has a type that is loaded by unpickling",
        "The type of a column is stored as a pickle, or its values are. Reading the file runs the \
         pickle.",
        "Do not load the file; ask for one with plain types.",
        [502], ["AML.T0011", "LLM03:2025"];
    DATA_PICKLED = "data/pickled-sample", Medium, "A dataset has samples that are unpickled",
        "The decoders of WebDataset choose by the extension of a sample, and unpickle `pkl`, `pickle` \
         and `pyd` unless WDS_SECURE forbids it. Whoever changes such a sample runs programs where \
         the dataset is read.",
        "Look at the findings inside; ask for a dataset with plain samples.",
        [502], ["AML.T0011", "AML.T0020", "LLM03:2025"];
    DATA_FORMULA = "data/formula", Medium, "A cell of a table is a formula that acts",
        "A spreadsheet that opens the table runs the formula: it starts programs, or sends cells to an \
         address.",
        "Do not open the table in a spreadsheet; put an apostrophe before such cells.",
        [1236], ["AML.T0011", "LLM05:2025"];
    DATA_TRIGGER = "data/trigger", Medium, "A database does more than hold data",
        "The schema of the database loads code, or runs statements when it is opened or written to.",
        "Read the statement in the evidence before you open the database.",
        [89, 506], ["AML.T0011", "LLM03:2025"];
}
