//! Runs the bursts of probes that the core asks for, no more at once than the host is
//! configured for.
//!
//! ```text
//!  regular ────▶ slots for regular probes (3/4) ─┐
//!  second leg ───────────────────────────────────┴▶ slots ─▶ Prober ─▶ Done::Probe
//!              └────────────────── on the thread of the probes ──────────────────┘
//! ```
//!
//! A second leg is about to decide, so regular probes leave it a quarter of the slots,
//! whatever hangs. A probe that waits for a slot has not begun: its timeout has not
//! either. If the core gives its burst up meanwhile and launches the next, the one that
//! waits runs for the next one; otherwise a host with too few slots would ask more and
//! more, and hear nothing that still counts.

use std::sync::{
    Arc,
    atomic::{AtomicU32, AtomicU64, Ordering},
};

use probe_core::{
    command::ProbePurpose,
    config::{Service, ServiceId},
    input::ProbeResult,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::{Done, workshop::Workshop};
use crate::probe::Prober;

/// One in so many slots is for second legs alone.
const RESERVED: usize = 4;

/// Launches probes.
pub struct Launcher {
    prober: Arc<Prober>,
    workshop: Workshop,
    slots: Slots,
    services: Vec<Asked>,
    done: mpsc::Sender<Done>,
}

/// A service, and what waits to ask it.
struct Asked {
    service: Arc<Service>,
    regular: Arc<Waiting>,
    second_leg: Arc<Waiting>,
}

/// Probes of one service and purpose that have no slot yet.
#[derive(Debug, Default)]
struct Waiting {
    probes: AtomicU32,
    /// The newest burst: for this one they will run.
    burst: AtomicU64,
}

impl Waiting {
    /// So many must be added for `count` to wait, all for this burst.
    fn add(&self, burst: u64, count: u32) -> u32 {
        self.burst.store(burst, Ordering::Relaxed);
        let missing = count.saturating_sub(self.probes.load(Ordering::Relaxed));
        self.probes.fetch_add(missing, Ordering::Relaxed);
        missing
    }

    /// One waits no longer; it runs for the returned burst.
    fn start_one(&self) -> u64 {
        self.probes.fetch_sub(1, Ordering::Relaxed);
        self.burst.load(Ordering::Relaxed)
    }
}

#[derive(Clone)]
struct Slots {
    all: Arc<Semaphore>,
    regular: Arc<Semaphore>,
}

impl Slots {
    fn new(count: usize) -> Self {
        let regular = count - count.div_ceil(RESERVED);
        Self {
            all: Arc::new(Semaphore::new(count)),
            regular: Arc::new(Semaphore::new(regular)),
        }
    }

    /// Waits for a slot; it is free again when what is returned is dropped.
    async fn take(&self, purpose: ProbePurpose) -> [Option<OwnedSemaphorePermit>; 2] {
        let regular = match purpose {
            ProbePurpose::Regular => Arc::clone(&self.regular).acquire_owned().await.ok(),
            ProbePurpose::SecondLeg => None,
        };
        [regular, Arc::clone(&self.all).acquire_owned().await.ok()]
    }
}

impl Launcher {
    /// A launcher for these services that runs `slots` probes at once (at least two)
    /// and tells their ends to `done`.
    pub fn new(
        services: &[Service],
        prober: Prober,
        workshop: Workshop,
        slots: usize,
        done: mpsc::Sender<Done>,
    ) -> Self {
        Self {
            prober: Arc::new(prober),
            workshop,
            slots: Slots::new(slots.max(2)),
            services: services
                .iter()
                .map(|service| Asked {
                    service: Arc::new(service.clone()),
                    regular: Arc::default(),
                    second_leg: Arc::default(),
                })
                .collect(),
            done,
        }
    }

    /// Starts a burst.
    pub fn launch(&self, id: ServiceId, burst: u64, count: u32, purpose: ProbePurpose) {
        let Some(asked) = self.services.get(id.0 as usize) else {
            return;
        };
        let waiting = match purpose {
            ProbePurpose::Regular => &asked.regular,
            ProbePurpose::SecondLeg => &asked.second_leg,
        };
        for _ in 0..waiting.add(burst, count) {
            let prober = Arc::clone(&self.prober);
            let service = Arc::clone(&asked.service);
            let waiting = Arc::clone(waiting);
            let slots = self.slots.clone();
            let done = self.done.clone();
            self.workshop.runtime().spawn(async move {
                let slot = slots.take(purpose).await;
                let burst = waiting.start_one();
                let (took, outcome) = prober.run(&service).await;
                drop(slot);
                let result = ProbeResult {
                    service: id,
                    burst,
                    took,
                    outcome,
                };
                // Without a receiver the daemon has ended.
                let _ = done.send(Done::Probe(result)).await;
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, net::SocketAddr, time::Duration};

    use probe_core::{config::ProbeKind, input::ProbeFailure};
    use tokio::net::TcpListener;

    use super::*;
    use crate::probe::loopback::service;

    const TIMEOUT: Duration = Duration::from_millis(200);

    /// A service that never answers.
    fn hung(target: SocketAddr) -> Service {
        let mut service = service(ProbeKind::Http {
            target,
            host: "www.example".to_owned(),
            path: "/".to_owned(),
            status: None,
            body: None,
            tls: None,
        });
        service.probe.timeout = TIMEOUT;
        service
    }

    fn launcher(services: &[Service], slots: usize) -> (Launcher, mpsc::Receiver<Done>) {
        let (sender, done) = mpsc::channel(64);
        let prober = Prober::new(services).unwrap();
        (
            Launcher::new(services, prober, Workshop::open().unwrap(), slots, sender),
            done,
        )
    }

    async fn next(done: &mut mpsc::Receiver<Done>) -> ProbeResult {
        match tokio::time::timeout(TIMEOUT * 10, done.recv()).await {
            Ok(Some(Done::Probe(result))) => result,
            Ok(Some(Done::Set(_)) | None) | Err(_) => panic!("no result"),
        }
    }

    #[tokio::test]
    async fn waiting_for_a_slot_is_no_failure_and_holds_no_second_leg_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let closed = TcpListener::bind("[::1]:0").await.unwrap();
        let mut services = vec![hung(listener.local_addr().unwrap()); 9];
        services.push(hung(closed.local_addr().unwrap()));
        drop(closed);
        let (launcher, mut done) = launcher(&services, 4);
        for index in 0..9 {
            launcher.launch(ServiceId(index), u64::from(index), 1, ProbePurpose::Regular);
        }
        launcher.launch(ServiceId(9), 9, 3, ProbePurpose::SecondLeg);
        for _ in 0..3 {
            let result = next(&mut done).await;
            assert_eq!(result.service, ServiceId(9), "before all that hang");
            assert_eq!(result.outcome, Err(ProbeFailure::Refused));
        }
        let mut asked = BTreeSet::new();
        for _ in 0..9 {
            let result = next(&mut done).await;
            asked.insert(result.service);
            assert_eq!(result.outcome, Err(ProbeFailure::Timeout));
            assert!(result.took >= TIMEOUT && result.took < TIMEOUT * 2);
        }
        assert_eq!(asked.len(), 9);
    }

    #[tokio::test]
    async fn a_probe_that_waits_runs_for_the_newest_burst() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let services = vec![hung(listener.local_addr().unwrap()); 2];
        let (launcher, mut done) = launcher(&services, 2);
        launcher.launch(ServiceId(0), 0, 1, ProbePurpose::Regular);
        for burst in 1..=5 {
            launcher.launch(ServiceId(1), burst, 1, ProbePurpose::Regular);
        }
        assert_eq!(next(&mut done).await.burst, 0);
        assert_eq!(next(&mut done).await.burst, 5);
        let more = tokio::time::timeout(TIMEOUT * 2, done.recv()).await;
        assert!(more.is_err(), "once for all of them: {more:?}");
    }

    #[tokio::test]
    async fn probes_and_their_programs_end_with_the_launcher() {
        let directory = tempfile::tempdir().unwrap();
        let number = directory.path().join("number");
        let script = format!("echo $$ >{}; sleep 1000", number.display());
        let mut service = service(ProbeKind::Exec {
            command: ["/bin/sh", "-c", &script].map(str::to_owned).to_vec(),
        });
        service.probe.timeout = Duration::from_mins(1);
        let (launcher, mut done) = launcher(&[service], 4);
        launcher.launch(ServiceId(0), 0, 1, ProbePurpose::Regular);
        let program = loop {
            match fs::read_to_string(&number) {
                Ok(number) if number.ends_with('\n') => break number,
                Ok(_) | Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        };
        drop(launcher);
        assert!(done.recv().await.is_none());
        let stat = format!("/proc/{}/stat", program.trim());
        for _ in 0..100 {
            let state = fs::read_to_string(&stat).unwrap_or_default();
            if state.is_empty() || state.contains(") Z ") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{program} still runs");
    }

    #[test]
    fn a_part_of_the_slots_is_for_second_legs_alone() {
        for (slots, regular) in [(2, 1), (4, 3), (5, 3), (256, 192)] {
            assert_eq!(Slots::new(slots).regular.available_permits(), regular);
        }
    }
}
