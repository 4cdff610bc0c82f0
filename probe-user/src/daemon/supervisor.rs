//! What the service manager is told: systemd's notify protocol, datagrams of text to the
//! socket that `NOTIFY_SOCKET` names. Without that variable nothing is told.
//!
//! ```text
//! hooks attached, every prefix found in its table or not ─▶ READY=1
//! once a second, by the loop itself ─────────────────────▶ WATCHDOG=1, STATUS=
//! another configuration is asked for, is in force ───────▶ RELOADING=1, READY=1
//! asked to stop ─────────────────────────────────────────▶ STOPPING=1
//! ```
//!
//! The beat is a turn of the loop that decides: a timer of its own would go on beating for
//! a loop that is stuck. Sending never waits; what does not fit into the manager's socket
//! is told again a second later.

use std::{
    env,
    ffi::{OsStr, OsString},
    io,
    os::{
        linux::net::SocketAddrExt as _,
        unix::{
            ffi::OsStrExt as _,
            net::{SocketAddr, UnixDatagram},
        },
    },
};

use nix::time::{ClockId, clock_gettime};

const VARIABLE: &str = "NOTIFY_SOCKET";

/// The service manager, if there is one.
#[derive(Debug, Default)]
pub struct Supervisor {
    socket: Option<UnixDatagram>,
    /// Whether it knows that the daemon is up.
    ready: bool,
    /// What it was told last.
    status: String,
}

impl Supervisor {
    /// The one that started this process.
    pub fn of_environment() -> Self {
        Self::at(env::var_os(VARIABLE))
    }

    fn at(address: Option<OsString>) -> Self {
        let socket = address
            .filter(|address| !address.is_empty())
            .and_then(|address| {
                connect(&address)
                    .inspect_err(|error| {
                        let address = address.display();
                        tracing::warn!("cannot reach {VARIABLE}={address}: {error}");
                    })
                    .ok()
            });
        Self {
            socket,
            ..Self::default()
        }
    }

    /// Whether there is one.
    pub fn listens(&self) -> bool {
        self.socket.is_some()
    }

    /// Whether it still waits for the daemon to be up.
    pub fn waits(&self) -> bool {
        self.socket.is_some() && !self.ready
    }

    /// The daemon measures, and knows what stands in the table.
    pub fn ready(&mut self) {
        self.ready = self.tell("READY=1");
    }

    /// The loop has turned, and this is how things are.
    pub fn beat(&mut self, status: String) {
        if status == self.status {
            self.tell("WATCHDOG=1");
        } else if self.tell(&format!("WATCHDOG=1\nSTATUS={status}")) {
            self.status = status;
        }
    }

    /// Another configuration begins to be read; `ready` ends it.
    pub fn reloading(&mut self) {
        // When this began, for managers that asked by a signal and wait for the answer.
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC)
            .map(|time| i128::from(time.tv_sec()) * 1_000_000 + i128::from(time.tv_nsec()) / 1_000);
        match now {
            Ok(now) => self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={now}")),
            Err(_) => self.tell("RELOADING=1"),
        };
        self.ready = false;
    }

    /// The daemon has begun to stop.
    pub fn stopping(&mut self) {
        self.tell("STOPPING=1\nSTATUS=stopping");
    }

    /// Whether it has got there.
    fn tell(&self, text: &str) -> bool {
        let Some(socket) = &self.socket else {
            return true;
        };
        match socket.send(text.as_bytes()) {
            Ok(_) => true,
            Err(error) => {
                tracing::debug!("the service manager does not listen: {error}");
                false
            }
        }
    }
}

/// The address is a path, or with `@` before it a name in the abstract namespace.
fn connect(address: &OsStr) -> io::Result<UnixDatagram> {
    let address = match address.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(address)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 4096];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    #[test]
    fn the_manager_hears_a_life_in_order() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let mut told = Supervisor::at(Some(path.into()));
        assert!(told.waits());
        told.ready();
        assert_eq!(heard(&manager), "READY=1");
        assert!(!told.waits());
        told.beat("all is well".to_owned());
        assert_eq!(heard(&manager), "WATCHDOG=1\nSTATUS=all is well");
        told.beat("all is well".to_owned());
        assert_eq!(heard(&manager), "WATCHDOG=1");
        told.reloading();
        assert!(heard(&manager).starts_with("RELOADING=1\nMONOTONIC_USEC="));
        assert!(told.waits());
        told.ready();
        assert_eq!(heard(&manager), "READY=1");
        told.stopping();
        assert_eq!(heard(&manager), "STOPPING=1\nSTATUS=stopping");
    }

    #[test]
    fn a_name_of_the_abstract_namespace_is_reached() {
        let name = format!("lapwing-notify-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let manager = UnixDatagram::bind_addr(&address).unwrap();
        Supervisor::at(Some(format!("@{name}").into())).ready();
        assert_eq!(heard(&manager), "READY=1");
    }

    #[test]
    fn without_a_manager_nothing_is_told_and_nothing_fails() {
        for address in [
            None,
            Some(OsString::new()),
            Some("/nonexistent/notify".into()),
        ] {
            let mut nobody = Supervisor::at(address);
            assert!(!nobody.waits());
            nobody.ready();
            nobody.beat(String::new());
            nobody.stopping();
        }
    }

    #[test]
    fn a_manager_that_does_not_read_holds_nobody_up_and_is_told_later() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let mut told = Supervisor::at(Some(path.into()));
        while told.tell("WATCHDOG=1") {}
        told.ready();
        assert!(told.waits(), "it was not told");
        heard(&manager);
        told.ready();
        assert!(!told.waits());
    }
}
