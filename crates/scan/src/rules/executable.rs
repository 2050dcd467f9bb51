//! Rules about programs.

use super::rules;

rules! {
    PROGRAM = "executable/program", Medium, "A program lies among the data",
        "Weights and configurations need no program. One that lies beside them, or in the same \
         archive, waits to be started; what it does was not looked at.",
        "Find out what it is for, and leave it out if you do not need it.",
        [506, 829], ["AML.T0011", "LLM03:2025"];
    COMPILED = "executable/compiled", Info, "Functions of Python are there in compiled form only",
        "Nobody reads what compiled functions do before they are called. The names that they use tell \
         a little.",
        "Ask for the source, or leave the file out.",
        [506], ["AML.T0011", "LLM03:2025"];
    SHORTCUT = "executable/shortcut", Medium, "A shortcut that starts a program",
        "Opening a shortcut of Windows starts the program that it names, with the arguments that it \
         holds, whatever its icon looks like.",
        "Do not open it.",
        [506, 829], ["AML.T0011", "LLM03:2025"];
    BROKEN = "executable/broken", Low, "The headers of a program are broken",
        "Headers say something that the file does not hold. Systems start more than one thinks.",
        "Get the file again from its source.",
        [20], ["LLM03:2025"];
}
