//! What rollouts ask of the gateway around them, and what they tell it.

use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use serde_json::{Value, json};
use sluicegate_admin::{Readiness, StatusSection};
use sluicegate_core::Chance;
use sluicegate_rollout::{Checked, Checks, Gate, Rollouts};
use sluicegate_shadow::{Shadows, Verdict};

use crate::{sections::Shown, snapshot::Snapshot};

/// Tells whether upstreams are ready to take over: some endpoint of each can be used, and what
/// it serves is what is pinned.
#[derive(Default)]
pub(crate) struct ByUpstreams(OnceLock<(Arc<ArcSwap<Snapshot>>, Shadows)>);

impl ByUpstreams {
    /// Where the upstreams are looked up, once there is a snapshot, and who compares.
    pub(crate) fn set(&self, snapshot: Arc<ArcSwap<Snapshot>>, shadows: Shadows) {
        drop(self.0.set((snapshot, shadows)));
    }
}

impl Checks for ByUpstreams {
    fn arms_ready(&self, upstreams: Vec<Box<str>>) -> Checked<'_> {
        Box::pin(async move {
            let Some(snapshot) = self.0.get().map(|(snapshot, _)| snapshot.load_full()) else {
                return Err(vec!["the gateway is starting; ask again".to_owned()]);
            };
            let mut found = Vec::new();
            for name in upstreams {
                let Some(upstream) = snapshot.upstreams.get(&name) else {
                    found.push(format!("there is no upstream `{name}` in the running configuration"));
                    continue;
                };
                found.extend(upstream.readiness().err());
                let pins = upstream.check_pins().await.err().unwrap_or_default();
                found.extend(pins.iter().map(|finding| format!("upstream {name}: {finding}")));
            }
            if found.is_empty() { Ok(()) } else { Err(found) }
        })
    }

    fn gate(&self, rollout: &str) -> Gate {
        let Some((snapshot, shadows)) = self.0.get() else {
            return Gate::Waits("the gateway is starting".to_owned());
        };
        let snapshot = snapshot.load();
        let (mut shut, mut waits) = (Vec::new(), Vec::new());
        for (route, to) in snapshot.gates.get(rollout).into_iter().flatten() {
            let name = format!("the shadow of {route} to {to}");
            match shadows.verdict(route, to) {
                Some(Verdict::Same) => {}
                Some(Verdict::Different) => shut.push(format!("{name} answers differently")),
                Some(Verdict::Undecided) => waits.push(format!("{name} is undecided")),
                Some(Verdict::InsufficientData) => waits.push(format!("{name} has too few pairs")),
                None => waits.push(format!("{name} is not there yet")),
            }
        }
        match (shut.is_empty(), waits.is_empty()) {
            (false, _) => Gate::Shut(shut),
            (true, false) => Gate::Waits(waits.join("; ")),
            (true, true) => Gate::Open,
        }
    }
}

/// What this gateway is called in the records that it shares with others: its host, and a part
/// that no other process has.
pub(crate) fn name_of_gateway(chance: &Chance) -> String {
    let host = rustix::system::uname();
    let host: String = host.nodename().to_string_lossy().chars().take(64).collect();
    format!("{host}-{:08x}", chance.bits() >> 32)
}

/// Each rollout: its phase, its weight and what the numbers say.
pub(crate) struct RolloutSection(pub(crate) Rollouts);

impl StatusSection for RolloutSection {
    fn name(&self) -> &'static str {
        "rollouts"
    }

    fn status(&self) -> Shown<'_> {
        let shown: Value = json!(self.0.status());
        Box::pin(std::future::ready(shown))
    }
}

/// Says in `/readyz` which rollouts are in trouble.
pub(crate) async fn tell_troubles(rollouts: Rollouts, readiness: Arc<Readiness>) {
    let mut version = rollouts.subscribe();
    loop {
        version.borrow_and_update();
        let troubles = rollouts.troubles();
        let said = troubles.iter().map(|(name, trouble)| format!("{name}: {trouble}"));
        let said: Vec<_> = said.collect();
        readiness.set_degraded("rollouts", (!said.is_empty()).then(|| said.join("; ")));
        if version.changed().await.is_err() {
            return;
        }
    }
}
