//! What is seen of a queue from outside.

use sluicegate_core::Lane;

use super::Line;
use crate::queue::{
    atoms::{Atoms, Count, Lock},
    cap::{Cap, UNLIMITED},
    pressure::{Load, pressure},
    status::LineStatus,
};

impl<A: Atoms> Line<A> {
    /// How hard pressed the route is, from 0 to 1, on its way to that upstream.
    #[must_use]
    pub fn pressure(&self, upstream: Option<&Cap<A>>) -> f32 {
        let (waiting, places) = if self.waiting.load() == 0 {
            (0, 1)
        } else {
            self.state.with(|state| (state.order.waiting(), state.limits.queue.into()))
        };
        pressure(&Load {
            route: (self.route.in_use(), self.route_limit.load()),
            upstream: upstream.map(|cap| (cap.in_use(), cap.limit().unwrap_or(UNLIMITED))),
            queue: (waiting, places),
            waits: self.shed.lateness(),
        })
    }

    /// What an operator sees.
    #[must_use]
    pub fn status(&self) -> LineStatus {
        let (interactive, batch, bytes, limits) = self.state.with(|state| {
            let order = &state.order;
            let lanes = (order.waiting_in(Lane::Interactive), order.waiting_in(Lane::Batch));
            (lanes.0, lanes.1, order.bytes(), state.limits)
        });
        LineStatus {
            route: self.name.to_string(),
            in_use: self.route.in_use(),
            concurrent: limits.concurrent,
            per_tenant: limits.per_tenant,
            tenants_known: self.tenants.known(),
            waiting_interactive: interactive,
            waiting_batch: batch,
            waiting_bytes: bytes,
            queue: limits.queue,
            queue_bytes: limits.queue_bytes,
            shedding: self.shed.step().as_str(),
            shed_step: self.shed.step() as u8,
            pressure: self.pressure(None),
        }
    }
}
