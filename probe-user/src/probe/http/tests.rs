//! The HTTP probe against servers on loopback that behave, or do not.

use core::net::SocketAddr;
use std::time::Duration;

use probe_core::config::ProbeKind;
use tokio::{io::AsyncWriteExt, net::TcpListener};

use super::*;
use crate::probe::loopback::{Identity, LOOPBACKS, NAME, TIMEOUT, TlsServer, head, run, run_by};

fn probe(target: SocketAddr, status: Option<u16>) -> ProbeKind {
    ProbeKind::Http {
        target,
        host: "www.example.com".to_owned(),
        path: "/health?deep=1".to_owned(),
        status,
        body: None,
        tls: None,
    }
}

fn probe_body(target: SocketAddr, text: &str, tls: Option<Tls>) -> ProbeKind {
    ProbeKind::Http {
        target,
        host: NAME.to_owned(),
        path: "/".to_owned(),
        status: None,
        body: Some(text.to_owned()),
        tls,
    }
}

/// What a server that answers one request with `parts`, a little apart, is held
/// to be.
async fn judge(parts: &[&str], apart: Duration, status: Option<u16>) -> Result<(), ProbeFailure> {
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
    let ((_, outcome), ()) = tokio::join!(run(probe), serve);
    outcome
}

fn told(outcome: Result<(), ProbeFailure>) -> String {
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
    let ((_, outcome), head) = tokio::join!(run(probe), serve);
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
    assert_eq!(run(probe).await.1, Err(ProbeFailure::Refused));
}

#[tokio::test]
async fn a_hung_server_behind_a_live_backlog_times_out() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (took, outcome) = run(probe(listener.local_addr().unwrap(), None)).await;
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
        let words = told(judge(parts, Duration::ZERO, None).await);
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
    let ((took, outcome), ()) = tokio::join!(run(probe), serve);
    assert_eq!(outcome, Ok(()));
    assert!(took < TIMEOUT, "{took:?}");
}

#[tokio::test]
async fn the_text_must_occur_within_what_is_read() {
    let far = format!("{}all well", "x".repeat(BODY_LIMIT - 8));
    let too_far = format!("{}all well", "x".repeat(BODY_LIMIT - 7));
    for (description, body, expected) in [
        ("alone", "all well", Ok(())),
        ("within", "today all well here", Ok(())),
        ("other text", "all is well", Err(ProbeFailure::Body)),
        ("nothing", "", Err(ProbeFailure::Body)),
        ("at the end of what is read", &far, Ok(())),
        ("behind it", &too_far, Err(ProbeFailure::Body)),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let probe = probe_body(listener.local_addr().unwrap(), "all well", None);
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            head(&mut stream).await;
            let answer = format!("HTTP/1.1 200 OK\r\n\r\n{body}");
            // In two parts, so that the text may be cut.
            let (first, second) = answer.split_at(answer.len() - body.len() / 2);
            stream.write_all(first.as_bytes()).await.unwrap();
            tokio::task::yield_now().await;
            let _ = stream.write_all(second.as_bytes()).await;
        };
        let ((_, outcome), ()) = tokio::join!(run(probe), serve);
        assert_eq!(outcome, expected, "{description}");
    }
}

#[tokio::test]
async fn https_is_the_same_over_tls() {
    let identity = Identity::valid();
    for loopback in LOOPBACKS {
        for (answer, server, verify, expected) in [
            (
                "HTTP/1.1 200 OK\r\n\r\nall well",
                identity.clone(),
                true,
                "Ok",
            ),
            (
                "HTTP/1.1 200 OK\r\n\r\nnot so",
                identity.clone(),
                true,
                "Err(Body)",
            ),
            (
                "HTTP/1.1 503 No\r\n\r\n",
                identity.clone(),
                true,
                "Err(Status(503))",
            ),
            (
                "HTTP/1.1 200 OK\r\n\r\nall well",
                identity.expired(),
                false,
                "Ok",
            ),
            (
                "HTTP/1.1 200 OK\r\n\r\nall well",
                identity.expired(),
                true,
                "Err(Tls(",
            ),
        ] {
            let alpn = ["h2", "http/1.1"];
            let mut server = TlsServer::start(loopback, &server, &alpn, answer).await;
            let tls = Tls {
                name: Some(NAME.to_owned()),
                alpn: vec!["http/1.1".to_owned()],
                verify,
            };
            let probe = probe_body(server.address, "all well", Some(tls));
            let outcome = format!("{:?}", run_by(&identity, probe).await.1);
            assert!(
                outcome.starts_with(expected),
                "{answer} {verify}: {outcome}"
            );
            if !outcome.contains("Tls") {
                assert_eq!(server.asked_for().await.as_deref(), Some(NAME));
            }
        }
    }
}

#[tokio::test]
async fn a_request_that_cannot_be_built_is_told_in_words() {
    let way = Way {
        target: "127.0.0.1:1".parse().unwrap(),
        source: None,
    };
    let question = Question {
        host: "a\nb",
        path: "/",
        status: None,
        body: None,
    };
    assert!(told(ask(way, question).await).starts_with("the request cannot be built: "));
}
