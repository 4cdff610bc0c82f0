//! One connection to BIRD's control socket.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    time::timeout,
};

use super::{
    error::{Error, Refusal},
    name::Name,
    reply::{Line, Replies, Reply},
};

/// So much is read at once.
const BUFFER: usize = 0x4000;
/// BIRD's greeting.
const READY: u16 = 1;
/// "The network is not in the table": an answer, though it looks like a refusal.
pub const NOT_FOUND: u16 = 8001;
/// "Syntax error".
const NOT_UNDERSTOOD: u16 = 9001;

/// What a connection may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Only ask. BIRD itself then refuses everything else, for as long as the
    /// connection lasts.
    Restricted,
    /// Also have protocols reloaded.
    Full,
}

/// An open connection.
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
    replies: Replies,
    buffer: Box<[u8]>,
    path: PathBuf,
    timeout: Duration,
    version: String,
}

impl Connection {
    /// Connects and waits for the greeting. This, and later each question, may take
    /// `timeout`.
    pub async fn open(path: &Path, access: Access, timeout: Duration) -> Result<Self, Error> {
        let connecting = tokio::time::timeout(timeout, UnixStream::connect(path));
        let stream = match connecting.await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(unconnected(path, error)),
            // The listener's queue is full: it accepts nobody.
            Err(_) => return Err(silent(path, "hello", timeout)),
        };
        let mut connection = Self {
            stream,
            replies: Replies::default(),
            buffer: vec![0; BUFFER].into_boxed_slice(),
            path: path.to_owned(),
            timeout,
            version: String::new(),
        };
        let Reply { end, .. } = connection.reply("hello").await?;
        connection.version = match end {
            Line { code: READY, text } => text
                .trim_start_matches("BIRD ")
                .trim_end_matches(" ready.")
                .to_owned(),
            Line { code, text } => {
                return Err(Error::Refused(Refusal {
                    question: "hello".to_owned(),
                    code,
                    text,
                }));
            }
        };
        match access {
            Access::Restricted => drop(connection.ask("restrict").await?),
            Access::Full => {}
        }
        Ok(connection)
    }

    /// BIRD's version, as it greets.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Asks one question. After an error that does not
    /// [keep the connection](Error::keeps_connection), or if this is dropped before
    /// its end, the connection must not be used again.
    pub async fn ask(&mut self, question: &str) -> Result<Vec<Line>, Error> {
        let sending = async {
            self.stream.write_all(question.as_bytes()).await?;
            self.stream.write_all(b"\n").await
        };
        match timeout(self.timeout, sending).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(talk(&self.path, error)),
            Err(_) => return Err(silent(&self.path, question, self.timeout)),
        }
        let reply = self.reply(question).await?;
        if reply.is_refusal() {
            return Err(Error::Refused(Refusal {
                question: question.to_owned(),
                code: reply.end.code,
                text: reply.end.text,
            }));
        }
        Ok(reply.lines)
    }

    /// Has a kernel protocol read its kernel table again. Sends nothing to anybody
    /// if BIRD knew all of it. Needs [`Access::Full`].
    pub async fn reload(&mut self, protocol: &Name) -> Result<(), Error> {
        let name = protocol.quoted();
        match self.ask(&format!("reload in {name}")).await {
            // So it is written since BIRD 3.
            Err(Error::Refused(Refusal {
                code: NOT_UNDERSTOOD,
                ..
            })) => self.ask(&format!("reload filters in {name}")).await,
            other => other,
        }
        .map(drop)
    }

    /// Waits until BIRD goes away; to be called while nothing is asked.
    pub async fn closed(&mut self) {
        while let Ok(1..) = self.stream.read(&mut self.buffer).await {}
    }

    async fn reply(&mut self, question: &str) -> Result<Reply, Error> {
        let reading = async {
            loop {
                match self.replies.next_reply() {
                    Ok(Some(reply)) => return Ok(reply),
                    Ok(None) => {}
                    Err(source) => {
                        return Err(Error::Garbled {
                            path: self.path.clone(),
                            source,
                        });
                    }
                }
                match self.stream.read(&mut self.buffer).await {
                    Ok(0) => return Err(Error::Closed(self.path.clone())),
                    Ok(length) => self.replies.push(&self.buffer[..length]),
                    Err(error) => return Err(talk(&self.path, error)),
                }
            }
        };
        match timeout(self.timeout, reading).await {
            Ok(reply) => reply,
            Err(_) => Err(silent(&self.path, question, self.timeout)),
        }
    }
}

fn unconnected(path: &Path, error: io::Error) -> Error {
    let path = path.to_owned();
    match error.kind() {
        io::ErrorKind::NotFound => Error::Missing(path),
        io::ErrorKind::PermissionDenied => Error::Denied(path),
        io::ErrorKind::ConnectionRefused => Error::Dead(path),
        _ => Error::Talk {
            path,
            source: error,
        },
    }
}

fn talk(path: &Path, source: io::Error) -> Error {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Error::Closed(path),
        _ => Error::Talk { path, source },
    }
}

fn silent(path: &Path, question: &str, timeout: Duration) -> Error {
    Error::Silent {
        path: path.to_owned(),
        question: question.to_owned(),
        timeout,
    }
}
