//! The commands' end of the control socket.

use std::{
    io::{self, BufRead, BufReader, Write},
    path::Path,
    time::Duration,
};

use serde::de::DeserializeOwned;

use super::{
    Answer, CHANGE_TIMEOUT, DecisionList, Error, OrderRequest, Question, Reloaded, Request,
    TIMEOUT, hooks::Hooks, reload::Reload,
};
use crate::{journal::recent::Decision, status::Document};

/// Asks the daemon at `path` and gives its answer as text, one line of JSON.
fn ask(path: &Path, request: &Request, timeout: Duration) -> Result<String, Error> {
    let talk = |source| Error::Talk {
        path: path.to_owned(),
        source,
    };
    let mut stream =
        std::os::unix::net::UnixStream::connect(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                Error::NotRunning(path.to_owned())
            }
            io::ErrorKind::PermissionDenied => Error::Denied(path.to_owned()),
            _ => talk(error),
        })?;
    stream.set_read_timeout(Some(timeout)).map_err(talk)?;
    stream.set_write_timeout(Some(TIMEOUT)).map_err(talk)?;
    let mut line = serde_json::to_string(request).map_err(|error| talk(error.into()))?;
    line.push('\n');
    stream.write_all(line.as_bytes()).map_err(talk)?;
    let mut reply = String::new();
    let read = BufReader::new(stream).read_line(&mut reply);
    let read = read.map_err(|error| match error.kind() {
        // So the kernel says that the time is over.
        io::ErrorKind::WouldBlock => {
            let limit = humantime::format_duration(timeout);
            talk(io::Error::other(format!("no answer within {limit}")))
        }
        _ => talk(error),
    })?;
    if read == 0 {
        return Err(talk(io::Error::other("it ended without an answer")));
    }
    Ok(reply)
}

/// The status document of the daemon at `path`, as it was sent and as it is read.
pub fn status(path: &Path) -> Result<(String, Document), Error> {
    question(path, Question::Status)
}

/// The newest decisions and holds of the daemon at `path`, oldest first, `limit` at most.
pub fn decisions(path: &Path, limit: usize) -> Result<Vec<Decision>, Error> {
    let limit = Some(limit);
    let (_, list): (_, DecisionList) = question(path, Question::Decisions { limit })?;
    Ok(list.decisions)
}

fn question<T: DeserializeOwned>(path: &Path, question: Question) -> Result<(String, T), Error> {
    let reply = ask(path, &Request::Question(question), TIMEOUT)?;
    let answer = |why| Error::Answer {
        path: path.to_owned(),
        why,
    };
    if let Ok(Answer::Error(error)) = serde_json::from_str(&reply) {
        return Err(answer(error));
    }
    let read = serde_json::from_str(&reply).map_err(|error| answer(error.to_string()))?;
    Ok((reply, read))
}

/// Gives the daemon at `path` an order; what it did, in words.
pub fn order(path: &Path, order: &OrderRequest) -> Result<String, Error> {
    let request = Request::Order(order.clone());
    let reply = ask(path, &request, CHANGE_TIMEOUT + TIMEOUT)?;
    read_done(path, &reply)
}

/// Has the daemon at `path` read its configuration again, and apply it unless it is only
/// to `check` it; what changed.
pub fn reload(path: &Path, check: bool) -> Result<Reloaded, Error> {
    let request = Request::Reload(Reload::Reload { check });
    let reply = ask(path, &request, CHANGE_TIMEOUT + TIMEOUT)?;
    match read(path, &reply)? {
        Answer::Reloaded(reloaded) => Ok(reloaded),
        Answer::Mistake(report) => Err(Error::Mistake(report)),
        other @ (Answer::Done(_) | Answer::Error(_)) => Err(unexpected(path, other)),
    }
}

/// Has the daemon at `path` put native XDP on its interfaces; with `force` even while it
/// announces something. Where the hooks are then, in words.
pub fn attach_native(path: &Path, force: bool) -> Result<String, Error> {
    let request = Request::Hooks(Hooks::AttachNative { force });
    let reply = ask(path, &request, CHANGE_TIMEOUT + TIMEOUT)?;
    read_done(path, &reply)
}

/// What was done, in words.
fn read_done(path: &Path, reply: &str) -> Result<String, Error> {
    match read(path, reply)? {
        Answer::Done(done) => Ok(done),
        other @ (Answer::Reloaded(_) | Answer::Error(_) | Answer::Mistake(_)) => {
            Err(unexpected(path, other))
        }
    }
}

fn read(path: &Path, reply: &str) -> Result<Answer, Error> {
    serde_json::from_str(reply).map_err(|error| Error::Answer {
        path: path.to_owned(),
        why: error.to_string(),
    })
}

/// An answer that is none to what was asked.
fn unexpected(path: &Path, answer: Answer) -> Error {
    match answer {
        Answer::Error(why) => Error::Refused(why),
        Answer::Done(_) | Answer::Reloaded(_) | Answer::Mistake(_) => Error::Answer {
            path: path.to_owned(),
            why: "it answers something else".to_owned(),
        },
    }
}
