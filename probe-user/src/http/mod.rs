//! The read-only HTTP listener, for loopback: the live page, its API, metrics and health.
//!
//! ```text
//! document, decisions, model ─(once a second)─▶ ┐
//!                                               ├ a thread of its own ─▶ answers
//! GET /, /api/v1/…, /metrics, /healthz ───────▶ ┘
//! ```
//! A request never touches the kernel's maps or the core, and is not answered on the
//! thread of the deciding loop: whoever asks, and however often, costs the measurement
//! nothing. One request per connection, and few connections for a short time each, so
//! that a stuck client costs nothing either.

mod answer;
mod api;
mod host;
mod page;

#[cfg(test)]
pub use api::{DecisionList, Status};

use core::{convert::Infallible, time::Duration};
use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Handle,
    sync::watch,
    task::JoinSet,
};

use crate::{journal::recent::Decisions, metrics::Model, status::Document};

/// Connections beyond these wait in the kernel's backlog.
const CONNECTIONS: usize = 32;
/// A client must have sent its request by then.
const HEADER_TIMEOUT: Duration = Duration::from_secs(2);
/// A client must have read its answer by then.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);
/// After a failed accept (no file descriptors left, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What answers are made of; all new once a second.
#[derive(Clone, Debug)]
pub struct Sources {
    /// The newest status document.
    pub documents: watch::Receiver<Arc<Document>>,
    /// The newest decisions.
    pub decisions: watch::Receiver<Decisions>,
    /// The newest metrics.
    pub models: watch::Receiver<Arc<Model>>,
}

/// Everything that is known at the moment of a request.
struct Picture {
    document: Arc<Document>,
    /// How old the document is.
    age: Duration,
    decisions: Decisions,
    model: Arc<Model>,
}

/// Listens at `address`, for a runtime.
pub fn bind(address: SocketAddr, runtime: &Handle) -> io::Result<TcpListener> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let _entered = runtime.enter();
    TcpListener::from_std(listener)
}

/// Answers until it is dropped, and its connections with it.
pub async fn serve(listener: TcpListener, sources: Sources) -> Infallible {
    let mut connections = JoinSet::new();
    let mut documents = sources.documents.clone();
    let published = Arc::new(Mutex::new(Instant::now()));
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < CONNECTIONS => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(converse(stream, sources.clone(), Arc::clone(&published)));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept an HTTP connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
            Ok(()) = documents.changed() => {
                *published.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
            }
        }
    }
}

async fn converse(stream: TcpStream, sources: Sources, published: Arc<Mutex<Instant>>) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .keep_alive(false)
        .serve_connection(
            TokioIo::new(stream),
            service_fn(|request| {
                let picture = Picture {
                    document: Arc::clone(&sources.documents.borrow()),
                    age: published
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .elapsed(),
                    decisions: Arc::clone(&sources.decisions.borrow()),
                    model: Arc::clone(&sources.models.borrow()),
                };
                async move { Ok::<_, Infallible>(answer::to(&request, picture)) }
            }),
        );
    match tokio::time::timeout(CONNECTION_TIMEOUT, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "an HTTP connection ended badly"),
        Err(_) => tracing::debug!("an HTTP client was too slow"),
    }
}

#[cfg(test)]
mod tests;
