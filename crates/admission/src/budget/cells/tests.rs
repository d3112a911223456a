use std::time::Duration;

use tokio::time::Instant;

use super::{Cells, SHARDS, SWEEP_EVERY};
use crate::budget::rule::Rule;

fn rule() -> Rule {
    Rule::new(10, Duration::from_secs(1), 10).unwrap()
}

fn owe(cells: &Cells, tenant: &str, tokens: u64, now: u64) -> bool {
    let found = cells.find(Some(tenant), &rule(), now);
    found.cell.lock().hole.owe(tokens, &rule(), now);
    found.shared
}

#[test]
fn a_flood_of_tenants_forgets_no_debt() {
    let cells = Cells::new(SHARDS * 4, Instant::now());
    // One token comes back in 100 ms, so debtors are in debt for 100 s.
    for debtor in 0..SHARDS {
        owe(&cells, &format!("debtor-{debtor}"), 1000, 0);
    }
    let (mut now, mut more) = (0, 0);
    for flood in 0..5000 {
        now += 1_000_000;
        let found = cells.find(Some(&format!("flood-{flood}")), &rule(), now);
        more += found.more;
        found.cell.lock().hole.owe(1, &rule(), now);
    }
    assert!(cells.tenants() <= SHARDS * 4);
    assert_eq!(i64::try_from(cells.tenants()).unwrap(), more + i64::try_from(SHARDS).unwrap());
    for debtor in 0..SHARDS {
        let missing = cells.peek(Some(&format!("debtor-{debtor}"))).missing(&rule(), now);
        assert_eq!(missing, 950, "after 5 s");
    }
}

#[test]
fn where_nobody_is_full_new_tenants_share_one_cell() {
    let cells = Cells::new(1, Instant::now());
    let debtors = (0..200).filter(|debtor| !owe(&cells, &format!("debtor-{debtor}"), 20, 0)).count();
    assert_eq!(debtors, SHARDS, "one in each shard");
    let shared = cells.find(Some("new"), &rule(), 0);
    assert!(shared.shared && shared.cell.lock().hole.missing(&rule(), 0) > 20);
}

#[test]
fn what_is_full_again_makes_room_but_not_what_is_in_use() {
    let cells = Cells::new(1, Instant::now());
    let held: Vec<_> = (0..200)
        .map(|tenant| cells.find(Some(&format!("held-{tenant}")), &rule(), 0))
        .filter(|found| !found.shared)
        .collect();
    assert_eq!(held.len(), SHARDS);
    let later = u64::try_from(2 * SWEEP_EVERY.as_nanos()).unwrap();
    assert!(cells.find(Some("new"), &rule(), later).shared, "full, but in use");
    drop(held);
    assert!(!cells.find(Some("new"), &rule(), 2 * later).shared);
}

#[test]
fn a_million_tenants_keep_within_the_bound() {
    let cells = Cells::new(1000, Instant::now());
    for tenant in 0..1_000_000 {
        cells.find(Some(&format!("tenant-{tenant}")), &rule(), tenant * 1000);
    }
    assert!(cells.tenants() <= 1000usize.div_ceil(SHARDS) * SHARDS);
}

#[test]
fn no_tenant_is_not_a_tenant_without_a_name() {
    let cells = Cells::new(1000, Instant::now());
    cells.find(None, &rule(), 0).cell.lock().hole.owe(5, &rule(), 0);
    assert_eq!(cells.peek(None).missing(&rule(), 0), 5);
    assert_eq!(cells.peek(Some("")).missing(&rule(), 0), 0);
    assert!(!cells.all_full(&rule(), 0));
    assert!(cells.all_full(&rule(), 500_000_000));
}
