//! A real nginx on an edge's anycast addresses.

use std::{net::SocketAddr, net::TcpStream, process::Command, time::Duration};

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;
use probe_core::Timestamp;

use super::{
    clock,
    netns::{Namespace, Process},
    topology::{Family, Site},
    wait_until,
};

const NAME: &str = "nginx";

/// The web server of a site.
pub struct Nginx {
    site: Site,
    process: Option<Process>,
}

impl Nginx {
    /// Starts it and waits until both addresses answer.
    pub fn start(node: &Namespace, site: Site) -> Result<Self> {
        configure(node, NAME, &server(site))?;
        let mut nginx = Self {
            site,
            process: None,
        };
        nginx.start_again(node)?;
        Ok(nginx)
    }

    /// Starts it again after a [`kill`](Self::kill). Returns when it was seen to listen.
    pub fn start_again(&mut self, node: &Namespace) -> Result<Timestamp> {
        let process = spawn(node, NAME)?;
        wait_until(
            "nginx answers on both addresses",
            Duration::from_secs(10),
            || {
                if let Some(status) = process.exited()? {
                    anyhow::bail!("nginx ended ({status}): {}", process.log_tail());
                }
                node.inside(|| {
                    Family::ALL.iter().all(|family| {
                        let address = SocketAddr::new(family.service(), 80);
                        TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok()
                    })
                })
            },
        )?;
        self.process = Some(process);
        Ok(clock::now())
    }

    /// Kills master and workers. Returns the moment just before.
    pub fn kill(&mut self) -> Result<Timestamp> {
        let process = self
            .process
            .take()
            .with_context(|| format!("nginx at {} runs", self.site))?;
        let at = clock::now();
        process.signal_group(Signal::SIGKILL)?;
        process.wait(Duration::from_secs(5))?;
        Ok(at)
    }

    /// `nginx -s reload`: new workers, the old ones finish.
    pub fn reload(&self) -> Result<()> {
        self.running()?.signal(Signal::SIGHUP)
    }

    /// Freezes master and workers: the kernel's backlog goes on answering.
    pub fn freeze(&self) -> Result<()> {
        self.running()?.signal_group(Signal::SIGSTOP)
    }

    /// Ends [`freeze`](Self::freeze).
    pub fn thaw(&self) -> Result<()> {
        self.running()?.signal_group(Signal::SIGCONT)
    }

    fn running(&self) -> Result<&Process> {
        self.process
            .as_ref()
            .with_context(|| format!("nginx at {} runs", self.site))
    }
}

/// Starts an nginx beside the site's own, with this `server`.
pub fn serve(node: &Namespace, name: &str, server: &str) -> Result<Process> {
    configure(node, name, server)?;
    spawn(node, name)
}

fn spawn(node: &Namespace, name: &str) -> Result<Process> {
    let mut command = Command::new("nginx");
    let path = path(name);
    command.args(["-c", &path, "-e", "stderr", "-g", "daemon off;"]);
    node.spawn(name, command)
}

fn path(name: &str) -> String {
    format!("/run/lab/{name}.conf")
}

/// One worker is plenty for two cores. The server closes each connection, so that
/// clients keep no TIME-WAIT.
fn configure(node: &Namespace, name: &str, server: &str) -> Result<()> {
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|what| format!("  {what}_temp_path /run/lab/{name}-{what};\n"))
        .concat();
    let text = format!(
        "user root;\nworker_processes 1;\nworker_rlimit_nofile 20000;\n\
         pid /run/lab/{name}.pid;\nerror_log stderr error;\n\
         events {{ worker_connections 16384; }}\n\
         http {{\n  access_log off;\n  keepalive_timeout 0;\n{temporary}{server}}}\n"
    );
    node.write(&path(name), &text)
}

fn server(site: Site) -> String {
    let listen = Family::ALL
        .map(|family| {
            let address = SocketAddr::new(family.service(), 80);
            format!("    listen {address} backlog=4096;\n")
        })
        .concat();
    format!(
        "  server {{\n{listen}\
         \x20   add_header X-Site {site};\n    default_type text/plain;\n\
         \x20   location / {{ return 200 \"this is {site}\\n\"; }}\n\
         \x20   location /unwell {{ return 503; }}\n\
         \x20   location /missing {{ return 404; }}\n  }}\n"
    )
}
