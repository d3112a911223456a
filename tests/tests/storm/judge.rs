//! What must be true of a storm.

use std::{collections::HashMap, fmt, sync::Arc};

use sluicegate_tests::{
    Tick,
    audit::{Act, Arrival, Given, Ledger, When},
    fleet::Kill,
};

use crate::caller::{Got, Sent};

/// An exchange that ended this long before its gateway was killed may not have been written
/// down yet: microseconds.
const SETTLING: u64 = 500_000;
/// An arrival that took longer may have been given up by its gateway: microseconds, a little
/// less than the `per_try` of the storm.
const PER_TRY: u64 = 2_500_000;

/// A gateway has this long to write down, once its store is back, what it could not before:
/// microseconds.
const CATCHING_UP: u64 = 2_000_000;

/// A time without a store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outage {
    pub(crate) from: When,
    pub(crate) to: When,
}

/// All that was seen of one write.
#[derive(Default)]
struct Case {
    arrivals: Vec<Arrival>,
    effects: usize,
    sends: Vec<Sent>,
}

pub(crate) struct Judge {
    cases: HashMap<u64, Case>,
    kills: Vec<Kill>,
    outages: Vec<Outage>,
    violations: Vec<String>,
}

/// What a storm came to.
#[derive(Default)]
pub(crate) struct Counts {
    writes: usize,
    sends: usize,
    arrivals: usize,
    effects: usize,
    duplicates: usize,
    replays: usize,
    in_flight: usize,
    conflicts: usize,
    unknown_answers: usize,
    unknown_writes: usize,
    by_kill: usize,
    unrecorded: usize,
    store_unavailable: usize,
    kills: usize,
    outages: usize,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} writes, {} sends, {} arrivals, {} effects, {} duplicate effects, {} replays, {} in flight, \
             {} conflicts, {} unknown ({} writes, {} of them by a kill alone, {} by a kill before the store was \
             back), {} store unavailable, {} kills, {} store restarts",
            self.writes,
            self.sends,
            self.arrivals,
            self.effects,
            self.duplicates,
            self.replays,
            self.in_flight,
            self.conflicts,
            self.unknown_answers,
            self.unknown_writes,
            self.by_kill,
            self.unrecorded,
            self.store_unavailable,
            self.kills,
            self.outages
        )
    }
}

/// Why nobody can know the fate of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doubt {
    /// An attempt was cut off after bytes went out.
    CutOff,
    /// A gateway was killed while an attempt was in flight.
    Killed,
    /// The attempt ended while there was no store, and the gateway, which alone knew its end, was
    /// killed before it could write that down: two faults at one time.
    Unrecorded,
}

impl Judge {
    pub(crate) fn new(
        ledger: &Arc<Ledger>,
        sends: Vec<Sent>,
        kills: Vec<Kill>,
        outages: Vec<Outage>,
    ) -> Self {
        let mut cases: HashMap<u64, Case> = HashMap::new();
        for arrival in ledger.arrivals() {
            cases.entry(arrival.number).or_default().arrivals.push(arrival);
        }
        for effect in ledger.effects() {
            cases.entry(effect.write.number).or_default().effects += 1;
        }
        for send in sends {
            cases.entry(send.number).or_default().sends.push(send);
        }
        Self { cases, kills, outages, violations: ledger.violations() }
    }

    pub(crate) fn counts(&self) -> Counts {
        let mut counts = Counts {
            writes: self.cases.len(),
            kills: self.kills.len(),
            outages: self.outages.len(),
            ..Counts::default()
        };
        for case in self.cases.values() {
            counts.sends += case.sends.len();
            counts.arrivals += case.arrivals.len();
            counts.effects += case.effects;
            counts.duplicates += usize::from(case.effects > 1);
            let answered = |what: &dyn Fn(&Got) -> bool| {
                case.sends.iter().filter_map(|send| send.got.as_ref()).filter(|got| what(got)).count()
            };
            counts.replays += answered(&|got| got.replayed);
            counts.in_flight += answered(&|got| got.is(409, "idempotency_in_flight"));
            counts.conflicts += answered(&|got| got.is(422, "idempotency_conflict"));
            let unknown = answered(&unknown);
            counts.unknown_answers += unknown;
            counts.unknown_writes += usize::from(unknown > 0);
            let doubt = self.doubt(case, Tick::MAX);
            counts.by_kill += usize::from(unknown > 0 && doubt == Some(Doubt::Killed));
            counts.unrecorded += usize::from(unknown > 0 && doubt == Some(Doubt::Unrecorded));
            counts.store_unavailable += answered(&|got| got.is(503, "store_unavailable"));
        }
        counts
    }

    /// Panics, and shows the first of them, where anything is not as it must be.
    pub(crate) fn judge(&self) {
        assert_eq!(self.violations, Vec::<String>::new());
        let mut wrong = Vec::new();
        for (number, case) in &self.cases {
            for what in self.faults(case) {
                wrong.push((*number, what));
            }
        }
        wrong.sort();
        for (number, what) in wrong.iter().take(5) {
            println!("write {number}: {what}\n{}", self.story(&self.cases[number]));
        }
        assert!(wrong.is_empty(), "{} faults: {:?}", wrong.len(), &wrong[..wrong.len().min(20)]);
    }

    fn faults(&self, case: &Case) -> Vec<String> {
        let mut faults = Vec::new();
        if case.effects > 1 {
            faults.push(format!("{} effects", case.effects));
        }
        // Even without an effect: what may have been done is never sent again.
        let may_be_done = case.arrivals.iter().position(|it| !it.act.is_some_and(Act::may_run_again));
        if may_be_done.is_some_and(|at| at + 1 < case.arrivals.len()) {
            faults.push("it was sent again though it may have been done".to_owned());
        }
        let original = case.original();
        let mut at_first_hand = 0;
        for send in &case.sends {
            let Some(got) = &send.got else { continue };
            match self.fault(case, original, send, got) {
                Some(fault) => faults.push(fault),
                None if got.status < 300 && !got.replayed => at_first_hand += 1,
                None => {}
            }
        }
        if at_first_hand > 1 {
            faults.push(format!("{at_first_hand} answers at first hand"));
        }
        faults
    }

    /// What is wrong with an answer.
    fn fault(&self, case: &Case, original: Option<&Given>, send: &Sent, got: &Got) -> Option<String> {
        let same = |given: &Given| given.status == got.status && given.body == got.body;
        let passed_on = || case.arrivals.iter().filter_map(|it| it.given.as_ref()).any(same);
        let right = match (got.status, got.code.as_str()) {
            (422, "idempotency_conflict") => send.other,
            (409, "idempotency_in_flight") => got.retry_after,
            (409, "idempotency_outcome_unknown") => {
                let settled = |other: &&Sent| {
                    other.over.tick < send.began.tick
                        && other.got.as_ref().is_some_and(|got| got.status < 300)
                };
                let doubt = self.doubt(case, send.over.tick);
                let known = case.sends.iter().any(|other| settled(&other));
                doubt.is_some() && (!known || doubt == Some(Doubt::Unrecorded))
            }
            (502, "upstream_reset" | "upstream_unreachable") | (504, _) => {
                self.doubt(case, send.over.tick).is_some()
            }
            (503, "store_unavailable") => !self.outages.is_empty() && got.retry_after,
            (200 | 201 | 400, _) => !send.other && original.is_some_and(same),
            (429 | 500 | 503, "") => !got.replayed && passed_on(),
            _ => false,
        };
        (!right).then(|| format!("answered {got:?}"))
    }

    /// Why nobody can know by now what became of a write, if that is so.
    fn doubt(&self, case: &Case, now: Tick) -> Option<Doubt> {
        let cut_off = |it: &&Arrival| {
            let took = it.ended.map_or(u64::MAX, |ended| ended.micros - it.began.micros);
            it.began.tick < now && (it.act.is_some_and(Act::leaves_doubt) || took > PER_TRY)
        };
        if case.arrivals.iter().any(|it| cut_off(&it)) {
            return Some(Doubt::CutOff);
        }
        let kills: Vec<_> = self.kills.iter().filter(|kill| kill.began.tick < now).collect();
        if kills.iter().any(|kill| case.in_flight_at(kill)) {
            return Some(Doubt::Killed);
        }
        let mut unrecorded = kills.iter().flat_map(|kill| self.outages.iter().map(move |it| (kill, it)));
        unrecorded.any(|(kill, outage)| case.unrecorded(kill, outage)).then_some(Doubt::Unrecorded)
    }

    /// What happened to a write, in order.
    fn story(&self, case: &Case) -> String {
        let mut lines = Vec::new();
        for arrival in &case.arrivals {
            lines.push((arrival.began.tick, format!("{arrival:?}")));
        }
        for send in &case.sends {
            lines.push((send.began.tick, format!("{send:?}")));
        }
        for kill in &self.kills {
            lines.push((kill.began.tick, format!("{kill:?}")));
        }
        lines.sort();
        lines.into_iter().map(|(_, line)| line).collect::<Vec<_>>().join("\n  ")
    }
}

impl Case {
    /// The answer that everybody must get: that of the arrival that was answered for good.
    fn original(&self) -> Option<&Given> {
        let last = self.arrivals.last()?;
        let answered = matches!(last.act, Some(Act::Do { .. } | Act::Never(_)));
        last.given.as_ref().filter(|_| answered)
    }

    /// Whether the attempt ended in the killed gateway while there was no store.
    fn unrecorded(&self, kill: &Kill, outage: &Outage) -> bool {
        let soon = kill.began.micros < outage.to.micros + CATCHING_UP && kill.gone.tick > outage.from.tick;
        let mut there = self.arrivals.iter().filter(|it| it.door == kill.seat);
        soon && there.any(|it| {
            it.ended.is_some_and(|ended| {
                ended.micros + SETTLING > outage.from.micros && ended.tick < kill.gone.tick
            })
        })
    }

    /// Whether an attempt may have been under way in the gateway that was killed.
    fn in_flight_at(&self, kill: &Kill) -> bool {
        let there = |send: &&Sent| {
            (send.seat, send.life) == (kill.seat, kill.life) && send.whole && send.began.tick < kill.gone.tick
        };
        if !self.sends.iter().any(|send| there(&send)) {
            return false;
        }
        let settled = |send: &&Sent| {
            send.over.tick < kill.began.tick && send.got.as_ref().is_some_and(|got| got.status < 300)
        };
        if self.sends.iter().any(|send| settled(&send)) {
            return false;
        }
        let mut sent = self
            .arrivals
            .iter()
            .filter(|it| it.door == kill.seat && it.began.tick < kill.gone.tick)
            .filter(|it| !it.act.is_some_and(Act::may_run_again))
            .peekable();
        if sent.peek().is_some() {
            // It was at the upstream, or had just come back.
            return sent.any(|it| it.ended.is_none_or(|ended| ended.micros + SETTLING > kill.began.micros));
        }
        // It had begun and did not get as far as the upstream.
        let unanswered = |send: &&Sent| send.got.is_none() || send.over.tick > kill.began.tick;
        self.sends.iter().any(|send| there(&send) && unanswered(&send))
    }
}

fn unknown(got: &Got) -> bool {
    got.is(409, "idempotency_outcome_unknown")
}
