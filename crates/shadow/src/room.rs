//! The room that everything held for copies may take.
//!
//! Bodies that wait to be sent and answers that wait to be compared come out of the one budget of
//! all held bodies, and of it they may take a quarter: what copies hold never keeps a keyed write
//! or an intent from being read.

use sluicegate_body::{Budget, Held};

/// Copies may take one part in so many of what all held bodies may take.
const PART: usize = 4;

/// Where bytes held for copies are accounted for; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    all: Budget,
    copies: Budget,
}

/// Bytes held for one copy; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Taken {
    all: Held,
    copies: Held,
}

impl Room {
    /// Room within `all`.
    pub(crate) fn within(all: Budget) -> Self {
        let copies = Budget::new(all.max() / PART);
        Self { all, copies }
    }

    /// What all bodies may take may have changed.
    pub(crate) fn follow(&self) {
        self.copies.set_max(self.all.max() / PART);
    }

    /// The bytes that are held now.
    pub(crate) fn taken(&self) -> usize {
        self.copies.taken()
    }

    /// Takes nothing yet.
    pub(crate) fn hold(&self) -> Taken {
        Taken { all: self.all.hold(), copies: self.copies.hold() }
    }
}

impl Taken {
    /// Takes `more` bytes; false when there is no room for them.
    #[must_use]
    pub(crate) fn grow(&self, more: usize) -> bool {
        self.copies.grow(more) && self.all.grow(more)
    }
}

#[cfg(test)]
mod tests {
    use sluicegate_body::Budget;

    use super::Room;

    #[test]
    fn copies_take_a_quarter_and_give_it_back() {
        let all = Budget::new(400);
        let room = Room::within(all.clone());
        let held = room.hold();
        assert!(held.grow(60) && held.grow(40) && !held.grow(1));
        assert_eq!((room.taken(), all.taken()), (100, 100));
        drop(held);
        assert_eq!((room.taken(), all.taken()), (0, 0));
        all.set_max(800);
        room.follow();
        assert!(room.hold().grow(200));
        let others = all.hold();
        assert!(others.grow(800), "what copies leave is the others'");
        assert!(!room.hold().grow(1));
    }
}
