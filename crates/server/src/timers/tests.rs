use std::{future::poll_fn, task::Poll, time::Duration};

use tokio::time::{Instant, advance};

use super::{Activity, Alarm, Expired, Phase};
use crate::ConnSettings;

const SETTINGS: ConnSettings = ConnSettings {
    header_read: Duration::from_secs(10),
    idle: Duration::from_secs(60),
    write_stall: Duration::from_secs(30),
    max_header_bytes: 0,
    max_connections: 1,
    trusted_peers: sluicegate_core::TrustedPeers::new(Vec::new()),
};

/// Waits for the alarm and tells what rang, and after how many seconds.
async fn rings(alarm: &mut Alarm, activity: &Activity) -> (Expired, u64) {
    let from = Instant::now();
    let expired = poll_fn(|cx| alarm.poll(activity, cx)).await;
    (expired, from.elapsed().as_secs())
}

/// Polls the alarm as the connection's task does whenever anything happens.
async fn poll(alarm: &mut Alarm, activity: &Activity) -> Poll<Expired> {
    poll_fn(|cx| Poll::Ready(alarm.poll(activity, cx))).await
}

#[tokio::test(start_paused = true)]
async fn a_fresh_connection_and_a_dripping_head_share_one_deadline() {
    let activity = Activity::http1(&SETTINGS, SETTINGS.header_read);
    let mut alarm = Alarm::new(&activity);
    for _ in 0..9 {
        advance(Duration::from_secs(1)).await;
        activity.bytes_read();
        assert!(poll(&mut alarm, &activity).await.is_pending());
    }
    assert_eq!(rings(&mut alarm, &activity).await, (Expired::Header { begun: true }, 1));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_says_nothing_is_told_apart() {
    let activity = Activity::http1(&SETTINGS, SETTINGS.header_read);
    let mut alarm = Alarm::new(&activity);
    assert_eq!(rings(&mut alarm, &activity).await, (Expired::Header { begun: false }, 10));
}

#[tokio::test(start_paused = true)]
async fn rest_is_measured_from_the_end_of_the_last_answer() {
    let activity = Activity::http1(&SETTINGS, SETTINGS.header_read);
    let mut alarm = Alarm::new(&activity);
    for _ in 0..3 {
        activity.bytes_read();
        activity.request_began(false);
        assert!(poll(&mut alarm, &activity).await.is_pending());
        advance(Duration::from_secs(500)).await;
        assert!(poll(&mut alarm, &activity).await.is_pending(), "a running request has no deadline here");
        activity.request_ended();
        advance(Duration::from_secs(59)).await;
        assert!(poll(&mut alarm, &activity).await.is_pending());
    }
    assert_eq!(rings(&mut alarm, &activity).await, (Expired::Idle, 1));
}

#[tokio::test(start_paused = true)]
async fn the_next_head_has_its_own_time_which_may_be_shorter_than_the_rest() {
    let activity = Activity::http1(&SETTINGS, SETTINGS.header_read);
    let mut alarm = Alarm::new(&activity);
    activity.request_began(false);
    activity.request_ended();
    assert!(poll(&mut alarm, &activity).await.is_pending());
    advance(Duration::from_secs(5)).await;
    activity.bytes_read();
    assert_eq!(activity.phase(), Phase::Head);
    assert_eq!(rings(&mut alarm, &activity).await, (Expired::Header { begun: true }, 10));
}

#[tokio::test(start_paused = true)]
async fn http2_rests_only_when_the_last_stream_has_ended_even_if_another_task_says_so() {
    let activity = Activity::http2(&SETTINGS);
    let mut alarm = Alarm::new(&activity);
    activity.request_began(false);
    activity.request_began(false);
    activity.bytes_read();
    activity.request_ended();
    assert_eq!(activity.phase(), Phase::Busy);
    advance(Duration::from_secs(300)).await;
    assert!(poll(&mut alarm, &activity).await.is_pending());
    // Nobody polls the connection's task when this happens: the alarm must find out.
    activity.request_ended();
    let (expired, after) = rings(&mut alarm, &activity).await;
    assert_eq!(expired, Expired::Idle);
    assert!((60..=61).contains(&after), "{after}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_given_up_and_one_that_takes_little_is_not() {
    let activity = Activity::http1(&SETTINGS, SETTINGS.header_read);
    let mut alarm = Alarm::new(&activity);
    activity.request_began(false);
    activity.write_pending(false);
    for _ in 0..3 {
        advance(Duration::from_secs(20)).await;
        activity.write_pending(true);
        assert!(poll(&mut alarm, &activity).await.is_pending());
    }
    advance(Duration::from_secs(20)).await;
    activity.write_pending(false);
    assert_eq!(rings(&mut alarm, &activity).await, (Expired::WriteStall, 10));
}

#[tokio::test(start_paused = true)]
async fn rest_begins_when_the_client_has_taken_its_answer() {
    let activity = Activity::http1(&SETTINGS, SETTINGS.header_read);
    let mut alarm = Alarm::new(&activity);
    activity.request_began(false);
    activity.write_pending(false);
    activity.request_ended();
    advance(Duration::from_secs(25)).await;
    activity.write_done();
    assert_eq!(rings(&mut alarm, &activity).await, (Expired::Idle, 60));
}

#[tokio::test(start_paused = true)]
async fn hurry_shortens_the_wait_for_a_first_request_once() {
    let activity = Activity::http1(&SETTINGS, SETTINGS.header_read);
    let mut alarm = Alarm::new(&activity);
    activity.hurry(Duration::from_secs(2));
    advance(Duration::from_secs(1)).await;
    activity.hurry(Duration::from_secs(2));
    assert_eq!(rings(&mut alarm, &activity).await, (Expired::Header { begun: false }, 1));
}

#[tokio::test(start_paused = true)]
async fn after_a_farewell_a_rest_is_short_but_a_request_is_not() {
    let activity = Activity::http2(&SETTINGS);
    let mut alarm = Alarm::new(&activity);
    assert_eq!(rings(&mut alarm, &activity).await, (Expired::Idle, 60));
    activity.farewell();
    assert_eq!(rings(&mut alarm, &activity).await, (Expired::Idle, 10));
    activity.request_began(false);
    advance(Duration::from_secs(100)).await;
    assert!(poll(&mut alarm, &activity).await.is_pending());
    activity.request_ended();
    assert!((10..=11).contains(&rings(&mut alarm, &activity).await.1));
}
