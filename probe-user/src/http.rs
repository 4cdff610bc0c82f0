//! The read-only HTTP listener, for loopback.
//!
//! In flow GET requests; out flow `/metrics` (`OpenMetrics`, or
//! the classic format for who prefers it) and `/healthz` from the
//! newest [`Model`] that the daemon has published. A request never touches the
//! kernel's maps or the core, so whoever asks, and however often, costs the
//! measurement nothing. One request per connection, and few connections for a
//! short time each, so that a stuck client costs nothing either.

use core::{convert::Infallible, time::Duration};
use std::sync::Arc;

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Bytes,
    header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderValue, VARY},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

use crate::metrics::{self, Format, Model};

/// Connections beyond these wait in the kernel's backlog.
const CONNECTIONS: usize = 32;
/// A client must have sent its request by then.
const HEADER_TIMEOUT: Duration = Duration::from_secs(2);
/// A client must have read its answer by then.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);
/// After a failed accept (no file descriptors left, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Answers until it is dropped, and its connections with it.
pub async fn serve(listener: TcpListener, source: watch::Receiver<Arc<Model>>) -> Infallible {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < CONNECTIONS => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(converse(stream, source.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept an HTTP connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn converse(stream: TcpStream, source: watch::Receiver<Arc<Model>>) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .keep_alive(false)
        .serve_connection(
            TokioIo::new(stream),
            service_fn(|request| {
                let model = Arc::clone(&source.borrow());
                async move { Ok::<_, Infallible>(answer(&request, model)) }
            }),
        );
    match tokio::time::timeout(CONNECTION_TIMEOUT, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "an HTTP connection ended badly"),
        Err(_) => tracing::debug!("an HTTP client was too slow"),
    }
}

fn answer<B>(request: &Request<B>, model: Arc<Model>) -> Response<Full<Bytes>> {
    let known = matches!(request.uri().path(), "/metrics" | "/healthz");
    if !known {
        let help = "not found: there are /metrics and /healthz\n".to_owned();
        return text(StatusCode::NOT_FOUND, help);
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let help = "method not allowed: only GET and HEAD\n".to_owned();
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, help);
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    if request.uri().path() == "/metrics" {
        let accept = request.headers().get(ACCEPT);
        let format = accept
            .and_then(|value| value.to_str().ok())
            .map_or(Format::OpenMetrics, Format::asked_for);
        let mut response = text(StatusCode::OK, metrics::encode(model, format));
        let content_type = HeaderValue::from_static(format.content_type());
        response.headers_mut().insert(CONTENT_TYPE, content_type);
        response
            .headers_mut()
            .insert(VARY, HeaderValue::from_static("accept"));
        return response;
    }
    match &model.health {
        Ok(()) => text(StatusCode::OK, "ok\n".to_owned()),
        Err(reason) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}

#[cfg(test)]
mod tests {
    use std::{net::SocketAddr, time::Instant};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    struct Server {
        address: SocketAddr,
        model: watch::Sender<Arc<Model>>,
        task: tokio::task::JoinHandle<Infallible>,
    }

    impl Drop for Server {
        fn drop(&mut self) {
            self.task.abort();
        }
    }

    async fn server() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (model, source) = watch::channel(Arc::new(Model::new(1)));
        Server {
            address,
            model,
            task: tokio::spawn(serve(listener, source)),
        }
    }

    /// The whole answer to one request: head and body.
    async fn ask(server: &Server, request: &str) -> (String, String) {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream
            .write_all(format!("{request} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes())
            .await
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    }

    #[tokio::test]
    async fn answers() {
        let server = server().await;
        for (request, status, in_head, body) in [
            ("GET /healthz", "200 OK", "text/plain", "ok\n"),
            ("HEAD /healthz", "200 OK", "content-length: 3", ""),
            (
                "GET /",
                "404 Not Found",
                "text/plain",
                "not found: there are /metrics and /healthz\n",
            ),
            ("POST /nowhere", "404 Not Found", "text/plain", "not found"),
            (
                "POST /metrics",
                "405 Method Not Allowed",
                "allow: GET, HEAD",
                "method not allowed: only GET and HEAD\n",
            ),
            (
                "GET /metrics?x=y",
                "200 OK",
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
                "# HELP lapwing_packets ",
            ),
            (
                "GET /metrics HTTP/1.1\r\naccept: text/plain\r\nx-rest:",
                "200 OK",
                "text/plain; version=0.0.4",
                "# HELP lapwing_packets_total ",
            ),
        ] {
            let (head, found) = ask(&server, request).await;
            assert!(
                head.starts_with(&format!("HTTP/1.1 {status}")),
                "{request}: {head}"
            );
            assert!(head.contains(in_head), "{request}: {head}");
            assert!(found.starts_with(body), "{request}: {found}");
            assert_eq!(found.is_empty(), body.is_empty(), "{request}");
        }
    }

    #[tokio::test]
    async fn the_newest_model_answers() {
        let server = server().await;
        let mut model = Model::new(1);
        model.health = Err("the sensor is detached from eth0".to_owned());
        model.skips[0] = 77;
        server.model.send_replace(Arc::new(model));
        let (head, body) = ask(&server, "GET /healthz").await;
        assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
        assert_eq!(body, "the sensor is detached from eth0\n");
        let (_, body) = ask(&server, "GET /metrics").await;
        assert!(body.contains("lapwing_skipped_packets_total{reason=\"not_ip\"} 77\n"));
        assert!(body.ends_with("# EOF\n"));
    }

    #[tokio::test]
    async fn stuck_clients_are_sent_away_and_others_get_their_turn() {
        let server = server().await;
        let mut stuck = Vec::new();
        for _ in 0..CONNECTIONS + 8 {
            let mut stream = TcpStream::connect(server.address).await.unwrap();
            stream.write_all(b"GET /met").await.unwrap();
            stuck.push(stream);
        }
        let start = Instant::now();
        let (head, _) = ask(&server, "GET /healthz").await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert!(
            start.elapsed() < HEADER_TIMEOUT * 3,
            "{:?}",
            start.elapsed()
        );
        let mut rest = Vec::new();
        // A reset is as good as an end.
        let _ = stuck[0].read_to_end(&mut rest).await;
    }

    #[tokio::test]
    async fn the_connections_end_with_the_server() {
        let server = server().await;
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(b"GET /met").await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        server.task.abort();
        let start = Instant::now();
        let mut rest = Vec::new();
        // A reset is as good as an end.
        let _ = stream.read_to_end(&mut rest).await;
        assert!(start.elapsed() < HEADER_TIMEOUT / 2);
    }
}
