//! The engine on disk against `kill -9`: what was acknowledged is there afterwards.
//!
//! The test starts itself as a child that writes and says on standard output what it was
//! told is done, kills it at a random moment, and looks. Ten times over one folder.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    collections::BTreeMap,
    env,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use bytes::Bytes;
use sluicegate_core::{Chance, Clock};
use sluicegate_store::{
    Append, Appended, Caps, Change, Changed, EntryId,
    EntryState::{Applied, Applying, Queued},
    Expect, Holder, Put, Queue, RecordKey, Records, Swapped, Tag,
    embedded::{Embedded, EmbeddedOptions, Sync},
};

const FOLDER: &str = "STORE_KILL_FOLDER";
const GENERATION: &str = "STORE_KILL_GENERATION";
const KILLS: u64 = 10;
const WRITERS: u64 = 8;
const LONG: Duration = Duration::from_secs(100_000);
const CAPS: Caps = Caps { max_count: u64::MAX, max_bytes: u64::MAX, share: 1.0 };

fn open(folder: &Path) -> Embedded {
    let options = EmbeddedOptions { path: folder.to_owned(), sync: Sync::Os };
    Embedded::open(options, Clock::system()).unwrap()
}

/// A key of its own for each generation, writer and number.
fn key(generation: u64, writer: u64, number: u64) -> RecordKey {
    let chance = Chance::seeded(generation << 48 | writer << 40 | number);
    RecordKey(std::array::from_fn(|_| u8::try_from(chance.below(256)).unwrap()))
}

/// The child: begins keys, seals every other one, appends an entry for each, claims some and
/// ends some, and says what is done.
#[test]
#[ignore = "the other test runs it as a process that is killed"]
fn child() {
    let Some(folder) = env::var_os(FOLDER).map(PathBuf::from) else { return };
    let generation: u64 = env::var(GENERATION).unwrap().parse().unwrap();
    let store = open(&folder);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let local = tokio::task::LocalSet::new();
    for writer in 0..WRITERS {
        local.spawn_local(write(store.clone(), generation, writer));
    }
    runtime.block_on(local);
}

async fn write(store: Embedded, generation: u64, writer: u64) {
    let chance = Chance::from_system();
    for number in 0.. {
        let key = key(generation, writer, number);
        let put = |held| Put {
            tag: Tag::draw(&chance),
            value: Bytes::from(vec![b'x'; 300]),
            owner: "".into(),
            ttl: LONG,
            held,
        };
        let begun = put(true);
        assert_eq!(store.swap(key, Expect::Absent, Some(begun.clone())).await.unwrap(), Swapped::Done);
        say(&format!("held {writer} {number} {}", begun.tag.0));
        if number % 2 == 0 {
            let sealed = put(false);
            let done = store.swap(key, Expect::Tag(begun.tag), Some(sealed.clone())).await.unwrap();
            assert_eq!(done, Swapped::Done);
            say(&format!("sealed {writer} {number} {}", sealed.tag.0));
        }
        let id = EntryId(u128::from(generation) << 96 | u128::from(writer) << 64 | u128::from(number));
        let append = Append {
            id,
            tag: Tag::draw(&chance),
            line: format!("{generation} {writer}").into(),
            owner: "".into(),
            value: Bytes::from(vec![b'y'; 200]),
            note: Bytes::new(),
            only_behind: false,
            record: None,
        };
        assert_eq!(store.append(append, CAPS).await.unwrap(), Appended::Done);
        say(&format!("queued {} 0", id.0));
        for entry in store.claim(vec![Tag::draw(&chance)]).await.unwrap() {
            say(&format!("claimed {} {}", entry.id.0, entry.tag.0));
            if number % 3 != 0 {
                continue;
            }
            let applied = Change {
                expect: entry.tag,
                tag: Tag::draw(&chance),
                state: Applied,
                note: Bytes::new(),
                delay: Duration::ZERO,
                ttl: LONG,
                record: None,
            };
            let tag = applied.tag;
            assert_eq!(store.change(entry.id, applied).await.unwrap(), Changed::Done);
            say(&format!("applied {} {}", entry.id.0, tag.0));
        }
    }
}

fn say(line: &str) {
    let mut output = std::io::stdout().lock();
    // One write, so that a kill does not leave a part of a line that looks whole.
    output.write_all(format!("said {line} .\n").as_bytes()).unwrap();
}

/// What a child has said last of each record and entry.
#[derive(Default)]
struct Said {
    records: BTreeMap<(u64, u64), (bool, u128)>,
    entries: BTreeMap<u128, (&'static str, u128)>,
    lines: usize,
}

impl Said {
    fn hear(&mut self, line: &str) {
        let words: Vec<_> = line.split(' ').collect();
        // The test harness writes lines of its own.
        let Some(from) = words.iter().position(|word| *word == "said") else { return };
        self.lines += 1;
        match words[from + 1..] {
            ["held", writer, number, tag, "."] => {
                let key = (writer.parse().unwrap(), number.parse().unwrap());
                self.records.insert(key, (true, tag.parse().unwrap()));
            }
            ["sealed", writer, number, tag, "."] => {
                let key = (writer.parse().unwrap(), number.parse().unwrap());
                self.records.insert(key, (false, tag.parse().unwrap()));
            }
            ["queued", id, _, "."] => {
                // Another writer may have claimed it before this one said so.
                self.entries.entry(id.parse().unwrap()).or_insert(("queued", 0));
            }
            ["claimed", id, tag, "."] => {
                self.entries.insert(id.parse().unwrap(), ("claimed", tag.parse().unwrap()));
            }
            ["applied", id, tag, "."] => {
                self.entries.insert(id.parse().unwrap(), ("applied", tag.parse().unwrap()));
            }
            // Cut off by the kill.
            _ => self.lines -= 1,
        }
    }
}

#[test]
fn what_was_acknowledged_is_there_after_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let chance = Chance::from_system();
    let (mut said, mut held, mut abandoned) = (0, 0, 0);
    for generation in 0..KILLS {
        let heard = run_and_kill(&store, generation, Duration::from_millis(30 + chance.below(300)));
        said += heard.lines;
        let opened = open(&store);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (gone, claims) = runtime.block_on(check(&opened, generation, &heard));
        held += gone;
        abandoned += claims;
    }
    println!(
        "{KILLS} kills, {said} acknowledged, {held} held records were gone, {abandoned} claims abandoned"
    );
    assert!(said > 100 && held > 10 && abandoned > 0, "too little was written to show anything");
}

fn run_and_kill(store: &Path, generation: u64, after: Duration) -> Said {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["child", "--exact", "--ignored", "--nocapture"])
        .env(FOLDER, store)
        .env(GENERATION, generation.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let mut said = Said::default();
    let mut kill_at = None;
    for line in output.lines() {
        let Ok(line) = line else { break };
        said.hear(&line);
        // From its first word on, so that it is not killed before it has begun.
        let at = *kill_at.get_or_insert_with(|| Instant::now() + after);
        if Instant::now() >= at {
            child.kill().unwrap();
        }
    }
    assert!(!child.wait().unwrap().success());
    said
}

/// Whether all that was said holds; how many records were found gone, and claims abandoned.
async fn check(store: &Embedded, generation: u64, said: &Said) -> (usize, usize) {
    let (mut gone, mut abandoned) = (0, 0);
    for (&(writer, number), &(held, tag)) in &said.records {
        let record = store.get(key(generation, writer, number)).await.unwrap().expect("it was acknowledged");
        // The next write may have been made and not been said.
        if record.tag != Tag(tag) {
            assert!(held && number % 2 == 0 && record.holder == Holder::Nobody, "{record:?}");
        } else if held {
            assert_eq!(record.holder, Holder::Gone);
            gone += 1;
        } else {
            assert_eq!(record.holder, Holder::Nobody);
        }
    }
    for (&id, &(state, tag)) in &said.entries {
        let entry = store.entry(EntryId(id)).await.unwrap().expect("it was acknowledged");
        match state {
            "queued" => assert!([Queued, Applying, Applied].contains(&entry.state)),
            "claimed" => assert!(entry.state == Applied || (entry.state, entry.tag) == (Applying, Tag(tag))),
            _ => assert_eq!((entry.state, entry.tag), (Applied, Tag(tag))),
        }
        if entry.state == Applying {
            assert!(entry.abandoned);
            abandoned += 1;
        }
    }
    // The counters agree with what is there.
    let (mut count, mut bytes, mut after) = (0, 0, None);
    loop {
        let page = store.page(after, 1000).await.unwrap();
        let Some((last, _)) = page.last() else { break };
        after = Some(*last);
        count += page.len() as u64;
        bytes += page.iter().map(|(_, record)| record.value.len() as u64).sum::<u64>();
    }
    assert_eq!(store.usage().await.unwrap(), (count, bytes));
    (gone, abandoned)
}
