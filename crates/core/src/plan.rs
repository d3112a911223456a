//! What a route is set up to do.
//!
//! The configuration snapshot is a router whose leaves are `Arc<RoutePlan>`. A plan holds
//! one checked part per guard that the route uses, found by its type: a guard reads its own
//! part and cannot name another's, and a guard without a part on this route costs one scan
//! of a short array.

use std::any::{Any, TypeId};

use crate::arm::Slot;

/// The checked settings of one route, immutable.
#[derive(Debug)]
pub struct RoutePlan {
    name: Box<str>,
    upstream: Box<str>,
    /// Where it leads as well, on a route with a rollout.
    second: Option<Box<str>>,
    parts: Vec<(TypeId, Box<dyn Any + Send + Sync>)>,
}

impl RoutePlan {
    /// A plan without parts.
    pub fn new(name: impl Into<Box<str>>, upstream: impl Into<Box<str>>) -> Self {
        Self { name: name.into(), upstream: upstream.into(), second: None, parts: Vec::new() }
    }

    /// The route leads to a second upstream as well: a rollout chooses.
    #[must_use]
    pub fn or(mut self, second: impl Into<Box<str>>) -> Self {
        self.second = Some(second.into());
        self
    }

    /// Adds a guard's part; a second part of the same type replaces the first.
    #[must_use]
    pub fn with<T: Any + Send + Sync>(mut self, part: T) -> Self {
        let id = TypeId::of::<T>();
        self.parts.retain(|(known, _)| *known != id);
        self.parts.push((id, Box::new(part)));
        self
    }

    /// The route's name, for scopes, metrics and logs.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name of the route's upstream; of the first where it leads to two.
    #[must_use]
    pub fn upstream(&self) -> &str {
        &self.upstream
    }

    /// The name of the upstream in that place of the route's rollout; the only one there is
    /// where it has none.
    #[must_use]
    pub fn upstream_at(&self, slot: Slot) -> &str {
        match (&self.second, slot) {
            (Some(second), Slot::Second) => second,
            _ => &self.upstream,
        }
    }

    /// Where it may lead: for scopes.
    #[must_use]
    pub fn leads(&self) -> Leads<'_> {
        Leads { first: &self.upstream, second: self.second.as_deref() }
    }

    /// The part of type `T`, if the route has one.
    #[must_use]
    pub fn part<T: Any>(&self) -> Option<&T> {
        let id = TypeId::of::<T>();
        let (_, part) = self.parts.iter().find(|(known, _)| *known == id)?;
        part.downcast_ref()
    }
}

/// The names of the upstreams that a route may lead to: one, or the two of a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leads<'a> {
    first: &'a str,
    second: Option<&'a str>,
}

impl Leads<'_> {
    /// Whether the upstream of that name is one of them.
    #[must_use]
    pub fn to(&self, upstream: &str) -> bool {
        self.first == upstream || self.second == Some(upstream)
    }
}

impl<'a> From<&'a str> for Leads<'a> {
    fn from(only: &'a str) -> Self {
        Self { first: only, second: None }
    }
}

/// The part of a route whose writes are kept for later while a freeze covers them.
///
/// A freeze marks such a write ([`Facts::defer`](crate::Facts::defer)) and lets it go on
/// instead of refusing it. Whoever puts the part into a plan promises that a layer right
/// below the freeze keeps what is marked and sends nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deferral;

#[cfg(test)]
mod tests {
    use super::{RoutePlan, Slot};

    #[test]
    fn a_route_with_a_rollout_leads_to_both() {
        let one = RoutePlan::new("ingest", "stable");
        assert!(one.leads().to("stable") && !one.leads().to("next"));
        assert_eq!(one.upstream_at(Slot::Second), "stable");
        let two = RoutePlan::new("retrieve", "stable").or("next");
        assert!(two.leads().to("stable") && two.leads().to("next"));
        assert_eq!((two.upstream_at(Slot::First), two.upstream_at(Slot::Second)), ("stable", "next"));
    }

    #[test]
    fn a_part_is_found_by_its_type_and_the_last_one_holds() {
        let plan = RoutePlan::new("retrieve", "stable").with(1u8).with("text").with(2u8);
        assert_eq!(plan.part::<u8>(), Some(&2));
        assert_eq!(plan.part::<&str>(), Some(&"text"));
        assert_eq!(plan.part::<u16>(), None);
        assert_eq!((plan.name(), plan.upstream()), ("retrieve", "stable"));
    }
}
