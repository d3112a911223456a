//! A million tenants, each in debt, take the memory of as many as may have a cell. Alone in
//! its process, since it measures it.

#![allow(clippy::unwrap_used, clippy::expect_used)]
#![cfg(target_os = "linux")]

use std::time::Duration;

use sluicegate_admission::budget::{BYTES_PER_CELL, Budgets, Estimate, MOST_TENANTS, Rule, Settled};
use tokio::time::Instant;

fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse::<usize>().unwrap() * 1024
}

#[test]
fn a_million_tenants_in_debt_stay_within_the_stated_memory() {
    let now = Instant::now();
    let budgets = Budgets::new(&mut prometheus_client::registry::Registry::default());
    let rule = Rule::new(1000, Duration::from_secs(3600), 1000).unwrap();
    let ledger = budgets.ledger("llm", rule, now);
    let before = resident_bytes();
    for tenant in 0..1_000_000 {
        let estimate = Estimate { prompt: 1, output: 0, limited: true };
        if let Ok(reservation) = ledger.reserve(Some(&format!("tenant-{tenant}")), estimate, now) {
            reservation.settle(Settled::ByUsage(5000), now);
        }
    }
    let taken = resident_bytes().saturating_sub(before);
    // What the process itself takes meanwhile, and pages that are not full.
    let slack = 1024 * 1024;
    assert!(taken <= MOST_TENANTS * BYTES_PER_CELL + slack, "{taken} bytes");
    assert_eq!(ledger.standing(Some("tenant-0"), now).debt, 4000, "the first is not forgotten");
}
