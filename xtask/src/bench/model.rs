//! Signing and verifying models: beside plain hashing of the same bytes with the same library,
//! and beside the reference client.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::Bench;
use super::measure::{Sample, Side, in_turns, median, once, program};
use super::table::{COMPARISON, Table, ratio, time};
use crate::place::{Scratch, Stopwatch};
use crate::process;
use crate::suites::text;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// The program that hashes with the library of Custos and does nothing else.
const PLAIN: &str = "plain SHA-256";

/// 4 GiB in files from 4 KiB to 1 GiB.
pub fn mixed(bench: &Bench<'_>) -> Result<Table> {
    let data = Scratch::below(&bench.place.cache, "mixed")?;
    let mut sizes = vec![
        GIB,
        GIB,
        512 * MIB,
        512 * MIB,
        256 * MIB,
        256 * MIB,
        128 * MIB,
    ];
    sizes.extend([64 * MIB; 4].iter().chain(&[8 * MIB; 8]).chain(&[MIB; 32]));
    sizes.extend([64 << 10; 256].iter().chain(&[4 << 10; 1024]));
    let rest = (4 * GIB).saturating_sub(sizes.iter().sum());
    sizes.push(rest);
    fill(data.path(), &sizes)?;
    let pair = Pair::new(bench, data.path(), "mixed")?;
    let mut table = Table::new(
        &format!(
            "{} files, {} bytes, page cache warm, no digest cache, not logged; median of {} runs \
             in turns. Plain SHA-256 is `crates/provenance/examples/hash_bench`: the same hash \
             library over the same files on all cores.",
            sizes.len(),
            sizes.iter().sum::<u64>(),
            bench.runs
        ),
        &COMPARISON,
    );
    let plain = pair.plain();
    let samples = pair.measure(&[], plain)?;
    samples.rows(&mut table, "wall <= 1.15", "wall <= 0.9, CPU <= 0.85");
    Ok(table)
}

/// One file of 4 GiB: in shards, and with BLAKE3.
pub fn one_file(bench: &Bench<'_>) -> Result<Table> {
    let data = Scratch::below(&bench.place.cache, "one")?;
    fill(data.path(), &[4 * GIB])?;
    let mut table = Table::new(
        &format!(
            "One file of 4 GiB, page cache warm, no digest cache, not logged; median of {} runs \
             in turns. The reference client hashes it with SHA-256 on one core: its command line \
             has neither shards nor BLAKE3.",
            bench.runs
        ),
        &COMPARISON,
    );
    for (name, words) in [
        (
            "shards of 64 MiB, SHA-256",
            &["--shard-size", "67108864"][..],
        ),
        ("BLAKE3", &["--hash", "blake3"]),
    ] {
        let pair = Pair::new(bench, data.path(), "one")?;
        let samples = pair.measure(words, None)?;
        samples.named(name).rows(&mut table, "", "wall <= 0.5");
    }
    Ok(table)
}

/// 10 MiB, where starting up is what counts.
pub fn small(bench: &Bench<'_>) -> Result<Table> {
    let data = Scratch::below(&bench.place.cache, "small")?;
    fill(data.path(), &[6 * MIB, 3 * MIB, MIB - 4096, 4096])?;
    let pair = Pair::new(bench, data.path(), "small")?;
    let mut table = Table::new(
        &format!(
            "4 files, 10 MiB, page cache warm, no digest cache, not logged; median of {} runs in \
             turns.",
            bench.runs
        ),
        &COMPARISON,
    );
    let samples = pair.measure(&[], pair.plain())?;
    samples.rows(&mut table, "", "wall <= 0.1");
    Ok(table)
}

/// 100 GiB, of which one small file changes.
pub fn re_sign(bench: &Bench<'_>) -> Result<Table> {
    let data = Scratch::below(&bench.place.cache, "sparse")?;
    let model = data.join("model");
    fs::create_dir_all(&model)?;
    for number in 0..800 {
        File::create(model.join(format!("shard-{number:03}.bin")))?.set_len(128 * MIB)?;
    }
    let readme = model.join("README.md");
    fs::write(&readme, "first\n")?;
    settle();
    let sign = signer(bench, &model, "sparse")?;
    let first = once(&mut sign())?;
    let mut again = Vec::new();
    for run in 0..bench.runs {
        fs::write(&readme, format!("change {run}\n"))?;
        settle();
        again.push(once(&mut sign())?);
    }
    let mut table = Table::new(
        &format!(
            "100 GiB in 800 sparse files and a README. First signed with an empty digest cache, \
             then after each change of the README: median of {} changes.",
            bench.runs
        ),
        &COMPARISON,
    );
    table.alone("first signature", first);
    let again = median(&again)?;
    table.beside(
        ("after a change of README.md", again),
        ("first", first),
        "wall <= 0.02",
    );
    Ok(table)
}

/// 100,000 small files, of which one changes, beside a bare walk.
pub fn many_files(bench: &Bench<'_>) -> Result<Table> {
    let data = Scratch::below(&bench.place.cache, "many")?;
    let model = data.join("model");
    for folder in 0..100 {
        let dir = model.join(format!("part-{folder:02}"));
        fs::create_dir_all(&dir)?;
        for number in 0..1000_u32 {
            let mut bytes = vec![0; 4096];
            bytes[..4].copy_from_slice(&(folder * 1000 + number).to_be_bytes());
            fs::write(dir.join(format!("{number:03}.bin")), bytes)?;
        }
    }
    settle();
    let sign = signer(bench, &model, "many")?;
    let first = once(&mut sign())?;
    let manifest = data.join("manifest");
    let (mut again, mut walks) = (Vec::new(), Vec::new());
    for run in 0..bench.runs.max(5) {
        fs::write(model.join("part-00/000.bin"), vec![1; 4096 + run])?;
        settle();
        again.push(once(&mut sign())?);
        let clock = Stopwatch::start();
        walk(&model, &manifest)?;
        walks.push(Sample {
            wall: clock.elapsed(),
            ..Sample::default()
        });
    }
    let (again, walk) = (median(&again)?, median(&walks)?);
    let mut table = Table::new(
        "100,000 files of 4 KiB in 100 folders. First signed with an empty digest cache, then \
         after each change of one file. The bare walk reads the folders and calls `lstat` on \
         every file on all cores, and writes a line a file. That only changed files are read is \
         asserted by a test of `custos-provenance`.",
        &COMPARISON,
    );
    table.alone("first signature", first);
    table.beside(
        ("after a change of one file", again),
        ("bare walk", walk),
        "wall <= 2",
    );
    table.remark(format!(
        "Beside the first signature: {} of its wall time. The bare walk took {}.",
        ratio(again.wall, first.wall),
        time(walk.wall)
    ));
    Ok(table)
}

/// Custos and the reference client on one model.
struct Pair<'a> {
    bench: &'a Bench<'a>,
    model: &'a Path,
    secret: PathBuf,
    public: PathBuf,
    ours: PathBuf,
    theirs: PathBuf,
}

/// What a pair measured.
struct Samples {
    name: String,
    sign: Sample,
    verify: Sample,
    plain: Option<Sample>,
    peer: Option<(Sample, Sample)>,
}

impl<'a> Pair<'a> {
    fn new(bench: &'a Bench<'a>, model: &'a Path, name: &str) -> Result<Self> {
        if let Err(reason) = &bench.peer {
            bail!("{reason}");
        }
        let keys = bench.scratch.join("keys");
        Ok(Self {
            bench,
            model,
            secret: keys.join("p256.pem"),
            public: keys.join("p256.pub"),
            ours: bench.scratch.join(&format!("{name}.ours.sig")),
            theirs: bench.scratch.join(&format!("{name}.theirs.sig")),
        })
    }

    /// The bare hash loop, timed by itself: it measures other things in the same process.
    fn plain(&self) -> Option<Side<'_>> {
        let program = self.bench.place.built("examples/hash_bench");
        program.is_file().then(|| {
            let side: Side<'_> = Box::new(move || {
                let mut command = Command::new(&program);
                command.arg(self.model).args(["--runs", "1"]);
                let done = process::run(&mut command, Duration::from_mins(30))?.success()?;
                let value: Value = serde_json::from_str(&done.stdout)?;
                let seconds = value.get("plain_sha256_seconds").and_then(Value::as_f64);
                let seconds = seconds.context("hash_bench measured no plain SHA-256")?;
                Ok(Sample {
                    wall: Duration::from_secs_f64(seconds),
                    ..Sample::default()
                })
            });
            side
        })
    }

    fn reference(&self, what: &str) -> Result<Command> {
        let peer = self
            .bench
            .peer
            .as_ref()
            .map_err(|reason| anyhow::anyhow!("{reason}"))?;
        let mut command = peer.python();
        let (option, key) = match what {
            "sign" => ("--private_key", &self.secret),
            _ => ("--public_key", &self.public),
        };
        command
            .args(["-m", "model_signing", what, "key", option])
            .arg(key);
        command.arg("--signature").arg(&self.theirs).arg(self.model);
        Ok(command)
    }

    fn measure(&self, words: &[&str], plain: Option<Side<'_>>) -> Result<Samples> {
        let sign = program(|| {
            let base = ["sign", text(self.model), "--key", text(&self.secret)];
            let mut command = self.bench.custos.command(base);
            command
                .args(["--no-log", "--no-cache", "--bundle"])
                .arg(&self.ours)
                .args(words);
            Ok(command)
        });
        let verify = program(|| {
            let base = ["verify", text(self.model), "--key", text(&self.public)];
            let mut command = self.bench.custos.command(base);
            command
                .args(["--allow-unlogged", "--bundle"])
                .arg(&self.ours);
            Ok(command)
        });
        let mut sides = vec![sign, verify];
        sides.push(program(|| self.reference("sign")));
        sides.push(program(|| self.reference("verify")));
        sides.extend(plain);
        let samples = in_turns(self.bench.runs, &sides)?;
        let [sign, verify, peer_sign, peer_verify, rest @ ..] = &samples[..] else {
            bail!("a side was not measured");
        };
        Ok(Samples {
            name: String::new(),
            sign: *sign,
            verify: *verify,
            plain: rest.first().copied(),
            peer: Some((*peer_sign, *peer_verify)),
        })
    }
}

impl Samples {
    fn named(mut self, name: &str) -> Self {
        self.name = format!(", {name}");
        self
    }

    fn rows(&self, table: &mut Table, plain_aim: &str, peer_aim: &str) {
        for (what, ours, peer_of) in [
            ("sign", self.sign, self.peer.map(|(sign, _)| sign)),
            ("verify", self.verify, self.peer.map(|(_, verify)| verify)),
        ] {
            let title = format!("`custos {what}`{}", self.name);
            if let Some(plain) = self.plain {
                table.beside((&title, ours), (PLAIN, plain), plain_aim);
            }
            if let Some(peer) = peer_of {
                let name = format!("`model_signing {what}`");
                table.beside((&title, ours), (&name, peer), peer_aim);
            }
        }
        if let Some(plain) = self.plain {
            table.timed(PLAIN, plain.wall);
        }
        if let Some((sign, verify)) = self.peer {
            table.alone("`model_signing sign`", sign);
            table.alone("`model_signing verify`", verify);
        }
    }
}

/// Makes a command that signs a model with the digest cache of the bench's home.
fn signer<'a>(
    bench: &'a Bench<'_>,
    model: &'a Path,
    name: &str,
) -> Result<impl Fn() -> Command + 'a> {
    let prefix = bench.scratch.join(&format!("{name}-key"));
    let make = [
        "keys",
        "generate",
        "--no-password",
        "--output-prefix",
        text(&prefix),
    ];
    bench.custos.ok(make)?;
    let (secret, _) = crate::suites::key_files(&prefix)?;
    let bundle = bench.scratch.join(&format!("{name}.sig"));
    Ok(move || {
        let mut command = bench
            .custos
            .command(["sign", text(model), "--no-log", "--key"]);
        command.arg(&secret).arg("--bundle").arg(&bundle);
        command
    })
}

/// Lets the time stamps of what was written grow old enough to be trusted by the digest cache.
fn settle() {
    thread::sleep(Duration::from_millis(2500));
}

/// Writes files of the given sizes, of bytes that do not repeat.
fn fill(dir: &Path, sizes: &[u64]) -> Result<()> {
    let mut state = 0x1234_5678_9abc_def1_u64;
    let mut block = vec![0_u8; 1 << 20];
    for (number, size) in sizes.iter().enumerate() {
        let folder = dir.join(format!("part-{}", number % 7));
        fs::create_dir_all(&folder)?;
        let mut file = File::create(folder.join(format!("file-{number:04}.bin")))?;
        let mut left = *size;
        while left > 0 {
            for word in block.chunks_exact_mut(8) {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                word.copy_from_slice(&state.to_le_bytes());
            }
            let take = usize::try_from(left).unwrap_or(usize::MAX).min(block.len());
            file.write_all(&block[..take])?;
            left = left.saturating_sub(u64::try_from(take)?);
        }
        // Else the first durable write of whoever is measured waits until all this is on the disk.
        file.sync_all()?;
    }
    Ok(())
}

/// Reads all folders and file states on all cores, and writes one line a file: the least that
/// noticing a change can cost.
fn walk(root: &Path, manifest: &Path) -> Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let mut folders = Vec::new();
    for entry in fs::read_dir(root)? {
        folders.push(entry?.path());
    }
    let cores = thread::available_parallelism()?.get();
    let parts: Vec<Result<Vec<String>>> = thread::scope(|scope| {
        let workers: Vec<_> = (0..cores)
            .map(|worker| {
                let mine: Vec<&PathBuf> = folders.iter().skip(worker).step_by(cores).collect();
                scope.spawn(move || {
                    let mut lines = Vec::new();
                    for folder in mine {
                        for entry in fs::read_dir(folder)? {
                            let path = entry?.path();
                            let meta = fs::symlink_metadata(&path)?;
                            let (size, inode) = (meta.len(), meta.ino());
                            lines.push(format!("{} {size} {inode:064x}\n", path.display()));
                        }
                    }
                    Ok(lines)
                })
            })
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|_| bail!("a walker panicked")))
            .collect()
    });
    let mut lines: Vec<String> = Vec::new();
    for part in parts {
        lines.extend(part?);
    }
    lines.sort();
    ensure!(
        lines.len() == 100_000,
        "the walk found {} files",
        lines.len()
    );
    fs::write(manifest, lines.concat()).context("cannot write the manifest")
}
