//! The request's body as it passes, kept for its copies.

use bytes::{Bytes, BytesMut};
use sluicegate_body::Tap;
use sluicegate_core::Slot;
use std::sync::Arc;
use tokio::sync::oneshot;

use crate::{
    answered::Answered,
    head::CopyHead,
    home::{Place, Shadows},
    outcome::Outcome,
    plan::Shadowing,
    room::Taken,
    runner::Job,
};

/// One copy that is to be sent when the request's body has passed.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(crate) shadowing: Arc<Shadowing>,
    pub(crate) place: Place,
    /// Where the primary's answer comes from, where answers are compared.
    pub(crate) primary: Option<oneshot::Receiver<Answered>>,
}

impl Ticket {
    /// There will be no copy.
    fn give_up(self, why: Outcome) {
        self.shadowing.state.counts.add(why);
    }
}

/// Listens to the request's body.
#[derive(Debug)]
pub struct CopyTap(Box<Copying>);

#[derive(Debug)]
pub(crate) struct Copying {
    pub(crate) shadows: Shadows,
    pub(crate) head: CopyHead,
    /// Which of a rollout's upstreams the request is for.
    pub(crate) slot: Slot,
    pub(crate) gathered: BytesMut,
    /// None once no copy will be sent: what was held is free for others, however long the body goes on.
    pub(crate) taken: Option<Taken>,
    pub(crate) tickets: Vec<Ticket>,
}

impl CopyTap {
    pub(crate) fn new(copying: Copying) -> Self {
        Self(Box::new(copying))
    }
}

impl Tap for CopyTap {
    fn data(&mut self, data: &Bytes) {
        let Copying { tickets, gathered, taken, .. } = &mut *self.0;
        let length = gathered.len() + data.len();
        for ticket in tickets.extract_if(.., |it| it.shadowing.settings.max_body < length) {
            ticket.give_up(Outcome::BodyTooLarge);
        }
        let has_room = taken.as_ref().is_some_and(|taken| tickets.is_empty() || taken.grow(data.len()));
        if !has_room {
            tickets.drain(..).for_each(|ticket| ticket.give_up(Outcome::Memory));
        }
        if tickets.is_empty() {
            (*gathered, *taken) = (BytesMut::new(), None);
            return;
        }
        // A copy of the bytes and not a handle: a handle would keep the connection's whole read
        // buffer, which nobody has accounted for.
        gathered.extend_from_slice(data);
    }

    fn ended(self, whole: bool) {
        let Copying { shadows, head, slot, gathered, taken, tickets } = *self.0;
        if !whole {
            return tickets.into_iter().for_each(|ticket| ticket.give_up(Outcome::Unsent));
        }
        let (head, body, taken) = (Arc::new(head), gathered.freeze(), Arc::new(taken));
        for Ticket { shadowing, place, primary } in tickets {
            let state = shadowing.state.clone();
            let (head, body, taken) = (head.clone(), body.clone(), taken.clone());
            let job = Job { shadowing, head, body, taken, place, primary, slot };
            if !shadows.home().runner().is_some_and(|runner| runner.send(job)) {
                state.counts.add(Outcome::QueueFull);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::{Bytes, BytesMut};
    use http::{HeaderMap, Method};
    use sluicegate_body::Tap;
    use sluicegate_core::Slot;

    use super::{CopyTap, Copying, Ticket};
    use crate::{head::CopyHead, outcome::Outcome, testing::Rig};

    #[tokio::test]
    async fn a_body_that_goes_on_past_its_cap_holds_nothing_any_more() {
        let rig = Rig::new();
        let shadowing = rig.shadowing("search", "lab", r#"{ "percent": 100, "max_body": "4B" }"#);
        let room = &rig.shadows.home().room;
        let place = shadowing.state.place(1).unwrap();
        let mut tap = CopyTap::new(Copying {
            shadows: rig.shadows.clone(),
            head: CopyHead {
                method: Method::POST,
                uri: "/search".parse().unwrap(),
                headers: HeaderMap::new(),
                writes: false,
            },
            slot: Slot::First,
            gathered: BytesMut::new(),
            taken: Some(room.hold()),
            tickets: vec![Ticket { shadowing: shadowing.clone(), place, primary: None }],
        });
        tap.data(&Bytes::from_static(b"one"));
        assert_eq!((room.taken(), shadowing.state.in_flight()), (3, 1));
        tap.data(&Bytes::from_static(b"two"));
        assert_eq!((room.taken(), shadowing.state.in_flight()), (0, 0), "while the body streams on");
        tap.data(&Bytes::from_static(b"three"));
        tap.ended(true);
        assert_eq!(shadowing.state.counts.of(Outcome::BodyTooLarge), 1);
    }
}
