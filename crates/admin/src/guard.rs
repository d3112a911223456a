//! Who may ask: the token, and pages that must not.
//!
//! With tokens configured, every endpoint but `/livez` and `/readyz` needs one; those with the role
//! `read` may look, those with the role `operate` may change, too. Without any
//! the API trusts what reaches it over loopback, and nothing else: not even while a listener of
//! before, with another address, is still finishing. A browser on that machine reaches it, too, and
//! runs other people's pages. A page may have a name of its own resolve to 127.0.0.1 (DNS
//! rebinding) and then read what it likes, so without a token only a loopback name is answered. And
//! it may send requests to 127.0.0.1 without reading the answer, so without a token nothing is
//! changed for a page of another origin: the browser tells by `Origin`, and by `Sec-Fetch-Site`
//! where it leaves that out.

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header, uri::Authority};

use crate::{
    Shared,
    actor::Peer,
    problem::Problem,
    tokens::{Bearer, Role},
};

/// What a browser says of the page that sends a request (W3C Fetch Metadata).
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The outermost middleware: judges, passes on, counts.
pub(crate) async fn judge(State(shared): State<Arc<Shared>>, mut request: Request, next: Next) -> Response {
    // The path as the router has it: a fixed set of names, whatever paths are tried.
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let endpoint = matched.as_ref().map_or("other", MatchedPath::as_str);
    let response = match allowed(&shared, endpoint, &mut request) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    shared.requests.count(endpoint, response.status().as_u16());
    response
}

/// Whether the request may be made; whose token it carries goes with it.
fn allowed(shared: &Shared, endpoint: &str, request: &mut Request) -> Result<(), Problem> {
    if matches!(endpoint, "/livez" | "/readyz") {
        return Ok(());
    }
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if shared.tokens.is_required() {
        let bearer = shared.tokens.bearer(request.headers()).ok_or_else(unauthorized)?;
        if changes && bearer.role == Role::Read {
            return Err(role_required(&bearer, request));
        }
        request.extensions_mut().insert(bearer);
        return Ok(());
    }
    let peer = request.extensions().get::<Peer>().map(|peer| peer.0.ip());
    from_this_machine(peer, request.uri(), request.headers())?;
    if changes { from_no_foreign_page(request.uri(), request.headers()) } else { Ok(()) }
}

fn role_required(bearer: &Bearer, request: &Request) -> Problem {
    Problem::new(
        StatusCode::FORBIDDEN,
        "role_required",
        "The token is good for looking only",
        format!(
            "the token `{}` has the role {}, and {} {} needs the role {}; send a token that has it \
             (`admin.token_file`, or one of `admin.tokens` with `role: operate`)",
            bearer.name,
            bearer.role.as_str(),
            request.method(),
            request.uri().path(),
            Role::Operate.as_str(),
        ),
    )
}

fn unauthorized() -> Problem {
    Problem::new(
        StatusCode::UNAUTHORIZED,
        "unauthorized",
        "A token is required",
        "send `Authorization: Bearer TOKEN` with a token of `admin.token_file`, `admin.read_token_file` or `admin.tokens`; \
         the command line takes --token-file or SLUICEGATE_TOKEN",
    )
    .header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"sluicegate admin\""))
}

/// Whether it came over loopback and was addressed by a loopback name.
fn from_this_machine(peer: Option<IpAddr>, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    if let Some(peer) = peer
        && !peer.to_canonical().is_loopback()
    {
        return Err(forbidden(format!(
            "the request comes from {peer}, and without a token none is answered but from loopback; \
             configure `admin.token_file`"
        )));
    }
    if let Some(host) = addressed(uri, headers)
        && !is_loopback(host)
    {
        return Err(forbidden(format!(
            "the request was addressed to `{host}`, and without a token none is answered but under a \
             loopback name; use http://127.0.0.1 or configure `admin.token_file`"
        )));
    }
    Ok(())
}

/// Whether it was sent by no page, or by one of this port's own.
fn from_no_foreign_page(uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    let page = match (text(headers, &header::ORIGIN), text(headers, &SEC_FETCH_SITE)) {
        (Some(origin), _) => {
            let own = addressed(uri, headers).is_some_and(|host| origin == format!("http://{host}"));
            (!own).then(|| format!("a page of `{origin}`"))
        }
        (None, Some(site)) => (!matches!(site, "same-origin" | "none")).then(|| format!("a `{site}` page")),
        (None, None) => None,
    };
    let Some(page) = page else { return Ok(()) };
    Err(forbidden(format!(
        "the request comes from {page}, and without a token no page may change anything; configure \
         `admin.token_file`"
    )))
}

/// The name that was asked for; without one it was no browser.
fn addressed<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    uri.authority().map(Authority::as_str).or_else(|| text(headers, &header::HOST))
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap_or("?"))
}

fn forbidden(detail: String) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "forbidden_origin", "It is not answered from there", detail)
}

fn is_loopback(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};

    use super::{SEC_FETCH_SITE, from_no_foreign_page, from_this_machine};

    fn headers(fields: &[(HeaderName, Option<&'static str>)]) -> HeaderMap {
        let sent = fields
            .iter()
            .filter_map(|(name, value)| Some((name.clone(), HeaderValue::from_static((*value)?))));
        sent.collect()
    }

    #[test]
    fn only_loopback_and_its_names_are_answered() {
        let table = [
            ("127.0.0.1", Some("127.0.0.1:9901"), true),
            ("127.0.0.1", Some("localhost:9901"), true),
            ("::1", Some("[::1]:9901"), true),
            ("::ffff:127.0.0.1", Some("127.8.8.8"), true),
            ("127.0.0.1", None, true),
            ("127.0.0.1", Some("rebound.test:9901"), false),
            ("127.0.0.1", Some("127.0.0.1.rebound.test"), false),
            ("127.0.0.1", Some("10.0.0.1:9901"), false),
            ("127.0.0.1", Some("localhost@rebound.test"), false),
            ("10.0.0.7", Some("127.0.0.1:9901"), false),
            ("10.0.0.7", None, false),
            ("::ffff:10.0.0.7", Some("localhost"), false),
        ];
        let relative = Uri::from_static("/reload");
        for (peer, host, expected) in table {
            let peer = Some(peer.parse().unwrap());
            let allowed = from_this_machine(peer, &relative, &headers(&[(header::HOST, host)]));
            assert_eq!(allowed.is_ok(), expected, "{peer:?} {host:?}");
        }
        let absolute = Uri::from_static("http://rebound.test/reload");
        assert!(from_this_machine(None, &absolute, &HeaderMap::new()).is_err());
    }

    #[test]
    fn only_own_pages_may_change_anything() {
        let host = Some("127.0.0.1:9901");
        let table = [
            (host, None, None, true),
            (host, Some("http://127.0.0.1:9901"), Some("same-origin"), true),
            (host, Some("http://127.0.0.1:3000"), Some("same-site"), false),
            (host, Some("https://page.test"), Some("cross-site"), false),
            (host, Some("https://page.test"), None, false),
            (host, Some("null"), None, false),
            (None, Some("http://page.test"), None, false),
            // A browser that leaves `Origin` out.
            (host, None, Some("cross-site"), false),
            (host, None, Some("same-site"), false),
            (host, None, Some("none"), true),
            (host, None, Some("same-origin"), true),
        ];
        for (host, origin, site, expected) in table {
            let sent = headers(&[(header::HOST, host), (header::ORIGIN, origin), (SEC_FETCH_SITE, site)]);
            let allowed = from_no_foreign_page(&Uri::from_static("/reload"), &sent);
            assert_eq!(allowed.is_ok(), expected, "{host:?} {origin:?} {site:?}");
        }
    }
}
