//! What every engine promises, on both brands.

use std::time::Duration;

use sluicegate_store::Store;
use sluicegate_test_servers::{Brand, Redis, Settings};

use crate::{
    engines,
    support::{LEASE, opened},
};

/// A server and a store on it.
struct On<const VALKEY: bool> {
    server: Redis,
    store: Store,
}

impl<const VALKEY: bool> engines::Stand for On<VALKEY> {
    const MOMENT: Duration = Duration::from_millis(500);
    const LEAPS: bool = false;

    async fn open() -> Self {
        let brand = if VALKEY { Brand::Valkey } else { Brand::Redis };
        let server = Settings::durable(brand).start().await.unwrap();
        Self { store: opened(&server).await, server }
    }

    fn store(&self) -> &Store {
        &self.store
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time + Duration::from_millis(5)).await;
    }

    async fn lose_holders(&mut self) {
        self.store = opened(&self.server).await;
        self.pass(LEASE).await;
    }
}

mod redis {
    use super::{On, engines};
    engines::promises!(On<false>);
}

mod valkey {
    use super::{On, engines};
    engines::promises!(On<true>);
}
