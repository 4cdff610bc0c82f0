//! One test per mistake an operator makes, on the text that is shown.

use std::{path::Path, time::Duration};

use probe_core::config::{Mode, ProbeKind, ServiceId, WithdrawWhen};

use super::*;

mod keys;
mod measure;
mod probes;

const GOOD: &str = r#"[daemon]
site = "fra1"
mode = "enforce"
interfaces = ["eth0"]

[[prefix]]
prefix = "192.0.2.0/24"
[[prefix.service]]
name = "web"
address = "192.0.2.10"
port = 443

[[prefix]]
prefix = "2001:db8::/48"
[[prefix.service]]
name = "web6"
address = "2001:db8::10"
port = 443
"#;

fn parse(text: &str) -> Result<Settings, Report> {
    Settings::parse(Path::new("lapwing.toml"), text, &|name| name == "eth0")
}

/// `GOOD` with one line changed.
fn with(old: &str, new: &str) -> String {
    assert!(GOOD.contains(old), "{old}");
    GOOD.replacen(old, new, 1)
}

/// Asserts on what the operator sees: title, place and remedy.
#[track_caller]
fn assert_mistake(text: &str, title: &str, place: &str, help: &str) {
    let rendered = match parse(text) {
        Ok(_) => panic!("no mistake found in\n{text}"),
        Err(report) => report.to_string(),
    };
    for part in [
        format!("error: {title}"),
        format!("lapwing.toml:{place}"),
        format!("help: {help}"),
    ] {
        assert!(rendered.contains(&part), "no {part:?} in\n{rendered}");
    }
}

#[test]
fn a_good_file_gives_settings_with_all_defaults() {
    let settings = parse(GOOD).unwrap();
    assert_eq!(settings.daemon.site, "fra1");
    assert_eq!(settings.daemon.attach, Attach::Auto);
    assert_eq!(
        settings.daemon.interfaces,
        Interfaces::Named(vec!["eth0".into()])
    );
    assert_eq!(settings.daemon.http.to_string(), "127.0.0.1:9477");
    assert_eq!(settings.daemon.on_exit, OnExit::Keep);
    assert_eq!(settings.daemon.on_watchdog, OnWatchdog::Keep);
    assert_eq!(settings.route, Route::default());
    assert_eq!(settings.core.mode, Mode::Enforce);
    assert_eq!(settings.core.recover.hold, Duration::from_mins(1));
    assert_eq!(settings.core.services.len(), 2);
    let [v4, v6] = settings.core.prefixes.as_slice() else {
        panic!("two prefixes");
    };
    assert_eq!(
        (v4.withdraw_when, &v4.services),
        (WithdrawWhen::Any, &vec![ServiceId(0)])
    );
    assert_eq!(v6.services, vec![ServiceId(1)]);
    let web = &settings.core.services[0];
    assert_eq!(web.detect, schema::DETECT);
    assert_eq!(
        web.probe.kind,
        ProbeKind::Tcp {
            target: "192.0.2.10:443".parse().unwrap()
        }
    );
}

#[test]
fn an_empty_file_observes() {
    let settings = parse("").unwrap();
    assert_eq!(settings, Settings::without_file());
    assert_eq!(settings.core.mode, Mode::Observe);
}

#[test]
fn a_profile_and_a_service_override_what_they_name() {
    let settings = parse(
        r#"
[detect]
profile = "fast"
deadline = "100ms"
[recover]
hold = "2s"
hold_max = "10s"
[[prefix]]
prefix = "192.0.2.0/24"
withdraw_when = { at_least = 2 }
[[prefix.service]]
name = "a"
address = "192.0.2.10"
port = 80
deadline = "50ms"
broken = 0.3
[[prefix.service]]
name = "b"
address = "192.0.2.11"
port = 8080
patience = "3s"
probe = { http = "http://www.example.com/health", status = 204, interval = "200ms", rise = 1, fall = 5 }
[[prefix.service]]
name = "c"
address = "192.0.2.12"
port = 80
probe = { http = "http://192.0.2.99:81/", interval = "5s" }
"#,
    )
    .unwrap();
    let [a, b, c] = settings.core.services.as_slice() else {
        panic!("three services");
    };
    assert_eq!(a.detect.patience, Duration::ZERO);
    assert_eq!(a.detect.deadline, Duration::from_millis(50));
    assert!((a.detect.broken - 0.3).abs() < 1e-9);
    assert_eq!(b.detect.patience, Duration::from_secs(3));
    assert_eq!(b.detect.deadline, Duration::from_millis(100));
    assert!(!a.detect.learns_deadline && !b.detect.learns_deadline);
    assert!(Settings::without_file().detect.learns_deadline);
    assert_eq!(
        b.probe.kind,
        ProbeKind::Http {
            target: "192.0.2.11:8080".parse().unwrap(),
            host: "www.example.com".into(),
            path: "/health".into(),
            status: Some(204),
            body: None,
            tls: None,
        }
    );
    assert_eq!(b.probe.timeout, Duration::from_millis(200));
    assert_eq!((b.probe.rise, b.probe.fall), (1, 5));
    assert_eq!(
        c.probe.kind,
        ProbeKind::Http {
            target: "192.0.2.99:81".parse().unwrap(),
            host: "192.0.2.99:81".into(),
            path: "/".into(),
            status: None,
            body: None,
            tls: None,
        }
    );
    assert_eq!(c.probe.timeout, Duration::from_secs(1));
    assert_eq!(
        settings.core.prefixes[0].withdraw_when,
        WithdrawWhen::AtLeast(2)
    );
}

#[test]
fn unknown_key() {
    assert_mistake(
        &with("address = \"192.0.2.10\"", "adress = \"192.0.2.10\""),
        "unknown key `adress` in [[prefix.service]]",
        "10:1",
        "did you mean `address`?",
    );
    assert_mistake(
        &with("site = ", "colour = "),
        "unknown key `colour` in [daemon]",
        "2:1",
        "[daemon] knows `site`, `host`, ",
    );
    assert_mistake(
        "[demon]\nsite = \"x\"\n",
        "unknown key `demon` in the file",
        "1:2",
        "did you mean `daemon`?",
    );
}

#[test]
fn a_misspelt_key_is_not_missing_as_well() {
    let report = parse(&with("address = \"192.0.2.10\"", "adress = \"192.0.2.10\"")).unwrap_err();
    assert_eq!(report.count(), 1, "{report}");
}

#[test]
fn missing_key() {
    assert_mistake(
        &with("port = 443\n\n", "\n"),
        "`port` is missing in [[prefix.service]]",
        "8:1",
        "add a line such as `port = 443`",
    );
}

#[test]
fn wrong_type() {
    assert_mistake(
        &with("port = 443", "port = \"443\""),
        "`port` must be a whole number",
        "11:8",
        "write it like `443`",
    );
    assert_mistake(
        "[prefix]\nprefix = \"192.0.2.0/24\"\n",
        "`prefix` must be a list of tables",
        "1:1",
        "write each one as `[[prefix]]`, in double brackets",
    );
}

#[test]
fn bad_prefix() {
    assert_mistake(
        &with("192.0.2.0/24", "192.0.2.0"),
        "`prefix` is not a prefix",
        "7:10",
        "add the length, for example \"192.0.2.0/24\"",
    );
    assert_mistake(
        &with("2001:db8::/48", "2001:db8::/129"),
        "`prefix` is not a prefix",
        "14:10",
        "write network and length",
    );
    assert_mistake(
        &with("192.0.2.0/24", "0.0.0.0/0"),
        "`prefix` is the whole Internet",
        "7:10",
        "write the prefix that this site announces",
    );
}

#[test]
fn host_bits() {
    assert_mistake(
        &with("192.0.2.0/24", "192.0.2.10/24"),
        "`prefix` has host bits set",
        "7:10",
        "write \"192.0.2.0/24\"",
    );
    assert_mistake(
        &with("2001:db8::/48", "2001:db8::10/48"),
        "`prefix` has host bits set",
        "14:10",
        "write \"2001:db8::/48\"",
    );
}

#[test]
fn address_outside_its_prefix() {
    assert_mistake(
        &with("\"192.0.2.10\"", "\"198.51.100.10\""),
        "address 198.51.100.10 is outside its prefix 192.0.2.0/24",
        "10:11",
        "use an address of 192.0.2.0/24",
    );
    assert_mistake(
        &with("\"2001:db8::10\"", "\"2001:db9::10\""),
        "address 2001:db9::10 is outside its prefix 2001:db8::/48",
        "17:11",
        "use an address of 2001:db8::/48",
    );
    assert_mistake(
        &with("\"2001:db8::10\"", "\"192.0.2.11\""),
        "address 192.0.2.11 is outside its prefix 2001:db8::/48",
        "17:11",
        "IPv4 services belong below an IPv4 prefix",
    );
}

#[test]
fn bad_address() {
    assert_mistake(
        &with("\"192.0.2.10\"", "\"www.example.com\""),
        "`address` is not an IP address",
        "10:11",
        "write a bare address",
    );
}

#[test]
fn duplicate_service() {
    let rendered = parse(&with("\"web6\"", "\"web\"")).unwrap_err().to_string();
    assert!(
        rendered.contains("error: service name `web` is used twice"),
        "{rendered}"
    );
    assert!(rendered.contains("lapwing.toml:16:8"), "{rendered}");
    assert!(rendered.contains("first here"), "{rendered}");
    assert!(
        rendered.contains("help: give each service of this host its own name"),
        "{rendered}"
    );

    let twice = format!(
        "{GOOD}[[prefix.service]]\nname = \"other\"\naddress = \"2001:db8:0::10\"\nport = 443\n"
    );
    assert_mistake(
        &twice,
        "service [2001:db8::10]:443/tcp is configured twice",
        "21:11",
        "remove one",
    );
}

#[test]
fn duplicate_prefix() {
    let twice = format!(
        "{GOOD}[[prefix]]\nprefix = \"192.0.2.0/24\"\n[[prefix.service]]\nname = \"x\"\naddress = \"192.0.2.11\"\nport = 1\n"
    );
    assert_mistake(
        &twice,
        "prefix 192.0.2.0/24 is configured twice",
        "20:10",
        "put all its services below one [[prefix]]",
    );
}

#[test]
fn empty_prefix() {
    assert_mistake(
        "[[prefix]]\nprefix = \"192.0.2.0/24\"\n",
        "a prefix without services",
        "1:1",
        "add a [[prefix.service]]",
    );
}

#[test]
fn services_of_another_prefix_stand_behind_this_one_too() {
    let sharing = |names: &str| {
        format!("{GOOD}[[prefix]]\nprefix = \"198.51.100.0/24\"\nservices = [{names}]\n")
    };
    let settings = parse(&sharing("\"web6\", \"web\"")).unwrap();
    assert_eq!(settings.core.services.len(), 2);
    assert_eq!(
        settings.core.prefixes[2].services,
        [ServiceId(1), ServiceId(0)]
    );
    assert_mistake(
        &sharing("\"mail\""),
        "no service is named `mail`",
        "21:12",
        "write the `name` of a [[prefix.service]]",
    );
    let own = with(
        "prefix = \"192.0.2.0/24\"",
        "prefix = \"192.0.2.0/24\"\nservices = [\"web\"]",
    );
    for text in [sharing("\"web\", \"web\""), own] {
        let report = parse(&text).unwrap_err().to_string();
        assert!(
            report.contains("stands behind this prefix already"),
            "{report}"
        );
    }
    assert_mistake(
        &sharing("").replace(
            "services = []",
            "services = []\nwithdraw_when = { at_least = 3 }",
        ),
        "`services` must not be empty",
        "21:12",
        "write it like",
    );
}

#[test]
fn missing_interface() {
    assert_mistake(
        &with("[\"eth0\"]", "[\"eth0\", \"eth7\"]"),
        "interface `eth7` does not exist on this host",
        "4:23",
        "write a name that `ip -brief link` shows",
    );
    assert_mistake(
        &with("[\"eth0\"]", "\"eth0\""),
        "`interfaces` must be \"auto\" or a list of names",
        "4:14",
        "write \"auto\" or a list",
    );
    assert_mistake(
        &with("[\"eth0\"]", "[]"),
        "`interfaces` must be \"auto\" or a list of names",
        "4:14",
        "write \"auto\" or a list",
    );
}

#[test]
fn out_of_range_in_a_service() {
    for (old, new, title, place, help) in [
        (
            "port = 443",
            "port = 0",
            "`port` is not a port",
            "11:8",
            "write the port",
        ),
        (
            "port = 443",
            "port = 443\nbroken = 1.5",
            "`broken` is out of range",
            "12:10",
            "write the failure ratio",
        ),
        (
            "port = 443",
            "port = 443\nbroken = 0.05",
            "`broken` is out of range",
            "12:10",
            "write the failure ratio",
        ),
        (
            "port = 443",
            "port = 443\ndeadline = \"1ms\"",
            "`deadline` is out of range",
            "12:12",
            "choose from 10ms to 30s",
        ),
        (
            "port = 443",
            "port = 443\ndeadline = \"soon\"",
            "`deadline` is not a duration",
            "12:12",
            "write a number and a unit",
        ),
        (
            "port = 443",
            "port = 443\nprotocol = \"sctp\"",
            "`protocol` cannot be `sctp`",
            "12:12",
            "known are `tcp` and `udp`",
        ),
    ] {
        assert_mistake(&with(old, new), title, place, help);
    }
}

#[test]
fn a_socket_is_named_by_its_whole_path() {
    let route = |path: &str| {
        with(
            "[[prefix]]",
            &format!("[route]\nbird_socket = \"{path}\"\n[[prefix]]"),
        )
    };
    let named = parse(&route("/run/x.ctl")).unwrap().route.bird_socket;
    assert_eq!(named.as_deref(), Some(Path::new("/run/x.ctl")));
    let report = parse(&route("bird.ctl")).unwrap_err().to_string();
    assert!(
        report.contains("`bird_socket` must be an absolute path"),
        "{report}"
    );
}

#[test]
fn out_of_range_outside_services() {
    for (old, new, title, place, help) in [
        (
            "mode = \"enforce\"",
            "mode = \"enforced\"",
            "`mode` cannot be `enforced`",
            "3:8",
            "did you mean `\"enforce\"`?",
        ),
        (
            "mode = \"enforce\"",
            "http = \"0.0.0.0:9477\"",
            "`http` must be a loopback address",
            "3:8",
            "write \"127.0.0.1:9477\"",
        ),
        (
            "mode = \"enforce\"",
            "control = \"run/x.sock\"",
            "`control` must be an absolute path",
            "3:11",
            "write the whole path",
        ),
        (
            "mode = \"enforce\"\ninterfaces = [\"eth0\"]",
            "[route]\ntable = 254",
            "`table` must be a table of its own",
            "4:9",
            "choose a table that nothing else uses",
        ),
        (
            "mode = \"enforce\"\ninterfaces = [\"eth0\"]",
            "[route]\nprotocols = { full = 12 }",
            "`full` is taken by another program",
            "4:22",
            "choose a free number",
        ),
        (
            "mode = \"enforce\"\ninterfaces = [\"eth0\"]",
            "[route]\nprotocols = { full = 210, degraded = 188 }",
            "`degraded` is taken by another program",
            "4:38",
            "choose a free number",
        ),
        (
            "mode = \"enforce\"\ninterfaces = [\"eth0\"]",
            "[route]\nprotocols = { full = 210, degraded = 210 }",
            "`full` and `degraded` must be two numbers",
            "4:38",
            "write both",
        ),
        (
            "mode = \"enforce\"\ninterfaces = [\"eth0\"]",
            "[route]\nprotocols = { full = 202 }",
            "`full` and `degraded` must be two numbers",
            "4:22",
            "write both",
        ),
        (
            "mode = \"enforce\"\ninterfaces = [\"eth0\"]",
            "[route]\nprotocols = { degraded = 201 }",
            "`full` and `degraded` must be two numbers",
            "4:26",
            "write both",
        ),
        (
            "mode = \"enforce\"\ninterfaces = [\"eth0\"]",
            "[detect]\nfalse_alarm = \"rarely\"",
            "`false_alarm` is not a false-alarm rate",
            "4:15",
            "write it like \"1 in 10 years\"",
        ),
        (
            "mode = \"enforce\"\ninterfaces = [\"eth0\"]",
            "[recover]\nhold = \"2h\"",
            "`hold` is longer than `hold_max`",
            "4:8",
            "the hold grows from `hold` to `hold_max`",
        ),
        (
            "prefix = \"192.0.2.0/24\"",
            "prefix = \"192.0.2.0/24\"\nwithdraw_when = { at_least = 2 }",
            "`withdraw_when` waits for 2 dead services of 1",
            "8:17",
            "choose from 1 to 1",
        ),
        (
            "prefix = \"192.0.2.0/24\"",
            "prefix = \"192.0.2.0/24\"\nwithdraw_when = \"most\"",
            "`withdraw_when` is not a rule",
            "8:17",
            "write \"any\", \"all\" or",
        ),
    ] {
        assert_mistake(&with(old, new), title, place, help);
    }
}

#[test]
fn enforce_without_a_prefix() {
    assert_mistake(
        "[daemon]\nmode = \"enforce\"\n",
        "`mode` is \"enforce\", but there is no prefix",
        "2:8",
        "add a [[prefix]]",
    );
}

#[test]
fn broken_syntax() {
    assert_mistake(
        &with("site = \"fra1\"", "site = fra1"),
        "this is not TOML",
        "2:8",
        "texts stand in \"quotes\"",
    );
    assert_mistake(
        &with("site = \"fra1\"", "site = \"fra1\"\nsite = \"fra2\""),
        "a key is written twice",
        "3:1",
        "keep one of the two",
    );
}

#[test]
fn all_mistakes_are_listed_at_once_in_the_order_of_the_text() {
    let text = with("port = 443", "port = 0\ncolour = 1").replace("[\"eth0\"]", "[\"eth9\"]");
    let rendered = parse(&text).unwrap_err().to_string();
    let positions: Vec<usize> = [
        "`eth9` does not exist",
        "`port` is not",
        "`colour`",
        "3 mistakes",
    ]
    .iter()
    .map(|part| {
        rendered
            .find(part)
            .unwrap_or_else(|| panic!("{part} in\n{rendered}"))
    })
    .collect();
    assert!(positions.is_sorted(), "{rendered}");
}

#[test]
fn a_file_that_is_not_utf8_is_named_with_its_place() {
    let report = Settings::from_bytes(Path::new("x.toml"), b"[daemon]\nsite = \"\xff\"\n", &|_| {
        true
    })
    .unwrap_err()
    .to_string();
    assert!(report.contains("x.toml:2:9"), "{report}");
}

#[test]
fn an_unreadable_file_is_named_with_a_remedy() {
    let error = Settings::load(Path::new("/nonexistent/lapwing.toml"), &|_| true).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("/nonexistent/lapwing.toml") && text.contains("help:"),
        "{text}"
    );
}
