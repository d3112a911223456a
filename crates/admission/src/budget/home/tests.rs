use std::time::Duration;

use prometheus_client::registry::Registry;
use tokio::time::Instant;

use super::Budgets;
use crate::budget::{Estimate, Rule, Settled};

#[test]
fn a_reload_finds_what_tenants_owe_also_under_other_numbers() {
    let (budgets, now) = (Budgets::new(&mut Registry::default()), Instant::now());
    let rule = Rule::new(60, Duration::from_secs(60), 100).unwrap();
    let ledger = budgets.ledger("chat", rule, now);
    let running = ledger.reserve(Some("a"), Estimate { prompt: 40, output: 0, limited: true }, now).unwrap();
    let debt = ledger.reserve(Some("a"), Estimate { prompt: 1, output: 0, limited: true }, now).unwrap();
    debt.settle(Settled::ByUsage(80), now);
    drop(ledger);

    let other = Rule::new(1200, Duration::from_secs(3600), 50).unwrap();
    let reloaded = budgets.ledger("chat", other, now);
    assert_eq!(reloaded.standing(Some("a"), now).debt, 70);
    running.learn(Some(100), 0, now);
    running.settle(Settled::ByUsage(0), now);
    assert_eq!(reloaded.standing(Some("a"), now).debt, 30);
    // What is learned of estimates is the budget's, and not of its numbers.
    let raise = budgets.ledger("chat", rule, now).raise(now);
    assert_eq!((raise, raise.prompt()), (reloaded.raise(now), 1.0 + 60.0 / 128.0));
    assert_eq!(budgets.ledger("other", rule, now).standing(Some("a"), now).debt, 0);
}

#[test]
fn a_budget_is_forgotten_when_nobody_names_it_and_nobody_owes() {
    let (budgets, now) = (Budgets::new(&mut Registry::default()), Instant::now());
    let rule = Rule::new(1, Duration::from_secs(1), 100).unwrap();
    let (kept, owing, full) = (
        budgets.ledger("kept", rule, now),
        budgets.ledger("owing", rule, now),
        budgets.ledger("full", rule, now),
    );
    owing
        .reserve(None, Estimate { prompt: 10, output: 0, limited: true }, now)
        .unwrap()
        .settle(Settled::ByUsage(10), now);
    drop((owing, full));
    budgets.forget_unused(now);
    assert_eq!(budgets.names(), ["kept", "owing"]);
    budgets.forget_unused(now + Duration::from_secs(10));
    assert_eq!(budgets.names(), ["kept"]);
    drop(kept);
}
