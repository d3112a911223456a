//! Which route a request takes: the first whose match admits it.
//!
//! Order is the operator's, and the promise is that of a scan from top to bottom. What makes
//! it fast with many routes is one observation: a pattern can only match a path that begins
//! with its literal, the characters before its first parameter. The distinct literals are
//! kept sorted, each with the routes, in order, whose literal is a prefix of it. The longest
//! literal that a path begins with is found by bisection and a few steps up to shorter ones;
//! its routes are all that can match. Finding a route allocates nothing.

use std::sync::Arc;

use http::Method;

use crate::pattern::Pattern;

/// What a route asks of a request.
#[derive(Clone, Debug)]
pub struct RouteMatch {
    pattern: Pattern,
    methods: Option<Box<[Method]>>,
}

impl RouteMatch {
    /// Every method on this path.
    #[must_use]
    pub const fn path(pattern: Pattern) -> Self {
        Self { pattern, methods: None }
    }

    /// Only these methods. GET does not stand for HEAD.
    #[must_use]
    pub fn methods(mut self, methods: impl IntoIterator<Item = Method>) -> Self {
        self.methods = Some(methods.into_iter().collect());
        self
    }

    fn admits(&self, method: &Method, path: &str) -> bool {
        self.methods.as_ref().is_none_or(|methods| methods.contains(method)) && self.pattern.matches(path)
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

    /// The leaf of the first route that admits this method and canonical path.
    #[must_use]
    pub fn find(&self, method: &Method, path: &str) -> Option<&Arc<L>> {
        // A literal that the path begins with is sorted before the path, and everything
        // sorted between the two begins with it: so it is the group just before the path, or
        // one of the shorter ones behind that.
        let after = self.groups.partition_point(|group| &*group.literal <= path);
        let mut group = self.groups.get(after.checked_sub(1)?)?;
        while !path.starts_with(&*group.literal) {
            group = self.groups.get(group.shorter?)?;
        }
        let mut candidates = group.candidates.iter().filter_map(|route| self.routes.get(*route));
        candidates.find(|(ask, _)| ask.admits(method, path)).map(|(_, leaf)| leaf)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::Method;
    use proptest::prelude::*;

    use super::{RouteMatch, Router};
    use crate::pattern::Pattern;

    fn router(routes: &[(&str, &[Method])]) -> Router<usize> {
        Router::new(routes.iter().enumerate().map(|(number, (pattern, methods))| {
            let ask = RouteMatch::path(Pattern::parse(pattern).unwrap());
            let ask = if methods.is_empty() { ask } else { ask.methods(methods.iter().cloned()) };
            (ask, Arc::new(number))
        }))
    }

    /// What the router promises, in its slowest form.
    fn scan(router: &Router<usize>, method: &Method, path: &str) -> Option<usize> {
        router.routes.iter().find(|(ask, _)| ask.admits(method, path)).map(|(_, leaf)| **leaf)
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
            assert_eq!(router.find(&method, path).map(|leaf| **leaf), expected, "{method} {path}");
        }
        assert!(Router::<()>::new([]).find(&Method::GET, "/").is_none());
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
                    let found = router.find(&method, path).map(|leaf| **leaf);
                    prop_assert_eq!(found, scan(&router, &method, path), "{} {}", method, path);
                }
            }
        }
    }
}
