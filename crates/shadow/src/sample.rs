//! Which requests are copied.
//!
//! A request belongs to the sample if the point of its key lies in the shadow's
//! [share](sluicegate_core::share), under a seed of the shadow's own. So a session is copied whole
//! or not at all, and the copies are a fair sample of each arm of a rollout.
//!
//! | key | without it |
//! |---|---|
//! | a header, the tenant, a claim of a verified token, the client's address | by turns |
//! | a cookie: 16 hexadecimal digits that the gateway drew | drawn, and set on the answer |
//! | none | by turns |
//!
//! By turns means that the points of one worker's requests go round the circle in steps of the
//! golden section (a Weyl sequence; Knuth, "The Art of Computer Programming", volume 3, section
//! 6.4, has the theorem): of any n in a row the share's part is copied but for a few, where a lot
//! would miss it by the root of n. How many keys of a share there are is chance: of n distinct ones
//! about the root of their number more or less.
//!
//! The cookie is not signed: whoever writes one of their own is copied or is not, and that is all
//! that comes of it. At a share of nothing or everything nobody is asked for a key.

use std::{
    fmt::Write,
    net::IpAddr,
    sync::atomic::{AtomicU64, Ordering},
};

use http::{HeaderMap, HeaderValue};
use sluicegate_core::{Chance, Claims, KeySource, Tenant, headers::came_over_tls, share::point};

use crate::plan::Shadowing;

/// How long a browser keeps the cookie: a week, in seconds.
const MAX_AGE: u32 = 604_800;

/// Of the cookie's value.
const CHARACTERS: usize = 16;

/// 2^64 over the golden ratio.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Where the requests without a key lie, one after the other.
#[derive(Debug)]
pub(crate) struct Turns(AtomicU64);

impl Turns {
    /// Beginning anywhere.
    pub(crate) fn new(chance: &Chance) -> Self {
        Self(AtomicU64::new(chance.bits()))
    }

    fn next(&self) -> u64 {
        self.0.fetch_add(STEP, Ordering::Relaxed)
    }
}

/// What a request may be known by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known<'a> {
    pub(crate) headers: &'a HeaderMap,
    pub(crate) tenant: Option<&'a Tenant>,
    pub(crate) claims: Option<&'a Claims>,
    pub(crate) client: Option<IpAddr>,
}

/// Whether the request is copied; with the cookie that its answer must set.
pub(crate) fn is_in(
    shadowing: &Shadowing,
    known: Known<'_>,
    (chance, turns): (&Chance, &Turns),
) -> (bool, Option<HeaderValue>) {
    let (share, seed) = (shadowing.settings.share, shadowing.seed);
    if share.is_settled() {
        return (share.holds(0), None);
    }
    let Known { headers, tenant, claims, client } = known;
    match shadowing.settings.sample_by.as_ref().unwrap_or(&KeySource::PerRequest) {
        KeySource::Cookie(name) => {
            if let Some(key) = name.values(headers).find(|value| is_drawn(value)) {
                return (share.holds(point(key, seed)), None);
            }
            let mut key = String::with_capacity(CHARACTERS);
            // Writing to a string does not fail.
            let _ = write!(key, "{:016x}", chance.bits());
            let secure = if came_over_tls(headers) { "; Secure" } else { "" };
            let name = name.as_str();
            let cookie = format!("{name}={key}; Path=/; Max-Age={MAX_AGE}; HttpOnly; SameSite=Lax{secure}");
            (share.holds(point(key.as_bytes(), seed)), HeaderValue::try_from(cookie).ok())
        }
        source => {
            let found = source.find(headers, (tenant, claims), client, |key| point(key, seed));
            (share.holds(found.unwrap_or_else(|| turns.next())), None)
        }
    }
}

fn is_drawn(value: &[u8]) -> bool {
    value.len() == CHARACTERS && value.iter().all(u8::is_ascii_hexdigit)
}
