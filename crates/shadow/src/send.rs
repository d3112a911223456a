//! One copy's way: out, back, and to the pair.

use std::{
    rc::Rc,
    sync::{Arc, mpsc::SyncSender},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Request};
use http_body::Body as _;
use http_body_util::{BodyExt, Full};
use sluicegate_core::{
    Access, Chance, Classified, Clock, Code, Facts, Lane, Refusal, Repeat, RoutePlan, facts::is_grpc,
};
use sluicegate_upstream::Proxy;
use tokio::time::{Instant, timeout_at};
use tower_service::Service;

use crate::{
    Answer,
    ledger::{Against, Failed, RequestShown},
    outcome::{Outcome, Unpaired},
    pairing::{Copied, Pairing},
    room::{Room, Taken},
    runner::Job,
};

/// What all copies are sent with.
pub(crate) struct Sending {
    pub(crate) room: Room,
    pub(crate) clock: Clock,
    pub(crate) chance: Arc<Chance>,
    pub(crate) pairs: SyncSender<Pairing>,
}

/// Sends a copy to the shadow, and of some another to the route's own upstream; hands what came
/// back to the thread that compares.
pub(crate) async fn send_all(job: Job, proxy: Proxy<Full<Bytes>>, sending: Rc<Sending>) {
    let Job { shadowing, head, body, taken, place, primary, slot } = job;
    let settings = &shadowing.settings;
    let until = Instant::now() + settings.timeout;
    let id = format!("{:016x}", sending.chance.bits());
    let digest = head.digest(&body);
    // Without a comparison the answer is only read to its end, so that it can be counted as whole.
    let cap = settings.compare.as_ref().map_or(settings.max_body, |compare| compare.max_answer);
    let ask = |target: &Arc<RoutePlan>| {
        let request = head.copy(settings, (&id, &digest), body.clone());
        Copy { target: target.clone(), proxy: proxy.clone(), until, cap, room: sending.room.clone() }
            .send(request)
    };
    let own = shadowing.own(slot).filter(|_| {
        let wanted = primary.is_some() && !head.writes;
        wanted && settings.noise.holds(sending.chance.bits())
    });
    let shadow = async {
        let outcome = ask(&shadowing.shadow).await;
        shadowing.state.counts.add(outcome.as_ref().map_or_else(|outcome| *outcome, |_| Outcome::Answered));
        outcome
    };
    let own = async {
        match own {
            Some(target) => Some(ask(target).await),
            None => None,
        }
    };
    let primary = async {
        let told = timeout_at(until, primary?).await;
        Some(told.ok().and_then(Result::ok).unwrap_or(Err(Unpaired::NoPrimary)))
    };
    let (shadow, own, primary) = tokio::join!(shadow, own, primary);
    let Some(primary) = primary else { return };
    let counts = &shadowing.state.counts;
    let primary = match primary {
        Ok(primary) => primary,
        Err(why) => return counts.not_paired(why),
    };
    let request = RequestShown {
        method: head.method.as_str().into(),
        path: head.shown_path().into(),
        id: shown_id(&head.headers),
        hash: digest.as_str().into(),
        shadow_id: id.as_str().into(),
    };
    let copies = [(Against::Shadow, Some(shadow)), (Against::Own, own)];
    let copies = copies.into_iter().filter_map(|(against, outcome)| Some((against, copied(outcome?)?)));
    let copies: Vec<_> = copies.collect();
    if copies.is_empty() {
        return counts.not_paired(Unpaired::Memory);
    }
    let (at, shadowing) = (sending.clock.now(), shadowing.clone());
    let pairing = Pairing { shadowing, request, at, primary, copies, _taken: taken, _place: place };
    if let Err(full) = sending.pairs.try_send(pairing) {
        drop(full);
        counts.not_paired(Unpaired::Behind);
    }
}

/// What the books are told of a copy; nothing where the gateway itself had no room for its answer.
fn copied(outcome: Result<Came, Outcome>) -> Option<Result<Copied, Failed>> {
    Some(match outcome {
        Ok(came) => Ok(Copied { answer: came.answer, took: came.took, _taken: came.taken }),
        Err(Outcome::Memory) => return None,
        Err(Outcome::Breaker) => Err(Failed::Breaker),
        Err(Outcome::Unreachable) => Err(Failed::Unreachable),
        Err(Outcome::Timeout) => Err(Failed::Timeout),
        Err(Outcome::AnswerTooLarge) => Err(Failed::TooLarge),
        Err(_) => Err(Failed::Reset),
    })
}

fn shown_id(headers: &http::HeaderMap) -> Box<str> {
    headers.get("x-request-id").and_then(|id| id.to_str().ok()).unwrap_or_default().into()
}

/// An answer to a copy.
struct Came {
    answer: Answer,
    took: Duration,
    taken: Taken,
}

/// One copy to one upstream.
struct Copy {
    target: Arc<RoutePlan>,
    proxy: Proxy<Full<Bytes>>,
    until: Instant,
    cap: usize,
    room: Room,
}

impl Copy {
    async fn send(mut self, mut request: Request<Full<Bytes>>) -> Result<Came, Outcome> {
        let began = Instant::now();
        let facts = self.facts(&request, began);
        request.extensions_mut().insert(facts);
        // Whatever it is, it goes out once.
        request.extensions_mut().insert(Repeat::Never);
        let response = self.proxy.call(request).await.map_err(|refusal| outcome(&refusal))?;
        let took = began.elapsed();
        let (head, mut body) = response.into_parts();
        let (mut gathered, taken) = (BytesMut::new(), self.room.hold());
        // What says that it will be too large is not read at all. A shadow all of whose answers are is
        // asked for nothing: each would be paid for, and none be of use.
        if body.size_hint().lower() > self.cap as u64 {
            body.blame();
            return Err(Outcome::AnswerTooLarge);
        }
        loop {
            let Ok(frame) = timeout_at(self.until, body.frame()).await else {
                body.blame();
                return Err(Outcome::Timeout);
            };
            let Some(frame) = frame else { break };
            let Ok(frame) = frame else { return Err(Outcome::Reset) };
            let Some(data) = frame.data_ref() else { continue };
            if gathered.len() + data.len() > self.cap {
                body.blame();
                return Err(Outcome::AnswerTooLarge);
            }
            if !taken.grow(data.len()) {
                return Err(Outcome::Memory);
            }
            gathered.extend_from_slice(data);
        }
        let answer = Answer { status: head.status, headers: head.headers, body: gathered.freeze() };
        Ok(Came { answer, took, taken })
    }

    /// The record that the proxy goes by. The copy counts as a write: what died on a kept-alive
    /// connection would else be sent again.
    fn facts(&self, request: &Request<Full<Bytes>>, began: Instant) -> Facts {
        let id = request.headers().get("x-request-id").cloned();
        let id = id.unwrap_or_else(|| HeaderValue::from_static("-"));
        let facts = Facts::new(id, None, began, is_grpc(request.headers()));
        facts.classify(Classified {
            route: self.target.clone(),
            access: Access::Write,
            tenant: None,
            lane: Lane::Batch,
            cost: 0,
            deadline: Some(self.until),
            rpc: None,
        });
        facts
    }
}

/// What a refusal of the proxy says of the shadow.
fn outcome(refusal: &Refusal) -> Outcome {
    match refusal.code() {
        Code::Overloaded => Outcome::Breaker,
        Code::UpstreamUnreachable => Outcome::Unreachable,
        Code::UpstreamTimeout | Code::DeadlineExceeded => Outcome::Timeout,
        _ => Outcome::Reset,
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Method};
    use sluicegate_core::Slot;
    use tokio::{sync::oneshot, task::LocalSet};

    use super::*;
    use crate::{answered::Whole, head::CopyHead, testing::Rig};

    #[tokio::test]
    async fn a_pair_that_the_comparing_thread_has_no_place_for_is_let_go_and_counted() {
        let rig = Rig::new();
        let shadowing = rig.shadowing("search", "lab", r#"{ "percent": 100, "compare": {} }"#);
        let room = rig.shadows.home().room.clone();
        let (tell, told) = oneshot::channel();
        let answer = Answer {
            status: http::StatusCode::OK,
            headers: HeaderMap::new(),
            body: Bytes::from_static(b"{}"),
        };
        let whole = Whole { answer, took: Duration::ZERO, _taken: Some(room.hold()) };
        tell.send(Ok(Arc::new(whole))).unwrap();
        let taken = room.hold();
        assert!(taken.grow(100));
        let job = Job {
            shadowing: shadowing.clone(),
            head: Arc::new(CopyHead {
                method: Method::GET,
                uri: "/search".parse().unwrap(),
                headers: HeaderMap::new(),
                writes: false,
            }),
            body: Bytes::new(),
            taken: Arc::new(Some(taken)),
            place: shadowing.state.place(1).unwrap(),
            primary: Some(told),
            slot: Slot::First,
        };
        // It is there and takes nothing.
        let (pairs, _inbox) = std::sync::mpsc::sync_channel(0);
        let sending = Sending {
            room: room.clone(),
            clock: Clock::system(),
            chance: Arc::new(Chance::seeded(1)),
            pairs,
        };
        let all = async { send_all(job, Proxy::new(Chance::seeded(2)), Rc::new(sending)).await };
        LocalSet::new().run_until(all).await;
        assert_eq!((shadowing.state.in_flight(), room.taken()), (0, 0));
        assert_eq!(shadowing.state.counts.unpaired()["behind"], 1);
    }
}
