//! The memory engine keeps what every engine promises.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::{Duration, UNIX_EPOCH};

use sluicegate_core::Clock;
use sluicegate_store::{Engine, Health, Store, memory::Memory};

mod engines;

struct InMemory {
    memory: Memory,
    store: Store,
}

impl engines::Stand for InMemory {
    const MOMENT: Duration = Duration::from_secs(10);
    const LEAPS: bool = true;

    async fn open() -> Self {
        let memory = Memory::new(Clock::simulated(UNIX_EPOCH + Duration::from_secs(1000)));
        Self { store: Store::new(memory.clone()), memory }
    }

    fn store(&self) -> &Store {
        &self.store
    }

    async fn pass(&self, time: Duration) {
        tokio::time::advance(time).await;
    }

    async fn lose_holders(&mut self) {
        self.memory.lose_holders();
    }
}

engines::promises!(InMemory);

#[test]
fn it_is_always_up_and_keeps_nothing_over_a_restart() {
    let memory = Memory::new(Clock::system());
    assert_eq!(*memory.health().borrow(), Health::Up);
    assert!(memory.not_durable().unwrap().contains("memory"));
}
