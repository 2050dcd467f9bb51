//! Help, likely mistakes, completions, man pages, explanations.

use crate::sandbox::Sandbox;

const COMMANDS: [&str; 17] = [
    "scan",
    "init",
    "doctor",
    "demo",
    "keys",
    "run",
    "sign",
    "attest",
    "verify",
    "trace",
    "log",
    "evidence",
    "explain",
    "gate",
    "policy",
    "completions",
    "man",
];

#[test]
fn root_help_has_examples_groups_and_exit_statuses() {
    let said = Sandbox::new().run(&["--help"]).ok();
    let at = |text: &str| {
        said.stdout
            .find(text)
            .unwrap_or_else(|| panic!("no {text}"))
    };
    assert!(at("Examples:") < at("Usage:"));
    for group in ["Start:", "Record:", "Check:", "Decide:", "Help:"] {
        at(group);
    }
    for line in [
        "0    yes",
        "1    no",
        "2    wrong",
        "3    could not decide",
        "4    integrity alarm",
    ] {
        at(line);
    }
}

#[test]
fn every_command_help_starts_with_four_examples() {
    let sandbox = Sandbox::new();
    for command in COMMANDS {
        let help = sandbox.run(&[command, "--help"]).ok().stdout;
        let (examples, usage) = (help.find("Examples:"), help.find("Usage:"));
        assert!(examples.is_some() && examples < usage, "{command}:\n{help}");
        assert!(
            help.matches("\n  custos ").count() >= 4,
            "{command}:\n{help}"
        );
    }
}

#[test]
fn mistakes_are_answered_with_advice() {
    let sandbox = Sandbox::new();
    let said = sandbox.run(&["verfy", "x"]);
    assert_eq!(said.status, 2);
    said.says("verify");
    assert_eq!(sandbox.run::<&str>(&[]).status, 2);
    sandbox
        .run(&["sign", "nothing-here", "--key", "k"])
        .failed(2, "E0701")
        .says("keys generate");
    sandbox.model("m");
    sandbox.run(&["sign", "m"]).failed(2, "E0705").says("--key");
    sandbox
        .run(&["verify", "m"])
        .failed(2, "E0110")
        .says("[[signer]]");
    sandbox.run(&["explain", "E9999"]).failed(2, "E0002");
}

#[test]
fn version_completions_man_and_explain_work() {
    let sandbox = Sandbox::new();
    sandbox.run(&["--version"]).ok().says("custos 0.");
    for shell in ["bash", "zsh", "fish"] {
        sandbox.run(&["completions", shell]).ok().says("custos");
    }
    sandbox.run(&["man"]).ok().says(".TH custos 1");
    sandbox.run(&["man", "pages"]).ok();
    assert!(sandbox.path("pages/custos-verify.1").is_file());
    assert!(sandbox.path("pages/custos-log-proof.1").is_file());
    assert!(!sandbox.path("pages/custos-demo-step.1").exists());
    sandbox
        .run(&["explain", "E0107"])
        .ok()
        .says("does not belong to this signature");
}

#[test]
fn failures_are_json_too_and_secrets_never_colour_the_output() {
    let sandbox = Sandbox::new();
    let said = sandbox.json(&["verify", "nothing"]);
    assert_eq!(said.status, 2);
    assert_eq!(said.json()["schema"], "custos.error/1");
    let mut plain = sandbox.command(&["--color", "always", "explain"]);
    let plain = crate::sandbox::finish({
        plain.env("NO_COLOR", "1");
        plain
    });
    assert!(
        plain.stdout.contains('\u{1b}'),
        "an explicit --color wins over NO_COLOR"
    );
    assert!(!sandbox.run(&["explain"]).ok().stdout.contains('\u{1b}'));
}

#[test]
fn init_writes_once_and_never_overwrites() {
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.path("p")).unwrap();
    sandbox
        .run(&["init", "p", "--dry-run"])
        .ok()
        .says("would write");
    assert!(!sandbox.path("p/custos.toml").exists());
    sandbox.run(&["init", "p"]).ok().says("custos.toml");
    let settings = sandbox.read("p/custos.toml");
    sandbox.write("p/custos.toml", format!("# mine\n{settings}"));
    sandbox.run(&["init", "p"]).ok().says("kept");
    assert!(sandbox.read("p/custos.toml").starts_with("# mine"));
    sandbox.run(&["policy", "test", "p/policy"]).ok();
    sandbox.run(&["init", "missing"]).failed(2, "E0003");
}

#[test]
fn doctor_names_what_is_wrong_and_how_to_mend_it() {
    let sandbox = Sandbox::with_keys(&["k"]);
    sandbox.model("m");
    sandbox.run(&["sign", "m", "--key", "k"]).ok();
    let said = sandbox.json(&["doctor"]).ok();
    let checks = said.json()["checks"].as_array().unwrap().clone();
    assert!(checks.len() >= 6, "{}", said.stdout);
    let key = sandbox.path("home/keys/k.key");
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let said = sandbox.run(&["doctor"]);
    said.says("chmod 600");
}
