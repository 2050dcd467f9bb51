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
}
