use std::time::{Duration, Instant};

use super::{Journal, MOST_BYTES, Remembered, Tag};

#[derive(Clone, Debug, PartialEq)]
struct Write(Option<u128>, bool, usize);

impl Remembered for Write {
    fn tag(&self) -> Option<Tag> {
        self.0.map(Tag)
    }

    fn held(&self) -> bool {
        self.1
    }

    fn bytes(&self) -> usize {
        self.2
    }
}

const SPAN: Duration = Duration::from_secs(10);

const fn held(tag: u128) -> Write {
    Write(Some(tag), true, 1)
}

const fn done(tag: u128) -> Write {
    Write(Some(tag), false, 1)
}

#[test]
fn a_write_knows_the_tags_before_it() {
    let mut journal = Journal::new(SPAN);
    journal.note(7, Some(Tag(1)), held(2));
    journal.note(7, Some(Tag(2)), done(3));
    journal.note(7, Some(Tag(2)), done(3));
    let all = journal.all(false);
    assert_eq!((all[0].1.before.clone(), all[0].1.write.clone()), (vec![Tag(1), Tag(2)], done(3)));
    // Others have written in between: what came before their work says nothing any more.
    journal.note(7, Some(Tag(9)), Write(None, false, 0));
    assert_eq!(journal.all(false)[0].1.before, vec![Tag(9)]);
    journal.note(7, None, held(10));
    assert_eq!(journal.all(true)[0].1.before, Vec::new());
}

#[test]
fn what_is_held_stays_and_the_rest_fades() {
    let mut journal = Journal::new(SPAN);
    let start = Instant::now();
    journal.note_at(1, None, held(1), start);
    journal.note_at(2, None, done(2), start);
    journal.note_at(3, None, held(3), start);
    journal.note_at(3, Some(Tag(3)), done(4), start + SPAN / 2);
    journal.heard_at(1, start + SPAN / 2);
    journal.fade(start + SPAN);
    let mut keys: Vec<_> = journal.all(false).into_iter().map(|(key, _)| key).collect();
    keys.sort_unstable();
    assert_eq!(keys, [1, 3]);
    journal.heard_at(1, start + SPAN);
    journal.fade(start + SPAN + SPAN * 9 / 10);
    assert_eq!((journal.kept.len(), journal.bytes), (1, 0));
    // Its holder is silent for a whole span.
    journal.fade(start + SPAN * 2);
    assert!(journal.kept.is_empty() && journal.fading.is_empty());
}

#[test]
fn what_another_has_taken_is_forgotten() {
    let mut journal = Journal::new(SPAN);
    journal.note(1, None, held(1));
    journal.lost(1, Tag(5));
    assert_eq!(journal.all(true).len(), 1);
    journal.lost(1, Tag(1));
    assert!(journal.all(false).is_empty());
}

#[test]
fn bytes_are_bounded_but_for_what_is_held() {
    let mut journal = Journal::new(SPAN);
    let big = |tag| Write(Some(tag), false, MOST_BYTES / 2);
    journal.note(0, None, Write(Some(9), true, MOST_BYTES));
    for key in 1..=3_u8 {
        journal.note(key, None, big(u128::from(key)));
    }
    let mut keys: Vec<_> = journal.all(false).into_iter().map(|(key, _)| key).collect();
    keys.sort_unstable();
    assert_eq!(keys, [0, 2, 3]);
}
