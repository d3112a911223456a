//! The fence as a model, checked exhaustively.
//!
//! One key, one client that sends its write up to three times without waiting for anything,
//! two gateways, a store and an upstream that applies a write some time after it was sent, or
//! never. Every order of their steps is tried, with a crash at any of them. What a gateway
//! does about what it finds is not modelled: it is [`sluicegate_store::fence::decide`].
//!
//! | step | stands for |
//! |---|---|
//! | `Send` | the client's first send, a retry, a duplicate: to either gateway, at any time |
//! | `Look` | `Records::get`, and what `decide` says of it; that it is acted on later is another step |
//! | `Store` | a write arrives at the store and is made or not; between this and the asking anything can happen |
//! | `AskAgain` | a write's answer does not come (an error, a timeout, a store that restarts): made again under the same tag, while the first may still arrive |
//! | `GiveUp` | the same, and the client is refused; the gateway goes on to undo what the begin may have done |
//! | `Forward`, `NotSent` | the request goes out, or the upstream cannot be reached |
//! | `Apply`, `Refuse` | the upstream's doing, which comes whether or not somebody still listens |
//! | `Hear`, `Cut` | its answer, or a reset or timeout instead of it |
//! | `Kill` | `kill -9`: whatever the gateway was at is left as it is, and it is there again |
//! | `Lapse`, `Beat` | a lease runs out, also of a holder that is merely slow, and is taken up again |
//! | `Leave` | a client leaves before the key is begun, or is told to come back later |
//!
//! A client that leaves later changes nothing, so there is no such step: the exchange belongs
//! to the fence. Nor is there one for a store that is down, since for a gateway that is the same
//! as answers that do not come.
//!
//! Left out: the fingerprint (every send is the same request), expiry (a record outlives all
//! that happens here), bounds, deferred keys (the model of the intents has them), answers that
//! are final without an effect, and an operator who resolves a key, which is one more writer
//! that compares.
//!
//! The promise holds for what the store has answered. One that forgets an answered write (a
//! failover) breaks it, and the model shows that too: see [`Break::StoreForgets`].
//!
//! Where writes can overtake one another ([`Store::LeasedLate`]) one thing is not promised: a
//! begin that was undone may arrive once more, and then the key is unknown though nothing was
//! sent.
//!

mod properties;
mod protocol;
mod world;

use sluicegate_store::fence::OnUnknown;

use crate::{checked, long, print, refuted};
use properties::{ONE_EFFECT, OWN_RECORD, SEALED_STAYS, SOMEBODY, THE_LIVING, UNKNOWN_STAYS};
use protocol::{Break, Protocol, Store};

fn protocol(store: Store, on_unknown: OnUnknown) -> Protocol {
    Protocol {
        store,
        on_unknown,
        honours_keys: false,
        sends: 3,
        crashes: 1,
        silences: 1,
        broken: None,
        print: print(),
    }
}

/// Every property holds in every world, and all that should be possible is.
fn holds(protocol: Protocol) {
    let Protocol { store, on_unknown, honours_keys, sends, crashes, silences, .. } = protocol;
    let size = format!(
        "fence, {store:?}, {on_unknown:?}, honours_keys: {honours_keys}, {sends} sends, {crashes} crashes, {silences} silences"
    );
    checked(&size, protocol);
}

/// A protocol with this fault violates this property.
fn fails(broken: Break, property: &'static str, protocol: Protocol) {
    let fault = format!("{broken:?} ({:?}, {:?})", protocol.store, protocol.on_unknown);
    refuted(&fault, property, Protocol { broken: Some(broken), ..protocol });
}

#[test]
fn embedded() {
    let size = |policy| {
        let base = protocol(Store::Embedded, policy);
        if long() { Protocol { sends: 4, crashes: 2, ..base } } else { Protocol { crashes: 2, ..base } }
    };
    holds(size(OnUnknown::Refuse));
    holds(size(OnUnknown::Retry));
}

#[test]
fn leased_refuse() {
    let base = protocol(Store::Leased, OnUnknown::Refuse);
    holds(if long() { Protocol { crashes: 2, silences: 2, ..base } } else { base });
}

#[test]
fn leased_refuse_with_late_writes() {
    let base = protocol(Store::LeasedLate, OnUnknown::Refuse);
    holds(if long() { Protocol { crashes: 2, silences: 2, ..base } } else { base });
}

#[test]
fn leased_retry() {
    let base = protocol(Store::Leased, OnUnknown::Retry);
    holds(if long() { base } else { Protocol { sends: 2, crashes: 2, silences: 2, ..base } });
}

#[test]
fn leased_retry_with_late_writes() {
    let base = protocol(Store::LeasedLate, OnUnknown::Retry);
    holds(if long() { base } else { Protocol { sends: 2, silences: 2, ..base } });
}

#[test]
fn an_upstream_that_honours_keys_makes_a_retry_safe() {
    let base = Protocol { honours_keys: true, ..protocol(Store::Leased, OnUnknown::Retry) };
    holds(if long() { base } else { Protocol { sends: 2, crashes: 2, silences: 2, ..base } });
}

#[test]
fn without_the_compare_it_runs_twice() {
    for store in [Store::Embedded, Store::Leased] {
        fails(Break::NothingCompared, ONE_EFFECT, protocol(store, OnUnknown::Refuse));
        fails(Break::BeginUnchecked, ONE_EFFECT, protocol(store, OnUnknown::Refuse));
        fails(Break::BeginUnchecked, UNKNOWN_STAYS, protocol(store, OnUnknown::Refuse));
    }
    fails(Break::SettleUnchecked, ONE_EFFECT, protocol(Store::LeasedLate, OnUnknown::Refuse));
    fails(Break::SettleUnchecked, OWN_RECORD, protocol(Store::Leased, OnUnknown::Retry));
    fails(Break::SettleUnchecked, SEALED_STAYS, protocol(Store::Leased, OnUnknown::Retry));
}

#[test]
fn without_the_token_it_runs_twice() {
    fails(Break::TokenIgnored, ONE_EFFECT, protocol(Store::LeasedLate, OnUnknown::Refuse));
    fails(Break::TokenIgnored, OWN_RECORD, protocol(Store::Leased, OnUnknown::Retry));
    fails(Break::TokenIgnored, SEALED_STAYS, protocol(Store::Leased, OnUnknown::Retry));
    fails(Break::NewTokenOnRepeat, SOMEBODY, protocol(Store::Leased, OnUnknown::Refuse));
}

#[test]
fn a_lapsed_lease_is_not_a_release() {
    fails(Break::LapseReleases, ONE_EFFECT, protocol(Store::Leased, OnUnknown::Refuse));
    fails(Break::LapseReleases, ONE_EFFECT, protocol(Store::Embedded, OnUnknown::Refuse));
    fails(Break::CutReleases, ONE_EFFECT, protocol(Store::Embedded, OnUnknown::Refuse));
    fails(Break::DeathUnchecked, THE_LIVING, protocol(Store::Leased, OnUnknown::Retry));
}

#[test]
fn nothing_goes_out_before_the_key_is_begun() {
    fails(Break::SentBeforeBegun, ONE_EFFECT, protocol(Store::Embedded, OnUnknown::Refuse));
    fails(Break::SentBeforeBegun, ONE_EFFECT, protocol(Store::Leased, OnUnknown::Refuse));
}

#[test]
fn what_is_begun_is_brought_to_an_end() {
    for store in [Store::Embedded, Store::Leased] {
        fails(Break::LeaverCancels, SOMEBODY, protocol(store, OnUnknown::Refuse));
        fails(Break::BeginLeftBehind, SOMEBODY, protocol(store, OnUnknown::Refuse));
    }
}

#[test]
fn a_store_that_forgets_what_it_answered_breaks_the_promise() {
    fails(Break::StoreForgets, ONE_EFFECT, protocol(Store::Leased, OnUnknown::Refuse));
}
