//! The listener, asked over TCP.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::status::tests::document;

struct Server {
    address: SocketAddr,
    model: watch::Sender<Arc<Model>>,
    _documents: watch::Sender<Arc<Document>>,
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
    let (model, models) = watch::channel(Arc::new(Model::new(1)));
    let (sender, documents) = watch::channel(Arc::new(document()));
    let decisions = watch::channel(Decisions::default()).1;
    let sources = Sources {
        documents,
        decisions,
        models,
    };
    Server {
        address,
        model,
        _documents: sender,
        task: tokio::spawn(serve(listener, sources)),
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
        ("GET /", "200 OK", "text/html", "<!doctype html>"),
        (
            "GET /api/v1/status",
            "200 OK",
            "application/json",
            "{\"version\":\"0.1.0\"",
        ),
        (
            "GET /nowhere",
            "404 Not Found",
            "text/plain",
            "not found: there are /, /api/v1/, /metrics and /healthz\n",
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
