//! Who may ask: the token, and pages that must not.
//!
//! With a token configured, every endpoint but `/livez` and `/readyz` needs it. Without one
//! the API trusts what reaches it over loopback. A browser on that machine does too, and
//! runs other people's pages: a page may send requests to 127.0.0.1, or have a name of its
//! own resolve there (DNS rebinding). So without a token a request that changes something is
//! refused when it was sent by a page of another origin, or was addressed by another name
//! than loopback's.

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header, uri::Authority};

use crate::{Shared, problem::Problem};

/// The outermost middleware: judges, passes on, counts.
pub(crate) async fn judge(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let endpoint = endpoint(request.uri().path());
    let response = match allowed(&shared, endpoint, &request) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    shared.requests.count(endpoint, response.status().as_u16());
    response
}

/// The endpoints' names for metrics: a fixed set, whatever paths are tried.
fn endpoint(path: &str) -> &'static str {
    const EXACT: [&str; 15] = [
        "/",
        "/status",
        "/config",
        "/reload",
        "/freeze",
        "/keys",
        "/intents",
        "/intents/status",
        "/intents/pause",
        "/intents/resume",
        "/rollouts",
        "/audit",
        "/metrics",
        "/livez",
        "/readyz",
    ];
    const BELOW: [(&str, &str, &str); 18] = [
        ("/freeze/", "", "/freeze/{id}"),
        ("/keys/", "/resolve", "/keys/{id}/resolve"),
        ("/keys/", "", "/keys/{id}"),
        ("/intents/", "/retry", "/intents/{id}/retry"),
        ("/intents/", "/drop", "/intents/{id}/drop"),
        ("/intents/", "/settle", "/intents/{id}/settle"),
        ("/intents/", "", "/intents/{id}"),
        ("/rollouts/", "/start", "/rollouts/{name}/start"),
        ("/rollouts/", "/advance", "/rollouts/{name}/advance"),
        ("/rollouts/", "/hold", "/rollouts/{name}/hold"),
        ("/rollouts/", "/resume", "/rollouts/{name}/resume"),
        ("/rollouts/", "/weight", "/rollouts/{name}/weight"),
        ("/rollouts/", "/promote", "/rollouts/{name}/promote"),
        ("/rollouts/", "/abort", "/rollouts/{name}/abort"),
        ("/rollouts/", "/switch", "/rollouts/{name}/switch"),
        ("/rollouts/", "/rollback", "/rollouts/{name}/rollback"),
        ("/rollouts/", "/history", "/rollouts/{name}/history"),
        ("/rollouts/", "", "/rollouts/{name}"),
    ];
    if let Some(known) = EXACT.iter().find(|known| **known == path) {
        return known;
    }
    // A rollout may be called `history`: what the name ends on is no segment of its own.
    let below = BELOW.iter().find(|(begin, end, _)| {
        path.strip_prefix(begin).is_some_and(|below| !below.is_empty() && below.ends_with(end))
    });
    below.map_or("other", |(_, _, name)| name)
}

fn allowed(shared: &Shared, endpoint: &str, request: &Request) -> Result<(), Problem> {
    if matches!(endpoint, "/livez" | "/readyz") {
        return Ok(());
    }
    if shared.token.is_required() {
        return if shared.token.admits(request.headers()) { Ok(()) } else { Err(unauthorized()) };
    }
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if changes { from_this_machine(request.uri(), request.headers()) } else { Ok(()) }
}

fn unauthorized() -> Problem {
    Problem::new(
        StatusCode::UNAUTHORIZED,
        "unauthorized",
        "A token is required",
        "send `Authorization: Bearer TOKEN` with the token of `admin.token_file`; \
         the command line takes --token-file or SLUICEGATE_TOKEN",
    )
    .header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"sluicegate admin\""))
}

fn from_this_machine(uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    let text = |name| headers.get(name).map(|value: &HeaderValue| value.to_str().unwrap_or("?"));
    // Without a Host it was no browser.
    let host = uri.authority().map(Authority::as_str).or_else(|| text(header::HOST));
    if let Some(host) = host
        && !is_loopback(host)
    {
        return Err(forbidden(format!(
            "the request was addressed to `{host}`, and without a token changes are taken only under a \
             loopback name; use http://127.0.0.1 or configure `admin.token_file`"
        )));
    }
    let same_origin = |origin: &str| host.is_some_and(|host| origin == format!("http://{host}"));
    if let Some(origin) = text(header::ORIGIN)
        && !same_origin(origin)
    {
        return Err(forbidden(format!(
            "the request comes from a page of `{origin}`, and without a token no page may change anything; \
             configure `admin.token_file`"
        )));
    }
    Ok(())
}

fn forbidden(detail: String) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "forbidden_origin", "Changes are not taken from there", detail)
}

fn is_loopback(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, Uri, header};

    use super::{endpoint, from_this_machine};

    #[test]
    fn only_loopback_names_and_own_pages_may_change_anything() {
        let table = [
            (Some("127.0.0.1:9901"), None, true),
            (Some("localhost:9901"), None, true),
            (Some("[::1]:9901"), None, true),
            (Some("127.8.8.8"), None, true),
            (None, None, true),
            (Some("rebound.test:9901"), None, false),
            (Some("127.0.0.1.rebound.test"), None, false),
            (Some("10.0.0.1:9901"), None, false),
            (Some("localhost@rebound.test"), None, false),
            (Some("127.0.0.1:9901"), Some("http://127.0.0.1:9901"), true),
            (Some("127.0.0.1:9901"), Some("http://127.0.0.1:3000"), false),
            (Some("127.0.0.1:9901"), Some("https://page.test"), false),
            (Some("127.0.0.1:9901"), Some("null"), false),
            (Some("rebound.test"), Some("http://rebound.test"), false),
            (None, Some("http://page.test"), false),
        ];
        for (host, origin, expected) in table {
            let mut headers = HeaderMap::new();
            for (name, value) in [(header::HOST, host), (header::ORIGIN, origin)] {
                if let Some(value) = value {
                    headers.insert(name, HeaderValue::from_static(value));
                }
            }
            let allowed = from_this_machine(&Uri::from_static("/reload"), &headers);
            assert_eq!(allowed.is_ok(), expected, "{host:?} {origin:?}");
        }
        let absolute = Uri::from_static("http://rebound.test/reload");
        assert!(from_this_machine(&absolute, &HeaderMap::new()).is_err());
    }

    #[test]
    fn paths_that_were_only_tried_share_one_name() {
        assert_eq!(endpoint("/status"), "/status");
        assert_eq!(endpoint("/freeze/reindex"), "/freeze/{id}");
        assert_eq!(endpoint("/keys"), "/keys");
        assert_eq!(endpoint("/keys/ab12"), "/keys/{id}");
        assert_eq!(endpoint("/keys/ab12/resolve"), "/keys/{id}/resolve");
        assert_eq!(endpoint("/intents/pause"), "/intents/pause");
        assert_eq!(endpoint("/intents/ab12"), "/intents/{id}");
        assert_eq!(endpoint("/intents/ab12/settle"), "/intents/{id}/settle");
        assert_eq!(endpoint("/rollouts"), "/rollouts");
        assert_eq!(endpoint("/rollouts/embed"), "/rollouts/{name}");
        assert_eq!(endpoint("/rollouts/history"), "/rollouts/{name}");
        assert_eq!(endpoint("/rollouts/history/history"), "/rollouts/{name}/history");
        assert_eq!(endpoint("/rollouts/embed/abort"), "/rollouts/{name}/abort");
        assert_eq!(endpoint("/status/../etc"), "other");
    }
}
