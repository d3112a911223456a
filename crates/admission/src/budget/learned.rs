//! By how much estimates fall short, learned from what answers tell.
//!
//! An estimate goes by bytes, and what a text really takes hangs on its script, its model and
//! what the provider puts around it; an answer goes past its request's maximum where a provider
//! does not look at it. While fifty requests run, fifty such errors are out at once. So the
//! largest error of late is added to each estimate before it is reserved.
//!
//! # What is kept
//!
//! For each of three estimates a *peak*: of prompts, of answers whose request names a maximum,
//! and of answers whose request names none. It is the largest part of its estimate by which an
//! answer has passed it in this [`WINDOW`] and the last; of what is older, half with each window more.
//!
//! A maximum, because a mean would be passed by every second request; over two windows, as BBR keeps
//! the largest bandwidth of this cycle and the last (draft-ietf-ccwg-bbr, `MaxBwFilter`), so
//! that what was shown holds in full for a time in which a crowd may come; fading, because the largest of all times never forgets
//! the one odd prompt. It fades with time and not with the number of answers, because a
//! tenant whose prompts are estimated well would else make the gateway forget those of the others. A
//! window is long beside an answer and short beside a day: within two hours an odd prompt is down to a thousandth.
//!
//! # Its bounds
//!
//! - Never below nothing: an estimate is raised and never lowered. What it was too high by is
//!   given back in the end anyway.
//! - At most [`MOST_FACTOR`] times: tokenizers that know every byte have no token of less than
//!   one, and an estimate counts four bytes as one. Only what is not in the request at all (a
//!   remembered conversation) takes more.
//! - What is below [`LEAST`] tokens counts as so many, in learning and in raising: what templates
//!   and system prompts add does not grow with the prompt, and three words that cost
//!   thirty tokens say nothing of a long text.

use std::time::Duration;

use parking_lot::Mutex;

use super::estimate::Estimate;

/// The most an estimate is multiplied by.
pub const MOST_FACTOR: u16 = 4;

/// What was learned holds for this long at least and twice as long at most, and then halves each
/// time.
pub const WINDOW: Duration = Duration::from_secs(600);

/// The smallest estimate that is told apart, in tokens: half a kilobyte of text.
const LEAST: u64 = 128;

/// Parts are told in so many of one.
const UNIT: u16 = 4096;

const MOST: u16 = (MOST_FACTOR - 1) * UNIT;

/// What estimates are raised by, at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Raise {
    prompt: u16,
    limited: u16,
    open: u16,
}

impl Raise {
    /// What a prompt's estimate is multiplied by, at least 1.
    #[must_use]
    pub fn prompt(self) -> f64 {
        factor(self.prompt)
    }

    /// What an answer's is, where its request names a maximum (`limited`) or where it does not.
    #[must_use]
    pub fn output(self, limited: bool) -> f64 {
        factor(if limited { self.limited } else { self.open })
    }

    /// `estimate`, raised; but not past `most` in all, which fits it as it is.
    pub(super) fn of(self, estimate: Estimate, most: u64) -> Estimate {
        let room = most.saturating_sub(estimate.total());
        let prompt = more(estimate.prompt, self.prompt).min(room);
        let part = if estimate.limited { self.limited } else { self.open };
        let output = more(estimate.output, part).min(room - prompt);
        Estimate { prompt: estimate.prompt + prompt, output: estimate.output + output, ..estimate }
    }

    /// The smaller of two, part by part.
    pub(super) fn least(self, other: Self) -> Self {
        Self {
            prompt: self.prompt.min(other.prompt),
            limited: self.limited.min(other.limited),
            open: self.open.min(other.open),
        }
    }
}

fn factor(part: u16) -> f64 {
    1.0 + f64::from(part) / f64::from(UNIT)
}

/// What `part` adds to an estimate.
fn more(tokens: u64, part: u16) -> u64 {
    if tokens == 0 {
        return 0;
    }
    let more = (u128::from(tokens.max(LEAST)) * u128::from(part)).div_ceil(u128::from(UNIT));
    u64::try_from(more).unwrap_or(u64::MAX)
}

/// The part of an estimate by which `took` passes it, rounded up.
fn part(tokens: u64, took: u64) -> u16 {
    if tokens == 0 || took <= tokens {
        return 0;
    }
    let beyond = u128::from(took - tokens) * u128::from(UNIT);
    let part = beyond.div_ceil(u128::from(tokens.max(LEAST)));
    u16::try_from(part).unwrap_or(MOST).min(MOST)
}

/// What the answers of a ledger have shown. Moments are nanoseconds of its cells.
#[derive(Debug, Default)]
pub(super) struct Learned(Mutex<Peaks>);

#[derive(Debug, Default)]
struct Peaks {
    prompt: Peak,
    limited: Peak,
    open: Peak,
}

impl Learned {
    /// What estimates are raised by now.
    pub(super) fn raise(&self, now: u64) -> Raise {
        let peaks = self.0.lock();
        Raise { prompt: peaks.prompt.at(now), limited: peaks.limited.at(now), open: peaks.open.at(now) }
    }

    /// What was estimated at `estimate`, before it was raised, took a prompt of so many tokens,
    /// where that was told, and at least so many for its answer. Says whether that is more than
    /// was known.
    pub(super) fn note(&self, estimate: Estimate, prompt: Option<u64>, output: u64, now: u64) -> bool {
        let of_prompt = prompt.map_or(0, |prompt| part(estimate.prompt, prompt));
        let of_output = part(estimate.output, output);
        if of_prompt == 0 && of_output == 0 {
            return false;
        }
        let mut peaks = self.0.lock();
        let more = peaks.prompt.rise(of_prompt, now);
        let answers = if estimate.limited { &mut peaks.limited } else { &mut peaks.open };
        answers.rise(of_output, now) || more
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Peak {
    /// The window that `here` is of.
    window: u64,
    here: u16,
    before: u16,
}

impl Peak {
    fn turn(self, now: u64) -> Self {
        let window = now / u64::try_from(WINDOW.as_nanos()).unwrap_or(u64::MAX);
        let Some(more) = window.checked_sub(self.window).filter(|more| *more > 0) else { return self };
        let before = self.here.max(self.before / 2);
        let halvings = u32::try_from(more - 1).unwrap_or(u32::MAX);
        Self { window, here: 0, before: before.checked_shr(halvings).unwrap_or(0) }
    }

    fn at(self, now: u64) -> u16 {
        let turned = self.turn(now);
        turned.here.max(turned.before)
    }

    /// Says whether `part` is more than was known.
    fn rise(&mut self, part: u16, now: u64) -> bool {
        let more = part > self.at(now);
        *self = self.turn(now);
        self.here = self.here.max(part);
        more
    }
}

#[cfg(test)]
mod tests;
