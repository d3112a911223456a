use proptest::prelude::*;

use super::{LEAST, Learned, MOST, MOST_FACTOR, Raise, WINDOW, more, part};
use crate::budget::Estimate;

fn nanos(seconds: u64) -> u64 {
    seconds * 1_000_000_000
}

const LONG: u64 = WINDOW.as_secs();

fn estimate(prompt: u64, output: u64, limited: bool) -> Estimate {
    Estimate { prompt, output, limited }
}

fn raised(learned: &Learned, estimate: Estimate, now: u64) -> (u64, u64) {
    let raised = learned.raise(now).of(estimate, u64::MAX);
    (raised.prompt, raised.output)
}

#[test]
fn what_one_shows_is_expected_of_the_next() {
    let learned = Learned::default();
    let chat = estimate(1000, 500, true);
    assert!(learned.note(chat, Some(1750), 100, 0));
    assert_eq!(raised(&learned, chat, 0), (1750, 500), "an answer within its maximum shows nothing");
    assert_eq!(raised(&learned, estimate(4000, 0, true), 0), (7000, 0), "there is no answer to raise");
    // What is smaller changes nothing, and nothing is ever lowered.
    assert!(!learned.note(chat, Some(1200), 0, 0));
    assert!(!learned.note(chat, Some(3), 0, 0));
    assert_eq!(raised(&learned, chat, 0), (1750, 500));
}

#[test]
fn answers_with_a_maximum_and_without_are_told_apart() {
    let learned = Learned::default();
    let (limited, open) = (estimate(0, 1000, true), estimate(0, 1000, false));
    learned.note(open, None, 3000, 0);
    assert_eq!((raised(&learned, limited, 0).1, raised(&learned, open, 0).1), (1000, 3000));
    learned.note(limited, None, 1100, 0);
    let at_least = raised(&learned, limited, 0).1;
    assert!((1100..=1101).contains(&at_least), "{at_least}");
    let raise = learned.raise(0);
    assert_eq!((raise.prompt(), raise.output(false)), (1.0, 3.0));
    assert!((raise.output(true) - 1.1).abs() < 0.001);
}

#[test]
fn a_few_words_that_cost_thirty_tokens_say_little_of_a_long_text() {
    let learned = Learned::default();
    learned.note(estimate(6, 0, true), Some(38), 0, 0);
    assert_eq!(raised(&learned, estimate(6, 0, true), 0).0, 38);
    assert_eq!(raised(&learned, estimate(12_800, 0, true), 0).0, 16_000);
}

#[test]
fn it_holds_for_a_window_then_halves_and_is_gone_in_the_end() {
    let prompt = estimate(4096, 0, true);
    for begun in [0, 1, LONG / 2, LONG - 1, 7 * LONG, 8 * LONG - 1] {
        let learned = Learned::default();
        learned.note(prompt, Some(3 * 4096), 0, nanos(begun));
        let at = |seconds| raised(&learned, prompt, nanos(seconds)).0 - 4096;
        let end = (begun / LONG + 1) * LONG;
        assert_eq!(
            [at(begun), at(begun + LONG), at(end + LONG), at(end + 2 * LONG)],
            [8192, 8192, 4096, 2048]
        );
        assert_eq!(at(end + LONG - 1), 8192);
        assert_eq!(at(end + 15 * LONG), 0, "not for ever by a token");
    }
}

#[test]
fn what_is_smaller_is_known_when_the_larger_has_faded() {
    let (learned, prompt) = (Learned::default(), estimate(4096, 0, true));
    learned.note(prompt, Some(3 * 4096), 0, 0);
    assert!(!learned.note(prompt, Some(2 * 4096 + 1000), 0, nanos(LONG)));
    let at = |windows| raised(&learned, prompt, nanos(windows * LONG)).0 - 4096;
    assert_eq!([at(1), at(2), at(3)], [8192, 5096, 2548]);
}

#[test]
fn no_factor_is_past_the_most_and_no_sum_past_what_fits() {
    let learned = Learned::default();
    let asked = estimate(1000, 1000, true);
    learned.note(asked, Some(u64::MAX), u64::MAX, 0);
    assert_eq!(raised(&learned, asked, 0), (4000, 4000));
    assert_eq!(learned.raise(0).prompt, MOST);
    for most in [2000, 2001, 4999, 5000, 5001, 7999, 8000] {
        assert_eq!(learned.raise(0).of(asked, most).total(), most);
    }
    assert_eq!(learned.raise(0).of(asked, 100), asked, "what does not fit anyway stays as it is");
    let huge = estimate(u64::MAX, u64::MAX, true);
    assert_eq!(learned.raise(0).of(huge, u64::MAX), huge);
}

proptest! {
    #[test]
    fn what_was_shown_is_covered_as_long_as_it_is_not_past_the_most(
        tokens in 1u64..1_000_000,
        past in 0u64..3_000_000,
    ) {
        let shown = part(tokens, tokens + past);
        prop_assert!(shown <= MOST);
        if past <= u64::from(MOST_FACTOR - 1) * tokens.max(LEAST) {
            prop_assert!(more(tokens, shown) >= past);
            // Rounding up costs a token, and one for each 4096 of the estimate.
            prop_assert!(more(tokens, shown) <= past + 1 + tokens.max(LEAST).div_ceil(4096));
        }
    }

    #[test]
    fn it_never_lowers_fades_and_is_the_largest_of_what_is_left(
        history in prop::collection::vec((0u64..LONG, 1u64..5000, 0u64..20_000, 0u64..9000, any::<bool>()), 1..40),
        later in 0u64..20 * LONG,
    ) {
        let (learned, mut now) = (Learned::default(), 0);
        let mut shown: Vec<(u64, u16)> = Vec::new();
        for (gap, size, told, output, limited) in history {
            now += nanos(gap);
            let asked = estimate(size, size, limited);
            let before = learned.raise(now);
            learned.note(asked, Some(told), output, now);
            let after = learned.raise(now);
            prop_assert_eq!(before.least(after), before, "an answer takes nothing back");
            shown.push((now, part(size, told)));
            // The same again would be covered, or the factor is at its most.
            let again = after.of(asked, u64::MAX);
            prop_assert!(again.prompt >= told || after.prompt == MOST);
            prop_assert!(again.prompt >= size && again.output >= size);
            prop_assert!(after.prompt() >= 1.0 && after.prompt() <= f64::from(MOST_FACTOR));
            // What each has left by itself: the factor is as large as the largest.
            let window = |at: u64| at / nanos(LONG);
            let left = |(at, part): &(u64, u16)| {
                part.checked_shr(u32::try_from((window(now) - window(*at)).saturating_sub(1)).unwrap()).unwrap_or(0)
            };
            prop_assert_eq!(after.prompt, shown.iter().map(left).max().unwrap());
        }
        let (then, faded) = (learned.raise(now), learned.raise(now + nanos(later)));
        prop_assert_eq!(faded.least(then), faded);
        prop_assert_eq!(learned.raise(now + nanos(20 * LONG)), Raise::default());
    }
}
