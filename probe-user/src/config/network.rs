//! Single values of the network: addresses, ports, prefixes, URLs, and numbers that
//! the kernel's routing knows.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use probe_common::service::ANY_PORT;
use tokio_rustls::rustls::pki_types::DnsName;

use super::value::{Fault, Value, integer};

/// A port, or `"any"` for all that no other service has.
pub fn port(value: Value<'_>) -> Result<u16, Fault> {
    if let Ok(word) = value.text("443") {
        return if word == "any" {
            Ok(ANY_PORT)
        } else {
            Err(Fault::new(
                "must be a whole number or \"any\"",
                "this is another text",
                "write it like `443`, without quotes",
            ))
        };
    }
    let number = value.integer("443")?;
    u16::try_from(number)
        .ok()
        .filter(|port| *port != 0)
        .ok_or_else(|| {
            Fault::new(
                "is not a port",
                number.to_string(),
                "write the port the service listens on, from 1 to 65535, or \"any\"",
            )
        })
}

/// A table of the kernel's that does not take part in forwarding.
pub fn route_table(value: Value<'_>) -> Result<u32, Fault> {
    let table = integer(1, u32::MAX)(value)?;
    if (253..=255).contains(&table) {
        return Err(Fault::new(
            "must be a table of its own",
            "253 to 255 are the kernel's own tables default, main and local",
            "choose a table that nothing else uses, for example 4242",
        ));
    }
    Ok(table)
}

/// A route protocol number that no one else uses.
pub fn route_protocol(value: Value<'_>) -> Result<u8, Fault> {
    let number = integer(1, 255)(value)?;
    match u8::try_from(number) {
        // rtnetlink(7): redirect, kernel, boot, static; then the daemons of
        // /etc/iproute2/rt_protos, of which BIRD (12) would hide the route.
        Ok(number) if number > 18 && !(186..=192).contains(&number) => Ok(number),
        Ok(_) | Err(_) => Err(Fault::new(
            "is taken by another program",
            format!("{number} has a meaning in /etc/iproute2/rt_protos"),
            "choose a free number, for example 201, and the same one in BIRD's filter",
        )),
    }
}

/// An IP address.
pub fn address(value: Value<'_>) -> Result<IpAddr, Fault> {
    let written = value.text("\"192.0.2.10\"")?;
    written.parse().map_err(|_| {
        Fault::new(
            "is not an IP address",
            "neither IPv4 nor IPv6",
            "write a bare address, for example \"192.0.2.10\" or \"2001:db8::10\"",
        )
    })
}

/// An announced network: no host bits.
pub fn prefix(value: Value<'_>) -> Result<IpNet, Fault> {
    let written = value.text("\"192.0.2.0/24\"")?;
    let network: IpNet = written.parse().map_err(|_| {
        let help = match written.parse::<IpAddr>() {
            Ok(IpAddr::V4(address)) => format!(
                "add the length, for example \"{}\"",
                truncated(IpAddr::V4(address), 24, written)
            ),
            Ok(IpAddr::V6(address)) => format!(
                "add the length, for example \"{}\"",
                truncated(IpAddr::V6(address), 48, written)
            ),
            Err(_) => "write network and length, for example \"192.0.2.0/24\" or \"2001:db8::/48\""
                .to_owned(),
        };
        Fault::new("is not a prefix", "not of the form NETWORK/LENGTH", help)
    })?;
    if network.trunc() != network {
        return Err(Fault::new(
            "has host bits set",
            format!("bits after the first {} are not zero", network.prefix_len()),
            format!("write \"{}\"", network.trunc()),
        ));
    }
    if network.prefix_len() == 0 {
        return Err(Fault::new(
            "is the whole Internet",
            "length 0",
            "write the prefix that this site announces",
        ));
    }
    Ok(network)
}

fn truncated(address: IpAddr, length: u8, written: &str) -> String {
    IpNet::new(address, length).map_or_else(|_| written.to_owned(), |net| net.trunc().to_string())
}

/// `ADDR:PORT`.
pub fn socket_address(value: Value<'_>) -> Result<SocketAddr, Fault> {
    let written = value.text("\"192.0.2.10:443\"")?;
    written
        .parse()
        .ok()
        .filter(|address: &SocketAddr| address.port() != 0)
        .ok_or_else(|| {
            Fault::new(
                "is not an address with a port",
                "not of the form ADDRESS:PORT",
                "write it like \"192.0.2.10:443\" or \"[2001:db8::10]:443\"",
            )
        })
}

/// `ADDR:PORT` that only this host can reach.
pub fn loopback_address(value: Value<'_>) -> Result<SocketAddr, Fault> {
    let address = socket_address(value)?;
    if address.ip().is_loopback() {
        Ok(address)
    } else {
        Err(Fault::new(
            "must be a loopback address",
            format!("{} can be reached by others", address.ip()),
            format!(
                "write \"127.0.0.1:{port}\" or \"[::1]:{port}\" and put a proxy with access control in front",
                port = address.port()
            ),
        ))
    }
}

/// A domain name as RFC 1035 section 2.3.4 limits it; "." is the root.
pub fn domain_name(value: Value<'_>) -> Result<String, Fault> {
    let written = value.text("\"www.example.com\"")?;
    let name = written.strip_suffix('.').unwrap_or(written);
    let labels_fit = name.split('.').all(|label| {
        (1..=63).contains(&label.len()) && label.bytes().all(|b| b.is_ascii_graphic())
    });
    if written == "." || (labels_fit && name.len() <= 253) {
        Ok(written.to_owned())
    } else {
        Err(Fault::new(
            "is not a domain name",
            "labels of 1 to 63 printable ASCII characters, 253 in all",
            "write it like \"www.example.com\"",
        ))
    }
}

/// A name that a TLS server is asked for (RFC 6066 section 3).
pub fn server_name(value: Value<'_>) -> Result<String, Fault> {
    const HELP: &str = "write a host's name, for example \"www.example.com\"";
    let written = value.text("\"www.example.com\"")?;
    if written.parse::<IpAddr>().is_ok() {
        return Err(Fault::new(
            "is not a server's name",
            "an address is never sent as SNI",
            "remove the line, or write the name that clients ask for",
        ));
    }
    if DnsName::try_from(written).is_err() {
        return Err(Fault::new(
            "is not a server's name",
            "not a host name as certificates bear it",
            HELP,
        ));
    }
    Ok(written.to_owned())
}

/// A URL of the form `http[s]://HOST[:PORT]/path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpUrl {
    /// Whether it is https.
    pub secure: bool,
    /// The host, if it is a name.
    pub name: Option<String>,
    /// The Host header: host and, if it was written, port.
    pub authority: String,
    /// The host, if it is an IP address.
    pub address: Option<IpAddr>,
    /// The port, if it was written.
    pub port: Option<u16>,
    /// Path and query.
    pub path: String,
}

/// The URL of an HTTP probe.
pub fn http_url(value: Value<'_>) -> Result<HttpUrl, Fault> {
    const EXAMPLE: &str = "write it like \"http://www.example.com/health\"";
    let written = value.text("\"http://www.example.com/health\"")?;
    let wrong = |label: &str, help: &str| Fault::new("is not a URL to probe", label, help);
    let url: hyper::Uri = written
        .parse()
        .map_err(|_| wrong("cannot be read as a URL", EXAMPLE))?;
    let secure = match url.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        Some(_) | None => {
            return Err(wrong(
                "begins neither with http:// nor with https://",
                EXAMPLE,
            ));
        }
    };
    let authority = url.authority().ok_or_else(|| wrong("no host", EXAMPLE))?;
    if authority.as_str().contains('@') || authority.host().is_empty() {
        return Err(wrong("a host and perhaps a port, no user name", EXAMPLE));
    }
    let port = match authority.as_str().strip_prefix(authority.host()) {
        None | Some("") => None,
        Some(port) => Some(
            port.strip_prefix(':')
                .and_then(|port| port.parse().ok())
                .filter(|port: &u16| *port != 0)
                .ok_or_else(|| wrong("the port is not from 1 to 65535", EXAMPLE))?,
        ),
    };
    let address = authority
        .host()
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse()
        .ok();
    let name = address.is_none().then(|| authority.host().to_owned());
    if let (true, Some(name)) = (secure, &name)
        && DnsName::try_from(name.as_str()).is_err()
    {
        return Err(wrong("no certificate can bear this host's name", EXAMPLE));
    }
    Ok(HttpUrl {
        secure,
        name,
        authority: authority.as_str().to_owned(),
        address,
        port,
        path: url
            .path_and_query()
            .map_or_else(|| "/".to_owned(), |path| path.as_str().to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use toml::de::DeValue;

    use super::*;

    fn with<T>(text: &str, parse: impl Fn(Value<'_>) -> Result<T, Fault>) -> Result<T, Fault> {
        let value = DeValue::parse(text).unwrap();
        parse(Value::new(value.get_ref()))
    }

    #[test]
    fn a_url_keeps_its_host_and_finds_its_target() {
        let url = with(r#""http://www.example.com/health?x=1""#, http_url).unwrap();
        assert_eq!(
            (url.authority.as_str(), url.address, url.port),
            ("www.example.com", None, None)
        );
        assert_eq!(url.path, "/health?x=1");
        let url = with(r#""http://[2001:db8::10]:8080""#, http_url).unwrap();
        assert_eq!(url.authority, "[2001:db8::10]:8080");
        assert_eq!(url.address, Some("2001:db8::10".parse().unwrap()));
        assert_eq!((url.port, url.path.as_str()), (Some(8080), "/"));
        assert!(!url.secure);
        let url = with(r#""https://www.example.com:8443/""#, http_url).unwrap();
        assert!(url.secure);
        assert_eq!(
            (url.name.as_deref(), url.address, url.port),
            (Some("www.example.com"), None, Some(8443))
        );
        for written in [
            r#""ftp://example.com/""#,
            r#""https://exa mple.com/""#,
            r#""https://a..b/""#,
            r#""example.com""#,
            r#""http://user@example.com/""#,
            r#""http://example.com:0/""#,
            r#""http:///x""#,
            r#""http://example.com:70000/""#,
        ] {
            assert!(with(written, http_url).is_err(), "{written}");
        }
    }
}
