//! Holds a write's place at the barrier until its answer has ended.
//!
//! Where the exchange outlives its client (a fence carries it on), the place is handed over to
//! it when the guard is dropped: the write is off the list when it has really ended.

use std::{sync::Arc, task::Waker};

use sluicegate_core::Attempt;

use crate::{barrier::Ticket, flight::Flight, home::Home};

/// A write's hold on its place.
#[derive(Debug)]
pub(crate) struct Guard {
    place: Option<Place>,
    flight: Arc<Flight>,
    home: Arc<Home>,
    /// Nobody below moves the attempt: the layer itself does.
    own: bool,
}

/// The place; dropping it takes the write off the list, with what its attempt says of its end.
#[derive(Debug)]
struct Place {
    home: Arc<Home>,
    ticket: Ticket,
    flight: Arc<Flight>,
}

impl Guard {
    pub(crate) fn new(home: Arc<Home>, ticket: Ticket, flight: Arc<Flight>, own: bool) -> Self {
        let place = Place { home: home.clone(), ticket, flight: flight.clone() };
        let guard = Self { place: Some(place), flight, home, own };
        guard.moved(Attempt::sent);
        guard
    }

    /// The answer has begun. The timekeeper is told, since from here on it may have to end it.
    pub(crate) fn answering(&self) {
        self.moved(Attempt::answering);
        self.home.progress();
    }

    /// A layer inside refused: nothing was done.
    pub(crate) fn refused(&self) {
        self.moved(Attempt::not_applied);
    }

    /// The answer is complete.
    pub(crate) fn ended(&self) {
        self.moved(Attempt::ended);
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.flight.is_cut()
    }

    pub(crate) fn park(&self, waker: &Waker) {
        self.flight.park(waker);
    }

    fn moved(&self, step: fn(&Attempt)) {
        if self.own {
            step(self.flight.attempt());
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            self.flight.facts().keep(place);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.home.leave(&self.ticket, &self.flight);
    }
}
