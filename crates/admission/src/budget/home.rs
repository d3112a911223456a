//! Where the ledgers live for as long as the process does.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use tokio::time::Instant;

use super::{
    cells::{Cells, MOST_TENANTS},
    learned::Learned,
    ledger::{Home, Ledger},
    metrics::Metrics,
    rule::Rule,
};

/// All budgets, by name. A reload asks again by the same names and finds what each tenant
/// has left and owes, also where the numbers have changed: a debt stays so many tokens. What was
/// learned of estimates is kept with it.
#[derive(Debug)]
pub struct Budgets {
    by_name: Mutex<HashMap<String, Known>>,
    metrics: Metrics,
    most_tenants: usize,
}

#[derive(Debug)]
struct Known {
    home: Arc<Home>,
    /// The last that was asked for, to know whether what is unused is full.
    rule: Rule,
}

impl Budgets {
    /// No budgets yet; their metrics are registered.
    pub fn new(registry: &mut Registry) -> Self {
        Self::with_most_tenants(MOST_TENANTS, registry)
    }

    /// As [`Budgets::new`], with another bound on the tenants of each budget.
    pub fn with_most_tenants(most_tenants: usize, registry: &mut Registry) -> Self {
        Self { by_name: Mutex::default(), metrics: Metrics::register(registry), most_tenants }
    }

    /// The ledger of the budget `name` under `rule`; a new one where the name is new.
    pub fn ledger(&self, name: &str, rule: Rule, now: Instant) -> Ledger {
        let mut by_name = self.by_name.lock();
        if let Some(known) = by_name.get_mut(name) {
            known.rule = rule;
            return Ledger::new(rule, Arc::clone(&known.home));
        }
        let home = Arc::new(Home {
            cells: Cells::new(self.most_tenants, now),
            learned: Learned::default(),
            handles: self.metrics.handles(name),
        });
        by_name.insert(name.to_owned(), Known { home: Arc::clone(&home), rule });
        Ledger::new(rule, home)
    }

    /// Forgets the budgets that no plan names any more and whose tenants owe nothing; to be
    /// called now and then, some time after a reload.
    pub fn forget_unused(&self, now: Instant) {
        self.by_name.lock().retain(|_, known| {
            Arc::strong_count(&known.home) > 1
                || !known.home.cells.all_full(&known.rule, known.home.cells.nanos(now))
        });
    }

    /// Brings the metrics up to date that change while nothing happens: what was learned fades.
    pub fn show(&self, now: Instant) {
        for known in self.by_name.lock().values() {
            known.home.raise(known.home.cells.nanos(now));
        }
    }

    /// The names there are, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.by_name.lock().keys().cloned().collect();
        names.sort_unstable();
        names
    }
}

#[cfg(test)]
mod tests;
