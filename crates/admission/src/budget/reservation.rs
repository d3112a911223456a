//! A reservation: tokens that one request has taken and not yet accounted for.
//!
//! ```text
//!            reserve             sent                settle(usage | estimate)
//!  (nothing) -------> [waiting] ------> [under way] --------------------------> settled
//!                         |                  |
//!                         | drop, release    | drop: by estimate, whole
//!                         v                  | release: nothing was used
//!                      unused <--------------+
//! ```
//!
//! Until [`Reservation::sent`] a drop gives everything back: the request was refused further
//! in, or its client left, before a model saw it. After it a drop keeps the whole estimate, and
//! what was taken beyond it: what was used is not known, and the next request must not be let in
//! on hope.

use std::sync::Arc;

use tokio::time::Instant;

use super::{cells::Cell, estimate::Estimate, ledger::Ledger};

/// What a request was charged, and how that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The answer told it.
    ByUsage(u64),
    /// The answer did not tell it: by the estimate, or by what was streamed.
    ByEstimate(u64),
    /// No model worked for it.
    Unused,
}

impl Settled {
    /// The tokens charged.
    #[must_use]
    pub const fn tokens(self) -> u64 {
        match self {
            Self::ByUsage(tokens) | Self::ByEstimate(tokens) => tokens,
            Self::Unused => 0,
        }
    }
}

/// Tokens taken out of a tenant's budget until it is known what was used.
#[derive(Debug)]
#[must_use = "a reservation that is dropped is settled"]
pub struct Reservation {
    ledger: Ledger,
    /// None where the budget is not enforced and had no room: nothing is charged.
    cell: Option<Arc<Cell>>,
    /// As it was made, and as it was raised.
    plain: Estimate,
    estimate: Estimate,
    /// What the cell was charged up to now.
    charged: u64,
    sent: bool,
    settled: bool,
}

impl Reservation {
    pub(super) fn new(ledger: Ledger, cell: Option<Arc<Cell>>, plain: Estimate, estimate: Estimate) -> Self {
        let charged = estimate.total();
        ledger.handles().reservations.inc();
        ledger.handles().held.inc_by(signed(charged));
        Self { ledger, cell, plain, estimate, charged, sent: false, settled: false }
    }

    /// The request goes out: from here on a drop charges the estimate.
    pub const fn sent(&mut self) {
        self.sent = true;
    }

    /// What was reserved: the estimate, raised by what others have shown.
    #[must_use]
    pub const fn estimate(&self) -> Estimate {
        self.estimate
    }

    /// At least so many tokens have been used by now. Where that is more than was reserved,
    /// the rest is taken at once, so that no other request is let in on it.
    pub fn at_least(&mut self, used: u64, now: Instant) {
        self.draw(used, now);
    }

    /// As [`Reservation::at_least`]; false where the budget did not hold what was taken, so that
    /// it is owed.
    pub(super) fn draw(&mut self, used: u64, now: Instant) -> bool {
        let Some(more) = used.checked_sub(self.charged).filter(|more| *more > 0) else { return true };
        let there = self.cell.as_ref().is_none_or(|cell| self.ledger.draw(cell, more, now));
        self.charge(used);
        there
    }

    /// It may come to use so many: what the budget holds of it is taken, and nothing is owed.
    pub(super) fn may_use(&mut self, tokens: u64, now: Instant) {
        if let Some(more) = tokens.checked_sub(self.charged) {
            let there = self.cell.as_ref().map_or(more, |cell| self.ledger.take_some(cell, more, now));
            self.charge(self.charged.saturating_add(there));
        }
    }

    fn charge(&mut self, charged: u64) {
        self.ledger.handles().held.inc_by(signed(charged) - signed(self.charged));
        self.charged = charged;
    }

    /// What its prompt took, where that was told, and its answer at least: estimates to come are
    /// raised by what they would have fallen short.
    pub fn learn(&self, prompt: Option<u64>, output: u64, now: Instant) {
        self.ledger.learn(self.plain, prompt, output, now);
    }

    /// Its answer is cut.
    pub(super) fn cut(&self) {
        self.ledger.handles().cut.inc();
    }

    /// Settles: what was charged too much is given back, what was charged too little is
    /// taken, into debt if need be.
    pub fn settle(mut self, settled: Settled, now: Instant) {
        self.end(settled, now);
    }

    /// Gives everything back: no model worked for the request.
    pub fn release(self, now: Instant) {
        self.settle(Settled::Unused, now);
    }

    fn end(&mut self, settled: Settled, now: Instant) {
        if std::mem::replace(&mut self.settled, true) {
            return;
        }
        let handles = self.ledger.handles();
        handles.reservations.dec();
        handles.held.dec_by(signed(self.charged));
        let counted = match settled {
            Settled::ByUsage(_) => Some(&handles.by_usage),
            Settled::ByEstimate(_) => Some(&handles.by_estimate),
            Settled::Unused => None,
        };
        match counted {
            Some(counted) => {
                counted.times.inc();
                counted.tokens.inc_by(settled.tokens());
            }
            None => drop(handles.unused.inc()),
        }
        if let Some(cell) = &self.cell {
            self.ledger.correct(cell, self.charged, settled.tokens(), now);
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.settled {
            let settled = if self.sent { Settled::ByEstimate(self.charged) } else { Settled::Unused };
            self.end(settled, Instant::now());
        }
    }
}

/// For a gauge: numbers past `i64::MAX` cannot be told apart any more.
fn signed(tokens: u64) -> i64 {
    i64::try_from(tokens).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
