//! Budgets of LLM tokens: what answers of real shapes cost, on every way out.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod answers;
mod books;
mod crowd;
mod cut;
mod rig;
mod shapes;

use sluicegate_admission::budget::{Budgets, Ledger, Metered, Reservation};

/// Under axum and tonic a body must be `Send`, and a plan's handles are shared by workers.
#[test]
fn all_of_it_may_be_shared_by_workers() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<Budgets>();
    shared::<Ledger>();
    shared::<Reservation>();
    shared::<Metered<http_body_util::Full<bytes::Bytes>>>();
}
