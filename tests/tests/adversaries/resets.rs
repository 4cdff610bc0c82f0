//! RSTs with forged sources, and a port scan. Whoever does not see a connection has to
//! guess its numbers; whoever sees it can end it, but so can its client.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    os::fd::AsRawFd as _,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use lapwing_tests::lab::{
    flood::{Random, Stream},
    raw::{RawSocket, Segment, flags},
    topology::{Family, Lab, client_addresses},
};
use nix::errno::Errno;

use crate::{
    abuse::open,
    stage::{answered_percent, play, settings, watch_web},
};

/// A RST with a sequence number, from the one end of a connection to the other.
fn reset(from: SocketAddr, to: SocketAddr, sequence: u32) -> Vec<u8> {
    let segment = Segment {
        from,
        to,
        sequence,
        acknowledgment: 0,
        flags: flags::RST,
        options: &[],
        payload: &[],
    };
    segment.packet()
}

/// Any client, any of its ports, any number.
fn guess(service: SocketAddr, random: &mut Random) -> Vec<u8> {
    let numbers = random.next().to_be_bytes();
    let clients = client_addresses(Family::of(service.ip()));
    let client = clients[usize::from(numbers[0]) % clients.len()];
    let port = 10_240 + u16::from_be_bytes([numbers[1], numbers[2]]) % 54_000;
    let sequence = u32::from_be_bytes([numbers[3], numbers[4], numbers[5], numbers[6]]);
    reset(SocketAddr::new(client, port), service, sequence)
}

/// What a client's kernel would send next, by way of `TCP_REPAIR`.
fn next_sequence(stream: &TcpStream) -> Result<u32> {
    const OFF_WITHOUT_PROBE: i32 = -1;
    const SEND_QUEUE: i32 = 2;
    set(stream, libc::TCP_REPAIR, 1)?;
    set(stream, libc::TCP_REPAIR_QUEUE, SEND_QUEUE)?;
    let mut sequence = 0_u32;
    let mut length = 4;
    // SAFETY: the kernel writes at most `length` bytes, which the number has.
    let got = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_QUEUE_SEQ,
            (&raw mut sequence).cast(),
            &raw mut length,
        )
    };
    let got = Errno::result(got);
    set(stream, libc::TCP_REPAIR, OFF_WITHOUT_PROBE)?;
    got?;
    Ok(sequence)
}

fn set(stream: &TcpStream, option: i32, value: i32) -> Result<()> {
    // SAFETY: the value is an int that lives until the call returns.
    let result = unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::IPPROTO_TCP,
            option,
            (&raw const value).cast(),
            4,
        )
    };
    Errno::result(result).map(drop).context("TCP_REPAIR")
}

/// A connection whose request is not complete yet, with the number that ends it.
struct Live {
    stream: TcpStream,
    next: u32,
}

fn live(lab: &Lab) -> Result<Vec<Live>> {
    let open_all = || {
        let mut all = Vec::new();
        for family in Family::ALL {
            for client in client_addresses(family).into_iter().take(6) {
                let mut stream = open(client)?;
                stream.write_all(b"GET / HTTP/1.1\r\nHost: anycast.example\r\n")?;
                let next = next_sequence(&stream)?;
                all.push(Live { stream, next });
            }
        }
        Ok::<_, anyhow::Error>(all)
    };
    let opened = lab.clients.network_thread("live", open_all)?;
    opened.join().ok().context("opening panicked")??
}

/// Sends a RST for each, at this distance from the right number.
fn aim(lab: &Lab, live: &[Live], distance: u32) -> Result<()> {
    let mut packets = Vec::new();
    for Live { stream, next } in live {
        let (from, to) = (stream.local_addr()?, stream.peer_addr()?);
        packets.push((to.ip(), reset(from, to, next.wrapping_add(distance))));
    }
    let send = move || {
        packets
            .iter()
            .try_for_each(|(to, packet)| RawSocket::to(*to)?.send(packet))
    };
    let aimed = lab.clients.network_thread("aim", send)?;
    aimed.join().ok().context("sending panicked")??
}

fn is_answered(live: &mut Live) -> bool {
    let mut answer = Vec::new();
    live.stream.write_all(b"\r\n").is_ok()
        && live.stream.read_to_end(&mut answer).is_ok()
        && answer.starts_with(b"HTTP/1.1 200")
}

#[test]
fn spoofed_resets_are_no_fault_of_the_server() -> Result<()> {
    play(|lab| {
        let (load, mut watched) = watch_web(lab, &settings())?;
        let mut held = live(lab)?;
        let sprays = Family::ALL.map(|family| {
            let service = SocketAddr::new(family.service(), 80);
            Stream::start(&lab.clients, service.ip(), 5_000, move |random| {
                guess(service, random)
            })
        });
        let [v4, v6] = sprays;
        let sprays = [v4?, v6?];
        // Behind the window, within it but not the next number (RFC 5961 section 3.2).
        for distance in [0x8000_0000, 0x4000_0000, 1000, 17, 1, u32::MAX] {
            aim(lab, &held, distance)?;
            thread::sleep(Duration::from_millis(150));
        }
        let percent = answered_percent(&load, Duration::from_secs(3))?;
        watched.stays_full(lab, Duration::ZERO)?;
        for stream in sprays {
            println!(
                "{} RSTs sprayed; {percent} % of the clients served",
                stream.finish()?
            );
        }
        ensure!(percent >= 90, "{percent} % of the clients served");

        // Half of them are ended by somebody who knows the number.
        let ended = held.split_off(held.len() / 2);
        aim(lab, &ended, 0)?;
        thread::sleep(Duration::from_millis(200));
        let survived = held
            .iter_mut()
            .filter_map(|live| is_answered(live).then_some(()))
            .count();
        ensure!(
            survived == held.len(),
            "{survived} of {} survived",
            held.len()
        );
        for mut live in ended {
            ensure!(
                !is_answered(&mut live),
                "the right number ends a connection"
            );
        }
        watched.stays_full(lab, Duration::from_secs(2))
    })
}

#[test]
fn port_scans_are_nothing() -> Result<()> {
    play(|lab| {
        let (load, mut watched) = watch_web(lab, &settings())?;
        // SYNs to many ports; then to the service's: no flags, all flags, bare ACKs, FINs.
        for (kind, ports) in [
            ("-sS", "1-3000"),
            ("-sN", "80"),
            ("-sX", "80"),
            ("-sA", "80"),
            ("-sF", "80"),
            ("-sM", "80"),
        ] {
            for family in Family::ALL {
                let address = family.service().to_string();
                let mut arguments =
                    vec!["-n", "-Pn", "-T5", "--max-retries", "1", kind, "-p", ports];
                if family == Family::V6 {
                    arguments.push("-6");
                }
                arguments.push(&address);
                lab.clients.run("nmap", &arguments).context("nmap")?;
            }
        }
        let percent = answered_percent(&load, Duration::from_secs(1))?;
        ensure!(percent >= 90, "{percent} % of the clients served");
        watched.stays_full(lab, Duration::from_secs(2))
    })
}
