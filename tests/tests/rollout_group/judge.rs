//! What must be true of all that was seen.

use std::collections::BTreeMap;

use serde_json::Value;
use sluicegate_tests::rollouts::Stand;

use crate::{
    traffic::{Read, Whose},
    watch::{Kept, Look},
};

/// All that was seen in one test.
pub(crate) struct Seen {
    pub(crate) reads: Vec<Read>,
    pub(crate) looks: Vec<Look>,
    pub(crate) kept: Vec<Kept>,
}

impl Seen {
    /// The state goes forward only: at each gateway, also over its death, and in Redis; and one
    /// version is the same state wherever it is seen.
    pub(crate) fn never_back(&self) {
        self.gateways_never_back();
        let kept = self.kept.iter().filter_map(Kept::place).collect::<Vec<_>>();
        for pair in kept.windows(2) {
            assert!(pair[1].0 >= pair[0].0 && pair[1].1 >= pair[0].1, "Redis went back: {pair:?}");
        }
    }

    /// The same where Redis has lost everything: each gateway makes known again what it has
    /// written itself, so that older states may come before the last one.
    pub(crate) fn gateways_never_back(&self) {
        let mut lasts: BTreeMap<usize, &Look> = BTreeMap::new();
        for look in &self.looks {
            let now = &look.stand;
            if let Some(last) = lasts.insert(look.seat, look) {
                let was = &last.stand;
                assert!(
                    now.epoch >= was.epoch && now.version >= was.version,
                    "gateway {} went back from {:?} in life {} to {:?} in life {}",
                    look.seat,
                    was.place(),
                    last.life,
                    now.place(),
                    look.life
                );
            }
        }
        let mut states: BTreeMap<u64, (u64, String, String)> = BTreeMap::new();
        let written = self.looks.iter().filter(|look| !look.is_ahead);
        for Stand { version, epoch, phase, active, .. } in written.map(|look| &look.stand) {
            let state = (*epoch, phase.clone(), active.clone());
            let known = states.entry(*version).or_insert_with(|| state.clone());
            assert_eq!(*known, state, "version {version} is two states");
        }
        for state in self.kept.iter().filter_map(|kept| kept.state.as_ref()) {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let (version, epoch) = (state["version"].as_u64().unwrap(), state["epoch"].as_u64().unwrap());
            let state = (epoch, text(&state["phase"]["name"]), text(&state["active"]));
            let known = states.entry(version).or_insert_with(|| state.clone());
            assert_eq!(*known, state, "version {version} is two states");
        }
    }

    /// Where a gateway shows one version before a read and after it, the read was served by it.
    /// Gives how many reads were held against a state that leaves one arm only.
    pub(crate) fn served_as_shown(&self) -> Served {
        let mut served = Served::default();
        let mut by_gateway: BTreeMap<(usize, usize), Vec<&Look>> = BTreeMap::new();
        for look in &self.looks {
            by_gateway.entry((look.seat, look.life)).or_default().push(look);
        }
        for read in &self.reads {
            let looks = by_gateway.get(&(read.seat, read.life)).map_or(&[][..], Vec::as_slice);
            // The last that was told before it began, and the first that was asked for after it.
            let before = looks.partition_point(|look| look.told < read.began);
            let after = looks.partition_point(|look| look.asked <= read.ended);
            let (Some(before), Some(after)) = (before.checked_sub(1).map(|at| looks[at]), looks.get(after))
            else {
                continue;
            };
            let stand = &before.stand;
            // An abort that is not written yet may be overtaken by another state of its number.
            let of = |look: &Look| {
                let Stand { weight, phase, active, .. } = look.stand.clone();
                (look.stand.place(), weight, phase, active, look.is_ahead)
            };
            if of(before) != of(after) || read.whose == Whose::Broken {
                continue;
            }
            let only = match stand.weight {
                0 => &stand.active,
                100 => &stand.candidate,
                _ => {
                    served.either += 1;
                    continue;
                }
            };
            assert!(
                read.whose.is(only),
                "gateway {} shows {:?}, {} with weight {} and {only} serving, and {:?} has answered",
                read.seat,
                stand.place(),
                stand.phase,
                stand.weight,
                read.whose
            );
            match stand.phase.as_str() {
                "aborted" => served.aborted += 1,
                _ => served.one += 1,
            }
        }
        served
    }

    /// No read failed but by the death of its gateway.
    pub(crate) fn none_failed(&self, may_break: bool) -> usize {
        let failed = |read: &&Read| match &read.whose {
            Whose::Nobody(_) => true,
            Whose::Broken => !may_break,
            _ => false,
        };
        let failed: Vec<_> = self.reads.iter().filter(failed).collect();
        assert!(failed.is_empty(), "{} reads failed: {:#?}", failed.len(), &failed[..failed.len().min(5)]);
        self.reads.iter().filter(|read| read.whose == Whose::Broken).count()
    }
}

/// How many reads were held against what their gateway showed.
#[derive(Debug, Default)]
pub(crate) struct Served {
    /// While it was aborted.
    pub(crate) aborted: usize,
    /// While another state left one arm only.
    pub(crate) one: usize,
    /// While either was right.
    pub(crate) either: usize,
}

/// The decisions are one line: each begins where the one before it ended, and none is missing.
pub(crate) fn one_line(decisions: &[Value]) {
    for pair in decisions.windows(2) {
        let [one, next] = pair else { continue };
        let number = |decision: &Value, name: &str| decision[name].as_u64().unwrap();
        assert_eq!(number(next, "seq"), number(one, "seq") + 1, "a gap:\n{one}\n{next}");
        assert_eq!(next["from"], one["to"], "not where it ended:\n{one}\n{next}");
        assert!(number(next, "version") > number(one, "version"), "\n{one}\n{next}");
        assert!(number(next, "epoch") >= number(one, "epoch"), "\n{one}\n{next}");
        assert!(number(next, "run") >= number(one, "run"), "\n{one}\n{next}");
        assert_eq!(next["weight"][0], one["weight"][1], "\n{one}\n{next}");
    }
}
