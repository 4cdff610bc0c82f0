//! By frames that are made here: on the host with numbers that are the same each
//! time, and in the kernel.

use std::{env, fs, net::SocketAddr};

use anyhow::{Context as _, Result, ensure};
use aya::programs::{TestRun as _, TestRunOptions};
use lapwing_tests::{
    lab::{
        flood::Random,
        sensor::{self, DEADLINE},
    },
    packets::{
        Frame,
        flags::{ACK, FIN, RST, SYN},
    },
};
use probe_common::{
    cohort::{CohortBucket, CohortRing},
    counters::Counters,
    host::HostTables,
    parse::tunnel::Tunnels,
    service::Service,
    trial::Kind,
};
use probe_core::config::Application;
use probe_user::datapath::{
    ServiceSpec, key,
    object::{LoadFlags, Object},
};

use super::{Z_FIXED, Z_RANDOM, is_share};

const MS: u64 = 1_000_000;
const MASKS: [u32; 4] = [0, 1, 7, 63];
/// The share of connections that lose a segment.
const BAD: f64 = 0.2;
/// ... of which this share is reset by the service in the end.
const RESET: f64 = 0.5;

fn spec() -> ServiceSpec {
    let address = SocketAddr::from(([192, 0, 2, 10], 80));
    sensor::tcp(address, Application::Any)
}

/// A frame on its way.
enum Way {
    In,
    Out,
}

/// How the connections of a scene fared.
#[derive(Clone, Copy, Debug, Default)]
struct Truth {
    connections: u64,
    bad: u64,
}

/// One connection: numbers from which its frames follow.
struct Connection {
    client: SocketAddr,
    client_number: u32,
    service_number: u32,
    is_bad: bool,
    is_reset: bool,
}

impl Connection {
    fn new(index: u32, random: &mut Random) -> Self {
        let [_, _, a, b] = (index / 30_000).to_be_bytes();
        let port = u16::try_from(10_000 + index % 30_000).expect("below 40,000");
        let number = |word: u64| u32::try_from(word & u64::from(u32::MAX)).expect("masked");
        let is_bad = random.chance(BAD);
        Self {
            client: SocketAddr::from(([198, 51, a, b], port)),
            client_number: number(random.next()),
            service_number: number(random.next()),
            is_bad,
            is_reset: is_bad && random.chance(RESET),
        }
    }

    fn frame_in(&self, flags: u8, sent: u32, received: u32) -> Frame {
        Frame::tcp(self.client, SocketAddr::from(([192, 0, 2, 10], 80)), flags).numbers(
            self.client_number.wrapping_add(sent),
            self.service_number.wrapping_add(received),
        )
    }

    fn frame_out(&self, flags: u8, sent: u32, received: u32) -> Frame {
        Frame::tcp(SocketAddr::from(([192, 0, 2, 10], 80)), self.client, flags).numbers(
            self.service_number.wrapping_add(sent),
            self.client_number.wrapping_add(received),
        )
    }

    /// Handshake and request.
    fn begin(&self) -> [(Way, Frame); 4] {
        [
            (Way::In, self.frame_in(SYN, 0, 0)),
            (Way::Out, self.frame_out(SYN | ACK, 0, 1)),
            (Way::In, self.frame_in(ACK, 1, 1)),
            (Way::In, self.frame_in(ACK, 1, 1).payload(&[1; 10])),
        ]
    }

    /// The response, in two segments; the first is lost on the way of some.
    fn respond(&self) -> Vec<(Way, Frame)> {
        let first = self.frame_out(ACK, 1, 11).payload(&[2; 10]);
        let second = self.frame_out(ACK, 11, 11).payload(&[3; 10]);
        let mut frames = vec![(Way::Out, first.clone()), (Way::Out, second)];
        if self.is_bad {
            frames.push((Way::Out, first));
        }
        frames
    }

    /// Both sides close, or the service resets.
    fn end(&self) -> Vec<(Way, Frame)> {
        if self.is_reset {
            return vec![(Way::Out, self.frame_out(RST, 21, 11))];
        }
        vec![
            (Way::Out, self.frame_out(FIN | ACK, 21, 11)),
            (Way::In, self.frame_in(FIN | ACK, 11, 22)),
        ]
    }
}

/// Plays `rounds` times as many connections at once as there are `flows`.
fn play(flows: u32, rounds: u32, mut frame: impl FnMut(u64, &Way, &[u8])) -> Truth {
    let mut random = Random::new(u64::from(flows));
    let mut truth = Truth::default();
    for round in 0..rounds {
        let at = (5_000 + 500 * u64::from(round)) * MS;
        let connections: Vec<Connection> = (0..flows)
            .map(|flow| Connection::new(round * flows + flow, &mut random))
            .collect();
        let mut play = |after_ms: u64, frames: Vec<(Way, Frame)>| {
            for (way, built) in frames {
                frame(at + after_ms * MS, &way, &built.build());
            }
        };
        for connection in &connections {
            play(0, connection.begin().into());
            truth.connections += 1;
            truth.bad += u64::from(connection.is_bad);
        }
        for connection in &connections {
            play(20, connection.respond());
        }
        for connection in &connections {
            play(40, connection.end());
        }
    }
    truth
}

fn check(truth: Truth, mask: u32, counters: &Counters, ring: CohortRing<'_>, z: f64) -> Result<()> {
    let sum = |field: fn(&CohortBucket) -> u32| -> u64 {
        ring.cohorts
            .buckets
            .iter()
            .map(|bucket| u64::from(field(bucket)))
            .sum()
    };
    let started = sum(|bucket| bucket.started.load());
    let failed = sum(|bucket| bucket.failed.load());
    println!(
        "{} connections, mask {mask}: {} sampled, {} busy, {failed} failed",
        truth.connections, counters.sampled, counters.cells_busy
    );
    // Where a set of the flow table holds more undecided connections than it has places,
    // the others start no trial; of 50,000 at a time in 131,072 places that is one in
    // sixty, whatever becomes of them.
    let verified = counters.verified;
    ensure!(
        verified + counters.trials_without_room == truth.connections
            && verified >= truth.connections / 100 * 97,
        "{counters:?}"
    );
    // Each connection with a cell has one span, and at most one segment sent again.
    ensure!(started == counters.sampled, "{started} spans: {counters:?}");
    ensure!(
        failed == counters.retransmissions_out,
        "{failed} failed: {counters:?}"
    );
    let chosen = counters.sampled + counters.cells_busy;
    let chosen_share = 1.0 / f64::from(mask + 1);
    ensure!(
        is_share(chosen, verified, chosen_share, z),
        "{chosen} of {verified} were to be sampled"
    );
    let share = truth.bad as f64 / truth.connections as f64;
    ensure!(
        is_share(failed, started, share, z),
        "{failed} of {started} failed, of all {share}"
    );
    Ok(())
}

fn simulate(flows: u32, rounds: u32) -> Result<()> {
    let tables = MASKS.map(|mask| {
        let spec = spec();
        let (address, port_protocol) = key(&spec.endpoint);
        let service = Service::new(address, port_protocol, 0, spec.options());
        service.sample_mask.store(mask);
        HostTables::new(&[service], Tunnels::default(), |_, kind| {
            let deadline = spec.deadline_of(kind).max(DEADLINE);
            u64::try_from(deadline.as_nanos()).unwrap_or(u64::MAX)
        })
    });
    let truth = play(flows, rounds, |at_ns, way, frame| {
        for tables in &tables {
            tables.set_now(at_ns);
            match way {
                Way::In => tables.ingress(frame),
                Way::Out => tables.egress(frame),
            }
        }
    });
    for (tables, mask) in tables.iter().zip(MASKS) {
        let ring = tables.cohorts(0, Kind::Deliver);
        check(truth, mask, &tables.counters(0), ring, Z_FIXED)?;
    }
    Ok(())
}

#[test]
fn sampled_connections_fare_like_all_10_at_a_time() -> Result<()> {
    simulate(10, 500)
}

#[test]
fn sampled_connections_fare_like_all_1000_at_a_time() -> Result<()> {
    simulate(1_000, 8)
}

#[test]
fn sampled_connections_fare_like_all_50000_at_a_time() -> Result<()> {
    simulate(50_000, 1)
}

/// The same frames; the hash, and with it who is sampled, is another each time.
#[test]
fn sampled_connections_fare_like_all_50000_at_a_time_in_the_kernel() -> Result<()> {
    let path = env::var("LAPWING_EBPF_OBJECT")
        .context("LAPWING_EBPF_OBJECT names the object; `cargo xtask test` sets it")?;
    let bytes = fs::read(&path)?;
    for mask in [0, 7] {
        let flags = LoadFlags {
            replay: true,
            ..LoadFlags::default()
        };
        let mut object = Object::load(&bytes, &[spec()], flags, None)?;
        object.set_sample_mask(0, mask);
        object.xdp()?.load()?;
        object.tc_egress()?.load()?;
        let mut result = Ok(());
        let truth = play(50_000, 1, |at_ns, way, frame| {
            object.set_clock(at_ns);
            let mut options = TestRunOptions::new();
            options.data_in = Some(frame);
            let run = match way {
                Way::In => object.xdp().map(|program| program.test_run(options)),
                Way::Out => object.tc_egress().map(|program| program.test_run(options)),
            };
            if let Ok(Err(error)) = run {
                result = Err(error);
            }
        });
        result?;
        let ring = object.ring(0, Kind::Deliver).context("TCP has spans")?;
        check(truth, mask, &object.counters()[0], ring, Z_RANDOM)?;
    }
    Ok(())
}
