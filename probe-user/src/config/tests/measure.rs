//! What is measured: protocols, applications, wildcards, tunnels, sizes, deadlines.

use probe_common::{parse::tunnel::Tunnels, trial::Kind};
use probe_core::config::{Application, DnsRecord, DnsTransport, Protocol};

use super::*;

/// One service of `GOOD` with other lines in place of its port.
fn service(lines: &str) -> Result<probe_core::config::Service, Report> {
    Ok(parse(&with("port = 443", lines))?.core.services.remove(0))
}

#[test]
fn what_a_service_speaks_follows_its_port_unless_it_is_told() {
    for (lines, protocol, application) in [
        ("port = 443", Protocol::Tcp, Application::Any),
        ("port = 53", Protocol::Tcp, Application::Dns),
        (
            "port = 80\napplication = \"http\"",
            Protocol::Tcp,
            Application::Http,
        ),
        (
            "port = 53\nprotocol = \"udp\"",
            Protocol::Udp,
            Application::Dns,
        ),
        (
            "port = 443\nprotocol = \"udp\"",
            Protocol::Udp,
            Application::Quic,
        ),
        (
            "port = 443\nprotocol = \"udp\"\napplication = \"any\"",
            Protocol::Udp,
            Application::Any,
        ),
        (
            "port = 5353\nprotocol = \"udp\"\napplication = \"dns\"",
            Protocol::Udp,
            Application::Dns,
        ),
    ] {
        let service = service(lines).unwrap();
        assert_eq!(
            (service.endpoint.protocol, service.application),
            (protocol, application),
            "{lines}"
        );
    }
}

#[test]
fn a_udp_service_is_probed_by_dns_or_not_at_all() {
    let unprobed = service("port = 53\nprotocol = \"udp\"").unwrap();
    assert_eq!(unprobed.probe.kind, ProbeKind::None);
    let probed = service(
        "port = 53\nprotocol = \"udp\"\nprobe = { dns = \"192.0.2.53:53\", name = \"example.\", type = \"SOA\" }",
    )
    .unwrap();
    assert_eq!(
        probed.probe.kind,
        ProbeKind::Dns {
            target: "192.0.2.53:53".parse().unwrap(),
            transport: DnsTransport::Udp,
            name: "example.".into(),
            record: DnsRecord::Soa,
        }
    );
}

#[test]
fn any_port_is_a_wildcard_with_a_probe_of_its_own() {
    let service = service("port = \"any\"\nprobe = { tcp = \"192.0.2.10:443\" }").unwrap();
    assert_eq!(service.endpoint.port, 0);
    assert_eq!(service.endpoint.to_string(), "192.0.2.10:any/tcp");
}

#[test]
fn mistakes_of_services() {
    for (lines, title, place, help) in [
        (
            "port = \"any\"",
            "a service at any port needs a probe with a port",
            "11:8",
            "add probe = { tcp",
        ),
        (
            "port = \"any\"\nprobe = { http = \"http://www.example.com/\" }",
            "the probe has no port to connect to",
            "12:18",
            "write the port",
        ),
        (
            "port = \"https\"",
            "`port` must be a whole number or \"any\"",
            "11:8",
            "write it like `443`",
        ),
        (
            "port = 443\napplication = \"quic\"",
            "`application` \"quic\" is not spoken over tcp",
            "12:15",
            "set protocol = \"udp\"",
        ),
        (
            "port = 80\nprotocol = \"udp\"\napplication = \"http\"",
            "`application` \"http\" is not spoken over udp",
            "13:15",
            "set protocol = \"tcp\"",
        ),
        (
            "port = 80\napplication = \"htpp\"",
            "`application` cannot be `htpp`",
            "12:15",
            "did you mean `\"http\"`?",
        ),
        (
            "port = 53\nprotocol = \"udp\"\nprobe = { interval = \"2s\" }",
            "a probe that asks nothing",
            "13:9",
            "add dns = ",
        ),
        (
            "port = 53\nprobe = { dns = \"192.0.2.53:53\" }",
            "`name` is missing in probe = { ... }",
            "12:9",
            "add a line such as `name",
        ),
        (
            "port = 53\nprobe = { dns = \"192.0.2.53:53\", name = \"a..b\" }",
            "`name` is not a domain name",
            "12:41",
            "write it like",
        ),
        (
            "port = 53\nprobe = { name = \"example.\" }",
            "`name` belongs to a probe with `dns`",
            "12:18",
            "remove it",
        ),
        (
            "port = 53\nprobe = { dns = \"192.0.2.53:53\", name = \"example.\", type = \"MX\" }",
            "`type` cannot be `MX`",
            "12:60",
            "",
        ),
    ] {
        assert_mistake(&with("port = 443", lines), title, place, help);
    }
}

#[test]
fn sizes_and_deadlines_have_defaults() {
    let default = parse(GOOD).unwrap().measure;
    assert_eq!(
        (
            default.sizes.connections,
            default.sizes.exchanges,
            default.sizes.cells
        ),
        (131_072, 32_768, 1024)
    );
    assert_eq!(default.deadlines.get(Kind::Request), None);
    let measure = parse(&format!(
        "[measure]\nconnections = 65536\ncells = 256\n[detect]\ndeadlines = {{ request = \"1s\", handshake = \"3s\" }}\n{}",
        with("site = \"fra1\"", "")
    ))
    .unwrap()
    .measure;
    assert_eq!(
        (measure.sizes.connections, measure.sizes.cells),
        (65536, 256)
    );
    assert_eq!(
        measure.deadlines.get(Kind::Handshake),
        Some(Duration::from_secs(3))
    );
    assert_eq!(measure.deadlines.get(Kind::Connect), None);
}

#[test]
fn mistakes_of_sizes_and_deadlines() {
    for (text, title, place, help) in [
        (
            "[measure]\nconnections = 10\n",
            "`connections` is out of range",
            "2:15",
            "choose from 1024 to 4194304",
        ),
        (
            "[measure]\ncells = 100000\n",
            "`cells` is out of range",
            "2:9",
            "choose from 16 to 65536",
        ),
        (
            "[measure]\nconections = 5000\n",
            "unknown key `conections` in [measure]",
            "2:1",
            "did you mean `connections`?",
        ),
        (
            "[detect]\ndeadlines = { reply = \"1s\" }\n",
            "unknown key `reply` in deadlines = { ... }",
            "2:15",
            "deadlines = { ... } knows `connect`, `greet`, ",
        ),
        (
            "[detect]\ndeadlines = { deliver = \"100ms\" }\n",
            "`deliver` is out of range",
            "2:25",
            "choose from 1s to 1m",
        ),
    ] {
        assert_mistake(text, title, place, help);
    }
}

#[test]
fn tunnels_are_those_of_an_interface_and_ports_those_of_the_host() {
    let tunnels = parse(
        "[[interface]]\nname = \"eth0\"\ntunnels = [\"ipip\", \"fou\", \"gue:6666\", \"vxlan:8472\"]\n",
    )
    .unwrap()
    .measure
    .tunnels;
    assert_eq!(
        tunnels.of("eth0"),
        Tunnels::IP | Tunnels::FOU | Tunnels::GUE | Tunnels::VXLAN
    );
    assert_eq!(tunnels.of("eth1"), 0);
    assert_eq!(tunnels.all().ports, [5555, 6666, 8472, 6081]);
}

#[test]
fn mistakes_of_tunnels() {
    for (list, title, place, help) in [
        (
            r#"["gre:1"]"#,
            "a tunnel of kind `gre` has no port",
            "3:12",
            "write `gre`",
        ),
        (
            r#"["vxlam"]"#,
            "a tunnel cannot be `vxlam`",
            "3:12",
            "did you mean `vxlan`?",
        ),
        (
            r#"["gue:0"]"#,
            "a tunnel has a port that is none",
            "3:12",
            "write it like `gue:6080`",
        ),
        (
            r#"["vxlan", "vxlan:8472"]"#,
            "two UDP ports for vxlan: 4789 and 8472",
            "3:21",
            "a kind of tunnel has one port on the whole host",
        ),
        (
            r#"["fou:7000", "gue:7000"]"#,
            "UDP port 7000 is that of two kinds of tunnels",
            "3:24",
            "give each kind its own port",
        ),
        (
            r#""ipip""#,
            "`tunnels` must be a list",
            "3:11",
            "write a list",
        ),
    ] {
        let text = format!("[[interface]]\nname = \"eth0\"\ntunnels = {list}\n");
        assert_mistake(&text, title, place, help);
    }
    for (text, title, place, help) in [
        (
            "[[interface]]\nname = \"eth7\"\n",
            "interface `eth7` does not exist on this host",
            "2:8",
            "write a name that",
        ),
        (
            "[[interface]]\nname = \"eth0\"\n[[interface]]\nname = \"eth0\"\n",
            "interface `eth0` is configured twice",
            "4:8",
            "put all its tunnels into one list",
        ),
        (
            "[[interface]]\ntunnels = []\n",
            "`name` is missing in [[interface]]",
            "1:1",
            "add a line such as",
        ),
    ] {
        assert_mistake(text, title, place, help);
    }
    let text = "[daemon]\ninterfaces = [\"eth1\"]\n[[interface]]\nname = \"eth0\"\n";
    let report = Settings::parse(Path::new("x"), text, &|_| true).unwrap_err();
    assert!(
        report
            .to_string()
            .contains("interface `eth0` is not measured"),
        "{report}"
    );
}
