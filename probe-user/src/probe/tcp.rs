//! The TCP probe: a handshake, ended by a RST so that no socket of ours lingers in
//! TIME-WAIT, however often we ask.
//!
//! A service of this host, as nearly all are, has answered before `connect` returns. Then
//! nothing is left to wait for, and the socket needs no place among those that the runtime
//! watches: a fifth of what such a probe costs.

use std::os::fd::AsFd;

use nix::{
    libc::linger,
    sys::socket::{setsockopt, sockopt::Linger},
};
use probe_core::input::ProbeFailure;

use super::way::Way;

/// Close with a RST, and at once.
const RESET: linger = linger {
    l_onoff: 1,
    l_linger: 0,
};

pub(super) async fn ask(way: Way) -> Result<(), ProbeFailure> {
    let begun = way.begin()?;
    // Nobody has a peer before the handshake is done (getpeername(2)).
    if begun.peer_addr().is_ok() {
        reset(way, &begun);
    } else {
        reset(way, &way.finish(begun).await?);
    }
    Ok(())
}

/// Only after the handshake, so that the RST cannot be taken for its answer. If it does
/// not work, the socket closes with a FIN, and the answer stands.
fn reset(way: Way, stream: &impl AsFd) {
    if let Err(error) = setsockopt(stream, Linger, &RESET) {
        tracing::debug!(target = %way.target, %error, "the probe closes with a FIN");
    }
}

#[cfg(test)]
mod tests {
    use core::net::SocketAddr;
    use std::{io, time::Duration};

    use probe_core::config::ProbeKind;
    use tokio::{
        io::AsyncReadExt,
        net::{TcpListener, TcpSocket, TcpStream},
    };

    use super::*;
    use crate::probe::loopback::{LOOPBACKS, TIMEOUT, run};

    fn probe(target: SocketAddr) -> ProbeKind {
        ProbeKind::Tcp { target }
    }

    #[tokio::test]
    async fn a_listener_answers_and_hears_a_reset() {
        for address in LOOPBACKS {
            let listener = TcpListener::bind(address).await.unwrap();
            let (took, outcome) = run(probe(listener.local_addr().unwrap())).await;
            assert_eq!(outcome, Ok(()));
            assert!(took < TIMEOUT, "{took:?}");
            let (mut stream, _) = listener.accept().await.unwrap();
            let error = stream.read_u8().await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        }
    }

    #[tokio::test]
    async fn a_closed_port_refuses_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = listener.local_addr().unwrap();
        drop(listener);
        let (took, outcome) = run(probe(target)).await;
        assert_eq!(outcome, Err(ProbeFailure::Refused));
        assert!(took < TIMEOUT, "{took:?}");
    }

    #[tokio::test]
    async fn a_full_backlog_is_silent_until_the_timeout() {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let target = socket.local_addr().unwrap();
        let _listener = socket.listen(1).unwrap();
        let mut fillers = Vec::new();
        while let Ok(filler) =
            tokio::time::timeout(Duration::from_millis(50), TcpStream::connect(target)).await
        {
            fillers.push(filler.unwrap());
            assert!(fillers.len() < 16, "the backlog never fills");
        }
        let (took, outcome) = run(probe(target)).await;
        assert_eq!(outcome, Err(ProbeFailure::Timeout));
        assert!(took >= TIMEOUT, "{took:?}");
    }

    #[tokio::test]
    async fn an_unreachable_target_is_told_in_words() {
        // The limited broadcast address: the kernel never connects there.
        let (_, outcome) = run(probe("255.255.255.255:80".parse().unwrap())).await;
        match outcome {
            Err(ProbeFailure::Other(words)) => {
                assert!(words.contains("255.255.255.255:80: "), "{words}");
            }
            other => panic!("{other:?}"),
        }
    }
}
