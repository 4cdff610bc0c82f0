//! What a probe asks, in words.

use probe_core::config::{DnsTransport, Probe, ProbeKind, Tls};

/// The whole probe in one line.
pub fn words(probe: &Probe) -> String {
    let Probe {
        kind,
        source,
        interval,
        timeout,
        rise,
        fall,
    } = probe;
    let question = match kind {
        ProbeKind::None => return "none: nothing guards it".to_owned(),
        ProbeKind::Tcp { target } => format!("tcp {target}"),
        ProbeKind::Tls { target, tls } => format!("tls {target}{}", tls_words(tls)),
        ProbeKind::Http {
            target,
            host,
            path,
            status,
            body,
            tls,
        } => {
            let scheme = if tls.is_some() { "https" } else { "http" };
            let status = status.map_or_else(String::new, |status| format!(" expecting {status}"));
            let body = body
                .as_ref()
                .map_or_else(String::new, |text| format!(" with {text:?} in the body"));
            let tls = tls.as_ref().map_or_else(String::new, tls_words);
            format!("{scheme}://{host}{path} at {target}{status}{body}{tls}")
        }
        ProbeKind::Dns {
            target,
            transport,
            name,
            record,
        } => {
            let transport = match transport {
                DnsTransport::Udp => "",
                DnsTransport::Tcp => " over tcp",
            };
            format!("dns {name} {} at {target}{transport}", record.name())
        }
        ProbeKind::Quic { target, tls } => format!("quic {target}{}", tls_words(tls)),
        ProbeKind::Exec { command } => format!("exec {command:?}"),
    };
    format!(
        "{question}{} every {}, timeout {}, rise {rise}, fall {fall}",
        source.map_or_else(String::new, |source| format!(" from {source}")),
        humantime::format_duration(*interval),
        humantime::format_duration(*timeout)
    )
}

fn tls_words(tls: &Tls) -> String {
    let Tls { name, alpn, verify } = tls;
    let mut words = Vec::new();
    if let Some(name) = name {
        words.push(format!("sni {name}"));
    }
    if !alpn.is_empty() {
        words.push(format!("alpn {}", alpn.join(" or ")));
    }
    words.push(if *verify {
        "certificate verified".to_owned()
    } else {
        "any certificate".to_owned()
    });
    format!(" ({})", words.join(", "))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Settings;

    #[test]
    fn every_question_is_told_with_its_details() {
        for (probe, expected) in [
            (r#"{ tcp = "192.0.2.10:443" }"#, "tcp 192.0.2.10:443 every "),
            (
                r#"{ tcp = "192.0.2.10:443", source = "192.0.2.1" }"#,
                "tcp 192.0.2.10:443 from 192.0.2.1 every 1s, timeout 1s, rise 2, fall 3",
            ),
            (
                r#"{ tls = "[2001:db8::10]:443" }"#,
                "tls [2001:db8::10]:443 (any certificate) every ",
            ),
            (
                r#"{ tls = "192.0.2.10:443", sni = "a.example", alpn = ["h2", "dot"], verify = true }"#,
                "tls 192.0.2.10:443 (sni a.example, alpn h2 or dot, certificate verified) every ",
            ),
            (
                r#"{ http = "https://a.example/x", status = 204, body = "o\"k" }"#,
                r#"https://a.example/x at 192.0.2.10:443 expecting 204 with "o\"k" in the body (sni a.example, alpn http/1.1, any certificate) every "#,
            ),
            (
                r#"{ dns = "192.0.2.10:53", name = "a.example", type = "SOA" }"#,
                "dns a.example SOA at 192.0.2.10:53 every ",
            ),
            (
                r#"{ dns = "192.0.2.10:53", name = ".", type = "NS", transport = "tcp" }"#,
                "dns . NS at 192.0.2.10:53 over tcp every ",
            ),
            (
                r#"{ quic = "192.0.2.10:443", verify = true }"#,
                "quic 192.0.2.10:443 (alpn h3, certificate verified) every ",
            ),
            (
                r#"{ exec = ["/bin/sh", "-c", "exit 0"] }"#,
                r#"exec ["/bin/sh", "-c", "exit 0"] every "#,
            ),
        ] {
            let text = format!(
                r#"
[[prefix]]
prefix = "192.0.2.0/24"
[[prefix.service]]
name = "web"
address = "192.0.2.10"
port = 443
probe = {probe}
"#
            );
            let settings = Settings::parse(Path::new("x"), &text, &|_| true)
                .unwrap_or_else(|report| panic!("{report}"));
            let words = words(&settings.core.services[0].probe);
            assert!(words.starts_with(expected), "{words}");
        }
    }
}
