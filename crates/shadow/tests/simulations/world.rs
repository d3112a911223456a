//! Pairs of answers as chance makes them, and the books that they are noted in.

use std::time::Duration;

use http::StatusCode;
use jiff::Timestamp;
use sluicegate_shadow::{
    Comparison, Difference, Kind,
    ledger::{Against, Ledger, LedgerSettings, Pair, RequestShown, Side},
    report::Verdict,
};

/// A route, its shadow, and its books.
pub(crate) struct World {
    pub(crate) ledger: Ledger,
    pub(crate) shadow_pairs: u64,
    /// How often each class differs by itself, and with the shadow.
    rates: [Vec<f64>; 2],
    classes: Vec<Difference>,
    own_share: f64,
    chance: fastrand::Rng,
    request: RequestShown,
    last: (Against, bool),
}

impl World {
    /// Classes that differ at these rates; a share of the pairs is of the own upstream. Nothing
    /// is allowed, and the first pair may be a verdict: the strictest books there are.
    pub(crate) fn new(own: &[f64], shadow: &[f64], own_share: f64, seed: u64) -> Self {
        let settings = LedgerSettings { keep: 0, allow: 0.0, pairs: 1, log: None };
        let class = |n: usize| Difference {
            class: format!("/{n}").into(),
            kind: Kind::Value,
            primary: None,
            shadow: None,
        };
        let text = || "x".into();
        Self {
            ledger: Ledger::new("search", "lab", &settings, Timestamp::UNIX_EPOCH),
            shadow_pairs: 0,
            rates: [shadow.to_vec(), own.to_vec()],
            classes: (0..own.len()).map(class).collect(),
            own_share,
            chance: fastrand::Rng::with_seed(seed),
            request: RequestShown {
                method: text(),
                path: text(),
                id: text(),
                hash: text(),
                shadow_id: text(),
            },
            last: (Against::Own, false),
        }
    }

    /// One more pair.
    pub(crate) fn pair(&mut self) {
        let against = if self.chance.f64() < self.own_share { Against::Own } else { Against::Shadow };
        self.shadow_pairs += u64::from(against == Against::Shadow);
        let rates = &self.rates[against as usize];
        let mut comparison = Comparison::default();
        for (class, rate) in self.classes.iter().zip(rates) {
            if self.chance.f64() < *rate {
                comparison.differences.push(class.clone());
            }
        }
        let side = Side { status: StatusCode::OK, took: Duration::from_millis(1), bytes: 1 };
        let noted = self.ledger.note(
            against,
            &Pair {
                at: Timestamp::UNIX_EPOCH,
                request: &self.request,
                primary: side,
                copy: Ok(side),
                comparison: Some(&comparison),
            },
        );
        self.last = (against, noted.differs);
    }

    /// Whether the shadow is called different. A pair with the shadow that is alike only speaks
    /// against it, so that what was not said before it is not said after it.
    pub(crate) fn is_different(&self) -> bool {
        self.last != (Against::Shadow, false) && self.ledger.verdict() == Verdict::Different
    }
}

/// More pairs of the shadow than any run should need.
pub(crate) fn most_pairs(noise: f64, excess: f64, own_share: f64) -> u64 {
    let spread = (noise + excess / 2.0 + 0.003) * (1.0 - noise).min(1.0);
    let needed =
        400.0 * spread / (excess * excess) * (0.5 / own_share) + 6000.0 + 100.0 / (excess * own_share);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let needed = needed as u64;
    needed
}

pub(crate) fn percent(share: f64) -> String {
    format!("{}%", (share * 1000.0).round() / 10.0)
}

pub(crate) fn told(noise: &[f64]) -> String {
    match noise {
        [first, rest @ ..] if rest.len() > 3 => format!("{} times {}", noise.len(), percent(*first)),
        _ => noise.iter().map(|rate| percent(*rate)).collect::<Vec<_>>().join(", "),
    }
}
