use std::time::Duration;

use prometheus_client::registry::Registry;
use tokio::time::Instant;

use crate::budget::{Budgets, Estimate, Ledger, Rule, Settled};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn ledger() -> Ledger {
    let rule = Rule::new(1, DAY, 1000).unwrap();
    Budgets::new(&mut Registry::default()).ledger("chat", rule, Instant::now())
}

fn left(ledger: &Ledger) -> u64 {
    ledger.standing(Some("a"), Instant::now()).available
}

const ESTIMATE: Estimate = Estimate { prompt: 100, output: 200, limited: true };

#[test]
fn a_drop_before_it_was_sent_gives_everything_back() {
    let ledger = ledger();
    let reservation = ledger.reserve(Some("a"), ESTIMATE, Instant::now()).unwrap();
    assert_eq!(left(&ledger), 700);
    drop(reservation);
    assert_eq!(left(&ledger), 1000);
}

#[test]
fn a_drop_after_it_was_sent_keeps_the_estimate() {
    let ledger = ledger();
    let mut reservation = ledger.reserve(Some("a"), ESTIMATE, Instant::now()).unwrap();
    reservation.sent();
    drop(reservation);
    assert_eq!(left(&ledger), 700);
    // Nor is less kept than is known to be used.
    let mut reservation = ledger.reserve(Some("a"), ESTIMATE, Instant::now()).unwrap();
    reservation.sent();
    reservation.at_least(350, Instant::now());
    drop(reservation);
    assert_eq!(left(&ledger), 350);
}

#[test]
fn a_panic_settles_too() {
    let ledger = ledger();
    let inner = ledger.clone();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        let mut reservation = inner.reserve(Some("a"), ESTIMATE, Instant::now()).unwrap();
        reservation.sent();
        panic!("the inner service");
    }));
    assert!(panicked.is_err());
    assert_eq!(left(&ledger), 700);
}

#[test]
fn what_is_known_to_be_used_is_taken_before_the_end() {
    let ledger = ledger();
    let mut reservation = ledger.reserve(Some("a"), ESTIMATE, Instant::now()).unwrap();
    reservation.at_least(250, Instant::now());
    assert_eq!(left(&ledger), 700, "it is reserved already");
    reservation.at_least(900, Instant::now());
    assert_eq!(left(&ledger), 100);
    reservation.settle(Settled::ByUsage(901), Instant::now());
    assert_eq!(left(&ledger), 99);
}
