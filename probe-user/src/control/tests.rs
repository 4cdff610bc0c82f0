//! Both ends of the socket.

use std::{fs, os::unix::fs::PermissionsExt as _, sync::Arc};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    sync::{mpsc, watch},
};

use super::*;
use crate::{
    journal::recent::{Decisions, tests::decision},
    status::tests::document,
};

/// What answers questions; its senders may end.
fn sources() -> Sources {
    let decisions: Decisions = Arc::new([1, 2].map(|seq| Arc::new(decision(seq))).into());
    Sources {
        status: watch::channel(Arc::new(document())).1,
        decisions: watch::channel(decisions).1,
    }
}

#[tokio::test]
async fn a_request_is_answered_and_a_wrong_one_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run/control.sock");
    let (orders, _asked) = mpsc::channel(1);
    let file = Control::bind(&path).unwrap().serve(sources(), orders);
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o660
    );
    let asked = path.clone();
    let (_, answer) = tokio::task::spawn_blocking(move || status(&asked))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(answer, document());
    for (limit, expected) in [(9, vec![decision(1), decision(2)]), (1, vec![decision(2)])] {
        let asked = path.clone();
        let found = tokio::task::spawn_blocking(move || decisions(&asked, limit))
            .await
            .unwrap();
        assert_eq!(found.unwrap(), expected);
    }

    let mut stream = UnixStream::connect(&path).await.unwrap();
    stream
        .write_all(b"{\"cmd\":\"drop everything\"}\n")
        .await
        .unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.unwrap();
    assert!(reply.starts_with("{\"error\":"), "{reply}");
    drop(file);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_stale_socket_is_replaced_and_a_living_one_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("control.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let first = Control::bind(&path).unwrap();
    let second = Control::bind(&path).unwrap_err();
    assert!(matches!(second, Error::InUse(_)), "{second}");
    drop(first);
}

#[tokio::test]
async fn a_file_that_is_no_socket_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("precious");
    fs::write(&path, "data").unwrap();
    assert!(matches!(Control::bind(&path), Err(Error::Bind { .. })));
    assert_eq!(fs::read_to_string(&path).unwrap(), "data");
}

#[test]
fn nobody_there_is_said_plainly() {
    let directory = tempfile::tempdir().unwrap();
    let error = status(&directory.path().join("none.sock")).unwrap_err();
    assert!(
        error.to_string().contains("no lapwing is running"),
        "{error}"
    );
    assert!(error.to_string().contains("help:"), "{error}");
}

#[test]
fn one_that_ends_instead_of_answering_is_said_plainly() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("control.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let dying = std::thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        io::Read::read(&mut stream, &mut [0; 64]).unwrap();
    });
    let error = status(&path).unwrap_err().to_string();
    assert!(error.contains("it ended without an answer"), "{error}");
    dying.join().unwrap();
}

#[tokio::test]
async fn an_order_is_handed_over_with_the_name_of_who_gave_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("control.sock");
    let (orders, mut asked) = mpsc::channel(1);
    let _file = Control::bind(&path).unwrap().serve(sources(), orders);
    let request = OrderRequest {
        verb: Verb::Freeze,
        prefix: None,
        level: None,
        time: Some(Duration::from_mins(1)),
        reason: "maintenance".into(),
        force: false,
    };
    for answer in [
        Answer::Done("frozen".into()),
        Answer::Error("not now".into()),
    ] {
        let (sent, to) = (request.clone(), path.clone());
        let client = tokio::task::spawn_blocking(move || order(&to, &sent));
        let Demand::Order(got) = asked.recv().await.unwrap() else {
            panic!("an order");
        };
        assert_eq!(got.order, request);
        let me = nix::unistd::User::from_uid(nix::unistd::getuid());
        assert_eq!(got.by, me.unwrap().unwrap().name);
        got.answer.send(answer.clone()).unwrap();
        match (client.await.unwrap(), answer) {
            (Ok(done), Answer::Done(expected)) => assert_eq!(done, expected),
            (Err(Error::Refused(why)), Answer::Error(expected)) => assert_eq!(why, expected),
            (other, _) => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_reload_is_handed_over_and_answered_with_what_came_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("control.sock");
    let (orders, mut asked) = mpsc::channel(1);
    let _file = Control::bind(&path).unwrap().serve(sources(), orders);
    for (check, answer) in [
        (
            true,
            Answer::Reloaded(Reloaded {
                applied: false,
                changes: vec!["~ [recover] hold 1m -> 2m".into()],
                refused: None,
            }),
        ),
        (false, Answer::Mistake("error: unknown key".into())),
        (false, Answer::Error("the daemon is stopping".into())),
    ] {
        let to = path.clone();
        let client = tokio::task::spawn_blocking(move || reload(&to, check));
        let Demand::Reload(got) = asked.recv().await.unwrap() else {
            panic!("a reload");
        };
        assert_eq!(got.check, check);
        got.answer(answer.clone());
        match (client.await.unwrap(), answer) {
            (Ok(done), Answer::Reloaded(expected)) => assert_eq!(done, expected),
            (Err(Error::Mistake(why)), Answer::Mistake(expected))
            | (Err(Error::Refused(why)), Answer::Error(expected)) => assert_eq!(why, expected),
            (other, _) => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_reload_is_told_in_words() {
    for (applied, changes, refused, words) in [
        (true, &[][..], None, "reloaded: nothing has changed\n"),
        (
            false,
            &[],
            None,
            "the file is good and would change nothing\n",
        ),
        (true, &["+ a", "- b"], None, "reloaded:\n+ a\n- b\n"),
        (
            false,
            &["+ a"],
            None,
            "the file is good and would change this:\n+ a\n",
        ),
        (false, &[], Some("error: no"), "error: no\n"),
    ] {
        let reloaded = Reloaded {
            applied,
            changes: changes.iter().map(ToString::to_string).collect(),
            refused: refused.map(str::to_owned),
        };
        assert_eq!(reloaded.text(), words);
    }
}
