//! A kept connection that comes back by itself.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::{
    connection::{Access, Connection, NOT_FOUND},
    error::{Error, Refusal},
    name::Name,
    protocols::{Protocol, read_protocols},
    reply::Line,
    routes::{Route, Selection, read_routes},
};

/// Between the first two attempts to connect; doubles with each that fails.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// Asks BIRD, and connects when it has to.
#[derive(Debug)]
pub struct Client {
    path: PathBuf,
    timeout: Duration,
    longest_pause: Duration,
    connection: Option<Connection>,
    failures: u32,
    retry_at: Option<Instant>,
}

impl Client {
    /// One that has not connected yet. Each question may take `timeout`; attempts to
    /// connect are at most `longest_pause` apart.
    pub fn new(path: &Path, timeout: Duration, longest_pause: Duration) -> Self {
        Self {
            path: path.to_owned(),
            timeout,
            longest_pause,
            connection: None,
            failures: 0,
            retry_at: None,
        }
    }

    /// The socket.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// When to connect next; none while connected, or at once.
    pub fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    /// BIRD's version, while connected.
    pub fn version(&self) -> Option<&str> {
        self.connection.as_ref().map(Connection::version)
    }

    /// Connects, if there is no connection. How often is the caller's choice, by
    /// [`retry_at`](Self::retry_at).
    pub async fn connect(&mut self) -> Result<(), Error> {
        if self.connection.is_some() {
            return Ok(());
        }
        match Connection::open(&self.path, Access::Restricted, self.timeout).await {
            Ok(connection) => {
                self.connection = Some(connection);
                self.failures = 0;
                self.retry_at = None;
                Ok(())
            }
            Err(error) => {
                self.lost();
                Err(error)
            }
        }
    }

    /// Asks one question.
    pub async fn ask(&mut self, question: &str) -> Result<Vec<Line>, Error> {
        self.connect().await?;
        // Taken out, so that one whose question was given up is not used again.
        let Some(mut connection) = self.connection.take() else {
            return Err(Error::Closed(self.path.clone()));
        };
        let answer = connection.ask(question).await;
        match &answer {
            Err(error) if !error.keeps_connection() => self.lost(),
            Ok(_) | Err(_) => self.connection = Some(connection),
        }
        answer
    }

    /// All protocols.
    pub async fn protocols(&mut self) -> Result<Vec<Protocol>, Error> {
        let lines = self.ask("show protocols all").await?;
        Ok(read_protocols(&lines))
    }

    /// The routes of a selection.
    pub async fn routes(&mut self, selection: &Selection<'_>) -> Result<Vec<Route>, Error> {
        match self.ask(&selection.to_string()).await {
            Ok(lines) => Ok(read_routes(&lines)),
            Err(Error::Refused(Refusal {
                code: NOT_FOUND, ..
            })) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Has a kernel protocol read its kernel table again, by a connection of its own:
    /// the kept one may only ask.
    pub async fn reload(&self, protocol: &Name) -> Result<(), Error> {
        Connection::open(&self.path, Access::Full, self.timeout)
            .await?
            .reload(protocol)
            .await
    }

    /// Waits until BIRD goes away, while nothing is asked. Never ready without a
    /// connection.
    pub async fn closed(&mut self) {
        match &mut self.connection {
            Some(connection) => connection.closed().await,
            None => core::future::pending().await,
        }
        self.lost();
    }

    fn lost(&mut self) {
        self.connection = None;
        let pause = FIRST_PAUSE
            .saturating_mul(2u32.saturating_pow(self.failures))
            .min(self.longest_pause);
        self.failures = self.failures.saturating_add(1);
        self.retry_at = Some(Instant::now() + pause);
    }
}

#[cfg(test)]
mod tests;
