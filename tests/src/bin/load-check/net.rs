//! The link on which the programs stand, and the clients at its other end: connections
//! of the kernel's own TCP, from another network namespace.

use std::{
    fs::File,
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    os::fd::AsRawFd as _,
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use nix::{
    net::if_::if_nametoindex,
    sched::{CloneFlags, unshare},
};
use rtnetlink::{
    Handle, LinkUnspec, LinkVeth, new_connection,
    packet_route::address::{AddressHeaderFlags, AddressMessage},
};

/// The interface that is watched.
pub const INTERFACE: &str = "e0";
const PEER: &str = "e1";

/// Where the services answer.
pub const SERVICES: [&str; 2] = ["198.18.77.1:8080", "[2001:db8:77::1]:8080"];
const CLIENTS: [&str; 2] = ["198.18.77.2", "2001:db8:77::2"];

/// Connections to each service in one round.
pub const CONNECTIONS: u64 = 10;

/// A guest that is emulated on a busy machine is slow, but not this slow.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The other end of the link.
pub struct Clients {
    rounds: mpsc::Sender<()>,
    results: mpsc::Receiver<Result<()>>,
}

impl Clients {
    /// Every service is connected to [`CONNECTIONS`] times.
    pub fn come(&self) -> Result<()> {
        self.rounds.send(()).context("the clients have ended")?;
        self.results.recv().context("the clients have ended")?
    }
}

/// Makes the link, with listeners at this end and clients at the other.
pub fn raise() -> Result<Clients> {
    let (namespace, made) = mpsc::channel();
    let (link, moved) = mpsc::channel();
    let (result, results) = mpsc::channel();
    let (rounds, come) = mpsc::channel();
    thread::Builder::new()
        .name("clients".to_owned())
        .spawn(move || {
            let own = unshare(CloneFlags::CLONE_NEWNET)
                .map_err(anyhow::Error::from)
                .and_then(|()| Ok(File::open("/proc/thread-self/ns/net")?));
            if namespace.send(own).is_err() || moved.recv().is_err() {
                return;
            }
            let _ = result.send(configure(PEER, &CLIENTS).context("the clients' end"));
            for () in come {
                let _ = result.send(connect_to_all());
            }
        })?;
    let namespace = made
        .recv()
        .context("the clients have ended")?
        .context("the clients' namespace")?;
    add_pair(&namespace).context("adding the pair")?;
    configure(INTERFACE, &SERVICES.map(address_of)).context("our end")?;
    link.send(()).context("the clients have ended")?;
    results.recv().context("the clients have ended")??;
    for service in SERVICES {
        listen(service)?;
    }
    Ok(Clients { rounds, results })
}

fn address_of(service: &str) -> &str {
    service
        .rsplit_once(':')
        .map_or(service, |(address, _)| address.trim_matches(['[', ']']))
}

fn add_pair(namespace: &File) -> Result<()> {
    with_netlink(async |handle| {
        handle
            .link()
            .add(LinkVeth::new(INTERFACE, PEER).build())
            .execute()
            .await?;
        let peer = LinkUnspec::new_with_name(PEER)
            .setns_by_fd(namespace.as_raw_fd())
            .build();
        handle.link().set(peer).execute().await
    })
}

/// Brings an interface up, with these addresses.
fn configure(interface: &str, addresses: &[&str]) -> Result<()> {
    let index = if_nametoindex(interface).with_context(|| format!("finding {interface}"))?;
    let addresses: Vec<IpAddr> = addresses
        .iter()
        .map(|address| {
            address
                .parse()
                .with_context(|| format!("address {address}"))
        })
        .collect::<Result<_>>()?;
    with_netlink(async |handle| {
        for address in addresses {
            let prefix = if address.is_ipv4() { 24 } else { 64 };
            let mut request = handle.address().add(index, address, prefix);
            usable_at_once(request.message_mut());
            request.execute().await?;
        }
        let up = LinkUnspec::new_with_index(index).up().build();
        handle.link().set(up).execute().await
    })
}

/// Nobody else can have the address, and no second is to be lost by asking.
fn usable_at_once(message: &mut AddressMessage) {
    message.header.flags |= AddressHeaderFlags::Nodad;
}

fn with_netlink(work: impl AsyncFnOnce(Handle) -> Result<(), rtnetlink::Error>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    runtime.block_on(async {
        let (connection, handle, _) = new_connection()?;
        tokio::spawn(connection);
        Ok(work(handle).await?)
    })
}

fn listen(service: &'static str) -> Result<()> {
    let listener = TcpListener::bind(service).with_context(|| format!("listening on {service}"))?;
    thread::Builder::new()
        .name("listener".to_owned())
        .spawn(move || listener.incoming().for_each(drop))?;
    Ok(())
}

fn connect_to_all() -> Result<()> {
    for service in SERVICES {
        let service: SocketAddr = service.parse()?;
        for _ in 0..CONNECTIONS {
            TcpStream::connect_timeout(&service, PATIENCE)
                .with_context(|| format!("connecting to {service}"))?;
        }
    }
    Ok(())
}
