//! The ledger of one budget: what each tenant has left, and who may take of it.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    cells::{Account, Cell, Cells},
    estimate::Estimate,
    hole::Short,
    learned::{Learned, Raise},
    metrics::Handles,
    reservation::Reservation,
    rule::Rule,
    told::Told,
};

/// Why a request was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The tenant's budget is empty, or in debt.
    #[error(
        "the tenant's budget has {available} LLM tokens left and the request may take {asked}; wait, or ask for fewer (max_tokens)"
    )]
    Empty {
        /// A request of this size that waits so long is let in, if the tenant sends no other.
        wait: Duration,
        /// The most tokens this request may take.
        asked: u64,
        /// What is left; 0 in debt.
        available: u64,
        /// The time until the budget is full again.
        full_in: Duration,
    },
    /// It may take more than the budget ever holds: waiting does not help.
    #[error(
        "the request may take {asked} LLM tokens and a tenant's budget never holds more than {burst}; ask for fewer (max_tokens), send a shorter prompt, or have the budget's burst raised"
    )]
    TooLarge {
        /// The most tokens this request may take.
        asked: u64,
        /// The most the budget holds.
        burst: u64,
    },
}

/// How a tenant stands at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Tokens that can be taken now.
    pub available: u64,
    /// Tokens that were used beyond the budget and have not come back.
    pub debt: u64,
    /// The time until the budget is full.
    pub full_in: Duration,
}

/// The ledger of one budget under one rule. Clones, and ledgers of the same name under
/// another rule, share the tenants' cells.
#[derive(Clone, Debug)]
pub struct Ledger {
    rule: Rule,
    home: Arc<Home>,
}

/// What outlives a reload.
#[derive(Debug)]
pub(super) struct Home {
    pub(super) cells: Cells,
    pub(super) learned: Learned,
    pub(super) handles: Handles,
}

impl Home {
    /// What estimates are raised by, which is shown.
    pub(super) fn raise(&self, now: u64) -> Raise {
        let raise = self.learned.raise(now);
        self.handles.prompts.set(raise.prompt());
        self.handles.limited.set(raise.output(true));
        self.handles.open.set(raise.output(false));
        raise
    }
}

impl Ledger {
    pub(super) const fn new(rule: Rule, home: Arc<Home>) -> Self {
        Self { rule, home }
    }

    /// The same cells under another rule: for a class of tenants.
    #[must_use]
    pub fn under(&self, rule: Rule) -> Self {
        Self { rule, home: Arc::clone(&self.home) }
    }

    /// The rule.
    #[must_use]
    pub const fn rule(&self) -> &Rule {
        &self.rule
    }

    /// Takes the estimate, [raised](Raise), out of the tenant's budget, or says why not.
    pub fn reserve(
        &self,
        tenant: Option<&str>,
        estimate: Estimate,
        now: Instant,
    ) -> Result<Reservation, Denied> {
        self.try_reserve(tenant, estimate, now).inspect_err(|denied| self.count(denied, true))
    }

    /// As [`Ledger::reserve`], for a budget that is not enforced: where it would be denied,
    /// that is counted and told, and the reservation takes nothing from the tenant.
    pub fn reserve_unenforced(
        &self,
        tenant: Option<&str>,
        estimate: Estimate,
        now: Instant,
    ) -> (Reservation, Option<Denied>) {
        match self.try_reserve(tenant, estimate, now) {
            Ok(reservation) => (reservation, None),
            Err(denied) => {
                self.count(&denied, false);
                (Reservation::new(self.clone(), None, estimate, estimate), Some(denied))
            }
        }
    }

    /// How a tenant stands.
    #[must_use]
    pub fn standing(&self, tenant: Option<&str>, now: Instant) -> Standing {
        let now = self.home.cells.nanos(now);
        let mut hole = self.home.cells.peek(tenant);
        let missing = hole.missing(&self.rule, now);
        Standing {
            available: self.rule.burst().saturating_sub(missing),
            debt: missing.saturating_sub(self.rule.burst()),
            full_in: hole.full_in(&self.rule, now),
        }
    }

    /// What estimates are raised by.
    #[must_use]
    pub fn raise(&self, now: Instant) -> Raise {
        self.home.raise(self.home.cells.nanos(now))
    }

    fn try_reserve(
        &self,
        tenant: Option<&str>,
        estimate: Estimate,
        now: Instant,
    ) -> Result<Reservation, Denied> {
        let Home { cells, handles, .. } = &*self.home;
        let now = cells.nanos(now);
        let burst = self.rule.burst();
        if estimate.total() > burst {
            return Err(Denied::TooLarge { asked: estimate.total(), burst });
        }
        let raise = self.home.raise(now);
        let found = cells.find(tenant, &self.rule, now);
        handles.tenants.inc_by(found.more);
        if found.shared {
            handles.shared.inc();
        }
        let mut account = found.cell.lock();
        let Account { hole, told } = &mut *account;
        let raise = told.raise(raise, now);
        let raised = raise.of(estimate, burst);
        let asked = raised.total();
        match hole.take(asked, &self.rule, now) {
            Ok(()) => {
                *told = Told::default();
                drop(account);
                Ok(Reservation::new(self.clone(), Some(found.cell), estimate, raised))
            }
            Err(Short::For(wait)) => {
                told.wait(wait, raise, now);
                Err(Denied::Empty {
                    wait,
                    asked,
                    available: burst.saturating_sub(hole.missing(&self.rule, now)),
                    full_in: hole.full_in(&self.rule, now),
                })
            }
            Err(Short::ForGood) => Err(Denied::TooLarge { asked, burst }),
        }
    }

    fn count(&self, denied: &Denied, enforced: bool) {
        let handles = &self.home.handles;
        let reason = match denied {
            Denied::Empty { .. } => &handles.empty,
            Denied::TooLarge { .. } => &handles.too_large,
        };
        if enforced { &reason.yes } else { &reason.no }.inc();
    }

    pub(super) fn handles(&self) -> &Handles {
        &self.home.handles
    }

    /// Sets right what `cell` was charged: from `charged` to `actual`, as of `now`.
    pub(super) fn correct(&self, cell: &Cell, charged: u64, actual: u64, now: Instant) {
        let now = self.home.cells.nanos(now);
        if actual > charged {
            cell.lock().hole.owe(actual - charged, &self.rule, now);
        } else if actual < charged {
            cell.lock().hole.give_back(charged - actual, &self.rule, now);
        }
    }

    /// Takes `tokens` more for `cell`; false where they were not all there, and are owed.
    pub(super) fn draw(&self, cell: &Cell, tokens: u64, now: Instant) -> bool {
        let now = self.home.cells.nanos(now);
        let hole = &mut cell.lock().hole;
        hole.owe(tokens, &self.rule, now);
        hole.missing(&self.rule, now) <= self.rule.burst()
    }

    /// Takes of `tokens` for `cell` what is there, and says how many that were.
    pub(super) fn take_some(&self, cell: &Cell, tokens: u64, now: Instant) -> u64 {
        cell.lock().hole.take_some(tokens, &self.rule, self.home.cells.nanos(now))
    }

    /// Learns what became of `estimate`.
    pub(super) fn learn(&self, estimate: Estimate, prompt: Option<u64>, output: u64, now: Instant) {
        let now = self.home.cells.nanos(now);
        if self.home.learned.note(estimate, prompt, output, now) {
            self.home.raise(now);
        }
    }
}

#[cfg(test)]
mod tests;
