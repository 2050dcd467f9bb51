//! `custos demo`: a real pipeline from raw data to a gated model, and four attacks on it.
//!
//! Every line is what a user would type: the demo runs this binary's own commands as processes in
//! a project and home of its own, and reads their JSON results. It has no way into the other rooms
//! that a user does not have.

mod attacks;
mod child;
mod project;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::args::DemoArgs;
use crate::context::Context;
use crate::exit::Exit;
use crate::files::shown;
use crate::progress::Bar;
use crate::system::Stopwatch;
use crate::term::{Format, Role, visible};
use crate::{Failure, Outcome};

use attacks::Attack;
use child::Custos;
use project::Project;

/// Runs the command.
pub fn run(args: &DemoArgs, context: &Context) -> Outcome {
    let clock = Stopwatch::start();
    let dir = folder(args, context)?;
    let project = Project::create(&dir)?;
    let demo = Demo {
        context,
        custos: Custos::new(project.root())?,
        project,
        seed: args.seed,
    };
    demo.introduce()?;
    let steps = demo.pipeline()?;
    let gate = demo.gate()?;
    let attacks = demo.attacks()?;
    let lineage = demo.lineage()?;
    demo.conclude(clock, &attacks)?;
    if context.term.format() == Format::Json {
        context.term.result(
            "",
            &json!({
                "schema": "custos.demo/1",
                "dir": shown(&dir),
                "steps": steps,
                "gate": gate,
                "attacks": attacks.iter().map(Attack::to_json).collect::<Vec<_>>(),
                "lineage": lineage,
            }),
        )?;
    }
    if gate["verdict"] == "allow" && attacks.iter().all(Attack::was_stopped) {
        Ok(Exit::Yes)
    } else {
        Err(Failure::no("E0001", "the demo did not end as it should").at(shown(&dir)))
    }
}

// The first reason of each code, with the number of the others of that code.
fn alike(reasons: &Value) -> Vec<(&Value, usize)> {
    let mut found: Vec<(&Value, usize)> = Vec::new();
    for reason in reasons.as_array().into_iter().flatten() {
        match found
            .iter_mut()
            .find(|(one, _)| one["code"] == reason["code"])
        {
            Some((_, more)) => *more = more.saturating_add(1),
            None => found.push((reason, 0)),
        }
    }
    found
}

// A new folder that is kept, so that the reader can look around afterwards.
fn folder(args: &DemoArgs, context: &Context) -> Result<PathBuf, Failure> {
    let io = |path: &Path, error: &std::io::Error| Failure::io(shown(path), error);
    if let Some(dir) = &args.dir {
        let dir = context.resolve(dir);
        std::fs::create_dir_all(&dir).map_err(|error| io(&dir, &error))?;
        let mut entries = std::fs::read_dir(&dir).map_err(|error| io(&dir, &error))?;
        return match entries.next() {
            None => Ok(dir),
            Some(_) => {
                Err(Failure::usage("E0008", "the folder for the demo is not empty").at(shown(&dir)))
            }
        };
    }
    let base = crate::system::temporary();
    (1..1000_u32)
        .map(|n| base.join(format!("custos-demo-{}-{n}", std::process::id())))
        .find_map(|dir| match std::fs::create_dir(&dir) {
            Ok(()) => Some(Ok(dir)),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => None,
            Err(error) => Some(Err(io(&dir, &error))),
        })
        .unwrap_or_else(|| {
            Err(Failure::undecided(
                "E0004",
                "no free name for a temporary folder",
            ))
        })
}

/// A demo under way.
pub struct Demo<'a> {
    context: &'a Context,
    custos: Custos,
    project: Project,
    seed: u64,
}

impl Demo<'_> {
    fn heading(&self, text: &str) -> Result<(), Failure> {
        let term = &self.context.term;
        term.say(&format!("\n{}\n", term.paint(Role::Strong, text)))
    }

    fn introduce(&self) -> Result<(), Failure> {
        let term = &self.context.term;
        term.say(&format!(
            "{}\nA picture and its name, in one forward pass, tell the group of an emoji.\n\
             Data: {} real files, vendored, digests recorded\nProject: {}\n",
            term.paint(Role::Strong, "Custos demo: from raw data to a gated model"),
            self.project.raw_files(),
            term.paint(Role::Literal, &self.project.root().display().to_string()),
        ))?;
        self.heading("Keys, settings, a signed layout")?;
        for name in project::KEYS {
            self.custos
                .must(&["keys", "generate", name, "--no-password"])?;
        }
        self.project.write_settings()?;
        let signed = self
            .custos
            .must(&["sign", "pipeline.toml", "--key", "owner"])?;
        self.project.commit();
        term.say(&format!(
            "  five people with a key each; the layout says who may sign which step\n  \
             pipeline.toml signed by owner{}\n",
            self.logged(signed.number("/logIndex")),
        ))
    }

    fn logged(&self, index: Option<u64>) -> String {
        index.map_or_else(String::new, |index| {
            format!(
                "  {}",
                self.context
                    .term
                    .paint(Role::Faint, &format!("log #{index}"))
            )
        })
    }

    fn pipeline(&self) -> Result<Vec<Value>, Failure> {
        self.heading("The pipeline: every step a process, every step a signed statement")?;
        self.attest(("raw", "dataset", "data"), &self.project.raw_dataset()?)?;
        let mut results = Vec::new();
        for step in custos_multimodal::STEPS {
            if step.name == "evaluate" {
                // The bar is written down, signed and logged before anybody knows the result.
                let plan = self.project.evaluation_plan()?;
                self.attest(("features", "evaluation-plan", "evaluator"), &plan)?;
            }
            results.push(self.step(step)?);
            match step.name {
                "ingest" => self.attest(("ingest", "dataset", "data"), &self.project.dataset()?)?,
                "evaluate" => {
                    let evaluation = self.project.evaluation()?;
                    self.attest(("train", "evaluation", "evaluator"), &evaluation)?;
                }
                _ => {}
            }
        }
        let signed = self.custos.must(&["sign", "package", "--key", "release"])?;
        self.context.term.say(&format!(
            "  {:<11} OpenSSF Model Signing, package/model.sig{}\n",
            "sign",
            self.logged(signed.number("/logIndex")),
        ))?;
        Ok(results)
    }

    fn step(&self, step: &custos_multimodal::Step) -> Result<Value, Failure> {
        let line = Project::step_command(step, &self.custos, self.seed);
        let args: Vec<&str> = line.iter().map(String::as_str).collect();
        let term = &self.context.term;
        let answer = {
            let _waiting = Bar::waiting(term, step.name);
            self.custos.must(&args)?
        };
        let seconds = answer.json["seconds"].as_f64().unwrap_or_default();
        term.say(&format!(
            "  {:<11} {seconds:>4.1} s  {}{}\n",
            step.name,
            step.about,
            self.logged(answer.number("/provenance/logIndex")),
        ))?;
        if step.name == "evaluate" {
            term.say(&self.project.accuracy_table()?)?;
        }
        Ok(answer.json)
    }

    // What is said of what, and by whom.
    fn attest(
        &self,
        (path, kind, key): (&str, &str, &str),
        predicate: &Path,
    ) -> Result<(), Failure> {
        let predicate = predicate.display().to_string();
        let answer = self.custos.must(&[
            "attest",
            path,
            "--type",
            kind,
            "--predicate",
            &predicate,
            "--key",
            key,
        ])?;
        self.context.term.say(&format!(
            "  {:<11} {kind} statement about {path}, by {key}{}\n",
            "attest",
            self.logged(answer.number("/logIndex")),
        ))
    }

    fn gate(&self) -> Result<Value, Failure> {
        self.heading("The gate: a decision by policy, itself signed and logged")?;
        let answer = self.custos.ask(&["gate", "package", "--key", "release"])?;
        let term = &self.context.term;
        let verdict = answer.text("/verdict");
        let role = if verdict == "allow" {
            Role::Good
        } else {
            Role::Bad
        };
        term.say(&format!(
            "  custos gate package   {}{}\n",
            term.paint(role, &verdict.to_uppercase()),
            self.logged(answer.number("/decision/logIndex")),
        ))?;
        for (group, label) in [("reasons", "reason"), ("warnings", "warning")] {
            for (reason, more) in alike(&answer.json[group]) {
                let message = reason["message"].as_str().unwrap_or_default();
                let more = match more {
                    0 => String::new(),
                    more => format!(" (and {more} more like this)"),
                };
                let line = format!("    {label}: {}{more}\n", visible(message));
                term.say(&term.fold(&line, 6))?;
            }
        }
        if verdict != "allow" {
            term.say(&answer.stderr)?;
        }
        Ok(answer.json)
    }

    fn attacks(&self) -> Result<Vec<Attack>, Failure> {
        self.heading("Four attacks, each on a copy")?;
        let mut done = Vec::new();
        for attempt in attacks::ALL {
            let attack = attempt(&self.custos, &self.project, self.seed)?;
            self.context.term.say(&attack.render(&self.context.term))?;
            done.push(attack);
        }
        Ok(done)
    }

    fn lineage(&self) -> Result<Value, Failure> {
        self.heading("Lineage of the package")?;
        let trace = self.custos.must(&["trace", "package"])?;
        let text = trace.text("/text");
        self.context.term.say(text)?;
        Ok(trace.json)
    }

    fn conclude(&self, clock: Stopwatch, attacks: &[Attack]) -> Result<(), Failure> {
        let checkpoint = self.custos.must(&["log", "checkpoint"])?;
        let stopped = attacks.iter().filter(|attack| attack.was_stopped()).count();
        let term = &self.context.term;
        let root = self.project.root().display().to_string();
        self.heading("Where everything lies")?;
        term.say(&format!(
            "  {root}\n    package/         the model with its signature, model.sig\n    \
             pipeline.toml    the layout, with pipeline.toml.sigstore.json\n    \
             policy/          the Rego that decided\n    \
             .custos/log      {} entries, C2SP tiles\n    \
             .custos          keys, store, bundles\n    \
             attacks/         the four copies that were tampered with\n",
            checkpoint.number("/size").unwrap_or_default(),
        ))?;
        self.heading("Look further")?;
        for command in [
            &format!("cd {root}"),
            "custos verify package --key release",
            "custos trace raw --down",
            "custos gate package --key release --format json",
            "custos log fsck",
            "custos policy test policy",
        ] {
            term.say(&format!("  {}\n", term.paint(Role::Good, command)))?;
        }
        term.say(&format!(
            "  (this binary is {})\n\n{stopped} of {} attacks stopped, {:.1} s in all\n",
            self.custos.binary().display(),
            attacks.len(),
            clock.seconds(),
        ))
    }
}
