//! What requests read of a rollout: who is active, how much goes to the candidate.
//!
//! A [`Shared`] is the state of one rollout on this gateway, for as long as some snapshot or
//! request names it. Whoever decides (an operator, a judge, a reload) sets its [`View`] whole;
//! each request loads it once, whatever snapshot it was classified by: a weight, an abort or a
//! switch moves everybody who comes after it. A request that has loaded it before keeps its arm,
//! and so do its tries.

use std::{fmt, sync::Arc};

use arc_swap::Guard;
use sluicegate_core::{Live, Slot};

use crate::{choice::Share, cookie::Signer, recorder::Recorder, traffic::Traffic};

/// What holds for the requests that come now.
#[derive(Clone, PartialEq, Eq)]
pub struct View {
    /// Percent of the keys on the candidate; more than 100 is all.
    pub weight: u8,
    /// Who serves; the other one is the candidate.
    pub active: Slot,
    /// Rises whenever all assignments are void: cookies of another one do not count.
    pub epoch: u64,
    /// Whether anything may reach the candidate: after an abort nothing does, neither by pins
    /// nor by the header.
    pub open: bool,
    /// The document closes the candidate on this gateway, whatever else says.
    pub killed: bool,
    /// What cookies are signed with: the same on all gateways of a group.
    pub secret: [u8; 32],
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { weight, active, epoch, open, killed, secret: _ } = self;
        f.debug_struct("View")
            .field("weight", weight)
            .field("active", active)
            .field("epoch", epoch)
            .field("open", open)
            .field("killed", killed)
            .finish_non_exhaustive()
    }
}

/// A view, and what follows from it for each request.
#[derive(Debug)]
pub(crate) struct Now {
    pub(crate) view: View,
    pub(crate) share: Share,
    pub(crate) signer: Signer,
}

impl Now {
    pub(crate) fn new(rollout: &str, view: View) -> Self {
        let share = Share::percent(view.weight);
        let signer = Signer::new(&view.secret, rollout, view.epoch);
        Self { view, share, signer }
    }

    /// Whether anything may reach the candidate.
    pub(crate) fn is_open(&self) -> bool {
        self.view.open && !self.view.killed
    }
}

/// One rollout, as requests meet it: what holds now, and the record of what happened.
#[derive(Debug)]
pub struct Shared {
    name: Box<str>,
    now: Live<Now>,
    recorder: Recorder,
}

impl Shared {
    /// A rollout with its first view. `shards` is how many threads serve requests; its series
    /// are shown by `traffic` until it is dropped.
    #[must_use]
    pub fn new(name: &str, view: View, shards: usize, traffic: &Traffic) -> Arc<Self> {
        let now = Live::new(Now::new(name, view));
        let shared = Arc::new(Self { name: name.into(), now, recorder: Recorder::new(shards) });
        traffic.show(&shared);
        shared
    }

    /// Its name in the document.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What holds now.
    #[must_use]
    pub fn view(&self) -> View {
        self.now.load().view.clone()
    }

    /// Sets what holds for all requests that come after the call.
    pub fn set(&self, view: View) {
        self.now.store(Now::new(&self.name, view));
    }

    /// As [`set`](Shared::set), made from the present view. Of several writers one goes after
    /// the other; `change` must not call back into this rollout.
    pub fn update(&self, change: impl FnOnce(&View) -> View) {
        self.now.update(|now| Some(Now::new(&self.name, change(&now.view))));
    }

    /// What happened.
    #[must_use]
    pub fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// What holds now, with what follows from it. Not to be kept.
    pub(crate) fn load(&self) -> Guard<Arc<Now>> {
        self.now.load()
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::registry::Registry;

    use super::{Shared, Slot, Traffic, View};
    use crate::testing::view;

    #[test]
    fn what_is_set_holds_and_changes_are_not_lost() {
        let traffic = Traffic::register(&mut Registry::default());
        let shared = Shared::new("retriever", view(5), 2, &traffic);
        assert_eq!((shared.name(), shared.view()), ("retriever", view(5)));
        shared.set(View { active: Slot::Second, ..view(25) });
        assert_eq!(shared.view(), View { active: Slot::Second, ..view(25) });
        let begin = std::sync::Barrier::new(4);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    begin.wait();
                    for _ in 0..250 {
                        shared.update(|view| {
                            // So that another one comes between the look and the change, if it can.
                            std::thread::yield_now();
                            View { epoch: view.epoch + 1, ..view.clone() }
                        });
                    }
                });
            }
        });
        assert_eq!(shared.view().epoch, view(0).epoch + 1000);
        assert!(shared.load().is_open());
        for closed in [View { open: false, ..view(5) }, View { killed: true, ..view(5) }] {
            shared.set(closed);
            assert!(!shared.load().is_open());
        }
    }

    #[test]
    fn the_secret_is_not_shown() {
        let shown = format!("{:?} {:?}", view(5), super::Now::new("retriever", view(5)));
        assert_eq!(view(5).secret, [171; 32]);
        assert!(
            shown.contains("weight: 5") && !shown.contains("171") && !shown.contains("secret"),
            "{shown}"
        );
    }
}
