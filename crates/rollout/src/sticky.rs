//! By what a request is kept on its arm.
//!
//! | source | key | without it |
//! |---|---|---|
//! | header | the first line of that name | by lot |
//! | cookie | 8 bytes that the gateway drew and signed | drawn, and set on the answer |
//! | tenant | the tenant's name | by lot |
//! | client | the client's address; IPv4 in IPv6 is IPv4 | by lot |
//! | per request | | by lot |
//!
//! The key is looked for only where the weight decides. A cookie is set where it is missing, was
//! not signed here, or is of another epoch, and only when its key has decided: a rollout at
//! weight 0 sets no cookies.

use std::{net::IpAddr, sync::Arc};

use http::{HeaderMap, HeaderName, HeaderValue};
use sluicegate_core::{Chance, Tenant};

use crate::{
    choice::{point, seed},
    cookie::{CookieName, Signer},
};

/// Where the key of a request comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StickySource {
    /// Nowhere: each request is drawn by itself.
    PerRequest,
    /// A header that the client, or something in front of the gateway, sets.
    Header(HeaderName),
    /// A cookie that the gateway sets.
    Cookie(CookieName),
    /// The tenant.
    Tenant,
    /// The client's address.
    Client,
}

/// The source of keys, and the seed that their points are taken with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sticky {
    source: StickySource,
    seed: u64,
}

/// What a request may be known by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known<'a> {
    pub(crate) headers: &'a HeaderMap,
    pub(crate) tenant: Option<&'a Tenant>,
    pub(crate) client: Option<IpAddr>,
    /// It came over TLS.
    pub(crate) secure: bool,
}

impl Sticky {
    /// Keys from this source. The salt is the rollout's own, or its name.
    #[must_use]
    pub fn new(source: StickySource, salt: &str) -> Arc<Self> {
        Arc::new(Self { source, seed: seed(salt) })
    }

    /// Where the request lies on the circle; with the cookie that its answer must set.
    pub(crate) fn point(
        &self,
        known: Known<'_>,
        signer: &Signer,
        chance: &Chance,
    ) -> (u64, Option<HeaderValue>) {
        let by_key = |key: &[u8]| (point(key, self.seed), None);
        let by_lot = || (chance.bits(), None);
        match &self.source {
            StickySource::PerRequest => by_lot(),
            StickySource::Header(name) => match known.headers.get(name) {
                Some(value) if !value.is_empty() => by_key(value.as_bytes()),
                _ => by_lot(),
            },
            StickySource::Cookie(name) => {
                if let Some(key) = signer.find(name, known.headers) {
                    return by_key(&key);
                }
                let key = chance.bits().to_be_bytes();
                (point(&key, self.seed), signer.set_cookie(name, key, known.secure))
            }
            StickySource::Tenant => match known.tenant {
                Some(tenant) => by_key(tenant.as_str().as_bytes()),
                None => by_lot(),
            },
            StickySource::Client => match known.client.map(|address| address.to_canonical()) {
                Some(IpAddr::V4(address)) => by_key(&address.octets()),
                Some(IpAddr::V6(address)) => by_key(&address.octets()),
                None => by_lot(),
            },
        }
    }
}

#[cfg(test)]
mod tests;
