//! What a scrape shows of the budgets.

use std::sync::atomic::AtomicU64;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Name {
    budget: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Settlement {
    budget: String,
    by: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refused {
    budget: String,
    reason: &'static str,
    enforced: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Raised {
    budget: String,
    of: &'static str,
}

/// What an estimate is multiplied by.
type Factor = Gauge<f64, AtomicU64>;

/// The families; each ledger takes its handles out of them when it is made.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    settlements: Family<Settlement, Counter>,
    tokens: Family<Settlement, Counter>,
    refused: Family<Refused, Counter>,
    shared: Family<Name, Counter>,
    held: Family<Name, Gauge>,
    reservations: Family<Name, Gauge>,
    tenants: Family<Name, Gauge>,
    cut: Family<Name, Counter>,
    raise: Family<Raised, Factor>,
}

/// One ledger's handles.
#[derive(Debug)]
pub(super) struct Handles {
    pub(super) by_usage: Settled,
    pub(super) by_estimate: Settled,
    pub(super) unused: Counter,
    pub(super) empty: Enforced,
    pub(super) too_large: Enforced,
    pub(super) shared: Counter,
    pub(super) held: Gauge,
    pub(super) reservations: Gauge,
    pub(super) tenants: Gauge,
    pub(super) cut: Counter,
    /// What estimates are multiplied by: of prompts, of answers with a maximum and without.
    pub(super) prompts: Factor,
    pub(super) limited: Factor,
    pub(super) open: Factor,
}

/// Settlements of one kind.
#[derive(Debug)]
pub(super) struct Settled {
    pub(super) times: Counter,
    pub(super) tokens: Counter,
}

/// Refusals of one kind: those made, and those that would have been.
#[derive(Debug)]
pub(super) struct Enforced {
    pub(super) yes: Counter,
    pub(super) no: Counter,
}

impl Metrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "sluicegate_budget_settlements",
            "Requests whose tokens were settled, by what they were settled by",
            metrics.settlements.clone(),
        );
        registry.register(
            "sluicegate_budget_tokens",
            "LLM tokens charged, by what they were settled by",
            metrics.tokens.clone(),
        );
        registry.register(
            "sluicegate_budget_refused",
            "Requests that did not fit their tenant's budget of tokens",
            metrics.refused.clone(),
        );
        registry.register(
            "sluicegate_budget_overflow",
            "Requests that shared one cell because there was no room for their tenant's own",
            metrics.shared.clone(),
        );
        registry.register(
            "sluicegate_budget_held_tokens",
            "LLM tokens taken by requests that have not ended",
            metrics.held.clone(),
        );
        registry.register(
            "sluicegate_budget_reservations",
            "Requests with a reservation that have not ended",
            metrics.reservations.clone(),
        );
        registry.register(
            "sluicegate_budget_tenants",
            "Tenants that have a cell of their own",
            metrics.tenants.clone(),
        );
        registry.register(
            "sluicegate_budget_cut",
            "Streams that were ended because their tenant's budget was used up",
            metrics.cut.clone(),
        );
        registry.register(
            "sluicegate_budget_estimate_factor",
            "What estimates are multiplied by, as answers of late have shown",
            metrics.raise.clone(),
        );
        metrics
    }

    pub(super) fn handles(&self, budget: &str) -> Handles {
        let name = Name { budget: budget.to_owned() };
        let settled = |by| {
            let labels = Settlement { budget: budget.to_owned(), by };
            Settled {
                times: self.settlements.get_or_create_owned(&labels),
                tokens: self.tokens.get_or_create_owned(&labels),
            }
        };
        let refused = |reason| {
            let one = |enforced| {
                self.refused.get_or_create_owned(&Refused { budget: budget.to_owned(), reason, enforced })
            };
            Enforced { yes: one("true"), no: one("false") }
        };
        let factor = |of| {
            let factor = self.raise.get_or_create_owned(&Raised { budget: budget.to_owned(), of });
            factor.set(1.0);
            factor
        };
        Handles {
            by_usage: settled("usage"),
            by_estimate: settled("estimate"),
            unused: self
                .settlements
                .get_or_create_owned(&Settlement { budget: budget.to_owned(), by: "unused" }),
            empty: refused("empty"),
            too_large: refused("too_large"),
            shared: self.shared.get_or_create_owned(&name),
            held: self.held.get_or_create_owned(&name),
            reservations: self.reservations.get_or_create_owned(&name),
            tenants: self.tenants.get_or_create_owned(&name),
            cut: self.cut.get_or_create_owned(&name),
            prompts: factor("prompt"),
            limited: factor("max_tokens"),
            open: factor("default_max_tokens"),
        }
    }
}
