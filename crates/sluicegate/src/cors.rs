//! Cross-origin pages and the gateway's own answers (the Fetch standard, "CORS protocol").
//!
//! A page of another origin may read a refusal, what became of its write, or the banner only
//! if the answer says so. The gateway says it of the answers it makes itself. What an upstream
//! answers is the upstream's to say, and a preflight for a route goes to the upstream as any
//! request does; only preflights for the gateway's own paths are answered here.

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use sluicegate_config::document::CorsInput;

/// What a page may read besides the fields that any page may.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "retry-after, location, etag, x-request-id, idempotency-replayed, ratelimit, ratelimit-policy, \
     sluicegate-freeze, sluicegate-body-not-kept, sluicegate-replay",
);

/// How long a browser may keep the answer to a preflight, in seconds.
const PREFLIGHT_KEPT: HeaderValue = HeaderValue::from_static("600");

/// Who may read.
#[derive(Debug)]
pub(crate) struct Cors {
    /// None: everybody.
    origins: Option<Vec<HeaderValue>>,
    credentials: bool,
}

/// What one request's page may do: its origin, as it is told so.
#[derive(Debug)]
pub(crate) struct Granted {
    origin: HeaderValue,
    credentials: bool,
}

impl Cors {
    /// Made of a section that has no faults.
    pub(crate) fn new(input: &CorsInput) -> Self {
        let any = input.origins.iter().any(|origin| origin == "*");
        let named = || input.origins.iter().filter_map(|origin| origin.parse().ok()).collect();
        Self { origins: (!any).then(named), credentials: input.credentials }
    }

    /// What is granted to the page that sent these, if it may read. Boxed, since hardly any
    /// request needs it.
    pub(crate) fn grant(&self, headers: &HeaderMap) -> Option<Box<Granted>> {
        let asks = headers.get(header::ORIGIN)?;
        let origin = match &self.origins {
            None => HeaderValue::from_static("*"),
            Some(named) => named.iter().find(|named| *named == asks)?.clone(),
        };
        Some(Box::new(Granted { origin, credentials: self.credentials }))
    }

    /// Whether answers differ by who asks, so that caches must know.
    pub(crate) fn varies(&self) -> bool {
        self.origins.is_some()
    }
}

impl Granted {
    /// Lets the page read an answer with these headers.
    pub(crate) fn tell(&self, headers: &mut HeaderMap) {
        self.allow(headers);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }

    fn allow(&self, headers: &mut HeaderMap) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, self.origin.clone());
        if self.credentials {
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        let varies = headers.get_all(header::VARY).iter().any(|value| value == "origin");
        if self.origin != "*" && !varies {
            headers.append(header::VARY, HeaderValue::from_static("origin"));
        }
    }

    /// The answer to a preflight for one of the gateway's own paths, which are only read.
    pub(crate) fn preflight<T: Default>(&self, asked: &HeaderMap) -> Response<T> {
        let mut response = Response::new(T::default());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        self.allow(headers);
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD"));
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_KEPT);
        if let Some(names) = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
        }
        response
    }
}

/// Whether a browser asks what it may send.
pub(crate) fn is_preflight<B>(request: &Request<B>) -> bool {
    request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, Response, header};
    use sluicegate_config::document::CorsInput;

    use super::Cors;

    fn cors(origins: &[&str], credentials: bool) -> Cors {
        Cors::new(&CorsInput { origins: origins.iter().map(|&one| one.to_owned()).collect(), credentials })
    }

    fn from(origin: &'static str) -> HeaderMap {
        [(header::ORIGIN, HeaderValue::from_static(origin))].into_iter().collect()
    }

    #[test]
    fn an_origin_that_is_named_may_read_and_no_other() {
        let named = cors(&["https://app.example.com", "https://ops.example.com"], true);
        for stranger in
            ["https://evil.example.com", "https://app.example.com.evil.com", "http://app.example.com", "null"]
        {
            assert!(named.grant(&from(stranger)).is_none(), "{stranger}");
        }
        assert!(named.grant(&HeaderMap::new()).is_none());
        let mut headers = HeaderMap::new();
        named.grant(&from("https://ops.example.com")).unwrap().tell(&mut headers);
        assert_eq!(headers["access-control-allow-origin"], "https://ops.example.com");
        assert_eq!(headers["access-control-allow-credentials"], "true");
        assert_eq!(headers["vary"], "origin");
        let exposed = headers["access-control-expose-headers"].to_str().unwrap();
        assert!(exposed.contains("retry-after") && exposed.contains("sluicegate-freeze"), "{exposed}");
    }

    #[test]
    fn everybody_may_read_without_cookies() {
        let mut headers = HeaderMap::new();
        cors(&["*"], false).grant(&from("null")).unwrap().tell(&mut headers);
        assert_eq!(headers["access-control-allow-origin"], "*");
        assert!(!headers.contains_key("vary") && !headers.contains_key("access-control-allow-credentials"));
    }

    #[test]
    fn a_preflight_is_told_what_may_be_sent() {
        let granted = cors(&["*"], false).grant(&from("https://a")).unwrap();
        let mut asked = HeaderMap::new();
        asked.insert("access-control-request-headers", HeaderValue::from_static("x-tenant-id"));
        let answer: Response<()> = granted.preflight(&asked);
        assert_eq!(
            (answer.status(), &answer.headers()["access-control-allow-methods"]),
            (204.try_into().unwrap(), &HeaderValue::from_static("GET, HEAD"))
        );
        assert_eq!(answer.headers()["access-control-allow-headers"], "x-tenant-id");
    }
}
