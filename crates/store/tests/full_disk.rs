//! A disk that takes no more: the stated refusal, and recovery without a restart.
//!
//! A child of this test lowers its own limit on the size of files, so that the store's writes
//! fail as on a full disk, and raises it again.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{env, path::PathBuf, process::Command, time::Duration};

use bytes::Bytes;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sluicegate_core::{Chance, Clock};
use sluicegate_store::{
    Append, Appended, Caps, Engine, EntryId, Expect, Health, Holder, Put, Queue, RecordKey, Records, Swapped,
    Tag,
    embedded::{Embedded, EmbeddedOptions, Sync},
};

const FOLDER: &str = "STORE_FULL_FOLDER";
/// Past this no file may grow while the disk is full.
const SIZE: u64 = 2 << 20;
const CAPS: Caps = Caps { max_count: u64::MAX, max_bytes: u64::MAX, share: 1.0 };

fn limit(current: Option<u64>) {
    let maximum = getrlimit(Resource::Fsize).maximum;
    setrlimit(Resource::Fsize, Rlimit { current: current.or(maximum), maximum }).unwrap();
}

fn record(number: u64, held: bool, chance: &Chance) -> (RecordKey, Put) {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&number.to_be_bytes());
    let value = Bytes::from((0..1000).map(|_| chance.bits().to_le_bytes()[0]).collect::<Vec<_>>());
    let ttl = Duration::from_secs(10_000);
    (RecordKey(key), Put { tag: Tag::draw(chance), value, owner: "one".into(), ttl, held })
}

#[test]
fn a_full_disk_is_told_and_left_behind_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    // A write past the limit is to be an error and not the end of the process.
    let ended = Command::new("sh")
        .args(["-c", "trap '' XFSZ; exec \"$0\" child --exact --ignored --nocapture"])
        .arg(env::current_exe().unwrap())
        .env(FOLDER, folder.path().join("store"))
        .status()
        .unwrap();
    assert!(ended.success());
}

#[test]
#[ignore = "the other test runs it as a process of its own"]
fn child() {
    let Some(path) = env::var_os(FOLDER).map(PathBuf::from) else { return };
    let options = EmbeddedOptions { path, sync: Sync::Os };
    let store = Embedded::open(options.clone(), Clock::system()).unwrap();
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let chance = Chance::seeded(1);
        let mut health = store.health();
        let (held, running) = record(u64::MAX, true, &chance);
        assert_eq!(store.swap(held, Expect::Absent, Some(running.clone())).await.unwrap(), Swapped::Done);
        let mut written = 0;
        for round in 0..3 {
            limit(Some(SIZE * (round + 1)));
            let error = loop {
                let (key, put) = record(written, false, &chance);
                match store.swap(key, Expect::Absent, Some(put)).await {
                    Ok(done) => assert_eq!(done, Swapped::Done),
                    Err(error) => break error,
                }
                written += 1;
            };
            println!("after {written} records: {error}");
            let reason = match &*health.wait_for(|health| *health != Health::Up).await.unwrap() {
                Health::Down(reason) => reason.clone(),
                other => panic!("{other:?}"),
            };
            assert!(reason.contains("tree") && reason.contains("no restart"), "{reason}");
            // All is refused alike, and nothing hangs.
            assert!(store.append(entry(&chance), CAPS).await.is_err());
            assert!(store.get(held).await.is_err());
            assert!(store.tally().await.is_err());
            limit(None);
            health.wait_for(|health| *health == Health::Up).await.unwrap();
            // The process is still the holder of what it holds.
            let found = store.get(held).await.unwrap().unwrap();
            assert_eq!((found.tag, found.holder), (running.tag, Holder::Alive));
            assert_eq!(store.append(entry(&chance), CAPS).await.unwrap(), Appended::Done);
            // Everything that was acknowledged is there; the counters agree.
            for number in 0..written {
                assert!(store.get(record(number, false, &chance).0).await.unwrap().is_some(), "{number}");
            }
            let (next, put) = record(written, false, &chance);
            // The one that was answered with an error may or may not be there.
            let done = store.swap(next, Expect::Absent, Some(put)).await.unwrap();
            assert!(matches!(done, Swapped::Done | Swapped::Conflict(Some(_))), "{done:?}");
            written += 1;
            assert_eq!(store.usage().await.unwrap(), (written + 1, (written + 1) * 1000));
        }
    });
    drop(store);
    // And it opens as ever.
    drop(Embedded::open(options, Clock::system()).unwrap());
}

fn entry(chance: &Chance) -> Append {
    Append {
        id: EntryId(u128::from(chance.bits())),
        tag: Tag::draw(chance),
        line: "".into(),
        owner: "".into(),
        value: Bytes::from_static(b"intent"),
        note: Bytes::new(),
        only_behind: false,
        record: None,
    }
}
