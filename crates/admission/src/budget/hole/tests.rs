use std::time::Duration;

use proptest::prelude::*;

use super::{Hole, Short};
use crate::budget::rule::Rule;

/// The same ledger told the plain way: a level in tokens times nanoseconds of `per`.
struct Model {
    level: i128,
    at: u64,
    rule: Rule,
}

impl Model {
    fn new(rule: Rule) -> Self {
        Self { level: i128::from(rule.burst()) * i128::from(rule.per_nanos()), at: 0, rule }
    }

    fn at(&mut self, now: u64) {
        let full = i128::from(self.rule.burst()) * i128::from(self.rule.per_nanos());
        self.level = full.min(self.level + i128::from(now - self.at) * i128::from(self.rule.tokens()));
        self.at = now;
    }

    fn change(&mut self, tokens: i128) {
        let full = i128::from(self.rule.burst()) * i128::from(self.rule.per_nanos());
        self.level = full.min(self.level + tokens * i128::from(self.rule.per_nanos()));
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Take(u64),
    Owe(u64),
    GiveBack(u64),
}

fn steps(most: u64) -> impl Strategy<Value = Vec<(u64, Step)>> {
    let step = prop_oneof![
        4 => (0..=most).prop_map(Step::Take),
        1 => (0..=most).prop_map(Step::Owe),
        2 => (0..=most).prop_map(Step::GiveBack),
    ];
    prop::collection::vec((0u64..3_000_000_000, step), 1..60)
}

proptest! {
    #[test]
    fn it_admits_what_the_model_admits_and_the_wait_is_true(
        tokens in 1u64..2000,
        per in 1u64..5_000_000_000,
        burst in 1u64..1000,
        steps in steps(1100),
    ) {
        let rule = Rule::new(tokens, Duration::from_nanos(per), burst).unwrap();
        let (mut hole, mut model, mut now) = (Hole::default(), Model::new(rule), 0u64);
        for (gap, step) in steps {
            now += gap;
            model.at(now);
            match step {
                Step::Take(tokens) => {
                    let fits = tokens <= burst && model.level >= i128::from(tokens) * i128::from(per);
                    match hole.take(tokens, &rule, now) {
                        Ok(()) => {
                            prop_assert!(fits);
                            model.change(-i128::from(tokens));
                        }
                        Err(Short::ForGood) => prop_assert!(tokens > burst),
                        Err(Short::For(wait)) => {
                            prop_assert!(!fits && !wait.is_zero());
                            let then = now + u64::try_from(wait.as_nanos()).unwrap();
                            let (mut alone, mut early) = (hole, hole);
                            prop_assert!(alone.take(tokens, &rule, then).is_ok());
                            prop_assert!(early.take(tokens, &rule, then - 1).is_err());
                        }
                    }
                }
                Step::Owe(tokens) => {
                    hole.owe(tokens, &rule, now);
                    model.change(-i128::from(tokens));
                }
                Step::GiveBack(tokens) => {
                    hole.give_back(tokens, &rule, now);
                    model.change(i128::from(tokens));
                }
            }
            let full = i128::from(burst) * i128::from(per);
            hole.touch(&rule, now);
            prop_assert_eq!(i128::try_from(hole.depth).unwrap(), full - model.level);
        }
    }

    #[test]
    fn taken_and_given_back_leaves_nothing_missing(
        taken in prop::collection::vec(1u64..100, 1..20),
        gap in 0u64..10_000_000_000,
    ) {
        let rule = Rule::new(7, Duration::from_secs(3), 5000).unwrap();
        let mut hole = Hole::default();
        for tokens in &taken {
            hole.take(*tokens, &rule, 0).unwrap();
        }
        for tokens in &taken {
            hole.give_back(*tokens, &rule, gap);
        }
        prop_assert_eq!(hole.missing(&rule, gap), 0);
    }
}

#[test]
fn a_debt_stays_so_many_tokens_under_other_numbers() {
    let before = Rule::new(10, Duration::from_secs(1), 100).unwrap();
    let after = Rule::new(1000, Duration::from_secs(60), 50).unwrap();
    let mut hole = Hole::default();
    hole.owe(333, &before, 0);
    assert_eq!(hole.missing(&after, 0), 333);
    assert_eq!(hole.full_in(&after, 0), Duration::from_millis(19_980));
}

#[test]
fn the_largest_numbers_do_not_overflow() {
    let rule = Rule::new(u64::MAX, crate::budget::MOST_PER, u64::MAX).unwrap();
    let slow = Rule::new(1, crate::budget::MOST_PER, u64::MAX).unwrap();
    let mut hole = Hole::default();
    for _ in 0..3 {
        hole.owe(u64::MAX, &rule, u64::MAX);
        hole.owe(u64::MAX, &slow, 0);
    }
    assert!(hole.take(1, &slow, u64::MAX).is_err());
    assert_eq!(hole.full_in(&slow, 0), Duration::MAX);
}
