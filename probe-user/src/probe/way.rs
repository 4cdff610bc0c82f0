//! From where to where a probe goes, and the sockets on that way.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::{io, os::fd::AsRawFd};

use nix::{
    errno::Errno,
    sys::socket::{self, AddressFamily, SockFlag, SockProtocol, SockType, SockaddrStorage},
};
use probe_core::input::ProbeFailure;
use tokio::net::{TcpStream, UdpSocket};

/// Whom a probe asks, and from which address. Both are of one family: the
/// configuration saw to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    pub(super) target: SocketAddr,
    /// The kernel's choice if none.
    pub(super) source: Option<IpAddr>,
}

impl Way {
    /// A connection to the target.
    pub(super) async fn connect(self) -> Result<TcpStream, ProbeFailure> {
        self.finish(self.begin()?).await
    }

    /// A connection to the target that has begun, and may be made already.
    pub(super) fn begin(self) -> Result<std::net::TcpStream, ProbeFailure> {
        let family = match self.target {
            SocketAddr::V4(_) => AddressFamily::Inet,
            SocketAddr::V6(_) => AddressFamily::Inet6,
        };
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let socket = socket::socket(family, SockType::Stream, flags, SockProtocol::Tcp)
            .map_err(|error| self.failure(&error.into()))?;
        if self.source.is_some() {
            socket::bind(socket.as_raw_fd(), &SockaddrStorage::from(self.local()))
                .map_err(|error| self.no_source(&error.into()))?;
        }
        match socket::connect(socket.as_raw_fd(), &SockaddrStorage::from(self.target)) {
            Ok(()) | Err(Errno::EINPROGRESS) => Ok(socket.into()),
            Err(error) => Err(self.failure(&error.into())),
        }
    }

    /// Waits until a connection that has begun is made.
    pub(super) async fn finish(
        self,
        begun: std::net::TcpStream,
    ) -> Result<TcpStream, ProbeFailure> {
        let failure = |error| self.failure(&error);
        let stream = TcpStream::from_std(begun).map_err(failure)?;
        stream.writable().await.map_err(failure)?;
        match stream.take_error().map_err(failure)? {
            None => Ok(stream),
            Some(error) => Err(self.failure(&error)),
        }
    }

    /// A datagram socket that hears nobody but the target.
    pub(super) async fn datagrams(self) -> Result<UdpSocket, ProbeFailure> {
        let socket = UdpSocket::bind(self.local())
            .await
            .map_err(|error| self.no_source(&error))?;
        socket
            .connect(self.target)
            .await
            .map_err(|error| self.failure(&error))?;
        Ok(socket)
    }

    /// The address to bind to, with any port.
    pub(super) fn local(self) -> SocketAddr {
        let address = self.source.unwrap_or(match self.target {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        });
        SocketAddr::new(address, 0)
    }

    /// What an error on the way says of the target.
    pub(super) fn failure(self, error: &io::Error) -> ProbeFailure {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => ProbeFailure::Refused,
            io::ErrorKind::TimedOut => ProbeFailure::Timeout,
            _ => ProbeFailure::Other(format!("cannot ask {}: {error}", self.target)),
        }
    }

    /// No socket at the source.
    pub(super) fn no_source(self, error: &io::Error) -> ProbeFailure {
        ProbeFailure::Other(format!("cannot ask from {}: {error}", self.local().ip()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn the_source_is_where_the_server_sees_the_probe_from() {
        for (listen, source) in [("127.0.0.1:0", "127.0.0.7"), ("[::1]:0", "::1")] {
            let source: IpAddr = source.parse().unwrap();
            let listener = TcpListener::bind(listen).await.unwrap();
            let target = listener.local_addr().unwrap();
            let way = Way {
                target,
                source: Some(source),
            };
            way.connect().await.unwrap();
            assert_eq!(listener.accept().await.unwrap().1.ip(), source);
            way.begin().unwrap();
            assert_eq!(listener.accept().await.unwrap().1.ip(), source);
            let server = UdpSocket::bind(target).await.unwrap();
            way.datagrams().await.unwrap().send(b"?").await.unwrap();
            let (_, client) = server.recv_from(&mut [0; 1]).await.unwrap();
            assert_eq!(client.ip(), source);
        }
    }

    #[tokio::test]
    async fn a_source_that_this_host_does_not_have_is_told_in_words() {
        let way = Way {
            target: "127.0.0.1:1".parse().unwrap(),
            source: Some("192.0.2.1".parse().unwrap()),
        };
        for failure in [
            way.connect().await.unwrap_err(),
            way.begin().unwrap_err(),
            way.datagrams().await.unwrap_err(),
        ] {
            assert!(
                failure
                    .to_string()
                    .starts_with("cannot ask from 192.0.2.1: "),
                "{failure}"
            );
        }
    }
}
