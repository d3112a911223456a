//! The levels of one bucket's tenants: bounded, sharded.
//!
//! A shard is a hash table under a lock, with room for so many cells. A new tenant gets a cell
//! where there is room or where a full cell can be given up; otherwise it is judged by the
//! overflow level, which all such tenants share. A shard looks through its cells only when the
//! earliest of them may have become full, and then gives up all that are; it is small, so that
//! such a look takes microseconds.
//!
//! A tenant may be judged by the overflow level first and get a cell later. So that it cannot
//! take a burst from each, a new cell begins where the overflow level stood when it last gave
//! something to a tenant of that shard: usually that has long refilled. The other way round
//! nothing is gained either: a cell is given up only when it is full.

use governor::nanos::Nanos;
use hashbrown::HashTable;

use super::{
    level::{Level, Lock},
    seat::Seat,
};

/// The cells that one shard has room for. A table of 1024 places holds them at most half full,
/// so that it is tidied in place and never grows further.
const SHARD_ROOM: usize = 448;

/// The most memory a tenant's place costs, in bytes: 16 for the cell, one for the table's
/// mark, and the free places that keep a table fast. A bucket of `max_tenants` takes at most
/// that many times this, and one shard (18 KiB) more.
pub const BYTES_PER_TENANT: usize = 40;

/// One tenant's level.
#[derive(Debug)]
struct Cell {
    key: u64,
    full_at: Nanos,
}

/// A part of the cells.
#[derive(Debug)]
pub(super) struct Shard {
    cells: HashTable<Cell>,
    /// The latest moment that was told.
    latest: Nanos,
    /// No cell is full before this.
    earliest: Nanos,
    /// When all is refilled that tenants of this shard took from the overflow level.
    spilled: Nanos,
}

impl Default for Shard {
    fn default() -> Self {
        let [latest, spilled] = [Nanos::default(); 2];
        Self { cells: HashTable::new(), latest, earliest: Nanos::new(u64::MAX), spilled }
    }
}

impl Shard {
    /// Whether there is room for one more, if need be by giving up cells that are full.
    fn has_room(&mut self, room: usize) -> bool {
        if self.cells.len() >= room && self.earliest <= self.latest {
            self.give_up_full();
        }
        self.cells.len() < room
    }

    fn give_up_full(&mut self) {
        let mut earliest = Nanos::new(u64::MAX);
        self.cells.retain(|cell| {
            let keep = cell.full_at > self.latest;
            if keep {
                earliest = earliest.min(cell.full_at);
            }
            keep
        });
        self.earliest = earliest;
    }

    /// The cell of a key, ready to be worked on.
    fn find(&mut self, key: u64) -> Option<Found<'_>> {
        let cell = self.cells.find_mut(key, |cell| cell.key == key)?;
        Some(Found { cell, latest: self.latest, earliest: &mut self.earliest })
    }

    /// Works on the overflow level for a tenant of this shard.
    fn spill<R>(&mut self, level: &mut Level, work: impl FnOnce(&Seat, Nanos) -> R) -> R {
        let before = level.full_at;
        let answer = level.with(self.latest, work);
        if level.full_at > before {
            self.spilled = self.spilled.max(level.full_at);
        }
        answer
    }

    fn insert(&mut self, cell: Cell) {
        self.earliest = self.earliest.min(cell.full_at);
        self.cells.insert_unique(cell.key, cell, |cell| cell.key);
    }
}

/// A cell in its shard.
struct Found<'a> {
    cell: &'a mut Cell,
    latest: Nanos,
    earliest: &'a mut Nanos,
}

impl Found<'_> {
    fn with<R>(self, work: impl FnOnce(&Seat, Nanos) -> R) -> R {
        let seat = Seat::new(self.cell.full_at);
        let answer = work(&seat, self.latest);
        self.cell.full_at = seat.full_at();
        *self.earliest = self.cell.full_at.min(*self.earliest);
        answer
    }
}

/// Which level judged a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Its own.
    Own,
    /// The one that is shared by those without a cell.
    Overflow,
}

/// All cells of one bucket.
#[derive(Debug)]
pub(super) struct Cells<S, L> {
    shards: Box<[S]>,
    /// How many cells each shard may hold.
    room: usize,
    overflow: L,
}

impl<S: Lock<Shard>, L: Lock<Level>> Cells<S, L> {
    /// No cells yet, and room for at least one and about `max` of them.
    pub(super) fn new(max: usize) -> Self {
        let max = max.max(1);
        let shards = max.div_ceil(SHARD_ROOM);
        Self {
            shards: (0..shards).map(|_| S::new(Shard::default())).collect(),
            room: max.div_ceil(shards),
            overflow: L::new(Level::default()),
        }
    }

    /// Works on the level that judges this tenant.
    pub(super) fn with<R>(&self, key: u64, now: Nanos, work: impl FnOnce(&Seat, Nanos) -> R) -> (R, Place) {
        self.shard(key).with(|shard| {
            shard.latest = shard.latest.max(now);
            if let Some(found) = shard.find(key) {
                return (found.with(work), Place::Own);
            }
            // The shard stays locked, so that a tenant is judged here or there and never by
            // both at once. No one who holds the overflow level waits for a shard.
            if !shard.has_room(self.room) {
                return (self.overflow.with(|level| shard.spill(level, work)), Place::Overflow);
            }
            let seat = Seat::new(shard.spilled);
            let answer = work(&seat, shard.latest);
            if seat.full_at() > shard.latest {
                shard.insert(Cell { key, full_at: seat.full_at() });
            }
            (answer, Place::Own)
        })
    }

    /// Works on the level that judged this tenant before, if it is still there. A cell that is
    /// not was full, and there is nothing to give back to it.
    pub(super) fn again(&self, key: u64, place: Place, now: Nanos, work: impl FnOnce(&Seat, Nanos)) {
        match place {
            Place::Own => self.shard(key).with(|shard| {
                shard.latest = shard.latest.max(now);
                if let Some(found) = shard.find(key) {
                    found.with(work);
                }
            }),
            Place::Overflow => self.overflow.with(|level| level.with(now, work)),
        }
    }

    /// The shard of a key, by the upper end of its lower half: the table of the shard uses the
    /// lower end, and the highest bits.
    fn shard(&self, key: u64) -> &S {
        let part = (key & u64::from(u32::MAX)) * self.shards.len() as u64;
        &self.shards[usize::try_from(part >> 32).unwrap_or_default()]
    }

    /// How many cells there are, and how many bytes they take.
    pub(super) fn size(&self) -> (usize, usize) {
        let frame = size_of_val(&*self.shards);
        self.shards.iter().fold((0, frame), |(cells, bytes), shard| {
            let (more, taken) = shard.with(|shard| (shard.cells.len(), shard.cells.allocation_size()));
            (cells + more, bytes + taken)
        })
    }

    /// Whether every level is full: then nothing is lost with the cells.
    pub(super) fn is_full(&self, now: Nanos) -> bool {
        self.overflow.with(|level| level.full_at <= now)
            && self
                .shards
                .iter()
                .all(|shard| shard.with(|shard| shard.cells.iter().all(|cell| cell.full_at <= now)))
    }
}

#[cfg(test)]
mod tests;
