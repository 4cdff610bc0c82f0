//! Lines for people, and what needs a restart.

use std::{path::Path, time::Duration};

use super::*;

const FILE: &str = r#"
[daemon]
mode = "observe"
host = "edge3"
[detect]
patience = "1s"
[[prefix]]
prefix = "192.0.2.0/24"
[[prefix.service]]
name = "web"
address = "192.0.2.10"
port = 443
[[prefix.service]]
name = "mail"
address = "192.0.2.25"
port = 25
[[prefix]]
prefix = "2001:db8:4::/48"
[[prefix.service]]
name = "web-v6"
address = "2001:db8:4::10"
port = 443
"#;

fn settings(text: &str) -> Settings {
    Settings::parse(Path::new("x"), text, &|_| true).unwrap_or_else(|report| panic!("{report}"))
}

fn difference(edit: impl Fn(&str) -> String) -> Difference {
    Difference::between(&settings(FILE), &settings(&edit(FILE)))
}

#[test]
fn each_change_is_one_line() {
    for (from, to, lines) in [
        ("", "", vec![]),
        (
            "observe",
            "enforce",
            vec!["~ [daemon] mode observe -> enforce"],
        ),
        (
            "patience = \"1s\"",
            "patience = \"2s\"\ndeadline = \"500ms\"",
            vec!["~ services web, mail, web-v6: patience 1s -> 2s, deadline auto -> 500ms"],
        ),
        (
            "[detect]",
            "[route]\nbird_socket = \"/x\"\n[journal]\nrotate_at = \"64KiB\"\nkeep = 9\n[guards]\nlowerings_per_hour = 3\n[recover]\ncanary = true\n[classify]\ngrey = \"hold\"\n[detect]\ndeadlines = { request = \"2s\" }",
            vec![
                "~ [journal] rotate_at 16MiB -> 64KiB, keep 8 -> 9",
                "~ [detect] deadline of request of the service -> 2s",
                "~ [classify] grey degrade -> hold",
                "~ [guards] lowerings_per_hour 10 -> 3",
                "~ [recover] canary false -> true",
                "~ [route] bird_socket the usual one -> /x",
            ],
        ),
        (
            "name = \"mail\"\naddress = \"192.0.2.25\"\nport = 25",
            "name = \"smtp\"\naddress = \"192.0.2.25\"\nport = 25\nbroken = 0.8",
            vec!["~ service mail: name mail -> smtp, broken 0.5 -> 0.8"],
        ),
        (
            "port = 25",
            "port = 587",
            vec![
                "- service mail: 192.0.2.25:25/tcp",
                "+ service mail: 192.0.2.25:587/tcp, probe tcp 192.0.2.25:587 every 1s, timeout 1s, rise 2, fall 3",
            ],
        ),
        (
            "prefix = \"2001:db8:4::/48\"",
            "prefix = \"2001:db8:4::/64\"",
            vec![
                "- prefix 2001:db8:4::/48: no longer looked after; its route stays as it stands",
                "+ prefix 2001:db8:4::/64: services web-v6",
            ],
        ),
    ] {
        let found = difference(|file| file.replacen(from, to, 1));
        assert_eq!(found.lines, lines, "{to}");
        assert_eq!(found.refusal(), None, "{to}");
    }
}

#[test]
fn the_order_of_services_is_no_change() {
    let (head, rest) = FILE.split_at(FILE.find("[[prefix]]").unwrap());
    let (first, second) = rest.split_at(rest.rfind("[[prefix]]").unwrap());
    let other = format!("{head}{second}{first}");
    assert_eq!(difference(|_| other.clone()), Difference::default());
}

#[test]
fn a_deadline_that_was_learned_is_no_change() {
    let mut running = settings(FILE);
    running.core.services[0].detect.deadline = Duration::from_secs(2);
    let difference = Difference::between(&running, &settings(FILE));
    assert_eq!(difference, Difference::default());
}

#[test]
fn what_needs_a_restart_is_refused_by_name() {
    let changed = difference(|file| {
        file.replacen("host = \"edge3\"", "host = \"edge4\"\nsite = \"edge3\"\nhttp = \"[::1]:9477\"\ncontrol = \"/x\"\nstate_dir = \"/y\"\npin_dir = \"/z\"\nattach = \"tc\"\ninterfaces = [\"eth0\"]\n[[interface]]\nname = \"eth0\"\ntunnels = [\"gre\"]\n[route]\ntable = 5\nprotocols = { full = 203, degraded = 204 }\n[measure]\ncells = 64", 1)
    });
    assert_eq!(changed.restart.len(), 11, "{:?}", changed.restart);
    let why = changed.refusal().unwrap();
    assert!(why.contains("`http` of [daemon], "), "{why}");
    assert!(why.contains("restart to apply"), "{why}");
}

#[test]
fn other_witnesses_are_told_and_need_no_restart() {
    let difference = difference(|text| {
        format!(
            "{text}\n[[witness]]\nsite = \"ams1\"\nhost = \"edge1\"\nsessions = {{ ipv4 = \"ams1_4\" }}\n"
        )
        .replace(
            "host = \"edge3\"",
            "host = \"edge3\"\ngoes_first = true\non_watchdog = \"probe\"\n[route]\nwitness_round = \"2s\"",
        )
    });
    assert_eq!(difference.restart, [""; 0]);
    assert_eq!(
        difference.lines,
        [
            "~ [daemon] goes_first false -> true, on_watchdog keep -> probe",
            "~ [route] witness_round 1s -> 2s",
            "~ [witness] others none -> ams1/edge1 in table 4243 by ams1_4",
            "~ prefix 192.0.2.0/24: last_site allow, for want of a witness -> hold, goes first",
        ]
    );
}
