//! Medians.

/// The middle one of `values`, or the mean of the two in the middle; `NaN` of none.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match (sorted.len() % 2, sorted.get(middle)) {
        (1, Some(it)) => *it,
        (_, Some(upper)) => f64::midpoint(sorted[middle - 1], *upper),
        (_, None) => f64::NAN,
    }
}

/// Between which values the median lies of what `values` were drawn from, in 95 of 100 cases:
/// the interval between two of them, of the sign test (Conover, *Practical Nonparametric
/// Statistics*, 3rd edition, 3.2). `None` of fewer than six: no interval is that sure.
#[must_use]
pub fn bounds_of_median(values: &[f64]) -> Option<(f64, f64)> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let count = sorted.len();
    // The chance that exactly `below` of them are below the median, and at most so many.
    let (mut chance, mut at_most) = (0.5_f64.powi(i32::try_from(count).ok()?), 0.0);
    let mut leaves_out = None;
    for below in 0..count / 2 {
        at_most += chance;
        if at_most > 0.025 {
            break;
        }
        leaves_out = Some(below);
        chance *= (count - below) as f64 / (below + 1) as f64;
    }
    let place = leaves_out?;
    Some((sorted[place], sorted[count - 1 - place]))
}

#[cfg(test)]
mod tests {
    use super::{bounds_of_median, median};

    #[test]
    fn the_median_is_between_its_bounds() {
        let values = |count: u32| (1..=count).map(f64::from).collect::<Vec<_>>();
        // Table A3 of the binomial distribution: the 6th and the 15th of 20.
        assert_eq!(bounds_of_median(&values(20)), Some((6.0, 15.0)));
        assert_eq!(bounds_of_median(&values(6)), Some((1.0, 6.0)));
        assert_eq!(bounds_of_median(&values(5)), None);
        assert_eq!(bounds_of_median(&[]), None);
    }

    #[test]
    #[expect(clippy::float_cmp, reason = "these sums are exact")]
    fn the_middle_is_found_whatever_the_order() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }
}
