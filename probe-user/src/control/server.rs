//! The daemon's end of the control socket.

use std::{
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    sync::{Semaphore, mpsc, oneshot, watch},
};

use super::{
    Answer, Asker, CHANGE_TIMEOUT, DecisionList, Error, NativeAsked, OrderRequest, Question,
    Request, TIMEOUT, hooks::Hooks, reload::Reload,
};
use crate::{journal::recent::Decisions, status::Document};

/// The longest request line.
const REQUEST_BYTES: u64 = 4096;
/// Requests served at once; more wait.
const CONNECTIONS: usize = 16;

/// What waits for the loop.
#[derive(Debug)]
pub enum Demand {
    /// An order.
    Order(Asked),
    /// Another configuration.
    Reload(Asker),
    /// Native XDP.
    Native(NativeAsked),
}

/// An order that waits for the loop.
#[derive(Debug)]
pub struct Asked {
    /// What is wanted.
    pub order: OrderRequest,
    /// Who wants it.
    pub by: String,
    /// Where the answer goes.
    pub answer: oneshot::Sender<Answer>,
}

/// What questions are answered from.
#[derive(Clone, Debug)]
pub struct Sources {
    /// The newest status document.
    pub status: watch::Receiver<Arc<Document>>,
    /// The newest decisions.
    pub decisions: watch::Receiver<Decisions>,
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

    /// Answers requests for ever: questions from the sources, orders by handing them to
    /// `orders`. The returned file is to be kept for as long.
    pub fn serve(self, sources: Sources, orders: mpsc::Sender<Demand>) -> SocketFile {
        let Self { listener, file } = self;
        tokio::spawn(accept(listener, sources, orders));
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

async fn accept(listener: UnixListener, sources: Sources, orders: mpsc::Sender<Demand>) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let sources = sources.clone();
                let orders = orders.clone();
                tokio::spawn(async move {
                    let _permit = permit;
                    if let Err(error) = answer(stream, &sources, &orders).await {
                        tracing::debug!("control connection: {error}");
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

async fn answer(
    stream: UnixStream,
    sources: &Sources,
    orders: &mpsc::Sender<Demand>,
) -> io::Result<()> {
    let by = user(&stream);
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    let mut read = tokio::io::BufReader::new(read.take(REQUEST_BYTES));
    tokio::time::timeout(TIMEOUT, read.read_line(&mut line)).await??;
    let mut reply = match serde_json::from_str(&line) {
        Ok(Request::Question(Question::Status)) => {
            let document = Arc::clone(&sources.status.borrow());
            serde_json::to_vec(&*document)?
        }
        Ok(Request::Question(Question::Decisions { limit })) => {
            let all = Arc::clone(&sources.decisions.borrow());
            let left_out = limit.map_or(0, |limit| all.len().saturating_sub(limit));
            let decisions = all.iter().skip(left_out);
            let decisions = decisions.map(|decision| (**decision).clone()).collect();
            serde_json::to_vec(&DecisionList { decisions })?
        }
        Ok(Request::Order(order)) => {
            let demand = |answer| Demand::Order(Asked { order, by, answer });
            serde_json::to_vec(&hand_over(demand, CHANGE_TIMEOUT, orders).await)?
        }
        Ok(Request::Reload(Reload::Reload { check })) => {
            let demand = |answer| {
                let answer = Some(answer);
                Demand::Reload(Asker { by, check, answer })
            };
            serde_json::to_vec(&hand_over(demand, CHANGE_TIMEOUT, orders).await)?
        }
        Ok(Request::Hooks(Hooks::AttachNative { force })) => {
            let demand = |answer| Demand::Native(NativeAsked { force, by, answer });
            serde_json::to_vec(&hand_over(demand, CHANGE_TIMEOUT, orders).await)?
        }
        Err(_) => serde_json::to_vec(&Answer::Error("not a known request".to_owned()))?,
    };
    reply.push(b'\n');
    let send = async {
        write.write_all(&reply).await?;
        write.shutdown().await
    };
    tokio::time::timeout(TIMEOUT, send).await?
}

/// Gives the loop something to do, and waits for its answer.
async fn hand_over(
    demand: impl FnOnce(oneshot::Sender<Answer>) -> Demand,
    timeout: Duration,
    orders: &mpsc::Sender<Demand>,
) -> Answer {
    let stopping = || Answer::Error("the daemon is stopping".to_owned());
    let (answer, answered) = oneshot::channel();
    let exchange = async {
        match orders.send(demand(answer)).await {
            Ok(()) => answered.await.unwrap_or_else(|_| stopping()),
            Err(_) => stopping(),
        }
    };
    tokio::time::timeout(timeout, exchange)
        .await
        .unwrap_or_else(|_| {
            Answer::Error(format!(
                "lapwing is still at it after {}; its journal will tell",
                humantime::format_duration(timeout)
            ))
        })
}

/// Who is at the other end, as the kernel says.
fn user(stream: &UnixStream) -> String {
    let Ok(credentials) = stream.peer_cred() else {
        return "somebody".to_owned();
    };
    let uid = nix::unistd::Uid::from_raw(credentials.uid());
    match nix::unistd::User::from_uid(uid) {
        Ok(Some(user)) => user.name,
        Ok(None) | Err(_) => format!("uid {uid}"),
    }
}
