//! How long to wait before a request is sent again.
//!
//! Clients that failed together must not come back together: the pause is drawn evenly between
//! nothing and a limit that doubles with each try ("full jitter", Marc Brooker, "Exponential
//! Backoff And Jitter", AWS Architecture Blog 2015). What the upstream asked for in `Retry-After`
//! is the least that is waited.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderValue, header};
use sluicegate_core::Chance;

use super::Retries;

/// The pause after so many tries.
pub(crate) fn pause(retries: &Retries, tries: u32, chance: &Chance) -> Duration {
    let doubled = 1u32.checked_shl(tries.saturating_sub(1)).unwrap_or(u32::MAX);
    let limit = retries.base.saturating_mul(doubled).min(retries.cap);
    let micros = u64::try_from(limit.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(chance.below(micros.saturating_add(1)))
}

/// What `Retry-After` asks for (RFC 9110 section 10.2.3): seconds, or a moment. A moment is taken
/// against the answer's own `Date`, so that the two clocks need not agree; without one against
/// `now`. What cannot be read asks for nothing.
pub(crate) fn asked(headers: &HeaderMap, now: impl FnOnce() -> SystemTime) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than a number has are more seconds than anybody waits.
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::from(u32::MAX))));
    }
    let then = httpdate::parse_http_date(text).ok()?;
    let date = headers.get(header::DATE).and_then(moment).unwrap_or_else(now);
    Some(then.duration_since(date).unwrap_or_default())
}

fn moment(value: &HeaderValue) -> Option<SystemTime> {
    httpdate::parse_http_date(value.to_str().ok()?.trim()).ok()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use http::{HeaderMap, HeaderValue};
    use proptest::prelude::*;
    use sluicegate_core::Chance;

    use super::{Retries, asked, pause};

    const RETRIES: Retries =
        Retries { tries: 10, base: Duration::from_millis(250), cap: Duration::from_secs(10), budget: 0.2 };

    #[test]
    fn a_pause_is_drawn_evenly_below_a_doubling_limit() {
        let chance = Chance::seeded(1);
        for (tries, limit) in [(1, 250), (2, 500), (3, 1000), (6, 8000), (7, 10_000), (40, 10_000)] {
            let drawn: Vec<_> = (0..4000).map(|_| pause(&RETRIES, tries, &chance)).collect();
            let limit = Duration::from_millis(limit);
            assert!(drawn.iter().all(|pause| *pause <= limit));
            let mean = drawn.iter().sum::<Duration>() / 4000;
            assert!(mean > limit * 9 / 20 && mean < limit * 11 / 20, "{mean:?} of {limit:?}");
        }
    }

    fn ask(fields: &[(&'static str, &str)]) -> Option<Duration> {
        let fields = fields.iter().map(|(name, value)| {
            (http::HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        });
        // Sun, 06 Nov 1994 08:49:37 GMT
        asked(&fields.collect::<HeaderMap>(), || UNIX_EPOCH + Duration::from_secs(784_111_777))
    }

    #[test]
    fn retry_after_is_read_in_both_forms() {
        let table = [
            ("0", Some(0)),
            ("120", Some(120)),
            (" 7 ", Some(7)),
            ("Sun, 06 Nov 1994 08:49:47 GMT", Some(10)),
            ("Sunday, 06-Nov-94 08:49:47 GMT", Some(10)),
            ("Sun Nov  6 08:49:47 1994", Some(10)),
            ("Sun, 06 Nov 1994 08:49:00 GMT", Some(0)),
            ("99999999999999999999999", Some(u64::from(u32::MAX))),
            ("", None),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
        ];
        for (text, seconds) in table {
            assert_eq!(ask(&[("retry-after", text)]), seconds.map(Duration::from_secs), "{text:?}");
        }
        assert_eq!(ask(&[]), None);
    }

    #[test]
    fn a_moment_is_taken_against_the_date_of_the_answer() {
        let fields =
            [("date", "Sun, 06 Nov 1994 09:00:00 GMT"), ("retry-after", "Sun, 06 Nov 1994 09:00:30 GMT")];
        assert_eq!(ask(&fields), Some(Duration::from_secs(30)));
    }

    proptest! {
        #[test]
        fn no_field_panics(value in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                let headers = HeaderMap::from_iter([(http::header::RETRY_AFTER, value)]);
                let _ = asked(&headers, std::time::SystemTime::now);
            }
        }

        #[test]
        fn no_number_of_tries_passes_the_cap(tries: u32, base in 1..u64::MAX, cap in 1..u64::MAX, seed: u64) {
            let (base, cap) = (Duration::from_nanos(base), Duration::from_nanos(cap));
            let retries = Retries { base, cap, ..RETRIES };
            prop_assert!(pause(&retries, tries, &Chance::seeded(seed)) <= cap);
        }
    }
}
