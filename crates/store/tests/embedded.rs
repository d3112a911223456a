//! The engine on disk keeps what every engine promises, over a restart too.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::{Duration, UNIX_EPOCH};

use sluicegate_core::Clock;
use sluicegate_store::{
    Store,
    embedded::{Embedded, EmbeddedOptions, Sync},
};
use tempfile::TempDir;

mod engines;

struct OnDisk {
    folder: TempDir,
    clock: Clock,
    store: Option<Store>,
}

impl OnDisk {
    fn start(folder: &TempDir, clock: &Clock) -> Store {
        let options = EmbeddedOptions { path: folder.path().join("store"), sync: Sync::Os };
        Store::new(Embedded::open(options, clock.clone()).unwrap())
    }
}

impl engines::Stand for OnDisk {
    const MOMENT: Duration = Duration::from_secs(10);
    const LEAPS: bool = true;
    const RUNS: u32 = 16;

    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::simulated(UNIX_EPOCH + Duration::from_secs(1000));
        Self { store: Some(Self::start(&folder, &clock)), clock, folder }
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    async fn pass(&self, time: Duration) {
        tokio::time::advance(time).await;
    }

    async fn lose_holders(&mut self) {
        // The folder is free once the store is dropped.
        drop(self.store.take());
        self.store = Some(Self::start(&self.folder, &self.clock));
    }
}

engines::promises!(OnDisk);
