//! The control socket: one line of JSON in, one line of JSON out.
//!
//! ```text
//! {"cmd":"status"}\n  ─▶  the status document\n
//! anything else\n     ─▶  {"error":"..."}\n
//! ```
//!
//! Only owner and group of the socket may connect (mode 0660). Requests read; none
//! of them changes anything.

use std::{
    io::{self, BufRead, BufReader, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    sync::{Semaphore, watch},
};

use crate::status::Document;

/// The longest request line.
const REQUEST_BYTES: u64 = 4096;
/// How long one request may take, on either side.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Requests served at once; more wait.
const CONNECTIONS: usize = 16;

/// What can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "cmd", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// The status document.
    Status,
}

/// Why there is no control socket, or no answer from it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another daemon answers there.
    #[error(
        "another lapwing already listens on {}\nhelp: stop it first (`systemctl stop lapwing`), or give this one its own `control` and `state_dir`",
        .0.display()
    )]
    InUse(PathBuf),
    /// The socket cannot be made.
    #[error(
        "cannot listen on the control socket {}: {source}\nhelp: check the directory, or choose another path with `control` in [daemon]",
        path.display()
    )]
    Bind {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Nobody answers.
    #[error(
        "no lapwing is running here: nobody answers on {}\nhelp: start it with `lapwing run`, or name its socket with `--control PATH`",
        .0.display()
    )]
    NotRunning(PathBuf),
    /// The socket may not be used.
    #[error(
        "this user may not talk to lapwing on {}\nhelp: run the command as root or as a member of the socket's group",
        .0.display()
    )]
    Denied(PathBuf),
    /// The conversation failed.
    #[error("lapwing does not answer on {}: {source}", path.display())]
    Talk {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The answer is not understood.
    #[error(
        "lapwing's answer on {} is not understood: {why}\nhelp: use the command of the same version as the daemon",
        path.display()
    )]
    Answer {
        /// Where.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

/// The daemon's end of the socket; its file goes when this is dropped.
#[derive(Debug)]
pub struct Control {
    listener: UnixListener,
    file: SocketFile,
}

/// The socket's file, removed when dropped.
#[derive(Debug)]
pub struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // A file that is gone already is what is wanted.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Control {
    /// Listens at `path`. A socket that a dead daemon left is replaced; a living one
    /// is an error.
    pub fn bind(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Bind {
            path: path.to_owned(),
            source,
        };
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory).map_err(failed)?;
        }
        match std::os::unix::net::UnixStream::connect(path) {
            Ok(_) => return Err(Error::InUse(path.to_owned())),
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound => {}
                io::ErrorKind::ConnectionRefused => {
                    remove_stale(path).map_err(failed)?;
                }
                // A full accept queue has a living owner.
                io::ErrorKind::WouldBlock => return Err(Error::InUse(path.to_owned())),
                _ => return Err(failed(error)),
            },
        }
        let listener = UnixListener::bind(path).map_err(failed)?;
        let file = SocketFile(path.to_owned());
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660)).map_err(failed)?;
        Ok(Self { listener, file })
    }

    /// Answers requests for ever. The returned file is to be kept for as long.
    pub fn serve(self, status: watch::Receiver<Arc<Document>>) -> SocketFile {
        let Self { listener, file } = self;
        tokio::spawn(accept(listener, status));
        file
    }
}

/// Removes a socket that nobody listens on, and nothing else.
fn remove_stale(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt;
    if std::fs::symlink_metadata(path)?.file_type().is_socket() {
        tracing::info!(
            "replacing the control socket {} of a daemon that is gone",
            path.display()
        );
        std::fs::remove_file(path)
    } else {
        Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "there is a file that is not a socket",
        ))
    }
}

async fn accept(listener: UnixListener, status: watch::Receiver<Arc<Document>>) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let status = status.clone();
                tokio::spawn(async move {
                    let _permit = permit;
                    match tokio::time::timeout(TIMEOUT, answer(stream, &status)).await {
                        Ok(Ok(())) => {}
                        Ok(Err(error)) => tracing::debug!("control connection: {error}"),
                        Err(_) => tracing::debug!("control connection: too slow"),
                    }
                });
            }
            Err(error) => {
                // Out of file descriptors, most likely: let others end first.
                tracing::warn!("cannot accept a control connection: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn answer(stream: UnixStream, status: &watch::Receiver<Arc<Document>>) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    tokio::io::BufReader::new(read.take(REQUEST_BYTES))
        .read_line(&mut line)
        .await?;
    let mut reply = match serde_json::from_str(&line) {
        Ok(Request::Status) => {
            let document = Arc::clone(&status.borrow());
            serde_json::to_vec(&*document)?
        }
        Err(error) => serde_json::to_vec(&serde_json::json!({
            "error": format!("not a known request: {error}"),
        }))?,
    };
    reply.push(b'\n');
    write.write_all(&reply).await?;
    write.shutdown().await
}

/// Asks the daemon at `path` and gives its answer as text, one line of JSON.
pub fn ask(path: &Path, request: Request) -> Result<String, Error> {
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
    stream.set_read_timeout(Some(TIMEOUT)).map_err(talk)?;
    stream.set_write_timeout(Some(TIMEOUT)).map_err(talk)?;
    let mut line = serde_json::to_string(&request).map_err(|error| talk(error.into()))?;
    line.push('\n');
    stream.write_all(line.as_bytes()).map_err(talk)?;
    let mut reply = String::new();
    BufReader::new(stream).read_line(&mut reply).map_err(talk)?;
    Ok(reply)
}

/// The status document of the daemon at `path`, as it was sent and as it is read.
pub fn status(path: &Path) -> Result<(String, Document), Error> {
    #[derive(Deserialize)]
    struct Refusal {
        error: String,
    }
    let reply = ask(path, Request::Status)?;
    let answer = |why| Error::Answer {
        path: path.to_owned(),
        why,
    };
    if let Ok(refusal) = serde_json::from_str::<Refusal>(&reply) {
        return Err(answer(refusal.error));
    }
    let document = serde_json::from_str(&reply).map_err(|error| answer(error.to_string()))?;
    Ok((reply, document))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::status::SensorView;

    fn document() -> Arc<Document> {
        Arc::new(Document {
            version: "0".into(),
            pid: 1,
            site: "s".into(),
            host: "h".into(),
            mode: probe_core::config::Mode::Observe,
            uptime_seconds: 1.0,
            sensor: SensorView {
                trouble: None,
                attachments: Vec::new(),
            },
            journal_trouble: None,
            conflicts: Vec::new(),
            prefixes: Vec::new(),
            services: Vec::new(),
        })
    }

    #[tokio::test]
    async fn a_request_is_answered_and_a_wrong_one_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run/control.sock");
        let (_sender, receiver) = watch::channel(document());
        let file = Control::bind(&path).unwrap().serve(receiver);
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o660
        );
        let asked = path.clone();
        let (_, answer) = tokio::task::spawn_blocking(move || status(&asked))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(answer, *document());

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
}
