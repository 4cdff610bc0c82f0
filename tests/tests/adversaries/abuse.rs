//! Clients that proved their addresses and mean harm. What a few of them can make fail
//! is no fault of the server's, so nothing is withdrawn, nor degraded.

use std::{
    io::Write as _,
    net::{IpAddr, SocketAddr, TcpStream},
    os::fd::{AsRawFd as _, OwnedFd},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use lapwing_tests::lab::{
    faults::nft,
    pair::Pair,
    topology::{Family, Lab},
};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, setsockopt, socket, sockopt,
};

use crate::stage::{RATE, answered_percent, play, settings, watch_web};

/// Connects to the web server from an address, as nobody else's client.
pub fn open(from: IpAddr) -> Result<TcpStream> {
    let family = Family::of(from);
    let of = match family {
        Family::V4 => AddressFamily::Inet,
        Family::V6 => AddressFamily::Inet6,
    };
    let socket: OwnedFd = socket(of, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&socket, sockopt::IpBindAddressNoPort, &true)?;
    let address = |ip, port| SockaddrStorage::from(SocketAddr::new(ip, port));
    bind(socket.as_raw_fd(), &address(from, 0))?;
    connect(socket.as_raw_fd(), &address(family.service(), 80))?;
    Ok(TcpStream::from(socket))
}

/// From one network of each family: connections that send this and stay open, so many
/// per second and family. Returns them when so many were made.
fn open_and_wait(
    lab: &Lab,
    sent: &'static [u8],
    per_second: u32,
    count: u32,
) -> Result<Vec<TcpStream>> {
    let abusers = Family::ALL.map(|family| -> Result<_> {
        let from = Pair::client(family)?;
        lab.clients.network_thread("abuser", move || {
            let begin = Instant::now();
            let mut waiting = Vec::new();
            for turn in 0..count {
                let due = Duration::from_secs(1) * turn / per_second;
                thread::sleep(due.saturating_sub(begin.elapsed()));
                let mut stream = open(from)?;
                stream.write_all(sent)?;
                waiting.push(stream);
            }
            Ok::<_, anyhow::Error>(waiting)
        })
    });
    let mut all = Vec::new();
    for abuser in abusers {
        let waiting = abuser?.join().ok().context("the abuser panicked")???;
        all.extend(waiting);
    }
    Ok(all)
}

#[test]
fn one_network_that_leaves_its_requests_open_is_no_fault() -> Result<()> {
    play(|lab| {
        let (load, mut watched) = watch_web(lab, &settings())?;
        let waiting = open_and_wait(lab, b"G", 3 * RATE, 24 * RATE)?;
        watched.stays_full(lab, Duration::ZERO)?;
        watched.expect_held("second_leg", "request")?;
        let percent = answered_percent(&load, Duration::from_secs(1))?;
        println!(
            "{} connections left open; {percent} % of the clients served",
            waiting.len()
        );
        ensure!(percent >= 90, "{percent} % of the clients served");
        watched.stays_full(lab, Duration::from_secs(2))
    })
}

/// It asks, and never acknowledges an answer: the server sends each again and again.
#[test]
fn one_network_that_acknowledges_nothing_is_no_fault_of_the_way() -> Result<()> {
    play(|lab| {
        let (load, mut watched) = watch_web(lab, &settings())?;
        nft(
            &lab.clients,
            "table inet deaf { chain deaf { type filter hook input priority 0; \
             ip daddr 198.18.1.10 tcp sport 80 ip length > 60 drop; \
             ip6 daddr 2001:db8:c01::10 tcp sport 80 ip6 length > 40 drop; }; }\n",
        )?;
        let request = b"GET / HTTP/1.1\r\nHost: anycast.example\r\n\r\n";
        let deaf = open_and_wait(lab, request, RATE, 8 * RATE)?;
        let percent = answered_percent(&load, Duration::from_secs(1))?;
        let status = watched.daemon.status(&lab.fra1.node)?;
        println!(
            "{} connections acknowledge nothing; {percent} % of the clients served; deliver: {} {}",
            deaf.len(),
            status["services"][0]["trials"]["deliver"],
            status["services"][0]["kinds"]["deliver"],
        );
        watched.stays_full(lab, Duration::from_secs(2))?;
        watched.expect_held("second_leg", "deliver")?;
        drop(deaf);
        nft(&lab.clients, "delete table inet deaf\n")
    })
}
