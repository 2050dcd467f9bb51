//! `custos scan`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;
use custos_core::finding::Severity;
use custos_scan::Limits;

use super::KeyArgs;

/// `custos scan`.
#[derive(Debug, Args)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the command line"
)]
pub struct ScanArgs {
    /// Files, folders, `-` for standard input, something in a registry: oci://HOST/NAME@DIGEST, or in a
    /// bucket: s3://BUCKET/PREFIX, az://CONTAINER/PREFIX.
    #[arg(value_name = "PATH", required_unless_present_any = ["explain", "list_rules"])]
    pub paths: Vec<String>,
    /// From which severity on a finding is a no: info, low, medium, high or critical.
    #[arg(long, value_name = "LEVEL", default_value = "high", value_parser = severity)]
    pub fail_on: Severity,
    /// Take what was not understood, and calls that are on no list, for a no.
    #[arg(long)]
    pub strict: bool,
    /// Leave out a name, or a path below the folder; `*` stands for anything. May be repeated.
    #[arg(long, value_name = "PATTERN")]
    pub exclude: Vec<String>,
    /// Say what a rule means, such as pickle/dangerous-call, and scan nothing.
    #[arg(long, value_name = "RULE", conflicts_with = "paths")]
    pub explain: Option<String>,
    /// List the rules, and scan nothing.
    #[arg(long, conflicts_with_all = ["paths", "explain"])]
    pub list_rules: bool,
    /// What is known already.
    #[command(flatten)]
    pub known: KnownArgs,
    /// Where reports go.
    #[command(flatten)]
    pub reports: ReportArgs,
    /// How far to go.
    #[command(flatten)]
    pub limits: LimitArgs,
    /// Sign and log a statement about what was scanned, with the digests of this very scan.
    #[arg(long, help_heading = "Statement")]
    pub attest: bool,
    /// Also write the statement's bundle to a file.
    #[arg(
        long,
        value_name = "FILE",
        help_heading = "Statement",
        requires = "attest"
    )]
    pub bundle: Option<PathBuf>,
    /// Which key.
    #[command(flatten)]
    pub key: KeyArgs,
}

/// What is known already.
#[derive(Debug, Args)]
#[command(next_help_heading = "What is known already")]
pub struct KnownArgs {
    /// Known vulnerabilities of packages: a folder or zip of OSV records.
    #[arg(long, value_name = "PATH")]
    pub osv: Option<PathBuf>,
    /// Names of internal packages, one a line: none may come from a public index.
    #[arg(long, value_name = "FILE")]
    pub internal_names: Option<PathBuf>,
    /// Findings that somebody answers for: TOML, by digest and rule, until a date.
    #[arg(long, value_name = "FILE")]
    pub suppressions: Option<PathBuf>,
    /// A report of before, as `--json` writes it: what stands there does not count.
    #[arg(long, value_name = "FILE")]
    pub baseline: Option<PathBuf>,
}

/// Where reports go.
#[derive(Debug, Args)]
#[command(next_help_heading = "Reports, beside what --format prints")]
pub struct ReportArgs {
    /// Write the report as JSON (custos.scan/1).
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write the report as SARIF 2.1.0.
    #[arg(long, value_name = "FILE")]
    pub sarif: Option<PathBuf>,
    /// Write a bill of materials with what was found: CycloneDX 1.6, VEX.
    #[arg(long, value_name = "FILE")]
    pub cyclonedx: Option<PathBuf>,
    /// Write the report as JSON, and take everything in it for known: the status is 0.
    #[arg(long, value_name = "FILE")]
    pub write_baseline: Option<PathBuf>,
}

/// How far to go.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitArgs {
    /// Threads [default: one for each core].
    #[arg(long, short, value_name = "N")]
    pub jobs: Option<NonZeroUsize>,
    /// Most seconds for each file [default: no limit].
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_time: Option<u32>,
    /// Deepest nesting of files in files.
    #[arg(long, value_name = "N", default_value_t = Limits::default().max_depth)]
    pub max_depth: u32,
    /// Most members of all archives in one file.
    #[arg(long, value_name = "N", default_value_t = Limits::default().max_members)]
    pub max_members: u64,
    /// Most GiB that are unpacked from one file.
    #[arg(long, value_name = "GIB", default_value_t = 64)]
    pub max_unpacked: u32,
    /// Most unpacked bytes for each packed one.
    #[arg(long, value_name = "N", default_value_t = Limits::default().max_ratio)]
    pub max_ratio: u64,
    /// Most GiB of disk for what is unpacked or comes from standard input.
    #[arg(long, value_name = "GIB", default_value_t = 64)]
    pub max_disk: u32,
}

pub(super) const SCAN_EXAMPLES: &str = "Examples:
  custos scan model/                             look into everything below a folder
  custos scan model.pt --format json             the whole report
  custos scan . --fail-on medium --strict        what is not understood is a no, too
  custos scan . --sarif out.sarif --cyclonedx bom.json
  custos scan . --baseline before.json           only what is new counts
  custos scan model/ --attest --key scanner      a signed statement for the gate
  custos scan s3://BUCKET/models/bert            all objects below a prefix
  curl -fsSL URL | custos scan -
  custos scan --explain pickle/dangerous-call";

fn severity(text: &str) -> Result<Severity, String> {
    Severity::from_name(&text.to_ascii_lowercase()).ok_or_else(|| {
        let names: Vec<&str> = Severity::ALL.iter().map(|one| one.name()).collect();
        format!("one of {}", names.join(", "))
    })
}
