//! How far the server is on its way out.
//!
//! `Serving -> Announced -> Closing`, or straight to `Closing`; never back. Read on every
//! answer, so it is one atomic; the workers wake their connections after a step.

use std::sync::atomic::{AtomicU8, Ordering};

/// A step on the way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// Nothing was said yet.
    Serving = 0,
    /// Clients are told to go; new ones are still served.
    Announced = 1,
    /// Nothing new is accepted; what rests is closed.
    Closing = 2,
}

#[derive(Debug, Default)]
pub(crate) struct StageCell(AtomicU8);

impl StageCell {
    pub(crate) fn get(&self) -> Stage {
        match self.0.load(Ordering::Acquire) {
            0 => Stage::Serving,
            1 => Stage::Announced,
            _ => Stage::Closing,
        }
    }

    /// Goes to `stage` unless it is already there or further.
    pub(crate) fn advance(&self, stage: Stage) {
        self.0.fetch_max(stage as u8, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::{Stage, StageCell};

    #[test]
    fn it_never_goes_back() {
        let cell = StageCell::default();
        assert_eq!(cell.get(), Stage::Serving);
        cell.advance(Stage::Closing);
        cell.advance(Stage::Announced);
        assert_eq!(cell.get(), Stage::Closing);
    }
}
