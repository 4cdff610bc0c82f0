//! Real HTTP clients, many of them: new connections at a constant rate, whatever
//! the servers do (open loop), from client networks in turn.
//!
//! Each connection is one socket: bind to a client's address, connect, GET, read to
//! the end, note the site that answered by its X-Site header, close. One thread in
//! the clients' network drives them all by epoll. What flows out: one [`Interval`]
//! per interval, with counts per site and family and the times of failures.

use std::{
    collections::{BTreeMap, VecDeque},
    io::{Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpStream},
    os::fd::{AsRawFd as _, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use nix::{
    errno::Errno,
    sys::{
        epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
        resource::{Resource, getrlimit, setrlimit},
        socket::{
            AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, setsockopt, socket,
            sockopt,
        },
    },
};
use probe_core::Timestamp;

use super::{
    clock,
    netns::Namespace,
    topology::{Family, Site, client_addresses},
};

/// What the clients do.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// New connections per second to each family's address.
    pub per_family: u32,
    /// How long a client waits for the whole of it.
    pub timeout: Duration,
    /// How often an [`Interval`] is reported.
    pub interval: Duration,
    /// Of so many connections one is reset by its client midway.
    pub abort_one_in: Option<u32>,
}

impl Plan {
    /// Clients that behave, `per_family` connections per second to each family.
    pub fn steady(per_family: u32) -> Self {
        Self {
            per_family,
            // Below the first retransmission of a SYN after one second, so that a
            // connection that was sent to a dead site is counted and not healed.
            timeout: Duration::from_millis(900),
            interval: Duration::from_millis(100),
            abort_one_in: None,
        }
    }
}

/// What ended in one interval, by the connections' end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interval {
    /// Its end.
    pub end: Timestamp,
    /// Whole answers by site and family.
    pub answered: BTreeMap<(Site, Family), u32>,
    /// When the first of these answers was complete.
    pub first_answers: BTreeMap<(Site, Family), Timestamp>,
    /// Refused or reset connections by family.
    pub refused: BTreeMap<Family, u32>,
    /// Connections without an answer in time, by family.
    pub timed_out: BTreeMap<Family, u32>,
    /// Connections that their clients reset on purpose.
    pub aborted: u32,
    /// The start of the earliest and of the latest connection that failed, by family.
    pub failed_starts: BTreeMap<Family, (Timestamp, Timestamp)>,
}

impl Interval {
    /// Answers of a site.
    pub fn answers(&self, site: Site) -> u32 {
        Family::ALL
            .iter()
            .map(|family| self.answers_of(site, *family))
            .sum()
    }

    /// Answers of a site over one family.
    pub fn answers_of(&self, site: Site, family: Family) -> u32 {
        self.answered.get(&(site, family)).copied().unwrap_or(0)
    }

    /// Connections that failed, of both families.
    pub fn failures(&self) -> u32 {
        self.refused.values().chain(self.timed_out.values()).sum()
    }

    /// Adds what ended in a later interval.
    pub fn add(&mut self, later: &Self) {
        self.end = later.end;
        self.aborted += later.aborted;
        for (key, count) in &later.answered {
            *self.answered.entry(*key).or_default() += count;
        }
        for (key, at) in &later.first_answers {
            self.first_answers.entry(*key).or_insert(*at);
        }
        for (family, count) in &later.refused {
            *self.refused.entry(*family).or_default() += count;
        }
        for (family, count) in &later.timed_out {
            *self.timed_out.entry(*family).or_default() += count;
        }
        for (family, (first, last)) in &later.failed_starts {
            self.note_failure(*family, *first);
            self.note_failure(*family, *last);
        }
    }

    fn note_failure(&mut self, family: Family, start: Timestamp) {
        let (first, last) = self.failed_starts.entry(family).or_insert((start, start));
        *first = start.min(*first);
        *last = start.max(*last);
    }
}

/// Running clients. They stop when this is dropped.
pub struct Load {
    intervals: mpsc::Receiver<Interval>,
    plan: Plan,
    stop: Arc<AtomicBool>,
    finish: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Result<()>>>>,
}

impl Load {
    /// Starts clients in the network of `node`.
    pub fn start(node: &Namespace, plan: Plan) -> Result<Self> {
        // Silence keeps every connection open until its timeout.
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
        let (sender, intervals) = mpsc::channel();
        let stop = Arc::new(AtomicBool::new(false));
        let finish = Arc::new(AtomicBool::new(false));
        let (stopped, finishing) = (Arc::clone(&stop), Arc::clone(&finish));
        let thread =
            node.network_thread("load", move || drive(plan, &sender, &stopped, &finishing))?;
        Ok(Self {
            intervals,
            plan,
            stop,
            finish,
            thread: Some(thread),
        })
    }

    /// The next interval.
    pub fn next(&self) -> Result<Interval> {
        self.intervals
            .recv_timeout(self.plan.interval + Duration::from_secs(5))
            .context("the load generator has stopped")
    }

    /// The intervals that have ended up to now.
    pub fn drain(&self) -> Vec<Interval> {
        self.intervals.try_iter().collect()
    }

    /// Starts no more connections and waits for the end of all. Returns what ended
    /// since an interval was last asked for.
    pub fn finish(self) -> Result<Interval> {
        self.finish.store(true, Ordering::Relaxed);
        let wait = self.plan.timeout + self.plan.interval + Duration::from_secs(5);
        let mut sum = Interval::default();
        loop {
            match self.intervals.recv_timeout(wait) {
                Ok(next) => sum.add(&next),
                Err(mpsc::RecvTimeoutError::Disconnected) => return Ok(sum),
                Err(mpsc::RecvTimeoutError::Timeout) => bail!("the load does not end"),
            }
        }
    }

    /// What ends from now on, over `span`.
    pub fn collect(&self, span: Duration) -> Result<Interval> {
        let start = clock::now();
        let mut sum = Interval::default();
        while sum.end < start.after(span) {
            let next = self.next()?;
            if next.end > start {
                sum.add(&next);
            }
        }
        Ok(sum)
    }

    /// Waits for an interval without failures in which exactly these sites answer,
    /// each over both families. Returns the sum up to that.
    pub fn wait_served_by(&self, sites: &[Site], timeout: Duration) -> Result<Interval> {
        let start = clock::now();
        let mut sum = Interval::default();
        loop {
            let next = self.next()?;
            sum.add(&next);
            let as_wanted = Site::ALL.iter().all(|site| {
                Family::ALL
                    .iter()
                    .all(|family| (next.answers_of(*site, *family) > 0) == sites.contains(site))
            });
            if as_wanted && next.failures() == 0 && next.end > start.after(self.plan.interval) {
                return Ok(sum);
            }
            if clock::now().since(start) > timeout {
                bail!(
                    "clients are not served by exactly {sites:?} within {timeout:?}; the last interval: {next:?}"
                );
            }
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// How often due connections are started: bursts stay small, wake-ups few.
const TICK_MILLIS: u8 = 1;

struct Connection {
    stream: TcpStream,
    family: Family,
    start: Timestamp,
    sent: bool,
    aborts: Option<Abort>,
    answer: Vec<u8>,
}

/// When a client resets its connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Abort {
    /// Right after its request.
    BeforeAnswer,
    /// With the answer's first bytes.
    WithinAnswer,
}

/// How one connection ended.
enum End {
    Answered(Site),
    Refused,
    TimedOut,
    Aborted,
}

fn drive(
    plan: Plan,
    intervals: &mpsc::Sender<Interval>,
    stop: &AtomicBool,
    finish: &AtomicBool,
) -> Result<()> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let clients = Family::ALL.map(|family| (family, client_addresses(family)));
    let begin = clock::now();
    let mut connections: BTreeMap<u64, Connection> = BTreeMap::new();
    let mut deadlines: VecDeque<(Timestamp, u64)> = VecDeque::new();
    let mut started: u64 = 0;
    let mut current = Interval::default();
    let mut interval_end = begin.after(plan.interval);
    let mut events = vec![EpollEvent::empty(); 512];
    while !stop.load(Ordering::Relaxed) {
        let now = clock::now();
        let per_second = u128::from(plan.per_family) * 2;
        let finishing = finish.load(Ordering::Relaxed);
        let due = if finishing {
            started
        } else {
            u64::try_from(now.since(begin).as_nanos() * per_second / 1_000_000_000)?
        };
        while started < due {
            // Families in turn, each going through its client networks.
            let (family, addresses) = &clients[usize::from(started % 2 == 1)];
            let turn = usize::try_from(started / 2)? % addresses.len();
            let start = clock::now();
            let aborts = plan
                .abort_one_in
                .and_then(|n| abort_of(started / 2, u64::from(n)));
            match open(*family, addresses[turn], started, &epoll) {
                Ok(stream) => {
                    let connection = Connection {
                        stream,
                        family: *family,
                        start,
                        sent: false,
                        aborts,
                        answer: Vec::new(),
                    };
                    connections.insert(started, connection);
                    deadlines.push_back((start.after(plan.timeout), started));
                }
                // No route, or a refusal at once: the client's loss all the same.
                Err(_) => note(&mut current, *family, start, &End::Refused),
            }
            started += 1;
        }
        let count = epoll
            .wait(&mut events, EpollTimeout::from(TICK_MILLIS))
            .or_else(|error| match error {
                Errno::EINTR => Ok(0),
                error => Err(error),
            })?;
        for event in &events[..count] {
            let Some(connection) = connections.get_mut(&event.data()) else {
                continue;
            };
            if let Some(end) = advance(connection) {
                note(&mut current, connection.family, connection.start, &end);
                connections.remove(&event.data());
            }
        }
        let now = clock::now();
        while let Some((_, id)) = deadlines.pop_front_if(|(deadline, _)| *deadline <= now) {
            if let Some(connection) = connections.remove(&id) {
                note(
                    &mut current,
                    connection.family,
                    connection.start,
                    &End::TimedOut,
                );
            }
        }
        let is_last = finishing && connections.is_empty();
        if now >= interval_end || is_last {
            current.end = now;
            interval_end = now.after(plan.interval);
            if intervals.send(std::mem::take(&mut current)).is_err() || is_last {
                break;
            }
        }
    }
    Ok(())
}

fn open(family: Family, client: IpAddr, id: u64, epoll: &Epoll) -> Result<TcpStream> {
    let address_family = match family {
        Family::V4 => AddressFamily::Inet,
        Family::V6 => AddressFamily::Inet6,
    };
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let socket: OwnedFd = socket(address_family, SockType::Stream, flags, None)?;
    // The port is chosen at connect: a client address has all ports per service.
    setsockopt(&socket, sockopt::IpBindAddressNoPort, &true)?;
    bind(
        socket.as_raw_fd(),
        &SockaddrStorage::from(SocketAddr::new(client, 0)),
    )?;
    let service = SockaddrStorage::from(SocketAddr::new(family.service(), 80));
    match connect(socket.as_raw_fd(), &service) {
        Ok(()) | Err(Errno::EINPROGRESS) => {}
        Err(error) => return Err(error.into()),
    }
    let interest =
        EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
    epoll.add(&socket, EpollEvent::new(interest, id))?;
    Ok(TcpStream::from(socket))
}

/// Takes a connection as far as it goes without waiting.
fn advance(connection: &mut Connection) -> Option<End> {
    if !connection.sent {
        match connection
            .stream
            .write(b"GET / HTTP/1.1\r\nHost: anycast.example\r\n\r\n")
        {
            Ok(_) => connection.sent = true,
            Err(error) if waits(&error) => return None,
            Err(_) => return Some(End::Refused),
        }
        if connection.aborts == Some(Abort::BeforeAnswer) {
            return Some(abort(connection));
        }
    }
    let mut chunk = [0; 1024];
    loop {
        match connection.stream.read(&mut chunk) {
            Ok(0) => return Some(site_of(&connection.answer).map_or(End::Refused, End::Answered)),
            Ok(_) if connection.aborts == Some(Abort::WithinAnswer) => {
                return Some(abort(connection));
            }
            Ok(length) => connection.answer.extend_from_slice(&chunk[..length]),
            Err(error) if waits(&error) => return None,
            Err(_) => return Some(End::Refused),
        }
    }
}

/// One in `n` connections is aborted, in one way and in the other by turns.
fn abort_of(turn: u64, n: u64) -> Option<Abort> {
    if !turn.is_multiple_of(n) {
        return None;
    }
    Some(if (turn / n).is_multiple_of(2) {
        Abort::BeforeAnswer
    } else {
        Abort::WithinAnswer
    })
}

fn waits(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::NotConnected
    )
}

/// Closes by RST.
fn abort(connection: &Connection) -> End {
    let at_once = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    // If it fails the socket is gone already, which is an abort too.
    let _ = setsockopt(&connection.stream, sockopt::Linger, &at_once);
    End::Aborted
}

fn site_of(answer: &[u8]) -> Option<Site> {
    let answer = std::str::from_utf8(answer).ok()?;
    let header = answer
        .lines()
        .find_map(|line| line.strip_prefix("X-Site: "))?;
    Site::ALL
        .into_iter()
        .find(|site| site.name() == header.trim())
}

fn note(interval: &mut Interval, family: Family, start: Timestamp, end: &End) {
    match end {
        End::Answered(site) => {
            *interval.answered.entry((*site, family)).or_default() += 1;
            interval
                .first_answers
                .entry((*site, family))
                .or_insert_with(clock::now);
        }
        End::Aborted => interval.aborted += 1,
        End::Refused => {
            *interval.refused.entry(family).or_default() += 1;
            interval.note_failure(family, start);
        }
        End::TimedOut => {
            *interval.timed_out.entry(family).or_default() += 1;
            interval.note_failure(family, start);
        }
    }
}
