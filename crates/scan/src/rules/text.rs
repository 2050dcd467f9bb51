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
}
