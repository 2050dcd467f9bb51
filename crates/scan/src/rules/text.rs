//! Rules about texts: templates, configurations, programs, notebooks.

use super::rules;

rules! {
    TEMPLATE_INNER = "template/inner-attribute", High, "A template reaches into the inside of Python",
        "An attribute of that kind leads from a harmless value to every function of the process. \
         Rendered without a sandbox, the template runs whatever it likes; no prompt needs it.",
        "Do not render the template. If the rest of the model is needed, replace the template by one \
         that you wrote or know.",
        [1336, 94], ["AML.T0011.000", "LLM03:2025", "ML06:2023"];
    TEMPLATE_CALL = "template/dangerous-call", High, "A template calls something that runs code",
        "The name of what is called is that of a way to run commands or code, or to find anything by \
         its name.",
        "Do not render the template.",
        [1336, 94], ["AML.T0011.000", "LLM03:2025", "ML06:2023"];
    TEMPLATE_COMPUTED = "template/computed-attribute", Medium, "A template takes an attribute by a computed name",
        "Which attribute that is, nobody can tell before it is rendered. Prompts have no need of it; \
         it is how names are hidden.",
        "Find out what the name can be.",
        [1336, 470], ["LLM03:2025"];
    TEMPLATE_FRAMEWORK = "template/framework-object", Medium, "A template looks into the framework around it",
        "The object belongs to a web framework or to Jinja itself, and is a known first step out of \
         a template.",
        "Find out why the template needs it.",
        [1336], ["LLM03:2025"];
    TEMPLATE_NAMED = "template/named-character", Medium, "A template writes a character by its name",
        "Python reads `\\N{...}` in a text of a template as the character of that name. That is how \
         underscores are hidden from scanners.",
        "Look at what the text says.",
        [1336, 116], ["LLM03:2025"];
    TEMPLATE_EXHAUSTION = "template/exhaustion", High, "A template takes all time or memory",
        "Rendering the template once counts or builds more than any prompt needs, and stops the \
         process that does it.",
        "Do not render the template.",
        [400, 770], ["AML.T0029", "LLM10:2025"];
    TEMPLATE_UNPARSABLE = "template/unparsable", Medium, "A template does not follow the grammar of Jinja",
        "Part of the template could not be read as Jinja reads it. What could be read was looked at.",
        "Look at the template; it may need an extension, or be broken.",
        [20], ["LLM03:2025"];
    CONFIG_TARGET = "config/dangerous-target", Critical, "A configuration calls something dangerous",
        "Programs that build objects by the names in a configuration import and call whatever is \
         named. What is named here runs commands or code, loads, reads, writes or sends.",
        "Do not load the configuration.",
        [470, 94], ["AML.T0011.000", "LLM03:2025", "ML06:2023"];
    CONFIG_UNKNOWN_TARGET = "config/unknown-target", Medium, "A configuration calls something that is on no list",
        "Programs that build objects by the names in a configuration import and call whatever is \
         named. The name is neither known to be harmless nor to be dangerous.",
        "Find out what the named thing does. If it is yours and harmless, suppress the finding for \
         this digest, with a reason.",
        [470], ["AML.T0011.000", "LLM03:2025"];
    CONFIG_REMOTE_CODE = "config/remote-code", Medium, "A configuration brings code with the model",
        "Loading the model with that configuration runs Python from the repository, or from another \
         one, once the loader is told to trust it.",
        "Read the code, pin its revision, and prefer a model that needs none.",
        [829, 494], ["AML.T0010.003", "AML.T0011.000", "LLM03:2025"];
    CONFIG_TRUST_HONOURED = "config/trust-honoured", High, "A configuration decides that it is trusted",
        "The loader takes the word of the configuration that remote code may run, whatever the \
         caller said.",
        "Do not load the model with a version that is affected.",
        [829, 807], ["AML.T0011.000", "LLM03:2025"];
    CONFIG_KERNEL = "config/hub-kernel", High, "A configuration makes the loader fetch code",
        "The name of a repository in that place is fetched and run as compiled code and Python, \
         without a question.",
        "Remove the key, or use one of the built-in names.",
        [829, 494], ["AML.T0010.003", "AML.T0011.000", "LLM03:2025"];
    CONFIG_BASE_MODEL = "config/base-model", Low, "An adapter takes its base model from elsewhere",
        "The base model is a path or address and no name. It is loaded with the adapter.",
        "Make sure that the base model is the one that you checked.",
        [829], ["AML.T0010.003", "LLM03:2025"];
    CONFIG_CODE_PATH = "config/outside-path", High, "A configuration names a file outside of the model",
        "The loader takes code or data from a path that leads out of the folder of the model.",
        "Do not load the model.",
        [22, 829], ["AML.T0011.000", "LLM03:2025"];
    CONFIG_SHELL = "config/shell-in-requirement", High, "A requirement holds a command for a shell",
        "Requirements of a model's environment are handed to an installer, by some tools through a \
         shell. What stands there is no requirement.",
        "Do not build the environment.",
        [78, 88], ["AML.T0010.001", "LLM03:2025"];
    CONFIG_REPEATED = "config/repeated-key", Low, "A configuration has a key twice",
        "Some readers take the first value and some the last, so that what is checked need not be \
         what is used.",
        "Find out which value is meant.",
        [436], ["LLM03:2025"];
    CONFIG_BROKEN = "config/broken", Low, "A configuration cannot be read to its end",
        "The notation is broken at some place. It was looked at as text; rules about keys saw what \
         comes before.",
        "Mend the file, or get it again from its source.",
        [20], [];
    CONFIG_ADDRESS = "config/address", Info, "A configuration holds addresses",
        "Values are addresses of other machines or of cloud storage.",
        "Nothing, unless the addresses are not yours.",
        [], [];
    YAML_PYTHON = "yaml/python-tag", High, "A tag in YAML makes objects of Python",
        "A loader that is not the safe one imports and calls what the tag names.",
        "Load it only with a safe loader; do not use it at all if it is not yours.",
        [502], ["AML.T0011.000", "LLM03:2025", "ML06:2023"];
    YAML_BOMB = "yaml/alias-bomb", High, "A few lines of YAML stand for millions of values",
        "Aliases of aliases grow by a factor with each line. A loader that follows them runs out of \
         memory or time.",
        "Do not load the file.",
        [776, 400], ["AML.T0029", "LLM10:2025"];
    PYTHON_EXEC = "python/runs-text", High, "A program runs text as a program",
        "Text that is decoded, fetched or put together, and then run, hides what it does from whoever \
         reads the program.",
        "Do not import or run the program unless it is known what the text is.",
        [95, 506], ["AML.T0011.000", "LLM03:2025"];
    PYTHON_COMMAND = "python/runs-command", High, "A program runs commands",
        "Importing or running the program starts another one on the machine.",
        "Read the program. Do not import it if it need not run commands.",
        [78, 506], ["AML.T0011.000", "AML.T0050", "LLM03:2025"];
    PYTHON_NETWORK = "python/network", Medium, "A program speaks to the network",
        "Importing or running the program sends something to another machine, or fetches something.",
        "Read the program; run it without a network if it needs none.",
        [506, 201], ["AML.T0011.000", "AML.T0025", "LLM03:2025"];
    PYTHON_UNPICKLE = "python/unpickles", Medium, "A program loads objects that can run code",
        "What it loads decides what runs: pickles and their kin call whatever they name.",
        "Make sure where the loaded data comes from, or load it in a safer way.",
        [502], ["AML.T0011.000", "LLM03:2025", "ML06:2023"];
    PYTHON_NATIVE = "python/loads-library", Low, "A program loads a library of machine code",
        "A library runs as soon as it is loaded, and no scanner of programs sees what it does.",
        "Make sure where the library comes from.",
        [114], ["AML.T0011.000", "LLM03:2025"];
    PYTHON_HIDDEN = "python/hidden-name", High, "A program hides what it calls",
        "The name of what is called is put together of pieces, decoded, or taken out of the inside of \
         Python. Programs that have nothing to hide write it down.",
        "Do not import or run the program.",
        [506, 470], ["AML.T0011.000", "AML.T0015", "LLM03:2025"];
    PYTHON_WRITES = "python/writes-outside", High, "A program writes where others run or trust it",
        "Start files, keys and schedules of a user are run or trusted later, without a question.",
        "Do not import or run the program.",
        [506, 73], ["AML.T0011.000", "LLM03:2025"];
    NOTEBOOK_ACTIVE = "notebook/active-content", Medium, "A notebook holds content that runs in a browser",
        "Scripts in outputs and texts run in the page of whoever opens the notebook and trusts it, \
         with the rights of the notebook server.",
        "Clear the outputs before the notebook is trusted.",
        [79, 80], ["LLM03:2025"];
    SHELL_COMMAND = "shell/dangerous-command", Medium, "A script runs a dangerous command",
        "The command runs what it fetches or decodes, opens a shell to another machine, or removes \
         what the system needs.",
        "Read the script before it is run; fetch, check and run in three steps.",
        [494, 78], ["AML.T0050", "LLM03:2025"];
    DOCKERFILE = "dockerfile/weak", Low, "A recipe of an image leaves something to chance",
        "What goes into the image can change, is not checked, stays in it though it is secret, or \
         runs with more rights than it needs.",
        "Pin by digest, check what is fetched, keep secrets out, and name a user.",
        [829, 250], ["LLM03:2025"];
}
