//! What a simulated request must pass: one struct, so that other guards can be put before the
//! queue.

use std::{collections::BTreeMap, sync::Arc};

use sluicegate_admission::queue::{Cap, Line, Queues, Ticket, Verdict};
use sluicegate_core::{Chance, Lane};
use tokio::time::Instant;

use crate::file::{File, Stream};

pub(crate) struct Gate {
    lines: BTreeMap<String, Arc<Line>>,
    upstream: Arc<Cap>,
}

impl Gate {
    pub(crate) fn new(file: &File) -> Self {
        let home =
            Queues::new(Arc::new(Chance::seeded(7)), &mut prometheus_client::registry::Registry::default());
        let line =
            |(name, route): (&String, &crate::file::Route)| (name.clone(), home.line(name, route.limits()));
        Self { lines: file.routes.iter().map(line).collect(), upstream: home.upstream("u", file.upstream) }
    }

    pub(crate) async fn pass(&self, stream: &Stream, tenant: Option<&str>, deadline: Instant) -> Verdict {
        let route = stream.route.as_ref().or_else(|| self.lines.keys().next()).unwrap();
        let ticket = Ticket {
            tenant,
            upstream: Some(&self.upstream),
            lane: if stream.batch { Lane::Batch } else { Lane::Interactive },
            deadline: Some(deadline),
            bytes: 0,
        };
        self.lines[route].acquire(&ticket).await
    }

    /// What is left when all is over: permits held, and waiters.
    pub(crate) fn rest(&self) -> (u32, u64) {
        let lines = self.lines.values().map(|line| line.status());
        lines.fold((self.upstream.in_use(), 0), |(held, waiting), line| {
            (held + line.in_use, waiting + line.waiting_interactive + line.waiting_batch)
        })
    }
}
