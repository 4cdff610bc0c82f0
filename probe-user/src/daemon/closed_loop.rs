//! The daemon's end of the closed loop: hands every change to the follower, hears what
//! it found, and watches the clients itself, since it has the counters.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::Context;
use probe_common::counters::{self, Counters};
use probe_core::{
    Level, Timestamp,
    config::{Application, Prefix, PrefixId, Protocol, Service, ServiceId},
};
use tokio::sync::{mpsc, watch};

use crate::{
    config::{Route, Settings},
    follow::{
        AlertKind, Change, Finding, Follower, Numbers, Options, Picture, Told,
        traffic::{News, Traffic},
    },
};

/// What follows a change, and those it is told by.
pub struct ClosedLoop {
    follower: Option<Follower>,
    findings: Option<mpsc::Receiver<Finding>>,
    picture: Option<watch::Receiver<Arc<Picture>>>,
    /// What the follower had no room for: the newest of each prefix.
    late: BTreeMap<PrefixId, Told>,
    traffic: Vec<Traffic>,
    /// The services within each prefix.
    services: Vec<Vec<ServiceId>>,
    /// What it was started with.
    asked: Options,
}

impl ClosedLoop {
    /// Starts the follower, if there is a prefix to follow.
    pub fn start(settings: &Settings) -> anyhow::Result<Self> {
        let prefixes = &settings.core.prefixes;
        let asked = asked(settings);
        let started = (!prefixes.is_empty())
            .then(|| Follower::start(asked.clone()))
            .transpose()
            .context("cannot start the thread that asks BIRD")?;
        let (follower, findings) = started.unzip();
        Ok(Self {
            picture: follower.as_ref().map(Follower::picture),
            follower,
            findings,
            late: BTreeMap::new(),
            traffic: (0..)
                .map(PrefixId)
                .zip(prefixes)
                .map(|(id, prefix)| Traffic::new(id, prefix.prefix.to_string()))
                .collect(),
            services: services_of(settings),
            asked,
        })
    }

    /// Another configuration is in force, and these are the levels that stand in the
    /// table now. With other prefixes, or another socket, it starts anew: what an
    /// earlier follower still has to say is about other numbers.
    pub fn reconfigure(&mut self, settings: &Settings, standing: &[(PrefixId, Level)]) {
        if self.asked == asked(settings) {
            self.services = services_of(settings);
            return;
        }
        match Self::start(settings) {
            Ok(started) => *self = started,
            Err(error) => {
                tracing::error!("{error:#}: changes are not followed until a restart");
                self.follower = None;
                self.findings = None;
                self.picture = None;
                self.traffic.clear();
            }
        }
        for (prefix, level) in standing {
            self.stands(*prefix, *level);
        }
    }

    /// What the follower finds next. Never ready without one.
    pub async fn next(&mut self) -> Option<Finding> {
        match &mut self.findings {
            Some(findings) => findings.recv().await,
            None => std::future::pending().await,
        }
    }

    /// The kernel's table was seen to say so.
    pub fn stands(&mut self, prefix: PrefixId, level: Level) {
        self.tell(Told::Stands(prefix, level));
    }

    /// The kernel acknowledged a change of ours. What was still told of the one
    /// before it.
    pub fn ordered(&mut self, change: Change) -> News {
        self.tell(Told::Ordered(change));
        self.traffic
            .get_mut(change.prefix.0 as usize)
            .map_or_else(News::default, |traffic| traffic.changed(change))
    }

    fn tell(&mut self, told: Told) {
        let Some(follower) = &self.follower else {
            return;
        };
        // Behind one that waits, a newer one waits, too.
        let waits = self.late.contains_key(&told.prefix());
        let refused = if waits {
            Some(told)
        } else {
            follower.tell(told).err()
        };
        if let Some(told) = refused {
            self.late.insert(told.prefix(), told);
        }
    }

    /// Takes in what was counted of the services, once a second.
    pub fn every_second(
        &mut self,
        now: Timestamp,
        services: &[Service],
        packets: &[counters::Traffic],
        counters: &[Counters],
    ) -> Vec<News> {
        for (_, told) in std::mem::take(&mut self.late) {
            self.tell(told);
        }
        self.traffic
            .iter_mut()
            .zip(&self.services)
            .filter(|(_, ids)| !ids.is_empty())
            .map(|(traffic, ids)| {
                let arrived = ids.iter().map(|id| {
                    let index = id.0 as usize;
                    let counts = packets.get(index).zip(counters.get(index));
                    let service = services.get(index).zip(counts);
                    service.map_or(0, |(service, (packets, counters))| {
                        arrivals(service, packets, counters)
                    })
                });
                traffic.push(now, arrived.sum())
            })
            .filter(|news| *news != News::default())
            .collect()
    }

    /// What is known of BIRD, and of the clients of withdrawn prefixes.
    pub fn picture(&self) -> Arc<Picture> {
        let Some(picture) = &self.picture else {
            return Arc::default();
        };
        let picture = Arc::clone(&picture.borrow());
        if self.traffic.iter().all(|traffic| traffic.stays().is_none()) {
            return picture;
        }
        let mut picture = Picture::clone(&picture);
        for (prefix, traffic) in picture.prefixes.iter_mut().zip(&self.traffic) {
            if let Some(sentence) = traffic.stays() {
                prefix
                    .alerts
                    .insert(AlertKind::TrafficStays, sentence.to_owned());
            }
        }
        Arc::new(picture)
    }
}

/// What the follower has to know; while it is the same, a follower goes on under another
/// configuration.
fn asked(settings: &Settings) -> Options {
    let Route {
        table,
        protocol_full,
        protocol_degraded,
        bird_socket,
        witness_round: _,
    } = &settings.route;
    let prefixes = settings.core.prefixes.iter();
    Options {
        socket: settings.route.bird_socket().to_owned(),
        named: bird_socket.is_some(),
        numbers: Numbers {
            table: *table,
            full: *protocol_full,
            degraded: *protocol_degraded,
        },
        prefixes: prefixes.map(|prefix| prefix.prefix).collect(),
    }
}

/// Only those that lie within the prefix: to one that is shared with another, clients come
/// by that one.
fn services_of(settings: &Settings) -> Vec<Vec<ServiceId>> {
    let services = &settings.core.services;
    let within = |prefix: &Prefix| {
        let network = prefix.prefix;
        let ids = prefix.services.iter().copied();
        ids.filter(|id| {
            let service = services.get(id.0 as usize);
            service.is_some_and(|service| network.contains(&service.endpoint.address))
        })
        .collect()
    };
    settings.core.prefixes.iter().map(within).collect()
}

/// What clients began, as far as the service's protocol shows it.
fn arrivals(service: &Service, packets: &counters::Traffic, counters: &Counters) -> u64 {
    match (service.endpoint.protocol, service.application) {
        (Protocol::Tcp, _) => counters.syn.saturating_sub(counters.syn_retransmissions),
        (Protocol::Udp, Application::Dns) => counters.dns_queries,
        (Protocol::Udp, Application::Quic) => counters.quic_initials_in,
        (Protocol::Udp, Application::Any | Application::Http) => packets.packets_in,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn settings(route: &str) -> Settings {
        let text = format!(
            r#"
[route]
{route}
[[prefix]]
prefix = "192.0.2.0/24"
[[prefix.service]]
name = "web"
address = "192.0.2.10"
port = 443
"#
        );
        Settings::parse(Path::new("x"), &text, &|_| true)
            .unwrap_or_else(|report| panic!("{report}"))
    }

    #[test]
    fn clients_of_a_shared_service_come_by_its_own_prefix() {
        let mut settings = settings("");
        let shared = Prefix {
            prefix: "198.51.100.0/24".parse().unwrap(),
            ..settings.core.prefixes[0].clone()
        };
        settings.core.prefixes.push(shared);
        assert_eq!(services_of(&settings), [vec![ServiceId(0)], vec![]]);
    }

    #[test]
    fn the_follower_goes_on_when_it_is_not_concerned() {
        let before = asked(&settings(""));
        for (route, same) in [
            ("witness_round = \"2s\"", true),
            ("table = 4300", false),
            ("protocols = { full = 203, degraded = 202 }", false),
            ("bird_socket = \"/run/bird/bird.ctl\"", false),
        ] {
            assert_eq!(asked(&settings(route)) == before, same, "{route}");
        }
    }
}
