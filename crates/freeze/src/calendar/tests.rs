use std::{sync::Arc, time::Duration};

use jiff::{Timestamp, civil::date, tz::TimeZone};
use prometheus_client::registry::Registry;
use serde_json::json;
use sluicegate_core::{Chance, Clock};

use super::{AHEAD, Calendar};
use crate::{FreezeInput, FreezeSettings, Freezes, OpenOptions};

fn read(windows: &serde_json::Value) -> FreezeSettings {
    let input: FreezeInput = serde_json::from_value(json!({ "windows": windows })).unwrap();
    input.check().unwrap()
}

fn utc(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn opened(now: &str) -> Freezes {
    let options = OpenOptions {
        path: None,
        clock: Clock::simulated(utc(now).into()),
        chance: Arc::new(Chance::seeded(7)),
        shards: 1,
    };
    Freezes::open(options, &mut Registry::default()).unwrap()
}

fn nightly() -> serde_json::Value {
    json!([{
        "id": "nightly", "rule": "FREQ=WEEKLY;BYDAY=SU;BYHOUR=2", "time_zone": "Europe/Berlin",
        "from": "2030-01-06T02:00:00", "duration": "1h", "announce": "24h", "except": ["2030-01-20"],
    }])
}

#[test]
fn the_next_times_are_laid_out_and_what_has_run_out_is_laid_out_anew() {
    let settings = Arc::new(read(&nightly()));
    let now = utc("2030-01-01T00:00:00Z");
    let calendar = Calendar::of(&settings, now, &[]);
    let starts: Vec<_> = calendar.all().map(|(_, at)| at.start.to_string()).collect();
    assert_eq!(starts[..3], ["2030-01-06T01:00:00Z", "2030-01-13T01:00:00Z", "2030-01-27T01:00:00Z"]);
    assert!(starts.len() >= AHEAD);
    assert!(calendar.holds(&settings, now));
    assert!(!calendar.holds(&settings, calendar.runs_out().unwrap()));
    assert!(!calendar.holds(&settings, utc("2029-12-31T00:00:00Z")), "not before it was made");
    assert!(!calendar.holds(&Arc::new(read(&nightly())), now), "nor for other settings");
    let absolute = Arc::new(read(
        &json!([{ "id": "a", "start": "2030-01-05T02:00:00Z", "end": "2030-01-05T03:00:00Z" }]),
    ));
    assert!(Calendar::of(&absolute, now, &[]).runs_out().is_none());
}

#[tokio::test(start_paused = true)]
async fn over_a_year_a_window_is_on_whenever_the_wall_clock_says_so_and_never_else() {
    let freezes = opened("2030-01-01T00:00:00Z");
    freezes.apply(&read(&nightly()));
    let berlin = TimeZone::get("Europe/Berlin").unwrap();
    let (mut on, mut times, mut was) = (0, 0, false);
    for step in 0..(366 * 24 * 4) {
        let now = utc("2030-01-01T00:00:00Z") + Duration::from_secs(step * 900);
        let local = berlin.to_datetime(now);
        // 02:00 to 03:00 does not exist on the 31st of March: the hour after it is meant.
        let hour = if local.date() == date(2030, 3, 31) { 3 } else { 2 };
        // On the 27th of October it comes twice: the first is meant.
        let twice = local.date() == date(2030, 10, 27) && now >= utc("2030-10-27T01:00:00Z");
        let expected = local.weekday() == jiff::civil::Weekday::Sunday
            && local.hour() == hour
            && local.date() != date(2030, 1, 20)
            && !twice;
        freezes.tick();
        let status = freezes.status();
        assert_eq!(status.active, expected, "at {now}, {local}");
        on += u32::from(expected);
        times += u32::from(expected && !was);
        was = expected;
        let next = status.next.first().expect("there is always a next one");
        assert!(
            next.starts > now && next.ends.duration_since(next.starts) == jiff::SignedDuration::from_hours(1)
        );
        assert_eq!(
            next.announced,
            next.starts.duration_since(now) <= jiff::SignedDuration::from_hours(24),
            "at {now}"
        );
        tokio::time::advance(Duration::from_secs(900)).await;
    }
    assert_eq!((times, on), (51, 51 * 4), "each Sunday of the year but one, for an hour each");
}

#[tokio::test(start_paused = true)]
async fn each_time_is_announced_as_long_before_as_its_window_says() {
    for (rule, announce) in
        [("FREQ=DAILY", 7 * 24), ("FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR", 3 * 24), ("FREQ=HOURLY", 5)]
    {
        let freezes = opened("2030-01-01T00:00:00Z");
        let settings = read(&json!([{
            "id": "w", "rule": rule, "from": "2030-01-01T02:00:00", "duration": "10m", "announce": format!("{announce}h"),
        }]));
        freezes.apply(&settings);
        let before = jiff::SignedDuration::from_hours(announce);
        for step in 0..(35 * 24) {
            freezes.tick();
            let now = utc("2030-01-01T00:00:00Z") + Duration::from_secs(step * 3600);
            let due = |start: &Timestamp| *start > now && start.duration_since(now) <= before;
            let expected: Vec<_> =
                settings.windows[0].times(now, 20).into_iter().map(|(start, _)| start).filter(due).collect();
            let announced = freezes.status().next.into_iter().filter(|next| next.announced);
            assert_eq!(announced.map(|next| next.starts).collect::<Vec<_>>(), expected, "{rule} at {now}");
            tokio::time::advance(Duration::from_secs(3600)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn more_than_the_next_times_are_never_announced_and_the_layout_holds_until_one_begins() {
    let freezes = opened("2030-01-01T00:30:00Z");
    freezes.apply(&read(&json!([{
        "id": "w", "rule": "FREQ=HOURLY", "from": "2030-01-01T01:00:00", "duration": "10m", "announce": "24h",
    }])));
    let version = freezes.version();
    for _ in 0..29 {
        tokio::time::advance(Duration::from_secs(60)).await;
        freezes.tick();
    }
    assert_eq!(freezes.version(), version, "nothing has changed");
    for _ in 0..100 {
        tokio::time::advance(Duration::from_secs(3600)).await;
        freezes.tick();
        let next = freezes.status().next;
        assert!(next.len() >= AHEAD && next.iter().all(|one| one.announced), "{next:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_time_is_dismissed_and_the_next_comes() {
    let freezes = opened("2030-01-06T01:30:00Z");
    freezes.apply(&read(&nightly()));
    let status = freezes.status();
    assert_eq!(status.freezes[0].since, utc("2030-01-06T01:30:00Z"), "it began while nobody ran");
    assert_eq!(status.freezes[0].until, Some(utc("2030-01-06T02:00:00Z")));
    let removed = freezes.remove("nightly", None).await.unwrap();
    assert_eq!(removed.dismissed_until, Some(utc("2030-01-06T02:00:00Z")));
    freezes.apply(&read(&nightly()));
    assert!(!freezes.status().active, "a reload does not bring it back");
    assert!(
        freezes.put("nightly", crate::FreezeOrder::default()).await.is_err(),
        "the id stays the calendar's"
    );
    tokio::time::advance(Duration::from_secs(7 * 24 * 3600)).await;
    freezes.tick();
    assert!(freezes.status().active);
}

#[tokio::test(start_paused = true)]
async fn what_was_thawed_stays_thawed_over_a_restart_and_the_next_time_comes() {
    let folder = tempfile::tempdir().unwrap();
    let opened = |now: &str| {
        let options = OpenOptions {
            path: Some(folder.path().join("freeze.json")),
            clock: Clock::simulated(utc(now).into()),
            chance: Arc::new(Chance::seeded(7)),
            shards: 1,
        };
        Freezes::open(options, &mut Registry::default()).unwrap()
    };
    let before = opened("2030-01-06T01:30:00Z");
    before.apply(&read(&nightly()));
    before.remove("nightly", None).await.unwrap();
    drop(before);
    let after = opened("2030-01-06T01:40:00Z");
    after.apply(&read(&nightly()));
    assert!(!after.status().active);
    drop(after);
    let next = opened("2030-01-13T01:40:00Z");
    next.apply(&read(&nightly()));
    assert!(next.status().active);
}

#[tokio::test(start_paused = true)]
async fn a_window_of_another_scope_is_a_new_freeze_with_a_start_of_its_own() {
    let freezes = opened("2030-01-06T01:00:00Z");
    freezes.apply(&read(&nightly()));
    tokio::time::advance(Duration::from_secs(600)).await;
    let mut narrower = nightly();
    narrower[0]["scope"] = json!({ "routes": ["ingest"] });
    freezes.apply(&read(&narrower));
    let freeze = freezes.status().freezes.remove(0);
    assert_eq!(
        (freeze.since, freeze.until),
        (utc("2030-01-06T01:10:00Z"), Some(utc("2030-01-06T02:00:00Z")))
    );
}

#[tokio::test(start_paused = true)]
async fn a_reload_changes_the_words_of_a_time_that_is_on_and_keeps_its_start() {
    let freezes = opened("2030-01-06T01:00:00Z");
    freezes.apply(&read(&nightly()));
    let mut told = freezes.events();
    tokio::time::advance(Duration::from_secs(600)).await;
    let mut longer = nightly();
    longer[0]["duration"] = "2h".into();
    longer[0]["reason"] = "rebuilding".into();
    freezes.apply(&read(&longer));
    let freeze = freezes.status().freezes.remove(0);
    assert_eq!(
        (freeze.since, freeze.until),
        (utc("2030-01-06T01:00:00Z"), Some(utc("2030-01-06T03:00:00Z")))
    );
    assert_eq!(freeze.reason.as_deref(), Some("rebuilding"));
    assert!(told.try_recv().is_err(), "it is the same freeze");
    let mut elsewhere = nightly();
    elsewhere[0]["time_zone"] = "America/New_York".into();
    freezes.apply(&read(&elsewhere));
    assert!(!freezes.status().active);
}

#[test]
fn days_that_follow_one_another_leave_no_gap() {
    let settings = Arc::new(read(&json!([{
        "id": "weekdays", "rule": "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR", "time_zone": "Europe/Berlin",
        "from": "2030-01-07T00:00:00", "duration": "24h",
    }])));
    let calendar = Calendar::of(&settings, utc("2030-01-07T12:00:00Z"), &[]);
    let week: Vec<_> = calendar.all().map(|(_, at)| (at.start, at.end)).collect();
    assert!(week[..5].windows(2).all(|two| two[0].1 == two[1].0), "{week:?}");
}
