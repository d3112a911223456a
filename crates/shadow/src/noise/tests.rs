use proptest::prelude::*;

use super::{ALPHA, ANY_ALPHA, CLASS_ALPHA, Counts, TESTED_CLASSES, bounds, bounds_of, excess, ln_beta};

fn counts(pairs: u64, differing: u64) -> Counts {
    Counts { pairs, differing }
}

/// The logarithm of the mixture's likelihood over that of a rate, as the definition has it.
fn evidence_against(rate: f64, n: u64, s: u64) -> f64 {
    let likelihood = |times: u64, p: f64| if times == 0 { 0.0 } else { times as f64 * p.ln() };
    // The mixture step by step: the probability of the next pair, given those before.
    let mixture: f64 = (0..n)
        .map(|seen| {
            let (hits, misses) = if seen < s { (seen, 0) } else { (s, seen - s) };
            let p_hit = (0.25 + hits as f64) / (1.0 + (hits + misses) as f64);
            if seen < s { p_hit.ln() } else { (1.0 - p_hit).ln() }
        })
        .sum();
    mixture - likelihood(s, rate) - likelihood(n - s, 1.0 - rate)
}

#[test]
fn nothing_seen_is_nothing_known() {
    let all = bounds(Counts::default(), 0.01);
    assert!(all.lower <= 0.0 && all.upper >= 1.0, "{all:?}");
    assert_eq!(Counts::default().share(), None);
    assert_eq!(counts(4, 1).share(), Some(0.25));
    assert_eq!(counts(4, 1).since(counts(3, 1)), counts(1, 0));
}

#[test]
fn figures_of_the_documentation() {
    assert!((CLASS_ALPHA * TESTED_CLASSES as f64 + ANY_ALPHA - ALPHA).abs() < 1e-12);
    let first = (1..10_000).find(|n| bounds(counts(*n, 0), 0.005).upper < 0.01).unwrap();
    assert!((700..740).contains(&first), "{first}");
    let known = 0.005_f64.ln() / 0.99_f64.ln();
    assert!((520.0..540.0).contains(&known), "{known}");
}

#[test]
fn known_values() {
    // By bisection of the definition, with the mixture as a product.
    for (n, s) in [(1, 0), (1, 1), (10, 3), (100, 50), (1000, 1), (1000, 999), (500, 500), (2000, 0)] {
        for alpha in [0.05, 0.005, CLASS_ALPHA] {
            let found = bounds(counts(n, s), alpha);
            for (bound, inside) in [(found.lower, 1.0), (found.upper, -1.0)] {
                if bound <= 0.0 || bound >= 1.0 {
                    continue;
                }
                let nudge = inside * (1e-6 * bound.min(1.0 - bound)).max(1e-14);
                let (within, without) =
                    (evidence_against(bound + nudge, n, s), evidence_against(bound - nudge, n, s));
                assert!(within < -alpha.ln() && without > -alpha.ln(), "{n} {s} {alpha}: {found:?}");
            }
        }
    }
}

#[test]
fn numbers_of_years_are_no_trouble() {
    for pairs in [1_u64 << 20, 1 << 40, 1 << 50] {
        for differing in [0, 1, pairs / 1000, pairs / 2, pairs - 1, pairs] {
            let rate = differing as f64 / pairs as f64;
            let found = bounds(counts(pairs, differing), 1e-5);
            assert!(found.lower <= rate && rate <= found.upper, "{pairs} {differing} {found:?}");
            assert!(found.upper - found.lower < 0.02, "{pairs} {differing} {found:?}");
        }
    }
    let most = bounds(counts(u64::MAX, u64::MAX), 1e-5);
    assert!(most.lower > 0.99 && most.upper <= 1.0, "{most:?}");
}

#[test]
fn the_excess_is_between_what_is_sure_of_both() {
    let same = excess(counts(1000, 100), counts(1000, 100), 0.01);
    assert!(same.lower < 0.0 && same.upper > 0.0, "{same:?}");
    let more = excess(counts(1000, 300), counts(1000, 100), 0.01);
    assert!(more.lower > 0.05 && more.upper < 0.35, "{more:?}");
    let unknown = excess(counts(1000, 1000), Counts::default(), 0.01);
    assert!(unknown.lower < 0.0, "without an own sample nothing is proven: {unknown:?}");
}

proptest! {
    #[test]
    fn bounds_hold_the_share_and_narrow_with_alpha(
        pairs in 0_u64..1_000_000, part in 0.0..=1.0_f64, alpha in 1e-9..1.0,
    ) {
        let differing = ((pairs as f64) * part).round().min(pairs as f64);
        let found = bounds_of(pairs as f64, differing, alpha);
        prop_assert!(0.0 <= found.lower && found.lower <= found.upper && found.upper <= 1.0, "{found:?}");
        if pairs > 0 {
            let share = differing / pairs as f64;
            prop_assert!(found.lower <= share + 1e-9 && share <= found.upper + 1e-9, "{found:?} {share}");
        }
        let wider = bounds_of(pairs as f64, differing, alpha / 2.0);
        prop_assert!(wider.lower <= found.lower + 1e-9 && found.upper <= wider.upper + 1e-9);
    }

    #[test]
    fn the_beta_function_is_what_it_is(one in 0.25..500.0_f64, other in 0.25..500.0_f64) {
        // B(x + 1, y) = B(x, y) x / (x + y)
        let step = ln_beta(one + 1.0, other) - ln_beta(one, other);
        prop_assert!((step - (one / (one + other)).ln()).abs() < 1e-9);
    }
}
