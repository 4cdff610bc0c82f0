//! What the daemon itself costs: processor time and memory, at rest and under load, and
//! whether those who look at it disturb it.
//!
//! ```text
//!  clients ─▶ upstream ─▶ edge: nginx on every port, lapwing with so many services
//!                              ▲ GET /metrics, GET /api/v1/status
//! ```

use std::{
    collections::BTreeMap,
    fmt,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

use crate::lab::{
    lapwing::{Lapwing, MORE_PORTS, Settings},
    load::Plan,
    netns::{Namespace, Process},
    process::{cpu_by_thread, resident_mib},
    topology::{Family, Lab, Site},
    wait_until,
    withdrawal::{Fault, Sample, Withdrawal, clear_state, measure},
};

const CONFIG: &str = "/run/lab/nginx-more.conf";
const HTTP: ([u8; 4], u16) = ([127, 0, 0, 1], 9477);
/// A thousand services are probed before all of them are known.
const PATIENT: Duration = Duration::from_mins(1);
/// Of each document that is asked for.
const ANSWERS: usize = 20;

/// What was measured with so many services.
#[derive(Clone, Debug)]
pub struct Cost {
    services: u16,
    rates: Vec<Row>,
    metrics: Answers,
    page: Answers,
    /// Faults while nobody looks, and while both documents are asked for all the time.
    withdrawals: [Sample; 2],
}

/// At a rate of new connections a second.
#[derive(Clone, Debug)]
struct Row {
    rate: u32,
    /// Processor time by thread, in milliseconds a second.
    cpu: BTreeMap<String, f64>,
    resident: f64,
    own: f64,
}

/// How a document is answered.
#[derive(Clone, Debug)]
struct Answers {
    millis: Sample,
    bytes: usize,
}

/// Measures a daemon with so many services, half of each family, over `span` at each
/// rate, and `faults` withdraws each way.
pub fn measure_daemon(services: u16, rates: &[u32], span: Duration, faults: usize) -> Result<Cost> {
    let mut lab = Lab::start()?;
    lab.announce(Site::Ams1)?;
    let _servers = serve_more(&lab.fra1.node, services / 2 - 1)?;
    let settings = Settings {
        more_services: services / 2 - 1,
        ..Settings::fast()
    };
    let daemon = lab.fra1.lapwing(&settings)?;
    lab.wait_announced(Site::Fra1)?;
    wait_probed(&lab.fra1.node, &daemon)?;
    let mut rows = Vec::new();
    for rate in rates {
        // Half of the clients reach the other site.
        let _load = (*rate > 0)
            .then(|| lab.load(Plan::steady(*rate)))
            .transpose()?;
        thread::sleep(Duration::from_secs(5));
        let cpu = cpu_by_thread(daemon.pid(), span)?;
        let (resident, own) = resident_mib(daemon.pid())?;
        rows.push(Row {
            rate: *rate,
            cpu,
            resident,
            own,
        });
    }
    let metrics = answers(&lab.fra1.node, "/metrics")?;
    let page = answers(&lab.fra1.node, "/api/v1/status")?;
    daemon.kill()?;
    clear_state(&lab.fra1)?;
    let load = lab.load(Plan::steady(2000))?;
    load.wait_served_by(&[Site::Ams1], PATIENT)?;
    let mut withdrawals = [Vec::new(), Vec::new()];
    for _ in 0..faults {
        for (watched, millis) in [false, true].into_iter().zip(&mut withdrawals) {
            let _watchers = watched
                .then(|| Watchers::start(&lab.fra1.node))
                .transpose()?;
            let both = measure(&mut lab, Fault::Refused, &settings)?;
            millis.extend(both.iter().map(Withdrawal::millis));
            load.drain();
        }
    }
    Ok(Cost {
        services,
        rates: rows,
        metrics,
        page,
        withdrawals: withdrawals.map(Sample::new),
    })
}

/// Another nginx, at the ports of the further services.
fn serve_more(node: &Namespace, per_family: u16) -> Result<Process> {
    let listen: String = Family::ALL
        .iter()
        .flat_map(|family| {
            (MORE_PORTS..)
                .take(per_family.into())
                .map(|port| format!("listen {};\n", SocketAddr::new(family.service(), port)))
        })
        .collect();
    node.write(
        CONFIG,
        &format!(
            "user root;\nworker_processes 1;\nworker_rlimit_nofile 20000;\n\
             pid /run/lab/nginx-more.pid;\nerror_log stderr error;\n\
             events {{ worker_connections 8192; }}\nhttp {{ access_log off; keepalive_timeout 0;\n\
             client_body_temp_path /run/lab/more-body; proxy_temp_path /run/lab/more-proxy;\n\
             fastcgi_temp_path /run/lab/more-fastcgi; uwsgi_temp_path /run/lab/more-uwsgi;\n\
             scgi_temp_path /run/lab/more-scgi;\nserver {{ {listen} return 204; }} }}\n"
        ),
    )?;
    let mut command = Command::new("nginx");
    command.args(["-c", CONFIG, "-e", "stderr", "-g", "daemon off;"]);
    node.spawn("nginx-more", command)
}

fn wait_probed(node: &Namespace, daemon: &Lapwing) -> Result<()> {
    wait_until("every service's probe passes", PATIENT, || {
        let status = daemon.status(node)?;
        let services = status["services"].as_array().context("no services")?;
        Ok(services
            .iter()
            .all(|service| service["probe_passes"] == true))
    })
}

fn answers(node: &Namespace, path: &'static str) -> Result<Answers> {
    let (mut millis, mut bytes) = (Vec::new(), 0);
    for _ in 0..ANSWERS {
        let (took, length) = node.inside(move || get(path))??;
        millis.push(took.as_secs_f64() * 1e3);
        bytes = length;
        // Not in step with the daemon's seconds.
        thread::sleep(Duration::from_millis(270));
    }
    Ok(Answers {
        millis: Sample::new(millis),
        bytes,
    })
}

/// How long a document took, and its length with headers.
fn get(path: &str) -> Result<(Duration, usize)> {
    let begin = Instant::now();
    let mut stream = TcpStream::connect(SocketAddr::from(HTTP))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\n\r\n",
        HTTP.1
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let took = begin.elapsed();
    ensure!(
        answer.starts_with(b"HTTP/1.1 200"),
        "{path}: {}",
        String::from_utf8_lossy(&answer[..answer.len().min(200)])
    );
    Ok((took, answer.len()))
}

/// Ask for both documents, ten times a second each, until this is dropped.
struct Watchers {
    stop: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<Result<()>>>,
}

impl Watchers {
    fn start(node: &Namespace) -> Result<Self> {
        let mut watchers = Self {
            stop: Arc::new(AtomicBool::new(false)),
            threads: Vec::new(),
        };
        for path in ["/metrics", "/api/v1/status"] {
            let stopped = Arc::clone(&watchers.stop);
            let ask = move || {
                while !stopped.load(Ordering::Relaxed) {
                    // Before the daemon runs there is no answer.
                    let _ = get(path);
                    thread::sleep(Duration::from_millis(100));
                }
            };
            watchers.threads.push(node.network_thread("watcher", ask)?);
        }
        Ok(watchers)
    }
}

impl Drop for Watchers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} services", self.services)?;
        for row in &self.rates {
            let all: f64 = row.cpu.values().sum();
            let threads: Vec<String> = row
                .cpu
                .iter()
                .filter(|(_, millis)| **millis >= 0.1)
                .map(|(name, millis)| format!("{name} {millis:.1}"))
                .collect();
            writeln!(
                f,
                "  {:>5} connects/s: {all:.1} ms of processor time a second ({}); {:.1} MiB resident, {:.1} its own",
                row.rate,
                threads.join(", "),
                row.resident,
                row.own
            )?;
        }
        for (path, answers) in [("/metrics", &self.metrics), ("/api/v1/status", &self.page)] {
            writeln!(
                f,
                "  {path}: {:.1} ms median, {:.1} at most, {} bytes",
                answers.millis.median(),
                answers.millis.max(),
                answers.bytes
            )?;
        }
        for (who, sample) in ["nobody looks", "both are asked for all the time"]
            .into_iter()
            .zip(&self.withdrawals)
        {
            writeln!(
                f,
                "  refused to the withdraw upstream, {who}: {:.1} ms median, {:.1} at most, n = {}",
                sample.median(),
                sample.max(),
                sample.len()
            )?;
        }
        Ok(())
    }
}
