//! `custos evidence`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `custos evidence`.
#[derive(Debug, Args)]
pub struct EvidenceArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: EvidenceCommand,
}

/// Subcommands of `custos evidence`.
#[derive(Debug, Subcommand)]
pub enum EvidenceCommand {
    /// Compare every stored statement with the log and the index; change nothing.
    Check,
    /// Finish what a crash interrupted, and build the index again from the statements.
    Reindex {
        /// Also forget drafts that never reached the log.
        #[arg(long)]
        forget_drafts: bool,
        /// Only say what there is to do, as `check` does.
        #[arg(long, conflicts_with = "forget_drafts")]
        dry_run: bool,
    },
    /// Put signed statements into the store: lost ones, or those of another machine.
    Add {
        /// Sigstore bundles, such as FILE.sigstore.json or model.sig.
        #[arg(required = true, value_name = "FILE")]
        bundles: Vec<PathBuf>,
    },
}

pub(super) const EVIDENCE_EXAMPLES: &str = "Examples:
  custos evidence check                      is every log entry's statement here, and sound
  custos evidence check --format json        for a monitor
  custos evidence reindex                    after a crash, or if the index is damaged
  custos evidence reindex --forget-drafts    and forget what never reached the log
  custos evidence add model/model.sig        put a lost statement back";
