//! What is asked of the store on disk in one turn of a runtime is done, whatever becomes of the
//! runtime and of the store's handle.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{path::Path, time::Duration};

use bytes::Bytes;
use sluicegate_core::{Chance, Clock};
use sluicegate_store::{
    Expect, Put, RecordKey, Records, Swapped, Tag,
    embedded::{Embedded, EmbeddedOptions, Sync},
};
use tokio::runtime::{Builder, Runtime};

fn open(folder: &Path) -> Embedded {
    let options = EmbeddedOptions { path: folder.join("store"), sync: Sync::Os };
    Embedded::open(options, Clock::system()).unwrap()
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn put(chance: &Chance) -> Put {
    Put {
        tag: Tag::draw(chance),
        value: Bytes::from_static(b"kept"),
        owner: "acme".into(),
        ttl: Duration::from_secs(3600),
        held: false,
    }
}

#[test]
fn what_was_asked_is_done_and_answered_though_the_runtime_has_ended() {
    let folder = tempfile::tempdir().unwrap();
    let (store, chance, key) = (open(folder.path()), Chance::seeded(1), RecordKey([7; 32]));
    let first = runtime();
    // Asked, and the turn is never let come to its end.
    let asked = {
        let _inside = first.enter();
        store.swap(key, Expect::Absent, Some(put(&chance)))
    };
    drop(first);
    let second = runtime();
    assert_eq!(second.block_on(asked).unwrap(), Swapped::Done);
    assert_eq!(second.block_on(store.get(key)).unwrap().unwrap().value, "kept");
}

#[test]
fn what_was_asked_is_done_though_the_store_is_let_go_in_the_same_turn() {
    let folder = tempfile::tempdir().unwrap();
    let (chance, key) = (Chance::seeded(1), RecordKey([7; 32]));
    runtime().block_on(async {
        let store = open(folder.path());
        let asked = store.swap(key, Expect::Absent, Some(put(&chance)));
        // This waits for the writer's end, on the thread that has not sent its turn yet.
        drop(store);
        assert_eq!(asked.await.unwrap(), Swapped::Done);
        assert_eq!(open(folder.path()).get(key).await.unwrap().unwrap().value, "kept");
    });
}
