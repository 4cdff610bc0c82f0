use std::{fs, os::unix::fs::PermissionsExt as _};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
};

use super::*;
use crate::bird::{Lookup, Selection};

const TIMEOUT: Duration = Duration::from_millis(100);
const PAUSE: Duration = Duration::from_millis(200);

/// What a stand-in for BIRD does with a line.
type Answer = fn(&str) -> Option<&'static str>;

/// Serves connections one after the other; `None` ends one.
fn serve(listener: UnixListener, answer: Answer) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            talk(stream, answer).await;
        }
    })
}

async fn talk(stream: UnixStream, answer: Answer) {
    let mut lines = BufReader::new(stream);
    lines.write_all(b"0001 BIRD 2.0.12 ready.\n").await.unwrap();
    let mut line = String::new();
    while lines.read_line(&mut line).await.unwrap() > 0 {
        let Some(answer) = answer(line.trim_end()) else {
            return;
        };
        lines.write_all(answer.as_bytes()).await.unwrap();
        line.clear();
    }
}

fn polite(line: &str) -> Option<&'static str> {
    match line {
        "restrict" => Some("0016 Access restricted\n"),
        "show status" => Some("1000-BIRD 2.0.12\n0013 Daemon is up and running\n"),
        "show route 192.0.2.0/24 table 'lapwing4' all" => Some("8001 Network not found\n"),
        "reload in 'old'" => Some("0015-old: reloading\n0000 \n"),
        "reload in 'new'" => Some("9001 syntax error, unexpected IN\n"),
        "reload filters in 'new'" => Some("0000 \n"),
        "silence" => Some(""),
        "nonsense" => Some("what?\n"),
        "goodbye" => None,
        _ => Some("9001 syntax error\n"),
    }
}

struct Stage {
    directory: tempfile::TempDir,
    client: Client,
}

impl Stage {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let client = Client::new(&directory.path().join("bird.ctl"), TIMEOUT, PAUSE);
        Self { directory, client }
    }

    fn listen(&self) -> UnixListener {
        let path = self.directory.path().join("bird.ctl");
        let _ = fs::remove_file(&path);
        UnixListener::bind(path).unwrap()
    }
}

#[tokio::test]
async fn questions_are_answered_on_one_kept_connection() {
    let mut stage = Stage::new();
    let _bird = serve(stage.listen(), polite);
    let client = &mut stage.client;
    assert_eq!(client.version(), None);
    let lines = client.ask("show status").await.unwrap();
    assert_eq!(lines[0].text, "BIRD 2.0.12");
    assert_eq!(client.version(), Some("2.0.12"));
    // What is not in a table is an answer, and what is refused costs no connection.
    let table = Name::new("lapwing4").unwrap();
    let nothing = Selection {
        lookup: Lookup::Exact("192.0.2.0/24".parse().unwrap()),
        table: &table,
        protocol: None,
        export: None,
    };
    assert_eq!(client.routes(&nothing).await.unwrap(), []);
    let refused = client.ask("bogus").await.unwrap_err();
    assert!(refused.keeps_connection(), "{refused}");
    assert!(refused.to_string().contains("bogus"), "{refused}");
    assert_eq!(client.version(), Some("2.0.12"));
}

#[tokio::test]
async fn a_reload_is_written_as_each_bird_wants_it() {
    let stage = Stage::new();
    let _bird = serve(stage.listen(), polite);
    for protocol in ["old", "new"] {
        let protocol = Name::new(protocol).unwrap();
        stage.client.reload(&protocol).await.unwrap();
    }
    let other = Name::new("other").unwrap();
    assert!(stage.client.reload(&other).await.is_err());
}

#[tokio::test]
async fn silence_nonsense_and_an_end_cost_the_connection_and_the_next_question_opens_another() {
    let mut stage = Stage::new();
    let _bird = serve(stage.listen(), polite);
    let client = &mut stage.client;
    for (question, words) in [
        ("silence", "has not answered `silence` within 100ms"),
        ("nonsense", "does not speak as BIRD does"),
        ("goodbye", "has closed its control socket"),
    ] {
        let error = client.ask(question).await.unwrap_err();
        assert!(!error.keeps_connection());
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(client.version(), None);
        client.ask("show status").await.unwrap();
    }
}

#[tokio::test]
async fn a_question_that_was_given_up_is_never_answered_by_the_next() {
    let mut stage = Stage::new();
    let _bird = serve(stage.listen(), polite);
    let client = &mut stage.client;
    client.connect().await.unwrap();
    let given_up = tokio::time::timeout(Duration::from_millis(10), client.ask("silence")).await;
    assert!(given_up.is_err());
    assert_eq!(client.version(), None);
    client.ask("show status").await.unwrap();
}

#[tokio::test]
async fn a_bird_that_is_not_there_is_told_apart_and_asked_less_and_less() {
    let mut stage = Stage::new();
    let error = stage.client.connect().await.unwrap_err();
    assert!(matches!(error, Error::Missing(_)), "{error}");
    drop(stage.listen());
    let error = stage.client.connect().await.unwrap_err();
    assert!(matches!(error, Error::Dead(_)), "{error}");
    let pause = |client: &Client| client.retry_at().map(|at| at - Instant::now());
    assert!(pause(&stage.client) > Some(FIRST_PAUSE));
    for _ in 0..20 {
        assert!(stage.client.connect().await.is_err());
    }
    assert!(pause(&stage.client) <= Some(PAUSE));

    let _bird = serve(stage.listen(), polite);
    stage.client.connect().await.unwrap();
    assert_eq!(stage.client.retry_at(), None);
}

#[tokio::test]
async fn a_hung_bird_accepts_and_does_not_greet() {
    let mut stage = Stage::new();
    let _hung = stage.listen();
    let error = stage.client.connect().await.unwrap_err();
    assert!(matches!(error, Error::Silent { .. }), "{error}");
}

#[tokio::test]
async fn the_end_of_bird_is_noticed_while_nothing_is_asked() {
    let mut stage = Stage::new();
    let bird = serve(stage.listen(), polite);
    stage.client.connect().await.unwrap();
    let quiet = tokio::time::timeout(Duration::from_millis(20), stage.client.closed()).await;
    assert!(quiet.is_err());
    assert_eq!(stage.client.version(), Some("2.0.12"));
    bird.abort();
    stage.client.closed().await;
    assert_eq!(stage.client.version(), None);
}

#[tokio::test]
async fn a_socket_that_we_may_not_use_is_told() {
    let mut stage = Stage::new();
    let _listener = stage.listen();
    let path = stage.client.path().to_owned();
    fs::set_permissions(path, fs::Permissions::from_mode(0o0)).unwrap();
    // Root may use any socket, so this thread opens files as nobody meanwhile.
    let before = nix::unistd::setfsuid(nix::unistd::Uid::from_raw(65534));
    let connected = stage.client.connect().await;
    nix::unistd::setfsuid(before);
    let error = connected.unwrap_err();
    assert!(matches!(error, Error::Denied(_)), "{error}");
}
