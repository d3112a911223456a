//! By what a request is kept on its arm.
//!
//! | source | key | without it |
//! |---|---|---|
//! | header | the first line of that name | by lot |
//! | cookie | 8 bytes that the gateway drew and signed | drawn, and set on the answer |
//! | tenant | the tenant's name | by lot |
//! | claim | what a claim of the verified token says | by lot |
//! | client | the client's address; IPv4 in IPv6 is IPv4 | by lot |
//! | per request | | by lot |
//!
//! The key is looked for only where the weight decides. A cookie is set where it is missing, was
//! not signed here, or is of another epoch, and only when its key has decided: a rollout at
//! weight 0 sets no cookies.

use std::{net::IpAddr, sync::Arc};

use http::{HeaderMap, HeaderValue};
use sluicegate_core::{Chance, Claims, KeySource, Tenant};

use crate::{
    choice::{point, seed},
    cookie::Signer,
};

/// The source of keys, and the seed that their points are taken with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sticky {
    source: KeySource,
    seed: u64,
}

/// What a request may be known by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known<'a> {
    pub(crate) headers: &'a HeaderMap,
    pub(crate) tenant: Option<&'a Tenant>,
    pub(crate) claims: Option<&'a Claims>,
    pub(crate) client: Option<IpAddr>,
    /// It came over TLS.
    pub(crate) secure: bool,
}

impl Sticky {
    /// Keys from this source. The salt is the rollout's own, or its name.
    #[must_use]
    pub fn new(source: KeySource, salt: &str) -> Arc<Self> {
        Arc::new(Self { source, seed: seed(salt) })
    }

    /// Where the request lies on the circle; with the cookie that its answer must set.
    pub(crate) fn point(
        &self,
        known: Known<'_>,
        signer: &Signer,
        chance: &Chance,
    ) -> (u64, Option<HeaderValue>) {
        let KeySource::Cookie(name) = &self.source else {
            let Known { headers, tenant, claims, client, .. } = known;
            let found = self.source.find(headers, (tenant, claims), client, |key| point(key, self.seed));
            return (found.unwrap_or_else(|| chance.bits()), None);
        };
        if let Some(key) = signer.find(name, known.headers) {
            return (point(&key, self.seed), None);
        }
        let key = chance.bits().to_be_bytes();
        (point(&key, self.seed), signer.set_cookie(name, key, known.secure))
    }
}

#[cfg(test)]
mod tests;
