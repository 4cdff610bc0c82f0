//! What is asked: every question with its keys, and every mistake in them.

use probe_core::config::{DnsRecord, DnsTransport, Probe, Tls};

use super::*;

/// The probe of a service of `GOOD`.
fn probe(written: &str) -> Result<Probe, Report> {
    let text = with("port = 443", &format!("port = 443\nprobe = {written}"));
    Ok(parse(&text)?.core.services.remove(0).probe)
}

fn kind(written: &str) -> ProbeKind {
    probe(written)
        .unwrap_or_else(|report| panic!("{report}"))
        .kind
}

#[test]
fn a_tls_probe_asks_without_a_name_and_takes_any_certificate_unless_told() {
    for (written, target, tls) in [
        (
            r#"{ tls = "192.0.2.10:443" }"#,
            "192.0.2.10:443",
            Tls::default(),
        ),
        (
            r#"{ tls = "[2001:db8::10]:853", sni = "dns.example", alpn = ["dot", "x"], verify = true }"#,
            "[2001:db8::10]:853",
            Tls {
                name: Some("dns.example".into()),
                alpn: vec!["dot".into(), "x".into()],
                verify: true,
            },
        ),
    ] {
        let expected = ProbeKind::Tls {
            target: target.parse().unwrap(),
            tls,
        };
        assert_eq!(kind(written), expected, "{written}");
    }
}

#[test]
fn an_https_probe_asks_for_the_host_in_its_url() {
    for (written, target, name, verify) in [
        (
            r#"{ http = "https://www.example.com/health", body = "ok" }"#,
            "192.0.2.10:443",
            Some("www.example.com"),
            false,
        ),
        (
            r#"{ http = "https://www.example.com:8443/health", body = "ok", verify = true }"#,
            "192.0.2.10:8443",
            Some("www.example.com"),
            true,
        ),
        (
            r#"{ http = "https://[2001:db8::9]/health", body = "ok" }"#,
            "[2001:db8::9]:443",
            None,
            false,
        ),
        (
            r#"{ http = "https://192.0.2.9/health", body = "ok", sni = "a.example" }"#,
            "192.0.2.9:443",
            Some("a.example"),
            false,
        ),
    ] {
        let expected = Tls {
            name: name.map(str::to_owned),
            alpn: vec!["http/1.1".to_owned()],
            verify,
        };
        match kind(written) {
            ProbeKind::Http {
                target: found,
                path,
                body,
                tls,
                ..
            } => {
                assert_eq!(found, target.parse().unwrap(), "{written}");
                assert_eq!((path.as_str(), body.as_deref()), ("/health", Some("ok")));
                assert_eq!(tls, Some(expected), "{written}");
            }
            other => panic!("{written}: {other:?}"),
        }
    }
}

#[test]
fn a_dns_probe_asks_over_udp_unless_told() {
    for (written, transport) in [
        (
            r#"{ dns = "192.0.2.53:53", name = "." }"#,
            DnsTransport::Udp,
        ),
        (
            r#"{ dns = "192.0.2.53:53", name = ".", transport = "tcp" }"#,
            DnsTransport::Tcp,
        ),
    ] {
        let expected = ProbeKind::Dns {
            target: "192.0.2.53:53".parse().unwrap(),
            transport,
            name: ".".into(),
            record: DnsRecord::A,
        };
        assert_eq!(kind(written), expected, "{written}");
    }
}

#[test]
fn a_quic_probe_offers_http_3_unless_told() {
    for (written, name, alpn, verify) in [
        (r#"{ quic = "[2001:db8::10]:443" }"#, None, "h3", false),
        (
            r#"{ quic = "[2001:db8::10]:443", sni = "dns.example", alpn = ["doq"], verify = true }"#,
            Some("dns.example"),
            "doq",
            true,
        ),
    ] {
        let expected = ProbeKind::Quic {
            target: "[2001:db8::10]:443".parse().unwrap(),
            tls: Tls {
                name: name.map(str::to_owned),
                alpn: vec![alpn.to_owned()],
                verify,
            },
        };
        assert_eq!(kind(written), expected, "{written}");
    }
}

#[test]
fn an_exec_probe_is_a_program_with_arguments() {
    assert_eq!(
        kind(r#"{ exec = ["/bin/sh", "-c", "exit 0"] }"#),
        ProbeKind::Exec {
            command: vec!["/bin/sh".into(), "-c".into(), "exit 0".into()],
        }
    );
}

#[test]
fn mistakes_in_programs() {
    assert_mistakes(&[
        (
            r#"{ exec = "/bin/true" }"#,
            "`exec` must be a list",
            "write it like `[\"/usr",
        ),
        ("{ exec = [] }", "`exec` must not be empty", "write it like"),
        (
            r#"{ exec = ["true"] }"#,
            "`exec` must name a program by its absolute path",
            "write it like",
        ),
        (
            r#"{ exec = ["/bin/sh", 1] }"#,
            "`exec` must be a string",
            "write it like",
        ),
        (
            r#"{ exec = ["/nonexistent/check"] }"#,
            "`exec` cannot be run",
            "write the path of a program on this host",
        ),
        (
            r#"{ exec = ["/etc"] }"#,
            "`exec` cannot be run",
            "write the path of a program, or allow",
        ),
        (
            r#"{ exec = ["/bin/sh", "a\u0000b"] }"#,
            "`exec` cannot be run",
            "remove the NUL",
        ),
        (
            r#"{ exec = ["/bin/sh"], source = "192.0.2.1" }"#,
            "`source` has no meaning without a socket",
            "remove it",
        ),
        (
            r#"{ exec = ["/bin/sh"], dns = "192.0.2.53:53", name = "." }"#,
            "a probe is either `dns` or `exec`",
            "remove one",
        ),
    ]);
}

#[test]
fn a_probe_may_have_a_source_of_its_own() {
    let probe = probe(r#"{ tcp = "192.0.2.10:443", source = "198.51.100.1" }"#).unwrap();
    assert_eq!(probe.source, Some("198.51.100.1".parse().unwrap()));
}

#[test]
fn the_host_has_a_number_of_probes_at_once() {
    assert_eq!(parse("").unwrap().max_probes, 256);
    let settings = parse("[probe]\nmax_concurrent = 16\n").unwrap();
    assert_eq!(settings.max_probes, 16);
    assert_mistake(
        "[probe]\nmax_concurrent = 2\n",
        "`max_concurrent` is out of range",
        "2:18",
        "choose from 4 to 400",
    );
}

/// Each is in the line of the probe.
#[track_caller]
fn assert_mistakes(cases: &[(&str, &str, &str)]) {
    for (written, title, help) in cases {
        assert_mistake(
            &with("port = 443", &format!("port = 443\nprobe = {written}")),
            title,
            "12:",
            help,
        );
    }
}

#[test]
fn mistakes_in_questions() {
    assert_mistakes(&[
        (
            r#"{ tcp = "192.0.2.10" }"#,
            "`tcp` is not an address with a port",
            "write it like",
        ),
        (
            r#"{ tls = "www.example.com:443" }"#,
            "`tls` is not an address with a port",
            "write it like",
        ),
        (
            r#"{ http = "ftp://example.com/" }"#,
            "`http` is not a URL to probe",
            "write it like",
        ),
        (
            r#"{ http = "https://-a.example/" }"#,
            "`http` is not a URL to probe",
            "write it like",
        ),
        (
            r#"{ tcp = "192.0.2.10:80", http = "http://a/" }"#,
            "a probe is either `tcp` or `http`",
            "remove one",
        ),
        (
            r#"{ tcp = "192.0.2.10:80", status = 200 }"#,
            "`status` belongs to a probe with `http`",
            "remove it",
        ),
        (
            r#"{ tls = "192.0.2.10:443", body = "ok" }"#,
            "`body` belongs to a probe with `http`",
            "remove it",
        ),
        (
            r#"{ tcp = "192.0.2.10:53", transport = "tcp" }"#,
            "`transport` belongs to a probe with `dns`",
            "remove it",
        ),
        (
            r#"{ dns = "192.0.2.10:53", name = ".", transport = "tls" }"#,
            "`transport` cannot be `tls`",
            "known are `udp` and `tcp`",
        ),
        (
            r#"{ http = "http://a/", body = "" }"#,
            "`body` must not be empty",
            "write a name",
        ),
    ]);
}

#[test]
fn mistakes_in_tls() {
    assert_mistakes(&[
        (
            r#"{ tcp = "192.0.2.10:443", sni = "a.example" }"#,
            "`sni` belongs to a probe with `tls`, `http` or `quic`",
            "remove it",
        ),
        (
            r#"{ tls = "192.0.2.10:443", sni = "192.0.2.10" }"#,
            "`sni` is not a server's name",
            "remove the line",
        ),
        (
            r#"{ tls = "192.0.2.10:443", sni = "a b" }"#,
            "`sni` is not a server's name",
            "write a host's name",
        ),
        (
            r#"{ http = "http://a.example/", verify = true }"#,
            "`verify` has no meaning without TLS",
            "remove it, or write the URL with https://",
        ),
        (
            r#"{ tls = "192.0.2.10:443", verify = "yes" }"#,
            "`verify` must be a boolean",
            "write it like `true`",
        ),
        (
            r#"{ http = "https://a.example/", alpn = ["h2"] }"#,
            "`alpn` belongs to a probe with `tls`",
            "remove it",
        ),
        (
            r#"{ tls = "192.0.2.10:443", alpn = "h2" }"#,
            "`alpn` must be a list",
            "write it like `[\"h2\"",
        ),
        (
            r#"{ tls = "192.0.2.10:443", alpn = [] }"#,
            "`alpn` must not be empty",
            "write it like",
        ),
        (
            r#"{ tls = "192.0.2.10:443", alpn = ["h2", ""] }"#,
            "`alpn` names a protocol that cannot be sent",
            "write it like",
        ),
    ]);
}

#[test]
fn mistakes_beside_the_question() {
    assert_mistakes(&[
        (
            r#"{ quic = "443" }"#,
            "`quic` is not an address with a port",
            "write it like",
        ),
        (
            r#"{ tcp = "192.0.2.10:443", quic = "192.0.2.10:443" }"#,
            "a probe is either `tcp` or `quic`",
            "remove one",
        ),
        (
            r#"{ tcp = "192.0.2.10:443", source = "2001:db8::1" }"#,
            "`source` is of another family",
            "write an IPv4 address",
        ),
        (
            r#"{ tls = "[2001:db8::10]:443", source = "192.0.2.1" }"#,
            "`source` is of another family",
            "write an IPv6 address",
        ),
        (
            r#"{ source = "0.0.0.0" }"#,
            "`source` is no address of a host",
            "write an address of this host",
        ),
        (
            r#"{ interval = "100ms", timeout = "1s" }"#,
            "`timeout` is longer than the probe's interval",
            "probes of one service must not overlap",
        ),
        (
            r#"{ intervall = "1s" }"#,
            "unknown key `intervall` in probe = { ... }",
            "did you mean `interval`?",
        ),
    ]);
}
