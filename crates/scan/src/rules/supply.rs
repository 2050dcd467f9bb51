//! Rules about dependencies and secrets.

use super::rules;

rules! {
    SECRET_SERVICE = "secret/service-token", High, "A token of a service lies open",
        "Whoever can read the file can act as whoever made the token. Models, notebooks and \
         configurations are copied to places where nobody looks for secrets.",
        "Revoke the token, make a new one, and keep it in a secret store; removing it from the file \
         does not remove it from its copies.",
        [798, 312], ["AML.T0055", "LLM02:2025"];
    SECRET_CLOUD = "secret/cloud-key", High, "A key of a cloud account lies open",
        "Whoever can read the file can use the account: its data, and its bill.",
        "Revoke the key, look into the log of the account, and give programs roles in place of keys.",
        [798, 312], ["AML.T0055", "LLM02:2025"];
    SECRET_PRIVATE_KEY = "secret/private-key", High, "A private key lies open",
        "Whoever can read the file can sign, decrypt or log in with it. A key that is encrypted, or \
         lies among tests, is reported as low.",
        "Replace the key, and revoke what was issued for it.",
        [321, 312], ["AML.T0055", "LLM02:2025"];
    SECRET_PASSWORD = "secret/password-in-url", Medium, "A URL holds a password",
        "The password goes wherever the URL goes: files, logs, history of commands.",
        "Change the password, and keep it out of the URL.",
        [522, 312], ["AML.T0055", "LLM02:2025"];
    SECRET_WEB_TOKEN = "secret/web-token", Medium, "A JSON web token lies open",
        "The token is whole: whoever can read the file can present it until it expires. One that \
         expires is reported as low.",
        "Revoke it, or the session that it is of.",
        [522, 312], ["AML.T0055", "LLM02:2025"];
    SECRET_ASSIGNMENT = "secret/assigned", Medium, "A value has the name of a secret and looks random",
        "A name such as `api_key` or `password` is given a value that looks like a real one. Only \
         somebody who knows the program can tell.",
        "If it is a secret, replace it and read it from the environment or a secret store.",
        [798, 312], ["AML.T0055", "LLM02:2025"];
    MALICIOUS = "supply/malicious-package", Critical, "A dependency is a known malicious package",
        "An advisory says that the package was made to hurt whoever installs it. Installing is enough: \
         packages run code when they are built or imported.",
        "Remove it, and treat machines that have installed it as taken over.",
        [506], ["AML.T0010", "LLM03:2025", "ML06:2023"];
    VULNERABLE = "supply/known-vulnerability", Medium, "A dependency has a known vulnerability",
        "The version that is named is affected by a published advisory. How bad it is, the advisory \
         says; whether the vulnerable part is used, it cannot know.",
        "Use the fixed version that the message names, or argue in a suppression why it does not matter.",
        [1395], ["AML.T0010", "LLM03:2025", "ML06:2023"];
    YANKED = "supply/yanked", Medium, "A dependency was withdrawn by its makers",
        "Its makers took this version back: it is broken, or worse.",
        "Use another version.",
        [1104], ["AML.T0010", "LLM03:2025"];
    TYPOSQUAT = "supply/lookalike-name", Medium, "A dependency has a name that is easily mistaken",
        "The name is that of a much used package but for a letter, a separator, or signs that only \
         look alike. Packages with such names are published to be installed by mistake.",
        "Compare the name with that of the package that was meant.",
        [1357], ["AML.T0010", "LLM03:2025", "ML06:2023"];
    FOREIGN_NAME = "supply/foreign-letters", Medium, "A dependency has letters that no name has",
        "Names of packages are plain ASCII. Other letters are there to look like them.",
        "Type the name anew.",
        [1007], ["AML.T0010", "LLM03:2025"];
    CONFUSION = "supply/dependency-confusion", High, "An internal name may come from a public index",
        "Whoever registers the internal name on the public index, with a higher version, has their \
         package installed in place of the internal one.",
        "Name the internal index as the only one (`--index-url`), or tie the name to it.",
        [427, 1357], ["AML.T0010", "LLM03:2025", "ML06:2023"];
    EXTRA_INDEX = "supply/extra-index", Medium, "A second index is asked for every package",
        "All indexes have equal right: a name that is meant from one can be taken over on another.",
        "Use one index that mirrors what is needed, or tie names to their index.",
        [427, 1357], ["AML.T0010", "LLM03:2025"];
    INSECURE_INDEX = "supply/insecure-transport", Medium, "Dependencies come over a connection that anybody can change",
        "Without TLS, or with a host whose certificate is not checked, whoever is on the way chooses \
         what is installed.",
        "Use https, and remove `--trusted-host`.",
        [319, 494], ["AML.T0010", "LLM03:2025"];
    DIRECT = "supply/direct-reference", Medium, "A dependency is whatever a URL or a branch holds today",
        "Neither a hash nor a commit says what it has to be, so that it can be another one tomorrow.",
        "Name the commit in full, or add the SHA-256 of the file to the URL.",
        [494, 1357], ["AML.T0010", "LLM03:2025"];
    SHELL = "supply/shell-in-requirement", High, "A requirement holds commands of a shell",
        "Requirements of models have been handed to a shell by the tools that install them; signs \
         that mean something to a shell have no other use in a requirement.",
        "Do not install it.",
        [78], ["AML.T0010", "AML.T0011", "LLM03:2025"];
    REMOTE_LIST = "supply/remote-list", Medium, "A list of requirements is fetched when it is used",
        "What is installed is decided by whoever answers the URL at that time.",
        "Keep the list beside the file that includes it.",
        [494], ["AML.T0010", "LLM03:2025"];
    RECORD_PATH = "supply/record-path", Medium, "A package lists files outside of its place",
        "The list of installed files names one by an absolute path, or by one that leads out of where \
         packages are installed. Scripts lie a few levels up; nothing else does.",
        "Find out what the file is and why the package brings it.",
        [22], ["AML.T0010", "LLM03:2025"];
    RECORD_DIGEST = "supply/record-digest", Medium, "A file is not what its package recorded",
        "The package lists its files with their digests, and this one has another, or is not listed \
         at all: it was changed or put in after the package was made.",
        "Install the package again, and find out what changed it.",
        [345, 354], ["AML.T0010", "LLM03:2025"];
    UNBOUNDED = "supply/any-version", Low, "Any version of a dependency may be installed",
        "What is installed depends on the day: a version that is published tomorrow, by whoever has \
         taken over the package, is installed tomorrow.",
        "Say which versions are meant; lock them, with hashes, for what is deployed.",
        [1357], ["AML.T0010", "LLM03:2025"];
    UNPINNED = "supply/unpinned", Info, "More than one version of a dependency may be installed",
        "What is installed depends on the day.",
        "Lock versions, with hashes, for what is deployed.",
        [1357], ["AML.T0010", "LLM03:2025"];
    UNHASHED = "supply/unhashed", Info, "No hash says what a dependency has to be",
        "The version is named, and the index decides what it is.",
        "Add hashes (`pip-compile --generate-hashes`, or a lock file).",
        [353], ["AML.T0010", "LLM03:2025"];
}
