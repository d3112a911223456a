//! The fields `RateLimit-Policy` and `RateLimit`, as
//! draft-ietf-httpapi-ratelimit-headers-11 (May 2026) has them: Structured Fields, each a list
//! of strings with parameters.
//!
//! A policy's `q` is the burst and its `w` the time in which an empty bucket fills, in whole
//! seconds, rounded up. That is a promise that holds: a client that sends no more than `q` in
//! any `w` is never refused by that bucket. In `RateLimit`, `r` is what is left, in whole
//! tokens, and `t` the time until the bucket is full, rounded up: who spends no more than `r`
//! in it is not refused by that bucket. In a refusal `t` is the wait itself, so that
//! `Retry-After` does not point before its end (section 6).

use std::{io::Write as _, time::Duration};

use http::{HeaderName, HeaderValue};

use super::{charge::Kind, rate::Rate};

/// What may be used. An upstream may send this field too: add to it, and do not replace it.
pub const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// What is left. An upstream may send this field too: add to it, and do not replace it.
pub const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// Seconds, rounded up.
fn seconds(span: Duration) -> u64 {
    span.as_secs().saturating_add(u64::from(span.subsec_nanos() > 0))
}

/// `"tenant";q=100;w=2, "route";q=500;w=5`; nothing where there is no bucket to name.
pub(super) fn policy(buckets: impl Iterator<Item = (Kind, Rate)>) -> Option<HeaderValue> {
    list(buckets.map(|(kind, rate)| (kind, ("q", rate.burst()), ("w", seconds(rate.refill())))))
}

/// `"tenant";r=12;t=1, "route";r=480;t=1`; nothing where there is no bucket to name.
pub(super) fn rate_limit(buckets: impl Iterator<Item = (Kind, u32, Duration)>) -> Option<HeaderValue> {
    list(buckets.map(|(kind, left, window)| (kind, ("r", left), ("t", seconds(window)))))
}

/// Two items with the longest numbers, of 10 and 20 digits, fit with room to spare.
const LONGEST: usize = 128;

type Item = (Kind, (&'static str, u32), (&'static str, u64));

fn list(items: impl Iterator<Item = Item>) -> Option<HeaderValue> {
    let mut text = [0; LONGEST];
    let mut room = text.as_mut_slice();
    for (kind, (amount, units), (window, span)) in items {
        let comma = if room.len() == LONGEST { "" } else { ", " };
        write!(room, "{comma}\"{}\";{amount}={units};{window}={span}", kind.as_str()).ok()?;
    }
    let written = LONGEST - room.len();
    if written == 0 {
        return None;
    }
    HeaderValue::from_bytes(&text[..written]).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{policy, rate_limit};
    use crate::buckets::{Kind, Rate};

    #[test]
    fn policies_name_the_burst_and_the_time_it_takes_to_fill() {
        let rate = |rps, burst| Rate::new(rps, burst).unwrap();
        let text = policy([(Kind::Tenant, rate(50.0, 100)), (Kind::Route, rate(30.0, 100))].into_iter());
        assert_eq!(text.unwrap(), "\"tenant\";q=100;w=2, \"route\";q=100;w=4");
        let text = policy([(Kind::Route, rate(50.0, 5))].into_iter());
        assert_eq!(text.unwrap(), "\"route\";q=5;w=1", "a window is never 0");
        assert_eq!(policy([].into_iter()), None);
    }

    #[test]
    fn the_longest_numbers_have_room() {
        let longest = |kind| (kind, u32::MAX, Duration::MAX);
        let text = rate_limit([longest(Kind::Tenant), longest(Kind::Route)].into_iter()).unwrap();
        assert!(text.to_str().unwrap().ends_with(";r=4294967295;t=18446744073709551615"), "{text:?}");
    }

    #[test]
    fn what_is_left_is_whole_and_its_window_rounded_up() {
        let text = rate_limit([(Kind::Tenant, 7, Duration::from_millis(1001))].into_iter());
        assert_eq!(text.unwrap(), "\"tenant\";r=7;t=2");
    }
}
