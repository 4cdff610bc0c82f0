//! The target `measure`: an input is traffic, which goes through the whole measurement
//! twice: as it is, and with a VLAN tag in every frame. A tag keeps a segment from the
//! quick way and changes nothing else, so both must say the same.

use std::cell::RefCell;

use probe_common::{
    host::{HostSizes, HostTables},
    measure::Direction,
};

use crate::{
    invariants::{Sums, Watch, check_service},
    services::{self, COUNT, kinds},
    traffic::steps,
};

/// So small that entries and cells are fought for.
const SIZES: HostSizes = HostSizes {
    connection_sets: 2,
    exchange_sets: 1,
    cells: 4,
};
/// Not zero, so that a time that was never set would be seen.
pub const START_NS: u64 = 5_000_000_000;

/// Tables for one input after another: to build them takes much longer than to
/// forget what was in them.
struct Pair {
    plain: HostTables,
    tagged: HostTables,
}

thread_local! {
    static PAIR: RefCell<Pair> = RefCell::new(Pair {
        plain: services::tables().with_sizes(SIZES),
        tagged: services::tables().with_sizes(SIZES),
    });
}

/// Panics if an invariant does not hold.
pub fn check(input: &[u8]) {
    PAIR.with_borrow_mut(|pair| {
        pair.plain.forget();
        pair.tagged.forget();
        pair.check(input);
    });
}

impl Pair {
    fn check(&self, input: &[u8]) {
        let mut watch = Watch::new(&self.plain);
        let mut now_ns = START_NS;
        for step in steps(input) {
            now_ns += step.after_ns();
            let frame = step.frame();
            pass(&self.plain, now_ns, step.direction, &frame);
            pass(&self.tagged, now_ns, step.direction, &tagged(&frame));
            watch.frame(&self.plain, step.direction, step.addressee());
        }
        for service in 0..COUNT {
            check_service(&self.plain, service);
            self.compare(service);
        }
        assert_eq!(self.plain.skips(), self.tagged.skips());
    }

    fn compare(&self, service: usize) {
        assert_eq!(
            self.plain.counters(service),
            self.tagged.counters(service),
            "the quick way and the long one, service {service}"
        );
        for kind in kinds(service) {
            assert_eq!(
                Sums::of(self.plain.cohorts(service, *kind)),
                Sums::of(self.tagged.cohorts(service, *kind)),
                "the quick way and the long one, service {service}, {kind:?}"
            );
        }
    }
}

/// Passes a frame to its hook.
pub fn pass(tables: &HostTables, now_ns: u64, direction: Direction, frame: &[u8]) {
    tables.set_now(now_ns);
    match direction {
        Direction::In => tables.ingress(frame),
        Direction::Out => tables.egress(frame),
    }
}

/// The frame with a VLAN tag. One that is neither IPv4 nor IPv6 stays as it is: it
/// may have tags already.
fn tagged(frame: &[u8]) -> Vec<u8> {
    match frame.split_at_checked(12) {
        Some((addresses, rest)) if rest.starts_with(&[8, 0]) || rest.starts_with(&[0x86, 0xdd]) => {
            [addresses, &[0x81, 0, 0, 7], rest].concat()
        }
        Some(_) | None => frame.to_vec(),
    }
}
