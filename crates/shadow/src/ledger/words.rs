//! A verdict in a sentence.

use crate::report::{Finding, Missing, Report, Verdict};

/// How many classes are named.
const MOST_NAMED: usize = 3;

pub(super) fn says(report: &Report) -> String {
    let allowed = format!("{} is allowed", percent(report.allow));
    match report.verdict {
        Verdict::InsufficientData => too_few(report),
        Verdict::Same => {
            let at_most = percent(report.excess.at_most.max(0.0));
            let some = named(report, |least| least > 0.0);
            let some = some.map_or(String::new(), |some| format!("; some do in {some}"));
            format!("at most {at_most} of the answers differ beyond noise ({allowed}){some}")
        }
        Verdict::Different => {
            let whole = (report.excess.at_least > report.allow)
                .then(|| format!("at least {} of the answers", percent(report.excess.at_least)));
            let classes = named(report, |least| least > report.allow);
            let what = match (whole, classes) {
                (Some(whole), Some(classes)) => format!("{whole} differ beyond noise, proven of {classes}"),
                (Some(whole), None) => format!("{whole} differ beyond noise"),
                (None, classes) => {
                    format!("answers differ beyond noise in {}", classes.unwrap_or_default())
                }
            };
            format!("{what} ({allowed})")
        }
        Verdict::Undecided => {
            let [least, most] =
                [report.excess.at_least, report.excess.at_most].map(|at| percent(at.max(0.0)));
            let open = format!("between {least} and {most} of the answers differ beyond noise ({allowed})");
            let ahead = match report.missing {
                Some(missing) => format!("about {} would decide it", more(missing)),
                None => "more pairs alone would not decide it".to_owned(),
            };
            let noisy = noisiest(report).map_or(String::new(), |class| {
                format!("; the noise is largest in {class}: ignoring it would make the rest clearer")
            });
            format!("{open}; {ahead}{noisy}")
        }
    }
}

fn too_few(report: &Report) -> String {
    let missing = report.missing.unwrap_or(Missing { shadow: 0, own: 0 });
    let why = if missing.own > 0 && report.own.pairs == 0 {
        "; without pairs of the route's own upstream (`noise`) a difference cannot be told from noise"
    } else {
        ""
    };
    format!("too few pairs yet: {} are needed{why}", more(missing))
}

/// `120 more pairs with the shadow and 40 of the own upstream`.
fn more(missing: Missing) -> String {
    let pairs =
        |count: u64| if count == 1 { "1 more pair".to_owned() } else { format!("{count} more pairs") };
    match (missing.shadow, missing.own) {
        (0, own) => format!("{} of the own upstream", pairs(own)),
        (shadow, 0) => format!("{} with the shadow", pairs(shadow)),
        (shadow, own) => format!("{} with the shadow and {own} of the own upstream", pairs(shadow)),
    }
}

/// The classes whose proven excess is large enough: `a`, `b`, `c` and 4 more.
fn named(report: &Report, is_enough: impl Fn(f64) -> bool) -> Option<String> {
    let classes = report.classes.iter().filter(|class| class.finding == Finding::Different);
    let names: Vec<_> = classes
        .filter(|class| is_enough(class.excess.at_least))
        .map(|class| format!("`{}`", class.class))
        .collect();
    let rest = names.len().saturating_sub(MOST_NAMED);
    let told = names.iter().take(MOST_NAMED).cloned().collect::<Vec<_>>().join(", ");
    match (names.len(), rest) {
        (0, _) => None,
        (_, 0) => Some(told),
        (_, rest) => Some(format!("{told} and {rest} more")),
    }
}

/// The class in which the own upstream differs from itself most often, if it often does.
fn noisiest(report: &Report) -> Option<String> {
    let noise = report.classes.iter().filter(|class| class.finding == Finding::Noise);
    let most = noise.max_by(|one, other| one.own.differing.cmp(&other.own.differing))?;
    let share = most.own.share?;
    (share > report.allow).then(|| format!("`{}` ({})", most.class, percent(share)))
}

/// `4.2%`, `0.013%`.
fn percent(share: f64) -> String {
    let value = share * 100.0;
    let digits = match value {
        _ if value == 0.0 => 0,
        _ if value < 0.1 => 3,
        _ if value < 10.0 => 2,
        _ => 1,
    };
    let text = format!("{value:.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}%")
}

#[cfg(test)]
mod tests {
    use super::{Missing, more, percent};

    #[test]
    fn numbers_as_people_write_them() {
        let shares = [0.0, 0.000_13, 0.01, 0.042, 0.5, 1.0];
        assert_eq!(shares.map(percent), ["0%", "0.013%", "1%", "4.2%", "50%", "100%"]);
        assert_eq!(more(Missing { shadow: 1, own: 0 }), "1 more pair with the shadow");
        assert_eq!(more(Missing { shadow: 0, own: 40 }), "40 more pairs of the own upstream");
        assert_eq!(
            more(Missing { shadow: 120, own: 40 }),
            "120 more pairs with the shadow and 40 of the own upstream"
        );
    }
}
