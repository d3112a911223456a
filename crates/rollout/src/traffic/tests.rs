use std::time::Duration;

use prometheus_client::encoding::text::encode;
use sluicegate_core::{Arm, Role, Slot};

use super::PinsRefused;
use crate::{
    Shared,
    choice::How,
    recorder::Fault,
    testing::{Rig, view},
};

const CANDIDATE: Arm = Arm { slot: Slot::Second, role: Role::Candidate, is_sample: true };

#[test]
fn a_scrape_shows_what_happened_by_arm() {
    let rig = Rig::new(view(5));
    let recorder = rig.shared.recorder();
    recorder.chosen(Role::Candidate, How::Weight);
    recorder.chosen(Role::Candidate, How::Weight);
    recorder.chosen(Role::Active, How::Write);
    recorder.answered(CANDIDATE, Duration::from_millis(300));
    recorder.answered(CANDIDATE, Duration::from_secs(90));
    recorder.failed(CANDIDATE, Fault::FellBack);
    recorder.abandoned(Role::Active);
    rig.traffic.refused("retrieve", PinsRefused::Mismatch);
    for (series, value) in [
        (r#"sluicegate_rollout_requests_total{rollout="retriever",arm="candidate",how="weight"}"#, 2.0),
        (r#"sluicegate_rollout_requests_total{rollout="retriever",arm="active",how="write"}"#, 1.0),
        (r#"sluicegate_rollout_requests_total{rollout="retriever",arm="active",how="closed"}"#, 0.0),
        (r#"sluicegate_rollout_errors_total{rollout="retriever",arm="candidate",kind="fell_back"}"#, 1.0),
        (r#"sluicegate_rollout_abandoned_total{rollout="retriever",arm="active"}"#, 1.0),
        (r#"sluicegate_rollout_latency_seconds_count{rollout="retriever",arm="candidate"}"#, 2.0),
        (r#"sluicegate_rollout_latency_seconds_sum{rollout="retriever",arm="candidate"}"#, 90.3),
        (r#"sluicegate_rollout_latency_seconds_bucket{le="0.25",rollout="retriever",arm="candidate"}"#, 0.0),
        (r#"sluicegate_rollout_latency_seconds_bucket{le="0.5",rollout="retriever",arm="candidate"}"#, 1.0),
        (r#"sluicegate_rollout_latency_seconds_bucket{le="60.0",rollout="retriever",arm="candidate"}"#, 1.0),
        (r#"sluicegate_rollout_latency_seconds_bucket{le="+Inf",rollout="retriever",arm="candidate"}"#, 2.0),
        (r#"sluicegate_pin_refusals_total{route="retrieve",why="mismatch"}"#, 1.0),
    ] {
        assert_eq!(rig.series(series), Some(value), "{series}");
    }
}

#[test]
fn a_rollout_that_is_gone_shows_nothing_and_one_made_anew_shows_once() {
    let mut rig = Rig::new(view(5));
    let weighed = r#"sluicegate_rollout_requests_total{rollout="retriever",arm="active",how="weight"}"#;
    rig.shared.recorder().chosen(Role::Active, How::Weight);
    // A request of before still holds the old one.
    let old = std::mem::replace(&mut rig.shared, Shared::new("retriever", view(5), 1, &rig.traffic));
    rig.shared.recorder().chosen(Role::Active, How::Weight);
    let mut text = String::new();
    encode(&mut text, &rig.registry).unwrap();
    assert_eq!(text.lines().filter(|line| line.starts_with(weighed)).count(), 1);
    assert_eq!(rig.series(weighed), Some(2.0));
    drop(old);
    assert_eq!(rig.series(weighed), Some(1.0));
    rig.shared = Shared::new("other", view(5), 1, &rig.traffic);
    assert_eq!(rig.series(weighed), None);
}

/// What a client sends never becomes a label, and each series is there from the start.
#[test]
fn the_number_of_series_is_known_beforehand() {
    let rig = Rig::new(view(5));
    let lines = || {
        let mut text = String::new();
        encode(&mut text, &rig.registry).unwrap();
        text.lines().filter(|line| !line.starts_with('#')).count()
    };
    let before = lines();
    for how in How::ALL {
        rig.shared.recorder().chosen(Role::Candidate, how);
    }
    for fault in Fault::ALL {
        rig.shared.recorder().failed(CANDIDATE, fault);
    }
    rig.shared.recorder().answered(CANDIDATE, Duration::from_secs(1));
    assert_eq!((lines(), before), (before, 2 * (5 + 4 + 1 + 16 + 2)));
}
