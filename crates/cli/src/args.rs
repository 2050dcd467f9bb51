//! The command line: clap definitions only, so that completions, man pages and the reference are
//! made from the same text as `--help`.
#![allow(
    clippy::doc_markdown,
    reason = "doc comments here are what a terminal shows"
)]

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use custos_core::clock::Timestamp;
use custos_core::crypto::KeyKind;

use crate::term::{Color, Format};

mod evidence;
mod expect;
mod help;
mod image;
mod key_life;
mod keyless;
mod scan;
mod serve;
mod trust;
mod trust_life;
mod watch;

use evidence::EVIDENCE_EXAMPLES;
pub use evidence::{EvidenceArgs, EvidenceCommand};
pub use expect::ExpectArgs;
pub use help::command;
pub use image::ImageArgs;
pub use key_life::{ApproveArgs, ImpactArgs, RevokeArgs, RotateArgs, Since, WhoArgs};
pub use keyless::{KeylessArgs, OidcArg};
use scan::SCAN_EXAMPLES;
pub use scan::{KnownArgs, LimitArgs, ScanArgs};
use serve::SERVE_EXAMPLES;
pub use serve::ServeArgs;
use trust::TRUST_EXAMPLES;
pub use trust::{TrustArgs, TrustCommand, TrustInitArgs, TrustTlsArgs};
pub use trust_life::{TrustAddRootArgs, TrustPublishArgs, TrustUpdateArgs};
pub use watch::LogWatchArgs;

/// The command groups of the root help, in order.
pub const GROUPS: [(&str, &[&str]); 6] = [
    ("Start", &["init", "doctor", "demo", "keys"]),
    ("Record", &["run", "sign", "attest"]),
    (
        "Check",
        &["verify", "scan", "trace", "log", "evidence", "explain"],
    ),
    ("Decide", &["gate", "policy"]),
    ("Run", &["serve", "trust"]),
    ("Help", &["completions", "man"]),
];

/// Verifiable chain of custody for AI.
#[derive(Debug, Parser)]
#[command(name = "custos", version, max_term_width = 100)]
pub struct Cli {
    /// What applies to every command.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Folder of keys, log and store [default: CUSTOS_HOME, the nearest .custos, user data].
    #[arg(long, global = true, value_name = "DIR")]
    pub home: Option<PathBuf>,
    /// How results are written.
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        hide_possible_values = true,
        value_name = "human|json|dot|sarif|cyclonedx"
    )]
    pub format: Format,
    /// When colours are used.
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        hide_possible_values = true,
        value_name = "auto|always|never"
    )]
    pub color: Color,
    /// No progress bars and no remarks.
    #[arg(long, short, global = true)]
    pub quiet: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Set up a project: keys folder, log, settings, starter policy.
    #[command(after_help = help::INIT_EXAMPLES)]
    Init(InitArgs),
    /// Check the installation, the home, the log and the policies.
    #[command(after_help = help::DOCTOR_EXAMPLES)]
    Doctor,
    /// Train a real multimodal model up to the gate, and attack it.
    #[command(after_help = help::DEMO_EXAMPLES)]
    Demo(DemoArgs),
    /// Generate, list, show, rotate and revoke keys.
    #[command(after_help = help::KEYS_EXAMPLES)]
    Keys(KeysArgs),
    /// Run a step, and record what went in and what came out.
    #[command(after_help = help::RUN_EXAMPLES)]
    Run(RunArgs),
    /// Sign a file, a folder (OpenSSF Model Signing), an image or a list.
    #[command(after_help = help::SIGN_EXAMPLES)]
    Sign(SignArgs),
    /// Sign and log a statement about an artifact.
    #[command(after_help = help::ATTEST_EXAMPLES)]
    Attest(AttestArgs),
    /// Check a signature: is the artifact genuine, and from whom.
    #[command(after_help = help::VERIFY_EXAMPLES)]
    Verify(VerifyArgs),
    /// Look into models, archives and data for what could hurt.
    #[command(after_help = SCAN_EXAMPLES)]
    Scan(Box<ScanArgs>),
    /// Show where an artifact comes from, or what came of it.
    #[command(after_help = help::TRACE_EXAMPLES)]
    Trace(TraceArgs),
    /// Look into the transparency log and check it.
    #[command(after_help = help::LOG_EXAMPLES)]
    Log(LogArgs),
    /// Check the store beside the log, and repair it after a crash.
    #[command(after_help = EVIDENCE_EXAMPLES)]
    Evidence(EvidenceArgs),
    /// Be a certificate and timestamp authority and a log for others.
    #[command(after_help = SERVE_EXAMPLES)]
    Serve(ServeArgs),
    /// Make, publish and follow a trust root.
    #[command(after_help = TRUST_EXAMPLES)]
    Trust(TrustArgs),
    /// Decide by policy whether an artifact may be used, and log it.
    #[command(after_help = help::GATE_EXAMPLES)]
    Gate(GateArgs),
    /// Evaluate, test and check policies.
    #[command(after_help = help::POLICY_EXAMPLES)]
    Policy(PolicyArgs),
    /// Explain an error code.
    #[command(after_help = help::EXPLAIN_EXAMPLES)]
    Explain(ExplainArgs),
    /// Write a completion script for a shell.
    #[command(after_help = help::COMPLETIONS_EXAMPLES)]
    Completions(CompletionsArgs),
    /// Write manual pages.
    #[command(after_help = help::MAN_EXAMPLES)]
    Man(ManArgs),
    /// One step of the demo's pipeline.
    #[command(hide = true)]
    DemoStep(DemoStepArgs),
}

/// `custos init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// The project's folder.
    #[arg(default_value = ".")]
    pub dir: PathBuf,
    /// Show what would be written, and write nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// `custos demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Where everything is written [default: a new temporary folder, which is kept].
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Seed of the training.
    #[arg(long, default_value_t = 7)]
    pub seed: u64,
}

/// `custos demo-step`.
#[derive(Debug, Args)]
pub struct DemoStepArgs {
    /// Which step.
    pub name: String,
    /// Inputs, in the order of the step.
    #[arg(long = "in", value_name = "PATH")]
    pub inputs: Vec<PathBuf>,
    /// Output folder.
    #[arg(long = "out", value_name = "DIR")]
    pub output: PathBuf,
    /// Seed of the training.
    #[arg(long, default_value_t = 7)]
    pub seed: u64,
}

/// `custos keys`.
#[derive(Debug, Args)]
pub struct KeysArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: KeysCommand,
}

/// Subcommands of `custos keys`.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Generate a key pair.
    Generate(KeysGenerateArgs),
    /// List the keys of the home.
    List,
    /// Print the public key of a key.
    Public {
        /// A name in the home's keys folder, a file, or a reference such as k8s://NAMESPACE/SECRET.
        key: String,
    },
    /// Let the signatures of a key no longer count, but for those proven to be older.
    Revoke(RevokeArgs),
    /// Let one key take over from another.
    Rotate(RotateArgs),
    /// List everything that rests on the signatures of a key.
    Impact(ImpactArgs),
    /// Agree to a change of what is trusted: M of N keys.
    Approve(ApproveArgs),
}

/// `custos keys generate`.
#[derive(Debug, Args)]
pub struct KeysGenerateArgs {
    /// Name in the home's keys folder; or k8s://NAMESPACE/SECRET, for a new Secret.
    #[arg(required_unless_present = "output_prefix")]
    pub name: Option<String>,
    /// p256, p384, p521 or ed25519.
    #[arg(long, default_value = "p256", value_name = "KIND")]
    pub kind: KeyKind,
    /// Write PREFIX.key and PREFIX.pub instead of a key of the home.
    #[arg(long, value_name = "PREFIX", conflicts_with = "name")]
    pub output_prefix: Option<PathBuf>,
    /// How the private key is protected.
    #[command(flatten)]
    pub password: NewPasswordArgs,
}

/// Where the password of a new key comes from.
#[derive(Debug, Clone, Args)]
pub struct NewPasswordArgs {
    /// Read the password from a file; a final line break does not count.
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// Write the private key unencrypted.
    #[arg(long, conflicts_with = "password_file")]
    pub no_password: bool,
}

/// Which key signs.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Signing")]
pub struct KeyArgs {
    /// A name in the home's keys folder, a key file, or a reference: k8s://NAMESPACE/SECRET,
    /// pkcs11:URI, awskms://, gcpkms://, azurekms://, hashivault:// [default: `[signing] key` of
    /// the settings].
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// Read the key's password, or the token's PIN, from a file [default: ask].
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// Instead of a key.
    #[command(flatten)]
    pub keyless: KeylessArgs,
}

/// `custos sign`.
#[derive(Debug, Args)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the command line"
)]
pub struct SignArgs {
    /// A file, a folder, or something in a registry: oci://HOST/NAME@DIGEST.
    pub artifact: String,
    /// The key's certificate, PEM (certificate method).
    #[arg(long, value_name = "FILE")]
    pub certificate: Option<PathBuf>,
    /// Intermediate certificates, PEM, in order.
    #[arg(long, value_name = "FILE", requires = "certificate")]
    pub certificate_chain: Option<PathBuf>,
    /// Where the signature goes [default: FILE.sigstore.json, or model.sig beside the folder's files].
    #[arg(long, value_name = "FILE")]
    pub bundle: Option<PathBuf>,
    /// Sign a single file as a model of one file (OpenSSF Model Signing), as a folder always is;
    /// without it the file's bytes are signed, as cosign does.
    #[arg(long)]
    pub oms: bool,
    /// The file lists artifacts by digest, as `sha256sum` writes it: sign all of them at once, and
    /// write a proof for each into this new folder.
    #[arg(long, value_name = "DIR", conflicts_with = "oms")]
    pub batch: Option<PathBuf>,
    /// Hash of the files.
    #[arg(
        long,
        value_enum,
        default_value_t = HashArg::Sha256,
        hide_possible_values = true,
        value_name = "sha256|blake2b|blake3"
    )]
    pub hash: HashArg,
    /// Hash each file in ranges of this many bytes, in parallel.
    #[arg(long, value_name = "BYTES")]
    pub shard_size: Option<u64>,
    /// Leave out a path inside the folder, exactly as written; recorded in the signature.
    #[arg(long, value_name = "PATH")]
    pub ignore_paths: Vec<String>,
    /// Follow symbolic links inside the folder.
    #[arg(long)]
    pub allow_symlinks: bool,
    /// Do not log the signature. A verifier has to allow that by name.
    #[arg(long)]
    pub no_log: bool,
    /// Read every file again, even if it has not changed since it was last hashed.
    #[arg(long)]
    pub no_cache: bool,
    /// What of an image.
    #[command(flatten)]
    pub image: ImageArgs,
    /// Which key.
    #[command(flatten)]
    pub key: KeyArgs,
}

/// Hashes of OpenSSF Model Signing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum HashArg {
    /// SHA-256.
    Sha256,
    /// BLAKE2b with 512 bits.
    Blake2b,
    /// BLAKE3.
    Blake3,
}

/// `custos verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// A file, a folder, or something in a registry: oci://HOST/NAME@DIGEST.
    pub artifact: String,
    /// The signature [default: FILE.sigstore.json, or model.sig in the folder].
    #[arg(long, value_name = "FILE")]
    pub bundle: Option<PathBuf>,
    /// Expect a statement of this type about the artifact, instead of a signature of it.
    #[arg(long = "type", value_name = "TYPE")]
    pub predicate_type: Option<String>,
    /// Do not mind files that the signature does not list.
    #[arg(long)]
    pub ignore_unsigned_files: bool,
    /// Take digests of earlier runs for files that were left alone since.
    #[arg(long)]
    pub cache: bool,
    /// Whom to expect.
    #[command(flatten)]
    pub expect: ExpectArgs,
}

/// `custos attest`.
#[derive(Debug, Args)]
pub struct AttestArgs {
    /// A path, a digest, or something in a registry: oci://HOST/NAME@DIGEST.
    pub artifact: String,
    /// Predicate type: a short name such as dataset, evaluation, test-result, or a URI.
    #[arg(long = "type", value_name = "TYPE")]
    pub predicate_type: String,
    /// The predicate, JSON.
    #[arg(long, value_name = "FILE")]
    pub predicate: PathBuf,
    /// Name of the subject in the statement [default: the path's last part].
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Also write the bundle to a file.
    #[arg(long, value_name = "FILE")]
    pub bundle: Option<PathBuf>,
    /// Which key.
    #[command(flatten)]
    pub key: KeyArgs,
}

/// `custos run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Name of the step.
    #[arg(long, value_name = "NAME")]
    pub name: String,
    /// What the step reads: PATH, or NAME=PATH. May be repeated.
    #[arg(long = "input", value_name = "[NAME=]PATH")]
    pub inputs: Vec<String>,
    /// What the step writes: PATH, or NAME=PATH. May be repeated.
    #[arg(long = "product", value_name = "[NAME=]PATH", required = true)]
    pub products: Vec<String>,
    /// Check the chain of every input by a policy before CMD starts: a folder, or `starter`
    /// [without a value: `[policy] require` of the settings].
    #[arg(long, value_name = "POLICY", num_args = 0..=1, default_missing_value = "")]
    pub require: Option<String>,
    /// Also write the bundles into this folder.
    #[arg(long, value_name = "DIR")]
    pub bundles: Option<PathBuf>,
    /// The command and its arguments.
    #[arg(last = true, required = true, value_name = "CMD")]
    pub command: Vec<OsString>,
    /// Which key.
    #[command(flatten)]
    pub key: KeyArgs,
}

/// `custos trace`.
#[derive(Debug, Args)]
pub struct TraceArgs {
    /// A path or a digest.
    pub artifact: String,
    /// What came of the artifact, instead of where it comes from.
    #[arg(long)]
    pub down: bool,
}

/// `custos log`.
#[derive(Debug, Args)]
pub struct LogArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: LogCommand,
}

/// Subcommands of `custos log`.
#[derive(Debug, Subcommand)]
pub enum LogCommand {
    /// Print the signed checkpoint.
    Checkpoint,
    /// Print the verifier key, for `--log-key` and the settings of others.
    Key,
    /// Print the inclusion proof of an entry (C2SP tlog-proof).
    Proof {
        /// Index of the entry.
        index: u64,
    },
    /// Print an entry.
    Get {
        /// Index of the entry.
        index: u64,
    },
    /// Derive the whole log again from its entries, and compare.
    Fsck,
    /// Make a new write-ahead log for a log that has lost it.
    Rebuild {
        /// The newest checkpoint that anybody holds [default: the last seen here].
        #[arg(long, value_name = "FILE")]
        checkpoint: Option<PathBuf>,
        /// Go on although no checkpoint says how far the log had come.
        #[arg(long)]
        accept_loss: bool,
    },
    /// Follow the log: does it only grow, and did we sign everything that bears our name.
    Watch(LogWatchArgs),
    /// Log what was signed while a log or a timestamp authority was away.
    Flush(LogFlushArgs),
}

/// `custos log flush`.
#[derive(Debug, Args)]
pub struct LogFlushArgs {
    /// The signing configuration with the services to ask [default: the one that was signed with].
    #[arg(long, value_name = "FILE", requires = "trusted_root")]
    pub signing_config: Option<PathBuf>,
    /// The trusted_root.json that their answers must verify with.
    #[arg(long, value_name = "FILE", requires = "signing_config")]
    pub trusted_root: Option<PathBuf>,
    /// Also what interrupted commands had signed and nobody acknowledged.
    #[arg(long)]
    pub drafts: bool,
}

/// `custos gate`.
#[derive(Debug, Args)]
pub struct GateArgs {
    /// A path or a digest.
    pub artifact: String,
    /// Folder of the policy, or `starter` [default: `[policy] gate` of the settings].
    #[arg(long, value_name = "DIR")]
    pub policy: Option<String>,
    /// The artifact's signature [default: beside it].
    #[arg(long, value_name = "FILE")]
    pub bundle: Option<PathBuf>,
    /// Also write the bundles of the decision and of its summary (VSA) into this folder.
    #[arg(long, value_name = "DIR")]
    pub bundles: Option<PathBuf>,
    /// Which key signs the decision.
    #[command(flatten)]
    pub key: KeyArgs,
}

/// `custos policy`.
#[derive(Debug, Args)]
pub struct PolicyArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: PolicyCommand,
}

/// Subcommands of `custos policy`.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Evaluate a rule with an input.
    Eval {
        /// Which policy.
        #[command(flatten)]
        policy: PolicySource,
        /// The rule, such as data.custos.gate.deny.
        #[arg(long, value_name = "RULE")]
        query: String,
        /// The input, JSON [default: an empty object].
        #[arg(long, value_name = "FILE")]
        input: Option<PathBuf>,
        /// At which moment.
        #[command(flatten)]
        moment: Moment,
    },
    /// Run the rules whose names begin with test_.
    Test {
        /// Which policy.
        #[command(flatten)]
        policy: PolicySource,
        /// At which moment.
        #[command(flatten)]
        moment: Moment,
    },
    /// Load the policy, and look for what could let something through.
    Check {
        /// Which policy.
        #[command(flatten)]
        policy: PolicySource,
    },
}

/// Where a policy lies.
#[derive(Debug, Args)]
pub struct PolicySource {
    /// Folder or files of the policy, or `starter`.
    #[arg(required = true, value_name = "POLICY")]
    pub named: Vec<String>,
}

/// When a policy is evaluated.
#[derive(Debug, Args)]
pub struct Moment {
    /// What time.now_ns says, such as 2026-11-20T14:02:00Z [default: now].
    #[arg(long, value_name = "TIME")]
    pub now: Option<Timestamp>,
}

/// `custos explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// An error code, such as E0107; without one, all are listed.
    pub code: Option<String>,
}

/// `custos completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell.
    pub shell: clap_complete::Shell,
}

/// `custos man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Write a page for each command into this folder [default: print custos(1)].
    pub dir: Option<PathBuf>,
}
