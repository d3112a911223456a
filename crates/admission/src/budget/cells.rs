//! The cells of all tenants of one ledger: bounded, sharded, and none forgotten in debt.
//!
//! A tenant is known by a keyed 64-bit hash of its name, so that a cell costs the same
//! whatever a client writes into a header: about [`BYTES_PER_CELL`]. Two of `n` tenants share
//! a cell with a chance of about `n² / 2^65` (3 in 10^10 for 100,000 tenants), and no client
//! can look for such a pair, since the key is drawn when the process starts.
//!
//! When a shard has no room, cells that are full and not in use make some. Such a sweep walks
//! the shard, so there is one in [`SWEEP_EVERY`] at most; where it frees nothing, and between
//! two sweeps, new tenants share one overflow cell. So a flood of names costs bounded time
//! and memory, and neither clears a debt nor hands out a budget each.

use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::BuildHasher,
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{hole::Hole, rule::Rule, told::Told};

/// Tenants that have a cell of their own, if nothing else is said.
pub const MOST_TENANTS: usize = 100_000;

/// What a tenant's cell costs at most, in bytes: up to 96 on the heap with the allocator's
/// share, and up to 39 for its place in a table that is at least seven sixteenths full.
pub const BYTES_PER_CELL: usize = 136;

/// The least time between two sweeps of one shard.
const SWEEP_EVERY: Duration = Duration::from_millis(100);

/// Enough that the workers of one machine seldom meet.
const SHARDS: usize = 16;

/// One tenant's account, for all its requests.
pub(super) type Cell = Mutex<Account>;

/// What is kept of one tenant.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) hole: Hole,
    pub(super) told: Told,
}

#[derive(Debug)]
pub(super) struct Cells {
    shards: Box<[Mutex<Shard>]>,
    overflow: Arc<Cell>,
    hasher: RandomState,
    begun: Instant,
    most_per_shard: usize,
}

#[derive(Debug, Default)]
struct Shard {
    cells: HashMap<u64, Arc<Cell>>,
    sweep_after: u64,
}

/// A tenant's cell.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) cell: Arc<Cell>,
    /// Whether it is the overflow cell, shared with others.
    pub(super) shared: bool,
    /// How many more cells there are for it; less than 0 where a sweep made room.
    pub(super) more: i64,
}

impl Cells {
    /// Room for `most` tenants, at least one in each shard.
    pub(super) fn new(most: usize, begun: Instant) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            overflow: Arc::default(),
            hasher: RandomState::new(),
            begun,
            most_per_shard: most.div_ceil(SHARDS).max(1),
        }
    }

    /// `now` as the cells tell it; what was before the beginning is the beginning.
    pub(super) fn nanos(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.begun).as_nanos()).unwrap_or(u64::MAX)
    }

    /// The cell of `tenant`, made where it has none. Requests without a tenant share one.
    pub(super) fn find(&self, tenant: Option<&str>, rule: &Rule, now: u64) -> Found {
        let key = self.hasher.hash_one(tenant);
        let mut shard = self.shard(key).lock();
        if let Some(cell) = shard.cells.get(&key) {
            return Found { cell: Arc::clone(cell), shared: false, more: 0 };
        }
        let before = shard.cells.len();
        if before >= self.most_per_shard && !shard.make_room(rule, now) {
            return Found { cell: Arc::clone(&self.overflow), shared: true, more: 0 };
        }
        let cell = Arc::<Cell>::default();
        shard.cells.insert(key, Arc::clone(&cell));
        let more = i64::try_from(shard.cells.len()).unwrap_or(0) - i64::try_from(before).unwrap_or(0);
        Found { cell, shared: false, more }
    }

    /// What is missing for `tenant`, without making a cell: a tenant that has none is full.
    pub(super) fn peek(&self, tenant: Option<&str>) -> Hole {
        let key = self.hasher.hash_one(tenant);
        self.shard(key).lock().cells.get(&key).map_or_else(Hole::default, |cell| cell.lock().hole)
    }

    /// How many tenants have a cell of their own.
    #[cfg(test)]
    pub(super) fn tenants(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().cells.len()).sum()
    }

    /// Whether no cell would miss anything if all were forgotten.
    pub(super) fn all_full(&self, rule: &Rule, now: u64) -> bool {
        let spare = |cell: &Arc<Cell>| is_spare(cell, rule, now);
        spare(&self.overflow) && self.shards.iter().all(|shard| shard.lock().cells.values().all(spare))
    }

    fn shard(&self, key: u64) -> &Mutex<Shard> {
        // The table inside uses the low bits.
        &self.shards[usize::try_from(key >> 32).unwrap_or(0) % self.shards.len()]
    }
}

impl Shard {
    /// Throws out what is full and not in use; false where that gave no room.
    fn make_room(&mut self, rule: &Rule, now: u64) -> bool {
        if now < self.sweep_after {
            return false;
        }
        self.sweep_after = now.saturating_add(u64::try_from(SWEEP_EVERY.as_nanos()).unwrap_or(u64::MAX));
        let before = self.cells.len();
        self.cells.retain(|_, cell| !is_spare(cell, rule, now));
        self.cells.len() < before
    }
}

/// Whether forgetting a cell changes nothing: nobody holds it, and nothing is missing. Cells
/// are handed out under the shard's lock only, so nobody can begin to hold it meanwhile.
fn is_spare(cell: &Arc<Cell>, rule: &Rule, now: u64) -> bool {
    Arc::strong_count(cell) == 1 && cell.lock().hole.missing(rule, now) == 0
}

#[cfg(test)]
mod tests;
