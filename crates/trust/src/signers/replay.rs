//! A server for tests that answers from a script, and surroundings without a real environment.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::digest;
use custos_core::clock::{FixedClock, Timestamp};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::Surroundings;

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// Method, path and headers, in lower case but for the first line.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Seen {
    /// `POST /path?query`
    pub(crate) fn line(&self) -> &str {
        self.head.split(" HTTP/").next().unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// A status and a body.
pub(crate) type Reply = (u16, String);

type Answerer = Box<dyn FnMut(&Seen) -> Reply + Send>;

/// The server.
pub(crate) struct Replay {
    port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Replay {
    /// Answers every request with `answer`, which may look at it and remember.
    pub(crate) fn start(answer: impl FnMut(&Seen) -> Reply + Send + 'static) -> Self {
        Self::serve(None, Box::new(answer))
    }

    /// Answers the requests in turn, and asserts that each starts as its line says.
    pub(crate) fn script(exchanges: Vec<(&'static str, Reply)>) -> Self {
        let mut exchanges = exchanges.into_iter();
        Self::start(move |seen| match exchanges.next() {
            Some((line, reply)) if seen.line() == line => reply,
            expected => (599, format!("expected {expected:?}, got {}", seen.line())),
        })
    }

    pub(crate) fn start_tls(
        config: Arc<ServerConfig>,
        answer: impl FnMut(&Seen) -> Reply + Send + 'static,
    ) -> Self {
        Self::serve(Some(config), Box::new(answer))
    }

    fn serve(tls: Option<Arc<ServerConfig>>, mut answer: Answerer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let list = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that hangs up, or trusts nobody, ends its own connection alone.
                let _ = match &tls {
                    None => one(stream, &list, &mut answer),
                    Some(config) => {
                        let connection = ServerConnection::new(Arc::clone(config)).unwrap();
                        let mut stream = StreamOwned::new(connection, stream);
                        one(&mut stream, &list, &mut answer).and_then(|()| {
                            stream.conn.send_close_notify();
                            stream.flush()
                        })
                    }
                };
            }
        });
        Self { port, seen }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

fn one<S: Read + Write>(
    mut stream: S,
    list: &Mutex<Vec<Seen>>,
    answer: &mut Answerer,
) -> io::Result<()> {
    let mut input = BufReader::new(&mut stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if input.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    let (first, rest) = head.split_once("\r\n").unwrap();
    let lines = rest.lines().map(|line| match line.split_once(": ") {
        Some((name, value)) => format!("{}: {value}", name.to_lowercase()),
        None => line.to_owned(),
    });
    let head = std::iter::once(first.to_owned())
        .chain(lines)
        .collect::<Vec<_>>()
        .join("\n");
    let mut seen = Seen {
        head,
        body: String::new(),
    };
    let length = seen
        .header("content-length")
        .map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    input.read_exact(&mut body)?;
    seen.body = String::from_utf8(body).unwrap();
    list.lock().unwrap().push(seen.clone());
    let (status, body) = answer(&seen);
    write!(
        stream,
        "HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    stream.flush()
}

/// 2026-11-23T09:00:00Z, in seconds.
pub(crate) const NOW: i64 = 1_795_424_400;

/// Surroundings with these variables, a clock that stands still, and no patience.
pub(crate) fn around(vars: &[(&str, &str)]) -> Surroundings {
    let vars: Vec<(String, String)> = vars
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let clock = Arc::new(FixedClock::new(Timestamp::from_seconds(NOW)));
    Surroundings::new(
        move |name| {
            let listed = super::VARIABLES.contains(&name.to_uppercase().as_str());
            assert!(listed, "{name} is not in VARIABLES");
            let found = vars.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value.clone())
        },
        clock,
    )
    .with_pause(Duration::ZERO)
}

/// The SHA-256 of a message, as the services are to be given it.
pub(crate) fn sha256(message: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, message).as_ref().to_vec()
}
