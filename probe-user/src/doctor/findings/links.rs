//! The interfaces that are to be measured: whether they are there, how the hooks will be
//! attached, and what stands in the way of that.

use super::{Fail, Warn, bad, ok, since};
use crate::{
    config::Attach,
    datapath::driver,
    doctor::{
        Finding,
        facts::Facts,
        network::{Link, State},
    },
};

/// The first kernel on which XDP takes frames of several buffers.
const FRAGS: (u32, u32) = (5, 18);
/// A frame of more does not fit into one page beside XDP's headroom.
const LARGEST_XDP_MTU: u32 = 3498;

/// Judges them.
pub fn interfaces(facts: &Facts) -> Vec<Finding> {
    match &facts.links {
        Ok(links) => links
            .iter()
            .flat_map(|link| interface(facts, link))
            .collect(),
        Err(why) => vec![bad(
            Fail,
            "interface",
            why.as_str(),
            "name the interfaces with `interfaces` in [daemon]",
        )],
    }
}

fn interface(facts: &Facts, link: &Link) -> Vec<Finding> {
    let name = &link.name;
    let Some(state) = &link.state else {
        return vec![bad(
            Fail,
            "interface",
            format!("{name} does not exist"),
            "write a name that `ip -brief link` shows",
        )];
    };
    let mut found = vec![if state.up {
        let driver = state.driver.as_deref().unwrap_or("no driver that says so");
        let way = way(facts, state);
        ok(
            "interface",
            format!("{name} is up, {driver}, MTU {}; {way}", state.mtu),
        )
    } else {
        bad(
            Fail,
            "interface",
            format!("{name} is down"),
            format!("ip link set {name} up"),
        )
    }];
    found.extend(xdp(facts, name, state));
    if let Some(master) = &state.master {
        found.push(bad(
            Warn,
            "interface",
            format!("{name} belongs to {master}: what leaves by {master} passes {name} only behind its tc hook"),
            format!("measure {master} instead"),
        ));
    }
    found
}

/// What `attach` will come to.
fn way(facts: &Facts, state: &State) -> &'static str {
    let quiet = driver::is_quiet(state.driver.as_deref());
    match facts.attach {
        Attach::Native => "attached by native XDP as configured",
        Attach::Generic => "attached by generic XDP as configured",
        Attach::Tc => "attached by tc as configured",
        Attach::Auto if !since(facts, FRAGS) => "this kernel's XDP is too old: tc takes its place",
        Attach::Auto if quiet => "native XDP, which does not disturb this driver",
        Attach::Auto => {
            "native XDP if nothing is announced when the daemon starts, else tc until `lapwing attach --native`"
        }
    }
}

/// What stands in the way of XDP; tc does not mind.
fn xdp(facts: &Facts, name: &str, state: &State) -> Vec<Finding> {
    if facts.attach == Attach::Tc {
        return Vec::new();
    }
    let grade = match facts.attach {
        Attach::Native => Fail,
        Attach::Auto | Attach::Generic | Attach::Tc => Warn,
    };
    let mut found = Vec::new();
    if let Some(program) = state
        .xdp
        .as_deref()
        .filter(|program| !program.starts_with("lapwing"))
    {
        found.push(bad(
            if facts.attach == Attach::Auto {
                Warn
            } else {
                Fail
            },
            "xdp",
            format!("{name} carries another XDP program, {program}: a second one is refused"),
            "remove it, or set attach = \"tc\"",
        ));
    }
    if state.mtu > LARGEST_XDP_MTU {
        found.push(bad(
            grade,
            "xdp",
            format!(
                "{name} has MTU {}: many drivers refuse native XDP above {LARGEST_XDP_MTU}",
                state.mtu
            ),
            "lower the MTU, or leave attach = \"auto\", which falls back",
        ));
    }
    if state.lro == Some(true) {
        found.push(bad(
            grade,
            "xdp",
            format!("{name} merges segments in hardware (LRO): native XDP is refused, and counts are of buffers"),
            format!("ethtool -K {name} lro off"),
        ));
    }
    if state.bond {
        found.push(bad(
            Warn,
            "xdp",
            format!("{name} is a bond: native XDP needs it of all its members"),
            "leave attach = \"auto\", or set attach = \"tc\"",
        ));
    }
    found
}
