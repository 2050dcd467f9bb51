//! What `--help` shows beside the definitions: examples, groups, exit statuses.

use clap::CommandFactory as _;

use super::{Cli, GROUPS};
use crate::exit::Exit;

/// Returns the clap command with the grouped root help.
pub fn command() -> clap::Command {
    let command = examples_first(Cli::command());
    let help = root_help(&command);
    command.override_help(help)
}

// People read examples first, so they stand before usage and options. A command below another one
// shows those of its parent's examples that are about it.
fn examples_first(command: clap::Command) -> clap::Command {
    let examples = command.get_after_help().map(ToString::to_string);
    let names: Vec<String> = command
        .get_subcommands()
        .map(|sub| sub.get_name().to_owned())
        .collect();
    let parent = command.get_name().to_owned();
    let command =
        command.help_template("{about}{after-help}\n\n{usage-heading} {usage}\n\n{all-args}\n");
    names.into_iter().fold(command, |command, name| {
        command.mut_subcommand(&name, |sub| {
            let words = format!("custos {parent} {name}");
            let own = examples.as_deref().and_then(|text| about(text, &words));
            // `custos help keys generate` is enough; each group would list a `help` of its own.
            let sub = examples_first(sub.disable_help_subcommand(true));
            match own {
                Some(own) => sub.after_help(own),
                None => sub,
            }
        })
    })
}

fn about(examples: &str, words: &str) -> Option<String> {
    let own: Vec<&str> = examples
        .lines()
        .filter(|line| line.trim_start().starts_with(words))
        .collect();
    (!own.is_empty()).then(|| format!("Examples:\n{}", own.join("\n")))
}

fn root_help(command: &clap::Command) -> String {
    let mut text = String::from(
        "Custos: verifiable chain of custody for AI\n\n\
         Examples:\n  \
         custos demo                                   see it all at work, offline\n  \
         custos init && custos keys generate trainer   set up a project\n  \
         custos sign model/ --key trainer              sign a model\n  \
         custos verify model/ --key trainer            check it\n\n\
         Usage: custos [OPTIONS] <COMMAND>\n",
    );
    for (title, names) in GROUPS {
        text.push_str(&format!("\n{title}:\n"));
        for name in names {
            let about = command
                .find_subcommand(name)
                .and_then(clap::Command::get_about)
                .map(ToString::to_string)
                .unwrap_or_default();
            text.push_str(&format!("  {name:<12} {about}\n"));
        }
    }
    text.push_str(
        "\nGlobal options:\n      \
         --home <DIR>                 folder of keys, log and store [default:\n                                   \
         CUSTOS_HOME, the nearest .custos, user data]\n      \
         --format <human|json|...>    how results are written\n      \
         --color <auto|always|never>  when colours are used\n  \
         -q, --quiet                      no progress bars and no remarks\n  \
         -h, --help                       this, or with a command its own help\n  \
         -V, --version                    the version\n\nExit status:\n",
    );
    text.push_str(&Exit::table());
    text
}

pub(super) const INIT_EXAMPLES: &str = "Examples:
  custos init                    in the project's folder
  custos init --dry-run          only show what would be written
  custos init ../other           another project
  custos --home /srv/custos init keep keys, log and store elsewhere";
pub(super) const DOCTOR_EXAMPLES: &str = "Examples:
  custos doctor                  everything, with the command that mends each fault
  custos doctor --format json    for a monitor
  custos --home DIR doctor       another home
  custos doctor -q               no remarks";
pub(super) const DEMO_EXAMPLES: &str = "Examples:
  custos demo                    in a new temporary folder, which is kept
  custos demo --dir /tmp/d       in a folder of your choice
  custos demo --seed 1           train from another seed
  custos demo --format json      the results as JSON";
pub(super) const KEYS_EXAMPLES: &str = "Examples:
  custos keys generate trainer                            asks for a password
  custos keys generate ci --kind ed25519 --no-password    for a guarded machine
  custos keys generate --output-prefix /tmp/k --password-file pw
  custos keys list                                        what there is
  custos keys revoke trainer --since 2026-11-20T14:00:00Z --reason \"laptop stolen\"
  custos keys rotate trainer --no-password                trainer-2 takes over
  custos keys impact trainer                              what rests on its signatures
  custos keys approve trust/proposals/revocations-1.json --key alice
  custos keys public trainer > trainer.pub                what others need";
pub(super) const RUN_EXAMPLES: &str = "Examples:
  custos run --name train --input data --product model --key trainer -- ./train
  custos run --name prep --input raw=in.csv --product clean=out.csv -- ./clean
  custos run --name train --input data --product model --require -- ./train
  custos run --name eval --input model --product e.json --bundles out -- ./eval";
pub(super) const SIGN_EXAMPLES: &str = "Examples:
  custos sign model/ --key trainer                     writes model/model.sig
  custos sign model.gguf --key k8s://ml/cosign-key     one file, a key in a Secret
  custos sign model/ --key trainer --hash blake3       faster on large models
  custos sign release.txt --batch proofs/ --key hsm    many digests, one signature
  custos sign model/ --key k.key --certificate leaf.pem --no-log
  custos sign oci://ghcr.io/org/model@sha256:9f2c... --key trainer";
pub(super) const ATTEST_EXAMPLES: &str = "Examples:
  custos attest data/ --type dataset --predicate dataset.json --key data
  custos attest data/ --type evaluation-plan --predicate plan.json --key qa
  custos attest sha256:9f2c... --type test-result --predicate result.json
  custos attest model/ --type cyclonedx --predicate bom.json --bundle bom.sig
  custos attest oci://ghcr.io/org/model@sha256:9f2c... --type test-result --predicate r.json";
pub(super) const VERIFY_EXAMPLES: &str = "Examples:
  custos verify model/ --key trainer
  custos verify model/ --key k.pub --allow-unlogged --bundle model.sig
  custos verify model/ --certificate-chain ca.pem --certificate-identity SUBJECT
  custos verify f.tgz --trusted-root root.json --certificate-identity SUBJECT \\
      --certificate-oidc-issuer https://accounts.example.com --offline
  custos verify oci://ghcr.io/org/model@sha256:9f2c... --key trainer";
pub(super) const TRACE_EXAMPLES: &str = "Examples:
  custos trace model/                      where it comes from, up to the raw data
  custos trace data/ --down                what was made of it
  custos trace sha256:9f2c... --format json
  custos trace model/ --format dot | dot -Tsvg > lineage.svg";
pub(super) const LOG_EXAMPLES: &str = "Examples:
  custos log checkpoint          size and root, signed
  custos log key                 what others put into their settings
  custos log get 12              entry 12
  custos log proof 12            proof that entry 12 is in the log
  custos log fsck                check everything
  custos log flush               complete what was signed while a service was away
  custos log watch --once        did we sign everything that bears our name
  custos log rebuild             go on after the folder wal/ was lost";
pub(super) const GATE_EXAMPLES: &str = "Examples:
  custos gate package/ --policy starter --key release
  custos gate package/ --policy policy/            your own rules
  custos gate sha256:9f2c... --policy policy/      by digest
  custos gate package/ --bundles out/              the decision, to hand on
  custos gate package/ --format json               for a pipeline";
pub(super) const POLICY_EXAMPLES: &str = "Examples:
  custos policy test policy/                       run its tests
  custos policy check policy/                      look for rules that fail open
  custos policy eval policy/ --query data.custos.gate.deny --input facts.json
  custos policy eval starter --query data.custos.gate.deny";
pub(super) const EXPLAIN_EXAMPLES: &str = "Examples:
  custos explain                 all codes
  custos explain E0107           what it means, and what to do
  custos explain E0301
  custos explain E0107 --format json";
pub(super) const COMPLETIONS_EXAMPLES: &str = "Examples:
  custos completions bash > /etc/bash_completion.d/custos
  custos completions zsh > ~/.zfunc/_custos
  custos completions fish > ~/.config/fish/completions/custos.fish
  custos completions elvish";
pub(super) const MAN_EXAMPLES: &str = "Examples:
  custos man | man -l -          read it now
  custos man man/                a page for each command
  custos man > custos.1
  custos man /usr/local/share/man/man1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_are_sound() {
        command().debug_assert();
    }

    #[test]
    fn every_visible_command_is_in_one_group_and_has_four_examples() {
        let command = command();
        let mut grouped: Vec<&str> = GROUPS
            .iter()
            .flat_map(|(_, names)| names.iter().copied())
            .collect();
        for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
            let at = grouped.iter().position(|name| *name == sub.get_name());
            grouped.remove(at.unwrap_or_else(|| panic!("{} is in no group", sub.get_name())));
            let examples = sub
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            assert!(
                examples.matches("\n  custos ").count() >= 4,
                "{}",
                sub.get_name()
            );
        }
        assert!(grouped.is_empty(), "unknown or repeated: {grouped:?}");
    }
}
