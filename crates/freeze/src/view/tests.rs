use std::{sync::Arc, time::Duration};

use proptest::prelude::*;
use tokio::time::Instant;

use super::{Moment, Source, View, Wanted};
use crate::{
    FreezeSettings, Moments, Scope, Window,
    saved::Dismissed,
    testing::{at, routes, settings, window},
};

fn moment(seconds: i64) -> Moment {
    Moment { wall: at(seconds), steady: Instant::now() }
}

fn view(settings: FreezeSettings) -> View {
    View { settings: Arc::new(settings), ..View::default() }
}

fn ids(view: &View) -> Vec<&str> {
    view.active.iter().map(|active| &*active.id).collect()
}

/// The view after the clock has shown each of these.
fn after(view: View, times: &[i64]) -> View {
    times.iter().fold(view, |view, &now| view.evolve(moment(now)).unwrap_or(view))
}

fn operator<'a>(id: &'a str, until: Option<i64>, scope: &'a Scope) -> Wanted<'a> {
    Wanted { id, reason: None, until: until.map(at), scope, source: Source::Operator, by: None, window: None }
}

#[test]
fn a_window_is_on_from_its_start_up_to_its_end() {
    for (now, on) in [(9, false), (10, true), (19, true), (20, false), (21, false)] {
        let view = after(view(settings(vec![window("w", 10, 20)])), &[now]);
        assert_eq!(!view.active.is_empty(), on, "at {now}");
    }
}

#[test]
fn a_window_that_has_begun_stays_on_when_the_clock_is_set_back() {
    let begun = after(view(settings(vec![window("w", 10, 20)])), &[12]);
    let since = begun.active[0].since;
    let back = after(begun, &[3]);
    assert_eq!((ids(&back), back.active[0].since), (vec!["w"], since));
    assert!(after(back, &[20]).active.is_empty());
}

#[test]
fn a_window_that_is_over_begins_again_when_the_clock_is_set_back_into_it() {
    let over = after(view(settings(vec![window("w", 10, 20)])), &[12, 21]);
    assert!(over.active.is_empty());
    let again = after(over, &[15]);
    assert_eq!((ids(&again), again.active[0].since), (vec!["w"], at(15)));
    assert!(after(view(settings(vec![window("w", 10, 20)])), &[9, 25]).active.is_empty(), "leapt over");
}

#[test]
fn a_dismissed_window_stays_off_also_when_its_end_is_moved() {
    let dismissed = Dismissed { id: "w".into(), start: at(10), until: at(20), at: at(12), by: None };
    let mut view = view(settings(vec![window("w", 10, 20)]));
    view.dismissed.push(dismissed);
    let view = after(view, &[13]);
    assert!(view.active.is_empty());
    let moved = View { settings: Arc::new(settings(vec![window("w", 10, 90)])), ..view.clone() };
    assert!(after(moved, &[25, 89]).active.is_empty());
    let another = View { settings: Arc::new(settings(vec![window("w", 11, 20)])), ..view.clone() };
    assert_eq!(ids(&after(another, &[13])), ["w"], "another start is another window");
    assert!(after(view, &[20]).dismissed.is_empty(), "it is forgotten with the window's end");
}

#[test]
fn nothing_changes_where_nothing_should() {
    let view = after(view(settings(vec![window("w", 10, 20)])), &[12]);
    assert!(view.evolve(moment(15)).is_none());
}

#[test]
fn the_same_scope_keeps_the_start_and_the_drain_and_another_begins_anew() {
    let everything = Scope::default();
    let ingest = routes(&["ingest"]);
    let (view, first) = View::default().with(&operator("x", None, &everything), moment(0));
    let (view, _) = view.drained(std::slice::from_ref(&first.tally), at(1));
    assert!(!view.undrained);
    let (view, again) = view.with(&operator("x", Some(50), &everything), moment(5));
    assert_eq!((again.since, again.drained_at, again.until), (at(0), Some(at(1)), Some(at(50))));
    assert_eq!(again.banner, "id=x;until=2030-01-05T02:00:50Z");
    let (view, anew) = view.with(&operator("x", Some(50), &ingest), moment(6));
    assert_eq!((anew.since, anew.drained_at, view.active.len()), (at(6), None, 1));
    assert!(view.undrained);
}

#[test]
fn a_restart_brings_back_what_operators_set_and_what_has_not_ended() {
    let scope = routes(&["ingest"]);
    let (view, _) = View::default().with(&operator("short", Some(10), &scope), moment(0));
    let (view, _) = view.with(&operator("long", Some(100), &scope), moment(1));
    let (view, _) = view.with(&operator("open", None, &scope), moment(2));
    let saved = view.saved();
    let restored = View::restored(saved.clone(), moment(50));
    assert_eq!(ids(&restored), ["long", "open"]);
    assert_eq!(restored.active[0].since, at(1));
    assert!(restored.undrained);
    assert_eq!(View::restored(saved.clone(), moment(5)).saved(), saved);
}

#[test]
fn the_clock_is_next_looked_at_when_something_begins_or_ends() {
    let view = after(view(settings(vec![window("a", 10, 40), window("b", 20, 30)])), &[15]);
    assert_eq!(view.boundary(at(15)), Some(at(20)));
    let view = after(view, &[20]);
    assert_eq!(view.boundary(at(20)), Some(at(30)));
    assert_eq!(view.boundary(at(40)), None);
}

/// The same question answered by the simplest code that could be right, from a whole history.
#[derive(Default)]
struct Model {
    windows: Vec<(Window, bool)>,
    operator: Vec<(String, Option<i64>, Scope)>,
    read_only: bool,
}

impl Model {
    fn at(&mut self, now: i64) {
        for (window, on) in &mut self.windows {
            let Moments::Once { start, end } = window.moments else { unreachable!() };
            *on = at(now) < end && (*on || start <= at(now));
        }
        self.operator.retain(|(_, until, _)| until.is_none_or(|until| now < until));
    }

    fn covers(&self, route: &str, upstream: &str, tenant: Option<&str>) -> Vec<String> {
        let one = |scope: &Scope| {
            scope.routes.as_ref().is_none_or(|names| names.contains(&route.to_owned()))
                && scope.upstreams.as_ref().is_none_or(|names| names.contains(&upstream.to_owned()))
                && scope
                    .tenants
                    .as_ref()
                    .is_none_or(|names| tenant.is_some_and(|tenant| names.contains(&tenant.to_owned())))
        };
        let config = self.read_only.then(|| "config".to_owned());
        let windows = self.windows.iter().filter(|(window, on)| *on && one(&window.scope));
        let operator = self.operator.iter().filter(|(_, _, scope)| one(scope));
        let mut ids: Vec<_> = config
            .into_iter()
            .chain(windows.map(|(window, _)| window.id.clone()))
            .chain(operator.map(|(id, _, _)| id.clone()))
            .collect();
        ids.sort();
        ids
    }
}

fn any_names(names: &'static [&'static str]) -> impl Strategy<Value = Option<Vec<String>>> {
    let list = proptest::sample::subsequence(names, 1..=names.len());
    proptest::option::of(list.prop_map(|list| list.into_iter().map(str::to_owned).collect()))
}

fn any_scope() -> impl Strategy<Value = Scope> {
    (any_names(&["r1", "r2"]), any_names(&["t1", "t2"]), any_names(&["u1", "u2"]))
        .prop_map(|(routes, tenants, upstreams)| Scope { routes, tenants, upstreams })
}

#[derive(Clone, Debug)]
enum Step {
    /// The clock shows this; it may go back.
    Clock(i64),
    Put(u8, Option<i64>, Scope),
    ReadOnly(bool),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..100i64).prop_map(Step::Clock),
        2 => (0..4u8, proptest::option::of(1..60i64), any_scope())
            .prop_map(|(id, span, scope)| Step::Put(id, span, scope)),
        1 => any::<bool>().prop_map(Step::ReadOnly),
    ]
}

proptest! {
    #[test]
    fn the_view_agrees_with_a_simple_model(
        windows in proptest::collection::vec((0..90i64, 1..30i64, any_scope()), 0..4),
        steps in proptest::collection::vec(any_step(), 1..24),
    ) {
        let windows: Vec<_> = windows
            .into_iter()
            .enumerate()
            .map(|(n, (start, span, scope))| Window { scope, ..window(&format!("w{n}"), start, start + span) })
            .collect();
        let mut model = Model { windows: windows.iter().map(|window| (window.clone(), false)).collect(), ..Model::default() };
        let mut view = view(settings(windows));
        let mut now = 0;
        for step in steps {
            match step {
                Step::Clock(to) => now = to,
                Step::Put(id, span, scope) => {
                    let (id, until) = (format!("o{id}"), span.map(|span| now + span));
                    view = view.with(&operator(&id, until, &scope), moment(now)).0;
                    model.operator.retain(|(known, _, _)| *known != id);
                    model.operator.push((id, until, scope));
                }
                Step::ReadOnly(read_only) => {
                    let settings = FreezeSettings { read_only, ..FreezeSettings::clone(&view.settings) };
                    view.settings = Arc::new(settings);
                    model.read_only = read_only;
                }
            }
            view = after(view, &[now]);
            model.at(now);
            prop_assert!(view.evolve(moment(now)).is_none(), "evolving once is enough");
            prop_assert_eq!(view.undrained, !view.active.is_empty());
            for (route, upstream, tenant) in
                [("r1", "u1", Some("t1")), ("r1", "u2", None), ("r2", "u1", Some("t2")), ("r3", "u3", Some("t1")), ("", "", None)]
            {
                let mut ids: Vec<_> = view.covering(route, upstream.into(), tenant).map(|active| active.id.to_string()).collect();
                ids.sort();
                prop_assert_eq!(ids, model.covers(route, upstream, tenant), "{} {} {:?} at {}", route, upstream, tenant, now);
            }
            let boundary = view.boundary(at(now));
            if let Some(next) = boundary {
                let before = Moment { wall: next - Duration::from_millis(1), steady: Instant::now() };
                prop_assert!(view.evolve(before).is_none(), "nothing changes before the boundary");
            }
        }
    }
}
