//! Rules about the scan itself.

use super::rules;

rules! {
    LIMIT = "scan/limit", Medium, "The file is larger or deeper than was looked at",
        "A limit of the scanner ended the look into the file. What was found before is listed; what \
         comes after is unknown.",
        "Raise the limit that the message names if the file is what you expect.",
        [400], [];
    EXTENSION = "scan/extension", Low, "The file is something else than its name says",
        "Programs that choose by name and programs that choose by content treat it differently; \
         scanners have been passed by that way.",
        "Find out why it is called so.",
        [434, 646], ["LLM03:2025"];
    TRAILING = "scan/trailing", Low, "Something follows the end of the content",
        "Bytes follow the end of what the file is. Programs leave them alone or read them as \
         something else; what is carried there is looked at like a file of its own.",
        "Look at the findings inside, and find out what wrote the file.",
        [436], ["LLM03:2025"];
}
