//! A stand-in for the key service of AWS while the tests of the workspace run.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::peers::Peer;
use crate::place::Place;

/// Time until it must listen; starting it imports much of Python.
const START_LIMIT: Duration = Duration::from_mins(1);

/// The server; it ends when this is dropped, or when this program ends in any other way.
#[derive(Debug)]
pub struct Moto {
    child: Child,
    input: Option<ChildStdin>,
    /// URL and access key as one line of JSON, for `CUSTOS_PEER_MOTO`.
    pub described: String,
}

impl Moto {
    /// Installs it if need be, starts it, and waits until it listens.
    pub fn start(place: &Place) -> Result<Self> {
        let peer = Peer::named("moto")?.ensure(place)?;
        let mut child = peer
            .python()
            .arg(place.peer_file("moto_server.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start moto")?;
        let input = child.stdin.take();
        let output = child.stdout.take().context("moto has no output")?;
        let mut moto = Self {
            child,
            input,
            described: String::new(),
        };
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            let mut line = String::new();
            let read = BufReader::new(output).read_line(&mut line);
            // Nobody listens any more if the time is up.
            let _ = sender.send(read.map(|_| line));
        });
        match receiver.recv_timeout(START_LIMIT) {
            Ok(Ok(line)) if line.starts_with('{') => {
                line.trim_end().clone_into(&mut moto.described);
            }
            _ => bail!("moto does not start"),
        }
        Ok(moto)
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
