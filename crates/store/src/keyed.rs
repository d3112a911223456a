//! What a keyed request carries from the layer that read its key to those below.
//!
//! The replay layer reads the key and looks it up; the intents and the fence layer, further
//! in, begin it. They do not know each other. This is what passes between them, in the
//! request's extensions; and the way back for a request that found its key taken after all.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Uri, request::Parts};
use parking_lot::Mutex;
use sluicegate_body::Whole;
use sluicegate_core::{Clock, Facts};

use crate::{
    fence::{Fence, FenceState},
    fingerprint::{Fingerprint, FingerprintRules},
    record::RecordKey,
};

/// The key of a request.
#[derive(Clone, Debug)]
pub struct Keyed {
    /// Where its fence is.
    pub id: RecordKey,
    /// The key itself.
    pub key: Arc<str>,
    /// The tenant in whose scope it is.
    pub tenant: Option<Arc<str>>,
    /// What of a request makes its fingerprint.
    pub rules: Arc<FingerprintRules>,
    way_back: WayBack,
}

type WayBack = Arc<Mutex<Option<Returned>>>;

/// A request that was given back, whole: nothing of it was sent.
#[derive(Debug)]
pub struct Returned {
    /// Its head.
    pub head: Parts,
    /// Its body, which keeps its room.
    pub body: Whole,
}

impl Keyed {
    /// A key and its fence's place.
    #[must_use]
    pub fn new(id: RecordKey, key: Arc<str>, tenant: Option<Arc<str>>, rules: Arc<FingerprintRules>) -> Self {
        Self { id, key, tenant, rules, way_back: WayBack::default() }
    }

    /// A layer below found the key taken and gives the request back, before anything of it
    /// was sent: whoever looked the key up will look again. The layer refuses with
    /// `idempotency_in_flight` beside it.
    pub fn give_back(&self, mut returned: Returned) {
        // A key in its own way back would keep both for ever.
        returned.head.extensions.remove::<Self>();
        *self.way_back.lock() = Some(returned);
    }

    /// The request that was given back, if one was.
    #[must_use]
    pub fn take_back(&self) -> Option<Returned> {
        self.way_back.lock().take()
    }

    /// The fingerprint of a request under this key; `body` is none where it was not gathered.
    #[must_use]
    pub fn fingerprint(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        body: Option<&Bytes>,
    ) -> Fingerprint {
        Fingerprint::of(method, uri, headers, body, &self.rules)
    }

    /// A new fence for this key in `state`.
    #[must_use]
    pub fn fence(
        &self,
        facts: &Facts,
        method: &Method,
        print: Fingerprint,
        state: FenceState,
        clock: &Clock,
    ) -> Fence {
        let now = clock.unix_millis();
        Fence {
            key: (*self.key).into(),
            route: facts.classified().map_or("", |settled| settled.route.name()).into(),
            method: method.as_str().into(),
            tenant: self.tenant.as_deref().map(Into::into),
            request_id: facts.request_id().to_str().unwrap_or_default().into(),
            print,
            created_ms: now,
            changed_ms: now,
            state,
        }
    }
}
