//! Sessions that stay on their endpoint.
//!
//! Some services keep a session in the memory of the instance that began it: an MCP server names
//! it in `Mcp-Session-Id`, others in a cookie. With `affinity` the requests of a session go to one
//! endpoint as long as that is fit:
//!
//! 1. the one that named the session, where an answer of it was seen to: what an answer carries in
//!    the field or the cookie is remembered with its endpoint, by a digest, for the last
//!    `LEARNED` sessions at least;
//! 2. else the one with the highest score for the session's name (rendezvous hashing; Thaler and
//!    Ravishankar, 1998): the same on every gateway and after every restart, and when an endpoint
//!    comes or goes only its own sessions move.
//!
//! A request that names no session goes to any endpoint, as without affinity. So does one whose
//! endpoints are all unfit. An endpoint is fit while the probes find it healthy, its breaker lets
//! requests through, and this request has not failed at it: a session whose endpoint is gone is
//! served by another, which will say that it does not know it.
//!
//! What is learned is this gateway's own, and outlives reloads that leave the setting as it is.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sluicegate_core::{
    CookieName, Recent,
    share::{point, seed},
};

use crate::{
    endpoint::{Endpoint, Trial},
    registry::Upstream,
};

/// So many sessions are remembered at least; at most twice as many.
pub(crate) const LEARNED: usize = 32 * 1024;

/// What names a session.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AffinityInput {
    /// The value of this header, in requests and answers: `mcp-session-id`.
    Header(String),
    /// The value of this cookie, which the upstream sets.
    Cookie(String),
}

impl AffinityInput {
    /// The same, checked; or the key that is wrong, and why.
    pub fn check(&self) -> Result<SessionFrom, (&'static str, String)> {
        match self {
            Self::Header(name) => HeaderName::try_from(name).map(SessionFrom::Header).map_err(|_| {
                ("header", format!("`{name}` is not the name of a header; write one such as mcp-session-id"))
            }),
            Self::Cookie(name) => CookieName::new(name)
                .map(SessionFrom::Cookie)
                .map_err(|why| ("cookie", format!("`{name}` is not the name of a cookie: {why}"))),
        }
    }
}

/// Where a session's name stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionFrom {
    /// In this header.
    Header(HeaderName),
    /// In this cookie.
    Cookie(CookieName),
}

/// The digest of a session's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Session(u64);

impl SessionFrom {
    /// The session that a request belongs to.
    fn of_request(&self, headers: &HeaderMap) -> Option<Session> {
        match self {
            Self::Header(name) => named(headers.get(name)?.as_bytes()),
            Self::Cookie(name) => name.values(headers).find_map(named),
        }
    }

    /// The session that an answer begins or goes on with.
    fn of_answer(&self, headers: &HeaderMap) -> Option<Session> {
        match self {
            Self::Header(name) => named(headers.get(name)?.as_bytes()),
            Self::Cookie(name) => {
                let lines = headers.get_all(header::SET_COOKIE).into_iter().map(http::HeaderValue::as_bytes);
                let pairs = lines.filter_map(|line| line.split(|byte| *byte == b';').next());
                pairs.filter_map(|pair| set(pair, name.as_str())).find_map(named)
            }
        }
    }
}

/// The value of the cookie of that name, where this sets it.
fn set<'a>(pair: &'a [u8], name: &str) -> Option<&'a [u8]> {
    Some(pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"=")?.trim_ascii())
}

fn named(name: &[u8]) -> Option<Session> {
    (!name.is_empty()).then(|| Session(point(name, 0)))
}

/// The affinity of one upstream.
#[derive(Clone, Debug)]
pub(crate) struct Affinity {
    pub(crate) from: SessionFrom,
    pub(crate) learned: Arc<Learned>,
}

/// Which endpoint named which session.
pub(crate) type Learned = Recent<Session, u64>;

/// Nothing is learned yet.
pub(crate) fn learned() -> Arc<Learned> {
    Arc::new(Recent::new(LEARNED, usize::MAX))
}

impl Affinity {
    /// The session that a request belongs to.
    pub(crate) fn session(&self, headers: &HeaderMap) -> Option<Session> {
        self.from.of_request(headers)
    }

    /// An endpoint has answered with these fields.
    pub(crate) fn hear(&self, headers: &HeaderMap, endpoint: &Endpoint) {
        if let Some(session) = self.from.of_answer(headers) {
            self.learned.keep(session, endpoint.id, 0);
        }
    }

    /// A try at the session's endpoint; none where all are unfit.
    pub(crate) fn choose(&self, session: Session, upstream: &Upstream, tried: &[u64]) -> Option<Trial> {
        let fit = |endpoint: &&Arc<Endpoint>| endpoint.is_healthy() && upstream.is_fit(endpoint, tried);
        if let Some(known) = self.learned.find(&session)
            && let Some(endpoint) = upstream.endpoints.iter().find(|endpoint| endpoint.id == known)
            && fit(&endpoint)
            && let Ok(trial) = Trial::begin(endpoint, &upstream.breaker)
        {
            return Some(trial);
        }
        let mut ranked: Vec<_> = upstream.endpoints.iter().filter(fit).collect();
        ranked.sort_by_cached_key(|endpoint| std::cmp::Reverse(score(session, endpoint)));
        ranked.into_iter().find_map(|endpoint| Trial::begin(endpoint, &upstream.breaker).ok())
    }
}

fn score(session: Session, endpoint: &Endpoint) -> u64 {
    point(&session.0.to_be_bytes(), seed(&endpoint.text))
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, header};

    use super::{AffinityInput, SessionFrom, named};

    fn cookie() -> SessionFrom {
        AffinityInput::Cookie("sid".into()).check().unwrap()
    }

    #[test]
    fn a_session_is_named_alike_in_requests_and_answers() {
        let mut request = HeaderMap::new();
        request.insert(header::COOKIE, HeaderValue::from_static("a=1; sid=s7; sidx=2"));
        let mut answer = HeaderMap::new();
        answer.append(header::SET_COOKIE, HeaderValue::from_static("sidx=0; Path=/"));
        answer.append(header::SET_COOKIE, HeaderValue::from_static("sid=s7; Path=/; HttpOnly"));
        assert_eq!(cookie().of_request(&request), named(b"s7"));
        assert_eq!(cookie().of_answer(&answer), named(b"s7"));
        let from = AffinityInput::Header("Mcp-Session-Id".into()).check().unwrap();
        request.insert("mcp-session-id", HeaderValue::from_static("s7"));
        assert_eq!(from.of_request(&request), named(b"s7"));
        assert_eq!(from.of_answer(&answer), None);
        request.insert("mcp-session-id", HeaderValue::from_static(""));
        assert_eq!(from.of_request(&request), None);
    }

    #[test]
    fn names_are_checked() {
        assert_eq!(AffinityInput::Header("a b".into()).check().unwrap_err().0, "header");
        assert_eq!(AffinityInput::Cookie("a=b".into()).check().unwrap_err().0, "cookie");
    }
}
