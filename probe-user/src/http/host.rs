//! Whom a request is for. A page of somebody else can give its own name the address
//! 127.0.0.1 and would then be allowed by the browser to read the answers (DNS rebinding);
//! but its requests carry that name, so only names that cannot be given away are answered.

use core::net::IpAddr;

use hyper::{Request, header::HOST};

/// Whether a request is for this host by an address of loopback or as `localhost`.
pub fn is_ours<B>(request: &Request<B>) -> bool {
    let mut hosts = request.headers().get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return false;
    };
    // A full address in the request line outranks the header.
    let line = request.uri().authority();
    host.to_str().is_ok_and(is_loopback)
        && line.is_none_or(|authority| is_loopback(authority.as_str()))
}

/// `localhost`, `127.0.0.1` or `[::1]`, with any port: a tunnel may end at another one.
fn is_loopback(authority: &str) -> bool {
    let (name, port) = match authority.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, port),
        Some(_) | None => (authority, ""),
    };
    if !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return false;
    }
    let literal = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    match literal {
        Some(address) => address
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_ipv6() && address.is_loopback()),
        None => {
            name.eq_ignore_ascii_case("localhost")
                || name
                    .parse::<IpAddr>()
                    .is_ok_and(|address| address.is_ipv4() && address.is_loopback())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_by_its_own_names_is_ours() {
        for (host, expected) in [
            ("localhost", true),
            ("LOCALHOST:9477", true),
            ("127.0.0.1", true),
            ("127.0.0.1:8080", true),
            ("127.1.2.3:9477", true),
            ("[::1]", true),
            ("[::1]:9477", true),
            ("", false),
            (":9477", false),
            ("evil.example", false),
            ("evil.example:9477", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("127.0.0.1@evil.example", false),
            ("evil.example@127.0.0.1", false),
            ("localhost:9477:1", false),
            ("localhost:evil", false),
            ("192.0.2.10", false),
            ("0.0.0.0", false),
            ("::1", false),
            ("[127.0.0.1]", false),
            ("[2001:db8::1]:9477", false),
        ] {
            let request = Request::builder().header(HOST, host).body(()).unwrap();
            assert_eq!(is_ours(&request), expected, "{host}");
        }
    }

    #[test]
    fn one_name_must_be_given_and_the_request_line_counts_too() {
        assert!(!is_ours(&Request::new(())), "none");
        let two = Request::builder()
            .header(HOST, "localhost")
            .header(HOST, "evil.example");
        assert!(!is_ours(&two.body(()).unwrap()), "two");
        let line = Request::builder()
            .uri("http://evil.example/api/v1/status")
            .header(HOST, "localhost");
        assert!(!is_ours(&line.body(()).unwrap()), "the line is another's");
    }
}
