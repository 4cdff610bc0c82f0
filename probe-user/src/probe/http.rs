//! The HTTP/1.1 probe: one GET on a connection of its own, plain or over TLS, the
//! status and perhaps the body judged, the body read as far as a probe should care.

use futures_util::future::{Either, select};
use http_body_util::{BodyExt, Empty};
use hyper::{
    Request,
    body::{Bytes, Incoming},
    client::conn::http1,
    header,
};
use hyper_util::rt::TokioIo;
use probe_core::{config::Tls, input::ProbeFailure};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{tls, trust::Trust, way::Way, words};

/// So much of a body is read; a server that gets so far serves.
const BODY_LIMIT: usize = 64 * 1024;

const USER_AGENT: &str = concat!("lapwing/", env!("CARGO_PKG_VERSION"));

/// What is asked, and what is expected.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question<'a> {
    pub(super) host: &'a str,
    pub(super) path: &'a str,
    /// Any 2xx or 3xx if none.
    pub(super) status: Option<u16>,
    /// Text that must occur in the body.
    pub(super) body: Option<&'a str>,
}

pub(super) async fn ask(way: Way, question: Question<'_>) -> Result<(), ProbeFailure> {
    let request = question.request()?;
    exchange(way.connect().await?, request, question).await
}

pub(super) async fn ask_over_tls(
    way: Way,
    question: Question<'_>,
    tls: &Tls,
    trust: &Trust,
) -> Result<(), ProbeFailure> {
    let request = question.request()?;
    exchange(tls::connect(way, tls, trust).await?, request, question).await
}

impl Question<'_> {
    fn request(self) -> Result<Request<Empty<Bytes>>, ProbeFailure> {
        Request::get(self.path)
            .header(header::HOST, self.host)
            .header(header::USER_AGENT, USER_AGENT)
            .header(header::ACCEPT, "*/*")
            .header(header::CONNECTION, "close")
            .body(Empty::new())
            .map_err(|error| other("the request cannot be built", &error))
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    request: Request<Empty<Bytes>>,
    question: Question<'_>,
) -> Result<(), ProbeFailure> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| other("no HTTP", &error))?;
    let exchange = Box::pin(async move {
        let response = sender
            .send_request(request)
            .await
            .map_err(|error| other("no HTTP response", &error))?;
        let answered = response.status().as_u16();
        let expected = match question.status {
            Some(status) => answered == status,
            None => (200..400).contains(&answered),
        };
        if !expected {
            return Err(ProbeFailure::Status(answered));
        }
        let body = read_some(response.into_body()).await?;
        match question.body {
            Some(text) if !contains(&body, text.as_bytes()) => Err(ProbeFailure::Body),
            Some(_) | None => Ok(()),
        }
    });
    // The connection does the work of the exchange; it may end first, with the
    // response already handed over.
    match select(exchange, std::pin::pin!(connection)).await {
        Either::Left((outcome, _)) => outcome,
        Either::Right((_, exchange)) => exchange.await,
    }
}

/// A body up to [`BODY_LIMIT`].
async fn read_some(mut body: Incoming) -> Result<Vec<u8>, ProbeFailure> {
    let mut read = Vec::new();
    while read.len() < BODY_LIMIT {
        let Some(frame) = body.frame().await else {
            break;
        };
        let frame = frame.map_err(|error| other("the response breaks off", &error))?;
        if let Some(data) = frame.data_ref() {
            let room = BODY_LIMIT - read.len();
            read.extend_from_slice(&data[..data.len().min(room)]);
        }
    }
    Ok(read)
}

fn contains(body: &[u8], text: &[u8]) -> bool {
    text.is_empty() || body.windows(text.len()).any(|window| window == text)
}

fn other(what: &str, error: &dyn std::error::Error) -> ProbeFailure {
    ProbeFailure::Other(words::chain(what, error))
}

#[cfg(test)]
mod tests;
