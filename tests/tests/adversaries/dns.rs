//! A name server that rightly leaves queries unanswered: of networks that it does not
//! serve, of those that ask too often, and what is no query at all. Anybody can send
//! such, with any source, so they prove nothing.

use std::{net::SocketAddr, thread, time::Duration};

use anyhow::{Result, ensure};
use lapwing_tests::lab::{
    faults::nft,
    flood::{Random, Stream, nobody},
    knot::{Knot, query},
    lapwing::Settings,
    raw::datagram,
    topology::{Family, Lab},
};

use crate::{
    resolvers::Resolvers,
    stage::{RATE, Watched, play, settings, watch},
};

fn name_server(family: Family) -> String {
    let (name, address) = match family {
        Family::V4 => ("dns4", "192.0.2.10"),
        Family::V6 => ("dns6", "2001:db8:a::10"),
    };
    let probed = SocketAddr::new(family.service(), 53);
    format!(
        r#"
[[prefix.service]]
name = "{name}"
address = "{address}"
port = 53
protocol = "udp"
patience = "3s"
probe = {{ dns = "{probed}", name = "www.example", interval = "1s", timeout = "1s" }}
"#
    )
}

fn dns() -> Settings {
    Settings {
        services: name_server,
        ..settings()
    }
}

/// Datagrams to both addresses of the name server.
fn send(
    lab: &Lab,
    per_second: u32,
    next: fn(SocketAddr, &mut Random) -> Vec<u8>,
) -> Result<[Stream; 2]> {
    let [v4, v6] = Family::ALL.map(|family| {
        let service = SocketAddr::new(family.service(), 53);
        Stream::start(&lab.clients, service.ip(), per_second, move |random| {
            next(service, random)
        })
    });
    Ok([v4?, v6?])
}

/// A good query of somebody who does not exist.
fn spoofed(service: SocketAddr, random: &mut Random) -> Vec<u8> {
    let numbers = random.next().to_be_bytes();
    let port = u16::from_be_bytes([0x28 | numbers[0], numbers[1]]);
    let id = u16::from_be_bytes([numbers[2], numbers[3]]);
    let from = SocketAddr::new(nobody(service.ip(), random), port);
    datagram(from, service, &query(id, "www.example"))
}

/// A good query of one network that does not exist.
fn spoofed_network(service: SocketAddr, random: &mut Random) -> Vec<u8> {
    let numbers = random.next().to_be_bytes();
    let id = u16::from_be_bytes([numbers[2], numbers[3]]);
    let from = match service {
        SocketAddr::V4(_) => SocketAddr::from(([10, 7, 7, numbers[0]], 5353)),
        SocketAddr::V6(_) => {
            let host = u16::from(numbers[0]);
            SocketAddr::from(([0x2001, 0xdb8, 0xdead, 7, 0, 0, 0, host], 5353))
        }
    };
    datagram(from, service, &query(id, "www.example"))
}

/// Headers that promise what is not there, questions that end early, noise.
fn malformed(service: SocketAddr, random: &mut Random) -> Vec<u8> {
    let noise: Vec<u8> = (0..5).flat_map(|_| random.next().to_be_bytes()).collect();
    let mut good = query(u16::from_be_bytes([noise[0], noise[1]]), "www.example");
    let length = usize::from(noise[2]) % good.len();
    let message = match noise[3] % 4 {
        0 => noise[..usize::from(noise[4] % 40)].to_vec(),
        1 => good[..length].to_vec(),
        2 => {
            good[4..6].copy_from_slice(&noise[5..7]);
            good
        }
        _ => {
            good[12] = noise[5];
            good
        }
    };
    let from = SocketAddr::new(nobody(service.ip(), random), 5353);
    datagram(from, service, &message)
}

/// Plays it for some seconds; clients go on being served and nothing is decided.
fn is_nothing(
    lab: &Lab,
    resolvers: &Resolvers,
    watched: &mut Watched,
    what: &str,
    next: fn(SocketAddr, &mut Random) -> Vec<u8>,
) -> Result<()> {
    let streams = send(lab, 10 * RATE, next)?;
    let percent = resolvers.answered_percent(Duration::from_secs(5));
    drop(streams);
    println!("{what}: {percent} % of the resolvers' queries answered");
    ensure!(
        percent >= 90,
        "{what}: {percent} % answered\n{}",
        watched.told()
    );
    watched.stays_full(lab, Duration::from_secs(1))
}

#[test]
fn queries_that_are_rightly_dropped_and_noise_change_nothing() -> Result<()> {
    play(|lab| {
        let knot = Knot::start_limited(&lab.fra1.node, 4 * RATE)?;
        let resolvers = Resolvers::start(&lab.clients, RATE)?;
        let mut watched = watch(lab, &dns())?;
        nft(
            &lab.fra1.node,
            "table inet acl { chain acl { type filter hook input priority 0; \
             ip saddr 10.0.0.0/8 udp dport 53 drop; \
             ip6 saddr 2001:db8:dead::/48 udp dport 53 drop; }; }\n",
        )?;
        is_nothing(lab, &resolvers, &mut watched, "ACL", spoofed)?;
        watched.expect_held("second_leg", "answer")?;
        nft(&lab.fra1.node, "delete table inet acl\n")?;
        is_nothing(lab, &resolvers, &mut watched, "rate limit", spoofed_network)?;
        is_nothing(lab, &resolvers, &mut watched, "malformed", malformed)?;
        knot.kill()
    })
}

/// The default profile's patience is 1 s; three are given to a busy machine.
#[test]
fn restarted_within_patience_stays_and_dead_with_eager_clients_goes() -> Result<()> {
    play(|lab| {
        let knot = Knot::start(&lab.fra1.node)?;
        let resolvers = Resolvers::start(&lab.clients, RATE)?;
        let mut watched = watch(lab, &dns())?;
        knot.kill()?;
        thread::sleep(Duration::from_millis(500));
        let knot = Knot::start(&lab.fra1.node)?;
        watched.stays_full(lab, Duration::from_secs(4))?;
        let suspected = watched
            .records()?
            .iter()
            .any(|record| record.event() == "suspected");
        ensure!(suspected, "the gap was not seen:\n{}", watched.told());

        // Silence, and resolvers that ask five times as often for it.
        knot.freeze()?;
        let eager = Resolvers::start(&lab.clients, 4 * RATE)?;
        for decision in watched.decisions("withdrawn", Duration::from_secs(20))? {
            println!("dead: {}", decision.text("sentence"));
        }
        drop(eager);
        knot.thaw()?;
        watched.decisions("full", Duration::from_secs(20))?;
        drop(resolvers);
        knot.kill()
    })
}
