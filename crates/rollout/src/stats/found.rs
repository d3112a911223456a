//! What was found of one gate, before it is put into words.

use sluicegate_core::Role;

use super::{
    evidence::{Evidence, Grid},
    limits::{Limits, Needed},
    report::Verdict,
    total::Total,
};

/// Why a verdict is what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// Beyond the bound, proven.
    Proven,
    /// Beyond the bound, proven, but not worse than the active arm.
    Alike,
    /// There are too few samples to speak of it.
    Few,
    /// The estimate is beyond the bound, and nothing is proven.
    Outside,
    /// The estimate is inside, but twice the bound is not excluded.
    Unproven,
    /// Inside, and twice the bound is excluded.
    Inside,
    /// A test that only speaks when it finds something did not.
    Nothing,
}

/// What was found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) verdict: Verdict,
    pub(super) why: Why,
    /// The logarithm of the e-value that decides, and the one it needs.
    pub(super) evidence: f64,
    pub(super) needed: f64,
    /// The samples that are missing: of the active arm, of the candidate.
    pub(super) missing: Option<[u64; 2]>,
}

impl Found {
    pub(super) const fn new(verdict: Verdict, why: Why, evidence: f64, needed: f64) -> Self {
        Self { verdict, why, evidence, needed, missing: None }
    }

    pub(super) const fn missing(self, missing: [u64; 2]) -> Self {
        Self { missing: Some(missing), ..self }
    }
}

/// What a gate looks at.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) totals: &'a [Total; 2],
    pub(super) watched: Role,
    /// There is nothing to compare with.
    pub(super) alone: bool,
    pub(super) limits: &'a Limits,
    pub(super) needed: &'a Needed,
}

impl View<'_> {
    /// The counts of the arm that is judged.
    pub(super) const fn judged(&self) -> &Total {
        &self.totals[self.watched as usize]
    }

    /// The samples missing where each arm that counts needs `least` and has `has`.
    pub(super) fn short_of(&self, least: u64, has: [u64; 2]) -> [u64; 2] {
        [Role::Active, Role::Candidate].map(|role| {
            let counts = role == self.watched || !self.alone;
            if counts { least.saturating_sub(has[role as usize]) } else { 0 }
        })
    }

    /// For a gate whose estimate is inside: whether twice its bound is excluded, and what is
    /// missing where it is not. `few` are missing in any case, of `has` that are there.
    pub(super) fn inside<G: Grid>(&self, pass: &Evidence<G>, few: [u64; 2], has: u64) -> Found {
        let found = |verdict, why| Found::new(verdict, why, pass.ln(), self.needed.pass);
        if pass.ln() >= self.needed.pass {
            return found(Verdict::Pass, Why::Inside);
        }
        let found = found(Verdict::InsufficientData, Why::Unproven);
        let Some(more) = self.more(pass, has) else {
            return if few == [0; 2] { found } else { found.missing(few) };
        };
        let mut missing = few;
        let watched = &mut missing[self.watched as usize];
        *watched = more.max(*watched);
        found.missing(missing)
    }

    /// About how many more samples a proof takes if they go on as they did.
    pub(super) fn more<G: Grid>(&self, pass: &Evidence<G>, has: u64) -> Option<u64> {
        /// From fewer nothing is foretold.
        const LEAST: u64 = 30;
        let (best, left) = (pass.best(), self.needed.pass - pass.ln());
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // saturates, and is positive
        (has >= LEAST && best > 0.0 && left > 0.0).then(|| (left * has as f64 / best).ceil() as u64)
    }
}

/// Whether a number is at most a bound, but for the rounding of a floating point number.
pub(super) fn is_inside(value: f64, bound: f64) -> bool {
    value <= bound * (1.0 + 1e-9)
}
