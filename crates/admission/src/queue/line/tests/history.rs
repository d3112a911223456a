//! Any history of coming, leaving, finishing, panicking and reloading, step by step.
//!
//! After each step the counts are those of a plain model, nothing was let in above a cap, and
//! nobody waits whose caps are all free. At the end all counts are zero.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::Arc,
    time::Duration,
};

use futures_util::FutureExt;
use proptest::prelude::*;
use sluicegate_core::Lane;
use tokio::time::{Instant, advance};

use super::{limits, line};
use crate::queue::{Cap, Entry, Limits, Line, Permit, Ticket, Verdict, Waiting};

const TENANTS: [&str; 3] = ["a", "b", "c"];

#[derive(Clone, Debug)]
enum Step {
    Come { route: usize, tenant: Option<usize>, upstream: Option<usize>, batch: bool, bytes: u64 },
    Leave(usize),
    Finish(usize),
    Panic(usize),
    Reload { route: usize, concurrent: u32, per_tenant: Option<u32> },
    Resize { upstream: usize, limit: u32 },
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let come = (0..2usize, prop::option::of(0..3usize), prop::option::of(0..2usize), any::<bool>(), 0..50u64);
    prop_oneof![
        6 => come.prop_map(|(route, tenant, upstream, batch, bytes)| {
            Step::Come { route, tenant, upstream, batch, bytes }
        }),
        2 => any::<usize>().prop_map(Step::Leave),
        4 => any::<usize>().prop_map(Step::Finish),
        1 => any::<usize>().prop_map(Step::Panic),
        1 => (0..2usize, 0..4u32, prop::option::of(0..3u32))
            .prop_map(|(route, concurrent, per_tenant)| Step::Reload { route, concurrent, per_tenant }),
        1 => (0..2usize, 0..4u32).prop_map(|(upstream, limit)| Step::Resize { upstream, limit }),
        1 => (1..300u64).prop_map(Step::Pass),
    ]
}

/// What a request needs.
#[derive(Clone, Copy, Debug)]
struct Needs {
    route: usize,
    tenant: Option<usize>,
    upstream: Option<usize>,
    /// Whether tenants were capped when it came.
    capped: bool,
}

/// The queues, and what should be true of them.
struct World {
    lines: [Arc<Line>; 2],
    limits: [Limits; 2],
    upstreams: [Arc<Cap>; 2],
    sizes: [u32; 2],
    waiting: Vec<(Needs, Waiting)>,
    running: Vec<(Needs, Permit)>,
    /// How many of those that run, at the end of the list, were let in by this step.
    new: usize,
}

impl World {
    fn new() -> Self {
        let limits = Limits { per_tenant: Some(1), queue_bytes: 200, ..limits(2, 6) };
        Self {
            lines: [line(limits), line(limits)],
            limits: [limits; 2],
            upstreams: [Arc::new(Cap::new("u", Some(2))), Arc::new(Cap::new("v", Some(1)))],
            sizes: [2, 1],
            waiting: Vec::new(),
            running: Vec::new(),
            new: 0,
        }
    }

    fn apply(&mut self, step: &Step) {
        match *step {
            Step::Come { route, tenant, upstream, batch, bytes } => {
                let capped = self.limits[route].per_tenant.is_some();
                self.come(Needs { route, tenant, upstream, capped }, batch, bytes);
            }
            Step::Leave(at) if !self.waiting.is_empty() => {
                drop(self.waiting.swap_remove(at % self.waiting.len()));
            }
            Step::Finish(at) if !self.running.is_empty() => {
                drop(self.running.swap_remove(at % self.running.len()));
            }
            Step::Panic(at) if !self.running.is_empty() => {
                let (_, permit) = self.running.swap_remove(at % self.running.len());
                let caught = catch_unwind(AssertUnwindSafe(move || {
                    let _permit = permit;
                    resume_unwind(Box::new("the service behind it panics"));
                }));
                assert!(caught.is_err());
            }
            Step::Reload { route, concurrent, per_tenant } => {
                let limits = Limits { concurrent: Some(concurrent), per_tenant, ..self.limits[route] };
                self.limits[route] = limits;
                self.lines[route].set(limits);
            }
            Step::Resize { upstream, limit } => {
                self.sizes[upstream] = limit;
                self.upstreams[upstream].set_limit(Some(limit));
            }
            Step::Leave(_) | Step::Finish(_) | Step::Panic(_) | Step::Pass(_) => {}
        }
    }

    fn come(&mut self, needs: Needs, batch: bool, bytes: u64) {
        let ticket = Ticket {
            tenant: needs.tenant.map(|at| TENANTS[at]),
            upstream: needs.upstream.map(|at| &self.upstreams[at]),
            lane: if batch { Lane::Batch } else { Lane::Interactive },
            deadline: None,
            bytes,
        };
        match self.lines[needs.route].enter(&ticket, Instant::now()) {
            Entry::Settled(Verdict::Admitted(permit, _)) => self.let_in(needs, permit),
            Entry::Settled(Verdict::Refused(_)) => assert!(!self.could_run(&needs), "refused: {needs:?}"),
            Entry::Waits(waiting) => self.waiting.push((needs, waiting)),
        }
    }

    fn let_in(&mut self, needs: Needs, permit: Permit) {
        self.running.push((needs, permit));
        self.new += 1;
    }

    /// Hears what the waiters were told.
    fn hear(&mut self) {
        for (needs, mut waiting) in std::mem::take(&mut self.waiting) {
            match (&mut waiting).now_or_never() {
                Some(Verdict::Admitted(permit, _)) => self.let_in(needs, permit),
                Some(Verdict::Refused(_)) => {}
                None => self.waiting.push((needs, waiting)),
            }
        }
    }

    fn running(&self, which: impl Fn(&Needs) -> bool) -> u32 {
        u32::try_from(self.running.iter().filter(|(needs, _)| which(needs)).count()).unwrap()
    }

    fn of_route(&self, route: usize) -> u32 {
        self.running(|needs| needs.route == route)
    }

    fn of_tenant(&self, route: usize, tenant: usize) -> u32 {
        self.running(|needs| needs.capped && needs.route == route && needs.tenant == Some(tenant))
    }

    fn of_upstream(&self, upstream: usize) -> u32 {
        self.running(|needs| needs.upstream == Some(upstream))
    }

    /// Whether so many more would fit under all caps of `needs`.
    fn fits(&self, needs: &Needs, more: u32) -> bool {
        let limits = &self.limits[needs.route];
        let tenant = needs.tenant.filter(|_| needs.capped).zip(limits.per_tenant);
        limits.concurrent.is_none_or(|limit| self.of_route(needs.route) + more <= limit)
            && tenant.is_none_or(|(tenant, limit)| self.of_tenant(needs.route, tenant) + more <= limit)
            && needs.upstream.is_none_or(|at| self.of_upstream(at) + more <= self.sizes[at])
    }

    fn could_run(&self, needs: &Needs) -> bool {
        self.fits(needs, 1)
    }

    fn check(&mut self) {
        for (route, line) in self.lines.iter().enumerate() {
            let status = line.status();
            assert_eq!(status.in_use, self.of_route(route));
            let waiting = self.waiting.iter().filter(|(needs, _)| needs.route == route).count() as u64;
            assert_eq!(status.waiting_interactive + status.waiting_batch, waiting);
            assert!(waiting <= 6 && status.waiting_bytes <= 200);
        }
        for (at, upstream) in self.upstreams.iter().enumerate() {
            assert_eq!(upstream.in_use(), self.of_upstream(at));
        }
        // A cap that was lowered may be exceeded by what ran before, by nothing that came after.
        let from = self.running.len() - std::mem::take(&mut self.new);
        for (needs, _) in &self.running[from..] {
            assert!(self.fits(needs, 0), "above a cap: {needs:?}");
        }
        for (needs, _) in &self.waiting {
            assert!(!self.could_run(needs), "it waits though its caps are free: {needs:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn counts_hold_and_nobody_is_left_behind(steps in prop::collection::vec(step(), 1..120)) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_time().start_paused(true).build().unwrap().block_on(async {
            let mut world = World::new();
            for step in &steps {
                if let Step::Pass(span) = step {
                    advance(Duration::from_millis(*span)).await;
                }
                world.apply(step);
                world.hear();
                world.check();
            }
            world.waiting.clear();
            world.running.clear();
            world.check();
        });
    }
}
