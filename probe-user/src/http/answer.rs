//! Which answer a request gets. `/metrics` and `/healthz` are for programs that may come
//! through a proxy of another name; the page and its API are for a browser on this host,
//! and are answered under loopback's own names only.

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Bytes,
    header::{
        ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName,
        HeaderValue, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
    },
};

use super::{Picture, api, host, page};
use crate::metrics::{self, Format};

type Answer = Response<Full<Bytes>>;

/// The answer to `request` by `picture`.
pub fn to<B>(request: &Request<B>, picture: Picture) -> Answer {
    let path = request.uri().path();
    let is_api = path == "/api" || path.starts_with("/api/");
    let file = page::file(path);
    let for_programs = matches!(path, "/metrics" | "/healthz");
    if !(for_programs || is_api || file.is_some()) {
        let help = "not found: there are /, /api/v1/, /metrics and /healthz\n";
        return text(StatusCode::NOT_FOUND, help.to_owned());
    }
    if !for_programs && !host::is_ours(request) {
        let help = "this host is not known by that name: ask for http://127.0.0.1 or \
                    http://localhost, through a tunnel if need be\n";
        return guarded(text(StatusCode::MISDIRECTED_REQUEST, help.to_owned()));
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let help = "method not allowed: only GET and HEAD\n".to_owned();
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, help);
        set(&mut response, ALLOW, "GET, HEAD");
        return response;
    }
    if let Some(file) = file {
        let mut response = Response::new(Full::from(file.text));
        response
            .headers_mut()
            .insert(CONTENT_TYPE, file.content_type);
        return guarded(response);
    }
    match path {
        "/metrics" => metrics(request, picture),
        "/healthz" => match &picture.model.health {
            Ok(()) => text(StatusCode::OK, "ok\n".to_owned()),
            Err(reason) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
        },
        path => {
            let (status, body) = api::answer(path, request.uri().query(), &picture);
            let mut response = Response::new(Full::from(body));
            *response.status_mut() = status;
            set(&mut response, CONTENT_TYPE, "application/json");
            guarded(response)
        }
    }
}

fn metrics<B>(request: &Request<B>, picture: Picture) -> Answer {
    let accept = request.headers().get(ACCEPT);
    let format = accept
        .and_then(|value| value.to_str().ok())
        .map_or(Format::OpenMetrics, Format::asked_for);
    let mut response = text(StatusCode::OK, metrics::encode(picture.model, format));
    set(&mut response, CONTENT_TYPE, format.content_type());
    set(&mut response, VARY, "accept");
    response
}

/// With the headers that keep a browser from doing more with it than show it here.
fn guarded(mut response: Answer) -> Answer {
    set(&mut response, CACHE_CONTROL, "no-store");
    set(&mut response, X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(&mut response, CONTENT_SECURITY_POLICY, page::POLICY);
    set(&mut response, REFERRER_POLICY, "no-referrer");
    let resource_policy = HeaderName::from_static("cross-origin-resource-policy");
    set(&mut response, resource_policy, "same-origin");
    response
}

fn set(response: &mut Answer, name: HeaderName, value: &'static str) {
    response
        .headers_mut()
        .insert(name, HeaderValue::from_static(value));
}

fn text(status: StatusCode, body: String) -> Answer {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    set(&mut response, CONTENT_TYPE, "text/plain; charset=utf-8");
    response
}

#[cfg(test)]
mod tests {
    use core::time::Duration;
    use std::sync::Arc;

    use hyper::header::HOST;

    use super::*;
    use crate::{journal::recent::Decisions, metrics::Model, status::tests::document};

    fn ask(method: Method, path: &str, host: &str) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, host)
            .body(())
            .unwrap();
        let picture = Picture {
            document: Arc::new(document()),
            age: Duration::ZERO,
            decisions: Decisions::default(),
            model: Arc::new(Model::new(1)),
        };
        to(&request, picture)
    }

    #[test]
    fn each_path_has_its_answer() {
        for (path, status, content_type) in [
            ("/", 200, "text/html; charset=utf-8"),
            ("/page.css", 200, "text/css; charset=utf-8"),
            ("/page.js", 200, "text/javascript; charset=utf-8"),
            ("/icon.svg", 200, "image/svg+xml"),
            ("/favicon.ico", 200, "image/svg+xml"),
            ("/api/v1", 200, "application/json"),
            ("/api/v1/", 200, "application/json"),
            ("/api/v1/status", 200, "application/json"),
            ("/api/v1/decisions", 200, "application/json"),
            ("/api/v1/decisions?limit=1", 200, "application/json"),
            ("/api/v1/decisions?limit=x", 400, "application/json"),
            ("/api/v1/drain", 404, "application/json"),
            ("/api/v2/status", 404, "application/json"),
            ("/apis", 404, "text/plain; charset=utf-8"),
            ("/index.html", 404, "text/plain; charset=utf-8"),
            ("/page.js/", 404, "text/plain; charset=utf-8"),
        ] {
            let answer = ask(Method::GET, path, "127.0.0.1:9477");
            assert_eq!(answer.status(), status, "{path}");
            assert_eq!(answer.headers()[CONTENT_TYPE], content_type, "{path}");
        }
    }

    #[test]
    fn page_and_api_are_guarded_and_answered_on_this_host_only() {
        for path in [
            "/",
            "/page.js",
            "/api/v1/",
            "/api/v1/status",
            "/api/v1/decisions",
        ] {
            let answer = ask(Method::GET, path, "localhost");
            let headers = answer.headers();
            assert_eq!(headers[CACHE_CONTROL], "no-store", "{path}");
            assert_eq!(headers[X_CONTENT_TYPE_OPTIONS], "nosniff", "{path}");
            assert_eq!(headers["cross-origin-resource-policy"], "same-origin");
            let policy = headers[CONTENT_SECURITY_POLICY].to_str().unwrap();
            assert!(policy.starts_with("default-src 'none'; script-src 'self';"));
            assert!(!policy.contains("unsafe"), "{policy}");
            assert!(!headers.contains_key("access-control-allow-origin"));
            let answer = ask(Method::GET, path, "evil.example");
            assert_eq!(answer.status(), 421, "{path}");
        }
        for path in ["/metrics", "/healthz"] {
            assert_eq!(ask(Method::GET, path, "edge3:9477").status(), 200, "{path}");
        }
    }

    #[test]
    fn nothing_can_be_changed() {
        for path in ["/", "/api/v1/status", "/api/v1/decisions", "/metrics"] {
            for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
                let answer = ask(method.clone(), path, "localhost");
                assert_eq!(answer.status(), 405, "{method} {path}");
                assert_eq!(answer.headers()[ALLOW], "GET, HEAD");
            }
        }
    }
}
