use jiff::SignedDuration;
use tokio::sync::broadcast::Receiver;

use super::{
    FreezeEvent,
    FreezeEventKind::{self, Announce, Drained, End, Start},
};
use crate::{
    FreezeOrder, FreezeSettings, Window,
    testing::{advance, at, freezes, settings, window, write},
};

fn told(events: &mut Receiver<FreezeEvent>) -> Vec<(FreezeEventKind, String)> {
    std::iter::from_fn(|| events.try_recv().ok()).map(|event| (event.kind, event.id.to_string())).collect()
}

fn each(kinds: &[FreezeEventKind], id: &str) -> Vec<(FreezeEventKind, String)> {
    kinds.iter().map(|kind| (*kind, id.to_owned())).collect()
}

#[tokio::test(start_paused = true)]
async fn a_window_is_announced_begins_is_drained_and_ends() {
    let freezes = freezes();
    let mut events = freezes.events();
    let _timekeeper = tokio::spawn(freezes.run());
    let announced = Window { announce: SignedDuration::from_secs(20), ..window("night", 60, 90) };
    freezes.apply(&settings(vec![announced]));
    assert_eq!(told(&mut events), []);
    advance(40_500).await;
    assert!(freezes.status().next[0].announced);
    let event = events.try_recv().unwrap();
    assert_eq!((event.kind, &*event.id, event.since, event.until), (Announce, "night", at(60), Some(at(90))));
    let (facts, guard) = write(&freezes);
    advance(20_000).await;
    assert_eq!(told(&mut events), each(&[Start], "night"));
    sluicegate_core::Attempt::ended(facts.attempt());
    drop(guard);
    advance(1000).await;
    assert_eq!(told(&mut events), each(&[Drained], "night"));
    advance(40_000).await;
    let end = events.try_recv().unwrap();
    assert_eq!((end.kind, end.since, end.window), (End, at(60), Some(at(60))));
    assert!(end.drained_at.is_some());
    assert_eq!(told(&mut events), []);
}

#[tokio::test(start_paused = true)]
async fn what_goes_on_and_off_at_once_is_told_whole() {
    let freezes = freezes();
    let mut events = freezes.events();
    for _ in 0..3 {
        freezes.put("x", FreezeOrder::default()).await.unwrap();
        freezes.remove("x", None).await.unwrap();
    }
    assert_eq!(told(&mut events), each(&[Start, Drained, End].repeat(3), "x"));
    freezes.put("x", FreezeOrder::default()).await.unwrap();
    told(&mut events);
    let words = FreezeOrder { reason: Some("other words".into()), ..FreezeOrder::default() };
    freezes.put("x", words).await.unwrap();
    assert_eq!(told(&mut events), [], "other words are no other freeze");
    freezes.apply(&FreezeSettings { read_only: true, ..FreezeSettings::default() });
    assert_eq!(told(&mut events), each(&[Start, Drained], "config"));
}
