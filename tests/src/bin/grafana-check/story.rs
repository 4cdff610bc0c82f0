//! What the dashboards are to show: two sites that hear each other, with web and name
//! servers and their clients; one dies and comes back, one is pinned; at last both die, and
//! the guard keeps the last one announced.

use std::{
    io,
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use lapwing_tests::lab::{
    bird::Form,
    knot::{BROKEN_ZONE, Knot, ZONE, query},
    lapwing::{CONTROL, Lapwing, Settings, service_name},
    load::{Load, Plan},
    prometheus::{self, Prometheus},
    topology::{Edge, Family, Lab, Site, client_addresses},
    wait_until,
};

/// Where the other site's metrics are had at fra1.
const OTHER: (&str, &str) = ("ams1", "127.0.0.2:9477");
const SOON: Duration = Duration::from_secs(40);
/// Long enough to be seen.
const A_WHILE: Duration = Duration::from_secs(15);
const BETWEEN_QUERIES: Duration = Duration::from_millis(3);

/// The lab, in the middle of the last fault. Fields are dropped in this order.
pub struct Story {
    _prometheus: Prometheus,
    _daemons: [Lapwing; 2],
    _knots: [Knot; 2],
    _load: Load,
    pub lab: Lab,
    /// When there was something to see.
    pub began: Instant,
}

/// Of each family.
const SERVICES: usize = 2;

/// Each family's web server and its name server, probed.
fn services(family: Family) -> String {
    let (name, address) = (service_name(family), family.service());
    let endpoint = SocketAddr::new(address, 80);
    let resolver = SocketAddr::new(address, 53);
    let dns = name.replace("web", "dns");
    format!(
        r#"
[[prefix.service]]
name = "{name}"
address = "{address}"
port = 80
protocol = "tcp"
application = "http"
probe = {{ http = "http://{endpoint}/", status = 200, interval = "500ms", timeout = "500ms", rise = 2, fall = 3 }}

[[prefix.service]]
name = "{dns}"
address = "{address}"
port = 53
protocol = "udp"
probe = {{ dns = "{resolver}", name = "www.{ZONE}" }}
"#
    )
}

/// Plays it until both are dead. Prometheus serves the page, too.
pub fn play(page: &Path) -> Result<Story> {
    println!("  two sites, each with a daemon; Prometheus at one");
    let mut lab = Lab::start_witnessed(Form::Standalone)?;
    let knots = [Knot::start(&lab.fra1.node)?, Knot::start(&lab.ams1.node)?];
    let settings = Settings {
        witnessed: true,
        services,
        // A real one: the score and the holds are seen for longer.
        hold: Duration::from_secs(3),
        ..Settings::new()
    };
    let daemons = [lab.fra1.lapwing(&settings)?, lab.ams1.lapwing(&settings)?];
    for site in Site::ALL {
        lab.wait_announced(site)?;
    }
    relay(&lab)?;
    let prometheus = Prometheus::start_serving(&lab.fra1.node, &[prometheus::OWN, OTHER], page)?;
    let load = lab.load(Plan::steady(100))?;
    ask_names(&lab)?;
    wait_guarded(&lab, &prometheus)?;
    let began = Instant::now();
    thread::sleep(A_WHILE);

    println!("  a web server dies and comes back");
    lab.fra1.nginx.kill()?;
    wait_levels(&lab, &prometheus, "fra1", 0)?;
    thread::sleep(A_WHILE);
    lab.fra1.nginx.start_again(&lab.fra1.node)?;
    wait_levels(&lab, &prometheus, "fra1", 2)?;
    order(
        &lab.ams1,
        &["pin", "all", "--for", "1h", "--reason", "maintenance"],
    )?;
    thread::sleep(A_WHILE);
    order(&lab.ams1, &["unpin", "all"])?;
    wait_guarded(&lab, &prometheus)?;

    println!("  both die: the last one stays");
    lab.ams1.nginx.kill()?;
    wait_levels(&lab, &prometheus, "ams1", 0)?;
    lab.fra1.nginx.kill()?;
    wait_until("the last site is kept", SOON, || {
        let held = prometheus.query(&lab.fra1.node, "lapwing_prefix_held == 1")?;
        Ok(!held.is_empty())
    })?;
    thread::sleep(A_WHILE);
    Ok(Story {
        _prometheus: prometheus,
        _daemons: daemons,
        _knots: knots,
        _load: load,
        lab,
        began,
    })
}

/// Waits until live trials guard every service at both sites.
fn wait_guarded(lab: &Lab, prometheus: &Prometheus) -> Result<()> {
    let guarded = r#"lapwing_service_state{state!~"unknown|unguarded|learning"} == 1"#;
    let services = Family::ALL.len() * SERVICES * Site::ALL.len();
    wait_until("every service is guarded", SOON, || {
        Ok(prometheus.query(&lab.fra1.node, guarded)?.len() == services)
    })
    .with_context(|| {
        let seen = prometheus.query(&lab.fra1.node, "up or lapwing_service_state == 1");
        format!("{seen:?}")
    })
}

fn wait_levels(lab: &Lab, prometheus: &Prometheus, instance: &str, level: u32) -> Result<()> {
    let query = format!(r#"lapwing_prefix_level{{instance="{instance}"}} == {level}"#);
    wait_until(&format!("{instance} is at level {level}"), SOON, || {
        let there = prometheus.query(&lab.fra1.node, &query)?;
        Ok(there.len() == Family::ALL.len())
    })
}

fn order(edge: &Edge, arguments: &[&str]) -> Result<()> {
    let output = edge.lapwing_command(&[arguments, &["--control", CONTROL]].concat())?;
    ensure!(output.status.success(), "{arguments:?}: {output:?}");
    Ok(())
}

/// A daemon's metrics are for its own loopback. What is asked of [`OTHER`] at fra1 is asked
/// of ams1's, until this process ends.
fn relay(lab: &Lab) -> Result<()> {
    let listener = lab
        .fra1
        .node
        .inside(|| TcpListener::bind(OTHER.1))?
        .context("listening for the other site's metrics")?;
    lab.ams1.node.network_thread("relay", move || {
        for client in listener.incoming().map_while(Result::ok) {
            if let Ok(server) = TcpStream::connect(prometheus::OWN.1) {
                join(&client, &server);
                join(&server, &client);
            }
        }
    })?;
    Ok(())
}

/// Copies what one says to the other.
fn join(from: &TcpStream, to: &TcpStream) {
    if let (Ok(mut from), Ok(mut to)) = (from.try_clone(), to.try_clone()) {
        thread::spawn(move || io::copy(&mut from, &mut to));
    }
}

/// Clients that ask the name servers for something that is there, now and then for what is
/// not, until this process ends.
fn ask_names(lab: &Lab) -> Result<()> {
    lab.clients.network_thread("names", || -> Result<()> {
        let mut sockets = Vec::new();
        for family in Family::ALL {
            for client in client_addresses(family) {
                let socket = UdpSocket::bind((client, 0))?;
                socket.connect((family.service(), 53))?;
                sockets.push(socket);
            }
        }
        for (id, socket) in (0..=u16::MAX).cycle().zip(sockets.iter().cycle()) {
            // The number of clients is even: odd ones, so that each gets every answer.
            let name = if id % 501 == 0 {
                format!("www.{BROKEN_ZONE}")
            } else if id % 25 == 0 {
                format!("nobody.{ZONE}")
            } else {
                format!("www.{ZONE}")
            };
            // Between two sites there may be nobody for a moment.
            let _ = socket.send(&query(id, &name));
            thread::sleep(BETWEEN_QUERIES);
        }
        Ok(())
    })?;
    Ok(())
}
