//! A service behind TLS that answers everything with 503, or without TLS. The kernel
//! side sees connections that are accepted and requests that are answered, and cannot
//! look into them; the probe can.

use std::{net::SocketAddr, process::Command, time::Duration};

use anyhow::{Result, ensure};
use lapwing_tests::lab::{
    lapwing::Settings,
    netns::Process,
    topology::{Edge, Family, Lab},
    wait_until,
};
use nix::sys::signal::Signal;

use crate::stage::{PATIENT, Watched, play, settings, watch};

const CONFIG: &str = "/run/lab/https.conf";

fn secure(family: Family) -> String {
    let endpoint = endpoint(family);
    probed(
        family,
        &format!(r#"http = "https://{endpoint}/", status = 200"#),
    )
}

fn encrypted(family: Family) -> String {
    let endpoint = endpoint(family);
    probed(family, &format!(r#"tls = "{endpoint}""#))
}

fn endpoint(family: Family) -> SocketAddr {
    SocketAddr::new(family.service(), 443)
}

fn probed(family: Family, question: &str) -> String {
    let (name, address) = match family {
        Family::V4 => ("tls4", family.service()),
        Family::V6 => ("tls6", family.service()),
    };
    format!(
        r#"
[[prefix.service]]
name = "{name}"
address = "{address}"
port = 443
probe = {{ {question}, interval = "500ms", timeout = "500ms" }}
"#
    )
}

/// What the server at port 443 does with each connection.
#[derive(Clone, Copy)]
enum Answers {
    /// A response of this status, by TLS.
    Status(u16),
    /// An error in plain text to whoever begins with TLS.
    PlainText,
}

fn configure(edge: &Edge, answers: Answers) -> Result<()> {
    let (ssl, status) = match answers {
        Answers::Status(status) => ("ssl", status),
        Answers::PlainText => ("", 200),
    };
    edge.node.write(
        CONFIG,
        &format!(
            "user root;\npid /run/lab/https.pid;\nerror_log stderr error;\n\
             events {{ worker_connections 4096; }}\nhttp {{\n  access_log off;\n\
             \x20 client_body_temp_path /run/lab/s-body;\n  proxy_temp_path /run/lab/s-proxy;\n\
             \x20 fastcgi_temp_path /run/lab/s-fastcgi;\n  uwsgi_temp_path /run/lab/s-uwsgi;\n\
             \x20 scgi_temp_path /run/lab/s-scgi;\n\
             \x20 server {{\n    listen 192.0.2.10:443 {ssl};\n    listen [2001:db8:a::10]:443 {ssl};\n\
             \x20   ssl_certificate /run/lab/certificate.pem;\n    ssl_certificate_key /run/lab/key.pem;\n\
             \x20   location / {{ return {status}; }}\n  }}\n}}\n"
        ),
    )
}

fn start(edge: &Edge) -> Result<Process> {
    let key = rcgen::KeyPair::generate()?;
    let certificate = rcgen::CertificateParams::new(vec!["anycast.example".to_owned()])?;
    edge.node.write(
        "/run/lab/certificate.pem",
        &pem("CERTIFICATE", certificate.self_signed(&key)?.der()),
    )?;
    edge.node.write(
        "/run/lab/key.pem",
        &pem("PRIVATE KEY", key.serialized_der()),
    )?;
    configure(edge, Answers::Status(200))?;
    let mut command = Command::new("nginx");
    command.args(["-c", CONFIG, "-e", "stderr", "-g", "daemon off;"]);
    edge.node.spawn("https", command)
}

/// RFC 7468.
fn pem(label: &str, der: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in der.chunks(48) {
        for bytes in line.chunks(3) {
            let mut group = [0; 4];
            group[1..=bytes.len()].copy_from_slice(bytes);
            let number = u32::from_be_bytes(group);
            for digit in 0..4 {
                text.push(if digit <= bytes.len() {
                    char::from(ALPHABET[(number >> (18 - 6 * digit)) as usize & 63])
                } else {
                    '='
                });
            }
        }
        text.push('\n');
    }
    text + &format!("-----END {label}-----\n")
}

/// A client that asks thirty times a second, by a connection each time. Its log has
/// the status of every answer.
fn clients(lab: &Lab, family: Family) -> Result<Process> {
    let (from, url) = match family {
        Family::V4 => ("198.18.3.10", "https://192.0.2.10/?[1-100000]"),
        Family::V6 => ("2001:db8:c03::10", "https://[2001:db8:a::10]/?[1-100000]"),
    };
    let mut command = Command::new("curl");
    command.args([
        "--insecure",
        "--silent",
        "--rate",
        "30/s",
        "--header",
        "Connection: close",
        "--interface",
        from,
        "--output",
        "/dev/null",
        "--write-out",
        // Standard error is not buffered.
        "%{stderr}%{http_code}\n",
    ]);
    // The brackets of an IPv6 address are no range.
    let url = match family {
        Family::V4 => url.to_owned(),
        Family::V6 => url.replace("[2001", r"\[2001").replace("10]", r"10\]"),
    };
    command.arg(url);
    lab.clients.spawn("curl", command)
}

/// The server turns to `broken` and back. Live trials stay good all the time, so both
/// decisions are the probe's.
fn broken_and_mended(
    services: fn(Family) -> String,
    broken: Answers,
    is_told: impl Fn(&Process) -> bool,
) -> Result<()> {
    play(|lab| {
        let server = start(&lab.fra1)?;
        let clients = Family::ALL.map(|family| clients(lab, family));
        let [v4, v6] = clients;
        let clients = [v4?, v6?];
        let settings = Settings {
            services,
            arm_after: 40,
            ..settings()
        };
        let mut watched = watch(lab, &settings)?;
        configure(&lab.fra1, broken)?;
        server.signal(Signal::SIGHUP)?;
        expect_withdrawn_by_probe(&mut watched)?;
        for client in &clients {
            ensure!(is_told(client), "{}", client.log_tail());
        }
        configure(&lab.fra1, Answers::Status(200))?;
        server.signal(Signal::SIGHUP)?;
        watched.decisions("full", Duration::from_secs(20))?;
        wait_until("clients get what they ask for", PATIENT, || {
            Ok(clients
                .iter()
                .all(|client| client.log_tail().ends_with("200")))
        })
    })
}

fn expect_withdrawn_by_probe(watched: &mut Watched) -> Result<()> {
    for decision in watched.decisions("withdrawn", Duration::from_secs(20))? {
        println!("{}", decision.text("sentence"));
        ensure!(decision.text("cause") == "probe", "{decision:?}");
        ensure!(
            decision.0["reason"]["trials"]["armed"] == true
                && decision.0["reason"]["trials"]["failed"] == 0
                && decision.0["reason"]["trials"]["late"] == 0,
            "live trials are good: {decision:?}"
        );
    }
    let suspected = watched
        .records()?
        .iter()
        .any(|record| record.event() == "suspected");
    ensure!(!suspected, "{}", watched.told());
    Ok(())
}

#[test]
fn errors_behind_tls_are_withdrawn_by_the_probe_though_live_trials_are_good() -> Result<()> {
    broken_and_mended(secure, Answers::Status(503), |client| {
        client.log_tail().contains("503")
    })
}

/// The server forgets its certificate, and speaks plain text: to the kernel side, an
/// answer like any other.
#[test]
fn lost_tls_is_withdrawn_by_the_probe_though_live_trials_are_good() -> Result<()> {
    broken_and_mended(encrypted, Answers::PlainText, |client| {
        // What curl writes without a response.
        client.log_tail().contains("000")
    })
}
