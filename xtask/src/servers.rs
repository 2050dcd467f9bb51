//! Stand-ins for services of clouds while the tests of the workspace run: moto for AWS, Azurite for
//! Azure.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::peers::Peer;
use crate::place::Place;

/// Time until one must listen; starting it imports much of Python, or of node.
const START_LIMIT: Duration = Duration::from_mins(1);

/// A server; it ends when this is dropped, or when this program ends in any other way.
#[derive(Debug)]
pub struct Server {
    child: Child,
    input: Option<ChildStdin>,
    /// URL and access key as one line of JSON.
    pub described: String,
}

impl Server {
    /// Key service and buckets of AWS.
    pub fn moto(place: &Place) -> Result<Self> {
        let peer = Peer::named("moto")?.ensure(place)?;
        let mut command = peer.python();
        command.arg(place.peer_file("moto_server.py"));
        Self::start(command).context("moto does not start")
    }

    /// Containers of Azure.
    pub fn azurite(place: &Place) -> Result<Self> {
        let peer = Peer::named("azurite")?.ensure(place)?;
        let mut command = Command::new("node");
        command
            .arg(place.peer_file("azurite_server.cjs"))
            .arg(peer.folder());
        Self::start(command).context("Azurite does not start")
    }

    // Waits until it listens.
    fn start(mut command: Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let input = child.stdin.take();
        let output = child.stdout.take().context("it has no output")?;
        let mut server = Self {
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
                line.trim_end().clone_into(&mut server.described);
            }
            _ => bail!("it does not say where it listens"),
        }
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
