//! Measures the log over HTTP on this machine, and prints JSON.
//!
//! `load DIR [ADD|REKOR] [SECONDS] [CONNECTIONS]`; DIR is made and removed again. The server is the
//! one of `custos serve`, in this process, with its log on the disk; the callers are as many
//! threads as CONNECTIONS, each with one connection that it keeps. `ADD` posts entries of 256 bytes
//! to `/add` and gets an index; `REKOR` posts signatures to `/api/v2/log/entries`, each of which the
//! server verifies, and gets an entry with its proof. They are signed before the clock runs. A
//! connection sends a request once the one before is answered.
//!
//! A request that is not answered with success ends the run: what is counted was acknowledged, and
//! the log is checked for it at the end.

use std::error::Error;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use custos_core::clock::{Clock, Timestamp};
use custos_core::crypto::{KeyKind, KeyPair, Scheme};
use custos_core::digest::Algorithm;
use custos_log::disk::{Disk, OsDisk};
use custos_log::note::KeyPairSigner;
use custos_log::{Log, LogOptions};
use custos_server::server::AccessTokens;
use custos_server::{Config, Server};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const ORIGIN: &str = "load.example";
/// Signatures made beforehand, for each second: more than any machine verifies.
const SIGNED: usize = 20_000;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Route {
    Add,
    Rekor,
}

#[derive(Clone, Copy)]
struct Load {
    route: Route,
    seconds: u64,
    connections: usize,
}

#[derive(Debug)]
struct RealClock;

impl Clock for RealClock {
    #[allow(clippy::disallowed_methods, reason = "a server has a clock")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Timestamp::from_seconds(
            since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(0)),
        )
    }
}

#[allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn now() -> Instant {
    Instant::now()
}

fn main() -> Outcome<()> {
    let mut words = std::env::args().skip(1);
    let dir = words
        .next()
        .ok_or("load DIR [ADD|REKOR] [SECONDS] [CONNECTIONS]")?;
    let route = match words.next().as_deref() {
        None | Some("ADD") => Route::Add,
        Some("REKOR") => Route::Rekor,
        Some(other) => return Err(format!("no route `{other}`").into()),
    };
    let mut number = |default: usize| words.next().map_or(Ok(default), |word| word.parse());
    let seconds = u64::try_from(number(5)?)?;
    let connections = number(if route == Route::Add { 512 } else { 256 })?;
    let load = Load {
        route,
        seconds,
        connections,
    };
    let dir = Path::new(&dir);
    std::fs::create_dir(dir)?;
    let outcome = measure(dir, load);
    std::fs::remove_dir_all(dir)?;
    #[allow(clippy::print_stdout, reason = "the result")]
    {
        println!("{}", outcome?);
    }
    Ok(())
}

fn measure(dir: &Path, load: Load) -> Outcome<String> {
    let disk: Arc<dyn Disk> = Arc::new(OsDisk::new(dir));
    let pair = KeyPair::generate(KeyKind::Ed25519)?;
    let signer = Box::new(KeyPairSigner::new(ORIGIN, pair)?);
    let log = Log::create(Arc::clone(&disk), signer, LogOptions::life())?;
    let mut config = Config::new(Arc::new(RealClock));
    config.access = AccessTokens::from_text(TOKEN)?;
    config.log = Some((log.clone(), disk));
    let running = Server::start(config)?;
    let address = running.address();
    let bodies = prepared(load)?;
    let stop = AtomicBool::new(false);
    let begin = now();
    let outcomes: Vec<Outcome<Vec<Duration>>> = thread::scope(|scope| {
        let callers: Vec<_> = bodies
            .into_iter()
            .enumerate()
            .map(|(caller, bodies)| {
                let stop = &stop;
                scope.spawn(move || call(address, caller, bodies, stop))
            })
            .collect();
        thread::sleep(Duration::from_secs(load.seconds));
        stop.store(true, Ordering::SeqCst);
        callers
            .into_iter()
            .map(|caller| {
                caller
                    .join()
                    .unwrap_or_else(|_| Err("a caller died".into()))
            })
            .collect()
    });
    let took = begin.elapsed();
    running.stop()?;
    let mut times = Vec::new();
    for outcome in outcomes {
        times.extend(outcome?);
    }
    let size = log.head()?.size;
    if size != u64::try_from(times.len())? {
        return Err(format!("{} acknowledged, {size} in the log", times.len()).into());
    }
    Ok(report(load, times, took))
}

// What a caller sends: ready requests, or the number of the next entry.
enum Bodies {
    Entries,
    Requests(Vec<Vec<u8>>),
}

fn prepared(load: Load) -> Outcome<Vec<Bodies>> {
    if load.route == Route::Add {
        return Ok((0..load.connections).map(|_| Bodies::Entries).collect());
    }
    let pair = KeyPair::generate(KeyKind::P256)?;
    let each = SIGNED * usize::try_from(load.seconds)? / load.connections.max(1) + 16;
    let one = |caller: usize, number: usize| -> Outcome<Vec<u8>> {
        let message = format!("artifact {caller} {number}");
        let signature = pair.sign(Scheme::EcdsaP256, message.as_bytes())?;
        let body = format!(
            r#"{{"hashedRekordRequestV002":{{"digest":"{}","signature":{{"content":"{}","verifier":{{"publicKey":{{"rawBytes":"{}"}},"keyDetails":"PKIX_ECDSA_P256_SHA_256"}}}}}}}}"#,
            STANDARD.encode(Algorithm::Sha256.digest(message.as_bytes()).as_bytes()),
            STANDARD.encode(signature),
            STANDARD.encode(pair.public_key().as_spki_der()),
        );
        Ok(body.into_bytes())
    };
    (0..load.connections)
        .map(|caller| {
            let requests: Outcome<Vec<_>> = (0..each).map(|number| one(caller, number)).collect();
            requests.map(Bodies::Requests)
        })
        .collect()
}

fn call(
    address: SocketAddr,
    caller: usize,
    bodies: Bodies,
    stop: &AtomicBool,
) -> Outcome<Vec<Duration>> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    let mut times = Vec::new();
    let mut requests = match bodies {
        Bodies::Entries => None,
        Bodies::Requests(requests) => Some(requests.into_iter()),
    };
    let mut number = 0_usize;
    while !stop.load(Ordering::SeqCst) {
        let Some(request) = next(caller, &mut number, requests.as_mut()) else {
            return Err("too few signatures were made for this machine".into());
        };
        let start = now();
        writer.write_all(&request)?;
        answer(&mut reader)?;
        times.push(start.elapsed());
    }
    Ok(times)
}

fn next(
    caller: usize,
    number: &mut usize,
    requests: Option<&mut std::vec::IntoIter<Vec<u8>>>,
) -> Option<Vec<u8>> {
    let (head, body) = if let Some(requests) = requests {
        (
            "POST /api/v2/log/entries HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n",
            requests.next()?,
        )
    } else {
        let mut body = format!("{caller} {number} ").into_bytes();
        body.resize(256, b'.');
        *number += 1;
        ("POST /add HTTP/1.1\r\nHost: x\r\n", body)
    };
    let rest = format!(
        "Authorization: Bearer {TOKEN}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    Some([head.as_bytes(), rest.as_bytes(), &body].concat())
}

fn answer(reader: &mut BufReader<TcpStream>) -> Outcome<()> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let good = line.starts_with("HTTP/1.1 200") || line.starts_with("HTTP/1.1 201");
    let mut length = 0_u64;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        if header.trim_end().is_empty() {
            break;
        }
        let lower = header.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse()?;
        }
    }
    let mut body = Vec::new();
    reader.take(length).read_to_end(&mut body)?;
    if good {
        Ok(())
    } else {
        Err(format!("{} {}", line.trim_end(), String::from_utf8_lossy(&body)).into())
    }
}

#[allow(
    clippy::cast_precision_loss,
    clippy::as_conversions,
    reason = "a rate that is shown"
)]
fn report(load: Load, mut times: Vec<Duration>, took: Duration) -> String {
    times.sort_unstable();
    let at = |part: usize| {
        let place = times.len().saturating_sub(1) * part / 1_000;
        times
            .get(place)
            .map_or(0.0, |time| time.as_secs_f64() * 1e3)
    };
    let rate = times.len() as f64 / took.as_secs_f64();
    let route = match load.route {
        Route::Add => "add",
        Route::Rekor => "rekor",
    };
    format!(
        r#"{{"schema":"custos.bench.load/1","route":"{route}","connections":{},"seconds":{:.2},"requests":{},"perSecond":{rate:.0},"p50Ms":{:.1},"p99Ms":{:.1},"maxMs":{:.1}}}"#,
        load.connections,
        took.as_secs_f64(),
        times.len(),
        at(500),
        at(990),
        at(1_000),
    )
}
