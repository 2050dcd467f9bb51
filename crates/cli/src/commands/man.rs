//! `custos man`: manual pages, made from the command line's own definitions.

use crate::args::{self, ManArgs};
use crate::context::Context;
use crate::exit::Exit;
use crate::files::write_atomic;
use crate::{Failure, Outcome};

/// Runs the command.
pub fn run(args: &ManArgs, context: &Context) -> Outcome {
    let root = args::command();
    let Some(dir) = &args.dir else {
        let page = page(root, "custos")?;
        context.term.result(
            &page,
            &serde_json::json!({
                "schema": "custos.man/1", "page": "custos.1", "text": page,
            }),
        )?;
        return Ok(Exit::Yes);
    };
    let dir = context.resolve(dir);
    std::fs::create_dir_all(&dir)
        .map_err(|error| Failure::io(dir.display().to_string(), &error))?;
    let mut files = Vec::new();
    for (name, command) in pages(&root) {
        let file = dir.join(format!("{name}.1"));
        write_atomic(&file, page(command, &name)?.as_bytes())?;
        files.push(file.display().to_string());
    }
    let human = format!("wrote {} pages into {}\n", files.len(), dir.display());
    context.term.result(
        &human,
        &serde_json::json!({
            "schema": "custos.man/1", "files": files,
        }),
    )?;
    Ok(Exit::Yes)
}

// The root and every visible command below it, named as man(1) expects: custos-log-proof.
fn pages(root: &clap::Command) -> Vec<(String, clap::Command)> {
    let mut found = vec![("custos".to_owned(), root.clone())];
    let mut next = 0_usize;
    while let Some((name, command)) = found.get(next).cloned() {
        for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
            found.push((format!("{name}-{}", sub.get_name()), sub.clone()));
        }
        next = next.saturating_add(1);
    }
    found
}

fn page(command: clap::Command, title: &str) -> Result<String, Failure> {
    let mut roff = Vec::new();
    clap_mangen::Man::new(command)
        .title(title)
        .render(&mut roff)
        .map_err(|error| Failure::internal(&error.to_string()))?;
    String::from_utf8(roff).map_err(|_| Failure::internal("a manual page is not UTF-8"))
}
