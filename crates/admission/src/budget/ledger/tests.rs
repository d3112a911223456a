use std::time::Duration;

use prometheus_client::registry::Registry;
use proptest::prelude::*;
use tokio::time::Instant;

use super::{Denied, Ledger};
use crate::budget::{Budgets, Estimate, Rule, Settled, WINDOW};

fn ledger() -> (Ledger, Registry, Instant) {
    ledger_of(100)
}

fn ledger_of(burst: u64) -> (Ledger, Registry, Instant) {
    let (mut registry, now) = (Registry::default(), Instant::now());
    let budgets = Budgets::new(&mut registry);
    let rule = Rule::new(60, Duration::from_secs(60), burst).unwrap();
    (budgets.ledger("chat", rule, now), registry, now)
}

fn of(total: u64) -> Estimate {
    Estimate { prompt: total, output: 0, limited: true }
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
    let huge = Estimate { prompt: u64::MAX, output: u64::MAX, limited: true };
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

/// An answer to a request of this estimate, of a tenant of its own, told that its prompt took so many.
fn shows(ledger: &Ledger, estimate: u64, took: u64, now: Instant) {
    let shown = ledger.reserve(Some("who shows it"), of(estimate), now).unwrap();
    shown.learn(Some(took), 0, now);
    shown.release(now);
}

#[test]
fn what_an_answer_shows_is_reserved_for_the_next() {
    let (ledger, registry, now) = ledger_of(10_000);
    shows(&ledger, 1000, 1500, now);
    let next = ledger.reserve(Some("a"), of(2000), now).unwrap();
    assert_eq!((next.estimate().prompt, ledger.standing(Some("a"), now).available), (3000, 7000));
    let text = metrics(&registry);
    assert!(text.contains(r#"sluicegate_budget_held_tokens{budget="chat"} 3000"#), "{text}");
    let factor = r#"sluicegate_budget_estimate_factor{budget="chat",of="prompt"} 1.5"#;
    assert!(text.contains(factor), "{text}");
    next.settle(Settled::ByUsage(2000), now);
    assert_eq!(ledger.standing(Some("a"), now).available, 8000, "it is settled by what it took");
    let later = now + 2 * WINDOW;
    assert_eq!(ledger.reserve(Some("b"), of(2000), later).unwrap().estimate().prompt, 2500);
    assert!(metrics(&registry).contains(r#"of="prompt"} 1.25"#));
}

#[test]
fn what_fits_the_burst_is_not_too_large_because_of_others() {
    let (ledger, _registry, now) = ledger_of(1000);
    shows(&ledger, 1000, 4000, now);
    let all = ledger.reserve(Some("a"), of(999), now).unwrap();
    assert_eq!(all.estimate().prompt, 1000, "it reserves all there is");
    let denied = ledger.reserve(Some("a"), of(999), now).unwrap_err();
    let Denied::Empty { wait, asked: 1000, .. } = denied else { panic!("{denied:?}") };
    all.settle(Settled::ByUsage(1000), now);
    ledger.reserve(Some("a"), of(999), now + wait).unwrap().release(now);
    assert!(matches!(ledger.reserve(Some("a"), of(1001), now), Err(Denied::TooLarge { asked: 1001, .. })));
}

#[test]
fn a_wait_that_was_told_stays_true_when_estimates_rise_meanwhile() {
    let (ledger, _registry, now) = ledger_of(1000);
    ledger.reserve(Some("a"), of(1000), now).unwrap().settle(Settled::ByUsage(1000), now);
    let Err(Denied::Empty { wait, asked: 300, .. }) = ledger.reserve(Some("a"), of(300), now) else {
        panic!("it is empty")
    };
    shows(&ledger, 500, 1500, now);
    let then = now + wait;
    let back = ledger.reserve(Some("a"), of(300), then).unwrap();
    assert_eq!(back.estimate().prompt, 300, "as it was told");
    back.settle(Settled::ByUsage(300), then);
    // Its next one is judged as everybody's, and so is who comes back much too late.
    let Err(Denied::Empty { wait, asked, .. }) = ledger.reserve(Some("a"), of(300), then) else {
        panic!("it is empty")
    };
    assert_eq!(asked, 900);
    let late = then + 2 * wait + Duration::from_secs(1);
    shows(&ledger, 250, 1000, late);
    assert_eq!(ledger.reserve(Some("a"), of(200), late).unwrap().estimate().prompt, 800);
}

#[test]
fn a_stream_takes_what_is_there_and_is_told_when_it_was_not() {
    let (ledger, _registry, now) = ledger_of(1000);
    let mut stream = ledger.reserve(Some("a"), of(600), now).unwrap();
    let other = ledger.reserve(Some("a"), of(300), now).unwrap();
    assert!(stream.draw(600, now) && stream.draw(700, now), "it was there");
    assert_eq!(ledger.standing(Some("a"), now).available, 0);
    assert!(!stream.draw(701, now));
    assert!(stream.draw(701, now), "what was taken once is not taken again");
    assert_eq!(ledger.standing(Some("a"), now).debt, 1);
    other.release(now);
    stream.may_use(5000, now);
    assert_eq!((ledger.standing(Some("a"), now).available, ledger.standing(Some("a"), now).debt), (0, 0));
    stream.may_use(10, now);
    stream.settle(Settled::ByUsage(700), now);
    assert_eq!(ledger.standing(Some("a"), now).available, 300);
}

/// What happens to one of some tenants.
#[derive(Clone, Debug)]
enum Step {
    Reserves { tenant: u8, prompt: u64, output: u64, limited: bool },
    Draws { which: usize, used: u64 },
    MayUse { which: usize, tokens: u64 },
    Settles { which: usize, prompt: u64, output: u64 },
    Leaves { which: usize },
}

fn steps() -> impl Strategy<Value = Vec<(u64, Step)>> {
    let step = prop_oneof![
        4 => (0u8..3, 0u64..2000, 0u64..2000, any::<bool>()).prop_map(|(tenant, prompt, output, limited)| {
            Step::Reserves { tenant, prompt, output, limited }
        }),
        2 => (any::<usize>(), 0u64..6000).prop_map(|(which, used)| Step::Draws { which, used }),
        1 => (any::<usize>(), 0u64..6000).prop_map(|(which, tokens)| Step::MayUse { which, tokens }),
        3 => (any::<usize>(), 0u64..6000, 0u64..6000).prop_map(|(which, prompt, output)| {
            Step::Settles { which, prompt, output }
        }),
        1 => any::<usize>().prop_map(|which| Step::Leaves { which }),
    ];
    prop::collection::vec((0u64..200, step), 1..60)
}

fn name(tenant: u8) -> String {
    format!("tenant-{tenant}")
}

proptest! {
    /// Nothing comes back meanwhile: one token in a year.
    #[test]
    fn the_books_balance_whatever_is_learned(steps in steps()) {
        let (mut registry, mut now) = (Registry::default(), Instant::now());
        let rule = Rule::new(1, Duration::from_secs(365 * 86_400), 5000).unwrap();
        let ledger = Budgets::new(&mut registry).ledger("chat", rule, now);
        let mut open = Vec::new();
        let mut charged = [0u64; 3];
        for (gap, step) in steps {
            now += Duration::from_secs(gap);
            match step {
                Step::Reserves { tenant, prompt, output, limited } => {
                    let asked = Estimate { prompt, output, limited };
                    let before = ledger.standing(Some(&name(tenant)), now).available;
                    match ledger.reserve(Some(&name(tenant)), asked, now) {
                        Ok(reservation) => {
                            let raised = reservation.estimate();
                            prop_assert!(raised.prompt >= prompt && raised.output >= output);
                            prop_assert!(raised.total() <= before);
                            open.push((tenant, reservation));
                        }
                        Err(Denied::TooLarge { .. }) => prop_assert!(asked.total() > 5000),
                        Err(Denied::Empty { asked: raised, .. }) => {
                            prop_assert!(raised > before && raised >= asked.total() && raised <= 5000);
                        }
                    }
                }
                Step::Draws { which, used } if !open.is_empty() => {
                    let at = which % open.len();
                    let (tenant, reservation) = &mut open[at];
                    let there = reservation.draw(used, now);
                    prop_assert!(there || ledger.standing(Some(&name(*tenant)), now).debt > 0);
                }
                Step::MayUse { which, tokens } if !open.is_empty() => {
                    let at = which % open.len();
                    let (tenant, reservation) = &mut open[at];
                    let debt = ledger.standing(Some(&name(*tenant)), now).debt;
                    reservation.may_use(tokens, now);
                    prop_assert_eq!(ledger.standing(Some(&name(*tenant)), now).debt, debt);
                }
                Step::Settles { which, prompt, output } if !open.is_empty() => {
                    let (tenant, reservation) = open.swap_remove(which % open.len());
                    reservation.learn(Some(prompt), output, now);
                    reservation.settle(Settled::ByUsage(prompt + output), now);
                    charged[usize::from(tenant)] += prompt + output;
                }
                Step::Leaves { which } if !open.is_empty() => {
                    drop(open.swap_remove(which % open.len()));
                }
                _ => {}
            }
        }
        drop(open);
        for tenant in 0..3 {
            let standing = ledger.standing(Some(&name(tenant)), now);
            let missing = 5000 - standing.available + standing.debt;
            let charged = charged[usize::from(tenant)];
            // A token may have come back, and drops happen at another clock's now.
            prop_assert!(missing.abs_diff(charged) <= 1, "{missing} {charged}");
        }
        let text = metrics(&registry);
        prop_assert!(text.contains(r#"sluicegate_budget_held_tokens{budget="chat"} 0"#), "{}", text);
        prop_assert!(text.contains(r#"sluicegate_budget_reservations{budget="chat"} 0"#), "{}", text);
    }

    #[test]
    fn whoever_waits_as_told_is_let_in_whatever_others_show_meanwhile(
        before in prop::collection::vec((1u64..900, 0u64..5000), 0..4),
        used in 1u64..3000,
        asked in 1u64..=1000,
        meanwhile in prop::collection::vec((0u64..=100, 1u64..900, 0u64..9000), 0..8),
    ) {
        let (ledger, _registry, mut now) = ledger_of(1000);
        for (estimate, took) in before {
            shows(&ledger, estimate, took, now);
            now += WINDOW / 4;
        }
        ledger.reserve(Some("a"), of(1), now).unwrap().settle(Settled::ByUsage(used), now);
        let wait = match ledger.reserve(Some("a"), of(asked), now) {
            Err(Denied::Empty { wait, .. }) => wait,
            Ok(reservation) => {
                reservation.release(now);
                return Ok(());
            }
            Err(denied) => return Err(TestCaseError::fail(denied.to_string())),
        };
        for (percent, estimate, took) in meanwhile {
            shows(&ledger, estimate, took, now + wait.mul_f64(percent as f64 / 100.0));
        }
        prop_assert!(ledger.reserve(Some("a"), of(asked), now + wait).is_ok());
    }
}
