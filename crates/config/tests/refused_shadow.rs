//! Bad `shadow`, `answers` and `rollouts.NAME.shadows`, each with the exact message it gives; and
//! what is only warned of.

use sluicegate_config::{Source, parse};

/// A good document; its tenth line is the route's shadow.
fn document(route: &str, rest: &str) -> String {
    format!(
        "\
listen: [{{ address: \"127.0.0.1:8080\" }}]
upstreams:
  stable: {{ endpoints: [\"http://127.0.0.1:7001\"] }}
  next: {{ endpoints: [\"http://127.0.0.1:7002\"] }}
  lab: {{ endpoints: [\"http://127.0.0.1:7003\"] }}
routes:
  - name: search
    match: {{ path: /v1/search, methods: [POST] }}
    upstream: stable
    {route}
  - name: rest
    match: {{ path: \"/{{*rest}}\" }}
    upstream: stable
{rest}
"
    )
}

fn told(text: &str) -> String {
    match parse(text, &Source::file("g.yaml".as_ref())) {
        Ok(loaded) => {
            let warnings = loaded.warnings.iter().map(ToString::to_string);
            std::iter::once("taken".to_owned()).chain(warnings).collect::<Vec<_>>().join("\n")
        }
        Err(rejected) => rejected.to_string(),
    }
}

/// The route's last line or lines, and what is said of them.
const ROUTES: &[(&str, &str)] = &[
    ("shadow: { to: lab, percent: 10 }", "taken"),
    (
        "shadow: { to: lba, percent: 10 }",
        "g.yaml:10:19: routes[0].shadow.to: there is no upstream `lba`; did you mean `lab`?",
    ),
    (
        "shadow: { to: stable, percent: 10 }",
        "g.yaml:10:19: routes[0].shadow.to: is the route's own upstream; name another one (`noise` says how many copies go to its own)",
    ),
    (
        "shadow: lab",
        "g.yaml:10:13: routes[0].shadow: expected a shadow, such as { to: lab, percent: 1 }, or a list of them, found the text `lab`",
    ),
    ("shadow: []", "g.yaml:10:13: routes[0].shadow: has 0 shadows; write 1 to 8, or remove the key"),
    (
        "shadow: [{ to: lab, percent: 1 }, { to: lab, percent: 2 }]",
        "g.yaml:10:45: routes[0].shadow[1].to: `lab` gets copies of this route already; remove one",
    ),
    (
        "shadow: { to: lab, percent: 101, noise: -1 }",
        "g.yaml:10:33: routes[0].shadow.percent: 101 is not a percentage from 0 to 100\ng.yaml:10:45: routes[0].shadow.noise: -1 is not a percentage from 0 to 100",
    ),
    (
        "shadow: { to: lab, precent: 10 }",
        "g.yaml:10:24: routes[0].shadow.precent: unknown key `precent`; did you mean `percent`?",
    ),
    (
        "shadow: { to: lab, percent: 1, max_rps: 0, max_in_flight: 0 }",
        "g.yaml:10:45: routes[0].shadow.max_rps: 0 is not a rate; write copies per second from 0.001 to 1000000\ng.yaml:10:63: routes[0].shadow.max_in_flight: 0 is not from 1 to 10000",
    ),
    (
        "shadow: { to: lab, percent: 1, max_body: 65MiB, timeout: 0s }",
        "g.yaml:10:46: routes[0].shadow.max_body: `65MiB` is more than 64MiB, the most that is held\ng.yaml:10:62: routes[0].shadow.timeout: `0s` is not above 0 and up to 1h; write a duration such as 5s",
    ),
    (
        "shadow: { to: lab, percent: 1, timeout: 2h }",
        "g.yaml:10:45: routes[0].shadow.timeout: `2h` is not above 0 and up to 1h; write a duration such as 5s",
    ),
    (
        "shadow: { to: lab, percent: 1, sample_by: { tenant: true } }",
        "g.yaml:10:57: routes[0].shadow.sample_by.tenant: requests have no tenant unless `tenants.from` says where it stands; add it, or choose another key",
    ),
    (
        "shadow: { to: lab, percent: 1, sample_by: { header: x id } }",
        "g.yaml:10:57: routes[0].shadow.sample_by.header: `x id` is not the name of a header",
    ),
    (
        "shadow: { to: lab, percent: 1, strip: [x id] }",
        "g.yaml:10:44: routes[0].shadow.strip[0]: `x id` is not the name of a header; write one such as x-internal",
    ),
    (
        "shadow: { to: lab, percent: 1, set: { host: lab, x-sluicegate-shadow: \"0\", \"x y\": z } }",
        "g.yaml:10:49: routes[0].shadow.set.host: `host` is set by the gateway itself; remove it\ng.yaml:10:75: routes[0].shadow.set.x-sluicegate-shadow: `x-sluicegate-shadow` is set by the gateway itself; remove it\ng.yaml:10:87: routes[0].shadow.set.x y: `x y` is not the name of a header; write one such as x-internal",
    ),
    (
        "shadow: { to: lab, percent: 1, compare: { ignore: [took, \"\"], similarity: 2 } }",
        "g.yaml:10:56: routes[0].shadow.compare.ignore[0]: `took` is no JSON pointer; begin it with `/`, such as /results/*/id\ng.yaml:10:62: routes[0].shadow.compare.ignore[1]: leads to the whole answer; name its members, or remove `compare`\ng.yaml:10:79: routes[0].shadow.compare.similarity: 2 is not between 0 and 1",
    ),
    (
        "shadow: { to: lab, percent: 1, compare: { tolerance: { /a: 3 }, arrays: { /hits: \"\" } } }",
        "g.yaml:10:64: routes[0].shadow.compare.tolerance./a: 3 is not between 0 and 1; it is a share of the larger number, such as 0.01\ng.yaml:10:86: routes[0].shadow.compare.arrays./hits: names no member; write the one by which elements are told apart, such as id",
    ),
    (
        "shadow: { to: lab, percent: 1, compare: { headers: [x id], show: [\"/a~b\"] } }",
        "g.yaml:10:57: routes[0].shadow.compare.headers[0]: `x id` is no header name; write one such as content-type\ng.yaml:10:71: routes[0].shadow.compare.show[0]: `/a~b` has a `~` that is neither `~0` (for `~`) nor `~1` (for `/`); write one of these",
    ),
    (
        "shadow: { to: lab, percent: 1, compare: { max_answer: 65MiB } }",
        "g.yaml:10:59: routes[0].shadow.compare.max_answer: `65MiB` is out of range; 1B to 64MiB can be had",
    ),
    (
        "shadow: { to: lab, percent: 1, compare: { allow: 1, pairs: 0, keep: 2000 } }",
        "g.yaml:10:54: routes[0].shadow.compare.allow: 1 is not a share from 0 to below 1, such as 0.01 for 1 %\ng.yaml:10:64: routes[0].shadow.compare.pairs: 0 pairs show nothing; write 1 or more\ng.yaml:10:73: routes[0].shadow.compare.keep: 2000 pairs are more than 1000; `log` keeps them all",
    ),
    (
        "shadow: { to: lab, percent: 1, compare: { log: { path: logs/, max_size: 1KiB, files: 0 } } }",
        "g.yaml:10:60: routes[0].shadow.compare.log.path: `logs/` names no file; write one, such as shadow.jsonl\ng.yaml:10:77: routes[0].shadow.compare.log.max_size: `1KiB` is below 64KiB; write more\ng.yaml:10:90: routes[0].shadow.compare.log.files: 0 is not from 1 to 1000; 1 is a file that is emptied",
    ),
    (
        "shadow: { to: lab, percent: 1, compare: { log: {} } }",
        "g.yaml:10:52: routes[0].shadow.compare.log: the key `path` is missing here",
    ),
    (
        "shadow: [{ to: lab, percent: 1, compare: { log: { path: a } } }, { to: next, percent: 1, compare: { log: { path: a } } }]",
        "g.yaml:10:118: routes[0].shadow[1].compare.log.path: `a` is the log of routes[0].shadow[0] already; two would overwrite it",
    ),
    (
        "answers: { ids: /hits/*/id }",
        "taken\ng.yaml:10:14: routes[0].answers: nothing reads it: the route has no `shadow` that compares",
    ),
    (
        "answers: { ids: hits, scores: [/hits/*/score, \"\"] }",
        "g.yaml:10:21: routes[0].answers.ids: `hits` is no JSON pointer; begin it with `/`, such as /results/*/id\ng.yaml:10:51: routes[0].answers.scores[1]: leads to the whole answer; write where scores stand, such as /results/*/id",
    ),
    (
        "access: write\n    shadow: { to: lab, percent: 1 }",
        "taken\ng.yaml:11:13: routes[0].shadow: copies nothing: the route's requests are writes; for a test copy that may be written to say `writes: true`",
    ),
    ("access: write\n    shadow: { to: lab, percent: 1, writes: true }", "taken"),
];

/// What comes after the routes, as line 14, where the route has a shadow to `lab`
/// that compares and one to `next` that does not.
const ROLLOUTS: &[(&str, &str)] = &[
    (
        "rollouts: { r: { active: stable, candidate: lab, shadows: [{ route: search }] } }",
        "taken\ng.yaml:14:16: rollouts.r: no route leads to it; write `upstream: { rollout: r }` on one",
    ),
    (
        "rollouts: { r: { active: stable, candidate: lab, shadows: [{ route: serch }] } }",
        "g.yaml:14:69: rollouts.r.shadows[0].route: there is no route `serch`; did you mean `search`?",
    ),
    (
        "rollouts: { r: { active: stable, candidate: next, shadows: [{ route: search }] } }",
        "g.yaml:14:61: rollouts.r.shadows[0]: the shadow of `search` to `next` does not compare; add `compare: {}` there",
    ),
    (
        "rollouts: { r: { active: stable, candidate: next, shadows: [{ route: rest }, { route: search, to: lab }] } }",
        "g.yaml:14:61: rollouts.r.shadows[0]: `rest` has no shadow to `next`; add one, or name where its copies go by `to`",
    ),
];

#[test]
fn what_is_wrong_with_a_shadow_is_told_exactly() {
    for (route, message) in ROUTES {
        assert_eq!(told(&document(route, "")), *message, "{route}");
    }
}

#[test]
fn a_rollout_waits_only_for_shadows_that_can_say_something() {
    let shadows = "shadow: [{ to: lab, percent: 1, compare: {} }, { to: next, percent: 1 }]";
    for (rollouts, message) in ROLLOUTS {
        assert_eq!(told(&document(shadows, rollouts)), *message, "{rollouts}");
    }
}
