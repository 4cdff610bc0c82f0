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

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
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
/// One for each purpose.
const LEAST_SLOTS: usize = 2;

/// Launches probes.
pub struct Launcher {
    prober: Arc<Prober>,
    workshop: Workshop,
    slots: Slots,
    /// By the core's numbers.
    services: Vec<Asked>,
    next_number: u32,
    done: mpsc::Sender<Done>,
}

/// A service, and what waits to ask it.
struct Asked {
    /// Its number here, which it has for good: results may be on their way while another
    /// configuration gives it another one.
    number: ServiceId,
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
    count: usize,
    all: Arc<Semaphore>,
    regular: Arc<Semaphore>,
}

impl Slots {
    fn new(count: usize) -> Self {
        let count = count.max(LEAST_SLOTS);
        let regular = count - count.div_ceil(RESERVED);
        Self {
            count,
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
        let mut launcher = Self {
            prober: Arc::new(prober),
            workshop,
            slots: Slots::new(slots),
            services: Vec::new(),
            next_number: 0,
            done,
        };
        launcher.services = services
            .iter()
            .map(|service| launcher.first_asked(service))
            .collect();
        launcher
    }

    fn first_asked(&mut self, service: &Service) -> Asked {
        let number = ServiceId(self.next_number);
        self.next_number = self.next_number.wrapping_add(1);
        Asked {
            number,
            service: Arc::new(service.clone()),
            regular: Arc::default(),
            second_leg: Arc::default(),
        }
    }

    /// Other services, another number of slots. Probes that run go on as they began, and
    /// those that wait ask what they were to ask.
    pub fn reconfigure(&mut self, services: &[Service], prober: Prober, slots: usize) {
        self.prober = Arc::new(prober);
        if self.slots.count != slots.max(LEAST_SLOTS) {
            self.slots = Slots::new(slots);
        }
        let mut known: BTreeMap<_, Asked> = self
            .services
            .drain(..)
            .map(|asked| (asked.service.endpoint, asked))
            .collect();
        self.services = services
            .iter()
            .map(|service| match known.remove(&service.endpoint) {
                Some(known) if known.service.probe == service.probe => Asked {
                    service: Arc::new(service.clone()),
                    ..known
                },
                // What waits to ask the old question is no answer to the new one.
                Some(Asked { number, .. }) => Asked {
                    number,
                    ..self.first_asked(service)
                },
                None => self.first_asked(service),
            })
            .collect();
    }

    /// A result by the core's numbers; none if its service is gone.
    pub fn by_present_number(&self, result: ProbeResult) -> Option<ProbeResult> {
        let number = result.service;
        let is_its = |asked: &Asked| asked.number == number;
        // Up to the first reload each has its own place.
        let place = if self.services.get(number.0 as usize).is_some_and(is_its) {
            number.0 as usize
        } else {
            self.services.iter().position(is_its)?
        };
        let service = ServiceId(u32::try_from(place).ok()?);
        Some(ProbeResult { service, ..result })
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
            let number = asked.number;
            self.workshop.runtime().spawn(async move {
                let slot = slots.take(purpose).await;
                let burst = waiting.start_one();
                let (took, outcome) = prober.run(&service).await;
                drop(slot);
                let result = ProbeResult {
                    service: number,
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
            Launcher::new(
                services,
                prober,
                Workshop::open("probes").unwrap(),
                slots,
                sender,
            ),
            done,
        )
    }

    async fn next(done: &mut mpsc::Receiver<Done>) -> ProbeResult {
        match tokio::time::timeout(TIMEOUT * 10, done.recv()).await {
            Ok(Some(Done::Probe(result))) => result,
            Ok(Some(Done::Set(_) | Done::Read(_)) | None) | Err(_) => panic!("no result"),
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
    async fn a_result_on_its_way_finds_its_service_under_its_new_number() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = |target: SocketAddr| {
            let mut service = hung(target);
            service.endpoint.address = target.ip();
            service.endpoint.port = target.port();
            service
        };
        let [gone, stays] = [&other, &listener].map(|l| at(l.local_addr().unwrap()));
        let (mut launcher, mut done) = launcher(&[gone.clone(), stays.clone()], 4);
        launcher.launch(ServiceId(0), 7, 1, ProbePurpose::Regular);
        launcher.launch(ServiceId(1), 8, 1, ProbePurpose::Regular);
        let prober = Prober::new(&[]).unwrap();
        launcher.reconfigure(&[stays, gone.clone()], prober, 4);
        let mut bursts = BTreeSet::new();
        for _ in 0..2 {
            let result = launcher.by_present_number(next(&mut done).await).unwrap();
            bursts.insert((result.service, result.burst));
        }
        assert_eq!(bursts, [(ServiceId(0), 8), (ServiceId(1), 7)].into());

        launcher.launch(ServiceId(0), 9, 1, ProbePurpose::Regular);
        launcher.reconfigure(&[gone], Prober::new(&[]).unwrap(), 4);
        assert_eq!(launcher.by_present_number(next(&mut done).await), None);
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
