//! The HTTP/1.1 probe: one GET on a connection of its own, the status judged, the
//! body read as far as a probe should care.

use core::net::SocketAddr;

use futures_util::future::{Either, select};
use http_body_util::{BodyExt, Empty};
use hyper::{
    Request,
    body::{Bytes, Incoming},
    client::conn::http1,
    header,
};
use hyper_util::rt::TokioIo;
use probe_core::input::ProbeFailure;

/// So much of a body is read; a server that gets so far serves.
const BODY_LIMIT: usize = 64 * 1024;

const USER_AGENT: &str = concat!("lapwing/", env!("CARGO_PKG_VERSION"));

pub(super) async fn ask(
    target: SocketAddr,
    host: &str,
    path: &str,
    status: Option<u16>,
) -> Result<(), ProbeFailure> {
    let request = Request::get(path)
        .header(header::HOST, host)
        .header(header::USER_AGENT, USER_AGENT)
        .header(header::ACCEPT, "*/*")
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| other("the request cannot be built", &error))?;
    let stream = super::connect(target).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| other("no HTTP", &error))?;
    let exchange = Box::pin(async move {
        let response = sender
            .send_request(request)
            .await
            .map_err(|error| other("no HTTP response", &error))?;
        let answered = response.status().as_u16();
        let expected = match status {
            Some(status) => answered == status,
            None => (200..400).contains(&answered),
        };
        if !expected {
            return Err(ProbeFailure::Status(answered));
        }
        read_some(response.into_body()).await
    });
    // The connection does the work of the exchange; it may end first, with the
    // response already handed over.
    match select(exchange, connection).await {
        Either::Left((outcome, _)) => outcome,
        Either::Right((_, exchange)) => exchange.await,
    }
}

/// Reads a body up to [`BODY_LIMIT`].
async fn read_some(mut body: Incoming) -> Result<(), ProbeFailure> {
    let mut read = 0;
    while read < BODY_LIMIT {
        let Some(frame) = body.frame().await else {
            break;
        };
        let frame = frame.map_err(|error| other("the response breaks off", &error))?;
        read += frame.data_ref().map_or(0, Bytes::len);
    }
    Ok(())
}

/// The whole chain of an error in one line: hyper's own words stop at "error".
fn other(what: &str, error: &dyn std::error::Error) -> ProbeFailure {
    let mut words = format!("{what}: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        words.push_str(": ");
        words.push_str(&cause.to_string());
        source = cause.source();
    }
    ProbeFailure::Other(words)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use probe_core::config::{Probe, ProbeKind};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
    };

    use super::*;
    use crate::probe::run;

    const TIMEOUT: Duration = Duration::from_millis(200);

    fn probe(target: SocketAddr, status: Option<u16>) -> Probe {
        Probe {
            kind: ProbeKind::Http {
                target,
                host: "www.example.com".to_owned(),
                path: "/health?deep=1".to_owned(),
                status,
            },
            interval: Duration::from_secs(1),
            timeout: TIMEOUT,
            rise: 2,
            fall: 3,
        }
    }

    async fn head(stream: &mut TcpStream) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        String::from_utf8(head).unwrap()
    }

    /// What a server that answers one request with `parts`, a little apart, is held
    /// to be.
    async fn judge(
        parts: &[&str],
        apart: Duration,
        status: Option<u16>,
    ) -> Result<(), ProbeFailure> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let probe = probe(listener.local_addr().unwrap(), status);
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            head(&mut stream).await;
            for part in parts {
                // The probe may have had enough.
                let _ = stream.write_all(part.as_bytes()).await;
                tokio::time::sleep(apart).await;
            }
        };
        let ((_, outcome), ()) = tokio::join!(run(&probe), serve);
        outcome
    }

    fn words(outcome: Result<(), ProbeFailure>) -> String {
        match outcome {
            Err(ProbeFailure::Other(words)) => words,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn status_decides() {
        let not_expected = |status| Err(ProbeFailure::Status(status));
        for (line, status, expected) in [
            ("200 OK", None, Ok(())),
            ("204 No Content", None, Ok(())),
            ("301 Moved Permanently", None, Ok(())),
            ("404 Not Found", None, not_expected(404)),
            ("503 Service Unavailable", None, not_expected(503)),
            ("503 Service Unavailable", Some(503), Ok(())),
            ("200 OK", Some(204), not_expected(200)),
        ] {
            let answer = format!("HTTP/1.1 {line}\r\ncontent-length: 0\r\n\r\n");
            let outcome = judge(&[&answer], Duration::ZERO, status).await;
            assert_eq!(outcome, expected, "{line}, expected {status:?}");
        }
    }

    #[tokio::test]
    async fn the_request_is_what_the_operator_configured() {
        let listener = TcpListener::bind("[::1]:0").await.unwrap();
        let probe = probe(listener.local_addr().unwrap(), None);
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let head = head(&mut stream).await;
            stream
                .write_all(b"HTTP/1.0 200 OK\r\n\r\nup")
                .await
                .unwrap();
            head
        };
        let ((_, outcome), head) = tokio::join!(run(&probe), serve);
        assert_eq!(outcome, Ok(()));
        assert!(
            head.starts_with("GET /health?deep=1 HTTP/1.1\r\n"),
            "{head}"
        );
        for line in ["host: www.example.com\r\n", "connection: close\r\n"] {
            assert!(head.contains(line), "{head}");
        }
    }

    #[tokio::test]
    async fn a_closed_port_is_refused() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let probe = probe(listener.local_addr().unwrap(), None);
        drop(listener);
        assert_eq!(run(&probe).await.1, Err(ProbeFailure::Refused));
    }

    #[tokio::test]
    async fn a_hung_server_behind_a_live_backlog_times_out() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (took, outcome) = run(&probe(listener.local_addr().unwrap(), None)).await;
        assert_eq!(outcome, Err(ProbeFailure::Timeout));
        assert!(took >= TIMEOUT && took < TIMEOUT * 3, "{took:?}");
    }

    #[tokio::test]
    async fn a_server_that_trickles_times_out() {
        let outcome = judge(
            &[
                "HTTP/1.1 200 OK\r\n",
                "a: b\r\n",
                "c: d\r\n",
                "content-length: 0\r\n\r\n",
            ],
            TIMEOUT / 3,
            None,
        )
        .await;
        assert_eq!(outcome, Err(ProbeFailure::Timeout));
    }

    #[tokio::test]
    async fn a_server_slower_than_usual_but_in_time_passes() {
        let outcome = judge(
            &["HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n", "u", "p"],
            TIMEOUT / 8,
            None,
        )
        .await;
        assert_eq!(outcome, Ok(()));
    }

    #[tokio::test]
    async fn what_is_no_http_is_told_in_words() {
        for (description, parts, expected) in [
            (
                "another protocol",
                &["SSH-2.0-x\r\n\r\n"][..],
                "no HTTP response: ",
            ),
            ("closes at once", &[], "no HTTP response: "),
            (
                "breaks off",
                &["HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf"],
                "the response breaks off: ",
            ),
        ] {
            let words = words(judge(parts, Duration::ZERO, None).await);
            assert!(words.starts_with(expected), "{description}: {words}");
        }
    }

    #[tokio::test]
    async fn an_endless_body_is_enough_at_some_point() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let probe = probe(listener.local_addr().unwrap(), None);
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
        };
        let ((took, outcome), ()) = tokio::join!(run(&probe), serve);
        assert_eq!(outcome, Ok(()));
        assert!(took < TIMEOUT, "{took:?}");
    }

    #[tokio::test]
    async fn a_request_that_cannot_be_built_is_told_in_words() {
        let target = "127.0.0.1:1".parse().unwrap();
        let outcome = ask(target, "a\nb", "/", None).await;
        assert!(words(outcome).starts_with("the request cannot be built: "));
    }
}
