//! Rules about pickles.

use super::rules;

rules! {
    PICKLE_DANGEROUS_CALL = "pickle/dangerous-call", Critical, "A pickle calls something dangerous",
        "Loading the file calls a function that runs commands or code, finds anything by its name, \
         reads or writes files, or speaks to the network. Loading is enough; nothing else has to \
         be called.",
        "Do not load the file. Ask whoever made it for safetensors, or for the source of the weights.",
        [502, 94], ["AML.T0018.002", "AML.T0011.000", "LLM03:2025", "ML06:2023"];
    PICKLE_DANGEROUS_NAME = "pickle/dangerous-name", High, "A pickle imports something dangerous",
        "Loading the file imports such a function without calling it in a way that was seen. \
         Importing runs the module, and the function may be called by what is loaded.",
        "Do not load the file unless it is known why the name is there.",
        [502], ["AML.T0018.002", "AML.T0011.000", "LLM03:2025", "ML06:2023"];
    PICKLE_UNKNOWN_CALL = "pickle/unknown-call", Medium, "A pickle calls something that is on no list",
        "Loading the file calls a function or class that is neither known to be harmless nor to be \
         dangerous. How bad that is depends on the arguments: a command, an address, a path or \
         program text among them is a strong sign.",
        "Find out what the called name does. If it is yours and harmless, suppress the finding for \
         this digest, with a reason.",
        [502], ["AML.T0011.000", "LLM03:2025", "ML06:2023"];
    PICKLE_UNKNOWN_NAME = "pickle/unknown-name", Low, "A pickle imports something that is on no list",
        "Loading the file imports a name that is on no list, which runs the module that holds it.",
        "Find out what the module is.",
        [502], ["AML.T0011.000", "LLM03:2025"];
    PICKLE_INNER_NAME = "pickle/inner-name", High, "A pickle reaches into the inside of Python",
        "A name between double underscores leads from harmless objects to all others. No ordinary \
         object is pickled by such a name.",
        "Do not load the file.",
        [502, 470], ["AML.T0018.002", "AML.T0011.000", "LLM03:2025"];
    PICKLE_MISUSED_CALL = "pickle/misused-call", High, "A pickle calls a harmless function in an unusual way",
        "The function has an ordinary use in pickles, and this is another one.",
        "Do not load the file unless it is known why it does that.",
        [502], ["AML.T0018.002", "AML.T0011.000", "LLM03:2025"];
    PICKLE_COMPUTED_CALL = "pickle/computed-call", High, "A pickle calls what another call returned",
        "What is called is made while loading, so that no name says what it is. Picklers do not \
         write that.",
        "Do not load the file.",
        [502, 470], ["AML.T0018.002", "AML.T0011.000", "LLM03:2025"];
    PICKLE_UNRESOLVABLE = "pickle/unresolvable", High, "A pickle hides what it imports",
        "The name of a module or function is no text at that place of the stream, or what is called \
         cannot be followed. Picklers do not write that.",
        "Do not load the file.",
        [502], ["AML.T0018.002", "AML.T0011.000", "LLM03:2025"];
    PICKLE_STATE_ON_GLOBAL = "pickle/state-on-global", Critical, "A pickle changes a function or class",
        "Loading sets attributes of a function, class or module, and so changes what it does in the \
         whole process.",
        "Do not load the file.",
        [502, 915], ["AML.T0018.002", "AML.T0011.000", "LLM03:2025"];
    PICKLE_HIDDEN_CALL = "pickle/hidden-call", Medium, "A pickle calls a method through a container opcode",
        "APPEND, SETITEM and ADDITEMS call methods of whatever object lies there. On an object that \
         is no known container that is a call by another name.",
        "Find out what the class does with items.",
        [502], ["AML.T0011.000", "LLM03:2025"];
    PICKLE_PERSISTENT = "pickle/persistent-object", Low, "A pickle asks its reader for an object",
        "What is loaded depends on how the reader answers an identifier. It is no storage of PyTorch.",
        "Look at the code that loads the file.",
        [502], ["LLM03:2025"];
    PICKLE_EXTENSION = "pickle/extension-registry", Medium, "A pickle takes an entry of the extension registry",
        "Which function or class that is, only the process knows that loads the file, and restricted \
         loaders are passed by.",
        "Do not load the file unless the registry is yours.",
        [502], ["AML.T0011.000", "LLM03:2025"];
    PICKLE_NESTED = "pickle/nested", Low, "A pickle holds another serialised file",
        "Bytes inside of the stream are a serialised or executable file. They do nothing until \
         something loads them; what is in them was looked at too.",
        "Look at the findings inside.",
        [502], ["LLM03:2025"];
    PICKLE_ENCODED = "pickle/encoded-file", Medium, "A pickle holds a serialised file written as text",
        "A text of the stream is, once it is decoded, a serialised or executable file. It does nothing \
         until some code decodes and loads it; what is in it was looked at too.",
        "Find out what the text is for. Look at the findings inside.",
        [502, 506], ["AML.T0018.002", "AML.T0015", "LLM03:2025"];
    PICKLE_ENCODED_PROGRAM = "pickle/encoded-program", Medium, "A pickle holds a program written in code",
        "A text of the stream is, once it is decoded, a program that runs commands or hides what it \
         does. It does nothing until some code decodes and runs it.",
        "Find out what the text is for.",
        [506], ["AML.T0018.002", "AML.T0015", "LLM03:2025"];
    PICKLE_PROGRAM_BEHIND = "pickle/program-behind-end", High, "A program is hidden behind a pickle",
        "Loaders of pickles stop at the end of the stream, and a program follows it. No pickler writes \
         that; whoever appended it has other code that starts it.",
        "Do not use the file. Look at who made it, and what came with it.",
        [506], ["AML.T0018.002", "AML.T0015", "LLM03:2025"];
    PICKLE_DISCARDED = "pickle/discarded-call", Medium, "A pickle throws away what a call returned",
        "The call was made for what it does and not for what it makes. Picklers do not write that.",
        "Do not load the file unless it is known why it does that.",
        [502], ["AML.T0011.000", "LLM03:2025"];
    PICKLE_ODD_STREAM = "pickle/odd-stream", Low, "A pickle that no pickler writes",
        "Loaders disagree about such a stream, so that a scanner can see another one than is loaded.",
        "Find out what wrote the file.",
        [436], ["LLM03:2025"];
    PICKLE_MALFORMED = "pickle/malformed", Medium, "A pickle is broken",
        "The stream does not follow the rules at some place. What comes before is loaded, and runs, \
         all the same.",
        "Do not load the file; get it again from its source.",
        [502, 20], ["AML.T0011.000", "LLM03:2025"];
    PICKLE_EXHAUSTION = "pickle/exhaustion", High, "A pickle makes its reader run out of memory",
        "A few bytes of the stream make a loader allocate without end.",
        "Do not load the file.",
        [400, 770], ["AML.T0029", "LLM10:2025"];
}
