//! Runs on one gateway.

use super::{
    rig::{pass, series, until},
    *,
};

#[tokio::test(start_paused = true)]
async fn a_good_candidate_goes_through_all_steps_and_is_promoted_by_an_operator() {
    let rig = Rig::new();
    let mut one = rig.one().await;
    assert_eq!((one.serves(), one.phase()), ((0, Slot::First, true), "idle"));
    let started = one.rollouts.start("retriever", "ann").await.unwrap();
    assert_eq!((started.weight, started.run, started.phase.step()), (10, 1, Some(0)));
    let mut weights = Vec::new();
    let took = until(&mut [&mut one], |gateways| {
        let (weight, ..) = gateways[0].serves();
        if weights.last() != Some(&weight) {
            weights.push(weight);
        }
        gateways[0].phase() == "complete"
    })
    .await;
    assert_eq!(weights, [10, 50, 100]);
    assert!((30..60).contains(&took.as_secs()), "three windows of 10 s: {took:?}");
    pass(&mut [&mut one], Duration::from_secs(20)).await;
    assert_eq!((one.phase(), one.serves().0), ("complete", 100), "an operator promotes");
    let promoted = one.rollouts.promote("retriever", "ann").await.unwrap();
    assert_eq!((promoted.active.as_str(), one.serves()), ("next", (0, Slot::Second, true)));

    let history = one.rollouts.history("retriever").await.unwrap();
    let acts: Vec<_> = history.decisions.iter().map(|decision| decision.act).collect();
    assert_eq!(
        acts,
        [Act::Configured, Act::Started, Act::Advanced, Act::Advanced, Act::Completed, Act::Promoted]
    );
    let seqs: Vec<_> = history.decisions.iter().map(|decision| decision.seq).collect();
    assert_eq!(seqs, [1, 2, 3, 4, 5, 6]);
    let step = &history.decisions[2];
    let report = step.report.as_ref().unwrap();
    assert_eq!((report.verdict, step.weight, step.by.kind), (Verdict::Pass, [10, 50], ActorKind::Gateway));
    assert!(report.samples.iter().all(|samples| *samples >= 200) && report.gates.len() == 4, "{report:?}");
    assert_eq!(step.pins["next"]["INDEX_HASH"], "b2");
    assert_eq!(history.decisions[5].by.to_string(), "operator ann");
}

#[tokio::test(start_paused = true)]
async fn a_run_promotes_itself_where_the_document_says_so() {
    let rig = Rig::new();
    let mut one = rig.gateway("one", json!({ "auto_promote": true, "steps": [100] })).await;
    pass(&mut [&mut one], Duration::from_secs(5)).await;
    one.rollouts.start("retriever", "ann").await.unwrap();
    until(&mut [&mut one], |gateways| gateways[0].phase() == "complete").await;
    one.arms.0.lock().push("stable has no endpoint".into());
    pass(&mut [&mut one], Duration::from_secs(30)).await;
    assert_eq!(one.phase(), "complete", "not while an arm is not ready");
    one.arms.0.lock().clear();
    until(&mut [&mut one], |gateways| gateways[0].serves().1 == Slot::Second).await;
    assert_eq!(one.status().last.unwrap().by.kind, ActorKind::Gateway);
}

#[tokio::test(start_paused = true)]
async fn a_run_waits_for_what_else_it_is_gated_by_and_is_held_where_that_speaks_against_it() {
    let rig = Rig::new();
    let mut one = rig.gateway("one", json!({ "auto_promote": true })).await;
    let gate = one.arms.1.clone();
    *gate.lock() = Some(Gate::Waits("the shadow has too few pairs".into()));
    one.rollouts.start("retriever", "ann").await.unwrap();
    pass(&mut [&mut one], Duration::from_secs(60)).await;
    assert_eq!(one.serves().0, 10, "it has passed by its own numbers, and waits");
    let says = one.status().progress.unwrap().says;
    assert!(says.ends_with("; the step waits: the shadow has too few pairs"), "{says}");
    *gate.lock() = None;
    until(&mut [&mut one], |gateways| gateways[0].serves().0 == 50).await;
    *gate.lock() = Some(Gate::Shut(vec!["the shadow answers differently".into()]));
    until(&mut [&mut one], |gateways| gateways[0].phase() == "held").await;
    let reason = one.status().last.unwrap().reason.unwrap();
    assert_eq!(reason, "the step has passed, but: the shadow answers differently");
    assert_eq!(one.serves().0, 50, "nobody is moved");
    // A person may go on all the same.
    one.rollouts.advance("retriever", "ann").await.unwrap();
    assert_eq!(one.serves().0, 100);
    *gate.lock() = None;
    until(&mut [&mut one], |gateways| gateways[0].phase() == "complete").await;
    until(&mut [&mut one], |gateways| gateways[0].serves().1 == Slot::Second).await;
}

#[tokio::test(start_paused = true)]
async fn a_candidate_that_begins_to_fail_is_taken_out_and_stays_out() {
    let rig = Rig::new();
    let mut one = rig.one().await;
    one.rollouts.start("retriever", "ann").await.unwrap();
    until(&mut [&mut one], |gateways| gateways[0].serves().0 == 50).await;
    one.traffic = FAILING;
    let took = until(&mut [&mut one], |gateways| !gateways[0].serves().2).await;
    assert!(took <= Duration::from_secs(2), "{took:?}");
    assert_eq!(one.serves(), (0, Slot::First, false));
    until(&mut [&mut one], |gateways| gateways[0].status().troubles.is_empty()).await;
    let last = one.status().last.unwrap();
    assert_eq!((last.act, last.by.to_string().as_str(), last.weight), (Act::Aborted, "gateway one", [50, 0]));
    let verdict = last.report.unwrap().verdict;
    assert!(matches!(verdict, Verdict::Abort | Verdict::Fail), "{verdict}");
    assert!(last.reason.is_some_and(|reason| !reason.is_empty()));
    pass(&mut [&mut one], Duration::from_secs(60)).await;
    assert_eq!(one.serves(), (0, Slot::First, false));
    let history = one.rollouts.history("retriever").await.unwrap();
    assert_eq!(history.decisions.last().unwrap().act, Act::Aborted);
    let repeated = one.rollouts.abort("retriever", "ann", None).await.unwrap();
    assert_eq!(repeated.last.unwrap().by.to_string(), "gateway one", "it is aborted already");
}

#[tokio::test(start_paused = true)]
async fn gates_that_are_dry_runs_only_tell() {
    let rig = Rig::new();
    let dry = json!({ "dry_run": ["error_rate", "abort_error_rate"], "steps": [50, 100] });
    let mut one = rig.gateway("one", dry).await;
    one.traffic = FAILING;
    one.rollouts.start("retriever", "ann").await.unwrap();
    until(&mut [&mut one], |gateways| gateways[0].serves().0 == 100).await;
    let report = one.status().last.unwrap().report.unwrap();
    assert!(matches!(report.verdict, Verdict::Abort | Verdict::Fail), "it is told: {report:?}");
}

#[tokio::test(start_paused = true)]
async fn a_held_run_stays_and_is_aborted_only_by_the_abort_test() {
    let rig = Rig::new();
    let mut one = rig.one().await;
    one.rollouts.start("retriever", "ann").await.unwrap();
    pass(&mut [&mut one], Duration::from_secs(5)).await;
    let elapsed = |one: &Gateway| one.status().progress.unwrap().elapsed_ms;
    let held = one.rollouts.hold("retriever", "ann", Some("lunch")).await.unwrap();
    assert!(matches!(held.phase, Phase::Held { step: 0, .. }));
    pass(&mut [&mut one], Duration::from_secs(60)).await;
    assert!(elapsed(&one) >= 60_000, "the judging goes on");
    assert_eq!((one.phase(), one.serves().0), ("held", 10));
    one.rollouts.resume("retriever", "ann").await.unwrap();
    pass(&mut [&mut one], Duration::from_secs(2)).await;
    assert!(elapsed(&one) < 3_000, "the window begins anew");
    one.rollouts.hold("retriever", "ann", None).await.unwrap();
    one.traffic = FAILING;
    until(&mut [&mut one], |gateways| gateways[0].phase() == "aborted").await;
}

#[tokio::test(start_paused = true)]
async fn a_step_tells_what_remains() {
    let rig = Rig::new();
    let mut one = rig.one().await;
    one.traffic.requests = 10;
    assert_eq!(one.status().progress, None, "nothing is looked at");
    let mut versions = one.rollouts.subscribe();
    one.rollouts.start("retriever", "ann").await.unwrap();
    pass(&mut [&mut one], Duration::from_secs(4)).await;
    let progress = one.status().progress.unwrap();
    assert_eq!((progress.step, progress.of, progress.weight, progress.next), (Some(0), 3, 10, Some(50)));
    assert_eq!((progress.at_least_ms, progress.samples_needed), (10_000, 200));
    assert!((5_500..=6_500).contains(&progress.remaining_ms), "{progress:?}");
    let [active, candidate] = progress.samples;
    assert!((200..400).contains(&active) && (20..60).contains(&candidate), "{progress:?}");
    assert!(progress.missing[1] >= 140, "{progress:?}");
    assert_eq!((progress.verdict, progress.report.gates.len()), (Verdict::InsufficientData, 4));
    let seen = *versions.borrow_and_update();
    let (version, _) = one.rollouts.changed(seen, Duration::from_secs(5)).await;
    assert!(version > seen, "those who look on are told");
}

#[tokio::test(start_paused = true)]
async fn a_step_is_not_taken_while_an_arm_is_not_what_it_is_pinned_to() {
    let rig = Rig::new();
    let mut one = rig.one().await;
    let diff = "next: INDEX_HASH is b3, pinned to b2";
    one.arms.0.lock().push(diff.into());
    for command in [Command::Start, Command::Switch] {
        let refused = one.rollouts.command("retriever", command, "ann").await.unwrap_err();
        assert_eq!(refused, RolloutError::NotReady { diffs: vec![diff.into()] });
        assert!(refused.to_string().contains(diff) && refused.code() == "not_ready");
    }
    one.arms.0.lock().clear();
    one.rollouts.start("retriever", "ann").await.unwrap();
    one.arms.0.lock().push(diff.into());
    until(&mut [&mut one], |gateways| gateways[0].phase() == "held").await;
    let last = one.status().last.unwrap();
    assert!(last.reason.unwrap().contains(diff) && last.report.unwrap().verdict == Verdict::Pass);
    assert_eq!(one.serves().0, 10);
    one.rollouts.abort("retriever", "ann", None).await.unwrap();
    one.rollouts.set_weight("retriever", 1, "ann").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_switch_is_taken_back_while_it_is_watched() {
    let rig = Rig::new();
    let mut one = rig.one().await;
    pass(&mut [&mut one], Duration::from_secs(5)).await;
    one.rollouts.switch("retriever", "ann").await.unwrap();
    assert_eq!(one.serves(), (0, Slot::Second, true));
    pass(&mut [&mut one], Duration::from_secs(5)).await;
    assert_eq!(one.phase(), "switched");
    one.traffic = FAILING;
    let took = until(&mut [&mut one], |gateways| gateways[0].serves().1 == Slot::First).await;
    // One instant is one incident and never enough: the second second tells.
    assert!(took <= Duration::from_secs(3), "{took:?}");
    until(&mut [&mut one], |gateways| gateways[0].status().troubles.is_empty()).await;
    let last = one.status().last.unwrap();
    assert_eq!((last.act, last.active.as_str()), (Act::RolledBack, "stable"));
    assert_eq!(one.serves(), (0, Slot::First, false));

    one.traffic = GOOD;
    one.rollouts.switch("retriever", "ann").await.unwrap();
    pass(&mut [&mut one], Duration::from_secs(61)).await;
    one.traffic = FAILING;
    pass(&mut [&mut one], Duration::from_secs(30)).await;
    assert_eq!(one.serves().1, Slot::Second, "the hold is over");
    one.rollouts.rollback("retriever", "ann", None).await.unwrap();
    assert_eq!(one.serves(), (0, Slot::First, false));
}

#[tokio::test(start_paused = true)]
async fn a_switch_that_is_much_slower_than_what_users_knew_is_taken_back() {
    let rig = Rig::new();
    let mut one = rig.one().await;
    pass(&mut [&mut one], Duration::from_secs(30)).await;
    one.traffic = Traffic { slower: 4, ..GOOD };
    one.rollouts.switch("retriever", "ann").await.unwrap();
    until(&mut [&mut one], |gateways| gateways[0].serves().1 == Slot::First).await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_done_is_told() {
    let rig = Rig::new();
    let one = rig.one().await;
    let refused = one.rollouts.advance("retriever", "ann").await.unwrap_err();
    assert_eq!(refused.code(), "refused");
    assert!(refused.to_string().contains("is idle") && refused.to_string().contains("start"), "{refused}");
    let unknown = one.rollouts.start("other", "ann").await.unwrap_err();
    assert_eq!(unknown.to_string(), "there is no rollout `other`; there are: retriever");
    assert_eq!(one.rollouts.set_weight("retriever", 101, "ann").await.unwrap_err().code(), "invalid");
    let long = "x".repeat(2000);
    assert_eq!(one.rollouts.start("retriever", &long).await.unwrap_err().code(), "invalid");
    assert_eq!(one.rollouts.hold("retriever", "ann", Some(&long)).await.unwrap_err().code(), "invalid");
    drop(one.rollouts.shared("planned"));
    assert_eq!(one.rollouts.start("planned", "ann").await.unwrap_err().code(), "unknown_rollout");
    assert_eq!(one.rollouts.status().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_scrape_shows_phase_weight_and_evidence() {
    let rig = Rig::new();
    let mut one = rig.one().await;
    one.rollouts.start("retriever", "ann").await.unwrap();
    pass(&mut [&mut one], Duration::from_secs(3)).await;
    let text = series(&one);
    for line in [
        "sluicegate_rollout_phase{rollout=\"retriever\",phase=\"running\"} 1",
        "sluicegate_rollout_phase{rollout=\"retriever\",phase=\"idle\"} 0",
        "sluicegate_rollout_weight{rollout=\"retriever\"} 10",
        "sluicegate_rollout_epoch{rollout=\"retriever\"} 2",
        "sluicegate_rollout_version{rollout=\"retriever\"} 2",
        "sluicegate_rollout_troubles{rollout=\"retriever\"} 0",
        "sluicegate_rollout_verdict{rollout=\"retriever\",verdict=\"insufficient_data\"} 1",
        "sluicegate_rollout_decisions_total{rollout=\"retriever\",act=\"started\"} 1",
        "sluicegate_rollout_evidence{rollout=\"retriever\",gate=\"abort_errors\"}",
        "sluicegate_rollout_samples{rollout=\"retriever\",arm=\"candidate\"}",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}
