//! One prefix as the actor keeps it: its reconciler, what was told about it, and
//! what stands against its wanted level.

use ipnet::IpNet;
use probe_core::{Level, Timestamp};

use super::{
    Error, Options,
    reconcile::{Plan, Reconciler},
    route::{Own, Route},
};

/// The metric of an IPv6 route that is added with metric 0.
const IPV6_DEFAULT_METRIC: u32 = 1024;

/// One prefix.
pub(super) struct Tracked {
    pub net: IpNet,
    pub reconciler: Reconciler,
    /// The level that was observed last.
    pub told: Option<Level>,
    /// Why the last attempt failed.
    pub refusal: Option<String>,
    /// Whether another program changes it faster than repairs are allowed.
    pub contended: bool,
    /// When to try again.
    pub retry_at: Option<Timestamp>,
}

impl Tracked {
    pub fn new(net: IpNet, options: &Options) -> Self {
        let metric = match (net, options.metric) {
            (IpNet::V6(_), 0) => IPV6_DEFAULT_METRIC,
            (IpNet::V4(_) | IpNet::V6(_), metric) => metric,
        };
        Self {
            net,
            reconciler: Reconciler::new(Own {
                full: options.protocol_full,
                degraded: options.protocol_degraded,
                metric,
            }),
            told: None,
            refusal: None,
            contended: false,
            retry_at: None,
        }
    }

    /// What stands against the wanted level, one sentence each.
    pub fn conflicts(&self, table: u32) -> Vec<String> {
        let prefix = self.net;
        let mut sentences = Vec::new();
        let blocked = match self.reconciler.plan() {
            Plan::Blocked(route) => Some(route),
            Plan::Rest | Plan::Make(_) | Plan::Wait(_) => None,
        };
        if let Some(route) = blocked {
            let error = Error::Foreign {
                prefix,
                table,
                route,
            };
            sentences.push(error.to_string());
        }
        sentences.extend(
            self.reconciler
                .hiding()
                .filter(|route| Some(*route) != blocked)
                .map(|route| hidden(prefix, table, route)),
        );
        if self.contended
            && let Some(level) = self.reconciler.wanted()
        {
            let error = Error::Contended {
                prefix,
                table,
                level,
            };
            sentences.push(error.to_string());
        }
        sentences.extend(self.refusal.clone());
        sentences
    }
}

fn hidden(prefix: IpNet, table: u32, route: Route) -> String {
    format!(
        "another program's {route} for {prefix} in routing table {table} hides lapwing's from \
         BIRD, which takes the lowest metric: remove it (ip route del {prefix} table {table} \
         metric {metric})",
        metric = route.metric
    )
}
