use super::*;
use crate::{
    config::Attach,
    doctor::{
        facts::{leaves_routes, names_table, owner},
        network::{Link, Reply, Rule, State, StrayRoute},
    },
};

/// A host as it should be.
fn well() -> Facts {
    Facts {
        config: Ok("lapwing.toml is valid".into()),
        enforces: true,
        kernel: "6.12.1".into(),
        btf: true,
        capabilities: Some(u64::MAX),
        memlock: Some(8 << 20),
        pins: ("/sys/fs/bpf/lapwing".into(), true),
        attach: Attach::Auto,
        links: Ok(vec![Link {
            name: "eth0".into(),
            state: Some(State {
                up: true,
                driver: Some("virtio_net".into()),
                mtu: 1500,
                lro: Some(false),
                bond: false,
                master: None,
                xdp: Some("lapwing_xdp".into()),
            }),
        }]),
        replies: vec![Reply {
            address: "192.0.2.10".parse().unwrap(),
            interface: Some("eth0".into()),
        }],
        unwatched_defaults: vec![],
        table: 4242,
        rules: Ok(vec![]),
        strays: Ok(vec![]),
        networkd: Some(true),
        manager: Some(vec![]),
        clock: Some(true),
        state: Place {
            path: "/var/lib/lapwing".into(),
            trouble: None,
            room: Some((1, 2)),
        },
        daemon: Holder::Nobody,
    }
}

fn link(facts: &mut Facts) -> &mut State {
    facts.links.as_mut().unwrap()[0].state.as_mut().unwrap()
}

#[test]
fn a_host_as_it_should_be_has_nothing_to_mend() {
    let found = findings(&well());
    assert!(
        found.iter().all(|finding| finding.grade == Grade::Ok),
        "{found:#?}"
    );
}

type Twist = fn(&mut Facts);

/// The check, what it says, how bad it is, and how it comes about.
const TROUBLES: [(&str, &str, Grade, Twist); 28] = [
    ("config", "mistakes", Fail, |facts| {
        facts.config = Err("lapwing.toml has mistakes".into());
    }),
    ("daemon", "blind", Fail, |facts| {
        facts.daemon = Holder::Daemon {
            pid: 7,
            troubles: vec!["blind: no program on eth0".into()],
        };
    }),
    ("daemon", "process 8 has the lock", Fail, |facts| {
        facts.daemon = Holder::Mute { pid: "8".into() };
    }),
    ("btf", "no /sys/kernel/btf", Warn, |facts| facts.btf = false),
    ("capabilities", "lacks CAP_NET_ADMIN", Fail, |facts| {
        facts.capabilities = Some(!(1 << 12));
    }),
    ("capabilities", "CAP_PERFMON, CAP_BPF", Fail, |facts| {
        facts.capabilities = Some(1 << 12);
    }),
    ("bpffs", "no bpf file system", Fail, |facts| {
        facts.pins.1 = false;
    }),
    ("interface", "no default route", Fail, |facts| {
        facts.links = Err("there is no default route".into());
    }),
    ("interface", "eth0 does not exist", Fail, |facts| {
        facts.links.as_mut().unwrap()[0].state = None;
    }),
    ("interface", "eth0 is down", Fail, |facts| {
        link(facts).up = false;
    }),
    ("interface", "belongs to bond0", Warn, |facts| {
        link(facts).master = Some("bond0".into());
    }),
    ("xdp", "another XDP program, xdp_drop", Warn, |facts| {
        link(facts).xdp = Some("xdp_drop".into());
    }),
    ("xdp", "another XDP program, xdp_drop", Fail, |facts| {
        facts.attach = Attach::Native;
        link(facts).xdp = Some("xdp_drop".into());
    }),
    ("xdp", "MTU 9000", Warn, |facts| link(facts).mtu = 9000),
    ("xdp", "LRO", Warn, |facts| link(facts).lro = Some(true)),
    ("xdp", "LRO", Fail, |facts| {
        facts.attach = Attach::Native;
        link(facts).lro = Some(true);
    }),
    ("xdp", "is a bond", Warn, |facts| link(facts).bond = true),
    ("replies", "answers by eth1", Fail, |facts| {
        facts.replies[0].interface = Some("eth1".into());
    }),
    ("replies", "no route from 192.0.2.10", Warn, |facts| {
        facts.replies[0].interface = None;
    }),
    ("replies", "eth1 has a default route", Warn, |facts| {
        facts.unwatched_defaults = vec!["eth1".into()];
    }),
    ("rules", "priority 100", Fail, |facts| {
        facts.rules = Ok(vec![Rule {
            v6: true,
            priority: 100,
        }]);
    }),
    ("table", "never sees Lapwing's", Fail, |facts| {
        facts.strays = Ok(vec![StrayRoute {
            prefix: "192.0.2.0/24".parse().unwrap(),
            route: "unicast route of protocol 4, metric 0".into(),
            hides: true,
        }]);
    }),
    ("table", "may announce it", Warn, |facts| {
        facts.strays = Ok(vec![StrayRoute {
            prefix: "192.0.2.0/24".parse().unwrap(),
            route: "unicast route of protocol 4, metric 100".into(),
            hides: false,
        }]);
    }),
    ("networkd", "removes Lapwing's routes", Fail, |facts| {
        facts.networkd = Some(false);
    }),
    ("nm", "edge.nmconnection", Fail, |facts| {
        facts.manager = Some(vec!["edge.nmconnection".into()]);
    }),
    ("clock", "not synchronised", Warn, |facts| {
        facts.clock = Some(false);
    }),
    ("state", "cannot be written: read-only", Fail, |facts| {
        facts.state.trouble = Some("read-only".into());
    }),
    ("state", "1 MiB free", Warn, |facts| {
        facts.state.room = Some((2 << 20, 1 << 20));
    }),
];

#[test]
fn every_trouble_is_found_alone_and_has_a_remedy() {
    for (check, what, grade, twist) in TROUBLES {
        let mut facts = well();
        twist(&mut facts);
        let found: Vec<Finding> = findings(&facts)
            .into_iter()
            .filter(|finding| finding.grade != Grade::Ok)
            .collect();
        assert_eq!(found.len(), 1, "{what}: {found:#?}");
        assert_eq!((found[0].check, found[0].grade), (check, grade), "{what}");
        assert!(found[0].what.contains(what), "{what}: {found:#?}");
        assert!(found[0].remedy.is_some(), "{what}");
    }
}

#[test]
fn an_old_kernel_lacks_one_thing_after_the_other() {
    let lacking = |kernel: &str| {
        let mut facts = well();
        facts.kernel = kernel.into();
        let found = findings(&facts).into_iter();
        found
            .filter(|finding| finding.grade != Grade::Ok)
            .map(|finding| finding.check)
            .collect::<Vec<_>>()
    };
    assert_eq!(lacking("6.6.0"), [""; 0]);
    assert_eq!(lacking("6.1.0-50-amd64"), ["tc"]);
    assert_eq!(lacking("5.11.0"), ["kernel", "tc"]);
    assert_eq!(lacking("5.10.0"), ["kernel", "memlock", "tc"]);
}

#[test]
fn tc_needs_nothing_of_xdp() {
    let mut facts = well();
    facts.attach = Attach::Tc;
    *link(&mut facts) = State {
        xdp: Some("xdp_drop".into()),
        mtu: 9000,
        lro: Some(true),
        bond: true,
        ..link(&mut facts).clone()
    };
    let found = findings(&facts);
    assert!(found.iter().all(|finding| finding.grade == Grade::Ok));
}

#[test]
fn networkd_is_told_by_its_last_file() {
    let texts = |texts: &[&str]| {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        leaves_routes(&texts)
    };
    let dropin = include_str!("../../../../packaging/networkd/lapwing.conf");
    assert!(texts(&["[Network]\n#ManageForeignRoutes=yes\n", dropin]));
    assert!(!texts(&[]));
    assert!(!texts(&[dropin, "[Network]\nManageForeignRoutes = yes\n"]));
    assert!(!texts(&["# ManageForeignRoutes=no\n"]));
}

#[test]
fn a_profile_names_a_table_in_either_way() {
    assert!(names_table("[ipv4]\nroute-table=4242\n", 4242));
    assert!(names_table(
        "route1=192.0.2.0/24\nroute1_options=mtu=1400,table=4242\n",
        4242
    ));
    assert!(!names_table(
        "route-table=42421\nroute1_options=table=424\n",
        4242
    ));
}

#[test]
fn the_owner_of_a_lock_is_found_by_its_file() {
    let locks = "1: POSIX  ADVISORY  WRITE 7 00:1c:99 0 EOF\n2: FLOCK  ADVISORY  WRITE 8 00:1c:99 0 EOF\n2: -> FLOCK  ADVISORY  WRITE 9 00:1c:98 0 EOF\n";
    assert_eq!(owner(locks, 99), Some("8".into()));
    assert_eq!(owner(locks, 1), None);
}
