//! What an attempt means for its intent: the one place of that logic.
//!
//! | it came to | the intent | its fence |
//! |---|---|---|
//! | 2xx, 3xx | applied | sealed with the answer |
//! | a status by which nothing was applied, a refusal of the gateway | queued, after a pause; dead when its tries are used up | stays; released |
//! | another 4xx | dead | sealed with the answer |
//! | anything else: another 5xx, no whole answer | in doubt; queued again where the upstream honours keys | unknown; stays |
//! | a freeze | queued | stays |
//!
//! Where the fate of an earlier attempt is unknown, an intent whose tries are used up, or that
//! is too old, is in doubt and neither dead nor expired: the earlier one may yet be applied.

use std::time::Duration;

use http::{HeaderMap, header};
use sluicegate_core::Chance;
use sluicegate_store::{
    EntryState,
    fence::{StoredAnswer, StoredBody},
};

use crate::{answer, input::IntentsSettings, intent::Note, outside::RunOutcome, plan::RouteRules};

/// Longer than any intent is kept: the fence of one that is not settled must not expire. Each
/// end of an intent gives its fence another life, or none.
pub(crate) const UNSETTLED: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

/// How long an intent that a freeze covers is left alone; it is taken up at once when the
/// freeze is over.
pub(crate) const HELD: Duration = Duration::from_secs(60);

/// The longest pause that an upstream may ask for by `Retry-After`.
const LONGEST_ASKED: Duration = Duration::from_secs(3600);

/// A step of an intent.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Step {
    pub(crate) state: EntryState,
    pub(crate) note: Note,
    /// Not to be taken up again before this has passed; for `Queued`.
    pub(crate) delay: Duration,
    /// How long it is kept; for states that are over.
    pub(crate) keep: Duration,
    pub(crate) fence: FenceMove,
}

/// What a step does to the fence of the intent's key.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum FenceMove {
    /// Nothing.
    Stay,
    /// It says again that the write is kept.
    Defer,
    /// It has this answer, for so long.
    Seal(StoredAnswer, Duration),
    /// It is removed: the key is free.
    Release,
    /// Nobody knows, for this reason and so long.
    Unknown(Box<str>, Duration),
}

/// What an attempt came to.
#[derive(Debug, PartialEq)]
pub(crate) enum Known {
    Applied(StoredAnswer),
    Refused(StoredAnswer),
    NotApplied { why: Box<str>, answer: Option<StoredAnswer>, asked: Option<Duration> },
    Unknown(Box<str>),
    Frozen,
}

/// What the outcome of a run says.
pub(crate) fn known(outcome: RunOutcome, rules: &RouteRules) -> Known {
    let not_applied = |why: &str| Known::NotApplied { why: why.into(), answer: None, asked: None };
    match outcome {
        RunOutcome::Frozen => Known::Frozen,
        RunOutcome::NoRoute => not_applied("the configuration has no such route any more"),
        RunOutcome::Refused(why) => not_applied(&why),
        RunOutcome::Unknown(why) => Known::Unknown(why),
        RunOutcome::Answered(response) => {
            let asked = asked_pause(response.headers());
            let status = response.status();
            let answer = answer::stored(response);
            let words = || format!("the upstream answered {status}").into();
            if rules.not_applied.contains(&status.as_u16()) {
                Known::NotApplied { why: words(), answer: Some(answer), asked }
            } else if status.is_success() || status.is_redirection() {
                Known::Applied(answer)
            } else if status.is_client_error() {
                Known::Refused(answer)
            } else {
                Known::Unknown(words())
            }
        }
    }
}

/// `Retry-After` in seconds.
fn asked_pause(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_ASKED))
}

/// What the rules are by which a step is chosen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules<'a> {
    pub(crate) route: &'a RouteRules,
    pub(crate) settings: &'a IntentsSettings,
    pub(crate) chance: &'a Chance,
}

impl Rules<'_> {
    /// The step after an attempt.
    pub(crate) fn after(&self, known: Known, note: Note) -> Step {
        let tried =
            Note { attempts: note.attempts + 1, tries: note.tries + 1, given_up: None, ..note.clone() };
        match known {
            // Nothing was sent.
            Known::Frozen => self.queued(note, HELD),
            Known::Applied(answer) => Step {
                note: Note { answer: Some(answer.clone()), error: None, ..tried },
                fence: FenceMove::Seal(answer, self.route.fence_ttl),
                ..self.over(EntryState::Applied)
            },
            Known::Refused(answer) => Step {
                note: Note {
                    error: Some(format!("the upstream refused it with {}", answer.status).into()),
                    answer: Some(answer.clone()),
                    ..tried
                },
                fence: FenceMove::Seal(answer, self.route.fence_ttl),
                ..self.dead()
            },
            Known::NotApplied { why, answer, asked } => {
                let last = tried.tries >= self.settings.backfill.tries;
                let pause = self.pause(tried.tries).max(asked.unwrap_or_default());
                let note = Note { error: Some(why), answer, ..tried };
                if last && note.doubtful {
                    self.in_doubt(note)
                } else if last {
                    Step { note, fence: FenceMove::Release, ..self.dead() }
                } else {
                    self.queued(Note { answer: None, ..note }, pause)
                }
            }
            Known::Unknown(why) => self.unknown(why, tried),
        }
    }

    /// The step after an attempt whose holder is gone.
    pub(crate) fn abandoned(&self, why: &str, note: Note) -> Step {
        self.unknown(why.into(), Note { attempts: note.attempts + 1, tries: note.tries + 1, ..note })
    }

    fn unknown(&self, why: Box<str>, note: Note) -> Step {
        let pause = self.pause(note.tries);
        let again = self.route.honours_keys && note.tries < self.settings.backfill.tries;
        let note = Note { error: Some(why), doubtful: true, ..note };
        if again { self.queued(note, pause) } else { self.in_doubt(note) }
    }

    /// It may have been applied, and nobody knows.
    fn in_doubt(&self, note: Note) -> Step {
        let fence = FenceMove::Unknown(note.doubt(), UNSETTLED);
        let note = Note { answer: None, ..note };
        Step { note, fence, ..self.over(EntryState::InDoubt) }
    }

    /// It waits, for `delay` at least.
    pub(crate) fn queued(&self, note: Note, delay: Duration) -> Step {
        Step { note, delay, fence: FenceMove::Stay, ..self.over(EntryState::Queued) }
    }

    /// It waited for too long.
    pub(crate) fn expired(&self, note: Note) -> Step {
        let error = Some("it waited for longer than `intents.ttl`".into());
        let note = Note { error, ..note };
        if note.doubtful {
            return self.in_doubt(note);
        }
        Step { note, fence: FenceMove::Release, ..self.over(EntryState::Expired) }
    }

    /// A dead intent may be taken up again by an operator for as long as its key is remembered,
    /// and no longer: a key that was forgotten may have been used again unseen.
    pub(crate) fn dead(&self) -> Step {
        Step { keep: self.settings.keep.min(self.route.fence_ttl), ..self.over(EntryState::Dead) }
    }

    pub(crate) fn over(&self, state: EntryState) -> Step {
        Step {
            state,
            note: Note::default(),
            delay: Duration::ZERO,
            keep: self.settings.keep,
            fence: FenceMove::Stay,
        }
    }

    /// The pause before the next try after so many: full jitter, since what failed together
    /// must not come back together ("Exponential Backoff And Jitter", AWS Architecture Blog).
    pub(crate) fn pause(&self, tries: u32) -> Duration {
        pause(self.settings.backfill.base, self.settings.backfill.cap, tries, self.chance)
    }
}

/// From nothing to `base`, doubled with each try after the first, and at most `cap`.
pub(crate) fn pause(base: Duration, cap: Duration, tries: u32, chance: &Chance) -> Duration {
    let doubled = 1u32.checked_shl(tries.saturating_sub(1)).unwrap_or(u32::MAX);
    let most = base.saturating_mul(doubled).min(cap);
    let millis = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(chance.below(millis.saturating_add(1)))
}

/// The answer of which an operator knows only the status.
pub(crate) fn told(status: u16) -> StoredAnswer {
    let why = "an operator settled the write; its answer is not known";
    StoredAnswer { status, headers: Vec::new(), body: StoredBody::NotKept(why.into()), trailers: Vec::new() }
}

#[cfg(test)]
mod tests;
