//! The counts of tenants on one route: a bounded table.
//!
//! A tenant is known by 64 bits of a keyed hash of its name, so that an entry has the same
//! small size whatever the name (two of 100,000 tenants share an entry with a probability
//! below 10^-9). An entry lives while a permit or a waiter holds it; idle ones are swept when a
//! shard has grown to twice what it held after the last sweep. A shard that is full of busy
//! entries gives newcomers the one overflow entry, which they share: a flood of names makes
//! names share, but lifts nobody's cap.

use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::BuildHasher,
    sync::Arc,
};

use super::{
    atoms::{Atoms, Count, Lock},
    cap::{Tally, UNLIMITED},
};

/// The most tenants that are counted apart, per route. An entry takes about 100 bytes.
pub(super) const MOST_TENANTS: usize = 100_000;

const SHARDS: usize = 16;

/// A shard is not swept below this many entries.
const SMALL: usize = 64;

/// The group of all that share the overflow entry. As likely a tenant's own hash as any other
/// number, and then that tenant shares it too.
const OVERFLOW: u64 = 0;

/// A request's tenant: its number, and its count where tenants are capped.
#[derive(Debug)]
pub(super) struct Tenant<A: Atoms> {
    pub(super) id: u64,
    pub(super) tally: Option<Arc<Tally<A>>>,
}

impl<A: Atoms> Clone for Tenant<A> {
    fn clone(&self) -> Self {
        Self { id: self.id, tally: self.tally.clone() }
    }
}

#[derive(Debug)]
pub(super) struct Tenants<A: Atoms> {
    limit: A::Count,
    hasher: RandomState,
    shards: Box<[A::Lock<Shard<A>>]>,
    overflow: Arc<Tally<A>>,
}

#[derive(Debug)]
struct Shard<A: Atoms> {
    entries: HashMap<u64, Arc<Tally<A>>, Identity>,
    sweep_at: usize,
    most: usize,
}

impl<A: Atoms> Tenants<A> {
    pub(super) fn new(limit: Option<u32>, most: usize) -> Self {
        let most = most.div_ceil(SHARDS).max(1);
        let shard = |_| A::Lock::new(Shard { entries: HashMap::default(), sweep_at: SMALL.min(most), most });
        Self {
            limit: A::Count::new(limit.unwrap_or(UNLIMITED)),
            hasher: RandomState::new(),
            shards: (0..SHARDS).map(shard).collect(),
            overflow: Arc::default(),
        }
    }

    pub(super) fn limit(&self) -> u32 {
        self.limit.load()
    }

    pub(super) fn set_limit(&self, limit: Option<u32>) {
        self.limit.store(limit.unwrap_or(UNLIMITED));
    }

    /// The tenant of that name, with its count where there is a cap.
    pub(super) fn of(&self, name: &str) -> Tenant<A> {
        let id = self.hasher.hash_one(name);
        if self.limit() == UNLIMITED {
            return Tenant { id, tally: None };
        }
        let shard = usize::try_from(id >> 32).unwrap_or_default() % SHARDS;
        let own = self.shards[shard].with(|shard| shard.entry(id));
        match own {
            Some(tally) => Tenant { id, tally: Some(tally) },
            None => Tenant { id: OVERFLOW, tally: Some(self.overflow.clone()) },
        }
    }

    /// How many entries there are, idle ones included.
    pub(super) fn known(&self) -> usize {
        self.shards.iter().map(|shard| shard.with(|shard| shard.entries.len())).sum()
    }
}

impl<A: Atoms> Shard<A> {
    fn entry(&mut self, id: u64) -> Option<Arc<Tally<A>>> {
        if let Some(known) = self.entries.get(&id) {
            return Some(known.clone());
        }
        if self.entries.len() >= self.sweep_at {
            // An entry that only the table holds has no permit and no waiter; nobody can get
            // hold of it meanwhile, since that too takes this lock.
            self.entries.retain(|_, tally| Arc::strong_count(tally) > 1);
            let busy = self.entries.len();
            // Past `most` the next sweeps come after some more newcomers, not at each.
            self.sweep_at = (2 * busy).clamp(SMALL.min(self.most), self.most);
            if busy >= self.most {
                return None;
            }
        }
        let tally = Arc::<Tally<A>>::default();
        self.entries.insert(id, tally.clone());
        Some(tally)
    }
}

/// The keys are hashes already.
#[derive(Clone, Copy, Debug, Default)]
struct Identity;

impl BuildHasher for Identity {
    type Hasher = Same;

    fn build_hasher(&self) -> Same {
        Same(0)
    }
}

#[derive(Debug)]
struct Same(u64);

impl std::hash::Hasher for Same {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{MOST_TENANTS, OVERFLOW, SHARDS, SMALL, Tenants};
    use crate::queue::atoms::Native;

    #[test]
    fn without_a_cap_nothing_is_kept() {
        let tenants = Tenants::<Native>::new(None, MOST_TENANTS);
        assert!(tenants.of("a").tally.is_none());
        assert_eq!(tenants.known(), 0);
    }

    #[test]
    fn a_tenant_keeps_its_count_while_it_is_busy_and_a_flood_of_names_stays_bounded() {
        let tenants = Tenants::<Native>::new(Some(1), MOST_TENANTS);
        let busy = tenants.of("busy").tally.unwrap();
        assert!(busy.take(1));
        for n in 0..1_000_000 {
            let _ = tenants.of(&format!("tenant-{n}"));
        }
        assert!(tenants.known() <= SHARDS * (SMALL + 2), "{}", tenants.known());
        assert!(Arc::ptr_eq(&busy, &tenants.of("busy").tally.unwrap()));
    }

    #[test]
    fn where_all_are_busy_newcomers_share_one_entry_and_idle_ones_make_room_again() {
        let tenants = Tenants::<Native>::new(Some(1), SHARDS * 4);
        let held: Vec<_> = (0..1000).map(|n| tenants.of(&format!("tenant-{n}"))).collect();
        assert_eq!(tenants.known(), SHARDS * 4);
        let shared: Vec<_> = held.iter().filter(|tenant| tenant.id == OVERFLOW).collect();
        assert_eq!(shared.len(), 1000 - SHARDS * 4);
        assert!(shared[0].tally.as_ref().unwrap().take(1));
        assert!(!shared[1].tally.as_ref().unwrap().take(1));
        drop(held);
        assert_ne!(tenants.of("late").id, OVERFLOW);
    }
}
