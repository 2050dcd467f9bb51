//! What people get wrong, and what strange machines do: each is answered in the form of all
//! errors, with the right status, and never with a yes that was not found out.

use std::os::unix::ffi::OsStrExt as _;
use std::process::Stdio;

use crate::sandbox::{Sandbox, finish, words};

fn signed() -> Sandbox {
    let sandbox = Sandbox::with_keys(&["k", "other"]);
    sandbox.model("m");
    sandbox.line("sign m --key k").ok();
    sandbox
}

#[test]
fn usage_errors_have_a_code_and_advice_and_are_json_on_request() {
    let sandbox = Sandbox::with_keys(&["k"]);
    for (line, advice) in [
        ("verfy m", "'verify'"),
        ("verify", "<ARTIFACT>"),
        ("verify m --typ x", "'--type'"),
        ("run --name x --product y true", "behind `--`"),
        ("keys generate k --kind rsa", "p256, p384, p521, ed25519"),
        ("log get -1", "custos log --help"),
        ("completions tcsh", "fish"),
        ("--format xml verify m", "json"),
        (
            "attest m --type datset --predicate p --key k",
            "dataset, decision",
        ),
        ("verify m --key k --format dot", "custos trace"),
    ] {
        sandbox.model("m");
        sandbox.line(line).failed(2, "E0002").says(advice);
        if !line.contains("--format") {
            let said = sandbox.json(&words(line));
            let json = said.json();
            assert_eq!(json["schema"], "custos.error/1", "{line}");
            assert_eq!(json["exit"], 2, "{line}");
        }
    }
    let said = sandbox.json::<&str>(&[]);
    assert_eq!(said.json()["code"], "E0002");
    // What belongs to the step says nothing about the format of the answer.
    let said = sandbox.line("run --name x -- cmd --format json");
    assert_eq!((said.status, said.stdout.as_str()), (2, ""));
}

#[test]
fn help_is_where_people_look_for_it_and_fits_a_terminal() {
    let sandbox = Sandbox::new();
    assert_eq!(
        sandbox.line("help verify").ok().stdout,
        sandbox.line("verify --help").ok().stdout
    );
    assert_eq!(
        sandbox.line("help").ok().stdout,
        sandbox.line("--help").ok().stdout
    );
    for line in [
        "--help",
        "run --help",
        "sign --help",
        "verify --help",
        "gate --help",
        "attest --help",
        "keys --help",
        "keys generate --help",
        "policy eval --help",
        "log proof --help",
    ] {
        let mut command = sandbox.command(&words(line));
        command.env("COLUMNS", "80");
        let help = finish(command).ok().stdout;
        assert!(help.contains("Examples:\n  custos "), "{line}:\n{help}");
        // Usage lines are the parser's own, and it does not fold them.
        for text in help.lines().filter(|text| !text.starts_with("Usage:")) {
            assert!(text.chars().count() <= 80, "{line}: {text}");
        }
    }
}

#[test]
fn a_pipe_that_closes_early_turns_no_answer_into_another() {
    let sandbox = signed();
    sandbox.write(
        "no/gate.rego",
        "package custos.gate\nimport rego.v1\ndefault allow := false\n",
    );
    for (line, status) in [
        ("verify m --key k", 0),
        ("verify m --key other", 1),
        ("--format json verify m --key other", 1),
        ("gate m --policy no --key k", 1),
        ("doctor", 0),
        ("explain", 0),
        ("--help", 0),
        ("man", 0),
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = sandbox.command(&words(line));
        command.stdout(writer).stderr(Stdio::null());
        assert_eq!(command.status().unwrap().code(), Some(status), "{line}");
    }
    // A result that nobody can read is not a yes either, if the reader did not choose so.
    for line in ["verify m --key k", "--help"] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
        let mut command = sandbox.command(&words(line));
        command.stdout(full.unwrap()).stderr(Stdio::null());
        assert_eq!(command.status().unwrap().code(), Some(3), "{line}");
    }
}

#[test]
fn names_that_are_no_utf_8_end_in_no_panic() {
    let sandbox = Sandbox::with_keys(&["k"]);
    let odd = sandbox.root().join(std::ffi::OsStr::from_bytes(b"d\xff"));
    std::fs::create_dir(&odd).unwrap();
    std::fs::write(odd.join("f"), "1").unwrap();
    for line in [
        "init",
        "sign f --key k",
        "verify f --key k",
        "doctor",
        "attest f --type https://example.com/p --predicate p.json --key k",
        "run --name s --input f --product o --key k -- cp f o",
        "trace o",
        "keys generate --output-prefix pair --no-password",
        "demo --dir x/y --seed 1 --format dot",
    ] {
        std::fs::write(odd.join("p.json"), "{}").unwrap();
        for json in [true, false] {
            let mut all = words(line);
            if json && !line.contains("--format") {
                all.splice(0..0, words("--format json"));
            }
            let mut command = sandbox.command(&all);
            command.current_dir(&odd);
            let said = finish(command);
            assert!((0..=3).contains(&said.status), "{line}: {}", said.stderr);
        }
    }
    let mut command = sandbox.command(&["sign"]);
    command.arg(&odd);
    finish(command).failed(2, "E0002").says("UTF-8");
    sandbox.write("t/g", "1");
    let name = std::ffi::OsStr::from_bytes(b"h\xff");
    std::fs::write(sandbox.path("t").join(name), "1").unwrap();
    sandbox.line("sign t --key k").failed(1, "E0201");
}

#[test]
fn a_bare_name_is_a_key_of_the_home_and_no_file_that_lies_about() {
    let sandbox = signed();
    // Somebody who can put a file beside the model names it like the expected key.
    sandbox.write("k", sandbox.read("home/keys/other.pub"));
    sandbox.line("sign m --key other --bundle forged.sig").ok();
    sandbox
        .line("verify m --key k --bundle forged.sig")
        .failed(1, "E0108");
    sandbox.line("verify m --key k").ok();
    sandbox.write("nobody", sandbox.read("home/keys/other.pub"));
    sandbox
        .line("verify m --key nobody --bundle forged.sig")
        .failed(2, "E0701")
        .says("./nobody");
    sandbox
        .line("verify m --key ./nobody --bundle forged.sig")
        .ok();
    // The same for a log's key: the text is the key.
    let key = sandbox.line("log key").ok().stdout;
    sandbox.write(key.trim(), "custos.local/evil+00000000+AAAA");
    sandbox
        .line(&format!("verify m --key k --log-key {}", key.trim()))
        .ok();
}

#[test]
fn settings_are_never_passed_over() {
    let sandbox = signed();
    // A file that is no home's settings is not read as such where there is no home.
    sandbox.write("bare/config.toml", "nonsense = true\n");
    sandbox.write("bare/pair.pub", sandbox.read("home/keys/k.pub"));
    let mut command = sandbox.command(&["verify", "../m", "--key", "pair.pub", "--allow-unlogged"]);
    command
        .current_dir(sandbox.path("bare"))
        .env_remove("CUSTOS_HOME")
        .env_remove("HOME")
        .env_remove("XDG_DATA_HOME");
    std::fs::remove_file(sandbox.path("custos.toml")).unwrap();
    let said = finish(command);
    assert!(!said.stderr.contains("nonsense"), "{}", said.stderr);
    // A folder of that name, or a link to nothing, is not the same as no settings.
    std::fs::create_dir(sandbox.path("custos.toml")).unwrap();
    sandbox.line("verify m --key k").failed(2, "E0003");
    std::fs::remove_dir(sandbox.path("custos.toml")).unwrap();
    std::os::unix::fs::symlink("nowhere", sandbox.path("custos.toml")).unwrap();
    sandbox.line("verify m --key k").failed(2, "E0003");
}

#[test]
fn every_setting_does_what_its_page_says() {
    let sandbox = signed();
    let settings = sandbox.read("custos.toml");
    sandbox.write("deep/er/x", "1");
    sandbox.write("ok/gate.rego", ALLOW);
    std::fs::copy(
        sandbox.path("home/keys/other.key"),
        sandbox.path("other.key"),
    )
    .unwrap();
    let with = |more: &str| sandbox.write("custos.toml", format!("{settings}\n{more}"));
    let below = |line: &str| {
        let mut command = sandbox.command(&words(line));
        command.current_dir(sandbox.path("deep/er"));
        finish(command)
    };
    below("sign x").failed(2, "E0705");
    with("[signing]\nkey = \"k\"\n");
    below("sign x").ok();
    below("verify x --key k").ok();
    // A path starts at the folder of the settings, wherever the command runs.
    with("[signing]\nkey = \"./other.key\"\n");
    below("sign x").ok();
    below("verify x --key other").ok();
    below("gate x --key k")
        .failed(2, "E0002")
        .says("[policy] gate");
    with("[policy]\ngate = \"ok\"\n");
    let said = below("--format json gate x --key k").ok().json();
    assert_eq!(said["policy"]["name"], "ok", "no path of this machine");
    let run = "run --name s --input x --product y --require --key k -- cp x y";
    below(run).failed(2, "E0002").says("[policy] require");
    with("[policy]\nrequire = \"ok\"\n");
    // That policy says nothing about inputs, which is never a yes.
    let said = below(run);
    assert!(said.stderr.contains("error[E0301]"), "{}", said.stderr);
    with("[[log]]\nkey = \"nonsense\"\n");
    below("verify x").failed(2, "E0011");
    with("[trust]\nauthorities = [\"nowhere.pem\"]\n");
    below("verify x").failed(2, "E0003").says("nowhere.pem");
    with("[trust]\nsigstore_root = \"nowhere.json\"\n");
    below("verify x").failed(2, "E0003").says("nowhere.json");
    with("[pipeline]\nlayout = \"nowhere.toml\"\nsigners = [\"k\"]\n");
    below("gate x --policy ../../ok --key k").failed(2, "E0003");
    with("[[signer]]\nname = \"k\"\nkey = \"home/keys/k.pub\"\n");
    below("verify x").failed(2, "E0011").says("two signers");
}

#[test]
fn the_home_is_where_the_page_says() {
    let sandbox = Sandbox::new();
    std::fs::create_dir_all(sandbox.path("p/.custos")).unwrap();
    std::fs::create_dir_all(sandbox.path("p/sub")).unwrap();
    let home = |envs: &[(&str, &str)], cwd: &str, flag: &[&str]| {
        let mut args: Vec<&str> = flag.to_vec();
        args.extend(["--format", "json", "doctor"]);
        let mut command = sandbox.command(&args);
        command
            .env_remove("CUSTOS_HOME")
            .env_remove("XDG_DATA_HOME");
        command.env_remove("HOME").current_dir(sandbox.path(cwd));
        command.envs(envs.iter().copied());
        let json = finish(command).json();
        let checks = json["checks"].as_array().cloned().unwrap_or_default();
        let found = checks.iter().find(|one| one["name"] == "home");
        found.map_or_else(String::new, |one| {
            one["detail"].as_str().unwrap().to_owned()
        })
    };
    let env = [("CUSTOS_HOME", "/nowhere/env"), ("HOME", "/nowhere/u")];
    assert!(home(&env, "p/sub", &["--home", "/nowhere/flag"]).starts_with("/nowhere/flag "));
    assert!(home(&env, "p/sub", &[]).starts_with("/nowhere/env "));
    assert!(home(&env[1..], "p/sub", &[]).contains("/p/.custos "));
    assert!(home(&[("CUSTOS_HOME", "")], "p/sub", &[]).contains("/p/.custos "));
    assert!(home(&env[1..], ".", &[]).starts_with("/nowhere/u/.local/share/custos "));
    let data = [("XDG_DATA_HOME", "/nowhere/data"), env[1]];
    assert!(home(&data, ".", &[]).starts_with("/nowhere/data/custos "));
    assert_eq!(home(&[("HOME", "relative")], ".", &[]), "");
    let file = sandbox.write("file", "x");
    let file = [("CUSTOS_HOME", file.to_str().unwrap())];
    assert!(home(&file, ".", &[]).contains("is not a folder"));
}

#[test]
fn the_lines_that_generate_prints_can_be_pasted_anywhere() {
    let sandbox = Sandbox::new();
    std::fs::create_dir_all(sandbox.path("p/sub")).unwrap();
    let at = |folder: &str, line: &str| {
        let mut command = sandbox.command(&words(line));
        command
            .env_remove("CUSTOS_HOME")
            .current_dir(sandbox.path(folder));
        finish(command)
    };
    at("p", "init").ok();
    let said = at("p/sub", "keys generate k --no-password").ok().stdout;
    let lines: Vec<&str> = said
        .lines()
        .skip_while(|line| !line.contains("[[signer]]"))
        .map(str::trim)
        .collect();
    let lines = lines.join("\n");
    let settings = sandbox.read("p/custos.toml");
    sandbox.write("p/custos.toml", format!("{settings}\n{lines}"));
    sandbox.write("p/sub/f", "1");
    at("p/sub", "trace f").failed(3, "E0601");
    at("p/sub", "sign f --key k").ok();
    at("p", "verify sub/f").ok();
    at("p", "trace sub/f")
        .failed(1, "E0603")
        .says("custos verify");
    at("p", "run --name s --product g --key k -- touch g").ok();
    at("p/sub", "trace ../g").ok();
}

#[test]
fn nobody_expected_is_answered_with_what_that_command_takes() {
    let sandbox = signed();
    sandbox.write("custos.toml", "");
    for line in ["trace m", "gate m --policy starter --key k"] {
        let said = sandbox.line(line).failed(2, "E0110");
        assert!(said.stderr.contains("custos.toml"), "{}", said.stderr);
        assert!(!said.stderr.contains("pass --key"), "{}", said.stderr);
    }
}

#[test]
fn what_may_not_be_read_is_undecided() {
    use std::os::unix::fs::PermissionsExt as _;
    let sandbox = signed();
    let mode = |name: &str, mode| {
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(sandbox.path(name), mode).unwrap();
    };
    mode("m/config.json", 0);
    if std::fs::File::open(sandbox.path("m/config.json")).is_ok() {
        // Nothing is forbidden to an administrator.
        return;
    }
    sandbox.line("sign m --key k").failed(3, "E0004");
    sandbox.line("verify m --key k").failed(3, "E0004");
    mode("m/config.json", 0o644);
    mode("m", 0o600);
    sandbox.line("verify m --key k").failed(3, "E0004");
    mode("m", 0o755);
    mode("custos.toml", 0);
    sandbox.line("verify m --key k").failed(3, "E0004");
}

#[test]
fn a_policy_that_is_too_large_is_not_cut() {
    let sandbox = signed();
    sandbox.write("deep/gate.rego", ALLOW);
    let below = "d/".repeat(12);
    sandbox.write(&format!("deep/{below}deny.rego"), "package custos.gate\n");
    sandbox
        .line("policy check deep")
        .failed(2, "E0501")
        .says("folders deep");
    // The data of a policy may be larger than a file of rules.
    sandbox.write("data/gate.rego", ALLOW);
    let large = format!("{{\"words\":\"{}\"}}", "x".repeat(1 << 20));
    sandbox.write("data/data.json", large);
    sandbox.line("policy check data").ok();
}

const ALLOW: &str = "package custos.gate\nimport rego.v1\n\ndefault allow := false\n\n\
                     allow if count(deny) == 0\n\n\
                     deny contains \"not a gate\" if input.request.action != \"gate\"\n";
