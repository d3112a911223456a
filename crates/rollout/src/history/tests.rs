use jiff::Timestamp;

use super::{History, MOST_BYTES, MOST_DECISIONS};
use crate::machine::{Act, Actor, ArmPins, Decision, Phase};

fn decision(seq: u64, reason: &str) -> Decision {
    let phase = Phase::Idle { promoted: false };
    Decision {
        seq,
        version: seq,
        epoch: 1,
        run: 0,
        at: Timestamp::from_second(1000).unwrap(),
        by: Actor::operator("ann"),
        act: Act::Weighed,
        from: phase.clone(),
        to: phase,
        weight: [0, 1],
        active: "stable".into(),
        candidate: "next".into(),
        reason: Some(reason.into()),
        report: None,
        pins: ArmPins::new(),
    }
}

fn seqs(history: &History) -> Vec<u64> {
    history.decisions.iter().map(|decision| decision.seq).collect()
}

#[test]
fn each_decision_is_kept_once_and_in_order() {
    let mut history = History::default();
    assert!(history.add(&[decision(1, ""), decision(2, "")]));
    assert!(!history.add(&[decision(2, "")]));
    assert!(history.add(&[decision(4, "")]) && history.add(&[decision(3, "late")]));
    assert_eq!(seqs(&history), [1, 2, 3, 4]);
    // The store has lost a decision, and another gateway has given its number again.
    let again = Decision { by: Actor::operator("bob"), ..decision(4, "") };
    assert!(history.add(std::slice::from_ref(&again)) && !history.add(&[again]));
    assert_eq!(seqs(&history), [1, 2, 3, 4, 4]);
    let read = History::decode(&history.encode().unwrap()).unwrap();
    assert_eq!(read, history);
}

#[test]
fn the_oldest_make_room() {
    let mut history = History::default();
    let decisions: Vec<_> = (1..=250).map(|seq| decision(seq, "")).collect();
    history.add(&decisions);
    let kept = History::decode(&history.encode().unwrap()).unwrap();
    assert_eq!(seqs(&kept), (51..=250).collect::<Vec<_>>());
    assert_eq!(kept.decisions.len(), MOST_DECISIONS);
    let mut history = History::default();
    history.add(&(1..=50).map(|seq| decision(seq, &"x".repeat(10_000))).collect::<Vec<_>>());
    let bytes = history.encode().unwrap();
    let kept = History::decode(&bytes).unwrap();
    assert!(bytes.len() <= MOST_BYTES && bytes.len() > MOST_BYTES - 11_000, "{}", bytes.len());
    assert_eq!(seqs(&kept).last(), Some(&50));
}

#[test]
fn what_cannot_be_read_is_told() {
    assert!(History::decode(b"{").unwrap_err().contains("cannot be read"));
    assert!(History::decode(br#"{"format":2,"decisions":[]}"#).unwrap_err().contains("form 2"));
}
