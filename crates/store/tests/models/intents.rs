//! The intents as a model.
//!
//! Two keys whose writes stand in one line, up to three sends, one of them a duplicate, a
//! freeze that ends and may begin again, and one or two gateways whose backfills apply what is
//! kept. What a gateway does about the fence that it finds is `fence::decide`, under `refuse`;
//! the store changes a fence and an entry in one step, as `Queue::append` and `Queue::change`
//! promise.
//!
//! | step | stands for |
//! |---|---|
//! | `Send`, `Look`, `Pass` | a client's send, the replay layer's look at the key, the freeze: the write is to be kept, or goes behind those that wait, or goes on |
//! | `Store`, `AskAgain`, `GiveUp`, `Kill`, `Lapse` | as in the model of the fence; the writes of one actor arrive in order |
//! | `Claim` | a backfill asks for the head of the line, once no freeze holds and all that was let through has ended |
//! | `PutBack` | a freeze has begun since |
//! | `Notice` | a backfill finds an entry whose holder is gone: in doubt, or queued again where the upstream honours keys |
//! | `Forward`, `Upstream`, `Hear`, `Cut` | a write goes out, takes effect or is refused (for good, or not applied this time), and its end is heard, or not |
//! | `HearLast` | it was not applied, and the tries are used up |
//! | `Operator` | somebody looked at the upstream, made sure that nothing is on its way, and says what is so |
//! | `Freeze`, `Thaw` | for all gateways at once |
//!
//! A holder that was given up while it was merely slow may still tell what became of its
//! attempt, as long as no other attempt has been made.
//!
//! Left out: caps, expiry and age (an entry stays for good), the soak and the pace, several
//! lines (they share nothing), lost answers of the claims of a killed gateway, and the sealed
//! fence's life. Two gateways that apply start with what was accepted already, since how it
//! came to be kept is looked at with one.

mod applying;
mod properties;
mod protocol;
mod sending;
mod store;
mod world;

use crate::{checked, long, print, refuted};
use properties::{DRAINED, FENCE_ENDS, IN_ORDER, NOT_LOST, ONE_EFFECT, SOMEBODY, TRUE_END};
use protocol::{Break, Engine, Protocol};

/// One gateway, from the first send on.
fn arrivals(engine: Engine, honours_keys: bool) -> Protocol {
    Protocol {
        engine,
        honours_keys,
        keys: &[0, 1, 0],
        accepted: 0,
        backfills: 1,
        crashes: 1,
        silences: 0,
        troubles: 1,
        freezes: 0,
        operator: false,
        broken: None,
        print: print(),
    }
}

/// Two gateways that apply what was accepted.
fn backfill(honours_keys: bool) -> Protocol {
    let arrivals = arrivals(Engine::Leased, honours_keys);
    Protocol { keys: &[0, 1], accepted: 2, backfills: 2, ..arrivals }
}

fn holds(protocol: Protocol) {
    let size = format!("intents, {:?}", Size(&protocol));
    checked(&size, protocol);
}

fn fails(broken: Break, property: &'static str, protocol: Protocol) {
    let fault = format!("{broken:?} ({:?})", Size(&protocol));
    refuted(&fault, property, Protocol { broken: Some(broken), ..protocol });
}

/// What there is how often.
struct Size<'a>(&'a Protocol);

impl std::fmt::Debug for Size<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Protocol { engine, honours_keys, keys, accepted, backfills, .. } = self.0;
        let Protocol { crashes, silences, troubles, freezes, operator, .. } = self.0;
        write!(
            f,
            "{engine:?}, honours_keys: {honours_keys}, keys {keys:?}, {accepted} of them accepted before, "
        )?;
        write!(f, "{backfills} backfills, {crashes} crashes, {silences} silences, {troubles} troubles, ")?;
        write!(f, "{freezes} more freezes, operator: {operator}")
    }
}

#[test]
fn embedded() {
    for honours_keys in [false, true] {
        let base = Protocol { operator: true, ..arrivals(Engine::Embedded, honours_keys) };
        holds(if long() { Protocol { crashes: 2, silences: 1, ..base } } else { base });
    }
}

#[test]
fn a_freeze_that_begins_again() {
    for honours_keys in [false, true] {
        let base = arrivals(Engine::Embedded, honours_keys);
        let more = Protocol { freezes: 1, troubles: 0, ..base };
        holds(if long() { Protocol { troubles: 1, silences: 1, ..more } } else { more });
    }
}

#[test]
fn arrivals_over_a_shared_store() {
    for honours_keys in [false, true] {
        let base = Protocol { troubles: 0, ..arrivals(Engine::Leased, honours_keys) };
        holds(if long() { Protocol { silences: 1, troubles: 1, ..base } } else { base });
    }
}

#[test]
fn two_backfills_in_trouble() {
    for honours_keys in [false, true] {
        let base = Protocol { crashes: 0, ..backfill(honours_keys) };
        holds(if long() {
            Protocol { operator: true, ..base }
        } else {
            Protocol { keys: &[0], accepted: 1, ..base }
        });
    }
}

#[test]
fn two_backfills_that_crash() {
    for honours_keys in [false, true] {
        let base = Protocol { troubles: 0, ..backfill(honours_keys) };
        holds(match (long(), honours_keys) {
            (true, _) => Protocol { silences: 1, ..base },
            (false, false) => base,
            (false, true) => Protocol { keys: &[0], accepted: 1, troubles: 1, ..base },
        });
    }
}

#[test]
fn two_backfills_and_an_operator() {
    let base = Protocol { crashes: 0, operator: true, ..backfill(false) };
    holds(if long() { Protocol { troubles: 2, ..base } } else { base });
}

#[test]
fn fence_and_entry_change_together() {
    let two = |keys| Protocol { keys, troubles: 0, ..arrivals(Engine::Embedded, false) };
    fails(Break::FenceFirst, NOT_LOST, two(&[0, 0]));
    fails(Break::EntryFirst, ONE_EFFECT, two(&[0, 0]));
    fails(Break::FenceUnchecked, ONE_EFFECT, two(&[0, 0]));
    fails(Break::SettledInTwo, FENCE_ENDS, two(&[0]));
}

#[test]
fn a_claim_outlives_a_crash() {
    let one = Protocol { keys: &[0], troubles: 0, ..arrivals(Engine::Embedded, false) };
    fails(Break::ClaimForgotten, ONE_EFFECT, one.clone());
    fails(Break::AbandonedSentAgain, ONE_EFFECT, one);
    fails(Break::AbandonedSentAgain, ONE_EFFECT, Protocol { crashes: 0, troubles: 0, ..backfill(false) });
}

#[test]
fn a_line_is_kept() {
    let two = Protocol { keys: &[0, 1], troubles: 0, ..arrivals(Engine::Embedded, false) };
    fails(Break::DoubtLetsPass, IN_ORDER, two.clone());
    fails(Break::PastTheLine, DRAINED, two.clone());
    fails(Break::NotDrained, DRAINED, Protocol { freezes: 1, ..two });
    fails(Break::HeadsSkipped, IN_ORDER, Protocol { crashes: 0, troubles: 0, ..backfill(false) });
}

#[test]
fn who_is_overtaken_is_fenced_off() {
    let one = Protocol { keys: &[0], accepted: 1, crashes: 0, ..backfill(false) };
    fails(Break::TagIgnored, ONE_EFFECT, Protocol { silences: 1, ..one.clone() });
    fails(Break::EarlierNotFenced, ONE_EFFECT, Protocol { troubles: 2, operator: true, ..one.clone() });
    fails(Break::NewTagOnRepeat, SOMEBODY, Protocol { silences: 1, ..one });
}

#[test]
fn a_doubt_outlives_the_attempts_after_it() {
    let one = Protocol { keys: &[0], ..arrivals(Engine::Embedded, true) };
    fails(Break::DoubtForgotten, TRUE_END, one);
}
