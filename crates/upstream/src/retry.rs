//! Sending a request again, where that is safe and worth it.
//!
//! A try that failed may be followed by another one at the same upstream. Four questions decide,
//! each in a file of its own, and each answer alone can end the matter:
//!
//! - *May it?* ([`policy`]) Only what cannot do anything twice: reads, writes whose key carries
//!   that far ([`Repeat`](sluicegate_core::Repeat)), and what never reached the upstream. The body
//!   must be at hand: a read's is kept while it streams, up to 64 KiB; a write with a key is in
//!   memory already. A body that waits for `100 Continue` is kept by nobody, and a connection that
//!   asks for an upgrade is not opened twice.
//! - *When?* ([`pause`]) After a pause with full jitter, and not before `Retry-After`. A pause that
//!   ends past the request's deadline is not begun: the client gets the answer that there is. So
//!   the time for all tries together stays within the deadline.
//! - *Does it help?* The next try goes to an endpoint that was not tried, where there is one. Where
//!   the breakers let nobody through by then, none is made.
//! - *Can the upstream bear it?* ([`budget`]) A share of its requests, and a few per second.
//!
//! What the way to the upstream does on its own is not counted here. A connection that cannot be
//! had is tried at the other endpoints at once: nobody is asked twice. A read whose pooled
//! connection died under it goes to a fresh one, once: an upstream that fails leaves none behind.
//!
//! # What is promised
//!
//! - A write without a key is never sent again once a byte of it may have gone out.
//! - What a write with a key was answered does not become less known by another try: a try of which
//!   nobody knows what it did is remembered in the request's
//!   [`Attempt`](sluicegate_core::Attempt), whatever becomes of the tries after it.
//! - At a full outage the upstream is asked at most `1 + budget` times as often as without retries,
//!   from 15 requests per second on; below that three more per second. The breakers end even that
//!   after a few failures.
//! - A request that is not sent again costs nothing for it but the copy of its head, into a buffer
//!   that is used again and again, and one count.
//!
//! # What fails how
//!
//! Where another try is not made the client gets the last answer, or the refusal that the last
//! failure stands for. An answer that is given up for another try is dropped; its connection is
//! closed unless the answer had no body.
//!
//! # Metrics
//!
//! | metric | says |
//! |---|---|
//! | `sluicegate_upstream_retries_total{upstream,reason}` | requests sent again, by what ended the try before |
//! | `sluicegate_upstream_retries_withheld_total{upstream,why}` | tries that were allowed and not made: `budget` (spent), `deadline` (no time left), `breaker` (no endpoint takes it), `body` (not at hand any more) |

pub(crate) mod budget;
pub(crate) mod pause;
pub(crate) mod policy;

use std::time::Duration;

use crate::{input::RetriesInput, settings::SettingsError};

/// How often, and how soon, a request is sent again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Retries {
    /// Tries in all; 1 sends nothing again.
    pub tries: u32,
    /// The limit of the first pause.
    pub base: Duration,
    /// The limit of any pause.
    pub cap: Duration,
    /// Retries as a share of an upstream's requests.
    pub budget: f64,
}

impl Retries {
    /// Nothing is sent again.
    pub const OFF: Self = Self { tries: 1, base: Duration::ZERO, cap: Duration::ZERO, budget: 0.0 };
    /// The most tries that make sense: with the default pauses the tenth comes after a minute.
    const MOST: u32 = 10;

    /// Checks what the document says. Paths of errors begin below `retries`.
    pub fn check(input: &RetriesInput) -> Result<Self, Vec<SettingsError>> {
        let mut errors = Vec::new();
        if !(1..=Self::MOST).contains(&input.tries) {
            let message = format!(
                "{} tries cannot be made; write a number from 1 (nothing is sent again) to {}",
                input.tries,
                Self::MOST
            );
            errors.push(SettingsError::at("tries", message));
        }
        if input.base.0.is_zero() {
            let message = "requests sent again at once meet the same failure; write a pause such as 250ms";
            errors.push(SettingsError::at("base", message.to_owned()));
        }
        if input.cap < input.base {
            let message =
                format!("`{}` is shorter than `base`, {}; make it as long at least", input.cap, input.base);
            errors.push(SettingsError::at("cap", message));
        }
        if !(0.0..=1.0).contains(&input.budget) {
            let message = format!(
                "{} is not a share of requests; write a number from 0 to 1, such as 0.2",
                input.budget
            );
            errors.push(SettingsError::at("budget", message));
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let RetriesInput { tries, base, cap, budget } = *input;
        Ok(Self { tries, base: base.0, cap: cap.0, budget })
    }
}

/// Why a try that was allowed is not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Withheld {
    /// The upstream has had its share of retries.
    Budget,
    /// There is no time left for it.
    Deadline,
    /// No endpoint would take it.
    Breaker,
    /// What was read of the body is not at hand any more.
    Body,
}

impl Withheld {
    /// Every reason as metrics name it, in the order of the variants.
    pub(crate) const NAMES: [&str; 4] = ["budget", "deadline", "breaker", "body"];
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sluicegate_core::units::Span;

    use super::Retries;
    use crate::input::RetriesInput;

    #[test]
    fn the_defaults_stand_and_nonsense_is_named() {
        let expected =
            Retries { tries: 3, base: Duration::from_millis(250), cap: Duration::from_secs(10), budget: 0.2 };
        assert_eq!(Retries::check(&RetriesInput::default()), Ok(expected));
        let nonsense =
            RetriesInput { tries: 0, base: Span::default(), cap: Span::default(), budget: f64::NAN };
        let errors = Retries::check(&nonsense).unwrap_err();
        assert_eq!(errors.iter().map(|error| &*error.path).collect::<Vec<_>>(), ["tries", "base", "budget"]);
        let short =
            RetriesInput { cap: Span::millis(100), tries: 11, budget: 1.5, ..RetriesInput::default() };
        let errors = Retries::check(&short).unwrap_err();
        assert_eq!(errors.iter().map(|error| &*error.path).collect::<Vec<_>>(), ["tries", "cap", "budget"]);
    }
}
