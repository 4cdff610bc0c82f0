//! Which services need not be read: those of which nothing was counted since.
//!
//! Of a thousand services nearly all are at rest, and each has some kilobytes of rings. The
//! kernel side marks a ring when it counts there. A look takes the marks; whoever had one
//! is read twice with all kinds, as on processors that order less than x86 a mark may be
//! taken a moment before what it stands for can be seen.

use std::sync::atomic::{Ordering, fence};

use probe_core::config::ServiceId;

use super::{Depth, object::Object};

/// Readings with all kinds that follow a mark.
const READINGS: u8 = 2;

/// How often each service still has to be read.
pub struct Changes(Vec<u8>);

impl Changes {
    /// All have to be read.
    pub fn new(services: usize) -> Self {
        Self(vec![READINGS; services])
    }

    /// This one has to be read, whatever the marks say.
    pub fn start_again(&mut self, service: ServiceId) {
        if let Some(readings) = self.0.get_mut(service.0 as usize) {
            *readings = READINGS;
        }
    }

    /// Takes the marks. The services of which nothing has changed since all of their kinds
    /// were read, in ascending order, if everyone else is read to this depth now.
    pub fn look(&mut self, object: &Object, depth: Depth) -> Vec<ServiceId> {
        let mut unchanged = Vec::new();
        for (service, readings) in (0..).map(ServiceId).zip(&mut self.0) {
            if object.take_touched(service) {
                *readings = READINGS;
            }
            if *readings == 0 {
                unchanged.push(service);
            } else if depth == Depth::All {
                *readings -= 1;
            }
        }
        // What is read now must not be older than the marks.
        fence(Ordering::SeqCst);
        unchanged
    }
}
