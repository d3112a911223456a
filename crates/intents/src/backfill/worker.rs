//! Applying one intent that was claimed.

use std::{future::Future, time::Duration};

use http::{HeaderName, HeaderValue};
use sluicegate_store::{Backfill, Change, Entry, EntryId, EntryState, StoreError, Tag};
use tokio::time::Instant;

use super::{Held, LOOK};
use crate::{
    home::{Home, Setup},
    intent::{Intent, Note},
    outcome::{self, FenceMove, HELD, Known, Rules, Step},
    outside::{Freezer, Prepared, Runner},
    plan::RouteRules,
    step::Stepped,
};

/// What a worker leaves behind.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) id: EntryId,
    /// Whether it was given to the runner and not held back by a freeze.
    pub(super) sent: bool,
    /// Whether nobody knows what became of it.
    pub(super) unknown: bool,
    /// Whether a freeze holds it back.
    pub(super) held: Option<Held>,
}

/// What cannot be read is left for a version that can, and looked at again after this.
const UNREADABLE: Duration = Duration::from_secs(300);

/// The longest pause between two tries to settle.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

pub(super) async fn work(
    home: &Home,
    freezer: &impl Freezer,
    runner: &impl Runner,
    entry: Entry,
) -> Finished {
    let id = entry.id;
    let _flight = Flight { home, id };
    match read(&entry) {
        Ok((intent, note)) => Work { home, entry: &entry, intent }.apply(freezer, runner, note).await,
        Err(error) => {
            put_back(home, &entry, &error).await;
            Finished { id, sent: false, unknown: false, held: None }
        }
    }
}

/// An intent's place among those in flight.
struct Flight<'a> {
    home: &'a Home,
    id: EntryId,
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.home.settled(self.id);
    }
}

fn read(entry: &Entry) -> Result<(Intent, Note), StoreError> {
    Ok((Intent::decode(&entry.value)?, Note::decode(&entry.note)?))
}

/// Puts back what this version cannot read, as it is.
async fn put_back(home: &Home, entry: &Entry, error: &StoreError) {
    let message = format!("intent {} cannot be applied and holds its line: {error}", entry.id.to_text());
    tracing::error!("{message}");
    home.note_error(message);
    let tag = Tag::draw(&home.chance);
    let change = || Change {
        expect: entry.tag,
        tag,
        state: EntryState::Queued,
        note: entry.note.clone(),
        delay: UNREADABLE,
        ttl: Duration::ZERO,
        record: None,
    };
    surely(home, || home.store.change(entry.id, change())).await;
}

/// Does it until the store has answered. A claim must not be let go of unsettled: while this
/// process lives, nobody else may take it for abandoned.
async fn surely<T, D>(home: &Home, mut ask: impl FnMut() -> D) -> T
where
    D: Future<Output = Result<T, StoreError>>,
{
    let mut pause = Duration::from_millis(50);
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(error) => home.failed(&error),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

struct Work<'a> {
    home: &'a Home,
    entry: &'a Entry,
    intent: Intent,
}

impl Work<'_> {
    async fn apply(&self, freezer: &impl Freezer, runner: &impl Runner, note: Note) -> Finished {
        let (home, intent) = (self.home, &self.intent);
        let setup = home.setup.load_full();
        let route = setup.rules(intent);
        let rules = Rules { route: &route, settings: &setup.settings, chance: &home.chance };
        let mut finished = Finished { id: self.entry.id, sent: false, unknown: false, held: None };
        if home.age(intent) >= setup.settings.ttl {
            self.settle(rules.expired(note), false).await;
            return finished;
        }
        let opened = freezer.open_since(&intent.route, &intent.upstream, intent.tenant.as_deref());
        let now = Instant::now();
        let wait = match opened.map(|opened| opened + setup.settings.soak) {
            None => Some(HELD),
            Some(soaked) if soaked > now => Some(soaked - now),
            Some(_) => None,
        };
        if let Some(wait) = wait {
            finished.held = self.hold(&rules, note, wait, Duration::ZERO).await;
            return finished;
        }
        let known = match self.prepare(&setup) {
            Ok(prepared) => {
                home.metrics.sent(&intent.route);
                outcome::known(runner.run(prepared).await, &route)
            }
            Err(error) => Known::NotApplied { why: error.to_string().into(), answer: None, asked: None },
        };
        if known == Known::Frozen {
            // Whoever says what is frozen may know it a moment later than the freeze itself.
            finished.held = self.hold(&rules, note, HELD, LOOK).await;
            return finished;
        }
        finished.sent = true;
        finished.unknown = matches!(known, Known::Unknown(_));
        if let Known::Unknown(why) | Known::NotApplied { why, .. } = &known {
            tracing::info!(intent = %self.entry.id.to_text(), route = &*intent.route, why = &**why, "not applied");
        }
        self.settle(rules.after(known, note), true).await;
        finished
    }

    /// Puts it back where it stood; nothing was sent.
    async fn hold(&self, rules: &Rules<'_>, note: Note, delay: Duration, least: Duration) -> Option<Held> {
        let tag = self.settle(rules.queued(note.clone(), delay), false).await?;
        Some(Held::new(tag, delay, least, &self.intent, note))
    }

    fn prepare(&self, setup: &Setup) -> Result<Prepared, StoreError> {
        let intent = &self.intent;
        let mut request = intent.request()?;
        request.extensions_mut().insert(Backfill(self.entry.id));
        let headers = request.headers_mut();
        for (name, value) in &setup.settings.headers {
            headers.insert(name.clone(), value.clone());
        }
        // A key that was derived from elsewhere in the request goes along too.
        let name = HeaderName::from_static("idempotency-key");
        if !headers.contains_key(&name)
            && let Ok(value) = HeaderValue::from_str(&format!("\"{}\"", intent.key))
        {
            headers.insert(name, value);
        }
        Ok(Prepared {
            id: self.entry.id,
            route: intent.route.clone(),
            upstream: intent.upstream.clone(),
            tenant: intent.tenant.clone(),
            request_id: intent.request_id.clone(),
            key: intent.key.clone(),
            request,
            max_answer: setup.settings.max_answer,
        })
    }

    /// Makes the step, however long the store is away; the tag it was made under, if it was.
    ///
    /// An entry that was given up meanwhile and has not been claimed again may still be told
    /// what became of it (`late`); once another has claimed it, this one is fenced off.
    async fn settle(&self, step: Step, sent: bool) -> Option<Tag> {
        let tag = Tag::draw(&self.home.chance);
        let home = self.home;
        let stepped = surely(home, || home.step(self.entry, &self.intent, &step, tag)).await;
        let Stepped::Overtaken(found) = stepped else { return Some(tag) };
        home.metrics.late();
        let late = found.filter(|found| sent && self.is_still_mine(found))?;
        let note = Note::decode(&late.note).ok()?;
        let step = late_step(step, &note)?;
        let tag = Tag::draw(&home.chance);
        match surely(home, || home.step(&late, &self.intent, &step, tag)).await {
            Stepped::Done => Some(tag),
            Stepped::Overtaken(_) | Stepped::FenceTaken => None,
        }
    }

    /// Whether this attempt is the newest that an entry has seen.
    fn is_still_mine(&self, found: &Entry) -> bool {
        let given_up = Note::decode(&found.note).is_ok_and(|note| note.given_up == Some(self.entry.tag));
        given_up && matches!(found.state, EntryState::InDoubt | EntryState::Queued)
    }
}

/// What is left of a step for an entry that was given up with this note.
fn late_step(step: Step, given_up: &Note) -> Option<Step> {
    // It was counted as an attempt when it was given up.
    let note =
        Note { attempts: given_up.attempts, tries: given_up.tries, fence: given_up.fence, ..step.note };
    match step.state {
        // Known no better than before.
        EntryState::InDoubt => None,
        EntryState::Queued => Some(Step { note, fence: FenceMove::Defer, ..step }),
        _ => Some(Step { note, ..step }),
    }
}

impl Setup {
    /// What must be known of the intent's route; of one that is gone, what was known when the
    /// intent came.
    pub(crate) fn rules(&self, intent: &Intent) -> RouteRules {
        self.routes.get(&intent.route).cloned().unwrap_or_else(|| RouteRules {
            fence_ttl: Duration::from_millis(intent.fence_ttl_ms),
            ..RouteRules::default()
        })
    }
}

impl Home {
    /// How long an intent has been kept.
    pub(crate) fn age(&self, intent: &Intent) -> Duration {
        Duration::from_millis(self.clock.unix_millis().saturating_sub(intent.created_ms))
    }
}
