//! `custos init`: a project's home, settings and starter policy. Never overwrites anything.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::args::InitArgs;
use crate::context::Context;
use crate::exit::Exit;
use crate::files::{shown, write_new};
use crate::home::{Home, Origin, PROJECT_HOME};
use crate::settings::PROJECT_FILE;
use crate::term::Role;
use crate::{Failure, Outcome};

/// What is found beside a project, and what it means for Custos.
const NEIGHBOURS: [(&str, &str); 5] = [
    (".git", "Git: steps record revision and dirtiness"),
    (".dvc", "DVC: name its folders with --input and --product"),
    (
        "mlruns",
        "MLflow: sign model folders before they are registered",
    ),
    (
        ".github/workflows",
        "GitHub Actions: `custos verify` and `custos gate` exit 1 on a no",
    ),
    (
        ".gitlab-ci.yml",
        "GitLab CI: `custos verify` and `custos gate` exit 1 on a no",
    ),
];

const SETTINGS: &str = r#"# Settings of Custos for this project. Every key: docs/reference/settings.md.

# Whom verifications expect. Without a signer here or on the command line, nothing verifies:
# there is no "anybody".
#
# [[signer]]
# name = "trainer"
# key = "keys/trainer.pub"          # `custos keys public trainer > keys/trainer.pub`

# Logs to trust, besides this project's own. `custos log key` prints the text.
#
# [[log]]
# key = "..."

# The key that signs when --key is not given.
#
# [signing]
# key = "trainer"

# The declared pipeline, signed with `custos sign pipeline.toml --key owner`.
#
# [pipeline]
# layout = "pipeline.toml"
# signers = ["owner"]

[policy]
gate = "policy"
require = "policy"
"#;

/// Runs the command.
pub fn run(args: &InitArgs, context: &Context) -> Outcome {
    let dir = context.resolve(&args.dir);
    // `custos init` names `.`; messages are easier to read without it.
    let dir = dir.canonicalize().unwrap_or(dir);
    if !dir.is_dir() {
        return Err(Failure::usage("E0003", "there is no such folder").at(shown(&dir)));
    }
    // An explicit --home or CUSTOS_HOME stays where it is; otherwise the project gets its own.
    let home = match context.home() {
        Ok(home) if matches!(home.origin(), Origin::Flag | Origin::Environment) => home,
        _ => Home::at(dir.join(PROJECT_HOME), Origin::Project),
    };
    let mut files = vec![(dir.join(PROJECT_FILE), SETTINGS.to_owned())];
    for file in custos_policy::starter::FILES {
        files.push((dir.join("policy").join(file.path), file.text.to_owned()));
    }
    let (new, kept): (Vec<_>, Vec<_>) = files.into_iter().partition(|(path, _)| !path.exists());
    if !args.dry_run {
        home.create()?;
        write_all(&new)?;
    }
    report(args, context, &dir, &Written { home, new, kept })
}

struct Written {
    home: Home,
    new: Vec<(PathBuf, String)>,
    kept: Vec<(PathBuf, String)>,
}

fn write_all(files: &[(PathBuf, String)]) -> Result<(), Failure> {
    for (path, text) in files {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(|error| Failure::io(shown(parent), &error))?;
        }
        write_new(path, text.as_bytes(), 0o644)?;
    }
    Ok(())
}

fn report(args: &InitArgs, context: &Context, dir: &Path, written: &Written) -> Outcome {
    let verb = if args.dry_run { "would write" } else { "wrote" };
    let term = &context.term;
    let short = |path: &Path| shown(path.strip_prefix(dir).unwrap_or(path));
    let mut human = format!(
        "home         {} ({})\n",
        term.paint(Role::Literal, &shown(written.home.root())),
        written.home.origin().describe(),
    );
    for (path, text) in &written.new {
        let lines = text.lines().count();
        human.push_str(&format!(
            "{verb:<12} {} (+{lines} lines)\n",
            term.paint(Role::Literal, &short(path))
        ));
    }
    for (path, _) in &written.kept {
        human.push_str(&format!("{:<12} {}\n", "kept", short(path)));
    }
    let found: Vec<&str> = NEIGHBOURS
        .iter()
        .filter(|(name, _)| dir.join(name).exists())
        .map(|(_, meaning)| *meaning)
        .collect();
    for meaning in &found {
        human.push_str(&format!("{:<12} {meaning}\n", "found"));
    }
    if !args.dry_run {
        human.push_str(&format!(
            "\nnext: {}\n      then list its public key as a [[signer]] in {PROJECT_FILE}\n",
            term.paint(Role::Good, "custos keys generate NAME"),
        ));
    }
    term.result(
        &human,
        &json!({
            "schema": "custos.init/1",
            "dryRun": args.dry_run,
            "home": shown(written.home.root()),
            "written": written.new.iter().map(|(path, _)| shown(path)).collect::<Vec<_>>(),
            "kept": written.kept.iter().map(|(path, _)| shown(path)).collect::<Vec<_>>(),
            "found": found,
        }),
    )?;
    Ok(Exit::Yes)
}
