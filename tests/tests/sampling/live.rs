//! By real connections over a link that loses packets at random.
//!
//! ```text
//!  clients ── [5 % of data lost] ── eth0  host   a server; XDP and tc on eth0
//! ```
//! The truth is what the server's kernel says of each connection (`TCP_INFO`).

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    process::Command,
    sync::mpsc,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use lapwing_tests::lab::{
    pair::Pair,
    sensor::{self, Sensor, Tally},
    tcp_info::TcpInfo,
    topology::{Family, OUTER},
};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use probe_common::{counters::Counters, trial::Kind};
use probe_core::config::Application;
use probe_user::datapath::AttachMode;

use super::{Z_RANDOM, is_share};

const SEGMENT: usize = 1000;

/// What is to be played.
#[derive(Clone, Copy)]
struct Scene {
    connections: usize,
    /// Segments that the server sends on each.
    segments: usize,
    /// How many of 100 are lost.
    lost_percent: u8,
}

/// What the server's kernel and the data plane say.
struct Seen {
    connections: Vec<TcpInfo>,
    counters: Counters,
    deliver: Tally,
}

fn play(scene: Scene) -> Result<Seen> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    let pair = Pair::new()?;
    let service = SocketAddr::new(Family::V4.service(), 8080);
    let specs = [sensor::tcp(service, Application::Any)];
    let mut sensor = Sensor::start(&pair.host, &[OUTER], AttachMode::Native, &specs)?;
    let mut nft = Command::new("nft");
    nft.args(["-f", "-"]);
    pair.clients.run_with_input(
        nft,
        &format!(
            "table netdev loss {{ chain drops {{ type filter hook ingress device \"{OUTER}\" \
             priority 0; meta length > 500 numgen random mod 100 < {} drop; }}; }}\n",
            scene.lost_percent
        ),
    )?;

    let (listening, ready) = mpsc::channel();
    let (received, all_received) = mpsc::channel::<()>();
    let server = pair.host.network_thread("server", move || -> Result<_> {
        let listener = TcpListener::bind(service)?;
        listening.send(())?;
        let mut streams = Vec::new();
        for _ in 0..scene.connections {
            let (stream, _) = listener.accept()?;
            stream.set_nodelay(true)?;
            streams.push(stream);
        }
        for stream in &mut streams {
            for _ in 0..scene.segments {
                stream.write_all(&[9; SEGMENT])?;
            }
        }
        all_received.recv().context("the clients ended")?;
        // What is on its way is acknowledged by then.
        std::thread::sleep(Duration::from_millis(300));
        let connections = streams
            .iter()
            .map(TcpInfo::of)
            .collect::<Result<Vec<_>>>()?;
        Ok((streams, connections))
    })?;
    ready.recv().context("no listener")?;
    let clients = pair
        .clients
        .network_thread("clients", move || -> Result<_> {
            let mut streams = (0..scene.connections)
                .map(|_| TcpStream::connect(service))
                .collect::<Result<Vec<_>, _>>()?;
            let mut response = vec![0; scene.segments * SEGMENT];
            for stream in &mut streams {
                stream.set_read_timeout(Some(Duration::from_secs(20)))?;
                stream.read_exact(&mut response)?;
            }
            received.send(())?;
            Ok(streams)
        })?;
    let clients_ends = clients.join().expect("the clients do not panic")??;
    let (servers_ends, connections) = server.join().expect("the server does not panic")??;
    let seen = Seen {
        connections,
        counters: sensor.counters(0),
        deliver: sensor.trials(0, Kind::Deliver)?,
    };
    // Until here nobody has closed.
    drop((servers_ends, clients_ends));
    Ok(seen)
}

fn sum(connections: &[TcpInfo], field: fn(&TcpInfo) -> u32) -> u64 {
    connections.iter().map(|info| u64::from(field(info))).sum()
}

/// So few that all have a cell, as a rule: what is counted is what is true.
#[test]
fn each_retransmission_of_10_connections_is_counted() -> Result<()> {
    let scene = Scene {
        connections: 10,
        segments: 50,
        lost_percent: 10,
    };
    // Two in one cell are met in one of 23 runs.
    for _ in 0..5 {
        let seen = play(scene)?;
        let counters = &seen.counters;
        let retransmitted = sum(&seen.connections, |info| info.retransmitted);
        let segments = sum(&seen.connections, |info| info.data_segments_out);
        println!(
            "{segments} segments, {retransmitted} sent again; counted {} and {} of {} connections",
            counters.sampled_segments_out, counters.retransmissions_out, counters.sampled
        );
        ensure!(counters.verified == 10, "{counters:?}");
        ensure!(counters.sampled + counters.cells_busy == 10, "{counters:?}");
        if counters.cells_busy != 0 {
            continue;
        }
        ensure!(retransmitted > 0, "nothing was lost");
        ensure!(counters.sampled_segments_out == segments, "{counters:?}");
        ensure!(
            counters.retransmissions_out == retransmitted,
            "{counters:?}"
        );
        return Ok(());
    }
    anyhow::bail!("a cell was busy each time")
}

#[test]
fn sampled_ones_of_1000_connections_fare_like_all() -> Result<()> {
    let seen = play(Scene {
        connections: 1000,
        segments: 8,
        lost_percent: 5,
    })?;
    let all = seen.connections.len();
    let bad = seen
        .connections
        .iter()
        .filter(|info| info.retransmitted > 0)
        .count();
    let share = bad as f64 / all as f64;
    let (counters, deliver) = (&seen.counters, seen.deliver);
    println!(
        "{bad} of {all} connections lost segments; {} sampled, {} busy, {deliver:?}; \
         SYN {}, again {}, not judged {}, without room {}",
        counters.sampled,
        counters.cells_busy,
        counters.syn,
        counters.syn_retransmissions,
        counters.syn_not_judged,
        counters.trials_without_room
    );
    ensure!(bad > 100 && bad < 900, "{bad} lost segments");
    ensure!(
        counters.sampled + counters.cells_busy == counters.verified
            && counters.verified + counters.syn_not_judged >= u64::try_from(all)?,
        "{counters:?}"
    );
    ensure!(
        is_share(
            deliver.failed.into(),
            deliver.started.into(),
            share,
            Z_RANDOM
        ),
        "{deliver:?}, of all {share}"
    );
    Ok(())
}
