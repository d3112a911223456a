//! How much is kept, in all and of each owner, and whether more has room.

use std::collections::HashMap;

use crate::error::Full;

/// So many of them, with so many bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Amount {
    pub(crate) count: u64,
    pub(crate) bytes: u64,
}

/// The most that is kept, and the part of it that one owner may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) most: Amount,
    pub(crate) share: f64,
}

/// Something kept: whose it is and its bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item<'a> {
    pub(crate) owner: &'a str,
    pub(crate) bytes: u64,
}

/// The counters.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    total: Amount,
    owners: HashMap<Box<str>, Amount>,
}

impl Counts {
    /// All that is kept.
    pub(crate) fn total(&self) -> Amount {
        self.total
    }

    /// What is kept of one owner.
    pub(crate) fn of(&self, owner: &str) -> Amount {
        self.owners.get(owner).copied().unwrap_or_default()
    }

    /// Takes up what one owner was found to have.
    pub(crate) fn load(&mut self, owner: &str, amount: Amount) {
        self.total.count += amount.count;
        self.total.bytes += amount.bytes;
        self.owners.insert(owner.into(), amount);
    }

    /// Counts one more.
    pub(crate) fn add(&mut self, item: Item<'_>) {
        let own = match self.owners.get_mut(item.owner) {
            Some(own) => own,
            None => self.owners.entry(item.owner.into()).or_default(),
        };
        for amount in [own, &mut self.total] {
            amount.count += 1;
            amount.bytes += item.bytes;
        }
    }

    /// Counts one less.
    pub(crate) fn take(&mut self, item: Item<'_>) {
        let Some(own) = self.owners.get_mut(item.owner) else { return };
        for amount in [&mut *own, &mut self.total] {
            amount.count = amount.count.saturating_sub(1);
            amount.bytes = amount.bytes.saturating_sub(item.bytes);
        }
        if own.count == 0 {
            self.owners.remove(item.owner);
        }
    }

    /// Whether `new` has room in the place of `old`. What is kept already may stay as it is
    /// or shrink, however full it is.
    pub(crate) fn room(&self, limits: Limits, old: Option<Item<'_>>, new: Item<'_>) -> Result<(), Full> {
        let bytes = |item: Option<Item<'_>>| item.map_or(0, |item| item.bytes);
        exceeds(self.total, limits.most, old.is_some(), bytes(old), new.bytes, [Full::Count, Full::Bytes])?;
        let own = old.filter(|old| old.owner == new.owner);
        let most = Amount {
            count: part(limits.most.count, limits.share),
            bytes: part(limits.most.bytes, limits.share),
        };
        let reasons = [Full::OwnersCount, Full::OwnersBytes];
        exceeds(self.of(new.owner), most, own.is_some(), bytes(own), new.bytes, reasons)
    }
}

fn exceeds(
    has: Amount,
    most: Amount,
    replaces: bool,
    old: u64,
    new: u64,
    why: [Full; 2],
) -> Result<(), Full> {
    if !replaces && has.count >= most.count {
        return Err(why[0]);
    }
    if new > old && has.bytes.saturating_sub(old).saturating_add(new) > most.bytes {
        return Err(why[1]);
    }
    Ok(())
}

/// One owner's part of `most`: at least one, since a share of none would shut everybody out.
fn part(most: u64, share: f64) -> u64 {
    if share >= 1.0 {
        return most;
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    // Casts saturate; a share is not negative.
    let part = (most as f64 * share) as u64;
    part.max(1)
}

#[cfg(test)]
mod tests {
    use super::{Amount, Counts, Full, Item, Limits, part};

    const fn item(owner: &'static str, bytes: u64) -> Item<'static> {
        Item { owner, bytes }
    }

    #[test]
    fn totals_and_shares_are_held() {
        let limits = Limits { most: Amount { count: 4, bytes: 100 }, share: 0.5 };
        let mut counts = Counts::default();
        counts.add(item("a", 10));
        counts.add(item("a", 10));
        assert_eq!(counts.room(limits, None, item("a", 1)), Err(Full::OwnersCount));
        assert_eq!(counts.room(limits, None, item("b", 51)), Err(Full::OwnersBytes));
        assert_eq!(counts.room(limits, None, item("b", 81)), Err(Full::Bytes));
        assert_eq!(counts.room(limits, None, item("b", 50)), Ok(()));
        counts.add(item("b", 50));
        counts.add(item("c", 10));
        assert_eq!(counts.room(limits, None, item("d", 1)), Err(Full::Count));
        assert_eq!(counts.room(limits, Some(item("a", 10)), item("a", 30)), Ok(()));
        assert_eq!(counts.room(limits, Some(item("a", 10)), item("a", 31)), Err(Full::Bytes));
        assert_eq!(counts.room(limits, Some(item("a", 10)), item("b", 10)), Err(Full::OwnersBytes));
        counts.take(item("a", 10));
        counts.take(item("a", 10));
        assert_eq!((counts.of("a"), counts.total()), (Amount::default(), Amount { count: 2, bytes: 60 }));
    }

    #[test]
    fn what_is_kept_may_shrink_though_the_bounds_were_lowered() {
        let mut counts = Counts::default();
        counts.add(item("a", 50));
        counts.add(item("a", 50));
        let lowered = Limits { most: Amount { count: 1, bytes: 10 }, share: 1.0 };
        assert_eq!(counts.room(lowered, Some(item("a", 50)), item("a", 50)), Ok(()));
        assert_eq!(counts.room(lowered, Some(item("a", 50)), item("a", 51)), Err(Full::Bytes));
    }

    #[test]
    fn a_share_leaves_room_for_one() {
        assert_eq!((part(10, 0.25), part(10, 0.001), part(u64::MAX, 1.0)), (2, 1, u64::MAX));
    }
}
