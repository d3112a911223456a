//! Which route a request takes: the first whose match admits it.
//!
//! Order is the operator's, and the promise is that of a scan from top to bottom. What makes
//! it fast with many routes is one observation: a pattern can only match a path that begins
//! with its literal, the characters before its first parameter. The distinct literals are
//! kept sorted, each with the routes, in order, whose literal is a prefix of it. The longest
//! literal that a path begins with is found by bisection and a few steps up to shorter ones;
//! its routes are all that can match. Of these each asks for what it was told to: the path, then
//! the methods, then the host and header fields, which are looked up for those routes alone that
//! ask for them. Finding a route allocates nothing.

use std::sync::Arc;

use http::{HeaderMap, Method, header, request::Parts, uri::Authority};

use crate::{field::FieldMatch, host::HostPattern, pattern::Pattern};

/// What a route asks of a request.
#[derive(Clone, Debug)]
pub struct RouteMatch {
    pattern: Pattern,
    methods: Option<Box<[Method]>>,
    /// None where the path and the methods are all it asks for.
    head: Option<Box<Head>>,
}

/// What a route asks of a request's head besides.
#[derive(Clone, Debug, Default)]
struct Head {
    /// Any of them; empty admits every host.
    hosts: Box<[HostPattern]>,
    /// All of them.
    fields: Box<[FieldMatch]>,
}

impl Head {
    fn admits(&self, asked: &Asked<'_>) -> bool {
        let host = || asked.host().is_some_and(|host| self.hosts.iter().any(|it| it.matches(host)));
        (self.hosts.is_empty() || host()) && self.fields.iter().all(|field| field.admits(asked.headers))
    }
}

/// What of a request routes are matched with.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Its path in canonical form.
    pub path: &'a str,
    /// Its header fields.
    pub headers: &'a HeaderMap,
    /// The authority of its target, by which HTTP/2 names the host.
    pub authority: Option<&'a Authority>,
}

impl<'a> Asked<'a> {
    /// What is asked by a request with this head, whose path is canonical already.
    #[must_use]
    pub fn of(parts: &'a Parts) -> Self {
        Self {
            method: &parts.method,
            path: parts.uri.path(),
            headers: &parts.headers,
            authority: parts.uri.authority(),
        }
    }

    fn host(&self) -> Option<&'a [u8]> {
        let field = self.headers.get(header::HOST).map(http::HeaderValue::as_bytes);
        field.or_else(|| Some(self.authority?.as_str().as_bytes()))
    }
}

impl RouteMatch {
    /// Every method on this path.
    #[must_use]
    pub const fn path(pattern: Pattern) -> Self {
        Self { pattern, methods: None, head: None }
    }

    /// Only these methods. GET does not stand for HEAD.
    #[must_use]
    pub fn methods(mut self, methods: impl IntoIterator<Item = Method>) -> Self {
        self.methods = Some(methods.into_iter().collect());
        self
    }

    /// Only for these hosts; none of them is every host.
    #[must_use]
    pub fn hosts(mut self, hosts: impl IntoIterator<Item = HostPattern>) -> Self {
        let hosts: Box<[_]> = hosts.into_iter().collect();
        if !hosts.is_empty() {
            self.head.get_or_insert_default().hosts = hosts;
        }
        self
    }

    /// Only with such header fields, all of them.
    #[must_use]
    pub fn fields(mut self, fields: impl IntoIterator<Item = FieldMatch>) -> Self {
        let fields: Box<[_]> = fields.into_iter().collect();
        if !fields.is_empty() {
            self.head.get_or_insert_default().fields = fields;
        }
        self
    }

    fn admits(&self, asked: &Asked<'_>) -> bool {
        self.methods.as_ref().is_none_or(|methods| methods.contains(asked.method))
            && self.pattern.matches(asked.path)
            && self.head.as_ref().is_none_or(|head| head.admits(asked))
    }
}

/// Routes in order, each with a leaf of type `L`.
#[derive(Clone, Debug)]
pub struct Router<L> {
    routes: Box<[(RouteMatch, Arc<L>)]>,
    /// Sorted by literal.
    groups: Box<[Group]>,
}

/// The routes that a path can take when this literal is the longest it begins with.
#[derive(Clone, Debug)]
struct Group {
    literal: Box<str>,
    /// The group of the longest other literal that this one begins with.
    shorter: Option<usize>,
    /// Positions in `routes`, rising.
    candidates: Box<[usize]>,
}

impl<L> Router<L> {
    /// A router that tries `routes` in this order.
    pub fn new(routes: impl IntoIterator<Item = (RouteMatch, Arc<L>)>) -> Self {
        let routes: Box<[_]> = routes.into_iter().collect();
        let mut literals: Vec<&str> = routes.iter().map(|(ask, _)| ask.pattern.literal()).collect();
        literals.sort_unstable();
        literals.dedup();
        let group = |(position, literal): (usize, &&str)| Group {
            literal: (*literal).into(),
            // Among the prefixes of a literal the longest is sorted last.
            shorter: literals[..position].iter().rposition(|shorter| literal.starts_with(shorter)),
            candidates: (0..routes.len())
                .filter(|route| literal.starts_with(routes[*route].0.pattern.literal()))
                .collect(),
        };
        let groups = literals.iter().enumerate().map(group).collect();
        Self { routes, groups }
    }

    /// The leaf of the first route that admits what is asked.
    #[must_use]
    pub fn find(&self, asked: &Asked<'_>) -> Option<&Arc<L>> {
        let path = asked.path;
        // A literal that the path begins with is sorted before the path, and everything
        // sorted between the two begins with it: so it is the group just before the path, or
        // one of the shorter ones behind that.
        let after = self.groups.partition_point(|group| &*group.literal <= path);
        let mut group = self.groups.get(after.checked_sub(1)?)?;
        while !path.starts_with(&*group.literal) {
            group = self.groups.get(group.shorter?)?;
        }
        let mut candidates = group.candidates.iter().filter_map(|route| self.routes.get(*route));
        candidates.find(|(ask, _)| ask.admits(asked)).map(|(_, leaf)| leaf)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
    use proptest::prelude::*;

    use super::{Asked, RouteMatch, Router};
    use crate::{
        field::{FieldInput, FieldMatch},
        pattern::Pattern,
    };

    fn router(routes: &[(&str, &[Method])]) -> Router<usize> {
        Router::new(routes.iter().enumerate().map(|(number, (pattern, methods))| {
            let ask = RouteMatch::path(Pattern::parse(pattern).unwrap());
            let ask = if methods.is_empty() { ask } else { ask.methods(methods.iter().cloned()) };
            (ask, Arc::new(number))
        }))
    }

    fn found(router: &Router<usize>, method: &Method, path: &str) -> Option<usize> {
        let headers = HeaderMap::new();
        let asked = Asked { method, path, headers: &headers, authority: None };
        router.find(&asked).map(|leaf| **leaf)
    }

    /// What the router promises, in its slowest form.
    fn scan(router: &Router<usize>, method: &Method, path: &str) -> Option<usize> {
        let headers = HeaderMap::new();
        let asked = Asked { method, path, headers: &headers, authority: None };
        router.routes.iter().find(|(ask, _)| ask.admits(&asked)).map(|(_, leaf)| **leaf)
    }

    #[test]
    fn hosts_and_fields_are_asked_for_where_a_route_does() {
        let path = || RouteMatch::path(Pattern::parse("/{*rest}").unwrap());
        let field = |asked| FieldMatch::new(HeaderName::from_static("x-env"), asked);
        let host = |text: &str| [text.parse().unwrap()];
        let asks = [
            path().hosts(host("api.example.org")).fields([field(FieldInput::Is("beta".into()))]),
            path().hosts(host("api.example.org")).methods([Method::GET]),
            path().hosts(host("*.example.org")),
            path().fields([field(FieldInput::Prefix("be".into()))]),
            path().hosts([]).fields([]),
        ];
        let router = Router::new(asks.into_iter().enumerate().map(|(at, ask)| (ask, Arc::new(at))));
        let table = [
            (Method::GET, "api.example.org", "beta", 0),
            (Method::GET, "api.example.org:80", "", 1),
            (Method::POST, "API.example.org", "", 2),
            (Method::GET, "eu.example.org", "beta", 2),
            (Method::GET, "example.org", "best", 3),
            (Method::GET, "example.org", "", 4),
        ];
        for (method, host, env, expected) in table {
            let mut over_http1 = Request::builder().method(method.clone()).uri("/a").header("host", host);
            let mut over_http2 = Request::builder().method(method).uri(format!("https://{host}/a"));
            for head in [&mut over_http1, &mut over_http2] {
                if !env.is_empty() {
                    head.headers_mut().unwrap().insert("x-env", HeaderValue::from_static(env));
                }
            }
            for head in [over_http1, over_http2] {
                let (parts, ()) = head.body(()).unwrap().into_parts();
                assert_eq!(**router.find(&Asked::of(&parts)).unwrap(), expected, "{parts:?}");
            }
        }
        assert_eq!(found(&router, &Method::GET, "/a"), Some(4), "no host at all");
    }

    #[test]
    fn the_first_match_wins() {
        let router = router(&[
            ("/v1/retrieve", &[Method::POST]),
            ("/v1/documents/{*rest}", &[Method::POST, Method::DELETE]),
            ("/v1/{kind}", &[]),
            ("/v1/stats", &[]),
            ("/{*rest}", &[Method::GET]),
        ]);
        let table = [
            (Method::POST, "/v1/retrieve", Some(0)),
            (Method::GET, "/v1/retrieve", Some(2)),
            (Method::DELETE, "/v1/documents/7", Some(1)),
            (Method::GET, "/v1/documents/7", Some(4)),
            (Method::PUT, "/v1/documents/7", None),
            (Method::GET, "/v1/stats", Some(2)),
            (Method::GET, "/", Some(4)),
            (Method::HEAD, "/", None),
            (Method::OPTIONS, "*", None),
            (Method::from_bytes(b"post").unwrap(), "/v1/retrieve", Some(2)),
        ];
        for (method, path, expected) in table {
            assert_eq!(found(&router, &method, path), expected, "{method} {path}");
        }
        assert!(found(&Router::new([]), &Method::GET, "/").is_none());
    }

    fn pattern() -> impl Strategy<Value = String> {
        let segment = prop::sample::select(vec!["a", "ab", "abc", "b", "{x}", "a-", "%C3%A9"]);
        let end = prop::sample::select(vec!["", "/", "/{*rest}", "/{y}"]);
        (proptest::collection::vec(segment, 0..4), end).prop_map(|(segments, end)| {
            let mut text = String::new();
            for (number, segment) in segments.iter().enumerate() {
                text.push('/');
                text.push_str(&segment.replace("{x}", &format!("{{x{number}}}")));
            }
            text.push_str(end);
            if text.is_empty() { "/".to_owned() } else { text }
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn bisection_finds_what_a_scan_finds(
            patterns in proptest::collection::vec((pattern(), 0..3u8), 0..24),
            paths in proptest::collection::vec("(/(a|ab|abc|abcd|b|a-|a0|%C3%A9|\\*)?){1,5}", 1..16),
        ) {
            let routes: Vec<(&str, &[Method])> = patterns
                .iter()
                .map(|(pattern, methods)| {
                    let methods: &[Method] = match methods {
                        0 => &[],
                        1 => &[Method::GET],
                        _ => &[Method::POST, Method::PUT],
                    };
                    (pattern.as_str(), methods)
                })
                .collect();
            let router = router(&routes);
            for path in paths.iter().map(String::as_str).chain(["*"]) {
                for method in [Method::GET, Method::PUT, Method::HEAD] {
                    let found = found(&router, &method, path);
                    prop_assert_eq!(found, scan(&router, &method, path), "{} {}", method, path);
                }
            }
        }
    }
}
