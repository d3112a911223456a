//! What the document's limits come to for each route: its own, and the top level's for the rest.

use std::sync::Arc;

use sluicegate_admission::{
    RouteLimits, SharedLimits, TenantClasses,
    buckets::Rate,
    input::{RateInput, ShedInput},
};
use sluicegate_classify::Cost;

use crate::{
    Document,
    document::{LimitsInput, RouteLimitsInput},
};

/// Requests of a route that may wait where the document does not say how many.
const QUEUE: u32 = 256;

/// Paths and what is wrong there.
type Faults = Vec<(String, String)>;

/// What the route at this place admits, and what its requests cost.
pub fn route_limits(document: &Document, at: usize) -> Result<(RouteLimits, Cost), Faults> {
    let Some(route) = document.routes.get(at) else { return Err(Vec::new()) };
    let both = Both { own: &route.limits, top: &document.limits, at };
    let (mut faults, own, top) = (Faults::new(), both.own, both.top);
    let rate = both.rate().map_err(|fault| faults.push(fault)).ok().flatten();
    let concurrent = own.concurrent.or(top.concurrent);
    if concurrent == Some(0) {
        let message = "0 would let nothing run; write 1 or more, or remove the key for no limit";
        faults.push((both.path("concurrent", own.concurrent.is_some()), message.to_owned()));
    }
    let shed = own.shed.or(top.shed).as_ref().map(ShedInput::check).transpose();
    let shed = shed.map_err(|(key, message)| {
        faults.push((format!("{}.{key}", both.path("shed", own.shed.is_some())), message));
    });
    let budget = own.budget.or(top.budget).map(|budget| budget.check()).transpose();
    let budget = budget.map_err(|error| {
        faults.push((both.path("budget", own.budget.is_some()), error.to_string()));
    });
    let cost = own.cost.as_ref().or(top.cost.as_ref());
    let cost = cost.map_or(Ok(Cost::ONE), |cost| cost.check(own.max_body.or(top.max_body)));
    let cost = cost.map_err(|(key, message)| {
        faults.push((format!("{}{key}", both.path("cost", own.cost.is_some())), message));
    });
    if let (Ok(Cost::Fixed(cost)), Some(rate)) = (&cost, rate)
        && *cost > rate.burst()
    {
        let message = format!(
            "each request costs {cost} and the bucket holds {}, so none would be let in; raise `burst` or lower `cost`",
            rate.burst()
        );
        faults.push((both.path("cost", own.cost.is_some()), message));
    }
    match (faults.is_empty(), shed, budget, cost) {
        (true, Ok(shed), Ok(budget), Ok(cost)) => {
            let limits = RouteLimits {
                rate,
                per: own.per.or(top.per).unwrap_or_default(),
                concurrent,
                queue: own.queue.or(top.queue).unwrap_or(QUEUE),
                shed,
                enforce: own.enforce.or(top.enforce).unwrap_or(true),
                budget,
            };
            Ok((limits, cost))
        }
        _ => Err(faults),
    }
}

/// A route's limits over those of the top level.
struct Both<'a> {
    own: &'a RouteLimitsInput,
    top: &'a LimitsInput,
    at: usize,
}

impl Both<'_> {
    /// Where a key stands: on the route, or at the top level.
    fn path(&self, key: &str, is_own: bool) -> String {
        if is_own { format!("routes[{}].limits.{key}", self.at) } else { format!("limits.{key}") }
    }

    fn rate(&self) -> Result<Option<Rate>, (String, String)> {
        let (own, top) = (self.own, self.top);
        let burst = own.burst.or(top.burst);
        let Some(rps) = own.rps.or(top.rps) else {
            return match burst {
                Some(_) => Err((
                    self.path("burst", own.burst.is_some()),
                    "a burst without a rate says nothing; set `rps` too".to_owned(),
                )),
                None => Ok(None),
            };
        };
        let key = if burst == Some(0) { "burst" } else { "rps" };
        let is_own = if key == "burst" { own.burst.is_some() } else { own.rps.is_some() };
        RateInput { rps, burst }
            .check()
            .map(Some)
            .map_err(|error| (self.path(key, is_own), error.to_string()))
    }
}

/// What all routes share: the gateway's bucket, the lanes', and the classes of tenants.
pub fn shared_limits(document: &Document) -> Result<SharedLimits, Faults> {
    let mut faults = Faults::new();
    let lanes = document.lanes.clone().unwrap_or_default();
    let mut rate = |path: &str, input: Option<RateInput>| {
        input.and_then(|input| {
            input.check().map_err(|error| faults.push((path.to_owned(), error.to_string()))).ok()
        })
    };
    let global = rate("limits.global", document.limits.global);
    let interactive = rate("lanes.interactive", lanes.interactive);
    let batch = rate("lanes.batch", lanes.batch);
    let tenants = Arc::new(classes(document, &mut faults));
    if !faults.is_empty() {
        return Err(faults);
    }
    Ok(SharedLimits { global, interactive, batch, tenants })
}

fn classes(document: &Document, faults: &mut Faults) -> TenantClasses {
    let Some(classes) = document.tenants.as_ref().and_then(|tenants| tenants.classes.as_ref()) else {
        return TenantClasses::default();
    };
    let mut members = std::collections::HashMap::new();
    for (name, class) in classes {
        for (at, member) in class.members.iter().enumerate() {
            if let Some(other) = members.insert(member.as_str(), name.as_str()) {
                let message = format!("`{member}` is in class `{other}` already; name each tenant once");
                faults.push((format!("tenants.classes.{name}.members[{at}]"), message));
            }
        }
    }
    let all = classes.iter().map(|(name, class)| {
        (name.as_str(), class.multiplier, class.members.iter().map(String::as_str).collect())
    });
    TenantClasses::new(all).unwrap_or_else(|error| {
        let path = error.class().map_or_else(
            || "tenants.classes".to_owned(),
            |name| format!("tenants.classes.{name}.multiplier"),
        );
        faults.push((path, error.to_string()));
        TenantClasses::default()
    })
}
