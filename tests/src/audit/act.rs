//! What an audited upstream does with a write that has come.

use std::{sync::Arc, time::Duration};

use super::Choice;

/// What is done with one arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Waits, has its effect, waits again, answers.
    Do {
        /// Before the effect.
        before: Duration,
        /// Between the effect and the answer.
        after: Duration,
        /// How the answer looks.
        shape: Shape,
    },
    /// Has no effect and says so with this status, which `not_applied` lists.
    NotNow(u16),
    /// Has no effect and says that it never will: a final 4xx.
    Never(u16),
    /// Answers 500, with or without its effect.
    Fail {
        /// Whether the effect is had.
        effect: bool,
    },
    /// Resets the connection, with or without its effect.
    Reset {
        /// Whether the effect is had.
        effect: bool,
    },
    /// Has its effect and never answers.
    Hang,
    /// Has its effect and breaks off in the middle of the answer's body.
    Truncate,
}

impl Act {
    /// Whether a gateway that was there to the end cannot know what was done.
    pub fn leaves_doubt(self) -> bool {
        matches!(self, Self::Fail { .. } | Self::Reset { .. } | Self::Hang | Self::Truncate)
    }

    /// Whether it was said that nothing was done and that it may be tried again.
    pub fn may_run_again(self) -> bool {
        matches!(self, Self::NotNow(_))
    }
}

/// How an answer looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// 201 and a few bytes of known length.
    Short,
    /// 200 in several chunks.
    Chunked,
    /// 200 and 16 KiB.
    Long,
}

/// Does every write at once.
pub fn prompt() -> Choice {
    Arc::new(|_, _| Act::Do { before: Duration::ZERO, after: Duration::ZERO, shape: Shape::Short })
}

/// Everything that can happen, by a seed. Two thirds of all arrivals are done within 20 ms.
pub fn chaos(seed: u64) -> Choice {
    Arc::new(move |write, nth| {
        let mut chance = fastrand::Rng::with_seed(seed ^ write.number.rotate_left(20) ^ (nth as u64) << 56);
        // Neighbouring seeds give neighbouring first draws.
        chance.u64(..);
        let millis = |chance: &mut fastrand::Rng, most| Duration::from_millis(chance.u64(..=most));
        let shape = match chance.u8(..10) {
            0 => Shape::Long,
            1 | 2 => Shape::Chunked,
            _ => Shape::Short,
        };
        match chance.u16(..1000) {
            0..660 => Act::Do { before: millis(&mut chance, 10), after: millis(&mut chance, 10), shape },
            660..730 => Act::Do { before: millis(&mut chance, 300), after: Duration::ZERO, shape },
            730..800 => Act::Do { before: Duration::ZERO, after: millis(&mut chance, 300), shape },
            800..880 => Act::NotNow(503),
            880..900 => Act::NotNow(429),
            900..910 => Act::Never(400),
            910..930 => Act::Fail { effect: chance.bool() },
            930..955 => Act::Reset { effect: false },
            955..980 => Act::Reset { effect: true },
            980..985 => Act::Hang,
            _ => Act::Truncate,
        }
    })
}
