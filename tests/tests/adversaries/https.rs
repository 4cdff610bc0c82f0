//! A service behind TLS that answers everything with 503. The kernel side sees
//! connections that are accepted and requests that are answered, and cannot look into
//! them; the probe can.

use std::{process::Command, time::Duration};

use anyhow::{Result, ensure};
use lapwing_tests::lab::{
    lapwing::Settings,
    netns::Process,
    topology::{Edge, Family, Lab},
    wait_until,
};
use nix::sys::signal::Signal;

use crate::stage::{PATIENT, play, settings, watch};

const CONFIG: &str = "/run/lab/https.conf";

fn secure(family: Family) -> String {
    let (name, address, host) = match family {
        Family::V4 => ("tls4", "192.0.2.10", "192.0.2.10"),
        Family::V6 => ("tls6", "2001:db8:a::10", "[2001:db8:a::10]"),
    };
    format!(
        r#"
[[prefix.service]]
name = "{name}"
address = "{address}"
port = 443
probe = {{ http = "https://{host}/", status = 200, interval = "500ms", timeout = "500ms" }}
"#
    )
}

/// The configuration of a server that answers everything with this status.
fn configure(edge: &Edge, status: u16) -> Result<()> {
    edge.node.write(
        CONFIG,
        &format!(
            "user root;\npid /run/lab/https.pid;\nerror_log stderr error;\n\
             events {{ worker_connections 4096; }}\nhttp {{\n  access_log off;\n\
             \x20 client_body_temp_path /run/lab/s-body;\n  proxy_temp_path /run/lab/s-proxy;\n\
             \x20 fastcgi_temp_path /run/lab/s-fastcgi;\n  uwsgi_temp_path /run/lab/s-uwsgi;\n\
             \x20 scgi_temp_path /run/lab/s-scgi;\n\
             \x20 server {{\n    listen 192.0.2.10:443 ssl;\n    listen [2001:db8:a::10]:443 ssl;\n\
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
    configure(edge, 200)?;
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

#[test]
fn errors_behind_tls_are_withdrawn_by_the_probe_though_live_trials_are_good() -> Result<()> {
    play(|lab| {
        let server = start(&lab.fra1)?;
        let clients = Family::ALL.map(|family| clients(lab, family));
        let [v4, v6] = clients;
        let clients = [v4?, v6?];
        let settings = Settings {
            services: secure,
            arm_after: 40,
            ..settings()
        };
        let mut watched = watch(lab, &settings)?;
        configure(&lab.fra1, 503)?;
        server.signal(Signal::SIGHUP)?;
        for decision in watched.decisions("withdrawn", Duration::from_secs(20))? {
            println!("503: {}", decision.text("sentence"));
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
        for client in &clients {
            ensure!(client.log_tail().contains("503"), "{}", client.log_tail());
        }
        configure(&lab.fra1, 200)?;
        server.signal(Signal::SIGHUP)?;
        watched.decisions("full", Duration::from_secs(20))?;
        wait_until("clients get what they ask for", PATIENT, || {
            Ok(clients
                .iter()
                .all(|client| client.log_tail().ends_with("200")))
        })
    })
}
