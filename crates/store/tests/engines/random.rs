//! Random operations, against the engine and against the plain [`Model`].

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use proptest::{
    prelude::*,
    sample::{Index, select},
    test_runner::{Config, TestRunner},
};
use sluicegate_store::{
    Append, Bounds, Caps, Change, EntryId, EntryState, Expect, Put, Record, RecordKey, Store, Tag,
};

use super::{
    Stand, block_on, bounds, key,
    model::{Answer, Model, Move, Waiting, Write},
    tag,
};

const LINES: [&str; 3] = ["", "a", "b"];
const OWNERS: [&str; 3] = ["", "one", "two"];
const CAPS: Caps = Caps { max_count: 8, max_bytes: 120, share: 0.6 };

/// What an operation expects of what it changes.
#[derive(Clone, Copy, Debug)]
enum Hope {
    /// What the model says is there, so that it works out.
    Right,
    Absent,
    Abandoned,
    Stale,
}

#[derive(Clone, Debug)]
struct Writing {
    key: u8,
    hope: Hope,
    /// None removes.
    put: Option<(u64, &'static str, u64, bool)>,
}

#[derive(Clone, Debug)]
enum Step {
    Swap {
        writing: Writing,
        twice: bool,
    },
    Append {
        line: &'static str,
        owner: &'static str,
        bytes: u64,
        behind: bool,
        record: Option<Writing>,
        twice: bool,
    },
    Claim {
        count: usize,
        twice: bool,
    },
    Change {
        entry: Index,
        right: bool,
        state: EntryState,
        delay: u64,
        ttl: u64,
        record: Option<Writing>,
        twice: bool,
    },
    Bound(Bounds),
    LoseHolders,
    Pass(u64),
}

fn hope() -> impl Strategy<Value = Hope> {
    prop_oneof![6 => Just(Hope::Right), 1 => Just(Hope::Absent), 1 => Just(Hope::Abandoned), 1 => Just(Hope::Stale)]
}

fn writing(removes: bool) -> impl Strategy<Value = Writing> {
    let put = (0..40_u64, select(&OWNERS[..]), 1..60_u64, any::<bool>());
    let put = if removes { proptest::option::weighted(0.8, put).boxed() } else { put.prop_map(Some).boxed() };
    (0..5_u8, hope(), put).prop_map(|(key, hope, put)| Writing { key, hope, put })
}

fn step() -> impl Strategy<Value = Step> {
    let record = |removes| proptest::option::weighted(0.4, writing(removes));
    let states = select(&EntryState::ALL[..]);
    prop_oneof![
        8 => (writing(true), any::<bool>()).prop_map(|(writing, twice)| Step::Swap { writing, twice }),
        6 => (select(&LINES[..]), select(&OWNERS[..]), 0..40_u64, any::<bool>(), record(false), any::<bool>())
            .prop_map(|(line, owner, bytes, behind, record, twice)| {
                Step::Append { line, owner, bytes, behind, record, twice }
            }),
        4 => (1..4_usize, any::<bool>()).prop_map(|(count, twice)| Step::Claim { count, twice }),
        8 => (any::<Index>(), proptest::bool::weighted(0.85), states, 0..3_u64, 1..60_u64, record(true), any::<bool>())
            .prop_map(|(entry, right, state, delay, ttl, record, twice)| {
                Step::Change { entry, right, state, delay: delay * 10, ttl, record, twice }
            }),
        1 => (2..7_u64, 40..160_u64, select(&[0.5, 0.7, 1.0][..]))
            .prop_map(|(keys, bytes, share)| Step::Bound(bounds(keys, bytes, share))),
        1 => Just(Step::LoseHolders),
        2 => (1..40_u64).prop_map(Step::Pass),
    ]
}

/// Runs random steps against an engine.
pub fn run<S: Stand>() {
    let asked = Config::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { asked.cases } else { S::RUNS };
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 2000, ..asked };
    let steps = proptest::collection::vec(step(), 1..80);
    TestRunner::new(config)
        .run(&steps, |steps| {
            block_on::<S, _>(async {
                let mut run = Run::<S>::open().await;
                for step in &steps {
                    run.step(step).await;
                }
                run.agrees().await;
            });
            Ok(())
        })
        .unwrap();
}

struct Run<S> {
    stand: S,
    model: Model,
    ids: Vec<EntryId>,
    /// Nothing has expired so far, so that what is used is known exactly.
    fresh: bool,
}

impl<S: Stand> Run<S> {
    async fn open() -> Self {
        let model = Model {
            now: 0,
            epoch: 1,
            bounds: Bounds::default(),
            records: BTreeMap::new(),
            entries: Vec::new(),
            places: 0,
        };
        Self { stand: S::open().await, model, ids: Vec::new(), fresh: true }
    }

    fn store(&self) -> &Store {
        self.stand.store()
    }

    async fn step(&mut self, step: &Step) {
        let times = |twice: bool| if twice { 2 } else { 1 };
        match step {
            Step::Swap { writing, twice } => {
                let (expect, write) = self.writing(writing);
                for _ in 0..times(*twice) {
                    let model = self.model.swap(writing.key, expect, write.as_ref());
                    let put = write.as_ref().map(put);
                    let engine = self.store().swap(key(writing.key), expect, put).await.unwrap();
                    assert_eq!(Answer::from(engine), model, "{step:?}");
                }
            }
            Step::Append { line, owner, bytes, behind, record, twice } => {
                self.append(line, owner, *bytes, *behind, record.as_ref(), times(*twice)).await;
            }
            Step::Claim { count, twice } => self.claim(*count, times(*twice)).await,
            Step::Change { entry, right, state, delay, ttl, record, twice } => {
                if self.ids.is_empty() {
                    return;
                }
                let entry = entry.index(self.ids.len());
                let expect = if *right { self.model.entries[entry].tag } else { tag() };
                // Where time does not leap nothing is delayed and nothing ends.
                let delay = if S::LEAPS { *delay } else { 0 };
                let ttl = if S::LEAPS { *ttl } else { 1000 };
                let record = record.as_ref().map(|writing| {
                    let (expect, write) = self.writing(writing);
                    (writing.key, expect, write)
                });
                let change = Move { expect, tag: tag(), state: *state, delay, ttl, record };
                for _ in 0..times(*twice) {
                    let model = self.model.change(entry, &change);
                    let engine = self.store().change(self.ids[entry], into(&change)).await.unwrap();
                    assert_eq!(Answer::from(engine), model, "{step:?}");
                }
            }
            Step::Bound(bounds) => {
                self.model.bounds = *bounds;
                self.store().bound(*bounds);
            }
            Step::LoseHolders if S::LEAPS => {
                self.model.epoch += 1;
                self.stand.lose_holders().await;
                self.store().bound(self.model.bounds);
                // What had outlived its time while it was held is gone from now on.
                self.pass(1).await;
            }
            Step::Pass(time) if S::LEAPS => self.pass(*time).await,
            Step::LoseHolders | Step::Pass(_) => {}
        }
    }

    async fn pass(&mut self, time: u64) {
        self.model.now += time;
        self.fresh &= self.model.records.keys().all(|key| self.model.get(*key).is_some());
        self.stand.pass(Duration::from_secs(time)).await;
        self.agrees().await;
    }

    fn writing(&self, writing: &Writing) -> (Expect, Option<Write>) {
        let now = self.model.get(writing.key).map(|kept| kept.tag);
        let expect = match (writing.hope, now) {
            (Hope::Right, Some(tag)) => Expect::Tag(tag),
            (Hope::Abandoned, Some(tag)) => Expect::Abandoned(tag),
            (Hope::Stale, _) => Expect::Tag(tag()),
            (_, None) | (Hope::Absent, _) => Expect::Absent,
        };
        let write = writing.put.map(|(bytes, owner, ttl, held)| {
            let ttl = if S::LEAPS { ttl } else { 1000 };
            Write { tag: tag(), bytes, owner, ttl, held }
        });
        (expect, write)
    }

    async fn append(
        &mut self,
        line: &'static str,
        owner: &'static str,
        bytes: u64,
        behind: bool,
        record: Option<&Writing>,
        times: usize,
    ) {
        let record = record.and_then(|writing| {
            let (expect, write) = self.writing(writing);
            Some((writing.key, expect, write?))
        });
        let id = EntryId(uuid::Uuid::now_v7().as_u128());
        let first = tag();
        let append = Append {
            id,
            tag: first,
            line: line.into(),
            owner: owner.into(),
            value: bytes_of(bytes),
            note: Bytes::new(),
            only_behind: behind,
            record: record.as_ref().map(|(number, expect, write)| (key(*number), *expect, put(write))),
        };
        for _ in 0..times {
            let engine: Answer = self.store().append(append.clone(), CAPS).await.unwrap().into();
            if self.ids.contains(&id) {
                assert_eq!(engine, Answer::Done, "{append:?}");
                continue;
            }
            let state = EntryState::Queued;
            let entry =
                Waiting { tag: first, state, line, owner, bytes, place: 0, due: 0, expires: 0, held: None };
            let model = self.model.append(entry, CAPS, behind, record.as_ref());
            assert_eq!(engine, model, "{append:?}");
            if model == Answer::Done {
                self.ids.push(id);
            }
        }
    }

    async fn claim(&mut self, count: usize, times: usize) {
        let tags: Vec<Tag> = (0..count).map(|_| tag()).collect();
        let model: Vec<_> =
            self.model.claim(&tags).into_iter().map(|(entry, tag)| (self.ids[entry], tag)).collect();
        for _ in 0..times {
            // Tags that have claimed nothing claim nothing the second time either: no line
            // has moved.
            let engine = self.store().claim(tags.clone()).await.unwrap();
            let engine: Vec<_> = engine.iter().map(|entry| (entry.id, entry.tag)).collect();
            assert_eq!(engine, model);
        }
    }

    /// Whether engine and model hold the same.
    async fn agrees(&self) {
        let (model, store) = (&self.model, self.store());
        let mut seen = BTreeMap::new();
        for (RecordKey(bytes), record) in store.page(None, 100).await.unwrap() {
            seen.insert(bytes[0], record);
        }
        for number in 0..5 {
            let record = store.get(key(number)).await.unwrap();
            let kept = model.get(number);
            assert_eq!(
                record.as_ref().map(|record| (record.tag, record.value.len() as u64, record.holder)),
                kept.map(|kept| (kept.tag, kept.bytes, model.holder(kept))),
                "the record {number}"
            );
            assert_eq!(record.clone().map(alike::<S>), seen.get(&number).cloned().map(alike::<S>));
            if let (Some(record), Some(kept)) = (record, kept)
                && S::LEAPS
            {
                assert_eq!(record.expires_in.as_secs(), kept.expires.saturating_sub(model.now));
            }
        }
        let usage = store.usage().await.unwrap();
        assert!(usage.0 >= model.alive().0 && (usage == model.alive() || !self.fresh), "{usage:?}");
        let listed = store.entries(None, None, 1000).await.unwrap();
        let mut expected = (0..self.ids.len()).filter(|entry| model.entry(*entry).is_some());
        for entry in &listed {
            let number = expected.next().unwrap();
            let (id, waiting) = (self.ids[number], &model.entries[number]);
            let abandoned = waiting.held.is_some_and(|epoch| epoch != model.epoch);
            assert_eq!(
                (
                    entry.id,
                    entry.tag,
                    entry.state,
                    entry.abandoned,
                    &*entry.line,
                    &*entry.owner,
                    &entry.value
                ),
                (
                    id,
                    waiting.tag,
                    waiting.state,
                    abandoned,
                    waiting.line,
                    waiting.owner,
                    &bytes_of(waiting.bytes)
                )
            );
        }
        assert_eq!(expected.next(), None);
        let tally = store.tally().await.unwrap();
        assert_eq!(tally.bytes, model.open().map(|entry| entry.bytes).sum::<u64>());
        for state in EntryState::ALL {
            assert_eq!(tally.of(state), listed.iter().filter(|entry| entry.state == state).count() as u64);
        }
    }
}

/// What two reads of a record must agree in: on a clock that runs, what is left of its life
/// shrinks from one to the next.
fn alike<S: Stand>(record: Record) -> Record {
    if S::LEAPS { record } else { Record { expires_in: Duration::ZERO, ..record } }
}

fn bytes_of(count: u64) -> Bytes {
    Bytes::from(vec![b'x'; usize::try_from(count).unwrap()])
}

fn put(write: &Write) -> Put {
    let (value, ttl) = (bytes_of(write.bytes), Duration::from_secs(write.ttl));
    Put { tag: write.tag, value, owner: write.owner.into(), ttl, held: write.held }
}

fn into(change: &Move) -> Change {
    let record = change
        .record
        .as_ref()
        .map(|(number, expect, write)| (key(*number), *expect, write.as_ref().map(put)));
    Change {
        expect: change.expect,
        tag: change.tag,
        state: change.state,
        note: Bytes::new(),
        delay: Duration::from_secs(change.delay),
        ttl: Duration::from_secs(change.ttl),
        record,
    }
}
