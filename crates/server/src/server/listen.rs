//! Connections: accepted up to a cap, served, and let go in good order.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::Tuning;
use super::patience::Patience;
use crate::sequencer::Failed;

// Headers of a request, altogether; an ID token alone may have 16 KiB.
const MAX_HEADER_BYTES: usize = 64 * 1024;
const MAX_HEADERS: usize = 64;
// After a failed accept, for instance because there are too many open files.
const PAUSE: Duration = Duration::from_millis(50);

/// Where connections come in.
pub(super) struct Door {
    /// Asked in this order for the next connection.
    pub(super) entrances: Vec<Entrance>,
    pub(super) app: Router,
    pub(super) tuning: Tuning,
    pub(super) stopped: watch::Receiver<bool>,
}

/// An address, with TLS or without.
pub(super) struct Entrance {
    pub(super) listener: TcpListener,
    pub(super) acceptor: Option<TlsAcceptor>,
}

type Accepted = (TcpStream, Option<TlsAcceptor>);

impl Door {
    /// Serves until a stop, or until the log failed.
    pub(super) async fn serve(self, failed: Option<Arc<Failed>>) {
        let most = usize::try_from(self.tuning.connections).unwrap_or(1_024);
        let most = most.clamp(1, Semaphore::MAX_PERMITS);
        let places = Arc::new(Semaphore::new(most));
        let (end, ended) = watch::channel(false);
        {
            let mut stop = pin!(wait(self.stopped.clone(), failed));
            loop {
                let next = self.accept(&places);
                let Some(((stream, acceptor), place)) = either(next, stop.as_mut()).await else {
                    break;
                };
                let serving = Connection {
                    acceptor,
                    app: self.app.clone(),
                    tuning: self.tuning,
                    ended: ended.clone(),
                };
                tokio::spawn(serving.serve(stream, place));
            }
        }
        let stop_time = self.tuning.stop_time;
        // Nobody is accepted any more; connections learn that they should end.
        drop(self);
        end.send_replace(true);
        let all = u32::try_from(most).unwrap_or(u32::MAX);
        let _ = timeout(stop_time, places.acquire_many(all)).await;
    }

    async fn accept(&self, places: &Arc<Semaphore>) -> (Accepted, OwnedSemaphorePermit) {
        loop {
            // The semaphore is never closed; a failed accept is not for good.
            if let Ok(place) = Arc::clone(places).acquire_owned().await
                && let Ok(accepted) = poll_fn(|context| self.poll_accept(context)).await
            {
                return (accepted, place);
            }
            sleep(PAUSE).await;
        }
    }

    fn poll_accept(&self, context: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        for entrance in &self.entrances {
            if let Poll::Ready(accepted) = entrance.listener.poll_accept(context) {
                let acceptor = entrance.acceptor.clone();
                return Poll::Ready(accepted.map(|(stream, _)| (stream, acceptor)));
            }
        }
        Poll::Pending
    }
}

struct Connection {
    acceptor: Option<TlsAcceptor>,
    app: Router,
    tuning: Tuning,
    ended: watch::Receiver<bool>,
}

impl Connection {
    async fn serve(self, stream: TcpStream, place: OwnedSemaphorePermit) {
        let _ = stream.set_nodelay(true);
        let stream = Patience::new(stream, self.tuning.write_time);
        match self.acceptor.clone() {
            None => self.serve_http(stream).await,
            Some(acceptor) => {
                let handshake = timeout(self.tuning.header_time, acceptor.accept(stream));
                if let Ok(Ok(stream)) = handshake.await {
                    self.serve_http(stream).await;
                }
            }
        }
        drop(place);
    }

    async fn serve_http<S>(mut self, stream: S)
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    {
        let service = TowerToHyperService::new(self.app.clone());
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.tuning.header_time)
            .max_buf_size(MAX_HEADER_BYTES)
            .max_headers(MAX_HEADERS)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        let ended = async {
            let _ = self.ended.wait_for(|ended| *ended).await;
        };
        // A broken connection is the client's business.
        if either(connection.as_mut(), pin!(ended)).await.is_none() {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

// Ends when the server is told to stop, or when its log failed.
async fn wait(mut stopped: watch::Receiver<bool>, failed: Option<Arc<Failed>>) {
    let stop = async move {
        let _ = stopped.wait_for(|stopped| *stopped).await;
    };
    match failed {
        None => stop.await,
        Some(failed) => {
            let noticed = async {
                while !failed.is_set() {
                    failed.noticed.notified().await;
                }
            };
            either(noticed, pin!(stop)).await;
        }
    }
}

// The value of the first future, or `None` if the second ends before it.
async fn either<A: Future>(
    first: A,
    mut second: std::pin::Pin<&mut impl Future<Output = ()>>,
) -> Option<A::Output> {
    let mut first = pin!(first);
    poll_fn(|context| {
        if let Poll::Ready(value) = first.as_mut().poll(context) {
            return Poll::Ready(Some(value));
        }
        second.as_mut().poll(context).map(|()| None)
    })
    .await
}
