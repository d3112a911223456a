//! No step, switch or start while an arm is not what it is pinned to.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use sluicegate_tests::{Client, Gateway, comes_true, eventually, rollouts::Stand};
use tokio::task::JoinSet;

use crate::{
    document,
    rag::{Rag, search},
    upstream,
};

const TOLD: [&str; 3] = ["MODEL_VER", "INDEX_HASH", "DOC_COUNT"];

const ROUTES: [&str; 2] = [
    "name: retrieve, match: { path: \"/v1/retrieve\", methods: [POST] }, access: read, upstream: { rollout: retriever }",
    "name: rest, match: { path: \"/{*rest}\" }, upstream: stable",
];

/// A run of two steps, which errors alone may end or hold.
const ROLLOUT: &str = "rollouts:\n  retriever: { active: stable, candidate: next, sticky: { header: x-user-id }, \
     steps: [50, 100], window: { at_least: 1s, samples: 50 }, gates: { error_rate: 0.2 }, \
     abort: { error_rate: 0.5 }, dry_run: [latency_p95_uplift, abort_latency_p99_ratio] }\n";

/// Two versions of the service, each as it is pinned, and the gateway.
struct Pair {
    stable: Rag,
    next: Rag,
    gateway: Gateway,
}

impl Pair {
    async fn start(more: &str) -> Self {
        let (stable, next) = (Rag::of("m-1").await, Rag::of("m-2").await);
        let upstreams = [
            upstream("stable", &[stable.url()], &stable.pins(&TOLD).await, more),
            upstream("next", &[next.url()], &next.pins(&TOLD).await, more),
        ];
        let gateway = Gateway::start(&document(&upstreams, &ROUTES, ROLLOUT));
        Self { stable, next, gateway }
    }

    async fn stand(&self) -> Stand {
        self.gateway.rollout("retriever").await
    }

    /// Expects a command to be refused because of this pin of this service, and nothing changed.
    async fn refused(&self, command: &str, pin: &str, wrong: &Rag) {
        let before = (self.stand().await, self.gateway.decisions("retriever").await);
        let answer = self.gateway.try_steer("retriever", command).await;
        let problem = answer.json();
        assert_eq!((answer.status, answer.code().as_str()), (409, "not_ready"), "{command}: {problem}");
        let said = problem.to_string();
        for what in [pin, &wrong.url()] {
            assert!(said.contains(what), "{command}: no {what} in {problem}");
        }
        let after = (self.stand().await, self.gateway.decisions("retriever").await);
        assert_eq!(after.0.place(), before.0.place(), "{command}");
        assert_eq!((after.0.phase, after.0.weight), (before.0.phase, before.0.weight), "{command}");
        assert_eq!((after.0.active, after.1), (before.0.active, before.1), "{command}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_moves_traffic_looks_at_both_manifests_now() {
    // What the gateway polls by itself is an hour old.
    let pair = Pair::start(", manifest: { path: /index/manifest, interval: 1h, timeout: 5s }").await;
    let gateway = &pair.gateway;
    let first = || pair.stable.count("/index/manifest") > 1 && pair.next.count("/index/manifest") > 1;
    eventually("the first reading", first).await;
    let mut refusals = 0;
    for wrong in [&pair.next, &pair.stable] {
        wrong.add("new").await;
        for command in ["start", "switch"] {
            pair.refused(command, "INDEX_HASH", wrong).await;
            refusals += 1;
        }
        wrong.remove("new").await;
        assert_eq!(gateway.steer("retriever", "start").await.phase, "running");
        wrong.add("new").await;
        for command in ["advance", "promote", "switch"] {
            pair.refused(command, "DOC_COUNT", wrong).await;
            refusals += 1;
        }
        // Ways out are open whatever an arm serves, and so is what moves nothing.
        assert_eq!(gateway.steer("retriever", "hold").await.phase, "held");
        pair.refused("advance", "DOC_COUNT", wrong).await;
        refusals += 1;
        assert_eq!(gateway.steer("retriever", "abort").await.phase, "aborted");
        wrong.remove("new").await;
    }
    // After a switch the way back is open as well.
    assert_eq!(gateway.steer("retriever", "switch").await.active, "next");
    pair.stable.add("new").await;
    assert_eq!(gateway.steer("retriever", "rollback").await.active, "stable");
    println!("pins steps: {refusals} commands refused with the difference, none changed anything");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_arm_whose_manifest_cannot_be_read_is_not_moved_to() {
    let pair = Pair::start(", manifest: { path: /index/manifest, interval: 1h, timeout: 5s }").await;
    eventually("the first reading", || pair.next.count("/index/manifest") > 1).await;
    let Pair { stable, next, gateway } = pair;
    let (address, before) = (next.address(), gateway.rollout("retriever").await);
    next.stop().await;
    for command in ["start", "switch"] {
        let answer = gateway.try_steer("retriever", command).await;
        assert_eq!((answer.status, answer.code().as_str()), (409, "not_ready"), "{answer:?}");
        assert!(answer.json().to_string().contains(&address.to_string()), "{answer:?}");
    }
    assert_eq!(gateway.rollout("retriever").await.place(), before.place());
    drop(stable);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_manifests_the_last_answers_decide() {
    let pair = Pair::start("").await;
    pair.next.add("new").await;
    // Nobody has heard of it yet: the first step is for finding out.
    assert_eq!(pair.gateway.steer("retriever", "start").await.phase, "running");
    let mut client = Client::h1(pair.gateway.address()).await;
    let mut user = 0;
    comes_true("the candidate has answered", async || {
        user += 1;
        assert_eq!(client.ask(of_user(user)).await.status, 200);
        pair.next.count("/v1/retrieve") > 0
    })
    .await;
    for command in ["advance", "promote", "switch"] {
        pair.refused(command, "DOC_COUNT", &pair.next).await;
    }
}

fn of_user(user: usize) -> http::Request<sluicegate_tests::client::Body> {
    let mut request = search();
    request.headers_mut().insert("x-user-id", format!("u{user}").parse().unwrap());
    request
}

/// Users who search without pause, each on the arm that was chosen.
struct Users {
    enough: Arc<AtomicBool>,
    answers: Arc<[AtomicUsize; 3]>,
    clients: JoinSet<Vec<String>>,
}

impl Users {
    /// Each answer must tell one of these, or be a refusal of the index.
    fn start(address: SocketAddr, allowed: &[String; 2]) -> Self {
        let (enough, answers) = (Arc::new(AtomicBool::new(false)), Arc::<[AtomicUsize; 3]>::default());
        let mut clients = JoinSet::new();
        for number in 0..6 {
            let (enough, answers, allowed) = (enough.clone(), answers.clone(), allowed.clone());
            clients.spawn(async move {
                let (mut client, mut wrong) = (Client::h1(address).await, Vec::new());
                for turn in 0.. {
                    if enough.load(Ordering::SeqCst) {
                        break;
                    }
                    let answer = client.ask(of_user(turn * 6 + number)).await;
                    let told = answer.header("x-wfgy");
                    let kind = if answer.status == 503 && answer.code() == "index_mismatch" {
                        Some(2)
                    } else {
                        allowed.iter().position(|pins| pins.is_empty() || told.contains(pins.as_str()))
                    };
                    match kind {
                        Some(kind) => drop(answers[kind].fetch_add(1, Ordering::SeqCst)),
                        None => wrong.push(format!("{} {told} {:?}", answer.status, answer.body)),
                    }
                }
                wrong
            });
        }
        Self { enough, answers, clients }
    }

    fn count(&self, kind: usize) -> usize {
        self.answers[kind].load(Ordering::SeqCst)
    }

    async fn stop(mut self) -> [usize; 3] {
        self.enough.store(true, Ordering::SeqCst);
        let mut wrong = Vec::new();
        while let Some(client) = self.clients.join_next().await {
            wrong.extend(client.expect("a client does not panic"));
        }
        assert!(wrong.is_empty(), "{} wrong answers: {:#?}", wrong.len(), &wrong[..wrong.len().min(5)]);
        [self.count(0), self.count(1), self.count(2)]
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_has_passed_is_held_while_an_arm_is_not_as_pinned() {
    let pair = Pair::start(", manifest: { path: /index/manifest, interval: 100ms }").await;
    let users = Users::start(pair.gateway.address(), &["MODEL_VER=m-1".into(), "MODEL_VER=m-2".into()]);
    // Asked for by an operator it would be refused; here it turns after the run has begun.
    pair.gateway.steer("retriever", "start").await;
    pair.next.add("new").await;
    let held = pair
        .gateway
        .until("retriever", "it is held", |stand| {
            assert!(stand.weight == 50, "the step was taken: {stand:?}");
            stand.phase == "held"
        })
        .await;
    let last = pair.gateway.decisions("retriever").await.pop().unwrap();
    let reason = last["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("DOC_COUNT") && reason.contains(&pair.next.url()), "{last}");
    assert_eq!((last["act"].as_str(), last["by"]["kind"].as_str()), (Some("held"), Some("gateway")));
    assert_eq!(held.step(), Some(0));
    // A person puts it right and lets it go on.
    pair.next.remove("new").await;
    pair.gateway.steer("retriever", "resume").await;
    let done = pair.gateway.until("retriever", "it goes on", |stand| stand.weight == 100).await;
    let [stable, next, _] = users.stop().await;
    println!("pins steps: held for {reason:?}; then {}, after {stable} and {next} answers", done.phase);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_that_turns_under_refuse_reaches_nobody_and_ends_its_run() {
    let pair = Pair::start(", on_mismatch: refuse, breaker: { consecutive: 0 }").await;
    let pinned = pair.next.pins(&TOLD).await;
    let told = |model: &str| format!("INDEX_HASH={},MODEL_VER={model}", pinned[1].1);
    let users = Users::start(pair.gateway.address(), &[told("m-1"), told("m-2")]);
    pair.gateway.steer("retriever", "start").await;
    pair.gateway.steer("retriever", "hold").await;
    eventually("both arms answer", || users.count(0) > 200 && users.count(1) > 200).await;
    pair.next.add("new").await;
    let begun = std::time::Instant::now();
    let aborted = pair.gateway.until("retriever", "it ends", |stand| stand.phase == "aborted").await;
    let took = begun.elapsed();
    assert_eq!((aborted.weight, aborted.active.as_str()), (0, "stable"));
    let stable = users.count(0);
    eventually("everybody is served", || users.count(0) > stable + 100).await;
    let fell = pair.gateway.count("sluicegate_rollout_fallbacks_total", "upstream=\"next\"").await;
    let [stable, next, refused] = users.stop().await;
    println!(
        "pins steps: a candidate that turns under refuse: aborted {took:?} later; {stable} and {next} answers, \
         {refused} refused, {fell} fell back, 0 wrong ones"
    );
    assert!(fell > 0 && took < Duration::from_secs(10));
}
