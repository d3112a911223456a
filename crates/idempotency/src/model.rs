//! The whole against what it promises: random sends, duplicates, hang-ups, upstream outcomes,
//! lost holders and store failures, after which no key may have been done twice and every
//! answer under it must be the first one's.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use proptest::prelude::*;
use tokio::{sync::oneshot, task::JoinHandle};

use crate::{
    IdempotencySettings, WhenLost,
    testing::{Act, Failing, Got, Rig, RigOptions, answer, post, until, when_told},
};

/// What happens next.
#[derive(Clone, Copy, Debug)]
enum Op {
    /// A client sends a request under one of the keys, with one of two bodies; the upstream
    /// will do this with it if it gets there.
    Send { key: u8, other_body: bool, outcome: Outcome, waits: bool },
    /// A client hangs up.
    HangUp(u8),
    /// The upstream answers one of those who wait for it.
    Tell(u8),
    /// Time passes.
    Pass(u16),
    /// The store fails from here on, or works again.
    Store(Failing),
    /// The next writes of the store fail so.
    Writes(Failing),
    /// All leases lapse, as when the store has not heard of this gateway for too long.
    Lapse,
}

#[derive(Clone, Copy, Debug)]
enum Outcome {
    Made,
    NotFound,
    NotNow,
    Failed,
    Reset,
    Unreachable,
}

impl Outcome {
    fn act(self) -> Act {
        match self {
            Self::Made => answer(201, "made"),
            Self::NotFound => answer(404, "no"),
            Self::NotNow => answer(429, "later"),
            Self::Failed => answer(500, "oops"),
            Self::Reset => Act::Reset,
            Self::Unreachable => Act::Unreachable,
        }
    }
}

fn any_op() -> impl Strategy<Value = Op> {
    let outcome = prop_oneof![
        4 => Just(Outcome::Made),
        1 => Just(Outcome::NotFound),
        2 => Just(Outcome::NotNow),
        1 => Just(Outcome::Failed),
        1 => Just(Outcome::Reset),
        1 => Just(Outcome::Unreachable),
    ];
    let failing = || prop_oneof![Just(Failing::No), Just(Failing::Unheard), Just(Failing::Unanswered)];
    let sent = (0..3u8, prop::bool::weighted(0.1), outcome, any::<bool>());
    prop_oneof![
        8 => sent.prop_map(|(key, other_body, outcome, waits)| Op::Send { key, other_body, outcome, waits }),
        2 => any::<u8>().prop_map(Op::HangUp),
        4 => any::<u8>().prop_map(Op::Tell),
        3 => (0..3000u16).prop_map(Op::Pass),
        1 => failing().prop_map(Op::Store),
        1 => failing().prop_map(Op::Writes),
        1 => Just(Op::Lapse),
    ]
}

struct World {
    rig: Rig,
    clients: Vec<(u8, JoinHandle<Got>)>,
    told: Vec<oneshot::Sender<()>>,
    answers: HashMap<u8, HashSet<(u16, String)>>,
    /// Keys whose fate may be unknown for a reason of their own.
    doubtful: HashSet<u8>,
    bodies: HashMap<u8, HashSet<bool>>,
    lapsed: bool,
}

impl World {
    fn new() -> Self {
        let settings = IdempotencySettings { when_lost: WhenLost::Closed, ..IdempotencySettings::default() };
        let lease = Some(Duration::from_secs(3600));
        Self {
            rig: Rig::with(RigOptions { settings, lease, ..RigOptions::default() }),
            clients: Vec::new(),
            told: Vec::new(),
            answers: HashMap::new(),
            doubtful: HashSet::new(),
            bodies: HashMap::new(),
            lapsed: false,
        }
    }

    async fn step(&mut self, op: Op) {
        match op {
            Op::Send { key, other_body, outcome, waits } => self.send(key, other_body, outcome, waits),
            Op::HangUp(at) if !self.clients.is_empty() => {
                let at = usize::from(at) % self.clients.len();
                self.clients.swap_remove(at).1.abort();
            }
            Op::Tell(at) if !self.told.is_empty() => {
                let at = usize::from(at) % self.told.len();
                drop(self.told.swap_remove(at));
            }
            Op::Pass(millis) => tokio::time::sleep(Duration::from_millis(millis.into())).await,
            Op::Store(failing) => self.rig.store.fail(failing),
            Op::Writes(failing) => self.rig.store.fail_writes([failing]),
            Op::Lapse => {
                self.lapsed = true;
                self.rig.store.memory.lose_holders();
            }
            Op::HangUp(_) | Op::Tell(_) => {}
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
        self.collect().await;
    }

    fn send(&mut self, key: u8, other_body: bool, outcome: Outcome, waits: bool) {
        let act = if waits {
            let (told, act) = when_told(outcome.act());
            self.told.push(told);
            act
        } else {
            outcome.act()
        };
        self.rig.upstream.then(act);
        // Acts are taken in the order of arrival, so any key may meet any of them.
        if matches!(outcome, Outcome::Failed | Outcome::Reset) {
            self.doubtful.extend(0..3);
        }
        self.bodies.entry(key).or_default().insert(other_body);
        let body = if other_body { r#"{"a":2}"# } else { r#"{"a":1}"# };
        let client = tokio::spawn(self.rig.ask(post(&format!("k-{key}"), body)));
        self.clients.push((key, client));
    }

    /// Looks at the answers that have come.
    async fn collect(&mut self) {
        let mut at = 0;
        while at < self.clients.len() {
            if self.clients[at].1.is_finished() {
                let (key, client) = self.clients.swap_remove(at);
                self.check(key, &client.await.unwrap());
            } else {
                at += 1;
            }
        }
        assert!(self.rig.upstream.most_effects() <= 1, "a key was done twice");
    }

    fn check(&mut self, key: u8, got: &Got) {
        let is_refusal =
            got.headers.get("content-type").is_some_and(|kind| kind == "application/problem+json");
        if !is_refusal {
            match got.status {
                201 | 404 => {
                    let answers = self.answers.entry(key).or_default();
                    answers.insert((got.status, got.text().to_owned()));
                    assert_eq!(answers.len(), 1, "two answers under one key: {answers:?}");
                }
                429 | 500 => assert!(!got.is_replay(), "{got:?}"),
                _ => panic!("nobody gave this answer: {got:?}"),
            }
            return;
        }
        match got.code().as_str() {
            "idempotency_outcome_unknown" => {
                assert!(self.lapsed || self.doubtful.contains(&key), "the fate of {key} is known");
            }
            "idempotency_conflict" => assert_eq!(self.bodies[&key].len(), 2),
            "idempotency_in_flight" | "store_unavailable" | "upstream_reset" | "upstream_unreachable" => {}
            other => panic!("{other} is not said here"),
        }
    }

    /// Everything heals and ends; then every key is asked once more.
    async fn end(mut self) {
        self.told.clear();
        self.rig.store.heal();
        let keeper = tokio::spawn(self.rig.fences.run());
        tokio::time::sleep(Duration::from_secs(10)).await;
        self.rig.fences.idle().await;
        until(|| self.clients.iter().all(|(_, client)| client.is_finished())).await;
        self.collect().await;
        assert_eq!(self.rig.metric("sluicegate_fence_running"), 0);
        assert_eq!(self.rig.fences.budget().taken(), 0);
        for key in 0..3 {
            let before = self.rig.upstream.calls();
            let known = self.answers.get(&key).cloned();
            let other_body = self.bodies.get(&key).is_some_and(|bodies| !bodies.contains(&false));
            let body = if other_body { r#"{"a":2}"# } else { r#"{"a":1}"# };
            let got = self.rig.ask(post(&format!("k-{key}"), body)).await;
            self.check(key, &got);
            if known.is_some() && got.status != 422 {
                assert!(got.is_replay(), "an answer that was given is given again: {got:?}");
                assert_eq!(self.rig.upstream.calls(), before);
            }
            assert!(self.rig.upstream.most_effects() <= 1, "a key was done twice");
        }
        keeper.abort();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_done_twice_and_every_answer_is_the_first_ones(ops in prop::collection::vec(any_op(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let mut world = World::new();
            for op in ops {
                world.step(op).await;
            }
            world.end().await;
        });
    }
}
