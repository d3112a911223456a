use std::time::Duration;

use prometheus_client::registry::Registry;
use tokio::time::Instant;

use super::{Denied, Ledger};
use crate::budget::{Budgets, Estimate, Rule, Settled};

fn ledger() -> (Ledger, Registry, Instant) {
    let (mut registry, now) = (Registry::default(), Instant::now());
    let budgets = Budgets::new(&mut registry);
    let rule = Rule::new(60, Duration::from_secs(60), 100).unwrap();
    (budgets.ledger("chat", rule, now), registry, now)
}

fn of(total: u64) -> Estimate {
    Estimate { prompt: total, output: 0 }
}

fn metrics(registry: &Registry) -> String {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, registry).unwrap();
    text
}

#[test]
fn a_client_that_waits_as_told_is_let_in() {
    let (ledger, registry, now) = ledger();
    let mut first = ledger.reserve(Some("a"), of(70), now).unwrap();
    first.sent();
    first.settle(Settled::ByUsage(150), now);
    let standing = ledger.standing(Some("a"), now);
    assert_eq!((standing.available, standing.debt), (0, 50));
    assert_eq!(standing.full_in, Duration::from_secs(150));

    let denied = ledger.reserve(Some("a"), of(10), now).unwrap_err();
    let Denied::Empty { wait, asked: 10, available: 0, .. } = denied else { panic!("{denied:?}") };
    assert_eq!(wait, Duration::from_secs(60));
    assert!(
        ledger.reserve(Some("a"), of(10), now + wait.checked_sub(Duration::from_nanos(1)).unwrap()).is_err()
    );
    ledger.reserve(Some("a"), of(10), now + wait).unwrap().release(now + wait);
    ledger.reserve(Some("b"), of(100), now).unwrap().release(now);
    assert!(
        metrics(&registry)
            .contains(r#"sluicegate_budget_refused_total{budget="chat",reason="empty",enforced="true"} 2"#)
    );
}

#[test]
fn what_never_fits_is_told_at_once() {
    let (ledger, registry, now) = ledger();
    let denied = ledger.reserve(None, of(101), now).unwrap_err();
    assert_eq!(denied, Denied::TooLarge { asked: 101, burst: 100 });
    let huge = Estimate { prompt: u64::MAX, output: u64::MAX };
    assert!(matches!(ledger.reserve(None, huge, now), Err(Denied::TooLarge { .. })));
    assert!(metrics(&registry).contains(r#"reason="too_large",enforced="true"} 2"#));
}

#[test]
fn a_budget_that_is_not_enforced_counts_and_lets_in() {
    let (ledger, registry, now) = ledger();
    let (first, denied) = ledger.reserve_unenforced(Some("a"), of(90), now);
    assert_eq!(denied, None);
    let (mut second, denied) = ledger.reserve_unenforced(Some("a"), of(90), now);
    assert!(matches!(denied, Some(Denied::Empty { .. })));
    second.at_least(500, now);
    second.settle(Settled::ByUsage(700), now);
    assert_eq!(ledger.standing(Some("a"), now).available, 10, "as if it had been refused");
    first.release(now);
    assert_eq!(ledger.standing(Some("a"), now).available, 100);
    let text = metrics(&registry);
    assert!(text.contains(r#"reason="empty",enforced="false"} 1"#));
    assert!(text.contains(r#"sluicegate_budget_held_tokens{budget="chat"} 0"#));
}

#[test]
fn a_class_of_tenants_has_a_multiple() {
    let (ledger, _registry, now) = ledger();
    let premium = ledger.under(ledger.rule().times(2.0));
    let reservation = premium.reserve(Some("p"), of(200), now).unwrap();
    assert_eq!(premium.standing(Some("p"), now + Duration::from_secs(1)).available, 2);
    reservation.release(now);
}
