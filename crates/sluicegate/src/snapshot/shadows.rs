//! What a snapshot takes from the `shadow` of its routes.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use sluicegate_config::{
    Loaded, Problem,
    document::{Document, RouteInput, UpstreamRef},
    problem_at,
};
use sluicegate_core::KeyInput;
use sluicegate_shadow::{ShadowPlan, ShadowsInput, Targets};
use sluicegate_upstream::{Prepared, Rewrite, Upstream, UpstreamSettings};

use super::{Homes, leads::Leads, presets};

/// What upstreams are called as the targets of copies.
fn for_copies(upstream: &str) -> String {
    format!("shadow/{upstream}")
}

/// The upstreams that a route's own requests lead to.
fn own_of<'a>(document: &'a Document, route: &'a RouteInput) -> Vec<&'a str> {
    match &route.upstream {
        UpstreamRef::Named(name) => vec![name],
        UpstreamRef::Rollout(reference) => {
            let rollout = document.rollouts.get(&reference.rollout);
            rollout.iter().flat_map(|it| [it.active.as_str(), it.candidate.as_str()]).collect()
        }
    }
}

/// The upstreams that get copies: the shadows, and the routes' own for the noise.
fn copied_to(document: &Document) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    for route in &document.routes {
        for (_, shadow) in route.shadow.iter().flat_map(ShadowsInput::each) {
            names.insert(shadow.to.as_str());
            if shadow.compare.is_some() && shadow.noise > 0.0 {
                names.extend(own_of(document, route));
            }
        }
    }
    names
}

/// The settings of all upstreams of the document: those that requests lead to, and beside them
/// those that get copies; and what is wrong with others. One that is there for copies alone need not
/// resolve.
pub(super) fn upstream_settings(loaded: &Loaded) -> (Vec<UpstreamSettings>, Vec<Problem>) {
    let resolve = |path: &Path| loaded.source.resolve(path);
    let document = &*loaded.document;
    let led_to: BTreeSet<&str> = document.routes.iter().flat_map(|route| own_of(document, route)).collect();
    let copied_to = copied_to(document);
    let (mut settings, mut problems) = (Vec::new(), Vec::new());
    let heads = usize::try_from(document.limits.max_headers.0).unwrap_or(usize::MAX);
    for (name, input) in &document.upstreams {
        let only_copies = copied_to.contains(name.as_str()) && !led_to.contains(name.as_str());
        let checked = if only_copies {
            UpstreamSettings::check_for_copies(name, input, &resolve)
        } else {
            UpstreamSettings::check(name, input, &resolve)
        };
        match checked.map(|checked| checked.heads_up_to(heads)) {
            Ok(checked) => {
                if copied_to.contains(name.as_str()) {
                    settings.push(checked.clone().for_copies(&for_copies(name), !only_copies));
                }
                if !only_copies {
                    settings.push(checked);
                }
            }
            Err(errors) => {
                problems.extend(errors.into_iter().map(|error| {
                    problem_at(loaded, &format!("upstreams.{name}.{}", error.path), error.message)
                }));
            }
        }
    }
    (settings, problems)
}

/// The shadows of a route, if it has any; or what is wrong, by its path inside the route.
pub(super) fn part(
    homes: &Homes,
    loaded: &Loaded,
    upstreams: &Prepared,
    route: &RouteInput,
    (leads, rewrite): (&Leads<'_>, Option<&Arc<Rewrite>>),
) -> Result<Option<ShadowPlan>, Vec<(String, String)>> {
    let Some(shadows) = &route.shadow else { return Ok(None) };
    let own: Vec<Option<Arc<Upstream>>> =
        leads.each().map(|lead| upstreams.get(&for_copies(lead.name)).cloned()).collect();
    let sticky = sticky_of(&loaded.document, route);
    let answers = presets::answers(&loaded.document, route);
    let (mut made, mut faults) = (Vec::new(), Vec::new());
    for (inside, shadow) in shadows.each() {
        let mut wrong = |key: &str, message: String| faults.push((format!("shadow{inside}.{key}"), message));
        let resolve = |path: &Path| loaded.source.resolve(path);
        let settings = shadow.with_files(&resolve).and_then(|it| it.check(&answers, &resolve));
        let mut settings = match settings {
            Ok(settings) => settings,
            Err(found) => {
                for (key, message) in found {
                    wrong(&key, message);
                }
                continue;
            }
        };
        if settings.sample_by.is_none() {
            settings.sample_by = sticky.as_ref().and_then(|sticky| sticky.check().ok());
        }
        let Some(target) = upstreams.get(&for_copies(&shadow.to)).cloned() else {
            // Where it cannot be made, that is told at its own place.
            if !loaded.document.upstreams.contains_key(&shadow.to) {
                wrong("to", format!("there is no upstream `{}`", shadow.to));
            }
            continue;
        };
        let own = [own.first().cloned().flatten(), own.get(1).cloned().flatten()];
        let version = version(&loaded.document, &shadow.to, leads);
        let targets = Targets { shadow: target, own, version, rewrite: rewrite.cloned() };
        made.push(homes.shadows.shadowing(&route.name, settings, targets));
    }
    if faults.is_empty() { Ok(Some(ShadowPlan(made.into()))) } else { Err(faults) }
}

/// The endpoints and the pins of all that is compared.
fn version(document: &Document, to: &str, leads: &Leads<'_>) -> String {
    let own = leads.each().map(|lead| (lead.name, &lead.settings.endpoints, &lead.settings.pins));
    let shadow = document.upstreams.get(to).map(|it| (to, &it.endpoints, &it.pins));
    format!("{:?}", shadow.into_iter().chain(own).collect::<Vec<_>>())
}

/// What the route's rollout goes by. A cookie of the rollout may come with the answer that first
/// needs it, which is too late for that request's own copy: the shadow draws one of its own.
fn sticky_of(document: &Document, route: &RouteInput) -> Option<KeyInput> {
    let UpstreamRef::Rollout(reference) = &route.upstream else { return None };
    Some(match document.rollouts.get(&reference.rollout)?.sticky.clone()? {
        KeyInput::Cookie(name) => KeyInput::Cookie(format!("{name}-shadow")),
        other => other,
    })
}
