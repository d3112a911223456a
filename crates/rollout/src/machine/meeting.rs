//! Which of two states holds: the one a gateway knows, or the one it finds in the store.
//!
//! A store may forget: a failover, a crash, a file that was taken away. What a gateway has
//! once acted upon must not be undone by that, least of all an abort. So the later of the two
//! holds, by epoch first and version second, and where that is not what the store has, it is
//! written there again. Its version is then above both, so that no gateway sees versions go
//! back.

use super::State;

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Meeting {
    /// Nothing: they are the same.
    Same,
    /// The found state holds from here on.
    Adopt,
    /// This state must be written over what was found, and holds once it is.
    Write(Box<State>),
}

/// What a gateway that knows `known` does about `found`, which another write has made than the
/// one it knows.
#[must_use]
pub fn meet(known: Option<&State>, found: Option<&State>) -> Meeting {
    match (known, found) {
        (None, None) => Meeting::Same,
        (None, Some(_)) => Meeting::Adopt,
        (Some(known), None) => Meeting::Write(Box::new(known.again(known.version + 1))),
        (Some(known), Some(found)) if later(found, known) && found.version > known.version => Meeting::Adopt,
        (Some(known), Some(found)) => {
            let version = known.version.max(found.version) + 1;
            let holds = if later(known, found) { known } else { found };
            Meeting::Write(Box::new(holds.again(version)))
        }
    }
}

fn later(one: &State, other: &State) -> bool {
    (one.epoch, one.version) > (other.epoch, other.version)
}
