//! Random freezes, kills, faults and fates: what must hold whatever happens.

use std::{collections::HashMap, time::Duration};

use proptest::prelude::*;
use sluicegate_store::{EntryState, fence::FenceState};

use crate::{
    IntentsSettings, RouteRules,
    input::BackfillSettings,
    testing::{self, Fate, Rig, Shaky, Switch, Upstream, advance, quick, write},
};

#[derive(Clone, Debug)]
enum Event {
    /// A marked write to one of the lines.
    Keep(u8),
    /// An unmarked one.
    Write(u8),
    Freeze,
    Thaw,
    /// The gateway is killed and started again.
    Kill,
    /// A second gateway comes or goes.
    Second,
    /// So many operations of the store fail.
    Fail(u32),
    /// The answers of so many are lost.
    Lose(u32),
    Wait(u64),
    /// So many turns of the runtime: a kill after them comes between any two steps.
    Turns(u8),
    Pause,
    Resume,
    Retry,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        6 => (0u8..4).prop_map(Event::Keep),
        3 => (0u8..4).prop_map(Event::Write),
        2 => Just(Event::Freeze),
        3 => Just(Event::Thaw),
        3 => Just(Event::Kill),
        1 => Just(Event::Second),
        2 => (1u32..12).prop_map(Event::Fail),
        2 => (1u32..12).prop_map(Event::Lose),
        6 => (0u64..80).prop_map(Event::Wait),
        6 => (0u8..40).prop_map(Event::Turns),
        1 => (500u64..3000).prop_map(Event::Wait),
        1 => Just(Event::Pause),
        1 => Just(Event::Resume),
        1 => Just(Event::Retry),
    ];
    proptest::collection::vec(event, 10..70)
}

fn fates() -> impl Strategy<Value = Vec<Vec<Fate>>> {
    let fate = prop_oneof![
        6 => Just(Fate::Status(200)),
        2 => Just(Fate::Undone(429)),
        1 => Just(Fate::Undone(400)),
        1 => Just(Fate::Undone(500)),
        2 => Just(Fate::DoneThenLost),
        1 => Just(Fate::LostUndone),
        2 => Just(Fate::Unreachable),
        1 => Just(Fate::Frozen),
    ];
    proptest::collection::vec(proptest::collection::vec(fate, 0..4), 70)
}

struct World {
    store: Shaky,
    settings: IntentsSettings,
    rules: RouteRules,
    freezer: Switch,
    upstream: Upstream,
    rigs: Vec<(Rig, tokio::task::JoinHandle<std::convert::Infallible>)>,
    /// The keys that were acknowledged, per line, in order.
    kept: Vec<(u8, String)>,
    /// Those that an operator sent again though in doubt: they may be done twice.
    risked: Vec<String>,
    fates: Vec<Vec<Fate>>,
    made: usize,
}

impl World {
    fn new(honours_keys: bool, fates: Vec<Vec<Fate>>) -> Self {
        let settings =
            IntentsSettings { backfill: BackfillSettings { tries: 5, ..quick().backfill }, ..quick() };
        let upstream = if honours_keys { Upstream::deduping() } else { Upstream::new() };
        upstream.latency(Duration::from_millis(7));
        let mut world = Self {
            store: Shaky::new(testing::clock()),
            settings,
            rules: RouteRules { honours_keys, ..RouteRules::default() },
            freezer: Switch::open(),
            upstream,
            rigs: Vec::new(),
            kept: Vec::new(),
            risked: Vec::new(),
            fates,
            made: 0,
        };
        world.start();
        world
    }

    fn start(&mut self) {
        let rig = Rig::over(self.store.clone(), self.settings.clone(), self.rules.clone());
        let running = rig.run(&self.freezer, &self.upstream);
        self.rigs.push((rig, running));
    }

    fn rig(&self) -> &Rig {
        &self.rigs[0].0
    }

    async fn kill(&mut self) {
        for (_, running) in self.rigs.drain(..) {
            running.abort();
            let _ = running.await;
        }
        self.store.lose_holders();
        self.start();
    }

    async fn send(&mut self, line: u8, marked: bool) {
        let key = format!("{line}-{:03}", self.made);
        self.upstream.fate(&key, &self.fates[self.made % self.fates.len()].clone());
        self.made += 1;
        let facts = self.rig().facts("ingest", None);
        if marked {
            facts.defer();
        }
        let request = write(&facts, &key, &line.to_string());
        // 204 is a write that nothing was ahead of: it passed.
        if self.rig().ask(request).await.is_ok_and(|answer| answer.status() == 202) {
            self.kept.push((line, key));
        }
    }

    async fn happen(&mut self, event: Event) {
        match event {
            Event::Keep(line) => self.send(line, true).await,
            Event::Write(line) => self.send(line, false).await,
            Event::Freeze => self.freezer.freeze(),
            Event::Thaw => self.freezer.thaw(),
            Event::Kill => self.kill().await,
            Event::Second if self.rigs.len() == 1 => self.start(),
            Event::Second => {
                // It goes in good order.
                if let Some((rig, running)) = self.rigs.pop() {
                    self.store.fail(0);
                    self.store.lose(0);
                    rig.intents.stop().await;
                    running.abort();
                }
            }
            Event::Fail(times) => self.store.fail(times),
            Event::Lose(times) => self.store.lose(times),
            Event::Wait(millis) => advance(millis).await,
            Event::Turns(turns) => {
                for _ in 0..turns {
                    tokio::task::yield_now().await;
                }
            }
            Event::Pause => drop(self.rig().intents.pause(None, None).await),
            Event::Resume => drop(self.rig().intents.resume().await),
            Event::Retry => self.retry().await,
        }
    }

    /// An operator takes up what is in doubt or dead.
    async fn retry(&mut self) {
        self.store.fail(0);
        self.store.lose(0);
        for (key, state) in self.rig().states().await {
            if matches!(state, EntryState::InDoubt | EntryState::Dead) {
                let id = self.rig().id(&key).await;
                if self.rig().intents.retry(&id).await.is_ok() {
                    self.risked.push(key);
                }
            }
        }
    }

    /// Lets everything come to rest.
    async fn settle(&mut self) {
        self.store.fail(0);
        self.store.lose(0);
        self.rig().intents.resume().await.unwrap();
        self.freezer.thaw();
        for _ in 0..2000 {
            advance(250).await;
            let line_is_held = |line: u8, states: &HashMap<String, EntryState>| {
                let line = format!("{line}-");
                states.iter().any(|(key, state)| key.starts_with(&line) && *state == EntryState::InDoubt)
            };
            let states: HashMap<_, _> = self.rig().states().await.into_iter().collect();
            let rests = self.kept.iter().all(|(line, key)| match states[key] {
                EntryState::Applying => false,
                EntryState::Queued => line_is_held(*line, &states),
                _ => true,
            });
            if rests {
                return;
            }
        }
        panic!("it never came to rest: {:?}", self.rig().states().await);
    }

    async fn check(&self, honours_keys: bool) {
        let states: HashMap<_, _> = self.rig().states().await.into_iter().collect();
        let done = self.upstream.done();
        for (_, key) in &self.kept {
            let state = *states.get(key).unwrap_or_else(|| panic!("{key} vanished"));
            let times = done.iter().filter(|known| *known == key).count();
            if !self.risked.contains(key) {
                assert!(times <= 1, "{key} was done {times} times and is {state:?}");
            }
            let fence = self.rig().fence(key).await;
            match state {
                EntryState::Applied => {
                    assert!(times >= 1, "{key} is applied and was not done");
                    assert!(matches!(fence, Some(FenceState::Sealed(_))), "{key}: {fence:?}");
                }
                EntryState::InDoubt => {
                    assert!(matches!(fence, Some(FenceState::Unknown(_))), "{key}: {fence:?}");
                }
                EntryState::Queued => {
                    assert!(matches!(fence, Some(FenceState::Deferred(_))), "{key}: {fence:?}");
                    assert!(
                        times == 0 || self.risked.contains(key) || honours_keys,
                        "{key} was done and waits"
                    );
                }
                EntryState::Dead => match fence {
                    None => assert!(times == 0 || self.risked.contains(key), "{key} is free and was done"),
                    Some(FenceState::Sealed(answer)) => assert_eq!(answer.status, 400),
                    other => panic!("{key}: {other:?}"),
                },
                other => panic!("{key} is {other:?}"),
            }
        }
        // Order: what was done first of each key, per line. One that an operator took up again
        // goes to the end of its line.
        for line in 0..4 {
            let mut first = Vec::new();
            for key in &done {
                let is_of_line = self.kept.iter().any(|(of, known)| *of == line && known == key);
                if is_of_line && !first.contains(key) && !self.risked.contains(key) {
                    first.push(key.clone());
                }
            }
            assert!(first.is_sorted(), "line {line}: {first:?}");
        }
    }
}

fn run(honours_keys: bool, events: Vec<Event>, fates: Vec<Vec<Fate>>) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async move {
        let mut world = World::new(honours_keys, fates);
        for event in events {
            world.happen(event).await;
        }
        world.settle().await;
        world.check(honours_keys).await;
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, max_shrink_iters: 400, ..ProptestConfig::default() })]

    #[test]
    fn nothing_accepted_is_lost_or_done_twice_and_lines_keep_their_order(
        honours_keys: bool, events in events(), fates in fates(),
    ) {
        run(honours_keys, events, fates);
    }
}
