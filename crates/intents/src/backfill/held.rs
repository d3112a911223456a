//! Intents that a freeze holds back while others are applied.

use std::time::Duration;

use sluicegate_store::{Change, EntryId, EntryState, StoreError, Tag};
use tokio::time::Instant;

use crate::{
    home::Home,
    intent::{Intent, Note},
    outside::Freezer,
};

/// One that was put back.
#[derive(Debug)]
pub(super) struct Held {
    /// The tag it was put back under.
    pub(super) tag: Tag,
    /// When it is due by itself.
    pub(super) until: Instant,
    /// It is left alone until then, whatever is said of the freeze.
    from: Instant,
    route: Box<str>,
    upstream: Box<str>,
    tenant: Option<Box<str>>,
    note: Note,
}

impl Held {
    /// One that was put back for `delay`, and is not let go of before `least` of it has passed.
    pub(super) fn new(tag: Tag, delay: Duration, least: Duration, intent: &Intent, note: Note) -> Self {
        let now = Instant::now();
        Self {
            tag,
            until: now + delay,
            from: now + least,
            route: intent.route.clone(),
            upstream: intent.upstream.clone(),
            tenant: intent.tenant.clone(),
            note,
        }
    }

    /// Whether writes like it go through, and have for as long as the soak.
    pub(super) fn is_open(&self, freezer: &impl Freezer, soak: Duration, now: Instant) -> bool {
        now >= self.from
            && freezer
                .open_since(&self.route, &self.upstream, self.tenant.as_deref())
                .is_some_and(|opened| opened + soak <= now)
    }

    /// Makes it due. Where it has moved since, that is left alone.
    pub(super) async fn let_go(&self, home: &Home, id: EntryId) -> Result<(), StoreError> {
        let change = Change {
            expect: self.tag,
            tag: Tag::draw(&home.chance),
            state: EntryState::Queued,
            note: self.note.encode()?,
            delay: Duration::ZERO,
            ttl: Duration::ZERO,
            record: None,
        };
        home.store.change(id, change).await.map(drop)
    }
}
